//! Parts of a fleet's exports in several processes: `run --org`, `--shard`, `--once` and `jobs --shards`, through the
//! binary with several orgs.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeSet;

use support::{Deployment, Outcome};

/// The orgs of the fleet. By the table in docs/fleets.md, shard 0 of 2 has emea and prod, and shard 1 the others.
const ORGS: [&str; 4] = ["default", "emea", "prod", "uat"];

/// Two jobs in each of the four orgs, which are one embedded org. `accounts_emea` writes `emea/accounts.csv`.
fn fleet() -> Deployment {
    let at = Deployment::new(20);
    let tables: Vec<_> = ORGS[1..].iter().map(|org| at.org_table(&format!("orgs.{org}"))).collect();
    at.configure(&tables.join("\n"));
    for org in ORGS {
        for (job, object) in [("accounts", "Account"), ("contacts", "Contact")] {
            let soql = format!("SELECT Id FROM {object}");
            at.job(&format!("{job}_{org}"), &soql, &format!("{{org}}/{job}.csv"), &format!("org = {org:?}"));
        }
    }
    at
}

/// The files below `exports`, as `ORG/JOB`.
fn exported(at: &Deployment) -> BTreeSet<String> {
    at.names_below("exports").iter().map(|name| name.trim_end_matches(".csv").to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Runs the binary with these variables.
fn run_with(at: &Deployment, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = at.command(arguments);
    at.outcome(command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn a_shard_exports_all_that_its_orgs_have() {
    let at = fleet();
    at.run(["run", "--all", "--shard", "0/2"]).ended(0);
    let first = ["emea/accounts", "emea/contacts", "prod/accounts", "prod/contacts"];
    assert_eq!(exported(&at), set(&first));
    at.run(["run", "--all", "--shard", "1/2"]).ended(0);
    let second = ["default/accounts", "default/contacts", "uat/accounts", "uat/contacts"];
    assert_eq!(exported(&at), set(&[first, second].concat()));
    assert_eq!(at.queries().len(), 8, "each once");
}

#[test]
fn shards_by_job_divide_an_org() {
    let at = fleet();
    let mut exports = BTreeSet::new();
    for index in 0..3 {
        let shard = format!("{index}/3");
        let ended = at.run(["run", "--all", "--shard", &shard, "--shard-by", "job", "--json"]).ended(0);
        for report in ended.reports() {
            let export = format!("{}", report["job"]);
            assert!(exports.insert(export.clone()), "{export} twice");
        }
    }
    assert_eq!(exports.len(), 8);
    assert_eq!(exported(&at).len(), 8);
}

#[test]
fn an_engine_numbers_the_shards() {
    for name in
        ["JOB_COMPLETION_INDEX", "CLOUD_RUN_TASK_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID"]
    {
        let at = fleet();
        run_with(&at, &["run", "--all", "--shard", "auto/4"], &[(name, "1")]).ended(0);
        assert_eq!(exported(&at), set(&["default/accounts", "default/contacts"]), "{name}");
    }
}

#[test]
fn a_shard_of_named_jobs_takes_its_part_of_them() {
    let at = fleet();
    at.run(["run", "accounts_emea", "contacts_uat", "--shard", "0/2"]).ended(0);
    assert_eq!(exported(&at), set(&["emea/accounts"]));
}

#[test]
fn an_empty_shard_is_a_success_that_says_so() {
    let at = fleet();
    let ended = at.run(["run", "--all", "--shard", "4/8", "--json"]).ended(0);
    assert_eq!(ended.stderr, "shard 4/8 has nothing to export\n");
    assert_eq!((ended.stdout(), at.logins().len()), ("", 0));
    let ended = at.run(["run", "--all", "--shard", "4/8", "--log-format", "json"]).ended(0);
    let event: serde_json::Value = serde_json::from_str(ended.stderr.trim()).unwrap();
    assert_eq!(event["message"], "shard 4/8 has nothing to export");
}

#[test]
fn a_run_can_be_narrowed_to_orgs() {
    let at = fleet();
    at.run(["run", "--all", "--org", "emea"]).ended(0);
    assert_eq!(exported(&at), set(&["emea/accounts", "emea/contacts"]));
    at.run(["run", "accounts_uat", "accounts_default", "--org", "uat", "--org", "default"]).ended(0);
    let more = ["default/accounts", "uat/accounts"];
    assert_eq!(exported(&at), set(&[&["emea/accounts", "emea/contacts"][..], &more].concat()));
    // One of the named jobs would be left out.
    at.run(["run", "accounts_prod", "accounts_uat", "--org", "uat"]).ended(2);
    assert_eq!(exported(&at).len(), 4);
}

#[test]
fn every_mistake_with_shards_is_one_of_usage() {
    let at = fleet();
    for shard in ["4", "4/4", "0/0", "-1/4", "1/x", "0/10001", "auto", "auto/4"] {
        let ended = at.run(["run", "--all", &format!("--shard={shard}")]).ended(2);
        assert!(ended.stderr.contains("\n  hint: "), "{shard}: {}", ended.stderr);
    }
    let tasks: [&[(&str, &str)]; 3] = [
        &[("JOB_COMPLETION_INDEX", "first")],
        &[("SLURM_ARRAY_TASK_ID", "4")],
        &[("SLURM_ARRAY_TASK_ID", "1"), ("AWS_BATCH_JOB_ARRAY_INDEX", "2")],
    ];
    for variables in tasks {
        let ended = run_with(&at, &["run", "--all", "--shard", "auto/4"], variables).ended(2);
        assert!(ended.stderr.contains("\n  hint: "), "{variables:?}: {}", ended.stderr);
    }
    at.run(["run", "--all", "--shard-by", "job"]).ended(2).says(&["\n  hint: "]);
    at.run(["run", "--shard", "0/4"]).ended(2);
    assert_eq!(exported(&at), set(&[]));
}

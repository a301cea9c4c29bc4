//! Parts of a fleet's exports in several processes: `run --org`, `--shard`, `--once` and `jobs --shards`, through the
//! binary with several orgs.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sfexport::demo_org::{At, Fault, Rule};
use sfexport::job::shard::ShardBy;
use sfexport::job::{ExportKey, JobName};
use sfexport::org::OrgName;
use support::daemon::{ago, history, wait_for};
use support::ear::Ear;
use support::{Deployment, NO_WAITS, Outcome};

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
fn the_documented_shards_are_the_real_ones() {
    let page = include_str!("../docs/fleets.md");
    let table = page.split("<!-- shards -->").nth(1).unwrap().split("<!-- end -->").next().unwrap();
    let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let (name, cells) = row.split_once("` | ").unwrap();
        let (by, job, org) = match name.split_once('@') {
            Some((job, org)) => (ShardBy::Job, job, org),
            None => (ShardBy::Org, "any", name),
        };
        let key = ExportKey::new(JobName::parse(job).unwrap(), OrgName::parse(org).unwrap());
        let documented: Vec<u32> =
            cells.trim_end_matches(" |").split(" | ").map(|cell| cell.parse().unwrap()).collect();
        assert_eq!([2, 3, 4, 8, 10, 50, 1_000].map(|count| by.shard_of(&key, count)), *documented, "{name}");
    }
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
fn the_list_of_jobs_shows_their_shards() {
    let at = fleet();
    let orgs = at.org_table("orgs.emea") + "max_concurrent_runs = 2\n";
    at.configure(
        &[&orgs, &at.org_table("orgs.prod"), &at.org_table("orgs.uat")].map(String::as_str).concat(),
    );
    let shards = |arguments: &[&str]| -> Vec<(String, u64)> {
        let lines = at.run([&["jobs", "--json"], arguments].concat()).ended(0).reports();
        lines
            .iter()
            .map(|line| (line["job"].as_str().unwrap().to_owned(), line["shard"].as_u64().unwrap()))
            .collect()
    };
    // By the table in docs/fleets.md.
    let by_org = [("default", 1), ("emea", 6), ("prod", 6), ("uat", 3)];
    let expected = |job| by_org.map(|(org, shard)| (format!("{job}_{org}"), shard));
    assert_eq!(shards(&["--shards", "8"]), [expected("accounts"), expected("contacts")].concat());
    let by_job = shards(&["--shards", "3", "--shard-by", "job"]);
    for index in 0..3 {
        let shard = format!("{index}/3");
        let ended = at.run(["run", "--all", "--shard", &shard, "--shard-by", "job", "--json"]).ended(0);
        let ran = ended.reports().iter().map(|report| report["job"].as_str().unwrap().to_owned()).collect();
        let listed: BTreeSet<_> =
            by_job.iter().filter(|(_, shard)| *shard == index).map(|(job, _)| job.clone()).collect();
        assert_eq!(listed, ran, "{shard}");
    }
    let wide = at.run(["jobs", "--wide", "--shards", "8"]).ended(0);
    let cells: Vec<Vec<&str>> =
        wide.stdout().lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(cells[..2], [["JOB", "ORG", "SHARD"], ["accounts_default", "default", "1"]]);
    let lines = at.run(["jobs", "--json"]).ended(0).reports();
    assert_eq!(lines[0]["job"], "accounts_default");
    assert_eq!(
        (&lines[0]["output"], &lines[0]["max_concurrent_runs"], &lines[0]["shard"]),
        (&json!("{org}/accounts.csv"), &Value::Null, &Value::Null)
    );
    assert_eq!((&lines[1]["job"], &lines[1]["max_concurrent_runs"]), (&json!("accounts_emea"), &json!(2)));
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
    let event: Value = serde_json::from_str(ended.stderr.trim()).unwrap();
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

/// `run` with these arguments, `--once`, `--json` and a scheduled time so many hours ago.
fn once(at: &Deployment, hours: i64, arguments: &[&str]) -> Outcome {
    at.outcome(at.command(once_arguments(hours, arguments)).output().unwrap())
}

fn once_arguments(hours: i64, arguments: &[&str]) -> Vec<String> {
    // The same in each attempt of a test.
    let hour = ago(hours).as_second() / 3_600 * 3_600;
    let occurrence = jiff::Timestamp::from_second(hour).unwrap().to_string();
    let more = ["--once", "--json", "--at", &occurrence];
    ["run"].iter().chain(arguments).chain(&more).map(|text| (*text).to_owned()).collect()
}

fn spawn(at: &Deployment, arguments: &[String]) -> Child {
    at.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How often each status is in the reports.
fn statuses(outcome: &Outcome) -> Vec<String> {
    outcome.reports().iter().map(|report| report["status"].as_str().unwrap().to_owned()).collect()
}

fn unavailable(object: &str) -> Rule {
    let fault = Fault::error(503, "SERVER_UNAVAILABLE", "maintenance");
    Rule::once(At::Soql(format!("from {object}")), fault)
}

/// Two jobs and no second attempt of a request.
fn two_jobs() -> Deployment {
    let at = Deployment::new(20);
    at.configure("attempts = 1");
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.job("contacts", "SELECT Id FROM Contact", "contacts.csv", "");
    at
}

#[test]
fn a_retry_with_once_repeats_only_what_failed() {
    let at = fleet();
    let tables: Vec<_> = ORGS[1..].iter().map(|org| at.org_table(&format!("orgs.{org}"))).collect();
    at.write(
        "sfexport.toml",
        format!("{}{}\n{NO_WAITS}\nattempts = 1\n", at.org_table("org"), tables.concat()),
    );
    at.script(unavailable("contact"));
    let first = once(&at, 1, &["--all"]).ended(69);
    assert_eq!((at.logins().len(), at.queries().len()), (8, 8));
    let second = once(&at, 1, &["--all"]).ended(0);
    assert_eq!((at.logins().len(), at.queries().len()), (9, 9), "one login and one query more");
    let of = |reports: Vec<Value>, status: &str| -> BTreeSet<(String, String)> {
        let found = reports.into_iter().filter(|report| report["status"] == status);
        found.map(|report| (report["job"].to_string(), report["run_id"].to_string())).collect()
    };
    assert_eq!(of(first.reports(), "ok").len(), 7);
    assert_eq!(of(second.reports(), "skipped"), of(first.reports(), "ok"), "the runs that exported them");
    let runs = history(&at).len();
    let third = once(&at, 1, &["--all"]).ended(0);
    assert_eq!(statuses(&third), ["skipped"; 8]);
    assert_eq!((at.logins().len(), at.queries().len()), (9, 9), "nothing is asked");
    assert_eq!(history(&at).len(), runs, "nothing is noted");
}

#[test]
fn a_skipped_job_shows_what_was_exported() {
    let at = two_jobs();
    let exported = once(&at, 1, &["accounts"]).ended(0).reports().remove(0);
    let skipped = once(&at, 1, &["accounts"]).ended(0);
    let mut expected = exported.clone();
    expected["status"] = json!("skipped");
    assert_eq!(skipped.reports(), [expected]);
    let said = "skipped, because an earlier attempt exported it job=accounts org=default run_id=";
    assert!(skipped.stderr.contains(said), "{}", skipped.stderr);

    let mut arguments = once_arguments(1, &["accounts"]);
    arguments.retain(|argument| argument != "--json");
    let path = at.path("exports/accounts.csv");
    assert_eq!(at.run(&arguments).ended(0).stdout(), format!("accounts\tskipped\t{}\n", path.display()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let Some(shown) = at.on_terminal(&arguments, "", &[]) {
        let records = exported["records"].as_u64().unwrap();
        let line =
            format!(" accounts: {records} records exported by an earlier attempt → exports/accounts.csv");
        assert!(shown.stdout().contains(&line), "{}", shown.stdout());
    }
}

#[test]
fn only_the_same_occurrence_is_exported_once() {
    let at = two_jobs();
    let queries = |expected: usize, why: &str| assert_eq!(at.queries().len(), expected, "{why}");
    once(&at, 2, &["accounts"]).ended(0);
    once(&at, 1, &["accounts"]).ended(0);
    queries(2, "another occurrence");
    let mut arguments = once_arguments(1, &["accounts"]);
    arguments.retain(|argument| argument != "--once");
    at.run(&arguments).ended(0);
    queries(3, "without --once");
    once(&at, 1, &["contacts"]).ended(0);
    queries(4, "another job");
    once(&at, -2, &["accounts"]).ended(0);
    once(&at, -2, &["accounts"]).ended(0);
    queries(6, "what is to come has not been exported yet");
    fs::remove_dir_all(at.path("state")).unwrap();
    once(&at, 1, &["accounts"]).ended(0);
    queries(7, "without state");
}

#[test]
fn changed_settings_are_exported_again() {
    let at = two_jobs();
    let job = |fields: &str| at.job("accounts", &format!("SELECT {fields} FROM Account"), "accounts.csv", "");
    once(&at, 1, &["accounts"]).ended(0);
    job("Id, Name");
    assert_eq!(statuses(&once(&at, 1, &["accounts"]).ended(0)), ["ok"]);
    assert_eq!(statuses(&once(&at, 1, &["accounts"]).ended(0)), ["skipped"]);
    // The first export had these settings, but its file has been replaced.
    job("Id");
    assert_eq!(statuses(&once(&at, 1, &["accounts"]).ended(0)), ["ok"]);
    assert_eq!(at.text("exports/accounts.csv").lines().next(), Some("Id"));
}

#[test]
fn once_is_worth_a_retry_if_one_failure_is() {
    let at = two_jobs();
    at.job("refused", "SELECT Nope FROM Lead", "refused.csv", "");
    at.script(unavailable("contact"));
    once(&at, 1, &["--all"]).ended(75);
    once(&at, 1, &["--all"]).ended(65);
    at.script(unavailable("contact"));
    at.run(["run", "--all"]).ended(1);
}

#[test]
fn of_two_attempts_at_once_one_exports() {
    let at = two_jobs();
    let rule = Fault::Stall { after: 20, pause: Duration::from_secs(2) };
    at.script(Rule::once(At::Soql("from account".to_owned()), rule));
    let first = spawn(&at, &once_arguments(1, &["accounts"]));
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    assert_eq!(at.command(once_arguments(1, &["accounts"])).output().unwrap().status.code(), Some(75));
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(statuses(&once(&at, 1, &["accounts"]).ended(0)), ["skipped"]);
    assert_eq!(at.queries().len(), 1);
}

#[test]
fn what_another_attempt_exports_meanwhile_is_skipped() {
    let at = two_jobs();
    at.configure("[daemon]\nmax_concurrent_runs = 1");
    let rule = Fault::Stall { after: 20, pause: Duration::from_secs(2) };
    at.script(Rule::once(At::Soql("from account".to_owned()), rule));
    // It begins with the accounts, while another process exports the contacts.
    let first = spawn(&at, &once_arguments(1, &["--all"]));
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    assert_eq!(at.command(once_arguments(1, &["contacts"])).output().unwrap().status.code(), Some(0));
    let first = at.outcome(first.wait_with_output().unwrap()).ended(0);
    assert_eq!(statuses(&first), ["ok", "skipped"]);
    assert_eq!(at.queries().len(), 2);
}

#[test]
fn a_set_is_exported_once() {
    let at = two_jobs();
    at.write(
        "jobs/backup.toml",
        "objects = [\"Account\", \"Contact\", \"Opportunity\"]\noutput = \"{object}.csv\"\n",
    );
    at.script(unavailable("contact"));
    once(&at, 1, &["backup"]).ended(69);
    let queries = || at.queries().iter().filter(|query| query.path().ends_with("/query")).count();
    assert_eq!(queries(), 3);
    let second = once(&at, 1, &["backup"]).ended(0).reports();
    let set = &second.last().unwrap()["set"];
    assert_eq!((&set["exported"], &set["carried_over"]), (&json!(1), &json!(2)));
    assert_eq!(queries(), 4);
    let requests = at.org().requests().len();
    assert_eq!(statuses(&once(&at, 1, &["backup"]).ended(0)), ["skipped"]);
    assert_eq!(statuses(&once(&at, 1, &["backup", "--object", "contact"]).ended(0)), ["skipped"]);
    assert_eq!(at.org().requests().len(), requests, "not even a login");
    // A further object is exported, and only that.
    at.write(
        "jobs/backup.toml",
        "objects = [\"Account\", \"Contact\", \"Opportunity\", \"Task\"]\noutput = \"{object}.csv\"\n",
    );
    let report = once(&at, 1, &["backup"]).ended(0).reports().pop().unwrap();
    assert_eq!((&report["set"]["exported"], queries()), (&json!(1), 5));
}

#[test]
fn a_set_without_its_manifest_gets_it_from_a_retry() {
    let at = two_jobs();
    at.write("jobs/backup.toml", "objects = [\"Account\", \"Contact\"]\noutput = \"{object}.csv\"\n");
    // A directory is where the manifest goes.
    at.write("exports/backup.manifest.json/x", "");
    once(&at, 1, &["backup"]).ended(73);
    fs::remove_dir_all(at.path("exports/backup.manifest.json")).unwrap();
    let queries = || at.queries().iter().filter(|query| query.path().ends_with("/query")).count();
    assert_eq!(queries(), 2);
    once(&at, 1, &["backup"]).ended(0);
    assert_eq!(queries(), 2, "every object was exported");
    let manifest: Value = serde_json::from_str(&at.text("exports/backup.manifest.json")).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 2);
}

#[test]
fn a_skipped_job_notifies_nobody() {
    let at = two_jobs();
    let ear = Ear::listen();
    at.job(
        "accounts",
        "SELECT Id FROM Account",
        "accounts.csv",
        &format!("ping_url = {:?}", format!("{}/ping", ear.url)),
    );
    once(&at, 1, &["accounts"]).ended(0);
    let heard = ear.heard().len();
    assert!(heard > 0);
    once(&at, 1, &["accounts"]).ended(0);
    assert_eq!(ear.heard().len(), heard);
}

#[test]
fn once_needs_the_time_that_it_is_for() {
    let at = two_jobs();
    at.run(["run", "--all", "--once"])
        .ended(2)
        .says(&["--once has no effect without --at\n  hint: add --at"]);
}

#[test]
fn a_job_that_cannot_start_stops_no_other() {
    let at = Deployment::new(20);
    at.job("a", "SELECT Id FROM Account", "a.csv", "follow_links = true");
    at.job("b", "SELECT Id FROM Account", "b.csv", "");
    fs::create_dir_all(at.path("exports")).unwrap();
    std::os::unix::fs::symlink("nowhere/x.csv", at.path("exports/a.csv")).unwrap();
    let ended = at.run(["run", "--all", "--json"]).ended(73);
    let statuses: Vec<_> = ended.reports().iter().map(|report| report["exit_status"].clone()).collect();
    assert_eq!(statuses, [73, 0]);
    assert!(at.path("exports/b.csv").is_file());
    let reports: Vec<_> = history(&at).into_iter().map(|report| (report.job, report.exit_status)).collect();
    assert_eq!(reports, [("a".to_owned(), 73), ("b".to_owned(), 0)]);
}

#[test]
fn a_job_that_another_attempt_exports_alarms_nobody() {
    let at = Deployment::new(20);
    let ear = Ear::listen();
    at.configure(&format!("[notify]\nwebhook = \"{}/hook\"", ear.url));
    let ping = format!("ping_url = \"{}/ping\"", ear.url);
    at.job("a", "SELECT Id FROM Account", "a.csv", &ping);
    let key = ExportKey::new(JobName::parse("a").unwrap(), OrgName::default_org());
    let held = sfexport::state::State::open(&at.path("state")).unwrap().lock_job(&key).unwrap();
    let arguments = ["run", "a", "--at", "2026-03-01T02:00:00Z", "--once"];
    at.run(arguments).ended(75);
    assert_eq!(ear.heard(), []);
    drop(held);
    at.run(arguments).ended(0);
    let paths: Vec<_> =
        ear.heard().into_iter().map(|(path, _)| path).filter(|path| path != "/hook").collect();
    assert_eq!(paths, ["/ping/start", "/ping"]);
}

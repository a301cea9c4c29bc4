//! A fleet from outside: jobs with `[defaults]` and `orgs`, through the binary with several orgs.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use support::Deployment;
use support::daemon::{Process, wait_for};

/// Three orgs, which are one embedded org, two job files, and defaults for both.
fn fleet() -> Deployment {
    let at = Deployment::new(20);
    let tables: Vec<_> = ["emea", "uat"].map(|org| at.org_table(&format!("orgs.{org}"))).into();
    at.configure(&format!(
        "[defaults]\noutput = \"{{org}}/{{job}}.csv\"\nfile_mode = \"0640\"\n[defaults.csv]\ndelimiter = \";\"\n{}",
        tables.join("\n")
    ));
    at.write("jobs/accounts.toml", "soql = \"SELECT Id, Name FROM Account\"\norgs = [\"*\"]\n");
    at.write(
        "jobs/backup.toml",
        "objects = [\"Account\", \"Contact\"]\noutput = \"{org}/{job}/{object}.csv\"\norgs = [\"*\", \"!uat\"]\n",
    );
    at
}

#[test]
fn a_fleet_is_a_handful_of_files() {
    let at = fleet();
    let ended = at.run(["run", "--all", "--json"]).ended(0);
    assert_eq!(
        at.names_below("exports"),
        [
            "default/accounts.csv",
            "default/backup/Account.csv",
            "default/backup/Contact.csv",
            "default/backup/backup.manifest.json",
            "emea/accounts.csv",
            "emea/backup/Account.csv",
            "emea/backup/Contact.csv",
            "emea/backup/backup.manifest.json",
            "uat/accounts.csv",
        ]
    );
    assert!(at.text("exports/emea/accounts.csv").starts_with("Id;Name\n"));
    assert_eq!(at.text("exports/emea/accounts.csv"), at.text("exports/uat/accounts.csv"));
    let reports = ended.reports();
    let mut orgs: Vec<_> = reports
        .iter()
        .filter(|report| report["job"] == "accounts")
        .map(|report| report["org"].as_str().unwrap())
        .collect();
    orgs.sort_unstable();
    assert_eq!(orgs, ["default", "emea", "uat"]);
}

#[test]
fn a_job_of_several_orgs_is_run_by_its_name() {
    let at = fleet();
    at.run(["run", "accounts"]).ended(0);
    let all = ["default/accounts.csv", "emea/accounts.csv", "uat/accounts.csv"];
    assert_eq!(at.names_below("exports"), all);
}

#[test]
fn check_looks_at_each_org_of_a_job() {
    let at = fleet();
    let all = at.run(["check", "accounts"]).ended(0);
    for line in [
        "job accounts selected with 3 runs",
        "job accounts\n",
        "job accounts for org emea",
        "job accounts for org uat",
    ] {
        assert!(all.stdout().contains(line), "{line}: {}", all.stdout());
    }
    let one = at.run(["check", "accounts", "--org", "uat"]).ended(0);
    assert!(one.stdout().contains("job accounts for org uat"));
    assert!(!one.stdout().contains("emea\n"), "{}", one.stdout());
    let everything = at.run(["check", "--org", "emea", "--offline"]).ended(0);
    assert_eq!(everything.stdout().matches("\njob ").count(), 2, "{}", everything.stdout());
    at.run(["check", "backup", "--org", "uat"])
        .ended(2)
        .says(&["the job backup does not export from the org uat"]);
    at.run(["check", "--org", "eema"])
        .ended(78)
        .says(&["there is no org \"eema\"", "did you mean \"emea\"?"]);
}

#[test]
fn a_mistake_is_reported_once_for_all_orgs() {
    let at = fleet();
    at.write("jobs/accounts.toml", "soql = \"SELECT Id, FROM Account\"\norgs = [\"*\"]\n");
    let checked = at.run(["check", "--offline"]).ended(78);
    assert_eq!(checked.stdout().matches("jobs/accounts.toml").count(), 1, "{}", checked.stdout());
}

#[test]
fn a_changed_default_takes_effect_on_reload() {
    let at = fleet();
    let shared = at.text("sfexport.toml");
    at.write("jobs/accounts.toml", "soql = \"SELECT Id FROM Account\"\norgs = [\"emea\", \"uat\"]\n");
    at.write("jobs/backup.toml", "soql = \"SELECT Id FROM Contact\"\nenabled = false\n");
    let scheduled = shared.replace("[defaults]\n", "[defaults]\nschedule = \"* * * * *\"\n");
    let daemon = Process::start(&at);
    daemon.says("jobs=3");
    at.write("sfexport.toml", &scheduled);
    daemon.signal("HUP");
    daemon.says("configuration reloaded");
    let jobs = at.run(["jobs", "--json"]).ended(0);
    let jobs: Vec<serde_json::Value> =
        jobs.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let next = jobs.iter().filter(|job| !job["next"].is_null()).count();
    assert_eq!((jobs.len(), next), (3, 2), "{jobs:?}");
    // An org that the list loses is like a job that is removed.
    at.write("jobs/accounts.toml", "soql = \"SELECT Id FROM Account\"\norgs = [\"emea\"]\n");
    daemon.signal("HUP");
    let left = wait_for(|| {
        let marks = at.names_below("state");
        let of = |org: &str| marks.iter().any(|name| name.contains("mark") && name.contains(org));
        (of("emea") && !of("uat")).then_some(())
    });
    assert!(left.is_some(), "{:?}", at.names_below("state"));
}

#[test]
fn a_job_is_described_for_one_of_its_orgs() {
    let at = fleet();
    let org_of = |arguments: &[&str]| {
        let described = at.run([&["describe", "accounts", "--json"], arguments].concat()).ended(0);
        let described: serde_json::Value = serde_json::from_str(described.stdout()).unwrap();
        let path = described["files"][0]["path"].as_str().unwrap().to_owned();
        (described["org"].as_str().unwrap().to_owned(), path.split('/').rev().nth(1).unwrap().to_owned())
    };
    assert_eq!(org_of(&[]), ("default".to_owned(), "default".to_owned()));
    assert_eq!(org_of(&["--org", "uat"]), ("uat".to_owned(), "uat".to_owned()));
}

//! Runs in several orgs as people see them: the lines of `run`, `history`, the metrics file, notifications and the log.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use jiff::SignedDuration;
use serde_json::Value;
use sfexport::demo_org::{At, Fault, Options, Rule};
use sfexport::job::ExportKey;
use sfexport::org::OrgName;
use sfexport::report::{RunId, RunReport, RunStatus};
use sfexport::state::State;
use support::daemon::{Process, SOQL, ago, history, name, settled_for, wait_for};
use support::ear::Ear;
use support::{Deployment, options};

/// A deployment with the orgs `default` and `emea`, which are one embedded org, and a job in each.
fn two_orgs() -> Deployment {
    let at = Deployment::new(20);
    at.configure(&at.org_table("orgs.emea"));
    at.job("accounts", "SELECT Id FROM Account", "{org}/accounts.csv", "");
    at.job("contacts", "SELECT Nonsense__c FROM Contact", "{org}/contacts.csv", "org = \"emea\"");
    at
}

/// Writes a history of the job `accounts`: a run in each of these orgs, the oldest first, and whether it failed.
fn past(at: &Deployment, orgs: &[&str], failed: &[&str]) {
    let state = State::open(&at.path("state")).unwrap();
    for (hours, org) in (1..=orgs.len()).rev().zip(orgs) {
        let started = ago(hours as i64);
        let mut report = RunReport::begun("accounts", org, RunId::new(started, hours as u64), started);
        report.ended = started + SignedDuration::from_secs(90);
        (report.status, report.exit_status) =
            if failed.contains(org) { (RunStatus::Failed, 69) } else { (RunStatus::Ok, 0) };
        state.append(&report).unwrap();
    }
}

#[test]
fn lines_of_runs_name_the_org_if_there_are_several() {
    let at = two_orgs();
    let outcome = at.run(["run", "--all"]).ended(65);
    assert!(outcome.stderr.contains("error: contacts (emea): the org refused"), "{}", outcome.stderr);
    let outcome = at.run(["run", "contacts"]).ended(65);
    assert!(outcome.stderr.contains("error: contacts (emea): the org refused"), "{}", outcome.stderr);
    let Some(outcome) = at.on_terminal(&["run", "--all"], "", &[]) else { return };
    let screen = outcome.ended(65).stdout().to_owned();
    for shown in ["accounts (default)  ", "contacts (emea)  logging in", " accounts (default): 19 records"] {
        assert!(screen.contains(shown), "{shown} is not in:\n{screen:?}");
    }
}

#[test]
fn a_failure_in_a_json_log_has_its_run_in_fields() {
    let at = two_orgs();
    at.write(
        "jobs/backup.toml",
        "objects = [\"Account\", \"Acount\"]\noutput = \"{job}/{object}.csv\"\norg = \"emea\"",
    );
    let outcome = at.run(["run", "backup", "--log-format", "json"]).ended(65);
    let lines = outcome.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors: Vec<_> = lines.filter(|line| line["level"] == "ERROR").collect();
    let named = |line: &Value| ["job", "org", "object"].map(|key| line[key].as_str().map(str::to_owned));
    let expected =
        |object: Option<&str>| [Some("backup"), Some("emea"), object].map(|name| name.map(str::to_owned));
    assert_eq!(errors.iter().map(named).collect::<Vec<_>>(), [expected(Some("Acount")), expected(None)]);
    let ids: Vec<_> = errors.iter().map(|line| line["run_id"].as_str().unwrap().len()).collect();
    assert_eq!(ids, [RunId::LEN; 2]);
}

#[test]
fn the_only_failure_of_a_set_is_printed_once() {
    let at = Deployment::new(20);
    at.write("jobs/backup.toml", "objects = [\"Account\", \"Acount\"]\noutput = \"{job}/{object}.csv\"");
    let outcome = at.run(["run", "backup"]).ended(65);
    let said = &outcome.stderr;
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{said}");
    assert!(errors[0].starts_with("error: backup: Acount: the org has no object \"Acount\""), "{said}");
    assert_eq!(errors[1], "error: backup: 1 object failed: Acount");
    assert_eq!(said.matches("hint:").count(), 1, "{said}");
    // A dry run shows no single objects.
    let said = at.run(["run", "backup", "--dry-run"]).ended(65).stderr;
    assert!(
        said.contains("error: backup: the org has no object \"Acount\"") && said.contains("hint:"),
        "{said}"
    );
}

#[test]
fn history_has_a_column_for_orgs_if_there_are_several() {
    let at = Deployment::new(20);
    past(&at, &["default"], &[]);
    let heading = |at: &Deployment| {
        let said = at.run(["history"]).ended(0).stdout().to_owned();
        said.lines().next().unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(heading(&at), ["ENDED", "JOB", "RESULT", "RECORDS", "SIZE", "TOOK"]);
    past(&at, &["emea"], &[]);
    assert_eq!(heading(&at), ["ENDED", "JOB", "ORG", "RESULT", "RECORDS", "SIZE", "TOOK"]);
    let said = at.run(["history", "--wide"]).ended(0).stdout().to_owned();
    let rows: Vec<Vec<_>> =
        said.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect()).collect();
    let columns = rows.iter().map(|row| (row[2].trim(), row[3].trim())).collect::<Vec<_>>();
    assert_eq!(columns, [("JOB", "ORG"), ("accounts", "emea"), ("accounts", "default")]);
}

#[test]
fn history_shows_the_runs_of_one_org() {
    let at = two_orgs();
    past(&at, &["default", "emea", "gone", "emea"], &[]);
    let orgs = |arguments: &[&str]| {
        let said =
            at.run(["history", "--json"].iter().chain(arguments).copied()).ended(0).stdout().to_owned();
        let org =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["org"].as_str().unwrap().to_owned();
        said.lines().map(org).collect::<Vec<_>>()
    };
    assert_eq!(orgs(&["accounts", "--org", "emea"]), ["emea", "emea"]);
    assert_eq!(orgs(&["--org", "gone", "--org", "default"]), ["gone", "default"]);
    assert_eq!(orgs(&["contacts", "--org", "emea"]), [""; 0]);
    at.run(["history", "--org", "emae"]).ended(78).says(&["has an org \"emae\"", "did you mean \"emea\"?"]);
}

#[test]
fn the_metrics_file_has_a_series_for_each_org() {
    let at = two_orgs();
    at.run(["run", "--all", "--metrics-file", "runs.prom"]).ended(65);
    let metrics = at.text("runs.prom");
    for sample in [
        "sfexport_last_run_exit_status{job=\"accounts\",org=\"default\"} 0\n",
        "sfexport_last_run_exit_status{job=\"contacts\",org=\"emea\"} 65\n",
        "sfexport_logins_total{org=\"default\"} 1\n",
        "sfexport_logins_total{org=\"emea\"} 1\n",
    ] {
        assert!(metrics.contains(sample), "{sample} is not in:\n{metrics}");
    }
}

#[test]
fn a_recovery_is_that_of_the_job_in_its_org() {
    let event_after = |orgs_that_failed: &[&str]| {
        let ear = Ear::listen();
        let at = two_orgs();
        let hook = format!(
            "{}[notify]\nwebhook = \"{}/hook\"\non = [\"every\"]",
            at.org_table("orgs.emea"),
            ear.url
        );
        at.configure(&hook);
        past(&at, &["default", "emea"], orgs_that_failed);
        at.run(["run", "accounts"]).ended(0);
        let (_, body) = ear.heard().pop().unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["event"].as_str().unwrap().to_owned()
    };
    // The job is run in the default org.
    assert_eq!(event_after(&["emea"]), "success");
    assert_eq!(event_after(&["default"]), "recovery");
}

#[test]
fn log_lines_of_a_daemons_run_name_the_job_and_its_org() {
    let at = Deployment::with(Options { page_size: 10, ..options(50) });
    at.configure(&at.org_table("orgs.emea"));
    at.job("accounts", SOQL, "{org}/accounts.csv", "org = \"emea\"\nschedule = \"@hourly\"");
    let key = ExportKey::new(name("accounts"), OrgName::parse("emea").unwrap());
    settled_for(&at, &key, "@hourly", ago(3));
    at.script(Rule::once(At::Page(1), Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    at.script(Rule::once(At::Page(2), Fault::error(401, "INVALID_SESSION_ID", "Session expired or invalid")));
    at.script(Rule::once(At::Page(3), Fault::error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")));
    let mut daemon = Process::spawn(&mut at.command(["daemon", "--log-format", "json"]));
    // The missed occurrences are in the history before the run.
    wait_for(|| history(&at).iter().any(|report| report.status.has_run()).then_some(())).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let said = daemon.said();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_run: Vec<_> = lines.iter().filter(|line| line["run_id"].is_string()).collect();
    for message in ["run started", "request failed", "session lost", "starts over", "run ended"] {
        assert!(
            of_run.iter().any(|line| line["message"].as_str().unwrap().contains(message)),
            "{message}: {said}"
        );
    }
    for line in of_run {
        assert_eq!([&line["job"], &line["org"]], ["accounts", "emea"], "{line}");
    }
}

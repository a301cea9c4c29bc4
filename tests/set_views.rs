//! Sets of objects as people see them: what `check` says of a set, the job that `init --objects` writes, and how
//! `jobs`, `history`, the status pages and the metrics show its runs.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use jiff::SignedDuration;
use sfexport::report::{FailedObject, RunId, RunReport, RunStatus, SetSummary, SkippedObject};
use sfexport::state::State;
use support::Deployment;
use support::daemon::{Process, ago, get, sample, wait_for};

const SET: &str = "objects = [\"*\", \"!*Share\"]\noutput = \"{job}/{object}.csv\"\nschedule = \"@yearly\"\n";

/// Reports of a run of the set `backup` that began so many hours ago: one object each, then the whole.
fn past(at: &Deployment, hours: i64, failed: &[&str]) {
    let started = ago(hours);
    let state = State::open(&at.path("state")).unwrap();
    let report = |number: u64, object: Option<&str>, is_ok: bool| {
        let mut report = RunReport::begun("backup", "default", RunId::new(started, number), started);
        report.object = object.map(str::to_owned);
        report.ended = started + SignedDuration::from_secs(90);
        (report.status, report.exit_status) =
            if is_ok { (RunStatus::Ok, 0) } else { (RunStatus::Failed, 69) };
        report.records = if is_ok { 20 } else { 0 };
        report
    };
    let all = ["Account", "Contact", "Invoice__c"];
    for (number, object) in (1..).zip(all) {
        let mut report = report(number, Some(object), !failed.contains(&object));
        report.error = failed.contains(&object).then(|| format!("{object} is away"));
        state.append(&report).unwrap();
    }
    let mut whole = report(hours.unsigned_abs() * 100, None, failed.is_empty());
    whole.records = 60;
    whole.error = (!failed.is_empty()).then(|| "some objects failed".to_owned());
    whole.set = Some(SetSummary {
        exported: (all.len() - failed.len()) as u64,
        carried_over: 5,
        skipped: vec![SkippedObject {
            object: "Vote".to_owned(),
            reason: "<b>needs</b> a filter".to_owned(),
        }],
        failed: failed
            .iter()
            .map(|object| FailedObject {
                object: (*object).to_owned(),
                exit_status: 69,
                error: Some(format!("{object} is away")),
            })
            .collect(),
        not_tried: 0,
        manifest: None,
    });
    state.append(&whole).unwrap();
}

#[test]
fn check_shows_what_a_set_selects() {
    let at = Deployment::new(20);
    at.write("jobs/backup.toml", SET);
    let said = at.run(["check", "backup"]).ended(0).stdout().to_owned();
    let listed = at.run(["objects", "--json"]).ended(0).stdout().to_owned();
    let name = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].to_string();
    let is_left_out =
        |name: &String| ["Share\"", "ChangeEvent\"", "__x\""].iter().any(|ending| name.ends_with(ending));
    let expected = listed.lines().map(name).filter(|name| !is_left_out(name)).count();
    let line = said.lines().find(|line| line.contains(" objects ")).unwrap();
    assert!(line.contains(&format!("{expected} objects")), "{said}");
    assert!(said.contains("exports/backup/") && said.contains("can be written"), "{said}");

    at.write("jobs/backup.toml", SET.replace("\"*\",", "\"Acount\", \"Contact\", \"Acme__*\","));
    let said = at.run(["check", "backup"]).ended(65).stdout().to_owned();
    assert!(said.contains("the org has no object \"Acount\""), "{said}");
    assert!(said.contains("→ write \"Account\" in `objects`"), "{said}");
    assert!(said.contains("! objects       \"Acme__*\" matches no object"), "{said}");

    at.write("jobs/backup.toml", SET);
    let said = at.run(["check", "--offline"]).ended(0).stdout().to_owned();
    assert!(said.contains("- objects       not known without asking the org"), "{said}");
}

#[test]
fn check_shows_the_query_of_one_object_of_a_set() {
    let at = Deployment::new(20);
    at.write(
        "jobs/backup.toml",
        format!("{SET}[objects_with.Account]\nfields = [\"Id\", \"Name\"]\nwhere = \"Name != null\"\n"),
    );
    let said = at.run(["check", "backup", "--object", "Account"]).ended(0).stdout().to_owned();
    assert!(said.contains("SELECT Id, Name FROM Account WHERE Name != null"), "{said}");
    assert!(said.contains("exports/backup/Account.csv can be written"), "{said}");
    let said = at.run(["check", "backup", "--object", "AccountShare"]).ended(2).stdout().to_owned();
    assert!(said.contains("exports \"*, !*Share\", which does not include it"), "{said}");
}

#[test]
fn describe_shows_the_columns_of_one_object_of_a_set() {
    let at = Deployment::new(20);
    // A set's types are for whichever objects have the column.
    at.write("jobs/backup.toml", format!("{SET}[types]\nAnnualRevenue = \"text\"\n"));
    let types = |object: &str, column: &str| {
        let said = at.run(["describe", "backup", "--object", object, "--json"]).ended(0).stdout().to_owned();
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let columns = said["files"][0]["columns"].as_array().unwrap().clone();
        let found = columns.into_iter().find(|found| found["name"] == column);
        found.unwrap_or_else(|| panic!("{column} is not in {said}"))["type"].as_str().unwrap().to_owned()
    };
    assert_eq!(types("account", "AnnualRevenue"), "text");
    assert_eq!(types("Contact", "CreatedDate"), "datetime");
    at.run(["describe", "backup"]).ended(2).says(&["is a set", "--object Account"]);
}

#[test]
fn init_writes_a_set_that_check_accepts() {
    let at = Deployment::new(20);
    let said = at.run(["init", "--objects", "*", "!*Share", "--job", "nightly"]).ended(0).stdout().to_owned();
    assert!(said.contains("nightly.toml: ") && said.contains("sfexport check nightly"), "{said}");
    assert!(at.text("jobs/nightly.toml").contains("objects  = [\"*\", \"!*Share\"]\n"));
    at.run(["check", "nightly"]).ended(0);
    at.run(["init", "--objects", "*", "--job", "nightly"]).ended(73).says(&["already exists", "--job"]);
    at.run(["init", "--objects", "Acount"]).ended(65).says(&["no object \"Acount\"", "write \"Account\""]);
    at.run(["init", "--objects", "Owner.Name"]).ended(2).says(&["does not select objects"]);
    at.run(["init", "--objects", "Zorblax*"]).ended(65).says(&["no object is selected"]);
    assert_eq!(at.names_below("jobs"), ["nightly.toml"]);
}

#[test]
fn jobs_and_history_show_a_set_as_one_run() {
    let at = Deployment::new(20);
    at.write("jobs/backup.toml", SET);
    past(&at, 30, &[]);
    past(&at, 5, &["Contact"]);
    let jobs = at.run(["jobs"]).ended(0).stdout().to_owned();
    assert!(jobs.contains("failed 69: 7 objects, 1 failed, 1 skipped"), "{jobs}");
    let history = at.run(["history"]).ended(0).stdout().to_owned();
    assert_eq!(history.matches("backup").count(), 2, "{history}");
    let lines = |arguments: &[&str]| {
        let said =
            at.run(["history", "--json"].iter().chain(arguments).copied()).ended(0).stdout().to_owned();
        said.lines().count()
    };
    assert_eq!(lines(&["backup"]), 2);
    assert_eq!(lines(&["backup", "--object", "contact"]), 2);
    assert_eq!(lines(&["--object", "*"]), 6);
    assert_eq!(lines(&["--object", "*__c", "--limit", "1"]), 1);
    let history = at.run(["history", "--object", "Contact"]).ended(0).stdout().to_owned();
    assert!(history.contains("backup: Contact") && history.contains("Contact is away"), "{history}");
    at.run(["history", "--object", "Lead"]).ended(0).says(&[]);
}

#[test]
fn the_pages_show_a_set_and_its_failures_first() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.write("jobs/backup.toml", SET);
    past(&at, 5, &["Contact", "Account"]);
    let daemon = Process::start(&at);
    let port = daemon.status_port();
    let page =
        wait_for(|| Some(get(port, "/jobs/backup").1).filter(|page| page.contains("<h2>Objects</h2>")));
    let page = page.unwrap();
    let mut rest = page.as_str();
    for part in [
        "<h2>Objects</h2>",
        "6 objects, 2 failed, 1 skipped",
        "Contact",
        "Contact is away",
        "Account is away",
        "Vote",
        "skipped",
        "&lt;b&gt;needs&lt;/b&gt; a filter",
        "<h2>Objects</h2><pre><code>objects: *, !*Share",
        "<h2>Last runs</h2>",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing or too early in:\n{page}"));
        rest = &rest[at + part.len()..];
    }
    // One run of the set, and none of its objects.
    assert_eq!(page.matches("exit status 69").count(), 1);
    let overview = get(port, "/").1;
    assert!(overview.contains("1 failing") && overview.contains("some objects failed"), "{overview}");
    let metrics = get(port, "/metrics").1;
    let objects = |result: &str| {
        let labels = format!("{{job=\"backup\",org=\"default\",result=\"{result}\"}}");
        sample(&metrics, &format!("sfexport_last_run_objects{labels}"))
    };
    assert_eq!([objects("exported"), objects("failed"), objects("skipped")], [6.0, 2.0, 1.0]);
    assert!(!metrics.contains("Contact"));
}

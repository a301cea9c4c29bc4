//! `sfexport watermark` and the views of marks, with the marks that runs would have left.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sfexport::job::{ExportKey, ExportKind, JobName, ObjectName, RecoveryData};
use sfexport::org::OrgName;
use sfexport::report::{RunId, RunReport, RunStatus};
use sfexport::state::{JournalEntry, State, Watermark};
use support::Deployment;
use support::daemon::{Process, get, sample};

const JOB: &str = "object = \"Account\"\noutput = \"{job}-{kind}-{mark}.csv\"\n[incremental]\n";
const SET: &str =
    "objects = [\"*\", \"!Vote\"]\noutput = \"{job}/{object}-{kind}-{mark}.csv\"\n[incremental]\n";

fn state(at: &Deployment) -> State {
    State::open(&at.path("state")).unwrap()
}

fn key(job: &str) -> ExportKey {
    ExportKey::new(JobName::parse(job).unwrap(), OrgName::default_org())
}

fn of_set(object: &str) -> ExportKey {
    key("backup").of_object(ObjectName::parse(object).unwrap())
}

/// A mark so long ago, as a run of that time left it.
fn watermark(ago: SignedDuration) -> Watermark {
    let mark = Timestamp::from_second((Timestamp::now() - ago).as_second()).unwrap();
    serde_json::from_value(json!({
        "mark": mark,
        "field": "SystemModstamp",
        "org_id": "00D000000000001EAA",
        "fingerprint": "1f2e",
        "columns": ["Id"],
        "full_started": mark,
    }))
    .unwrap()
}

fn leave(at: &Deployment, key: &ExportKey, watermark: &Watermark) {
    let state = state(at);
    state.set_watermark(&state.lock_job(key).unwrap(), watermark).unwrap();
}

/// The mark that a run of the job leaves, moved so far back.
fn left_by_run(at: &Deployment, job: &str, ago: SignedDuration) -> Watermark {
    at.run(["run", job]).ended(0);
    let found = state(at).watermark_of(&key(job)).unwrap().unwrap();
    let Watermark { mark, full_started, .. } = watermark(ago);
    Watermark { mark, full_started, ..found }
}

/// The lines of `--json`.
fn lines(at: &Deployment, arguments: &[&str]) -> Vec<Value> {
    let said = at.run([arguments, &["--json"]].concat()).ended(0).stdout().to_owned();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_mark_is_shown_with_how_far_it_is_behind() {
    let at = Deployment::new(20);
    at.write("jobs/accounts.toml", JOB);
    at.run(["watermark", "accounts"]).ended(0).says(&[]);
    let [line] = lines(&at, &["watermark", "accounts"]).try_into().unwrap();
    assert_eq!(line["mark"], Value::Null);
    assert_eq!((&line["next"], &line["next_reason"]), (&json!("full"), &json!("there is no mark yet")));

    let left = left_by_run(&at, "accounts", SignedDuration::from_mins(30));
    let left = Watermark { org_ahead_seconds: 60, ..left };
    leave(&at, &key("accounts"), &left);
    let [line] = lines(&at, &["watermark", "accounts"]).try_into().unwrap();
    assert_eq!((&line["job"], &line["org"]), (&json!("accounts"), &json!("default")));
    assert_eq!((&line["mark"], &line["field"]), (&json!(left.mark), &json!("SystemModstamp")));
    assert_eq!((&line["next"], &line["next_reason"]), (&json!("changes"), &Value::Null));
    let behind = line["behind_seconds"].as_i64().unwrap();
    assert!((31 * 60..32 * 60).contains(&behind), "{behind}");
    let said = at.run(["watermark", "accounts"]).ended(0).stdout().to_owned();
    let mark = left.mark.strftime("%Y-%m-%d %H:%M:%S").to_string();
    assert!(said.contains(&format!("{mark}  31 min  SystemModstamp  changes\n")), "{said}");
}

#[test]
fn why_the_next_run_is_a_full_one_is_shown_if_it_is_known() {
    let at = Deployment::new(20);
    let (hour, day) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24));
    let object = |name: &str, settings: &str| {
        let output = "{job}-{kind}-{run_id}.csv";
        format!("object = \"{name}\"\noutput = \"{output}\"\n[incremental]\n{settings}\n")
    };
    let of = |settings: &str| object("Account", settings);
    let query = |condition: &str| {
        let text = of("").replace("object = \"Account\"", "soql = \"SELECT Id, IsDeleted FROM Account\"");
        text.replace("Account\"", &format!("Account{condition}\""))
    };
    let ids = "deletes = \"ids\"";
    let other = Some("the job selects other records than before");
    for (job, age, edited, reason) in [
        (of(""), day * 15, of(""), Some("the mark is more than 14 days old")),
        (of("deletes = \"none\""), day * 15, of("deletes = \"none\""), None),
        (
            of("full = \"@monthly\""),
            day * 40,
            of("full = \"@monthly\""),
            Some("a full run has been due since"),
        ),
        (
            of(""),
            hour,
            of("field = \"LastModifiedDate\""),
            Some("the mark is about SystemModstamp, and the job names"),
        ),
        (of(""), hour, of("field = \"systemmodstamp\""), None),
        (of(""), hour, of("lag = \"20m\"\nempty = \"skip\"\nfull = \"@yearly\""), None),
        (of(""), hour, format!("fields = [\"Name\"]\n{}", of("")), None),
        (of(""), hour, format!("where = \"Name != null\"\n{}", of("")), other),
        (of(""), hour, object("Contact", ""), other),
        (of(""), hour, of(ids), other),
        (of(ids), hour, of("deletes = \"none\""), other),
        (query(""), hour, query(""), None),
        (query(""), hour, query(" WHERE Name != null"), other),
        // The org does not list the deletes of history objects, so they count as `none`.
        (object("AccountHistory", ids), hour, object("AccountHistory", ids), None),
    ] {
        at.write("jobs/accounts.toml", job);
        leave(&at, &key("accounts"), &left_by_run(&at, "accounts", age));
        at.write("jobs/accounts.toml", &edited);
        let [line] = lines(&at, &["watermark", "accounts"]).try_into().unwrap();
        assert_eq!(line["next"], if reason.is_some() { "full" } else { "changes" }, "{edited}");
        let found = line["next_reason"].as_str();
        assert_eq!(found.map(|found| &found[..reason.unwrap().len()]), reason, "{edited}");
        let [report] = lines(&at, &["run", "accounts"]).try_into().unwrap();
        assert_eq!(report["kind"], line["next"], "{edited}");
    }
}

#[test]
fn an_edit_for_one_object_of_a_set_concerns_its_mark_only() {
    let at = Deployment::new(20);
    let set = SET.replace("\"*\", \"!Vote\"", "\"Account\", \"Contact\"").replace("{mark}", "{run_id}");
    at.write("jobs/backup.toml", &set);
    at.run(["run", "backup"]).ended(0);
    let next = || -> Vec<_> {
        let lines = lines(&at, &["watermark", "backup"]);
        lines.into_iter().map(|line| (line["object"].clone(), line["next"].clone())).collect()
    };
    let both = |account: &str, contact: &str| {
        vec![(json!("Account"), json!(account)), (json!("Contact"), json!(contact))]
    };
    assert_eq!(next(), both("changes", "changes"));
    at.write("jobs/backup.toml", format!("{set}[objects_with.Contact]\nwhere = \"LastName != null\"\n"));
    assert_eq!(next(), both("changes", "full"));
}

#[test]
fn a_mark_is_set_to_a_time_that_the_org_has_reached() {
    let at = Deployment::new(20);
    at.write("jobs/accounts.toml", JOB);
    at.run(["watermark", "accounts", "--set", "2026-01-01T00:00:00Z"])
        .ended(78)
        .says(&["accounts has no mark yet", "run it once"]);
    let left = Watermark {
        deletes_mark: Some("2026-03-01T00:00:00Z".parse().unwrap()),
        ..watermark(SignedDuration::from_mins(30))
    };
    leave(&at, &key("accounts"), &left);
    at.run(["watermark", "accounts", "--set", "2999-01-01T00:00:00Z"])
        .ended(78)
        .says(&["the mark 2999-01-01T00:00:00Z would be ahead of the org's clock"]);
    assert_eq!(state(&at).watermark_of(&key("accounts")).unwrap(), Some(left.clone()));

    at.run(["watermark", "accounts", "--set", "2026-01-02T03:04:05+01:00"]).ended(0);
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let moved = Watermark {
        mark: time("2026-01-02T02:04:05Z"),
        deletes_mark: Some(time("2026-01-02T02:04:00Z")),
        ..left.clone()
    };
    assert_eq!(state(&at).watermark_of(&key("accounts")).unwrap(), Some(moved.clone()));
    // Deletes that are skipped are missing from then on.
    at.run(["watermark", "accounts", "--set", "2026-01-03T00:00:00Z"]).ended(0);
    let skipped = state(&at).watermark_of(&key("accounts")).unwrap().unwrap();
    assert_eq!((skipped.mark, skipped.deletes_complete), (time("2026-01-03T00:00:00Z"), false));
    at.run(["watermark", "accounts"]).ended(0);
    let said = at.run(["watermark", "accounts"]).ended(0).stdout().to_owned();
    assert!(said.contains("some deletes since the last full run are not reported"), "{said}");
}

#[test]
fn a_mark_is_removed_even_if_it_cannot_be_read() {
    let at = Deployment::new(20);
    at.write("jobs/accounts.toml", JOB);
    at.run(["watermark", "accounts", "--reset"]).ended(0);
    leave(&at, &key("accounts"), &watermark(SignedDuration::ZERO));
    at.write("state/watermarks/accounts@default.json", "{");
    at.run(["watermark", "accounts"])
        .ended(73)
        .says(&["cannot read the watermark of accounts", "`sfexport watermark accounts --reset`"]);
    at.run(["watermark", "accounts", "--set", "2026-01-01T00:00:00Z"]).ended(73);
    at.run(["watermark", "accounts", "--reset"]).ended(0);
    assert_eq!(state(&at).watermark_of(&key("accounts")).unwrap(), None);
}

#[test]
fn a_mark_is_not_moved_while_the_job_runs() {
    let at = Deployment::new(20);
    at.write("jobs/accounts.toml", JOB);
    at.write("jobs/backup.toml", SET);
    let left = watermark(SignedDuration::from_mins(30));
    leave(&at, &key("accounts"), &left);
    leave(&at, &of_set("Account"), &left);
    let state = state(&at);
    let _run = state.lock_job(&key("accounts")).unwrap();
    let _export = state.lock_job(&of_set("Account")).unwrap();
    for job in ["accounts", "backup"] {
        at.run(["watermark", job, "--reset"]).ended(75).says(&["is already running"]);
        at.run(["watermark", job, "--set", "2026-01-01T00:00:00Z"]).ended(75);
        at.run(["watermark", job]).ended(0);
    }
    assert_eq!(state.watermark_of(&key("accounts")).unwrap(), Some(left.clone()));
    assert_eq!(state.watermark_of(&of_set("Account")).unwrap(), Some(left));
}

#[test]
fn an_interrupted_publish_does_not_undo_a_reset() {
    let at = Deployment::new(20);
    at.write("jobs/accounts.toml", JOB);
    let left = watermark(SignedDuration::from_mins(30));
    leave(&at, &key("accounts"), &left);
    {
        let state = state(&at);
        let publish = JournalEntry::Publish {
            intent: RecoveryData::new(json!({})),
            after: None,
            watermark: Some(Box::new(left)),
        };
        state.note(&state.lock_job(&key("accounts")).unwrap(), &publish).unwrap();
    }
    at.run(["watermark", "accounts", "--reset"]).ended(0);
    let state = state(&at);
    let journal = state.journal(&state.lock_job(&key("accounts")).unwrap()).unwrap();
    assert!(journal.intents().all(|intent| intent.watermark.is_none()));
    assert_eq!(journal.intents().count(), 1);
}

#[test]
fn a_set_has_a_mark_for_each_object() {
    let at = Deployment::new(20);
    at.write("jobs/backup.toml", SET);
    at.run(["watermark", "backup"]).ended(0);
    assert_eq!(lines(&at, &["watermark", "backup"]), [Value::Null; 0]);
    let minutes = SignedDuration::from_mins;
    for (object, ago) in [("Account", 30), ("Contact", 90), ("Task", 60)] {
        leave(&at, &of_set(object), &watermark(minutes(ago)));
    }
    let objects = |lines: Vec<Value>| -> Vec<String> {
        lines.iter().map(|line| line["object"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(objects(lines(&at, &["watermark", "backup"])), ["Account", "Contact", "Task"]);
    assert_eq!(objects(lines(&at, &["watermark", "backup", "--object", "contact"])), ["Contact"]);
    at.run(["watermark", "backup", "--object", "Vote"]).ended(2).says(&["which does not include it"]);
    at.run(["watermark", "backup", "--object", "Contact", "--reset"]).ended(0);
    let marked = || state(&at).marked_objects(&key("backup")).unwrap();
    assert_eq!(marked().iter().map(ObjectName::as_str).collect::<Vec<_>>(), ["Account", "Task"]);
    at.run(["watermark", "backup", "--set", "2026-01-01T00:00:00Z"]).ended(0);
    for object in ["Account", "Task"] {
        let moved = state(&at).watermark_of(&of_set(object)).unwrap().unwrap();
        assert_eq!(moved.mark.to_string(), "2026-01-01T00:00:00Z");
    }
    at.run(["watermark", "backup", "--reset"]).ended(0);
    assert_eq!(marked(), []);
}

#[test]
fn a_mark_of_one_org_is_not_moved_with_those_of_others() {
    let at = Deployment::new(20);
    at.configure(&at.org_table("orgs.emea"));
    at.write("jobs/accounts.toml", format!("orgs = [\"*\"]\n{}", JOB.replace("{job}", "{org}")));
    let emea = ExportKey::new(JobName::parse("accounts").unwrap(), OrgName::parse("emea").unwrap());
    let left = watermark(SignedDuration::from_mins(30));
    for key in [&key("accounts"), &emea] {
        leave(&at, key, &left);
    }
    assert_eq!(lines(&at, &["watermark", "accounts"]).len(), 2);
    at.run(["watermark", "accounts", "--reset"]).ended(2).says(&["exports from 2 orgs", "--org default"]);
    at.run(["watermark", "accounts", "--org", "emea", "--reset"]).ended(0);
    assert_eq!(state(&at).watermark_of(&emea).unwrap(), None);
    assert_eq!(state(&at).watermark_of(&key("accounts")).unwrap(), Some(left));
}

#[test]
fn a_job_that_is_not_incremental_has_no_mark() {
    let at = Deployment::new(20);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.run(["watermark", "accounts"]).ended(78).says(&["is not incremental", "[incremental]"]);
    // One that was incremental before still has one to remove.
    leave(&at, &key("accounts"), &watermark(SignedDuration::ZERO));
    at.run(["watermark", "accounts", "--reset"]).ended(0);
    assert!(fs::read_dir(at.path("state/watermarks")).unwrap().next().is_none());
}

#[test]
fn jobs_and_history_show_marks() {
    let at = Deployment::new(20);
    at.job("plain", "SELECT Id FROM Account", "accounts.csv", "");
    let first_line = |at: &Deployment, arguments: &[&str]| {
        let said = at.run(arguments.iter().copied()).ended(0).stdout().to_owned();
        said.lines()
            .next()
            .unwrap()
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(first_line(&at, &["jobs"]), ["JOB", "NEXT RUN", "LAST RUN", "RESULT"]);
    at.write("jobs/backup.toml", SET);
    let minutes = SignedDuration::from_mins;
    // The oldest mark of an object that is still exported decides.
    for (object, ago) in [("Account", 30), ("Contact", 90), ("Vote", 900)] {
        leave(&at, &of_set(object), &watermark(minutes(ago)));
    }
    assert_eq!(first_line(&at, &["jobs"]), ["JOB", "NEXT RUN", "LAST RUN", "BEHIND", "RESULT"]);
    let said = at.run(["jobs"]).ended(0).stdout().to_owned();
    let row: Vec<_> =
        said.lines().find(|line| line.starts_with("backup")).unwrap().split("  ").map(str::trim).collect();
    assert!(row.contains(&"90 min"), "{said}");
    let jobs = lines(&at, &["jobs"]);
    let backup = jobs.iter().find(|line| line["job"] == "backup").unwrap();
    assert_eq!(backup["mark"], json!(state(&at).watermark_of(&of_set("Contact")).unwrap().unwrap().mark));
    let plain = jobs.iter().find(|line| line["job"] == "plain").unwrap();
    assert_eq!((&plain["mark"], &plain["behind_seconds"]), (&Value::Null, &Value::Null));

    let started = Timestamp::now() - minutes(90);
    let mut report = RunReport::begun("accounts", "default", RunId::new(started, 1), started);
    (report.status, report.exit_status, report.ended) = (RunStatus::Ok, 0, started);
    state(&at).append(&report).unwrap();
    assert_eq!(first_line(&at, &["history"]), ["ENDED", "JOB", "RESULT", "RECORDS", "SIZE", "TOOK"]);
    report.kind = Some(ExportKind::Changes);
    report.mark = Some("2026-11-22T01:00:00Z".parse().unwrap());
    state(&at).append(&report).unwrap();
    assert_eq!(first_line(&at, &["history"]), ["ENDED", "JOB", "KIND", "RESULT", "RECORDS", "SIZE", "TOOK"]);
    let said = at.run(["history", "--wide"]).ended(0).stdout().to_owned();
    let line = said.lines().nth(1).unwrap();
    assert!(line.contains("accounts  changes") && line.contains("2026-11-22 01:00:00"), "{said}");
}

#[test]
fn the_status_port_shows_how_far_marks_are_behind() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.write("jobs/accounts.toml", format!("schedule = \"@yearly\"\n{JOB}"));
    at.write("jobs/contacts.toml", format!("schedule = \"@yearly\"\n{}", JOB.replace("Account", "Contact")));
    leave(&at, &key("accounts"), &watermark(SignedDuration::from_mins(30)));
    let daemon = Process::start(&at);
    let port = daemon.status_port();
    let behind = |job: &str| {
        let labels = format!("{{job=\"{job}\",org=\"default\"}}");
        sample(&get(port, "/metrics").1, &format!("sfexport_watermark_behind_seconds{labels}"))
    };
    let seconds = behind("accounts");
    assert!((1_800.0..1_900.0).contains(&seconds), "{seconds}");
    assert!(behind("contacts").is_nan());
    assert!(get(port, "/").1.contains("<small>30 min behind the org</small>"));
    let page = get(port, "/jobs/accounts").1;
    assert!(page.contains("<dt>Mark</dt>") && page.contains("30 min behind the org"), "{page}");
    assert!(get(port, "/jobs/contacts").1.contains("none yet"));
}

//! What runs that died have left, and what the next runs of the job, of others and of queries do with it.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde_json::json;
use sfexport::job::{ExportKey, IfExists, JobName, Location, RecoveryData};
use sfexport::org::OrgName;
use sfexport::output::{LocalFile, Output, Sealed, intent};
use sfexport::report::RunId;
use sfexport::state::{JobLock, JournalEntry, State, Watermark};
use support::{Deployment, assert_same, csv, live};

const SOQL: &str = "SELECT Id, Name FROM Account";
const COMPLETE: &str = "Id,Name\nof the run that died,\n";

fn state(at: &Deployment) -> State {
    State::open(&at.path("state")).unwrap()
}

fn lock(at: &Deployment, job: &str) -> JobLock {
    state(at).lock_job(&ExportKey::new(JobName::parse(job).unwrap(), OrgName::default_org())).unwrap()
}

fn output(at: &Deployment, path: &str) -> Output {
    LocalFile::new(&at.path(path), IfExists::Replace, None).unwrap().into()
}

/// Writes these outputs to their stages and journals the intent to publish them, as a run of `job` does.
fn intended(at: &Deployment, job: &str, outputs: &[Output]) -> Vec<Box<dyn Sealed>> {
    intended_until(at, job, outputs, None)
}

/// The same as an incremental run that moves the mark.
fn intended_until(
    at: &Deployment,
    job: &str,
    outputs: &[Output],
    watermark: Option<Watermark>,
) -> Vec<Box<dyn Sealed>> {
    let run = RunId::parse("20261122T010000Z-1f2e3d4c").unwrap();
    let (state, lock) = (state(at), lock(at, job));
    let stages: Vec<_> = outputs.iter().flat_map(|output| output.stages(&run)).collect();
    state.note(&lock, &JournalEntry::Stages { stages }).unwrap();
    let seal = |output: &Output| {
        let mut staged = output.stage(&run).unwrap();
        staged.write_all(COMPLETE.as_bytes()).unwrap();
        staged.seal().unwrap()
    };
    let sealed: Vec<_> = outputs.iter().map(seal).collect();
    let intent = intent(&sealed).unwrap().unwrap();
    let watermark = watermark.map(Box::new);
    state.note(&lock, &JournalEntry::Publish { intent, after: None, watermark }).unwrap();
    sealed
}

/// As if a run of `job` had died when its stage was whole and its intent noted; the stage's path.
fn died(at: &Deployment, job: &str, path: &str) -> PathBuf {
    intended(at, job, &[output(at, path)]).into_iter().for_each(Sealed::leave);
    let name = at.path(path).file_name().unwrap().to_str().unwrap().to_owned();
    let stage = at.path(path).with_file_name(format!(".{name}.20261122T010000Z-1f2e3d4c.partial"));
    assert!(stage.exists());
    stage
}

fn accounts(at: &Deployment) -> Vec<u8> {
    csv(&["Id", "Name"], &live(at.data(), "Account"))
}

fn notes(at: &Deployment) -> Vec<String> {
    at.names_below("state/journal")
}

#[test]
fn a_query_removes_no_stage_that_a_job_is_to_publish() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("exports/accounts.csv", "former\n");
    let stage = died(&at, "accounts", "exports/accounts.csv");
    let mine = at.path("exports/.accounts.csv.20261122T010000Z-00000001.query.partial");
    fs::write(&mine, "half").unwrap();
    let refused = ["query", "SELECT Nonsense FROM Account", "-o", "exports/accounts.csv"];
    assert_eq!(at.command(refused).output().unwrap().status.code(), Some(65));
    assert!(stage.exists(), "it waits for its job");
    assert!(!mine.exists(), "a query's own is known by its name");
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["finished an interrupted publish"]);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_eq!(notes(&at), [""; 0]);
}

#[test]
fn a_mark_moves_with_an_interrupted_publish_or_not_at_all() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "moved.csv", "");
    let key = ExportKey::new(JobName::parse("accounts").unwrap(), OrgName::default_org());
    let watermark = |mark: &str| Watermark {
        mark: mark.parse().unwrap(),
        deletes_mark: None,
        field: "SystemModstamp".to_owned(),
        org_id: "00D000000000001EAA".to_owned(),
        fingerprint: "1f2e".to_owned(),
        columns: vec!["Id".to_owned()],
        full_started: mark.parse().unwrap(),
        org_ahead_seconds: 0,
        deletes_complete: true,
        full_forced: false,
    };
    let interrupted =
        |name: &str, mark: &str| intended_until(&at, "accounts", &[output(&at, name)], Some(watermark(mark)));
    let mark = |expected: &str| {
        at.run(["run", "accounts", "--dry-run"]).ended(0);
        assert_eq!(state(&at).watermark_of(&key).unwrap(), Some(watermark(expected)));
        assert_eq!(notes(&at), [""; 0]);
    };

    interrupted("exports/first.csv", "2026-11-22T01:00:00Z").into_iter().for_each(Sealed::leave);
    mark("2026-11-22T01:00:00Z");
    assert_eq!(at.text("exports/first.csv"), COMPLETE);

    // The process died after the file was in place, before the mark was.
    sfexport::output::publish(interrupted("exports/second.csv", "2026-11-22T02:00:00Z")).unwrap();
    mark("2026-11-22T02:00:00Z");

    // What was to be published is gone.
    interrupted("exports/third.csv", "2026-11-22T03:00:00Z").into_iter().for_each(Sealed::leave);
    fs::remove_file(at.path("exports/.third.csv.20261122T010000Z-1f2e3d4c.partial")).unwrap();
    mark("2026-11-22T02:00:00Z");
}

#[test]
fn an_export_that_is_published_late_never_replaces_a_newer_one() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    let stage = died(&at, "accounts", "exports/accounts.csv");
    let output = at.command(["query", SOQL, "-o", "exports/accounts.csv"]).output().unwrap();
    assert!(output.status.success() && stage.exists());
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["gave up an interrupted publish: a newer file"]);
    assert_same(&at.read("exports/accounts.csv"), &accounts(&at));
    assert_eq!(notes(&at), [""; 0]);
}

#[test]
fn what_a_job_left_is_published_by_the_one_that_has_its_output_now() {
    let at = Deployment::new(20);
    at.job("renamed", SOQL, "accounts.csv", "");
    at.write("exports/accounts.csv", "former\n");
    died(&at, "accounts", "exports/accounts.csv");
    at.run(["run", "renamed", "--dry-run"]).ended(0);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_eq!(notes(&at), [""; 0]);
    // One whose output is another stays what it was.
    let elsewhere = died(&at, "accounts", "exports/elsewhere.csv");
    let output = at.command(["run", "renamed"]).output().unwrap();
    assert!(output.status.success() && elsewhere.exists());
    assert_eq!(notes(&at), ["accounts@default.json"]);
    assert_same(&at.read("exports/accounts.csv"), &accounts(&at));
}

#[test]
fn an_output_that_another_run_writes_is_left_to_it_until_its_end() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "moved.csv", "");
    let stage = died(&at, "accounts", "exports/accounts.csv");
    {
        let state = state(&at);
        let _other = state
            .lock_output(&Location::File(
                at.path("exports/accounts.csv").canonicalize().unwrap_or(at.path("exports/accounts.csv")),
            ))
            .unwrap();
        let output = at.command(["run", "accounts"]).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        assert!(stage.exists() && !at.path("exports/moved.csv").exists());
        assert_eq!(notes(&at), ["accounts@default.json"]);
    }
    at.run(["run", "accounts"]).ended(0);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_same(&at.read("exports/moved.csv"), &accounts(&at));
}

#[test]
fn a_stage_that_cannot_be_removed_keeps_no_run_from_its_work_and_is_removed_when_it_can() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    // What is no file cannot be locked, and so is not removed.
    let stage = at.path("exports/.then.csv.20261122T010000Z-1f2e3d4c.partial");
    fs::create_dir_all(&stage).unwrap();
    let stages = vec![RecoveryData::new(json!({ "path": stage }))];
    state(&at).note(&lock(&at, "accounts"), &JournalEntry::Stages { stages }).unwrap();
    for _ in 0..2 {
        let output = at.command(["run", "accounts"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(notes(&at), ["accounts@default.json"]);
    }
    fs::remove_dir(&stage).unwrap();
    fs::write(&stage, "half").unwrap();
    at.run(["run", "accounts"]).ended(0);
    assert!(!stage.exists());
    assert_eq!(notes(&at), [""; 0]);
}

#[test]
fn a_stage_that_only_a_later_version_knows_stays_noted() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    let later = RecoveryData::new(json!({ "upload": "2~abc" }));
    let entry = JournalEntry::Stages { stages: vec![later.clone()] };
    state(&at).note(&lock(&at, "accounts"), &entry).unwrap();
    at.run(["run", "accounts"]).ended(0).says(&["cannot remove an old temporary file"]);
    let (state, lock) = (state(&at), lock(&at, "accounts"));
    assert!(state.journal(&lock).unwrap().stages().eq([&later]));
}

/// As if a run of `accounts`, of two files, had died between its two renames; the stage that is left.
fn died_half_done(at: &Deployment) -> PathBuf {
    let mut outputs = output(at, "exports/accounts.csv").group(&["Contacts".to_owned()]).unwrap();
    outputs.reverse();
    for output in &outputs {
        let path = output.location().path().unwrap().to_owned();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "former\n").unwrap();
    }
    let mut sealed = intended(at, "accounts", &outputs);
    sealed[0].publish().unwrap();
    sealed.into_iter().for_each(Sealed::leave);
    let stage = at.path("exports/.accounts.csv.20261122T010000Z-1f2e3d4c.group.partial");
    assert!(stage.exists());
    stage
}

const WITH_CONTACTS: &str = "SELECT Id, Name, (SELECT Id FROM Contacts) FROM Account";

#[test]
fn a_run_with_another_state_directory_takes_nothing_that_waits_with_its_group() {
    let at = Deployment::new(20);
    at.job("accounts", WITH_CONTACTS, "accounts.csv", "children = \"files\"");
    let waiting = died_half_done(&at);
    // Nor does a dry run take what nobody would miss.
    let dead = at.path("exports/.accounts.csv.20261122T010000Z-00000001.partial");
    fs::write(&dead, "half").unwrap();
    let elsewhere = |arguments: &[&str]| {
        let output = at.command(["--state-dir", "elsewhere"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    elsewhere(&["run", "accounts", "--dry-run"]);
    assert!(waiting.exists() && dead.exists());
    fs::remove_file(&dead).unwrap();
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["finished an interrupted publish"]);
    assert_eq!(at.text("exports/accounts.Contacts.csv"), COMPLETE);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_eq!(notes(&at), [""; 0]);

    let waiting = died_half_done(&at);
    fs::write(&dead, "half").unwrap();
    at.job("accounts", SOQL, "accounts.csv", "");
    elsewhere(&["run", "accounts"]);
    at.job("accounts", WITH_CONTACTS, "accounts.csv", "children = \"files\"");
    assert!(waiting.exists() && !dead.exists());
    let output = at.command(["run", "accounts"]).output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["some of the run's files are in place", "accounts.csv is from another run", "move", "remove"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(waiting.exists(), "it may be the only copy");
    assert_eq!(notes(&at), ["accounts@default.json"]);
    fs::remove_file(&waiting).unwrap();
    at.run(["run", "accounts"]).ended(0).says(&["its temporary file is gone"]);
    assert_eq!(notes(&at), [""; 0]);
    assert_ne!(at.text("exports/accounts.Contacts.csv"), COMPLETE);
}

#[test]
fn a_stage_that_somebody_took_is_a_warning_of_the_run_that_misses_it() {
    let at = Deployment::new(20);
    at.job("accounts", WITH_CONTACTS, "accounts.csv", "children = \"files\"");
    fs::remove_file(died_half_done(&at)).unwrap();
    let told =
        at.run(["run", "accounts", "--dry-run", "--json"]).ended(0).says(&["its temporary file is gone"]);
    let warning = told.reports()[0]["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("an interrupted run of accounts did not publish"), "{warning}");
}

#[test]
fn a_run_that_another_job_keeps_out_is_in_the_history_and_one_beside_its_own_is_not() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    let state = state(&at);
    let kept_out = |arguments: &[&str]| {
        let output = at.command(["run", "accounts"]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        state.history().unwrap().map(Result::unwrap).collect::<Vec<_>>()
    };
    {
        let _own = lock(&at, "accounts");
        assert_eq!(kept_out(&[]), []);
        let told = kept_out(&["--at", "2026-11-22T01:00:00Z"]);
        assert_eq!(told.len(), 1, "an occurrence that was not run");
        assert!(told[0].error.as_ref().unwrap().contains("is already running"), "{told:?}");
    }
    let _other = state
        .lock_output(&Location::File(
            at.path("exports/accounts.csv").canonicalize().unwrap_or(at.path("exports/accounts.csv")),
        ))
        .unwrap();
    assert_eq!(kept_out(&["--dry-run"]).len(), 1);
    let told = kept_out(&[]);
    assert_eq!((told.len(), told[0].exit_status), (2, 75));
    assert!(told[0].error.as_ref().unwrap().contains("accounts.csv is already being written"), "{told:?}");
}

#[test]
fn a_publish_that_version_0_1_left_is_finished() {
    let at = Deployment::new(20);
    at.job("accounts", WITH_CONTACTS, "accounts.csv", "children = \"files\"");
    let waiting = died_half_done(&at);
    let main = at.path("exports/accounts.csv");
    let child = at.path("exports/accounts.Contacts.csv");
    let known = |path: &PathBuf| {
        let found = fs::metadata(path).unwrap();
        let modified = [found.mtime(), found.mtime_nsec()];
        json!({ "device": found.dev(), "inode": found.ino(), "bytes": found.size(), "modified": modified })
    };
    let gone = at.path("exports/.accounts.Contacts.csv.20261122T010000Z-1f2e3d4c.group.partial");
    let note = json!({
        "stages": [{ "path": gone }, { "path": waiting }],
        "intent": {
            "renamings": [[{ "path": gone }, { "path": child }], [{ "path": waiting }, { "path": main }]],
            "known": [
                { "stage": known(&child), "former": null },
                { "stage": known(&waiting), "former": known(&main) },
            ],
            "if_exists": "replace",
        },
    });
    // The whole state directory as that version left it.
    fs::remove_dir_all(at.path("state")).unwrap();
    at.write("state/unfinished/accounts.json", note.to_string());
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["finished an interrupted publish"]);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_eq!(at.text("exports/accounts.Contacts.csv"), COMPLETE);
    assert_eq!(notes(&at), [""; 0]);
}

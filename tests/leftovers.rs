//! What runs that died have left, and what the next runs of the job, of others and of queries do with it.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::path::PathBuf;

use sfexport::job::{IfExists, JobName};
use sfexport::output::known_files;
use sfexport::state::{JobLock, PublishIntent, State};
use support::{Deployment, assert_same, csv, live};

const SOQL: &str = "SELECT Id, Name FROM Account";
const COMPLETE: &str = "Id,Name\nof the run that died,\n";

fn state(at: &Deployment) -> State {
    State::open(&at.path("state")).unwrap()
}

fn lock(at: &Deployment, job: &str) -> JobLock {
    state(at).lock_job(&JobName::parse(job).unwrap()).unwrap()
}

/// As if a run of `job` had died when its stage was whole and its intent noted; the stage's path.
fn died(at: &Deployment, job: &str, output: &str) -> PathBuf {
    let output = at.path(output);
    let name =
        format!(".{}.20261122T010000Z-1f2e3d4c.partial", output.file_name().unwrap().to_str().unwrap());
    let stage = output.with_file_name(name);
    fs::create_dir_all(output.parent().unwrap()).unwrap();
    fs::write(&stage, COMPLETE).unwrap();
    let (state, lock) = (state(at), lock(at, job));
    state.note_stages(&lock, std::slice::from_ref(&stage)).unwrap();
    let known = vec![known_files(&stage, &output).unwrap()];
    let renamings = vec![(stage.clone(), output)];
    let intent = PublishIntent { renamings, known, if_exists: IfExists::Replace };
    state.note_intent(&lock, intent).unwrap();
    stage
}

fn accounts(at: &Deployment) -> Vec<u8> {
    csv(&["Id", "Name"], &live(at.data(), "Account"))
}

fn notes(at: &Deployment) -> Vec<String> {
    at.names_below("state/unfinished")
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
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["a publish that was interrupted is done"]);
    assert_eq!(at.text("exports/accounts.csv"), COMPLETE);
    assert_eq!(notes(&at), [""; 0]);
}

#[test]
fn an_export_that_is_published_late_never_replaces_a_newer_one() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    let stage = died(&at, "accounts", "exports/accounts.csv");
    let output = at.command(["query", SOQL, "-o", "exports/accounts.csv"]).output().unwrap();
    assert!(output.status.success() && stage.exists());
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["is given up: a newer file has come"]);
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
    assert_eq!(notes(&at), ["accounts.json"]);
    assert_same(&at.read("exports/accounts.csv"), &accounts(&at));
}

#[test]
fn an_output_that_another_run_writes_is_left_to_it_until_its_end() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "moved.csv", "");
    let stage = died(&at, "accounts", "exports/accounts.csv");
    {
        let state = state(&at);
        let _other = state.lock_output(&at.path("exports/accounts.csv")).unwrap();
        let output = at.command(["run", "accounts"]).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        assert!(stage.exists() && !at.path("exports/moved.csv").exists());
        assert_eq!(notes(&at), ["accounts.json"]);
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
    state(&at).note_stages(&lock(&at, "accounts"), std::slice::from_ref(&stage)).unwrap();
    for _ in 0..2 {
        let output = at.command(["run", "accounts"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(notes(&at), ["accounts.json"]);
    }
    fs::remove_dir(&stage).unwrap();
    fs::write(&stage, "half").unwrap();
    at.run(["run", "accounts"]).ended(0);
    assert!(!stage.exists());
    assert_eq!(notes(&at), [""; 0]);
}

/// As if a run of `accounts`, of two files, had died between its two renames; the stage that is left.
fn died_half_done(at: &Deployment) -> PathBuf {
    let (child, main) = (at.path("exports/accounts.Contacts.csv"), at.path("exports/accounts.csv"));
    let waiting = |output: &PathBuf| {
        let name = output.file_name().unwrap().to_str().unwrap();
        output.with_file_name(format!(".{name}.20261122T010000Z-1f2e3d4c.group.partial"))
    };
    fs::create_dir_all(child.parent().unwrap()).unwrap();
    let renamings = vec![(waiting(&child), child), (waiting(&main), main)];
    for (stage, output) in &renamings {
        fs::write(stage, COMPLETE).unwrap();
        fs::write(output, "former\n").unwrap();
    }
    let known = renamings.iter().map(|(stage, output)| known_files(stage, output).unwrap()).collect();
    let (first, second) = (renamings[0].clone(), renamings[1].0.clone());
    let (state, lock) = (state(at), lock(at, "accounts"));
    state.note_stages(&lock, &[first.0.clone(), second.clone()]).unwrap();
    state.note_intent(&lock, PublishIntent { renamings, known, if_exists: IfExists::Replace }).unwrap();
    fs::rename(first.0, first.1).unwrap();
    second
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
    at.run(["run", "accounts", "--dry-run"]).ended(0).says(&["a publish that was interrupted is done"]);
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
    for part in ["some of the run's files are in place", "accounts.csv is of another run", "move", "remove"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(waiting.exists(), "it may be the only copy");
    assert_eq!(notes(&at), ["accounts.json"]);
    fs::remove_file(&waiting).unwrap();
    at.run(["run", "accounts"]).ended(0).says(&["its stage is gone"]);
    assert_eq!(notes(&at), [""; 0]);
    assert_ne!(at.text("exports/accounts.Contacts.csv"), COMPLETE);
}

#[test]
fn a_stage_that_somebody_took_is_a_warning_of_the_run_that_misses_it() {
    let at = Deployment::new(20);
    at.job("accounts", WITH_CONTACTS, "accounts.csv", "children = \"files\"");
    fs::remove_file(died_half_done(&at)).unwrap();
    let told = at.run(["run", "accounts", "--dry-run", "--json"]).ended(0).says(&["its stage is gone"]);
    let warning = told.reports()[0]["warnings"][0].as_str().unwrap().to_owned();
    assert!(
        warning.contains("accounts.csv is not what an interrupted run of accounts was to publish"),
        "{warning}"
    );
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
        assert!(told[0].error.as_ref().unwrap().contains("is being run already"), "{told:?}");
    }
    let _other = state.lock_output(&at.path("exports/accounts.csv")).unwrap();
    assert_eq!(kept_out(&["--dry-run"]).len(), 1);
    let told = kept_out(&[]);
    assert_eq!((told.len(), told[0].exit_status), (2, 75));
    assert!(told[0].error.as_ref().unwrap().contains("accounts.csv is being written already"), "{told:?}");
}

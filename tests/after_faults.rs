//! The command after an export (`after`) when much else goes wrong: a crash between the record of a publish and its end,
//! commands that misbehave, a state directory that disappears, and signals to a daemon.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::command::{by_hand, job, once, ran};
use support::daemon::{Process, SOQL, due, history, wait_for};
use support::{Deployment, secret_in};

/// The record of the job's unfinished runs.
const JOURNAL: &str = "state/journal/accounts@default.json";

/// A script that records the run.
const NOTE: &str = "echo \"$4\" >> ran";

/// The journal of a run that died.
fn journal(at: &Deployment, entries: &Value) {
    at.write(JOURNAL, json!({"job": "accounts", "org": "default", "content": entries}).to_string());
}

/// The report of an export of [`TIME`] as it was recorded, of a run with this id.
fn recorded(at: &Deployment, run_id: &str) -> Value {
    let outcome = once(at).ended(0);
    let mut report = outcome.reports().remove(0);
    report["run_id"] = run_id.into();
    fs::remove_file(at.path("state/runs.jsonl")).unwrap();
    fs::remove_file(at.path("ran")).unwrap();
    report
}

/// How the journal describes a file.
fn identity(path: &Path) -> Value {
    fs::metadata(path).map_or(Value::Null, |file| {
        let (device, inode, modified) = (file.dev(), file.ino(), [file.mtime(), file.mtime_nsec()]);
        json!({"device": device, "inode": inode, "bytes": file.len(), "modified": modified})
    })
}

const DEAD: &str = "20260301T020000Z-0000dead";
const EARLIER: &str = "20260228T020000Z-0000dead";

/// Leaves what a run leaves that dies between the record of its publish and the rename.
fn died_before_the_rename(at: &Deployment, if_exists: &str) -> Vec<u8> {
    let report = recorded(at, DEAD);
    let mut earlier = report.clone();
    (earlier["run_id"], earlier["scheduled"]) = (EARLIER.into(), "2026-02-28T02:00:00Z".into());
    let (stage, output) =
        (at.path(&format!("exports/.accounts.csv.{DEAD}.partial")), at.path("exports/accounts.csv"));
    let export = fs::read(&output).unwrap();
    fs::rename(&output, &stage).unwrap();
    if if_exists == "replace" {
        fs::write(&output, "Id,Name\n").unwrap();
    }
    let intent = json!({
        "renamings": [[{"path": stage}, {"path": output}]],
        "known": [{"stage": identity(&stage), "former": identity(&output)}],
        "if_exists": if_exists,
    });
    let entries = json!([
        {"kind": "after", "report": earlier},
        {"kind": "stages", "stages": [{"path": stage}]},
        {"kind": "publish", "intent": intent, "after": report},
    ]);
    journal(at, &entries);
    export
}

#[test]
fn a_publish_cut_off_by_a_crash_is_followed_by_its_command() {
    for if_exists in ["replace", "fail"] {
        let at = Deployment::new(20);
        job(&at, NOTE, &format!("if_exists = \"{if_exists}\""));
        let export = died_before_the_rename(&at, if_exists);
        let requests = at.org().requests().len();
        let report = once(&at).ended(0).reports().remove(0);
        assert_eq!(at.read("exports/accounts.csv"), export, "{if_exists}");
        assert_eq!(at.org().requests().len(), requests, "{if_exists}");
        // The command of the export before it is not run: the new one has taken its place.
        assert_eq!(ran(&at), [DEAD], "{if_exists}");
        assert_eq!(report["after"].as_array().unwrap().len(), 1);
        assert_eq!(report["after"][0]["run_id"], DEAD);
        assert!(!at.path(JOURNAL).exists());
        once(&at).ended(0);
        assert_eq!(ran(&at), [DEAD], "{if_exists}");
    }
}

#[test]
fn a_dry_run_finishes_the_publish_and_keeps_its_command() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    let export = died_before_the_rename(&at, "replace");
    at.run(["run", "accounts", "--dry-run"]).ended(0);
    assert_eq!(at.read("exports/accounts.csv"), export);
    assert_eq!(ran(&at), [""; 0]);
    once(&at).ended(0);
    assert_eq!(ran(&at), [DEAD]);
}

#[test]
fn an_export_that_never_appeared_is_followed_by_no_command() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    died_before_the_rename(&at, "replace");
    // The temporary file is lost, and the output is still that of another night.
    fs::remove_file(at.path(&format!("exports/.accounts.csv.{DEAD}.partial"))).unwrap();
    let report = once(&at).ended(0).reports().remove(0);
    // The command of the night before, and then the retry's own.
    assert_eq!(ran(&at), [EARLIER, report["run_id"].as_str().unwrap()]);
}

#[test]
fn the_own_command_succeeds_whatever_becomes_of_an_earlier_one() {
    let at = Deployment::new(20);
    job(&at, "echo \"$4\" >> ran; test \"$4\" != 20260228T020000Z-0000dead", "");
    let own = recorded(&at, DEAD);
    let mut earlier = own.clone();
    (earlier["run_id"], earlier["scheduled"]) = (EARLIER.into(), "2026-02-28T02:00:00Z".into());
    journal(&at, &json!([{"kind": "after", "report": earlier}, {"kind": "after", "report": own}]));
    let report = once(&at).ended(0).reports().remove(0);
    assert_eq!(ran(&at), [EARLIER, DEAD]);
    assert!(report["warnings"].to_string().contains("the command after an earlier export failed again"));
    // The one that failed is still pending.
    at.run(["run", "accounts", "--at", "2026-03-02T02:00:00Z", "--once"]).ended(0);
    assert_eq!(ran(&at)[2], EARLIER);
}

#[test]
fn a_record_that_cannot_be_read_starts_no_command() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    let report = recorded(&at, DEAD);
    at.write(JOURNAL, "{");
    once(&at).ended(73);
    let later = json!([{"kind": "after", "report": report}, {"kind": "of_a_later_version"}]);
    journal(&at, &later);
    once(&at).ended(73).says(&["of_a_later_version"]);
    assert_eq!(ran(&at), [""; 0]);
    assert_eq!(serde_json::from_str::<Value>(&at.text(JOURNAL)).unwrap()["content"], later);
}

#[test]
fn the_command_of_a_job_with_a_manifest_waits_for_it() {
    let at = Deployment::new(20);
    job(&at, "test -f \"${1%.csv}.manifest.json\" && echo \"$4\" >> ran", "manifest = true");
    fs::create_dir_all(at.path("exports/accounts.manifest.json")).unwrap();
    once(&at).ended(73).says(&["the manifest could not be written", "is a directory"]);
    // That is known before the org is asked.
    assert_eq!((ran(&at), at.logins().len()), (Vec::new(), 0));
    assert!(!at.path("exports/accounts.csv").exists());
    fs::remove_dir(at.path("exports/accounts.manifest.json")).unwrap();
    let report = once(&at).ended(0).reports().remove(0);
    assert_eq!(ran(&at), [report["run_id"].as_str().unwrap()]);
}

#[test]
fn a_report_larger_than_a_pipe_is_read_or_left() {
    let at = Deployment::new(20);
    job(&at, "cat > told; test ! -e broken", "");
    fs::write(at.path("ran"), "").unwrap();
    let mut report = recorded(&at, DEAD);
    let columns: Vec<_> = (0..10_000).map(|number| format!("Custom_field_{number}__c")).collect();
    report["columns"] = columns.into();
    journal(&at, &json!([{"kind": "after", "report": report}]));
    at.write("broken", "");
    once(&at).ended(70);
    assert_eq!(serde_json::from_str::<Value>(&at.text("told")).unwrap()["columns"], report["columns"]);
    // One that closes its input at once, or ends without reading it, is not broken.
    for script in ["exec <&-; sleep 0.1", "true"] {
        journal(&at, &json!([{"kind": "after", "report": report}]));
        at.write("after.sh", script);
        once(&at).ended(0);
        fs::remove_file(at.path("state/runs.jsonl")).unwrap();
    }
}

#[test]
fn a_command_that_ignores_signals_or_leaves_its_group_ends() {
    let at = Deployment::new(20);
    let begun = Instant::now();
    job(&at, "trap '' TERM INT HUP; sleep 60; sleep 60", "after_timeout = \"1s\"");
    by_hand(&at).ended(70).says(&["took longer than 1 s"]);
    // A process in another session holds the output, and is out of reach.
    job(&at, "setsid sleep 60 & echo $! > left; sleep 60", "after_timeout = \"1s\"");
    by_hand(&at).ended(70).says(&["took longer than 1 s"]);
    job(&at, "setsid sleep 60 & echo $! >> left", "");
    by_hand(&at).ended(0);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for pid in at.text("left").lines() {
        Command::new("kill").args(["-KILL", pid]).status().unwrap();
    }
}

#[test]
fn binary_output_reaches_neither_the_log_nor_the_report_raw() {
    let at = Deployment::new(20);
    job(&at, "printf 'a\\377\\376\\000b\\033[2J\\rc\\n'; exit 1", "");
    let outcome = by_hand(&at).ended(70).says(&["\\u{1b}[2J"]);
    let raw = |text: &str| text.chars().any(|letter| letter.is_control() && letter != '\n');
    assert!(!raw(&outcome.stderr), "{:?}", outcome.stderr);
    assert!(!raw(outcome.reports()[0]["error"].as_str().unwrap()), "{}", outcome.stdout());
}

#[test]
fn a_program_that_is_nowhere_in_path_is_named() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    for path in ["", "/nonexistent"] {
        let mut command = at.command(["run", "accounts"]);
        let output = command.env("PATH", path).output().unwrap();
        at.outcome(output).ended(70).says(&["\"sh\" cannot be started: No such file or directory"]);
    }
}

#[test]
fn a_state_directory_deleted_by_the_command_costs_nothing() {
    let at = Deployment::new(20);
    job(&at, "rm -rf state; echo \"$4\" >> ran", "");
    let report = by_hand(&at).ended(0).reports().remove(0);
    let runs: Vec<_> = history(&at).iter().map(|report| report.run_id.to_string()).collect();
    assert_eq!(runs, [report["run_id"].as_str().unwrap()]);
    // If it fails, nothing remembers that it is pending, and the next run exports again.
    job(&at, "rm -rf state; exit 1", "");
    by_hand(&at).ended(70);
    job(&at, NOTE, "");
    by_hand(&at).ended(0);
}

#[test]
fn many_jobs_each_run_their_command() {
    let at = Deployment::new(5);
    at.write("after.sh", "cat > /dev/null; echo \"$1\" >> ran");
    for number in 0..100 {
        let after = "after = [\"sh\", \"after.sh\", \"{job}\"]";
        at.job(&format!("job-{number}"), SOQL, "{job}.csv", after);
    }
    at.run(["run", "--all"]).ended(0);
    let mut ran = ran(&at);
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), 100);
}

/// A daemon whose job's command waits for the file `go`.
fn daemon_with_a_command(at: &Deployment, grace: &str) -> Process {
    at.configure(&format!("[daemon]\nshutdown_grace = \"{grace}\""));
    at.write("after.sh", "echo \"$1\" >> ran; touch started; while ! test -e go; do sleep 0.02; done");
    due(at, "accounts", "after = [\"sh\", \"after.sh\", \"{run_id}\"]\ncatch_up = \"latest\"");
    let daemon = Process::start(at);
    wait_for(|| at.path("started").exists().then_some(())).unwrap_or_else(|| panic!("{}", daemon.said()));
    daemon
}

fn succeeded(at: &Deployment) -> bool {
    history(at).iter().any(|report| report.status.has_run() && report.exit_status == 0)
}

#[test]
fn a_reload_leaves_the_command_that_runs_alone() {
    let at = Deployment::new(20);
    let daemon = daemon_with_a_command(&at, "10s");
    // The job is locked meanwhile.
    by_hand(&at).ended(75).says(&["already running"]);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@hourly\"");
    daemon.signal("HUP");
    daemon.says("reloaded");
    at.write("go", "");
    wait_for(|| succeeded(&at).then_some(())).unwrap_or_else(|| panic!("{}", daemon.said()));
    assert_eq!(ran(&at).len(), 1);
    assert_eq!(secret_in(&daemon.said()), None);
}

#[test]
fn a_daemon_that_stops_gives_the_command_its_grace() {
    let at = Deployment::new(20);
    let mut daemon = daemon_with_a_command(&at, "20s");
    daemon.signal("TERM");
    daemon.says("stopping");
    at.write("go", "");
    assert_eq!(daemon.ended(), 0);
    assert!(succeeded(&at), "{}", daemon.said());
    assert_eq!(ran(&at).len(), 1);
}

#[test]
fn a_daemon_resumes_the_command_that_its_stop_cut_off() {
    let at = Deployment::new(20);
    let mut daemon = daemon_with_a_command(&at, "0s");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    assert!(!succeeded(&at));
    let (logins, queries) = (at.logins().len(), at.queries().len());
    at.write("go", "");
    let daemon = Process::start(&at);
    wait_for(|| succeeded(&at).then_some(())).unwrap_or_else(|| panic!("{}", daemon.said()));
    let ran = ran(&at);
    assert!(ran.len() == 2 && ran[0] == ran[1], "{ran:?}");
    assert_eq!((at.logins().len(), at.queries().len()), (logins, queries));
}

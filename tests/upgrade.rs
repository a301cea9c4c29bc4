//! A state directory that version 0.1 left, unfinished run included, in the hands of this version.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value as Json;
use support::Deployment;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/state-0.1");
const ACCOUNTS: &str = "SELECT Id, Name FROM Account";
const FAMILIES: &str = "SELECT Id, Name, (SELECT Id, Email FROM Contacts) FROM Account";
/// The waiting stage of the interrupted run.
const WAITING: &str = "exports/.families.csv.20261128T002800Z-68748628.group.partial";

/// A deployment with the jobs of the fixture, and what 0.1 left of them.
fn left_by_0_1() -> Deployment {
    let at = Deployment::new(20);
    at.job("accounts", ACCOUNTS, "accounts.csv", "schedule = \"*/5 * * * *\"\ntimezone = \"UTC\"");
    // The wait after a process that died is another test's subject.
    let more = "children = \"files\"\nschedule = \"* * * * *\"\ntimezone = \"UTC\"\nretry_after = \"0s\"";
    at.job("families", FAMILIES, "families.csv", more);
    copy(&at, Path::new(FIXTURE));
    let left: Json = serde_json::from_str(&at.text("state/unfinished/families.json")).unwrap();
    let known = &left["intent"]["known"];
    set_time(&at.path("exports/families.Contacts.csv"), &known[0]["stage"]["modified"]);
    set_time(&at.path("exports/families.csv"), &known[1]["former"]["modified"]);
    set_time(&at.path(WAITING), &known[1]["stage"]["modified"]);
    at
}

/// The same without the run that was interrupted.
fn left_at_rest_by_0_1() -> Deployment {
    let at = left_by_0_1();
    fs::remove_file(at.path(WAITING)).unwrap();
    fs::remove_file(at.path("state/unfinished/families.json")).unwrap();
    at
}

/// Copies what is below the fixture's directory, and tells the texts where they are now.
fn copy(at: &Deployment, directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            copy(at, &path);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let root = at.path("").canonicalize().unwrap();
            let below = path.strip_prefix(FIXTURE).unwrap().to_str().unwrap();
            at.write(below, text.replace("@DIRECTORY@", root.to_str().unwrap()));
        }
    }
}

fn set_time(path: &Path, modified: &Json) {
    let since = Duration::new(modified[0].as_u64().unwrap(), modified[1].as_u64().unwrap() as u32);
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + since);
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

fn files_in(at: &Deployment, directory: &str) -> Vec<String> {
    at.names_below(directory)
}

/// What `jobs --json` says of a job.
fn shown(at: &Deployment, job: &str) -> Json {
    let output = at.command(["jobs", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    lines.into_iter().find(|line| line["job"] == job).unwrap()
}

#[test]
fn a_publish_that_0_1_left_half_done_is_finished() {
    let at = left_by_0_1();
    let (complete, contacts) = (at.read(WAITING), at.read("exports/families.Contacts.csv"));
    assert_eq!(at.text("exports/families.csv"), "Id,Name\nof the night before,\n");
    at.run(["run", "families", "--dry-run"]).ended(0).says(&["finished an interrupted publish"]);
    assert_eq!(at.read("exports/families.csv"), complete);
    assert_eq!(at.read("exports/families.Contacts.csv"), contacts);
    assert_eq!(files_in(&at, "state/unfinished"), [""; 0]);
    assert_eq!(files_in(&at, "state/journal"), [""; 0]);
}

#[test]
fn a_renamed_job_finishes_what_0_1_left_on_its_output() {
    let at = left_by_0_1();
    let complete = at.read(WAITING);
    fs::remove_file(at.path("jobs/families.toml")).unwrap();
    at.job("renamed", FAMILIES, "families.csv", "children = \"files\"");
    at.run(["run", "renamed", "--dry-run"]).ended(0).says(&["finished an interrupted publish"]);
    assert_eq!(at.read("exports/families.csv"), complete);
    assert_eq!(files_in(&at, "state/unfinished"), [""; 0]);
    assert_eq!(files_in(&at, "state/journal"), [""; 0]);
}

#[test]
fn the_columns_that_0_1_noted_are_compared_once() {
    let at = left_at_rest_by_0_1();
    const WIDER: &str = "SELECT Id, Name, Industry FROM Account";
    at.job("accounts", WIDER, "accounts.csv", "columns_pinned = true");
    at.run(["run", "accounts"]).ended(65).says(&["new: Industry", "columns_pinned"]);
    at.job("accounts", WIDER, "accounts.csv", "");
    let drift = "the columns have changed since the last successful run: new: Industry";
    let warnings = |json: &[Json]| json[0]["warnings"].as_array().unwrap().clone();
    let first = at.run(["run", "accounts", "--json"]).ended(0).reports();
    assert_eq!(warnings(&first), [drift]);
    let second = at.run(["run", "accounts", "--json"]).ended(0).reports();
    assert_eq!(warnings(&second), [""; 0]);
    assert_eq!(files_in(&at, "state/columns"), ["accounts@default.json", "families.json"]);
}

#[test]
fn the_history_of_0_1_is_read() {
    let at = left_by_0_1();
    let output = at.command(["history", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["run_id"].clone()).collect();
    assert_eq!(ids, ["20261128T002701Z-150062ec", "20261128T002701Z-5d4186ce"]);
    assert_eq!(shown(&at, "families")["last"]["records"], 29);
}

#[test]
fn a_daemon_goes_on_where_the_marks_of_0_1_say() {
    let at = left_by_0_1();
    // The first of every five minutes after 00:27:01, where the daemon of 0.1 began.
    assert_eq!(shown(&at, "accounts")["next"], "2026-11-28T00:30:00Z");
    let mut daemon = at.command(["daemon"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let history = loop {
        let reports: Vec<Json> =
            at.text("state/runs.jsonl").lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let exported = |job: &str| {
            reports
                .iter()
                .any(|run| run["job"] == job && run["status"] == "ok" && !run["scheduled"].is_null())
        };
        if exported("accounts") && exported("families") {
            break reports;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{reports:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let stopped = Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
    assert!(stopped.success() && daemon.wait().unwrap().success());
    let missed = |job: &str| {
        let missed = history.iter().filter(|run| run["job"] == job && run["status"] == "missed");
        missed.map(|run| run["error"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(missed("accounts")[0].contains("since 2026-11-28T00:30:00Z"), "{:?}", missed("accounts"));
    // The occurrence whose run had begun is known to have come to nothing.
    let is_begun = |run: &&Json| run["scheduled"] == "2026-11-28T00:28:00Z";
    let begun: Vec<_> = history.iter().filter(is_begun).map(|run| (&run["job"], &run["status"])).collect();
    assert_eq!(begun, [(&Json::from("families"), &Json::from("missed"))]);
    assert_eq!(files_in(&at, "state/marks"), ["accounts@default.json", "families@default.json"]);
}

#[test]
fn a_process_of_0_1_that_runs_the_job_keeps_this_version_out() {
    let at = left_at_rest_by_0_1();
    let path = at.path("state/locks/accounts.lock");
    // As 0.1 holds it: the kernel's lock, for itself alone, and its process in the file.
    let held = File::options().write(true).open(&path).unwrap();
    held.lock().unwrap();
    fs::write(&path, "4711\n").unwrap();
    at.run(["run", "accounts"]).ended(75).says(&["job accounts is already running (process 4711)"]);
    drop(held);
    at.run(["run", "accounts"]).ended(0);
}

#[test]
fn a_run_of_this_version_keeps_one_of_0_1_out() {
    use sfexport::demo_org::{At, Fault, Rule};
    let at = left_at_rest_by_0_1();
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let mut run = at.command(["run", "accounts"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while at.queries().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    let lock = File::options().write(true).open(at.path("state/locks/accounts.lock")).unwrap();
    assert!(matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)));
    run.kill().unwrap();
    run.wait().unwrap();
    lock.try_lock().unwrap();
}

#[test]
fn an_entry_of_a_later_version_stops_the_job_and_stays() {
    let at = left_at_rest_by_0_1();
    at.run(["run", "accounts", "--dry-run"]).ended(0);
    let journal = r#"{"job":"accounts","org":"default","content":[{"kind":"bulk_job","id":"750xx"}]}"#;
    at.write("state/journal/accounts@default.json", journal);
    let said = ["an entry of the unknown kind \"bulk_job\"", "accounts@default.json"];
    at.run(["run", "accounts"]).ended(73).says(&said);
    assert_eq!(at.text("state/journal/accounts@default.json"), journal);
    assert_eq!(at.text("exports/accounts.csv"), fs::read_to_string(fixture("exports/accounts.csv")).unwrap());
}

fn fixture(below: &str) -> PathBuf {
    Path::new(FIXTURE).join(below)
}

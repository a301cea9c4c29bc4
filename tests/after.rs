//! The command after an export (`after`), through the binary: what it is given, what becomes of its failures, and that it
//! runs at least once whatever dies.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sfexport::demo_org::{At, Fault, Rule};
use support::command::{TIME, by_hand, job, once, ran};
use support::daemon::{Process, SOQL, due, get, history, wait_for};
use support::{Deployment, Outcome, live};

/// A script that notes the run and succeeds, unless there is a file `broken`.
const NOTE: &str = "echo \"$4\" >> ran; test ! -e broken || { echo 'no bucket' >&2; exit 3; }";

fn run_id(outcome: &Outcome) -> String {
    outcome.reports()[0]["run_id"].as_str().unwrap().to_owned()
}

/// Starts a run, and waits until its command has done `touch started`.
fn started(at: &Deployment) -> Child {
    let mut command = at.command(["run", "accounts", "--at", TIME, "--once"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| at.path("started").exists().then_some(())).unwrap();
    child
}

fn is_alive(pid: &str) -> bool {
    // A process that has been killed stays until its parent has heard of it, which in a container may be never.
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn the_command_gets_the_report_and_its_fields() {
    let at = Deployment::new(20);
    job(&at, "cat > report; echo \"$@\" > arguments; env > variables", "");
    let mut command = at.command(["run", "accounts", "--json"]);
    command.env("SFEXPORT_ORG__AUDIENCE", at.org().url()).env("SFEXPORT_HTTP__ATTEMPTS", "2");
    let outcome = at.outcome(command.output().unwrap()).ended(0);
    let path = at.path("exports/accounts.csv");
    let arguments = format!("{} accounts default {}\n", path.display(), run_id(&outcome));
    assert_eq!(at.text("arguments"), arguments);
    let variables = at.text("variables");
    assert!(variables.contains("SFEXPORT_HTTP__ATTEMPTS=2"), "{variables}");
    assert!(!variables.contains("SFEXPORT_ORG"), "{variables}");
    let told: Value = serde_json::from_str(&at.text("report")).unwrap();
    let report = &outcome.reports()[0];
    for key in ["job", "org", "run_id", "path", "records", "bytes", "sha256", "columns"] {
        assert_eq!(told[key], report[key], "{key}");
    }
    assert_eq!((&told["status"], &told["exit_status"]), (&"ok".into(), &0.into()));
    assert_eq!(report["records"], live(at.data(), "Account").len());
    let after = &report["after"][0];
    assert_eq!((&after["run_id"], &after["exit_status"]), (&report["run_id"], &0.into()));
    assert_eq!(after["error"], Value::Null);
}

#[test]
fn a_dry_run_and_a_failed_run_start_no_command() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    at.run(["run", "accounts", "--dry-run"]).ended(0);
    at.script(Rule::once(At::Page(1), Fault::error(400, "MALFORMED_QUERY", "no")));
    by_hand(&at).ended(65);
    assert_eq!(ran(&at), [""; 0]);
}

#[test]
fn a_retry_of_the_occurrence_repeats_only_the_command() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    at.write("broken", "");
    let first = once(&at).ended(70).says(&[
        "the export is complete, but the command after it failed: \"sh\" ended with exit status 3: no bucket",
        "hint: ",
    ]);
    let report = &first.reports()[0];
    assert_eq!((&report["status"], &report["exit_status"]), (&"failed".into(), &70.into()));
    assert_eq!(report["after"][0]["exit_status"], 3);
    let others = report["error_redacted"].as_str().unwrap();
    assert!(!others.contains("no bucket") && others.ends_with("exit status 3"), "{others}");
    let (file, requests) = (at.read("exports/accounts.csv"), at.org().requests().len());

    once(&at).ended(70);
    fs::remove_file(at.path("broken")).unwrap();
    let third = once(&at).ended(0);
    let report = &third.reports()[0];
    assert_eq!(report["records"], first.reports()[0]["records"]);
    assert_eq!(report["sha256"], first.reports()[0]["sha256"]);
    assert_eq!((&report["api_calls"], &report["logins"]), (&0.into(), &0.into()));
    assert_ne!(run_id(&third), run_id(&first));
    once(&at).ended(0);
    assert_eq!(ran(&at), vec![run_id(&first); 3]);
    assert_eq!(at.org().requests().len(), requests, "the org hears nothing of the retries");
    assert_eq!(at.read("exports/accounts.csv"), file);
}

#[test]
fn the_next_run_first_runs_the_command_that_is_pending() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    at.write("broken", "");
    let first = run_id(&by_hand(&at).ended(70));
    // It fails again, and the new export takes its place.
    let second = by_hand(&at).ended(70);
    let warnings = second.reports()[0]["warnings"].to_string();
    assert!(
        warnings.contains("the command after an earlier export failed again: it ended with exit status 3"),
        "{warnings}"
    );
    let second = run_id(&second);
    fs::remove_file(at.path("broken")).unwrap();
    let third = by_hand(&at).ended(0);
    let runs: Vec<_> =
        third.reports()[0]["after"].as_array().unwrap().iter().map(|after| after["run_id"].clone()).collect();
    let third = run_id(&third);
    assert_eq!(runs, [second.as_str(), third.as_str()]);
    assert_eq!(ran(&at), [&first, &first, &second, &second, &third].map(String::clone));
    by_hand(&at).ended(0);
    assert_eq!(ran(&at).len(), 6);
}

#[test]
fn other_settings_or_another_time_export_again() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    at.write("broken", "");
    once(&at).ended(70);
    fs::remove_file(at.path("broken")).unwrap();
    job(&at, NOTE, "csv.delimiter = \";\"");
    let queries = at.queries().len();
    once(&at).ended(0);
    assert!(at.queries().len() > queries);
    assert!(at.text("exports/accounts.csv").starts_with("Id;Name\n"));
    at.write("broken", "");
    at.run(["run", "accounts", "--at", "2026-03-02T02:00:00Z", "--once"]).ended(70);
    fs::remove_file(at.path("broken")).unwrap();
    let queries = at.queries().len();
    at.run(["run", "accounts", "--at", "2026-03-03T02:00:00Z", "--once"]).ended(0);
    assert!(at.queries().len() > queries);
    // Once, then the former command and its own, twice.
    assert_eq!(ran(&at).len(), 6);
}

#[test]
fn a_job_whose_command_is_pending_is_not_skipped() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    once(&at).ended(0);
    // Exported again for the same time, and this command fails.
    at.write("broken", "");
    at.run(["run", "accounts", "--at", TIME]).ended(70);
    fs::remove_file(at.path("broken")).unwrap();
    let requests = at.org().requests().len();
    let third = once(&at).ended(0);
    assert_eq!(third.reports()[0]["status"], "ok");
    assert_eq!((at.org().requests().len(), ran(&at).len()), (requests, 3));
}

#[test]
fn a_command_pending_for_another_time_repeats_no_export() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    once(&at).ended(0);
    at.write("broken", "");
    at.run(["run", "accounts", "--at", "2026-03-02T02:00:00Z", "--once"]).ended(70);
    fs::remove_file(at.path("broken")).unwrap();
    let requests = at.org().requests().len();
    assert_eq!(once(&at).ended(0).reports()[0]["status"], "skipped");
    assert_eq!((at.org().requests().len(), ran(&at).len()), (requests, 2));
}

#[test]
fn a_pending_command_is_dropped_with_the_key() {
    let at = Deployment::new(20);
    job(&at, NOTE, "");
    at.write("broken", "");
    by_hand(&at).ended(70);
    at.job("accounts", SOQL, "{job}.csv", "");
    by_hand(&at).ended(0);
    fs::remove_file(at.path("broken")).unwrap();
    job(&at, NOTE, "");
    let last = run_id(&by_hand(&at).ended(0));
    assert_eq!(ran(&at).last(), Some(&last));
    assert_eq!(ran(&at).len(), 2);
}

#[test]
fn a_command_whose_run_was_killed_runs_again() {
    let at = Deployment::new(20);
    job(&at, "echo \"$4\" >> ran; test -e second || { echo $$ > pid; touch started; exec sleep 60; }", "");
    let mut first = started(&at);
    first.kill().unwrap();
    first.wait().unwrap();
    let requests = at.org().requests().len();
    at.write("second", "");
    once(&at).ended(0);
    assert_eq!(at.org().requests().len(), requests);
    let ran = ran(&at);
    assert!(ran.len() == 2 && ran[0] == ran[1], "{ran:?}");
    // What the dead run started is not this run's to end.
    let left = at.text("pid");
    assert!(is_alive(&left));
    Command::new("kill").args(["-KILL", left.trim()]).status().unwrap();
}

#[test]
fn a_signal_ends_the_command_and_leaves_it_pending() {
    let at = Deployment::new(20);
    job(&at, "echo \"$4\" >> ran; test -e second || { echo $$ > pid; touch started; exec sleep 60; }", "");
    let mut first = started(&at);
    Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(143));
    assert!(!is_alive(&at.text("pid")));
    let requests = at.org().requests().len();
    at.write("second", "");
    once(&at).ended(0);
    assert_eq!((at.org().requests().len(), ran(&at).len()), (requests, 2));
}

#[test]
fn a_command_that_hangs_is_killed_with_all_it_started() {
    let at = Deployment::new(20);
    let script = "sleep 60 & echo $! > pids; echo $$ >> pids; wait";
    job(&at, script, "after_timeout = \"1s\"");
    by_hand(&at).ended(70).says(&["\"sh\" was killed, because it took longer than 1 s", "after_timeout"]);
    for pid in at.text("pids").lines() {
        assert!(!is_alive(pid), "{pid}");
    }
}

#[test]
fn a_command_may_leave_a_process_behind() {
    let at = Deployment::new(20);
    job(&at, "sleep 60 & echo $! > pid", "");
    by_hand(&at).ended(0);
    let left = at.text("pid");
    assert!(is_alive(&left), "the run has not waited for it");
    Command::new("kill").args(["-KILL", left.trim()]).status().unwrap();
}

#[test]
fn a_flood_of_output_is_bounded_and_cleaned() {
    let at = Deployment::new(20);
    job(&at, "yes flood | head -c 20000000; printf 'the end \\033[2K\\n'; exit 1", "");
    let said = by_hand(&at).ended(70).says(&["the end \\u{1b}[2K"]).stderr;
    // Each line of the flood has five bytes; the log and the error show 4 KiB at most.
    let flood = said.matches("flood").count();
    assert!(flood < 2 * 4096 / 5 && !said.contains('\u{1b}'), "{flood} lines");
    // Nor does a command have to read its input.
    job(&at, "exec <&-; true", "");
    by_hand(&at).ended(0);
}

#[test]
fn a_command_that_cannot_be_started_is_named() {
    let at = Deployment::new(20);
    at.write("jobs/not-executable", "true");
    // A path starts at the directory of the job's file.
    let path = at.path("jobs/not-executable").display().to_string();
    for (program, shown, why) in [
        ("no-such-program", "no-such-program", "No such file or directory"),
        ("./not-executable", path.as_str(), "Permission denied"),
    ] {
        at.job("accounts", SOQL, "{job}.csv", &format!("after = [{program:?}]"));
        let what = format!("\"{shown}\" cannot be started: {why}");
        by_hand(&at).ended(70).says(&[&what, "hint: correct the program in `after`"]);
        let check = at.run(["check", "accounts"]).ended(78);
        assert!(check.stdout().contains(&what), "{}", check.stdout());
    }
    at.job("accounts", SOQL, "{job}.csv", "after = [\"sh\", \"-c\", \"kill -9 $$\"]");
    let check = at.run(["check", "accounts"]).ended(0);
    assert!(check.stdout().contains("/sh runs after each export"), "{}", check.stdout());
    by_hand(&at).ended(70).says(&["\"sh\" was killed by signal 9"]);
}

/// Writes an executable file next to the job.
fn script(at: &Deployment, contents: &str) -> String {
    at.write("jobs/script", contents);
    let path = at.path("jobs/script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[track_caller]
fn checked(at: &Deployment, status: i32, parts: &[&str]) {
    let outcome = at.run(["check", "accounts"]).ended(status);
    for part in parts {
        assert!(outcome.stdout().contains(part), "{part} is not in\n{}", outcome.stdout());
    }
}

#[test]
fn check_finds_a_command_that_the_kernel_would_refuse() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "{job}.csv", "after = [\"./script\"]");
    for (contents, why, hint) in [
        (
            "#!/nonexistent\ntrue\n",
            "the interpreter \"/nonexistent\" in its first line: No such file or directory",
            "correct the interpreter in the first line of",
        ),
        (
            "#!/bin/sh\r\ntrue\r\n",
            "the interpreter \"/bin/sh\\r\" in its first line: No such file or directory",
            "the line ends of Unix (LF, not CRLF)",
        ),
        (
            "true\n",
            "it is a text that does not begin with #!",
            "the line of its interpreter, such as #!/bin/sh",
        ),
    ] {
        let path = script(&at, contents);
        checked(&at, 78, &[&format!("\"{path}\" cannot be started: {why}"), hint]);
        by_hand(&at).ended(70).says(&["cannot be started"]);
    }
    script(&at, "#!/usr/bin/env sh\r\nexit 0\r\n");
    checked(&at, 0, &["! after", "an argument that ends with a carriage return"]);
    for contents in ["#!/bin/sh\n", "#! /usr/bin/env sh\nexit 0"] {
        let path = script(&at, contents);
        checked(&at, 0, &[&format!("{path} runs after each export")]);
        by_hand(&at).ended(0);
    }
}

#[test]
fn a_set_runs_its_command_once_with_the_manifest() {
    let at = Deployment::new(20);
    at.write("after.sh", "echo \"$1\" >> ran; test ! -e broken");
    let set = "objects = [\"Account\", \"Contact\"]\noutput = \"{object}.csv\"\n";
    at.write("jobs/backup.toml", format!("{set}after = [\"sh\", \"after.sh\", \"{{path}}\"]"));
    let manifest = at.path("exports/backup.manifest.json").display().to_string();
    at.run(["run", "backup", "--object", "Account"]).ended(0);
    assert_eq!(ran(&at), [""; 0]);
    // One object fails: the manifest and the command wait for it.
    at.script(Rule::once(At::Soql("from contact".into()), Fault::error(400, "MALFORMED_QUERY", "no")));
    at.write("broken", "");
    let arguments = ["run", "backup", "--at", TIME, "--once", "--json"];
    at.run(arguments).ended(65);
    assert_eq!(ran(&at), [""; 0]);
    at.run(arguments).ended(70).says(&["the export is complete, but the command after it failed"]);
    let requests = at.org().requests().len();
    fs::remove_file(at.path("broken")).unwrap();
    let last = at.run(arguments).ended(0);
    let reports = last.reports();
    assert_eq!(reports.last().unwrap()["set"]["manifest"], manifest.as_str());
    assert_eq!(at.org().requests().len(), requests);
    at.run(arguments).ended(0);
    assert_eq!(ran(&at), [manifest.clone(), manifest]);
}

#[test]
fn the_daemon_retries_the_command_alone() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.write("after.sh", NOTE);
    at.write("broken", "");
    let after = "after = [\"sh\", \"after.sh\", \"\", \"\", \"\", \"{run_id}\"]";
    due(&at, "accounts", &format!("{after}\nretry_after = \"1s\""));
    let daemon = Process::start(&at);
    daemon.says("run will be retried");
    fs::remove_file(at.path("broken")).unwrap();
    wait_for(|| history(&at).iter().any(|report| report.exit_status == 0).then_some(())).unwrap();
    // The missed occurrences come first.
    let reports: Vec<_> = history(&at).into_iter().filter(|report| report.status.has_run()).collect();
    let statuses: Vec<_> = reports.iter().map(|report| report.exit_status).collect();
    assert!(statuses[..statuses.len() - 1].iter().all(|status| *status == 70), "{statuses:?}");
    assert_eq!(ran(&at), vec![reports[0].run_id.to_string(); statuses.len()]);
    assert_eq!(at.logins().len(), 1);
    let metrics = get(daemon.status_port(), "/metrics").1;
    let ok = "sfexport_last_run_exit_status{job=\"accounts\",org=\"default\"} 0\n";
    assert!(
        wait_for(|| get(daemon.status_port(), "/metrics").1.contains(ok).then_some(())).is_some(),
        "{metrics}"
    );
}

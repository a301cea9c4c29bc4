//! The daemon as a user has it: the binary, started, signalled, killed and started again against the embedded org;
//! and, where the clock must be moved or a run must panic, the daemon within the test.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails"
)]

mod support;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use sfexport::clock::{self, Clock, Sleep};
use sfexport::config::{self, Selection, Sources};
use sfexport::daemon::{Daemon, DaemonOptions, Handle, Reader, Supervisor};
use sfexport::demo_org::{At, Fault, Options, Rule};
use sfexport::error::{Exit, Failure};
use sfexport::job::ExportKey;
use sfexport::monitor::{Event, Monitor};
use sfexport::org::OrgName;
use sfexport::report::{RunId, RunReport, RunStatus};
use sfexport::schedule::{Mark, Schedule, Started};
use sfexport::state::State;
use sfexport::status::{self, RunStats};
use support::daemon::{
    PATIENCE, Process, SOQL, ago, due, get, get_from, history, key, name, sample, settled, settled_for,
    state, wait_for,
};
use support::ear::Ear;
use support::{Deployment, assert_same, csv, live, options};

const COLUMNS: [&str; 2] = ["Id", "Name"];

fn assert_exported(at: &Deployment, path: &str) {
    assert_same(&at.read(path), &csv(&COLUMNS, &live(at.data(), "Account")));
}

#[test]
fn a_pipe_among_the_jobs_holds_up_no_reload() {
    let at = Deployment::new(5);
    at.job("a", "SELECT Id FROM Account", "a.csv", "schedule = \"@yearly\"");
    let mut daemon = Process::start(&at);
    daemon.says("jobs=1");
    let made = Command::new("mkfifo").arg(at.path("jobs/b.toml")).status().unwrap();
    assert!(made.success());
    daemon.signal("HUP");
    daemon.says("jobs/b.toml: is a pipe, not a file");
    std::fs::remove_file(at.path("jobs/b.toml")).unwrap();
    symlink("/dev/zero", at.path("jobs/b.toml")).unwrap();
    daemon.signal("HUP");
    daemon.says("jobs/b.toml: is a device, not a file");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_missed_occurrence_is_caught_up_once_at_the_next_start() {
    let at = Deployment::new(50);
    // Twelve hours away from the present, so no occurrence falls due during the test.
    let last = Timestamp::from_second(ago(12).as_second() / 60 * 60).unwrap();
    let schedule = last.to_zoned(TimeZone::UTC).strftime("%M %H * * *").to_string();
    at.job("accounts", SOQL, "accounts.csv", &format!("timezone = \"UTC\"\nschedule = \"{schedule}\""));
    settled(&at, "accounts", &schedule, ago(40));
    for _ in 0..2 {
        let mut daemon = Process::start(&at);
        wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
        daemon.says("daemon started");
        daemon.signal("TERM");
        assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    }
    assert_exported(&at, "exports/accounts.csv");
    let runs: Vec<_> = history(&at).into_iter().map(|run| (run.status, run.scheduled.unwrap())).collect();
    let the_day_before = last - SignedDuration::from_hours(24);
    assert_eq!(runs, [(RunStatus::Missed, the_day_before), (RunStatus::Ok, last)]);
    assert_eq!(at.logins().len(), 1, "a run logs in once");
    at.assert_no_stage();
}

#[test]
fn a_signal_lets_a_run_end_within_the_grace_and_no_other_start() {
    let at = Deployment::new(50);
    at.configure("[daemon]\nmax_concurrent_runs = 1\n[status]\nlisten = \"127.0.0.1:0\"");
    due(&at, "accounts", "");
    due(&at, "later", "");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(2))));
    let mut daemon = Process::start(&at);
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    daemon.signal("INT");
    daemon.says("stopping");
    assert_eq!(get(daemon.status_port(), "/readyz"), (503, "stopping\n".to_owned()));
    assert_eq!(get(daemon.status_port(), "/livez").0, 200);
    assert_eq!(daemon.ended(), 0);
    assert_exported(&at, "exports/accounts.csv");
    assert!(!at.path("exports/later.csv").exists());
    at.assert_no_stage();
}

#[test]
fn a_run_cancelled_after_the_grace_runs_at_the_next_start() {
    let at = Deployment::new(50);
    at.configure("[daemon]\nshutdown_grace = \"300ms\"");
    due(&at, "accounts", "");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let mut daemon = Process::start(&at);
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    at.assert_no_stage();
    let cancelled = history(&at).pop().unwrap();
    assert_eq!((cancelled.status, cancelled.exit_status), (RunStatus::Cancelled, 143));

    let daemon = Process::start(&at);
    // A cancelled attempt is not counted.
    daemon.says("attempt=1");
    let again = wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
    assert_eq!(again.scheduled, cancelled.scheduled);
    assert_exported(&at, "exports/accounts.csv");
}

#[test]
fn a_second_signal_ends_at_once() {
    let at = Deployment::new(50);
    due(&at, "accounts", "");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let mut daemon = Process::start(&at);
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    daemon.signal("TERM");
    daemon.says("stopping");
    daemon.signal("INT");
    assert_eq!(daemon.ended(), 130);
}

#[test]
fn a_second_signal_ends_at_once_although_nobody_reads_the_log() {
    let at = Deployment::new(50);
    due(&at, "accounts", "");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let (_reader, writer) = std::io::pipe().unwrap();
    // Nobody reads: what fits is used up before the daemon says its first word.
    let mut filler = writer.try_clone().unwrap();
    std::thread::spawn(move || while filler.write_all(&[b'.'; 4096]).is_ok() {});
    let mut command = at.command(["daemon", "--log-level", "debug"]);
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    wait_for(|| (at.queries().len() == 1).then_some(())).expect("the log holds up the export");
    let signal = || assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    signal();
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    signal();
    assert_eq!(wait_for(|| child.try_wait().unwrap()).unwrap().code(), Some(143));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// Who changes the history waits for this lock, as for a disk that does not answer.
fn hanging_disk(at: &Deployment) -> std::fs::File {
    let lock = std::fs::File::create(at.path("state/runs.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn signals_are_heard_while_the_disk_of_the_state_hangs() {
    let at = Deployment::new(50);
    due(&at, "accounts", "");
    let _disk = hanging_disk(&at);
    let mut daemon = Process::start(&at);
    // A missed hour is to be written down before the run starts.
    daemon.says("not run: missed");
    let begun = Instant::now();
    daemon.signal("TERM");
    daemon.says("stopping: no new runs will start");
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "the first signal was heard after {:?}",
        begun.elapsed()
    );
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.child.try_wait().unwrap().is_none(), "one signal waits for the disk");
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 143);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_killed_daemon_leaves_the_old_file_to_the_next_one() {
    let at = Deployment::new(50);
    due(&at, "accounts", "retry_after = \"1s\"");
    at.write("exports/accounts.csv", "the night before\n");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let mut daemon = Process::start(&at);
    let has_stage = || at.names_below("exports").iter().any(|name| name.ends_with(".partial"));
    wait_for(|| has_stage().then_some(())).unwrap();
    daemon.signal("KILL");
    assert_eq!(daemon.ended(), 128 + 9);
    assert_eq!(at.text("exports/accounts.csv"), "the night before\n");
    assert!(history(&at).iter().all(|run| run.status == RunStatus::Missed), "a killed run tells nothing");

    let _daemon = Process::start(&at);
    wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
    assert_exported(&at, "exports/accounts.csv");
    at.assert_no_stage();
}

#[test]
fn a_job_that_outgrows_the_file_size_limit_ends_alone() {
    let at = Deployment::new(5_000);
    due(&at, "large", "");
    at.job("small", "SELECT Id FROM Account LIMIT 10", "small.csv", "schedule = \"@hourly\"");
    settled(&at, "small", "@hourly", ago(3));
    let binary = at.command(["daemon"]);
    let mut limited = Command::new("sh");
    limited.env_clear().current_dir(binary.get_current_dir().unwrap());
    // 32 or 64 KiB, as the shell counts.
    limited.args(["-c", "ulimit -f 64; exec \"$0\" daemon"]).arg(binary.get_program());
    let mut daemon = Process::spawn(&mut limited);
    let have_run = || {
        let runs: Vec<_> = history(&at).into_iter().filter(|run| run.status.has_run()).collect();
        (runs.len() == 2).then_some(runs)
    };
    let runs = wait_for(have_run).unwrap_or_else(|| panic!("{}", daemon.said()));
    let run = |job: &str| runs.iter().find(|run| run.job == job).unwrap();
    assert_eq!((run("small").exit_status, run("large").exit_status), (0, 73));
    let hint = run("large").hint.as_ref().unwrap();
    assert!(hint.contains("ulimit -f") && hint.contains("raise the limit"), "{hint}");
    assert!(!at.path("exports/large.csv").exists());
    at.assert_no_stage();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn jobs_and_history_are_read_while_the_one_daemon_runs() {
    let at = Deployment::new(50);
    due(&at, "accounts", "timezone = \"Europe/Berlin\"");
    settled_in(&at, "accounts", "@hourly", "Europe/Berlin");
    at.job("by_hand", SOQL, "by_hand.csv", "");
    let mut daemon = Process::start(&at);
    wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
    at.run(["daemon"]).ended(75).says(&[
        "a daemon already uses",
        &daemon.child.id().to_string(),
        "state_dir",
    ]);

    let jobs = at.run(["jobs"]).ended(0);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = jobs.stdout().lines().map(words).collect();
    assert_eq!(lines[0].join(" "), "JOB NEXT RUN LAST RUN RESULT");
    let records = live(at.data(), "Account").len().to_string();
    assert_eq!((lines[1][0].as_str(), lines[1][3].as_str()), ("accounts", "CET"));
    assert_eq!(lines[1][7..], [records.as_str(), "records"]);
    assert_eq!(lines[2].join(" "), "by_hand when asked never -");
    assert_eq!(lines.len(), 3, "{lines:?}");
    let wide = at.run(["jobs", "--wide"]).ended(0);
    assert_eq!(
        words(wide.stdout().lines().nth(1).unwrap())[..4],
        ["accounts", "default", "@hourly", "Europe/Berlin"]
    );
    assert!(!jobs.stderr.contains("no daemon"), "{}", jobs.stderr);
    let json = at.run(["jobs", "--json"]).ended(0).reports();
    let next: Timestamp = json[0]["next"].as_str().unwrap().parse().unwrap();
    // The full hour after now, in a zone that is whole hours from UTC.
    assert_eq!(next.as_second() / 3600, Timestamp::now().as_second() / 3600 + 1);
    assert_eq!((&json[0]["last"]["status"], &json[1]["next"]), (&Json::from("ok"), &Json::Null));

    let all = at.run(["history", "--json", "--limit", "0"]).ended(0).reports();
    assert_eq!(all.len(), history(&at).len());
    assert_eq!(all[0]["status"], "ok", "the newest first");
    let one = at.run(["history", "accounts", "--limit", "1"]).ended(0);
    assert_eq!(one.stdout().lines().count(), 2);
    assert!(one.stdout().contains(" UTC  accounts  ok"), "{}", one.stdout());
    // Every row is in the local zone, whatever the zone of its job.
    let local = at.command(["history", "accounts"]).env("TZ", "Asia/Tokyo").output().unwrap();
    let local = String::from_utf8(local.stdout).unwrap();
    assert!(local.contains(" JST  accounts  ok"), "{local}");
    assert_eq!(at.run(["history", "by_hand"]).ended(0).stdout(), "no run yet\n");
    at.run(["history", "acounts"]).ended(78).says(&["has a job \"acounts\"", "did you mean \"accounts\"?"]);
    // One that is gone is known by its runs, and one with a mistake somewhere else hides nothing.
    std::fs::remove_file(at.path("jobs/accounts.toml")).unwrap();
    assert!(at.run(["history", "accounts"]).ended(0).stdout().contains(" UTC  accounts  ok "));
    at.job("broken", SOQL, "broken.csv", "schedul = \"x\"");
    assert_eq!(at.run(["history", "nobody"]).ended(0).stdout(), "no run yet\n");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let said = wait_for(|| Some(daemon.said()).filter(|said| said.ends_with(" stopped\n")));
    assert!(said.is_some(), "it is not the last line of\n{}", daemon.said());
}

#[test]
fn jobs_warns_that_no_daemon_is_there_to_start_runs() {
    let at = Deployment::new(10);
    at.job("by_hand", SOQL, "by_hand.csv", "");
    let nothing = at.run(["jobs"]).ended(0);
    assert!(!nothing.stderr.contains("no daemon"), "{}", nothing.stderr);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let directory = at.path("state");
    let none = format!("no daemon is running on {}", directory.display());
    at.run(["jobs"]).ended(0).says(&[&none]);
    assert!(!directory.exists(), "looking makes nothing");
    let mut daemon = Process::start(&at);
    daemon.says("daemon started");
    assert!(!at.run(["jobs", "--json"]).ended(0).stderr.contains("no daemon"));
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    // Its lock's file is still there.
    assert!(at.path("state/daemon.lock").exists());
    assert_eq!(at.run(["jobs", "--json"]).ended(0).says(&[&none]).reports().len(), 2);
}

#[test]
fn jobs_says_what_the_running_daemon_has_not_loaded() {
    let at = Deployment::new(10);
    for job in ["accounts", "contacts"] {
        at.job(job, SOQL, "{job}.csv", "schedule = \"@yearly\"");
    }
    at.write("jobs/other.toml", "soql_file = \"other.soql\"\noutput = \"other.csv\"\n");
    at.write("jobs/other.soql", SOQL);
    let jobs = || {
        let jobs = at.run(["jobs", "--json"]).ended(0);
        let loaded: Vec<_> = jobs.reports().iter().map(|job| job["loaded"].clone()).collect();
        let warning = jobs.stderr.lines().find(|line| line.contains("has not loaded")).map(str::to_owned);
        (loaded, warning)
    };
    let (yes, no) = (Json::from(true), Json::from(false));
    assert_eq!(jobs().0, [Json::Null, Json::Null, Json::Null], "no daemon is running");
    let mut daemon = Process::start(&at);
    daemon.says("daemon started");
    wait_for(|| at.path("state/loaded.json").exists().then_some(())).unwrap();
    assert_eq!(jobs(), (vec![yes.clone(), yes.clone(), yes.clone()], None));

    std::fs::remove_file(at.path("jobs/contacts.toml")).unwrap();
    at.job("new", SOQL, "{job}.csv", "schedule = \"@yearly\"");
    at.write("jobs/other.soql", "SELECT Name FROM Account");
    let (loaded, warning) = jobs();
    assert_eq!(loaded, [yes.clone(), no.clone(), no.clone()]);
    let warning = warning.unwrap();
    let expected =
        "the running daemon has not loaded contacts (removed), new (new), other (changed); send it SIGHUP";
    assert!(warning.contains(expected), "{warning}");

    daemon.signal("HUP");
    wait_for(|| (jobs() == (vec![yes.clone(); 3], None)).then_some(())).unwrap();
    at.configure("[daemon]\nmax_concurrent_runs = 2");
    let (loaded, warning) = jobs();
    assert_eq!(loaded, [no.clone(), no.clone(), no]);
    assert!(warning.unwrap().contains("has not loaded the changed sfexport.toml; "));
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    assert_eq!(jobs(), (vec![Json::Null; 3], None));
}

#[test]
fn a_deployment_that_was_deleted_is_not_recreated() {
    let at = Deployment::new(10);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.write("sfexport.toml", format!("state_dir = \"data/state\"\n{}", at.text("sfexport.toml")));
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let daemon = Process::start(&at);
    let address = daemon.status_port();
    // A signal makes it look at its directory.
    let is_ready = |expected: (u16, &str)| {
        wait_for(|| {
            daemon.signal("HUP");
            std::thread::sleep(Duration::from_millis(100));
            let (status, body) = get(address, "/readyz");
            ((status, body.as_str()) == expected).then_some(())
        })
    };
    assert_eq!(is_ready((200, "ready\n")), Some(()));
    std::fs::rename(at.path("data"), at.path("gone")).unwrap();
    assert_eq!(is_ready((503, "state_dir is missing\n")), Some(()), "{}", daemon.said());
    daemon.says("state_dir was deleted and cannot be recreated");
    assert!(!at.path("data").exists());
    // What comes back is the directory with the daemon's lock.
    std::fs::rename(at.path("gone"), at.path("data")).unwrap();
    assert_eq!(is_ready((200, "ready\n")), Some(()), "{}", daemon.said());
}

#[test]
fn jobs_of_one_output_are_listed_as_broken() {
    let at = Deployment::new(10);
    for job in ["accounts", "copy"] {
        at.job(job, SOQL, "accounts.csv", "");
    }
    at.job("other", SOQL, "other.csv", "");
    let mistake = "jobs/accounts.toml:2: output: \"accounts.csv\" is also the output of copy";
    let outcome = at.run(["jobs"]).ended(78).says(&[mistake]);
    let lines: Vec<_> = outcome.stdout().lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[1].starts_with("other ") && !lines[1].ends_with(" broken"), "{lines:?}");
    assert!(lines[2].starts_with("accounts ") && lines[2].ends_with(" broken"), "{lines:?}");
    assert!(lines[3].starts_with("copy ") && lines[3].ends_with(" broken"), "{lines:?}");
    let json = at.run(["jobs", "--json"]).ended(78).reports();
    assert!(json.iter().skip(1).all(|line| line["mistakes"][0].as_str().unwrap().starts_with(mistake)));
}

#[test]
fn a_broken_job_file_hides_no_other_job() {
    let at = Deployment::new(10);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    at.job("broken", SOQL, "broken.csv", "timezone = \"Europe/Berln\"");
    let mistake = "jobs/broken.toml:3: timezone: \"Europe/Berln\"";
    for wide in [&["jobs"][..], &["jobs", "--wide"]] {
        let jobs = at.run(wide).ended(78).says(&[mistake]);
        let lines: Vec<_> = jobs.stdout().lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with("accounts ") && lines[1].contains("-01-01 "), "{lines:?}");
        assert!(lines[2].starts_with("broken ") && lines[2].ends_with(" broken"), "{lines:?}");
    }
    let jobs = at.run(["jobs", "--json"]).ended(78).says(&[mistake]).reports();
    assert_eq!(
        jobs.iter().map(|job| job["job"].as_str().unwrap()).collect::<Vec<_>>(),
        ["accounts", "broken"]
    );
    assert!(jobs[1]["mistakes"][0].as_str().unwrap().starts_with(mistake), "{}", jobs[1]);
    assert!(jobs[0]["next"].is_string() && jobs[0]["mistakes"].is_null(), "{}", jobs[0]);
    // A daemon does not start without a job that it should run.
    at.run(["daemon"]).ended(78).says(&[mistake]);
}

fn settled_in(at: &Deployment, job: &str, schedule: &str, zone: &str) {
    let fingerprint = Schedule::parse(schedule, TimeZone::get(zone).unwrap()).unwrap().fingerprint();
    let mark = Mark { fingerprint, settled: ago(3), begun: None, started: Started::default(), died: 0 };
    state(at).set_mark(&key(job), &mark).unwrap();
}

#[test]
fn a_hangup_reloads_the_whole_configuration_or_nothing() {
    let at = Deployment::new(50);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let supervisor = UnixDatagram::bind(at.path("notify")).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 200];
        let length = supervisor.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut daemon = Process::spawn(at.command(["daemon"]).env("NOTIFY_SOCKET", at.path("notify")));
    assert_eq!(heard(), "READY=1\nSTATUS=1 jobs");
    let port = daemon.status_port();
    let metrics = || get(port, "/metrics").1;
    assert_eq!(get(port, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(port, "/livez").0, 200);
    assert_eq!(sample(&metrics(), "sfexport_config_last_reload_successful"), 1.0);

    // One sound new job and one broken one: neither is taken.
    at.job("sound", SOQL, "sound.csv", "schedule = \"@yearly\"");
    at.job("broken", "SELECT FROM", "broken.csv", "schedul = \"x\"");
    daemon.signal("HUP");
    daemon.says("configuration rejected");
    assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(heard(), "READY=1\nSTATUS=1 jobs");
    assert!(daemon.said().contains("schedul"), "{}", daemon.said());
    let refused = metrics();
    assert_eq!(sample(&refused, "sfexport_config_last_reload_successful"), 0.0);
    assert_eq!(sample(&refused, "sfexport_jobs"), 1.0);
    assert!(get(port, "/").1.contains("is not valid"));

    std::fs::remove_file(at.path("jobs/broken.toml")).unwrap();
    daemon.signal("HUP");
    daemon.says("configuration reloaded");
    assert!(heard().starts_with("RELOADING=1"));
    assert_eq!(heard(), "READY=1\nSTATUS=2 jobs");
    let taken = metrics();
    assert_eq!(sample(&taken, "sfexport_config_last_reload_successful"), 1.0);
    assert_eq!(sample(&taken, "sfexport_runs_total{job=\"sound\",org=\"default\",result=\"failed\"}"), 0.0);

    // What takes effect at the next start only.
    at.configure("state_dir = \"elsewhere\"\n[status]\nlisten = \"127.0.0.1:0\"");
    // A key of the top level stands before the first table.
    let text = at.text("sfexport.toml").replace("state_dir = \"elsewhere\"\n", "");
    at.write("sfexport.toml", format!("state_dir = \"elsewhere\"\n{text}"));
    daemon.signal("HUP");
    daemon.says("state_dir cannot change");
    assert_eq!(sample(&metrics(), "sfexport_config_last_reload_successful"), 0.0);
    at.configure("[status]\nlisten = \"127.0.0.1:1\"");
    daemon.signal("HUP");
    daemon.says("listen in [status] changed; it takes effect at the next start");
    assert_eq!(get(port, "/readyz").0, 200);
    for _ in 0..2 {
        assert!(heard().starts_with("RELOADING=1"));
        assert_eq!(heard(), "READY=1\nSTATUS=2 jobs");
    }
    daemon.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_daemon_keeps_its_jobs_when_their_directory_is_gone() {
    let at = Deployment::new(50);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    // A run that needs no job file needs no directory of them.
    at.run(["query", SOQL, "-o", "-"]).ended(0);
    at.run(["daemon"]).ended(78).says(&[
        &format!("cannot read jobs_dir {}: No such file", at.path("jobs").display()),
        "restore the directory, or set jobs_dir to another one",
    ]);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let mut daemon = Process::start(&at);
    let port = daemon.status_port();
    daemon.says("jobs=1");
    assert!(!get(port, "/").1.contains("nothing to do"));

    std::fs::rename(at.path("jobs"), at.path("elsewhere")).unwrap();
    daemon.signal("HUP");
    daemon.says("configuration rejected; the previous one stays in effect");
    assert!(daemon.says("/jobs: No such file").contains("ERROR"), "{}", daemon.said());
    let metrics = get(port, "/metrics").1;
    assert_eq!(sample(&metrics, "sfexport_jobs"), 1.0);
    assert_eq!(sample(&metrics, "sfexport_config_last_reload_successful"), 0.0);
    assert!(get(port, "/").1.contains("<a href=\"/jobs/accounts\">"));
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_daemon_says_that_it_has_nothing_to_do() {
    let at = Deployment::new(50);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    std::fs::create_dir(at.path("jobs")).unwrap();
    let mut daemon = Process::start(&at);
    let port = daemon.status_port();
    let warned = daemon.says("the daemon has nothing to do: ");
    assert!(
        warned.contains("WARN") && warned.contains("there are no jobs in ") && warned.ends_with("/jobs"),
        "{warned}"
    );
    assert!(get(port, "/").1.contains("<b>The daemon has nothing to do: there is no job.</b>"));
    assert_eq!(sample(&get(port, "/metrics").1, "sfexport_jobs"), 0.0);

    at.job("by_hand", SOQL, "by_hand.csv", "");
    at.job("off", SOQL, "off.csv", "schedule = \"@yearly\"\nenabled = false");
    daemon.signal("HUP");
    let warned = daemon.says("is enabled and has a schedule");
    assert!(
        warned.contains("WARN") && warned.contains("the daemon has nothing to do: no job in"),
        "{warned}"
    );
    daemon.says("jobs=2");
    let alarm = "<b>The daemon has nothing to do: no job is enabled and has a schedule.</b>";
    wait_for(|| get(port, "/").1.contains(alarm).then_some(())).unwrap();

    at.job("on", SOQL, "on.csv", "schedule = \"@yearly\"");
    daemon.signal("HUP");
    daemon.says("jobs=3");
    wait_for(|| (!get(port, "/").1.contains("nothing to do")).then_some(())).unwrap();
    assert_eq!(daemon.said().matches("nothing to do").count(), 2, "{}", daemon.said());
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn each_org_has_its_own_limit() {
    let at = Deployment::with(Options { think: Duration::from_millis(200), ..options(20) });
    at.configure(&format!(
        "[daemon]\nmax_concurrent_runs = 10\n{}max_concurrent_runs = 1\n{}max_concurrent_runs = 3",
        at.org_table("orgs.narrow"),
        at.org_table("orgs.wide")
    ));
    for org in ["narrow", "wide"] {
        for number in 0..6 {
            let job = format!("{org}{number}");
            due(&at, &job, &format!("org = \"{org}\""));
            settled_for(&at, &ExportKey::new(name(&job), OrgName::parse(org).unwrap()), "@hourly", ago(3));
        }
    }
    let _daemon = Process::start(&at);
    let ran = |run: &RunReport| run.status == RunStatus::Ok;
    wait_for(|| (history(&at).into_iter().filter(ran).count() == 12).then_some(())).unwrap();
    let runs: Vec<_> = history(&at).into_iter().filter(ran).collect();
    // At the start of the run that finds most company.
    let most = |org: &str| {
        let of_org = || runs.iter().filter(|run| run.org == org);
        let beside = |run: &RunReport| {
            of_org().filter(|other| other.started <= run.started && run.started < other.ended).count()
        };
        of_org().map(beside).max().unwrap()
    };
    assert_eq!((most("narrow"), most("wide")), (1, 3));
}

#[test]
fn old_runs_are_dropped_from_the_history_at_the_start() {
    let at = Deployment::new(20);
    at.configure("[daemon]\nhistory_keep = \"2 days\"");
    at.job("accounts", SOQL, "accounts.csv", "");
    let state = State::open(&at.path("state")).unwrap();
    for hours in [100, 60, 40, 20] {
        let ended = ago(hours);
        let mut report = RunReport::begun("accounts", "default", RunId::new(ended, 7), ended);
        report.records = hours.unsigned_abs();
        state.append(&report).unwrap();
    }
    let _daemon = Process::start(&at);
    wait_for(|| (history(&at).len() < 4).then_some(())).unwrap();
    assert_eq!(history(&at).iter().map(|run| run.records).collect::<Vec<_>>(), [40, 20]);
}

#[test]
fn schedules_beyond_the_limit_of_logins_are_warned_of() {
    let at = Deployment::new(20);
    let hour = (Timestamp::now().as_second() / 3600 + 12) % 24;
    for number in 0..61 {
        let schedule = format!("schedule = \"* {hour} * * *\"");
        at.job(&format!("job{number}"), SOQL, "{job}.csv", &schedule);
    }
    let daemon = Process::start(&at);
    let warning = daemon.says("log in \"integration@example.com\" up to 3660 times an hour");
    assert!(warning.contains("WARN") && warning.contains("3600"), "{warning}");
}

#[test]
fn a_watchdog_hears_that_an_idle_daemon_is_alive() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let supervisor = UnixDatagram::bind(at.path("notify")).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let variables =
        [("NOTIFY_SOCKET", at.path("notify").into_os_string()), ("WATCHDOG_USEC", "400000".into())];
    let _daemon = Process::spawn(at.command(["daemon"]).envs(variables));
    let heard = || {
        let mut buffer = [0; 200];
        let length = supervisor.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=1 jobs");
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    // Twice in its time: five words in a second, and none sooner than they are wanted but the first.
    let took = begun.elapsed();
    assert!((Duration::from_millis(700)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

/// In a process namespace of its own, as in a container without an init.
#[test]
fn as_process_1_it_hears_its_signals() {
    let at = Deployment::new(50);
    let namespace = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child"];
    if !Command::new("unshare").args(namespace).arg("true").status().is_ok_and(|status| status.success()) {
        support::skip("no process namespace is to be had here");
        return;
    }
    due(&at, "accounts", "");
    let own = at.command(["daemon"]);
    let mut command = Command::new("unshare");
    command.args(namespace).arg(own.get_program()).args(own.get_args());
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut unshare = Process::spawn(command.current_dir(at.path("")).stdin(Stdio::null()));
    wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
    let parent = unshare.child.id();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let daemon = children.trim();
    let status = std::fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    assert!(status.contains(&format!("\nNSpid:\t{daemon}\t1\n")), "{status}");
    let send = |name: &str| Command::new("kill").args([&format!("-{name}"), daemon]).status().unwrap();
    assert!(send("HUP").success());
    unshare.says("configuration reloaded");
    assert!(send("TERM").success());
    assert_eq!(unshare.ended(), 0);
}

#[test]
fn the_literals_of_a_query_reach_neither_status_page_nor_webhook() {
    let ear = Ear::listen();
    let at = Deployment::new(10);
    at.configure(&format!("[status]\nlisten = \"127.0.0.1:0\"\n[notify]\nwebhook = \"{}/hook\"", ear.url));
    due(&at, "accounts", &format!("retries = 0\nping_url = \"{}/ping\"", ear.url));
    let said = "\nWHERE Name = 'canary' ORDR BY Id\n                      ^\nERROR at Row:1:Column:57\n\
                unexpected token: 'canary'";
    at.script(Rule::always(At::Page(1), Fault::error(400, "MALFORMED_QUERY", said)));
    let mut daemon = Process::start(&at);
    let port = daemon.status_port();
    wait_for(|| (!history(&at).is_empty()).then_some(())).unwrap();
    let place = "MALFORMED_QUERY: ERROR at Row:1:Column:57 unexpected token: '…'";
    let page = wait_for(|| Some(get(port, "/").1).filter(|page| page.contains("Row:1:Column:57"))).unwrap();
    assert!(page.contains("unexpected token: '…'") && !page.contains("canary"), "{page}");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    let heard = ear.heard();
    assert!(
        heard.iter().any(|(path, _)| path == "/hook") && heard.iter().any(|(path, _)| path == "/ping/fail")
    );
    for (path, body) in &heard {
        assert!(!body.contains("canary"), "{path}: {body}");
        assert!(path == "/ping/start" || body.contains(place), "{path}: {body}");
    }
    // On this machine it is whole: in the log, on one line, and in the history.
    assert!(daemon.said().lines().any(|line| line.contains("'canary' ORDR BY Id\\n")), "{}", daemon.said());
    assert!(at.run(["history", "--wide"]).ended(0).stdout().contains("'canary' ORDR BY Id"));
}

#[test]
fn the_webhook_and_the_ping_url_hear_of_a_failure_and_its_end() {
    let ear = Ear::listen();
    let at = Deployment::new(50);
    at.configure(&format!("[notify]\nwebhook = \"{}/hook?token=s3cr3t\"", ear.url));
    due(
        &at,
        "accounts",
        &format!("retries = 2\nretry_after = \"0s\"\nping_url = \"{}/ping/0a-1b\"", ear.url),
    );
    // Five attempts of one run, all of its five requests.
    at.script(Rule::times(At::Page(1), 5, Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    let mut daemon = Process::start(&at);
    wait_for(|| history(&at).pop().filter(|run| run.status == RunStatus::Ok)).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());

    let heard = ear.heard();
    let paths: Vec<_> = heard.iter().map(|(path, _)| path.as_str()).collect();
    let (hook, ping) = ("/hook?token=s3cr3t", "/ping/0a-1b");
    // Each hears its own in their order, and waits for no other.
    let (hooks, pings): (Vec<_>, Vec<_>) = paths.iter().copied().partition(|path| *path == hook);
    assert_eq!(pings, ["/ping/0a-1b/start", "/ping/0a-1b/fail", "/ping/0a-1b/start", ping]);
    assert_eq!(hooks.len(), 2, "{paths:?}");
    let reports = |path: &str| -> Vec<Json> {
        let bodies = heard.iter().filter(|(to, _)| to == path).map(|(_, body)| body);
        bodies.map(|body| serde_json::from_str(body).unwrap()).collect()
    };
    assert_eq!(reports("/ping/0a-1b/fail")[0]["exit_status"], 69);
    assert_eq!(reports(ping)[0]["status"], "ok");
    let told = reports(hook);
    let (failure, recovery) = (&told[0], &told[1]);
    assert_eq!((&failure["event"], &recovery["event"]), (&Json::from("failure"), &Json::from("recovery")));
    assert!(failure["text"].as_str().unwrap().contains("maintenance"), "{failure}");
    assert_eq!(failure["report"]["job"], "accounts");
    let last = history(&at).pop().unwrap();
    assert_eq!(serde_json::from_value::<RunReport>(recovery["report"].clone()).unwrap(), last);
    assert!(!daemon.said().contains("s3cr3t") && !daemon.said().contains("0a-1b"), "{}", daemon.said());
    // Looked through for keys, tokens and assertions, as all files are after a run.
    let bodies: Vec<_> = heard.into_iter().map(|(_, body)| body).collect();
    at.write("what-others-were-told", bodies.join("\n"));
    at.run(["history"]).ended(0);
}

#[test]
fn a_failed_notification_fails_no_run_and_follows_no_redirect() {
    let ear = Ear::listen();
    let at = Deployment::new(50);
    let hook = format!("[notify]\nwebhook = \"{}/redirect\"\non = [\"every\"]", ear.url);
    at.configure(&hook);
    at.job("accounts", SOQL, "accounts.csv", "ping_url = \"http://127.0.0.1:9/nobody/s3cr3t\"");
    let outcome = at
        .run(["run", "accounts"])
        .ended(0)
        .says(&["redirects are not followed", "cannot reach the receiver"]);
    assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
    assert_eq!(ear.heard().len(), 1, "{:?}", ear.heard());
    at.run(["run", "accounts", "--dry-run"]).ended(0);
    assert_eq!(ear.heard().len(), 1, "a dry run is told to nobody");
}

#[test]
fn a_notification_without_a_response_is_given_up_after_5_s() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = Deployment::new(20);
    at.configure(&format!(
        "[notify]\nwebhook = \"http://{}/s3cr3t\"\non = [\"every\"]",
        deaf.local_addr().unwrap()
    ));
    at.job("accounts", SOQL, "accounts.csv", "");
    let begun = Instant::now();
    let outcome = at.run(["run", "accounts"]).ended(0).says(&["notification not sent"]);
    assert!(!outcome.stderr.contains("s3cr3t"), "{}", outcome.stderr);
    assert!(begun.elapsed() >= Duration::from_secs(5) && begun.elapsed() < Duration::from_secs(20));
    assert_exported(&at, "exports/accounts.csv");
}

/// A server that takes connections, and answers none. What came first on each is kept.
fn deaf() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, notes) = (stream.unwrap(), Arc::clone(&notes));
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream);
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                notes.lock().unwrap().push(line.split(' ').nth(1).unwrap_or_default().to_owned());
                let _ = lines.read_to_string(&mut line);
            });
        }
    });
    (address, heard)
}

#[test]
fn a_deaf_receiver_delays_an_end_by_5_s_and_a_signals_by_1() {
    let (address, heard) = deaf();
    let at = Deployment::new(20);
    at.configure(&format!("[notify]\nwebhook = \"http://{address}/hook\"\non = [\"every\"]"));
    at.job("accounts", SOQL, "accounts.csv", &format!("ping_url = \"http://{address}/ping\""));
    let begun = Instant::now();
    at.run(["run", "accounts"]).ended(0).says(&["notification not sent"]);
    assert!(begun.elapsed() < Duration::from_secs(9), "they waited for each other");
    let mut paths = heard.lock().unwrap().clone();
    paths.sort();
    // The end is told although the start was not heard.
    assert_eq!(paths, ["/hook", "/ping", "/ping/start"]);

    let mut run = Process::spawn(&mut at.command(["run", "accounts"]));
    wait_for(|| (heard.lock().unwrap().len() > 4).then_some(())).unwrap();
    let begun = Instant::now();
    run.signal("TERM");
    assert_eq!(run.ended(), 0, "the export was made");
    assert!(begun.elapsed() < Duration::from_millis(2500), "it waited for who does not answer");
}

#[test]
fn a_history_that_cannot_be_read_stops_no_export() {
    let at = Deployment::new(50);
    at.configure("[notify]\nwebhook = \"http://127.0.0.1:9/nobody\"");
    due(&at, "accounts", "");
    std::fs::create_dir(at.path("state/runs.jsonl")).unwrap();
    let unread = "cannot read the history, and continues without it";
    at.run(["run", "accounts", "--metrics-file", "sfexport.prom"]).ended(0).says(&[unread, "runs.jsonl"]);
    assert_exported(&at, "exports/accounts.csv");
    assert!(!at.read("sfexport.prom").is_empty());

    std::fs::remove_file(at.path("exports/accounts.csv")).unwrap();
    let mut daemon = Process::start(&at);
    daemon.says(unread);
    wait_for(|| at.path("exports/accounts.csv").exists().then_some(())).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert_exported(&at, "exports/accounts.csv");
}

#[test]
fn half_open_connections_starve_neither_probes_nor_exports() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.job("accounts", SOQL, "accounts.csv", "");
    let mut daemon = Process::start(&at);
    let address = daemon.status_port();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.child.id())).unwrap().count();
    let before = open();
    let half_sent = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /livez HTT").unwrap();
        stream
    };
    let mut half: Vec<_> = (0..300).map(|_| half_sent()).collect();
    for path in ["/livez", "/readyz"] {
        let begun = Instant::now();
        assert_eq!(get(address, path).0, 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "{path} took {:?}", begun.elapsed());
    }
    // Those that gave way close a moment later, long before the time that a head may take.
    let begun = Instant::now();
    while open() > before + 17 {
        assert!(begun.elapsed() < Duration::from_secs(1), "{} more are open", open() - before);
        std::thread::sleep(Duration::from_millis(10));
    }
    // Each is closed within the time that a head may take, the last one too.
    let mut last = half.pop().unwrap();
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    // A connection that others pushed out is reset.
    let _ = last.read_to_end(&mut Vec::new());
    assert!(begun.elapsed() < Duration::from_secs(4), "it was open for {:?}", begun.elapsed());
    wait_for(|| (open() <= before + 1).then_some(())).expect("idle connections stay open");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_request_that_names_another_sites_host_is_refused() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"\nhosts = [\"status.example.com\"]");
    at.job("accounts", SOQL, "accounts.csv", "");
    let mut daemon = Process::start(&at);
    let address = daemon.status_port();
    wait_for(|| (get(address, "/readyz").0 == 200).then_some(())).unwrap();
    for path in ["/", "/metrics"] {
        let (status, body) = get_from(address, path, "rebound.evil.example:9090");
        assert_eq!((status, body.contains("accounts")), (421, false), "{path}");
        for host in ["10.4.2.17:9090", "status.example.com", "sfexport.jobs.svc.cluster.local:9090"] {
            let (status, body) = get_from(address, path, host);
            assert_eq!((status, body.contains("accounts")), (200, true), "{path} of {host}");
        }
    }
    // They tell nothing, and a probe may name any host.
    for path in ["/livez", "/readyz"] {
        assert_eq!(get_from(address, path, "rebound.evil.example").0, 200, "{path}");
    }
    assert!(!daemon.said().contains("open to other machines"), "{}", daemon.said());
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn check_tells_whether_the_status_port_is_free() {
    let at = Deployment::new(5);
    at.job("accounts", SOQL, "accounts.csv", "");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    at.configure(&format!("[status]\nlisten = \"{address}\""));
    let status_port = |exit: u8| {
        let checked = at.run(["check", "--offline", "--json"]).ended(exit.into());
        let step = checked.reports().into_iter().find(|step| step["step"] == "status_port").unwrap();
        assert_eq!((step["outcome"] == "failed", &step["exit_status"]), (exit != 0, &exit.into()), "{step}");
        step["what"].as_str().unwrap().to_owned()
    };
    let said = status_port(1);
    assert!(said.contains(&address.to_string()), "{said}");
    // The daemon ends like that. Runs need no port.
    let mut daemon = Process::start(&at);
    assert_eq!(daemon.ended(), 1);
    assert!(daemon.said().contains(&said), "{}", daemon.said());
    at.run(["check", "accounts", "--offline"]).ended(0);
    at.run(["run", "accounts"]).ended(0);

    drop(other);
    assert_eq!(status_port(0), format!("{address} is free"));
    let mut daemon = Process::start(&at);
    daemon.status_port();
    assert_eq!(status_port(0), format!("{address} is in use by the running daemon"));
    // It does not listen on the port that it is to have next, and another program does.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    at.configure(&format!("[status]\nlisten = \"{}\"", other.local_addr().unwrap()));
    status_port(1);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_status_port_beyond_loopback_is_warned_of() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"0.0.0.0:0\"");
    at.job("accounts", SOQL, "accounts.csv", "");
    let mut daemon = Process::start(&at);
    let warning = daemon.says("open to other machines");
    assert!(warning.contains("WARN"), "{warning}");
    let port = daemon.status_port().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for(|| (get(address, "/readyz").0 == 200).then_some(())).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_webhook_hears_what_it_asked_for_over_many_processes() {
    let told = |on: &str| {
        let ear = Ear::listen();
        let at = Deployment::new(20);
        at.configure(&format!("[notify]\nwebhook = \"{}/hook\"\non = {on}", ear.url));
        at.job("accounts", SOQL, "accounts.csv", "");
        at.script(Rule::times(At::Login(2), 2, Fault::login_refused("invalid_grant", "ip restricted")));
        for status in [0, 77, 77, 0, 0] {
            at.run(["run", "accounts"]).ended(status);
        }
        let heard = ear.heard().into_iter().map(|(_, body)| serde_json::from_str::<Json>(&body).unwrap());
        heard.map(|body| body["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told("[\"failure\"]"), ["failure", "failure"]);
    assert_eq!(told("[\"recovery\"]"), ["recovery"]);
    assert_eq!(told("[\"failure\", \"recovery\"]"), ["failure", "failure", "recovery"]);
    assert_eq!(told("[\"every\"]"), ["success", "failure", "failure", "recovery", "success"]);
}

#[test]
fn one_runs_metrics_are_written_whole_and_know_the_history() {
    let at = Deployment::new(50);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@hourly\"");
    at.run(["run", "accounts"]).ended(0);
    at.script(Rule::always(At::Login(1), Fault::login_refused("invalid_grant", "ip restricted")));
    at.run(["run", "accounts", "--metrics-file", "metrics/sfexport.prom"])
        .ended(77)
        .says(&["the metrics have not been written"]);
    std::fs::create_dir(at.path("metrics")).unwrap();
    at.run(["run", "accounts", "--metrics-file", "metrics/sfexport.prom"]).ended(77);
    assert_eq!(at.names_below("metrics"), ["sfexport.prom"]);
    let metrics = at.text("metrics/sfexport.prom");
    assert_eq!(
        sample(&metrics, "sfexport_runs_total{job=\"accounts\",org=\"default\",result=\"failed\"}"),
        1.0
    );
    assert_eq!(sample(&metrics, "sfexport_last_run_exit_status{job=\"accounts\",org=\"default\"}"), 77.0);
    let success =
        sample(&metrics, "sfexport_last_success_timestamp_seconds{job=\"accounts\",org=\"default\"}");
    let first = history(&at).remove(0);
    assert!((success - first.ended.as_millisecond() as f64 / 1e3).abs() < 0.01);
}

#[test]
fn a_planted_link_does_not_lead_the_metrics_elsewhere() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("victim", "precious");
    std::fs::create_dir(at.path("metrics")).unwrap();
    // Whoever may write to the directory knows the number of the next process.
    let victim = at.path("victim");
    let plant = |process: u32| {
        let _ = symlink(&victim, at.path(&format!("metrics/j.prom.{process}.partial")));
    };
    let next = std::process::id();
    (next..next + 2_000).for_each(plant);
    // What a killed run left is removed.
    at.write("metrics/.j.prom.20260101T000000Z-0000000a.query.partial", "half");
    // Not looked at for stages, as what was planted looks like one.
    let output = at.command(["run", "accounts", "--metrics-file", "metrics/j.prom"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(at.text("victim"), "precious");
    let written: Vec<_> = at.names_below("metrics").into_iter().filter(|name| !is_planted(name)).collect();
    assert_eq!(written, ["j.prom"]);
    let metrics = at.text("metrics/j.prom");
    assert_eq!(sample(&metrics, "sfexport_last_run_exit_status{job=\"accounts\",org=\"default\"}"), 0.0);
}

fn is_planted(name: &str) -> bool {
    name.starts_with("j.prom.")
}

/// The command, with a hard limit that a shell sets first.
fn limited(at: &Deployment, limit: &str, arguments: &[&str]) -> Command {
    let own = at.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
    command.arg(own.get_program()).args(own.get_args()).stdin(Stdio::null());
    command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(at.path(""));
    command
}

#[test]
fn a_deaf_webhook_takes_no_descriptors_from_exports() {
    let (address, _) = deaf();
    let at = Deployment::new(10);
    at.configure(&format!(
        "[daemon]\nmax_concurrent_runs = 8\n[notify]\nwebhook = \"http://{address}/hook\"\non = [\"every\"]"
    ));
    for number in 0..300 {
        at.job(&format!("job{number:03}"), SOQL, "{job}.csv", "");
    }
    let outcome = at.outcome(limited(&at, "-n 128", &["run", "--all"]).output().unwrap()).ended(0);
    assert_eq!(outcome.stdout().lines().count(), 300);
    assert_eq!(at.names_below("exports").len(), 300);
    outcome.says(&["notification not sent"]);
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let at = Deployment::new(10);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let mut daemon = Process::spawn(&mut limited(&at, "-Sn 64", &["daemon"]));
    daemon.says("daemon started");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [.., soft, hard, _files] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

/// A command of a user whose processes can be limited, to whom the deployment is given: root's cannot.
fn unprivileged(at: &Deployment, program: &OsStr) -> Command {
    const NOBODY: &str = "65534";
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let given = Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(at.path("")).status();
    assert!(given.unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
    command
}

#[test]
fn a_daemon_lives_on_while_no_thread_can_be_started() {
    let at = Deployment::new(50);
    at.configure("[daemon]\nmax_concurrent_runs = 1\n[status]\nlisten = \"127.0.0.1:0\"");
    due(&at, "accounts", "");
    due(&at, "later", "retry_after = \"1s\"\nretries = 100");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(1))));
    let own = at.command(["daemon"]);
    let mut command = unprivileged(&at, own.get_program());
    command.args(own.get_args()).stdin(Stdio::null()).current_dir(at.path("")).env_clear();
    let mut daemon =
        Process::spawn(command.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?)))));
    let process = daemon.child.id().to_string();
    let limit = |soft: &str| {
        let mut command = unprivileged(&at, "prlimit".as_ref());
        command.args(["--pid", &process, &format!("--nproc={soft}:")]);
        assert!(command.status().unwrap().success());
    };
    let status = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = status.lines().find(|line| line.starts_with("Max processes")).unwrap();
    let before = line.split_whitespace().nth(2).unwrap().to_owned();
    wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
    limit("1");
    // The run in progress ends well with the threads that there are, and the next one fails and is tried again.
    let retry = daemon.says("run will be retried");
    assert!(retry.contains("job=later"), "{retry}");
    let failed = daemon.says("cannot start the thread");
    assert!(failed.contains("exit_status=75"), "{failed}");
    assert_exported(&at, "exports/accounts.csv");
    daemon.signal("HUP");
    daemon.says("configuration reloaded");
    assert_eq!(get(daemon.status_port(), "/livez").0, 200);
    limit(&before);
    wait_for(|| at.path("exports/later.csv").exists().then_some(())).unwrap();
    limit("1");
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_exported(&at, "exports/later.csv");
}

#[test]
fn a_process_without_threads_ends_with_status_75() {
    let at = Deployment::new(10);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    let own = at.command(["daemon"]);
    let mut command = unprivileged(&at, "prlimit".as_ref());
    command.arg("--nproc=1:1").arg(own.get_program()).args(own.get_args()).current_dir(at.path(""));
    let outcome = at.outcome(command.stdin(Stdio::null()).output().unwrap()).ended(75);
    outcome.says(&["cannot start the thread", "raise the limit on processes"]);
}

#[test]
fn a_long_history_delays_neither_probes_nor_signals() {
    let at = Deployment::new(10);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@yearly\"");
    State::open(&at.path("state")).unwrap();
    let ended = ago(1);
    let report = RunReport::begun("accounts", "default", RunId::new(ended, 7), ended);
    let line = serde_json::to_string(&report).unwrap() + "\n";
    at.write("state/runs.jsonl", line.repeat(100_000_000 / line.len()));
    let mut daemon = Process::start(&at);
    let begun = Instant::now();
    assert_eq!(get(daemon.status_port(), "/livez").0, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.said());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_disk_that_takes_nothing_fills_no_log_and_delays_no_signal() {
    const JOBS: usize = 60;
    let at = Deployment::new(10);
    at.configure("[daemon]\nmax_concurrent_runs = 60");
    for number in 0..JOBS {
        due(&at, &format!("job{number:02}"), "retries = 0");
    }
    // No file may grow any more: what a full disk does to the state directory.
    let mut daemon = Process::spawn(&mut limited(&at, "-f 0", &["daemon"]));
    daemon.says("cannot write schedule marks");
    wait_for(|| (daemon.said().matches("cannot write to the state directory").count() >= JOBS).then_some(()))
        .unwrap();
    let begun = Instant::now();
    daemon.signal("TERM");
    daemon.says("stopping");
    assert_eq!(daemon.ended(), 0);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let said = daemon.said();
    assert_eq!(said.matches("cannot write schedule marks").count(), 1, "{said}");
    // A few lines for each run that failed, and none for the marks of all others.
    let lines =
        said.lines().filter(|line| ["WARN", "ERROR"].iter().any(|level| line.contains(level))).count();
    assert!(lines < 8 * JOBS, "{lines} lines");
}

// --- within the test ---

/// The computer's clock, as far ahead as the test says. It sleeps shorter than it is asked to, and notes the longest
/// sleep that it was asked for.
struct Ahead {
    system: clock::System,
    by: AtomicI64,
    /// How many seconds more have passed.
    passed: AtomicU64,
    longest: Mutex<Duration>,
}

impl Ahead {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            system: clock::System::new(),
            by: AtomicI64::new(0),
            passed: AtomicU64::new(0),
            longest: Mutex::default(),
        })
    }

    fn jump(&self, by: SignedDuration) {
        self.by.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_millis(self.by.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.system.elapsed() + Duration::from_secs(self.passed.load(Ordering::SeqCst))
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        let mut longest = self.longest.lock().unwrap();
        *longest = wait.max(*longest);
        self.system.sleep(wait.min(Duration::from_millis(20)))
    }

    fn random(&self) -> u64 {
        self.system.random()
    }
}

/// What was noticed of runs, and a job whose runs panic.
#[derive(Default)]
struct Watcher {
    panics_at: Option<&'static str>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Debug, Clone)]
struct Seen {
    job: String,
    run: RunId,
    began: bool,
}

impl Monitor for Watcher {
    fn notice(&self, run: &RunId, event: &Event<'_>) {
        let mut seen = self.seen.lock().unwrap();
        match event {
            Event::Began { job } => {
                seen.push(Seen { job: job.job().to_string(), run: run.clone(), began: true })
            }
            Event::Ended { report } if report.status.has_run() => {
                seen.push(Seen { job: report.job.clone(), run: run.clone(), began: false });
            }
            Event::LoggedIn => {
                let job = seen.iter().find(|seen| seen.run == *run).map(|seen| seen.job.clone());
                drop(seen);
                if self.panics_at.is_some_and(|name| job.as_deref() == Some(name)) {
                    panic!("as the test wants it");
                }
            }
            _ => {}
        }
    }
}

impl Watcher {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn ended(&self) -> usize {
        self.seen().iter().filter(|seen| !seen.began).count()
    }
}

/// Reads the deployment's configuration.
fn load(at: &Deployment) -> impl Fn() -> Result<config::Config, Failure> + Send + 'static {
    let sources = Sources { working_dir: at.path(""), ..Sources::default() };
    move || Ok(config::load(&sources, &Selection::All)?)
}

/// Has a daemon within this process run for as long as the story takes, then stops it.
fn with_daemon(at: &Deployment, clock: &Arc<Ahead>, watcher: &Arc<Watcher>, story: impl FnOnce(&Handle)) {
    with_daemon_that_reads(load(at), at, clock, watcher, story);
}

fn with_daemon_that_reads(
    load: impl Fn() -> Result<config::Config, Failure> + Send + 'static,
    at: &Deployment,
    clock: &Arc<Ahead>,
    watcher: &Arc<Watcher>,
    story: impl FnOnce(&Handle),
) {
    let reader = Reader::new(load).unwrap();
    let config = at.block_on(reader.read(clock.now())).unwrap();
    let surroundings = DaemonOptions {
        reader,
        clock: Arc::clone(clock) as _,
        monitor: Arc::clone(watcher) as _,
        on_reading: Arc::new(|_| {}),
        supervisor: Supervisor::default(),
    };
    let daemon = Daemon::open(config, surroundings).unwrap();
    let handle = daemon.handle();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ended = runtime.spawn(daemon.run());
    story(&handle);
    handle.stop(Exit::Terminated);
    runtime.block_on(ended).unwrap().unwrap();
    assert!(handle.is_stopping());
}

#[test]
fn hangups_during_a_reload_cause_one_more_and_panics_none() {
    let at = Deployment::new(20);
    at.job("first", SOQL, "first.csv", "");
    let readings = Arc::new(AtomicU64::new(0));
    let slowly = {
        let (readings, load) = (Arc::clone(&readings), load(&at));
        move || {
            let number = readings.fetch_add(1, Ordering::SeqCst);
            let config = load();
            assert!(number != 3, "as the test wants it");
            std::thread::sleep(Duration::from_millis(if number == 0 { 0 } else { 400 }));
            config
        }
    };
    let (clock, watcher) = (Ahead::new(), Arc::new(Watcher::default()));
    with_daemon_that_reads(slowly, &at, &clock, &watcher, |handle| {
        let has = |job: &str| handle.config().jobs.contains_key(&key(job));
        handle.reload();
        wait_for(|| (readings.load(Ordering::SeqCst) == 2).then_some(())).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        at.job("second", SOQL, "second.csv", "");
        for _ in 0..5 {
            handle.reload();
        }
        wait_for(|| has("second").then_some(())).unwrap();
        assert_eq!(readings.load(Ordering::SeqCst), 3);

        at.job("third", SOQL, "third.csv", "");
        handle.reload();
        let refused = wait_for(|| handle.reading().refused).unwrap();
        assert!(refused.what.contains("panicked: as the test wants it"), "{refused}");
        assert!(!has("third"));
        handle.reload();
        wait_for(|| has("third").then_some(())).unwrap();
        assert!(handle.reading().refused.is_none());
    });
}

#[test]
fn a_runs_panic_is_written_down_and_stops_nothing_else() {
    let at = Deployment::new(50);
    due(&at, "bad", "");
    due(&at, "good", "");
    let (clock, watcher) = (Ahead::new(), Arc::new(Watcher { panics_at: Some("bad"), ..Watcher::default() }));
    with_daemon(&at, &clock, &watcher, |_| {
        wait_for(|| (watcher.ended() >= 1 && history(&at).len() >= 4).then_some(())).unwrap();
    });
    assert_exported(&at, "exports/good.csv");
    let bad: Vec<_> =
        history(&at).into_iter().filter(|run| run.job == "bad" && run.status.has_run()).collect();
    let error = bad[0].error.clone().unwrap();
    assert!(bad.len() == 1 && error.contains("as the test wants it"), "{bad:?}");
    assert_eq!((bad[0].exit_status, bad[0].scheduled.is_some()), (1, true));
    at.assert_no_stage();
    // Its lock went with it.
    assert!(state(&at).lock_job(&key("bad")).is_ok());
    assert!(state(&at).mark(&key("bad")).unwrap().unwrap().begun.is_none(), "it is not run again for ever");
}

#[test]
fn a_job_starts_on_time_and_a_clock_set_forward_is_noticed() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "{datetime}.csv", "schedule = \"* * * * *\"");
    let (clock, watcher) = (Ahead::new(), Arc::new(Watcher::default()));
    let to_next_minute = 60_000 - clock.now().as_millisecond().rem_euclid(60_000);
    // A second before the full minute: the daemon has begun to wait.
    clock.jump(SignedDuration::from_millis(to_next_minute + 59_000));
    let mut late = SignedDuration::ZERO;
    with_daemon(&at, &clock, &watcher, |handle| {
        wait_for(|| (watcher.ended() >= 1).then_some(())).unwrap();
        let first = history(&at).remove(0);
        late = first.started.duration_since(first.scheduled.unwrap());
        // Three hours in a moment: the latest of the missed is run, the others are told in one line.
        clock.jump(SignedDuration::from_hours(3));
        wait_for(|| (watcher.ended() >= 2).then_some(())).unwrap();
        assert!(handle.last_turn().unwrap() < Duration::from_secs(5));
    });
    assert!(late >= SignedDuration::ZERO && late < SignedDuration::from_secs(2), "{late:?} late");
    let told: Vec<_> = history(&at).into_iter().map(|run| run.status).take(3).collect();
    assert_eq!(told, [RunStatus::Ok, RunStatus::Missed, RunStatus::Ok]);
    let longest = *clock.longest.lock().unwrap();
    assert!(longest > Duration::from_secs(1) && longest <= Duration::from_secs(30), "{longest:?}");
}

#[test]
fn a_daemon_whose_clock_is_years_ahead_keeps_the_history() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@hourly\"");
    let state = State::open(&at.path("state")).unwrap();
    for day in (1..=60).rev() {
        let ended = ago(24 * day);
        let report = RunReport::begun("accounts", "default", RunId::new(ended, 7), ended);
        state.append(&report).unwrap();
    }
    let clock = Ahead::new();
    clock.jump(SignedDuration::from_hours(24 * 730));
    for _ in 0..2 {
        let watcher = Arc::new(Watcher::default());
        with_daemon(&at, &clock, &watcher, |handle| {
            wait_for(|| handle.last_turn()).unwrap();
            // An hour later something runs by the wrong clock.
            clock.jump(SignedDuration::from_hours(1));
            wait_for(|| (watcher.ended() >= 1).then_some(())).unwrap();
        });
    }
    let young = history(&at).iter().filter(|run| run.run_id.as_str().ends_with("-00000007")).count();
    assert_eq!(young, 60, "none is older than 90 days");
}

#[test]
fn a_loop_that_has_not_turned_for_long_is_not_alive() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"0 * * * *\"");
    let (clock, watcher) = (Ahead::new(), Arc::new(Watcher::default()));
    with_daemon(&at, &clock, &watcher, |handle| {
        let listener = at.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap();
        let stats = Arc::new(RunStats::new(Arc::clone(&clock) as _));
        let status = std::thread::spawn({
            let handle = handle.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            move || runtime.block_on(status::serve(listener, stats, handle))
        });
        wait_for(|| (get(port, "/readyz").0 == 200).then_some(())).unwrap();
        // The loop itself must not wait for long: here it waits for the monitor that hears of a missed run.
        let still = watcher.seen.lock().unwrap();
        clock.jump(SignedDuration::from_hours(5));
        wait_for(|| handle.last_turn().filter(|still| *still > Duration::from_secs(1))).unwrap();
        clock.passed.fetch_add(85, Ordering::SeqCst);
        assert_eq!(get(port, "/livez").0, 200);
        clock.passed.fetch_add(10, Ordering::SeqCst);
        let (code, text) = get(port, "/livez");
        assert!(code == 503 && text.contains("has not responded for"), "{text}");
        drop(still);
        wait_for(|| (get(port, "/livez").0 == 200).then_some(())).unwrap();
        assert!(!status.is_finished());
    });
}

#[test]
fn a_run_finishes_as_it_started_while_its_job_is_removed() {
    let at = Deployment::new(20);
    due(&at, "accounts", "");
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(1))));
    let (clock, watcher) = (Ahead::new(), Arc::new(Watcher::default()));
    with_daemon(&at, &clock, &watcher, |handle| {
        wait_for(|| (at.queries().len() == 1).then_some(())).unwrap();
        std::fs::remove_file(at.path("jobs/accounts.toml")).unwrap();
        at.job("other", SOQL, "other.csv", "schedule = \"* * * * *\"");
        handle.reload();
        wait_for(|| handle.config().jobs.contains_key(&key("other")).then_some(())).unwrap();
        clock.jump(SignedDuration::from_mins(1));
        for job in ["accounts", "other"] {
            let has_ended = |seen: Seen| seen.job == job && !seen.began;
            wait_for(|| watcher.seen().into_iter().any(has_ended).then_some(())).unwrap();
        }
    });
    assert_exported(&at, "exports/accounts.csv");
    assert_exported(&at, "exports/other.csv");
    assert!(state(&at).mark(&key("accounts")).unwrap().is_none(), "a job that is gone has no mark");
}

/// With the real clock: up to a minute.
#[test]
#[ignore = "waits for a full minute; run with --ignored"]
fn a_job_of_every_minute_starts_at_the_full_minute() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "{datetime}.csv", "schedule = \"* * * * *\"");
    let _daemon = Process::start(&at);
    let begun = Instant::now();
    while history(&at).is_empty() && begun.elapsed() < Duration::from_secs(70) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = history(&at).pop().unwrap();
    let late = run.started.duration_since(run.scheduled.unwrap());
    assert!(late >= SignedDuration::ZERO && late < SignedDuration::from_secs(1), "{late:?}");
    assert!(Path::new(run.path.as_deref().unwrap()).exists());
}

//! The state directory when a neighbour or the system works against it, through the binary.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs::{self, File};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use sfexport::demo_org::Options;
use sfexport::job::{ExportKey, JobName};
use sfexport::org::OrgName;
use sfexport::schedule::{Mark, Schedule, Started};
use sfexport::state::State;
use support::{Deployment, options};

const SOQL: &str = "SELECT Id, Name FROM Account";

/// Runs the binary where no more than this many files may be open.
fn with_descriptors(at: &Deployment, limit: usize, arguments: &[&str]) -> Output {
    let binary = at.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
    command.args(binary.get_args()).current_dir(at.path("")).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).output().unwrap()
}

/// The whole lines of the history, the oldest first.
fn history(at: &Deployment) -> Vec<Json> {
    let text = fs::read_to_string(at.path("state/runs.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How long anything may take that takes milliseconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(30);

#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A daemon whose log is `daemon.log`, killed at the latest when the test ends.
struct Daemon(Child);

impl Daemon {
    fn start(at: &Deployment) -> Self {
        let log = File::options().create(true).append(true).open(at.path("daemon.log")).unwrap();
        Self(at.command(["daemon"]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    fn said(at: &Deployment) -> String {
        at.text("daemon.log")
    }

    #[track_caller]
    fn says(at: &Deployment, text: &str) {
        wait_for(text, || Self::said(at).contains(text));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Wakes it until it has found something. It looks for its directory when anything happens, once a second at most.
    #[track_caller]
    fn looks_around(&self, found: impl Fn() -> bool) {
        wait_for("found", || {
            self.signal("HUP");
            std::thread::sleep(Duration::from_millis(200));
            found()
        });
    }

    /// Tells it to stop, and looks whether it hears that within a second and ends well soon after.
    #[track_caller]
    fn stops(&mut self, at: &Deployment) {
        let begun = Instant::now();
        self.signal("TERM");
        Self::says(at, "stopping: no new runs will start");
        assert!(begun.elapsed() < Duration::from_secs(1), "heard after {:?}", begun.elapsed());
        let mut status = None;
        wait_for("the daemon ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{}", Self::said(at));
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An hourly job that is due when a daemon starts.
fn due(at: &Deployment, job: &str, soql: &str, more: &str) {
    at.job(job, soql, &format!("{job}.csv"), &format!("schedule = \"@hourly\"\n{more}"));
    let fingerprint = Schedule::parse("@hourly", TimeZone::UTC).unwrap().fingerprint();
    let settled = Timestamp::now() - SignedDuration::from_hours(3);
    let mark = Mark { fingerprint, settled, begun: None, started: Started::default(), died: 0 };
    let key = ExportKey::new(JobName::parse(job).unwrap(), OrgName::default_org());
    State::open(&at.path("state")).unwrap().set_mark(&key, &mark).unwrap();
}

#[test]
fn too_few_descriptors_for_the_lock_are_not_a_running_job() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.run(["run", "accounts"]).ended(0);
    let mut kept_out = 0;
    for limit in 6..40 {
        let before = history(&at).len();
        let output = with_descriptors(&at, limit, &["run", "accounts", "--json"]);
        let Some(report) = output.stdout.split(|byte| *byte == b'\n').find(|line| !line.is_empty()) else {
            continue;
        };
        let report: Json = serde_json::from_slice(report).unwrap();
        let error = report["error"].as_str().unwrap_or_default();
        if !(error.contains("locks/accounts") && error.contains("Too many open files")) {
            continue;
        }
        kept_out += 1;
        assert_eq!(output.status.code(), Some(75), "{report}");
        // Too few for the history as well, as a rule: then that is said.
        let warned = report["warnings"].to_string().contains("runs.");
        assert!(history(&at).len() == before + 1 || warned, "{limit}: neither recorded nor said: {report}");
    }
    assert!(kept_out > 0, "no limit hit the lock");
}

#[test]
fn a_job_that_kills_its_process_keeps_no_other_from_running() {
    let at = Deployment::with(Options { think: Duration::from_millis(300), ..options(20) });
    let more = "retries = 1\nretry_after = \"1s\"";
    due(&at, "killer", "SELECT Id FROM Contact", more);
    due(&at, "other", SOQL, more);
    let asked = || at.queries().iter().filter(|query| query.query().contains("Contact")).count();
    let given_up = || {
        history(&at).into_iter().find(|run| run["error"] == "given up: the process died during every attempt")
    };
    let (begun, mut deaths) = (Instant::now(), 0);
    let mut daemon = Daemon::start(&at);
    while !exported(&at, "other") || given_up().is_none() {
        if asked() > deaths {
            // As the kernel kills a process that has no memory left, whatever else it does at that time.
            deaths = asked();
            daemon.kill();
            daemon = Daemon::start(&at);
        }
        assert!(begun.elapsed() < PATIENCE, "{deaths} deaths: {:?}", history(&at));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(deaths, 2, "once more than `retries`: {:?}", history(&at));
    let given_up = given_up().unwrap();
    assert_eq!((&given_up["job"], &given_up["status"]), (&Json::from("killer"), &Json::from("failed")));
    assert_eq!(given_up["exit_status"], 1);
    assert!(given_up["hint"].as_str().unwrap().contains("out-of-memory killer"), "{given_up}");
}

/// Whether a job was exported as its schedule says.
fn exported(at: &Deployment, job: &str) -> bool {
    history(at).iter().any(|run| run["job"] == job && run["status"] == "ok" && !run["scheduled"].is_null())
}

#[test]
fn a_history_of_one_huge_line_keeps_no_daemon_from_its_work() {
    let at = Deployment::new(20);
    due(&at, "accounts", SOQL, "");
    at.run(["run", "accounts"]).ended(0);
    let line = at.text("state/runs.jsonl");
    let huge = [line.as_bytes(), &vec![b'x'; 64 << 20], b"\n", line.as_bytes()].concat();
    at.write("state/runs.jsonl", huge);
    let begun = Instant::now();
    let mut daemon = Daemon::start(&at);
    Daemon::says(&at, "daemon started");
    assert!(begun.elapsed() < Duration::from_secs(1), "after {:?}", begun.elapsed());
    wait_for("exported", || exported(&at, "accounts"));
    daemon.stops(&at);
    let begun = Instant::now();
    assert_eq!(at.run(["history", "--json", "--limit", "0"]).ended(0).reports().len(), history(&at).len());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_history_that_somebody_locks_keeps_no_daemon_from_its_work() {
    let at = Deployment::new(20);
    due(&at, "accounts", SOQL, "");
    let neighbour = File::create(at.path("state/runs.lock")).unwrap();
    neighbour.lock().unwrap();
    let mut daemon = Daemon::start(&at);
    wait_for("exported", || at.path("exports/accounts.csv").exists());
    let said = ["cannot add runs to the history", "runs.lock is locked"];
    said.iter().for_each(|text| Daemon::says(&at, text));
    let begun = Instant::now();
    daemon.signal("TERM");
    Daemon::says(&at, "stopping: no new runs will start");
    assert!(begun.elapsed() < Duration::from_secs(1), "heard after {:?}", begun.elapsed());
    drop(neighbour);
    wait_for("the daemon ends", || daemon.0.try_wait().unwrap().is_some());
    assert!(exported(&at, "accounts"), "recorded when the lock was free again: {:?}", history(&at));
}

#[test]
fn a_full_state_dir_fails_once_for_all_jobs_that_are_due() {
    const JOBS: usize = 200;
    let at = Deployment::new(20);
    at.configure("[daemon]\nmax_concurrent_runs = 50");
    for number in 0..JOBS {
        due(&at, &format!("job{number:03}"), SOQL, "");
    }
    // A tmpfs of its own, full to the last page.
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs state.mounted && cp -a state/. state.mounted/ && \
         (cat /dev/zero > state.mounted/ballast || true) 2>/dev/null && \
         exec {:?} --state-dir state.mounted daemon",
        env!("CARGO_BIN_EXE_sfexport")
    );
    fs::create_dir(at.path("state.mounted")).unwrap();
    let log = File::create(at.path("daemon.log")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).current_dir(at.path(""));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    let mut daemon = Daemon(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    let count = |text: &str| Daemon::said(&at).lines().filter(|line| line.contains(text)).count();
    wait_for("every job has failed", || count("exit_status=73") >= JOBS);
    assert!((1..=8).contains(&count("cannot write schedule marks")), "{}", Daemon::said(&at));
    assert!((1..=9).contains(&count("cannot add runs to the history")), "{}", Daemon::said(&at));
    // A line when it starts, three when it ends.
    assert!(Daemon::said(&at).lines().count() < 5 * JOBS, "{}", Daemon::said(&at).lines().count());
    daemon.stops(&at);
}

#[test]
fn pipes_and_devices_in_place_of_state_files_hang_nobody() {
    let at = Deployment::new(20);
    due(&at, "accounts", SOQL, "");
    at.run(["run", "accounts"]).ended(0);
    for pipe in ["state/runs.jsonl", "state/columns/accounts@default.json"] {
        fs::remove_file(at.path(pipe)).unwrap();
        assert!(Command::new("mkfifo").arg(at.path(pipe)).status().unwrap().success());
    }
    fs::remove_file(at.path("state/marks/accounts@default.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at.path("state/marks/accounts@default.json")).unwrap();
    let not_a_file = |name: &str| format!("{name}: it is not a regular file");
    at.run(["history"]).ended(73).says(&[&not_a_file("runs.jsonl")]);
    at.run(["run", "accounts"]).ended(73).says(&[&not_a_file("accounts@default.json")]);
    let mut daemon = Daemon::start(&at);
    Daemon::says(&at, "daemon started");
    Daemon::says(&at, "the job's schedule starts again");
    daemon.stops(&at);
}

#[test]
fn a_state_dir_that_is_deleted_is_created_again() {
    let at = Deployment::new(20);
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"* * * * *\"");
    let mut daemon = Daemon::start(&at);
    Daemon::says(&at, "daemon started");
    // At once: while it is emptied, the daemon may write to it.
    fs::rename(at.path("state"), at.path("gone")).unwrap();
    fs::remove_dir_all(at.path("gone")).unwrap();
    daemon.looks_around(|| Daemon::said(&at).contains("state_dir was deleted and has been recreated"));
    at.run(["daemon"]).ended(75).says(&["a daemon already uses"]);
    wait_for("marked", || at.path("state/marks/accounts@default.json").exists());
    at.run(["run", "accounts"]).ended(0);
    daemon.stops(&at);
}

#[test]
fn a_daemon_whose_deleted_state_dir_another_one_took_stops() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "schedule = \"@hourly\"");
    let mut first = Daemon::start(&at);
    Daemon::says(&at, "daemon started");
    fs::rename(at.path("state"), at.path("state.old")).unwrap();
    let second = Daemon::start(&at);
    wait_for("both", || Daemon::said(&at).matches("daemon started").count() == 2);
    let mut status = None;
    first.looks_around(|| Daemon::said(&at).contains("another daemon uses state_dir"));
    wait_for("the first ends", || {
        status = first.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(75), "{}", Daemon::said(&at));
    let by = format!("a daemon already uses {} (process {})", at.path("state").display(), second.0.id());
    Daemon::says(&at, &by);
}

#[test]
fn what_root_ran_once_the_daemons_user_runs_on() {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        return support::skip("only root can run as another user");
    }
    const USER: &str = "65534";
    let at = Deployment::new(20);
    at.job("new", SOQL, "new.csv", "");
    for directory in ["state", "exports"] {
        fs::create_dir(at.path(directory)).unwrap();
    }
    let owner = format!("{USER}:{USER}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(at.path("")).status().unwrap().success());
    at.run(["run", "new"]).ended(0);
    let binary = at.command(["run", "new", "--json"]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(binary.get_program());
    command.args(binary.get_args()).current_dir(at.path("")).env_clear().stdin(Stdio::null());
    at.outcome(command.output().unwrap()).ended(0);
    assert_eq!(history(&at).len(), 2);
    // A lock that another user made, and may read only, can be taken as well.
    let lock = at.path("state/locks/new@default.lock");
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    at.outcome(command.output().unwrap()).ended(0);
    assert_eq!(history(&at).len(), 3);
    // A directory that it cannot write to is found before a run begins, and by `check`.
    let own = at.path("state/journal");
    assert!(Command::new("chown").arg("0:0").arg(&own).status().unwrap().success());
    at.outcome(command.output().unwrap()).ended(73).says(&[&format!("cannot write to {}", own.display())]);
    let binary = at.command(["check", "--offline"]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(binary.get_program());
    command.args(binary.get_args()).current_dir(at.path("")).env_clear().stdin(Stdio::null());
    let checked = at.outcome(command.output().unwrap()).ended(73);
    assert!(checked.stdout().contains("✗ state"), "{}", checked.stdout());
}

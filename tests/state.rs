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

/// A daemon whose log is `daemon.log`, killed at the latest when the test ends.
struct Daemon(Child);

impl Daemon {
    fn start(at: &Deployment) -> Self {
        let log = File::options().create(true).append(true).open(at.path("daemon.log")).unwrap();
        Self(at.command(["daemon"]).stdout(Stdio::null()).stderr(log).spawn().unwrap())
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
    let ended = |job: &str, status: &str| {
        history(&at).into_iter().find(|run| run["job"] == job && run["status"] == status)
    };
    let (begun, mut deaths) = (Instant::now(), 0);
    let mut daemon = Daemon::start(&at);
    while ended("other", "ok").is_none() || ended("killer", "failed").is_none() {
        if asked() > deaths {
            // As the kernel kills a process that has no memory left, whatever else it does at that time.
            deaths = asked();
            daemon.kill();
            daemon = Daemon::start(&at);
        }
        assert!(begun.elapsed() < PATIENCE, "{deaths} deaths: {:?}", history(&at));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(deaths, 2, "once more than `retries`");
    let given_up = ended("killer", "failed").unwrap();
    assert_eq!(given_up["error"], "given up: the process died in each of its attempts");
    assert_eq!(given_up["exit_status"], 1);
    assert!(given_up["hint"].as_str().unwrap().contains("out-of-memory killer"), "{given_up}");
}

//! A daemon's process as the tests start it, what it logs, its status port, and the state that it finds and leaves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sfexport::job::{ExportKey, JobName};
use sfexport::org::OrgName;
use sfexport::report::RunReport;
use sfexport::schedule::{Mark, Schedule, Started};
use sfexport::state::State;

use super::Deployment;

/// The query of the jobs that [`due`] writes.
pub(crate) const SOQL: &str = "SELECT Id, Name FROM Account";

/// How long anything may take that takes milliseconds on a machine with nothing else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon's process, and what it said.
pub(crate) struct Process {
    pub(crate) child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(at: &Deployment) -> Self {
        Self::spawn(&mut at.command(["daemon"]))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut lines, heard) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { child, said }
    }

    pub(crate) fn said(&self) -> String {
        let said = self.said.lock().unwrap().clone();
        assert_eq!(super::secret_in(&said), None);
        said
    }

    /// Waits for a line that holds this, and gives it.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> String {
        wait_for(|| self.said().lines().find(|line| line.contains(text)).map(str::to_owned))
            .unwrap_or_else(|| panic!("{text:?} is not in:\n{}", self.said()))
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end: the exit status, or 128 and the signal that ended it.
    pub(crate) fn ended(&mut self) -> i32 {
        let status = wait_for(|| self.child.try_wait().unwrap());
        let status = status.unwrap_or_else(|| panic!("it goes on:\n{}", self.said()));
        status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap())
    }

    /// Where its status port is.
    #[track_caller]
    pub(crate) fn status_port(&self) -> SocketAddr {
        let line = self.says("status port listening");
        line.split_once("address=").unwrap().1.trim().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = found() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Status and body of a GET.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_from(address, path, &address.to_string())
}

/// The same, with another `Host`.
pub(crate) fn get_from(address: SocketAddr, path: &str, host: &str) -> (u16, String) {
    let (head, body) = response(address, path, host);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

/// The head and the body of the response to a GET.
pub(crate) fn response(address: SocketAddr, path: &str, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The value of a metric's sample.
#[track_caller]
pub(crate) fn sample(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in:\n{metrics}")).parse().unwrap()
}

pub(crate) fn state(at: &Deployment) -> State {
    State::at(&at.path("state")).unwrap()
}

/// The history, the oldest first.
pub(crate) fn history(at: &Deployment) -> Vec<RunReport> {
    let mut reports: Vec<_> = state(at).history().unwrap().map(Result::unwrap).collect();
    reports.reverse();
    reports
}

pub(crate) fn name(job: &str) -> JobName {
    JobName::parse(job).unwrap()
}

pub(crate) fn key(job: &str) -> ExportKey {
    ExportKey::new(name(job), OrgName::default_org())
}

pub(crate) fn ago(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

/// As if a daemon had settled everything up to some hours ago: an hourly job is due at the next start.
pub(crate) fn settled(at: &Deployment, job: &str, schedule: &str, settled: Timestamp) {
    settled_for(at, &key(job), schedule, settled);
}

pub(crate) fn settled_for(at: &Deployment, key: &ExportKey, schedule: &str, settled: Timestamp) {
    let fingerprint = Schedule::parse(schedule, TimeZone::UTC).unwrap().fingerprint();
    let mark = Mark { fingerprint, settled, begun: None, started: Started::default(), died: 0 };
    State::open(&at.path("state")).unwrap().set_mark(key, &mark).unwrap();
}

/// An hourly job of all accounts that is due when a daemon starts.
pub(crate) fn due(at: &Deployment, job: &str, more: &str) {
    at.job(job, SOQL, &format!("{job}.csv"), &format!("schedule = \"@hourly\"\n{more}"));
    settled(at, job, "@hourly", ago(3));
}

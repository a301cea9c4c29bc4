//! Runs the command: in its own process group, with the report on standard input, and with limits on time and output.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::clock::{self, Clock};
use crate::error::{Failure, io_text, plain_lines};
use crate::human;
use crate::stop::Stop;

/// How much of the output is kept: its end.
const MAX_OUTPUT: usize = 4 * 1024;

/// How long the output may stay open once the command has ended: a process that it left behind may hold it for ever.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a killed command may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_millis(500);

/// The beginning of the variables that may hold keys of orgs.
const ORG_VARIABLES: &[u8] = b"SFEXPORT_ORG";

/// What came of a command.
pub(super) struct Ended {
    pub(super) how: How,
    /// The end of what it wrote to standard output and standard error, fit for a log.
    pub(super) output: String,
}

/// How a command ended.
pub(super) enum How {
    /// By itself.
    Exited(ExitStatus),
    /// It could not be started.
    NotStarted(io::Error),
    /// It was killed, because it took too long.
    TimedOut,
    /// It was killed, because the run was stopped.
    Stopped(Failure),
}

/// Runs a program with its arguments, with `input` on its standard input. It ends within `timeout`, or sooner if the run is
/// stopped.
pub(super) async fn run(
    command: &[OsString],
    input: Vec<u8>,
    timeout: Duration,
    clock: &dyn Clock,
    stop: &Stop,
) -> Ended {
    let mut child = match start(command) {
        Ok(child) => child,
        Err(error) => return Ended { how: How::NotStarted(error), output: String::new() },
    };
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(mut stdin) = child.stdin.take() {
        // A command need not read its input, and may end while this is being written.
        tokio::spawn(async move { stdin.write_all(&input).await });
    }
    let outputs = [child.stdout.take().map(Tail::of), child.stderr.take().map(Tail::of)];
    let how = tokio::select! {
        biased;
        failure = stop.requested() => How::Stopped(failure),
        ended = child.wait() => ended.map_or_else(How::NotStarted, How::Exited),
        () = clock.sleep(timeout) => How::TimedOut,
    };
    if !matches!(how, How::Exited(_)) {
        kill(group, &mut child, clock).await;
    }
    let mut output = String::new();
    for reading in outputs.into_iter().flatten() {
        output.push_str(&reading.text(clock).await);
    }
    Ended { how, output }
}

fn start(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_an_org(name)) {
        command.env_remove(name);
    }
    command.spawn()
}

fn is_of_an_org(variable: &OsStr) -> bool {
    variable.as_encoded_bytes().starts_with(ORG_VARIABLES)
}

/// Kills the command and everything that it has started in its group.
async fn kill(group: Option<Pid>, child: &mut Child, clock: &dyn Clock) {
    if let Some(group) = group {
        // It may have ended meanwhile.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = clock::within(clock, KILL_TIMEOUT, child.wait()).await;
}

/// A stream that is being read, and the end of what came.
struct Tail {
    kept: Arc<Mutex<Kept>>,
    reading: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    fn of(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let kept = Arc::<Mutex<Kept>>::default();
        let reading = tokio::spawn({
            let kept = Arc::clone(&kept);
            async move {
                let mut buffer = [0; MAX_OUTPUT];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    lock(&kept).push(&buffer[..count]);
                }
            }
        });
        Self { kept, reading }
    }

    /// What came, once the stream has ended, or for long enough has not.
    async fn text(mut self, clock: &dyn Clock) -> String {
        if clock::within(clock, OUTPUT_TIMEOUT, &mut self.reading).await.is_none() {
            self.reading.abort();
        }
        let kept = lock(&self.kept);
        let text = plain_lines(String::from_utf8_lossy(&kept.bytes).trim_end());
        match (text.is_empty(), kept.is_cut) {
            (true, _) => String::new(),
            (false, true) => format!("…{text}\n"),
            (false, false) => format!("{text}\n"),
        }
    }
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let more = self.bytes.len().saturating_sub(MAX_OUTPUT);
        if more > 0 {
            self.bytes.drain(..more);
            self.is_cut = true;
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl How {
    /// How it ended, for a sentence that begins with the program's name; `None` if it succeeded.
    pub(super) fn failure(&self, timeout: Duration) -> Option<String> {
        Some(match self {
            Self::Exited(status) if status.success() => return None,
            Self::Exited(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit status {code}"),
                (None, Some(signal)) => format!("was killed by signal {signal}"),
                (None, None) => "ended without an exit status".to_owned(),
            },
            Self::NotStarted(error) => format!("cannot be started: {}", io_text(error)),
            Self::TimedOut => format!("was killed, because it took longer than {}", human::rough(timeout)),
            Self::Stopped(failure) => format!("was killed: {}", failure.what),
        })
    }

    /// Its exit status, if it ended by itself.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Exited(status) => status.code(),
            Self::NotStarted(_) | Self::TimedOut | Self::Stopped(_) => None,
        }
    }
}

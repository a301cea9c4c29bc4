//! Reads the configuration for the daemon, always on the same thread. Whether it is accepted is up to the daemon.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::mpsc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::loaded_config::TOO_MANY_LOGINS_HINT;
use super::{LoadedConfig, panic_text};
use crate::config::Config;
use crate::error::{Exit, Failure, io_text};
use crate::threads;

/// Reads the configuration on request, on its own thread, because files may be slow.
///
/// It is one thread, because glibc keeps freed memory for the thread that allocated it: read on the runtime's threads,
/// the configurations of 1,000 jobs left up to 20 MiB behind; here each takes the memory of the one before the last (docs/internals/performance.md).
#[derive(Debug)]
pub struct Reader {
    asked: mpsc::Sender<Asked>,
}

#[derive(Debug)]
struct Asked {
    now: Timestamp,
    answer: oneshot::Sender<Result<LoadedConfig, Failure>>,
}

impl Reader {
    /// Starts the thread, which ends with this; `load` reads.
    ///
    /// # Errors
    /// [`Exit::TryLater`] if no thread can be started.
    pub fn new(load: impl Fn() -> Result<Config, Failure> + Send + 'static) -> Result<Self, Failure> {
        let (asked, commands) = mpsc::channel::<Asked>();
        let read = move || {
            for Asked { now, answer } in commands {
                let read = panic::catch_unwind(AssertUnwindSafe(|| read(&load, now)));
                // The receiver may be gone.
                let _ = answer.send(read.unwrap_or_else(|panic| Err(bug(panic_text(panic.as_ref())))));
            }
        };
        threads::spawn("configuration", read)?;
        Ok(Self { asked })
    }

    /// Reads the configuration now and logs warnings about it.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if it is not valid as a whole, or the jobs directory is missing.
    pub async fn read(&self, now: Timestamp) -> Result<LoadedConfig, Failure> {
        answer(self.ask(now).await)
    }

    pub(super) fn ask(&self, now: Timestamp) -> oneshot::Receiver<Result<LoadedConfig, Failure>> {
        let (answer, answered) = oneshot::channel();
        // If the thread has ended, the request is dropped, and the receiver reports that.
        let _ = self.asked.send(Asked { now, answer });
        answered
    }
}

/// The thread's answer. It outlives all requests, unless there is a bug.
pub(super) fn answer(
    answered: Result<Result<LoadedConfig, Failure>, oneshot::error::RecvError>,
) -> Result<LoadedConfig, Failure> {
    answered.unwrap_or_else(|_| Err(bug("its thread has ended")))
}

fn bug(text: &str) -> Failure {
    Failure::new(Exit::General, format!("a bug in sfexport: reading the configuration panicked: {text}"))
}

fn read(load: &impl Fn() -> Result<Config, Failure>, now: Timestamp) -> Result<LoadedConfig, Failure> {
    let config = load()?;
    for warning in &config.warnings {
        let (what, hint) = warning.clone().split();
        tracing::warn!(hint, "{what}");
    }
    let config = LoadedConfig::new(config);
    is_there(&config.settings.jobs_dir)?;
    if let Some(what) = config.nothing_to_do() {
        tracing::warn!("{what}");
    }
    for what in config.too_many_logins(now) {
        tracing::warn!(hint = TOO_MANY_LOGINS_HINT, "{what}");
    }
    Ok(config)
}

/// A single run can do without job files. A daemon whose jobs directory is gone would silently lose every job, so that is
/// a mistake, whether the directory is named or not.
fn is_there(jobs_dir: &Path) -> Result<(), Failure> {
    let what =
        |error: std::io::Error| format!("cannot read jobs_dir {}: {}", jobs_dir.display(), io_text(&error));
    std::fs::read_dir(jobs_dir).map(drop).map_err(|error| {
        Failure::new(Exit::Configuration, what(error))
            .hint("restore the directory, or set jobs_dir to another one (it may be empty)")
    })
}

//! Dedicated threads, and the failure if the system cannot start one.

use std::thread::{self, JoinHandle};

use crate::error::{Exit, Failure, io_text};

/// Starts a thread.
///
/// # Errors
/// [`Exit::TryLater`] if the user or the container has reached its limit of processes and threads.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        Failure::new(Exit::TryLater, format!("cannot start the thread {name:?}: {}", io_text(&error))).hint(
            "raise the limit on processes (ulimit -u, TasksMax, pids.max), or lower max_concurrent_runs",
        )
    })
}

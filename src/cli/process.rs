//! Reserves file descriptors and threads when the process starts, before others can use them up.

use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Exit, Failure, io_text};
use crate::threads;

/// Practically forever.
const KEEP_ALIVE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Raises the soft limit of file descriptors to the hard limit. The soft limit is low by default for programs that use
/// select(2), which this one does not.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the system refuses, the old limit stays in effect.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// The runtime, with this number of network threads and at least one thread for blocking work.
///
/// The library panics if there is no thread for blocking work and none can be started. If there is one, work waits for it.
/// So one is started now, and idle threads do not end.
///
/// # Errors
/// [`Exit::TryLater`] if the system cannot start more threads.
pub(super) fn runtime(network_threads: usize) -> Result<Runtime, Failure> {
    probe(network_threads + 1)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(network_threads)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::General, format!("cannot start: {}", io_text(&error))))?;
    // It cannot fail.
    let _ = runtime.block_on(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// Whether this number of threads can run at once. If not, the library would panic.
fn probe(count: usize) -> Result<(), Failure> {
    let mut started = Vec::new();
    for _ in 0..count {
        let (release, released) = mpsc::channel::<()>();
        started.push((release, threads::spawn("probe", move || released.recv())?));
    }
    for (release, thread) in started {
        drop(release);
        let _ = thread.join();
    }
    Ok(())
}

//! What the process asks of the system before any work: descriptors, and threads that nobody can take away later.

use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Exit, Failure};
use crate::threads;

/// As good as for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Raises the soft limit of descriptors to the hard one. The soft one is low by default, for programs that still use
/// select(2); this one does not.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the system refuses, the old limit has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// The runtime, with so many threads for the network and at least one for blocking work.
///
/// The library panics if blocking work finds no thread and none can be started. While one is there, work waits for it
/// instead; so one is started now, and none ends for want of work.
///
/// # Errors
/// [`Exit::TryLater`] if the system has no threads to give.
pub(super) fn runtime(network_threads: usize) -> Result<Runtime, Failure> {
    probe(network_threads + 1)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(network_threads)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::General, format!("cannot start: {error}")))?;
    // Nothing can go wrong in it.
    let _ = runtime.block_on(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// Whether so many threads can run at once; the library would panic.
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

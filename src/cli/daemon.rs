//! `sfexport daemon`: jobs as their schedules say, until a signal.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use crate::clock;
use crate::config::{self, Selection};
use crate::daemon::{Daemon, Ended, Handle, Supervisor, Surroundings};
use crate::error::{Exit, Failure};
use crate::monitor::Silent;

/// Runs the daemon until it is stopped; 0 when every run has ended, the signal's status when a second one came.
pub(super) async fn daemon(context: &Context) -> Result<Exit, Failure> {
    let signals = Signals::listen()?;
    let sources = context.sources()?;
    let config = config::load(&sources, &Selection::All)?;
    let daemon = Daemon::open(
        config,
        Surroundings {
            load: Arc::new(move || Ok(config::load(&sources, &Selection::All)?)),
            clock: Arc::new(clock::System::new()),
            monitor: Arc::new(Silent),
            supervisor: Supervisor::of_environment(|name| std::env::var_os(name)),
        },
    )?;
    tokio::spawn(signals.pass_on(daemon.handle()));
    Ok(match daemon.run().await {
        Ended::Drained => Exit::Success,
        Ended::Aborted(signal) => signal,
    })
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Before anything else: process 1 of a container hears only the signals that it listens for.
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::new(Exit::General, format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn pass_on(mut self, daemon: Handle) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => daemon.reload(),
                _ = self.interrupt.recv() => daemon.stop(Exit::Interrupted),
                _ = self.terminate.recv() => daemon.stop(Exit::Terminated),
            }
        }
    }
}

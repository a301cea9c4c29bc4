//! `sfexport daemon`: jobs as their schedules say, until a signal.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use crate::clock::{self, Clock};
use crate::config::{self, Selection};
use crate::daemon::{Daemon, Ended, Handle, Supervisor, Surroundings};
use crate::error::{Exit, Failure};
use crate::monitor::{Monitor, Several};
use crate::notify::Notifier;
use crate::status::{self, Board};

/// Runs the daemon until it is stopped; 0 when every run has ended, the signal's status when a second one came.
pub(super) async fn daemon(context: &Context) -> Result<Exit, Failure> {
    let signals = Signals::listen()?;
    let sources = context.sources()?;
    let config = config::load(&sources, &Selection::All)?;
    let listen = config.settings.status.listen;
    let clock: Arc<dyn Clock> = Arc::new(clock::System::new());
    let board = Arc::new(Board::new(Arc::clone(&clock)));
    let notifier = Arc::new(Notifier::new(&config.settings, config.jobs.iter()));
    let listeners: Vec<Arc<dyn Monitor>> = vec![Arc::clone(&board) as _, Arc::clone(&notifier) as _];
    let (told_board, told_notifier) = (Arc::clone(&board), Arc::clone(&notifier));
    let daemon = Daemon::open(
        config,
        Surroundings {
            load: Arc::new(move || Ok(config::load(&sources, &Selection::All)?)),
            clock,
            monitor: Arc::new(Several(listeners)),
            on_reading: Arc::new(move |roster| {
                told_board.set_jobs(roster.jobs.values().map(AsRef::as_ref));
                told_notifier.set_addresses(&roster.settings, roster.jobs.values().map(AsRef::as_ref));
            }),
            supervisor: Supervisor::of_environment(|name| std::env::var_os(name)),
        },
    )?;
    for report in daemon.state().history()? {
        let report = report?;
        board.recall(&report);
        notifier.recall(&report);
    }
    if let Some(address) = listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new(Exit::General, format!("the status port cannot listen on {address}: {error}"))
                .hint("set [status] listen to an address of this machine and a port that is free")
        })?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "the status port listens");
        tokio::spawn(serve_status(listener, board, daemon.handle()));
    }
    tokio::spawn(signals.pass_on(daemon.handle()));
    Ok(match daemon.run().await {
        Ended::Drained => {
            notifier.finish().await;
            Exit::Success
        }
        Ended::Aborted(signal) => signal,
    })
}

async fn serve_status(listener: TcpListener, board: Arc<Board>, daemon: Handle) {
    if let Err(error) = status::serve(listener, board, daemon).await {
        // Exports go on unseen rather than not at all; whoever watches sees the port gone.
        tracing::error!(%error, "the status port is closed");
    }
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

//! `sfexport daemon`: jobs as their schedules say, until a signal.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use super::run::recall;
use crate::clock::{self, Clock};
use crate::config::{self, Selection};
use crate::daemon::{Daemon, DaemonOptions, Handle, Reader, Supervisor};
use crate::error::{Exit, Failure};
use crate::monitor::{Monitor, Several};
use crate::notify::Notifier;
use crate::status::{self, RunStats};
use crate::stop::Stop;

pub(super) const AFTER_HELP: &str = "\
Signals:
  SIGHUP            read the configuration again
  SIGTERM, SIGINT   start no further run, and let the running ones end; a second one ends them";

/// Runs the daemon until it is stopped; 0 when every run has ended.
pub(super) async fn daemon(context: &Context) -> Result<Exit, Failure> {
    // Before anything else: process 1 of a container hears only the signals that it listens for.
    let hangups = signal(SignalKind::hangup())
        .map_err(|error| Failure::new(Exit::General, format!("cannot listen for signals: {error}")))?;
    let sources = context.sources()?;
    let clock: Arc<dyn Clock> = Arc::new(clock::System::new());
    let reader = Reader::new(move || Ok(config::load(&sources, &Selection::All)?))?;
    let config = reader.read(clock.now()).await?;
    let listen = config.settings.status.listen;
    let stats = Arc::new(RunStats::new(Arc::clone(&clock)));
    let jobs = config.jobs.values().map(AsRef::as_ref);
    let notifier = Arc::new(Notifier::new(&config.settings, jobs, Arc::clone(&clock)));
    let listeners: Vec<Arc<dyn Monitor>> = vec![Arc::clone(&stats) as _, Arc::clone(&notifier) as _];
    let (its_stats, its_notifier) = (Arc::clone(&stats), Arc::clone(&notifier));
    let daemon = Daemon::open(
        config,
        DaemonOptions {
            reader,
            clock,
            monitor: Arc::new(Several(listeners)),
            on_reading: Arc::new(move |config| {
                its_stats.set_jobs(config.jobs.values().map(AsRef::as_ref));
                its_notifier.set_addresses(&config.settings, config.jobs.values().map(AsRef::as_ref));
            }),
            supervisor: Supervisor::of_environment(|name| std::env::var_os(name)),
        },
    )?;
    recall(daemon.state(), |report| {
        stats.recall(report);
        notifier.recall(report);
    });
    if let Some(address) = listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::new(Exit::General, format!("the status port cannot listen on {address}: {error}"))
                .hint("set [status] listen to an address of this machine and a port that is free")
        })?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "the status port listens");
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "the status port has no login and is not on loopback: everyone who reaches it can read the names of \
                 jobs and orgs, and error messages; let a firewall or a NetworkPolicy decide who does"
            );
        }
        tokio::spawn(status::serve(listener, stats, daemon.handle()));
    }
    tokio::spawn(pass_on(hangups, context.stop.clone(), daemon.handle()));
    daemon.run().await;
    // Runs that ended well during the stop are reported too, unless a second signal ends everything.
    notifier.finish(std::future::pending::<()>()).await;
    // The last line of the log: without it the process was killed.
    tracing::info!("stopped");
    Ok(Exit::Success)
}

/// Passes signals on to the daemon: each hangup, and the first that stops. The second ends the process elsewhere.
async fn pass_on(mut hangups: Signal, stop: Stop, daemon: Handle) {
    loop {
        tokio::select! {
            _ = hangups.recv() => daemon.reload(),
            failure = stop.requested() => {
                daemon.stop(failure.exit);
                return;
            }
        }
    }
}

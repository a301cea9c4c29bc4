//! `sfexport daemon` runs jobs on their schedules until a signal arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task;

use super::Context;
use super::run::recall;
use crate::clock::{self, Clock};
use crate::config::{self, Selection};
use crate::daemon::{Daemon, DaemonOptions, Handle, Reader, Supervisor, open_status_port};
use crate::error::{Exit, Failure, io_text};
use crate::monitor::{Monitor, Several};
use crate::notify::Notifier;
use crate::report::RunId;
use crate::state::State;
use crate::status::{self, RunStats};
use crate::stop::Stop;
use crate::threads;

pub(super) const AFTER_HELP: &str = "\
Signals:
  SIGHUP            read the configuration again
  SIGTERM, SIGINT   start no new runs and let the current ones finish; a second signal ends them";

/// How long the daemon waits for its history before it starts runs. By then a failure of the past is known, so the
/// first success after it can be reported as such.
const HISTORY_PATIENCE: Duration = Duration::from_secs(5);

/// How often the daemon looks into the history for runs of other processes.
const HISTORY_INTERVAL: Duration = Duration::from_secs(5);

/// How many reports are read each time.
const MAX_UNREAD: usize = 1_000;

/// Runs the daemon until it is stopped. The status is 0 if every run has ended.
pub(super) async fn daemon(context: &Context) -> Result<Exit, Failure> {
    // This comes first, because process 1 of a container receives only the signals that it handles.
    let hangups = signal(SignalKind::hangup()).map_err(|error| {
        Failure::new(Exit::General, format!("cannot receive signals: {}", io_text(&error)))
    })?;
    // Signals are handled while files are read slowly.
    let Started { daemon, stats, notifier } = tokio::select! {
        biased;
        _ = context.stop.requested() => {
            tracing::info!("stopped before the start");
            return Ok(Exit::Success);
        }
        started = start(context) => started?,
    };
    tokio::spawn(pass_on(hangups, context.stop.clone(), daemon.handle()));
    let recalled = recall_beside(&daemon, Arc::clone(&stats), Arc::clone(&notifier));
    if let Some(address) = daemon.handle().config().settings.status.listen {
        let listener = listen(address)?;
        tokio::spawn(status::serve(listener, stats, daemon.handle()));
    }
    let clock = clock::System::new();
    tokio::select! {
        // An error is that of a thread that could not be started.
        _ = clock::within(&clock, HISTORY_PATIENCE, recalled) => {}
        _ = context.stop.requested() => {}
    }
    let ended = daemon.run().await;
    // Runs that ended well during the stop are reported too, unless a second signal ends everything.
    notifier.finish(std::future::pending::<()>()).await;
    // The last line of the log: without it the process was killed.
    tracing::info!("stopped");
    ended.map(|()| Exit::Success)
}

struct Started {
    daemon: Daemon,
    stats: Arc<RunStats>,
    notifier: Arc<Notifier>,
}

/// Reads the configuration and opens the state directory.
async fn start(context: &Context) -> Result<Started, Failure> {
    let sources = context.sources()?;
    let clock: Arc<dyn Clock> = Arc::new(clock::System::new());
    let reader = Reader::new(move || Ok(config::load(&sources, &Selection::All)?))?;
    let config = reader.read(clock.now()).await?;
    let stats = Arc::new(RunStats::new(Arc::clone(&clock)));
    let jobs = config.jobs.values().map(AsRef::as_ref);
    let notifier = Arc::new(Notifier::new(&config.settings, jobs, Arc::clone(&clock)));
    let listeners: Vec<Arc<dyn Monitor>> = vec![Arc::clone(&stats) as _, Arc::clone(&notifier) as _];
    let (its_stats, its_notifier) = (Arc::clone(&stats), Arc::clone(&notifier));
    let options = DaemonOptions {
        reader,
        clock,
        monitor: Arc::new(Several(listeners)),
        on_reading: Arc::new(move |config| {
            its_stats.set_jobs(config.jobs.values().map(AsRef::as_ref));
            its_notifier.set_addresses(&config.settings, config.jobs.values().map(AsRef::as_ref));
        }),
        supervisor: Supervisor::of_environment(|name| std::env::var_os(name)),
    };
    let opened = task::spawn_blocking(move || Daemon::open(config, options)).await;
    let daemon = opened
        .unwrap_or_else(|error| Err(Failure::new(Exit::General, format!("a bug in sfexport: {error}"))))?;
    Ok(Started { daemon, stats, notifier })
}

/// Reads the history on a separate thread, however long it is, and signals when that is done. The thread then keeps
/// looking for runs of other processes, and for the past of jobs that a reload adds.
fn recall_beside(daemon: &Daemon, stats: Arc<RunStats>, notifier: Arc<Notifier>) -> oneshot::Receiver<()> {
    let (done, recalled) = oneshot::channel();
    let state = daemon.state().clone();
    let started = threads::spawn("history", move || {
        let mut newest = None;
        stats.take_new_jobs();
        recall(&state, |report| {
            newest.get_or_insert_with(|| report.run_id.clone());
            stats.recall(report);
            notifier.recall(report);
        });
        // The daemon may have started meanwhile.
        let _ = done.send(());
        loop {
            thread::sleep(HISTORY_INTERVAL);
            let new = stats.take_new_jobs();
            if !new.is_empty() {
                recall(&state, |report| {
                    if report.job_key().is_some_and(|job| new.contains(&job)) {
                        stats.recall(report);
                        notifier.recall(report);
                    }
                });
            }
            newest = learn_from_others(&state, &stats, &notifier, newest);
        }
    });
    if let Err(failure) = started {
        tracing::warn!(error = %failure, "cannot read the history; earlier runs are unknown");
    }
    recalled
}

/// Learns from the runs that were added to the history after `newest`, which runs by hand are: gives the newest one now.
fn learn_from_others(
    state: &State,
    stats: &RunStats,
    notifier: &Notifier,
    newest: Option<RunId>,
) -> Option<RunId> {
    // What cannot be read now is read later, and the daemon's own runs are known without it.
    let Ok(history) = state.history() else { return newest };
    let unread = history.map_while(Result::ok).take_while(|report| Some(&report.run_id) != newest.as_ref());
    let mut now_newest = None;
    for report in unread.take(MAX_UNREAD) {
        now_newest.get_or_insert_with(|| report.run_id.clone());
        notifier.recall(&report);
        stats.learn(&report);
    }
    now_newest.or(newest)
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = open_status_port(address)?;
    let listener = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let listener = listener.map_err(|error| {
        Failure::new(Exit::General, format!("cannot serve the status port: {}", io_text(&error)))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "status port listening");
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            hint = "limit who can reach it with a firewall or a NetworkPolicy; it shows names of jobs and orgs, queries \
                    without their values, and error messages",
            "status port is open to other machines and has no login"
        );
    }
    Ok(listener)
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

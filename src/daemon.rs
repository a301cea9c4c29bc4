//! The daemon: waits for one event, passes it to the agenda and carries out the agenda's actions. `agenda` decides when
//! a job is due and what follows a run's end; `cli` owns signals, the status port and notifications.

mod loaded_config;
mod reader;
mod state_writer;
mod status_port;
mod supervisor;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};

use crate::agenda::{Action, Agenda, Event, JobSnapshot, PassedOver};
use crate::clock::{Clock, log_seconds};
use crate::error::{Exit, Failure};
use crate::export::{Edges, Extent, SlotLimits, Slots, Start, Task, not_started};
use crate::job::ExportKey;
use crate::monitor::{self, Monitor};
use crate::report::{RunId, RunReport, RunStatus};
use crate::state::{Lock, State};
use crate::stop::{Stop, StopSender};
use crate::threads;

use state_writer::{Batch, Directory, Marks, StateWriter, Written};

pub use loaded_config::LoadedConfig;
pub use reader::Reader;
pub use status_port::{ALIVE, is_status_port, open_status_port};
pub use supervisor::Supervisor;

/// The longest sleep. After it the wall clock is read again, because somebody may have set it.
pub const MAX_SLEEP: Duration = Duration::from_secs(30);

/// How often old history is removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

const PROCESS_DIED_HINT: &str = "check what killed it (`journalctl -k` shows the out-of-memory killer), then \
    give it more memory or narrow the query; until then the job runs alone";

/// How long to wait before writing failed marks again.
const MARK_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How often the loop checks that the state directory still exists.
const DIRECTORY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the log repeats that marks could not be written.
const UNWRITTEN_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a daemon needs.
pub struct DaemonOptions {
    /// Reads the configuration again.
    pub reader: Reader,
    /// The time, and waiting.
    pub clock: Arc<dyn Clock>,
    /// Notified of all runs. An occurrence that is not run appears as the end of a run that never began.
    pub monitor: Arc<dyn Monitor>,
    /// Called with each accepted configuration, including the first, before any run uses it.
    pub on_reading: Arc<dyn Fn(&LoadedConfig) + Send + Sync>,
    /// Notified when the process is ready, reloading, stopping and alive.
    pub supervisor: Supervisor,
}

/// Runs jobs as their schedules say.
pub struct Daemon {
    reader: Reader,
    clock: Arc<dyn Clock>,
    monitor: Arc<dyn Monitor>,
    on_reading: Arc<dyn Fn(&LoadedConfig) + Send + Sync>,
    supervisor: Supervisor,
    state: State,
    agenda: Agenda,
    edges: Arc<Edges>,
    config: watch::Sender<Arc<LoadedConfig>>,
    reading: watch::Sender<Reading>,
    commands: mpsc::UnboundedReceiver<Command>,
    handle: Handle,
    runs: JoinSet<RunReport>,
    in_flight: HashMap<task::Id, InFlight>,
    /// Events to handle before waiting for others.
    known: VecDeque<Event>,
    reload: Option<oneshot::Receiver<Result<LoadedConfig, Failure>>>,
    reload_begun: Duration,
    reload_again: bool,
    stopping: Option<Exit>,
    /// Starts and the end, in order. Each waits until everything that the agenda wants written is on disk.
    waiting: VecDeque<Action>,
    /// What the agenda wants written.
    pending: Batch,
    state_writer: StateWriter,
    writing: Option<oneshot::Receiver<Written>>,
    unwritten: Unwritten,
    pruned: Option<Duration>,
    /// Makes this the only daemon on the state directory.
    lock: Arc<Lock>,
    /// When the lock was last checked.
    checked: Duration,
    /// Why the deleted state directory could not be recreated, as last logged.
    directory_trouble: Option<String>,
    /// Why the daemon stops without a signal.
    failed: Option<Failure>,
}

/// What could not be written.
#[derive(Default)]
struct Unwritten {
    marks: Marks,
    /// When it was last tried.
    tried: Duration,
    /// Whether it was tried before the end.
    tried_at_end: bool,
    /// How many the log last spoke of, and when.
    logged: Option<(usize, Duration)>,
    /// Whether reports wait for the history.
    reports: bool,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.marks.is_empty() && !self.reports
    }
}

struct InFlight {
    job: ExportKey,
    run_id: RunId,
    scheduled: Timestamp,
    started: Timestamp,
    stop: StopSender,
}

enum Command {
    Stop(Exit),
    Reload,
    Look(oneshot::Sender<Vec<JobSnapshot>>),
}

/// How the configuration was last read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// When a valid configuration was last accepted.
    pub taken: Timestamp,
    /// Why the latest configuration was rejected; the previous one stays in effect.
    pub refused: Option<Failure>,
}

/// How others reach a daemon.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    config: watch::Receiver<Arc<LoadedConfig>>,
    reading: watch::Receiver<Reading>,
    clock: Arc<dyn Clock>,
    /// When the loop last turned, in milliseconds on the monotonic clock; 0 means not yet.
    turned: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    /// Whether the state directory was deleted and could not be recreated.
    lost_state: Arc<AtomicBool>,
}

impl Handle {
    /// Stops the daemon as a signal with this status would: no new runs start, and runs in progress get the grace period.
    pub fn stop(&self, signal: Exit) {
        self.send(Command::Stop(signal));
    }

    /// Reloads the configuration.
    pub fn reload(&self) {
        self.send(Command::Reload);
    }

    /// The state of every job, by name; `None` if the daemon has ended.
    pub async fn look(&self) -> Option<Vec<JobSnapshot>> {
        let (asked, answer) = oneshot::channel();
        self.send(Command::Look(asked));
        answer.await.ok()
    }

    /// The configuration in effect.
    #[must_use]
    pub fn config(&self) -> Arc<LoadedConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// How the configuration was last read.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading.borrow().clone()
    }

    /// How long ago the loop last turned; `None` before its first turn.
    #[must_use]
    pub fn last_turn(&self) -> Option<Duration> {
        let turned = Duration::from_millis(self.turned.load(Ordering::Relaxed));
        (!turned.is_zero()).then(|| self.clock.elapsed().saturating_sub(turned))
    }

    /// Whether it is stopping, or has ended: no further run starts.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed) || self.commands.is_closed()
    }

    /// Whether the state directory is gone, so every run would fail.
    #[must_use]
    pub fn has_lost_state(&self) -> bool {
        self.lost_state.load(Ordering::Relaxed)
    }

    fn send(&self, command: Command) {
        // A daemon that has ended ignores commands.
        let _ = self.commands.send(command);
    }
}

impl Daemon {
    /// Opens a daemon with this configuration on its state directory, where it continues from the schedule marks. It does
    /// nothing before [`Daemon::run`].
    ///
    /// # Errors
    /// [`Exit::TryLater`] if another daemon uses that directory or no thread can be started, [`Exit::Output`] if the
    /// directory cannot be used.
    pub fn open(config: LoadedConfig, options: DaemonOptions) -> Result<Self, Failure> {
        let DaemonOptions { reader, clock, monitor, on_reading, supervisor } = options;
        let state = State::open(&config.settings.state_dir)?;
        let lock = state.lock_daemon()?;
        let (marks, unread) = config.marks(&state);
        for failure in unread.into_iter().map(Failure::from) {
            // One damaged file must not keep every other job from its schedule.
            let hint = failure.hint.as_deref();
            tracing::error!(error = %failure, hint, "cannot read a schedule mark; the job's schedule starts again from now");
        }
        if let Err(error) = state.retain_marks(config.jobs.keys()) {
            tracing::warn!(%error, "cannot remove the schedule marks of deleted jobs");
        }
        let state_writer = StateWriter::start(state.clone())?;
        let pending = Batch { loaded: Some(config.digests.clone()), ..Batch::default() };
        let now = clock.now();
        let config = Arc::new(config);
        on_reading(&config);
        let agenda = Agenda::new(config.plan(), marks, clock.both());
        let edges = edges(&config, &clock, &monitor, &state, Slots::default());
        let (commands, inbox) = mpsc::unbounded_channel();
        let (config, config_seen) = watch::channel(config);
        let (reading, reading_seen) = watch::channel(Reading { taken: now, refused: None });
        let handle = Handle {
            commands,
            config: config_seen,
            reading: reading_seen,
            clock: Arc::clone(&clock),
            turned: Arc::default(),
            stopping: Arc::default(),
            lost_state: Arc::default(),
        };
        Ok(Self {
            reader,
            clock,
            monitor,
            on_reading,
            supervisor,
            state,
            agenda,
            edges,
            config,
            reading,
            commands: inbox,
            handle,
            runs: JoinSet::new(),
            in_flight: HashMap::new(),
            known: VecDeque::from([Event::Tick]),
            reload: None,
            reload_begun: Duration::ZERO,
            reload_again: false,
            stopping: None,
            waiting: VecDeque::new(),
            pending,
            state_writer,
            writing: None,
            unwritten: Unwritten::default(),
            pruned: None,
            lock: Arc::new(lock),
            checked: Duration::ZERO,
            directory_trouble: None,
            failed: None,
        })
    }

    /// How others reach it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The state directory that it works on.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Runs jobs until it is stopped and every run has ended. No job's failure ends it.
    ///
    /// # Errors
    /// [`Exit::TryLater`] if another daemon has taken its state directory.
    pub async fn run(mut self) -> Result<(), Failure> {
        let jobs = self.handle.config().jobs.len();
        tracing::info!(jobs, "daemon started");
        let mut is_announced = false;
        loop {
            let event = self.event().await;
            let actions = event.map(|event| self.agenda.apply(event, self.clock.both()));
            if self.carry_out(actions.unwrap_or_default()).is_break() {
                return self.failed.map_or(Ok(()), Err);
            }
            // Nothing starts during a write. A daemon whose disk hangs still handles signals, but is not alive.
            if self.writing.is_some() {
                continue;
            }
            let turned = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.handle.turned.store(turned.max(1), Ordering::Relaxed);
            // Only now: a supervisor that learns of it may ask /readyz at once.
            if !is_announced {
                self.announce_ready();
                is_announced = true;
            }
            self.prune();
            self.supervisor.alive();
        }
    }

    /// Handles a state directory that somebody has deleted.
    fn keep_directory(&mut self, directory: Directory) {
        self.handle.lost_state.store(matches!(directory, Directory::Lost(_)), Ordering::Relaxed);
        match directory {
            Directory::Kept => self.directory_trouble = None,
            Directory::Created(lock) => {
                self.lock = Arc::new(lock);
                self.directory_trouble = None;
                let directory = self.handle.config().settings.state_dir.display().to_string();
                tracing::error!(
                    directory,
                    "state_dir was deleted and has been recreated; the history is lost"
                );
                let marks = self.agenda.marks().map(|(job, mark)| (job.clone(), Some(mark.clone())));
                self.pending.marks.extend(marks);
                self.pending.loaded = Some(self.handle.config().digests.clone());
            }
            Directory::Taken(failure) if self.failed.is_none() => {
                let failure = failure.context("state_dir was deleted together with this daemon's lock");
                tracing::error!(error = %failure, "stopping: another daemon uses state_dir");
                self.failed = Some(failure);
                let event = self.handle_command(Command::Stop(Exit::Terminated));
                self.known.extend(event);
            }
            Directory::Lost(failure) if self.directory_trouble.as_ref() != Some(&failure.what) => {
                let hint = failure.hint.as_deref();
                tracing::error!(error = %failure, hint, "state_dir was deleted and cannot be recreated");
                self.directory_trouble = Some(failure.what);
            }
            Directory::Taken(_) | Directory::Lost(_) => {}
        }
    }

    /// Waits for the next event; `None` if it does not concern the agenda.
    async fn event(&mut self) -> Option<Event> {
        if let Some(event) = self.known.pop_front() {
            return Some(event);
        }
        let sleep = self.longest_sleep();
        tokio::select! {
            biased;
            Some(command) = self.commands.recv() => self.handle_command(command),
            Some(ended) = self.runs.join_next_with_id() => self.run_ended(ended),
            written = received(&mut self.writing) => {
                self.written(written);
                None
            }
            read = received(&mut self.reload) => self.take(reader::answer(read)),
            () = self.clock.sleep(sleep) => Some(Event::Tick),
        }
    }

    fn longest_sleep(&self) -> Duration {
        let mut sleep = MAX_SLEEP;
        if let Some(wake) = self.agenda.wake() {
            // A time in the past means no sleep.
            sleep = sleep.min(Duration::try_from(wake.duration_since(self.clock.now())).unwrap_or_default());
        }
        if !self.unwritten.is_empty() {
            sleep = sleep.min(MARK_RETRY_INTERVAL);
        }
        self.supervisor.alive_interval().map_or(sleep, |every| sleep.min(every))
    }

    fn handle_command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Stop(signal) => {
                if self.stopping.is_none() {
                    let runs = self.in_flight.len();
                    let grace = self.handle.config().settings.daemon.shutdown_grace;
                    tracing::info!(
                        runs,
                        grace_seconds = log_seconds(grace),
                        "stopping: no new runs will start"
                    );
                    self.supervisor.stopping();
                }
                self.stopping = Some(signal);
                self.handle.stopping.store(true, Ordering::Relaxed);
                Some(Event::Signal)
            }
            Command::Look(asked) => {
                // The receiver may be gone.
                let _ = asked.send(self.agenda.snapshots().collect());
                None
            }
            Command::Reload => {
                if self.stopping.is_none() {
                    self.supervisor.reloading();
                    self.reload_again = self.reload.is_some();
                    if !self.reload_again {
                        self.begin_reload();
                    }
                }
                None
            }
        }
    }

    fn begin_reload(&mut self) {
        self.reload_begun = self.clock.elapsed();
        self.reload = Some(self.reader.ask(self.clock.now()));
    }

    /// Puts a valid configuration into effect; an invalid one changes nothing.
    fn take(&mut self, read: Result<LoadedConfig, Failure>) -> Option<Event> {
        if std::mem::take(&mut self.reload_again) {
            // The files have changed since.
            self.begin_reload();
            return None;
        }
        let event = match read.and_then(|config| self.same_state_dir(config)) {
            _ if self.stopping.is_some() => None,
            Ok(config) => {
                let previous = self.handle.config();
                if config.settings.status.listen != previous.settings.status.listen {
                    tracing::warn!("listen in [status] changed; it takes effect at the next start");
                }
                let seconds = log_seconds(self.clock.elapsed().saturating_sub(self.reload_begun));
                tracing::info!(jobs = config.jobs.len(), seconds, "configuration reloaded");
                let config = Arc::new(config);
                let slots = self.edges.slots.clone();
                match config.settings.http == previous.settings.http {
                    true => slots.set_limits(slot_limits(&config)),
                    false => self.edges = edges(&config, &self.clock, &self.monitor, &self.state, slots),
                }
                (self.on_reading)(&config);
                let plan = config.plan();
                self.pending.loaded = Some(config.digests.clone());
                self.config.send_replace(config);
                self.reading.send_replace(Reading { taken: self.clock.now(), refused: None });
                Some(Event::Reload(plan))
            }
            Err(failure) => {
                tracing::error!(
                    error = %failure,
                    hint = failure.hint.as_deref(),
                    "configuration rejected; the previous one stays in effect"
                );
                self.reading.send_modify(|reading| reading.refused = Some(failure));
                None
            }
        };
        if self.stopping.is_none() {
            self.announce_ready();
        }
        event
    }

    fn same_state_dir(&self, config: LoadedConfig) -> Result<LoadedConfig, Failure> {
        let state_dir = &self.handle.config().settings.state_dir;
        if config.settings.state_dir == *state_dir {
            return Ok(config);
        }
        let what = format!("state_dir cannot change from \"{}\" while the daemon runs", state_dir.display());
        Err(Failure::new(Exit::Configuration, what).hint("restart the daemon to change it"))
    }

    fn announce_ready(&self) {
        self.supervisor.ready(&format!("{} jobs", self.handle.config().jobs.len()));
    }

    /// Carries out the agenda's actions. Starts wait until everything that it wants written is on disk; cancelling does not.
    fn carry_out(&mut self, actions: Vec<Action>) -> ControlFlow<()> {
        for action in actions {
            match action {
                Action::Mark { job, mark } => drop(self.pending.marks.insert(job, Some(mark))),
                Action::Forget { job } => drop(self.pending.marks.insert(job, None)),
                Action::PassOver { job, first, last, count, why } => {
                    let report = self.passed_over(&job, (first, last), count, why);
                    self.pending.reports.push(report);
                }
                Action::Start { .. } | Action::Finish => self.waiting.push_back(action),
                Action::Cancel { job } => self.cancel(&job),
                Action::Retry { job, scheduled, attempt, at } => {
                    let (job, org) = (job.job(), job.org());
                    tracing::info!(%job, %org, %scheduled, attempt, %at, "run will be retried");
                }
            }
        }
        loop {
            let is_ending = matches!(self.waiting.front(), Some(Action::Finish));
            self.begin_write(is_ending);
            if self.writing.is_some() {
                return ControlFlow::Continue(());
            }
            match self.waiting.pop_front() {
                None => return ControlFlow::Continue(()),
                Some(Action::Start { job, scheduled, attempt }) => {
                    self.start_or_report(job, scheduled, attempt)
                }
                Some(_) => return ControlFlow::Break(()),
            }
        }
    }

    fn start_or_report(&mut self, job: ExportKey, scheduled: Timestamp, attempt: u32) {
        if let Some(signal) = self.stopping {
            // The signal came while it waited for the disk: it stays due.
            self.known.push_back(Event::Ended { job, exit: signal });
        } else if let Err((failure, report)) = self.start(&job, scheduled, attempt) {
            self.known.push_back(Event::Ended { job, exit: failure.exit });
            log_failure(&report);
            self.pending.reports.push(*report);
        }
    }

    /// Starts a run, or gives the report of one that could not start.
    fn start(
        &mut self,
        key: &ExportKey,
        scheduled: Timestamp,
        attempt: u32,
    ) -> Result<(), (Failure, Box<RunReport>)> {
        let config = self.handle.config();
        let job = config.jobs.get(key);
        let org = job.and_then(|job| config.orgs.get(&job.org));
        let started = self.clock.now();
        let run = match (job, org) {
            (Some(job), Some(org)) => {
                let at = Some(scheduled);
                let start = Start {
                    at,
                    extent: Extent::Whole,
                    object: None,
                    wants_full: false,
                    resumes: true,
                    once: None,
                };
                Task::of_job(job, org, self.clock.as_ref(), &start)
            }
            _ => {
                Err(Failure::new(Exit::Configuration, "the job or its org is no longer in the configuration"))
            }
        };
        let run = run.map_err(|failure| {
            let error = failure.clone().into();
            (failure, Box::new(not_started(key, Some(scheduled), &error, self.clock.as_ref())))
        })?;
        let run_id = run.id().clone();
        tracing::info!(job = %key.job(), org = %key.org(), %run_id, %scheduled, attempt, "run started");
        let (stop_sender, stop) = Stop::new();
        let edges = Arc::clone(&self.edges);
        let task = self.runs.spawn(async move { run.carry_out(&edges, &stop).await.report });
        let in_flight = InFlight { job: key.clone(), run_id, scheduled, started, stop: stop_sender };
        self.in_flight.insert(task.id(), in_flight);
        Ok(())
    }

    /// Cancels a run, or its start if that still waits for the disk.
    fn cancel(&mut self, job: &ExportKey) {
        let waits = |action: &Action| matches!(action, Action::Start { job: waiting, .. } if waiting == job);
        if let Some(place) = self.waiting.iter().position(waits) {
            self.waiting.remove(place);
            self.known.push_back(Event::Ended { job: job.clone(), exit: Exit::Terminated });
        }
        for run in self.in_flight.values().filter(|run| run.job == *job) {
            match self.stopping {
                Some(signal) => run.stop.signalled(signal),
                None => run.stop.stop(
                    Failure::new(Exit::Terminated, "a newer scheduled run replaced this one")
                        .hint("schedule the job less often, or set overlap = \"skip\" to let runs finish"),
                ),
            }
        }
    }

    fn run_ended(&mut self, ended: Result<(task::Id, RunReport), JoinError>) -> Option<Event> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let run = self.in_flight.remove(&id)?;
        let report = match ended {
            Ok((_, report)) => report,
            Err(error) => {
                // The run could not record its own end.
                let (job, org) = (run.job.job().as_str(), run.job.org().as_str());
                let mut report = RunReport::begun(job, org, run.run_id.clone(), run.started);
                report.scheduled = Some(run.scheduled);
                report.ended = self.clock.now();
                // No run is aborted: its task ends by itself or by a panic.
                let panic = error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string()));
                let text = panic_text(panic.as_ref());
                report.error = Some(format!("a bug in sfexport: the run panicked: {text}"));
                report.hint = Some("report it, and attach the log".to_owned());
                self.pending.reports.push(report.clone());
                report
            }
        };
        log_failure(&report);
        Some(Event::Ended { job: run.job, exit: Exit::from_code(report.exit_status) })
    }

    /// The report of occurrences that are not run.
    fn passed_over(
        &self,
        key: &ExportKey,
        (first, last): (Timestamp, Timestamp),
        count: usize,
        why: PassedOver,
    ) -> RunReport {
        let what = not_run_text(why, count, first);
        let now = self.clock.now();
        let run_id = RunId::new(now, self.clock.random());
        let mut report = RunReport::begun(key.job().as_str(), key.org().as_str(), run_id, now);
        report.scheduled = Some(last);
        report.status = match why {
            PassedOver::ProcessDied => RunStatus::Failed,
            PassedOver::Overlap | PassedOver::Replaced => RunStatus::Skipped,
            _ => RunStatus::Missed,
        };
        // Not 0, which would mean that records are in a file. 75 where nobody has to fix anything.
        report.exit_status = Exit::TryLater.code();
        if why == PassedOver::ProcessDied {
            report.exit_status = Exit::General.code();
            report.hint = Some(PROCESS_DIED_HINT.to_owned());
        }
        let (job, org) = (key.job(), key.org());
        tracing::warn!(%job, %org, status = %report.status.as_str(), scheduled = %last, "{what}");
        report.error = Some(what);
        report
    }

    /// Begins to write what is pending and, from time to time, what could not be written before.
    fn begin_write(&mut self, is_ending: bool) {
        if self.writing.is_some() {
            return;
        }
        let elapsed = self.clock.elapsed();
        let is_due = elapsed.saturating_sub(self.unwritten.tried) >= MARK_RETRY_INTERVAL;
        let is_last_try = is_ending && !std::mem::replace(&mut self.unwritten.tried_at_end, is_ending);
        let is_tried_again = !self.unwritten.is_empty() && (is_due || is_last_try);
        if is_tried_again {
            // What is pending is newer.
            let newer = std::mem::take(&mut self.pending.marks);
            self.pending.marks = std::mem::take(&mut self.unwritten.marks);
            self.pending.marks.extend(newer);
        }
        let is_checked =
            self.stopping.is_none() && elapsed.saturating_sub(self.checked) >= DIRECTORY_CHECK_INTERVAL;
        if is_tried_again || is_checked || !self.pending.is_empty() {
            let (batch, lock) = (std::mem::take(&mut self.pending), Arc::clone(&self.lock));
            self.writing = Some(self.state_writer.write(batch, lock));
        }
    }

    fn written(&mut self, written: Result<Written, oneshot::error::RecvError>) {
        // The thread answers even if writing panics.
        let Ok(Written { reports, unwritten, error, backlog, directory }) = written else { return };
        self.checked = self.clock.elapsed();
        self.keep_directory(directory);
        for report in &reports {
            self.monitor.notice(&report.run_id, &monitor::Event::Ended { report });
        }
        self.unwritten.marks.extend(unwritten);
        let (jobs, elapsed) = (self.unwritten.marks.len(), self.clock.elapsed());
        self.unwritten.tried = elapsed;
        self.unwritten.reports = backlog > 0;
        match (error, self.unwritten.logged) {
            (None, Some(_)) if jobs == 0 => {
                self.unwritten.logged = None;
                tracing::info!("schedule marks are being written again");
            }
            (None, _) => {}
            (Some(_), Some((logged, at)))
                if jobs == logged || elapsed.saturating_sub(at) < UNWRITTEN_LOG_INTERVAL => {}
            (Some(error), _) => {
                self.unwritten.logged = Some((jobs, elapsed));
                tracing::error!(
                    jobs,
                    error,
                    "cannot write schedule marks; after a crash, these jobs may run again"
                );
            }
        }
    }

    /// Removes old history at the start and once a day, in the background.
    fn prune(&mut self) {
        let elapsed = self.clock.elapsed();
        if self.pruned.is_some_and(|pruned| elapsed.saturating_sub(pruned) < PRUNE_INTERVAL) {
            return;
        }
        self.pruned = Some(elapsed);
        let (state, now) = (self.state.clone(), self.clock.now());
        let keep = self.handle.config().settings.daemon.history_keep;
        let pruning = threads::spawn("prune", move || match state.prune(keep, now) {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "old runs removed from the history"),
            Err(error) => tracing::error!(%error, "cannot prune the history"),
        });
        if let Err(failure) = pruning {
            tracing::warn!(error = %failure, "cannot prune the history; it will be tried again tomorrow");
        }
    }
}

/// What the log and the history say of occurrences that are not run.
fn not_run_text(why: PassedOver, count: usize, first: Timestamp) -> String {
    let why_not = match why {
        PassedOver::NotCaughtUp => "missed, and catch_up = \"none\"",
        PassedOver::Overtaken => "missed, and a later occurrence is also due",
        PassedOver::TooMany => "missed, and too many later occurrences are also due",
        PassedOver::TooLate => "start_deadline has passed",
        PassedOver::ScheduleChanged => "the schedule changed before it started",
        PassedOver::Overlap => "skipped, because the previous run was still in progress",
        PassedOver::Replaced => "skipped, because a later occurrence replaced it",
        PassedOver::ProcessDied => "the process died during every attempt",
    };
    match count {
        _ if why == PassedOver::ProcessDied => format!("given up: {why_not}"),
        0 | 1 => format!("not run: {why_not}"),
        _ => format!("{count} occurrences since {first} not run: {why_not}"),
    }
}

fn edges(
    config: &LoadedConfig,
    clock: &Arc<dyn Clock>,
    monitor: &Arc<dyn Monitor>,
    state: &State,
    slots: Slots,
) -> Arc<Edges> {
    slots.set_limits(slot_limits(config));
    let monitors: Vec<Arc<dyn Monitor>> = vec![Arc::clone(monitor), Arc::new(ObjectLog)];
    let (clock, monitor, state) =
        (Arc::clone(clock), Arc::new(monitor::Several(monitors)), Some(state.clone()));
    Arc::new(Edges::new(&config.settings, clock, monitor, state).with_slots(slots))
}

fn slot_limits(config: &LoadedConfig) -> SlotLimits {
    SlotLimits::new(config.settings.daemon.max_concurrent_runs, config.orgs.values().map(AsRef::as_ref))
}

/// Logs the failures of a set's objects; the daemon hears of the set's end alone.
struct ObjectLog;

impl Monitor for ObjectLog {
    fn notice(&self, _run: &RunId, event: &monitor::Event<'_>) {
        if let monitor::Event::ObjectEnded { report } = event {
            log_failure(report);
        }
    }
}

/// The pending answer; waits forever if there is none.
async fn received<T>(asked: &mut Option<oneshot::Receiver<T>>) -> Result<T, oneshot::error::RecvError> {
    let Some(answer) = asked else { return std::future::pending().await };
    let answer = answer.await;
    *asked = None;
    answer
}

fn log_failure(report: &RunReport) {
    for warning in &report.warnings {
        let object = report.object.as_deref();
        tracing::warn!(job = %report.job, org = %report.org, object, run_id = %report.run_id, "{warning}");
    }
    if let Some(what) = &report.error {
        let (job, org, run_id, hint) = (&report.job, &report.org, &report.run_id, report.hint.as_deref());
        let object = report.object.as_deref();
        tracing::error!(%job, %org, object, %run_id, exit_status = report.exit_status, hint, "{what}");
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::{PassedOver, not_run_text};

    #[test]
    fn an_occurrence_that_is_not_run_says_why() {
        use PassedOver as P;
        let first = "2026-11-22T01:00:00Z".parse().unwrap();
        for (why, text) in [
            (P::NotCaughtUp, "not run: missed, and catch_up = \"none\""),
            (P::Overtaken, "not run: missed, and a later occurrence is also due"),
            (P::TooMany, "not run: missed, and too many later occurrences are also due"),
            (P::TooLate, "not run: start_deadline has passed"),
            (P::ScheduleChanged, "not run: the schedule changed before it started"),
            (P::Overlap, "not run: skipped, because the previous run was still in progress"),
            (P::Replaced, "not run: skipped, because a later occurrence replaced it"),
            (P::ProcessDied, "given up: the process died during every attempt"),
        ] {
            assert_eq!(not_run_text(why, 1, first), text);
        }
        let several = "3 occurrences since 2026-11-22T01:00:00Z not run: start_deadline has passed";
        assert_eq!(not_run_text(P::TooLate, 3, first), several);
    }
}

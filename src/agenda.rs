//! What is due, what is running and what follows from it, for all jobs, by job and org: pure; each event and the time are passed in.
//! What one job's policies say is in `job_state`; waiting, running and writing down are the business of `daemon`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Now;
use crate::error::Exit;
use crate::job::{ExportKey, Job, Policy};
use crate::org::OrgName;
use crate::schedule::{Mark, Schedule};

mod job_state;

use job_state::{JobState, Line};

pub use job_state::{CATCH_UP_CAP, MAX_COUNTED, MAX_WAIT_TO_RUN_ALONE, ON_TIME};

/// By how much the clocks must disagree to show that the wall clock was set, rather than slewed.
const MIN_CLOCK_JUMP: SignedDuration = SignedDuration::from_secs(1);

/// Every job's state, and the room for runs.
///
/// Its owner gives it each event with the wall clock's time and carries out the actions in their order; it looks
/// in again no later than [`Agenda::wake`].
#[derive(Debug)]
pub struct Agenda {
    states: BTreeMap<ExportKey, JobState>,
    limits: Limits,
    now: Now,
    /// When each job must be looked at again.
    timers: BTreeSet<(Timestamp, ExportKey)>,
    /// The jobs whose run could start if there were room: by org, who has waited longest first.
    lines: BTreeMap<Limited, BTreeSet<(Timestamp, ExportKey)>>,
    /// Those whose process died when they ran: who died least often first, then who has waited longest. One at a time
    /// starts, while nothing else runs, so none of them keeps another job from its end.
    alone: BTreeSet<(u32, Timestamp, ExportKey)>,
    running: BTreeMap<Limited, usize>,
    stopping: Option<Stopping>,
    actions: Vec<Action>,
}

/// The org whose limit a run counts against; `None` for a set.
type Limited = Option<OrgName>;

/// The jobs and limits of one reading of the configuration.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every job, the disabled ones too: their marks are removed.
    pub jobs: Vec<PlannedJob>,
    /// How much may run at once.
    pub limits: Limits,
}

/// How much may run at once, and how long a stop may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many runs the process may have at once; at least 1.
    pub runs: usize,
    /// How many runs orgs with a separate limit may have at once.
    pub runs_of: BTreeMap<OrgName, usize>,
    /// How long after the first signal runs are cancelled.
    pub shutdown_grace: Duration,
}

/// A job, as far as the agenda needs it.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// Its name and its org, whose limit its runs count against.
    pub key: ExportKey,
    /// Whether it is a set of objects: its exports count against the org's limit, each by itself, and its runs do not.
    pub is_set: bool,
    /// Its schedule; `None` if it is disabled or has none.
    pub schedule: Option<Schedule>,
    /// What to do about missed, overlapping or failed occurrences.
    pub policy: Policy,
}

impl From<&Job> for PlannedJob {
    fn from(job: &Job) -> Self {
        Self {
            key: job.job_key(),
            is_set: job.set().is_some(),
            schedule: job.schedule.clone().filter(|_| job.enabled),
            policy: job.policy.clone(),
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// The run of a job has ended, or could not be started.
    Ended {
        /// The job.
        job: ExportKey,
        /// How the run ended.
        exit: Exit,
    },
    /// The configuration was reloaded and is valid as a whole. Nothing changes while the agenda is stopping.
    Reload(Plan),
    /// The first SIGTERM or SIGINT. Further ones do not concern the agenda.
    Signal,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a run, and report its end with [`Event::Ended`]. A job has one run at a time.
    Start {
        /// The job.
        job: ExportKey,
        /// The occurrence, before jitter.
        scheduled: Timestamp,
        /// The number of this run among the occurrence's runs, from 1.
        attempt: u32,
    },
    /// Cancel the job's run. Its end is awaited.
    Cancel {
        /// The job.
        job: ExportKey,
    },
    /// Report that a failed run will be retried, and when.
    Retry {
        /// The job.
        job: ExportKey,
        /// The occurrence.
        scheduled: Timestamp,
        /// The number of the next run.
        attempt: u32,
        /// The earliest time.
        at: Timestamp,
    },
    /// Record that occurrences are not run, or not retried.
    PassOver {
        /// The job.
        job: ExportKey,
        /// The first of them.
        first: Timestamp,
        /// The last of them.
        last: Timestamp,
        /// Their number; [`MAX_COUNTED`] means that many or more.
        count: usize,
        /// Why.
        why: PassedOver,
    },
    /// Write and flush this mark before any later action is carried out.
    Mark {
        /// The job.
        job: ExportKey,
        /// The position in its schedule.
        mark: Mark,
    },
    /// Remove the job's mark, because it no longer has a schedule.
    Forget {
        /// The job.
        job: ExportKey,
    },
    /// Every run has ended: end the process, with status 0.
    Finish,
}

/// Why occurrences are not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PassedOver {
    /// Missed, and `catch_up = "none"`.
    NotCaughtUp,
    /// Missed, and a later occurrence is also due, which `catch_up = "latest"` or a queue of one runs instead.
    Overtaken,
    /// Missed, and followed by more occurrences than `catch_up = "all"` runs, [`CATCH_UP_CAP`].
    TooMany,
    /// Missed, and later than `start_deadline` allows.
    TooLate,
    /// Still waiting when the schedule was edited or the job disabled.
    ScheduleChanged,
    /// Skipped: the job was running, and `overlap = "skip"`.
    Overlap,
    /// Skipped: replaced by a later one while it was waiting, with `overlap = "replace"`.
    Replaced,
    /// Given up: the process died each time the job ran, more than `retries` times.
    ProcessDied,
}

/// The state of one job, for the status page and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSnapshot {
    /// The job.
    pub job: ExportKey,
    /// When its next run should start by its schedule, with jitter.
    pub next: Option<Timestamp>,
    /// The occurrence that is running.
    pub running: Option<Timestamp>,
    /// How many runs are waiting for a free slot, for the end of another run, or for a retry.
    pub waiting: usize,
    /// When the first of them may start; in the past if it is waiting for a free slot.
    pub may_start: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    cancel_at: Timestamp,
    cancelled: bool,
    finished: bool,
}

impl Agenda {
    /// An agenda that continues from the marks. A job without a mark, or with one of another schedule, starts now. The
    /// resulting actions are returned for the first event.
    #[must_use]
    pub fn new(plan: Plan, mut marks: BTreeMap<ExportKey, Mark>, now: Now) -> Self {
        let mut agenda = Self {
            states: BTreeMap::new(),
            limits: plan.limits,
            now,
            timers: BTreeSet::new(),
            lines: BTreeMap::new(),
            alone: BTreeSet::new(),
            running: BTreeMap::new(),
            stopping: None,
            actions: Vec::new(),
        };
        for job in plan.jobs {
            let mark = marks.remove(&job.key);
            let key = job.key.clone();
            let state = JobState::new(job, mark, now.wall, &mut agenda.actions);
            agenda.states.insert(key.clone(), state);
            agenda.file(&key);
        }
        agenda.actions.extend(marks.into_keys().map(|job| Action::Forget { job }));
        agenda
    }

    /// The actions that follow from an event, in order.
    pub fn apply(&mut self, event: Event, now: Now) -> Vec<Action> {
        self.set_clock(now);
        match event {
            Event::Tick => {}
            Event::Ended { job, exit } => self.ended(&job, exit),
            Event::Reload(plan) if self.stopping.is_none() => self.reload(plan),
            Event::Reload(_) => {}
            Event::Signal => self.signal(),
        }
        if self.stopping.is_some() {
            self.go_on_stopping();
        } else {
            self.fall_due();
            self.start_what_has_room();
        }
        std::mem::take(&mut self.actions)
    }

    /// The time by which [`Agenda::apply`] must be called again; `None` if only an event can change anything.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        match self.stopping {
            Some(stopping) => (!stopping.cancelled && !stopping.finished).then_some(stopping.cancel_at),
            None => self.timers.first().map(|(at, _)| *at),
        }
    }

    /// The state of every job, by name and org.
    pub fn snapshots(&self) -> impl Iterator<Item = JobSnapshot> {
        self.states.iter().map(|(job, state)| JobSnapshot {
            job: job.clone(),
            next: state.next_start(),
            running: state.running(),
            waiting: state.waiting(),
            may_start: state.first_may_start(),
        })
    }

    /// The latest mark of every job with a schedule.
    pub fn marks(&self) -> impl Iterator<Item = (&ExportKey, &Mark)> {
        self.states.iter().filter_map(|(job, state)| Some((job, state.mark()?)))
    }

    /// Occurrences follow the wall clock, but waits before retries and the grace period do not. If the wall clock was set,
    /// they are moved with it.
    fn set_clock(&mut self, now: Now) {
        let before = std::mem::replace(&mut self.now, now);
        let passed = now.elapsed.saturating_sub(before.elapsed);
        let jump = now.wall.duration_since(later(before.wall, passed));
        let was_set = jump.abs() >= MIN_CLOCK_JUMP;
        if !was_set && now.wall >= before.wall {
            return;
        }
        if let Some(stopping) = &mut self.stopping {
            stopping.cancel_at = moved(stopping.cancel_at, jump);
        }
        for key in self.keys() {
            self.with(&key, |state, _| state.clock_was_set(now.wall, jump));
        }
    }

    fn ended(&mut self, job: &ExportKey, exit: Exit) {
        let (now, stopping) = (self.now.wall, self.stopping.is_some());
        let mut org = None;
        self.with(job, |state, actions| org = state.ended(exit, stopping, now, actions));
        if let Some(running) = org.and_then(|org| self.running.get_mut(&org)) {
            *running = running.saturating_sub(1);
        }
        if self.states.get(job).is_some_and(JobState::is_gone) {
            self.unfile(job);
            self.states.remove(job);
        }
    }

    fn reload(&mut self, plan: Plan) {
        let now = self.now.wall;
        self.limits = plan.limits;
        let mut removed: BTreeSet<ExportKey> = self.states.keys().cloned().collect();
        for job in plan.jobs {
            let key = job.key.clone();
            removed.remove(&key);
            if self.states.contains_key(&key) {
                self.with(&key, |state, actions| state.change(job, now, actions));
            } else {
                let state = JobState::new(job, None, now, &mut self.actions);
                self.states.insert(key.clone(), state);
                self.file(&key);
            }
        }
        for key in removed {
            self.with(&key, |state, actions| state.remove(now, actions));
            if self.states.get(&key).is_some_and(JobState::is_gone) {
                self.unfile(&key);
                self.states.remove(&key);
            }
        }
    }

    fn signal(&mut self) {
        let cancel_at = later(self.now.wall, self.limits.shutdown_grace);
        self.stopping.get_or_insert(Stopping { cancel_at, cancelled: false, finished: false });
    }

    fn go_on_stopping(&mut self) {
        let Some(mut stopping) = self.stopping else { return };
        if self.running.values().all(|running| *running == 0) {
            if !stopping.finished {
                self.actions.push(Action::Finish);
            }
            stopping.finished = true;
        } else if !stopping.cancelled && self.now.wall >= stopping.cancel_at {
            for state in self.states.values_mut() {
                state.cancel(&mut self.actions);
            }
            stopping.cancelled = true;
        }
        self.stopping = Some(stopping);
    }

    fn fall_due(&mut self) {
        let now = self.now.wall;
        while let Some((at, key)) = self.timers.first() {
            if *at > now {
                return;
            }
            let key = key.clone();
            self.with(&key, |state, actions| state.fall_due(now, actions));
        }
    }

    fn start_what_has_room(&mut self) {
        let now = self.now.wall;
        while self.running.values().sum::<usize>() < self.limits.runs.max(1) {
            let has_room = |org: &Limited| {
                let limit = org.as_ref().and_then(|org| self.limits.runs_of.get(org));
                limit.is_none_or(|limit| self.running.get(org).copied().unwrap_or(0) < (*limit).max(1))
            };
            let longest_waiting = self.lines.iter().filter(|(org, _)| has_room(org));
            let longest = longest_waiting
                .filter_map(|(org, line)| line.first().map(|head| (head, org)))
                .min()
                .map(|((_, key), org)| (org.clone(), key.clone()));
            let Some((org, key)) = longest.or_else(|| self.first_alone()) else { return };
            *self.running.entry(org).or_default() += 1;
            self.with(&key, |state, actions| state.begin(now, actions));
        }
    }

    /// The first of the runs that start only while nothing else runs, if nothing does.
    fn first_alone(&self) -> Option<(Limited, ExportKey)> {
        let (_, _, key) =
            self.alone.first().filter(|_| self.running.values().all(|running| *running == 0))?;
        Some((self.states.get(key)?.limited_by(), key.clone()))
    }

    fn keys(&self) -> Vec<ExportKey> {
        self.states.keys().cloned().collect()
    }

    /// Changes one state, notes its mark and files it again.
    fn with(&mut self, key: &ExportKey, change: impl FnOnce(&mut JobState, &mut Vec<Action>)) {
        if let Some(state) = self.states.get_mut(key) {
            change(state, &mut self.actions);
            state.note_mark(&mut self.actions);
            self.file(key);
        }
    }

    fn file(&mut self, key: &ExportKey) {
        self.unfile(key);
        let Some(state) = self.states.get_mut(key) else { return };
        state.filed_timer = state.look_again(self.now.wall);
        if let Some(at) = state.filed_timer {
            self.timers.insert((at, key.clone()));
        }
        state.filed_line = state.line(self.now.wall);
        match state.filed_line.clone() {
            Some(Line::Of(org, since)) => {
                self.lines.entry(org).or_default().insert((since, key.clone()));
            }
            Some(Line::Alone(died, since)) => {
                self.alone.insert((died, since, key.clone()));
            }
            None => {}
        }
    }

    fn unfile(&mut self, key: &ExportKey) {
        let Some(state) = self.states.get_mut(key) else { return };
        if let Some(at) = state.filed_timer.take() {
            self.timers.remove(&(at, key.clone()));
        }
        match state.filed_line.take() {
            Some(Line::Of(org, since)) => {
                if let Some(line) = self.lines.get_mut(&org) {
                    line.remove(&(since, key.clone()));
                    if line.is_empty() {
                        self.lines.remove(&org);
                    }
                }
            }
            Some(Line::Alone(died, since)) => {
                self.alone.remove(&(died, since, key.clone()));
            }
            None => {}
        }
    }
}

fn moved(timestamp: Timestamp, by: SignedDuration) -> Timestamp {
    timestamp.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

fn later(timestamp: Timestamp, by: Duration) -> Timestamp {
    timestamp.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;

//! The state of one job: its next occurrence, what is waiting and running, and what its policies make of that.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Action, Limited, PassedOver, PlannedJob, later, moved};
use crate::error::Exit;
use crate::job::{CatchUp, Overlap};
use crate::schedule::{Begun, Mark, Schedule, Started, fnv1a};

/// How late an occurrence may be taken up and still not count as missed.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// The most occurrences that `catch_up = "all"` runs late; older ones are passed over.
pub const CATCH_UP_CAP: usize = 100;

/// How far occurrences that are passed over together are counted.
pub const MAX_COUNTED: usize = 1_000;

/// How long a job whose process died waits for a moment in which nothing else runs.
pub const MAX_WAIT_TO_RUN_ALONE: Duration = Duration::from_secs(3_600);

/// One job on the agenda.
#[derive(Debug)]
pub(super) struct JobState {
    job: PlannedJob,
    jitter: Duration,
    cursor: Option<ScheduleCursor>,
    /// Due, and not begun; in the order in which they are to run.
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    /// How many of its last runs, in a row, ended with the death of the process.
    died: u32,
    /// If it died: nothing of the job starts earlier.
    held_until: Timestamp,
    removed: bool,
    noted: Option<Mark>,
    /// Where the agenda has filed it.
    pub(super) filed_timer: Option<Timestamp>,
    pub(super) filed_line: Option<Line>,
}

/// Where a job is filed whose run could start if there were room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// With the others of its org, by the time since when it has waited.
    Of(Limited, Timestamp),
    /// By itself, because the process may die of it: those that did so less often first.
    Alone(u32, Timestamp),
}

/// How far a schedule has come.
#[derive(Debug)]
struct ScheduleCursor {
    schedule: Schedule,
    fingerprint: String,
    /// The first occurrence that has not fallen due.
    next: Option<Timestamp>,
    /// The last timestamp up to which occurrences have fallen due.
    taken: Timestamp,
    started: Started,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    kind: Kind,
    /// The occurrence, before jitter.
    scheduled: Timestamp,
    attempt: u32,
    /// When it may start; its place in line for room.
    since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An occurrence that has not been started.
    Fresh,
    /// One that fell due while the job ran.
    Queued,
    /// One whose run was cancelled by a signal, or whose process died.
    Interrupted,
    /// One whose run failed.
    Retry,
}

impl Kind {
    fn is_begun(self) -> bool {
        matches!(self, Self::Interrupted | Self::Retry)
    }

    fn is_new(self) -> bool {
        matches!(self, Self::Fresh | Self::Queued)
    }
}

#[derive(Debug)]
struct Running {
    scheduled: Timestamp,
    attempt: u32,
    /// What it counts against, whatever the job does by now.
    limited_by: Limited,
    /// Whether it is an occurrence of the job's present schedule.
    is_scheduled: bool,
    cancelled: bool,
    replaced: bool,
}

impl JobState {
    pub(super) fn new(
        job: PlannedJob,
        mark: Option<Mark>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut state = Self {
            jitter: jitter(&job),
            job,
            cursor: None,
            waiting: VecDeque::new(),
            running: None,
            died: 0,
            held_until: Timestamp::MIN,
            removed: false,
            noted: mark,
            filed_timer: None,
            filed_line: None,
        };
        state.set_cursor(now, actions);
        state.note_mark(actions);
        state
    }

    /// Takes up the occurrence whose run had begun when the process before this one ended.
    fn resume(&mut self, begun: Begun, actions: &mut Vec<Action>) {
        let Begun { scheduled, attempt, ended } = begun;
        if !ended {
            self.died = self.died.saturating_add(1);
            // Whatever the process died of, it must not die of it for ever.
            if self.died.is_multiple_of(self.job.policy.retries.saturating_add(1)) {
                return self.pass_over(scheduled, PassedOver::ProcessDied, actions);
            }
        }
        if self.job.policy.catch_up == CatchUp::None {
            return self.pass_over(scheduled, PassedOver::NotCaughtUp, actions);
        }
        let since = later(scheduled, self.jitter);
        let attempt = attempt.saturating_add(1);
        self.waiting.push_back(Waiting { kind: Kind::Interrupted, scheduled, attempt, since });
    }

    /// Goes on where the noted mark says, if it is of the job's schedule; else begins now.
    fn set_cursor(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(schedule) = self.job.schedule.clone() else {
            if self.noted.take().is_some() {
                actions.push(Action::Forget { job: self.job.key.clone() });
            }
            self.cursor = None;
            return;
        };
        let fingerprint = schedule.fingerprint();
        let (taken, begun, started) = match &self.noted {
            // A mark ahead of the clock was made under another clock: what it passed over may come again.
            Some(mark) if mark.fingerprint == fingerprint => {
                self.died = mark.died;
                (mark.settled.min(now), mark.begun, mark.started.clone())
            }
            _ => (now, None, Started::default()),
        };
        let next = started.first_other(&schedule, taken);
        self.cursor = Some(ScheduleCursor { schedule, fingerprint, next, taken, started });
        if let Some(begun) = begun {
            self.resume(begun, actions);
        }
        if self.died > 0 {
            self.held_until = later(now, self.job.policy.retry_after);
        }
    }

    /// The configuration was reloaded.
    pub(super) fn change(&mut self, job: PlannedJob, now: Timestamp, actions: &mut Vec<Action>) {
        let before = self.cursor.as_ref().map(|cursor| cursor.fingerprint.clone());
        let after = job.schedule.as_ref().map(Schedule::fingerprint);
        self.job = job;
        self.jitter = jitter(&self.job);
        self.removed = false;
        if before != after {
            self.drop_waiting(PassedOver::ScheduleChanged, actions);
            if let Some(running) = &mut self.running {
                running.is_scheduled = false;
            }
            self.set_cursor(now, actions);
        }
    }

    /// The job is no more; a run of it goes on to its end.
    pub(super) fn remove(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let job = PlannedJob { schedule: None, ..self.job.clone() };
        self.change(job, now, actions);
        self.removed = true;
    }

    /// Whether nothing of it is left.
    pub(super) fn is_gone(&self) -> bool {
        self.removed && self.running.is_none()
    }

    /// The org whose limit its runs count against.
    pub(super) fn limited_by(&self) -> Limited {
        (!self.job.is_set).then(|| self.job.key.org().clone())
    }

    pub(super) fn mark(&self) -> Option<&Mark> {
        self.noted.as_ref()
    }

    pub(super) fn next_start(&self) -> Option<Timestamp> {
        Some(later(self.cursor.as_ref()?.next?, self.jitter))
    }

    pub(super) fn running(&self) -> Option<Timestamp> {
        self.running.as_ref().map(|running| running.scheduled)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When the first of its waiting runs may start.
    pub(super) fn first_may_start(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|waiting| self.may_start(waiting)).min()
    }

    /// When it must be looked at again, after it has been looked at now.
    pub(super) fn look_again(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.waiting.iter().flat_map(|waiting| {
            let ready = Some(self.may_start(waiting)).filter(|at| *at > now);
            // The deadline itself is early enough.
            let late =
                self.deadline_of(waiting.scheduled).map(|deadline| later(deadline, Duration::from_millis(1)));
            [ready, late].into_iter().flatten()
        });
        let in_line =
            Some(self.in_line_from()).filter(|at| self.died > 0 && !self.waiting.is_empty() && *at > now);
        waits.chain(self.next_start()).chain(in_line).min()
    }

    /// When what waits may start.
    fn may_start(&self, waiting: &Waiting) -> Timestamp {
        waiting.since.max(self.held_until)
    }

    /// If it died: from when on it does not wait any longer for everything else to end.
    fn in_line_from(&self) -> Timestamp {
        later(self.held_until, MAX_WAIT_TO_RUN_ALONE)
    }

    /// Where it waits for room, if a run of it could start.
    pub(super) fn line(&self, now: Timestamp) -> Option<Line> {
        let since = self
            .ready(now)
            .and_then(|place| self.waiting.get(place))
            .map(|waiting| self.may_start(waiting))?;
        Some(match self.died > 0 && now < self.in_line_from() {
            true => Line::Alone(self.died, since),
            false => Line::Of(self.limited_by(), since),
        })
    }

    fn ready(&self, now: Timestamp) -> Option<usize> {
        if self.running.is_some() {
            return None;
        }
        self.waiting.iter().position(|waiting| self.may_start(waiting) <= now)
    }

    /// Starts what is ready.
    pub(super) fn begin(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(Waiting { scheduled, attempt, .. }) =
            self.ready(now).and_then(|place| self.waiting.remove(place))
        else {
            return;
        };
        if let Some(cursor) = &mut self.cursor {
            cursor.started.insert(&cursor.schedule, scheduled);
        }
        self.running = Some(Running {
            scheduled,
            attempt,
            limited_by: self.limited_by(),
            is_scheduled: true,
            cancelled: false,
            replaced: false,
        });
        // Before the start, so that a crash in mid-run finds it begun.
        self.note_mark(actions);
        actions.push(Action::Start { job: self.job.key.clone(), scheduled, attempt });
    }

    /// Cancels its run, once.
    pub(super) fn cancel(&mut self, actions: &mut Vec<Action>) {
        if let Some(running) = self.running.as_mut().filter(|running| !running.cancelled) {
            running.cancelled = true;
            actions.push(Action::Cancel { job: self.job.key.clone() });
        }
    }

    /// Its run has ended: what it counted against.
    pub(super) fn ended(
        &mut self,
        exit: Exit,
        stopping: bool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Option<Limited> {
        let run = self.running.take()?;
        (self.died, self.held_until) = (0, Timestamp::MIN);
        let stays_due = run.is_scheduled && !run.replaced;
        let Running { scheduled, attempt, .. } = run;
        match exit {
            Exit::Interrupted | Exit::Terminated if stays_due && stopping => {
                let since = later(scheduled, self.jitter);
                self.waiting.push_front(Waiting { kind: Kind::Interrupted, scheduled, attempt, since });
            }
            exit if stays_due && exit.worth_a_retry() => {
                let attempt = attempt.saturating_add(1);
                if let Some(at) = self.retry_at(&run, now) {
                    self.waiting.push_front(Waiting { kind: Kind::Retry, scheduled, attempt, since: at });
                    actions.push(Action::Retry { job: self.job.key.clone(), scheduled, attempt, at });
                }
            }
            _ => {}
        }
        Some(run.limited_by)
    }

    /// When a run that has just failed may be tried again; never past its start deadline or the next occurrence.
    fn retry_at(&self, run: &Running, now: Timestamp) -> Option<Timestamp> {
        if run.attempt > self.job.policy.retries || self.waiting.iter().any(|waiting| waiting.kind.is_new()) {
            return None;
        }
        let at = later(now, self.job.policy.retry_after);
        let in_time = self.deadline_of(run.scheduled).is_none_or(|deadline| at <= deadline);
        let before_next = self.next_start().is_none_or(|next| at < next);
        (in_time && before_next).then_some(at)
    }

    /// The wall clock was set by `jump`: waits keep their length. If it was set back, what was passed over and not
    /// started comes again when its time does.
    pub(super) fn clock_was_set(&mut self, now: Timestamp, jump: SignedDuration) {
        for retry in self.waiting.iter_mut().filter(|waiting| waiting.kind == Kind::Retry) {
            retry.since = moved(retry.since, jump);
        }
        self.held_until = moved(self.held_until, jump);
        let Some(cursor) = self.cursor.as_mut().filter(|cursor| cursor.taken > now) else { return };
        cursor.taken = now;
        cursor.next = cursor.started.first_other(&cursor.schedule, now);
        self.waiting.retain(|waiting| !(waiting.kind.is_new() && waiting.scheduled > now));
    }

    /// Takes up what has fallen due.
    pub(super) fn fall_due(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.drop_late(now, actions);
        let reach = now.checked_sub(self.jitter).unwrap_or(Timestamp::MIN);
        let Some(cursor) = self.cursor.as_mut() else { return };
        let Some(first) = cursor.next.filter(|next| *next <= reach) else { return };
        let mut last = first;
        cursor.next = cursor.started.first_other(&cursor.schedule, first);
        if cursor.next.is_some_and(|next| next <= reach) {
            last = cursor.schedule.last_within(first, reach).unwrap_or(first);
            cursor.next = cursor.started.first_other(&cursor.schedule, last);
        }
        cursor.taken = last;
        let was_started = cursor.started.contains(last);
        let on_time = !was_started && reach <= later(last, ON_TIME);
        match self.job.policy.catch_up {
            CatchUp::None if on_time => {
                self.pass_over_before(first, last, PassedOver::NotCaughtUp, actions);
                self.take_up(last, now, actions);
            }
            CatchUp::None => {
                self.pass_over_before(first, last, PassedOver::NotCaughtUp, actions);
                if !was_started {
                    self.pass_over(last, PassedOver::NotCaughtUp, actions);
                }
            }
            CatchUp::Latest => {
                self.pass_over_before(first, last, PassedOver::Overtaken, actions);
                if !was_started {
                    self.take_up(last, now, actions);
                }
            }
            CatchUp::All => self.take_up_all(first, last, on_time, now, actions),
        }
    }

    fn take_up_all(
        &mut self,
        first: Timestamp,
        last: Timestamp,
        on_time: bool,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(cursor) = self.cursor.as_ref() else { return };
        let found = newest_within(&cursor.schedule, first, last, CATCH_UP_CAP);
        let found: Vec<Timestamp> =
            found.into_iter().filter(|occurrence| !cursor.started.contains(*occurrence)).collect();
        if let Some(oldest) = found.first() {
            self.pass_over_before(first, *oldest, PassedOver::TooMany, actions);
        }
        for occurrence in found {
            if occurrence == last && on_time {
                self.take_up(occurrence, now, actions);
            } else if self.is_too_late(occurrence, now) {
                self.pass_over(occurrence, PassedOver::TooLate, actions);
            } else {
                self.wait(Kind::Fresh, occurrence, actions);
            }
        }
    }

    /// One occurrence has fallen due: it waits to be started, unless the policies speak against it.
    fn take_up(&mut self, scheduled: Timestamp, now: Timestamp, actions: &mut Vec<Action>) {
        if self.is_too_late(scheduled, now) {
            return self.pass_over(scheduled, PassedOver::TooLate, actions);
        }
        if self.running.is_some() {
            match self.job.policy.overlap {
                Overlap::Skip => self.pass_over(scheduled, PassedOver::Overlap, actions),
                Overlap::Queue => {
                    self.drop_where(|waiting| waiting.kind == Kind::Queued, PassedOver::Overtaken, actions);
                    self.wait(Kind::Queued, scheduled, actions);
                }
                Overlap::Replace => {
                    self.drop_waiting(PassedOver::Replaced, actions);
                    if let Some(running) = &mut self.running {
                        running.replaced = true;
                    }
                    self.cancel(actions);
                    self.wait(Kind::Fresh, scheduled, actions);
                }
            }
        } else if self.job.policy.catch_up == CatchUp::All {
            self.wait(Kind::Fresh, scheduled, actions);
        } else {
            // What still waits for room is overtaken, and its place in line goes on: else a job that falls due
            // often would never get to the front.
            let place = self.drop_waiting(PassedOver::Overtaken, actions);
            self.wait(Kind::Fresh, scheduled, actions);
            if let (Some(place), Some(waiting)) = (place, self.waiting.back_mut()) {
                waiting.since = waiting.since.min(place);
            }
        }
    }

    fn wait(&mut self, kind: Kind, scheduled: Timestamp, actions: &mut Vec<Action>) {
        let since = later(scheduled, self.jitter);
        self.waiting.push_back(Waiting { kind, scheduled, attempt: 1, since });
        let new = self.waiting.iter().filter(|waiting| waiting.kind.is_new()).count();
        if new > CATCH_UP_CAP
            && let Some(place) = self.waiting.iter().position(|waiting| waiting.kind.is_new())
            && let Some(oldest) = self.waiting.remove(place)
        {
            self.pass_over(oldest.scheduled, PassedOver::TooMany, actions);
        }
    }

    /// Drops every occurrence that waits; the longest wait among them.
    fn drop_waiting(&mut self, why: PassedOver, actions: &mut Vec<Action>) -> Option<Timestamp> {
        let longest = self.waiting.iter().map(|waiting| waiting.since).min();
        self.drop_where(|_| true, why, actions);
        longest
    }

    fn drop_late(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let (jitter, allowed) = (self.jitter, self.job.policy.start_deadline);
        let Some(allowed) = allowed else { return };
        let is_late = |waiting: &Waiting| now > later(later(waiting.scheduled, jitter), allowed);
        self.drop_where(is_late, PassedOver::TooLate, actions);
    }

    fn drop_where(
        &mut self,
        is_dropped: impl Fn(&Waiting) -> bool,
        why: PassedOver,
        actions: &mut Vec<Action>,
    ) {
        let (dropped, kept) =
            self.waiting.drain(..).partition::<VecDeque<_>, _>(|waiting| is_dropped(waiting));
        self.waiting = kept;
        // The failure of a run is reported already.
        for waiting in dropped.iter().filter(|waiting| waiting.kind != Kind::Retry) {
            self.pass_over(waiting.scheduled, why, actions);
        }
    }

    fn pass_over(&self, occurrence: Timestamp, why: PassedOver, actions: &mut Vec<Action>) {
        let job = self.job.key.clone();
        actions.push(Action::PassOver { job, first: occurrence, last: occurrence, count: 1, why });
    }

    /// Passes over the occurrences from one up to, and without, another.
    fn pass_over_before(&self, first: Timestamp, end: Timestamp, why: PassedOver, actions: &mut Vec<Action>) {
        let Some(cursor) = self.cursor.as_ref().filter(|_| first < end) else { return };
        let last = cursor.schedule.last_within(first, just_before(end)).unwrap_or(first);
        let count = cursor.schedule.occurrences(just_before(first), last).take(MAX_COUNTED).count();
        actions.push(Action::PassOver { job: self.job.key.clone(), first, last, count, why });
    }

    fn is_too_late(&self, scheduled: Timestamp, now: Timestamp) -> bool {
        self.deadline_of(scheduled).is_some_and(|deadline| now > deadline)
    }

    /// The last timestamp at which an occurrence may start. Jitter is no delay.
    fn deadline_of(&self, scheduled: Timestamp) -> Option<Timestamp> {
        Some(later(later(scheduled, self.jitter), self.job.policy.start_deadline?))
    }

    /// Emits the mark if it has changed.
    pub(super) fn note_mark(&mut self, actions: &mut Vec<Action>) {
        let Some(cursor) = &self.cursor else { return };
        let noted = self.noted.as_ref().filter(|noted| noted.fingerprint == cursor.fingerprint);
        // What waits for its first start is not settled.
        let open = self.waiting.iter().filter(|waiting| waiting.kind.is_new());
        let settled = match open.map(|waiting| waiting.scheduled).min() {
            None => cursor.taken,
            // Nothing lies between what is noted and it: no need to write that down.
            Some(open) => noted
                .map(|noted| noted.settled)
                .filter(|noted| *noted < open && cursor.schedule.next_after(*noted) >= Some(open))
                .unwrap_or_else(|| just_before(open).min(cursor.taken)),
        };
        let waits_again = self.waiting.iter().find(|waiting| waiting.kind.is_begun());
        let begun = match &self.running {
            Some(running) if running.is_scheduled => {
                Some(Begun { scheduled: running.scheduled, attempt: running.attempt, ended: false })
            }
            _ => waits_again.map(|Waiting { scheduled, attempt, .. }| Begun {
                scheduled: *scheduled,
                attempt: attempt - 1,
                ended: true,
            }),
        };
        let is_noted = noted.is_some_and(|noted| {
            noted.settled == settled
                && noted.begun == begun
                && noted.started == cursor.started
                && noted.died == self.died
        });
        if !is_noted {
            let mark = Mark {
                fingerprint: cursor.fingerprint.clone(),
                settled,
                begun,
                started: cursor.started.clone(),
                died: self.died,
            };
            actions.push(Action::Mark { job: self.job.key.clone(), mark: mark.clone() });
            self.noted = Some(mark);
        }
    }
}

/// The share of a job in the window that starts are spread over: the same in every process and release.
fn jitter(job: &PlannedJob) -> Duration {
    let width = u64::try_from(job.policy.jitter.as_millis()).unwrap_or(u64::MAX);
    let hash = fnv1a(format!("{}/{}", job.key.org(), job.key.job()).as_bytes());
    Duration::from_millis(hash.checked_rem(width).unwrap_or(0))
}

/// Occurrences fall on whole seconds.
fn just_before(occurrence: Timestamp) -> Timestamp {
    occurrence.checked_sub(Duration::from_secs(1)).unwrap_or(Timestamp::MIN)
}

/// The last few occurrences from one up to and with another, in order, without a walk through all.
fn newest_within(schedule: &Schedule, first: Timestamp, last: Timestamp, most: usize) -> VecDeque<Timestamp> {
    let mut width = Duration::from_secs(3 * 3600);
    loop {
        let from = last.checked_sub(width).unwrap_or(Timestamp::MIN).max(just_before(first));
        let mut newest = VecDeque::with_capacity(most + 1);
        for occurrence in schedule.occurrences(from, last) {
            newest.push_back(occurrence);
            if newest.len() > most {
                newest.pop_front();
            }
        }
        if newest.len() == most || from < first {
            return newest;
        }
        width = width.saturating_mul(4);
    }
}

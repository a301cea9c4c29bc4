//! Every policy with a clock moved by hand. Instants are written as `HH:MM` or `HH:MM:SS` of 2026-11-22 UTC, with
//! `+N ` before them N days later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Action, Agenda, Event, Limits, Plan, PlannedJob};
use crate::clock::Now;
use crate::error::Exit;
use crate::job::{CatchUp, ExportKey, JobName, Overlap, Policy};
use crate::org::OrgName;
use crate::schedule::{Begun, Mark, Schedule};

fn timestamp(text: &str) -> Timestamp {
    let (days, time) = match text.strip_prefix('+').and_then(|text| text.split_once(' ')) {
        Some((days, time)) => (days.parse().unwrap(), time),
        None => (0, text),
    };
    let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
    let first: Timestamp = format!("2026-11-22T{time}Z").parse().unwrap();
    first + SignedDuration::from_hours(24 * days)
}

fn spelled(instant_: Timestamp) -> String {
    let days = instant_.duration_since(timestamp("00:00")).as_secs().div_euclid(86_400);
    let time = instant_.to_string()[11..].trim_end_matches('Z').to_owned();
    let time = time.strip_suffix(":00").unwrap_or(&time).to_owned();
    if days == 0 { time } else { format!("+{days} {time}") }
}

fn key(job: &str) -> ExportKey {
    key_of(job, "default")
}

fn key_of(job: &str, org: &str) -> ExportKey {
    ExportKey::new(JobName(job.to_owned()), OrgName(org.to_owned()))
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn job(job_name: &str, cron: &str, policy: Policy) -> PlannedJob {
    PlannedJob {
        key: key(job_name),
        is_set: false,
        schedule: Some(Schedule::parse(cron, TimeZone::UTC).unwrap()),
        policy,
    }
}

fn plan(jobs: Vec<PlannedJob>) -> Plan {
    let limits = Limits { runs: 4, runs_of: BTreeMap::new(), shutdown_grace: Duration::from_secs(25) };
    Plan { jobs, limits }
}

/// An agenda, and what a disk would hold of it.
struct Desk {
    agenda: Agenda,
    marks: BTreeMap<ExportKey, Mark>,
    now: Now,
}

impl Desk {
    fn open(plan: Plan, now: &str) -> Self {
        Self::reopen(plan, BTreeMap::new(), now)
    }

    fn reopen(plan: Plan, marks: BTreeMap<ExportKey, Mark>, now: &str) -> Self {
        let now = Now { wall: timestamp(now), elapsed: Duration::ZERO };
        Self { agenda: Agenda::new(plan, marks.clone(), now), marks, now }
    }

    /// The process dies, and another begins.
    fn crash(self, plan: Plan, now: &str) -> Self {
        Self::reopen(plan, self.marks, now)
    }

    /// At a later time of the wall clock, as much later has passed. At an earlier one it was set back, in no time.
    fn apply(&mut self, event: Event, now: &str) -> Vec<String> {
        let passed = timestamp(now).duration_since(self.now.wall);
        self.apply_after(passed.try_into().unwrap_or_default(), event, now)
    }

    /// After some time has passed, whatever the wall clock shows by then.
    fn apply_after(&mut self, passed: Duration, event: Event, now: &str) -> Vec<String> {
        let mut told = Vec::new();
        self.now = Now { wall: timestamp(now), elapsed: self.now.elapsed + passed };
        for action in self.agenda.apply(event, self.now) {
            if let Action::Start { job, scheduled, attempt } = &action {
                let begun = Some(Begun { scheduled: *scheduled, attempt: *attempt, ended: false });
                assert_eq!(self.marks[job].begun, begun, "marked before it starts");
            }
            told.push(match action {
                Action::Start { job, scheduled, attempt } => {
                    format!("start {} {} #{attempt}", job.job(), spelled(scheduled))
                }
                Action::Cancel { job } => format!("cancel {}", job.job()),
                Action::Retry { job, scheduled, attempt, at } => {
                    format!("retry {} {} #{attempt} at {}", job.job(), spelled(scheduled), spelled(at))
                }
                Action::PassOver { job, first, last, count, why } => {
                    format!("pass {} {}..{} {count} {why:?}", job.job(), spelled(first), spelled(last))
                }
                Action::Mark { job, mark } => {
                    self.marks.insert(job, mark);
                    continue;
                }
                Action::Forget { job } => {
                    self.marks.remove(&job);
                    format!("forget {}", job.job())
                }
                Action::Finish => "finish".to_owned(),
            });
        }
        told
    }

    fn tick(&mut self, now: &str) -> Vec<String> {
        self.apply(Event::Tick, now)
    }

    fn tick_after(&mut self, passed: Duration, now: &str) -> Vec<String> {
        self.apply_after(passed, Event::Tick, now)
    }

    fn end(&mut self, job: &str, exit: Exit, now: &str) -> Vec<String> {
        // Here no job runs in two orgs; one that is forgotten ran in the default one.
        let marked = self.marks.keys().find(|marked| marked.job().as_str() == job).cloned();
        self.apply(Event::Ended { job: marked.unwrap_or_else(|| key(job)), exit }, now)
    }

    fn wake(&self) -> Option<String> {
        self.agenda.wake().map(spelled)
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_occurrence_starts_on_time_and_the_next_one_after_it() {
    let mut desk = Desk::open(plan(vec![job("a", "0 2 * * *", Policy::default())]), "00:00");
    assert_eq!(desk.wake().as_deref(), Some("02:00"));
    assert_eq!(desk.tick("00:00"), NOTHING);
    assert_eq!(desk.tick("01:59:59"), NOTHING);
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.wake().as_deref(), Some("+1 02:00"));
    assert_eq!(desk.tick("02:00"), NOTHING);
    assert_eq!(desk.end("a", Exit::Success, "02:05"), NOTHING);
    assert_eq!(desk.tick("+1 02:00:07"), ["start a +1 02:00 #1"]);
}

#[test]
fn a_job_without_a_schedule_never_starts() {
    let mut unscheduled = job("a", "0 2 * * *", Policy::default());
    unscheduled.schedule = None;
    let mut desk = Desk::open(plan(vec![unscheduled]), "00:00");
    assert_eq!(desk.wake(), None);
    assert_eq!(desk.tick("+1 02:00"), NOTHING);
    assert_eq!(desk.wake(), None);
    assert!(desk.marks.is_empty());
}

#[test]
fn missed_occurrences_are_caught_up_as_the_policy_says() {
    let caught_up = |catch_up, now: &str| {
        let policy = Policy { catch_up, ..Policy::default() };
        let jobs = || plan(vec![job("a", "0 * * * *", policy.clone())]);
        let mut desk = Desk::open(jobs(), "00:30");
        desk.tick("00:30");
        let mut desk = desk.crash(jobs(), now);
        let told = desk.tick(now);
        assert_eq!(desk.tick(now), NOTHING);
        (told, desk)
    };
    assert_eq!(
        caught_up(CatchUp::Latest, "04:30").0,
        ["pass a 01:00..03:00 3 Overtaken", "start a 04:00 #1"]
    );
    assert_eq!(caught_up(CatchUp::Latest, "01:30").0, ["start a 01:00 #1"]);
    assert_eq!(
        caught_up(CatchUp::None, "04:30").0,
        ["pass a 01:00..03:00 3 NotCaughtUp", "pass a 04:00..04:00 1 NotCaughtUp"]
    );
    // A minute is no delay.
    assert_eq!(
        caught_up(CatchUp::None, "04:01").0,
        ["pass a 01:00..03:00 3 NotCaughtUp", "start a 04:00 #1"]
    );
    assert_eq!(caught_up(CatchUp::None, "01:01:01").0, ["pass a 01:00..01:00 1 NotCaughtUp"]);
    let (told, mut desk) = caught_up(CatchUp::All, "03:30");
    assert_eq!(told, ["start a 01:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "03:31"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::Query, "03:32"), ["start a 03:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "03:33"), NOTHING);
    assert_eq!(desk.tick("04:00"), ["start a 04:00 #1"]);
}

#[test]
fn catching_up_on_all_goes_back_a_hundred_occurrences() {
    let policy = Policy { catch_up: CatchUp::All, retry_after: minutes(1), ..Policy::default() };
    let jobs = || plan(vec![job("a", "*/5 * * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:02");
    desk.tick("00:02");
    // 00:05 to +1 00:00 are 288: the last hundred begin at 15:45.
    let mut desk = desk.crash(jobs(), "+1 00:02");
    assert_eq!(desk.tick("+1 00:02"), ["pass a 00:05..15:40 188 TooMany", "start a 15:45 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "+1 00:03"), ["start a 15:50 #1"]);
    // A crash in between forgets nothing.
    let mut desk = desk.crash(jobs(), "+1 00:03");
    assert_eq!(desk.tick("+1 00:03"), NOTHING);
    assert_eq!(desk.tick("+1 00:04"), ["start a 15:50 #2"]);
    let mut told = desk.end("a", Exit::Success, "+1 00:04");
    assert_eq!(told, ["start a 15:55 #1"]);
    for _ in 0..97 {
        told = desk.end("a", Exit::Success, "+1 00:04");
    }
    assert_eq!(told, ["start a +1 00:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "+1 00:04"), NOTHING);
}

#[test]
fn years_of_missed_minutes_are_passed_over_in_one_step() {
    let policy = Policy { catch_up: CatchUp::All, ..Policy::default() };
    let jobs = || plan(vec![job("a", "* * * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:00");
    desk.tick("00:00");
    let mut desk = desk.crash(jobs(), "+900 00:00:30");
    assert_eq!(
        desk.tick("+900 00:00:30"),
        ["pass a 00:01..+899 22:20 1000 TooMany", "start a +899 22:21 #1"]
    );
}

#[test]
fn nothing_starts_after_its_deadline() {
    let policy = Policy { start_deadline: Some(minutes(30)), ..Policy::default() };
    let jobs = || plan(vec![job("a", "0 2 * * *", policy.clone()), job("b", "0 2 * * *", policy.clone())]);
    let missed_until = |now: &str| {
        let mut desk = Desk::open(jobs(), "00:00");
        desk.tick("00:00");
        desk.crash(jobs(), now).tick(now)
    };
    assert_eq!(missed_until("02:30"), ["start a 02:00 #1", "start b 02:00 #1"]);
    assert_eq!(missed_until("02:30:01"), ["pass a 02:00..02:00 1 TooLate", "pass b 02:00..02:00 1 TooLate"]);
    // Waiting for room counts too.
    let mut one_at_a_time = jobs();
    one_at_a_time.limits.runs = 1;
    let mut desk = Desk::open(one_at_a_time, "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.wake().as_deref(), Some("02:30:00.001"));
    assert_eq!(desk.tick("02:30"), NOTHING);
    assert_eq!(desk.tick("02:30:00.001"), ["pass b 02:00..02:00 1 TooLate"]);
    assert_eq!(desk.end("a", Exit::Success, "02:31"), NOTHING);
    // And so do occurrences that are all to be caught up on.
    let policy = Policy { catch_up: CatchUp::All, start_deadline: Some(minutes(90)), ..Policy::default() };
    let jobs = || plan(vec![job("a", "0 * * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:30");
    desk.tick("00:30");
    assert_eq!(
        desk.crash(jobs(), "03:10").tick("03:10"),
        ["pass a 01:00..01:00 1 TooLate", "start a 02:00 #1"]
    );
}

#[test]
fn an_overlapping_occurrence_is_skipped_queued_or_replaces() {
    let overlapping = |overlap| {
        let policy = Policy { overlap, ..Policy::default() };
        let mut desk = Desk::open(plan(vec![job("a", "*/10 * * * *", policy)]), "01:55");
        assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
        desk
    };
    let mut skip = overlapping(Overlap::Skip);
    assert_eq!(skip.tick("02:10"), ["pass a 02:10..02:10 1 Overlap"]);
    assert_eq!(skip.tick("02:20"), ["pass a 02:20..02:20 1 Overlap"]);
    assert_eq!(skip.end("a", Exit::Success, "02:25"), NOTHING);
    assert_eq!(skip.tick("02:30"), ["start a 02:30 #1"]);

    let mut queue = overlapping(Overlap::Queue);
    assert_eq!(queue.tick("02:10"), NOTHING);
    assert_eq!(queue.tick("02:20"), ["pass a 02:10..02:10 1 Overtaken"]);
    assert_eq!(queue.end("a", Exit::Success, "02:25"), ["start a 02:20 #1"]);
    assert_eq!(queue.end("a", Exit::Success, "02:28"), NOTHING);

    let mut replace = overlapping(Overlap::Replace);
    assert_eq!(replace.tick("02:10"), ["cancel a"]);
    assert_eq!(replace.tick("02:20"), ["pass a 02:10..02:10 1 Replaced"]);
    assert_eq!(replace.end("a", Exit::Interrupted, "02:21"), ["start a 02:20 #1"]);
    // The run that was replaced is done with.
    assert_eq!(replace.end("a", Exit::Success, "02:22"), NOTHING);
    assert_eq!(replace.wake().as_deref(), Some("02:30"));
}

#[test]
fn a_run_that_was_replaced_is_not_tried_again() {
    let policy = Policy { overlap: Overlap::Replace, retry_after: minutes(1), ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "*/10 * * * *", policy)]), "01:55");
    desk.tick("02:00");
    assert_eq!(desk.tick("02:10"), ["cancel a"]);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:10:01"), ["start a 02:10 #1"]);
}

#[test]
fn a_replaced_run_is_done_with_although_a_signal_comes() {
    let policy = Policy { overlap: Overlap::Replace, catch_up: CatchUp::All, ..Policy::default() };
    let jobs = || plan(vec![job("a", "*/10 * * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "01:55");
    desk.tick("02:00");
    assert_eq!(desk.tick("02:10"), ["cancel a"]);
    assert_eq!(desk.apply(Event::Signal, "02:10:01"), NOTHING);
    // It is cancelled already.
    assert_eq!(desk.tick("02:10:30"), NOTHING);
    assert_eq!(desk.end("a", Exit::Interrupted, "02:10:31"), ["finish"]);
    assert_eq!(desk.crash(jobs(), "02:11").tick("02:11"), ["start a 02:10 #1"]);
}

#[test]
fn a_failure_gives_way_to_an_occurrence_that_waits_already() {
    let policy = Policy { overlap: Overlap::Queue, retry_after: minutes(1), ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "*/10 * * * *", policy)]), "01:55");
    desk.tick("02:00");
    assert_eq!(desk.tick("02:10"), NOTHING);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:11"), ["start a 02:10 #1"]);
}

#[test]
fn no_more_than_a_hundred_occurrences_wait_for_room() {
    let policy = Policy { catch_up: CatchUp::All, ..Policy::default() };
    let mut jobs = plan(vec![job("long", "0 2 * * *", Policy::default()), job("often", "* * * * *", policy)]);
    jobs.limits.runs = 1;
    let mut desk = Desk::open(jobs, "01:59:30");
    assert_eq!(desk.tick("02:00"), ["start long 02:00 #1"]);
    // 02:00 to 03:39 are a hundred.
    for minute in 1..100 {
        assert_eq!(desk.tick(&format!("0{}:{:02}", 2 + minute / 60, minute % 60)), NOTHING);
    }
    assert_eq!(desk.tick("03:40"), ["pass often 02:00..02:00 1 TooMany"]);
    assert_eq!(desk.end("long", Exit::Success, "03:40:01"), ["start often 02:01 #1"]);
}

#[test]
fn starts_are_spread_over_the_window_by_a_hash_of_org_and_job() {
    let policy = Policy { jitter: minutes(60), ..Policy::default() };
    let jobs = || {
        plan(vec![job("accounts", "0 2 * * *", policy.clone()), job("contacts", "0 2 * * *", policy.clone())])
    };
    // FNV-1a, 64 bits, of `default/accounts` and `default/contacts`, modulo 3,600,000 ms, computed in Python.
    let (accounts, contacts) = ("02:29:17.231", "02:53:36.05");
    let mut desk = Desk::open(jobs(), "00:00");
    desk.tick("00:00");
    let next: Vec<String> = desk.agenda.snapshots().map(|snapshot| spelled(snapshot.next.unwrap())).collect();
    assert_eq!(next, [accounts, contacts]);
    assert_eq!(desk.tick("02:00"), NOTHING);
    // The window's share is no delay, and a start in it nothing missed.
    let mut desk = desk.crash(jobs(), "02:01");
    assert_eq!(desk.tick("02:01"), NOTHING);
    assert_eq!(desk.tick(accounts), ["start accounts 02:00 #1"]);
    assert_eq!(desk.tick(contacts), ["start contacts 02:00 #1"]);
}

#[test]
fn what_the_window_puts_off_is_not_missed_yet() {
    let policy = Policy { jitter: minutes(60), ..Policy::default() };
    let jobs = || plan(vec![job("accounts", "0 * * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:30");
    desk.tick("00:30");
    // Its share is 29 minutes and a little: 04:00 starts at 04:29.
    let mut desk = desk.crash(jobs(), "04:10");
    assert_eq!(desk.tick("04:10"), ["pass accounts 01:00..02:00 2 Overtaken", "start accounts 03:00 #1"]);
    assert_eq!(desk.end("accounts", Exit::Success, "04:20"), NOTHING);
    assert_eq!(desk.tick("04:30"), ["start accounts 04:00 #1"]);
}

#[test]
fn occurrences_missed_during_a_run_are_caught_up_after_it() {
    let policy = Policy { catch_up: CatchUp::All, ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "0 * * * *", policy)]), "01:30");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    // The machine was asleep.
    assert_eq!(desk.tick("04:30"), NOTHING);
    assert_eq!(desk.end("a", Exit::Success, "04:31"), ["start a 03:00 #1"]);
    assert_eq!(desk.tick("05:00"), ["pass a 05:00..05:00 1 Overlap"]);
    assert_eq!(desk.end("a", Exit::Success, "05:01"), ["start a 04:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "05:02"), NOTHING);
}

#[test]
fn a_job_in_two_orgs_is_scheduled_for_each_by_itself() {
    let of = |org: &str| PlannedJob { key: key_of("a", org), ..job("a", "0 2 * * *", Policy::default()) };
    let mut desk = Desk::open(plan(vec![of("apac"), of("emea")]), "01:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1", "start a 02:00 #1"]);
    let emea = Event::Ended { job: key_of("a", "emea"), exit: Exit::Unavailable };
    assert_eq!(desk.apply(emea, "02:01"), ["retry a 02:00 #2 at 02:11"]);
    assert_eq!(desk.tick("02:11"), ["start a 02:00 #2"]);
    let running: Vec<_> = desk.agenda.snapshots().map(|job| (job.job, job.running.is_some())).collect();
    assert_eq!(running, [(key_of("a", "apac"), true), (key_of("a", "emea"), true)]);
    // One of them leaves, and its mark alone.
    assert_eq!(desk.apply(Event::Reload(plan(vec![of("emea")])), "02:12"), ["forget a"]);
    assert_eq!(desk.marks.keys().collect::<Vec<_>>(), [&key_of("a", "emea")]);
}

#[test]
fn who_has_waited_longest_is_first_among_the_orgs_too() {
    let of = |job_name: &str, org: &str, cron: &str| {
        let mut job = job(job_name, cron, Policy::default());
        job.key = key_of(job_name, org);
        job
    };
    let mut jobs =
        plan(vec![of("a", "x", "0 2 * * *"), of("b", "x", "2 2 * * *"), of("c", "y", "1 2 * * *")]);
    jobs.limits.runs = 1;
    let mut desk = Desk::open(jobs, "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.tick("02:03"), NOTHING);
    assert_eq!(desk.end("a", Exit::Success, "02:04"), ["start c 02:01 #1"]);
    assert_eq!(desk.end("c", Exit::Success, "02:05"), ["start b 02:02 #1"]);
}

#[test]
fn a_set_counts_against_the_process_and_not_against_its_org() {
    let job = |job_name: &str, is_set| PlannedJob { is_set, ..job(job_name, "0 2 * * *", Policy::default()) };
    let mut jobs = plan(vec![job("a", false), job("b", true), job("c", false), job("d", true)]);
    jobs.limits.runs = 3;
    jobs.limits.runs_of = BTreeMap::from([(OrgName("default".to_owned()), 1)]);
    let mut desk = Desk::open(jobs, "00:00");
    // Neither keeps the other out, until the process is full.
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1", "start b 02:00 #1", "start d 02:00 #1"]);
    assert_eq!(desk.end("b", Exit::Success, "02:01"), NOTHING);
    assert_eq!(desk.end("a", Exit::Success, "02:02"), ["start c 02:00 #1"]);
}

#[test]
fn starts_wait_for_room_in_the_order_in_which_they_fell_due() {
    let of = |job_name: &str, org: &str, cron: &str| {
        let mut job = job(job_name, cron, Policy::default());
        job.key = key_of(job_name, org);
        job
    };
    let mut jobs = plan(vec![
        of("a", "small", "3 2 * * *"),
        of("b", "small", "0 2 * * *"),
        of("c", "small", "1 2 * * *"),
        of("d", "large", "2 2 * * *"),
        of("e", "large", "4 2 * * *"),
        of("f", "large", "5 2 * * *"),
    ]);
    jobs.limits.runs = 3;
    jobs.limits.runs_of = BTreeMap::from([(OrgName("small".to_owned()), 1)]);
    let mut desk = Desk::open(jobs, "00:00");
    assert_eq!(desk.tick("02:00"), ["start b 02:00 #1"]);
    assert_eq!(desk.tick("02:01"), NOTHING);
    assert_eq!(desk.tick("02:02"), ["start d 02:02 #1"]);
    assert_eq!(desk.tick("02:03"), NOTHING);
    assert_eq!(desk.tick("02:04"), ["start e 02:04 #1"]);
    assert_eq!(desk.tick("02:05"), NOTHING);
    assert_eq!(
        desk.agenda.snapshots().map(|snapshot| snapshot.waiting).collect::<Vec<_>>(),
        [1, 0, 1, 0, 0, 1]
    );
    // c has waited longest, but its org has no room.
    assert_eq!(desk.end("d", Exit::Success, "02:06"), ["start f 02:05 #1"]);
    assert_eq!(desk.end("b", Exit::Success, "02:07"), ["start c 02:01 #1"]);
    assert_eq!(desk.end("f", Exit::Success, "02:08"), NOTHING);
    assert_eq!(desk.end("c", Exit::Success, "02:09"), ["start a 02:03 #1"]);
}

#[test]
fn an_overtaken_occurrence_leaves_its_place_in_line() {
    let mut jobs = plan(vec![
        job("long", "0 2 * * *", Policy::default()),
        job("often", "*/10 * * * *", Policy::default()),
        job("rival", "15 2 * * *", Policy::default()),
    ]);
    jobs.limits.runs = 1;
    let mut desk = Desk::open(jobs, "01:55");
    assert_eq!(desk.tick("02:00"), ["start long 02:00 #1"]);
    assert_eq!(desk.tick("02:10"), ["pass often 02:00..02:00 1 Overtaken"]);
    assert_eq!(desk.tick("02:15"), NOTHING);
    assert_eq!(desk.tick("02:20"), ["pass often 02:10..02:10 1 Overtaken"]);
    assert_eq!(desk.end("long", Exit::Success, "02:25"), ["start often 02:20 #1"]);
}

#[test]
fn a_failure_worth_it_is_tried_again_up_to_the_limit() {
    let policy = Policy { retries: 2, retry_after: minutes(10), ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "0 2 * * *", policy)]), "00:00");
    desk.tick("02:00");
    assert_eq!(desk.end("a", Exit::Unavailable, "02:05"), ["retry a 02:00 #2 at 02:15"]);
    assert_eq!(desk.wake().as_deref(), Some("02:15"));
    assert_eq!(desk.tick("02:14:59"), NOTHING);
    assert_eq!(desk.tick("02:15"), ["start a 02:00 #2"]);
    assert_eq!(desk.end("a", Exit::TryLater, "02:16"), ["retry a 02:00 #3 at 02:26"]);
    assert_eq!(desk.tick("02:26"), ["start a 02:00 #3"]);
    assert_eq!(desk.end("a", Exit::Incomplete, "02:27"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("+1 02:00"));
}

#[test]
fn only_failures_that_may_pass_are_tried_again() {
    for exit in [
        Exit::Success,
        Exit::General,
        Exit::Usage,
        Exit::Query,
        Exit::Output,
        Exit::Login,
        Exit::Configuration,
        Exit::Interrupted,
    ] {
        let mut desk = Desk::open(plan(vec![job("a", "0 2 * * *", Policy::default())]), "00:00");
        desk.tick("02:00");
        assert_eq!(desk.end("a", exit, "02:05"), NOTHING, "{exit:?}");
        assert_eq!(desk.wake().as_deref(), Some("+1 02:00"), "{exit:?}");
    }
}

#[test]
fn a_retry_is_never_past_the_next_occurrence_or_the_deadline() {
    let retry = |cron: &str, start_deadline, ended: &str| {
        let policy = Policy { retry_after: minutes(10), start_deadline, ..Policy::default() };
        let mut desk = Desk::open(plan(vec![job("a", cron, policy)]), "01:30");
        assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
        desk.end("a", Exit::Unavailable, ended)
    };
    assert_eq!(retry("0 * * * *", None, "02:49"), ["retry a 02:00 #2 at 02:59"]);
    assert_eq!(retry("0 * * * *", None, "02:50"), NOTHING);
    assert_eq!(retry("0 * * * *", Some(minutes(30)), "02:20"), ["retry a 02:00 #2 at 02:30"]);
    assert_eq!(retry("0 * * * *", Some(minutes(30)), "02:20:01"), NOTHING);
}

#[test]
fn a_retry_that_waits_for_room_gives_way_to_the_next_occurrence() {
    let policy = Policy { retry_after: minutes(5), ..Policy::default() };
    let mut jobs = plan(vec![job("a", "0,20 2 * * *", policy), job("b", "6 2 * * *", Policy::default())]);
    jobs.limits.runs = 1;
    let mut desk = Desk::open(jobs, "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.tick("02:06"), NOTHING);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:07"), ["retry a 02:00 #2 at 02:12", "start b 02:06 #1"]);
    assert_eq!(desk.tick("02:12"), NOTHING);
    // Its failure is told already.
    assert_eq!(desk.tick("02:20"), NOTHING);
    assert_eq!(desk.end("b", Exit::Success, "02:30"), ["start a 02:20 #1"]);
}

#[test]
fn a_new_job_and_an_edited_schedule_catch_up_nothing() {
    let jobs = |cron: &str| plan(vec![job("a", cron, Policy::default())]);
    let mut desk = Desk::open(jobs("0 2 * * *"), "03:00");
    assert_eq!(desk.tick("03:00"), NOTHING);
    // Edited while the daemon runs.
    assert_eq!(desk.apply(Event::Reload(jobs("30 1 * * *")), "04:00"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("+1 01:30"));
    // Edited while it does not.
    let mut desk = desk.crash(jobs("0 1 * * *"), "+3 12:00");
    assert_eq!(desk.tick("+3 12:00"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("+4 01:00"));
    // Another spelling is no edit.
    let mut desk = desk.crash(jobs("00 01 * * 0-7"), "+4 12:00");
    assert_eq!(desk.tick("+4 12:00"), ["start a +4 01:00 #1"]);
}

#[test]
fn an_edit_drops_what_waits_and_lets_what_runs_end() {
    let jobs = |cron: &str| {
        let policy = Policy { overlap: Overlap::Queue, ..Policy::default() };
        plan(vec![job("a", cron, policy)])
    };
    let mut desk = Desk::open(jobs("*/10 * * * *"), "01:55");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.tick("02:10"), NOTHING);
    assert_eq!(
        desk.apply(Event::Reload(jobs("0 * * * *")), "02:15"),
        ["pass a 02:10..02:10 1 ScheduleChanged"]
    );
    // An occurrence of the old schedule is not tried again, nor due after a crash or a signal.
    assert_eq!(desk.end("a", Exit::Unavailable, "02:16"), NOTHING);
    let mut desk = desk.crash(jobs("0 * * * *"), "02:17");
    assert_eq!(desk.tick("02:17"), NOTHING);
    assert_eq!(desk.tick("03:00"), ["start a 03:00 #1"]);
    assert_eq!(desk.apply(Event::Reload(jobs("30 * * * *")), "03:01"), NOTHING);
    assert_eq!(desk.apply(Event::Signal, "03:02"), NOTHING);
    assert_eq!(desk.tick("03:03"), ["cancel a"]);
    assert_eq!(desk.end("a", Exit::Terminated, "03:03:01"), ["finish"]);
    assert_eq!(desk.crash(jobs("30 * * * *"), "03:10").tick("03:10"), NOTHING);
}

#[test]
fn another_policy_is_no_edit_of_the_schedule() {
    let jobs = |retries| {
        let policy = Policy { retries, retry_after: minutes(10), ..Policy::default() };
        plan(vec![job("a", "0 2 * * *", policy)])
    };
    let mut desk = Desk::open(jobs(0), "00:00");
    desk.tick("02:00");
    assert_eq!(desk.apply(Event::Reload(jobs(1)), "02:01"), NOTHING);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:05"), ["retry a 02:00 #2 at 02:15"]);
    assert_eq!(desk.apply(Event::Reload(jobs(1)), "02:06"), NOTHING);
    assert_eq!(desk.tick("02:15"), ["start a 02:00 #2"]);
}

#[test]
fn a_removed_or_disabled_job_is_forgotten_but_its_run_goes_on() {
    let with = || plan(vec![job("a", "0,3 2 * * *", Policy::default())]);
    let without = || plan(vec![]);
    let disabled = || {
        let mut plan = with();
        plan.jobs[0].schedule = None;
        plan
    };
    for other in [&without as &dyn Fn() -> Plan, &disabled] {
        let mut desk = Desk::open(with(), "00:00");
        assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
        assert_eq!(desk.apply(Event::Reload(other()), "02:01"), ["forget a"]);
        assert!(desk.marks.is_empty());
        // Back again before the run has ended: no second run beside it.
        assert_eq!(desk.apply(Event::Reload(with()), "02:02"), NOTHING);
        assert_eq!(desk.tick("02:03"), ["pass a 02:03..02:03 1 Overlap"]);
        assert_eq!(desk.apply(Event::Reload(other()), "02:04"), ["forget a"]);
        assert_eq!(desk.end("a", Exit::Unavailable, "02:05"), NOTHING);
        assert_eq!(desk.wake(), None);
        // Back after days: a new job.
        assert_eq!(desk.apply(Event::Reload(with()), "+3 12:00"), NOTHING);
        assert_eq!(desk.tick("+4 02:00"), ["start a +4 02:00 #1"]);
        // The same, with the daemon down in between.
        let mut desk = desk.crash(other(), "+4 02:01");
        assert_eq!(desk.tick("+4 02:01"), ["forget a"]);
    }
}

#[test]
fn what_a_crash_cut_off_stays_due() {
    let jobs = |catch_up| plan(vec![job("a", "0 2 * * *", Policy { catch_up, ..Policy::default() })]);
    let crashed = |catch_up, now: &str| {
        let mut desk = Desk::open(jobs(catch_up), "00:00");
        assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
        let mut desk = desk.crash(jobs(catch_up), now);
        let told = desk.tick(now);
        (told, desk)
    };
    let (told, mut desk) = crashed(CatchUp::Latest, "02:01");
    assert_eq!(told, NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("02:11"), "after retry_after");
    assert_eq!(desk.tick("02:11"), ["start a 02:00 #2"]);
    // And again, until it has ended.
    let mut desk = {
        desk.tick("02:12");
        desk.crash(jobs(CatchUp::Latest), "02:13")
    };
    assert_eq!(desk.tick("02:23"), ["start a 02:00 #3"]);
    assert_eq!(desk.end("a", Exit::Success, "02:24"), NOTHING);
    assert_eq!(desk.marks[&key("a")].died, 0);
    assert_eq!(desk.crash(jobs(CatchUp::Latest), "02:25").tick("02:25"), NOTHING);

    assert_eq!(crashed(CatchUp::None, "02:00:10").0, ["pass a 02:00..02:00 1 NotCaughtUp"]);
    // A later one is due by then.
    let (told, mut desk) = crashed(CatchUp::Latest, "+2 12:00");
    assert_eq!(told, ["pass a +1 02:00..+1 02:00 1 Overtaken", "pass a 02:00..02:00 1 Overtaken"]);
    assert_eq!(desk.tick("+2 12:10"), ["start a +2 02:00 #1"]);
    let (told, mut desk) = crashed(CatchUp::All, "+1 12:00");
    assert_eq!(told, NOTHING);
    assert_eq!(desk.tick("+1 12:10"), ["start a 02:00 #2"]);
    assert_eq!(desk.end("a", Exit::Success, "+1 12:11"), ["start a +1 02:00 #1"]);
}

#[test]
fn what_waited_for_room_or_for_a_retry_is_due_after_a_crash() {
    let jobs = || {
        let mut plan =
            plan(vec![job("a", "0 2 * * *", Policy::default()), job("b", "0 2 * * *", Policy::default())]);
        plan.limits.runs = 1;
        plan
    };
    let mut desk = Desk::open(jobs(), "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::TryLater, "02:01"), ["retry a 02:00 #2 at 02:11", "start b 02:00 #1"]);
    // The process died of b's run; a's had ended.
    let mut desk = desk.crash(jobs(), "02:02");
    assert_eq!(desk.tick("02:02"), ["start a 02:00 #2"]);
    let mut desk = desk.crash(jobs(), "02:03");
    assert_eq!(desk.tick("02:03"), NOTHING);
    assert_eq!(desk.tick("02:13"), ["start a 02:00 #3"]);
    assert_eq!(desk.end("a", Exit::Success, "02:14"), ["start b 02:00 #2"]);
}

#[test]
fn an_occurrence_that_kills_the_process_is_given_up_in_the_end() {
    let policy = Policy { retries: 1, retry_after: minutes(5), ..Policy::default() };
    let jobs = || plan(vec![job("a", "0 2 * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    let mut desk = desk.crash(jobs(), "02:01");
    // A process that dies without having started it makes no difference.
    desk.tick("02:01");
    let mut desk = desk.crash(jobs(), "02:02");
    assert_eq!(desk.tick("02:06"), NOTHING);
    assert_eq!(desk.tick("02:07"), ["start a 02:00 #2"]);
    let mut desk = desk.crash(jobs(), "02:08");
    assert_eq!(desk.tick("02:08"), ["pass a 02:00..02:00 1 ProcessDied"]);
    assert_eq!(desk.wake().as_deref(), Some("+1 02:00"));
    // The next one has its own attempts.
    assert_eq!(desk.tick("+1 02:00"), ["start a +1 02:00 #1"]);
    let mut desk = desk.crash(jobs(), "+1 02:01");
    assert_eq!(desk.tick("+1 02:06"), ["start a +1 02:00 #2"]);
    assert_eq!(desk.end("a", Exit::Success, "+1 02:07"), NOTHING);
}

#[test]
fn a_job_that_kills_the_process_keeps_no_other_from_its_end() {
    let policy = Policy { retries: 2, retry_after: minutes(3), ..Policy::default() };
    let jobs = || {
        let minutely = |name: &str| job(name, "* * * * *", policy.clone());
        plan(vec![minutely("killer"), minutely("another"), minutely("other")])
    };
    let mut desk = Desk::open(jobs(), "00:00:30");
    let (mut now, end) = (timestamp("00:00:30"), timestamp("02:00:30"));
    let (mut deaths, mut given_up, mut exports) = (0, 0, [Vec::new(), Vec::new()]);
    while now < end {
        let mut told = desk.tick(&spelled(now));
        given_up += told.iter().filter(|told| told.ends_with("ProcessDied")).count();
        for (job, exports) in ["another", "other"].into_iter().zip(&mut exports) {
            if told.iter().any(|told| told.starts_with(&format!("start {job}"))) {
                // What runs when the process dies is not exported.
                if !told.iter().any(|told| told.starts_with("start killer")) {
                    exports.push(now);
                    told.extend(desk.end(job, Exit::Success, &spelled(now)));
                }
            }
        }
        now += SignedDuration::from_secs(2);
        if told.iter().any(|told| told.starts_with("start killer")) {
            deaths += 1;
            desk = desk.crash(jobs(), &spelled(now));
        }
    }
    // Once every three minutes at most, and after every third death in a row the occurrence is given up.
    assert!((20..=40).contains(&deaths) && given_up == deaths / 3, "{deaths} {given_up}");
    for exports in exports {
        assert!(exports.len() > 100, "only {} exports in two hours", exports.len());
    }
}

#[test]
fn a_job_whose_process_died_starts_while_nothing_else_runs() {
    let policy = Policy { retry_after: minutes(1), ..Policy::default() };
    let jobs = || plan(vec![job("a", "0 2 * * *", policy.clone()), job("b", "5 2 * * *", policy.clone())]);
    let died = || {
        let mut desk = Desk::open(jobs(), "00:00");
        assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
        let mut desk = desk.crash(jobs(), "02:04:30");
        assert_eq!(desk.tick("02:05"), ["start b 02:05 #1"]);
        assert_eq!(desk.tick("02:05:30"), NOTHING);
        desk
    };
    assert_eq!(died().end("b", Exit::Success, "02:20"), ["start a 02:00 #2"]);
    // But not for ever.
    let mut desk = died();
    assert_eq!(desk.wake().as_deref(), Some("03:05:30"));
    assert_eq!(desk.tick("03:05:30"), ["start a 02:00 #2"]);
}

#[test]
fn an_attempt_that_a_signal_cancelled_does_not_count() {
    let policy = Policy { retries: 1, retry_after: minutes(10), ..Policy::default() };
    let jobs = || plan(vec![job("a", "0 2 * * *", policy.clone())]);
    let mut desk = Desk::open(jobs(), "00:00");
    desk.tick("00:00");
    for minute in 0..5 {
        let now = |second| format!("02:0{minute}:0{second}");
        assert_eq!(desk.tick(&now(0)), ["start a 02:00 #1"]);
        desk.apply(Event::Signal, &now(1));
        assert_eq!(desk.end("a", Exit::Terminated, &now(2)), ["finish"]);
        desk = desk.crash(jobs(), &now(3));
    }
    assert_eq!(desk.tick("02:05"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:06"), ["retry a 02:00 #2 at 02:16"]);
    let mut desk = desk.crash(jobs(), "02:07");
    assert_eq!(desk.tick("02:07"), ["start a 02:00 #2"]);
    assert_eq!(desk.end("a", Exit::Unavailable, "02:08"), NOTHING);
}

#[test]
fn a_signal_stops_starts_then_cancels_and_ends_when_all_has() {
    let jobs = || {
        plan(vec![
            job("a", "0 2 * * *", Policy::default()),
            job("b", "0 2 * * *", Policy::default()),
            job("c", "1 2 * * *", Policy::default()),
        ])
    };
    let mut desk = Desk::open(jobs(), "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1", "start b 02:00 #1"]);
    assert_eq!(desk.apply(Event::Signal, "02:00:50"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("02:01:15"));
    assert_eq!(desk.tick("02:01"), NOTHING);
    assert_eq!(desk.apply(Event::Reload(plan(vec![])), "02:01:02"), NOTHING);
    assert_eq!(desk.end("a", Exit::Success, "02:01:05"), NOTHING);
    assert_eq!(desk.tick("02:01:14"), NOTHING);
    assert_eq!(desk.tick("02:01:15"), ["cancel b"]);
    assert_eq!(desk.wake(), None);
    assert_eq!(desk.tick("02:01:16"), NOTHING);
    assert_eq!(desk.end("b", Exit::Terminated, "02:01:17"), ["finish"]);
    assert_eq!(desk.tick("02:01:18"), NOTHING);
    // What was cancelled, and what fell due meanwhile, is due at the next start; what ended is not.
    assert_eq!(desk.crash(jobs(), "02:10").tick("02:10"), ["start b 02:00 #1", "start c 02:01 #1"]);
}

#[test]
fn a_signal_ends_an_idle_process_and_a_second_adds_no_grace() {
    let jobs = || plan(vec![job("a", "0 2 * * *", Policy::default())]);
    assert_eq!(Desk::open(jobs(), "00:00").apply(Event::Signal, "00:01"), ["finish"]);
    let mut desk = Desk::open(jobs(), "00:00");
    desk.tick("02:00");
    assert_eq!(desk.apply(Event::Signal, "02:00:50"), NOTHING);
    assert_eq!(desk.apply(Event::Signal, "02:01:10"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("02:01:15"));
}

#[test]
fn a_clock_set_back_runs_no_occurrence_twice() {
    let mut desk = Desk::open(plan(vec![job("a", "0 * * * *", Policy::default())]), "01:30");
    assert_eq!(desk.tick("02:00:01"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "02:00:30"), NOTHING);
    assert_eq!(desk.tick("01:59:58"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("03:00"));
    assert_eq!(desk.tick("02:00"), NOTHING);
    // Before occurrences that ran, and before one that came to nothing.
    for hour in 3..8 {
        assert_eq!(desk.tick(&format!("0{hour}:00")), [format!("start a 0{hour}:00 #1")]);
        if hour != 6 {
            assert_eq!(desk.end("a", Exit::Success, &format!("0{hour}:30")), NOTHING);
            continue;
        }
        assert_eq!(desk.tick("06:30"), NOTHING);
        assert_eq!(desk.end("a", Exit::Success, "06:45"), NOTHING);
    }
    assert_eq!(desk.tick("04:30"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("08:00"));
    assert_eq!(desk.tick("08:00"), ["start a 08:00 #1"]);
}

#[test]
fn a_clock_that_was_ahead_for_a_while_silences_nothing() {
    let jobs = || plan(vec![job("a", "0 2 * * *", Policy::default())]);
    let mut desk = Desk::open(jobs(), "00:00");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "02:10"), NOTHING);
    assert_eq!(
        desk.tick("+200 12:00"),
        ["pass a +1 02:00..+199 02:00 199 Overtaken", "start a +200 02:00 #1"]
    );
    assert_eq!(desk.end("a", Exit::Success, "+200 12:01"), NOTHING);
    assert_eq!(desk.tick("12:02"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("+1 02:00"));
    // The same after a start with the marks of that time.
    let mut desk = desk.crash(jobs(), "12:05");
    assert_eq!(desk.tick("+1 02:00"), ["start a +1 02:00 #1"]);
    desk.end("a", Exit::Success, "+1 02:05");
    // The one that ran is not run again.
    assert_eq!(
        desk.tick("+199 02:00"),
        ["pass a +2 02:00..+198 02:00 197 Overtaken", "start a +199 02:00 #1"]
    );
    desk.end("a", Exit::Success, "+199 02:05");
    assert_eq!(desk.wake().as_deref(), Some("+201 02:00"));
}

#[test]
fn a_clock_set_right_while_nothing_runs_silences_nothing() {
    let jobs = || plan(vec![job("a", "0 2 * * *", Policy::default())]);
    let mut desk = Desk::open(jobs(), "00:00");
    assert_eq!(desk.tick("+200 02:00"), ["pass a 02:00..+199 02:00 200 Overtaken", "start a +200 02:00 #1"]);
    desk.end("a", Exit::Success, "+200 02:01");
    let mut desk = desk.crash(jobs(), "12:00");
    assert_eq!(desk.tick("12:00"), NOTHING);
    assert_eq!(desk.tick("+1 02:00"), ["start a +1 02:00 #1"]);
}

#[test]
fn a_machine_that_boots_with_an_old_clock_repeats_nothing() {
    let jobs = || plan(vec![job("a", "0 2 * * *", Policy::default())]);
    let mut desk = Desk::open(jobs(), "00:00");
    for day in 0..5 {
        let now = format!("+{day} 02:00");
        assert_eq!(desk.tick(&now).len(), 1);
        desk.end("a", Exit::Success, &format!("+{day} 02:10"));
    }
    let mut desk = desk.crash(jobs(), "+1 12:00");
    assert_eq!(desk.tick("+1 12:00"), NOTHING);
    assert_eq!(desk.tick("+2 02:00"), NOTHING);
    assert_eq!(desk.tick("+4 13:00"), NOTHING);
    assert_eq!(desk.tick("+5 02:00"), ["start a +5 02:00 #1"]);
}

#[test]
fn waits_keep_their_length_when_the_clock_is_set_back() {
    let policy = Policy { retry_after: minutes(10), ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "0 2 * * *", policy)]), "00:00");
    desk.tick("02:00");
    assert_eq!(desk.end("a", Exit::Unavailable, "02:05"), ["retry a 02:00 #2 at 02:15"]);
    assert_eq!(desk.tick("01:05"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("01:15"));
    assert_eq!(desk.tick("01:15"), ["start a 02:00 #2"]);
    assert_eq!(desk.apply(Event::Signal, "01:16"), NOTHING);
    assert_eq!(desk.tick("01:06"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("01:06:25"));
}

#[test]
fn a_clock_set_back_during_a_sleep_neither_skips_nor_repeats() {
    let sleep = Duration::from_secs(30);
    let mut desk = Desk::open(plan(vec![job("a", "0 * * * *", Policy::default())]), "01:30");
    assert_eq!(desk.tick("02:00"), ["start a 02:00 #1"]);
    assert_eq!(desk.end("a", Exit::Success, "02:00:10"), NOTHING);
    // By less than the sleep: the clock shows no earlier time than before.
    assert_eq!(desk.tick_after(sleep, "02:00:20"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("03:00"));
    // Before the occurrence that ran.
    assert_eq!(desk.tick_after(sleep, "01:59:40"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("03:00"));
    assert_eq!(desk.tick("02:00"), NOTHING);
    // Right before the next one.
    assert_eq!(desk.tick("02:59:50"), NOTHING);
    assert_eq!(desk.tick_after(sleep, "02:30"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("03:00"));
    assert_eq!(desk.tick("03:00"), ["start a 03:00 #1"]);
}

#[test]
fn a_retry_and_the_grace_last_as_long_whatever_the_clock_shows() {
    let sleep = Duration::from_secs(30);
    let policy = Policy { retry_after: minutes(10), ..Policy::default() };
    let mut desk = Desk::open(plan(vec![job("a", "0 2 * * *", policy)]), "00:00");
    desk.tick("02:00");
    assert_eq!(desk.end("a", Exit::Unavailable, "02:05"), ["retry a 02:00 #2 at 02:15"]);
    // Set back by 20 s, then an hour ahead.
    assert_eq!(desk.tick_after(sleep, "02:05:10"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("02:14:40"));
    assert_eq!(desk.tick_after(sleep, "03:05:40"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("03:14:40"));
    assert_eq!(desk.tick("03:14:39"), NOTHING);
    assert_eq!(desk.tick("03:14:40"), ["start a 02:00 #2"]);
    // Of the 25 s of grace, ten have passed, whether the clock shows an hour more or two less.
    assert_eq!(desk.apply(Event::Signal, "03:15"), NOTHING);
    assert_eq!(desk.tick_after(Duration::from_secs(5), "04:15:05"), NOTHING);
    assert_eq!(desk.tick_after(Duration::from_secs(5), "02:15:10"), NOTHING);
    assert_eq!(desk.wake().as_deref(), Some("02:15:25"));
    assert_eq!(desk.tick("02:15:25"), ["cancel a"]);
}

#[test]
fn five_hundred_nightly_jobs_run_every_night_of_a_year() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let jobs = (0..500).map(|number| PlannedJob {
        key: key_of(&format!("job-{number:03}"), &format!("org{}", number % 5)),
        is_set: false,
        schedule: Some(Schedule::parse("30 2 * * *", berlin.clone()).unwrap()),
        policy: Policy { jitter: minutes(30), ..Policy::default() },
    });
    let limits = Limits {
        runs: 8,
        runs_of: BTreeMap::from([(OrgName("org0".to_owned()), 1)]),
        shutdown_grace: Duration::ZERO,
    };
    // From noon on 2026-01-01 for 365 nights, the spring's and the autumn's among them.
    let start: Timestamp = "2026-01-01T11:00:00Z".parse().unwrap();
    let end: Timestamp = "2027-01-01T11:00:00Z".parse().unwrap();
    let both = |wall: Timestamp| Now { wall, elapsed: wall.duration_since(start).try_into().unwrap() };
    let mut agenda = Agenda::new(Plan { jobs: jobs.collect(), limits }, BTreeMap::new(), both(start));
    let mut ends: BinaryHeap<Reverse<(Timestamp, ExportKey)>> = BinaryHeap::new();
    let (mut applied, mut started, mut marks, mut most, mut most_of_org0) = (0, 0, 0, 0, 0);
    let mut nights: BTreeMap<Timestamp, usize> = BTreeMap::new();
    let mut event = (Event::Tick, start);
    loop {
        applied += 1;
        let now = event.1;
        for action in agenda.apply(event.0, both(now)) {
            match action {
                Action::Start { job, scheduled, attempt } => {
                    assert!(attempt == 1 && scheduled <= now);
                    started += 1;
                    *nights.entry(scheduled).or_default() += 1;
                    ends.push(Reverse((now + Duration::from_secs(60), job)));
                }
                Action::Mark { .. } => marks += 1,
                other => panic!("{other:?}"),
            }
        }
        most = most.max(ends.len());
        let of_org0 = agenda.running.get(&Some(OrgName("org0".to_owned()))).copied().unwrap_or(0);
        most_of_org0 = most_of_org0.max(of_org0);
        let wake = agenda.wake().unwrap();
        event = match ends.peek() {
            Some(Reverse((at, _))) if *at <= wake => {
                let Some(Reverse((at, job))) = ends.pop() else { break };
                (Event::Ended { job, exit: Exit::Success }, at)
            }
            _ if wake > end => break,
            _ => (Event::Tick, wake),
        };
    }
    assert_eq!(started, 365 * 500);
    assert_eq!(nights.len(), 365);
    assert!(nights.values().all(|count| *count == 500));
    // Each job once at the start, then at each run's start and end.
    assert_eq!(marks, 500 + 2 * 365 * 500);
    assert_eq!((most, most_of_org0), (8, 1));
    // One event for each end, and at most one for each occurrence.
    assert!(applied <= 1 + 2 * 365 * 500, "{applied}");
}

/// SplitMix64: the same story in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % count
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize].clone()
    }
}

fn random_job(random: &mut Random, number: usize) -> PlannedJob {
    let policy = Policy {
        catch_up: random.one_of(&[CatchUp::None, CatchUp::Latest, CatchUp::All]),
        start_deadline: random.one_of(&[None, Some(minutes(3)), Some(minutes(200))]),
        overlap: random.one_of(&[Overlap::Skip, Overlap::Queue, Overlap::Replace]),
        jitter: random.one_of(&[Duration::ZERO, minutes(4)]),
        retries: random.below(4) as u32,
        retry_after: random.one_of(&[Duration::ZERO, minutes(1), minutes(30)]),
    };
    let cron = random.one_of(&["* * * * *", "*/7 * * * *", "0 * * * *", "5,50 */3 * * *", "0 2 * * *"]);
    let mut job = job(&format!("job{number}"), cron, policy);
    job.key = key_of(&format!("job{number}"), random.one_of(&["small", "large"]));
    job
}

#[test]
fn whatever_happens_nothing_runs_twice_or_beyond_a_limit() {
    let (mut starts, mut again) = (0, 0);
    for story in 0..40 {
        let mut random = Random(story);
        let mut jobs: Vec<PlannedJob> = (0..5).map(|number| random_job(&mut random, number)).collect();
        // An edited schedule or org is another one, even where it is edited back.
        let mut editions = [0; 5];
        let planned = |jobs: &[PlannedJob]| {
            let mut plan = plan(jobs.to_vec());
            plan.limits.runs = 3;
            plan.limits.runs_of = BTreeMap::from([(OrgName("small".to_owned()), 1)]);
            plan
        };
        let (mut now, mut elapsed) = (timestamp("00:00:30"), Duration::ZERO);
        let mut agenda = Agenda::new(planned(&jobs), BTreeMap::new(), Now { wall: now, elapsed });
        let mut marks: BTreeMap<ExportKey, Mark> = BTreeMap::new();
        let mut running: BTreeMap<ExportKey, OrgName> = BTreeMap::new();
        let mut attempts: BTreeMap<(ExportKey, usize, Timestamp), u32> = BTreeMap::new();
        for _ in 0..400 {
            let (before, choice) = (now, random.below(40));
            let event = match choice {
                0..16 if !running.is_empty() => {
                    let names: Vec<ExportKey> = running.keys().cloned().collect();
                    let job = random.one_of(&names);
                    running.remove(&job);
                    let exit =
                        random.one_of(&[Exit::Success, Exit::Query, Exit::Unavailable, Exit::Interrupted]);
                    Event::Ended { job, exit }
                }
                16 => {
                    now -= SignedDuration::from_secs(random.below(7_200) as i64);
                    Event::Tick
                }
                17 => {
                    now += SignedDuration::from_secs(random.below(86_400) as i64);
                    Event::Tick
                }
                18..20 => {
                    let number = random.below(5) as usize;
                    let edited = random_job(&mut random, number);
                    let fingerprint = |job: &PlannedJob| job.schedule.as_ref().unwrap().fingerprint();
                    if (&edited.key, fingerprint(&edited)) != (&jobs[number].key, fingerprint(&jobs[number]))
                    {
                        editions[number] += 1;
                    }
                    jobs[number] = edited;
                    Event::Reload(planned(&jobs))
                }
                20 => {
                    running.clear();
                    now += SignedDuration::from_secs(random.below(4_000) as i64 - 1_000);
                    agenda = Agenda::new(planned(&jobs), marks.clone(), Now { wall: now, elapsed });
                    Event::Tick
                }
                21..30 => {
                    now = agenda.wake().unwrap_or(now).max(now);
                    Event::Tick
                }
                _ => {
                    now += SignedDuration::from_secs(random.below(300) as i64);
                    Event::Tick
                }
            };
            // If the clock was set, any time may have passed.
            elapsed += match choice {
                16 | 17 => Duration::from_secs(random.below(60)),
                _ => now.duration_since(before).try_into().unwrap_or_default(),
            };
            for action in agenda.apply(event, Now { wall: now, elapsed }) {
                match action {
                    Action::Start { job, scheduled, attempt } => {
                        let number = jobs.iter().position(|planned| planned.key == job).unwrap();
                        assert!(running.insert(job.clone(), job.org().clone()).is_none(), "{story} {job}");
                        let schedule = jobs[number].schedule.as_ref().unwrap();
                        let before = scheduled - SignedDuration::from_secs(1);
                        assert_eq!(schedule.next_after(before), Some(scheduled), "{story} {job}");
                        let known = attempts.entry((job.clone(), editions[number], scheduled)).or_default();
                        assert_eq!(attempt, *known + 1, "{story} {job} {scheduled}");
                        *known = attempt;
                        starts += 1;
                        again += usize::from(attempt > 1);
                    }
                    Action::Mark { job, mark } => drop(marks.insert(job, mark)),
                    Action::Forget { job } => drop(marks.remove(&job)),
                    _ => {}
                }
                let of_small = running.values().filter(|org| org.as_str() == "small").count();
                assert!(running.len() <= 3 && of_small <= 1, "{story}: {running:?}");
            }
            assert!(agenda.wake().is_none_or(|wake| wake > now), "{story}: looks again at once");
        }
    }
    assert!(starts > 2_000 && again > 200, "{starts} {again}");
}

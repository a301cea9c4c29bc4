//! The status page: what fails, runs and is overdue, then all other jobs; the page of one job is `job_page`.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::Snapshot;
use super::html::{
    Column, document, job_link, message, records, result, second_line, table, time, time_and_distance,
};
use super::run_history::{PastRun, clipped};
use super::run_stats::{JobRuns, Phase, RunStats, Running, Runs};
use crate::agenda::{JobSnapshot, ON_TIME};
use crate::error::plain_lines;
use crate::human;
use crate::job::ExportKey;
use crate::report::RunStatus;

/// After how many seconds the page reloads itself.
const REFRESH_SECONDS: u32 = 10;

/// The most characters of an error that are shown here; the job's own page has more.
const MAX_ERROR_CHARS: usize = 400;

/// From which share of an org's API requests on it is shown in a warning's colour.
const SCARCE_PERCENT: u64 = 90;

/// The page as of a snapshot.
#[must_use]
pub fn html(stats: &RunStats, snapshot: &Snapshot) -> String {
    let runs = stats.runs();
    let overview = Overview::new(&runs, snapshot);
    let counts = overview.counts();
    let body = html! {
        header {
            h1 { "sfexport" }
            p.counts {
                @for (at, (count, class)) in counts.iter().enumerate() {
                    @if at > 0 { ", " }
                    span class=(class) { (count) }
                }
            }
        }
        main {
            (alarms(snapshot, &overview))
            (overview.failing_table())
            (overview.running_table())
            (overview.overdue_table())
            (overview.other_table())
            (overview.earlier_failures_table())
            (overview.orgs_table())
        }
        footer {
            p {
                "sfexport " (env!("CARGO_PKG_VERSION")) ", up since " (time(stats.started, &overview.timezone)) ". "
                "As of " (time(snapshot.now, &overview.timezone)) ". "
                "This page reloads every " (REFRESH_SECONDS) " seconds."
            }
        }
    };
    let counts: Vec<_> = counts.iter().map(|(count, _)| count.as_str()).collect();
    document(&format!("{} – sfexport", counts.join(", ")), REFRESH_SECONDS, &body)
}

/// A job, and how it stands.
pub(super) struct Standing<'a> {
    pub(super) key: &'a ExportKey,
    pub(super) job: &'a JobRuns,
    pub(super) agenda: Option<&'a JobSnapshot>,
    pub(super) running: Option<&'a Running>,
}

impl<'a> Standing<'a> {
    /// Since when a run has been due that has not started.
    fn due_since(&self, now: Timestamp) -> Option<Timestamp> {
        let agenda = self.agenda.filter(|_| self.running.is_none())?;
        // The next run is past only while the daemon itself is held up.
        [agenda.may_start, agenda.next].into_iter().flatten().min().filter(|due| *due <= now)
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        self.due_since(now).is_some_and(|due| now.duration_since(due).unsigned_abs() > ON_TIME)
    }

    /// The last run, if it failed.
    fn failure(&self) -> Option<&'a PastRun> {
        self.job.last_of_all().filter(|run| run.status == RunStatus::Failed)
    }

    /// When it runs next, or why it does not.
    pub(super) fn next_run(&self, now: Timestamp) -> Markup {
        let (job, agenda) = (self.job, self.agenda);
        let again = agenda.and_then(|agenda| agenda.may_start);
        let next = agenda.and_then(|agenda| agenda.next);
        html! {
            @if self.running.is_some() {
                b.run { "running now" }
                @if let Some(next) = next {
                    small { "then " (time(next, &job.timezone)) }
                }
            } @else if let Some(due) = self.due_since(now) {
                b.late { "due" } " since " (time_and_distance(due, &job.timezone, now))
            } @else if let Some(again) = again {
                (time_and_distance(again, &job.timezone, now))
                (second_line("another attempt"))
            } @else if let Some(next) = next {
                (time_and_distance(next, &job.timezone, now))
            } @else if !job.enabled {
                span.soft { "disabled" }
            } @else if job.schedule.is_none() {
                span.soft { "no schedule" }
            } @else {
                span.soft { "never" }
            }
        }
    }
}

/// The jobs in the groups that the page shows.
struct Overview<'a> {
    runs: &'a Runs,
    now: Timestamp,
    /// The zone of times that belong to no job.
    timezone: TimeZone,
    /// The last failure first.
    failing: Vec<(Standing<'a>, &'a PastRun)>,
    /// The longest overdue first.
    overdue: Vec<Standing<'a>>,
    /// By name.
    others: Vec<Standing<'a>>,
}

impl<'a> Overview<'a> {
    fn new(runs: &'a Runs, snapshot: &'a Snapshot) -> Self {
        let now = snapshot.now;
        let running: HashMap<&ExportKey, &Running> =
            runs.running.values().map(|run| (&run.job, run)).collect();
        let mut overview = Self {
            runs,
            now,
            timezone: common_timezone(runs),
            failing: Vec::new(),
            overdue: Vec::new(),
            others: Vec::new(),
        };
        for (key, job) in &runs.jobs {
            let running = running.get(key).copied();
            let standing = Standing { key, job, agenda: snapshot.job(key), running };
            if let Some(run) = standing.failure() {
                overview.failing.push((standing, run));
            } else if standing.is_overdue(now) {
                overview.overdue.push(standing);
            } else if running.is_none() {
                overview.others.push(standing);
            }
        }
        overview.failing.sort_by_key(|(_, run)| std::cmp::Reverse(run.ended));
        overview.overdue.sort_by_key(|standing| standing.due_since(now));
        overview
    }

    /// `2 failing, 1 running, 12 jobs`: what an operator looks for first. Each with the class of its colour.
    fn counts(&self) -> Vec<(String, &'static str)> {
        let (failing, overdue) = (self.failing.len(), self.overdue.len());
        let mut counts = Vec::new();
        for (count, what, class) in [
            (failing, "failing", "bad"),
            (overdue, "overdue", "late"),
            (self.runs.running.len(), "running", "run"),
        ] {
            if count > 0 {
                counts.push((format!("{} {what}", human::number(count as u64)), class));
            }
        }
        counts.push((human::counted(self.runs.jobs.len() as u64, "job"), ""));
        if failing + overdue == 0 && !self.runs.jobs.is_empty() {
            counts.push(("none failing".to_owned(), "ok"));
        }
        counts
    }

    fn failing_table(&self) -> Markup {
        const COLUMNS: [Column; 4] =
            [("Job", "name"), ("Failed", "time"), ("Message", "message"), ("Next run", "time")];
        let rows = self.failing.iter().map(|(standing, run)| {
            let timezone = &standing.job.timezone;
            [
                self.name_of(standing),
                html! {
                    (time_and_distance(run.ended, timezone, self.now))
                    @match standing.job.last_success_of_all() {
                        Some(success) => small { "last success " (time(success, timezone)) },
                        None => small { "no success yet" },
                    }
                },
                short_message(run),
                standing.next_run(self.now),
            ]
        });
        section("Failing", self.failing.len(), || table("Failing jobs", COLUMNS, rows))
    }

    fn running_table(&self) -> Markup {
        const COLUMNS: [Column; 3] = [("Job", "name"), ("Running for", "time"), ("Progress", "message")];
        let mut running: Vec<&Running> = self.runs.running.values().collect();
        running.sort_by(|a, b| (a.since, &a.job).cmp(&(b.since, &b.job)));
        let count = running.len();
        let rows = running.into_iter().map(|run| {
            // A job that is gone from the configuration has no page.
            let name = match self.runs.jobs.contains_key(&run.job) {
                true => job_link(&run.job),
                false => html! { (run.job.job()) },
            };
            [name, html! { (human::duration(self.now.duration_since(run.since))) }, progress(run)]
        });
        section("Running", count, || table("Running jobs", COLUMNS, rows))
    }

    fn overdue_table(&self) -> Markup {
        const COLUMNS: [Column; 3] = [("Job", "name"), ("Due", "time"), ("Last run", "time")];
        let rows = self
            .overdue
            .iter()
            .map(|standing| [self.name_of(standing), standing.next_run(self.now), self.last_run(standing)]);
        section("Overdue", self.overdue.len(), || {
            html! {
                p.soft {
                    "These runs are due but have not started. " code { "max_concurrent_runs" }
                    " limits how many run at once. If none is running, look into the daemon's log."
                }
                (table("Overdue jobs", COLUMNS, rows))
            }
        })
    }

    fn other_table(&self) -> Markup {
        const COLUMNS: [Column; 6] = [
            ("Job", "name"),
            ("Last run", "time"),
            ("Records", "number"),
            ("Took", "number"),
            ("Next run", "time"),
            ("Schedule", "schedule"),
        ];
        let rows = self.others.iter().map(|standing| {
            let last = standing.job.last_of_all();
            [
                self.name_of(standing),
                self.last_run(standing),
                html! {
                    (last.map(records).unwrap_or_default())
                    @if let Some(set) = last.and_then(|run| run.set.as_ref()) { (second_line(&set.in_words())) }
                },
                html! { (last.map(took).unwrap_or_default()) },
                standing.next_run(self.now),
                schedule(standing.job),
            ]
        });
        let are_all = self.others.len() == self.runs.jobs.len();
        let heading = if are_all { "Jobs" } else { "Other jobs" };
        section(heading, self.others.len(), || table(heading, COLUMNS, rows))
    }

    /// The job's name and, if there are several, its org's.
    fn name_of(&self, standing: &Standing<'_>) -> Markup {
        html! {
            (job_link(standing.key))
            @if self.runs.orgs.len() > 1 {
                (second_line(&format!("org {}", standing.key.org())))
            }
        }
    }

    fn last_run(&self, standing: &Standing<'_>) -> Markup {
        let job = standing.job;
        html! {
            @match job.last_of_all() {
                Some(run) => { (result(run)) " " (time_and_distance(run.ended, &job.timezone, self.now)) },
                None => span.soft { "never" },
            }
            // What was not run since.
            @if let Some(run) = job.recent.front().filter(|run| !run.status.has_run()) {
                small { (run.status.as_str()) " " (time(run.scheduled.unwrap_or(run.ended), &job.timezone)) }
            }
        }
    }

    /// The failures that a job has recovered from.
    fn earlier_failures_table(&self) -> Markup {
        const COLUMNS: [Column; 3] = [("Job", "name"), ("Failed", "time"), ("Message", "message")];
        let failures = self.runs.failures.iter().filter_map(|(key, run)| {
            let job = self.runs.jobs.get(key)?;
            let has_recovered = job.last_of_all().is_some_and(|last| last.status != RunStatus::Failed);
            has_recovered.then_some((key, job, run))
        });
        let failures: Vec<_> = failures.collect();
        let count = failures.len();
        let rows = failures.into_iter().map(|(key, job, run)| {
            [job_link(key), time_and_distance(run.ended, &job.timezone, self.now), short_message(run)]
        });
        section("Earlier failures", count, || table("Earlier failures", COLUMNS, rows))
    }

    fn orgs_table(&self) -> Markup {
        const COLUMNS: [Column; 3] = [("Org", "name"), ("Requests used", "number"), ("Allowed", "number")];
        let limits: Vec<_> =
            self.runs.orgs.iter().filter_map(|(org, traffic)| Some((org, traffic.api_limit?))).collect();
        let count = limits.len();
        let rows = limits.into_iter().map(|(org, limit)| {
            let percent = (limit.used.saturating_mul(100)).checked_div(limit.allowed);
            [
                html! { (org) },
                html! {
                    (human::number(limit.used))
                    @if let Some(percent) = percent {
                        " ("
                        span class=(if percent >= SCARCE_PERCENT { "late" } else { "" }) {
                            @if percent == 0 && limit.used > 0 { "<1%" } @else { (percent) "%" }
                        }
                        ")"
                    }
                },
                html! { (human::number(limit.allowed)) },
            ]
        });
        section("API limits", count, || {
            html! {
                p.soft { "API requests of all clients of the org in 24 hours, as of its last response to sfexport." }
                (table("API limits", COLUMNS, rows))
            }
        })
    }
}

/// A heading and what is below it, if there is anything.
fn section(heading: &str, count: usize, content: impl FnOnce() -> Markup) -> Markup {
    html! {
        @if count > 0 {
            section { h2 { (heading) } (content()) }
        }
    }
}

/// The zone of all jobs, if they share one; else UTC.
fn common_timezone(runs: &Runs) -> TimeZone {
    let mut timezones = runs.jobs.values().map(|job| &job.timezone);
    match timezones.next() {
        Some(first) if timezones.all(|timezone| timezone == first) => first.clone(),
        _ => TimeZone::UTC,
    }
}

fn alarms(snapshot: &Snapshot, overview: &Overview<'_>) -> Markup {
    html! {
        @if snapshot.stopping {
            div.alarm role="alert" { p { b { "The daemon is stopping. No further run starts." } } }
        }
        @if let Some(why) = nothing_to_do(overview.runs) {
            div.alarm role="alert" { p { b { "The daemon has nothing to do: " (why) "." } } }
        }
        @if let Some(failure) = &snapshot.reading.refused {
            div.alarm role="alert" {
                p {
                    b { "The configuration has changed and is not valid." }
                    " The one loaded at " (time(snapshot.reading.taken, &overview.timezone)) " stays in effect."
                }
                // Of others' readers: what it shows of a query stays on this machine.
                @let what = plain_lines(failure.redacted.as_deref().unwrap_or(&failure.what));
                (message(Some(&clipped(&what, 10 * MAX_ERROR_CHARS)), failure.hint.as_deref()))
            }
        }
    }
}

/// Why no run will ever start, if none will.
fn nothing_to_do(runs: &Runs) -> Option<&'static str> {
    let is_scheduled = |job: &JobRuns| job.enabled && job.schedule.is_some();
    match runs.jobs.len() {
        0 => Some("there is no job"),
        _ if runs.jobs.values().any(is_scheduled) => None,
        _ => Some("no job is enabled and has a schedule"),
    }
}

fn short_message(run: &PastRun) -> Markup {
    let error = run.error.as_deref().map(|error| clipped(error, MAX_ERROR_CHARS));
    message(error.as_deref(), run.hint.as_deref())
}

/// What a run is doing.
pub(super) fn progress(run: &Running) -> Markup {
    html! {
        @match &run.phase {
            Phase::LoggingIn => "logging in",
            Phase::Querying => "waiting for the first page",
            Phase::Waiting { fault } => { "waiting to try again after:" div.what { (fault) } },
            Phase::Writing { records, total, bytes } => {
                @if let Some(total) = total {
                    @let label = format!("{} of {}", human::number(*records), human::counted(*total, "record"));
                    progress value=(records) max=((*total).max(1)) aria-label=(label) {}
                    small { (label) ", " (human::bytes(*bytes)) }
                } @else {
                    // The org does not count them.
                    small { (human::counted(*records, "record")) ", " (human::bytes(*bytes)) }
                }
            }
        }
    }
}

pub(super) fn took(run: &PastRun) -> String {
    if run.status.has_run() { human::duration(run.ended.duration_since(run.started)) } else { String::new() }
}

pub(super) fn schedule(job: &JobRuns) -> Markup {
    html! {
        @match &job.schedule {
            Some(schedule) => { code { (schedule) } (second_line(zone_name(&job.timezone))) },
            None => span.soft { "none" },
        }
    }
}

pub(super) fn zone_name(timezone: &TimeZone) -> &str {
    timezone.iana_name().unwrap_or("UTC")
}

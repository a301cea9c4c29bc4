//! The state of a job in one org: whether it is failing, running or overdue, and the table cells that every page shows.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::html::{result, second_line, time, time_and_distance};
use super::run_history::PastRun;
use super::run_stats::{JobRuns, Phase, Running};
use crate::agenda::{JobSnapshot, ON_TIME};
use crate::human;
use crate::job::ExportKey;
use crate::report::RunStatus;
use crate::state::JobMark;

/// A job in one org, and how it stands.
pub(super) struct Standing<'a> {
    pub(super) key: &'a ExportKey,
    pub(super) job: &'a JobRuns,
    pub(super) agenda: Option<&'a JobSnapshot>,
    pub(super) running: Option<&'a Running>,
    /// How far it has come, if it is incremental and has a mark.
    pub(super) mark: Option<&'a JobMark>,
}

impl<'a> Standing<'a> {
    /// Since when a run has been due that has not started.
    pub(super) fn due_since(&self, now: Timestamp) -> Option<Timestamp> {
        let agenda = self.agenda.filter(|_| self.running.is_none())?;
        // The next run is past only while the daemon itself is held up.
        [agenda.may_start, agenda.next].into_iter().flatten().min().filter(|due| *due <= now)
    }

    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.due_since(now).is_some_and(|due| now.duration_since(due).unsigned_abs() > ON_TIME)
    }

    /// The last run, if it failed.
    pub(super) fn failure(&self) -> Option<&'a PastRun> {
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

    /// How and when it ran last, and whether a run was left out since.
    pub(super) fn last_run(&self, now: Timestamp) -> Markup {
        let job = self.job;
        html! {
            @match job.last_of_all() {
                Some(run) => { (result(run)) " " (time_and_distance(run.ended, &job.timezone, now)) },
                None => span.soft { "never" },
            }
            @if let Some(run) = job.recent.front().filter(|run| !run.status.has_run()) {
                small { (run.status.as_str()) " " (time(run.scheduled.unwrap_or(run.ended), &job.timezone)) }
            }
        }
    }
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

/// `15 min behind the org`: how far an incremental export has come.
pub(super) fn behind(mark: &JobMark, now: Timestamp) -> String {
    match Duration::try_from(mark.behind(now)) {
        Ok(behind) => format!("{} behind the org", human::rough(behind)),
        Err(_) => "ahead of the org's clock".to_owned(),
    }
}

/// How long a run took; nothing if it did not run.
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

//! The pages of several jobs: the status page, and the lists of the orgs of one job and of the jobs of one org. What
//! their tables show is left to `overview`.

use maud::{Markup, html};

use super::Snapshot;
use super::html::{document, job_name_link, message, org_link, time};
use super::overview::{Overview, Scope};
use super::run_history::clipped;
use super::run_stats::{JobRuns, RunStats, Runs};
use crate::error::plain_lines;
use crate::human;
use crate::job::JobName;
use crate::org::OrgName;

/// After how many seconds the page reloads itself.
const REFRESH_SECONDS: u32 = 10;

/// The most characters that are shown of why a configuration is not valid.
const MAX_REFUSAL_CHARS: usize = 4_000;

/// The status page as of a snapshot.
#[must_use]
pub fn html(stats: &RunStats, snapshot: &Snapshot) -> String {
    let runs = stats.runs();
    let overview = Overview::new(&runs, snapshot, Scope::All);
    let counts = overview.counts();
    let body = html! {
        header {
            h1 { "sfexport" }
            (counts_line(&counts))
        }
        main {
            (alarms(snapshot, &overview))
            (overview.urgent_tables())
            @if overview.has_several_orgs() {
                (overview.orgs_table())
                (overview.other_table())
                (overview.earlier_failures_table())
            } @else {
                (overview.other_table())
                (overview.earlier_failures_table())
                (overview.limits_table())
            }
        }
        footer {
            p {
                "sfexport " (env!("CARGO_PKG_VERSION")) ", up since " (time(stats.started, overview.timezone())) ". "
                (as_of(snapshot, &overview))
            }
        }
    };
    document(&format!("{} – sfexport", in_words(&counts)), REFRESH_SECONDS, &body)
}

/// The page of a job that exports from several orgs; `None` if it does not.
pub(super) fn of_job(stats: &RunStats, snapshot: &Snapshot, job: &JobName) -> Option<String> {
    let runs = stats.runs();
    let overview = Overview::new(&runs, snapshot, Scope::Job(job));
    (overview.len() > 1).then(|| {
        let more = html! { (overview.other_table()) (overview.earlier_failures_table()) };
        of_scope(snapshot, &overview, job.as_str(), &more)
    })
}

/// The page of an org; `None` if no job exports from it.
pub(super) fn of_org(stats: &RunStats, snapshot: &Snapshot, org: &OrgName) -> Option<String> {
    let runs = stats.runs();
    let overview = Overview::new(&runs, snapshot, Scope::Org(org));
    (overview.len() > 0).then(|| {
        let more = html! {
            (overview.other_table()) (overview.earlier_failures_table()) (overview.limits_table())
        };
        of_scope(snapshot, &overview, &format!("org {org}"), &more)
    })
}

fn of_scope(snapshot: &Snapshot, overview: &Overview<'_>, name: &str, more: &Markup) -> String {
    let counts = overview.counts();
    let body = html! {
        header {
            nav { a href="/" { "All jobs" } }
            h1 { (name) }
            (counts_line(&counts))
        }
        main { (overview.urgent_tables()) (more) }
        footer { p { (as_of(snapshot, overview)) } }
    };
    document(&format!("{name}: {} – sfexport", in_words(&counts)), REFRESH_SECONDS, &body)
}

/// The links above the page of a job in one org, if there is something to choose from.
pub(super) fn links_of(runs: &Runs, job: &JobName, org: &OrgName) -> Markup {
    html! {
        a href="/" { "All jobs" }
        @if runs.orgs_of(job) > 1 { " · " (job_name_link(job)) " in all orgs" }
        @if runs.orgs.len() > 1 { " · all jobs of org " (org_link(org.as_str())) }
    }
}

/// `2 failing, 1 running, 12 jobs`: what an operator looks for first.
fn counts_line(counts: &[(String, &'static str)]) -> Markup {
    html! {
        p.counts {
            @for (at, (count, class)) in counts.iter().enumerate() {
                @if at > 0 { ", " }
                span class=(class) { (count) }
            }
        }
    }
}

fn in_words(counts: &[(String, &'static str)]) -> String {
    counts.iter().map(|(count, _)| count.as_str()).collect::<Vec<_>>().join(", ")
}

fn as_of(snapshot: &Snapshot, overview: &Overview<'_>) -> Markup {
    html! {
        "As of " (time(snapshot.now, overview.timezone())) ". "
        "This page reloads every " (REFRESH_SECONDS) " seconds."
    }
}

fn alarms(snapshot: &Snapshot, overview: &Overview<'_>) -> Markup {
    html! {
        @if snapshot.stopping {
            div.alarm role="alert" { p { b { "The daemon is stopping. No further run starts." } } }
        }
        @if let Some(why) = nothing_to_do(overview.runs()) {
            div.alarm role="alert" { p { b { "The daemon has nothing to do: " (why) "." } } }
        }
        @if let Some(failure) = &snapshot.reading.refused {
            div.alarm role="alert" {
                p {
                    b { "The configuration has changed and is not valid." }
                    " The one loaded at " (time(snapshot.reading.taken, overview.timezone())) " stays in effect."
                }
                // The page has no login, so what the message quotes of a query is left out.
                // It has its own hints, and the failure's is about the text that is left out.
                @let hint = failure.hint.as_deref().filter(|_| failure.redacted.is_none());
                @let what = plain_lines(failure.redacted.as_deref().unwrap_or(&failure.what));
                (message(Some(&clipped(&what, MAX_REFUSAL_CHARS)), hint))
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

/// `300 jobs`, or `300 jobs in 40 orgs` if jobs export from several.
pub(super) fn jobs_and_orgs(jobs: usize, pairs: usize, orgs: usize) -> String {
    let counted = human::counted(jobs as u64, "job");
    if pairs == jobs { counted } else { format!("{counted} in {}", human::counted(orgs as u64, "org")) }
}

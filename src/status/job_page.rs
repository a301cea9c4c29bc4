//! The page of a job in one org: what it exports, when it runs next, and its last runs; and the page for a job or an org
//! that does not exist.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::Snapshot;
use super::html::{Column, document, message, records, result, second_line, table, time, time_and_distance};
use super::page::links_of;
use super::run_history::{MAX_OBJECTS, PastRun, PastSet, clipped};
use super::run_stats::{JobRuns, OrgTraffic, RunStats};
use super::standing::{Standing, behind, progress, took, zone_name};
use crate::error::{plain, plain_lines};
use crate::human;
use crate::job::{Api, ApiChoice, CatchUp, Job, Overlap, Source};
use crate::report::RunStatus;
use crate::soql::{Query, without_literals};

/// After how many seconds the page reloads itself. It is read for longer than the overview.
const REFRESH_SECONDS: u32 = 30;

/// The most characters of an unknown job's name that are shown.
const MAX_NAME_CHARS: usize = 100;

/// The most characters of a query, or of an object's fields, that are shown.
const MAX_SOURCE_CHARS: usize = 20_000;

/// The page of a job in one org; `None` if there is no such job.
pub(super) fn html(stats: &RunStats, snapshot: &Snapshot, job: &Job) -> Option<String> {
    let runs = stats.runs();
    let (name, key) = (job.name.as_str(), job.job_key());
    let job_runs = runs.jobs.get(&key)?;
    let running = runs.running.values().find(|run| run.job == key);
    let (agenda, mark) = (snapshot.job(&key), snapshot.mark(&key));
    let standing = Standing { key: &key, job: job_runs, agenda, running, mark };
    let state = state(&standing);
    let has_more_orgs = runs.orgs_of(&job.name) > 1;
    let title = if has_more_orgs { format!("{name} ({})", job.org) } else { name.to_owned() };
    // As `history` names it.
    let asked = if has_more_orgs { format!("{name} --org {}", job.org) } else { name.to_owned() };
    let body = html! {
        header {
            nav { (links_of(&runs, &job.name, &job.org)) }
            h1 { (title) }
            p.counts { span class=(state_class(&standing)) { (state) } }
        }
        main {
            @if let Some(run) = standing.running {
                section {
                    h2 { "Running" }
                    p {
                        "Since " (time(run.since, &job_runs.timezone)) ", for "
                        (human::duration(snapshot.now.duration_since(run.since))) ":"
                    }
                    (progress(run))
                }
            }
            (facts(&standing, job, runs.orgs.get(job.org.as_str()), snapshot.now))
            @if let Some(set) = job_runs.last_of_all().and_then(|run| run.set.as_ref()) {
                (objects(&asked, set))
            }
            (source(job))
            section { h2 { "Last runs" } (past_runs(&asked, job_runs, runs.max_recent(), snapshot.now)) }
        }
        footer {
            p {
                "As of " (time(snapshot.now, &job_runs.timezone)) ". "
                "This page reloads every " (REFRESH_SECONDS) " seconds."
            }
        }
    };
    Some(document(&format!("{title}: {state} – sfexport"), REFRESH_SECONDS, &body))
}

/// The page for the name of a job that does not exist, in this org if one is named.
pub(super) fn unknown(name: &str, org: Option<&str>) -> String {
    let shown = |name: &str| clipped(&plain(name), MAX_NAME_CHARS);
    let (name, org) = (shown(name), org.map(shown));
    let body = html! {
        header {
            nav { a href="/" { "All jobs" } }
            h1 { "No such job" }
        }
        main {
            p {
                "The running daemon has no job named \"" bdi { (name) } "\""
                @if let Some(org) = org { " that exports from the org \"" bdi { (org) } "\"" }
                ". "
                "If its file is new, the daemon loads it when it receives SIGHUP."
            }
        }
    };
    document("No such job – sfexport", REFRESH_SECONDS, &body)
}

/// The page for the name of an org from which no job exports.
pub(super) fn unknown_org(org: &str) -> String {
    let org = clipped(&plain(org), MAX_NAME_CHARS);
    let body = html! {
        header {
            nav { a href="/" { "All jobs" } }
            h1 { "No such org" }
        }
        main {
            p { "No job of the running daemon exports from an org named \"" bdi { (org) } "\"." }
        }
    };
    document("No such org – sfexport", REFRESH_SECONDS, &body)
}

/// How the job stands, in a word or two.
fn state(standing: &Standing<'_>) -> String {
    let job = standing.job;
    let last = match job.last_of_all().map(|run| run.status) {
        None if standing.running.is_some() => "no run before",
        None => "has not run yet",
        Some(RunStatus::Ok) => "last run succeeded",
        Some(RunStatus::Failed) => "last run failed",
        Some(RunStatus::Cancelled) => "last run was cancelled",
        Some(_) => "last run has an unknown result",
    };
    let now = if standing.running.is_some() { "running, " } else { "" };
    let disabled = if job.enabled { "" } else { "disabled, " };
    format!("{disabled}{now}{last}")
}

fn state_class(standing: &Standing<'_>) -> &'static str {
    match standing.job.last_of_all().map(|run| run.status) {
        Some(RunStatus::Failed) => "bad",
        Some(RunStatus::Ok) => "ok",
        _ => "",
    }
}

fn facts(standing: &Standing<'_>, job: &Job, org: Option<&OrgTraffic>, now: Timestamp) -> Markup {
    let timezone = &job.timezone;
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl {
            (fact("Next run", standing.next_run(now)))
            (fact("Schedule", html! {
                @match &job.schedule {
                    Some(schedule) => {
                        @match schedule.in_words() {
                            Some(words) => { (words) (second_line(zone_name(timezone))) small { code { (schedule.text()) } } }
                            None => { code { (schedule.text()) } (second_line(zone_name(timezone))) }
                        }
                    },
                    None => span.soft { "none" },
                }
                @for rule in rules(job) {
                    (second_line(&rule))
                }
            }))
            (fact("Last success", match standing.job.last_success_of_all() {
                Some(success) => time_and_distance(success, timezone, now),
                None => html! { span.soft { "none yet" } },
            }))
            @if job.incremental.is_some() {
                (fact("Mark", mark(standing, timezone, now)))
            }
            (fact("Output", html! {
                code { (plain(job.output.text())) } (second_line(job.format.title()))
            }))
            (fact("API", api_choice(job)))
            (fact("Org", html! {
                (job.org)
                @if let Some(limit) = org.and_then(|org| org.api_limit) {
                    (second_line(&format!(
                        "{} of {} API requests used in 24 hours",
                        human::number(limit.used),
                        human::number(limit.allowed)
                    )))
                }
            }))
        }
    }
}

/// How far an incremental export has come.
fn mark(standing: &Standing<'_>, timezone: &TimeZone, now: Timestamp) -> Markup {
    html! {
        @match standing.mark {
            Some(mark) => {
                (time(mark.mark, timezone))
                (second_line(&behind(mark, now)))
                @if let Some(object) = mark.object.as_ref().filter(|_| mark.objects > 1) {
                    (second_line(&format!("{object}, the furthest behind of {} objects", mark.objects)))
                }
                @if !mark.deletes_complete {
                    small.late { "some deletes since the last full run are not reported" }
                }
            },
            None => span.soft { "none yet" },
        }
    }
}

/// Which API the job asks for.
fn api_choice(job: &Job) -> Markup {
    let from_calls = human::counted(job.bulk.from_calls, "call");
    html! {
        @match job.api {
            ApiChoice::Auto => {
                "REST or Bulk API 2.0"
                (second_line(&format!("Bulk for results of {from_calls} or more by REST, if it takes the query")))
            },
            ApiChoice::Rest => { (Api::Rest.title()) },
            ApiChoice::Bulk => { (Api::Bulk.title()) },
        }
    }
}

/// What the daemon does about runs that are late, overlap or fail.
fn rules(job: &Job) -> Vec<String> {
    let policy = &job.policy;
    let mut rules = Vec::new();
    if job.schedule.is_none() {
        return rules;
    }
    rules.push(match policy.retries {
        0 => "no retry after a failure".to_owned(),
        retries => {
            let retries =
                if retries == 1 { "1 retry".to_owned() } else { format!("up to {retries} retries") };
            format!("{retries}, {} after a failure", human::rough(policy.retry_after))
        }
    });
    match policy.catch_up {
        CatchUp::None => rules.push("missed runs are not caught up".to_owned()),
        CatchUp::Latest => {}
        CatchUp::All => rules.push("every missed run is caught up".to_owned()),
    }
    match policy.overlap {
        Overlap::Skip => {}
        Overlap::Queue => rules.push("a run that is due while the job runs waits for its end".to_owned()),
        Overlap::Replace => rules.push("a run that is due while the job runs replaces it".to_owned()),
    }
    rules
}

/// What it exports, without the values in it.
fn source(job: &Job) -> Markup {
    let (heading, text) = match &job.source {
        Source::Soql(_) => ("Query", job.query().map(Query::without_literals).unwrap_or_default()),
        Source::Object(source) => {
            let condition = source.condition.as_deref().map(without_literals);
            let condition = condition.map(|condition| format!("\nwhere:  {condition}")).unwrap_or_default();
            ("Object", format!("object: {}\nfields: {}{condition}", source.object, source.fields))
        }
        Source::Objects(set) => ("Objects", format!("objects: {set}")),
    };
    html! {
        section {
            h2 { (heading) }
            pre { code { (clipped(&plain_lines(&text), MAX_SOURCE_CHARS)) } }
            @if text.contains('…') {
                p.soft { "Values are left out here." }
            }
        }
    }
}

/// The objects that the last run of a set did not export, the failed ones first.
fn objects(asked: &str, set: &PastSet) -> Markup {
    const COLUMNS: [Column; 3] = [("Object", "name"), ("Result", "result"), ("Message", "message")];
    let failures = set.failures.iter().map(|object| (object, "failed", "bad"));
    let skips = set.skips.iter().map(|object| (object, "skipped", "soft"));
    let rows = failures.chain(skips).map(|(object, result, class)| {
        [html! { (object.name) }, html! { b class=(class) { (result) } }, message(Some(&object.reason), None)]
    });
    let are_more = set.failed > MAX_OBJECTS as u64 || set.skipped > MAX_OBJECTS as u64;
    html! {
        section {
            h2 { "Objects" }
            p { "In the last run: " (set.in_words()) "." }
            @if set.failed + set.skipped > 0 {
                (table("Objects that were not exported", COLUMNS, rows))
            }
            @if are_more {
                p.soft { "These are the first " (MAX_OBJECTS) " of each kind." }
            }
            p.soft {
                code { "sfexport history " (asked) " --object NAME" } " shows the runs of one object."
            }
        }
    }
}

fn past_runs(asked: &str, job: &JobRuns, max_recent: usize, now: Timestamp) -> Markup {
    const COLUMNS: [Column; 7] = [
        ("Started", "time"),
        ("Result", "result"),
        ("Took", "number"),
        ("Records", "number"),
        ("Size", "number"),
        ("Requests", "number"),
        ("Message", "message"),
    ];
    if job.recent.is_empty() {
        return html! { p.soft { "None yet." } };
    }
    let rows = job.recent.iter().map(|run| past_run(run, &job.timezone, now));
    html! {
        (table("Last runs", COLUMNS, rows))
        @if job.recent.len() == max_recent {
            p.soft {
                "These are the last " (max_recent) ". "
                code { "sfexport history " (asked) } " shows more, with whole messages."
            }
        }
    }
}

fn past_run(run: &PastRun, timezone: &TimeZone, now: Timestamp) -> [Markup; 7] {
    // What was not run did not start either.
    let when = if run.status.has_run() { run.started } else { run.scheduled.unwrap_or(run.ended) };
    let size = if run.bytes > 0 { human::bytes(run.bytes) } else { String::new() };
    [
        html! {
            (time_and_distance(when, timezone, now))
            @if let Some(kind) = run.kind { (second_line(&format!("{kind} export"))) }
        },
        html! {
            (result(run))
            @if run.exit_status != 0 && run.status.has_run() {
                (second_line(&format!("exit status {}", run.exit_status)))
            }
        },
        html! { (took(run)) },
        html! {
            (records(run))
            @if let Some(set) = &run.set { (second_line(&set.in_words())) }
            @if let Some(note) = &run.count_note { (second_line(note)) }
        },
        html! { (size) },
        html! {
            @if run.status.has_run() { (human::number(run.api_calls)) }
            @if let Some(api) = run.api { (second_line(api.title())) }
        },
        html! {
            (message(run.error.as_deref(), run.hint.as_deref()))
            @for warning in &run.warnings {
                p.warning { b.late { "warning: " } (warning) }
            }
            @if run.more_warnings > 0 {
                p.soft { "and " (human::counted(run.more_warnings as u64, "more warning")) }
            }
        },
    ]
}

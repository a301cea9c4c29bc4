//! The status page for people: one HTML document without scripts, which reloads itself. The template escapes all text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Snapshot;
use super::run_stats::{JobRuns, Phase, RunStats, Running, Runs, seconds};
use crate::error::{plain, plain_lines};
use crate::report::{RunReport, RunStatus};

/// After how many seconds the page reloads itself.
const REFRESH_SECONDS: u32 = 10;

const STYLE: &str = include_str!("page.css");

/// The page as of a snapshot.
#[must_use]
pub fn html(stats: &RunStats, snapshot: &Snapshot) -> String {
    let runs = stats.runs();
    let counts = counts(&runs);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content=(REFRESH_SECONDS);
                meta name="viewport" content="width=device-width";
                // In the title, so a tab in the background shows it too.
                title { "sfexport: " (counts) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (summary(stats, snapshot, &runs, &counts))
                (alarms(snapshot, &runs))
                (running_table(snapshot, &runs))
                (jobs_table(snapshot, &runs))
                (failures_table(snapshot, &runs))
            }
        }
    };
    page.into_string()
}

/// `12 jobs, 1 running, 2 failing`: what an operator looks for first.
fn counts(runs: &Runs) -> String {
    let failing = runs.jobs.values().filter(|job| job.is_failing()).count();
    let jobs = if runs.jobs.len() == 1 { "job" } else { "jobs" };
    format!("{} {jobs}, {} running, {failing} failing", runs.jobs.len(), runs.running.len())
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

fn summary(stats: &RunStats, snapshot: &Snapshot, runs: &Runs, counts: &str) -> Markup {
    let limits = runs.orgs.iter().filter_map(|(org, traffic)| Some((org, traffic.api_limit?)));
    html! {
        h1 { "sfexport" }
        p { (counts) }
        p.soft { (env!("CARGO_PKG_VERSION")) " · up since " (utc(stats.started)) }
        p.soft { "as of " (utc(snapshot.now)) ", reloads every " (REFRESH_SECONDS) " s" }
        @for (org, limit) in limits {
            p.soft {
                "org " (org) ": " (grouped(limit.used)) " of " (grouped(limit.allowed))
                " API requests used in 24 hours"
            }
        }
    }
}

fn alarms(snapshot: &Snapshot, runs: &Runs) -> Markup {
    html! {
        @if snapshot.stopping {
            div.alarm { b { "Stopping: no further run starts." } }
        }
        @if let Some(why) = nothing_to_do(runs) {
            div.alarm { b { "The daemon has nothing to do: " (why) "." } }
        }
        @if let Some(failure) = &snapshot.reading.refused {
            div.alarm {
                b {
                    "The configuration has changed and is not valid. The one of "
                    (utc(snapshot.reading.taken)) " stays in effect."
                }
                p.what { (failure.what) }
                @if let Some(hint) = &failure.hint {
                    p.soft { (hint) }
                }
            }
        }
    }
}

/// A column's heading, and the class of its cells.
type Column = (&'static str, &'static str);

fn table<const N: usize>(columns: [Column; N], rows: impl Iterator<Item = [Markup; N]>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    @for (heading, class) in columns {
                        th class=(class) { (heading) }
                    }
                }
            }
            tbody {
                @for row in rows {
                    tr {
                        @for ((heading, class), cell) in columns.iter().zip(row) {
                            td class=(class) data-label=(heading) { (cell) }
                        }
                    }
                }
            }
        }
    }
}

fn running_table(snapshot: &Snapshot, runs: &Runs) -> Markup {
    const COLUMNS: [Column; 4] = [("job", "name"), ("for", "instant"), ("doing", ""), ("progress", "wide")];
    if runs.running.is_empty() {
        return Markup::default();
    }
    let mut running: Vec<&Running> = runs.running.values().collect();
    running.sort_by(|a, b| (a.since, &a.job).cmp(&(b.since, &b.job)));
    let rows = running.into_iter().map(|run| {
        [
            html! { b.running { (run.job) } },
            html! { (length(snapshot.now.duration_since(run.since).as_secs_f64())) },
            phase(&run.phase),
            match &run.phase {
                Phase::Writing { records, total, .. } => {
                    html! { progress value=(records) max=((*total).max(1)) {} }
                }
                _ => Markup::default(),
            },
        ]
    });
    html! { h2 { "Running" } (table(COLUMNS, rows)) }
}

fn phase(phase: &Phase) -> Markup {
    html! {
        @match phase {
            Phase::LoggingIn => "logging in",
            Phase::Querying => "waiting for the first page",
            Phase::Waiting { fault } => span.what { "waiting after: " (fault) },
            Phase::Writing { records, total, bytes } => {
                (grouped(*records)) " of " (grouped(*total)) " records"
                (second_line(&size(*bytes)))
            }
        }
    }
}

fn jobs_table(snapshot: &Snapshot, runs: &Runs) -> Markup {
    const COLUMNS: [Column; 6] = [
        ("job", "name"),
        ("schedule", ""),
        ("next run", "instant"),
        ("last run", "instant"),
        ("records", "number"),
        ("took", "number"),
    ];
    let rows = runs.jobs.iter().map(|(name, job)| {
        let last = job.last.as_ref();
        [
            html! { b { (name) } (second_line(&format!("org {}", job.org))) },
            match &job.schedule {
                Some(schedule) => html! { code { (schedule) } (second_line(&zone_name(&job.timezone))) },
                None => html! { small { "none" } },
            },
            next_run(snapshot, name, job),
            match last {
                Some(report) => last_run(report, job, snapshot.now),
                None => html! { small { "never" } },
            },
            html! { (last.map(|report| grouped(report.records)).unwrap_or_default()) },
            html! { (last.map(|report| length(seconds(report))).unwrap_or_default()) },
        ]
    });
    html! { h2 { "Jobs" } (table(COLUMNS, rows)) }
}

fn next_run(snapshot: &Snapshot, name: &str, job: &JobRuns) -> Markup {
    let known = snapshot.job(name);
    let waiting = known.map_or(0, |job| job.waiting);
    let runs = if waiting == 1 { "run waits" } else { "runs wait" };
    html! {
        @match known.and_then(|job| job.next) {
            Some(next) => (timestamp(next, job, snapshot.now)),
            None if !job.enabled => small { "disabled" },
            None => small { "–" },
        }
        @if waiting > 0 {
            (second_line(&format!("{waiting} {runs}")))
        }
    }
}

fn last_run(report: &RunReport, job: &JobRuns, now: Timestamp) -> Markup {
    let class = if report.status == RunStatus::Ok { "ok" } else { "bad" };
    html! {
        b class=(class) { (report.status.as_str()) } " "
        (timestamp(report.ended, job, now))
        @if report.status != RunStatus::Ok {
            @match job.last_success {
                Some(success) => (second_line(&format!("last success {}", utc(success)))),
                None => (second_line("no success yet")),
            }
        }
    }
}

fn failures_table(snapshot: &Snapshot, runs: &Runs) -> Markup {
    const COLUMNS: [Column; 4] =
        [("job", "name"), ("when", "instant"), ("status", "number"), ("what", "wide")];
    let rows = runs.failures.iter().map(|report| {
        [
            html! { b { (report.job) } },
            html! { (utc(report.ended)) (second_line(&from_now(report.ended, snapshot.now))) },
            html! { (report.exit_status) },
            html! {
                div.what { (plain_lines(report.error_for_others().unwrap_or_default())) }
                @if let Some(hint) = &report.hint {
                    small { (plain(hint)) }
                }
            },
        ]
    });
    html! {
        h2 { "Last failures" }
        @if runs.failures.is_empty() {
            p.soft { "None in the history." }
        } @else {
            (table(COLUMNS, rows))
        }
    }
}

fn second_line(text: &str) -> Markup {
    html! { br; small { (text) } }
}

/// A timestamp in UTC; below it how far off it is, and the job's own time if its zone is another.
fn timestamp(at: Timestamp, job: &JobRuns, now: Timestamp) -> Markup {
    let distance = from_now(at, now);
    let below = if job.timezone == TimeZone::UTC {
        distance
    } else {
        let local = at.to_zoned(job.timezone.clone()).strftime("%Y-%m-%d %H:%M %:z");
        format!("{local} · {distance}")
    };
    html! { (utc(at)) (second_line(&below)) }
}

/// `in 5 min`, `5 min ago`.
fn from_now(at: Timestamp, now: Timestamp) -> String {
    let ahead = at.duration_since(now).as_secs_f64();
    if ahead > 0.0 { format!("in {}", length(ahead)) } else { format!("{} ago", length(-ahead)) }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn zone_name(timezone: &TimeZone) -> String {
    timezone.iana_name().unwrap_or("UTC").to_owned()
}

/// `850 ms`, `12 s`, `3 min`, `2 h 05 min`, `3 d`.
fn length(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0 => format!("{:.0} ms", seconds.max(0.0) * 1_000.0),
        1..=119 => format!("{whole} s"),
        120..=7_199 => format!("{} min", whole / 60),
        7_200..=172_799 => format!("{} h {:02} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d", whole / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// A number with a thin space before every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202F}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::{length, table};

    #[test]
    fn text_never_becomes_markup() {
        let hostile = "</td><script>alert('x')</script> & \"so on\"";
        let page = table([("a\"b", "c")], [[html! { (hostile) }]].into_iter()).into_string();
        assert_eq!(
            page,
            "<table><thead><tr><th class=\"c\">a&quot;b</th></tr></thead><tbody><tr>\
             <td class=\"c\" data-label=\"a&quot;b\">\
             &lt;/td&gt;&lt;script&gt;alert('x')&lt;/script&gt; &amp; &quot;so on&quot;</td></tr></tbody></table>"
        );
    }

    #[test]
    fn a_length_is_as_precise_as_it_matters() {
        let shown: Vec<_> = [-3.0, 0.85, 1.2, 119.9, 120.0, 7_200.0, 7_530.0, 200_000.0].map(length).into();
        assert_eq!(shown, ["0 ms", "850 ms", "1 s", "119 s", "2 min", "2 h 00 min", "2 h 05 min", "2 d"]);
    }
}

//! The statistics as a person reads it: one page of HTML without scripts, which loads itself again.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Snapshot;
use super::run_stats::{Doing, JobRuns, RunStats, Running, Runs, seconds};
use crate::report::{RunReport, RunStatus};

/// After how many seconds the page loads itself again.
const REFRESH: u32 = 10;

/// Two colour schemes, as the browser prefers; below 48rem, a phone's width, each row of a table is a card whose
/// cells bear their headings.
const STYLE: &str = "\
:root{color-scheme:light dark;--soft:#5d6670;--line:#8883;--ok:#1a7f37;--bad:#c62828;--run:#0b63b5}\
@media(prefers-color-scheme:dark){:root{--soft:#9aa4ae;--ok:#56c272;--bad:#ff7b72;--run:#6cb6ff}}\
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:80rem;padding:0 1rem;overflow-wrap:anywhere}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .4rem}p{margin:.2rem 0 0}\
.soft,small,th{color:var(--soft);font-size:.86em}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600}td,th{padding:.4rem 1.2rem .4rem 0;vertical-align:top}\
tr{border-bottom:1px solid var(--line)}td:last-child,th:last-child{padding-right:0}\
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.instant{white-space:nowrap}\
.name{min-width:7rem}.wide{width:56%}code,.what{font:.88em/1.5 ui-monospace,monospace}\
progress{width:100%;height:.9rem;accent-color:var(--run)}.what{white-space:pre-wrap}\
.ok{color:var(--ok)}.bad,.alarm b{color:var(--bad)}.running{color:var(--run)}\
.alarm{border:1px solid var(--bad);border-radius:.4rem;padding:.6rem .8rem;margin-top:1rem}\
@media(max-width:48rem){thead{display:none}tr{display:block;padding:.5rem 0}\
td,td:last-child{display:block;position:relative;padding:.1rem 0 .1rem 6rem;width:auto}\
td::before{content:attr(data-label);position:absolute;left:0;color:var(--soft);font-size:.86em}\
td:empty{display:none}td.number{text-align:left}.instant{white-space:normal}}";

/// The page of a snapshot.
#[must_use]
pub fn html(stats: &RunStats, snapshot: &Snapshot) -> String {
    let runs = stats.runs();
    let counts = counts(&runs);
    let mut page = Page(String::new());
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(&format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n"));
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">\n");
    // A tab in the background tells it too.
    page.element("title", "", &format!("sfexport: {counts}"));
    page.raw("\n<style>");
    page.raw(STYLE);
    page.raw("</style>\n</head>\n<body>\n");
    page.head(stats, snapshot, &runs, &counts);
    page.running(snapshot, &runs);
    page.jobs(snapshot, &runs);
    page.failures(snapshot, &runs);
    page.raw("</body>\n</html>\n");
    page.0
}

/// `12 jobs, 1 running, 2 failing`: what an operator looks for first.
fn counts(runs: &Runs) -> String {
    let failing = runs.jobs.values().filter(|job| job.is_failing()).count();
    let jobs = if runs.jobs.len() == 1 { "job" } else { "jobs" };
    format!("{} {jobs}, {} running, {failing} failing", runs.jobs.len(), runs.running.len())
}

/// Why no run will ever start, where none will.
fn nothing_to_do(runs: &Runs) -> Option<&'static str> {
    let is_scheduled = |job: &JobRuns| job.enabled && job.schedule.is_some();
    match runs.jobs.len() {
        0 => Some("there is no job"),
        _ if runs.jobs.values().any(is_scheduled) => None,
        _ => Some("no job is enabled and has a schedule"),
    }
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    /// Text, whatever is in it.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    /// Text in an element with these attributes: `<small class="x">`.
    fn element(&mut self, name: &str, attributes: &str, text: &str) {
        let _ = write!(self.0, "<{name}{attributes}>");
        self.text(text);
        let _ = write!(self.0, "</{name}>");
    }

    /// A table's beginning: the headings, and the class of each column.
    fn table(&mut self, columns: &[(&str, &str)]) {
        self.raw("<table>\n<thead><tr>");
        for (heading, class) in columns {
            self.element("th", &format!(" class=\"{class}\""), heading);
        }
        self.raw("</tr></thead>\n<tbody>\n");
    }

    /// A row of as many cells as there are columns.
    fn row<const N: usize>(&mut self, columns: &[(&str, &str); N], cells: [&dyn Fn(&mut Self); N]) {
        self.raw("<tr>");
        for ((heading, class), fill) in columns.iter().zip(cells) {
            let _ = write!(self.0, "<td class=\"{class}\" data-label=\"{heading}\">");
            fill(self);
            self.raw("</td>");
        }
        self.raw("</tr>\n");
    }

    fn end_of_table(&mut self) {
        self.raw("</tbody>\n</table>\n");
    }

    /// A second line in a cell.
    fn second_line(&mut self, text: &str) {
        self.raw("<br>");
        self.element("small", "", text);
    }

    fn head(&mut self, stats: &RunStats, snapshot: &Snapshot, runs: &Runs, counts: &str) {
        self.element("h1", "", "sfexport");
        self.element("p", "", counts);
        let up = format!("{} · up since {}", env!("CARGO_PKG_VERSION"), utc(stats.started));
        self.element("p", " class=\"soft\"", &up);
        let seen = format!("seen {}, again every {REFRESH} s", utc(snapshot.now));
        self.element("p", " class=\"soft\"", &seen);
        for (org, traffic) in &runs.orgs {
            if let Some(limit) = traffic.api_limit {
                let (used, allowed) = (grouped(limit.used), grouped(limit.allowed));
                let about = format!("org {org}: {used} of {allowed} API requests used in 24 hours");
                self.element("p", " class=\"soft\"", &about);
            }
        }
        if snapshot.stopping {
            self.raw("<div class=\"alarm\">");
            self.element("b", "", "Stopping: no further run starts.");
            self.raw("</div>\n");
        }
        if let Some(why) = nothing_to_do(runs) {
            self.raw("<div class=\"alarm\">");
            self.element("b", "", &format!("The daemon has nothing to do: {why}."));
            self.raw("</div>\n");
        }
        if let Some(failure) = &snapshot.reading.refused {
            self.raw("<div class=\"alarm\">");
            let since = format!(
                "The configuration was changed and is not valid. That of {} holds.",
                utc(snapshot.reading.taken)
            );
            self.element("b", "", &since);
            self.element("p", " class=\"what\"", &failure.what);
            if let Some(hint) = &failure.hint {
                self.element("p", " class=\"soft\"", hint);
            }
            self.raw("</div>\n");
        }
    }

    fn running(&mut self, snapshot: &Snapshot, runs: &Runs) {
        if runs.running.is_empty() {
            return;
        }
        const COLUMNS: [(&str, &str); 4] =
            [("job", "name"), ("for", "instant"), ("doing", ""), ("progress", "wide")];
        self.element("h2", "", "Running");
        self.table(&COLUMNS);
        let mut running: Vec<&Running> = runs.running.values().collect();
        running.sort_by(|a, b| (a.since, &a.job).cmp(&(b.since, &b.job)));
        for run in running {
            self.row(
                &COLUMNS,
                [
                    &|page| page.element("b", " class=\"running\"", &run.job),
                    &|page| page.text(&length(snapshot.now.duration_since(run.since).as_secs_f64())),
                    &|page| page.doing(&run.doing),
                    &|page| {
                        if let Doing::Writing { records, total, .. } = &run.doing {
                            let of = (*total).max(1);
                            let _ = write!(page.0, "<progress value=\"{records}\" max=\"{of}\"></progress>");
                        }
                    },
                ],
            );
        }
        self.end_of_table();
    }

    fn doing(&mut self, doing: &Doing) {
        match doing {
            Doing::LoggingIn => self.text("logging in"),
            Doing::Querying => self.text("waiting for the first page"),
            Doing::Waiting { fault } => {
                self.element("span", " class=\"what\"", &format!("waiting after: {fault}"));
            }
            Doing::Writing { records, total, bytes } => {
                self.text(&format!("{} of {} records", grouped(*records), grouped(*total)));
                self.second_line(&size(*bytes));
            }
        }
    }

    fn jobs(&mut self, snapshot: &Snapshot, runs: &Runs) {
        const COLUMNS: [(&str, &str); 6] = [
            ("job", "name"),
            ("schedule", ""),
            ("next run", "instant"),
            ("last run", "instant"),
            ("records", "number"),
            ("took", "number"),
        ];
        self.element("h2", "", "Jobs");
        self.table(&COLUMNS);
        for (name, job) in &runs.jobs {
            let last = job.last.as_ref();
            self.row(
                &COLUMNS,
                [
                    &|page| {
                        page.element("b", "", name);
                        page.second_line(&format!("org {}", job.org));
                    },
                    &|page| match &job.schedule {
                        Some(schedule) => {
                            page.element("code", "", schedule);
                            page.second_line(&zone_name(&job.timezone));
                        }
                        None => page.element("small", "", "when asked"),
                    },
                    &|page| page.next(snapshot, name, job),
                    &|page| match last {
                        Some(report) => page.last(report, job, snapshot.now),
                        None => page.element("small", "", "never"),
                    },
                    &|page| page.text(&last.map(|report| grouped(report.records)).unwrap_or_default()),
                    &|page| page.text(&last.map(|report| length(seconds(report))).unwrap_or_default()),
                ],
            );
        }
        self.end_of_table();
    }

    fn next(&mut self, snapshot: &Snapshot, name: &str, job: &JobRuns) {
        let job_snapshot = snapshot.snapshot(name);
        match job_snapshot.and_then(|job| job.next) {
            Some(next) => self.instant(next, job, snapshot.now),
            None if !job.enabled => self.element("small", "", "disabled"),
            None => self.element("small", "", "–"),
        }
        if let Some(waiting) = job_snapshot.map(|job| job.waiting).filter(|waiting| *waiting > 0) {
            let runs = if waiting == 1 { "run waits" } else { "runs wait" };
            self.second_line(&format!("{waiting} {runs}"));
        }
    }

    fn last(&mut self, report: &RunReport, job: &JobRuns, now: Timestamp) {
        let class = match report.status {
            RunStatus::Ok => " class=\"ok\"",
            _ => " class=\"bad\"",
        };
        self.element("b", class, report.status.as_str());
        self.raw(" ");
        self.instant(report.ended, job, now);
        if report.status != RunStatus::Ok {
            let before = match job.last_success {
                Some(success) => format!("last success {}", utc(success)),
                None => "no success yet".to_owned(),
            };
            self.second_line(&before);
        }
    }

    fn failures(&mut self, snapshot: &Snapshot, runs: &Runs) {
        const COLUMNS: [(&str, &str); 4] =
            [("job", "name"), ("when", "instant"), ("status", "number"), ("what", "wide")];
        self.element("h2", "", "Last failures");
        if runs.failures.is_empty() {
            return self.element("p", " class=\"soft\"", "None in the history.");
        }
        self.table(&COLUMNS);
        for report in &runs.failures {
            self.row(
                &COLUMNS,
                [
                    &|page| page.element("b", "", &report.job),
                    &|page| {
                        page.text(&utc(report.ended));
                        page.second_line(&from_now(report.ended, snapshot.now));
                    },
                    &|page| page.text(&report.exit_status.to_string()),
                    &|page| {
                        page.element("div", " class=\"what\"", report.error.as_deref().unwrap_or_default());
                        if let Some(hint) = &report.hint {
                            page.element("small", "", hint);
                        }
                    },
                ],
            );
        }
        self.end_of_table();
    }

    /// An instant in UTC; below it, in the job's zone where that is another, and how far off it is.
    fn instant(&mut self, instant: Timestamp, job: &JobRuns, now: Timestamp) {
        self.text(&utc(instant));
        let far = from_now(instant, now);
        if job.timezone == TimeZone::UTC {
            return self.second_line(&far);
        }
        let here = instant.to_zoned(job.timezone.clone()).strftime("%Y-%m-%d %H:%M %:z");
        self.second_line(&format!("{here} · {far}"));
    }
}

/// `in 5 min`, `5 min ago`.
fn from_now(instant: Timestamp, now: Timestamp) -> String {
    let ahead = instant.duration_since(now).as_secs_f64();
    if ahead > 0.0 { format!("in {}", length(ahead)) } else { format!("{} ago", length(-ahead)) }
}

fn utc(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M UTC").to_string()
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
    use super::{Page, length};

    #[test]
    fn nothing_that_is_told_becomes_markup() {
        let mut page = Page(String::new());
        page.element("td", "", "<script>alert('x')</script> & \"so on\"");
        assert_eq!(
            page.0,
            "<td>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;so on&quot;</td>"
        );
    }

    #[test]
    fn a_length_is_told_as_finely_as_it_matters() {
        let told: Vec<_> = [-3.0, 0.85, 1.2, 119.9, 120.0, 7_200.0, 7_530.0, 200_000.0].map(length).into();
        assert_eq!(told, ["0 ms", "850 ms", "1 s", "119 s", "2 min", "2 h 00 min", "2 h 05 min", "2 d"]);
    }
}

//! The board as a person reads it: one page of HTML without scripts, which loads itself again.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Moment;
use super::board::{Board, Doing, JobRuns, Running, Runs, seconds};
use crate::report::{RunReport, RunStatus};

/// After how many seconds the page loads itself again.
const REFRESH: u32 = 10;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8888;--ok:#2a7d3f;--bad:#c0392b;--run:#1f6fb2}\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.2rem 0 0}\
.soft,small{color:GrayText;font-size:.86em}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;font-size:.86em;color:GrayText}\
th,td{padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}\
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}\
code{font:.93em ui-monospace,monospace}progress{width:100%;min-width:8rem}\
b.ok{color:var(--ok)}b.failed,.alarm{color:var(--bad)}b.running{color:var(--run)}\
.what{white-space:pre-wrap;overflow-wrap:anywhere;font:.88em/1.45 ui-monospace,monospace}.alarm{border:1px solid;border-radius:.4rem;padding:.6rem .8rem;margin-top:1rem}";

/// The page at a moment.
#[must_use]
pub fn html(board: &Board, moment: &Moment) -> String {
    let runs = board.runs();
    let mut page = Page(String::new());
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw(&format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n"));
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">\n<title>sfexport</title>\n<style>");
    page.raw(STYLE);
    page.raw("</style>\n</head>\n<body>\n");
    page.head(board, moment, &runs);
    page.running(moment, &runs);
    page.jobs(moment, &runs);
    page.failures(moment, &runs);
    page.raw("</body>\n</html>\n");
    page.0
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

    fn head(&mut self, board: &Board, moment: &Moment, runs: &Runs) {
        self.element("h1", "", "sfexport");
        let state = if moment.stopping { "stopping: no further run starts" } else { "up" };
        let about = format!(
            "{} · {state} since {} · {} jobs · seen {}, again every {REFRESH} s",
            env!("CARGO_PKG_VERSION"),
            utc(board.started),
            runs.jobs.len(),
            utc(moment.now),
        );
        self.element("p", " class=\"soft\"", &about);
        for (org, traffic) in &runs.orgs {
            if let Some(limit) = traffic.api_limit {
                let about = format!("org {org}: {} of {} API requests used", limit.used, limit.allowed);
                self.element("p", " class=\"soft\"", &about);
            }
        }
        if let Some(failure) = &moment.reading.refused {
            self.raw("<div class=\"alarm\">");
            let since = format!(
                "The configuration was changed and is not valid. That of {} holds.",
                utc(moment.reading.taken)
            );
            self.element("b", "", &since);
            self.element("p", " class=\"what\"", &failure.what);
            if let Some(hint) = &failure.hint {
                self.element("p", " class=\"soft\"", hint);
            }
            self.raw("</div>\n");
        }
    }

    fn running(&mut self, moment: &Moment, runs: &Runs) {
        if runs.running.is_empty() {
            return;
        }
        self.raw("<h2>Running</h2>\n<table><tr><th>job</th><th>for</th><th>at</th><th></th></tr>\n");
        let mut running: Vec<&Running> = runs.running.values().collect();
        running.sort_by(|a, b| (a.since, &a.job).cmp(&(b.since, &b.job)));
        for run in running {
            self.raw("<tr><td>");
            self.element("b", " class=\"running\"", &run.job);
            self.raw("</td><td>");
            self.text(&length(moment.now.duration_since(run.since).as_secs_f64()));
            self.raw("</td><td>");
            match &run.doing {
                Doing::LoggingIn => self.text("logging in"),
                Doing::Querying => self.text("waiting for the first page"),
                Doing::Waiting { fault } => {
                    self.element("span", " class=\"what\"", &format!("waiting after: {fault}"))
                }
                Doing::Writing { records, total, bytes } => {
                    let at =
                        format!("{} of {} records, {}", grouped(*records), grouped(*total), size(*bytes));
                    self.text(&at);
                    let _ = write!(
                        self.0,
                        "</td><td><progress value=\"{records}\" max=\"{}\"></progress>",
                        (*total).max(1)
                    );
                }
            }
            self.raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn jobs(&mut self, moment: &Moment, runs: &Runs) {
        self.raw("<h2>Jobs</h2>\n<table><tr><th>job</th><th>schedule</th><th>next run</th><th>last run</th>");
        self.raw("<th class=\"number\">records</th><th class=\"number\">took</th></tr>\n");
        for (name, job) in &runs.jobs {
            self.raw("<tr><td>");
            self.element("b", "", name);
            self.raw("<br>");
            self.element("small", "", &format!("org {}", job.org));
            self.raw("</td><td>");
            match &job.schedule {
                Some(schedule) => {
                    self.element("code", "", schedule);
                    self.raw("<br>");
                    self.element("small", "", &zone_name(&job.timezone));
                }
                None => self.element("small", "", "only when asked"),
            }
            self.raw("</td><td>");
            self.next(moment, name, job);
            self.raw("</td><td>");
            match &job.last {
                Some(report) => self.last(report, job),
                None => self.element("small", "", "never"),
            }
            self.raw("</td><td class=\"number\">");
            let last = job.last.as_ref();
            self.text(&last.map(|report| grouped(report.records)).unwrap_or_default());
            self.raw("</td><td class=\"number\">");
            self.text(&last.map(|report| length(seconds(report))).unwrap_or_default());
            self.raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    fn next(&mut self, moment: &Moment, name: &str, job: &JobRuns) {
        let standing = moment.standing(name);
        match standing.and_then(|standing| standing.next) {
            Some(next) => self.instant(next, &job.timezone),
            None if !job.enabled => self.element("small", "", "disabled"),
            None => self.element("small", "", "–"),
        }
        if let Some(waiting) = standing.map(|standing| standing.waiting).filter(|waiting| *waiting > 0) {
            self.raw("<br>");
            self.element("small", "", &format!("{waiting} waiting"));
        }
    }

    fn last(&mut self, report: &RunReport, job: &JobRuns) {
        let class = if report.status == RunStatus::Ok { " class=\"ok\"" } else { " class=\"failed\"" };
        self.element("b", class, report.status.as_str());
        self.raw(" ");
        self.instant(report.ended, &job.timezone);
        if report.status != RunStatus::Ok {
            self.raw("<br>");
            let before = match job.last_success {
                Some(success) => format!("last success {}", utc(success)),
                None => "no success yet".to_owned(),
            };
            self.element("small", "", &before);
        }
    }

    fn failures(&mut self, moment: &Moment, runs: &Runs) {
        self.raw("<h2>Last failures</h2>\n");
        if runs.failures.is_empty() {
            return self.element("p", " class=\"soft\"", "None in the history.");
        }
        self.raw("<table><tr><th>job</th><th>when</th><th class=\"number\">status</th><th>what</th></tr>\n");
        for report in &runs.failures {
            self.raw("<tr><td>");
            self.element("b", "", &report.job);
            self.raw("</td><td>");
            self.text(&utc(report.ended));
            self.raw("<br>");
            let ago = format!("{} ago", length(moment.now.duration_since(report.ended).as_secs_f64()));
            self.element("small", "", &ago);
            self.raw("</td><td class=\"number\">");
            self.text(&report.exit_status.to_string());
            self.raw("</td><td>");
            self.element("div", " class=\"what\"", report.error.as_deref().unwrap_or_default());
            if let Some(hint) = &report.hint {
                self.element("small", "", hint);
            }
            self.raw("</td></tr>\n");
        }
        self.raw("</table>\n");
    }

    /// An instant in UTC, and in the job's zone where that is another.
    fn instant(&mut self, instant: Timestamp, timezone: &TimeZone) {
        self.text(&utc(instant));
        if *timezone != TimeZone::UTC {
            self.raw("<br>");
            let here = instant.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M %:z").to_string();
            self.element("small", "", &here);
        }
    }
}

fn utc(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
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

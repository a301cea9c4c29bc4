//! The statistics in Prometheus' text format. Every series exists from the start, so alerts can be written before the
//! first failure. Labels contain the names of jobs and orgs, never a query or a path.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::Snapshot;
use super::run_history::PastRun;
use super::run_stats::{ANSWERS, JobRuns, RESULTS, RunStats};
use crate::job::{Api, ExportKey};

/// The metrics of a snapshot.
#[must_use]
pub fn text(stats: &RunStats, snapshot: &Snapshot) -> String {
    let runs = stats.runs();
    let mut text = Text(String::new());
    text.family("build_info", "gauge", "The version of sfexport; always 1.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("start_timestamp_seconds", "gauge", "When the process started.");
    text.sample("start_timestamp_seconds", &[], unix(stats.started));
    text.family(
        "config_last_reload_successful",
        "gauge",
        "Whether the configuration was valid when it was last read.",
    );
    text.sample("config_last_reload_successful", &[], u8::from(snapshot.reading.refused.is_none()));
    text.family(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration in use was read.",
    );
    text.sample("config_last_reload_success_timestamp_seconds", &[], unix(snapshot.reading.taken));
    text.family("jobs", "gauge", "The number of jobs, including disabled ones.");
    text.sample("jobs", &[], runs.jobs.len());

    text.family("runs_total", "counter", "Runs by result, and occurrences that were not run.");
    for (key, job) in &runs.jobs {
        for (result, count) in RESULTS.iter().zip(job.results) {
            let [job, org] = labels(key);
            let labels = [job, org, ("result", result.as_str())];
            text.sample("runs_total", &labels, count);
        }
    }
    let running: HashSet<&ExportKey> = runs.running.values().map(|run| &run.job).collect();
    let mut by_job = |name: &str, kind: &str, help: &str, value: &dyn Fn(&ExportKey, &JobRuns) -> f64| {
        text.family(name, kind, help);
        for (key, job) in &runs.jobs {
            text.sample(name, &labels(key), value(key, job));
        }
    };
    let last = |job: &JobRuns, value: &dyn Fn(&PastRun) -> f64| job.last.as_deref().map_or(f64::NAN, value);
    by_job("records_total", "counter", "Records in published files.", &|_, job| job.records as f64);
    by_job("bytes_total", "counter", "Bytes of published files.", &|_, job| job.bytes as f64);
    by_job("run_in_progress", "gauge", "Whether the job is running.", &|key, _| {
        f64::from(u8::from(running.contains(key)))
    });
    by_job(
        "runs_waiting",
        "gauge",
        "Runs waiting for a free slot, for the end of another run, or for a retry.",
        &|key, _| snapshot.job(key).map_or(0.0, |snapshot| snapshot.waiting as f64),
    );
    by_job(
        "next_run_timestamp_seconds",
        "gauge",
        "When the next run should start; NaN if the job has no schedule.",
        &|key, _| snapshot.job(key).and_then(|snapshot| snapshot.next).map_or(f64::NAN, unix),
    );
    by_job(
        "last_run_timestamp_seconds",
        "gauge",
        "When the last run ended, whether it succeeded or failed; 0 if there was none.",
        &|_, job| job.last.as_ref().map_or(0.0, |report| unix(report.ended)),
    );
    by_job(
        "last_success_timestamp_seconds",
        "gauge",
        "When the last successful run ended; 0 if there was none.",
        &|_, job| job.last_success.map_or(0.0, unix),
    );
    by_job(
        "last_run_exit_status",
        "gauge",
        "The exit status of the last run; NaN if there was none.",
        &|_, job| last(job, &|report| f64::from(report.exit_status)),
    );
    by_job(
        "last_run_duration_seconds",
        "gauge",
        "How long the last run took; NaN if there was none.",
        &|_, job| last(job, &PastRun::seconds),
    );
    by_job(
        "last_run_records",
        "gauge",
        "Records that the last run wrote; NaN if there was none.",
        &|_, job| last(job, &|report| report.records as f64),
    );
    by_job(
        "last_run_api_calls",
        "gauge",
        "Requests of the last run that count against the org's daily limit; NaN if there was none.",
        &|_, job| last(job, &|report| report.api_calls as f64),
    );
    by_job(
        "last_run_bulk",
        "gauge",
        "Whether Bulk API 2.0 sent the records of the last run; NaN if there was none, or if it is not known.",
        &|_, job| {
            let api = job.last.as_deref().and_then(|run| run.api);
            api.map_or(f64::NAN, |api| f64::from(u8::from(api == Api::Bulk)))
        },
    );
    text.family(
        "watermark_behind_seconds",
        "gauge",
        "How far an incremental export is behind the org's clock, of a set the object that is furthest; NaN without a mark.",
    );
    for (key, mark) in snapshot.marks.iter().filter(|(key, _)| runs.jobs.contains_key(key)) {
        let behind = mark.as_ref().map_or(f64::NAN, |mark| mark.behind(snapshot.now).as_secs_f64());
        text.sample("watermark_behind_seconds", &labels(key), behind);
    }
    text.family(
        "last_run_objects",
        "gauge",
        "Objects of a set by what the last run did with them; NaN where there was none.",
    );
    for (key, job) in runs.jobs.iter().filter(|(_, job)| job.is_set) {
        let set = job.last.as_deref().and_then(|run| run.set.as_ref());
        for (result, count) in [
            ("exported", set.map(|set| set.exported)),
            ("skipped", set.map(|set| set.skipped)),
            ("failed", set.map(|set| set.failed)),
        ] {
            let [job, org] = labels(key);
            let labels = [job, org, ("result", result)];
            text.sample("last_run_objects", &labels, count.map_or(f64::NAN, |count| count as f64));
        }
    }
    text.family("run_duration_seconds", "summary", "How long runs took.");
    for (key, job) in &runs.jobs {
        let labels = labels(key);
        text.sample("run_duration_seconds_sum", &labels, job.seconds);
        text.sample("run_duration_seconds_count", &labels, job.runs);
    }

    text.family(
        "http_requests_total",
        "counter",
        "Requests to an org by the class of the response status; none if there was no response.",
    );
    for (org, traffic) in &runs.orgs {
        for (code, count) in ANSWERS.iter().zip(traffic.answers) {
            text.sample("http_requests_total", &[("org", org), ("code", code)], count);
        }
    }
    let mut by_org =
        |name: &str, kind: &str, help: &str, value: &dyn Fn(&super::run_stats::OrgTraffic) -> f64| {
            text.family(name, kind, help);
            for (org, traffic) in &runs.orgs {
                text.sample(name, &[("org", org)], value(traffic));
            }
        };
    by_org("api_calls_total", "counter", "Requests that count against the org's daily limit.", &|org| {
        org.api_calls as f64
    });
    by_org("logins_total", "counter", "Logins.", &|org| org.logins as f64);
    by_org(
        "api_limit_used",
        "gauge",
        "API requests that all clients of the org used in 24 hours, as of its last response; NaN before the first.",
        &|org| org.api_limit.map_or(f64::NAN, |limit| limit.used as f64),
    );
    by_org(
        "api_limit_allowed",
        "gauge",
        "API requests that the org allows in 24 hours, as of its last response; NaN before it.",
        &|org| org.api_limit.map_or(f64::NAN, |limit| limit.allowed as f64),
    );
    by_org(
        "api_limit_reserve",
        "gauge",
        "API requests of these that api_reserve leaves for others; 0 without it, NaN before the first response.",
        &|org| org.api_limit.map_or(f64::NAN, |limit| limit.reserve.unwrap_or_default() as f64),
    );
    text.0
}

/// The labels of a job's series.
fn labels(key: &ExportKey) -> [(&'static str, &str); 2] {
    [("job", key.job().as_str()), ("org", key.org().as_str())]
}

fn unix(timestamp: Timestamp) -> f64 {
    timestamp.as_millisecond() as f64 / 1_000.0
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP sfexport_{name} {help}\n# TYPE sfexport_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "sfexport_{name}");
        for (number, (label, text)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

/// A label's value in its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_labels_value_cannot_leave_its_quotes() {
        assert_eq!(escaped("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }
}

//! `sfexport history`: past runs, read while others write.

use std::collections::{BTreeSet, HashMap};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Context, print, table};
use crate::config::{self, Selection};
use crate::error::{Exit, Failure};
use crate::report::RunReport;
use crate::state::{State, StateError};

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Only the runs of this job; it may be gone from the configuration
    #[arg(value_name = "JOB")]
    job: Option<String>,
    /// Print each run's report as JSON, one object a line
    #[arg(long)]
    json: bool,
    /// How many runs are shown at most; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

/// Shows past runs, the newest first.
pub(super) fn history(arguments: &HistoryArguments, context: &Context) -> Result<Exit, Failure> {
    let sources = context.sources()?;
    // The jobs only bring their zones: a mistake in one of them hides no history.
    let (settings, zones, jobs_are_known) = match config::load(&sources, &Selection::All) {
        Ok(config) => {
            let zones = config.jobs.iter().map(|job| (job.name.as_str().to_owned(), job.timezone.clone()));
            let zones: HashMap<_, _> = zones.collect();
            (config.settings, zones, true)
        }
        Err(_) => (config::load(&sources, &Selection::NoJobs)?.settings, HashMap::new(), false),
    };
    let directory = &settings.state_dir;
    if matches!(directory.try_exists(), Ok(false)) {
        let what = format!("there is no state directory {}", directory.display());
        if context.common.state_dir.is_some() {
            return Err(Failure::new(Exit::Configuration, what).hint(
                "--state-dir names it; it holds the history of the runs and of the daemon that were given it",
            ));
        }
        // Before the first run it is not there. What a program reads stays a report a line.
        match arguments.json {
            true => print::warning(context.common.log_format, None, &format!("no run yet: {what}")),
            false => print::line(format!("no run yet: {what}")),
        }
        return Ok(Exit::Success);
    }
    let state = State::at(directory)?;
    if let Some(job) = arguments.job.as_deref().filter(|job| jobs_are_known && !zones.contains_key(*job)) {
        known(job, &state, zones.keys().map(String::as_str))?;
    }
    let wanted = |report: &Result<RunReport, StateError>| match (report, &arguments.job) {
        (Ok(report), Some(job)) => report.job == *job,
        _ => true,
    };
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let reports = state.history()?.filter(wanted).take(limit);
    if arguments.json {
        for report in reports {
            print::report(&report?);
        }
        return Ok(Exit::Success);
    }
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    for report in reports {
        let report = report?;
        rows.push(row(&report, zones.get(&report.job)));
    }
    if rows.len() == 1 {
        print::line("no run yet");
        return Ok(Exit::Success);
    }
    table::lines(&rows).iter().for_each(print::line);
    Ok(Exit::Success)
}

/// Whether the history knows a job that the configuration does not.
fn known<'a>(job: &str, state: &State, configured: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut names: BTreeSet<String> = configured.map(str::to_owned).collect();
    for report in state.history()? {
        let report = report?;
        if report.job == job {
            return Ok(());
        }
        names.insert(report.job);
    }
    let near = config::did_you_mean(job, names.iter().map(String::as_str));
    let what = format!("there is no job {job:?}, and the history knows none{near}");
    Err(Failure::new(Exit::Configuration, what).hint("`sfexport jobs` shows the jobs"))
}

const HEADINGS: [&str; 7] = ["ENDED (UTC)", "IN THE JOB'S ZONE", "JOB", "RESULT", "RECORDS", "TOOK", "WHAT"];

fn row(report: &RunReport, timezone: Option<&TimeZone>) -> Vec<String> {
    let result = match report.exit_status {
        0 => report.status.as_str().to_owned(),
        exit_status => format!("{} {exit_status}", report.status.as_str()),
    };
    let what = report.error.as_deref().or(report.path.as_deref()).unwrap_or_default();
    let took = report.ended.duration_since(report.started).as_secs_f64();
    let (records, took) = match report.status.has_run() {
        true => (report.records.to_string(), format!("{took:.1} s")),
        false => Default::default(),
    };
    vec![
        utc(report.ended),
        timezone.map_or_else(|| "-".to_owned(), |timezone| in_zone(report.ended, timezone)),
        report.job.clone(),
        result,
        records,
        took,
        on_one_line(what),
    ]
}

/// An error text on one line. The line that only points to a place in the one above it says nothing there.
pub(super) fn on_one_line(text: &str) -> String {
    let lines = text.lines().filter(|line| line.trim() != "^");
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// `2026-11-22 01:00:00`.
pub(super) fn utc(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-22 02:00:00 +01:00`.
pub(super) fn in_zone(timestamp: Timestamp, timezone: &TimeZone) -> String {
    timestamp.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

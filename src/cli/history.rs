//! `sfexport history` lists past runs. It can run at the same time as the daemon.

use std::collections::{BTreeSet, HashMap};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Context, complete, human, print, table};
use crate::config::{self, Selection};
use crate::error::{Exit, Failure};
use crate::job::Api;
use crate::org::OrgName;
use crate::report::RunReport;
use crate::soql::generate::matches;
use crate::state::{State, StateError};

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Only the runs of this job; it may be gone from the configuration
    #[arg(value_name = "JOB", add = complete::jobs())]
    job: Option<String>,
    /// Only the runs in this org; it may be gone from the configuration; can be repeated
    #[arg(long = "org", value_name = "NAME", add = complete::orgs())]
    orgs: Vec<String>,
    /// The exports of these objects of sets instead of runs: a name or a pattern, such as '*__c'
    #[arg(long, value_name = "OBJECT", add = complete::objects())]
    object: Option<String>,
    /// Print each run's report as JSON, one object per line
    #[arg(long)]
    json: bool,
    /// Show at most this many runs; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = super::whole::<usize>(0..=u64::MAX))]
    limit: usize,
    /// Show everything, however long the lines: UTC, paths, whole error messages
    #[arg(long, conflicts_with = "json")]
    wide: bool,
}

/// Shows past runs, newest first.
pub(super) fn history(arguments: &HistoryArguments, context: &Context) -> Result<Exit, Failure> {
    let sources = context.sources()?;
    // Only the names and time zones of the jobs are needed, so mistakes in jobs do not matter.
    let (config, jobs_are_known) = match config::load(&sources, &Selection::All) {
        Ok(config) => (config, true),
        Err(_) => (config::load(&sources, &Selection::NoJobs)?, false),
    };
    let zones = config.jobs.iter().map(|job| (job.name.as_str().to_owned(), job.timezone.clone()));
    let zones: HashMap<_, _> = zones.collect();
    let directory = &config.settings.state_dir;
    if matches!(directory.try_exists(), Ok(false)) {
        let what = format!("there is no state directory {}", directory.display());
        if context.common.state_dir.is_some() {
            return Err(Failure::new(Exit::Configuration, what)
                .hint("set --state-dir to the state directory of the runs or the daemon"));
        }
        // It does not exist before the first run. With --json, the output contains only reports.
        match arguments.json {
            true => print::warning(context.common.log_format, None, &format!("no run yet: {what}")),
            false => print::line(format!("no run yet: {what}")),
        }
        return Ok(Exit::Success);
    }
    let state = State::at(directory)?;
    if let Some(job) = arguments.job.as_deref().filter(|job| jobs_are_known && !zones.contains_key(*job)) {
        known(Named::Job, job, &state, zones.keys().map(String::as_str))?;
    }
    for org in arguments.orgs.iter().filter(|org| !config.orgs.keys().any(|known| known.as_str() == *org)) {
        known(Named::Org, org, &state, config.orgs.keys().map(OrgName::as_str))?;
    }
    let is_of_job = |report: &RunReport| {
        arguments.job.as_ref().is_none_or(|job| report.job == *job)
            && (arguments.orgs.is_empty() || arguments.orgs.contains(&report.org))
    };
    let is_asked_for = |report: &RunReport| match (&arguments.object, &report.object) {
        (None, None) => true,
        (Some(pattern), Some(object)) => matches(pattern, object),
        _ => false,
    };
    let wanted = |report: &Result<RunReport, StateError>| {
        report.as_ref().map_or(true, |report| is_of_job(report) && is_asked_for(report))
    };
    let limit = if arguments.limit == 0 { usize::MAX } else { arguments.limit };
    let reports = state.history()?.filter(wanted).take(limit);
    if arguments.json {
        for report in reports {
            print::report(&report?);
        }
        return Ok(Exit::Success);
    }
    let reports = reports.collect::<Result<Vec<_>, _>>()?;
    if reports.is_empty() {
        print::line(match &arguments.object {
            Some(object) => format!("no export of {object} by a set yet"),
            None => "no run yet".to_owned(),
        });
        return Ok(Exit::Success);
    }
    let has_several_orgs = config.orgs.len() > 1 || reports.iter().any(|report| report.org != reports[0].org);
    show(&reports, &zones, arguments.wide, has_several_orgs);
    Ok(Exit::Success)
}

/// What a name on the command line is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Job,
    Org,
}

/// Checks that the history has a job or an org that is not in the configuration.
fn known<'a>(
    kind: Named,
    name: &str,
    state: &State,
    configured: impl Iterator<Item = &'a str>,
) -> Result<(), Failure> {
    let mut names: BTreeSet<String> = configured.map(str::to_owned).collect();
    for report in state.history()? {
        let report = report?;
        let known = if kind == Named::Job { report.job } else { report.org };
        if known == name {
            return Ok(());
        }
        names.insert(known);
    }
    let near = config::did_you_mean(name, names.iter().map(String::as_str));
    let (kind, listed) = match kind {
        Named::Job => ("a job", "jobs"),
        Named::Org => ("an org", "jobs with their orgs"),
    };
    let what = format!("neither the configuration nor the history has {kind} {name:?}");
    let hint = near.unwrap_or_else(|| format!("run `sfexport jobs` to list the {listed}"));
    Err(Failure::new(Exit::Configuration, what).hint(hint))
}

/// Shows runs as a table in 80 columns, if the names of jobs and orgs allow it. The error and the hint of a failed run are
/// on the lines below. All times are in the local zone, so they are in order.
fn show(reports: &[RunReport], zones: &HashMap<String, TimeZone>, wide: bool, has_several_orgs: bool) {
    let (mut headings, after_job) = match wide {
        true => (WIDE_HEADINGS.map(str::to_owned).to_vec(), 3),
        false => (HEADINGS.map(str::to_owned).to_vec(), 2),
    };
    if has_several_orgs {
        headings.insert(after_job, "ORG".to_owned());
    }
    let has_marks = reports.iter().any(|report| report.kind.is_some());
    if has_marks {
        headings.insert(after_job + usize::from(has_several_orgs), "KIND".to_owned());
        if wide {
            headings.insert(headings.len() - 1, "MARK (UTC)".to_owned());
        }
    }
    let mut rows = vec![headings];
    let local = TimeZone::system();
    rows.extend(reports.iter().map(|report| {
        let mut row = match wide {
            true => wide_row(report, zones.get(&report.job)),
            false => row(report, &local),
        };
        if has_several_orgs {
            row.insert(after_job, report.org.clone());
        }
        if has_marks {
            let kind = report.kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string());
            row.insert(after_job + usize::from(has_several_orgs), kind);
            if wide {
                row.insert(row.len() - 1, report.mark.map_or_else(|| "-".to_owned(), utc));
            }
        }
        row
    }));
    let notes = reports.iter().map(|report| if wide { Vec::new() } else { table::notes(report) });
    table::print(&rows, std::iter::once(Vec::new()).chain(notes), table::width(wide));
}

const HEADINGS: [&str; 6] = ["ENDED", "JOB", "RESULT", "RECORDS", "SIZE", "TOOK"];

fn row(report: &RunReport, local: &TimeZone) -> Vec<String> {
    let figures = match report.status.has_run() {
        true => [
            human::number(report.records),
            human::bytes(report.bytes),
            human::duration(report.ended.duration_since(report.started)),
        ],
        false => Default::default(),
    };
    let when = human::time(report.ended, local);
    [when, name(report), result(report)].into_iter().chain(figures).collect()
}

/// The job and, for one object of a set, the object.
fn name(report: &RunReport) -> String {
    match &report.object {
        Some(object) => format!("{}: {object}", report.job),
        None => report.job.clone(),
    }
}

fn result(report: &RunReport) -> String {
    match report.exit_status {
        0 => report.status.as_str().to_owned(),
        exit_status => format!("{} {exit_status}", report.status.as_str()),
    }
}

const WIDE_HEADINGS: [&str; 8] =
    ["ENDED (UTC)", "IN THE JOB'S ZONE", "JOB", "RESULT", "RECORDS", "TOOK", "API", "WHAT"];

fn wide_row(report: &RunReport, timezone: Option<&TimeZone>) -> Vec<String> {
    let what = report.error.as_deref().or(report.path.as_deref()).unwrap_or_default();
    let took = report.ended.duration_since(report.started).as_secs_f64();
    let (records, took) = match report.status.has_run() {
        true => (report.records.to_string(), format!("{took:.1} s")),
        false => Default::default(),
    };
    vec![
        utc(report.ended),
        timezone.map_or_else(|| "-".to_owned(), |timezone| in_zone(report.ended, timezone)),
        name(report),
        result(report),
        records,
        took,
        report.api.map_or("-", Api::as_str).to_owned(),
        table::on_one_line(what),
    ]
}

/// `2026-11-22 01:00:00`.
pub(super) fn utc(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-22 02:00:00 +01:00`.
pub(super) fn in_zone(timestamp: Timestamp, timezone: &TimeZone) -> String {
    timestamp.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

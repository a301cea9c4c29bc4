//! `sfexport jobs` lists the jobs with their schedules, next and last runs. It can run at the same time as the daemon.

use std::collections::{BTreeMap, HashMap};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::history::{in_zone, utc};
use super::watermark::behind_text;
use super::{Context, human, print, table};
use crate::agenda::JobSnapshot;
use crate::config::{self, Difference, Digests, Mistakes, Selection};
use crate::daemon::LoadedConfig;
use crate::error::{Exit, Failure};
use crate::job::shard::{MAX_SHARDS, ShardBy};
use crate::job::{ExportKey, Job};
use crate::report::{RunReport, SetSummary};
use crate::state::State;

#[derive(Debug, Args)]
pub(super) struct JobsArguments {
    /// Print each job as JSON, one object per line
    #[arg(long)]
    json: bool,
    /// Show everything, however long the lines: schedules, zones, UTC, whole error messages
    #[arg(long, conflicts_with = "json")]
    wide: bool,
    /// Show which of N shards of `run --all --shard I/N` exports each job
    #[arg(long, value_name = "N", value_parser = super::whole::<u32>(1..=u64::from(MAX_SHARDS)))]
    shards: Option<u32>,
    /// The --shard-by of the runs [default: org]
    #[arg(long, value_name = "org|job", hide_possible_values = true, value_parser = super::shard_by())]
    shard_by: Option<ShardBy>,
}

/// How jobs are divided into shards.
#[derive(Debug, Clone, Copy)]
struct Shards {
    count: u32,
    by: ShardBy,
}

impl Shards {
    fn of(arguments: &JobsArguments) -> Result<Option<Self>, Failure> {
        match (arguments.shards, arguments.shard_by) {
            (None, Some(_)) => Err(Failure::new(Exit::Usage, "--shard-by has no effect without --shards")
                .hint("add --shards N, or leave out --shard-by")),
            (count, by) => Ok(count.map(|count| Self { count, by: by.unwrap_or_default() })),
        }
    }

    fn shard_of(self, job: &Job) -> u32 {
        self.by.shard_of(&job.job_key(), self.count)
    }
}

/// A job in the output of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    job: &'a str,
    org: &'a str,
    enabled: bool,
    /// As written, with its template fields.
    output: &'a str,
    /// The API that it asks for: `auto`, `rest` or `bulk`.
    api: &'a str,
    /// The limit of the org, if it has one.
    max_concurrent_runs: Option<usize>,
    /// The number of its shard, with `--shards`.
    shard: Option<u32>,
    schedule: Option<&'a str>,
    timezone: &'a str,
    /// In UTC. It is in the past if the run is due when the daemon starts.
    next: Option<Timestamp>,
    /// The same time in the job's zone.
    next_in_zone: Option<String>,
    /// Whether the running daemon has loaded the current files; `None` if no daemon is running.
    loaded: Option<bool>,
    /// How far an incremental job has come, of a set the object that is furthest behind; `None` without a mark.
    mark: Option<Timestamp>,
    /// How far that is behind the org's clock.
    behind_seconds: Option<i64>,
    last: Option<&'a RunReport>,
}

/// A job that cannot be read, in the output of `--json`.
#[derive(Serialize)]
struct BrokenLine<'a> {
    job: &'a str,
    mistakes: Vec<String>,
    loaded: Option<bool>,
}

/// Shows every job.
pub(super) fn jobs(arguments: &JobsArguments, context: &Context) -> Result<Exit, Failure> {
    let shards = Shards::of(arguments)?;
    let mut config = config::load(&context.sources()?, &Selection::Readable)?;
    let broken = std::mem::take(&mut config.broken);
    for warning in &config.warnings {
        let (what, hint) = warning.clone().split();
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        print::warning(context.common.log_format, None, &format!("{what}{hint}"));
    }
    let state = State::at(&config.settings.state_dir)?;
    let config = LoadedConfig::new(config);
    let (marks, unread) = config.marks(&state);
    for error in unread {
        print::warning(context.common.log_format, None, &error.to_string());
    }
    let (watermarks, unread) = config.watermarks(&state);
    for error in unread {
        print::warning(context.common.log_format, None, &error.to_string());
    }
    let last = last_runs(&state, &config)?;
    // If the lock cannot be read, it is unknown whether a daemon is running.
    let has_daemon = state.has_daemon().ok();
    let loaded = if has_daemon == Some(true) { state.loaded().ok().flatten() } else { None };
    let changes = loaded.map(|loaded| Changes::since(&loaded, &config.digests));
    let now = Timestamp::now();
    let snapshots = config.snapshots(marks, now);
    let several_orgs = config.orgs.len() > 1;
    let (mut headings, after_names) = match arguments.wide {
        true => (WIDE_HEADINGS.map(str::to_owned).to_vec(), 2),
        false => (headings(several_orgs), 1 + usize::from(several_orgs)),
    };
    if shards.is_some() {
        headings.insert(after_names, "SHARD".to_owned());
    }
    let has_marks = !watermarks.is_empty();
    if has_marks {
        headings.insert(headings.len() - 1, "BEHIND".to_owned());
    }
    let mut rows = vec![headings];
    let mut notes = Vec::new();
    // Both are sorted by name and org.
    for (job, snapshot) in config.jobs.values().zip(&snapshots) {
        let last = last.get(&job.job_key());
        let mark = watermarks.get(&job.job_key()).and_then(Option::as_ref);
        if arguments.json {
            let loaded = changes.as_ref().map(|changes| changes.is_loaded(job.name.as_str()));
            let max_concurrent_runs = config.orgs.get(&job.org).and_then(|org| org.max_concurrent_runs);
            let shard = shards.map(|shards| shards.shard_of(job));
            let behind_seconds = mark.map(|mark| mark.behind(now).as_secs());
            let mark = mark.map(|mark| mark.mark);
            let line = Line {
                max_concurrent_runs,
                shard,
                mark,
                behind_seconds,
                ..line(job, snapshot, loaded, last)
            };
            let line = serde_json::to_string(&line);
            print::line(line.map_err(|error| Failure::new(Exit::General, error.to_string()))?);
        } else {
            notes.push(last.map(table::notes).filter(|_| !arguments.wide).unwrap_or_default());
            let mut row = match arguments.wide {
                true => wide_row(job, snapshot, last, now),
                false => row(job, snapshot, last, now, several_orgs),
            };
            if let Some(shards) = shards {
                row.insert(after_names, shards.shard_of(job).to_string());
            }
            if has_marks {
                row.insert(
                    row.len() - 1,
                    mark.map_or_else(|| "-".to_owned(), |mark| behind_text(mark.behind(now))),
                );
            }
            rows.push(row);
        }
    }
    for (name, mistakes) in &broken {
        if arguments.json {
            let loaded = changes.as_ref().map(|changes| changes.is_loaded(name));
            let mistakes = mistakes.as_slice().iter().map(ToString::to_string).collect();
            print::json_line(&BrokenLine { job: name, mistakes, loaded });
        } else {
            let cells = rows.first().map_or(0, Vec::len);
            let mut row = vec!["-".to_owned(); cells];
            name.clone_into(&mut row[0]);
            "broken".clone_into(&mut row[cells - 1]);
            rows.push(row);
            notes.push(Vec::new());
        }
    }
    if !arguments.json {
        let notes = std::iter::once(Vec::new()).chain(notes);
        table::print(&rows, notes, table::width(arguments.wide));
    }
    if let Some(what) = changes.as_ref().and_then(Changes::warning) {
        print::warning(context.common.log_format, None, &what);
    }
    if snapshots.iter().any(|snapshot| snapshot.next.is_some()) && has_daemon == Some(false) {
        let directory = config.settings.state_dir.display();
        let what = format!("no daemon is running on {directory}, so no scheduled runs will start");
        print::warning(context.common.log_format, None, &what);
    }
    // The status shows that these jobs cannot run.
    match Mistakes::together(broken.into_values()) {
        Some(mistakes) => Err(mistakes.into()),
        None => Ok(Exit::Success),
    }
}

/// What has changed since the running daemon loaded its configuration.
struct Changes {
    shared_file: bool,
    jobs: BTreeMap<String, Difference>,
}

impl Changes {
    fn since(loaded: &Digests, now: &Digests) -> Self {
        Self { shared_file: loaded.shared_file != now.shared_file, jobs: now.differences(loaded) }
    }

    fn is_loaded(&self, job: &str) -> bool {
        !self.shared_file && !self.jobs.contains_key(job)
    }

    /// The warning about the changes, if there are any.
    fn warning(&self) -> Option<String> {
        const MOST: usize = 5;
        let shared_file = self.shared_file.then(|| "the changed sfexport.toml".to_owned());
        let jobs = self.jobs.iter().map(|(job, difference)| format!("{job} ({})", difference.as_str()));
        let mut parts: Vec<_> = shared_file.into_iter().chain(jobs).collect();
        if parts.is_empty() {
            return None;
        }
        let more = parts.len().saturating_sub(MOST);
        parts.truncate(MOST);
        if more > 0 {
            parts.push(format!("{more} more"));
        }
        Some(format!(
            "the running daemon has not loaded {}; send it SIGHUP; if that does not help, check its log",
            parts.join(", ")
        ))
    }
}

/// The last run of each job and org, if it is in the history.
fn last_runs(state: &State, config: &LoadedConfig) -> Result<HashMap<ExportKey, RunReport>, Failure> {
    let mut last = HashMap::new();
    for report in state.history()? {
        let report = report?;
        // A set has its own report.
        if report.status.has_run()
            && report.object.is_none()
            && let Some(key) = report.job_key().filter(|key| config.jobs.contains_key(key))
        {
            last.entry(key).or_insert(report);
        }
        if last.len() == config.jobs.len() {
            break;
        }
    }
    Ok(last)
}

fn line<'a>(
    job: &'a Job,
    snapshot: &JobSnapshot,
    loaded: Option<bool>,
    last: Option<&'a RunReport>,
) -> Line<'a> {
    Line {
        job: job.name.as_str(),
        org: job.org.as_str(),
        enabled: job.enabled,
        output: job.output.text(),
        api: job.api.as_str(),
        max_concurrent_runs: None,
        shard: None,
        schedule: job.schedule.as_ref().map(|schedule| schedule.text()),
        timezone: zone_name(job),
        next: snapshot.next,
        next_in_zone: snapshot.next.map(|next| in_zone(next, &job.timezone)),
        loaded,
        mark: None,
        behind_seconds: None,
        last,
    }
}

fn headings(several_orgs: bool) -> Vec<String> {
    let org = several_orgs.then_some("ORG");
    ["JOB"].into_iter().chain(org).chain(["NEXT RUN", "LAST RUN", "RESULT"]).map(str::to_owned).collect()
}

/// A job in 80 columns, if its name allows it. Times are in the job's zone.
fn row(
    job: &Job,
    snapshot: &JobSnapshot,
    last: Option<&RunReport>,
    now: Timestamp,
    several_orgs: bool,
) -> Vec<String> {
    let next = match snapshot.next {
        Some(next) if next <= now => "due".to_owned(),
        Some(next) => human::time(next, &job.timezone),
        None if !job.enabled => "disabled".to_owned(),
        None => "when asked".to_owned(),
    };
    let result = match last {
        None => "-".to_owned(),
        Some(report) => match (&report.set, report.exit_status) {
            (Some(set), 0) => objects(set),
            (Some(set), status) => format!("{} {status}: {}", report.status.as_str(), objects(set)),
            (None, 0) => human::counted(report.records, "record"),
            (None, status) => format!("{} {status}", report.status.as_str()),
        },
    };
    let last = last.map_or_else(|| "never".to_owned(), |report| human::time(report.ended, &job.timezone));
    let org = several_orgs.then(|| job.org.to_string());
    [job.name.to_string()].into_iter().chain(org).chain([next, last, result]).collect()
}

/// `408 objects, 2 failed`.
fn objects(set: &SetSummary) -> String {
    let exported = set.exported.saturating_add(set.carried_over);
    human::objects(exported, set.failed.len() as u64, set.skipped.len() as u64)
}

const WIDE_HEADINGS: [&str; 8] =
    ["JOB", "ORG", "SCHEDULE", "ZONE", "NEXT RUN (UTC)", "IN THE JOB'S ZONE", "LAST RUN (UTC)", "RESULT"];

fn wide_row(job: &Job, snapshot: &JobSnapshot, last: Option<&RunReport>, now: Timestamp) -> Vec<String> {
    let (next, in_its_zone) = match snapshot.next {
        Some(next) if next <= now => (format!("{} (due)", utc(next)), in_zone(next, &job.timezone)),
        Some(next) => (utc(next), in_zone(next, &job.timezone)),
        None if !job.enabled => ("disabled".to_owned(), "-".to_owned()),
        None => ("when asked".to_owned(), "-".to_owned()),
    };
    let result = last.map_or_else(
        || "-".to_owned(),
        |report| match report.exit_status {
            0 => {
                let objects =
                    report.set.as_ref().map(|set| format!(" of {}", objects(set))).unwrap_or_default();
                format!("{}, {}{objects}", report.status.as_str(), human::counted(report.records, "record"))
            }
            exit_status => {
                let what = report.error.as_deref().unwrap_or_default();
                format!("{} {exit_status}: {}", report.status.as_str(), table::on_one_line(what))
            }
        },
    );
    vec![
        job.name.to_string(),
        job.org.to_string(),
        job.schedule.as_ref().map_or("-", |schedule| schedule.text()).to_owned(),
        zone_name(job).to_owned(),
        next,
        in_its_zone,
        last.map_or_else(|| "never".to_owned(), |report| utc(report.ended)),
        result,
    ]
}

fn zone_name(job: &Job) -> &str {
    job.timezone.iana_name().unwrap_or("UTC")
}

//! `sfexport run` runs jobs now.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{ArgGroup, Args, ValueHint};
use jiff::Timestamp;

use super::log::Form;
use super::print::Colour;
use super::{Context, complete, human, print};
use crate::batch::{self, Batch};
use crate::clock::{self, Clock as _};
use crate::config::{Config, Selection};
use crate::daemon::{LoadedConfig, Reading};
use crate::error::{Exit, Failure};
use crate::export::{Extent, Once};
use crate::job::shard::{Shard, ShardBy};
use crate::job::{ExportKind, IfExists, Job, JobName, ObjectName};
use crate::monitor::{Event, Monitor};
use crate::notify::Notifier;
use crate::output::{self, LocalFile, Output};
use crate::report::{RunId, RunReport, RunStatus, SetSummary};
use crate::state::{State, StateError};
use crate::status::{RunStats, Snapshot, metrics};

#[derive(Debug, Args)]
// A group, so the message for a command line without jobs mentions --all.
#[command(group = ArgGroup::new("which").args(["jobs", "all"]).required(true), after_help = AFTER_HELP)]
pub(super) struct RunArguments {
    /// The jobs to run; they start in alphabetical order
    #[arg(value_name = "JOB", add = complete::jobs())]
    jobs: Vec<String>,
    /// Run every enabled job, scheduled or not
    #[arg(long)]
    all: bool,
    /// Export only this object of a set. The manifest stays as it is, and no notification is sent
    #[arg(long, value_name = "OBJECT", value_parser = super::object_name, add = complete::objects(), conflicts_with_all = ["all", "metrics_file"])]
    object: Option<ObjectName>,
    /// Export all records of incremental jobs, not only what has changed
    #[arg(long)]
    full: bool,
    /// Run only what the jobs export from this org; can be repeated
    #[arg(long = "org", value_name = "NAME", add = complete::orgs())]
    orgs: Vec<String>,
    /// Run only this part of the exports, numbered from 0, as in 0/4. auto/4 takes the number from the variable of
    /// Kubernetes, Slurm, AWS Batch or Cloud Run
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Keep in one shard: all exports of an org, or those of a job from an org [default: org]
    #[arg(long, value_name = "org|job", hide_possible_values = true, value_parser = super::shard_by())]
    shard_by: Option<ShardBy>,
    /// Print a report for each run as JSON, one object per line; of a set, one for each of its objects, then its own
    #[arg(long)]
    json: bool,
    /// Log in and check everything, but stop before the query
    #[arg(long)]
    dry_run: bool,
    /// Use this time for the dates in output paths: 2026-11-22T02:00:00+01:00. The data is always current [default: now]
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp)]
    at: Option<Timestamp>,
    /// With --at: skip what an earlier attempt exported for that time, so a retry repeats only what failed
    #[arg(long)]
    once: bool,
    /// Write the runs' metrics to a .prom file for node_exporter's textfile collector
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = super::local_path())]
    metrics_file: Option<PathBuf>,
}

const AFTER_HELP: &str = "\
Examples:
  sfexport run accounts contacts
  sfexport run --all --json | jq -r 'select(.exit_status != 0) | .job'
  sfexport run accounts --at 2026-11-22T02:00:00+01:00    put a missed night's date into the path
  sfexport run backup --object Account                    export one object of a set again
  sfexport run accounts --full                            export all records of an incremental job
  sfexport run --all --org emea                           export from one org
  sfexport run --all --shard 2/8                          export the third of eight parts
  sfexport run --all --once --at 2026-11-22T02:00:00Z     export what no earlier attempt has exported for that night

Without a terminal, a run prints JOB, RECORDS and PATH, separated by tabs.";

impl RunArguments {
    /// Whether it names a single job.
    pub(super) fn is_one_job(&self) -> bool {
        !self.all && self.jobs.len() == 1
    }
}

/// Reads a timestamp. The error names the missing part.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    const FORM: &str = "write it as in 2026-11-22T02:00:00+01:00";
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    let mut rest = text.trim();
    let date = skip(&mut rest, "0000-00-00");
    rest = rest.trim_start_matches(['T', 't', ' ']);
    let time = skip(&mut rest, "00:00");
    if time && skip(&mut rest, ":00") {
        rest = rest.trim_start_matches(['.', ',', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    }
    let zone = rest.eq_ignore_ascii_case("z")
        || rest.strip_prefix(['+', '-']).is_some_and(|mut offset| {
            skip(&mut offset, "00")
                && (offset.is_empty() || skip(&mut offset, ":00") || skip(&mut offset, "00"))
        });
    let missing: Vec<_> = [(date, "date"), (time, "time"), (zone, "zone (Z, or an offset as in +01:00)")]
        .into_iter()
        .filter_map(|(there, part)| (!there).then_some(part))
        .collect();
    Err(match missing.as_slice() {
        [] => format!(
            "a number in it is out of range: months go from 01 to 12, days to the month's last, hours to 23, minutes \
             and seconds to 59; {FORM}"
        ),
        _ if !date && !time => format!("it is not a timestamp; {FORM}"),
        [part] => format!("its {part} is missing; {FORM}"),
        parts => format!("its {} are missing; {FORM}", parts.join(" and its ")),
    })
}

/// Takes a form off the beginning of a text, `0` for any digit.
fn skip(text: &mut &str, form: &str) -> bool {
    let fits = text.len() >= form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form });
    if fits {
        *text = text.get(form.len()..).unwrap_or_default();
    }
    fits
}

/// Runs the named jobs. A failed job does not stop the others.
pub(super) async fn run(arguments: RunArguments, context: &Context) -> Result<Exit, Failure> {
    let shard = shard(&arguments)?;
    let occurrence = occurrence(&arguments)?;
    let selection = if arguments.all { Selection::All } else { Selection::Jobs(arguments.jobs.clone()) };
    let config = context.config(&selection)?;
    let mut jobs = chosen(&config, &arguments)?;
    if let Some(shard) = shard {
        let by = arguments.shard_by.unwrap_or_default();
        jobs.retain(|job| shard.has(&job.job_key(), by));
        if jobs.is_empty() {
            remark(context.common.log_format, &format!("shard {shard} has nothing to export"));
        }
    }
    print::set_names_orgs(config.orgs.len() > 1);
    if occurrence.is_some_and(|at| at > Timestamp::now()) {
        let what = "--at is in the future: --once skips nothing, because no earlier attempt can have that time's data";
        print::warning(context.common.log_format, None, what);
    }
    let state = State::open(&config.settings.state_dir)?;
    let once = occurrence.map(|at| Arc::new(Once::new(state.clone(), at, arguments.object.clone())));
    let extent = if arguments.dry_run { Extent::Login } else { Extent::Whole };
    let wants_full = arguments.full;
    let batch = Batch { jobs, at: arguments.at, extent, wants_full, object: arguments.object.clone(), once };
    let stats =
        arguments.metrics_file.is_some().then(|| Arc::new(RunStats::new(Arc::new(clock::System::new()))));
    let notifier =
        Arc::new(Notifier::new(&config.settings, config.jobs.iter(), Arc::new(clock::System::new())));
    let mut monitors: Vec<Arc<dyn Monitor>> = Vec::new();
    if let Some(stats) = &stats {
        stats.set_jobs(batch.jobs.iter().map(AsRef::as_ref));
        monitors.push(Arc::clone(stats) as _);
    }
    // Neither dry runs nor single objects are reported.
    let is_reported = extent == Extent::Whole && arguments.object.is_none();
    if is_reported && !notifier.is_idle() {
        monitors.push(Arc::clone(&notifier) as _);
    }
    if extent == Extent::Whole {
        let (is_json, form) = (arguments.json, context.common.log_format);
        monitors.push(Arc::new(ObjectLines { is_json, form }) as _);
    }
    if stats.is_some() || notifier.wants_history() {
        recall(&state, |report| {
            notifier.recall(report);
            if let Some(stats) = &stats {
                stats.recall(report);
            }
        });
    }
    let outputs = Arc::new(Outputs::default());
    monitors.push(Arc::clone(&outputs) as _);
    let mut statuses = Vec::new();
    let edges = context.edges_told(&config.settings, Some(state.clone()), monitors);
    batch::run(batch, &config, &edges, &context.stop, |report| {
        outputs.add(&report);
        statuses.push(show(&report, &arguments, context.common.log_format));
    })
    .await?;
    notifier.finish(context.stop.requested()).await;
    if let (Some(stats), Some(path)) = (&stats, &arguments.metrics_file) {
        // The metrics do not affect the exit status.
        let written = match outputs.have(path) {
            true => {
                let what = format!("{} is an output of this run", path.display());
                Err(Failure::new(Exit::Usage, what))
            }
            false => write_metrics(path, stats, config, &state),
        };
        if let Err(failure) = written {
            let failure = failure.context("the metrics have not been written");
            print::warning(context.common.log_format, None, &failure.what);
        }
    }
    Ok(if arguments.once { Exit::of_repeatable(statuses) } else { Exit::of_all(statuses) })
}

/// Reads the history, newest first. If it cannot be read, the run continues without it.
pub(super) fn recall(state: &State, mut learn: impl FnMut(&RunReport)) {
    let mut reports = || -> Result<(), StateError> {
        for report in state.history()? {
            learn(&report?);
        }
        Ok(())
    };
    if let Err(error) = reports() {
        tracing::warn!(%error, "cannot read the history, and continues without it");
    }
}

/// Writes the metrics like an export: a collector sees either the previous file or the new one, and ignores the temporary
/// file, whose name cannot be guessed.
fn write_metrics(path: &Path, stats: &RunStats, config: Config, state: &State) -> Result<(), Failure> {
    let now = Timestamp::now();
    let config = LoadedConfig::new(config);
    let (marks, _) = config.marks(state);
    let (watermarks, unread) = config.watermarks(state);
    for error in unread {
        tracing::warn!(%error, "cannot read how far a job has come");
    }
    let snapshot = Snapshot {
        now,
        jobs: config.snapshots(marks, now),
        marks: watermarks,
        reading: Reading { taken: now, refused: None },
        stopping: false,
    };
    let text = metrics::text(stats, &snapshot);
    // The directory is not created. A new one would be a misspelled one, which no collector reads.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory
        .map_or(Ok(()), |directory| fs::metadata(directory).map(drop))
        .map_err(|error| Failure::of_file(Exit::Output, "cannot write", path, &error))?;
    let output = Output::from(LocalFile::new(path, IfExists::Replace, None)?.of_query());
    output.sweep()?;
    let mut staged = output.stage(&RunId::new(now, clock::System::new().random()))?;
    staged.write_all(text.as_bytes()).map_err(output::write_failure)?;
    output::publish(vec![staged.seal()?]).map_err(|unpublished| unpublished.failure)?;
    Ok(())
}

/// The shard to run.
fn shard(arguments: &RunArguments) -> Result<Option<Shard>, Failure> {
    let Some(text) = &arguments.shard else {
        return match arguments.shard_by {
            None => Ok(None),
            Some(_) => Err(Failure::new(Exit::Usage, "--shard-by has no effect without --shard")
                .hint("add --shard I/N, or leave out --shard-by")),
        };
    };
    let shard =
        Shard::parse(text, |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
    shard.map(Some).map_err(|error| {
        Failure::new(Exit::Usage, format!("--shard {text:?}: {}", error.what)).hint(error.hint)
    })
}

/// The time for which everything is exported once.
fn occurrence(arguments: &RunArguments) -> Result<Option<Timestamp>, Failure> {
    match (arguments.once, arguments.at) {
        (true, None) => Err(Failure::new(Exit::Usage, "--once has no effect without --at")
            .hint("add --at with the scheduled time of the run, the same in each attempt")),
        (once, at) => Ok(at.filter(|_| once)),
    }
}

/// The exports to run: the jobs, each with one of its orgs, sorted by name.
fn chosen(config: &Config, arguments: &RunArguments) -> Result<Vec<Arc<Job>>, Failure> {
    let orgs: Result<Vec<_>, _> =
        arguments.orgs.iter().map(|org| config.org(Some(org)).map(|org| &org.name)).collect();
    let orgs = orgs?;
    let wanted = |job: &&Job| {
        if arguments.all { job.enabled } else { arguments.jobs.iter().any(|name| name == job.name.as_str()) }
    };
    let jobs: Vec<_> = config.jobs.iter().filter(wanted).collect();
    if jobs.is_empty() {
        let directory = config.settings.jobs_dir.display();
        let hint = match config.jobs.first() {
            None => "write a job file NAME.toml with `soql` and `output`".to_owned(),
            Some(job) => format!(
                "set enabled = true in the jobs for --all, or run a disabled job by its name: `sfexport run {}`",
                job.name
            ),
        };
        let what = format!("there is no enabled job in {directory}");
        return Err(Failure::new(Exit::Configuration, what).hint(hint));
    }
    if orgs.is_empty() {
        return Ok(jobs.into_iter().cloned().map(Arc::new).collect());
    }
    let of_orgs: Vec<_> = jobs.iter().copied().filter(|job| orgs.contains(&&job.org)).collect();
    let left_out = match arguments.all {
        true => jobs.first().filter(|_| of_orgs.is_empty()),
        // A job that is named must run.
        false => jobs.iter().find(|job| !of_orgs.iter().any(|of_org| of_org.name == job.name)),
    };
    match left_out {
        Some(job) => Err(left_out_by_orgs(config, arguments, &job.name)),
        None => Ok(of_orgs.into_iter().cloned().map(Arc::new).collect()),
    }
}

/// The failure of `--org` if it leaves nothing of this job, or of all jobs.
fn left_out_by_orgs(config: &Config, arguments: &RunArguments, job: &JobName) -> Failure {
    const MAX_NAMES: usize = 5;
    let quoted: Vec<_> = arguments.orgs.iter().map(|org| format!("--org {org:?}")).collect();
    let (quoted, the_orgs) = (quoted.join(" "), if quoted.len() == 1 { "this org" } else { "these orgs" });
    if arguments.all {
        return Failure::new(Exit::Usage, format!("{quoted}: no enabled job exports from {the_orgs}"))
            .hint("run `sfexport jobs` to list the jobs with their orgs");
    }
    let orgs: Vec<_> = config.jobs.iter().filter(|of| of.name == *job).map(|job| job.org.as_str()).collect();
    Failure::new(Exit::Usage, format!("{quoted}: the job {job} does not export from {the_orgs}"))
        .hint(format!("it exports from {}", human::list(orgs.iter(), MAX_NAMES)))
}

/// Prints a remark, or logs it if the log is in JSON.
fn remark(form: Form, text: &str) {
    match form {
        Form::Json => tracing::info!("{text}"),
        Form::Text => print::note(form, text),
    }
}

/// Prints the failures and skips of a set's objects as they occur, and with `--json` a report for each.
struct ObjectLines {
    is_json: bool,
    form: Form,
}

impl Monitor for ObjectLines {
    fn notice(&self, _run: &RunId, event: &Event<'_>) {
        match event {
            Event::ObjectEnded { report } => {
                shown_failure(report, Some(report), self.form);
                if self.is_json {
                    print::report(report);
                }
            }
            Event::ObjectSkipped { job, object, reason } => {
                let name = print::job_name(job.job().as_str(), job.org().as_str());
                print::note(self.form, &format!("{name}: {object} skipped: {reason}"));
            }
            _ => {}
        }
    }
}

/// The files of the runs, which the metrics must not replace.
#[derive(Default)]
struct Outputs(Mutex<BTreeSet<PathBuf>>);

impl Outputs {
    fn add(&self, report: &RunReport) {
        let files = report.files.iter().map(|file| &file.path);
        let paths = report.path.iter().chain(files).map(PathBuf::from);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(paths);
    }

    fn have(&self, path: &Path) -> bool {
        let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let path = resolved(path);
        let outputs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.iter().any(|output| resolved(output) == path)
    }
}

impl Monitor for Outputs {
    fn notice(&self, _run: &RunId, event: &Event<'_>) {
        if let Event::ObjectEnded { report } = event {
            self.add(report);
        }
    }
}

/// Prints the result of a run, and returns its status.
fn show(report: &RunReport, arguments: &RunArguments, form: Form) -> Exit {
    let exit = match form {
        Form::Text if !arguments.dry_run => shown_failure(&without_repetition(report), Some(report), form),
        _ => shown_failure(report, Some(report), form),
    };
    if arguments.json {
        print::report(report);
    } else if exit == Exit::Success && !print::is_quiet() {
        print::line(success(report, arguments.dry_run));
    }
    exit
}

/// The report of a set without the failure of its only failed object: [`ObjectLines`] has printed it just before. A set
/// that ended early still has to say so.
fn without_repetition(report: &RunReport) -> Cow<'_, RunReport> {
    let complete = report.set.as_ref().filter(|set| set.not_tried == 0);
    match complete.map(|set| set.failed.as_slice()) {
        Some([object]) if object.exit_status == report.exit_status => {
            let error = Some(format!("1 object failed: {}", object.object));
            Cow::Owned(RunReport { error, hint: None, ..report.clone() })
        }
        _ => Cow::Borrowed(report),
    }
}

/// The line of a successful run, for people on a terminal, otherwise for scripts.
fn success(report: &RunReport, dry_run: bool) -> String {
    let path = report.path.as_deref().unwrap_or_default();
    let is_skipped = report.status == RunStatus::Skipped;
    let records = || match (is_skipped, dry_run) {
        (true, _) => "skipped".to_owned(),
        (false, true) => "ready".to_owned(),
        (false, false) => report.records.to_string(),
    };
    if !io::stdout().is_terminal() {
        return format!("{}\t{}\t{path}", report.job, records());
    }
    let name = print::run_name(report);
    let done = print::coloured("✓", Colour::Green, print::colours_of(&io::stdout()));
    let path = human::path(path);
    if is_skipped {
        let skipped = print::coloured("-", Colour::Grey, print::colours_of(&io::stdout()));
        let to = if path.is_empty() { String::new() } else { format!(" → {path}") };
        return format!(
            "{skipped} {name}: {} exported by an earlier attempt{to}",
            human::counted(report.records, "record")
        );
    }
    if dry_run {
        return match path {
            "" => format!("{done} {name}: ready"),
            path => format!("{done} {name}: ready to write {path}"),
        };
    }
    let objects = report.set.as_ref().map(objects).unwrap_or_default();
    // A set without a manifest has no path.
    let to = if path.is_empty() { String::new() } else { format!(" → {path}") };
    format!(
        "{done} {name}: {objects}{}{}, {} in {}{to}",
        exported(report),
        human::count_note(report).map_or_else(String::new, |note| format!(" ({note})")),
        human::bytes(report.bytes),
        human::duration(report.ended.duration_since(report.started)),
    )
}

/// `4,948 records`; of an incremental export `12 changed records and 3 deleted`.
fn exported(report: &RunReport) -> String {
    let noun = match report.kind {
        Some(ExportKind::Changes) => "changed record",
        Some(ExportKind::Full) | None => "record",
    };
    let deleted = report.deleted.filter(|deleted| *deleted > 0);
    let deleted =
        deleted.map_or_else(String::new, |deleted| format!(" and {} deleted", human::number(deleted)));
    format!("{}{deleted}", human::counted(report.records, noun))
}

/// `400 objects (3 skipped), `; of a retry `400 objects (397 by an earlier attempt, 3 skipped), `.
fn objects(set: &SetSummary) -> String {
    let mut notes = Vec::new();
    if set.carried_over > 0 {
        notes.push(format!("{} by an earlier attempt", human::number(set.carried_over)));
    }
    if !set.skipped.is_empty() {
        notes.push(format!("{} skipped", human::number(set.skipped.len() as u64)));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    format!("{}{notes}, ", human::counted(set.exported + set.carried_over, "object"))
}

/// Prints a run's failure and warnings, and returns its status.
pub(super) fn shown_failure(report: &RunReport, of: Option<&RunReport>, form: Form) -> Exit {
    for warning in &report.warnings {
        print::warning(form, of, warning);
    }
    let exit = Exit::from_code(report.exit_status);
    if let Some(what) = &report.error {
        let failure = Failure { hint: report.hint.clone(), ..Failure::new(exit, what.as_str()) };
        print::failure(form, of, &failure);
    }
    exit
}

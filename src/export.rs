//! One run of one job, from its locks to its report; `task` runs any job, and `set` a set of objects.
//!
//! Records flow one way: [`OrgClient`] brings a page's bytes, `transfer` follows the pages to the last, `writer` reads and
//! encodes them on its own thread while the next page is on its way, and `publish` lets the files appear once they are
//! whole and counted. `run` takes these steps in their order.

mod after;
mod counting;
mod describe;
mod drift;
mod error;
mod file;
mod incremental;
mod locks;
mod manifest;
mod object;
mod once;
mod pending;
mod plan;
mod publish;
mod recovery;
mod refused_query;
mod run;
mod scratch;
mod set;
mod slots;
mod task;
mod tracking;
mod transfer;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::display;

use crate::client::{OrgClient, OrgTime};
use crate::clock::{Clock, log_seconds};
use crate::config;
use crate::error::{Exit, Failure};
use crate::http::Http;
use crate::job::output_path::Fields;
use crate::job::{ExportKey, ExportKind, Job};
use crate::monitor::{Event, Monitor};
use crate::org::Org;
use crate::output::Output;
use crate::report::{RunId, RunReport, RunStatus};
use crate::retry::RetryPolicy;
use crate::salesforce::describe::ObjectDescription;
use crate::salesforce::fault::ErrorCode;
use crate::soql::Columns;
use crate::state::State;
use crate::stop::Stop;

pub(crate) use after::{Program, find_program};
pub(crate) use describe::{describe, describe_deletes};
pub(crate) use drift::{Former as FormerColumns, compare as compare_columns};
pub use error::RunError;
pub(crate) use incremental::deletes::PART as DELETES_PART;
pub(crate) use incremental::{
    Increment, Known, OTHER_RECORDS, already_there, clock_warning, fingerprint, full_due, may_lack_deletes,
    provisional_mark, selects_other_records,
};
pub(crate) use object::{
    Generated, Warning, describe_columns, generate as generate_query, of_description as query_of_description,
    unknown_object,
};
pub use once::Once;
pub use plan::{columns, described_columns};
pub(crate) use plan::{needs_description, not_described};
pub(crate) use refused_query::{explained, similar};
pub use scratch::check as check_scratch_dir;
pub(crate) use set::{gone, holes};
pub use slots::{Promise, Slot, SlotLimits, Slots};
pub(crate) use task::check_object;
pub use task::{Start, Task};
pub(crate) use tracking::{Tracking, describe_exported, tracking};
pub(crate) use transfer::{Expected, Forecast, demanded_and_refused, expected};

use after::Commands;
use locks::Locks;

/// The world as a run sees it, shared by all runs of a process.
pub struct Edges {
    /// The network.
    pub http: Http,
    /// The time, and waiting.
    pub clock: Arc<dyn Clock>,
    /// Who listens.
    pub monitor: Arc<dyn Monitor>,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// How many records a page is asked to hold.
    pub batch_size: u32,
    /// Where rows are held that are too many for memory.
    pub scratch_dir: PathBuf,
    /// Locks, notes and history; `None` for a query without a job, which leaves nothing behind.
    pub state: Option<State>,
    /// Room for exports.
    pub slots: Slots,
}

impl Edges {
    /// The world as the settings say.
    #[must_use]
    pub fn new(
        settings: &config::Settings,
        clock: Arc<dyn Clock>,
        monitor: Arc<dyn Monitor>,
        state: Option<State>,
    ) -> Self {
        let &config::Http { attempts, wait_min, wait_max, batch_size, .. } = &settings.http;
        let retry = RetryPolicy { attempts, wait_min, wait_max };
        let http = Http::new(settings.http.clone());
        let scratch_dir = settings.scratch_dir.as_ref().unwrap_or(&settings.state_dir).clone();
        Self { http, clock, monitor, retry, batch_size, scratch_dir, state, slots: Slots::default() }
    }

    /// The same world with these slots, which others share.
    #[must_use]
    pub fn with_slots(self, slots: Slots) -> Self {
        Self { slots, ..self }
    }
}

/// One run to be done.
pub struct Run {
    /// What is exported.
    pub job: Arc<Job>,
    /// From where.
    pub org: Arc<Org>,
    /// Its id.
    pub id: RunId,
    /// The occurrence it is for; `None` for a run by hand.
    pub scheduled: Option<Timestamp>,
    /// Where the export goes; of an incremental export, a path like it.
    pub output: Output,
    /// How far it goes.
    pub extent: Extent,
    /// Whether the export of an earlier attempt of the same occurrence stands, if only its command failed.
    pub resumes: bool,
    /// Whether an incremental job exports everything.
    pub wants_full: bool,
    /// The timestamp that the dates in the output's path show.
    pub timestamp: Timestamp,
    /// What it gets from the set that it is a part of.
    pub part: Option<Part>,
}

/// What the export of one object gets from the run of its set: the session, and what the org said of the object.
pub struct Part {
    client: Arc<OrgClient>,
    /// The id of the set's run, which all its paths show.
    set_id: RunId,
    description: ObjectDescription,
    /// The org's clock when the set began, if that had to be asked for.
    time: Option<OrgTime>,
    on_refusal: OnRefusal,
    /// Whether the set reports for it: the monitor hears of the set alone.
    is_reported_by_set: bool,
}

/// What it means for a set if the org refuses an object's query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OnRefusal {
    /// It does without the object, and reports the org's reason.
    Skip,
    /// The object's export fails.
    Fail {
        /// What to do about it, if it was exported before.
        hint: Option<String>,
    },
}

impl Run {
    /// The id that its paths show.
    fn path_id(&self) -> &RunId {
        self.part.as_ref().map_or(&self.id, |part| &part.set_id)
    }

    /// A run of a job into its own output, begun now. `at` is the timestamp that the output's dates show and the
    /// report calls scheduled; without it the run is by hand, and its dates show its start.
    ///
    /// # Errors
    /// [`Exit::Configuration`] where the output's path cannot be told, [`Exit::Output`] where it names no file.
    pub fn of_job(
        job: &Arc<Job>,
        org: &Arc<Org>,
        clock: &dyn Clock,
        at: Option<Timestamp>,
        extent: Extent,
    ) -> Result<Self, Failure> {
        let now = clock.now();
        // Half of 64 random bits tell runs of one second apart.
        let id = RunId::new(now, clock.random());
        let timestamp = at.unwrap_or(now);
        let path = output_path(job, &fields(job, &id, timestamp, provisional_window(job, now)))?;
        let output = Output::of_job(job, &path)?;
        let (job, org) = (Arc::clone(job), Arc::clone(org));
        let (scheduled, resumes, wants_full, part) = (at, false, false, None);
        Ok(Self { job, org, id, scheduled, output, extent, resumes, wants_full, timestamp, part })
    }

    /// The outputs of all its files: the main one, then those of the child queries.
    ///
    /// # Errors
    /// [`Exit::Usage`] if the output has no place for the child queries' files.
    fn outputs(&self) -> Result<Vec<Output>, Failure> {
        self.output.group(&self.job.child_files())
    }
}

/// What a run puts into the paths of its files.
fn fields<'f>(
    job: &'f Job,
    id: &'f RunId,
    timestamp: Timestamp,
    window: Option<(ExportKind, Timestamp)>,
) -> Fields<'f> {
    let Job { name, org, timezone, .. } = job;
    Fields { job: name, org, run_id: id.as_str(), timestamp, timezone, window }
}

/// The window in an incremental run's path before the real one is known.
fn provisional_window(job: &Job, now: Timestamp) -> Option<(ExportKind, Timestamp)> {
    job.incremental.as_ref().map(|_| (ExportKind::Changes, now))
}

/// The path of a job's output.
///
/// # Errors
/// [`Exit::Configuration`] if the template does not give one.
fn output_path(job: &Job, fields: &Fields<'_>) -> Result<PathBuf, Failure> {
    job.output.expand(fields).map_err(|error| {
        Failure::new(Exit::Configuration, format!("{}: output {:?} {error}", job.name, job.output.text()))
    })
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To the published file.
    Whole,
    /// To the login: everything before the org is asked anything is tried, and nothing is written.
    Login,
}

/// A run that has ended.
pub struct Outcome {
    /// What it did; of a failed run too.
    pub report: RunReport,
    /// Why it failed, for code that acts on the cause.
    pub error: Option<RunError>,
    /// The columns of what was exported.
    columns: Option<Arc<Columns>>,
}

impl Outcome {
    /// That of a run whose job an earlier attempt exported.
    fn skipped(exported: RunReport, warnings: Vec<String>) -> Self {
        Self { report: once::skipped(exported, warnings), error: None, columns: None }
    }
}

/// Does a run and reports what it did, a failure with its exit status too. When it returns, the output is whole or as
/// it was, and nothing else is left of the run.
pub async fn export(mut run: Run, edges: &Arc<Edges>, stop: &Stop) -> Outcome {
    carry_through(&mut run, edges, stop, None).await
}

/// The same with the run at hand afterwards: its part then has the description that was used. What `once` has exported
/// is skipped.
async fn carry_through(run: &mut Run, edges: &Arc<Edges>, stop: &Stop, once: Option<&Once>) -> Outcome {
    let clock = &edges.clock;
    let begun = clock.elapsed();
    let job = Arc::clone(&run.job);
    let mut is_heard = run.part.as_ref().is_none_or(|part| !part.is_reported_by_set);
    let mut report = RunReport::begun(job.name.as_str(), run.org.name.as_str(), run.id.clone(), clock.now());
    report.object = job.object.as_ref().map(ToString::to_string);
    report.settings = edges.state.is_some().then(|| job.digest());
    report.scheduled = run.scheduled;
    report.format = Some(job.format.as_str().to_owned());
    // The path of an incremental export depends on what the org says.
    report.path = job.incremental.is_none().then(|| run.output.location().to_string());
    let locked = blocking(|| Locks::take(run, edges, &mut report.warnings));
    if locked.is_ok()
        && let Some(exported) = once.and_then(|once| blocking(|| once.exported(&job, clock.now())))
    {
        return Outcome::skipped(exported, report.warnings);
    }
    // Another process exports the same occurrence: its end is the one to hear of.
    is_heard &= once.is_none() || !matches!(locked, Err(RunError::AlreadyRunning(_)));
    if is_heard {
        edges.monitor.notice(&report.run_id, &Event::Began { job: &job.job_key() });
    }

    let (locks, ended) = match locked {
        Ok(locks) => {
            let warnings = report.warnings.len();
            let mut ended = with_commands(run, edges, stop, locks.as_ref(), &mut report).await;
            if let Err(RunError::Fault(fault)) = &ended
                && fault.code == Some(ErrorCode::InvalidField)
                && describe_again(run, stop).await
            {
                report.warnings.truncate(warnings);
                ended = run::carry_out(run, edges, stop, locks.as_ref(), &mut report).await;
            }
            (locks, set::with_hint(run, ended))
        }
        Err(error) => (None, Err(error)),
    };
    report.ended = clock.now();
    end(&mut report, ended.as_ref().err());
    // The stages are gone or have become the outputs, so their journal entry has served, unless the job's next run must
    // publish the rest.
    if let (Some(state), Some(locks)) = (&edges.state, &locks)
        && !matches!(ended, Err(RunError::PartlyPublished(_)))
        && let Err(error) = blocking(|| recovery::forget(state, &locks.job))
    {
        not_noted(&mut report, error.into());
    }
    let (columns, error) = match ended {
        Ok(columns) => (columns, None),
        Err(error) => (None, Some(error)),
    };
    if run.extent == Extent::Whole && !set::is_skipped(run, &report, error.as_ref()) {
        blocking(|| record(&mut report, edges, error.as_ref()));
    }
    drop(locks);
    let seconds = log_seconds(clock.elapsed().saturating_sub(begun));
    if is_heard {
        log_summary(&report, seconds);
        edges.monitor.notice(&report.run_id, &Event::Ended { report: &report });
    } else {
        log_part(&report, seconds);
    }
    Outcome { report, error, columns }
}

/// Takes a run through its steps, unless the export of an earlier attempt stands and only its command is left, and runs the
/// command.
async fn with_commands(
    run: &Run,
    edges: &Arc<Edges>,
    stop: &Stop,
    locks: Option<&Locks>,
    report: &mut RunReport,
) -> Result<Option<Arc<Columns>>, RunError> {
    // A set runs its command itself.
    if run.extent == Extent::Login || run.part.is_some() {
        return run::carry_out(run, edges, stop, locks, report).await;
    }
    let remembered = edges.state.as_ref().zip(locks.map(|locks| &locks.job));
    let clock = edges.clock.as_ref();
    let commands = Commands { job: &run.job, resumes: run.resumes, remembered, clock, stop };
    commands.around(report, async |report| run::carry_out(run, edges, stop, locks, report).await).await
}

/// Asks for a new description of a set's object, which has changed since it was described. Whether there is one.
async fn describe_again(run: &mut Run, stop: &Stop) -> bool {
    let (Some(part), Some(object)) = (&mut run.part, &run.job.object) else { return false };
    let described = tokio::select! {
        biased;
        _ = stop.requested() => return false,
        described = part.client.describe_object(object.as_str()) => described,
    };
    match described {
        Ok(described) => part.description = described.of_fields(),
        Err(_) => return false,
    }
    true
}

/// The report of a run that could not start. It is neither recorded nor heard of yet.
pub(crate) fn not_started(
    job: &ExportKey,
    scheduled: Option<Timestamp>,
    error: &RunError,
    clock: &dyn Clock,
) -> RunReport {
    let now = clock.now();
    let id = RunId::new(now, clock.random());
    let mut report = RunReport::begun(job.job().as_str(), job.org().as_str(), id, now);
    report.scheduled = scheduled;
    end(&mut report, Some(error));
    report
}

/// Records that a run could not start, and lets it be heard of.
pub(crate) fn report_not_started(
    job: &Job,
    scheduled: Option<Timestamp>,
    extent: Extent,
    failure: Failure,
    edges: &Edges,
) -> RunReport {
    let mut report = not_started(&job.job_key(), scheduled, &failure.into(), edges.clock.as_ref());
    if extent == Extent::Whole {
        blocking(|| record(&mut report, edges, None));
    }
    edges.monitor.notice(&report.run_id, &Event::Ended { report: &report });
    report
}

/// Writes into the report how its run ended.
fn end(report: &mut RunReport, error: Option<&RunError>) {
    let Some(error) = error else {
        report.status = RunStatus::Ok;
        report.exit_status = Exit::Success.code();
        return;
    };
    let failure = error.clone().into_failure();
    let cancelled = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
    report.status = if cancelled { RunStatus::Cancelled } else { RunStatus::Failed };
    report.exit_status = failure.exit.code();
    report.error = Some(failure.what);
    report.error_redacted = failure.redacted;
    report.hint = failure.hint;
}

/// Appends a run to the history. A run by hand that found its own job running is not recorded: the other run writes
/// the history. An occurrence that was not run is one that somebody will look for, and so is what another job or a
/// broken lock kept out.
fn record(report: &mut RunReport, edges: &Edges, error: Option<&RunError>) {
    let Some(state) = &edges.state else { return };
    if matches!(error, Some(RunError::AlreadyRunning(_))) && report.scheduled.is_none() {
        return;
    }
    let appended = match report.object {
        // A set has hundreds of them each night, and the outputs have the columns.
        Some(_) => state.append(&RunReport { columns: Vec::new(), soql: None, ..report.clone() }),
        None => state.append(report),
    };
    if let Err(error) = appended {
        not_noted(report, error.into());
    }
}

/// A failure to record the run does not change its export.
fn not_noted(report: &mut RunReport, failure: Failure) {
    let RunReport { job, org, run_id, .. } = report;
    tracing::error!(%job, %org, %run_id, error = %failure, "cannot write to the state directory");
    report.warnings.push(failure.what);
}

/// Logs the one event that sums up a run. Whoever shows the report says what went wrong.
fn log_summary(report: &RunReport, seconds: f64) {
    let RunReport {
        job, org, records, bytes, pages, api_calls, logins, retries, restarts, exit_status, ..
    } = report;
    let count = report.count.map(|count| display(count.as_str()));
    let (path, deleted_meanwhile) = (report.path.as_deref(), report.deleted_meanwhile);
    tracing::info!(
        %job,
        run_id = %report.run_id,
        %org,
        status = %report.status.as_str(),
        exit_status,
        records,
        count,
        deleted_meanwhile = (deleted_meanwhile > 0).then_some(deleted_meanwhile),
        bytes,
        pages,
        api = report.api.map(|api| api.as_str()),
        api_calls,
        logins,
        retries,
        restarts,
        seconds,
        kind = report.kind.map(display),
        mark = report.mark.map(display),
        path,
        "run ended"
    );
}

/// The same for one object of a set. The set's event sums up all of them.
fn log_part(report: &RunReport, seconds: f64) {
    let RunReport { job, org, records, bytes, pages, api_calls, retries, exit_status, .. } = report;
    tracing::debug!(
        %job,
        object = report.object.as_deref(),
        run_id = %report.run_id,
        %org,
        status = %report.status.as_str(),
        exit_status,
        records,
        bytes,
        pages,
        api_calls,
        retries,
        seconds,
        path = report.path.as_deref(),
        "object ended"
    );
}

/// Does what waits for a disk beside the network's threads: the other tasks of this one move on meanwhile.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        // There is nobody to move on to.
        _ => work(),
    }
}

/// The failure of something that the code rules out.
pub(crate) fn bug(what: &str) -> Failure {
    Failure::new(Exit::General, format!("a bug in sfexport: {what}"))
}

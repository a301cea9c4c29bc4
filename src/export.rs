//! One run of one job: log in, ask, follow the pages to the last, write, check, publish.
//!
//! The road of a record is one way: [`link`] brings a page's bytes, [`writer`] reads and encodes them on a thread
//! of its own while the next page travels, and only what was whole and counted is published.

mod link;
mod pages;
mod writer;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::error::{Exit, Failure};
use crate::http::Http;
use crate::job::{Children, Format, Job};
use crate::key;
use crate::monitor::{Event, Monitor};
use crate::org::Org;
use crate::output::{self, Output, Staged};
use crate::report::{RunId, RunReport, RunStatus};
use crate::retry::RetryPolicy;
use crate::salesforce::fault::Fault;
use crate::salesforce::query;
use crate::soql::Columns;
use crate::state::{JobLock, Lock, State};
use crate::stop::Stop;

use link::Link;
use pages::End;
use writer::WriterThread;

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
    /// Locks, notes and history; `None` for a query without a job, which leaves nothing behind.
    pub state: Option<State>,
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
    /// Where the export goes.
    pub target: Target,
    /// How far it goes.
    pub extent: Extent,
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To the published file.
    Whole,
    /// To the login: everything before the query is tried, and nothing is written.
    Login,
}

/// The failure of a run whose records went to a reader that stopped reading.
pub const READER_GONE: &str = "the reader of standard output has gone";

/// Where an export goes.
pub enum Target {
    /// To a place where it appears whole.
    Output {
        /// The place.
        output: Box<dyn Output>,
        /// Its path, absolute.
        path: PathBuf,
    },
    /// To whoever reads along, as `query -o -` does: nothing is staged, and nothing can be taken back.
    Stream(Box<dyn Staged>),
}

impl Target {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Output { path, .. } => Some(path),
            Self::Stream(_) => None,
        }
    }
}

/// Does a run, and tells what it did: also of a failure, which is in the report with its exit status.
/// When it ends, the output is whole or as it was, and nothing else is left of the run.
pub async fn export(run: Run, edges: &Arc<Edges>, stop: &Stop) -> RunReport {
    let clock = &edges.clock;
    let (begun, job, extent) = (clock.elapsed(), Arc::clone(&run.job), run.extent);
    let mut report = RunReport::begun(job.name.as_str(), run.org.name.as_str(), run.id.clone(), clock.now());
    report.scheduled = run.scheduled;
    report.format = Some(job.format.as_str().to_owned());
    report.path = Some(run.target.path().map_or_else(|| "-".to_owned(), |path| path.display().to_string()));
    edges.monitor.notice(&report.run_id, &Event::Began { job: job.name.as_str() });

    let locks = lock(&run, edges);
    let outcome = match &locks {
        Ok(locks) => locked_run(run, edges, stop, locks.as_ref(), &mut report).await,
        Err(failure) => Err(failure.clone()),
    };
    report.ended = clock.now();
    match outcome {
        Ok(()) => {
            report.status = RunStatus::Ok;
            report.exit_status = Exit::Success.code();
        }
        Err(failure) => {
            let stopped = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
            report.status = if stopped { RunStatus::Cancelled } else { RunStatus::Failed };
            report.exit_status = failure.exit.code();
            report.error = Some(failure.what);
            report.hint = failure.hint;
        }
    }
    // A run that another's lock kept out is none: the other one writes the history.
    if let (Some(state), Ok(Some(locks))) = (&edges.state, &locks) {
        // The stage is gone or has become the output: its note has served. The export stands as it is, whatever
        // becomes of the notes.
        let appended = if extent == Extent::Whole { state.append(&report) } else { Ok(()) };
        for noted in [state.clear(&locks.job), appended] {
            if let Err(failure) = noted {
                tracing::error!(job = %job.name, error = %failure, "the state folder could not be written");
                report.warnings.push(failure.what);
            }
        }
    }
    drop(locks);
    log_summary(&report, clock.elapsed().saturating_sub(begun).as_secs_f64());
    edges.monitor.notice(&report.run_id, &Event::Ended { report: &report });
    report
}

/// The one event a run that a log reader needs. What went wrong is told by who shows the report.
fn log_summary(report: &RunReport, seconds: f64) {
    let RunReport {
        job, org, records, bytes, pages, api_calls, logins, retries, restarts, exit_status, ..
    } = report;
    let (run_id, path, status) = (report.run_id.as_str(), report.path.as_deref(), report.status.as_str());
    tracing::info!(
        job,
        run_id,
        org,
        status,
        exit_status,
        records,
        bytes,
        pages,
        api_calls,
        logins,
        retries,
        restarts,
        seconds,
        path,
        "run"
    );
}

/// What keeps other processes away from a run's job and output.
struct Locks {
    job: JobLock,
    _output: Option<Lock>,
}

fn lock(run: &Run, edges: &Edges) -> Result<Option<Locks>, Failure> {
    let Some(state) = &edges.state else { return Ok(None) };
    let job = state.lock_job(&run.job.name)?;
    let output = run.target.path().map(|path| state.lock_output(path)).transpose()?;
    // What a crash left of this job's earlier runs: a publish half done goes forward, a stage goes away.
    let left = state.unfinished(&job)?;
    if let Some(intent) = &left.intent {
        output::roll_forward(&intent.renamings, intent.if_exists)?;
    }
    for stage in &left.stages {
        output::sweep(stage)?;
    }
    state.clear(&job)?;
    Ok(Some(Locks { job, _output: output }))
}

async fn locked_run(
    run: Run,
    edges: &Arc<Edges>,
    stop: &Stop,
    locks: Option<&Locks>,
    report: &mut RunReport,
) -> Result<(), Failure> {
    let Run { job, org, id, target, extent, .. } = run;
    let columns = columns(&job)?;
    report.columns = columns.names().to_vec();
    let first = query::path(&org.api_version, job.all_rows, &job.query.text).map_err(Fault::into_failure)?;
    if let Target::Output { output, path } = &target {
        output::sweep_siblings(path)?;
        output.check()?;
    }
    let key = key::load(&org)?;

    let link = Arc::new(Link::new(org, key, Arc::clone(edges), id.clone()));
    let mut ended_from_outside = pin!(async {
        tokio::select! {
            failure = stop.requested() => failure,
            failure = deadline(edges, job.timeout) => failure,
        }
    });
    let granted = tokio::select! {
        biased;
        failure = &mut ended_from_outside => Err(failure),
        granted = link.session() => granted.map_err(Fault::into_failure),
    };
    link.report(report);
    granted?;
    link.notice(&Event::LoggedIn);
    if extent == Extent::Login {
        return Ok(());
    }

    let ahead = !columns.has_children();
    let staged = stage(target, &id, edges, locks)?;
    let mut writer = WriterThread::start(&job, Arc::new(columns), staged)?;
    let (restarts, end) = tokio::select! {
        biased;
        failure = &mut ended_from_outside => (0, Err(End::Failure(failure))),
        end = pages::transfer(&link, &first, ahead, &mut writer) => end,
    };
    // Whatever happened: from here on nobody but this function holds the stage.
    let written = writer.end().await;
    link.report(report);
    report.restarts = restarts;
    let written = match end {
        Ok(()) | Err(End::Writer) => written?,
        Err(End::Fault(fault)) => return Err(fault.into_failure()),
        Err(End::Failure(failure)) => return Err(failure),
    };
    report.records = written.records;
    report.total = written.total;
    report.pages = written.pages;
    if written.lone_surrogates > 0 {
        report.warnings.push(format!(
            "{} lone surrogates, which UTF-8 cannot hold, are U+FFFD in CSV and escapes in JSON",
            written.lone_surrogates
        ));
    }
    let published = tokio::task::spawn_blocking(|| publish(written.staged))
        .await
        .map_err(|error| Failure::new(Exit::General, format!("a bug in sfexport: {error}")))??;
    report.bytes = published.bytes;
    report.sha256 = Some(published.sha256);
    if let (Some(state), Some(locks)) = (&edges.state, locks) {
        state.set_columns(&locks.job, &report.columns)?;
    }
    Ok(())
}

/// The columns of a job, or why its query cannot be exported as the job says.
pub fn columns(job: &Job) -> Result<Columns, Failure> {
    let columns = Columns::of(&job.query)
        .map_err(|error| Failure::new(Exit::Query, format!("the query cannot be exported: {error}")))?;
    if job.format == Format::Csv && columns.has_children() && job.shape.children == Children::Reject {
        return Err(Failure::new(
            Exit::Query,
            "the query has a child query, and the job says children = \"reject\"",
        )
        .hint("leave the child query out, or set children = \"json\""));
    }
    Ok(columns)
}

fn stage(
    target: Target,
    id: &RunId,
    edges: &Edges,
    locks: Option<&Locks>,
) -> Result<Box<dyn Staged>, Failure> {
    let output = match target {
        Target::Output { output, .. } => output,
        Target::Stream(stream) => return Ok(stream),
    };
    if let (Some(state), Some(locks), Some(path)) = (&edges.state, locks, output.stage_path(id)) {
        state.note_stages(&locks.job, &[path])?;
    }
    output.stage(id)
}

fn publish(staged: Box<dyn Staged>) -> Result<output::Published, Failure> {
    let sealed = staged.seal()?;
    let mut published = output::publish(vec![sealed]).map_err(|unpublished| unpublished.failure)?;
    published.pop().ok_or_else(|| Failure::new(Exit::Output, "nothing was published"))
}

async fn deadline(edges: &Edges, timeout: Option<Duration>) -> Failure {
    let Some(timeout) = timeout else { return std::future::pending().await };
    edges.clock.sleep(timeout).await;
    Failure::new(Exit::Unavailable, format!("the run took longer than its timeout of {timeout:?}"))
        .hint("raise timeout, or narrow the query")
}

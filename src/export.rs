//! One run of one job: log in, ask, follow the pages to the last, write, check, publish.
//!
//! The road of a record is one way: `link` brings a page's bytes, `writer` reads and encodes them on a thread
//! of its own while the next page travels, and only what was whole and counted is published.

mod drift;
mod file;
mod link;
mod pages;
mod recovery;
mod writer;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::config;
use crate::error::{Exit, Failure};
use crate::http::Http;
use crate::job::output_path::Fields;
use crate::job::{Children, Format, IfExists, Job, output_path};
use crate::key;
use crate::monitor::{Event, Monitor};
use crate::org::Org;
use crate::output::{self, LocalFile, Output, Owner, Reached, Sealed, Staged};
use crate::report::{ChildFile, RunId, RunReport, RunStatus};
use crate::retry::RetryPolicy;
use crate::salesforce::fault::Fault;
use crate::salesforce::query;
use crate::soql::{Columns, Described};
use crate::state::{JobLock, PublishIntent, State};
use crate::stop::Stop;

use link::Link;
use pages::End;
use recovery::OutputLocks;
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

impl Edges {
    /// The world as the settings say.
    #[must_use]
    pub fn new(
        settings: &config::Http,
        clock: Arc<dyn Clock>,
        monitor: Arc<dyn Monitor>,
        state: Option<State>,
    ) -> Self {
        let &config::Http { attempts, wait_min, wait_max, batch_size, .. } = settings;
        let retry = RetryPolicy { attempts, wait_min, wait_max };
        Self { http: Http::new(settings.clone()), clock, monitor, retry, batch_size, state }
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
    /// Where the export goes.
    pub target: Target,
    /// How far it goes.
    pub extent: Extent,
}

impl Run {
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
        let fields = Fields {
            job: &job.name,
            org: &job.org,
            run_id: id.as_str(),
            timestamp: at.unwrap_or(now),
            timezone: &job.timezone,
        };
        let path = job.output.expand(&fields).map_err(|error| {
            Failure::new(Exit::Configuration, format!("{}: output {:?} {error}", job.name, job.output.text()))
        })?;
        let output = LocalFile::new(&path, job.if_exists, job.file_mode)?.within(job.output.root());
        let target = Target::Output { path: output.path().to_owned(), output: Box::new(output) };
        Ok(Self { job: Arc::clone(job), org: Arc::clone(org), id, scheduled: at, target, extent })
    }
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To the published file.
    Whole,
    /// To the login: everything before the org is asked anything is tried, and nothing is written.
    Login,
}

/// The failure of a run whose records went to a reader that stopped reading.
pub const READER_GONE: &str = "the reader of standard output has gone";

/// How long a run that was stopped waits for its writer.
const WRITER_STOP_TIMEOUT: Duration = Duration::from_millis(800);

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

    let locks = blocking(|| lock(&run, edges, &mut report.warnings));
    let outcome = match &locks {
        Ok(locks) => locked_run(run, edges, stop, locks.as_ref(), &mut report).await,
        Err(kept_out) => Err(kept_out.failure.clone().into()),
    };
    let keeps_note = matches!(&outcome, Err(Broken { keeps_note: true, .. }));
    report.ended = clock.now();
    match outcome {
        Ok(()) => {
            report.status = RunStatus::Ok;
            report.exit_status = Exit::Success.code();
        }
        Err(Broken { failure, .. }) => {
            let stopped = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
            report.status = if stopped { RunStatus::Cancelled } else { RunStatus::Failed };
            report.exit_status = failure.exit.code();
            report.error = Some(failure.what);
            report.hint = failure.hint;
        }
    }
    // What was started by hand beside a run of its own job is none: the other one writes the history. An occurrence
    // that is not run is one that somebody will look for, and so is what another job kept out.
    if let (Some(state), Err(kept_out)) = (&edges.state, &locks)
        && extent == Extent::Whole
        && (!kept_out.by_own_job || report.scheduled.is_some())
        && let Err(failure) = blocking(|| state.append(&report))
    {
        report.warnings.push(failure.what);
    }
    if let (Some(state), Ok(Some(locks))) = (&edges.state, &locks) {
        // The stages are gone or have become the outputs: their note has served, but where the job's next run is
        // to publish the rest. The export stands as it is, whatever becomes of the notes.
        let noted = blocking(|| {
            let cleared = if keeps_note { Ok(()) } else { recovery::forget(state, &locks.job) };
            let appended = if extent == Extent::Whole { state.append(&report) } else { Ok(()) };
            [cleared, appended]
        });
        for noted in noted {
            if let Err(failure) = noted {
                tracing::error!(job = %job.name, error = %failure, "the state directory could not be written");
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

/// Why a run broke off.
struct Broken {
    failure: Failure,
    /// Whether its files wait for the job's next run to look after them: some have appeared and others not, or a
    /// power cut may make it so.
    keeps_note: bool,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, keeps_note: false }
    }
}

/// What keeps other processes away from a run's job and outputs.
struct Locks {
    job: JobLock,
    _outputs: OutputLocks,
}

/// The paths of all the files that a run writes, the main one first; none of a stream.
fn paths(run: &Run) -> Vec<PathBuf> {
    let Some(main) = run.target.path() else { return Vec::new() };
    let children = run.job.child_files().into_iter().map(|part| output_path::beside(main, &part));
    std::iter::once(main.to_owned()).chain(children).collect()
}

/// Why a run did not get its locks.
struct KeptOut {
    failure: Failure,
    /// Whether the job was being run already.
    by_own_job: bool,
}

impl From<Failure> for KeptOut {
    fn from(failure: Failure) -> Self {
        Self { failure, by_own_job: false }
    }
}

fn lock(run: &Run, edges: &Edges, warnings: &mut Vec<String>) -> Result<Option<Locks>, KeptOut> {
    let Some(state) = &edges.state else { return Ok(None) };
    let job = state
        .lock_job(&run.job.name)
        .map_err(|failure| KeptOut { by_own_job: failure.exit == Exit::TryLater, failure })?;
    let (paths, mut outputs) = (paths(run), OutputLocks::default());
    outputs.lock(state, &paths)?;
    recovery::recover(state, &job, &mut outputs, warnings)?;
    for other in state.intents_on(&paths, &job)? {
        // Its outputs are this job's now. What it left comes first, or it would come later, over what is newer.
        recovery::recover(state, &state.lock_job(&other)?, &mut outputs, warnings)?;
    }
    Ok(Some(Locks { job, _outputs: outputs }))
}

async fn locked_run(
    run: Run,
    edges: &Arc<Edges>,
    stop: &Stop,
    locks: Option<&Locks>,
    report: &mut RunReport,
) -> Result<(), Broken> {
    let paths = paths(&run);
    let Run { job, org, id, target, extent, .. } = run;
    let remembered = edges.state.as_ref().zip(locks.map(|locks| &locks.job));
    let known = columns(&job)?;
    // Told at the end: a run that fails leaves the file and its columns as they were, and the next one warns again.
    let mut drifted = None;
    if let Some(columns) = &known {
        report.columns = columns.names().to_vec();
        drifted = blocking(|| drift::look(&job, columns, remembered))?;
    }
    let first = query::path(&org.api_version, job.all_rows, &job.query.text).map_err(Fault::into_failure)?;
    let description = query::description_path(&org.api_version, job.all_rows, &job.query.text)
        .map_err(Fault::into_failure)?;
    let outputs = match target {
        Target::Output { output, .. } => Outputs::of(output, &job),
        Target::Stream(_) if !job.child_files().is_empty() => {
            let what = "a child query's file lies beside the output, and a stream has no place for it";
            let hint = "name a file as the output, or set children = \"json\"";
            return Err(Failure::new(Exit::Usage, what).hint(hint).into());
        }
        Target::Stream(stream) => Outputs::Stream(stream),
    };
    let key = blocking(|| {
        // A dry run takes away nothing: what was noted for its job is settled by now.
        for path in paths.iter().filter(|_| extent == Extent::Whole) {
            // What a dead run left takes room, but keeps nobody from writing beside it.
            let by = if remembered.is_some() { Owner::Job } else { Owner::Query };
            if let Err(failure) = output::sweep_siblings(path, by) {
                tracing::warn!(run_id = %id, error = %failure, "a stale stage could not be removed");
            }
        }
        outputs.check()?;
        key::load(&org)
    })?;

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
        report.warnings.extend(drifted);
        return Ok(());
    }

    let columns = match known {
        Some(columns) => columns,
        None => {
            let described = tokio::select! {
                biased;
                failure = &mut ended_from_outside => Err(failure),
                described = link.description(&description) => described.map_err(Fault::into_failure),
            };
            link.report(report);
            let columns = described_columns(&job, &described?)?;
            report.columns = columns.names().to_vec();
            drifted = blocking(|| drift::look(&job, &columns, remembered))?;
            columns
        }
    };
    let columns = Arc::new(columns);
    let ahead = !columns.has_children();
    let stages = blocking(|| outputs.stage(&id, remembered))?;
    let mut writer = WriterThread::start(&job, Arc::clone(&columns), stages)?;
    let (restarts, end) = tokio::select! {
        biased;
        failure = &mut ended_from_outside => (0, Err(End::Failure(failure))),
        end = pages::transfer(&link, &first, ahead, &mut writer) => end,
    };
    // Whatever happened: from here on nobody but this function holds the stages. But a run that was stopped does not
    // wait for a reader or a disk that hangs: its thread is left behind, and a stage with it, for the next run to sweep.
    let stopped = matches!(end, Err(End::Failure(_)));
    let written =
        match tokio::time::timeout(if stopped { WRITER_STOP_TIMEOUT } else { Duration::MAX }, writer.end())
            .await
        {
            Ok(written) => written,
            Err(_) => Err(Failure::new(Exit::Output, "what was being written hangs")),
        };
    link.report(report);
    report.restarts = restarts;
    let written = match end {
        Ok(()) | Err(End::Writer) => written?,
        Err(End::Fault(fault)) => return Err(fault.into_failure().into()),
        Err(End::Failure(failure)) => return Err(failure.into()),
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
    // The one that readers wait for comes last.
    let (mut group, counts): (Vec<_>, Vec<_>) = written.children.into_iter().unzip();
    group.push(written.staged);
    let mut published = publish(group, job.if_exists, remembered).await?;
    let main = published.pop().ok_or_else(|| Failure::new(Exit::Output, "nothing was published"))?;
    report.warnings.extend(drifted);
    report.bytes = main.bytes;
    report.sha256 = Some(main.sha256);
    for (((of, table), records), file) in
        job.child_files().into_iter().zip(columns.tables()).zip(counts).zip(published)
    {
        report.files.push(ChildFile {
            of,
            path: file.path.display().to_string(),
            records,
            bytes: file.bytes,
            sha256: file.sha256,
            columns: table.columns.names().to_vec(),
        });
    }
    if let Some((state, lock)) = remembered {
        // The export is published; whatever becomes of this note, it did not fail.
        if let Err(failure) = blocking(|| state.set_columns(lock, &drift::noted(&job, &columns))) {
            report.warnings.push(failure.what);
        }
    }
    Ok(())
}

/// Does what waits for a disk beside the network's threads: the other tasks of this one move on meanwhile.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        // There is nobody to move on to.
        _ => work(),
    }
}

/// The columns of a job, as far as its query's text tells them: `None` where the org has to be asked. Or why the
/// query cannot be exported as the job says.
pub fn columns(job: &Job) -> Result<Option<Columns>, Failure> {
    let has_children = !job.query.statement.child_queries().is_empty();
    if job.format == Format::Csv && has_children && job.shape.children == Children::Reject {
        return Err(Failure::new(
            Exit::Query,
            "the query has a child query, and the job says children = \"reject\"",
        )
        .hint("leave the child query out, or set children = \"json\" or \"files\""));
    }
    if Columns::need_description(&job.query, job.layout()) {
        return Ok(None);
    }
    laid_out(job, None).map(Some)
}

/// The columns of a job whose query the org has described.
pub fn described_columns(job: &Job, described: &[Described]) -> Result<Columns, Failure> {
    laid_out(job, Some(described))
}

fn laid_out(job: &Job, described: Option<&[Described]>) -> Result<Columns, Failure> {
    Columns::laid_out(&job.query, job.layout(), described)
        .map_err(|error| Failure::new(Exit::Query, format!("the query cannot be exported: {error}")))
}

/// Where the files of one run go.
enum Outputs {
    /// The main one, then those of the child queries.
    Places(Vec<Box<dyn Output>>),
    Stream(Box<dyn Staged>),
}

impl Outputs {
    fn of(mut main: Box<dyn Output>, job: &Job) -> Self {
        if !job.child_files().is_empty() {
            main.join_group();
        }
        let mut places: Vec<_> = job.child_files().iter().map(|part| main.beside(part)).collect();
        places.insert(0, main);
        Self::Places(places)
    }

    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Places(places) => places.iter().try_for_each(|place| place.check()),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Opens the stages, whose paths are noted before the first of them is there.
    fn stage(
        self,
        id: &RunId,
        remembered: Option<(&State, &JobLock)>,
    ) -> Result<Vec<Box<dyn Staged>>, Failure> {
        let places = match self {
            Self::Places(places) => places,
            Self::Stream(stream) => return Ok(vec![stream]),
        };
        let paths: Vec<_> = places
            .iter()
            .flat_map(|place| [place.stage_path(id), place.waiting_path(id)])
            .flatten()
            .collect();
        if let (Some((state, lock)), false) = (remembered, paths.is_empty()) {
            state.note_stages(lock, &paths)?;
        }
        places.iter().map(|place| place.stage(id)).collect()
    }
}

/// Flushes the files of a run and lets them appear together, in their order. Several are noted before the first
/// appears: if the process dies between two of them, the job's next run publishes the rest.
async fn publish(
    group: Vec<Box<dyn Staged>>,
    if_exists: IfExists,
    remembered: Option<(&State, &JobLock)>,
) -> Result<Vec<output::Published>, Broken> {
    let bug = |error| Failure::new(Exit::General, format!("a bug in sfexport: {error}"));
    let seal = move || group.into_iter().map(Staged::seal).collect::<Result<Vec<Box<dyn Sealed>>, _>>();
    let sealed = tokio::task::spawn_blocking(seal).await.map_err(bug)??;
    let renamings: Vec<_> = sealed.iter().filter_map(|sealed| sealed.renaming()).collect();
    let is_noted = renamings.len() > 1;
    if let (Some((state, lock)), true) = (remembered, is_noted) {
        blocking(|| {
            let known = renamings.iter().map(|(stage, output)| output::known_files(stage, output));
            let known = known.collect::<Result<_, _>>()?;
            state.note_intent(lock, PublishIntent { renamings, known, if_exists })
        })?;
    }
    let published = tokio::task::spawn_blocking(|| output::publish(sealed)).await.map_err(bug)?;
    published.map_err(|unpublished| {
        let failure = match unpublished.reached {
            Reached::Some => unpublished.failure.context("not all of the run's files could be published"),
            Reached::Nothing | Reached::All => unpublished.failure,
        };
        Broken { failure, keeps_note: is_noted && unpublished.reached != Reached::Nothing }
    })
}

async fn deadline(edges: &Edges, timeout: Option<Duration>) -> Failure {
    let Some(timeout) = timeout else { return std::future::pending().await };
    edges.clock.sleep(timeout).await;
    Failure::new(Exit::Unavailable, format!("the run took longer than its timeout of {timeout:?}"))
        .hint("raise timeout, or narrow the query")
}

//! Query jobs of Bulk API 2.0: what each was asked, what became of it, and the rows of its result. `page` cuts those into
//! pages, `routes::jobs` speaks HTTP, `render::csv` writes the rows.

mod page;

pub(super) use page::{Page, locator_of, plain_locator, read_locator};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::data::{DataSet, RecordId, Row};
use super::plan::{Plan, Planner};
use super::query::{Selection, select};
use super::refusal::Refusal;
use super::render::csv::{Columns, Style};
use super::schema::Object;
use super::{Org, Request, lock, restriction};

/// How an org carries out query jobs.
#[derive(Debug, Clone)]
pub struct BulkOptions {
    /// How many times a job is reported as `InProgress` before it is complete; with 0, it is complete at once.
    pub polls: usize,
    /// The least time from a job's creation to its completion.
    pub time: Duration,
    /// The most rows on a page of a result, whatever `maxRecords` asks for.
    pub page_rows: usize,
    /// How many rows a chunk has, if queries without ORDER BY and LIMIT are split by primary key: their rows come in
    /// another order than by REST, and no page has rows of two chunks.
    pub chunk_rows: Option<usize>,
    /// Whether some whole numbers are written as `3.0`, as real orgs do.
    pub whole_as_doubles: bool,
    /// Query jobs made before the first, and allowed, within 24 hours.
    pub daily_jobs: (u64, u64),
    /// Kilobytes of results stored before the first job, and allowed, within 24 hours.
    pub daily_kilobytes: (u64, u64),
}

impl Default for BulkOptions {
    fn default() -> Self {
        Self {
            polls: 1,
            time: Duration::ZERO,
            page_rows: 50_000,
            chunk_rows: None,
            whole_as_doubles: true,
            daily_jobs: (0, 10_000),
            daily_kilobytes: (0, 1_000_000_000),
        }
    }
}

/// A query job that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkJob {
    /// Its id, 18 characters.
    pub id: String,
    /// The object that it queries.
    pub object: String,
    /// `UploadComplete`, `InProgress`, `JobComplete`, `Failed` or `Aborted`.
    pub state: String,
}

/// What happens to a query job; see [`super::Fault::Job`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It fails, with this `errorMessage` or without one.
    Fails(Option<String>),
    /// Somebody else aborts it.
    IsAborted,
    /// Somebody else deletes it.
    IsDeleted,
    /// It stays `InProgress` for ever.
    NeverEnds,
}

/// What a request about query jobs does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    List,
    Poll,
    Results,
    Pages,
    Abort,
    Delete,
}

/// What a request does, if it is one about query jobs.
pub(super) fn call(request: &Request) -> Option<Call> {
    let (_, rest) = request.path().strip_prefix("/services/data/")?.split_once("/jobs/query")?;
    let rest: Vec<&str> = rest.trim_matches('/').split('/').collect();
    match (request.method.as_str(), rest.as_slice()) {
        ("POST", [""]) => Some(Call::Create),
        ("GET", [""]) => Some(Call::List),
        ("GET", [_]) => Some(Call::Poll),
        ("PATCH", [_]) => Some(Call::Abort),
        ("DELETE", [_]) => Some(Call::Delete),
        ("GET", [_, "results"]) => Some(Call::Results),
        ("GET", [_, "resultPages"]) => Some(Call::Pages),
        _ => None,
    }
}

/// The query jobs of an org.
#[derive(Debug)]
pub(super) struct Jobs {
    list: Mutex<BTreeMap<RecordId, Arc<Job>>>,
    serial: AtomicUsize,
    /// Made within 24 hours, and the kilobytes of their results. An org does not run that long.
    made: AtomicU64,
    kilobytes: AtomicU64,
}

/// What the body of a creation asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) soql: String,
    pub(super) all_rows: bool,
    /// As in `60.0`, and its number.
    pub(super) version: (String, u32),
    /// The names that the job repeats.
    pub(super) delimiter: &'static str,
    pub(super) line_ending: &'static str,
    pub(super) style: Style,
}

/// A query job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: RecordId,
    pub(super) asked: Asked,
    pub(super) created: Timestamp,
    plan: Plan,
    columns: Columns,
    rows: Selection,
    /// The rows of a chunk, if the result is made of chunks.
    chunk_rows: Option<usize>,
    began: Instant,
    progress: Mutex<Progress>,
}

/// How far a job has come.
#[derive(Debug)]
struct Progress {
    polls: usize,
    end: Option<Fate>,
    /// When its state last changed, and how long it took: as far as somebody asked.
    changed: Timestamp,
    took: Option<Duration>,
}

/// The states of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    UploadComplete,
    InProgress,
    JobComplete,
    Failed(Option<String>),
    Aborted,
}

impl State {
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed(_) => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// As a refusal of results spells it.
    pub(super) fn in_capitals(&self) -> &'static str {
        match self {
            Self::UploadComplete => "UPLOAD_COMPLETE",
            Self::InProgress => "IN_PROGRESS",
            Self::JobComplete => "JOB_COMPLETE",
            Self::Failed(_) => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }

    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed(_) | Self::Aborted)
    }
}

impl Jobs {
    pub(super) fn new(options: &BulkOptions) -> Self {
        Self {
            list: Mutex::default(),
            serial: AtomicUsize::new(0),
            made: AtomicU64::new(options.daily_jobs.0),
            kilobytes: AtomicU64::new(options.daily_kilobytes.0),
        }
    }

    /// How many were made.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// How many kilobytes of results were stored.
    pub(super) fn kilobytes(&self) -> u64 {
        self.kilobytes.load(Ordering::Relaxed)
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Job>> {
        lock(&self.list).get(&RecordId::parse(id)?).cloned()
    }

    /// In the order of their creation.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        lock(&self.list).values().cloned().collect()
    }

    /// Forgets a job; `false` if there is none.
    pub(super) fn delete(&self, id: &str) -> bool {
        RecordId::parse(id).is_some_and(|id| lock(&self.list).remove(&id).is_some())
    }

    /// Makes a job whose rows are those that the org has now.
    pub(super) fn create(&self, org: &Org, asked: Asked) -> Result<Arc<Job>, Refusal> {
        let options = &org.options.bulk;
        let mut job = Job::new(&org.data, asked, options)?;
        let (_, most) = options.daily_jobs;
        let made = self.made();
        if made >= most {
            let message = format!("Max bulk v2 query jobs ({most}) per 24 hrs has been reached ({made})");
            return Err(Refusal::new("LIMIT_EXCEEDED", message));
        }
        let (_, most) = options.daily_kilobytes;
        if self.kilobytes() >= most {
            let message =
                format!("Max bulk v2 query result size stored ({most}) kb per 24 hrs has been exceeded");
            return Err(Refusal::new("LIMIT_EXCEEDED", message));
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        self.kilobytes.fetch_add(job.estimated_bytes(&org.data) / 1024, Ordering::Relaxed);
        job.id = RecordId::new("750", self.serial.fetch_add(1, Ordering::Relaxed));
        let job = Arc::new(job);
        lock(&self.list).insert(job.id, Arc::clone(&job));
        Ok(job)
    }
}

/// The whole result of a query, on one page.
pub(super) fn results(
    data: &DataSet,
    soql: &str,
    all_rows: bool,
    options: &BulkOptions,
) -> Result<Vec<u8>, Refusal> {
    let style =
        Style { delimiter: b',', line_end: "\n", whole_as_doubles: options.whole_as_doubles, long_texts: 0 };
    let version = ("62.0".to_owned(), 62);
    let (delimiter, line_ending) = ("COMMA", "LF");
    let asked = Asked { soql: soql.to_owned(), all_rows, version, delimiter, line_ending, style };
    let job = Job::new(data, asked, options)?;
    Ok(job.text(data, 0..job.len(), style))
}

impl Job {
    fn new(data: &DataSet, asked: Asked, options: &BulkOptions) -> Result<Self, Refusal> {
        let plan = Planner::plan(data, &asked.soql, asked.all_rows)?;
        restriction::check_bulk(&plan)?;
        let columns = Columns::of(data, &asked.soql, &plan)?;
        // Versions before 50.0 sort them.
        let columns = if asked.version.1 < 50 { columns.sorted() } else { columns };
        let rows = select(data, &plan, asked.all_rows);
        let is_whole = plan.limit.is_none() && plan.order.is_empty();
        let now = data.clock().now();
        Ok(Self {
            id: RecordId::new("750", 0),
            created: now,
            plan,
            columns,
            rows,
            chunk_rows: options.chunk_rows.filter(|_| is_whole).map(|rows| rows.max(1)),
            began: Instant::now(),
            progress: Mutex::new(Progress { polls: 0, end: None, changed: now, took: None }),
            asked,
        })
    }

    pub(super) fn object(&self) -> &'static Object {
        self.plan.object
    }

    /// How many rows its result has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether its result is made of chunks.
    pub(super) fn is_chunked(&self) -> bool {
        self.chunk_rows.is_some()
    }

    /// Its state, without counting as a poll.
    pub(super) fn state(&self, options: &BulkOptions) -> State {
        self.state_of(&lock(&self.progress), options)
    }

    fn state_of(&self, progress: &Progress, options: &BulkOptions) -> State {
        match &progress.end {
            Some(Fate::Fails(message)) => State::Failed(message.clone()),
            Some(Fate::IsAborted | Fate::IsDeleted) => State::Aborted,
            Some(Fate::NeverEnds) => State::InProgress,
            None if progress.polls >= options.polls && self.began.elapsed() >= options.time => {
                State::JobComplete
            }
            None if progress.polls == 0 => State::UploadComplete,
            None => State::InProgress,
        }
    }

    /// Its state for a poll, which counts.
    pub(super) fn poll(&self, options: &BulkOptions) -> State {
        let mut progress = lock(&self.progress);
        let state = self.state_of(&progress, options);
        progress.polls += 1;
        if state.is_final() && progress.took.is_none() {
            progress.took = Some(self.began.elapsed());
            progress.changed = Timestamp::now();
        }
        if state == State::UploadComplete { State::InProgress } else { state }
    }

    /// Aborts it; `false` if it is over.
    pub(super) fn abort(&self, options: &BulkOptions) -> bool {
        let is_running = !self.state(options).is_final();
        if is_running {
            self.suffer(Fate::IsAborted);
        }
        is_running
    }

    /// Lets something happen to it, even if it is over.
    pub(super) fn suffer(&self, fate: Fate) {
        let mut progress = lock(&self.progress);
        progress.end = Some(fate);
        progress.changed = Timestamp::now();
    }

    /// When its state last changed, and how many milliseconds its work took.
    pub(super) fn times(&self) -> (Timestamp, u128) {
        let progress = lock(&self.progress);
        (progress.changed, progress.took.unwrap_or_default().as_millis())
    }

    /// How many rows the first chunk sent has: the last one by id, which may be short.
    fn first_chunk(&self, rows: usize) -> usize {
        match self.len() % rows {
            0 => rows.min(self.len()),
            rest => rest,
        }
    }

    /// Where the chunk ends that has the row at `from` of the result; where there are no chunks, the result.
    fn chunk_end(&self, from: usize) -> usize {
        let Some(rows) = self.chunk_rows else { return self.len() };
        let first = self.first_chunk(rows);
        if from < first { first } else { first + ((from - first) / rows + 1) * rows }
    }

    /// The row at a place of the result. Chunks come in reverse order, the rows of each in the order of the query.
    fn row<'d>(&self, data: &'d DataSet, at: usize) -> Row<'d> {
        let n = match self.chunk_rows {
            None => at,
            Some(rows) => {
                let (end, first) = (self.chunk_end(at), self.first_chunk(rows));
                let begin = if at < first { 0 } else { end - rows };
                self.len() - end + (at - begin)
            }
        };
        self.rows.row(data, self.plan.object, n)
    }

    /// The header and the rows at these places.
    pub(super) fn text(&self, data: &DataSet, places: impl Iterator<Item = usize>, style: Style) -> Vec<u8> {
        let mut out = Vec::new();
        self.columns.header(&mut out, style);
        for at in places {
            self.columns.record(&mut out, self.row(data, at), style);
        }
        out
    }

    /// About how large its result is, by its first rows.
    fn estimated_bytes(&self, data: &DataSet) -> u64 {
        const SAMPLE: usize = 100;
        let sample = self.len().min(SAMPLE);
        let bytes = self.text(data, 0..sample, self.asked.style).len();
        (bytes * self.len() / sample.max(1)) as u64
    }
}

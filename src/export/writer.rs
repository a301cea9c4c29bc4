//! The thread that reads pages and writes records: the network's threads never wait for a file or for parsing.
//!
//! A page's rows are held in [`pending`](super::pending) until it has been read to its end and counted. So a page that
//! turns out to be truncated can be asked for again without a trace, even if the output is a stream.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::bug;
use super::error::RunError;
use super::file::File;
use super::pending::Pending;
use super::scratch::Scratch;
use super::transfer::{FirstPage, ResultPage, Verdict};
use crate::encode::{Encoder, Footer, Spill};
use crate::error::{Exit, Failure, plain};
use crate::job::Job;
use crate::output::{self, Staged};
use crate::record::{Record, Target, ValueError};
use crate::salesforce::bulk::results::{ResultsError, ResultsReader};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::page::{self, FetchChildren, Head, PageReader};
use crate::salesforce::query::{Count, QueryLocator};
use crate::soql::{BulkQuery, Columns, Query};
use crate::threads;

/// What the writer is to do.
pub(super) enum Command {
    /// Read and write this page.
    Page(Vec<u8>),
    /// The page of children that was asked for.
    Children(Result<Vec<u8>, Fault>),
    /// Read and write this page of a query job's result.
    Result(ResultPage),
    /// Start over with an empty output.
    Restart(Reset),
    /// End the files: the result is complete.
    Finish,
}

/// What comes after a restart.
pub(super) enum Reset {
    /// The same as before.
    Same,
    /// Pages by REST.
    Rest,
    /// Result pages of this query by Bulk.
    Bulk(Arc<BulkQuery>),
}

/// What the writer replies: once to each command but [`Command::Children`], which continues the page.
pub(super) enum Reply {
    /// The page is written.
    Accepted(Accepted),
    /// The page is refused; nothing of it was written.
    Rejected {
        /// Why.
        fault: Fault,
        /// Whether another answer to the same request may do.
        again: bool,
    },
    /// The first page is better not followed by more; nothing of it was written.
    Switch(FirstPage),
    /// The page of children is needed before the page can be written.
    NeedChildren(QueryLocator),
    /// The output is empty again.
    Restarted,
    /// What was written cannot be taken back.
    CannotRestart,
    /// The files are whole.
    Finished,
}

/// Decides at the first page of a result by REST whether the requests for its further pages may be made, and whether they
/// should.
pub(super) type Gate = Box<dyn Fn(FirstPage) -> Verdict + Send>;

/// What is known behind a page that was written.
pub(super) struct Accepted {
    /// The page itself, to be filled again.
    pub(super) page: Vec<u8>,
    pub(super) next: Option<QueryLocator>,
    pub(super) records: u64,
    /// What the org counted; `None` if it does not count.
    pub(super) total: Option<u64>,
    pub(super) bytes: u64,
    /// Whether what was written can be taken back.
    pub(super) can_restart: bool,
}

/// What was written in all, and the stages that hold it.
pub(super) struct Written {
    /// The stage of each file and how many records it holds; the main one first.
    pub(super) files: Vec<(Box<dyn Staged>, u64)>,
    pub(super) lone_surrogates: u64,
}

/// The writer's thread as the network side holds it.
pub(super) struct WriterThread {
    commands: Sender<Command>,
    replies: Receiver<Reply>,
    thread: JoinHandle<Result<Written, RunError>>,
}

impl WriterThread {
    /// `stages`: the output's own, then those of the columns' tables.
    pub(super) fn start(
        job: &Arc<Job>,
        columns: Arc<Columns>,
        stages: Vec<Box<dyn Staged>>,
        scratch: Scratch,
        gate: Gate,
    ) -> Result<Self, Failure> {
        let (commands, told) = channel(1);
        let (answers, replies) = channel(1);
        let writer = Writer::new(job, columns, stages, scratch, gate);
        let thread = threads::spawn("writer", move || writer.work(told, &answers))?;
        Ok(Self { commands, replies, thread })
    }

    /// Tells the writer something, and waits for its answer; `None` where the thread has ended.
    pub(super) async fn ask(&mut self, command: Command) -> Option<Reply> {
        self.commands.send(command).await.ok()?;
        self.replies.recv().await
    }

    /// Ends the thread, and gives what it wrote; where it failed, its stage is gone.
    pub(super) async fn end(self) -> Result<Written, RunError> {
        let Self { commands, replies, thread } = self;
        drop((commands, replies));
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        match ended {
            Ok(Ok(written)) => written,
            Ok(Err(_)) | Err(_) => Err(Failure::new(
                Exit::General,
                "a bug in sfexport: the writer's thread panicked; the log has more",
            )
            .into()),
        }
    }
}

struct Writer {
    job: Arc<Job>,
    columns: Arc<Columns>,
    /// The query whose result comes by Bulk, if it does.
    bulk: Option<Arc<BulkQuery>>,
    /// The main file, then those of the child queries.
    files: Vec<File>,
    pending: Pending,
    record: Record,
    /// Whether what precedes the first record has been written.
    begun: bool,
    scratch: Scratch,
    count: Count,
    gate: Gate,
    lone_surrogates: u64,
}

impl Writer {
    fn new(
        job: &Arc<Job>,
        columns: Arc<Columns>,
        stages: Vec<Box<dyn Staged>>,
        scratch: Scratch,
        gate: Gate,
    ) -> Self {
        let tables = columns.tables();
        let tables = std::iter::once(columns.as_ref()).chain(tables.iter().map(|table| table.columns));
        let encoders = tables
            .map(|columns| Encoder::new(job.format, &job.shape, columns).in_run(|| parquet(job, &scratch)));
        let files: Vec<_> =
            encoders.zip(stages).map(|(encoder, staged)| File::new(encoder, staged)).collect();
        Self {
            job: Arc::clone(job),
            columns,
            bulk: None,
            pending: Pending::new(files.len(), scratch.clone()),
            scratch,
            files,
            record: Record::default(),
            begun: false,
            count: Count::new(job.count_check),
            gate,
            lone_surrogates: 0,
        }
    }

    fn work(mut self, mut told: Receiver<Command>, answers: &Sender<Reply>) -> Result<Written, RunError> {
        while let Some(command) = told.blocking_recv() {
            let reply = match command {
                Command::Page(page) => self.page(page, &mut told, answers)?,
                Command::Result(page) => self.result(page)?,
                Command::Restart(_) if !self.can_restart() => Reply::CannotRestart,
                Command::Restart(reset) => {
                    self.restart(reset)?;
                    Reply::Restarted
                }
                Command::Finish => {
                    self.files.iter_mut().try_for_each(File::finish)?;
                    Reply::Finished
                }
                // The response to a question that a page no longer has.
                Command::Children(_) => continue,
            };
            if answers.blocking_send(reply).is_err() {
                break;
            }
        }
        Ok(Written {
            files: self.files.into_iter().map(File::into_staged).collect(),
            lone_surrogates: self.lone_surrogates,
        })
    }

    fn page(
        &mut self,
        page: Vec<u8>,
        told: &mut Receiver<Command>,
        answers: &Sender<Reply>,
    ) -> Result<Reply, RunError> {
        let mut fetching_failed = false;
        let read = self.read(&page, &mut |locator| {
            let gone = || Fault::new(FaultKind::Unreachable, "the run ended");
            answers.blocking_send(Reply::NeedChildren(locator.clone())).map_err(|_| gone())?;
            match told.blocking_recv() {
                Some(Command::Children(children)) => children.inspect_err(|_| fetching_failed = true),
                _ => Err(gone()),
            }
        });
        let (head, lone_surrogates) = match read {
            Ok(read) => read,
            Err(Unread::Run(error)) => return Err(error),
            Err(Unread::Switch(first)) => {
                self.discard();
                return Ok(Reply::Switch(first));
            }
            Err(Unread::Fault(fault)) => {
                self.discard();
                let again = fault.kind == FaultKind::Truncated && !fetching_failed;
                return Ok(Reply::Rejected { fault, again });
            }
        };
        self.accept()?;
        self.lone_surrogates += lone_surrogates;
        let (records, total) = (self.count.records(), self.count.total());
        let bytes = self.files.iter().map(File::bytes).sum();
        let can_restart = self.can_restart();
        Ok(Reply::Accepted(Accepted { page, next: head.next, records, total, bytes, can_restart }))
    }

    /// Empties the output.
    fn restart(&mut self, reset: Reset) -> Result<(), RunError> {
        self.files.iter_mut().try_for_each(File::restart)?;
        (self.begun, self.lone_surrogates) = (false, 0);
        self.count.start_over();
        let Job { format, shape, .. } = &*self.job;
        let encoder = match &reset {
            Reset::Same => return Ok(()),
            Reset::Rest => Encoder::new(*format, shape, &self.columns),
            Reset::Bulk(query) => Encoder::of_cells(*format, shape, &self.columns, query.json.clone()),
        };
        let encoder = encoder.in_run(|| parquet(&self.job, &self.scratch));
        self.pending.leave_room(matches!(reset, Reset::Bulk(_)));
        self.bulk = match reset {
            Reset::Bulk(query) => Some(query),
            Reset::Same | Reset::Rest => None,
        };
        // Bulk takes no child queries, so there is one file whenever the API is open.
        if let [main] = self.files.as_mut_slice() {
            main.set_encoder(encoder);
        }
        Ok(())
    }

    /// Drops the rows of a page.
    fn discard(&mut self) {
        self.pending.discard();
        self.files.iter_mut().for_each(File::discard);
    }

    /// Encodes a page of a query job's result, to its end, and writes its rows if they are as many as the org says.
    fn result(&mut self, page: ResultPage) -> Result<Reply, RunError> {
        let expected = page.head.records;
        let fault = match self.read_result(page) {
            Ok(rows) if rows == expected => {
                self.accept()?;
                let records = self.files.first().map(File::records).unwrap_or_default();
                let bytes = self.files.iter().map(File::bytes).sum();
                let can_restart = self.can_restart();
                let (page, next, total) = (Vec::new(), None, None);
                return Ok(Reply::Accepted(Accepted { page, next, records, total, bytes, can_restart }));
            }
            Ok(rows) => {
                let what = format!(
                    "a page of the query job's result has {rows} rows, and the org announced {expected}"
                );
                Fault::new(FaultKind::Truncated, what)
            }
            Err(UnreadResult::Run(error)) => return Err(error),
            Err(UnreadResult::Value(fault)) => {
                self.discard();
                return Ok(Reply::Rejected { fault, again: false });
            }
            Err(UnreadResult::Fault(fault)) => fault,
        };
        self.discard();
        Ok(Reply::Rejected { fault, again: true })
    }

    fn read_result(&mut self, page: ResultPage) -> Result<u64, UnreadResult> {
        let (Some(query), [file]) = (&self.bulk, self.files.as_mut_slice()) else {
            return Err(UnreadResult::Run(bug("a query job's result that was not asked for").into()));
        };
        let source: Box<dyn Read> = match page.is_gzip {
            true => Box::new(MultiGzDecoder::new(page.file)),
            false => Box::new(page.file),
        };
        let Self { record, pending, columns, .. } = self;
        let watch = match file.target(record, pending.rows(0)) {
            Target::Cells { watch, .. } => watch,
            Target::Json { .. } => None,
        };
        let scratch = &self.scratch;
        let unread = |error| UnreadResult::of(error, scratch);
        let mut reader = ResultsReader::open(source, &query.columns, watch).map_err(unread)?;
        let form = file.row_form();
        while reader.copy(form, record, pending.rows(0)).map_err(unread)? {
            file.record(record, pending.rows(0))
                .map_err(|error| UnreadResult::Value(value_fault(&error, columns, record, file)))?;
            pending.settle().map_err(|failure| UnreadResult::Run(failure.into()))?;
        }
        Ok(reader.rows())
    }

    /// Whether what was written can be taken back.
    fn can_restart(&self) -> bool {
        self.files.iter().all(File::can_restart)
    }

    /// Encodes a page, to its end, and counts it.
    fn read(&mut self, bytes: &[u8], fetch: &mut FetchChildren<'_>) -> Result<(Head, u64), Unread> {
        let columns = Arc::clone(&self.columns);
        let mut page = PageReader::open(bytes, &columns)?;
        let records = match self.files.as_mut_slice() {
            [main] => one_file(&mut page, &columns, main, &mut self.pending, &mut self.record, fetch)?,
            files => several_files(&mut page, &columns, files, &mut self.pending, fetch)?,
        };
        self.count.accept(page.head(), records)?;
        // Before a row of it is written: an output that is a stream cannot take it back.
        if self.count.pages() == 1
            && let Some(first) = first_page(page.head(), records)
        {
            match (self.gate)(first) {
                Verdict::Go => {}
                Verdict::Switch => return Err(Unread::Switch(first)),
                Verdict::Refuse(fault) => return Err(fault.into()),
            }
        }
        Ok((page.head().clone(), page.lone_surrogates()))
    }

    /// Writes the rows of a page that was accepted.
    fn accept(&mut self) -> Result<(), RunError> {
        if !std::mem::replace(&mut self.begun, true) {
            self.files.iter_mut().try_for_each(File::begin)?;
        }
        let files = &mut self.files;
        self.pending.release(|number, rows| files[number].write(rows))?;
        files.iter_mut().try_for_each(File::accept)
    }
}

/// What a Parquet file says of itself, and where its values wait.
fn parquet(job: &Job, scratch: &Scratch) -> (Footer, Box<dyn Spill>) {
    let soql = job.query().map(Query::without_literals).unwrap_or_default();
    let footer = [
        ("job", job.name.to_string()),
        ("org", job.org.to_string()),
        ("run_id", scratch.run().to_string()),
        ("soql", soql),
    ];
    (footer.into(), Box::new(scratch.spill("cannot hold the values of a row group in")))
}

/// What the first page of a result shows, if further ones follow it; `None` if the org does not say how many records there
/// are.
fn first_page(head: &Head, records: u64) -> Option<FirstPage> {
    head.next.as_ref()?;
    let total = head.total_size?;
    let left = total.saturating_sub(records);
    (records > 0).then(|| FirstPage { total, calls: 1 + left.div_ceil(records).max(1) })
}

fn one_file(
    page: &mut PageReader<'_>,
    columns: &Columns,
    file: &mut File,
    pending: &mut Pending,
    record: &mut Record,
    fetch: &mut FetchChildren<'_>,
) -> Result<u64, Unread> {
    let mut records = 0;
    while page.read(file.target(record, pending.rows(0)), fetch)? {
        file.record(record, pending.rows(0)).map_err(|error| value_fault(&error, columns, record, file))?;
        pending.settle()?;
        records += 1;
    }
    Ok(records)
}

/// The same with a file for each child query.
fn several_files(
    page: &mut PageReader<'_>,
    columns: &Columns,
    files: &mut [File],
    pending: &mut Pending,
    fetch: &mut FetchChildren<'_>,
) -> Result<u64, Unread> {
    let mut broken = None;
    let read = page.rows(fetch, &mut |table, record| {
        let Some(file) = files.get_mut(table) else { return Ok(()) };
        file.record(record, pending.rows(table)).map_err(|error| {
            let tables = columns.tables();
            let own =
                tables.iter().find(|known| known.number == table).map_or(columns, |table| table.columns);
            value_fault(&error, own, record, file)
        })?;
        pending.settle().map_err(|failure| {
            broken = Some(failure);
            Fault::new(FaultKind::InvalidResponse, "the rows cannot be held")
        })
    });
    match broken {
        Some(failure) => Err(failure.into()),
        None => Ok(read?),
    }
}

/// Why a page of a query job's result was not read to its end.
enum UnreadResult {
    /// What was sent; another response to the same request may do.
    Fault(Fault),
    /// A value in it that the output cannot hold.
    Value(Fault),
    /// Something on this side.
    Run(RunError),
}

impl UnreadResult {
    #[cold]
    fn of(error: ResultsError, scratch: &Scratch) -> Self {
        match error {
            ResultsError::Fault(fault) => Self::Fault(fault),
            // An error of the system has a number, and one of the decompression has none.
            ResultsError::Read(error) if error.raw_os_error().is_some() => {
                Self::Run(scratch.failure("cannot read back a page of the result from", &error).into())
            }
            ResultsError::Read(_) => {
                let what = "a page of the query job's result was cut short: it cannot be decompressed";
                Self::Fault(Fault::new(FaultKind::Truncated, what))
            }
        }
    }
}

/// Why a page was not read to its end.
enum Unread {
    /// The result is better read by Bulk.
    Switch(FirstPage),
    /// What was sent.
    Fault(Fault),
    /// Something on this side.
    Run(RunError),
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::Run(failure.into())
    }
}

/// The fault of a value that a file cannot hold; the record is named by its Id, or else by its place in the file.
#[cold]
fn value_fault(error: &ValueError, columns: &Columns, record: &Record, file: &File) -> Fault {
    let id = columns.id().and_then(|column| record.cells().nth(column)).map(|(_, id)| id);
    let record = match id {
        Some(id) if !id.is_empty() => format!("record {}", plain(&String::from_utf8_lossy(id))),
        _ => format!("record {}", file.number()),
    };
    page::value_fault(error, columns, &record)
}

/// The failure of a stage or a stream that does not take what is written.
pub(super) fn write_failure(error: std::io::Error) -> RunError {
    match error.kind() {
        ErrorKind::BrokenPipe => RunError::ReaderGone,
        _ => output::write_failure(error).into(),
    }
}

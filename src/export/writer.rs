//! The thread that reads pages and writes records: the network's threads never wait for a file or for parsing.
//!
//! A page's rows are held in [`pending`](super::pending) until it has been read to its end and counted. So a page that
//! turns out to be truncated can be asked for again without a trace, even if the output is a stream.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::RunError;
use super::file::File;
use super::pending::{Pending, Spool};
use crate::encode::Encoder;
use crate::error::{Exit, Failure, plain};
use crate::job::Job;
use crate::output::{self, Staged};
use crate::record::{Record, ValueError};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::page::{self, FetchChildren, Head, PageReader};
use crate::salesforce::query::{Count, QueryLocator};
use crate::soql::Columns;
use crate::threads;

/// What the writer is to do.
pub(super) enum Command {
    /// Read and write this page.
    Page(Vec<u8>),
    /// The page of children that was asked for.
    Children(Result<Vec<u8>, Fault>),
    /// Start over with an empty output.
    Restart,
    /// End the files: the result is complete.
    Finish,
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
    /// The page of children is needed before the page can be written.
    NeedChildren(QueryLocator),
    /// The output is empty again.
    Restarted,
    /// What was written cannot be taken back.
    CannotRestart,
    /// The files are whole.
    Finished,
}

/// Decides at the first page of a result whether the requests for its further pages may be made.
pub(super) type Gate = Box<dyn Fn(u64) -> Result<(), Fault> + Send>;

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
    pub(super) total: Option<u64>,
    pub(super) pages: u64,
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
        job: &Job,
        columns: Arc<Columns>,
        stages: Vec<Box<dyn Staged>>,
        spool: Spool,
        gate: Gate,
    ) -> Result<Self, Failure> {
        let (commands, told) = channel(1);
        let (answers, replies) = channel(1);
        let writer = Writer::new(job, columns, stages, spool, gate);
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
    columns: Arc<Columns>,
    /// The main file, then those of the child queries.
    files: Vec<File>,
    pending: Pending,
    record: Record,
    /// Whether what precedes the first record has been written.
    begun: bool,
    count: Count,
    gate: Gate,
    lone_surrogates: u64,
}

impl Writer {
    fn new(job: &Job, columns: Arc<Columns>, stages: Vec<Box<dyn Staged>>, spool: Spool, gate: Gate) -> Self {
        let tables = columns.tables();
        let tables = std::iter::once(columns.as_ref()).chain(tables.iter().map(|table| table.columns));
        let encoders = tables.map(|columns| Encoder::new(job.format, &job.shape, columns));
        let files: Vec<_> =
            encoders.zip(stages).map(|(encoder, staged)| File::new(encoder, staged)).collect();
        Self {
            columns,
            pending: Pending::new(files.len(), spool),
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
                Command::Restart if !self.can_restart() => Reply::CannotRestart,
                Command::Restart => {
                    self.files.iter_mut().try_for_each(File::restart)?;
                    (self.begun, self.lone_surrogates) = (false, 0);
                    self.count.start_over();
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
            total: self.count.total(),
            pages: self.count.pages(),
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
            Err(Unread::Fault(fault)) => {
                self.pending.discard();
                self.files.iter_mut().for_each(File::discard);
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
            && let Some(calls) = calls_left(page.head(), records)
        {
            (self.gate)(calls)?;
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

/// How many further requests a result takes that begins with a page of so many records; `None` if it takes none, or if the
/// org does not say how many records there are.
fn calls_left(first: &Head, records: u64) -> Option<u64> {
    first.next.as_ref()?;
    let left = first.total_size?.saturating_sub(records);
    (records > 0).then(|| left.div_ceil(records).max(1))
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

/// Why a page was not read to its end.
enum Unread {
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

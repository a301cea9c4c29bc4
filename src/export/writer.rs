//! The thread that reads pages and writes records: the network's threads never wait for a file or for parsing.
//!
//! A page is encoded into memory first and written only when it was read to its end and counted, so that a page
//! that turns out to be cut can be asked for again without a trace, also where the output is a stream.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::error::RunError;
use super::file::File;
use crate::error::{Exit, Failure};
use crate::job::{Format, Job, Numbers};
use crate::output::{self, Staged};
use crate::record::{CellKind, Record};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::page::{Head, JsonForm, PageReader};
use crate::salesforce::query::{Count, QueryLocator};
use crate::sink::csv::Csv;
use crate::soql::Columns;

/// What the writer is told.
pub(super) enum Command {
    /// Read and write this page.
    Page(Vec<u8>),
    /// The page of children that was asked for.
    Children(Result<Vec<u8>, Fault>),
    /// Begin again with an empty output.
    Restart,
}

/// What the writer answers: one for each command but [`Command::Children`], which goes on with the page.
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
}

/// What is known behind a page that was written.
pub(super) struct Accepted {
    /// The page itself, to be filled again.
    pub(super) page: Vec<u8>,
    pub(super) next: Option<QueryLocator>,
    pub(super) records: u64,
    pub(super) total: u64,
    pub(super) bytes: u64,
}

/// What was written in all, and the stages that hold it.
pub(super) struct Written {
    pub(super) staged: Box<dyn Staged>,
    pub(super) records: u64,
    /// The stages of the child queries' files, and how many records each holds.
    pub(super) children: Vec<(Box<dyn Staged>, u64)>,
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
    ) -> Result<Self, Failure> {
        let (commands, told) = channel(1);
        let (answers, replies) = channel(1);
        let writer = Writer::new(job, columns, stages)?;
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || writer.work(told, &answers))
            .map_err(|error| Failure::new(Exit::General, format!("cannot start a thread: {error}")))?;
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
    format: Format,
    form: JsonForm,
    main: File,
    /// The files of the child queries.
    children: Vec<File>,
    record: Record,
    /// Whether what stands before the first record has been written.
    begun: bool,
    count: Count,
    lone_surrogates: u64,
}

impl Writer {
    fn new(job: &Job, columns: Arc<Columns>, stages: Vec<Box<dyn Staged>>) -> Result<Self, Failure> {
        let shape = &job.shape;
        // JSON inside a CSV cell is JSON: its numbers are the org's own.
        let numbers = if job.format == Format::Jsonl { shape.numbers } else { Numbers::AsSent };
        let mut tables = vec![columns.names().to_vec()];
        tables.extend(columns.tables().iter().map(|table| table.columns.names().to_vec()));
        let csv = || Csv::new(shape.csv.clone(), shape.numbers);
        let mut files = tables.into_iter().zip(stages).map(|(names, staged)| File::new(names, csv(), staged));
        let main = files.next().ok_or_else(|| Failure::new(Exit::General, "a bug in sfexport: no stage"))?;
        Ok(Self {
            format: job.format,
            form: JsonForm { numbers, attributes: job.format == Format::Jsonl && shape.attributes },
            main,
            children: files.collect(),
            columns,
            record: Record::parted_by(shape.csv.delimiter),
            begun: false,
            count: Count::default(),
            lone_surrogates: 0,
        })
    }

    /// All of its files.
    fn files(&mut self) -> impl Iterator<Item = &mut File> {
        std::iter::once(&mut self.main).chain(&mut self.children)
    }

    fn work(mut self, mut told: Receiver<Command>, answers: &Sender<Reply>) -> Result<Written, RunError> {
        while let Some(command) = told.blocking_recv() {
            let reply = match command {
                Command::Page(page) => self.page(page, &mut told, answers)?,
                Command::Restart => {
                    self.files().try_for_each(File::restart)?;
                    (self.begun, self.count, self.lone_surrogates) = (false, Count::default(), 0);
                    Reply::Restarted
                }
                // An answer to a question that a page no longer has.
                Command::Children(_) => continue,
            };
            if answers.blocking_send(reply).is_err() {
                break;
            }
        }
        let records = if self.columns.is_count() { self.count.pages() } else { self.count.records() };
        Ok(Written {
            staged: self.main.staged,
            children: self.children.into_iter().map(|file| (file.staged, file.records)).collect(),
            records,
            total: if self.columns.is_count() { self.count.total().map(|_| 1) } else { self.count.total() },
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
        let mut broken = None;
        self.files().for_each(File::mark);
        let read = self.read(&page, &mut broken, &mut |locator| {
            let gone = || Fault::new(FaultKind::Unreachable, "the run ended");
            answers.blocking_send(Reply::NeedChildren(locator.clone())).map_err(|_| gone())?;
            match told.blocking_recv() {
                Some(Command::Children(children)) => children.inspect_err(|_| fetching_failed = true),
                _ => Err(gone()),
            }
        });
        if let Some(failure) = broken {
            return Err(failure);
        }
        let (head, lone_surrogates) = match read {
            Ok(read) => read,
            Err(fault) => {
                self.files().try_for_each(File::back_to_mark)?;
                let again = fault.kind == FaultKind::Truncated && !fetching_failed;
                return Ok(Reply::Rejected { fault, again });
            }
        };
        self.files().try_for_each(File::write_out)?;
        self.main.staged.flush().map_err(write_failure)?;
        self.begun = true;
        self.lone_surrogates += lone_surrogates;
        let (records, bytes) = (self.count.records(), self.files().map(|file| file.bytes).sum());
        Ok(Reply::Accepted(Accepted { page, next: head.next, records, total: head.total_size, bytes }))
    }

    /// Encodes a page, to its end, and counts it. Where an output breaks on the way, that is in `broken`.
    fn read(
        &mut self,
        bytes: &[u8],
        broken: &mut Option<RunError>,
        fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
    ) -> Result<(Head, u64), Fault> {
        let mut page = PageReader::open(bytes)?;
        let records = match self.format {
            Format::Csv if !self.children.is_empty() => self.csv_tables(&mut page, broken, fetch)?,
            Format::Csv => self.csv_rows(&mut page, fetch)?,
            Format::Jsonl => self.json_lines(&mut page, fetch)?,
        };
        self.count.accept(page.head(), records, self.columns.is_count())?;
        Ok((page.head().clone(), page.lone_surrogates()))
    }

    fn csv_rows(
        &mut self,
        page: &mut PageReader<'_>,
        fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
    ) -> Result<u64, Fault> {
        let File { names, csv, encoded, .. } = &mut self.main;
        if !self.begun {
            csv.head(names, encoded);
        }
        let mut records = 0;
        while page.read(&self.columns, &mut self.record, self.form, fetch)? {
            csv.row(&self.record, encoded);
            records += 1;
        }
        if self.columns.is_count() {
            self.record.clear(1);
            let total = page.head().total_size.to_string();
            self.record.fill(0, CellKind::Number, |cell| cell.extend_from_slice(total.as_bytes()));
            csv.row(&self.record, encoded);
        }
        Ok(records)
    }

    /// The same with a file for each child query. Their records may be without number, so that they are written as
    /// they come, and taken back if the page turns out to be cut.
    fn csv_tables(
        &mut self,
        page: &mut PageReader<'_>,
        broken: &mut Option<RunError>,
        fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
    ) -> Result<u64, Fault> {
        if !self.begun {
            self.files().for_each(File::head);
        }
        let Self { columns, form, main, children, .. } = self;
        page.rows(columns, *form, fetch, &mut |table, record| {
            let file = if table == 0 { Some(&mut *main) } else { children.get_mut(table - 1) };
            let Some(file) = file else { return Ok(()) };
            file.row(record).map_err(|error| {
                *broken = Some(write_failure(error));
                Fault::new(FaultKind::InvalidResponse, "the output cannot be written")
            })
        })
    }

    fn json_lines(
        &mut self,
        page: &mut PageReader<'_>,
        fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
    ) -> Result<u64, Fault> {
        let encoded = &mut self.main.encoded;
        let mut records = 0;
        while page.copy(&self.columns, &mut self.record, self.form, fetch, encoded)? {
            encoded.push(b'\n');
            records += 1;
        }
        if self.columns.is_count() {
            encoded.extend_from_slice(format!("{{\"count\":{}}}\n", page.head().total_size).as_bytes());
        }
        Ok(records)
    }
}

/// The failure of a stage or a stream that does not take what is written.
pub(super) fn write_failure(error: std::io::Error) -> RunError {
    match error.kind() {
        ErrorKind::BrokenPipe => RunError::ReaderGone,
        _ => output::write_failure(error).into(),
    }
}

//! One of the files that a run writes: what is encoded for it, and its stage.

use std::io;

use super::error::RunError;
use super::writer::write_failure;
use crate::error::Failure;
use crate::output::Staged;
use crate::record::Record;
use crate::sink::csv::Csv;

/// How much of a file is held back while its rows come, in bytes.
const MAX_BUFFERED_BYTES: usize = 1 << 20;

/// A file on its way.
pub(super) struct File {
    pub(super) names: Vec<String>,
    pub(super) csv: Csv,
    pub(super) staged: Box<dyn Staged>,
    /// What is encoded and not written yet.
    pub(super) encoded: Vec<u8>,
    /// Records and bytes in it; those of a page that is not accepted yet too.
    pub(super) records: u64,
    pub(super) bytes: u64,
    marked: (u64, u64),
}

impl File {
    pub(super) fn new(names: Vec<String>, csv: Csv, staged: Box<dyn Staged>) -> Self {
        Self { names, csv, staged, encoded: Vec::new(), records: 0, bytes: 0, marked: (0, 0) }
    }

    /// Encodes what stands before its first record.
    pub(super) fn head(&mut self) {
        self.csv.head(&self.names, &mut self.encoded);
    }

    /// Encodes a record as a row, and writes what is encoded once it is much.
    pub(super) fn row(&mut self, record: &Record) -> io::Result<()> {
        self.csv.row(record, &mut self.encoded);
        self.records += 1;
        if self.encoded.len() > MAX_BUFFERED_BYTES { self.write() } else { Ok(()) }
    }

    /// Marks this place, before a page.
    pub(super) fn mark(&mut self) {
        self.marked = (self.records, self.bytes);
        self.staged.mark();
    }

    /// Takes back what was written behind the mark.
    pub(super) fn back_to_mark(&mut self) -> Result<(), Failure> {
        self.encoded.clear();
        (self.records, self.bytes) = self.marked;
        self.staged.back_to_mark()
    }

    /// Empties it.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        self.encoded.clear();
        (self.records, self.bytes) = (0, 0);
        self.staged.restart()
    }

    /// Writes what is encoded.
    pub(super) fn write_out(&mut self) -> Result<(), RunError> {
        self.write().map_err(write_failure)
    }

    fn write(&mut self) -> io::Result<()> {
        self.staged.write_all(&self.encoded)?;
        self.bytes += self.encoded.len() as u64;
        self.encoded.clear();
        Ok(())
    }
}

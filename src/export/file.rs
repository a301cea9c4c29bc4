//! One of the files that a run writes: its encoder and its stage. The rows of a page reach them when the page is
//! accepted.

use std::io::{self, Write};

use super::error::RunError;
use super::writer::write_failure;
use crate::encode::Encoder;
use crate::error::Failure;
use crate::output::Staged;
use crate::record::{Record, RowForm, Target, ValueError};

/// A file being written.
pub(super) struct File {
    encoder: Encoder,
    staged: Box<dyn Staged>,
    /// Records in it, and in the page that is not accepted yet.
    records: u64,
    pending: u64,
    /// Bytes in it.
    bytes: u64,
}

impl File {
    pub(super) fn new(encoder: Encoder, staged: Box<dyn Staged>) -> Self {
        Self { encoder, staged, records: 0, pending: 0, bytes: 0 }
    }

    /// Encodes the records that follow in this way; the file is empty.
    pub(super) fn set_encoder(&mut self, encoder: Encoder) {
        self.encoder = encoder;
    }

    /// Where the next record is to be read to; `rows` are the file's pending rows.
    #[inline]
    pub(super) fn target<'t>(&self, record: &'t mut Record, rows: &'t mut Vec<u8>) -> Target<'t> {
        self.encoder.target(record, rows)
    }

    /// How rows of CSV can be copied into it, if they can.
    pub(super) fn row_form(&self) -> Option<RowForm> {
        self.encoder.row_form()
    }

    /// Encodes a record.
    #[inline]
    pub(super) fn record(&mut self, record: &Record, rows: &mut Vec<u8>) -> Result<(), ValueError> {
        self.encoder.record(record, rows)?;
        self.pending += 1;
        Ok(())
    }

    /// Forgets the records of a rejected page.
    pub(super) fn discard(&mut self) {
        self.pending = 0;
    }

    /// Writes what precedes the first record.
    pub(super) fn begin(&mut self) -> Result<(), RunError> {
        let Self { encoder, staged, bytes, .. } = self;
        encoder.begin(&mut Counted { staged, bytes }).map_err(write_failure)
    }

    /// Writes rows of an accepted page.
    pub(super) fn write(&mut self, rows: &[u8]) -> Result<(), RunError> {
        let Self { encoder, staged, bytes, .. } = self;
        encoder.write(rows, &mut Counted { staged, bytes }).map_err(write_failure)
    }

    /// After the rows of an accepted page: counts them, and flushes them to a reader.
    pub(super) fn accept(&mut self) -> Result<(), RunError> {
        self.records += std::mem::take(&mut self.pending);
        self.staged.flush().map_err(write_failure)
    }

    /// Writes what follows the last record.
    pub(super) fn finish(&mut self) -> Result<(), RunError> {
        let Self { encoder, staged, bytes, .. } = self;
        encoder.finish(&mut Counted { staged, bytes }).map_err(write_failure)
    }

    /// Empties it.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        (self.records, self.pending, self.bytes) = (0, 0, 0);
        self.encoder.restart();
        self.staged.restart()
    }

    /// Whether it can be emptied.
    pub(super) fn can_restart(&self) -> bool {
        self.staged.can_restart()
    }

    /// The number of the next record, from 1.
    pub(super) fn number(&self) -> u64 {
        self.records + self.pending + 1
    }

    /// How many records are in it.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its stage, and how many records it holds.
    pub(super) fn into_staged(self) -> (Box<dyn Staged>, u64) {
        (self.staged, self.records)
    }
}

/// A stage that counts what is written to it.
struct Counted<'f> {
    staged: &'f mut Box<dyn Staged>,
    bytes: &'f mut u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let written = self.staged.write(piece)?;
        *self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.staged.flush()
    }
}

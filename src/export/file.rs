//! One of the files that a run writes: its encoder, and its stage.

use super::error::RunError;
use super::writer::write_failure;
use crate::encode::{Encoder, ValueError};
use crate::error::Failure;
use crate::output::Staged;
use crate::record::{Record, Target};

/// How much of a file is held back while its rows come, in bytes.
const MAX_BUFFERED_BYTES: usize = 1 << 20;

/// A file on its way.
pub(super) struct File {
    encoder: Encoder,
    pub(super) staged: Box<dyn Staged>,
    /// What is encoded and not written yet.
    encoded: Vec<u8>,
    /// Records and bytes in it; those of a page that is not accepted yet too.
    pub(super) records: u64,
    pub(super) bytes: u64,
    marked: (u64, u64),
}

impl File {
    pub(super) fn new(encoder: Encoder, staged: Box<dyn Staged>) -> Self {
        Self { encoder, staged, encoded: Vec::new(), records: 0, bytes: 0, marked: (0, 0) }
    }

    /// Encodes what precedes its first record.
    pub(super) fn begin(&mut self) {
        self.encoder.begin(&mut self.encoded);
    }

    /// Where the next record is to be read to.
    #[inline]
    pub(super) fn target<'t>(&'t mut self, record: &'t mut Record) -> Target<'t> {
        self.encoder.target(record, &mut self.encoded)
    }

    /// Encodes a record.
    #[inline]
    pub(super) fn record(&mut self, record: &Record) -> Result<(), ValueError> {
        self.encoder.record(record, &mut self.encoded)?;
        self.records += 1;
        Ok(())
    }

    /// Writes what is encoded once it is much.
    pub(super) fn write_much(&mut self) -> Result<(), RunError> {
        if self.encoded.len() > MAX_BUFFERED_BYTES { self.write_out() } else { Ok(()) }
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
        self.staged.write_all(&self.encoded).map_err(write_failure)?;
        self.bytes += self.encoded.len() as u64;
        self.encoded.clear();
        Ok(())
    }
}

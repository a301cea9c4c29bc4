//! One of the files that a run writes: what is encoded for it, and its stage.

use std::io::{self, Write};

use super::writer::write_failure;
use crate::error::Failure;
use crate::output::Staged;
use crate::sink::csv::{Csv, Rows};

/// How much of a file is held back while its rows come, in bytes.
const HELD: usize = 1 << 20;

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

    /// Begins its rows, behind its head where it has not `begun`; with the count to be raised by who writes them.
    pub(super) fn rows(&mut self, begun: bool) -> io::Result<(Rows<'_, Spill<'_>>, &mut u64)> {
        let Self { names, csv, staged, encoded, records, bytes, .. } = self;
        if !begun {
            csv.head(names, encoded)?;
        }
        Ok((csv.rows(Spill { encoded, staged: staged.as_mut(), bytes }), records))
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
    pub(super) fn write_out(&mut self) -> Result<(), Failure> {
        let Self { staged, encoded, bytes, .. } = self;
        Spill { encoded, staged: staged.as_mut(), bytes }.write_out().map_err(write_failure)
    }
}

/// Holds back a little of what is written, and writes the rest to the stage.
pub(super) struct Spill<'f> {
    encoded: &'f mut Vec<u8>,
    staged: &'f mut dyn Staged,
    bytes: &'f mut u64,
}

impl Spill<'_> {
    fn write_out(&mut self) -> io::Result<()> {
        self.staged.write_all(self.encoded)?;
        *self.bytes += self.encoded.len() as u64;
        self.encoded.clear();
        Ok(())
    }
}

impl Write for Spill<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoded.extend_from_slice(bytes);
        if self.encoded.len() > HELD {
            self.write_out()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

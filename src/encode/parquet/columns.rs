//! The values of a row group that is not full yet, column by column. Those that are too many for memory wait elsewhere.

use std::io;

use super::typed::Storage;
use crate::encode::Spill;

/// How many bytes of values are kept in memory. They may have twice the room.
const MAX_HELD_BYTES: usize = 1 << 20;

/// How many bytes the length of a part takes.
const LENGTH_BYTES: usize = 8;

/// The values of a row group.
pub(super) struct ColumnValues {
    columns: Vec<Column>,
    spill: Option<Box<dyn Spill>>,
    flushes: Vec<Flush>,
    held: usize,
    spilled: u64,
    rows: usize,
}

struct Column {
    storage: Storage,
    /// Those in memory, which follow the others.
    held: Vec<u8>,
}

/// Values that were moved out of memory at once: a part for each column, in their order. Each ends with the length of the
/// next, so the memory for all this does not grow with the number of columns.
struct Flush {
    /// Where the part of the column is that is read next, and how long its values are.
    at: u64,
    length: usize,
}

impl ColumnValues {
    pub(super) fn new(storages: impl Iterator<Item = Storage>) -> Self {
        let column = |storage| Column { storage, held: Vec::new() };
        Self {
            columns: storages.map(column).collect(),
            spill: None,
            flushes: Vec::new(),
            held: 0,
            spilled: 0,
            rows: 0,
        }
    }

    pub(super) fn spill_to(&mut self, spill: Box<dyn Spill>) {
        self.spill = Some(spill);
    }

    pub(super) fn storage(&self, column: usize) -> Storage {
        self.columns[column].storage
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the group must be written before there is room for more: with `max_bytes`, or without a place to spill to as
    /// soon as memory is full.
    pub(super) fn is_full(&self, max_bytes: u64) -> bool {
        match self.spill {
            Some(_) => self.spilled + self.held as u64 >= max_bytes,
            None => self.held >= MAX_HELD_BYTES,
        }
    }

    /// Adds a row, a value of each column; `None` if it is not one.
    pub(super) fn add(&mut self, mut row: &[u8]) -> Option<()> {
        self.held += row.len();
        for column in &mut self.columns {
            let (value, rest) = row.split_at_checked(column.storage.length(row)?)?;
            column.held.extend_from_slice(value);
            row = rest;
        }
        self.rows += 1;
        row.is_empty().then_some(())
    }

    /// Moves values out of memory if they have become too many.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let Some(spill) = self.spill.as_mut().filter(|_| self.held >= MAX_HELD_BYTES) else { return Ok(()) };
        let mut length = 0;
        // From the last column to the first: a part has the length of the one after it.
        for column in self.columns.iter_mut().rev() {
            let following = std::mem::replace(&mut length, column.held.len());
            column.held.extend_from_slice(&(following as u64).to_le_bytes());
        }
        self.flushes.push(Flush { at: self.spilled, length });
        for column in &mut self.columns {
            spill.write(&column.held, self.spilled)?;
            self.spilled += column.held.len() as u64;
            column.held.clear();
            // One huge value must not keep its memory for the rest of the run.
            column.held.shrink_to(MAX_HELD_BYTES);
        }
        self.held = 0;
        Ok(())
    }

    /// Passes on a column's values, in their order, in pieces that end with a value. Columns are read one after the other, each
    /// once.
    ///
    /// # Errors
    /// Those of `take`; if the values cannot be read.
    pub(super) fn read(
        &mut self,
        column: usize,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut piece = Vec::new();
        for flush in &mut self.flushes {
            piece.resize(flush.length + LENGTH_BYTES, 0);
            let spill = self.spill.as_mut().ok_or(io::ErrorKind::NotFound)?;
            spill.read(&mut piece, flush.at)?;
            let (values, following) = piece.split_last_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
            take(values)?;
            flush.at += piece.len() as u64;
            flush.length = u64::from_le_bytes(*following) as usize;
        }
        take(&self.columns[column].held)
    }

    /// Forgets the values.
    pub(super) fn clear(&mut self) {
        (self.held, self.spilled, self.rows) = (0, 0, 0);
        self.flushes.clear();
        for column in &mut self.columns {
            column.held.clear();
        }
    }
}

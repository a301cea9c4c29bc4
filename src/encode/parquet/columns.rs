//! The values of a row group that is not full yet, column by column. Those that are too many for memory wait elsewhere.

use std::io;

use super::typed::Storage;
use crate::encode::Spill;

/// How many bytes of values are kept in memory. They may have twice the room.
const MAX_HELD_BYTES: usize = 2 << 20;

/// The values of a row group.
pub(super) struct ColumnValues {
    columns: Vec<Column>,
    spill: Option<Box<dyn Spill>>,
    held: usize,
    spilled: u64,
    rows: usize,
}

struct Column {
    storage: Storage,
    /// Those in memory, which follow the others.
    held: Vec<u8>,
    /// Where the others are.
    parts: Vec<Part>,
}

struct Part {
    at: u64,
    length: usize,
}

impl ColumnValues {
    pub(super) fn new(storages: impl Iterator<Item = Storage>) -> Self {
        let column = |storage| Column { storage, held: Vec::new(), parts: Vec::new() };
        Self { columns: storages.map(column).collect(), spill: None, held: 0, spilled: 0, rows: 0 }
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
        for column in self.columns.iter_mut().filter(|column| !column.held.is_empty()) {
            spill.write(&column.held, self.spilled)?;
            column.parts.push(Part { at: self.spilled, length: column.held.len() });
            self.spilled += column.held.len() as u64;
            column.held.clear();
            // One huge value must not keep its memory for the rest of the run.
            column.held.shrink_to(MAX_HELD_BYTES);
        }
        self.held = 0;
        Ok(())
    }

    /// Passes on a column's values, in their order, in pieces that end with a value.
    ///
    /// # Errors
    /// Those of `take`; if the values cannot be read.
    pub(super) fn read(
        &mut self,
        column: usize,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Column { held, parts, .. } = &self.columns[column];
        let mut piece = Vec::new();
        for Part { at, length } in parts {
            piece.resize(*length, 0);
            let spill = self.spill.as_mut().ok_or(io::ErrorKind::NotFound)?;
            spill.read(&mut piece, *at)?;
            take(&piece)?;
        }
        take(held)
    }

    /// Forgets the values.
    pub(super) fn clear(&mut self) {
        (self.held, self.spilled, self.rows) = (0, 0, 0);
        for column in &mut self.columns {
            column.held.clear();
            column.parts.clear();
        }
    }
}

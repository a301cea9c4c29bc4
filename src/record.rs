//! One record on its way from a page to a file, reused for every record of a run; and how numbers are written.

pub mod number;

/// A record's cells, in column order. Reused: filling it again allocates nothing once it has grown.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    kind: CellKind,
}

/// What a cell's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellKind {
    /// Nothing: the org sent null, or a parent on the way is null.
    Null,
    /// A string, unescaped, in UTF-8.
    Text,
    /// A number, as the org spelled it.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Compact JSON: a compound value, or the records of a child query.
    Json,
}

impl Record {
    /// Empties the record and sets its width.
    pub fn clear(&mut self, columns: usize) {
        self.bytes.clear();
        self.cells.clear();
        self.cells.resize(columns, None);
    }

    /// Drops the cells behind the first `columns`.
    pub fn truncate(&mut self, columns: usize) {
        self.cells.truncate(columns);
    }

    /// Fills a cell with what `write` appends, unless it is filled already: then nothing is written.
    /// Gives whether it was empty.
    pub fn fill(&mut self, column: usize, kind: CellKind, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(cell @ None) = self.cells.get_mut(column) else { return false };
        let start = self.bytes.len();
        write(&mut self.bytes);
        *cell = Some(Cell { start, end: self.bytes.len(), kind });
        true
    }

    /// Whether a cell has been filled.
    #[must_use]
    pub fn is_filled(&self, column: usize) -> bool {
        matches!(self.cells.get(column), Some(Some(_)))
    }

    /// The first column that has not been filled.
    #[must_use]
    pub fn first_empty(&self) -> Option<usize> {
        self.cells.iter().position(Option::is_none)
    }

    /// The cells in column order; one that was never filled counts as null.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (CellKind, &[u8])> {
        self.cells.iter().map(|cell| match cell {
            Some(cell) => (cell.kind, &self.bytes[cell.start..cell.end]),
            None => (CellKind::Null, &[][..]),
        })
    }
}

//! One record on its way from a page to a file, reused for every record of a run; and how numbers are written.

pub mod number;

/// A record's cells, in column order. Reused: filling it again allocates nothing once it has grown.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    cells: Vec<Option<Cell>>,
    delimiter: Option<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    kind: CellKind,
    clean: bool,
}

/// A cell as its encoder sees it.
#[derive(Debug, Clone, Copy)]
pub struct CellText<'r> {
    /// What its bytes are.
    pub kind: CellKind,
    /// Its bytes.
    pub text: &'r [u8],
    /// Whether it is known to hold neither [`Record::delimiter`] nor `"` nor a control character.
    pub clean: bool,
    /// Its bytes and what stands behind them: a whole block is moved faster than some of its bytes.
    pub from: &'r [u8],
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
    /// A record for CSV whose cells are parted by this byte.
    #[must_use]
    pub fn parted_by(delimiter: u8) -> Self {
        Self { delimiter: Some(delimiter), ..Self::default() }
    }

    /// The byte that text is watched for while it is read.
    #[must_use]
    pub fn delimiter(&self) -> Option<u8> {
        self.delimiter
    }

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
        *cell = Some(Cell { start, end: self.bytes.len(), kind, clean: false });
        true
    }

    /// The same with a text, by a `write` that can fail, and tells whether it met neither the byte that it is given
    /// nor `"` nor a control character.
    pub fn fill_text(&mut self, column: usize, write: impl FnOnce(&mut Vec<u8>, u8) -> Option<bool>) -> bool {
        let Some(cell @ None) = self.cells.get_mut(column) else { return false };
        let start = self.bytes.len();
        let Some(clean) = write(&mut self.bytes, self.delimiter.unwrap_or_default()) else { return false };
        let clean = clean && self.delimiter.is_some();
        *cell = Some(Cell { start, end: self.bytes.len(), kind: CellKind::Text, clean });
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
        self.cell_texts().map(|cell| (cell.kind, cell.text))
    }

    /// The same with what an encoder wants to know.
    pub fn cell_texts(&self) -> impl ExactSizeIterator<Item = CellText<'_>> {
        self.cells.iter().map(|cell| match *cell {
            Some(Cell { start, end, kind, clean }) => {
                CellText { kind, text: &self.bytes[start..end], clean, from: &self.bytes[start..] }
            }
            None => CellText { kind: CellKind::Null, text: &[], clean: false, from: &[] },
        })
    }
}

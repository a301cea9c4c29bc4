//! One record on its way from a response to a file, reused for every record of a run.

use std::ops::Range;

use crate::job::{Datetimes, Numbers};
use crate::soql::Columns;
use crate::value::datetime::NotADateTime;
use crate::value::number::ExponentOutOfRange;
use crate::value::{FieldType, TypeMismatch};

/// A record's cells, in column order. Reused: filling it again allocates nothing once it has grown.
#[derive(Debug, Default)]
pub struct Record {
    bytes: Vec<u8>,
    /// The row as it was sent, if cells are parts of it.
    row: Vec<u8>,
    cells: Vec<Option<Cell>>,
    copied: bool,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    kind: CellKind,
    clean: bool,
    /// Whether it is a part of the row instead of `bytes`.
    in_row: bool,
}

/// A cell as its encoder sees it.
#[derive(Debug, Clone, Copy)]
pub struct CellText<'r> {
    /// What its bytes are.
    pub kind: CellKind,
    /// Its bytes.
    pub text: &'r [u8],
    /// Whether it is known to hold neither `"`, nor a control character, nor the byte that [`Target::Cells`] named.
    pub clean: bool,
    /// Its bytes and those that follow in memory: moving a whole block is faster than moving part of one.
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

/// Where a reader puts the next record. The encoder decides it, so a record that is sent as JSON and wanted as JSON is
/// never taken apart.
#[derive(Debug)]
pub enum Target<'t> {
    /// Into cells.
    Cells {
        /// The record to fill.
        record: &'t mut Record,
        /// A byte to watch for while text is read, besides `"` and control characters; see [`CellText::clean`]. Pass
        /// `None` if knowing clean text is of no use.
        watch: Option<u8>,
        /// How a child query's records are written, which become JSON in a cell.
        form: JsonForm,
    },
    /// Into the output itself, as one line of JSON without its line break.
    Json {
        /// The record that is marked as copied; also scratch space for the reader.
        record: &'t mut Record,
        /// How the JSON is written.
        form: JsonForm,
        /// The output.
        out: &'t mut Vec<u8>,
    },
}

/// How a record is written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonForm {
    /// How numbers are written.
    pub numbers: Numbers,
    /// How the values of columns that are datetimes are written.
    pub datetimes: Datetimes,
    /// Whether each record keeps its `attributes`.
    pub attributes: bool,
}

/// How a row of CSV is copied into a file that has commas, double quotes only where a reader needs them, and nothing for
/// null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowForm {
    /// How numbers are written.
    pub numbers: Numbers,
    /// Whether rows end with CR LF.
    pub crlf: bool,
}

impl JsonForm {
    /// The org's own values, without `attributes`.
    pub const AS_SENT: Self =
        Self { numbers: Numbers::AsSent, datetimes: Datetimes::AsSent, attributes: false };
}

/// A value that cannot be written as the job wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The number of its column.
    pub column: usize,
    /// Why.
    pub reason: ValueErrorReason,
}

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueErrorReason {
    /// Its exponent cannot be written out.
    Exponent(ExponentOutOfRange),
    /// Its column is a datetime, and the value is not.
    DateTime(NotADateTime),
    /// It is not of its column's type.
    Type(TypeMismatch),
}

impl ValueError {
    /// The error in words; `record` is how a message names the record.
    #[must_use]
    pub fn explain(&self, columns: &Columns, record: &str) -> Explanation {
        let column = columns.qualified(self.column);
        let as_text =
            || format!("set {column:?} = \"text\" in [types] to keep its values as the org sends them");
        let (reason, redacted, hint) = match &self.reason {
            ValueErrorReason::Exponent(reason) => (
                reason.to_string(),
                "the exponent of a number is out of range",
                "set numbers = \"as_sent\" to keep numbers as the org sends them".to_owned(),
            ),
            ValueErrorReason::DateTime(reason) => {
                (reason.to_string(), "a value is not a datetime", as_text())
            }
            ValueErrorReason::Type(reason) => {
                let hint = match reason.field_type() {
                    FieldType::Decimal { .. } => {
                        format!(
                            "set {column:?} = \"double\" in [types], or \"text\" to keep its values as the org sends them"
                        )
                    }
                    _ => as_text(),
                };
                (reason.to_string(), "a value is not of its column's type", hint)
            }
        };
        let what = |reason: &str| format!("column {column} of {record}: {reason}");
        Explanation { what: what(&reason), redacted: what(redacted), hint }
    }
}

/// A [`ValueError`] in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What is wrong, with the value.
    pub what: String,
    /// The same without the value.
    pub redacted: String,
    /// What to do about it.
    pub hint: String,
}

impl Record {
    /// Empties the record and sets its width.
    pub fn clear(&mut self, columns: usize) {
        self.copied = false;
        self.bytes.clear();
        self.cells.clear();
        self.cells.resize(columns, None);
    }

    /// Drops the cells after the first `columns`.
    pub fn truncate(&mut self, columns: usize) {
        self.cells.truncate(columns);
    }

    /// Fills a cell with what `write` appends, unless it is filled already: then nothing is written.
    /// Returns whether it was empty.
    pub fn fill(&mut self, column: usize, kind: CellKind, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(cell @ None) = self.cells.get_mut(column) else { return false };
        let start = self.bytes.len();
        write(&mut self.bytes);
        *cell = Some(Cell { start, end: self.bytes.len(), kind, clean: false, in_row: false });
        true
    }

    /// The same for a text, with a `write` that can fail, and returns whether the text is [clean](CellText::clean).
    pub fn fill_text(&mut self, column: usize, write: impl FnOnce(&mut Vec<u8>) -> Option<bool>) -> bool {
        let Some(cell @ None) = self.cells.get_mut(column) else { return false };
        let start = self.bytes.len();
        let Some(clean) = write(&mut self.bytes) else { return false };
        *cell = Some(Cell { start, end: self.bytes.len(), kind: CellKind::Text, clean, in_row: false });
        true
    }

    /// The same with a `write` that decides what the cell's bytes are, and whether they are [clean](CellText::clean).
    pub fn fill_as(
        &mut self,
        column: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Option<(CellKind, bool)>,
    ) -> bool {
        let Some(cell @ None) = self.cells.get_mut(column) else { return false };
        let start = self.bytes.len();
        let Some((kind, clean)) = write(&mut self.bytes) else { return false };
        *cell = Some(Cell { start, end: self.bytes.len(), kind, clean, in_row: false });
        true
    }

    /// Fills a cell, which must be empty, with a part of the row that [`Record::set_row`] sets afterwards: many cells that are
    /// written as they were sent cost one copy.
    #[inline]
    pub fn fill_from_row(&mut self, column: usize, kind: CellKind, part: Range<usize>, clean: bool) {
        if let Some(cell) = self.cells.get_mut(column) {
            *cell = Some(Cell { start: part.start, end: part.end, kind, clean, in_row: true });
        }
    }

    /// Sets the row that cells are parts of.
    #[inline]
    pub fn set_row(&mut self, row: &[u8]) {
        self.row.clear();
        self.row.extend_from_slice(row);
    }

    /// Marks the record as copied into the output.
    pub fn set_copied(&mut self) {
        self.copied = true;
    }

    /// Whether the output already ends with this record, as JSON or as a row; its cells then mean nothing.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.copied
    }

    /// Whether a cell has been filled.
    #[must_use]
    pub fn is_filled(&self, column: usize) -> bool {
        matches!(self.cells.get(column), Some(Some(_)))
    }

    /// Whether a cell has been filled with null.
    #[must_use]
    pub fn is_null(&self, column: usize) -> bool {
        matches!(self.cells.get(column), Some(Some(Cell { kind: CellKind::Null, .. })))
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

    /// The same with what an encoder needs to know.
    pub fn cell_texts(&self) -> impl ExactSizeIterator<Item = CellText<'_>> {
        self.cells.iter().map(|cell| self.text_of(cell))
    }

    /// One of them.
    #[must_use]
    pub fn cell_text(&self, column: usize) -> CellText<'_> {
        self.text_of(self.cells.get(column).unwrap_or(&None))
    }

    #[inline]
    fn text_of(&self, cell: &Option<Cell>) -> CellText<'_> {
        match *cell {
            Some(Cell { start, end, kind, clean, in_row }) => {
                let bytes = if in_row { &self.row } else { &self.bytes };
                CellText { kind, text: &bytes[start..end], clean, from: &bytes[start..] }
            }
            None => CellText { kind: CellKind::Null, text: &[], clean: false, from: &[] },
        }
    }
}

//! Records → bytes: one encoder per file, with the same calls for every format.

use std::fmt;

use crate::job::{Format, Shape};
use crate::record::{JsonForm, Record, Target};
use crate::value::number::ExponentOutOfRange;

pub mod csv;
mod formula;
pub mod jsonl;

use csv::Csv;
use jsonl::Jsonl;

/// The encoder of one file: [`Encoder::begin`] once, [`Encoder::record`] for each record, [`Encoder::finish`] once.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a file has one encoder, which is never moved once records come"
)]
pub enum Encoder {
    /// Rows.
    Csv(Csv),
    /// One JSON object per line.
    Jsonl(Jsonl),
}

impl Encoder {
    /// The encoder of a file with these columns.
    #[must_use]
    pub fn new(format: Format, shape: &Shape, columns: Vec<String>) -> Self {
        match format {
            Format::Csv => Self::Csv(Csv::new(shape.csv.clone(), shape.numbers, columns)),
            Format::Jsonl => {
                let form = JsonForm { numbers: shape.numbers, attributes: shape.attributes };
                Self::Jsonl(Jsonl::new(form, columns))
            }
        }
    }

    /// Where the next record is to be read to; [`Encoder::record`] follows, with the same record and output.
    #[inline]
    pub fn target<'t>(&self, record: &'t mut Record, out: &'t mut Vec<u8>) -> Target<'t> {
        match self {
            Self::Csv(csv) => Target::Cells { record, watch: csv.watch() },
            Self::Jsonl(jsonl) => Target::Json { record, form: jsonl.form(), out },
        }
    }

    /// Appends what precedes the first record.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Csv(csv) => csv.begin(out),
            Self::Jsonl(_) => {}
        }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// If the format cannot hold one of its values.
    #[inline]
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self {
            Self::Csv(csv) => csv.record(record, out),
            Self::Jsonl(jsonl) => jsonl.record(record, out),
        }
    }

    /// Appends what follows the last record.
    pub fn finish(&mut self, _out: &mut Vec<u8>) {
        match self {
            // Their files end with their last record.
            Self::Csv(_) | Self::Jsonl(_) => {}
        }
    }
}

/// A value that its file cannot hold as the job wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// The column's name.
    pub column: String,
    /// Why.
    pub reason: ExponentOutOfRange,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.reason)
    }
}

impl std::error::Error for ValueError {}

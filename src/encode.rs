//! Records → bytes: one encoder per file, with the same calls for every format.

use std::io::{self, Write};

use crate::job::{Datetimes, Format, Shape};
use crate::record::{CellKind, JsonForm, Record, RowForm, Target, ValueError};
use crate::soql::{Columns, JsonShape};
use crate::value::FieldType;
use crate::value::datetime::{NotADateTime, write_rfc3339};

pub mod csv;
mod formula;
pub mod jsonl;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(not(feature = "parquet"))]
#[path = "encode/no_parquet.rs"]
pub mod parquet;

use csv::Csv;
use jsonl::Jsonl;
use parquet::Parquet;

/// What the footer of a file says of it, under keys that begin with `sfexport.`.
pub type Footer = Vec<(&'static str, String)>;

/// Where values wait that are too many for memory: bytes by their place, like a file.
pub trait Spill: Send {
    /// Writes at a place.
    ///
    /// # Errors
    /// If there is no room.
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Fills `into` with what was written at a place.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self, into: &mut [u8], at: u64) -> io::Result<()>;
}

/// The encoder of one file: [`Encoder::begin`] once, [`Encoder::record`] for each record, [`Encoder::write`] for the records of
/// each page that is accepted, [`Encoder::finish`] once.
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
    /// Typed columns.
    Parquet(Box<Parquet>),
}

impl Encoder {
    /// The encoder of a file with these columns.
    #[must_use]
    pub fn new(format: Format, shape: &Shape, columns: &Columns) -> Self {
        let names = columns.output_names().to_vec();
        let datetimes = datetimes(shape.datetimes, columns);
        match format {
            Format::Csv => {
                let csv = Csv::new(shape.csv.clone(), shape.numbers, names);
                Self::Csv(csv.with_datetimes(shape.datetimes, datetimes))
            }
            Format::Jsonl => {
                let Shape { numbers, datetimes: form, attributes, .. } = *shape;
                let form = JsonForm { numbers, datetimes: form, attributes };
                let jsonl = Jsonl::new(form, names).with_datetimes(datetimes);
                Self::Jsonl(if shape.columns.rename() { jsonl.flat() } else { jsonl })
            }
            Format::Parquet => Self::Parquet(Box::new(Parquet::new(shape.parquet, columns))),
        }
    }

    /// The encoder of a file with these columns, of records that come as cells in the order of
    /// [`BulkQuery::columns`](crate::soql::BulkQuery). `json` is how a line of JSON is put together; without it, a line is
    /// a flat object.
    #[must_use]
    pub fn of_cells(format: Format, shape: &Shape, columns: &Columns, json: Option<JsonShape>) -> Self {
        match (Self::new(format, shape, columns), json) {
            (Self::Jsonl(jsonl), Some(json)) => Self::Jsonl(jsonl.put_together(&json)),
            (Self::Jsonl(jsonl), None) => Self::Jsonl(jsonl.flat()),
            (other, _) => other,
        }
    }

    /// The same in a run: what a file's footer says, if it has one, and where its values wait if they are too many for memory.
    #[must_use]
    pub fn in_run(self, run: impl FnOnce() -> (Footer, Box<dyn Spill>)) -> Self {
        match self {
            Self::Parquet(parquet) => {
                let (footer, spill) = run();
                Self::Parquet(Box::new(parquet.in_run(footer, spill)))
            }
            text => text,
        }
    }

    /// The byte that a reader of cells watches for; see [`CellText::clean`](crate::record::CellText::clean).
    #[must_use]
    pub fn watch(&self) -> Option<u8> {
        match self {
            Self::Csv(csv) => csv.watch(),
            Self::Jsonl(_) => Some(Jsonl::WATCH),
            Self::Parquet(_) => None,
        }
    }

    /// How rows of CSV can be copied into the file, if they can.
    #[must_use]
    pub fn row_form(&self) -> Option<RowForm> {
        match self {
            Self::Csv(csv) => csv.row_form(),
            Self::Jsonl(_) | Self::Parquet(_) => None,
        }
    }

    /// Where the next record is to be read to; [`Encoder::record`] follows, with the same record and output.
    #[inline]
    pub fn target<'t>(&self, record: &'t mut Record, out: &'t mut Vec<u8>) -> Target<'t> {
        match self {
            Self::Csv(csv) => Target::Cells { record, watch: csv.watch(), form: csv.form() },
            Self::Jsonl(jsonl) if jsonl.takes_cells() => {
                Target::Cells { record, watch: Some(Jsonl::WATCH), form: jsonl.form() }
            }
            Self::Jsonl(jsonl) => Target::Json { record, form: jsonl.form(), out },
            Self::Parquet(_) => Target::Cells { record, watch: None, form: JsonForm::AS_SENT },
        }
    }

    /// Writes what precedes the first record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Csv(csv) => {
                let mut head = Vec::new();
                csv.begin(&mut head);
                out.write_all(&head)
            }
            Self::Jsonl(_) => Ok(()),
            Self::Parquet(parquet) => parquet.begin(out),
        }
    }

    /// Appends a record to the rows of its page.
    ///
    /// # Errors
    /// If the format cannot hold one of its values.
    #[inline]
    pub fn record(&mut self, record: &Record, rows: &mut Vec<u8>) -> Result<(), ValueError> {
        match self {
            Self::Csv(csv) => csv.record(record, rows),
            Self::Jsonl(jsonl) => jsonl.record(record, rows),
            Self::Parquet(parquet) => parquet.record(record, rows),
        }
    }

    /// Writes rows of a page that was accepted; a piece of them may begin and end anywhere.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, rows: &[u8], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Csv(_) | Self::Jsonl(_) => out.write_all(rows),
            Self::Parquet(parquet) => parquet.write(rows, out),
        }
    }

    /// Writes what follows the last record.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            // Their files end with their last record.
            Self::Csv(_) | Self::Jsonl(_) => Ok(()),
            Self::Parquet(parquet) => parquet.finish(out),
        }
    }

    /// Starts over: what was written is gone.
    pub fn restart(&mut self) {
        match self {
            Self::Csv(_) | Self::Jsonl(_) => {}
            Self::Parquet(parquet) => parquet.restart(),
        }
    }
}

/// For each column, whether its values are datetimes to be converted; empty if none are.
fn datetimes(form: Datetimes, columns: &Columns) -> Vec<bool> {
    let is_datetime = |field_type: &Option<FieldType>| *field_type == Some(FieldType::DateTime);
    match form {
        Datetimes::Rfc3339 if columns.types().iter().any(is_datetime) => {
            columns.types().iter().map(is_datetime).collect()
        }
        Datetimes::AsSent | Datetimes::Rfc3339 => Vec::new(),
    }
}

/// Appends a value of a datetime column, converted.
fn write_datetime(kind: CellKind, text: &[u8], out: &mut Vec<u8>) -> Result<(), NotADateTime> {
    match kind {
        CellKind::Text => write_rfc3339(text, out),
        _ => Err(NotADateTime::of(text)),
    }
}

//! Records → bytes: one encoder per file, with the same calls for every format.

use crate::job::{Datetimes, Format, Shape};
use crate::record::{CellKind, JsonForm, Record, RowForm, Target, ValueError};
use crate::soql::{Columns, JsonShape};
use crate::value::FieldType;
use crate::value::datetime::{NotADateTime, write_rfc3339};

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
            (csv @ Self::Csv(_), _) => csv,
        }
    }

    /// The byte that a reader of cells watches for; see [`CellText::clean`](crate::record::CellText::clean).
    #[must_use]
    pub fn watch(&self) -> Option<u8> {
        match self {
            Self::Csv(csv) => csv.watch(),
            Self::Jsonl(_) => Some(Jsonl::WATCH),
        }
    }

    /// How rows of CSV can be copied into the file, if they can.
    #[must_use]
    pub fn row_form(&self) -> Option<RowForm> {
        match self {
            Self::Csv(csv) => csv.row_form(),
            Self::Jsonl(_) => None,
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

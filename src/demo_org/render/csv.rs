//! CSV as Bulk API 2.0 sends it: header and values quoted, dotted paths for parents, null as `""`, doubles as in JSON,
//! timestamps with `Z`. And which queries it refuses for what they select.

use super::{date, datetime, double, formatted, push};
use crate::demo_org::condition::End;
use crate::demo_org::data::{DataSet, Row, Value};
use crate::demo_org::plan::{Column, Content, Flat, Plan, Planner, Shape};
use crate::demo_org::refusal::Refusal;
use crate::demo_org::schema::{Field, Kind};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo_org) struct Style {
    pub(in crate::demo_org) delimiter: u8,
    pub(in crate::demo_org) line_end: &'static str,
    /// Whether some whole numbers are written as `3.0`.
    pub(in crate::demo_org) whole_as_doubles: bool,
    /// The least length of a text in bytes.
    pub(in crate::demo_org) long_texts: usize,
}

/// The columns of a result in CSV.
#[derive(Debug)]
pub(in crate::demo_org) struct Columns(Vec<Flat>);

impl Columns {
    /// The columns of a query, or what the service says of one whose results it cannot write as CSV.
    pub(in crate::demo_org) fn of(data: &DataSet, soql: &str, plan: &Plan) -> Result<Self, Refusal> {
        let Shape::Records(columns) = &plan.shape else {
            return Err(refused("Aggregate Relationships not supported in Bulk Query"));
        };
        check(columns)?;
        Ok(Self(Planner::flat(data, soql, plan)?))
    }

    /// The same in alphabetical order, as versions before 50.0 have them.
    pub(in crate::demo_org) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|column| column.name.to_ascii_lowercase());
        self
    }

    /// Appends the header, which begins every page of a result.
    pub(in crate::demo_org) fn header(&self, out: &mut Vec<u8>, style: Style) {
        line(out, &self.0, style, |out, column| quoted(out, &column.name));
    }

    /// Appends a record.
    pub(in crate::demo_org) fn record(&self, out: &mut Vec<u8>, row: Row<'_>, style: Style) {
        line(out, &self.0, style, |out, column| {
            let value = column.chain.value(row);
            let value = if column.formatted { formatted(value, column.chain.kind()) } else { value };
            let from = out.len();
            cell(out, &value);
            match value {
                Value::Int(_) if style.whole_as_doubles && is_double(row) => out.extend_from_slice(b".0"),
                Value::Text(_) if out.len() - from < style.long_texts => {
                    out.resize(from + style.long_texts, b'x');
                }
                _ => {}
            }
        });
    }
}

/// Whether the integers of a row are written as doubles: those of every fourth, or so.
fn is_double(row: Row<'_>) -> bool {
    row.pick(301, 4) == 0
}

/// Refuses what CSV does not hold.
fn check(columns: &[Column]) -> Result<(), Refusal> {
    for column in columns {
        match &column.content {
            Content::Own(End::Field(Field { kind: Kind::Address | Kind::Location, .. }), _) => {
                return Err(refused("Selecting compound data not supported in Bulk Query"));
            }
            // The first version's words; those of Bulk API 2.0 are not known.
            Content::Own(End::Field(Field { kind: Kind::Base64, .. }), _) => {
                return Err(refused("Binary field not supported"));
            }
            Content::Own(..) => {}
            Content::Parent(_, inner) => check(inner)?,
            Content::Child(..) => {
                let message = "Aggregate Relationships not supported in Bulk V2 Query with CSV content type";
                return Err(refused(message));
            }
            Content::TypeOf(..) => return Err(refused("TYPEOF not supported in Bulk Query")),
        }
    }
    Ok(())
}

fn refused(message: &str) -> Refusal {
    Refusal::new("API_ERROR", message)
}

fn line(out: &mut Vec<u8>, columns: &[Flat], style: Style, cell: impl Fn(&mut Vec<u8>, &Flat)) {
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(style.delimiter);
        }
        out.push(b'"');
        cell(out, column);
        out.push(b'"');
    }
    out.extend_from_slice(style.line_end.as_bytes());
}

/// Appends the text of a cell, without its outer quotes.
fn cell(out: &mut Vec<u8>, value: &Value) {
    match value {
        // Compound and binary values never get here: [`Columns::of`] refuses them.
        Value::Null | Value::Address(_) | Value::Location { .. } | Value::Blob(..) => {}
        Value::Bool(truth) => push(out, format_args!("{truth}")),
        Value::Int(number) => push(out, format_args!("{number}")),
        Value::Double(number) => double(out, *number),
        Value::Text(text) => quoted(out, text),
        Value::Id(id) => out.extend_from_slice(&id.to_bytes()),
        Value::Date(day) => date(out, *day),
        Value::Datetime(timestamp) => {
            datetime(out, *timestamp);
            out.push(b'Z');
        }
    }
}

/// Appends a text with its quotes doubled; everything else stays as it is, NUL and line breaks too.
fn quoted(out: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_the_forms_of_the_bulk_api() {
        for (value, expected) in [
            (Value::Null, ""),
            (Value::Bool(true), "true"),
            (Value::Int(-3), "-3"),
            (Value::Double(541.0), "541.0"),
            (Value::Double(1.614_780_582_439_7e13), "1.6147805824397E13"),
            (Value::Text("say \"hi\"\r\n,".into()), "say \"\"hi\"\"\r\n,"),
            (Value::Text("".into()), ""),
            (Value::Date(jiff::civil::date(2026, 3, 8)), "2026-03-08"),
            (Value::Datetime("2026-05-01T07:25:37Z".parse().unwrap()), "2026-05-01T07:25:37.000Z"),
        ] {
            let mut out = Vec::new();
            cell(&mut out, &value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

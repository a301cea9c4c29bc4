//! CSV as Bulk API 2.0 sends it: header and values quoted, commas, LF, dotted paths for parents, null as `""`,
//! doubles as in JSON, timestamps with `Z`. And which plans it refuses.

use super::{date, datetime, double, formatted, push};
use crate::demo_org::condition::{Chain, End};
use crate::demo_org::data::{Row, Value};
use crate::demo_org::plan::{Column, Content, Plan, Shape, relationship};
use crate::demo_org::refusal::Refusal;
use crate::demo_org::schema::{Field, Kind};

/// The columns of a result in CSV.
#[derive(Debug)]
pub(in crate::demo_org) struct Columns(Vec<FlatColumn>);

#[derive(Debug)]
struct FlatColumn {
    name: String,
    chain: Chain,
    formatted: bool,
}

impl Columns {
    /// The columns of a plan, or what the service says of one that Bulk API 2.0 does not take.
    pub(in crate::demo_org) fn of(plan: &Plan) -> Result<Self, Refusal> {
        let Shape::Records(columns) = &plan.shape else {
            return Err(refused("Aggregate Relationships not supported in Bulk Query"));
        };
        let mut flat = Self(Vec::new());
        flat.add(&[], columns)?;
        Ok(flat)
    }

    fn add(&mut self, hops: &[&'static Field], columns: &[Column]) -> Result<(), Refusal> {
        for column in columns {
            match &column.content {
                Content::Own(end, formatted) => {
                    match end {
                        End::Field(Field { kind: Kind::Address | Kind::Location, .. }) => {
                            return Err(refused("Selecting compound data not supported in Bulk Query"));
                        }
                        // The first version's words; those of Bulk API 2.0 are not known.
                        End::Field(Field { kind: Kind::Base64, .. }) => {
                            return Err(refused("Binary field not supported"));
                        }
                        _ => {}
                    }
                    let name = path(hops, &column.key);
                    let chain = Chain { hops: hops.to_vec(), end: *end, path: name.clone() };
                    self.0.push(FlatColumn { name, chain, formatted: *formatted });
                }
                Content::Parent(reference, inner) => {
                    let hops: Vec<_> = hops.iter().copied().chain([*reference]).collect();
                    self.add(&hops, inner)?;
                }
                Content::Child(..) => {
                    let message =
                        "Aggregate Relationships not supported in Bulk V2 Query with CSV content type";
                    return Err(refused(message));
                }
                Content::TypeOf(..) => return Err(refused("TYPEOF not supported in Bulk Query")),
            }
        }
        Ok(())
    }

    /// Appends the header, which begins every page of a result.
    pub(in crate::demo_org) fn header(&self, out: &mut Vec<u8>) {
        line(out, &self.0, |out, column| quoted(out, &column.name));
    }

    /// Appends a record.
    pub(in crate::demo_org) fn record(&self, out: &mut Vec<u8>, row: Row<'_>) {
        line(out, &self.0, |out, column| {
            let value = column.chain.value(row);
            let value = if column.formatted { formatted(value, column.chain.kind()) } else { value };
            cell(out, &value);
        });
    }
}

fn refused(message: &str) -> Refusal {
    Refusal::new("API_ERROR", message)
}

fn path(hops: &[&'static Field], key: &str) -> String {
    let mut path: Vec<&str> = hops.iter().map(|hop| relationship(hop)).collect();
    path.push(key);
    path.join(".")
}

fn line(out: &mut Vec<u8>, columns: &[FlatColumn], cell: impl Fn(&mut Vec<u8>, &FlatColumn)) {
    for (n, column) in columns.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.push(b'"');
        cell(out, column);
        out.push(b'"');
    }
    out.push(b'\n');
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

//! Records → JSON Lines: one compact object per record. A record that was copied from the response only needs its line
//! ended. One that comes as cells becomes a flat object, or one with its parents in it, as the REST API sends it.

use crate::job::Numbers;
use crate::record::{CellKind, CellText, JsonForm, Record, ValueError, ValueErrorReason};
use crate::soql::{JsonShape, JsonValue};
use crate::value::number::write_plain;

use super::write_datetime;

/// Encodes records as lines.
#[derive(Debug)]
pub struct Jsonl {
    form: JsonForm,
    /// The keys of a flat object, each with what precedes its value: `{"Id":`, `,"Name":`.
    keys: Vec<Vec<u8>>,
    /// For each column, whether its values are datetimes to be converted; empty if none are.
    datetimes: Vec<bool>,
    lines: Lines,
}

/// How lines are made.
#[derive(Debug)]
enum Lines {
    /// The reader copies records; one that comes as cells is a flat object all the same, as that of `SELECT COUNT()` is.
    Copied,
    /// From cells, as flat objects.
    Flat,
    /// From cells, by these steps.
    Steps(Vec<Step>),
}

/// A step of putting an object together.
#[derive(Debug)]
enum Step {
    /// Writes what precedes a value, and the value of this cell.
    Value { before: Vec<u8>, cell: usize },
    /// Writes what precedes a parent. If the cell of its Id is null, writes null and continues with the step `behind`.
    Parent { before: Vec<u8>, id: usize, behind: usize },
    /// Ends an object.
    End,
}

impl Jsonl {
    /// Text that is clean in this respect, too, needs no escapes.
    pub(super) const WATCH: u8 = b'\\';

    /// An encoder of lines in this form. Records that come as cells have these keys.
    #[must_use]
    pub fn new(form: JsonForm, columns: Vec<String>) -> Self {
        let keys = columns.into_iter().enumerate().map(|(place, column)| key(place, &column)).collect();
        Self { form, keys, datetimes: Vec::new(), lines: Lines::Copied }
    }

    /// The same encoder, which converts the values of these columns from datetimes to RFC 3339 if they come as cells.
    #[must_use]
    pub fn with_datetimes(self, datetimes: Vec<bool>) -> Self {
        Self { datetimes, ..self }
    }

    /// The same encoder, whose lines are flat objects with a key for each column.
    #[must_use]
    pub fn flat(self) -> Self {
        Self { lines: Lines::Flat, ..self }
    }

    /// The same encoder, whose lines are objects of this shape, put together from cells.
    #[must_use]
    pub fn put_together(self, shape: &JsonShape) -> Self {
        let mut steps = Vec::new();
        push_steps(shape, &mut steps);
        Self { lines: Lines::Steps(steps), ..self }
    }

    /// Whether records have to come as cells.
    pub(super) fn takes_cells(&self) -> bool {
        !matches!(self.lines, Lines::Copied)
    }

    /// How a reader is to copy a record that it has as JSON.
    pub(super) fn form(&self) -> JsonForm {
        self.form
    }

    /// Appends a record as a line.
    ///
    /// # Errors
    /// If a number is to be written out and its exponent is out of range, or a value of a datetime column is not one.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        match &self.lines {
            _ if record.is_copied() => {}
            Lines::Copied | Lines::Flat => self.flat_object(record, out)?,
            Lines::Steps(steps) => self.object(steps, record, out)?,
        }
        out.push(b'\n');
        Ok(())
    }

    fn flat_object(&self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.keys.is_empty() {
            out.push(b'{');
        }
        for (column, (cell, key)) in record.cell_texts().zip(&self.keys).enumerate() {
            out.extend_from_slice(key);
            self.value(column, cell, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn object(&self, steps: &[Step], record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            at += 1;
            match step {
                Step::Value { before, cell } => {
                    out.extend_from_slice(before);
                    self.value(*cell, record.cell_text(*cell), out)?;
                }
                Step::Parent { before, id, behind } => {
                    out.extend_from_slice(before);
                    if record.is_null(*id) {
                        out.extend_from_slice(b"null");
                        at = *behind;
                    }
                }
                Step::End => out.push(b'}'),
            }
        }
        Ok(())
    }

    #[inline]
    fn value(&self, column: usize, cell: CellText<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let CellText { kind, text, clean, .. } = cell;
        match kind {
            CellKind::Null => out.extend_from_slice(b"null"),
            kind if self.datetimes.get(column) == Some(&true) => {
                out.push(b'"');
                write_datetime(kind, text, out)
                    .map_err(|reason| ValueError { column, reason: ValueErrorReason::DateTime(reason) })?;
                out.push(b'"');
            }
            CellKind::Text if clean => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
            CellKind::Text => string(text, out),
            CellKind::Number if self.form.numbers == Numbers::Plain => write_plain(text, out)
                .map_err(|reason| ValueError { column, reason: ValueErrorReason::Exponent(reason) })?,
            CellKind::Number | CellKind::Boolean | CellKind::Json => out.extend_from_slice(text),
        }
        Ok(())
    }
}

/// A key with what precedes it and its value: `{"Id":` for the first of an object, `,"Name":` for the others.
fn key(place: usize, name: &str) -> Vec<u8> {
    let mut key = vec![if place == 0 { b'{' } else { b',' }];
    string(name.as_bytes(), &mut key);
    key.push(b':');
    key
}

/// The steps that make an object of this shape.
fn push_steps(shape: &JsonShape, steps: &mut Vec<Step>) {
    for (place, entry) in shape.entries.iter().enumerate() {
        let before = key(place, &entry.key);
        match &entry.value {
            JsonValue::Cell(cell) => steps.push(Step::Value { before, cell: *cell }),
            JsonValue::Parent { id, shape } => {
                let parent = steps.len();
                steps.push(Step::Parent { before: Vec::new(), id: *id, behind: 0 });
                push_steps(shape, steps);
                steps[parent] = Step::Parent { before, id: *id, behind: steps.len() };
            }
        }
    }
    steps.push(Step::End);
}

/// Appends a text as a JSON string, with the escapes that the REST API uses: only what JSON requires is escaped (RFC 8259,
/// section 7), in the short form if there is one.
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        let escape = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            0..0x20 => b'u',
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::JsonEntry;

    const PLAIN: JsonForm = JsonForm { numbers: Numbers::Plain, ..JsonForm::AS_SENT };

    fn line(form: JsonForm, cells: &[(&str, CellKind, &str)]) -> Result<String, ValueError> {
        let mut jsonl = Jsonl::new(form, cells.iter().map(|(name, ..)| (*name).to_owned()).collect());
        let mut record = Record::default();
        record.clear(cells.len());
        for (column, (_, kind, text)) in cells.iter().enumerate() {
            assert!(record.fill(column, *kind, |out| out.extend_from_slice(text.as_bytes())));
        }
        let mut out = Vec::new();
        jsonl.record(&record, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_record_with_cells_is_a_flat_object() {
        let cells = [
            ("Id", CellKind::Text, "001"),
            ("Owner.\"Name\"", CellKind::Null, ""),
            ("Amount", CellKind::Number, "1.5E3"),
            ("Done", CellKind::Boolean, "true"),
            ("Where__c", CellKind::Json, r#"{"latitude":1}"#),
        ];
        assert_eq!(
            line(PLAIN, &cells).unwrap(),
            concat!(
                r#"{"Id":"001","Owner.\"Name\"":null,"Amount":1500.0,"Done":true,"Where__c":{"latitude":1}}"#,
                "\n"
            )
        );
        let as_sent = JsonForm { numbers: Numbers::AsSent, ..PLAIN };
        assert_eq!(line(as_sent, &cells[2..3]).unwrap(), "{\"Amount\":1.5E3}\n");
        assert_eq!(line(PLAIN, &[]).unwrap(), "{}\n");
    }

    fn entry(key: &str, value: JsonValue) -> JsonEntry {
        JsonEntry { key: key.to_owned(), value }
    }

    /// The line of `Id`, `Owner.Name`, `Owner.Boss.Name`, `Amount`, and the Ids of `Owner` and `Owner.Boss`.
    fn put_together(texts: [&str; 6]) -> String {
        let parent = |id, entries| JsonValue::Parent { id, shape: JsonShape { entries } };
        let boss = parent(5, vec![entry("Name", JsonValue::Cell(2))]);
        let owner = parent(4, vec![entry("Name", JsonValue::Cell(1)), entry("Boss", boss)]);
        let shape = JsonShape {
            entries: vec![
                entry("Id", JsonValue::Cell(0)),
                entry("Owner", owner),
                entry("Amount", JsonValue::Cell(3)),
            ],
        };
        let names = ["Id", "Owner.Name", "Owner.Boss.Name", "Amount"].map(str::to_owned).to_vec();
        let mut jsonl = Jsonl::new(PLAIN, names).put_together(&shape);
        let mut record = Record::default();
        record.clear(texts.len());
        for (cell, text) in texts.into_iter().enumerate() {
            let kind = match (text, cell) {
                ("", _) => CellKind::Null,
                (_, 3) => CellKind::Number,
                _ => CellKind::Text,
            };
            assert!(record.fill(cell, kind, |out| out.extend_from_slice(text.as_bytes())));
        }
        let mut out = Vec::new();
        jsonl.record(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_parent_is_an_object_or_null_by_its_id_alone() {
        for (texts, line) in [
            (
                ["1", "a\"b", "Jo", "1.5E3", "2", "3"],
                r#"{"Id":"1","Owner":{"Name":"a\"b","Boss":{"Name":"Jo"}},"Amount":1500.0}"#,
            ),
            (
                ["1", "", "", "2", "2", "3"],
                r#"{"Id":"1","Owner":{"Name":null,"Boss":{"Name":null}},"Amount":2}"#,
            ),
            (["1", "x", "", "", "2", ""], r#"{"Id":"1","Owner":{"Name":"x","Boss":null},"Amount":null}"#),
            (["", "", "", "7", "", ""], r#"{"Id":null,"Owner":null,"Amount":7}"#),
            (["", "x", "y", "7", "", "3"], r#"{"Id":null,"Owner":null,"Amount":7}"#),
        ] {
            assert_eq!(put_together(texts), format!("{line}\n"));
        }
    }

    #[test]
    fn control_characters_are_escaped_as_the_rest_api_does() {
        let text = "\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}/\\";
        let expected = "{\"T\":\"\\u0000\\b\\t\\n\\u000B\\f\\r\\u001F\u{7f}/\\\\\"}\n";
        assert_eq!(line(PLAIN, &[("T", CellKind::Text, text)]).unwrap(), expected);
    }

    #[test]
    fn a_text_is_escaped_as_serde_json_reads_it() {
        let every: String = (0..0x80_u8).map(char::from).chain("é東\u{10FFFF}\u{2028}".chars()).collect();
        let line = line(PLAIN, &[("T", CellKind::Text, &every)]).unwrap();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["T"], every);
        assert_eq!(line.matches('\n').count(), 1);
    }
}

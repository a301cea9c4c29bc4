//! Records → JSON Lines: one compact object per record. A record copied from the response as JSON only needs its line
//! ended; one that has cells becomes a flat object.

use crate::job::Numbers;
use crate::record::{CellKind, CellText, JsonForm, Record, ValueError, ValueErrorReason};
use crate::value::number::write_plain;

use super::write_datetime;

/// Encodes records as lines.
#[derive(Debug)]
pub struct Jsonl {
    form: JsonForm,
    /// The keys of a flat object, each with what precedes its value: `{"Id":`, `,"Name":`.
    keys: Vec<Vec<u8>>,
    /// For every column, whether its values are datetimes to be converted; empty if none are.
    datetimes: Vec<bool>,
    is_flat: bool,
}

impl Jsonl {
    /// Text that is clean in this respect, too, needs no escapes.
    pub(super) const WATCH: u8 = b'\\';

    /// An encoder of lines in this form. Records that are read into cells have these keys.
    #[must_use]
    pub fn new(form: JsonForm, columns: Vec<String>) -> Self {
        let key = |(number, column): (usize, String)| {
            let mut key = vec![if number == 0 { b'{' } else { b',' }];
            string(column.as_bytes(), &mut key);
            key.push(b':');
            key
        };
        let keys = columns.into_iter().enumerate().map(key).collect();
        Self { form, keys, datetimes: Vec::new(), is_flat: false }
    }

    /// The same encoder, which converts the values of these columns of flat objects from datetimes to RFC 3339.
    #[must_use]
    pub fn with_datetimes(self, datetimes: Vec<bool>) -> Self {
        Self { datetimes, ..self }
    }

    /// The same encoder, whose lines are flat objects with a key for each column.
    #[must_use]
    pub fn flat(self) -> Self {
        Self { is_flat: true, ..self }
    }

    pub(super) fn is_flat(&self) -> bool {
        self.is_flat
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
        if !record.is_copied() {
            self.object(record, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn object(&self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.keys.is_empty() {
            out.push(b'{');
        }
        for (column, (CellText { kind, text, clean, .. }, key)) in
            record.cell_texts().zip(&self.keys).enumerate()
        {
            out.extend_from_slice(key);
            match kind {
                CellKind::Null => out.extend_from_slice(b"null"),
                kind if self.datetimes.get(column) == Some(&true) => {
                    out.push(b'"');
                    write_datetime(kind, text, out).map_err(|reason| ValueError {
                        column,
                        reason: ValueErrorReason::DateTime(reason),
                    })?;
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
        }
        out.push(b'}');
        Ok(())
    }
}

/// Appends a text as a JSON string. Only what JSON requires is escaped (RFC 8259, section 7).
fn string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_text_is_escaped_as_serde_json_reads_it() {
        let every: String = (0..0x80_u8).map(char::from).chain("é東\u{10FFFF}\u{2028}".chars()).collect();
        let line = line(PLAIN, &[("T", CellKind::Text, &every)]).unwrap();
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["T"], every);
        assert_eq!(line.matches('\n').count(), 1);
    }
}

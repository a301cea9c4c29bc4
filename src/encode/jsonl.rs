//! Records → JSON Lines: one compact object per record. A record copied from the response as JSON only needs its line
//! ended; one that has cells becomes a flat object.

use crate::job::Numbers;
use crate::record::{CellKind, JsonForm, Record};
use crate::value::number::write_plain;

use super::ValueError;

/// Encodes records as lines.
#[derive(Debug)]
pub struct Jsonl {
    form: JsonForm,
    /// The keys of a flat object.
    columns: Vec<String>,
}

impl Jsonl {
    /// An encoder of lines in this form.
    #[must_use]
    pub fn new(form: JsonForm, columns: Vec<String>) -> Self {
        Self { form, columns }
    }

    /// How a reader is to copy a record that it has as JSON.
    pub(super) fn form(&self) -> JsonForm {
        self.form
    }

    /// Appends a record as a line.
    ///
    /// # Errors
    /// If a number is to be written out and its exponent is out of range.
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if !record.is_copied() {
            self.object(record, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn object(&self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        out.push(b'{');
        for (number, ((kind, text), column)) in record.cells().zip(&self.columns).enumerate() {
            if number > 0 {
                out.push(b',');
            }
            string(column.as_bytes(), out);
            out.push(b':');
            match kind {
                CellKind::Null => out.extend_from_slice(b"null"),
                CellKind::Text => string(text, out),
                CellKind::Number if self.form.numbers == Numbers::Plain => {
                    write_plain(text, out).map_err(|reason| ValueError { column: column.clone(), reason })?
                }
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

    const PLAIN: JsonForm = JsonForm { numbers: Numbers::Plain, attributes: false };

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

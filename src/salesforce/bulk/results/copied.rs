//! Copies rows of a result into a CSV file without taking them apart: most values lose their quotes and nothing else.

use std::io::Read;

use super::{DATETIME_BYTES, Kind, ResultsError, ResultsReader, is_number};
use crate::job::Numbers;
use crate::record::{Record, RowForm};
use crate::salesforce::swar::{BLOCK, below, control, equal, first, repeated};

/// How a text begins that a reader might mistake for something else: for the end of the data (PostgreSQL, `\.`), or for the
/// byte order mark of the file.
const MISTAKEN: [u8; 2] = [b'\\', 0xEF];

impl<R: Read> ResultsReader<R> {
    /// Appends the next row to `out` and [marks the record as copied](Record::is_copied). If there is no form, or the row has
    /// to be looked at value by value, fills the record instead, as [`ResultsReader::read`] does. Returns `false` after the
    /// last row.
    ///
    /// # Errors
    /// Those of [`ResultsReader::read`].
    #[inline]
    pub fn copy(
        &mut self,
        form: Option<RowForm>,
        record: &mut Record,
        out: &mut Vec<u8>,
    ) -> Result<bool, ResultsError> {
        if let Some(form) = form
            && self.is_in_order
            && (self.start < self.end || self.refill()?)
            && let Some(behind) = self.copied(form, out)
        {
            record.set_copied();
            self.start = behind;
            self.rows += 1;
            return Ok(true);
        }
        self.read(record)
    }

    /// Appends the row that begins in the buffer, and returns the place behind it. `None`, with nothing appended, if the row has
    /// a value that might be mistaken or has to be converted by other means than [`Kind::convert`], is not in the usual dialect,
    /// is damaged, or does not end in the buffer.
    #[inline]
    fn copied(&mut self, form: RowForm, out: &mut Vec<u8>) -> Option<usize> {
        let last = self.columns.len() - 1;
        // Indices stay in registers, which the length of a `Vec` does not.
        let (bytes, row) = (self.buffer.as_slice(), self.row.as_mut_slice());
        let (mut at, mut filled) = (self.start, 0);
        for (place, column) in self.columns.iter().enumerate() {
            let begin = filled;
            let value = value(&bytes[..self.end + BLOCK], at, row, begin)?;
            let sent = &bytes[at..value.behind];
            (at, filled) = (value.behind, value.filled);
            if !value.is_clean {
                // Only text holds such characters, and in a file it has the same quotes as in the result.
                if column.kind != Kind::Text {
                    return None;
                }
                let text = &sent[1..sent.len() - 1];
                let needs_quotes = text.iter().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'));
                let written = if needs_quotes { sent } else { text };
                filled = begin + written.len();
                row.get_mut(begin..filled)?.copy_from_slice(written);
            } else if column.kind != Kind::Text {
                filled = column.kind.convert(row, begin, filled, form)?;
            }
            if MISTAKEN.contains(&sent[1]) {
                return None;
            }
            match bytes[at] {
                b',' if place < last => {
                    *row.get_mut(filled)? = b',';
                    filled += 1;
                    at += 1;
                }
                b'\n' if place == last => at += 1,
                b'\r' if place == last && bytes[at + 1] == b'\n' => at += 2,
                _ => return None,
            }
        }
        // An empty line would not be a row.
        out.extend_from_slice(if filled == 0 { &b"\"\""[..] } else { &row[..filled] });
        out.extend_from_slice(if form.crlf { b"\r\n" } else { b"\n" });
        Some(at)
    }
}

/// A value that was copied.
struct Copied {
    /// The place behind its closing quote.
    behind: usize,
    /// The place in the row behind its copy.
    filled: usize,
    /// Whether it holds neither a quote, nor a comma, nor a control character. Otherwise the copy is not of use.
    is_clean: bool,
}

/// Copies the value whose opening quote is at `at` into the row, from `filled` on, without its quotes. The bytes end with a block
/// of zeros.
#[inline]
fn value(bytes: &[u8], mut at: usize, row: &mut [u8], mut filled: usize) -> Option<Copied> {
    if bytes[at] != b'"' {
        return None;
    }
    at += 1;
    let (mut others, mut has_quotes) = (0, false);
    loop {
        let block = bytes.get(at..)?.first_chunk::<BLOCK>()?;
        *row.get_mut(filled..)?.first_chunk_mut::<BLOCK>()? = *block;
        let word = u64::from_le_bytes(*block);
        let (quotes, other) = (equal(word, repeated(b'"')), control(word) | equal(word, repeated(b',')));
        if quotes == 0 {
            others |= other;
            at += BLOCK;
            filled += BLOCK;
            continue;
        }
        others |= other & below(quotes);
        let before = first(quotes);
        at += before + 1;
        filled += before;
        if bytes[at] != b'"' {
            return Some(Copied { behind: at, filled, is_clean: !has_quotes && others == 0 });
        }
        has_quotes = true;
        at += 1;
    }
}

impl Kind {
    /// Converts the value in `row[begin..end]` as one that fills a cell, and returns its new end. `None` if that takes more, as
    /// with a number whose exponent has to be written out.
    #[inline]
    fn convert(self, row: &mut [u8], begin: usize, end: usize, form: RowForm) -> Option<usize> {
        let value = &row[begin..end];
        match self {
            Self::Text | Self::Boolean => Some(end),
            Self::Number => {
                let has_exponent = || value.iter().any(|byte| matches!(byte, b'e' | b'E'));
                (form.numbers == Numbers::AsSent || !has_exponent()).then_some(end)
            }
            Self::Whole => match value.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'-') {
                None => Some(end),
                Some(point) if value[point..] == *b".0" && is_number(value) => Some(begin + point),
                Some(_) => None,
            },
            Self::DateTime if value.len() == DATETIME_BYTES && value.ends_with(b"Z") => {
                row.get_mut(end - 1..end + 4)?.copy_from_slice(b"+0000");
                Some(end + 4)
            }
            Self::DateTime => Some(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soql::BulkColumn;
    use crate::value::FieldType;

    const PLAIN: RowForm = RowForm { numbers: Numbers::Plain, crlf: false };

    fn columns(columns: &[(&str, Option<FieldType>)]) -> Vec<BulkColumn> {
        columns.iter().map(|(name, field_type)| BulkColumn::new(*name, *field_type)).collect()
    }

    /// The first row below the header, if it is copied.
    fn copied(form: RowForm, columns: &[BulkColumn], result: &str) -> Option<String> {
        let mut reader = ResultsReader::open(result.as_bytes(), columns, Some(b',')).unwrap();
        let (mut record, mut out) = (Record::default(), b"before\n".to_vec());
        assert!(reader.copy(Some(form), &mut record, &mut out).unwrap());
        assert_eq!(reader.rows(), 1);
        let row = out.strip_prefix(b"before\n").unwrap();
        assert_eq!(row.is_empty(), !record.is_copied());
        record.is_copied().then(|| String::from_utf8(row.to_vec()).unwrap())
    }

    #[test]
    fn a_value_keeps_its_quotes_only_where_a_reader_needs_them() {
        let names = columns(&[("A", None), ("B", None)]);
        for (row, expected) in [
            ("\"a\",\"\"\n", "a,\n"),
            ("\"\",\"\"\n", ",\n"),
            ("\"Größe 東京 and more than a block\",\"a b\"\r\n", "Größe 東京 and more than a block,a b\n"),
            ("\"a,b\",\",\"\n", "\"a,b\",\",\"\n"),
            ("\"a\nb\",\"a\rb\"\n", "\"a\nb\",\"a\rb\"\n"),
            ("\"say \"\"hi\"\"\",\"\"\"\"\n", "\"say \"\"hi\"\"\",\"\"\"\"\n"),
            ("\"a\tb\0\",\"more than a block\u{1}\"\n", "a\tb\0,more than a block\u{1}\n"),
        ] {
            assert_eq!(copied(PLAIN, &names, &format!("\"A\",\"B\"\n{row}")).unwrap(), expected, "{row}");
        }
        let crlf = RowForm { crlf: true, ..PLAIN };
        assert_eq!(copied(crlf, &names, "\"A\",\"B\"\n\"a\",\"b\"\n").unwrap(), "a,b\r\n");
        let one = columns(&[("A", None)]);
        assert_eq!(copied(PLAIN, &one, "\"A\"\n\"\"\n").unwrap(), "\"\"\n");
    }

    #[test]
    fn typed_values_are_copied_as_rest_would_send_them() {
        let names = columns(&[
            ("A", Some(FieldType::Integer)),
            ("B", Some(FieldType::Double)),
            ("C", Some(FieldType::DateTime)),
            ("D", Some(FieldType::Boolean)),
        ]);
        let row = |row: &str| format!("\"A\",\"B\",\"C\",\"D\"\n{row}\n");
        let usual = row("\"3.0\",\"4.50\",\"2026-05-01T07:25:37.000Z\",\"true\"");
        assert_eq!(copied(PLAIN, &names, &usual).unwrap(), "3,4.50,2026-05-01T07:25:37.000+0000,true\n");
        for whole in ["1.2E3", "3.5", "3.00", "-.0"] {
            assert_eq!(copied(PLAIN, &names, &row(&format!("\"{whole}\",\"\",\"\",\"\""))), None, "{whole}");
        }
        let exponent = row("\"3\",\"1.5E10\",\"\",\"false\"");
        assert_eq!(copied(PLAIN, &names, &exponent), None);
        let as_sent = RowForm { numbers: Numbers::AsSent, ..PLAIN };
        assert_eq!(copied(as_sent, &names, &exponent).unwrap(), "3,1.5E10,,false\n");
        assert_eq!(copied(PLAIN, &names, &row("\"1,0\",\"\",\"\",\"\"")), None);
    }

    #[test]
    fn what_has_to_be_looked_at_is_not_copied() {
        let names = columns(&[("A", None), ("B", None)]);
        for rows in ["\"a\",\"\\.\"\n", "\"\u{feff}a\",\"b\"\n", "a,\"b\"\n", "\"a\",b\n"] {
            assert_eq!(copied(PLAIN, &names, &format!("\"A\",\"B\"\n{rows}")), None, "{rows}");
        }
        // The cells are in another order than the values.
        assert_eq!(copied(PLAIN, &names, "\"B\",\"A\"\n\"a\",\"b\"\n"), None);
    }

    #[test]
    fn a_damaged_row_leaves_nothing_in_the_output() {
        let names = columns(&[("A", None), ("B", None)]);
        for row in ["\"a\"\n", "\"a\",\"b\",\"c\"\n", "\"a\",\"b\"c\n", "\"a\",\"b\"", "\"a\",\"b", "\"a\","]
        {
            let result = format!("\"A\",\"B\"\n{row}");
            let mut reader = ResultsReader::open(result.as_bytes(), &names, Some(b',')).unwrap();
            let mut out = b"before\n".to_vec();
            assert!(reader.copy(Some(PLAIN), &mut Record::default(), &mut out).is_err(), "{row}");
            assert_eq!(out, b"before\n", "{row}");
        }
    }
}

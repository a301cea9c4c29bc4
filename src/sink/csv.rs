//! Records → CSV by a job's dialect: RFC 4180, quotes only where a reader needs them.

use std::io::{self, Write};

use ::csv::{ByteRecord, ErrorKind, QuoteStyle, Terminator, Writer, WriterBuilder};

use crate::job::{CsvDialect, Numbers};
use crate::record::number::write_plain;
use crate::record::{CellKind, Record};

/// The encoder's own buffer. The csv crate's fast path takes a record that fits into what is left of it.
const BUFFER: usize = 64 * 1024;

/// Encodes records as rows.
pub struct Csv {
    dialect: CsvDialect,
    numbers: Numbers,
    builder: WriterBuilder,
    row: ByteRecord,
    cell: Vec<u8>,
}

impl Csv {
    /// An encoder for a dialect.
    #[must_use]
    pub fn new(dialect: CsvDialect, numbers: Numbers) -> Self {
        let mut builder = WriterBuilder::new();
        builder
            .delimiter(dialect.delimiter)
            .quote(dialect.quote)
            .quote_style(QuoteStyle::Necessary)
            .terminator(if dialect.crlf { Terminator::CRLF } else { Terminator::Any(b'\n') })
            .has_headers(false)
            .buffer_capacity(BUFFER);
        Self { dialect, numbers, builder, row: ByteRecord::new(), cell: Vec::new() }
    }

    /// Appends what stands before the first record: the byte order mark and the header, where the dialect has them.
    pub fn head(&self, names: &[String], out: &mut Vec<u8>) -> io::Result<()> {
        if self.dialect.bom {
            out.extend_from_slice("\u{FEFF}".as_bytes());
        }
        if self.dialect.header {
            let mut writer = self.builder.from_writer(out);
            writer.write_record(names)?;
            writer.flush()?;
        }
        Ok(())
    }

    /// Begins to append rows; they are all in `out` after [`Rows::finish`].
    pub fn rows<W: Write>(&mut self, out: W) -> Rows<'_, W> {
        let writer = self.builder.from_writer(out);
        Rows {
            writer,
            dialect: &self.dialect,
            numbers: self.numbers,
            row: &mut self.row,
            cell: &mut self.cell,
        }
    }
}

/// Rows on their way out.
pub struct Rows<'o, W: Write> {
    writer: Writer<W>,
    dialect: &'o CsvDialect,
    numbers: Numbers,
    row: &'o mut ByteRecord,
    cell: &'o mut Vec<u8>,
}

impl<W: Write> Rows<'_, W> {
    /// Appends a record as a row.
    ///
    /// # Errors
    /// Those of what is written to; a buffer has none.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        self.row.clear();
        for (kind, bytes) in record.cells() {
            match kind {
                CellKind::Null => self.row.push_field(self.dialect.null.as_bytes()),
                CellKind::Number
                    if self.numbers == Numbers::Plain && bytes.iter().any(|b| matches!(b, b'e' | b'E')) =>
                {
                    self.cell.clear();
                    write_plain(bytes, self.cell);
                    self.row.push_field(self.cell);
                }
                CellKind::Text if self.dialect.formula_guard && runs_in_a_spreadsheet(bytes) => {
                    self.cell.clear();
                    self.cell.push(b'\'');
                    self.cell.extend_from_slice(bytes);
                    self.row.push_field(self.cell);
                }
                _ => self.row.push_field(bytes),
            }
        }
        self.writer.write_byte_record(self.row).map_err(|error| match error.into_kind() {
            // As it was: what a stage's error holds is not to be wrapped away.
            ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })
    }

    /// Puts the last rows where they go.
    ///
    /// # Errors
    /// Those of what is written to; a buffer has none.
    pub fn finish(mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The first characters that make Excel, Sheets and LibreOffice read a cell as a formula, after OWASP's page on
/// CSV injection.
fn runs_in_a_spreadsheet(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(dialect: CsvDialect, rows: &[&[(CellKind, &str)]]) -> String {
        let mut out = Vec::new();
        let mut csv = Csv::new(dialect, Numbers::Plain);
        let names: Vec<_> = (0..rows[0].len()).map(|n| format!("c{n}")).collect();
        csv.head(&names, &mut out).unwrap();
        let mut record = Record::default();
        let mut writer = csv.rows(&mut out);
        for row in rows {
            record.clear(row.len());
            // In reverse: the order of arrival is not the order of columns.
            for (column, (kind, text)) in row.iter().enumerate().rev() {
                assert!(record.fill(column, *kind, |out| out.extend_from_slice(text.as_bytes())));
            }
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    const NULL: (CellKind, &str) = (CellKind::Null, "");

    fn text(text: &str) -> (CellKind, &str) {
        (CellKind::Text, text)
    }

    #[test]
    fn quotes_stand_only_where_a_reader_needs_them() {
        let rows: &[&[_]] = &[
            &[text("plain"), text("a,b"), text("say \"hi\""), text("two\nlines"), text("cr\rhere")],
            &[NULL, text(""), text(" spaced "), text("it's"), (CellKind::Number, "1.5E3")],
        ];
        assert_eq!(
            encoded(CsvDialect::default(), rows),
            "c0,c1,c2,c3,c4\n\
             plain,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"cr\rhere\"\n\
             ,, spaced ,it's,1500.0\n"
        );
    }

    #[test]
    fn a_row_that_is_one_empty_cell_is_not_an_empty_line() {
        assert_eq!(
            encoded(CsvDialect::default(), &[&[NULL], &[text("")], &[text("x")]]),
            "c0\n\"\"\n\"\"\nx\n"
        );
    }

    #[test]
    fn the_dialect_is_kept() {
        let dialect = CsvDialect {
            delimiter: b';',
            quote: b'\'',
            crlf: true,
            null: "\\N".to_owned(),
            header: true,
            bom: true,
            formula_guard: true,
        };
        let row: &[_] = &[text("a;b"), text("it's"), NULL, text("=1+1"), (CellKind::Number, "-1")];
        assert_eq!(encoded(dialect, &[row]), "\u{FEFF}c0;c1;c2;c3;c4\r\n'a;b';'it''s';\\N;'''=1+1';-1\r\n");
        let bare = CsvDialect { header: false, ..CsvDialect::default() };
        assert_eq!(encoded(bare, &[&[text("=1+1")]]), "=1+1\n");
    }

    #[test]
    fn a_row_longer_than_the_buffer_is_written_whole() {
        let long = "x\"".repeat(BUFFER);
        let expected = format!("c0,c1\n\"{}\",y\n", "x\"\"".repeat(BUFFER));
        assert_eq!(encoded(CsvDialect::default(), &[&[text(&long), text("y")]]), expected);
    }
}

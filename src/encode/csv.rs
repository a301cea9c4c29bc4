//! Records → CSV in a job's dialect: RFC 4180, quoted only where a reader needs it.

use crate::job::{CsvDialect, Datetimes, Numbers};
use crate::record::{CellKind, CellText, JsonForm, Record, RowForm, ValueError, ValueErrorReason};
use crate::value::number::write_plain;

use super::formula::runs_in_a_spreadsheet;
use super::write_datetime;

/// How many bytes of a cell are moved together, and up to which length that is faster than `memcpy`.
const BLOCK: usize = 16;
const SHORT: usize = 64;

const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// A line of these two characters ends the data for Postgres before version 18, unless they are in quotes (its manual
/// on COPY, "CSV Format").
const END_OF_DATA: &[u8] = b"\\.";

/// Encodes records as rows.
#[derive(Debug)]
pub struct Csv {
    dialect: CsvDialect,
    numbers: Numbers,
    columns: Vec<String>,
    /// For every column, whether its values are datetimes to be converted; empty if none are.
    datetimes: Vec<bool>,
    /// How datetimes in a child query's records are written.
    child_datetimes: Datetimes,
    /// For every byte, whether a cell that holds it needs quotes.
    special: [bool; 256],
    /// A cell that is not written as it is in its record.
    changed: Vec<u8>,
}

impl Csv {
    /// An encoder of a file with these columns.
    #[must_use]
    pub fn new(dialect: CsvDialect, numbers: Numbers, columns: Vec<String>) -> Self {
        let mut special = [false; 256];
        for byte in [dialect.delimiter, dialect.quote, b'\r', b'\n'] {
            special[usize::from(byte)] = true;
        }
        let child_datetimes = Datetimes::AsSent;
        Self {
            dialect,
            numbers,
            columns,
            datetimes: Vec::new(),
            child_datetimes,
            special,
            changed: Vec::new(),
        }
    }

    /// The same encoder with datetimes in this form. `columns` says of each column whether its values are such; it is empty
    /// if none are, or nothing is to be converted.
    #[must_use]
    pub fn with_datetimes(self, form: Datetimes, columns: Vec<bool>) -> Self {
        Self { datetimes: columns, child_datetimes: form, ..self }
    }

    /// How a child query's records in a cell are written: with the org's own numbers.
    pub(super) fn form(&self) -> JsonForm {
        JsonForm { datetimes: self.child_datetimes, ..JsonForm::AS_SENT }
    }

    /// The byte to watch for while text is read. Text without it, quotes and control characters needs no quotes; with
    /// another quote character that is not known.
    pub(super) fn watch(&self) -> Option<u8> {
        (self.dialect.quote == b'"').then_some(self.dialect.delimiter)
    }

    /// How rows of CSV can be copied into the file. `None` if the dialect or the datetimes need more than that.
    #[must_use]
    pub fn row_form(&self) -> Option<RowForm> {
        let CsvDialect { delimiter, quote, crlf, null, formula_guard, .. } = &self.dialect;
        let is_usual = (*delimiter, *quote) == (b',', b'"') && null.is_empty() && !formula_guard;
        let form = RowForm { numbers: self.numbers, crlf: *crlf };
        (is_usual && self.datetimes.is_empty()).then_some(form)
    }

    /// Appends the byte order mark and the header, as the dialect wants them.
    pub fn begin(&self, out: &mut Vec<u8>) {
        if self.dialect.bom {
            out.extend_from_slice(BYTE_ORDER_MARK);
        }
        if self.dialect.header {
            let start = out.len();
            for name in &self.columns {
                self.cell(name.as_bytes(), out);
            }
            self.end_row(start, out);
        }
    }

    /// Appends a record as a row, unless it has been copied.
    ///
    /// # Errors
    /// If a number is to be written out and its exponent is out of range, or a value of a datetime column is not one.
    #[inline]
    pub fn record(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self.datetimes.is_empty() {
            _ if record.is_copied() => Ok(()),
            true => self.row::<false>(record, out),
            false => self.row::<true>(record, out),
        }
    }

    fn row<const DATETIMES: bool>(&mut self, record: &Record, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let start = out.len();
        for (column, CellText { kind, text, clean, from }) in record.cell_texts().enumerate() {
            match kind {
                CellKind::Null => self.plain_or_quoted(self.dialect.null.as_bytes(), out),
                kind if DATETIMES && self.datetimes.get(column) == Some(&true) => {
                    self.changed.clear();
                    write_datetime(kind, text, &mut self.changed).map_err(|reason| ValueError {
                        column,
                        reason: ValueErrorReason::DateTime(reason),
                    })?;
                    self.cell(&self.changed, out);
                }
                CellKind::Text if self.dialect.formula_guard && runs_in_a_spreadsheet(text) => {
                    self.changed.clear();
                    self.changed.push(b'\'');
                    self.changed.extend_from_slice(text);
                    self.cell(&self.changed, out);
                }
                CellKind::Number if self.numbers == Numbers::Plain && has_exponent(text) => {
                    self.changed.clear();
                    write_plain(text, &mut self.changed).map_err(|reason| ValueError {
                        column,
                        reason: ValueErrorReason::Exponent(reason),
                    })?;
                    self.cell(&self.changed, out);
                }
                _ if clean && !self.is_mistaken(text) => {
                    append(from, text.len(), out);
                    out.push(self.dialect.delimiter);
                }
                _ => self.cell(text, out),
            }
        }
        self.end_row(start, out);
        Ok(())
    }

    /// Appends the cell of a value and a delimiter.
    #[inline]
    fn cell(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.is_mistaken(text) {
            self.quoted(text, out);
        } else {
            self.plain_or_quoted(text, out);
        }
    }

    /// Appends a cell, in quotes if it holds a special character, and a delimiter.
    #[inline]
    fn plain_or_quoted(&self, text: &[u8], out: &mut Vec<u8>) {
        if text.iter().any(|byte| self.special[usize::from(*byte)]) {
            self.quoted(text, out);
        } else {
            out.extend_from_slice(text);
            out.push(self.dialect.delimiter);
        }
    }

    fn quoted(&self, text: &[u8], out: &mut Vec<u8>) {
        let quote = self.dialect.quote;
        out.push(quote);
        let mut rest = text;
        while let Some(at) = memchr::memchr(quote, rest) {
            out.extend_from_slice(&rest[..=at]);
            out.push(quote);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        out.push(quote);
        out.push(self.dialect.delimiter);
    }

    /// Whether a reader would take a value without quotes for something else: for null, for the end of the data, or
    /// for the file's byte order mark.
    #[inline]
    fn is_mistaken(&self, text: &[u8]) -> bool {
        let null = self.dialect.null.as_bytes();
        match text.first() {
            // An empty cell is null or an empty string, as it always was.
            None => false,
            Some(b'\\') if text == END_OF_DATA => true,
            Some(0xEF) if !self.dialect.header && !self.dialect.bom && text.starts_with(BYTE_ORDER_MARK) => {
                true
            }
            _ => text == null,
        }
    }

    /// Ends the row that began at `start`: a line break replaces the delimiter after its last cell.
    fn end_row(&self, start: usize, out: &mut Vec<u8>) {
        if out.len() > start {
            out.pop();
        }
        // An empty line would not be a row.
        if out.len() == start {
            out.extend_from_slice(&[self.dialect.quote; 2]);
        }
        out.extend_from_slice(if self.dialect.crlf { b"\r\n" } else { b"\n" });
    }
}

/// Appends the first `length` bytes.
#[inline]
fn append(from: &[u8], length: usize, out: &mut Vec<u8>) {
    let end = out.len() + length;
    let mut rest = from;
    if length <= SHORT {
        while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>()
            && out.len() < end
        {
            out.extend_from_slice(block);
            rest = behind;
        }
        out.truncate(end);
    }
    let left = end - out.len();
    if left > 0 {
        out.extend_from_slice(&rest[..left]);
    }
}

fn has_exponent(number: &[u8]) -> bool {
    number.iter().any(|byte| matches!(byte, b'e' | b'E'))
}

#[cfg(test)]
mod tests {
    use ::csv::{QuoteStyle, Terminator, WriterBuilder};
    use proptest::prelude::*;

    use super::*;

    fn encoded(dialect: CsvDialect, rows: &[&[(CellKind, &str)]]) -> String {
        let mut out = Vec::new();
        let names: Vec<_> = (0..rows[0].len()).map(|n| format!("c{n}")).collect();
        let mut csv = Csv::new(dialect, Numbers::Plain, names);
        csv.begin(&mut out);
        let mut record = Record::default();
        for row in rows {
            record.clear(row.len());
            // In reverse: the order of arrival is not the order of columns.
            for (column, (kind, text)) in row.iter().enumerate().rev() {
                assert!(record.fill(column, *kind, |out| out.extend_from_slice(text.as_bytes())));
            }
            csv.record(&record, &mut out).unwrap();
        }
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
    fn a_long_cell_is_written_whole() {
        let long = "x\"".repeat(70_000);
        let expected = format!("c0,c1\n\"{}\",y\n", "x\"\"".repeat(70_000));
        assert_eq!(encoded(CsvDialect::default(), &[&[text(&long), text("y")]]), expected);
    }

    #[test]
    fn a_value_equal_to_the_null_token_is_quoted() {
        for null in ["\\N", "NULL", "0", "-1", "false", "'=1"] {
            let dialect = CsvDialect { null: null.to_owned(), formula_guard: true, ..CsvDialect::default() };
            let row: &[_] = &[
                text("\\N"),
                text("NULL"),
                (CellKind::Number, "0"),
                (CellKind::Number, "-1"),
                (CellKind::Boolean, "false"),
                text("=1"),
                text(""),
                NULL,
            ];
            let cells = ["\\N", "NULL", "0", "-1", "false", "'=1"]
                .map(|cell| if cell == null { format!("\"{cell}\"") } else { cell.to_owned() });
            let expected = format!("c0,c1,c2,c3,c4,c5,c6,c7\n{},,{null}\n", cells.join(","));
            assert_eq!(encoded(dialect, &[row]), expected);
        }
    }

    #[test]
    fn clean_text_equal_to_the_null_token_is_quoted() {
        let dialect = CsvDialect { null: "NULL".to_owned(), header: false, ..CsvDialect::default() };
        let mut csv = Csv::new(dialect, Numbers::AsSent, vec!["c0".to_owned()]);
        let (mut record, mut out) = (Record::default(), Vec::new());
        record.clear(1);
        assert!(record.fill_text(0, |cell| {
            cell.extend_from_slice(b"NULL");
            Some(true)
        }));
        csv.record(&record, &mut out).unwrap();
        assert_eq!(out, b"\"NULL\"\n");
    }

    #[test]
    fn an_empty_null_leaves_empty_cells_unquoted() {
        assert_eq!(encoded(CsvDialect::default(), &[&[NULL, text("")]]), "c0,c1\n,\n");
    }

    #[test]
    fn the_marker_that_ends_postgres_data_is_quoted() {
        assert_eq!(encoded(CsvDialect::default(), &[&[text("\\.")], &[text("\\.x")]]), "c0\n\"\\.\"\n\\.x\n");
    }

    #[test]
    fn text_is_never_the_byte_order_mark_of_its_file() {
        let bare = CsvDialect { header: false, ..CsvDialect::default() };
        assert_eq!(encoded(bare.clone(), &[&[text("\u{feff}x")]]), "\"\u{feff}x\"\n");
        let marked = CsvDialect { bom: true, ..bare };
        assert_eq!(encoded(marked, &[&[text("\u{feff}x")]]), "\u{feff}\u{feff}x\n");
        assert_eq!(encoded(CsvDialect::default(), &[&[text("\u{feff}x")]]), "c0\n\u{feff}x\n");
    }

    /// The rows as the csv crate writes them.
    fn by_the_csv_crate(dialect: &CsvDialect, rows: &[Vec<String>]) -> Vec<u8> {
        let mut writer = WriterBuilder::new()
            .delimiter(dialect.delimiter)
            .quote(dialect.quote)
            .quote_style(QuoteStyle::Necessary)
            .terminator(if dialect.crlf { Terminator::CRLF } else { Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_csv_crate(
            rows in (1_usize..5).prop_flat_map(|width| {
                // Only this encoder quotes the end of Postgres's data.
                let any = any::<String>().prop_filter("an end of data", |text| text != "\\.");
                let cell = prop_oneof!["[a,;'\"\r\n\t|ö]{0,40}", "[a-z0-9 ö]{0,90}", any];
                prop::collection::vec(prop::collection::vec(cell, width), 1..6)
            }),
            (delimiter, quote) in (prop::sample::select(b",;\t|a'".to_vec()), prop::sample::select(b"\"'".to_vec()))
                .prop_filter("two characters", |(delimiter, quote)| delimiter != quote),
            (crlf, watched) in (any::<bool>(), any::<bool>()),
        ) {
            let dialect = CsvDialect { delimiter, quote, crlf, ..CsvDialect::default() };
            let mut csv = Csv::new(dialect.clone(), Numbers::AsSent, Vec::new());
            let watch = csv.watch();
            assert_eq!(watch, (quote == b'"').then_some(delimiter));
            let (mut record, mut out) = (Record::default(), Vec::new());
            for row in &rows {
                record.clear(row.len());
                for (column, text) in row.iter().enumerate() {
                    // As a reader fills it that watches, and as one that does not.
                    let clean = |watch| !text.bytes().any(|byte| byte == watch || byte == b'"' || byte < 0x20);
                    assert!(record.fill_text(column, |out| {
                        out.extend_from_slice(text.as_bytes());
                        Some(watched && watch.is_some_and(clean))
                    }));
                }
                csv.record(&record, &mut out).unwrap();
            }
            let expected = by_the_csv_crate(&dialect, &rows);
            prop_assert_eq!(String::from_utf8(out), String::from_utf8(expected));
        }
    }
}

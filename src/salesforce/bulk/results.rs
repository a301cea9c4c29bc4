//! One page of a query job's result: a pull reader from its CSV to records.
//!
//! Salesforce quotes every value, so a row in that dialect is read in one go. A row with a value that is not quoted, as
//! something on the way may have written it, is left to `csv-core`. A row that is cut short (the last one has a line break
//! too), has another number of values than there are columns, or has text after a closing quote is a fault, never a guess.

mod copied;

use std::collections::HashMap;
use std::io::{self, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};

use crate::record::{CellKind, Record};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::swar::{BLOCK, below, control, equal, first, repeated};
use crate::soql::BulkColumn;
use crate::value::FieldType;
use crate::value::number::{end_of_number, write_plain};

/// How many bytes are read at once. A row that is longer is given more room.
const READ_BYTES: usize = 128 * 1024;

/// A datetime as Bulk API 2.0 sends it, `2026-05-01T07:25:37.000Z`.
const DATETIME_BYTES: usize = 24;

/// A double has at most 17 digits, a point, two signs and an exponent of three digits.
const MAX_WHOLE_BYTES: usize = 32;

const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Why a page was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// What was received is not the page that was asked for. [`FaultKind::Truncated`] if another response may be.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What was received cannot be read back.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// Reads a page's rows one after the other.
///
/// Values become cells as the REST API would fill them: an empty one is null; `3.0` in a column of integers is `3`; a
/// datetime ends with `+0000`. A value that is not of its column's type is text.
pub struct ResultsReader<R> {
    source: R,
    /// What has been read, followed by a block of zeros.
    buffer: Vec<u8>,
    /// Room for a row that is copied.
    row: Vec<u8>,
    /// Where the next row begins, and where the data ends.
    start: usize,
    end: usize,
    /// Up to where the data is known to be UTF-8.
    checked: usize,
    is_at_end: bool,
    /// The columns in the order of the result.
    columns: Vec<Column>,
    /// Whether they fill the cells in this order.
    is_in_order: bool,
    rows: u64,
    watch: Option<u8>,
    slow: Slow,
}

/// A column of the result: the cell that its values fill, and what they become.
#[derive(Debug, Clone, Copy)]
struct Column {
    cell: usize,
    kind: Kind,
}

/// What a column's values become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Boolean,
    /// A number, which may be sent as `3.0` although it is whole.
    Whole,
    Number,
    DateTime,
}

impl From<Option<FieldType>> for Kind {
    fn from(field_type: Option<FieldType>) -> Self {
        match field_type {
            Some(FieldType::Boolean) => Self::Boolean,
            Some(FieldType::Integer | FieldType::Long) => Self::Whole,
            Some(FieldType::Double | FieldType::Decimal { .. }) => Self::Number,
            Some(FieldType::DateTime) => Self::DateTime,
            _ => Self::Text,
        }
    }
}

/// What came of an attempt to read a row.
enum Row {
    /// It was read, up to this place.
    Read(usize),
    /// It does not end in the buffer.
    Incomplete,
    /// It has a value without quotes.
    Unquoted,
    /// It is damaged.
    Broken(&'static str),
}

impl<R: Read> ResultsReader<R> {
    /// Reads a page's header, which must name each of these columns once, in any order: before version 50 the API sends
    /// them in alphabetical order. Records have their cells in the order of `columns`. `watch` is a byte to watch for in
    /// text; see [`CellText::clean`](crate::record::CellText::clean).
    ///
    /// # Errors
    /// If the header does not name these columns, or cannot be read.
    pub fn open(source: R, columns: &[BulkColumn], watch: Option<u8>) -> Result<Self, ResultsError> {
        let mut reader = Self {
            source,
            buffer: vec![0; READ_BYTES + BLOCK],
            row: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            checked: 0,
            is_at_end: false,
            columns: (0..columns.len()).map(|cell| Column { cell, kind: Kind::Text }).collect(),
            is_in_order: true,
            rows: 0,
            watch,
            slow: Slow::default(),
        };
        reader.columns = reader.header(columns)?;
        reader.is_in_order = reader.columns.iter().enumerate().all(|(place, column)| column.cell == place);
        reader.rows = 0;
        Ok(reader)
    }

    /// The rows read so far, without the header.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Fills the record with the next row. Returns `false` after the last one.
    ///
    /// # Errors
    /// If the row is damaged, or cannot be read.
    #[inline]
    pub fn read(&mut self, record: &mut Record) -> Result<bool, ResultsError> {
        loop {
            if self.start == self.end && !self.refill()? {
                return Ok(false);
            }
            record.clear(self.columns.len());
            let row = match self.quoted(record) {
                Row::Unquoted => {
                    record.clear(self.columns.len());
                    let data = &self.buffer[self.start..self.end];
                    self.slow.row(data, self.start, self.is_at_end, &self.columns, record)
                }
                row => row,
            };
            match row {
                Row::Read(behind) => {
                    self.start = behind;
                    self.rows += 1;
                    return Ok(true);
                }
                Row::Incomplete if self.refill()? => {}
                Row::Incomplete | Row::Unquoted => return Err(self.broken("is cut short").into()),
                Row::Broken(why) => return Err(self.broken(why).into()),
            }
        }
    }

    /// A row in which every value is quoted.
    #[inline]
    fn quoted(&self, record: &mut Record) -> Row {
        let (bytes, end) = (self.buffer.as_slice(), self.end);
        let watched = Watched { word: repeated(self.watch.unwrap_or_default()), any: self.watch.is_some() };
        let last = self.columns.len() - 1;
        let mut at = self.start;
        for (place, column) in self.columns.iter().enumerate() {
            match bytes[at] {
                b'"' => {}
                _ if at >= end => return Row::Incomplete,
                _ => return Row::Unquoted,
            }
            let Some(value) = Value::find(bytes, at + 1, end, watched) else { return Row::Incomplete };
            column.fill(record, &bytes[at + 1..value.behind - 1], at + 1 - self.start, &value);
            let behind = value.behind;
            at = match bytes[behind] {
                b',' if place < last => behind + 1,
                b'\n' if place == last => return self.read_to(behind + 1, record),
                b'\r' if place == last && bytes[behind + 1] == b'\n' => {
                    return self.read_to(behind + 2, record);
                }
                _ if behind >= end => return Row::Incomplete,
                b'\r' if behind + 1 >= end => return Row::Incomplete,
                b',' => return Row::Broken("has more values than there are columns"),
                b'\n' | b'\r' => return Row::Broken("has fewer values than there are columns"),
                _ => return Row::Broken("has text after a closing quote"),
            };
        }
        Row::Incomplete
    }

    /// The row ends before this place.
    #[inline]
    fn read_to(&self, behind: usize, record: &mut Record) -> Row {
        record.set_row(&self.buffer[self.start..behind]);
        Row::Read(behind)
    }

    /// Reads more behind what has not been used; returns whether anything came.
    fn refill(&mut self) -> Result<bool, ResultsError> {
        if self.is_at_end {
            return Ok(false);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.end, self.checked) = (self.end - self.start, self.checked - self.start);
        self.start = 0;
        if self.end + BLOCK == self.buffer.len() {
            self.buffer.resize(2 * self.end + BLOCK, 0);
        }
        let room = self.buffer.len() - BLOCK;
        let before = self.end;
        while self.end < room {
            match self.source.read(&mut self.buffer[self.end..room]) {
                Ok(0) => {
                    self.is_at_end = true;
                    break;
                }
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer[self.end..self.end + BLOCK].fill(0);
        self.check_utf8()?;
        Ok(self.end > before)
    }

    /// Checks what has been read, up to a character that may not be there to its end.
    fn check_utf8(&mut self) -> Result<(), Fault> {
        match simdutf8::compat::from_utf8(&self.buffer[self.checked..self.end]) {
            Ok(_) => self.checked = self.end,
            Err(error) if error.error_len().is_none() && !self.is_at_end => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(truncated("the result is not UTF-8".to_owned())),
        }
        Ok(())
    }

    fn header(&mut self, columns: &[BulkColumn]) -> Result<Vec<Column>, ResultsError> {
        self.refill()?;
        if self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
            self.start = BYTE_ORDER_MARK.len();
        }
        let mut header = Record::default();
        if columns.is_empty() || !self.read(&mut header)? {
            return Err(truncated("the result has no header".to_owned()).into());
        }
        Ok(named(&header, columns)?)
    }

    #[cold]
    fn broken(&self, why: &str) -> Fault {
        truncated(match self.rows {
            0 => format!("the first row of the result {why}"),
            rows => format!("the row after row {rows} of the result {why}"),
        })
    }
}

/// The columns that a header names, in its order.
fn named(header: &Record, columns: &[BulkColumn]) -> Result<Vec<Column>, Fault> {
    let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
    let by_name: HashMap<_, _> =
        columns.iter().enumerate().map(|(cell, column)| (lower(column.name.as_bytes()), cell)).collect();
    let mut is_named = vec![false; columns.len()];
    let refused = |sent: &[u8], what: &str| {
        let name = String::from_utf8_lossy(sent);
        Fault::new(FaultKind::InvalidResponse, format!("the result has the column {name:?}{what}"))
    };
    let column = |(_, sent): (CellKind, &[u8])| {
        let other = || columns.iter().position(|column| column.is_named(sent));
        let cell = by_name.get(&lower(sent)).copied().or_else(other);
        let cell = cell.ok_or_else(|| refused(sent, ", which the query did not ask for"))?;
        if std::mem::replace(&mut is_named[cell], true) {
            return Err(refused(sent, " twice"));
        }
        Ok(Column { cell, kind: Kind::from(columns[cell].field_type) })
    };
    header.cells().map(column).collect()
}

#[cold]
fn truncated(what: String) -> Fault {
    Fault::new(FaultKind::Truncated, what)
}

/// A byte to look out for.
#[derive(Clone, Copy)]
struct Watched {
    word: u64,
    any: bool,
}

/// A value in quotes.
struct Value {
    /// The place behind its closing quote.
    behind: usize,
    /// Whether it holds quotes, each of them twice.
    has_quotes: bool,
    /// Whether it holds neither a quote, nor a control character, nor the watched byte.
    clean: bool,
}

impl Value {
    /// The value whose first byte is at `at`; `None` if it does not end in the data.
    #[inline]
    fn find(bytes: &[u8], mut at: usize, end: usize, watched: Watched) -> Option<Self> {
        let (mut clean, mut has_quotes) = (watched.any, false);
        while at < end {
            // Behind the data there is a block of zeros.
            let word = u64::from_le_bytes(*bytes[at..].first_chunk::<BLOCK>()?);
            let (quotes, others) = (equal(word, repeated(b'"')), control(word) | equal(word, watched.word));
            if quotes == 0 {
                clean &= others == 0;
                at += BLOCK;
                continue;
            }
            clean &= others & below(quotes) == 0;
            at += first(quotes) + 1;
            if bytes[at] != b'"' {
                return Some(Self { behind: at, has_quotes, clean });
            }
            (clean, has_quotes) = (false, true);
            at += 1;
        }
        None
    }
}

impl Column {
    /// Fills the cell with a value, which is `sent` in quotes, `at` bytes behind the row's beginning.
    #[inline]
    fn fill(self, record: &mut Record, sent: &[u8], at: usize, value: &Value) {
        let kind = match self.kind {
            _ if sent.is_empty() => Some(CellKind::Null),
            _ if value.has_quotes => None,
            Kind::Text => Some(CellKind::Text),
            Kind::Boolean if matches!(sent, b"true" | b"false") => Some(CellKind::Boolean),
            Kind::Number if is_number(sent) => Some(CellKind::Number),
            Kind::Boolean | Kind::Number => Some(CellKind::Text),
            Kind::Whole | Kind::DateTime => None,
        };
        match kind {
            Some(kind) => record.fill_from_row(self.cell, kind, at..at + sent.len(), value.clean),
            None => {
                record.fill_as(self.cell, |cell| {
                    let start = cell.len();
                    append(sent, value.has_quotes, cell);
                    Some((self.kind.of(cell, start), value.clean))
                });
            }
        }
    }
}

/// Appends a value, with each of its quotes once.
#[inline]
fn append(sent: &[u8], has_quotes: bool, out: &mut Vec<u8>) {
    let mut rest = sent;
    while has_quotes && let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
}

impl Kind {
    /// What the value that begins at `start` is, once it is written as the REST API has it.
    #[inline]
    fn of(self, cell: &mut Vec<u8>, start: usize) -> CellKind {
        match self {
            Self::Text => CellKind::Text,
            Self::Boolean if matches!(&cell[start..], b"true" | b"false") => CellKind::Boolean,
            Self::Number if is_number(&cell[start..]) => CellKind::Number,
            Self::Whole if is_number(&cell[start..]) => {
                make_whole(cell, start);
                CellKind::Number
            }
            Self::DateTime => {
                if cell.len() - start == DATETIME_BYTES && cell.last() == Some(&b'Z') {
                    cell.pop();
                    cell.extend_from_slice(b"+0000");
                }
                CellKind::Text
            }
            Self::Boolean | Self::Number | Self::Whole => CellKind::Text,
        }
    }
}

/// Whether this is a number by the grammar of JSON.
fn is_number(text: &[u8]) -> bool {
    end_of_number(text, 0, usize::MAX) == Some(text.len())
}

/// Writes the number from `start` on as a whole one is written, if it is whole: `3` for `3.0`, `10000000` for `1.0E7`.
#[inline]
fn make_whole(cell: &mut Vec<u8>, start: usize) {
    let mut bytes = cell[start..].iter();
    match bytes.position(|byte| !byte.is_ascii_digit() && *byte != b'-') {
        Some(point) if bytes.all(|byte| *byte == b'0') => cell.truncate(start + point),
        Some(_) => without_exponent(cell, start),
        None => {}
    }
}

#[cold]
fn without_exponent(cell: &mut Vec<u8>, start: usize) {
    let mut copy = [0; MAX_WHOLE_BYTES];
    let length = cell.len() - start;
    let Some(number) = copy.get_mut(..length) else { return };
    number.copy_from_slice(&cell[start..]);
    cell.truncate(start);
    let is_plain = write_plain(number, cell).is_ok();
    let digits =
        cell[start..].iter().position(|byte| *byte == b'.').map_or(cell.len(), |point| start + point);
    let is_whole = is_plain && cell[digits..].iter().skip(1).all(|byte| *byte == b'0');
    cell.truncate(if is_whole { digits } else { start });
    if !is_whole {
        cell.extend_from_slice(number);
    }
}

/// Reads rows in any dialect of CSV that has commas and double quotes.
#[derive(Default)]
struct Slow {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Slow {
    /// Reads the row at the beginning of the data, which is at `offset`.
    #[cold]
    fn row(
        &mut self,
        data: &[u8],
        offset: usize,
        is_at_end: bool,
        columns: &[Column],
        record: &mut Record,
    ) -> Row {
        // No value grows by being read.
        self.text.resize(data.len().max(1), 0);
        // One more shows that there are too many.
        self.ends.resize(columns.len() + 1, 0);
        let mut reader = ReaderBuilder::new().build();
        // A line break before the row, which the reader passes over: it would take a byte order mark at the beginning of its
        // input for the beginning of a file, but here it belongs to the row's first value.
        reader.read_record(b"\n", &mut self.text, &mut self.ends);
        let (result, read, _, count) = reader.read_record(data, &mut self.text, &mut self.ends);
        match result {
            // The line break may still have its second half to come.
            ReadRecordResult::Record if read == data.len() && data.ends_with(b"\r") && !is_at_end => {
                return Row::Incomplete;
            }
            ReadRecordResult::Record if count < columns.len() => {
                return Row::Broken("has fewer values than there are columns");
            }
            ReadRecordResult::Record if count == columns.len() => {}
            // Without a line break, nobody knows whether the last value is there to its end.
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::End => {
                return Row::Incomplete;
            }
            ReadRecordResult::Record | ReadRecordResult::OutputEndsFull => {
                return Row::Broken("has more values than there are columns");
            }
        }
        let mut start = 0;
        for (column, end) in columns.iter().zip(&self.ends) {
            let text = &self.text[start..*end];
            start = *end;
            record.fill_as(column.cell, |cell| {
                let begin = cell.len();
                cell.extend_from_slice(text);
                Some((if text.is_empty() { CellKind::Null } else { column.kind.of(cell, begin) }, false))
            });
        }
        let is_crlf = data[..read].ends_with(b"\r") && data.get(read) == Some(&b'\n');
        Row::Read(offset + read + usize::from(is_crlf))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use CellKind::{Boolean, Null, Number, Text};

    /// Gives its bytes a few at a time.
    struct Trickle<'b>(&'b [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(self.1);
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn columns(columns: &[(&str, Option<FieldType>)]) -> Vec<BulkColumn> {
        columns.iter().map(|(name, field_type)| BulkColumn::new(*name, *field_type)).collect()
    }

    type Cells = Vec<(CellKind, String)>;

    fn read(csv: &[u8], columns: &[BulkColumn]) -> Result<Vec<Cells>, ResultsError> {
        let mut reader = ResultsReader::open(csv, columns, Some(b','))?;
        let (mut rows, mut record) = (Vec::new(), Record::default());
        while reader.read(&mut record)? {
            let text = |(kind, text): (CellKind, &[u8])| (kind, String::from_utf8(text.to_vec()).unwrap());
            rows.push(record.cells().map(text).collect());
            assert_eq!(reader.rows(), rows.len() as u64);
        }
        Ok(rows)
    }

    fn fault(csv: &str, names: &[(&str, Option<FieldType>)]) -> (FaultKind, String) {
        match read(csv.as_bytes(), &columns(names)).unwrap_err() {
            ResultsError::Fault(fault) => (fault.kind, fault.what),
            ResultsError::Read(error) => panic!("{error}"),
        }
    }

    fn cell(kind: CellKind, text: &str) -> (CellKind, String) {
        (kind, text.to_owned())
    }

    #[test]
    fn values_become_what_rest_would_have_sent() {
        let whole = Some(FieldType::Integer);
        let double = Some(FieldType::Double);
        let names = columns(&[
            ("Id", Some(FieldType::Text)),
            ("Done", Some(FieldType::Boolean)),
            ("Count__c", whole),
            ("Amount", double),
            ("CreatedDate", Some(FieldType::DateTime)),
            ("Account.Name", None),
        ]);
        let csv = concat!(
            "\"ID\",\"Done\",\"Count__c\",\"Amount\",\"createddate\",\"Account.Name\"\n",
            "\"001\",\"true\",\"3.0\",\"1.6147805824397E13\",\"2026-05-01T07:25:37.000Z\",\"null\"\n",
            "\"\",\"\",\"\",\"\",\"\",\"\"\n",
            "\"2\",\"maybe\",\"3.5\",\"n/a\",\"2026-05-01T07:25:37.000+0000\",\"say \"\"a,b\"\"\r\n\0ok\"\n",
        );
        let expected = [
            vec![
                cell(Text, "001"),
                cell(Boolean, "true"),
                cell(Number, "3"),
                cell(Number, "1.6147805824397E13"),
                cell(Text, "2026-05-01T07:25:37.000+0000"),
                cell(Text, "null"),
            ],
            vec![cell(Null, ""); 6],
            vec![
                cell(Text, "2"),
                cell(Text, "maybe"),
                cell(Number, "3.5"),
                cell(Text, "n/a"),
                cell(Text, "2026-05-01T07:25:37.000+0000"),
                cell(Text, "say \"a,b\"\r\n\0ok"),
            ],
        ];
        assert_eq!(read(csv.as_bytes(), &names).unwrap(), expected);
        // Neither other line ends nor a byte order mark change anything.
        let crlf = format!("\u{FEFF}{}", csv.replace("\"\n", "\"\r\n"));
        assert_eq!(read(crlf.as_bytes(), &names).unwrap(), expected);
    }

    #[test]
    fn whole_numbers_lose_exponent_and_fraction_if_whole() {
        for (sent, expected) in [
            ("3", "3"),
            ("3.0", "3"),
            ("-3.000", "-3"),
            ("1.0E7", "10000000"),
            ("1.2345678E7", "12345678"),
            ("-2.147483648E9", "-2147483648"),
            ("5E2", "500"),
            ("3.5", "3.5"),
            ("1.25E1", "1.25E1"),
            ("1E999", "1E999"),
            ("1.00000000000000000000000000000000000000E2", "1.00000000000000000000000000000000000000E2"),
        ] {
            let mut cell = format!("before{sent}").into_bytes();
            assert_eq!(Kind::Whole.of(&mut cell, 6), Number);
            assert_eq!(String::from_utf8(cell).unwrap(), format!("before{expected}"), "{sent}");
            let mut cell = sent.as_bytes().to_vec();
            assert_eq!((Kind::Number.of(&mut cell, 0), cell.as_slice()), (Number, sent.as_bytes()));
        }
    }

    #[test]
    fn a_header_names_each_column_once_in_any_order() {
        let names = [
            BulkColumn::new("Id", None),
            BulkColumn { written: Some("a.Name".to_owned()), ..BulkColumn::new("Account.Name", None) },
            BulkColumn::new("Rank__c", Some(FieldType::Integer)),
        ];
        let row = vec![cell(Text, "1"), cell(Text, "Acme"), cell(Number, "3")];
        for csv in [
            "\"id\",\"account.NAME\",\"Rank__c\"\n\"1\",\"Acme\",\"3.0\"\n",
            "\"A.Name\",\"Id\",\"ns__Rank__c\"\n\"Acme\",\"1\",\"3.0\"\n",
            "Rank__c,Id,Account.Name\n3.0,1,Acme\n",
        ] {
            assert_eq!(read(csv.as_bytes(), &names).unwrap(), std::slice::from_ref(&row), "{csv}");
        }
        for (header, why) in [
            ("Id,Id,Rank__c", "the result has the column \"Id\" twice"),
            ("Id,a.Name,Account.Name", "the result has the column \"Account.Name\" twice"),
            ("Id,Name,Rank__c", "the result has the column \"Name\", which the query did not ask for"),
            ("Id,,Rank__c", "the result has the column \"\", which the query did not ask for"),
        ] {
            let Err(ResultsError::Fault(fault)) = read(format!("{header}\n").as_bytes(), &names) else {
                panic!()
            };
            assert_eq!((fault.kind, fault.what.as_str()), (FaultKind::InvalidResponse, why));
        }
        let narrow = read(b"\"Id\",\"Account.Name\"\n", &names).unwrap_err().to_string();
        assert_eq!(narrow, "the first row of the result has fewer values than there are columns");
    }

    #[test]
    fn a_row_without_quotes_is_read_as_well() {
        let names = columns(&[("Id", None), ("Count__c", Some(FieldType::Long)), ("Name", None)]);
        let csv =
            "Id,Count__c,Name\n001,7.0,\n\"002\",\"8\",\"b\"\n003,,\"a,\"\"c\"\"\nd\"\r\n\u{FEFF}\"004,,e\n";
        let expected = [
            vec![cell(Text, "001"), cell(Number, "7"), cell(Null, "")],
            vec![cell(Text, "002"), cell(Number, "8"), cell(Text, "b")],
            vec![cell(Text, "003"), cell(Null, ""), cell(Text, "a,\"c\"\nd")],
            vec![cell(Text, "\u{FEFF}\"004"), cell(Null, ""), cell(Text, "e")],
        ];
        assert_eq!(read(csv.as_bytes(), &names).unwrap(), expected);
        // The end of a value without quotes shows by what follows it alone.
        let (kind, what) = fault("\"Id\"\n\"1\"\n12", &[("Id", None)]);
        assert_eq!(
            (kind, what.as_str()),
            (FaultKind::Truncated, "the row after row 1 of the result is cut short")
        );
    }

    #[test]
    fn a_damaged_row_is_a_fault_that_says_which() {
        let names = [("Id", None), ("Name", None)];
        let header = "\"Id\",\"Name\"\n\"1\",\"a\"\n";
        for (rest, why) in [
            ("\"2\"\n", "has fewer values than there are columns"),
            ("2\n", "has fewer values than there are columns"),
            ("\"2\",\"b\",\"c\"\n", "has more values than there are columns"),
            ("2,b,c\n", "has more values than there are columns"),
            ("\"2\",\"b\"c\n", "has text after a closing quote"),
            ("\"2\",\"b", "is cut short"),
            ("\"2\",", "is cut short"),
            ("\"2", "is cut short"),
            // It may have been `"b""c"`.
            ("\"2\",\"b\"", "is cut short"),
        ] {
            let (kind, what) = fault(&format!("{header}{rest}"), &names);
            assert_eq!(
                (kind, what),
                (FaultKind::Truncated, format!("the row after row 1 of the result {why}")),
                "{rest}"
            );
        }
        assert_eq!(fault("", &names).1, "the result has no header");
        let html = fault("<html>\n<body>", &names);
        assert_eq!(
            html,
            (
                FaultKind::Truncated,
                "the first row of the result has fewer values than there are columns".to_owned()
            )
        );
        let other = fault("\"Id\",\"Nme\"\n", &names);
        assert_eq!(other.0, FaultKind::InvalidResponse);
        assert_eq!(other.1, "the result has the column \"Nme\", which the query did not ask for");
        let ResultsError::Fault(fault) = read(b"\"Id\"\n\"\xff\"\n", &columns(&names[..1])).unwrap_err()
        else {
            panic!()
        };
        assert_eq!((fault.kind, fault.what.as_str()), (FaultKind::Truncated, "the result is not UTF-8"));
    }

    #[test]
    fn a_value_is_clean_only_without_anything_special() {
        let names = columns(&[("Id", None)]);
        for (value, clean) in [
            ("plain text of more than a block", true),
            ("é東\u{10FFFF}", true),
            ("a,b and the rest of the value", false),
            ("the rest of the value and a,b", false),
            ("one\nmore", false),
            ("one\u{1f}more", false),
            ("a \"\"b\"\"", false),
        ] {
            let csv = format!("\"Id\"\n\"{value}\"\n\"x,y\"\n");
            let mut reader = ResultsReader::open(csv.as_bytes(), &names, Some(b',')).unwrap();
            let mut record = Record::default();
            assert!(reader.read(&mut record).unwrap());
            assert_eq!(record.cell_texts().next().unwrap().clean, clean, "{value}");
        }
    }

    #[test]
    fn a_number_is_one_by_the_grammar_of_json() {
        for good in ["0", "-1", "10", "1.50", "1E3", "1.6147805824397E13", "-2e-7", "1E+2"] {
            assert!(is_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "1.", ".5", "1e", "+1", "NaN", "1 ", " 1", "0x1", "1,5", "--1"] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_row_longer_than_the_buffer_is_read_whole() {
        let names = columns(&[("Id", None), ("Body", None)]);
        let body = "x\"\"y\n".repeat(READ_BYTES / 2);
        let csv = format!("\"Id\",\"Body\"\n\"1\",\"{body}\"\n\"2\",\"\"\n");
        let rows = read(csv.as_bytes(), &names).unwrap();
        assert_eq!(rows[0][1].1, body.replace("\"\"", "\""));
        assert_eq!(rows[1], [cell(Text, "2"), cell(Null, "")]);
    }

    /// Values with whatever may be mistaken for something else.
    fn value() -> impl Strategy<Value = String> {
        "(|[a-z]{1,20}|[\",\r\n\0 é東\u{10FFFF}a-c]{0,24}|-?[0-9]{1,4}\\.0)"
    }

    /// The same rows, written by the `csv` crate with everything in quotes.
    fn written(rows: &[Vec<String>]) -> Vec<u8> {
        let mut writer =
            csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
        writer.write_record(["A", "B", "C"]).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        writer.into_inner().unwrap()
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_read(
            rows in prop::collection::vec(prop::collection::vec(value(), 3), 0..20),
            piece in 1_usize..40,
        ) {
            let names = columns(&[("A", None), ("B", None), ("C", None)]);
            let bytes = written(&rows);
            let mut reader = ResultsReader::open(Trickle(&bytes, piece), &names, Some(b',')).unwrap();
            let mut record = Record::default();
            for row in &rows {
                prop_assert!(reader.read(&mut record).unwrap());
                let cells: Vec<_> = record.cells().map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()).collect();
                prop_assert_eq!(&cells, row);
            }
            prop_assert!(!reader.read(&mut record).unwrap());
        }

        #[test]
        fn a_result_that_is_cut_is_short_of_rows_or_a_fault(
            rows in prop::collection::vec(prop::collection::vec(value(), 3), 1..6),
            cut in 0_usize..1000,
        ) {
            let names = columns(&[("A", None), ("B", None), ("C", None)]);
            let bytes = written(&rows);
            let cut = cut % bytes.len();
            if let Ok(read) = read(&bytes[..cut], &names) {
                prop_assert!(read.len() < rows.len());
                for (read, row) in read.iter().zip(&rows) {
                    let texts: Vec<_> = read.iter().map(|(_, text)| text.clone()).collect();
                    prop_assert_eq!(&texts, row);
                }
            }
        }
    }
}

//! Any bytes as a page: what is read agrees with serde_json, in cells and as JSON, and early locators are right.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use sfexport::encode::csv::Csv;
use sfexport::job::{CsvDialect, Numbers};
use sfexport::record::{CellKind, JsonForm, Record, Target};
use sfexport::salesforce::fault::{Fault, FaultKind};
use sfexport::salesforce::page::{PageReader, next_locator};
use sfexport::soql::{Columns, Query};

/// With a child query, and without: few records that have one are read in one go.
static COLUMNS: LazyLock<[Columns; 2]> = LazyLock::new(|| {
    ["SELECT Id, N, O.N, O.M.N, (SELECT Id FROM C) FROM A", "SELECT Id, N, O.N, O.M.N FROM A"].map(|soql| {
        let query = Query::parse(soql).expect("a query");
        Columns::of(&query).expect("columns")
    })
});

fuzz_target!(|page: &[u8]| COLUMNS.iter().for_each(|columns| agree(page, columns)));

fn agree(page: &[u8], columns: &Columns) {
    let form = JsonForm::AS_SENT;
    let cells = cells(page, columns);
    let copied = copied(page, columns, form);
    assert_eq!(cells.is_ok(), copied.is_ok(), "{cells:?} {copied:?}");
    let (Ok((cells, surrogates, next)), Ok(copied)) = (cells, copied) else { return };
    if let Some(early) = next_locator(page) {
        assert_eq!(Some(early.path().to_owned()), next);
    }
    // serde_json has no lone surrogates, and a depth of its own: what it refuses for those it cannot judge.
    if surrogates > 0 {
        return;
    }
    let whole: Value = match serde_json::from_slice(page) {
        Ok(whole) => whole,
        Err(error) if is_its_own(&error) => return,
        // In what nobody reads a lone surrogate is passed over, and not counted: with letters in its place it must be
        // JSON all the same.
        Err(error) => match serde_json::from_slice::<IgnoredAny>(&without_surrogates(page)) {
            Ok(_) => return,
            Err(error) if is_its_own(&error) => return,
            Err(_) => panic!("read, but no JSON: {error}"),
        },
    };
    let none = Vec::new();
    let records = match &whole["records"] {
        // A list that can hold nothing may be left out.
        Value::Null => {
            assert_eq!(whole["totalSize"], 0);
            &none
        }
        records => records.as_array().expect("a list"),
    };
    assert_eq!((records.len(), records.len()), (cells.len(), copied.len()));
    for ((record, row), line) in records.iter().zip(&cells).zip(&copied) {
        let line: Value = serde_json::from_slice(line).expect("a line is JSON");
        for (column, path) in ["Id", "N", "O.N", "O.M.N"].iter().enumerate() {
            let (expected, copied) = (at(record, path), at(&line, path));
            assert_eq!(expected, copied, "{path}");
            let (kind, cell) = &row[column];
            let same = match expected {
                Value::Null => *kind == CellKind::Null && cell.is_empty(),
                Value::String(text) => *kind == CellKind::Text && cell == text.as_bytes(),
                Value::Bool(flag) => *kind == CellKind::Boolean && cell == flag.to_string().as_bytes(),
                Value::Number(_) => *kind == CellKind::Number,
                _ => {
                    *kind == CellKind::Json
                        && serde_json::from_slice::<Value>(cell).expect("JSON") == *expected
                }
            };
            assert!(same, "{path}: {kind:?} {cell:?}");
        }
    }
}

/// Whether serde_json's own bounds are what it goes by.
fn is_its_own(error: &serde_json::Error) -> bool {
    let error = error.to_string();
    error.contains("recursion limit") || error.contains("out of range")
}

/// Each escape of a surrogate as that of a letter.
fn without_surrogates(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    for at in 0..page.len().saturating_sub(5) {
        let is_surrogate = page[at..].starts_with(b"\\u")
            && page[at + 2].eq_ignore_ascii_case(&b'd')
            && matches!(page[at + 3].to_ascii_lowercase(), b'8' | b'9' | b'a'..=b'f')
            && page[at + 4..at + 6].iter().all(u8::is_ascii_hexdigit);
        if is_surrogate {
            page[at + 2..at + 6].copy_from_slice(b"0041");
        }
    }
    page
}

fn no_pages(_: &sfexport::salesforce::query::QueryLocator) -> Result<Vec<u8>, Fault> {
    Err(Fault::new(FaultKind::LocatorExpired, "no further pages here"))
}

type Cells = Vec<Vec<(CellKind, Vec<u8>)>>;

fn cells(page: &[u8], columns: &Columns) -> Result<(Cells, u64, Option<String>), Fault> {
    let mut reader = PageReader::open(page, columns)?;
    let (mut record, mut rows) = (Record::default(), Cells::new());
    let (mut csv, mut encoded) = (Csv::new(CsvDialect::default(), Numbers::AsSent, Vec::new()), Vec::new());
    while reader.read(
        Target::Cells { record: &mut record, watch: Some(b','), form: JsonForm::AS_SENT },
        &mut no_pages,
    )? {
        rows.push(record.cells().map(|(kind, cell)| (kind, cell.to_vec())).collect());
        csv.record(&record, &mut encoded).expect("a row");
    }
    // That reader takes a byte order mark at the start for no part of the first cell.
    if !encoded.starts_with("\u{FEFF}".as_bytes()) {
        let read = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(encoded.as_slice())
            .into_byte_records();
        let read: Vec<_> = read.map(|row| row.expect("a row")).collect();
        assert_eq!(read.len(), rows.len());
        for (read, row) in read.iter().zip(&rows) {
            assert!(read.iter().eq(row.iter().map(|(_, cell)| cell.as_slice())), "{read:?} {row:?}");
        }
    }
    let next = reader.head().next.as_ref().map(|next| next.path().to_owned());
    Ok((rows, reader.lone_surrogates(), next))
}

fn copied(page: &[u8], columns: &Columns, form: JsonForm) -> Result<Vec<Vec<u8>>, Fault> {
    let mut reader = PageReader::open(page, columns)?;
    let (mut record, mut line, mut lines) = (Record::default(), Vec::new(), Vec::new());
    while reader.read(Target::Json { record: &mut record, form, out: &mut line }, &mut no_pages)? {
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        lines.push(std::mem::take(&mut line));
    }
    Ok(lines)
}

fn at<'v>(record: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(record, |value, segment| match value {
        Value::Object(map) => map
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(segment))
            .map_or(&Value::Null, |(_, value)| value),
        _ => &Value::Null,
    })
}

//! A row of a Bulk result that is copied into a CSV file is the row that its cells make, whatever the values, their types and
//! the dialect.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io::{self, Read};

use proptest::prelude::*;
use sfexport::encode::csv::Csv;
use sfexport::job::{CsvDialect, Datetimes, Numbers};
use sfexport::record::Record;
use sfexport::salesforce::bulk::results::ResultsReader;
use sfexport::soql::BulkColumn;
use sfexport::value::FieldType;

/// Gives its bytes a few at a time.
struct Trickle<'b>(&'b [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.1.min(buffer.len());
        self.0.read(&mut buffer[..size])
    }
}

/// The file of a result, and how many of its rows were copied; or why it cannot be read.
fn file(
    result: &[u8],
    piece: usize,
    columns: &[BulkColumn],
    csv: &mut Csv,
    copies: bool,
) -> Result<(Vec<u8>, u64), String> {
    let text = |error: sfexport::salesforce::bulk::results::ResultsError| error.to_string();
    let mut reader = ResultsReader::open(Trickle(result, piece), columns, Some(b',')).map_err(text)?;
    let (mut record, mut out, mut copied) = (Record::default(), Vec::new(), 0);
    let form = csv.row_form().filter(|_| copies);
    while reader.copy(form, &mut record, &mut out).map_err(text)? {
        copied += u64::from(record.is_copied());
        csv.record(&record, &mut out).map_err(|error| format!("{error:?}"))?;
    }
    Ok((out, copied))
}

/// Values that are ordinary, special in CSV, or of a type.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 @.-]{0,40}",
        1 => "[\",\r\n\t\0\\\\.=é東\u{feff}\u{10FFFF}a-c]{0,24}",
        1 => "-?[0-9]{1,4}(\\.[0-9]{1,2})?(E-?[0-9]{1,3})?",
        1 => "(true|false|2026-05-01T07:25:37\\.000Z|\\\\\\.|null)",
    ]
}

fn field_type() -> impl Strategy<Value = Option<FieldType>> {
    prop::sample::select(vec![
        None,
        None,
        Some(FieldType::Text),
        Some(FieldType::Boolean),
        Some(FieldType::Integer),
        Some(FieldType::Double),
        Some(FieldType::DateTime),
    ])
}

/// The rows with everything in quotes.
fn written(columns: &[BulkColumn], rows: &[Vec<String>]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    writer.write_record(columns.iter().map(|column| &column.name)).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn a_copied_row_is_the_one_that_its_cells_make(
        (types, rows) in (1_usize..6).prop_flat_map(|width| {
            let row = prop::collection::vec(value(), width);
            (prop::collection::vec(field_type(), width), prop::collection::vec(row, 0..12))
        }),
        piece in prop_oneof![1_usize..40, Just(usize::MAX)],
        cut in prop::option::of(0_usize..600),
        is_plain in any::<bool>(),
        (crlf, header, bom, formula_guard) in (any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.1)),
        null in prop::sample::select(vec!["", "", "", "null"]),
        delimiter in prop::sample::select(vec![b',', b',', b',', b';']),
        converts in prop::bool::weighted(0.1),
    ) {
        let column = |(place, field_type)| BulkColumn::new(format!("C{place}"), field_type);
        let columns: Vec<_> = types.iter().copied().enumerate().map(column).collect();
        let mut result = written(&columns, &rows);
        result.truncate(cut.unwrap_or(usize::MAX));
        let null = null.to_owned();
        let dialect = CsvDialect { crlf, header, bom, null, formula_guard, delimiter, ..CsvDialect::default() };
        let numbers = if is_plain { Numbers::Plain } else { Numbers::AsSent };
        let is_datetime = |field_type: &Option<FieldType>| converts && *field_type == Some(FieldType::DateTime);
        let datetimes = if converts { types.iter().map(is_datetime).collect() } else { Vec::new() };
        let form = if converts { Datetimes::Rfc3339 } else { Datetimes::AsSent };
        let mut csv = Csv::new(dialect, numbers, Vec::new()).with_datetimes(form, datetimes);
        let read = file(&result, piece, &columns, &mut csv, false).map(|(file, _)| file);
        let copied = file(&result, piece, &columns, &mut csv, true).map(|(file, _)| file);
        prop_assert_eq!(copied, read);
    }
}

#[test]
fn usual_rows_are_copied_and_no_others() {
    let columns = ["Id", "Name"].map(|name| BulkColumn::new(name, None));
    let rows = [["001", "Acme, Inc."], ["002", "say \"hi\"\r\nthere"], ["003", ""], ["004", "\\."]];
    let result = written(&columns, &rows.map(|row| row.map(str::to_owned).to_vec()));
    let expected = "001,\"Acme, Inc.\"\n002,\"say \"\"hi\"\"\r\nthere\"\n003,\n004,\"\\.\"\n";
    let mut csv = Csv::new(CsvDialect::default(), Numbers::Plain, Vec::new());
    assert_eq!(file(&result, usize::MAX, &columns, &mut csv, true), Ok((expected.into(), 3)));
    for dialect in [
        CsvDialect { delimiter: b';', ..CsvDialect::default() },
        CsvDialect { quote: b'\'', ..CsvDialect::default() },
        CsvDialect { null: "null".to_owned(), ..CsvDialect::default() },
        CsvDialect { formula_guard: true, ..CsvDialect::default() },
    ] {
        assert_eq!(Csv::new(dialect, Numbers::Plain, Vec::new()).row_form(), None);
    }
}

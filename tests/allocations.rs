//! In the steady state a record costs no allocation: a page or a result with ten times the records needs no more of them.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use allocation_counter::measure;
use sfexport::encode::Encoder;
use sfexport::encode::csv::Csv;
use sfexport::encode::jsonl::Jsonl;
use sfexport::job::{Children, Compound, CsvDialect, Datetimes, Format, Numbers, ParquetSettings, Shape};
use sfexport::record::{JsonForm, Record};
use sfexport::salesforce::bulk::results::ResultsReader;
use sfexport::salesforce::page::PageReader;
use sfexport::soql::{BulkColumn, BulkQuery, ColumnNames, ColumnRules, Columns, Query};
use sfexport::value::FieldType;

#[path = "support/pages.rs"]
mod pages;

/// What a page may cost, whatever it holds: the room to unescape a string.
const A_PAGE: u64 = 4;

fn shape(numbers: Numbers, datetimes: Datetimes, columns: ColumnRules) -> Shape {
    Shape {
        numbers,
        datetimes,
        columns,
        children: Children::Json,
        compound: Compound::Json,
        columns_pinned: false,
        attributes: false,
        csv: CsvDialect::default(),
        parquet: ParquetSettings::DEFAULT,
    }
}

struct Path {
    columns: Columns,
    record: Record,
    encoder: Encoder,
    out: Vec<u8>,
}

impl Path {
    fn csv(soql: &str, numbers: Numbers) -> Self {
        Self::of(soql, |names| Encoder::Csv(Csv::new(CsvDialect::default(), numbers, names)))
    }

    fn jsonl(soql: &str, numbers: Numbers) -> Self {
        let form = JsonForm { numbers, ..JsonForm::AS_SENT };
        Self::of(soql, |names| Encoder::Jsonl(Jsonl::new(form, names)))
    }

    /// With datetimes in UTC, and new names if they are wanted.
    fn typed(format: Format, names: ColumnNames) -> Self {
        let datetimes = ["CreatedDate", "LastModifiedDate"];
        let rules = ColumnRules {
            names,
            types: datetimes.map(|name| (name.to_owned(), FieldType::DateTime)).to_vec(),
            ..ColumnRules::default()
        };
        let columns = Columns::of(&Query::parse(pages::WIDE).unwrap()).unwrap().with_rules(&rules).unwrap();
        let shape = shape(Numbers::AsSent, Datetimes::Rfc3339, rules);
        let encoder = Encoder::new(format, &shape, &columns);
        Self { columns, record: Record::default(), encoder, out: Vec::new() }
    }

    fn of(soql: &str, encoder: impl FnOnce(Vec<String>) -> Encoder) -> Self {
        let columns = Columns::of(&Query::parse(soql).unwrap()).unwrap();
        let encoder = encoder(columns.names().to_vec());
        Self { columns, record: Record::default(), encoder, out: Vec::new() }
    }

    fn encode(&mut self, page: &[u8]) -> usize {
        let Self { columns, record, encoder, out } = self;
        out.clear();
        let mut reader = PageReader::open(page, columns).unwrap();
        let mut count = 0;
        while reader.read(encoder.target(record, out), &mut |_| unreachable!()).unwrap() {
            encoder.record(record, out).unwrap();
            count += 1;
        }
        count
    }
}

/// The allocations of a few records and of ten times as many, once everything has grown.
fn assert_flat(render: fn(usize) -> Vec<u8>, mut run: impl FnMut(&[u8]) -> usize) {
    let (few, many) = (render(50), render(500));
    assert_eq!(run(&many), 500);
    let mut count = |page: &[u8], records| {
        let mut read = 0;
        let cost = measure(|| read = run(page)).count_total;
        assert_eq!(read, records);
        cost
    };
    let (few, many) = (count(&few, 50), count(&many, 500));
    assert_eq!(few, many, "450 records more cost {} allocations", many.abs_diff(few));
    assert!(many <= A_PAGE, "a page costs {many} allocations");
}

#[test]
fn a_record_of_twenty_fields_and_parents_becomes_csv_without_an_allocation() {
    for numbers in [Numbers::Plain, Numbers::AsSent] {
        let mut path = Path::csv(pages::WIDE, numbers);
        assert_flat(pages::wide, |page| path.encode(page));
    }
}

#[test]
fn a_record_of_twenty_fields_and_parents_becomes_json_without_an_allocation() {
    for numbers in [Numbers::Plain, Numbers::AsSent] {
        let mut path = Path::jsonl(pages::WIDE, numbers);
        assert_flat(pages::wide, |page| path.encode(page));
    }
}

#[test]
fn converted_datetimes_and_new_names_cost_no_allocation() {
    for (format, names) in [
        (Format::Csv, ColumnNames::Snake),
        (Format::Jsonl, ColumnNames::AsWritten),
        (Format::Jsonl, ColumnNames::Snake),
    ] {
        let mut path = Path::typed(format, names);
        assert_flat(pages::wide, |page| path.encode(page));
        let text = String::from_utf8(path.out).unwrap();
        assert!(text.contains(".000Z") && !text.contains("+0000"), "{format:?} {names:?}");
    }
}

#[test]
fn long_text_costs_no_allocation_either() {
    let mut rows = Path::csv(pages::LONG_TEXT, Numbers::Plain);
    assert_flat(pages::long_text, |page| rows.encode(page));
    let mut lines = Path::jsonl(pages::LONG_TEXT, Numbers::AsSent);
    assert_flat(pages::long_text, |page| lines.encode(page));
}

/// What opening a Bulk result may cost: its buffer, its header, the columns by name.
const A_RESULT: u64 = 100;

/// Twenty columns and the Ids of two parents, as a Bulk result has them: quotes and line breaks in texts, whole numbers with
/// a fraction or an exponent, a parent that is null.
fn result(names: &[BulkColumn], records: usize) -> Vec<u8> {
    let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    csv.write_record(names.iter().map(|column| &column.name)).unwrap();
    for n in 0..records {
        let employees = if n % 2 == 0 { format!("{n}.0") } else { format!("1.{n}E7") };
        let parent = if n % 3 == 0 { ["", ""] } else { ["Holding \"H\" AG", "001Wz0000000001"] };
        csv.write_record(names.iter().map(|column| match column.name.as_str() {
            "AnnualRevenue" => "1.6147805824397E13",
            "NumberOfEmployees" => &employees,
            "IsDeleted" => "false",
            "CreatedDate" | "LastModifiedDate" => "2026-05-01T07:25:37.000Z",
            "BillingStreet" => "1 Market Street\r\nSuite 400, \\ \"rear\"",
            "Description" => "",
            "Parent.Name" => parent[0],
            "Parent.Id" => parent[1],
            _ => "a value",
        }))
        .unwrap();
    }
    csv.into_inner().unwrap()
}

#[test]
fn a_row_of_a_bulk_result_costs_no_allocation() {
    let types = [
        ("AnnualRevenue", FieldType::Double),
        ("NumberOfEmployees", FieldType::Integer),
        ("IsDeleted", FieldType::Boolean),
        ("CreatedDate", FieldType::DateTime),
        ("LastModifiedDate", FieldType::DateTime),
    ];
    let query = Query::parse(pages::WIDE).unwrap();
    for (format, names, nested) in [
        (Format::Csv, ColumnNames::AsWritten, false),
        (Format::Jsonl, ColumnNames::Snake, false),
        (Format::Jsonl, ColumnNames::AsWritten, true),
    ] {
        for (numbers, datetimes) in
            [(Numbers::Plain, Datetimes::AsSent), (Numbers::AsSent, Datetimes::Rfc3339)]
        {
            let types = types.map(|(name, field_type)| (name.to_owned(), field_type)).to_vec();
            let shape = shape(numbers, datetimes, ColumnRules { names, types, ..ColumnRules::default() });
            let columns = Columns::of(&query).unwrap().with_rules(&shape.columns).unwrap();
            let bulk = BulkQuery::of(&query, &columns, None, nested).unwrap();
            let mut encoder = Encoder::of_cells(format, &shape, &columns, bulk.json.clone());
            let (mut record, mut out) = (Record::default(), Vec::new());
            let mut cost = |records| {
                let result = result(&bulk.columns, records);
                out.clear();
                let mut count = 0;
                let cost = measure(|| {
                    let mut reader =
                        ResultsReader::open(result.as_slice(), &bulk.columns, encoder.watch()).unwrap();
                    while reader.copy(encoder.row_form(), &mut record, &mut out).unwrap() {
                        encoder.record(&record, &mut out).unwrap();
                        count += 1;
                    }
                });
                assert_eq!(count, records);
                cost.count_total
            };
            cost(200);
            let (few, many) = (cost(20), cost(200));
            assert_eq!(few, many, "180 rows more cost {} allocations", many.abs_diff(few));
            assert!(many <= A_RESULT, "a result costs {many} allocations");
        }
    }
}

/// Records of 200 fields whose keys come in reverse order.
fn reversed(records: usize) -> Vec<u8> {
    let members: Vec<_> = (0..200).rev().map(|n| format!("\"F{n}__c\":\"value {n}\"")).collect();
    let record = format!("{{{}}}", members.join(","));
    let records = vec![record; records];
    format!("{{\"totalSize\":{},\"done\":true,\"records\":[{}]}}", records.len(), records.join(",")).into()
}

#[test]
fn keys_in_another_order_cost_no_allocation_either() {
    let fields: Vec<_> = (0..200).map(|n| format!("F{n}__c")).collect();
    let soql = format!("SELECT {} FROM Account", fields.join(", "));
    let mut rows = Path::csv(&soql, Numbers::Plain);
    assert_flat(reversed, |page| rows.encode(page));
    let mut lines = Path::jsonl(&soql, Numbers::AsSent);
    assert_flat(reversed, |page| lines.encode(page));
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![0_u8; 64]))).count_total, 1);
}

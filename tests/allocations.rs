//! In the steady state a record costs no allocation: ten times the records of a page make not one more.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use allocation_counter::measure;
use sfexport::encode::Encoder;
use sfexport::encode::csv::Csv;
use sfexport::encode::jsonl::Jsonl;
use sfexport::job::{Children, Compound, CsvDialect, Datetimes, Format, Numbers, Shape};
use sfexport::record::{JsonForm, Record};
use sfexport::salesforce::page::PageReader;
use sfexport::soql::{ColumnNames, ColumnRules, Columns, Query};
use sfexport::value::FieldType;

#[path = "support/pages.rs"]
mod pages;

/// What a page may cost, whatever it holds: the room to unescape a string.
const A_PAGE: u64 = 4;

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
        let shape = Shape {
            numbers: Numbers::AsSent,
            datetimes: Datetimes::Rfc3339,
            columns: rules,
            children: Children::Json,
            compound: Compound::Json,
            columns_pinned: false,
            attributes: false,
            csv: CsvDialect::default(),
        };
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

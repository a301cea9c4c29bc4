//! The record path on one core: a page's bytes → CSV, and → JSON Lines; a Bulk result's CSV → CSV, compared with
//! `csv-core` and the `csv` crate's writer, and → JSON Lines; and a query's text → its columns.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sfexport::encode::Encoder;
use sfexport::encode::csv::Csv;
use sfexport::encode::jsonl::Jsonl;
use sfexport::job::{CsvDialect, Numbers};
use sfexport::record::{JsonForm, Record};
use sfexport::salesforce::bulk::results::ResultsReader;
use sfexport::salesforce::page::PageReader;
use sfexport::soql::{BulkQuery, Columns, Query};

#[path = "../tests/support/pages.rs"]
mod pages;

fn columns(soql: &str) -> Columns {
    Columns::of(&Query::parse(soql).expect("a query")).expect("its columns")
}

fn page_to_file(criterion: &mut Criterion) {
    let wide = pages::wide(2_000);
    let long = pages::long_text(500);
    for (name, soql, page, records) in
        [("20 fields", pages::WIDE, &wide, 2_000), ("long text", pages::LONG_TEXT, &long, 500)]
    {
        let columns = columns(soql);
        let mut group = criterion.benchmark_group(format!("{name}, {records} records"));
        // MB/s; a record's time is an iteration's divided by the number in the group's name.
        group.throughput(Throughput::BytesDecimal(page.len() as u64));
        let (mut record, mut out) = (Record::default(), Vec::new());
        let names = || columns.names().to_vec();
        let form = JsonForm::AS_SENT;
        let encoders = [
            ("page to CSV", Encoder::Csv(Csv::new(CsvDialect::default(), Numbers::Plain, names()))),
            ("page to JSON Lines", Encoder::Jsonl(Jsonl::new(form, names()))),
        ];
        for (name, mut encoder) in encoders {
            group.bench_function(name, |bench| {
                bench.iter(|| {
                    out.clear();
                    let mut reader = PageReader::open(black_box(page), &columns).expect("a page");
                    while reader
                        .read(encoder.target(&mut record, &mut out), &mut |_| unreachable!("no children"))
                        .expect("a record")
                    {
                        encoder.record(&record, &mut out).expect("a row");
                    }
                    black_box(out.len())
                });
            });
        }
        group.finish();
    }
}

/// The wide page's records as a Bulk result has them: every value in quotes. What is added behind the columns is the Ids of
/// `Owner` and `Parent`.
fn result(columns: &Columns, bulk: &BulkQuery) -> Vec<u8> {
    let page = pages::wide(2_000);
    let mut reader = PageReader::open(&page, columns).expect("a page");
    let (mut record, mut out) = (Record::default(), Vec::new());
    let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    csv.write_record(bulk.columns.iter().map(|column| &column.name)).expect("a header");
    let mut encoder = Encoder::Csv(Csv::new(CsvDialect::default(), Numbers::Plain, columns.names().to_vec()));
    while reader
        .read(encoder.target(&mut record, &mut out), &mut |_| unreachable!("no children"))
        .expect("a record")
    {
        encoder.record(&record, &mut out).expect("a row");
        let cells: Vec<_> = record.cells().map(|(_, text)| text).collect();
        let added = bulk.columns.len() - cells.len();
        let parent = if cells.last().is_some_and(|name| name.is_empty()) { "" } else { "001Wz00000430000" };
        let ids = ["005Wz0000000001", parent].into_iter().take(added).map(str::as_bytes);
        csv.write_record(cells.into_iter().chain(ids)).expect("a row");
    }
    csv.into_inner().expect("no error while writing to memory")
}

fn result_to_file(criterion: &mut Criterion) {
    let columns = columns(pages::WIDE);
    let query = Query::parse(pages::WIDE).expect("a query");
    let bulk = |nested| BulkQuery::of(&query, &columns, None, nested).expect("a query that Bulk takes");
    let (flat, nested) = (bulk(false), bulk(true));
    let result_with_ids = result(&columns, &nested);
    let result = result(&columns, &flat);
    let mut group = criterion.benchmark_group("Bulk result, 20 fields, 2000 records");
    group.throughput(Throughput::BytesDecimal(result.len() as u64));
    let (mut record, mut out) = (Record::default(), Vec::new());
    let mut csv = Csv::new(CsvDialect::default(), Numbers::Plain, columns.names().to_vec());
    group.bench_function("result to CSV", |bench| {
        bench.iter(|| {
            out.clear();
            csv.begin(&mut out);
            let mut reader = ResultsReader::open(black_box(result.as_slice()), &flat.columns, Some(b','))
                .expect("a header");
            while reader.copy(csv.row_form(), &mut record, &mut out).expect("a row") {
                csv.record(&record, &mut out).expect("a row");
            }
            black_box(out.len())
        });
    });
    let ours = out.clone();
    let json = nested.json.as_ref().expect("a shape");
    let mut jsonl = Jsonl::new(JsonForm::AS_SENT, columns.names().to_vec()).put_together(json);
    group.bench_function("result to JSON Lines", |bench| {
        bench.iter(|| {
            out.clear();
            let result = black_box(result_with_ids.as_slice());
            let mut reader = ResultsReader::open(result, &nested.columns, Some(b'\\')).expect("a header");
            while reader.read(&mut record).expect("a row") {
                jsonl.record(&record, &mut out).expect("a line");
            }
            black_box(out.len())
        });
    });
    let mut written = Vec::new();
    group.bench_function("csv-core to the csv crate's writer", |bench| {
        let (mut text, mut ends) = (vec![0; 64 * 1024], vec![0; 64]);
        bench.iter(|| {
            written.clear();
            let mut reader = csv_core::Reader::new();
            let mut writer = csv::WriterBuilder::new().from_writer(&mut written);
            let mut rest = black_box(result.as_slice());
            loop {
                let (row, read, _, count) = reader.read_record(rest, &mut text, &mut ends);
                rest = &rest[read..];
                match row {
                    csv_core::ReadRecordResult::Record => {}
                    csv_core::ReadRecordResult::End => break,
                    csv_core::ReadRecordResult::InputEmpty => continue,
                    other => panic!("{other:?}"),
                }
                let mut start = 0;
                for end in &ends[..count] {
                    writer.write_field(&text[start..*end]).expect("a value");
                    start = *end;
                }
                writer.write_record(None::<&[u8]>).expect("a row");
            }
            writer.flush().expect("no error while writing to memory");
            drop(writer);
            black_box(written.len())
        });
    });
    group.finish();
    // Unless a filter leaves one of them out.
    if !ours.is_empty() && !written.is_empty() {
        assert!(ours == written, "the two files differ");
    }
}

fn select_list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select list");
    group.bench_function("20 fields to columns", |bench| bench.iter(|| columns(black_box(pages::WIDE))));
    let fields: Vec<_> = (0..400).map(|n| format!("Custom_Field_{n}__c")).collect();
    let soql = format!("SELECT {} FROM Account", fields.join(", "));
    group.bench_function("400 fields to columns", |bench| bench.iter(|| columns(black_box(&soql))));
    group.finish();
}

criterion_group!(benches, page_to_file, result_to_file, select_list);
criterion_main!(benches);

//! The record path on one core: a page's bytes → CSV, and → JSON Lines; and a query's text → its columns.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sfexport::encode::Encoder;
use sfexport::encode::csv::Csv;
use sfexport::encode::jsonl::Jsonl;
use sfexport::job::{CsvDialect, Numbers};
use sfexport::record::{JsonForm, Record};
use sfexport::salesforce::page::PageReader;
use sfexport::soql::{Columns, Query};

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

fn select_list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("select list");
    group.bench_function("20 fields to columns", |bench| bench.iter(|| columns(black_box(pages::WIDE))));
    let fields: Vec<_> = (0..400).map(|n| format!("Custom_Field_{n}__c")).collect();
    let soql = format!("SELECT {} FROM Account", fields.join(", "));
    group.bench_function("400 fields to columns", |bench| bench.iter(|| columns(black_box(&soql))));
    group.finish();
}

criterion_group!(benches, page_to_file, select_list);
criterion_main!(benches);

//! In the steady state a record costs no allocation: ten times the records of a page make not one more.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use allocation_counter::measure;
use sfexport::job::{CsvDialect, Numbers};
use sfexport::record::Record;
use sfexport::salesforce::page::{JsonForm, PageReader};
use sfexport::sink::csv::Csv;
use sfexport::soql::{Columns, Query};

#[path = "support/pages.rs"]
mod pages;

/// What a page may cost, whatever it holds: the CSV writer's buffer, and the room to unescape a string.
const A_PAGE: u64 = 4;

struct Path {
    columns: Columns,
    record: Record,
    csv: Csv,
    out: Vec<u8>,
}

impl Path {
    fn of(soql: &str, numbers: Numbers) -> Self {
        let columns = Columns::of(&Query::parse(soql).unwrap()).unwrap();
        let csv = Csv::new(CsvDialect::default(), numbers);
        Self { columns, record: Record::parted_by(b','), csv, out: Vec::new() }
    }

    fn rows(&mut self, page: &[u8]) -> usize {
        self.out.clear();
        let form = JsonForm { numbers: Numbers::Plain, attributes: false };
        let mut reader = PageReader::open(page).unwrap();
        let mut count = 0;
        while reader.read(&self.columns, &mut self.record, form, &mut |_| unreachable!()).unwrap() {
            self.csv.row(&self.record, &mut self.out);
            count += 1;
        }
        count
    }

    fn lines(&mut self, page: &[u8], numbers: Numbers) -> usize {
        self.out.clear();
        let form = JsonForm { numbers, attributes: false };
        let mut reader = PageReader::open(page).unwrap();
        let mut count = 0;
        let (columns, record, out) = (&self.columns, &mut self.record, &mut self.out);
        while reader.copy(columns, record, form, &mut |_| unreachable!(), out).unwrap() {
            out.push(b'\n');
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
        let mut path = Path::of(pages::WIDE, numbers);
        assert_flat(pages::wide, |page| path.rows(page));
    }
}

#[test]
fn a_record_of_twenty_fields_and_parents_becomes_json_without_an_allocation() {
    for numbers in [Numbers::Plain, Numbers::AsSent] {
        let mut path = Path::of(pages::WIDE, numbers);
        assert_flat(pages::wide, |page| path.lines(page, numbers));
    }
}

#[test]
fn long_text_costs_no_allocation_either() {
    let mut path = Path::of(pages::LONG_TEXT, Numbers::Plain);
    assert_flat(pages::long_text, |page| path.rows(page));
    assert_flat(pages::long_text, |page| path.lines(page, Numbers::AsSent));
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![0_u8; 64]))).count_total, 1);
}

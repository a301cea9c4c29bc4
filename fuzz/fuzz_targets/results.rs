//! Any bytes as a page of a query job's result, below its header: what is read does not depend on the pieces in which they
//! come, and the csv crate's reader reads the same.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use sfexport::record::Record;
use sfexport::salesforce::bulk::results::ResultsReader;
use sfexport::soql::BulkColumn;

const HEADER: &[u8] = b"\"Id\",\"A\",\"B\"\n";

/// Gives at most so many bytes at once.
struct Pieces<'d>(&'d [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.1.min(buffer.len());
        self.0.read(&mut buffer[..size])
    }
}

/// The rows, or whether reading them failed.
fn rows(page: &[u8], piece: usize) -> Option<Vec<Vec<Vec<u8>>>> {
    let columns = ["Id", "A", "B"].map(|name| BulkColumn::new(name, None));
    let mut reader = ResultsReader::open(Pieces(page, piece), &columns, Some(b',')).ok()?;
    let (mut record, mut rows) = (Record::default(), Vec::new());
    while reader.read(&mut record).ok()? {
        rows.push(record.cells().map(|(_, text)| text.to_vec()).collect());
    }
    Some(rows)
}

fuzz_target!(|data: &[u8]| {
    let page = [HEADER, data].concat();
    let read = rows(&page, usize::MAX);
    for piece in [1, 7, 64] {
        assert_eq!(rows(&page, piece), read, "in pieces of {piece}");
    }
    let Some(read) = read else { return };
    let mut reader = ::csv::ReaderBuilder::new().from_reader(page.as_slice());
    let expected: Vec<Vec<Vec<u8>>> =
        reader.byte_records().map(|row| row.expect("a row").iter().map(<[u8]>::to_vec).collect()).collect();
    assert_eq!(read, expected);
});

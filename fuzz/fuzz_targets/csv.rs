//! Any cells as CSV: the csv crate's reader gives them back. The first two bytes choose width and dialect; cells
//! are parted by 0xFF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sfexport::encode::csv::Csv;
use sfexport::job::{CsvDialect, Numbers};
use sfexport::record::{CellKind, Record};

fuzz_target!(|data: &[u8]| {
    let [width, dialect, cells @ ..] = data else { return };
    let width = 1 + usize::from(*width % 6);
    let chosen = CsvDialect {
        delimiter: [b',', b';', b'\t', b'|'][usize::from(*dialect % 4)],
        quote: if dialect & 4 == 0 { b'"' } else { b'\'' },
        crlf: dialect & 8 != 0,
        ..CsvDialect::default()
    };
    let mut cells: Vec<_> = cells.split(|byte| *byte == 0xFF).collect();
    cells.resize(cells.len().div_ceil(width) * width, b"");
    let mut out = Vec::new();
    let mut csv = Csv::new(chosen.clone(), Numbers::AsSent, Vec::new());
    let mut record = Record::default();
    for row in cells.chunks(width) {
        record.clear(width);
        for (column, cell) in row.iter().enumerate() {
            // As the page's reader fills it from a text without escapes, and as from any other.
            let filled = if dialect & 16 == 0 {
                record.fill_text(column, |out| {
                    out.extend_from_slice(cell);
                    let quoted = |byte: &u8| *byte == chosen.delimiter || *byte == b'"' || *byte < 0x20;
                    Some(chosen.quote == b'"' && !cell.iter().any(quoted))
                })
            } else {
                record.fill(column, CellKind::Text, |out| out.extend_from_slice(cell))
            };
            assert!(filled);
        }
        csv.record(&record, &mut out).expect("a row");
    }
    // That reader takes a byte order mark at the start for no part of the first cell.
    if out.starts_with("\u{FEFF}".as_bytes()) {
        return;
    }
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(chosen.delimiter)
        .quote(chosen.quote)
        .from_reader(out.as_slice());
    let read: Vec<Vec<Vec<u8>>> =
        reader.byte_records().map(|row| row.expect("a row").iter().map(<[u8]>::to_vec).collect()).collect();
    assert_eq!(read, cells.chunks(width).map(|row| row.to_vec()).collect::<Vec<_>>());
});

//! The encoded rows of the page that is being read, held until the page is accepted or rejected. So whatever follows
//! (a compressor, an upload, a stream) only ever gets rows that stay.

use std::io::{self, Read, Write};

use super::error::RunError;
use super::scratch::{Scratch, ScratchFile};
use crate::error::Failure;

/// How much of a page's rows is kept in memory, in bytes, over all files.
const MAX_HELD_BYTES: usize = 8 << 20;

/// The same for a page of a query job's result, while others are being downloaded.
const MAX_HELD_BYTES_OF_RESULT: usize = 4 << 20;

/// How much is read back from the spool file at once, in bytes.
const READ_BYTES: usize = 256 << 10;

/// The rows of one page, file by file.
pub(super) struct Pending {
    /// The rows of each file that are in memory.
    held: Vec<Vec<u8>>,
    /// Those that came before them.
    spool: Spool,
    most: usize,
}

impl Pending {
    /// Room for the rows of so many files.
    pub(super) fn new(files: usize, scratch: Scratch) -> Self {
        Self { held: vec![Vec::new(); files], spool: Spool::new(scratch), most: MAX_HELD_BYTES }
    }

    /// Keeps room for downloads: the pages that follow are those of a query job's result, or else pages by REST.
    pub(super) fn leave_room(&mut self, for_downloads: bool) {
        self.most = if for_downloads { MAX_HELD_BYTES_OF_RESULT } else { MAX_HELD_BYTES };
    }

    /// Where the next row of a file is appended; [`Pending::settle`] follows.
    #[inline]
    pub(super) fn rows(&mut self, file: usize) -> &mut Vec<u8> {
        &mut self.held[file]
    }

    /// After each row: moves the rows to the spool file if they have become too many for memory.
    ///
    /// # Errors
    /// [`Exit::Output`] with scratch_dir in it if they cannot be written there.
    #[inline]
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let held: usize = self.held.iter().map(Vec::len).sum();
        if held > self.most { self.spool.take(&mut self.held) } else { Ok(()) }
    }

    /// Drops the rows: the page was rejected.
    pub(super) fn discard(&mut self) {
        self.held.iter_mut().for_each(Vec::clear);
        self.spool.clear();
    }

    /// Passes the rows on: the page was accepted. `take` gets the number of a file and some of its rows, in their
    /// order.
    ///
    /// # Errors
    /// Those of `take`; [`Exit::Output`] if the spool file cannot be read.
    pub(super) fn release(
        &mut self,
        mut take: impl FnMut(usize, &[u8]) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        self.spool.release(&mut take)?;
        for (file, rows) in self.held.iter_mut().enumerate() {
            if !rows.is_empty() {
                take(file, rows)?;
                rows.clear();
            }
        }
        Ok(())
    }
}

/// Where rows are kept that are too many for memory.
struct Spool {
    scratch: Scratch,
    file: Option<ScratchFile>,
    /// Whose bytes the file holds, one after the other: the number of the output file, and how many.
    parts: Vec<(usize, u64)>,
}

impl Spool {
    fn new(scratch: Scratch) -> Self {
        Self { scratch, file: None, parts: Vec::new() }
    }

    /// Moves rows into the file.
    fn take(&mut self, held: &mut [Vec<u8>]) -> Result<(), Failure> {
        let Self { scratch, file, parts } = self;
        let mut write = || {
            let file = match file {
                Some(file) => file,
                None => file.insert(scratch.file()?),
            };
            for (number, rows) in held.iter_mut().enumerate().filter(|(_, rows)| !rows.is_empty()) {
                file.write_all(rows)?;
                parts.push((number, rows.len() as u64));
                rows.clear();
                // One huge row must not keep its memory for the rest of the run.
                rows.shrink_to(MAX_HELD_BYTES);
            }
            Ok(())
        };
        write().map_err(|error: io::Error| scratch.failure("cannot hold the rows of a page in", &error))
    }

    fn release(
        &mut self,
        take: &mut impl FnMut(usize, &[u8]) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let scratch = &self.scratch;
        let unreadable =
            |error: io::Error| scratch.failure("cannot read back the rows of a page from", &error);
        file.rewind().map_err(unreadable)?;
        let mut buffer = vec![0; READ_BYTES];
        for (number, length) in self.parts.drain(..) {
            let mut left = length;
            while left > 0 {
                let size = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
                let rows = &mut buffer[..size];
                file.read_exact(rows).map_err(unreadable)?;
                take(number, rows)?;
                left -= size as u64;
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.file = None;
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::Timestamp;

    use super::*;
    use crate::error::Exit;
    use crate::report::RunId;

    fn pending(directory: &Path, files: usize) -> Pending {
        let run = RunId::new(Timestamp::from_second(1_795_309_200).unwrap(), 1);
        Pending::new(files, Scratch::new(directory.to_owned(), run))
    }

    fn released(pending: &mut Pending, files: usize) -> Vec<Vec<u8>> {
        let mut released = vec![Vec::new(); files];
        pending
            .release(|file, rows| {
                released[file].extend_from_slice(rows);
                Ok(())
            })
            .unwrap();
        released
    }

    /// Rows of three files in turn, of sizes that no limit divides; gives what each file should get.
    fn fill(pending: &mut Pending, rows: usize) -> Vec<Vec<u8>> {
        let mut expected = vec![Vec::new(); 3];
        for number in 0..rows {
            let row = vec![b'a' + (number % 26) as u8; 1 + (number * 7919) % 4_001];
            pending.rows(number % 3).extend_from_slice(&row);
            expected[number % 3].extend_from_slice(&row);
            pending.settle().unwrap();
        }
        expected
    }

    #[test]
    fn rows_come_out_in_their_order_whatever_their_number() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = directory.path().join("made/when/needed");
        let mut pending = pending(&scratch, 3);
        let expected = fill(&mut pending, 100);
        assert!(!scratch.exists(), "100 rows fit into memory");
        assert_eq!(released(&mut pending, 3), expected);
        // Twice, because the spool file of one page must not be that of the next.
        for rows in [15_000, 12_345] {
            let expected = fill(&mut pending, rows);
            assert!(pending.spool.file.is_some());
            assert!(pending.held.iter().map(Vec::len).sum::<usize>() <= MAX_HELD_BYTES);
            assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the spool file has no name");
            assert!(released(&mut pending, 3) == expected, "{rows} rows");
            assert_eq!(released(&mut pending, 3), [b"", b"", b""]);
        }
    }

    #[test]
    fn discarded_rows_leave_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut pending = pending(directory.path(), 3);
        fill(&mut pending, 15_000);
        pending.discard();
        let expected = fill(&mut pending, 10);
        assert_eq!(released(&mut pending, 3), expected);
    }

    #[test]
    fn a_scratch_directory_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let occupied = directory.path().join("occupied");
        fs::write(&occupied, "").unwrap();
        let mut pending = pending(&occupied, 1);
        pending.rows(0).resize(MAX_HELD_BYTES + 1, b'x');
        let failure = pending.settle().unwrap_err();
        assert_eq!(failure.exit, Exit::Output);
        assert!(failure.what.starts_with("cannot hold the rows of a page in scratch_dir, "), "{failure}");
        assert!(failure.hint.unwrap().contains("SFEXPORT_SCRATCH_DIR"));
    }
}

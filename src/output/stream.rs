//! An export that leaves as it is written (`query -o -`): nothing is staged and nothing can be taken back.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Published, Sealed, Staged, Tally};
use crate::error::{Exit, Failure};

/// What a stream is called where a file would have a path.
const NAME: &str = "-";

/// A stream, standard output as a rule. A reader that has gone away shows as an error of
/// [`io::ErrorKind::BrokenPipe`] from its [`Write`]: [`Write::flush`] it before it is sealed, and it shows there.
pub struct Stream<W> {
    to: W,
    tally: Tally,
    /// How much had been written at the last mark, in bytes.
    marked: u64,
}

impl<W: Write + Send + 'static> Stream<W> {
    /// A stream that goes to `to`.
    #[must_use]
    pub fn new(to: W) -> Self {
        Self { to, tally: Tally::new(), marked: 0 }
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.to.write(buffer).map_err(explained)?;
        self.tally.add(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(explained)
    }
}

impl<W: Write + Send + 'static> Staged for Stream<W> {
    fn restart(&mut self) -> Result<(), Failure> {
        self.marked = 0;
        self.back_to_mark()
    }

    fn mark(&mut self) {
        self.marked = self.tally.bytes;
    }

    fn back_to_mark(&mut self) -> Result<(), Failure> {
        if self.tally.bytes == self.marked {
            return Ok(());
        }
        let what = "the query had to begin again, and what was streamed cannot be taken back";
        Err(Failure::new(Exit::Incomplete, what)
            .hint("write to a file, which is published only when it is whole"))
    }

    fn seal(mut self: Box<Self>) -> Result<Box<dyn Sealed>, Failure> {
        self.flush().map_err(super::write_failure)?;
        Ok(Box::new(Sent { tally: self.tally }))
    }
}

/// A stream that has ended.
struct Sent {
    tally: Tally,
}

impl Sealed for Sent {
    fn renaming(&self) -> Option<(PathBuf, PathBuf)> {
        None
    }

    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn appear(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn settle(&mut self) -> Result<Published, Failure> {
        Ok(self.tally.published(PathBuf::from(NAME)))
    }

    fn keep(self: Box<Self>) {}
}

fn explained(error: io::Error) -> io::Error {
    let failure = Failure::new(Exit::Output, format!("cannot write to standard output: {error}"));
    io::Error::new(error.kind(), failure)
}

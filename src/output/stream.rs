//! An export that leaves as it is written (`query -o -`): nothing is staged, and nothing can be taken back.

use std::io::{self, Write};
use std::sync::Mutex;

use super::{Caution, Destination, Output, Published, Renaming, Sealed, Staged, Tally};
use crate::error::{Exit, Failure, io_text};
use crate::job::{Location, RecoveryData};
use crate::report::RunId;

/// A stream as an output; empty once an export has been begun on it.
pub(super) struct Stream(Mutex<Option<Box<dyn Write + Send>>>);

impl Stream {
    pub(super) fn new(to: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(Some(to)))
    }
}

impl Destination for Stream {
    fn location(&self) -> Location {
        Location::Stream
    }

    fn lock_location(&self) -> Option<Location> {
        None
    }

    fn exists(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn probe(&self, _run: &RunId) -> Result<(), Failure> {
        Ok(())
    }

    fn caution(&self) -> Option<Caution> {
        None
    }

    fn group(&self, _parts: &[String]) -> Result<Vec<Output>, Failure> {
        let what = "child queries need files next to the output, but the output is a stream";
        Err(Failure::new(Exit::Usage, what).hint("name a file as the output, or set children = \"json\""))
    }

    fn stages(&self, _run: &RunId) -> Vec<RecoveryData> {
        Vec::new()
    }

    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn stage(&self, _run: &RunId) -> Result<Box<dyn Staged>, Failure> {
        let to = self.0.lock().ok().and_then(|mut to| to.take());
        let to =
            to.ok_or_else(|| Failure::new(Exit::General, "a bug in sfexport: a stream was begun twice"))?;
        Ok(Box::new(Streamed { to, tally: Tally::new() }))
    }
}

/// A stream that is being written. A reader that has gone away shows as an error of [`io::ErrorKind::BrokenPipe`] from
/// its [`Write`]; flush it before it is sealed, so it shows there.
struct Streamed {
    to: Box<dyn Write + Send>,
    tally: Tally,
}

impl Write for Streamed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.to.write(buffer).map_err(explained)?;
        self.tally.add(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(explained)
    }
}

impl Staged for Streamed {
    fn can_restart(&self) -> bool {
        self.tally.bytes == 0
    }

    fn restart(&mut self) -> Result<(), Failure> {
        if self.can_restart() {
            return Ok(());
        }
        let what = "the query had to start over, but some of the output has already been sent";
        Err(Failure::new(Exit::Incomplete, what).hint("write to a file instead of standard output"))
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
    fn renaming(&self) -> Option<Renaming> {
        None
    }

    fn contents(&self) -> Published {
        self.tally.published(Location::Stream)
    }

    fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn confirm(&mut self) -> Result<Published, Failure> {
        Ok(self.contents())
    }

    fn leave(self: Box<Self>) {}
}

fn explained(error: io::Error) -> io::Error {
    let failure = Failure::new(Exit::Output, format!("cannot write to standard output: {}", io_text(&error)));
    io::Error::new(error.kind(), failure)
}

//! Where exports go. An output appears whole or not at all: it is staged, sealed and published, and discarded if dropped
//! before that. `encode` decides what is written, `export` when it is published.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::error::{Exit, Failure, io_text};
use crate::job::{Compression, IfExists, Job, Location, RecoveryData};
use crate::report::RunId;

mod compressed;
mod local;
#[cfg(test)]
mod memory;
mod permissions;
mod recovery;
mod replaceable;
mod stream;
mod sweep;

pub use local::LocalFile;
pub use recovery::{Recovered, discard, may_remain, outputs_of, recover};
pub use sweep::Swept;

/// A place that an export goes to: a [`LocalFile`] or a stream; object stores later. Everything here blocks.
#[derive(Clone)]
pub struct Output {
    destination: Arc<dyn Destination>,
    compression: Option<Compression>,
}

impl Output {
    /// The output of a job whose template gives this path.
    ///
    /// # Errors
    /// [`Exit::Output`] if the path does not name a file, or a link that leads to none.
    pub fn of_job(job: &Job, path: &Path) -> Result<Self, Failure> {
        let file = LocalFile::new(path, job.if_exists, job.file_mode)?.within(job.output.root());
        let file = if job.follow_links { file.following_links()? } else { file };
        Ok(Self::from(file).compressed(job.compression))
    }

    /// A stream, usually standard output. Bytes leave at once, so it can be staged only once and nothing can be taken back.
    pub fn stream(to: impl Write + Send + 'static) -> Self {
        Self::new(stream::Stream::new(Box::new(to)))
    }

    fn new(destination: impl Destination + 'static) -> Self {
        Self { destination: Arc::new(destination), compression: None }
    }

    /// The same output, compressed in this way.
    #[must_use]
    pub fn compressed(self, compression: Option<Compression>) -> Self {
        Self { compression, ..self }
    }

    /// Its place, as reports show it.
    #[must_use]
    pub fn location(&self) -> Location {
        self.destination.location()
    }

    /// Its place by way of no links: two outputs that are one file have one of these. `None` if there is nothing to
    /// lock, as for a stream.
    #[must_use]
    pub fn lock_location(&self) -> Option<Location> {
        self.destination.lock_location()
    }

    /// Whether something is already there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.destination.exists()
    }

    /// Whether a run may begin: the place can be written to as far as that can be known without writing, and
    /// `if_exists = "fail"` does not forbid it. Asked before the login.
    ///
    /// # Errors
    /// [`Exit::Output`], with the location and the reason.
    pub fn check(&self) -> Result<(), Failure> {
        self.destination.check()
    }

    /// Whether an export can really be begun: makes in its place what a run makes, and removes it again. [`Output::check`]
    /// believes what the file system says of permissions, which is not always true. `run` names a run of nobody's.
    ///
    /// # Errors
    /// [`Exit::Output`], with the location and the reason.
    pub fn probe(&self, run: &RunId) -> Result<(), Failure> {
        self.destination.check()?;
        self.destination.probe(run)
    }

    /// What may surprise a user about publishing to it, if anything.
    #[must_use]
    pub fn caution(&self) -> Option<Caution> {
        self.destination.caution()
    }

    /// This output, then one next to it for each of `parts`: `accounts.Contacts.csv` next to `accounts.csv` for the
    /// part `Contacts`. If there are parts, all of them are published together.
    ///
    /// # Errors
    /// [`Exit::Usage`] if there are parts and the output has no place for them.
    pub fn group(&self, parts: &[String]) -> Result<Vec<Self>, Failure> {
        if parts.is_empty() {
            return Ok(vec![self.clone()]);
        }
        let group = self.destination.group(parts)?.into_iter();
        Ok(group.map(|output| output.compressed(self.compression)).collect())
    }

    /// What [`Output::stage`] will make for `run`, to be journaled before it does; each entry for [`discard`].
    #[must_use]
    pub fn stages(&self, run: &RunId) -> Vec<RecoveryData> {
        self.destination.stages(run)
    }

    /// Removes what dead runs left next to it, as far as that can be told without the journal. What may still become
    /// an output stays, and so does what a live process writes.
    ///
    /// # Errors
    /// [`Exit::Output`] if a stale stage cannot be found or removed.
    pub fn sweep(&self) -> Result<(), Failure> {
        self.destination.sweep()
    }

    /// Begins an export that stays hidden until it is published. Runs [`Output::check`] again.
    ///
    /// # Errors
    /// [`Exit::Output`], with the location and the reason.
    pub fn stage(&self, run: &RunId) -> Result<Box<dyn Staged>, Failure> {
        let staged = self.destination.stage(run)?;
        Ok(match self.compression {
            Some(compression) => Box::new(compressed::Compressed::new(compression, staged)?),
            None => staged,
        })
    }
}

impl From<LocalFile> for Output {
    fn from(file: LocalFile) -> Self {
        Self::new(file)
    }
}

/// A surprising effect of publishing to an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caution {
    /// What it would do.
    pub what: String,
    /// How to avoid it.
    pub hint: String,
}

/// What each kind of output implements; its methods are [`Output`]'s.
trait Destination: Send + Sync {
    fn location(&self) -> Location;
    fn lock_location(&self) -> Option<Location>;
    fn exists(&self) -> bool;
    fn check(&self) -> Result<(), Failure>;
    fn probe(&self, run: &RunId) -> Result<(), Failure>;
    fn caution(&self) -> Option<Caution>;
    fn group(&self, parts: &[String]) -> Result<Vec<Output>, Failure>;
    fn stages(&self, run: &RunId) -> Vec<RecoveryData>;
    fn sweep(&self) -> Result<(), Failure>;
    fn stage(&self, run: &RunId) -> Result<Box<dyn Staged>, Failure>;
}

/// An export being written: what has been written stays, unless all of it goes. Dropping it discards it. It has no
/// buffer: write in large pieces.
///
/// An error of [`Write`] carries a [`Failure`], which [`write_failure`] takes out; its kind stays that of the
/// system's error.
pub trait Staged: Write + Send {
    /// Empties it, so the export can be written again from its start.
    ///
    /// # Errors
    /// If it cannot be emptied: what was streamed cannot be taken back.
    fn restart(&mut self) -> Result<(), Failure>;

    /// Whether [`Staged::restart`] can empty it.
    fn can_restart(&self) -> bool {
        true
    }

    /// Ends the writing: after it every byte is on the disk, and the export only has to be published.
    ///
    /// # Errors
    /// [`Exit::Output`]; the export is discarded.
    fn seal(self: Box<Self>) -> Result<Box<dyn Sealed>, Failure>;
}

/// An export that is complete and on the disk, but not visible yet. Dropping it discards it.
pub trait Sealed: Send {
    /// What a crash in the middle of a group's publishing would leave to be done for it; `None` if that is nothing.
    fn renaming(&self) -> Option<Renaming>;

    /// What [`Sealed::confirm`] is going to return, but for the warnings.
    fn contents(&self) -> Published;

    /// Whether [`Sealed::publish`] is going to work, as far as that can be known before.
    ///
    /// # Errors
    /// [`Exit::Output`], with the reason.
    fn check(&self) -> Result<(), Failure>;

    /// Makes the output visible, whole, in place of the previous one.
    ///
    /// # Errors
    /// [`Exit::Output`]; the previous output is untouched.
    fn publish(&mut self) -> Result<(), Failure>;

    /// After [`Sealed::publish`]: makes sure that the output survives a power cut.
    ///
    /// # Errors
    /// [`Exit::Output`]; the new output is visible, and may be gone after a power cut.
    fn confirm(&mut self) -> Result<Published, Failure>;

    /// Leaves the stage where it is, for [`recover`].
    fn leave(self: Box<Self>);
}

/// A stage that is about to be renamed to its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming {
    stage: PathBuf,
    output: PathBuf,
    if_exists: IfExists,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The output's place.
    pub location: Location,
    /// Its size.
    pub bytes: u64,
    /// Its size before compression, if it is compressed.
    pub raw_bytes: Option<u64>,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// Properties of the previous output that could not be kept, such as its group.
    pub warnings: Vec<String>,
}

/// Why a group of outputs was not published, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// What went wrong.
    pub failure: Failure,
    /// How far it came.
    pub reached: Reached,
}

/// How far a group of outputs came that was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing was changed, and every stage is gone.
    Nothing,
    /// Some outputs are visible. The stages of the others are left for [`recover`], and the intent must stay in the
    /// journal.
    Some,
    /// All are visible, and a power cut may take back some of them or all. The intent must stay in the journal until
    /// [`recover`] has looked again.
    All,
}

/// The intent to publish these files together, to be journaled before [`publish`] if there is more than one: [`recover`]
/// ends by it what a crash interrupts. `None` if there is nothing to recover.
///
/// # Errors
/// [`Exit::Output`] if one of the files cannot be looked at.
pub fn intent(group: &[Box<dyn Sealed>]) -> Result<Option<RecoveryData>, Failure> {
    let renamings: Vec<_> = group.iter().filter_map(|sealed| sealed.renaming()).collect();
    if renamings.is_empty() { Ok(None) } else { recovery::intent(&renamings).map(Some) }
}

/// Publishes the files of one run together, in their order: the one that readers wait for comes last. If there is more
/// than one, their [`intent`] must have been journaled before; it may be forgotten after, unless [`Reached`] says
/// otherwise.
///
/// # Errors
/// [`Unpublished`], with how far it came.
pub fn publish(mut group: Vec<Box<dyn Sealed>>) -> Result<Vec<Published>, Unpublished> {
    // Finds failures before anything changes.
    for sealed in &group {
        sealed.check().map_err(|failure| Unpublished { failure, reached: Reached::Nothing })?;
    }
    for at in 0..group.len() {
        if let Err(failure) = group[at].publish() {
            if at > 0 {
                group.drain(at..).for_each(Sealed::leave);
            }
            let reached = if at > 0 { Reached::Some } else { Reached::Nothing };
            return Err(Unpublished { failure, reached });
        }
    }
    // Tries all of them, so as much as possible is flushed.
    let confirmed: Vec<_> = group.iter_mut().map(|sealed| sealed.confirm()).collect();
    let confirmed: Result<_, _> = confirmed.into_iter().collect();
    confirmed.map_err(|failure| Unpublished { failure, reached: Reached::All })
}

/// The failure that an error of a [`Staged`]'s [`Write`] carries. An error from elsewhere becomes one without a
/// location.
#[must_use]
pub fn write_failure(error: io::Error) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => Failure::new(Exit::Output, format!("cannot write the output: {}", io_text(&error))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether there is a regular file at the path, with the content of this SHA-256 in hexadecimal digits.
#[must_use]
pub fn is_file_of(path: &Path, sha256: &str) -> bool {
    let digest = || -> io::Result<String> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (mut digest, mut buffer) = (digest::Context::new(&digest::SHA256), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(digest.finish().as_ref())),
                read => digest.update(&buffer[..read]),
            }
        }
    };
    digest().is_ok_and(|found| found == sha256)
}

/// Counts and hashes what is written, so the report needs no second pass.
#[derive(Clone)]
struct Tally {
    bytes: u64,
    digest: digest::Context,
}

impl Tally {
    fn new() -> Self {
        Self { bytes: 0, digest: digest::Context::new(&digest::SHA256) }
    }

    fn add(&mut self, written: &[u8]) {
        self.bytes += written.len() as u64;
        self.digest.update(written);
    }

    fn published(&self, location: Location) -> Published {
        let digest = self.digest.clone().finish();
        let (sha256, warnings) = (hex(digest.as_ref()), Vec::new());
        Published { location, bytes: self.bytes, raw_bytes: None, sha256, warnings }
    }
}

#[cfg(test)]
mod contract;
#[cfg(test)]
mod tests;

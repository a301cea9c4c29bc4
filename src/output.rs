//! Where exports go. An output appears whole or not at all: staged, sealed, published, and gone when it is
//! dropped before that. What is written into it is the business of `encode`, when it is published that of `export`.

use std::io::{self, Write};
use std::path::PathBuf;

use aws_lc_rs::digest;

use crate::error::{Exit, Failure};
use crate::report::RunId;

mod local;
mod stage_name;
mod stream;
mod sweep;

pub use local::LocalFile;
pub use stream::Stream;
pub use sweep::{RolledForward, Swept, known_files, roll_forward, sweep, sweep_siblings};

/// Whose stages lie beside an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A job's: noted in its state directory, and kept there where a publish broke off half done.
    Job,
    /// A query's without a job: nobody knows of them but by their names.
    Query,
    /// A job's, whole, and waiting to be published together with others: only who holds their note may touch them.
    Group,
}

/// A place that an export goes to. An open set: local files now, object stores later. Everything here blocks;
/// it belongs on the thread that writes.
pub trait Output: Send + Sync {
    /// Whether a run may begin at all: the place can be written to as far as that can be known without
    /// writing, and `if_exists = "fail"` does not forbid it. Asked before the login.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`], with the path and the reason.
    fn check(&self) -> Result<(), Failure>;

    /// The file that [`Output::stage`] will make for `run`, where it makes one, to be noted before it does.
    fn stage_path(&self, run: &RunId) -> Option<PathBuf>;

    /// The name under which that file waits, once it is whole, where it is one of several that are published together;
    /// to be noted with it. No sweep by name takes it.
    fn waiting_path(&self, run: &RunId) -> Option<PathBuf>;

    /// Makes it, and those made [`Output::beside`] it after, outputs that are published together.
    fn join_group(&mut self);

    /// The output of a further file of the same export, which lies beside this one: `accounts.Contacts.csv` for
    /// `accounts.csv` and the part `Contacts`. Its path is that of
    /// [`beside`](crate::job::output_path::beside).
    fn beside(&self, part: &str) -> Box<dyn Output>;

    /// Begins an export that nobody sees before it is published. Asks [`Output::check`] again.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`], with the path and the reason.
    fn stage(&self, run: &RunId) -> Result<Box<dyn Staged>, Failure>;
}

/// An export being written. Dropping it discards it. It has no buffer: write in large pieces.
///
/// An error of [`Write`] carries a [`Failure`], which [`write_failure`] takes out; its kind stays that of the
/// system's error.
pub trait Staged: Write + Send {
    /// Empties it, so that the export can be written again from its start.
    ///
    /// # Errors
    ///
    /// Where it cannot be emptied, as what was streamed cannot.
    fn restart(&mut self) -> Result<(), Failure>;

    /// Marks the place where it ends now, for [`Staged::back_to_mark`].
    fn mark(&mut self);

    /// Takes back what was written behind the last mark, or all of it where there is none.
    ///
    /// # Errors
    ///
    /// Where it cannot be cut, as what was streamed cannot.
    fn back_to_mark(&mut self) -> Result<(), Failure>;

    /// Ends the writing: after it every byte is on the disk, and only a rename is left to do.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`]; the export is discarded.
    fn seal(self: Box<Self>) -> Result<Box<dyn Sealed>, Failure>;
}

/// An export that is complete and on the disk, but not seen yet. Dropping it discards it.
pub trait Sealed: Send {
    /// The stage and the output that it will be renamed to, where there are two: what [`roll_forward`] needs
    /// after a crash.
    fn renaming(&self) -> Option<(PathBuf, PathBuf)>;

    /// Whether [`Sealed::appear`] is going to work, as far as that can be known before.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`], with the reason.
    fn check(&self) -> Result<(), Failure>;

    /// Lets the output appear whole, in place of the former one.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`]; the former output stands.
    fn appear(&mut self) -> Result<(), Failure>;

    /// After [`Sealed::appear`]: makes sure that the power can fail now.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`]; the new output has appeared, and may be gone after a power cut.
    fn settle(&mut self) -> Result<Published, Failure>;

    /// Leaves the stage where it is, for [`roll_forward`].
    fn keep(self: Box<Self>);
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The output's path, absolute; `-` for a stream.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
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
    /// Some have appeared. The stages of the others stay for [`roll_forward`], and the note of the intent must stay
    /// with them.
    Some,
    /// All have appeared, and a power cut may take back some of them or all. The note of an intent must stay until
    /// somebody has looked again.
    All,
}

/// Publishes the files of one run together, in their order: the one that readers wait for comes last. The
/// intent (their [`Sealed::renaming`]s) must have been noted before, if there is more than one, and may be
/// forgotten after, unless [`Reached`] says otherwise.
///
/// # Errors
///
/// [`Unpublished`], with how far it came.
pub fn publish(mut group: Vec<Box<dyn Sealed>>) -> Result<Vec<Published>, Unpublished> {
    // What would fail is found before anything has changed.
    for sealed in &group {
        sealed.check().map_err(|failure| Unpublished { failure, reached: Reached::Nothing })?;
    }
    for at in 0..group.len() {
        if let Err(failure) = group[at].appear() {
            if at > 0 {
                group.drain(at..).for_each(Sealed::keep);
            }
            return Err(Unpublished {
                failure,
                reached: if at > 0 { Reached::Some } else { Reached::Nothing },
            });
        }
    }
    // Each is tried: what can be flushed is to be.
    let settled: Vec<_> = group.iter_mut().map(|sealed| sealed.settle()).collect();
    let settled: Result<_, _> = settled.into_iter().collect();
    settled.map_err(|failure| Unpublished { failure, reached: Reached::All })
}

/// The failure that an error of a [`Staged`]'s [`Write`] carries. An error from elsewhere becomes one without a
/// path.
#[must_use]
pub fn write_failure(error: io::Error) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => Failure::new(Exit::Output, format!("cannot write the output: {error}")),
    }
}

/// Counts and hashes what was written, so that the report's figures need no second reading.
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

    fn published(&self, path: PathBuf) -> Published {
        let digest = self.digest.clone().finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Published { path, bytes: self.bytes, sha256 }
    }
}

#[cfg(test)]
mod tests;

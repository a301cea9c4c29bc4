//! What a crash left behind: stages of dead runs are removed, and a group half published is published to its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::local::{failure, flush_folder, is_at, rename};
use super::{Owner, stage_name};
use crate::error::{Exit, Failure};
use crate::job::IfExists;

/// What became of a stage that was to be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is removed.
    Removed,
    /// Its writer lives, or the file system knows no locks by which to tell: left alone.
    Live,
    /// There is no such file.
    Gone,
}

/// Removes the stage at `stage`, unless its writer lives.
///
/// # Errors
///
/// [`Exit::Output`] where it can be neither locked nor removed.
pub fn sweep(stage: &Path) -> Result<Swept, Failure> {
    match take(stage)? {
        // The lock is held while the name goes: a new writer of that name sees it, and makes another file.
        Taken::Ours(_lock) => match fs::remove_file(stage) {
            Ok(()) => Ok(Swept::Removed),
            Err(error) => Err(failure("cannot remove the stale stage", stage, &error)),
        },
        Taken::Live | Taken::Unknown => Ok(Swept::Live),
        Taken::Gone => Ok(Swept::Gone),
    }
}

/// Removes the stages that dead runs left beside `output`; those of live runs stay. Gives the paths removed. On
/// behalf of a query only queries' stages go: a job's may wait to be rolled forward, by a note that only who holds the
/// job's state folder can read. On behalf of a job all go, so that none of those notes may name `output` then.
///
/// # Errors
///
/// [`Exit::Output`] where the folder cannot be read or a stale stage not removed.
pub fn sweep_siblings(output: &Path, by: Owner) -> Result<Vec<PathBuf>, Failure> {
    let (Some(folder), Some(name)) = (output.parent(), output.file_name()) else { return Ok(Vec::new()) };
    let cannot_read = |error| failure("cannot look for stale stages in", folder, &error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot_read(error)),
    };
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(cannot_read)?;
        let may_go = match stage_name::owner(name, &entry.file_name()) {
            Some(Owner::Query) => true,
            Some(Owner::Job) => by == Owner::Job,
            None => false,
        };
        if may_go && sweep(&entry.path())? == Swept::Removed {
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

/// What became of the outputs of a publish that was interrupted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RolledForward {
    /// They have appeared now.
    pub appeared: Vec<PathBuf>,
    /// What stands there is newer than the stage, which is gone: nothing older takes its place.
    pub overtaken: Vec<PathBuf>,
}

/// Ends a publish that a crash interrupted: renames those of the (stage, output) pairs whose stage is still there, in
/// their order, but over no file that was written after the stage. Called under the locks of the job and of these
/// outputs, before anything is swept.
///
/// # Errors
///
/// [`Exit::Output`] where one cannot be renamed, [`Exit::TryLater`] where a stage's writer lives; the later ones
/// are left then, for the next try.
pub fn roll_forward(renamings: &[(PathBuf, PathBuf)], if_exists: IfExists) -> Result<RolledForward, Failure> {
    let mut done = RolledForward::default();
    for (stage, output) in renamings {
        let _lock = match take(stage)? {
            Taken::Ours(lock) => Some(lock),
            // The job's lock says that no other run of it lives.
            Taken::Unknown => None,
            Taken::Gone => continue,
            Taken::Live => {
                let what = format!("another process is about to publish {}", output.display());
                return Err(Failure::new(Exit::TryLater, what).hint("wait for its end"));
            }
        };
        let is_overtaken = if_exists == IfExists::Replace && is_newer(output, stage)?;
        if is_overtaken || is_one_file(stage, output) {
            // Killed between the link and the unlink; a rename of one file to itself would leave both names.
            fs::remove_file(stage).map_err(|error| failure("cannot remove the stage", stage, &error))?;
        } else {
            rename(stage, output, if_exists).map_err(|failure| {
                let hint = format!("or remove {} to give that export up", stage.display());
                let hint =
                    failure.hint.as_ref().map_or_else(|| hint.clone(), |first| format!("{first}; {hint}"));
                failure.context("cannot finish the publishing that was interrupted").hint(hint)
            })?;
        }
        if let Some(folder) = output.parent() {
            flush_folder(folder)?;
        }
        if is_overtaken { &mut done.overtaken } else { &mut done.appeared }.push(output.clone());
    }
    Ok(done)
}

/// Whether what stands at `output` was written after `stage`.
fn is_newer(output: &Path, stage: &Path) -> Result<bool, Failure> {
    let written = |path: &Path| fs::symlink_metadata(path).and_then(|found| found.modified());
    let cannot_look = |path, error| failure("cannot look at", path, &error);
    match written(output) {
        Ok(output) => Ok(output > written(stage).map_err(|error| cannot_look(stage, error))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot_look(output, error)),
    }
}

enum Taken {
    /// Locked by this process, and still what the path names.
    Ours(File),
    /// Locked by another.
    Live,
    /// It cannot be locked at all: a file system without locks, or no file of ours.
    Unknown,
    Gone,
}

fn take(stage: &Path) -> Result<Taken, Failure> {
    let cannot_look = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Taken::Gone),
        _ => Err(failure("cannot look at the stage", stage, &error)),
    };
    // Not opened if it is no file of ours: opening a pipe would wait for its writer.
    let named = match fs::symlink_metadata(stage) {
        Ok(named) => named,
        Err(error) => return cannot_look(error),
    };
    if !named.is_file() {
        return Ok(Taken::Unknown);
    }
    // NFS locks only what is open for writing; a stage whose mode forbids that to its owner can still be read.
    let opened = match OpenOptions::new().read(true).write(true).open(stage) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(stage),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) => return cannot_look(error),
    };
    match file.try_lock() {
        // Between the opening and the lock, its writer may have published it and another taken the name.
        Ok(()) if is_at(&file, stage) => Ok(Taken::Ours(file)),
        Ok(()) => Ok(Taken::Gone),
        Err(TryLockError::WouldBlock) => Ok(Taken::Live),
        Err(TryLockError::Error(_)) => Ok(Taken::Unknown),
    }
}

fn is_one_file(one: &Path, other: &Path) -> bool {
    File::open(one).is_ok_and(|open| is_at(&open, other))
}

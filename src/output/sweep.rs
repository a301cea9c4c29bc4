//! Finds and removes the stages of runs whose process has died.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::local::failure;
use crate::error::Failure;
use crate::fs::is_at;
use crate::job::stage_name::{self, Owner};

/// What became of a stage that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is removed.
    Removed,
    /// Its writer lives, or the file system has no locks by which to tell: left alone.
    Live,
    /// It does not exist.
    Gone,
}

/// Removes the stage at `stage`, unless its writer lives.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if it can be neither locked nor removed.
pub(super) fn sweep(stage: &Path) -> Result<Swept, Failure> {
    match take(stage)? {
        // The lock is held while the name goes: a new writer of that name sees it, and makes another file.
        Taken::Ours(_lock) => match fs::remove_file(stage) {
            Ok(()) => Ok(Swept::Removed),
            Err(error) => Err(failure("cannot remove the old temporary file", stage, &error)),
        },
        Taken::Live | Taken::Unknown => Ok(Swept::Live),
        Taken::Gone => Ok(Swept::Gone),
    }
}

/// Removes the stages that dead runs left next to `output`, and gives their paths. On behalf of a query only queries'
/// stages go: a job's may be waiting for its group, and only the job's journal tells. On behalf of a job those go
/// too, so its journal must be recovered before. But a stage that is named as waiting for its group stays: its journal
/// may be in another state directory.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if the directory cannot be read or a stale stage not removed.
pub(super) fn sweep_siblings(output: &Path, by: Owner) -> Result<Vec<PathBuf>, Failure> {
    let (Some(directory), Some(name)) = (output.parent(), output.file_name()) else { return Ok(Vec::new()) };
    let cannot_read = |error| failure("cannot look for old temporary files in", directory, &error);
    let entries = match fs::read_dir(directory) {
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
            Some(Owner::Group) | None => false,
        };
        if may_go && sweep(&entry.path())? == Swept::Removed {
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

/// Whose a stage is.
pub(super) enum Taken {
    /// Locked by this process, and still what the path names.
    Ours(File),
    /// Locked by another.
    Live,
    /// It cannot be locked: the file system has no locks, or it is not a file of ours.
    Unknown,
    Gone,
}

/// Locks the stage at `stage`, if nobody else has.
pub(super) fn take(stage: &Path) -> Result<Taken, Failure> {
    let cannot_look = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Taken::Gone),
        _ => Err(failure("cannot access the temporary file", stage, &error)),
    };
    // Not opened unless it is a regular file: opening a pipe would wait for its writer.
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

//! Finds and removes the stages of runs whose process has died.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::local::failure;
use crate::error::Failure;
use crate::fs::is_at;
use crate::job::stage_name::{self, Owner};

/// The result of removing a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It was removed.
    Removed,
    /// It was kept, because its writer is alive, or the file system has no locks to show that.
    Live,
    /// It does not exist.
    Gone,
}

/// Removes the stage at `stage`, unless its writer is alive.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if it can be neither locked nor removed.
pub(super) fn sweep(stage: &Path) -> Result<Swept, Failure> {
    match take(stage)? {
        // The lock is held while the file is removed, so a new writer with the same name creates another file.
        Taken::Ours(_lock) => match fs::remove_file(stage) {
            Ok(()) => Ok(Swept::Removed),
            Err(error) => Err(failure("cannot remove the old temporary file", stage, &error)),
        },
        Taken::Live | Taken::Unknown => Ok(Swept::Live),
        Taken::Gone => Ok(Swept::Gone),
    }
}

/// Removes the stages that dead runs left next to `output`, and returns their paths. For a query, only stages of queries
/// are removed: a job's stage may be waiting for its group, which only the job's journal knows. For a job, its own stages
/// are removed too, so its journal must be recovered first. A stage whose name says that it waits for its group is kept,
/// because its journal may be in another state directory.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if the directory cannot be read or a stale stage cannot be removed.
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

/// Who holds a stage.
pub(super) enum Taken {
    /// It is locked by this process, and still at its path.
    Ours(File),
    /// It is locked by another process.
    Live,
    /// It cannot be locked: the file system has no locks, or it is another kind of file.
    Unknown,
    Gone,
}

/// Locks the stage at `stage`, unless another process has.
pub(super) fn take(stage: &Path) -> Result<Taken, Failure> {
    let cannot_look = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Taken::Gone),
        _ => Err(failure("cannot access the temporary file", stage, &error)),
    };
    // Only regular files are opened, because opening a pipe would wait for its writer.
    let named = match fs::symlink_metadata(stage) {
        Ok(named) => named,
        Err(error) => return cannot_look(error),
    };
    if !named.is_file() {
        return Ok(Taken::Unknown);
    }
    // NFS locks only files that are open for writing. A stage that its owner may not write can still be read.
    let opened = match OpenOptions::new().read(true).write(true).open(stage) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(stage),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) => return cannot_look(error),
    };
    match file.try_lock() {
        // Before it was locked, its writer may have published it, and another may have taken the name.
        Ok(()) if is_at(&file, stage) => Ok(Taken::Ours(file)),
        Ok(()) => Ok(Taken::Gone),
        Err(TryLockError::WouldBlock) => Ok(Taken::Live),
        Err(TryLockError::Error(_)) => Ok(Taken::Unknown),
    }
}

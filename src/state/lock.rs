//! Advisory locks that die with their process. A lock's file may come and go: what counts is that the locked file
//! is the one its path names.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;

use super::failure;
use crate::error::Failure;

/// A lock, held until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    removed_at_end: bool,
}

impl Lock {
    /// The locked file, for those who lock what they write.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Whether it is the lock at this path.
    pub(super) fn is_at_path(&self, path: &Path) -> bool {
        self.path == path
    }

    /// The same lock, whose file goes with it.
    pub(super) fn removed_at_end(mut self) -> Self {
        self.removed_at_end = true;
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is locked: who has it open already finds that it lost its name, and tries again.
        if self.removed_at_end && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who holds a lock, as far as its file says: for a person to read, nothing is decided by it.
#[derive(Debug)]
pub(super) struct Held {
    process: Option<u32>,
}

impl fmt::Display for Held {
    /// ` by process 4711`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, " by process {process}"),
            None => Ok(()),
        }
    }
}

/// Takes the lock at `path`, or says who has it.
pub(super) fn try_lock(path: &Path) -> Result<Result<Lock, Held>, Failure> {
    loop {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path) => {
                let mut lock = Lock { file, path: path.to_owned(), removed_at_end: false };
                // A disk too full for four digits is no reason not to run.
                let _ = lock.file.set_len(0).and_then(|()| writeln!(lock.file, "{}", process::id()));
                return Ok(Ok(lock));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(held(file))),
            Err(TryLockError::Error(error)) => return Err(failure("cannot lock", path, &error)),
        }
    }
}

/// Whether somebody has the lock at `path`; nothing is made and nothing is written. To find out it is held for a
/// moment, shared.
pub(super) fn is_held(path: &Path) -> Result<bool, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failure("cannot open", path, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failure("cannot lock", path, &error)),
    }
}

/// Takes the lock at `path`, waiting for it; for work of milliseconds.
pub(super) fn lock(path: &Path) -> Result<Lock, Failure> {
    loop {
        let file = open(path)?;
        file.lock().map_err(|error| failure("cannot lock", path, &error))?;
        if is_at(&file, path) {
            return Ok(Lock { file, path: path.to_owned(), removed_at_end: false });
        }
    }
}

/// Whether `path` still names `file`, and not another that took its name.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    // Not truncated: until it is locked it may be another's.
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(|error| failure("cannot open", path, &error))
}

fn held(file: File) -> Held {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    Held { process: read.ok().and_then(|_| text.trim_end().parse().ok()) }
}

//! Advisory locks that end with their process. A lock's file may come and go; a lock counts only if the locked file is
//! still the one at its path.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::error::{LockError, LockTarget};
use super::owner;
use crate::fs::{MAX_NAME_LOSSES, is_at, renumbered};

/// How long to wait before trying a lock again.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// A lock, held until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    removed_at_end: bool,
}

impl Lock {
    /// The locked file, for callers that lock the file they write.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Whether it still keeps others out: its file has not been deleted or replaced since it was locked.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Whether this is the lock at this path.
    pub(super) fn is_at_path(&self, path: &Path) -> bool {
        self.path == path
    }

    /// The same lock, whose file is removed with it.
    pub(super) fn removed_at_end(mut self) -> Self {
        self.removed_at_end = true;
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is removed while it is locked. A process that has it open finds that it lost its name, and tries again.
        if self.removed_at_end && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
        // A process that is being started, a command after an export perhaps, has a copy of the file until its program begins.
        // Closing the file would leave the lock to that copy.
        let _ = self.file.unlock();
    }
}

/// Which other processes may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// None.
    Exclusive,
    /// Those that share it.
    Shared,
}

/// Takes the lock at `path`, which protects `target`. If it is held, the error names the process.
pub(super) fn try_lock(
    path: &Path,
    mode: Mode,
    target: impl FnOnce() -> LockTarget,
) -> Result<Lock, LockError> {
    match locked(path, mode, Writable::IfAllowed)? {
        Ok(mut lock) => {
            // A disk that is too full for a process id must not prevent a run.
            let _ = lock.file.set_len(0).and_then(|()| writeln!(lock.file, "{}", process::id()));
            Ok(lock)
        }
        Err(file) => Err(LockError::Held { target: target(), process: holder(file) }),
    }
}

/// Takes the lock at `path` to change a file. Waits no longer than `patience`.
pub(super) fn lock_within(path: &Path, writable: Writable, patience: Duration) -> Result<Lock, LockError> {
    let begun = Instant::now();
    loop {
        if let Ok(lock) = locked(path, Mode::Exclusive, writable)? {
            return Ok(lock);
        }
        if begun.elapsed() >= patience {
            return Err(LockError::Held { target: LockTarget::File(path.to_owned()), process: None });
        }
        std::thread::sleep(RETRY_AFTER);
    }
}

/// Whether another process holds the lock at `path`. Nothing is created or written, but the lock is held for a moment,
/// shared, to find out.
pub(super) fn is_held(path: &Path) -> Result<bool, LockError> {
    let file = match open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(not_lockable("cannot open", path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(not_lockable("cannot lock", path, error)),
    }
}

/// Checks that the lock at `path` can be opened.
pub(super) fn probe(path: &Path) -> Result<(), LockError> {
    open(path, Writable::IfAllowed).map(drop).map_err(|error| not_lockable("cannot open", path, error))
}

/// Whether a lock's file must be open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writable {
    /// The file is written to.
    Always,
    /// The file is only locked. This also works for another user's file, except on NFS.
    IfAllowed,
}

/// The lock at `path`, or its file if another process holds it.
fn locked(path: &Path, mode: Mode, writable: Writable) -> Result<Result<Lock, File>, LockError> {
    for _ in 0..MAX_NAME_LOSSES {
        let file = open(path, writable).map_err(|error| not_lockable("cannot open", path, error))?;
        let tried = match mode {
            Mode::Exclusive => file.try_lock(),
            Mode::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) if is_at(&file, path) => {
                return Ok(Ok(Lock { file, path: path.to_owned(), removed_at_end: false }));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(file)),
            Err(TryLockError::Error(error)) => return Err(not_lockable("cannot lock", path, error)),
        }
    }
    Err(not_lockable("cannot lock", path, renumbered()))
}

/// Opens a lock's file without truncating it, because another process may hold it.
fn open(path: &Path, writable: Writable) -> io::Result<File> {
    loop {
        match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied && writable == Writable::IfAllowed =>
            {
                return open_to_read(path).map_err(|_| error);
            }
            opened => return opened,
        }
        match owner::create(OpenOptions::new().read(true).write(true), path) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

/// Opens a file that can be locked without being written to. Opening a pipe would wait for its writer.
fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

fn not_lockable(doing: &'static str, path: &Path, source: io::Error) -> LockError {
    LockError::NotLockable { doing, path: path.to_owned(), source }
}

/// The process that a lock's file names. It is only shown to people.
fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    read.ok().and_then(|_| text.trim_end().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_even_if_its_file_is_still_open_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.lock");
        let take = || try_lock(&path, Mode::Exclusive, || LockTarget::File(path.clone()));
        let lock = take().unwrap();
        // As a process has it that was forked.
        let _copy = lock.file.try_clone().unwrap();
        assert!(take().is_err());
        drop(lock);
        assert!(take().is_ok());
    }
}

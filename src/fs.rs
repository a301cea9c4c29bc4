//! Where file systems differ, answered once for everything that writes files: which errors say that a file system does
//! not have a call at all, how a directory is flushed, and whether a name still means the file that is open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

/// How often a file may lose its name between its opening and its lock. Other processes cause that a few times in a
/// row at most; a file system that gives a file another inode number at each look causes it always.
pub(crate) const MAX_NAME_LOSSES: u32 = 100;

/// Whether an error says that the file system does not have the call, as SMB, NFS without lockd and many FUSE file
/// systems do not have all of them; not that the call failed.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let says_so =
        matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOLCK));
    // ENOTSUP is a number of its own on some systems.
    says_so || errno == Some(Errno::NOTSUP) || error.kind() == io::ErrorKind::Unsupported
}

/// Makes the names in `directory` survive a power cut. A file system that cannot flush a directory keeps its names by
/// other means.
///
/// # Errors
/// If the directory cannot be opened or flushed.
pub(crate) fn flush_directory(directory: &Path) -> io::Result<()> {
    let opened = File::open(directory)?;
    match opened.sync_all() {
        // It is open: that it does not exist, or is not open, is the file system's way to say that it has no such call.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::BADF)) => Ok(()),
        Err(error) if is_unsupported(&error) => Ok(()),
        done => done,
    }
}

/// Whether `path` still names `file`, and not another file that took its name.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Whether two looks at `path` in a row find different files.
pub(crate) fn is_renumbered(path: &Path) -> bool {
    let look = || fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((look(), look()), (Ok(first), Ok(second)) if first != second)
}

/// The error of a file that is another one at each look.
pub(crate) fn renumbered() -> io::Error {
    let what = "each look finds another inode number, so this file system cannot hold locks";
    io::Error::new(io::ErrorKind::Unsupported, what)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_a_file_system_does_not_have_is_told_from_what_failed() {
        // The numbers are those of Linux's errno.h: EINVAL, ENOTTY, ENOLCK, ENOSYS, EOPNOTSUPP.
        for errno in [22, 25, 37, 38, 95] {
            assert!(is_unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        // EPERM, ENOENT, EIO, EAGAIN, EACCES, EBUSY, ENOSPC, EROFS, EDQUOT.
        for errno in [1, 2, 5, 11, 13, 16, 28, 30, 122] {
            assert!(!is_unsupported(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_flushed() {
        let dir = tempfile::TempDir::new().unwrap();
        flush_directory(dir.path()).unwrap();
        let error = flush_directory(&dir.path().join("gone")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

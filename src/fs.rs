//! Handles differences between file systems in one place: which errors mean that a call is unsupported, how a directory is
//! flushed, whether a name still refers to an open file, and how to read a small file safely whatever the path names.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::io_text;

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

/// The error for a file whose inode number changes at each look.
pub(crate) fn renumbered() -> io::Error {
    let what = "its inode number changes each time, so this file system cannot hold locks";
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// The most that a file which a person writes may hold: far above any configuration, key or certificate, far below what
/// would hurt. A wrong path may name an export.
pub(crate) const MAX_SMALL_FILE: u64 = 1 << 20;

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is something else, called so: a pipe, a device.
    NotAFile(&'static str),
    /// It holds more than [`MAX_SMALL_FILE`] bytes: so many, if that is known.
    TooLarge(Option<u64>),
    /// It could not be opened or read.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    /// Meant to follow the file's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile(kind) => write!(f, "is {kind}, not a file"),
            Self::TooLarge(Some(bytes)) => {
                let tenths = bytes.div_ceil(100_000);
                write!(f, "is larger than 1 MiB ({}.{} MB); is it the right file?", tenths / 10, tenths % 10)
            }
            Self::TooLarge(None) => f.write_str("is larger than 1 MiB; is it the right file?"),
            Self::Io(error) => write!(f, "cannot be read: {}", io_text(error)),
        }
    }
}

/// Opens a regular file for reading. Opening anything else might wait (a pipe waits for its writer) or do something (to a
/// tape), so it is not opened, and if it took the name in between, not waited for.
///
/// # Errors
/// If it is not a regular file, a directory among them ([`io::ErrorKind::IsADirectory`]), or cannot be opened.
pub(crate) fn open_regular(path: &Path) -> Result<(File, fs::Metadata), ReadError> {
    only_regular(&fs::metadata(path).map_err(ReadError::Io)?)?;
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let opened = match File::options().read(true).custom_flags(without_waiting).open(path) {
        // A file that another machine holds a lease on is given up by it while we wait.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => File::open(path),
        opened => opened,
    };
    let file = opened.map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    only_regular(&metadata)?;
    Ok((file, metadata))
}

fn only_regular(found: &fs::Metadata) -> Result<(), ReadError> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(ReadError::Io(Errno::ISDIR.into()));
    }
    let device = kind.is_char_device() || kind.is_block_device();
    Err(ReadError::NotAFile(match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if device => "a device",
        () => "something else",
    }))
}

/// The whole of a regular file of [`MAX_SMALL_FILE`] at most, and what was known of it.
///
/// # Errors
/// If it is not one, is larger, or cannot be read.
pub(crate) fn read_small(path: &Path) -> Result<(Vec<u8>, fs::Metadata), ReadError> {
    let (file, metadata) = open_regular(path)?;
    if metadata.len() > MAX_SMALL_FILE {
        return Err(ReadError::TooLarge(Some(metadata.len())));
    }
    let mut bytes = Vec::new();
    // The file may grow, and files in /proc report no size.
    file.take(MAX_SMALL_FILE + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > MAX_SMALL_FILE {
        return Err(ReadError::TooLarge(None));
    }
    Ok((bytes, metadata))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn unsupported_calls_differ_from_failed_calls() {
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
    fn only_small_regular_files_are_read_and_nothing_is_waited_for() {
        let dir = tempfile::TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let refused = |path: &Path| read_small(path).expect_err("not a small file").to_string();
        fs::write(at("small"), "text").unwrap();
        std::os::unix::fs::symlink(at("small"), at("link")).unwrap();
        assert_eq!(read_small(&at("link")).unwrap().0, b"text");
        let pipe = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(pipe.success());
        assert_eq!(refused(&at("pipe")), "is a pipe, not a file");
        assert_eq!(refused(Path::new("/dev/zero")), "is a device, not a file");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert_eq!(refused(&at("socket")), "is a socket, not a file");
        assert_eq!(refused(dir.path()), "cannot be read: Is a directory");
        assert_eq!(refused(&at("gone")), "cannot be read: No such file or directory");
        let large = File::create(at("large")).unwrap();
        large.set_len(MAX_SMALL_FILE).unwrap();
        assert_eq!(read_small(&at("large")).unwrap().0.len(), 1 << 20);
        large.set_len(5_000_000).unwrap();
        assert_eq!(refused(&at("large")), "is larger than 1 MiB (5.0 MB); is it the right file?");
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_flushed() {
        let dir = tempfile::TempDir::new().unwrap();
        flush_directory(dir.path()).unwrap();
        let error = flush_directory(&dir.path().join("gone")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}

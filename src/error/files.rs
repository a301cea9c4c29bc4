//! Turns errors of the file system into a message and a hint.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::{Exit, Failure};

impl Failure {
    /// A failure of `doing` (`cannot write`, `cannot lock` ...) to the file or directory at `path`, with a hint
    /// where the kind of `error` has a known remedy. Where only too many files are open it is [`Exit::TryLater`].
    #[must_use]
    pub fn of_file(exit: Exit, doing: impl fmt::Display, path: &Path, error: &io::Error) -> Self {
        let what = format!("{doing} {}: {}", path.display(), io_text(error));
        if let Some(hint) = hint_of_too_many(error) {
            return Self::new(Exit::TryLater, what).hint(hint);
        }
        let failure = Self::new(exit, what);
        match hint(path, error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The text of an I/O error without its number.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

fn hint_of_too_many(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(
            "raise this process's limit on open files (ulimit -n, systemd's LimitNOFILE), or run fewer jobs at once",
        ),
        Errno::NFILE => Some(
            "raise the machine's limit on open files (fs.file-max), or stop the process that has too many open",
        ),
        _ => None,
    }
}

fn hint(path: &Path, error: &io::Error) -> Option<String> {
    let (kind, errno) = (error.kind(), Errno::from_io_error(error));
    let above = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // For a file, the directory that contains it matters.
    let directory = above.filter(|_| !path.is_dir()).unwrap_or(path).display();
    Some(match kind {
        io::ErrorKind::StorageFull => {
            format!("free some space on the file system of {directory}, or choose another place")
        }
        io::ErrorKind::QuotaExceeded => {
            format!("free some space in {directory}, or ask for a larger disk quota")
        }
        // The permissions may be right while the file system, an attribute or a sticky bit forbids it.
        io::ErrorKind::PermissionDenied if errno == Some(Errno::PERM) => {
            format!(
                "check the owner of {directory}, its sticky bit and its attributes (lsattr), and whether its file \
                 system allows the operation"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("check the owner and mode of {directory} and of the directories above it")
        }
        io::ErrorKind::ResourceBusy => {
            format!("mount {directory} instead if the file itself is a mount point")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("mount a writable volume at {directory}: this one is read-only")
        }
        io::ErrorKind::InvalidFilename => {
            "shorten the file name: most file systems allow 255 bytes".to_owned()
        }
        io::ErrorKind::IsADirectory => "name a file in the directory".to_owned(),
        io::ErrorKind::NotADirectory => {
            format!("make sure that {directory} and everything above it are directories")
        }
        io::ErrorKind::FileTooLarge => {
            "raise the limit on file sizes (ulimit -f), or choose a file system that allows larger files"
                .to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{Exit, Failure};

    #[test]
    fn a_full_disk_a_quota_and_a_read_only_mount_are_told_apart() {
        let hint = |errno| {
            let error = io::Error::from_raw_os_error(errno);
            let failure = Failure::of_file(Exit::Output, "cannot write", Path::new("/data/a.csv"), &error);
            assert!(failure.what.starts_with("cannot write /data/a.csv: "), "{failure}");
            assert_eq!(failure.exit, Exit::Output);
            failure.hint
        };
        // The numbers are those of Linux's errno.h.
        assert!(hint(28).unwrap().contains("file system of /data, or"));
        assert!(hint(122).unwrap().contains("quota"));
        assert!(hint(30).unwrap().contains("read-only"));
        assert!(hint(13).unwrap().contains("/data"));
        assert!(hint(36).unwrap().contains("255 bytes"));
        assert!(hint(1).unwrap().contains("sticky bit"));
        assert!(hint(16).unwrap().contains("mount /data instead"));
        assert_eq!(hint(5), None);
    }

    #[test]
    fn too_many_open_files_are_a_matter_of_time() {
        for (errno, said) in [(24, "ulimit -n"), (23, "fs.file-max")] {
            let error = io::Error::from_raw_os_error(errno);
            let failure = Failure::of_file(Exit::Output, "cannot write", Path::new("/data/a.csv"), &error);
            assert_eq!(failure.exit, Exit::TryLater);
            assert!(failure.hint.unwrap().contains(said));
        }
    }

    #[test]
    fn a_directory_that_refuses_is_named_itself() {
        let dir = tempfile::TempDir::new().unwrap();
        let (directory, file) = (dir.path().join("exports"), dir.path().join("exports/a.csv"));
        std::fs::create_dir(&directory).unwrap();
        for path in [directory.as_path(), file.as_path()] {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            let hint = Failure::of_file(Exit::Output, "cannot open", path, &error).hint.unwrap();
            assert!(
                hint.contains(&format!("check the owner and mode of {} and", directory.display())),
                "{hint}"
            );
        }
    }
}

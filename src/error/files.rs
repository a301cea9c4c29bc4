//! What a refusal of the file system means to a person: the sentence, and what to do about each kind.

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
        let what = format!("{doing} {}: {error}", path.display());
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

fn hint_of_too_many(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(
            "this process has as many files and connections open as it may (ulimit -n, systemd's LimitNOFILE): \
             raise the limit, or run fewer jobs at once",
        ),
        Errno::NFILE => Some(
            "the machine has as many files open as it may (fs.file-max): end what holds so many, or raise the limit",
        ),
        _ => None,
    }
}

fn hint(path: &Path, error: &io::Error) -> Option<String> {
    let (kind, errno) = (error.kind(), Errno::from_io_error(error));
    let above = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    // A directory refuses by itself; for a file it is the one that holds it.
    let directory = above.filter(|_| !path.is_dir()).unwrap_or(path).display();
    Some(match kind {
        io::ErrorKind::StorageFull => {
            format!("the file system of {directory} is full: make room there, or choose another place")
        }
        io::ErrorKind::QuotaExceeded => {
            format!("this user's disk quota is used up: make room in {directory}, or have the quota raised")
        }
        // Permissions may be as they should, and the file system, an attribute or a sticky bit forbid it all the same.
        io::ErrorKind::PermissionDenied if errno == Some(Errno::PERM) => {
            format!(
                "this user may not do that: check the owner of {directory}, its sticky bit and its attributes \
                 (lsattr), and whether its file system allows it at all"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "this user may not do that: check owner and mode of {directory} and of the directories above it"
            )
        }
        io::ErrorKind::ResourceBusy => {
            format!("if it is mounted as a single file, mount {directory} instead")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("the file system is mounted read-only: mount a writable volume at {directory}")
        }
        io::ErrorKind::InvalidFilename => {
            "a file name may have 255 bytes at most, less on some file systems: shorten it".to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory: name a file in it".to_owned(),
        io::ErrorKind::NotADirectory => {
            format!("something in {directory} is a file where a directory has to be: move it away")
        }
        io::ErrorKind::FileTooLarge => {
            "larger than the file system or this process's limit (ulimit -f) allows: raise the limit"
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
        assert!(hint(28).unwrap().contains("file system of /data is full"));
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
            assert!(hint.contains(&format!("check owner and mode of {} and", directory.display())), "{hint}");
        }
    }
}

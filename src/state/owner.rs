//! Gives everything created in the state directory to the directory's owner, even if root creates it. Otherwise one
//! `sudo sfexport run` would leave files that the daemon's user cannot use.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchown, openat};

/// Creates the file at `path`, which must not exist, and gives it to the owner of its directory.
pub(super) fn create(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.create_new(true).open(path)?;
    give(&file, path);
    Ok(file)
}

/// Gives a newly created directory to the owner of the one that contains it.
pub(super) fn give_directory(path: &Path) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(directory) = openat(CWD, path, flags, Mode::empty()) {
        give(&directory.into(), path);
    }
}

/// Gives `file`, newly created at `path`, to the owner of its directory.
pub(super) fn give(file: &File, path: &Path) {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let (Some(Ok(directory)), Ok(file_found)) = (directory.map(std::fs::metadata), file.metadata()) else {
        return;
    };
    if directory.uid() != file_found.uid() {
        // Only root may do this, and only root creates files that other users cannot use.
        let _ = fchown(file, Some(Uid::from_raw(directory.uid())), Some(Gid::from_raw(directory.gid())));
    }
}

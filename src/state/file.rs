//! Small JSON files that are written whole: aside, flushed, renamed, the directory flushed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure;
use super::lock::lock;
use crate::error::{Exit, Failure};

/// What is in the file; none where there is no file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failure> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure("cannot read", path, &error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::new(Exit::Output, format!("cannot read {}: {error}", path.display()))
            .hint("it was damaged from outside, or a later version wrote it: remove it to begin anew")
    })
}

/// Puts `value` into the file, or leaves the file as it is.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| Failure::new(Exit::General, format!("cannot write {}: {error}", path.display())))?;
    bytes.push(b'\n');
    // One name for all who write the file: they take turns by its lock, and what a crash leaves is used again.
    // After a rename the next in turn finds that what it locked has another name now, and makes a new one.
    let aside = aside(path);
    let mut lock = lock(&aside)?;
    let written = lock.file().set_len(0).and_then(|()| lock.file().write_all(&bytes));
    written
        .and_then(|()| lock.file().sync_all())
        .and_then(|()| fs::rename(&aside, path))
        .map_err(|error| failure("cannot write", path, &error))?;
    flush_directory_of(path)
}

/// Removes the file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Ok(()) => flush_directory_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failure("cannot remove", path, &error)),
    }
}

/// Makes the names in the directory of `path` survive a power cut.
pub(super) fn flush_directory_of(path: &Path) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(path);
    match File::open(directory).and_then(|opened| opened.sync_all()) {
        // File systems that know no flushing of directories keep their names by other means.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        done => done.map_err(|error| failure("cannot flush to the disk the directory", directory, &error)),
    }
}

/// A hash, since a job's name may be as long as a file's name can be.
pub(super) fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let digest = digest::digest(&digest::SHA256, name);
    let hash: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    path.with_file_name(format!(".{hash}.aside"))
}

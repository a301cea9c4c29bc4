//! Stores documents by name. The trait has only what `state` needs, so an object store could implement it too.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use rustix::fs::OFlags;

use super::error::StateError;
use super::lock::{self, Writable};

/// The largest size of a document, in bytes.
pub(super) const MAX_DOCUMENT: u64 = 1 << 20;

/// How long a write waits for another write of the same document.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// A store for small documents. A name is `KIND/FILE`, without further slashes. Documents are read and written as a
/// whole, and are on disk when a call returns.
pub(super) trait Store: fmt::Debug + Send + Sync {
    /// The document with this name.
    fn get(&self, name: &str) -> Result<Option<Document>, StateError>;

    /// Writes a document and returns its new version, or changes nothing.
    ///
    /// Fails with [`StateError::Changed`] if `when` does not hold.
    fn put(&self, name: &str, bytes: &[u8], when: When<'_>) -> Result<Version, StateError>;

    /// Removes a document, if it exists.
    fn delete(&self, name: &str) -> Result<(), StateError>;

    /// The names of a kind, in order.
    fn list(&self, kind: &str) -> Result<Vec<String>, StateError>;

    /// Where a document is, for messages.
    fn location(&self, name: &str) -> PathBuf;
}

/// A document and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) version: Version,
}

/// Identifies the content of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version(String);

/// The condition of a write.
#[derive(Debug, Clone, Copy)]
pub(super) enum When<'a> {
    /// None.
    Always,
    /// There is no document with this name.
    Absent,
    /// The document has this version.
    Unchanged(&'a Version),
}

/// Documents as files of a local directory.
#[derive(Debug, Clone)]
pub(super) struct LocalStore {
    directory: PathBuf,
}

impl LocalStore {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }
}

impl Store for LocalStore {
    fn get(&self, name: &str) -> Result<Option<Document>, StateError> {
        let path = self.location(name);
        let Some(mut file) = open_regular(&path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = Read::by_ref(&mut file).take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
        read.map_err(StateError::io("cannot read", &path))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(StateError::TooLarge { path, limit: MAX_DOCUMENT });
        }
        let version = version_of(&bytes);
        Ok(Some(Document { bytes, version }))
    }

    fn put(&self, name: &str, bytes: &[u8], when: When<'_>) -> Result<Version, StateError> {
        let path = self.location(name);
        if bytes.len() as u64 > MAX_DOCUMENT {
            // It could not be read back.
            return Err(StateError::TooLarge { path, limit: MAX_DOCUMENT });
        }
        // One name for everyone who writes the document: they take turns by its lock, and what a crash leaves is used
        // again. After a rename the next in turn finds that what it locked has another name now, and makes a new one.
        let aside = aside(&path);
        let mut lock = lock::lock_within(&aside, Writable::Always, WRITE_PATIENCE)?;
        let found = match when {
            When::Always => None,
            When::Absent | When::Unchanged(_) => self.get(name)?,
        };
        let holds = match (when, &found) {
            (When::Always, _) | (When::Absent, None) => true,
            (When::Unchanged(version), Some(found)) => found.version == *version,
            (When::Absent, Some(_)) | (When::Unchanged(_), None) => false,
        };
        if !holds {
            let _ = fs::remove_file(&aside);
            return Err(StateError::Changed { path });
        }
        let written = lock.file().set_len(0).and_then(|()| lock.file().write_all(bytes));
        written
            .and_then(|()| lock.file().sync_all())
            .and_then(|()| fs::rename(&aside, &path))
            .map_err(StateError::io("cannot write", &path))?;
        flush_directory_of(&path)?;
        Ok(version_of(bytes))
    }

    fn delete(&self, name: &str) -> Result<(), StateError> {
        let path = self.location(name);
        match fs::remove_file(&path) {
            Ok(()) => match flush_directory_of(&path) {
                // Somebody has removed the directory meanwhile, and the document with it.
                Err(error) if error.is_missing() => Ok(()),
                flushed => flushed,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StateError::io("cannot remove", &path)(error)),
        }
    }

    fn list(&self, kind: &str) -> Result<Vec<String>, StateError> {
        let directory = self.directory.join(kind);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(StateError::io("cannot list", &directory))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(StateError::io("cannot list", &directory))?.file_name();
            // Temporary files left by a crash are not documents, and names that are not text were not created here.
            let name = name.to_str().filter(|name| !name.starts_with('.'));
            names.extend(name.map(|name| format!("{kind}/{name}")));
        }
        names.sort();
        Ok(names)
    }

    fn location(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Opens a file for reading, unless it is a pipe or a device, which could block forever.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, StateError> {
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for its writer.
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("cannot read", path)(error)),
    };
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(Some(file)),
        Ok(_) => Err(StateError::NotAFile { path: path.to_owned() }),
        Err(error) => Err(StateError::io("cannot read", path)(error)),
    }
}

/// Flushes the directory of `path`, so its file names survive a power cut.
pub(super) fn flush_directory_of(path: &Path) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(path);
    crate::fs::flush_directory(directory).map_err(StateError::io("cannot flush the directory", directory))
}

/// A hash, because the name of a document may be as long as a file name can be.
pub(super) fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    path.with_file_name(format!(".{}.aside", &hash(name)[..16]))
}

/// SHA-256, in lower-case hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn version_of(bytes: &[u8]) -> Version {
    Version(hash(bytes))
}

//! The bytes of a key and its password, from a file that not everybody can read, or from the environment.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::refusal::{KeyLocation, shell_word};
use crate::error::Failure;
use crate::fs::{MAX_SMALL_FILE, ReadError, open_regular};
use crate::org::{KeySource, PasswordSource};

/// The key's bytes, as they are; and, of a file that everybody can read, the failure that this is if it holds a key.
pub(super) fn key(
    source: &KeySource,
    location: &KeyLocation,
) -> Result<(SecretBytes, Option<Failure>), Failure> {
    let path = match source {
        KeySource::Inline(text) => {
            return Ok((Zeroizing::new(text.expose_secret().as_bytes().to_vec()), None));
        }
        KeySource::File(path) => path,
    };
    let explain = |fault: Fault| {
        let hint = fault.hint(path, "make a key and its certificate with `sfexport keygen`, or set key_file");
        location.failure(fault.what(&location.subject), hint)
    };
    let (bytes, metadata) = read_with_metadata(path).map_err(explain)?;
    Ok((bytes, only_for_some(&metadata).err().map(explain)))
}

/// The password: a file's first line, or the text itself.
pub(super) fn password(source: &PasswordSource, location: &KeyLocation) -> Result<SecretString, Failure> {
    let path = match source {
        PasswordSource::Inline(text) => return Ok(text.clone()),
        PasswordSource::File(path) => path,
    };
    let subject = format!("the password file {}", path.display());
    let bytes = read(path, Access::Secret)
        .map_err(|fault| location.failure(fault.what(&subject), fault.hint(path, "set key_password_file")))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(location.failure(
            format!("the first line of {subject} is empty"),
            "write the key's password there, or leave key_password_file out",
        ));
    }
    match std::str::from_utf8(line) {
        Ok(line) => Ok(SecretString::from(line)),
        Err(_) => Err(location.failure(format!("{subject} is no UTF-8 text"), "save it as UTF-8")),
    }
}

/// Who may read a file that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Its owner and group alone.
    Secret,
    /// Anybody.
    Anybody,
}

/// Why a file was not read.
pub(super) enum Fault {
    Missing,
    Denied(&'static str),
    Directory,
    NoFile,
    Everybody(u32),
    Large(u64),
    Other(io::Error),
}

impl Fault {
    pub(super) fn what(&self, subject: &str) -> String {
        match self {
            Self::Missing => format!("{subject} does not exist"),
            Self::Denied(what) => format!("{subject} may not be {what} by the user that this runs as"),
            Self::Directory => format!("{subject} is a directory"),
            Self::NoFile => format!("{subject} is no regular file"),
            Self::Everybody(mode) => {
                format!("{subject} can be read by everybody on this machine (mode {mode:04o})")
            }
            Self::Large(bytes) => {
                format!("{subject} has {bytes} bytes: far too many for what it should hold")
            }
            Self::Other(error) => format!("{subject} cannot be read: {error}"),
        }
    }

    pub(super) fn hint(&self, path: &Path, otherwise: &str) -> String {
        let word = shell_word(path);
        match self {
            Self::Missing => format!(
                "{otherwise}; a relative path is relative to the file that it is written in (here: {word})"
            ),
            Self::Denied(_) => format!(
                "see whose it is: ls -l {word}; then, as its owner or root: chown THAT_USER {word} && chmod 600 {word}"
            ),
            Self::Everybody(_) => {
                format!(
                    "chmod o-r {word} (a mounted secret's mode is set where it is mounted: docs/docker.md)"
                )
            }
            Self::Directory | Self::NoFile | Self::Large(_) => {
                format!("{otherwise}; this is what was named: ls -ld {word}")
            }
            Self::Other(_) => format!("see what it is: ls -l {word}"),
        }
    }
}

/// The whole of a regular file that others cannot read. Links are followed, as secret mounts are made of them:
/// the mode is that of the file they end at.
pub(super) fn read(path: &Path, access: Access) -> Result<SecretBytes, Fault> {
    let (bytes, metadata) = read_with_metadata(path)?;
    if access == Access::Secret {
        only_for_some(&metadata)?;
    }
    Ok(bytes)
}

/// The whole of a regular file, whoever may read it.
fn read_with_metadata(path: &Path) -> Result<(SecretBytes, fs::Metadata), Fault> {
    let fault = |what: &'static str| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::Missing,
            io::ErrorKind::PermissionDenied => Fault::Denied(what),
            io::ErrorKind::IsADirectory => Fault::Directory,
            _ => Fault::Other(error),
        }
    };
    // A directory above it may not be entered, which is another matter than a file that may not be read.
    fs::metadata(path).map_err(fault("reached"))?;
    let (file, metadata) = open_regular(path).map_err(|error| match error {
        ReadError::Io(error) => fault("read")(error),
        ReadError::NotAFile(_) | ReadError::TooLarge(_) => Fault::NoFile,
    })?;
    if metadata.len() > MAX_SMALL_FILE {
        return Err(Fault::Large(metadata.len()));
    }
    // The full size from the start: a buffer that grows leaves its former bytes behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    let read = file.take(MAX_SMALL_FILE + 1).read_to_end(&mut bytes).map_err(fault("read"))?;
    if read as u64 > MAX_SMALL_FILE {
        return Err(Fault::Large(read as u64));
    }
    Ok((bytes, metadata))
}

#[cfg(unix)]
fn only_for_some(metadata: &fs::Metadata) -> Result<(), Fault> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o004 == 0 { Ok(()) } else { Err(Fault::Everybody(mode)) }
}

#[cfg(not(unix))]
fn only_for_some(_: &fs::Metadata) -> Result<(), Fault> {
    Ok(())
}

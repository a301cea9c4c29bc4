//! Reads the bytes of a key and its password, from the environment or from files that only some users can read.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::SecretBytes;
use super::refusal::{KeyLocation, shell_word};
use crate::error::{Failure, io_text};
use crate::fs::{MAX_SMALL_FILE, ReadError, open_regular};
use crate::org::{KeySource, PasswordSource};

/// The key's bytes. If every user can read the file, also the failure for the case that it contains a key.
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
        let hint = fault.hint(
            path,
            "restore the private key, or correct key_file; a new key from `sfexport keygen` works only after its \
             certificate is uploaded",
        );
        location.failure(fault.what(&location.subject), hint)
    };
    let (bytes, metadata) = read_with_metadata(path).map_err(explain)?;
    Ok((bytes, only_for_some(&metadata).err().map(explain)))
}

/// The password: the first line of a file, or the text itself.
pub(super) fn password(source: &PasswordSource, location: &KeyLocation) -> Result<SecretString, Failure> {
    let path = match source {
        PasswordSource::Inline(text) => return Ok(text.clone()),
        PasswordSource::File(path) => path,
    };
    let subject = format!("the password file {}", path.display());
    let bytes = read(path, Access::Secret).map_err(|fault| {
        let otherwise = "set key_password_file to the path of a file with the key's password";
        match fault {
            // It may be the password itself.
            Fault::Missing | Fault::Other(_) => {
                location.failure(fault.what("the file that key_password_file names"), otherwise)
            }
            fault => location.failure(fault.what(&subject), fault.hint(path, otherwise)),
        }
    })?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(location.failure(
            format!("the first line of {subject} is empty"),
            "write the key's password there, or remove key_password_file",
        ));
    }
    match std::str::from_utf8(line) {
        Ok(line) => Ok(SecretString::from(line)),
        Err(_) => Err(location.failure(format!("{subject} is not UTF-8 text"), "save it as UTF-8")),
    }
}

/// Who may be able to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Only its owner and group.
    Secret,
    /// Every user.
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
            Self::Denied(what) => format!("{subject} cannot be {what} by this user"),
            Self::Directory => format!("{subject} is a directory"),
            Self::NoFile => format!("{subject} is not a regular file"),
            Self::Everybody(mode) => {
                format!("every user of this machine can read {subject} (mode {mode:04o})")
            }
            Self::Large(bytes) => {
                format!("{subject} is too large ({} MB)", bytes.div_ceil(1_000_000))
            }
            Self::Other(error) => format!("{subject} cannot be read: {}", io_text(error)),
        }
    }

    pub(super) fn hint(&self, path: &Path, otherwise: &str) -> String {
        let word = shell_word(path);
        match self {
            Self::Missing | Self::Directory | Self::NoFile | Self::Large(_) => otherwise.to_owned(),
            Self::Denied(_) => format!("as root, change its owner: chown USER {word} && chmod 600 {word}"),
            Self::Everybody(_) => {
                format!("run: chmod o-r {word} (for a mounted secret, see docs/docker.md)")
            }
            Self::Other(_) => format!("examine it with: ls -l {word}"),
        }
    }
}

/// Reads a regular file. Links are followed, since mounted secrets are links, and the mode is the target's.
pub(super) fn read(path: &Path, access: Access) -> Result<SecretBytes, Fault> {
    let (bytes, metadata) = read_with_metadata(path)?;
    if access == Access::Secret {
        only_for_some(&metadata)?;
    }
    Ok(bytes)
}

/// Reads a regular file without checking its mode.
fn read_with_metadata(path: &Path) -> Result<(SecretBytes, fs::Metadata), Fault> {
    let fault = |what: &'static str| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::Missing,
            io::ErrorKind::PermissionDenied => Fault::Denied(what),
            io::ErrorKind::IsADirectory => Fault::Directory,
            _ => Fault::Other(error),
        }
    };
    // Here, permission is denied for a directory in the path, not for the file.
    fs::metadata(path).map_err(fault("reached"))?;
    let (file, metadata) = open_regular(path).map_err(|error| match error {
        ReadError::Io(error) => fault("read")(error),
        ReadError::NotAFile(_) | ReadError::TooLarge(_) => Fault::NoFile,
    })?;
    if metadata.len() > MAX_SMALL_FILE {
        return Err(Fault::Large(metadata.len()));
    }
    // Allocated in full, because a growing buffer leaves copies of its bytes in memory.
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

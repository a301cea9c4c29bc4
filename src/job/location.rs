//! Where an export goes, as reports and locks name it. `output` knows which places can be written to.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The place of one file of an export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A local file, by its absolute path.
    File(PathBuf),
    /// A stream, as a rule standard output; shown as `-`.
    Stream,
}

impl Location {
    /// The path of a local file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stream => None,
        }
    }

    /// The bytes that tell it from every other location.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::File(path) => path.as_os_str().as_bytes(),
            Self::Stream => b"-",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stream => f.write_str("-"),
        }
    }
}

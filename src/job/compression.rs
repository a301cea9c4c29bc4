//! How a file is compressed.

use std::fmt;

/// A compression of files, each with its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// One member of gzip (RFC 1952).
    Gzip(u8),
    /// One frame of Zstandard (RFC 8878), with its checksum.
    Zstd(u8),
}

/// The compressions, without a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What a user says of a file's compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionChoice {
    /// It is compressed like this.
    By(Codec),
    /// It is not compressed.
    None,
}

impl CompressionChoice {
    /// The codec, if there is one.
    #[must_use]
    pub fn codec(self) -> Option<Codec> {
        match self {
            Self::By(codec) => Some(codec),
            Self::None => None,
        }
    }
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// Its name, as the configuration and the run report spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The extension of its files.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }

    /// The codec whose files have this extension, in any case.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| extension.eq_ignore_ascii_case(codec.extension()))
    }

    /// The highest level. Zstandard has levels up to 22; from 20 on, readers need more memory than they allow by default.
    #[must_use]
    pub fn max_level(self) -> u8 {
        match self {
            Self::Gzip => 9,
            Self::Zstd => 19,
        }
    }

    /// Why a level is not one of this codec, and a hint; `None` if it is.
    #[must_use]
    pub(crate) fn refusal_of(self, level: u8) -> Option<(String, String)> {
        let most = self.max_level();
        let is_level = (1..=most).contains(&level);
        (!is_level).then(|| {
            (format!("{level} is not a level of {self}"), format!("write a number from 1 to {most}"))
        })
    }

    /// The compression at this level, or at that of the codec's own tool.
    #[must_use]
    pub fn at(self, level: Option<u8>) -> Compression {
        match self {
            Self::Gzip => Compression::Gzip(level.unwrap_or(6)),
            Self::Zstd => Compression::Zstd(level.unwrap_or(3)),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Compression {
    /// The compression without its level.
    #[must_use]
    pub fn codec(self) -> Codec {
        match self {
            Self::Gzip(_) => Codec::Gzip,
            Self::Zstd(_) => Codec::Zstd,
        }
    }
}

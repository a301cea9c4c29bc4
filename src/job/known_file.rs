//! What a file was found to be, by which it is known again after a crash without asking any clock: noted by `state`,
//! looked at and compared by `output`.

use serde::{Deserialize, Serialize};

/// One file as it was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// The number of its device.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its size.
    pub bytes: u64,
    /// The seconds and nanoseconds of its last write, only ever compared for being the same.
    pub modified: (i64, i64),
}

impl FileIdentity {
    /// Whether it is the file that was `noted`. Where the file system gives other numbers after a remount, `by_number`
    /// is false, and its size and last write tell.
    #[must_use]
    pub fn is(&self, noted: &Self, by_number: bool) -> bool {
        let is_same = (self.bytes, self.modified) == (noted.bytes, noted.modified);
        is_same && (!by_number || (self.device, self.inode) == (noted.device, noted.inode))
    }
}

/// What was known of an output when it was about to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFiles {
    /// Its stage.
    pub stage: FileIdentity,
    /// What stood in its place; none where nothing did.
    pub former: Option<FileIdentity>,
}

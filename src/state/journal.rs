//! The notes of a run that has not ended. The next run finds by them what this one left behind.

use serde::{Deserialize, Serialize};

use crate::job::RecoveryData;

/// What a run left behind when it was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Stages that may still exist.
    #[serde(default)]
    pub stages: Vec<RecoveryData>,
    /// A publish of several files that may have been interrupted between two of them.
    #[serde(default)]
    pub intent: Option<RecoveryData>,
}

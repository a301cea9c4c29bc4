//! What a job exports incrementally: which records count as changed, and what becomes of deleted ones.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::Schedule;

/// The settings of a job whose runs export what has changed since the last one.
#[derive(Debug, Clone)]
pub struct Incremental {
    /// The field that says when a record last changed; `None`: the object's own, which its description tells.
    pub field: Option<String>,
    /// How far behind the org's clock the mark stays, because a transaction may commit long after it has set the stamps of its
    /// records.
    pub lag: Duration,
    /// How deleted records are reported.
    pub deletes: Deletes,
    /// When a full run is due; `None`: only the first run, and those that there is a reason for.
    pub full: Option<Schedule>,
    /// What a run does if nothing has changed.
    pub empty: EmptyRuns,
}

impl Incremental {
    /// The fields that an object may have for this, the best first.
    pub const STAMPS: [&str; 4] = ["SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime"];

    /// The fields that an object's export may have in addition to those that the job selects.
    #[must_use]
    pub fn added_columns(&self) -> Vec<&str> {
        let stamps = match &self.field {
            Some(field) => vec![field.as_str()],
            None => Self::STAMPS.to_vec(),
        };
        let is_deleted = self.includes_deleted().then_some("IsDeleted");
        ["Id"].into_iter().chain(stamps).chain(is_deleted).collect()
    }

    /// Whether a run asks for deleted and archived records too (queryAll), whatever the job's `all_rows` says.
    #[must_use]
    pub fn includes_deleted(&self) -> bool {
        self.deletes == Deletes::Rows
    }
}

/// Whether a field never changes after its record was created, so the stamps of records that have been exported never move.
#[must_use]
pub fn is_fixed_stamp(field: &str) -> bool {
    ["CreatedDate", "LoginTime"].iter().any(|fixed| field.eq_ignore_ascii_case(fixed))
}

/// How an incremental export reports deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// As records whose `IsDeleted` is true, as long as they are in the recycle bin.
    #[default]
    Rows,
    /// As Ids in a file beside the main one, also if they were deleted for good.
    Ids,
    /// Not at all.
    None,
}

impl Deletes {
    /// Its name, as the configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Ids => "ids",
            Self::None => "none",
        }
    }
}

/// What a run of changes does if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EmptyRuns {
    /// It publishes a file without records.
    #[default]
    Publish,
    /// It publishes nothing.
    Skip,
}

/// What an incremental export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// All records.
    Full,
    /// The records that have changed since the last run.
    Changes,
}

impl ExportKind {
    /// Its name, as paths and reports spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Changes => "changes",
        }
    }
}

impl fmt::Display for ExportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::is_fixed_stamp;

    #[test]
    fn a_creation_or_login_never_changes_its_time() {
        assert!(
            is_fixed_stamp("createddate") && is_fixed_stamp("LoginTime") && !is_fixed_stamp("SystemModstamp")
        );
    }
}

//! How far an incremental export has come: every record whose stamp is at most the mark has been delivered.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of an incremental export after its last successful run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Every record whose stamp is at most this has been delivered in its latest version.
    pub mark: Timestamp,
    /// From when on deleted Ids are asked for next, a whole minute; `None` unless the job reports deletes by Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes_mark: Option<Timestamp>,
    /// The field that the mark is about.
    pub field: String,
    /// The id of the org, of 18 characters. Another org has other records.
    pub org_id: String,
    /// A digest of what the job asks for. Another query has other records.
    pub fingerprint: String,
    /// The columns that have been delivered, by their names in the query.
    pub columns: Vec<String>,
    /// When the last full run began, by this machine's clock.
    pub full_started: Timestamp,
    /// How many seconds the org's clock was ahead of this machine's at the last run.
    #[serde(default)]
    pub org_ahead_seconds: i64,
    /// Whether all deletes since the last full run have been reported: the org's log of deletes may be purged early.
    #[serde(default = "complete")]
    pub deletes_complete: bool,
}

fn complete() -> bool {
    true
}

//! What version 0.1 left in the state directory. It knew one org per job, so its files are named after the job alone:
//! `unfinished/JOB.json`, `columns/JOB.json`, `marks/JOB.json`, `locks/JOB.lock`. The first run of the job, and the first
//! daemon, convert them. The names of current files contain an `@`, which job names cannot, so they never collide.

use serde::Deserialize;
use serde_json::Value;

use super::journal::JournalEntry;
use crate::job::{JobName, RecoveryData};

/// The directory of 0.1's journals.
pub(super) const UNFINISHED: &str = "unfinished";

/// The name of 0.1's document of a kind.
pub(super) fn name(kind: &str, job: &JobName) -> String {
    format!("{kind}/{job}.json")
}

/// The job of a document of version 0.1; `None` for any other name.
pub(super) fn job_of(name: &str) -> Option<JobName> {
    let (_, file) = name.split_once('/')?;
    JobName::parse(file.strip_suffix(".json")?).ok()
}

/// The journal of version 0.1. The data of its stages and of its intent was written by `output`, which can still read it.
#[derive(Debug, Deserialize)]
pub(super) struct Unfinished {
    #[serde(default)]
    stages: Vec<Value>,
    #[serde(default)]
    intent: Option<Value>,
}

impl Unfinished {
    /// The same as entries.
    pub(super) fn into_entries(self) -> Vec<JournalEntry> {
        let stages = self.stages.into_iter().map(RecoveryData::new).collect::<Vec<_>>();
        let stages = (!stages.is_empty()).then_some(JournalEntry::Stages { stages });
        let intent = self.intent.map(|intent| JournalEntry::Publish {
            intent: RecoveryData::new(intent),
            after: None,
            watermark: None,
        });
        stages.into_iter().chain(intent).collect()
    }
}

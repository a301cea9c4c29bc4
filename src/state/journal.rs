//! The journal of an export's unfinished runs, which the next run uses to clean up after them. `output` knows what the
//! data of an entry means. An entry of an unknown kind belongs to a later version and is never dropped.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::StateError;
use super::watermarks::Watermark;
use crate::job::RecoveryData;
use crate::report::RunReport;

/// What a run records before it does something that may need recovery. Kinds can be added; a version that does not
/// know a kind rejects the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JournalEntry {
    /// Stages that may exist.
    Stages {
        /// How each is removed.
        stages: Vec<RecoveryData>,
    },
    /// Outputs that are published together. A crash may happen between any two of them.
    Publish {
        /// How to finish publishing.
        intent: RecoveryData,
        /// The report for the command that runs once they are published; `None` if there is no command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Box<RunReport>>,
        /// How far an incremental export has come once they are published; `None` if that does not move.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watermark: Option<Box<Watermark>>,
    },
    /// A query job in the org, which is removed once it has served.
    QueryJob {
        /// The API version that it is asked for by.
        api_version: String,
        /// Its id; `None` until the org has given it one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// A command that has not succeeded yet. Its export is published.
    After {
        /// The report for the command.
        report: Box<RunReport>,
    },
}

/// A publish that a run began and may not have finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent<'a> {
    /// How to finish it.
    pub data: &'a RecoveryData,
    /// The report for the command that runs once it is finished.
    pub after: Option<&'a RunReport>,
    /// How far the export has come once it is finished.
    pub watermark: Option<&'a Watermark>,
}

/// What earlier runs, whose processes have died, did not finish.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Journal {
    entries: Vec<JournalEntry>,
}

impl Journal {
    pub(super) fn new(entries: Vec<JournalEntry>) -> Self {
        Self { entries }
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[JournalEntry] {
        &self.entries
    }

    /// The same, to be changed.
    pub(super) fn into_entries(self) -> Vec<JournalEntry> {
        self.entries
    }

    /// Whether there is nothing to recover.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The publishes to finish before any stage is removed.
    pub fn intents(&self) -> impl Iterator<Item = Intent<'_>> {
        self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::Publish { intent, after, watermark } => {
                Some(Intent { data: intent, after: after.as_deref(), watermark: watermark.as_deref() })
            }
            _ => None,
        })
    }

    /// The reports for commands that have not succeeded yet, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &RunReport> {
        self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::After { report } => Some(report.as_ref()),
            _ => None,
        })
    }

    /// The query jobs that may still be in the org: the API version of each, and its id if it is known.
    pub fn query_jobs(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.entries.iter().filter_map(|entry| match entry {
            JournalEntry::QueryJob { api_version, id } => Some((api_version.as_str(), id.as_deref())),
            _ => None,
        })
    }

    /// The stages to remove.
    pub fn stages(&self) -> impl Iterator<Item = &RecoveryData> {
        self.entries.iter().flat_map(|entry| match entry {
            JournalEntry::Stages { stages } => stages.as_slice(),
            _ => &[],
        })
    }
}

/// The entries of a journal as stored. Each is read separately, so an entry of a later version does not hide the others.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RawEntries(Vec<Value>);

impl RawEntries {
    /// Adds an entry, unless it is already there.
    pub(super) fn add(&mut self, entry: &JournalEntry) -> Result<(), serde_json::Error> {
        let entry = serde_json::to_value(entry)?;
        if !self.0.contains(&entry) {
            self.0.push(entry);
        }
        Ok(())
    }

    /// All entries, if all of them are known; `path` is for the error.
    pub(super) fn all(self, path: &Path) -> Result<Journal, StateError> {
        let read = self.0.into_iter().map(|entry| {
            let kind = entry.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            serde_json::from_value(entry)
                .map_err(|_| StateError::UnknownEntry { path: path.to_owned(), kind })
        });
        Ok(Journal::new(read.collect::<Result<_, _>>()?))
    }

    /// The entries of known kinds.
    pub(super) fn known(self) -> Journal {
        Journal::new(self.0.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::super::error::StateError;
    use super::{Intent, JournalEntry, RawEntries, RecoveryData};

    fn raw(entries: serde_json::Value) -> RawEntries {
        serde_json::from_value(entries).unwrap()
    }

    #[test]
    fn an_entry_is_json_of_its_kind() {
        let stages = json!({"kind": "stages", "stages": [{"path": "/x/.s.partial"}]});
        let publish = json!({"kind": "publish", "intent": {"if_exists": "fail"}});
        let mut written = RawEntries::default();
        for entry in [
            JournalEntry::Stages { stages: vec![RecoveryData::new(json!({"path": "/x/.s.partial"}))] },
            JournalEntry::Publish {
                intent: RecoveryData::new(json!({"if_exists": "fail"})),
                after: None,
                watermark: None,
            },
        ] {
            written.add(&entry).unwrap();
            written.add(&entry).unwrap();
        }
        assert_eq!(written, raw(json!([stages, publish])), "each once");
        let read = written.all(Path::new("x")).unwrap();
        assert_eq!(read.stages().collect::<Vec<_>>(), [&RecoveryData::new(json!({"path": "/x/.s.partial"}))]);
        let intent = RecoveryData::new(json!({"if_exists": "fail"}));
        let unfinished = Intent { data: &intent, after: None, watermark: None };
        assert_eq!(read.intents().collect::<Vec<_>>(), [unfinished]);
    }

    #[test]
    fn entries_and_fields_of_later_versions_are_refused() {
        let known = json!({"kind": "stages", "stages": []});
        let later_watermark = json!({
            "mark": "2026-11-22T01:00:00Z", "field": "SystemModstamp", "org_id": "00D", "fingerprint": "1",
            "columns": ["Id"], "full_started": "2026-11-22T01:00:00Z", "slices": [],
        });
        for (later, unknown) in [
            (json!({"kind": "bulk_job", "id": "750"}), "bulk_job"),
            (json!({"kind": "publish", "intent": {}, "bodies": []}), "publish"),
            (json!({"kind": "publish", "intent": {}, "watermark": later_watermark}), "publish"),
            (json!({"stages": []}), ""),
            (json!("words"), ""),
        ] {
            let entries = || raw(json!([known, later, known]));
            assert_eq!(entries().known().entries().len(), 2);
            match entries().all(Path::new("j")) {
                Err(StateError::UnknownEntry { kind, .. }) => assert_eq!(kind, unknown),
                other => panic!("{other:?}"),
            }
        }
    }
}

//! How far an incremental export has come: every record whose stamp is at most the mark has been delivered. A mark that
//! cannot be read ends a run: without it the run could only guess what to export.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::StateError;
use super::journal::JournalEntry;
use super::store::When;
use super::{JobLock, State, names};
use crate::job::{ExportKey, Job, ObjectName};

pub(super) const WATERMARKS: &str = "watermarks";

/// What is known of an incremental export after its last successful run. A version that meets a field it does not know
/// rejects the watermark, so a field that changes what the others mean can be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Whether a purged log of deletes has made a run a full one since the last full run that was due by itself.
    #[serde(default)]
    pub full_forced: bool,
}

fn complete() -> bool {
    true
}

impl Watermark {
    /// How far the mark is behind the org's clock, estimated from this machine's.
    #[must_use]
    pub fn behind(&self, now: Timestamp) -> SignedDuration {
        behind(self.mark, self.org_ahead_seconds, now)
    }
}

fn behind(mark: Timestamp, org_ahead_seconds: i64, now: Timestamp) -> SignedDuration {
    now.duration_since(mark).saturating_add(SignedDuration::from_secs(org_ahead_seconds))
}

/// How far a job has come; of a set, the object that is furthest behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobMark {
    /// The mark.
    pub mark: Timestamp,
    /// The object that it is of, if the job is a set.
    pub object: Option<ObjectName>,
    /// How many objects have a mark.
    pub objects: usize,
    /// Whether all deletes since the last full run have been reported, of every object.
    pub deletes_complete: bool,
    org_ahead_seconds: i64,
}

impl JobMark {
    fn new(watermark: &Watermark, object: Option<ObjectName>) -> Self {
        let &Watermark { mark, org_ahead_seconds, deletes_complete, .. } = watermark;
        Self { mark, object, objects: 1, deletes_complete, org_ahead_seconds }
    }

    /// The same with one more object.
    fn with(self, other: Self) -> Self {
        let objects = self.objects + other.objects;
        let deletes_complete = self.deletes_complete && other.deletes_complete;
        // Which is further behind does not depend on the time.
        let now = Timestamp::UNIX_EPOCH;
        let furthest = if other.behind(now) > self.behind(now) { other } else { self };
        Self { objects, deletes_complete, ..furthest }
    }

    /// How far the mark is behind the org's clock, estimated from this machine's.
    #[must_use]
    pub fn behind(&self, now: Timestamp) -> SignedDuration {
        behind(self.mark, self.org_ahead_seconds, now)
    }
}

impl State {
    /// How far the key's export has come; `None` before its first successful run, and after a reset.
    ///
    /// # Errors
    /// If it cannot be read. [`StateError::DamagedWatermark`] tells how to start again.
    pub fn watermark_of(&self, key: &ExportKey) -> Result<Option<Watermark>, StateError> {
        match self.kept(WATERMARKS, key) {
            Ok(kept) => Ok(kept.map(|(watermark, _)| watermark)),
            Err(StateError::Damaged { path, source }) => {
                Err(StateError::DamagedWatermark { key: key.clone(), path, source })
            }
            Err(error) => Err(error),
        }
    }

    /// The objects of a set that have a watermark, in alphabetical order.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn marked_objects(&self, set: &ExportKey) -> Result<Vec<ObjectName>, StateError> {
        self.objects_with(WATERMARKS, set)
    }

    /// How far a job has come; of a set, the object that is furthest behind. `None` if the job is not incremental, or has no
    /// mark yet.
    ///
    /// # Errors
    /// If a watermark cannot be read.
    pub fn job_mark(&self, job: &Job) -> Result<Option<JobMark>, StateError> {
        if job.incremental.is_none() {
            return Ok(None);
        }
        let key = job.key();
        let Some(set) = job.set() else {
            let watermark = self.watermark_of(&key)?;
            return Ok(watermark.as_ref().map(|watermark| JobMark::new(watermark, None)));
        };
        let mut furthest: Option<JobMark> = None;
        let mut objects = self.marked_objects(&key)?;
        // Marks of objects that are no longer exported stay in the directory, but are not shown.
        objects.retain(|object| set.includes(object.as_str()).is_some());
        for object in objects {
            let Some(watermark) = self.watermark_of(&key.clone().of_object(object.clone()))? else {
                continue;
            };
            let mark = JobMark::new(&watermark, Some(object));
            furthest = Some(match furthest {
                Some(known) => known.with(mark),
                None => mark,
            });
        }
        Ok(furthest)
    }

    /// Records how far the key's export has come. It is on disk when the call returns.
    ///
    /// # Errors
    /// If it cannot be written; the previous watermark stays.
    pub fn set_watermark(&self, lock: &JobLock, watermark: &Watermark) -> Result<(), StateError> {
        self.keep(WATERMARKS, lock.key(), watermark, When::Always)
    }

    /// Removes the watermark, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_watermark(&self, lock: &JobLock) -> Result<(), StateError> {
        self.store.delete(&names::document(WATERMARKS, lock.key()))
    }

    /// Makes publishes that are not finished leave the watermark where it is when they are: somebody is about to move it by
    /// hand. Their records come again then, at worst.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub fn release_watermark(&self, lock: &JobLock) -> Result<(), StateError> {
        let mut entries = self.journal(lock)?.into_entries();
        let mut is_held = false;
        for entry in &mut entries {
            if let JournalEntry::Publish { watermark, .. } = entry {
                is_held |= watermark.take().is_some();
            }
        }
        if is_held { self.rewrite(lock, &entries) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::Timestamp;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::{JobMark, State, StateError, Watermark};
    use crate::error::{Exit, Failure};
    use crate::job::{ExportKey, JobName, ObjectName, RecoveryData};
    use crate::org::OrgName;
    use crate::state::{Intent, JournalEntry};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn key(job: &str) -> ExportKey {
        ExportKey::new(JobName(job.to_owned()), OrgName::default_org())
    }

    fn of_object(object: &str) -> ExportKey {
        key("backup").of_object(ObjectName::parse(object).unwrap())
    }

    fn watermark(mark: &str) -> Watermark {
        Watermark {
            mark: at(mark),
            deletes_mark: Some(at("2026-11-22T00:44:00Z")),
            field: "SystemModstamp".to_owned(),
            org_id: "00D000000000001EAA".to_owned(),
            fingerprint: "1f2e".to_owned(),
            columns: vec!["Id".to_owned(), "Name".to_owned()],
            full_started: at("2026-11-20T01:00:00Z"),
            org_ahead_seconds: -3,
            deletes_complete: false,
            full_forced: false,
        }
    }

    fn open(dir: &TempDir) -> State {
        State::open(&dir.path().join("state")).unwrap()
    }

    fn file(dir: &TempDir) -> std::path::PathBuf {
        dir.path().join("state/watermarks/accounts@default.json")
    }

    fn edit(path: &Path, edit: impl FnOnce(&mut Value)) {
        let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        edit(&mut document);
        fs::write(path, document.to_string()).unwrap();
    }

    #[test]
    fn a_watermark_stays_until_it_is_moved_or_removed() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let lock = state.lock_job(&key("accounts")).unwrap();
        assert_eq!(state.watermark_of(lock.key()).unwrap(), None);
        for mark in ["2026-11-22T00:45:00Z", "2026-11-21T00:45:00.5Z"] {
            state.set_watermark(&lock, &watermark(mark)).unwrap();
            assert_eq!(open(&dir).watermark_of(lock.key()).unwrap(), Some(watermark(mark)));
        }
        assert_eq!(state.watermark_of(&key("contacts")).unwrap(), None);
        state.remove_watermark(&lock).unwrap();
        state.remove_watermark(&lock).unwrap();
        assert_eq!(state.watermark_of(lock.key()).unwrap(), None);
    }

    #[test]
    fn an_older_watermark_is_read_and_a_later_one_rejected() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let lock = state.lock_job(&key("accounts")).unwrap();
        state.set_watermark(&lock, &watermark("2026-11-22T00:45:00Z")).unwrap();
        edit(&file(&dir), |document| {
            let content = document["content"].as_object_mut().unwrap();
            for optional in ["deletes_mark", "org_ahead_seconds", "deletes_complete"] {
                content.remove(optional).unwrap();
            }
        });
        let read = state.watermark_of(lock.key()).unwrap().unwrap();
        assert_eq!((read.deletes_mark, read.org_ahead_seconds, read.deletes_complete), (None, 0, true));
        edit(&file(&dir), |document| document["content"]["slices"] = json!([]));
        let error = state.watermark_of(lock.key()).unwrap_err();
        assert!(matches!(error, StateError::DamagedWatermark { .. }), "{error:?}");
    }

    #[test]
    fn a_damaged_watermark_is_neither_guessed_nor_forgotten() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let lock = state.lock_job(&key("accounts")).unwrap();
        for damage in ["", "{", "{\"job\":\"accounts\",\"org\":\"default\",\"content\":{}}", "null"] {
            fs::write(file(&dir), damage).unwrap();
            let failure = Failure::from(state.watermark_of(lock.key()).unwrap_err());
            assert_eq!(failure.exit, Exit::Output, "{damage:?}");
            assert!(failure.hint.unwrap().contains("sfexport watermark accounts --reset"), "{damage:?}");
            assert_eq!(fs::read_to_string(file(&dir)).unwrap(), damage);
        }
        state.remove_watermark(&lock).unwrap();
        assert_eq!(state.watermark_of(lock.key()).unwrap(), None);
    }

    #[test]
    fn the_marked_objects_of_a_set_are_listed_damaged_ones_too() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let long = "n".repeat(250);
        for key in [key("accounts"), of_object("Contact"), of_object("Account"), of_object(&long)] {
            let lock = state.lock_job(&key).unwrap();
            state.set_watermark(&lock, &watermark("2026-11-22T00:45:00Z")).unwrap();
        }
        fs::write(dir.path().join("state/watermarks/backup@default@Contact.json"), "{").unwrap();
        let objects = state.marked_objects(&key("backup")).unwrap();
        assert_eq!(objects.iter().map(ObjectName::as_str).collect::<Vec<_>>(), ["Account", "Contact", &long]);
        assert_eq!(state.marked_objects(&key("accounts")).unwrap(), []);
        assert_eq!(
            State::at(&dir.path().join("nowhere")).unwrap().marked_objects(&key("backup")).unwrap(),
            []
        );
    }

    #[test]
    fn a_mark_is_behind_the_orgs_clock_not_this_machines() {
        let now = at("2026-11-22T01:00:00Z");
        let watermark = |ahead| Watermark { org_ahead_seconds: ahead, ..watermark("2026-11-22T00:45:00Z") };
        assert_eq!(watermark(0).behind(now).as_secs(), 900);
        assert_eq!(watermark(60).behind(now).as_secs(), 960);
        assert_eq!(watermark(-1_000).behind(now).as_secs(), -100);
        assert_eq!(watermark(i64::MAX).behind(now).as_secs(), i64::MAX);
    }

    #[test]
    fn a_set_is_as_far_as_its_furthest_object_behind() {
        let object = |name: &str| Some(ObjectName::parse(name).unwrap());
        let mark = |mark: &str, ahead, complete, name| {
            let watermark =
                Watermark { org_ahead_seconds: ahead, deletes_complete: complete, ..watermark(mark) };
            JobMark::new(&watermark, object(name))
        };
        let all = mark("2026-11-22T00:45:00Z", 0, true, "Account")
            // Behind by a minute more, because its org is an hour ahead.
            .with(mark("2026-11-22T01:44:00Z", 3_600, true, "Contact"))
            .with(mark("2026-11-22T00:46:00Z", 0, false, "Task"));
        assert_eq!((all.object.clone(), all.objects, all.deletes_complete), (object("Contact"), 3, false));
        assert_eq!(all.behind(at("2026-11-22T01:00:00Z")).as_secs(), 960);
    }

    #[test]
    fn a_mark_moved_by_hand_is_not_moved_back_by_a_publish() {
        let dir = TempDir::new().unwrap();
        let state = open(&dir);
        let lock = state.lock_job(&key("accounts")).unwrap();
        let intent = RecoveryData::new(json!({"if_exists": "fail"}));
        let mark = watermark("2026-11-22T00:45:00Z");
        let publish = JournalEntry::Publish {
            intent: intent.clone(),
            after: None,
            watermark: Some(Box::new(mark.clone())),
        };
        state.note(&lock, &publish).unwrap();
        let unfinished = Intent { data: &intent, after: None, watermark: Some(&mark) };
        assert!(state.journal(&lock).unwrap().intents().eq([unfinished]));
        for _ in 0..2 {
            state.release_watermark(&lock).unwrap();
            let journal = state.journal(&lock).unwrap();
            assert!(journal.intents().eq([Intent { watermark: None, ..unfinished }]));
        }
    }
}

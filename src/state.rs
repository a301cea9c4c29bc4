//! State between runs: locks, journals of unfinished runs, schedule marks, columns, watermarks and the history. `export` and
//! `daemon` decide what to do with it. Nothing here touches an output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Digests;
use crate::job::{ExportKey, JobName, Location, ObjectName, RecoveryData};
use crate::org::OrgName;
use crate::report::RunReport;
use crate::report::manifest::ManifestColumn;
use crate::salesforce::bulk::job::QueryJob;
use crate::schedule::Mark;

mod error;
mod history;
mod journal;
mod legacy;
mod lock;
mod names;
mod owner;
mod refusals;
mod store;
mod watermarks;

pub use error::{LockError, LockTarget, StateError};
pub use history::{History, HistoryEnd};
pub use journal::{Intent, Journal, JournalEntry};
pub use lock::Lock;
pub use refusals::BulkRefusal;
pub use watermarks::{JobMark, Watermark};

use journal::RawEntries;
use lock::Mode;
use refusals::REFUSALS;
pub(crate) use store::hash;
use store::{Document, LocalStore, Store, Version, When};
use watermarks::WATERMARKS;

const JOURNAL: &str = "journal";
const MARKS: &str = "marks";
const COLUMNS: &str = "columns";
const FIELDS: &str = "fields";
const FILE_COLUMNS: &str = "file_columns";
const LOADED: &str = "loaded.json";
const LAST_API: &str = "last_api";

/// The state directory.
///
/// ```text
/// runs.jsonl            the history, one run report per line
/// runs.lock             held while the history is appended to or pruned
/// daemon.lock           held by the daemon
/// locks/KEY.lock        held while a job runs against an org
/// locks/JOB.lock        shared by a job's runs; version 0.1 takes it exclusively
/// locks/outputs/HASH    held while an output is written
/// journal/KEY.json      what is needed to recover an unfinished run
/// marks/KEY.json        how far the job's schedule has come
/// columns/KEY.json      the columns of the last successful run
/// fields/KEY.json       the order of an object's fields, including removed ones
/// watermarks/KEY.json   how far an incremental export has come
/// file_columns/KEY.json the names and types of the columns in the file of a set's object
/// last_api/KEY.json     the API of the last successful run, if it was Bulk API 2.0
/// bulk_refusals/ORG.json what Bulk API 2.0 refused lately
/// loaded.json           the files that the daemon read its configuration from
/// ```
///
/// KEY is `JOB@ORG`, with `@OBJECT` for one export of a set. Locks are held by the kernel on open files, so the existence
/// and the content of a lock file mean nothing. All calls block on the disk, usually for a few milliseconds.
#[derive(Debug, Clone)]
pub struct State {
    directory: PathBuf,
    store: Arc<dyn Store>,
}

/// The lock on one key, held until it is dropped. Operations that only the job's own run may perform require it.
#[derive(Debug)]
pub struct JobLock {
    key: ExportKey,
    _lock: Lock,
    /// Prevents processes of version 0.1 from running the job. All objects of a set share it.
    _of_0_1: Option<Lock>,
}

impl JobLock {
    /// The locked key.
    #[must_use]
    pub fn key(&self) -> &ExportKey {
        &self.key
    }
}

/// A document with its key. The file's name has the key too, but is cut if it is too long.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    job: String,
    org: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    content: T,
}

impl<T> Kept<T> {
    fn new(key: &ExportKey, content: T) -> Self {
        let object = key.object().map(ToString::to_string);
        Self { job: key.job().to_string(), org: key.org().to_string(), object, content }
    }

    fn key(&self) -> Option<ExportKey> {
        let key = ExportKey::new(JobName::parse(&self.job).ok()?, OrgName::parse(&self.org).ok()?);
        match &self.object {
            Some(object) => Some(key.of_object(ObjectName::parse(object).ok()?)),
            None => Some(key),
        }
    }
}

impl State {
    /// The state in `directory`. If it is missing, it is created with mode 0700, because the history contains responses of
    /// orgs. To share it, create it with another mode first.
    ///
    /// # Errors
    /// If it cannot be created or written to.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let state = Self::at(directory)?;
        if let Some(parent) = state.directory.parent() {
            make_directories(parent)?;
        }
        state.create()?;
        // This way a run fails before it begins, not when it has a report to write.
        history::probe(&state.directory)?;
        state.subdirectories().try_for_each(|directory| writable(&directory))?;
        Ok(state)
    }

    /// Creates the directory and its subdirectories if they are missing, because somebody may delete them at any time. The
    /// directories above it are not created: if they are gone too, so is the deployment.
    ///
    /// # Errors
    /// If one of them cannot be created.
    pub fn create(&self) -> Result<(), StateError> {
        // Only the directory itself is private, since exports may be next to it.
        make_directory(&self.directory, 0o700)?;
        self.subdirectories().try_for_each(|directory| make_directory(&directory, 0o777))
    }

    /// Its subdirectories, each after the one that contains it.
    fn subdirectories(&self) -> impl Iterator<Item = PathBuf> {
        let locks = ["locks", "locks/outputs"];
        let documents = [JOURNAL, MARKS, COLUMNS, FIELDS, WATERMARKS, FILE_COLUMNS, LAST_API, REFUSALS];
        locks.into_iter().chain(documents).map(|name| self.directory.join(name))
    }

    /// Runs `work`, and once more after recreating the directory if it has been deleted.
    fn in_directory<T>(&self, work: impl Fn() -> Result<T, StateError>) -> Result<T, StateError> {
        match work() {
            Err(error) if error.is_missing() => {
                self.create()?;
                work()
            }
            done => done,
        }
    }

    /// The state in `directory` for reading. Nothing is created, and missing files are treated as empty.
    ///
    /// # Errors
    /// If a relative `directory` has nothing to be relative to.
    pub fn at(directory: &Path) -> Result<Self, StateError> {
        let absolute = std::path::absolute(directory).map_err(StateError::io("cannot resolve", directory))?;
        Ok(Self { store: Arc::new(LocalStore::new(absolute.clone())), directory: absolute })
    }

    /// Locks a key for one run. The key of an object is locked in addition to that of its whole job.
    ///
    /// # Errors
    /// [`LockError::Held`] if it is already running, in this process or another.
    pub fn lock_job(&self, key: &ExportKey) -> Result<JobLock, LockError> {
        let target = || LockTarget::Job(key.clone());
        // Only one run at a time may convert the job's files of version 0.1, whatever its org.
        let legacy = [legacy::UNFINISHED, COLUMNS].map(|kind| legacy::name(kind, key.job()));
        let is_legacy = legacy.iter().any(|name| self.store.location(name).symlink_metadata().is_ok());
        let mode = if is_legacy { Mode::Exclusive } else { Mode::Shared };
        let locks = self.directory.join("locks");
        let take = || -> Result<JobLock, LockError> {
            let of_0_1 = match key.object() {
                None => Some(lock::try_lock(&locks.join(format!("{}.lock", key.job())), mode, target)?),
                Some(_) => None,
            };
            let path = locks.join(format!("{}.lock", names::stem(key)));
            let lock = lock::try_lock(&path, Mode::Exclusive, target)?;
            Ok(JobLock { key: key.clone(), _lock: lock, _of_0_1: of_0_1 })
        };
        match take() {
            // The directory has been deleted since it was opened.
            Err(error) if error.is_missing() && self.create().is_ok() => take(),
            taken => taken,
        }
    }

    /// Locks an output, so two jobs with the same path cannot write it at once.
    ///
    /// # Errors
    /// [`LockError::Held`] if another run is writing it.
    pub fn lock_output(&self, output: &Location) -> Result<Lock, LockError> {
        let path = self.output_lock(output);
        let lock = lock::try_lock(&path, Mode::Exclusive, || LockTarget::Output(output.clone()))?;
        // A file for each path would mean a new file every night if the path contains the date.
        Ok(lock.removed_at_end())
    }

    /// Whether `lock` is the lock of this output from [`State::lock_output`].
    #[must_use]
    pub fn is_lock_of(&self, lock: &Lock, output: &Location) -> bool {
        lock.is_at_path(&self.output_lock(output))
    }

    /// Locks the state directory for a daemon. There can be only one.
    ///
    /// # Errors
    /// [`LockError::Held`] if another daemon uses it.
    pub fn lock_daemon(&self) -> Result<Lock, LockError> {
        let path = self.directory.join("daemon.lock");
        let lock = || lock::try_lock(&path, Mode::Exclusive, || LockTarget::Daemon(self.directory.clone()));
        for _ in 0..5 {
            match lock() {
                // A process that checks for a daemon holds it for a moment.
                Err(LockError::Held { .. }) => std::thread::sleep(Duration::from_millis(10)),
                tried => return tried,
            }
        }
        lock()
    }

    /// Whether a daemon uses it. Nothing is created or written.
    ///
    /// # Errors
    /// If the lock cannot be checked.
    pub fn has_daemon(&self) -> Result<bool, LockError> {
        lock::is_held(&self.directory.join("daemon.lock"))
    }

    /// Records what the next run must know if this one dies. It is on disk when the call returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&self, lock: &JobLock, entry: &JournalEntry) -> Result<(), StateError> {
        let (mut entries, version) = self.entries(lock.key())?;
        let path = self.store.location(&names::document(JOURNAL, lock.key()));
        entries.add(entry).map_err(|source| StateError::Damaged { path, source })?;
        self.write_entries(lock, &entries, version.as_ref())
    }

    /// What earlier runs of the key did not finish. They are all dead, because its lock is held. Files of version 0.1 are
    /// converted.
    ///
    /// # Errors
    /// If it cannot be read, and [`StateError::UnknownEntry`] if a later version recorded something unknown.
    pub fn journal(&self, lock: &JobLock) -> Result<Journal, StateError> {
        self.carry_over(lock)?;
        let path = self.store.location(&names::document(JOURNAL, lock.key()));
        self.entries(lock.key())?.0.all(&path)
    }

    /// The publishes that runs of other keys did not finish, with their keys: a job may have been renamed, or its output
    /// moved. Journals that cannot be read are left to their own job.
    ///
    /// # Errors
    /// If the journals cannot be listed.
    pub fn intents_of_others(&self, own: &JobLock) -> Result<Vec<(ExportKey, RecoveryData)>, StateError> {
        let mut found = Vec::new();
        for name in self.store.list(JOURNAL)? {
            let kept: Option<Kept<RawEntries>> = self.read(&name).ok().flatten().map(|(kept, _)| kept);
            let Some((kept, key)) = kept.and_then(|kept| kept.key().map(|key| (kept, key))) else { continue };
            if key != *own.key() {
                found.extend(kept.content.known().intents().map(|intent| (key.clone(), intent.data.clone())));
            }
        }
        for name in self.store.list(legacy::UNFINISHED)? {
            let Some(job) = legacy::job_of(&name) else { continue };
            let left: Option<legacy::Unfinished> = self.read(&name).ok().flatten().map(|(left, _)| left);
            let journal = Journal::new(left.map(legacy::Unfinished::into_entries).unwrap_or_default());
            // Version 0.1 did not record the org. The files are the same whichever run converts it.
            let key = ExportKey::new(job, own.key().org().clone());
            found.extend(journal.intents().map(|intent| (key.clone(), intent.data.clone())));
        }
        Ok(found)
    }

    /// The reports for commands that have not succeeded yet, oldest first.
    ///
    /// # Errors
    /// As for [`State::journal`].
    pub fn pending(&self, lock: &JobLock) -> Result<Vec<RunReport>, StateError> {
        Ok(self.journal(lock)?.pending().cloned().collect())
    }

    /// Whether a command of the job and org has not succeeded yet after an export for this time. For reading only: a run may
    /// be changing it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn has_pending(&self, key: &ExportKey, scheduled: Timestamp) -> Result<bool, StateError> {
        let journal = self.entries(key)?.0.known();
        Ok(journal.pending().any(|report| report.scheduled == Some(scheduled)))
    }

    /// Replaces what is noted of commands: from now on these have not succeeded yet, oldest first.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn set_pending(&self, lock: &JobLock, pending: &[RunReport]) -> Result<(), StateError> {
        let mut entries: Vec<_> = self.journal(lock)?.into_entries();
        entries.retain(|entry| !matches!(entry, JournalEntry::After { .. }));
        for entry in &mut entries {
            if let JournalEntry::Publish { after, .. } = entry {
                *after = None;
            }
        }
        entries.extend(pending.iter().map(|report| JournalEntry::After { report: Box::new(report.clone()) }));
        self.rewrite(lock, &entries)
    }

    /// Notes that the command after this published export has not succeeded yet. It takes the place of commands after
    /// earlier exports.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn note_exported(&self, lock: &JobLock, report: &RunReport) -> Result<(), StateError> {
        let mut entries = self.journal(lock)?.into_entries();
        entries.retain(|entry| !matches!(entry, JournalEntry::After { .. }));
        entries.push(JournalEntry::After { report: Box::new(report.clone()) });
        self.rewrite(lock, &entries)
    }

    /// Replaces what is noted of query jobs in the org: from now on these may still be there.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn set_query_jobs(&self, lock: &JobLock, jobs: &[QueryJob]) -> Result<(), StateError> {
        let mut entries: Vec<_> = self.journal(lock)?.into_entries();
        entries.retain(|entry| !matches!(entry, JournalEntry::QueryJob { .. }));
        entries.extend(jobs.iter().map(|QueryJob { id, api_version }| JournalEntry::QueryJob {
            id: Some(id.clone()),
            api_version: api_version.clone(),
        }));
        self.rewrite(lock, &entries)
    }

    /// Removes the records after everything is published, removed or discarded, except for the stages that `remain`,
    /// commands that are pending and query jobs that may still be in the org.
    ///
    /// # Errors
    /// If the journal cannot be removed or written.
    pub fn clear(&self, lock: &JobLock, remain: impl Fn(&RecoveryData) -> bool) -> Result<(), StateError> {
        let path = self.store.location(&names::document(JOURNAL, lock.key()));
        let journal = self.entries(lock.key())?.0.all(&path)?;
        let stages: Vec<_> = journal.stages().filter(|stage| remain(stage)).cloned().collect();
        let stages = (!stages.is_empty()).then_some(JournalEntry::Stages { stages });
        let stays = |entry: &JournalEntry| {
            matches!(entry, JournalEntry::After { .. } | JournalEntry::QueryJob { .. })
        };
        let pending = journal.into_entries().into_iter().filter(stays);
        self.rewrite(lock, &stages.into_iter().chain(pending).collect::<Vec<_>>())
    }

    /// Replaces the journal.
    fn rewrite(&self, lock: &JobLock, entries: &[JournalEntry]) -> Result<(), StateError> {
        let name = names::document(JOURNAL, lock.key());
        if entries.is_empty() {
            return self.store.delete(&name);
        }
        let (_, version) = self.entries(lock.key())?;
        let mut raw = RawEntries::default();
        for entry in entries {
            let damaged = |source| StateError::Damaged { path: self.store.location(&name), source };
            raw.add(entry).map_err(damaged)?;
        }
        self.write_entries(lock, &raw, version.as_ref())
    }

    /// Appends a run to the history. It is on disk when the call returns.
    ///
    /// # Errors
    /// If it cannot be written; the history is then as it was.
    pub fn append(&self, report: &RunReport) -> Result<(), StateError> {
        self.append_within(report, history::LOCK_PATIENCE)
    }

    /// The same, but waits no longer than `patience` if the history is locked.
    ///
    /// # Errors
    /// If it cannot be written; the history is then as it was.
    pub fn append_within(&self, report: &RunReport, patience: Duration) -> Result<(), StateError> {
        self.in_directory(|| history::append(&self.directory, report, patience))
    }

    /// The history, newest first, without a report that is being written or was cut short by a crash.
    ///
    /// # Errors
    /// If it cannot be opened; items are errors if it cannot be read.
    pub fn history(&self) -> Result<History, StateError> {
        Ok(self.history_since(HistoryEnd::default())?.0)
    }

    /// What was added to the history after an earlier reader opened it, newest first, and where it ends now. If the history
    /// has been pruned in between, all of it.
    ///
    /// # Errors
    /// As for [`State::history`].
    pub fn history_since(&self, since: HistoryEnd) -> Result<(History, HistoryEnd), StateError> {
        History::open(&self.directory, since)
    }

    /// Removes the runs that ended more than `keep` before `now`, except the last run of each key, and returns their number.
    ///
    /// # Errors
    /// If it cannot be rewritten; the history is then as it was.
    pub fn prune(&self, keep: Duration, now: Timestamp) -> Result<u64, StateError> {
        history::prune(&self.directory, keep, now)
    }

    /// The position in the job's schedule for this org, if it was ever marked.
    ///
    /// # Errors
    /// If the mark cannot be read.
    pub fn mark(&self, key: &ExportKey) -> Result<Option<Mark>, StateError> {
        match self.kept(MARKS, key)? {
            Some((mark, _)) => Ok(Some(mark)),
            None => Ok(self.read(&legacy::name(MARKS, key.job()))?.map(|(mark, _)| mark)),
        }
    }

    /// The marks of these keys, and why others could not be read.
    pub fn marks<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k ExportKey>,
    ) -> (BTreeMap<ExportKey, Mark>, Vec<StateError>) {
        let (mut marks, mut unread) = (BTreeMap::new(), Vec::new());
        for key in keys {
            match self.mark(key) {
                Ok(mark) => marks.extend(mark.map(|mark| (key.clone(), mark))),
                Err(error) => unread.push(error),
            }
        }
        (marks, unread)
    }

    /// Marks the position in the job's schedule. It is on disk when the call returns. Only for the daemon.
    ///
    /// # Errors
    /// If it cannot be written; the previous mark stays.
    pub fn set_mark(&self, key: &ExportKey, mark: &Mark) -> Result<(), StateError> {
        self.keep(MARKS, key, mark, When::Always)?;
        self.store.delete(&legacy::name(MARKS, key.job()))
    }

    /// Removes the mark, if there is one.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove_mark(&self, key: &ExportKey) -> Result<(), StateError> {
        self.store.delete(&names::document(MARKS, key))?;
        self.store.delete(&legacy::name(MARKS, key.job()))
    }

    /// Removes all marks except those of these keys.
    ///
    /// # Errors
    /// If they cannot be listed or removed.
    pub fn retain_marks<'k>(&self, keys: impl IntoIterator<Item = &'k ExportKey>) -> Result<(), StateError> {
        let keys = keys.into_iter();
        let kept: BTreeSet<_> =
            keys.flat_map(|key| [names::document(MARKS, key), legacy::name(MARKS, key.job())]).collect();
        let names = self.store.list(MARKS)?;
        let mut others = names.iter().filter(|name| name.ends_with(".json") && !kept.contains(*name));
        others.try_for_each(|name| self.store.delete(name))
    }

    /// The files that the daemon last read its configuration from, if any.
    ///
    /// # Errors
    /// If the document cannot be read.
    pub fn loaded(&self) -> Result<Option<Digests>, StateError> {
        Ok(self.read(LOADED)?.map(|(digests, _)| digests))
    }

    /// Records the files that the daemon read its configuration from.
    ///
    /// # Errors
    /// If the document cannot be written.
    pub fn set_loaded(&self, digests: &Digests) -> Result<(), StateError> {
        let mut bytes = serde_json::to_vec(digests)
            .map_err(|source| StateError::Damaged { path: self.store.location(LOADED), source })?;
        bytes.push(b'\n');
        self.store.put(LOADED, &bytes, When::Always).map(drop)
    }

    /// The columns of the key's last successful run. Pruning the history does not remove them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn columns(&self, lock: &JobLock) -> Result<Option<Vec<String>>, StateError> {
        Ok(self.kept(COLUMNS, lock.key())?.map(|(columns, _)| columns))
    }

    /// The same without the lock, for reading only. Columns of version 0.1 are found where they are.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn columns_of(&self, key: &ExportKey) -> Result<Option<Vec<String>>, StateError> {
        if let Some((columns, _)) = self.kept(COLUMNS, key)? {
            return Ok(Some(columns));
        }
        Ok(self.read(&legacy::name(COLUMNS, key.job()))?.map(|(columns, _)| columns))
    }

    /// The objects of a set that were ever exported, in alphabetical order.
    ///
    /// # Errors
    /// If what is noted of them cannot be listed.
    pub fn exported_objects(&self, set: &ExportKey) -> Result<Vec<ObjectName>, StateError> {
        self.objects_with(COLUMNS, set)
    }

    /// The objects of a set that have a document of this kind, in alphabetical order.
    fn objects_with(&self, kind: &str, set: &ExportKey) -> Result<Vec<ObjectName>, StateError> {
        let prefix = format!("{}@", names::document(kind, set).trim_end_matches(".json"));
        let object_of = |name: &String| -> Option<ObjectName> {
            if !names::is_cut(name) {
                let object = name.strip_prefix(&prefix)?.strip_suffix(".json")?;
                return ObjectName::parse(object).ok();
            }
            // The names of long keys are cut.
            let (kept, _) = self.read::<Kept<serde::de::IgnoredAny>>(name).ok()??;
            let key = kept.key()?;
            let is_of_set = key.job() == set.job() && key.org() == set.org();
            key.object().filter(|_| is_of_set).cloned()
        };
        let mut objects: Vec<_> = self.store.list(kind)?.iter().filter_map(object_of).collect();
        objects.sort();
        Ok(objects)
    }

    /// Records the columns of a successful run.
    ///
    /// # Errors
    /// If they cannot be written; the previous ones stay.
    pub fn set_columns(&self, lock: &JobLock, columns: &[String]) -> Result<(), StateError> {
        self.keep_if_changed(COLUMNS, lock, columns)
    }

    /// The order in which the fields of the key's object were exported; empty if it never was.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn fields_of(&self, key: &ExportKey) -> Result<Vec<String>, StateError> {
        Ok(self.kept(FIELDS, key)?.map(|(fields, _)| fields).unwrap_or_default())
    }

    /// Records the order of the fields of a successful run.
    ///
    /// # Errors
    /// If it cannot be written; the previous one stays.
    pub fn set_fields(&self, lock: &JobLock, fields: &[String]) -> Result<(), StateError> {
        self.keep_if_changed(FIELDS, lock, fields)
    }

    /// The columns of the file that the key's last successful run wrote, for the manifest of a retry; `None` if they were
    /// not recorded.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn file_columns_of(&self, key: &ExportKey) -> Result<Option<Vec<ManifestColumn>>, StateError> {
        Ok(self.kept(FILE_COLUMNS, key)?.map(|(columns, _)| columns))
    }

    /// Records the columns of the file that a successful run wrote.
    ///
    /// # Errors
    /// If they cannot be written; the previous ones stay.
    pub fn set_file_columns(&self, lock: &JobLock, columns: &[ManifestColumn]) -> Result<(), StateError> {
        self.keep_if_changed(FILE_COLUMNS, lock, columns)
    }

    /// Whether the key's last successful run used Bulk API 2.0.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn used_bulk(&self, key: &ExportKey) -> Result<bool, StateError> {
        Ok(self.kept::<Vec<String>>(LAST_API, key)?.is_some_and(|(api, _)| api == ["bulk"]))
    }

    /// Records whether a successful run used Bulk API 2.0.
    ///
    /// # Errors
    /// If it cannot be written; what was recorded before stays.
    pub fn set_used_bulk(&self, lock: &JobLock, used_bulk: bool) -> Result<(), StateError> {
        if used_bulk {
            return self.keep_if_changed(LAST_API, lock, &["bulk".to_owned()]);
        }
        self.store.delete(&names::document(LAST_API, lock.key()))
    }

    /// Columns and fields rarely change, so they are only written if they do.
    fn keep_if_changed<T>(&self, kind: &str, lock: &JobLock, content: &[T]) -> Result<(), StateError>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        let noted = self.kept::<Vec<T>>(kind, lock.key());
        if noted.is_ok_and(|noted| noted.is_some_and(|(noted, _)| noted == content)) {
            return Ok(());
        }
        self.keep(kind, lock.key(), content, When::Always)
    }

    /// Moves the job's document of version 0.1 to its new place: written there first, then removed here.
    fn carry_over(&self, lock: &JobLock) -> Result<(), StateError> {
        let key = lock.key();
        if key.object().is_some() {
            return Ok(());
        }
        let unfinished = legacy::name(legacy::UNFINISHED, key.job());
        if let Some((left, _)) = self.read::<legacy::Unfinished>(&unfinished)? {
            for entry in left.into_entries() {
                self.note(lock, &entry)?;
            }
            self.store.delete(&unfinished)?;
        }
        let columns = legacy::name(COLUMNS, key.job());
        if let Some((found, _)) = self.read::<Vec<String>>(&columns)? {
            if self.columns(lock)?.is_none() {
                self.keep(COLUMNS, key, &found, When::Absent)?;
            }
            self.store.delete(&columns)?;
        }
        Ok(())
    }

    fn entries(&self, key: &ExportKey) -> Result<(RawEntries, Option<Version>), StateError> {
        let kept = self.kept(JOURNAL, key)?;
        Ok(kept.map_or_else(Default::default, |(entries, version)| (entries, Some(version))))
    }

    fn write_entries(
        &self,
        lock: &JobLock,
        entries: &RawEntries,
        version: Option<&Version>,
    ) -> Result<(), StateError> {
        self.keep(JOURNAL, lock.key(), entries, version.map_or(When::Absent, When::Unchanged))
    }

    /// The document of this kind for a key.
    fn kept<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &ExportKey,
    ) -> Result<Option<(T, Version)>, StateError> {
        let name = names::document(kind, key);
        let Some((kept, version)) = self.read::<Kept<T>>(&name)? else { return Ok(None) };
        match kept.key() {
            Some(found) if found == *key => Ok(Some((kept.content, version))),
            found => Err(StateError::Misplaced {
                path: self.store.location(&name),
                found: found.map_or(kept.job, |found| found.to_string()),
                expected: key.to_string(),
            }),
        }
    }

    fn keep<T: Serialize + ?Sized>(
        &self,
        kind: &str,
        key: &ExportKey,
        content: &T,
        when: When<'_>,
    ) -> Result<(), StateError> {
        let name = names::document(kind, key);
        let mut bytes = serde_json::to_vec(&Kept::new(key, content))
            .map_err(|source| StateError::Damaged { path: self.store.location(&name), source })?;
        bytes.push(b'\n');
        self.in_directory(|| self.store.put(&name, &bytes, when).map(drop))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<(T, Version)>, StateError> {
        let Some(Document { bytes, version }) = self.store.get(name)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(read) => Ok(Some((read, version))),
            Err(source) => Err(StateError::Damaged { path: self.store.location(name), source }),
        }
    }

    fn output_lock(&self, output: &Location) -> PathBuf {
        self.directory.join("locks/outputs").join(&hash(output.as_bytes())[..32])
    }
}

/// Creates a directory and those above it, if they are missing.
fn make_directories(directory: &Path) -> Result<(), StateError> {
    match make_directory(directory, 0o777) {
        Err(error) if error.is_missing() => {
            directory.parent().map_or(Ok(()), make_directories)?;
            make_directory(directory, 0o777)
        }
        made => made,
    }
}

/// Creates a directory and flushes it into the one that contains it. If a power cut removed the directory, everything
/// flushed in it would be gone too.
fn make_directory(directory: &Path, mode: u32) -> Result<(), StateError> {
    match fs::DirBuilder::new().mode(mode).create(directory) {
        Ok(()) => {
            owner::give_directory(directory);
            store::flush_directory_of(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StateError::io("cannot create", directory)(error)),
    }
}

/// Whether files can be created in a directory.
fn writable(directory: &Path) -> Result<(), StateError> {
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(directory, wanted)
        .map_err(|error| StateError::io("cannot write to", directory)(error.into()))
}

#[cfg(test)]
mod tests;

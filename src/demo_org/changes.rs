//! What has happened to an org's rows since it started: new ones, changed ones, deleted ones, and the log of deletes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;

use super::Org;
use super::data::RecordId;
use super::schema::Object;

/// A row as it is now. [`State::AS_MADE`] is what the data set computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// How often its values have changed; each version has other values.
    pub(super) version: u32,
    pub(super) bin: Bin,
    /// When it last changed, if it has.
    pub(super) stamp: Option<Timestamp>,
    /// When it was created, if that was after the org started.
    pub(super) created: Option<Timestamp>,
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bin {
    /// Where it was when the org started.
    AsMade,
    /// In the recycle bin.
    Inside,
    /// Back from the recycle bin.
    Outside,
    /// Gone for good.
    Purged,
}

impl State {
    pub(super) const AS_MADE: Self = Self { version: 0, bin: Bin::AsMade, stamp: None, created: None };
}

/// A change to rows. Each is stamped with the time at which its transaction began.
#[derive(Debug, Clone)]
enum Edit {
    Insert(&'static Object, usize),
    Update(Vec<RecordId>),
    Touch(Vec<RecordId>),
    Delete(Vec<RecordId>),
    Undelete(Vec<RecordId>),
    Purge(Vec<RecordId>),
}

/// Changes that become visible all at once, when the transaction is committed, and carry the time at which it began. While
/// it is open, [`super::DemoOrg::insert`] and its like go on around it, and the log of deletes counts as complete only up
/// to its beginning. Dropped, it changes nothing.
#[derive(Debug)]
#[must_use = "it changes nothing until it is committed"]
pub struct Transaction {
    org: Arc<Org>,
    number: usize,
    began: Timestamp,
    edits: Vec<Edit>,
}

impl Transaction {
    pub(super) fn begin(org: &Arc<Org>) -> Self {
        let org = Arc::clone(org);
        // Salesforce's stamps are whole seconds.
        let began = whole_second(org.data.clock().now());
        let number = org.serial();
        org.data.changes.write().open.insert(number, began);
        Self { org, number, began, edits: Vec::new() }
    }

    /// The stamp of its changes.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// Adds so many rows to an object.
    ///
    /// # Panics
    /// If the org has no such object.
    pub fn insert(mut self, object: &str, count: usize) -> Self {
        let found = self.org.data.object(object);
        let Some(object) = found else { panic!("the org has no object {object}") };
        self.edits.push(Edit::Insert(object, count));
        self
    }

    /// Gives rows other values.
    pub fn update(self, rows: &[RecordId]) -> Self {
        self.with(Edit::Update(rows.to_vec()))
    }

    /// Moves the stamps of rows and nothing else, as Salesforce's own mass updates do.
    pub fn touch(self, rows: &[RecordId]) -> Self {
        self.with(Edit::Touch(rows.to_vec()))
    }

    /// Moves rows to the recycle bin.
    pub fn delete(self, rows: &[RecordId]) -> Self {
        self.with(Edit::Delete(rows.to_vec()))
    }

    /// Takes rows out of the recycle bin.
    pub fn undelete(self, rows: &[RecordId]) -> Self {
        self.with(Edit::Undelete(rows.to_vec()))
    }

    /// Removes rows for good, from the recycle bin or directly.
    pub fn purge(self, rows: &[RecordId]) -> Self {
        self.with(Edit::Purge(rows.to_vec()))
    }

    fn with(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Makes its changes visible, and gives the ids of the rows that it inserted. A row that is not there, or not where an edit
    /// expects it, stays as it is: one that is purged cannot be updated.
    pub fn commit(mut self) -> Vec<RecordId> {
        let edits = std::mem::take(&mut self.edits);
        self.org.data.commit(self.began, &edits)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.org.data.changes.write().open.remove(&self.number);
    }
}

/// The changes of a data set.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether there are any: most orgs never change, and rows are asked about often.
    any: AtomicBool,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    rows: HashMap<RecordId, State>,
    /// How many rows were added to the object whose ids begin so.
    added: HashMap<[u8; 3], usize>,
    /// The log of deletes, in the order in which they became visible.
    deletes: Vec<(RecordId, Timestamp)>,
    /// From when on the log is complete, if it was purged.
    pub(super) log_from: Option<Timestamp>,
    /// When the transactions that are open began.
    open: HashMap<usize, Timestamp>,
}

impl Changes {
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, row: RecordId) -> State {
        if !self.any() {
            return State::AS_MADE;
        }
        self.read().rows.get(&row).copied().unwrap_or(State::AS_MADE)
    }

    /// How many rows were added to an object.
    pub(super) fn added(&self, object: &Object) -> usize {
        if !self.any() {
            return 0;
        }
        self.read().added.get(object.prefix.as_bytes()).copied().unwrap_or_default()
    }

    /// Forgets all deletes so far, as the service does with too long a log.
    pub(super) fn purge_log(&self, now: Timestamp) {
        let mut inner = self.write();
        inner.deletes.clear();
        inner.log_from = Some(now);
    }
}

impl Inner {
    /// The rows of an object that the log of deletes has in a period, by their ids, each with its last time.
    pub(super) fn deleted(
        &self,
        object: &Object,
        is_within: impl Fn(Timestamp) -> bool,
    ) -> Vec<(RecordId, Timestamp)> {
        let mut last = HashMap::new();
        for (row, at) in &self.deletes {
            if row.is_of(object) && is_within(*at) {
                last.insert(*row, *at);
            }
        }
        let mut deleted: Vec<_> = last.into_iter().collect();
        deleted.sort_unstable();
        deleted
    }

    /// When the oldest open transaction began.
    pub(super) fn oldest_open(&self) -> Option<Timestamp> {
        self.open.values().min().copied()
    }
}

impl super::DataSet {
    /// Moves rows to the recycle bin, now.
    pub(super) fn delete(&self, rows: &[RecordId]) {
        self.commit(whole_second(self.clock().now()), &[Edit::Delete(rows.to_vec())]);
    }

    /// Removes rows, now.
    pub(super) fn purge(&self, rows: &[RecordId]) {
        self.commit(whole_second(self.clock().now()), &[Edit::Purge(rows.to_vec())]);
    }

    fn commit(&self, at: Timestamp, edits: &[Edit]) -> Vec<RecordId> {
        let mut inserted = Vec::new();
        let mut inner = self.changes.write();
        for edit in edits {
            match edit {
                Edit::Insert(object, count) => self.insert(&mut inner, at, (object, *count), &mut inserted),
                Edit::Update(rows) | Edit::Touch(rows) => {
                    let versions = u32::from(matches!(edit, Edit::Update(_)));
                    self.each(&mut inner, rows, |state, is_deleted, _| {
                        if !is_deleted {
                            state.version += versions;
                            state.stamp = state.stamp.max(Some(at));
                        }
                        None
                    });
                }
                Edit::Delete(rows) => self.each(&mut inner, rows, |state, is_deleted, _| {
                    if is_deleted {
                        return None;
                    }
                    state.bin = Bin::Inside;
                    state.stamp = state.stamp.max(Some(at));
                    state.stamp
                }),
                Edit::Undelete(rows) => self.each(&mut inner, rows, |state, is_deleted, _| {
                    if is_deleted {
                        // Never in the second in which it was deleted: a stamp tells which of the two came last.
                        let later = state.stamp.map(|stamp| stamp.saturating_add(SECOND).unwrap_or(stamp));
                        state.bin = Bin::Outside;
                        state.stamp = later.max(Some(at));
                    }
                    None
                }),
                Edit::Purge(rows) => self.each(&mut inner, rows, |state, _, is_logged| {
                    state.bin = Bin::Purged;
                    // The log keeps the time when it first went.
                    if is_logged { None } else { state.stamp.max(Some(at)) }
                }),
            }
        }
        drop(inner);
        self.changes.any.store(true, Ordering::Release);
        self.forget_families();
        inserted
    }

    fn insert(
        &self,
        inner: &mut Inner,
        at: Timestamp,
        (object, count): (&'static Object, usize),
        inserted: &mut Vec<RecordId>,
    ) {
        let added = inner.added.entry(RecordId::prefix_of(object)).or_default();
        let first = (object.count)(self) + *added;
        *added += count;
        for index in first..first + count {
            let id = self.id_of(object, index);
            let state = State { bin: Bin::Outside, stamp: Some(at), created: Some(at), ..State::AS_MADE };
            inner.rows.insert(id, state);
            inserted.push(id);
        }
    }

    /// Changes the states of rows that exist. `change` gets a row's state, whether it is in the recycle bin, and whether it was
    /// deleted after the org started. If it returns a time, that is logged as the time of a delete.
    fn each(
        &self,
        inner: &mut Inner,
        rows: &[RecordId],
        change: impl Fn(&mut State, bool, bool) -> Option<Timestamp>,
    ) {
        for id in rows {
            let mut state = inner.rows.get(id).copied().unwrap_or(State::AS_MADE);
            let Some(made) = self.place_of(*id, inner.added.get(&id.prefix()).copied().unwrap_or_default())
            else {
                continue;
            };
            if state.bin == Bin::Purged {
                continue;
            }
            let (is_deleted, is_logged) = (made.with(state).is_deleted(), state.bin == Bin::Inside);
            let logged = change(&mut state, is_deleted, is_logged);
            inner.rows.insert(*id, state);
            inner.deletes.extend(logged.map(|at| (*id, at)));
        }
    }
}

const SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

pub(super) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

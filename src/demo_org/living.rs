//! An org that changes by itself: people add, edit, delete and restore its records, some programs touch many at once, and some
//! transactions are committed long after they began.

use std::sync::Arc;
use std::time::Duration;

use super::Org;
use super::changes::Transaction;
use super::data::{RecordId, mix};

/// The objects whose records change.
const OBJECTS: [&str; 3] = ["Account", "Contact", "Opportunity"];

/// How much time passes between two changes.
pub(super) const PACE: Duration = Duration::from_secs(1);

/// How many records a burst changes; they all get the same stamp.
const BURST: usize = 200;

/// What happens in an org, second by second. The same seed gives the same changes.
pub(super) struct Life {
    random: u64,
    /// Transactions that are still open, and how many seconds remain until each is committed.
    open: Vec<(u64, Transaction)>,
}

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: mix(seed), open: Vec::new() }
    }

    /// One second passes: a change is made or begun, and transactions whose time has come are committed.
    pub(super) fn second(&mut self, org: &Arc<Org>) {
        self.open.iter_mut().for_each(|(left, _)| *left -= 1);
        let (due, open): (Vec<_>, _) =
            std::mem::take(&mut self.open).into_iter().partition(|(left, _)| *left == 0);
        self.open = open;
        for (_, transaction) in due {
            transaction.commit();
        }
        let transaction = self.change(Transaction::begin(org), org);
        if self.one_in(8) {
            let seconds = 5 + self.below(55);
            self.open.push((seconds, transaction));
        } else {
            transaction.commit();
        }
    }

    /// Adds a change to a transaction.
    fn change(&mut self, transaction: Transaction, org: &Org) -> Transaction {
        let object = OBJECTS[self.below(OBJECTS.len() as u64) as usize];
        if self.one_in(5) {
            let count = 1 + self.below(3) as usize;
            return transaction.insert(object, count);
        }
        let is_burst = self.one_in(30);
        let count = if is_burst { BURST } else { 1 + self.below(3) as usize };
        let (live, deleted) = self.rows(org, object, count);
        if is_burst {
            return if self.one_in(2) { transaction.touch(&live) } else { transaction.update(&live) };
        }
        match self.below(10) {
            0..=5 => transaction.update(&live),
            6 => transaction.touch(&live),
            7 | 8 => transaction.delete(&live),
            _ if self.one_in(3) => transaction.purge(&deleted),
            _ => transaction.undelete(&deleted),
        }
    }

    /// So many records of an object, fewer in a small org, and of its recycle bin.
    fn rows(&mut self, org: &Org, object: &str, count: usize) -> (Vec<RecordId>, Vec<RecordId>) {
        let (mut live, mut deleted) = (Vec::new(), Vec::new());
        let Some(object) = org.data.object(object) else { return (live, deleted) };
        let rows = org.data.count(object);
        for _ in 0..rows.min(4 * count + 100) {
            let row = org.data.row_at(object, self.below(rows as u64) as usize);
            let chosen = if row.is_deleted() { &mut deleted } else { &mut live };
            if !row.is_purged() && chosen.len() < count && !chosen.contains(&row.id()) {
                chosen.push(row.id());
            }
        }
        (live, deleted)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = mix(self.random);
        (self.random >> 11) % bound
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::demo_org::{Options, OrgClock, Row};

    /// The accounts' ids, versions and places, and the most records with one stamp, after so many seconds.
    fn accounts(seed: u64, seconds: u64) -> (Vec<(RecordId, u32, bool)>, usize) {
        let clock = OrgClock::at("2026-06-03T08:00:00Z".parse().unwrap());
        let options = Options { records: 400, clock: clock.clone(), ..Options::default() };
        let org = Arc::new(Org::new(options, String::new()).unwrap());
        let mut life = Life::new(seed);
        for _ in 0..seconds {
            life.second(&org);
            clock.advance(PACE);
        }
        let mut stamps = BTreeMap::<String, usize>::new();
        let rows = org.data.rows("Account");
        let stamp = |row: &Row<'_>| format!("{:?}", row.value("SystemModstamp"));
        let rows = rows.inspect(|row| *stamps.entry(stamp(row)).or_default() += 1);
        let rows = rows.map(|row| (row.id(), row.version(), row.is_deleted())).collect();
        (rows, stamps.into_values().max().unwrap_or_default())
    }

    #[test]
    fn a_seed_always_leads_to_the_same_changes() {
        let (rows, ties) = accounts(7, 600);
        assert_eq!(accounts(7, 600), (rows.clone(), ties));
        assert_ne!(accounts(8, 600).0, rows);
        let (before, _) = accounts(7, 0);
        let former: BTreeMap<_, _> = before.iter().map(|(id, _, is_deleted)| (*id, *is_deleted)).collect();
        let deletes = rows.iter().filter(|(id, _, is_deleted)| *is_deleted && former.get(id) == Some(&false));
        let restored =
            rows.iter().filter(|(id, _, is_deleted)| !*is_deleted && former.get(id) == Some(&true));
        assert!(rows.iter().any(|(id, ..)| !former.contains_key(id)), "none was added");
        assert!(rows.iter().any(|(_, version, _)| *version > 1), "none was updated twice");
        assert!(deletes.count() > 0 && restored.count() > 0, "none was deleted or restored");
        assert!(before.iter().any(|(id, ..)| !rows.iter().any(|row| row.0 == *id)), "none is gone for good");
        assert!(ties > BURST / 2, "at most {ties} records share a stamp");
    }
}

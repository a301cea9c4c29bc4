//! Room for exports: how many may run side by side in the process and against each org, and how many API requests of an
//! org they have been promised. A run of a single job takes one slot, and so does each object's export of a set; the set
//! itself takes none.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::org::{Org, OrgName};

/// The slots of a process. Those who wait get them in the order in which they asked, except that one who waits for an
/// org's slot keeps nobody else out.
#[derive(Debug, Clone, Default)]
pub struct Slots(Arc<Mutex<Room>>);

/// A slot, taken until it is dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    org: OrgName,
}

#[derive(Debug, Default)]
struct Room {
    limits: SlotLimits,
    taken: usize,
    taken_of: BTreeMap<OrgName, usize>,
    promised_of: BTreeMap<OrgName, u64>,
    /// Result pages that are being downloaded, and who waits for one to be done.
    downloads_of: BTreeMap<OrgName, (usize, Arc<Notify>)>,
    waiting: VecDeque<(OrgName, oneshot::Sender<Slot>)>,
}

/// How many exports may run side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotLimits {
    /// In the process; `None`: any number.
    pub all: Option<usize>,
    /// Of each org that has a limit.
    pub of: BTreeMap<OrgName, usize>,
}

impl SlotLimits {
    /// The limits of these settings and orgs.
    pub fn new<'o>(all: usize, orgs: impl IntoIterator<Item = &'o Org>) -> Self {
        let of = orgs.into_iter().filter_map(|org| Some((org.name.clone(), org.max_concurrent_runs?)));
        Self { all: Some(all), of: of.collect() }
    }
}

impl Slots {
    /// Sets the limits. Slots that are taken stay taken.
    pub fn set_limits(&self, limits: SlotLimits) {
        self.room().limits = limits;
        self.grant();
    }

    /// Waits for a slot. Dropping the future gives up the place in the queue.
    pub async fn take(&self, org: &OrgName) -> Slot {
        let (granted, slot) = oneshot::channel();
        self.room().waiting.push_back((org.clone(), granted));
        self.grant();
        match slot.await {
            Ok(slot) => slot,
            // The queue is never dropped while somebody holds it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives out the slots that are free.
    fn grant(&self) {
        let mut granted = Vec::new();
        {
            let mut room = self.room();
            let mut at = 0;
            while at < room.waiting.len() && room.has_room() {
                if !room.has_room_of(&room.waiting[at].0) {
                    at += 1;
                    continue;
                }
                let Some((org, waiting)) = room.waiting.remove(at) else { break };
                // One who no longer waits takes none.
                if !waiting.is_closed() {
                    room.taken += 1;
                    *room.taken_of.entry(org.clone()).or_default() += 1;
                    granted.push((Slot { slots: self.clone(), org }, waiting));
                }
            }
        }
        for (slot, waiting) in granted {
            // If nobody waits any more, the slot is given back.
            let _ = waiting.send(slot);
        }
    }

    /// Waits until fewer than `limit` result pages of an org are being downloaded, and counts one more.
    pub(super) async fn download(&self, org: &OrgName, limit: usize) -> DownloadSlot {
        loop {
            let changed = {
                let mut room = self.room();
                let (taken, changed) = room.downloads_of.entry(org.clone()).or_default();
                if *taken < limit.max(1) {
                    *taken += 1;
                    return DownloadSlot { slots: self.clone(), org: org.clone() };
                }
                // From here on no end of a download is missed.
                Arc::clone(changed).notified_owned()
            };
            changed.await;
        }
    }

    /// Promises so many API requests of an org, if `decide` agrees when it learns how many are promised already.
    ///
    /// # Errors
    /// What `decide` gives.
    pub fn promise<E>(
        &self,
        org: &OrgName,
        requests: u64,
        decide: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<Promise, E> {
        let mut room = self.room();
        let promised = room.promised_of.entry(org.clone()).or_default();
        decide(*promised)?;
        *promised = promised.saturating_add(requests);
        Ok(Promise { slots: self.clone(), org: org.clone(), left: requests })
    }

    /// How many API requests of an org are promised and have not been made.
    #[must_use]
    pub fn promised(&self, org: &OrgName) -> u64 {
        self.room().promised_of.get(org).copied().unwrap_or_default()
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The download of a result page, counted until it is dropped.
#[derive(Debug)]
pub(super) struct DownloadSlot {
    slots: Slots,
    org: OrgName,
}

impl Drop for DownloadSlot {
    fn drop(&mut self) {
        if let Some((taken, changed)) = self.slots.room().downloads_of.get_mut(&self.org) {
            *taken = taken.saturating_sub(1);
            changed.notify_waiters();
        }
    }
}

/// API requests that an export may make. What it has not made when this is dropped is free for others.
#[derive(Debug)]
pub struct Promise {
    slots: Slots,
    org: OrgName,
    left: u64,
}

impl Promise {
    /// One of the requests has been made: the org counts it from now on.
    pub fn made(&mut self) {
        self.release(self.left.min(1));
    }

    fn release(&mut self, requests: u64) {
        self.left -= requests;
        if let Some(promised) = self.slots.room().promised_of.get_mut(&self.org) {
            *promised = promised.saturating_sub(requests);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.release(self.left);
    }
}

impl Room {
    fn has_room(&self) -> bool {
        self.limits.all.is_none_or(|all| self.taken < all.max(1))
    }

    fn has_room_of(&self, org: &OrgName) -> bool {
        let taken = self.taken_of.get(org).copied().unwrap_or_default();
        self.limits.of.get(org).is_none_or(|limit| taken < (*limit).max(1))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut room = self.slots.room();
            room.taken = room.taken.saturating_sub(1);
            if let Some(taken) = room.taken_of.get_mut(&self.org) {
                *taken = taken.saturating_sub(1);
            }
        }
        self.slots.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn slots(all: usize, of: &[(&str, usize)]) -> Slots {
        let slots = Slots::default();
        let of = of.iter().map(|(org, limit)| (name(org), *limit)).collect();
        slots.set_limits(SlotLimits { all: Some(all), of });
        slots
    }

    fn name(org: &str) -> OrgName {
        OrgName::parse(org).unwrap()
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn slots_are_given_in_the_order_of_asking() {
        let slots = slots(1, &[]);
        let (a, b) = (name("a"), name("b"));
        let first = poll(pin!(slots.take(&a))).unwrap();
        let (mut second, mut third) = (pin!(slots.take(&b)), pin!(slots.take(&a)));
        assert!(poll(second.as_mut()).is_none() && poll(third.as_mut()).is_none());
        drop(first);
        assert!(poll(third.as_mut()).is_none(), "the second asked before");
        let second = poll(second).unwrap();
        drop(second);
        assert!(poll(third).is_some());
    }

    #[test]
    fn an_org_without_room_keeps_no_other_out() {
        let slots = slots(3, &[("a", 1)]);
        let (a, b) = (name("a"), name("b"));
        let first = poll(pin!(slots.take(&a))).unwrap();
        let mut waits = pin!(slots.take(&a));
        assert!(poll(waits.as_mut()).is_none());
        let _other = poll(pin!(slots.take(&b))).unwrap();
        drop(first);
        assert!(poll(waits).is_some());
    }

    #[test]
    fn one_who_gives_up_waiting_takes_no_slot() {
        let slots = slots(1, &[]);
        let org = name("a");
        let held = poll(pin!(slots.take(&org))).unwrap();
        {
            let mut gives_up = pin!(slots.take(&org));
            assert!(poll(gives_up.as_mut()).is_none());
        }
        {
            let mut late = pin!(slots.take(&org));
            assert!(poll(late.as_mut()).is_none());
            // Granted, and dropped before it was looked at.
            drop(held);
        }
        assert!(poll(pin!(slots.take(&org))).is_some());
    }

    #[test]
    fn what_is_promised_counts_until_it_is_used_or_given_up() {
        let (slots, org, other) = (slots(4, &[]), name("a"), name("b"));
        let up_to = |limit: u64, requests: u64| {
            move |promised: u64| if promised + requests <= limit { Ok(()) } else { Err(promised) }
        };
        let mut first = slots.promise(&org, 6, up_to(10, 6)).unwrap();
        assert_eq!(slots.promise(&org, 5, up_to(10, 5)).unwrap_err(), 6);
        assert_eq!((slots.promised(&org), slots.promised(&other)), (6, 0));
        first.made();
        let second = slots.promise(&org, 5, up_to(10, 5)).unwrap();
        assert_eq!(slots.promised(&org), 10);
        drop(second);
        // An export that takes more requests than it was promised uses nobody else's.
        let third = slots.promise(&org, 2, up_to(10, 2)).unwrap();
        for _ in 0..9 {
            first.made();
        }
        assert_eq!(slots.promised(&org), 2);
        drop((first, third));
        assert_eq!(slots.promised(&org), 0);
    }

    #[test]
    fn limits_can_change_while_slots_are_taken() {
        let slots = slots(1, &[]);
        let org = name("a");
        let _held = poll(pin!(slots.take(&org))).unwrap();
        let mut waits = pin!(slots.take(&org));
        assert!(poll(waits.as_mut()).is_none());
        slots.set_limits(SlotLimits { all: Some(2), of: BTreeMap::new() });
        assert!(poll(waits).is_some());
    }
}

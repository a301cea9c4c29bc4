//! What Bulk API 2.0 refused, by org: an object as a whole, or one query. It is remembered for a week, so that a nightly job
//! does not ask in vain every night, and learns soon enough that a later release of Salesforce takes it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::StateError;
use super::store::{When, hash};
use super::{Document, State};
use crate::org::OrgName;

pub(super) const REFUSALS: &str = "bulk_refusals";

/// How long a refusal is remembered.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many refusals of an org are remembered; the oldest are forgotten.
const MAX_REFUSALS: usize = 200;

/// How often a write is tried that others get in the way of.
const ATTEMPTS: usize = 5;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRefusal {
    /// The object that was asked for.
    pub object: String,
    /// The hash of the query that was refused; `None` if every query of the object is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// When the org refused it.
    pub at: Timestamp,
    /// The org's reason.
    pub reason: String,
}

impl BulkRefusal {
    /// The refusal of an object, or with `query` of this query alone.
    #[must_use]
    pub fn new(object: &str, query: Option<&str>, at: Timestamp, reason: String) -> Self {
        Self { object: object.to_owned(), query: query.map(|query| hash(query.as_bytes())), at, reason }
    }

    fn is_about(&self, object: &str, query: &str) -> bool {
        self.object.eq_ignore_ascii_case(object)
            && self.query.as_deref().is_none_or(|refused| refused == hash(query.as_bytes()))
    }

    fn holds(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) < KEPT_FOR
    }
}

impl State {
    /// Why Bulk API 2.0 refused this query of an object in the last week; `None` if it did not.
    ///
    /// # Errors
    /// If what is remembered cannot be read.
    pub fn bulk_refusal(
        &self,
        org: &OrgName,
        object: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<Option<BulkRefusal>, StateError> {
        let known = self.refusals(org)?.map(|(known, _)| known).unwrap_or_default();
        Ok(known.into_iter().find(|refusal| refusal.holds(now) && refusal.is_about(object, query)))
    }

    /// Remembers a refusal.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note_bulk_refusal(&self, org: &OrgName, refusal: &BulkRefusal) -> Result<(), StateError> {
        self.in_directory(|| self.add_bulk_refusal(org, refusal))
    }

    fn add_bulk_refusal(&self, org: &OrgName, refusal: &BulkRefusal) -> Result<(), StateError> {
        let mut tried = 1;
        loop {
            let (mut known, document) = self.refusals(org)?.unzip();
            let known = known.get_or_insert_default();
            let is_other = |old: &BulkRefusal| {
                !(old.object.eq_ignore_ascii_case(&refusal.object) && old.query == refusal.query)
            };
            known.retain(|old| old.holds(refusal.at) && is_other(old));
            known.push(refusal.clone());
            known.drain(..known.len().saturating_sub(MAX_REFUSALS));
            let name = name(org);
            let bytes = serde_json::to_vec(known)
                .map_err(|source| StateError::Damaged { path: self.store.location(&name), source })?;
            let when = match &document {
                Some(Document { version, .. }) => When::Unchanged(version),
                None => When::Absent,
            };
            match self.store.put(&name, &bytes, when) {
                Err(StateError::Changed { .. }) if tried < ATTEMPTS => tried += 1,
                written => return written.map(drop),
            }
        }
    }

    fn refusals(&self, org: &OrgName) -> Result<Option<(Vec<BulkRefusal>, Document)>, StateError> {
        let Some(document) = self.store.get(&name(org))? else { return Ok(None) };
        // A note that cannot be read is one that nobody has: at worst the org is asked again.
        let known = serde_json::from_slice(&document.bytes).unwrap_or_default();
        Ok(Some((known, document)))
    }
}

fn name(org: &OrgName) -> String {
    format!("{REFUSALS}/{org}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_week() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let org = OrgName::default_org();
        let at = |day: i64| Timestamp::from_second(1_795_309_200 + day * 86_400).unwrap();
        let known = |object: &str, query: &str, day| {
            state.bulk_refusal(&org, object, query, at(day)).unwrap().map(|refusal| refusal.reason)
        };
        assert_eq!(known("CaseStatus", "q", 0), None);
        let note = |object: &str, query: Option<&str>, day, reason: &str| {
            let refusal = BulkRefusal::new(object, query, at(day), reason.to_owned());
            state.note_bulk_refusal(&org, &refusal).unwrap();
        };
        note("CaseStatus", None, 0, "entity");
        note("Account", Some("q1"), 3, "shape");
        assert_eq!(known("casestatus", "anything", 6).as_deref(), Some("entity"));
        assert_eq!(known("CaseStatus", "anything", 7), None);
        assert_eq!(known("Account", "q1", 9).as_deref(), Some("shape"));
        assert_eq!(known("Account", "q2", 3), None);
        assert_eq!(known("Contact", "q1", 3), None);
        // The later one of the same kind counts.
        note("casestatus", None, 8, "again");
        assert_eq!(known("CaseStatus", "q", 14).as_deref(), Some("again"));
        let other = OrgName::parse("emea").unwrap();
        assert_eq!(state.bulk_refusal(&other, "CaseStatus", "q", at(8)).unwrap(), None);
    }

    #[test]
    fn refusals_that_come_at_once_are_all_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let org = OrgName::default_org();
        let at = Timestamp::from_second(1_795_309_200).unwrap();
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (state, org) = (state.clone(), &org);
                scope.spawn(move || {
                    let refusal = BulkRefusal::new(&format!("O{number}"), None, at, String::new());
                    state.note_bulk_refusal(org, &refusal).unwrap();
                });
            }
        });
        for number in 0..4 {
            assert!(state.bulk_refusal(&org, &format!("O{number}"), "q", at).unwrap().is_some(), "{number}");
        }
    }
}

//! Which objects an org has, and how they have changed since it started. `objects` defines their fields and values.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use super::clock::OrgClock;
use super::objects::{self, numbered};
use super::schema::{Field, Kind, Object, Refuses, Said};

/// The objects that an org starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Catalog {
    /// Accounts, Contacts, Opportunities and so on, and the objects of other kinds that a real org lists.
    #[default]
    Standard,
    /// So many small objects, at most 1,000: `Obj000__c`, `Obj001__c` and so on, each with
    /// [`super::Options::records`] rows and a describe of 270 KB; and User.
    Numbered(usize),
}

/// An org's objects.
pub(super) struct Objects {
    catalog: Catalog,
    clock: OrgClock,
    list: RwLock<Vec<Listed>>,
    /// Seconds from 1970 of the latest change.
    changed: AtomicI64,
}

/// An entry of the list.
struct Listed {
    original: &'static Object,
    /// As it is now; `None` while it is hidden.
    now: Option<&'static Object>,
}

impl Objects {
    pub(super) fn new(catalog: Catalog, clock: OrgClock) -> Self {
        let list = match catalog {
            Catalog::Standard => objects::ALL.iter().chain(objects::odd()).collect(),
            Catalog::Numbered(count) => {
                let user = objects::ALL.iter().filter(|object| object.name == "User");
                numbered::first(count).iter().chain(user).collect::<Vec<_>>()
            }
        };
        let list = list.into_iter().map(|original| Listed { original, now: Some(original) }).collect();
        let changed = AtomicI64::new(clock.now().as_second());
        Self { catalog, clock, list: RwLock::new(list), changed }
    }

    /// The objects that the user may see, in the order of the list.
    pub(super) fn visible(&self) -> Vec<&'static Object> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter_map(|listed| listed.now).collect()
    }

    /// The object of this name, in any case, if the user may see it.
    pub(super) fn named(&self, name: &str) -> Option<&'static Object> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.iter().find(|listed| listed.original.name.eq_ignore_ascii_case(name))?.now
    }

    /// The object whose ids begin so, as it was at the start, hidden or not: references lead to it all the same.
    pub(super) fn with_prefix(&self, prefix: [u8; 3]) -> Option<&'static Object> {
        objects::with_prefix(prefix).or_else(|| match self.catalog {
            Catalog::Standard => None,
            Catalog::Numbered(count) => numbered::with_prefix(prefix, count),
        })
    }

    /// When the objects last changed, in whole seconds: what `Last-Modified` says.
    pub(super) fn changed(&self) -> Timestamp {
        Timestamp::from_second(self.changed.load(Ordering::Acquire)).unwrap_or_default()
    }

    pub(super) fn add_field(&self, object: &str, field: &str) {
        let name: &'static str = String::leak(field.to_owned());
        self.edit(object, |object| {
            let added = Field::new(name, Kind::Text, |row| format!("added to row {}", row.index).into());
            object.fields = Vec::leak([object.fields, &[added]].concat());
        });
    }

    pub(super) fn remove_field(&self, object: &str, field: &str) {
        self.edit(object, |object| {
            let kept = object.fields.iter().filter(|known| !known.name.eq_ignore_ascii_case(field));
            let kept: Vec<Field> = kept.copied().collect();
            assert!(kept.len() < object.fields.len(), "{} has no field {field}", object.name);
            object.fields = Vec::leak(kept);
        });
    }

    pub(super) fn refuse(&self, object: &str, status: u16, code: &str, message: &str) {
        let said = Said(status, String::leak(code.to_owned()), String::leak(message.to_owned()));
        self.edit(object, |object| object.quirks.refuses = Refuses::Everything(said));
    }

    pub(super) fn refuse_in_bulk(&self, object: &str) {
        self.edit(object, |object| object.quirks.in_bulk = false);
    }

    pub(super) fn hide(&self, object: &str) {
        self.change(object, |listed| listed.now = None);
    }

    pub(super) fn restore(&self, object: &str) {
        self.change(object, |listed| listed.now = Some(listed.original));
    }

    /// Replaces an object by an edited copy. Neither is ever freed, because open queries may refer to both. Tests make
    /// few of them.
    fn edit(&self, object: &str, edit: impl FnOnce(&mut Object)) {
        self.change(object, |listed| {
            let mut edited = *listed.now.unwrap_or(listed.original);
            edit(&mut edited);
            listed.now = Some(Box::leak(Box::new(edited)));
        });
    }

    fn change(&self, object: &str, change: impl FnOnce(&mut Listed)) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let listed = list.iter_mut().find(|listed| listed.original.name.eq_ignore_ascii_case(object));
        let Some(listed) = listed else { panic!("the org has no object {object}") };
        change(listed);
        // A client that asked within this second must see a later time.
        let now = self.clock.now().as_second();
        let _ =
            self.changed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(now.max(last + 1)));
    }
}

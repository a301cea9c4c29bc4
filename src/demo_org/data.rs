//! The org's records: what each row contains, computed on demand from its number and from how often it has changed. It
//! knows nothing of queries or JSON, so tests can derive expected exports from it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::{Date, date};

use super::catalog::{Catalog, Objects};
use super::changes::{Bin, Changes, State};
use super::clock::OrgClock;
use super::schema::Object;

/// The org's calendar day, by which `TODAY`, `LAST_WEEK` and their like are reckoned unless its clock was set.
pub const TODAY: Date = date(2026, 3, 12);

/// The records of an org: the same for the same size, whenever and wherever they are asked for, until some are
/// changed. They take no room until they are asked for.
pub struct DataSet {
    pub(super) catalog: Objects,
    pub(super) changes: Changes,
    records: usize,
    username: String,
    clock: OrgClock,
    /// The number in the id of the org.
    organization: AtomicU32,
    families: Mutex<HashMap<Family, Arc<Children>>>,
}

/// Parent object, child object, the children's field.
type Family = (&'static str, &'static str, &'static str);

/// The children of every parent row of one relationship: those of row `p` are `rows[starts[p]..starts[p + 1]]`.
struct Children {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSet").field("records", &self.records).finish_non_exhaustive()
    }
}

impl DataSet {
    /// A data set of this many Accounts, with about as many Contacts, Opportunities and so on.
    #[must_use]
    pub fn new(records: usize) -> Self {
        Self::of(Catalog::Standard, records)
    }

    /// A data set of other objects.
    #[must_use]
    pub fn of(catalog: Catalog, records: usize) -> Self {
        Self::of_org(catalog, records, "integration@example.com".to_owned(), OrgClock::default())
    }

    /// The same, where the user that logs in, the first one, has another username, and rows change by this clock.
    pub(super) fn of_org(catalog: Catalog, records: usize, username: String, clock: OrgClock) -> Self {
        Self {
            catalog: Objects::new(catalog, clock.clone()),
            changes: Changes::default(),
            records,
            username,
            clock,
            organization: AtomicU32::new(0),
            families: Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &OrgClock {
        &self.clock
    }

    /// The org's own id.
    pub(super) fn organization(&self) -> RecordId {
        RecordId::new(ORGANIZATION, self.organization.load(Ordering::Acquire) as usize)
    }

    pub(super) fn set_organization(&self, number: u32) {
        self.organization.store(number, Ordering::Release);
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// How many Accounts it was made with, deleted ones included.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// The objects that people keep records in, as far as the user may see them: each can be exported by a plain
    /// query.
    #[must_use]
    pub fn objects(&self) -> Vec<&'static Object> {
        self.catalog.visible().into_iter().filter(|object| !object.quirks.is_odd).collect()
    }

    /// The other objects that the org lists: sharing, history and feed tables, events, external and big objects, one
    /// wider than a URL, and objects that refuse queries.
    #[must_use]
    pub fn odd_objects(&self) -> Vec<&'static Object> {
        self.catalog.visible().into_iter().filter(|object| object.quirks.is_odd).collect()
    }

    /// The object of this name, in any case, if the user may see it.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<&'static Object> {
        self.catalog.named(name)
    }

    /// Every record of an object, deleted ones too ([`Row::is_deleted`]), in the order of their ids; none if
    /// there is no such object.
    pub fn rows(&self, object: &str) -> impl Iterator<Item = Row<'_>> + '_ {
        self.object(object).into_iter().flat_map(move |object| self.rows_of(object))
    }

    pub(super) fn rows_of(&self, object: &'static Object) -> impl Iterator<Item = Row<'_>> + '_ {
        (0..self.count(object)).map(move |index| self.row_at(object, index)).filter(|row| !row.is_purged())
    }

    /// The row with this number, as it is now, purged or not.
    pub(super) fn row_at(&self, object: &'static Object, index: usize) -> Row<'_> {
        let state = match self.has_changed() {
            true => self.changes.of(self.id_of(object, index)),
            false => State::AS_MADE,
        };
        Row { data: self, object, index, state }
    }

    pub(super) fn id_of(&self, object: &Object, index: usize) -> RecordId {
        match object.prefix {
            ORGANIZATION => self.organization(),
            prefix => RecordId::new(prefix, index),
        }
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changes.any()
    }

    /// The record with this id, 15 or 18 characters; deleted ones too.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<Row<'_>> {
        RecordId::parse(id).and_then(|id| self.find(id))
    }

    /// How many records an object has ever had, deleted ones included.
    pub(super) fn count(&self, object: &Object) -> usize {
        (object.count)(self) + self.changes.added(object)
    }

    /// How many of an object's records are not in the recycle bin.
    pub(super) fn live_count(&self, object: &'static Object) -> usize {
        if self.has_changed() {
            return self.rows_of(object).filter(|row| !row.is_deleted()).count();
        }
        let all = self.count(object);
        if object.deletable && all > DELETED_AT {
            all - (all - DELETED_AT - 1) / DELETED_EVERY - 1
        } else {
            all
        }
    }

    /// The row number of the n-th record that is not in the recycle bin, where nothing has changed.
    pub(super) fn live_index(object: &Object, n: usize) -> usize {
        if !object.deletable {
            return n;
        }
        let (block, rest) = (n / (DELETED_EVERY - 1), n % (DELETED_EVERY - 1));
        block * DELETED_EVERY + rest + usize::from(rest >= DELETED_AT)
    }

    pub(super) fn find(&self, id: RecordId) -> Option<Row<'_>> {
        let row = self.place_of(id, self.changes.added(self.catalog.with_prefix(id.prefix)?))?;
        Some(row.with(self.changes.of(id))).filter(|row| !row.is_purged())
    }

    /// The row with this id as it was made, if its object has one, given how many rows were added to the object.
    pub(super) fn place_of(&self, id: RecordId, added: usize) -> Option<Row<'_>> {
        let object = self.catalog.with_prefix(id.prefix)?;
        let index = if object.prefix != ORGANIZATION {
            id.index()
        } else if id == self.organization() {
            0
        } else {
            return None;
        };
        let row = Row { data: self, object, index, state: State::AS_MADE };
        (index < (object.count)(self) + added).then_some(row)
    }

    /// The rows of `child` whose `field` refers to this row, in the order of their ids.
    pub(super) fn children_of(
        &self,
        parent: Row<'_>,
        child: &'static Object,
        field: &'static str,
    ) -> Vec<Row<'_>> {
        let family = self.family(parent.object, child, field);
        // A row that was inserted a moment ago may be missing.
        let [from, to, ..] = family.starts.get(parent.index..).unwrap_or_default() else { return Vec::new() };
        family.rows[*from as usize..*to as usize]
            .iter()
            .map(|&index| self.row_at(child, index as usize))
            .filter(|row| !row.is_purged())
            .collect()
    }

    /// Rows have changed, and their references may have.
    pub(super) fn forget_families(&self) {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn family(&self, parent: &'static Object, child: &'static Object, field: &'static str) -> Arc<Children> {
        let key = (parent.name, child.name, field);
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(families.entry(key).or_insert_with(|| Arc::new(self.relate(parent, child, field))))
    }

    /// Counting sort of the children by parent.
    fn relate(&self, parent: &Object, child: &'static Object, field: &str) -> Children {
        let parents = self.count(parent);
        let parent_of = |index| {
            let row = self.row_at(child, index);
            match child.field(field).map(|field| (field.make)(row)) {
                Some(Value::Id(id)) if id.prefix == parent.prefix.as_bytes() => {
                    Some(id.index as usize).filter(|&index| index < parents)
                }
                _ => None,
            }
        };
        let mut starts = vec![0_u32; parents + 1];
        let children = self.count(child);
        for index in 0..children {
            if let Some(parent) = parent_of(index) {
                starts[parent + 1] += 1;
            }
        }
        for parent in 0..parents {
            starts[parent + 1] += starts[parent];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts[parents] as usize];
        for index in 0..children {
            if let Some(parent) = parent_of(index) {
                rows[next[parent] as usize] = index as u32;
                next[parent] += 1;
            }
        }
        Children { starts, rows }
    }
}

/// Of the objects with a recycle bin, one row in so many is in it.
pub(super) const DELETED_EVERY: usize = 97;
/// The first deleted row: even an org of ten records has one.
pub(super) const DELETED_AT: usize = 5;

/// What the id of an org begins with.
const ORGANIZATION: &str = "00D";

/// One record.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub(super) data: &'a DataSet,
    pub(super) object: &'static Object,
    pub(super) index: usize,
    pub(super) state: State,
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object.name, self.id())
    }
}

impl<'a> Row<'a> {
    /// The object that it is a record of.
    #[must_use]
    pub fn object(&self) -> &'static Object {
        self.object
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.data.id_of(self.object, self.index)
    }

    /// How often its values have changed since the org started.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.state.version
    }

    /// The same row in another state.
    pub(super) fn with(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The same row before its first change: what never changes is derived from it.
    pub(super) fn as_made(self) -> Self {
        self.with(State { version: 0, ..self.state })
    }

    /// The same row as it is now.
    pub(super) fn now(self) -> Self {
        self.data.row_at(self.object, self.index)
    }

    /// Whether it is in the recycle bin, where only `queryAll` sees it.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        match self.state.bin {
            Bin::AsMade => self.object.deletable && self.index % DELETED_EVERY == DELETED_AT,
            Bin::Inside | Bin::Purged => true,
            Bin::Outside => false,
        }
    }

    /// Whether it is gone for good.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.state.bin == Bin::Purged
    }

    /// A field's value; `None` if the object has no such field.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<Value> {
        self.object.field(field).map(|field| (field.make)(*self))
    }

    /// The record that a parent relationship (`Account`, `Owner`, `What`) leads to; `None` where the reference
    /// is null, or names a record that the user may not see.
    #[must_use]
    pub fn parent(&self, relationship: &str) -> Option<Self> {
        match (self.object.reference(relationship)?.make)(*self) {
            Value::Id(id) => self.data.find(id),
            _ => None,
        }
    }

    /// The records of a child relationship (`Contacts`), deleted ones too, in the order of their ids.
    #[must_use]
    pub fn children(&self, relationship: &str) -> Vec<Self> {
        let Some(child) = self.object.child(relationship) else { return Vec::new() };
        let Some(object) = self.data.object(child.object) else { return Vec::new() };
        self.data.children_of(*self, object, child.field)
    }

    /// A number that looks random and is always the same for this version of the row and this salt.
    pub(super) fn hash(&self, salt: u64) -> u64 {
        let prefix = self.object.prefix.bytes().fold(0_u64, |all, byte| all << 8 | u64::from(byte));
        let version = u64::from(self.state.version).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mix((self.index as u64) << 24 ^ prefix ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ version)
    }

    /// The same, from 0 to below `bound`.
    pub(super) fn pick(&self, salt: u64, bound: usize) -> usize {
        // The high half of a product: no division, and no bias worth the name.
        ((u128::from(self.hash(salt)) * bound as u128) >> 64) as usize
    }
}

/// The finaliser of splitmix64.
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// null
    Null,
    /// A boolean.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A double, currency or percent.
    Double(f64),
    /// Text of any kind.
    Text(Cow<'static, str>),
    /// An id or a reference.
    Id(RecordId),
    /// A calendar day.
    Date(Date),
    /// A timestamp, whole milliseconds.
    Datetime(Timestamp),
    /// A compound address.
    Address(Box<Address>),
    /// A compound location.
    Location {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
    },
    /// A base64 field of a record: a response holds the URL of its bytes.
    Blob(RecordId, &'static str),
}

impl Value {
    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Its text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// The parts of a compound address.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// City.
    pub city: Option<&'static str>,
    /// Country.
    pub country: Option<&'static str>,
    /// How exact latitude and longitude are.
    pub geocode_accuracy: Option<&'static str>,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// Postal code.
    pub postal_code: Option<&'static str>,
    /// State or province.
    pub state: Option<&'static str>,
    /// Street; may have several lines.
    pub street: Option<String>,
}

impl Address {
    /// Whether no part of it is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { city, country, geocode_accuracy, latitude, longitude, postal_code, state, street } = self;
        [city, country, geocode_accuracy, postal_code, state].iter().all(|part| part.is_none())
            && latitude.is_none()
            && longitude.is_none()
            && street.is_none()
    }
}

/// A record's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    prefix: [u8; 3],
    index: u32,
}

/// In the order of their bytes: ids sort as their rows do.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Between an id's prefix and its number: the org's own characters.
const ORG_PART: &[u8; 7] = b"Dm00000";

impl RecordId {
    pub(super) fn new(prefix: &str, index: usize) -> Self {
        let mut bytes = [b'0'; 3];
        for (to, from) in bytes.iter_mut().zip(prefix.bytes()) {
            *to = from;
        }
        Self { prefix: bytes, index: index as u32 }
    }

    /// What the ids of an object's records begin with.
    pub(super) fn prefix_of(object: &Object) -> [u8; 3] {
        Self::new(object.prefix, 0).prefix
    }

    pub(super) fn prefix(self) -> [u8; 3] {
        self.prefix
    }

    /// Whether it is the id of a record of this object.
    pub(super) fn is_of(self, object: &Object) -> bool {
        self.prefix == object.prefix.as_bytes()
    }

    /// Which of the ids with its prefix it is.
    pub(super) fn index(self) -> usize {
        self.index as usize
    }

    /// Reads 15 characters, or 18 whose suffix fits; `None` if they are not an id of this org.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !matches!(bytes.len(), 15 | 18) || &bytes[3..10] != ORG_PART {
            return None;
        }
        let mut index = 0_u32;
        for byte in &bytes[10..15] {
            let digit = BASE_62.iter().position(|digit| digit == byte)?;
            index = index.checked_mul(62)?.checked_add(digit as u32)?;
        }
        let id = Self { prefix: [bytes[0], bytes[1], bytes[2]], index };
        id.to_bytes().starts_with(bytes).then_some(id)
    }

    /// Its 18 characters.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 18] {
        // The id that records without one of their own share.
        if self.prefix == *b"000" {
            return *b"000000000000000AAA";
        }
        let mut id = [b'0'; 18];
        id[..3].copy_from_slice(&self.prefix);
        id[3..10].copy_from_slice(ORG_PART);
        let mut rest = self.index;
        for digit in id[10..15].iter_mut().rev() {
            *digit = BASE_62[(rest % 62) as usize];
            rest /= 62;
        }
        let suffix = checksum(&id[..15]);
        id[15..].copy_from_slice(&suffix);
        id
    }
}

/// The last three characters of an 18-character id: each says which of five characters are capitals.
fn checksum(id: &[u8]) -> [u8; 3] {
    let mut suffix = [b'A'; 3];
    for (letter, chunk) in suffix.iter_mut().zip(id.chunks(5)) {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0, |bits, (place, byte)| bits | usize::from(byte.is_ascii_uppercase()) << place);
        *letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits];
    }
    suffix
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_of_an_id_tells_its_capitals() {
        // Ids from recorded responses.
        for id in ["0014C00000dkMFjQAM", "003B000000DkDswIAF", "001B0000002Gcp0IAC", "0063F00000RdvMKQAZ"] {
            assert_eq!(&checksum(&id.as_bytes()[..15]), &id.as_bytes()[15..]);
        }
    }

    #[test]
    fn an_id_is_read_back_in_both_lengths() {
        let id = RecordId::new("001", 1_234_567);
        let text = id.to_string();
        assert_eq!(text.len(), 18);
        assert_eq!(RecordId::parse(&text), Some(id));
        assert_eq!(RecordId::parse(&text[..15]), Some(id));
        assert_eq!(RecordId::parse(&text.to_lowercase()), None);
    }

    #[test]
    fn live_rows_are_those_outside_the_recycle_bin() {
        for records in [0, 1, 5, 6, 7, 96, 97, 98, 102, 103, 500] {
            let data = DataSet::new(records);
            let account = data.object("account").unwrap();
            let live: Vec<usize> =
                data.rows("Account").filter(|row| !row.is_deleted()).map(|row| row.index).collect();
            assert_eq!(data.live_count(account), live.len(), "{records}");
            for (n, index) in live.iter().enumerate() {
                assert_eq!(DataSet::live_index(account, n), *index);
            }
        }
    }

    #[test]
    fn every_parent_is_live_and_every_child_knows_its_parent() {
        let data = DataSet::new(400);
        let mut related = 0;
        for object in data.objects() {
            for row in data.rows(object.name) {
                for field in object.fields {
                    let Some(reference) = &field.reference else { continue };
                    if let Some(parent) = row.parent(reference.relationship) {
                        assert!(!parent.is_deleted());
                        assert!(reference.to.contains(&parent.object.name));
                    }
                }
                for child in object.children {
                    for found in row.children(child.name) {
                        assert_eq!(found.value(child.field), Some(Value::Id(row.id())));
                        related += 1;
                    }
                }
            }
        }
        assert!(related > 1000);
    }

    #[test]
    fn accounts_have_no_contacts_a_few_or_very_many() {
        let data = DataSet::new(5000);
        let counts: Vec<usize> = data.rows("Account").map(|row| row.children("Contacts").len()).collect();
        assert!(counts.iter().filter(|&&n| n == 0).count() > 500);
        assert!(counts.iter().filter(|&&n| (1..6).contains(&n)).count() > 1000);
        assert_eq!(counts.iter().filter(|&&n| n > 2000).count(), 1);
    }
}

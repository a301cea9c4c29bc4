//! Many small objects of one kind, for exports of a whole org. Their describes are as long as those of real objects:
//! three picklists with hundreds of values each make up most of them.

use std::sync::LazyLock;

use super::values::{created_date, creator, edited, id, is_deleted, modified_date, modifier, score, user};
use crate::demo_org::data::{DataSet, Row, TODAY, Value};
use crate::demo_org::schema::{Field, Kind, Object, Quirks};

/// The most objects that an org has.
const MOST: usize = 1000;

/// How many values each picklist has.
const CHOICES: usize = 900;

/// The number of the first object's prefix among those of custom objects, past those of the standard catalog.
const FIRST_PREFIX: usize = 620;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static ALL: LazyLock<Vec<Object>> = LazyLock::new(|| (0..MOST).map(object).collect());

static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let choices = choices();
    vec![
        Field::new("Id", Kind::Id, id),
        Field::reference("OwnerId", "Owner", &["User"], user),
        Field::new("IsDeleted", Kind::Boolean, is_deleted),
        Field::new("Name", Kind::Text, |row| edited(row, format!("Record {}", row.index))),
        Field::new("CreatedDate", Kind::Datetime, created_date),
        Field::reference("CreatedById", "CreatedBy", &["User"], creator),
        Field::new("LastModifiedDate", Kind::Datetime, modified_date),
        Field::reference("LastModifiedById", "LastModifiedBy", &["User"], modifier),
        Field::new("SystemModstamp", Kind::Datetime, modified_date),
        Field::new("Active__c", Kind::Boolean, |row| Value::Bool(row.pick(30, 3) > 0)),
        Field::new("Amount__c", Kind::Double, score),
        Field::new("Day__c", Kind::Date, |row| {
            use jiff::ToSpan as _;
            Value::Date(TODAY.saturating_sub((row.pick(31, 2000) as i64).days()))
        }),
        Field::new("First_Choice__c", Kind::Picklist, |row| choice(row, 120)).of(choices),
        Field::new("Second_Choice__c", Kind::Picklist, |row| choice(row, 121)).of(choices),
        Field::new("Third_Choice__c", Kind::Picklist, |row| choice(row, 122)).of(choices),
    ]
});

static VALUES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| (0..CHOICES).map(|n| &*String::leak(format!("Choice {n:03}"))).collect());

/// The values of the picklists.
pub(in crate::demo_org) fn choices() -> &'static [&'static str] {
    &VALUES
}

fn choice(row: Row<'_>, salt: u64) -> Value {
    choices()[row.pick(salt, CHOICES)].into()
}

/// The first objects, at most [`MOST`].
pub(in crate::demo_org) fn first(count: usize) -> &'static [Object] {
    &ALL[..count.min(MOST)]
}

/// The object of the first `count` whose ids begin so.
pub(in crate::demo_org) fn with_prefix(prefix: [u8; 3], count: usize) -> Option<&'static Object> {
    let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
    let number = digit(prefix[1])? * 62 + digit(prefix[2])?;
    let object = first(count).get(number.checked_sub(FIRST_PREFIX)?)?;
    (object.prefix.as_bytes() == prefix).then_some(object)
}

fn object(n: usize) -> Object {
    let number = FIRST_PREFIX + n;
    let prefix = ['a', char::from(DIGITS[number / 62]), char::from(DIGITS[number % 62])];
    Object {
        name: String::leak(format!("Obj{n:03}__c")),
        prefix: String::leak(prefix.iter().collect()),
        count: DataSet::records,
        deletable: false,
        quirks: Quirks::NONE,
        fields: &FIELDS,
        children: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo_org::Catalog;

    #[test]
    fn every_numbered_object_has_its_own_name_and_rows() {
        let data = DataSet::of(Catalog::Numbered(400), 200);
        let names: Vec<_> = data.objects().into_iter().map(|object| object.name).collect();
        assert_eq!((names[0], names[399], names.len()), ("Obj000__c", "Obj399__c", 401));
        for name in ["Obj000__c", "Obj001__c", "Obj399__c"] {
            let rows: Vec<_> = data.rows(name).collect();
            assert_eq!(rows.len(), 200);
            for row in rows {
                assert_eq!(data.row(&row.id().to_string()).unwrap().object().name, name);
                assert_eq!(row.parent("Owner").unwrap().object().name, "User");
            }
        }
        assert!(with_prefix(*b"aA0", 1).is_some() && with_prefix(*b"aA1", 1).is_none());
    }
}

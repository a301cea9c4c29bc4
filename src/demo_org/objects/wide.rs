//! An object with so many fields that a query of all of them is longer than a URL may be.

use std::sync::LazyLock;

use super::odd::odd;
use super::values::{id, modified_date, score};
use crate::demo_org::data::{Row, TODAY, Value};
use crate::demo_org::schema::{Field, Kind, Object};

/// How many custom fields it has.
const FIELDS: usize = 500;

pub(super) static WIDE: LazyLock<Object> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("Id", Kind::Id, id),
        Field::new("Name", Kind::Text, |row| format!("wide {}", row.index).into()),
        Field::new("SystemModstamp", Kind::Datetime, modified_date),
        Field::new("Former__c", Kind::Text, |row| format!("former {}", row.index).into()).deprecated(),
        Field::new("Score__c", Kind::Double, score),
        Field::new("Twice_the_Index__c", Kind::Double, |row| Value::Double(row.index as f64 * 2.0))
            .calculated(),
    ];
    fields.extend((0..FIELDS).map(|n| {
        let name: &'static str = String::leak(format!("A_Field_With_A_Long_Name_{n:03}__c"));
        let (kind, make) = MAKERS[n % MAKERS.len()];
        Field::new(name, kind, make)
    }));
    odd("Wide__c", "a9W", |_| 20, Vec::leak(fields))
});

type Make = fn(Row<'_>) -> Value;

/// Values that differ from one field to the next, so that none can be taken for its neighbour.
const MAKERS: [(Kind, Make); 12] = [
    (Kind::Text, text::<0>),
    (Kind::Int, number::<1>),
    (Kind::Text, text::<2>),
    (Kind::Boolean, |row| Value::Bool(row.pick(223, 2) == 0)),
    (Kind::Double, |row| Value::Double(row.pick(224, 1000) as f64 / 8.0)),
    (Kind::Text, text::<5>),
    (Kind::Int, number::<6>),
    (Kind::Date, |row| {
        use jiff::ToSpan as _;
        Value::Date(TODAY.saturating_sub((row.pick(227, 900) as i64).days()))
    }),
    (Kind::Text, text::<8>),
    (Kind::Int, number::<9>),
    (Kind::Text, text::<10>),
    (Kind::Currency, |row| Value::Double(row.pick(231, 100_000) as f64 / 100.0)),
];

fn text<const SALT: u64>(row: Row<'_>) -> Value {
    match row.pick(220 + SALT, 4) {
        0 => Value::Null,
        n => format!("{SALT}, {n} of {}", row.index).into(),
    }
}

fn number<const SALT: u64>(row: Row<'_>) -> Value {
    Value::Int(row.pick(220 + SALT, 1_000_000) as i64)
}

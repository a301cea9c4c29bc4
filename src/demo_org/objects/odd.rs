//! Objects that differ from those that people keep records in: sharing, history and feed tables, events, big and external
//! objects, objects that cannot be queried at all, and one whose records all have the same id.

use super::values::{
    account_at, created_date, creator, id, is_deleted, modified_date, modifier, score, user,
};
use crate::demo_org::data::{DataSet, RecordId, Row, Value};
use crate::demo_org::schema::{Counting, Field, Kind, Object, Quirks, Refuses, Said};

/// How many rows most of them have.
pub(super) fn few(_: &DataSet) -> usize {
    5
}

/// An object that is one of these.
pub(super) const fn odd(
    name: &'static str,
    prefix: &'static str,
    count: fn(&DataSet) -> usize,
    fields: &'static [Field],
) -> Object {
    let quirks = Quirks { is_odd: true, ..Quirks::NONE };
    Object { name, prefix, count, deletable: false, quirks, fields, children: &[] }
}

/// An object that is described as not queryable.
const fn unqueryable(name: &'static str, fields: &'static [Field]) -> Object {
    let mut object = odd(name, NO_PREFIX, few, fields);
    object.quirks.queryable = false;
    object
}

/// A table of a picklist's values, which Bulk API 2.0 does not take.
const fn not_in_bulk(name: &'static str, prefix: &'static str) -> Object {
    let mut object = odd(name, prefix, few, VALUES);
    object.quirks.in_bulk = false;
    object
}

/// The prefix of objects whose records have no ids of their own: every id is `000000000000000AAA`.
pub(super) const NO_PREFIX: &str = "000";

pub(super) static ALL: &[Object] = &[
    odd(
        "AccountShare",
        "00r",
        |data| data.records() / 10,
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("AccountId", "Account", &["Account"], |row| account_at(row, 201)),
            Field::reference("UserOrGroupId", "UserOrGroup", &["User"], user),
            Field::new("AccountAccessLevel", Kind::Picklist, |_| "Edit".into()).of(&["Read", "Edit", "All"]),
            Field::new("RowCause", Kind::Picklist, |row| ["Owner", "Manual"][row.index % 2].into())
                .of(&["Owner", "Manual"]),
            Field::new("LastModifiedDate", Kind::Datetime, modified_date),
            Field::reference("LastModifiedById", "LastModifiedBy", &["User"], modifier),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
        ],
    ),
    odd(
        "AccountHistory",
        "017",
        |data| data.records() / 10,
        &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("AccountId", "Account", &["Account"], |row| account_at(row, 202)),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("Field", Kind::Picklist, |row| HISTORY[row.index % 4].0.into()).of(&[
                "created",
                "Rating",
                "AnnualRevenue",
                "Active__c",
            ]),
            Field::new("OldValue", Kind::Any, |_| Value::Null),
            // Of whatever type the field has.
            Field::new("NewValue", Kind::Any, |row| HISTORY[row.index % 4].1.clone()),
        ],
    ),
    odd(
        "AccountFeed",
        "0D5",
        |data| data.records() / 20,
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("ParentId", "Parent", &["Account"], |row| account_at(row, 203)),
            Field::new("Type", Kind::Picklist, |_| "TextPost".into()).of(&["TextPost", "TrackedChange"]),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::new("SystemModstamp", Kind::Datetime, modified_date),
            Field::new("Body", Kind::LongText, |row| format!("post {}", row.index).into()),
        ],
    ),
    unqueryable("AccountChangeEvent", EVENT),
    unqueryable("ActivityHistory", &[Field::new("Id", Kind::Id, zero_id)]),
    unqueryable("AggregateResult", &[Field::new("Id", Kind::Id, zero_id)]),
    not_in_bulk("OrderStatus", "0W1"),
    not_in_bulk("TaskStatus", "01T"),
    odd(
        "AppDefinition",
        NO_PREFIX,
        few,
        &[
            Field::new("Id", Kind::Id, zero_id),
            Field::new("DurableId", Kind::Text, durable_id),
            Field::new("Label", Kind::Text, |row| format!("App {}", row.index).into()),
        ],
    ),
    unqueryable("CombinedAttachment", &[Field::new("Id", Kind::Id, zero_id)]),
    {
        // An external object: each query asks another system.
        odd(
            "Supplier__x",
            "x00",
            few,
            &[
                Field::new("Id", Kind::Id, id),
                Field::new("ExternalId", Kind::Text, |row| format!("EXT-{}", row.index).into()),
                Field::new("DisplayUrl", Kind::Url, |row| {
                    format!("https://www.example.com/suppliers/{}", row.index).into()
                }),
                Field::new("Name__c", Kind::Text, |row| format!("Supplier {}", row.index).into()),
            ],
        )
    },
    {
        let mut object = odd(
            "FieldPermissions",
            "01k",
            |_| 12,
            &[
                Field::new("Id", Kind::Id, id),
                Field::reference("ParentId", "Parent", &["Profile"], |row| {
                    Value::Id(RecordId::new("00e", row.index % 3))
                }),
                Field::new("SobjectType", Kind::Picklist, |_| "Account".into()),
                Field::new("Field", Kind::Picklist, |row| format!("Account.Field{}", row.index).into()),
                Field::new("PermissionsRead", Kind::Boolean, |_| Value::Bool(true)),
                Field::new("SystemModstamp", Kind::Datetime, modified_date),
            ],
        );
        object.quirks.counting = Counting::Short(3);
        object
    },
    unqueryable("LoginEventStream", EVENT),
    unqueryable("Name", &[Field::new("Id", Kind::Id, zero_id), Field::new("Name", Kind::Text, durable_id)]),
    unqueryable("NoteAndAttachment", &[Field::new("Id", Kind::Id, zero_id)]),
    unqueryable("OpenActivity", &[Field::new("Id", Kind::Id, zero_id)]),
    unqueryable("Order_Placed__e", EVENT),
    {
        // A big object: the org does not count its rows.
        let mut object = odd(
            "Reading__b",
            "0Bb",
            few,
            &[
                Field::new("Id", Kind::Id, id),
                Field::new("Device__c", Kind::Text, |row| format!("device {}", row.index % 2).into()),
                Field::new("Taken__c", Kind::Datetime, created_date),
                Field::new("Value__c", Kind::Double, score),
                Field::new("CreatedDate", Kind::Datetime, created_date),
            ],
        );
        object.quirks.counting = Counting::Never;
        let said = Said(400, "BIG_OBJECT_UNSUPPORTED_OPERATION", "Aggregate functions not supported");
        object.quirks.refuses = Refuses::Aggregates(said);
        object
    },
    {
        // Kept for old versions of the API.
        let mut object = odd(
            "Retired__c",
            "a9Z",
            few,
            &[Field::new("Id", Kind::Id, id), Field::new("Name", Kind::Text, durable_id)],
        );
        object.quirks.deprecated = true;
        object
    },
    {
        // Custom metadata: it has a stamp, but no log of deletes.
        let mut object = odd(
            "Region_Setting__mdt",
            "m00",
            few,
            &[
                Field::new("Id", Kind::Id, id),
                Field::new("DeveloperName", Kind::Text, |row| format!("Region_{}", row.index).into()),
                Field::new("MasterLabel", Kind::Text, |row| format!("Region {}", row.index).into()),
                Field::new("SystemModstamp", Kind::Datetime, modified_date),
            ],
        );
        object.quirks.replicateable = false;
        object
    },
];

/// The fields of a picklist's values.
const VALUES: &[Field] = &[
    Field::new("Id", Kind::Id, id),
    Field::new("MasterLabel", Kind::Text, durable_id),
    Field::new("SortOrder", Kind::Int, |row| Value::Int(row.index as i64 + 1)),
    Field::new("IsDefault", Kind::Boolean, |row| Value::Bool(row.index == 0)),
    Field::new("SystemModstamp", Kind::Datetime, modified_date),
];

/// The fields of an event.
const EVENT: &[Field] = &[
    Field::new("Id", Kind::Id, zero_id),
    Field::new("ReplayId", Kind::Text, durable_id),
    Field::new("CreatedDate", Kind::Datetime, created_date),
];

/// Field and new value of a change.
const HISTORY: [(&str, Value); 4] = [
    ("created", Value::Null),
    ("Rating", Value::Text(std::borrow::Cow::Borrowed("Hot"))),
    ("AnnualRevenue", Value::Double(1.5e7)),
    ("Active__c", Value::Bool(true)),
];

pub(super) fn zero_id(_: Row<'_>) -> Value {
    Value::Id(RecordId::new(NO_PREFIX, 0))
}

/// Identifies such a record.
pub(super) fn durable_id(row: Row<'_>) -> Value {
    format!("{}.{}", row.object.name, row.index).into()
}

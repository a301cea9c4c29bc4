//! Objects that the service writes its logs to: their records are added and never change.

use super::odd::odd;
use super::values::{created, created_date, creator, id, is_deleted, timestamp, user};
use crate::demo_org::data::{Row, Value};
use crate::demo_org::schema::{Field, Kind, Object};

pub(super) static ALL: &[Object] = &[
    // A file of a day for every third record, of an hour for the others, written some hours after the events.
    odd(
        "EventLogFile",
        "0AT",
        |data| data.records() / 10,
        &[
            Field::new("Id", Kind::Id, id),
            Field::new("IsDeleted", Kind::Boolean, is_deleted),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::new("LastModifiedDate", Kind::Datetime, created_date),
            Field::new("SystemModstamp", Kind::Datetime, created_date),
            Field::new("EventType", Kind::Picklist, |row| EVENTS[row.index % 3].into()).of(&EVENTS),
            Field::new("Interval", Kind::Picklist, |row| {
                if is_daily(row) { "Daily" } else { "Hourly" }.into()
            })
            .of(&["Daily", "Hourly"]),
            Field::new("Sequence", Kind::Int, |row| Value::Int(sequence(row))),
            Field::new("LogDate", Kind::Datetime, log_date),
            Field::new("ApiVersion", Kind::Double, |_| Value::Double(62.0)),
            Field::new("LogFile", Kind::Base64, |row| Value::Blob(row.id(), "LogFile")),
            Field::new("LogFileContentType", Kind::Text, |_| "text/csv".into()),
            Field::new("LogFileFieldNames", Kind::LongText, |_| "EVENT_TYPE,TIMESTAMP,REQUEST_ID".into()),
            Field::new("LogFileFieldTypes", Kind::LongText, |_| "String,DateTime,Id".into()),
            Field::new("LogFileLength", Kind::Double, |row| Value::Double(row.pick(301, 1_000_000) as f64)),
        ],
    ),
    odd(
        "LoginHistory",
        "0Ya",
        |data| data.records() / 10,
        &[
            Field::new("Id", Kind::Id, id),
            Field::reference("UserId", "User", &["User"], user),
            Field::new("LoginTime", Kind::Datetime, created_date),
            Field::new("LoginType", Kind::Picklist, |_| "Application".into())
                .of(&["Application", "Remote Access 2.0"]),
            Field::new("SourceIp", Kind::Text, |row| format!("192.0.2.{}", row.index % 255).into()),
            Field::new("Status", Kind::Text, |row| ["Success", "Invalid Password"][row.pick(302, 2)].into()),
            Field::new("Application", Kind::Text, |_| "Browser".into()),
        ],
    ),
    odd(
        "SetupAuditTrail",
        "0Ym",
        |data| data.records() / 10,
        &[
            Field::new("Id", Kind::Id, id),
            Field::new("Action", Kind::Text, |row| {
                ["PermSetAssign", "changedUserEmail"][row.pick(303, 2)].into()
            }),
            Field::new("Section", Kind::Text, |_| "Manage Users".into()),
            Field::new("Display", Kind::LongText, |row| format!("Change {}", row.index).into()),
            Field::new("CreatedDate", Kind::Datetime, created_date),
            Field::reference("CreatedById", "CreatedBy", &["User"], creator),
        ],
    ),
];

const EVENTS: [&str; 3] = ["Login", "API", "ReportExport"];

fn is_daily(row: Row<'_>) -> bool {
    row.index % 3 == 2
}

/// A later file of an hour, for events that were late, has the next number.
fn sequence(row: Row<'_>) -> i64 {
    if is_daily(row) { 0 } else { 1 + i64::from(row.index % 6 == 4) }
}

/// The beginning of the hour three hours before the file was written, or of the day before.
fn log_date(row: Row<'_>) -> Value {
    let (period, earlier) = if is_daily(row) { (86_400, 24) } else { (3_600, 3) };
    let second = created(row) / 1000 - earlier * 3_600;
    timestamp((second - second.rem_euclid(period)) * 1000)
}

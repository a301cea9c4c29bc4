//! Reads the response to `query?q=...&columns=true`: the columns of a query's result, without its records. `soql`
//! decides which columns the export gets from them.

use serde::Deserialize;

use super::fault::{Fault, FaultKind, words};
use crate::soql::{Described, ValueKind};
use crate::value::FieldType;

#[derive(Deserialize)]
struct Response {
    #[serde(rename = "columnMetadata")]
    columns: Option<Vec<Column>>,
}

/// The type, and those of a column's dozen keys that Salesforce's own CLI reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Column {
    column_name: String,
    #[serde(default)]
    aggregate: Option<bool>,
    #[serde(default)]
    apex_type: Option<String>,
    #[serde(default)]
    join_columns: Option<Vec<Self>>,
}

impl From<Column> for Described {
    fn from(column: Column) -> Self {
        Self {
            name: column.column_name,
            computed: column.aggregate.unwrap_or_default(),
            kind: kind(column.apex_type.as_deref().unwrap_or_default()),
            inner: column.join_columns.unwrap_or_default().into_iter().map(Self::from).collect(),
        }
    }
}

/// The kind for an Apex type such as `Address` or `System.Address`. The response does not give a Decimal's digits,
/// and the org stores its values as doubles anyway.
fn kind(apex_type: &str) -> ValueKind {
    const PLAIN: [(&str, FieldType); 12] = [
        ("Id", FieldType::Text),
        ("String", FieldType::Text),
        ("Boolean", FieldType::Boolean),
        ("Integer", FieldType::Integer),
        ("Long", FieldType::Long),
        ("Double", FieldType::Double),
        ("Decimal", FieldType::Double),
        ("Date", FieldType::Date),
        ("Datetime", FieldType::DateTime),
        ("Time", FieldType::Time),
        ("Blob", FieldType::Base64),
        ("Object", FieldType::Any),
    ];
    let name = apex_type.rsplit('.').next().unwrap_or_default();
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match PLAIN.into_iter().find(|(known, _)| is(known)) {
        Some((_, field_type)) => ValueKind::Plain(field_type),
        None if is("Address") => ValueKind::Address,
        None if is("Location") || is("Geolocation") => ValueKind::Location,
        None => ValueKind::Unknown,
    }
}

/// Reads the columns, in the org's order.
///
/// # Errors
/// [`FaultKind::Truncated`] if the response is not complete JSON, [`FaultKind::QueryRefused`] if it describes no
/// columns: an org that does not know `columns=true` ignores it and sends records.
pub fn read(body: &[u8]) -> Result<Vec<Described>, Fault> {
    let not_described = || {
        Fault::new(FaultKind::QueryRefused, "the org does not describe the query's columns (columns=true)")
            .hint(
                "name the fields instead of FIELDS(), and the parts of a compound field instead of the field",
            )
    };
    let response: Response = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            not_described()
        } else {
            Fault::new(
                FaultKind::Truncated,
                format!("the response is not complete JSON: {}", words(&error.to_string())),
            )
        }
    })?;
    let columns = response.columns.filter(|columns| !columns.is_empty()).ok_or_else(not_described)?;
    Ok(columns.into_iter().map(Described::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_at_every_depth() {
        // Keys in an unusual order, and unknown keys.
        let body = br#"{"columnMetadata":[
            {"aggregate":false,"apexType":"Id","columnName":"Id","displayName":"Id","joinColumns":[],"textType":false},
            {"columnName":"BillingAddress","apexType":"System.Address","aggregate":false,"joinColumns":null},
            {"aggregate":false,"apexType":null,"columnName":"Owner","joinColumns":[
                {"aggregate":false,"apexType":"String","columnName":"Name","joinColumns":[],"new":{"x":[1]}}]},
            {"aggregate":true,"columnName":"Contacts","joinColumns":[{"columnName":"Place__c","apexType":"Location"}]},
            {"aggregate":true,"apexType":"Double","columnName":"expr0","displayName":"SUM(Amount)","joinColumns":[]}],
            "entityName":"Account","groupBy":false,"idSelected":true,"keyPrefix":"001"}"#;
        let one =
            |name: &str, computed, kind, inner| Described { name: name.to_owned(), computed, kind, inner };
        use FieldType::{Double, Text};
        use ValueKind::{Address, Location, Plain, Unknown};
        assert_eq!(
            read(body).unwrap(),
            [
                one("Id", false, Plain(Text), vec![]),
                one("BillingAddress", false, Address, vec![]),
                one("Owner", false, Unknown, vec![one("Name", false, Plain(Text), vec![])]),
                one("Contacts", true, Unknown, vec![one("Place__c", false, Location, vec![])]),
                one("expr0", true, Plain(Double), vec![]),
            ]
        );
    }

    #[test]
    fn every_apex_type_of_a_column_is_known() {
        for (apex_type, expected) in [
            ("Id", ValueKind::Plain(FieldType::Text)),
            ("String", ValueKind::Plain(FieldType::Text)),
            ("Boolean", ValueKind::Plain(FieldType::Boolean)),
            ("Integer", ValueKind::Plain(FieldType::Integer)),
            ("Long", ValueKind::Plain(FieldType::Long)),
            ("Double", ValueKind::Plain(FieldType::Double)),
            ("Decimal", ValueKind::Plain(FieldType::Double)),
            ("Date", ValueKind::Plain(FieldType::Date)),
            ("Datetime", ValueKind::Plain(FieldType::DateTime)),
            ("System.DateTime", ValueKind::Plain(FieldType::DateTime)),
            ("Time", ValueKind::Plain(FieldType::Time)),
            ("Blob", ValueKind::Plain(FieldType::Base64)),
            ("Object", ValueKind::Plain(FieldType::Any)),
            ("System.Address", ValueKind::Address),
            ("Location", ValueKind::Location),
            ("", ValueKind::Unknown),
            ("SObject", ValueKind::Unknown),
        ] {
            assert_eq!(kind(apex_type), expected, "{apex_type}");
        }
    }

    #[test]
    fn a_response_without_columns_is_refused_a_cut_one_retried() {
        for (body, kind) in [
            (&br#"{"totalSize":1,"done":true,"records":[{"Id":"x"}]}"#[..], FaultKind::QueryRefused),
            (br#"{"columnMetadata":[]}"#, FaultKind::QueryRefused),
            (br#"{"columnMetadata":[{"columnName":7}]}"#, FaultKind::QueryRefused),
            (br#"[1]"#, FaultKind::QueryRefused),
            (br#"{"columnMetadata":[{"columnName":"Id"#, FaultKind::Truncated),
            (b"", FaultKind::Truncated),
            (b"<html>", FaultKind::Truncated),
        ] {
            assert_eq!(
                read(body).expect_err("no description").kind,
                kind,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }
}

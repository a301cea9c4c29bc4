//! The answer to `query?q=...&columns=true`: the columns of a query's result, without its records. What columns
//! an export makes of them is decided by `soql`.

use serde::Deserialize;

use super::fault::{Fault, FaultKind};
use crate::soql::{Described, ValueKind};

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "columnMetadata")]
    columns: Option<Vec<Column>>,
}

/// Of a column's dozen keys those that Salesforce's own command line reads, and the type.
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

/// The kind of a type of Apex, `Address` or `System.Address`.
fn kind(apex_type: &str) -> ValueKind {
    const PLAIN: [&str; 10] =
        ["Id", "String", "Boolean", "Integer", "Long", "Double", "Decimal", "Date", "Datetime", "Time"];
    let name = apex_type.rsplit('.').next().unwrap_or_default();
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name {
        _ if is("Address") => ValueKind::Address,
        _ if is("Location") || is("Geolocation") => ValueKind::Location,
        _ if is("Blob") || PLAIN.into_iter().any(is) => ValueKind::Plain,
        _ => ValueKind::Unknown,
    }
}

/// Reads the columns, in the org's order.
///
/// # Errors
/// [`FaultKind::Truncated`] where the answer is no whole JSON, [`FaultKind::QueryRefused`] where it describes no columns:
/// an org that does not know `columns=true` passes over it and sends records.
pub fn read(body: &[u8]) -> Result<Vec<Described>, Fault> {
    let not_described = || {
        Fault::new(FaultKind::QueryRefused, "the org does not describe the query's columns (columns=true)")
            .hint("name the fields in place of FIELDS(), and the parts of a compound field in place of it")
    };
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            not_described()
        } else {
            Fault::new(FaultKind::Truncated, format!("the answer is no whole JSON: {error}"))
        }
    })?;
    let columns = answer.columns.filter(|columns| !columns.is_empty()).ok_or_else(not_described)?;
    Ok(columns.into_iter().map(Described::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_at_every_depth() {
        // The keys in another order than usual, and keys of which nothing is known.
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
        use ValueKind::{Address, Location, Plain, Unknown};
        assert_eq!(
            read(body).unwrap(),
            [
                one("Id", false, Plain, vec![]),
                one("BillingAddress", false, Address, vec![]),
                one("Owner", false, Unknown, vec![one("Name", false, Plain, vec![])]),
                one("Contacts", true, Unknown, vec![one("Place__c", false, Location, vec![])]),
                one("expr0", true, Plain, vec![]),
            ]
        );
    }

    #[test]
    fn an_answer_that_describes_nothing_is_refused_and_one_that_is_cut_asked_for_again() {
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

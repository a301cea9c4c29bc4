//! Every option of the CSV dialect, and JSON Lines, read back by readers that are not ours: Python's csv and json,
//! and a table of SQLite's. Skipped, with a note, where there is no python3.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails; one skipped says so"
)]

mod support;

use std::process::Command;

use serde_json::{Value as Json, json};
use sfexport::demo_org::{At, Fault, Kind, Options, Row, Rule, Value};
use support::{Deployment, cell, live, options};

/// Texts that break CSV, numbers over the whole range of doubles, whole numbers, booleans, dates.
const COLUMNS: [&str; 10] = [
    "Id",
    "Name",
    "Site",
    "Remarks__c",
    "Description",
    "NumberOfEmployees",
    "Score__c",
    "AnnualRevenue",
    "Active__c",
    "CreatedDate",
];

/// One dialect: the job's keys, and what a reader has to know.
struct Dialect {
    name: &'static str,
    keys: &'static str,
    delimiter: char,
    quote: char,
    crlf: bool,
    null: &'static str,
    header: bool,
    bom: bool,
    guarded: bool,
}

const PLAIN: Dialect = Dialect {
    name: "plain",
    keys: "",
    delimiter: ',',
    quote: '"',
    crlf: false,
    null: "",
    header: true,
    bom: false,
    guarded: false,
};

const DIALECTS: [Dialect; 12] = [
    PLAIN,
    Dialect { name: "semicolons", keys: "delimiter = \";\"", delimiter: ';', ..PLAIN },
    Dialect { name: "tabs", keys: "delimiter = \"\\t\"", delimiter: '\t', ..PLAIN },
    Dialect { name: "pipes", keys: "delimiter = \"|\"", delimiter: '|', ..PLAIN },
    Dialect { name: "spaces", keys: "delimiter = \" \"", delimiter: ' ', ..PLAIN },
    Dialect { name: "apostrophes", keys: "quote = \"'\"", quote: '\'', ..PLAIN },
    Dialect { name: "crlf", keys: "line_ending = \"crlf\"", crlf: true, ..PLAIN },
    Dialect { name: "null", keys: "null = \"\\\\N\"", null: "\\N", ..PLAIN },
    Dialect { name: "headless", keys: "header = false", header: false, ..PLAIN },
    Dialect { name: "bom", keys: "bom = true", bom: true, ..PLAIN },
    Dialect { name: "guarded", keys: "formula_guard = true", guarded: true, ..PLAIN },
    Dialect {
        name: "everything",
        keys: "delimiter = \";\"\nquote = \"'\"\nline_ending = \"crlf\"\nnull = \"NULL\"\nbom = true",
        delimiter: ';',
        quote: '\'',
        crlf: true,
        null: "NULL",
        header: true,
        bom: true,
        guarded: false,
    },
];

fn is_text(kind: Kind) -> bool {
    !matches!(kind, Kind::Boolean | Kind::Int | Kind::Double | Kind::Currency)
}

#[test]
fn pythons_readers_and_sqlite_read_what_the_org_holds() {
    if Command::new("python3").arg("--version").output().is_err() {
        support::skip("there is no python3");
        return;
    }
    let deployment = Deployment::with(Options { page_size: 100, ..options(400) });
    let soql = format!("SELECT {} FROM Account", COLUMNS.join(", "));
    let account = deployment.data().object("Account").unwrap();
    let kinds = COLUMNS.map(|name| account.field(name).unwrap().kind);
    let rows = live(deployment.data(), "Account");
    let values: Vec<Vec<Json>> =
        rows.iter().map(|row| COLUMNS.map(|name| value(*row, name)).to_vec()).collect();
    // SQLite has no booleans: their text stays text.
    let stored = |value: &Json| if value.is_boolean() { json!(value.to_string()) } else { value.clone() };
    let stored: Vec<Vec<Json>> = values.iter().map(|row| row.iter().map(stored).collect()).collect();
    let types = kinds.map(|kind| match kind {
        Kind::Int => "INTEGER",
        Kind::Double | Kind::Currency => "REAL",
        _ => "TEXT",
    });

    let mut cases = Vec::new();
    for dialect in &DIALECTS {
        let name = dialect.name;
        deployment.job(name, &soql, &format!("{name}.csv"), &format!("[csv]\n{}", dialect.keys));
        let cells = rows.iter().map(|row| {
            COLUMNS.iter().zip(kinds).map(|(name, kind)| {
                let value = row.value(name).unwrap();
                let text = if value.is_null() { dialect.null.to_owned() } else { cell(&value) };
                // OWASP's list of what a spreadsheet takes for a formula.
                let runs = text.starts_with(['\t', '\r', '\n', '\0'])
                    || text.trim_start().starts_with(['=', '+', '-', '@']);
                if dialect.guarded && is_text(kind) && runs { format!("'{text}") } else { text }
            })
        });
        cases.push(json!({
            "name": name,
            "path": deployment.path(&format!("exports/{name}.csv")),
            "jsonl": false,
            "delimiter": dialect.delimiter,
            "quote": dialect.quote,
            "crlf": dialect.crlf,
            "null": dialect.null,
            "header": dialect.header,
            "bom": dialect.bom,
            "guarded": dialect.guarded,
            "columns": COLUMNS,
            "types": types,
            "cells": cells.map(Iterator::collect).collect::<Vec<Vec<_>>>(),
            "values": stored,
        }));
    }
    for (name, keys) in [("sent", ""), ("written_out", "numbers = \"plain\"")] {
        deployment.job(name, &soql, &format!("{name}.jsonl"), keys);
        cases.push(json!({
            "name": name,
            "path": deployment.path(&format!("exports/{name}.jsonl")),
            "jsonl": true,
            "plain": name == "written_out",
            "columns": COLUMNS,
            "values": values,
        }));
    }
    deployment.run(["run", "--all"]).ended(0);

    deployment.write("cases.json", Json::Array(cases).to_string());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialects.py");
    let read = Command::new("python3").arg(script).arg(deployment.path("cases.json")).output().unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{}", said.chars().take(2000).collect::<String>());
}

#[test]
fn text_equal_to_the_null_token_is_told_from_null() {
    let deployment = Deployment::new(400);
    let soql = "SELECT Id, Site FROM Account WHERE Site = 'null' OR Site = null";
    deployment.job("nulls", soql, "nulls.csv", "[csv]\nnull = \"null\"");
    deployment.run(["run", "nulls"]).ended(0);
    let mut expected = "Id,Site\n".to_owned();
    for row in live(deployment.data(), "Account") {
        match row.value("Site").unwrap() {
            Value::Null => expected.push_str(&format!("{},null\n", row.id())),
            site if cell(&site) == "null" => expected.push_str(&format!("{},\"null\"\n", row.id())),
            _ => {}
        }
    }
    assert!(expected.contains(",null\n") && expected.contains(",\"null\"\n"));
    assert_eq!(String::from_utf8(deployment.read("exports/nulls.csv")).unwrap(), expected);
}

#[test]
fn a_formula_behind_unseen_characters_is_guarded() {
    let deployment = Deployment::new(400);
    let soql = "SELECT Id, Site FROM Account WHERE Site = 'null' LIMIT 1";
    deployment.job("formula", soql, "formula.csv", "[csv]\nheader = false\nformula_guard = true");
    for hidden in ["\u{a0}=1+1", "\u{200b}\u{feff}=1+1", "\u{202e}@SUM(A1)", "＝1+1", "\u{3000}－1"] {
        let sent =
            Fault::Replace { what: "\"Site\":\"null\"".to_owned(), with: format!("\"Site\":\"{hidden}\"") };
        deployment.script(Rule::once(At::Soql("from account".to_owned()), sent));
        deployment.run(["run", "formula"]).ended(0);
        let file = String::from_utf8(deployment.read("exports/formula.csv")).unwrap();
        let (_, site) = file.trim_end_matches('\n').split_once(',').unwrap();
        assert_eq!(site, format!("'{hidden}"));
    }
}

/// A value as JSON, for a reader that has the same numbers.
fn value(row: Row<'_>, field: &str) -> Json {
    match row.value(field).unwrap() {
        Value::Null => Json::Null,
        Value::Bool(truth) => json!(truth),
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        simple => json!(cell(&simple)),
    }
}

//! `datetimes`, `column_names`, `[columns]` and `[types]`, against the embedded org, compared with its data set.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use serde_json::{Value as Json, json};
use sfexport::demo_org::{At, Fault, Kind, Row, Rule, Value};
use support::{Deployment, assert_same, cell, csv_of, json as sent, live, value};

/// A value as CSV has it with `datetimes = "rfc3339"`.
fn utc(value: &Value) -> String {
    match value {
        Value::Datetime(timestamp) => timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        other => cell(other),
    }
}

/// The same as JSON.
fn utc_json(value: &Value) -> String {
    match value {
        Value::Datetime(_) => format!("\"{}\"", utc(value)),
        other => sent(other),
    }
}

fn cells(row: Row<'_>, paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| utc(&value(row, path))).collect()
}

/// `"Id":"001...","Name":"..."`
fn members(row: Row<'_>, fields: &[&str]) -> String {
    let member = |name: &&str| format!("\"{name}\":{}", utc_json(&value(row, name)));
    fields.iter().map(member).collect::<Vec<_>>().join(",")
}

fn children<'d>(row: Row<'d>, relationship: &str) -> Vec<Row<'d>> {
    row.children(relationship).into_iter().filter(|child| !child.is_deleted()).collect()
}

/// The records of a child query as JSON, null if there are none.
fn contacts(row: Row<'_>, fields: &[&str]) -> Option<String> {
    let all = children(row, "Contacts");
    let records: Vec<_> = all.into_iter().map(|child| format!("{{{}}}", members(child, fields))).collect();
    (!records.is_empty()).then(|| format!("[{}]", records.join(",")))
}

fn descriptions(at: &Deployment) -> usize {
    at.queries().iter().filter(|request| request.query().contains("columns=true")).count()
}

const RFC3339: &str = "datetimes = \"rfc3339\"";

#[test]
fn an_objects_datetimes_are_utc_without_a_further_request() {
    let at = Deployment::new(300);
    for object in ["Account", "Contact", "Opportunity"] {
        let fields = at.data().object(object).unwrap().fields.iter();
        let is_plain = |kind| !matches!(kind, Kind::Address | Kind::Location | Kind::Base64);
        let mut columns: Vec<_> =
            fields.filter(|field| is_plain(field.kind)).map(|field| field.name).collect();
        columns.sort_by_key(|name| (*name != "Id", name.to_ascii_lowercase()));
        at.write(
            &format!("jobs/{object}.toml"),
            format!("object = \"{object}\"\noutput = \"{object}.csv\"\n{RFC3339}"),
        );
        at.run(["run", object]).ended(0);
        let expected = csv_of(&columns, live(at.data(), object).into_iter().map(|row| cells(row, &columns)));
        assert_same(&at.read(&format!("exports/{object}.csv")), &expected);
        assert!(String::from_utf8(expected).unwrap().contains(".000Z"));
    }
    assert_eq!(descriptions(&at), 0);
    // A parent's fields are not part of the description.
    let fields = "fields = [\"Id\", \"Owner.CreatedDate\"]";
    at.write("jobs/p.toml", format!("object = \"Account\"\n{fields}\noutput = \"p.csv\"\n{RFC3339}"));
    at.run(["run", "p"]).ended(0);
    let columns = ["Id", "Owner.CreatedDate"];
    let expected = csv_of(&columns, live(at.data(), "Account").into_iter().map(|row| cells(row, &columns)));
    assert_same(&at.read("exports/p.csv"), &expected);
    assert_eq!(descriptions(&at), 1);
}

const NESTED: &str = "SELECT Id, CreatedDate, Owner.CreatedDate, Name, (SELECT LastName, Birthdate, CreatedDate \
                      FROM Contacts) FROM Account";
const OWN: [&str; 4] = ["Id", "CreatedDate", "Owner.CreatedDate", "Name"];
const CHILD: [&str; 3] = ["LastName", "Birthdate", "CreatedDate"];

#[test]
fn datetimes_are_utc_in_parents_and_child_records() {
    let at = Deployment::new(200);
    for (name, output, more) in
        [("lines", "l.jsonl", ""), ("cells", "c.csv", ""), ("files", "f.csv", "children = \"files\"")]
    {
        at.job(name, NESTED, output, &format!("{RFC3339}\n{more}"));
        at.run(["run", name]).ended(0);
    }
    let accounts = live(at.data(), "Account");
    let line = |row: &Row<'_>| {
        let owner = row.parent("Owner").map(|owner| format!("{{{}}}", members(owner, &["CreatedDate"])));
        format!(
            "{{{},\"Owner\":{},{},\"Contacts\":{}}}\n",
            members(*row, &["Id", "CreatedDate"]),
            owner.unwrap_or_else(|| "null".to_owned()),
            members(*row, &["Name"]),
            contacts(*row, &CHILD).unwrap_or_else(|| "null".to_owned())
        )
    };
    assert_same(&at.read("exports/l.jsonl"), accounts.iter().map(line).collect::<String>().as_bytes());

    let row = |row: &Row<'_>| [cells(*row, &OWN), vec![contacts(*row, &CHILD).unwrap_or_default()]].concat();
    let header = [&OWN[..], &["Contacts"]].concat();
    assert_same(&at.read("exports/c.csv"), &csv_of(&header, accounts.iter().map(row)));

    assert_same(&at.read("exports/f.csv"), &csv_of(&OWN, accounts.iter().map(|row| cells(*row, &OWN))));
    let rows = accounts.iter().flat_map(|account| {
        let id = account.id().to_string();
        children(*account, "Contacts")
            .into_iter()
            .map(move |row| [vec![id.clone()], cells(row, &CHILD)].concat())
    });
    let header = [&["Account.Id"], &CHILD[..]].concat();
    assert_same(&at.read("exports/f.Contacts.csv"), &csv_of(&header, rows));
}

#[test]
fn a_group_has_utc_datetimes() {
    let at = Deployment::new(100);
    let soql = "SELECT Type, COUNT(Id), MIN(CreatedDate), MAX(CreatedDate) newest FROM Account GROUP BY Type \
                ORDER BY Type";
    at.job("g", soql, "g.csv", RFC3339);
    at.run(["run", "g"]).ended(0);
    let accounts = live(at.data(), "Account");
    let mut types: Vec<_> = accounts.iter().map(|row| cell(&value(*row, "Type"))).collect();
    types.sort();
    types.dedup();
    let rows = types.iter().map(|kind| {
        let of_type: Vec<_> = accounts.iter().filter(|row| cell(&value(**row, "Type")) == *kind).collect();
        let mut created: Vec<_> = of_type.iter().map(|row| utc(&value(**row, "CreatedDate"))).collect();
        created.sort();
        let [first, last] = [created.first(), created.last()].map(|at| at.unwrap().clone());
        vec![kind.clone(), of_type.len().to_string(), first, last]
    });
    assert_same(&at.read("exports/g.csv"), &csv_of(&["Type", "expr0", "expr1", "newest"], rows));
}

#[test]
fn a_branch_of_typeof_needs_a_certain_type() {
    let at = Deployment::new(50);
    let soql = "SELECT Id, TYPEOF What WHEN Account THEN CreatedDate, Description WHEN Opportunity THEN CreatedDate, \
                Description END FROM Task";
    at.job("t", soql, "t.csv", RFC3339);
    let says =
        ["needs the type of column \"What.Description\"", "add \"What.Description\" = \"text\" to [types]"];
    at.run(["run", "t"]).ended(65).says(&says);
    let checked = at.run(["check", "t"]).ended(65).stdout().to_owned();
    assert!(checked.contains(says[0]) && checked.contains(says[1]), "{checked}");
    at.job("t", soql, "t.csv", &format!("{RFC3339}\n[types]\n\"What.Description\" = \"text\""));
    at.run(["run", "t"]).ended(0);
    let created = |row: &Row<'_>| {
        let what = row.parent("What").filter(|what| ["Account", "Opportunity"].contains(&what.object().name));
        what.map_or(vec![String::new(); 2], |what| cells(what, &["CreatedDate", "Description"]))
    };
    let rows = live(at.data(), "Task").into_iter().map(|row| [cells(row, &["Id"]), created(&row)].concat());
    let header = ["Id", "What.CreatedDate", "What.Description"];
    assert_same(&at.read("exports/t.csv"), &csv_of(&header, rows));
}

#[test]
fn text_that_looks_like_a_datetime_stays_as_it_is() {
    let at = Deployment::new(3);
    let accounts = live(at.data(), "Account");
    let name = sent(&value(accounts[0], "Name"));
    let text = "\"2026-05-01T07:25:37.000+0000\"".to_owned();
    at.script(Rule::always(At::Page(1), Fault::Replace { what: name, with: text.clone() }));
    for output in ["a.csv", "a.jsonl"] {
        at.job("a", "SELECT Name, CreatedDate FROM Account", output, RFC3339);
        at.run(["run", "a"]).ended(0);
    }
    let created = utc(&value(accounts[0], "CreatedDate"));
    let text = text.trim_matches('"');
    assert_eq!(at.text("exports/a.csv").lines().nth(1), Some(format!("{text},{created}").as_str()));
    let line = at.text("exports/a.jsonl").lines().next().map(str::to_owned);
    assert_eq!(line, Some(format!("{{\"Name\":\"{text}\",\"CreatedDate\":\"{created}\"}}")));
}

#[test]
fn a_value_that_is_not_a_datetime_ends_the_run() {
    let at = Deployment::new(3);
    let accounts = live(at.data(), "Account");
    let created = sent(&value(accounts[1], "CreatedDate"));
    let replaced = |with: &str| {
        at.org().clear_script();
        at.script(Rule::always(At::Page(1), Fault::Replace { what: created.clone(), with: with.to_owned() }));
    };
    let id = accounts[1].id();
    let soql = "SELECT Id, CreatedDate FROM Account";
    for (with, shown) in [
        ("\"5/1/2026, 7:25 AM\"", "\"5/1/2026, 7:25 AM\""),
        ("1777620337000", "\"1777620337000\""),
        ("true", "\"true\""),
    ] {
        replaced(with);
        for output in ["a.csv", "a.jsonl"] {
            at.job("a", soql, output, RFC3339);
            let outcome = at.run(["run", "a", "--json"]).ended(74).says(&[
                &format!("column CreatedDate of record {id}: {shown} is not a datetime"),
                "set \"CreatedDate\" = \"text\" in [types]",
            ]);
            // The status page and webhooks do not show the value.
            let redacted = format!("column CreatedDate of record {id}: a value is not a datetime");
            assert_eq!(outcome.reports()[0]["error_redacted"], redacted);
        }
        at.job("a", soql, "a.csv", &format!("{RFC3339}\n[types]\n\"CreatedDate\" = \"text\""));
        at.run(["run", "a"]).ended(0);
        let row = at.text("exports/a.csv").lines().nth(2).map(str::to_owned);
        assert!(row.unwrap().starts_with(&format!("{id},")));
    }
    // Other offsets are converted, in JSON and in cells, also where an escape hides a digit.
    for with in ["\"2026-05-01T01:25:37.125+02:00\"", "\"2026-04-\\u00330T19:25:37.125-0400\""] {
        replaced(with);
        for output in ["b.csv", "b.jsonl"] {
            at.job("b", soql, output, RFC3339);
            at.run(["run", "b"]).ended(0);
            let text = at.text(&format!("exports/{output}"));
            assert!(text.lines().any(|line| line.contains("2026-04-30T23:25:37.125Z")), "{text}");
        }
    }
}

#[test]
fn a_child_records_datetime_is_named_with_its_relationship() {
    let at = Deployment::new(40);
    let accounts = live(at.data(), "Account");
    let child = accounts.iter().flat_map(|row| children(*row, "Contacts")).next().unwrap();
    let created = sent(&value(child, "CreatedDate"));
    at.script(Rule::always(At::Page(1), Fault::Replace { what: created, with: "\"soon\"".to_owned() }));
    let soql = "SELECT Id, (SELECT Id, CreatedDate FROM Contacts) FROM Account";
    for (output, more) in [("a.jsonl", ""), ("a.csv", ""), ("a.csv", "children = \"files\"")] {
        at.job("a", soql, output, &format!("{RFC3339}\n{more}"));
        at.run(["run", "a"]).ended(74).says(&[
            &format!("column Contacts.CreatedDate of record {}: \"soon\" is not a datetime", child.id()),
            "set \"Contacts.CreatedDate\" = \"text\" in [types]",
        ]);
        at.job(
            "a",
            soql,
            output,
            &format!("{RFC3339}\n{more}\n[types]\n\"contacts.createddate\" = \"text\""),
        );
        at.run(["run", "a"]).ended(0);
    }
}

#[test]
fn types_are_asked_for_only_if_something_needs_them() {
    let at = Deployment::new(3);
    at.job("a", "SELECT Id, CreatedDate FROM Account", "a.csv", "[types]\nCreatedDate = \"text\"");
    at.run(["run", "a"]).ended(0);
    let all = "[types]\nId = \"text\"\nCreatedDate = \"datetime\"";
    at.job("a", "SELECT Id, CreatedDate FROM Account", "a.csv", &format!("{RFC3339}\n{all}"));
    at.run(["run", "a"]).ended(0);
    assert_eq!(descriptions(&at), 0);
    assert!(at.text("exports/a.csv").lines().nth(1).unwrap().ends_with(".000Z"));
    at.job("c", "SELECT COUNT() FROM Account", "c.csv", RFC3339);
    at.run(["run", "c"]).ended(0);
    assert_eq!(descriptions(&at), 0);
    let records = Fault::body(r#"{"totalSize":0,"done":true,"records":[]}"#);
    at.script(Rule::always(At::Containing("columns=true".to_owned()), records));
    at.job("a", "SELECT Id, CreatedDate FROM Account", "a.csv", RFC3339);
    for command in ["run", "check"] {
        let outcome = at.run([command, "a"]).ended(65);
        let said = format!("{}{}", outcome.stderr, outcome.stdout());
        assert!(said.contains("write the types of all columns in [types]"), "{said}");
    }
}

#[test]
fn snake_case_names_the_columns_of_all_files() {
    let at = Deployment::new(60);
    let more =
        "column_names = \"snake\"\nchildren = \"files\"\n[columns]\n\"Contacts.LastName\" = \"Surname\"";
    let soql = "SELECT Id, Owner.Name, AnnualRevenue, (SELECT Id, LastName FROM Contacts) FROM Account";
    at.job("a", soql, "a.csv", more);
    let report = at.run(["run", "a", "--json"]).ended(0).reports().remove(0);
    let (own, child) = (["id", "owner_name", "annual_revenue"], ["account_id", "id", "Surname"]);
    assert_eq!(report["columns"], json!(own));
    assert_eq!(report["files"][0]["columns"], json!(child));
    let accounts = live(at.data(), "Account");
    let rows = accounts.iter().map(|row| cells(*row, &["Id", "Owner.Name", "AnnualRevenue"]));
    assert_same(&at.read("exports/a.csv"), &csv_of(&own, rows));
    let rows = accounts.iter().flat_map(|account| {
        let id = account.id().to_string();
        let row = move |row| [vec![id.clone()], cells(row, &["Id", "LastName"])].concat();
        children(*account, "Contacts").into_iter().map(row)
    });
    assert_same(&at.read("exports/a.Contacts.csv"), &csv_of(&child, rows));
    let checked = at.run(["check", "a"]).ended(0).stdout().to_owned();
    assert!(checked.contains("3: id, owner_name, annual_revenue"), "{checked}");
}

#[test]
fn new_names_make_flat_objects_in_json_lines() {
    let at = Deployment::new(200);
    let soql = "SELECT Id, Owner.Name, CreatedDate, AnnualRevenue, Description, BillingAddress, \
                (SELECT LastName, CreatedDate, Account.Name FROM Contacts) FROM Account";
    let more =
        format!("{RFC3339}\ncolumn_names = \"snake\"\n[columns]\n\"owner.name\" = \"Owner \\\"name\\\"\"");
    at.job("a", soql, "a.jsonl", &more);
    at.run(["run", "a"]).ended(0);
    at.job("n", soql, "n.jsonl", RFC3339);
    at.run(["run", "n"]).ended(0);
    // serde_json reads both files; the nested one is compared with the data set by other tests.
    let (flat, nested) = (at.text("exports/a.jsonl"), at.text("exports/n.jsonl"));
    assert_eq!(flat.lines().count(), live(at.data(), "Account").len());
    for (flat, nested) in flat.lines().zip(nested.lines()) {
        let (flat, nested): (Json, Json) =
            (serde_json::from_str(flat).unwrap(), serde_json::from_str(nested).unwrap());
        let expected = json!({
            "id": nested["Id"],
            "Owner \"name\"": nested["Owner"]["Name"],
            "created_date": nested["CreatedDate"],
            "annual_revenue": nested["AnnualRevenue"],
            "description": nested["Description"],
            "billing_address": nested["BillingAddress"],
            "Contacts": nested["Contacts"],
        });
        assert_eq!(flat, expected);
    }
    let first = flat.lines().next().unwrap();
    assert!(first.starts_with("{\"id\":\"") && first.contains(",\"Owner \\\"name\\\"\":"), "{first}");
}

#[test]
fn new_names_are_no_changed_columns() {
    let at = Deployment::new(3);
    let soql = "SELECT Id, CreatedDate FROM Account";
    at.job("a", soql, "a.csv", "columns_pinned = true");
    at.run(["run", "a"]).ended(0);
    at.job("a", soql, "a.csv", "columns_pinned = true\ncolumn_names = \"snake\"\n[columns]\nId = \"key\"");
    let report = at.run(["run", "a", "--json"]).ended(0).reports().remove(0);
    assert_eq!((&report["warnings"], &report["columns"]), (&json!([]), &json!(["key", "created_date"])));
    at.write("jobs/o.toml", "object = \"Account\"\noutput = \"o.csv\"\nfields = [\"Name\", \"S*\"]");
    at.run(["run", "o"]).ended(0);
    let names = "column_names = \"snake\"\n[columns]\nSite = \"a_site\"";
    at.write(
        "jobs/o.toml",
        format!("object = \"Account\"\noutput = \"o.csv\"\nfields = [\"Name\", \"S*\"]\n{names}"),
    );
    let report = at.run(["run", "o", "--json"]).ended(0).reports().remove(0);
    let columns = json!(["name", "score_c", "segments_c", "a_site", "system_modstamp"]);
    assert_eq!((&report["warnings"], &report["columns"]), (&json!([]), &columns));
}

#[test]
fn mistakes_in_names_and_types_are_found_at_their_lines() {
    let at = Deployment::new(3);
    let soql = "SELECT Id, OwnerId, Owner.Id, (SELECT Id, LastName FROM Contacts) FROM Account";
    for (output, more, says) in [
        (
            "a.csv",
            "[columns]\n\"Nmae\" = \"x\"",
            &["jobs/a.toml:4", "\"Nmae\" in [columns] is not a column"][..],
        ),
        ("a.csv", "[types]\n\"Owner.Idd\" = \"text\"", &["jobs/a.toml:4", "did you mean \"Owner.Id\"?"]),
        (
            "a.csv",
            "[types]\nId = \"txt\"",
            &["jobs/a.toml:4", "\"txt\" is not a type", "did you mean \"text\"?"],
        ),
        ("a.csv", "[types]\nLastName = \"text\"", &["did you mean \"Contacts.LastName\"?"]),
        ("a.csv", "[types]\nId = \"decimal(39,2)\"", &["\"decimal(39,2)\" is not a type", "P from 1 to 38"]),
        ("a.csv", "[types]\nOwner.Id = \"text\"", &["jobs/a.toml:4", "in quotes, as in \"Owner.Id\" = "]),
        ("a.csv", "[types]\nId = 7", &["7 is not text"]),
        ("a.csv", "types = \"text\"", &["write `[types]` on a separate line"]),
        ("a.csv", "[columns]\nId = \" x\"", &["white space at an end"]),
        ("a.csv", "[columns]\nId = \"\"", &["the value is empty"]),
        ("a.csv", "[columns]\n\"COUNT()\" = \"x\"", &["is not the name of a column"]),
        ("a.csv", "[columns]\nId = \"x\"\nid = \"y\"", &["jobs/a.toml:5", "the column \"Id\" again"]),
        (
            "a.csv",
            "column_names = \"snake\"",
            &["jobs/a.toml:3", "\"OwnerId\" and \"Owner.Id\" are both named \"owner_id\"", "in [columns]"],
        ),
        (
            "a.csv",
            "[columns]\n\"Owner.Id\" = \"ID\"",
            &["jobs/a.toml:4", "\"Id\" and \"Owner.Id\" are both named \"ID\""],
        ),
        ("a.csv", "[columns]\n\"Contacts.LastName\" = \"x\"", &["jobs/a.toml:4", "set children = \"files\""]),
        ("a.jsonl", "[columns]\nContacts = \"x\"", &["jobs/a.toml:4", "keeps its name in JSON Lines"]),
        ("a.jsonl", "attributes = true\n[columns]\nId = \"x\"", &["jobs/a.toml:3", "flat objects"]),
        ("a.csv", "datetimes = \"iso\"", &["\"iso\" is not one of \"as_sent\", \"rfc3339\""]),
        (
            "a.csv",
            "column_names = \"snake_case\"",
            &["\"snake_case\" is not one of \"as_written\", \"snake\""],
        ),
    ] {
        at.job("a", soql, output, more);
        at.run(["run", "a"]).ended(78).says(says);
        let checked = at.run(["check", "--offline"]).ended(78).stdout().to_owned();
        for part in says {
            assert!(checked.contains(part), "{part} is not in\n{checked}");
        }
    }
}

#[test]
fn mistakes_that_only_the_org_shows_end_the_run_with_65() {
    let at = Deployment::new(3);
    let object =
        |more: &str| at.write("jobs/a.toml", format!("object = \"Account\"\noutput = \"a.csv\"\n{more}"));
    for (more, says) in [
        ("[columns]\nNmae = \"x\"", &["\"Nmae\" in [columns] is not a column", "did you mean \"Name\"?"][..]),
        ("[types]\nSc0re__c = \"text\"", &["\"Sc0re__c\" in [types] is not a column", "\"Score__c\""]),
        ("[columns]\nSite = \"name\"", &["\"Name\" and \"Site\" are both named \"name\""]),
    ] {
        object(more);
        at.run(["run", "a"]).ended(65).says(says);
        let checked = at.run(["check", "a"]).ended(65).stdout().to_owned();
        for part in says {
            assert!(checked.contains(part), "{part} is not in\n{checked}");
        }
    }
    // Written names tell it without the org.
    object("fields = [\"Id\", \"Name\", \"!Name\"]\n[columns]\nName = \"x\"");
    at.run(["run", "a"]).ended(78).says(&["jobs/a.toml:5", "\"Name\" in [columns] is not a column"]);
    at.job("f", "SELECT FIELDS(STANDARD) FROM Account", "f.csv", "[columns]\nNmae = \"x\"");
    at.run(["run", "f"]).ended(65).says(&["\"Nmae\" in [columns] is not a column", "did you mean \"Name\"?"]);
}

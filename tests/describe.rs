//! `describe` from outside: what it prints for an object and for a query with parents and children, in a snapshot; what
//! it asks the org, what it leaves behind, and how it fails. tests/ddl/run loads exports by what it prints.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;

use serde_json::Value;
use sfexport::demo_org::{At, Fault, Rule};
use support::Deployment;
use support::steady::steady;

const TARGETS: [&str; 4] = ["postgres", "duckdb", "bigquery", "snowflake"];

const NESTED: &str = "SELECT Id, Name, AnnualRevenue, NumberOfEmployees, IsDeleted, CreatedDate, FoundedOn__c, \
                      BillingAddress, Owner.Name, Owner.Manager.Name, \
                      (SELECT Id, LastName, Account.Name FROM Contacts) FROM Account WHERE Name != 'a name'";

fn deployment() -> Deployment {
    let at = Deployment::new(10);
    at.write("jobs/depots.toml", "object = \"Warehouse__c\"\noutput = \"depots.csv\"");
    at.job("nested", NESTED, "nested.jsonl", "");
    at.job(
        "files",
        NESTED,
        "files.csv",
        "children = \"files\"\ncompound = \"columns\"\n[csv]\nnull = \"\\\\N\"",
    );
    at
}

fn described(at: &Deployment, arguments: &[&str]) -> String {
    let arguments = ["describe"].iter().chain(arguments);
    at.run(arguments.copied()).ended(0).stdout().to_owned()
}

/// The columns of the files, as JSON has them: name, type, and whether they can be null.
fn columns(at: &Deployment, job: &str) -> Vec<Vec<(String, String, bool)>> {
    let value: Value = serde_json::from_str(&described(at, &[job, "--json"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let column =
        |value: &Value| (text(&value["name"]), text(&value["type"]), value["nullable"].as_bool().unwrap());
    let file = |file: &Value| file["columns"].as_array().unwrap().iter().map(column).collect();
    value["files"].as_array().unwrap().iter().map(file).collect()
}

#[test]
fn descriptions_read_well() {
    let at = deployment();
    let mut text = String::new();
    for job in ["depots", "nested", "files"] {
        text += &format!("\n===== {job}\n{}", described(&at, &[job]));
        for target in TARGETS {
            text += &format!("\n===== {job} --as {target}\n{}", described(&at, &[job, "--as", target]));
        }
    }
    text += &format!("\n===== depots --json\n{}", described(&at, &["depots", "--json"]));
    text +=
        &format!("\n===== nested --as json-schema\n{}", described(&at, &["nested", "--as", "json-schema"]));
    insta::assert_snapshot!("descriptions", steady(&at, &text));
}

#[cfg(feature = "parquet")]
#[test]
fn descriptions_of_parquet_read_well() {
    let at = Deployment::new(10);
    let fields = "object = \"Warehouse__c\"\nfields = [\"Id\", \"Name\", \"Capacity__c\", \"Opened__c\", \"CreatedDate\", \
                  \"Account__r.Name\"]\n";
    let job = |output: &str, more: &str| {
        at.write("jobs/depots.toml", format!("{fields}output = \"{output}\"\n{more}"));
    };
    job(
        "depots.parquet",
        "column_names = \"snake\"\n[types]\nName = \"time\"\n[parquet]\ndecimals = \"decimal\"",
    );
    let mut text = described(&at, &["depots"]);
    for target in ["duckdb", "bigquery", "snowflake"] {
        text += &format!("\n===== --as {target}\n{}", described(&at, &["depots", "--as", target]));
    }
    let refused = |target, status| {
        // This keeps the log out of the snapshot, whatever the log level of the tests.
        let outcome = at.run(["describe", "depots", "--as", target, "--quiet"]).ended(status);
        format!("\n===== --as {target}\n{}", outcome.stderr)
    };
    text += &refused("postgres", 2);
    text += &refused("json-schema", 2);
    job("day=1/depots.parquet", "[parquet]\ntemporal = \"text\"");
    text += &refused("bigquery", 65);
    text += &format!("\n===== temporal = text\n{}", described(&at, &["depots", "--as", "duckdb"]));
    insta::assert_snapshot!("descriptions_of_parquet", steady(&at, &text));
}

#[test]
fn the_columns_are_those_that_a_run_writes() {
    let at = deployment();
    at.run(["run", "--all"]).ended(0);
    for (job, files) in [("depots", &["depots.csv"][..]), ("files", &["files.csv", "files.Contacts.csv"])] {
        let described = columns(&at, job);
        assert_eq!(described.len(), files.len());
        for (columns, file) in described.iter().zip(files) {
            let header = at.text(&format!("exports/{file}")).lines().next().unwrap().to_owned();
            let names: Vec<_> = columns.iter().map(|(name, ..)| name.as_str()).collect();
            assert_eq!(header, names.join(","));
        }
    }
}

#[test]
fn types_are_those_of_the_org() {
    let at = deployment();
    let depots = columns(&at, "depots").remove(0);
    let expected = [
        ("Id", "text", false),
        ("Account__c", "text", true),
        ("Capacity__c", "double", true),
        ("CreatedDate", "datetime", true),
        ("Features__c", "text", true),
        ("IsDeleted", "boolean", true),
        ("Location__Latitude__s", "double", true),
        ("Location__Longitude__s", "double", true),
        ("Name", "text", true),
        ("Opened__c", "date", true),
        ("OwnerId", "text", true),
        ("SystemModstamp", "datetime", true),
    ];
    assert_eq!(depots, expected.map(|(name, kind, null)| (name.to_owned(), kind.to_owned(), null)));
}

#[test]
fn a_count_and_a_group_have_their_types() {
    let at = Deployment::new(10);
    at.job("count", "SELECT COUNT() FROM Account", "count.csv", "");
    at.job(
        "groups",
        "SELECT Type, COUNT(Id) n, MAX(CreatedDate) newest FROM Account GROUP BY ROLLUP(Type)",
        "groups.jsonl",
        "",
    );
    let of = |name: &str, kind: &str, null| (name.to_owned(), kind.to_owned(), null);
    assert_eq!(columns(&at, "count"), [[of("count", "long", false)]]);
    assert_eq!(
        columns(&at, "groups"),
        [[of("Type", "text", true), of("n", "integer", true), of("newest", "datetime", true)]]
    );
}

#[test]
fn no_record_is_asked_for_and_nothing_is_written() {
    let at = deployment();
    let files = || {
        let mut names: Vec<_> =
            fs::read_dir(at.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for job in ["depots", "nested"] {
        described(&at, &[job, "--as", "duckdb"]);
    }
    let queries: Vec<_> = at.requests_to("/services/data/v62.0/query");
    assert!(!queries.is_empty());
    for query in queries {
        assert!(query.target.contains("columns=true"), "{}", query.target);
    }
    assert_eq!(files(), before);
}

#[test]
fn keys_are_spelled_as_the_org_sends_them() {
    let at = Deployment::new(10);
    at.job("odd", "SELECT id, owner.NAME FROM account", "odd.jsonl", "");
    let script = described(&at, &["odd", "--as", "postgres"]);
    assert!(script.contains("--       line->>'Id',\n--       line->'Owner'->>'Name'\n"), "{script}");
}

#[test]
fn a_parents_typed_field_has_the_key_that_the_org_sends() {
    let at = Deployment::new(10);
    at.write(
        "jobs/typed.toml",
        "object = \"Account\"\nfields = [\"id\", \"owner.createddate\", \"parent.NAME\"]\noutput = \"typed.jsonl\"\n\
         [types]\n\"owner.createddate\" = \"datetime\"\n\"parent.name\" = \"text\"",
    );
    let script = described(&at, &["typed", "--as", "postgres"]);
    let values = "--       line->>'Id',\n--       (line->'Owner'->>'CreatedDate')::timestamptz,\n\
                  --       line->'Parent'->>'Name'\n";
    assert!(script.contains(values), "{script}");
}

#[test]
fn new_names_and_types_are_those_of_the_tables() {
    let at = Deployment::new(10);
    at.job(
        "contacts",
        "SELECT Id, Account.Name, CreatedDate, AccountId FROM Contact",
        "contacts.jsonl",
        "column_names = \"snake\"\ndatetimes = \"rfc3339\"\n[columns]\n\"Account.Name\" = \"company\"\n\
         [types]\n\"AccountId\" = \"decimal(18,2)\"",
    );
    let script = described(&at, &["contacts", "--as", "bigquery"]);
    let table = "CREATE OR REPLACE TABLE `contacts` (\n    `id` STRING NOT NULL,\n    `company` STRING,\n    \
                 `created_date` TIMESTAMP,\n    `account_id` NUMERIC(18, 2)\n);\n";
    assert!(script.contains(table), "{script}");
    let shown = described(&at, &["contacts"]);
    assert!(shown.contains("company       text           Account.Name in the query\n"), "{shown}");
    // Unlike the names, the values are the org's: the schema says nothing of the one whose type is set.
    let schema: Value = serde_json::from_str(&described(&at, &["contacts", "--as", "json-schema"])).unwrap();
    assert_eq!(schema["properties"]["account_id"], serde_json::json!({}));
    assert_eq!(schema["properties"]["created_date"]["format"], "date-time");
}

#[test]
fn names_that_a_database_cannot_have_end_with_65() {
    let at = Deployment::new(10);
    at.job("users", "SELECT Id, Name FROM User", "users.csv", "[columns]\n\"Name\" = \"xmin\"");
    at.run(["describe", "users", "--as", "postgres"]).ended(65).says(&["\"xmin\" is reserved", "[columns]"]);
    at.run(["describe", "users", "--as", "duckdb"]).ended(0);
}

#[test]
fn lines_fit_a_terminal_unless_they_are_to_be_wide() {
    let at = Deployment::new(10);
    let name = "x".repeat(120);
    at.job(
        "long",
        "SELECT Id, Name, Account.Name, Account.Owner.Name, Account.Owner.Manager.Name, CreatedDate FROM Contact",
        "long.csv",
        &format!("[columns]\n\"Name\" = \"{name}\""),
    );
    let lengths = |arguments: &[&str]| {
        let outcome = at.on_terminal(arguments, "", &[("NO_COLOR", "1")])?;
        let longest = outcome.stdout().lines().map(|line| line.trim_end().chars().count()).max();
        let query = outcome.stdout().lines().skip_while(|line| !line.starts_with("SELECT"));
        Some((longest.unwrap(), query.map(|line| line.trim_end().chars().count()).max().unwrap()))
    };
    // The terminal has 100 columns.
    let Some((longest, query)) = lengths(&["describe", "long"]) else { return };
    assert_eq!((longest, query <= 80), (100, true), "{query}");
    let (longest, query) = lengths(&["describe", "long", "--wide"]).unwrap();
    assert_eq!((longest > 120, query > 100), (true, true), "{longest}, {query}");
}

#[test]
fn failures_end_with_the_status_of_a_run() {
    let at = deployment();
    at.job("wrong", "SELECT Id, Nme FROM Account", "wrong.csv", "");
    at.run(["describe", "wrong"]).ended(65).says(&["write \"Name\""]);
    at.run(["describe", "depot"]).ended(78).says(&["depots"]);
    at.run(["describe", "nested", "--org", "nowhere"]).ended(78).says(&["there is no org"]);
    at.run(["describe", "files", "--as", "json-schema"]).ended(2).says(&["writes CSV"]);
    at.run(["describe", "nested", "--as", "oracle"]).ended(2);
    at.run(["describe", "nested", "--as", "duckdb", "--json"]).ended(2);
    at.script(Rule::always(At::Login(1), Fault::login_refused("invalid_grant", "audience is invalid")));
    at.run(["describe", "nested"]).ended(77);
}

#[test]
fn a_query_that_the_org_does_not_describe_can_be_run() {
    let at = Deployment::new(10);
    at.job("plain", "SELECT Id, Name FROM Account", "plain.csv", "");
    let records = Fault::body(r#"{"totalSize":0,"done":true,"records":[]}"#);
    at.script(Rule::always(At::Containing("columns=true".to_owned()), records));
    at.run(["describe", "plain"]).ended(65).says(&["hint: export it with `sfexport run plain`"]);
    at.run(["run", "plain"]).ended(0);
}

#[test]
fn another_org_is_asked_if_the_command_line_names_it() {
    let at = Deployment::new(10);
    at.configure(&at.org_table("orgs.other"));
    at.job("accounts", "SELECT Id FROM Account", "{org}.csv", "");
    let value: Value =
        serde_json::from_str(&described(&at, &["accounts", "--org", "other", "--json"])).unwrap();
    assert_eq!(value["org"], "other");
    assert_eq!(value["files"][0]["path"], "exports/other.csv");
}

#[test]
fn an_incremental_job_has_a_file_of_deletes_if_it_lists_them() {
    let at = Deployment::new(10);
    let job = |deletes: &str| {
        let text = "object = \"Account\"\nfields = [\"Id\", \"Name\"]\noutput = \"{kind}-{mark:%C}.csv\"\n\
                    [columns]\nId = \"key\"\n";
        at.write("jobs/accounts.toml", format!("{text}[incremental]\ndeletes = \"{deletes}\"\n"));
    };
    job("ids");
    let shown = described(&at, &["accounts"]);
    let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
    let main = ["accounts: 3 columns", "exports/full-20.csv (a full run now)"];
    assert_eq!(lines[..2], main, "{shown}");
    let deletes = lines.iter().position(|line| line.starts_with("accounts, deleted")).unwrap();
    assert_eq!(
        lines[deletes..deletes + 5],
        [
            "accounts, deleted records: 2 columns",
            "exports/changes-20.deleted.csv (a run of changes now)",
            "COLUMN       TYPE",
            "key          text      never null; Id in the query",
            "deletedDate  datetime",
        ],
        "{shown}"
    );
    let json: Value = serde_json::from_str(&described(&at, &["accounts", "--json"])).unwrap();
    let files: Vec<_> = json["files"].as_array().unwrap().iter().collect();
    let facts = |file: &Value| [&file["path"], &file["kind"], &file["deletes"]].map(ToString::to_string);
    assert_eq!(facts(files[0]), ["\"exports/full-20.csv\"", "\"full\"", "false"]);
    assert_eq!(facts(files[1]), ["\"exports/changes-20.deleted.csv\"", "\"changes\"", "true"]);
    assert_eq!(files.len(), 2);
    let names = columns(&at, "accounts").remove(1);
    assert_eq!(names[1], ("deletedDate".to_owned(), "datetime".to_owned(), true));
    // Its table is the reader's affair: it lists what to remove from the other.
    assert!(!described(&at, &["accounts", "--as", "postgres"]).contains("deletedDate"));
    job("rows");
    assert!(!described(&at, &["accounts"]).contains("deleted.csv"));
}

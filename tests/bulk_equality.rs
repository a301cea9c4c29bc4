//! The same rows by either API: every job is exported by REST and by Bulk, and both files are compared with what the data
//! set says. With ORDER BY they are the same bytes; otherwise Bulk's rows may come in another order.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper that fails is a test that fails")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use sfexport::demo_org::{At, BulkOptions, Fault, Options, Row, Rule};
use support::{Deployment, NO_WAITS, assert_same, csv_of, json, live, options, value};

/// A query, and what it means.
struct Query {
    name: &'static str,
    soql: &'static str,
    object: &'static str,
    /// The columns as the query writes them; without a prefix, and the root's alias, that of the column's name.
    header: &'static [&'static str],
    /// Their paths in the schema's spelling.
    paths: &'static [&'static str],
}

const ACCOUNT: &[&str] = &[
    "Id",
    "Name",
    "ParentId",
    "NumberOfEmployees",
    "AnnualRevenue",
    "IsDeleted",
    "CreatedDate",
    "LastActivityDate",
    "Description",
    "Site",
    "Parent.Name",
    "Parent.ParentId",
    "Parent.Owner.Name",
    "Owner.Manager.Email",
    "Owner.BadgeText",
];

const QUERIES: [Query; 5] = [
    Query {
        name: "accounts",
        soql: "SELECT Id, Name, ParentId, NumberOfEmployees, AnnualRevenue, IsDeleted, CreatedDate, \
               LastActivityDate, Description, Site, Parent.Name, Parent.ParentId, Parent.Owner.Name, \
               Owner.Manager.Email, Owner.BadgeText FROM Account",
        object: "Account",
        header: ACCOUNT,
        paths: ACCOUNT,
    },
    Query {
        name: "accounts_in_order",
        soql: "SELECT Id, Name, ParentId, NumberOfEmployees, AnnualRevenue, IsDeleted, CreatedDate, \
               LastActivityDate, Description, Site, Parent.Name, Parent.ParentId, Parent.Owner.Name, \
               Owner.Manager.Email, Owner.BadgeText FROM Account ORDER BY Id",
        object: "Account",
        header: ACCOUNT,
        paths: ACCOUNT,
    },
    Query {
        name: "contacts",
        soql: "select a.NAME, c.id, c.ReportsTo.Account.name,\n a.parent.Id ,c.ReportsTo.id, birthdate, a.Owner.isactive \
               from Contact c, c.Account a",
        object: "Contact",
        header: &[
            "Account.NAME",
            "id",
            "ReportsTo.Account.name",
            "Account.parent.Id",
            "ReportsTo.id",
            "birthdate",
            "Account.Owner.isactive",
        ],
        paths: &[
            "Account.Name",
            "Id",
            "ReportsTo.Account.Name",
            "Account.Parent.Id",
            "ReportsTo.Id",
            "Birthdate",
            "Account.Owner.IsActive",
        ],
    },
    Query {
        name: "opportunities",
        soql: "SELECT Opportunity.Amount, Id, Probability, TotalOpportunityQuantity, IsWon, CloseDate, NextStep, \
               SystemModstamp, Account.NumberOfEmployees FROM Opportunity ORDER BY Id",
        object: "Opportunity",
        header: &[
            "Amount",
            "Id",
            "Probability",
            "TotalOpportunityQuantity",
            "IsWon",
            "CloseDate",
            "NextStep",
            "SystemModstamp",
            "Account.NumberOfEmployees",
        ],
        paths: &[
            "Amount",
            "Id",
            "Probability",
            "TotalOpportunityQuantity",
            "IsWon",
            "CloseDate",
            "NextStep",
            "SystemModstamp",
            "Account.NumberOfEmployees",
        ],
    },
    Query {
        name: "tasks",
        soql: "SELECT What.Name, Subject, WhatId, Who.Name, Id FROM Task",
        object: "Task",
        header: &["What.Name", "Subject", "WhatId", "Who.Name", "Id"],
        paths: &["What.Name", "Subject", "WhatId", "Who.Name", "Id"],
    },
];

/// How a job is exported.
const FORMS: [(&str, &str); 4] = [
    ("csv", ""),
    ("jsonl", "numbers = \"as_sent\"\n"),
    ("csv", "datetimes = \"rfc3339\"\ncolumn_names = \"snake\"\nnumbers = \"as_sent\"\n"),
    ("jsonl", "datetimes = \"rfc3339\"\ncolumn_names = \"snake\"\n"),
];

/// The jobs by Bulk next to each one by REST.
const BULK: [(&str, &str); 2] =
    [("one", "[bulk]\nparallel = 1\n"), ("four", "[bulk]\nparallel = 4\nmax_records = 2000\n")];

impl Query {
    fn has_order(&self) -> bool {
        self.soql.contains("ORDER BY")
    }

    fn csv(&self, rows: &[Row<'_>]) -> Vec<u8> {
        let cells = |row: &Row<'_>| self.paths.iter().map(|path| support::cell(&value(*row, path))).collect();
        csv_of(self.header, rows.iter().map(cells))
    }

    fn json(&self, rows: &[Row<'_>]) -> Vec<u8> {
        let paths: Vec<Vec<&str>> = self.paths.iter().map(|path| path.split('.').collect()).collect();
        let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
        rows.iter().map(|row| object(*row, &paths) + "\n").collect::<String>().into_bytes()
    }
}

/// A record with these paths as JSON, parents where they are first mentioned.
fn object(row: Row<'_>, paths: &[&[&str]]) -> String {
    let mut keys: Vec<(&str, Vec<&[&str]>)> = Vec::new();
    for path in paths {
        let (key, inner) = path.split_first().unwrap();
        match keys.iter_mut().find(|(known, _)| known == key) {
            Some((_, paths)) => paths.push(inner),
            None => keys.push((key, vec![inner])),
        }
    }
    let pair = |(key, inner): (&str, Vec<&[&str]>)| {
        let value = match inner.as_slice() {
            [[]] => json(&row.value(key).unwrap_or_else(|| panic!("{key}"))),
            inner => row.parent(key).map_or("null".to_owned(), |parent| object(parent, inner)),
        };
        format!("\"{key}\":{value}")
    };
    format!("{{{}}}", keys.into_iter().map(pair).collect::<Vec<_>>().join(","))
}

/// Rows in an order that does not depend on the one they came in; the header stays first.
fn sorted(file: &[u8], format: &str) -> BTreeMap<Vec<String>, usize> {
    let mut rows = BTreeMap::new();
    let mut add = |row| *rows.entry(row).or_default() += 1;
    if format == "csv" {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        reader.records().for_each(|row| add(row.unwrap().iter().map(str::to_owned).collect()));
    } else {
        std::str::from_utf8(file).unwrap().lines().for_each(|line| add(vec![line.to_owned()]));
    }
    rows
}

/// JSON Lines with null for each empty string, which Bulk does not tell from null. Within a string, a quote is escaped.
fn without_empty_strings(file: &[u8], format: &str) -> Vec<u8> {
    match format {
        "csv" => file.to_vec(),
        _ => String::from_utf8(file.to_vec()).unwrap().replace(":\"\"", ":null").into_bytes(),
    }
}

/// What was compared.
#[derive(Default)]
struct Counts {
    files: usize,
    byte_for_byte: usize,
    rows: usize,
    result_pages: usize,
}

/// Exports each query in each form by REST and by Bulk, and compares the files.
fn compare(records: usize, bulk: BulkOptions, version: &str, http: &str, forms: usize) -> Counts {
    let forms = &FORMS[..forms];
    let deployment = Deployment::with(Options { bulk, ..options(records) });
    let org =
        format!("{}api_version = \"{version}\"\nmax_concurrent_runs = 8\n", deployment.org_table("org"));
    deployment
        .write("sfexport.toml", format!("{org}{NO_WAITS}\n{http}\n[daemon]\nmax_concurrent_runs = 8\n"));
    for query in &QUERIES {
        for (form, (format, keys)) in forms.iter().enumerate() {
            let job = |way: &str, more: &str| {
                let name = format!("{}_{form}_{way}", query.name);
                deployment.job(&name, query.soql, &format!("{name}.{format}"), &format!("{keys}{more}"));
            };
            job("rest", "api = \"rest\"\n");
            BULK.iter().for_each(|(way, more)| job(way, &format!("api = \"bulk\"\n{more}")));
        }
    }
    let outcome = deployment.run(["run", "--all", "--json"]).ended(0);
    let mut counts = Counts::default();
    for report in outcome.reports() {
        let is_rest = report["job"].as_str().unwrap().ends_with("_rest");
        assert_eq!(report["api"], if is_rest { "rest" } else { "bulk" }, "{report}");
    }
    for query in &QUERIES {
        let rows = live(deployment.data(), query.object);
        for (form, (format, _)) in forms.iter().enumerate() {
            let file = |way: &str| deployment.read(&format!("exports/{}_{form}_{way}.{format}", query.name));
            let rest = file("rest");
            match form {
                0 => assert_same(&rest, &query.csv(&rows)),
                1 => assert_same(&rest, &query.json(&rows)),
                _ => assert!(!String::from_utf8(rest.clone()).unwrap().contains("+0000")),
            }
            let expected = without_empty_strings(&rest, format);
            for (way, _) in BULK {
                let found = file(way);
                if query.has_order() {
                    assert_same(&found, &expected);
                    counts.byte_for_byte += 1;
                } else {
                    assert_eq!(found.len(), expected.len(), "{} {form} {way}", query.name);
                    let (found, expected) = (sorted(&found, format), sorted(&expected, format));
                    assert!(found == expected, "{} {form} {way}: the rows differ", query.name);
                }
                counts.files += 1;
                counts.rows += rows.len();
            }
        }
    }
    counts.result_pages = requests(&deployment, "/results");
    counts
}

#[test]
fn a_result_in_chunks_and_small_pages_has_the_rows_of_rest() {
    let bulk = BulkOptions { polls: 0, chunk_rows: Some(400), page_rows: 150, ..BulkOptions::default() };
    let counts = compare(1_000, bulk, "62.0", "gzip = true", FORMS.len());
    counts.print("version 62.0, chunks, gzip", FORMS.len());
    assert!(counts.result_pages > 5 * counts.files, "{} pages", counts.result_pages);
}

/// How many requests there were whose path ends like this.
fn requests(deployment: &Deployment, end: &str) -> usize {
    deployment.org().requests().iter().filter(|request| request.path().ends_with(end)).count()
}

#[test]
fn a_listed_result_downloaded_in_parallel_has_the_rows_of_rest() {
    let bulk = BulkOptions { polls: 0, chunk_rows: Some(7_000), page_rows: 3_000, ..BulkOptions::default() };
    let deployment = Deployment::with(Options { bulk, ..options(52_000) });
    let job = "soql = \"SELECT Id, Name, Parent.Name, NumberOfEmployees FROM Account\"\n";
    for format in ["csv", "jsonl"] {
        let [rest, bulk] = both(&deployment, job, format);
        assert!(sorted(&rest, format) == sorted(&bulk, format), "{format}");
        let rows = live(deployment.data(), "Account").len();
        assert_eq!(sorted(&bulk, format).values().sum::<usize>(), rows + usize::from(format == "csv"));
        // The chunks come in an order of their own.
        assert!(rest != bulk);
    }
    assert!(requests(&deployment, "/resultPages") > 2);
    assert!(requests(&deployment, "/results") > 30);
}

#[test]
fn a_result_by_locators_has_the_rows_of_rest() {
    // More than max_records asks for, so it has an effect.
    let bulk = BulkOptions { polls: 0, ..BulkOptions::default() };
    let counts = compare(2_300, bulk, "57.0", "gzip = false", 2);
    counts.print("version 57.0, locators", 2);
    assert!(counts.result_pages > counts.files, "{} pages", counts.result_pages);
}

#[test]
fn a_result_with_sorted_columns_has_the_rows_of_rest() {
    let bulk = BulkOptions { polls: 0, page_rows: 70, ..BulkOptions::default() };
    compare(200, bulk, "49.0", "", 2).print("version 49.0, sorted columns", 2);
}

impl Counts {
    fn print(&self, of: &str, forms: usize) {
        let Self { files, byte_for_byte, rows, result_pages } = self;
        println!(
            "{of}: {files} files by Bulk, {byte_for_byte} of them byte for byte, {rows} rows, {result_pages} pages"
        );
        assert_eq!(*files, QUERIES.len() * forms * BULK.len());
        assert_eq!(*byte_for_byte, 2 * forms * BULK.len());
    }
}

/// The values that other tools are known to lose or to alter are among those compared.
#[test]
fn the_compared_rows_have_every_value_that_matters() {
    let deployment = Deployment::new(1_000);
    let rows = live(deployment.data(), "Account");
    let [accounts, ..] = QUERIES;
    let text = |path: &str| -> BTreeSet<String> {
        rows.iter().map(|row| support::cell(&value(*row, path))).collect()
    };
    let names = text("Name");
    for part in ["\0", "\r\n", "\n", "\"", ",", "😀", "null", "true", "\\"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part:?}");
    }
    assert!(names.iter().any(|name| name.replace("\r\n", "").contains('\r')));
    assert!(text("Description").iter().any(|text| text.len() > 1_000));
    let json = String::from_utf8(accounts.json(&rows)).unwrap();
    for part in [
        "E7,",
        ":\"\"",
        "\"ParentId\":null",
        "\"Parent\":null",
        "\"Parent\":{\"Name\"",
        "\"Manager\":null",
        "\"Manager\":{\"Email\"",
        ".000+0000",
    ] {
        assert!(json.contains(part), "{part:?}");
    }
    // A reference to a record that the user may not see: an Id, and no parent.
    let unseen = |row: &&Row<'_>| !row.value("ParentId").unwrap().is_null() && row.parent("Parent").is_none();
    assert!(rows.iter().any(|row| unseen(&row)));
    let result = deployment.org().bulk_results("SELECT NumberOfEmployees FROM Account").unwrap();
    let result = String::from_utf8(result).unwrap();
    assert!(result.contains(".0\"") && result.lines().any(|line| line.len() > 3 && !line.contains('.')));
}

/// Exports a job by both APIs, and gives both files.
fn both(deployment: &Deployment, job: &str, format: &str) -> [Vec<u8>; 2] {
    ["rest", "bulk"].map(|api| {
        let output = format!("job_{api}.{format}");
        let text = format!("output = \"{output}\"\napi = \"{api}\"\n{job}");
        deployment.write(&format!("jobs/job_{api}.toml"), text);
        let report = &deployment.run(["run", &format!("job_{api}"), "--json"]).ended(0).reports()[0];
        assert_eq!(report["api"], api);
        deployment.read(&format!("exports/{output}"))
    })
}

#[test]
fn an_objects_rows_are_the_same_with_deleted_ones_too() {
    let bulk = BulkOptions { polls: 0, chunk_rows: Some(90), ..BulkOptions::default() };
    let deployment = Deployment::with(Options { bulk, ..options(300) });
    for format in ["csv", "jsonl"] {
        let job = "object = \"Contact\"\nfields = [\"*\", \"account.NAME\", \"Account.Parent.Name\"]\nall_rows = true\n";
        let [rest, bulk] = both(&deployment, job, format);
        let rows = |file: &[u8]| sorted(&without_empty_strings(file, format), format);
        assert!(rows(&rest) == rows(&bulk), "{format}");
        let all = deployment.data().rows("Contact").count() + usize::from(format == "csv");
        assert_eq!(rows(&rest).values().sum::<usize>(), all);
        assert!(all > live(deployment.data(), "Contact").len() + 1);
    }
}

/// What a job says about a column's type is about its file. How the org sends the values is another matter.
#[test]
fn types_that_a_job_sets_do_not_change_the_values() {
    let bulk = BulkOptions { polls: 0, ..BulkOptions::default() };
    let deployment = Deployment::with(Options { bulk, ..options(60) });
    let soql =
        "soql = \"SELECT Id, CreatedDate, NumberOfEmployees, Site, Owner.Name FROM Account ORDER BY Id\"\n";
    let object =
        "object = \"Account\"\nfields = [\"Id\", \"CreatedDate\", \"NumberOfEmployees\", \"Site\"]\n";
    let types =
        "[types]\nId = \"text\"\nCreatedDate = \"text\"\nNumberOfEmployees = \"text\"\nSite = \"json\"\n";
    for (source, more) in [(soql, "\"Owner.Name\" = \"text\"\n"), (object, "")] {
        for format in ["csv", "jsonl"] {
            let [rest, bulk] = both(&deployment, &format!("{source}{types}{more}"), format);
            assert_same(&bulk, &rest);
            assert!(String::from_utf8(rest).unwrap().contains(".000+0000"));
        }
    }
}

#[test]
fn without_a_description_bulk_gets_only_columns_of_known_types() {
    let bulk = BulkOptions { polls: 0, ..BulkOptions::default() };
    let deployment = Deployment::with(Options { bulk, page_size: 2, ..options(60) });
    let records = Fault::body(r#"{"totalSize":0,"done":true,"records":[]}"#);
    deployment.script(Rule::always(At::Containing("columns=true".to_owned()), records));
    // `auto` exports by REST what it cannot export by Bulk.
    let query = "soql = \"SELECT Id, NumberOfEmployees FROM Account\"\n";
    let run = |more: &str| {
        deployment.write("jobs/accounts.toml", format!("{query}output = \"accounts.csv\"\n{more}"));
        deployment.run(["run", "accounts", "--json"])
    };
    let report = &run("api = \"auto\"\n").ended(0).reports()[0];
    assert_eq!(report["api"], "rest");
    assert_eq!(report["api_reason"], "the org does not describe the query's columns (columns=true)");
    let rows = live(deployment.data(), "Account");
    let expected = support::csv(&["Id", "NumberOfEmployees"], &rows);
    assert_same(&deployment.read("exports/accounts.csv"), &expected);
    run("api = \"bulk\"\n").ended(65).says(&["the org does not describe the query's columns"]);
    // The job may say the types instead.
    let types = "[types]\nId = \"text\"\nNumberOfEmployees = \"integer\"\n";
    let report = &run(&format!("api = \"bulk\"\n{types}")).ended(0).reports()[0];
    assert_eq!(report["api"], "bulk");
    assert_same(&deployment.read("exports/accounts.csv"), &expected);
}

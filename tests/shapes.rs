//! What becomes of shapes that are no plain columns: child queries with files of their own, compound fields as
//! their parts, FIELDS(), columns that change, and a publish of several files that is cut off.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails; one skipped says so"
)]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use sfexport::demo_org::{At, Fault, Options, Row, Rule, Value};
use support::{ADDRESS_PARTS, Deployment, assert_same, cell, csv, csv_of, live, options, value};

const FAMILIES: &str = "SELECT Id, Name, (SELECT Id, LastName, Account.Name, (SELECT Subject FROM Tasks) \
                        FROM Contacts), (SELECT Name, Amount FROM Opportunities ORDER BY Amount NULLS LAST, Id LIMIT 3) \
                        FROM Account";

fn small_pages(records: usize) -> Options {
    Options { page_size: 7, ..options(records) }
}

/// The children of a row that are not in the recycle bin.
fn children<'d>(row: &Row<'d>, relationship: &str) -> Vec<Row<'d>> {
    row.children(relationship).into_iter().filter(|child| !child.is_deleted()).collect()
}

fn cells(row: Row<'_>, paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| cell(&value(row, path))).collect()
}

/// The rows of a child query's file: the parent's id, then these.
fn family(parents: &[Row<'_>], relationship: &str, paths: &[&str]) -> Vec<Vec<String>> {
    let row = |parent: &Row<'_>, child| [vec![parent.id().to_string()], cells(child, paths)].concat();
    parents
        .iter()
        .flat_map(|parent| children(parent, relationship).into_iter().map(move |child| row(parent, child)))
        .collect()
}

/// The files that [`FAMILIES`] makes, by the part of their name.
fn families(deployment: &Deployment) -> [(&'static str, Vec<u8>); 4] {
    let accounts = live(deployment.data(), "Account");
    let contacts: Vec<_> = accounts.iter().flat_map(|account| children(account, "Contacts")).collect();
    let opportunities = accounts.iter().flat_map(|account| {
        let mut all = children(account, "Opportunities");
        let amount = |row: &Row<'_>| match row.value("Amount") {
            Some(Value::Double(amount)) => amount,
            _ => f64::INFINITY,
        };
        all.sort_by(|a, b| amount(a).total_cmp(&amount(b)));
        all.truncate(3);
        all.into_iter().map(|row| [vec![account.id().to_string()], cells(row, &["Name", "Amount"])].concat())
    });
    [
        ("families", csv(&["Id", "Name"], &accounts)),
        (
            "families.Contacts",
            csv_of(
                &["Account.Id", "Id", "LastName", "Account.Name"],
                family(&accounts, "Contacts", &["Id", "LastName", "Account.Name"]),
            ),
        ),
        (
            "families.Contacts.Tasks",
            csv_of(&["Contacts.Id", "Subject"], family(&contacts, "Tasks", &["Subject"])),
        ),
        ("families.Opportunities", csv_of(&["Account.Id", "Name", "Amount"], opportunities)),
    ]
}

fn assert_families(deployment: &Deployment) {
    for (name, expected) in families(deployment) {
        assert_same(&deployment.read(&format!("exports/{name}.csv")), &expected);
    }
}

#[test]
fn each_child_query_has_a_file_of_its_own_beside_the_output() {
    let deployment = Deployment::with(small_pages(60));
    deployment.job("families", FAMILIES, "families.csv", "children = \"files\"");
    let outcome = deployment.run(["run", "families", "--json"]).ended(0);
    assert_families(&deployment);
    let rows = |name: &str| csv_rows(&deployment.read(&format!("exports/{name}.csv")));
    let report = &outcome.reports()[0];
    assert_eq!(report["columns"], json!(["Id", "Name"]));
    assert_eq!(report["records"], json!(rows("families")));
    let files = report["files"].as_array().unwrap();
    let of: Vec<_> = files.iter().map(|file| file["of"].as_str().unwrap()).collect();
    assert_eq!(of, ["Contacts", "Contacts.Tasks", "Opportunities"]);
    for (file, of) in files.iter().zip(of) {
        let path = file["path"].as_str().unwrap();
        assert!(path.ends_with(&format!("exports/families.{of}.csv")), "{path}");
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(file["bytes"], json!(bytes.len()));
        assert_eq!(file["sha256"], json!(sha256(Path::new(path))));
        assert_eq!(file["records"], json!(rows(&format!("families.{of}"))));
    }
    assert_eq!(files[1]["columns"], json!(["Contacts.Id", "Subject"]));
}

/// How many rows a CSV file of ours has below its header.
fn csv_rows(file: &[u8]) -> usize {
    csv::Reader::from_reader(file).records().map(Result::unwrap).count()
}

fn sha256(path: &Path) -> String {
    let sum = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(sum.stdout).unwrap()[..64].to_owned()
}

#[test]
fn a_childs_prefix_changes_the_header_and_nothing_else() {
    let deployment = Deployment::with(small_pages(60));
    let of = |contact: &str| {
        format!(
            "SELECT Id, (SELECT {contact}LastName, {contact}Account.Name FROM Account.Contacts) FROM Account"
        )
    };
    let accounts = live(deployment.data(), "Account");
    let rows = || family(&accounts, "Contacts", &["LastName", "Account.Name"]);
    for (name, prefix) in [("plain", ""), ("prefixed", "Contact.")] {
        deployment.job(name, &of(prefix), &format!("{name}.csv"), "children = \"files\"");
        deployment.job(&format!("{name}-lines"), &of(prefix), &format!("{name}.jsonl"), "");
        deployment.run(["run", name, &format!("{name}-lines")]).ended(0);
        let header =
            ["Account.Id", &format!("{prefix}LastName"), &format!("{prefix}Account.Name")].map(str::to_owned);
        let header: Vec<_> = header.iter().map(String::as_str).collect();
        assert_same(&deployment.read(&format!("exports/{name}.Contacts.csv")), &csv_of(&header, rows()));
    }
    assert_same(&deployment.read("exports/prefixed.jsonl"), &deployment.read("exports/plain.jsonl"));
    // A parent of that name is a parent.
    let parents = "SELECT Id, (SELECT Account.Name FROM Account.Opportunities) FROM Account";
    deployment.job("parents", parents, "parents.csv", "children = \"files\"");
    deployment.run(["run", "parents"]).ended(0);
    let rows = family(&accounts, "Opportunities", &["Account.Name"]);
    assert!(rows.iter().any(|row| !row[1].is_empty()));
    let expected = csv_of(&["Account.Id", "Account.Name"], rows);
    assert_same(&deployment.read("exports/parents.Opportunities.csv"), &expected);
}

#[test]
fn without_a_record_each_file_has_its_header() {
    let deployment = Deployment::new(20);
    let none = format!("{FAMILIES} WHERE Name = 'nobody'");
    deployment.job("none", &none, "none.csv", "children = \"files\"");
    deployment.run(["run", "none"]).ended(0);
    for (name, header) in [
        ("none", "Id,Name\n"),
        ("none.Contacts", "Account.Id,Id,LastName,Account.Name\n"),
        ("none.Contacts.Tasks", "Contacts.Id,Subject\n"),
        ("none.Opportunities", "Account.Id,Name,Amount\n"),
    ] {
        assert_eq!(deployment.text(&format!("exports/{name}.csv")), header);
    }
}

#[test]
fn a_page_of_children_that_arrives_cut_is_asked_for_again_without_a_trace() {
    let deployment = Deployment::with(Options { page_size: 2, ..options(60) });
    deployment.job("families", FAMILIES, "families.csv", "children = \"files\"");
    for (at, fault) in [
        (At::ChildPage(2), Fault::Truncate { after: 120 }),
        (At::ChildPage(9), Fault::Truncate { after: 180 }),
        (At::Page(5), Fault::Truncate { after: 300 }),
    ] {
        deployment.script(Rule::once(at, fault));
    }
    let report = deployment.run(["run", "families", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["retries"], json!(3));
    assert_families(&deployment);
}

#[test]
fn what_cannot_be_a_file_of_its_own_is_refused_before_the_login() {
    let deployment = Deployment::new(10);
    let refused = [
        ("a", "SELECT Name, (SELECT Id FROM Contacts) FROM Account", "select Id next to this child query"),
        (
            "b",
            "SELECT Id, (SELECT LastName, (SELECT Id FROM Tasks) FROM Contacts) FROM Account",
            "each row in the file of Tasks needs the parent's Id",
        ),
        (
            "c",
            "SELECT Id, (SELECT Id, Account.Id FROM Contacts) FROM Account",
            "two columns would be named Account.Id",
        ),
        (
            "d",
            "SELECT Id, (SELECT Id FROM Contacts), (SELECT Name FROM contacts) FROM Account",
            "two child queries would be named contacts",
        ),
    ];
    for (name, soql, reason) in refused {
        deployment.job(name, soql, &format!("{name}.csv"), "children = \"files\"");
        deployment.run(["run", name]).ended(78).says(&[reason]);
    }
    deployment.job("e", FAMILIES, "e.csv", "children = \"reject\"");
    deployment.run(["run", "e"]).ended(65).says(&["children = \"reject\""]);
    assert_eq!(deployment.logins().len(), 0);
    assert_eq!(deployment.names_below("exports"), [""; 0]);
}

#[test]
fn two_jobs_that_would_write_one_file_by_way_of_a_child_query_are_a_mistake() {
    let deployment = Deployment::new(10);
    deployment.job("families", FAMILIES, "families.csv", "children = \"files\"");
    deployment.job("tasks", "SELECT Id FROM Task", "families.Contacts.Tasks.csv", "");
    deployment.run(["run", "--all"]).ended(78).says(&["families.Contacts.Tasks.csv is also a file of"]);
}

/// The address of an account as its parts, in the order of the columns.
fn address_parts(value: Value) -> Vec<String> {
    let Value::Address(at) = value else { panic!("no address") };
    let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
    let number = |part: Option<f64>| part.map_or(String::new(), |number| cell(&Value::Double(number)));
    vec![
        text(at.city),
        text(at.country),
        String::new(),
        text(at.geocode_accuracy),
        number(at.latitude),
        number(at.longitude),
        text(at.postal_code),
        text(at.state),
        String::new(),
        text(at.street.as_deref()),
    ]
}

#[test]
fn compound_fields_are_their_parts_where_the_job_asks_for_columns() {
    let deployment = Deployment::with(small_pages(40));
    let soql = "SELECT Id, headoffice__c, BillingAddress, Parent.BillingAddress, (SELECT MailingAddress FROM \
                Contacts) FROM Account";
    deployment.job("parts", soql, "parts.csv", "compound = \"columns\"\nchildren = \"files\"");
    deployment.run(["run", "parts"]).ended(0);

    let of = |name: &str| ADDRESS_PARTS.iter().map(|part| format!("{name}.{part}")).collect::<Vec<_>>();
    let mut header =
        vec!["Id".to_owned(), "headoffice__c.latitude".to_owned(), "headoffice__c.longitude".to_owned()];
    header.extend(of("BillingAddress"));
    header.extend(of("Parent.BillingAddress"));
    let accounts = live(deployment.data(), "Account");
    let rows = accounts.iter().map(|row| {
        let mut cells = vec![row.id().to_string()];
        match row.value("HeadOffice__c") {
            Some(Value::Location { latitude, longitude }) => {
                cells.extend([latitude, longitude].map(|degrees| cell(&Value::Double(degrees))));
            }
            _ => cells.extend([String::new(), String::new()]),
        }
        cells.extend(address_parts(row.value("BillingAddress").unwrap()));
        match row.parent("Parent") {
            Some(parent) => cells.extend(address_parts(parent.value("BillingAddress").unwrap())),
            None => cells.extend(vec![String::new(); 10]),
        }
        cells
    });
    let header: Vec<_> = header.iter().map(String::as_str).collect();
    assert_same(&deployment.read("exports/parts.csv"), &csv_of(&header, rows));
    let header = [vec!["Account.Id".to_owned()], of("MailingAddress")].concat();
    let header: Vec<_> = header.iter().map(String::as_str).collect();
    let rows = accounts.iter().flat_map(|account| {
        children(account, "Contacts").into_iter().map(|contact| {
            [vec![account.id().to_string()], address_parts(contact.value("MailingAddress").unwrap())].concat()
        })
    });
    assert_same(&deployment.read("exports/parts.Contacts.csv"), &csv_of(&header, rows));
}

#[test]
fn addresses_sent_as_null_or_in_part_leave_the_file_as_it_is() {
    let deployment = Deployment::with(small_pages(40));
    let soql = "SELECT Id, BillingAddress, Parent.BillingAddress, (SELECT MailingAddress FROM Contacts) FROM Account";
    deployment.job("parts", soql, "parts.csv", "compound = \"columns\"\nchildren = \"files\"");
    deployment.run(["run", "parts"]).ended(0);
    let whole = ["exports/parts.csv", "exports/parts.Contacts.csv"].map(|path| deployment.read(path));

    let replaced = |what: &str, with: &str| Fault::Replace { what: what.to_owned(), with: with.to_owned() };
    let odd = Fault::All(vec![
        Fault::NullAddresses,
        replaced("\"geocodeAccuracy\":null,", ""),
        replaced("\"city\":", "\"planet\":{\"x\":[1]},\"city\":"),
    ]);
    deployment.script(Rule::always(At::Soql("from account".to_owned()), odd));
    deployment.run(["run", "parts"]).ended(0);
    let odd = ["exports/parts.csv", "exports/parts.Contacts.csv"].map(|path| deployment.read(path));
    for (whole, odd) in whole.iter().zip(&odd) {
        assert_same(odd, whole);
    }
}

#[test]
fn a_compound_field_that_the_org_leaves_out_fails_the_run() {
    let deployment = Deployment::with(small_pages(40));
    deployment.job("parts", "SELECT Id, BillingAddress FROM Account", "parts.csv", "compound = \"columns\"");
    let without = json!({"attributes": {"type": "Account"}, "Id": "001000000000001AAA"});
    let lost = Fault::Answer {
        status: 200,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: json!({"totalSize": 1, "done": true, "records": [without]}).to_string().into_bytes(),
    };
    deployment.script(Rule::always(At::Soql("from account".to_owned()), lost));
    deployment.run(["run", "parts"]).ended(74).says(&["without the column BillingAddress.city"]);
}

#[test]
fn unknown_keys_around_records_leave_the_files_as_they_are() {
    let deployment = Deployment::with(small_pages(40));
    deployment.job("families", FAMILIES, "families.csv", "children = \"files\"");
    let keys = vec![("new", "{\"records\":[{\"Id\":1}],\"done\":false}"), ("locale", "null")];
    let odd = Fault::All(vec![
        Fault::ExtraKeys(keys.clone()),
        Fault::InChildren(vec![Fault::ExtraKeys(keys)]),
        Fault::Replace {
            what: "\"attributes\":{".to_owned(),
            with: "\"attributes\":{\"new\":[{}],".to_owned(),
        },
    ]);
    deployment.script(Rule::always(At::Soql("from account".to_owned()), odd));
    deployment.run(["run", "families"]).ended(0);
    assert_families(&deployment);
}

#[test]
fn fields_sent_with_the_orgs_own_namespace_are_read() {
    let deployment = Deployment::with(small_pages(40));
    deployment.job("notes", "SELECT Id, Remarks__c, Score__c FROM Account", "notes.csv", "");
    deployment.run(["run", "notes"]).ended(0);
    let without = deployment.read("exports/notes.csv");
    let with = Fault::All(
        ["Remarks__c", "Score__c"]
            .map(|field| Fault::Replace {
                what: format!("\"{field}\":"),
                with: format!("\"acme__{field}\":"),
            })
            .into(),
    );
    deployment.script(Rule::always(At::Soql("from account".to_owned()), with));
    deployment.run(["run", "notes"]).ended(0);
    assert_same(&deployment.read("exports/notes.csv"), &without);
}

#[test]
fn a_wide_record_in_reverse_order_gives_the_same_row() {
    let deployment = Deployment::new(20);
    deployment.job("wide", "SELECT FIELDS(ALL) FROM Account LIMIT 20", "wide.csv", "");
    let columns = || Fault::ExtraColumns(900);
    deployment.script(Rule::always(At::Containing("columns=true".to_owned()), columns()));
    let page = || At::Soql("from account".to_owned());
    deployment.script(Rule::once(page(), columns()));
    deployment.script(Rule::always(page(), Fault::All(vec![columns(), Fault::ReversedKeys])));
    deployment.run(["run", "wide"]).ended(0);
    let in_order = deployment.read("exports/wide.csv");
    deployment.run(["run", "wide"]).ended(0);
    assert_same(&deployment.read("exports/wide.csv"), &in_order);
    assert_eq!(header_of(&in_order).matches("Extra").count(), 900);
}

#[test]
fn a_hundred_thousand_new_columns_are_exported_and_named_in_short() {
    let deployment = Deployment::new(3);
    deployment.job("wide", "SELECT FIELDS(ALL) FROM Account LIMIT 3", "wide.csv", "");
    deployment.run(["run", "wide"]).ended(0);
    assert_eq!(header_of(&deployment.read("exports/wide.csv")).matches("Extra").count(), 0);
    let columns = || Fault::ExtraColumns(100_000);
    deployment.script(Rule::once(At::Containing("columns=true".to_owned()), columns()));
    deployment.script(Rule::once(At::Soql("from account".to_owned()), columns()));
    deployment.run(["run", "wide"]).ended(0).says(&["Extra000050__c and 99950 more"]);
    let wide = deployment.read("exports/wide.csv");
    assert_eq!(header_of(&wide).matches("Extra").count(), 100_000);
    assert!(wide.ends_with(b",x,x,x\n"));
}

#[test]
fn a_signal_is_heard_while_100_000_columns_are_read() {
    let deployment = Deployment::new(3);
    deployment.job("wide", "SELECT FIELDS(ALL) FROM Account LIMIT 3", "wide.csv", "");
    let columns = || Fault::ExtraColumns(100_000);
    deployment.script(Rule::always(At::Containing("columns=true".to_owned()), columns()));
    // The query gets no response: whatever ends the run, it is the signal.
    let silent = Fault::HalfOpen { after: None };
    deployment.script(Rule::always(At::Soql("from account".to_owned()), silent));
    let mut run = deployment.command(["run", "wide"]).spawn().unwrap();
    let asked = || {
        deployment
            .requests_to("/services/data/")
            .iter()
            .any(|request| request.target.contains("columns=true"))
    };
    while !asked() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // The description is on its way or being read.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let sent = std::time::Instant::now();
    assert!(Command::new("kill").arg(run.id().to_string()).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(143));
    let heard = sent.elapsed();
    assert!(heard < std::time::Duration::from_secs(5), "after {heard:?}, in a debug binary");
}

/// The first line of a file.
fn header_of(file: &[u8]) -> &str {
    let end = file.iter().position(|byte| *byte == b'\n').unwrap();
    std::str::from_utf8(&file[..end]).unwrap()
}

#[test]
fn an_org_that_does_not_say_what_is_compound_gets_no_query() {
    let deployment = Deployment::new(10);
    deployment.job("parts", "SELECT Id, BillingAddress FROM Account", "p.csv", "compound = \"columns\"");
    let silent =
        json!({"columnMetadata": [{"columnName": "Id", "apexType": "Id"}, {"columnName": "BillingAddress"}]});
    let answer = Fault::Answer {
        status: 200,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: silent.to_string().into_bytes(),
    };
    deployment.script(Rule::once(At::Containing("columns=true".to_owned()), answer));
    deployment
        .run(["run", "parts"])
        .ended(65)
        .says(&["the org does not say whether BillingAddress is a compound field", "line 1, column 12"]);
    assert_eq!(deployment.queries().len(), 1);
}

/// The names of an object's fields, in the order of describe.
fn field_names(deployment: &Deployment, object: &str, takes: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let object = deployment.data().object(object).unwrap();
    object.fields.iter().map(|field| field.name).filter(|name| takes(name)).collect()
}

#[test]
fn fields_are_asked_for_before_the_first_page() {
    let deployment = Deployment::with(small_pages(30));
    let custom = |name: &str| name.contains("__");
    let soql = "SELECT FIELDS(custom), Owner.Name, fields(STANDARD), (SELECT FIELDS(ALL) FROM Tasks LIMIT 200) FROM \
                Warehouse__c LIMIT 5";
    // Warehouses have no Tasks: that query is the org's to refuse, and it does so before any record.
    deployment.job("refused", soql, "refused.csv", "");
    deployment.run(["run", "refused"]).ended(65).says(&["Didn't understand relationship 'Tasks'"]);

    let soql = "SELECT FIELDS(custom), Owner.Name, fields(STANDARD) FROM Contact LIMIT 50";
    deployment.job("all", soql, "all.csv", "");
    let outcome = deployment.run(["run", "all", "--json"]).ended(0);
    let mut columns = field_names(&deployment, "Contact", custom);
    columns.push("Owner.Name");
    columns.extend(field_names(&deployment, "Contact", |name| !custom(name)));
    let report = &outcome.reports()[0];
    assert_eq!(report["columns"], json!(columns));
    // The description is an API call, and no page.
    assert_eq!(report["api_calls"].as_u64().unwrap(), report["pages"].as_u64().unwrap() + 1);
    let header = deployment.text("exports/all.csv").lines().next().unwrap().to_owned();
    assert_eq!(header, columns.join(","));

    let soql = "SELECT Id, (SELECT FIELDS(STANDARD) FROM Tasks) FROM Account";
    deployment.job("tasks", soql, "tasks.csv", "children = \"files\"");
    deployment.run(["run", "tasks"]).ended(0);
    let names = field_names(&deployment, "Task", |_| true);
    let accounts = live(deployment.data(), "Account");
    let header = [vec!["Account.Id"], names.clone()].concat();
    assert_same(
        &deployment.read("exports/tasks.Tasks.csv"),
        &csv_of(&header, family(&accounts, "Tasks", &names)),
    );
}

#[test]
fn an_org_that_describes_no_columns_is_told_apart_from_a_cut_answer() {
    let deployment = Deployment::new(10);
    deployment.job("all", "SELECT FIELDS(STANDARD) FROM User", "all.csv", "");
    let at = || At::Containing("columns=true".to_owned());
    deployment.script(Rule::once(at(), Fault::Truncate { after: 100 }));
    let report = deployment.run(["run", "all", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["retries"], json!(1));
    let records = br#"{"totalSize":0,"done":true,"records":[]}"#.to_vec();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    deployment.script(Rule::once(at(), Fault::Answer { status: 200, headers, body: records }));
    deployment
        .run(["run", "all"])
        .ended(65)
        .says(&["does not describe the query's columns", "name the fields"]);
}

#[test]
fn changed_columns_are_a_warning_and_where_they_are_pinned_the_end_of_the_run() {
    let deployment = Deployment::new(10);
    let job = |fields: &str, more: &str| {
        deployment.job("users", &format!("SELECT {fields} FROM User"), "users.csv", more);
    };
    job("Id, Name", "columns_pinned = true");
    deployment.run(["run", "users"]).ended(0);
    job("Id, Name, Email", "columns_pinned = true");
    let before = deployment.read("exports/users.csv");
    deployment.run(["run", "users"]).ended(65).says(&["new: Email", "columns_pinned = true forbids it"]);
    assert_same(&deployment.read("exports/users.csv"), &before);
    assert_eq!(deployment.logins().len(), 1);
    // As often as it is tried: a run that failed changes nothing of what is remembered.
    deployment.run(["run", "users"]).ended(65);
    job("Id, Email", "");
    let warning = "the columns have changed since the last successful run: gone: Name; new: Email";
    let dry = deployment.run(["run", "users", "--json", "--dry-run"]).ended(0).reports().remove(0);
    assert_eq!(dry["warnings"], json!([warning]));
    // A run that fails changes no columns: its error stands alone, and the run that succeeds warns.
    job("Id, Emial", "");
    let failed = deployment.run(["run", "users", "--json"]).ended(65);
    assert_eq!(failed.reports().remove(0)["warnings"], json!([]));
    assert!(!failed.stderr.contains("warning:"), "{}", failed.stderr);
    job("Id, Email", "");
    let report = deployment.run(["run", "users", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["warnings"], json!([warning]));
    job("Id, Email", "columns_pinned = true");
    let report = deployment.run(["run", "users", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["warnings"], Json::Array(Vec::new()));
}

/// The binary under strace, with this done to the third `renameat2` of any thread. Only an output that must not
/// replace anything is renamed by that call, and one thread publishes them all. `None` where there is no strace that
/// may trace.
fn traced(deployment: &Deployment, arguments: &[&str], inject: &str) -> Option<std::process::Output> {
    let binary = deployment.command(arguments);
    let mut command = Command::new("strace");
    command.env_clear().current_dir(binary.get_current_dir().unwrap()).stdin(Stdio::null());
    command.args(["-f", "-o", "/dev/null", "-e", "trace=renameat2"]);
    command.args(["-e", &format!("inject=renameat2:{inject}:when=3")]);
    command.arg(binary.get_program()).args(arguments);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let may_not = said.contains("ptrace") && said.contains("Operation not permitted");
    (!may_not).then_some(output)
}

#[test]
fn a_publish_cut_off_between_two_files_is_rolled_forward_by_the_next_run() {
    for (inject, status) in [("signal=SIGKILL", None), ("error=ENOSPC", Some(73))] {
        let deployment = Deployment::new(40);
        let job = |limit: usize, more: &str| {
            let more = format!("children = \"files\"\n{more}");
            deployment.job("families", &format!("{FAMILIES} LIMIT {limit}"), "families.csv", &more);
        };
        let names = families(&deployment).map(|(name, _)| format!("exports/{name}.csv"));
        let there = || names.clone().map(|name| deployment.path(&name).exists());
        job(30, "if_exists = \"fail\"");
        let Some(output) = traced(&deployment, &["run", "families"], inject) else {
            support::skip("there is no strace that may trace");
            return;
        };
        // strace ends by the very signal that ended its process.
        let signal = status.is_none().then_some(9);
        assert_eq!((output.status.code(), output.status.signal()), (status, signal), "{output:?}");
        assert_eq!(there(), [false, true, true, false], "two have appeared, and the main one comes last");
        let half = [deployment.read(&names[1]), deployment.read(&names[2])];
        // A run that goes no further than the login publishes what is left, and nothing new.
        job(20, "");
        deployment.run(["run", "families", "--dry-run"]).ended(0);
        assert_eq!(there(), [true; 4]);
        let accounts: Vec<_> = live(deployment.data(), "Account").into_iter().take(30).collect();
        assert_same(&deployment.read(&names[0]), &csv(&["Id", "Name"], &accounts));
        assert_eq!([deployment.read(&names[1]), deployment.read(&names[2])], half);
        deployment.assert_no_stage();
        deployment.run(["run", "families"]).ended(0);
        assert_eq!(csv_rows(&deployment.read(&names[0])), 20);
    }
}

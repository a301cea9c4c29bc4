//! Jobs of an object: `object`, `fields` and `where`, against the embedded org, compared with its data set.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;

use sfexport::demo_org::{At, Fault, Kind, Rule};
use support::{Deployment, assert_same, csv, live};

impl Exporting for Deployment {
    fn object(&self, object: &str, more: &str) {
        let text = format!("object = \"{object}\"\noutput = \"{object}.csv\"\n{more}\n");
        self.write(&format!("jobs/{object}.toml"), text);
    }

    fn header(&self, object: &str) -> String {
        let text = self.text(&format!("exports/{object}.csv"));
        text.lines().next().unwrap().to_owned()
    }
}

trait Exporting {
    /// Writes a job that exports the object to `OBJECT.csv`.
    fn object(&self, object: &str, more: &str);

    /// The first line of the export.
    fn header(&self, object: &str) -> String;
}

fn hidden(object: &str, fields: &[&'static str]) -> Rule {
    Rule::always(At::Containing(format!("/sobjects/{object}/describe")), Fault::HiddenFields(fields.to_vec()))
}

/// The columns of an export of all fields: Id, then the others by name.
fn all_columns(at: &Deployment, object: &str) -> Vec<&'static str> {
    let object = at.data().object(object).unwrap();
    let is_plain = |kind| !matches!(kind, Kind::Address | Kind::Location | Kind::Base64);
    let plain = object.fields.iter().filter(|field| is_plain(field.kind) && !field.is_deprecated());
    let mut names: Vec<_> = plain.map(|field| field.name).collect();
    names.sort_by_key(|name| (*name != "Id", name.to_ascii_lowercase()));
    names
}

#[test]
fn every_object_is_exported_with_all_its_fields() {
    let at = Deployment::new(300);
    let objects = at.data().objects();
    assert!(objects.len() > 5, "{} objects", objects.len());
    for object in &objects {
        at.object(object.name, "");
    }
    at.run(["run", "--all"]).ended(0);
    for object in objects {
        let columns = all_columns(&at, object.name);
        let expected = csv(&columns, &live(at.data(), object.name));
        assert_same(&at.read(&format!("exports/{}.csv", object.name)), &expected);
    }
}

#[test]
fn fields_and_where_choose_columns_and_records() {
    let at = Deployment::new(300);
    at.object(
        "Account",
        "fields = [\"Site\", \"owner.name\", \"S*\", \"!sic\", \"*__c\"]\nwhere = \"Type = 'Prospect'\"",
    );
    at.run(["run", "Account"]).ended(0);
    assert_eq!(
        at.header("Account"),
        "Site,Owner.name,Score__c,Segments__c,SystemModstamp,Active__c,Discount__c,FoundedOn__c,History__c,Remarks__c"
    );
    let prospects: Vec<_> = live(at.data(), "Account")
        .into_iter()
        .filter(|row| row.value("Type").unwrap().as_str() == Some("Prospect"))
        .collect();
    assert!(!prospects.is_empty());
    let text = at.text("exports/Account.csv");
    assert_eq!(csv_records(&text), prospects.len());
}

/// One entry of `fields` in a job.
#[derive(Debug, Clone)]
enum Entry {
    Field(&'static str),
    Prefix(String),
    Suffix(String),
    NotSuffix(String),
    Parent,
}

impl Entry {
    fn random(random: &mut impl FnMut(usize) -> usize, plain: &[&'static str]) -> Self {
        let name = plain[random(plain.len())];
        let part = |length: usize| length.min(name.len());
        match random(8) {
            0 => Self::Prefix(name[..part(1)].to_owned()),
            1 => Self::Prefix(String::new()),
            2 => Self::Suffix(name[name.len() - part(3)..].to_owned()),
            3 => Self::NotSuffix(name[name.len() - part(4)..].to_owned()),
            4 => Self::Parent,
            _ => Self::Field(name),
        }
    }

    /// As a user writes it, in upper case now and then.
    fn text(&self, upper: bool) -> String {
        let text = match self {
            Self::Field(name) => (*name).to_owned(),
            Self::Prefix(start) => format!("{start}*"),
            Self::Suffix(end) => format!("*{end}"),
            Self::NotSuffix(end) => format!("!*{end}"),
            Self::Parent => return "CreatedBy.Name".to_owned(),
        };
        if upper { text.to_ascii_uppercase() } else { text }
    }

    fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match self {
            Self::Field(field) => name == field.to_ascii_lowercase(),
            Self::Prefix(start) => name.starts_with(&start.to_ascii_lowercase()),
            Self::Suffix(end) | Self::NotSuffix(end) => name.ends_with(&end.to_ascii_lowercase()),
            Self::Parent => name == "createdby.name",
        }
    }
}

/// The columns of a list, by the rules of docs/records.md: each field belongs to the entry that names it, or else to the
/// first pattern that matches, unless an exclusion matches; patterns give alphabetical order, and an Id that is not
/// named comes first.
fn columns_of(entries: &[Entry], plain: &[&'static str]) -> Vec<&'static str> {
    let first = |is: &dyn Fn(&Entry) -> bool| entries.iter().position(is);
    let mut columns: Vec<(bool, usize, String, &str)> = Vec::new();
    for name in plain.iter().copied().chain(["CreatedBy.Name"]) {
        let by_name = first(&|entry| matches!(entry, Entry::Field(_) | Entry::Parent) && entry.matches(name));
        let is_own = !name.contains('.');
        let is_pattern = |entry: &Entry| matches!(entry, Entry::Prefix(_) | Entry::Suffix(_));
        let by_pattern = first(&|entry| is_own && is_pattern(entry) && entry.matches(name));
        let is_excluded =
            first(&|entry| matches!(entry, Entry::NotSuffix(_)) && entry.matches(name)).is_some();
        let Some(place) = by_name.or(by_pattern).filter(|_| !is_excluded) else { continue };
        columns.push((name != "Id" || by_name.is_some(), place, name.to_ascii_lowercase(), name));
    }
    columns.sort();
    columns.into_iter().map(|(_, _, _, name)| name).collect()
}

#[test]
fn random_lists_of_fields_choose_the_documented_columns() {
    let at = Deployment::new(30);
    let mut state = 20_261_128_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let objects = ["Account", "Contact", "Opportunity"];
    let mut expected = Vec::new();
    while expected.len() < 100 {
        let object = objects[random(objects.len())];
        let plain = all_columns(&at, object);
        let mut entries: Vec<_> = (0..=random(5)).map(|_| Entry::random(&mut random, &plain)).collect();
        // A list that begins with an exclusion begins with all fields.
        let written: Vec<_> = entries.iter().map(|entry| entry.text(random(3) == 0)).collect();
        if matches!(entries[0], Entry::NotSuffix(_)) {
            entries.insert(0, Entry::Prefix(String::new()));
        }
        let columns = columns_of(&entries, &plain);
        if columns.is_empty() {
            continue;
        }
        let name = format!("list{}", expected.len());
        let text = format!("object = \"{object}\"\nfields = {written:?}\noutput = \"{name}.csv\"\n");
        at.write(&format!("jobs/{name}.toml"), text);
        expected.push((name, written, csv(&columns, &live(at.data(), object))));
    }
    at.run(["run", "--all"]).ended(0);
    for (name, written, expected) in expected {
        let found = at.read(&format!("exports/{name}.csv"));
        assert!(found == expected, "{written:?}: {}", at.header(&name));
    }
}

/// The records of a file, by an independent reader.
fn csv_records(text: &str) -> usize {
    csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).count()
}

#[test]
fn new_fields_go_to_the_end_and_returning_ones_to_their_place() {
    let at = Deployment::new(20);
    at.object("Account", "fields = [\"Name\", \"Site\", \"A*\"]\ncolumns_pinned = false");
    let all = ["AccountNumber", "Active__c", "AnnualRevenue"];
    let run = || at.run(["run", "Account"]).ended(0);
    let columns = |names: &[&str]| names.join(",");

    at.script(hidden("Account", &["Active__c"]));
    run();
    assert_eq!(at.header("Account"), columns(&["Name", "Site", all[0], all[2]]));
    at.org().clear_script();
    let warned = run();
    warned.says(&["new: Active__c"]);
    assert_eq!(at.header("Account"), columns(&["Name", "Site", all[0], all[2], all[1]]));
    at.script(hidden("Account", &["AccountNumber"]));
    run().says(&["gone: AccountNumber"]);
    assert_eq!(at.header("Account"), columns(&["Name", "Site", all[2], all[1]]));
    at.org().clear_script();
    run();
    assert_eq!(at.header("Account"), columns(&["Name", "Site", all[0], all[2], all[1]]));

    // Written names alone come as written.
    at.object("Account", "fields = [\"Site\", \"Name\"]");
    run();
    assert_eq!(at.header("Account"), "Site,Name");
}

#[test]
fn pinned_columns_fail_where_a_field_appears() {
    let at = Deployment::new(20);
    at.object("Account", "columns_pinned = true");
    at.script(hidden("Account", &["Site"]));
    at.run(["run", "Account"]).ended(0);
    let before = at.read("exports/Account.csv");
    at.org().clear_script();
    at.run(["run", "Account"]).ended(65).says(&["new: Site", "columns_pinned"]);
    at.run(["check", "Account"]).ended(65);
    assert_eq!(at.read("exports/Account.csv"), before);
}

#[test]
fn the_report_and_check_show_the_query() {
    let at = Deployment::new(20);
    at.object("Contact", "fields = [\"Id\", \"LastName\"]\nwhere = \"LastName != 'canary'\"");
    let soql = "SELECT Id, LastName FROM Contact WHERE LastName != 'canary'";
    let report = at.run(["run", "Contact", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["soql"], "SELECT Id, LastName FROM Contact WHERE LastName != '…'");
    assert_eq!(report["columns"], serde_json::json!(["Id", "LastName"]));
    let checked = at.run(["check", "Contact"]).ended(0).stdout().to_owned();
    assert!(checked.contains(soql), "{checked}");
    assert!(checked.contains("2: Id, LastName"), "{checked}");
    let offline = at.run(["check", "--offline"]).ended(0).stdout().to_owned();
    assert!(offline.contains("not known without asking the org"), "{offline}");
}

#[test]
fn an_object_or_a_field_that_is_not_there_is_named_with_the_nearest() {
    let at = Deployment::new(20);
    for (object, more, says) in [
        ("Acount", "", &["no object \"Acount\"", "\"Account\"", "jobs/Acount.toml:1"][..]),
        ("Zorblax__c", "", &["no object \"Zorblax__c\"", "object permissions"]),
        (
            "Account",
            "fields = [\"Id\", \"Nmae\"]",
            &["no field \"Nmae\"", "\"Name\"", "field-level security"],
        ),
        ("Account", "fields = [\"Id\", \"Ownr.Name\"]", &["no relationship \"Ownr\"", "\"Owner\""]),
        (
            "Account",
            "fields = [\"Nmae\", \"Zorblax\", \"Ownr.Name\", \"*__x\"]",
            &[
                "has no field \"Nmae\", no field \"Zorblax\", no relationship \"Ownr\", no field that matches \"*__x\" \
                 that",
                "write \"Name\" for \"Nmae\", \"Owner\" for \"Ownr\" and correct the others in `fields` of \
                 jobs/Account.toml:3",
            ],
        ),
        (
            "Account",
            "fields = [\"Nmae\", \"Id\", \"Phnoe\"]",
            &[
                "write \"Name\" for \"Nmae\", \"Phone\" for \"Phnoe\" in `fields` of jobs/Account.toml:3, or give",
            ],
        ),
        ("Account", "fields = [\"Id\", \"Owner.Nmae\"]", &["INVALID_FIELD", "\"Name\""]),
        ("Account", "fields = [\"Id\", \"*__x\"]", &["no field that matches \"*__x\""]),
        ("Account", "fields = [\"!*\"]", &["no field that is not excluded", "exclude fewer"]),
        ("Account", "where = \"Nmae = 'a'\"", &["INVALID_FIELD", "\"Name\""]),
    ] {
        let _ = fs::remove_dir_all(at.path("jobs"));
        at.object(object, more);
        at.run(["run", object]).ended(65).says(says);
        let checked = at.run(["check", object]).ended(65).stdout().to_owned();
        for part in says {
            assert!(checked.contains(part), "{part} is not in\n{checked}");
        }
        assert!(!at.path(&format!("exports/{object}.csv")).exists());
    }
}

#[test]
fn a_refused_name_is_reported_at_the_line_of_its_key() {
    let at = Deployment::new(20);
    for (keys, place) in [
        ("where = \"Nmae = 'a'\"\nfields = [\"Id\"]", "jobs/Account.toml:3"),
        ("enabled = true\nfields = [\"Id\", \"Nmae\"]", "jobs/Account.toml:4"),
        ("enabled = true\nfields = [\"Id\", \"Owner.Nmae\"]", "jobs/Account.toml:4"),
        ("enabled = true\ntimeout = \"1h\"\nwhere = \"Nmae = 'a'\"", "jobs/Account.toml:5"),
    ] {
        at.object("Account", keys);
        at.run(["run", "Account"]).ended(65).says(&[place]);
        let checked = at.run(["check", "Account"]).ended(65).stdout().to_owned();
        assert!(checked.contains(place), "{place} is not in\n{checked}");
    }
}

#[test]
fn an_exclusion_that_names_no_field_is_a_warning() {
    let at = Deployment::new(20);
    at.object("Account", "fields = [\"!Nmae\", \"!Zorblax\", \"!Phone\", \"!*__x\"]");
    let warnings = [
        "\"Account\" has no field \"Nmae\" to exclude; write \"!Name\" in `fields` of jobs/Account.toml:3",
        "\"Account\" has no field \"Zorblax\" to exclude; correct or remove \"!Zorblax\" in `fields` of \
         jobs/Account.toml:3",
    ];
    let report = at.run(["run", "Account", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["warnings"], serde_json::json!(warnings));
    assert!(at.header("Account").contains(",Name,") && !at.header("Account").contains(",Phone"));
    let checked = at.run(["check", "Account"]).ended(0).stdout().to_owned();
    assert!(checked.contains("! columns       \"Account\" has no field \"Nmae\" to exclude\n"), "{checked}");
    assert!(checked.contains("→ write \"!Name\" in `fields` of jobs/Account.toml:3\n"), "{checked}");
    assert!(checked.contains("2 warnings."), "{checked}");
}

#[test]
fn an_object_that_cannot_be_queried_is_told_from_a_missing_one() {
    let at = Deployment::new(20);
    at.object("Account", "");
    let refusal = Fault::error(400, "INVALID_TYPE", "sObject type 'Account' is not supported.");
    at.script(Rule::always(At::Page(1), refusal));
    at.run(["run", "Account"]).ended(65).says(&[
        "the org refused the query: INVALID_TYPE",
        "hint: \"Account\" exists, but cannot be queried: give ",
        "(object permissions), or remove it from jobs/Account.toml:1 if it does not support queries",
    ]);
}

#[test]
fn mistakes_in_a_job_with_an_object_are_found() {
    let at = Deployment::new(20);
    for (text, says) in [
        ("object = \"Account\"\nsoql = \"SELECT Id FROM Account\"", "`soql` and `object` are both set"),
        (
            "soql = \"SELECT Id FROM Account\"\nfields = [\"Id\"]",
            "fields: this key has no effect without `object`",
        ),
        (
            "soql = \"SELECT Id FROM Account\"\nwhere = \"Id != null\"",
            "where: this key has no effect without `object`",
        ),
        ("object = \"My Object\"", "white space"),
        ("object = \"1st\"", "is not an object's API name"),
        ("object = \"Account\"\nfields = []", "the list is empty"),
        ("object = \"Account\"\nfields = [\"Owner.*\"]", "name each field of a parent"),
        ("object = \"Account\"\nfields = [\"COUNT()\"]", "does not select fields"),
        ("object = \"Account\"\nfields = \"Id, Name\"", "write a list: [\"Id\", \"Name\"]"),
        ("object = \"Account\"\nwhere = \"WHERE Id != null\"", "the condition begins with WHERE"),
        ("object = \"Account\"\nwhere = \"Id != null LIMIT 5\"", "contains LIMIT"),
        ("enabled = true", "set `soql_file`, `object` or `objects`"),
    ] {
        at.write("jobs/a.toml", format!("{text}\noutput = \"a.csv\"\n"));
        at.run(["run", "a"]).ended(78).says(&[says]);
        let checked = at.run(["check", "--offline"]).ended(78).stdout().to_owned();
        assert!(checked.contains(says), "{says} is not in\n{checked}");
    }
}

#[test]
fn a_description_that_is_cut_is_asked_for_again() {
    let at = Deployment::new(20);
    at.configure("attempts = 2");
    at.object("Account", "fields = [\"Id\"]");
    let describe = || At::Containing("/sobjects/Account/describe".to_owned());
    for fault in [
        Fault::Truncate { after: 100 },
        Fault::error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
        Fault::error(406, "CustomNotAcceptable", "come again"),
        Fault::ExpiredSession,
    ] {
        at.script(Rule::once(describe(), fault));
        at.run(["run", "Account"]).ended(0);
    }
    at.script(Rule::always(describe(), Fault::Truncate { after: 100 }));
    at.run(["run", "Account"]).ended(74);
}

#[test]
fn a_wide_object_is_exported_by_rest_alone() {
    let at = Deployment::new(20);
    at.object("Wide__c", "");
    at.run(["run", "Wide__c"]).ended(0);
    let columns = all_columns(&at, "Wide__c");
    assert_eq!(columns.len(), 505);
    assert_same(&at.read("exports/Wide__c.csv"), &csv(&columns, &live(at.data(), "Wide__c")));
    assert_eq!(at.requests_to("/services/data/v62.0/composite/batch").len(), 1);
}

#[test]
fn a_dry_run_describes_nothing() {
    let at = Deployment::new(20);
    at.object("Account", "");
    at.run(["run", "Account", "--dry-run"]).ended(0);
    assert_eq!((at.logins().len(), at.queries().len()), (1, 0));
}

#[test]
fn objects_and_fields_are_listed() {
    let at = Deployment::new(20);
    let names = |text: &str| {
        text.lines()
            .skip(1)
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut listed: Vec<_> = at.data().objects().into_iter().chain(at.data().odd_objects()).collect();
    listed.sort_by_key(|object| object.name.to_ascii_lowercase());
    let all: Vec<_> = listed.iter().map(|object| object.name).collect();
    assert_eq!(names(at.run(["objects", "--all"]).ended(0).stdout()), all);
    listed.retain(|object| object.is_queryable() && !object.is_deprecated());
    assert!(listed.len() + 5 < all.len());
    let exportable: Vec<_> = listed.iter().map(|object| object.name).collect();
    assert_eq!(names(at.run(["objects"]).ended(0).stdout()), exportable);
    let listed = at.run(["objects", "*account*", "--json"]).ended(0);
    let account: serde_json::Value = serde_json::from_str(listed.stdout().lines().next().unwrap()).unwrap();
    assert_eq!(
        account,
        serde_json::json!({"name": "Account", "label": "Account", "custom": false, "exportable": true})
    );
    at.run(["objects", "Zorblax*"]).ended(0).says(&["no object matches \"Zorblax*\""]);

    let listed = at.run(["fields", "account"]).ended(0).stdout().to_owned();
    let fields = at.data().object("Account").unwrap().fields;
    assert_eq!(names(&listed).len(), fields.len());
    assert_eq!(names(&listed)[0], "Id");
    let line = |name: &str| listed.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    assert!(line("BillingAddress").contains("address") && line("BillingAddress").ends_with("only if named"));
    assert!(line("OwnerId").ends_with("Owner: User"), "{}", line("OwnerId"));
    assert_eq!(at.run(["fields", "Account", "--json"]).ended(0).stdout().lines().count(), fields.len());
    at.run(["fields", "Acount"]).ended(65).says(&["no object \"Acount\"", "write \"Account\""]);
    at.script(Rule::always(At::Containing("/sobjects".to_owned()), Fault::body("<html>")));
    at.configure("attempts = 1");
    at.run(["objects"]).ended(74).says(&["cannot read the list of objects"]);
}

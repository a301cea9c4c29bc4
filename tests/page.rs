//! The page reader from outside: pages in every shape that an org sends go in, cells and lines of JSON come out.
//! What is expected is written by hand, or is serde_json's reading of the same page.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use sfexport::job::{Datetimes, Numbers};
use sfexport::record::{CellKind, JsonForm, Record, Target};
use sfexport::salesforce::fault::{Fault, FaultKind};
use sfexport::salesforce::page::{PageReader, next_locator};
use sfexport::salesforce::query::QueryLocator;
use sfexport::soql::{ColumnRules, Columns, Described, Layout, Query, ValueKind};
use sfexport::value::FieldType;

#[path = "support/skip.rs"]
mod skip;

const AS_SENT: JsonForm = JsonForm::AS_SENT;

type Cell = (CellKind, String);

fn columns(soql: &str) -> Columns {
    let query = Query::parse(soql).unwrap_or_else(|error| panic!("{soql}\n{error}"));
    Columns::of(&query).unwrap_or_else(|error| panic!("{soql}\n{error}"))
}

fn no_children(locator: &QueryLocator) -> Result<Vec<u8>, Fault> {
    panic!("{locator} was asked for")
}

/// Every record of a page as cells, and the lone surrogates met.
fn cells(page: &[u8], columns: &Columns) -> Result<(Vec<Vec<Cell>>, u64), Fault> {
    cells_with(page, columns, &mut no_children)
}

fn cells_with(
    page: &[u8],
    columns: &Columns,
    fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
) -> Result<(Vec<Vec<Cell>>, u64), Fault> {
    let mut reader = PageReader::open(page, columns)?;
    let (mut record, mut all) = (Record::default(), Vec::new());
    while reader.read(Target::Cells { record: &mut record, watch: None, form: JsonForm::AS_SENT }, fetch)? {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("cells are UTF-8");
        all.push(record.cells().map(|(kind, bytes)| (kind, text(bytes))).collect());
    }
    let ended =
        !reader.read(Target::Cells { record: &mut record, watch: None, form: JsonForm::AS_SENT }, fetch)?;
    assert!(ended, "a page that has ended stays so");
    Ok((all, reader.lone_surrogates()))
}

/// Every record of a page as a line of JSON.
fn lines(page: &[u8], columns: &Columns, form: JsonForm) -> Result<(Vec<String>, u64), Fault> {
    lines_with(page, columns, form, &mut no_children)
}

fn lines_with(
    page: &[u8],
    columns: &Columns,
    form: JsonForm,
    fetch: &mut dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault>,
) -> Result<(Vec<String>, u64), Fault> {
    let mut reader = PageReader::open(page, columns)?;
    let (mut record, mut out, mut all) = (Record::default(), Vec::new(), Vec::new());
    while reader.read(Target::Json { record: &mut record, form, out: &mut out }, fetch)? {
        assert!(record.is_copied());
        all.push(String::from_utf8(std::mem::take(&mut out)).expect("lines are UTF-8"));
    }
    Ok((all, reader.lone_surrogates()))
}

/// Both ways through one page must agree on whether it is good; gives the fault.
fn fault(page: &[u8], columns: &Columns) -> Fault {
    let shown = || String::from_utf8_lossy(&page[..page.len().min(300)]).into_owned();
    let Err(read) = cells(page, columns) else { panic!("read into cells: {}", shown()) };
    let Err(copied) = lines(page, columns, AS_SENT) else { panic!("copied: {}", shown()) };
    assert_eq!((read.kind, &read.what), (copied.kind, &copied.what), "{}", shown());
    read
}

fn null() -> Cell {
    (CellKind::Null, String::new())
}

fn text(text: &str) -> Cell {
    (CellKind::Text, text.to_owned())
}

fn number(text: &str) -> Cell {
    (CellKind::Number, text.to_owned())
}

fn boolean(text: &str) -> Cell {
    (CellKind::Boolean, text.to_owned())
}

fn json(text: &str) -> Cell {
    (CellKind::Json, text.to_owned())
}

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

/// Every fixture that is a page of its own, with a query that asks for it.
const PAGES: &[(&[u8], &str)] = &[
    (fixture!("parents.json"), PARENTS),
    (fixture!("pretty.json"), PRETTY),
    (fixture!("typeof.json"), TYPEOF),
    (fixture!("aggregate.json"), AGGREGATE),
    (fixture!("compound.json"), COMPOUND),
    (fixture!("any_order.json"), ANY_ORDER),
    (fixture!("text.json"), TEXT),
];

const PARENTS: &str =
    "SELECT Id, LastName, IsDeleted, Account.Name, Account.AnnualRevenue, Account.Owner.Name FROM Contact";
const PRETTY: &str = "SELECT Id, Company, Address, Amount__c FROM Lead";
const TYPEOF: &str = "SELECT Id, TYPEOF What WHEN Account THEN Phone, Name WHEN Opportunity THEN Amount, Account.Name END FROM Event";
const AGGREGATE: &str = "SELECT LeadSource, Account.Name, COUNT(Id), MAX(Amount) top FROM Opportunity GROUP BY LeadSource, Account.Name";
const COMPOUND: &str = "SELECT BillingAddress, Where__c FROM Account";
const ANY_ORDER: &str = "select id, name, owner.name from account";
const TEXT: &str = "SELECT T FROM X";
const CHILDREN: &str = "SELECT Name, (SELECT LastName, Account.Rating FROM Contacts), \
    (SELECT Subject, (SELECT Body FROM CaseComments) FROM Cases) FROM Account";

#[test]
fn a_parent_that_is_null_leaves_all_its_columns_null() {
    let (page, columns) = (fixture!("parents.json"), columns(PARENTS));
    let head = PageReader::open(page, &columns).unwrap().head().clone();
    assert_eq!(head.total_size, Some(3));
    assert_eq!(head.next.unwrap().path(), "/services/data/v62.0/query/0r8Wz00000QrStUVWX-3");
    let expected = vec![
        vec![
            text("003Wz000001aaaaIAA"),
            text("Meier"),
            boolean("false"),
            text("Nordlicht, GmbH"),
            number("1.39E8"),
            text("Ida"),
        ],
        vec![text("003Wz000001ddddIAA"), text(""), boolean("true"), null(), null(), null()],
        vec![text("003Wz000001eeeeIAA"), text("O'Neil"), boolean("false"), text("x"), null(), null()],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 0));
    assert_eq!(
        lines(page, &columns, AS_SENT).unwrap().0,
        [
            r#"{"Id":"003Wz000001aaaaIAA","LastName":"Meier","IsDeleted":false,"Account":{"Name":"Nordlicht, GmbH","AnnualRevenue":1.39E8,"Owner":{"Name":"Ida"}}}"#,
            r#"{"Id":"003Wz000001ddddIAA","LastName":"","IsDeleted":true,"Account":null}"#,
            r#"{"Id":"003Wz000001eeeeIAA","LastName":"O'Neil","IsDeleted":false,"Account":{"Name":"x","AnnualRevenue":null,"Owner":null}}"#,
        ]
    );
}

#[test]
fn numbers_are_written_out_and_attributes_kept_where_that_is_asked_for() {
    let form = JsonForm { numbers: Numbers::Plain, attributes: true, ..JsonForm::AS_SENT };
    assert_eq!(
        lines(fixture!("parents.json"), &columns(PARENTS), form).unwrap().0[0],
        r#"{"attributes":{"type":"Contact","url":"/services/data/v62.0/sobjects/Contact/003Wz000001aaaaIAA"},"Id":"003Wz000001aaaaIAA","LastName":"Meier","IsDeleted":false,"Account":{"attributes":{"type":"Account","url":"/services/data/v62.0/sobjects/Account/001Wz000001bbbbIAA"},"Name":"Nordlicht, GmbH","AnnualRevenue":139000000.0,"Owner":{"attributes":{"type":"User","url":"/services/data/v62.0/sobjects/User/005Wz000001ccccIAA"},"Name":"Ida"}}}"#
    );
}

#[test]
fn a_pretty_printed_page_gives_compact_json() {
    let (page, columns) = (fixture!("pretty.json"), columns(PRETTY));
    let company = "two  spaces, a \"quote\" and a { brace }";
    let address = r#"{"city":"Bad  Oldesloe","latitude":53.8,"street":"Am Markt 1\r\nHaus 2"}"#;
    let expected = vec![
        vec![text("00QWz000001aaaaIAA"), text(company), json(address), number("0.0")],
        vec![text("00QWz000001bbbbIAA"), text("\\"), null(), number("1.0E-5")],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 0));
    assert_eq!(
        lines(page, &columns, AS_SENT).unwrap().0,
        [
            r#"{"Id":"00QWz000001aaaaIAA","Company":"two  spaces, a \"quote\" and a { brace }","Address":{"city":"Bad  Oldesloe","latitude":53.8,"street":"Am Markt 1\r\nHaus 2"},"Amount__c":0.0}"#,
            r#"{"Id":"00QWz000001bbbbIAA","Company":"\\","Address":null,"Amount__c":1.0E-5}"#,
        ]
    );
    let spaced = br#"{"totalSize": 1, "done": true, "records": [{"attributes": {"type": "X"}, "T": {"a": [1, "b c"]}}]}"#;
    let columns = self::columns(TEXT);
    assert_eq!(cells(spaced, &columns).unwrap().0, [[json(r#"{"a":[1,"b c"]}"#)]]);
    assert_eq!(lines(spaced, &columns, AS_SENT).unwrap().0, [r#"{"T":{"a":[1,"b c"]}}"#]);
    let broken = b"{\"totalSize\":1,\"done\":true,\"records\":[{\"T\":{\"a\":\n1}\r\n}]}";
    assert_eq!(cells(broken, &columns).unwrap().0, [[json(r#"{"a":1}"#)]]);
    assert_eq!(lines(broken, &columns, AS_SENT).unwrap().0, [r#"{"T":{"a":1}}"#]);
}

#[test]
fn a_typeof_without_a_matching_branch_is_null_in_that_branch_s_columns() {
    let (page, columns) = (fixture!("typeof.json"), columns(TYPEOF));
    assert_eq!(columns.names(), ["Id", "What.Phone", "What.Name", "What.Amount", "What.Account.Name"]);
    let expected = vec![
        vec![text("00U1"), text("040-1"), text("Acme"), null(), null()],
        vec![text("00U2"), null(), null(), number("9.0E7"), text("Parent")],
        vec![text("00U3"), null(), null(), null(), null()],
        vec![text("00U4"), null(), null(), null(), null()],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 0));
    assert_eq!(
        lines(page, &columns, AS_SENT).unwrap().0,
        [
            r#"{"Id":"00U1","What":{"Phone":"040-1","Name":"Acme"}}"#,
            r#"{"Id":"00U2","What":{"Amount":9.0E7,"Account":{"Name":"Parent"}}}"#,
            r#"{"Id":"00U3","What":{}}"#,
            r#"{"Id":"00U4","What":null}"#,
        ]
    );
}

#[test]
fn groups_have_their_keys_expressions_and_aliases() {
    let (page, columns) = (fixture!("aggregate.json"), columns(AGGREGATE));
    assert_eq!(columns.names(), ["LeadSource", "Name", "expr0", "top"]);
    let expected = vec![
        vec![text("Web"), text("Acme"), number("12"), number("1.5E7")],
        vec![null(), null(), number("0"), null()],
        vec![text("Phone"), text("x"), number("3"), number("300.0")],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 0));
    assert_eq!(
        lines(page, &columns, AS_SENT).unwrap().0[1],
        r#"{"LeadSource":null,"Name":null,"expr0":0,"top":null}"#
    );
}

#[test]
fn compound_values_are_compact_json() {
    let (page, columns) = (fixture!("compound.json"), columns(COMPOUND));
    let nulls = r#"{"city":null,"country":null,"geocodeAccuracy":null,"latitude":null,"longitude":null,"postalCode":null,"state":null,"street":null}"#;
    let full = r#"{"city":"Köln, 東京","country":"DE","geocodeAccuracy":"Address","latitude":50.9,"longitude":7.0E-4,"postalCode":"50667","state":null,"street":"a \"b\"\r\nc"}"#;
    let expected = vec![
        vec![json(nulls), json(r#"{"latitude":37.79302,"longitude":-122.394507}"#)],
        vec![json(full), null()],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 0));
}

/// Columns of an address and a location as their parts.
fn parts() -> Columns {
    let query = Query::parse("SELECT Id, BillingAddress, Owner.Place__c FROM Account").expect("a query");
    let of = |name: &str, kind, inner| Described { name: name.to_owned(), computed: false, kind, inner };
    let owner = vec![of("Place__c", ValueKind::Location, vec![])];
    let described = [
        of("Id", ValueKind::Plain(FieldType::Text), vec![]),
        of("BillingAddress", ValueKind::Address, vec![]),
        of("Owner", ValueKind::Unknown, owner),
    ];
    let layout = Layout { compound_parts: true, ..Layout::default() };
    Columns::laid_out(&query, layout, Some(&described)).expect("columns")
}

#[test]
fn parts_that_a_compound_value_lacks_are_null() {
    let columns = parts();
    assert_eq!(columns.names().len(), 13);
    let read = |address: &str, owner: &str| {
        let record = format!(r#"{{"Id":"1","BillingAddress":{address},"Owner":{owner}}}"#);
        let filled: Vec<_> = cells(&page(&[&record]), &columns).unwrap().0[0]
            .iter()
            .zip(columns.names())
            .filter(|(cell, _)| **cell != null())
            .map(|((_, text), name)| format!("{name}={text}"))
            .collect();
        filled.join(" ")
    };
    for nothing in ["null", "{}", r#"{"attributes":{"type":"address"}}"#, r#"{"city":null,"street":null}"#] {
        assert_eq!(read(nothing, "null"), "Id=1");
    }
    assert_eq!(
        read(r#"{"STREET":"a","geocodeProvider":{"x":[1]},"city":"b","Planet":"c"}"#, r#"{"Place__c":null}"#),
        "Id=1 BillingAddress.city=b BillingAddress.street=a"
    );
    assert_eq!(
        read("null", r#"{"Place__c":{"altitude":3,"latitude":1.5,"altitude":3}}"#),
        "Id=1 Owner.Place__c.latitude=1.5"
    );
}

#[test]
fn a_compound_value_that_is_lost_or_doubled_is_a_fault() {
    let columns = parts();
    let fault = |record: &str| match cells(&page(&[record]), &columns) {
        Ok(_) => panic!("read: {record}"),
        Err(fault) => fault.what,
    };
    let lacks = |column: &str| {
        format!("the org sent a record without the column {column}, which the query asked for")
    };
    assert_eq!(fault(r#"{"Id":"1","Owner":null}"#), lacks("BillingAddress.city"));
    let without_place = r#"{"Id":"1","BillingAddress":null,"Owner":{}}"#;
    assert_eq!(fault(without_place), lacks("Owner.Place__c.latitude"));
    assert_eq!(
        fault(r#"{"Id":"1","BillingAddress":{"city":"a","City":"b"},"Owner":null}"#),
        "the org sent City twice in one record"
    );
    assert_eq!(
        fault(r#"{"Id":"1","BillingAddress":null,"Owner":{"Place__c":null,"city":"a"}}"#),
        "the org sent a field that the query did not ask for: city"
    );
}

#[test]
fn a_field_with_and_without_a_namespace_is_sent_twice() {
    let columns = columns("SELECT Pet__c FROM A");
    let with = page(&[r#"{"ns__Pet__c":"a"}"#]);
    assert_eq!(cells(&with, &columns).unwrap(), (vec![vec![text("a")]], 0));
    let line = r#"{"ns__Pet__c":"a"}"#.to_owned();
    assert_eq!(lines(&with, &columns, AS_SENT).unwrap(), (vec![line], 0), "JSON Lines keep keys as sent");
    let both = page(&[r#"{"ns__Pet__c":"a","Pet__c":"b"}"#]);
    assert_eq!(fault(&both, &columns).what, "the org sent Pet__c twice in one record");
}

#[test]
fn unknown_keys_around_the_records_are_passed_over() {
    const ROOM: &str = r#""new":{"records":[{"Id":"x"}],"done":false},"warnings":[[1]]"#;
    let columns = columns("SELECT Id, (SELECT Name FROM Contacts) FROM Account");
    for (before, after) in [(format!("{ROOM},"), String::new()), (String::new(), format!(",{ROOM}"))] {
        let attributes = format!(r#""attributes":{{{before}"type":"Account"{after}}}"#);
        let children = format!(
            r#"{{{before}"totalSize":1,"done":true,"records":[{{{attributes},"Name":"a"}}]{after}}}"#
        );
        let record = format!(r#"{{{attributes},"Id":"1","Contacts":{children}}}"#);
        let page = format!(r#"{{{before}"totalSize":1,"done":true,"records":[{record}]{after}}}"#);
        let expected = vec![vec![text("1"), json(r#"[{"Name":"a"}]"#)]];
        assert_eq!(cells(page.as_bytes(), &columns).unwrap(), (expected, 0), "{page}");
        let line = r#"{"Id":"1","Contacts":[{"Name":"a"}]}"#.to_owned();
        assert_eq!(lines(page.as_bytes(), &columns, AS_SENT).unwrap(), (vec![line], 0), "{page}");
    }
}

#[test]
fn thousands_of_keys_in_another_order_fill_their_columns() {
    const WIDTH: usize = 5_000;
    let names: Vec<_> = (0..WIDTH).map(|n| format!("Field{n}__c")).collect();
    let columns = columns(&format!("SELECT {} FROM Account", names.join(", ")));
    // 7 has no factor in common with the width, so each key comes once.
    let members: Vec<_> = (0..WIDTH)
        .map(|n| n * 7 % WIDTH)
        .map(|n| {
            format!(r#""{}":"{n}""#, if n % 2 == 0 { names[n].to_uppercase() } else { names[n].clone() })
        })
        .collect();
    let record = format!("{{{}}}", members.join(","));
    let expected: Vec<_> = (0..WIDTH).map(|n| text(&n.to_string())).collect();
    let page = page(&vec![record.as_str(); 20]);
    assert_eq!(cells(&page, &columns).unwrap(), (vec![expected; 20], 0));
    let lost = format!("{{{}}}", members[1..].join(","));
    let what = "the org sent a record without the column Field0__c, which the query asked for";
    assert_eq!(fault(&self::page(&[&lost]), &columns).what, what);
}

#[test]
fn keys_come_in_any_order_and_spelling_and_the_head_behind_the_records() {
    let (page, columns) = (fixture!("any_order.json"), columns(ANY_ORDER));
    let head = PageReader::open(page, &columns).unwrap().head().clone();
    assert_eq!((head.total_size, head.next.unwrap().path().len()), (Some(9), 40));
    let expected = vec![
        vec![text("1"), text("last"), text("o")],
        vec![text("2"), text("middle"), null()],
        vec![text("3"), text("missing"), null()],
        vec![text("4"), text("\u{FFFD}"), text("p")],
    ];
    assert_eq!(cells(page, &columns).unwrap(), (expected, 1), "the surrogate counts once");
    let copied = lines(page, &columns, AS_SENT).unwrap();
    assert_eq!(
        copied.0,
        [
            r#"{"NAME":"last","ID":"1","owner":{"name":"o"}}"#,
            r#"{"Owner":{"Name":null},"Id":"2","Name":"middle"}"#,
            r#"{"Id":"3","Owner":null,"Name":"missing"}"#,
            r#"{"Id":"4","Owner":{"Name":"p"},"Name":"\ud800"}"#,
        ]
    );
    assert_eq!(copied.1, 1);
    assert_eq!(next_locator(page), None, "a head behind the records is no reason to ask early");
}

#[test]
fn text_is_unescaped_in_cells_and_left_alone_in_json() {
    let (page, columns) = (fixture!("text.json"), columns(TEXT));
    let expected = [
        "raw 😀, paired 😀 😀",
        "high \u{FFFD} alone, low \u{FFFD} alone, \u{FFFD}\u{FFFD} swapped",
        "nul \0 del \x7f",
        "raw \u{2028}\u{2029}, escaped \u{2028}\u{2029}",
        "\"\\/\u{8}\u{c}\n\r\t",
        "\\ud800 is no escape",
        "e\u{301} é \u{FFFD} \u{FFFF} \u{10FFFF}",
    ];
    let (found, surrogates) = cells(page, &columns).unwrap();
    assert_eq!(found, expected.map(|expected| vec![text(expected)]));
    assert_eq!(surrogates, 4);
    let (copied, surrogates) = lines(page, &columns, AS_SENT).unwrap();
    assert_eq!(surrogates, 4);
    assert_eq!(copied[1], r#"{"T":"high \uD83D alone, low \uDE00 alone, \uDE00\uD83D swapped"}"#);
    assert_eq!(copied[4], r#"{"T":"\"\\\/\b\f\n\r\t"}"#);
    assert_eq!(copied[3], "{\"T\":\"raw \u{2028}\u{2029}, escaped \\u2028\\u2029\"}");
}

#[test]
fn child_records_are_followed_to_their_end_in_order() {
    let columns = columns(CHILDREN);
    for as_cells in [true, false] {
        let mut asked = Vec::new();
        let mut fetch = |locator: &QueryLocator| {
            asked.push(locator.path().to_owned());
            Ok(match locator.path() {
                "/services/data/v62.0/query/0r8child1-2" => fixture!("children_contacts_2.json"),
                "/services/data/v62.0/query/0r8child1-4" => fixture!("children_contacts_3.json"),
                "/services/data/v62.0/query/0r8comment-1" => fixture!("children_comments_2.json"),
                other => panic!("{other} was asked for"),
            }
            .to_vec())
        };
        let contacts = r#"[{"LastName":"a","Account":{"Rating":"Hot"}},{"LastName":"b","Account":null},{"LastName":"c","Account":null},{"LastName":"d","Account":null},{"LastName":"e e","Account":null}]"#;
        let cases = r#"[{"Subject":"s","CaseComments":[{"Body":"one"},{"Body":"two"}]}]"#;
        if as_cells {
            let expected = vec![
                vec![text("none"), null(), null()],
                vec![text("paged"), json(contacts), json("[]")],
                vec![text("nested"), null(), json(cases)],
            ];
            assert_eq!(cells_with(fixture!("children.json"), &columns, &mut fetch).unwrap(), (expected, 0));
        } else {
            assert_eq!(
                lines_with(fixture!("children.json"), &columns, AS_SENT, &mut fetch).unwrap().0,
                [
                    r#"{"Name":"none","Contacts":null,"Cases":null}"#.to_owned(),
                    format!(r#"{{"Name":"paged","Contacts":{contacts},"Cases":[]}}"#),
                    format!(r#"{{"Name":"nested","Contacts":null,"Cases":{cases}}}"#),
                ]
            );
        }
        assert_eq!(
            asked,
            [
                "/services/data/v62.0/query/0r8child1-2",
                "/services/data/v62.0/query/0r8child1-4",
                "/services/data/v62.0/query/0r8comment-1"
            ]
        );
    }
}

#[test]
fn child_pages_that_lack_records_disagree_or_lead_in_a_circle_are_faults() {
    let columns = columns("SELECT (SELECT Id FROM Cs) FROM A");
    let page = br#"{"totalSize":1,"done":true,"records":[{"Cs":{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/A-1","records":[{"Id":"1"}]}}]}"#;
    let next = |to: &str, records: &str| {
        format!(
            r#"{{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/{to}","records":[{records}]}}"#
        )
    };
    type Answer<'a> = &'a dyn Fn(&str) -> String;
    let cases: [(Answer<'_>, &str); 7] = [
        (&|_| r#"{"totalSize":3,"done":true,"records":[{"Id":"2"}]}"#.to_owned(), "2 of 3 records arrived"),
        (
            &|_| r#"{"totalSize":3,"done":true,"records":[{"Id":"2"},{"Id":"3"},{"Id":"4"}]}"#.to_owned(),
            "3 records, and 4 or more arrived",
        ),
        (&|_| r#"{"totalSize":2,"done":true,"records":[{"Id":"2"}]}"#.to_owned(), "disagree on totalSize"),
        (&|_| next("A-1", ""), "the same next page twice"),
        (
            &|path| if path.ends_with("A-1") { next("B-1", "") } else { next("A-1", "") },
            "the same next page twice",
        ),
        (&|_| r#"{"totalSize":3,"done":true,"records":[{"Id":"2"}"#.to_owned(), "not complete JSON"),
        (
            &|_| r#"{"totalSize":3,"done":true,"records":[{"Id":"2"},{"Id":"3"}]} x"#.to_owned(),
            "not complete JSON",
        ),
    ];
    for (answer, expected) in cases {
        let mut fetch = |locator: &QueryLocator| Ok(answer(locator.path()).into_bytes());
        let read = cells_with(page, &columns, &mut fetch).expect_err(expected);
        assert!(read.what.contains(expected), "{expected}: {}", read.what);
        let copied = lines_with(page, &columns, AS_SENT, &mut fetch).expect_err(expected);
        assert_eq!(copied, read);
    }
    let mut gone = |_: &QueryLocator| Err(Fault::new(FaultKind::LocatorExpired, "gone"));
    assert_eq!(cells_with(page, &columns, &mut gone).expect_err("gone").kind, FaultKind::LocatorExpired);
}

/// A page of these records.
fn page(records: &[&str]) -> Vec<u8> {
    let (count, records) = (records.len(), records.join(","));
    format!(r#"{{"totalSize":{count},"done":true,"records":[{records}]}}"#).into_bytes()
}

const MONEY: &str = "SELECT Id, Opportunity.Name, FORMAT(Opportunity.Amount) money FROM OpportunityLineItem";

#[test]
fn an_alias_of_a_parents_field_is_read_from_parent_or_record() {
    let columns = columns(MONEY);
    assert_eq!(columns.names(), ["Id", "Opportunity.Name", "Opportunity.money"]);
    let record = |id: &str, rest: &str| {
        format!(r#"{{"attributes":{{"type":"OpportunityLineItem"}},"Id":"{id}",{rest}}}"#)
    };
    let records = [
        record("1", r#""Opportunity":{"attributes":{"type":"Opportunity"},"Name":"a","money":"USD 5.00"}"#),
        record("2", r#""Opportunity":{"attributes":{"type":"Opportunity"},"Name":"b"},"MONEY":"USD 6.00""#),
        record("3", r#""money":"USD 7.00","Opportunity":{"Name":"c"}"#),
        record("4", r#""Opportunity":null"#),
        record("5", r#""Opportunity":null,"money":null"#),
        record("6", r#""money":null,"Opportunity":null"#),
        record("7", r#""Opportunity":{"Name":"d","money":null}"#),
    ];
    let page = page(&records.each_ref().map(String::as_str));
    let row = |id: &str, name: Option<&str>, money: Option<&str>| {
        vec![text(id), name.map_or_else(null, text), money.map_or_else(null, text)]
    };
    let expected = vec![
        row("1", Some("a"), Some("USD 5.00")),
        row("2", Some("b"), Some("USD 6.00")),
        row("3", Some("c"), Some("USD 7.00")),
        row("4", None, None),
        row("5", None, None),
        row("6", None, None),
        row("7", Some("d"), None),
    ];
    assert_eq!(cells(&page, &columns).unwrap(), (expected, 0));
    // JSON Lines hold what was sent.
    let copied = lines(&page, &columns, AS_SENT).unwrap().0;
    assert_eq!(copied[0], r#"{"Id":"1","Opportunity":{"Name":"a","money":"USD 5.00"}}"#);
    assert_eq!(copied[1], r#"{"Id":"2","Opportunity":{"Name":"b"},"MONEY":"USD 6.00"}"#);
    assert_eq!(copied[5], r#"{"Id":"6","money":null,"Opportunity":null}"#);
}

#[test]
fn an_alias_that_comes_twice_or_not_at_all_is_a_fault() {
    let columns = columns(MONEY);
    let lacking = "the org sent a record without the column Opportunity.money, which the query asked for";
    for (record, what) in [
        (r#"{"Id":"1","Opportunity":{"Name":"a"}}"#, lacking),
        (
            r#"{"Id":"1","Opportunity":{"Name":"a","money":"x"},"money":"x"}"#,
            "the org sent money twice in one record",
        ),
        (r#"{"Id":"1","Opportunity":null,"money":"x"}"#, "the org sent money twice in one record"),
        (r#"{"Id":"1","money":"x","Opportunity":null}"#, "the org sent Opportunity twice in one record"),
        (
            r#"{"Id":"1","Opportunity":null,"Opportunity":null}"#,
            "the org sent Opportunity twice in one record",
        ),
        (
            r#"{"Id":"1","Opportunity":null,"Amount":null}"#,
            "the org sent a field that the query did not ask for: Amount",
        ),
        (
            r#"{"Id":"1","Opportunity":{"Name":"a","Amount":"x"}}"#,
            "the org sent a field that the query did not ask for: Amount",
        ),
    ] {
        assert_eq!(fault(&page(&[record]), &columns).what, what, "{record}");
    }
}

/// The rows of a page by their table, for child queries with tables of their own.
fn rows(page: &[u8], soql: &str) -> Result<Vec<(usize, Vec<String>)>, Fault> {
    let layout = Layout { child_tables: true, compound_parts: false };
    let columns = Columns::laid_out(&Query::parse(soql).expect(soql), layout, None).expect(soql);
    let mut all = Vec::new();
    let mut take = |table, record: &Record| {
        let cells =
            record.cells().map(|(_, cell)| String::from_utf8(cell.to_vec()).expect("cells are UTF-8"));
        all.push((table, cells.collect()));
        Ok(())
    };
    PageReader::open(page, &columns)?.rows(&mut no_children, &mut take)?;
    Ok(all)
}

#[test]
fn a_child_query_may_name_its_own_object_before_its_fields() {
    // The prefix is the object itself in the first, and a parent in the second.
    let own = r#"{"attributes":{"type":"Account"},"Id":"001","Contacts":{"totalSize":2,"done":true,"records":[
        {"attributes":{"type":"Contact","url":"/x"},"LastName":"Frank","Account":{"Name":"Acme"}},
        {"LastName":"James","Account":null,"attributes":{"url":"/x","type":"Contact"}}]}}"#;
    let parent = r#"{"attributes":{"type":"Account"},"Id":"001","Cases":{"totalSize":2,"done":true,"records":[
        {"attributes":{"type":"Case"},"Contact":{"attributes":{"type":"Contact"},"LastName":"Frank","Account":{"Name":"Acme"}}},
        {"attributes":{"type":"Case"},"Contact":null}]}}"#;
    for (record, from, line) in [
        (
            own,
            "Account.Contacts",
            r#"[{"LastName":"Frank","Account":{"Name":"Acme"}},{"LastName":"James","Account":null}]"#,
        ),
        (parent, "Cases", r#"[{"Contact":{"LastName":"Frank","Account":{"Name":"Acme"}}},{"Contact":null}]"#),
    ] {
        let soql =
            format!("SELECT Id, (SELECT Contact.LastName, Contact.Account.Name FROM {from}) FROM Account");
        let (page, columns) = (page(&[record]), columns(&soql));
        assert_eq!(cells(&page, &columns).unwrap().0, [[text("001"), json(line)]], "{from}");
        let key = from.trim_start_matches("Account.");
        assert_eq!(lines(&page, &columns, AS_SENT).unwrap().0, [format!(r#"{{"Id":"001","{key}":{line}}}"#)]);
        // Both have the same columns, named as the query writes them.
        let last = if from == "Cases" { ["001", "", ""] } else { ["001", "James", ""] };
        let rows = rows(&page, &soql).unwrap();
        assert_eq!(rows[1], (1, ["001", "Frank", "Acme"].map(str::to_owned).to_vec()), "{from}");
        assert_eq!(rows[2], (1, last.map(str::to_owned).to_vec()), "{from}");
    }
}

#[test]
fn grandchildren_belong_to_a_prefixed_id() {
    let soql = "SELECT Id, (SELECT Contact.Id, (SELECT Task.Subject, Task.Owner.Name FROM Contact.Tasks) FROM Account.Contacts) \
                FROM Account";
    let page = page(&[
        r#"{"Id":"001","Contacts":{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Contact"},"Id":"003",
        "Tasks":{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Task"},"Subject":"Call","Owner":{"Name":"Ida"}}]}}]}}"#,
    ]);
    let row =
        |table, cells: &[&str]| (table, cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    assert_eq!(
        rows(&page, soql).unwrap(),
        [row(0, &["001"]), row(1, &["001", "003"]), row(2, &["003", "Call", "Ida"])]
    );
}

#[test]
fn a_childs_field_in_neither_place_is_a_fault() {
    let soql = "SELECT Id, (SELECT Contact.LastName FROM Contacts) FROM Account";
    for (child, what) in [
        (
            r#"{"attributes":{"type":"Contact"},"Contact":{"LastName":"x"}}"#,
            "the org sent a field that the query did not ask for: Contact",
        ),
        (
            r#"{"attributes":{"type":"Case"},"LastName":"x"}"#,
            "the org sent a field that the query did not ask for: LastName",
        ),
        (r#"{"LastName":"x"}"#, "the org sent a field that the query did not ask for: LastName"),
        (
            r#"{"attributes":{"type":7},"LastName":"x"}"#,
            "the org sent a field that the query did not ask for: LastName",
        ),
        (
            r#"{"attributes":{"type":"Contact"}}"#,
            "the org sent a record without the column Contact.LastName, which the query asked for",
        ),
        (
            r#"{"attributes":{"type":"Contact"},"LastName":"x","LastName":"x"}"#,
            "the org sent LastName twice in one record",
        ),
        ("7", "the response holds a record that is not an object"),
    ] {
        let record = format!(r#"{{"Id":"1","Contacts":{{"totalSize":1,"done":true,"records":[{child}]}}}}"#);
        assert_eq!(fault(&page(&[&record]), &columns(soql)).what, what, "{child}");
    }
}

#[test]
fn a_page_cut_at_any_byte_is_a_fault_and_never_a_shorter_result() {
    for (page, soql) in PAGES {
        let (page, columns) = (page.trim_ascii_end(), columns(soql));
        assert!(cells(page, &columns).is_ok() && lines(page, &columns, AS_SENT).is_ok());
        for end in 0..page.len() {
            let fault = fault(&page[..end], &columns);
            assert_eq!(fault.kind, FaultKind::Truncated, "cut at byte {end}: {}", fault.what);
        }
    }
}

#[test]
fn a_page_of_another_shape_is_a_fault_that_says_what_is_wrong() {
    use FaultKind::{InvalidResponse, Truncated};
    let page = |records: &str| format!(r#"{{"totalSize":1,"done":true,"records":[{records}]}}"#);
    let cases: Vec<(String, FaultKind, &str)> = vec![
        // records
        (page(r#"{"Id":"1"}"#), InvalidResponse, "without the column Owner.Name"),
        (page(r#"{"Id":"1","Owner":{"attributes":{}}}"#), InvalidResponse, "without the column Owner.Name"),
        (page(r#"{"Owner":null}"#), InvalidResponse, "without the column Id"),
        (page("{}"), InvalidResponse, "without the column Id"),
        (page(r#"{"Id":"1","Owner":null,"Name":"x"}"#), InvalidResponse, "did not ask for: Name"),
        (page(r#"{"Id":"1","Owner":{"Name":"x","Id":"y"}}"#), InvalidResponse, "did not ask for: Id"),
        (page(r#"{"Id":"1","Owner":null,"I\u0064":"2"}"#), InvalidResponse, "did not ask for: I\\u0064"),
        (page(r#"{"Id":"1","Id":"1","Owner":null}"#), InvalidResponse, "sent Id twice"),
        (page(r#"{"Id":"1","ID":"1","Owner":null}"#), InvalidResponse, "sent ID twice"),
        (page(r#"{"Id":null,"Owner":null,"Id":"1"}"#), InvalidResponse, "sent Id twice"),
        (page(r#"{"Id":"1","Owner":null,"Owner":null}"#), InvalidResponse, "sent Owner twice"),
        (page(r#"{"Id":"1","Owner":null,"Owner":{"Name":"x"}}"#), InvalidResponse, "sent Name twice"),
        (page(r#"{"Id":"1","Owner":{"Name":"x"},"Owner":{"Name":"x"}}"#), InvalidResponse, "sent Name twice"),
        (
            page(r#"{"attributes":{},"Id":"1","Owner":null,"attributes":{},"attributes":{}}"#),
            InvalidResponse,
            "sent attributes twice",
        ),
        (page(r#"{"Id":"1","attributes":{},"attributes":{}}"#), InvalidResponse, "sent attributes twice"),
        (page(r#"{"Id":"1","Owner":"x"}"#), InvalidResponse, "a record that is not an object"),
        (page(r#"{"Id":"1","Owner":[]}"#), InvalidResponse, "a record that is not an object"),
        (page("null"), InvalidResponse, "a record that is not an object"),
        (page("[]"), InvalidResponse, "a record that is not an object"),
        (page("1"), InvalidResponse, "a record that is not an object"),
        (page(r#"{"Id":"1","Owner":null},"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":"1","Owner":null,}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":"1" "Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":01,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":NaN,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":-,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":1.,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":1e,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":tru,"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":'1',"Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":"\x","Owner":null}"#), Truncated, "not complete JSON"),
        (page(r#"{"Id":"\u12G4","Owner":null}"#), Truncated, "not complete JSON"),
        (page("{\"Id\":\"a\nb\",\"Owner\":null}"), Truncated, "not complete JSON"),
        (page("{\"Id\":\"\\ud800 a\nb\",\"Owner\":null}"), Truncated, "not complete JSON"),
        (page("{\"Id\":\"\\ud800 \\x\",\"Owner\":null}"), Truncated, "not complete JSON"),
        (page("x"), Truncated, "not complete JSON"),
        // the envelope
        (String::new(), Truncated, "not complete JSON"),
        ("null".into(), InvalidResponse, "not a query result"),
        ("[]".into(), InvalidResponse, "not a query result"),
        (r#"[{"errorCode":"X","message":"y"}]"#.into(), InvalidResponse, "not a query result"),
        ("<html><body>down</body></html>".into(), Truncated, "not complete JSON"),
        ("{}".into(), InvalidResponse, "it has no totalSize"),
        (r#"{"done":true,"records":[]}"#.into(), InvalidResponse, "it has no totalSize"),
        (r#"{"totalSize":0,"records":[]}"#.into(), InvalidResponse, "it has no done"),
        (r#"{"totalSize":1,"done":true}"#.into(), InvalidResponse, "it has no records"),
        (r#"{"totalSize":-1,"done":true}"#.into(), InvalidResponse, "it has no records"),
        (r#"{"totalSize":1,"done":true,"records":null}"#.into(), InvalidResponse, "records are not a list"),
        (r#"{"totalSize":-1,"done":true,"records":null}"#.into(), InvalidResponse, "records are not a list"),
        (r#"{"records":null,"totalSize":0,"done":true,"records":[]}"#.into(), InvalidResponse, "records twice"),
        (r#"{"records":[{}],"totalSize":0,"done":true,"records":null}"#.into(), InvalidResponse, "records twice"),
        (r#"{"totalSize":0,"done":true,"records":null}x"#.into(), Truncated, "not complete JSON"),
        (r#"{"totalSize":0,"records":null}"#.into(), InvalidResponse, "it has no done"),
        (r#"{"totalSize":0,"done":true,"records":{}}"#.into(), InvalidResponse, "records are not a list"),
        (r#"{"totalSize":-2,"done":true,"records":[]}"#.into(), InvalidResponse, "totalSize is not a count"),
        (r#"{"totalSize":-1.0,"done":true,"records":[]}"#.into(), InvalidResponse, "totalSize is not a count"),
        (r#"{"totalSize":1.0,"done":true,"records":[]}"#.into(), InvalidResponse, "totalSize is not a count"),
        (
            r#"{"totalSize":18446744073709551616,"done":true,"records":[]}"#.into(),
            InvalidResponse,
            "totalSize is not a count",
        ),
        (r#"{"totalSize":"0","done":true,"records":[]}"#.into(), InvalidResponse, "it has string where a number belongs"),
        (r#"{"totalSize":null,"done":true,"records":[]}"#.into(), InvalidResponse, "not a query result"),
        (r#"{"totalSize":0,"done":"true","records":[]}"#.into(), InvalidResponse, "not a query result"),
        (r#"{"totalSize":0,"done":false,"records":[]}"#.into(), InvalidResponse, "has no nextRecordsUrl"),
        (
            r#"{"totalSize":0,"done":false,"nextRecordsUrl":null,"records":[]}"#.into(),
            InvalidResponse,
            "has no nextRecordsUrl",
        ),
        (
            r#"{"totalSize":0,"done":false,"nextRecordsUrl":"https://evil.example/query/A-1","records":[]}"#.into(),
            InvalidResponse,
            "does not lead to a page of this query",
        ),
        (
            r#"{"totalSize":0,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/A-1#x","records":[]}"#
                .into(),
            InvalidResponse,
            "does not lead to a page of this query",
        ),
        (r#"{"totalSize":0,"totalSize":0,"done":true,"records":[]}"#.into(), InvalidResponse, "totalSize twice"),
        (r#"{"totalSize":0,"done":true,"done":true,"records":[]}"#.into(), InvalidResponse, "done twice"),
        (r#"{"totalSize":0,"done":true,"records":[],"done":false}"#.into(), InvalidResponse, "done twice"),
        (r#"{"totalSize":0,"done":true,"records":[],"totalSize":9}"#.into(), InvalidResponse, "totalSize twice"),
        (
            r#"{"totalSize":0,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/A-1","records":[],"nextRecordsUrl":"/services/data/v62.0/query/A-2"}"#.into(),
            InvalidResponse,
            "nextRecordsUrl twice",
        ),
        (r#"{"totalSize":0,"done":true,"records":[],"records":[{}]}"#.into(), InvalidResponse, "records twice"),
        (r#"{"records":[],"records":[],"totalSize":0,"done":true}"#.into(), InvalidResponse, "records twice"),
        (r#"{"totalSize":0,"done":true,"records":[]}}"#.into(), Truncated, "not complete JSON"),
        (r#"{"totalSize":0,"done":true,"records":[]}{}"#.into(), Truncated, "not complete JSON"),
        ("\u{FEFF}{\"totalSize\":0,\"done\":true,\"records\":[]}".into(), Truncated, "not complete JSON"),
    ];
    let columns = columns("SELECT Id, Owner.Name FROM A");
    for (page, kind, expected) in cases {
        let fault = fault(page.as_bytes(), &columns);
        assert!(fault.what.contains(expected), "{page}: {}", fault.what);
        assert_eq!(fault.kind, kind, "{page}: {}", fault.what);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_a_fault_wherever_they_stand() {
    let good = br#"{"totalSize":1,"done":true,"records":[{"Id":"12","attributes":{"type":"Q"}}]}"#;
    let columns = columns("SELECT Id FROM A");
    assert!(cells(good, &columns).is_ok());
    for at in 0..good.len() {
        let mut page = good.to_vec();
        page[at] = 0xFF;
        let fault = fault(&page, &columns);
        assert_eq!(
            (fault.kind, fault.what),
            (FaultKind::Truncated, format!("the response is not UTF-8 at byte {at}"))
        );
    }
    let surrogate = [&good[..46], b"\xED\xA0\x80", &good[46..]].concat();
    assert_eq!(fault(&surrogate, &columns).kind, FaultKind::Truncated);
}

#[test]
fn deep_values_exhaust_nothing() {
    let columns = columns(TEXT);
    for depth in [150, 250, 200_000] {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let page = format!(r#"{{"totalSize":1,"done":true,"records":[{{"T":{value}}}]}}"#);
        assert_eq!(cells(page.as_bytes(), &columns).unwrap().0, [[json(&value)]]);
        let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let page = format!(r#"{{"x":{objects},"totalSize":1,"done":true,"records":[{{"T":1}}]}}"#);
        assert_eq!(lines(page.as_bytes(), &columns, AS_SENT).unwrap().0, [r#"{"T":1}"#]);
        let bomb = format!(r#"{{"totalSize":1,"done":true,"records":[{{"T":{}"#, "[".repeat(depth));
        assert_eq!(fault(bomb.as_bytes(), &columns).kind, FaultKind::Truncated);
        assert_eq!(fault("[".repeat(depth).as_bytes(), &columns).kind, FaultKind::Truncated);
    }
}

#[test]
fn only_done_ends_a_result() {
    let columns = columns(TEXT);
    let page = br#"{"totalSize":0,"done":true,"records":[]}"#;
    assert_eq!(cells(page, &columns).unwrap().0.len(), 0);
    // A URL next to it means nothing.
    let page = br#"{"totalSize":42,"done":true,"nextRecordsUrl":"elsewhere","records":[]}"#;
    let head = PageReader::open(page, &columns).unwrap().head().clone();
    assert_eq!((head.total_size, head.next), (Some(42), None));
}

#[test]
fn a_list_of_no_records_may_be_null_or_missing() {
    let columns = columns("SELECT Id, (SELECT Id FROM Cs) FROM A");
    for page in [
        r#"{"totalSize":0,"done":true,"records":null}"#,
        r#"{"records":null,"done":true,"totalSize":0}"#,
        r#"{"totalSize":0,"done":true,"nextRecordsUrl":null} "#,
    ] {
        assert_eq!(cells(page.as_bytes(), &columns).unwrap().0.len(), 0, "{page}");
        let parent = format!(r#"{{"totalSize":1,"done":true,"records":[{{"Id":"1","Cs":{page}}}]}}"#);
        let expected = [[text("1"), json("[]")]];
        assert_eq!(cells(parent.as_bytes(), &columns).unwrap().0, expected, "{page}");
    }
    let count = self::columns("SELECT COUNT() FROM A");
    for page in [r#"{"totalSize":42,"done":true,"records":null}"#, r#"{"done":true,"totalSize":42}"#] {
        assert_eq!(cells(page.as_bytes(), &count).unwrap().0, [[number("42")]], "{page}");
    }
}

#[test]
fn a_result_that_the_org_does_not_count_is_read() {
    let columns = columns("SELECT Id, (SELECT Id FROM Cs) FROM A");
    let page = br#"{"totalSize":-1,"done":true,"records":[{"Id":"1","Cs":{"totalSize":-1,"done":true,"records":[{"Id":"2"}]}}]}"#;
    let reader = PageReader::open(page, &columns).unwrap();
    assert_eq!(reader.head().total_size, None);
    assert_eq!(cells(page, &columns).unwrap().0, [[text("1"), json(r#"[{"Id":"2"}]"#)]]);
    // But a number is what COUNT() was asked for.
    let count = self::columns("SELECT COUNT() FROM A");
    let fault = fault(br#"{"totalSize":-1,"done":true,"records":[]}"#, &count);
    assert_eq!(fault.kind, FaultKind::InvalidResponse);
    assert!(fault.what.contains("does not count"), "{}", fault.what);
}

#[test]
fn a_count_is_one_record_that_holds_it() {
    let columns = columns("SELECT COUNT() FROM A");
    let page = br#"{"totalSize":42,"done":true,"records":[]}"#;
    assert_eq!(PageReader::open(page, &columns).unwrap().head().total_size, Some(1));
    assert_eq!(cells(page, &columns).unwrap().0, [[number("42")]]);
    // It has cells in JSON too: nothing was sent to be copied.
    let (mut record, mut out) = (Record::default(), Vec::new());
    let mut reader = PageReader::open(page, &columns).unwrap();
    let target = Target::Json { record: &mut record, form: AS_SENT, out: &mut out };
    assert!(reader.read(target, &mut no_children).unwrap());
    assert!(!record.is_copied() && out.is_empty());
    assert_eq!(record.cells().collect::<Vec<_>>(), [(CellKind::Number, b"42".as_slice())]);
}

#[test]
fn a_number_that_cannot_be_written_out_is_a_fault() {
    let columns = columns("SELECT Id, N FROM A");
    let page = |number: &str, space: &str| {
        format!(r#"{{"totalSize":1,{space}"done":true,"records":[{{"Id":"1","N":{number}}}]}}         "#)
    };
    let plain = JsonForm { numbers: Numbers::Plain, ..JsonForm::AS_SENT };
    // Both ways of reading a record: the second page has white space between its tokens.
    for space in ["", " "] {
        let page = page("1E401", space);
        let fault = lines(page.as_bytes(), &columns, plain).expect_err("an exponent beyond 400");
        assert_eq!(fault.kind, FaultKind::InvalidResponse);
        assert_eq!(fault.what, "column N of record 1: the exponent of \"1E401\" is beyond 400");
        assert!(fault.hint.is_some_and(|hint| hint.contains("numbers = \"as_sent\"")));
        assert_eq!(lines(page.as_bytes(), &columns, AS_SENT).unwrap().0, [r#"{"Id":"1","N":1E401}"#]);
    }
    let page = page("1E3", "");
    assert_eq!(lines(page.as_bytes(), &columns, plain).unwrap().0, [r#"{"Id":"1","N":1000}"#]);
}

#[test]
fn both_ways_of_reading_convert_datetimes_alike() {
    let typed = |name: &str| (name.to_owned(), FieldType::DateTime);
    let rules =
        ColumnRules { types: ["At", "P.At", "Cs.At", "Gone"].map(typed).to_vec(), ..ColumnRules::default() };
    let soql = "SELECT Id, At, T, P.At, Gone, (SELECT At, T FROM Cs) FROM A";
    let columns = columns(soql).with_rules(&rules).expect("rules that fit");
    let form = JsonForm { datetimes: Datetimes::Rfc3339, ..JsonForm::AS_SENT };
    let sent = "2026-05-01T07:25:37.000+0000";
    let record = |children: &str, at: &str| {
        format!(
            r#"{{"attributes":{{"type":"A"}},"Id":"1","At":{at},"T":"{sent}","P":{{"At":"{sent}"}},"Gone":null,"Cs":{children}}}"#
        )
    };
    let children = format!(
        r#"{{"totalSize":1,"done":true,"records":[{{"At":"2026-05-01T09:25:37.5+0200","T":"{sent}"}}]}}"#
    );
    let utc = "2026-05-01T07:25:37.000Z";
    let expected = |children: &str| {
        format!(r#"{{"Id":"1","At":"{utc}","T":"{sent}","P":{{"At":"{utc}"}},"Gone":null,"Cs":{children}}}"#)
    };
    let converted = format!(r#"[{{"At":"2026-05-01T07:25:37.500Z","T":"{sent}"}}]"#);
    // The first record is read in one go; an escape, children and white space need the general reader.
    let at = format!("\"{sent}\"");
    let escaped = at.replacen("2026", "\\u0032026", 1);
    let pages =
        [page(&[&record("null", &at)]), page(&[&record("null", &escaped)]), page(&[&record(&children, &at)])];
    for (page, children) in pages.iter().zip(["null", "null", &converted]) {
        let spaced = String::from_utf8(page.clone()).unwrap().replace("\"T\":", "\n\"T\" :");
        // A record at the very end of a page is never read in one go.
        let followed = [page.as_slice(), &[b' '; 16]].concat();
        for page in [page.as_slice(), &followed, spaced.as_bytes()] {
            assert_eq!(lines(page, &columns, form).unwrap().0, [expected(children)]);
            let unchanged = lines(page, &columns, AS_SENT).unwrap().0.concat();
            assert!(!unchanged.contains("000Z"), "{unchanged}");
        }
    }
    for bad in [r#""2026-05-01""#, "5", "true", "[]", "{}", r#""""#] {
        let fault = lines(&page(&[&record("null", bad)]), &columns, form).expect_err(bad);
        assert_eq!(fault.kind, FaultKind::InvalidResponse);
        let shown = bad.trim_matches('"');
        assert_eq!(fault.what, format!("column At of record 1: {shown:?} is not a datetime"));
    }
    // Without an Id a record is named by the end of its URL, or not at all.
    let nameless =
        self::columns("SELECT At FROM A").with_rules(&ColumnRules { types: vec![typed("At")], ..rules });
    for (attributes, named) in [
        (r#""attributes":{"type":"A","url":"/services/data/v62.0/sobjects/A/00x"},"#, "record 00x"),
        ("", "a record without an Id"),
    ] {
        let record = format!(r#"{{{attributes}"At":"soon"}}"#);
        let fault = lines(&page(&[&record]), nameless.as_ref().unwrap(), form).expect_err("soon");
        assert_eq!(fault.what, format!("column At of {named}: \"soon\" is not a datetime"));
    }
}

/// A record as it should be copied: without attributes, child results as the lists of their records.
fn as_copied(value: &Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("totalSize") && map.contains_key("records") => {
            as_copied(&map["records"])
        }
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| *key != "attributes")
            .map(|(key, value)| (key.clone(), as_copied(value)))
            .collect(),
        Value::Array(values) => values.iter().map(as_copied).collect(),
        other => other.clone(),
    }
}

/// The value at a column's path, by serde_json; null where a parent is, or a branch's field is missing.
fn at<'v>(record: &'v Value, column: &str) -> &'v Value {
    column.split('.').fold(record, |value, segment| match value {
        Value::Object(map) => map
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(segment))
            .map_or(&Value::Null, |(_, value)| value),
        _ => &Value::Null,
    })
}

fn assert_reads_as_serde_json_does(page: &[u8], soql: &str) -> usize {
    let columns = columns(soql);
    let whole: Value = serde_json::from_slice(page).expect("JSON");
    let records = whole["records"].as_array().expect("records");
    let (found, _) = cells(page, &columns).unwrap_or_else(|fault| panic!("{soql}: {fault}"));
    let (copied, _) = lines(page, &columns, AS_SENT).unwrap_or_else(|fault| panic!("{soql}: {fault}"));
    assert_eq!((found.len(), copied.len()), (records.len(), records.len()), "{soql}");
    for ((record, row), line) in records.iter().zip(found).zip(copied) {
        assert!(!line.contains(['\n', '\r']), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), as_copied(record), "{soql}");
        for (name, (kind, cell)) in columns.names().iter().zip(row) {
            let value = at(record, name);
            let same = match (kind, value) {
                (CellKind::Null, Value::Null) => cell.is_empty(),
                (CellKind::Text, Value::String(text)) => cell == *text,
                (CellKind::Boolean, Value::Bool(flag)) => cell == flag.to_string(),
                (CellKind::Number, Value::Number(number)) => cell.parse::<f64>().ok() == number.as_f64(),
                (CellKind::Json, Value::Object(_) | Value::Array(_)) => {
                    serde_json::from_str::<Value>(&cell).expect("JSON") == as_copied(value)
                }
                _ => false,
            };
            assert!(same, "{name}: {kind:?} {cell} is not {value}");
        }
    }
    records.len()
}

#[test]
fn the_fixtures_read_as_serde_json_reads_them() {
    // serde_json has no lone surrogates; the aggregate's Account.Name is Name in its records.
    for (page, soql) in PAGES.iter().filter(|(_, soql)| ![TEXT, ANY_ORDER].contains(soql)) {
        assert!(assert_reads_as_serde_json_does(page, soql) > 0);
    }
}

#[test]
fn recorded_answers_read_as_serde_json_reads_them() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recorded");
    if !directory.is_dir() {
        skip::skip(&format!("there are no recorded responses at {}", directory.display()));
        return;
    }
    let all_fields = "SELECT Id, AccountNumber, AccountSource, AnnualRevenue, BillingCity, BillingCountry, \
        BillingGeocodeAccuracy, BillingLatitude, BillingLongitude, BillingPostalCode, BillingState, BillingStreet, \
        CleanStatus, Description, DunsNumber, Fax, Industry, Jigsaw, NaicsCode, NaicsDesc, Name, NumberOfEmployees, \
        Ownership, Phone, Rating, RecordTypeId, ShippingCity, ShippingCountry, ShippingGeocodeAccuracy, \
        ShippingLatitude, ShippingLongitude, ShippingPostalCode, ShippingState, ShippingStreet, Sic, SicDesc, Site, \
        TickerSymbol, Tradestyle, Type, Website, YearStarted, ParentId FROM Account";
    let answers = [
        ("query_accounts_all_nulls", 6, all_fields),
        ("query_aggregate_avg_expr0_null", 16, "SELECT Name, Avg(AnnualRevenue) FROM Account GROUP BY Name"),
        ("query_aggregate_expr0", 1, "select count(Id) from Account"),
        (
            "query_aggregate_groupby_null_key",
            3,
            "SELECT CampaignId, SUM(Amount) FROM Opportunity GROUP BY CampaignId",
        ),
        ("query_canonical_case_names", 1, "SELECT id, name FROM Contact"),
        ("query_contacts_nulls", 20, "SELECT AccountId, Department, AssistantName, Description FROM Contact"),
        ("query_geolocation_compound", 2, "SELECT Name, Location__c FROM Warehouse__c"),
        ("query_lead_compound_address", 8, "SELECT Address, City, CleanStatus, FirstName FROM Lead"),
        (
            "query_pretty_printed_accounts",
            10,
            "SELECT Id, Name, Description, Phone, AccountNumber FROM Account",
        ),
        ("query_subquery_null_and_nested", 50, "SELECT Name, ( SELECT LastName FROM Contacts ) FROM Account"),
        (
            "query_subquery_parent_path_mixed_case",
            1,
            "SELECT Amount, Id, Name,StageName, CloseDate, (SELECT Id,  ListPrice, PriceBookEntry.UnitPrice, \
             PricebookEntry.Name, PricebookEntry.Id, PricebookEntry.product2.Family FROM OpportunityLineItems) \
             FROM Opportunity",
        ),
        (
            "query_subquery_zero_values",
            1,
            "SELECT Name, Amount, (SELECT UnitPrice FROM OpportunityLineItems) FROM Opportunity",
        ),
        ("tooling_query_nested_metadata", 3, "select id, Metadata from RemoteProxy"),
    ];
    for (name, records, soql) in answers {
        let page = std::fs::read(directory.join(name).with_extension("json")).unwrap();
        assert_eq!(assert_reads_as_serde_json_does(&page, soql), records, "{name}");
        let columns = columns(soql);
        let page = page.trim_ascii_end();
        for end in (0..page.len()).step_by(7).chain(page.len() - 4..page.len()) {
            assert_eq!(fault(&page[..end], &columns).kind, FaultKind::Truncated, "{name} cut at {end}");
        }
    }
    // None of the recorded errors is taken for a result.
    let mut errors = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("error_") || name.starts_with("oauth_") || name.starts_with("limits_") {
            assert!(PageReader::open(&std::fs::read(&path).unwrap(), &columns(TEXT)).is_err(), "{name}");
            errors += 1;
        }
    }
    assert!(errors > 20, "only {errors} recorded refusals were read");
}

/// A record of [`RANDOM`] with its values as JSON, and what its cells should hold.
#[derive(Debug, Clone)]
struct Random {
    rendered: String,
    value: Value,
    cells: Vec<Option<String>>,
}

const RANDOM: &str = "SELECT Id, Name, Amount, Flag, Owner.Name, Owner.Manager.Name, Where__c FROM A";

/// A string as JSON text: by serde_json, or with every character escaped.
fn quoted(text: &str, escaped: bool) -> String {
    if escaped {
        format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>())
    } else {
        serde_json::to_string(text).expect("JSON")
    }
}

/// An object's text with its members in this order and this white space between the tokens.
fn object(members: &[(&str, String)], order: &[usize], space: &str) -> String {
    let members: Vec<_> = order
        .iter()
        .filter_map(|index| members.get(*index))
        .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn random_record() -> impl Strategy<Value = Random> {
    let text = || prop::option::of(any::<String>());
    let owner = prop::option::of((text(), prop::option::of(text())));
    let amount = prop::option::of("-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?");
    // The usual form, which has a road of its own, as often as any other.
    let usual = (Just(vec![1, 0, 2, 3, 4, 5, 6, 7]), Just(""));
    let other = (
        Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        prop::sample::select(vec!["", " ", "\n", "\r\n\t "]),
    );
    (
        (text(), text(), amount, prop::option::of(any::<bool>()), owner),
        (prop::option::of((any::<i32>(), any::<String>())), prop_oneof![usual, other], any::<bool>()),
    )
        .prop_map(|((id, name, amount, flag, owner), (place, (order, space), escaped))| {
            let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
            let string = |text: &Option<String>| or_null(text.as_ref().map(|text| quoted(text, escaped)));
            let attributes = ("attributes", r#"{"type":"A","url":"/a"}"#.to_owned());
            let manager = |manager: &Option<Option<String>>| {
                or_null(
                    manager
                        .as_ref()
                        .map(|name| object(&[("Name", string(name)), attributes.clone()], &order, space)),
                )
            };
            let owner_text = or_null(owner.as_ref().map(|(name, boss)| {
                object(
                    &[("name", string(name)), attributes.clone(), ("Manager", manager(boss))],
                    &order,
                    space,
                )
            }));
            let place_value = place.as_ref().map(|(x, y)| serde_json::json!({"x": x, "y": [y, null, {}]}));
            let rendered = object(
                &[
                    ("Id", string(&id)),
                    attributes.clone(),
                    ("NAME", string(&name)),
                    ("Amount", or_null(amount.clone())),
                    ("Flag", or_null(flag.map(|flag| flag.to_string()))),
                    ("Owner", owner_text),
                    ("Where__c", or_null(place_value.as_ref().map(Value::to_string))),
                ],
                &order,
                space,
            );
            let value = as_copied(&serde_json::from_str(&rendered).expect("JSON"));
            let boss = owner.as_ref().and_then(|(_, boss)| boss.clone()).flatten();
            let cells = vec![
                id,
                name,
                amount,
                flag.map(|flag| flag.to_string()),
                owner.and_then(|(name, _)| name),
                boss,
                place_value.map(|place| place.to_string()),
            ];
            Random { rendered, value, cells }
        })
}

/// An envelope with its members in any order: its text, records and next page, and where the records begin if all
/// that tells the next page stands before them.
fn random_page() -> impl Strategy<Value = (String, Vec<Random>, Option<String>, Option<usize>)> {
    let next = prop::option::of("/services/data/v6[0-9]\\.0/query(All)?/[A-Za-z0-9]{3,18}-[0-9]{1,6}");
    let order = Just((0..5).collect::<Vec<usize>>()).prop_shuffle();
    let space = prop::sample::select(vec!["", " ", "\n  "]);
    (prop::collection::vec(random_record(), 0..5), next, order, space).prop_map(
        |(records, next, order, space)| {
            let list: Vec<_> = records.iter().map(|record| record.rendered.as_str()).collect();
            let list = format!("[{space}{}{space}]", list.join(&format!("{space},{space}")));
            let mut members = vec![
                ("totalSize", records.len().to_string()),
                ("done", next.is_none().to_string()),
                ("records", list.clone()),
                (
                    "other",
                    r#"{"done":true,"nextRecordsUrl":"/services/data/v60.0/query/Wrong-1"}"#.to_owned(),
                ),
            ];
            if let Some(next) = &next {
                members.push(("nextRecordsUrl", format!("\"{next}\"")));
            }
            let place = |member: usize| order.iter().position(|index| *index == member);
            let ahead = next.is_some() && place(1) < place(2) && place(4) < place(2);
            let page = object(&members, &order, space);
            let ahead = ahead.then(|| page.find(&list).expect("the list"));
            (page, records, next, ahead)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_in_any_order_and_spacing_gives_what_was_put_into_it((page, records, next, _) in random_page()) {
        let columns = columns(RANDOM);
        let found_next = PageReader::open(page.as_bytes(), &columns).unwrap().head().next.clone();
        prop_assert_eq!(found_next.map(|next| next.path().to_owned()), next);
        let (found, surrogates) = cells(page.as_bytes(), &columns).unwrap();
        prop_assert_eq!((found.len(), surrogates), (records.len(), 0));
        for (row, record) in found.into_iter().zip(&records) {
            let row: Vec<_> =
                row.into_iter().map(|(kind, text)| (kind != CellKind::Null).then_some(text)).collect();
            prop_assert_eq!(&row, &record.cells);
        }
        let (copied, _) = lines(page.as_bytes(), &columns, AS_SENT).unwrap();
        for (line, record) in copied.iter().zip(&records) {
            prop_assert!(!line.contains(['\n', '\r']));
            prop_assert_eq!(&serde_json::from_str::<Value>(line).expect("JSON"), &record.value);
        }
    }

    #[test]
    fn a_locator_is_told_early_rightly_or_not_at_all((page, _, next, ahead) in random_page()) {
        let mut told = false;
        for end in 0..=page.len() {
            match next_locator(&page.as_bytes()[..end]) {
                Some(locator) => {
                    prop_assert_eq!(Some(locator.path()), next.as_deref());
                    told = true;
                }
                None => prop_assert!(!told, "told before byte {}, and no more then", end),
            }
        }
        if let Some(records) = ahead {
            prop_assert!(next_locator(&page.as_bytes()[..records]).is_some());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..600, which in 0_usize..7) {
        let (page, soql) = PAGES[which];
        let columns = columns(soql);
        let at = at.min(page.len());
        let mixed = [&page[..at], &bytes, &page[at..]].concat();
        let _ = (cells(&mixed, &columns), lines(&mixed, &columns, AS_SENT), next_locator(&mixed));
    }
}

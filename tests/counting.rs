//! Counting, from outside: an org that deletes rows while it is read, ends too early, counts wrongly or not at all, and
//! what the binary makes of it. Either the file has exactly the rows that the org sent, and the report says how their number
//! compares with the org's count, or the run fails and the previous file is untouched.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;
use sfexport::demo_org::{At, Fault, Options, RecordId, Request, Row, Rule};
use support::{Deployment, assert_same, csv, live};

const FORMER: &[u8] = b"Id,Name\nthe previous export\n";
const FIELDS: [&str; 2] = ["Id", "Name"];
const SOQL: &str = "SELECT Id, Name FROM Account";
/// Pages of ten records.
const PAGE: usize = 10;

/// An org of 50 accounts, of which one was deleted long ago, and the job `accounts` with these further keys.
fn deployment(soql: &str, more: &str) -> Deployment {
    let at = Deployment::with(Options { page_size: PAGE, ..support::options(50) });
    at.job("accounts", soql, "accounts.csv", more);
    at.write("exports/accounts.csv", FORMER);
    at
}

/// The ids of these accounts, by their places in the undisturbed result.
fn ids(at: &Deployment, places: &[usize]) -> Vec<RecordId> {
    let rows = live(at.data(), "Account");
    places.iter().map(|place| rows[*place].id()).collect()
}

/// Every request for a page of the job's own query, from the n-th on.
fn at_pages() -> At {
    At::Soql("select id, name from".to_owned())
}

fn at_page(number: usize, fault: Fault) -> Rule {
    Rule::once(at_pages(), fault).after(number - 1)
}

fn at_counts() -> At {
    At::Soql("count()".to_owned())
}

/// The queries that counted: their resource and text.
fn counts(at: &Deployment) -> Vec<(String, String)> {
    let of = |request: Request| {
        let (path, query) = request.target.split_once('?')?;
        let (_, soql) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "q")?;
        let resource = path.rsplit('/').next()?.to_owned();
        soql.starts_with("SELECT COUNT()").then(|| (resource, soql.into_owned()))
    };
    at.queries().into_iter().filter_map(of).collect()
}

/// A run's report, and what must hold whatever happened: a failed run leaves the previous file, and a successful one says how
/// the numbers compare.
#[track_caller]
fn report(at: &Deployment, status: i32) -> Value {
    let outcome = at.run(["run", "accounts", "--json"]).ended(status);
    let report = outcome.reports().remove(0);
    if status == 0 {
        assert!(report["count"].is_string(), "{report}");
    } else {
        assert_eq!(at.read("exports/accounts.csv"), FORMER);
        assert!(report["count"].is_null() && report["error"].is_string(), "{report}");
    }
    // Every request is in the report, those that only count records too. A page that was asked for ahead may have been given
    // up before it was sent.
    let (calls, sent) = (report["api_calls"].as_u64().unwrap(), at.queries().len() as u64);
    assert!(sent <= calls && calls <= sent + 2, "{calls} calls, {sent} requests");
    report
}

/// `count`, `records`, `total`, `deleted_meanwhile`, `restarts` and the number of warnings.
fn figures(report: &Value) -> (&str, u64, Option<u64>, u64, u64, usize) {
    let number = |key: &str| report[key].as_u64().unwrap();
    (
        report["count"].as_str().unwrap(),
        number("records"),
        report["total"].as_u64(),
        number("deleted_meanwhile"),
        number("restarts"),
        report["warnings"].as_array().unwrap().len(),
    )
}

/// The rows of the file are these, in their order.
#[track_caller]
fn assert_rows(at: &Deployment, rows: &[Row<'_>]) {
    assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, rows));
}

#[test]
fn rows_deleted_during_the_run_are_reported() {
    let at = deployment(&format!("{SOQL} WHERE Name != 'x' OR Name = 'y' ORDER BY Id"), "");
    let before = jiff::Timestamp::now();
    at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30, 48]))));
    let report = report(&at, 0);
    assert_eq!(figures(&report), ("deleted_meanwhile", 46, Some(49), 3, 0, 0));
    assert_rows(&at, &live(at.data(), "Account"));
    // The question is the query's own, asked of the recycle bin, from the org's time before the query on.
    let [(resource, soql)] = counts(&at).try_into().unwrap();
    let condition = "WHERE (Name != 'x' OR Name = 'y') AND IsDeleted = true AND SystemModstamp >= ";
    let (query, since) = soql.split_once(condition).unwrap();
    assert_eq!((resource.as_str(), query), ("queryAll", "SELECT COUNT() FROM Account "));
    let since: jiff::Timestamp = since.parse().unwrap();
    assert!(since.as_second() >= before.as_second() && since <= jiff::Timestamp::now(), "{since}");
}

#[test]
fn the_rows_of_an_object_are_counted_by_its_query() {
    let at = deployment(SOQL, "");
    let job = "object = \"Account\"\nfields = [\"Id\", \"Name\"]\nwhere = \"Name != 'x' OR Name = 'y'\"\n";
    at.write("jobs/accounts.toml", format!("{job}output = \"accounts.csv\"\n"));
    at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30, 48]))));
    assert_eq!(figures(&report(&at, 0)), ("deleted_meanwhile", 46, Some(49), 3, 0, 0));
    assert_rows(&at, &live(at.data(), "Account"));
    let [(_, soql)] = counts(&at).try_into().unwrap();
    assert!(soql.contains("WHERE (Name != 'x' OR Name = 'y') AND IsDeleted = true"), "{soql}");
}

#[test]
fn rows_that_were_sent_before_they_were_deleted_are_not_missing() {
    let at = deployment(SOQL, "");
    let all: BTreeSet<RecordId> = live(at.data(), "Account").iter().map(Row::id).collect();
    at.script(at_page(3, Fault::Delete(ids(&at, &[0, 1, 40]))));
    let gone = ids(&at, &[40])[0];
    assert_eq!(figures(&report(&at, 0)), ("deleted_meanwhile", 48, Some(49), 1, 0, 0));
    let text = at.text("exports/accounts.csv");
    for id in all {
        assert_eq!(text.contains(&id.to_string()), id != gone, "{id}");
    }
}

#[test]
fn rows_gone_from_the_recycle_bin_start_the_query_over() {
    let at = deployment(SOQL, "");
    at.script(at_page(4, Fault::Purge(ids(&at, &[33, 34]))));
    let report = report(&at, 0);
    assert_eq!(figures(&report), ("equal", 47, Some(47), 0, 1, 0));
    assert_rows(&at, &live(at.data(), "Account"));
}

#[test]
fn fewer_deleted_rows_than_missing_ones_do_not_explain_them() {
    let at = deployment(SOQL, "");
    at.script(at_page(2, Fault::All(vec![Fault::Delete(ids(&at, &[3])), Fault::StopAfter(40)])));
    at.script(Rule::always(at_pages(), Fault::StopAfter(40)));
    let report = report(&at, 74);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("40 of 48") && error.contains("SELECT COUNT() counts 48"), "{error}");
    assert_eq!(report["restarts"], 1);
}

#[test]
fn a_query_that_ends_too_early_once_is_read_again() {
    let at = deployment(SOQL, "");
    at.script(at_page(2, Fault::DoneEarly));
    assert_eq!(figures(&report(&at, 0)), ("equal", 49, Some(49), 0, 1, 0));
    assert_rows(&at, &live(at.data(), "Account"));
}

#[test]
fn two_short_passes_that_a_count_confirms_are_the_export() {
    let at = deployment(SOQL, "");
    at.script(Rule::always(at_pages(), Fault::StopAfter(40)));
    // The count of deleted rows comes first.
    at.script(Rule::always(At::Soql("count() from account where".to_owned()), Fault::TotalSize(0)));
    at.script(Rule::always(At::Soql("count() from account".to_owned()), Fault::TotalSize(40)));
    let report = report(&at, 0);
    assert_eq!(figures(&report), ("recounted", 40, Some(49), 0, 1, 1));
    assert_rows(&at, &live(at.data(), "Account")[..40]);
}

#[test]
fn two_short_passes_that_a_count_contradicts_fail() {
    let at = deployment(SOQL, "");
    at.script(Rule::always(at_pages(), Fault::StopAfter(40)));
    let report = report(&at, 74);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("40 of 49") && error.contains("SELECT COUNT() counts 49"), "{error}");
    let asked: Vec<_> = counts(&at).into_iter().map(|(resource, _)| resource).collect();
    assert_eq!(asked, ["queryAll", "queryAll", "query"]);
    // Two passes of four pages, and three counts.
    assert_eq!((at.queries().len(), &report["restarts"]), (11, &1.into()));
}

#[test]
fn two_short_passes_that_differ_fail_whatever_is_counted() {
    let at = deployment(SOQL, "");
    at.script(Rule::times(at_pages(), 4, Fault::StopAfter(40)));
    at.script(Rule::always(at_pages(), Fault::StopAfter(30)));
    at.script(Rule::always(At::Soql("isdeleted".to_owned()), Fault::TotalSize(0)));
    at.script(Rule::always(at_counts(), Fault::TotalSize(30)));
    assert_eq!(report(&at, 74)["error"], "the result is incomplete: 30 of 49 records arrived");
}

#[test]
fn rows_deleted_before_a_pass_do_not_explain_it() {
    let at = deployment(SOQL, "");
    // Six rows that were sent: too few for the first pass, which lacks nine, and not counted by the second, which lacks three.
    at.script(at_page(2, Fault::Delete(ids(&at, &[0, 1, 2, 3, 4, 5]))));
    // Stamps are whole seconds.
    let stop = Fault::StopAfter(40);
    at.script(
        Rule::once(at_pages(), Fault::All(vec![stop.clone(), Fault::Late(Duration::from_millis(1_200))]))
            .after(2),
    );
    at.script(Rule::always(at_pages(), stop));
    let report = report(&at, 74);
    let error = report["error"].as_str().unwrap();
    assert_eq!(error, "the result is incomplete: 40 of 43 records arrived; SELECT COUNT() counts 43");
}

#[test]
fn a_gateways_clock_is_not_the_orgs() {
    let at = deployment(SOQL, "");
    at.script(at_page(2, Fault::DoneEarly));
    let gateway = Fault::html(502, "Bad Gateway").header("Date", "Mon, 01 Jan 2001 00:00:00 GMT");
    at.script(Rule::times(at_counts(), 5, gateway));
    at.script(Rule::once(at_pages(), Fault::Delete(ids(&at, &[48]))).after(3));
    assert_eq!(figures(&report(&at, 0)), ("deleted_meanwhile", 48, Some(49), 1, 1, 0));
    let (_, soql) = counts(&at).pop().unwrap();
    let since: jiff::Timestamp = soql.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(since.as_second() > jiff::Timestamp::now().as_second() - 60, "{soql}");
}

#[test]
fn an_object_without_the_fields_of_deletion_is_read_again() {
    // Users have no IsDeleted: both questions are refused, in both passes.
    let at = deployment("SELECT Id, Name FROM User", "");
    at.script(Rule::always(at_pages(), Fault::StopAfter(20)));
    at.script(Rule::always(At::Soql("select count() from user".to_owned()), Fault::TotalSize(20)));
    let report = report(&at, 0);
    assert_eq!(figures(&report), ("recounted", 20, Some(25), 0, 1, 1));
    let asked: Vec<_> = counts(&at).into_iter().map(|(_, soql)| soql).collect();
    let stamp = |field: &str| asked.iter().filter(|soql| soql.contains(field)).count();
    assert_eq!((asked.len(), stamp("SystemModstamp"), stamp("LastModifiedDate")), (5, 2, 2));
    assert_eq!(asked[4], "SELECT COUNT() FROM User");
}

#[test]
fn another_stamp_is_asked_for_if_the_object_has_it() {
    let at = deployment(SOQL, "");
    at.script(at_page(3, Fault::Delete(ids(&at, &[21]))));
    let refused = Fault::error(400, "INVALID_FIELD", "No such column 'SystemModstamp'");
    at.script(Rule::once(At::Soql("systemmodstamp".to_owned()), refused));
    assert_eq!(figures(&report(&at, 0)), ("deleted_meanwhile", 48, Some(49), 1, 0, 0));
    assert!(counts(&at)[1].1.contains("IsDeleted = true AND LastModifiedDate >= "), "{:?}", counts(&at));
}

/// What may happen to a count.
fn faults_of_counts() -> Vec<(&'static str, Fault)> {
    vec![
        ("INVALID_FIELD", Fault::error(400, "INVALID_FIELD", "No such column 'IsDeleted'")),
        ("OPERATION_TOO_LARGE", Fault::error(400, "OPERATION_TOO_LARGE", "exceeded 100000 distinct ids")),
        ("500", Fault::error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")),
        ("QUERY_TIMEOUT", Fault::error(400, "QUERY_TIMEOUT", "Your query request was running for too long.")),
        ("not counted", Fault::TotalSize(-1)),
        ("no number", Fault::body("{\"done\":true}")),
        ("HTML", Fault::html(200, "<html/>")),
        ("cut", Fault::Truncate { after: 12 }),
        ("closed", Fault::Close),
        ("silent", Fault::HalfOpen { after: None }),
    ]
}

/// Time-outs that a test can wait for.
const IMPATIENT: &str = "idle_timeout = \"1s\"\nrequest_timeout = \"1s\"\nattempts = 2";

#[test]
fn a_count_that_fails_makes_no_right_run_fail() {
    for (name, fault) in faults_of_counts() {
        let at = deployment(SOQL, "");
        at.configure(IMPATIENT);
        at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30]))));
        at.script(Rule::always(at_counts(), fault));
        assert_eq!(figures(&report(&at, 0)), ("equal", 47, Some(47), 0, 1, 0), "{name}");
        assert_rows(&at, &live(at.data(), "Account"));
    }
}

#[test]
fn a_count_that_fails_makes_no_success_of_a_shortfall() {
    for (name, fault) in faults_of_counts() {
        let at = deployment(SOQL, "");
        at.configure(IMPATIENT);
        at.script(Rule::always(at_pages(), Fault::StopAfter(40)));
        at.script(Rule::always(at_counts(), fault));
        let report = report(&at, 74);
        assert!(report["error"].as_str().unwrap().contains("40 of 49"), "{name}: {report}");
    }
}

#[test]
fn a_count_is_tried_again_and_logged_in_for() {
    for fault in [
        Fault::error(503, "SERVER_UNAVAILABLE", "Server Unavailable"),
        Fault::Truncate { after: 12 },
        Fault::HalfOpen { after: Some(5) },
        Fault::ExpiredSession,
    ] {
        let at = deployment(SOQL, "");
        at.configure(IMPATIENT);
        at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30]))));
        let logins = if fault == Fault::ExpiredSession { 2 } else { 1 };
        at.script(Rule::once(at_counts(), fault.clone()));
        let report = report(&at, 0);
        assert_eq!(figures(&report), ("deleted_meanwhile", 47, Some(49), 2, 0, 0), "{fault:?}");
        assert_eq!(report["logins"], logins, "{fault:?}");
    }
}

#[test]
fn a_signal_ends_a_run_that_waits_for_a_count() {
    let at = deployment(SOQL, "");
    at.script(at_page(3, Fault::Delete(ids(&at, &[21]))));
    at.script(Rule::always(at_counts(), Fault::Late(Duration::from_secs(60))));
    let mut command = at.command(["run", "accounts"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while counts(&at).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no count was asked for");
        std::thread::sleep(Duration::from_millis(10));
    }
    let signalled = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    at.outcome(child.wait_with_output().unwrap()).ended(143);
    assert!(signalled.elapsed() < Duration::from_secs(2), "{:?}", signalled.elapsed());
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
}

#[test]
fn strict_fails_at_once_and_asks_nothing() {
    for rule in [
        at_page(3, Fault::DoneEarly),
        at_page(3, Fault::TotalSize(7)),
        Rule::once(at_pages(), Fault::TotalSize(50)),
        at_page(5, Fault::TotalSize(-1)),
    ] {
        let at = deployment(SOQL, "count_check = \"strict\"");
        at.script(rule);
        let report = report(&at, 74);
        assert_eq!((report["restarts"].as_u64(), counts(&at)), (Some(0), Vec::new()));
    }
}

#[test]
fn warn_publishes_what_came_and_asks_nothing() {
    let short = |at: &Deployment| at.script(at_page(4, Fault::DoneEarly));
    let more = |at: &Deployment| at.script(Rule::always(at_pages(), Fault::TotalSize(30)));
    let disagreeing = |at: &Deployment| at.script(at_page(5, Fault::TotalSize(48)));
    for (script, records, total, count) in [
        (&short as &dyn Fn(&Deployment), 40, 49, "differs"),
        (&more, 49, 30, "differs"),
        (&disagreeing, 49, 49, "equal"),
    ] {
        let at = deployment(SOQL, "count_check = \"warn\"");
        script(&at);
        let report = report(&at, 0);
        let warnings = usize::from(count == "differs");
        assert_eq!(figures(&report), (count, records, Some(total), 0, 0, warnings));
        assert_rows(&at, &live(at.data(), "Account")[..records as usize]);
        assert_eq!(counts(&at), []);
    }
}

#[test]
fn warn_is_told_on_standard_error() {
    let at = deployment(SOQL, "count_check = \"warn\"");
    at.script(at_page(4, Fault::DoneEarly));
    at.run(["run", "accounts"]).ended(0).says(&["49 records, but sent 40", "count_check = \"warn\""]);
}

#[test]
fn warn_follows_no_result_without_end() {
    let at = deployment(SOQL, "count_check = \"warn\"\ntimeout = \"1m\"");
    at.script(Rule::always(at_pages(), Fault::RepeatedPages));
    let report = report(&at, 74);
    // 2,000 records at most, twice.
    let calls = report["api_calls"].as_u64().unwrap();
    assert!((400..=410).contains(&calls), "{calls} calls");
}

#[test]
fn more_records_than_counted_are_read_again_then_refused() {
    let at = deployment(SOQL, "");
    at.script(Rule::once(at_pages(), Fault::TotalSize(7)));
    assert_eq!(figures(&report(&at, 0)), ("equal", 49, Some(49), 0, 1, 0));
    at.write("exports/accounts.csv", FORMER);
    at.script(Rule::always(at_pages(), Fault::TotalSize(7)));
    let outcome = at.run(["run", "accounts"]).ended(74).says(&["the org counted 7 records and sent 10"]);
    assert!(outcome.stdout.is_empty());
    assert_eq!((at.read("exports/accounts.csv"), counts(&at)), (FORMER.to_vec(), Vec::new()));
}

#[test]
fn deletions_do_not_shorten_a_result_with_deleted_rows() {
    let at = deployment(SOQL, "all_rows = true");
    at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30]))));
    assert_eq!(figures(&report(&at, 0)), ("equal", 50, Some(50), 0, 0, 0));
    // So they do not explain one that is short; the org counts all rows then.
    at.script(Rule::always(at_pages(), Fault::StopAfter(40)));
    at.write("exports/accounts.csv", FORMER);
    at.run(["run", "accounts"]).ended(74).says(&["40 of 50", "SELECT COUNT() counts 50"]);
    assert_eq!(counts(&at), [("queryAll".to_owned(), "SELECT COUNT() FROM Account".to_owned())]);
}

/// `query -o -` with these rules, its status, its standard output and what it said.
fn streamed(rules: Vec<Rule>, status: i32) -> (Deployment, support::Outcome) {
    let at = deployment(SOQL, "");
    rules.into_iter().for_each(|rule| at.script(rule));
    let outcome = at.run(["query", SOQL, "-o", "-"]).ended(status);
    (at, outcome)
}

#[test]
fn a_stream_is_explained_but_never_begun_again() {
    let at = deployment(SOQL, "");
    at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30]))));
    let outcome = at.run(["query", SOQL, "-o", "-"]).ended(0);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")));

    let stops = || Rule::always(at_pages(), Fault::StopAfter(40));
    let (at, outcome) = streamed(vec![stops()], 74);
    let outcome = outcome.says(&["40 of 49", "SELECT COUNT() counts 49", "write to a file"]);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")[..40]));
    // Four pages and two counts: there is no second pass.
    assert_eq!((at.queries().len(), counts(&at).len()), (6, 2));

    let none_deleted = Rule::once(At::Soql("isdeleted".to_owned()), Fault::TotalSize(0));
    let agrees = Rule::once(at_counts(), Fault::TotalSize(40));
    let (at, outcome) = streamed(vec![stops(), none_deleted, agrees], 0);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")[..40]));
    outcome.says(&["49 records at first, but sent 40"]);
}

#[test]
fn a_stream_that_would_have_to_be_read_again_says_why() {
    // The second page disagrees; nothing of it was written, but the first page was.
    let (at, outcome) = streamed(vec![at_page(2, Fault::TotalSize(48))], 74);
    let outcome = outcome.says(&["the org counted 49 records on the first page and 48 on a later one"]);
    let outcome = outcome.says(&["some of the output has already been sent", "write to a file"]);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")[..10]));
    // On the first page there is nothing to take back.
    let (at, outcome) = streamed(vec![at_page(1, Fault::TotalSize(7))], 0);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")));
}

#[test]
fn a_stream_says_what_was_asked_of_the_count() {
    for (check, status) in [("strict", 74), ("warn", 0)] {
        let at = deployment(SOQL, "");
        at.script(at_page(4, Fault::DoneEarly));
        let arguments = ["query", SOQL, "-o", "-", "--count-check", check];
        at.run(arguments).ended(status).says(&["40"]);
        assert_eq!(counts(&at), [], "{check}");
    }
}

#[test]
fn limits_and_groups_are_only_read_again() {
    let limited = format!("{SOQL} LIMIT 45");
    let grouped = "SELECT Type, COUNT(Id) n FROM Account GROUP BY Type";
    for (soql, place, fault) in [
        (limited.as_str(), at_pages(), Fault::StopAfter(40)),
        (grouped, At::Soql("group by".to_owned()), Fault::TotalSize(99)),
        ("SELECT MAX(Name) m FROM Account", At::Soql("max(name)".to_owned()), Fault::TotalSize(2)),
    ] {
        let at = deployment(soql, "");
        at.script(Rule::always(place, fault));
        let report = report(&at, 74);
        assert_eq!((report["restarts"].as_u64(), counts(&at)), (Some(1), Vec::new()), "{soql}");
    }
}

#[test]
fn a_child_result_that_does_not_add_up_is_read_again() {
    let soql = "SELECT Id, (SELECT Id FROM Contacts) FROM Account";
    let wrong = || Fault::InChildren(vec![Fault::TotalSize(7)]);
    let place = || At::Soql("from contacts".to_owned());
    for check in ["explain", "warn"] {
        let at = deployment(soql, &format!("count_check = \"{check}\""));
        at.script(Rule::once(place(), wrong()));
        assert_eq!(figures(&report(&at, 0)), ("equal", 49, Some(49), 0, 1, 0), "{check}");
        at.write("exports/accounts.csv", FORMER);
        at.script(Rule::always(place(), wrong()));
        at.run(["run", "accounts"]).ended(74).says(&["a child query"]);
        assert_eq!((at.read("exports/accounts.csv"), counts(&at)), (FORMER.to_vec(), Vec::new()), "{check}");
    }
    let at = deployment(soql, "count_check = \"strict\"");
    at.script(Rule::once(place(), wrong()));
    assert_eq!(report(&at, 74)["restarts"], 0);
}

#[test]
fn an_org_that_does_not_count_is_read_to_the_end() {
    for (rest, records) in [(" WHERE Name = 'nobody'", 0), (" LIMIT 9", 9), ("", 49)] {
        for check in ["explain", "strict", "warn"] {
            let at = deployment(&format!("{SOQL}{rest}"), &format!("count_check = \"{check}\""));
            at.script(Rule::always(at_pages(), Fault::TotalSize(-1)));
            let report = report(&at, 0);
            assert_eq!(figures(&report), ("not_counted", records, None, 0, 0, 0), "{rest}, {check}");
            assert_rows(&at, &live(at.data(), "Account")[..records as usize]);
        }
    }
}

#[test]
fn uncounted_pages_without_records_come_to_an_end() {
    let at = deployment(SOQL, "timeout = \"1m\"");
    at.script(Rule::always(at_pages(), Fault::All(vec![Fault::TotalSize(-1), Fault::EmptyPages])));
    // Ten of them are borne; one more is asked for ahead.
    assert!(report(&at, 74)["api_calls"].as_u64().unwrap() <= 12);
}

#[test]
fn a_count_of_its_own_is_read_without_a_list() {
    for fault in [Fault::NullRecords, Fault::KeyOrder(vec!["done", "totalSize"])] {
        let at = deployment("SELECT COUNT() FROM Account", "");
        at.script(Rule::always(at_counts(), fault.clone()));
        let report = report(&at, 0);
        assert_eq!(figures(&report), ("equal", 1, Some(1), 0, 0, 0), "{fault:?}");
        assert_eq!(at.text("exports/accounts.csv"), "count\n49\n");

        let at = deployment(&format!("{SOQL} WHERE Name = 'nobody'"), "");
        at.script(Rule::always(at_pages(), fault.clone()));
        assert_eq!(figures(&self::report(&at, 0)), ("equal", 0, Some(0), 0, 0, 0), "{fault:?}");

        // Where records may be missing from it, the list must be there.
        let at = deployment(SOQL, "");
        at.script(Rule::always(at_pages(), fault.clone()));
        assert_eq!(self::report(&at, 74)["restarts"], 0, "{fault:?}");
    }
}

#[test]
fn the_terminal_says_how_the_numbers_compare() {
    let at = deployment(SOQL, "");
    at.script(at_page(3, Fault::Delete(ids(&at, &[21, 30]))));
    let Some(outcome) = at.on_terminal(&["run", "accounts"], "", &[("NO_COLOR", "1")]) else { return };
    let line = outcome.stdout().to_owned();
    assert!(line.contains("accounts: 47 records (2 deleted meanwhile), "), "{line}");
    at.script(Rule::always(at_pages(), Fault::TotalSize(-1)));
    let outcome = at.on_terminal(&["run", "accounts"], "", &[("NO_COLOR", "1")]).unwrap();
    let line = outcome.stdout().to_owned();
    assert!(line.contains("accounts: 47 records (not counted by the org), "), "{line}");
}

/// A run of the job with these keys and rules, in the words of its report.
fn words(title: &str, keys: &str, soql: &str, rules: Vec<Rule>) -> String {
    let at = deployment(soql, keys);
    rules.into_iter().for_each(|rule| at.script(rule));
    let outcome = at.run(["run", "accounts", "--json"]);
    let report = outcome.reports().remove(0);
    let mut text = format!("===== {title} ({})\n", outcome.status.unwrap());
    for key in ["count", "error", "hint"] {
        if let Some(words) = report[key].as_str() {
            text += &format!("{key}: {words}\n");
        }
    }
    for warning in report["warnings"].as_array().unwrap() {
        text += &format!("warning: {}\n", warning.as_str().unwrap());
    }
    text
}

#[test]
fn what_is_said_of_the_numbers_reads_well() {
    let short = || Rule::always(at_pages(), Fault::StopAfter(40));
    let more = || Rule::always(at_pages(), Fault::TotalSize(7));
    let one_deleted = || Rule::always(At::Soql("isdeleted".to_owned()), Fault::TotalSize(1));
    let confirmed = || Rule::always(at_counts(), Fault::TotalSize(40));
    let children = "SELECT Id, (SELECT Id FROM Contacts) FROM Account";
    let in_children =
        || Rule::always(At::Soql("from contacts".to_owned()), Fault::InChildren(vec![Fault::TotalSize(7)]));
    let uncounted = || Rule::always(at_counts(), Fault::TotalSize(-1));
    let text = [
        words("short", "", SOQL, vec![short(), one_deleted()]),
        words("short, strict", "count_check = \"strict\"", SOQL, vec![short()]),
        words("short, warn", "count_check = \"warn\"", SOQL, vec![short()]),
        words("short and confirmed", "", SOQL, vec![short(), one_deleted(), confirmed()]),
        words("too many", "", SOQL, vec![more()]),
        words("too many, strict", "count_check = \"strict\"", SOQL, vec![more()]),
        words("children", "", children, vec![in_children()]),
        words("COUNT() of what is not counted", "", "SELECT COUNT() FROM Account", vec![uncounted()]),
    ];
    insta::assert_snapshot!("counting", text.concat());
}

/// A row's removal: before which page, and whether it leaves the recycle bin too.
#[derive(Debug, Clone, Copy)]
struct Removal {
    page: usize,
    is_purged: bool,
}

/// Removals, by the places of their rows in the undisturbed result.
fn removals() -> impl Strategy<Value = BTreeMap<usize, Removal>> {
    let removal =
        (2..=5_usize, prop::bool::weighted(0.25)).prop_map(|(page, is_purged)| Removal { page, is_purged });
    prop::collection::btree_map(0..49_usize, removal, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_file_has_the_rows_that_the_org_sent(removals in removals()) {
        let at = deployment(SOQL, "");
        let rows: Vec<(RecordId, String)> = live(at.data(), "Account")
            .iter()
            .map(|row| (row.id(), String::from_utf8(csv(&FIELDS, &[*row])).unwrap()))
            .collect();
        // Each rule sees what the ones before it leave: the first page, then its own.
        for page in 2..=5 {
            let gone = |is_purged: bool| {
                let here = removals.iter().filter(|(_, gone)| gone.page == page && gone.is_purged == is_purged);
                here.map(|(place, _)| rows[*place].0).collect()
            };
            let faults = vec![Fault::Delete(gone(false)), Fault::Purge(gone(true))];
            at.script(Rule::once(at_pages(), Fault::All(faults)).after(1));
        }
        // By hand: a page lacks what was removed before it was asked for; purged rows are in no recycle bin.
        let is_missing = |place: usize| removals.get(&place).is_some_and(|gone| gone.page <= place / PAGE + 1);
        let sent: Vec<usize> = (0..49).filter(|place| !is_missing(*place)).collect();
        let left: Vec<usize> = (0..49).filter(|place| !removals.contains_key(place)).collect();
        let deleted = removals.values().filter(|gone| !gone.is_purged).count();
        let short = 49 - sent.len();
        let (expected, as_reported) = match short {
            0 => (&sent, ("equal", 49, Some(49), 0, 0, 0)),
            _ if deleted >= short => {
                (&sent, ("deleted_meanwhile", sent.len() as u64, Some(49), short as u64, 0, 0))
            }
            // The second pass finds those that are left.
            _ => (&left, ("equal", left.len() as u64, Some(left.len() as u64), 0, 1, 0)),
        };
        let report = report(&at, 0);
        prop_assert_eq!(figures(&report), as_reported);
        let line = |place: &usize| rows[*place].1.split_once('\n').unwrap().1;
        let text = at.text("exports/accounts.csv");
        prop_assert_eq!(text, format!("Id,Name\n{}", expected.iter().map(line).collect::<String>()));
    }
}

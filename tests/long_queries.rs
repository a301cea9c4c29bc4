//! Queries that are too long for a URL: they go to the org in a `composite/batch`, and nothing else is different.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::time::Duration;

use sfexport::demo_org::{At, Fault, Options, Rule};
use support::{Deployment, assert_same, csv, live};

const FIELDS: [&str; 3] = ["Id", "Name", "Site"];

/// A query of all accounts that only a batch can carry.
fn long_query() -> String {
    let conditions: Vec<_> = (0..600).map(|n| format!("Name != 'nobody has this name {n}'")).collect();
    let soql = format!("SELECT {} FROM Account WHERE {}", FIELDS.join(", "), conditions.join(" AND "));
    assert!(soql.len() > 16_384);
    soql
}

/// A deployment with pages of 100 records, and a job of the long query.
fn deployment() -> Deployment {
    let at = Deployment::with(Options { page_size: 100, ..support::options(300) });
    at.job("accounts", &long_query(), "accounts.csv", "");
    at.configure("attempts = 3");
    at
}

/// The paths of the requests for records, without their locators.
fn asked(at: &Deployment) -> Vec<String> {
    at.queries()
        .iter()
        .map(|request| {
            let path = request.path().strip_prefix("/services/data/v62.0/").unwrap();
            let resource = path.split_once('/').filter(|(first, _)| *first == "query");
            format!("{} {}", request.method, resource.map_or(path, |(query, _)| query))
        })
        .collect()
}

#[test]
fn a_query_too_long_for_a_url_is_exported_whole() {
    let at = deployment();
    at.run(["run", "accounts"]).ended(0);
    let rows = live(at.data(), "Account");
    assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &rows));
    assert_eq!(asked(&at), ["POST composite/batch", "GET query", "GET query"]);
    let checked = at.run(["check", "accounts", "--json"]).ended(0);
    let steps = checked.stdout().lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let counted: Vec<_> = steps.filter(|step| step["step"] == "records").collect();
    assert_eq!((counted.len(), &counted[0]["facts"]["records"]), (1, &rows.len().into()));
}

#[test]
fn a_refusal_within_a_batch_is_the_refusal_of_the_query() {
    let at = deployment();
    at.job("accounts", &long_query().replace("Site", "Sight"), "accounts.csv", "");
    at.run(["run", "accounts"]).ended(65).says(&["INVALID_FIELD", "Sight"]);
    let checked = at.run(["check", "accounts"]).ended(65).stdout().to_owned();
    assert!(checked.contains("INVALID_FIELD"), "{checked}");
    assert!(!at.path("exports/accounts.csv").exists());
}

#[test]
fn faults_within_a_batch_and_around_it_are_retried() {
    let unavailable = Fault::error(503, "SERVER_UNAVAILABLE", "too busy");
    for (fault, logins) in [
        (unavailable, 1),
        (Fault::ExpiredSession, 2),
        (Fault::body("<html>"), 1),
        (Fault::Truncate { after: 20 }, 1),
        (Fault::Cut { after: 200, framing: sfexport::demo_org::Framing::Chunked }, 1),
        (Fault::Close, 1),
    ] {
        let at = deployment();
        at.script(Rule::once(At::Page(1), fault.clone()));
        at.run(["run", "accounts"]).ended(0);
        let rows = live(at.data(), "Account");
        assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &rows));
        assert_eq!(at.logins().len(), logins, "{fault:?}");
        assert_eq!(
            asked(&at).iter().filter(|asked| *asked == "POST composite/batch").count(),
            2,
            "{fault:?}"
        );
    }
}

#[test]
fn the_columns_of_a_long_query_are_described_in_a_batch() {
    let at = deployment();
    let soql = long_query().replace("SELECT Id, Name, Site", "SELECT FIELDS(STANDARD)");
    at.job("accounts", &soql, "accounts.jsonl", "");
    at.run(["run", "accounts"]).ended(0);
    let asked = asked(&at);
    assert_eq!(&asked[..2], ["POST composite/batch", "POST composite/batch"]);
    assert!(asked[2..].iter().all(|asked| asked == "GET query"), "{asked:?}");
    assert_eq!(at.text("exports/accounts.jsonl").lines().count(), live(at.data(), "Account").len());
}

#[test]
fn a_url_that_is_too_long_on_the_way_becomes_a_batch() {
    let at = deployment();
    for status in [413, 414, 431] {
        let html = Fault::Answer {
            status,
            headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
            body: b"<h1>Bad Message</h1><pre>reason: URI Too Long</pre>".to_vec(),
        };
        at.job("accounts", "SELECT Id, Name, Site FROM Account", "accounts.csv", "");
        at.script(Rule::once(At::Soql("from account".to_owned()), html));
        at.run(["run", "accounts"]).ended(0);
        assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &live(at.data(), "Account")));
    }
    assert_eq!(&asked(&at)[..4], ["GET query", "POST composite/batch", "GET query", "GET query"]);
    assert_eq!(asked(&at).len(), 12);
}

#[test]
fn a_batch_that_never_responds_is_bounded_as_a_page_is() {
    let at = deployment();
    at.configure("attempts = 1\nidle_timeout = \"1s\"");
    at.script(Rule::always(At::Page(1), Fault::HalfOpen { after: None }));
    let started = std::time::Instant::now();
    at.run(["run", "accounts"]).ended(69);
    assert!(started.elapsed() < Duration::from_secs(20));
}

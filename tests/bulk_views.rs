//! What a user sees of the choice between REST and Bulk API 2.0, through the binary: the step of `check`, and the views of
//! past runs.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use serde_json::{Value, json};
use sfexport::demo_org::{BulkOptions, Options};
use support::Deployment;

const SOQL: &str = "SELECT Id, Name FROM Account";

/// An org of 49 accounts, whose pages have ten by REST.
fn deployment() -> Deployment {
    let bulk = BulkOptions { polls: 0, page_rows: 20, ..BulkOptions::default() };
    Deployment::with(Options { page_size: 10, bulk, ..support::options(50) })
}

/// Writes the job `accounts`, which uses Bulk from five calls on.
fn auto(at: &Deployment, soql: &str) {
    at.job("accounts", soql, "accounts.csv", "api = \"auto\"\n[bulk]\nfrom_calls = 5");
}

/// The step of `check` about the API, and the requests that the check sent to the org.
fn checked(at: &Deployment, status: i32) -> (Value, usize) {
    let before = at.queries().len();
    let steps = at.run(["check", "accounts", "--json"]).ended(status).reports();
    let step = steps.into_iter().find(|step| step["step"] == "api").unwrap();
    (step, at.queries().len() - before)
}

#[track_caller]
fn says(at: &Deployment, what: &str) -> Value {
    let (step, _) = checked(at, 0);
    assert_eq!((&step["outcome"], &step["what"]), (&"passed".into(), &what.into()), "{step}");
    step["facts"].clone()
}

#[test]
fn check_names_the_api_of_the_next_run_and_why() {
    let at = deployment();
    auto(&at, SOQL);
    // 13 records on each page would take four calls, 12 would take five.
    let facts = says(&at, "REST if the first page holds at least 13 records, otherwise Bulk API 2.0");
    assert_eq!(facts, json!({"choice": "auto", "api": null, "reason": null, "least_first_page": 13}));
    // A run by REST sees that a page has ten records only.
    at.job("accounts", SOQL, "accounts.csv", "api = \"rest\"");
    says(&at, "REST, because api is \"rest\"");
    at.run(["run", "accounts"]).ended(0);
    auto(&at, SOQL);
    let facts = says(&at, "Bulk API 2.0, because 49 records take 5 calls by REST");
    let reason = "49 records take 5 calls by REST";
    assert_eq!(facts, json!({"choice": "auto", "api": "bulk", "reason": reason, "least_first_page": null}));
    // The next run does what the check said, and has seen itself what the pages are like.
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert_eq!((&report["api"], &report["api_reason"]), (&facts["api"], &facts["reason"]));
    says(&at, "Bulk API 2.0, because the last run used it for 49 records");
    at.job("accounts", SOQL, "accounts.csv", "api = \"bulk\"");
    says(&at, "Bulk API 2.0, because api is \"bulk\"");
    auto(&at, "SELECT Id, (SELECT Id FROM Contacts) FROM Account");
    says(&at, "REST, because the query has a child query");
    auto(&at, "SELECT Id, Name FROM Account ORDER BY Name");
    says(&at, "REST, because the query has ORDER BY");
}

#[test]
fn check_states_no_api_that_the_first_page_may_overturn() {
    // The description of an account is long, and the org puts half as many records with it on a page.
    let at = Deployment::with(Options { page_size: 12, ..support::options(50) });
    let auto = |from_calls: u64, more: &str| {
        let bulk = format!("api = \"auto\"\n[bulk]\nfrom_calls = {from_calls}");
        at.write("jobs/accounts.toml", format!("object = \"Account\"\noutput = \"a.csv\"\n{more}\n{bulk}\n"));
    };
    let ran = || {
        let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
        report["api"].as_str().unwrap().to_owned()
    };
    auto(9, "");
    let facts = says(&at, "REST if the first page holds at least 7 records, otherwise Bulk API 2.0");
    assert_eq!((&facts["api"], &facts["least_first_page"]), (&Value::Null, &7.into()));
    assert_eq!(ran(), "bulk");
    says(&at, "Bulk API 2.0, because the last run used it for 49 records");
    // Narrow records of the same object stay with REST.
    auto(9, "fields = [\"Id\", \"Name\"]");
    says(&at, "REST if the first page holds at least 7 records, otherwise Bulk API 2.0");
    assert_eq!(ran(), "rest");
    // What that run has seen holds for its columns only.
    says(&at, "REST, because it takes fewer than 9 API calls");
    auto(10, "fields = [\"Id\"]");
    says(&at, "REST if the first page holds at least 6 records, otherwise Bulk API 2.0");
    // Not even one record on each page would take so many calls.
    auto(50, "");
    says(&at, "REST, because it takes fewer than 50 API calls");
    assert_eq!(ran(), "rest");
}

#[test]
fn check_names_bulk_if_even_full_pages_are_too_many() {
    let at = Deployment::new(500);
    let no_waits = support::NO_WAITS;
    at.write("sfexport.toml", format!("{}\n{no_waits}\nbatch_size = 200\n", at.org_table("org")));
    let auto = |from_calls: u64| {
        let bulk = format!("api = \"auto\"\n[bulk]\nfrom_calls = {from_calls}");
        at.job("accounts", "SELECT Id FROM Account", "accounts.csv", &bulk);
    };
    let records = support::live(at.data(), "Account").len();
    assert_eq!(records.div_ceil(200), 3);
    auto(3);
    says(&at, &format!("Bulk API 2.0, because {records} records take at least 3 calls by REST"));
    auto(4);
    let least = records.div_ceil(3);
    says(&at, &format!("REST if the first page holds at least {least} records, otherwise Bulk API 2.0"));
}

#[test]
fn check_counts_the_calls_of_the_cheaper_api() {
    // By REST at least 24 calls, by Bulk about 21.
    let at = Deployment::new(48_300);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "api = \"auto\"");
    let steps = at.run(["check", "accounts", "--json"]).ended(0).reports();
    let records = steps.iter().find(|step| step["step"] == "records").unwrap();
    assert_eq!(records["facts"]["api_calls"], 21, "{records}");
    assert!(records["what"].as_str().unwrap().ends_with(", in at least 21 API calls"), "{records}");
}

#[test]
fn check_asks_nothing_more_to_name_the_api() {
    let at = deployment();
    at.job("accounts", SOQL, "accounts.csv", "api = \"rest\"");
    let (_, by_rest) = checked(&at, 0);
    at.job("accounts", SOQL, "accounts.csv", "api = \"bulk\"");
    let (_, by_bulk) = checked(&at, 0);
    assert_eq!(by_rest, by_bulk);
    // The limits, the plan and the count.
    assert_eq!(by_rest, 3);
    assert_eq!(at.org().bulk_jobs(), []);
}

#[test]
fn check_remembers_what_bulk_refused() {
    let at = deployment();
    auto(&at, SOQL);
    at.org().refuse_in_bulk("Account");
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert_eq!(report["api"], "rest", "{report}");
    let facts = says(
        &at,
        "REST, because Bulk refused it within the last week: the org refused the query job: INVALIDENTITY: Entity 'Account' is not supported by the Bulk API.",
    );
    assert_eq!(facts["api"], "rest");
    at.job("accounts", SOQL, "accounts.csv", "api = \"auto\"\n[bulk]\nfrom_calls = 5\nrest_max_calls = 4");
    let (step, _) = checked(&at, 0);
    assert_eq!(step["outcome"], "warned", "{step}");
    let what = "the result takes 5 calls by REST, and bulk.rest_max_calls is 4";
    assert!(step["what"].as_str().unwrap().starts_with(what), "{step}");
    assert!(step["what"].as_str().unwrap().ends_with("so the run would end with status 75"), "{step}");
    at.run(["run", "accounts"]).ended(75).says(&[what]);
    // No run has seen how many records with these columns fit on a page.
    at.job(
        "accounts",
        "SELECT Id FROM Account",
        "accounts.csv",
        "api = \"auto\"\n[bulk]\nrest_max_calls = 4",
    );
    let (step, _) = checked(&at, 0);
    let open = "; the run would end with status 75 if the first page holds fewer than 13 records";
    assert!(step["what"].as_str().unwrap().ends_with(open), "{step}");
    assert_eq!((&step["facts"]["api"], &step["facts"]["least_first_page"]), (&"rest".into(), &13.into()));
}

#[test]
fn check_finds_columns_that_bulk_refuses() {
    let at = deployment();
    let object = |api: &str| {
        let text =
            "object = \"Account\"\nfields = [\"Id\", \"BillingAddress\"]\noutput = \"a.csv\"\n".to_owned();
        at.write("jobs/accounts.toml", format!("{text}api = \"{api}\"\n[bulk]\nfrom_calls = 2\n"));
    };
    object("bulk");
    let (step, _) = checked(&at, 65);
    assert_eq!(
        (&step["what"], &step["hint"]),
        (
            &"Bulk API 2.0 cannot export this: BillingAddress is a compound field".into(),
            &"set api = \"auto\" or \"rest\"".into()
        ),
        "{step}"
    );
    at.run(["run", "accounts"]).ended(65).says(&["BillingAddress is a compound field"]);
}

#[test]
fn check_fails_if_bulk_has_refused_what_must_use_it() {
    let at = deployment();
    at.job("accounts", SOQL, "accounts.csv", "api = \"bulk\"");
    at.org().refuse_in_bulk("Account");
    says(&at, "Bulk API 2.0, because api is \"bulk\"");
    at.run(["run", "accounts"]).ended(65).says(&["Entity 'Account' is not supported by the Bulk API"]);
    let (step, _) = checked(&at, 65);
    let reason =
        "the org refused the query job: INVALIDENTITY: Entity 'Account' is not supported by the Bulk API.";
    assert_eq!(step["what"], format!("Bulk refused it within the last week: {reason}"), "{step}");
    assert_eq!(step["hint"], "set api = \"auto\" or \"rest\"", "{step}");
    // Whatever it says of another query.
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "api = \"bulk\"");
    checked(&at, 65);
    at.job("accounts", SOQL, "accounts.csv", "api = \"auto\"");
    checked(&at, 0);
}

#[test]
fn a_refusal_that_bulk_has_taken_back_is_ignored() {
    let at = deployment();
    at.job("accounts", SOQL, "accounts.csv", "api = \"bulk\"");
    at.org().refuse_in_bulk("Account");
    at.run(["run", "accounts"]).ended(65);
    checked(&at, 65);
    at.org().restore_object("Account");
    at.run(["run", "accounts"]).ended(0);
    says(&at, "Bulk API 2.0, because api is \"bulk\"");
}

#[test]
fn past_runs_show_their_api() {
    let at = deployment();
    at.job("accounts", SOQL, "accounts.csv", "api = \"bulk\"");
    at.run(["run", "accounts"]).ended(0);
    at.job("accounts", SOQL, "accounts.csv", "api = \"rest\"");
    at.run(["run", "accounts"]).ended(0);
    at.job("accounts", "SELECT Nme FROM Account", "accounts.csv", "api = \"rest\"");
    at.run(["run", "accounts"]).ended(65);
    let wide = at.run(["history", "--wide"]).ended(0);
    let table: Vec<_> = wide.stdout().lines().collect();
    let column = table[0].find("API").unwrap();
    let apis: Vec<_> =
        table[1..].iter().map(|line| line[column..].split_whitespace().next().unwrap()).collect();
    assert_eq!(apis, ["rest", "rest", "bulk"]);
    let jobs = at.run(["jobs", "--json"]).ended(0).reports();
    assert_eq!((&jobs[0]["api"], &jobs[0]["last"]["api"]), (&"rest".into(), &"rest".into()));
}

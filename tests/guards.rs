//! What an org's table promises: a login reaches the org that `org_id` names, and exports leave `api_reserve` to others.
//! Through the binary against the embedded org, whose usage is known to the request.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use serde_json::{Value, json};
use sfexport::demo_org::{At, Fault, Options, Rule, UsageHeader};
use support::{Deployment, assert_same, csv, live, options};

/// Records on a page.
const PAGE: usize = 10;
/// Requests used before the first of a test.
const USED: u64 = 40;
/// The reserve of all tests.
const RESERVE: u64 = 1_000;
const FORMER: &str = "Id\nthe former export\n";

/// An org with so many requests above its reserve, and a job that takes several pages.
fn with_left(left: u64, usage_header: UsageHeader) -> Deployment {
    let api_calls = (USED, USED + left + RESERVE);
    let at = Deployment::with(Options { page_size: PAGE, api_calls, usage_header, ..options(60) });
    reserve(&at, &RESERVE.to_string());
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.write("exports/accounts.csv", FORMER);
    at
}

fn reserve(at: &Deployment, api_reserve: &str) {
    org_keys(at, &format!("api_reserve = {api_reserve}\n"));
}

/// Writes further keys into the org's table.
fn org_keys(at: &Deployment, keys: &str) {
    let text = format!("{}{keys}{}\n{}", at.org_table("org"), support::NO_WAITS, support::ON_REST);
    at.write("sfexport.toml", text);
}

/// The requests that the job takes: the question for the usage, and its pages.
fn cost(at: &Deployment) -> u64 {
    1 + live(at.data(), "Account").len().div_ceil(PAGE) as u64
}

/// The cost of the job of any such deployment.
fn known_cost() -> u64 {
    cost(&Deployment::with(Options { page_size: PAGE, ..options(60) }))
}

fn asked_for_usage(at: &Deployment) -> usize {
    at.queries().iter().filter(|request| request.path().ends_with("/limits")).count()
}

#[track_caller]
fn assert_exported(at: &Deployment) {
    assert_same(&at.read("exports/accounts.csv"), &csv(&["Id"], &live(at.data(), "Account")));
}

/// Each page of the job's query.
fn pages() -> At {
    At::Soql("from account".to_owned())
}

#[test]
fn an_export_may_use_the_last_request_above_the_reserve() {
    let cost = known_cost();
    for header in [UsageHeader::Org, UsageHeader::OrgAndApp] {
        let at = with_left(cost, header);
        let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
        assert_exported(&at);
        assert_eq!(report["api_calls"], json!(cost));
        assert_eq!(
            report["api_limit"],
            json!({"used": USED + cost, "allowed": USED + cost + RESERVE, "reserve": RESERVE})
        );
        assert_eq!((asked_for_usage(&at), &report["warnings"]), (1, &json!([])));
    }
}

#[test]
fn an_export_that_needs_the_reserve_ends_at_its_first_page() {
    let cost = known_cost();
    for header in [UsageHeader::Org, UsageHeader::OrgAndApp] {
        let at = with_left(cost - 1, header);
        let said = format!(
            "the export needs {} more API requests, but {} of {} are used and api_reserve keeps 1,000 for others",
            cost - 2,
            USED + 2,
            thousands(USED + cost - 1 + RESERVE)
        );
        at.run(["run", "accounts"]).ended(75).says(&[
            &said,
            "hint: run it again once enough of the last 24 hours' requests have expired, or lower api_reserve in [org]",
        ]);
        assert_eq!(at.text("exports/accounts.csv"), FORMER);
        assert_eq!(at.queries().len(), 2, "the usage and the first page");
        at.assert_no_stage();
    }
}

/// `1,234`, for four digits.
fn thousands(number: u64) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

#[test]
fn a_query_that_never_fits_is_to_be_narrowed() {
    let at = Deployment::with(Options { page_size: PAGE, api_calls: (0, RESERVE + 3), ..options(60) });
    reserve(&at, &RESERVE.to_string());
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.run(["run", "accounts"]).ended(75).says(&["hint: narrow the query, or lower api_reserve in [org]"]);
}

#[test]
fn an_org_in_its_reserve_is_asked_for_no_record() {
    let at = with_left(0, UsageHeader::Org);
    at.run(["run", "accounts"]).ended(75).says(&["the export needs 1 more API request, but"]);
    assert_eq!((at.queries().len(), asked_for_usage(&at)), (1, 1));
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
}

#[test]
fn limits_alone_are_enough_to_decide() {
    let cost = known_cost();
    let at = with_left(cost - 2, UsageHeader::Absent);
    at.run(["run", "accounts"]).ended(75).says(&["api_reserve keeps 1,000 for others"]);
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
}

#[test]
fn a_user_who_may_not_read_the_limits_can_export() {
    let cost = known_cost();
    let refused = Fault::error(403, "INSUFFICIENT_ACCESS", "insufficient access rights");
    let limits = || At::Containing("/limits".to_owned());
    for (left, status) in [(cost, 0), (cost - 2, 75)] {
        let at = with_left(left, UsageHeader::Org);
        at.script(Rule::always(limits(), refused.clone()));
        at.run(["run", "accounts"]).ended(status);
    }
    let at = with_left(0, UsageHeader::Absent);
    at.script(Rule::always(limits(), refused));
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert_exported(&at);
    let warning = "api_reserve = \"1000\" could not be kept, because the org does not report how many API requests are used";
    assert_eq!(report["warnings"], json!([warning]));
}

#[test]
fn without_a_reserve_nothing_is_asked_or_held_back() {
    let at = with_left(0, UsageHeader::Org);
    at.configure("");
    at.run(["run", "accounts"]).ended(0);
    assert_exported(&at);
    assert_eq!((asked_for_usage(&at), at.queries().len() as u64), (0, cost(&at) - 1));
}

#[test]
fn an_export_that_was_granted_is_finished() {
    let at = with_left(known_cost(), UsageHeader::Org);
    at.script(Rule::once(pages(), Fault::UseApiCalls(10 * RESERVE)).after(1));
    at.run(["run", "accounts"]).ended(0);
    assert_exported(&at);
}

#[test]
fn a_query_that_starts_over_is_decided_again() {
    let at = with_left(2 * known_cost(), UsageHeader::Org);
    at.script(
        Rule::once(pages(), Fault::All(vec![Fault::UseApiCalls(known_cost()), Fault::LostLocator])).after(2),
    );
    at.run(["run", "accounts"]).ended(75).says(&["api_reserve keeps 1,000 for others"]);
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
}

#[test]
fn a_result_without_a_count_is_decided_page_by_page() {
    let cost = known_cost();
    for (left, status, pages_asked) in [(cost, 0, cost - 1), (cost - 2, 75, cost - 3)] {
        let at = with_left(left, UsageHeader::Org);
        at.script(Rule::always(pages(), Fault::TotalSize(-1)));
        at.run(["run", "accounts"]).ended(status);
        assert_eq!(at.queries().len() as u64, 1 + pages_asked);
    }
}

#[test]
fn a_query_to_standard_output_writes_nothing_it_cannot_finish() {
    let at = with_left(known_cost() - 1, UsageHeader::Org);
    let ended = at.run(["query", "SELECT Id FROM Account", "-o", "-"]).ended(75);
    assert_eq!(ended.stdout(), "");
}

#[test]
fn a_reserve_of_the_whole_limit_is_a_mistake() {
    let at = with_left(100, UsageHeader::Org);
    reserve(&at, "5000");
    let what = "api_reserve is \"5000\", but the org allows only 1,140 API requests in 24 hours";
    at.run(["run", "accounts"]).ended(78).says(&[what, "hint: lower api_reserve in [org]"]);
    let checked = at.run(["check", "accounts"]).ended(78);
    assert!(checked.stdout().contains(what), "{}", checked.stdout());
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
}

#[test]
fn a_set_ends_at_the_object_that_does_not_fit() {
    // Enough for the usage, the list of objects, their descriptions and a first page.
    let at = with_left(8, UsageHeader::Org);
    let objects = ["Organization", "Account", "Contact", "Opportunity"];
    let text = format!("objects = {objects:?}\noutput = \"{{object}}.csv\"\n");
    at.write("jobs/backup.toml", text);
    org_keys(&at, &format!("api_reserve = {RESERVE}\nmax_concurrent_runs = 1\n"));
    let ended = at
        .run(["run", "backup", "--json"])
        .ended(75)
        .says(&["error: backup: Account: the export needs ", "; 4 of 4 objects are not exported"]);
    let reports = ended.reports();
    let set = reports.last().unwrap();
    assert_eq!((&set["object"], &set["set"]["exported"]), (&Value::Null, &json!(0)));
    let asked = at.queries().into_iter().filter(|request| request.query().starts_with("q=")).count();
    assert_eq!((asked, asked_for_usage(&at)), (1, 1));
}

#[test]
fn check_shows_the_reserve_and_what_a_job_costs() {
    let at = with_left(500, UsageHeader::Org);
    let ended = at.run(["check", "accounts", "--json"]).ended(0);
    let steps: Vec<Value> = ended.reports();
    let step = |name: &str| steps.iter().find(|step| step["step"] == name).unwrap()["facts"].clone();
    let limits = step("limits");
    assert_eq!((&limits["reserve"], &limits["allowed"]), (&json!(RESERVE), &json!(USED + 500 + RESERVE)));
    assert_eq!(limits["left_above_reserve"], json!(limits["left"].as_u64().unwrap() - RESERVE));
    assert_eq!(step("records")["records"], json!(live(at.data(), "Account").len()));
}

/// The commands that log in.
const COMMANDS: [&[&str]; 8] = [
    &["run", "accounts"],
    &["query", "SELECT Id FROM Account", "-o", "-"],
    &["describe", "accounts"],
    &["objects"],
    &["fields", "Account"],
    &["whoami"],
    &["token"],
    &["check", "accounts"],
];

#[test]
fn a_login_that_reaches_another_org_ends_every_command() {
    let at = with_left(500, UsageHeader::Org);
    org_keys(&at, "org_id = \"00D000000000001\"\n");
    for command in COMMANDS {
        let ended = at.run(command).ended(77).says(&[]);
        assert!(!ended.stdout().contains("00D") || command[0] == "check", "{command:?}: {}", ended.stdout());
    }
    let reached = at.org().organization_id();
    at.run(["run", "accounts"]).ended(77).says(&[
        &format!("the login reached org \"{reached}\", but org_id is \"00D000000000001\""),
        &format!("hint: correct login_url, client_id and username in [org], or set org_id = \"{reached}\""),
    ]);
    // Not even `check` asks the org for anything.
    assert_eq!(at.queries(), []);
}

#[test]
fn the_org_that_is_named_may_be_named_in_both_forms() {
    let at = with_left(500, UsageHeader::Org);
    let id = at.org().organization_id();
    for id in [&id[..15], &id] {
        org_keys(&at, &format!("org_id = \"{id}\"\n"));
        at.run(["run", "accounts"]).ended(0);
    }
}

#[test]
fn a_login_that_does_not_say_its_org_is_not_used() {
    let at = with_left(500, UsageHeader::Org);
    org_keys(&at, &format!("org_id = \"{}\"\n", at.org().organization_id()));
    let unnamed = || Fault::Replace { what: "\"id\":".to_owned(), with: "\"other\":".to_owned() };
    at.script(Rule::once(At::Login(1), unnamed()));
    at.run(["run", "accounts"]).ended(0);
    let opaque = Fault::Replace { what: "!".to_owned(), with: ".".to_owned() };
    at.script(Rule::once(At::Login(1), Fault::All(vec![unnamed(), opaque])));
    let before = at.queries().len();
    at.run(["run", "accounts"]).ended(77).says(&["the login does not say which org it reached"]);
    assert_eq!(at.queries().len(), before);
}

#[test]
fn a_renewed_session_must_reach_the_same_org() {
    let at = with_left(500, UsageHeader::Org);
    let id = at.org().organization_id();
    org_keys(&at, &format!("org_id = \"{id}\"\n"));
    at.script(Rule::once(pages(), Fault::ExpiredSession).after(1));
    let another = Fault::Replace { what: format!("/{id}/"), with: "/00D000000000001EAA/".to_owned() };
    at.script(Rule::always(At::Login(2), another));
    at.run(["run", "accounts"]).ended(77).says(&["the login reached org \"00D000000000001EAA\""]);
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
}

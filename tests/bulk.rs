//! Bulk API 2.0 from outside: when a run uses it, what it falls back to, and what is left of its query jobs however it ends.
//! The file has exactly the org's rows, or the previous one is untouched, and no query job stays in the org unnoted.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sfexport::demo_org::{At, BulkOptions, Fate, Fault, Options, Rule};
use support::daemon::{self, wait_for};
use support::{Deployment, Outcome, assert_same, csv, live};

const FORMER: &[u8] = b"Id,Name\nthe previous export\n";
const FIELDS: [&str; 4] = ["Id", "Name", "CreatedDate", "AnnualRevenue"];
const SOQL: &str = "SELECT Id, Name, CreatedDate, AnnualRevenue FROM Account";

/// An org of 49 accounts in pages of ten by REST and of twenty by Bulk, and the job `accounts`, which takes five calls by
/// REST.
fn deployment(more: &str) -> Deployment {
    of_query(SOQL, more)
}

fn of_query(soql: &str, more: &str) -> Deployment {
    with_polls(0, soql, more)
}

/// The same, whose query jobs run until they have been asked for so many times.
fn with_polls(polls: usize, soql: &str, more: &str) -> Deployment {
    let bulk = BulkOptions { polls, page_rows: 20, ..BulkOptions::default() };
    let at = Deployment::with(Options { page_size: 10, bulk, ..support::options(50) });
    at.job("accounts", soql, "accounts.csv", more);
    at.write("exports/accounts.csv", FORMER);
    at
}

const LOW: &str = "api = \"auto\"\n[bulk]\nfrom_calls = 5";
const ALWAYS: &str = "api = \"bulk\"";

/// Runs the job, and looks at what must hold whatever happens: a failed run leaves the previous file, a successful one has
/// every row, and the org has no query job any more.
#[track_caller]
fn report(at: &Deployment, status: i32) -> Value {
    let report = at.run(["run", "accounts", "--json"]).ended(status).reports().remove(0);
    let file = at.read("exports/accounts.csv");
    if status == 0 {
        assert_same(&file, &csv(&FIELDS, &live(at.data(), "Account")));
        assert_eq!((&report["records"], &report["count"]), (&49.into(), &"equal".into()), "{report}");
    } else {
        assert_same(&file, FORMER);
    }
    assert_eq!(at.org().bulk_jobs(), [], "query jobs are left");
    report
}

fn creations(at: &Deployment) -> usize {
    let is_creation = |request: &sfexport::demo_org::Request| request.method == "POST";
    at.queries()
        .iter()
        .filter(|request| is_creation(request) && request.path().ends_with("/jobs/query"))
        .count()
}

fn pages_by_rest(at: &Deployment) -> usize {
    let is_page = |target: &str| {
        target.contains("/query") && !target.contains("/jobs/") && !target.contains("columns=true")
    };
    at.queries().iter().filter(|request| is_page(&request.target)).count()
}

#[test]
fn a_large_result_is_left_to_bulk_after_one_page() {
    let at = deployment(LOW);
    let report = report(&at, 0);
    assert_eq!(report["api"], "bulk");
    assert_eq!(report["api_reason"], "49 records take 5 calls by REST");
    assert_eq!((&report["pages"], &report["total"]), (&3.into(), &49.into()), "{report}");
    assert!(report["bulk_job"].as_str().unwrap().starts_with("750"), "{report}");
    assert_eq!((pages_by_rest(&at), creations(&at)), (1, 1));
    assert_eq!(report["api_calls"].as_u64().unwrap(), at.queries().len() as u64);
}

#[test]
fn a_smaller_result_stays_with_rest() {
    let at = deployment("api = \"auto\"\n[bulk]\nfrom_calls = 6");
    let report = report(&at, 0);
    assert_eq!((&report["api"], creations(&at), pages_by_rest(&at)), (&"rest".into(), 0, 5), "{report}");
    assert_eq!(report["api_reason"], "it takes fewer than 6 API calls");
}

#[test]
fn a_result_near_the_limit_keeps_its_api() {
    let at = deployment(LOW);
    assert_eq!(report(&at, 0)["api"], "bulk");
    // Five calls are at most a fifth below six.
    for (from_calls, api) in [(6, "bulk"), (7, "rest"), (6, "rest"), (5, "bulk")] {
        at.job(
            "accounts",
            SOQL,
            "accounts.csv",
            &format!("api = \"auto\"\n[bulk]\nfrom_calls = {from_calls}"),
        );
        assert_eq!(report(&at, 0)["api"], api, "from {from_calls} calls on");
    }
}

#[test]
fn what_bulk_does_not_take_is_not_asked_of_it() {
    for (rest, reason) in [(" ORDER BY Id", "ORDER BY"), (" LIMIT 50", "LIMIT"), (" OFFSET 0", "OFFSET")] {
        let at = of_query(&format!("{SOQL}{rest}"), LOW);
        let report = report(&at, 0);
        assert_eq!((&report["api"], creations(&at)), (&"rest".into(), 0), "{rest}");
        assert!(report["api_reason"].as_str().unwrap().contains(reason), "{report}");
    }
}

#[test]
fn what_only_the_org_knows_bulk_not_to_take_stays_with_rest() {
    let at = of_query("SELECT Id, BillingAddress FROM Account", "api = \"rest\"");
    at.run(["run", "accounts"]).ended(0);
    let expected = at.read("exports/accounts.csv");
    at.job("accounts", "SELECT Id, BillingAddress FROM Account", "accounts.csv", LOW);
    let report = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert_eq!((&report["api"], creations(&at)), (&"rest".into(), 0), "{report}");
    assert_eq!(report["api_reason"], "BillingAddress is a compound field");
    assert_eq!((&report["restarts"], pages_by_rest(&at)), (&0.into(), 5 + 1 + 5), "{report}");
    assert_same(&at.read("exports/accounts.csv"), &expected);
}

#[test]
fn a_job_that_wants_bulk_asks_for_no_page_by_rest() {
    let at = deployment(ALWAYS);
    let report = report(&at, 0);
    assert_eq!((&report["api"], &report["api_reason"]), (&"bulk".into(), &"api is \"bulk\"".into()));
    assert_eq!((pages_by_rest(&at), creations(&at)), (0, 1));
}

#[test]
fn an_object_that_bulk_refuses_is_remembered_for_rest() {
    let at = deployment(LOW);
    at.org().refuse_in_bulk("Account");
    let first = report(&at, 0);
    assert_eq!((&first["api"], creations(&at)), (&"rest".into(), 1), "{first}");
    let second = report(&at, 0);
    assert_eq!((&second["api"], creations(&at)), (&"rest".into(), 1), "{second}");
    let reason = second["api_reason"].as_str().unwrap();
    assert!(reason.starts_with("Bulk refused it within the last week: ") && reason.contains("INVALIDENTITY"));
}

#[test]
fn a_limit_or_a_failed_job_is_not_remembered() {
    let limit = "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10021)";
    for rule in [
        Rule::once(At::BulkCreate(1), Fault::error(400, "LIMIT_EXCEEDED", limit)),
        Rule::once(At::BulkPoll(1), Fault::Job(Fate::Fails(None))),
        Rule::once(
            At::BulkPoll(1),
            Fault::Job(Fate::Fails(Some("InternalServerError : Retried more than 15 times".into()))),
        ),
    ] {
        let at = with_polls(1, SOQL, LOW);
        at.script(rule);
        assert_eq!((report(&at, 0)["api"].as_str(), creations(&at)), (Some("rest"), 1));
        assert_eq!((report(&at, 0)["api"].as_str(), creations(&at)), (Some("bulk"), 2));
    }
}

#[test]
fn a_fallback_that_takes_too_many_calls_waits_for_later() {
    let at = deployment("api = \"auto\"\n[bulk]\nfrom_calls = 5\nrest_max_calls = 4");
    at.org().refuse_in_bulk("Account");
    let report = report(&at, 75);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("5 calls") && error.contains("rest_max_calls is 4"), "{report}");
}

#[test]
fn a_job_that_wants_bulk_fails_as_the_org_says() {
    let failed = |message: &str| Rule::once(At::BulkPoll(1), Fault::Job(Fate::Fails(Some(message.into()))));
    let limit = Fault::error(
        400,
        "LIMIT_EXCEEDED",
        "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10021)",
    );
    for (rule, status) in [
        (Rule::always(At::BulkCreate(1), limit), 75),
        (failed("InvalidBatch : Failed to process query: INVALID_FIELD: No such column 'Nme'"), 65),
        (failed("InternalServerError : Retried more than 15 times"), 69),
    ] {
        let at = with_polls(1, SOQL, ALWAYS);
        at.script(rule);
        let report = report(&at, status);
        assert_eq!((&report["api"], pages_by_rest(&at)), (&"bulk".into(), 0), "{report}");
    }
}

#[test]
fn a_query_that_takes_too_long_by_rest_is_tried_by_bulk() {
    let timeout = || Fault::error(400, "QUERY_TIMEOUT", "Your query request was running for too long.");
    let at = deployment("api = \"auto\"");
    at.script(Rule::always(At::Soql("from account".into()), timeout()));
    let first = report(&at, 0);
    assert_eq!((&first["api"], creations(&at)), (&"bulk".into(), 1), "{first}");
    // If Bulk refuses too, the error of REST is the one to show.
    at.org().refuse_in_bulk("Account");
    at.write("exports/accounts.csv", FORMER);
    let second = report(&at, 65);
    assert!(second["error"].as_str().unwrap().contains("QUERY_TIMEOUT"), "{second}");
}

#[test]
fn a_result_that_does_not_add_up_by_rest_is_read_by_bulk() {
    let at = deployment("api = \"auto\"");
    at.script(Rule::always(At::Soql("select id, name, c".into()), Fault::StopAfter(40)));
    let report = report(&at, 0);
    assert_eq!(
        (&report["api"], &report["restarts"], creations(&at)),
        (&"bulk".into(), &1.into(), 1),
        "{report}"
    );
}

#[test]
fn a_run_that_is_stopped_removes_its_query_job() {
    let at = with_polls(1, SOQL, ALWAYS);
    at.script(Rule::once(At::BulkCreate(1), Fault::Job(Fate::NeverEnds)));
    let child =
        at.command(["run", "accounts"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| (!at.org().bulk_jobs().is_empty()).then_some(())).unwrap();
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    at.outcome(child.wait_with_output().unwrap()).ended(143);
    assert_eq!(at.org().bulk_jobs(), []);
    assert_same(&at.read("exports/accounts.csv"), FORMER);
}

#[test]
fn a_killed_run_leaves_its_query_job_to_the_next() {
    let at = with_polls(1, SOQL, ALWAYS);
    at.script(Rule::once(At::BulkCreate(1), Fault::Job(Fate::NeverEnds)));
    let mut child =
        at.command(["run", "accounts"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The second request about the job shows that its id is known.
    wait_for(|| at.queries().iter().any(|request| request.path().contains("/jobs/query/750")).then_some(()))
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(at.org().bulk_jobs().len(), 1);
    report(&at, 0);
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let at = with_polls(1, SOQL, "api = \"bulk\"\n[bulk]\njob_timeout = \"2s\"");
    at.script(Rule::always(At::BulkCreate(1), Fault::Job(Fate::NeverEnds)));
    let report = report(&at, 69);
    assert!(report["error"].as_str().unwrap().contains("bulk.job_timeout"), "{report}");
}

#[test]
fn a_query_is_streamed_from_bulk() {
    let at = deployment("api = \"auto\"");
    let outcome = at.run(["query", SOQL, "-o", "-", "--api", "bulk"]).ended(0);
    assert_same(&outcome.stdout, &csv(&FIELDS, &live(at.data(), "Account")));
    assert_eq!(at.org().bulk_jobs(), []);
}

#[test]
fn each_object_of_a_set_takes_the_api_that_suits_it() {
    let at = deployment("");
    fs::remove_file(at.path("jobs/accounts.toml")).unwrap();
    at.write(
        "jobs/backup.toml",
        "objects = [\"Account\", \"Contact\", \"User\"]\noutput = \"{object}.jsonl\"\napi = \"auto\"\n\
         [bulk]\nfrom_calls = 4\n",
    );
    at.org().refuse_in_bulk("Contact");
    at.run(["run", "backup"]).ended(0);
    assert_eq!(at.org().bulk_jobs(), []);
    let history = daemon::history(&at);
    let api = |object: &str| {
        let report = history.iter().find(|report| report.object.as_deref() == Some(object)).unwrap();
        assert_eq!(report.records as usize, live(at.data(), object).len(), "{object}");
        (report.api.unwrap().to_string(), report.bulk_job.is_some())
    };
    assert_eq!(api("Account"), ("bulk".to_owned(), true));
    assert_eq!(api("Contact"), ("rest".to_owned(), false));
    assert_eq!(api("User"), ("rest".to_owned(), false));
    assert_eq!(creations(&at), 2);
}

/// An org of 49 accounts in pages of five, and the job `accounts`, which uses Bulk.
fn of_small_pages(more: &str) -> Deployment {
    let bulk = BulkOptions { polls: 0, page_rows: 5, ..BulkOptions::default() };
    let at = Deployment::with(Options { bulk, ..support::options(50) });
    let more = format!("api = \"bulk\"\n{more}");
    at.job("accounts", "SELECT Id, Name FROM Account", "accounts.csv", &more);
    at.write("exports/accounts.csv", FORMER);
    at
}

fn whole(at: &Deployment) -> Vec<u8> {
    csv(&["Id", "Name"], &live(at.data(), "Account"))
}

fn spawn(at: &Deployment) -> Child {
    at.command(["run", "accounts", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends SIGTERM, and waits for the end.
#[track_caller]
fn stopped(at: &Deployment, child: Child) -> Outcome {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let outcome = at.outcome(child.wait_with_output().unwrap()).ended(143);
    assert_same(&at.read("exports/accounts.csv"), FORMER);
    outcome
}

fn downloads(at: &Deployment) -> usize {
    at.queries().iter().filter(|request| request.path().ends_with("/results")).count()
}

#[test]
fn as_many_pages_are_fetched_at_once_as_the_job_says() {
    for parallel in [1, 3] {
        let at = of_small_pages(&format!("[bulk]\nparallel = {parallel}"));
        // The head of each page names the next one, and no page comes to its end.
        at.script(Rule::always(At::BulkResults(1), Fault::HalfOpen { after: Some(20) }));
        let child = spawn(&at);
        wait_for(|| (downloads(&at) >= parallel).then_some(())).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(downloads(&at), parallel);
        stopped(&at, child);
        assert_eq!(at.org().bulk_jobs(), []);
    }
}

#[test]
fn a_run_stopped_before_its_job_has_an_id_says_so() {
    let at = of_small_pages("");
    at.script(Rule::once(At::BulkCreate(1), Fault::Late(Duration::from_secs(60))));
    let child = spawn(&at);
    wait_for(|| (!at.org().bulk_jobs().is_empty()).then_some(())).unwrap();
    let outcome = stopped(&at, child);
    let report = outcome.reports().remove(0);
    assert!(report["warnings"][0].as_str().unwrap().contains("had no response"), "{report}");
    // Nobody knows its id, and the next run says so too.
    let next = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert!(next["warnings"][0].as_str().unwrap().contains("while it created a query job"), "{next}");
    let third = at.run(["run", "accounts", "--json"]).ended(0).reports().remove(0);
    assert_eq!(third["warnings"], serde_json::json!([]));
    assert_eq!(at.org().bulk_jobs().len(), 1);
}

#[test]
fn the_timeout_of_a_run_ends_its_query_job_and_its_downloads() {
    for rule in [
        Rule::always(At::BulkCreate(1), Fault::Job(Fate::NeverEnds)),
        // A page that never ends.
        Rule::always(At::BulkResults(1), Fault::Drip { bytes: 1, pause: Duration::from_millis(50) }),
    ] {
        let at = of_small_pages("timeout = \"3s\"");
        at.script(rule);
        let outcome = at.run(["run", "accounts"]).ended(69).says(&["took longer than its timeout of 3s"]);
        assert_same(&at.read("exports/accounts.csv"), FORMER);
        assert_eq!(at.org().bulk_jobs(), [], "{}", outcome.stderr);
    }
}

#[test]
fn a_stream_takes_a_page_again_but_never_starts_over() {
    let query = ["query", "SELECT Id, Name FROM Account", "-o", "-", "--api", "bulk"];
    let at = of_small_pages("");
    at.script(Rule::once(At::BulkResults(2), Fault::MissingRows(2)));
    assert_same(&at.run(query).ended(0).stdout, &whole(&at));
    let third = At::Containing("/results?locator=MTA".to_owned());
    at.script(Rule::once(third, Fault::NoNextUrl));
    let outcome = at.run(query).ended(74).says(&["Sforce-Locator", "write to a file"]);
    // The pages before it have been sent.
    let sent = outcome.stdout.len();
    assert_same(&outcome.stdout, &whole(&at)[..sent]);
    assert!(sent > 0 && sent < whole(&at).len(), "{sent} bytes");
    assert_eq!(at.org().bulk_jobs(), []);
}

#[test]
fn no_query_job_is_made_for_a_file_that_must_not_be_replaced() {
    let at = of_small_pages("if_exists = \"fail\"");
    at.run(["run", "accounts"]).ended(73).says(&["accounts.csv"]);
    assert!(at.queries().iter().all(|request| !request.path().contains("/jobs/")));
    assert_same(&at.read("exports/accounts.csv"), FORMER);
    fs::remove_file(at.path("exports/accounts.csv")).unwrap();
    at.run(["run", "accounts"]).ended(0);
    assert_same(&at.read("exports/accounts.csv"), &whole(&at));
}

#[test]
fn a_full_scratch_disk_ends_the_run_and_its_query_job() {
    let at = of_small_pages("");
    at.configure("gzip = false");
    let scratch = at.path("scratch");
    fs::create_dir(&scratch).unwrap();
    at.write("sfexport.toml", format!("scratch_dir = \"scratch\"\n{}", at.text("sfexport.toml")));
    at.script(Rule::always(At::BulkResults(1), Fault::LongTexts(600_000)));
    let Some(outcome) = at.run_on_small_disk("scratch", "1m", &["run", "accounts"]) else { return };
    let expected =
        format!("cannot hold a page of the result in scratch_dir, {}: No space left", scratch.display());
    outcome.ended(73).says(&[&expected, "SFEXPORT_SCRATCH_DIR"]);
    assert_same(&at.read("exports/accounts.csv"), FORMER);
    assert_eq!(at.org().bulk_jobs(), []);
}

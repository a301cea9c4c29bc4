//! What can be scripted about query jobs: each fault as a plain client sees it.

use reqwest::Method;
use serde_json::{Value, json};
use sfexport::demo_org::{At, BulkOptions, DemoOrg, Fate, Fault, Framing, Options, Rule};

use super::bulk::{JOBS, at_once, cells, created, every_row, json_of, page, send};
use super::client::{client, get, ids, login, options};

const SOQL: &str = "SELECT Id FROM Account";
const CREATION: &str = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;

/// State and error message of a job, as a poll reports them.
async fn state(org: &DemoOrg, token: &str, job: &str) -> (String, Value) {
    let job = json_of(get(org, token, job).await).await;
    (job["state"].as_str().unwrap().to_owned(), job["errorMessage"].clone())
}

#[tokio::test]
async fn a_job_meets_the_fate_that_is_scripted_for_it() {
    for polls in [0, 1] {
        let bulk = BulkOptions { polls, ..BulkOptions::default() };
        let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
        let token = login(&org).await;
        let message = "InvalidBatch : Failed to process query: QUERY_TIMEOUT: Your query request was running for too long.";
        for (fate, expected) in [
            (Fate::Fails(Some(message.to_owned())), ("Failed", json!(message))),
            (Fate::Fails(None), ("Failed", Value::Null)),
            (Fate::IsAborted, ("Aborted", Value::Null)),
            (Fate::NeverEnds, ("InProgress", Value::Null)),
        ] {
            // At a poll, then right after a creation.
            let job = created(&org, &token, SOQL).await;
            get(&org, &token, &job).await;
            org.script(Rule::once(At::BulkPoll(2), Fault::Job(fate.clone())));
            let expected = (expected.0.to_owned(), expected.1);
            for _ in 0..2 {
                assert_eq!(state(&org, &token, &job).await, expected);
            }
            assert_eq!(get(&org, &token, &format!("{job}/results")).await.status(), 412);
            org.script(Rule::once(At::BulkCreate(1), Fault::Job(fate)));
            let job = created(&org, &token, SOQL).await;
            for _ in 0..2 {
                assert_eq!(state(&org, &token, &job).await, expected);
            }
        }
        let job = created(&org, &token, SOQL).await;
        org.script(Rule::once(At::BulkPoll(1), Fault::Job(Fate::IsDeleted)));
        assert_eq!(get(&org, &token, &job).await.status(), 404);
        assert_eq!(org.bulk_jobs().len(), 8);
    }
}

#[tokio::test]
async fn a_job_exists_although_its_creation_had_no_response() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::once(At::BulkCreate(1), Fault::Close));
    let request = client().post(format!("{}{JOBS}", org.url()));
    let request = request.header("Authorization", format!("Bearer {token}")).body(CREATION);
    assert!(request.send().await.is_err());
    let [job] = org.bulk_jobs().try_into().unwrap();
    assert_eq!((job.object.as_str(), job.state.as_str()), ("Account", "UploadComplete"));
    let list = json_of(get(&org, &token, &format!("{JOBS}?jobType=V2Query")).await).await;
    assert_eq!(list["records"][0]["id"], job.id);
}

#[tokio::test]
async fn somebody_else_aborts_and_deletes_jobs() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, SOQL).await;
    let id = job.rsplit('/').next().unwrap();
    assert!(org.abort_bulk_job(id));
    assert_eq!(state(&org, &token, &job).await.0, "Aborted");
    assert!(!org.abort_bulk_job(id));
    assert!(org.delete_bulk_job(id));
    assert!(!org.delete_bulk_job(id));
    assert_eq!(get(&org, &token, &job).await.status(), 404);
}

#[tokio::test]
async fn requests_about_jobs_are_counted_by_their_kind() {
    let org = DemoOrg::start(at_once(10, 4)).await.unwrap();
    let token = login(&org).await;
    let teapot = |code: &str| Fault::error(418, code, "short and stout");
    for (at, code) in [
        (At::BulkCreate(2), "CREATE"),
        (At::BulkPoll(2), "POLL"),
        (At::BulkResults(2), "RESULTS"),
        (At::BulkPages(2), "PAGES"),
        (At::BulkAbort(2), "ABORT"),
        (At::BulkDelete(2), "DELETE"),
    ] {
        org.script(Rule::once(at, teapot(code)));
    }
    let job = created(&org, &token, SOQL).await;
    let (results, pages) = (format!("{job}/results"), format!("{job}/resultPages"));
    let abort = r#"{"state":"Aborted"}"#;
    for (method, target, body, status, code) in [
        (Method::GET, &job, "", 200, "POLL"),
        (Method::GET, &results, "", 200, "RESULTS"),
        (Method::GET, &pages, "", 200, "PAGES"),
        (Method::PATCH, &job, abort, 400, "ABORT"),
        (Method::POST, &JOBS.to_owned(), CREATION, 200, "CREATE"),
        (Method::DELETE, &job, "", 204, "DELETE"),
    ] {
        // The creation above was the first.
        if method != Method::POST {
            let first = send(&org, &token, method.clone(), target, body).await;
            assert_eq!(first.status(), status, "{code}");
        }
        let second = send(&org, &token, method.clone(), target, body).await;
        assert_eq!(second.status(), 418, "{code}");
        assert_eq!(json_of(second).await[0]["errorCode"], code);
    }
}

#[tokio::test]
async fn locators_can_be_made_to_lie() {
    let org = DemoOrg::start(at_once(60, 20)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, SOQL).await;
    let results = format!("{job}/results");
    let live = ids(&org, "Account", |row| !row.is_deleted());
    let rows = |text: &str| cells(text, b',').into_iter().skip(1).flatten().collect::<Vec<_>>();

    org.script(Rule::once(At::BulkResults(1), Fault::NoNextUrl));
    let without = get(&org, &token, &results).await;
    assert_eq!(without.headers()["sforce-numberofrecords"], "20");
    assert!(!without.headers().contains_key("sforce-locator"));
    for (fault, locator) in [
        (Fault::DoneEarly, "null"),
        (Fault::NextUrl("bm9uc2Vuc2U".to_owned()), "bm9uc2Vuc2U"),
        // That of the page itself, which begins with row 0.
        (Fault::RepeatedLocator, "MA"),
    ] {
        org.script(Rule::once(At::BulkResults(1), fault));
        let (text, found, _) = page(&org, &token, &results).await;
        assert_eq!((rows(&text), found.as_str()), (live[..20].to_vec(), locator));
    }
    let (again, ..) = page(&org, &token, &format!("{results}?locator=MA")).await;
    assert_eq!(rows(&again), live[..20]);

    // A locator that has to be percent-encoded.
    org.script(Rule::once(At::BulkResults(1), Fault::Locator("a+b/c=&d %".to_owned())));
    let (_, odd, _) = page(&org, &token, &results).await;
    assert_eq!(odd, "a+b/c=&d %-20");
    let encoded = percent_encoding::utf8_percent_encode(&odd, percent_encoding::NON_ALPHANUMERIC);
    let (second, ..) = page(&org, &token, &format!("{results}?locator={encoded}")).await;
    assert_eq!(rows(&second), live[20..40]);
    assert_eq!(get(&org, &token, &format!("{results}?locator={odd}")).await.status(), 400);

    // Pages without end, empty or the same rows again.
    for (fault, records) in [(Fault::EmptyPages, 0), (Fault::RepeatedPages, 20)] {
        org.clear_script();
        org.script(Rule::always(At::BulkResults(1), fault));
        let (mut target, mut seen) = (results.clone(), Vec::new());
        for _ in 0..100 {
            let (text, locator, told) = page(&org, &token, &target).await;
            assert_eq!((rows(&text), told), (live[..records].to_vec(), records));
            assert!(!seen.contains(&locator));
            target = format!("{results}?locator={locator}");
            seen.push(locator);
        }
    }
    org.clear_script();
    org.script(Rule::always(At::BulkResults(1), Fault::StopAfter(27)));
    assert_eq!(every_row(&org, &token, &job, "").await.concat(), live[..27]);
    org.clear_script();
    org.script(Rule::once(At::BulkResults(1), Fault::LostLocator));
    assert_eq!(get(&org, &token, &results).await.status(), 400);
}

#[tokio::test]
async fn pages_can_lack_rows_and_miscount_them() {
    let org = DemoOrg::start(at_once(60, 20)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, SOQL).await;
    let results = format!("{job}/results");
    let live = ids(&org, "Account", |row| !row.is_deleted());
    let doubled = [&live[..20], &live[..2]].concat();
    for (fault, rows, told) in [
        (Fault::MissingRows(1), &live[..19], 20),
        (Fault::All(vec![Fault::MissingRows(1), Fault::NumberOfRecords(-1)]), &live[..19], 19),
        (Fault::MissingRows(100), &live[..0], 20),
        (Fault::DoubledRows(2), &doubled[..], 20),
        (Fault::NumberOfRecords(1), &live[..20], 21),
    ] {
        org.script(Rule::once(At::BulkResults(1), fault.clone()));
        let (text, locator, found) = page(&org, &token, &results).await;
        let found_rows: Vec<String> = cells(&text, b',').into_iter().skip(1).flatten().collect();
        assert_eq!((&found_rows[..], found, locator.as_str()), (rows, told, "MjA"), "{fault:?}");
        assert!(text.ends_with("\"\n"));
    }
    org.script(Rule::once(At::BulkPoll(1), Fault::TotalSize(58)));
    for records in [58, 59] {
        assert_eq!(json_of(get(&org, &token, &job).await).await["numberRecordsProcessed"], records);
    }
    let header = Fault::Replace { what: "\"Id\"\n".to_owned(), with: "\"ID\"\n".to_owned() };
    org.script(Rule::once(At::BulkResults(1), header));
    assert!(page(&org, &token, &results).await.0.starts_with("\"ID\"\n\"001Dm"));
    org.script(Rule::once(At::BulkResults(1), Fault::Truncate { after: 30 }));
    assert_eq!(page(&org, &token, &results).await.0, "\"Id\"\n\"001Dm0000000000IAA\"\n\"001");
    let named = created(&org, &token, "SELECT Id, Name FROM Account LIMIT 1").await;
    org.script(Rule::once(At::BulkResults(1), Fault::LongTexts(5000)));
    let (text, ..) = page(&org, &token, &format!("{named}/results")).await;
    assert_eq!(cells(&text, b',')[1][1], format!("plain text 0{}", "x".repeat(5000 - 12)));
}

#[tokio::test]
async fn faults_of_delivery_meet_jobs_too() {
    let org = DemoOrg::start(at_once(60, 50)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, SOQL).await;
    let results = format!("{}{job}/results", org.url());
    let try_get =
        || async { client().get(&results).header("Authorization", format!("Bearer {token}")).send().await };
    org.script(Rule::once(At::BulkResults(1), Fault::Close));
    assert!(try_get().await.is_err());
    for framing in [Framing::Chunked, Framing::Length] {
        org.script(Rule::once(At::BulkResults(1), Fault::Cut { after: 100, framing }));
        assert!(try_get().await.unwrap().bytes().await.is_err(), "{framing:?}");
    }
    org.script(Rule::once(At::BulkResults(1), Fault::Cut { after: 26, framing: Framing::UntilClose }));
    assert_eq!(try_get().await.unwrap().text().await.unwrap(), "\"Id\"\n\"001Dm0000000000IAA\"\n");
    // A job that is not found in its first seconds, and a session that ends between two requests.
    org.script(Rule::once(
        At::BulkPoll(1),
        Fault::error(404, "NOT_FOUND", "The requested resource does not exist"),
    ));
    assert_eq!(get(&org, &token, &job).await.status(), 404);
    assert_eq!(get(&org, &token, &job).await.status(), 200);
    org.script(Rule::once(At::BulkResults(1), Fault::ExpiredSession));
    assert_eq!(try_get().await.unwrap().status(), 401);
    assert_eq!(get(&org, &token, &job).await.status(), 401);
    let token = login(&org).await;
    assert_eq!(get(&org, &token, &job).await.status(), 200);
}

#[tokio::test]
async fn result_pages_have_other_spellings() {
    let org = DemoOrg::start(at_once(60, 5)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, SOQL).await;
    let pages = format!("{job}/resultPages");
    let spelt = |what: &str, with: &str| Fault::Replace { what: what.to_owned(), with: with.to_owned() };
    org.script(Rule::once(At::BulkPages(1), spelt("nextRecordsUrl", "nextRecordUrl")));
    let page = json_of(get(&org, &token, &pages).await).await;
    assert_eq!(page["nextRecordUrl"], format!("{job}/resultPages?locator=MjU"));
    let others = [spelt("\"resultPages\"", "\"resultChunks\""), spelt("resultUrl", "resultLink")];
    org.script(Rule::once(At::BulkPages(1), Fault::All(others.to_vec())));
    let page = json_of(get(&org, &token, &pages).await).await;
    assert_eq!(page["resultChunks"][4]["resultLink"], format!("{job}/results?locator=MjA"));
    let last = format!("{pages}?locator=NTU");
    assert_eq!(
        get(&org, &token, &last).await.text().await.unwrap(),
        format!(
            r#"{{"resultPages":[{{"resultUrl":"{job}/results?locator=NTU"}}],"nextRecordsUrl":null,"done":true}}"#
        )
    );
    org.script(Rule::once(At::BulkPages(1), spelt("\"nextRecordsUrl\":null,", "")));
    let page = json_of(get(&org, &token, &last).await).await;
    assert_eq!(page.as_object().unwrap().keys().collect::<Vec<_>>(), ["done", "resultPages"]);
    org.script(Rule::once(At::BulkPages(1), spelt("?locator=MA\"", "\"")));
    let page = json_of(get(&org, &token, &pages).await).await;
    assert_eq!(page["resultPages"][0]["resultUrl"], format!("{job}/results"));
}

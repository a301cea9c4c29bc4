//! What other clients request besides queries: resources, limits, batches, other logins, changed and deleted records.

use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, RecordId};

use super::client::{claims, client, get, login, options, post_token, query, sign};

async fn body(org: &DemoOrg, token: &str, target: &str) -> (u16, Value) {
    let answer = get(org, token, target).await;
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn post(org: &DemoOrg, token: &str, target: &str, request: &Value) -> (u16, Value) {
    let post = client().post(format!("{}/services/data/v62.0/{target}", org.url()));
    let post = post.header("Authorization", format!("Bearer {token}")).body(request.to_string());
    let answer = post.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn token_of(org: &DemoOrg, form: &str) -> (u16, Value) {
    let post = client().post(format!("{}/services/oauth2/token", org.url()));
    let post = post.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
    let answer = post.send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn every_resource_that_is_listed_answers() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let (_, resources) = body(&org, &token, "/services/data/v62.0").await;
    let resources = resources.as_object().unwrap().clone();
    let identity = format!("{}/id/{}/{}", org.url(), org.organization_id(), org.user_id());
    assert_eq!(resources["identity"], identity);
    let names: Vec<_> = resources.keys().map(String::as_str).collect();
    assert_eq!(names, ["composite", "identity", "jobs", "limits", "query", "queryAll", "sobjects"]);
    for (name, url) in &resources {
        let target = url.as_str().unwrap().trim_start_matches(org.url());
        let status = get(&org, &token, target).await.status().as_u16();
        // Queries need a text, composite needs a POST, and jobs are of a kind.
        let expected = match name.as_str() {
            "jobs" => 404,
            "query" | "queryAll" => 400,
            "composite" => 405,
            _ => 200,
        };
        assert_eq!(status, expected, "{name}");
    }
}

#[tokio::test]
async fn limits_have_the_entries_that_clients_read() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let (_, limits) = body(&org, &token, "/services/data/v62.0/limits").await;
    for (name, max) in [
        ("DailyApiRequests", 15_000),
        ("DailyBulkApiBatches", 15_000),
        ("DailyBulkV2QueryJobs", 10_000),
        ("DailyBulkV2QueryFileStorageMB", 976_562),
        ("ConcurrentAsyncGetReportInstances", 200),
    ] {
        assert_eq!(limits[name]["Max"], max, "{name}");
    }
    for (name, limit) in limits.as_object().unwrap() {
        assert!(limit["Remaining"].as_u64().unwrap() <= limit["Max"].as_u64().unwrap(), "{name}");
    }
}

#[tokio::test]
async fn an_audience_may_be_the_url_of_the_token_endpoint() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    for (audience, status) in [
        (format!("{}/services/oauth2/token", org.url()), 200),
        ("https://login.salesforce.com/services/oauth2/token".to_owned(), 200),
        ("https://test.salesforce.com/services/oauth2/token".to_owned(), 200),
        ("https://example.com/services/oauth2/token".to_owned(), 400),
        ("https://login.salesforce.com/services/oauth2/authorize".to_owned(), 400),
    ] {
        let mut claims = claims(&org);
        claims["aud"] = json!(audience);
        assert_eq!(post_token(&org, &sign(&claims)).await.status(), status, "{audience}");
    }
}

#[tokio::test]
async fn the_refresh_token_of_the_demo_opens_a_session() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let form =
        "grant_type=refresh_token&client_id=3MVG9demo&client_secret=any&refresh_token=5Aep861.the.demo.org";
    let (status, answer) = token_of(&org, form).await;
    assert_eq!(status, 200);
    assert_eq!(answer["instance_url"], org.url());
    let issued: u128 = answer["issued_at"].as_str().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!(now - issued < 60_000);
    assert!(answer.get("refresh_token").is_none());
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(get(&org, token, "/services/data/v62.0/limits").await.status(), 200);
    for (form, error, description) in [
        (form.replace("5Aep861", "5Aep862"), "invalid_grant", "expired access/refresh token"),
        (form.replace("3MVG9demo", "3MVG9other"), "invalid_client_id", "client identifier invalid"),
        ("grant_type=password".to_owned(), "unsupported_grant_type", "grant type not supported"),
    ] {
        let refusal = json!({"error": error, "error_description": description});
        assert_eq!(token_of(&org, &form).await, (400, refusal));
    }
}

#[tokio::test]
async fn the_profile_of_a_user_can_be_queried() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let soql = "SELECT name FROM Profile WHERE Id IN (SELECT ProfileId FROM User WHERE \
                username='integration@example.com')";
    let (status, found) = query(&org, soql).await;
    assert_eq!(status, 200, "{found}");
    assert!(found.ends_with(r#""Name":"Integration"}]}"#), "{found}");
    let (_, all) = query(&org, "SELECT COUNT() FROM Profile").await;
    assert!(all.starts_with(r#"{"totalSize":3,"#), "{all}");
}

#[tokio::test]
async fn a_batch_describes_up_to_twenty_five_objects() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let batch = |count: usize| {
        let one = |n| match n {
            3 => json!({"method": "GET", "url": "v62.0/sobjects/Nope/describe"}),
            _ => json!({"method": "GET", "url": "/services/data/v62.0/sobjects/Account/describe"}),
        };
        json!({"batchRequests": (0..count).map(one).collect::<Vec<_>>()})
    };
    let (status, answer) = post(&org, &token, "composite/batch", &batch(25)).await;
    assert_eq!((status, &answer["hasErrors"]), (200, &json!(true)));
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 25);
    let (_, described) = body(&org, &token, "/services/data/v62.0/sobjects/Account/describe").await;
    for (n, result) in results.iter().enumerate() {
        if n == 3 {
            assert_eq!(
                (&result["statusCode"], &result["result"][0]["errorCode"]),
                (&json!(404), &json!("NOT_FOUND"))
            );
        } else {
            assert_eq!((&result["statusCode"], &result["result"]), (&json!(200), &described));
        }
    }
    // Versions before 34.0 do not have it.
    assert_eq!(post(&org, &token, "../v33.0/composite/batch", &batch(1)).await.0, 404);
    let (status, refused) = post(&org, &token, "composite/batch", &batch(26)).await;
    assert_eq!((status, &refused[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
}

#[tokio::test]
async fn composite_requests_have_headers_of_their_own() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let describe = |reference: &str, since: &str| {
        json!({"method": "GET", "url": "/services/data/v62.0/sobjects/User/describe", "referenceId": reference,
               "httpHeaders": {"If-Modified-Since": since}})
    };
    let old = "Mon, 01 Jan 2001 00:00:00 GMT";
    let (_, first) =
        post(&org, &token, "composite", &json!({"compositeRequest": [describe("a", old)]})).await;
    let first = &first["compositeResponse"][0];
    assert_eq!((&first["httpStatusCode"], &first["referenceId"]), (&json!(200), &json!("a")));
    assert_eq!(first["body"]["name"], "User");
    let date = first["httpHeaders"]["Last-Modified"].as_str().unwrap();
    let missing =
        json!({"method": "GET", "url": "/services/data/v62.0/sobjects/Nope/describe", "referenceId": "c"});
    let request = json!({"allOrNone": false, "compositeRequest": [describe("b", date), missing]});
    let (status, second) = post(&org, &token, "composite", &request).await;
    assert_eq!(status, 200);
    assert_eq!(
        second["compositeResponse"][0],
        json!({"body": null, "httpHeaders": {"Last-Modified": date}, "httpStatusCode": 304, "referenceId": "b"})
    );
    assert_eq!(second["compositeResponse"][1]["httpStatusCode"], 404);
    let refers =
        json!({"method": "GET", "url": "/services/data/v62.0/sobjects/@{b.name}", "referenceId": "d"});
    let (status, _) = post(&org, &token, "composite", &json!({"compositeRequest": [refers]})).await;
    assert_eq!(status, 400);
    let many: Vec<_> = (0..26).map(|_| describe("e", old)).collect();
    assert_eq!(post(&org, &token, "composite", &json!({"compositeRequest": many})).await.0, 400);
}

/// The path for what changed, or went, from so many minutes ago to so many.
fn since(what: &str, from: i64, to: i64) -> String {
    let at = |minutes: i64| {
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        time.strftime("%Y-%m-%dT%H:%M:%S%%2B00:00").to_string()
    };
    format!("/services/data/v62.0/sobjects/Account/{what}/?start={}&end={}", at(from), at(to))
}

#[tokio::test]
async fn deleted_and_purged_records_are_listed_with_their_time() {
    let org = DemoOrg::start(options(60)).await.unwrap();
    let token = login(&org).await;
    let ids: Vec<RecordId> = org.data().rows("Account").skip(20).take(3).map(|row| row.id()).collect();
    let (_, none) = body(&org, &token, &since("deleted", 10, -5)).await;
    assert_eq!(none["deletedRecords"], json!([]));
    org.delete(&ids[..2]);
    org.purge(&ids[1..]);
    let contact = org.data().rows("Contact").next().unwrap().id();
    org.delete(&[contact]);
    let (status, answer) = body(&org, &token, &since("deleted", 10, -5)).await;
    assert_eq!(status, 200);
    let told = answer["deletedRecords"].as_array().unwrap();
    let found: Vec<_> = told.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    let time = |value: &Value| {
        let text = value.as_str().unwrap().replace("+0000", "Z");
        text.parse::<jiff::Timestamp>().unwrap()
    };
    let ago = jiff::Timestamp::now().as_second() - time(&told[0]["deletedDate"]).as_second();
    assert!((0..60).contains(&ago), "{ago} s");
    // The end lies ahead: what is to come is not covered.
    let covered = time(&answer["latestDateCovered"]);
    assert!(covered <= jiff::Timestamp::now() && covered.as_second() % 60 == 0);
    let days = (covered.as_second() - time(&answer["earliestDateAvailable"]).as_second()) / 86_400;
    assert_eq!(days, 15);
    let (_, before) = body(&org, &token, &since("deleted", 60, 30)).await;
    assert_eq!(before["deletedRecords"], json!([]));
}

#[tokio::test]
async fn updated_records_are_listed_and_bad_periods_refused() {
    let org = DemoOrg::start(options(60)).await.unwrap();
    let token = login(&org).await;
    let (status, updated) = body(&org, &token, &since("updated", 60, 0)).await;
    assert_eq!((status, &updated["ids"]), (200, &json!([])));
    assert!(updated["latestDateCovered"].as_str().unwrap().ends_with(":00.000+0000"));
    let day = 24 * 60;
    for (what, from, to, status) in [
        ("deleted", 2, 0, 200),
        ("deleted", 1, 0, 400),
        ("deleted", 0, 5, 400),
        ("deleted", 15 * day - 1, 0, 200),
        ("deleted", 15 * day + 2, 0, 400),
        ("updated", 15 * day + 2, 0, 200),
        ("updated", 30 * day + 2, 0, 400),
    ] {
        let (found, answer) = body(&org, &token, &since(what, from, to)).await;
        assert_eq!(found, status, "{what} from {from} to {to} minutes ago: {answer}");
        if status == 400 {
            assert_eq!(answer[0]["errorCode"], "INVALID_REPLICATION_DATE");
        }
    }
    let missing = "/services/data/v62.0/sobjects/Account/updated";
    assert_eq!(body(&org, &token, missing).await.0, 400);
    let (_, refused) = body(&org, &token, &since("updated", 60, 0).replace("Account", "Profile")).await;
    assert_eq!(refused[0]["errorCode"], "INVALID_TYPE_FOR_OPERATION");
}

//! What can be scripted: each fault as a plain client sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sfexport::demo_org::{At, DemoOrg, Fault, Framing, Options, RecordId, Rule};

use crate::client::{claims, client, every_id, get, ids, login, options, post_token, query_target, sign};

#[tokio::test]
async fn scripted_faults_meet_the_requests_they_are_meant_for() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::once(
        At::Page(2),
        Fault::error(503, "SERVER_UNAVAILABLE", "Server Unavailable").header("Retry-After", "7"),
    ));
    org.script(Rule::once(At::Page(4), Fault::LostLocator));
    org.script(Rule::once(At::Page(6), Fault::ExpiredSession));
    org.script(Rule::once(At::Page(7), Fault::TotalSize(99)));
    org.script(Rule::once(At::Login(2), Fault::login_refused("unknown_error", "retry your request")));
    let target = query_target("SELECT Id FROM Account");
    let next = |body: &str| {
        serde_json::from_str::<Value>(body).unwrap()["nextRecordsUrl"].as_str().unwrap().to_owned()
    };
    let first = get(&org, &token, &target).await.text().await.unwrap();
    let failed = get(&org, &token, &next(&first)).await;
    assert_eq!((failed.status().as_u16(), &failed.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    assert_eq!(get(&org, &token, &next(&first)).await.status(), 200);
    assert!(get(&org, &token, &next(&first)).await.text().await.unwrap().contains("INVALID_QUERY_LOCATOR"));
    assert_eq!(get(&org, &token, &target).await.status(), 200);
    assert_eq!(get(&org, &token, &target).await.status(), 401);
    assert_eq!(post_token(&org, &sign(&claims(&org))).await.status(), 400);
    let token = login(&org).await;
    assert!(get(&org, &token, &target).await.text().await.unwrap().starts_with("{\"totalSize\":99,"));
    let tokens = org.requests().iter().filter(|request| request.path() == "/services/oauth2/token").count();
    assert_eq!(tokens, 3);
    assert!(org.requests().iter().all(|request| request.header("cookie").is_none()));
}

#[tokio::test]
async fn envelopes_can_be_made_to_lie() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    let target = query_target("SELECT Id FROM Account");
    let records = "\"records\":[{";
    for (n, (fault, head)) in [
        (Fault::NoNextUrl, format!("{{\"totalSize\":34,\"done\":false,{records}")),
        (Fault::DoneEarly, format!("{{\"totalSize\":34,\"done\":true,{records}")),
        (
            Fault::NextUrl("https://example.com/x".to_owned()),
            format!(
                "{{\"totalSize\":34,\"done\":false,\"nextRecordsUrl\":\"https://example.com/x\",{records}"
            ),
        ),
        (Fault::KeyOrder(vec!["records", "done", "totalSize"]), format!("{{{records}")),
        (Fault::Truncate { after: 30 }, "{\"totalSize\":34,\"done\":false,\"".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        org.script(Rule::once(At::Page(n + 1), fault));
        let body = get(&org, &token, &target).await.text().await.unwrap();
        assert!(body.starts_with(&head[..head.len().min(body.len())]), "{body}");
    }
    org.script(Rule::once(At::Page(7), Fault::RepeatedLocator));
    let first: Value = serde_json::from_str(&get(&org, &token, &target).await.text().await.unwrap()).unwrap();
    let next = first["nextRecordsUrl"].as_str().unwrap();
    let second: Value = serde_json::from_str(&get(&org, &token, next).await.text().await.unwrap()).unwrap();
    assert_eq!(second["nextRecordsUrl"], next);
}

#[tokio::test]
async fn connections_break_where_they_are_told_to() {
    let org = DemoOrg::start(options(35)).await.unwrap();
    let token = login(&org).await;
    let target = query_target("SELECT Id, Name FROM Account");
    let whole = get(&org, &token, &target).await.bytes().await.unwrap();
    let try_get = || async {
        client()
            .get(format!("{}{target}", org.url()))
            .header("Authorization", format!("Bearer {token}"))
            .send()
            .await
    };
    org.script(Rule::once(At::Page(2), Fault::Close));
    assert!(try_get().await.is_err());
    for (n, framing) in [(3, Framing::Chunked), (4, Framing::Length)] {
        org.script(Rule::once(At::Page(n), Fault::Cut { after: 100, framing }));
        assert!(try_get().await.unwrap().bytes().await.is_err(), "{framing:?}");
    }
    org.script(Rule::once(At::Page(5), Fault::Cut { after: 100, framing: Framing::UntilClose }));
    assert_eq!(try_get().await.unwrap().bytes().await.unwrap(), whole[..100]);
    let pause = Duration::from_millis(60);
    for (n, fault) in [
        Fault::Late(pause),
        Fault::Stall { after: 50, pause },
        Fault::Drip { bytes: whole.len() / 3, pause: pause / 3 },
    ]
    .into_iter()
    .enumerate()
    {
        org.script(Rule::once(At::Page(6 + n), fault.clone()));
        let start = Instant::now();
        assert_eq!(try_get().await.unwrap().bytes().await.unwrap(), whole);
        assert!(start.elapsed() >= pause, "{fault:?}");
    }
    let url = org.url().to_owned();
    org.stop().await;
    assert!(client().get(url).send().await.is_err());
}

/// The pages of a query, each as JSON.
async fn pages(org: &DemoOrg, token: &str, first: &str) -> Vec<Value> {
    let (mut pages, mut target): (Vec<Value>, _) = (Vec::new(), Some(first.to_owned()));
    while let Some(at) = target.take().filter(|_| pages.len() < 10) {
        let page = get(org, token, &at).await;
        assert_eq!(page.status(), 200, "{at}");
        pages.push(serde_json::from_str(&page.text().await.unwrap()).unwrap());
        target = pages[pages.len() - 1]["nextRecordsUrl"].as_str().map(str::to_owned);
    }
    pages
}

/// `totalSize`, `done` and the number of records of each page.
fn shape(pages: &[Value]) -> Vec<(i64, bool, usize)> {
    let of = |page: &Value| {
        let records = page["records"].as_array().unwrap().len();
        (page["totalSize"].as_i64().unwrap(), page["done"].as_bool().unwrap(), records)
    };
    pages.iter().map(of).collect()
}

async fn total(org: &DemoOrg, token: &str, target: &str) -> i64 {
    let page: Value = serde_json::from_str(&get(org, token, target).await.text().await.unwrap()).unwrap();
    page["totalSize"].as_i64().unwrap_or_else(|| panic!("{page}"))
}

fn row_ids(org: &DemoOrg, object: &str, rows: impl IntoIterator<Item = usize>) -> Vec<RecordId> {
    let all: Vec<RecordId> = org.data().rows(object).map(|row| row.id()).collect();
    rows.into_iter().map(|row| all[row]).collect()
}

#[tokio::test]
async fn rows_deleted_during_a_query_shorten_its_pages() {
    // 35 accounts, of which number 5 was deleted before: pages of 10, 10, 10 and 4.
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    let start = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
    // Two of the first page, which was sent by then, and three of the third page.
    let rows = row_ids(&org, "Account", [1, 2, 23, 25, 30]);
    org.script(Rule::once(At::Page(2), Fault::Delete(rows.clone())));
    let found = pages(&org, &token, &query_target("SELECT Id FROM Account")).await;
    assert_eq!(shape(&found), [(34, false, 10), (34, false, 10), (34, false, 7), (34, true, 4)]);

    let count = |condition: &str| query_target(&format!("SELECT COUNT() FROM Account{condition}"));
    assert_eq!(total(&org, &token, &count("")).await, 29);
    let all = |target: String| target.replace("/query?", "/queryAll?");
    assert_eq!(total(&org, &token, &all(count(""))).await, 35);
    let since = format!(" WHERE IsDeleted = true AND SystemModstamp >= {start}");
    assert_eq!(total(&org, &token, &all(count(&since))).await, 5);
    assert_eq!(total(&org, &token, &count(&since)).await, 0);
    let deleted: Vec<_> =
        org.data().rows("Account").filter(|row| row.is_deleted()).map(|row| row.id()).collect();
    assert_eq!(deleted, row_ids(&org, "Account", [1, 2, 5, 23, 25, 30]));
    // A query that sees the recycle bin is not shortened.
    let everything = all(query_target("SELECT Id, IsDeleted FROM Account"));
    org.script(Rule::once(At::Page(9), Fault::Delete(row_ids(&org, "Account", [34]))));
    assert_eq!(every_id(&org, &token, &everything).await.0, ids(&org, "Account", |_| true));
    // Deleted records cannot be read one by one either.
    let one = format!("/services/data/v62.0/sobjects/Account/{}", rows[0]);
    assert_eq!(get(&org, &token, &one).await.status(), 404);
}

#[tokio::test]
async fn rows_purged_during_a_query_are_nowhere_afterwards() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::once(At::Page(4), Fault::Purge(row_ids(&org, "Account", [33, 34]))));
    let found = pages(&org, &token, &query_target("SELECT Id FROM Account")).await;
    assert_eq!(shape(&found), [(34, false, 10), (34, false, 10), (34, false, 10), (34, true, 2)]);
    let all = query_target("SELECT COUNT() FROM Account").replace("/query?", "/queryAll?");
    assert_eq!(total(&org, &token, &all).await, 33);
    assert_eq!(org.data().rows("Account").count(), 33);
    org.purge(&row_ids(&org, "Account", [0]));
    assert_eq!(total(&org, &token, &all).await, 32);
}

#[tokio::test]
async fn children_deleted_during_a_query_are_not_sent() {
    let org = DemoOrg::start(Options { page_size: 2, ..options(60) }).await.unwrap();
    let token = login(&org).await;
    let parent = org.data().rows("Account").find(|row| row.children("Contacts").len() >= 4).unwrap();
    let children: Vec<RecordId> = parent.children("Contacts").iter().map(|row| row.id()).collect();
    let soql = format!("SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Id = '{}'", parent.id());
    let first = pages(&org, &token, &query_target(&soql)).await;
    let contacts = &first[0]["records"][0]["Contacts"];
    let all = contacts["totalSize"].as_u64().unwrap() as usize;
    assert_eq!((all, contacts["records"].as_array().unwrap().len()), (children.len(), 2));
    org.delete(&children[3..]);
    let rest = pages(&org, &token, contacts["nextRecordsUrl"].as_str().unwrap()).await;
    assert_eq!(shape(&rest).iter().map(|(.., records)| records).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_query_can_stop_early_and_be_counted_otherwise() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::always(At::Soql("select id from ACCOUNT".to_owned()), Fault::StopAfter(23)));
    org.script(Rule::once(At::Soql("count()".to_owned()), Fault::TotalSize(23)));
    let target = query_target("SELECT Id FROM Account");
    let count = query_target("SELECT COUNT() FROM Account");
    let found = pages(&org, &token, &target).await;
    assert_eq!(shape(&found), [(34, false, 10), (34, false, 10), (34, true, 3)]);
    // Once the count confirms it, then it contradicts it.
    assert_eq!(total(&org, &token, &count).await, 23);
    assert_eq!(total(&org, &token, &count).await, 34);
    let other = pages(&org, &token, &query_target("SELECT Id FROM Contact")).await;
    assert_eq!(shape(&other).last(), Some(&(34, true, 4)));
}

#[tokio::test]
async fn a_rule_can_let_requests_pass_and_faults_can_be_combined() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let hook = Fault::hook({
        let seen = Arc::clone(&seen);
        move |request| {
            assert!(request.target.contains("-20"));
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    let both = Fault::All(vec![hook, Fault::All(vec![Fault::TotalSize(-1), Fault::DoneEarly])]);
    org.script(Rule::once(At::Soql("from account".to_owned()), both).after(2));
    let target = query_target("SELECT Id FROM Account");
    let found = pages(&org, &token, &target).await;
    assert_eq!(shape(&found), [(34, false, 10), (34, false, 10), (-1, true, 10)]);
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    assert_eq!(pages(&org, &token, &target).await.len(), 4);
}

#[tokio::test]
async fn pages_without_end_count_up() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::always(At::Soql("from account".to_owned()), Fault::EmptyPages).after(1));
    org.script(Rule::always(At::Soql("from user".to_owned()), Fault::RepeatedPages));
    let found = pages(&org, &token, &query_target("SELECT Id FROM Account")).await;
    let expected: Vec<_> = (0..10).map(|page| (34, false, if page == 0 { 10 } else { 0 })).collect();
    assert_eq!(shape(&found), expected);
    let urls: Vec<&str> = found.iter().map(|page| page["nextRecordsUrl"].as_str().unwrap()).collect();
    assert!(urls.iter().enumerate().all(|(n, url)| url.ends_with(&format!("-{}", 10 + n))), "{urls:?}");
    let found = pages(&org, &token, &query_target("SELECT Id FROM User")).await;
    assert_eq!(shape(&found), [(25, false, 10); 10]);
    assert!(found.iter().all(|page| page["records"] == found[0]["records"]));

    // Of child results as well: two contacts on a page, and then nothing for ever.
    let org = DemoOrg::start(Options { page_size: 2, ..options(60) }).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::always(At::ChildPage(1), Fault::EmptyPages));
    let parent = org.data().rows("Account").find(|row| row.children("Contacts").len() >= 4).unwrap();
    let soql = format!("SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Id = '{}'", parent.id());
    let first = pages(&org, &token, &query_target(&soql)).await;
    let next = first[0]["records"][0]["Contacts"]["nextRecordsUrl"].as_str().unwrap();
    let found = pages(&org, &token, next).await;
    assert_eq!((found.len(), found.iter().all(|page| page["records"] == json!([]))), (10, true));
}

#[tokio::test]
async fn locators_of_any_characters_lead_to_their_pages() {
    let org = DemoOrg::start(Options { page_size: 10, ..options(35) }).await.unwrap();
    let token = login(&org).await;
    for text in ["01gch0r8xx0000000004AAA.1.10", "0r8~x_y+z=", "0r8:1@2!3$&'()*;,", "0r8%2Fx%3Dy"] {
        org.script(Rule::times(At::Soql("from account".to_owned()), 4, Fault::Locator(text.to_owned())));
        let target = query_target("SELECT Id FROM Account");
        let found = pages(&org, &token, &target).await;
        assert_eq!(found[0]["nextRecordsUrl"], format!("/services/data/v62.0/query/{text}-10"));
        assert_eq!(shape(&found), [(34, false, 10), (34, false, 10), (34, false, 10), (34, true, 4)]);
    }
    let wrong = get(&org, &token, "/services/data/v62.0/query/0r8~x_y+z-10").await;
    assert_eq!(wrong.status(), 400);
}

#[tokio::test]
async fn envelopes_can_lack_records_and_have_further_keys() {
    let org = DemoOrg::start(options(35)).await.unwrap();
    let token = login(&org).await;
    let extras = vec![("size", "25"), ("entityTypeName", "\"User\"")];
    for (fault, expected) in [
        (Fault::NullRecords, r#"{"totalSize":25,"done":true,"records":null}"#),
        (Fault::KeyOrder(vec!["totalSize", "done"]), r#"{"totalSize":25,"done":true}"#),
        (
            Fault::ExtraKeys(extras.clone()),
            r#"{"totalSize":25,"done":true,"records":[],"size":25,"entityTypeName":"User"}"#,
        ),
        (
            Fault::All(vec![Fault::ExtraKeys(extras), Fault::KeyOrder(vec!["size", "done", "records"])]),
            r#"{"size":25,"done":true,"records":[],"entityTypeName":"User"}"#,
        ),
    ] {
        org.script(Rule::once(At::Soql("count()".to_owned()), fault));
        let body = get(&org, &token, &query_target("SELECT COUNT() FROM User")).await.text().await.unwrap();
        assert_eq!(body, expected);
    }
    let child = Fault::InChildren(vec![Fault::TotalSize(7), Fault::DoneEarly]);
    org.script(Rule::once(At::Soql("from contacts".to_owned()), child));
    let soql = "SELECT Id, (SELECT Id FROM Contacts LIMIT 1) FROM Account LIMIT 20";
    let found = pages(&org, &token, &query_target(soql)).await;
    let children: Vec<&Value> =
        found[0]["records"].as_array().unwrap().iter().map(|r| &r["Contacts"]).collect();
    let children: Vec<_> = children.into_iter().filter(|child| !child.is_null()).collect();
    assert!(!children.is_empty() && children.iter().all(|child| child["totalSize"] == 7), "{children:?}");
}

#[tokio::test]
async fn records_can_have_odd_keys_and_values() {
    let org = DemoOrg::start(options(35)).await.unwrap();
    let token = login(&org).await;
    let soql = "SELECT Id, Name, BillingAddress, Owner.Alias FROM Account WHERE BillingCity = null LIMIT 1";
    let row = org
        .data()
        .rows("Account")
        .find(|row| row.value("BillingCity").unwrap().is_null() && !row.is_deleted())
        .unwrap();
    let (id, owner) = (row.id(), row.parent("Owner").unwrap());
    let name = json!(row.value("Name").unwrap().as_str().unwrap());
    let alias = owner.value("Alias").unwrap().as_str().unwrap().to_owned();
    let attributes = |object: &str, id| {
        format!(r#""attributes":{{"type":"{object}","url":"/services/data/v62.0/sobjects/{object}/{id}"}}"#)
    };
    let faults = vec![Fault::ReversedKeys, Fault::NullAddresses, Fault::ExtraColumns(2)];
    org.script(Rule::once(At::Soql("billingaddress".to_owned()), Fault::All(faults)));
    let body = get(&org, &token, &query_target(soql)).await.text().await.unwrap();
    let expected = format!(
        r#""records":[{{"Extra000002__c":"x","Extra000001__c":"x","Owner":{{"Alias":"{alias}",{}}},"BillingAddress":null,"Name":{name},"Id":"{id}",{}}}]}}"#,
        attributes("User", owner.id()),
        attributes("Account", id),
    );
    assert!(body.ends_with(&expected), "{body}\n{expected}");

    org.script(Rule::once(At::Soql("badgetext".to_owned()), Fault::LongTexts(100_000)));
    let target = query_target("SELECT Id, Alias, BadgeText FROM User LIMIT 20");
    let body = get(&org, &token, &target).await.text().await.unwrap();
    assert!((4_000_000..4_010_000).contains(&body.len()), "{}", body.len());
    let page: Value = serde_json::from_str(&body).unwrap();
    let long = page["records"][3]["Alias"].as_str().unwrap();
    assert_eq!((long.len(), &long[..5]), (100_000, "u3xxx"));
}

#[tokio::test]
async fn columns_can_be_told_by_the_hundred_thousand() {
    let org = DemoOrg::start(options(3)).await.unwrap();
    let token = login(&org).await;
    org.script(Rule::always(At::Containing("columns=true".to_owned()), Fault::ExtraColumns(100_000)));
    org.script(Rule::always(At::Containing("/describe".to_owned()), Fault::ExtraColumns(3)));
    let target = format!("{}&columns=true", query_target("SELECT Id FROM Account"));
    let told: Value = serde_json::from_str(&get(&org, &token, &target).await.text().await.unwrap()).unwrap();
    let columns = told["columnMetadata"].as_array().unwrap();
    assert_eq!((columns.len(), &columns[1]["columnName"]), (100_001, &json!("Extra000001__c")));
    let target = "/services/data/v62.0/sobjects/Account/describe";
    let told: Value = serde_json::from_str(&get(&org, &token, target).await.text().await.unwrap()).unwrap();
    let fields = told["fields"].as_array().unwrap();
    assert_eq!(fields[fields.len() - 1]["name"], "Extra000003__c");
}

#[tokio::test]
async fn texts_can_be_replaced_and_proxies_can_interfere() {
    let org = DemoOrg::start(options(3)).await.unwrap();
    let token = login(&org).await;
    let identity = format!("/id/{}/{}", org.organization_id(), org.user_id());
    let forged = Fault::Replace {
        what: "integration@example.com".to_owned(),
        with: "a\\u001b[31m\\nERROR \\u202eb".to_owned(),
    };
    org.script(Rule::once(At::Containing("/id/".to_owned()), forged));
    let who: Value = serde_json::from_str(&get(&org, &token, &identity).await.text().await.unwrap()).unwrap();
    assert_eq!(who["username"], "a\u{1b}[31m\nERROR \u{202e}b");
    let without = Fault::Replace { what: "\"instance_url\"".to_owned(), with: "\"instance\"".to_owned() };
    org.script(Rule::once(At::Login(1), without));
    let body = post_token(&org, &sign(&claims(&org))).await.text().await.unwrap();
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((told.get("instance_url"), &told["instance"]), (None, &json!(org.url())));
    org.script(Rule::once(At::Containing("/limits".to_owned()), Fault::proxy_authentication()));
    let refused = get(&org, &token, "/services/data/v62.0/limits").await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["proxy-authenticate"]),
        (407, &"Basic realm=\"proxy\"".parse().unwrap())
    );
}

#[tokio::test]
async fn a_half_open_connection_says_no_more() {
    let org = DemoOrg::start(options(35)).await.unwrap();
    let token = login(&org).await;
    let target = query_target("SELECT Id FROM Account");
    for (n, after) in [None, Some(0), Some(100)].into_iter().enumerate() {
        org.script(Rule::once(At::Page(n + 1), Fault::HalfOpen { after }));
        let request = client()
            .get(format!("{}{target}", org.url()))
            .header("Authorization", format!("Bearer {token}"))
            .timeout(Duration::from_millis(150));
        let since = Instant::now();
        match (after, request.send().await) {
            (None, response) => assert!(response.unwrap_err().is_timeout()),
            (Some(_), response) => assert!(response.unwrap().bytes().await.unwrap_err().is_timeout()),
        }
        assert!(since.elapsed() >= Duration::from_millis(140));
    }
    assert_eq!(get(&org, &token, &target).await.status(), 200);
}

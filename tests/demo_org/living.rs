//! Rows that change, come late, go and come back, by a clock that the test sets.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, Options, OrgClock, RecordId, Value as Cell};

use super::client::{claims, get, options, post_token, query_target, sign};

const START: &str = "2026-08-01T12:00:30Z";

async fn start(options: Options) -> (DemoOrg, OrgClock) {
    let clock = OrgClock::at(time(START));
    let org = DemoOrg::start(Options { clock: clock.clone(), ..options }).await.unwrap();
    (org, clock)
}

fn time(text: &str) -> Timestamp {
    text.replace("+0000", "Z").parse().unwrap()
}

/// A login whose assertion expires by the org's own clock.
async fn login(org: &DemoOrg, clock: &OrgClock) -> String {
    let mut claims = claims(org);
    claims["exp"] = json!(clock.now().as_second() + 120);
    let body: Value = json_of(post_token(org, &sign(&claims)).await).await;
    body["access_token"].as_str().unwrap().to_owned()
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// The records of a query that has one page.
async fn records(org: &DemoOrg, token: &str, soql: &str) -> Vec<Value> {
    let page = json_of(get(org, token, &query_target(soql)).await).await;
    page["records"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
}

async fn all_records(org: &DemoOrg, token: &str, soql: &str) -> Vec<Value> {
    let page = json_of(get(org, token, &query_target(soql).replace("/query?", "/queryAll?")).await).await;
    page["records"].as_array().unwrap().clone()
}

async fn replicated(org: &DemoOrg, token: &str, target: &str, from: &str, to: &str) -> (u16, Value) {
    let target = format!("/services/data/v62.0/sobjects/{target}/?start={from}&end={to}");
    let response = get(org, token, &target).await;
    (response.status().as_u16(), json_of(response).await)
}

fn accounts(org: &DemoOrg, from: usize, count: usize) -> Vec<RecordId> {
    org.data().rows("Account").skip(from).take(count).map(|row| row.id()).collect()
}

fn texts(ids: &[RecordId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn ids_of(records: &[Value], key: &str) -> Vec<String> {
    records.iter().map(|record| record[key].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_orgs_clock_is_what_a_test_sets() {
    let (org, clock) = start(options(10)).await;
    let token = login(&org, &clock).await;
    let response = get(&org, &token, "/services/data/v62.0/limits").await;
    assert_eq!(response.headers()["date"], "Sat, 01 Aug 2026 12:00:30 GMT");
    let created = org.insert("Account", 1);
    let today = "SELECT Id FROM Account WHERE CreatedDate = TODAY";
    assert_eq!(ids_of(&records(&org, &token, today).await, "Id"), texts(&created));
    clock.advance(Duration::from_secs(86_400));
    let response = get(&org, &token, "/services/data/v62.0/limits").await;
    assert_eq!(response.headers()["date"], "Sun, 02 Aug 2026 12:00:30 GMT");
    assert_eq!(records(&org, &token, today).await.len(), 0);
    let mut late = claims(&org);
    late["exp"] = json!(clock.now().as_second() - 200);
    assert_eq!(post_token(&org, &sign(&late)).await.status(), 400);
}

#[tokio::test]
async fn an_org_has_the_id_that_it_is_given() {
    let (org, clock) = start(Options { organization: 7, ..options(10) }).await;
    let token = login(&org, &clock).await;
    let id = org.organization_id();
    assert_eq!(id, "00DDm0000000007MAA");
    assert!(token.starts_with(&id[..15]));
    let soql = "SELECT Id FROM Organization";
    assert_eq!(ids_of(&records(&org, &token, soql).await, "Id"), std::slice::from_ref(&id));
    let info = json_of(get(&org, &token, "/services/oauth2/userinfo").await).await;
    assert_eq!(info["organization_id"], id);
    let user = get(&org, &token, &format!("/id/{id}/{}", org.user_id())).await;
    assert_eq!(json_of(user).await["organization_id"], id);
    // As after the refresh of a sandbox.
    org.become_org(8);
    assert_eq!(get(&org, &token, &query_target(soql)).await.status(), 401);
    let token = login(&org, &clock).await;
    assert_eq!(ids_of(&records(&org, &token, soql).await, "Id"), [org.organization_id()]);
    assert_ne!(org.organization_id(), id);
}

#[tokio::test]
async fn an_update_changes_values_and_stamps_alone() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    let changed = accounts(&org, 3, 1);
    let soql = format!("SELECT FIELDS(ALL) FROM Account WHERE Id = '{}' LIMIT 1", changed[0]);
    let before = records(&org, &token, &soql).await.remove(0);
    for version in 1..3 {
        clock.advance(Duration::from_secs(60));
        org.update(&changed);
        let after = records(&org, &token, &soql).await.remove(0);
        for same in ["Id", "CreatedDate", "CreatedById", "IsDeleted"] {
            assert_eq!(after[same], before[same], "{same}");
        }
        for stamp in ["SystemModstamp", "LastModifiedDate"] {
            assert_eq!(time(after[stamp].as_str().unwrap()), clock.now(), "{stamp}");
        }
        let name = before["Name"].as_str().unwrap();
        assert_eq!(after["Name"], format!("{name} v{version}"));
        let row = org.data().row(&changed[0].to_string()).unwrap();
        assert_eq!(row.value("Name"), Some(Cell::Text(format!("{name} v{version}").into())));
    }
    let bulk = org.bulk_results(&format!("SELECT Name FROM Account WHERE Id = '{}'", changed[0])).unwrap();
    assert!(String::from_utf8(bulk).unwrap().ends_with(" v2\"\n"));
}

#[tokio::test]
async fn a_touch_moves_stamps_and_no_values() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    let soql = "SELECT Id, Name, Rating, OwnerId, AnnualRevenue FROM Account";
    let before = records(&org, &token, soql).await;
    let live: Vec<_> =
        org.data().rows("Account").filter(|row| !row.is_deleted()).map(|row| row.id()).collect();
    org.touch(&live);
    assert_eq!(records(&org, &token, soql).await, before);
    let touched = format!("SELECT Id FROM Account WHERE SystemModstamp = {START}");
    assert_eq!(ids_of(&records(&org, &token, &touched).await, "Id"), texts(&live));
}

#[tokio::test]
async fn a_change_that_is_committed_late_has_an_earlier_stamp() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    let changed = accounts(&org, 0, 3);
    let late = org.begin().update(&changed).insert("Account", 2);
    clock.advance(Duration::from_secs(540));
    let now = "2026-08-01T12:09:30.000+0000";
    org.update(&accounts(&org, 10, 1));
    let soql = format!("SELECT Id, SystemModstamp FROM Account WHERE SystemModstamp >= {START}");
    let seen = records(&org, &token, &soql).await;
    assert_eq!(ids_of(&seen, "SystemModstamp"), [now]);
    let inserted = late.commit();
    let seen = records(&org, &token, &soql).await;
    let start = "2026-08-01T12:00:30.000+0000";
    assert_eq!(ids_of(&seen, "SystemModstamp"), [start, start, start, now, start, start]);
    assert_eq!(ids_of(&seen, "Id")[4..], texts(&inserted));
    drop(org.begin().update(&changed));
    assert_eq!(records(&org, &token, &soql).await, seen);
}

#[tokio::test]
async fn thousands_of_rows_share_a_stamp_and_compare_with_it() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    org.insert("Contact", 3000);
    clock.advance(Duration::from_secs(1));
    org.insert("Contact", 5);
    for (condition, expected) in [
        ("> 2026-08-01T12:00:30Z", 5),
        ("> 2026-08-01T12:00:29Z", 3005),
        (">= 2026-08-01T12:00:30.000Z", 3005),
        ("<= 2026-08-01T12:00:30Z", 3019),
        ("< 2026-08-01T12:00:30Z", 19),
    ] {
        let soql = format!("SELECT count() FROM Contact WHERE SystemModstamp {condition}");
        let page = json_of(get(&org, &token, &query_target(&soql)).await).await;
        assert_eq!(page["totalSize"], expected, "{condition}");
    }
}

#[tokio::test]
async fn rows_go_to_the_recycle_bin_and_come_back() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    let rows = accounts(&org, 0, 2);
    let soql = format!("SELECT Id, IsDeleted, SystemModstamp FROM Account WHERE SystemModstamp >= {START}");
    org.delete(&rows);
    assert_eq!(records(&org, &token, &soql).await.len(), 0);
    let deleted = all_records(&org, &token, &soql).await;
    assert_eq!(ids_of(&deleted, "Id"), texts(&rows));
    assert!(deleted.iter().all(|record| record["IsDeleted"] == true));
    clock.advance(Duration::from_secs(60));
    org.undelete(&rows[..1]);
    org.update(&rows[1..]);
    org.purge(&rows[1..]);
    org.undelete(&rows[1..]);
    let back = all_records(&org, &token, &soql).await;
    assert_eq!(ids_of(&back, "Id"), texts(&rows[..1]));
    assert_eq!(back[0]["IsDeleted"], false);
    assert_eq!(back[0]["SystemModstamp"], "2026-08-01T12:01:30.000+0000");
    assert_eq!(records(&org, &token, &soql).await.len(), 1);
}

#[tokio::test]
async fn an_open_query_keeps_the_rows_that_it_found() {
    let (org, clock) = start(Options { page_size: 4, ..options(20) }).await;
    let token = login(&org, &clock).await;
    // A query whose rows were never changed, and one some of whose rows were.
    for old in [None, Some(accounts(&org, 8, 4))] {
        org.update(old.as_deref().unwrap_or_default());
        let expected: Vec<_> = org.data().rows("Account").filter(|row| !row.is_deleted()).collect();
        let expected: Vec<_> = expected.iter().map(|row| row.value("Name").unwrap()).collect();
        let first = json_of(get(&org, &token, &query_target("SELECT Id, Name FROM Account")).await).await;
        org.update(&accounts(&org, 0, 20));
        org.insert("Account", 1);
        let mut found = first["records"].as_array().unwrap().clone();
        let mut next = first["nextRecordsUrl"].as_str().map(str::to_owned);
        while let Some(target) = next {
            let page = json_of(get(&org, &token, &target).await).await;
            found.extend(page["records"].as_array().unwrap().iter().cloned());
            next = page["nextRecordsUrl"].as_str().map(str::to_owned);
        }
        let found: Vec<_> = ids_of(&found, "Name").into_iter().map(|name| Cell::Text(name.into())).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn inserted_rows_are_rows_like_any_other() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    assert!(org.data().rows("Account").all(|row| row.children("Contacts").len() < 100));
    let inserted = org.insert("Contact", 400);
    let mut related = 0;
    for account in org.data().rows("Account") {
        for child in account.children("Contacts") {
            assert_eq!(child.value("AccountId"), Some(Cell::Id(account.id())));
            related += usize::from(inserted.contains(&child.id()));
        }
    }
    assert!(related > 100, "{related}");
    let soql = format!("SELECT Id, CreatedDate FROM Contact WHERE CreatedDate >= {START}");
    assert_eq!(ids_of(&records(&org, &token, &soql).await, "Id"), texts(&inserted));
    let more = org.insert("Account", 1);
    assert_eq!(org.data().row(&more[0].to_string()).unwrap().children("Contacts").len(), 0);
}

#[tokio::test]
async fn open_transactions_hold_the_log_of_deletes_back() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    let rows = accounts(&org, 0, 2);
    let late = org.begin().delete(&rows[..1]);
    clock.advance(Duration::from_secs(300));
    org.delete(&rows[1..]);
    clock.advance(Duration::from_secs(60));
    let asked = |what| replicated(&org, &token, what, "2026-08-01T11:55:59Z", "2026-08-01T12:30:59Z");
    let (_, during) = asked("Account/deleted").await;
    assert_eq!(ids_of(during["deletedRecords"].as_array().unwrap(), "id"), texts(&rows[1..]));
    assert_eq!(during["latestDateCovered"], "2026-08-01T12:00:00.000+0000");
    late.commit();
    let (_, after) = asked("Account/deleted").await;
    assert_eq!(ids_of(after["deletedRecords"].as_array().unwrap(), "id"), texts(&rows));
    assert_eq!(after["deletedRecords"][0]["deletedDate"], "2026-08-01T12:00:30.000+0000");
    assert_eq!(after["latestDateCovered"], "2026-08-01T12:06:00.000+0000");
    assert_eq!(after["earliestDateAvailable"], "2026-07-17T12:06:00.000+0000");
    // The period ends before the minute that its end is in.
    let (_, before) =
        replicated(&org, &token, "Account/deleted", "2026-08-01T11:55:00Z", "2026-08-01T12:05:59Z").await;
    assert_eq!(ids_of(before["deletedRecords"].as_array().unwrap(), "id"), texts(&rows[..1]));
    let (_, updated) = asked("Account/updated").await;
    assert_eq!(updated["ids"], json!([]));
    org.undelete(&rows[..1]);
    assert_eq!(asked("Account/updated").await.1["ids"], json!(texts(&rows[..1])));
}

#[tokio::test]
async fn a_purged_log_of_deletes_says_from_when_on_it_is_whole() {
    let (org, clock) = start(options(20)).await;
    let token = login(&org, &clock).await;
    org.delete(&accounts(&org, 0, 2));
    clock.advance(Duration::from_secs(60));
    org.purge_delete_log();
    clock.advance(Duration::from_secs(60));
    let later = accounts(&org, 2, 1);
    org.purge(&later);
    let (status, log) =
        replicated(&org, &token, "Account/deleted", "2026-08-01T11:00:00Z", "2026-08-01T12:30:00Z").await;
    assert_eq!(status, 200);
    assert_eq!(ids_of(log["deletedRecords"].as_array().unwrap(), "id"), texts(&later));
    assert_eq!(log["earliestDateAvailable"], "2026-08-01T12:01:30.000+0000");
}

#[tokio::test]
async fn too_many_ids_and_objects_without_a_log_are_refused() {
    let (org, clock) = start(Options { most_ids: 3, ..options(20) }).await;
    let token = login(&org, &clock).await;
    let from_to = ("2026-08-01T11:00:00Z", "2026-08-01T12:30:00Z");
    for (rows, status) in [(3, 200), (4, 400)] {
        org.delete(&accounts(&org, 0, rows));
        let (found, body) = replicated(&org, &token, "Account/deleted", from_to.0, from_to.1).await;
        assert_eq!(found, status, "{body}");
        if status == 400 {
            assert_eq!(body[0]["errorCode"], "EXCEEDED_ID_LIMIT");
        }
    }
    for object in ["Region_Setting__mdt", "AccountHistory", "Profile"] {
        let describe =
            json_of(get(&org, &token, &format!("/services/data/v62.0/sobjects/{object}/describe")).await)
                .await;
        assert_eq!(describe["replicateable"], false, "{object}");
        let (found, body) =
            replicated(&org, &token, &format!("{object}/deleted"), from_to.0, from_to.1).await;
        assert_eq!((found, &body[0]["errorCode"]), (400, &json!("INVALID_TYPE_FOR_OPERATION")), "{object}");
    }
}

//! Clients that no package registry of ours has, played by the requests that they were recorded to send.

use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, Options, Row, Value as Cell};

use super::client::{claims, client, get, options, post_token, sign};

/// A value as it is sent.
fn sent(value: Cell, version: &str) -> Value {
    match value {
        Cell::Null => Value::Null,
        Cell::Bool(truth) => json!(truth),
        Cell::Int(number) => json!(number),
        Cell::Double(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Id(id) => json!(id.to_string()),
        Cell::Date(day) => json!(day.to_string()),
        Cell::Datetime(at) => json!(at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()),
        Cell::Location { latitude, longitude } => json!({"latitude": latitude, "longitude": longitude}),
        Cell::Address(at) => json!({
            "city": at.city, "country": at.country, "geocodeAccuracy": at.geocode_accuracy,
            "latitude": at.latitude, "longitude": at.longitude, "postalCode": at.postal_code,
            "state": at.state, "street": at.street,
        }),
        Cell::Blob(id, field) => json!(format!("/services/data/v{version}/sobjects/Attachment/{id}/{field}")),
    }
}

/// Whether a value is the one that is expected. The JSON reader of these tests may be off by the last digit of a double;
/// how doubles are written has tests of its own.
fn is_same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            found == expected || ((found - expected) / expected).abs() < 1e-15
        }
        _ => found == expected,
    }
}

async fn json_of(response: reqwest::Response) -> Value {
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Every record of a query, whose text the client repeats behind each further page's URL if so told.
async fn records(org: &DemoOrg, token: &str, target: &str, repeated: bool) -> Vec<Value> {
    let (path, query) = target.split_once('?').unwrap();
    let (mut records, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let target = if path.contains("/query/0r8") && !repeated { path } else { format!("{path}?{query}") };
        let page = json_of(get(org, token, &target).await).await;
        records.extend(page["records"].as_array().unwrap().iter().cloned());
        next = page["nextRecordsUrl"].as_str().map(str::to_owned);
        assert_eq!(page["done"], next.is_none());
    }
    records
}

/// MeltanoLabs' tap-salesforce: a refresh token, describes in batches of 25, then queryAll of every field with a lower
/// bound.
#[tokio::test]
async fn a_tap_that_describes_in_batches_reads_every_row() {
    let org = DemoOrg::start(Options { page_size: 200, ..options(700) }).await.unwrap();
    let form =
        "grant_type=refresh_token&client_id=3MVG9demo&client_secret=any&refresh_token=5Aep861.the.demo.org";
    let login = client().post(format!("{}/services/oauth2/token", org.url()));
    let login = login.header("Content-Type", "application/x-www-form-urlencoded").body(form);
    let login = json_of(login.send().await.unwrap()).await;
    let token = login["access_token"].as_str().unwrap();
    assert_eq!(login["instance_url"], org.url());

    let list = json_of(get(&org, token, "/services/data/v60.0/sobjects").await).await;
    let names: Vec<&str> =
        list["sobjects"].as_array().unwrap().iter().map(|object| object["name"].as_str().unwrap()).collect();
    assert!(names.len() > 25);
    let mut described = Vec::new();
    for batch in names.chunks(25) {
        let describe = |name: &&str| json!({"method": "GET", "url": format!("/services/data/v60.0/sobjects/{name}/describe")});
        let batch = json!({"batchRequests": batch.iter().map(describe).collect::<Vec<_>>()});
        let post = client().post(format!("{}/services/data/v60.0/composite/batch", org.url()));
        let post = post.header("Authorization", format!("Bearer {token}")).body(batch.to_string());
        let answer = json_of(post.send().await.unwrap()).await;
        assert_eq!(answer["hasErrors"], false);
        described.extend(answer["results"].as_array().unwrap().iter().map(|one| one["result"].clone()));
    }
    assert!(described.iter().map(|object| object["name"].as_str().unwrap()).eq(names.iter().copied()));

    for object in ["Account", "Contact", "Opportunity", "Attachment", "Warehouse__c"] {
        let fields = described.iter().find(|described| described["name"] == object).unwrap();
        let fields = fields["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap());
        let fields: Vec<&str> = fields.collect();
        let soql = format!(
            "SELECT {} FROM {object} WHERE SystemModstamp >= 2022-01-01T00:00:00+00:00  ORDER BY SystemModstamp ASC",
            fields.join(",")
        );
        let encoded = percent_encoding::utf8_percent_encode(&soql, percent_encoding::NON_ALPHANUMERIC);
        let found = records(&org, token, &format!("/services/data/v60.0/queryAll?q={encoded}"), true).await;
        let stamp = |row: &Row<'_>| match row.value("SystemModstamp").unwrap() {
            Cell::Datetime(at) => at,
            other => panic!("{other:?}"),
        };
        let since = "2022-01-01T00:00:00Z".parse().unwrap();
        let mut rows: Vec<_> = org.data().rows(object).filter(|row| stamp(row) >= since).collect();
        rows.sort_by_key(stamp);
        assert!(!rows.is_empty());
        assert_eq!(found.len(), rows.len(), "{object}");
        for (record, row) in found.iter().zip(rows) {
            for field in &fields {
                let expected = sent(row.value(field).unwrap(), "60.0");
                assert!(
                    is_same(&record[field], &expected),
                    "{field} of {row:?}: {} {expected}",
                    record[field]
                );
            }
        }
    }
}

/// force, Heroku's command line in Go: the token URL as the audience, userinfo, then a query and its pages.
#[tokio::test]
async fn a_tool_that_signs_for_the_token_url_reads_every_row() {
    let org = DemoOrg::start(Options { page_size: 200, ..options(700) }).await.unwrap();
    let mut claims = claims(&org);
    claims["aud"] = json!(format!("{}/services/oauth2/token", org.url()));
    let login = json_of(post_token(&org, &sign(&claims)).await).await;
    let token = login["access_token"].as_str().unwrap();
    let user = json_of(get(&org, token, "/services/oauth2/userinfo").await).await;
    assert_eq!(user["user_id"], org.user_id());
    assert_eq!(user["organization_id"], org.organization_id());
    let target = "/services/data/v55.0/query?q=SELECT+Id%2C+Name%2C+Score__c%2C+CreatedDate+FROM+Account";
    let found = records(&org, token, target, false).await;
    let rows: Vec<_> = org.data().rows("Account").filter(|row| !row.is_deleted()).collect();
    assert_eq!(found.len(), rows.len());
    for (record, row) in found.iter().zip(rows) {
        for field in ["Id", "Name", "Score__c", "CreatedDate"] {
            let expected = sent(row.value(field).unwrap(), "55.0");
            let found = &record[field];
            assert!(is_same(found, &expected), "{field} of {row:?}: {found} {expected}");
        }
    }
}

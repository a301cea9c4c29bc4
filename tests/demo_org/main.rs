//! The embedded org, seen by a plain HTTP client: what a real org would say, written by hand.

#![cfg(feature = "demo-org")]
#![expect(clippy::unwrap_used, reason = "a test's functions fail by panicking")]

mod bulk;
mod bulk_clients;
mod bulk_faults;
mod catalog;
mod client;
mod conversations;
mod living;
mod odd;
mod script;
mod services;

use std::io::Read as _;
use std::time::{Duration, Instant};

use client::{
    claims, client, every_id, every_id_after, get, ids, login, now, options, post_token, query, query_target,
    sign,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, Options, Row, Value as Cell};

#[tokio::test]
async fn a_login_is_answered_as_the_jwt_bearer_flow_is() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let answer = post_token(&org, &sign(&claims(&org))).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json;charset=UTF-8");
    assert!(!answer.headers().contains_key("sforce-limit-info"));
    let body = answer.text().await.unwrap();
    assert!(body.starts_with("{\"access_token\":\"00D"), "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["instance_url"], org.url());
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["id"], format!("{}/id/{}/{}", org.url(), org.organization_id(), org.user_id()));
    let token = body["access_token"].as_str().unwrap();
    assert!(token.len() > 100 && token.as_bytes()[15] == b'!');
}

#[tokio::test]
async fn each_refusal_of_a_login_has_its_own_pair() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let with = |key: &str, value: Value| {
        let mut claims = claims(&org);
        claims[key] = value;
        sign(&claims)
    };
    let mut forged = sign(&claims(&org));
    let flipped = if forged.pop() == Some('A') { 'w' } else { 'A' };
    forged.insert(forged.len() - 8, flipped);
    let hmac =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(&org), &EncodingKey::from_secret(b"x"))
            .unwrap();
    for (assertion, error, description) in [
        (with("iss", json!("3MVG9other")), "invalid_client_id", "client identifier invalid"),
        (with("aud", json!("https://example.com")), "invalid_grant", "audience is invalid"),
        (with("exp", json!(now() - 600)), "invalid_grant", "expired authorization code"),
        (with("sub", json!("nobody@example.com")), "invalid_grant", "user hasn't approved this consumer"),
        (forged, "invalid_grant", "invalid assertion"),
        (hmac, "invalid_grant", "invalid assertion"),
        ("no.jwt.atall".to_owned(), "invalid_grant", "invalid assertion"),
    ] {
        let answer = post_token(&org, &assertion).await;
        assert_eq!(answer.status(), 400);
        let body = answer.text().await.unwrap();
        assert_eq!(body, format!("{{\"error\":\"{error}\",\"error_description\":\"{description}\"}}"));
    }
    // What real clients send and the real service takes: text, milliseconds, a slash, the login hosts.
    for assertion in [
        with("exp", json!((now() + 100).to_string())),
        with("exp", json!((now() + 300) * 1000)),
        with("aud", json!("https://login.salesforce.com/")),
        with("aud", json!("https://test.salesforce.com")),
    ] {
        assert_eq!(post_token(&org, &assertion).await.status(), 200);
    }
    let unencoded = client()
        .post(format!("{}/services/oauth2/token", org.url()))
        .header("Content-Type", "application/json")
        .body(json!({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(unencoded.status(), 400);
    assert_eq!(
        unencoded.text().await.unwrap(),
        r#"{"error":"unsupported_grant_type","error_description":"grant type not supported"}"#
    );
}

#[tokio::test]
async fn a_first_record_is_what_the_data_set_says() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let (status, body) = query(&org, "select id, name, owner.name from account limit 1").await;
    assert_eq!(status, 200);
    let owner = org.data().rows("Account").next().unwrap().parent("Owner").unwrap();
    let (id, name) = (owner.id(), owner.value("Name").unwrap());
    assert_eq!(
        body,
        format!(
            "{{\"totalSize\":1,\"done\":true,\"records\":[{{\"attributes\":{{\"type\":\"Account\",\"url\":\
             \"/services/data/v62.0/sobjects/Account/001Dm0000000000IAA\"}},\"Id\":\"001Dm0000000000IAA\",\
             \"Name\":\"plain text 0\",\"Owner\":{{\"attributes\":{{\"type\":\"User\",\"url\":\
             \"/services/data/v62.0/sobjects/User/{id}\"}},\"Name\":\"{}\"}}}}]}}",
            name.as_str().unwrap()
        )
    );
}

#[tokio::test]
async fn pages_follow_one_another_to_the_last_record() {
    let org = DemoOrg::start(Options { page_size: 100, ..options(450) }).await.unwrap();
    let token = login(&org).await;
    let (found, sizes) = every_id(&org, &token, &query_target("SELECT Id FROM Account")).await;
    assert_eq!(found, ids(&org, "Account", |row| !row.is_deleted()));
    assert_eq!(sizes, [100, 100, 100, 100, 45]);
    let all = query_target("SELECT Id, IsDeleted FROM Account").replace("/query?", "/queryAll/?");
    let first = get(&org, &token, &all).await.text().await.unwrap();
    assert!(
        first
            .starts_with(r#"{"totalSize":450,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/0r8"#),
        "{first:.120}"
    );
    let (found, _) = every_id(&org, &token, &all).await;
    assert_eq!(found, ids(&org, "Account", |_| true));
    // Both endpoints know the locator, and a page can be had again.
    let next = serde_json::from_str::<Value>(&first).unwrap()["nextRecordsUrl"].as_str().unwrap().to_owned();
    assert!(next.ends_with("-100"));
    let once = get(&org, &token, &next).await.text().await.unwrap();
    let again = get(&org, &token, &next.replace("/query/", "/queryAll/")).await.text().await.unwrap();
    assert_eq!(once, again);
    let lost = get(&org, &token, "/services/data/v62.0/query/0r8000000000000AAA-2000").await;
    assert_eq!(lost.status(), 400);
    assert_eq!(
        lost.text().await.unwrap(),
        r#"[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]"#
    );
}

#[tokio::test]
async fn page_sizes_are_clamped_and_shrink_by_themselves() {
    let org = DemoOrg::start(options(2600)).await.unwrap();
    let token = login(&org).await;
    for (soql, asked, expected) in [
        ("SELECT Id FROM Account", None, 2000),
        ("SELECT Id FROM Account", Some("batchSize=50"), 200),
        ("SELECT Id FROM Account", Some("batchSize=700"), 700),
        ("SELECT Id FROM Account", Some("batchSize=9000"), 2000),
        ("SELECT Id, Description FROM Account", None, 1000),
        ("SELECT Id, Remarks__c FROM Account", None, 2000),
        ("SELECT Id, Remarks__c, History__c FROM Account", None, 200),
    ] {
        let mut request = client()
            .get(format!("{}{}", org.url(), query_target(soql)))
            .header("Authorization", format!("OAuth {token}"));
        if let Some(asked) = asked {
            request = request.header("Sforce-Query-Options", asked);
        }
        let page: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(page["records"].as_array().unwrap().len(), expected, "{soql} {asked:?}");
    }
}

#[tokio::test]
async fn headers_are_the_services_and_gzip_only_on_request() {
    let org = DemoOrg::start(options(50)).await.unwrap();
    let token = login(&org).await;
    let target = query_target("SELECT Id, Name, Site FROM Account");
    let plain = get(&org, &token, &target).await;
    let headers = plain.headers().clone();
    assert_eq!(headers["content-type"], "application/json;charset=UTF-8");
    assert_eq!(headers["transfer-encoding"], "chunked");
    assert_eq!(headers["vary"], "Accept-Encoding");
    assert_eq!(headers["sforce-limit-info"], "api-usage=19/15000");
    assert_eq!(headers["x-request-id"], headers["x-sfdc-request-id"]);
    assert_eq!(headers["x-request-id"].len(), 32);
    assert_eq!(headers.get_all("set-cookie").iter().count(), 3);
    assert!(!headers.contains_key("content-encoding"));
    let plain = plain.bytes().await.unwrap();
    let packed = client()
        .get(format!("{}{target}", org.url()))
        .header("Authorization", format!("Bearer {token}"))
        .header("Accept-Encoding", "br, gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["sforce-limit-info"], "api-usage=20/15000");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.bytes().await.unwrap().as_ref()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain);

    let refused = get(&org, "nonsense", &target).await;
    assert_eq!(refused.status(), 401);
    assert!(!refused.headers().contains_key("sforce-limit-info"));
    assert_eq!(refused.headers()["www-authenticate"], "Token");
    assert_eq!(
        refused.text().await.unwrap(),
        r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#
    );
    let versions = client().get(format!("{}/services/data", org.url())).send().await.unwrap();
    assert!(!versions.headers().contains_key("sforce-limit-info"));
    let versions = versions.text().await.unwrap();
    assert!(
        versions.starts_with(r#"[{"label":"Summer '14","url":"/services/data/v31.0","version":"31.0"},"#)
    );
    assert!(versions.ends_with(r#"{"label":"Spring '26","url":"/services/data/v66.0","version":"66.0"}]"#));
}

#[tokio::test]
async fn envelopes_have_their_keys_in_order_and_a_pretty_form() {
    let org = DemoOrg::start(options(20)).await.unwrap();
    for (soql, expected) in [
        ("SELECT Id FROM Account WHERE Name = 'nobody'", r#"{"totalSize":0,"done":true,"records":[]}"#),
        ("SELECT COUNT() FROM User", r#"{"totalSize":25,"done":true,"records":[]}"#),
        ("SELECT COUNT() FROM User LIMIT 7", r#"{"totalSize":7,"done":true,"records":[]}"#),
        (
            "SELECT COUNT(Id) FROM User",
            r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"AggregateResult"},"expr0":25}]}"#,
        ),
        (
            "SELECT COUNT(Id) n, SUM(Amount), MAX(Name) FROM Opportunity WHERE Id = null",
            r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"AggregateResult"},"n":0,"expr0":null,"expr1":null}]}"#,
        ),
    ] {
        assert_eq!(query(&org, soql).await, (200, expected.to_owned()));
    }
    let token = login(&org).await;
    let pretty = client()
        .get(format!("{}{}", org.url(), query_target("SELECT COUNT(Id) FROM User")))
        .header("Authorization", format!("Bearer {token}"))
        .header("X-PrettyPrint", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(
        pretty.text().await.unwrap(),
        "{\n  \"totalSize\" : 1,\n  \"done\" : true,\n  \"records\" : [ {\n    \"attributes\" : {\n      \"type\" : \
         \"AggregateResult\"\n    },\n    \"expr0\" : 25\n  } ]\n}"
    );
}

#[tokio::test]
async fn numbers_dates_and_texts_have_javas_and_salesforces_forms() {
    let org = DemoOrg::start(options(3000)).await.unwrap();
    for (literal, form) in [
        ("16147805824397", "1.6147805824397E13"),
        ("0.00001", "1.0E-5"),
        ("9.99E20", "9.99E20"),
        ("0.1", "0.1"),
        ("0.001", "0.001"),
        ("10000000", "1.0E7"),
        ("-123456789.125", "-1.23456789125E8"),
        ("4.9E-324", "4.9E-324"),
        ("1.7976931348623157E308", "1.7976931348623157E308"),
    ] {
        let (_, body) =
            query(&org, &format!("SELECT Score__c FROM Account WHERE Score__c = {literal} LIMIT 1")).await;
        assert!(body.ends_with(&format!("\"Score__c\":{form}}}]}}")), "{body}");
    }
    // 0 equals -0, and each keeps its sign.
    let (_, body) = query(&org, "SELECT Score__c FROM Account WHERE Score__c = 0 LIMIT 1").await;
    assert!(body.ends_with("\"Score__c\":-0.0}]}"), "{body}");
    let (_, body) = query(&org, "SELECT AnnualRevenue, NumberOfEmployees FROM Account WHERE AnnualRevenue = 139000000 AND NumberOfEmployees = 99999999 LIMIT 1").await;
    assert!(
        body.ends_with("\"AnnualRevenue\":1.39E8,\"NumberOfEmployees\":99999999}]}")
            || body.contains("\"totalSize\":0"),
        "{body}"
    );
    let nul = org
        .data()
        .rows("Account")
        .find(|row| row.value("Site").unwrap().as_str() == Some("nul\0inside"))
        .unwrap();
    let (_, body) = query(
        &org,
        &format!("SELECT Site, CreatedDate, IsDeleted, Type FROM Account WHERE Id = '{}'", nul.id()),
    )
    .await;
    assert!(body.contains("\"Site\":\"nul\\u0000inside\",\"CreatedDate\":\"20"), "{body}");
    let stamp = body.split("\"CreatedDate\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(stamp.len(), 28);
    assert!(stamp.ends_with(".000+0000"));
    let warehouse =
        query(&org, "SELECT Location__c FROM Warehouse__c WHERE Location__Latitude__s = 37.79302 LIMIT 1")
            .await
            .1;
    assert!(
        warehouse.ends_with(r#""Location__c":{"latitude":37.79302,"longitude":-122.394507}}]}"#),
        "{warehouse}"
    );
    let nowhere = query(&org, "SELECT BillingAddress FROM Account WHERE BillingCity = null LIMIT 1").await.1;
    assert!(
        nowhere.ends_with(
            r#""BillingAddress":{"city":null,"country":null,"geocodeAccuracy":null,"latitude":null,"longitude":null,"postalCode":null,"state":null,"street":null}}]}"#
        ),
        "{nowhere}"
    );
    let blob = query(&org, "SELECT Body FROM Attachment LIMIT 1").await.1;
    assert!(
        blob.ends_with(r#""Body":"/services/data/v62.0/sobjects/Attachment/00PDm0000000000MAA/Body"}]}"#),
        "{blob}"
    );
}

#[tokio::test]
async fn parents_nest_where_first_named_and_are_null_if_unseen() {
    let org = DemoOrg::start(options(300)).await.unwrap();
    let (_, body) = query(&org, "SELECT account.name, Id, ACCOUNT.OWNER.USERNAME, c.Account.Id FROM Contact c, c.Account a WHERE a.Name != null LIMIT 1").await;
    let record = body.split("\"records\":[").nth(1).unwrap();
    let places: Vec<usize> =
        ["\"Account\":{\"attributes\"", "\"Name\":", "\"Owner\":{", "\"Username\":", "\"},\"Id\":\"003"]
            .iter()
            .map(|text| record.find(text).unwrap_or_else(|| panic!("{text} in {record}")))
            .collect();
    // `Account.Id` was named last, and stands in the one object all the same, behind Owner.
    assert!(places[0] < places[1] && places[1] < places[2] && places[2] < places[3], "{record}");
    assert!(record.contains("},\"Id\":\"001") && record.matches("\"Account\":").count() == 1, "{record}");
    let (_, body) = query(&org, "SELECT ProfileId, Profile.Name FROM User LIMIT 1").await;
    assert!(body.ends_with(r#","Name":"Integration"}}]}"#), "{body}");
    let hidden = org.data().rows("Account").find(|row| {
        !row.is_deleted() && !row.value("ParentId").unwrap().is_null() && row.parent("Parent").is_none()
    });
    let (_, body) =
        query(&org, &format!("SELECT Parent.Name FROM Account WHERE Id = '{}'", hidden.unwrap().id())).await;
    assert!(body.ends_with("\"Parent\":null}]}"), "{body}");
}

#[tokio::test]
async fn child_queries_nest_and_have_locators_of_their_own() {
    let org = DemoOrg::start(options(3000)).await.unwrap();
    let token = login(&org).await;
    let target = query_target("SELECT Id, (SELECT Id FROM Contacts) FROM Account");
    let first: Value = serde_json::from_str(&get(&org, &token, &target).await.text().await.unwrap()).unwrap();
    let records = first["records"].as_array().unwrap();
    let mut children = 0;
    for record in records {
        let row = org.data().row(record["Id"].as_str().unwrap()).unwrap();
        let expected: Vec<String> = row
            .children("Contacts")
            .into_iter()
            .filter(|row| !row.is_deleted())
            .map(|row| row.id().to_string())
            .collect();
        let contacts = &record["Contacts"];
        if expected.is_empty() {
            assert!(contacts.is_null());
            continue;
        }
        assert_eq!(contacts["totalSize"].as_u64().unwrap() as usize, expected.len());
        let mut found: Vec<String> = contacts["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|child| child["Id"].as_str().unwrap().to_owned())
            .collect();
        children += found.len();
        if let Some(next) = contacts["nextRecordsUrl"].as_str() {
            assert_eq!((found.len(), &contacts["done"]), (2000, &json!(false)));
            found.extend(every_id_after(&org, &token, next).await);
        }
        assert_eq!(found, expected);
    }
    // The big family alone fills a page.
    assert!(children >= 2000 && records.len() < 10, "{children} {}", records.len());
    let (found, sizes) = every_id(&org, &token, &target).await;
    assert_eq!(found, ids(&org, "Account", |row| !row.is_deleted()));
    assert!(sizes.len() > 2);
    let deep = "SELECT Id, (SELECT Id, (SELECT Id, (SELECT Id, (SELECT Id FROM Contacts) FROM ChildAccounts) FROM ChildAccounts) FROM ChildAccounts) FROM Account LIMIT 5";
    assert_eq!(query(&org, deep).await.0, 200);
    let deeper =
        deep.replace("(SELECT Id FROM Contacts)", "(SELECT Id, (SELECT Id FROM Tasks) FROM Contacts)");
    assert_eq!(query(&org, &deeper).await.0, 400);
}

#[tokio::test]
async fn where_finds_the_rows_that_the_data_set_has() {
    let org = DemoOrg::start(options(700)).await.unwrap();
    let token = login(&org).await;
    fn text(row: &Row<'_>, field: &str) -> Option<String> {
        row.value(field).unwrap().as_str().map(str::to_owned)
    }
    fn number(row: &Row<'_>, field: &str) -> Option<f64> {
        match row.value(field).unwrap() {
            Cell::Double(number) => Some(number),
            Cell::Int(number) => Some(number as f64),
            _ => None,
        }
    }
    fn day(row: &Row<'_>, field: &str) -> Option<String> {
        match row.value(field).unwrap() {
            Cell::Date(day) => Some(day.to_string()),
            Cell::Datetime(timestamp) => Some(timestamp.to_string()),
            _ => None,
        }
    }
    fn owner(row: &Row<'_>) -> Option<String> {
        row.parent("Owner").and_then(|owner| text(&owner, "Name"))
    }
    type Wanted = fn(&Row<'_>) -> bool;
    let cases: [(&str, Wanted); 29] = [
        ("Industry = 'BANKING'", |row| text(row, "Industry").as_deref() == Some("Banking")),
        ("Industry != 'Banking'", |row| text(row, "Industry").as_deref() != Some("Banking")),
        ("Industry = null", |row| text(row, "Industry").is_none()),
        ("Industry IN ('Banking', 'Energy')", |row| {
            text(row, "Industry").is_some_and(|text| text == "Banking" || text == "Energy")
        }),
        ("NOT Industry IN ('Banking')", |row| text(row, "Industry").as_deref() != Some("Banking")),
        ("Industry NOT IN ('Banking')", |row| text(row, "Industry").as_deref() != Some("Banking")),
        ("Name LIKE 'plain%'", |row| text(row, "Name").unwrap().starts_with("plain")),
        (r"Name LIKE '100 \% %'", |row| text(row, "Name").unwrap().starts_with("100 % ")),
        ("Name LIKE '%T_XT%'", |row| text(row, "Name").unwrap().to_lowercase().contains("text")),
        (r"Site = 'O\'Neil \\ backslash \\n'", |row| {
            text(row, "Site").as_deref() == Some("O'Neil \\ backslash \\n")
        }),
        (r"Site = 'first line\r\nsecond line\r\n'", |row| {
            text(row, "Site").as_deref() == Some("first line\r\nsecond line\r\n")
        }),
        (r"Site = '\u65e5本語のテキスト'", |row| {
            text(row, "Site").as_deref() == Some("日本語のテキスト")
        }),
        ("AnnualRevenue > 1e7", |row| number(row, "AnnualRevenue").is_some_and(|n| n > 1e7)),
        ("AnnualRevenue <= USD5000", |row| number(row, "AnnualRevenue").is_some_and(|n| n <= 5000.0)),
        ("NumberOfEmployees = -1 OR NumberOfEmployees = 0", |row| {
            number(row, "NumberOfEmployees").is_some_and(|n| n == -1.0 || n == 0.0)
        }),
        ("Active__c = TRUE AND (Rating = 'Hot' OR Rating = 'Cold')", |row| {
            row.value("Active__c").unwrap() == Cell::Bool(true)
                && text(row, "Rating").is_some_and(|rating| rating != "Warm")
        }),
        ("NOT (Active__c = TRUE AND Rating = 'Hot')", |row| {
            row.value("Active__c").unwrap() != Cell::Bool(true)
                || text(row, "Rating").as_deref() != Some("Hot")
        }),
        ("FoundedOn__c < 2024-02-29", |row| day(row, "FoundedOn__c").is_some_and(|day| *day < *"2024-02-29")),
        ("FoundedOn__c = LAST_N_DAYS:200", |row| {
            day(row, "FoundedOn__c").is_some_and(|day| ("2025-08-24".."2026-03-13").contains(&day.as_str()))
        }),
        ("FoundedOn__c = LAST_N_DAYS : 200", |row| {
            day(row, "FoundedOn__c").is_some_and(|day| ("2025-08-24".."2026-03-13").contains(&day.as_str()))
        }),
        // Weeks begin on Sunday: the next two are 15 to 28 March 2026.
        ("FoundedOn__c < NEXT_N_WEEKS :2", |row| {
            day(row, "FoundedOn__c").is_some_and(|day| *day < *"2026-03-15")
        }),
        ("NumberOfEmployees > - 1", |row| number(row, "NumberOfEmployees").is_some_and(|n| n > -1.0)),
        ("FoundedOn__c = THIS_YEAR", |row| {
            day(row, "FoundedOn__c").is_some_and(|day| day.starts_with("2026"))
        }),
        ("CreatedDate >= 2023-01-01T01:00:00+01:00", |row| {
            day(row, "CreatedDate").is_some_and(|day| *day >= *"2023-01-01T00:00:00Z")
        }),
        ("CALENDAR_YEAR(CreatedDate) = 2022", |row| day(row, "CreatedDate").unwrap().starts_with("2022")),
        ("Segments__c INCLUDES ('Retail;Wholesale', 'Public Sector')", |row| {
            text(row, "Segments__c").is_some_and(|text| {
                text.contains("Public Sector") || (text.contains("Retail") && text.contains("Wholesale"))
            })
        }),
        ("Segments__c EXCLUDES ('Retail')", |row| {
            !text(row, "Segments__c").is_some_and(|text| text.contains("Retail"))
        }),
        ("Owner.Name LIKE '%er%'", |row| owner(row).is_some_and(|name| name.to_lowercase().contains("er"))),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Rossi')", |row| {
            row.children("Contacts")
                .iter()
                .any(|contact| !contact.is_deleted() && text(contact, "LastName").as_deref() == Some("Rossi"))
        }),
    ];
    for (condition, wanted) in cases {
        let target = query_target(&format!("SELECT Id FROM Account WHERE {condition}"));
        let answer = get(&org, &token, &target).await;
        assert_eq!(answer.status(), 200, "{condition}: {}", answer.text().await.unwrap());
        let (found, _) = every_id(&org, &token, &target).await;
        let expected = ids(&org, "Account", |row| !row.is_deleted() && wanted(row));
        assert!(
            !expected.is_empty() && expected.len() < 693,
            "{condition} tells nothing: {}",
            expected.len()
        );
        assert_eq!(found, expected, "{condition}");
    }
}

#[tokio::test]
async fn order_limit_and_offset_pick_the_rows() {
    let org = DemoOrg::start(options(200)).await.unwrap();
    let token = login(&org).await;
    let mut rows: Vec<Row<'_>> = org.data().rows("Contact").filter(|row| !row.is_deleted()).collect();
    let key = |row: &Row<'_>| row.value("Title").unwrap().as_str().map(str::to_lowercase);
    // Nulls first, whatever the direction, unless the query says otherwise; ties by Id here.
    rows.sort_by(|a, b| match (key(a), key(b)) {
        (None, None) => a.id().cmp(&b.id()),
        (None, _) => std::cmp::Ordering::Greater,
        (_, None) => std::cmp::Ordering::Less,
        (Some(x), Some(y)) => y.cmp(&x).then(a.id().cmp(&b.id())),
    });
    let expected: Vec<String> = rows.iter().map(|row| row.id().to_string()).skip(7).take(50).collect();
    let soql = "SELECT Id FROM Contact ORDER BY Title DESC NULLS LAST, Id LIMIT 50 OFFSET 7";
    assert_eq!(every_id(&org, &token, &query_target(soql)).await.0, expected);
    let (_, body) = query(&org, "SELECT Title FROM Contact ORDER BY Title LIMIT 1").await;
    assert!(body.ends_with("\"Title\":null}]}"), "{body}");
}

#[tokio::test]
async fn groups_count_what_the_data_set_holds() {
    let org = DemoOrg::start(options(600)).await.unwrap();
    let hot = org
        .data()
        .rows("Account")
        .filter(|row| !row.is_deleted() && row.value("Rating").unwrap().as_str() == Some("Hot"));
    let hot = hot.count();
    let (_, body) = query(&org, "SELECT rating, COUNT(Id) n, COUNT_DISTINCT(Industry) FROM Account GROUP BY Rating HAVING COUNT(Id) > 0 ORDER BY Rating DESC NULLS LAST").await;
    assert!(body.starts_with(r#"{"totalSize":4,"done":true,"records":[{"attributes":{"type":"AggregateResult"},"Rating":"Warm","n":"#), "{body}");
    assert!(body.contains(&format!(r#""Rating":"Hot","n":{hot},"expr0":8"#)), "{body}");
    let (_, body) =
        query(&org, "SELECT Rating r, GROUPING(Rating) g, COUNT(Id) FROM Account GROUP BY ROLLUP(Rating)")
            .await;
    let live = org.data().rows("Account").filter(|row| !row.is_deleted()).count();
    assert!(body.ends_with(&format!(r#""r":null,"g":1,"expr0":{live}}}]}}"#)), "{body}");
    let (_, body) = query(&org, "SELECT Account.Industry, COUNT(Id) FROM Contact GROUP BY Account.Industry ORDER BY COUNT(Id) DESC LIMIT 1").await;
    assert!(body.contains(r#"{"type":"AggregateResult"},"Industry":"#), "{body}");
    let (_, body) = query(&org, "SELECT CALENDAR_YEAR(CloseDate), AVG(Amount), MIN(CloseDate) FROM Opportunity GROUP BY CALENDAR_YEAR(CloseDate) ORDER BY CALENDAR_YEAR(CloseDate) LIMIT 1").await;
    assert!(body.contains(r#""expr0":20"#) && body.contains(r#""expr2":"20"#), "{body}");
    let big = DemoOrg::start(options(2100)).await.unwrap();
    let (status, body) = query(&big, "SELECT Name, COUNT(Id) FROM Account GROUP BY Name").await;
    assert_eq!(status, 400);
    assert!(body.contains("\"errorCode\":\"EXCEEDED_ID_LIMIT\""), "{body}");
}

#[tokio::test]
async fn type_of_fields_and_display_functions_give_their_own_shapes() {
    let org = DemoOrg::start(options(400)).await.unwrap();
    let soql = "SELECT TYPEOF What WHEN Account THEN Phone, Owner.Name ELSE Name END FROM Task WHERE WhatId != null LIMIT 60";
    let (_, body) = query(&org, soql).await;
    let page: Value = serde_json::from_str(&body).unwrap();
    let mut kinds = std::collections::BTreeMap::new();
    for record in page["records"].as_array().unwrap() {
        let what = record["What"].as_object().unwrap();
        let keys: Vec<&str> = what.keys().map(String::as_str).collect();
        *kinds.entry(format!("{} {keys:?}", what["attributes"]["type"])).or_insert(0) += 1;
    }
    let kinds: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [r#""Account" ["Owner", "Phone", "attributes"]"#, r#""Opportunity" ["Name", "attributes"]"#]
    );
    let (_, body) =
        query(&org, "SELECT What.Type, Who.Name FROM Task WHERE What.Type = 'Opportunity' LIMIT 1").await;
    assert!(body.contains(r#""What":{"attributes":{"type":"Opportunity","url":"#), "{body}");
    let (_, body) = query(&org, "SELECT FIELDS(CUSTOM) FROM Warehouse__c LIMIT 1").await;
    assert!(
        body.contains(r#""},"Account__c":"#)
            && body.contains(r#","Features__c":"#)
            && !body.contains("\"Name\""),
        "{body}"
    );
    let (_, body) = query(&org, "SELECT toLabel(StageName), FORMAT(Amount) shown, convertCurrency(Amount) FROM Opportunity WHERE Amount = 0 LIMIT 1").await;
    assert!(body.contains(r#""shown":"$0.00","Amount":0.0}"#), "{body}");
}

#[tokio::test]
async fn an_alias_on_a_parents_field_stands_inside_the_parent() {
    let org = DemoOrg::start(options(400)).await.unwrap();
    let soql = "SELECT Id, toLabel(Account.Rating) shown, FORMAT(Account.AnnualRevenue) money, Account.Name, \
                FORMAT(Birthdate) born FROM Contact WHERE Account.AnnualRevenue = 0 AND Account.Rating = 'Hot' \
                AND Birthdate = 1969-12-31 LIMIT 1";
    let contact = org.data().rows("Contact").find(|row| {
        let account = row.parent("Account");
        let is = |field, value: Cell| account.is_some_and(|account| account.value(field) == Some(value));
        !row.is_deleted() && is("AnnualRevenue", Cell::Double(0.0)) && is("Rating", "Hot".into())
    });
    let contact = contact.unwrap();
    let soql = soql.replace(" AND Birthdate = 1969-12-31", &format!(" AND Id = '{}'", contact.id()));
    let (_, body) = query(&org, &soql).await;
    let account = contact.parent("Account").unwrap();
    let name = json!(account.value("Name").unwrap().as_str().unwrap());
    let id = account.id();
    let expected = format!(
        r#""Account":{{"attributes":{{"type":"Account","url":"/services/data/v62.0/sobjects/Account/{id}"}},"shown":"Hot","money":"$0.00","Name":{name}}},"born":"#
    );
    assert!(body.contains(&expected), "{body}\n{expected}");
    // In a grouped query the alias stands alone.
    let (_, body) =
        query(&org, "SELECT Account.Rating r, COUNT(Id) n FROM Contact GROUP BY Account.Rating LIMIT 1")
            .await;
    assert!(body.contains(r#"{"type":"AggregateResult"},"r":"#), "{body}");
    // A parent that is not there takes its aliases with it.
    let orphan = org.data().rows("Contact").find(|row| !row.is_deleted() && row.parent("Account").is_none());
    let soql =
        format!("SELECT FORMAT(Account.AnnualRevenue) m FROM Contact WHERE Id = '{}'", orphan.unwrap().id());
    let (_, body) = query(&org, &soql).await;
    assert!(body.ends_with(r#","Account":null}]}"#), "{body}");
}

#[tokio::test]
async fn a_child_query_may_name_its_own_object() {
    let org = DemoOrg::start(options(400)).await.unwrap();
    let token = login(&org).await;
    let page = async |soql: &str| get(&org, &token, &query_target(soql)).await.text().await.unwrap();
    let plain = page("SELECT Id, (SELECT LastName, Account.Name FROM Contacts) FROM Account").await;
    let soql =
        "SELECT Id, (SELECT Contact.LastName, Contact.Account.Name FROM Account.Contacts) FROM Account";
    assert_eq!(page(soql).await, plain);
    assert!(plain.contains(r#"{"attributes":{"type":"Contact","url":"#), "{plain:.500}");
    // Where a parent has that name, it is the parent.
    let children = page("SELECT Id, (SELECT Account.Name FROM Account.Opportunities) FROM Account").await;
    assert!(children.contains(r#""Account":{"attributes":{"type":"Account","url":"#), "{children:.500}");
}

#[tokio::test]
async fn distances_are_measured_along_the_earth() {
    let org = DemoOrg::start(options(400)).await.unwrap();
    let token = login(&org).await;
    let found = async |condition: &str| {
        let target = query_target(&format!("SELECT Id FROM Account WHERE {condition}"));
        every_id(&org, &token, &target).await.0
    };
    let within = |latitude: f64| {
        ids(&org, "Account", |row| {
            !row.is_deleted() && row.value("BillingLatitude") == Some(Cell::Double(latitude))
        })
    };
    // From San Francisco to Washington it is 3,916 km or 2,433 miles.
    let there = within(37.79302);
    assert_eq!(
        found("DISTANCE(BillingAddress, GEOLOCATION(38.897,-77.0365), 'km') < 1").await,
        within(38.897)
    );
    let near = "DISTANCE(BillingAddress, GEOLOCATION(38.897, - 77.0365), 'mi') > 2430 AND \
                distance(BillingAddress, geolocation(38.897,-77.0365), 'mi') < 2440";
    assert_eq!(found(near).await, there);
    let near = near.replace("'mi'", "'km'").replace("2430", "3910").replace("2440", "3925");
    assert_eq!(found(&near).await, there);
    assert!(!there.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said_in_salesforces_words() {
    let org = DemoOrg::start(options(20)).await.unwrap();
    let no_such = |window: &str, column: usize, text: &str| {
        format!("\n{window}\n{}^\nERROR at Row:1:Column:{column}\n{text}", " ".repeat(column - 1))
    };
    for (soql, code, message) in [
        (
            "SELECT Id FORM Account",
            "MALFORMED_QUERY",
            no_such("SELECT Id FORM Account", 11, "unexpected token: 'FORM'"),
        ),
        (
            "SELECT Id, Nope FROM Account",
            "INVALID_FIELD",
            no_such(
                "SELECT Id, Nope FROM Account",
                12,
                "No such column 'Nope' on entity 'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
            ),
        ),
        (
            "SELECT Id FROM Accout",
            "INVALID_TYPE",
            no_such(
                "SELECT Id FROM Accout",
                16,
                "sObject type 'Accout' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
            ),
        ),
        (
            "SELECT Id, id FROM User",
            "INVALID_FIELD",
            no_such("SELECT Id, id FROM User", 12, "duplicate field selected: Id"),
        ),
        (
            "SELECT FIELDS(ALL) FROM User",
            "MALFORMED_QUERY",
            "The SOQL FIELDS function must have a LIMIT of at most 200".to_owned(),
        ),
        (
            "SELECT Id FROM User OFFSET 2001",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Maximum SOQL offset allowed is 2000".to_owned(),
        ),
        (
            "SELECT Id FROM User WHERE Id = 'x'",
            "INVALID_QUERY_FILTER_OPERATOR",
            no_such("SELECT Id FROM User WHERE Id = 'x'", 32, "invalid ID field: x"),
        ),
    ] {
        let (status, body) = query(&org, soql).await;
        assert_eq!(status, 400, "{soql}");
        assert!(body.starts_with("[{\"message\":"), "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!([{"message": message, "errorCode": code}]), "{soql}");
    }
    // What it does not understand it refuses.
    for soql in [
        "SELECT Id FROM Account WHERE Name = 'a' AND Site = 'b' OR Fax = 'c'",
        "SELECT Id FROM Account WHERE Name",
        "SELECT Id FROM Account WHERE Name = ",
        "SELECT Id FROM Account WHERE Name = 5",
        "SELECT Id FROM Account WHERE AnnualRevenue = '5'",
        "SELECT Id FROM Account WHERE CreatedDate > 2020-01-01",
        "SELECT Id FROM Account WHERE Description = 'x'",
        "SELECT Id FROM Account WHERE Name = 'a')",
        "SELECT Id FROM Account WHERE DISTANCE(HeadOffice__c, GEOLOCATION(1,1), 'km') = 20",
        "SELECT Id FROM Account WHERE DISTANCE(HeadOffice__c, GEOLOCATION(91,1), 'km') < 20",
        "SELECT Id FROM Account WHERE DISTANCE(HeadOffice__c, GEOLOCATION(1,1), 'm') < 20",
        "SELECT Id FROM Account WHERE DISTANCE(Name, GEOLOCATION(1,1), 'km') < 20",
        "SELECT Id FROM Account ORDER BY Name Id",
        "SELECT Id FROM Account ORDER BY Description",
        "SELECT Id FROM Account LIMIT many",
        "SELECT Id FROM Account LIMIT 1 2",
        "SELECT Name, COUNT(Id) FROM Account",
        "SELECT Name n FROM Account",
        "SELECT COUNT(Id) n, MAX(Name) n FROM Account",
        "SELECT SUM(Name) FROM Account",
        "SELECT UPPER(Name) FROM Account",
        "SELECT Account.Foo.Name FROM Contact",
        "SELECT (SELECT Id FROM Contact) FROM Account",
        "SELECT (SELECT COUNT() FROM Contacts) FROM Account",
        "SELECT TYPEOF Account WHEN Account THEN Name END FROM Contact",
        "SELECT Id FROM Account, Contact",
        "SELECT Id FROM Account WITH SECURITY_ENFORCED",
        "SELECT Id FROM User WHERE Id IN (SELECT OwnerId FROM Account WHERE Id IN (SELECT AccountId FROM Contact))",
        "DELETE FROM Account",
        "",
    ] {
        let (status, body) = query(&org, soql).await;
        assert_eq!(status, 400, "{soql}: {body}");
        assert!(body.starts_with("[{\"message\":"), "{body}");
    }
}

#[tokio::test]
async fn other_paths_methods_versions_and_lengths_are_refused() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let missing = get(&org, &token, "/services/data/v62.0/nothing").await;
    assert_eq!(missing.status(), 404);
    assert_eq!(
        missing.text().await.unwrap(),
        r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#
    );
    assert_eq!(get(&org, &token, "/services/data/v30.0/query?q=x").await.status(), 410);
    assert_eq!(get(&org, &token, "/services/data/v67.0/query?q=x").await.status(), 404);
    let posted = client()
        .post(format!("{}/services/data/v62.0/query", org.url()))
        .header("Authorization", format!("Bearer {token}"))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 405);
    let long = get(&org, &token, &format!("/services/data/v62.0/query?q={}", "x".repeat(16_400))).await;
    assert_eq!(
        (long.status().as_u16(), &long.headers()["content-type"].as_bytes()[..9]),
        (414, &b"text/html"[..])
    );
    assert_eq!(long.text().await.unwrap(), "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>");
    let both = get(&org, &token, &format!("/services/data/v62.0/query?q={}", "x".repeat(16_300))).await;
    assert_eq!(both.status(), 431);
    let identity = format!("/id/{}/{}", org.organization_id(), org.user_id());
    let who: Value = serde_json::from_str(&get(&org, &token, &identity).await.text().await.unwrap()).unwrap();
    assert_eq!(who["username"], "integration@example.com");
    let stranger = get(&org, "stolen", &identity).await;
    assert_eq!(
        (stranger.status().as_u16(), stranger.text().await.unwrap().as_str()),
        (403, "Bad_OAuth_Token")
    );
    let limits: Value =
        serde_json::from_str(&get(&org, &token, "/services/data/v62.0/limits/").await.text().await.unwrap())
            .unwrap();
    assert_eq!(limits["DailyApiRequests"]["Max"], 15_000);
    for path in [
        "/services/data/v62.0/",
        "/services/data/v62.0/sobjects",
        "/services/data/v62.0/sobjects/Account/describe",
    ] {
        let answer = get(&org, &token, path).await;
        assert_eq!(answer.status(), 200);
        assert!(serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap().is_object());
    }
}

#[tokio::test]
async fn columns_are_told_without_rows() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let told = |soql: &str| format!("{}&columns=true", query_target(soql));
    let answer =
        get(&org, &token, &told("SELECT id, Owner.Manager.Name, (SELECT Email FROM Contacts) FROM Account"))
            .await;
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(
        (&answer["entityName"], &answer["idSelected"], &answer["keyPrefix"]),
        (&json!("Account"), &json!(true), &json!("001"))
    );
    let columns = &answer["columnMetadata"];
    assert_eq!(columns[0]["columnName"], "Id");
    assert_eq!(columns[1]["joinColumns"][0]["joinColumns"][0]["columnName"], "Name");
    assert_eq!((&columns[2]["aggregate"], &columns[2]["columnName"]), (&json!(true), &json!("Contacts")));
    assert_eq!(columns[2]["joinColumns"][0]["columnName"], "Email");
    let answer =
        get(&org, &token, &told("SELECT Rating, COUNT(Id), MAX(Name) top FROM Account GROUP BY Rating"))
            .await;
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let names: Vec<_> = answer["columnMetadata"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["columnName"].as_str(), c["displayName"].as_str(), c["aggregate"].as_bool()))
        .collect();
    assert_eq!(
        names,
        [
            (Some("Rating"), Some("Rating"), Some(false)),
            (Some("expr0"), Some("COUNT(Id)"), Some(true)),
            (Some("top"), Some("MAX(Name)"), Some(true)),
        ]
    );
}

#[tokio::test]
async fn pages_made_beforehand_are_the_same_pages() {
    let soql = "SELECT Id, Name, Owner.Name FROM Account";
    let lazy = DemoOrg::start(Options { page_size: 100, ..options(250) }).await.unwrap();
    let eager = DemoOrg::start(Options { page_size: 100, prerender: true, ..options(250) }).await.unwrap();
    let (lazy_token, eager_token) = (login(&lazy).await, login(&eager).await);
    let expected = every_id(&lazy, &lazy_token, &query_target(soql)).await;
    for _ in 0..2 {
        assert_eq!(every_id(&eager, &eager_token, &query_target(soql)).await, expected);
    }
}

#[tokio::test]
async fn each_request_takes_the_orgs_latency() {
    let (latency, think) = (Duration::from_millis(80), Duration::from_millis(120));
    let org = DemoOrg::start(Options { latency, think, ..options(5) }).await.unwrap();
    let begun = Instant::now();
    let token = login(&org).await;
    assert!(begun.elapsed() >= latency, "the login took {:?}", begun.elapsed());
    for (target, least) in [
        ("/services/data/v62.0/sobjects/Account/describe".to_owned(), latency),
        (query_target("SELECT Id FROM Account"), latency + think),
    ] {
        let begun = Instant::now();
        assert_eq!(get(&org, &token, &target).await.status(), 200);
        assert!(begun.elapsed() >= least, "{target} took {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn bulk_results_are_quoted_csv_with_dotted_paths() {
    let org = DemoOrg::start(options(60)).await.unwrap();
    let csv = |soql: &str| org.bulk_results(soql).map(|csv| String::from_utf8(csv).unwrap());
    let row = |id: &str| org.data().row(id).unwrap();
    // The first accounts, written out by hand.
    let owner =
        |id: &str| row(id).parent("Owner").unwrap().value("Name").unwrap().as_str().unwrap().to_owned();
    let found = csv("select Name, owner.name, id from Account limit 3").unwrap();
    let expected = format!(
        "\"Name\",\"owner.name\",\"id\"\n\"plain text 0\",\"{}\",\"001Dm0000000000IAA\"\n\"comma, comma 1\",\"{}\",\
         \"001Dm0000000001IAA\"\n\"two \"\"quoted\"\" words 2\",\"{}\",\"001Dm0000000002IAA\"\n",
        owner("001Dm0000000000IAA"),
        owner("001Dm0000000001IAA"),
        owner("001Dm0000000002IAA"),
    );
    assert_eq!(found, expected);
    assert_eq!(
        csv("SELECT ProfileId, Profile.Name, BadgeText, IsActive FROM User LIMIT 1").unwrap(),
        "\"ProfileId\",\"Profile.Name\",\"BadgeText\",\"IsActive\"\n\"00eDm0000000000IAA\",\"Integration\",\"\",\"true\"\n"
    );
    assert_eq!(csv("SELECT Id, Name FROM Account WHERE Name = 'nobody'").unwrap(), "\"Id\",\"Name\"\n");
    let stamp = csv("SELECT CreatedDate FROM Account LIMIT 1").unwrap();
    assert!(stamp.starts_with("\"CreatedDate\"\n\"20") && stamp.ends_with(".000Z\"\n"), "{stamp}");
    for (soql, refusal) in [
        (
            "SELECT (SELECT Id FROM Contacts) FROM Account",
            "API_ERROR: Aggregate Relationships not supported in Bulk V2 Query with CSV content type",
        ),
        ("SELECT Body FROM Attachment", "API_ERROR: Binary field not supported"),
        ("SELECT COUNT(Id) FROM Account", "API_ERROR: Aggregate Relationships not supported in Bulk Query"),
        (
            "SELECT BillingAddress FROM Account",
            "API_ERROR: Selecting compound data not supported in Bulk Query",
        ),
    ] {
        assert_eq!(csv(soql).unwrap_err(), refusal);
    }
}

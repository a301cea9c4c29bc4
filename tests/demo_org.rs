//! The embedded org, seen by a plain HTTP client: what a real org would say, written by hand.

#![cfg(feature = "demo-org")]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, Options};

/// A key pair, made once for all tests: private key and certificate.
fn key_pair() -> &'static (String, String) {
    static PAIR: OnceLock<(String, String)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["demo".to_owned()]).unwrap().self_signed(&key).unwrap();
        (key.serialize_pem(), certificate.pem())
    })
}

fn options(records: usize) -> Options {
    Options { records, public_key: key_pair().1.clone(), ..Options::default() }
}

fn client() -> Client {
    Client::builder().no_proxy().gzip(false).timeout(Duration::from_secs(20)).build().unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(org: &DemoOrg) -> Value {
    json!({"iss": "3MVG9demo", "sub": "integration@example.com", "aud": org.url(), "exp": now() + 120})
}

fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(key_pair().0.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

async fn post_token(org: &DemoOrg, assertion: &str) -> Response {
    let body =
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    client()
        .post(format!("{}/services/oauth2/token", org.url()))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn login(org: &DemoOrg) -> String {
    let answer: Value =
        serde_json::from_str(&post_token(org, &sign(&claims(org))).await.text().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn get(org: &DemoOrg, token: &str, target: &str) -> Response {
    client()
        .get(format!("{}{target}", org.url()))
        .header("Authorization", format!("Bearer {token}"))
        .send()
        .await
        .unwrap()
}

fn query_target(soql: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(soql, percent_encoding::NON_ALPHANUMERIC);
    format!("/services/data/v62.0/query?q={encoded}")
}

/// Status and body of a query by a fresh login.
async fn query(org: &DemoOrg, soql: &str) -> (u16, String) {
    let token = login(org).await;
    let answer = get(org, &token, &query_target(soql)).await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

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

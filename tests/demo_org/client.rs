//! A plain HTTP client of the embedded org.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sfexport::demo_org::{DemoOrg, Options, Row};

/// A key pair, made once for all tests: private key and certificate.
pub(crate) fn key_pair() -> &'static (String, String) {
    static PAIR: OnceLock<(String, String)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["demo".to_owned()]).unwrap().self_signed(&key).unwrap();
        (pem("PRIVATE KEY", &key.serialize_der()), pem("CERTIFICATE", certificate.der()))
    })
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

pub(crate) fn options(records: usize) -> Options {
    Options { records, public_key: key_pair().1.clone(), ..Options::default() }
}

pub(crate) fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn claims(org: &DemoOrg) -> Value {
    json!({"iss": "3MVG9demo", "sub": "integration@example.com", "aud": org.url(), "exp": now() + 120})
}

pub(crate) fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(key_pair().0.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

pub(crate) async fn post_token(org: &DemoOrg, assertion: &str) -> Response {
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

pub(crate) async fn login(org: &DemoOrg) -> String {
    let answer: Value =
        serde_json::from_str(&post_token(org, &sign(&claims(org))).await.text().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

pub(crate) async fn get(org: &DemoOrg, token: &str, target: &str) -> Response {
    client()
        .get(format!("{}{target}", org.url()))
        .header("Authorization", format!("Bearer {token}"))
        .send()
        .await
        .unwrap()
}

pub(crate) fn query_target(soql: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(soql, percent_encoding::NON_ALPHANUMERIC);
    format!("/services/data/v62.0/query?q={encoded}")
}

/// Status and body of a query by a fresh login.
pub(crate) async fn query(org: &DemoOrg, soql: &str) -> (u16, String) {
    let token = login(org).await;
    let answer = get(org, &token, &query_target(soql)).await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The ids of every page of a query, and the sizes of the pages.
pub(crate) async fn every_id(org: &DemoOrg, token: &str, first: &str) -> (Vec<String>, Vec<usize>) {
    let (mut ids, mut sizes, mut target) = (Vec::new(), Vec::new(), first.to_owned());
    loop {
        let page: Value =
            serde_json::from_str(&get(org, token, &target).await.text().await.unwrap()).unwrap();
        let records = page["records"].as_array().unwrap();
        sizes.push(records.len());
        ids.extend(records.iter().map(|record| record["Id"].as_str().unwrap().to_owned()));
        match page["nextRecordsUrl"].as_str() {
            Some(next) => {
                assert_eq!(page["done"], false);
                target = next.to_owned();
            }
            None => {
                assert_eq!(page["done"], true);
                assert_eq!(page["totalSize"].as_u64().unwrap() as usize, ids.len());
                return (ids, sizes);
            }
        }
    }
}

pub(crate) fn ids(org: &DemoOrg, object: &str, wanted: impl Fn(&Row<'_>) -> bool) -> Vec<String> {
    org.data().rows(object).filter(wanted).map(|row| row.id().to_string()).collect()
}

pub(crate) async fn every_id_after(org: &DemoOrg, token: &str, next: &str) -> Vec<String> {
    let page: Value = serde_json::from_str(&get(org, token, next).await.text().await.unwrap()).unwrap();
    assert_eq!(page["done"], true);
    page["records"].as_array().unwrap().iter().map(|child| child["Id"].as_str().unwrap().to_owned()).collect()
}

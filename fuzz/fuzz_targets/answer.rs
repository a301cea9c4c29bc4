//! Any body with any status, read by everything that reads a response except the pages: no panic, bounded text that a
//! terminal can show, no word of a body that is not an error of Salesforce's, and never the token.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;
use sfexport::org::{KeySource, Org, OrgName};
use sfexport::salesforce::fault::{self, Fault};
use sfexport::salesforce::response::Head;
use sfexport::salesforce::{column_metadata, explain, identity, limits, replication, token, versions};

/// The most bytes of the org's own words that are worth showing, and of ours around them.
const LONGEST: usize = 8_000;

static ORG: LazyLock<Org> = LazyLock::new(|| Org {
    name: OrgName::default_org(),
    login_url: "https://acme.my.salesforce.com".to_owned(),
    client_id: "3MVG9.KEY_1".to_owned(),
    username: "nightly@acme.example".to_owned(),
    audience: "https://login.salesforce.com".to_owned(),
    key: KeySource::File("server.key".into()),
    key_password: None,
    key_alias: None,
    cert_file: None,
    api_version: "62.0".to_owned(),
    max_concurrent_runs: None,
    instance_hosts: vec!["proxy.example.com".to_owned()],
    org_id: None,
    api_reserve: None,
});

const TYPES: [Option<&str>; 4] =
    [None, Some("text/html; charset=utf-8"), Some("application/json;charset=UTF-8"), Some("")];

const DOMAINS: [&str; 9] = [
    "salesforce.com",
    "force.com",
    "cloudforce.com",
    "salesforce.mil",
    "crmforce.mil",
    "cloudforce.mil",
    "sfcrmproducts.cn",
    "sfcrmapps.cn",
    "proxy.example.com",
];

fuzz_target!(|data: &[u8]| {
    let [high, low, kind, body @ ..] = data else { return };
    let kinds = TYPES[usize::from(*kind % 4)].map(|kind| ("Content-Type", kind.to_owned()));
    let waits = (*kind & 4 != 0).then(|| ("Retry-After", low.to_string()));
    let head = Head::new(u16::from_be_bytes([*high, *low]) % 700, kinds.into_iter().chain(waits));
    // What is passed over need not be UTF-8, nor a number that a double can hold.
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();

    let fault = fault::read(&head, body, "the query", "62.0");
    is_fit(&fault);
    assert_eq!(fault.retry_after, head.retry_after());
    // What is no JSON is only measured.
    if !is_json {
        assert_eq!(fault, fault::read(&head, &vec![b'.'; body.len()], "the query", "62.0"));
    }
    let status = fault.into_failure().exit.code();
    assert!([65, 69, 74, 75, 77, 78].contains(&status), "{status}");

    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = said["access_token"].as_str().filter(|token| token.len() > 11);
    // The token alone, in no other value of the response and in nothing that messages say anyway.
    let token = token.filter(|token| {
        let is_elsewhere =
            ["identity_url instance_url", &ORG.login_url].iter().any(|text| text.contains(*token));
        said.to_string().matches(*token).count() == 1 && !is_elsewhere
    });
    match token::read(&head, body, &ORG) {
        Ok(session) => {
            let host = session.instance_url.to_ascii_lowercase();
            let host = host.trim_start().strip_prefix("https:").expect("https").trim_start_matches('/');
            let host = host.split(['/', ':', '?', '#']).next().unwrap_or_default().trim_end_matches('.');
            assert!(
                DOMAINS.iter().any(|domain| host == *domain || host.ends_with(&format!(".{domain}"))),
                "{host}"
            );
            let shown = format!("{session:?}");
            assert!(token.is_none_or(|token| !shown.contains(token)), "{shown}");
        }
        Err(error) => {
            is_fit(&error.fault);
            assert!(token.is_none_or(|token| !error.fault.what.contains(token)), "{error}");
        }
    }

    if let Err(fault) = column_metadata::read(body) {
        is_fit(&fault);
    }
    match replication::read_deleted(body) {
        Ok(page) => {
            for record in page.records.iter() {
                assert!(record.id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{}", record.id);
                assert_eq!(record.deleted_date.parse().ok(), Some(record.deleted_at));
            }
        }
        Err(fault) => is_fit(&fault),
    }
    let _ = explain::read(body);
    let _ = identity::read(body);
    let _ = limits::daily(body);
    let _ = versions::read(body);
    if let Ok(text) = std::str::from_utf8(body) {
        let _ = limits::read(text);
        let _ = identity::of_url(text);
    }
});

fn is_fit(fault: &Fault) {
    assert!(!fault.what.trim().is_empty());
    for text in [Some(&fault.what), fault.hint.as_ref()].into_iter().flatten() {
        assert!(text.len() < LONGEST, "{} bytes", text.len());
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    }
}

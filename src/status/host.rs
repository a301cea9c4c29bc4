//! Which `Host` a request to the status port may name. A web page can make its visitor's browser send requests to
//! any address by pointing the page's own name there (DNS rebinding); such a request names the page's host.

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};

/// Domains that do not exist in public DNS, so no web page can use them.
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "local", "internal", "svc", "cluster.local"];

/// The host that a request names, without its port; `None` if it names none, as in HTTP/1.0, which no browser speaks.
pub(super) fn named<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    let header = headers.get(HOST).map(|value| value.to_str().unwrap_or("?"));
    uri.authority().map(|authority| authority.as_str()).or(header).map(without_port)
}

/// `status.example.com:9090` → `status.example.com`, and `[::1]:9090` → `::1`.
fn without_port(authority: &str) -> &str {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    let name = name.unwrap_or(authority);
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether no web page can be under this name: an address, a name without a dot, a private domain, this computer's
/// name, or one that the configuration allows.
pub(super) fn is_allowed(name: &str, allowed: &[String]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let lower = name.to_ascii_lowercase();
    let is_below = |domain: &&str| lower.strip_suffix(*domain).is_some_and(|rest| rest.ends_with('.'));
    name.parse::<IpAddr>().is_ok()
        || !name.contains('.')
        || PRIVATE_DOMAINS.iter().any(is_below)
        || allowed.iter().any(|allowed| is(without_port(allowed)))
        || rustix::system::uname().nodename().to_str().is_ok_and(is)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header::HOST};

    use super::{is_allowed, named};

    #[test]
    fn only_names_that_no_web_page_has_are_allowed() {
        let configured = ["Status.example.com".to_owned(), "exports.example.com:9090".to_owned()];
        for name in [
            "127.0.0.1",
            "10.4.2.17",
            "::1",
            "localhost",
            "sfexport",
            "a.localhost",
            "sfexport.jobs.svc",
            "sfexport.jobs.svc.cluster.local",
            "NAS.Local",
            "exports.corp.internal",
            "status.EXAMPLE.com",
            "exports.example.com",
        ] {
            assert!(is_allowed(name, &configured), "{name}");
        }
        for name in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocal.example",
            "status.example.com.evil.example",
            "xlocal.example",
            "evil.example:9090",
        ] {
            assert!(!is_allowed(name, &configured), "{name}");
        }
    }

    #[test]
    fn a_host_is_read_without_its_port_and_final_dot() {
        let host = |uri: &'static str, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|value| (HOST, HeaderValue::from_static(value))));
            named(&Uri::from_static(uri), &headers).map(str::to_owned)
        };
        assert_eq!(host("/", Some("evil.example:9090")).as_deref(), Some("evil.example"));
        assert_eq!(host("/", Some("evil.example.")).as_deref(), Some("evil.example"));
        assert_eq!(host("/", Some("[::1]:9090")).as_deref(), Some("::1"));
        assert_eq!(host("http://evil.example/", Some("localhost")).as_deref(), Some("evil.example"));
        assert_eq!(host("/", None), None);
    }
}

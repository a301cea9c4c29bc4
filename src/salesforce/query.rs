//! The paths of a query's requests, and the locators that lead from one page to the next.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::fault::{Fault, FaultKind};

/// Everything but RFC 3986's unreserved characters is escaped: a `+` must not become a space.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest request that Salesforce takes: 16,384 bytes of URL and headers together.
const LONGEST_REQUEST: usize = 16_384;

/// What the headers may need of that: a token in the JWT format has over a thousand characters.
const HEADERS: usize = 3_072;

/// The path and query string that ask a query: `/services/data/v62.0/query?q=...`.
///
/// # Errors
/// Where the URL would be longer than Salesforce takes; the org would answer 414 or 431 with a page of HTML.
pub fn path(api_version: &str, all_rows: bool, soql: &str) -> Result<String, Fault> {
    let resource = if all_rows { "queryAll" } else { "query" };
    let path = format!("/services/data/v{api_version}/{resource}?q={}", utf8_percent_encode(soql, ESCAPED));
    if path.len() > LONGEST_REQUEST - HEADERS {
        let what = format!(
            "the query is too long for a URL: {} bytes once encoded, where {} fit",
            path.len(),
            LONGEST_REQUEST - HEADERS
        );
        return Err(Fault::new(FaultKind::QueryRefused, what)
            .hint("name fewer fields, or split the query into several jobs"));
    }
    Ok(path)
}

/// Where a further page is: the path of a `nextRecordsUrl`, seen to lead to a query of the same host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueryLocator(String);

impl QueryLocator {
    /// Reads a `nextRecordsUrl`: `/services/data/vN.N/query/LOCATOR-OFFSET`, or `queryAll`.
    ///
    /// # Errors
    /// Where it is anything else: the token would go where it does not belong.
    pub fn parse(url: &str) -> Result<Self, Fault> {
        let valid = (|| {
            let rest = url.strip_prefix("/services/data/v")?;
            let (version, rest) = rest.split_once('/')?;
            let (major, minor) = version.split_once('.')?;
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let (resource, locator) = rest.split_once('/')?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (digits(major)
                && digits(minor)
                && ["query", "queryAll"].contains(&resource)
                && !locator.is_empty()
                && locator.bytes().all(plain))
            .then_some(())
        })();
        match valid {
            Some(()) => Ok(Self(url.to_owned())),
            None => Err(Fault::new(
                FaultKind::Contradiction,
                format!(
                    "the org's nextRecordsUrl leads elsewhere: {:?}",
                    url.chars().take(120).collect::<String>()
                ),
            )),
        }
    }

    /// The path, to be asked of the same host without any parameter.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueryLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_whole() {
        assert_eq!(
            path("62.0", false, "SELECT Id FROM A WHERE T>2026-01-01T00:00:00+01:00 AND N='a&b=ü'").unwrap(),
            "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20A%20WHERE%20T%3E2026-01-01T00%3A00%3A00%2B01%3A00\
             %20AND%20N%3D%27a%26b%3D%C3%BC%27"
        );
        assert!(
            path("60.0", true, "SELECT Id FROM A").unwrap().starts_with("/services/data/v60.0/queryAll?q=")
        );
    }

    #[test]
    fn a_query_too_long_for_a_url_is_refused_before_it_is_sent() {
        let query = format!("SELECT Id FROM A WHERE Name = '{}'", "x".repeat(14_000));
        assert_eq!(path("62.0", false, &query).expect_err("too long").kind, FaultKind::QueryRefused);
    }

    #[test]
    fn a_locator_leads_to_a_query_of_the_same_host_or_nowhere() {
        for good in [
            "/services/data/v59.0/query/0r8xx5R2yF2gs3VASQ-2000",
            "/services/data/v60.0/queryAll/01g3A00007lZwLKQA0-2000",
        ] {
            assert_eq!(QueryLocator::parse(good).unwrap().path(), good);
        }
        for bad in [
            "",
            "https://evil.example/services/data/v59.0/query/0r8-2000",
            "//evil.example/services/data/v59.0/query/0r8-2000",
            "/services/data/v59.0/query/../../../oauth2/token",
            "/services/data/v59.0/query/",
            "/services/data/v59.0/query/0r8-2000?x=1",
            "/services/data/v59.0/query/0r8-2000#x",
            "/services/data/v59.0/query/0r8%2e%2e",
            "/services/data/v59/query/0r8-2000",
            "/services/data/v59.0/sobjects/0r8-2000",
            "/services/data/v59.0/query/0r8-2000/x",
            "/services/data/v59.0@evil.example/query/0r8-2000",
        ] {
            assert!(QueryLocator::parse(bad).is_err(), "{bad}");
        }
    }
}

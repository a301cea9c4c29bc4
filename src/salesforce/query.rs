//! The paths of a query's requests, and the locators that lead from one page to the next.

use std::collections::HashSet;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::call::Call;
use super::fault::{Fault, FaultKind};
use super::page::{Head, repeated};

/// Everything but RFC 3986's unreserved characters is escaped: a `+` must not become a space.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest request that Salesforce takes: 16,384 bytes of URL and headers together.
const MAX_REQUEST_BYTES: usize = 16_384;

/// What the headers may need of that: a token in the JWT format has over a thousand characters.
const MAX_HEADER_BYTES: usize = 3_072;

/// The call that asks for a page of a query's result: its first by [`path`], a further one by a locator. `page_size`
/// is how many records it should hold; the org may send fewer.
#[must_use]
pub fn page(path: &str, page_size: u32) -> Call<'_> {
    Call::get(path).header("sforce-query-options", format!("batchSize={page_size}")).about("the query")
}

/// The path and query string that ask a query: `/services/data/v62.0/query?q=...`.
///
/// # Errors
/// Where the URL would be longer than Salesforce takes; the org would answer 414 or 431 with a page of HTML.
pub fn path(api_version: &str, all_rows: bool, soql: &str) -> Result<String, Fault> {
    path_of(api_version, if all_rows { "queryAll?q" } else { "query?q" }, soql)
}

/// The path that asks how the org would run a query, and for none of its records: `query?explain=...`.
///
/// # Errors
/// As [`path`].
pub fn explain_path(api_version: &str, soql: &str) -> Result<String, Fault> {
    path_of(api_version, "query?explain", soql)
}

fn path_of(api_version: &str, resource: &str, soql: &str) -> Result<String, Fault> {
    let path = format!("/services/data/v{api_version}/{resource}={}", utf8_percent_encode(soql, ESCAPED));
    if path.len() > MAX_REQUEST_BYTES - MAX_HEADER_BYTES {
        let what = format!(
            "the query is too long for a URL: {} bytes once encoded, where {} fit",
            path.len(),
            MAX_REQUEST_BYTES - MAX_HEADER_BYTES
        );
        return Err(Fault::new(FaultKind::QueryTooLong, what)
            .hint("name fewer fields, or split the query into several jobs"));
    }
    Ok(path)
}

/// The path that asks for the columns of a query in place of its records.
///
/// # Errors
/// As [`path`].
pub fn description_path(api_version: &str, all_rows: bool, soql: &str) -> Result<String, Fault> {
    Ok(path(api_version, all_rows, soql)? + "&columns=true")
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
                FaultKind::InvalidResponse,
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

/// What has been accepted of a result: the records are counted against `totalSize`, and no page may come twice.
#[derive(Debug, Default)]
pub struct Count {
    total: Option<u64>,
    records: u64,
    pages: u64,
    locators: HashSet<QueryLocator>,
}

impl Count {
    /// Accepts a page with this many records.
    ///
    /// # Errors
    /// [`FaultKind::Miscount`] where the page's total is another than the first page's, where more records came
    /// than the org counted, or fewer although this is the last page; [`FaultKind::InvalidResponse`] where it leads
    /// back to a page already named. Nothing is accepted then.
    pub fn accept(&mut self, head: &Head, records: u64) -> Result<(), Fault> {
        let miscount = |what| Err(Fault::new(FaultKind::Miscount, what));
        let total = self.total.unwrap_or(head.total_size);
        if head.total_size != total {
            let now = head.total_size;
            return miscount(format!(
                "the org counted {total} records on the first page and {now} on a later one"
            ));
        }
        let arrived = self.records + records;
        if arrived > total {
            return miscount(format!("the org counted {total} records and sent {arrived} or more"));
        }
        match &head.next {
            None if arrived < total => {
                return miscount(format!("the result is incomplete: {arrived} of {total} records arrived"));
            }
            Some(next) if self.locators.contains(next) => return Err(repeated(next)),
            Some(next) => {
                self.locators.insert(next.clone());
            }
            None => {}
        }
        self.total = Some(total);
        self.records = arrived;
        self.pages += 1;
        Ok(())
    }

    /// What the org counted; `None` before the first page.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The records accepted.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The pages accepted.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.pages
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
        assert_eq!(path("62.0", false, &query).expect_err("too long").kind, FaultKind::QueryTooLong);
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

    fn head(total_size: u64, next: Option<&str>) -> Head {
        let next =
            next.map(|name| QueryLocator::parse(&format!("/services/data/v62.0/query/{name}")).unwrap());
        Head { total_size, next }
    }

    #[test]
    fn every_record_is_counted_against_the_first_pages_total() {
        let mut count = Count::default();
        count.accept(&head(5, Some("a-2")), 2).unwrap();
        count.accept(&head(5, Some("a-4")), 2).unwrap();
        // What is refused leaves no trace: the same page may come again, whole.
        for (wrong, records) in
            [(head(5, None), 0), (head(5, None), 2), (head(6, None), 2), (head(4, None), 1)]
        {
            assert_eq!(count.accept(&wrong, records).expect_err("a miscount").kind, FaultKind::Miscount);
        }
        let again = count.accept(&head(5, Some("a-2")), 0).expect_err("a loop");
        assert_eq!(again.kind, FaultKind::InvalidResponse);
        count.accept(&head(5, None), 1).unwrap();
        assert_eq!((count.total(), count.records(), count.pages()), (Some(5), 5, 3));
    }

    #[test]
    fn a_result_without_records_is_whole_if_none_were_counted() {
        assert!(Count::default().accept(&head(0, None), 0).is_ok());
        assert!(Count::default().accept(&head(7, None), 0).is_err());
    }
}

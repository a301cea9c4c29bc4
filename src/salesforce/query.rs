//! The calls of a query, and the locators that lead from one page to the next.

use std::collections::HashSet;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::call::Call;
use super::composite;
use super::fault::{Fault, FaultKind};
use super::page::{Head, repeated};
use crate::job::CountCheck;

/// Everything but RFC 3986's unreserved characters is escaped: a `+` must not become a space.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest request that Salesforce takes: 16,384 bytes of URL and headers together.
const MAX_REQUEST_BYTES: usize = 16_384;

/// What the headers may need of that: a token in the JWT format has over a thousand characters.
const MAX_HEADER_BYTES: usize = 3_072;

/// The longest query that Salesforce takes, in characters.
const MAX_QUERY_CHARS: usize = 100_000;

/// The call that asks for the first page of a query's result: `GET /services/data/v62.0/query?q=...`, or, if that URL
/// would be too long, the same request in a `composite/batch`.
///
/// # Errors
/// [`FaultKind::QueryTooLong`] if Salesforce would refuse the query for its length.
pub fn first_page(api_version: &str, all_rows: bool, soql: &str) -> Result<Call<'static>, Fault> {
    call(api_version, resource(all_rows), soql, "")
}

/// The call that asks for a further page.
#[must_use]
pub fn next_page(locator: &QueryLocator) -> Call<'static> {
    Call::get(locator.path().to_owned()).about("the query")
}

/// The same call for a page of this many records; the org may send fewer.
#[must_use]
pub fn with_page_size<'c>(call: &Call<'c>, records: u32) -> Call<'c> {
    call.clone().header("sforce-query-options", format!("batchSize={records}"))
}

/// The call that asks how the org would run a query, and for none of its records: `query?explain=...`.
///
/// # Errors
/// As [`first_page`].
pub fn explanation(api_version: &str, soql: &str) -> Result<Call<'static>, Fault> {
    call(api_version, "query?explain", soql, "")
}

/// The call that asks for the columns of a query instead of its records: `query?q=...&columns=true`.
///
/// # Errors
/// As [`first_page`].
pub fn description(api_version: &str, all_rows: bool, soql: &str) -> Result<Call<'static>, Fault> {
    call(api_version, resource(all_rows), soql, "&columns=true")
}

fn resource(all_rows: bool) -> &'static str {
    if all_rows { "queryAll?q" } else { "query?q" }
}

fn call(api_version: &str, resource: &str, soql: &str, more: &str) -> Result<Call<'static>, Fault> {
    let too_long =
        |what: String, hint: &str| Err(Fault::new(FaultKind::QueryTooLong, what).hint(hint.to_owned()));
    let target =
        format!("/services/data/v{api_version}/{resource}={}{more}", utf8_percent_encode(soql, ESCAPED));
    if target.len() <= MAX_REQUEST_BYTES - MAX_HEADER_BYTES {
        return Ok(Call::get(target).about("the query"));
    }
    let chars = soql.chars().count();
    if chars > MAX_QUERY_CHARS {
        let what = format!("the query has {chars} characters, and Salesforce accepts {MAX_QUERY_CHARS}");
        return too_long(what, "select fewer fields, or split the query into several jobs");
    }
    if !composite::is_offered(api_version) {
        let what = format!("the query is too long for API version \"{api_version}\"");
        return too_long(what, "set api_version to \"34.0\" or later, or select fewer fields");
    }
    Ok(composite::call(api_version, &target).about("the query"))
}

/// Where a further page is: the path of a `nextRecordsUrl`, seen to lead to a query of the same host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueryLocator(String);

impl QueryLocator {
    /// Reads a `nextRecordsUrl`: `/services/data/vN.N/query/...`, or `queryAll`. What follows is opaque and used as
    /// sent; only where it leads is judged.
    ///
    /// # Errors
    /// If it leads to another host or out of that path: the token would go where it does not belong.
    pub fn parse(url: &str) -> Result<Self, Fault> {
        match leads_to_a_query(url) {
            Some(()) => Ok(Self(url.to_owned())),
            None => Err(Fault::new(
                FaultKind::InvalidResponse,
                format!(
                    "the org's nextRecordsUrl does not lead to a page of this query: {:?}",
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

/// Whether a URL leads to a query of the same host, before and after it is resolved as a request's target is: `..` in all
/// its spellings would change the number of its segments.
fn leads_to_a_query(url: &str) -> Option<()> {
    let (version, rest) = url.strip_prefix("/services/data/v")?.split_once('/')?;
    let (major, minor) = version.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (resource, locator) = rest.split_once('/')?;
    let path = url.split('?').next()?;
    let is_plain = digits(major)
        && digits(minor)
        && ["query", "queryAll"].contains(&resource)
        && path.len() > url.len() - locator.len()
        && !url.contains(|c: char| c.is_control() || matches!(c, '\\' | '#'));
    // The usual locator cannot lead anywhere else, and a page should not cost allocations to find that out.
    if locator.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return is_plain.then_some(());
    }
    let resolved = Url::parse("https://host").ok()?.join(url).ok()?;
    let prefix = &url[..url.len() - locator.len()];
    let stays = resolved.host_str() == Some("host")
        && resolved.path().starts_with(prefix)
        && resolved.path().matches('/').count() == path.matches('/').count();
    (is_plain && stays).then_some(())
}

impl fmt::Display for QueryLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many pages in a row may have no record, although they name a next one. Without a bound an org that counts its
/// locators up would be asked for ever, and the day's API requests would be gone.
pub(crate) const MAX_EMPTY_PAGES: u32 = 10;

/// How many records a page has at most.
const MAX_PAGE_RECORDS: u64 = 2_000;

/// The fault of a result that goes on without records.
pub(crate) fn endless() -> Fault {
    Fault::new(
        FaultKind::InvalidResponse,
        format!(
            "the org sent {} pages in a row without a record, each with a next page",
            MAX_EMPTY_PAGES + 1
        ),
    )
    .hint("export again; if it happens each time, report it to Salesforce with the query")
}

/// What has been accepted of a result: the records are counted against `totalSize`, and no page may come twice.
///
/// A result that ends with fewer records than the org counted is accepted: rows may have been deleted while it was read.
/// Whoever reads it compares [`Count::records`] with [`Count::total`] at its end.
#[derive(Debug, Default)]
pub struct Count {
    /// Whether other numbers are accepted than the org counted.
    is_lenient: bool,
    /// What the first page says: `Some(None)` if the org does not count.
    total: Option<Option<u64>>,
    records: u64,
    pages: u64,
    /// Pages without a record since the last one with any.
    empty_pages: u32,
    locators: HashSet<QueryLocator>,
}

impl Count {
    /// The count of a result whose numbers are checked so.
    #[must_use]
    pub fn new(check: CountCheck) -> Self {
        Self { is_lenient: check == CountCheck::Warn, ..Self::default() }
    }

    /// Forgets everything: the result is read again from its start.
    pub fn start_over(&mut self) {
        *self = Self { is_lenient: self.is_lenient, ..Self::default() };
    }

    /// Accepts a page with this many records.
    ///
    /// # Errors
    /// [`FaultKind::Miscount`] if the page's total is another than the first page's, or if more records came than the org
    /// counted; with [`CountCheck::Warn`] only if they are more than twice as many. [`FaultKind::InvalidResponse`] if it leads back to a page already named. Nothing is accepted then.
    pub fn accept(&mut self, head: &Head, records: u64) -> Result<(), Fault> {
        let miscount = |what| Err(Fault::new(FaultKind::Miscount, what));
        let total = self.total.unwrap_or(head.total_size);
        if head.total_size != total && !self.is_lenient {
            let shown = |size: Option<u64>| size.map_or_else(|| "no".to_owned(), |size| size.to_string());
            return miscount(format!(
                "the org counted {} records on the first page and {} on a later one",
                shown(total),
                shown(head.total_size)
            ));
        }
        let arrived = self.records + records;
        // Pages without end would be followed for ever.
        let most =
            |total: u64| if self.is_lenient { total.saturating_mul(2).max(MAX_PAGE_RECORDS) } else { total };
        if let Some(total) = total.filter(|total| arrived > most(*total)) {
            return miscount(format!("the org counted {total} records and sent {arrived} or more"));
        }
        let empty_pages = if records == 0 { self.empty_pages + 1 } else { 0 };
        match &head.next {
            Some(_) if empty_pages > MAX_EMPTY_PAGES => return Err(endless()),
            Some(next) if self.locators.contains(next) => return Err(repeated(next)),
            Some(next) => {
                self.locators.insert(next.clone());
            }
            None => {}
        }
        self.total = Some(total);
        self.records = arrived;
        self.empty_pages = empty_pages;
        self.pages += 1;
        Ok(())
    }

    /// What the org counted; `None` before the first page, and if it does not count.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total.flatten()
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
            first_page("62.0", false, "SELECT Id FROM A WHERE T>2026-01-01T00:00:00+01:00 AND N='a&b=ü'")
                .unwrap()
                .path,
            "/services/data/v62.0/query?q=SELECT%20Id%20FROM%20A%20WHERE%20T%3E2026-01-01T00%3A00%3A00%2B01%3A00\
             %20AND%20N%3D%27a%26b%3D%C3%BC%27"
        );
        let all_rows = first_page("60.0", true, "SELECT Id FROM A").unwrap();
        assert!(all_rows.path.starts_with("/services/data/v60.0/queryAll?q="));
    }

    #[test]
    fn a_query_too_long_for_a_url_goes_into_a_batch() {
        let of = |version: &str, chars: usize| {
            let head = "SELECT Id FROM A WHERE Name = ";
            first_page(version, false, &format!("{head}{}", "x".repeat(chars - head.len())))
        };
        // 13,312 bytes less `/services/data/v62.0/query?q=`, and 7 spaces and an `=` that take three bytes each.
        let most = 13_312 - 29 - 2 * 8;
        assert!(!of("62.0", most).unwrap().is_batch);
        assert!(of("62.0", most + 1).unwrap().is_batch);
        assert!(of("34.0", 100_000).unwrap().is_batch);
        assert_eq!(of("33.0", most + 1).unwrap_err().kind, FaultKind::QueryTooLong);
        assert_eq!(of("62.0", 100_001).unwrap_err().kind, FaultKind::QueryTooLong);
    }

    #[test]
    fn a_locator_leads_to_a_query_of_the_same_host_or_nowhere() {
        for good in [
            "/services/data/v59.0/query/0r8xx5R2yF2gs3VASQ-2000",
            "/services/data/v60.0/queryAll/01g3A00007lZwLKQA0-2000",
            // jsforce and others have recorded these; the rest nobody has seen yet.
            "/services/data/v59.0/query/01gch0r8xx0000000004AAA.1.10-200",
            "/services/data/v59.0/query/0r8~a_b+c=d:e@f,g!h(i)*j;k-2000",
            "/services/data/v59.0/query/0r8%2Fa%20b-2000",
            "/services/data/v59.0/query/0r8/part/2000",
            "/services/data/v59.0/query/0r8ü-2000",
            "/services/data/v59.0/query/0r8-2000?batch=2",
            "/services/data/v59.0/query/..0r8..-2000",
        ] {
            assert_eq!(QueryLocator::parse(good).unwrap().path(), good);
        }
        for bad in [
            "",
            "https://evil.example/services/data/v59.0/query/0r8-2000",
            "//evil.example/services/data/v59.0/query/0r8-2000",
            "/services/data/v59.0/query/../../../oauth2/token",
            "/services/data/v59.0/query/",
            "/services/data/v59.0/query/?x=1",
            "/services/data/v59.0/query/0r8-2000#x",
            "/services/data/v59.0/query/%2e%2e",
            "/services/data/v59.0/query/a/%2E./b",
            "/services/data/v59.0/query/./0r8-2000",
            "/services/data/v59.0/query/a/..",
            "/services/data/v59.0/query/..\\..\\x",
            "/services/data/v59.0/query/0r8\t-2000",
            "/services/data/v59.0/query/0r8\r\nHost: evil",
            "/services/data/v59/query/0r8-2000",
            "/services/data/v59.0/sobjects/0r8-2000",
            "/services/data/v59.0@evil.example/query/0r8-2000",
        ] {
            assert!(QueryLocator::parse(bad).is_err(), "{bad}");
        }
    }

    fn head(total_size: u64, next: Option<&str>) -> Head {
        let next =
            next.map(|name| QueryLocator::parse(&format!("/services/data/v62.0/query/{name}")).unwrap());
        Head { total_size: Some(total_size), next }
    }

    #[test]
    fn pages_without_records_come_to_an_end() {
        let mut count = Count::default();
        let page = |number: u32| head(5, Some(&format!("a-{number}")));
        for number in 0..MAX_EMPTY_PAGES {
            count.accept(&page(number), 0).unwrap();
        }
        // After a record the count begins again.
        count.accept(&page(50), 1).unwrap();
        for number in 0..MAX_EMPTY_PAGES {
            count.accept(&page(100 + number), 0).unwrap();
        }
        assert_eq!(count.accept(&page(999), 0).unwrap_err().kind, FaultKind::InvalidResponse);
        // What is refused leaves no trace: another page in its place is accepted.
        count.accept(&page(998), 4).unwrap();
        assert_eq!(count.pages(), 22);
    }

    #[test]
    fn every_record_is_counted_against_the_first_pages_total() {
        let mut count = Count::default();
        count.accept(&head(5, Some("a-2")), 2).unwrap();
        count.accept(&head(5, Some("a-4")), 2).unwrap();
        // What is refused leaves no trace: the same page may come again, whole.
        let uncounted = Head { total_size: None, next: None };
        for (wrong, records) in [(head(5, None), 2), (head(6, None), 2), (head(4, None), 1), (uncounted, 1)] {
            assert_eq!(count.accept(&wrong, records).expect_err("a miscount").kind, FaultKind::Miscount);
        }
        let again = count.accept(&head(5, Some("a-2")), 0).expect_err("a loop");
        assert_eq!(again.kind, FaultKind::InvalidResponse);
        count.accept(&head(5, None), 1).unwrap();
        assert_eq!((count.total(), count.records(), count.pages()), (Some(5), 5, 3));
    }

    #[test]
    fn a_result_may_end_short_of_what_the_org_counted() {
        let mut count = Count::default();
        count.accept(&head(5, Some("a-2")), 2).unwrap();
        count.accept(&head(5, None), 0).unwrap();
        assert_eq!((count.total(), count.records()), (Some(5), 2));
    }

    #[test]
    fn a_lenient_count_takes_other_numbers_but_comes_to_an_end() {
        let mut count = Count::new(CountCheck::Warn);
        count.accept(&head(1500, Some("a-2")), 2000).unwrap();
        count.accept(&head(7, Some("a-4")), 1000).unwrap();
        assert_eq!(count.accept(&head(1500, Some("a-6")), 1).unwrap_err().kind, FaultKind::Miscount);
        count.accept(&head(0, None), 0).unwrap();
        assert_eq!((count.total(), count.records()), (Some(1500), 3000));
        count.start_over();
        count.accept(&head(0, Some("a-2")), 2000).unwrap();
        assert_eq!(count.accept(&head(0, None), 1).unwrap_err().kind, FaultKind::Miscount);
    }

    #[test]
    fn a_result_that_the_org_does_not_count_goes_on_to_its_end() {
        let uncounted = |next: Option<&str>| Head { total_size: None, ..head(0, next) };
        let mut count = Count::default();
        count.accept(&uncounted(Some("a-2")), 2000).unwrap();
        assert_eq!(count.accept(&head(2001, None), 1).unwrap_err().kind, FaultKind::Miscount);
        for number in 0..MAX_EMPTY_PAGES {
            count.accept(&uncounted(Some(&format!("b-{number}"))), 0).unwrap();
        }
        assert_eq!(count.accept(&uncounted(Some("b-99")), 0).unwrap_err().kind, FaultKind::InvalidResponse);
        count.accept(&uncounted(None), 1).unwrap();
        assert_eq!((count.total(), count.records()), (None, 2001));
    }
}

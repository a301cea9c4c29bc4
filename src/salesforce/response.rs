//! The head of a response: its status, its headers and what they say. The body's bytes come from the HTTP edge;
//! what they mean is read by the module of each resource.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use url::Url;

use super::limits;
use crate::error::plain;
use crate::report::ApiLimit;

/// A response's status and headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// A head of these headers, in the order sent. Those that are not text are to be left out.
    pub fn new<N: Into<String>, V: Into<String>>(
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { status, headers }
    }

    /// A head without headers, as each part of a composite response has.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }

    /// The first header of this name, in either case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Where a redirect leads, to be shown: the origin of another host, or the path on the same one. Never the query
    /// string, which may hold the query.
    #[must_use]
    pub fn redirect_target(&self) -> Option<String> {
        const MAX_SHOWN: usize = 200;
        let target = self.header("location").filter(|target| !target.is_empty())?;
        if let Ok(url) = Url::parse(target)
            && url.has_host()
        {
            return Some(url.origin().ascii_serialization());
        }
        let path = target.split(['?', '#']).next().unwrap_or_default();
        Some(plain(&path.chars().take(MAX_SHOWN).collect::<String>()).into_owned())
    }

    /// Whether the body is a page for people, as proxies and maintenance windows send it.
    #[must_use]
    pub fn is_html(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        ["text/html", "application/xhtml"].iter().any(|html| kind.starts_with(html))
    }

    /// What the org says of its daily API limit.
    #[must_use]
    pub fn api_limit(&self) -> Option<ApiLimit> {
        self.header("sforce-limit-info").and_then(limits::read)
    }

    /// The sender's clock, to the second, as it sent the head.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(http_date)
    }

    /// How long `Retry-After` asks to wait: seconds, or a date that is counted from the response's own `Date`, so
    /// this machine's clock does not matter.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?;
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let (until, now) = (http_date(value)?, self.date()?);
        Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
    }
}

/// Reads a date in one of the three forms that RFC 9110 (5.6.7) asks a recipient to take: IMF-fixdate, and the
/// obsolete ones of RFC 850 and of `asctime`. The day of the week is not compared: it adds nothing, and a sender
/// that gets it wrong still tells the time. A year of two digits is one of 1969 to 2068.
fn http_date(text: &str) -> Option<Timestamp> {
    const IMF_FIXDATE: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    if let Ok(timestamp) = IMF_FIXDATE.parse_timestamp(text) {
        return Some(timestamp);
    }
    let obsolete = |format: &str, rest: &str| {
        let date = BrokenDownTime::parse(format, rest.trim()).ok()?.to_datetime().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    match text.split_once(',') {
        Some((_, rest)) => obsolete("%d-%b-%y %H:%M:%S GMT", rest),
        None => obsolete("%b %d %H:%M:%S %Y", text.split_once(' ')?.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_each_of_the_three_forms() {
        // The example of RFC 9110, 5.6.7; `date -u -d '1994-11-06 08:49:37' +%s`.
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text).map(Timestamp::as_second), Some(784_111_777), "{text}");
        }
        // `date -u -d '2026-11-22 02:00:00' +%s`.
        for text in
            ["Sun, 22 Nov 2026 02:00:00 GMT", "Sunday, 22-Nov-26 02:00:00 GMT", "Sun Nov 22 02:00:00 2026"]
        {
            assert_eq!(http_date(text).map(Timestamp::as_second), Some(1_795_312_800), "{text}");
        }
        for text in ["", "0", "soon", "Sun, 31 Feb 2026 02:00:00 GMT", "2026-11-22T02:00:00Z", ",", " "] {
            assert_eq!(http_date(text), None, "{text:?}");
        }
    }

    #[test]
    fn retry_after_is_counted_from_the_responses_own_date() {
        let wait = |headers: &[(&str, &str)]| {
            Head::new(503, headers.iter().copied()).retry_after().map(|wait| wait.as_secs())
        };
        let date = ("Date", "Sun, 22 Nov 2026 02:00:00 GMT");
        assert_eq!(wait(&[("retry-after", " 90 ")]), Some(90));
        assert_eq!(wait(&[date, ("Retry-After", "Sun, 22 Nov 2026 02:02:00 GMT")]), Some(120));
        assert_eq!(wait(&[date, ("Retry-After", "Sun, 22 Nov 2026 01:00:00 GMT")]), Some(0));
        assert_eq!(wait(&[("Retry-After", "Sun, 22 Nov 2026 02:02:00 GMT")]), None);
        assert_eq!(wait(&[date, ("Retry-After", "-1")]), None);
        assert_eq!(wait(&[date]), None);
    }

    #[test]
    fn a_page_for_people_is_known_by_its_type() {
        let is_html = |kind: &str| Head::new(200, [("Content-Type", kind)]).is_html();
        assert!(
            is_html("text/html;charset=UTF-8") && is_html("TEXT/HTML") && is_html("application/xhtml+xml")
        );
        assert!(!is_html("application/json;charset=UTF-8") && !is_html("text/csv") && !is_html(""));
    }
}

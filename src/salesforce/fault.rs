//! What an org or the wire may do to a request, told apart by what a run does about it (`retry` decides that),
//! and the reading of Salesforce's own error bodies.

use std::fmt;
use std::time::Duration;

use crate::error::{Exit, Failure, plain};

/// Something that kept a request from giving its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which kind, which says what is done about it.
    pub kind: FaultKind,
    /// What a person reads; the org's own words where it said any. Never a token or a query's text of ours.
    pub what: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// How long the org asked to be left alone.
    pub retry_after: Option<Duration>,
}

/// The kinds of fault, one for each thing that a run can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No connection, none kept, or no answer in time.
    Unreachable,
    /// The org says that it cannot answer just now: 5xx, 406, 420, 429, too many long requests at once.
    Unavailable,
    /// The answer was cut short, or is no whole JSON.
    Truncated,
    /// The session is over; a new login brings another.
    SessionExpired,
    /// The session will never do: a new login brings the same.
    SessionRejected,
    /// The query locator is gone; the query can be asked anew.
    LocatorExpired,
    /// The query ran for too long.
    QueryTimeout,
    /// A limit that stands for hours.
    Limit,
    /// The token endpoint refused the login.
    LoginRefused,
    /// The org refused the query.
    QueryRefused,
    /// What the configuration says cannot be: an API version that the org does not have, a CA file that is none.
    Configuration,
    /// The answer is whole, but says what it cannot: records of another shape, a locator that leads elsewhere.
    InvalidResponse,
    /// The records are not as many as the org counted, or its pages count differently.
    Miscount,
}

impl Fault {
    /// A fault without a hint.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), hint: None, retry_after: None }
    }

    /// The same fault with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The failure of a run that gives up over this fault.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let exit = match self.kind {
            FaultKind::Unreachable | FaultKind::Unavailable => Exit::Unavailable,
            FaultKind::Truncated
            | FaultKind::LocatorExpired
            | FaultKind::InvalidResponse
            | FaultKind::Miscount => Exit::Incomplete,
            FaultKind::SessionExpired | FaultKind::SessionRejected | FaultKind::LoginRefused => Exit::Login,
            FaultKind::QueryTimeout | FaultKind::QueryRefused => Exit::Query,
            FaultKind::Limit => Exit::TryLater,
            FaultKind::Configuration => Exit::Configuration,
        };
        Failure { exit, what: self.what, hint: self.hint }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What of an answer's head a fault is read from.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswerHead<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`, as sent.
    pub content_type: Option<&'a str>,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
}

/// Reads an answer of the REST API that is not 200: Salesforce's list of `message` and `errorCode`, or what a
/// proxy, an edge or a maintenance page puts in its place. `api_version` is named where it is what is wrong.
#[must_use]
pub fn read(head: AnswerHead<'_>, body: &[u8], api_version: &str) -> Fault {
    let status = head.status;
    let (code, message) = error_of(body).unwrap_or_default();
    let (said_code, said) = (words(&code), words(message.trim_end()));
    let said = match (code.is_empty(), message.is_empty()) {
        // A message with a window of the query begins on a line of its own.
        (false, _) if message.starts_with('\n') => format!("{said_code}:{said}"),
        (false, _) => format!("{said_code}: {said}"),
        (true, false) => said,
        (true, true) => format!("status {status} with {}", described(head.content_type, body)),
    };
    let fault = |kind, what: &str| Fault::new(kind, format!("{what}: {said}"));
    let fault = match (status, code.as_str()) {
        (401, _) if message.contains("not valid for use with the REST API") => {
            fault(FaultKind::SessionRejected, "the org does not take the session")
                .hint("give the app the scope \"Manage user data via APIs (api)\"")
        }
        (401, _) => fault(FaultKind::SessionExpired, "the session is over"),
        (_, "INVALID_QUERY_LOCATOR") => fault(FaultKind::LocatorExpired, "the org has forgotten the query's place"),
        (_, "QUERY_TIMEOUT") => fault(FaultKind::QueryTimeout, "the query ran for too long")
            .hint("narrow it: a filter on an indexed field (CreatedDate, LastModifiedDate, an external id), fewer rows"),
        (_, "REQUEST_LIMIT_EXCEEDED") if message.starts_with("Concurrent") => {
            fault(FaultKind::Unavailable, "the org serves too many long requests at once")
        }
        (_, "REQUEST_LIMIT_EXCEEDED") => fault(FaultKind::Limit, "the org's API limit is used up")
            .hint("it counts the last 24 hours; Setup, Company Information shows it"),
        (_, "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED") => {
            fault(FaultKind::SessionRejected, "the user may not use the API")
                .hint("give the user's profile or a permission set \"API Enabled\"; some editions have no API")
        }
        (410, _) | (_, "UNSUPPORTED_API_VERSION" | "GONE") => {
            fault(FaultKind::Configuration, &format!("the org no longer has API version {api_version}"))
                .hint("set api_version to one that the org offers (GET /services/data lists them)")
        }
        (404, _) => fault(FaultKind::Configuration, &format!("the org does not have API version {api_version}, or no REST API"))
            .hint("set api_version to one that the org offers (GET /services/data lists them)"),
        (413 | 414 | 431, _) => fault(FaultKind::QueryRefused, "the query is too long for a URL")
            .hint("name fewer fields, or split the query into several jobs"),
        (406 | 420 | 429 | 500..=599, _) => fault(FaultKind::Unavailable, "the org cannot answer now"),
        (300..=399, _) => fault(FaultKind::Unavailable, "the org sends elsewhere, which is not followed"),
        (403, _) => fault(FaultKind::QueryRefused, "the org forbids the query"),
        (400..=499, _) => fault(FaultKind::QueryRefused, "the org refused the query"),
        _ => fault(FaultKind::InvalidResponse, "the org answered with a status that makes no sense"),
    };
    Fault { retry_after: head.retry_after, ..fault }
}

/// The code and message of an error body: a list of objects, or one object.
fn error_of(body: &[u8]) -> Option<(String, String)> {
    #[derive(serde::Deserialize, Default)]
    #[serde(default)]
    struct Said {
        #[serde(rename = "errorCode", alias = "error")]
        code: String,
        #[serde(alias = "error_description")]
        message: String,
    }
    let said = match serde_json::from_slice::<Vec<Said>>(body) {
        Ok(list) => list.into_iter().next()?,
        Err(_) => serde_json::from_slice::<Said>(body).ok()?,
    };
    Some((said.code, said.message))
}

/// An org's own words as a person reads them: its messages have some hundred characters, so that what is far longer
/// is no message, and would fill a log.
pub(super) fn words(text: &str) -> String {
    const MAX_MESSAGE_CHARS: usize = 2_000;
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => plain(text).into_owned(),
        Some((end, _)) => format!("{}...", plain(&text[..end])),
    }
}

/// A body that says nothing, described: its text may hold anything, even the query, and is not shown.
fn described(content_type: Option<&str>, body: &[u8]) -> String {
    let html = content_type.is_some_and(|value| value.starts_with("text/html"));
    match (body.len(), html) {
        (0, _) => "nothing else".to_owned(),
        (_, true) => "a page of HTML".to_owned(),
        (length, false) => format!("{length} bytes that are no error of Salesforce's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orgs_words_are_cut_where_they_are_no_message_and_forge_nothing() {
        let said = |message: &str| {
            let body = serde_json::json!([{"errorCode": "MALFORMED_QUERY", "message": message}]).to_string();
            read(AnswerHead { status: 400, ..AnswerHead::default() }, body.as_bytes(), "62.0").what
        };
        assert_eq!(
            said("\nFROM\u{1b}[2K A\n     ^\nunexpected token\n"),
            "the org refused the query: MALFORMED_QUERY:\nFROM\\u{1b}[2K A\n     ^\nunexpected token"
        );
        let long = said(&"ä".repeat(100_000));
        assert_eq!(long, format!("the org refused the query: MALFORMED_QUERY: {}...", "ä".repeat(2_000)));
    }
}

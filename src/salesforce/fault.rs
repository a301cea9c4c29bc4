//! What can go wrong with a request, classified by how a run reacts (see `retry`), and the only reader of
//! Salesforce's error bodies. Code branches on [`FaultKind`] and [`ErrorCode`], never on a message.

use std::time::Duration;

use super::response::Head;
use crate::error::{Exit, Failure, plain, plain_lines};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    /// Its kind, which decides how a run reacts.
    pub kind: FaultKind,
    /// Salesforce's own code, if the org sent one.
    pub code: Option<ErrorCode>,
    /// The message for people, with the org's own words if it sent any. Never contains a token or the text of a
    /// query from our side.
    pub what: String,
    /// `what` without the literals of the query or the values of a record, if it has any: for the status page and for
    /// webhooks.
    pub redacted: Option<Box<str>>,
    /// What to do about it, if known.
    pub hint: Option<String>,
    /// How long the org asked us to wait.
    pub retry_after: Option<Duration>,
}

/// The kinds of fault: one for each way a run can react.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// No connection, or no response in time.
    Unreachable,
    /// The org cannot respond now: 5xx, 406, 420, 429, or too many long requests at once.
    Unavailable,
    /// The response was cut short or is not complete JSON.
    Truncated,
    /// The session has ended; a new login can replace it.
    SessionExpired,
    /// The session cannot be used, and neither could one from a new login.
    SessionRejected,
    /// The query locator has expired; the query can be sent again.
    LocatorExpired,
    /// The query ran for too long.
    QueryTimeout,
    /// A limit that stays in force for hours.
    Limit,
    /// The token endpoint, or a proxy on the way, refused the login.
    LoginRefused,
    /// The login reached another org than the configuration names.
    AnotherOrg,
    /// The org refused the query.
    QueryRefused,
    /// The query is too long for a URL.
    QueryTooLong,
    /// The configuration does not work here: the org does not have the API version, or the CA file is unusable.
    Configuration,
    /// The response is complete but wrong: records of an unexpected shape, a locator that leads elsewhere.
    InvalidResponse,
    /// The number of records differs from the org's count, or the pages disagree about it.
    Miscount,
}

/// The Salesforce error codes that code depends on. If Salesforce uses one code for two causes and only the message
/// tells them apart, there are two values here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// `API_DISABLED_FOR_ORG`, `API_CURRENTLY_DISABLED`: the user or the org has no API.
    ApiDisabled,
    /// `REQUEST_LIMIT_EXCEEDED` with `Concurrent...`: too many long requests at this moment.
    ConcurrentRequests,
    /// `REQUEST_LIMIT_EXCEEDED` otherwise: the daily limit.
    RequestLimitExceeded,
    /// `INVALID_QUERY_LOCATOR`.
    InvalidQueryLocator,
    /// `INVALID_SESSION_ID` for a session that the REST API never accepts: the app lacks the scope `api`.
    SessionNotForApi,
    /// `QUERY_TIMEOUT`.
    QueryTimeout,
    /// `LIMIT_EXCEEDED`: the query jobs of a day, or the size of their results.
    BulkLimitExceeded,
    /// `EXCEEDED_ID_LIMIT`: too many records were deleted in a window of the log of deletes.
    ExceededIdLimit,
    /// `INVALID_REPLICATION_DATE`: a window that the org's log of deletes does not reach back to.
    InvalidReplicationDate,
    /// `JOB_NOT_COMPLETE`: a query job has no result yet.
    JobNotComplete,
    /// `TXN_SECURITY_METERING_ERROR`: the org's transaction security policies took too long to decide.
    SecurityTimeout,
    /// `UNSUPPORTED_API_VERSION`, `GONE`.
    UnsupportedApiVersion,
    /// `INVALID_FIELD`.
    InvalidField,
    /// `INVALID_TYPE`.
    InvalidType,
    /// `NOT_FOUND`.
    NotFound,
    /// `MALFORMED_QUERY`. Its message quotes the query.
    MalformedQuery,
    /// `INVALID_QUERY_FILTER_OPERATOR`, `MALFORMED_ID`, `NUMBER_OUTSIDE_VALID_RANGE`, `QUERY_TOO_COMPLICATED`: the
    /// org refuses the query because of its content.
    UnacceptableQuery,
    /// Any other, as the org spelled it.
    Other(String),
}

impl ErrorCode {
    /// The code of an error; `None` if it has none.
    pub(super) fn of(code: &str, message: &str) -> Option<Self> {
        Some(match code {
            "" => return None,
            "API_DISABLED_FOR_ORG" | "API_CURRENTLY_DISABLED" => Self::ApiDisabled,
            "REQUEST_LIMIT_EXCEEDED" if message.starts_with("Concurrent") => Self::ConcurrentRequests,
            "REQUEST_LIMIT_EXCEEDED" => Self::RequestLimitExceeded,
            "INVALID_QUERY_LOCATOR" => Self::InvalidQueryLocator,
            "INVALID_SESSION_ID" if message.contains("not valid for use with the REST API") => {
                Self::SessionNotForApi
            }
            "QUERY_TIMEOUT" => Self::QueryTimeout,
            "LIMIT_EXCEEDED" => Self::BulkLimitExceeded,
            "EXCEEDED_ID_LIMIT" => Self::ExceededIdLimit,
            "INVALID_REPLICATION_DATE" => Self::InvalidReplicationDate,
            "JOB_NOT_COMPLETE" => Self::JobNotComplete,
            "TXN_SECURITY_METERING_ERROR" => Self::SecurityTimeout,
            "UNSUPPORTED_API_VERSION" | "GONE" => Self::UnsupportedApiVersion,
            "NOT_FOUND" => Self::NotFound,
            "INVALID_FIELD" => Self::InvalidField,
            "INVALID_TYPE" => Self::InvalidType,
            "MALFORMED_QUERY" => Self::MalformedQuery,
            "INVALID_QUERY_FILTER_OPERATOR"
            | "MALFORMED_ID"
            | "NUMBER_OUTSIDE_VALID_RANGE"
            | "QUERY_TOO_COMPLICATED" => Self::UnacceptableQuery,
            other => Self::Other(other.to_owned()),
        })
    }

    /// Whether the error is about the query itself, so sending it in another way cannot help.
    #[must_use]
    pub fn is_about_the_query(&self) -> bool {
        matches!(
            self,
            Self::InvalidField | Self::InvalidType | Self::MalformedQuery | Self::UnacceptableQuery
        )
    }
}

impl Fault {
    /// A fault without a hint.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, code: None, what: what.into(), redacted: None, hint: None, retry_after: None }
    }

    /// Whether every further request would meet it: it is about the user, the app, the quota or the API version, not
    /// about what was asked for.
    #[must_use]
    pub fn is_about_the_org(&self) -> bool {
        match self.kind {
            FaultKind::SessionExpired
            | FaultKind::SessionRejected
            | FaultKind::LoginRefused
            | FaultKind::AnotherOrg => true,
            FaultKind::Limit => self.code != Some(ErrorCode::BulkLimitExceeded),
            FaultKind::Configuration => self.code != Some(ErrorCode::NotFound),
            _ => false,
        }
    }

    /// Whether the network or the org as a whole may be the reason, as well as the one request that met it.
    #[must_use]
    pub fn may_be_the_orgs(&self) -> bool {
        matches!(self.kind, FaultKind::Unreachable | FaultKind::Unavailable | FaultKind::Truncated)
    }

    /// The same fault with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with an addition to its message.
    #[must_use]
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.what = format!("{}, and {more}", self.what);
        self.redacted = self.redacted.map(|redacted| format!("{redacted}, and {more}").into());
        self
    }

    /// The same fault with the number of attempts in its message.
    #[must_use]
    pub(crate) fn after(mut self, attempts: u32) -> Self {
        let after = |what: &str| format!("{what} (after {attempts} attempts)");
        self.what = after(&self.what);
        self.redacted = self.redacted.map(|redacted| after(&redacted).into());
        self
    }

    /// The failure of a run that gives up because of this fault.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let exit = match self.kind {
            FaultKind::Unreachable | FaultKind::Unavailable => Exit::Unavailable,
            FaultKind::Truncated
            | FaultKind::LocatorExpired
            | FaultKind::InvalidResponse
            | FaultKind::Miscount => Exit::Incomplete,
            FaultKind::SessionExpired
            | FaultKind::SessionRejected
            | FaultKind::LoginRefused
            | FaultKind::AnotherOrg => Exit::Login,
            FaultKind::QueryTimeout | FaultKind::QueryRefused | FaultKind::QueryTooLong => Exit::Query,
            FaultKind::Limit => Exit::TryLater,
            FaultKind::Configuration => Exit::Configuration,
        };
        Failure {
            hint: self.hint,
            redacted: self.redacted.map(String::from),
            ..Failure::new(exit, self.what)
        }
    }
}

/// Reads an unsuccessful response: Salesforce's list of `message` and `errorCode`, or whatever a proxy, an edge
/// server or a maintenance page sent instead. `subject` is what was asked for, as in "the query"; `api_version` is
/// for messages about an unsupported version.
#[must_use]
pub fn read(head: &Head, body: &[u8], subject: &str, api_version: &str) -> Fault {
    let status = head.status;
    let (code, message) = error_of(body).unwrap_or_default();
    let shown_code = words(&code);
    let shown = match (code.is_empty(), message.is_empty()) {
        (false, _) if has_excerpt(&message) => format!("{shown_code}:{}", indented(&message)),
        (false, _) => format!("{shown_code}: {}", words(message.trim_end())),
        (true, false) => words(message.trim_end()),
        (true, true) => format!("status {status} with {}", described(head, body)),
    };
    let code = ErrorCode::of(&code, &message);
    let redacted = redacted(code.as_ref(), &message).map(|message| format!("{shown_code}: {message}"));
    let fault = |kind, what: &str| Fault {
        redacted: redacted.as_ref().map(|redacted| format!("{what}: {redacted}").into()),
        ..Fault::new(kind, format!("{what}: {shown}"))
    };
    let fault = match (status, code.as_ref()) {
        (401, Some(ErrorCode::SessionNotForApi)) => {
            fault(FaultKind::SessionRejected, "the org rejected the session")
                .hint("give the app the scope \"Manage user data via APIs (api)\"")
        }
        (401, _) => fault(FaultKind::SessionExpired, "the session has expired"),
        (_, Some(ErrorCode::InvalidQueryLocator)) => {
            fault(FaultKind::LocatorExpired, "the org no longer has the query's result")
        }
        (_, Some(ErrorCode::QueryTimeout)) => fault(FaultKind::QueryTimeout, "the query ran for too long").hint(
            "narrow the query: filter by an indexed field (CreatedDate, LastModifiedDate, an external id), or ask for \
             fewer rows",
        ),
        (_, Some(ErrorCode::ConcurrentRequests)) => {
            fault(FaultKind::Unavailable, "the org is serving too many long requests")
        }
        (_, Some(ErrorCode::RequestLimitExceeded)) => fault(FaultKind::Limit, "the org's daily API requests are used up")
            .hint("wait: the limit covers the last 24 hours; Setup > Company Information shows the usage"),
        (_, Some(ErrorCode::BulkLimitExceeded)) => {
            fault(FaultKind::Limit, "the org has reached a limit").hint(
                "wait: the limits on query jobs cover the last 24 hours; or set api = \"rest\", which has others",
            )
        }
        (_, Some(ErrorCode::JobNotComplete)) => {
            fault(FaultKind::Unavailable, "the org has not completed the query job")
        }
        (_, Some(ErrorCode::SecurityTimeout)) => {
            fault(FaultKind::Unavailable, "the org cannot respond now").hint(
                "give the user the permission \"Exempt from Transaction Security\", or simplify the policies under Setup > Transaction Security Policies",
            )
        }
        (_, Some(ErrorCode::ApiDisabled)) => fault(FaultKind::SessionRejected, "the user may not use the API")
            .hint("give the user's profile or a permission set \"API Enabled\"; some editions have no API"),
        (410, _) | (_, Some(ErrorCode::UnsupportedApiVersion)) => {
            fault(FaultKind::Configuration, &format!("the org no longer has API version \"{api_version}\""))
                .hint("set api_version to one that the org offers (GET /services/data lists them)")
        }
        (404, _) => fault(
            FaultKind::Configuration,
            &format!("the org does not have API version \"{api_version}\", or has no REST API"),
        )
        .hint("set api_version to one that the org offers (GET /services/data lists them)"),
        (413 | 414 | 431, _) => fault(FaultKind::QueryTooLong, &format!("{subject} is too long for a URL"))
            .hint("select fewer fields, or split the query into several jobs"),
        (407, _) => refused_by_proxy(None),
        (406 | 420 | 429 | 500..=599, _) => fault(FaultKind::Unavailable, "the org cannot respond now"),
        (300..=399, _) => redirected(head),
        (403, _) => fault(FaultKind::QueryRefused, &format!("the org does not allow {subject}")),
        (400..=499, _) => fault(FaultKind::QueryRefused, &format!("the org refused {subject}")),
        _ => fault(FaultKind::InvalidResponse, "the org responded with an unexpected status"),
    };
    Fault { code, retry_after: head.retry_after(), ..fault }
}

/// A redirect, which is never followed: the token must not go to another host. A renamed My Domain redirects
/// permanently; a maintenance window or a proxy does so for a while.
fn redirected(head: &Head) -> Fault {
    let Head { status, .. } = *head;
    match head.redirect_target() {
        Some(target) => Fault::new(
            FaultKind::Unavailable,
            format!("the org redirects to \"{target}\" (status {status}), and redirects are not followed"),
        )
        .hint("if the My Domain was renamed, set login_url to the URL under Setup > My Domain > Current My Domain URL"),
        None => Fault::new(
            FaultKind::Unavailable,
            format!("the org redirects (status {status}) without saying where to"),
        ),
    }
}

/// A proxy that requires credentials; a retry with the same ones, or none, cannot succeed. `proxy` is its name as
/// shown to people.
pub(crate) fn refused_by_proxy(proxy: Option<&str>) -> Fault {
    let proxy = proxy.map_or_else(|| "a proxy".to_owned(), |proxy| format!("the proxy {proxy}"));
    Fault::new(FaultKind::LoginRefused, format!("{proxy} requires a user name and a password (status 407)"))
        .hint("put them into HTTPS_PROXY, percent-encoded: http://USER:PASSWORD@HOST:PORT")
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

/// The most characters shown of an org's message. Real ones have a few hundred; much longer ones would fill the
/// log.
const MAX_MESSAGE_CHARS: usize = 2_000;

/// An org's own words as one line.
pub(crate) fn words(text: &str) -> String {
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        None => plain(text).into_owned(),
        Some((end, _)) => format!("{}...", plain(&text[..end])),
    }
}

/// Whether a message begins with an excerpt of the query on its own line, with a caret below it.
fn has_excerpt(message: &str) -> bool {
    message.starts_with('\n')
}

/// A message with an excerpt, indented so no line of it can look like one of ours.
fn indented(message: &str) -> String {
    let end = message.char_indices().nth(MAX_MESSAGE_CHARS);
    let lines = plain_lines(end.map_or(message, |(end, _)| &message[..end]).trim_matches('\n'));
    let cut = if end.is_some() { "..." } else { "" };
    format!("\n    {}{cut}", lines.replace('\n', "\n    "))
}

/// A message without anything that may be a literal of the query; `None` if it needs no change. The excerpt is left
/// out, and so is anything in quotes in the rest of a syntax error, because it too is quoted from the query.
fn redacted(code: Option<&ErrorCode>, message: &str) -> Option<String> {
    let is_syntax = code == Some(&ErrorCode::MalformedQuery);
    let rest = match has_excerpt(message) {
        true => message.split_once("^\n").map_or("", |(_, rest)| rest),
        false if is_syntax => message,
        false => return None,
    };
    let rest = words(&rest.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(match is_syntax {
        // Every other piece is inside quotes; an unclosed one runs to the end.
        true => {
            rest.split('\'').enumerate().map(|(at, piece)| if at % 2 == 0 { piece } else { "'…'" }).collect()
        }
        false => rest,
    })
}

/// A description of a body without an error message. The body itself is not shown: it may contain anything, even
/// the query.
fn described(head: &Head, body: &[u8]) -> String {
    match body.len() {
        0 => "no body".to_owned(),
        _ if head.is_html() => "a page of HTML".to_owned(),
        length => format!("{length} bytes that are not a Salesforce error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orgs_words_are_shortened_and_cannot_forge_our_lines() {
        let said = |message: &str| {
            let body = serde_json::json!([{"errorCode": "MALFORMED_QUERY", "message": message}]).to_string();
            read(&Head::of_status(400), body.as_bytes(), "the query", "62.0").what
        };
        assert_eq!(
            said("\nFROM\u{1b}[2K A\n     ^\nunexpected token\n"),
            "the org refused the query: MALFORMED_QUERY:\n    FROM\\u{1b}[2K A\n         ^\n    unexpected token"
        );
        assert_eq!(
            said("unexpected token\nerror: forged\u{202e}"),
            "the org refused the query: MALFORMED_QUERY: unexpected token\\nerror: forged\\u{202e}"
        );
        let long = said(&"ä".repeat(100_000));
        assert_eq!(long, format!("the org refused the query: MALFORMED_QUERY: {}...", "ä".repeat(2_000)));
    }

    #[test]
    fn a_querys_literals_are_left_out_of_redacted_messages() {
        let redacted = |code: &str, message: &str| {
            let body = serde_json::json!([{"errorCode": code, "message": message}]).to_string();
            read(&Head::of_status(400), body.as_bytes(), "the query", "62.0").redacted
        };
        let window =
            "\nWHERE Name = 'a secret' ORDR BY Id\n                        ^\nERROR at Row:1:Column:57\n";
        for (code, message, expected) in [
            (
                "MALFORMED_QUERY",
                format!("{window}unexpected token: 'ORDR'"),
                Some("MALFORMED_QUERY: ERROR at Row:1:Column:57 unexpected token: '…'"),
            ),
            (
                "MALFORMED_QUERY",
                "unexpected token: 'a secret".to_owned(),
                Some("MALFORMED_QUERY: unexpected token: '…'"),
            ),
            // Without a caret the end of the excerpt is unknown.
            ("MALFORMED_QUERY", "\nName = 'a secret'\nodd".to_owned(), Some("MALFORMED_QUERY: ")),
            (
                "INVALID_FIELD",
                format!("{window}No such column 'Nope' on entity 'Account'"),
                Some("INVALID_FIELD: ERROR at Row:1:Column:57 No such column 'Nope' on entity 'Account'"),
            ),
            ("INVALID_TYPE", "sObject type 'X' is not supported.".to_owned(), None),
        ] {
            let expected = expected.map(|expected| format!("the org refused the query: {expected}"));
            assert_eq!(redacted(code, &message).as_deref(), expected.as_deref(), "{message}");
        }
    }

    #[test]
    fn a_code_with_two_causes_becomes_two_error_codes() {
        let read = |status: u16, code: &str, message: &str| {
            let body = serde_json::json!([{"errorCode": code, "message": message}]).to_string();
            let fault = read(&Head::of_status(status), body.as_bytes(), "the query", "62.0");
            (fault.kind, fault.code)
        };
        // The messages are from recorded/error_403_concurrent_limit.json and error_403_request_limit_exceeded.json.
        assert_eq!(
            read(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
            (FaultKind::Unavailable, Some(ErrorCode::ConcurrentRequests))
        );
        assert_eq!(
            read(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            (FaultKind::Limit, Some(ErrorCode::RequestLimitExceeded))
        );
        assert_eq!(
            read(401, "INVALID_SESSION_ID", "Session expired or invalid"),
            (FaultKind::SessionExpired, Some(ErrorCode::Other("INVALID_SESSION_ID".to_owned())))
        );
        assert_eq!(
            read(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
            (FaultKind::SessionRejected, Some(ErrorCode::SessionNotForApi))
        );
        assert_eq!(
            read(400, "INVALID_FIELD", "No such column 'QUERY_TIMEOUT'"),
            (FaultKind::QueryRefused, Some(ErrorCode::InvalidField))
        );
        assert_eq!(read(500, "", ""), (FaultKind::Unavailable, None));
    }

    #[test]
    fn a_redirect_names_its_target_without_the_query() {
        let to = |target: &str| read(&Head::new(301, [("Location", target)]), b"", "the query", "62.0").what;
        assert_eq!(
            to("https://new-name.my.salesforce.com/services/data/v62.0/query?q=SELECT+Id"),
            "the org redirects to \"https://new-name.my.salesforce.com\" (status 301), and redirects are not followed"
        );
        assert_eq!(
            to("/maintenance\u{1b}[2K?q=SELECT+Id#x"),
            "the org redirects to \"/maintenance\\u{1b}[2K\" (status 301), and redirects are not followed"
        );
        let nowhere = read(&Head::of_status(302), b"", "the query", "62.0");
        assert_eq!(nowhere.what, "the org redirects (status 302) without saying where to");
    }
}

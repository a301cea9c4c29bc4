//! What can be made to go wrong: rules that say which request is answered how. Carried out by `wire` (the
//! connection) and `routes` (the answer).

use std::time::Duration;

/// One scripted fault: which requests it meets, how many of them, and what they get.
///
/// Rules are looked at in the order they were scripted; the first that still has a turn left and fits wins.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) at: At,
    pub(super) left: usize,
    pub(super) fault: Fault,
}

impl Rule {
    /// A fault that happens once.
    #[must_use]
    pub fn once(at: At, fault: Fault) -> Self {
        Self { at, left: 1, fault }
    }

    /// A fault that happens to the first request that fits and to those that fit after it, so many in all.
    #[must_use]
    pub fn times(at: At, times: usize, fault: Fault) -> Self {
        Self { at, left: times, fault }
    }

    /// A fault that happens to every request that fits, from the first on.
    #[must_use]
    pub fn always(at: At, fault: Fault) -> Self {
        Self { at, left: usize::MAX, fault }
    }
}

/// Which request a rule meets first. Numbers count from 1 since the org started, and every request counts,
/// also one that failed: a retried page is another page request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The n-th token request and those after it.
    Login(usize),
    /// The n-th request for records, first pages and further pages alike, but not the further pages of child
    /// queries; and those after it.
    Page(usize),
    /// The n-th request for a further page of a child query, and those after it.
    ChildPage(usize),
    /// Any request whose path and query string contain this text, after percent-decoding of neither.
    Containing(String),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Another answer altogether: status, headers (`Content-Type`, `Retry-After`) and body. The request is not
    /// looked at further.
    Answer {
        /// The status.
        status: u16,
        /// The headers, besides those that frame the body.
        headers: Vec<(String, String)>,
        /// The body; sent as it is, never compressed.
        body: Vec<u8>,
    },
    /// The connection is closed before a byte of the answer.
    Close,
    /// The right answer, but the connection is closed after so many bytes of its body (as sent, so of the
    /// compressed body where it is compressed). A cut at or behind the end still leaves the framing unfinished
    /// (chunked), or changes nothing (length), or is no fault at all (until close).
    Cut {
        /// How many bytes of the body are sent.
        after: usize,
        /// How the body's end would have been told.
        framing: Framing,
    },
    /// A whole HTTP answer whose body is only the first so many bytes of the right one.
    Truncate {
        /// How many bytes are left, before compression.
        after: usize,
    },
    /// The answer comes late.
    Late(Duration),
    /// The answer stops after so many bytes of its body, and goes on after this time.
    Stall {
        /// How many bytes are sent before the pause.
        after: usize,
        /// How long it is.
        pause: Duration,
    },
    /// The body comes in small pieces with a pause after each.
    Drip {
        /// The size of a piece in bytes; at least 1.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },
    /// `totalSize` is this number.
    TotalSize(u64),
    /// `done` is false although there is no `nextRecordsUrl`.
    NoNextUrl,
    /// `done` is true, although records are missing, and there is no `nextRecordsUrl`.
    DoneEarly,
    /// `nextRecordsUrl` of a further page is that page's own; a first page is left right.
    RepeatedLocator,
    /// `done` is false and `nextRecordsUrl` is this text.
    NextUrl(String),
    /// The keys of the envelope come in this order; each of `totalSize`, `done`, `nextRecordsUrl`, `records`
    /// that is not named is left out.
    KeyOrder(Vec<&'static str>),
    /// Every access token given out so far stops working: this request and others with it get 401
    /// `INVALID_SESSION_ID` until a new login.
    ExpiredSession,
    /// 400 `INVALID_QUERY_LOCATOR`, and every locator given out so far is forgotten.
    LostLocator,
}

impl Fault {
    /// A REST error of Salesforce's: `[{"message":...,"errorCode":...}]`.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = super::refusal::body(code, message);
        Self::Answer { status, headers: vec![json()], body }
    }

    /// A refusal of the token endpoint: status 400, `{"error":...,"error_description":...}`.
    #[must_use]
    pub fn login_refused(error: &str, description: &str) -> Self {
        let body = super::refusal::oauth_body(error, description);
        Self::Answer { status: 400, headers: vec![json()], body }
    }

    /// A page of HTML, such as a gateway or a maintenance window sends.
    #[must_use]
    pub fn html(status: u16, body: &str) -> Self {
        let headers = vec![("Content-Type".to_owned(), "text/html;charset=UTF-8".to_owned())];
        Self::Answer { status, headers, body: body.as_bytes().to_owned() }
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Answer { status, headers: vec![("Location".to_owned(), location.to_owned())], body: Vec::new() }
    }

    /// Status 200 and JSON of any content.
    #[must_use]
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer { status: 200, headers: vec![json()], body: body.into() }
    }

    /// The same answer with one more header (`Retry-After`); any other fault is left as it is.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

fn json() -> (String, String) {
    ("Content-Type".to_owned(), "application/json;charset=UTF-8".to_owned())
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, as Salesforce does.
    #[default]
    Chunked,
    /// `Content-Length`, the whole body's.
    Length,
    /// Neither: the body ends with the connection, so that a cut one looks whole.
    UntilClose,
}

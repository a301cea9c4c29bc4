//! What can go wrong on request: rules that match requests with faults. `script` picks the rule, `routes` and `query`
//! change the response, `wire` disturbs the connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Request;
use super::bulk::Fate;
use super::data::RecordId;

/// One scripted fault: which requests it meets, how many of them, and what happens to them.
///
/// Rules are tried in the order in which they were scripted; the first one that fits and has a turn left wins.
/// A request that is to meet several faults at once gets a [`Fault::All`].
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) at: At,
    pub(super) skip: usize,
    pub(super) left: usize,
    pub(super) fault: Fault,
}

impl Rule {
    /// A fault that happens once.
    #[must_use]
    pub fn once(at: At, fault: Fault) -> Self {
        Self::times(at, 1, fault)
    }

    /// A fault that happens to this many fitting requests, from the first one on.
    #[must_use]
    pub fn times(at: At, times: usize, fault: Fault) -> Self {
        Self { at, skip: 0, left: times, fault }
    }

    /// A fault that happens to every fitting request, from the first one on.
    #[must_use]
    pub fn always(at: At, fault: Fault) -> Self {
        Self::times(at, usize::MAX, fault)
    }

    /// The same rule, but this many fitting requests pass unharmed first. The second page of a query, and that
    /// page alone: `Rule::once(At::Soql("from account".into()), fault).after(1)`.
    #[must_use]
    pub fn after(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }
}

/// Which requests a rule fits. Numbers count from 1 since the org started, and every request counts, also one
/// that failed: a page that is requested again is another page request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The n-th token request and those after it.
    Login(usize),
    /// The n-th request for records and those after it: first and further pages alike, but not the further
    /// pages of child queries.
    Page(usize),
    /// The n-th request for a further page of a child query and those after it.
    ChildPage(usize),
    /// Every request for records of a query whose text contains this, without regard to case: its first page
    /// and its further pages, but neither the further pages of its child queries nor the question for its
    /// columns. `count()` finds what a client counts with.
    Soql(String),
    /// The n-th creation of a query job and those after it.
    BulkCreate(usize),
    /// The n-th question for a query job's state and those after it.
    BulkPoll(usize),
    /// The n-th request for a page of a query job's result and those after it.
    BulkResults(usize),
    /// The n-th request for links to the pages of a result (`resultPages`) and those after it.
    BulkPages(usize),
    /// The n-th request to abort a query job and those after it.
    BulkAbort(usize),
    /// The n-th request to delete a query job and those after it.
    BulkDelete(usize),
    /// Every request whose path and query string, as they were sent, contain this text.
    Containing(String),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// All of these, in this order.
    All(Vec<Self>),
    /// The test's own code runs before the request is looked at further: it may kill the client, remove a
    /// directory, or delete rows by a rule of its own.
    Hook(Hook),

    /// Another response altogether: status, headers (`Content-Type`, `Retry-After`) and body. A header that
    /// the org sends by itself (`Date`) is replaced. The request is not looked at further.
    Answer {
        /// The status.
        status: u16,
        /// The headers, except those that frame the body.
        headers: Vec<(String, String)>,
        /// The body; sent as it is, never compressed.
        body: Vec<u8>,
    },
    /// In the body of the right response, all occurrences of a text are replaced: names of people and ids in
    /// the identity, a key of the login's response, a version. What is put in must be valid in its place;
    /// control characters in JSON have to be escaped, for one.
    Replace {
        /// The text to look for.
        what: String,
        /// What is put in its place.
        with: String,
    },
    /// A complete HTTP response whose body is only the first so many bytes of the right one.
    Truncate {
        /// How many bytes are left, before compression.
        after: usize,
    },

    /// The connection is closed before a byte of the response.
    Close,
    /// The right response, but the connection is closed after so many bytes of its body (as sent, so of the
    /// compressed body where it is compressed). A cut at or behind the end still leaves the framing unfinished
    /// (chunked), or changes nothing (length), or is no fault at all (until close).
    Cut {
        /// How many bytes of the body are sent.
        after: usize,
        /// How the end of the body would have been marked.
        framing: Framing,
    },
    /// The peer is gone without a word: after so many bytes of the body, or before the status line, nothing
    /// more is sent, and the connection stays open until the client closes it.
    HalfOpen {
        /// How many bytes of the body are sent; with `None` not even the head is.
        after: Option<usize>,
    },
    /// The response comes late.
    Late(Duration),
    /// The response stops after so many bytes of its body, and goes on after this time.
    Stall {
        /// How many bytes are sent before the pause.
        after: usize,
        /// How long the pause is.
        pause: Duration,
    },
    /// The body comes in small pieces with a pause after each.
    Drip {
        /// The size of a piece in bytes; at least 1.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },

    /// These rows go to the recycle bin before the request is looked at, as [`super::DemoOrg::delete`] does
    /// it. A query that is open does not send them any more: its pages get shorter, its `totalSize` stays.
    Delete(Vec<RecordId>),
    /// These rows are gone before the request is looked at, from the recycle bin too, as
    /// [`super::DemoOrg::purge`] does it.
    Purge(Vec<RecordId>),

    /// Other clients of the org use up so many API calls before the request is looked at.
    UseApiCalls(u64),

    /// `totalSize` is this number; -1 says that the org does not count. Of a query job, its `numberRecordsProcessed`.
    TotalSize(i64),
    /// The query ends after so many of its rows: the page that reaches them says `done: true`, or `Sforce-Locator: null`
    /// in a query job's result. To be scripted for all pages of the query.
    StopAfter(usize),
    /// `done` is true, although records are missing, and there is no `nextRecordsUrl`. In a query job's result,
    /// `Sforce-Locator` is `null`.
    DoneEarly,
    /// `done` is false although there is no `nextRecordsUrl`. A query job's result lacks the header `Sforce-Locator`.
    NoNextUrl,
    /// `nextRecordsUrl` of a further page is that page's own; a first page is left right. In a query job's result,
    /// `Sforce-Locator` is that of the page itself, also of the first.
    RepeatedLocator,
    /// `done` is false and `nextRecordsUrl` is this text, which leads nowhere. In a query job's result, `Sforce-Locator`
    /// is this text.
    NextUrl(String),
    /// `nextRecordsUrl` has this text for its locator, an offset behind it, and leads to the right page if it
    /// is requested with these very characters. So does the `Sforce-Locator` of a query job's result.
    Locator(String),
    /// The page has no records, `done` is false, and `nextRecordsUrl` counts up: scripted for all pages of a
    /// query or of a query job's result, it never ends.
    EmptyPages,
    /// The page has the query's first records once more, `done` is false, and `nextRecordsUrl` counts up:
    /// scripted for all pages of a query or of a query job's result, it never ends.
    RepeatedPages,
    /// `records` is null.
    NullRecords,
    /// The envelope has these further keys with these values, which are JSON; last, unless a
    /// [`Fault::KeyOrder`] names them.
    ExtraKeys(Vec<(&'static str, &'static str)>),
    /// The keys of the envelope come in this order; each of `totalSize`, `done`, `nextRecordsUrl`, `records`
    /// that is not named is left out.
    KeyOrder(Vec<&'static str>),
    /// These faults of an envelope in the envelopes of the child results that the page holds.
    InChildren(Vec<Self>),

    /// The keys of each record come in reverse order, `attributes` last.
    ReversedKeys,
    /// Addresses without any part are null instead of an object of nulls.
    NullAddresses,
    /// Each text in a record is filled up with `x` to so many bytes.
    LongTexts(usize),
    /// So many further columns, `Extra000001__c` and so on, texts with the value `x`: in describe, in the
    /// columns of a query, and in the records, wherever it is scripted for.
    ExtraColumns(usize),

    /// Something happens to the query job before a request about it is looked at; at its creation, right after it.
    Job(Fate),
    /// A page of a query job's result ends so many rows early. Neither its headers nor its framing tell.
    MissingRows(usize),
    /// A page of a query job's result has its first rows, so many, once more at its end. Its headers do not tell.
    DoubledRows(usize),
    /// `Sforce-NumberOfRecords` of a page is off by so many.
    NumberOfRecords(i64),

    /// These fields are missing from the object's describe, as field-level security hides them.
    HiddenFields(Vec<&'static str>),

    /// Every access token given out so far stops working: this request and others with it get 401
    /// `INVALID_SESSION_ID` until a new login.
    ExpiredSession,
    /// 400 `INVALID_QUERY_LOCATOR`, and every locator given out so far is forgotten.
    LostLocator,
}

/// Code of a test's own, see [`Fault::Hook`].
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn(&Request) + Send + Sync>);

impl Hook {
    pub(super) fn run(&self, request: &Request) {
        (self.0)(request);
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl PartialEq for Hook {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
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

    /// A proxy that wants to know who asks: status 407 and a page of HTML.
    #[must_use]
    pub fn proxy_authentication() -> Self {
        Self::html(407, "<html><body>Proxy Authentication Required</body></html>")
            .header("Proxy-Authenticate", "Basic realm=\"proxy\"")
    }

    /// Code of the test's own that runs when the request arrives.
    #[must_use]
    pub fn hook(hook: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        Self::Hook(Hook(Arc::new(hook)))
    }

    /// The faults that it consists of, in their order.
    pub(super) fn flattened(self) -> Vec<Self> {
        match self {
            Self::All(faults) => faults.into_iter().flat_map(Self::flattened).collect(),
            fault => vec![fault],
        }
    }

    /// The same response with one more header (`Retry-After`); any other fault stays as it is.
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

/// How the end of a body is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, as Salesforce does.
    #[default]
    Chunked,
    /// `Content-Length`, the whole body's.
    Length,
    /// Neither: the body ends with the connection, so a cut one looks complete.
    UntilClose,
}

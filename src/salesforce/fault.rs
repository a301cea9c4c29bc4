//! What an org or the wire may do to a request, told apart by what a run does about it (`retry` decides that),
//! and the reading of Salesforce's own error bodies.

use std::fmt;
use std::time::Duration;

use crate::error::{Exit, Failure};

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
    Unwell,
    /// The answer was cut short, or is no whole JSON.
    Cut,
    /// The session is over; a new login brings another.
    SessionLost,
    /// The session will never do: a new login brings the same.
    SessionRefused,
    /// The query locator is gone; the query can be asked anew.
    LocatorLost,
    /// The query ran for too long.
    QueryTimeout,
    /// A limit that stands for hours.
    Limit,
    /// The token endpoint refused the login.
    LoginRefused,
    /// The org refused the query.
    QueryRefused,
    /// The org does not have the API version.
    Version,
    /// The answer is whole, but says what it cannot: records of another shape, a locator that leads elsewhere.
    Contradiction,
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
            FaultKind::Unreachable | FaultKind::Unwell => Exit::Unavailable,
            FaultKind::Cut | FaultKind::LocatorLost | FaultKind::Contradiction => Exit::Incomplete,
            FaultKind::SessionLost | FaultKind::SessionRefused | FaultKind::LoginRefused => Exit::Login,
            FaultKind::QueryTimeout | FaultKind::QueryRefused => Exit::Query,
            FaultKind::Limit => Exit::TryLater,
            FaultKind::Version => Exit::Configuration,
        };
        Failure { exit, what: self.what, hint: self.hint }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

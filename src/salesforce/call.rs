//! One call to an org: method, path, headers and body. The client adds the host and the token, and retries the call
//! as the retry policy allows.

use std::borrow::Cow;

use secrecy::SecretString;

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    /// The method.
    pub method: Method,
    /// Path and query string, from the first `/`.
    pub path: Cow<'c, str>,
    /// Headers in addition to those of every request; `Accept` overrides the default of JSON.
    pub headers: Vec<(&'static str, Cow<'c, str>)>,
    /// The body.
    pub body: Option<Payload<'c>>,
    /// What the call asks for, as error messages name it: "the org refused {subject}".
    pub subject: &'c str,
    /// The limits on the response.
    pub bounds: Bounds,
    /// Whether this is a batch of one request, whose inner response is the one wanted.
    pub is_batch: bool,
}

/// The methods that Salesforce's APIs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or sends a request that is too long for a URL.
    Post,
    /// Uploads.
    Put,
    /// Changes; aborts a Bulk job, for example.
    Patch,
    /// Removes.
    Delete,
}

/// A request's body.
#[derive(Debug, Clone)]
pub enum Payload<'c> {
    /// `application/json`.
    Json(Cow<'c, [u8]>),
    /// `text/csv`.
    Csv(Cow<'c, [u8]>),
    /// `application/x-www-form-urlencoded`; contains an assertion.
    Form(&'c SecretString),
}

impl Payload<'_> {
    /// Its `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Json(_) => "application/json;charset=UTF-8",
            Self::Csv(_) => "text/csv;charset=UTF-8",
            Self::Form(_) => "application/x-www-form-urlencoded",
        }
    }
}

/// The limits on a response besides the idle timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bounds {
    /// `request_timeout` and `page_cap`.
    #[default]
    Page,
    /// None: a Bulk result can be of any size and is not held in memory.
    IdleTimeoutOnly,
}

impl<'c> Call<'c> {
    fn new(method: Method, path: impl Into<Cow<'c, str>>, body: Option<Payload<'c>>) -> Self {
        let (headers, bounds) = (Vec::new(), Bounds::default());
        Self { method, path: path.into(), headers, body, subject: "the request", bounds, is_batch: false }
    }

    /// A GET of this path.
    pub fn get(path: impl Into<Cow<'c, str>>) -> Self {
        Self::new(Method::Get, path, None)
    }

    /// A POST to this path.
    pub fn post(path: impl Into<Cow<'c, str>>, body: Payload<'c>) -> Self {
        Self::new(Method::Post, path, Some(body))
    }

    /// A PUT to this path.
    pub fn put(path: impl Into<Cow<'c, str>>, body: Payload<'c>) -> Self {
        Self::new(Method::Put, path, Some(body))
    }

    /// A PATCH of this path.
    pub fn patch(path: impl Into<Cow<'c, str>>, body: Payload<'c>) -> Self {
        Self::new(Method::Patch, path, Some(body))
    }

    /// A DELETE of this path.
    pub fn delete(path: impl Into<Cow<'c, str>>) -> Self {
        Self::new(Method::Delete, path, None)
    }

    /// The same call with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'c, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same call with this subject, as in "the query".
    #[must_use]
    pub fn about(mut self, subject: &'c str) -> Self {
        self.subject = subject;
        self
    }

    /// The same call, limited by the idle timeout alone.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.bounds = Bounds::IdleTimeoutOnly;
        self
    }

    /// Whether a response with this status contains what was asked for. A GET accepts 200 alone: 204 and 206 mean
    /// that something is missing.
    #[must_use]
    pub fn is_fulfilled_by(&self, status: u16) -> bool {
        match self.method {
            Method::Get => status == 200,
            Method::Post | Method::Put | Method::Patch | Method::Delete => (200..300).contains(&status),
        }
    }

    /// Whether the org counts the call against its daily API limit: logins, `userinfo` and the list of API versions
    /// are free.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.path.starts_with("/services/data/v")
    }
}

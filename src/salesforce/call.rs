//! One call to an org: method, path, headers and body. The client adds the host and the token, and repeats the call as
//! often as the retry policy allows.

use std::borrow::Cow;

use secrecy::SecretString;

/// A call to be made.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    /// The method.
    pub method: Method,
    /// Path and query string, from the first `/`.
    pub path: Cow<'c, str>,
    /// Headers beside those that every request has; `Accept` overrules the default of JSON.
    pub headers: Vec<(&'static str, Cow<'c, str>)>,
    /// The body.
    pub body: Option<Payload<'c>>,
    /// What the call is about, for the message of a refusal: "the org refused {subject}".
    pub subject: &'c str,
    /// What bounds the response.
    pub bounds: Bounds,
    /// Whether this is a batch of one request, whose response is the one that is wanted.
    pub is_batch: bool,
}

/// The methods that Salesforce's APIs use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or asks a question that is too long for a URL.
    Post,
    /// Uploads.
    Put,
    /// Changes, as it aborts a Bulk job.
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
    /// `application/x-www-form-urlencoded`; an assertion is in it.
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

/// What bounds a response besides the idle time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bounds {
    /// `request_timeout` and `page_cap`.
    #[default]
    Page,
    /// Nothing: a Bulk result is as large as it is, and is not held in memory.
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

    /// The same call, about this, as in "the query".
    #[must_use]
    pub fn about(mut self, subject: &'c str) -> Self {
        self.subject = subject;
        self
    }

    /// The same call, bounded by the idle time-out alone.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.bounds = Bounds::IdleTimeoutOnly;
        self
    }

    /// Whether a response of this status brings what was asked for. What a GET reads is there with status 200 alone: 204
    /// and 206 are not the whole of it.
    #[must_use]
    pub fn is_fulfilled_by(&self, status: u16) -> bool {
        match self.method {
            Method::Get => status == 200,
            Method::Post | Method::Put | Method::Patch | Method::Delete => (200..300).contains(&status),
        }
    }

    /// Whether the org counts it against the daily API limit: logins, the user's identity and the list of API
    /// versions are free.
    #[must_use]
    pub fn is_counted(&self) -> bool {
        self.path.starts_with("/services/data/v")
    }
}

//! HTTP as a run needs it: bounded in time and size, no redirects, no cookies, and no URL, query or secret in any
//! error. What the answers mean is read by `salesforce`.

mod body;

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER,
};
use reqwest::{Certificate, Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;

use crate::config;
use crate::error::{Exit, Failure};
use crate::report::ApiLimit;
use crate::salesforce::fault::{AnswerHead, Fault, FaultKind};
use crate::salesforce::limits;

use body::{Body, Wrong};

/// One client for the whole process: its connections are kept alive between the requests of all runs.
pub struct Http {
    settings: config::Http,
    /// Loopback is never proxied, whatever the environment says; every other host is, if it says so.
    outside: OnceLock<Client>,
    loopback: OnceLock<Client>,
}

/// A request to an org.
pub struct Request<'r> {
    /// The whole URL.
    pub url: String,
    /// Goes into the `Authorization` header.
    pub token: Option<&'r SecretString>,
    /// The body of a POST, form-encoded; `None` makes it a GET.
    pub form: Option<SecretString>,
    /// How many records a page is asked to hold.
    pub batch_size: Option<u32>,
}

impl Http {
    /// A client with these time-outs and bounds. Nothing is set up before the first request.
    #[must_use]
    pub fn new(settings: config::Http) -> Self {
        Self { settings, outside: OnceLock::new(), loopback: OnceLock::new() }
    }

    /// Sends a request once, and gives the head of its answer, whatever its status; the body follows by
    /// [`Answer::more`] or [`Answer::body`].
    ///
    /// # Errors
    /// [`FaultKind::Unreachable`] where no answer came. A `ca_file` that is none fails for good.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let host = host_of(&request.url);
        let client = self.client(host)?;
        let mut builder = match &request.form {
            Some(form) => client
                .post(&request.url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.expose_secret().to_owned()),
            None => client.get(&request.url),
        };
        builder = builder.header(ACCEPT, "application/json");
        if self.settings.gzip {
            builder = builder.header(ACCEPT_ENCODING, "gzip");
        }
        if let Some(token) = request.token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
                    Fault::new(
                        FaultKind::LoginRefused,
                        "the org's token holds characters that no header can carry",
                    )
                })?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(size) = request.batch_size {
            builder = builder.header(QUERY_OPTIONS, format!("batchSize={size}"));
        }
        // The path alone: the rest of the URL is the query.
        let path = request.url.split('?').next().unwrap_or_default().trim_start_matches("https://");
        tracing::debug!(path, "request");
        let response = match builder.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unreachable(&request.url, host, error).await),
        };
        tracing::debug!(path, status = response.status().as_u16(), "answer");
        Ok(Answer::new(response, self.settings.page_cap, host))
    }

    /// Posts JSON to a URL that is a secret, once, and waits for the head of the answer; how long is the caller's to
    /// decide.
    ///
    /// # Errors
    /// Where no answer came, or one that is no success; without the URL.
    pub async fn tell(&self, url: &SecretString, json: String) -> Result<(), String> {
        let parsed = url::Url::parse(url.expose_secret()).map_err(|_| "it is no URL".to_owned())?;
        let client = self.client(parsed.host_str().unwrap_or_default()).map_err(|fault| fault.what)?;
        let request = client.post(parsed).header(CONTENT_TYPE, "application/json").body(json);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) if answer.status().is_redirection() => {
                Err(format!("it answered {}, and redirects are not followed", answer.status().as_u16()))
            }
            Ok(answer) => Err(format!("it answered {}", answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err("it did not answer in time".to_owned()),
            Err(error) => Err(format!("it cannot be reached: {}", causes(&error))),
        }
    }

    async fn unreachable(&self, url: &str, host: &str, error: reqwest::Error) -> Fault {
        // Connecting includes TLS: whether it was the one or the other that took too long, only a connection tells.
        if error.is_timeout() && error.is_connect() && self.takes_connections(url).await {
            let what = format!("cannot reach {host}: it takes the connection and speaks no TLS");
            return Fault::new(FaultKind::Unreachable, what)
                .hint("check the port in login_url: https is at 443, where no port need be written");
        }
        unreachable(host, error)
    }

    /// Whether something listens where an https URL leads, past any proxy.
    async fn takes_connections(&self, url: &str) -> bool {
        let Ok(url) = url::Url::parse(url) else { return false };
        let (Some(host), Some(port), "https") = (url.host_str(), url.port_or_known_default(), url.scheme())
        else {
            return false;
        };
        let connecting = TcpStream::connect((host.trim_matches(['[', ']']), port));
        let limit = self.settings.connect_timeout.min(Duration::from_secs(2));
        matches!(tokio::time::timeout(limit, connecting).await, Ok(Ok(_)))
    }

    fn client(&self, host: &str) -> Result<&Client, Fault> {
        let loopback = is_loopback(host);
        let cell = if loopback { &self.loopback } else { &self.outside };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.build(loopback).map_err(|failure| Fault {
            kind: FaultKind::Configuration,
            what: failure.what,
            hint: failure.hint,
            retry_after: None,
        })?;
        Ok(cell.get_or_init(|| client))
    }

    fn build(&self, loopback: bool) -> Result<Client, Failure> {
        let settings = &self.settings;
        let mut builder = Client::builder()
            .user_agent(concat!("sfexport/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .timeout(settings.request_timeout)
            .http1_only();
        if loopback {
            builder = builder.no_proxy();
        }
        if let Some(path) = &settings.ca_file {
            let wrong = |why: String| {
                Failure::new(Exit::Configuration, format!("ca_file {}: {why}", path.display()))
                    .hint("it must hold the authority's certificate in PEM form")
            };
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|_| wrong("no certificate".to_owned()))?;
            if certificates.is_empty() {
                return Err(wrong("no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        builder
            .build()
            .map_err(|error| Failure::new(Exit::General, format!("cannot set up HTTP: {}", causes(&error))))
    }
}

const QUERY_OPTIONS: HeaderName = HeaderName::from_static("sforce-query-options");
const LIMIT_INFO: HeaderName = HeaderName::from_static("sforce-limit-info");

/// An answer whose body may still be on its way.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What the org says of its API limit.
    pub limit: Option<ApiLimit>,
    /// The sender's clock, to the second, as it sent the head.
    pub date: Option<Timestamp>,
    content_type: Option<String>,
    retry_after: Option<Duration>,
    response: reqwest::Response,
    cap: u64,
    body: Body,
    host: String,
}

impl Answer {
    fn new(response: reqwest::Response, cap: u64, host: &str) -> Self {
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let gzip = text(CONTENT_ENCODING)
            .is_some_and(|coding| matches!(coding.to_ascii_lowercase().as_str(), "gzip" | "x-gzip"));
        Self {
            status: response.status().as_u16(),
            limit: text(LIMIT_INFO).and_then(limits::read),
            date: text(DATE)
                .and_then(|date| httpdate::parse_http_date(date).ok())
                .and_then(|date| Timestamp::try_from(date).ok()),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            retry_after: retry_after(headers),
            cap,
            body: Body::new(gzip),
            host: host.to_owned(),
            response,
        }
    }

    /// Gives the body a buffer in place of its own; what is in it goes away. Before the first [`Answer::more`].
    pub fn fill(&mut self, buffer: Vec<u8>) {
        self.body.fill(buffer);
    }

    /// Waits for more of the body; `false` at its end.
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] where the body ends too early or cannot be unpacked, [`FaultKind::Unreachable`] where it
    /// stands still, [`FaultKind::InvalidResponse`] where it is larger than `page_cap`.
    pub async fn more(&mut self) -> Result<bool, Fault> {
        let chunk = self.response.chunk().await.map_err(|error| {
            if error.is_timeout() {
                Fault::new(
                    FaultKind::Unreachable,
                    format!("{} stopped sending in the middle of an answer", self.host),
                )
            } else {
                self.cut(&causes(&error))
            }
        })?;
        let taken = match &chunk {
            Some(chunk) => self.body.take_in(chunk, self.cap),
            None => self.body.end(),
        };
        taken.map_err(|wrong| match wrong {
            Wrong::TooLarge => {
                let what = format!("an answer is larger than {} bytes, the most that is accepted", self.cap);
                Fault::new(FaultKind::InvalidResponse, what)
                    .hint("raise page_cap in [http], or ask for fewer or smaller fields")
            }
            Wrong::Unfinished => self.cut("its packed form has no end"),
            Wrong::Damaged => self.cut("it cannot be unpacked"),
        })?;
        Ok(chunk.is_some())
    }

    fn cut(&self, why: &str) -> Fault {
        Fault::new(FaultKind::Truncated, format!("the answer of {} was cut short: {why}", self.host))
    }

    /// What has arrived of the body, unpacked.
    #[must_use]
    pub fn arrived(&self) -> &[u8] {
        self.body.bytes()
    }

    /// The whole body, once the rest has arrived.
    ///
    /// # Errors
    /// As [`Answer::more`].
    pub async fn body(&mut self) -> Result<Vec<u8>, Fault> {
        while self.more().await? {}
        Ok(self.body.take())
    }

    /// What a fault is read from.
    #[must_use]
    pub fn head(&self) -> AnswerHead<'_> {
        AnswerHead {
            status: self.status,
            content_type: self.content_type.as_deref(),
            retry_after: self.retry_after,
        }
    }

    /// Whether the body says that it is a page for people: what proxies and maintenance put in an answer's place.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.content_type.as_deref().is_some_and(|value| value.starts_with("text/html"))
    }
}

/// `Retry-After` in seconds, or as a date: counted from the answer's own date, so that no clock need be right.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let value = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now =
        text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

fn unreachable(host: &str, error: reqwest::Error) -> Fault {
    let what = if error.is_timeout() {
        format!("{host} did not answer in time")
    } else {
        format!("cannot reach {host}: {}", causes(&error))
    };
    let fault = Fault::new(FaultKind::Unreachable, what);
    if error.is_connect() {
        fault.hint("check login_url, the network, and HTTPS_PROXY and NO_PROXY where a proxy leads outside")
    } else {
        fault
    }
}

/// An error's causes without its own text, which holds the URL and so the query.
fn causes(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Layers repeat what the one below says.
        if !causes.iter().any(|known: &String| known.contains(&text)) {
            causes.push(text);
        }
        cause = error.source();
    }
    if causes.is_empty() { "no reason given".to_owned() } else { causes.join(": ") }
}

/// The host and port of a URL, for messages.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_never_proxied() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:4711", "127.9.9.9", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["login.salesforce.com", "127.0.0.1.example.com", "10.0.0.1:80", "localhost.example.com", ""]
        {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(host_of("http://127.0.0.1:80/services?q=x"), "127.0.0.1:80");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |pairs: &[(HeaderName, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
            retry_after(&headers.collect())
        };
        assert_eq!(wait(&[(RETRY_AFTER, "120")]), Some(Duration::from_secs(120)));
        let (date, later) = ("Sun, 22 Nov 2026 02:00:00 GMT", "Sun, 22 Nov 2026 02:01:30 GMT");
        assert_eq!(wait(&[(RETRY_AFTER, later), (DATE, date)]), Some(Duration::from_secs(90)));
        assert_eq!(wait(&[(RETRY_AFTER, date), (DATE, later)]), Some(Duration::ZERO));
        assert_eq!(wait(&[(RETRY_AFTER, "soon")]), None);
        assert_eq!(wait(&[]), None);
    }
}

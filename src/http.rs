//! The HTTP client: limits on time and size, no redirects, no cookies, and no URL, query or secret in any error.
//! `salesforce` decides what calls ask for and what responses mean.

mod body;
mod ca_file;
mod network;
mod proxy;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, redirect};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use url::Url;

use crate::config;
use crate::error::{Exit, Failure};
use crate::salesforce::call::{Bounds, Call, Method, Payload};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::response::Head;

use body::{Body, Wrong};
use proxy::{Proxies, Proxy};

/// One client for the whole process. All runs share its connections.
pub struct Http {
    settings: config::Http,
    proxies: Proxies,
    /// The clients that connect directly, through the proxy for https, and through the proxy for http.
    clients: [OnceLock<Client>; 3],
    /// Problems with certificates in `ca_file`.
    left_out: OnceLock<Vec<String>>,
}

impl Http {
    /// A client with these time-outs and limits, and the proxies of the environment. Everything else is set up at the first
    /// request.
    #[must_use]
    pub fn new(settings: config::Http) -> Self {
        let (clients, left_out) = Default::default();
        Self { settings, proxies: Proxies::of_environment(), clients, left_out }
    }

    /// The largest size of a response that is held in memory, in bytes.
    #[must_use]
    pub fn page_cap(&self) -> u64 {
        self.settings.page_cap
    }

    /// Reads `ca_file` without a request, and returns a sentence for each certificate that cannot be used.
    ///
    /// # Errors
    /// If none of them can be used.
    pub fn check_ca_file(&self) -> Result<Vec<String>, Failure> {
        let read = self.settings.ca_file.as_deref().map(ca_file::read).transpose()?;
        Ok(read.map(|authorities| authorities.left_out).unwrap_or_default())
    }

    /// A sentence for each certificate of `ca_file` that could not be used, after the first request.
    #[must_use]
    pub fn left_out_certificates(&self) -> &[String] {
        self.left_out.get().map_or(&[], Vec::as_slice)
    }

    /// Sends a call once to the host of `origin`, and returns the head of the response, whatever its status. The body follows
    /// with [`Response::more`] or [`Response::read`]. `token` is sent in the `Authorization` header.
    ///
    /// # Errors
    /// [`FaultKind::Unreachable`] if there was no response. A `ca_file` that cannot be used is not worth a retry.
    pub async fn send(
        &self,
        origin: &str,
        token: Option<&SecretString>,
        call: &Call<'_>,
    ) -> Result<Response, Fault> {
        let target = Url::parse(&format!("{origin}{}", call.path))
            .map_err(|_| Fault::new(FaultKind::Configuration, format!("\"{origin}\" is not a valid URL")))?;
        let host = host_and_port(&target);
        let (client, proxy) = self.client(&target)?;
        let mut builder = client.request(method(call.method), target.clone());
        let accept = call.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("accept"));
        if accept.is_none() {
            builder = builder.header(ACCEPT, "application/json");
        }
        for (name, value) in &call.headers {
            builder = builder.header(*name, value.as_ref());
        }
        if self.settings.gzip {
            builder = builder.header(ACCEPT_ENCODING, "gzip");
        }
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, bearer(token)?);
        }
        if let Some(payload) = &call.body {
            builder = builder.header(CONTENT_TYPE, payload.content_type());
            builder = match payload {
                Payload::Json(bytes) | Payload::Csv(bytes) => builder.body(bytes.to_vec()),
                Payload::Form(form) => builder.body(form.expose_secret().to_owned()),
            };
        }
        let cap = match call.bounds {
            Bounds::Page => {
                builder = builder.timeout(self.settings.request_timeout);
                self.settings.page_cap
            }
            Bounds::IdleTimeoutOnly => u64::MAX,
        };
        // Only the path is shown, because the rest of the URL is the query.
        let path = target.path();
        tracing::debug!(host, path, "request");
        let response = match builder.send().await {
            Ok(response) => response,
            Err(error) => return Err(self.unreachable(&target, &host, proxy, &error).await),
        };
        tracing::debug!(host, path, status = response.status().as_u16(), "response");
        Ok(Response::new(response, cap, host))
    }

    /// Posts JSON once to a secret URL, and waits for the head of the response. The caller limits the time.
    ///
    /// # Errors
    /// If there was no successful response. The URL is not shown.
    pub async fn tell(&self, url: &SecretString, json: String) -> Result<(), String> {
        let parsed = Url::parse(url.expose_secret()).map_err(|_| "the address is not a URL".to_owned())?;
        let (client, proxy) = self.client(&parsed).map_err(|fault| fault.what)?;
        let request = client.post(parsed).header(CONTENT_TYPE, "application/json").body(json);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) if response.status().is_redirection() => Err(format!(
                "the receiver responded with status {}, and redirects are not followed",
                response.status().as_u16()
            )),
            Ok(response) => Err(format!("the receiver responded with status {}", response.status().as_u16())),
            Err(error) if error.is_timeout() => Err("the receiver did not respond in time".to_owned()),
            Err(error) => {
                let through = proxy.map(|proxy| format!(" through the proxy {}", proxy.shown()));
                let reason = network::reason(&error);
                Err(format!("cannot reach the receiver{}: {reason}", through.unwrap_or_default()))
            }
        }
    }

    async fn unreachable(
        &self,
        target: &Url,
        host: &str,
        proxy: Option<&Proxy>,
        error: &reqwest::Error,
    ) -> Fault {
        if let Some(proxy) = proxy {
            let status = match network::may_be_the_tunnel(error) {
                true => proxy.tunnel_status(target, self.settings.connect_timeout).await,
                false => None,
            };
            return network::proxy_fault(host, proxy, status, error);
        }
        // Connecting includes TLS. Only a separate connection shows which of the two took too long.
        if error.is_timeout() && error.is_connect() && self.takes_connections(target).await {
            return Fault::new(
                FaultKind::Unreachable,
                format!("cannot reach \"{host}\": it accepts the connection but does not speak TLS"),
            )
            .hint("check the port in login_url; https uses 443 by default");
        }
        network::fault(host, error)
    }

    /// Whether something listens at the host and port of an https URL.
    async fn takes_connections(&self, target: &Url) -> bool {
        let (Some(host), Some(port), "https") =
            (target.host_str(), target.port_or_known_default(), target.scheme())
        else {
            return false;
        };
        let connecting = TcpStream::connect((host.trim_matches(['[', ']']), port));
        let limit = self.settings.connect_timeout.min(Duration::from_secs(2));
        matches!(tokio::time::timeout(limit, connecting).await, Ok(Ok(_)))
    }

    /// The client that sends requests to this URL, and the proxy that it goes through.
    fn client(&self, target: &Url) -> Result<(&Client, Option<&Proxy>), Fault> {
        let proxy = self.proxies.route(target)?;
        let cell = match (proxy, target.scheme()) {
            (None, _) => &self.clients[0],
            (Some(_), "https") => &self.clients[1],
            (Some(_), _) => &self.clients[2],
        };
        if let Some(client) = cell.get() {
            return Ok((client, proxy));
        }
        let client = self.build(proxy).map_err(|failure| Fault {
            hint: failure.hint,
            ..Fault::new(FaultKind::Configuration, failure.what)
        })?;
        Ok((cell.get_or_init(|| client), proxy))
    }

    fn build(&self, proxy: Option<&Proxy>) -> Result<Client, Failure> {
        let settings = &self.settings;
        let wrong = |error: reqwest::Error| {
            Failure::new(Exit::General, format!("cannot set up HTTP: {}", network::reason(&error)))
        };
        let mut builder = Client::builder()
            .user_agent(concat!("sfexport/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(settings.connect_timeout)
            .read_timeout(settings.idle_timeout)
            .dns_resolver(Arc::new(network::Resolver))
            // The proxies of the environment are handled here.
            .no_proxy()
            .http1_only();
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.for_client().map_err(wrong)?);
        }
        if let Some(path) = &settings.ca_file {
            let authorities = ca_file::read(path)?;
            self.left_out.get_or_init(|| {
                for sentence in &authorities.left_out {
                    tracing::warn!("{sentence}");
                }
                authorities.left_out
            });
            builder = builder.tls_certs_merge(authorities.certificates);
        }
        builder.build().map_err(wrong)
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
        Fault::new(
            FaultKind::LoginRefused,
            "the org's token contains characters that are not allowed in a header",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A size as a person would write it: `256 MB`, `64 MiB`.
fn size_text(bytes: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1_000, "kB"),
    ];
    let whole = UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// The host and port of a URL, for messages.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A response whose body may still be arriving.
pub struct Response {
    /// Its status and headers.
    pub head: Head,
    response: reqwest::Response,
    cap: u64,
    body: Body,
    host: String,
}

impl Response {
    fn new(response: reqwest::Response, cap: u64, host: String) -> Self {
        let headers = response.headers();
        let coding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let gzip = coding.is_some_and(|coding| {
            ["gzip", "x-gzip"].iter().any(|gzip| coding.trim().eq_ignore_ascii_case(gzip))
        });
        let texts = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let head = Head::new(response.status().as_u16(), texts);
        Self { head, cap, body: Body::new(gzip), host, response }
    }

    /// Makes the body use this buffer, whose content is dropped. Must be called before the first [`Response::more`].
    pub fn fill(&mut self, buffer: Vec<u8>) {
        self.body.fill(buffer);
    }

    /// Waits for more of the body; `false` at its end.
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if the body ends too early or cannot be unpacked, [`FaultKind::Unreachable`] if it
    /// stops arriving, [`FaultKind::InvalidResponse`] if it is larger than `page_cap`.
    pub async fn more(&mut self) -> Result<bool, Fault> {
        let chunk = self.chunk().await?;
        let taken = match &chunk {
            Some(chunk) => self.body.take_in(chunk.as_ref(), self.cap),
            None => self.body.end(),
        };
        taken.map_err(|wrong| match wrong {
            Wrong::TooLarge => {
                let what = format!("a response is larger than page_cap ({})", size_text(self.cap));
                Fault::new(FaultKind::InvalidResponse, what)
                    .hint("raise page_cap in [http], or ask for fewer or smaller fields")
            }
            Wrong::Unfinished => self.truncated("its compressed data ends too early"),
            Wrong::Damaged => self.truncated("it cannot be decompressed"),
        })?;
        Ok(chunk.is_some())
    }

    /// Waits for more of the body, and appends it to `bytes` as it was sent; `false` at its end. Not to be mixed with
    /// [`Response::more`].
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if the body ends too early, [`FaultKind::Unreachable`] if it stops arriving.
    pub async fn more_as_sent(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Fault> {
        let chunk = self.chunk().await?;
        if let Some(chunk) = &chunk {
            bytes.extend_from_slice(chunk.as_ref());
        }
        Ok(chunk.is_some())
    }

    /// Whether the body is sent as gzip.
    #[must_use]
    pub fn is_gzip(&self) -> bool {
        self.body.is_gzip()
    }

    async fn chunk(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Fault> {
        self.response.chunk().await.map_err(|error| {
            if error.is_timeout() {
                let what = format!("\"{}\" stopped sending in the middle of a response", self.host);
                Fault::new(FaultKind::Unreachable, what)
            } else {
                self.truncated(&network::reason(&error))
            }
        })
    }

    fn truncated(&self, why: &str) -> Fault {
        Fault::new(FaultKind::Truncated, format!("the response from \"{}\" was cut short: {why}", self.host))
    }

    /// The bytes of the body that have arrived, decompressed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// Keeps only this part of the complete body.
    pub fn keep(&mut self, part: Range<usize>) {
        self.body.keep(part);
    }

    /// Takes the bytes that have arrived; later bytes go to a new buffer. For bodies that are too large for memory.
    #[must_use]
    pub fn take_body(&mut self) -> Vec<u8> {
        self.body.take()
    }

    /// Waits for the rest of the body.
    ///
    /// # Errors
    /// As [`Response::more`].
    pub async fn read(&mut self) -> Result<(), Fault> {
        while self.more().await? {}
        Ok(())
    }
}

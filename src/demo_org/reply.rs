//! What a resource sends back, and how it becomes a response: pretty-printing, compression, the headers that every
//! response of the service has, and the faults that damage it.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::fault::Fault;
use super::refusal::{self, Refusal};
use super::render::json;
use super::wire::{Delivery, Response, is_bodiless};
use super::{Org, Request, UsageHeader};

/// What a resource sends back, before it is compressed and framed.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// A whole body from an earlier rendering, compressed if the request allows it.
    ready: Option<Bytes>,
    pub(super) headers: Vec<(String, String)>,
    /// Whether it counts as an API call and says so.
    is_api: bool,
    /// Whether it is a page of records, which [`super::Options::think`] delays.
    is_page: bool,
    /// Faults of its delivery besides those of the request itself.
    faults: Vec<Fault>,
}

impl Reply {
    pub(super) fn json(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: "application/json;charset=UTF-8",
            body,
            ready: None,
            headers: Vec::new(),
            is_api: true,
            is_page: false,
            faults: Vec::new(),
        }
    }

    /// A page of records, in the style that the request asked for.
    pub(super) fn page(body: Vec<u8>) -> Self {
        Self { is_page: true, ..Self::json(body) }
    }

    /// A page that was rendered and compressed before.
    pub(super) fn ready_page(body: Bytes) -> Self {
        Self { is_page: true, ready: Some(body), ..Self::json(Vec::new()) }
    }

    /// A page of a query job's result.
    pub(super) fn csv(body: Vec<u8>) -> Self {
        Self { content_type: "text/csv;charset=UTF-8", ..Self::page(body) }
    }

    /// A page of a result that was rendered and compressed before.
    pub(super) fn ready_csv(body: Bytes) -> Self {
        Self { ready: Some(body), ..Self::csv(Vec::new()) }
    }

    /// Nothing but success.
    pub(super) fn no_content() -> Self {
        Self { status: 204, ..Self::json(Vec::new()) }
    }

    /// The same, with one more header.
    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A page of HTML or a bare word, as the endpoints outside the API send.
    pub(super) fn html(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/html;charset=UTF-8",
            ..Self::json(body.as_bytes().to_vec()).outside_api()
        }
    }

    pub(super) fn refused(refusal: Refusal) -> Self {
        let Refusal { status, code, message } = refusal;
        Self::error(status, code, &message)
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self { status, ..Self::json(refusal::body(code, message)) }
    }

    /// Nothing has changed since the client last asked.
    pub(super) fn unchanged() -> Self {
        Self { status: 304, ..Self::json(Vec::new()) }
    }

    /// The one error whose keys come the other way round.
    pub(super) fn not_found() -> Self {
        let body = br#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#;
        Self { status: 404, ..Self::json(body.to_vec()) }
    }

    /// The same, but these faults happen to its delivery too.
    pub(super) fn delivered_with(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Its status and body, before any compression.
    pub(super) fn into_body(self) -> (u16, Vec<u8>) {
        (self.status, self.ready.map_or(self.body, Vec::from))
    }

    pub(super) fn outside_api(mut self) -> Self {
        self.is_api = false;
        self
    }

    /// What scripted faults do to a body that was right.
    pub(super) fn damage(&mut self, faults: &[Fault]) {
        for fault in faults {
            match fault {
                Fault::Truncate { after } => self.body.truncate(*after),
                Fault::Replace { what, with } => {
                    self.body = String::from_utf8_lossy(&self.body).replace(what, with).into_bytes();
                }
                _ => {}
            }
        }
    }

    /// Pretty print, compression, and the headers that every response has.
    pub(super) fn finish(self, org: &Org, request: &Request) -> Response {
        let compress = accepts_gzip(request) && !is_bodiless(self.status);
        let mut headers = common_headers(org, self.content_type);
        let is_replaced = |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        headers.retain(|(name, _)| !is_replaced(name));
        let mut header = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        if self.is_api {
            let used = org.api_calls.fetch_add(1, Ordering::Relaxed) + 1;
            let usage = format!("api-usage={used}/{}", org.options.api_calls.1);
            match org.options.usage_header {
                UsageHeader::Org => header("Sforce-Limit-Info", &usage),
                UsageHeader::OrgAndApp => {
                    header(
                        "Sforce-Limit-Info",
                        &format!("{usage}; per-app-api-usage=1/250(appName=sample-app)"),
                    );
                }
                UsageHeader::Absent => {}
            }
        }
        for (name, value) in &self.headers {
            header(name, value);
        }
        if compress {
            header("Content-Encoding", "gzip");
        }
        let is_json = self.content_type.starts_with("application/json");
        let body = match self.ready {
            Some(ready) => ready,
            None => {
                // Pages are pretty already: their records are made for the style that was asked for.
                let body = if wants_pretty(request) && !self.is_page && is_json {
                    json::pretty(&self.body)
                } else {
                    self.body
                };
                if compress { gzip(&body).into() } else { body.into() }
            }
        };
        let mut delivery = Delivery {
            late: org.options.latency + if self.is_page { org.options.think } else { Duration::ZERO },
            bytes_per_second: org.options.bytes_per_second,
            ..Delivery::default()
        };
        delivery.disturb(&self.faults);
        Response { status: self.status, headers, body, delivery }
    }
}

fn common_headers(org: &Org, content_type: &str) -> Vec<(String, String)> {
    let id = format!(
        "{:032x}",
        (org.serial() as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    );
    let date = org.data.clock().now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let browser = format!("BrowserId={}; domain=.salesforce.com; path=/; secure", &id[..22]);
    [
        ("Date", date.as_str()),
        ("Content-Type", content_type),
        ("Vary", "Accept-Encoding"),
        ("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private"),
        ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Robots-Tag", "none"),
        ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
        ("Server", "sfdcedge"),
        ("X-SFDC-Edge-Cache", "MISS"),
        ("X-SFDC-Request-Id", &id),
        ("X-Request-Id", &id),
        // Three cookies that a client neither needs nor should keep.
        ("Set-Cookie", &browser),
        ("Set-Cookie", "CookieConsentPolicy=0:1; path=/; secure"),
        ("Set-Cookie", "LSKey-c$CookieConsentPolicy=0:1; path=/; secure"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

impl Delivery {
    /// What scripted faults do on the wire.
    pub(super) fn disturb(&mut self, faults: &[Fault]) {
        for fault in faults {
            match fault {
                Fault::Close => self.close = true,
                Fault::Cut { after, framing } => {
                    self.cut = Some(*after);
                    self.framing = *framing;
                }
                Fault::HalfOpen { after: None } => self.silent = true,
                Fault::HalfOpen { after: Some(after) } => self.half_open = Some(*after),
                Fault::Late(late) => self.late += *late,
                Fault::Stall { after, pause } => self.stall = Some((*after, *pause)),
                Fault::Drip { bytes, pause } => self.drip = Some((*bytes, *pause)),
                _ => {}
            }
        }
    }
}

pub(super) fn wants_pretty(request: &Request) -> bool {
    request.header("x-prettyprint") == Some("1")
}

pub(super) fn accepts_gzip(request: &Request) -> bool {
    request.header("accept-encoding").is_some_and(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    })
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

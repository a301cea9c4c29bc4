//! Requests → answers: the endpoints, the session check, the headers, and the scripted faults.

use std::io::Write as _;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use percent_encoding::percent_decode;

use super::fault::{At, Fault, Framing};
use super::query::{self, Envelope, Page};
use super::refusal::{self, Refusal};
use super::render;
use super::schema::{Field, Object};
use super::wire::{Answer, Delivery};
use super::{API_VERSIONS, Org, Request, lock, login, metadata};

/// Answers a request, as scripted or right.
pub(super) fn answer(org: &Org, request: Request) -> Answer {
    let fault = fault_for(org, &request);
    org.note(request.clone());
    if let Some(Fault::Answer { status, headers, body }) = fault {
        return Answer {
            status,
            headers,
            body: body.into(),
            delivery: Delivery { framing: Framing::Length, ..Delivery::default() },
        };
    }
    match &fault {
        Some(Fault::ExpiredSession) => lock(&org.sessions).clear(),
        Some(Fault::LostLocator) => {
            lock(&org.cursors).clear();
            lock(&org.rendered).clear();
        }
        _ => {}
    }
    let mut content = if fault == Some(Fault::LostLocator) {
        Content::refused(lost_locator())
    } else {
        route(org, &request, fault.as_ref())
    };
    if let Some(Fault::Truncate { after }) = fault {
        content.body.truncate(after);
    }
    let mut answer = finish(org, &request, content);
    deliver(&mut answer.delivery, fault.as_ref());
    answer
}

/// The first rule that fits the request, and the counting of requests.
fn fault_for(org: &Org, request: &Request) -> Option<Fault> {
    let path = request.path();
    let of_kind = |kind: &str| {
        path.strip_prefix("/services/data/")
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_, rest)| rest.trim_end_matches('/').split('/').next() == Some(kind))
    };
    let (mut login, mut page, mut child_page) = (0, 0, 0);
    if path.trim_end_matches('/') == "/services/oauth2/token" {
        login = org.logins.fetch_add(1, Ordering::Relaxed) + 1;
    } else if of_kind("query") || of_kind("queryAll") {
        let locator = path.rsplit('/').next().unwrap_or_default();
        let locator = locator.split('-').next().unwrap_or_default();
        let is_child = lock(&org.cursors).get(locator).is_some_and(|cursor| cursor.is_child);
        let counter = if is_child { &org.child_pages } else { &org.pages };
        let n = counter.fetch_add(1, Ordering::Relaxed) + 1;
        *(if is_child { &mut child_page } else { &mut page }) = n;
    }
    let mut rules = lock(&org.rules);
    let rule = rules.iter_mut().find(|rule| {
        rule.left > 0
            && match &rule.at {
                At::Login(n) => login >= *n && login > 0,
                At::Page(n) => page >= *n && page > 0,
                At::ChildPage(n) => child_page >= *n && child_page > 0,
                At::Containing(text) => request.target.contains(text),
            }
    })?;
    rule.left -= 1;
    Some(rule.fault.clone())
}

fn deliver(delivery: &mut Delivery, fault: Option<&Fault>) {
    match fault {
        Some(Fault::Close) => delivery.close = true,
        Some(Fault::Cut { after, framing }) => {
            delivery.cut = Some(*after);
            delivery.framing = *framing;
        }
        Some(Fault::Late(late)) => delivery.late += *late,
        Some(Fault::Stall { after, pause }) => delivery.stall = Some((*after, *pause)),
        Some(Fault::Drip { bytes, pause }) => delivery.drip = Some((*bytes, *pause)),
        _ => {}
    }
}

/// What is answered, before it is compressed and framed.
struct Content {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    /// Kept whole from an earlier rendering, compressed if the request allows it.
    ready: Option<Bytes>,
    headers: Vec<(String, String)>,
    /// Whether it counts as an API call and says so.
    is_api: bool,
    is_page: bool,
}

impl Content {
    fn json(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: "application/json;charset=UTF-8",
            body,
            ready: None,
            headers: Vec::new(),
            is_api: true,
            is_page: false,
        }
    }

    fn refused(refusal: Refusal) -> Self {
        let Refusal { status, code, message } = refusal;
        Self { status, ..Self::json(refusal::body(code, &message)) }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        Self { status, ..Self::json(refusal::body(code, message)) }
    }

    /// The one error whose keys come the other way round.
    fn not_found() -> Self {
        let body = br#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#;
        Self { status: 404, ..Self::json(body.to_vec()) }
    }

    fn outside_api(mut self) -> Self {
        self.is_api = false;
        self
    }
}

fn route(org: &Org, request: &Request, fault: Option<&Fault>) -> Content {
    let path = request.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["services", "oauth2", "token"] => token(org, request).outside_api(),
        ["services", "oauth2", "userinfo"] if !has_session(org, request) => Content {
            status: 403,
            content_type: "text/html;charset=UTF-8",
            ..Content::json(b"Bad_OAuth_Token".to_vec()).outside_api()
        },
        ["services", "oauth2", "userinfo"] => Content::json(metadata::user_info(org)).outside_api(),
        ["id", organization, user] => identity(org, request, organization, user).outside_api(),
        ["services", "data"] => match method(request) {
            Some(refused) => refused,
            None => Content::json(metadata::versions()),
        }
        .outside_api(),
        ["services", "data", version, rest @ ..] => versioned(org, request, fault, version, rest),
        _ => Content::not_found(),
    }
}

/// What a request gets that is neither GET nor HEAD.
fn method(request: &Request) -> Option<Content> {
    (!matches!(request.method.as_str(), "GET" | "HEAD")).then(|| {
        let message = format!("HTTP Method '{}' not allowed. Allowed are HEAD,GET", request.method);
        let mut content = Content::error(405, "METHOD_NOT_ALLOWED", &message);
        content.headers.push(("Allow".to_owned(), "HEAD,GET".to_owned()));
        content
    })
}

fn versioned(org: &Org, request: &Request, fault: Option<&Fault>, version: &str, rest: &[&str]) -> Content {
    let Some(version) = version.strip_prefix('v') else { return Content::not_found().outside_api() };
    let number = version.strip_suffix(".0").and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(number) if (API_VERSIONS.0..=API_VERSIONS.1).contains(&number) => {}
        Some(number) if (21..API_VERSIONS.0).contains(&number) => {
            return Content::error(410, "GONE", &format!("API version v{version} is no longer available."))
                .outside_api();
        }
        _ => return Content::not_found().outside_api(),
    }
    if let Some(refused) = session(org, request) {
        return refused;
    }
    let allowed = method(request);
    match rest {
        [] => allowed.unwrap_or_else(|| Content::json(metadata::resources(version))),
        ["limits"] => allowed.unwrap_or_else(|| Content::json(metadata::limits(org))),
        ["limits", "recordCount"] => allowed
            .unwrap_or_else(|| Content::json(metadata::record_counts(org, &parameters(request.query())))),
        ["query"] => allowed.unwrap_or_else(|| first_page(org, request, fault, version, false)),
        ["queryAll"] => allowed.unwrap_or_else(|| first_page(org, request, fault, version, true)),
        ["query" | "queryAll", locator] => {
            allowed.unwrap_or_else(|| next_page(org, request, fault, version, locator))
        }
        ["sobjects"] => allowed.unwrap_or_else(|| Content::json(metadata::describe_all(org, version))),
        ["sobjects", object, rest @ ..] => match org.data.object(object) {
            Some(object) => allowed.unwrap_or_else(|| sobject(org, version, object, rest)),
            None => Content::not_found(),
        },
        _ => Content::not_found(),
    }
}

fn sobject(org: &Org, version: &str, object: &'static Object, rest: &[&str]) -> Content {
    match rest {
        [] | ["describe"] => Content::json(metadata::describe(object, version)),
        [id] | [id, "Body"] => {
            let found = org.data.row(id).filter(|row| row.object().name == object.name && !row.is_deleted());
            let Some(row) = found else { return Content::not_found() };
            if rest.len() == 2 {
                let body = format!("the bytes of {}\n", row.id()).into_bytes();
                return Content { content_type: "application/octet-stream", ..Content::json(body) };
            }
            let mut out = b"{".to_vec();
            render::attributes(&mut out, object.name, row.id(), version);
            for Field { name, make, .. } in object.fields {
                render::key(&mut out, name);
                render::value(&mut out, &make(row), version);
            }
            out.push(b'}');
            Content::json(out)
        }
        _ => Content::not_found(),
    }
}

fn token(org: &Org, request: &Request) -> Content {
    if let Err((error, description)) = login::check(org, request) {
        return Content { status: 400, ..Content::json(refusal::oauth_body(error, description)) };
    }
    let organization = org.organization_id().to_string();
    // As long and of the same characters as a real one; made of the number of the login.
    let serial = org.serial();
    let secret: String = (0..96)
        .map(|place: u64| {
            let hash = (serial as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(place as u32)
                ^ place << 7;
            char::from(
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"[(hash % 64) as usize],
            )
        })
        .collect();
    let token = format!("{}!{serial}.{secret}", &organization[..15]);
    let body = format!(
        r#"{{"access_token":"{token}","scope":"api web","instance_url":"{url}","id":"{url}/id/{organization}/{user}","token_type":"Bearer"}}"#,
        url = org.url,
        user = org.user_id(),
    );
    lock(&org.sessions).insert(token);
    Content::json(body.into_bytes())
}

fn identity(org: &Org, request: &Request, organization: &str, user: &str) -> Content {
    let refused = |what: &str| Content {
        status: 403,
        content_type: "text/html;charset=UTF-8",
        ..Content::json(what.as_bytes().to_vec())
    };
    if request.header("authorization").is_none() {
        return refused("Missing_OAuth_Token");
    }
    if !has_session(org, request) {
        return refused("Bad_OAuth_Token");
    }
    if organization != org.organization_id().to_string() {
        return refused("Wrong_Org");
    }
    match org.data.row(user).filter(|row| row.object().name == "User") {
        Some(row) => Content::json(metadata::identity(org, row)),
        None => Content { status: 404, ..refused("No_Such_User") },
    }
}

fn has_session(org: &Org, request: &Request) -> bool {
    request.header("authorization").and_then(|value| value.split_once(' ')).is_some_and(|(scheme, token)| {
        (scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("OAuth"))
            && lock(&org.sessions).contains(token.trim())
    })
}

/// The refusal of a request without a session.
fn session(org: &Org, request: &Request) -> Option<Content> {
    if has_session(org, request) {
        return None;
    }
    let malformed = request
        .header("authorization")
        .is_some_and(|value| !value.contains(' ') || value.split(' ').count() != 2);
    let mut content = if malformed {
        Content::error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    } else {
        Content::error(401, "INVALID_SESSION_ID", "Session expired or invalid")
    };
    content.headers.push(("WWW-Authenticate".to_owned(), "Token".to_owned()));
    Some(content.outside_api())
}

fn lost_locator() -> Refusal {
    Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator")
}

fn first_page(org: &Org, request: &Request, fault: Option<&Fault>, version: &str, all_rows: bool) -> Content {
    let parameters = parameters(request.query());
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(text) = parameter("explain") {
        return match query::explain(org, text) {
            Ok(body) => Content::json(body),
            Err(refusal) => Content::refused(refusal),
        };
    }
    let Some(text) = parameter("q") else {
        return Content::refused(Refusal::new("MALFORMED_QUERY", "A query string has to be specified"));
    };
    if parameter("columns").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return match query::columns(org, text) {
            Ok(body) => Content::json(body),
            Err(refusal) => Content::refused(refusal),
        };
    }
    let kept = kept(org, request, fault);
    if let Some(content) = kept {
        return content;
    }
    let batch = batch_size(org, request);
    match query::start(org, text, version, all_rows, batch) {
        Ok(page) if org.options.prerender && fault.is_none() => prerender(org, request, version, page),
        Ok(page) => page_content(request, &page, fault, None),
        Err(refusal) => Content::refused(refusal),
    }
}

fn next_page(org: &Org, request: &Request, fault: Option<&Fault>, version: &str, locator: &str) -> Content {
    if let Some(content) = kept(org, request, fault) {
        return content;
    }
    match query::resume(org, locator, version) {
        Some(page) => page_content(request, &page, fault, Some(request.path())),
        None => Content::refused(lost_locator()),
    }
}

fn page_content(request: &Request, page: &Page, fault: Option<&Fault>, own: Option<&str>) -> Content {
    let envelope = Envelope { pretty: wants_pretty(request), fault, own };
    Content { is_page: true, ..Content::json(page.body(&envelope)) }
}

/// What a page's bytes depend on, beside the org.
fn rendering(request: &Request, target: &str) -> String {
    let batch = request.header("sforce-query-options").unwrap_or_default();
    format!("{} {} {batch} {target}", accepts_gzip(request), wants_pretty(request))
}

fn kept(org: &Org, request: &Request, fault: Option<&Fault>) -> Option<Content> {
    if !org.options.prerender || fault.is_some() {
        return None;
    }
    let ready = lock(&org.rendered).get(&rendering(request, &request.target)).cloned()?;
    Some(Content { is_page: true, ready: Some(ready), ..Content::json(Vec::new()) })
}

/// Makes and keeps all pages of a query; answers with the first.
fn prerender(org: &Org, request: &Request, version: &str, first: Page) -> Content {
    let mut target = request.target.clone();
    let mut page = first;
    loop {
        let mut body = page_content(request, &page, None, None).body;
        if accepts_gzip(request) {
            body = gzip(&body);
        }
        lock(&org.rendered).insert(rendering(request, &target), body.into());
        let Some(next) = page.next else { break };
        let Some(following) = query::resume(org, next.rsplit('/').next().unwrap_or_default(), version) else {
            break;
        };
        target = next;
        page = following;
    }
    kept(org, request, None).unwrap_or_else(Content::not_found)
}

/// What the client asks for, held to what the service gives: 200 to 2,000, and the org's own option.
fn batch_size(org: &Org, request: &Request) -> usize {
    let asked = request
        .header("sforce-query-options")
        .and_then(|value| {
            value.split([',', ';']).find_map(|option| {
                let (key, value) = option.split_once('=')?;
                key.trim().eq_ignore_ascii_case("batchSize").then(|| value.trim().parse::<usize>().ok())?
            })
        })
        .unwrap_or(2000);
    asked.clamp(200, 2000).min(org.options.page_size).max(1)
}

fn wants_pretty(request: &Request) -> bool {
    request.header("x-prettyprint") == Some("1")
}

fn accepts_gzip(request: &Request) -> bool {
    request.header("accept-encoding").is_some_and(|value| {
        value.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
                && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    })
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// Pretty print, compression, and the headers that every answer has.
fn finish(org: &Org, request: &Request, content: Content) -> Answer {
    let mut headers = Vec::with_capacity(16);
    let mut header = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    header("Date", &httpdate::fmt_http_date(std::time::SystemTime::now()));
    header("Content-Type", content.content_type);
    header("Vary", "Accept-Encoding");
    header("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private");
    header("Expires", "Thu, 01 Jan 1970 00:00:00 GMT");
    header("X-Content-Type-Options", "nosniff");
    header("X-Robots-Tag", "none");
    header("Strict-Transport-Security", "max-age=63072000; includeSubDomains");
    header("Server", "sfdcedge");
    header("X-SFDC-Edge-Cache", "MISS");
    let id = format!(
        "{:032x}",
        (org.serial() as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    );
    header("X-SFDC-Request-Id", &id);
    header("X-Request-Id", &id);
    // Three cookies that a client neither needs nor should keep.
    header("Set-Cookie", &format!("BrowserId={}; domain=.salesforce.com; path=/; secure", &id[..22]));
    header("Set-Cookie", "CookieConsentPolicy=0:1; path=/; secure");
    header("Set-Cookie", "LSKey-c$CookieConsentPolicy=0:1; path=/; secure");
    if content.is_api {
        let used = org.api_calls.fetch_add(1, Ordering::Relaxed) + 1;
        header("Sforce-Limit-Info", &format!("api-usage={used}/{}", org.options.api_calls.1));
    }
    for (name, value) in &content.headers {
        header(name, value);
    }
    let compress = accepts_gzip(request);
    let body = match content.ready {
        Some(ready) => ready,
        None => {
            let body = if wants_pretty(request)
                && !content.is_page
                && content.content_type.starts_with("application/json")
            {
                render::pretty(&content.body)
            } else {
                content.body
            };
            if compress { gzip(&body).into() } else { body.into() }
        }
    };
    if compress {
        header("Content-Encoding", "gzip");
    }
    Answer {
        status: content.status,
        headers,
        body,
        delivery: Delivery {
            late: if content.is_page { org.options.think } else { std::time::Duration::ZERO },
            bytes_per_second: org.options.bytes_per_second,
            ..Delivery::default()
        },
    }
}

/// The parameters of a query string or of a form: `+` is a space.
pub(super) fn parameters(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

//! `query` and `queryAll`: first and further pages, plans, and the columns of a query.

use super::parameters;
use crate::demo_org::fault::Fault;
use crate::demo_org::query::{self, Envelope, Page};
use crate::demo_org::refusal::Refusal;
use crate::demo_org::reply::{Reply, accepts_gzip, gzip, wants_pretty};
use crate::demo_org::{Org, Request, lock};

pub(super) fn lost_locator() -> Refusal {
    Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator")
}

/// `query?q=`, `query?explain=` and `query?q=...&columns=true`.
pub(super) fn first_page(
    org: &Org,
    request: &Request,
    faults: &[Fault],
    version: &str,
    all_rows: bool,
) -> Reply {
    let parameters = parameters(request.query());
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(text) = parameter("explain") {
        return query::explain(org, text).map_or_else(Reply::refused, Reply::json);
    }
    let Some(text) = parameter("q") else {
        return Reply::refused(Refusal::new("MALFORMED_QUERY", "A query string has to be specified"));
    };
    if parameter("columns").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return query::columns(org, text, faults).map_or_else(Reply::refused, Reply::json);
    }
    if let Some(reply) = kept(org, request, faults) {
        return reply;
    }
    let batch = batch_size(org, request);
    match query::start(org, text, all_rows, (version, batch), faults) {
        Ok(page) if org.options.prerender && faults.is_empty() => prerender(org, request, version, page),
        Ok(page) => page_reply(request, &page, faults, None),
        Err(refusal) => Reply::refused(refusal),
    }
}

/// `query/LOCATOR`
pub(super) fn next_page(
    org: &Org,
    request: &Request,
    faults: &[Fault],
    version: &str,
    locator: &str,
) -> Reply {
    if let Some(reply) = kept(org, request, faults) {
        return reply;
    }
    match query::resume(org, locator, version, faults) {
        Some(page) => page_reply(request, &page, faults, Some(request.path())),
        None => Reply::refused(lost_locator()),
    }
}

fn page_reply(request: &Request, page: &Page, faults: &[Fault], own: Option<&str>) -> Reply {
    Reply::page(page.body(&Envelope { pretty: wants_pretty(request), faults, own }))
}

/// What the bytes of a page depend on, besides the org.
fn rendering(request: &Request, target: &str) -> String {
    let batch = request.header("sforce-query-options").unwrap_or_default();
    format!("{} {} {batch} {target}", accepts_gzip(request), wants_pretty(request))
}

fn kept(org: &Org, request: &Request, faults: &[Fault]) -> Option<Reply> {
    if !org.options.prerender || !faults.is_empty() {
        return None;
    }
    let ready = lock(&org.rendered).get(&rendering(request, &request.target)).cloned()?;
    Some(Reply::ready_page(ready))
}

/// Renders and keeps all pages of a query, and responds with the first.
fn prerender(org: &Org, request: &Request, version: &str, first: Page) -> Reply {
    let mut target = request.target.clone();
    let mut page = first;
    loop {
        let mut body = page_reply(request, &page, &[], None).body;
        if accepts_gzip(request) {
            body = gzip(&body);
        }
        lock(&org.rendered).insert(rendering(request, &target), body.into());
        let Some(next) = page.next else { break };
        let Some(following) = query::resume(org, next.rsplit('/').next().unwrap_or_default(), version, &[])
        else {
            break;
        };
        target = next;
        page = following;
    }
    kept(org, request, &[]).unwrap_or_else(Reply::not_found)
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

//! Requests → responses: which resource a path names, and what is checked first. The resources are the files below;
//! the effects of scripted faults are applied here and in [`super::reply`].

mod composite;
mod describe;
mod identity;
mod jobs;
mod limits;
mod query;
mod replication;
mod sobjects;
mod token;
mod versions;

use std::sync::atomic::Ordering;

use percent_encoding::percent_decode;

use super::bulk;
use super::fault::{Fault, Framing};
use super::reply::Reply;
use super::wire::{Delivery, Response};
use super::{API_VERSIONS, Org, Request, lock};

/// Responds to a request, as scripted or as a real org would.
pub(super) fn respond(org: &Org, request: Request) -> Response {
    let faults = org.script.next(org, &request);
    org.note(request.clone());
    for fault in &faults {
        if let Fault::Answer { status, headers, body } = fault {
            return Response {
                status: *status,
                headers: headers.clone(),
                body: body.clone().into(),
                delivery: Delivery { framing: Framing::Length, ..Delivery::default() },
            };
        }
    }
    happen(org, &request, &faults);
    let mut response = reply(org, &request, &faults).finish(org, &request);
    response.delivery.disturb(&faults);
    response
}

/// What scripted faults do to the org before a request is looked at.
fn happen(org: &Org, request: &Request, faults: &[Fault]) {
    for fault in faults {
        match fault {
            Fault::Hook(hook) => hook.run(request),
            Fault::Delete(rows) => org.data.delete(rows),
            Fault::UseApiCalls(calls) => {
                org.api_calls.fetch_add(*calls, Ordering::Relaxed);
            }
            Fault::Purge(rows) => org.data.purge(rows),
            Fault::ExpiredSession => lock(&org.sessions).clear(),
            Fault::LostLocator => {
                lock(&org.cursors).clear();
                lock(&org.aliases).clear();
                lock(&org.rendered).clear();
            }
            _ => {}
        }
    }
}

/// The reply to a request, with what scripted faults do to its body.
fn reply(org: &Org, request: &Request, faults: &[Fault]) -> Reply {
    let mut reply = if faults.contains(&Fault::LostLocator) {
        Reply::refused(query::lost_locator())
    } else {
        route(org, request, faults)
    };
    reply.damage(faults);
    reply
}

/// Finds the resource that a path names.
fn route(org: &Org, request: &Request, faults: &[Fault]) -> Reply {
    let path = request.path().trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["services", "oauth2", "token"] => token::token(org, request),
        ["services", "oauth2", "userinfo"] => identity::user_info(org, request),
        ["id", organization, user] => identity::identity(org, request, organization, user),
        ["services", "data"] => read_only(request, || Reply::json(versions::versions())).outside_api(),
        ["services", "data", version, rest @ ..] => versioned(org, request, faults, version, rest),
        _ => Reply::not_found(),
    }
}

/// A resource below `/services/data/vXX.0`.
fn versioned(org: &Org, request: &Request, faults: &[Fault], version: &str, rest: &[&str]) -> Reply {
    let Some(version) = version.strip_prefix('v') else { return Reply::not_found().outside_api() };
    let number = version.strip_suffix(".0").and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(number) if (API_VERSIONS.0..=API_VERSIONS.1).contains(&number) => {}
        Some(number) if (21..API_VERSIONS.0).contains(&number) => {
            return Reply::error(410, "GONE", &format!("API version v{version} is no longer available."))
                .outside_api();
        }
        _ => return Reply::not_found().outside_api(),
    }
    if let Some(refused) = without_session(org, request) {
        return refused;
    }
    match rest {
        [] => read_only(request, || Reply::json(versions::resources(org, version))),
        ["limits"] => read_only(request, || Reply::json(limits::limits(org))),
        ["limits", "recordCount"] => {
            read_only(request, || Reply::json(limits::record_counts(org, &parameters(request.query()))))
        }
        ["query"] => read_only(request, || query::first_page(org, request, faults, version, false)),
        ["queryAll"] => read_only(request, || query::first_page(org, request, faults, version, true)),
        ["query" | "queryAll", locator @ ..] => {
            read_only(request, || query::next_page(org, request, faults, version, &locator.join("/")))
        }
        ["jobs", "query", rest @ ..] => {
            let version = (version, number.unwrap_or_default());
            jobs::jobs(&jobs::Asking { org, request, faults, version }, rest)
        }
        // Each since the version that introduced it.
        ["composite"] if number >= Some(38) => composite::composite(org, request),
        ["composite", "batch"] if number >= Some(34) => composite::batch(org, request),
        ["sobjects"] => read_only(request, || {
            sobjects::unless_unchanged(org, request, faults, || Reply::json(describe::list(org, version)))
        }),
        ["sobjects", object, rest @ ..] => match org.data.object(object) {
            Some(object) => {
                read_only(request, || sobjects::sobject(org, request, faults, version, object, rest))
            }
            None => Reply::not_found(),
        },
        _ => Reply::not_found(),
    }
}

/// A resource that takes GET and HEAD; any other method is refused.
fn read_only(request: &Request, reply: impl FnOnce() -> Reply) -> Reply {
    if matches!(request.method.as_str(), "GET" | "HEAD") {
        return reply();
    }
    let message = format!("HTTP Method '{}' not allowed. Allowed are HEAD,GET", request.method);
    let mut refused = Reply::error(405, "METHOD_NOT_ALLOWED", &message);
    refused.headers.push(("Allow".to_owned(), "HEAD,GET".to_owned()));
    refused
}

fn has_session(org: &Org, request: &Request) -> bool {
    // Some clients of the Bulk API send its first version's header to the second, too.
    let of_bulk = request.header("x-sfdc-session").filter(|_| bulk::call(request).is_some());
    if of_bulk.is_some_and(|token| lock(&org.sessions).contains(token.trim_start_matches("Bearer ").trim())) {
        return true;
    }
    request.header("authorization").and_then(|value| value.split_once(' ')).is_some_and(|(scheme, token)| {
        (scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("OAuth"))
            && lock(&org.sessions).contains(token.trim())
    })
}

/// The refusal of a request without a session.
fn without_session(org: &Org, request: &Request) -> Option<Reply> {
    if has_session(org, request) {
        return None;
    }
    let malformed = request
        .header("authorization")
        .is_some_and(|value| !value.contains(' ') || value.split(' ').count() != 2);
    let mut refused = if malformed {
        Reply::error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    } else {
        Reply::error(401, "INVALID_SESSION_ID", "Session expired or invalid")
    };
    refused.headers.push(("WWW-Authenticate".to_owned(), "Token".to_owned()));
    Some(refused.outside_api())
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

//! `composite/batch` and `composite`: up to 25 requests in the body of one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{happen, reply};
use crate::demo_org::fault::Fault;
use crate::demo_org::refusal::Refusal;
use crate::demo_org::render::{json, push};
use crate::demo_org::reply::Reply;
use crate::demo_org::{Org, Request};

/// How many requests a batch or a composite request may have.
const MAX_REQUESTS: usize = 25;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    batch_requests: Vec<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    method: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composite {
    composite_request: Vec<Referenced>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referenced {
    method: String,
    url: String,
    reference_id: String,
    #[serde(default)]
    http_headers: BTreeMap<String, String>,
}

/// Carries out the requests of a batch, one after the other. Each meets scripted faults as if it had been sent alone:
/// faults of its body change its part of the batch's response, faults of its delivery disturb the whole response.
pub(super) fn batch(org: &Org, request: &Request) -> Reply {
    let batch: Batch = match read(request) {
        Ok(batch) => batch,
        Err(refusal) => return Reply::refused(refusal),
    };
    if batch.batch_requests.len() > MAX_REQUESTS {
        return too_many();
    }
    let (mut results, mut has_errors, mut faults) = (Vec::new(), false, Vec::new());
    for inner in batch.batch_requests {
        let Answered { status, body, .. } =
            respond(org, inner.method, inner.url, session(request), &mut faults);
        has_errors |= status >= 400;
        results.extend_from_slice(if results.is_empty() { b"" } else { b"," });
        push(&mut results, format_args!(r#"{{"statusCode":{status},"result":"#));
        results.extend_from_slice(&body);
        results.push(b'}');
    }
    let mut body = Vec::with_capacity(results.len() + 64);
    push(&mut body, format_args!(r#"{{"hasErrors":{has_errors},"results":["#));
    body.append(&mut results);
    body.extend_from_slice(b"]}");
    Reply::page(body).delivered_with(faults)
}

/// Carries out the requests of a composite request. They may have headers of their own, and so may their responses;
/// none can refer to an earlier one's response.
pub(super) fn composite(org: &Org, request: &Request) -> Reply {
    let composite: Composite = match read(request) {
        Ok(composite) => composite,
        Err(refusal) => return Reply::refused(refusal),
    };
    if composite.composite_request.len() > MAX_REQUESTS {
        return too_many();
    }
    if let Some(wrong) = composite.composite_request.iter().find(|inner| inner.url.contains("@{")) {
        let message = format!("'{}' refers to another response", wrong.reference_id);
        return Reply::error(400, "INVALID_INPUT", &message);
    }
    let (mut body, mut faults) = (b"{\"compositeResponse\":[".to_vec(), Vec::new());
    for (n, inner) in composite.composite_request.into_iter().enumerate() {
        let reference = inner.reference_id;
        let mut headers = session(request);
        headers
            .extend(inner.http_headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)));
        let answered = respond(org, inner.method, inner.url, headers, &mut faults);
        body.extend_from_slice(if n > 0 { b",{\"body\":" } else { b"{\"body\":" });
        body.extend_from_slice(if answered.body.is_empty() { b"null" } else { &answered.body });
        body.extend_from_slice(b",\"httpHeaders\":{");
        for (n, (name, value)) in answered.headers.iter().enumerate() {
            body.extend_from_slice(if n > 0 { b"," } else { b"" });
            json::string(&mut body, name);
            body.push(b':');
            json::string(&mut body, value);
        }
        push(&mut body, format_args!(r#"}},"httpStatusCode":{},"referenceId":"#, answered.status));
        json::string(&mut body, &reference);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    Reply::page(body).delivered_with(faults)
}

/// The body of a POST.
fn read<'r, T: Deserialize<'r>>(request: &'r Request) -> Result<T, Refusal> {
    if request.method != "POST" {
        let message = format!("HTTP Method '{}' not allowed. Allowed are POST", request.method);
        return Err(Refusal { status: 405, code: "METHOD_NOT_ALLOWED", message });
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| Refusal::new("JSON_PARSER_ERROR", error.to_string()))
}

fn too_many() -> Reply {
    let message = format!("the batch has more than {MAX_REQUESTS} requests");
    Reply::error(400, "LIMIT_EXCEEDED", &message)
}

/// Of the outer request's headers, the session: its options are not those of the inner ones.
fn session(outer: &Request) -> Vec<(String, String)> {
    outer.headers.iter().filter(|(name, _)| name == "authorization").cloned().collect()
}

/// What an inner request gets.
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn respond(
    org: &Org,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    delivery: &mut Vec<Fault>,
) -> Answered {
    let path = url.trim_start_matches('/').trim_start_matches("services/data/");
    let request = Request { method, target: format!("/services/data/{path}"), headers, body: Vec::new() };
    let faults = org.script.next(org, &request);
    for fault in &faults {
        if let Fault::Answer { status, body, .. } = fault {
            // A refusal that is not JSON has to be a text within it.
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let text = || serde_json::to_vec(&String::from_utf8_lossy(body)).unwrap_or_default();
            let body = if is_json || *status == 200 { body.clone() } else { text() };
            return Answered { status: *status, headers: Vec::new(), body };
        }
    }
    happen(org, &request, &faults);
    let mut reply = reply(org, &request, &faults);
    delivery.extend(faults);
    let headers = std::mem::take(&mut reply.headers);
    let (status, body) = reply.into_body();
    Answered { status, headers, body }
}

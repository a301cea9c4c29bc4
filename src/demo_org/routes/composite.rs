//! `composite/batch`: up to 25 requests in the body of one.

use serde::Deserialize;

use super::{happen, reply};
use crate::demo_org::fault::Fault;
use crate::demo_org::render::push;
use crate::demo_org::reply::Reply;
use crate::demo_org::{Org, Request};

/// How many requests a batch may have.
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

/// Carries out the requests of a batch, one after the other. Each meets scripted faults as if it had been sent alone:
/// faults of its body change its part of the batch's response, faults of its delivery disturb the whole response.
pub(super) fn batch(org: &Org, request: &Request) -> Reply {
    if request.method != "POST" {
        let message = format!("HTTP Method '{}' not allowed. Allowed are POST", request.method);
        return Reply::error(405, "METHOD_NOT_ALLOWED", &message);
    }
    let batch: Batch = match serde_json::from_slice(&request.body) {
        Ok(batch) => batch,
        Err(error) => return Reply::error(400, "JSON_PARSER_ERROR", &error.to_string()),
    };
    if batch.batch_requests.len() > MAX_REQUESTS {
        let message = format!("the batch has more than {MAX_REQUESTS} requests");
        return Reply::error(400, "LIMIT_EXCEEDED", &message);
    }
    let (mut results, mut has_errors, mut faults) = (Vec::new(), false, Vec::new());
    for inner in batch.batch_requests {
        let (status, body) = respond(org, request, inner, &mut faults);
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

/// The status and the body that a request of a batch gets.
fn respond(org: &Org, outer: &Request, inner: Inner, delivery: &mut Vec<Fault>) -> (u16, Vec<u8>) {
    let path = inner.url.trim_start_matches('/').trim_start_matches("services/data/");
    // The options of the outer request are not those of the inner ones; the session is.
    let headers = outer.headers.iter().filter(|(name, _)| name == "authorization").cloned().collect();
    let request =
        Request { method: inner.method, target: format!("/services/data/{path}"), headers, body: Vec::new() };
    let faults = org.script.next(org, &request);
    for fault in &faults {
        if let Fault::Answer { status, body, .. } = fault {
            // A refusal that is not JSON has to be a text within it.
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
            let text = || serde_json::to_vec(&String::from_utf8_lossy(body)).unwrap_or_default();
            return (*status, if is_json || *status == 200 { body.clone() } else { text() });
        }
    }
    happen(org, &request, &faults);
    let reply = reply(org, &request, &faults);
    delivery.extend(faults);
    reply.into_body()
}

//! `composite/batch`: requests in the body of a POST, and their responses in the response to it. For a request that is
//! too long for a URL, and for many small ones.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::{Call, Method, Payload};
use super::fault::{Fault, FaultKind};

mod results;

pub use results::{InnerResponse, Results};

/// How many requests a batch may have.
pub const MAX_REQUESTS: usize = 25;

/// The first API version that has the resource.
const SINCE: f64 = 34.0;

/// A batch whose only request is a GET of `target` (`/services/data/v62.0/query?q=...`).
pub(super) fn call(api_version: &str, target: &str) -> Call<'static> {
    Call { is_batch: true, ..batch(api_version, &[target]) }
}

/// A batch of GETs, at most [`MAX_REQUESTS`], whose response is for [`Results`].
pub(super) fn batch(api_version: &str, targets: &[impl AsRef<str>]) -> Call<'static> {
    #[derive(Serialize)]
    struct Batch<'t> {
        #[serde(rename = "batchRequests")]
        requests: Vec<Request<'t>>,
    }
    #[derive(Serialize)]
    struct Request<'t> {
        method: &'static str,
        /// Relative to `/services/data/`.
        url: &'t str,
    }
    let urls = targets.iter().map(AsRef::as_ref);
    let urls = urls.map(|target| target.strip_prefix("/services/data/").unwrap_or(target));
    let batch = Batch { requests: urls.map(|url| Request { method: "GET", url }).collect() };
    // Strings always serialize.
    let body = serde_json::to_vec(&batch).unwrap_or_default();
    Call::post(format!("/services/data/v{api_version}/composite/batch"), Payload::Json(body.into()))
}

/// The same GET as a batch; `None` if the call is not a GET, is already a batch, or if the API version has no
/// batches.
#[must_use]
pub fn instead_of<'c>(call: &Call<'c>, api_version: &str) -> Option<Call<'c>> {
    if call.is_batch || call.method != Method::Get || !is_offered(api_version) {
        return None;
    }
    let (headers, subject) = (call.headers.clone(), call.subject);
    Some(Call { headers, subject, ..self::call(api_version, &call.path) })
}

/// Whether the API version has the resource.
#[must_use]
pub fn is_offered(api_version: &str) -> bool {
    api_version.parse::<f64>().is_ok_and(|version| version >= SINCE)
}

/// The inner response of a batch of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its status.
    pub status: u16,
    /// The range of its body within the batch's body.
    pub body: Range<usize>,
}

/// Finds the inner response of a batch of one request.
///
/// # Errors
/// [`FaultKind::Truncated`] if there is none: the body is not complete JSON, or the org did not respond to the
/// request.
pub fn inner(body: &[u8]) -> Result<Inner, Fault> {
    #[derive(Deserialize)]
    struct Batch<'b> {
        #[serde(borrow)]
        results: [Response<'b>; 1],
    }
    #[derive(Deserialize)]
    struct Response<'b> {
        #[serde(rename = "statusCode")]
        status: u16,
        #[serde(borrow)]
        result: &'b RawValue,
    }
    // Without serde's message, which may quote the body.
    let Batch { results: [Response { status, result }] } = serde_json::from_slice(body).map_err(|_| {
        Fault::new(
            FaultKind::Truncated,
            "the org's response to composite/batch is not the result of one request",
        )
    })?;
    // The result is borrowed from the body, so the difference of the addresses is its offset.
    let start = result.get().as_ptr().addr() - body.as_ptr().addr();
    Ok(Inner { status, body: start..start + result.get().len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_sent_in_the_body() {
        let call = call("62.0", "/services/data/v62.0/query?q=SELECT%20Id");
        assert_eq!(call.path, "/services/data/v62.0/composite/batch");
        let Some(Payload::Json(body)) = call.body else { panic!("a body of JSON") };
        assert_eq!(
            std::str::from_utf8(&body).unwrap(),
            r#"{"batchRequests":[{"method":"GET","url":"v62.0/query?q=SELECT%20Id"}]}"#
        );
    }

    #[test]
    fn the_inner_response_is_found_as_it_was_sent() {
        let found = |text: &str| {
            let Inner { status, body } = inner(text.as_bytes()).unwrap();
            (status, text[body].to_owned())
        };
        assert_eq!(
            found(
                r#"{"hasErrors":false,"results":[{"statusCode":200,"result":{"a" : 1e400,"b":"\ud800"}}]}"#
            ),
            (200, r#"{"a" : 1e400,"b":"\ud800"}"#.to_owned())
        );
        assert_eq!(
            found(r#"{"new":{},"results":[{"result":[{"errorCode":"X"}],"more":[],"statusCode":400}]}"#),
            (400, r#"[{"errorCode":"X"}]"#.to_owned())
        );
    }

    #[test]
    fn a_response_without_exactly_one_result_is_cut_short() {
        for text in [
            "",
            "null",
            r#"{"results":[]}"#,
            r#"{"results":[{"statusCode":200}]}"#,
            r#"{"results":[{"statusCode":200,"result":{"a":1}}"#,
            r#"{"results":[{"statusCode":200,"result":1},{"statusCode":200,"result":1}]}"#,
        ] {
            assert_eq!(inner(text.as_bytes()).expect_err(text).kind, FaultKind::Truncated);
        }
    }
}

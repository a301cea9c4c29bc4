//! What is below `/sobjects/X`: its describes, single records, and the bytes of a record.

use super::{describe, replication};
use crate::demo_org::data::Row;
use crate::demo_org::fault::Fault;
use crate::demo_org::render::json;
use crate::demo_org::reply::Reply;
use crate::demo_org::schema::{Field, Kind, Object};
use crate::demo_org::{Org, Request};

/// Responds to a request for one of these.
pub(super) fn sobject(
    org: &Org,
    request: &Request,
    faults: &[Fault],
    version: &str,
    object: &'static Object,
    rest: &[&str],
) -> Reply {
    let found =
        |id: &str| org.data.row(id).filter(|row| row.object().name == object.name && !row.is_deleted());
    match rest {
        [] => Reply::json(describe::basic(object, version)),
        ["describe"] => unless_unchanged(org, request, faults, || {
            Reply::json(describe::object(org, object, version, faults))
        }),
        ["updated"] => replication::updated(org, request, object),
        ["deleted"] => replication::deleted(org, request, object),
        [id] => found(id).map_or_else(Reply::not_found, |row| Reply::json(record(row, version))),
        [id, field] if object.field(field).is_some_and(|field| field.kind == Kind::Base64) => found(id)
            .map_or_else(Reply::not_found, |row| {
                let body = format!("the bytes of {}\n", row.id()).into_bytes();
                let mut reply = Reply::json(body);
                reply.content_type = "application/octet-stream";
                reply
            }),
        _ => Reply::not_found(),
    }
}

/// A describe with the time of its last change, or 304 without a body if the client has that version already. A describe
/// that a scripted fault changes is always sent.
pub(super) fn unless_unchanged(
    org: &Org,
    request: &Request,
    faults: &[Fault],
    reply: impl FnOnce() -> Reply,
) -> Reply {
    let changed = org.data.catalog.changed();
    let known = request
        .header("if-modified-since")
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())
        .is_some_and(|known| known.timestamp() >= changed);
    let mut reply = if known && faults.is_empty() { Reply::unchanged() } else { reply() };
    let date = changed.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    reply.headers.push(("Last-Modified".to_owned(), date));
    reply
}

fn record(row: Row<'_>, version: &str) -> Vec<u8> {
    let mut out = b"{".to_vec();
    json::attributes(&mut out, row.object.name, row.id(), version);
    for Field { name, make, .. } in row.object.fields {
        json::key(&mut out, name);
        json::value(&mut out, &make(row), version);
    }
    out.push(b'}');
    out
}

//! JSON as the REST API sends it: compact or pretty, parents nested, `+0000`.

use std::sync::Arc;

use super::{date, datetime, double, formatted, push};
use crate::demo_org::Org;
use crate::demo_org::condition::End;
use crate::demo_org::data::{Address, RecordId, Row, Value};
use crate::demo_org::plan::{Column, Content, Plan};
use crate::demo_org::query::{self, Cursor, Distortion};
use crate::demo_org::schema::{Field, Kind, Object};

/// Writes the records of a page.
pub(in crate::demo_org) struct Rows<'r> {
    org: &'r Org,
    cursor: &'r Cursor,
    distortion: &'r Distortion<'r>,
    /// Records written so far, children included.
    pub(in crate::demo_org) written: usize,
}

impl<'r> Rows<'r> {
    pub(in crate::demo_org) fn new(org: &'r Org, cursor: &'r Cursor, distortion: &'r Distortion<'r>) -> Self {
        Self { org, cursor, distortion, written: 0 }
    }

    /// A record of the result itself.
    pub(in crate::demo_org) fn record(&mut self, out: &mut Vec<u8>, row: Row<'_>, columns: &[Column]) {
        self.written += 1;
        self.object(out, row, columns, self.distortion.extra_columns);
    }

    fn object(&mut self, out: &mut Vec<u8>, row: Row<'_>, columns: &[Column], extra: usize) {
        out.push(b'{');
        if self.distortion.reversed_keys {
            for n in (0..extra).rev() {
                push(out, format_args!("\"{}\":\"x\",", extra_column(n)));
            }
            for column in columns.iter().rev() {
                push(out, format_args!("\"{}\":", column.key));
                self.content(out, row, &column.content);
                out.push(b',');
            }
            attributes(out, row.object.name, row.id(), &self.cursor.version);
        } else {
            attributes(out, row.object.name, row.id(), &self.cursor.version);
            for column in columns {
                key(out, &column.key);
                self.content(out, row, &column.content);
            }
            for n in 0..extra {
                push(out, format_args!(",\"{}\":\"x\"", extra_column(n)));
            }
        }
        out.push(b'}');
    }

    fn content(&mut self, out: &mut Vec<u8>, row: Row<'_>, content: &Content) {
        match content {
            Content::Own(end, false) => self.value(out, end.value(row)),
            Content::Own(end, true) => {
                let kind = match end {
                    End::Field(field) => field.kind,
                    End::Name(_) => Kind::Text,
                };
                self.value(out, formatted(end.value(row), kind));
            }
            Content::Parent(reference, columns) => match parent(row, reference) {
                Some(parent) => self.object(out, parent, columns, 0),
                None => out.extend_from_slice(b"null"),
            },
            Content::TypeOf(reference, branches, otherwise) => match parent(row, reference) {
                Some(parent) => {
                    let branch = branches
                        .iter()
                        .find(|(object, _)| object.name == parent.object.name)
                        .map(|(_, columns)| columns)
                        .or(otherwise.as_ref());
                    self.object(out, parent, branch.map_or(&[], Vec::as_slice), 0);
                }
                None => out.extend_from_slice(b"null"),
            },
            Content::Child(object, field, plan) => self.children(out, row, object, field, plan),
        }
    }

    /// A value, distorted if so it is scripted.
    fn value(&self, out: &mut Vec<u8>, mut of: Value) {
        match &mut of {
            Value::Text(text) if text.len() < self.distortion.long_texts => {
                let missing = self.distortion.long_texts - text.len();
                text.to_mut().extend(std::iter::repeat_n('x', missing));
            }
            Value::Address(address) if self.distortion.null_addresses && address.is_empty() => {
                of = Value::Null;
            }
            _ => {}
        }
        value(out, &of, &self.cursor.version);
    }

    fn children(
        &mut self,
        out: &mut Vec<u8>,
        row: Row<'_>,
        object: &'static Object,
        field: &'static str,
        plan: &Arc<Plan>,
    ) {
        match query::children(self.org, self.cursor, self.distortion, plan, row, (object, field)) {
            Some((body, sent)) => {
                self.written += sent;
                out.extend_from_slice(&body);
            }
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn parent<'d>(row: Row<'d>, reference: &Field) -> Option<Row<'d>> {
    match (reference.make)(row) {
        Value::Id(id) => row.data.find(id),
        _ => None,
    }
}

/// The name of a column that [`super::super::Fault::ExtraColumns`] adds.
pub(in crate::demo_org) fn extra_column(n: usize) -> String {
    format!("Extra{:06}__c", n + 1)
}
/// Appends a value as JSON; `version` as in `62.0`, for the URLs of blobs.
pub(in crate::demo_org) fn value(out: &mut Vec<u8>, value: &Value, version: &str) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => push(out, format_args!("{number}")),
        Value::Double(number) => double(out, *number),
        Value::Text(text) => string(out, text),
        Value::Id(id) => {
            out.push(b'"');
            out.extend_from_slice(&id.to_bytes());
            out.push(b'"');
        }
        Value::Date(day) => {
            out.push(b'"');
            date(out, *day);
            out.push(b'"');
        }
        Value::Datetime(timestamp) => {
            out.push(b'"');
            datetime(out, *timestamp);
            out.extend_from_slice(b"+0000\"");
        }
        Value::Address(parts) => address(out, parts),
        Value::Location { latitude, longitude } => {
            out.extend_from_slice(b"{\"latitude\":");
            double(out, *latitude);
            out.extend_from_slice(b",\"longitude\":");
            double(out, *longitude);
            out.push(b'}');
        }
        Value::Blob(id, field) => {
            push(out, format_args!("\"/services/data/v{version}/sobjects/Attachment/{id}/{field}\""));
        }
    }
}

/// Appends a record's first key.
pub(in crate::demo_org) fn attributes(out: &mut Vec<u8>, object: &str, id: RecordId, version: &str) {
    out.extend_from_slice(b"\"attributes\":{\"type\":\"");
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b"\",\"url\":\"/services/data/v");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(b"/sobjects/");
    out.extend_from_slice(object.as_bytes());
    out.push(b'/');
    out.extend_from_slice(&id.to_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends `,"key":`.
pub(in crate::demo_org) fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a JSON string: raw UTF-8, only what must be escaped is.
pub(in crate::demo_org) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            0..=31 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            push(out, format_args!("{byte:04X}"));
        }
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn address(out: &mut Vec<u8>, address: &Address) {
    let text = |out: &mut Vec<u8>, key: &str, text: Option<&str>| {
        out.extend_from_slice(key.as_bytes());
        match text {
            Some(text) => string(out, text),
            None => out.extend_from_slice(b"null"),
        }
    };
    let number = |out: &mut Vec<u8>, key: &str, number: Option<f64>| {
        out.extend_from_slice(key.as_bytes());
        match number {
            Some(number) => double(out, number),
            None => out.extend_from_slice(b"null"),
        }
    };
    text(out, "{\"city\":", address.city);
    text(out, ",\"country\":", address.country);
    text(out, ",\"geocodeAccuracy\":", address.geocode_accuracy);
    number(out, ",\"latitude\":", address.latitude);
    number(out, ",\"longitude\":", address.longitude);
    text(out, ",\"postalCode\":", address.postal_code);
    text(out, ",\"state\":", address.state);
    text(out, ",\"street\":", address.street.as_deref());
    out.push(b'}');
}

/// Compact JSON in Salesforce's pretty style: two spaces a level, ` : `, `[ {` and `}, {` on one line, `[ ]`.
pub(in crate::demo_org) fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 3 / 2);
    let mut depth = 0_usize;
    let mut at = 0;
    // The brackets that are open.
    let mut open: Vec<u8> = Vec::new();
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    while at < compact.len() {
        match compact[at] {
            b'{' => {
                open.push(b'{');
                depth += 1;
                out.push(b'{');
                if compact.get(at + 1) == Some(&b'}') {
                    out.push(b' ');
                } else {
                    line(&mut out, depth);
                }
            }
            b'}' => {
                open.pop();
                depth -= 1;
                if compact[at - 1] != b'{' {
                    line(&mut out, depth);
                }
                out.push(b'}');
            }
            b'[' => {
                open.push(b'[');
                out.extend_from_slice(b"[ ");
            }
            b']' => {
                open.pop();
                out.extend_from_slice(if compact[at - 1] == b'[' { b"]" } else { b" ]" });
            }
            b',' if open.last() == Some(&b'[') => out.extend_from_slice(b", "),
            b',' => {
                out.push(b',');
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b" : "),
            b'"' => {
                let from = at;
                at += 1;
                while compact.get(at).is_some_and(|&byte| byte != b'"') {
                    at += 1 + usize::from(compact[at] == b'\\');
                }
                // A body that was cut on purpose may end within a string.
                out.extend_from_slice(&compact[from..compact.len().min(at + 1)]);
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn timestamps_have_an_offset_without_a_colon() {
        let at = Value::Datetime("2026-05-01T07:25:37.004Z".parse().unwrap());
        assert_eq!(text(|out| value(out, &at, "62.0")), "\"2026-05-01T07:25:37.004+0000\"");
    }

    #[test]
    fn strings_stay_raw_but_for_what_json_forbids() {
        assert_eq!(
            text(|out| string(out, "a\"b\\c\n\r\t\u{8}\u{c}\u{0}\u{1f}/é\u{2028}😀\u{7f}")),
            "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0000\\u001F/é\u{2028}😀\u{7f}\""
        );
    }

    #[test]
    fn the_pretty_style_is_the_one_that_salesforce_sends() {
        let compact = br#"{"totalSize":2,"done":true,"records":[{"a":{"b":"x,[\"{:"},"c":null},{"c":1.0}]}"#;
        let expected = "{\n  \"totalSize\" : 2,\n  \"done\" : true,\n  \"records\" : [ {\n    \"a\" : {\n      \"b\" : \
                        \"x,[\\\"{:\"\n    },\n    \"c\" : null\n  }, {\n    \"c\" : 1.0\n  } ]\n}";
        assert_eq!(String::from_utf8(pretty(compact)).unwrap(), expected);
        assert_eq!(pretty(br#"{"records":[]}"#), b"{\n  \"records\" : [ ]\n}");
    }
}

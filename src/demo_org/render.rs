//! Values → JSON in Salesforce's own forms: compact or pretty, Java's doubles, `+0000`. Which values, and
//! under which keys, is the business of `query`.

use std::io::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;

use super::data::{Address, RecordId, Value};

/// Appends a value as JSON; `version` as in `62.0`, for the URLs of blobs.
pub(super) fn value(out: &mut Vec<u8>, value: &Value, version: &str) {
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
            out.push(b'"');
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
pub(super) fn attributes(out: &mut Vec<u8>, object: &str, id: RecordId, version: &str) {
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
pub(super) fn key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a JSON string: raw UTF-8, only what must be escaped is.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
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

/// Appends a double as Java's `Double.toString` writes it (since JDK 19: the shortest digits that read back to
/// it, at least one behind the point): plain from 10⁻³ to below 10⁷, else with an exponent.
pub(super) fn double(out: &mut Vec<u8>, number: f64) {
    let from = out.len();
    let size = number.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        push(out, format_args!("{number:?}"));
        let length = out.len() - from;
        if length >= LONG
            && let Some(point) = out[from..].iter().position(|&byte| byte == b'.')
        {
            let places = length - point - 1;
            nearer(out, from, number, &format!("{number:.places$}"));
        }
        return;
    }
    push(out, format_args!("{number:e}"));
    let length = out[from..].iter().position(|&byte| byte == b'e').unwrap_or_default();
    let digits = length - usize::from(number < 0.0);
    if digits == 1 || digits >= LONG || !number.is_normal() {
        // One digit would do, but Java writes two, and of all with two the nearest: 4.9E-324, not 5.0E-324.
        let places = digits.saturating_sub(2).max(1);
        nearer(out, from, number, &format!("{number:.places$e}"));
    }
    for byte in &mut out[from..] {
        if *byte == b'e' {
            *byte = b'E';
        }
    }
}

/// From so many digits on, two numbers of that length can be equally near; Java takes the even one, as
/// rounding the exact value to that length does, and the shortest form here does not.
const LONG: usize = 15;

/// Puts the rounded form in place of the shortest one, unless it is another number: above a power of two the
/// doubles lie twice as far apart as below it.
fn nearer(out: &mut Vec<u8>, from: usize, number: f64, rounded: &str) {
    if rounded.parse() == Ok(number) {
        out.truncate(from);
        out.extend_from_slice(rounded.as_bytes());
    }
}

/// Appends a day: `2026-03-08`.
pub(super) fn date(out: &mut Vec<u8>, day: Date) {
    digits(out, day.year() as u32, 4);
    out.push(b'-');
    digits(out, day.month() as u32, 2);
    out.push(b'-');
    digits(out, day.day() as u32, 2);
}

/// Appends a timestamp: `2026-05-01T07:25:37.000+0000`.
pub(super) fn datetime(out: &mut Vec<u8>, timestamp: Timestamp) {
    let milliseconds = timestamp.as_millisecond();
    let of_day = milliseconds.rem_euclid(86_400_000) as u32;
    let days = milliseconds.div_euclid(86_400_000);
    date(out, civil(days));
    out.push(b'T');
    digits(out, of_day / 3_600_000, 2);
    out.push(b':');
    digits(out, of_day / 60_000 % 60, 2);
    out.push(b':');
    digits(out, of_day / 1000 % 60, 2);
    out.push(b'.');
    digits(out, of_day % 1000, 3);
    out.extend_from_slice(b"+0000");
}

/// The calendar day so many days after 1970-01-01.
fn civil(days: i64) -> Date {
    use jiff::ToSpan as _;
    jiff::civil::date(1970, 1, 1).saturating_add(days.days())
}

fn digits(out: &mut Vec<u8>, number: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_u32.pow(place) % 10) as u8);
    }
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

/// Appends formatted text; writing to memory cannot fail.
pub(super) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// Compact JSON in Salesforce's pretty style: two spaces a level, ` : `, `[ {` and `}, {` on one line, `[ ]`.
pub(super) fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 3 / 2);
    let mut depth = 0_usize;
    let mut at = 0;
    // What each open bracket is, and whether anything stands in it.
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
    fn doubles_are_written_as_java_writes_them() {
        // Each answer is that of JDK 25's own `Double.toString`; JDK 17's differs in the last one but one.
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (541.25, "541.25"),
            (0.1, "0.1"),
            (0.001, "0.001"),
            (0.000_999_999, "9.99999E-4"),
            (1.0e-5, "1.0E-5"),
            (9_999_999.0, "9999999.0"),
            (9_999_999.999_999_998, "9999999.999999998"),
            (1.0e7, "1.0E7"),
            (1.39e8, "1.39E8"),
            (9.9213206e7, "9.9213206E7"),
            (-123_456_789.125, "-1.23456789125E8"),
            (1.614_780_582_439_7e13, "1.6147805824397E13"),
            (9_007_199_254_740_993.0, "9.007199254740992E15"),
            (999_999_999_999_999_999.0, "1.0E18"),
            (9.99e20, "9.99E20"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (1.5e-323, "1.5E-323"),
            (2e23, "2.0E23"),
            // Halfway between two: the even one.
            (1_059_438_285_926_254.2, "1.0594382859262542E15"),
            // A power of two, whose nearest sixteen digits are another number's.
            (f64::from_bits(6 << 52), "7.120236347223045E-307"),
        ] {
            assert_eq!(text(|out| double(out, number)), expected);
        }
    }

    #[test]
    fn instants_have_milliseconds_and_an_offset_without_colon() {
        let timestamp: Timestamp = "2026-05-01T09:25:37.004+02:00".parse().unwrap();
        assert_eq!(text(|out| datetime(out, timestamp)), "2026-05-01T07:25:37.004+0000");
        let timestamp: Timestamp = "1969-12-31T23:59:59.999Z".parse().unwrap();
        assert_eq!(text(|out| datetime(out, timestamp)), "1969-12-31T23:59:59.999+0000");
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

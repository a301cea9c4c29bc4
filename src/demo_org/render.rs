//! Values in the forms that Salesforce sends: JSON for REST, CSV for Bulk API 2.0, and what both share: Java's
//! doubles, dates, timestamps, and the texts of `FORMAT`. `query` decides which values.

pub(super) mod csv;
pub(super) mod json;

use std::io::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;

use super::data::Value;
use super::schema::Kind;

/// Appends formatted text; writing to memory cannot fail.
pub(super) fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// Appends a double as Java's `Double.toString` writes it (since JDK 19: the shortest digits that read back to
/// it, at least one behind the point): plain from 10⁻³ to below 10⁷, else with an exponent.
fn double(out: &mut Vec<u8>, number: f64) {
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

/// Replaces the shortest form with the rounded one, unless it is another number: above a power of two the
/// doubles lie twice as far apart as below it.
fn nearer(out: &mut Vec<u8>, from: usize, number: f64, rounded: &str) {
    if rounded.parse() == Ok(number) {
        out.truncate(from);
        out.extend_from_slice(rounded.as_bytes());
    }
}

/// Appends a day: `2026-03-08`.
fn date(out: &mut Vec<u8>, day: Date) {
    digits(out, day.year() as u32, 4);
    out.push(b'-');
    digits(out, day.month() as u32, 2);
    out.push(b'-');
    digits(out, day.day() as u32, 2);
}

/// Appends a timestamp in UTC without its offset: `2026-05-01T07:25:37.000`.
fn datetime(out: &mut Vec<u8>, timestamp: Timestamp) {
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

/// A value as `FORMAT` shows it to an American: `$44,000.00`, `1,234.5`, `4/10/2025, 3:31 PM`.
pub(super) fn formatted(value: Value, kind: Kind) -> Value {
    match value {
        Value::Int(number) => grouped_digits(&number.to_string()).into(),
        Value::Double(number) if kind == Kind::Currency => {
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}${}", grouped_digits(&format!("{:.2}", number.abs()))).into()
        }
        Value::Double(number) if kind == Kind::Percent => {
            format!("{}%", grouped_digits(&format!("{number}"))).into()
        }
        Value::Double(number) => grouped_digits(&format!("{number}")).into(),
        Value::Date(day) => format!("{}/{}/{}", day.month(), day.day(), day.year()).into(),
        Value::Datetime(timestamp) => {
            let at = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
            let (hour, half) = (at.hour(), if at.hour() < 12 { "AM" } else { "PM" });
            let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
            format!("{}/{}/{}, {hour}:{:02} {half}", at.month(), at.day(), at.year(), at.minute()).into()
        }
        other => other,
    }
}

/// Commas between thousands.
fn grouped_digits(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = sign.to_owned();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
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
        // Each value is from JDK 25's own `Double.toString`; JDK 17's differs in the last one but one.
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
    fn timestamps_have_milliseconds_and_are_in_utc() {
        let timestamp: Timestamp = "2026-05-01T09:25:37.004+02:00".parse().unwrap();
        assert_eq!(text(|out| datetime(out, timestamp)), "2026-05-01T07:25:37.004");
        let timestamp: Timestamp = "1969-12-31T23:59:59.999Z".parse().unwrap();
        assert_eq!(text(|out| datetime(out, timestamp)), "1969-12-31T23:59:59.999");
    }
}

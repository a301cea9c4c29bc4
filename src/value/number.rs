//! Numbers as text: never parsed into a float, never rounded.

use std::fmt;

/// The largest exponent that is written out, in either direction. No double reaches it (308 up, 324 down), and writing
/// out `1E999999999` would fill a disk.
const MAX_EXPONENT: i32 = 400;

/// A number whose exponent is too large to be written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExponentOutOfRange {
    number: String,
}

impl ExponentOutOfRange {
    fn of(number: &[u8]) -> Self {
        Self { number: super::shown(number) }
    }
}

impl fmt::Display for ExponentOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exponent of \"{}\" is beyond {MAX_EXPONENT}", self.number)
    }
}

impl std::error::Error for ExponentOutOfRange {}

/// The place behind the number at `at`, by the grammar of JSON (RFC 8259, section 6). `None` if there is none, or if it has
/// `max_digits` digits in a row.
#[inline]
pub(crate) fn end_of_number(bytes: &[u8], at: usize, max_digits: usize) -> Option<usize> {
    let digits = |from: usize| {
        let digits = bytes.get(from..)?.iter().take(max_digits).take_while(|byte| byte.is_ascii_digit());
        let count = digits.count();
        (count > 0 && count < max_digits).then_some(from + count)
    };
    let whole = if bytes.get(at) == Some(&b'-') { at + 1 } else { at };
    let mut end = if bytes.get(whole) == Some(&b'0') { whole + 1 } else { digits(whole)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        end = digits(end + 1 + usize::from(signed))?;
    }
    Some(end)
}

/// Appends a JSON number with its exponent written out, exactly: the same decimal value, digit for digit.
/// A number without an exponent is appended as it is. A mantissa with a point keeps one, so that a column of
/// doubles looks alike whatever their size: `1.6147805824397E13` gives `16147805824397.0`, `1E3` gives `1000`.
///
/// # Errors
/// If the exponent is beyond `MAX_EXPONENT`; then nothing is appended.
pub fn write_plain(number: &[u8], out: &mut Vec<u8>) -> Result<(), ExponentOutOfRange> {
    let Some(e) = number.iter().position(|b| matches!(b, b'e' | b'E')) else {
        out.extend_from_slice(number);
        return Ok(());
    };
    let (mantissa, exponent) = (&number[..e], &number[e + 1..]);
    let exponent = std::str::from_utf8(exponent).ok().and_then(|text| text.parse::<i32>().ok());
    let in_range = |exponent: &i32| exponent.unsigned_abs() <= MAX_EXPONENT.unsigned_abs();
    let exponent = exponent.filter(in_range).ok_or_else(|| ExponentOutOfRange::of(number))?;
    let (sign, digits) = match mantissa {
        [b'-', digits @ ..] => (&b"-"[..], digits),
        digits => (&b""[..], digits),
    };
    let point = digits.iter().position(|b| *b == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let digit = |index: usize| whole.iter().chain(fraction).nth(index).copied();
    let count = whole.len() + fraction.len();
    // The place of the point, counted from the first digit; outside 0..=count zeros fill the way to it.
    let place = whole.len() as i32 + exponent;

    out.extend_from_slice(sign);
    let mut leading = true;
    for index in 0..place.max(0) as usize {
        let digit = digit(index).unwrap_or(b'0');
        if !(leading && digit == b'0') {
            leading = false;
            out.push(digit);
        }
    }
    if leading {
        out.push(b'0');
    }
    let from = place.max(0) as usize;
    // Zeros at the end of the fraction stand for nothing once the point has moved; one digit stays.
    let last = (from..count).rev().find(|index| digit(*index) != Some(b'0')).map_or(from, |index| index + 1);
    if last > from {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', place.min(0).unsigned_abs() as usize));
        out.extend((from..last).filter_map(digit));
    } else if point.is_some() {
        out.extend_from_slice(b".0");
    }
    Ok(())
}

/// The digits of a number as a whole number of units of `10^-scale`: `541.25` with a scale of 2 is 54125. `None` if the text is
/// not a number, if the scale cannot hold it exactly, or if it is too large for 38 digits.
#[must_use]
pub fn scaled(number: &[u8], scale: u8) -> Option<i128> {
    if end_of_number(number, 0, usize::MAX) != Some(number.len()) {
        return None;
    }
    let (mantissa, exponent) = match number.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(e) => (&number[..e], std::str::from_utf8(&number[e + 1..]).ok()?.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (is_negative, digits) = match mantissa {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    // How many digits, from the first one, are units; those behind them must be zeros.
    let units = i64::try_from(point).ok()? + i64::from(exponent) + i64::from(scale);
    let (mut value, mut place) = (0_i128, 0_i64);
    for digit in digits.iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0') {
        if place < units {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if digit != 0 {
            return None;
        }
        place += 1;
    }
    if value != 0 {
        let zeros = u32::try_from(units.saturating_sub(place).max(0)).ok()?;
        value = value.checked_mul(10_i128.checked_pow(zeros)?)?;
    }
    (value < MAX_DECIMAL).then_some(if is_negative { -value } else { value })
}

/// One more than the largest number of 38 digits.
const MAX_DECIMAL: i128 = 10_i128.pow(38);

/// The double nearest to a number. Salesforce sends doubles with as many digits as they need, so this is the org's own double.
/// `None` if the text is not a number, or is too large for a double.
#[must_use]
pub fn double(number: &[u8]) -> Option<f64> {
    if end_of_number(number, 0, usize::MAX) != Some(number.len()) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok().filter(|double: &f64| double.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{double, scaled, write_plain};

    #[test]
    fn a_decimal_is_exact_or_nothing() {
        // By hand.
        for (number, scale, expected) in [
            ("541.25", 2, Some(54_125)),
            ("541.25", 4, Some(5_412_500)),
            ("541.250", 2, Some(54_125)),
            ("541.251", 2, None),
            ("-0.05", 2, Some(-5)),
            ("-0.0", 0, Some(0)),
            ("3.0", 0, Some(3)),
            ("3.5", 0, None),
            ("1E3", 0, Some(1000)),
            ("1.5e-3", 4, Some(15)),
            ("1.5e-3", 3, None),
            ("1.6147805824397E13", 2, Some(1_614_780_582_439_700)),
            ("0E999999999", 2, Some(0)),
            ("0.0E-999999999", 2, Some(0)),
            ("1E999999999", 2, None),
            ("1E-999999999", 2, None),
            (
                "99999999999999999999999999999999999999",
                0,
                Some(99_999_999_999_999_999_999_999_999_999_999_999_999),
            ),
            ("100000000000000000000000000000000000000", 0, None),
            ("1E38", 0, None),
            ("1E37", 1, None),
            ("", 0, None),
            ("-", 0, None),
            ("1.", 0, None),
            ("+1", 0, None),
            ("01", 0, None),
            ("NaN", 0, None),
            ("1 ", 0, None),
        ] {
            assert_eq!(scaled(number.as_bytes(), scale), expected, "{number} with a scale of {scale}");
        }
    }

    #[test]
    fn a_double_is_a_finite_number() {
        for (number, expected) in [
            ("541.25", Some(541.25)),
            ("1.6147805824397E13", Some(16_147_805_824_397.0)),
            ("-0.0", Some(-0.0)),
            ("5E-324", Some(5e-324)),
            ("1E309", None),
            ("inf", None),
            ("NaN", None),
            ("0x10", None),
            ("", None),
        ] {
            let bits = |double: f64| double.to_bits();
            assert_eq!(double(number.as_bytes()).map(bits), expected.map(bits), "{number}");
        }
    }

    fn plain(number: &str) -> String {
        let mut out = Vec::new();
        write_plain(number.as_bytes(), &mut out).expect("an exponent in range");
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn exponents_are_written_out_exactly() {
        // By hand; the last ones checked with Python's decimal: format(Decimal(x), 'f').
        let cases = [
            ("0", "0"),
            ("-7", "-7"),
            ("541.25", "541.25"),
            ("541.250", "541.250"),
            ("1.39E8", "139000000.0"),
            ("1.6147805824397E13", "16147805824397.0"),
            ("1.0E7", "10000000.0"),
            ("9.9213206E7", "99213206.0"),
            ("1.23456789E4", "12345.6789"),
            ("1.0E-5", "0.00001"),
            ("-1.5e-3", "-0.0015"),
            ("1E3", "1000"),
            ("1e+3", "1000"),
            ("12E-1", "1.2"),
            ("10E-1", "1"),
            ("0.0E10", "0.0"),
            ("-0.0E0", "-0.0"),
            ("0E5", "0"),
            ("0.001E2", "0.1"),
            ("0.001E3", "1.0"),
            ("4.9E-324", &format!("0.{}49", "0".repeat(323))),
            ("1.7976931348623157E308", &format!("17976931348623157{}.0", "0".repeat(292))),
            ("1E400", &format!("1{}", "0".repeat(400))),
            ("1E-400", &format!("0.{}1", "0".repeat(399))),
        ];
        for (sent, expected) in cases {
            assert_eq!(plain(sent), expected, "{sent}");
        }
    }

    #[test]
    fn an_exponent_beyond_400_is_an_error() {
        for number in ["1E401", "-2.5e-401", "1E999999999", "1E-99999999999999999999", "0E2147483648"] {
            let mut out = b"before".to_vec();
            let error = write_plain(number.as_bytes(), &mut out).expect_err(number);
            assert_eq!(error.to_string(), format!("the exponent of \"{number}\" is beyond 400"));
            assert_eq!(out, b"before");
        }
        let long = format!("1.{}E999", "1".repeat(60));
        let error = write_plain(long.as_bytes(), &mut Vec::new()).expect_err("a long number");
        assert_eq!(error.to_string(), format!("the exponent of \"{}...\" is beyond 400", &long[..40]));
    }

    /// A decimal as sign, digits without zeros at either end, and the power of ten of the last digit.
    fn value(text: &str) -> (bool, String, i64) {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut power =
            exponent.trim_start_matches('+').parse::<i64>().expect("exponent") - fraction.len() as i64;
        let digits = format!("{whole}{fraction}");
        let trimmed = digits.trim_end_matches('0');
        power += (digits.len() - trimmed.len()) as i64;
        let trimmed = trimmed.trim_start_matches('0');
        if trimmed.is_empty() { (negative, String::new(), 0) } else { (negative, trimmed.to_owned(), power) }
    }

    proptest! {
        #[test]
        fn the_value_never_changes(number in "-?(0|[1-9][0-9]{0,37})(\\.[0-9]{1,38})?([eE][+-]?([0-9]{1,2}|[0-3][0-9]{2}))?") {
            let written = plain(&number);
            prop_assert!(!written.contains(['e', 'E']), "{}", written);
            prop_assert_eq!(value(&written), value(&number), "{} became {}", number, written);
            if number.contains('.') && number.contains(['e', 'E']) {
                prop_assert!(written.contains('.'), "{} lost its point: {}", number, written);
            }
        }
    }
}

//! Numbers by their text: never parsed into a float, never rounded.

/// Exponents beyond this are left as they were sent. No double reaches it (308 up, 324 down, and 17 digits), and
/// writing `1E999999999` out would fill a disk.
const MAX_EXPONENT: i32 = 1_000;

/// Appends a JSON number with its exponent written out, exactly: the same decimal value, digit for digit.
/// A number without an exponent is appended as it is. A mantissa with a point keeps one, so that a column of
/// doubles looks alike whatever their size: `1.6147805824397E13` gives `16147805824397.0`, `1E3` gives `1000`.
pub fn write_plain(number: &[u8], out: &mut Vec<u8>) {
    let Some(e) = number.iter().position(|b| matches!(b, b'e' | b'E')) else {
        out.extend_from_slice(number);
        return;
    };
    let (mantissa, exponent) = (&number[..e], &number[e + 1..]);
    let exponent = std::str::from_utf8(exponent).ok().and_then(|text| text.parse::<i32>().ok());
    let Some(exponent) = exponent.filter(|exponent| exponent.abs() <= MAX_EXPONENT) else {
        out.extend_from_slice(number);
        return;
    };
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write_plain;

    fn plain(number: &str) -> String {
        let mut out = Vec::new();
        write_plain(number.as_bytes(), &mut out);
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
            ("1E999999999", "1E999999999"),
            ("1E-99999999999999999999", "1E-99999999999999999999"),
        ];
        for (sent, expected) in cases {
            assert_eq!(plain(sent), expected, "{sent}");
        }
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
        fn the_value_never_changes(number in "-?(0|[1-9][0-9]{0,37})(\\.[0-9]{1,38})?([eE][+-]?[0-9]{1,3})?") {
            let written = plain(&number);
            prop_assert!(!written.contains(['e', 'E']), "{}", written);
            prop_assert_eq!(value(&written), value(&number), "{} became {}", number, written);
            if number.contains('.') && number.contains(['e', 'E']) {
                prop_assert!(written.contains('.'), "{} lost its point: {}", number, written);
            }
        }
    }
}

//! Datetimes as text: checked and converted to UTC, never rounded.

use std::fmt;

/// A text that is not a datetime with an offset, in a form that Salesforce's APIs have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotADateTime {
    text: String,
}

impl NotADateTime {
    /// The error of a value.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        Self { text: super::shown(value) }
    }
}

impl fmt::Display for NotADateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a datetime", self.text)
    }
}

impl std::error::Error for NotADateTime {}

/// The days from 1970-01-01 to a date such as `2026-05-01`; `None` if the text is not a date.
#[must_use]
pub fn epoch_days(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
    is_date(year, month, day).then(|| days_from_epoch(year, month, day))
}

/// The milliseconds from 1970-01-01, 0:00 UTC, to a datetime in one of the forms that [`write_rfc3339`] reads. `None` if the
/// text is anything else, or is more precise than a millisecond.
#[must_use]
pub fn epoch_milliseconds(text: &[u8]) -> Option<i64> {
    let (time, rest) = text.split_at_checked(SECONDS_END)?;
    let civil = Civil::read(time)?;
    let (fraction, offset) = fraction(rest)?;
    let minutes = civil.minute - offset_minutes(offset)?;
    let days = i64::from(days_from_epoch(civil.year, civil.month, civil.day));
    let seconds = (days * i64::from(DAY) + i64::from(minutes)) * 60 + i64::from(digits(&civil.seconds)?);
    Some(seconds * 1000 + i64::from(milliseconds(fraction)?))
}

/// The milliseconds from midnight to a time of day such as `17:30:00.000Z`; `None` if the text is not a time of day, or is more
/// precise than a millisecond.
#[must_use]
pub fn milliseconds_of_day(text: &[u8]) -> Option<i32> {
    let (time, rest) = text.split_at_checked(TIME_BYTES)?;
    let [h0, h1, b':', m0, m1, b':', s0, s1] = *time.first_chunk::<TIME_BYTES>()? else { return None };
    let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[m0, m1])?, digits(&[s0, s1])?);
    let (fraction, zone) = fraction(rest)?;
    let is_time = hour < 24 && minute < 60 && second < 60 && matches!(zone, b"" | b"Z");
    is_time.then_some(((hour * 60 + minute) * 60 + second) * 1000 + milliseconds(fraction)?)
}

/// The digits of a fraction as milliseconds; `None` if they are more precise than that.
fn milliseconds(fraction: &[u8]) -> Option<i32> {
    let (kept, rest) = fraction.split_at(fraction.len().min(MILLISECONDS));
    let scale = [100, 10, 1];
    let digit = |(digit, scale): (&u8, i32)| i32::from(digit - b'0') * scale;
    rest.iter().all(|digit| *digit == b'0').then(|| kept.iter().zip(scale).map(digit).sum())
}

/// The days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted by years that begin in March: so the day
/// that only leap years have is the last one.
fn days_from_epoch(year: i32, month: i32, day: i32) -> i32 {
    const MARCH_1_OF_YEAR_0: i32 = 719_468;
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - MARCH_1_OF_YEAR_0
}

/// How long a time of day is without its fraction: `17:30:00`.
const TIME_BYTES: usize = 8;

/// Where the parts of a datetime are: `2026-05-01T07:25:37`, a fraction, an offset.
const SECONDS_END: usize = 19;

/// How many digits a fraction has at least.
const MILLISECONDS: usize = 3;

/// Appends a datetime as RFC 3339 has it, in UTC: `2026-05-01T07:25:37.000Z` for `2026-05-01T09:25:37.000+0200`. The fraction
/// has at least three digits, and further ones only if they are not zeros.
///
/// Reads `YYYY-MM-DDThh:mm:ss`, an optional fraction, and `Z`, `+hhmm` or `+hh:mm`: REST sends `.000+0000`, Bulk sends
/// `.000Z`.
///
/// # Errors
/// If the text is anything else, or its year in UTC has not four digits; then nothing is appended.
pub fn write_rfc3339(text: &[u8], out: &mut Vec<u8>) -> Result<(), NotADateTime> {
    let not_one = || NotADateTime::of(text);
    let (time, rest) = text.split_at_checked(SECONDS_END).ok_or_else(not_one)?;
    let civil = Civil::read(time).ok_or_else(not_one)?;
    let (fraction, offset) = fraction(rest).ok_or_else(not_one)?;
    let minutes = offset_minutes(offset).ok_or_else(not_one)?;
    let start = out.len();
    if minutes == 0 {
        out.extend_from_slice(time);
    } else {
        civil.earlier_by(minutes).ok_or_else(not_one)?.write(out);
    }
    debug_assert_eq!(out.len() - start, SECONDS_END);
    out.push(b'.');
    let significant = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    let kept = significant.max(fraction.len().min(MILLISECONDS));
    out.extend_from_slice(&fraction[..kept]);
    out.extend(std::iter::repeat_n(b'0', MILLISECONDS.saturating_sub(kept)));
    out.push(b'Z');
    Ok(())
}

/// A date and a time of day, to the minute, and the digits of the seconds.
struct Civil {
    year: i32,
    month: i32,
    day: i32,
    minute: i32,
    seconds: [u8; 2],
}

/// How many minutes a day has.
const DAY: i32 = 24 * 60;

impl Civil {
    /// Reads `2026-05-01T07:25:37`.
    fn read(text: &[u8]) -> Option<Self> {
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] =
            *text.first_chunk::<SECONDS_END>()?
        else {
            return None;
        };
        let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
        let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[n0, n1])?, digits(&[s0, s1])?);
        let is_time = hour < 24 && minute < 60 && second < 60;
        (is_date(year, month, day) && is_time).then_some(Self {
            year,
            month,
            day,
            minute: hour * 60 + minute,
            seconds: [s0, s1],
        })
    }

    /// So many minutes earlier, less than a day; `None` if the year then has not four digits.
    fn earlier_by(mut self, minutes: i32) -> Option<Self> {
        self.minute -= minutes;
        if self.minute < 0 {
            self.minute += DAY;
            self.day -= 1;
            if self.day == 0 {
                (self.year, self.month) = match self.month {
                    1 => (self.year - 1, 12),
                    month => (self.year, month - 1),
                };
                self.day = days(self.year, self.month);
            }
        } else if self.minute >= DAY {
            self.minute -= DAY;
            self.day += 1;
            if self.day > days(self.year, self.month) {
                self.day = 1;
                (self.year, self.month) = match self.month {
                    12 => (self.year + 1, 1),
                    month => (self.year, month + 1),
                };
            }
        }
        (0..10_000).contains(&self.year).then_some(self)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let digit = |number: i32| b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or_default();
        let Self { year, month, day, minute, seconds } = *self;
        let (hour, minute) = (minute / 60, minute % 60);
        out.extend_from_slice(&[
            digit(year / 1000),
            digit(year / 100),
            digit(year / 10),
            digit(year),
            b'-',
            digit(month / 10),
            digit(month),
            b'-',
            digit(day / 10),
            digit(day),
            b'T',
            digit(hour / 10),
            digit(hour),
            b':',
            digit(minute / 10),
            digit(minute),
            b':',
        ]);
        out.extend_from_slice(&seconds);
    }
}

/// The number of these digits; `None` if one is not a digit.
fn digits(text: &[u8]) -> Option<i32> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0')))
}

fn is_date(year: i32, month: i32, day: i32) -> bool {
    (1..=12).contains(&month) && (1..=days(year, month)).contains(&day)
}

fn days(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The digits of the fraction, and what follows them.
fn fraction(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((&[], text)) };
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then(|| text.split_at(count))
}

/// The minutes that an offset is ahead of UTC.
fn offset_minutes(text: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match *text {
        [b'Z'] => return Some(0),
        [sign, h0, h1, m0, m1] | [sign, h0, h1, b':', m0, m1] => {
            (sign, digits(&[h0, h1])?, digits(&[m0, m1])?)
        }
        _ => return None,
    };
    let offset = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
    match sign {
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;
    use jiff::{Timestamp, civil};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_counted_from_1970() {
        // By `date -u -d TEXT +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00.000+0000", Some(0)),
            ("2026-05-01T07:25:37.000+0000", Some(1_777_620_337_000)),
            ("2026-05-01T09:25:37.123+0200", Some(1_777_620_337_123)),
            ("2026-05-01T07:25:37.1Z", Some(1_777_620_337_100)),
            ("2026-05-01T07:25:37Z", Some(1_777_620_337_000)),
            ("2026-05-01T07:25:37.1230000Z", Some(1_777_620_337_123)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("0001-01-01T00:00:00.000Z", Some(-62_135_596_800_000)),
            ("2000-02-29T12:00:00.000Z", Some(951_825_600_000)),
            ("4000-12-31T00:00:00.000Z", Some(64_092_124_800_000)),
            ("2026-05-01T07:25:37.1234Z", None),
            ("2026-05-01T07:25:37.000", None),
            ("2026-02-29T07:25:37.000Z", None),
            ("2026-05-01", None),
            ("", None),
        ] {
            assert_eq!(epoch_milliseconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn days_and_times_of_day_are_counted() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2026-11-29", Some(20_786)),
            ("2000-02-29", Some(11_016)),
            ("0001-01-01", Some(-719_162)),
            ("1900-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-1-1", None),
            ("2026-11-29T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(epoch_days(text.as_bytes()), expected, "{text}");
        }
        for (text, expected) in [
            ("00:00:00.000Z", Some(0)),
            ("17:30:00.000Z", Some(63_000_000)),
            ("23:59:59.999Z", Some(86_399_999)),
            ("09:05:01.5", Some(32_701_500)),
            ("09:05:01", Some(32_701_000)),
            ("24:00:00.000Z", None),
            ("09:05:01.0001Z", None),
            ("09:05:01+02:00", None),
            ("9:05:01", None),
            ("", None),
        ] {
            assert_eq!(milliseconds_of_day(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_date_is_counted_as_by_another_calendar(year in 1_i16..=9999, day in 1_i16..=365) {
            let date = civil::Date::new(year, 1, 1).unwrap().checked_add(jiff::Span::new().days(day - 1)).unwrap();
            let expected = date.since(civil::date(1970, 1, 1)).unwrap().get_days();
            prop_assert_eq!(epoch_days(date.to_string().as_bytes()), Some(expected));
        }
    }

    fn written(text: &str) -> Result<String, String> {
        let mut out = b"before ".to_vec();
        let written = write_rfc3339(text.as_bytes(), &mut out).map_err(|error| error.to_string());
        let out = String::from_utf8(out).unwrap();
        written
            .map(|()| out.strip_prefix("before ").unwrap().to_owned())
            .inspect_err(|_| assert_eq!(out, "before "))
    }

    #[test]
    fn a_datetime_becomes_utc_with_milliseconds() {
        for (sent, expected) in [
            ("2026-05-01T07:25:37.000+0000", "2026-05-01T07:25:37.000Z"),
            ("2026-05-01T07:25:37.123Z", "2026-05-01T07:25:37.123Z"),
            ("2026-05-01T07:25:37Z", "2026-05-01T07:25:37.000Z"),
            ("2026-05-01T07:25:37.5Z", "2026-05-01T07:25:37.500Z"),
            ("2026-05-01T07:25:37.123456789+00:00", "2026-05-01T07:25:37.123456789Z"),
            ("2026-05-01T07:25:37.123000-0000", "2026-05-01T07:25:37.123Z"),
            ("2026-05-01T07:25:37.1234500Z", "2026-05-01T07:25:37.12345Z"),
            ("2026-05-01T07:25:37.000+0200", "2026-05-01T05:25:37.000Z"),
            ("2026-05-01T00:10:00.000+05:45", "2026-04-30T18:25:00.000Z"),
            ("2024-02-28T23:30:00.000-0100", "2024-02-29T00:30:00.000Z"),
            ("2023-02-28T23:30:00.000-0100", "2023-03-01T00:30:00.000Z"),
            ("1999-12-31T23:59:59.999-0001", "2000-01-01T00:00:59.999Z"),
            ("2000-01-01T00:00:00.000+1400", "1999-12-31T10:00:00.000Z"),
            ("1700-01-01T00:00:00.000+0000", "1700-01-01T00:00:00.000Z"),
            ("4000-12-31T23:59:59.000+0000", "4000-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(written(sent).as_deref(), Ok(expected), "{sent}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-05-01",
            "13:30:00.000Z",
            "2026-05-01T07:25:37.000",
            "2026-05-01T07:25:37",
            "2026-05-01 07:25:37.000+0000",
            "2026-05-01t07:25:37.000z",
            "2026-05-01T07:25:37.Z",
            "2026-05-01T07:25:37,000Z",
            "2026-05-01T07:25:37.000 +0000",
            "2026-05-01T07:25:37.000+00",
            "2026-05-01T07:25:37.000+2400",
            "2026-05-01T07:25:37.000+0060",
            "2026-05-01T07:25:37.000*0000",
            "2026-05-01T07:25:37.000Z ",
            "2026-05-01T07:25:60.000Z",
            "2026-05-01T24:00:00.000Z",
            "2026-05-01T07:60:00.000Z",
            "2026-13-01T07:25:37.000Z",
            "2026-00-01T07:25:37.000Z",
            "2026-05-00T07:25:37.000Z",
            "2026-06-31T07:25:37.000Z",
            "2023-02-29T07:25:37.000Z",
            "1900-02-29T07:25:37.000Z",
            "12026-05-01T07:25:37.000Z",
            "5/1/2026, 7:25 AM",
            "1777620337000",
            "0000-01-01T00:00:00.000+0001",
            "9999-12-31T23:59:00.000-0001",
        ] {
            assert_eq!(written(text), Err(format!("{text:?} is not a datetime")), "{text}");
        }
        let long = "ä".repeat(30);
        assert_eq!(written(&long), Err(format!("\"{}...\" is not a datetime", "ä".repeat(20))));
    }

    proptest! {
        #[test]
        fn the_timestamp_is_the_one_that_jiff_reads(
            (year, month, day) in (1_i16..9999, 1_i8..=12, 1_i8..=31),
            (hour, minute, second) in (0_i8..24, 0_i8..60, 0_i8..60),
            fraction in "(\\.[0-9]{1,9})?",
            (offset, colon) in (-1439_i32..=1439, any::<bool>()),
        ) {
            let Ok(date) = civil::Date::new(year, month, day) else {
                let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                prop_assert!(written(&text).is_err(), "{}", text);
                return Ok(());
            };
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
            let colon = if colon { ":" } else { "" };
            let time = format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}");
            let text = format!("{time}{sign}{hours:02}{colon}{minutes:02}");
            let out = written(&text).unwrap();
            // The civil time and the offset are put together by jiff, and what was written is read by it.
            let civil: civil::DateTime = time.parse().unwrap();
            let expected = Offset::from_seconds(offset * 60).unwrap().to_timestamp(civil).unwrap();
            prop_assert_eq!(out.parse::<Timestamp>().unwrap(), expected, "{} became {}", text, out);
            prop_assert!(out.len() >= 24 && out.ends_with('Z'), "{}", out);
            prop_assert!(out.len() == 24 || !out.ends_with("0Z"), "{}", out);
        }
    }
}

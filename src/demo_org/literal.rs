//! The literals of WHERE and HAVING: strings with escapes, numbers, dates, timestamps and relative dates
//! (`LAST_WEEK`), each read for the type of the field that it is compared with.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

use super::data::Value;
use super::schema::Kind;
use crate::soql::{Token, TokenKind};

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    /// In lower case: SOQL compares text without regard to case.
    Text(String),
    /// The first 15 characters.
    Id([u8; 15]),
    /// Days, the end exclusive.
    Days(Date, Date),
    /// Milliseconds since 1970, the end exclusive.
    Instants(i64, i64),
}

/// Why a literal does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is not a literal.
    Unexpected,
    /// It is one of another type.
    Type,
    /// A text that can be no id.
    Id(String),
}

impl Literal {
    /// Reads a token for a field of this kind.
    pub(super) fn read(token: &Token, kind: Kind, today: Date) -> Result<Self, Wrong> {
        if token.is_word("NULL") {
            return Ok(Self::Null);
        }
        match token.kind {
            TokenKind::String => {
                let text = unescape(&token.text, false);
                match kind {
                    _ if kind.is_id() => id(&text),
                    _ if kind.is_text() => Ok(Self::Text(text.to_lowercase())),
                    _ => Err(Wrong::Type),
                }
            }
            TokenKind::Word if token.is_word("TRUE") || token.is_word("FALSE") => match kind {
                Kind::Boolean => Ok(Self::Bool(token.is_word("TRUE"))),
                _ => Err(Wrong::Type),
            },
            TokenKind::Word | TokenKind::Literal => match (kind, days(&token.text, today)) {
                (Kind::Date, Some((from, to))) => Ok(Self::Days(from, to)),
                (Kind::Datetime, Some((from, to))) => Ok(Self::Instants(midnight(from), midnight(to))),
                (_, Some(_)) => Err(Wrong::Type),
                (_, None) if !token.text.contains(|c: char| c.is_ascii_digit()) => Err(Wrong::Unexpected),
                (_, None) => plain(&token.text, kind),
            },
            _ => Err(Wrong::Unexpected),
        }
    }
}

fn id(text: &str) -> Result<Literal, Wrong> {
    let wrong = || Wrong::Id(text.to_owned());
    if !matches!(text.len(), 15 | 18) || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(wrong());
    }
    text.as_bytes()[..15].try_into().map(Literal::Id).map_err(|_| wrong())
}

fn plain(text: &str, kind: Kind) -> Result<Literal, Wrong> {
    if text.contains('T') && text.contains(':') {
        let timestamp: Timestamp = text.parse().map_err(|_| Wrong::Unexpected)?;
        return match kind {
            Kind::Datetime => {
                let at = timestamp.as_millisecond();
                Ok(Literal::Instants(at, at + 1))
            }
            _ => Err(Wrong::Type),
        };
    }
    if text.len() == 10 && text.as_bytes()[4] == b'-' {
        let day: Date = text.parse().map_err(|_| Wrong::Unexpected)?;
        return match kind {
            Kind::Date => Ok(Literal::Days(day, next(day, 1.day()))),
            _ => Err(Wrong::Type),
        };
    }
    // `USD5000`: an amount in a currency; this org has one currency.
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let amount = digits.len() != text.len();
    if amount && (text.len() - digits.len() != 3 || kind != Kind::Currency) {
        return Err(Wrong::Unexpected);
    }
    let number: f64 = digits.parse().map_err(|_| Wrong::Unexpected)?;
    if kind.is_number() && number.is_finite() { Ok(Literal::Number(number)) } else { Err(Wrong::Type) }
}

/// The text of a string token. In a pattern `\_` and `\%` keep their backslash, for the pattern's reader.
pub(super) fn unescape(token: &str, pattern: bool) -> String {
    let inner = token.strip_prefix('\'').unwrap_or(token);
    let inner = inner.strip_suffix('\'').unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n' | 'N') => out.push('\n'),
            Some('r' | 'R') => out.push('\r'),
            Some('t' | 'T') => out.push('\t'),
            Some('b' | 'B') => out.push('\u{8}'),
            Some('f' | 'F') => out.push('\u{c}'),
            Some('u' | 'U') => {
                let code: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(wild @ ('_' | '%' | '\\')) if pattern => out.extend(['\\', wild]),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// A LIKE pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern(Vec<Wild>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wild {
    /// `%`
    Any,
    /// `_`
    One,
    Char(char),
}

impl Pattern {
    /// Reads a string token.
    pub(super) fn read(token: &str) -> Self {
        let text = unescape(token, true).to_lowercase();
        let mut chars = text.chars();
        let mut wilds = Vec::new();
        while let Some(c) = chars.next() {
            wilds.push(match c {
                '%' => Wild::Any,
                '_' => Wild::One,
                '\\' => Wild::Char(chars.next().unwrap_or('\\')),
                other => Wild::Char(other),
            });
        }
        Self(wilds)
    }

    /// Whether a text, in lower case, fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut wild) = (0, 0);
        // Where the last `%` is, and where its text ends so far.
        let mut back: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.0.get(wild) {
                Some(Wild::Any) => {
                    back = Some((wild, at));
                    wild += 1;
                }
                Some(Wild::One) => (at, wild) = (at + 1, wild + 1),
                Some(Wild::Char(c)) if *c == text[at] => (at, wild) = (at + 1, wild + 1),
                _ => {
                    let Some((any, end)) = back else { return false };
                    back = Some((any, end + 1));
                    (at, wild) = (end + 1, any + 1);
                }
            }
        }
        self.0[wild..].iter().all(|wild| *wild == Wild::Any)
    }
}

/// The span that a name stands for: first day, and the day after the last.
fn days(name: &str, today: Date) -> Option<(Date, Date)> {
    let name = name.to_ascii_uppercase().replace("FISCAL_", "");
    let (name, n) = match name.split_once(':') {
        Some((name, n)) => (name.to_owned(), Some(n.parse::<i64>().ok().filter(|n| (0..=9999).contains(n))?)),
        None => (name, None),
    };
    if let Some(n) = n {
        return Some(match name.as_str() {
            "LAST_N_DAYS" => (next(today, (-n).days()), next(today, 1.day())),
            "NEXT_N_DAYS" => (next(today, 1.day()), next(today, (n + 1).days())),
            "N_DAYS_AGO" => (next(today, (-n).days()), next(today, (1 - n).days())),
            _ => {
                let (period, from, to) = match name.strip_prefix("LAST_N_") {
                    Some(period) => (period, -n, 0),
                    None => match name.strip_prefix("NEXT_N_") {
                        Some(period) => (period, 1, n + 1),
                        None => (name.strip_prefix("N_")?.strip_suffix("_AGO")?, -n, 1 - n),
                    },
                };
                let period = Period::read(period.strip_suffix('S')?)?;
                (period.start(today, from), period.start(today, to))
            }
        });
    }
    Some(match name.as_str() {
        "YESTERDAY" => (next(today, (-1).days()), today),
        "TODAY" => (today, next(today, 1.day())),
        "TOMORROW" => (next(today, 1.day()), next(today, 2.days())),
        "LAST_90_DAYS" => (next(today, (-90).days()), next(today, 1.day())),
        "NEXT_90_DAYS" => (next(today, 1.day()), next(today, 91.days())),
        _ => {
            let (which, period) = name.split_once('_')?;
            let period = Period::read(period)?;
            let from = match which {
                "LAST" => -1,
                "THIS" => 0,
                "NEXT" => 1,
                _ => return None,
            };
            (period.start(today, from), period.start(today, from + 1))
        }
    })
}

enum Period {
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "WEEK" => Self::Week,
            "MONTH" => Self::Month,
            "QUARTER" => Self::Quarter,
            "YEAR" => Self::Year,
            _ => return None,
        })
    }

    /// The first day of the n-th period from today's; weeks begin on Sunday.
    fn start(&self, today: Date, n: i64) -> Date {
        let month = today.first_of_month();
        match self {
            Self::Week => {
                let since = today.weekday().since(Weekday::Sunday);
                next(today, (n * 7 - i64::from(since)).days())
            }
            Self::Month => next(month, n.months()),
            Self::Quarter => next(month, (n * 3 - i64::from((today.month() - 1) % 3)).months()),
            Self::Year => next(today.first_of_year(), n.years()),
        }
    }
}

fn next(day: Date, span: Span) -> Date {
    day.saturating_add(span)
}

fn midnight(day: Date) -> i64 {
    day.to_zoned(TimeZone::UTC).map_or(i64::MIN, |zoned| zoned.timestamp().as_millisecond())
}

/// The operators of comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "!=" | "<>" => Self::Unequal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    pub(super) fn is_range(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }

    /// Whether the comparison holds between a value and a literal. Null is unequal to everything but null, and neither less nor
    /// greater than anything; a null boolean is false.
    pub(super) fn holds(self, value: &Value, literal: &Literal) -> bool {
        use std::cmp::Ordering;
        let order = |start: Ordering, end: Ordering| match self {
            Self::Equal => start.is_ge() && end.is_lt(),
            Self::Unequal => !(start.is_ge() && end.is_lt()),
            Self::Less => start.is_lt(),
            Self::LessOrEqual => end.is_lt(),
            Self::Greater => end.is_ge(),
            Self::GreaterOrEqual => start.is_ge(),
        };
        // A point is a span whose end lies just behind it.
        let point =
            |order_of: Ordering| order(order_of, if order_of.is_gt() { order_of } else { Ordering::Less });
        match (value, literal) {
            (value, Literal::Null) => value.is_null() == (self == Self::Equal),
            (Value::Null, Literal::Bool(wanted)) => *wanted != (self == Self::Equal),
            (Value::Bool(value), Literal::Bool(wanted)) => (value == wanted) == (self == Self::Equal),
            (Value::Int(value), Literal::Number(wanted)) => {
                (*value as f64).partial_cmp(wanted).is_some_and(point)
            }
            (Value::Double(value), Literal::Number(wanted)) => value.partial_cmp(wanted).is_some_and(point),
            (Value::Text(value), Literal::Text(wanted)) => point(value.to_lowercase().cmp(wanted)),
            (Value::Id(value), Literal::Id(wanted)) => point(value.to_bytes()[..15].cmp(wanted)),
            (Value::Date(value), Literal::Days(start, end)) => order(value.cmp(start), value.cmp(end)),
            (Value::Datetime(value), Literal::Instants(start, end)) => {
                let at = value.as_millisecond();
                order(at.cmp(start), at.cmp(end))
            }
            _ => self == Self::Unequal,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::demo_org::TODAY;

    #[test]
    fn named_spans_are_reckoned_from_the_orgs_own_day() {
        // TODAY is Thursday, 12 March 2026.
        let span = |name: &str| days(name, TODAY).unwrap();
        assert_eq!(span("today"), (date(2026, 3, 12), date(2026, 3, 13)));
        assert_eq!(span("THIS_WEEK"), (date(2026, 3, 8), date(2026, 3, 15)));
        assert_eq!(span("LAST_MONTH"), (date(2026, 2, 1), date(2026, 3, 1)));
        assert_eq!(span("THIS_QUARTER"), (date(2026, 1, 1), date(2026, 4, 1)));
        assert_eq!(span("LAST_FISCAL_QUARTER"), (date(2025, 10, 1), date(2026, 1, 1)));
        assert_eq!(span("NEXT_YEAR"), (date(2027, 1, 1), date(2028, 1, 1)));
        assert_eq!(span("LAST_N_DAYS:3"), (date(2026, 3, 9), date(2026, 3, 13)));
        assert_eq!(span("NEXT_N_DAYS:2"), (date(2026, 3, 13), date(2026, 3, 15)));
        assert_eq!(span("N_DAYS_AGO:12"), (date(2026, 2, 28), date(2026, 3, 1)));
        assert_eq!(span("LAST_N_MONTHS:2"), (date(2026, 1, 1), date(2026, 3, 1)));
        assert_eq!(span("N_WEEKS_AGO:1"), (date(2026, 3, 1), date(2026, 3, 8)));
        assert_eq!(days("LAST_CENTURY", TODAY), None);
    }

    #[test]
    fn patterns_know_their_wildcards_and_escapes() {
        let fits = |pattern: &str, text: &str| Pattern::read(pattern).fits(text);
        assert!(fits("'a%'", "abc") && fits("'%C'", "abc") && fits("'%b%'", "abc") && fits("'a_c'", "abc"));
        assert!(!fits("'a_'", "abc") && !fits("'b%'", "abc") && fits("'%'", "") && !fits("'_'", ""));
        assert!(fits(r"'100\%'", "100%") && !fits(r"'100\%'", "100x") && fits(r"'a\_b'", "a_b"));
        assert!(fits(r"'\\%'", "\\n") && fits("'%a%b%a'", "xaybza") && !fits("'%a%b%a'", "xayza"));
    }

    #[test]
    fn points_and_spans_compare_as_their_operators_say() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Unequal};
        let number = |n: f64| Value::Double(n);
        let five = Literal::Number(5.0);
        for (value, true_ones) in [
            (4.0, [false, true, true, true, false, false]),
            (5.0, [true, false, false, true, false, true]),
            (6.0, [false, true, false, false, true, true]),
        ] {
            for (operator, expected) in
                [Equal, Unequal, Less, LessOrEqual, Greater, GreaterOrEqual].into_iter().zip(true_ones)
            {
                assert_eq!(operator.holds(&number(value), &five), expected, "{value} {operator:?}");
            }
        }
        let month = Literal::Days(date(2026, 2, 1), date(2026, 3, 1));
        let day = |d| Value::Date(d);
        assert!(Equal.holds(&day(date(2026, 2, 28)), &month) && !Equal.holds(&day(date(2026, 3, 1)), &month));
        assert!(
            Greater.holds(&day(date(2026, 3, 1)), &month) && !Greater.holds(&day(date(2026, 2, 1)), &month)
        );
        assert!(LessOrEqual.holds(&day(date(2026, 2, 28)), &month));
        assert!(Unequal.holds(&Value::Null, &five) && !Less.holds(&Value::Null, &five));
        assert!(Equal.holds(&Value::Null, &Literal::Bool(false)));
    }
}

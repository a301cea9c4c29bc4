//! The part of an org's daily API requests that exports leave for others.

use std::fmt;

/// How many of an org's daily API requests are left for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiReserve {
    /// This part of the limit, 1 to 99.
    Percent(u8),
    /// This number, at least 1.
    Requests(u64),
}

impl ApiReserve {
    /// Reads `20%` or `5000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.strip_suffix('%') {
            Some(percent) if digits(percent) => {
                percent.parse().ok().filter(|percent| (1..=99).contains(percent)).map(Self::Percent)
            }
            None if digits(text) => text.parse().ok().filter(|requests| *requests > 0).map(Self::Requests),
            _ => None,
        }
    }

    /// The number of requests left for others, if the org's limit is `max` requests a day. A part of a request counts
    /// as a request.
    #[must_use]
    pub fn of(self, max: u64) -> u64 {
        match self {
            Self::Percent(percent) => {
                let left = (u128::from(max) * u128::from(percent)).div_ceil(100);
                u64::try_from(left).unwrap_or(u64::MAX)
            }
            Self::Requests(requests) => requests,
        }
    }
}

impl fmt::Display for ApiReserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Requests(requests) => write!(f, "{requests}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ApiReserve;

    #[test]
    fn a_reserve_is_a_percentage_or_a_number() {
        for (text, expected) in [
            ("1%", ApiReserve::Percent(1)),
            ("99%", ApiReserve::Percent(99)),
            ("1", ApiReserve::Requests(1)),
            ("5000", ApiReserve::Requests(5000)),
        ] {
            let read = ApiReserve::parse(text).unwrap();
            assert_eq!((read, read.to_string().as_str()), (expected, text));
        }
        for bad in ["0%", "100%", "256%", "%", "20 %", "-5%", "2.5%", "0", "", "-1", "+5", "1e3", "20%%"] {
            assert_eq!(ApiReserve::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_percentage_is_rounded_up_for_the_others() {
        assert_eq!(ApiReserve::Percent(20).of(100_000), 20_000);
        assert_eq!(ApiReserve::Percent(20).of(101), 21);
        assert_eq!(ApiReserve::Percent(99).of(u64::MAX), 18_262_276_632_972_456_099);
        assert_eq!(ApiReserve::Requests(5000).of(100), 5000);
    }
}

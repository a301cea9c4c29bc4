//! Functions of one field: parts of dates, and distances.

use jiff::tz::TimeZone;

use super::Chain;
use crate::demo_org::data::Value;
use crate::demo_org::schema::Kind;

/// Functions of a day or a timestamp; the org's time zone is UTC, its fiscal year the calendar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo_org) enum DateFunction {
    Year,
    Quarter,
    Month,
    DayInMonth,
    DayInWeek,
    DayInYear,
    DayOnly,
    HourInDay,
    WeekInMonth,
    WeekInYear,
}

impl DateFunction {
    pub(in crate::demo_org) fn read(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "CALENDAR_YEAR" | "FISCAL_YEAR" => Self::Year,
            "CALENDAR_QUARTER" | "FISCAL_QUARTER" => Self::Quarter,
            "CALENDAR_MONTH" | "FISCAL_MONTH" => Self::Month,
            "DAY_IN_MONTH" => Self::DayInMonth,
            "DAY_IN_WEEK" => Self::DayInWeek,
            "DAY_IN_YEAR" => Self::DayInYear,
            "DAY_ONLY" => Self::DayOnly,
            "HOUR_IN_DAY" => Self::HourInDay,
            "WEEK_IN_MONTH" => Self::WeekInMonth,
            "WEEK_IN_YEAR" => Self::WeekInYear,
            _ => return None,
        })
    }

    pub(in crate::demo_org) fn kind(self) -> Kind {
        if self == Self::DayOnly { Kind::Date } else { Kind::Int }
    }

    pub(super) fn apply(self, value: &Value) -> Value {
        let (day, hour) = match value {
            Value::Date(day) => (*day, 0),
            Value::Datetime(timestamp) => {
                let zoned = timestamp.to_zoned(TimeZone::UTC);
                (zoned.date(), zoned.hour())
            }
            _ => return Value::Null,
        };
        let number = match self {
            Self::DayOnly => return Value::Date(day),
            Self::Year => i64::from(day.year()),
            Self::Quarter => i64::from((day.month() + 2) / 3),
            Self::Month => i64::from(day.month()),
            Self::DayInMonth => i64::from(day.day()),
            // 1 is Sunday.
            Self::DayInWeek => i64::from(day.weekday().to_sunday_one_offset()),
            Self::DayInYear => i64::from(day.day_of_year()),
            Self::HourInDay => i64::from(hour),
            // Weeks of seven days from the first of the month or of the year.
            Self::WeekInMonth => i64::from((day.day() + 6) / 7),
            Self::WeekInYear => i64::from((day.day_of_year() + 6) / 7),
        };
        Value::Int(number)
    }
}

/// The mean radius; which one the service takes is not documented.
pub(super) const EARTH_RADIUS_KM: f64 = 6371.0088;
pub(super) const KM_PER_MILE: f64 = 1.609_344;

/// `DISTANCE`: how far a location or an address is from a point, along a great circle.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::demo_org) struct Distance {
    pub(super) from: Chain,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    /// The earth's, in the unit that was asked for.
    pub(super) radius: f64,
}

impl Distance {
    pub(super) fn of(&self, place: &Value) -> Value {
        let (latitude, longitude) = match place {
            Value::Location { latitude, longitude } => (*latitude, *longitude),
            Value::Address(address) => match (address.latitude, address.longitude) {
                (Some(latitude), Some(longitude)) => (latitude, longitude),
                _ => return Value::Null,
            },
            _ => return Value::Null,
        };
        let half = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let chord = half(latitude - self.latitude)
            + latitude.to_radians().cos()
                * self.latitude.to_radians().cos()
                * half(longitude - self.longitude);
        Value::Double(2.0 * self.radius * chord.sqrt().min(1.0).asin())
    }
}

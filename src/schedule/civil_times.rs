//! Lists the civil times of a schedule with the `cron` crate, without a time zone.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use jiff::civil;

use super::ScheduleError;
use super::fields::{Fields, ValueSet};

/// The civil times of a schedule, to the minute, from 1970 to 2100.
#[derive(Debug, Clone)]
pub(super) struct CivilTimes {
    one: cron::Schedule,
    /// The days of the week, if days of the month and days of the week are alternatives. `one` then has the former.
    other: Option<cron::Schedule>,
}

impl CivilTimes {
    /// # Errors
    /// If there is no such time.
    pub(super) fn new(fields: &Fields) -> Result<Self, ScheduleError> {
        let days = list(fields.days_of_month, 1..=31, 0);
        // The crate counts from 1 for Sunday.
        let weekdays = list(fields.days_of_week, 0..=6, 1);
        let times = if fields.either_day() {
            let (one, other) = (enumeration(fields, &days, "*")?, enumeration(fields, "*", &weekdays)?);
            Self { one, other: Some(other) }
        } else {
            Self { one: enumeration(fields, &days, &weekdays)?, other: None }
        };
        match times.next_after(civil::date(1969, 12, 31).at(23, 59, 59, 0)) {
            Some(_) => Ok(times),
            None => Err(ScheduleError::new(
                format!(
                    "the job would never run: month {} has no day {}",
                    fields.months, fields.days_of_month,
                ),
                "correct the day of the month or the month",
            )),
        }
    }

    /// The first one strictly after a civil time.
    pub(super) fn next_after(&self, civil: civil::DateTime) -> Option<civil::DateTime> {
        let after = to_chrono(civil)?;
        let one = self.one.after(&after).next();
        let other = self.other.as_ref().and_then(|other| other.after(&after).next());
        let next = match (one, other) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        from_chrono(next)
    }
}

fn enumeration(fields: &Fields, days: &str, weekdays: &str) -> Result<cron::Schedule, ScheduleError> {
    let minutes = list(fields.minutes, 0..=59, 0);
    let hours = list(fields.hours, 0..=23, 0);
    let months = list(fields.months, 1..=12, 0);
    // In the crate, seconds come first, and both kinds of day must match.
    let text = format!("0 {minutes} {hours} {days} {months} {weekdays}");
    text.parse().map_err(|error| {
        ScheduleError::new(
            format!("the times cannot be enumerated: {error}"),
            "write the schedule in another way",
        )
    })
}

/// The values of a set in the syntax of `cron`; `*` for all.
fn list(set: ValueSet, all: RangeInclusive<u8>, shift: u8) -> String {
    if all.clone().all(|value| set.contains(value)) {
        return "*".to_owned();
    }
    let values: Vec<String> =
        all.filter(|value| set.contains(*value)).map(|value| (value + shift).to_string()).collect();
    values.join(",")
}

fn to_chrono(civil: civil::DateTime) -> Option<DateTime<Utc>> {
    // Occurrences are on whole seconds.
    let date = NaiveDate::from_ymd_opt(
        civil.year().into(),
        civil.month().unsigned_abs().into(),
        civil.day().unsigned_abs().into(),
    )?;
    let time = date.and_hms_opt(
        civil.hour().unsigned_abs().into(),
        civil.minute().unsigned_abs().into(),
        civil.second().unsigned_abs().into(),
    )?;
    Some(time.and_utc())
}

fn from_chrono(time: DateTime<Utc>) -> Option<civil::DateTime> {
    civil::DateTime::new(
        time.year().try_into().ok()?,
        time.month().try_into().ok()?,
        time.day().try_into().ok()?,
        time.hour().try_into().ok()?,
        time.minute().try_into().ok()?,
        time.second().try_into().ok()?,
        0,
    )
    .ok()
}

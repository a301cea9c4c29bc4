//! Computes the timestamps of a cron expression in a time zone, with the rules for daylight saving (gaps and folds).
//! `agenda` decides what to do about missed and overlapping occurrences.

use std::fmt;
use std::sync::Arc;

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, civil};

mod civil_times;
mod fields;
mod mark;
mod words;

use civil_times::CivilTimes;
use fields::Fields;

pub use mark::{Begun, Mark, Started};

/// The schedule of a job: a cron expression with five fields, or a macro, in a time zone.
///
/// A schedule whose hour field begins with `*` is an interval. It follows elapsed time, so it skips the hours of a spring
/// gap and runs in both passes of an autumn fold. Any other schedule is a fixed time: inside a gap it runs once, at the
/// first timestamp after the gap, and in a fold only in the first pass.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    timezone: TimeZone,
    fields: Fields,
    /// A few kilobytes of sets, shared by the job and the agenda.
    civil_times: Arc<CivilTimes>,
}

impl Schedule {
    /// Reads a schedule: five fields (minute, hour, day of month, month, day of week) or one of `@hourly`,
    /// `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
    ///
    /// # Errors
    /// If the text is not a cron expression with five fields, or names only days that no month has. The error names each
    /// wrong field, what it contains and what is allowed.
    pub fn parse(text: &str, timezone: TimeZone) -> Result<Self, ScheduleError> {
        let fields = Fields::parse(text)?;
        let civil_times = Arc::new(CivilTimes::new(&fields)?);
        Ok(Self { text: text.trim().to_owned(), timezone, fields, civil_times })
    }

    /// The text as written, without white space around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The schedule in words, if a few are enough: `every day at 02:00`.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        words::in_words(&self.fields)
    }

    /// The zone.
    #[must_use]
    pub fn timezone(&self) -> &TimeZone {
        &self.timezone
    }

    /// The first occurrence strictly after this timestamp. There are occurrences from 1970 to 2100: for an earlier timestamp
    /// this is the first one of 1970, for a later one `None`.
    #[must_use]
    pub fn next_after(&self, timestamp: Timestamp) -> Option<Timestamp> {
        let timestamp = timestamp.max(BEFORE_THE_CALENDAR);
        if self.fields.is_interval() { self.next_interval(timestamp) } else { self.next_fixed(timestamp) }
    }

    /// The occurrences after one timestamp, up to and including another, in order.
    pub fn occurrences(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(after), |timestamp| self.next_after(*timestamp))
            .take_while(move |timestamp| *timestamp <= until)
    }

    /// The last occurrence after one timestamp, up to and including another. Bisection finds it in a few dozen steps, however
    /// many there are.
    #[must_use]
    pub fn last_within(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let due = |timestamp| self.next_after(timestamp).filter(|next| *next <= until);
        let mut last = due(after)?;
        // Nothing is due after `none_after`, and `last` is due.
        let mut none_after = until;
        while last < none_after {
            let middle = last + none_after.duration_since(last) / 2;
            match due(middle) {
                Some(later) => last = later,
                None if middle == last => break,
                None => none_after = middle,
            }
        }
        Some(last)
    }

    /// Identifies the times of a schedule: 16 hexadecimal digits that depend on the values of the fields and the name of the
    /// zone, but not on the spelling (`0 2 * * 7` and `00 2 * * sun` give the same). They are the same in each release.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let zone = jiff::fmt::temporal::DateTimePrinter::new()
            .time_zone_to_string(&self.timezone)
            .unwrap_or_else(|_| "unnamed".to_owned());
        format!("{:016x}", fnv1a(format!("{} {zone}", self.fields.canonical()).as_bytes()))
    }

    fn next_fixed(&self, timestamp: Timestamp) -> Option<Timestamp> {
        // A civil time up to this timestamp's own was first reached at or before this timestamp.
        let mut civil = self.timezone.to_datetime(timestamp);
        loop {
            civil = self.civil_times.next_after(civil)?;
            let reached = self.first_reached(civil)?;
            // It is not later if the timestamp is in the second pass of a fold, and the civil time was in the first.
            if reached > timestamp {
                return Some(reached);
            }
        }
    }

    /// The timestamp at which a clock in the zone first shows a civil time, or one after it.
    fn first_reached(&self, civil: civil::DateTime) -> Option<Timestamp> {
        match self.timezone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(civil).ok()
            }
            AmbiguousOffset::Gap { before, after } => {
                // The later offset puts the missing time before the gap, the earlier one after it.
                let outside = after.to_timestamp(civil).ok()?;
                let gap = self.timezone.following(outside).find(|transition| transition.offset() == after);
                gap.map(|transition| transition.timestamp()).or_else(|| before.to_timestamp(civil).ok())
            }
        }
    }

    fn next_interval(&self, timestamp: Timestamp) -> Option<Timestamp> {
        let mut offset = self.timezone.to_offset(timestamp);
        let mut civil = offset.to_datetime(timestamp);
        let mut transitions = self.timezone.following(timestamp);
        loop {
            let next = offset.to_timestamp(self.civil_times.next_after(civil)?).ok()?;
            match transitions.next() {
                // The clock is set forward before it shows that time: continue from the time it is set to.
                Some(transition) if transition.timestamp() <= next => {
                    offset = transition.offset();
                    civil = offset.to_datetime(transition.timestamp()) - SignedDuration::from_secs(1);
                }
                _ => return Some(next),
            }
        }
    }
}

/// Before the beginning of 1970 in every zone.
const BEFORE_THE_CALENDAR: Timestamp = Timestamp::constant(-2 * 86_400, 0);

/// FNV-1a, 64 bits. It is written here, so fingerprints never change with a library or a release.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Why a text is not a schedule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleError {
    what: String,
    hint: String,
}

impl ScheduleError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        shortened(&self.hint)
    }
}

impl fmt::Display for ScheduleError {
    /// What is wrong, without the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortened(&self.what))
    }
}

/// Shortens a message. It quotes what the user wrote, which can be very long if it is not a schedule.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 600;
    match text.char_indices().nth(MAX_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

impl std::error::Error for ScheduleError {}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::Schedule;

    fn schedule(text: &str, zone: &str) -> Schedule {
        Schedule::parse(text, TimeZone::get(zone).unwrap()).unwrap()
    }

    /// The next few occurrences after a timestamp, in the schedule's zone, as `12-31 23:59 +01:00`.
    fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(text, zone);
        let mut timestamp: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            timestamp = schedule.next_after(timestamp).unwrap();
            let here = timestamp.to_zoned(schedule.timezone().clone());
            found.push(here.strftime("%m-%d %H:%M %:z").to_string());
        }
        found
    }

    #[test]
    fn a_fixed_time_inside_a_spring_gap_runs_once_at_the_first_instant_after_it() {
        // 2026-03-29 02:00 +01:00 is 03:00 +02:00.
        let berlin = |text, count| next(text, "Europe/Berlin", "2026-03-28T12:00:00Z", count);
        assert_eq!(berlin("30 2 * * *", 2), ["03-29 03:00 +02:00", "03-30 02:30 +02:00"]);
        assert_eq!(berlin("0 2 * * *", 2), ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]);
        assert_eq!(berlin("0,15,30 2 * * *", 2), ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]);
        assert_eq!(berlin("*/15 2 * * *", 2), ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]);
        assert_eq!(berlin("30 2,3 * * *", 2), ["03-29 03:00 +02:00", "03-29 03:30 +02:00"]);
        // An occurrence that is due at that timestamp anyway is the same one.
        assert_eq!(berlin("0 2,3 * * *", 2), ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]);
        // There is no midnight on that day.
        assert_eq!(
            next("@daily", "Asia/Beirut", "2026-03-28T12:00:00Z", 2),
            ["03-29 01:00 +03:00", "03-30 00:00 +03:00"]
        );
        assert_eq!(
            next("15 0 * * fri", "Africa/Cairo", "2026-04-18T12:00:00Z", 2),
            ["04-24 01:00 +03:00", "05-01 00:15 +03:00"]
        );
        // The gap is half an hour.
        assert_eq!(
            next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2),
            ["10-04 02:30 +11:00", "10-05 02:15 +11:00"]
        );
        // The gap is a day: there was no 2011-12-30.
        assert_eq!(
            next("0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", 2),
            ["12-31 00:00 +14:00", "12-31 12:00 +14:00"]
        );
        assert_eq!(next("0 12 30 * *", "Pacific/Apia", "2011-12-01T23:00:00Z", 1), ["12-31 00:00 +14:00"]);
    }

    #[test]
    fn an_interval_skips_what_a_spring_gap_leaves_out() {
        let berlin = |text, count| next(text, "Europe/Berlin", "2026-03-28T23:00:00Z", count);
        assert_eq!(berlin("30 */2 * * *", 2), ["03-29 00:30 +01:00", "03-29 04:30 +02:00"]);
        assert_eq!(
            berlin("0 * * * *", 3),
            ["03-29 01:00 +01:00", "03-29 03:00 +02:00", "03-29 04:00 +02:00"]
        );
        assert_eq!(
            next("15 * * * *", "Australia/Lord_Howe", "2026-10-03T14:50:00Z", 2),
            ["10-04 03:15 +11:00", "10-04 04:15 +11:00"]
        );
    }

    #[test]
    fn a_fixed_time_runs_in_an_autumn_folds_first_pass_only() {
        // 2026-10-25 03:00 +02:00 is 02:00 +01:00.
        let berlin = |text, count| next(text, "Europe/Berlin", "2026-10-24T12:00:00Z", count);
        assert_eq!(berlin("30 2 * * *", 2), ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]);
        assert_eq!(
            berlin("*/30 2,3 * * *", 4),
            ["10-25 02:00 +02:00", "10-25 02:30 +02:00", "10-25 03:00 +01:00", "10-25 03:30 +01:00"]
        );
        // Asked in the second pass.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["10-26 02:30 +01:00"]);
        assert_eq!(
            next("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
            ["04-05 01:45 +11:00", "04-06 01:45 +10:30"]
        );
        assert_eq!(
            next("30 23 * * *", "Africa/Cairo", "2026-10-29T00:00:00Z", 2),
            ["10-29 23:30 +03:00", "10-30 23:30 +02:00"]
        );
    }

    #[test]
    fn an_interval_runs_in_both_passes_of_an_autumn_fold() {
        assert_eq!(
            next("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 5),
            [
                "10-25 02:00 +02:00",
                "10-25 02:30 +02:00",
                "10-25 02:00 +01:00",
                "10-25 02:30 +01:00",
                "10-25 03:00 +01:00"
            ]
        );
        assert_eq!(
            next("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3),
            ["04-05 01:45 +11:00", "04-05 01:45 +10:30", "04-05 02:45 +10:30"]
        );
    }

    #[test]
    fn an_occurrence_is_strictly_after_the_instant_that_was_asked_for() {
        let nightly = schedule("0 2 * * *", "UTC");
        let after = |text: &str| nightly.next_after(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(after("2026-11-22T01:59:59.999999999Z"), "2026-11-22T02:00:00Z");
        assert_eq!(after("2026-11-22T02:00:00Z"), "2026-11-23T02:00:00Z");
        assert_eq!(after("2026-11-22T02:00:00.000000001Z"), "2026-11-23T02:00:00Z");
    }

    #[test]
    fn a_schedule_that_names_only_days_no_month_has_is_refused() {
        let refused = |text| Schedule::parse(text, TimeZone::UTC).unwrap_err().to_string();
        assert_eq!(refused("0 0 30 feb *"), "the job would never run: month 2 has no day 30");
        assert_eq!(refused("0 0 31 4,6 *"), "the job would never run: month 4,6 has no day 31");
        assert_eq!(refused("0 0 30-31 2 */2"), "the job would never run: month 2 has no day 30,31");
        // A Monday is enough, and the 29th comes.
        assert_eq!(next("0 0 30 2 mon", "UTC", "2026-01-01T00:00:00Z", 1), ["02-02 00:00 +00:00"]);
        assert!(Schedule::parse("0 0 29 2 *", TimeZone::UTC).is_ok());
    }

    #[test]
    fn a_leap_day_that_must_be_a_sunday_comes_every_28_years() {
        let leap_sunday = schedule("0 0 29 2 */7", "America/New_York");
        let found: Vec<String> = leap_sunday
            .occurrences("1970-01-01T00:00:00Z".parse().unwrap(), Timestamp::MAX)
            .map(|timestamp| timestamp.to_string())
            .collect();
        assert_eq!(
            found,
            [
                "1976-02-29T05:00:00Z",
                "2004-02-29T05:00:00Z",
                "2032-02-29T05:00:00Z",
                "2060-02-29T05:00:00Z",
                "2088-02-29T05:00:00Z"
            ]
        );
    }

    #[test]
    fn the_calendar_begins_with_1970_and_ends_with_2100() {
        for zone in ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"] {
            for text in ["0 0 * * *", "0 * * * *"] {
                let schedule = schedule(text, zone);
                let here = |timestamp: Timestamp| schedule.timezone().to_datetime(timestamp).to_string();
                assert_eq!(schedule.next_after(Timestamp::MIN).map(here).unwrap(), "1970-01-01T00:00:00");
                assert_eq!(schedule.next_after(Timestamp::MAX), None);
                let last = "2100-12-29T12:00:00Z".parse().unwrap();
                let last = schedule.occurrences(last, Timestamp::MAX).last().unwrap();
                assert_eq!(
                    here(last),
                    if text == "0 0 * * *" { "2100-12-31T00:00:00" } else { "2100-12-31T23:00:00" }
                );
                assert_eq!(schedule.next_after(last), None);
            }
        }
    }

    #[test]
    fn the_last_occurrence_in_a_span_is_found_without_walking_through_it() {
        let timestamp = |text: &str| text.parse::<Timestamp>().unwrap();
        let last = |text: &str, after: &str, until: &str| {
            let schedule = schedule(text, "Europe/Berlin");
            schedule.last_within(timestamp(after), timestamp(until)).map(|timestamp| timestamp.to_string())
        };
        let minutely = last("* * * * *", "1990-01-01T00:00:00Z", "2026-11-22T10:00:59Z");
        assert_eq!(minutely.as_deref(), Some("2026-11-22T10:00:00Z"));
        let nightly = "0 2 * * *";
        assert_eq!(last(nightly, "2026-11-20T01:00:00Z", "2026-11-21T00:59:59Z"), None);
        assert_eq!(last(nightly, "2026-11-21T01:00:00Z", "2026-11-21T01:00:00Z"), None);
        assert_eq!(last(nightly, "2026-11-21T02:00:00Z", "2026-11-20T02:00:00Z"), None);
        assert_eq!(
            last(nightly, "2026-11-20T01:00:00Z", "2026-11-21T01:00:00Z").as_deref(),
            Some("2026-11-21T01:00:00Z")
        );
        assert_eq!(
            last(nightly, "2026-11-20T01:00:00Z", "2026-11-29T00:59:59Z").as_deref(),
            Some("2026-11-28T01:00:00Z")
        );
        assert_eq!(
            last("0 0 29 2 *", "2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z").as_deref(),
            Some("2024-02-28T23:00:00Z")
        );
    }

    #[test]
    fn a_fingerprint_tells_times_apart_and_not_their_spelling() {
        let of = |text, zone| schedule(text, zone).fingerprint();
        let nightly = of("0 2 * * sun", "Europe/Berlin");
        assert_eq!(nightly, of(" 00 02 */1  * 7 ", "Europe/Berlin"));
        assert_ne!(nightly, of("0 2 * * sun", "UTC"));
        assert_ne!(nightly, of("0 2 1-31 * sun", "Europe/Berlin"), "either day");
        assert_ne!(of("0 0-23 * * *", "UTC"), of("0 * * * *", "UTC"), "an interval");
        // FNV-1a, 64 bits, of `0 2 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,
        // 30,31 1,2,3,4,5,6,7,8,9,10,11,12 0 fixed both Europe/Berlin`, computed in Python.
        assert_eq!(nightly, "67f6d9f734950594");
    }
}

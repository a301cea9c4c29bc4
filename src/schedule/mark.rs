//! The progress of a schedule. `state` stores it, and `agenda` acts on it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Schedule;

/// The progress of the schedule of one job and org.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The [`Schedule::fingerprint`] that it belongs to. An edited schedule starts over.
    pub fingerprint: String,
    /// Every occurrence up to and including this timestamp has run or was passed over, except `begun`.
    pub settled: Timestamp,
    /// The occurrence whose run has begun and has not finished by itself.
    #[serde(default)]
    pub begun: Option<Begun>,
    /// The occurrences that were started, so they are not started again if the clock is set back.
    #[serde(default)]
    pub started: Started,
    /// How many of the last runs in a row ended because their process died.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub died: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// An occurrence whose run has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its timestamp, before jitter.
    pub scheduled: Timestamp,
    /// The number of the run, from 1. A run that a signal cancelled is not counted.
    pub attempt: u32,
    /// Whether that run has ended, and the occurrence waits for the next one. Otherwise its process died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// The occurrences that were started, as a few ranges without gaps, in order. If there were too many ranges, the earliest
/// gaps are closed: what was passed over long ago counts as started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Started(Vec<(Timestamp, Timestamp)>);

impl Started {
    const MAX_SERIES: usize = 8;

    /// Whether an occurrence was started.
    #[must_use]
    pub fn contains(&self, occurrence: Timestamp) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&occurrence))
    }

    /// The first occurrence strictly after a timestamp that was not started.
    #[must_use]
    pub fn first_other(&self, schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
        let mut next = schedule.next_after(after)?;
        while let Some((_, last)) = self.0.iter().find(|(first, last)| (*first..=*last).contains(&next)) {
            next = schedule.next_after(*last)?;
        }
        Some(next)
    }

    /// Adds an occurrence.
    pub fn insert(&mut self, schedule: &Schedule, occurrence: Timestamp) {
        if self.contains(occurrence) {
            return;
        }
        let place = self.0.partition_point(|(first, _)| *first < occurrence);
        match place.checked_sub(1).and_then(|before| self.0.get_mut(before)) {
            Some((_, last)) if schedule.next_after(*last) == Some(occurrence) => *last = occurrence,
            _ => self.0.insert(place, (occurrence, occurrence)),
        }
        if self.0.len() > Self::MAX_SERIES {
            // The two earliest ranges become one. The latest must stay separate: a clock that was a year ahead for a minute
            // leaves a range there, and everything before it would count as started.
            let (first, _) = self.0.remove(0);
            if let Some(earliest) = self.0.first_mut() {
                earliest.0 = first;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::Started;
    use crate::schedule::Schedule;

    fn day(day: i64) -> Timestamp {
        // 2026-01-01T02:00Z and the days after it.
        Timestamp::from_second(1_767_232_800 + day * 86_400).unwrap()
    }

    #[test]
    fn an_occurrence_that_was_started_is_not_the_next_one() {
        let nightly = Schedule::parse("0 2 * * *", TimeZone::UTC).unwrap();
        let mut started = Started::default();
        for started_on in [0, 1, 2, 4, 5, 9] {
            started.insert(&nightly, day(started_on));
        }
        let next = |after| started.first_other(&nightly, day(after));
        assert_eq!(next(-2), Some(day(-1)));
        assert_eq!(next(-1), Some(day(3)));
        assert_eq!(next(3), Some(day(6)));
        assert_eq!(next(8), Some(day(10)));
        assert_eq!(
            serde_json::to_string(&started).unwrap(),
            r#"[["2026-01-01T02:00:00Z","2026-01-03T02:00:00Z"],["2026-01-05T02:00:00Z","2026-01-06T02:00:00Z"],["2026-01-10T02:00:00Z","2026-01-10T02:00:00Z"]]"#
        );
    }

    #[test]
    fn only_the_earliest_holes_are_closed() {
        let nightly = Schedule::parse("0 2 * * *", TimeZone::UTC).unwrap();
        let mut started = Started::default();
        // A clock that was a year ahead, then every other day.
        started.insert(&nightly, day(365));
        for started_on in (0..40).step_by(2) {
            started.insert(&nightly, day(started_on));
        }
        assert!(started.contains(day(1)), "closed");
        assert!(!started.contains(day(37)) && !started.contains(day(39)) && !started.contains(day(100)));
        assert!((0..40).step_by(2).chain([365]).all(|number| started.contains(day(number))));
    }
}

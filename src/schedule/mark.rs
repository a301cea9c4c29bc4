//! How far a schedule has come, to be remembered while nothing runs. `state` keeps it, and `agenda` acts on it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Schedule;

/// How far one job's schedule has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The [`Schedule::fingerprint`] that it belongs to: an edited schedule begins anew.
    pub fingerprint: String,
    /// Every occurrence up to and with this timestamp is settled: it ran, or was passed over. All but `begun`.
    pub settled: Timestamp,
    /// The occurrence whose run has begun and has not come to an end of its own.
    #[serde(default)]
    pub begun: Option<Begun>,
    /// The occurrences that were started, so a clock set back does not start them again.
    #[serde(default)]
    pub started: Started,
    /// How many of the job's last runs, in a row, ended with the death of the process.
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
    /// Which of its runs that was; 1 is the first. One that a signal cancelled is not counted.
    pub attempt: u32,
    /// Whether that run has come to an end, and the occurrence waits for another one. If not, its process died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// The occurrences that were started, as a few series without a hole, in order. Where there would be more than a
/// few, the earliest holes are closed: what was passed over long ago counts as started.
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

    /// Notes one more.
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
            // The two earliest become one. Not the latest: a clock that was a year ahead for a minute leaves a
            // series there, and all until then would count as started.
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

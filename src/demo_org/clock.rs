//! The org's clock: the computer's, or one that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::data::TODAY;

/// Instead of milliseconds: the computer's clock is asked.
const COMPUTER: i64 = i64::MIN;

/// The clock of an org. Clones share the time, so a test can hold one and move it while the org runs.
#[derive(Debug, Clone)]
pub struct OrgClock {
    /// Milliseconds since 1970, or [`COMPUTER`].
    milliseconds: Arc<AtomicI64>,
}

impl Default for OrgClock {
    /// The computer's clock.
    fn default() -> Self {
        Self { milliseconds: Arc::new(AtomicI64::new(COMPUTER)) }
    }
}

impl OrgClock {
    /// A clock that stands at `now` until it is moved.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let clock = Self::default();
        clock.set(now);
        clock
    }

    /// The time, in whole milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.milliseconds.load(Ordering::Acquire) {
            COMPUTER => Timestamp::now(),
            set => Timestamp::from_millisecond(set).unwrap_or_default(),
        }
    }

    /// Sets it. It stands still from then on.
    pub fn set(&self, now: Timestamp) {
        self.milliseconds.store(now.as_millisecond(), Ordering::Release);
    }

    /// Moves it forward. The computer's clock stops and becomes one that only moves by hand.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by).unwrap_or(Timestamp::MAX));
    }

    /// The calendar day, by which `TODAY`, `LAST_WEEK` and their like are reckoned: that of a clock that was set, and
    /// otherwise the one that the data set was made for.
    pub(super) fn today(&self) -> Date {
        match self.milliseconds.load(Ordering::Acquire) {
            COMPUTER => TODAY,
            _ => self.now().to_zoned(TimeZone::UTC).date(),
        }
    }
}

//! Time and randomness for the engine: the wall clock, a monotonic clock, waiting, and random numbers for ids and
//! jitter. `retry`, `agenda` and `export` decide what they are used for.

use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// A wait in progress.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Both clocks, read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// [`Clock::now`].
    pub wall: Timestamp,
    /// [`Clock::elapsed`].
    pub elapsed: Duration,
}

/// A source of time and randomness.
pub trait Clock: Send + Sync {
    /// The wall clock's timestamp. It may jump either way between two calls.
    fn now(&self) -> Timestamp;

    /// The time since an origin of the clock's own. It never goes back, and stands still while the computer
    /// sleeps: right for time-outs and rates, wrong for schedules.
    fn elapsed(&self) -> Duration;

    /// Both clocks.
    fn both(&self) -> Now {
        Now { wall: self.now(), elapsed: self.elapsed() }
    }

    /// Waits. Dropping the future ends the wait.
    fn sleep(&self, wait: Duration) -> Sleep<'_>;

    /// A random number; good enough to tell runs apart and to spread waits, not to keep a secret.
    fn random(&self) -> u64;

    /// A random number of at least 0 and less than 1.
    fn fraction(&self) -> f64 {
        // 53 bits are what a double holds.
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A duration for a log: seconds, to the millisecond.
pub(crate) fn log_seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1_000.0
}

/// What a future gives, if it is ready within `limit`; it is dropped otherwise.
pub async fn within<F: Future>(clock: &dyn Clock, limit: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep(limit) => None,
    }
}

/// The computer's clocks. [`Clock::sleep`] needs a tokio runtime.
#[derive(Debug, Clone, Copy)]
pub struct System {
    origin: Instant,
}

impl System {
    /// A clock whose [`Clock::elapsed`] begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(wait))
    }

    fn random(&self) -> u64 {
        // The standard hasher's keys come from the operating system once a thread, and differ each time.
        std::hash::RandomState::new().hash_one(0)
    }
}

/// A clock for tests. It moves only by [`TestClock::advance`] and by waits, which end at once and are noted.
#[derive(Debug)]
pub struct TestClock {
    at: Mutex<At>,
}

#[derive(Debug)]
struct At {
    now: Timestamp,
    elapsed: Duration,
    waits: Vec<Duration>,
    drawn: u64,
}

impl TestClock {
    /// A clock set to `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { at: Mutex::new(At { now, elapsed: Duration::ZERO, waits: Vec::new(), drawn: 0 }) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.with(|at| at.pass(by));
    }

    /// Sets the wall clock alone, as an operator or a time server would.
    pub fn set(&self, now: Timestamp) {
        self.with(|at| at.now = now);
    }

    /// Every wait so far, in order.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        self.with(|at| at.waits.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut At) -> T) -> T {
        f(&mut self.at.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl At {
    fn pass(&mut self, by: Duration) {
        // Past jiff's last timestamp (the year 9999) the wall clock stands still.
        self.now = self.now.saturating_add(by).unwrap_or(Timestamp::MAX);
        self.elapsed = self.elapsed.saturating_add(by);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.with(|at| at.now)
    }

    fn elapsed(&self) -> Duration {
        self.with(|at| at.elapsed)
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        Box::pin(async move {
            self.with(|at| {
                at.waits.push(wait);
                at.pass(wait);
            });
        })
    }

    /// 0, 1, 2, ...: told apart, and the same in every test run.
    fn random(&self) -> u64 {
        self.with(|at| {
            at.drawn += 1;
            at.drawn - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::{Clock, System, TestClock, within};

    #[tokio::test]
    async fn a_test_clock_moves_by_waits_and_by_hand_only() {
        let start = jiff::Timestamp::from_second(1_000).unwrap();
        let clock = TestClock::new(start);
        clock.sleep(Duration::from_secs(5)).await;
        drop(clock.sleep(Duration::from_secs(50)));
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now().as_second(), clock.elapsed().as_secs()), (1_007, 7));
        clock.set(start);
        assert_eq!((clock.now().as_second(), clock.elapsed().as_secs()), (1_000, 7));
        assert_eq!(clock.waits(), [Duration::from_secs(5)]);
    }

    #[tokio::test]
    async fn a_wait_for_a_future_ends_at_its_limit() {
        let clock = TestClock::new(jiff::Timestamp::UNIX_EPOCH);
        let limit = Duration::from_secs(5);
        assert_eq!(within(&clock, limit, std::future::ready(7)).await, Some(7));
        assert_eq!(within(&clock, limit, std::future::pending::<()>()).await, None);
        assert_eq!(clock.waits(), [limit], "what is ready at once is not waited for");
    }

    #[test]
    fn the_system_clock_draws_numbers_that_differ_in_both_halves() {
        let clock = System::new();
        let drawn: Vec<u64> = (0..1_000).map(|_| clock.random()).collect();
        // A thousand 32-bit numbers meet with a chance of one in 8,600: a few meetings are luck, many a fault.
        let low: HashSet<u32> = drawn.iter().map(|n| *n as u32).collect();
        let high: HashSet<u32> = drawn.iter().map(|n| (n >> 32) as u32).collect();
        assert!(low.len() > 995 && high.len() > 995);
    }
}

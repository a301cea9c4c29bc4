//! Attempt and fault → wait or give up. Pure: the caller brings the randomness and does the waiting.

use std::time::Duration;

use crate::salesforce::fault::{Fault, FaultKind};

/// How often a request is tried, and how long is waited in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times one request is sent at most.
    pub attempts: u32,
    /// The upper bound of the first wait; it doubles with every attempt.
    pub wait_min: Duration,
    /// Where the doubling ends.
    pub wait_max: Duration,
}

/// The longest wait that an org may ask for by Retry-After. A run that slept longer would hold its job's lock and
/// its place among the runs; whoever started it knows better when to come again.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Send the same request again after this long.
    Wait(Duration),
    /// The same request will not do; whether another one will is the run's business.
    GiveUp,
}

impl RetryPolicy {
    /// What to do after the attempt of this number (from 1) ended with a fault. `random` is in `0.0..=1.0`: full
    /// jitter, as the AWS architecture blog's comparison of backoff recommends it. What the org asks for by
    /// Retry-After is a lower bound of the wait.
    #[must_use]
    pub fn decide(&self, fault: &Fault, attempt: u32, random: f64) -> Decision {
        let attempts = match fault.kind {
            FaultKind::Unreachable | FaultKind::Unwell | FaultKind::Cut => self.attempts,
            // Once more, because the org's load may have been the reason; the query itself rarely is faster.
            FaultKind::QueryTimeout => self.attempts.min(2),
            _ => return Decision::GiveUp,
        };
        let asked = fault.retry_after.unwrap_or_default();
        if attempt >= attempts || asked > LONGEST {
            return Decision::GiveUp;
        }
        let doubled = 2_u32.checked_pow(attempt - 1).and_then(|factor| self.wait_min.checked_mul(factor));
        let bound = doubled.unwrap_or(self.wait_max).min(self.wait_max);
        let wait = bound.mul_f64(random.clamp(0.0, 1.0));
        Decision::Wait(wait.max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 5, wait_min: Duration::from_secs(1), wait_max: Duration::from_secs(6) };

    fn decide(kind: FaultKind, attempt: u32, random: f64) -> Option<f64> {
        match POLICY.decide(&Fault::new(kind, ""), attempt, random) {
            Decision::Wait(wait) => Some(wait.as_secs_f64()),
            Decision::GiveUp => None,
        }
    }

    #[test]
    fn waits_double_up_to_their_bound_and_end_with_the_attempts() {
        let waits: Vec<_> = (1..=5).map(|attempt| decide(FaultKind::Unwell, attempt, 1.0)).collect();
        assert_eq!(waits, [Some(1.0), Some(2.0), Some(4.0), Some(6.0), None]);
        assert_eq!(decide(FaultKind::Cut, 3, 0.25), Some(1.0));
        assert_eq!(decide(FaultKind::Unreachable, 1, 0.0), Some(0.0));
        let many = RetryPolicy { attempts: 200, ..POLICY };
        assert_eq!(many.decide(&Fault::new(FaultKind::Cut, ""), 150, 1.0), Decision::Wait(POLICY.wait_max));
    }

    #[test]
    fn a_query_that_ran_out_of_time_is_asked_once_more() {
        assert_eq!(decide(FaultKind::QueryTimeout, 1, 1.0), Some(1.0));
        assert_eq!(decide(FaultKind::QueryTimeout, 2, 1.0), None);
    }

    #[test]
    fn what_the_org_asks_for_is_waited_at_least() {
        let fault = Fault { retry_after: Some(Duration::from_secs(90)), ..Fault::new(FaultKind::Unwell, "") };
        assert_eq!(POLICY.decide(&fault, 1, 0.5), Decision::Wait(Duration::from_secs(90)));
        let week = Fault { retry_after: Some(Duration::from_secs(604_800)), ..fault };
        assert_eq!(POLICY.decide(&week, 1, 0.5), Decision::GiveUp);
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        use FaultKind as K;
        for kind in [
            K::SessionLost,
            K::SessionRefused,
            K::LocatorLost,
            K::Limit,
            K::LoginRefused,
            K::QueryRefused,
            K::Configuration,
            K::Contradiction,
            K::Miscount,
        ] {
            assert_eq!(decide(kind, 1, 1.0), None, "{kind:?}");
        }
    }
}

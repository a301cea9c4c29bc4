//! Decides after a failed attempt whether to wait or give up. Pure: the caller supplies the randomness and waits.

use std::time::Duration;

use crate::salesforce::fault::{Fault, FaultKind};

/// How often a request is sent, and how long to wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times one request is sent at most.
    pub attempts: u32,
    /// The upper bound of the first wait; it doubles with every attempt.
    pub wait_min: Duration,
    /// Where the doubling ends.
    pub wait_max: Duration,
}

/// The longest wait that an org may ask for with Retry-After. A run that slept longer would hold its job's lock and a
/// run slot; the scheduler that started it can choose a better time.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Send the same request again after this long.
    Wait(Duration),
    /// Do not send this request again; the run decides whether another one helps.
    GiveUp,
}

/// The tries of one request that failed so far, whatever they failed by: a status, a broken connection or a response
/// that was seen to be cut only when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    spent: u32,
    /// How many of them the query ran for too long.
    timed_out: u32,
}

impl Attempts {
    /// Counts a further try, which ended with this fault, and tells what to do about it. `random` is in `0.0..=1.0`:
    /// full jitter, as the AWS architecture blog's comparison of backoff recommends it. What the org asks for by
    /// Retry-After is a lower bound of the wait.
    #[must_use]
    pub fn after(&mut self, fault: &Fault, policy: &RetryPolicy, random: f64) -> Decision {
        self.spent += 1;
        let again = match fault.kind {
            FaultKind::Unreachable | FaultKind::Unavailable | FaultKind::Truncated => true,
            // Once more, because the org's load may have been the reason; the query itself rarely is faster.
            FaultKind::QueryTimeout => {
                self.timed_out += 1;
                self.timed_out < 2
            }
            _ => false,
        };
        let asked = fault.retry_after.unwrap_or_default();
        if !again || self.spent >= policy.attempts || asked > MAX_RETRY_AFTER {
            return Decision::GiveUp;
        }
        let factor = 2_u32.checked_pow(self.spent - 1);
        let doubled = factor.and_then(|factor| policy.wait_min.checked_mul(factor));
        let bound = doubled.unwrap_or(policy.wait_max).min(policy.wait_max);
        let wait = bound.mul_f64(random.clamp(0.0, 1.0));
        Decision::Wait(wait.max(asked))
    }

    /// How many attempts were made.
    #[must_use]
    pub fn spent(self) -> u32 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts: 5, wait_min: Duration::from_secs(1), wait_max: Duration::from_secs(6) };

    /// The waits, in seconds, after faults of these kinds, one after the other.
    fn waits(policy: RetryPolicy, kinds: &[FaultKind], random: f64) -> Vec<Option<f64>> {
        let mut attempts = Attempts::default();
        let mut after = |kind: &FaultKind| match attempts.after(&Fault::new(*kind, ""), &policy, random) {
            Decision::Wait(wait) => Some(wait.as_secs_f64()),
            Decision::GiveUp => None,
        };
        kinds.iter().map(&mut after).collect()
    }

    #[test]
    fn waits_double_up_to_their_bound_and_end_with_the_attempts() {
        use FaultKind as K;
        let mixed = [K::Unavailable, K::Truncated, K::Unreachable, K::Truncated, K::Unavailable];
        assert_eq!(waits(POLICY, &mixed, 1.0), [Some(1.0), Some(2.0), Some(4.0), Some(6.0), None]);
        assert_eq!(waits(POLICY, &[K::Truncated; 3], 0.25), [Some(0.25), Some(0.5), Some(1.0)]);
        assert_eq!(waits(POLICY, &[K::Unreachable], 0.0), [Some(0.0)]);
        let many = waits(RetryPolicy { attempts: 200, ..POLICY }, &[K::Truncated; 200], 1.0);
        assert_eq!((many[150], many[198], many[199]), (Some(6.0), Some(6.0), None));
        assert_eq!(waits(RetryPolicy { attempts: 1, ..POLICY }, &[K::Unavailable], 1.0), [None]);
    }

    #[test]
    fn a_query_that_ran_out_of_time_is_asked_once_more_whatever_went_wrong_beside_it() {
        use FaultKind as K;
        assert_eq!(waits(POLICY, &[K::QueryTimeout; 2], 1.0), [Some(1.0), None]);
        assert_eq!(
            waits(POLICY, &[K::Unavailable, K::Truncated, K::QueryTimeout, K::QueryTimeout], 1.0),
            [Some(1.0), Some(2.0), Some(4.0), None]
        );
        assert_eq!(
            waits(POLICY, &[K::QueryTimeout, K::Unavailable, K::Unavailable, K::QueryTimeout], 1.0),
            [Some(1.0), Some(2.0), Some(4.0), None]
        );
        // Never more often than any request.
        let twice = RetryPolicy { attempts: 2, ..POLICY };
        assert_eq!(waits(twice, &[K::Unavailable, K::QueryTimeout], 1.0), [Some(1.0), None]);
    }

    #[test]
    fn what_the_org_asks_for_is_waited_at_least() {
        let fault =
            Fault { retry_after: Some(Duration::from_secs(90)), ..Fault::new(FaultKind::Unavailable, "") };
        let after = |fault: &Fault| Attempts::default().after(fault, &POLICY, 0.5);
        assert_eq!(after(&fault), Decision::Wait(Duration::from_secs(90)));
        let week = Fault { retry_after: Some(Duration::from_secs(604_800)), ..fault };
        assert_eq!(after(&week), Decision::GiveUp);
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        use FaultKind as K;
        for kind in [
            K::SessionExpired,
            K::SessionRejected,
            K::LocatorExpired,
            K::Limit,
            K::LoginRefused,
            K::AnotherOrg,
            K::QueryRefused,
            K::QueryTooLong,
            K::Configuration,
            K::InvalidResponse,
            K::Miscount,
        ] {
            assert_eq!(waits(POLICY, &[kind], 1.0), [None], "{kind:?}");
        }
    }
}

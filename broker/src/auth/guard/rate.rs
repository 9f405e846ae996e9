//! A token bucket in one number: the time at which it is full again.

use std::time::{Duration, Instant};

/// What may come at once after silence: one second's worth.
const BURST: Duration = Duration::from_secs(1);

/// So much in a second on average. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rate(pub(super) u32);

/// A bucket of one second's worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes so much, whether or not it is there; returns how long to wait until nothing is owed any more.
    pub(super) fn take(&mut self, rate: Rate, amount: u64, now: Instant) -> Duration {
        let Some(time) = rate.time_for(amount) else { return Duration::ZERO };
        self.full_at = self.full_at.max(now) + time;
        (self.full_at - now).saturating_sub(BURST)
    }

    /// Takes one if it is there.
    pub(super) fn try_take(&mut self, rate: Rate, now: Instant) -> bool {
        let Some(time) = rate.time_for(1) else { return true };
        let full_at = self.full_at.max(now) + time;
        let has_one = full_at - now <= BURST;
        if has_one {
            self.full_at = full_at;
        }
        has_one
    }
}

impl Rate {
    pub(super) fn is_limited(self) -> bool {
        self.0 > 0
    }

    /// How long the bucket takes to refill by so much. `None`: it need not.
    fn time_for(self, amount: u64) -> Option<Duration> {
        let nanoseconds = (u128::from(amount) * 1_000_000_000).checked_div(u128::from(self.0))?;
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_second_s_worth_is_there_at_once_and_the_rest_at_the_rate() {
        let now = clock::now();
        let mut bucket = Bucket::full(now);
        let taken = (0..100).filter(|_| bucket.try_take(Rate(10), now)).count();
        assert_eq!(taken, 10);
        let mut later = now;
        let taken = (0..1000).filter(|_| {
            later += Duration::from_millis(10);
            bucket.try_take(Rate(10), later)
        });
        assert_eq!(taken.count(), 100, "in ten seconds");
        assert!(bucket.is_full(later + BURST) && !bucket.is_full(later));
    }

    #[test]
    fn what_is_taken_too_much_is_owed() {
        let now = clock::now();
        let mut bucket = Bucket::full(now);
        for (amount, wait_milliseconds) in [(1000, 0), (500, 500), (0, 500), (2000, 2500)] {
            let wait = bucket.take(Rate(1000), amount, now);
            assert_eq!(wait, Duration::from_millis(wait_milliseconds));
        }
        assert_eq!(bucket.take(Rate(1000), 1, now + Duration::from_millis(2500)), Duration::from_millis(1));
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let now = clock::now();
        let mut bucket = Bucket::full(now);
        assert!((0..1000).all(|_| bucket.try_take(Rate(0), now)));
        assert_eq!(bucket.take(Rate(0), u64::MAX, now), Duration::ZERO);
        assert!(bucket.take(Rate(1), u64::MAX, now) > BURST, "and nothing overflows");
    }
}

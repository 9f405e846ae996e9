//! How long to wait before trying again: exponential back-off with full jitter, so that many clients of a server
//! that comes back do not come back at once.

use std::time::Duration;

/// The longest that a server may make us wait.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// The delays of one sequence of attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// Delays between nothing and `base * 2^n`, at most `max`. One seed, one sequence.
    pub(crate) fn new(base: Duration, max: Duration, seed: u64) -> Self {
        Self { base, max, attempts: 0, random: seed }
    }

    /// A sequence that differs each time.
    pub(crate) fn unpredictable(base: Duration, max: Duration) -> Self {
        // Without randomness from the system delays are predictable, which only costs spreading.
        Self::new(base, max, getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15))
    }

    /// The next delay: at least what the server asked for.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32 << self.attempts.min(20)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        let jittered = ceiling.mul_f64(self.next_fraction());
        jittered.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    /// Something worked: begin with short delays again.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// How many delays were asked for since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Uniform in 0..1, by splitmix64.
    fn next_fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The header Retry-After: seconds, or a date [RFC 9110, section 10.2.3].
pub(crate) fn parse_retry_after(header: &str, now_nanoseconds: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::parse(header).ok()?.timestamp().as_nanosecond();
    let wait = u64::try_from(at - i128::from(now_nanoseconds)).unwrap_or(0);
    Some(Duration::from_nanos(wait).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_are_bounded() {
        let (base, max) = (Duration::from_millis(100), Duration::from_secs(10));
        let mut backoff = Backoff::new(base, max, 7);
        let mut largest = Duration::ZERO;
        for attempt in 0..1000_u32 {
            let delay = backoff.next(None);
            assert!(delay <= base * (1 << attempt.min(7)) && delay <= max);
            largest = largest.max(delay);
        }
        assert!(largest > max / 2, "{largest:?}");
        backoff.reset();
        assert!(backoff.next(None) <= base);
        assert_eq!(backoff.attempts(), 1);
        assert_eq!(backoff.next(Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(backoff.next(Some(Duration::MAX)), RETRY_AFTER_MAX);
    }

    #[test]
    fn one_seed_one_sequence() {
        let delays = |seed| {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10), seed);
            (0..10).map(|_| backoff.next(None)).collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    #[test]
    fn retry_after() {
        const NOON: i64 = 784_111_777_000_000_000; // Sun, 06 Nov 1994 08:49:37 GMT
        for (header, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999", Some(600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            let found = parse_retry_after(header, NOON);
            assert_eq!(found, expected.map(Duration::from_secs), "{header}");
        }
    }
}

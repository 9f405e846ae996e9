//! The one place that reads clocks. Everything else is told the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, for waiting. Follows tokio's clock, which tests may stop.
#[expect(clippy::disallowed_methods, reason = "the crate's clock module")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the crate's clock module")]
pub(crate) fn unix_nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Stamps messages with the time they arrived, so that no two have the same time: two points of one series at one
/// time would be one point.
#[derive(Debug, Default)]
pub(crate) struct ArrivalClock {
    last: i64,
}

impl ArrivalClock {
    /// The stamp of a message that arrived at `now`; later than every earlier stamp, even if the clock was set back.
    pub(crate) fn stamp(&mut self, now_nanoseconds: i64) -> i64 {
        self.last = now_nanoseconds.max(self.last.saturating_add(1));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase() {
        let mut clock = ArrivalClock::default();
        let stamps: Vec<i64> = [10, 10, 10, 5, 12, 20].into_iter().map(|now| clock.stamp(now)).collect();
        assert_eq!(stamps, [10, 11, 12, 13, 14, 20]);
        assert!(unix_nanoseconds() > 1_700_000_000_000_000_000);
    }
}

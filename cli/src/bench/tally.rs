//! What one thread has counted and measured; threads' tallies are added up at the end.

use hdrhistogram::Histogram;

/// Longest time that is told apart from longer ones.
const LATENCY_NANOSECONDS_MAX: u64 = 60_000_000_000;

/// Counts and times of one thread, or of all.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub(super) published: u64,
    /// Acknowledged by the broker, with success.
    pub(super) acknowledged: u64,
    /// Acknowledged with an error (MQTT 5).
    pub(super) refused: u64,
    /// Deliveries, without repeated ones.
    pub(super) delivered: u64,
    pub(super) repeated: u64,
    /// Deliveries that came after a later one of the same publisher.
    pub(super) late: u64,
    /// Deliveries that are not of this run.
    pub(super) foreign: u64,
    /// Sessions that should have been there and were not.
    pub(super) sessions_lost: u64,
    pub(super) opened: u64,
    pub(super) disconnected: u64,
    /// Connections that a storm could not open.
    pub(super) unopened: u64,
    /// The first thing that went wrong after the start.
    pub(super) first_problem: Option<String>,
    /// Nanoseconds from the epoch to the last acknowledgement or delivery.
    pub(super) last_activity: u64,
    /// Publisher to subscriber, nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// From when a message was due until its publisher knew that the broker has it, nanoseconds; only with a rate.
    pub(super) acknowledging: Histogram<u64>,
    /// From the first packet of TCP to CONNACK, nanoseconds.
    pub(super) connecting: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            published: 0,
            acknowledged: 0,
            refused: 0,
            delivered: 0,
            repeated: 0,
            late: 0,
            foreign: 0,
            sessions_lost: 0,
            opened: 0,
            disconnected: 0,
            unopened: 0,
            first_problem: None,
            last_activity: 0,
            latency: histogram(),
            acknowledging: histogram(),
            connecting: histogram(),
        }
    }

    /// Messages and acknowledgements that came from the broker.
    pub(super) fn arrivals(&self) -> u64 {
        self.delivered + self.acknowledged
    }

    /// Remembers what went wrong, if it is the first.
    pub(super) fn problem(&mut self, describe: impl FnOnce() -> String) {
        if self.first_problem.is_none() {
            self.first_problem = Some(describe());
        }
    }

    /// Adds another thread's or phase's figures.
    pub(super) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.late += other.late;
        self.foreign += other.foreign;
        self.sessions_lost += other.sessions_lost;
        self.opened += other.opened;
        self.disconnected += other.disconnected;
        self.unopened += other.unopened;
        self.first_problem = self.first_problem.take().or(other.first_problem);
        self.last_activity = self.last_activity.max(other.last_activity);
        for (sum, part) in [
            (&mut self.latency, &other.latency),
            (&mut self.acknowledging, &other.acknowledging),
            (&mut self.connecting, &other.connecting),
        ] {
            // Both have the bounds of `histogram`, so every value fits.
            let _fits = sum.add(part);
        }
    }
}

/// Times from a microsecond to a minute, three digits exact.
#[expect(clippy::expect_used, reason = "the bounds are constants that the library accepts")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1000, LATENCY_NANOSECONDS_MAX, 3).expect("constant bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_and_keeps_the_first_problem() {
        let mut sum = Tally::new();
        for (number, problem) in [(1, None), (2, Some("first")), (3, Some("second"))] {
            let mut part = Tally { published: number, last_activity: 10 - number, ..Tally::new() };
            part.latency.saturating_record(number * 1_000_000);
            part.first_problem = problem.map(str::to_owned);
            sum.add(part);
        }
        assert_eq!((sum.published, sum.last_activity, sum.latency.len()), (6, 9, 3));
        assert_eq!(sum.first_problem.as_deref(), Some("first"));
    }
}

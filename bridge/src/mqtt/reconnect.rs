//! How long to wait before the broker is tried again.
//!
//! A broker that comes back has messages that wait for nobody but the bridge, so the bridge is there soon, however often
//! the broker went away before. Only what someone has to change, such as a password, is tried more and more seldom.

use std::time::{Duration, Instant};

use crate::{retry::Backoff, status::Severity};

const BASE: Duration = Duration::from_millis(200);
/// After failures that pass: an attempt costs one connection, and a queue that nobody empties fills up.
const PASSING_MAX: Duration = Duration::from_secs(3);
/// After failures that wait for someone.
const LASTING_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the next failure is a new one.
const STABLE: Duration = Duration::from_secs(10);

/// The waits of one bridge.
#[derive(Debug)]
pub(super) struct Reconnect {
    backoff: Backoff,
    online_since: Option<Instant>,
    /// Something was acknowledged on this connection.
    progressed: bool,
}

impl Reconnect {
    pub(super) fn new() -> Self {
        Self::with(Backoff::unpredictable(BASE, LASTING_MAX))
    }

    fn with(backoff: Backoff) -> Self {
        Self { backoff, online_since: None, progressed: false }
    }

    /// The broker has let us in.
    pub(super) fn online(&mut self, now: Instant) {
        self.online_since = Some(now);
        self.progressed = false;
    }

    /// A message was acknowledged: the connection was worth the while.
    pub(super) fn progressed(&mut self) {
        self.progressed = true;
    }

    /// How long to wait after a failure. Two bridges that throw each other out make progress too, each for a moment; that
    /// is one for someone, so it does not make them faster.
    pub(super) fn delay(&mut self, severity: Severity, now: Instant) -> Duration {
        let passing = severity == Severity::Passing;
        let online = self.online_since.take();
        let lasted = online.is_some_and(|since| now.saturating_duration_since(since) >= STABLE);
        let progressed = std::mem::take(&mut self.progressed);
        if lasted || (passing && progressed) {
            self.backoff.reset();
        }
        let delay = self.backoff.next(None);
        if passing { delay.min(PASSING_MAX) } else { delay }
    }

    /// How long to wait before everything begins anew after a fault of our own.
    pub(super) fn delay_after_fault(&mut self) -> Duration {
        self.backoff.next(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    fn reconnect() -> Reconnect {
        Reconnect::with(Backoff::new(BASE, LASTING_MAX, 7))
    }

    #[test]
    fn a_broker_that_dies_again_and_again_never_waits_long() {
        let (mut reconnect, mut now) = (reconnect(), clock::now());
        for _ in 0..100 {
            assert!(reconnect.delay(Severity::Passing, now) <= PASSING_MAX);
            reconnect.online(now);
            reconnect.progressed();
            now += SECOND;
            assert!(reconnect.delay(Severity::Passing, now) <= BASE, "it did its work");
        }
    }

    #[test]
    fn what_someone_has_to_change_is_tried_seldom() {
        let (mut reconnect, mut now) = (reconnect(), clock::now());
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            reconnect.online(now);
            reconnect.progressed();
            now += SECOND;
            let delay = reconnect.delay(Severity::NeedsAttention, now);
            assert!(delay <= LASTING_MAX);
            longest = longest.max(delay);
        }
        assert!(longest > LASTING_MAX / 2, "{longest:?}");
    }

    #[test]
    fn a_long_connection_makes_the_next_failure_a_new_one() {
        let (mut reconnect, now) = (reconnect(), clock::now());
        for _ in 0..20 {
            reconnect.delay(Severity::NeedsAttention, now);
        }
        reconnect.online(now);
        assert!(reconnect.delay(Severity::NeedsAttention, now + STABLE) <= BASE);
        reconnect.online(now);
        // Without a connection there is nothing that could have lasted.
        for _ in 0..20 {
            reconnect.delay(Severity::Passing, now + 2 * STABLE);
        }
        assert_eq!(reconnect.delay(Severity::Passing, now + 9 * STABLE).min(PASSING_MAX), PASSING_MAX);
    }
}

//! Turns times that only this process understands into times that outlive it, and back.

use std::time::{Duration, Instant};

/// One moment on both clocks. If the wall clock is set while the process runs, expiry times keep to the elapsed time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    /// The moment on the monotonic clock.
    pub(super) now: Instant,
    /// The moment in nanoseconds since 1970.
    pub(super) wall_nanoseconds: u64,
}

impl Anchor {
    /// The time in nanoseconds since 1970.
    pub(super) fn to_wall(self, at: Instant) -> u64 {
        let nanoseconds = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.now) {
            Some(after) => self.wall_nanoseconds.saturating_add(nanoseconds(after)),
            None => self.wall_nanoseconds.saturating_sub(nanoseconds(self.now.duration_since(at))),
        }
    }

    /// The moment on the monotonic clock. Times before the anchor become the anchor: both are past. `None` if it is
    /// too far away to ever come.
    pub(super) fn to_instant(self, wall_nanoseconds: u64) -> Option<Instant> {
        let after = wall_nanoseconds.saturating_sub(self.wall_nanoseconds);
        self.now.checked_add(Duration::from_nanos(after))
    }
}

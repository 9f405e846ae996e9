//! The only place of this crate that asks what time it is.

use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::UnixTime;

/// The current monotonic time.
#[expect(clippy::disallowed_methods, reason = "time enters the crate here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day, in nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "time enters the crate here")]
pub(crate) fn wall_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Enough until the year 2554.
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The time of day, as certificates count it.
pub(crate) fn unix_time() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_nanos(wall_nanoseconds()))
}

/// Ties the monotonic time to the time of day, for times that must outlive the process.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    instant: Instant,
    wall_nanoseconds: u64,
}

impl Anchor {
    /// These two are the same moment.
    pub const fn new(instant: Instant, wall_nanoseconds: u64) -> Self {
        Self { instant, wall_nanoseconds }
    }

    /// Now.
    pub(crate) fn here() -> Self {
        Self::new(now(), wall_nanoseconds())
    }

    /// The time of day of a moment, in nanoseconds since 1970.
    pub fn to_wall_nanoseconds(&self, at: Instant) -> u64 {
        let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if at >= self.instant {
            self.wall_nanoseconds.saturating_add(nanoseconds(at - self.instant))
        } else {
            self.wall_nanoseconds.saturating_sub(nanoseconds(self.instant - at))
        }
    }

    /// The moment of a time of day; one long past becomes the moment of the anchor.
    pub fn to_instant(&self, wall_nanoseconds: u64) -> Instant {
        let after = Duration::from_nanos(wall_nanoseconds.saturating_sub(self.wall_nanoseconds));
        self.instant.checked_add(after).unwrap_or(self.instant)
    }
}

//! The only place of this crate that reads the clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A number that is another one each time: the nanoseconds of the time of day.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub(crate) fn unpredictable() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos() & u128::from(u64::MAX)).unwrap_or_default()
}

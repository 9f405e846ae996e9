//! The only place of the program that reads the clock: everything else takes the time as an argument.

use std::time::{Instant, SystemTime};

/// The monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the program's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time of day, for certificates.
#[expect(clippy::disallowed_methods, reason = "this is the program's clock")]
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}

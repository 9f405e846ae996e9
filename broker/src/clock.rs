//! The only place of this crate that asks what time it is.

use std::time::Instant;

/// The current monotonic time.
#[expect(clippy::disallowed_methods, reason = "time enters the crate here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The only place of the program that reads the clock: everything else takes the time as an argument.

use std::time::Instant;

/// The monotonic time.
#[expect(clippy::disallowed_methods, reason = "this is the program's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The only place of the program that reads the clock: everything else takes the time as an argument.

use std::time::{Instant, SystemTime};

use rustls::pki_types::UnixTime;

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

/// The same, as a certificate is checked against it.
pub(crate) fn unix_time() -> UnixTime {
    UnixTime::since_unix_epoch(time_of_day().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

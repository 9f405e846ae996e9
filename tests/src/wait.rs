//! Waiting for something that a process does in its own time.

use std::{thread, time::Duration};

use crate::clock;

/// How long a condition may take to hold. Far more than any of them needs on an idle machine, because tests share two
/// cores with each other and with compilers.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` returns something, and returns that.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// As [`until`], with a deadline of its own.
///
/// # Panics
/// When the time is up.
pub fn until_within<T>(time_max: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::now() + time_max;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::now() < deadline, "waited {time_max:?} in vain for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Looks until `look` returns `expected`; says what it returned last otherwise.
///
/// # Panics
/// After [`PATIENCE`].
pub fn until_equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, mut look: impl FnMut() -> T) {
    let deadline = clock::now() + PATIENCE;
    loop {
        let found = look();
        if found == *expected {
            return;
        }
        assert!(clock::now() < deadline, "{what}: waited {PATIENCE:?} for {expected:?}, still {found:?}");
        thread::sleep(POLL_INTERVAL);
    }
}

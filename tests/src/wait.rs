//! Waiting for something that a process does in its own time.

use std::{thread, time::Duration};

use crate::clock;

/// How long a condition may take to hold. Far more than any of them needs on an idle machine, because tests share two
/// cores with each other and with compilers.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The same for what comes after much work: a queue that has to drain, a log that has to be read.
pub const LONG_PATIENCE: Duration = Duration::from_secs(180);
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

/// Looks until a condition holds, and says whether it did in time: for those who report better than a panic here.
pub fn look(time_max: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = clock::now() + time_max;
    while !holds() {
        if clock::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// Lets time pass where that is the point: between the strokes of a schedule, never to wait for something.
pub fn pass(length: Duration) {
    thread::sleep(length);
}

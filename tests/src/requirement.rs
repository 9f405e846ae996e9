//! Real servers and clients that a test needs, and what happens where they are missing.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Set by `tests/run`: what is missing fails a test.
pub const REQUIRE: &str = "GAUGELINE_REQUIRE_SERVERS";
/// Debian installs servers where a normal user's PATH does not look.
const ALSO: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ALSO.map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Where a program is. `None` if it is missing and the test may be left out; says so past the test runner's capture.
///
/// # Panics
/// If it is missing and [`REQUIRE`] is set: a test never passes silently without what it tests against.
pub fn program(program: &str) -> Option<PathBuf> {
    find(program).or_else(|| {
        missing(program);
        None
    })
}

/// Notes that something which the present test needs is missing.
///
/// # Panics
/// If [`REQUIRE`] is set.
pub fn missing(what: &str) {
    let required =
        std::env::var_os(REQUIRE).is_some_and(|value| !value.is_empty() && value != OsStr::new("0"));
    assert!(!required, "{what} is missing: tests/run installs it");
    not_tested(&format!("{what} is missing; tests/run installs it"));
}

/// Says that the present test is left out, where nobody can be asked to provide what it needs: to be root, for instance.
///
/// # Panics
/// If standard error is closed.
pub fn not_tested(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The test runner captures what the print macros write, not this.
    std::io::stderr().write_all(format!("NOT TESTED: {test}: {reason}\n").as_bytes()).unwrap();
}

/// Notes that the present test is left out because the machine does not allow it, past the test runner's capture.
///
/// # Panics
/// If the standard error is gone.
pub fn not_allowed(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::io::stderr()
        .write_all(format!("NOT TESTED: {test}: {what} is not allowed here\n").as_bytes())
        .unwrap();
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

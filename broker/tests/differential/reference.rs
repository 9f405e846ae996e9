//! The real mosquittos that there are to compare with: Debian's 2.0, and the 2.1 that `tests/mosquitto-2.1` makes.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian puts it, which is not in everybody's path.
const INSTALLED: [&str; 3] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
/// The directory of mosquitto 2.1's programs. If it is set they must be there.
const MOSQUITTO_2_1: &str = "GAUGELINE_MOSQUITTO_2_1";

/// What mosquitto does depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V2_0,
    V2_1,
}

/// The program of this version, for a test of the same name. `None` if it is missing and nothing requires that it is there;
/// says so.
pub(crate) fn program(version: Version) -> Option<PathBuf> {
    let found = candidates().into_iter().find(|program| version_of(program) == Some(version));
    if found.is_none() {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        let required = match version {
            // Whatever is installed is the first reference.
            Version::V2_0 => is_set("GAUGELINE_REQUIRE_SERVERS") && candidates().is_empty(),
            Version::V2_1 => is_set(MOSQUITTO_2_1),
        };
        assert!(
            !required,
            "mosquitto is missing, and the environment says that it must be there: {version:?}"
        );
        eprintln!("NOT TESTED: against mosquitto {version:?}, which is missing");
    }
    found
}

fn candidates() -> Vec<PathBuf> {
    let given = env::var_os(MOSQUITTO_2_1).filter(|value| !value.is_empty()).map(PathBuf::from);
    // target/debug/deps/differential-0123456789abcdef
    let own = env::current_exe().unwrap();
    let made = given.or_else(|| Some(own.ancestors().nth(3)?.join("mosquitto-2.1/bin")));
    let made = made.map(|directory| directory.join("mosquitto"));
    INSTALLED.iter().map(PathBuf::from).chain(made).filter(|program| program.is_file()).collect()
}

fn version_of(program: &Path) -> Option<Version> {
    let said = Command::new(program).arg("-h").output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said);
    match said.strip_prefix("mosquitto version ")?.get(..4)? {
        "2.0." => Some(Version::V2_0),
        "2.1." => Some(Version::V2_1),
        _ => None,
    }
}

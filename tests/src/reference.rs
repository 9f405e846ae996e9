//! The real mosquittos that there are to compare with: the installed one, and the 2.1 that `tests/mosquitto-2.1` makes.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{process::run, requirement};

/// The directory of mosquitto 2.1's programs. If it is set they must be there.
pub const MOSQUITTO_2_1: &str = "GAUGELINE_MOSQUITTO_2_1";

/// What mosquitto does depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Debian's, from bookworm to trixie.
    V2_0,
    /// The one that gaugeline follows.
    V2_1,
}

/// A mosquitto.
#[derive(Debug)]
pub struct Reference {
    /// Which one it is.
    pub version: Version,
    directory: Option<PathBuf>,
}

impl Reference {
    /// Where one of its programs is, `mosquitto` or `mosquitto_passwd`, which come in one package.
    ///
    /// # Panics
    /// If it is missing.
    pub fn program(&self, name: &str) -> PathBuf {
        match &self.directory {
            Some(directory) => directory.join(name),
            None => requirement::find(name).unwrap_or_else(|| panic!("{name} is missing")),
        }
    }
}

/// All that there are, at most one of each version. Says which are missing, see [`requirement`]; that of 2.1 is needed only
/// where [`MOSQUITTO_2_1`] is set, as it cannot be had everywhere.
///
/// # Panics
/// If one is missing that must be there, or is of another version.
pub fn references() -> &'static [Reference] {
    static FOUND: OnceLock<Vec<Reference>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let installed = requirement::find("mosquitto")
            .map(|program| Reference { version: version(&program), directory: None });
        let is_2_1 = installed.as_ref().is_some_and(|installed| installed.version == Version::V2_1);
        installed.into_iter().chain(if is_2_1 { None } else { made() }).collect()
    });
    if !found.iter().any(|reference| reference.directory.is_none()) {
        requirement::missing("mosquitto");
    }
    if !found.iter().any(|reference| reference.version == Version::V2_1) {
        requirement::not_tested("against mosquitto 2.1, which tests/mosquitto-2.1 makes");
    }
    found
}

/// What `tests/mosquitto-2.1` has made, if it has.
fn made() -> Option<Reference> {
    let given = env::var_os(MOSQUITTO_2_1).filter(|value| !value.is_empty()).map(PathBuf::from);
    let is_required = given.is_some();
    let directory = given.unwrap_or_else(|| {
        // target/debug/deps/scenarios-0123456789abcdef
        env::current_exe().unwrap().ancestors().nth(3).unwrap().join("mosquitto-2.1/bin")
    });
    let program = directory.join("mosquitto");
    if !is_required && !program.is_file() {
        return None;
    }
    let version = version(&program);
    assert_eq!(version, Version::V2_1, "{}", program.display());
    Some(Reference { version, directory: Some(directory) })
}

fn version(program: &Path) -> Version {
    let said = run("mosquitto", Command::new(program).arg("-h")).stdout;
    let version = said.lines().next().and_then(|line| line.strip_prefix("mosquitto version "));
    match version {
        Some(version) if version.starts_with("2.0.") => Version::V2_0,
        Some(version) if version.starts_with("2.1.") => Version::V2_1,
        _ => panic!("{} is neither 2.0 nor 2.1: {said}", program.display()),
    }
}

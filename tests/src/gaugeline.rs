//! The program under test.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    process::{Ended, run},
    requirement,
};

/// Where the program is, if `tests/run` or somebody else has built it.
pub const PROGRAM: &str = "GAUGELINE_PROGRAM";

/// A command that runs the program with the environment of a new user: no settings from outside.
pub fn command() -> Command {
    let mut command = Command::new(program());
    command.env_remove("GAUGELINE_LOG").env_remove("GAUGELINE_LOG_FORMAT").env_remove("RUST_LOG");
    command
}

/// Runs the program with these arguments to its end.
///
/// # Panics
/// If it does not end.
pub fn gaugeline(arguments: &[&str]) -> Ended {
    run(&format!("gaugeline {}", arguments.join(" ")), command().args(arguments))
}

/// The path of the program: what [`PROGRAM`] names, or what cargo builds now, from the same sources and in the same
/// profile as this test.
///
/// # Panics
/// If it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM_PATH: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM_PATH.get_or_init(|| env::var_os(PROGRAM).map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    // target/debug/deps/scenarios-0123456789abcdef
    let own = env::current_exe().unwrap();
    let built = own.parent().and_then(Path::parent).unwrap().to_owned();
    let target = built.parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(requirement::repository()).env("CARGO_TARGET_DIR", target);
    // The whole workspace decides which features the dependencies have: so they need not be built again.
    command.args(["build", "--quiet", "--workspace", "--bin", "gaugeline"]);
    if built.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    assert!(command.status().unwrap().success(), "the program does not build");
    built.join("gaugeline")
}

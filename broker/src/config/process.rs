//! How the broker behaves as a process of its system. The program that runs it acts on this.

use std::path::PathBuf;

/// The process. By default nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessConfig {
    /// Which user to become at the start, for good, if started as root. It must be able to read every file that the
    /// configuration names.
    pub user: Option<User>,
    /// Where the number of the process is written; the file is removed at the end.
    pub pid_file: Option<PathBuf>,
}

/// A user of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What to do if there is no such user: try `nobody`, instead of not starting.
    pub or_nobody: bool,
}

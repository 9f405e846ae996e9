//! What `gaugeline init` did with each file, for the user.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, files};

/// The files of one data directory, in the order in which they were handled.
#[derive(Debug)]
pub(crate) struct Report {
    directory: PathBuf,
    files: Vec<(PathBuf, Outcome)>,
    /// What was to be there on a server, in words.
    server: Vec<(String, Outcome)>,
    /// What the user should know or do, one sentence each.
    warnings: Vec<String>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is new.
    Created,
    /// It was there and is untouched.
    Kept,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Kept => "kept   ",
        })
    }
}

impl Report {
    /// An empty report for a data directory.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), files: Vec::new(), server: Vec::new(), warnings: Vec::new() }
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Creates a file under the directory, unless there is one; says which.
    pub(super) fn create(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<Outcome, Failure> {
        let path = self.directory.join(name);
        let outcome = match files::create_new(&path, mode, content) {
            Ok(()) => Outcome::Created,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Outcome::Kept,
            Err(error) => return Err(Failure::failed(format!("cannot create {}: {error}", path.display()))),
        };
        self.files.push((path, outcome));
        Ok(outcome)
    }

    /// Notes a file that was there, once.
    pub(super) fn kept(&mut self, name: &str) {
        let path = self.directory.join(name);
        if !self.files.iter().any(|(known, _)| *known == path) {
            self.files.push((path, Outcome::Kept));
        }
    }

    /// Notes something that is on a server now.
    pub(super) fn prepared(&mut self, outcome: Outcome, what: String) {
        self.server.push((what, outcome));
    }

    /// Whether everything was there before.
    pub(super) fn changed_nothing(&self) -> bool {
        let files = self.files.iter().map(|(_, outcome)| outcome);
        files.chain(self.server.iter().map(|(_, outcome)| outcome)).all(|outcome| *outcome == Outcome::Kept)
    }

    /// Notes something that the user should know.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// What the user should know or do.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The files that are new.
    pub(crate) fn created(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|(_, outcome)| *outcome == Outcome::Created).map(|(path, _)| path.as_path())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, outcome) in &self.files {
            writeln!(f, "  {outcome}  {}", path.display())?;
        }
        for (what, outcome) in &self.server {
            writeln!(f, "  {outcome}  InfluxDB: {what}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "  note     {warning}")?;
        }
        Ok(())
    }
}

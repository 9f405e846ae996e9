//! The one shape of errors about files that people write: `path:line: what was found, and what was expected`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::process_user::told;

/// A file that cannot be read or that says something that it must not say. Never quotes secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    path: PathBuf,
    line: Option<u32>,
    problem: String,
}

impl FileError {
    /// A wrong line. Lines count from 1.
    pub fn at(path: &Path, line: u32, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self { path: path.into(), line: Some(line), problem: format!("found {found}, expected {expected}") }
    }

    /// A defect of the whole file.
    pub fn whole(path: &Path, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self { path: path.into(), line: None, problem: format!("found {found}, expected {expected}") }
    }

    /// A file that the system does not let us read.
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self { path: path.into(), line: None, problem: format!("cannot be read: {}", told(error)) }
    }

    /// A file that the system does not let us write.
    pub fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self { path: path.into(), line: None, problem: format!("cannot be written: {}", told(error)) }
    }

    /// The same with further ones, each on a line of its own.
    #[must_use]
    pub fn with_more(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        for other in others {
            self.problem.push_str(&format!("\n{other}"));
        }
        self
    }

    /// The file at fault.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line at fault, counted from 1; `None` if it is the whole file.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The text after the position.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for FileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_kept_from_us_names_us() {
        let path = Path::new("passwd");
        let denied = FileError::unreadable(path, &io::ErrorKind::PermissionDenied.into()).to_string();
        let user = crate::process_user::name();
        assert!(denied.starts_with("passwd: cannot be read: "), "{denied}");
        assert!(denied.ends_with(&format!(", as the user `{user}`")), "{denied}");
        let missing = FileError::unreadable(path, &io::ErrorKind::NotFound.into()).to_string();
        assert!(!missing.contains("user"), "{missing}");
    }
}

//! Whether this process can read and write what a broker with its rights would: for `check`, which starts nothing.
//!
//! Asks the system, which knows about owners, groups and the directories on the way. What is missing altogether is told by
//! those who need it.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use gaugeline_broker::{
    config::{Config, LogDestination, Persistence},
    file_error::FileError,
};
use rustix::fs::Access;

use crate::failure::Failure;

/// Files of this kind are what the configuration itself consists of.
const UNREAD: &str = "the broker starts, but cannot read its configuration again when it changes";

/// Refuses a configuration whose files are out of reach. Returns what works, but not as it is meant.
pub(crate) fn check(config: &Config) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for path in config.watched() {
        match readable(&path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let error = FileError::unreadable(&path, &error);
                if !config.files.contains(&path) {
                    return Err(Failure::configuration(error));
                }
                notes.push(format!("{error}: {UNREAD}"));
            }
            Ok(()) | Err(_) => {}
        }
    }
    if config.persistence.mode != Persistence::Off {
        writable_directory(&config.persistence.directory)?;
    }
    let logs = config.logging.destinations.iter().filter_map(|destination| match destination {
        LogDestination::File(path) => Some(path),
        _ => None,
    });
    for file in logs.chain(config.audit.as_ref().map(|audit| &audit.file)) {
        let existing = if file.exists() { file.clone() } else { existing_parent(file) };
        writable(&existing)?;
    }
    Ok(notes)
}

fn readable(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::read_dir(path).map(drop) } else { File::open(path).map(drop) }
}

/// The directory and the files in it, or the place where it would be made.
fn writable_directory(directory: &Path) -> Result<(), Failure> {
    if !directory.exists() {
        return writable(&existing_parent(directory));
    }
    writable(directory)?;
    let entries = fs::read_dir(directory);
    let entries =
        entries.map_err(|error| Failure::configuration(FileError::unreadable(directory, &error)))?;
    for entry in entries.flatten() {
        writable(&entry.path())?;
    }
    Ok(())
}

fn writable(path: &Path) -> Result<(), Failure> {
    let wanted = Access::READ_OK | Access::WRITE_OK;
    let wanted = if path.is_dir() { wanted | Access::EXEC_OK } else { wanted };
    rustix::fs::access(path, wanted)
        .map_err(|error| Failure::configuration(FileError::unwritable(path, &error.into())))
}

/// The last directory on the way that is there. A directory that must not be looked into is taken for one that is.
fn existing_parent(path: &Path) -> PathBuf {
    let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    let is_there = |parent: &&Path| !matches!(parent.try_exists(), Ok(false));
    parents.into_iter().find(is_there).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_not_there_yet_is_made_where_something_is() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(existing_parent(&directory.path().join("a/b/c")), directory.path());
        assert_eq!(existing_parent(Path::new("data")), Path::new("."));
    }

    #[test]
    fn a_directory_is_writable_only_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.log");
        assert!(writable_directory(&directory.path().join("new/er")).is_ok());
        fs::write(&file, "").unwrap();
        assert!(writable_directory(directory.path()).is_ok());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        // Root may write it all the same; the scenario of another user is one of the end-to-end tests.
        let refused = writable_directory(directory.path()).err().map(|error| error.to_string());
        let is_root = nix::unistd::Uid::effective().is_root();
        assert_eq!(refused.is_none(), is_root, "{refused:?}");
    }
}

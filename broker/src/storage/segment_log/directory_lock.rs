//! Keeps a second broker out of a directory. The lock is the operating system's: it ends with the process, however it
//! ends. The file's content only tells whose it is.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::Path,
};

/// Held as long as the directory is in use.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Why the directory is not ours.
#[derive(Debug)]
pub(super) enum LockError {
    /// Somebody has it; what the file says of them.
    Held(String),
    /// The file cannot be opened or locked.
    Io(io::Error),
}

/// The name of the lock's file.
const FILE_NAME: &str = "lock";

impl DirectoryLock {
    /// Takes the lock, without waiting.
    pub(super) fn take(directory: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        let path = directory.join(FILE_NAME);
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                file.read_to_string(&mut owner).ok();
                return Err(LockError::Held(owner.trim().to_owned()));
            }
        }
        // Only a courtesy: on a full disk the lock holds without it.
        let owner = format!("process {}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).ok();
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_broker_is_told_whose_the_directory_is() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let Err(LockError::Held(owner)) = DirectoryLock::take(directory.path()) else {
            panic!("taken twice");
        };
        assert_eq!(owner, format!("process {}", std::process::id()));
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }
}

//! What the log asks of a disk, and the real one. Tests put one in its place that loses, tears and fails.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A directory of files. Names are plain file names.
pub(super) trait Disk: fmt::Debug + Send {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Everything in a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Opens a file that exists, for writing.
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates an empty file; one with this name that exists is emptied.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file. Safe after [`Self::sync_directory`].
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Renames a file. Safe after [`Self::sync_directory`].
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations, removals and renames outlive a power cut.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// A file that is open for writing.
pub(super) trait DiskFile: fmt::Debug + Send {
    /// Writes all of the bytes at the offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written outlive a power cut.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// The log holds messages that the ACL keeps from most users: no other user of the machine may read them.
const MODE_DIRECTORY: u32 = 0o700;
const MODE_FILE: u32 = 0o600;

/// A directory of the operating system.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Opens the directory, and creates it if need be. One that exists keeps its mode.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(MODE_DIRECTORY).create(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Disk for Directory {
    fn path(&self) -> &Path {
        &self.0
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).open(self.0.join(name))?))
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(MODE_FILE);
        Ok(Box::new(options.open(self.0.join(name))?))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl DiskFile for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn no_other_user_can_read_what_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/as/needed");
        Directory::open(&path).unwrap().create("a.log").unwrap();
        assert_eq!((mode(&path), mode(&path.join("a.log"))), (MODE_DIRECTORY, MODE_FILE));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        Directory::open(&path).unwrap().create("b.log").unwrap();
        assert_eq!((mode(&path), mode(&path.join("b.log"))), (0o750, MODE_FILE), "it keeps its mode");
    }
}

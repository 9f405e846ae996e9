//! A file system of its own, small enough to be filled.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What fills it up.
const FILLER: &str = "filler";
/// A page: the least that the file system gives out.
const STEP_BYTES: usize = 4096;

/// A file system in memory, mounted until it is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one on a directory, which is created. `None` if that is not allowed: it takes root's rights.
    ///
    /// # Panics
    /// If the directory cannot be created.
    pub fn mount(directory: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(directory).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "gaugeline-test"]).arg(directory);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self { directory: directory.to_owned() })
    }

    /// Leaves no room for anything.
    ///
    /// # Panics
    /// If writing fails for another reason.
    pub fn fill(&self) {
        let mut filler = fs::File::create(self.directory.join(FILLER)).unwrap();
        loop {
            match filler.write_all(&[1; STEP_BYTES]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("cannot fill {}: {error}", self.directory.display()),
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Panics
    /// If it was not full.
    pub fn make_room(&self) {
        fs::remove_file(self.directory.join(FILLER)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test has not ended yet may still be in there.
        Command::new("umount").arg("--lazy").arg(&self.directory).status().ok();
    }
}

//! A file that is moved aside when it is large enough, and a bounded number of those that were.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::AuditConfig;

/// Readable by the broker's user alone: it names users and addresses.
const MODE: u32 = 0o600;

/// See the module.
#[derive(Debug)]
pub(super) struct Rotated {
    config: AuditConfig,
    file: File,
    bytes: u64,
}

impl Rotated {
    /// Goes on with the file that is there.
    pub(super) fn open(config: &AuditConfig) -> io::Result<Self> {
        let file = open(&config.file)?;
        let bytes = file.metadata()?.len();
        Ok(Self { config: config.clone(), file, bytes })
    }

    /// The file that is written.
    pub(super) fn path(&self) -> &Path {
        &self.config.file
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.config.file_bytes {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.bytes += length;
        Ok(())
    }

    /// The oldest goes, every other one becomes one older.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..self.config.files).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.config.files == 0 {
            fs::remove_file(&self.config.file)?;
        }
        self.file = open(&self.config.file)?;
        self.bytes = 0;
        Ok(())
    }

    /// 0 is the file that is written.
    fn older(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.config.file.clone();
        }
        let mut name = self.config.file.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_in_size_and_number_and_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        for files in [0, 1, 2] {
            let file = directory.path().join(format!("audit{files}"));
            let config = AuditConfig { file: file.clone(), file_bytes: 6, files };
            let mut rotated = Rotated::open(&config).unwrap();
            for (at, line) in
                ["1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n", "8\n", "9\n", "0\n"].iter().enumerate()
            {
                if at == 5 {
                    rotated = Rotated::open(&config).unwrap();
                }
                rotated.append(line.as_bytes()).unwrap();
            }
            let read = |number| fs::read_to_string(rotated.older(number)).unwrap_or_default();
            let expected = ["0\n", "7\n8\n9\n", "4\n5\n6\n", ""];
            for (number, text) in (0..).zip(expected) {
                assert_eq!(read(number), if number <= files { text } else { "" }, "{files} {number}");
            }
        }
    }

    #[test]
    fn a_line_larger_than_a_file_is_written_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let config = AuditConfig { file: directory.path().join("audit"), file_bytes: 1, files: 1 };
        let mut rotated = Rotated::open(&config).unwrap();
        rotated.append(b"long\n").unwrap();
        rotated.append(b"longer\n").unwrap();
        assert_eq!(fs::read_to_string(&config.file).unwrap(), "longer\n");
    }
}

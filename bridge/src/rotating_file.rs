//! A file of lines that are there for good once `append` has returned, and that ends at a size or at midnight UTC.
//!
//! Owns the files of one prefix in one directory:
//!
//! ```text
//! telemetry.lp                     being written, locked against a second process
//! telemetry-2026-11-21-000001.lp   ended; the number counts over all days
//! ```
//!
//! A crash may leave half a line at the end of the file being written: it is cut when the file is opened again. A
//! failed write is cut at once. After a failed fsync nobody knows what of the file is on the disk, so the file is
//! ended and the lines go to a new one. The callers decide what lines are; blocking, so they call from a blocking
//! thread.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// The lines hold messages that the broker's ACL keeps from most users: no other user of the machine may read what is
/// made here. A directory that exists keeps its mode.
const MODE_DIRECTORY: u32 = 0o700;
const MODE_FILE: u32 = 0o600;

/// What the files are called and when they end.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) prefix: &'static str,
    pub(crate) extension: &'static str,
    /// The first lines of each file.
    pub(crate) header: Vec<u8>,
    /// A file ends before it would become larger, unless what is appended at once is larger.
    pub(crate) file_bytes: u64,
    /// The oldest files are deleted while all together are larger. None: nothing is ever deleted.
    pub(crate) total_bytes: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    settings: Settings,
    current: Option<Current>,
    next_number: u64,
}

/// The file being written.
#[derive(Debug)]
struct Current {
    file: File,
    /// What is known to be whole lines.
    bytes: u64,
    day: Date,
}

/// What had to be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    pub(crate) files: u64,
    pub(crate) lines: u64,
}

impl RotatingFile {
    /// Makes the directory if it is missing, opens or makes the file, and cuts half a line at its end.
    pub(crate) fn open(settings: Settings, now_nanoseconds: i64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(MODE_DIRECTORY).create(&settings.directory)?;
        let mut opened = Self { current: None, next_number: 1, settings };
        opened.next_number = opened.ended()?.last().map_or(1, |(number, _)| number + 1);
        opened.current = Some(opened.open_current(day_of(now_nanoseconds))?);
        Ok(opened)
    }

    /// Appends whole lines. When this returns, they are on the disk; when it fails, none of them is.
    pub(crate) fn append(&mut self, lines: &[u8], now_nanoseconds: i64) -> io::Result<Deleted> {
        let today = day_of(now_nanoseconds);
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open_current(today)?,
        };
        let header = self.settings.header.len() as u64;
        let is_full = current.bytes + lines.len() as u64 > self.settings.file_bytes;
        let mut deleted = Deleted::default();
        if current.bytes > header && (is_full || current.day != today) {
            drop(current);
            self.end_current()?;
            deleted = self.delete_oldest()?;
            current = self.open_current(today)?;
        }
        if let Err(error) = current.file.write_all(lines) {
            // What was written in part goes, or the next opening takes care of it.
            if current.file.set_len(current.bytes).is_ok() && current.file.seek(SeekFrom::End(0)).is_ok() {
                self.current = Some(current);
            }
            return Err(error);
        }
        if let Err(error) = current.file.sync_data() {
            // Should cutting fail too, the lines may be there twice: points written twice are one point.
            drop(current.file.set_len(current.bytes));
            drop(current);
            self.end_current()?;
            return Err(error);
        }
        current.bytes += lines.len() as u64;
        self.current = Some(current);
        Ok(deleted)
    }

    /// The file being written.
    pub(crate) fn path(&self) -> PathBuf {
        let Settings { directory, prefix, extension, .. } = &self.settings;
        directory.join(format!("{prefix}.{extension}"))
    }

    fn open_current(&self, today: Date) -> io::Result<Current> {
        let path = self.path();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(MODE_FILE);
        let mut file = options.open(&path)?;
        file.try_lock().map_err(|error| {
            io::Error::other(format!("{}: another process writes to it: {error}", path.display()))
        })?;
        let whole = whole_lines(&mut file)?;
        file.set_len(whole)?;
        let day = match file.metadata()?.modified() {
            Ok(modified) if whole > 0 => Timestamp::try_from(modified).map_or(today, date),
            _ => today,
        };
        file.seek(SeekFrom::Start(whole))?;
        let mut bytes = whole;
        if whole == 0 {
            file.write_all(&self.settings.header)?;
            file.sync_data()?;
            sync_directory(&self.settings.directory)?;
            bytes = self.settings.header.len() as u64;
        }
        Ok(Current { file, bytes, day })
    }

    /// Gives the file being written the name of an ended one.
    fn end_current(&mut self) -> io::Result<()> {
        let path = self.path();
        let modified = fs::metadata(&path)?.modified()?;
        let day = date(Timestamp::try_from(modified).map_err(io::Error::other)?);
        let Settings { directory, prefix, extension, .. } = &self.settings;
        let name = format!("{prefix}-{day}-{:06}.{extension}", self.next_number);
        fs::rename(&path, directory.join(name))?;
        self.next_number += 1;
        sync_directory(directory)
    }

    fn delete_oldest(&self) -> io::Result<Deleted> {
        let mut deleted = Deleted::default();
        let Some(total_bytes) = self.settings.total_bytes else { return Ok(deleted) };
        let ended = self.ended()?;
        let mut sizes = Vec::with_capacity(ended.len());
        for (_, path) in &ended {
            sizes.push(fs::metadata(path)?.len());
        }
        // The file that comes next may become as large as a file may be.
        let mut total = sizes.iter().sum::<u64>() + self.settings.file_bytes;
        for ((_, path), size) in ended.iter().zip(sizes) {
            if total <= total_bytes {
                break;
            }
            deleted.lines += count_lines(path)?;
            deleted.files += 1;
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(deleted)
    }

    /// The ended files with their numbers, the oldest first.
    fn ended(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut ended = Vec::new();
        for entry in fs::read_dir(&self.settings.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix(self.settings.prefix)?.strip_prefix('-'))
                .and_then(|name| name.strip_suffix(self.settings.extension)?.strip_suffix('.'))
                .and_then(|name| name.rsplit('-').next()?.parse().ok());
            if let Some(number) = number {
                ended.push((number, entry.path()));
            }
        }
        ended.sort();
        Ok(ended)
    }
}

/// How much of the file is whole lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        (&*file).take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += buffer.iter().take(read).filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// A new or renamed file is there after a crash only once its directory is on the disk.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn day_of(nanoseconds: i64) -> Date {
    date(Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "# header\n";

    fn settings(directory: &Path) -> Settings {
        Settings {
            directory: directory.join("made/as/needed"),
            prefix: "lines",
            extension: "txt",
            header: HEADER.into(),
            file_bytes: 40,
            total_bytes: Some(120),
        }
    }

    fn now() -> i64 {
        crate::clock::unix_nanoseconds()
    }

    fn read(file: &RotatingFile) -> String {
        fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn a_torn_tail_is_cut_and_the_file_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let mut file = RotatingFile::open(settings.clone(), now()).unwrap();
        file.append(b"one\n", now()).unwrap();
        let path = file.path();
        drop(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"tw");
        fs::write(&path, bytes).unwrap();
        let mut file = RotatingFile::open(settings.clone(), now()).unwrap();
        file.append(b"three\n", now()).unwrap();
        assert_eq!(read(&file), "# header\none\nthree\n");
        drop(file);
        fs::write(&path, "# hea").unwrap();
        let file = RotatingFile::open(settings, now()).unwrap();
        assert_eq!(read(&file), HEADER, "half a header is written anew");
    }

    #[test]
    fn files_end_and_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(settings(directory.path()), now()).unwrap();
        let mut deleted = Deleted::default();
        for number in 0..10 {
            let lines = format!("line {number}\nof 20 bytes..\n");
            let now_deleted = file.append(lines.as_bytes(), now()).unwrap();
            deleted.files += now_deleted.files;
            deleted.lines += now_deleted.lines;
        }
        assert_eq!(read(&file), "# header\nline 9\nof 20 bytes..\n");
        let numbers: Vec<u64> = file.ended().unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [8, 9], "80 bytes are left for ended files of 31");
        assert_eq!(deleted, Deleted { files: 7, lines: 21 });
        let (_, path) = &file.ended().unwrap()[0];
        assert_eq!(fs::read_to_string(path).unwrap(), "# header\nline 7\nof 20 bytes..\n");
        drop(file);
        let mut file = RotatingFile::open(settings(directory.path()), now()).unwrap();
        file.append(&[b'\n'; 50], now()).unwrap();
        let numbers: Vec<u64> = file.ended().unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [9, 10], "numbers go on after a restart");
    }

    #[test]
    fn a_file_ends_at_midnight() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::open(settings(directory.path()), now()).unwrap();
        file.append(b"today\n", now()).unwrap();
        file.append(b"tomorrow\n", now() + 24 * 3_600_000_000_000).unwrap();
        assert_eq!(read(&file), "# header\ntomorrow\n");
        assert_eq!(file.ended().unwrap().len(), 1);
        assert!(file.ended().unwrap()[0].1.to_str().unwrap().ends_with("-000001.txt"));
    }

    #[test]
    fn no_other_user_can_read_the_lines() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let mut file = RotatingFile::open(settings.clone(), now()).unwrap();
        for _ in 0..2 {
            file.append(&[b'\n'; 50], now()).unwrap();
        }
        let ended = file.ended().unwrap();
        assert_eq!((mode(&settings.directory), mode(&file.path()), mode(&ended[0].1)), (0o700, 0o600, 0o600));
        drop(file);
        fs::set_permissions(&settings.directory, fs::Permissions::from_mode(0o755)).unwrap();
        RotatingFile::open(settings.clone(), now()).unwrap();
        assert_eq!(mode(&settings.directory), 0o755, "it keeps its mode");
    }

    #[test]
    fn one_process_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let _file = RotatingFile::open(settings(directory.path()), now()).unwrap();
        let error = RotatingFile::open(settings(directory.path()), now()).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_made() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("made"), "in the way").unwrap();
        assert!(RotatingFile::open(settings(directory.path()), now()).is_err());
    }
}

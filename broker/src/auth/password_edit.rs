//! Changes password files: adds, updates and deletes users, and hashes plain-text lines.
//!
//! What `mosquitto_passwd` does, without its traps: comments and all other lines stay byte for byte, a hash is never hashed
//! again, a missing newline at the end is added before a new line, and the file changes by an atomic rename or not at all.
//! A file that would not load afterwards is not touched. Who changes a file has it alone: others wait.

use std::{
    fmt,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    num::NonZeroU32,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    hash::{HashError, Hashing, PasswordHash},
    password_file::{PasswordFile, USER_BYTES_MAX, WHITE_SPACE, split_record},
    scram::{SCRAM_USER_BYTES_MAX, ScramCredential, ScramFile},
};
use crate::file_error::FileError;

/// Who may read a new password file: its owner.
const MODE_NEW: u32 = 0o600;

/// Names that are tried for the temporary file before giving up. Each is 64 random bits: one is enough unless someone
/// fills the directory on purpose.
const TEMPORARY_NAMES_MAX: usize = 16;

/// Why a password file was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The name would break the file, or the broker would not find it again.
    #[error("the user name {0}")]
    UserName(&'static str),
    /// The empty password never logs in.
    #[error("the password is empty, and an empty password never logs in")]
    EmptyPassword,
    /// The password would only count up to here.
    #[error("the password contains a NUL byte, and everything after it would be ignored")]
    NulInPassword,
    /// SCRAM: see [`ScramCredential::is_preparable`].
    #[error("a password for SCRAM must be printable ASCII: clients do not agree about other characters")]
    NotPreparable,
    /// Nothing to delete or update.
    #[error("{}: has no user `{user}`", .path.display())]
    UnknownUser {
        /// The file.
        path: PathBuf,
        /// Who is not in it.
        user: String,
    },
    /// The file is there and was to be created.
    #[error("{}: exists already; leave out -c to change it", .0.display())]
    Exists(PathBuf),
    /// The file as it is cannot be changed safely.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system refuses.
    #[error("{}: cannot be written: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system has no random numbers.
    #[error("no random numbers for a salt: {0}")]
    Random(getrandom::Error),
}

/// Whether [`PasswordEditor::set`] found the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOutcome {
    /// A new line at the end.
    Added,
    /// The line of the user has a new hash.
    Updated,
}

/// The content of a password file, to be changed and then saved. Changes nothing on the disk before [`Self::save`].
pub struct PasswordEditor {
    path: PathBuf,
    /// May hold passwords that are not hashed yet.
    content: Zeroizing<Vec<u8>>,
    /// Mode and owner of the file that is replaced; `None` for a new file.
    replaces: Option<Replaced>,
    is_scram: bool,
    /// The directory, locked: the file itself is replaced. `None` for a new file, which never replaces another.
    _lock: Option<File>,
}

#[derive(Debug, Clone, Copy)]
struct Replaced {
    mode: u32,
    owner: u32,
    group: u32,
}

impl PasswordEditor {
    /// Starts an empty file. Fails if there is one already.
    pub fn create(path: &Path) -> Result<Self, EditError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(EditError::Exists(path.into()));
        }
        Ok(Self {
            path: path.into(),
            content: Zeroizing::default(),
            replaces: None,
            is_scram: false,
            _lock: None,
        })
    }

    /// Reads a file, and keeps other editors of its directory waiting until this one is dropped. A symbolic link is
    /// followed, and what it leads to is what will be replaced.
    pub fn open(path: &Path) -> Result<Self, EditError> {
        let unreadable = |error| FileError::unreadable(path, &error);
        let actual = fs::canonicalize(path).map_err(unreadable)?;
        let found = fs::metadata(&actual).map_err(unreadable)?;
        if !found.is_file() {
            return Err(FileError::whole(path, "something that is not a file", "a regular file").into());
        }
        let lock = File::open(directory_of(&actual)).map_err(unreadable)?;
        lock.lock().map_err(unreadable)?;
        let content = Zeroizing::new(fs::read(&actual).map_err(unreadable)?);
        let replaces = Replaced { mode: found.mode() & 0o7777, owner: found.uid(), group: found.gid() };
        Ok(Self { path: actual, content, replaces: Some(replaces), is_scram: false, _lock: Some(lock) })
    }

    /// The same file, as one of SCRAM users.
    ///
    /// # Errors
    /// The first mistake in it, before anybody types a password.
    pub fn into_scram(mut self) -> Result<Self, EditError> {
        self.is_scram = true;
        self.check()?;
        Ok(self)
    }

    /// Gives a user a new password: in the user's line, or in a new line at the end.
    pub fn set(&mut self, user: &str, password: &[u8], hashing: Hashing) -> Result<SetOutcome, EditError> {
        check_user(user)?;
        if password.is_empty() {
            return Err(EditError::EmptyPassword);
        }
        if password.contains(&0) {
            return Err(EditError::NulInPassword);
        }
        let line = new_line(user, password, hashing)?;
        self.set_line(user, &line)
    }

    /// As [`Self::set`], in a SCRAM file.
    ///
    /// # Errors
    /// As there; and names and passwords that SCRAM does not carry the same in every client.
    pub fn set_scram(
        &mut self,
        user: &str,
        password: &[u8],
        iterations: NonZeroU32,
    ) -> Result<SetOutcome, EditError> {
        check_user(user)?;
        if user.len() > SCRAM_USER_BYTES_MAX {
            return Err(EditError::UserName("is longer than 255 bytes"));
        }
        if password.is_empty() {
            return Err(EditError::EmptyPassword);
        }
        if !ScramCredential::is_preparable(password) {
            return Err(EditError::NotPreparable);
        }
        let entry = ScramCredential::create(password, iterations).map_err(EditError::Random)?;
        self.set_line(user, &format!("{user}:{entry}"))
    }

    /// Puts the line in the user's place, or at the end.
    fn set_line(&mut self, user: &str, line: &str) -> Result<SetOutcome, EditError> {
        let mut outcome = SetOutcome::Added;
        self.rewrite(|_, old| match old.user() {
            Some(found) if found == user && outcome == SetOutcome::Added => {
                outcome = SetOutcome::Updated;
                Ok(Line::Replaced(line.to_owned()))
            }
            _ => Ok(Line::Kept),
        })?;
        if outcome == SetOutcome::Added {
            if self.content.last().is_some_and(|byte| *byte != b'\n') {
                self.content.push(b'\n');
            }
            self.content.extend_from_slice(line.as_bytes());
            self.content.push(b'\n');
        }
        Ok(outcome)
    }

    /// Removes every line of a user.
    pub fn delete(&mut self, user: &str) -> Result<(), EditError> {
        let mut found = false;
        self.rewrite(|_, old| {
            let same = old.user() == Some(user);
            found |= same;
            Ok(if same { Line::Removed } else { Line::Kept })
        })?;
        if found {
            Ok(())
        } else {
            Err(EditError::UnknownUser { path: self.path.clone(), user: user.into() })
        }
    }

    /// Hashes the lines whose password is plain text, on all cores, and returns how many there were. Lines that have a hash
    /// stay as they are; a damaged hash is an error, not a password.
    pub fn upgrade(&mut self, hashing: Hashing) -> Result<usize, EditError> {
        let plain = self.plain_text()?;
        let hashed = hash_all(&plain, hashing)?;
        let count = hashed.len();
        let mut hashed = plain.iter().map(|plain| plain.line).zip(hashed).peekable();
        self.rewrite(|number, _| match hashed.next_if(|(line, _)| *line == number) {
            Some((_, new)) => Ok(Line::Replaced(new)),
            None => Ok(Line::Kept),
        })?;
        Ok(count)
    }

    /// The records whose password is not hashed, in the order of the file.
    fn plain_text(&mut self) -> Result<Vec<PlainText>, EditError> {
        let path = self.path.clone();
        let mut found = Vec::new();
        self.rewrite(|number, old| {
            let Some((user, password)) = old.record() else { return Ok(Line::Kept) };
            let expected = "`USER:HASH` or `USER:PASSWORD`";
            if user.is_empty() || password.is_empty() {
                return Err(FileError::at(&path, number, "no user name or no password", expected).into());
            }
            if password.contains(&0) {
                return Err(FileError::at(&path, number, "a NUL byte in a password", expected).into());
            }
            // Passwords are bytes: those of old systems need not be UTF-8.
            let text = str::from_utf8(password).map_err(|_| HashError::PlainText);
            match text.and_then(PasswordHash::parse) {
                Ok(_) => {}
                Err(HashError::PlainText) => {
                    let password = Zeroizing::new(password.to_owned());
                    found.push(PlainText { line: number, user: user.to_owned(), password });
                }
                Err(error) => return Err(FileError::at(&path, number, error, expected).into()),
            }
            Ok(Line::Kept)
        })?;
        Ok(found)
    }

    /// The content that [`Self::save`] would write.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Writes the file: a temporary file beside it, flushed to the disk, then renamed over it. The mode is kept, and the
    /// owner where the system allows it; a new file is readable by its owner only. Refuses to write what the broker would
    /// not load.
    pub fn save(self) -> Result<(), EditError> {
        self.check()?;
        self.write().map_err(|error| EditError::Write { path: self.path.clone(), error })
    }

    /// That the broker would take the file.
    fn check(&self) -> Result<(), FileError> {
        if self.is_scram {
            ScramFile::parse(&self.path, &self.content).map(drop)
        } else {
            PasswordFile::parse(&self.path, &self.content).map(drop)
        }
    }

    fn write(&self) -> io::Result<()> {
        let directory = directory_of(&self.path);
        let (temporary, file) = create_temporary(directory, &self.path)?;
        let written = self.fill(file).and_then(|()| match self.replaces {
            Some(_) => fs::rename(&temporary, &self.path),
            // Unlike rename, a link never replaces a file that came into being meanwhile.
            None => match fs::hard_link(&temporary, &self.path) {
                Ok(()) => fs::remove_file(&temporary),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                // Some file systems have no links.
                Err(_) => fs::rename(&temporary, &self.path),
            },
        });
        if let Err(error) = written {
            // The first error is the one to tell; a leftover is only untidy.
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        File::open(directory)?.sync_all()
    }

    fn fill(&self, mut file: File) -> io::Result<()> {
        if let Some(replaced) = self.replaces {
            let found = file.metadata()?;
            if (found.uid(), found.gid()) != (replaced.owner, replaced.group) {
                // Only root may give files away. Without that right the file belongs to who changed it.
                match std::os::unix::fs::fchown(&file, Some(replaced.owner), Some(replaced.group)) {
                    Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                    _ => {}
                }
            }
            file.set_permissions(Permissions::from_mode(replaced.mode))?;
        }
        file.write_all(&self.content)?;
        file.sync_all()
    }

    /// Passes every line, with its number, and puts it together again as the callback says. All or nothing.
    fn rewrite(
        &mut self,
        mut edit: impl FnMut(u32, OldLine<'_>) -> Result<Line, EditError>,
    ) -> Result<(), EditError> {
        let mut content = Zeroizing::new(Vec::with_capacity(self.content.len()));
        for (number, line) in (1..).zip(self.content.split_inclusive(|byte| *byte == b'\n')) {
            let (text, end) = match line.strip_suffix(b"\n") {
                Some(text) => (text, &b"\n"[..]),
                None => (line, &[][..]),
            };
            let (text, end) = match text.strip_suffix(b"\r") {
                Some(text) => (text, [b"\r", end].concat()),
                None => (text, end.to_vec()),
            };
            match edit(number, OldLine(text))? {
                Line::Kept => content.extend_from_slice(line),
                Line::Replaced(new) => {
                    content.extend_from_slice(new.as_bytes());
                    // Like mosquitto_passwd, which ends the last line too.
                    content.extend_from_slice(if end.is_empty() { b"\n" } else { &end });
                }
                Line::Removed => {}
            }
        }
        self.content = content;
        Ok(())
    }
}

impl fmt::Debug for PasswordEditor {
    /// Without the content, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordEditor").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What becomes of a line.
enum Line {
    Kept,
    Replaced(String),
    Removed,
}

/// A line as it is, without its end.
struct OldLine<'a>(&'a [u8]);

impl<'a> OldLine<'a> {
    /// Trimmed as the broker trims. `None` for what is not a record, or has a user name that is not text.
    fn record(&self) -> Option<(&'a str, &'a [u8])> {
        let (_, password) = split_record(self.0)?;
        let is_white = |byte: &u8| WHITE_SPACE.contains(&char::from(*byte));
        let mut password = password.unwrap_or_default();
        while let [first, rest @ ..] = password
            && is_white(first)
        {
            password = rest;
        }
        while let [rest @ .., last] = password
            && is_white(last)
        {
            password = rest;
        }
        Some((self.user()?, password))
    }

    fn user(&self) -> Option<&'a str> {
        let (user, _) = split_record(self.0)?;
        Some(str::from_utf8(user).ok()?.trim_matches(WHITE_SPACE))
    }
}

/// Refuses names that the broker would not find again, and those that `mosquitto_passwd` refuses.
fn check_user(user: &str) -> Result<(), EditError> {
    let problem = if user.is_empty() {
        "is empty, and an empty name counts as none"
    } else if user.len() > USER_BYTES_MAX {
        "is longer than 65535 bytes"
    } else if user.contains(':') {
        "must not contain the character ':'"
    } else if user.contains(char::is_control) {
        "must not contain control characters"
    } else if user.starts_with('#') {
        "must not begin with '#': the line would be a comment"
    } else if user.trim_matches(WHITE_SPACE) != user {
        "must not begin or end with a space: the broker would trim it"
    } else {
        return Ok(());
    };
    Err(EditError::UserName(problem))
}

/// A record whose password is not hashed.
struct PlainText {
    line: u32,
    user: String,
    password: Zeroizing<Vec<u8>>,
}

/// The new lines, in the same order. A hash takes a tenth of a second: all cores share them.
fn hash_all(plain: &[PlainText], hashing: Hashing) -> Result<Vec<String>, EditError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = plain.len().div_ceil(threads).max(1);
    let hash = |part: &[PlainText]| -> Result<Vec<String>, EditError> {
        part.iter().map(|plain| new_line(&plain.user, &plain.password, hashing)).collect()
    };
    std::thread::scope(|scope| {
        let parts = plain.chunks(share).map(|part| scope.spawn(move || hash(part))).collect::<Vec<_>>();
        let mut lines = Vec::with_capacity(plain.len());
        for part in parts {
            lines.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(lines)
    })
}

fn new_line(user: &str, password: &[u8], hashing: Hashing) -> Result<String, EditError> {
    let hash = PasswordHash::create(password, hashing).map_err(EditError::Random)?;
    Ok(format!("{user}:{hash}"))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A new file of its own in the directory, readable by its owner only.
fn create_temporary(directory: &Path, target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..TEMPORARY_NAMES_MAX {
        let unique = getrandom::u64()?;
        let path = directory.join(format!(".{name}.{unique:016x}.tmp"));
        match OpenOptions::new().write(true).create_new(true).mode(MODE_NEW).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;

//! Users and their password hashes, in the file format of mosquitto 2.1.
//!
//! ```text
//! # a comment, only where '#' is the first byte of the line
//! alice:$7$210000$...$...
//! ```
//!
//! A line without `:` is ignored. Leading `:` are skipped, user and hash are trimmed of white space, and whatever
//! follows a further `:` is ignored. Like mosquitto 2.1, and unlike 2.0, one bad record refuses the whole file: better
//! no start than a user who silently cannot log in. Unlike 2.1, symbolic links are followed (Kubernetes mounts secrets as
//! links), and a NUL byte refuses the file instead of hiding the line.

use std::{hash::BuildHasher as _, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use foldhash::{HashMap, quality::RandomState};

use super::hash::{EXPECTED_HASH, HashError, PasswordHash};
use crate::{exposure, file_error::FileError};

/// The longest user name of a CONNECT packet, in bytes.
pub const USER_BYTES_MAX: usize = 65_535;

/// What C's `isspace` takes as white space.
pub(super) const WHITE_SPACE: [char; 6] = [' ', '\t', '\n', '\x0b', '\x0c', '\r'];

/// The permission bit for everybody who is neither owner nor in the group.
const MODE_READ_BY_OTHERS: u32 = 0o004;

/// The users of one password file.
#[derive(Debug, Default)]
pub struct PasswordFile {
    records: Vec<Record>,
    positions: HashMap<Arc<str>, usize>,
    decoys: RandomState,
}

#[derive(Debug)]
struct Record {
    user: Arc<str>,
    hash: PasswordHash,
}

impl PasswordFile {
    /// Reads and parses a file. Symbolic links are followed; what is found must be a regular file. Warns, as mosquitto 2.1
    /// does, if everybody on the machine may read the hashes.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, read_secrets(path)?)
    }

    /// Parses the content of a file; `path` is only for messages.
    pub fn parse(path: &Path, content: impl AsRef<[u8]>) -> Result<Self, FileError> {
        let mut file = Self::default();
        for (number, line) in (1..).zip(content.as_ref().split(|byte| *byte == b'\n')) {
            match parse_line(line) {
                Ok(None) => {}
                Ok(Some((user, hash))) => {
                    if file.positions.contains_key(user) {
                        let found = format_args!("a second record of user `{user}`");
                        return Err(FileError::at(path, number, found, "one record for each user"));
                    }
                    file.insert(user.into(), hash);
                }
                Err((found, expected)) => return Err(FileError::at(path, number, found, expected)),
            }
        }
        Ok(file)
    }

    /// Whether the user exists and this is the password. An unknown user costs one hash of a known user's kind, always
    /// the same one for the same name, so the time tells nothing about who exists.
    pub fn verify(&self, user: &str, password: &[u8]) -> bool {
        match self.find(user) {
            Some((_, hash)) => hash.verify(password),
            None => {
                // The result is not used, but it must be computed.
                std::hint::black_box(self.decoy(user).is_some_and(|hash| hash.verify(password)));
                false
            }
        }
    }

    /// The shared name and the hash of a user. Exact and case-sensitive.
    pub fn find(&self, user: &str) -> Option<(&Arc<str>, &PasswordHash)> {
        let record = self.records.get(*self.positions.get(user)?)?;
        Some((&record.user, &record.hash))
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// An empty file lets nobody in.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The names, in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.records.iter().map(|record| &*record.user)
    }

    fn insert(&mut self, user: Arc<str>, hash: PasswordHash) {
        self.positions.insert(user.clone(), self.records.len());
        self.records.push(Record { user, hash });
    }

    /// The hash that an unknown user is measured against.
    pub(super) fn decoy(&self, user: &str) -> Option<&PasswordHash> {
        let count = u64::try_from(self.records.len()).ok()?;
        let position = self.decoys.hash_one(user).checked_rem(count)?;
        self.records.get(usize::try_from(position).ok()?).map(|record| &record.hash)
    }
}

/// Reads a file that a user of the broker wrote, and nothing that is not a file.
pub(super) fn read_regular_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::unreadable(path, &error);
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::whole(path, "something that is not a file", "a regular file"));
    }
    std::fs::read(path).map_err(unreadable)
}

/// As [`read_regular_file`], with the warning that mosquitto 2.1 gives if everybody on the machine may read it.
pub(super) fn read_secrets(path: &Path) -> Result<Vec<u8>, FileError> {
    let content = read_regular_file(path)?;
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & MODE_READ_BY_OTHERS != 0) {
        let remedy = exposure::remedy(path);
        tracing::warn!("{}: is readable by every user of this machine: {remedy}", path.display());
    }
    Ok(content)
}

/// As [`EXPECTED_HASH`], where the password itself stands.
const EXPECTED_HASHED: &str = "a hash such as `$7$ITERATIONS$SALT$HASH`: `gaugeline passwd -U FILE` hashes all passwords of a file in place";

/// Found and expected.
type LineError = (String, &'static str);

/// The record of a line; `None` for a comment or a line without a record.
fn parse_line(line: &[u8]) -> Result<Option<(&str, PasswordHash)>, LineError> {
    let Some((user, hash)) = split_record(line) else { return Ok(None) };
    if line.contains(&0) {
        return Err(("a NUL byte".into(), "text"));
    }
    let user = str::from_utf8(user).map_err(|_| ("a user name that is not UTF-8".into(), "UTF-8"))?;
    let user = user.trim_matches(WHITE_SPACE);
    if user.is_empty() {
        return Err(("an empty user name".into(), "`USER:HASH`"));
    }
    if user.len() > USER_BYTES_MAX {
        return Err(("a user name of more than 65535 bytes".into(), "a shorter name"));
    }
    let hash = hash.and_then(|hash| str::from_utf8(hash).ok()).map(|hash| hash.trim_matches(WHITE_SPACE));
    match hash {
        None | Some("") => Err((format!("no password for user `{user}`"), EXPECTED_HASH)),
        Some(hash) => match PasswordHash::parse(hash) {
            Ok(hash) => Ok(Some((user, hash))),
            Err(error @ HashError::PlainText) => Err((format!("{error} for user `{user}`"), EXPECTED_HASHED)),
            Err(error) => Err((format!("{error} for user `{user}`"), EXPECTED_HASH)),
        },
    }
}

/// Splits a line as mosquitto does with `strtok`: runs of `:` are one separator, a leading run is skipped. `None` for a
/// comment and for a line without `:`.
pub(super) fn split_record(line: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if line.first() == Some(&b'#') || !line.contains(&b':') {
        return None;
    }
    let mut fields = line.split(|byte| *byte == b':').filter(|field| !field.is_empty());
    Some((fields.next().unwrap_or_default(), fields.next()))
}

#[cfg(test)]
mod tests;

//! The users who log in with SCRAM, in a file of its own.
//!
//! ```text
//! # a comment, only where '#' is the first byte of the line
//! alice:SCRAM-SHA-256$15000:...$...:...
//! ```
//!
//! Lines of white space are ignored. One bad record refuses the whole file, as for password files.

use std::{num::NonZeroU32, path::Path, sync::Arc};

use foldhash::{HashMap, HashMapExt as _};

use super::credential::{
    EXPECTED_ENTRY, ITERATIONS_DEFAULT, Key, SALT_BYTES_MAX, ScramCredential, keyed_hash,
};
use crate::{
    auth::password_file::{WHITE_SPACE, read_secrets},
    file_error::FileError,
};

/// The longest name of a user who logs in with SCRAM, in bytes: it must fit into a message of bounded size.
pub const SCRAM_USER_BYTES_MAX: usize = 255;

/// The length of a salt that an unknown user gets if there is no known one.
const SALT_BYTES_DEFAULT: usize = 16;

/// The users of one file.
#[derive(Debug)]
pub struct ScramFile {
    entries: HashMap<Arc<str>, ScramCredential>,
    /// In the order of the file.
    users: Vec<Arc<str>>,
    decoys: Decoys,
}

impl ScramFile {
    /// Reads and parses a file, as password files are read. Warns if everybody on the machine may read it.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, read_secrets(path)?)
    }

    /// Parses the content of a file; `path` is only for messages.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn parse(path: &Path, content: impl AsRef<[u8]>) -> Result<Self, FileError> {
        let (mut entries, mut users) = (HashMap::new(), Vec::new());
        for (number, line) in (1..).zip(content.as_ref().split(|byte| *byte == b'\n')) {
            let fault = |(found, expected): (String, &str)| FileError::at(path, number, found, expected);
            let Some((user, entry)) = parse_line(line).map_err(fault)? else { continue };
            let user: Arc<str> = user.into();
            if entries.insert(Arc::clone(&user), entry).is_some() {
                let found = format!("a second record of user `{user}`");
                return Err(fault((found, "one record for each user")));
            }
            users.push(user);
        }
        let decoys = Decoys::like(&users, &entries);
        Ok(Self { entries, users, decoys })
    }

    /// The shared name and the entry of a user. Exact and case-sensitive.
    pub fn find(&self, user: &str) -> Option<(&Arc<str>, &ScramCredential)> {
        self.entries.get_key_value(user)
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// An empty file lets nobody in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The names, in the order of the file.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|user| &**user)
    }

    /// The entry that an unknown user is measured against: always the same one for the same name. Nobody knows its
    /// password.
    pub fn decoy(&self, user: &str) -> ScramCredential {
        self.decoys.entry(user)
    }
}

/// How entries for unknown users are made.
///
/// Their salts must survive a restart, or two tries would tell who exists: so the key comes from the file, from its first
/// record. It changes when that user gets another password. Cost and length of the salt are the most frequent ones; a
/// user whose entry has others can be told from an unknown one.
struct Decoys {
    key: Key,
    iterations: NonZeroU32,
    salt_bytes: usize,
}

impl Decoys {
    fn like(users: &[Arc<str>], entries: &HashMap<Arc<str>, ScramCredential>) -> Self {
        let mut kinds = HashMap::<_, usize>::new();
        for entry in entries.values() {
            *kinds.entry((entry.iterations, entry.salt.len())).or_default() += 1;
        }
        let most = kinds.into_iter().max_by_key(|(kind, count)| (*count, *kind));
        let (iterations, salt_bytes) =
            most.map_or((ITERATIONS_DEFAULT, SALT_BYTES_DEFAULT), |(kind, _)| kind);
        let first = users.first().and_then(|user| entries.get(user));
        let key = first.map(|entry| keyed_hash(&entry.server_key, &[b"unknown users", &entry.salt]));
        // Without a record there is nobody to tell from others.
        Self { key: key.unwrap_or_default(), iterations, salt_bytes }
    }

    fn entry(&self, user: &str) -> ScramCredential {
        let derived = |what: &[u8]| keyed_hash(&self.key, &[what, user.as_bytes()]);
        let mut salt = [derived(b"salt, begin:"), derived(b"salt, rest:")].concat();
        salt.truncate(self.salt_bytes.min(SALT_BYTES_MAX));
        ScramCredential {
            iterations: self.iterations,
            salt: salt.into(),
            stored_key: derived(b"stored:"),
            server_key: derived(b"server:"),
        }
    }
}

impl std::fmt::Debug for Decoys {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The record of a line; `None` for a comment or an empty line. The error is what was found and what was expected.
fn parse_line(line: &[u8]) -> Result<Option<(&str, ScramCredential)>, (String, &'static str)> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    let text = str::from_utf8(line).map_err(|_| ("a line that is not UTF-8".to_owned(), "UTF-8"))?;
    if text.contains('\0') {
        return Err(("a NUL byte".into(), "text"));
    }
    let text = text.trim_matches(WHITE_SPACE);
    if text.is_empty() {
        return Ok(None);
    }
    let (user, entry) =
        text.split_once(':').ok_or_else(|| ("a line without `:`".to_owned(), EXPECTED_ENTRY))?;
    let user = user.trim_matches(WHITE_SPACE);
    if user.is_empty() {
        return Err(("an empty user name".into(), EXPECTED_ENTRY));
    }
    if user.len() > SCRAM_USER_BYTES_MAX {
        return Err(("a user name of more than 255 bytes".into(), "a shorter name"));
    }
    match ScramCredential::parse(entry.trim_matches(WHITE_SPACE)) {
        Ok(entry) => Ok(Some((user, entry))),
        Err(error) => Err((format!("{error} for user `{user}`"), EXPECTED_ENTRY)),
    }
}

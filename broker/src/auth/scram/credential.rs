//! What is kept of a password for SCRAM-SHA-256, in the notation of PostgreSQL.
//!
//! ```text
//! SCRAM-SHA-256$<iterations>:<base64 salt>$<base64 StoredKey>:<base64 ServerKey>
//! ```
//!
//! Whoever reads an entry can guess at its password, and can play the broker towards its user, but cannot log in.

use std::{fmt, num::NonZeroU32};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use pbkdf2::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::METHOD;
use crate::auth::hash::ITERATIONS_MAX;

/// The fewest iterations that are accepted: RFC 7677, section 4.
pub const ITERATIONS_MIN: u32 = 4096;

/// Iterations of new entries. The client computes them at each login, and a sensor must afford that: the number is the
/// rule of thumb of RFC 7677, section 4, a second or so for a small microcontroller, and not the several hundred thousand
/// that are advised where a server does the work. Passwords for SCRAM should therefore be long and random.
pub const ITERATIONS_DEFAULT: NonZeroU32 = NonZeroU32::new(15_000).unwrap();

/// Bytes of every key: the output of SHA-256.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a new salt, as PostgreSQL has them.
const SALT_BYTES: usize = 16;
/// Bytes of a salt from a file: what no known program exceeds.
pub(super) const SALT_BYTES_MAX: usize = 64;
/// Bytes that SHA-256 takes at once: the length to which HMAC fills up a key.
const BLOCK_BYTES: usize = 64;

/// The output of SHA-256.
pub(super) type Key = [u8; KEY_BYTES];

/// One user's entry.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    pub(super) iterations: NonZeroU32,
    pub(super) salt: Box<[u8]>,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

/// Why a text is not an entry. `Display` completes the sentence "found ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum EntryError {
    #[error("no `SCRAM-SHA-256$` at the beginning of the entry")]
    Method,
    #[error("an incomplete entry")]
    Incomplete,
    #[error("an iteration count that is not a number from 4096 to 10000000")]
    Iterations,
    #[error("a salt that is not base64 of 1 to 64 bytes")]
    Salt,
    #[error("a key that is not base64 of 32 bytes")]
    Key,
}

/// What a file must have instead of what [`EntryError`] found.
pub const EXPECTED_ENTRY: &str =
    "`USER:SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, as written by `gaugeline passwd --scram`";

impl ScramCredential {
    /// Reads the notation above.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        let rest = text.strip_prefix(METHOD).and_then(|rest| rest.strip_prefix('$'));
        let rest = rest.ok_or(EntryError::Method)?;
        let (cost, keys) = rest.split_once('$').ok_or(EntryError::Incomplete)?;
        let (iterations, salt) = cost.split_once(':').ok_or(EntryError::Incomplete)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(EntryError::Incomplete)?;
        let is_number = iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations =
            iterations.parse::<NonZeroU32>().ok().filter(|count| is_number && is_allowed(*count));
        let salt = BASE64.decode(salt).ok().filter(|salt| (1..=SALT_BYTES_MAX).contains(&salt.len()));
        Ok(Self {
            iterations: iterations.ok_or(EntryError::Iterations)?,
            salt: salt.ok_or(EntryError::Salt)?.into(),
            stored_key: parse_key(stored_key)?,
            server_key: parse_key(server_key)?,
        })
    }

    /// The entry for a new password, with a fresh salt. The password must be printable ASCII, see
    /// [`Self::is_preparable`].
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn create(password: &[u8], iterations: NonZeroU32) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::derive(password, &salt, iterations))
    }

    /// Whether a password is the same in every client: others than printable ASCII pass through SASLprep [RFC 4013],
    /// which many clients leave out.
    pub fn is_preparable(password: &[u8]) -> bool {
        password.iter().all(|byte| (b' '..=b'~').contains(byte))
    }

    /// Whether this many iterations are taken from a file, and so may be written to one.
    pub fn allows_iterations(iterations: NonZeroU32) -> bool {
        is_allowed(iterations)
    }

    /// RFC 5802, section 3.
    pub(super) fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = Zeroizing::new([0; KEY_BYTES]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations.get(), &mut *salted);
        let client_key = Zeroizing::new(keyed_hash(&salted, &[b"Client Key"]));
        Self {
            iterations,
            salt: salt.into(),
            stored_key: hash(&*client_key),
            server_key: keyed_hash(&salted, &[b"Server Key"]),
        }
    }

    /// Whether whoever sent this proof knows the password.
    pub(super) fn is_proven(&self, auth_message: &str, proof: &Key) -> bool {
        let signature = keyed_hash(&self.stored_key, &[auth_message.as_bytes()]);
        let mut client_key = Zeroizing::new(*proof);
        client_key.iter_mut().zip(signature).for_each(|(byte, signed)| *byte ^= signed);
        hash(&*client_key).ct_eq(&self.stored_key).into()
    }

    /// What shows the client that the broker knows the entry.
    pub(super) fn server_signature(&self, auth_message: &str) -> Key {
        keyed_hash(&self.server_key, &[auth_message.as_bytes()])
    }
}

fn is_allowed(iterations: NonZeroU32) -> bool {
    (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations.get())
}

fn parse_key(text: &str) -> Result<Key, EntryError> {
    BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(EntryError::Key)
}

fn hash(bytes: &[u8]) -> Key {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 over the parts, one behind the other.
pub(super) fn keyed_hash(key: &Key, parts: &[&[u8]]) -> Key {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    block.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    let mut keyed = Hmac::<Sha256>::new(&(*block).into());
    parts.iter().for_each(|part| keyed.update(part));
    keyed.finalize().into_bytes().into()
}

impl fmt::Display for ScramCredential {
    /// The notation that [`ScramCredential::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, iterations) = (BASE64.encode(&self.salt), self.iterations);
        let (stored, server) = (BASE64.encode(self.stored_key), BASE64.encode(self.server_key));
        write!(f, "{METHOD}${iterations}:{salt}${stored}:{server}")
    }
}

impl fmt::Debug for ScramCredential {
    /// Without salt and keys: logs are not a place for them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

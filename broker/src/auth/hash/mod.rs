//! Password hashes in mosquitto's notation: `$6$`, `$7$` and `$argon2id$`.
//!
//! ```text
//! $6$<base64 salt>$<base64 hash>                one SHA-512 over password and salt
//! $7$<iterations>$<base64 salt>$<base64 hash>   PBKDF2-HMAC-SHA512, 64 bytes
//! $argon2id$v=19$m=47104,t=1,p=1$<salt>$<hash>  the text of libargon2, see `argon2id.rs`
//! ```
//!
//! Base64 is the standard alphabet, with padding in `$6$` and `$7$`, and white space in it is ignored; their salts have 12
//! bytes (mosquitto up to 2.0) or 64 (2.1). A run of `$` counts as one, and anything after a further one is ignored.

mod argon2id;

use std::{fmt, num::NonZeroU32};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use self::argon2id::Cost;

/// Bytes of every `$6$` and `$7$` hash: the output of SHA-512.
pub const HASH_BYTES: usize = 64;

/// PBKDF2 iterations of new hashes: what OWASP's Password Storage Cheat Sheet asks for with HMAC-SHA512, because a
/// password that a person chose needs it. One hash then costs about a tenth of a second of one core.
pub const ITERATIONS_DEFAULT: NonZeroU32 = NonZeroU32::new(210_000).unwrap();

/// PBKDF2 iterations for passwords that a machine drew with at least 128 random bits: guessing those is hopeless at any
/// cost per guess, so only the work of a reconnecting fleet counts. The same number as mosquitto 2.1 writes.
pub const ITERATIONS_RANDOM_PASSWORD: NonZeroU32 = NonZeroU32::new(1_000).unwrap();

/// The most iterations that are accepted from a file: some seconds of one core for each login. More is a typing error
/// that would stop all logins.
pub const ITERATIONS_MAX: u32 = 10_000_000;

/// OpenSSL, which mosquitto decodes with, ignores the unused bits of the last character, so they are ignored here.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// How a new hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashing {
    /// `$6$`, which every mosquitto since 0.15 reads. One SHA-512: weak, for passwords that a machine drew.
    Sha512(SaltLength),
    /// `$7$`, which mosquitto reads since 2.0.
    Pbkdf2(NonZeroU32, SaltLength),
    /// `$argon2id$` with the cost and the lengths of mosquitto 2.1, whose builds read it only if they have the library.
    Argon2id,
}

impl Default for Hashing {
    /// What all mosquittos since 2.0 read, at the cost that a password chosen by a person needs.
    fn default() -> Self {
        Self::Pbkdf2(ITERATIONS_DEFAULT, SaltLength::default())
    }
}

/// How long the salt of a new hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaltLength {
    /// 12 bytes, which every mosquitto reads.
    #[default]
    Twelve,
    /// 64 bytes, which mosquitto writes since 2.1 and reads since 2.1.
    SixtyFour,
}

impl SaltLength {
    /// The length in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Twelve => 12,
            Self::SixtyFour => 64,
        }
    }
}

/// A salted hash of one password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: Algorithm,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// `$6$`
    Sha512,
    /// `$7$`
    Pbkdf2(NonZeroU32),
    /// `$argon2id$`
    Argon2id(Cost),
}

/// Why a text is not a password hash. `Display` completes the sentence "found ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum HashError {
    #[error("a password that is not hashed")]
    PlainText,
    #[error("a damaged argon2id hash")]
    Argon2id,
    #[error("an argon2id hash that costs more than 1 GiB of memory, or passes over 8 GiB, for each login")]
    Argon2idCost,
    #[error("a hash of an unknown kind")]
    UnknownKind,
    #[error("an incomplete hash")]
    Incomplete,
    #[error("an iteration count that is not a number from 1 to 10000000")]
    Iterations,
    #[error("a salt that is not base64 of 12 or 64 bytes")]
    Salt,
    #[error("a hash that is not base64 of 64 bytes")]
    Hash,
}

/// What a password file must have instead of what [`HashError`] found.
pub const EXPECTED_HASH: &str =
    "a hash such as `$7$ITERATIONS$SALT$HASH`, as written by `gaugeline passwd` or `mosquitto_passwd`";

impl PasswordHash {
    /// Reads the notation above.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let (kind, rest) =
            text.strip_prefix('$').and_then(|text| text.split_once('$')).ok_or(HashError::PlainText)?;
        // mosquitto splits with strtok: empty fields do not exist.
        let mut fields = rest.split('$').filter(|field| !field.is_empty());
        let algorithm = match kind {
            "6" => Algorithm::Sha512,
            "7" => Algorithm::Pbkdf2(parse_iterations(fields.next().ok_or(HashError::Incomplete)?)?),
            "argon2id" => return argon2id::parse(text),
            _ => return Err(HashError::UnknownKind),
        };
        let salt = fields.next().ok_or(HashError::Incomplete)?;
        let hash = fields.next().ok_or(HashError::Incomplete)?;
        let salt = decode(salt).ok_or(HashError::Salt)?;
        if ![SaltLength::Twelve, SaltLength::SixtyFour].iter().any(|length| length.bytes() == salt.len()) {
            return Err(HashError::Salt);
        }
        let hash = decode(hash).ok_or(HashError::Hash)?;
        if hash.len() != HASH_BYTES {
            return Err(HashError::Hash);
        }
        Ok(Self { algorithm, salt: salt.into(), hash: hash.into() })
    }

    /// Hashes a new password with a fresh salt. The password ends at its first NUL byte, as it does when it is compared.
    /// Fails only if the system has no random numbers.
    pub fn create(password: &[u8], hashing: Hashing) -> Result<Self, getrandom::Error> {
        let (algorithm, salt_bytes, hash_bytes) = match hashing {
            Hashing::Sha512(salt) => (Algorithm::Sha512, salt.bytes(), HASH_BYTES),
            Hashing::Pbkdf2(iterations, salt) => (Algorithm::Pbkdf2(iterations), salt.bytes(), HASH_BYTES),
            Hashing::Argon2id => (Algorithm::Argon2id(Cost::NEW), argon2id::SALT_BYTES, argon2id::HASH_BYTES),
        };
        let mut salt = vec![0; salt_bytes];
        getrandom::fill(&mut salt)?;
        let hash = algorithm.digest(until_nul(password), &salt, hash_bytes);
        Ok(Self { algorithm, salt: salt.into(), hash })
    }

    /// Whether this is the password, in a time that depends on neither. Like mosquitto, compares up to the first NUL byte
    /// and never accepts an empty password.
    pub fn verify(&self, password: &[u8]) -> bool {
        let password = until_nul(password);
        let same: bool =
            self.algorithm.digest(password, &self.salt, self.hash.len()).ct_eq(&self.hash).into();
        same && !password.is_empty()
    }

    /// Salt and digest: tell two hashes apart without their text.
    pub(super) fn parts(&self) -> [&[u8]; 2] {
        [&self.salt, &self.hash]
    }
}

/// Where mosquitto's C strings end.
pub(super) fn until_nul(password: &[u8]) -> &[u8] {
    password.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// As OpenSSL's `EVP_DecodeUpdate`, which mosquitto 2.1 decodes with; but `-` does not end the text.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.replace([' ', '\t', '\r'], "")).ok()
}

/// As C's `atoi`: leading white space and a sign are skipped, whatever follows the digits is ignored.
fn parse_iterations(text: &str) -> Result<NonZeroU32, HashError> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let iterations = digits.parse::<NonZeroU32>().map_err(|_| HashError::Iterations)?;
    if iterations.get() > ITERATIONS_MAX { Err(HashError::Iterations) } else { Ok(iterations) }
}

impl Algorithm {
    fn digest(self, password: &[u8], salt: &[u8], bytes: usize) -> Box<[u8]> {
        match self {
            Self::Sha512 => {
                let digest = Sha512::new().chain_update(password).chain_update(salt).finalize();
                digest.as_slice().into()
            }
            Self::Pbkdf2(iterations) => {
                let mut digest = vec![0; bytes];
                pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations.get(), &mut digest);
                digest.into()
            }
            Self::Argon2id(cost) => cost.digest(password, salt, bytes),
        }
    }
}

impl fmt::Display for PasswordHash {
    /// The notation that [`PasswordHash::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            Algorithm::Sha512 => f.write_str("$6")?,
            Algorithm::Pbkdf2(iterations) => write!(f, "$7${iterations}")?,
            Algorithm::Argon2id(cost) => return argon2id::write(f, cost, &self.salt, &self.hash),
        }
        write!(f, "${}${}", BASE64.encode(&self.salt), BASE64.encode(&self.hash))
    }
}

impl fmt::Debug for PasswordHash {
    /// Without salt and hash: logs are not a place for them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

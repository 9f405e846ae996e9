//! Argon2id hashes in the notation of libargon2, which mosquitto 2.1 reads and writes where it is built with it.
//!
//! ```text
//! $argon2id$v=19$m=47104,t=1,p=1$<base64 salt>$<base64 hash>
//! ```
//!
//! `m` is the memory in KiB, `t` the passes over it, `p` the lanes. Base64 is the standard alphabet without padding.
//! Without `v=19` it is the first version of Argon2. mosquitto looks at such a line when its user logs in; here a damaged
//! one is found when the file is read.

use std::fmt;

use argon2::{Argon2, Params, Version};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Algorithm, HashError, PasswordHash};

/// Bytes of a new salt, as mosquitto 2.1 has them.
pub(super) const SALT_BYTES: usize = 64;
/// Bytes of a new hash, as mosquitto 2.1 has them.
pub(super) const HASH_BYTES: usize = 64;

/// KiB that one login may take: some logins at once must fit into the memory of a small machine.
const MEMORY_KIB_MAX: u32 = 1 << 20;
/// KiB that one login may pass over, all passes together: some seconds of one core.
const WORK_KIB_MAX: u64 = 8 << 20;
/// Bytes of salt and hash. libargon2 allows 4 GiB of each; a line with more than this is damaged.
const FIELD_BYTES_MAX: usize = 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// What one hash costs. Only values that [`Argon2`] accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    first_version: bool,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// Of new hashes: what mosquitto 2.1 writes and OWASP's Password Storage Cheat Sheet lists.
    pub(super) const NEW: Self = Self { first_version: false, memory_kib: 47_104, passes: 1, lanes: 1 };

    /// The hash of a password. Empty, and so equal to no stored hash, if there is not enough memory.
    pub(super) fn digest(self, password: &[u8], salt: &[u8], bytes: usize) -> Box<[u8]> {
        let version = if self.first_version { Version::V0x10 } else { Version::V0x13 };
        let mut digest = vec![0; bytes];
        let done = self.params(bytes).and_then(|params| {
            Argon2::new(argon2::Algorithm::Argon2id, version, params).hash_password_into(
                password,
                salt,
                &mut digest,
            )
        });
        match done {
            Ok(()) => digest.into(),
            Err(error) => {
                tracing::error!("an argon2id hash cannot be computed: {error}");
                Box::default()
            }
        }
    }

    fn params(self, bytes: usize) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(bytes))
    }
}

/// Reads the notation above.
pub(super) fn parse(text: &str) -> Result<PasswordHash, HashError> {
    let damaged = HashError::Argon2id;
    let rest = text.strip_prefix("$argon2id$").ok_or(damaged)?;
    let (first_version, rest) = match rest.split_once('$') {
        Some(("v=19", rest)) => (false, rest),
        Some(("v=16", rest)) => (true, rest),
        _ => (true, rest),
    };
    let mut fields = rest.split('$');
    let (Some(cost), Some(salt), Some(hash), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(damaged);
    };
    let mut numbers = ["m=", "t=", "p="].iter().zip(cost.splitn(3, ',')).map(|(name, text)| {
        let digits =
            text.strip_prefix(name).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok()).ok_or(damaged)
    });
    let mut number = || numbers.next().unwrap_or(Err(damaged));
    let cost = Cost { first_version, memory_kib: number()?, passes: number()?, lanes: number()? };
    let bytes = |text: &str| BASE64.decode(text).ok().filter(|bytes| bytes.len() <= FIELD_BYTES_MAX);
    let (salt, hash) = (bytes(salt).ok_or(damaged)?, bytes(hash).ok_or(damaged)?);
    if cost.params(hash.len()).is_err() || salt.len() < argon2::MIN_SALT_LEN {
        return Err(damaged);
    }
    let work = u64::from(cost.memory_kib) * u64::from(cost.passes);
    if cost.memory_kib > MEMORY_KIB_MAX || work > WORK_KIB_MAX {
        return Err(HashError::Argon2idCost);
    }
    Ok(PasswordHash { algorithm: Algorithm::Argon2id(cost), salt: salt.into(), hash: hash.into() })
}

/// Writes the notation above.
pub(super) fn write(f: &mut fmt::Formatter<'_>, cost: Cost, salt: &[u8], hash: &[u8]) -> fmt::Result {
    let version = if cost.first_version { 16 } else { 19 };
    let Cost { memory_kib, passes, lanes, .. } = cost;
    write!(f, "$argon2id$v={version}$m={memory_kib},t={passes},p={lanes}")?;
    write!(f, "${}${}", BASE64.encode(salt), BASE64.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        let field = |bytes: usize| BASE64.encode(vec![7; bytes]);
        let (salt, hash) = (field(16), field(32));
        for (text, expected) in [
            (format!("$argon2id$v=19$m=16,t=2,p=1${salt}${hash}"), Ok(())),
            (format!("$argon2id$v=16$m=16,t=2,p=2${salt}${hash}"), Ok(())),
            (format!("$argon2id$m=16,t=2,p=1${salt}${hash}"), Ok(())),
            (format!("$argon2id$v=18$m=16,t=2,p=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=2${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$t=2,m=16,p=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=2,p=1,x=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=+16,t=2,p=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=0,p=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=7,t=1,p=1${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=3${salt}${hash}"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=1${}${hash}", field(7)), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=1${salt}${}", field(3)), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=1${salt}${hash}="), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=1${salt}${hash}$x"), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=16,t=1,p=1${salt}"), Err(HashError::Argon2id)),
            ("$argon2id$".into(), Err(HashError::Argon2id)),
            (format!("$argon2id$v=19$m=1048577,t=1,p=1${salt}${hash}"), Err(HashError::Argon2idCost)),
            (format!("$argon2id$v=19$m=1048576,t=9,p=1${salt}${hash}"), Err(HashError::Argon2idCost)),
        ] {
            assert_eq!(parse(&text).map(|_| ()), expected, "{text}");
        }
    }

    /// From the test suite of the reference implementation: `password`, `somesalt`, two passes, two versions and lanes.
    #[test]
    fn hashes_of_the_reference_implementation() {
        for text in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        ] {
            let hash = parse(text).unwrap();
            assert!(hash.verify(b"password") && !hash.verify(b"Password"), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }
}

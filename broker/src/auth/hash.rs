//! Password hashes in mosquitto's notation: `$6$` and `$7$`.
//!
//! ```text
//! $6$<base64 salt>$<base64 hash>                one SHA-512 over password and salt
//! $7$<iterations>$<base64 salt>$<base64 hash>   PBKDF2-HMAC-SHA512, 64 bytes
//! ```
//!
//! Base64 is the standard alphabet with padding; salts have 12 bytes (mosquitto up to 2.0) or 64 (2.1). Anything after
//! a further `$` is ignored. `$argon2id$` is recognised and refused: few mosquitto builds can read it either.

use std::{fmt, num::NonZeroU32};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

/// Bytes of every hash: the output of SHA-512.
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
    hash: [u8; HASH_BYTES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// `$6$`
    Sha512,
    /// `$7$`
    Pbkdf2(NonZeroU32),
}

/// Why a text is not a password hash. `Display` completes the sentence "found ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum HashError {
    #[error("a password that is not hashed")]
    PlainText,
    #[error("an argon2id hash, which this broker does not read")]
    Argon2,
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
    "`$6$SALT$HASH` or `$7$ITERATIONS$SALT$HASH` as written by `gaugeline passwd` or `mosquitto_passwd`";

impl PasswordHash {
    /// Reads the notation above.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let rest = text.strip_prefix('$').ok_or(HashError::PlainText)?;
        // mosquitto splits with strtok: empty fields do not exist.
        let mut fields = rest.split('$').filter(|field| !field.is_empty());
        let algorithm = match fields.next() {
            Some("6") => Algorithm::Sha512,
            Some("7") => Algorithm::Pbkdf2(parse_iterations(fields.next().ok_or(HashError::Incomplete)?)?),
            Some("argon2id") => return Err(HashError::Argon2),
            Some(_) if fields.next().is_some() => return Err(HashError::UnknownKind),
            _ => return Err(HashError::PlainText),
        };
        let salt = fields.next().ok_or(HashError::Incomplete)?;
        let hash = fields.next().ok_or(HashError::Incomplete)?;
        let salt = BASE64.decode(salt).map_err(|_| HashError::Salt)?;
        if ![SaltLength::Twelve, SaltLength::SixtyFour].iter().any(|length| length.bytes() == salt.len()) {
            return Err(HashError::Salt);
        }
        let hash = BASE64.decode(hash).map_err(|_| HashError::Hash)?;
        let hash = <[u8; HASH_BYTES]>::try_from(hash).map_err(|_| HashError::Hash)?;
        Ok(Self { algorithm, salt: salt.into(), hash })
    }

    /// Hashes a new password as `$7$` with a fresh salt. The password ends at its first NUL byte, as it does when it is
    /// compared. Fails only if the system has no random numbers.
    pub fn create(
        password: &[u8],
        iterations: NonZeroU32,
        salt_length: SaltLength,
    ) -> Result<Self, getrandom::Error> {
        let mut salt = vec![0; salt_length.bytes()];
        getrandom::fill(&mut salt)?;
        let algorithm = Algorithm::Pbkdf2(iterations);
        let hash = algorithm.digest(until_nul(password), &salt);
        Ok(Self { algorithm, salt: salt.into(), hash })
    }

    /// Whether this is the password, in a time that depends on neither. Like mosquitto, compares up to the first NUL byte
    /// and never accepts an empty password.
    pub fn verify(&self, password: &[u8]) -> bool {
        let password = until_nul(password);
        let same: bool = self.algorithm.digest(password, &self.salt).ct_eq(&self.hash).into();
        same && !password.is_empty()
    }

    /// The stored digest: tells two hashes apart without their text.
    pub(super) fn digest(&self) -> &[u8; HASH_BYTES] {
        &self.hash
    }
}

/// Where mosquitto's C strings end.
pub(super) fn until_nul(password: &[u8]) -> &[u8] {
    password.split(|byte| *byte == 0).next().unwrap_or_default()
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
    fn digest(self, password: &[u8], salt: &[u8]) -> [u8; HASH_BYTES] {
        match self {
            Self::Sha512 => Sha512::new().chain_update(password).chain_update(salt).finalize().into(),
            Self::Pbkdf2(iterations) => {
                pbkdf2::pbkdf2_hmac_array::<Sha512, HASH_BYTES>(password, salt, iterations.get())
            }
        }
    }
}

impl fmt::Display for PasswordHash {
    /// The notation that [`PasswordHash::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            Algorithm::Sha512 => f.write_str("$6")?,
            Algorithm::Pbkdf2(iterations) => write!(f, "$7${iterations}")?,
        }
        write!(f, "${}${}", BASE64.encode(&self.salt), BASE64.encode(self.hash))
    }
}

impl fmt::Debug for PasswordHash {
    /// Without salt and hash: logs are not a place for them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written for the password `correct horse` by mosquitto_passwd 2.0.11 and 2.1.2 with `-H sha512`, without options, and
    /// with `-I 50000`.
    const VECTORS: [&str; 5] = [
        "$6$o1BGIhDqUJTTrofw$t6/fwp+/v71WnyrnMw8ibBpazAdfFrAUL7qn8i+144nIeA1yE9XFEOljQpJ/bKvHWfCSHMjkQu1Jb3l+VLS2Cw==",
        "$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==",
        "$6$LXwd9LLScC+oevIqBJLbbWr7+MGrCBd8aE0U+y+gl0oyMxJaXbiFyRkevkICzfWn+SDt3nsjsnzBFawqevrAtA==$j1WK0fAlSwQfLi0zeySieR7biMGGumzmc0goOqcONkI0grLq4jERS29GyDcWudCK9evsxS3eRQzlHeavjbLDwg==",
        "$7$1000$AE6SP0lDPdHmRO87cPXlUzQa5HftaZYA1q/Bhmv7cWt/ufPvolMCUqnbchEOcXSKiy7K67zm73J+A/gMn8IH9w==$5iN+Qnd+1+ILLChnsFauqizN05LEDkDa2xGVi/Dr6F88SsQm3FXkmQLWQ8ULYINHozzZ5MtyOfeUXGrdQgnaeA==",
        "$7$50000$fzzhtApA4KcdGghwkVB8J0rVp6AkqxLRcfZNwEiM5v5V6ji5Qb0CtwnhkrO5uY9F0C1UXQxAQ7+kIiQYoj7Xiw==$e7yhTnKvk+cdlq8YV5uqBMPOV2MA43DqOgk4ChAFnD5nSzYtpMWxeCqiZ6SziRZPrbftLk4XA3Ft0jr25aW3CA==",
    ];

    #[test]
    fn hashes_of_real_mosquitto_tools_verify_and_round_trip() {
        for text in VECTORS {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.verify(b"correct horse"), "{text}");
            assert!(hash.verify(b"correct horse\0battery"), "{text}");
            for wrong in [&b"correct hors"[..], b"Correct horse", b"", b"\0correct horse"] {
                assert!(!hash.verify(wrong), "{text} {wrong:?}");
            }
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn new_hashes_verify() {
        for salt_length in [SaltLength::Twelve, SaltLength::SixtyFour] {
            let hash = PasswordHash::create(b"secret", ITERATIONS_RANDOM_PASSWORD, salt_length).unwrap();
            let read = PasswordHash::parse(&hash.to_string()).unwrap();
            assert!(read == hash && read.verify(b"secret") && !read.verify(b"secreT"));
        }
    }

    #[test]
    fn the_empty_password_fails_even_against_its_own_hash() {
        let hash = PasswordHash::create(b"", ITERATIONS_RANDOM_PASSWORD, SaltLength::Twelve).unwrap();
        assert!(!hash.verify(b"") && !hash.verify(b"\0"));
    }

    #[test]
    fn notation() {
        let salt = |bytes: usize| BASE64.encode(vec![7; bytes]);
        let (s12, h64) = (salt(12), salt(64));
        for (text, expected) in [
            (format!("$6${s12}${h64}"), Ok(())),
            (format!("$6${s12}${h64}$more$x"), Ok(())),
            (format!("$7$1${s12}${h64}"), Ok(())),
            (format!("$7$101x${s12}${h64}"), Ok(())),
            (format!("$7$ 101${s12}${h64}"), Ok(())),
            (format!("$7$0${s12}${h64}"), Err(HashError::Iterations)),
            (format!("$7$-1${s12}${h64}"), Err(HashError::Iterations)),
            (format!("$7$x${s12}${h64}"), Err(HashError::Iterations)),
            (format!("$7$99999999999999999999${s12}${h64}"), Err(HashError::Iterations)),
            (format!("$7$10000001${s12}${h64}"), Err(HashError::Iterations)),
            (format!("$6${}${h64}", salt(11)), Err(HashError::Salt)),
            (format!("$6${}${h64}", salt(16)), Err(HashError::Salt)),
            (format!("$6${}${h64}", salt(65)), Err(HashError::Salt)),
            (format!("$6${s12}${}", salt(32)), Err(HashError::Hash)),
            (format!("$6${s12}${}", h64.trim_end_matches('=')), Err(HashError::Hash)),
            (format!("$6${s12}"), Err(HashError::Incomplete)),
            ("$7$101".into(), Err(HashError::Incomplete)),
            ("$7$".into(), Err(HashError::Incomplete)),
            ("$5$abc$def".into(), Err(HashError::UnknownKind)),
            ("$argon2id$v=19$m=47104,t=1,p=1$abc$def".into(), Err(HashError::Argon2)),
            ("secret".into(), Err(HashError::PlainText)),
            ("$ecret".into(), Err(HashError::PlainText)),
            (String::new(), Err(HashError::PlainText)),
        ] {
            assert_eq!(PasswordHash::parse(&text).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn debug_output_has_no_hash() {
        let hash = PasswordHash::parse(VECTORS[0]).unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash { algorithm: Sha512, .. }");
    }
}

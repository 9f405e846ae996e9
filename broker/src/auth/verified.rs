//! Remembers credentials that were right, so that a fleet that reconnects costs one slow hash per user, not per connection.
//!
//! An entry is a keyed hash over user, password and stored hash: the memory holds no password, a guess cannot be tested
//! without the key of this process, and a changed password file misses by itself. Wrong credentials are never stored here.
//! Where right ones came from is remembered apart: the hash is saved for any address, the wait after failed logins for that
//! address alone.

use foldhash::HashSet;
use parking_lot::Mutex;
use pbkdf2::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

use super::{
    guard::AddressKey,
    hash::{PasswordHash, until_nul},
};

/// Entries per generation: more than there may be connections by default, so that a whole fleet is remembered. Two
/// generations are kept, 32 bytes each entry, with and without the address: at most some 32 MiB.
const ENTRIES_PER_GENERATION: usize = 131_072;

/// Names one right combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Enough of it to tell one try from the next.
    pub(super) fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// The remembered combinations. Bounded: when the young generation is full, the old one is forgotten.
pub(super) struct Verified {
    keyed: Hmac<Sha512>,
    generations: Mutex<Generations>,
    /// The same with the address that it came from.
    at_addresses: Mutex<Generations>,
    entries_max: usize,
}

#[derive(Default)]
struct Generations {
    young: HashSet<Fingerprint>,
    old: HashSet<Fingerprint>,
}

impl Verified {
    /// With a fresh random key. Fails only if the system has no random numbers.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = zeroize::Zeroizing::new([0; 128]);
        getrandom::fill(&mut *key)?;
        Ok(Self {
            keyed: Hmac::new(&(*key).into()),
            generations: Mutex::default(),
            at_addresses: Mutex::default(),
            entries_max: ENTRIES_PER_GENERATION,
        })
    }

    /// What to look up and to remember. Takes a few microseconds.
    pub(super) fn fingerprint(&self, user: &str, password: &[u8], stored: &PasswordHash) -> Fingerprint {
        let [salt, digest] = stored.parts();
        self.keyed_hash(&[user.as_bytes(), until_nul(password), salt, digest])
    }

    fn keyed_hash(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut keyed = self.keyed.clone();
        for part in parts {
            // The length first: no two combinations give the same input.
            keyed.update(&(part.len() as u64).to_le_bytes());
            keyed.update(part);
        }
        let full = keyed.finalize().into_bytes();
        let mut half = [0; 32];
        half.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        Fingerprint(half)
    }

    /// Whether this combination was right before, from any address.
    pub(super) fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.generations.lock().contains(fingerprint, self.entries_max)
    }

    /// Whether this combination was right before from this address.
    pub(super) fn contains_at(&self, fingerprint: &Fingerprint, address: AddressKey) -> bool {
        let at = self.at(fingerprint, address);
        self.at_addresses.lock().contains(&at, self.entries_max)
    }

    /// Remembers a right combination and where it came from.
    pub(super) fn insert(&self, fingerprint: Fingerprint, address: AddressKey) {
        self.generations.lock().insert(fingerprint, self.entries_max);
        let at = self.at(&fingerprint, address);
        self.at_addresses.lock().insert(at, self.entries_max);
    }

    fn at(&self, fingerprint: &Fingerprint, address: AddressKey) -> Fingerprint {
        match address {
            AddressKey::V4(bits) => self.keyed_hash(&[&fingerprint.0, &bits.to_be_bytes()]),
            AddressKey::V6(bits) => self.keyed_hash(&[&fingerprint.0, &bits.to_be_bytes()]),
        }
    }
}

impl Generations {
    fn contains(&mut self, fingerprint: &Fingerprint, entries_max: usize) -> bool {
        if self.young.contains(fingerprint) {
            return true;
        }
        let found = self.old.contains(fingerprint);
        if found {
            self.insert(*fingerprint, entries_max);
        }
        found
    }

    fn insert(&mut self, fingerprint: Fingerprint, entries_max: usize) {
        if self.young.len() >= entries_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::hash::{Hashing, ITERATIONS_RANDOM_PASSWORD, SaltLength};

    fn stored(password: &[u8]) -> PasswordHash {
        PasswordHash::create(password, Hashing::Pbkdf2(ITERATIONS_RANDOM_PASSWORD, SaltLength::Twelve))
            .unwrap()
    }

    #[test]
    fn every_part_counts() {
        let verified = Verified::new().unwrap();
        let (one, other) = (stored(b"x"), stored(b"x"));
        let base = verified.fingerprint("user", b"password", &one);
        assert_eq!(base, verified.fingerprint("user", b"password\0ignored", &one));
        assert_ne!(base, verified.fingerprint("use", b"rpassword", &one));
        assert_ne!(base, verified.fingerprint("user", b"passwore", &one));
        assert_ne!(base, verified.fingerprint("user", b"password", &other));
        assert_ne!(base, Verified::new().unwrap().fingerprint("user", b"password", &one));
    }

    #[test]
    fn memory_is_bounded_and_used_entries_survive() {
        let verified = Verified { entries_max: 4, ..Verified::new().unwrap() };
        let fingerprint = |n: u8| Fingerprint([n; 32]);
        let address = |n: u8| AddressKey::V4(n.into());
        for n in 0..100 {
            verified.insert(fingerprint(n), address(n));
            verified.insert(fingerprint(200), address(200));
            assert!(verified.contains(&fingerprint(200)) && verified.contains(&fingerprint(n)));
            let generations = verified.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 8);
            let generations = verified.at_addresses.lock();
            assert!(generations.young.len() + generations.old.len() <= 8);
        }
        assert!(verified.contains_at(&fingerprint(200), address(200)));
        assert!(!verified.contains_at(&fingerprint(200), address(99)));
        assert!(!verified.contains(&fingerprint(0)));
    }
}

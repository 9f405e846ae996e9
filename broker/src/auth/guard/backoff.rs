//! Failed logins: each makes the next one of the same user from the same address wait, twice as long every time.
//!
//! A login that must wait is refused without a look at its password, and does not count: a device with an old password
//! that tries on and on is not even hashed again. Whether the user exists makes no difference.
//!
//! The wait must not become a tool to keep others out. Who guesses one user's password makes that user wait elsewhere for
//! some seconds at most, and the other users of an address wait only once several users failed from there. An address of a
//! network that is spared may stand for many clients, as behind a proxy: only single users wait there, and as shortly.

use std::{
    hash::BuildHasher as _,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{AddressKey, LiveGuardLimits, table::Table};

/// The longest wait for a login that did not itself come from where the failures came from. Enough to make guessing from
/// many addresses slow, too short to keep a user out.
const SHARED_WAIT_MAX: Duration = Duration::from_secs(5);
/// From so many different users that failed, an address counts as one that tries users.
const USERS_OF_SUSPECT_ADDRESS: usize = 3;

/// How failed logins slow down the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackoffLimits {
    /// Failures after which nobody waits yet.
    pub free: u32,
    /// The wait after the first failure over these.
    pub wait_first: Duration,
    /// The longest wait. Zero: nobody ever waits.
    pub wait_max: Duration,
    /// Without a failure for so long, all is forgotten.
    pub forget_after: Duration,
}

/// A login as it is counted.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    /// Whose it claims to be.
    pub user: &'a str,
    /// Names user, password and stored hash under a key of the process: the same again is the same mistake.
    pub credentials: u64,
}

/// Who failed to log in, and how long each has to wait.
#[derive(Debug)]
pub struct LoginBackoff {
    limits: LiveGuardLimits,
    /// Users are known by a hash under a key of the process: their names may be long, and passwords by mistake.
    hasher: RandomState,
    failures: Mutex<Failures>,
    /// It was said that failures come from a spared network.
    warned: AtomicBool,
}

#[derive(Debug)]
struct Failures {
    /// By address and user.
    pairs: Table<(AddressKey, u64), Failure>,
    addresses: Table<AddressKey, (Failure, Users)>,
    users: Table<u64, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    count: u32,
    last: Instant,
    credentials: u64,
}

/// The first users that failed from an address.
type Users = [Option<u64>; USERS_OF_SUSPECT_ADDRESS];

impl LoginBackoff {
    /// Nobody has failed yet.
    pub fn new(limits: LiveGuardLimits) -> Self {
        let failures = Failures { pairs: Table::new(), addresses: Table::new(), users: Table::new() };
        let (hasher, warned) = (RandomState::default(), AtomicBool::new(false));
        Self { limits, hasher, failures: Mutex::new(failures), warned }
    }

    /// How long a login of this user from this address has to wait still; zero: it may be tried.
    pub fn wait(&self, attempt: &Attempt<'_>, now: Instant) -> Duration {
        let limits = self.limits.load().backoff;
        if limits.wait_max.is_zero() {
            return Duration::ZERO;
        }
        let is_spared = self.limits.spares(attempt.address);
        let (address, user) = self.keys(attempt);
        let failures = self.failures.lock();
        let left = |failure: &Failure, longest: Duration| {
            (failure.last + limits.wait(failure.count).min(longest)).saturating_duration_since(now)
        };
        let of_pair = if is_spared { SHARED_WAIT_MAX } else { limits.wait_max };
        let pair = failures.pairs.peek(&(address, user)).map(|failure| left(failure, of_pair));
        if is_spared {
            return pair.unwrap_or_default();
        }
        let suspect =
            failures.addresses.peek(&address).filter(|(_, users)| users.iter().all(Option::is_some));
        let address = suspect.map(|(failure, _)| left(failure, limits.wait_max));
        let user = failures.users.peek(&user).map(|failure| left(failure, SHARED_WAIT_MAX));
        [pair, address, user].into_iter().flatten().max().unwrap_or_default()
    }

    /// Whether exactly these credentials were the last that were wrong.
    pub fn is_known_wrong(&self, attempt: &Attempt<'_>) -> bool {
        let failures = self.failures.lock();
        failures.pairs.peek(&self.keys(attempt)).is_some_and(|last| last.credentials == attempt.credentials)
    }

    /// A login has failed. The same mistake again does not count.
    pub fn failed(&self, attempt: &Attempt<'_>, now: Instant) {
        let limits = self.limits.load().backoff;
        if limits.wait_max.is_zero() || self.is_known_wrong(attempt) {
            return;
        }
        let is_spared = self.limits.spares(attempt.address);
        let (address, user) = self.keys(attempt);
        let first = || Failure { count: 0, last: now, credentials: attempt.credentials };
        let waits = {
            let mut failures = self.failures.lock();
            let pair = failures.pairs.entry((address, user), first);
            limits.count(pair, now);
            pair.credentials = attempt.credentials;
            let waits = !limits.wait(pair.count).is_zero();
            if !is_spared {
                limits.count(failures.users.entry(user, first), now);
                let (failure, users) = failures.addresses.entry(address, || (first(), Users::default()));
                if limits.count(failure, now) {
                    *users = Users::default();
                }
                let known = users.contains(&Some(user));
                if let Some(place) = users.iter_mut().find(|place| place.is_none()).filter(|_| !known) {
                    *place = Some(user);
                }
            }
            waits
        };
        if is_spared && waits && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = %attempt.address,
                "failed logins come from a network of `unlimited_networks`, where they slow down single users only. If \
                 that is a proxy, take it out of the list, or let the proxy limit its clients"
            );
        }
    }

    /// A login went well: the user's failures from there were typing errors. Those of the address stay, else one account
    /// would be enough to guess all others; and those of the user from elsewhere.
    pub fn succeeded(&self, attempt: &Attempt<'_>) {
        self.failures.lock().pairs.remove(&self.keys(attempt));
    }

    fn keys(&self, attempt: &Attempt<'_>) -> (AddressKey, u64) {
        (attempt.address.into(), self.hasher.hash_one(attempt.user))
    }
}

impl BackoffLimits {
    /// How long to wait after so many failures.
    fn wait(&self, count: u32) -> Duration {
        let Some(over) = count.checked_sub(self.free.saturating_add(1)) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(over).unwrap_or(u32::MAX);
        self.wait_first.saturating_mul(factor).min(self.wait_max)
    }

    /// Counts one more; true if it is the first in a while.
    fn count(&self, failure: &mut Failure, now: Instant) -> bool {
        let is_forgotten = now.saturating_duration_since(failure.last) > self.forget_after;
        if is_forgotten {
            failure.count = 0;
        }
        *failure = Failure { count: failure.count.saturating_add(1), last: now, ..*failure };
        is_forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::guard::GuardLimits, clock};

    const LIMITS: BackoffLimits = BackoffLimits {
        free: 2,
        wait_first: Duration::from_secs(1),
        wait_max: Duration::from_secs(5),
        forget_after: Duration::from_secs(60),
    };
    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn backoff(limits: BackoffLimits) -> LoginBackoff {
        LoginBackoff::new(live(limits))
    }

    fn live(backoff: BackoffLimits) -> LiveGuardLimits {
        LiveGuardLimits::new(GuardLimits {
            backoff,
            unlimited: vec!["10.0.0.0/8".parse().unwrap()],
            ..GuardLimits::default()
        })
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn attempt(address: IpAddr, user: &str) -> Attempt<'_> {
        Attempt { address, user, credentials: 0 }
    }

    /// Fails with so many passwords.
    fn fail(backoff: &LoginBackoff, (address, user): (IpAddr, &str), passwords: u64, now: Instant) {
        for _ in 0..passwords {
            let guess = Attempt { credentials: another_password(), ..attempt(address, user) };
            backoff.failed(&guess, now);
        }
    }

    /// Another number each time.
    fn another_password() -> u64 {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let (backoff, now) = (backoff(BackoffLimits { wait_max: seconds(9), ..LIMITS }), clock::now());
        let waits = (0..9).map(|_| {
            fail(&backoff, (ONE, "a"), 1, now);
            backoff.wait(&attempt(ONE, "a"), now).as_secs()
        });
        assert_eq!(waits.collect::<Vec<_>>(), [0, 0, 1, 2, 4, 8, 9, 9, 9]);
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now + seconds(3)), seconds(6));
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now + seconds(9)), Duration::ZERO);
    }

    #[test]
    fn the_long_wait_is_for_the_same_user_from_the_same_address() {
        let hour = seconds(3600);
        let limits = BackoffLimits { wait_first: hour, wait_max: hour, forget_after: 2 * hour, ..LIMITS };
        let (backoff, now) = (backoff(limits), clock::now());
        fail(&backoff, (ONE, "a"), 3, now);
        for (address, user, expected) in [
            (ONE, "a", hour),
            (ONE, "b", Duration::ZERO),
            (OTHER, "a", SHARED_WAIT_MAX),
            (OTHER, "b", Duration::ZERO),
        ] {
            assert_eq!(backoff.wait(&attempt(address, user), now), expected, "{address} {user}");
        }
        backoff.succeeded(&attempt(OTHER, "a"));
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now), hour, "another's success does not count here");
        backoff.succeeded(&attempt(ONE, "a"));
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now), SHARED_WAIT_MAX);
    }

    #[test]
    fn an_address_waits_once_several_users_have_failed_from_it() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        for (user, expected) in [("a", 0), ("b", 0), ("a", 0), ("c", 2)] {
            fail(&backoff, (ONE, user), 1, now);
            assert_eq!(backoff.wait(&attempt(ONE, "x"), now), seconds(expected), "{user}");
        }
        assert_eq!(backoff.wait(&attempt(OTHER, "x"), now), Duration::ZERO);
        backoff.succeeded(&attempt(ONE, "a"));
        assert_eq!(
            backoff.wait(&attempt(ONE, "x"), now),
            seconds(2),
            "one account does not clear the address"
        );
        // One again, after a while.
        let later = now + seconds(61);
        fail(&backoff, (ONE, "a"), 10, later);
        assert_eq!(backoff.wait(&attempt(ONE, "x"), later), Duration::ZERO);
    }

    #[test]
    fn the_same_mistake_counts_once() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        (0..100).for_each(|_| backoff.failed(&attempt(ONE, "a"), now));
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now), Duration::ZERO);
        assert!(backoff.is_known_wrong(&attempt(ONE, "a")));
        for other in [attempt(OTHER, "a"), attempt(ONE, "b"), Attempt { credentials: 1, ..attempt(ONE, "a") }]
        {
            assert!(!backoff.is_known_wrong(&other), "{other:?}");
        }
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        fail(&backoff, (ONE, "a"), 10, now);
        let later = now + seconds(61);
        fail(&backoff, (ONE, "a"), 1, later);
        assert_eq!(backoff.wait(&attempt(ONE, "a"), later), Duration::ZERO, "it is the first again");
        fail(&backoff, (ONE, "a"), 2, later + seconds(60));
        assert_eq!(backoff.wait(&attempt(ONE, "a"), later + seconds(60)), seconds(1));
    }

    #[test]
    fn in_spared_networks_single_users_wait_and_shortly() {
        let hour = seconds(3600);
        let limits = BackoffLimits { wait_first: hour, wait_max: hour, forget_after: 2 * hour, ..LIMITS };
        let (backoff, now) = (backoff(limits), clock::now());
        let spared = [10, 0, 0, 1].into();
        fail(&backoff, (spared, "a"), 2, now);
        assert!(!backoff.warned.load(Ordering::Relaxed), "typing errors");
        for user in ["a", "b", "c"] {
            fail(&backoff, (spared, user), 100, now);
        }
        assert_eq!(backoff.wait(&attempt(spared, "a"), now), SHARED_WAIT_MAX);
        for (address, user) in [(ONE, "a"), (spared, "x")] {
            assert_eq!(backoff.wait(&attempt(address, user), now), Duration::ZERO, "{address} {user}");
        }
        fail(&backoff, (ONE, "d"), 100, now);
        assert_eq!(backoff.wait(&attempt(spared, "d"), now), Duration::ZERO);
        assert!(backoff.warned.load(Ordering::Relaxed));
    }

    #[test]
    fn new_limits_hold_at_once() {
        let (limits, now) = (live(LIMITS), clock::now());
        let backoff = LoginBackoff::new(limits.clone());
        fail(&backoff, (ONE, "a"), 3, now);
        limits.set(GuardLimits {
            backoff: BackoffLimits { wait_first: seconds(4), ..LIMITS },
            ..GuardLimits::default()
        });
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now), seconds(4));
    }

    #[test]
    fn it_can_be_switched_off() {
        let off = backoff(BackoffLimits { wait_max: Duration::ZERO, ..LIMITS });
        let now = clock::now();
        fail(&off, (ONE, "a"), 100, now);
        assert_eq!(off.wait(&attempt(ONE, "a"), now), Duration::ZERO);
    }

    #[test]
    fn no_count_overflows() {
        let now = clock::now();
        for count in [0, 2, 3, 34, 35, 66, u32::MAX] {
            let expected = if count < 3 { 0 } else { 1 };
            assert_eq!(LIMITS.wait(count).as_secs().min(1), expected, "{count}");
        }
        let backoff = backoff(BackoffLimits { free: u32::MAX, ..LIMITS });
        fail(&backoff, (ONE, "a"), 1, now);
        assert_eq!(backoff.wait(&attempt(ONE, "a"), now), Duration::ZERO);
    }
}

//! Failed logins: each makes the next one of the same address and of the same user wait, twice as long every time.
//!
//! A login that must wait is refused without a look at its password, and does not count: a device with an old password
//! that tries on and on gets one try for each wait. Whether the user exists makes no difference.

use std::{
    hash::{BuildHasher as _, Hash},
    net::IpAddr,
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{AddressKey, LiveGuardLimits, table::Table};

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

/// Who failed to log in, and how long each has to wait.
#[derive(Debug)]
pub struct LoginBackoff {
    limits: LiveGuardLimits,
    /// Users are known by a hash under a key of the process: their names may be long, and passwords by mistake.
    hasher: RandomState,
    failures: Mutex<Failures>,
}

#[derive(Debug)]
struct Failures {
    addresses: Table<AddressKey, Failure>,
    users: Table<u64, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    count: u32,
    last: Instant,
}

impl LoginBackoff {
    /// Nobody has failed yet.
    pub fn new(limits: LiveGuardLimits) -> Self {
        let failures = Failures { addresses: Table::new(), users: Table::new() };
        Self { limits, hasher: RandomState::default(), failures: Mutex::new(failures) }
    }

    /// How long a login of this user from this address has to wait still; zero: it may be tried.
    pub fn wait(&self, address: IpAddr, user: &str, now: Instant) -> Duration {
        let limits = self.limits.load().backoff;
        if limits.wait_max.is_zero() || self.limits.spares(address) {
            return Duration::ZERO;
        }
        let failures = self.failures.lock();
        let address = failures.addresses.peek(&address.into());
        let user = failures.users.peek(&self.hasher.hash_one(user));
        let left =
            |failure: &Failure| (failure.last + limits.wait(failure.count)).saturating_duration_since(now);
        [address, user].into_iter().flatten().map(left).max().unwrap_or_default()
    }

    /// A login has failed.
    pub fn failed(&self, address: IpAddr, user: &str, now: Instant) {
        let limits = self.limits.load().backoff;
        if limits.wait_max.is_zero() || self.limits.spares(address) {
            return;
        }
        let mut failures = self.failures.lock();
        let Failures { addresses, users } = &mut *failures;
        limits.count(addresses, address.into(), now);
        limits.count(users, self.hasher.hash_one(user), now);
    }

    /// A login went well: the user's failures were typing errors. Those of the address stay: else one account would be
    /// enough to guess all others.
    pub fn succeeded(&self, user: &str) {
        self.failures.lock().users.remove(&self.hasher.hash_one(user));
    }
}

impl BackoffLimits {
    /// How long to wait after so many failures.
    fn wait(&self, count: u32) -> Duration {
        let Some(over) = count.checked_sub(self.free.saturating_add(1)) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(over).unwrap_or(u32::MAX);
        self.wait_first.saturating_mul(factor).min(self.wait_max)
    }

    fn count<K: Hash + Eq + Copy>(&self, table: &mut Table<K, Failure>, key: K, now: Instant) {
        let failure = table.entry(key, || Failure { count: 0, last: now });
        if now.saturating_duration_since(failure.last) > self.forget_after {
            failure.count = 0;
        }
        *failure = Failure { count: failure.count.saturating_add(1), last: now };
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

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        let waits = (0..8).map(|_| {
            backoff.failed(ONE, "a", now);
            backoff.wait(ONE, "a", now).as_secs()
        });
        assert_eq!(waits.collect::<Vec<_>>(), [0, 0, 1, 2, 4, 5, 5, 5]);
        assert_eq!(backoff.wait(ONE, "a", now + seconds(3)), seconds(2));
        assert_eq!(backoff.wait(ONE, "a", now + seconds(5)), Duration::ZERO);
    }

    #[test]
    fn the_address_waits_for_all_users_and_the_user_for_all_addresses() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        (0..3).for_each(|_| backoff.failed(ONE, "a", now));
        for (address, user, expected) in [(ONE, "a", 1), (ONE, "b", 1), (OTHER, "a", 1), (OTHER, "b", 0)] {
            assert_eq!(backoff.wait(address, user, now), seconds(expected), "{address} {user}");
        }
        backoff.succeeded("a");
        assert_eq!(backoff.wait(OTHER, "a", now), Duration::ZERO);
        assert_eq!(backoff.wait(ONE, "a", now), seconds(1), "one account does not clear the address");
    }

    #[test]
    fn failures_are_forgotten_after_a_while() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        (0..10).for_each(|_| backoff.failed(ONE, "a", now));
        let later = now + seconds(61);
        backoff.failed(ONE, "a", later);
        assert_eq!(backoff.wait(ONE, "a", later), Duration::ZERO, "it is the first again");
        backoff.failed(ONE, "a", later + seconds(60));
        backoff.failed(ONE, "a", later + seconds(60));
        assert_eq!(backoff.wait(ONE, "a", later + seconds(60)), seconds(1));
    }

    #[test]
    fn spared_networks_neither_count_nor_wait() {
        let (backoff, now) = (backoff(LIMITS), clock::now());
        let spared = [10, 0, 0, 1].into();
        (0..100).for_each(|_| backoff.failed(spared, "a", now));
        assert_eq!(backoff.wait(ONE, "a", now), Duration::ZERO);
        (0..100).for_each(|_| backoff.failed(ONE, "a", now));
        assert_eq!(
            (backoff.wait(OTHER, "a", now), backoff.wait(spared, "a", now)),
            (seconds(5), Duration::ZERO)
        );
    }

    #[test]
    fn new_limits_hold_at_once() {
        let (limits, now) = (live(LIMITS), clock::now());
        let backoff = LoginBackoff::new(limits.clone());
        (0..3).for_each(|_| backoff.failed(ONE, "a", now));
        limits.set(GuardLimits {
            backoff: BackoffLimits { wait_first: seconds(4), ..LIMITS },
            ..GuardLimits::default()
        });
        assert_eq!(backoff.wait(ONE, "a", now), seconds(4));
    }

    #[test]
    fn it_can_be_switched_off() {
        let off = backoff(BackoffLimits { wait_max: Duration::ZERO, ..LIMITS });
        let now = clock::now();
        (0..100).for_each(|_| off.failed(ONE, "a", now));
        assert_eq!(off.wait(ONE, "a", now), Duration::ZERO);
    }

    #[test]
    fn no_count_overflows() {
        let now = clock::now();
        for count in [0, 2, 3, 34, 35, 66, u32::MAX] {
            let expected = if count < 3 { 0 } else { 1 };
            assert_eq!(LIMITS.wait(count).as_secs().min(1), expected, "{count}");
        }
        let backoff = backoff(BackoffLimits { free: u32::MAX, ..LIMITS });
        backoff.failed(ONE, "a", now);
        assert_eq!(backoff.wait(ONE, "a", now), Duration::ZERO);
    }
}

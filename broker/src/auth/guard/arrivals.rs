//! How fast new connections may come, by address and by user.

use std::{hash::BuildHasher as _, net::IpAddr, time::Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{
    AddressKey, LiveGuardLimits,
    rate::{Bucket, Rate},
    table::Table,
};

/// The connection came too soon after the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connections come faster than {limit}")]
pub struct TooFast {
    /// The key of the limit.
    pub limit: &'static str,
}

/// Measures arrivals.
#[derive(Debug)]
pub struct Arrivals {
    limits: LiveGuardLimits,
    hasher: RandomState,
    addresses: Mutex<Table<AddressKey, Bucket>>,
    users: Mutex<Table<u64, Bucket>>,
}

impl Arrivals {
    /// Nobody has come yet.
    pub fn new(limits: LiveGuardLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::default(),
            addresses: Mutex::new(Table::new()),
            users: Mutex::new(Table::new()),
        }
    }

    /// A connection comes from an address.
    ///
    /// # Errors
    /// It comes too fast.
    pub fn from_address(&self, address: IpAddr, now: Instant) -> Result<(), TooFast> {
        let limit = "connections_per_second_per_address";
        let rate = Rate(self.limits.load().connections_per_second_per_address);
        let taken = !rate.is_limited() || self.limits.spares(address) || {
            let mut addresses = self.addresses.lock();
            addresses.entry(address.into(), || Bucket::full(now)).try_take(rate, now)
        };
        if taken { Ok(()) } else { Err(TooFast { limit }) }
    }

    /// A user has logged in.
    ///
    /// # Errors
    /// Too soon after the last time.
    pub fn of_user(&self, user: &str, address: IpAddr, now: Instant) -> Result<(), TooFast> {
        let limit = "connections_per_second_per_user";
        let rate = Rate(self.limits.load().connections_per_second_per_user);
        let taken = !rate.is_limited() || self.limits.spares(address) || {
            let key = self.hasher.hash_one(user);
            self.users.lock().entry(key, || Bucket::full(now)).try_take(rate, now)
        };
        if taken { Ok(()) } else { Err(TooFast { limit }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::guard::GuardLimits, clock};

    #[test]
    fn each_address_and_each_user_has_its_own_rate() {
        let limits = GuardLimits {
            connections_per_second_per_address: 2,
            connections_per_second_per_user: 3,
            ..GuardLimits::default()
        };
        let (arrivals, now) = (Arrivals::new(LiveGuardLimits::new(limits)), clock::now());
        for address in [[192, 0, 2, 1], [192, 0, 2, 2]] {
            let came = (0..10).filter(|_| arrivals.from_address(address.into(), now).is_ok());
            assert_eq!(came.count(), 2);
        }
        for user in ["a", "b"] {
            assert_eq!(
                (0..10).filter(|_| arrivals.of_user(user, [192, 0, 2, 1].into(), now).is_ok()).count(),
                3
            );
        }
        let error = arrivals.of_user("a", [192, 0, 2, 1].into(), now).unwrap_err().to_string();
        assert_eq!(error, "connections come faster than connections_per_second_per_user");
    }

    #[test]
    fn by_default_there_is_no_limit() {
        let (arrivals, now) = (Arrivals::new(LiveGuardLimits::default()), clock::now());
        assert!((0..1000).all(|_| arrivals.from_address([192, 0, 2, 1].into(), now).is_ok()));
        assert!((0..1000).all(|_| arrivals.of_user("a", [192, 0, 2, 1].into(), now).is_ok()));
    }
}

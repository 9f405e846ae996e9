//! How fast new connections may come, by address and by user.

use std::{hash::BuildHasher as _, net::IpAddr, time::Instant};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{
    AddressKey, GuardLimits,
    rate::{Bucket, Rate},
    table::Table,
};
use crate::config::Network;

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
    per_address: Rate,
    per_user: Rate,
    unlimited: Vec<Network>,
    hasher: RandomState,
    addresses: Mutex<Table<AddressKey, Bucket>>,
    users: Mutex<Table<u64, Bucket>>,
}

impl Arrivals {
    /// Nobody has come yet.
    pub fn new(limits: &GuardLimits) -> Self {
        Self {
            per_address: Rate(limits.connections_per_second_per_address),
            per_user: Rate(limits.connections_per_second_per_user),
            unlimited: limits.unlimited.clone(),
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
        let taken = !self.per_address.is_limited() || self.spares(address) || {
            let mut addresses = self.addresses.lock();
            addresses.entry(address.into(), || Bucket::full(now)).try_take(self.per_address, now)
        };
        if taken { Ok(()) } else { Err(TooFast { limit }) }
    }

    /// A user has logged in.
    ///
    /// # Errors
    /// Too soon after the last time.
    pub fn of_user(&self, user: &str, address: IpAddr, now: Instant) -> Result<(), TooFast> {
        let limit = "connections_per_second_per_user";
        let taken = !self.per_user.is_limited() || self.spares(address) || {
            let key = self.hasher.hash_one(user);
            self.users.lock().entry(key, || Bucket::full(now)).try_take(self.per_user, now)
        };
        if taken { Ok(()) } else { Err(TooFast { limit }) }
    }

    fn spares(&self, address: IpAddr) -> bool {
        self.unlimited.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_address_and_each_user_has_its_own_rate() {
        let limits = GuardLimits {
            connections_per_second_per_address: 2,
            connections_per_second_per_user: 3,
            ..GuardLimits::default()
        };
        let (arrivals, now) = (Arrivals::new(&limits), clock::now());
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
        let (arrivals, now) = (Arrivals::new(&GuardLimits::default()), clock::now());
        assert!((0..1000).all(|_| arrivals.from_address([192, 0, 2, 1].into(), now).is_ok()));
        assert!((0..1000).all(|_| arrivals.of_user("a", [192, 0, 2, 1].into(), now).is_ok()));
    }
}

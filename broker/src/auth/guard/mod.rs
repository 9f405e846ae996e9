//! Slows down who guesses passwords, and who takes more than a share of the broker.
//!
//! Failed logins make the next ones of the same user from the same address wait ([`LoginBackoff`]). New connections come no faster than a rate, by
//! address and by user. Messages and bytes are measured by [`Meter`]s, which all connections of a user or of an address
//! share: whoever is too fast is not read from for a while, and so loses nothing.
//!
//! Time is an argument. Every table is bounded. An IPv6 address counts with its network of 64 bits, which is what one
//! customer gets.

mod arrivals;
mod backoff;
mod meter;
mod rate;
mod table;

use std::{net::IpAddr, sync::Arc};

use arc_swap::{ArcSwap, Guard};

pub use self::{
    arrivals::{Arrivals, TooFast},
    backoff::{Attempt, BackoffLimits, LoginBackoff},
    meter::{Meter, Meters, Pace, TooMany},
};
use crate::config::Network;

/// What the guard allows. A rate of 0 is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuardLimits {
    /// How failed logins slow down the next.
    pub backoff: BackoffLimits,
    /// New connections from one address.
    pub connections_per_second_per_address: u32,
    /// New connections of one user.
    pub connections_per_second_per_user: u32,
    /// Connections of one user at the same time. 0 is no limit.
    pub connections_per_user: u32,
    /// What one address may send, all its connections together.
    pub per_address: Pace,
    /// What one user may send, all connections together.
    pub per_user: Pace,
    /// Networks whose addresses are not limited; failed logins slow down single users there.
    pub unlimited: Vec<Network>,
}

impl GuardLimits {
    fn spares(&self, address: IpAddr) -> bool {
        self.unlimited.iter().any(|network| network.contains(address))
    }
}

/// The limits as they are now. All copies change together.
#[derive(Debug, Clone, Default)]
pub struct LiveGuardLimits(Arc<ArcSwap<GuardLimits>>);

impl LiveGuardLimits {
    /// Starts with these.
    pub fn new(limits: GuardLimits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }

    /// These hold from now on. What was counted stays.
    pub fn set(&self, limits: GuardLimits) {
        self.0.store(Arc::new(limits));
    }

    fn load(&self) -> Guard<Arc<GuardLimits>> {
        self.0.load()
    }

    /// Whether nothing here holds for the address.
    pub fn spares(&self, address: IpAddr) -> bool {
        self.load().spares(address)
    }
}

/// What addresses are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AddressKey {
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_is_one_address() {
        let key = |text: &str| AddressKey::from(text.parse::<IpAddr>().unwrap());
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn networks_can_be_spared() {
        let limits = GuardLimits { unlimited: vec!["10.0.0.0/8".parse().unwrap()], ..GuardLimits::default() };
        assert!(limits.spares([10, 1, 2, 3].into()) && !limits.spares([11, 1, 2, 3].into()));
    }
}

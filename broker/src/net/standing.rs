//! What of a listener's terms also holds for the connections that came in before it did.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;

use crate::config::{ListenerConfig, Network};

/// Shared by a listener and its connections.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Other terms hold now, which those who came in on these must not escape.
    superseded: AtomicBool,
    networks: ArcSwap<Networks>,
}

/// From where clients may come.
#[derive(Debug, Default)]
struct Networks {
    /// Empty: from everywhere.
    allow: Vec<Network>,
    /// From where they may not come, even if `allow` says so.
    deny: Vec<Network>,
}

impl Standing {
    pub(super) fn new(config: &ListenerConfig) -> Self {
        let standing = Self::default();
        standing.set_networks(config);
        standing
    }

    /// From now on these networks hold.
    pub(super) fn set_networks(&self, config: &ListenerConfig) {
        self.networks.store(Networks { allow: config.allow.clone(), deny: config.deny.clone() }.into());
    }

    /// Whoever came in until now has to come again.
    pub(super) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
    }

    /// Whether clients may come from this address.
    pub(super) fn admits(&self, address: IpAddr) -> bool {
        let networks = self.networks.load();
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        !is_in(&networks.deny) && (networks.allow.is_empty() || is_in(&networks.allow))
    }

    /// Whether a connection from this address, if it is known, can stay.
    pub(crate) fn keeps(&self, address: Option<IpAddr>) -> bool {
        !self.superseded.load(Ordering::Acquire) && address.is_none_or(|address| self.admits(address))
    }
}

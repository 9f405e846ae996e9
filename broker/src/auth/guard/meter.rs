//! What connections send, measured together for each user and for each address.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::HashMap;
use parking_lot::Mutex;

use super::{
    AddressKey, LiveGuardLimits,
    rate::{Bucket, Rate},
};

/// How fast messages and bytes may come. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// PUBLISH packets a second.
    pub messages_per_second: u32,
    /// Bytes a second, of all packets.
    pub bytes_per_second: u32,
}

impl Pace {
    fn is_limited(self) -> bool {
        self.messages_per_second > 0 || self.bytes_per_second > 0
    }
}

/// The user has as many connections as it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit of connections_per_user is reached")]
pub struct TooMany;

/// All meters. One entry for each user and address that is connected, or whose debt is not paid yet.
#[derive(Debug)]
pub struct Meters {
    limits: LiveGuardLimits,
    shares: Mutex<Shares>,
}

#[derive(Debug, Default)]
struct Shares {
    users: HashMap<Arc<str>, Arc<Share>>,
    addresses: HashMap<AddressKey, Arc<Share>>,
    /// How many entries there were after the last sweep.
    swept: usize,
}

/// What the connections of one user, or of one address, have in common.
#[derive(Debug)]
struct Share {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// As it was when the last connection came.
    pace: Pace,
    connections: u32,
    messages: Bucket,
    bytes: Bucket,
}

/// One connection's part in it; given back when dropped.
#[derive(Debug)]
pub struct Meter {
    user: Option<Arc<Share>>,
    address: Option<Arc<Share>>,
}

impl Meters {
    /// Nobody is connected yet.
    pub fn new(limits: LiveGuardLimits) -> Self {
        Self { limits, shares: Mutex::default() }
    }

    /// A meter for a new connection; `None` if nothing limits it, so that nothing need be measured. `replaces`: it takes
    /// the place of another connection of the same client.
    ///
    /// # Errors
    /// The user has too many connections.
    pub fn enter(
        &self,
        user: Option<&Arc<str>>,
        address: IpAddr,
        replaces: bool,
        now: Instant,
    ) -> Result<Option<Box<Meter>>, TooMany> {
        let limits = self.limits.load();
        let counts_user = limits.connections_per_user > 0 || limits.per_user.is_limited();
        let counts_address = limits.per_address.is_limited();
        if !counts_user && !counts_address || limits.spares(address) {
            return Ok(None);
        }
        let mut shares = self.shares.lock();
        shares.sweep(now);
        let share = |pace| Arc::new(Share::new(pace, now));
        let user = user.filter(|_| counts_user).map(|user| {
            Arc::clone(shares.users.entry(Arc::clone(user)).or_insert_with(|| share(limits.per_user)))
        });
        let address = counts_address.then(|| {
            let entry = shares.addresses.entry(address.into());
            Arc::clone(entry.or_insert_with(|| share(limits.per_address)))
        });
        drop(shares);
        for (share, pace) in [(&user, limits.per_user), (&address, limits.per_address)] {
            share.iter().for_each(|share| share.state.lock().pace = pace);
        }
        if let Some(user) = &user {
            let mut state = user.state.lock();
            let most = limits.connections_per_user.saturating_add(u32::from(replaces));
            if limits.connections_per_user > 0 && state.connections >= most {
                return Err(TooMany);
            }
            state.connections += 1;
        }
        Ok(Some(Box::new(Meter { user, address })))
    }
}

impl Shares {
    /// Forgets who is gone and owes nothing, once the tables have doubled.
    fn sweep(&mut self, now: Instant) {
        /// Not worth a sweep.
        const FEW: usize = 64;
        if self.users.len() + self.addresses.len() < (self.swept * 2).max(FEW) {
            return;
        }
        let matters = |share: &Arc<Share>| Arc::strong_count(share) > 1 || share.owes(now);
        self.users.retain(|_, share| matters(share));
        self.addresses.retain(|_, share| matters(share));
        self.swept = self.users.len() + self.addresses.len();
    }
}

impl Meter {
    /// The connection has sent so much. Returns how long not to read from it.
    pub fn charge(&self, messages: u64, bytes: u64, now: Instant) -> Duration {
        let shares = [&self.user, &self.address].into_iter().flatten();
        shares.map(|share| share.charge(messages, bytes, now)).max().unwrap_or_default()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(user) = &self.user {
            user.state.lock().connections -= 1;
        }
    }
}

impl Share {
    fn new(pace: Pace, now: Instant) -> Self {
        let (messages, bytes) = (Bucket::full(now), Bucket::full(now));
        Self { state: Mutex::new(State { pace, connections: 0, messages, bytes }) }
    }

    fn charge(&self, messages: u64, bytes: u64, now: Instant) -> Duration {
        let mut state = self.state.lock();
        let Pace { messages_per_second, bytes_per_second } = state.pace;
        let for_messages = state.messages.take(Rate(messages_per_second), messages, now);
        let for_bytes = state.bytes.take(Rate(bytes_per_second), bytes, now);
        for_messages.max(for_bytes)
    }

    fn owes(&self, now: Instant) -> bool {
        let state = self.state.lock();
        !(state.messages.is_full(now) && state.bytes.is_full(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::guard::GuardLimits, clock};

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn user(name: &str) -> Option<Arc<str>> {
        Some(name.into())
    }

    fn meters(change: impl FnOnce(&mut GuardLimits)) -> Meters {
        let mut limits = GuardLimits::default();
        change(&mut limits);
        Meters::new(LiveGuardLimits::new(limits))
    }

    #[test]
    fn by_default_nothing_is_measured() {
        let meters = meters(|_| ());
        assert!(meters.enter(user("a").as_ref(), ADDRESS, false, clock::now()).unwrap().is_none());
    }

    #[test]
    fn connections_of_a_user_share_its_pace() {
        let meters = meters(|limits| limits.per_user.messages_per_second = 10);
        let now = clock::now();
        let enter = |name: &str| meters.enter(user(name).as_ref(), ADDRESS, false, now).unwrap().unwrap();
        let (first, second, other) = (enter("a"), enter("a"), enter("b"));
        assert_eq!(first.charge(10, 1_000_000, now), Duration::ZERO);
        assert_eq!(second.charge(5, 0, now), Duration::from_millis(500));
        assert_eq!(other.charge(10, 0, now), Duration::ZERO);
        drop((first, second));
        assert!(enter("a").charge(1, 0, now) > Duration::ZERO, "coming again pays no debt");
        // Anonymous clients have no user.
        let anonymous = meters.enter(None, ADDRESS, false, now).unwrap().unwrap();
        assert_eq!(anonymous.charge(1000, 0, now), Duration::ZERO);
    }

    #[test]
    fn connections_of_an_address_share_its_pace() {
        let meters = meters(|limits| {
            limits.per_address.bytes_per_second = 1000;
            limits.unlimited = vec!["192.0.2.2".parse().unwrap()];
        });
        let now = clock::now();
        let enter = |name: &str, address| meters.enter(user(name).as_ref(), address, false, now).unwrap();
        let (first, second) = (enter("a", ADDRESS).unwrap(), enter("b", ADDRESS).unwrap());
        assert_eq!(first.charge(1, 1500, now), Duration::from_millis(500));
        assert_eq!(second.charge(1, 500, now), Duration::from_secs(1));
        assert!(enter("a", OTHER).is_none());
    }

    #[test]
    fn connections_of_a_user_are_counted_and_given_back() {
        let meters = meters(|limits| limits.connections_per_user = 2);
        let now = clock::now();
        let enter = |name: &str, replaces| meters.enter(user(name).as_ref(), ADDRESS, replaces, now);
        let (first, _second) = (enter("a", false).unwrap(), enter("a", false).unwrap());
        assert_eq!(enter("a", false).err(), Some(TooMany));
        let replacement = enter("a", true).unwrap();
        assert!(enter("b", false).is_ok());
        drop(first);
        assert_eq!(enter("a", false).err(), Some(TooMany));
        drop(replacement);
        assert!(enter("a", false).is_ok());
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let meters = meters(|limits| limits.per_user.messages_per_second = 1);
        let now = clock::now();
        let stays = meters.enter(user("stays").as_ref(), ADDRESS, false, now).unwrap();
        for n in 0..10_000 {
            drop(meters.enter(user(&format!("user{n}")).as_ref(), ADDRESS, false, now).unwrap());
            assert!(meters.shares.lock().users.len() <= 130);
        }
        assert!(meters.shares.lock().users.contains_key("stays"));
        drop(stays);
    }
}

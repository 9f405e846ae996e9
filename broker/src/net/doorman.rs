//! How many connections there may be: who knocks, who waits in the lobby, who is inside.
//!
//! Strangers take no place of those who are inside: a connection that has not been let in counts in the lobby alone.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    lobby::{Displacement, Lobby, Waiting},
    terms::{ListenerTerms, Place},
};
use crate::{
    auth::AddressKey,
    config::Limits,
    metrics::{Metrics, RefusalReason},
};

/// Counts the connections, in total and by address.
#[derive(Debug)]
pub(crate) struct Doorman {
    bounds: ArcSwap<Bounds>,
    metrics: Arc<Metrics>,
    lobby: Arc<Lobby>,
    inside: Mutex<Inside>,
    /// Set once the broker stops: who has no session by then does not get one.
    closing: watch::Sender<bool>,
}

/// How many may be inside.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    total: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<AddressKey, usize, RandomState>,
}

/// Counts one connection as long as it exists, first in the lobby and then inside.
#[derive(Debug)]
pub(crate) struct Entrance {
    doorman: Arc<Doorman>,
    address: AddressKey,
    /// `None`: it is inside. Boxed, because it is needed for a moment only.
    waiting: Option<Box<Waiting>>,
    _place: Option<Place>,
}

impl Bounds {
    fn new(limits: &Limits) -> Self {
        Self { total: limits.connections, per_address: limits.connections_per_address }
    }
}

impl Inside {
    /// Whether there is room for one more.
    fn check(&self, address: AddressKey, bounds: Bounds) -> Result<(), RefusalReason> {
        if self.total >= bounds.total {
            return Err(RefusalReason::TooManyConnections);
        }
        let from_address = self.by_address.get(&address).copied().unwrap_or(0);
        if from_address >= bounds.per_address {
            return Err(RefusalReason::TooManyFromAddress);
        }
        Ok(())
    }

    fn add(&mut self, address: AddressKey, bounds: Bounds) -> Result<(), RefusalReason> {
        self.check(address, bounds)?;
        *self.by_address.entry(address).or_default() += 1;
        self.total += 1;
        Ok(())
    }

    fn remove(&mut self, address: AddressKey) {
        self.total -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Doorman {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            bounds: ArcSwap::from_pointee(Bounds::new(limits)),
            lobby: Lobby::new(limits, Arc::clone(&metrics)),
            metrics,
            inside: Mutex::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// These limits hold from now on. Whoever is inside stays.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        self.bounds.store(Arc::new(Bounds::new(limits)));
        self.lobby.set_limits(limits);
    }

    /// Sends away everybody who waits to be let in.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Becomes true once the broker stops.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// How many connections there are, those in the lobby included.
    pub(crate) fn count(&self) -> usize {
        // In this order: who comes in meanwhile is counted twice rather than not at all.
        let waiting = self.lobby.len();
        self.inside.lock().total + waiting
    }

    /// A place in the lobby, if there would be one inside. `spared`: the address has no limit of its own in the lobby.
    pub(super) fn knock(
        self: &Arc<Self>,
        address: IpAddr,
        spared: bool,
    ) -> Result<(Entrance, Displacement), RefusalReason> {
        let key = AddressKey::from(address);
        self.inside.lock().check(key, **self.bounds.load())?;
        let (waiting, displacement) = self.lobby.enter(address, spared)?;
        self.metrics.connections_open.inc();
        let doorman = Arc::clone(self);
        Ok((Entrance { doorman, address: key, waiting: Some(Box::new(waiting)), _place: None }, displacement))
    }
}

impl Entrance {
    /// The place in the lobby, until the client is let in.
    pub(super) fn waiting(&mut self) -> Option<&mut Waiting> {
        self.waiting.as_deref_mut()
    }

    /// Exchanges the place in the lobby for one inside. From then on nobody displaces the connection; if somebody has done so
    /// meanwhile, this waits to be dropped for it.
    pub(super) async fn come_in(&mut self, terms: &ListenerTerms) -> Result<(), RefusalReason> {
        let place = terms.enter()?;
        self.doorman.inside.lock().add(self.address, **self.doorman.bounds.load())?;
        if self.waiting.as_ref().is_some_and(|waiting| !waiting.leave()) {
            self.doorman.inside.lock().remove(self.address);
            std::future::pending::<()>().await;
        }
        self._place = Some(place);
        self.waiting = None;
        Ok(())
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.doorman.metrics.connections_open.dec();
        if self.waiting.is_some() {
            return;
        }
        self.doorman.inside.lock().remove(self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::config::ListenerConfig;

    fn doorman(change: impl FnOnce(&mut Limits)) -> (Arc<Doorman>, Arc<ListenerTerms>) {
        let mut limits = Limits::default();
        change(&mut limits);
        let config = ListenerConfig::new(([127, 0, 0, 1], 0).into());
        (Arc::new(Doorman::new(&limits, Metrics::new())), Arc::new(ListenerTerms::new(&config, None)))
    }

    /// What comes out at once; `None` if it has to be waited for.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn enter(
        doorman: &Arc<Doorman>,
        terms: &ListenerTerms,
        address: IpAddr,
    ) -> Result<Entrance, RefusalReason> {
        let (mut entrance, _displacement) = doorman.knock(address, false)?;
        now(entrance.come_in(terms)).expect("its place is its own").map(|()| entrance)
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let (doorman, terms) = doorman(|limits| {
            (limits.connections, limits.connections_per_address) = (3, 2);
        });
        let enter = |address| enter(&doorman, &terms, address);
        let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = enter(one).unwrap();
        let _second = enter(one).unwrap();
        assert_eq!(enter(one).err(), Some(RefusalReason::TooManyFromAddress));
        let _third = enter(two).unwrap();
        assert_eq!(enter(two).err(), Some(RefusalReason::TooManyConnections));
        drop(first);
        assert!(enter(one).is_ok());
        assert_eq!(doorman.count(), 2);
        let fewer = Limits { connections: 2, ..Limits::default() };
        doorman.set_limits(&fewer);
        assert_eq!(enter(two).err(), Some(RefusalReason::TooManyConnections));
    }

    #[test]
    fn one_customer_has_a_network_of_64_bits() {
        let (doorman, terms) = doorman(|limits| limits.connections_per_address = 1);
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
        let _first = enter(&doorman, &terms, a).unwrap();
        assert_eq!(enter(&doorman, &terms, b).err(), Some(RefusalReason::TooManyFromAddress));
    }

    #[test]
    fn strangers_take_no_place_of_those_who_are_inside() {
        let (doorman, terms) = doorman(|limits| limits.connections = 2);
        let knock = || doorman.knock([10, 0, 0, 1].into(), false).unwrap().0;
        let mut entrances = [(); 4].map(|()| knock());
        assert_eq!((doorman.count(), doorman.metrics.connections_pending.get()), (4, 4));
        let came_in = entrances.each_mut().map(|entrance| now(entrance.come_in(&terms)).unwrap());
        let full = Err(RefusalReason::TooManyConnections);
        assert_eq!(came_in, [Ok(()), Ok(()), full, full]);
        assert_eq!(
            (doorman.metrics.connections_pending.get(), doorman.metrics.connections_open.get()),
            (2, 4)
        );
        drop(entrances);
        assert_eq!((doorman.count(), doorman.metrics.connections_open.get()), (0, 0));
        assert_eq!(terms.enter().map(drop), Ok(()));
    }

    #[test]
    fn who_was_displaced_does_not_come_in() {
        let (doorman, terms) = doorman(|limits| limits.pending_connections = 1);
        let knock = || doorman.knock([10, 0, 0, 1].into(), false).unwrap();
        let (mut first, displacement) = knock();
        let (mut second, _displacement) = knock();
        assert!(now(first.come_in(&terms)).is_none() && now(displacement.happens()).is_some());
        assert_eq!(now(second.come_in(&terms)), Some(Ok(())));
        drop(first);
        assert_eq!((doorman.count(), doorman.metrics.connections_pending.get()), (1, 0));
        drop(second);
        assert_eq!((doorman.count(), doorman.metrics.connections_open.get()), (0, 0));
        assert!(doorman.inside.lock().by_address.is_empty());
    }
}

//! Sockets that accept connections, and the limits on how many.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    bind, handshake,
    terms::{ListenerTerms, Place},
};
use crate::{
    auth::AddressKey,
    clock,
    config::ListenerConfig,
    hub::Hub,
    log,
    metrics::{Metrics, RefusalReason},
};

/// How long to wait when the system has no more file descriptors: accepting fails at once until one is free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
pub(crate) struct Listener {
    socket: TcpListener,
    terms: Arc<ArcSwap<ListenerTerms>>,
    address: SocketAddr,
}

impl Listener {
    /// `None` for an optional one at an address that the machine does not have.
    pub(crate) fn bind(config: &ListenerConfig, terms: ListenerTerms) -> io::Result<Option<Self>> {
        let Some(socket) = bind::listen(config)? else { return Ok(None) };
        let address = socket.local_addr()?;
        Ok(Some(Self { socket, terms: Arc::new(ArcSwap::from_pointee(terms)), address }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// On which terms it takes clients: what is put there holds for the next one.
    pub(crate) fn terms(&self) -> Arc<ArcSwap<ListenerTerms>> {
        Arc::clone(&self.terms)
    }

    /// Accepts until the task is aborted.
    pub(crate) async fn accept(self, hub: Arc<Hub>, doorman: Arc<Doorman>) {
        loop {
            match self.socket.accept().await {
                Ok((socket, address)) => {
                    // Clients of IPv4 look like those of IPv6 where one socket takes both.
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    self.receive(&hub, &doorman, socket, address);
                }
                Err(error) => {
                    tracing::error!("cannot accept a connection on {}: {error}", self.address);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn receive(&self, hub: &Arc<Hub>, doorman: &Arc<Doorman>, socket: TcpStream, address: SocketAddr) {
        hub.metrics.connections_accepted.inc();
        let terms = self.terms.load_full();
        if let Err(too_fast) = hub.arrivals.from_address(address.ip(), clock::now()) {
            return turn_away(hub, &terms, address, RefusalReason::TooFast, &too_fast.to_string());
        }
        let entrance = match terms.enter(address.ip()).and_then(|place| doorman.enter(address.ip(), place)) {
            Ok(entrance) => entrance,
            Err(reason) => return turn_away(hub, &terms, address, reason, refusal_text(reason)),
        };
        // Small packets must not wait for the acknowledgement of earlier ones. The system refuses only on a socket
        // that is gone already, which the handshake finds out.
        socket.set_nodelay(true).ok();
        let closing = doorman.closing.subscribe();
        let hub = Arc::clone(hub);
        tokio::spawn(handshake::welcome(hub, socket, address, terms, entrance, closing));
    }
}

fn refusal_text(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::TooManyFromAddress => "the limit of connections_per_address is reached",
        RefusalReason::TooManyOnListener => "the limit of `connections` of the listener is reached",
        RefusalReason::Network => "the listener takes nobody from this address (allow, deny)",
        _ => "the limit of connections is reached",
    }
}

/// Refuses a connection before anything else is done for it.
fn turn_away(hub: &Hub, terms: &ListenerTerms, address: SocketAddr, reason: RefusalReason, detail: &str) {
    hub.metrics.connections_refused.inc(reason);
    if let Some(more) = terms.logs_refusal(clock::now()) {
        log::not_admitted(&hub.audit, None, None, address, format_args!("{detail}{more}"));
    }
}

/// Counts the connections, in total and by address.
#[derive(Debug)]
pub(crate) struct Doorman {
    connections_max: AtomicUsize,
    per_address_max: AtomicUsize,
    metrics: Arc<Metrics>,
    inside: Mutex<Inside>,
    /// Set once the broker stops: who has no session by then does not get one.
    closing: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_address: HashMap<AddressKey, usize, RandomState>,
}

/// A place for one connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Entrance {
    doorman: Arc<Doorman>,
    address: AddressKey,
    _place: Place,
}

impl Doorman {
    pub(crate) fn new(connections_max: usize, per_address_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            connections_max: AtomicUsize::new(connections_max),
            per_address_max: AtomicUsize::new(per_address_max),
            metrics,
            inside: Mutex::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// So many may come in from now on. Whoever is inside stays.
    pub(crate) fn set_limits(&self, connections_max: usize, per_address_max: usize) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
        self.per_address_max.store(per_address_max, Ordering::Relaxed);
    }

    /// Sends away everybody who waits to be let in.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// How many connections there are.
    pub(crate) fn inside(&self) -> usize {
        self.inside.lock().total
    }

    fn enter(self: &Arc<Self>, address: IpAddr, place: Place) -> Result<Entrance, RefusalReason> {
        let mut inside = self.inside.lock();
        if inside.total >= self.connections_max.load(Ordering::Relaxed) {
            return Err(RefusalReason::TooManyConnections);
        }
        let address = AddressKey::from(address);
        let from_address = inside.by_address.entry(address).or_default();
        if *from_address >= self.per_address_max.load(Ordering::Relaxed) {
            return Err(RefusalReason::TooManyFromAddress);
        }
        *from_address += 1;
        inside.total += 1;
        self.metrics.connections_open.inc();
        Ok(Entrance { doorman: Arc::clone(self), address, _place: place })
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut inside = self.doorman.inside.lock();
        inside.total -= 1;
        self.doorman.metrics.connections_open.dec();
        if let Some(count) = inside.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ListenerConfig;

    #[test]
    fn places_are_limited_and_given_back() {
        let doorman = Arc::new(Doorman::new(3, 2, Metrics::new()));
        let config = ListenerConfig::new(([127, 0, 0, 1], 0).into());
        let terms = Arc::new(ListenerTerms::new(&config, None));
        let enter = |address| doorman.enter(address, terms.enter(address).unwrap());
        let (one, two) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = enter(one).unwrap();
        let _second = enter(one).unwrap();
        assert_eq!(enter(one).err(), Some(RefusalReason::TooManyFromAddress));
        let _third = enter(two).unwrap();
        assert_eq!(enter(two).err(), Some(RefusalReason::TooManyConnections));
        // One customer has a network of 64 bits.
        let doorman_v6 = Arc::new(Doorman::new(3, 1, Metrics::new()));
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse::<IpAddr>().unwrap());
        let _v6 = doorman_v6.enter(a, terms.enter(a).unwrap()).unwrap();
        let refused = doorman_v6.enter(b, terms.enter(b).unwrap());
        assert_eq!(refused.err(), Some(RefusalReason::TooManyFromAddress));
        drop(first);
        assert!(enter(one).is_ok());
        assert_eq!(doorman.inside(), 2);
        doorman.set_limits(2, 2);
        assert_eq!(enter(two).err(), Some(RefusalReason::TooManyConnections));
    }
}

//! Where connections wait until they are let in: all that strangers can hold of the broker, and take of its processors.
//!
//! From the accepted socket over TLS, WebSocket and CONNECT to the end of the password check. `places.rs` says who waits
//! and who has to go when there is no room, `turns.rs` whose handshake is computed next.

mod places;
mod turns;

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use self::{
    places::{Full, Number, Places, Room},
    turns::Turns,
};
use crate::{
    auth::AddressKey,
    config::Limits,
    metrics::{Metrics, RefusalReason},
};

/// What each CONNECT packet may have without a share of `connect_bytes_total`: more than nearly all of them need.
const FREE_BYTES: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Lobby {
    bounds: ArcSwap<Bounds>,
    places: Mutex<Places<oneshot::Sender<()>>>,
    handshakes: Arc<Turns>,
    /// How much of `connect_bytes_total` is taken.
    bytes: AtomicUsize,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Bounds {
    room: Room,
    bytes_total: usize,
}

impl Bounds {
    fn new(limits: &Limits) -> Self {
        let room =
            Room { total: limits.pending_connections, per_address: limits.pending_connections_per_address };
        Self { room, bytes_total: limits.connect_bytes_total }
    }
}

/// A connection that waits; its place is given back when dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    lobby: Arc<Lobby>,
    number: Number,
    address: AddressKey,
    /// How much of `connect_bytes_total` it has.
    bytes: usize,
}

/// Whether a place in the lobby was given to somebody else.
#[derive(Debug)]
pub(super) struct Displacement(oneshot::Receiver<()>);

impl Displacement {
    /// Waits until the place is given to somebody else; for ever once it was given back.
    pub(super) async fn happens(self) {
        if self.0.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// All CONNECT packets together have more bytes than they may.
#[derive(Debug)]
pub(super) struct NoMemory;

impl Lobby {
    pub(super) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            bounds: ArcSwap::from_pointee(Bounds::new(limits)),
            places: Mutex::default(),
            handshakes: Turns::new(limits.tls_handshakes),
            bytes: AtomicUsize::new(0),
            metrics,
        })
    }

    /// These hold from now on. Who is inside stays.
    pub(super) fn set_limits(&self, limits: &Limits) {
        self.bounds.store(Arc::new(Bounds::new(limits)));
        self.handshakes.set_most(limits.tls_handshakes);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.lock().len()
    }

    /// A place for a new connection, which may be that of another one. `spared`: its address has no limit of its own.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        spared: bool,
    ) -> Result<(Waiting, Displacement), RefusalReason> {
        let mut room = self.bounds.load().room;
        if spared {
            room.per_address = usize::MAX;
        }
        let address = AddressKey::from(address);
        let (owner, displaced) = oneshot::channel();
        let arrived = self.places.lock().arrive(address, room, owner);
        let (number, other) = arrived.map_err(|full| match full {
            Full::Total => RefusalReason::TooManyPending,
            Full::Address => RefusalReason::TooManyPendingFromAddress,
        })?;
        match other {
            // It may have gone by itself.
            Some(other) => drop(other.send(())),
            None => {
                self.metrics.connections_pending.inc();
            }
        }
        let waiting = Waiting { lobby: Arc::clone(self), number, address, bytes: 0 };
        Ok((waiting, Displacement(displaced)))
    }
}

impl Waiting {
    /// The client waits for the broker as long as this runs.
    pub(super) async fn at_work<T>(&self, work: impl Future<Output = T>) -> T {
        self.lobby.places.lock().set_busy(self.number);
        let done = work.await;
        self.lobby.places.lock().set_idle(self.number);
        done
    }

    /// Does a handshake, each step of it when there is a turn. No turn is taken while the client has to say something.
    pub(super) async fn by_turns<F: Future + Unpin>(&self, mut handshake: F) -> F::Output {
        loop {
            let step = self.at_work(async {
                let _turn = self.lobby.handshakes.take(self.address).await;
                std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut handshake).poll(cx))).await
            });
            if let Poll::Ready(done) = step.await {
                return done;
            }
            // The handshake has asked to be woken when there is more to read, or room to write.
            let mut was_polled = false;
            std::future::poll_fn(|_| match std::mem::replace(&mut was_polled, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }
    }

    /// Gives the place back. False if it was given to somebody else, who counts in its stead.
    pub(super) fn leave(&self) -> bool {
        let had_place = self.lobby.places.lock().leave(self.number).is_some();
        if had_place {
            self.lobby.metrics.connections_pending.dec();
        }
        had_place
    }

    /// The CONNECT packet is about to need so many bytes.
    pub(super) fn holds(&mut self, bytes: usize) -> Result<(), NoMemory> {
        let more = bytes.saturating_sub(FREE_BYTES).saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        self.bytes += more;
        let before = self.lobby.bytes.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.lobby.bounds.load().bytes_total {
            Err(NoMemory)
        } else {
            Ok(())
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lobby.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lobby(change: impl FnOnce(&mut Limits)) -> Arc<Lobby> {
        let mut limits = Limits::default();
        change(&mut limits);
        Lobby::new(&limits, Metrics::new())
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[tokio::test]
    async fn a_place_that_is_given_away_is_told_and_counted_once() {
        let lobby = lobby(|limits| limits.pending_connections = 2);
        let (first, displaced) = lobby.enter(address(1), false).unwrap();
        let _second = lobby.enter(address(1), false).unwrap();
        let third = lobby.enter(address(2), false).unwrap();
        displaced.happens().await;
        drop(first);
        assert_eq!((lobby.len(), lobby.metrics.connections_pending.get()), (2, 2));
        drop(third);
        assert_eq!((lobby.len(), lobby.metrics.connections_pending.get()), (1, 1));
    }

    #[tokio::test]
    async fn the_limit_of_an_address_spares_some() {
        let lobby = lobby(|limits| limits.pending_connections_per_address = 1);
        let (first, _) = lobby.enter(address(1), false).unwrap();
        let refused = first.at_work(async { lobby.enter(address(1), false).err() }).await;
        assert_eq!(refused, Some(RefusalReason::TooManyPendingFromAddress));
        let others = [1, 1, 2].map(|last| lobby.enter(address(last), last == 1).unwrap());
        assert_eq!(lobby.len(), 4);
        drop((first, others));
        assert_eq!(lobby.len(), 0);
    }

    #[test]
    fn large_connect_packets_share_a_budget_and_small_ones_do_not_need_it() {
        let lobby = lobby(|limits| limits.connect_bytes_total = 10_000);
        let mut waiting = [1, 2, 3].map(|last| lobby.enter(address(last), false).unwrap().0);
        let [one, two, three] = &mut waiting;
        assert!(one.holds(FREE_BYTES + 6_000).is_ok() && one.holds(FREE_BYTES + 5_000).is_ok());
        assert!(two.holds(FREE_BYTES + 4_001).is_err());
        assert!(three.holds(FREE_BYTES).is_ok());
        drop(waiting);
        assert_eq!(lobby.bytes.load(Ordering::Relaxed), 0);
    }

    /// A handshake of three steps, which another one may not overtake while it is computed.
    #[tokio::test]
    async fn a_handshake_that_waits_for_its_client_holds_no_turn() {
        let lobby = lobby(|limits| limits.tls_handshakes = 1);
        let (silent, _keep) = lobby.enter(address(1), false).unwrap();
        let (other, _keep_too) = lobby.enter(address(2), false).unwrap();
        let mut never = std::pin::pin!(silent.by_turns(std::future::pending::<()>()));
        let mut steps = 3;
        let talks = other.by_turns(std::future::poll_fn(move |cx| {
            steps -= 1;
            cx.waker().wake_by_ref();
            if steps == 0 { Poll::Ready("done") } else { Poll::Pending }
        }));
        let done = tokio::select! {
            biased;
            () = &mut never => "never",
            done = talks => done,
        };
        assert_eq!(done, "done");
    }
}

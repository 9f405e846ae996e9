//! Client identifier to session. A session is in one place at a time: with its connection, on its way to the next
//! connection of the same client, or parked here.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use foldhash::fast::RandomState;
use gaugeline_protocol::{ClientId, ReasonCode, packet::Will, session::Session};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Owner, Seat};
use crate::{
    auth::{Access, Identity},
    router::{Delivery, Mailbox, RetainedWalk},
};

/// Shards by client identifier: connects of different clients seldom meet.
const SHARDS: usize = 32;

/// All sessions.
#[derive(Debug)]
pub struct Registry {
    shards: Vec<Mutex<HashMap<ClientId, Slot, RandomState>>>,
    hasher: RandomState,
    online: AtomicUsize,
    offline: AtomicUsize,
}

/// A session without a connection.
#[derive(Debug)]
pub struct Parked {
    /// The protocol's state.
    pub session: Session<Delivery>,
    /// Where its messages wait.
    pub mailbox: Arc<Mailbox>,
    /// The retained messages that its last connection had still to send.
    pub walks: Vec<RetainedWalk>,
    /// When it ends; `None` is never.
    pub expires_at: Option<Instant>,
    /// A will that is published unless the client is back in time.
    pub will: Option<PendingWill>,
    /// Since when it has no connection, in nanoseconds since 1970; `None`: since before this process.
    pub away_since: Option<u64>,
}

impl Parked {
    /// Whose it is.
    pub fn owner(&self) -> Owner {
        let identity = self.mailbox.identity();
        Owner {
            realm: identity.realm,
            user: identity.user.clone(),
            is_certified: self.mailbox.is_certified(),
        }
    }
}

/// A will that waits for its delay [MQTT-3.1.3-9].
#[derive(Debug)]
pub struct PendingWill {
    /// The will.
    pub will: Box<Will>,
    /// Who left it: the last connection, not the one that opened the session.
    pub identity: Identity,
    /// When it is due.
    pub due: Instant,
}

/// A will whose time has come, and the parked session that left it.
#[derive(Debug)]
pub struct DueWill {
    /// The will.
    pub pending: PendingWill,
    /// The session's mailbox.
    pub mailbox: Arc<Mailbox>,
    /// When the session ends.
    pub expires_at: Option<Instant>,
}

#[derive(Debug)]
enum Slot {
    Online { seat: Arc<Seat>, heir: Option<Heir> },
    Offline(Box<Parked>),
}

impl Slot {
    /// Whether it belongs to another user, who would be let in still.
    fn is_foreign(&self, claimant: &Seat, access: &Access) -> bool {
        let claimant = claimant.owner();
        let is_foreign = |owner: &Owner| owner.is_protected(access) && !owner.is_same(&claimant, access);
        match self {
            // The heir is in as good as the occupant, and will have the session.
            Self::Online { seat, heir } => {
                let seats = heir.iter().map(|heir| &heir.seat).chain([seat]);
                seats.into_iter().any(|seat| seat.is_trusted() && is_foreign(&seat.owner()))
            }
            Self::Offline(parked) => is_foreign(&parked.owner()),
        }
    }
}

/// A newer connection of the same client, which waits for the session.
#[derive(Debug)]
struct Heir {
    seat: Arc<Seat>,
    session: oneshot::Sender<Option<Box<Parked>>>,
}

/// A client that is connected, for those who look from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineClient {
    /// Its identifier.
    pub client_id: ClientId,
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
    /// Where it connects from, and since when, in nanoseconds since 1970.
    pub arrival: Option<(SocketAddr, u64)>,
}

impl OnlineClient {
    fn of(client_id: &ClientId, seat: &Seat) -> Self {
        Self { client_id: client_id.clone(), user: seat.user_name(), arrival: seat.arrival() }
    }
}

/// A session without a connection, for those who look from outside.
#[derive(Debug, Clone)]
pub struct AwayClient {
    /// Whose it is.
    pub client_id: ClientId,
    /// `None` for an anonymous client.
    pub user: Option<Arc<str>>,
    /// Messages and bytes that wait.
    pub waiting: (usize, usize),
    /// See [`Parked::away_since`].
    pub since: Option<u64>,
    /// When it ends; `None` is never.
    pub expires_at: Option<Instant>,
}

impl AwayClient {
    fn of(client_id: &ClientId, parked: &Parked) -> Self {
        // What was sent and not acknowledged has left the mailbox, and waits all the same.
        let (messages, bytes) = parked.mailbox.waiting();
        Self {
            client_id: client_id.clone(),
            user: parked.mailbox.identity().user.clone(),
            waiting: (messages + parked.session.inflight(), bytes),
            since: parked.away_since,
            expires_at: parked.expires_at,
        }
    }
}

/// What became of a session that was to be taken out.
#[derive(Debug)]
pub enum Removal {
    /// It is the caller's, who ends it.
    Done(Box<Parked>),
    /// Its client is connected: nothing was touched.
    Online,
    /// There is none.
    Absent,
}

/// A session, for those who look from outside.
#[derive(Debug)]
pub enum Found {
    /// Its client is connected.
    Online(OnlineClient),
    /// Its client is away.
    Offline {
        /// `None` for an anonymous client.
        user: Option<Arc<str>>,
        /// The filters.
        subscriptions: Vec<String>,
        /// Messages and bytes that wait.
        waiting: (usize, usize),
        /// When it ends; `None` is never.
        expires_at: Option<Instant>,
        /// See [`Parked::away_since`].
        since: Option<u64>,
    },
}

/// What a new connection finds under its client identifier.
#[derive(Debug)]
pub enum Claim {
    /// Nothing.
    Free,
    /// A parked session, now in the claimant's hands.
    Parked(Box<Parked>),
    /// Another connection, which has been told to end and will hand over its session, if it leaves one. An error
    /// means that a still newer connection has come in between.
    Occupied(oneshot::Receiver<Option<Box<Parked>>>),
    /// The session of another user, who would be let in still: nothing was touched.
    Foreign,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            online: AtomicUsize::new(0),
            offline: AtomicUsize::new(0),
        }
    }
}

impl Registry {
    /// A connection takes the place of its client identifier; an older one is told to end [MQTT-3.1.4-3]. `access`: the
    /// rules of now, which say whose place must not be taken by others.
    pub fn claim(&self, client_id: &ClientId, seat: &Arc<Seat>, access: &Access) -> Claim {
        let mut shard = self.shard(client_id).lock();
        let online = || Slot::Online { seat: Arc::clone(seat), heir: None };
        let Some(slot) = shard.get_mut(client_id) else {
            shard.insert(client_id.clone(), online());
            self.online.fetch_add(1, Ordering::Relaxed);
            return Claim::Free;
        };
        if slot.is_foreign(seat, access) {
            return Claim::Foreign;
        }
        match slot {
            Slot::Online { seat: occupant, heir } => {
                let (session, receiver) = oneshot::channel();
                // An heir that waited already is dropped here, and so learns that it is too late.
                *heir = Some(Heir { seat: Arc::clone(seat), session });
                let occupant = Arc::clone(occupant);
                drop(shard);
                occupant.vacate(ReasonCode::SessionTakenOver);
                Claim::Occupied(receiver)
            }
            Slot::Offline(_) => {
                self.online.fetch_add(1, Ordering::Relaxed);
                self.offline.fetch_sub(1, Ordering::Relaxed);
                match std::mem::replace(slot, online()) {
                    Slot::Offline(parked) => Claim::Parked(parked),
                    Slot::Online { .. } => Claim::Free,
                }
            }
        }
    }

    /// A connection has ended and leaves this session, if any: to its heir, or here. What nobody takes is returned:
    /// the caller ends it. A connection that is no longer in its place changes nothing.
    pub fn leave(
        &self,
        client_id: &ClientId,
        seat: &Arc<Seat>,
        parked: Option<Box<Parked>>,
    ) -> Option<Box<Parked>> {
        let mut shard = self.shard(client_id).lock();
        let Some(Slot::Online { seat: occupant, heir }) = shard.get_mut(client_id) else { return parked };
        if !Arc::ptr_eq(occupant, seat) {
            return parked;
        }
        if let Some(next) = heir.take() {
            *occupant = Arc::clone(&next.seat);
            drop(shard);
            return match next.session.send(parked) {
                Ok(()) => None,
                // The heir has given up meanwhile: it leaves in its turn.
                Err(parked) => self.leave(client_id, &next.seat, parked),
            };
        }
        self.online.fetch_sub(1, Ordering::Relaxed);
        match parked {
            Some(parked) => {
                self.offline.fetch_add(1, Ordering::Relaxed);
                shard.insert(client_id.clone(), Slot::Offline(parked));
            }
            None => {
                shard.remove(client_id);
            }
        }
        None
    }

    /// Parks a session that an earlier process left.
    pub fn restore(&self, client_id: ClientId, parked: Box<Parked>) {
        self.offline.fetch_add(1, Ordering::Relaxed);
        self.shard(&client_id).lock().insert(client_id, Slot::Offline(parked));
    }

    /// Takes out a parked session whose time has come.
    pub fn remove_expired(&self, client_id: &ClientId, now: Instant) -> Option<Box<Parked>> {
        let mut shard = self.shard(client_id).lock();
        match shard.get(client_id) {
            Some(Slot::Offline(parked)) if parked.expires_at.is_some_and(|at| at <= now) => {}
            _ => return None,
        }
        self.offline.fetch_sub(1, Ordering::Relaxed);
        match shard.remove(client_id) {
            Some(Slot::Offline(parked)) => Some(parked),
            _ => None,
        }
    }

    /// Takes out a parked session, whatever its time.
    pub fn remove_parked(&self, client_id: &ClientId) -> Removal {
        let mut shard = self.shard(client_id).lock();
        match shard.remove(client_id) {
            Some(Slot::Offline(parked)) => {
                self.offline.fetch_sub(1, Ordering::Relaxed);
                Removal::Done(parked)
            }
            Some(online) => {
                shard.insert(client_id.clone(), online);
                Removal::Online
            }
            None => Removal::Absent,
        }
    }

    /// Whether the client's session is parked, and ends or has a will due at exactly this time.
    pub fn waits_for(&self, client_id: &ClientId, at: Instant) -> bool {
        match self.shard(client_id).lock().get(client_id) {
            Some(Slot::Offline(parked)) => {
                parked.expires_at == Some(at) || parked.will.as_ref().is_some_and(|will| will.due == at)
            }
            _ => false,
        }
    }

    /// Takes a due will out of a parked session.
    pub fn take_due_will(&self, client_id: &ClientId, now: Instant) -> Option<DueWill> {
        match self.shard(client_id).lock().get_mut(client_id) {
            Some(Slot::Offline(parked)) if parked.will.as_ref().is_some_and(|will| will.due <= now) => {
                let pending = parked.will.take()?;
                Some(DueWill { pending, mailbox: Arc::clone(&parked.mailbox), expires_at: parked.expires_at })
            }
            _ => None,
        }
    }

    /// Looks at every session without a connection, a shard at a time.
    pub fn for_each_parked(&self, mut look: impl FnMut(&ClientId, &Parked)) {
        for shard in &self.shards {
            for (client_id, slot) in shard.lock().iter() {
                if let Slot::Offline(parked) = slot {
                    look(client_id, parked);
                }
            }
        }
    }

    /// Tells every connection to end, except that of the client that is spared.
    pub fn vacate_all(&self, reason: ReasonCode, spared: Option<&ClientId>) {
        self.vacate_where(reason, |client_id, _| Some(client_id) != spared);
    }

    /// Tells the connections to end that `chosen` chooses; returns how many.
    pub fn vacate_where(&self, reason: ReasonCode, chosen: impl Fn(&ClientId, &Seat) -> bool) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            let seats = shard
                .lock()
                .iter()
                .filter_map(|(client_id, slot)| match slot {
                    Slot::Online { seat, .. } if chosen(client_id, seat) => Some(Arc::clone(seat)),
                    Slot::Online { .. } | Slot::Offline(_) => None,
                })
                .collect::<Vec<_>>();
            count += seats.len();
            for seat in seats {
                seat.vacate(reason);
            }
        }
        count
    }

    /// Tells the connection of one client to end; false if there is none.
    pub fn vacate(&self, client_id: &ClientId, reason: ReasonCode) -> bool {
        let seat = match self.shard(client_id).lock().get(client_id) {
            Some(Slot::Online { seat, .. }) => Arc::clone(seat),
            _ => return false,
        };
        seat.vacate(reason);
        true
    }

    /// Connected clients in the order of their identifiers: those behind `after`, at most `count`.
    pub fn online_after(&self, after: Option<&str>, count: usize) -> Vec<OnlineClient> {
        self.first_after(after, count, |client_id, slot| match slot {
            Slot::Online { seat, .. } => Some(OnlineClient::of(client_id, seat)),
            Slot::Offline(_) => None,
        })
    }

    /// The same of those who are away and have a session.
    pub fn away_after(&self, after: Option<&str>, count: usize) -> Vec<AwayClient> {
        self.first_after(after, count, |client_id, slot| match slot {
            Slot::Online { .. } => None,
            Slot::Offline(parked) => Some(AwayClient::of(client_id, parked)),
        })
    }

    fn first_after<T>(
        &self,
        after: Option<&str>,
        count: usize,
        look: impl Fn(&ClientId, &Slot) -> Option<T>,
    ) -> Vec<T> {
        let mut first = BTreeMap::new();
        for shard in &self.shards {
            for (client_id, slot) in shard.lock().iter() {
                let name = client_id.as_str();
                let is_far =
                    || first.last_key_value().is_some_and(|(last, _): (&ClientId, _)| last <= client_id);
                if after.is_some_and(|after| name <= after) || (first.len() >= count && is_far()) {
                    continue;
                }
                let Some(found) = look(client_id, slot) else { continue };
                first.insert(client_id.clone(), found);
                if first.len() > count {
                    first.pop_last();
                }
            }
        }
        first.into_values().collect()
    }

    /// The session of a client.
    pub fn find(&self, client_id: &ClientId) -> Option<Found> {
        Some(match self.shard(client_id).lock().get(client_id)? {
            Slot::Online { seat, .. } => Found::Online(OnlineClient::of(client_id, seat)),
            Slot::Offline(parked) => Found::Offline {
                user: parked.mailbox.identity().user.clone(),
                subscriptions: parked
                    .session
                    .subscriptions()
                    .iter()
                    .map(|(filter, _)| filter.to_string())
                    .collect(),
                waiting: parked.mailbox.waiting(),
                expires_at: parked.expires_at,
                since: parked.away_since,
            },
        })
    }

    /// Whether the client is connected.
    pub fn is_online(&self, client_id: &ClientId) -> bool {
        matches!(self.shard(client_id).lock().get(client_id), Some(Slot::Online { .. }))
    }

    /// Whether the client has a session, with or without a connection.
    pub fn knows(&self, client_id: &ClientId) -> bool {
        self.shard(client_id).lock().contains_key(client_id)
    }

    /// How many sessions are connected, and how many are parked.
    pub fn counts(&self) -> (usize, usize) {
        (self.online.load(Ordering::Relaxed), self.offline.load(Ordering::Relaxed))
    }

    fn shard(&self, client_id: &ClientId) -> &Mutex<HashMap<ClientId, Slot, RandomState>> {
        let at = self.hasher.hash_one(client_id) as usize % self.shards.len();
        // `shards` is never empty and `at` is below its length.
        self.shards.get(at).unwrap_or_else(|| unreachable!("a shard of every hash"))
    }
}

#[cfg(test)]
mod tests;

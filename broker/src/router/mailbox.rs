//! Where publishers leave what a session is to get: any of them pushes, the session's one owner drains.
//!
//! Two kinds of content, in one order: encoded frames, copied in under the lock (cheapest for small messages to
//! connected clients), and deliveries, which share the message (for sessions that keep it, and for large or unusual
//! messages). While no connection owns the mailbox, only deliveries above QoS 0 are taken.
//!
//! Bounded: above [`super::MailboxLimits::stall_bytes`] a publisher is asked to wait; a mailbox whose owner does not catch up
//! in time is marked as lagging, and from then on messages over the limits are dropped and counted, until it is nearly
//! empty again. One short lock; nothing is called while it is held.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::Waker,
};

use arc_swap::{ArcSwap, Guard};
use gaugeline_protocol::QoS;
use parking_lot::Mutex;

use super::{
    Contents, Delivery, DeliveryOptions, Entry, Frames, LiveLimits, MailboxId, MailboxOptions, Message,
    Overflow, QueueTotal, Stamp, Wire,
};
use crate::auth::Identity;

/// What became of a push.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How many messages were dropped because the mailbox was full.
    pub dropped: u32,
    /// The mailbox is over its stall limit: read no more until it has drained.
    pub stall: bool,
}

/// The one place where messages for a session wait.
#[derive(Debug)]
pub struct Mailbox {
    id: MailboxId,
    identity: ArcSwap<Identity>,
    certified: AtomicBool,
    options: MailboxOptions,
    limits: Arc<LiveLimits>,
    total: Arc<QueueTotal>,
    /// A [`Wire`]; changed only under the lock of `state`, read without it as a hint that the lock confirms.
    wire: AtomicU8,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    contents: Contents,
    /// What the owner has drained but not sent yet.
    held_messages: usize,
    held_bytes: usize,
    /// The messages and bytes of this that are in the total.
    counted: (usize, usize),
    owner: Option<Waker>,
    stalled: Vec<Waker>,
    lagging: bool,
    closed: bool,
}

impl Mailbox {
    /// An empty mailbox without a connection. `persistent`: its session outlives its connections.
    pub fn new(
        id: MailboxId,
        identity: Identity,
        options: MailboxOptions,
        limits: Arc<LiveLimits>,
        total: Arc<QueueTotal>,
    ) -> Self {
        Self {
            id,
            identity: ArcSwap::from_pointee(identity),
            certified: AtomicBool::new(false),
            options,
            limits,
            total,
            wire: AtomicU8::new(Wire::Offline as u8),
            state: Mutex::new(State::default()),
        }
    }

    /// Its name.
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// Whose messages these are: read rights are decided on it.
    pub fn identity(&self) -> Guard<Arc<Identity>> {
        self.identity.load()
    }

    /// The client has come again, perhaps from elsewhere.
    pub fn set_identity(&self, identity: Identity) {
        self.identity.store(Arc::new(identity));
    }

    /// Whether the user name of its last client came from a certificate.
    pub fn is_certified(&self) -> bool {
        self.certified.load(Ordering::Relaxed)
    }

    /// The client's user name came from a certificate, or did not.
    pub fn set_certified(&self, certified: bool) {
        self.certified.store(certified, Ordering::Relaxed);
    }

    /// Whether messages above QoS 0 must outlive the connection.
    pub fn is_persistent(&self) -> bool {
        self.options.persistent
    }

    /// How its session wants its messages.
    pub fn options(&self) -> MailboxOptions {
        self.options
    }

    /// Whether a message delivered at this QoS must outlive the connection.
    pub fn keeps(&self, qos: QoS) -> bool {
        self.options.persistent && (qos != QoS::AtMostOnce || self.options.queues_qos0)
    }

    /// What the owner takes at present.
    pub fn wire(&self) -> Wire {
        match self.wire.load(Ordering::Relaxed) {
            1 => Wire::V3,
            2 => Wire::V5,
            3 => Wire::Deliveries,
            _ => Wire::Offline,
        }
    }

    /// A connection becomes the owner, or (with [`Wire::Offline`]) stops being it: frames that nobody can send any
    /// more are dropped, and their number is returned; deliveries above QoS 0 stay.
    pub fn set_wire(&self, wire: Wire) -> usize {
        let mut state = self.state.lock();
        self.wire.store(wire as u8, Ordering::Relaxed);
        state.owner = None;
        state.lagging = false;
        let stalled = std::mem::take(&mut state.stalled);
        let dropped =
            if wire == Wire::Offline { state.contents.keep_deliveries(|qos| self.keeps(qos)) } else { 0 };
        state.held_bytes = 0;
        state.held_messages = 0;
        self.count(&mut state);
        drop(state);
        wake_all(stalled);
        dropped
    }

    /// Copies encoded packets in. `wire` is what they were encoded for; if the owner has changed meanwhile, nothing is
    /// taken and `None` returned: the publisher asks again what the mailbox takes.
    pub fn push_frames(&self, wire: Wire, frames: &Frames, wakers: &mut Vec<Waker>) -> Option<Pushed> {
        let mut state = self.state.lock();
        if state.closed {
            return Some(Pushed::default());
        }
        if self.wire() != wire {
            return None;
        }
        let messages = frames.each.len();
        if self.lacks_room_for(&state, frames.bytes.len(), messages, frames.qos) {
            return Some(Pushed { dropped: u32::try_from(messages).unwrap_or(u32::MAX), stall: false });
        }
        state.contents.push_frames(frames);
        Some(self.pushed(&mut state, wakers))
    }

    /// Pushes messages that are encoded when they are sent, all with the same options.
    ///
    /// Messages that had to make room for them are added to `evicted`.
    pub fn push_messages(
        &self,
        messages: &[Arc<Message>],
        options: &DeliveryOptions,
        wakers: &mut Vec<Waker>,
        evicted: &mut Vec<(MailboxId, Stamp)>,
    ) -> Pushed {
        let mut state = self.state.lock();
        if state.closed || (!self.keeps(options.qos) && self.wire() == Wire::Offline) {
            return Pushed::default();
        }
        let mut dropped = 0;
        for message in messages {
            // Once one finds no room, those behind it do not either: no message overtakes another.
            if dropped == 0 && self.options.overflow == Overflow::DropOldest && options.qos != QoS::AtMostOnce
            {
                self.make_room(&mut state, message.size(), evicted);
            }
            if dropped > 0 || self.lacks_room_for(&state, message.size(), 1, options.qos) {
                dropped += 1;
            } else {
                state.contents.push_delivery(options.deliver(message));
                self.count(&mut state);
            }
        }
        Pushed { dropped, ..self.pushed(&mut state, wakers) }
    }

    fn pushed(&self, state: &mut State, wakers: &mut Vec<Waker>) -> Pushed {
        wakers.extend(state.owner.take());
        self.count(state);
        let over = state.bytes() > self.limits.stall_bytes();
        Pushed { dropped: 0, stall: over && !state.lagging && self.wire() != Wire::Offline }
    }

    /// Takes everything out, into `contents`, which must be empty (its buffers stay here for the next messages).
    /// `held_messages` and `held_bytes` tell what the owner still has from before.
    pub fn drain(&self, contents: &mut Contents, held_messages: usize, held_bytes: usize) {
        let mut state = self.state.lock();
        std::mem::swap(&mut state.contents, contents);
        state.held_messages = held_messages + contents.messages;
        state.held_bytes = held_bytes + contents.bytes;
        self.count(&mut state);
        let stalled = state.caught_up(&self.limits);
        drop(state);
        wake_all(stalled);
    }

    /// The owner waits: `waker` is taken by the next push. False if there is something to drain already. Also reports
    /// what the owner still holds, so that stalled publishers go on once it has been sent.
    pub fn wait(&self, waker: &Waker, held_messages: usize, held_bytes: usize) -> bool {
        let mut state = self.state.lock();
        state.held_messages = held_messages;
        state.held_bytes = held_bytes;
        self.count(&mut state);
        let empty = state.contents.is_empty();
        if empty && !state.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            state.owner = Some(waker.clone());
        }
        let stalled = state.caught_up(&self.limits);
        drop(state);
        wake_all(stalled);
        empty
    }

    /// Wakes the owner for a reason other than a message.
    pub fn wake(&self) {
        let owner = self.state.lock().owner.take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// A stalled publisher waits for room. False if there is room already.
    pub fn wait_for_room(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        let full = !state.lagging
            && !state.closed
            && self.wire() != Wire::Offline
            && state.bytes() > self.limits.stall_bytes();
        if full && !state.stalled.iter().any(|known| known.will_wake(waker)) {
            state.stalled.push(waker.clone());
        }
        full
    }

    /// The owner did not catch up while a publisher waited: nobody waits for it any more. True the first time.
    pub fn mark_lagging(&self) -> bool {
        let mut state = self.state.lock();
        let stalled = std::mem::take(&mut state.stalled);
        let first = !std::mem::replace(&mut state.lagging, true);
        drop(state);
        wake_all(stalled);
        first
    }

    /// The session has ended: what is in here is dropped and its number returned; pushes are ignored from now on.
    pub fn close(&self) -> usize {
        let mut state = self.state.lock();
        state.closed = true;
        let contents = std::mem::take(&mut state.contents);
        (state.held_messages, state.held_bytes) = (0, 0);
        self.count(&mut state);
        let stalled = std::mem::take(&mut state.stalled);
        drop(state);
        wake_all(stalled);
        contents.messages
    }

    /// Puts deliveries back in front of everything else, in their order: what the last connection had taken out and
    /// not sent.
    pub fn put_back(&self, deliveries: impl DoubleEndedIterator<Item = Delivery>) {
        let mut state = self.state.lock();
        for delivery in deliveries.rev() {
            state.contents.messages += 1;
            state.contents.bytes += delivery.message.size();
            state.contents.entries.push_front(Entry::Delivery(delivery));
        }
        self.count(&mut state);
    }

    /// How full it is, in percent of the nearer of its limits, and the stamp of the oldest message that waits.
    pub fn fullness(&self) -> (u8, Option<Stamp>) {
        let state = self.state.lock();
        let messages = state.contents.messages + state.held_messages;
        let percent = |used: usize, most: usize| used.saturating_mul(100) / most.max(1);
        let fuller =
            percent(messages, self.limits.messages()).max(percent(state.bytes(), self.limits.bytes()));
        let oldest = state.contents.entries.iter().find_map(|entry| match entry {
            Entry::Delivery(delivery) => Some(delivery.message.stamp()),
            Entry::Run { .. } | Entry::Frame { .. } => None,
        });
        (u8::try_from(fuller.min(100)).unwrap_or(100), oldest)
    }

    /// How many messages and bytes are waiting, what the owner holds included.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.contents.messages + state.held_messages, state.bytes())
    }

    /// Brings the total up to date with what is in here.
    fn count(&self, state: &mut State) {
        let now = (state.contents.messages + state.held_messages, state.bytes());
        self.total.update(std::mem::replace(&mut state.counted, now), now);
    }

    /// Whether a message of this QoS, of so many bytes, would be taken now.
    pub fn has_room_for(&self, bytes: usize, qos: QoS) -> bool {
        if self.options.overflow == Overflow::DropOldest && qos != QoS::AtMostOnce {
            return true;
        }
        !self.lacks_room_for(&self.state.lock(), bytes, 1, qos)
    }

    /// Drops the oldest deliveries until a message of this size has room, or nothing is left to drop.
    fn make_room(&self, state: &mut State, bytes: usize, evicted: &mut Vec<(MailboxId, Stamp)>) {
        while self.lacks_room_for(state, bytes, 1, QoS::AtLeastOnce)
            && let Some(stamp) = state.contents.pop_oldest_delivery()
        {
            evicted.push((self.id, stamp));
            self.count(state);
        }
    }

    /// QoS 0 to a lagging owner is dropped at the stall limit, so that the rest of the room is left to messages that
    /// were promised.
    fn lacks_room_for(&self, state: &State, bytes: usize, messages: usize, qos: QoS) -> bool {
        let bytes_after = state.bytes() + bytes;
        if !self.total.has_room_for(bytes) {
            return true;
        }
        if qos == QoS::AtMostOnce {
            return bytes_after > if state.lagging { self.limits.stall_bytes() } else { self.limits.bytes() };
        }
        bytes_after > self.limits.bytes()
            || state.contents.messages + state.held_messages + messages > self.limits.messages()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.total.update(self.state.get_mut().counted, (0, 0));
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.contents.bytes + self.held_bytes
    }

    /// At half the stall limit those who waited go on, and a lagging owner is trusted again.
    fn caught_up(&mut self, limits: &LiveLimits) -> Vec<Waker> {
        if self.bytes() > limits.stall_bytes() / 2 {
            return Vec::new();
        }
        self.lagging = false;
        std::mem::take(&mut self.stalled)
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;

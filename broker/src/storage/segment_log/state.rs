//! What the records of the log add up to, and in which segment each part of it is. Pure: no IO, no clock.
//!
//! The writer and recovery apply the same records with the same code. They see different pasts: segments are removed
//! from the old end, so recovery meets records about things whose beginning is gone. Such a thing had either died, or
//! everything about it was written anew further on ([`Change::KeptMessage`], [`Change::KeptSession`]) before its oldest
//! segment went. Therefore:
//!
//! - A record that ends something needs no place of its own: it is younger than all that it ends, and goes later.
//! - While replaying, a session may be named before its beginning is read: it is assumed, and if nothing ever
//!   tells whose it is, it is dropped at the end. The writer knows all sessions, and ignores the others.
//! - Orders are counted by Sent records, whether they concern something known or not, and each segment's header says
//!   where the count stood: replaying gives every exchange the order that it had.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, fast::RandomState};
use gaugeline_protocol::{ClientId, PacketId, TopicFilter, packet::Will};

use super::occupancy::Occupancy;
use crate::{
    router::{MailboxId, Message, Stamp},
    storage::{KeptSubscription, LastConnection, Receiver, Record},
};

type Map<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A change, as the log has it.
#[derive(Debug)]
pub(super) enum Change {
    /// As it was appended.
    Record(Record),
    /// A message that is kept already became the retained message of its topic.
    RetainedKnown(Stamp),
    /// [`Record::Received`], with the exchange's place in the order.
    Received { session: MailboxId, message: Stamp, sent: Sent },
    /// Everything about a message.
    KeptMessage(KeptMessage),
    /// Everything about a session, except its messages.
    KeptSession(Box<KeptSession>),
}

/// The highest numbers ever used; they must not come back, even when nothing that used them is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// The latest stamp, zero before the first.
    pub(super) last_stamp: u64,
    /// The highest number of a session.
    pub(super) last_session: u64,
    /// How many messages were ever sent.
    pub(super) next_order: u64,
}

/// A message that is queued, in flight or retained.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) message: Arc<Message>,
    pub(super) retained: bool,
    pub(super) waiting: Vec<Waiting>,
    pub(super) segment: u64,
}

/// One who waits for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) receiver: Receiver,
    /// Set once it was given a packet id.
    pub(super) sent: Option<Sent>,
}

/// An exchange with a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sent {
    /// Its place among all exchanges.
    pub(super) order: u64,
    pub(super) packet_id: PacketId,
}

/// A session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// `None` while nothing but its name was read.
    pub(super) owner: Option<Owner>,
    pub(super) subscriptions: Map<TopicFilter, KeptSubscription>,
    /// Packet ids of QoS 2 messages from it that were not released.
    pub(super) received: HashSet<PacketId>,
    /// Exchanges at QoS 2 of which only PUBREL and PUBCOMP remain.
    pub(super) releasing: Vec<Sent>,
    /// The messages that wait for it.
    pub(super) waiting: HashSet<Stamp>,
    /// The lengths of all filters.
    pub(super) filter_bytes: u64,
    /// The oldest segment with something about this session.
    pub(super) segment: u64,
}

/// Whose a session is, and how its connection stands.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) client_id: ClientId,
    pub(super) user: Option<Arc<str>>,
    pub(super) realm: Option<Arc<str>>,
    pub(super) expiry_seconds: u32,
    pub(super) connection: LastConnection,
}

/// Everything about a message, as it is written anew.
#[derive(Debug)]
pub(super) struct KeptMessage {
    pub(super) message: Arc<Message>,
    pub(super) retained: bool,
    pub(super) waiting: Vec<Waiting>,
}

/// Everything about a session, as it is written anew.
#[derive(Debug)]
pub(super) struct KeptSession {
    pub(super) session: MailboxId,
    pub(super) owner: Owner,
    pub(super) subscriptions: Vec<(TopicFilter, KeptSubscription)>,
    pub(super) received: Vec<PacketId>,
    pub(super) releasing: Vec<Sent>,
}

/// The sum of all records.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sessions: Map<MailboxId, Session>,
    pub(super) messages: Map<Stamp, Kept>,
    pub(super) retained: HashMap<Arc<str>, Stamp>,
    pub(super) marks: Marks,
    pub(super) occupancy: Occupancy,
    /// Recovery has not finished: sessions may be named before they are introduced.
    pub(super) replaying: bool,
}

impl State {
    /// Nothing yet; records from the log follow.
    pub(super) fn replaying() -> Self {
        Self { replaying: true, ..Self::default() }
    }

    /// What follows is in this segment. `marks` is what its header says, and at least what is known.
    pub(super) fn begin_segment(&mut self, sequence: u64, marks: Marks) {
        self.occupancy.begin(sequence);
        self.marks = Marks {
            last_stamp: self.marks.last_stamp.max(marks.last_stamp),
            last_session: self.marks.last_session.max(marks.last_session),
            next_order: self.marks.next_order.max(marks.next_order),
        };
    }

    /// Whether the body of a message is in the log and needed.
    pub(super) fn keeps(&self, message: Stamp) -> bool {
        self.messages.contains_key(&message)
    }

    /// A message that is kept.
    pub(super) fn message(&self, stamp: Stamp) -> Option<&Arc<Message>> {
        self.messages.get(&stamp).map(|kept| &kept.message)
    }

    /// The order of an exchange that is, or is to be, open.
    pub(super) fn order_of(&self, session: MailboxId, message: Stamp) -> u64 {
        let waiting = self.messages.get(&message).into_iter().flat_map(|kept| &kept.waiting);
        let mut orders = waiting.filter(|waiting| waiting.receiver.session == session);
        orders.find_map(|waiting| waiting.sent).map_or(self.marks.next_order, |sent| sent.order)
    }

    /// Applies a change that is read from the log.
    pub(super) fn apply_change(&mut self, change: Change) {
        match change {
            Change::Record(record) => self.apply(record),
            Change::RetainedKnown(stamp) => {
                if let Some(message) = self.message(stamp).map(Arc::clone) {
                    self.retain(message);
                }
            }
            Change::Received { session, message, sent } => self.receive(session, message, sent),
            Change::KeptMessage(kept) => self.replace_message(kept),
            Change::KeptSession(kept) => self.replace_session(*kept),
        }
    }

    /// Applies a record.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::SessionOpened { session, client_id, user, realm, expiry_seconds, will } => {
                let connection = LastConnection::Open { will };
                self.open(session, Owner { client_id, user, realm, expiry_seconds, connection });
            }
            Record::SessionParked { session, expires_at, will } => self.park(session, expires_at, will),
            Record::SessionEnded { session } => self.end(session),
            Record::Subscribed { session, filter, subscription } => {
                self.change_session(session, |found| found.subscribe(filter, subscription));
            }
            Record::Unsubscribed { session, filter } => {
                self.change_session(session, |found| found.unsubscribe(&filter));
            }
            Record::Messages { messages, receivers, received } => {
                if let Some((session, packet_ids)) = received {
                    self.change_session(session, |found| found.received.extend(packet_ids));
                }
                self.queue(messages, &receivers);
            }
            Record::Sent { session, messages } => {
                for (packet_id, message) in messages {
                    self.send(session, message, packet_id);
                }
            }
            Record::Received { session, packet_id, message } => {
                let order = self.order_of(session, message);
                self.receive(session, message, Sent { order, packet_id });
            }
            Record::Settled { session, messages } => {
                for message in messages {
                    self.settle(message, session);
                }
            }
            Record::Completed { session, packet_id } => {
                self.change_session(session, |found| {
                    found.releasing.retain(|sent| sent.packet_id != packet_id);
                });
            }
            Record::Released { session, packet_id } => {
                self.change_session(session, |found| {
                    found.received.remove(&packet_id);
                });
            }
            Record::Retained(message) => self.retain(message),
            Record::RetainedRemoved(topic) => self.unretain(&topic),
        }
    }

    fn open(&mut self, id: MailboxId, owner: Owner) {
        self.mark(id);
        if !self.sessions.contains_key(&id) {
            self.insert_session(id);
        }
        self.change_session(id, |session| session.owner = Some(owner));
    }

    fn park(&mut self, id: MailboxId, expires_at: Option<u64>, will: Option<(Box<Will>, u64)>) {
        self.change_session(id, |session| {
            if let Some(owner) = &mut session.owner {
                owner.connection = LastConnection::Parked { expires_at, will };
            }
        });
    }

    /// The session goes, and with it whatever nobody else waits for.
    pub(super) fn end(&mut self, id: MailboxId) {
        self.mark(id);
        let Some(session) = self.sessions.remove(&id) else { return };
        self.occupancy.shrink(session.segment, session.bytes());
        for stamp in session.waiting {
            self.change_message(stamp, |kept| kept.waiting.retain(|waiting| waiting.receiver.session != id));
        }
    }

    /// Messages begin to wait.
    fn queue(&mut self, messages: Vec<Arc<Message>>, receivers: &[Receiver]) {
        let receivers: Vec<_> = receivers.iter().filter(|receiver| self.knows(receiver.session)).collect();
        for message in messages {
            let stamp = message.stamp();
            self.marks.last_stamp = self.marks.last_stamp.max(stamp.nanoseconds());
            if receivers.is_empty() {
                continue;
            }
            for receiver in &receivers {
                if let Some(session) = self.sessions.get_mut(&receiver.session) {
                    session.waiting.insert(stamp);
                }
            }
            let waiting =
                receivers.iter().map(|&receiver| Waiting { receiver: receiver.clone(), sent: None });
            if self.messages.contains_key(&stamp) {
                self.change_message(stamp, |kept| kept.waiting.extend(waiting));
            } else {
                self.insert_message(KeptMessage { message, retained: false, waiting: waiting.collect() });
            }
        }
    }

    fn send(&mut self, session: MailboxId, stamp: Stamp, packet_id: PacketId) {
        self.mark(session);
        let sent = Sent { order: self.marks.next_order, packet_id };
        self.marks.next_order += 1;
        let Some(kept) = self.messages.get_mut(&stamp) else { return };
        let mut waiting: Vec<_> =
            kept.waiting.iter_mut().filter(|waiting| waiting.receiver.session == session).collect();
        // A session may wait for a message twice, once as a new message and once as a retained one.
        let at = waiting.iter().position(|waiting| waiting.sent.is_none()).unwrap_or(0);
        if let Some(waiting) = waiting.get_mut(at) {
            waiting.sent = Some(sent);
        }
    }

    fn receive(&mut self, session: MailboxId, message: Stamp, sent: Sent) {
        self.settle(message, session);
        self.change_session(session, |found| {
            found.releasing.retain(|open| open.packet_id != sent.packet_id);
            found.releasing.push(sent);
        });
    }

    /// One delivery of a message to a session is over; a delivery that was sent, if there are two.
    fn settle(&mut self, stamp: Stamp, id: MailboxId) {
        self.mark(id);
        let Some(kept) = self.messages.get(&stamp) else { return };
        let mine = || kept.waiting.iter().enumerate().filter(|(_, waiting)| waiting.receiver.session == id);
        let Some((at, _)) = mine().find(|(_, waiting)| waiting.sent.is_some()).or_else(|| mine().next())
        else {
            return;
        };
        if mine().count() == 1
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.waiting.remove(&stamp);
        }
        self.change_message(stamp, |kept| {
            kept.waiting.remove(at);
        });
    }

    fn retain(&mut self, message: Arc<Message>) {
        let stamp = message.stamp();
        self.marks.last_stamp = self.marks.last_stamp.max(stamp.nanoseconds());
        self.index_retained(&message);
        if self.messages.contains_key(&stamp) {
            self.change_message(stamp, |kept| kept.retained = true);
        } else {
            self.insert_message(KeptMessage { message, retained: true, waiting: Vec::new() });
        }
    }

    /// The message takes the place of the one that was retained for its topic.
    pub(super) fn index_retained(&mut self, message: &Message) {
        let stamp = message.stamp();
        let before = match self.retained.get_mut(message.topic()) {
            Some(place) => Some(std::mem::replace(place, stamp)),
            None => self.retained.insert(message.topic().into(), stamp),
        };
        if let Some(before) = before.filter(|before| *before != stamp) {
            self.change_message(before, |kept| kept.retained = false);
        }
    }

    fn unretain(&mut self, topic: &str) {
        if let Some(stamp) = self.retained.remove(topic) {
            self.change_message(stamp, |kept| kept.retained = false);
        }
    }
}

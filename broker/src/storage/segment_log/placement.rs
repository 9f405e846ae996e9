//! Where the parts of the state are in the log, and how much room they take: kept in step with every change.

use gaugeline_protocol::{PacketId, TopicFilter};

use super::{
    occupancy::Item,
    state::{Kept, KeptMessage, KeptSession, Owner, Session, State},
};
use crate::{
    router::{MailboxId, Stamp},
    storage::{KeptSubscription, LastConnection},
};

// What things take in the log, rather more than less: the cleaner would not come to rest if it expected the log to
// become smaller than it can be.

/// A receiver of a message, with a subscription identifier and an open exchange.
const RECEIVER_BYTES: u64 = 32;
/// A message beside topic, properties and payload.
const MESSAGE_BYTES: u64 = 48;
/// A session beside its texts.
const SESSION_BYTES: u64 = 64;
/// A subscription beside its filter.
const SUBSCRIPTION_BYTES: u64 = 16;
/// An open exchange.
const EXCHANGE_BYTES: u64 = 16;

impl State {
    /// Changes who needs a message; it goes when nobody does.
    pub(super) fn change_message(&mut self, stamp: Stamp, change: impl FnOnce(&mut Kept)) {
        let Some(kept) = self.messages.get_mut(&stamp) else { return };
        let before = kept.bytes();
        change(kept);
        let (segment, after) = (kept.segment, kept.bytes());
        if kept.waiting.is_empty() && !kept.retained {
            self.messages.remove(&stamp);
            self.occupancy.shrink(segment, before);
        } else if after > before {
            self.occupancy.grow(segment, after - before);
        } else {
            self.occupancy.shrink(segment, before - after);
        }
    }

    /// The item's whole content was just written to the segment that is written to.
    pub(super) fn relocate(&mut self, item: Item) {
        match item {
            Item::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    let bytes = session.bytes();
                    self.occupancy.shrink(session.segment, bytes);
                    session.segment = self.occupancy.head();
                    self.occupancy.place(item, bytes);
                }
            }
            Item::Message(stamp) => {
                if let Some(kept) = self.messages.get_mut(&stamp) {
                    let bytes = kept.bytes();
                    self.occupancy.shrink(kept.segment, bytes);
                    kept.segment = self.occupancy.head();
                    self.occupancy.place(item, bytes);
                }
            }
        }
    }

    /// Something that is needed and only in the oldest segment; asked again, something else.
    pub(super) fn next_in_oldest(&mut self) -> Option<Item> {
        let oldest = self.occupancy.oldest()?;
        loop {
            let item = self.occupancy.pop_oldest()?;
            let segment = match item {
                Item::Message(stamp) => self.messages.get(&stamp).map(|kept| kept.segment),
                Item::Session(id) => self.sessions.get(&id).map(|session| session.segment),
            };
            if segment == Some(oldest) {
                return Some(item);
            }
        }
    }

    /// A session was named: its number is never given out again, whether anything is known of it or not.
    pub(super) fn mark(&mut self, id: MailboxId) {
        self.marks.last_session = self.marks.last_session.max(id.number());
    }

    pub(super) fn knows(&mut self, id: MailboxId) -> bool {
        self.mark(id);
        if self.replaying && !self.sessions.contains_key(&id) {
            self.insert_session(id);
        }
        self.sessions.contains_key(&id)
    }

    pub(super) fn change_session(&mut self, id: MailboxId, change: impl FnOnce(&mut Session)) {
        if !self.knows(id) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = session.bytes();
        change(session);
        let (segment, after) = (session.segment, session.bytes());
        if after > before {
            self.occupancy.grow(segment, after - before);
        } else {
            self.occupancy.shrink(segment, before - after);
        }
    }

    pub(super) fn insert_session(&mut self, id: MailboxId) {
        let session = Session { segment: self.occupancy.head(), ..Session::default() };
        self.occupancy.place(Item::Session(id), session.bytes());
        self.sessions.insert(id, session);
    }

    pub(super) fn insert_message(&mut self, KeptMessage { message, retained, waiting }: KeptMessage) {
        let (stamp, segment) = (message.stamp(), self.occupancy.head());
        let kept = Kept { message, retained, waiting, segment };
        self.occupancy.place(Item::Message(stamp), kept.bytes());
        self.messages.insert(stamp, kept);
    }

    pub(super) fn replace_message(&mut self, new: KeptMessage) {
        let stamp = new.message.stamp();
        self.marks.last_stamp = self.marks.last_stamp.max(stamp.nanoseconds());
        if let Some(old) = self.messages.remove(&stamp) {
            self.occupancy.shrink(old.segment, old.bytes());
            for waiting in old.waiting {
                if let Some(session) = self.sessions.get_mut(&waiting.receiver.session) {
                    session.waiting.remove(&stamp);
                }
            }
        }
        for waiting in &new.waiting {
            let id = waiting.receiver.session;
            if self.knows(id)
                && let Some(session) = self.sessions.get_mut(&id)
            {
                session.waiting.insert(stamp);
            }
        }
        if new.retained {
            self.index_retained(&new.message);
        } else if self.retained.get(new.message.topic()) == Some(&stamp) {
            self.retained.remove(new.message.topic());
        }
        self.insert_message(new);
    }

    pub(super) fn replace_session(&mut self, new: KeptSession) {
        let id = new.session;
        self.mark(id);
        if !self.sessions.contains_key(&id) {
            self.insert_session(id);
        }
        self.change_session(id, |session| {
            session.owner = Some(new.owner);
            session.filter_bytes = new.subscriptions.iter().map(|(filter, _)| filter_bytes(filter)).sum();
            session.subscriptions = new.subscriptions.into_iter().collect();
            session.received = new.received.into_iter().collect();
            session.releasing = new.releasing;
        });
        self.relocate(Item::Session(id));
    }
}

impl Session {
    pub(super) fn subscribe(&mut self, filter: TopicFilter, subscription: KeptSubscription) {
        let bytes = filter_bytes(&filter);
        if self.subscriptions.insert(filter, subscription).is_none() {
            self.filter_bytes += bytes;
        }
    }

    pub(super) fn unsubscribe(&mut self, filter: &TopicFilter) {
        if self.subscriptions.remove(filter).is_some() {
            self.filter_bytes -= filter_bytes(filter);
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        let owner = self.owner.as_ref().map_or(0, Owner::bytes);
        let entries = SUBSCRIPTION_BYTES * self.subscriptions.len() as u64
            + size_of::<PacketId>() as u64 * self.received.len() as u64
            + EXCHANGE_BYTES * self.releasing.len() as u64;
        SESSION_BYTES + owner + self.filter_bytes + entries
    }
}

impl Owner {
    fn bytes(&self) -> u64 {
        let will = match &self.connection {
            LastConnection::Open { will } => will.as_deref(),
            LastConnection::Parked { will, .. } => will.as_ref().map(|(will, _)| &**will),
        };
        let will =
            will.map_or(0, |will| will.topic.as_str().len() + will.payload.len() + will.properties.len());
        let texts = [&self.user, &self.realm].into_iter().flatten();
        let texts = self.client_id.as_str().len() + texts.map(|text| text.len()).sum::<usize>();
        (will + texts) as u64
    }
}

fn filter_bytes(filter: &TopicFilter) -> u64 {
    filter.as_str().len() as u64
}

impl Kept {
    fn bytes(&self) -> u64 {
        let message = &self.message;
        let body = message.topic().len() + message.properties().len() + message.payload().len();
        MESSAGE_BYTES + body as u64 + RECEIVER_BYTES * self.waiting.len() as u64
    }
}

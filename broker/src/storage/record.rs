//! What must outlive the process, as a series of changes. Replaying all of them, in order, gives the state back.

use std::sync::Arc;

use gaugeline_protocol::{ClientId, PacketId, QoS, TopicFilter, packet::Will, session::Subscription};

use crate::router::{MailboxId, Message, Stamp};

/// A change of what is kept. Sessions are named by their mailbox, messages by their stamp.
#[derive(Debug, Clone)]
pub enum Record {
    /// A session that outlives its connections begins, or goes on with a new connection. What was said of it before by
    /// a record of this kind, or by [`Self::SessionParked`], no longer holds; its subscriptions and messages stay.
    SessionOpened {
        /// The session.
        session: MailboxId,
        /// Whose it is.
        client_id: ClientId,
        /// The user that it belongs to.
        user: Option<Arc<str>>,
        /// The name of the realm that it is in; `None` for the first one.
        realm: Option<Arc<str>>,
        /// How long it outlives its connection, in seconds; `u32::MAX` is for ever.
        expiry_seconds: u32,
        /// What is published if the connection is lost, and by a crash of the broker it is.
        will: Option<Box<Will>>,
    },
    /// The session's connection has ended.
    SessionParked {
        /// The session.
        session: MailboxId,
        /// Until when it is kept, in nanoseconds since 1970; `None` is for ever.
        expires_at: Option<u64>,
        /// A will that waits, and when it is due, in nanoseconds since 1970.
        will: Option<(Box<Will>, u64)>,
    },
    /// The session, its subscriptions and its messages are gone.
    SessionEnded {
        /// The session.
        session: MailboxId,
    },
    /// A subscription was added or replaced.
    Subscribed {
        /// The session.
        session: MailboxId,
        /// What to.
        filter: TopicFilter,
        /// How.
        subscription: KeptSubscription,
    },
    /// A subscription was removed.
    Unsubscribed {
        /// The session.
        session: MailboxId,
        /// Which.
        filter: TopicFilter,
    },
    /// Messages wait for sessions from now on, each message for each of the receivers, in this order.
    Messages {
        /// The messages, of any QoS.
        messages: Vec<Arc<Message>>,
        /// Who gets them.
        receivers: Vec<Receiver>,
        /// The packet ids under which a publisher sent them at QoS 2: they were received, and not released yet.
        received: Option<(MailboxId, Vec<PacketId>)>,
    },
    /// Messages were given packet ids: they are, or are about to be, on their way to their receiver.
    Sent {
        /// The receiver.
        session: MailboxId,
        /// Which, and under which packet ids they must be sent again, in this order.
        messages: Vec<(PacketId, Stamp)>,
    },
    /// PUBREC has arrived: the message itself is the receiver's, and PUBREL remains to be sent.
    Received {
        /// The receiver.
        session: MailboxId,
        /// The packet id of the exchange.
        packet_id: PacketId,
        /// The message, which need not be kept for this receiver any more.
        message: Stamp,
    },
    /// Messages no longer wait for a session: they were acknowledged, or dropped.
    Settled {
        /// The receiver.
        session: MailboxId,
        /// Which.
        messages: Vec<Stamp>,
    },
    /// PUBCOMP has arrived: the exchange that [`Self::Received`] left open is complete.
    Completed {
        /// The receiver.
        session: MailboxId,
        /// The packet id of the exchange.
        packet_id: PacketId,
    },
    /// PUBREL has arrived from a publisher: its packet id may name another message.
    Released {
        /// The publisher.
        session: MailboxId,
        /// The packet id.
        packet_id: PacketId,
    },
    /// A message became the retained message of its topic.
    Retained(Arc<Message>),
    /// A topic has no retained message any more.
    RetainedRemoved(Arc<str>),
}

/// A subscription, and whether its beginning is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptSubscription {
    /// How messages are delivered.
    pub subscription: Subscription,
    /// Retained messages are still to be handed over: after a crash all of them are gone through again.
    pub walking: bool,
}

/// A session that messages wait for, and how they are delivered to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The session.
    pub session: MailboxId,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The retain flag of the delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: Option<Arc<[u32]>>,
}

impl Record {
    /// The memory it takes, near enough for limits, in bytes.
    pub fn size(&self) -> usize {
        let beside = match self {
            Self::Messages { messages, receivers, .. } => {
                messages.iter().map(|message| message.size()).sum::<usize>()
                    + size_of_val(receivers.as_slice())
            }
            Self::Retained(message) => message.size(),
            Self::Sent { messages, .. } => size_of_val(messages.as_slice()),
            Self::Settled { messages, .. } => size_of_val(messages.as_slice()),
            _ => 0,
        };
        size_of::<Self>() + beside
    }
}

//! What a store gives back when it is opened: the state that its records add up to.

use std::sync::Arc;

use gaugeline_protocol::{ClientId, PacketId, TopicFilter, packet::Will};

use super::KeptSubscription;
use crate::router::{Delivery, MailboxId, Message, Stamp};

/// Everything that outlived the last process.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The sessions, in no order.
    pub sessions: Vec<RecoveredSession>,
    /// The retained messages, in no order.
    pub retained: Vec<Arc<Message>>,
    /// The latest stamp ever given out, as far as any record tells.
    pub last_stamp: Option<Stamp>,
    /// The highest number of a session, as far as any record tells.
    pub last_session: u64,
}

/// A session as the last process left it.
#[derive(Debug)]
pub struct RecoveredSession {
    /// Its name.
    pub session: MailboxId,
    /// Whose it is.
    pub client_id: ClientId,
    /// The user that it belongs to.
    pub user: Option<Arc<str>>,
    /// The name of the realm that it is in; `None` for the first one.
    pub realm: Option<Arc<str>>,
    /// How long it outlives its connection, in seconds; `u32::MAX` is for ever.
    pub expiry_seconds: u32,
    /// How its connection stood.
    pub connection: LastConnection,
    /// Its subscriptions, in no order.
    pub subscriptions: Vec<(TopicFilter, KeptSubscription)>,
    /// Messages that wait and were not sent, in their order.
    pub queued: Vec<Delivery>,
    /// What was on its way, in the order of its packet ids' use.
    pub inflight: Vec<RecoveredInflight>,
    /// Packet ids of QoS 2 messages from the client that were not released.
    pub received: Vec<PacketId>,
}

/// How the connection of a session stood when the process ended.
#[derive(Debug, Clone)]
pub enum LastConnection {
    /// It was there, and so ended with the process.
    Open {
        /// What is to be published because it was lost.
        will: Option<Box<Will>>,
    },
    /// It had ended before.
    Parked {
        /// Until when the session is kept, in nanoseconds since 1970; `None` is for ever.
        expires_at: Option<u64>,
        /// A will that waits, and when it is due, in nanoseconds since 1970.
        will: Option<(Box<Will>, u64)>,
    },
}

/// A message, or the rest of its exchange, that the client has not acknowledged.
#[derive(Debug)]
pub struct RecoveredInflight {
    /// The packet id under which it was sent.
    pub packet_id: PacketId,
    /// What to send again; `None` if only PUBREL remains.
    pub delivery: Option<Delivery>,
}

//! A message that is kept: queued, in flight or retained. The body is stored once, however many sessions wait for it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use gaugeline_protocol::{QoS, packet::Outgoing, session};

use super::MailboxId;

/// The user property by which a client of MQTT 5 asks, in CONNECT, to be told the stamp of each message, and by which it
/// is told.
pub const RECEIVE_STAMP: &str = "gaugeline-received";

/// An immutable message: topic, properties and payload in one allocation.
#[derive(Debug)]
pub struct Message {
    /// Topic, properties, payload. Millions of messages may wait: the fields are as small as they can be.
    bytes: Box<[u8]>,
    /// A packet's lengths: both are below 2^28 [MQTT 5.0, section 1.5.5].
    topic_bytes: u32,
    properties_bytes: u32,
    expires_at: Option<Instant>,
    publisher: Option<MailboxId>,
    stamp: Stamp,
    /// Where storage must be for the message to be safe.
    safe_at: AtomicU64,
    stamp_text: OnceLock<Box<str>>,
    qos: QoS,
}

/// When the broker received a message: nanoseconds since 1970, strictly increasing, and so also the message's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// A stamp that was given out before.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since 1970.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }
}

/// Gives out stamps: the wall clock's time, or one more than the last stamp, whichever is later. The clock may stand
/// still or jump back; stamps do not.
#[derive(Debug)]
pub struct Stamper(AtomicU64);

impl Stamper {
    /// Continues behind everything that was given out before.
    pub const fn after(last: Stamp) -> Self {
        Self(AtomicU64::new(last.0))
    }

    /// The next stamp, for a wall clock of `now_nanoseconds`.
    pub fn next(&self, now_nanoseconds: u64) -> Stamp {
        let after = |last: u64| now_nanoseconds.max(last + 1);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        // The closure never refuses.
        Stamp(after(last.unwrap_or_default()))
    }
}

/// What a publisher sent, before it is copied into a [`Message`].
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The topic name.
    pub topic: &'a str,
    /// The payload.
    pub payload: &'a [u8],
    /// The encoded properties that go on to subscribers of MQTT 5.
    pub properties: &'a [u8],
    /// The QoS of the PUBLISH.
    pub qos: QoS,
    /// When the message is no longer to be delivered [MQTT-3.3.2-5].
    pub expires_at: Option<Instant>,
    /// Who published, for subscriptions with No Local.
    pub publisher: Option<MailboxId>,
}

impl Message {
    /// What a message takes beside its topic, properties and payload, in bytes.
    pub const OVERHEAD_BYTES: usize = size_of::<Self>();

    /// Copies a draft out of the buffers it borrows from.
    pub fn new(draft: &Draft<'_>, stamp: Stamp) -> Self {
        let (topic, properties, payload) = (draft.topic.as_bytes(), draft.properties, draft.payload);
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or_default();
        Self {
            bytes: [topic, properties, payload].concat().into_boxed_slice(),
            topic_bytes: length(topic),
            properties_bytes: length(properties),
            qos: draft.qos,
            expires_at: draft.expires_at,
            publisher: draft.publisher,
            stamp,
            safe_at: AtomicU64::new(0),
            stamp_text: OnceLock::new(),
        }
    }

    /// The topic name.
    pub fn topic(&self) -> &str {
        // The bytes were a `str` when the message was made, so this never takes the default.
        self.bytes
            .get(..self.topic_end())
            .and_then(|topic| std::str::from_utf8(topic).ok())
            .unwrap_or_default()
    }

    /// The encoded properties that go on to subscribers of MQTT 5.
    pub fn properties(&self) -> &[u8] {
        self.bytes.get(self.topic_end()..self.properties_end()).unwrap_or_default()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(self.properties_end()..).unwrap_or_default()
    }

    fn topic_end(&self) -> usize {
        self.topic_bytes as usize
    }

    fn properties_end(&self) -> usize {
        self.topic_end() + self.properties_bytes as usize
    }

    /// The QoS at which it was published.
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// When it is no longer to be delivered.
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Who published it.
    pub fn publisher(&self) -> Option<MailboxId> {
        self.publisher
    }

    /// When the broker received it; no two messages have the same.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Storage was told of it, and has it once it has reached this position.
    pub fn set_safe_at(&self, position: u64) {
        self.safe_at.store(position, Ordering::Relaxed);
    }

    /// Where storage must be for the message to be safe; 0 if it is kept nowhere.
    pub fn safe_at(&self) -> u64 {
        self.safe_at.load(Ordering::Relaxed)
    }

    fn stamp_text(&self) -> &str {
        self.stamp_text.get_or_init(|| self.stamp.0.to_string().into())
    }

    /// The memory it takes, near enough for limits, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len() + Self::OVERHEAD_BYTES
    }
}

/// A message on its way to one subscriber: what the session keeps until the subscriber has it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message, shared with everybody else who waits for it.
    pub message: Arc<Message>,
    /// The QoS of this delivery.
    pub qos: QoS,
    /// The retain flag of this delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: Option<Arc<[u32]>>,
    /// Whether the client is told the message's stamp.
    pub stamped: bool,
    /// How many bytes at the beginning of the topic the client does not see.
    pub hidden_topic_bytes: u16,
}

/// How messages are delivered to one subscriber.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The retain flag of the delivery.
    pub retain: bool,
    /// The identifiers of the subscriptions that matched.
    pub subscription_ids: Option<Arc<[u32]>>,
}

impl DeliveryOptions {
    /// A delivery of this message.
    pub fn deliver(&self, message: &Arc<Message>) -> Delivery {
        Delivery {
            message: Arc::clone(message),
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.subscription_ids.clone(),
            stamped: false,
            hidden_topic_bytes: 0,
        }
    }
}

impl session::Message for Delivery {
    fn outgoing(&self, now: Instant) -> Outgoing<'_> {
        Outgoing {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.message.topic().get(usize::from(self.hidden_topic_bytes)..).unwrap_or_default(),
            packet_id: None,
            payload: self.message.payload(),
            topic_alias: None,
            message_expiry_seconds: self.message.expires_at.map(|at| remaining_seconds(at, now)),
            subscription_ids: self.subscription_ids.as_deref().unwrap_or_default(),
            forwardable: self.message.properties(),
            user_property: self.stamped.then(|| (RECEIVE_STAMP, self.message.stamp_text())),
        }
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.message.expires_at.is_some_and(|at| at <= now)
    }
}

/// The expiry interval less the time waited [MQTT-3.3.2-6], rounded up so that a live message never says 0.
fn remaining_seconds(expires_at: Instant, now: Instant) -> u32 {
    let left = expires_at.saturating_duration_since(now);
    u32::try_from(left.as_secs() + u64::from(left.subsec_nanos() > 0)).unwrap_or(u32::MAX)
}

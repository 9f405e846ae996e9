//! What a mailbox takes, how its session wants its messages, and how much it holds.

use std::sync::atomic::{AtomicUsize, Ordering};

use gaugeline_protocol::Version;

/// What the owner of a mailbox takes at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Wire {
    /// There is no connection: deliveries above QoS 0 only.
    Offline = 0,
    /// Frames of MQTT 3.1 and 3.1.1, and deliveries.
    V3 = 1,
    /// Frames of MQTT 5.0, and deliveries.
    V5 = 2,
    /// Deliveries only: each message must be looked at, because the client limits the packet size.
    Deliveries = 3,
}

impl Wire {
    /// What a connection of this version takes; `limits_packets` if the client may not take every frame.
    pub fn of(version: Version, limits_packets: bool) -> Self {
        match version {
            _ if limits_packets => Self::Deliveries,
            Version::V31 | Version::V311 => Self::V3,
            Version::V5 => Self::V5,
        }
    }
}

/// How a session wants its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailboxOptions {
    /// The session outlives its connections.
    pub persistent: bool,
    /// Messages of QoS 0 wait for it too while it has no connection.
    pub queues_qos0: bool,
    /// Messages are delivered at the QoS of the subscription, even if they were published at a lower one.
    pub upgrades_qos: bool,
    /// What happens to messages that find no room.
    pub overflow: Overflow,
}

/// What happens to a message above QoS 0 that finds a mailbox full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// It is refused, and its publisher told: nothing that was acknowledged is lost.
    #[default]
    RejectNewest,
    /// It takes the place of the oldest ones, which are lost although they were acknowledged.
    DropOldest,
    /// It is lost, although it is acknowledged: as by mosquitto, no subscriber can hold up a publisher.
    DropNewest,
}

/// How much a mailbox holds, what its owner has taken out but not sent included.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// Above this many bytes publishers are asked to wait for a connected owner.
    pub stall_bytes: usize,
    /// The most bytes.
    pub bytes: usize,
    /// The most messages above QoS 0.
    pub messages: usize,
}

/// The [`MailboxLimits`] of all mailboxes, which may change while they are used.
#[derive(Debug)]
pub struct LiveLimits {
    stall_bytes: AtomicUsize,
    bytes: AtomicUsize,
    messages: AtomicUsize,
}

impl LiveLimits {
    /// Begins with these.
    pub const fn new(limits: MailboxLimits) -> Self {
        let MailboxLimits { stall_bytes, bytes, messages } = limits;
        Self {
            stall_bytes: AtomicUsize::new(stall_bytes),
            bytes: AtomicUsize::new(bytes),
            messages: AtomicUsize::new(messages),
        }
    }

    /// These hold from now on. What waits already stays, even if it is more.
    pub fn set(&self, limits: MailboxLimits) {
        self.stall_bytes.store(limits.stall_bytes, Ordering::Relaxed);
        self.bytes.store(limits.bytes, Ordering::Relaxed);
        self.messages.store(limits.messages, Ordering::Relaxed);
    }

    pub(super) fn stall_bytes(&self) -> usize {
        self.stall_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }
}

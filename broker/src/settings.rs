//! The settings that a reload replaces, as one immutable whole.
//!
//! Whoever needs several of them for one decision takes a snapshot, so that they belong together. A connection keeps the
//! snapshot of its arrival for what its client was told then, and follows the present one for the rest.

use std::{
    num::{NonZeroU16, NonZeroU32},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use gaugeline_protocol::{QoS, codec, session::ServerSettings};

use crate::{
    config::{ClientsConfig, Config, DeliveryConfig, Limits},
    router::{MailboxLimits, RetainedLimits},
};

/// Above this much in a mailbox, publishers wait for its owner: enough to keep a connection busy for a few
/// milliseconds, and little enough that a thousand slow clients fit into memory.
const STALL_BYTES: usize = 1 << 20;

/// What holds for clients, worked out from the configuration.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) delivery: DeliveryConfig,
    pub(crate) clients: ClientsConfig,
    /// Whether clients that come and go are logged.
    pub(crate) connection_messages: bool,
    /// The server's side of the negotiation with a new connection.
    pub(crate) server: ServerSettings,
    pub(crate) packets: codec::Limits,
}

impl Settings {
    /// What a configuration asks for.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = config.limits.clone();
        let at_least_one = |count| NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
        let packet_bytes = u32::try_from(limits.packet_bytes).unwrap_or(u32::MAX);
        let server = ServerSettings {
            receive_maximum: at_least_one(limits.receive_maximum),
            inflight_messages_max: at_least_one(limits.inflight_messages),
            packet_bytes_max: NonZeroU32::new(packet_bytes).unwrap_or(NonZeroU32::MAX),
            topic_alias_maximum: limits.topic_alias_maximum,
            // The most that CONNECT can ask for is no limit: whoever wants no keep-alive gets none.
            keep_alive_max_seconds: Some(limits.keep_alive_max_seconds)
                .filter(|most| *most < u16::MAX)
                .unwrap_or(0),
            refuses_long_keep_alive: config.clients.refuse_long_keep_alive,
            session_expiry_max_seconds: limits.session_expiry_max_seconds,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: config.clients.retain_available,
        };
        let packets = codec::Limits {
            filters_per_packet_max: limits.filters_per_packet,
            user_properties_max: limits.user_properties_per_packet,
        };
        Self {
            limits,
            delivery: config.delivery.clone(),
            clients: config.clients.clone(),
            connection_messages: config.logging.connection_messages,
            server,
            packets,
        }
    }

    /// How much waits for one session at most.
    pub(crate) fn mailbox_limits(&self) -> MailboxLimits {
        MailboxLimits {
            stall_bytes: STALL_BYTES.min(self.limits.queue_bytes),
            bytes: self.limits.queue_bytes,
            messages: self.limits.queue_messages,
        }
    }

    /// How much is retained at most.
    pub(crate) fn retained_limits(&self) -> RetainedLimits {
        RetainedLimits { messages: self.limits.retained_messages, bytes: self.limits.retained_bytes }
    }
}

/// The current [`Settings`], replaced as a whole.
#[derive(Debug)]
pub(crate) struct SettingsHandle {
    current: ArcSwap<Settings>,
    epoch: AtomicU64,
}

impl SettingsHandle {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { current: ArcSwap::from_pointee(settings), epoch: AtomicU64::new(0) }
    }

    /// What holds now. Cheap; do not keep the guard across an await.
    pub(crate) fn load(&self) -> Guard<Arc<Settings>> {
        self.current.load()
    }

    /// What holds now, to keep for longer.
    pub(crate) fn snapshot(&self) -> Arc<Settings> {
        self.current.load_full()
    }

    /// Replaces the settings for everybody.
    pub(crate) fn swap(&self, settings: Settings) {
        self.current.store(Arc::new(settings));
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Counts the swaps, for those who keep a snapshot: cheaper to look at than the settings.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

/// A connection's own snapshot.
#[derive(Debug)]
pub(crate) struct Followed {
    settings: Arc<Settings>,
    epoch: u64,
}

impl Followed {
    /// Begins with what holds now.
    pub(crate) fn new(handle: &SettingsHandle) -> Self {
        // The epoch first: a swap in between is then noticed at the next look.
        let epoch = handle.epoch();
        Self { settings: handle.snapshot(), epoch }
    }

    /// Takes the present settings if they are others.
    pub(crate) fn follow(&mut self, handle: &SettingsHandle) {
        if self.epoch != handle.epoch() {
            *self = Self::new(handle);
        }
    }
}

impl std::ops::Deref for Followed {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_stays_as_it_is_until_it_follows() {
        let config = |queue_messages| Config {
            limits: Limits { queue_messages, ..Limits::default() },
            ..Config::listening_on(Vec::new())
        };
        let handle = SettingsHandle::new(Settings::new(&config(1)));
        let mut followed = Followed::new(&handle);
        handle.swap(Settings::new(&config(2)));
        assert_eq!((followed.limits.queue_messages, handle.load().limits.queue_messages), (1, 2));
        followed.follow(&handle);
        assert_eq!(followed.limits.queue_messages, 2);
        assert_eq!(followed.mailbox_limits().messages, 2);
    }

    #[test]
    fn no_limit_of_the_keep_alive_is_none() {
        let keep_alive = |keep_alive_max_seconds| {
            let limits = Limits { keep_alive_max_seconds, ..Limits::default() };
            let config = Config { limits, ..Config::listening_on(Vec::new()) };
            Settings::new(&config).server.keep_alive_max_seconds
        };
        assert_eq!([u16::MAX, 60].map(keep_alive), [0, 60]);
    }
}

//! Everything that a client, or all of them together, can use up, and how much of it.

use std::ops::RangeInclusive;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, raw::Source};
use crate::auth::AuthenticatorLimits;

/// The most bytes of an MQTT packet: what its length field can say, and its fixed header.
const PACKET_BYTES_MOST: i64 = 268_435_460;

/// Each limit once: its meaning, type, default, and the values that make sense.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $range:expr;)+) => {
        /// The section `[limits]`. Every key is optional.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits { $($(#[$doc])* pub $name: $type,)+ }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawLimits { $($name: Option<Spanned<i64>>,)+ }

        impl RawLimits {
            /// Checks the ranges and fills in the defaults.
            pub(super) fn build(&self, source: &Source<'_>) -> Result<Limits, ConfigError> {
                let mut limits = Limits::default();
                $(if let Some(value) = &self.$name {
                    limits.$name = in_range(source, value, $range)?;
                })+
                Ok(limits)
            }
        }

        #[cfg(test)]
        impl Limits {
            /// Every key with its default.
            pub(super) fn defaults() -> Vec<(&'static str, i64)> {
                let defaults = Self::default();
                vec![$((stringify!($name), i64::try_from(defaults.$name).unwrap()),)+]
            }
        }
    };
}

limits! {
    /// Connections at the same time, all listeners together. The next one is closed at once.
    connections: usize = 100_000, 1..=10_000_000;
    /// Connections at the same time from one IP address. As many as in all by default, because behind address translation
    /// or a load balancer many clients share one; lower it where each client has its own.
    connections_per_address: usize = 100_000, 1..=10_000_000;
    /// Sessions, with and without a connection. Bounds what clients with ever new identifiers can leave behind.
    sessions: usize = 200_000, 1..=10_000_000;
    /// Seconds from the accepted connection to the complete CONNECT packet, the TLS handshake included. Who is slower is
    /// broken or wants to occupy connections.
    connect_timeout_seconds: u64 = 10, 1..=3_600;
    /// Bytes of a CONNECT packet: all that a stranger can make the broker hold. mosquitto's limit.
    connect_packet_bytes: usize = 100_000, 128..=PACKET_BYTES_MOST;
    /// Bytes of any packet after CONNECT, told to MQTT 5 clients as Maximum Packet Size. mosquitto's default.
    packet_bytes: usize = 2_000_000, 20..=PACKET_BYTES_MOST;
    /// Bytes of the payload of a message: one over it is not delivered, and MQTT 5 publishers are told 0x97. By default as
    /// much as a packet can hold. mosquitto's `message_size_limit`.
    payload_bytes: usize = 268_435_455, 1..=268_435_455;
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE: each costs a walk through the subscriptions.
    filters_per_packet: usize = 4_096, 1..=1_000_000;
    /// User properties in one packet: they are kept and forwarded one by one.
    user_properties_per_packet: usize = 128, 0..=65_535;
    /// Subscriptions of one session.
    subscriptions_per_session: usize = 10_000, 1..=10_000_000;
    /// QoS 1 and 2 messages on their way to a client that states no Receive Maximum itself, as no MQTT 3 client can.
    inflight_messages: u16 = 1_024, 1..=65_535;
    /// QoS 1 and 2 messages that a client may have on their way to the broker, told to MQTT 5 clients as Receive Maximum.
    receive_maximum: u16 = 1_024, 1..=65_535;
    /// Messages that wait for one session, offline or behind. The next one is dropped and counted.
    queue_messages: usize = 100_000, 1..=1_000_000_000;
    /// Bytes of the messages that wait for one session.
    queue_bytes: usize = 67_108_864, 1..=1_099_511_627_776;
    /// Bytes of the messages that wait for all sessions together: what the memory must hold at worst.
    queue_bytes_total: usize = 1_073_741_824, 1..=1_099_511_627_776;
    /// Retained messages of all topics. A retained message over it is delivered but not kept.
    retained_messages: usize = 1_000_000, 0..=1_000_000_000;
    /// Bytes of all retained messages, topics and payloads.
    retained_bytes: usize = 1_073_741_824, 0..=1_099_511_627_776;
    /// Topic aliases in each direction: each holds a topic in memory for every connection.
    topic_alias_maximum: u16 = 32, 0..=65_535;
    /// The longest keep-alive, told to MQTT 5 clients that ask for more as Server Keep Alive. By default whatever a client
    /// asks for.
    keep_alive_max_seconds: u16 = 65_535, 10..=65_535;
    /// The longest life of a session without a connection. 4294967295, the default, is for ever.
    session_expiry_max_seconds: u32 = 4_294_967_295, 0..=4_294_967_295;
    /// Passwords that are hashed at the same time. By default one for each two cores: the others serve those who are in.
    password_checks: usize = AuthenticatorLimits::default().concurrent, 1..=1_024;
    /// Connections that wait for the hash of their password. The next one is told that the server is busy.
    password_checks_waiting: usize = AuthenticatorLimits::WAITING_DEFAULT, 0..=10_000_000;
}

impl Limits {
    /// The part that bounds password hashing.
    pub fn authenticator(&self) -> AuthenticatorLimits {
        AuthenticatorLimits { concurrent: self.password_checks, waiting: self.password_checks_waiting }
    }
}

fn in_range<T: TryFrom<i64>>(
    source: &Source<'_>,
    value: &Spanned<i64>,
    range: RangeInclusive<i64>,
) -> Result<T, ConfigError> {
    let wrong = || source.error(value, value.get_ref(), format_args!("{} to {}", range.start(), range.end()));
    if !range.contains(value.get_ref()) {
        return Err(wrong());
    }
    T::try_from(*value.get_ref()).map_err(|_| wrong())
}

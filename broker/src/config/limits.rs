//! Everything that a client, or all of them together, can use up, and how much of it.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, EXPECTED_NETWORK, Network, raw::Source};
use crate::auth::{
    AuthenticatorLimits,
    guard::{BackoffLimits, GuardLimits, Pace},
};

/// The most bytes of an MQTT packet: what its length field can say, and its fixed header.
const PACKET_BYTES_MOST: i64 = 268_435_460;

/// Each limit once: its meaning, type, default, and the values that make sense.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr, $range:expr;)+) => {
        /// The section `[limits]`. Every key is optional.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: $type,)+
            /// Whose addresses the limits of users and addresses do not hold for. By default this machine's. Failed logins
            /// make only the same user wait there, 5 seconds at most: it may be a proxy that stands for many.
            pub unlimited_networks: Vec<Network>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ unlimited_networks: Network::LOOPBACK.to_vec() }
            }
        }

        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields)]
        pub(super) struct RawLimits {
            $($name: Option<Spanned<i64>>,)+
            unlimited_networks: Option<Vec<Spanned<String>>>,
        }

        impl RawLimits {
            /// Checks the ranges and fills in the defaults.
            pub(super) fn build(&self, source: &Source<'_>) -> Result<Limits, ConfigError> {
                let mut limits = Limits::default();
                $(if let Some(value) = &self.$name {
                    limits.$name = in_range(source, value, $range)?;
                })+
                if let Some(networks) = &self.unlimited_networks {
                    limits.unlimited_networks =
                        networks.iter().map(|text| network(source, text)).collect::<Result<_, _>>()?;
                }
                Ok(limits)
            }
        }

        impl Limits {
            /// The keys whose values are not their defaults.
            pub(super) fn beside_defaults(&self) -> Vec<(&'static str, String)> {
                let default = Self::default();
                let mut found = Vec::new();
                $(if self.$name != default.$name {
                    found.push((stringify!($name), self.$name.to_string()));
                })+
                found
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
    /// Connections at the same time that have been let in, all listeners together. The next one is closed at once.
    connections: usize = 100_000, 1..=10_000_000;
    /// Connections at the same time from one IP address, in IPv6 from one network of 64 bits. As many as in all by default, because behind address translation
    /// or a load balancer many clients share one; lower it where each client has its own.
    connections_per_address: usize = 100_000, 1..=10_000_000;
    /// Connections at the same time that have not been let in yet: before the end of TLS, CONNECT and the password check.
    /// Twice a fleet of 10,000 that comes back at once. If there are more, the address that has most gives up the one that
    /// has kept the broker waiting for longest; the newcomer is closed if that is its own address and all wait for the broker.
    pending_connections: usize = 20_000, 1..=10_000_000;
    /// The same from one IP address, in IPv6 from one network of 64 bits. As many as in all by default: many clients may
    /// share one, and who has fewer is let in first in any case.
    pending_connections_per_address: usize = 20_000, 1..=10_000_000;
    /// TLS handshakes that are computed at the same time. By default one for each core, so that between two of them it is
    /// the turn of those who are in. The others wait, address by address.
    tls_handshakes: usize = std::thread::available_parallelism().map_or(1, usize::from), 1..=1_024;
    /// Sessions, with and without a connection. Bounds what clients with ever new identifiers can leave behind.
    sessions: usize = 200_000, 1..=10_000_000;
    /// Seconds from the accepted connection to the complete CONNECT packet, the TLS handshake included. Who is slower is
    /// broken or wants to occupy connections.
    connect_timeout_seconds: u64 = 10, 1..=3_600;
    /// Bytes of a CONNECT packet: all of MQTT that a stranger can make the broker hold. mosquitto's limit.
    connect_packet_bytes: usize = 100_000, 128..=PACKET_BYTES_MOST;
    /// Bytes of all CONNECT packets of clients that are not let in yet, beyond 4096 for each. One over it is closed: only
    /// large ones, with a certificate as password for instance, can be in each other's way.
    connect_bytes_total: usize = 67_108_864, 0..=1_099_511_627_776;
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
    keep_alive_max_seconds: u16 = 65_535, 1..=65_535;
    /// The longest life of a session without a connection. 4294967295, the default, is for ever.
    session_expiry_max_seconds: u32 = 4_294_967_295, 0..=4_294_967_295;
    /// Passwords that are hashed at the same time. By default one for each two cores: the others serve those who are in.
    password_checks: usize = AuthenticatorLimits::default().concurrent, 1..=1_024;
    /// Connections that wait for the hash of their password. The next one is told that the server is busy.
    password_checks_waiting: usize = AuthenticatorLimits::WAITING_DEFAULT, 0..=10_000_000;
    /// Failed logins after which nobody has to wait yet: typing errors. Of a user from one address; of a user from anywhere,
    /// who then waits 5 seconds at most; and of an address, once three different users failed from there. The same wrong
    /// password again does not count.
    login_failures_free: u32 = 5, 0..=1_000_000;
    /// Seconds that the next login has to wait after the first failure over these; then twice as long each time. Whose
    /// password was right before from the same address (in IPv6, network of 64 bits) comes in all the same.
    login_wait_first_seconds: u64 = 1, 1..=86_400;
    /// The longest wait. 0: nobody waits.
    login_wait_max_seconds: u64 = 300, 0..=86_400;
    /// Seconds without a failure after which failures are forgotten.
    login_forget_seconds: u64 = 3_600, 1..=604_800;
    /// Connections of one user at the same time. 0, as for all of the following: no limit, because what is much for one
    /// fleet is little for another.
    connections_per_user: u32 = 0, 0..=10_000_000;
    /// New connections in a second, from one address. The next one is closed at once, before TLS.
    connections_per_second_per_address: u32 = 0, 0..=1_000_000;
    /// New connections in a second, of one user. The next one is refused (0x9F, 3 in MQTT 3).
    connections_per_second_per_user: u32 = 0, 0..=1_000_000;
    /// Messages in a second from all connections of one address. Who sends more is read from more slowly, and loses
    /// nothing.
    messages_per_second_per_address: u32 = 0, 0..=1_000_000_000;
    /// Messages in a second from all connections of one user.
    messages_per_second_per_user: u32 = 0, 0..=1_000_000_000;
    /// Bytes in a second from all connections of one address.
    bytes_per_second_per_address: u32 = 0, 0..=4_294_967_295;
    /// Bytes in a second from all connections of one user.
    bytes_per_second_per_user: u32 = 0, 0..=4_294_967_295;
}

impl Limits {
    /// The largest packet that there can be, in bytes.
    pub(super) const PACKET_BYTES_MOST: usize = PACKET_BYTES_MOST as usize;

    /// The part that bounds password hashing.
    pub fn authenticator(&self) -> AuthenticatorLimits {
        AuthenticatorLimits { concurrent: self.password_checks, waiting: self.password_checks_waiting }
    }

    /// The part that slows down who guesses passwords or takes more than a share.
    pub fn guard(&self) -> GuardLimits {
        GuardLimits {
            backoff: BackoffLimits {
                free: self.login_failures_free,
                wait_first: Duration::from_secs(self.login_wait_first_seconds),
                wait_max: Duration::from_secs(self.login_wait_max_seconds),
                forget_after: Duration::from_secs(self.login_forget_seconds),
            },
            connections_per_second_per_address: self.connections_per_second_per_address,
            connections_per_second_per_user: self.connections_per_second_per_user,
            connections_per_user: self.connections_per_user,
            per_address: Pace {
                messages_per_second: self.messages_per_second_per_address,
                bytes_per_second: self.bytes_per_second_per_address,
            },
            per_user: Pace {
                messages_per_second: self.messages_per_second_per_user,
                bytes_per_second: self.bytes_per_second_per_user,
            },
            unlimited: self.unlimited_networks.clone(),
        }
    }
}

fn network(source: &Source<'_>, text: &Spanned<String>) -> Result<Network, ConfigError> {
    let found = |error| source.error(text, format_args!("`{}`, {error}", text.get_ref()), EXPECTED_NETWORK);
    text.get_ref().parse().map_err(found)
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

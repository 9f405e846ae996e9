//! One address that clients connect to, and on which terms.

use std::{net::SocketAddr, sync::Arc};

use gaugeline_protocol::{QoS, Version};

use super::{Application, ClientIdRule, IdentitySource, Network, RealmId, TlsConfig};

/// One address that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The address. Port 0 lets the system choose. `[::]` is every address of this machine, those of IPv4 too; also where
    /// there is no IPv6.
    pub bind: SocketAddr,
    /// Whether `[::]` is every address of IPv6 alone.
    pub ipv6_only: bool,
    /// Whether the broker starts without this listener where the machine does not have the address.
    pub optional: bool,
    /// The network interface that clients must come through. `None`: any.
    pub interface: Option<Arc<str>>,
    /// How MQTT is carried. Default: as it is.
    pub protocol: Protocol,
    /// `None`: plain TCP, on loopback unless the file says `plain_text_on_network = true`.
    pub tls: Option<TlsConfig>,
    /// Whose rules hold for its clients.
    pub realm: RealmId,
    /// Where its clients have their user names from. With a certificate as the source, `tls` asks for one; a client
    /// without one, if that is allowed, logs in with a password.
    pub identity: IdentitySource,
    /// Which client identifiers its users may have.
    pub client_id_rule: ClientIdRule,
    /// Connections at the same time. `None`: only the limit for all listeners together holds.
    pub connections_max: Option<usize>,
    /// Stands before every topic that its clients publish and subscribe to, and is taken off again when a message is
    /// delivered to them. mosquitto's `mount_point`. Without a `/` at its end it is a part of their first level, as there.
    pub mount_point: Option<Arc<str>>,
    /// The highest QoS at which its clients may publish, told to MQTT 5 clients as Maximum QoS.
    pub maximum_qos: QoS,
    /// Topic aliases that its clients may use. `None`: the limit `topic_alias_maximum`.
    pub topic_alias_maximum: Option<u16>,
    /// The versions of MQTT that it speaks.
    pub versions: Vec<Version>,
    /// From where clients may come. Empty: from everywhere.
    pub allow: Vec<Network>,
    /// From where they may not come, even if `allow` says so.
    pub deny: Vec<Network>,
}

/// How MQTT is carried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Directly over TCP or TLS.
    #[default]
    Mqtt,
    /// In binary frames of a WebSocket [RFC 6455; MQTT 5.0, section 6].
    WebSocket(WebSocketConfig),
}

impl Protocol {
    /// What clients ask for by name in TLS: [`TlsConfig::application`] of such a listener.
    pub fn application(&self) -> Application {
        match self {
            Self::Mqtt => Application::Mqtt,
            Self::WebSocket(_) => Application::WebSocket,
        }
    }
}

/// On which terms a listener speaks WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketConfig {
    /// The pages, by their origin, whose scripts may connect; programs that are no browsers send none. Empty: all.
    pub origins: Vec<String>,
    /// How long the request that opens a WebSocket may be, in bytes.
    pub header_bytes_max: usize,
}

impl WebSocketConfig {
    /// Room for the cookies that browsers send along, which nobody reads here.
    pub const HEADER_BYTES_DEFAULT: usize = 8192;
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self { origins: Vec::new(), header_bytes_max: Self::HEADER_BYTES_DEFAULT }
    }
}

impl ListenerConfig {
    /// Plain TCP, under the rules of the first realm.
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            ipv6_only: false,
            optional: false,
            interface: None,
            protocol: Protocol::Mqtt,
            tls: None,
            realm: RealmId::FIRST,
            identity: IdentitySource::Password,
            client_id_rule: ClientIdRule::Any,
            connections_max: None,
            mount_point: None,
            maximum_qos: QoS::ExactlyOnce,
            topic_alias_maximum: None,
            versions: vec![Version::V31, Version::V311, Version::V5],
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

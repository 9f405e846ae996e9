//! The broker's configuration: plain data, read from a broker.toml or a mosquitto.conf and checked before anything starts.
//!
//! Unknown keys are refused. Paths in broker.toml are relative to its directory. Every fault is told as
//! `broker.toml:12: found ..., expected ...`. Nothing here opens a socket or parses the files that it names; it only sees to
//! it that they are there.

mod clients;
mod format;
mod limits;
mod listener;
mod logging;
pub mod mosquitto;
mod network;
mod process;
mod raw;
mod write;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::mosquitto::{Loaded, Overrides};
pub use self::{
    clients::{ClientIds, ClientsConfig},
    format::Format,
    limits::Limits,
    listener::{ListenerConfig, Protocol, WebSocketConfig},
    logging::{LogDestination, LogTimestamp, LoggingConfig, SyslogFacility},
    network::{EXPECTED_NETWORK, Network, NetworkError},
    process::{ProcessConfig, User},
    write::to_toml,
};
pub use crate::router::Overflow;
pub use crate::{
    audit::AuditConfig,
    auth::{AclOptions, ClientIdRule, IdentitySource, RealmConfig, RealmId},
    file_error::FileError as ConfigError,
    net::tls::{Application, Ciphers, ClientCertificate, ReadableKey, TlsConfig, TlsVersions},
};

/// Where the admin server listens by default.
pub const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9883);

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The sets of rules; the first holds for every listener that has none of its own.
    pub realms: Vec<RealmConfig>,
    /// Where metrics and health are served. `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// What whoever uses the admin server beyond metrics and health has to show. `None`: nobody may.
    pub admin_token_file: Option<PathBuf>,
    /// Where logins, refusals and what operators do is written down. `None`: nowhere.
    pub audit: Option<AuditConfig>,
    /// What is worth a log line. Default: info.
    pub log: LogLevel,
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerConfig>,
    /// What a client, and all of them, may use.
    pub limits: Limits,
    /// How messages are delivered to sessions.
    pub delivery: DeliveryConfig,
    /// What outlives the process.
    pub persistence: PersistenceConfig,
    /// What clients may ask for.
    pub clients: ClientsConfig,
    /// Where log lines go.
    pub logging: LoggingConfig,
    /// How the broker behaves as a process.
    pub process: ProcessConfig,
    /// The files that this was read from: a change of one of them is a reason to read all of them again.
    pub files: Vec<PathBuf>,
}

/// Which sessions something holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sessions {
    /// All, or none: `true` or `false` in the file.
    All(bool),
    /// Those of these client identifiers: a list in the file.
    Of(Vec<String>),
}

impl Sessions {
    /// Whether it holds for the session of this client.
    pub fn applies_to(&self, client_id: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Of(clients) => clients.iter().any(|client| client == client_id),
        }
    }
}

/// How messages are delivered to sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Whose messages of QoS 0 are kept while they have no connection. Default: nobody's.
    pub queue_qos0_messages: Sessions,
    /// Who gets messages at the QoS of the subscription, even if they were published at a lower one. Default: nobody.
    pub upgrade_outgoing_qos: Sessions,
    /// What happens to a message for a session whose queue is full. Default: it is refused.
    pub queue_overflow: Overflow,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            queue_qos0_messages: Sessions::All(false),
            upgrade_outgoing_qos: Sessions::All(false),
            queue_overflow: Overflow::RejectNewest,
        }
    }
}

/// What outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistenceConfig {
    /// When an acknowledgement leaves. Default: durable.
    pub mode: Persistence,
    /// Where it is kept. Default: `data`.
    pub directory: PathBuf,
    /// Start though the disk has lost something that was safe. Not a key of the file: a decision for one start.
    pub accept_damage: bool,
}

/// When an acknowledgement of something that must outlive the process leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Persistence {
    /// When it is on disk.
    #[default]
    Durable,
    /// When it is written, which is before the disk has it: a power cut can take what came within the last interval. A
    /// crash of the broker alone takes nothing.
    Interval(Duration),
    /// At once, and nothing outlives the process.
    Off,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// None are.
    Off,
    /// Faults of the broker.
    Error,
    /// What an operator should look at.
    Warn,
    /// Connections and refusals.
    #[default]
    Info,
    /// Every packet but acknowledgements and pings, without its payload.
    Debug,
    /// Every packet, without its payload.
    Trace,
}

impl LogLevel {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// A broker for anonymous clients with these listeners that keeps nothing on disk and has no admin server; for
    /// everything else the defaults.
    pub fn listening_on(listeners: Vec<ListenerConfig>) -> Self {
        Self {
            realms: vec![RealmConfig { allow_anonymous: true, ..RealmConfig::default() }],
            admin: None,
            admin_token_file: None,
            audit: None,
            log: LogLevel::Info,
            listeners,
            limits: Limits::default(),
            delivery: DeliveryConfig::default(),
            persistence: PersistenceConfig {
                mode: Persistence::Off,
                directory: PathBuf::new(),
                accept_damage: false,
            },
            clients: ClientsConfig::default(),
            logging: LoggingConfig::default(),
            process: ProcessConfig::default(),
            files: Vec::new(),
        }
    }

    /// Every file and directory whose change is a reason to read the configuration again, and all that it names.
    pub fn watched(&self) -> Vec<PathBuf> {
        let rules =
            self.realms.iter().flat_map(|realm| [&realm.password_file, &realm.scram_file, &realm.acl_file]);
        let tls = self.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let own = self.files.iter().chain(&self.admin_token_file);
        let all = own.chain(rules.flatten()).cloned();
        let mut all = all.chain(tls.flat_map(TlsConfig::paths).map(Path::to_owned)).collect::<Vec<_>>();
        all.sort();
        all.dedup();
        all
    }

    /// Reads, parses and checks a broker.toml or a mosquitto.conf, and that the files that it names can be read.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load(path, &Overrides::default()).map(|loaded| loaded.config)
    }

    /// A broker.toml with this text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        raw::parse(&raw::Source { path, text })
    }
}

/// Reads and checks a broker.toml or a mosquitto.conf, with what has another effect in it than it says.
///
/// # Errors
/// The first mistake, with its line.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let content = std::fs::read(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    match Format::detect(path, &content) {
        Format::Mosquitto => mosquitto::parse(path, &content, overrides),
        Format::Toml => {
            let text = String::from_utf8(content)
                .map_err(|_| ConfigError::whole(path, "bytes that are not UTF-8", "text in UTF-8"))?;
            let mut config = Config::parse(path, &text)?;
            overrides.apply(&mut config);
            Ok(config.into())
        }
    }
}

#[cfg(test)]
mod tests;

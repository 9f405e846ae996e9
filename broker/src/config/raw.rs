//! The file as it is written, and the checks that turn it into a [`Config`].

mod audit;
mod clients;
mod listener;
mod logging;
mod security;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use toml::Spanned;

use self::{
    audit::RawAudit,
    clients::{RawClientIds, RawClients},
    listener::RawProtocol,
    logging::RawLogging,
};
use super::{
    ADMIN_DEFAULT, AclOptions, ClientIds, Config, ConfigError, DeliveryConfig, ListenerConfig, LogLevel,
    Overflow, Persistence, PersistenceConfig, ProcessConfig, RealmConfig, RealmId, Sessions, User,
    limits::RawLimits,
};
use crate::process_user::told;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    password_file: Option<Spanned<PathBuf>>,
    scram_file: Option<Spanned<PathBuf>>,
    acl_file: Option<Spanned<PathBuf>>,
    acl_refuse_futile_subscribe: Option<bool>,
    #[serde(default)]
    acl_deny_wins: bool,
    #[serde(default)]
    acl_extensions: bool,
    #[serde(default)]
    allow_anonymous: bool,
    admin: Option<Spanned<String>>,
    #[serde(default)]
    admin_on_network: bool,
    admin_token_file: Option<Spanned<PathBuf>>,
    audit: Option<RawAudit>,
    #[serde(default)]
    log: LogLevel,
    #[serde(default)]
    listener: Vec<Spanned<RawListener>>,
    #[serde(default)]
    limits: RawLimits,
    queue_qos0_messages: Option<RawSessions>,
    upgrade_outgoing_qos: Option<RawSessions>,
    #[serde(default)]
    queue_overflow: Overflow,
    persistence: Option<RawPersistence>,
    persistence_directory: Option<PathBuf>,
    persistence_interval_milliseconds: Option<Spanned<u64>>,
    allow_empty_client_ids: Option<bool>,
    assigned_client_id_prefix: Option<Spanned<String>>,
    client_id_prefixes: Option<Vec<String>>,
    user_name_as_client_id: Option<bool>,
    #[serde(default)]
    clients: RawClients,
    #[serde(default)]
    logging: RawLogging,
    user: Option<String>,
    #[serde(default)]
    user_or_nobody: bool,
    pid_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "true, false or a list of client identifiers")]
enum RawSessions {
    All(bool),
    Of(Vec<String>),
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawPersistence {
    Durable,
    Interval,
    Off,
}

/// The sync interval of `persistence = "interval"`, if the file gives none: a second of telemetry is what a power cut
/// may take.
const SYNC_INTERVAL_DEFAULT_MILLISECONDS: u64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListener {
    bind: Spanned<String>,
    password_file: Option<Spanned<PathBuf>>,
    scram_file: Option<Spanned<PathBuf>>,
    acl_file: Option<Spanned<PathBuf>>,
    allow_anonymous: Option<bool>,
    #[serde(default)]
    plain_text_on_network: bool,
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    ca: Option<Spanned<PathBuf>>,
    require_certificate: Option<Spanned<bool>>,
    tls_versions: Option<Spanned<Vec<Spanned<String>>>>,
    ca_directory: Option<Spanned<PathBuf>>,
    crl: Option<Spanned<PathBuf>>,
    request_certificate: Option<Spanned<bool>>,
    ciphers: Option<Vec<Spanned<String>>>,
    allow_readable_key: Option<Spanned<bool>>,
    identity: Option<Spanned<String>>,
    client_id_must_be: Option<Spanned<String>>,
    allow_empty_client_ids: Option<bool>,
    assigned_client_id_prefix: Option<Spanned<String>>,
    client_id_prefixes: Option<Vec<String>>,
    user_name_as_client_id: Option<bool>,
    #[serde(default)]
    protocol: RawProtocol,
    origins: Option<Spanned<Vec<String>>>,
    connections: Option<Spanned<usize>>,
    mount_point: Option<Spanned<String>>,
    mount_point_within_level: Option<Spanned<bool>>,
    maximum_qos: Option<Spanned<u8>>,
    topic_alias_maximum: Option<u16>,
    versions: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
    ipv6_only: Option<Spanned<bool>>,
    #[serde(default)]
    optional: bool,
    interface: Option<String>,
}

impl RawConfig {
    fn client_ids(&self) -> RawClientIds<'_> {
        RawClientIds {
            allow_empty: self.allow_empty_client_ids,
            assigned_prefix: self.assigned_client_id_prefix.as_ref(),
            prefixes: self.client_id_prefixes.as_ref(),
            from_user_name: self.user_name_as_client_id,
        }
    }
}

impl RawListener {
    fn client_ids(&self) -> RawClientIds<'_> {
        RawClientIds {
            allow_empty: self.allow_empty_client_ids,
            assigned_prefix: self.assigned_client_id_prefix.as_ref(),
            prefixes: self.client_id_prefixes.as_ref(),
            from_user_name: self.user_name_as_client_id,
        }
    }
}

/// A text and where it comes from.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error at the line where a value begins.
    pub(super) fn error<T>(
        &self,
        at: &Spanned<T>,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> ConfigError {
        ConfigError::at(self.path, self.line(at.span().start), found, expected)
    }

    fn line(&self, offset: usize) -> u32 {
        let before = self.text.as_bytes().iter().take(offset);
        u32::try_from(before.filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX)
    }

    /// The path of a file that must be there, from the directory of this file.
    fn file(&self, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        let written = path.get_ref();
        let full = self.path.parent().unwrap_or_else(|| Path::new("")).join(written);
        let expected = "a file that can be read";
        match std::fs::File::open(&full).and_then(|file| file.metadata()) {
            Ok(found) if found.is_file() => Ok(full),
            Ok(_) => {
                Err(self.error(path, format_args!("`{}`, which is not a file", written.display()), expected))
            }
            Err(error) => {
                let found = format_args!("`{}`, which cannot be opened ({})", full.display(), told(&error));
                Err(self.error(path, found, expected))
            }
        }
    }

    /// The path of a directory that must be there, from the directory of this file.
    fn directory(&self, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        let full = self.path.parent().unwrap_or_else(|| Path::new("")).join(path.get_ref());
        if full.is_dir() {
            return Ok(full);
        }
        Err(self.error(path, format_args!("`{}`", full.display()), "a directory"))
    }

    pub(super) fn optional_file(
        &self,
        path: Option<&Spanned<PathBuf>>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        path.map(|path| self.file(path)).transpose()
    }
}

pub(super) fn parse(source: &Source<'_>) -> Result<Config, ConfigError> {
    let raw = toml::from_str::<RawConfig>(source.text).map_err(|error| from_toml(source, &error))?;
    if raw.listener.is_empty() {
        return Err(ConfigError::whole(source.path, "no listener", "at least one `[[listener]]`"));
    }
    let mut realms = vec![RealmConfig {
        name: None,
        password_file: source.optional_file(raw.password_file.as_ref())?,
        scram_file: source.optional_file(raw.scram_file.as_ref())?,
        acl_file: source.optional_file(raw.acl_file.as_ref())?,
        acl_options: AclOptions {
            // A subscription that stays silent is a mistake that nobody sees. mosquitto grants it.
            refuse_futile_subscribe: raw.acl_refuse_futile_subscribe.unwrap_or(true),
            deny_wins: raw.acl_deny_wins,
            extensions: raw.acl_extensions,
        },
        allow_anonymous: raw.allow_anonymous,
        client_ids: raw.client_ids().build(source, &ClientIds::default())?,
    }];
    let mut listeners: Vec<ListenerConfig> = Vec::with_capacity(raw.listener.len());
    for listener in &raw.listener {
        let bind = &listener.get_ref().bind;
        let listener = ListenerConfig {
            realm: build_realm(source, listener.get_ref(), &mut realms)?,
            ..build_listener(source, listener)?
        };
        let taken = |other: &ListenerConfig| other.bind == listener.bind && listener.bind.port() != 0;
        if listeners.iter().any(taken) {
            return Err(source.error(bind, format_args!("`{}` twice", listener.bind), "different addresses"));
        }
        listeners.push(listener);
    }
    Ok(Config {
        realms,
        admin: build_admin(source, raw.admin.as_ref(), raw.admin_on_network)?,
        admin_token_file: source.optional_file(raw.admin_token_file.as_ref())?,
        audit: raw.audit.as_ref().map(|audit| audit.build(source)).transpose()?,
        log: raw.log,
        listeners,
        limits: raw.limits.build(source)?,
        persistence: build_persistence(source, &raw)?,
        clients: raw.clients.build(source)?,
        logging: raw.logging.build(source)?,
        process: build_process(source, &raw),
        delivery: DeliveryConfig {
            queue_qos0_messages: build_sessions(raw.queue_qos0_messages),
            upgrade_outgoing_qos: build_sessions(raw.upgrade_outgoing_qos),
            queue_overflow: raw.queue_overflow,
        },
        files: vec![source.path.to_owned()],
    })
}

fn build_sessions(raw: Option<RawSessions>) -> Sessions {
    match raw {
        None => Sessions::All(false),
        Some(RawSessions::All(all)) => Sessions::All(all),
        Some(RawSessions::Of(clients)) => Sessions::Of(clients),
    }
}

fn build_persistence(source: &Source<'_>, raw: &RawConfig) -> Result<PersistenceConfig, ConfigError> {
    let interval = raw.persistence_interval_milliseconds.as_ref();
    if let Some(value) = interval
        && !(1..=3_600_000).contains(value.get_ref())
    {
        return Err(source.error(value, value.get_ref(), "1 to 3600000"));
    }
    let mode = match (raw.persistence.unwrap_or(RawPersistence::Durable), interval) {
        (RawPersistence::Interval, given) => {
            let milliseconds = given.map_or(SYNC_INTERVAL_DEFAULT_MILLISECONDS, |value| *value.get_ref());
            Persistence::Interval(Duration::from_millis(milliseconds))
        }
        (_, Some(value)) => {
            let found = "persistence_interval_milliseconds";
            return Err(source.error(value, found, "it only beside `persistence = \"interval\"`"));
        }
        (RawPersistence::Durable, None) => Persistence::Durable,
        (RawPersistence::Off, None) => Persistence::Off,
    };
    let directory = raw.persistence_directory.as_deref().unwrap_or_else(|| Path::new("data"));
    let directory = source.path.parent().unwrap_or_else(|| Path::new("")).join(directory);
    Ok(PersistenceConfig { mode, directory, accept_damage: false })
}

fn build_process(source: &Source<'_>, raw: &RawConfig) -> ProcessConfig {
    let directory = source.path.parent().unwrap_or_else(|| Path::new(""));
    ProcessConfig {
        user: raw.user.clone().map(|name| User { name, or_nobody: raw.user_or_nobody }),
        pid_file: raw.pid_file.as_deref().map(|path| directory.join(path)),
    }
}

fn build_admin(
    source: &Source<'_>,
    admin: Option<&Spanned<String>>,
    on_network: bool,
) -> Result<Option<SocketAddr>, ConfigError> {
    let Some(admin) = admin else { return Ok(Some(ADMIN_DEFAULT)) };
    if admin.get_ref() == "off" {
        return Ok(None);
    }
    let address =
        parse_address(source, admin, "`off`, or an IP address and a port such as `127.0.0.1:9883`")?;
    if !address.ip().is_loopback() && !on_network {
        let expected =
            "a loopback address, or `admin_on_network = true`: the admin server asks for no password";
        return Err(source.error(admin, format_args!("`{address}`"), expected));
    }
    Ok(Some(address))
}

fn build_listener(source: &Source<'_>, raw: &Spanned<RawListener>) -> Result<ListenerConfig, ConfigError> {
    let listener = raw.get_ref();
    let bind = parse_address(
        source,
        &listener.bind,
        "an IP address and a port such as `0.0.0.0:8883` or `[::]:8883`",
    )?;
    let tls = security::build_tls(source, listener)?;
    if tls.is_none() && !bind.ip().is_loopback() && !listener.plain_text_on_network {
        let expected = "a `certificate` and a `key`, a loopback address, or `plain_text_on_network = true`: passwords would be readable";
        return Err(source.error(&listener.bind, format_args!("`{bind}` without TLS"), expected));
    }
    let mut terms = ListenerConfig { tls, ..ListenerConfig::new(bind) };
    security::build_identity(source, listener, &mut terms)?;
    listener::build_terms(source, listener, terms)
}

/// The rules of a listener: its own, if it has a key for them, with what it does not say taken from the first realm.
fn build_realm(
    source: &Source<'_>,
    listener: &RawListener,
    realms: &mut Vec<RealmConfig>,
) -> Result<RealmId, ConfigError> {
    let password_file = source.optional_file(listener.password_file.as_ref())?;
    let scram_file = source.optional_file(listener.scram_file.as_ref())?;
    let acl_file = source.optional_file(listener.acl_file.as_ref())?;
    let client_ids = listener.client_ids();
    if password_file.is_none()
        && scram_file.is_none()
        && acl_file.is_none()
        && listener.allow_anonymous.is_none()
        && client_ids.is_empty()
    {
        return Ok(RealmId::FIRST);
    }
    let shared = realms.first().cloned().unwrap_or_default();
    realms.push(RealmConfig {
        name: Some(listener.bind.get_ref().as_str().into()),
        password_file: password_file.or(shared.password_file),
        scram_file: scram_file.or(shared.scram_file),
        acl_file: acl_file.or(shared.acl_file),
        acl_options: shared.acl_options,
        allow_anonymous: listener.allow_anonymous.unwrap_or(shared.allow_anonymous),
        client_ids: client_ids.build(source, &shared.client_ids)?,
    });
    Ok(RealmId::from_index(realms.len() - 1))
}

fn parse_address(
    source: &Source<'_>,
    text: &Spanned<String>,
    expected: &str,
) -> Result<SocketAddr, ConfigError> {
    text.get_ref().parse().map_err(|_| source.error(text, format_args!("`{}`", text.get_ref()), expected))
}

/// The texts of serde and toml, in the words of this project.
fn from_toml(source: &Source<'_>, error: &toml::de::Error) -> ConfigError {
    let line = source.line(error.span().map_or(0, |span| span.start));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let message = message.replace("unknown field", "the unknown key").replace("missing field", "no key");
    let message =
        ["invalid type: ", "invalid value: "].iter().fold(message, |text, word| text.replace(word, ""));
    match message.split_once(", expected ") {
        Some((found, expected)) => ConfigError::at(source.path, line, found, expected),
        None => ConfigError::at(source.path, line, message, "valid TOML with the keys of broker.toml"),
    }
}

//! From what was read to a [`Config`]: mosquitto's defaults where nothing was said.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Overrides,
    build_listener::{addresses, listener, refuse_tls},
    entry::Place,
    reader::{Draft, Log, Reader, Rules},
};
use crate::config::{
    ClientIds, ClientsConfig, Config, ConfigError, DeliveryConfig, Limits, ListenerConfig, LogDestination,
    LogLevel, LogTimestamp, LoggingConfig, Overflow, Persistence, PersistenceConfig, ProcessConfig,
    RealmConfig, RealmId, Sessions, User,
};
use crate::process_user::told;

/// Where mosquitto listens if it is not told.
const PORT_DEFAULT: u16 = 1883;
/// mosquitto's `max_inflight_messages` and `max_queued_messages`.
const INFLIGHT_DEFAULT: u16 = 20;
const QUEUED_DEFAULT: usize = 1_000;
/// What stands for no limit: as many as the configuration can say.
const MESSAGES_MOST: usize = 1_000_000_000;
const BYTES_MOST: usize = 1_099_511_627_776;
/// mosquitto's `sys_interval`.
const SYS_INTERVAL_DEFAULT_SECONDS: u32 = 10;
/// The user that mosquitto becomes if it is not told.
const USER_DEFAULT: &str = "mosquitto";

/// Checks what belongs together and fills in the defaults.
pub(super) fn build(reader: &mut Reader, overrides: &Overrides) -> Result<Config, ConfigError> {
    let mut realms = vec![first_realm(reader)?];
    let listeners = build_listeners(reader, overrides, &mut realms)?;
    let settings = &reader.settings;
    let config = Config {
        realms,
        admin: None,
        admin_token_file: None,
        audit: None,
        log: level(&settings.log),
        listeners,
        limits: limits(reader),
        delivery: DeliveryConfig {
            queue_qos0_messages: Sessions::All(settings.queue_qos0_messages),
            upgrade_outgoing_qos: Sessions::All(settings.upgrade_outgoing_qos),
            queue_overflow: Overflow::DropNewest,
        },
        clients: ClientsConfig {
            retain_available: !settings.no_retained,
            retained_expiry: settings
                .retained_expiry_minutes
                .map(|minutes| Duration::from_secs(u64::from(minutes) * 60)),
            refuse_long_keep_alive: settings.keep_alive_seconds.is_some_and(|seconds| seconds > 0),
            sys_interval: Some(settings.sys_interval_seconds.unwrap_or(SYS_INTERVAL_DEFAULT_SECONDS))
                .filter(|seconds| *seconds > 0)
                .map(|seconds| Duration::from_secs(seconds.into())),
        },
        logging: logging(&settings.log),
        process: ProcessConfig { user: user(settings.user.as_deref()), pid_file: settings.pid_file.clone() },
        files: reader.files.clone(),
        persistence: persistence(reader)?,
    };
    Ok(config)
}

/// The rules that hold for all listeners; with `per_listener_settings` nobody has them.
fn first_realm(reader: &Reader) -> Result<RealmConfig, ConfigError> {
    let rules = &reader.rules;
    Ok(RealmConfig {
        password_file: optional_file(rules.password_file.as_ref())?,
        acl_file: optional_file(rules.acl_file.as_ref())?,
        allow_anonymous: rules.allow_anonymous.unwrap_or(reader.local_only),
        client_ids: client_ids(reader, rules, false),
        ..RealmConfig::default()
    })
}

fn client_ids(reader: &Reader, rules: &Rules, from_user_name: bool) -> ClientIds {
    let default = ClientIds::default();
    ClientIds {
        allow_empty: !rules.no_empty_client_ids,
        assigned_prefix: rules.assigned_prefix.as_deref().map_or(default.assigned_prefix, Into::into),
        prefixes: reader.settings.client_id_prefix.iter().map(|prefix| prefix.as_str().into()).collect(),
        from_user_name,
    }
}

/// The rules of a listener: its own with `per_listener_settings`, otherwise those of all with what it says itself.
fn realm_of(reader: &Reader, draft: &Draft, first: &RealmConfig) -> Result<RealmConfig, ConfigError> {
    if reader.per_listener_settings {
        let rules = &draft.rules;
        return Ok(RealmConfig {
            password_file: optional_file(rules.password_file.as_ref())?,
            acl_file: optional_file(rules.acl_file.as_ref())?,
            allow_anonymous: rules.allow_anonymous.unwrap_or(false),
            client_ids: client_ids(reader, rules, draft.user_name_as_client_id),
            ..RealmConfig::default()
        });
    }
    let own = Rules {
        assigned_prefix: draft.rules.assigned_prefix.clone().or_else(|| reader.rules.assigned_prefix.clone()),
        ..reader.rules.clone()
    };
    Ok(RealmConfig {
        allow_anonymous: draft.rules.allow_anonymous.unwrap_or(first.allow_anonymous),
        client_ids: client_ids(reader, &own, draft.user_name_as_client_id),
        ..first.clone()
    })
}

fn build_listeners(
    reader: &mut Reader,
    overrides: &Overrides,
    realms: &mut Vec<RealmConfig>,
) -> Result<Vec<ListenerConfig>, ConfigError> {
    if reader.local_only {
        reader.listeners.iter().try_for_each(refuse_tls)?;
        return Ok(local_listeners(reader, overrides));
    }
    if let Some(place) = undeclared_default(reader) {
        let text = "stands before every listener: as by mosquitto, it opens port 1883 on all addresses too. Move it \
                    below its `listener`, or write `listener 1883` above it";
        reader.warn(&place.0, format!("`{}` {text}", place.1));
    }
    let first = realms.first().cloned().unwrap_or_default();
    let mut listeners: Vec<ListenerConfig> = Vec::new();
    let drafts = std::mem::take(&mut reader.listeners);
    for draft in &drafts {
        let realm = realm_of(reader, draft, &first)?;
        let terms = listener(reader, draft)?;
        for (bind, ipv6_only) in addresses(draft)? {
            if listeners.iter().any(|other| other.bind == bind) {
                return Err(draft.place.error(format_args!("`{bind}` twice"), "different addresses"));
            }
            let id = if realm == first && !reader.per_listener_settings {
                RealmId::FIRST
            } else {
                realms.push(RealmConfig { name: Some(bind.to_string().into()), ..realm.clone() });
                RealmId::from_index(realms.len() - 1)
            };
            listeners.push(ListenerConfig { bind, ipv6_only, realm: id, ..terms.clone() });
        }
    }
    Ok(listeners)
}

/// The listener of `port`, if neither that nor `bind_address` was said: then a key before every listener made it.
fn undeclared_default(reader: &Reader) -> Option<(Place, String)> {
    let draft = reader.listeners.get(reader.default_listener?)?;
    let declared = draft.key == "port" || draft.key == "bind_address";
    (!declared).then(|| (draft.place.clone(), draft.key.clone()))
}

/// This machine alone.
fn local_listeners(reader: &mut Reader, overrides: &Overrides) -> Vec<ListenerConfig> {
    if let Some((place, key)) = undeclared_default(reader) {
        let text = "is ignored: there is no listener that it could hold for. Write `listener 1883` above it";
        reader.warn(&place, format!("`{key}` {text}"));
    }
    let port = overrides.port.unwrap_or(PORT_DEFAULT);
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let terms = |bind| ListenerConfig { topic_alias_maximum: Some(10), ..ListenerConfig::new(bind) };
    // mosquitto starts if it gets one of the two.
    vec![terms(v4), ListenerConfig { optional: true, ..terms(v6) }]
}

fn limits(reader: &Reader) -> Limits {
    let settings = &reader.settings;
    let default = Limits::default();
    let inflight = settings.inflight_messages.unwrap_or(INFLIGHT_DEFAULT);
    let window = if inflight == 0 { u16::MAX } else { inflight };
    let no_limit_if_0 = |count: usize, most: usize| if count == 0 { most } else { count };
    // mosquitto counts what is on its way apart from what waits.
    let queued = no_limit_if_0(settings.queued_messages.unwrap_or(QUEUED_DEFAULT), MESSAGES_MOST);
    Limits {
        connections: settings.connections.unwrap_or(default.connections),
        connections_per_address: settings.connections.unwrap_or(default.connections_per_address),
        sessions: settings.sessions.unwrap_or(default.sessions),
        packet_bytes: settings.packet_bytes.unwrap_or(default.packet_bytes).min(Limits::PACKET_BYTES_MOST),
        payload_bytes: settings.payload_bytes.filter(|most| *most > 0).unwrap_or(default.payload_bytes),
        inflight_messages: window,
        receive_maximum: window,
        queue_messages: queued.saturating_add(inflight.into()).min(MESSAGES_MOST),
        queue_bytes: no_limit_if_0(settings.queued_bytes.unwrap_or(0), BYTES_MOST),
        queue_bytes_total: settings
            .memory_bytes
            .filter(|most| *most > 0)
            .unwrap_or(default.queue_bytes_total),
        keep_alive_max_seconds: settings
            .keep_alive_seconds
            .filter(|seconds| *seconds > 0)
            .unwrap_or(default.keep_alive_max_seconds),
        session_expiry_max_seconds: settings
            .session_expiry_seconds
            .unwrap_or(default.session_expiry_max_seconds),
        ..default
    }
}

/// The least important kind of line decides.
fn level(log: &Log) -> LogLevel {
    let Some(types) = &log.types else { return LogLevel::Info };
    types
        .iter()
        .map(|word| match word.as_str() {
            "error" => LogLevel::Error,
            "warning" => LogLevel::Warn,
            "notice" | "information" => LogLevel::Info,
            _ => LogLevel::Debug,
        })
        .max()
        .unwrap_or(LogLevel::Off)
}

fn logging(log: &Log) -> LoggingConfig {
    let default = LoggingConfig::default();
    let destinations = match &log.destinations {
        // What was asked for instead is not there: better here than nowhere.
        Some(destinations) if destinations.is_empty() && !log.none => default.destinations,
        Some(destinations) => destinations.clone(),
        None => default.destinations,
    };
    let destinations = destinations.into_iter().map(|destination| match destination {
        LogDestination::Syslog(_) => LogDestination::Syslog(log.facility),
        other => other,
    });
    LoggingConfig {
        destinations: destinations.collect(),
        timestamp: match (log.timestamp, &log.timestamp_format) {
            (false, _) => LogTimestamp::None,
            (true, Some(format)) => LogTimestamp::Format(format.clone()),
            (true, None) => LogTimestamp::default(),
        },
        connection_messages: log.connection_messages,
    }
}

fn user(name: Option<&str>) -> Option<User> {
    let name = name.unwrap_or(USER_DEFAULT);
    (name != "root").then(|| User { name: name.to_owned(), or_nobody: name == USER_DEFAULT })
}

fn persistence(reader: &mut Reader) -> Result<PersistenceConfig, ConfigError> {
    let settings = &reader.settings;
    let file = settings.persistence_file.as_deref().unwrap_or("mosquitto.db");
    let location = match &settings.persistence_location {
        Some((_, path)) => path.clone(),
        None => PathBuf::new(),
    };
    let database = std::path::absolute(location.join(file))
        .map_err(|error| ConfigError::unreadable(Path::new("."), &error))?;
    let mut directory = database.clone().into_os_string();
    directory.push(".gaugeline");
    let directory = PathBuf::from(directory);
    let mode = if settings.persistence { Persistence::Durable } else { Persistence::Off };
    if settings.persistence && database.is_file() && !directory.exists() {
        let place = settings.persistence_location.as_ref().map(|(place, _)| place.clone());
        let text = format!(
            "{} is not read: retained messages and sessions that mosquitto kept do not come along; gaugeline begins \
             anew in {}",
            database.display(),
            directory.display()
        );
        reader.warn(&place.unwrap_or_else(|| reader.start()), text);
    }
    Ok(PersistenceConfig { mode, directory, accept_damage: false })
}

/// The path of a file that must be there.
pub(super) fn file((place, path): &(Place, PathBuf)) -> Result<PathBuf, ConfigError> {
    let expected = "a file that can be read";
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(found) if found.is_file() => Ok(path.clone()),
        Ok(_) => Err(place.error(format_args!("`{}`, which is not a file", path.display()), expected)),
        Err(error) => {
            let found = format_args!("`{}`, which cannot be opened ({})", path.display(), told(&error));
            Err(place.error(found, expected))
        }
    }
}

pub(super) fn optional_file(path: Option<&(Place, PathBuf)>) -> Result<Option<PathBuf>, ConfigError> {
    path.map(file).transpose()
}

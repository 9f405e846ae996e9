//! A configuration as broker.toml: what is not its default there, one key a line.

use std::{fmt::Write as _, path::Path, time::Duration};

use super::{
    Ciphers, ClientCertificate, ClientIds, ClientsConfig, Config, DeliveryConfig, ListenerConfig,
    LogDestination, LogLevel, LogTimestamp, LoggingConfig, Overflow, Persistence, PersistenceConfig,
    Protocol, ReadableKey, RealmConfig, RealmId, Sessions, SyslogFacility, TlsConfig, TlsVersions,
};
use crate::auth::{ClientIdRule, IdentitySource};

/// The text of a broker.toml that loads as this configuration, wherever it stands: paths are written as they are.
///
/// One thing cannot be said there, and no other file says it either: a listener without a password file or an ACL file
/// where all others have one.
pub fn to_toml(config: &Config) -> String {
    let mut out = Toml::default();
    let first = config.realms.first().cloned().unwrap_or_default();
    write_realm(&mut out, &first);
    out.line("acl_refuse_futile_subscribe", first.acl_options.refuse_futile_subscribe);
    out.line_unless("acl_deny_wins", first.acl_options.deny_wins, false);
    out.line_unless("acl_extensions", first.acl_options.extensions, false);
    match config.admin {
        None => out.text("admin", "off"),
        Some(address) => out.text("admin", &address.to_string()),
    }
    out.line_unless(
        "admin_on_network",
        config.admin.is_some_and(|address| !address.ip().is_loopback()),
        false,
    );
    if config.log != LogLevel::default() {
        out.text("log", config.log.as_str());
    }
    if let Some(user) = &config.process.user {
        out.text("user", &user.name);
        out.line_unless("user_or_nobody", user.or_nobody, false);
    }
    if let Some(path) = &config.process.pid_file {
        out.path("pid_file", path);
    }
    write_persistence(&mut out, &config.persistence);
    write_delivery(&mut out, &config.delivery);
    for listener in &config.listeners {
        write_listener(&mut out, listener, config, &first);
    }
    write_clients(&mut out, &config.clients);
    write_logging(&mut out, &config.logging);
    let limits = config.limits.beside_defaults();
    if !limits.is_empty() {
        out.table("[limits]");
        limits.into_iter().for_each(|(key, value)| out.line(key, value));
    }
    out.0
}

/// The text so far.
#[derive(Default)]
struct Toml(String);

impl Toml {
    fn table(&mut self, name: &str) {
        self.0 += &format!("\n{name}\n");
    }

    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        writeln!(self.0, "{key} = {value}").ok();
    }

    fn line_unless<T: PartialEq + std::fmt::Display>(&mut self, key: &str, value: T, default: T) {
        if value != default {
            self.line(key, value);
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(key, quoted(value));
    }

    fn path(&mut self, key: &str, value: &Path) {
        self.text(key, &value.to_string_lossy());
    }

    fn optional_path(&mut self, key: &str, value: Option<&Path>) {
        if let Some(path) = value {
            self.path(key, path);
        }
    }

    fn texts<'a>(&mut self, key: &str, values: impl IntoIterator<Item = &'a str>) {
        let values = values.into_iter().map(quoted).collect::<Vec<_>>();
        self.line(key, format_args!("[{}]", values.join(", ")));
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn write_realm(out: &mut Toml, realm: &RealmConfig) {
    out.optional_path("password_file", realm.password_file.as_deref());
    out.optional_path("scram_file", realm.scram_file.as_deref());
    out.optional_path("acl_file", realm.acl_file.as_deref());
    out.line("allow_anonymous", realm.allow_anonymous);
    write_client_ids(out, &realm.client_ids, &ClientIds::default());
}

fn write_client_ids(out: &mut Toml, ids: &ClientIds, default: &ClientIds) {
    out.line_unless("allow_empty_client_ids", ids.allow_empty, default.allow_empty);
    if ids.assigned_prefix != default.assigned_prefix {
        out.text("assigned_client_id_prefix", &ids.assigned_prefix);
    }
    if ids.prefixes != default.prefixes {
        out.texts("client_id_prefixes", ids.prefixes.iter().map(AsRef::as_ref));
    }
    out.line_unless("user_name_as_client_id", ids.from_user_name, default.from_user_name);
}

fn write_persistence(out: &mut Toml, persistence: &PersistenceConfig) {
    match persistence.mode {
        Persistence::Durable => {}
        Persistence::Interval(interval) => {
            out.text("persistence", "interval");
            out.line("persistence_interval_milliseconds", interval.as_millis());
        }
        Persistence::Off => out.text("persistence", "off"),
    }
    out.path("persistence_directory", &persistence.directory);
}

fn write_delivery(out: &mut Toml, delivery: &DeliveryConfig) {
    for (key, sessions) in [
        ("queue_qos0_messages", &delivery.queue_qos0_messages),
        ("upgrade_outgoing_qos", &delivery.upgrade_outgoing_qos),
    ] {
        match sessions {
            Sessions::All(all) => out.line_unless(key, *all, false),
            Sessions::Of(clients) => out.texts(key, clients.iter().map(String::as_str)),
        }
    }
    match delivery.queue_overflow {
        Overflow::RejectNewest => {}
        Overflow::DropOldest => out.text("queue_overflow", "drop-oldest"),
        Overflow::DropNewest => out.text("queue_overflow", "drop-newest"),
    }
}

fn write_listener(out: &mut Toml, listener: &ListenerConfig, config: &Config, first: &RealmConfig) {
    out.table("[[listener]]");
    out.text("bind", &listener.bind.to_string());
    let plain_on_network = listener.tls.is_none() && !listener.bind.ip().is_loopback();
    out.line_unless("plain_text_on_network", plain_on_network, false);
    let default = ListenerConfig::new(listener.bind);
    out.line_unless("ipv6_only", listener.ipv6_only, default.ipv6_only);
    out.line_unless("optional", listener.optional, default.optional);
    if let Some(interface) = &listener.interface {
        out.text("interface", interface);
    }
    if listener.realm != RealmId::FIRST
        && let Some(realm) = config.realms.get(listener.realm.index())
    {
        out.optional_path("password_file", realm.password_file.as_deref());
        out.optional_path("scram_file", realm.scram_file.as_deref());
        out.optional_path("acl_file", realm.acl_file.as_deref());
        out.line("allow_anonymous", realm.allow_anonymous);
        write_client_ids(out, &realm.client_ids, &first.client_ids);
    }
    if let Protocol::WebSocket(websocket) = &listener.protocol {
        out.text("protocol", "websocket");
        if !websocket.origins.is_empty() {
            out.texts("origins", websocket.origins.iter().map(String::as_str));
        }
    }
    if let Some(tls) = &listener.tls {
        write_tls(out, tls);
    }
    match listener.identity {
        IdentitySource::Password => {}
        IdentitySource::CommonName => out.text("identity", "common-name"),
        IdentitySource::Subject => out.text("identity", "subject"),
    }
    match &listener.client_id_rule {
        ClientIdRule::Any => {}
        ClientIdRule::User => out.text("client_id_must_be", "%u"),
        ClientIdRule::UserAndMore(separator) => out.text("client_id_must_be", &format!("%u{separator}*")),
    }
    if let Some(most) = listener.connections_max {
        out.line("connections", most);
    }
    if let Some(mount_point) = &listener.mount_point {
        out.text("mount_point", mount_point);
        out.line_unless("mount_point_within_level", !mount_point.ends_with('/'), false);
    }
    out.line_unless("maximum_qos", listener.maximum_qos as u8, default.maximum_qos as u8);
    if let Some(most) = listener.topic_alias_maximum {
        out.line("topic_alias_maximum", most);
    }
    for (key, networks) in [("allow", &listener.allow), ("deny", &listener.deny)] {
        if !networks.is_empty() {
            let networks = networks.iter().map(ToString::to_string).collect::<Vec<_>>();
            out.texts(key, networks.iter().map(String::as_str));
        }
    }
    if listener.versions != default.versions {
        out.texts("versions", listener.versions.iter().map(|version| version_name(*version)));
    }
}

fn version_name(version: gaugeline_protocol::Version) -> &'static str {
    match version {
        gaugeline_protocol::Version::V31 => "3.1",
        gaugeline_protocol::Version::V311 => "3.1.1",
        gaugeline_protocol::Version::V5 => "5.0",
    }
}

fn write_tls(out: &mut Toml, tls: &TlsConfig) {
    out.path("certificate", &tls.certificate);
    out.path("key", &tls.key);
    out.optional_path("ca", tls.ca.as_deref());
    out.optional_path("ca_directory", tls.ca_directory.as_deref());
    out.optional_path("crl", tls.crl.as_deref());
    match tls.client_certificate {
        ClientCertificate::NotAsked => {}
        ClientCertificate::Optional => out.line("request_certificate", true),
        ClientCertificate::Required => out.line("require_certificate", true),
    }
    if tls.versions != TlsVersions::default() {
        let TlsVersions { v1_2, v1_3 } = tls.versions;
        out.texts(
            "tls_versions",
            [(v1_2, "1.2"), (v1_3, "1.3")].into_iter().filter_map(|(on, name)| on.then_some(name)),
        );
    }
    if tls.ciphers != Ciphers::default() {
        out.texts("ciphers", tls.ciphers.chosen());
    }
    out.line_unless("allow_readable_key", tls.readable_key == ReadableKey::Warned, false);
}

fn seconds(interval: Option<Duration>) -> u64 {
    interval.map_or(0, |interval| interval.as_secs())
}

fn write_clients(out: &mut Toml, clients: &ClientsConfig) {
    let default = ClientsConfig::default();
    if *clients == default {
        return;
    }
    out.table("[clients]");
    out.line_unless("retain_available", clients.retain_available, default.retain_available);
    out.line_unless("retained_expiry_seconds", seconds(clients.retained_expiry), 0);
    out.line_unless("refuse_long_keep_alive", clients.refuse_long_keep_alive, default.refuse_long_keep_alive);
    out.line_unless("sys_interval_seconds", seconds(clients.sys_interval), 0);
}

fn write_logging(out: &mut Toml, logging: &LoggingConfig) {
    let default = LoggingConfig::default();
    if *logging == default {
        return;
    }
    out.table("[logging]");
    let mut names = Vec::new();
    for destination in &logging.destinations {
        match destination {
            LogDestination::Stderr => names.push("stderr".to_owned()),
            LogDestination::Stdout => names.push("stdout".to_owned()),
            LogDestination::Syslog(SyslogFacility::Daemon) => names.push("syslog".to_owned()),
            LogDestination::Syslog(SyslogFacility::Local(number)) => {
                names.push(format!("syslog:local{number}"))
            }
            LogDestination::File(path) => out.path("file", path),
        }
    }
    out.texts("destinations", names.iter().map(String::as_str));
    match &logging.timestamp {
        LogTimestamp::Rfc3339 => {}
        LogTimestamp::None => out.text("timestamp", "none"),
        LogTimestamp::Format(format) => out.text("timestamp", format),
    }
    out.line_unless("connection_messages", logging.connection_messages, default.connection_messages);
}

#[cfg(test)]
mod tests;

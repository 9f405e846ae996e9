//! The keys of a listener that say how it carries MQTT and what its clients may do; not its encryption or its rules.

use gaugeline_protocol::{QoS, TopicName, Version};
use toml::Spanned;

use super::{RawListener, Source};
use crate::config::{
    ConfigError, EXPECTED_NETWORK, ListenerConfig, Network, Protocol, TlsConfig, WebSocketConfig,
};

/// The protocols by their names.
#[derive(serde::Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawProtocol {
    #[default]
    Mqtt,
    WebSocket,
}

/// Fills in what the file says beside address and encryption.
pub(super) fn build_terms(
    source: &Source<'_>,
    raw: &RawListener,
    listener: ListenerConfig,
) -> Result<ListenerConfig, ConfigError> {
    if let Some(only) = raw.ipv6_only.as_ref().filter(|only| *only.get_ref())
        && !listener.bind.ip().is_unspecified_v6()
    {
        let expected = "it only beside an address such as `[::]:1883`";
        return Err(source.error(only, "`ipv6_only = true`", expected));
    }
    let protocol = build_protocol(source, raw)?;
    let application = protocol.application();
    Ok(ListenerConfig {
        tls: listener.tls.map(|tls| TlsConfig { application, ..tls }),
        ipv6_only: raw.ipv6_only.as_ref().is_some_and(|only| *only.get_ref()),
        optional: raw.optional,
        interface: raw.interface.as_deref().map(Into::into),
        protocol,
        connections_max: build_connections(source, raw)?,
        mount_point: build_mount_point(source, raw)?,
        maximum_qos: build_qos(source, raw)?,
        topic_alias_maximum: raw.topic_alias_maximum,
        versions: build_versions(source, raw, listener.versions)?,
        allow: build_networks(source, &raw.allow)?,
        deny: build_networks(source, &raw.deny)?,
        ..listener
    })
}

fn build_protocol(source: &Source<'_>, raw: &RawListener) -> Result<Protocol, ConfigError> {
    match (raw.protocol, &raw.origins) {
        (RawProtocol::Mqtt, None) => Ok(Protocol::Mqtt),
        (RawProtocol::Mqtt, Some(origins)) => {
            Err(source.error(origins, "`origins`", "it only beside `protocol = \"websocket\"`"))
        }
        (RawProtocol::WebSocket, origins) => {
            let origins = origins.as_ref().map(|origins| origins.get_ref().clone()).unwrap_or_default();
            Ok(Protocol::WebSocket(WebSocketConfig { origins, ..WebSocketConfig::default() }))
        }
    }
}

fn build_connections(source: &Source<'_>, raw: &RawListener) -> Result<Option<usize>, ConfigError> {
    match &raw.connections {
        Some(most) if *most.get_ref() == 0 => Err(source.error(most, 0, "at least 1")),
        most => Ok(most.as_ref().map(|most| *most.get_ref())),
    }
}

fn build_mount_point(
    source: &Source<'_>,
    raw: &RawListener,
) -> Result<Option<std::sync::Arc<str>>, ConfigError> {
    let within_level = raw.mount_point_within_level.as_ref().is_some_and(|within| *within.get_ref());
    let Some(mount_point) = &raw.mount_point else {
        return match &raw.mount_point_within_level {
            Some(within) if within_level => {
                Err(source.error(within, "`mount_point_within_level`", "it only beside `mount_point`"))
            }
            _ => Ok(None),
        };
    };
    if TopicName::new(mount_point.get_ref()).is_err() {
        let found = format_args!("{:?}", mount_point.get_ref());
        return Err(source.error(mount_point, found, "the beginning of a topic, without `+` and `#`"));
    }
    if !mount_point.get_ref().ends_with('/') && !within_level {
        let found = format_args!(
            "{:?}, which would be a part of the first level of each topic",
            mount_point.get_ref()
        );
        let expected = format_args!("\"{}/\", or `mount_point_within_level = true`", mount_point.get_ref());
        return Err(source.error(mount_point, found, expected));
    }
    Ok(Some(mount_point.get_ref().as_str().into()))
}

fn build_qos(source: &Source<'_>, raw: &RawListener) -> Result<QoS, ConfigError> {
    match &raw.maximum_qos {
        None => Ok(QoS::ExactlyOnce),
        Some(qos) => match qos.get_ref() {
            0 => Ok(QoS::AtMostOnce),
            1 => Ok(QoS::AtLeastOnce),
            2 => Ok(QoS::ExactlyOnce),
            other => Err(source.error(qos, other, "0, 1 or 2")),
        },
    }
}

fn build_versions(
    source: &Source<'_>,
    raw: &RawListener,
    default: Vec<Version>,
) -> Result<Vec<Version>, ConfigError> {
    let Some(list) = &raw.versions else { return Ok(default) };
    let expected = "\"3.1\", \"3.1.1\" or \"5.0\"";
    let mut versions = Vec::new();
    for written in list.get_ref() {
        versions.push(match written.get_ref().as_str() {
            "3.1" => Version::V31,
            "3.1.1" => Version::V311,
            "5.0" => Version::V5,
            other => return Err(source.error(written, format_args!("\"{other}\""), expected)),
        });
    }
    if versions.is_empty() {
        return Err(source.error(list, "no version of MQTT", expected));
    }
    Ok(versions)
}

fn build_networks(source: &Source<'_>, list: &[Spanned<String>]) -> Result<Vec<Network>, ConfigError> {
    let build = |written: &Spanned<String>| {
        let network = written.get_ref().parse::<Network>();
        network.map_err(|error| {
            source.error(written, format_args!("\"{}\", {error}", written.get_ref()), EXPECTED_NETWORK)
        })
    };
    list.iter().map(build).collect()
}

/// `[::]`, every address.
trait Unspecified {
    fn is_unspecified_v6(&self) -> bool;
}

impl Unspecified for std::net::IpAddr {
    fn is_unspecified_v6(&self) -> bool {
        self.is_ipv6() && self.is_unspecified()
    }
}

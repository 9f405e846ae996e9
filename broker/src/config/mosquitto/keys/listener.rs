//! Keys about listeners, without TLS and the rules.

use gaugeline_protocol::{TopicName, Version};

use super::{Entry, Key, Reader, Shape};
use crate::config::{
    ConfigError,
    mosquitto::reader::{Draft, Family},
};

pub(super) const KEYS: &[Key] = &[
    Key::set("listener", "not with port 0 and the path of a Unix socket: that is refused", listener),
    Key::set("port", "the listener on all addresses, or on `bind_address`", |reader, entry| {
        let port = entry.int_within(1, 65_535)?;
        reader.local_only = false;
        reader.enter_default_listener(entry);
        let draft = reader.listener(entry)?;
        draft.port = u16::try_from(port).unwrap_or_default();
        "port".clone_into(&mut draft.key);
        Ok(())
    }),
    Key::set("bind_address", "for the listener of `port`", |reader, entry| {
        reader.once(entry, false)?;
        let host = entry.text()?.to_owned();
        reader.local_only = false;
        reader.enter_default_listener(entry);
        let draft = reader.listener(entry)?;
        draft.host = Some(host);
        "bind_address".clone_into(&mut draft.key);
        Ok(())
    }),
    Key::set("bind_interface", "Linux needs no privilege for it since 5.7", |reader, entry| {
        let draft = begin_or_default(reader, entry)?;
        draft.interface = Some(entry.text()?.to_owned());
        reader.once(entry, true)
    }),
    Key::set("socket_domain", "", |reader, entry| {
        let family = match entry.word("ipv4 or ipv6")? {
            "ipv4" => Family::V4,
            "ipv6" => Family::V6,
            other => return Err(entry.wrong(other, "ipv4 or ipv6")),
        };
        begin_or_default(reader, entry)?.family = Some(family);
        Ok(())
    }),
    Key::set("protocol", "`mqtt` and `websockets`; `http_api` is refused", |reader, entry| {
        let expected = "mqtt or websockets; `gaugeline broker --admin ADDRESS` serves metrics and health";
        let websockets = match entry.word(expected)? {
            "mqtt" => false,
            "websockets" => true,
            other => return Err(entry.wrong(other, expected)),
        };
        begin_or_default(reader, entry)?.websockets = websockets;
        Ok(())
    }),
    Key::set("websockets_origin", "", |reader, entry| {
        let origin = entry.text()?.to_owned();
        reader.listener(entry)?.origins.push(origin);
        Ok(())
    }),
    Key::ignore(
        "websockets_log_level",
        Shape::Anything,
        "`log_type debug` shows when a WebSocket is open, and its packets like all others",
    ),
    Key::ignore(
        "websockets_headers_size",
        Shape::Int(0, 65_535),
        "the request that opens a WebSocket may have 8192 bytes",
    ),
    Key::ignore("http_dir", Shape::OfListener(http_dir), "no files are served; let a web server do it"),
    Key::set("max_connections", "", |reader, entry| {
        let most = entry.count()?;
        begin_or_default(reader, entry)?.connections = Some(most).filter(|most| *most > 0);
        Ok(())
    }),
    Key::set(
        "mount_point",
        "as it is, with a warning if it does not end with `/`: then it joins the first level of each topic",
        mount_point,
    ),
    Key::set("max_qos", "", maximum_qos),
    Key::set("maximum_qos", "as `max_qos`", maximum_qos),
    Key::set("max_topic_alias", "", |reader, entry| {
        let most = entry.int_within(0, 65_535)?;
        reader.listener(entry)?.topic_aliases = u16::try_from(most).ok();
        Ok(())
    }),
    Key::ignore(
        "max_topic_alias_broker",
        Shape::OfListener(|reader, entry| {
            reader.listener(entry)?;
            entry.int_within(0, 65_535).map(drop)
        }),
        "every message to a client has its topic in full",
    ),
    Key::set(
        "accept_protocol_versions",
        "an unknown version is refused; mosquitto skips it",
        accept_protocol_versions,
    ),
    Key::set("use_username_as_clientid", "", |reader, entry| {
        let flag = entry.flag()?;
        begin_or_default(reader, entry)?.user_name_as_client_id = flag;
        Ok(())
    }),
    Key::refuse(
        "enable_proxy_protocol",
        "no such line: gaugeline does not speak the PROXY protocol; let the proxy pass plain TCP or TLS on",
    ),
    Key::refuse("proxy_protocol_v2_require_tls", "no such line: gaugeline does not speak the PROXY protocol"),
];

/// A directory that exists, once.
fn http_dir(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    reader.listener(entry)?;
    reader.once(entry, true)?;
    let path = entry.path()?;
    match path.canonicalize() {
        Ok(_) => Ok(()),
        Err(error) => Err(entry.wrong(path.display(), format_args!("a directory that exists ({error})"))),
    }
}

fn begin_or_default<'a>(reader: &'a mut Reader, entry: &Entry) -> Result<&'a mut Draft, ConfigError> {
    reader.listener_or_default(entry)
}

fn listener(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let port = entry.int_within(0, 65_535)?;
    let address = entry.words().nth(1).filter(|word| !word.starts_with('#'));
    if port == 0 {
        let expected = "a port and perhaps an address: gaugeline has no Unix sockets; `listener 1883 127.0.0.1` is for \
                        programs on this machine";
        return Err(entry.wrong(format_args!("0 {}", address.unwrap_or_default()), expected));
    }
    if let Some(draft) = reader.begin_listener(entry, u16::try_from(port).unwrap_or_default()) {
        draft.host = address.map(str::to_owned);
    }
    Ok(())
}

fn maximum_qos(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let most = entry.int_within(0, 2)?;
    reader.listener_or_default(entry)?.maximum_qos = u8::try_from(most).ok();
    Ok(())
}

fn accept_protocol_versions(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let draft = reader.own_listener(entry)?;
    let expected = "3, 4 or 5, for MQTT 3.1, 3.1.1 and 5.0";
    let mut versions = Vec::new();
    for word in entry.text()?.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let version = match word {
            "3" => Version::V31,
            "4" => Version::V311,
            "5" => Version::V5,
            other => return Err(entry.wrong(other, expected)),
        };
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    if versions.is_empty() {
        return Err(entry.wrong(",", expected));
    }
    versions.sort_by_key(|version| Version::ALL.iter().position(|known| known == version));
    draft.versions = Some(versions);
    Ok(())
}

fn mount_point(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let text = entry.text()?;
    let draft = reader.listener(entry)?;
    if TopicName::new(text).is_err() {
        return Err(entry.wrong(text, "the beginning of a topic, without `+` and `#`"));
    }
    draft.mount_point = Some(text.to_owned());
    if !text.ends_with('/') {
        let warning = format!(
            "`mount_point {text}` does not end with `/`: the topic `x` of its clients is `{text}x`, which may be somebody \
             else's; `mount_point {text}/` keeps them below it"
        );
        reader.warn(&entry.place, warning);
    }
    Ok(())
}

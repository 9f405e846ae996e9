//! Keys about the whole broker: what it keeps, its limits, the process.

use super::{Entry, Key, Reader, Shape};
use crate::config::ConfigError;

/// mosquitto's longest life of a retained message: 19 years.
const RETAINED_MINUTES_MAX: i32 = 10_000_000;

const SAVED: &str = "with `persistence true`, all that is acknowledged is on disk at once";

pub(super) const KEYS: &[Key] = &[
    Key::set("include_dir", "", Reader::include),
    Key::set(
        "persistence",
        "`true`: all that is acknowledged is on disk; `false`: nothing outlives the broker",
        persistence,
    ),
    Key::set("retained_persistence", "as `persistence`", persistence),
    Key::set(
        "persistence_location",
        "`FILE.gaugeline` in it is gaugeline's own directory; mosquitto.db is not read",
        |reader, entry| {
            reader.once(entry, false)?;
            reader.settings.persistence_location = Some((entry.place.clone(), entry.path()?));
            Ok(())
        },
    ),
    Key::set("persistence_file", "the FILE of the line above; mosquitto.db by default", |reader, entry| {
        reader.once(entry, false)?;
        reader.settings.persistence_file = Some(entry.text()?.to_owned());
        Ok(())
    }),
    Key::ignore("autosave_interval", Shape::Int(i32::MIN, i32::MAX), SAVED),
    Key::ignore("autosave_on_changes", Shape::Flag, SAVED),
    Key::set("persistent_client_expiration", "", expiration),
    Key::set("queue_qos0_messages", "", |reader, entry| {
        reader.settings.queue_qos0_messages = entry.flag()?;
        Ok(())
    }),
    Key::set("upgrade_outgoing_qos", "", |reader, entry| {
        reader.settings.upgrade_outgoing_qos = entry.flag()?;
        Ok(())
    }),
    Key::set("retain_available", "", |reader, entry| {
        reader.settings.no_retained = !entry.flag()?;
        Ok(())
    }),
    Key::set("retain_expiry_interval", "", |reader, entry| {
        let minutes = entry.int_within(1, i32::MAX)?.min(RETAINED_MINUTES_MAX);
        reader.settings.retained_expiry_minutes = u32::try_from(minutes).ok();
        Ok(())
    }),
    Key::set(
        "max_inflight_messages",
        "not for MQTT 5 clients that state a Receive Maximum",
        |reader, entry| {
            let most = entry.int_within(i32::MIN, 65_535)?;
            // Less than 0, and the greatest number, are no limit, as 0.
            let most = u16::try_from(most).unwrap_or(0);
            reader.settings.inflight_messages = Some(if most == u16::MAX { 0 } else { most });
            Ok(())
        },
    ),
    Key::ignore(
        "max_inflight_bytes",
        Shape::Int(i32::MIN, i32::MAX),
        "messages on their way to a client are limited in number (`max_inflight_messages`) and by `max_queued_bytes`",
    ),
    Key::set("max_queued_messages", "0 is 1,000,000,000", |reader, entry| {
        reader.settings.queued_messages = Some(entry.count()?);
        Ok(())
    }),
    Key::set("max_queued_bytes", "0 is as much as all sessions together may have", |reader, entry| {
        reader.settings.queued_bytes = Some(entry.count()?);
        Ok(())
    }),
    Key::set("max_packet_size", "", |reader, entry| {
        reader.settings.packet_bytes = usize::try_from(entry.int_within(20, i32::MAX)?).ok();
        Ok(())
    }),
    Key::set("message_size_limit", "", |reader, entry| {
        reader.settings.payload_bytes = usize::try_from(entry.int_within(0, 268_435_455)?).ok();
        Ok(())
    }),
    Key::set(
        "memory_limit",
        "bounds the messages that wait for all sessions together, not all memory",
        |reader, entry| {
            reader.settings.memory_bytes = Some(entry.long()?);
            Ok(())
        },
    ),
    Key::set("max_keepalive", "", |reader, entry| {
        reader.settings.keep_alive_seconds = u16::try_from(entry.int_within(0, 65_535)?).ok();
        Ok(())
    }),
    Key::set("global_max_connections", "", |reader, entry| {
        reader.settings.connections = Some(entry.count()?).filter(|most| *most > 0);
        Ok(())
    }),
    Key::set("global_max_clients", "", |reader, entry| {
        reader.settings.sessions = Some(entry.count()?).filter(|most| *most > 0);
        Ok(())
    }),
    Key::set("sys_interval", "", |reader, entry| {
        reader.settings.sys_interval_seconds = u32::try_from(entry.int_within(0, 65_535)?).ok();
        Ok(())
    }),
    Key::set("set_tcp_nodelay", "always on; `false` is ignored", |reader, entry| {
        if !entry.flag()? {
            reader.warn(
                &entry.place,
                "`set_tcp_nodelay false` is ignored: small packets are always sent at once",
            );
        }
        Ok(())
    }),
    Key::set("allow_duplicate_messages", "always off; `true` is ignored", |reader, entry| {
        if entry.flag()? {
            let text = "`allow_duplicate_messages true` is ignored: a client gets a message once, at the highest QoS of \
                        its overlapping subscriptions";
            reader.warn(&entry.place, text);
        }
        Ok(())
    }),
    Key::ignore("packet_buffer_size", Shape::Int(0, 65_535), "buffers grow and shrink by themselves"),
    Key::ignore(
        "retry_interval",
        Shape::Anything,
        "messages are sent again when a client comes back, as MQTT demands",
    ),
    Key::set(
        "user",
        "only if started as root; by default `mosquitto`, or `nobody` if there is none",
        |reader, entry| {
            reader.settings.user = Some(entry.text()?.to_owned());
            Ok(())
        },
    ),
    Key::set("pid_file", "", |reader, entry| {
        reader.once(entry, false)?;
        reader.settings.pid_file = Some(entry.path()?);
        Ok(())
    }),
];

fn persistence(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    reader.settings.persistence = entry.flag()?;
    Ok(())
}

/// A number and a unit: seconds, hours, days, weeks, months of 30 days, years of 365.
fn expiration(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    const DAY: u64 = 86_400;
    let expected = "a number above 0 and s, h, d, w, m or y";
    let word = entry.word(expected)?;
    let units = [('s', 1), ('h', 3_600), ('d', DAY), ('w', 7 * DAY), ('m', 30 * DAY), ('y', 365 * DAY)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number = word.strip_suffix(unit)?.parse::<u64>().ok().filter(|number| *number > 0)?;
        Some(number.saturating_mul(seconds))
    });
    let seconds = parsed.ok_or_else(|| entry.wrong(word, expected))?;
    reader.settings.session_expiry_seconds = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
    Ok(())
}

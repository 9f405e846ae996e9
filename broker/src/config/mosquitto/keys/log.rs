//! Keys about the log.

use super::{Entry, Key, Reader};
use crate::config::{ConfigError, LogDestination, SyslogFacility};

const TYPES: [&str; 11] = [
    "error",
    "warning",
    "notice",
    "information",
    "debug",
    "subscribe",
    "unsubscribe",
    "internal",
    "websockets",
    "all",
    "none",
];

pub(super) const KEYS: &[Key] = &[
    Key::set("log_dest", "`topic` and `dlt` are ignored; a file that is moved away is made anew", log_dest),
    Key::set(
        "log_type",
        "the least important word counts, and all that is more important is logged too; `debug`, `subscribe`, `unsubscribe`, `internal`, `websockets` and `all` are one level: packets without payloads, but not acknowledgements and pings",
        |reader, entry| {
            let expected = "error, warning, notice, information, debug, subscribe, unsubscribe, internal, websockets, all or none";
            let word = entry.word(expected)?;
            if !TYPES.contains(&word) {
                return Err(entry.wrong(word, expected));
            }
            let types = reader.settings.log.types.get_or_insert_default();
            if word == "none" {
                types.clear();
            } else {
                types.push(word.to_owned());
            }
            Ok(())
        },
    ),
    Key::set("log_facility", "", |reader, entry| {
        let number = u8::try_from(entry.int_within(0, 7)?).unwrap_or_default();
        reader.settings.log.facility = SyslogFacility::Local(number);
        Ok(())
    }),
    Key::set("log_timestamp", "", |reader, entry| {
        reader.settings.log.timestamp = entry.flag()?;
        Ok(())
    }),
    Key::set(
        "log_timestamp_format",
        "without it, UTC [RFC 3339] and not seconds since 1970",
        |reader, entry| {
            reader.once(entry, false)?;
            reader.settings.log.timestamp_format = Some(entry.text()?.to_owned());
            Ok(())
        },
    ),
    Key::set("connection_messages", "", |reader, entry| {
        reader.settings.log.connection_messages = entry.flag()?;
        Ok(())
    }),
];

fn log_dest(reader: &mut Reader, entry: &Entry) -> Result<(), ConfigError> {
    let expected = "stdout, stderr, syslog, file PATH, topic or none";
    let word = entry.word(expected)?;
    let log = &mut reader.settings.log;
    let destinations = log.destinations.get_or_insert_default();
    log.none = word == "none";
    let destination = match word {
        "none" => {
            destinations.clear();
            return Ok(());
        }
        "stdout" => LogDestination::Stdout,
        "stderr" => LogDestination::Stderr,
        // The facility may stand below.
        "syslog" => LogDestination::Syslog(SyslogFacility::Daemon),
        "file" => {
            if log.has_file {
                return Err(entry.error("a second `log_dest file`", "one"));
            }
            log.has_file = true;
            let path = entry.text()?.strip_prefix("file").map(str::trim).unwrap_or_default();
            if path.is_empty() {
                return Err(entry.wrong("file", "the path of a file behind it"));
            }
            let path = std::path::absolute(path)
                .map_err(|error| entry.wrong(path, format_args!("a path ({error})")))?;
            LogDestination::File(path)
        }
        "topic" | "dlt" => {
            let text = format!("`log_dest {word}` is ignored: the log goes to files, streams and syslog");
            reader.warn(&entry.place, text);
            return Ok(());
        }
        other => return Err(entry.wrong(other, expected)),
    };
    if !destinations.contains(&destination) {
        destinations.push(destination);
    }
    Ok(())
}

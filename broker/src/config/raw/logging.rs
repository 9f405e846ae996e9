//! The section `[logging]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::config::{ConfigError, LogDestination, LogTimestamp, LoggingConfig, SyslogFacility};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogging {
    destinations: Option<Vec<Spanned<String>>>,
    file: Option<PathBuf>,
    timestamp: Option<String>,
    connection_messages: Option<bool>,
}

impl RawLogging {
    pub(super) fn build(&self, source: &Source<'_>) -> Result<LoggingConfig, ConfigError> {
        let default = LoggingConfig::default();
        let mut destinations = match &self.destinations {
            None if self.file.is_some() => Vec::new(),
            None => default.destinations,
            Some(names) => {
                names.iter().map(|name| destination(source, name)).collect::<Result<Vec<_>, _>>()?
            }
        };
        if let Some(file) = &self.file {
            let full = source.path.parent().unwrap_or_else(|| Path::new("")).join(file);
            destinations.push(LogDestination::File(full));
        }
        let timestamp = match self.timestamp.as_deref() {
            None | Some("rfc3339") => LogTimestamp::Rfc3339,
            Some("none") => LogTimestamp::None,
            Some(format) => LogTimestamp::Format(format.to_owned()),
        };
        Ok(LoggingConfig {
            destinations,
            timestamp,
            connection_messages: self.connection_messages.unwrap_or(default.connection_messages),
        })
    }
}

fn destination(source: &Source<'_>, name: &Spanned<String>) -> Result<LogDestination, ConfigError> {
    let text = name.get_ref().as_str();
    Ok(match text {
        "stderr" => LogDestination::Stderr,
        "stdout" => LogDestination::Stdout,
        "syslog" => LogDestination::Syslog(SyslogFacility::Daemon),
        _ => match text.strip_prefix("syslog:local").and_then(|digit| digit.parse::<u8>().ok()) {
            Some(number @ 0..=7) => LogDestination::Syslog(SyslogFacility::Local(number)),
            _ => {
                let expected = "\"stderr\", \"stdout\", \"syslog\" or \"syslog:local0\" to \"syslog:local7\"";
                return Err(source.error(name, format_args!("\"{text}\""), expected));
            }
        },
    })
}

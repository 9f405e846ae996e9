//! The keys about clients: the section `[clients]`, and the identifiers that a realm takes.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::config::{ClientIds, ClientsConfig, ConfigError};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClients {
    retain_available: Option<bool>,
    retained_expiry_seconds: Option<Spanned<u64>>,
    refuse_long_keep_alive: Option<bool>,
    sys_interval_seconds: Option<Spanned<u64>>,
}

impl RawClients {
    pub(super) fn build(&self, source: &Source<'_>) -> Result<ClientsConfig, ConfigError> {
        let default = ClientsConfig::default();
        Ok(ClientsConfig {
            retain_available: self.retain_available.unwrap_or(default.retain_available),
            retained_expiry: interval(source, self.retained_expiry_seconds.as_ref(), u32::MAX.into())?,
            refuse_long_keep_alive: self.refuse_long_keep_alive.unwrap_or(default.refuse_long_keep_alive),
            sys_interval: interval(source, self.sys_interval_seconds.as_ref(), 65_535)?,
        })
    }
}

/// Seconds, where 0 is never.
fn interval(
    source: &Source<'_>,
    seconds: Option<&Spanned<u64>>,
    most: u64,
) -> Result<Option<Duration>, ConfigError> {
    let Some(written) = seconds else { return Ok(None) };
    match *written.get_ref() {
        0 => Ok(None),
        seconds if seconds <= most => Ok(Some(Duration::from_secs(seconds))),
        seconds => Err(source.error(written, seconds, format_args!("0 to {most}"))),
    }
}

/// The keys about client identifiers, as they stand at the top and in a listener.
#[derive(Default)]
pub(super) struct RawClientIds<'a> {
    pub(super) allow_empty: Option<bool>,
    pub(super) assigned_prefix: Option<&'a Spanned<String>>,
    pub(super) prefixes: Option<&'a Vec<String>>,
    pub(super) from_user_name: Option<bool>,
}

impl RawClientIds<'_> {
    /// Whether none of the keys is there.
    pub(super) fn is_empty(&self) -> bool {
        self.allow_empty.is_none()
            && self.assigned_prefix.is_none()
            && self.prefixes.is_none()
            && self.from_user_name.is_none()
    }

    /// What is not said is taken from `shared`.
    pub(super) fn build(&self, source: &Source<'_>, shared: &ClientIds) -> Result<ClientIds, ConfigError> {
        if let Some(prefix) = self.assigned_prefix {
            let most = ClientIds::ASSIGNED_PREFIX_BYTES_MAX;
            if prefix.get_ref().len() > most || prefix.get_ref().chars().any(char::is_control) {
                let expected = format_args!("at most {most} bytes without control characters");
                return Err(source.error(prefix, format_args!("{:?}", prefix.get_ref()), expected));
            }
        }
        Ok(ClientIds {
            allow_empty: self.allow_empty.unwrap_or(shared.allow_empty),
            assigned_prefix: self
                .assigned_prefix
                .map_or_else(|| shared.assigned_prefix.clone(), |prefix| prefix.get_ref().as_str().into()),
            prefixes: self.prefixes.map_or_else(
                || shared.prefixes.clone(),
                |prefixes| prefixes.iter().map(|prefix| prefix.as_str().into()).collect(),
            ),
            from_user_name: self.from_user_name.unwrap_or(shared.from_user_name),
        })
    }
}

//! The file as written: every key, each with its place. Meaning is given in the parent module.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;
use crate::mapping::{FieldType, PayloadKind, TimestampFormat};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) mqtt: Spanned<RawMqtt>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<RawRule>>,
    pub(super) sink: Option<Spanned<RawSink>>,
    #[serde(default)]
    pub(super) batch: RawBatch,
    #[serde(default)]
    pub(super) dead_letter: RawDeadLetter,
    #[serde(default)]
    pub(super) limits: RawLimits,
    pub(super) metrics: Option<Spanned<RawMetrics>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMqtt {
    pub(super) url: Spanned<String>,
    pub(super) ca: Option<Spanned<PathBuf>>,
    pub(super) certificate: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    pub(super) client_id: Option<Spanned<String>>,
    pub(super) topics: Option<Vec<Spanned<String>>>,
    pub(super) session_expiry_seconds: Option<Spanned<u64>>,
    pub(super) keep_alive_seconds: Option<Spanned<u64>>,
    pub(super) connect_timeout_seconds: Option<Spanned<u64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) topic: Spanned<String>,
    pub(super) measurement: Option<Spanned<String>>,
    pub(super) field: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) payload: PayloadKind,
    pub(super) tags: Option<Spanned<BTreeMap<String, String>>>,
    #[serde(default)]
    pub(super) types: BTreeMap<String, FieldType>,
    pub(super) timestamp: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) timestamp_format: TimestampFormat,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSinkKind {
    File,
    Influx1,
    Influx2,
    Influx3,
}

/// All keys of all kinds, so that each has its place; which belong to which kind is checked afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSink {
    pub(super) kind: RawSinkKind,
    pub(super) directory: Option<Spanned<PathBuf>>,
    pub(super) file_bytes: Option<Spanned<u64>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) database: Option<Spanned<String>>,
    pub(super) retention_policy: Option<Spanned<String>>,
    pub(super) create_database: Option<Spanned<bool>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    pub(super) org: Option<Spanned<String>>,
    pub(super) bucket: Option<Spanned<String>>,
    pub(super) token_file: Option<Spanned<PathBuf>>,
    pub(super) ca: Option<Spanned<PathBuf>>,
    pub(super) gzip: Option<Spanned<bool>>,
    pub(super) timeout_seconds: Option<Spanned<u64>>,
    pub(super) concurrent_writes: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBatch {
    pub(super) lines: Option<Spanned<u64>>,
    pub(super) bytes: Option<Spanned<u64>>,
    pub(super) milliseconds: Option<Spanned<u64>>,
    pub(super) quiet_milliseconds: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeadLetter {
    pub(super) directory: Option<Spanned<PathBuf>>,
    pub(super) bytes: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) messages_in_flight: Option<Spanned<u64>>,
    pub(super) bytes_in_flight: Option<Spanned<u64>>,
    pub(super) packet_bytes: Option<Spanned<u64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) enabled: Option<bool>,
    pub(super) database: Option<Spanned<String>>,
    pub(super) bucket: Option<Spanned<String>>,
    pub(super) interval_seconds: Option<Spanned<u64>>,
    pub(super) broker_admin: Option<Spanned<String>>,
    pub(super) instance: Option<String>,
}

/// The file being read: turns places into lines and names into paths.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error at a byte of the file.
    pub(super) fn error(&self, at: usize, problem: impl Into<String>) -> ConfigError {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::At { path: self.path.to_owned(), line, problem: problem.into() }
    }

    /// A path in the file is relative to the file.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |parent| parent.join(path))
    }

    /// A file that has to exist.
    pub(super) fn readable(&self, key: &str, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        let resolved = self.resolve(path.get_ref());
        let opened = std::fs::File::open(&resolved).and_then(|file| file.metadata());
        match opened {
            Ok(metadata) if metadata.is_dir() => {
                Err(self.error(path.span().start, format!("`{key}` is a directory, and a file was expected")))
            }
            Ok(_) => Ok(resolved),
            Err(error) => {
                let problem = format!("`{key}` {} cannot be read: {error}", resolved.display());
                Err(self.error(path.span().start, problem))
            }
        }
    }

    /// A number within bounds.
    pub(super) fn number(
        &self,
        key: &str,
        found: Option<Spanned<u64>>,
        default: u64,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let Some(found) = found else { return Ok(default) };
        if bounds.contains(found.get_ref()) {
            return Ok(*found.get_ref());
        }
        let (low, high) = bounds.into_inner();
        let problem = format!("`{key}` is {}, and {low} to {high} was expected", found.get_ref());
        Err(self.error(found.span().start, problem))
    }
}

impl Source<'_> {
    /// A file with a secret in it.
    pub(super) fn secret(&self, key: &str, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        let resolved = self.resolve(path.get_ref());
        match super::secret::read(&resolved) {
            Ok(_) => Ok(resolved),
            Err(error) => Err(self.error(path.span().start, format!("`{key}` {error}"))),
        }
    }
}

//! The section `[audit]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Source;
use crate::config::{AuditConfig, ConfigError};

/// What a file holds before the next one begins: some hundred thousand logins.
const FILE_BYTES_DEFAULT: u64 = 64 << 20;
/// Below this, every few lines would begin a file.
const FILE_BYTES_MIN: u64 = 4096;
const FILES_DEFAULT: u32 = 5;
/// Each start of a file renames all of them.
const FILES_MAX: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    file: PathBuf,
    file_bytes: Option<Spanned<u64>>,
    files: Option<Spanned<u32>>,
}

impl RawAudit {
    pub(super) fn build(&self, source: &Source<'_>) -> Result<AuditConfig, ConfigError> {
        if let Some(bytes) = self.file_bytes.as_ref().filter(|bytes| *bytes.get_ref() < FILE_BYTES_MIN) {
            return Err(source.error(bytes, bytes.get_ref(), format_args!("at least {FILE_BYTES_MIN}")));
        }
        if let Some(files) = self.files.as_ref().filter(|files| *files.get_ref() > FILES_MAX) {
            return Err(source.error(files, files.get_ref(), format_args!("at most {FILES_MAX}")));
        }
        Ok(AuditConfig {
            file: source.path.parent().unwrap_or_else(|| Path::new("")).join(&self.file),
            file_bytes: self.file_bytes.as_ref().map_or(FILE_BYTES_DEFAULT, |bytes| *bytes.get_ref()),
            files: self.files.as_ref().map_or(FILES_DEFAULT, |files| *files.get_ref()),
        })
    }
}

//! What the authority has issued to clients: `pki/index.toml`.
//!
//! It is for people and for `revoke NAME`. What counts for the broker is the revocation list.

use std::{path::Path, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::INDEX;
use crate::{failure::Failure, files};

const HEADER: &str =
    "# Certificates that `gaugeline pki` has issued to clients. Kept by it; pki/crl.pem is what counts.\n\n";

/// All certificates of clients, the oldest first.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    #[serde(default, rename = "certificate")]
    pub(super) certificates: Vec<Issued>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issued {
    /// Its common name.
    pub(super) name: String,
    /// Its serial number in hexadecimal.
    pub(super) serial: String,
    /// RFC 3339.
    pub(super) valid_until: jiff::Timestamp,
    /// RFC 3339; when it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<jiff::Timestamp>,
}

impl Issued {
    /// Whether it can still be used.
    pub(super) fn is_valid(&self, now: SystemTime) -> bool {
        self.revoked_at.is_none() && SystemTime::from(self.valid_until) > now
    }
}

impl Index {
    /// The index of a data directory; empty if there is none.
    pub(super) fn load(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(INDEX);
        if !files::exists(&path) {
            return Ok(Self::default());
        }
        toml::from_str(&files::read_text(&path)?)
            .map_err(|error| Failure::configuration(format!("{}: {error}", path.display())))
    }

    /// Replaces the index of a data directory.
    pub(super) fn save(&self, directory: &Path) -> Result<(), Failure> {
        let path = directory.join(INDEX);
        let text = toml::to_string(self).map_err(Failure::failed)?;
        files::replace(&path, files::PUBLIC, format!("{HEADER}{text}").as_bytes())
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
    }

    /// The certificates with this name that can still be used.
    pub(super) fn valid<'a>(&'a self, name: &'a str, now: SystemTime) -> impl Iterator<Item = &'a Issued> {
        self.certificates.iter().filter(move |issued| issued.name == name && issued.is_valid(now))
    }
}

/// Seconds are enough, and look better.
pub(super) fn timestamp(time: SystemTime) -> Result<jiff::Timestamp, Failure> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).map_err(Failure::failed)?;
    jiff::Timestamp::from_second(seconds).map_err(Failure::failed)
}

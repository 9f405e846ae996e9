//! The secrets that a prepared server goes with: one file each, made once.

use super::super::report::{Outcome, Report};
use crate::{failure::Failure, files, random};

/// The administrator's password.
pub(crate) const ADMIN_PASSWORD: &str = "secrets/influxdb-admin-password";
/// A token with all rights.
pub(crate) const ADMIN_TOKEN: &str = "secrets/influxdb-admin-token";
/// The same in the form that InfluxDB 3 reads when it starts.
pub(crate) const ADMIN_TOKEN_JSON: &str = "secrets/influxdb-admin-token.json";
/// The password of the bridge's user.
pub(crate) const BRIDGE_PASSWORD: &str = "secrets/influxdb-bridge-password";
/// The password of Grafana's user.
pub(crate) const GRAFANA_PASSWORD: &str = "secrets/influxdb-grafana-password";
/// The token that the bridge writes with.
pub(crate) const BRIDGE_TOKEN: &str = "secrets/influxdb-bridge-token";
/// The token that Grafana reads with.
pub(crate) const GRAFANA_TOKEN: &str = "secrets/influxdb-grafana-token";
/// The password of Grafana's user `admin`.
pub(crate) const GRAFANA_ADMIN_PASSWORD: &str = "secrets/grafana-admin-password";

/// 256 bits. In hexadecimal 64 characters: InfluxDB 2 takes at most 72, and Grafana would expand a `$`.
const SECRET_BYTES: usize = 32;

/// A secret, and whether it is new.
#[derive(Debug)]
pub(super) struct Secret {
    /// The file, within the data directory.
    pub(super) file: &'static str,
    /// The secret itself.
    pub(super) text: String,
    /// Nobody can know it yet.
    pub(super) is_new: bool,
}

/// The secret in this file: the one that is there, or a new random one that begins with `prefix`.
pub(super) fn random(report: &mut Report, file: &'static str, prefix: &str) -> Result<Secret, Failure> {
    let made = format!("{prefix}{}\n", hex::encode(random::bytes::<SECRET_BYTES>()?));
    store(report, file, &made)
}

/// The secret in this file: the one that is there, or this one.
pub(super) fn store(report: &mut Report, file: &'static str, made: &str) -> Result<Secret, Failure> {
    let outcome = report.create(file, files::PRIVATE, made.as_bytes())?;
    // Read back, for the file may have been there.
    let text = files::read_secret(&report.directory().join(file))?;
    Ok(Secret { file, text, is_new: outcome == Outcome::Created })
}

/// The secret in this file, if there is one.
pub(super) fn find(report: &mut Report, file: &'static str) -> Result<Option<Secret>, Failure> {
    let path = report.directory().join(file);
    if !files::exists(&path) {
        return Ok(None);
    }
    report.kept(file);
    Ok(Some(Secret { file, text: files::read_secret(&path)?, is_new: false }))
}

/// Somebody else's secret is in the file, or the server is another one than it was made for.
pub(super) fn refused(file: &str, whose: &str, remedy: &str) -> Failure {
    Failure::configuration(format!("{file}: the server does not accept it as {whose}: {remedy}"))
}

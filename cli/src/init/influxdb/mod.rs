//! `init --influxdb`: makes a server of InfluxDB ready for the bridge and for Grafana.
//!
//! Owns what is asked for and in which order; each version's API has a file of its own. What is there is never changed:
//! neither a secret, nor a retention, nor somebody else's token.

mod retention;
pub(crate) mod secrets;
mod server;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod v3;
mod version;

use std::{path::PathBuf, time::Duration};

use gaugeline_bridge::config::{InfluxApi, InfluxConfig};
use reqwest::Url;

pub(super) use self::v1::BRIDGE as BRIDGE_USER;
pub(crate) use self::{retention::Retention, version::Version};
use self::{server::Server, v1::Doors};
use super::report::Report;
use crate::failure::Failure;

/// What a server of InfluxDB is to be made ready for.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Prepare the InfluxDB at this address: databases or buckets, users or tokens. A new bridge.toml writes to it
    #[arg(long, value_name = "URL", value_parser = parse_url, help_heading = "InfluxDB")]
    influxdb: Option<Url>,
    /// Which InfluxDB it is; by default it is asked
    #[arg(long, value_enum, requires = "influxdb", help_heading = "InfluxDB")]
    influxdb_version: Option<Version>,
    /// Database or bucket for the telemetry
    #[arg(
        long,
        visible_alias = "bucket",
        value_name = "NAME",
        default_value = "telemetry",
        help_heading = "InfluxDB"
    )]
    database: String,
    /// How long telemetry is kept: 12h, 30d, 52w, or `forever`
    #[arg(long, value_name = "DURATION", default_value = "forever", help_heading = "InfluxDB")]
    retention: Retention,
    /// How long the numbers about gaugeline itself are kept
    #[arg(long, value_name = "DURATION", default_value = "30d", help_heading = "InfluxDB")]
    metrics_retention: Retention,
    /// Organization (InfluxDB 2)
    #[arg(long, value_name = "NAME", default_value = "gaugeline", help_heading = "InfluxDB")]
    org: String,
    /// The administrator that a new server gets, or has (InfluxDB 1 and 2)
    #[arg(long, value_name = "NAME", default_value = "admin", help_heading = "InfluxDB")]
    influxdb_admin: String,
    /// The authority that signed the certificate of an https server (PEM); by default those that this machine trusts
    #[arg(long, value_name = "FILE", requires = "influxdb", help_heading = "InfluxDB")]
    influxdb_ca: Option<PathBuf>,
    /// Make the files and do not ask the server yet; needs --influxdb-version
    #[arg(long, requires_all = ["influxdb", "influxdb_version"], help_heading = "InfluxDB")]
    files_only: bool,
    /// With --files-only: the server will ask nobody for a password
    #[arg(long, requires = "files_only", help_heading = "InfluxDB")]
    influxdb_no_auth: bool,
    /// How long to wait for the server
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "InfluxDB")]
    wait: u64,
    /// Make a password for the administrator of a Grafana, too
    #[arg(long, help_heading = "InfluxDB")]
    grafana: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Nothing {
            #[command(flatten)]
            arguments: Arguments,
        }
        <Nothing as clap::Parser>::parse_from(["init"]).arguments
    }
}

/// An address that the bridge would take.
fn parse_url(text: &str) -> Result<Url, String> {
    let api = InfluxApi::V3 { database: String::new(), token_file: None };
    InfluxConfig::new(text, api).map(|config| config.url).map_err(|error| error.to_string())
}

/// A database or bucket that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database {
    pub(super) name: String,
    retention: Retention,
}

/// What is to be there in the end.
#[derive(Debug)]
struct Plan {
    /// The one for telemetry, and the one for gaugeline's own numbers.
    databases: [Database; 2],
    organization: String,
    admin: String,
}

/// A server that is ready, or will be: what a new `bridge.toml` has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) url: Url,
    pub(super) ca: Option<PathBuf>,
    pub(super) version: Version,
    /// Whether everything that `bridge.toml` names is there now.
    pub(super) is_ready: bool,
    /// Whether it asks for a password or a token.
    pub(super) is_locked: bool,
    pub(super) database: String,
    pub(super) organization: String,
}

/// The database of gaugeline's own numbers.
pub(super) const METRICS_DATABASE: &str = "gaugeline";

impl Arguments {
    /// Makes what is missing in the directory and on the server. `None` if no server was named.
    pub(super) fn prepare(&self, report: &mut Report) -> Result<Option<Prepared>, Failure> {
        if self.grafana {
            secrets::random(report, secrets::GRAFANA_ADMIN_PASSWORD, "")?;
        }
        let Some(url) = &self.influxdb else { return Ok(None) };
        if self.database == METRICS_DATABASE {
            return Err(Failure::usage(format!(
                "--database {METRICS_DATABASE}: that one is for the numbers about gaugeline itself; choose another name"
            )));
        }
        let (version, is_locked) = match (self.files_only, self.influxdb_version) {
            (true, Some(version)) => (version, self.make_files(version, report)?),
            _ => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.map_err(Failure::failed)?.block_on(self.prepare_server(url, report))?
            }
        };
        Ok(Some(Prepared {
            url: url.clone(),
            ca: self.influxdb_ca.clone(),
            version,
            is_ready: !self.files_only,
            is_locked,
            database: self.database.clone(),
            organization: self.org.clone(),
        }))
    }

    /// The secrets that do not come from the server.
    fn make_files(&self, version: Version, report: &mut Report) -> Result<bool, Failure> {
        if self.influxdb_no_auth {
            return Ok(false);
        }
        match version {
            Version::One => {
                for file in [secrets::ADMIN_PASSWORD, secrets::BRIDGE_PASSWORD, secrets::GRAFANA_PASSWORD] {
                    secrets::random(report, file, "")?;
                }
            }
            Version::Two => drop(v2::administrator(report)?),
            Version::Three => drop(v3::administrator(report)?),
        }
        Ok(true)
    }

    async fn prepare_server(&self, url: &Url, report: &mut Report) -> Result<(Version, bool), Failure> {
        let server = Server::new(url, self.influxdb_ca.as_deref())?;
        let ping = server.wait(Duration::from_secs(self.wait)).await?;
        let version = self.influxdb_version.or_else(|| Version::of(&ping)).ok_or_else(|| {
            Failure::failed(format!(
                "{} does not say that it is InfluxDB ({}): if it is, say which with --influxdb-version",
                server.address(),
                ping.words()
            ))
        })?;
        let plan = self.plan();
        let is_locked = match version {
            Version::One => {
                let doors = v1::doors(&server).await?;
                v1::prepare(&server, doors, &plan, report).await?;
                doors != Doors::Open
            }
            Version::Two => {
                v2::prepare(&server, &plan, report).await?;
                true
            }
            Version::Three => v3::prepare(&server, &plan, report).await?,
        };
        Ok((version, is_locked))
    }

    fn plan(&self) -> Plan {
        let metrics = METRICS_DATABASE.to_owned();
        Plan {
            databases: [
                Database { name: self.database.clone(), retention: self.retention },
                Database { name: metrics, retention: self.metrics_retention },
            ],
            organization: self.org.clone(),
            admin: self.influxdb_admin.clone(),
        }
    }
}

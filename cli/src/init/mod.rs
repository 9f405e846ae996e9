//! `gaugeline init`: everything that a first start needs, in one directory.
//!
//! Owns which files there are and in which order they are made. Creates what is missing and never replaces what
//! is there, so that a run that was cut short can be repeated and an edited file stays edited.

mod accounts;
mod bridge_config;
mod influxdb;
mod pki;
mod report;
mod templates;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use accounts::{ADMIN, BRIDGE, SENSOR, VIEWER, secret_file};
pub(crate) use influxdb::secrets;
pub(crate) use pki::{
    CA_CERTIFICATE, CA_KEY, CLOCK_SKEW, HostName, SERVER_CERTIFICATE, SERVER_DAYS, SERVER_KEY, serial_number,
    server_parameters,
};
use report::Outcome;
pub(crate) use report::Report;

use crate::{clock, failure::Failure, files, output::say};

/// The broker's configuration.
pub(crate) const BROKER_CONFIG: &str = "broker.toml";
/// The bridge's configuration.
pub(crate) const BRIDGE_CONFIG: &str = "bridge.toml";

/// Only the owner may look into the directory of passwords.
const SECRETS_MODE: u32 = 0o700;
/// Certificates are public, and programs of other users need the authority's; the keys are files of mode 0600.
const PKI_MODE: u32 = 0o755;

const EXAMPLES: &str = "\
Examples:
  gaugeline init /srv/gaugeline --name mqtt.example.org,192.0.2.7
  gaugeline init /srv/gaugeline --influxdb http://127.0.0.1:8086 --retention 90d
  gaugeline broker -c /srv/gaugeline/broker.toml

Creates broker.toml, bridge.toml, passwd, acl, a private certificate authority with the broker's certificate
(pki/), and the passwords of the users bridge, sensor and viewer (secrets/). With --influxdb it also prepares that \
server: database, users or tokens for the bridge and for Grafana. What exists is kept as it is: running it again \
completes what is missing.";

/// Create a data directory: configuration, certificates, users
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Directory to create or complete
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A further DNS name or IP address of this machine for the broker's certificate (repeatable, or with commas);
    /// localhost, 127.0.0.1, ::1 and the host's name are always in it
    #[arg(long = "name", value_name = "NAME", value_parser = HostName::new, value_delimiter = ',')]
    names: Vec<HostName>,
    #[command(flatten)]
    bridge: bridge_config::Arguments,
    #[command(flatten)]
    influxdb: influxdb::Arguments,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let report = create(&arguments.directory, &arguments.names, &arguments.bridge, &arguments.influxdb)?;
    let directory = arguments.directory.display();
    let nothing_new = report.changed_nothing();
    say(report);
    if nothing_new {
        say("Nothing was changed: everything was there before.");
    }
    say(format_args!(
        "Ready. Start the broker and the bridge with\n  gaugeline up {directory}\n\
         or each by itself with\n  gaugeline broker -c {directory}/{BROKER_CONFIG}\n  \
         gaugeline bridge -c {directory}/{BRIDGE_CONFIG}"
    ));
    Ok(())
}

/// Creates what is missing in a data directory. `names` are added to those that every machine has.
pub(crate) fn complete(directory: &Path, names: &[HostName]) -> Result<Report, Failure> {
    create(directory, names, &bridge_config::Arguments::default(), &influxdb::Arguments::default())
}

fn create(
    directory: &Path,
    names: &[HostName],
    bridge: &bridge_config::Arguments,
    influxdb: &influxdb::Arguments,
) -> Result<Report, Failure> {
    // Wrong arguments are told before anything is made.
    bridge.text(None)?;
    for (path, mode) in [("pki", PKI_MODE), ("secrets", SECRETS_MODE)] {
        let path = directory.join(path);
        files::create_directory(&path, mode)
            .map_err(|error| Failure::failed(format!("cannot create {}: {error}", path.display())))?;
    }
    let mut report = Report::new(directory);
    accounts::complete(&mut report)?;
    accounts::complete_admin_token(&mut report)?;
    let required = required_names(names);
    pki::complete(&mut report, &certificate_names(&required), &required, clock::time_of_day())?;
    report.create("acl", files::PUBLIC, templates::ACL.as_bytes())?;
    report.create(BROKER_CONFIG, files::PUBLIC, templates::BROKER_TOML.as_bytes())?;
    let prepared = influxdb.prepare(&mut report)?;
    let bridge_toml = bridge.text(prepared.as_ref())?;
    let outcome = report.create(BRIDGE_CONFIG, files::PUBLIC, bridge_toml.as_bytes())?;
    if let (Outcome::Kept, Some(prepared)) = (outcome, &prepared) {
        bridge_config::compare(&mut report, BRIDGE_CONFIG, bridge, &bridge_toml, prepared);
    }
    Ok(report)
}

/// The names that a broker's certificate must be valid for: the bridge's own way in, and what the user asked for.
fn required_names(names: &[HostName]) -> Vec<HostName> {
    let mut required = Vec::from_iter(HostName::new("localhost"));
    for name in names {
        if !required.contains(name) {
            required.push(name.clone());
        }
    }
    required
}

/// All names of a new certificate. A host name that cannot stand in a certificate is left out.
fn certificate_names(required: &[HostName]) -> Vec<HostName> {
    let host = gethostname::gethostname().to_string_lossy().to_lowercase();
    let mut names = required.to_vec();
    for name in [host.as_str(), "127.0.0.1", "::1"].into_iter().filter_map(|name| HostName::new(name).ok()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

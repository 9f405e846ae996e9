//! `gaugeline pki`: certificates of clients, and new ones for the broker, from the authority that `init` made.
//!
//! Owns the directory `pki` of a data directory together with `init`, which makes it. Whatever is changed here is changed
//! under one lock, and every file is replaced in one step; a running broker follows.

mod authority;
mod client_certificate;
mod index;
mod list;
mod renewal;
mod revocation;
mod revocation_list;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Subcommand;

pub(crate) use revocation_list::RevocationList;

use crate::{clock, failure::Failure, output::say};
use authority::Authority;
use client_certificate::ClientName;

/// The lists of revoked certificates, within the data directory.
pub(crate) const REVOCATION_LIST: &str = "pki/crl.pem";
/// What was issued.
const INDEX: &str = "pki/index.toml";
/// Where certificates of clients go.
const CLIENTS: &str = "pki/clients";
/// How long a client's certificate lasts: as long as the broker's, so that there is one rhythm of renewal. One that gets
/// lost ends with `revoke`, not with its time.
const CLIENT_DAYS: u32 = 824;

const EXAMPLES: &str = "\
Examples:
  gaugeline pki issue greenhouse -d /srv/gaugeline     writes pki/clients/greenhouse.crt and .key
  gaugeline pki list -d /srv/gaugeline
  gaugeline pki revoke greenhouse -d /srv/gaugeline    a running broker disconnects it within seconds
  gaugeline pki renew server -d /srv/gaugeline         a running broker shows the new one, and clients stay

A listener asks for certificates with `require_certificate = true` (or `request_certificate = true`) in broker.toml, and
takes the name as user with `identity = \"common-name\"`.";

/// Issue, list, renew and revoke certificates
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The data directory, as `gaugeline init` made it
    #[arg(short = 'd', long, value_name = "DIR", default_value = "gaugeline-data", global = true)]
    directory: PathBuf,
    /// The authority's key, if it is kept elsewhere than in pki/ca.key
    #[arg(long, value_name = "FILE", global = true)]
    ca_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a certificate for a client
    Issue {
        /// The client's name: the certificate's common name, and the name of its files
        name: ClientName,
        /// How long it is valid
        #[arg(long, value_name = "DAYS", default_value_t = CLIENT_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
        days: u32,
        /// Directory for NAME.crt and NAME.key instead of pki/clients
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List the certificates that were issued
    List,
    /// Replace a certificate by a new one with a new key
    Renew {
        /// A client's name; `server` for the broker's certificate, `crl` for the revocation list
        name: String,
        /// How long the new one is valid; by default as long as a first one
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        days: Option<u32>,
        /// With `server`: a further DNS name or IP address (repeatable, or with commas)
        #[arg(long = "name", value_name = "NAME", value_parser = crate::init::HostName::new, value_delimiter = ',')]
        names: Vec<crate::init::HostName>,
        /// Directory of a client's NAME.crt and NAME.key instead of pki/clients
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Revoke a client's certificates: all that are valid, or one
    Revoke(revocation::Arguments),
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { command, directory, ca_key } = arguments;
    let now = clock::time_of_day();
    if let Command::List = command {
        say(list::table(directory, now)?.trim_end());
        return Ok(());
    }
    let authority = Authority::open(directory, ca_key.as_deref())?;
    match command {
        Command::List => {}
        Command::Issue { name, days, out } => {
            let out = out.clone().unwrap_or_else(|| directory.join(CLIENTS));
            let issued = client_certificate::issue(&authority, name, *days, &out, now)?;
            say(issued.report(directory, "created"));
        }
        Command::Renew { name, days, names, out } => {
            let out = out.clone().unwrap_or_else(|| directory.join(CLIENTS));
            say(renewal::renew(&authority, name, *days, names, &out, now)?);
        }
        Command::Revoke(which) => say(revocation::revoke(&authority, which, now)?),
    }
    Ok(())
}

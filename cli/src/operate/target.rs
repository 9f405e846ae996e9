//! Which broker is asked, and how it is told that the operator asks: both stand in its configuration.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use gaugeline_broker::config::ADMIN_DEFAULT;
use serde::Deserialize;

use super::{Answer, ask};
use crate::{failure::Failure, files};

/// What `init` calls the configuration.
const CONFIG_DEFAULT: &str = "broker.toml";
/// Where `gaugeline up` makes it, unless told otherwise.
const UP_DIRECTORY_DEFAULT: &str = "gaugeline-data";
/// Where `init` makes the token.
const TOKEN_DEFAULT: &str = "secrets/admin";

/// How to find the broker.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// The broker's configuration, for the two below [default: broker.toml here or in gaugeline-data]
    #[arg(short = 'c', long, value_name = "FILE", env = "GAUGELINE_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where its admin server listens, instead of `admin` there
    #[arg(long, value_name = "IP:PORT")]
    pub(super) admin: Option<SocketAddr>,
    /// File with the admin token, instead of `admin_token_file` there
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

/// The part of a configuration that matters here. The rest may be wrong: to say so is what `gaugeline status` is for.
#[derive(Debug, Default, Deserialize)]
struct Named {
    admin: Option<String>,
    admin_token_file: Option<PathBuf>,
}

/// A broker, and what it takes to be let in.
#[derive(Debug)]
pub(super) struct Target {
    address: SocketAddr,
    token: String,
}

impl Target {
    pub(super) fn find(arguments: &Arguments) -> Result<Self, Failure> {
        let config = match &arguments.config {
            Some(config) => config.clone(),
            None => default_config(),
        };
        let named = match (&arguments.admin, &arguments.token_file) {
            (Some(_), Some(_)) => Named::default(),
            _ => read(&config)?,
        };
        let address = match (arguments.admin, named.admin.as_deref()) {
            (Some(address), _) => address,
            (None, None) => ADMIN_DEFAULT,
            (None, Some("off")) => {
                let text = "the broker has no admin server (`admin = \"off\"`): send it SIGHUP to reload";
                return Err(Failure::configuration(format!("{}: {text}", config.display())));
            }
            (None, Some(text)) => text.parse().map_err(|_| {
                let text = format!("found `{text}` as `admin`, expected an IP address and a port");
                Failure::configuration(format!("{}: {text}", config.display()))
            })?,
        };
        let beside = config.parent().unwrap_or_else(|| Path::new(""));
        let token_file = match (&arguments.token_file, named.admin_token_file) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) => beside.join(file),
            (None, None) => {
                let text = "found no `admin_token_file`, expected one: make it with `openssl rand -hex 32`, \
                            readable by the broker alone, and send the broker SIGHUP";
                return Err(Failure::configuration(format!("{}: {text}", config.display())));
            }
        };
        Ok(Self { address: reachable(address), token: files::read_secret(&token_file)?.trim().to_owned() })
    }

    pub(super) fn call(&self, method: &str, path: &str, time_max: Duration) -> Result<Answer, Failure> {
        let address = self.address;
        let header = format!("Authorization: Bearer {}\r\n", self.token);
        let bytes = ask(address, method, path, &header, time_max)
            .map_err(|error| Failure::failed(format!("no answer from http://{address}{path}: {error}")))?;
        let odd = || Failure::failed(format!("http://{address}{path}: expected the answer of a broker"));
        Answer::parse(&bytes).ok_or_else(odd)
    }
}

/// A server that listens on every address is asked on this machine's own.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn default_config() -> PathBuf {
    let made_by_up = Path::new(UP_DIRECTORY_DEFAULT).join(CONFIG_DEFAULT);
    let here = PathBuf::from(CONFIG_DEFAULT);
    if !files::exists(&here) && files::exists(&made_by_up) { made_by_up } else { here }
}

fn read(config: &Path) -> Result<Named, Failure> {
    let text = files::read_text(config)?;
    Ok(toml::from_str(&text).unwrap_or_else(|error| {
        // Half-edited: what `init` has written is the best guess.
        eprintln!("Warning: {}: {}: asking where `init` would have it", config.display(), error.message());
        Named { admin: None, admin_token_file: Some(TOKEN_DEFAULT.into()) }
    }))
}

//! Which broker is asked, and how it is told that the operator asks: both stand in its configuration.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use gaugeline_broker::config::{ADMIN_DEFAULT, Format};
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
        let bytes = ask(address, method, path, &header, time_max).map_err(|error| {
            let next = match error.kind() {
                io::ErrorKind::ConnectionRefused => " (is the broker running? --admin says where to ask)",
                _ => "",
            };
            Failure::failed(format!("no answer from http://{address}{path}: {error}{next}"))
        })?;
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
    if Format::detect(config, text.as_bytes()) == Format::Mosquitto {
        return Err(Failure::configuration(format!(
            "{}: is a mosquitto.conf, which says nothing about an admin server. Send the broker SIGHUP to reload; to \
             ask it, start it with `--admin IP:PORT --admin-token-file FILE` and give the same here (`--admin`, \
             `--token-file`); or make a broker.toml of it with `gaugeline import`",
            config.display()
        )));
    }
    Ok(toml::from_str(&text).unwrap_or_else(|error| {
        // Half-edited: the broker still runs with what stood there before.
        let line = error.span().and_then(|span| Some(text.get(..span.start)?.matches('\n').count() + 1));
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        let named = Named::of_lines(&text);
        let admin = named.admin.clone().unwrap_or_else(|| ADMIN_DEFAULT.to_string());
        eprintln!(
            "Warning: {}{line}: {}: asking {admin} all the same (--admin and --token-file choose otherwise)",
            config.display(),
            error.message().trim_end()
        );
        named
    }))
}

impl Named {
    /// What can be found in a text with a mistake: the last good line of each key, before the first table.
    fn of_lines(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().take_while(|line| !line.trim_start().starts_with('[')) {
            let Ok(one) = toml::from_str::<Self>(line) else { continue };
            found.admin = one.admin.or(found.admin);
            found.admin_token_file = one.admin_token_file.or(found.admin_token_file);
        }
        // Where `init` makes it.
        found.admin_token_file.get_or_insert_with(|| TOKEN_DEFAULT.into());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_mistake_still_says_where_to_ask() {
        for (text, admin, token) in [
            ("admin = \n", None, TOKEN_DEFAULT),
            ("admin = \"127.0.0.1:1\"\nlog = \n", Some("127.0.0.1:1"), TOKEN_DEFAULT),
            ("x y\nadmin_token_file = \"t\" # the token\nadmin = \"off\"\nadmin = 5", Some("off"), "t"),
            ("x y\n[audit]\nadmin = \"127.0.0.1:1\"\n", None, TOKEN_DEFAULT),
        ] {
            let found = Named::of_lines(text);
            assert_eq!(
                (found.admin.as_deref(), found.admin_token_file),
                (admin, Some(token.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_mosquitto_conf_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("mosquitto.conf");
        std::fs::write(&config, "listener 1883\n").unwrap();
        let arguments = Arguments { config: Some(config), ..Arguments::default() };
        let failure = Target::find(&arguments).unwrap_err().to_string();
        assert!(failure.contains("SIGHUP") && failure.contains("gaugeline import"), "{failure}");
    }

    #[test]
    fn a_broker_that_does_not_answer_is_told_with_the_next_step() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target { address: free, token: String::new() };
        let failure = target.call("GET", "/status", Duration::from_secs(60)).unwrap_err().to_string();
        assert!(failure.contains("is the broker running? --admin"), "{failure}");
    }
}

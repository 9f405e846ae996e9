//! `gaugeline check`: reads a configuration as the broker or the bridge would, and starts nothing.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use gaugeline_bridge::{Bridge, Config as BridgeConfig, config::SinkConfig};
use gaugeline_broker::{
    auth::{Access, Realm},
    config::{self, Format, Loaded, Overrides},
    tls,
};

use crate::{
    bridge, clock,
    failure::Failure,
    files,
    output::{counted, say},
    process, reach,
};

const EXAMPLES: &str = "\
Examples:
  gaugeline check -c gaugeline-data/broker.toml && systemctl restart gaugeline

Prints OK and a summary, or the file, the line and what was expected there (exit status 3). For a mosquitto.conf also the
lines that have another effect, or none.";

/// Validate broker.toml, bridge.toml or a mosquitto.conf and the files that it names
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The file
    #[arg(short = 'c', long, value_name = "FILE")]
    config: PathBuf,
    /// What the file configures; by default told from its content
    #[arg(long)]
    kind: Option<Kind>,
}

/// Which program part a file configures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The broker
    Broker,
    /// The bridge
    Bridge,
}

/// Keys that only one of the two kinds has.
const BROKER_KEYS: [&str; 5] = ["listener", "limits", "password_file", "acl_file", "allow_anonymous"];
const BRIDGE_KEYS: [&str; 4] = ["mqtt", "rule", "sink", "batch"];

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.config.as_path();
    let text = files::read_configuration(path)?;
    let kind = arguments
        .kind
        .or_else(|| detect(path, &String::from_utf8_lossy(&text)))
        .ok_or_else(|| Failure::usage(format!("{}: broker or bridge? Add --kind", path.display())))?;
    let summary = match kind {
        Kind::Broker => check_broker(path)?,
        Kind::Bridge => check_bridge(path)?,
    };
    say(format_args!("OK: {}: {summary}", path.display()));
    Ok(())
}

/// Reads all that the broker reads at its start.
fn check_broker(path: &Path) -> Result<String, Failure> {
    let loaded = config::load(path, &Overrides::default());
    let loaded = loaded.map_err(|error| unreadable_broker(path, error))?;
    let summary = try_broker(&loaded)?;
    if loaded.format == Format::Toml {
        return Ok(summary);
    }
    loaded.warnings.iter().for_each(|warning| say(format_args!("{warning}")));
    let others = if loaded.warnings.is_empty() { "every line" } else { "every other line" };
    Ok(format!("{summary}; {others} is honoured"))
}

/// Tries what the broker does at its start, as the user that it becomes, and says what it would do, in a line.
///
/// Where that is another user, this process is that user from now on.
pub(crate) fn try_broker(loaded: &Loaded) -> Result<String, Failure> {
    let not_tried = process::rehearse(&loaded.config.process)?;
    not_tried.iter().for_each(|note| eprintln!("Warning: {note}"));
    let summary = describe_broker(loaded)?;
    reach::check(&loaded.config)?.iter().for_each(|note| eprintln!("Warning: {note}"));
    Ok(summary)
}

fn describe_broker(loaded: &Loaded) -> Result<String, Failure> {
    let config = &loaded.config;
    let access = Access::load(&config.realms).map_err(Failure::configuration)?;
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let kind = match &listener.tls {
            Some(tls) => {
                let prepared = tls::prepare(tls, clock::unix_time(), None).map_err(Failure::configuration)?;
                prepared.notes().iter().for_each(|note| eprintln!("Warning: {note}"));
                "TLS"
            }
            None => "plain TCP",
        };
        let rules = describe(access.realm(listener.realm));
        listeners.push(format!("{} ({kind}; {rules})", listener.bind));
    }
    Ok(format!("broker on {}", listeners.join(", ")))
}

fn describe(realm: &Realm) -> String {
    let users = match &realm.passwords {
        _ if realm.scram.is_some() => counted(realm.users(), "user"),
        Some(passwords) => counted(passwords.len(), "user"),
        None => "no password file".to_owned(),
    };
    let rights = if realm.acl.is_some() { "rights from the ACL file" } else { "every right for everybody" };
    let anonymous = if realm.allow_anonymous { "allowed" } else { "refused" };
    format!("{users}, {rights}, anonymous clients {anonymous}")
}

/// Reads all that the bridge reads at its start.
fn check_bridge(path: &Path) -> Result<String, Failure> {
    let config = BridgeConfig::load(path).map_err(|error| unreadable_bridge(path, error))?;
    Bridge::check(&config).map_err(bridge::start_failure)?;
    let sink = match &config.sink {
        SinkConfig::Files(files) => format!("files in {}", files.directory.display()),
        SinkConfig::Influx(influx) => format!("InfluxDB at {}", influx.url),
    };
    Ok(format!("bridge from {} to {sink}; {}", config.mqtt.url, counted(config.rules.len(), "rule")))
}

/// The failure to read the configuration of the broker or the bridge, or that the file is that of the other one.
fn unreadable(path: &Path, expected: Kind, error: impl fmt::Display) -> Failure {
    let text = fs::read(path).unwrap_or_default();
    let (what, command) = match (expected, detect(path, &String::from_utf8_lossy(&text))) {
        (Kind::Broker, Some(Kind::Bridge)) => ("the bridge, not of the broker", "gaugeline bridge"),
        (Kind::Bridge, Some(Kind::Broker)) => ("the broker, not of the bridge", "gaugeline broker"),
        _ => return Failure::configuration(error),
    };
    let path = path.display();
    Failure::configuration(format!(
        "{path}: is a configuration of {what}: start it with `{command} -c {path}`"
    ))
}

/// The failure to read what is to be a broker's configuration.
pub(crate) fn unreadable_broker(path: &Path, error: impl fmt::Display) -> Failure {
    unreadable(path, Kind::Broker, error)
}

/// The failure to read what is to be a bridge's configuration.
pub(crate) fn unreadable_bridge(path: &Path, error: impl fmt::Display) -> Failure {
    unreadable(path, Kind::Bridge, error)
}

/// Tells the kind from the keys at the start of lines, so that it works for a file with a mistake elsewhere; if
/// they say nothing, from the file's name.
fn detect(path: &Path, text: &str) -> Option<Kind> {
    if path.extension().is_some_and(|ending| ending == "conf") {
        return Some(Kind::Broker);
    }
    let has = |keys: &[&str]| {
        text.lines().any(|line| {
            let word = line.trim_start().trim_start_matches('[').trim_start();
            let end = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len());
            word.split_at_checked(end).is_some_and(|(key, _)| keys.contains(&key))
        })
    };
    match (has(&BROKER_KEYS), has(&BRIDGE_KEYS)) {
        (true, false) => Some(Kind::Broker),
        (false, true) => Some(Kind::Bridge),
        _ => {
            let name = path.file_name()?.to_string_lossy().to_lowercase();
            match (name.contains("broker"), name.contains("bridge")) {
                (true, false) => Some(Kind::Broker),
                (false, true) => Some(Kind::Bridge),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_other_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        crate::init::complete(directory.path(), &[]).unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("odd.toml"), "[[listener]]\ncolour = 1\n").unwrap();
        for (name, kind, part) in [
            (
                "broker.toml",
                Kind::Bridge,
                "of the broker, not of the bridge: start it with `gaugeline broker -c ",
            ),
            (
                "bridge.toml",
                Kind::Broker,
                "of the bridge, not of the broker: start it with `gaugeline bridge -c ",
            ),
            ("odd.toml", Kind::Broker, "odd.toml:2: "),
        ] {
            let arguments = Arguments { config: path(name), kind: Some(kind) };
            let failure = run(&arguments).unwrap_err();
            assert!(failure.exit_status() == 3 && failure.to_string().contains(part), "{name}: {failure}");
        }
    }

    #[test]
    fn the_kind_is_told_from_the_keys_then_from_the_name() {
        for (name, text, kind) in [
            ("a", "[[listener]]\nbind = 1", Some(Kind::Broker)),
            ("a", "# mqtt\npassword_file=", Some(Kind::Broker)),
            ("broker.toml", "[mqtt]\nurl", Some(Kind::Bridge)),
            ("a", " [ sink ]", Some(Kind::Bridge)),
            ("my-bridge.toml", "", Some(Kind::Bridge)),
            ("broker.toml", "[mqtt]\n[[listener]]", Some(Kind::Broker)),
            ("mosquitto.conf", "connection a", Some(Kind::Broker)),
            ("a", "", None),
            ("a", "mqttx = 1", None),
        ] {
            assert_eq!(detect(Path::new(name), text), kind, "{name}: {text}");
        }
    }
}

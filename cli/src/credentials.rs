//! `gaugeline credentials`: what a person has to know to use a data directory, read from its files.
//!
//! Owns which secrets there are and what they are for. Makes none, and asks no server whether they are right.

use std::path::{Path, PathBuf};

use crate::{
    failure::Failure,
    files,
    init::{
        ADMIN, BRIDGE, CA_CERTIFICATE, SENSOR, VIEWER, secret_file,
        secrets::{
            ADMIN_PASSWORD, ADMIN_TOKEN, BRIDGE_PASSWORD, BRIDGE_TOKEN, GRAFANA_ADMIN_PASSWORD,
            GRAFANA_PASSWORD, GRAFANA_TOKEN,
        },
    },
    output::say,
};

const EXAMPLES: &str = "\
Examples:
  gaugeline credentials /srv/gaugeline
  mosquitto_pub --cafile pki/ca.crt -u sensor -P \"$(gaugeline credentials /srv/gaugeline --name sensor)\" ...

Prints secrets: whoever may read the directory's secrets/ may run it.";

/// Show the passwords and tokens of a data directory
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Directory that `gaugeline init` made
    #[arg(value_name = "DIR", default_value = "gaugeline-data")]
    directory: PathBuf,
    /// Print this one only, and nothing else; without it all are listed with their names
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The Grafana's address, to be shown with its password
    #[arg(long, value_name = "URL", env = "GAUGELINE_GRAFANA_URL")]
    grafana_url: Option<String>,
}

/// A secret that there may be.
struct Credential {
    /// How it is asked for.
    name: &'static str,
    /// Where it is kept, within the directory.
    file: String,
    /// For whom, and for what.
    purpose: &'static str,
    /// The user that it belongs to, where there is one.
    user: Option<&'static str>,
}

/// Every secret that `init` may make, in the order in which people need them.
fn known() -> Vec<Credential> {
    let new = |name, file: &str, user, purpose| Credential { name, file: file.to_owned(), purpose, user };
    vec![
        new("grafana", GRAFANA_ADMIN_PASSWORD, Some("admin"), "Grafana, in the browser"),
        new("sensor", &secret_file(SENSOR), Some(SENSOR), "sensors, which may write sensors/#"),
        new("viewer", &secret_file(VIEWER), Some(VIEWER), "people and programs that read sensors/#"),
        new("bridge", &secret_file(BRIDGE), Some(BRIDGE), "the bridge at the broker"),
        new("admin", &secret_file(ADMIN), None, "operators at the broker's admin server"),
        new("influxdb-admin", ADMIN_PASSWORD, Some("admin"), "InfluxDB, all rights"),
        new("influxdb-admin-token", ADMIN_TOKEN, None, "InfluxDB, all rights"),
        new("influxdb-bridge", BRIDGE_PASSWORD, Some("bridge"), "the bridge at InfluxDB"),
        new("influxdb-bridge-token", BRIDGE_TOKEN, None, "the bridge at InfluxDB"),
        new("influxdb-grafana", GRAFANA_PASSWORD, Some("grafana"), "Grafana at InfluxDB"),
        new("influxdb-grafana-token", GRAFANA_TOKEN, None, "Grafana at InfluxDB"),
    ]
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    say(text(arguments)?);
    Ok(())
}

fn text(arguments: &Arguments) -> Result<String, Failure> {
    let directory = &arguments.directory;
    if !directory.is_dir() {
        return Err(Failure::configuration(format!(
            "{}: is no directory; `gaugeline init` makes one",
            directory.display()
        )));
    }
    match &arguments.name {
        Some(name) => one(directory, name),
        None => all(directory, arguments.grafana_url.as_deref()),
    }
}

/// One bare value.
fn one(directory: &Path, name: &str) -> Result<String, Failure> {
    let known = known();
    if name == "ca" {
        return Ok(directory.join(CA_CERTIFICATE).display().to_string());
    }
    match known.iter().find(|credential| credential.name == name) {
        Some(credential) => files::read_secret(&directory.join(&credential.file)),
        None => {
            let names: Vec<_> = known.iter().map(|credential| credential.name).chain(["ca"]).collect();
            Err(Failure::usage(format!("--name {name}: expected one of {}", names.join(", "))))
        }
    }
}

/// What is there, for people.
fn all(directory: &Path, grafana_url: Option<&str>) -> Result<String, Failure> {
    let mut paragraphs = Vec::new();
    for credential in known() {
        let path = directory.join(&credential.file);
        if !files::exists(&path) {
            continue;
        }
        let mut lines = vec![format!("{}: {}", credential.name, credential.purpose)];
        if let (GRAFANA_ADMIN_PASSWORD, Some(url)) = (credential.file.as_str(), grafana_url) {
            lines.push(format!("  address   {url}"));
        }
        lines.extend(credential.user.map(|user| format!("  user      {user}")));
        let word = if credential.user.is_some() { "password" } else { "token   " };
        lines.push(format!("  {word}  {}", files::read_secret(&path)?));
        paragraphs.push(lines.join("\n"));
    }
    if paragraphs.is_empty() {
        return Err(Failure::configuration(format!(
            "{}: has no secrets/; `gaugeline init` makes them",
            directory.display()
        )));
    }
    paragraphs
        .push(format!("ca: the authority that clients have to trust\n  file      {}", one(directory, "ca")?));
    if let Some(influxdb) = influxdb_address(directory) {
        paragraphs.push(format!("InfluxDB as the bridge sees it\n  address   {influxdb}"));
    }
    Ok(paragraphs.join("\n\n"))
}

/// The server that `bridge.toml` names.
fn influxdb_address(directory: &Path) -> Option<String> {
    let text = std::fs::read_to_string(directory.join(crate::init::BRIDGE_CONFIG)).ok()?;
    let table: toml::Table = toml::from_str(&text).ok()?;
    Some(table.get("sink")?.get("url")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::init;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn told(directory: &Path, words: &[&str]) -> Result<String, String> {
        let directory = directory.to_str().unwrap();
        let line = Line::try_parse_from(["credentials", directory].iter().chain(words)).unwrap();
        text(&line.arguments).map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_there_is_listed_with_its_name() {
        let root = tempfile::tempdir().unwrap();
        init::complete(root.path(), &[]).unwrap();
        let sensor = files::read_secret(&root.path().join("secrets/sensor")).unwrap();
        let text = told(root.path(), &[]).unwrap();
        assert!(text.contains(&format!("\n  user      sensor\n  password  {sensor}\n")), "{text}");
        assert!(
            text.contains(&format!("  file      {}", root.path().join("pki/ca.crt").display())),
            "{text}"
        );
        assert!(!text.contains("grafana") && !text.contains("InfluxDB"), "{text}");
        std::fs::write(root.path().join(GRAFANA_ADMIN_PASSWORD), "s3cret\n").unwrap();
        std::fs::write(root.path().join(ADMIN_TOKEN), "t0ken\n").unwrap();
        let text = told(root.path(), &["--grafana-url", "http://here:3000"]).unwrap();
        let grafana = "grafana: Grafana, in the browser\n  address   http://here:3000\n  user      admin\n  password  s3cret\n";
        assert!(text.starts_with(grafana), "{text}");
        assert!(text.contains("influxdb-admin-token: InfluxDB, all rights\n  token     t0ken\n"), "{text}");
    }

    #[test]
    fn every_listed_name_gives_its_bare_value() {
        let root = tempfile::tempdir().unwrap();
        init::complete(root.path(), &[]).unwrap();
        for credential in known() {
            std::fs::write(root.path().join(&credential.file), format!("of {}\n", credential.name)).unwrap();
        }
        for credential in known() {
            let bare = told(root.path(), &["--name", credential.name]).unwrap();
            assert_eq!(bare, format!("of {}", credential.name));
        }
        assert!(told(root.path(), &["--name", "ca"]).unwrap().ends_with("/pki/ca.crt"));
    }

    #[test]
    fn what_is_not_there_is_said() {
        let root = tempfile::tempdir().unwrap();
        assert!(told(&root.path().join("none"), &[]).unwrap_err().contains("is no directory"));
        assert!(told(root.path(), &[]).unwrap_err().contains("has no secrets/"));
        assert!(
            told(root.path(), &["--name", "x"])
                .unwrap_err()
                .starts_with("--name x: expected one of grafana, sensor")
        );
        assert!(
            told(root.path(), &["--name", "sensor"]).unwrap_err().contains("secrets/sensor: No such file")
        );
    }
}

//! The text of a new `bridge.toml`: the sample, with other addresses where the user gave some.

use gaugeline_bridge::config::BrokerUrl;

use super::{
    influxdb::{BRIDGE_USER, METRICS_DATABASE, Prepared, Version, secrets},
    report::Report,
    templates,
};
use crate::failure::Failure;

/// Where a new `bridge.toml` sends the bridge. A file that is there is the user's and not changed.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Where the bridge finds the broker; mqtts://localhost:8883 unless given
    #[arg(long, value_name = "URL", help_heading = "What a new bridge.toml says")]
    bridge_url: Option<BrokerUrl>,
    /// Where the bridge reads the broker's /metrics (with --influxdb); http://127.0.0.1:9883 unless given
    #[arg(
        long,
        value_name = "URL",
        requires = "influxdb",
        value_parser = parse_admin,
        help_heading = "What a new bridge.toml says"
    )]
    broker_admin: Option<String>,
}

/// An address that the bridge would take.
fn parse_admin(text: &str) -> Result<String, &'static str> {
    let url = reqwest::Url::parse(text).ok();
    match url
        .filter(|url| url.scheme() == "http" && url.has_host() && url.path() == "/" && url.query().is_none())
    {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected http://HOST:PORT"),
    }
}

/// What the sample says, and these arguments replace.
const URL_LINE: &str = "\nurl = \"mqtts://localhost:8883\"\n";
const SINK_HEADER: &str = "\n[sink]\n";
const PARAGRAPH_END: &str = "\n\n";

impl Arguments {
    /// The file, for a server that is ready if there is one.
    pub(super) fn text(&self, prepared: Option<&Prepared>) -> Result<String, Failure> {
        let mut text = templates::BRIDGE_TOML.to_owned();
        if let Some(url) = &self.bridge_url {
            if !url.tls {
                return Err(Failure::usage(format!(
                    "--bridge-url {url}: expected mqtts://HOST:PORT, for the file names the authority to trust"
                )));
            }
            let line = format!("\nurl = {}\n", quoted(&url.to_string()));
            text = replaced(&text, URL_LINE, "", &line)?;
        }
        if let Some(prepared) = prepared {
            let sink = format!("{SINK_HEADER}{}{PARAGRAPH_END}", sink(prepared));
            text = replaced(&text, SINK_HEADER, PARAGRAPH_END, &sink)?;
            text.push_str(&metrics(prepared, self.broker_admin.as_deref()));
        }
        Ok(text)
    }
}

/// `[metrics]` for a server that is ready.
fn metrics(prepared: &Prepared, broker_admin: Option<&str>) -> String {
    let key = if prepared.version == Version::Two { "bucket" } else { "database" };
    let mut text = format!("\n[metrics]\n{key} = {}\n", quoted(METRICS_DATABASE));
    if let Some(url) = broker_admin {
        text.push_str(&format!("broker_admin = {}\n", quoted(url)));
    }
    text
}

/// The keys of `[sink]` for a server that is ready.
fn sink(prepared: &Prepared) -> String {
    let database = ("database", quoted(&prepared.database));
    let bucket = ("bucket", quoted(&prepared.database));
    let token = ("token_file", quoted(secrets::BRIDGE_TOKEN));
    let mut keys = vec![("url", quoted(prepared.url.as_str().trim_end_matches('/')))];
    let kind = match (prepared.version, prepared.is_locked) {
        (Version::One, true) => {
            let password_file = ("password_file", quoted(secrets::BRIDGE_PASSWORD));
            // The bridge's user may write, and create nothing.
            let create = ("create_database", "false".to_owned());
            keys.extend([database, create, ("user", quoted(BRIDGE_USER)), password_file]);
            "influx1"
        }
        (Version::One, false) => {
            keys.push(database);
            "influx1"
        }
        (Version::Two, _) => {
            keys.extend([("org", quoted(&prepared.organization)), bucket, token]);
            "influx2"
        }
        (Version::Three, true) => {
            keys.extend([database, token]);
            "influx3"
        }
        (Version::Three, false) => {
            keys.push(database);
            "influx3"
        }
    };
    if let Some(ca) = &prepared.ca {
        // The file is read from another place.
        let path = std::path::absolute(ca).unwrap_or_else(|_| ca.clone());
        keys.push(("ca", quoted(&path.display().to_string())));
    }
    let lines = keys.into_iter().map(|(key, value)| format!("{key} = {value}"));
    std::iter::once(format!("kind = {}", quoted(kind))).chain(lines).collect::<Vec<_>>().join("\n")
}

/// Says where a `bridge.toml` that is there does not fit the server that was just made ready. It stays as it is.
pub(super) fn compare(
    report: &mut Report,
    name: &str,
    arguments: &Arguments,
    wanted: &str,
    prepared: &Prepared,
) {
    let path = report.directory().join(name);
    if prepared.is_ready
        && let Err(error) = gaugeline_bridge::Config::load(&path)
    {
        report.warn(format!("the bridge cannot use {name} as it is: {error}"));
    }
    let Ok(found) = std::fs::read_to_string(&path) else { return };
    let sink_keys = ["kind", "url", "org", "bucket", "database", "user", "password_file", "token_file"];
    let in_sink = differing(&found, wanted, "sink", &sink_keys);
    let in_metrics = differing(&found, wanted, "metrics", &["bucket", "database"]);
    let (mut faults, mut sections) = (Vec::new(), String::new());
    if !in_sink.is_empty() {
        faults
            .push(format!("its [sink] is not the server that was prepared ({} differ)", in_sink.join(", ")));
        sections += &format!("\n[sink]\n{}\n", sink(prepared));
    }
    if !in_metrics.is_empty() {
        faults.push(format!("it has no [metrics] for gaugeline's own numbers in `{METRICS_DATABASE}`"));
        sections += &metrics(prepared, arguments.broker_admin.as_deref());
    }
    if !faults.is_empty() {
        report.warn(format!(
            "{name} was there and is left as it is, but {}. For that server it would be\n{sections}",
            faults.join(", and ")
        ));
    }
}

/// The keys of a section that `found` has not as `wanted` has them.
fn differing<'a>(found: &str, wanted: &str, section: &str, keys: &[&'a str]) -> Vec<&'a str> {
    let part = |text: &str, key: &str| -> Option<toml::Value> {
        let table: toml::Table = toml::from_str(text).ok()?;
        table.get(section)?.get(key).cloned()
    };
    let differs = |key: &&&str| {
        let wanted = part(wanted, key);
        wanted.is_some() && part(found, key) != wanted
    };
    keys.iter().filter(differs).copied().collect()
}

/// The text with something else in place of what reaches from `start` to the `end` after it, both included.
fn replaced(text: &str, start: &str, end: &str, by: &str) -> Result<String, Failure> {
    let found = text
        .split_once(start)
        .and_then(|(before, rest)| rest.split_once(end).map(|(_, after)| format!("{before}{by}{after}")));
    found.ok_or_else(|| Failure::failed(format!("the sample of bridge.toml has no {start:?}")))
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use gaugeline_bridge::config::{InfluxApi, SinkConfig};

    use super::*;
    use crate::init;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
        // Some options go with these.
        #[command(flatten)]
        influxdb: init::influxdb::Arguments,
    }

    fn arguments(words: &[&str]) -> Result<Arguments, String> {
        let line = Line::try_parse_from(["init"].iter().chain(words)).map_err(|error| error.to_string())?;
        Ok(line.arguments)
    }

    fn text(words: &[&str]) -> Result<String, String> {
        arguments(words)?.text(None).map_err(|failure| failure.to_string())
    }

    /// What the bridge reads in a new directory.
    fn config(words: &[&str]) -> gaugeline_bridge::Config {
        let directory = tempfile::tempdir().unwrap();
        let line = Line::try_parse_from(["init"].iter().chain(words)).unwrap();
        init::create(directory.path(), &[], &line.arguments, &line.influxdb).unwrap();
        gaugeline_bridge::Config::load(&directory.path().join(init::BRIDGE_CONFIG)).unwrap()
    }

    #[test]
    fn without_arguments_it_is_the_sample() {
        assert_eq!(text(&[]).unwrap(), templates::BRIDGE_TOML);
    }

    #[test]
    fn the_bridge_reads_back_what_was_given() {
        let given = config(&[
            "--bridge-url",
            "mqtts://broker",
            "--influxdb",
            "http://influxdb:8086",
            "--influxdb-version",
            "1",
            "--files-only",
            "--influxdb-no-auth",
            "--database",
            "a \"b\\",
        ]);
        assert_eq!(given.mqtt.url.to_string(), "mqtts://broker:8883");
        let SinkConfig::Influx(influx) = given.sink else { panic!("{:?}", given.sink) };
        assert_eq!(influx.url.as_str(), "http://influxdb:8086/");
        let InfluxApi::V1 { database, login: None, create_database: true, .. } = influx.api else {
            panic!("{:?}", influx.api)
        };
        assert_eq!(database, "a \"b\\");
    }

    #[test]
    fn each_argument_changes_its_own_part_only() {
        let sample = config(&[]);
        let url = config(&["--bridge-url", "mqtts://[::1]:1884"]);
        assert_eq!(url.mqtt.url.to_string(), "mqtts://[::1]:1884");
        assert!(matches!(url.sink, SinkConfig::Files(_)));
        assert_eq!(url.rules.len(), sample.rules.len());
    }

    #[test]
    fn the_numbers_of_gaugeline_go_to_the_server_that_was_prepared() {
        for (version, expected) in [
            ("1", "\n[metrics]\ndatabase = \"gaugeline\"\nbroker_admin = \"http://broker:9883\"\n"),
            ("2", "\n[metrics]\nbucket = \"gaugeline\"\nbroker_admin = \"http://broker:9883\"\n"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let words = ["--influxdb", "http://a", "--influxdb-version", version, "--files-only"];
            let line =
                Line::try_parse_from(["init", "--broker-admin", "http://broker:9883"].iter().chain(&words));
            let line = line.unwrap();
            init::create(directory.path(), &[], &line.arguments, &line.influxdb).unwrap();
            let path = directory.path().join(init::BRIDGE_CONFIG);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.ends_with(expected), "{text}");
            std::fs::write(directory.path().join(secrets::BRIDGE_TOKEN), "token").unwrap();
            let own = gaugeline_bridge::Config::load(&path).unwrap().own_metrics.unwrap();
            assert_eq!(own.broker_admin.unwrap().as_str(), "http://broker:9883/metrics");
        }
    }

    #[test]
    fn what_the_bridge_would_refuse_is_refused() {
        for (words, part) in [
            (&["--bridge-url", "broker:8883"][..], "not of the form mqtts://HOST:PORT"),
            (&["--bridge-url", "mqtt://broker"], "--bridge-url mqtt://broker:1883: expected mqtts://"),
            (&["--broker-admin", "http://broker:9883"], "--influxdb <URL>"),
            (&["--influxdb", "http://a", "--broker-admin", "broker:9883"], "expected http://HOST:PORT"),
            (&["--influxdb", "http://a", "--broker-admin", "http://b/metrics"], "expected http://HOST:PORT"),
        ] {
            let error = text(words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}

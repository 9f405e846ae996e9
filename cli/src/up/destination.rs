//! Where `gaugeline up` sends the data: the options, and what they mean together.

use std::path::PathBuf;

use gaugeline_bridge::config::{InfluxApi, InfluxConfig, SinkConfig};

use crate::{failure::Failure, files};

/// InfluxDB's coordinates. Without them `bridge.toml` decides, which begins with files under DIR/telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Write to the InfluxDB at this address instead of what bridge.toml says
    #[arg(long, value_name = "URL", help_heading = "InfluxDB")]
    influx: Option<String>,
    /// Database (InfluxDB 1, and 3 with --v3)
    #[arg(long, value_name = "NAME", requires = "influx", help_heading = "InfluxDB")]
    db: Option<String>,
    /// Organization (InfluxDB 2)
    #[arg(long, value_name = "NAME", requires = "influx", help_heading = "InfluxDB")]
    org: Option<String>,
    /// Bucket (InfluxDB 2)
    #[arg(long, value_name = "NAME", requires = "influx", help_heading = "InfluxDB")]
    bucket: Option<String>,
    /// File that holds the token (InfluxDB 2 and 3)
    #[arg(long, value_name = "FILE", requires = "influx", help_heading = "InfluxDB")]
    token_file: Option<PathBuf>,
    /// The server is InfluxDB 3
    #[arg(long, requires = "influx", help_heading = "InfluxDB")]
    v3: bool,
}

/// Where the data goes, free of contradictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// As `bridge.toml` says.
    Configured,
    /// InfluxDB 1: /write.
    Influx1 { url: String, database: String },
    /// InfluxDB 2: /api/v2/write.
    Influx2 { url: String, organization: String, bucket: String, token_file: PathBuf },
    /// InfluxDB 3: /api/v3/write_lp.
    Influx3 { url: String, database: String, token_file: Option<PathBuf> },
}

impl Arguments {
    /// What the options say together.
    pub(super) fn destination(&self) -> Result<Destination, Failure> {
        let Some(url) = self.influx.clone() else { return Ok(Destination::Configured) };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Failure::usage(format!(
                "--influx {url}: expected http://HOST:PORT or https://HOST:PORT"
            )));
        }
        let token_file = self.token_file.clone();
        match (self.db.clone(), self.org.clone(), self.bucket.clone()) {
            (Some(database), None, None) if self.v3 => Ok(Destination::Influx3 { url, database, token_file }),
            (Some(_), None, None) if token_file.is_some() => Err(Failure::usage(
                "--db with --token-file: add --v3 for InfluxDB 3, or give --org and --bucket for InfluxDB 2",
            )),
            (Some(database), None, None) => Ok(Destination::Influx1 { url, database }),
            (None, Some(organization), Some(bucket)) if !self.v3 => match token_file {
                Some(token_file) => Ok(Destination::Influx2 { url, organization, bucket, token_file }),
                None => Err(Failure::usage("InfluxDB 2 needs a token: add --token-file FILE")),
            },
            _ => Err(Failure::usage(
                "--influx URL needs one of\n  --db NAME                               (InfluxDB 1)\n  \
                 --org NAME --bucket NAME --token-file FILE  (InfluxDB 2)\n  \
                 --db NAME --token-file FILE --v3        (InfluxDB 3)",
            )),
        }
    }
}

impl Destination {
    /// The bridge's configuration for it; `None`: as it stands in the file.
    pub(super) fn sink(self) -> Result<Option<SinkConfig>, Failure> {
        let (url, api) = match self {
            Self::Configured => return Ok(None),
            Self::Influx1 { url, database } => {
                let api =
                    InfluxApi::V1 { database, retention_policy: None, login: None, create_database: true };
                (url, api)
            }
            Self::Influx2 { url, organization, bucket, token_file } => {
                (url, InfluxApi::V2 { org: organization, bucket, token_file: secret(token_file)? })
            }
            Self::Influx3 { url, database, token_file } => {
                (url, InfluxApi::V3 { database, token_file: token_file.map(secret).transpose()? })
            }
        };
        let config =
            InfluxConfig::new(&url, api).map_err(|error| Failure::usage(format!("--influx: {error}")))?;
        Ok(Some(SinkConfig::Influx(config)))
    }
}

/// A token file that can be read now: the bridge would only find out at its first write.
fn secret(path: PathBuf) -> Result<PathBuf, Failure> {
    files::read_secret(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn destination(line: &str) -> Result<Destination, String> {
        let line = Line::try_parse_from(["up"].into_iter().chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        line.arguments.destination().map_err(|failure| failure.to_string())
    }

    #[test]
    fn each_version_of_influxdb_has_its_options() {
        let url = "http://a:8086".to_owned();
        let file = || PathBuf::from("t");
        for (line, expected) in [
            ("", Destination::Configured),
            (
                "--influx http://a:8086 --db d",
                Destination::Influx1 { url: url.clone(), database: "d".into() },
            ),
            (
                "--influx http://a:8086 --org o --bucket b --token-file t",
                Destination::Influx2 {
                    url: url.clone(),
                    organization: "o".into(),
                    bucket: "b".into(),
                    token_file: file(),
                },
            ),
            (
                "--influx http://a:8086 --db d --token-file t --v3",
                Destination::Influx3 { url: url.clone(), database: "d".into(), token_file: Some(file()) },
            ),
            (
                "--influx http://a:8086 --db d --v3",
                Destination::Influx3 { url: url.clone(), database: "d".into(), token_file: None },
            ),
        ] {
            assert_eq!(destination(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn contradictions_are_explained() {
        for (line, part) in [
            ("--db d", "--influx <URL>"),
            ("--v3", "--influx <URL>"),
            ("--influx a:8086 --db d", "expected http://"),
            ("--influx http://a", "needs one of"),
            ("--influx http://a --org o", "needs one of"),
            ("--influx http://a --org o --bucket b", "--token-file"),
            ("--influx http://a --org o --bucket b --token-file t --v3", "needs one of"),
            ("--influx http://a --org o --bucket b --db d", "needs one of"),
            ("--influx http://a --db d --token-file t", "--v3"),
        ] {
            let error = destination(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

//! `[metrics]`: where gaugeline's own numbers go, and from where the broker's come.

use std::time::Duration;

use reqwest::Url;
use toml::Spanned;

use super::{
    ConfigError, InfluxApi, InfluxConfig, SinkConfig,
    raw::{RawMetrics, Source},
};

/// Where the broker serves `/metrics` unless it is told otherwise.
const BROKER_ADMIN: &str = "http://127.0.0.1:9883";
/// The database or bucket.
const DATABASE: &str = "gaugeline";
/// Small writes: whoever does not answer in this time will not at the next sample either.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// What is written about gaugeline itself, and where.
#[derive(Debug, Clone)]
pub struct OwnMetricsConfig {
    /// Between two samples. Default: 10 s.
    pub interval: Duration,
    /// `/metrics` of the broker; none if the broker is another one.
    pub broker_admin: Option<Url>,
    /// The tag `instance` of every point. Default: the bridge's client identifier.
    pub instance: String,
    /// The sink's server, with the database for these points.
    pub influx: InfluxConfig,
}

/// Gives `[metrics]` its meaning. `None` if there is no such section, or it is not enabled.
pub(super) fn parse(
    source: &Source<'_>,
    raw: Option<Spanned<RawMetrics>>,
    sink: &SinkConfig,
    client_id: &str,
) -> Result<Option<OwnMetricsConfig>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    let at = raw.span().start;
    let raw = raw.into_inner();
    let interval = source.number("interval_seconds", raw.interval_seconds, 10, 1..=3600)?;
    let broker_admin = broker_admin(source, raw.broker_admin)?;
    if raw.enabled == Some(false) {
        return Ok(None);
    }
    let SinkConfig::Influx(influx) = sink else {
        let problem = "`[metrics]` needs InfluxDB as the sink, and the kind is `file`";
        return Err(source.error(at, problem));
    };
    let database = database(source, raw.database, raw.bucket, &influx.api)?;
    Ok(Some(OwnMetricsConfig {
        interval: Duration::from_secs(interval),
        broker_admin,
        instance: raw.instance.unwrap_or_else(|| client_id.to_owned()),
        influx: for_database(influx, database),
    }))
}

/// The address of the broker's `/metrics`.
fn broker_admin(source: &Source<'_>, raw: Option<Spanned<String>>) -> Result<Option<Url>, ConfigError> {
    let (text, at) =
        raw.map_or_else(|| (BROKER_ADMIN.to_owned(), 0), |raw| (raw.get_ref().clone(), raw.span().start));
    if text == "off" {
        return Ok(None);
    }
    match Url::parse(&text) {
        Ok(mut url)
            if url.scheme() == "http" && url.has_host() && url.path() == "/" && url.query().is_none() =>
        {
            url.set_path("/metrics");
            Ok(Some(url))
        }
        _ => {
            let problem = format!("`broker_admin` is `{text}`, and http://HOST:PORT or \"off\" was expected");
            Err(source.error(at, problem))
        }
    }
}

/// Each kind of sink has its own word for it.
fn database(
    source: &Source<'_>,
    database: Option<Spanned<String>>,
    bucket: Option<Spanned<String>>,
    api: &InfluxApi,
) -> Result<String, ConfigError> {
    let (found, foreign, word, foreign_word) = match api {
        InfluxApi::V2 { .. } => (bucket, database, "bucket", "database"),
        InfluxApi::V1 { .. } | InfluxApi::V3 { .. } => (database, bucket, "database", "bucket"),
    };
    if let Some(foreign) = foreign {
        let problem = format!("`{foreign_word}` is not for this kind of sink, and `{word}` was expected");
        return Err(source.error(foreign.span().start, problem));
    }
    match found {
        None => Ok(DATABASE.to_owned()),
        Some(found) if found.get_ref().is_empty() => {
            Err(source.error(found.span().start, format!("`{word}` is empty, and a name was expected")))
        }
        Some(found) => Ok(found.into_inner()),
    }
}

/// The same server, another database.
fn for_database(influx: &InfluxConfig, name: String) -> InfluxConfig {
    let mut influx = influx.clone();
    match &mut influx.api {
        InfluxApi::V1 { database, retention_policy, .. } => {
            *database = name;
            // That one is the telemetry's.
            *retention_policy = None;
        }
        InfluxApi::V2 { bucket, .. } => *bucket = name,
        InfluxApi::V3 { database, .. } => *database = name,
    }
    influx.timeout = influx.timeout.min(TIMEOUT_MAX);
    influx
}

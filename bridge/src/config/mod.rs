//! The bridge's configuration: plain data, checked when loaded. A wrong file ends in `path:line: what was found,
//! and what was expected`; nothing is opened for writing and nothing is connected here.

mod broker_url;
mod own_metrics;
mod raw;
pub(crate) mod secret;
mod sink;
#[cfg(test)]
mod tests;

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use gaugeline_protocol::{ClientId, TopicFilter};

use self::raw::{RawConfig, RawMqtt, RawRule, Source};
pub use self::{
    broker_url::{BrokerUrl, BrokerUrlError},
    own_metrics::OwnMetricsConfig,
    secret::SecretError,
    sink::{FileSinkConfig, InfluxApi, InfluxConfig, InfluxUrlError, Login, SinkConfig},
};
use crate::mapping::{Rule, RuleConfig};

/// More rules than anyone writes by hand; a message is compared with each until one matches.
const RULES_MAX: usize = 1000;

/// A session's name has to fit a CONNECT packet of any broker, before authentication.
const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Everything the bridge needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The broker, and how to log in.
    pub mqtt: MqttConfig,
    /// How messages become points, in order. Whatever no rule is for is kept all the same.
    pub rules: Vec<Rule>,
    /// Where the points go.
    pub sink: SinkConfig,
    /// When a batch is written.
    pub batch: BatchConfig,
    /// Where messages go that cannot become points.
    pub dead_letter: DeadLetterConfig,
    /// Bounds on memory.
    pub limits: LimitsConfig,
    /// Where the numbers about gaugeline itself are written, if they are.
    pub own_metrics: Option<OwnMetricsConfig>,
}

/// The connection to the broker.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Where the broker is.
    pub url: BrokerUrl,
    /// The certificates (PEM) that the broker's has to be signed by. None: the platform's.
    pub ca: Option<PathBuf>,
    /// The bridge's own certificate and key (PEM), for brokers that ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The user's name.
    pub user: Option<String>,
    /// The file with the user's password, read at each connect.
    pub password_file: Option<PathBuf>,
    /// The name of the session that the broker keeps for the bridge. Two bridges with one name throw each other out.
    pub client_id: ClientId,
    /// What to subscribe to, at QoS 1.
    pub topics: Vec<TopicFilter>,
    /// How long the broker keeps the session, and so the messages, while the bridge is away. Default: a week.
    pub session_expiry_seconds: u32,
    /// How often to show that the connection is alive. Default: 30.
    pub keep_alive_seconds: u16,
    /// How long connecting may take, the TLS handshake included. Default: 10 s.
    pub connect_timeout: Duration,
}

/// When lines are written: as soon as one of these is reached.
#[derive(Debug, Clone, Copy)]
pub struct BatchConfig {
    /// Lines. Default: 5000, where InfluxDB 1.x is about as fast as it gets.
    pub lines: NonZeroUsize,
    /// Bytes of line protocol. Default: 1 MiB.
    pub bytes: NonZeroUsize,
    /// The longest that a line waits for others. Default: 200 ms.
    pub linger: Duration,
    /// How long nothing may arrive before what is there is written, so that neither a slow stream nor a broker with
    /// a small window waits for the linger time. Default: 20 ms.
    pub quiet: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        const LINES: NonZeroUsize = NonZeroUsize::new(5000).unwrap();
        const BYTES: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();
        Self {
            lines: LINES,
            bytes: BYTES,
            linger: Duration::from_millis(200),
            quiet: Duration::from_millis(20),
        }
    }
}

/// The files of messages that could not be written.
#[derive(Debug, Clone)]
pub struct DeadLetterConfig {
    /// Their directory, made if it is missing. Default: `dead-letter`.
    pub directory: PathBuf,
    /// How many bytes they may have together; the oldest are deleted first. Default: 100 MiB.
    pub bytes: u64,
}

/// Bounds on memory. Where one is reached, the bridge stops reading until the sink has taken something.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Messages that are received and not yet written. Up to 65 535 of them may be unacknowledged: that is the
    /// Receive Maximum the bridge asks for. Default: 65 535.
    pub messages_in_flight: NonZeroUsize,
    /// Bytes of topics, payloads and lines that are not yet written. Default: 64 MiB.
    pub bytes_in_flight: NonZeroUsize,
    /// The largest MQTT packet the bridge takes. The broker does not send larger ones [MQTT-3.1.2-24]. Default: 16 MiB.
    pub packet_bytes: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        const MESSAGES: NonZeroUsize = NonZeroUsize::new(65_535).unwrap();
        const BYTES: NonZeroUsize = NonZeroUsize::new(64 << 20).unwrap();
        Self { messages_in_flight: MESSAGES, bytes_in_flight: BYTES, packet_bytes: 16 << 20 }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was found, and what was expected.
        problem: String,
    },
}

impl Config {
    /// Reads and checks a file. Paths in it are relative to it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// The files that it names and that are only read when a bridge starts: certificates and their keys. Passwords and
    /// tokens are read anew whenever they are needed.
    pub fn files_read_at_start(&self) -> Vec<PathBuf> {
        let mut files = Vec::from_iter(self.mqtt.ca.clone());
        files.extend(
            self.mqtt.certificate.clone().into_iter().flat_map(|(certificate, key)| [certificate, key]),
        );
        if let SinkConfig::Influx(influx) = &self.sink {
            files.extend(influx.ca.clone());
        }
        files
    }

    /// Checks the text of a file that is, or could be, at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let raw: RawConfig = toml::from_str(text)
            .map_err(|error| source.error(error.span().map_or(0, |span| span.start), error.message()))?;
        if let Some(rule) = raw.rule.get(RULES_MAX) {
            return Err(source.error(rule.span().start, format!("more than {RULES_MAX} rules")));
        }
        let batch = BatchConfig::default();
        let limits = LimitsConfig::default();
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let mqtt = mqtt(&source, raw.mqtt.into_inner())?;
        let sink = sink::parse(&source, raw.sink)?;
        Ok(Self {
            own_metrics: own_metrics::parse(&source, raw.metrics, &sink, mqtt.client_id.as_str())?,
            mqtt,
            rules: raw
                .rule
                .into_iter()
                .map(|raw| rule(&source, raw.into_inner()))
                .collect::<Result<_, _>>()?,
            sink,
            batch: BatchConfig {
                lines: size(&source, "lines", raw.batch.lines, batch.lines, 1..=100_000)?,
                // InfluxDB 3 takes 10 MiB in one request.
                bytes: size(&source, "bytes", raw.batch.bytes, batch.bytes, 1..=8 << 20)?,
                linger: Duration::from_millis(source.number(
                    "milliseconds",
                    raw.batch.milliseconds,
                    milliseconds(batch.linger),
                    1..=60_000,
                )?),
                quiet: Duration::from_millis(source.number(
                    "quiet_milliseconds",
                    raw.batch.quiet_milliseconds,
                    milliseconds(batch.quiet),
                    1..=60_000,
                )?),
            },
            dead_letter: DeadLetterConfig {
                directory: source.resolve(
                    &raw.dead_letter
                        .directory
                        .map_or_else(|| "dead-letter".into(), toml::Spanned::into_inner),
                ),
                bytes: source.number("bytes", raw.dead_letter.bytes, 100 << 20, 1 << 20..=1 << 50)?,
            },
            limits: LimitsConfig {
                messages_in_flight: size(
                    &source,
                    "messages_in_flight",
                    raw.limits.messages_in_flight,
                    limits.messages_in_flight,
                    1..=10_000_000,
                )?,
                bytes_in_flight: size(
                    &source,
                    "bytes_in_flight",
                    raw.limits.bytes_in_flight,
                    limits.bytes_in_flight,
                    1 << 20..=1 << 36,
                )?,
                packet_bytes: number(
                    &source,
                    "packet_bytes",
                    raw.limits.packet_bytes,
                    16 << 20,
                    1024..=268_435_460,
                )?,
            },
        })
    }
}

fn mqtt(source: &Source<'_>, raw: RawMqtt) -> Result<MqttConfig, ConfigError> {
    let url: BrokerUrl = raw
        .url
        .get_ref()
        .parse()
        .map_err(|error: BrokerUrlError| source.error(raw.url.span().start, error.to_string()))?;
    for (key, path) in [("ca", &raw.ca), ("certificate", &raw.certificate), ("key", &raw.key)] {
        if let Some(path) = path
            && !url.tls
        {
            let problem = format!("`{key}` is given, and `url` is not mqtts://");
            return Err(source.error(path.span().start, problem));
        }
    }
    let certificate = match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => {
            Some((source.readable("certificate", &certificate)?, source.readable("key", &key)?))
        }
        (None, None) => None,
        (Some(one), None) => return Err(source.error(one.span().start, "`certificate` needs a `key`")),
        (None, Some(one)) => return Err(source.error(one.span().start, "`key` needs a `certificate`")),
    };
    if let (None, Some(file)) = (&raw.user, &raw.password_file) {
        return Err(source.error(file.span().start, "`password_file` needs a `user`"));
    }
    Ok(MqttConfig {
        url,
        ca: raw.ca.map(|path| source.readable("ca", &path)).transpose()?,
        certificate,
        user: raw.user.map(toml::Spanned::into_inner),
        password_file: raw.password_file.map(|path| source.secret("password_file", &path)).transpose()?,
        client_id: client_id(source, raw.client_id)?,
        topics: topics(source, raw.topics)?,
        session_expiry_seconds: number(
            source,
            "session_expiry_seconds",
            raw.session_expiry_seconds,
            604_800,
            60..=u64::from(u32::MAX),
        )?,
        keep_alive_seconds: number(source, "keep_alive_seconds", raw.keep_alive_seconds, 30, 5..=65_535)?,
        connect_timeout: Duration::from_secs(source.number(
            "connect_timeout_seconds",
            raw.connect_timeout_seconds,
            10,
            1..=600,
        )?),
    })
}

fn client_id(source: &Source<'_>, raw: Option<toml::Spanned<String>>) -> Result<ClientId, ConfigError> {
    let (text, at) = raw
        .map_or_else(|| ("gaugeline-bridge".to_owned(), 0), |raw| (raw.get_ref().clone(), raw.span().start));
    match ClientId::new(&text) {
        Some(id) if text.len() <= CLIENT_ID_BYTES_MAX && !text.contains('\0') => Ok(id),
        _ => {
            let problem = "`client_id` is empty or too long, and a name that stays the same was expected";
            Err(source.error(at, problem))
        }
    }
}

fn topics(
    source: &Source<'_>,
    raw: Option<Vec<toml::Spanned<String>>>,
) -> Result<Vec<TopicFilter>, ConfigError> {
    let Some(raw) = raw else {
        return Ok(TopicFilter::new("#").into_iter().collect());
    };
    if raw.is_empty() {
        return Err(source.error(0, "`topics` is empty, and a topic filter such as `sensors/#` was expected"));
    }
    let filter = |raw: toml::Spanned<String>| {
        TopicFilter::new(raw.get_ref())
            .map_err(|error| source.error(raw.span().start, format!("`{}` {error}", raw.get_ref())))
    };
    raw.into_iter().map(filter).collect()
}

fn rule(source: &Source<'_>, raw: RawRule) -> Result<Rule, ConfigError> {
    let topic_at = raw.topic.span().start;
    let place = |at: &Option<toml::Spanned<String>>| at.as_ref().map_or(topic_at, |at| at.span().start);
    let places = [
        ("measurement", place(&raw.measurement)),
        ("field", place(&raw.field)),
        ("timestamp", place(&raw.timestamp)),
        ("tags", raw.tags.as_ref().map_or(topic_at, |tags| tags.span().start)),
    ];
    let config = RuleConfig {
        topic: raw.topic.into_inner(),
        measurement: raw.measurement.map(toml::Spanned::into_inner),
        field: raw.field.map(toml::Spanned::into_inner),
        payload: raw.payload,
        tags: raw.tags.map(toml::Spanned::into_inner).unwrap_or_default(),
        types: raw.types,
        timestamp: raw.timestamp.map(toml::Spanned::into_inner),
        timestamp_format: raw.timestamp_format,
    };
    Rule::new(&config).map_err(|error| {
        let at = places.iter().find(|(key, _)| *key == error.key).map_or(topic_at, |(_, at)| *at);
        source.error(at, error.to_string())
    })
}

/// A number that fits the type it is for.
fn number<T: TryFrom<u64>>(
    source: &Source<'_>,
    key: &str,
    found: Option<toml::Spanned<u64>>,
    default: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<T, ConfigError> {
    let at = found.as_ref().map_or(0, |found| found.span().start);
    let number = source.number(key, found, default, bounds)?;
    T::try_from(number).map_err(|_| source.error(at, format!("`{key}` is too large")))
}

fn size(
    source: &Source<'_>,
    key: &str,
    found: Option<toml::Spanned<u64>>,
    default: NonZeroUsize,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<NonZeroUsize, ConfigError> {
    let number: usize = number(source, key, found, default.get() as u64, bounds)?;
    Ok(NonZeroUsize::new(number).unwrap_or(default))
}

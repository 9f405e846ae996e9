//! Where the points go: which keys of `[sink]` belong to which kind, and what is checked about them.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use reqwest::Url;
use toml::Spanned;

use super::{
    ConfigError,
    raw::{RawSink, RawSinkKind, Source},
};

/// Where the points go.
#[derive(Debug, Clone)]
pub enum SinkConfig {
    /// Files of line protocol that `influx -import` reads.
    Files(FileSinkConfig),
    /// A server.
    Influx(InfluxConfig),
}

/// Files of line protocol.
#[derive(Debug, Clone)]
pub struct FileSinkConfig {
    /// Their directory, made if it is missing. Default: `telemetry`.
    pub directory: PathBuf,
    /// The database that they are for when they are imported. Default: `telemetry`.
    pub database: String,
    /// A file ends at this size, and at midnight UTC. Default: 64 MiB.
    pub file_bytes: u64,
}

/// An InfluxDB server.
#[derive(Debug, Clone)]
pub struct InfluxConfig {
    /// Its address, `http` or `https`, without a path of the API.
    pub url: Url,
    /// Which API, and what it needs to know.
    pub api: InfluxApi,
    /// The certificates (PEM) that an `https` server's has to be signed by. None: the platform's.
    pub ca: Option<PathBuf>,
    /// Compress requests: four times fewer bytes for up to a quarter more CPU at the server. Off: it is for slow
    /// lines, and servers are mostly near.
    pub gzip: bool,
    /// How long a request may take. Default: 30 s.
    pub timeout: Duration,
    /// How many requests may be under way at once. Default: 1, and 4 for v3, which answers a write only when its log
    /// is flushed (each second): with one request at a time it would take one batch a second. For v1 and v2 one
    /// request keeps a core of the server busy, and the order of writes stays the order of messages.
    pub concurrent_writes: NonZeroUsize,
}

/// The write API and its parameters.
#[derive(Debug, Clone)]
pub enum InfluxApi {
    /// `/write`: InfluxDB 1.x, and 1.x compatible servers.
    V1 {
        /// The database.
        database: String,
        /// The retention policy; none is the database's default.
        retention_policy: Option<String>,
        /// Who writes, where the server asks for it.
        login: Option<Login>,
        /// Whether to create the database when the server does not know it.
        create_database: bool,
    },
    /// `/api/v2/write`: InfluxDB 2.x.
    V2 {
        /// The organization's name or id.
        org: String,
        /// The bucket's name or id.
        bucket: String,
        /// The file with the token.
        token_file: PathBuf,
    },
    /// `/api/v3/write_lp`: InfluxDB 3.
    V3 {
        /// The database.
        database: String,
        /// The file with the token; none for a server without authorization.
        token_file: Option<PathBuf>,
    },
}

/// A user of InfluxDB 1.x.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The file with the password.
    pub password_file: PathBuf,
}

/// Why a text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form http://HOST:PORT or https://HOST:PORT")]
pub struct InfluxUrlError(String);

impl InfluxConfig {
    /// A server with the defaults of its API.
    pub fn new(url: &str, api: InfluxApi) -> Result<Self, InfluxUrlError> {
        const ONE: NonZeroUsize = NonZeroUsize::new(1).unwrap();
        const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();
        let error = || InfluxUrlError(url.to_owned());
        let url = Url::parse(url).map_err(|_| error())?;
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
            return Err(error());
        }
        let concurrent_writes = match api {
            InfluxApi::V1 { .. } | InfluxApi::V2 { .. } => ONE,
            InfluxApi::V3 { .. } => FOUR,
        };
        Ok(Self { url, api, ca: None, gzip: false, timeout: Duration::from_secs(30), concurrent_writes })
    }
}

/// Gives `[sink]` its meaning.
pub(super) fn parse(source: &Source<'_>, raw: Option<Spanned<RawSink>>) -> Result<SinkConfig, ConfigError> {
    let Some(raw) = raw else {
        return Ok(SinkConfig::Files(FileSinkConfig {
            directory: source.resolve("telemetry".as_ref()),
            database: "telemetry".to_owned(),
            file_bytes: FILE_BYTES,
        }));
    };
    let at = raw.span().start;
    let raw = raw.into_inner();
    refuse_foreign_keys(source, &raw)?;
    match raw.kind {
        RawSinkKind::File => files(source, raw),
        RawSinkKind::Influx1 | RawSinkKind::Influx2 | RawSinkKind::Influx3 => influx(source, at, raw),
    }
}

const FILE_BYTES: u64 = 64 << 20;

/// A key of another kind of sink is a mistake, not a hint.
fn refuse_foreign_keys(source: &Source<'_>, raw: &RawSink) -> Result<(), ConfigError> {
    use RawSinkKind::{File, Influx1, Influx2, Influx3};
    fn at<T>(key: &Option<Spanned<T>>) -> Option<usize> {
        key.as_ref().map(|key| key.span().start)
    }
    let keys: [(&str, Option<usize>, &[RawSinkKind]); 15] = [
        ("directory", at(&raw.directory), &[File]),
        ("file_bytes", at(&raw.file_bytes), &[File]),
        ("url", at(&raw.url), &[Influx1, Influx2, Influx3]),
        ("database", at(&raw.database), &[File, Influx1, Influx3]),
        ("retention_policy", at(&raw.retention_policy), &[Influx1]),
        ("create_database", at(&raw.create_database), &[Influx1]),
        ("user", at(&raw.user), &[Influx1]),
        ("password_file", at(&raw.password_file), &[Influx1]),
        ("org", at(&raw.org), &[Influx2]),
        ("bucket", at(&raw.bucket), &[Influx2]),
        ("token_file", at(&raw.token_file), &[Influx2, Influx3]),
        ("ca", at(&raw.ca), &[Influx1, Influx2, Influx3]),
        ("gzip", at(&raw.gzip), &[Influx1, Influx2, Influx3]),
        ("timeout_seconds", at(&raw.timeout_seconds), &[Influx1, Influx2, Influx3]),
        ("concurrent_writes", at(&raw.concurrent_writes), &[Influx1, Influx2, Influx3]),
    ];
    for (key, at, kinds) in keys {
        if let Some(at) = at
            && !kinds.contains(&raw.kind)
        {
            let name = |kind: &RawSinkKind| format!("`{kind:?}`").to_lowercase();
            let expected: Vec<String> = kinds.iter().map(name).collect();
            let problem = format!(
                "`{key}` is for the kind {}, and the kind is {}",
                expected.join(" or "),
                name(&raw.kind)
            );
            return Err(source.error(at, problem));
        }
    }
    Ok(())
}

fn files(source: &Source<'_>, raw: RawSink) -> Result<SinkConfig, ConfigError> {
    let database = match raw.database {
        // The header of the files cannot quote a name.
        Some(name) if !is_plain_name(name.get_ref()) => {
            let problem = "`database` has letters, digits, `_` and `-`, a letter first, for files";
            return Err(source.error(name.span().start, problem));
        }
        name => name.map_or_else(|| "telemetry".to_owned(), Spanned::into_inner),
    };
    let directory = raw.directory.map_or_else(|| PathBuf::from("telemetry"), Spanned::into_inner);
    Ok(SinkConfig::Files(FileSinkConfig {
        directory: source.resolve(&directory),
        database,
        file_bytes: source.number("file_bytes", raw.file_bytes, FILE_BYTES, 1 << 16..=1 << 40)?,
    }))
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn influx(source: &Source<'_>, at: usize, raw: RawSink) -> Result<SinkConfig, ConfigError> {
    let required = |key: &str, found: Option<Spanned<String>>| match found {
        Some(found) if found.get_ref().is_empty() => {
            Err(source.error(found.span().start, format!("`{key}` is empty, and a name was expected")))
        }
        Some(found) => Ok(found.into_inner()),
        None => Err(source.error(at, format!("`{key}` is missing"))),
    };
    let token_file = raw.token_file.map(|path| source.secret("token_file", &path)).transpose()?;
    let url_at = raw.url.as_ref().map_or(at, |url| url.span().start);
    let url = required("url", raw.url)?;
    let api = match raw.kind {
        RawSinkKind::Influx2 => InfluxApi::V2 {
            org: required("org", raw.org)?,
            bucket: required("bucket", raw.bucket)?,
            token_file: token_file.ok_or_else(|| source.error(at, "`token_file` is missing"))?,
        },
        RawSinkKind::Influx3 => InfluxApi::V3 { database: required("database", raw.database)?, token_file },
        RawSinkKind::Influx1 | RawSinkKind::File => InfluxApi::V1 {
            database: required("database", raw.database)?,
            retention_policy: raw.retention_policy.map(Spanned::into_inner),
            login: login(source, raw.user, raw.password_file)?,
            create_database: raw.create_database.is_none_or(Spanned::into_inner),
        },
    };
    let defaults = InfluxConfig::new(&url, api).map_err(|error| source.error(url_at, error.to_string()))?;
    Ok(SinkConfig::Influx(InfluxConfig {
        ca: raw.ca.map(|path| source.readable("ca", &path)).transpose()?,
        gzip: raw.gzip.is_some_and(Spanned::into_inner),
        timeout: Duration::from_secs(source.number("timeout_seconds", raw.timeout_seconds, 30, 1..=600)?),
        concurrent_writes: super::size(
            source,
            "concurrent_writes",
            raw.concurrent_writes,
            defaults.concurrent_writes,
            1..=64,
        )?,
        ..defaults
    }))
}

fn login(
    source: &Source<'_>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
) -> Result<Option<Login>, ConfigError> {
    match (user, password_file) {
        (Some(user), Some(file)) => {
            Ok(Some(Login { user: user.into_inner(), password_file: source.secret("password_file", &file)? }))
        }
        (None, None) => Ok(None),
        (Some(one), None) => Err(source.error(one.span().start, "`user` needs a `password_file`")),
        (None, Some(one)) => Err(source.error(one.span().start, "`password_file` needs a `user`")),
    }
}

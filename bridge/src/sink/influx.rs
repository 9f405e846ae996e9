//! InfluxDB over HTTP: v1 `/write`, v2 `/api/v2/write`, v3 `/api/v3/write_lp`. One request, one verdict.
//!
//! The precision is always nanoseconds: it is the one word that all versions understand alike, and lines always carry
//! their time. Secrets are read from their files and read again when the server refuses them.

use std::{error::Error as _, io::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;
use reqwest::{
    Client, Response, Url,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    redirect,
};
use tracing::info;
use zeroize::Zeroizing;

use super::{
    SinkError,
    verdict::{Api, Held, Transient, Verdict, classify},
};
use crate::{
    clock,
    config::{InfluxApi, InfluxConfig, SecretError, secret},
    retry::parse_retry_after,
    tls,
};

/// The most of an answer that is read. 1.x quotes every bad line: a full batch of them fits.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A server and one of its write APIs.
#[derive(Debug)]
pub(crate) struct InfluxSink {
    client: Client,
    config: InfluxConfig,
    api: Api,
    write_url: Url,
    ping_url: Url,
    /// What each request carries. Written when the server refuses it and the file has changed.
    authorization: Mutex<Option<HeaderValue>>,
}

impl InfluxSink {
    /// Gets ready to write; the server need not be there yet.
    pub(crate) fn new(config: &InfluxConfig) -> Result<Self, SinkError> {
        let tls = match config.url.scheme() {
            "https" => tls::client_config(config.ca.as_deref(), None)?,
            _ => tls::trusting_nobody()?,
        };
        let client = Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(std::time::Duration::from_secs(10)))
            .redirect(redirect::Policy::none())
            .tcp_nodelay(true)
            .http1_only()
            .user_agent(concat!("gaugeline/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(SinkError::Client)?;
        let (api, path) = match config.api {
            InfluxApi::V1 { .. } => (Api::V1, "write"),
            InfluxApi::V2 { .. } => (Api::V2, "api/v2/write"),
            InfluxApi::V3 { .. } => (Api::V3, "api/v3/write_lp"),
        };
        let mut write_url = join(&config.url, path)?;
        add_parameters(&mut write_url, &config.api);
        let ping_url = join(&config.url, "ping")?;
        let authorization = Mutex::new(authorization(&config.api)?);
        Ok(Self { client, config: config.clone(), api, write_url, ping_url, authorization })
    }

    pub(crate) async fn write(&self, lines: Bytes) -> Verdict {
        let mut request =
            self.client.post(self.write_url.clone()).header(CONTENT_TYPE, "text/plain; charset=utf-8");
        if let Some(authorization) = self.authorization.lock().clone() {
            request = request.header(AUTHORIZATION, authorization);
        }
        request = match self.config.gzip.then(|| compress(&lines)) {
            Some(Ok(compressed)) => request.header(CONTENT_ENCODING, "gzip").body(compressed),
            _ => request.body(lines),
        };
        match request.send().await {
            Ok(response) => self.verdict(response).await,
            Err(error) => failed(&error),
        }
    }

    /// # Errors
    /// Why it is not, as the end of a sentence.
    pub(crate) async fn reach(&self) -> Result<(), String> {
        let url = self.config.url.as_str().trim_end_matches('/');
        match self.client.get(self.ping_url.clone()).send().await {
            Ok(response) if response.status().is_server_error() => {
                Err(format!("InfluxDB at {url} answers with status {}", response.status()))
            }
            // v3 may want a token for this: an answer all the same.
            Ok(_) => Ok(()),
            Err(error) => Err(format!("InfluxDB at {url} {}", unreachable_because(&error))),
        }
    }

    pub(crate) async fn repair(&self, problem: Held) -> bool {
        match problem {
            Held::Credentials | Held::Permission => self.read_secret_again(),
            Held::Missing => self.create_database().await,
            Held::Configuration => false,
        }
    }

    pub(crate) fn concurrent_writes(&self) -> usize {
        self.config.concurrent_writes.get()
    }

    async fn verdict(&self, response: Response) -> Verdict {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|header| parse_retry_after(header.to_str().ok()?, clock::unix_nanoseconds()));
        // Should the body break off, the status still counts.
        let body = read_bounded(response).await.unwrap_or_default();
        match classify(self.api, status, &body) {
            Verdict::Transient(transient) => Verdict::Transient(Transient { retry_after, ..transient }),
            other => other,
        }
    }

    /// True if the file holds something else than what the server refused.
    fn read_secret_again(&self) -> bool {
        let Ok(found) = authorization(&self.config.api) else { return false };
        let mut current = self.authorization.lock();
        let changed = *current != found;
        *current = found;
        changed
    }

    /// True if the database is there now.
    async fn create_database(&self) -> bool {
        let InfluxApi::V1 { database, create_database: true, .. } = &self.config.api else { return false };
        let Ok(mut url) = join(&self.config.url, "query") else { return false };
        let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
        url.query_pairs_mut().append_pair("q", &format!("CREATE DATABASE \"{quoted}\""));
        let mut request = self.client.post(url);
        if let Some(authorization) = self.authorization.lock().clone() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let Ok(response) = request.send().await else { return false };
        let success = response.status().is_success();
        let body = read_bounded(response).await.unwrap_or_default();
        // 1.x answers 200 to statements that fail.
        let created = success && !body.windows(7).any(|window| window == b"\"error\"");
        if created {
            info!("created the database {database:?}");
        }
        created
    }
}

/// The address of an endpoint, below the path that the server may be under.
fn join(base: &Url, path: &str) -> Result<Url, SinkError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| SinkError::Address(base.to_string()))?
        .pop_if_empty()
        .extend(path.split('/'));
    Ok(url)
}

fn add_parameters(url: &mut Url, api: &InfluxApi) {
    let mut query = url.query_pairs_mut();
    match api {
        InfluxApi::V1 { database, retention_policy, .. } => {
            query.append_pair("db", database);
            if let Some(policy) = retention_policy {
                query.append_pair("rp", policy);
            }
            query.append_pair("precision", "ns");
        }
        InfluxApi::V2 { org, bucket, .. } => {
            query.append_pair("org", org).append_pair("bucket", bucket).append_pair("precision", "ns");
        }
        InfluxApi::V3 { database, .. } => {
            query
                .append_pair("db", database)
                .append_pair("precision", "nanosecond")
                .append_pair("accept_partial", "true");
        }
    }
}

/// What the server wants to see, from the secret's file.
fn authorization(api: &InfluxApi) -> Result<Option<HeaderValue>, SecretError> {
    let (path, text) = match api {
        InfluxApi::V1 { login: None, .. } | InfluxApi::V3 { token_file: None, .. } => return Ok(None),
        InfluxApi::V1 { login: Some(login), .. } => {
            let password = secret::read(&login.password_file)?;
            let pair = Zeroizing::new(format!("{}:{}", login.user, *password));
            let pair = Zeroizing::new(BASE64.encode(&*pair));
            (&login.password_file, format!("Basic {}", *pair))
        }
        InfluxApi::V2 { token_file, .. } => (token_file, format!("Token {}", *secret::read(token_file)?)),
        InfluxApi::V3 { token_file: Some(token_file), .. } => {
            (token_file, format!("Bearer {}", *secret::read(token_file)?))
        }
    };
    let text = Zeroizing::new(text);
    let mut header = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| SecretError::Form(path.clone()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

/// Level 1: four times smaller at a tenth of the cost of level 6.
fn compress(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 3), Compression::fast());
    encoder.write_all(lines)?;
    encoder.finish()
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// No answer. A server that takes the connection and breaks off may do so because of a line.
fn failed(error: &reqwest::Error) -> Verdict {
    let suspicious = !error.is_connect() && !error.is_timeout();
    Verdict::Transient(Transient { detail: unreachable_because(error), retry_after: None, suspicious })
}

fn unreachable_because(error: &reqwest::Error) -> String {
    let mut detail = String::from("cannot be reached");
    if error.is_timeout() {
        detail = String::from("does not answer in time");
    }
    let mut source = error.source();
    while let Some(cause) = source {
        detail.push_str(": ");
        detail.push_str(&cause.to_string());
        source = cause.source();
    }
    detail
}

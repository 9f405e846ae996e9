//! A server of InfluxDB, as HTTP sees it: one question, one answer. What answers mean is known elsewhere.

use std::{error::Error as _, path::Path, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Url, redirect};
use serde_json::Value;

use crate::{client, clock, failure::Failure};

/// One question, from the connection to the whole answer. Creating a database takes a moment on a slow disk.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// The same while waiting for the server: a frozen one is one that is not there.
const PING_TIME_MAX: Duration = Duration::from_secs(3);
/// Between two looks at a server that is not there yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often a person who waits is told what for.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// As much of an answer as is quoted: enough for a sentence of the server.
const QUOTED_CHARACTERS_MAX: usize = 300;

/// Where it is, and how to ask it.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    url: Url,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Login<'a> {
    /// Nobody in particular.
    None,
    /// InfluxDB 1: user and password.
    Basic(&'a str, &'a str),
    /// InfluxDB 2: a token.
    Token(&'a str),
    /// InfluxDB 3: a token.
    Bearer(&'a str),
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// HTTP's status code.
    pub(super) status: u16,
    /// `X-Influxdb-Version`.
    pub(super) version: Option<String>,
    /// The text, JSON mostly.
    pub(super) body: String,
}

impl Answer {
    /// Whether the server did what it was asked for.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; null if it is something else.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// What the server said, for people: its own sentence if there is one.
    pub(super) fn words(&self) -> String {
        let json = self.json();
        let own = ["message", "error"].iter().find_map(|key| json.get(key)?.as_str());
        let text = own.unwrap_or(&self.body).trim();
        let quoted: String = text.chars().take(QUOTED_CHARACTERS_MAX).collect();
        match quoted.is_empty() {
            true => format!("status {}", self.status),
            false => format!("status {}: {quoted}", self.status),
        }
    }
}

impl Server {
    /// Gets ready to ask. `ca` holds the certificates (PEM) that sign the server's, instead of the system's.
    pub(super) fn new(url: &Url, ca: Option<&Path>) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" => {
                let arguments = client::TlsArguments { cafile: ca.map(Path::to_owned), ..Default::default() };
                rustls::ClientConfig::clone(&*arguments.client_config()?)
            }
            // Never used, and the system's list need not be there.
            _ => rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        };
        let client = Client::builder()
            .timeout(ANSWER_TIME_MAX)
            .redirect(redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("gaugeline/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(Failure::failed)?;
        Ok(Self { client, url: url.clone() })
    }

    /// The address, for people.
    pub(super) fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The path of the API below the address, with parameters.
    fn join(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Url, Failure> {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage(format!("--influxdb {}: cannot take a path", self.url)))?
            .pop_if_empty()
            .extend(path.split('/'));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(url)
    }

    /// GET.
    pub(super) async fn get(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        login: Login<'_>,
    ) -> Result<Answer, Failure> {
        self.ask(self.client.get(self.join(path, parameters)?), login).await
    }

    /// POST with JSON.
    pub(super) async fn post(&self, path: &str, body: &Value, login: Login<'_>) -> Result<Answer, Failure> {
        let request = self.client.request(Method::POST, self.join(path, &[])?);
        let request = match body {
            Value::Null => request,
            body => request.header("Content-Type", "application/json").body(body.to_string()),
        };
        self.ask(request, login).await
    }

    /// POST with text, as lines and InfluxQL are sent.
    pub(super) async fn post_text(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        (content_type, body): (&str, String),
        login: Login<'_>,
    ) -> Result<Answer, Failure> {
        let request = self.client.post(self.join(path, parameters)?);
        self.ask(request.header("Content-Type", content_type).body(body), login).await
    }

    /// InfluxQL, in the body: what is in an address ends in logs, and statements have passwords.
    pub(super) async fn influxql(
        &self,
        parameters: &[(&str, &str)],
        statement: &str,
        login: Login<'_>,
    ) -> Result<Answer, Failure> {
        let mut form = self.url.clone();
        form.query_pairs_mut().clear().append_pair("q", statement);
        let body = form.query().unwrap_or_default().to_owned();
        let content = ("application/x-www-form-urlencoded", body);
        self.post_text("query", parameters, content, login).await
    }

    async fn ask(&self, request: RequestBuilder, login: Login<'_>) -> Result<Answer, Failure> {
        self.answer(request, login)
            .await
            .map_err(|error| Failure::failed(format!("InfluxDB at {}: {}", self.address(), chain(&error))))
    }

    async fn answer(&self, request: RequestBuilder, login: Login<'_>) -> Result<Answer, reqwest::Error> {
        let request = match login {
            Login::None => request,
            Login::Basic(user, password) => request.basic_auth(user, Some(password)),
            Login::Token(token) => request.header("Authorization", format!("Token {token}")),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        let version = response.headers().get("X-Influxdb-Version");
        let version = version.and_then(|version| version.to_str().ok()).map(str::to_owned);
        Ok(Answer { status, version, body: response.text().await? })
    }

    /// Waits until the server answers; answers with what it says to `/ping`.
    pub(super) async fn wait(&self, patience: Duration) -> Result<Answer, Failure> {
        let begin = clock::now();
        let mut told = begin;
        loop {
            let ping = self.client.get(self.join("ping", &[])?).timeout(PING_TIME_MAX);
            let reason = match self.answer(ping, Login::None).await {
                Ok(answer) if answer.status < 500 => return Ok(answer),
                Ok(answer) => format!("it answers with {}", answer.words()),
                Err(error) => chain(&error),
            };
            let now = clock::now();
            if now - begin >= patience {
                return Err(Failure::failed(format!(
                    "InfluxDB at {} is not there after {} s: {reason}. Start it and run this again, or give it more \
                     time with --wait SECONDS",
                    self.address(),
                    patience.as_secs()
                )));
            }
            if now - told >= PROGRESS_INTERVAL || told == begin {
                told = now;
                eprintln!(
                    "Waiting for InfluxDB at {} ({} of {} s): {reason}",
                    self.address(),
                    (now - begin).as_secs(),
                    patience.as_secs()
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// An error with its causes; the last one says what happened.
fn chain(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "does not answer in time".to_owned(),
        error if error.is_connect() => "cannot be reached".to_owned(),
        _ => "the request failed".to_owned(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

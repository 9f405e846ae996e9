//! What operators ask a running broker and have it do.

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use gaugeline_protocol::{ClientId, ReasonCode};
use serde::Serialize;

use super::{AdminToken, Readiness, readiness::Report as ReadinessReport};
use crate::{
    audit::{Audit, Event},
    clock,
    config::Persistence,
    hub::Hub,
    log::{Excerpt, Refusals, client_name},
    net::{Listeners, tls::Validity},
    reload::{ReloadError, ReloadHandle, Report, Trigger},
    sessions::{Found, OnlineClient},
};

/// Clients that are told at once at most, whatever is asked for.
pub(super) const PAGE_MAX: usize = 1_000;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) hub: Arc<Hub>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) reloader: ReloadHandle,
    pub(crate) readiness: Readiness,
    /// `None`: nobody can be told from anybody, so nobody is let in.
    pub(crate) token: Arc<ArcSwapOption<AdminToken>>,
    pub(crate) started: Instant,
}

/// The state of the broker at a glance. Times are seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    #[serde(flatten)]
    readiness: ReadinessReport,
    listeners: Vec<ListenerStatus>,
    connections: i64,
    sessions: Sessions,
    queued: Amount,
    retained: Amount,
    configuration: Configuration,
    certificates: Vec<Certificate>,
    storage: Storage,
}

#[derive(Debug, Serialize)]
struct ListenerStatus {
    address: String,
    tls: bool,
    websocket: bool,
}

#[derive(Debug, Serialize)]
struct Sessions {
    online: usize,
    offline: usize,
    subscriptions: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Amount {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Serialize)]
struct Configuration {
    files: Vec<String>,
    loaded_at: u64,
    rules: Vec<RulesStatus>,
    at_next_start: Vec<String>,
    last_reload: Option<ReloadStatus>,
}

#[derive(Debug, Serialize)]
struct RulesStatus {
    /// Of the listener; `null` for those that hold everywhere else.
    listener: Option<String>,
    password_file: Option<String>,
    acl_file: Option<String>,
    users: usize,
    allow_anonymous: bool,
}

#[derive(Debug, Serialize)]
struct ReloadStatus {
    at: u64,
    trigger: &'static str,
    #[serde(flatten)]
    result: ReloadResult,
}

/// What a reload has brought, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(super) enum ReloadResult {
    Done { users: usize, disconnected: usize, at_next_start: Vec<String> },
    Refused { error: String },
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Certificate {
    file: String,
    what: &'static str,
    until: i64,
}

#[derive(Debug, Serialize)]
struct Storage {
    persistence: &'static str,
    live_bytes: i64,
    disk_bytes: i64,
    failure: Option<String>,
}

/// Some clients, in the order of their identifiers.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    clients: Vec<ClientStatus>,
    /// Where the next page begins: to be asked for with `after`. `null`: this was the last one.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct ClientStatus {
    client: String,
    user: Option<String>,
    address: Option<String>,
    connected_at: u64,
}

/// A session, with or without a connection.
#[derive(Debug, Serialize)]
pub(super) struct SessionStatus {
    client: String,
    user: Option<String>,
    connected: bool,
    address: Option<String>,
    connected_at: Option<u64>,
    /// The rest is known of a session without a connection; one with a connection is in the hands of that.
    subscriptions: Option<Vec<String>>,
    queued: Option<Amount>,
    expires_in_seconds: Option<u64>,
    /// `null` also if it is away since before the broker was started.
    away_since: Option<u64>,
}

impl From<Result<Report, String>> for ReloadResult {
    fn from(result: Result<Report, String>) -> Self {
        match result {
            Ok(Report { users, disconnected, at_next_start }) => {
                Self::Done { users, disconnected, at_next_start }
            }
            Err(error) => Self::Refused { error },
        }
    }
}

impl Control {
    pub(super) fn status(&self) -> Status {
        let hub = &self.hub;
        let (online, offline) = hub.registry.counts();
        let (messages, bytes) = hub.router.retained().size();
        let listeners = self.listeners.bound().into_iter().map(|bound| ListenerStatus {
            address: bound.address.to_string(),
            tls: bound.tls,
            websocket: bound.websocket,
        });
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: (clock::now() - self.started).as_secs(),
            readiness: self.readiness.report(),
            listeners: listeners.collect(),
            connections: hub.metrics.connections_open.get(),
            sessions: Sessions { online, offline, subscriptions: hub.metrics.subscriptions.get() },
            queued: Amount { messages: hub.queued.messages(), bytes: hub.queued.bytes() },
            retained: Amount { messages, bytes },
            configuration: self.configuration(),
            certificates: self.certificates(),
            storage: Storage {
                persistence: match self.reloader.journal().started().persistence.mode {
                    Persistence::Durable => "durable",
                    Persistence::Interval(_) => "interval",
                    Persistence::Off => "off",
                },
                live_bytes: hub.metrics.storage.live_bytes.get(),
                disk_bytes: hub.metrics.storage.disk_bytes.get(),
                failure: hub.store.failure(),
            },
        }
    }

    /// Each file once, however many listeners use it.
    fn certificates(&self) -> Vec<Certificate> {
        let mut certificates = Vec::new();
        for Validity { file, what, until } in self.listeners.validities() {
            let one = Certificate { file: file.display().to_string(), what, until };
            if !certificates.contains(&one) {
                certificates.push(one);
            }
        }
        certificates
    }

    fn configuration(&self) -> Configuration {
        let journal = self.reloader.journal();
        let config = journal.config();
        let access = self.hub.access.snapshot();
        let text = |path: &std::path::PathBuf| path.display().to_string();
        let rules = config.realms.iter().map(|rules| {
            let loaded = access.realm(access.realm_named(rules.name.as_deref()));
            RulesStatus {
                listener: rules.name.as_deref().map(str::to_owned),
                password_file: rules.password_file.as_ref().map(text),
                acl_file: rules.acl_file.as_ref().map(text),
                users: loaded.users(),
                allow_anonymous: rules.allow_anonymous,
            }
        });
        Configuration {
            files: config.files.iter().map(text).collect(),
            loaded_at: seconds(journal.loaded_at_nanoseconds()),
            rules: rules.collect(),
            at_next_start: journal.at_next_start(),
            last_reload: journal.last().map(|last| ReloadStatus {
                at: seconds(last.at_nanoseconds),
                trigger: last.trigger.as_str(),
                result: last.result.into(),
            }),
        }
    }

    pub(super) async fn reload(&self) -> Result<Report, ReloadError> {
        self.reloader.reload(Trigger::Admin).await
    }

    /// The clients behind this one, at most so many.
    pub(super) fn clients(&self, after: Option<&str>, limit: usize) -> Page {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut found = self.hub.registry.online_after(after, limit + 1);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.client_id.as_str().to_owned());
        Page { clients: found.into_iter().map(client_status).collect(), next }
    }

    /// Ends the connection of a client; false if it has none.
    pub(super) fn kick(&self, client: &str) -> bool {
        let Some(client_id) = ClientId::new(client) else { return false };
        let kicked = self.hub.registry.vacate(&client_id, ReasonCode::AdministrativeAction);
        if kicked {
            tracing::info!(client = &*client_name(client), "disconnected by an operator");
            self.audit().record(Event::Kick { client: Excerpt(client) });
        }
        kicked
    }

    pub(super) fn session(&self, client: &str) -> Option<SessionStatus> {
        let client_id = ClientId::new(client)?;
        let now = clock::now();
        Some(match self.hub.registry.find(&client_id)? {
            Found::Online(online) => {
                let status = client_status(online);
                SessionStatus {
                    client: status.client,
                    user: status.user,
                    connected: true,
                    address: status.address,
                    connected_at: Some(status.connected_at),
                    subscriptions: None,
                    queued: None,
                    expires_in_seconds: None,
                    away_since: None,
                }
            }
            Found::Offline { user, subscriptions, waiting: (messages, bytes), expires_at, since } => {
                SessionStatus {
                    client: client.to_owned(),
                    user: user.as_deref().map(str::to_owned),
                    connected: false,
                    address: None,
                    connected_at: None,
                    subscriptions: Some(subscriptions),
                    queued: Some(Amount { messages, bytes }),
                    expires_in_seconds: expires_at.map(|at| at.saturating_duration_since(now).as_secs()),
                    away_since: since.map(seconds),
                }
            }
        })
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.hub.refusals
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.hub.audit
    }
}

fn client_status(online: OnlineClient) -> ClientStatus {
    ClientStatus {
        client: online.client_id.as_str().to_owned(),
        user: online.user.as_deref().map(str::to_owned),
        address: online.arrival.map(|(address, _)| address.to_string()),
        connected_at: online.arrival.map_or(0, |(_, at)| seconds(at)),
    }
}

pub(super) fn seconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000_000
}

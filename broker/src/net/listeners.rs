//! All listeners of a running broker: which there are, on which terms, and how both change.
//!
//! A listener is told from another by the address in the configuration. Connections outlive their listener, and the terms
//! that they came in on, unless these have changed in a way that they must not outlive: see [`ends_connections`].

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::{
    Doorman, Listener, ListenerTerms,
    tls::{self, LiveTls, Prepared, Validity},
};
use crate::{
    clock,
    config::{ConfigError, Limits, ListenerConfig, Protocol, TlsConfig},
    hub::Hub,
};

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on {address}: {problem}{}", bind_hint(.kind))]
pub struct BindError {
    /// What was configured.
    pub address: SocketAddr,
    kind: io::ErrorKind,
    /// What the system says.
    problem: String,
}

impl BindError {
    /// What the system says about an address.
    pub(crate) fn new(address: SocketAddr, error: &io::Error) -> Self {
        Self { address, kind: error.kind(), problem: error.to_string() }
    }
}

fn bind_hint(kind: &io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            " (is another broker running? stop it, or choose another port with `bind`)"
        }
        io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need a privilege; choose a higher one with `bind`)"
        }
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// Why a listener cannot be made.
#[derive(Debug)]
pub(crate) enum ListenError {
    /// A file of its TLS is wrong.
    File(ConfigError),
    /// Its address cannot be used.
    Bind(BindError),
}

impl From<ConfigError> for ListenError {
    fn from(error: ConfigError) -> Self {
        Self::File(error)
    }
}

impl From<BindError> for ListenError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

/// Where a listener really listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The address, with the port that the system chose if the configuration said 0.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether it speaks MQTT in WebSockets.
    pub websocket: bool,
}

impl Bound {
    /// What it speaks, for people.
    pub fn kind(&self) -> &'static str {
        match (self.websocket, self.tls) {
            (false, true) => "MQTT over TLS",
            (false, false) => "MQTT without TLS",
            (true, true) => "MQTT in WebSockets over TLS",
            (true, false) => "MQTT in WebSockets without TLS",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Listeners {
    doorman: Arc<Doorman>,
    /// Locked for a moment by a reload, and by whoever asks for them.
    running: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    config: ListenerConfig,
    address: SocketAddr,
    terms: Arc<ArcSwap<ListenerTerms>>,
    accepting: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a reload would make of the listeners: read, checked and bound, and not in use yet.
pub(crate) struct PlannedListeners {
    plans: Vec<Plan>,
}

enum Plan {
    /// The listener at this address stays, on these terms.
    Keep {
        config: ListenerConfig,
        tls: PlannedTls,
    },
    Add {
        config: ListenerConfig,
        listener: Listener,
    },
}

enum PlannedTls {
    Off,
    /// Replaces what the listener uses.
    Replaced(Arc<LiveTls>, Prepared),
    New(Arc<LiveTls>),
}

impl Listeners {
    /// Binds all addresses. Nobody is let in before [`Self::install`].
    ///
    /// # Errors
    /// A file of TLS, or an address.
    pub(crate) fn bind(
        doorman: Doorman,
        configs: &[ListenerConfig],
    ) -> Result<(Self, PlannedListeners), ListenError> {
        let listeners = Self { doorman: Arc::new(doorman), running: Mutex::default() };
        let plans = configs.iter().filter_map(|config| add(config).transpose());
        let plans = plans.collect::<Result<_, ListenError>>()?;
        Ok((listeners, PlannedListeners { plans }))
    }

    /// Reads the files of all listeners and binds the new ones. What cannot be done beside the listeners that run is added to
    /// `at_next_start`. Blocks.
    pub(crate) fn plan(
        &self,
        wanted: &[ListenerConfig],
        at_next_start: &mut Vec<String>,
    ) -> Result<PlannedListeners, ListenError> {
        let running = self.running.lock().iter().map(Running::key).collect::<Vec<_>>();
        let mut plans = Vec::with_capacity(wanted.len());
        for (at, config) in wanted.iter().enumerate() {
            let before = wanted.get(..at).unwrap_or_default();
            let occurrence = before.iter().filter(|other| other.bind == config.bind).count();
            let mut same = running.iter().filter(|(one, _)| one.bind == config.bind);
            if let Some((one, terms)) = same.nth(occurrence) {
                let kept = on_socket_of(one, config);
                if kept != *config {
                    at_next_start.push(format!("interface and ipv6_only of the listener on {}", config.bind));
                }
                plans.push(keep(kept, terms)?);
                continue;
            }
            let Some((one, terms)) = running.iter().find(|(one, _)| overlap(one.bind, config.bind)) else {
                plans.extend(add(config)?);
                continue;
            };
            at_next_start.push(format!("the listener on {}: one on {} is in its way", config.bind, one.bind));
            if !wanted.iter().any(|other| other.bind == one.bind) {
                plans.push(in_place_of(one, config, terms)?);
            }
        }
        Ok(PlannedListeners { plans })
    }

    /// Makes a plan true. Nothing in here can fail.
    pub(crate) fn install(&self, planned: PlannedListeners, hub: &Arc<Hub>) {
        let mut running = self.running.lock();
        let mut old = std::mem::take(&mut *running);
        // The first of those at the same address: those before it have been taken already.
        let mut take = |bind: SocketAddr| {
            let at = old.iter().position(|one| one.config.bind == bind);
            at.map(|at| old.remove(at))
        };
        for plan in planned.plans {
            match plan {
                Plan::Keep { config, tls } => {
                    running.extend(take(config.bind).map(|one| one.on_terms(config, tls)));
                }
                Plan::Add { config, listener } => {
                    let (address, terms) = (listener.address(), listener.terms());
                    let accepting = tokio::spawn(listener.accept(Arc::clone(hub), Arc::clone(&self.doorman)));
                    running.push(Running { config, address, terms, accepting });
                }
            }
        }
        for gone in &old {
            // Nothing would tell them any more that a certificate is revoked.
            let ends = gone.config.tls.as_ref().is_some_and(TlsConfig::asks_clients);
            if ends {
                gone.terms.load().standing.supersede();
            }
            let connections = if ends { "end" } else { "stay" };
            tracing::info!(address = %gone.address, "no longer listening; its connections {connections}");
        }
    }

    /// Where clients can connect, in the order of the configuration.
    pub(crate) fn bound(&self) -> Vec<Bound> {
        let running = self.running.lock();
        running
            .iter()
            .map(|one| Bound {
                address: one.address,
                tls: one.config.tls.is_some(),
                websocket: matches!(one.config.protocol, Protocol::WebSocket(_)),
            })
            .collect()
    }

    /// How long the certificates that are in use are valid.
    pub(crate) fn validities(&self) -> Vec<Validity> {
        let running = self.running.lock();
        let lives = running.iter().filter_map(|one| one.terms.load().tls.clone()).collect::<Vec<_>>();
        drop(running);
        lives.iter().flat_map(|live| live.validities()).collect()
    }

    /// These limits of connections hold from now on.
    pub(crate) fn set_limits(&self, limits: &Limits) {
        self.doorman.set_limits(limits);
    }

    /// Accepts no more connections, and sends away everybody who waits to be let in.
    pub(crate) fn close(&self) {
        self.stop_accepting();
        self.doorman.close();
    }

    /// Accepts no more connections.
    pub(crate) fn stop_accepting(&self) {
        self.running.lock().iter().for_each(|one| one.accepting.abort());
    }

    /// How many connections there are.
    pub(crate) fn inside(&self) -> usize {
        self.doorman.count()
    }
}

impl Running {
    fn key(&self) -> (ListenerConfig, Arc<ListenerTerms>) {
        (self.config.clone(), self.terms.load_full())
    }

    fn on_terms(mut self, config: ListenerConfig, tls: PlannedTls) -> Self {
        let live = match tls {
            PlannedTls::Off => None,
            PlannedTls::New(live) => Some(live),
            PlannedTls::Replaced(live, prepared) => {
                if live.install(prepared) {
                    tracing::info!(address = %self.address, "new certificates are in use");
                }
                Some(live)
            }
        };
        let old = self.terms.load_full();
        let mut terms = ListenerTerms::new(&config, live);
        terms.count_on(&old);
        if ends_connections(&self.config, &config) {
            old.standing.supersede();
        } else {
            terms.standing = Arc::clone(&old.standing);
            terms.standing.set_networks(&config);
        }
        self.terms.store(Arc::new(terms));
        self.config = config;
        self
    }
}

/// What is wanted, on the socket of a listener that runs.
fn on_socket_of(running: &ListenerConfig, wanted: &ListenerConfig) -> ListenerConfig {
    ListenerConfig {
        bind: running.bind,
        interface: running.interface.clone(),
        ipv6_only: running.ipv6_only,
        ..wanted.clone()
    }
}

fn keep(config: ListenerConfig, terms: &ListenerTerms) -> Result<Plan, ListenError> {
    let tls = plan_tls(&config, terms)?;
    Ok(Plan::Keep { config, tls })
}

/// The listener that runs where the wanted one cannot be bound beside it. Its address was chosen for its own terms, so it
/// must not have others: without TLS, for instance, which was meant for loopback.
fn in_place_of(
    running: &ListenerConfig,
    wanted: &ListenerConfig,
    terms: &ListenerTerms,
) -> Result<Plan, ListenError> {
    let kept = ListenerConfig { optional: running.optional, ..on_socket_of(running, wanted) };
    if kept != *running {
        let problem = format!(
            "the one on {} is in its way until the next start and has other terms; restart the broker, or change the \
             address alone",
            running.bind
        );
        return Err(BindError::new(wanted.bind, &io::Error::other(problem)).into());
    }
    keep(kept, terms)
}

/// `None` for an optional one at an address that the machine does not have.
fn add(config: &ListenerConfig) -> Result<Option<Plan>, ListenError> {
    let tls = match plan_tls(config, &ListenerTerms::new(config, None))? {
        PlannedTls::New(live) => Some(live),
        PlannedTls::Off | PlannedTls::Replaced(..) => None,
    };
    let listener = Listener::bind(config, ListenerTerms::new(config, tls))
        .map_err(|error| BindError::new(config.bind, &error))?;
    if listener.is_none() {
        tracing::info!(address = %config.bind, "not listening: this machine does not have the address");
    }
    Ok(listener.map(|listener| Plan::Add { config: config.clone(), listener }))
}

/// Reads and checks the files of a listener that has these terms now.
fn plan_tls(config: &ListenerConfig, terms: &ListenerTerms) -> Result<PlannedTls, ConfigError> {
    let Some(tls) = &config.tls else { return Ok(PlannedTls::Off) };
    let prepared = tls::prepare(tls, clock::unix_time(), terms.tls.as_deref())?;
    for note in prepared.notes() {
        tracing::warn!("{note}");
    }
    Ok(match &terms.tls {
        Some(live) => PlannedTls::Replaced(Arc::clone(live), prepared),
        None => PlannedTls::New(Arc::new(LiveTls::new(prepared))),
    })
}

/// Whether the system refuses to bind one while the other is bound.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers =
        |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv4() == ip.is_ipv4() || all.is_ipv6());
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

/// Whether those who came in on the old terms must come again: other rules, other topics, another protection hold for them.
fn ends_connections(old: &ListenerConfig, new: &ListenerConfig) -> bool {
    let protection = |config: &ListenerConfig| config.tls.as_ref().map(|tls| tls.client_certificate);
    old.realm != new.realm
        || old.mount_point != new.mount_point
        || old.identity != new.identity
        || old.client_id_rule != new.client_id_rule
        || protection(old) != protection(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_stand_in_each_others_way() {
        for (one, other, expected) in [
            ("127.0.0.1:1883", "127.0.0.1:1883", true),
            ("0.0.0.0:1883", "127.0.0.1:1883", true),
            ("[::]:1883", "127.0.0.1:1883", true),
            ("[::]:1883", "[::1]:1883", true),
            ("0.0.0.0:1883", "[::1]:1883", false),
            ("127.0.0.1:1883", "127.0.0.2:1883", false),
            ("0.0.0.0:1883", "0.0.0.0:1884", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn an_error_says_what_to_do() {
        let address = "127.0.0.1:80".parse().unwrap();
        let error = BindError::new(address, &io::ErrorKind::PermissionDenied.into());
        assert!(
            error.to_string().starts_with("cannot listen on 127.0.0.1:80: permission denied (ports below")
        );
    }
}

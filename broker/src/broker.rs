//! A running broker: its listeners, its admin server and its housekeeping.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gaugeline_protocol::{ClientId, ReasonCode};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use crate::{
    admin::{AdminError, AdminServer, Component, Readiness},
    auth::{AccessHandle, watch::AccessFiles},
    clock,
    config::{Config, ConfigError, ListenerConfig, Persistence, PersistenceConfig, TlsConfig},
    hub::Hub,
    metrics::{Metrics, MetricsSource, StorageMetrics},
    net::{
        Doorman, Listener, ListenerTerms,
        tls::{self, LiveTls},
    },
    router::Sweep,
    sessions::Absentees,
    settings::Settings,
    storage::{Durability, MemoryStore, OpenError, OpenOptions, Recovered, SegmentLog, Store},
};

/// How often sessions are looked at for expiry, and gauges brought up to date. Expiry intervals are whole seconds.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);
/// How often a shutdown looks whether the last connection has gone.
const SHUTDOWN_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file that the configuration names is wrong.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A listener's address cannot be used.
    #[error("cannot listen on {address}: {error}{}", bind_hint(.error))]
    Bind {
        /// What was configured.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The admin server did not start.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// What the last process left cannot be read.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// A task of the runtime ended before it was done.
    #[error("the runtime ended a task: {0}")]
    Runtime(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

fn bind_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            " (is another broker running? stop it, or choose another port with `bind`)"
        }
        std::io::ErrorKind::PermissionDenied => {
            " (ports below 1024 need a privilege; choose a higher one with `bind`)"
        }
        std::io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        _ => "",
    }
}

/// Where a listener really listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The address, with the port that the system chose if the configuration said 0.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// A running broker. Dropping it stops accepting, but only [`Self::shutdown`] tells the clients.
#[derive(Debug)]
pub struct Broker {
    hub: Arc<Hub>,
    doorman: Arc<Doorman>,
    bound: Vec<Bound>,
    housekeeping: JoinHandle<()>,
    /// One for each listener.
    accepting: Vec<JoinHandle<()>>,
    admin: Option<AdminServer>,
    ready: Component,
}

impl Broker {
    /// Reads the files, binds the addresses, and starts to serve on the present runtime. `readiness` and `sources` are
    /// what the admin server reports beside the broker itself.
    ///
    /// # Errors
    /// [`StartError`] if anything at all is wrong; then nothing is left running.
    pub async fn start(
        config: &Config,
        readiness: &Readiness,
        sources: Vec<Arc<dyn MetricsSource>>,
    ) -> Result<Self, StartError> {
        readiness.component("storage").not_ready("reading what the last process left");
        let metrics = Metrics::new();
        let (persistence, storage) = (config.persistence.clone(), metrics.storage.clone());
        let opened = tokio::task::spawn_blocking(move || open_store(&persistence, &storage)).await;
        let (store, recovered) = opened.map_err(|error| StartError::Runtime(error.to_string()))??;
        Self::serve(config, readiness, sources, metrics, store, recovered)
    }

    /// As [`Self::start`], with this store, and what it gave back when it was opened.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with_store(
        config: &Config,
        readiness: &Readiness,
        sources: Vec<Arc<dyn MetricsSource>>,
        store: Arc<dyn Store>,
        recovered: Recovered,
    ) -> Result<Self, StartError> {
        Self::serve(config, readiness, sources, Metrics::new(), store, recovered)
    }

    fn serve(
        config: &Config,
        readiness: &Readiness,
        sources: Vec<Arc<dyn MetricsSource>>,
        metrics: Arc<Metrics>,
        store: Arc<dyn Store>,
        recovered: Recovered,
    ) -> Result<Self, StartError> {
        let ready = readiness.component("broker");
        ready.not_ready("starting");
        let files = AccessFiles::new(&config.realms);
        let access = files.load()?;
        let listeners = config.listeners.iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let access = Arc::new(AccessHandle::new(access));
        let hub = Arc::new(Hub::new(Settings::new(config), access, store, Arc::clone(&metrics), recovered)?);
        let admin = config
            .admin
            .map(|address| {
                let mut all: Vec<Arc<dyn MetricsSource>> = vec![Arc::clone(&metrics) as _];
                all.extend(sources);
                AdminServer::start(address, all, readiness.clone())
            })
            .transpose()?;
        let limits = &config.limits;
        let doorman = Doorman::new(limits.connections, limits.connections_per_address, metrics);
        let doorman = Arc::new(doorman);
        let bound = listeners
            .iter()
            .zip(&config.listeners)
            .map(|(listener, config)| Bound { address: listener.address(), tls: config.tls.is_some() })
            .collect();
        let storage = readiness.component("storage");
        storage.ready();
        let housekeeping = tokio::spawn(keep_house(Arc::clone(&hub), storage, files));
        let accepting = listeners
            .into_iter()
            .map(|listener| tokio::spawn(listener.accept(Arc::clone(&hub), Arc::clone(&doorman))))
            .collect();
        ready.ready();
        Ok(Self { hub, doorman, bound, housekeeping, accepting, admin, ready })
    }

    /// Where clients can connect, in the order of the configuration.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Where metrics and health are served.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminServer::address)
    }

    /// The broker's numbers.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.hub.metrics
    }

    /// Stops accepting, tells every client but one that the server ends, and waits until all that waits for that one
    /// has been sent: then a consumer in the same process, such as the bridge, has everything that was acknowledged.
    /// To be followed by [`Self::shutdown`]. False if the time was not enough.
    pub async fn drain_to(&self, consumer: &ClientId, time_max: Duration) -> bool {
        self.ready.not_ready("shutting down");
        self.accepting.iter().for_each(JoinHandle::abort);
        self.doorman.close();
        let deadline = clock::now() + time_max;
        let registry = &self.hub.registry;
        loop {
            let others = self.doorman.inside().saturating_sub(registry.is_online(consumer).into());
            let mut waiting = self.hub.queued.messages();
            registry
                .for_each_parked(|_, parked| waiting = waiting.saturating_sub(parked.mailbox.waiting().0));
            if others == 0 && waiting == 0 {
                return true;
            }
            if clock::now() >= deadline {
                return false;
            }
            registry.vacate_all(ReasonCode::ServerShuttingDown, Some(consumer));
            tokio::time::sleep(SHUTDOWN_POLL_INTERVAL).await;
        }
    }

    /// Stops accepting, tells every client that the server ends, and waits for the connections to close. Returns how
    /// many were left when the time was up.
    pub async fn shutdown(self, time_max: Duration) -> usize {
        self.ready.not_ready("shutting down");
        self.stop_tasks();
        self.doorman.close();
        let deadline = clock::now() + time_max;
        while self.doorman.inside() > 0 && clock::now() < deadline {
            self.hub.registry.vacate_all(ReasonCode::ServerShuttingDown, None);
            tokio::time::sleep(SHUTDOWN_POLL_INTERVAL).await;
        }
        let store = Arc::clone(&self.hub.store);
        // It fails only if the store panics, and then there is nothing left to save.
        tokio::task::spawn_blocking(move || store.close()).await.ok();
        self.doorman.inside()
    }

    fn stop_tasks(&self) {
        self.housekeeping.abort();
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop_tasks();
    }
}

fn listen(config: &ListenerConfig) -> Result<Listener, StartError> {
    let tls = config.tls.as_ref().map(prepare).transpose()?;
    let address = config.bind;
    let terms = ListenerTerms::new(config, tls);
    Listener::bind(address, terms).map_err(|error| StartError::Bind { address, error })
}

/// TLS for a start: what is wrong with files that can be used is only said.
fn prepare(config: &TlsConfig) -> Result<Arc<LiveTls>, StartError> {
    let prepared = tls::prepare(config, clock::unix_time(), None)?;
    for note in prepared.notes() {
        tracing::warn!("{note}");
    }
    Ok(Arc::new(LiveTls::new(prepared)))
}

/// Opens what the configuration asks for, and gives back what it holds.
fn open_store(
    config: &PersistenceConfig,
    metrics: &StorageMetrics,
) -> Result<(Arc<dyn Store>, Recovered), StartError> {
    let durability = match config.mode {
        Persistence::Off => return Ok((Arc::new(MemoryStore), Recovered::default())),
        Persistence::Durable => Durability::Always,
        Persistence::Interval(interval) => Durability::Interval(interval),
    };
    let options = OpenOptions {
        durability,
        accept_damage: config.accept_damage,
        ..OpenOptions::new(config.directory.clone())
    };
    let (log, recovered) = SegmentLog::open(&options, clock::now(), clock::wall_nanoseconds(), metrics)?;
    Ok((Arc::new(log), recovered))
}

async fn keep_house(hub: Arc<Hub>, storage: Component, mut files: AccessFiles) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut absentees = Absentees::default();
    let mut sweep = Sweep::default();
    loop {
        interval.tick().await;
        hub.expire(clock::now());
        hub.sweep_retained(&mut sweep, clock::now());
        hub.follow_rules(&mut files);
        match hub.store.failure() {
            None => storage.ready(),
            Some(reason) => storage.not_ready(reason),
        }
        let now_nanoseconds = clock::wall_nanoseconds();
        let absence = absentees.look(&hub.registry, now_nanoseconds);
        let oldest = absence.oldest.map_or(now_nanoseconds, |stamp| stamp.nanoseconds());
        let age_seconds = now_nanoseconds.saturating_sub(oldest) / 1_000_000_000;
        hub.metrics.absent_queue_fullest_percent.set(absence.fullest_percent.into());
        hub.metrics.absent_queue_oldest_seconds.set(i64::try_from(age_seconds).unwrap_or(i64::MAX));
        let (online, offline) = hub.registry.counts();
        hub.expiry.tidy(offline, |client_id, at| hub.registry.waits_for(client_id, at));
        let (retained, bytes) = hub.router.retained().size();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        hub.metrics.sessions_online.set(gauge(online));
        hub.metrics.sessions_offline.set(gauge(offline));
        hub.metrics.retained_messages.set(gauge(retained));
        hub.metrics.retained_bytes.set(gauge(bytes));
        hub.metrics.queued_messages.set(gauge(hub.queued.messages()));
        hub.metrics.queued_bytes.set(gauge(hub.queued.bytes()));
    }
}

//! A running broker: its listeners, its admin server and its housekeeping.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use gaugeline_protocol::{ClientId, ReasonCode};
use rustls::pki_types::UnixTime;
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use crate::{
    admin::{AdminError, AdminServer, AdminToken, Component, Control, Readiness},
    audit::Audit,
    auth::{Access, AccessHandle},
    clock,
    config::{Config, ConfigError, Persistence, PersistenceConfig, mosquitto::Warning},
    hub::Hub,
    metrics::{Metrics, MetricsSource, StorageMetrics},
    net::{
        BindError, Bound, Doorman, ListenError, Listeners,
        tls::{ExpiryWatch, Validity},
    },
    reload::{ReloadHandle, Reloader, Reread, SetLogLevel, Subject, realms},
    router::Sweep,
    sessions::Absentees,
    settings::Settings,
    status_topics,
    storage::{Durability, MemoryStore, OpenError, OpenOptions, Recovered, SegmentLog, Store},
    watch::FileWatch,
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
    #[error(transparent)]
    Bind(#[from] BindError),
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

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::File(error) => Self::File(error),
            ListenError::Bind(error) => Self::Bind(error),
        }
    }
}

/// What a broker has around it, beside its configuration.
#[derive(Default)]
pub struct Surroundings {
    /// What `/readyz` tells, with what others add to it.
    pub readiness: Readiness,
    /// What the admin server reports beside the broker's own numbers.
    pub sources: Vec<Arc<dyn MetricsSource>>,
    /// Reads the configuration again for a reload. `None`: it stays, and only the files that it names are read again.
    pub reread: Option<Reread>,
    /// What the user was told about the configuration already: a reload says only what is new.
    pub warnings: Vec<Warning>,
    /// Is told by a reload which lines are worth logging.
    pub set_log_level: Option<SetLogLevel>,
}

/// A running broker. Dropping it stops accepting, but only [`Self::shutdown`] tells the clients.
#[derive(Debug)]
pub struct Broker {
    hub: Arc<Hub>,
    listeners: Arc<Listeners>,
    housekeeping: JoinHandle<()>,
    /// Publishes what is below `$SYS`.
    reporting: JoinHandle<()>,
    reloading: JoinHandle<()>,
    reloader: ReloadHandle,
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
        let readiness = readiness.clone();
        Self::start_in(config, Surroundings { readiness, sources, ..Surroundings::default() }).await
    }

    /// As [`Self::start`], with all that a broker can have around it.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in(config: &Config, surroundings: Surroundings) -> Result<Self, StartError> {
        surroundings.readiness.component("storage").not_ready("reading what the last process left");
        let metrics = Metrics::new();
        let (persistence, storage) = (config.persistence.clone(), metrics.storage.clone());
        let opened = tokio::task::spawn_blocking(move || open_store(&persistence, &storage)).await;
        let (store, recovered) = opened.map_err(|error| StartError::Runtime(error.to_string()))??;
        Self::serve(config, surroundings, metrics, store, recovered)
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
        let readiness = readiness.clone();
        let surroundings = Surroundings { readiness, sources, ..Surroundings::default() };
        Self::serve(config, surroundings, Metrics::new(), store, recovered)
    }

    fn serve(
        config: &Config,
        surroundings: Surroundings,
        metrics: Arc<Metrics>,
        store: Arc<dyn Store>,
        recovered: Recovered,
    ) -> Result<Self, StartError> {
        let Surroundings { readiness, sources, reread, warnings, set_log_level } = surroundings;
        let ready = readiness.component("broker");
        ready.not_ready("starting");
        let watch = FileWatch::new(config.watched());
        let token = config.admin_token_file.as_deref().map(AdminToken::load).transpose()?;
        let token = Arc::new(ArcSwapOption::from_pointee(token));
        let audit = Audit::start(config.audit.as_ref(), &metrics).map_err(|error| {
            let path = config.audit.as_ref().map(|audit| audit.file.clone()).unwrap_or_default();
            StartError::File(ConfigError::unwritable(&path, &error))
        })?;
        let slots = realms::settle(&mut config.clone(), &Access::new(Vec::new()));
        let access = Arc::new(AccessHandle::new(Access::load_slots(&slots)?));
        let doorman = Doorman::new(&config.limits, Arc::clone(&metrics));
        let (listeners, planned) = Listeners::bind(doorman, &config.listeners)?;
        let listeners = Arc::new(listeners);
        let settings = Settings::new(config);
        let hub = Arc::new(Hub::new(settings, access, store, Arc::clone(&metrics), audit, recovered)?);
        let (reloader, handle) = Reloader::new(Subject {
            hub: Arc::clone(&hub),
            listeners: Arc::clone(&listeners),
            started: config.clone(),
            reread,
            warnings,
            set_log_level,
            component: readiness.component("configuration"),
            token: Arc::clone(&token),
            watch,
        });
        let control = Control {
            hub: Arc::clone(&hub),
            listeners: Arc::clone(&listeners),
            reloader: handle.clone(),
            readiness: readiness.clone(),
            token,
            started: clock::now(),
        };
        let admin = config
            .admin
            .map(|address| {
                let mut all: Vec<Arc<dyn MetricsSource>> = vec![metrics as _];
                all.extend(sources);
                AdminServer::start_with(address, all, readiness.clone(), Some(control.clone()))
            })
            .transpose()?;
        let storage = readiness.component("storage");
        storage.ready();
        let reporting = tokio::spawn(status_topics::publish(Arc::clone(&hub)));
        let housekeeping = tokio::spawn(keep_house(Arc::clone(&hub), storage, Arc::clone(&listeners)));
        let reloading = tokio::spawn(reloader.run());
        listeners.install(planned, &hub);
        ready.ready();
        Ok(Self { hub, listeners, housekeeping, reporting, reloading, reloader: handle, admin, ready })
    }

    /// Where clients can connect, in the order of the configuration. A reload may change it.
    pub fn bound(&self) -> Vec<Bound> {
        self.listeners.bound()
    }

    /// Reloads the configuration and all that it names.
    pub fn reloader(&self) -> &ReloadHandle {
        &self.reloader
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
        self.stop_reloading();
        self.listeners.close();
        let deadline = clock::now() + time_max;
        let registry = &self.hub.registry;
        loop {
            let others = self.listeners.inside().saturating_sub(registry.is_online(consumer).into());
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
        self.listeners.close();
        let deadline = clock::now() + time_max;
        while self.listeners.inside() > 0 && clock::now() < deadline {
            self.hub.registry.vacate_all(ReasonCode::ServerShuttingDown, None);
            tokio::time::sleep(SHUTDOWN_POLL_INTERVAL).await;
        }
        self.hub.refusals.sum_up_all();
        let store = Arc::clone(&self.hub.store);
        // It fails only if the store panics, and then there is nothing left to save.
        tokio::task::spawn_blocking(move || store.close()).await.ok();
        self.listeners.inside()
    }

    fn stop_tasks(&self) {
        self.housekeeping.abort();
        self.reporting.abort();
        self.stop_reloading();
        self.listeners.stop_accepting();
    }

    /// A broker that ends must not open a listener.
    fn stop_reloading(&self) {
        self.reloading.abort();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop_tasks();
    }
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

/// Warns of certificates that end soon, and shows how long all are valid.
fn tell_expiry(metrics: &Metrics, expiry: &mut ExpiryWatch, validities: &[Validity], now: UnixTime) {
    for warning in expiry.look(validities, now) {
        tracing::warn!("{warning}");
    }
    let left = |validity: &Validity| {
        (validity.file.display().to_string(), validity.what, validity.left_seconds(now))
    };
    metrics.certificate_expiry.set(validities.iter().map(left));
}

async fn keep_house(hub: Arc<Hub>, storage: Component, listeners: Arc<Listeners>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut absentees = Absentees::default();
    let mut expiry = ExpiryWatch::default();
    let mut sweep = Sweep::default();
    loop {
        interval.tick().await;
        hub.expire(clock::now());
        hub.refusals.sum_up(clock::now());
        hub.sweep_retained(&mut sweep, clock::now());
        tell_expiry(&hub.metrics, &mut expiry, &listeners.validities(), clock::unix_time());
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

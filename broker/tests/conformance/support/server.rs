//! A broker in the test's own process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use gaugeline_broker::{
    Broker,
    admin::Readiness,
    auth::{
        hash::{Hashing, SaltLength},
        password_edit::PasswordEditor,
    },
    config::{
        AuditConfig, ClientIds, ClientsConfig, Config, DeliveryConfig, Limits, ListenerConfig, TlsConfig,
    },
    metrics::{CloseReason, DropReason, Metrics, QosLabel, RefusalReason},
    storage::{MemoryStore, Recovered, Store},
};
use tempfile::TempDir;

use super::until;

/// What a broker is started with: everybody may do everything, unless changed.
pub(crate) struct Setup {
    config: Config,
    store: Arc<dyn Store>,
    files: TempDir,
}

/// A running broker.
pub(crate) struct Server {
    broker: Broker,
    _files: TempDir,
}

/// Passwords in tests protect nothing.
pub(super) const HASHING: Hashing = Hashing::Pbkdf2(NonZeroU32::new(10).unwrap(), SaltLength::Twelve);
const COSTLY_HASHING: Hashing = Hashing::Pbkdf2(NonZeroU32::new(100_000).unwrap(), SaltLength::Twelve);

impl Setup {
    pub(crate) fn new() -> Self {
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::listening_on(vec![ListenerConfig::new(bind)]);
        config.realms[0].acl_options.refuse_futile_subscribe = true;
        Self { config, store: Arc::new(MemoryStore), files: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.config.limits);
        self
    }

    pub(crate) fn delivery(mut self, change: impl FnOnce(&mut DeliveryConfig)) -> Self {
        change(&mut self.config.delivery);
        self
    }

    /// Writes an audit log, `audit.jsonl` among the files.
    pub(crate) fn audited(mut self) -> Self {
        let file = self.files.path().join("audit.jsonl");
        self.config.audit = Some(AuditConfig { file, file_bytes: 1 << 20, files: 1 });
        self
    }

    /// Changes what clients may ask for.
    pub(crate) fn clients(mut self, change: impl FnOnce(&mut ClientsConfig)) -> Self {
        change(&mut self.config.clients);
        self
    }

    /// Changes which client identifiers are taken.
    pub(crate) fn client_ids(mut self, change: impl FnOnce(&mut ClientIds)) -> Self {
        change(&mut self.config.realms[0].client_ids);
        self
    }

    /// Adds another listener.
    pub(crate) fn another_listener(mut self, change: impl FnOnce(&mut ListenerConfig)) -> Self {
        let mut listener = self.config.listeners[0].clone();
        change(&mut listener);
        self.config.listeners.push(listener);
        self
    }

    /// Changes the only listener.
    pub(crate) fn listener(mut self, change: impl FnOnce(&mut ListenerConfig)) -> Self {
        change(&mut self.config.listeners[0]);
        self
    }

    pub(crate) fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = store;
        self
    }

    pub(crate) fn tls(mut self, tls: TlsConfig) -> Self {
        self.config.listeners[0].tls = Some(tls);
        self
    }

    /// Only these users, with these passwords, may connect.
    pub(crate) fn users(mut self, users: &[(&str, &str)]) -> Self {
        let path = self.files.path().join("passwd");
        let mut file = PasswordEditor::create(&path).unwrap();
        for (user, password) in users {
            file.set(user, password.as_bytes(), HASHING).unwrap();
        }
        file.save().unwrap();
        self.config.realms[0].password_file = Some(path);
        self.config.realms[0].allow_anonymous = false;
        self
    }

    /// One more user, whose password takes a processor tenths of a second to check. To be called after [`Self::users`].
    pub(crate) fn costly_user(self, user: &str, password: &str) -> Self {
        let mut file = PasswordEditor::open(&self.files.path().join("passwd")).unwrap();
        file.set(user, password.as_bytes(), COSTLY_HASHING).unwrap();
        file.save().unwrap();
        self
    }

    /// Clients without a user name may connect too.
    pub(crate) fn anonymous_too(mut self) -> Self {
        self.config.realms[0].allow_anonymous = true;
        self
    }

    /// Only the users of this password file may connect.
    pub(crate) fn password_file(mut self, text: &str) -> Self {
        let path = self.files.path().join("passwd");
        std::fs::write(&path, text).unwrap();
        self.config.realms[0].password_file = Some(path);
        self.config.realms[0].allow_anonymous = false;
        self
    }

    /// Only the users of this SCRAM file may connect.
    pub(crate) fn scram_file(mut self, text: &str) -> Self {
        let path = self.files.path().join("scram");
        std::fs::write(&path, text).unwrap();
        self.config.realms[0].scram_file = Some(path);
        self.config.realms[0].allow_anonymous = false;
        self
    }

    /// Clients without a name may connect, too.
    pub(crate) fn anonymous(mut self) -> Self {
        self.config.realms[0].allow_anonymous = true;
        self
    }

    pub(crate) fn acl(mut self, text: &str) -> Self {
        let path = self.files.path().join("acl");
        std::fs::write(&path, text).unwrap();
        self.config.realms[0].acl_file = Some(path);
        self
    }

    pub(crate) async fn start(self) -> Server {
        let broker = Broker::start_with_store(
            &self.config,
            &Readiness::default(),
            vec![],
            self.store,
            Recovered::default(),
        )
        .await
        .unwrap();
        Server { broker, _files: self.files }
    }
}

impl Server {
    /// A broker that lets everybody do everything.
    pub(crate) async fn start() -> Self {
        Setup::new().start().await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.bound()[0].address
    }

    /// Where the listener at this place of the configuration listens.
    pub(crate) fn address_of(&self, listener: usize) -> SocketAddr {
        self.broker.bound()[listener].address
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.broker.metrics()
    }

    /// The numbers, for as long as the test likes.
    pub(crate) fn metrics_handle(&self) -> Arc<Metrics> {
        Arc::clone(self.broker.metrics())
    }

    /// Waits until so many messages of QoS 0 have left for clients.
    pub(crate) async fn until_sent(&self, messages: u64) {
        until("messages", || self.metrics().messages_sent.of(QosLabel::AtMostOnce) == messages).await;
    }

    /// Waits until this many connections have been accepted.
    pub(crate) async fn until_accepted(&self, connections: u64) {
        until("connections", || self.metrics().connections_accepted.get() == connections).await;
    }

    pub(crate) fn into_broker(self) -> (Broker, TempDir) {
        (self.broker, self._files)
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.metrics().messages_dropped.of(reason)
    }

    pub(crate) fn refused(&self, reason: RefusalReason) -> u64 {
        self.metrics().connections_refused.of(reason)
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.metrics().connections_closed.of(reason)
    }

    /// Waits until this many connections are left.
    pub(crate) async fn until_online(&self, connections: i64) {
        until("connections to end", || self.metrics().connections_open.get() == connections).await;
    }

    /// Waits until no connection is left: every session is parked or ended then.
    pub(crate) async fn until_empty(&self) {
        self.until_online(0).await;
    }
}

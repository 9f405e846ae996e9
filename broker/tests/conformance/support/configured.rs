//! A broker that was started from a configuration file, and that reads it again when it is asked to.

use std::{fs, net::SocketAddr, path::PathBuf};

use gaugeline_broker::{
    Broker, Surroundings,
    auth::password_edit::PasswordEditor,
    config::{self, Config, Overrides},
    metrics::Metrics,
    reload::{ReloadError, Report, Trigger},
};
use gaugeline_protocol::packet::Connect;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Client, server::HASHING, until};

/// A directory with `broker.toml`, `passwd` and `acl`.
pub(crate) struct Directory(TempDir);

/// A broker that runs on a [`Directory`]. It keeps nothing.
pub(crate) struct Configured {
    pub(crate) directory: Directory,
    broker: Broker,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.write("acl", "topic readwrite #\npattern readwrite #\n");
        directory.users(&[("known", "right"), ("other", "right")]);
        directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Only these users exist.
    pub(crate) fn users(&self, users: &[(&str, &str)]) {
        let path = self.path("passwd");
        fs::remove_file(&path).ok();
        let mut file = PasswordEditor::create(&path).unwrap();
        for (user, password) in users {
            file.set(user, password.as_bytes(), HASHING).unwrap();
        }
        file.save().unwrap();
    }

    /// Writes broker.toml with these lines above the listeners.
    pub(crate) fn configure(&self, lines: &str, listeners: &str) {
        let text = format!("admin = \"off\"\npersistence = \"off\"\n{lines}\n{listeners}");
        self.write("broker.toml", &text);
    }

    pub(crate) async fn start(self) -> Configured {
        let path = self.path("broker.toml");
        let config = Config::load(&path).unwrap();
        let reread = Some(Box::new(move || config::load(&path, &Overrides::default())) as _);
        let surroundings = Surroundings { reread, ..Surroundings::default() };
        let broker = Broker::start_in(&config, surroundings).await.unwrap();
        Configured { directory: self, broker }
    }
}

/// A listener on a port that the system chooses, with these further lines.
pub(crate) fn listener(lines: &str) -> String {
    format!("[[listener]]\nbind = \"127.0.0.1:0\"\n{lines}\n")
}

impl Configured {
    pub(crate) async fn reload(&self) -> Result<Report, ReloadError> {
        self.broker.reloader().reload(Trigger::Admin).await
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.broker.metrics()
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.broker.bound().iter().map(|bound| bound.address).collect()
    }

    /// Waits until this many connections are left.
    pub(crate) async fn until_online(&self, connections: i64) {
        until("connections to end", || self.metrics().connections_open.get() == connections).await;
    }

    /// A session through this listener.
    pub(crate) async fn connect_through(&self, listener: usize, connect: &Connect) -> Client {
        let stream = TcpStream::connect(self.addresses()[listener]).await.unwrap();
        let address = stream.local_addr().unwrap();
        let mut client = Client::over(stream, connect.version, address);
        client.send(connect.clone()).await;
        let answer = client.expect_connack().await;
        assert!(!answer.reason.is_error(), "{:?}", answer.reason);
        client
    }

    pub(crate) async fn connect(&self, connect: &Connect) -> Client {
        self.connect_through(0, connect).await
    }
}

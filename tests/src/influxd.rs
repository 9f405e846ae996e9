//! A real InfluxDB 1.x of our own: never the one that a package may have started.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    http, port,
    process::{Ended, Process, run},
    requirement, wait,
};

/// An InfluxDB with its data, running or not.
#[derive(Debug)]
pub struct Influxd {
    program: PathBuf,
    directory: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Influxd {
    /// Starts one. `None` if it is not installed, see [`requirement`].
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with more keys in its section `[http]`. `None` if it is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start_with(http: &str) -> Option<Self> {
        let mut influxd = Self::stopped(http)?;
        influxd.run();
        Some(influxd)
    }

    /// One that does not run yet, with more keys in its section `[http]`. `None` if it is not installed.
    ///
    /// # Panics
    /// If its directory cannot be made.
    pub fn stopped(http: &str) -> Option<Self> {
        let program = requirement::program("influxd")?;
        let directory = tempfile::tempdir().unwrap();
        let port = port::free();
        let configuration = configuration(directory.path(), port) + http;
        fs::write(directory.path().join("influxd.conf"), configuration).unwrap();
        Some(Self { program, directory, port, process: None })
    }

    /// Starts it, again, on the same port with the same data, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn run(&mut self) {
        self.launch();
        self.wait_until_it_answers();
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_until_it_answers(&self) {
        wait::until("influxd to answer", || {
            http::get(self.port, "/ping").filter(|answer| answer.status == 204)
        });
    }

    /// Whether it was started and not killed since.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Hands its process over, which is then no longer this one's.
    ///
    /// # Panics
    /// If it does not run.
    pub fn take(&mut self) -> Process {
        self.process.take().unwrap()
    }

    /// As [`Self::run`], without waiting.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn launch(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-config").arg(self.directory.path().join("influxd.conf"));
        self.process = Some(Process::start("influxd", &mut command));
    }

    /// Ends it without warning, as a crash would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.process.take().unwrap().kill();
    }

    /// The running process.
    ///
    /// # Panics
    /// If it does not run.
    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same without the scheme and the host.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates a database.
    ///
    /// # Panics
    /// If it refuses.
    pub fn create_database(&self, name: &str) {
        let body = format!("q={}", http::escape(&format!("CREATE DATABASE \"{name}\"")));
        let answer = http::post(self.port, "/query", &body).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// What it answers to a query of a user.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn query_as(&self, (user, password): (&str, &str), database: &str, query: &str) -> http::Answer {
        let [user, password, query] = [user, password, query].map(http::escape);
        http::get(self.port, &format!("/query?db={database}&u={user}&p={password}&q={query}")).unwrap()
    }

    /// The rows of the first series that a query returns; none if there is no such series or no such database.
    ///
    /// # Panics
    /// If it does not answer with JSON.
    pub fn query(&self, database: &str, query: &str) -> Vec<Vec<Value>> {
        let path = format!("/query?db={database}&epoch=ns&q={}", http::escape(query));
        let answer = http::get(self.port, &path).unwrap();
        let body: Value =
            serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        let rows = &body["results"][0]["series"][0]["values"];
        rows.as_array()
            .map(|rows| rows.iter().map(|row| row.as_array().unwrap().clone()).collect())
            .unwrap_or_default()
    }

    /// How many points of a measurement have this field.
    pub fn count(&self, database: &str, measurement: &str, field: &str) -> u64 {
        let rows = self.query(database, &format!("SELECT COUNT(\"{field}\") FROM \"{measurement}\""));
        rows.first().and_then(|row| row[1].as_u64()).unwrap_or(0)
    }

    /// Runs the command line client `influx` against it. `None` if that is not installed.
    pub fn influx(&self, arguments: &[&str]) -> Option<Ended> {
        let mut command = Command::new(requirement::program("influx")?);
        command.args(["-host", "127.0.0.1", "-port", &self.port.to_string()]).args(arguments);
        command.env("HOME", self.directory.path());
        Some(run("influx", &mut command))
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    let rpc_port = port::free();
    format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{directory}/meta"
[data]
dir = "{directory}/data"
wal-dir = "{directory}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
"#
    )
}

//! Real servers for tests: each test has its own, on its own port, with its own directory, stopped by its handle.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// How long a server may take to start, on a machine that is busy.
const START_SECONDS_MAX: u32 = 60;

/// A program by its name, if it is installed. Without it the test has nothing to say: it fails where servers are
/// required, and says so elsewhere.
pub fn installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&paths).chain(["/usr/sbin".into()]).any(|path| path.join(program).exists());
    if !found {
        let required = std::env::var_os("GAUGELINE_REQUIRE_SERVERS").is_some_and(|value| value == "1");
        assert!(!required, "{program} is not installed, and GAUGELINE_REQUIRE_SERVERS is 1");
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until the port answers, or the child has ended.
pub fn wait_for_port(port: u16, child: &mut Child) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for _ in 0..START_SECONDS_MAX * 50 {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return;
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the server ended: {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the server does not listen on {port}");
}

/// A child that ends with its handle.
#[derive(Debug)]
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An InfluxDB 1.x.
#[derive(Debug)]
pub struct Influxd {
    pub directory: TempDir,
    pub port: u16,
    environment: Vec<(&'static str, String)>,
    server: Option<Server>,
}

impl Influxd {
    /// Starts one, unless it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts one with more environment variables of its configuration.
    pub fn start_with(environment: &[(&'static str, &str)]) -> Option<Self> {
        if !installed("influxd") {
            return None;
        }
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut influxd =
            Self { directory: tempfile::tempdir().unwrap(), port: free_port(), environment, server: None };
        influxd.restart();
        Some(influxd)
    }

    /// Starts it again, on the same port and data.
    pub fn restart(&mut self) {
        self.stop();
        let data = self.directory.path();
        let path = |name: &str| data.join(name).display().to_string();
        std::fs::write(data.join("influxdb.conf"), "").unwrap();
        let mut child = Command::new("influxd")
            .args(["run", "-config", &path("influxdb.conf")])
            .env("INFLUXDB_REPORTING_DISABLED", "true")
            .env("INFLUXDB_BIND_ADDRESS", format!("127.0.0.1:{}", free_port()))
            .env("INFLUXDB_META_DIR", path("meta"))
            .env("INFLUXDB_DATA_DIR", path("data"))
            .env("INFLUXDB_DATA_WAL_DIR", path("wal"))
            .env("INFLUXDB_MONITOR_STORE_ENABLED", "false")
            .env("INFLUXDB_HTTP_BIND_ADDRESS", format!("127.0.0.1:{}", self.port))
            .env("INFLUXDB_HTTP_LOG_ENABLED", "false")
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(data.join("log")).unwrap()))
            .spawn()
            .unwrap();
        wait_for_port(self.port, &mut child);
        self.server = Some(Server(child));
    }

    /// Stops it the hard way.
    pub fn stop(&mut self) {
        self.server = None;
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The answer to a query, as JSON.
    pub async fn query(&self, database: &str, query: &str) -> serde_json::Value {
        self.query_as(database, query, None).await
    }

    /// The answer to a query of a user.
    pub async fn query_as(
        &self,
        database: &str,
        query: &str,
        login: Option<(&str, &str)>,
    ) -> serde_json::Value {
        let mut url = reqwest::Url::parse(&self.url()).unwrap().join("query").unwrap();
        url.query_pairs_mut().append_pair("db", database).append_pair("q", query).append_pair("epoch", "ns");
        // Fails if it was done before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut request = reqwest::Client::new().post(url);
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password));
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The rows of the first series, without their times.
    pub async fn rows(&self, database: &str, query: &str) -> Vec<Vec<serde_json::Value>> {
        let answer = self.query(database, query).await;
        let values = answer["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default();
        values.into_iter().map(|row| row.as_array().unwrap()[1..].to_vec()).collect()
    }

    /// How many points a measurement has.
    pub async fn count(&self, database: &str, measurement: &str, field: &str) -> u64 {
        let query = format!("SELECT count(\"{field}\") FROM \"{measurement}\"");
        self.rows(database, &query).await.first().map_or(0, |row| row[0].as_u64().unwrap())
    }
}

/// The text of all files in a directory whose names end so.
pub fn read_all(directory: &Path, extension: &str) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == extension) {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    text
}

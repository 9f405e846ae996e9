//! The whole bridge between a real broker (mosquitto, TLS, passwords) and a real InfluxDB.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use gaugeline_bridge::{Bridge, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use support::{Influxd, Server, free_port, installed, wait_for_port};

/// A mosquitto with TLS, a password file, and persistent sessions in memory.
struct Mosquitto {
    directory: tempfile::TempDir,
    port: u16,
    server: Option<Server>,
}

impl Mosquitto {
    /// Starts one, unless it is not installed.
    fn start() -> Option<Self> {
        if !installed("mosquitto") || !installed("mosquitto_pub") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        write_certificates(directory.path());
        let passwords = directory.path().join("passwd");
        for (flags, user) in [(&["-c", "-b"][..], "bridge"), (&["-b"], "sensor")] {
            let mut command = Command::new("mosquitto_passwd");
            let done = command.args(flags).arg(&passwords).args([user, "s3cret"]).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
        fs::write(directory.path().join("secret"), "s3cret\n").unwrap();
        let mut mosquitto = Self { directory, port: free_port(), server: None };
        mosquitto.restart();
        Some(mosquitto)
    }

    /// Starts it again, on the same port; it forgets everything.
    fn restart(&mut self) {
        self.server = None;
        let Self { port, .. } = self;
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let config = format!(
            "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\npassword_file {}\nallow_anonymous false\nuser root\n\
             max_queued_messages 0\n",
            path("server.crt"),
            path("server.key"),
            path("passwd"),
        );
        fs::write(path("mosquitto.conf"), config).unwrap();
        let log = fs::File::create(path("log")).unwrap();
        let mut child = Command::new(program("mosquitto"))
            .args(["-c", &path("mosquitto.conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        wait_for_port(self.port, &mut child);
        self.server = Some(Server(child));
    }

    /// Publishes each line at QoS 1; when this returns, the broker has acknowledged all.
    fn publish(&self, topic: &str, lines: &str) {
        let mut child = Command::new("mosquitto_pub")
            .args([
                "-h",
                "localhost",
                "-p",
                &self.port.to_string(),
                "-u",
                "sensor",
                "-P",
                "s3cret",
                "--cafile",
            ])
            .arg(self.directory.path().join("ca.crt"))
            .args(["-q", "1", "-t", topic, "-l"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A configuration of the bridge for this broker: `url` and the rest of `[mqtt]`, then the sink.
    fn config(&self, host: &str, ca: &str, secret: &str, sink: &str) -> Config {
        let port = self.port;
        let text = format!(
            "[mqtt]\nurl = \"mqtts://{host}:{port}\"\nca = \"{ca}\"\nuser = \"bridge\"\n\
             password_file = \"{secret}\"\n[[rule]]\ntopic = \"sensors/{{device}}/{{field}}\"\n{sink}"
        );
        Config::parse(&self.directory.path().join("bridge.toml"), &text).unwrap()
    }

    fn config_for(&self, influxd: &Influxd) -> Config {
        let sink =
            format!("[sink]\nkind = \"influx1\"\nurl = \"{}\"\ndatabase = \"telemetry\"\n", influxd.url());
        self.config("localhost", "ca.crt", "secret", &sink)
    }
}

fn program(name: &str) -> PathBuf {
    let sbin = Path::new("/usr/sbin").join(name);
    if sbin.exists() { sbin } else { name.into() }
}

/// `ca.crt` and what it signed, and `other.crt`, which signed nothing.
fn write_certificates(directory: &Path) {
    let authority = || {
        let mut params = named("authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let ca = authority();
    let key = KeyPair::generate().unwrap();
    let server = named("broker", vec!["localhost".to_owned()]).signed_by(&key, &ca).unwrap();
    for (name, text) in [
        ("ca.crt", ca.pem()),
        ("other.crt", authority().pem()),
        ("server.crt", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
}

/// OpenSSL tells an issuer from a subject by their names.
fn named(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Asks again and again, for a minute.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..3000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within a minute: {what}");
}

async fn ready(bridge: &Bridge) {
    eventually("ready", || async { bridge.readiness().is_ready() }).await;
}

async fn problem(bridge: &Bridge, expected: &str) {
    let found = || async { bridge.readiness().problems.iter().any(|problem| problem.contains(expected)) };
    eventually(&format!("{expected}, and not {:?}", bridge.readiness()), found).await;
}

async fn stored(influxd: &Influxd, field: &str, count: u64) {
    let all_there = || async { influxd.count("telemetry", "sensors", field).await == count };
    eventually(&format!("{count} points with {field}"), all_there).await;
}

const STOP: Duration = Duration::from_secs(10);

fn numbers(count: u64) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_influxdb() {
    let (Some(mosquitto), Some(influxd)) = (Mosquitto::start(), Influxd::start()) else { return };
    let bridge = Bridge::start(mosquitto.config_for(&influxd)).await.unwrap();
    ready(&bridge).await;
    mosquitto.publish("sensors/d1/temperature", &numbers(1000));
    stored(&influxd, "temperature", 1000).await;
    assert!(bridge.shutdown(STOP).await);
    // The session kept its place: what comes while the bridge is away is written afterwards, once.
    mosquitto.publish("sensors/d1/humidity", &numbers(500));
    let bridge = Bridge::start(mosquitto.config_for(&influxd)).await.unwrap();
    stored(&influxd, "humidity", 500).await;
    assert_eq!(influxd.count("telemetry", "sensors", "temperature").await, 1000);
    assert!(bridge.shutdown(STOP).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_influxdb_is_away() {
    let (Some(mosquitto), Some(mut influxd)) = (Mosquitto::start(), Influxd::start()) else { return };
    let bridge = Bridge::start(mosquitto.config_for(&influxd)).await.unwrap();
    ready(&bridge).await;
    influxd.stop();
    mosquitto.publish("sensors/d1/temperature", &numbers(3000));
    problem(&bridge, "the sink cannot be reached").await;
    // Nothing was acknowledged, so nothing is safe, and a second bridge gets it all.
    assert!(!bridge.shutdown(Duration::ZERO).await);
    influxd.restart();
    let bridge = Bridge::start(mosquitto.config_for(&influxd)).await.unwrap();
    stored(&influxd, "temperature", 3000).await;
    assert!(bridge.shutdown(STOP).await);
}

/// A broker that comes back without its sessions is subscribed to again.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_restarts() {
    let (Some(mut mosquitto), Some(influxd)) = (Mosquitto::start(), Influxd::start()) else { return };
    let bridge = Bridge::start(mosquitto.config_for(&influxd)).await.unwrap();
    ready(&bridge).await;
    mosquitto.server = None;
    problem(&bridge, "the connection to the broker").await;
    mosquitto.restart();
    ready(&bridge).await;
    mosquitto.publish("sensors/d1/temperature", &numbers(100));
    stored(&influxd, "temperature", 100).await;
    assert!(bridge.shutdown(STOP).await);
}

/// What is wrong is said in words that tell what to change.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_fail() {
    let Some(mosquitto) = Mosquitto::start() else { return };
    fs::write(mosquitto.directory.path().join("wrong"), "wrong\n").unwrap();
    for (host, ca, secret, expected) in [
        ("localhost", "ca.crt", "wrong", "check the user \"bridge\" and the password in"),
        ("localhost", "other.crt", "secret", "the broker's certificate is not signed by `ca`"),
        ("127.0.0.1", "ca.crt", "secret", "the broker's certificate is not for the name \"127.0.0.1\""),
    ] {
        let config = mosquitto.config(host, ca, secret, "");
        let bridge = Bridge::start(config).await.unwrap();
        problem(&bridge, expected).await;
        assert!(bridge.shutdown(STOP).await, "nothing was received");
    }
}

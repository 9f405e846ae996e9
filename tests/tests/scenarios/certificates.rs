//! Certificates of clients and of the broker, from `gaugeline pki` to the wire: who gets in with what, and what a running
//! broker makes of certificates that are revoked or renewed.

use std::{path::PathBuf, process::Command};

use gaugeline_tests::{
    gaugeline::{self, gaugeline},
    home::Home,
    port,
    process::{Ended, Process, run},
    python, requirement, wait,
};

/// A data directory whose listener on `tls_port` wants certificate and password, and with a second one that wants a
/// certificate alone. `greenhouse` may write, `watcher` may read.
struct Estate {
    home: Home,
    certificate_port: u16,
}

impl Estate {
    fn new(identity: &str) -> Self {
        let home = Home::new();
        home.replace("broker.toml", "require_certificate = false", "require_certificate = true");
        let certificate_port = port::free();
        home.append(
            "broker.toml",
            &format!(
                "\n[[listener]]\nbind = \"127.0.0.1:{certificate_port}\"\ncertificate = \"pki/server.crt\"\n\
                 key = \"pki/server.key\"\nca = \"pki/ca.crt\"\ncrl = \"pki/crl.pem\"\nrequire_certificate = true\n\
                 identity = \"{identity}\"\n"
            ),
        );
        home.append(
            "acl",
            "\nuser greenhouse\ntopic write sensors/#\nuser CN=greenhouse,O=gaugeline\ntopic write sensors/#\n\
             user watcher\ntopic read #\n",
        );
        let estate = Self { home, certificate_port };
        for name in ["greenhouse", "watcher"] {
            estate.pki(&["issue", name]).successful();
        }
        estate
    }

    fn pki(&self, arguments: &[&str]) -> Ended {
        let directory = self.home.argument("");
        gaugeline(&[&["pki", "-d", &directory], arguments].concat())
    }

    /// One of mosquitto's clients, or OpenSSL's, with a certificate or without. `None` if it is not installed.
    fn mosquitto(&self, program: &str, port: u16, certificate: Option<&str>) -> Option<Command> {
        let mut command = Command::new(requirement::program(program)?);
        command.args(["-h", "localhost", "-p", &port.to_string(), "--cafile"]);
        command.arg(self.home.path("pki/ca.crt"));
        if let Some(name) = certificate {
            command.arg("--cert").arg(self.file(name, "crt")).arg("--key").arg(self.file(name, "key"));
        }
        Some(command)
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.home.path(&format!("pki/clients/{name}.{extension}"))
    }

    /// A handshake of OpenSSL with the listener that wants a certificate alone, with one version of TLS.
    fn s_client(&self, version: &str, certificate: &str) -> Option<Ended> {
        let mut command = Command::new(requirement::program("openssl")?);
        command.args(["s_client", "-connect", &format!("localhost:{}", self.certificate_port), version]);
        command.args(["-verify_return_error", "-CAfile"]).arg(self.home.path("pki/ca.crt"));
        command.arg("-cert").arg(self.file(certificate, "crt"));
        command.arg("-key").arg(self.file(certificate, "key"));
        Some(run("openssl", &mut command))
    }

    /// `watcher`, connected and subscribed to everything.
    fn watch(&self, client_id: &str) -> Process {
        let mut command = gaugeline::command();
        command.args(["sub", "-h", "localhost", "-p", &self.certificate_port.to_string(), "--cafile"]);
        command.arg(self.home.path("pki/ca.crt")).arg("--cert").arg(self.file("watcher", "crt"));
        command.arg("--key").arg(self.file("watcher", "key")).args(["-i", client_id, "-t", "#", "-q", "1"]);
        let process = Process::start(client_id, &mut command);
        wait::until("the subscription", || {
            (self.home.metric("gaugeline_subscriptions", "") > 0.0).then_some(())
        });
        process
    }

    /// Publishes through the port that wants a password alone, and waits until the subscriber has it.
    fn reaches(&self, subscriber: &Process, payload: &str) {
        let mut command = Command::new(requirement::program("mosquitto_pub").unwrap());
        command.args(["-h", "127.0.0.1", "-p", &self.home.plain_port.to_string(), "-u", "sensor"]);
        command.args(["-P", &self.home.secret("sensor"), "-t", "sensors/a", "-q", "1", "-m", payload]);
        run("mosquitto_pub", &mut command).successful();
        wait::until("the message", || subscriber.stdout().lines().any(|line| line == payload).then_some(()));
    }
}

/// Certificate and password on one listener, a certificate alone on another, a password on a third, at the same time.
#[test]
fn every_listener_asks_for_its_own() {
    let estate = Estate::new("common-name");
    let broker = estate.home.broker();
    let (home, both, alone) = (&estate.home, estate.home.tls_port, estate.certificate_port);
    let right = home.secret("sensor");
    let login = |password: &'static str| ["-u", "sensor", "-P", password];
    let right_login = ["-u", "sensor", "-P", right.as_str()];
    for (port, certificate, login, accepted) in [
        (both, Some("greenhouse"), &right_login[..], true),
        (both, Some("greenhouse"), &login("wrong"), false),
        (both, Some("greenhouse"), &[], false),
        (both, None, &right_login, false),
        (alone, Some("greenhouse"), &[], true),
        // What CONNECT says does not matter: the certificate is who the client is.
        (alone, Some("greenhouse"), &login("wrong"), true),
        (alone, None, &right_login, false),
    ] {
        let Some(mut command) = estate.mosquitto("mosquitto_pub", port, certificate) else { return };
        let ended = run("mosquitto_pub", command.args(login).args(["-t", "sensors/a", "-q", "1", "-m", "1"]));
        assert_eq!(ended.code == Some(0), accepted, "{port} {certificate:?} {login:?}: {ended:?}");
    }
    let plain = Command::new(requirement::program("mosquitto_pub").unwrap())
        .args(["-h", "127.0.0.1", "-p", &home.plain_port.to_string()])
        .args(right_login)
        .args(["-t", "sensors/a", "-q", "1", "-m", "1"])
        .status()
        .unwrap();
    assert!(plain.success());
    broker.wait_for_log(&["connected with", "user=\"greenhouse\""]);
    broker.wait_for_log(&["WARN", "wrong password"]);
    broker.wait_for_log(&["WARN", "TLS handshake", "shows no certificate"]);
    for version in ["3.1.1", "5.0"] {
        let message = ["sensors/a", "1"];
        let ended = python::publish_with_certificate(version, home, alone, "greenhouse", message);
        let Some(ended) = ended else { return };
        ended.successful();
    }
}

/// Rights are those of the name in the certificate, be it the common name or the whole subject.
#[test]
fn the_subject_is_the_user() {
    for (identity, user) in [("common-name", "greenhouse"), ("subject", "CN=greenhouse,O=gaugeline")] {
        let estate = Estate::new(identity);
        let broker = estate.home.broker();
        let port = estate.certificate_port;
        for (topic, allowed) in [("sensors/a", true), ("actuators/a", false)] {
            let Some(mut command) = estate.mosquitto("mosquitto_pub", port, Some("greenhouse")) else {
                return;
            };
            let ended = run("mosquitto_pub", command.args(["-V", "5", "-t", topic, "-q", "1", "-m", "1"]));
            assert!(ended.code == Some(0) || !allowed, "{ended:?}");
        }
        broker.wait_for_log(&["WARN", &format!("user=\"{user}\""), "may not write actuators/a"]);
        assert_eq!(broker.log_lines(&["WARN", "may not write"]).len(), 1);
    }
}

#[test]
fn client_identifiers_are_bound_to_the_user() {
    let estate = Estate::new("common-name\"\nclient_id_must_be = \"%u:*");
    let broker = estate.home.broker();
    for (client_id, accepted) in
        [("greenhouse", true), ("greenhouse:1", true), ("watcher", false), ("greenhouses", false)]
    {
        let port = estate.certificate_port;
        let Some(mut command) = estate.mosquitto("mosquitto_pub", port, Some("greenhouse")) else { return };
        command.args(["-V", "5", "-i", client_id, "-t", "sensors/a", "-q", "1", "-m", "1"]);
        let ended = run("mosquitto_pub", &mut command);
        assert_eq!(ended.code == Some(0), accepted, "{client_id}: {ended:?}");
        if !accepted {
            broker.wait_for_log(&["WARN", &format!("client=\"{client_id}\""), "does not belong to the user"]);
        }
    }
}

#[test]
fn a_revoked_client_is_disconnected_and_refused() {
    let estate = Estate::new("common-name");
    estate.pki(&["issue", "thief"]).successful();
    estate.home.append("acl", "user thief\ntopic read #\n");
    let broker = estate.home.broker();
    let keeper = estate.watch("keeper");
    if requirement::program("openssl").is_none() || requirement::program("mosquitto_sub").is_none() {
        return;
    }
    let mut thief = estate.mosquitto("mosquitto_sub", estate.certificate_port, Some("thief")).unwrap();
    let _thief = Process::start("thief", thief.args(["-i", "thief", "-t", "#"]));
    broker.wait_for_log(&["connected with", "client=\"thief\""]);
    estate.s_client("-tls1_2", "thief").unwrap().successful();

    estate.pki(&["revoke", "thief"]).successful();
    broker.wait_for_log(&["disconnected: 0x87", "client=\"thief\""]);
    broker.wait_for_log(&["WARN", "client=\"thief\"", "its certificate is revoked"]);
    // mosquitto_sub tries again, and fails as everybody does who resumes a session or begins one.
    broker.wait_for_log(&["WARN", "TLS handshake", "is on the revocation list"]);
    let ended = estate.s_client("-tls1_2", "thief").unwrap();
    assert!(ended.code != Some(0) && ended.stderr.contains("certificate revoked"), "{ended:?}");
    estate.s_client("-tls1_2", "greenhouse").unwrap().successful();
    estate.reaches(&keeper, "still here");
    assert_eq!(broker.log_lines(&["disconnected", "client=\"keeper\""]), Vec::<String>::new());
}

#[test]
fn a_renewed_certificate_is_shown_and_nobody_is_disconnected() {
    let estate = Estate::new("common-name");
    let broker = estate.home.broker();
    let keeper = estate.watch("keeper");
    if requirement::program("openssl").is_none() || requirement::program("mosquitto_sub").is_none() {
        return;
    }
    let shown = |pem: &str| estate.s_client("-tls1_3", "greenhouse").unwrap().stdout.contains(pem.trim());
    let before = estate.home.read("pki/server.crt").replace("\r\n", "\n");
    assert!(shown(&before));
    for _ in 0..3 {
        estate.pki(&["renew", "server"]).successful();
        let renewed = estate.home.read("pki/server.crt").replace("\r\n", "\n");
        assert_ne!(renewed, before);
        wait::until("the new certificate", || shown(&renewed).then_some(()));
    }
    estate.reaches(&keeper, "still here");
    assert_eq!(broker.log_lines(&["disconnected", "client=\"keeper\""]), Vec::<String>::new());
    assert!(estate.home.metric("gaugeline_certificate_expiry_seconds", "server.crt") > 800.0 * 86_400.0);
}

#[test]
fn a_key_that_does_not_match_changes_nothing() {
    let estate = Estate::new("common-name");
    let broker = estate.home.broker();
    let keeper = estate.watch("keeper");
    if requirement::program("openssl").is_none() || requirement::program("mosquitto_sub").is_none() {
        return;
    }
    let key = estate.home.read("pki/server.key");
    estate.home.write("pki/server.key", &estate.home.read("pki/ca.key"));
    broker.wait_for_log(&["ERROR", "server.key", "does not match the certificate"]);
    estate.s_client("-tls1_3", "greenhouse").unwrap().successful();
    estate.reaches(&keeper, "still here");
    estate.home.write("pki/server.key", "nonsense");
    broker.wait_for_log(&["ERROR", "server.key", "no private key"]);
    estate.s_client("-tls1_2", "greenhouse").unwrap().successful();
    estate.home.write("pki/server.key", &key);
    estate.pki(&["renew", "server"]).successful();
    let renewed = estate.home.read("pki/server.crt").replace("\r\n", "\n");
    wait::until("the new certificate", || {
        let ended = estate.s_client("-tls1_3", "greenhouse").unwrap();
        ended.stdout.contains(renewed.trim()).then_some(())
    });
    assert_eq!(broker.log_lines(&["disconnected", "client=\"keeper\""]), Vec::<String>::new());
}

#[test]
fn a_key_that_everybody_can_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let key = home.path("pki/server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = gaugeline(&["broker", "-c", &home.argument("broker.toml")]).with_code(3);
    for part in ["pki/server.key: found a private key that everybody can read", "chmod 600", "0644"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    home.replace("broker.toml", "allow_readable_key = false", "allow_readable_key = true");
    let broker = home.broker();
    broker.wait_for_log(&["WARN", "a private key that everybody can read"]);
}

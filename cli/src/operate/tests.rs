use std::{fs, path::Path};

use gaugeline_broker::{
    Broker, Surroundings,
    config::{self, Config, Overrides},
};

use super::*;
use crate::init;

/// A broker on a directory that `init` has made, on free ports.
struct Running {
    directory: tempfile::TempDir,
    broker: Option<Broker>,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        init::complete(directory.path(), &[]).unwrap();
        let path = directory.path().join(init::BROKER_CONFIG);
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("0.0.0.0:8883", "127.0.0.1:0").replace("127.0.0.1:1883", "127.0.0.1:0");
        fs::write(&path, text.replace("127.0.0.1:9883", "127.0.0.1:0")).unwrap();
        let runtime = crate::runtime().unwrap();
        let config = Config::load(&path).unwrap();
        let reread = Some(Box::new(move || config::load(&path, &Overrides::default())) as _);
        let surroundings = Surroundings { reread, ..Surroundings::default() };
        let broker = runtime.block_on(Broker::start_in(&config, surroundings)).unwrap();
        Self { directory, broker: Some(broker), runtime }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn arguments(&self) -> target::Arguments {
        target::Arguments {
            config: Some(self.path().join(init::BROKER_CONFIG)),
            admin: self.broker.as_ref().and_then(Broker::admin_address),
            token_file: None,
        }
    }

    fn status(&self) -> (status::Status, String) {
        let answer =
            Target::find(&self.arguments()).unwrap().call("GET", "/status", ANSWER_TIME_MAX).unwrap();
        (answer.json().unwrap(), answer.body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            self.runtime.block_on(broker.shutdown(Duration::from_secs(60)));
        }
    }
}

#[test]
fn status_tells_what_runs() {
    let running = Running::start();
    let (status, body) = running.status();
    let text = status::lines(&status, 0).join("\n");
    for expected in
        ["ready, up for", "(TLS)", "(no TLS)", "passwd (3)", "last reload    none", "certificate", "durable"]
    {
        assert!(text.contains(expected), "{expected}\n{text}\n{body}");
    }
    let secret = fs::read_to_string(running.path().join("secrets/admin")).unwrap();
    assert!(!body.contains(secret.trim()));
    status::run(&StatusArguments { json: true, target: running.arguments() }).unwrap();
    clients(&ClientsArguments { limit: 10, json: false, away: false, target: running.arguments() }).unwrap();
}

#[test]
fn a_refused_reload_is_a_failure_and_status_tells_it_until_it_is_mended() {
    let running = Running::start();
    let acl = running.path().join("acl");
    let good = fs::read_to_string(&acl).unwrap();
    fs::write(&acl, "nonsense\n").unwrap();
    let failure = reload(&ReloadArguments { target: running.arguments() }).unwrap_err();
    assert!(failure.to_string().contains("acl:1: "), "{failure}");
    assert_eq!(failure.exit_status(), 3);
    let text = status::lines(&running.status().0, 0).join("\n");
    assert!(text.contains("REFUSED") && text.contains("note: configuration: "), "{text}");
    fs::write(&acl, good).unwrap();
    reload(&ReloadArguments { target: running.arguments() }).unwrap();
    let text = status::lines(&running.status().0, 0).join("\n");
    assert!(!text.contains("REFUSED") && !text.contains("note:"), "{text}");
}

#[test]
fn nobody_is_let_in_without_the_token_or_under_another_name() {
    let running = Running::start();
    let address = running.arguments().admin.unwrap();
    let token = fs::read_to_string(running.path().join("secrets/admin")).unwrap();
    let right = format!("Authorization: Bearer {}\r\n", token.trim());
    let status = |method: &str, path: &str, header: &str| {
        Answer::parse(&ask(address, method, path, header, ANSWER_TIME_MAX).unwrap()).unwrap().status
    };
    for (method, path, found) in [
        ("GET", "/status", 200),
        ("GET", "/clients?limit=1&after=x", 200),
        ("GET", "/clients?limit=x", 400),
        ("POST", "/reload", 200),
        ("POST", "/clients/a%2Fb/disconnect", 404),
        ("DELETE", "/clients/a", 404),
        ("GET", "/sessions/a", 404),
        ("GET", "/sessions?limit=1&after=x", 200),
        ("GET", "/sessions?limit=x", 400),
        ("DELETE", "/sessions/a", 404),
    ] {
        assert_eq!(status(method, path, &right), found, "{method} {path}");
        assert_eq!(status(method, path, ""), 401, "{method} {path}");
        assert_eq!(status(method, path, "Authorization: Bearer x\r\n"), 401, "{method} {path}");
    }
    assert_eq!(status("GET", "/reload", &right), 405);
    assert_eq!(status("GET", "/metrics", ""), 200);
    // Whatever the name is that leads here.
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    use std::io::{Read as _, Write as _};
    write!(stream, "POST /reload HTTP/1.1\r\nHost: evil.example\r\n{right}Connection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn a_client_that_is_not_there_cannot_be_kicked() {
    let running = Running::start();
    let arguments = KickArguments { client: "a b/c".into(), target: running.arguments() };
    let failure = kick(&arguments).unwrap_err();
    assert_eq!(failure.to_string(), "no client `a b/c` is connected");
}

#[test]
fn a_broken_configuration_still_leads_to_the_broker() {
    let running = Running::start();
    fs::write(running.path().join(init::BROKER_CONFIG), "admin = \n").unwrap();
    let text = status::lines(&running.status().0, 0).join("\n");
    assert!(text.starts_with("gaugeline "), "{text}");
}

#[test]
fn durations_are_short() {
    for (seconds, expected) in
        [(0, "0 seconds"), (1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (200_000, "2 days")]
    {
        assert_eq!(status::duration(seconds), expected);
    }
    assert_eq!(status::printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
}

//! MQTT clients of the Python world, each behind a script in `tests/python`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{
    home::Home,
    process::{Ended, Process, run},
    requirement,
};

/// The interpreter that has the clients, if `tests/run` or somebody else has installed them.
pub const PYTHON: &str = "GAUGELINE_PYTHON";

/// Publishes at QoS 1 over TLS as `sensor` with one of the scripts: `paho`, `aiomqtt` or `gmqtt`. `version` is 3.1.1 or
/// 5.0. `None` if the client is not installed, see [`requirement`].
pub fn publish(script: &str, version: &str, home: &Home, topic: &str, payload: &str) -> Option<Ended> {
    publish_to(home.tls_port, "tcp", script, version, home, [topic, payload])
}

/// As [`publish`], with Paho and over a WebSocket on this port.
pub fn publish_over_websocket(
    version: &str,
    home: &Home,
    port: u16,
    topic: &str,
    payload: &str,
) -> Option<Ended> {
    publish_to(port, "websockets", "paho", version, home, [topic, payload])
}

fn publish_to(
    port: u16,
    transport: &str,
    script: &str,
    version: &str,
    home: &Home,
    message: [&str; 2],
) -> Option<Ended> {
    let python = interpreter(script)?;
    let mut command = Command::new(python);
    command.arg(requirement::repository().join(format!("tests/python/publish_{script}.py")));
    command.args(["--version", version, "--transport", transport, "--port", &port.to_string(), "--ca"]);
    command.arg(home.path("pki/ca.crt")).args(["--user", "sensor", "--password-file"]);
    command.arg(home.path("secrets/sensor")).args(message);
    Some(run(script, &mut command))
}

/// Publishes at QoS 1 over TLS with Paho, with a client's certificate from `pki/clients` and without user and password.
/// `None` if Paho is not installed, see [`requirement`].
pub fn publish_with_certificate(
    version: &str,
    home: &Home,
    port: u16,
    name: &str,
    message: [&str; 2],
) -> Option<Ended> {
    let mut command = Command::new(interpreter("paho")?);
    command.arg(requirement::repository().join("tests/python/publish_paho.py"));
    command.args(["--version", version, "--port", &port.to_string(), "--ca"]).arg(home.path("pki/ca.crt"));
    command.arg("--cert").arg(home.path(&format!("pki/clients/{name}.crt")));
    command.arg("--key").arg(home.path(&format!("pki/clients/{name}.key"))).args(message);
    Some(run("paho", &mut command))
}

/// Starts Paho as `viewer` with a session that outlives its connections; it prints topics and payloads. `None` if it is
/// not installed, see [`requirement`].
pub fn subscriber(
    version: &str,
    client_id: &str,
    qos: u8,
    home: &Home,
    topics: &[String],
) -> Option<Process> {
    let mut command = Command::new(interpreter("paho")?);
    command.arg(requirement::repository().join("tests/python/subscribe_paho.py"));
    command.args(["--version", version, "--client-id", client_id, "--qos", &qos.to_string()]);
    command.args(["--port", &home.tls_port.to_string(), "--ca"]).arg(home.path("pki/ca.crt"));
    command.args(["--user", "viewer", "--password-file"]).arg(home.path("secrets/viewer")).args(topics);
    Some(Process::start(client_id, &mut command))
}

/// A command that runs one of the scripts, with nothing on its command line yet. `None` if the client that it needs is not
/// installed, see [`requirement`].
pub fn script(script: &str, client: &str) -> Option<Command> {
    let mut command = Command::new(interpreter(client)?);
    command.arg(requirement::repository().join("tests/python").join(script));
    Some(command)
}

/// An interpreter that can import the client.
fn interpreter(client: &str) -> Option<PathBuf> {
    let module = if client == "paho" { "paho.mqtt" } else { client };
    let python = python();
    let import = format!("import {module}");
    let found = run("python", Command::new(python).args(["-c", &import])).code == Some(0);
    if !found {
        requirement::missing(&format!("the Python package {client} (for {})", python.display()));
        return None;
    }
    Some(python.to_owned())
}

fn python() -> &'static Path {
    static PYTHON_PATH: OnceLock<PathBuf> = OnceLock::new();
    PYTHON_PATH.get_or_init(|| {
        if let Some(path) = env::var_os(PYTHON) {
            return path.into();
        }
        // target/debug/deps/scenarios-0123456789abcdef; tests/run installs into target/python
        let own = env::current_exe().unwrap();
        let installed = own.ancestors().nth(3).unwrap().join("python/bin/python3");
        if installed.is_file() { installed } else { "python3".into() }
    })
}

//! `gaugeline bench` against our broker and against mosquitto: nothing is lost, and the numbers add up.

use std::process::Command;

use gaugeline_tests::{gaugeline, home::Home, mosquitto::Mosquitto, process::run, reference::references};
use serde_json::Value;

const MESSAGES: u64 = 3_000;

/// Runs a load that ends by count, and returns its report.
fn bench(command: &mut Command, shape: &str, qos: &str, subscribers: &str) -> Value {
    command.args(["--shape", shape, "--qos", qos, "--publishers", "3", "--subscribers", subscribers]);
    command.args(["--count", &MESSAGES.to_string(), "--json", "--quiet"]);
    let ended = run("gaugeline bench", command).successful();
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stdout))
}

/// `gaugeline bench` as `sensor`, which publishes, and `viewer`, which subscribes.
fn command(home: &Home) -> Command {
    let mut command = gaugeline::command();
    command.args(["bench", "--host", "localhost", "--topic-prefix", "sensors/bench"]);
    command.args(["--user", "sensor", "--password-file"]).arg(home.path("secrets/sensor"));
    command.args(["--subscriber-user", "viewer", "--subscriber-password-file"]);
    command.arg(home.path("secrets/viewer"));
    command
}

#[test]
fn every_shape_over_tls_loses_nothing() {
    let home = Home::new();
    let broker = home.broker();
    for (shape, subscribers, copies) in [("fan-in", "1", 1), ("fan-out", "4", 4), ("pairs", "3", 1)] {
        for qos in ["0", "1", "2"] {
            let mut command = command(&home);
            command.args(["--tls", "--port", &home.tls_port.to_string(), "--cafile"]);
            command.arg(home.path("pki/ca.crt")).args(["--pid", &broker.pid().to_string()]);
            let report = bench(&mut command, shape, qos, subscribers);
            assert_eq!(report["published"], MESSAGES, "{report}");
            assert_eq!(report["delivered"], MESSAGES * copies, "{report}");
            assert_eq!((&report["lost"], &report["repeated"]), (&0.into(), &0.into()), "{report}");
            assert!(
                report["broker"]["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 0),
                "{report}"
            );
        }
    }
}

#[test]
fn mosquitto_is_measured_alike() {
    let home = Home::new();
    let Some(reference) = references().first() else { return };
    let mosquitto = Mosquitto::start(reference, &home.path("passwd"), Some(&home.path("acl")));
    let report = bench(command(&home).args(["--port", &mosquitto.port.to_string()]), "pairs", "1", "3");
    assert_eq!((&report["delivered"], &report["lost"]), (&MESSAGES.into(), &0.into()), "{report}");
}

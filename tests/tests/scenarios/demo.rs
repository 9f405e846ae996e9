//! `gaugeline up --demo`, alone on a machine.

use std::collections::BTreeSet;

use gaugeline_tests::{home::Home, http, influxd::Influxd, line_protocol, mqtt, process::Process, wait};
use rumqttc::{Event, Packet, QoS};

/// As many sensors as the demo simulates.
const SENSORS: usize = 20;

#[test]
fn up_demo_alone_writes_growing_valid_line_protocol_and_is_ready() {
    let home = Home::empty();
    let up = home.up(&["--demo"]);
    let health = http::get(home.admin_port, "/healthz").unwrap();
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));

    let telemetry = home.path("telemetry");
    let points = || line_protocol::points(&telemetry);
    let first = wait::until("every sensor's first point", || {
        Some(points()).filter(|points| devices(points).len() == SENSORS)
    });
    let later = wait::until("the file to grow", || {
        Some(points()).filter(|later| later.len() > first.len() + SENSORS)
    });
    assert!(later.starts_with(&first), "what is written stays as it is");
    for point in &later {
        assert!(point.starts_with("sensors,"), "{point}");
    }
    let ended = up.terminate().successful();
    assert!(ended.stdout.contains("mosquitto_pub"), "{}", ended.stdout);
    import(&home);
}

/// The values of the tag `device`.
fn devices(points: &[String]) -> BTreeSet<&str> {
    points
        .iter()
        .filter_map(|point| point.split([',', ' ']).find_map(|part| part.strip_prefix("device=")))
        .collect()
}

/// The files can be imported as they are, as their first line says, and nothing is missing then.
fn import(home: &Home) {
    let Some(influxd) = Influxd::start() else { return };
    influxd.create_database("telemetry");
    for file in line_protocol::files(&home.path("telemetry")) {
        let path = format!("-path={}", file.display());
        let Some(ended) = influxd.influx(&["-import", &path, "-precision=ns"]) else { return };
        ended.successful();
    }
    let points = line_protocol::points(&home.path("telemetry"));
    assert_eq!(influxd.query("telemetry", "SELECT * FROM sensors").len(), points.len());
}

/// What the bridge had not taken yet when the program ended is in the broker's log, and written after the next start.
#[test]
fn sigterm_drains_and_nothing_acknowledged_is_lost() {
    let home = Home::empty();
    let up = home.up(&[]);
    let (acknowledged, up) = publish_until_terminated(&home, up);
    up.wait().successful();
    let _again = home.up(&[]);
    let points = wait::until("every number that was acknowledged", || {
        let points = line_protocol::points(&home.path("telemetry"));
        let numbers = points.iter().map(|point| number(point)).collect::<BTreeSet<_>>();
        (0..acknowledged).all(|number| numbers.contains(&number)).then_some(points)
    });
    let numbers = points.iter().map(|point| number(point)).collect::<BTreeSet<_>>();
    assert_eq!(
        numbers.len(),
        points.len(),
        "what was written before the end is acknowledged, and not written again"
    );
}

/// The value of a point.
fn number(point: &str) -> usize {
    let value = point.split("value=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    value.parse().unwrap_or_else(|_| panic!("{point}"))
}

/// Publishes numbers, asks the program to end in the middle of it, and returns how many were acknowledged.
fn publish_until_terminated(home: &Home, up: Process) -> (usize, Process) {
    const MESSAGES: usize = 20_000;
    const TERMINATE_AFTER: usize = 5_000;
    let (client, mut connection) = mqtt::client_v3(home, "sensor", "publisher");
    let publisher = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            // The end of the connection ends this too.
            if client.publish("sensors/meter/value", QoS::AtLeastOnce, false, number.to_string()).is_err() {
                return;
            }
        }
    });
    let mut acknowledged = 0;
    while let Ok(Ok(event)) = connection.recv_timeout(wait::PATIENCE) {
        if let Event::Incoming(Packet::PubAck(_)) = event {
            acknowledged += 1;
            if acknowledged == TERMINATE_AFTER {
                up.signal("TERM");
            }
        }
    }
    drop(connection);
    publisher.join().unwrap();
    assert!(acknowledged >= TERMINATE_AFTER, "the connection ended after {acknowledged} messages");
    (acknowledged, up)
}

//! One value from a client of each kind to a real InfluxDB.

use std::process::Command;

use gaugeline_tests::{
    home::Home,
    influxd::Influxd,
    mqtt,
    process::{Process, run},
    python, requirement, wait,
};
use rumqttc::v5;

const DATABASE: &str = "telemetry";

/// Both, connected. `None` if there is no InfluxDB.
fn start(home: &Home) -> Option<(Influxd, Process)> {
    let influxd = Influxd::start()?;
    influxd.create_database(DATABASE);
    let up = home.up(&["--influx", &influxd.url(), "--db", DATABASE]);
    Some((influxd, up))
}

/// Waits until InfluxDB has this value of this device.
fn wait_for_value(influxd: &Influxd, device: &str, field: &str, value: f64) {
    let query = format!("SELECT \"{field}\" FROM sensors WHERE device = '{device}'");
    wait::until_equal(&format!("{field} of {device}"), &Some(value), || {
        influxd.query(DATABASE, &query).first().and_then(|row| row[1].as_f64())
    });
}

#[test]
fn the_printed_mosquitto_pub_line_reaches_influxdb() {
    let home = Home::empty();
    let Some((influxd, up)) = start(&home) else { return };
    if requirement::program("mosquitto_pub").is_none() {
        return;
    }
    let printed = wait::until("the line to paste", || {
        up.stdout().lines().map(str::trim).find(|line| line.starts_with("mosquitto_pub ")).map(str::to_owned)
    });
    for part in ["--cafile", "-u sensor", "-q 1"] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    run("the printed line", Command::new("sh").args(["-c", &printed])).successful();

    // As the user would look, with the command line client.
    let query = ["-database", DATABASE, "-execute", "select * from sensors"];
    let rows = wait::until("a row", || {
        let ended = influxd.influx(&query)?.successful();
        ended.stdout.lines().any(|line| line.contains("kitchen")).then_some(ended.stdout)
    });
    assert!(rows.contains("temperature") && rows.contains("21.5"), "{rows}");
}

#[test]
fn the_printed_gaugeline_pub_line_reaches_influxdb() {
    let home = Home::empty();
    let Some((influxd, up)) = start(&home) else { return };
    let printed = wait::until("the line to paste", || {
        up.stdout().lines().map(str::trim).find(|line| line.contains("gaugeline pub ")).map(str::to_owned)
    });
    run("the printed line", Command::new("sh").args(["-c", &printed])).successful();
    wait_for_value(&influxd, "kitchen", "temperature", 21.5);
}

#[test]
fn python_clients_of_both_versions_reach_influxdb() {
    let home = Home::empty();
    let Some((influxd, _up)) = start(&home) else { return };
    let all =
        ["paho", "aiomqtt", "gmqtt"].into_iter().flat_map(|script| [(script, "3.1.1"), (script, "5.0")]);
    for (number, (script, version)) in all.enumerate() {
        let device = format!("{script}-{version}");
        let topic = format!("sensors/{device}/temperature");
        let Some(ended) = python::publish(script, version, &home, &topic, &format!("{number}.25")) else {
            return;
        };
        ended.successful();
        wait_for_value(&influxd, &device, "temperature", number as f64 + 0.25);
    }
}

#[test]
fn rumqttc_of_both_versions_reaches_influxdb() {
    let home = Home::empty();
    let Some((influxd, _up)) = start(&home) else { return };
    mqtt::publish_all(
        &home,
        "sensor",
        "rumqttc-3",
        [("sensors/three/t".to_owned(), b"3.5".to_vec())].into_iter(),
    );
    wait_for_value(&influxd, "three", "t", 3.5);

    let (client, mut connection) = mqtt::client_v5(&home, "sensor", "rumqttc-5");
    client
        .publish("sensors/five", v5::mqttbytes::QoS::AtLeastOnce, false, r#"{"t": 5.5, "ok": true}"#)
        .unwrap();
    loop {
        match connection.recv_timeout(wait::PATIENCE) {
            Ok(Ok(v5::Event::Incoming(v5::mqttbytes::v5::Packet::PubAck(_)))) => break,
            Ok(Ok(_)) => {}
            other => panic!("no PUBACK, but {other:?}"),
        }
    }
    wait_for_value(&influxd, "five", "t", 5.5);
}

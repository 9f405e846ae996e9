//! InfluxDB goes away under load and comes back: every message published at QoS 1 is there afterwards.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use gaugeline_tests::{home::Home, influxd::Influxd, mqtt, wait};
use rumqttc::{Event, Packet, QoS};

const DATABASE: &str = "telemetry";
/// Published in all, and how many are published before, during and after the outage.
const MESSAGES: usize = 15_000;
const BEFORE: usize = 3_000;
const DURING: usize = 9_000;

/// A sensor that publishes the numbers from 0 at QoS 1, as fast as it is acknowledged, but no more than it may.
struct Publisher {
    acknowledged: Arc<AtomicUsize>,
    allowed: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Publisher {
    fn start(home: &Home) -> Self {
        let (client, mut connection) = mqtt::client_v3(home, "sensor", "publisher");
        let (acknowledged, allowed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, limit) = (Arc::clone(&acknowledged), Arc::clone(&allowed));
        let may_send = Arc::clone(&limit);
        thread::spawn(move || {
            for number in 0..MESSAGES {
                wait::until("permission to go on", || {
                    (number < may_send.load(Ordering::Relaxed)).then_some(())
                });
                client.publish("sensors/meter/value", QoS::AtLeastOnce, false, number.to_string()).unwrap();
            }
        });
        let thread = thread::spawn(move || {
            while count.load(Ordering::Relaxed) < MESSAGES {
                match connection.recv_timeout(wait::PATIENCE) {
                    Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(Ok(_)) => {}
                    other => panic!("{} acknowledged, then {other:?}", count.load(Ordering::Relaxed)),
                }
            }
        });
        Self { acknowledged, allowed: limit, thread }
    }

    /// Publishes until so many are acknowledged.
    fn publish_up_to(&self, count: usize) {
        self.allowed.store(count, Ordering::Relaxed);
        wait::until(&format!("{count} acknowledgements"), || {
            (self.acknowledged.load(Ordering::Relaxed) >= count).then_some(())
        });
    }

    fn finish(self) {
        self.publish_up_to(MESSAGES);
        self.thread.join().unwrap();
    }
}

fn survive(stop: impl FnOnce(&mut Influxd), start: impl FnOnce(&mut Influxd)) {
    let home = Home::empty();
    let Some(mut influxd) = Influxd::start() else { return };
    influxd.create_database(DATABASE);
    let _up = home.up(&["--influx", &influxd.url(), "--db", DATABASE]);
    let publisher = Publisher::start(&home);
    publisher.publish_up_to(BEFORE);
    stop(&mut influxd);
    publisher.publish_up_to(BEFORE + DURING);
    start(&mut influxd);
    publisher.finish();

    wait::until_equal("values in InfluxDB", &(MESSAGES as u64), || {
        let rows = influxd.query(DATABASE, "SELECT COUNT(DISTINCT(\"value\")) FROM sensors");
        rows.first().and_then(|row| row[1].as_u64()).unwrap_or(0)
    });
    // What was written twice, because its answer was lost, is one point all the same.
    assert_eq!(influxd.count(DATABASE, "sensors", "value"), MESSAGES as u64);
}

#[test]
fn influxd_killed_and_started_again() {
    survive(Influxd::kill, Influxd::run);
}

#[test]
fn influxd_frozen_and_thawed() {
    survive(|influxd| influxd.process().signal("STOP"), |influxd| influxd.process().signal("CONT"));
}

#[test]
fn influxd_not_there_yet_when_the_bridge_starts() {
    let home = Home::empty();
    let Some(mut influxd) = Influxd::start() else { return };
    influxd.create_database(DATABASE);
    influxd.kill();
    let up = home.start_up(&["--influx", &influxd.url(), "--db", DATABASE]);
    wait::until("the broker to listen", || {
        gaugeline_tests::http::get(home.admin_port, "/healthz").filter(|answer| answer.status == 200)
    });
    home.publish("sensors/early/value", "1");
    influxd.run();
    wait::until_equal("the early value", &1, || influxd.count(DATABASE, "sensors", "value"));
    up.terminate().successful();
}

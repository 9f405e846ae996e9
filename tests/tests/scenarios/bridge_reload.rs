//! Changes of `bridge.toml` while messages flow.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use gaugeline_tests::{
    gaugeline,
    home::Home,
    http,
    influxd::Influxd,
    mqtt, port,
    process::Process,
    wait::{self, LONG_PATIENCE},
};

const DATABASE: &str = "telemetry";
const FIELD: &str = "v";
/// What the bridge writes to, one after the other; the first is the default of the rule.
const MEASUREMENTS: [&str; 4] = ["sensors", "second", "third", "fourth"];
/// So many messages go by under each configuration, at least.
const MESSAGES_EACH: u64 = 300;
/// Published at once, then waited for.
const PORTION: u64 = 50;
/// Between two portions: a stream, not a load.
const PAUSE: Duration = Duration::from_millis(20);

/// Publishes without end until it is told to stop; every message has another value.
struct Publisher {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Publisher {
    fn start(home: &Arc<Home>) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (home, stopped, counter) = (Arc::clone(home), Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let first = counter.load(Ordering::Relaxed);
                let message = |number| ("sensors/d/v".to_owned(), format!("{number}.5").into_bytes());
                mqtt::publish_all(&home, "sensor", "publisher", (first..first + PORTION).map(message));
                counter.fetch_add(PORTION, Ordering::Relaxed);
                wait::pass(PAUSE);
            }
        });
        Self { stop, acknowledged, thread }
    }

    /// Waits until a good number of further messages is acknowledged.
    fn go_on(&self) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        wait::until_within(LONG_PATIENCE, "messages to flow", || {
            (self.acknowledged.load(Ordering::Relaxed) >= before + MESSAGES_EACH).then_some(())
        });
    }

    /// How many messages there were.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Every message is exactly one point, under one of the mappings that held.
fn expect_each_once(influxd: &Influxd, messages: u64) {
    let values = || {
        let of = |measurement| influxd.query(DATABASE, &format!("SELECT \"{FIELD}\" FROM \"{measurement}\""));
        let rows = MEASUREMENTS.into_iter().flat_map(of);
        let mut values = rows.map(|row| row[1].as_f64().unwrap() as u64).collect::<Vec<_>>();
        values.sort_unstable();
        values
    };
    wait::until("all points", || (values().len() as u64 >= messages).then_some(()));
    assert_eq!(values(), (0..messages).collect::<Vec<_>>());
}

/// A bridge that serves its state at this port.
fn start_bridge(home: &Home, admin_port: u16) -> Process {
    let mut command = gaugeline::command();
    command.args(["bridge", "-c"]).arg(home.path("bridge.toml"));
    command.args(["--admin", &format!("127.0.0.1:{admin_port}")]);
    Process::start("gaugeline bridge", &mut command)
}

fn reloads(admin_port: u16, result: &str) -> f64 {
    http::metric(admin_port, "gaugeline_bridge_reloads_total", &format!("result=\"{result}\""))
}

fn wait_until_ready(admin_port: u16) -> String {
    let answer = wait::until("the bridge to be ready", || {
        http::get(admin_port, "/readyz").filter(|answer| answer.status == 200)
    });
    answer.body
}

/// A directory whose bridge writes to this InfluxDB, with the measurement named in its first rule.
fn home_for(influxd: &Influxd) -> Arc<Home> {
    let home = Home::new();
    let sink = format!("kind = \"influx1\"\nurl = \"{}\"\n#", influxd.url());
    home.replace("bridge.toml", "kind = \"file\"", &sink);
    home.replace("bridge.toml", "directory = \"telemetry\"", "");
    home.replace("bridge.toml", "topic = \"sensors/{device}/{field}\"\n", &rule(MEASUREMENTS[0]));
    Arc::new(home)
}

fn rule(measurement: &str) -> String {
    format!("topic = \"sensors/{{device}}/{{field}}\"\nmeasurement = \"{measurement}\"\n")
}

/// The file with another measurement.
fn mapped_to(home: &Home, from: usize, to: usize) -> String {
    home.read("bridge.toml").replace(&rule(MEASUREMENTS[from]), &rule(MEASUREMENTS[to]))
}

#[test]
fn a_running_bridge_follows_its_file_and_nothing_is_lost_or_written_twice() {
    let Some(influxd) = Influxd::start() else { return };
    let home = home_for(&influxd);
    // The publisher needs the other one.
    let authority = home.read("pki/ca.crt");
    home.write("pki/copy.crt", &authority);
    home.replace("bridge.toml", "ca = \"pki/ca.crt\"", "ca = \"pki/copy.crt\"");
    let _broker = home.broker();
    let admin_port = port::free();
    let mut bridge = start_bridge(&home, admin_port);
    wait_until_ready(admin_port);
    let publisher = Publisher::start(&home);
    publisher.go_on();

    // Written in place.
    home.write("bridge.toml", &mapped_to(&home, 0, 1));
    wait::until_equal("the first reload", &1.0, || reloads(admin_port, "done"));
    publisher.go_on();

    // A mistake, renamed into its place: everything goes on as before, and everybody can see why.
    let right = home.read("bridge.toml");
    home.write("new", &right.replace("\n[sink]\n", "\nno_such_key = 1\n[sink]\n"));
    fs::rename(home.path("new"), home.path("bridge.toml")).unwrap();
    wait::until_equal("the refusal", &1.0, || reloads(admin_port, "refused"));
    let line = 1 + right.lines().position(|line| line == "[sink]").unwrap();
    let place = format!("bridge.toml:{line}: ");
    bridge.wait_for_log(&["reload refused", &place, "no_such_key"]);
    wait::until("the refusal in /readyz", || {
        let ready = http::get(admin_port, "/readyz")?;
        assert_eq!(ready.status, 200, "{}", ready.body);
        (ready.body.contains("the last reload was refused") && ready.body.contains(&place)).then_some(())
    });
    publisher.go_on();
    wait::until("points under the mapping that holds on", || {
        (influxd.count(DATABASE, MEASUREMENTS[1], FIELD) > MESSAGES_EACH).then_some(())
    });

    // A certificate authority that is none is a mistake, too.
    home.write("bridge.toml", &right);
    wait::until("the repaired file to be taken", || {
        (!wait_until_ready(admin_port).contains("refused")).then_some(())
    });
    assert_eq!(reloads(admin_port, "done"), 1.0, "the content is what the bridge runs with");
    home.write("pki/copy.crt", "no certificate");
    bridge.wait_for_log(&["reload refused", "copy.crt"]);
    home.write("pki/copy.crt", &authority);

    // Repaired and changed; SIGHUP need not wait for the next look.
    home.write("bridge.toml", &mapped_to(&home, 1, 2));
    bridge.signal("HUP");
    wait::until_equal("the second reload", &2.0, || reloads(admin_port, "done"));
    wait::until("/readyz without the refusal", || {
        (!wait_until_ready(admin_port).contains("refused")).then_some(())
    });
    publisher.go_on();
    let messages = publisher.end();
    expect_each_once(&influxd, messages);
    for measurement in &MEASUREMENTS[..3] {
        assert!(influxd.count(DATABASE, measurement, FIELD) > 0, "{measurement}");
    }
    // The counters went on over all bridges.
    let lines = http::metric(admin_port, "gaugeline_bridge_lines_written_total", "");
    assert!(lines >= messages as f64, "{lines} of {messages}");
    bridge.expect_running();
    bridge.terminate().successful();
}

/// `gaugeline up` follows `bridge.toml` as it follows `broker.toml`, and holds on to its command line.
#[test]
fn up_follows_bridge_toml_and_tells_what_another_client_id_means() {
    let Some(influxd) = Influxd::start() else { return };
    let home = home_for(&influxd);
    let up = home.up(&["--influx", &influxd.url(), "--db", DATABASE]);
    let publisher = Publisher::start(&home);
    publisher.go_on();
    home.write("bridge.toml", &mapped_to(&home, 0, 3));
    wait::until_equal("the first reload", &1.0, || reloads(home.admin_port, "done"));
    publisher.go_on();
    let messages = publisher.end();
    expect_each_once(&influxd, messages);
    assert!(influxd.count(DATABASE, MEASUREMENTS[3], FIELD) > 0);
    home.replace("bridge.toml", "client_id = \"gaugeline-bridge\"", "client_id = \"another\"");
    up.wait_for_log(&["another", "gaugeline-bridge", "the broker goes on keeping messages"]);
    wait_until_ready(home.admin_port);
    home.publish("sensors/d/v", &format!("{messages}.5"));
    expect_each_once(&influxd, messages + 1);
    up.terminate().successful();
}

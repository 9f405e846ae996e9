//! The bridge as a process of its own: messages that cannot be written, and restarts on either side.

use std::fs;

use gaugeline_tests::{home::Home, influxd::Influxd, line_protocol, mqtt, process::Process, wait};
use serde_json::Value;

const DATABASE: &str = "telemetry";

/// A bridge whose session is there: messages wait in it from now on.
fn subscribed_bridge(home: &Home) -> Process {
    let bridge = home.bridge();
    wait_for_subscriptions(home);
    bridge
}

/// The broker's only session is the bridge's.
fn wait_for_subscriptions(home: &Home) {
    wait::until_equal("the bridge's subscription", &1.0, || home.metric("gaugeline_subscriptions", ""));
}

/// The dead letters so far.
fn dead_letters(home: &Home) -> Vec<Value> {
    let text = fs::read_to_string(home.path("dead-letter/dead-letter.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The dead letter of a topic.
fn letter<'a>(letters: &'a [Value], topic: &str) -> &'a Value {
    letters
        .iter()
        .find(|letter| letter["topic"] == topic)
        .unwrap_or_else(|| panic!("{topic} is not in {letters:?}"))
}

/// Makes the bridge write to this InfluxDB: replaces the section `[sink]`.
fn use_influxd(home: &Home, influxd: &Influxd) {
    let text = home.read("bridge.toml");
    let (before, rest) = text.split_once("\n[sink]\n").unwrap();
    let after = rest.find("\n[").map_or("", |next| &rest[next..]);
    let keys = format!("kind = \"influx1\"\nurl = \"{}\"\ndatabase = \"{DATABASE}\"\n", influxd.url());
    home.write("bridge.toml", &format!("{before}\n[sink]\n{keys}{after}"));
}

#[test]
fn bad_messages_become_dead_letters_and_their_neighbours_arrive() {
    let home = Home::new();
    let Some(influxd) = Influxd::start() else { return };
    use_influxd(&home, &influxd);
    let _broker = home.broker();
    let bridge = subscribed_bridge(&home);
    // The first type of a field is the one that InfluxDB keeps.
    mqtt::publish_all(&home, "sensor", "first", [("sensors/d/v".to_owned(), b"1.5".to_vec())].into_iter());
    wait::until_equal("the first point", &1, || influxd.count(DATABASE, "sensors", "v"));

    let mut messages = Vec::new();
    let bad = [
        ("sensors/d/utf8", b"\xff\xfe\x00".to_vec()),
        ("sensors/conflict/v", b"text".to_vec()),
        ("sensors/truth/v", b"true".to_vec()),
        ("sensors/json", b"{\"open\": ".to_vec()),
        ("sensors/nan/v", b"nan".to_vec()),
    ];
    for (number, (topic, payload)) in bad.iter().enumerate() {
        for neighbour in 0..20 {
            let value = (number * 100 + neighbour) as f64 + 0.5;
            messages.push(("sensors/good/v".to_owned(), value.to_string().into_bytes()));
        }
        messages.push(((*topic).to_owned(), payload.clone()));
    }
    // Clears a retained message and says nothing else: neither a point nor a dead letter.
    messages.push(("sensors/empty/v".to_owned(), Vec::new()));
    // InfluxDB 1 takes long texts; it need not be one that we do not understand.
    messages.push(("sensors/huge/text".to_owned(), vec![b'x'; 1_500_000]));
    messages.push(("sensors/last/v".to_owned(), b"9.5".to_vec()));
    mqtt::publish_all(&home, "sensor", "second", messages.into_iter());

    let letters = wait::until("all dead letters", || {
        Some(dead_letters(&home)).filter(|found| found.len() >= bad.len())
    });
    wait::until_equal("good values", &(1 + 20 * bad.len() as u64 + 1), || {
        influxd.count(DATABASE, "sensors", "v")
    });
    wait::until_equal("the huge text", &1, || influxd.count(DATABASE, "sensors", "text"));
    assert_eq!(letters.len(), bad.len(), "{letters:?}");
    for (topic, payload) in &bad {
        let letter = letter(&letters, topic);
        match std::str::from_utf8(payload) {
            Ok(text) => assert_eq!(letter["payload"], text, "{letter}"),
            Err(_) => assert_eq!(letter["payload_base64"], "//4A", "{letter}"),
        }
        assert!(letter["reason"].is_string() && letter["detail"].is_string(), "{letter}");
    }
    assert_eq!(letter(&letters, "sensors/d/utf8")["reason"], "not_utf8");
    assert_eq!(letter(&letters, "sensors/conflict/v")["reason"], "refused");
    assert_eq!(letter(&letters, "sensors/json")["reason"], "invalid_json");
    bridge.terminate().successful();
    assert_eq!(dead_letters(&home).len(), bad.len(), "nothing was written twice");
}

/// Names that would break out of a line stay what they are: names.
#[test]
fn topics_and_payloads_cannot_inject_lines() {
    let home = Home::new();
    let Some(influxd) = Influxd::start() else { return };
    use_influxd(&home, &influxd);
    let _broker = home.broker();
    let _bridge = subscribed_bridge(&home);
    let evil = [
        ("sensors/a b,c=d/v", "1"),
        ("sensors/back\\/v", "2"),
        ("sensors/e/f=1 g,h", "3"),
        ("sensors/new\nphantom,x=y v=666/v", "4"),
        ("sensors/text/note", "\"quoted\\\" , = \nphantom v=1\""),
    ];
    let messages = evil.iter().map(|(topic, payload)| ((*topic).to_owned(), payload.as_bytes().to_vec()));
    mqtt::publish_all(&home, "sensor", "evil", messages);
    wait::until_equal("all points", &(evil.len()), || influxd.query(DATABASE, "SELECT * FROM sensors").len());
    let names = influxd.query(DATABASE, "SHOW MEASUREMENTS");
    assert_eq!(names, [["sensors"]], "no other measurement came to be");
    assert_eq!(dead_letters(&home), Vec::<Value>::new());
}

#[test]
fn messages_wait_in_the_broker_while_the_bridge_is_down() {
    const MESSAGES: usize = 5_000;
    let home = Home::new();
    let _broker = home.broker();
    let bridge = subscribed_bridge(&home);
    let numbers = |from: usize, to: usize| {
        (from..to).map(|number| ("sensors/meter/value".to_owned(), number.to_string().into_bytes()))
    };
    mqtt::publish_all(&home, "sensor", "one", numbers(0, 1_000));
    bridge.terminate().successful();
    mqtt::publish_all(&home, "sensor", "two", numbers(1_000, 3_000));
    let bridge = home.bridge();
    mqtt::publish_all(&home, "sensor", "three", numbers(3_000, 4_000));
    // Without warning this time.
    bridge.kill();
    mqtt::publish_all(&home, "sensor", "four", numbers(4_000, MESSAGES));
    let _bridge = home.bridge();
    wait_for_numbers(&home, MESSAGES);
}

/// Waits until every number is in the files, and checks that a number that is there twice is so for a reason: the
/// bridge was killed before the broker knew that it had it.
fn wait_for_numbers(home: &Home, count: usize) {
    wait::until("every number", || {
        let text = line_protocol::points(&home.path("telemetry")).join("\n");
        let values = text.lines().filter_map(|line| {
            let value = line.split("value=").nth(1)?.split(' ').next()?;
            value.parse::<usize>().ok()
        });
        let distinct = values.collect::<std::collections::HashSet<_>>();
        (distinct.len() == count).then_some(())
    });
}

#[test]
fn the_bridge_goes_on_after_the_broker_was_restarted() {
    let home = Home::new();
    let broker = home.broker();
    let bridge = subscribed_bridge(&home);
    home.publish("sensors/meter/value", "0");
    wait_for_numbers(&home, 1);
    broker.terminate().successful();
    let broker = home.broker();
    wait_for_subscriptions(&home);
    home.publish("sensors/meter/value", "1");
    wait_for_numbers(&home, 2);
    broker.kill();
    let _broker = home.broker();
    wait_for_subscriptions(&home);
    home.publish("sensors/meter/value", "2");
    wait_for_numbers(&home, 3);
    bridge.terminate().successful();
}

/// What the broker has acknowledged is there after it was killed, bridge or no bridge.
#[test]
fn acknowledged_messages_survive_a_crash_of_the_broker() {
    const MESSAGES: usize = 3_000;
    let home = Home::new();
    let broker = home.broker();
    let bridge = subscribed_bridge(&home);
    bridge.kill();
    let numbers =
        (0..MESSAGES).map(|number| ("sensors/meter/value".to_owned(), number.to_string().into_bytes()));
    mqtt::publish_all(&home, "sensor", "publisher", numbers);
    broker.kill();
    let _broker = home.broker();
    let _bridge = home.bridge();
    wait_for_numbers(&home, MESSAGES);
    let points = line_protocol::points(&home.path("telemetry"));
    assert_eq!(points.len(), MESSAGES, "none is there twice");
}

#[test]
fn a_refused_login_or_subscription_is_reported() {
    let home = Home::new();
    home.replace("acl", "user bridge\ntopic read #", "user bridge\ntopic read sensors/#");
    home.replace("bridge.toml", "topics = [\"#\"]", "topics = [\"sensors/#\", \"actuators/#\"]");
    let broker = home.broker();
    let bridge = home.bridge();
    bridge.wait_for_log(&["actuators/#"]);
    home.publish("sensors/meter/value", "0");
    wait_for_numbers(&home, 1);
    bridge.terminate();
    broker.wait_for_log(&["WARN", "client=\"gaugeline-bridge\" ", "actuators/#"]);

    home.write("secrets/bridge", "not the password\n");
    let bridge = home.bridge();
    broker.wait_for_log(&["WARN", "client=\"gaugeline-bridge\" ", "wrong password"]);
    bridge.wait_for_log(&["ERROR", "refused"]);
    bridge.terminate();
}

//! Queues that are full when the broker is killed.

use gaugeline_protocol::{QoS, ReasonCode, Version, packet::Outgoing};
use gaugeline_tests::{
    crash::peer::{Entry, Got, Peer},
    gaugeline::gaugeline,
    home::Home,
    http,
};

use crate::sessions::{TOPIC, absent, crash, numbers};

/// How many messages the queue of a session holds here.
const QUEUE: u32 = 10;

fn small_queues() -> Home {
    let home = Home::new();
    home.replace("broker.toml", "queue_messages = 100000", &format!("queue_messages = {QUEUE}"));
    home
}

fn dropped(home: &Home, reason: &str) -> f64 {
    home.metric("gaugeline_messages_dropped_total", &format!("reason=\"{reason}\""))
}

fn dropped_by(home: &Home, labels: &str) -> f64 {
    home.metric("gaugeline_messages_dropped_by_client_total", labels)
}

#[test]
fn full_queue_refuses_the_newest_and_says_so() {
    let home = small_queues();
    let broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::ExactlyOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    for number in numbers(0..QUEUE) {
        publisher.publish(TOPIC, QoS::AtLeastOnce, &number);
    }
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let refused = Outgoing { qos, topic: TOPIC, payload: b"refused", ..Outgoing::default() };
        assert_eq!(publisher.try_publish(refused), Some(ReasonCode::QuotaExceeded));
    }
    // MQTT 3 has no word for it.
    let mut old = Peer::join(&home, &Entry::sensor("old").with(Version::V311));
    old.send_message(TOPIC, QoS::AtLeastOnce, "refused");
    assert_eq!(old.receive(), None::<Got>, "cut off without an acknowledgement");
    broker.wait_for_log(&["client=\"old\"", "the queue of a session that gets it is full"]);
    broker.wait_for_log(&["client=\"reader\"", "its queue is 100 % full"]);
    assert_eq!(home.metric("gaugeline_absent_queue_fullest_percent", ""), 100.0);
    assert_eq!(dropped(&home, "queue_full"), 3.0);
    let labels = r#"reason="queue_full",client="reader",topic="sensors""#;
    assert_eq!(dropped_by(&home, labels), 3.0);

    let broker = crash(&home, broker);
    // It is as full as before.
    let mut publisher = Peer::resume(&home, &Entry::sensor("publisher"));
    let refused =
        || Outgoing { qos: QoS::AtLeastOnce, topic: TOPIC, payload: b"refused", ..Outgoing::default() };
    assert_eq!(publisher.try_publish(refused()), Some(ReasonCode::QuotaExceeded));
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(QUEUE as usize), numbers(0..QUEUE));
    peer.expect_no_message();
    publisher.publish(TOPIC, QoS::AtLeastOnce, "taken again");
    assert_eq!(peer.take_payloads(1), ["taken again"]);
    drop(broker);
}

#[test]
fn a_session_that_an_operator_ends_does_not_come_back() {
    let home = small_queues();
    let broker = home.broker();
    for name in ["reader", "kept"] {
        absent(&home, &Entry::viewer(name), QoS::AtLeastOnce);
    }
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    for number in numbers(0..QUEUE) {
        publisher.publish(TOPIC, QoS::AtLeastOnce, &number);
    }
    broker.wait_for_log(&["client=\"reader\"", "gaugeline forget"]);
    let config = home.argument("broker.toml");
    let operate = |arguments: &[&str]| gaugeline(&[arguments, &["-c", &config]].concat());
    let away = || operate(&["clients", "--away"]).successful().stdout;
    let listed = away();
    let line = listed.lines().find(|line| line.starts_with("reader ")).unwrap();
    for part in ["user viewer", "10 messages, ", "away for", "ends "] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!listed.contains("publisher"), "it is connected: {listed}");
    let page =
        http::get_with_token(home.admin_port, "/sessions?limit=1&after=kept", &home.secret("admin")).unwrap();
    assert!(
        page.body.contains("\"client\":\"reader\"") && page.body.contains("\"next\":null"),
        "{}",
        page.body
    );

    let connected = operate(&["forget", "publisher"]);
    assert!(connected.code == Some(1) && connected.stderr.contains("is connected"), "{}", connected.stderr);
    let kicked = operate(&["kick", "reader"]);
    assert!(kicked.code == Some(1) && kicked.stderr.contains("gaugeline forget"), "{}", kicked.stderr);
    let done = operate(&["forget", "reader"]).successful().stdout;
    assert!(done.contains("reader has ended, with 10 messages"), "{done}");

    let broker = crash(&home, broker);
    let listed = away();
    assert!(!listed.contains("reader") && listed.contains("kept"), "{listed}");
    assert!(listed.contains("since before the broker was started"), "{listed}");
    let unknown = operate(&["forget", "reader"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no client `reader` has a session"));
    operate(&["forget", "kept"]).successful();
    let mut publisher = Peer::resume(&home, &Entry::sensor("publisher"));
    publisher.publish(TOPIC, QoS::AtLeastOnce, "nobody's");
    let (mut reader, present) = Peer::enter(&home, &Entry::viewer("reader"));
    assert!(!present);
    reader.expect_no_message();
    drop(broker);
}

#[test]
fn full_queue_drops_the_oldest_if_it_is_configured_and_counts_them() {
    let home = small_queues();
    home.replace("broker.toml", "\"reject-newest\"\n", "\"drop-oldest\"\n");
    let broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    for number in numbers(0..QUEUE + 3) {
        publisher.publish(TOPIC, QoS::AtLeastOnce, &number);
    }
    assert_eq!(dropped(&home, "queue_full"), 3.0);
    assert_eq!(dropped_by(&home, r#"reason="queue_full",client="reader",topic="sensors""#), 3.0);
    let _broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(QUEUE as usize), numbers(3..QUEUE + 3));
    peer.expect_no_message();
}

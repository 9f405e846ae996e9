//! The other two values of `persistence`, and kept messages of QoS 0.

use gaugeline_protocol::{QoS, packet::Outgoing};
use gaugeline_tests::{
    crash::peer::{Entry, Peer},
    home::Home,
};

use crate::sessions::{TOPIC, absent, crash, numbers};

/// The operating system has what is written, and outlives the broker. What a power cut takes is another test's.
#[test]
fn broker_killed_with_persistence_interval_loses_nothing() {
    let home = Home::new();
    home.replace("broker.toml", "persistence = \"durable\"", "persistence = \"interval\"");
    // Longer than this test lasts.
    home.replace(
        "broker.toml",
        "persistence_directory",
        "persistence_interval_milliseconds = 3600000\npersistence_directory",
    );
    let mut broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::ExactlyOnce);
    for batch in [0..20, 20..40] {
        let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
        for number in numbers(batch) {
            publisher.publish(TOPIC, QoS::ExactlyOnce, &number);
        }
        publisher.retain("sensors/kept/value", "kept");
        broker = crash(&home, broker);
    }
    assert_eq!(home.metric("gaugeline_storage_sync_seconds_count", ""), 0.0, "nothing was synced meanwhile");
    let mut peer = Peer::resume(&home, &reader);
    let expected = numbers(0..20).into_iter().chain(["kept".to_owned()]).chain(numbers(20..40));
    assert_eq!(peer.take_payloads(42), expected.chain(["kept".to_owned()]).collect::<Vec<_>>());
    peer.expect_no_message();
    let mut late = Peer::join(&home, &Entry::viewer("late"));
    late.subscribe("sensors/#", QoS::AtLeastOnce);
    assert_eq!(late.take_payloads(1), ["kept"]);
}

#[test]
fn broker_killed_with_persistence_off_forgets_everything() {
    let home = Home::new();
    home.replace("broker.toml", "persistence = \"durable\"", "persistence = \"off\"");
    let broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.publish(TOPIC, QoS::AtLeastOnce, "1");
    publisher.retain("sensors/kept/value", "1");
    // As long as it lives, a session is kept.
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(2), ["1", "1"]);
    peer.leave();
    let _broker = crash(&home, broker);
    let (mut peer, session_present) = Peer::enter(&home, &reader);
    assert!(!session_present);
    peer.subscribe("sensors/#", QoS::AtLeastOnce);
    peer.expect_no_message();
    assert!(!home.path("data").exists(), "nothing is written");
}

#[test]
fn queued_messages_of_qos_0_outlive_the_broker_for_whom_it_is_configured() {
    let home = Home::new();
    let listed = r#"["gaugeline-bridge", "chosen", "upgraded"]"#;
    home.replace(
        "broker.toml",
        r#"queue_qos0_messages = ["gaugeline-bridge"]"#,
        &format!("queue_qos0_messages = {listed}"),
    );
    home.replace(
        "broker.toml",
        r#"upgrade_outgoing_qos = ["gaugeline-bridge"]"#,
        r#"upgrade_outgoing_qos = ["gaugeline-bridge", "upgraded"]"#,
    );
    let broker = home.broker();
    let [plain, chosen, upgraded] = ["plain", "chosen", "upgraded"].map(Entry::viewer);
    for entry in [&plain, &chosen, &upgraded] {
        absent(&home, entry, QoS::AtLeastOnce);
    }
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.send_publish(Outgoing { topic: TOPIC, payload: b"zero", ..Outgoing::default() });
    // What is acknowledged after it makes it safe.
    publisher.publish(TOPIC, QoS::AtLeastOnce, "one");
    let _broker = crash(&home, broker);
    let found = |entry| {
        let mut peer = Peer::resume(&home, entry);
        let count = if entry.client_id == "plain" { 1 } else { 2 };
        let found: Vec<_> = peer.take(count).into_iter().map(|got| (got.payload, got.qos)).collect();
        peer.expect_no_message();
        found
    };
    let (zero, one) = ("zero".to_owned(), ("one".to_owned(), QoS::AtLeastOnce));
    assert_eq!(found(&plain), std::slice::from_ref(&one));
    assert_eq!(found(&chosen), [(zero.clone(), QoS::AtMostOnce), one.clone()]);
    assert_eq!(found(&upgraded), [(zero, QoS::AtLeastOnce), one]);
}

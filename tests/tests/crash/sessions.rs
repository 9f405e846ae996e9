//! What a session, its messages and its will are after the broker was killed.

use std::{collections::BTreeSet, time::Duration};

use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    packet::{AckType, Outgoing},
};
use gaugeline_tests::{
    crash::peer::{Entry, Got, Peer, will},
    home::Home,
    process::Process,
    wait,
};

/// What the tests publish to.
pub(crate) const TOPIC: &str = "sensors/a/value";

/// Kills the broker and starts it again.
pub(crate) fn crash(home: &Home, broker: Process) -> Process {
    broker.kill();
    home.broker()
}

/// The numbers as payloads.
pub(crate) fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A session that is subscribed to everything and has no connection.
pub(crate) fn absent(home: &Home, entry: &Entry, qos: QoS) {
    let mut peer = Peer::join(home, entry);
    peer.subscribe("sensors/#", qos);
    peer.leave();
}

#[test]
fn broker_killed_with_an_offline_session() {
    let home = Home::new();
    let broker = home.broker();
    let one = Entry::viewer("one").with(Version::V311);
    let two = Entry::viewer("two");
    absent(&home, &one, QoS::AtLeastOnce);
    absent(&home, &two, QoS::ExactlyOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    for number in numbers(0..50) {
        publisher.publish(TOPIC, QoS::AtLeastOnce, &number);
    }
    for number in numbers(50..100) {
        publisher.publish(TOPIC, QoS::ExactlyOnce, &number);
    }
    let broker = crash(&home, broker);
    // Its subscription holds before its client comes.
    Peer::join(&home, &Entry::sensor("publisher")).publish(TOPIC, QoS::AtLeastOnce, "100");
    for entry in [&one, &two] {
        let mut peer = Peer::resume(&home, entry);
        assert_eq!(peer.take_payloads(101), numbers(0..101), "{}", entry.client_id);
        peer.expect_no_message();
    }
    let _broker = crash(&home, broker);
    for entry in [&one, &two] {
        // What was acknowledged within the last moments may come again at QoS 1, never at QoS 2.
        let mut peer = Peer::resume(&home, entry);
        if entry.client_id == "two" {
            peer.expect_no_message();
        }
    }
}

#[test]
fn broker_killed_with_messages_in_flight() {
    let home = Home::new();
    let mut broker = home.broker();
    for version in [Version::V311, Version::V5] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let entry = Entry::viewer("reader").with(version);
            let mut peer =
                Peer::join(&home, &Entry { clean_start: true, session_expiry_seconds: 0, ..entry.clone() });
            peer.leave();
            peer = Peer::join(&home, &entry);
            peer.subscribe("sensors/#", qos);
            let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
            for number in numbers(0..5) {
                publisher.publish(TOPIC, QoS::ExactlyOnce, &number);
            }
            let first: Vec<_> = (0..5).map(|_| peer.message()).collect();
            assert!(first.iter().all(|message| !message.dup));
            // The broker notes what it sends, though nobody waits for it at QoS 1; what is safe after it makes it safe.
            publisher.publish("sensors/fence/value", QoS::AtLeastOnce, "fence");
            broker = crash(&home, broker);
            let mut peer = Peer::resume(&home, &entry);
            for earlier in first {
                let again = peer.message();
                assert!(again.dup, "{again:?}");
                assert_eq!((again.packet_id, &again.payload), (earlier.packet_id, &earlier.payload));
                assert_eq!(again.qos, qos);
            }
            assert_eq!(peer.message().payload, "fence");
        }
    }
}

#[test]
fn broker_killed_between_the_steps_of_qos_2_to_a_subscriber() {
    let home = Home::new();
    let broker = home.broker();
    let entry = Entry::viewer("reader");
    let mut peer = Peer::join(&home, &entry);
    peer.subscribe("sensors/#", QoS::ExactlyOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.publish(TOPIC, QoS::ExactlyOnce, "1");
    let id = peer.message().packet_id.unwrap();
    peer.acknowledge(AckType::PubRec, id);
    peer.expect(AckType::PubRel, id);
    let broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &entry);
    peer.expect(AckType::PubRel, id);
    peer.expect_no_message();
    peer.acknowledge(AckType::PubComp, id);
    // The next message shows that the exchange is over, and makes that safe.
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.publish(TOPIC, QoS::ExactlyOnce, "2");
    assert_eq!(peer.take_payloads(1), ["2"]);
    publisher.publish(TOPIC, QoS::ExactlyOnce, "3");
    let _broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &entry);
    assert_eq!(peer.take_payloads(1), ["3"]);
    peer.expect_no_message();
}

#[test]
fn broker_killed_between_the_steps_of_qos_2_from_a_publisher() {
    let home = Home::new();
    let broker = home.broker();
    let (reader, writer) = (Entry::viewer("reader"), Entry::sensor("writer"));
    absent(&home, &reader, QoS::ExactlyOnce);
    let mut publisher = Peer::join(&home, &writer);
    let id = PacketId::new(7).unwrap();
    let publish = |payload: &'static str, dup| Outgoing {
        qos: QoS::ExactlyOnce,
        dup,
        topic: TOPIC,
        packet_id: Some(id),
        payload: payload.as_bytes(),
        ..Outgoing::default()
    };
    publisher.send_publish(publish("once", false));
    publisher.expect(AckType::PubRec, id);
    let broker = crash(&home, broker);
    let mut publisher = Peer::resume(&home, &writer);
    publisher.send_publish(publish("once", true));
    publisher.expect(AckType::PubRec, id);
    publisher.acknowledge(AckType::PubRel, id);
    publisher.expect(AckType::PubComp, id);
    let broker = crash(&home, broker);
    // PUBCOMP was safe: the identifier names another message now.
    let mut publisher = Peer::resume(&home, &writer);
    publisher.send_publish(publish("another", false));
    publisher.expect(AckType::PubRec, id);
    publisher.acknowledge(AckType::PubRel, id);
    publisher.expect(AckType::PubComp, id);
    let _broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(2), ["once", "another"]);
    peer.expect_no_message();
}

#[test]
fn broker_killed_with_retained_messages() {
    let home = Home::new();
    let broker = home.broker();
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.retain("sensors/kept/value", "1");
    publisher.retain("sensors/changed/value", "1");
    publisher.retain("sensors/removed/value", "1");
    publisher.retain("sensors/changed/value", "2");
    publisher.retain("sensors/removed/value", "");
    let broker = crash(&home, broker);
    let retained = |client_id| {
        let mut peer = Peer::join(&home, &Entry::viewer(client_id));
        peer.subscribe("sensors/#", QoS::AtLeastOnce);
        let mut found: Vec<_> =
            peer.take(2).into_iter().map(|message| (message.topic, message.payload)).collect();
        peer.expect_no_message();
        found.sort();
        found
    };
    let expected = [("sensors/changed/value", "2"), ("sensors/kept/value", "1")]
        .map(|(topic, payload)| (topic.to_owned(), payload.to_owned()));
    assert_eq!(retained("first"), expected);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.retain("sensors/kept/value", "3");
    let _broker = crash(&home, broker);
    let expected = [("sensors/changed/value", "2"), ("sensors/kept/value", "3")]
        .map(|(topic, payload)| (topic.to_owned(), payload.to_owned()));
    assert_eq!(retained("second"), expected);
}

#[test]
fn broker_killed_with_a_will() {
    let home = Home::new();
    let broker = home.broker();
    let reader = Entry::viewer("reader");
    absent(&home, &reader, QoS::AtLeastOnce);
    let left = |client_id, payload, delay| Entry {
        will: Some(will(&format!("sensors/{client_id}/value"), payload, delay)),
        ..Entry::sensor(client_id)
    };
    // Connected when the broker dies.
    let at_once = Peer::join(&home, &left("at-once", "gone", 0));
    let soon = Peer::join(&home, &left("soon", "gone", 1));
    let back = left("back", "never published", 3600);
    let returning = Peer::join(&home, &back);
    // Lost before it dies, and waiting.
    drop(Peer::join(&home, &left("lost", "gone", 1)));
    broker.wait_for_log(&["client=\"lost\" ", "disconnected"]);
    let v3 = Peer::join(&home, &left("old", "gone", 0).with(Version::V311));
    let _broker = crash(&home, broker);
    let again = Peer::resume(&home, &back);
    let mut peer = Peer::resume(&home, &reader);
    let mut wills: Vec<_> = peer.take(4).into_iter().map(|message| message.topic).collect();
    wills.sort();
    assert_eq!(wills, ["at-once", "lost", "old", "soon"].map(|name| format!("sensors/{name}/value")));
    peer.expect_no_message();
    drop((at_once, soon, returning, v3));
    again.leave();
    peer.expect_no_message();
}

#[test]
fn broker_down_while_sessions_and_messages_expire() {
    let home = Home::new();
    let broker = home.broker();
    let short = Entry { session_expiry_seconds: 2, ..Entry::viewer("short") };
    let long = Entry::viewer("long");
    absent(&home, &short, QoS::AtLeastOnce);
    absent(&home, &long, QoS::AtLeastOnce);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    for (payload, seconds) in [("short-lived", Some(2)), ("long-lived", Some(3600)), ("for ever", None)] {
        publisher.try_publish(Outgoing {
            qos: QoS::AtLeastOnce,
            topic: TOPIC,
            payload: payload.as_bytes(),
            message_expiry_seconds: seconds,
            ..Outgoing::default()
        });
    }
    broker.kill();
    wait::pass(Duration::from_secs(3));
    let _broker = home.broker();
    let (_, session_present) = Peer::enter(&home, &short);
    assert!(!session_present, "two seconds have passed");
    assert_eq!(home.metric("gaugeline_storage_expired_messages_total", ""), 1.0);
    let mut peer = Peer::resume(&home, &long);
    let found = peer.take(2);
    assert_eq!((found[0].payload.as_str(), found[1].payload.as_str()), ("long-lived", "for ever"));
    assert!((1..=3597).contains(&found[0].expiry_seconds.unwrap()), "{:?}", found[0]);
    assert_eq!(found[1].expiry_seconds, None);
    peer.expect_no_message();
}

#[test]
fn broker_killed_with_subscriptions_added_and_removed() {
    let home = Home::new();
    let broker = home.broker();
    let entry = Entry::viewer("reader");
    let mut peer = Peer::join(&home, &entry);
    peer.subscribe("sensors/a/#", QoS::AtLeastOnce);
    peer.subscribe("sensors/b/#", QoS::AtLeastOnce);
    peer.subscribe("sensors/b/#", QoS::ExactlyOnce);
    peer.unsubscribe("sensors/a/#");
    let _broker = crash(&home, broker);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.publish("sensors/a/value", QoS::ExactlyOnce, "a");
    publisher.publish("sensors/b/value", QoS::ExactlyOnce, "b");
    let mut peer = Peer::resume(&home, &entry);
    let found = peer.take(1);
    assert_eq!((found[0].payload.as_str(), found[0].qos), ("b", QoS::ExactlyOnce));
    peer.expect_no_message();
}

/// MQTT leaves the state of a clean session to its connection, and that ends with the broker.
#[test]
fn broker_killed_with_a_session_that_ends_with_its_connection() {
    let home = Home::new();
    let broker = home.broker();
    for version in [Version::V311, Version::V5] {
        let clean = Entry {
            clean_start: true,
            session_expiry_seconds: 0,
            ..Entry::viewer("passer-by").with(version)
        };
        let mut peer = Peer::join(&home, &clean);
        peer.subscribe("sensors/#", QoS::AtLeastOnce);
        if version == Version::V311 {
            peer.leave();
        }
    }
    let _broker = crash(&home, broker);
    let (mut peer, session_present) = Peer::enter(&home, &Entry::viewer("passer-by"));
    assert!(!session_present);
    Peer::join(&home, &Entry::sensor("publisher")).publish(TOPIC, QoS::AtLeastOnce, "1");
    peer.expect_no_message();
    assert_eq!(peer.arrived(), None::<Got>);
}

/// A new subscription to more than the client takes at once: what it has not seen yet comes after the crash.
#[test]
fn broker_killed_before_a_new_subscription_has_all_its_retained_messages() {
    const TOPICS: usize = 400;
    let home = Home::new();
    home.replace("broker.toml", "inflight_messages = 1024", "inflight_messages = 10");
    let broker = home.broker();
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    let topics: BTreeSet<_> = (0..TOPICS).map(|at| format!("sensors/{at}/value")).collect();
    for topic in &topics {
        let packet_id = Some(publisher.packet_id());
        let qos = QoS::AtLeastOnce;
        publisher.send_publish(Outgoing {
            qos,
            retain: true,
            topic,
            packet_id,
            payload: b"1",
            ..Outgoing::default()
        });
    }
    for _ in 0..TOPICS {
        assert!(matches!(
            publisher.receive(),
            Some(Got::Ack(AckType::PubAck, _, ReasonCode::NoMatchingSubscribers))
        ));
    }
    let reader = Entry::viewer("reader");
    let mut peer = Peer::join(&home, &reader);
    peer.subscribe("sensors/#", QoS::AtLeastOnce);
    let mut found: BTreeSet<_> = peer.take(5).into_iter().map(|message| message.topic).collect();
    let broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &reader);
    while found.len() < TOPICS {
        found.extend(peer.take(1).into_iter().map(|message| message.topic));
    }
    assert_eq!(found, topics);
    let mut publisher = Peer::join(&home, &Entry::sensor("publisher"));
    publisher.publish(TOPIC, QoS::AtLeastOnce, "behind them");
    while peer.take_payloads(1) != ["behind them"] {}
    // Once all were handed over, that is over.
    peer.leave();
    publisher.publish(TOPIC, QoS::AtLeastOnce, "new");
    let _broker = crash(&home, broker);
    let mut peer = Peer::resume(&home, &reader);
    assert_eq!(peer.take_payloads(1), ["new"]);
    peer.expect_no_message();
}

//! Messages from the client: acknowledgements, their order and their wait for storage, repetitions, the window.

use gaugeline_protocol::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
    packet::{Ack, Packet},
};

use crate::support::{Outcome, Server, ack, connect, id, publish, reason_of};

/// [MQTT-4.3.1-1], [MQTT-4.3.2-4], [MQTT-4.3.3-8], [MQTT-4.3.3-11]
#[test]
fn each_qos_has_its_answer() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        server.publish(AtMostOnce, 0, 0).unwrap();
        server.publish(AtLeastOnce, 1, 0).unwrap();
        server.publish(ExactlyOnce, 2, 0).unwrap();
        assert_eq!(server.sent(), ["PUBACK 1", "PUBREC 2"]);
        server.take(Packet::PubRel(ack(2))).unwrap();
        assert_eq!(server.sent(), ["PUBCOMP 2"]);
    }
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: what is safe already waits for what came before.
#[test]
fn acknowledgements_wait_for_storage_and_for_each_other() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        server.publish(AtLeastOnce, 1, 0).unwrap();
        server.publish(AtLeastOnce, 2, 7).unwrap();
        server.publish(ExactlyOnce, 3, 0).unwrap();
        server.publish(AtLeastOnce, 4, 9).unwrap();
        assert_eq!(server.sent(), ["PUBACK 1"]);
        assert_eq!(server.session.awaits_storage(), Some(7));
        assert_eq!(server.session.acknowledgements_waiting(), 3);
        server.store_until(6);
        assert!(server.sent().is_empty());
        server.store_until(8);
        assert_eq!(server.sent(), ["PUBACK 2", "PUBREC 3"]);
        server.store_until(9);
        assert_eq!(server.sent(), ["PUBACK 4"]);
        assert_eq!(server.session.awaits_storage(), None);
    }
}

/// [MQTT-4.3.3-10]
#[test]
fn a_repetition_is_answered_but_not_routed() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Routed);
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Repeated);
        server.store_until(0);
        assert_eq!(server.sent(), ["PUBREC 1", "PUBREC 1"]);
        server.reconnect(&connect(version));
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Repeated);
        server.store_until(0);
        assert_eq!(server.sent(), ["PUBREC 1"]);
        server.take(Packet::PubRel(ack(1))).unwrap();
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Routed);
    }
}

/// A PUBREC promises that the message is safe: a repetition on the next connection changes nothing about that.
#[test]
fn a_repetition_waits_for_storage_too() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        server.publish(ExactlyOnce, 1, 5).unwrap();
        server.reconnect(&connect(version));
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Repeated);
        // Once more: the answer is on its way already.
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Handled);
        server.publish(AtLeastOnce, 2, 0).unwrap();
        server.store_until(4);
        assert!(server.sent().is_empty());
        server.store_until(5);
        assert_eq!(server.sent(), ["PUBREC 1", "PUBACK 2"]);
    }
}

/// [MQTT 5.0, section 4.3.3]: a PUBREC with a failure ends the exchange, whether or not the client got it.
#[test]
fn a_refused_message_is_a_new_one_when_it_comes_again() {
    let mut server = Server::new(Version::V5);
    for not_before in [0, 9] {
        server.publish(AtLeastOnce, 2, not_before).unwrap();
        server.take(Packet::Publish(publish(ExactlyOnce, 1))).unwrap();
        server.acknowledge(ExactlyOnce, 1, ReasonCode::NotAuthorized, 0);
        server.reconnect(&connect(Version::V5));
        assert_eq!(server.take(Packet::Publish(publish(ExactlyOnce, 1))).unwrap(), Outcome::Routed);
        server.acknowledge(ExactlyOnce, 1, ReasonCode::NotAuthorized, 0);
        assert_eq!(server.sent(), ["PUBREC 1 0x87"]);
        server.reconnect(&connect(Version::V5));
    }
}

/// Clients of MQTT 3 cannot be told of a failure: the exchange goes on.
#[test]
fn a_refused_message_of_mqtt_3_ends_like_any_other() {
    for version in [Version::V31, Version::V311] {
        let mut server = Server::new(version);
        server.take(Packet::Publish(publish(ExactlyOnce, 1))).unwrap();
        server.acknowledge(ExactlyOnce, 1, ReasonCode::NotAuthorized, 0);
        assert_eq!(server.publish(ExactlyOnce, 1, 0).unwrap(), Outcome::Repeated);
        server.store_until(0);
        server.take(Packet::PubRel(ack(1))).unwrap();
        assert_eq!(server.sent(), ["PUBREC 1", "PUBREC 1", "PUBCOMP 1"]);
    }
}

/// [MQTT-3.3.4-7]: QoS 1 and 2 count together, until PUBACK, PUBCOMP or a failure is sent. QoS 0 never counts.
#[test]
fn more_than_the_receive_maximum_is_a_violation() {
    let mut server = Server::new(Version::V5);
    server.publish(AtLeastOnce, 1, 9).unwrap();
    server.publish(AtLeastOnce, 2, 9).unwrap();
    server.publish(ExactlyOnce, 3, 9).unwrap();
    server.publish(ExactlyOnce, 4, 9).unwrap();
    server.publish(AtMostOnce, 0, 0).unwrap();
    // A repetition is in the count already.
    server.publish(ExactlyOnce, 3, 9).unwrap();
    for qos in [AtLeastOnce, ExactlyOnce] {
        assert_eq!(reason_of(server.publish(qos, 5, 9)), ReasonCode::ReceiveMaximumExceeded);
    }
    server.store_until(9);
    server.publish(AtLeastOnce, 5, 20).unwrap();
    server.publish(AtLeastOnce, 6, 20).unwrap();
    assert_eq!(reason_of(server.publish(AtLeastOnce, 7, 20)), ReasonCode::ReceiveMaximumExceeded);
    server.take(Packet::PubRel(ack(3))).unwrap();
    server.publish(AtLeastOnce, 7, 20).unwrap();
    assert_eq!(reason_of(server.publish(AtLeastOnce, 8, 20)), ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn clients_of_mqtt_3_have_no_receive_maximum() {
    let mut server = Server::new(Version::V311);
    for packet_id in 1..=100 {
        server.publish(ExactlyOnce, packet_id, 9).unwrap();
    }
    assert_eq!(server.session.acknowledgements_waiting(), 100);
}

/// [MQTT 5.0, section 4.9]: the count is no part of the session. What the last connection left unreleased counts only
/// once it comes again.
#[test]
fn the_receive_maximum_is_counted_anew_on_each_connection() {
    let mut server = Server::new(Version::V5);
    for packet_id in 1..=4 {
        server.publish(ExactlyOnce, packet_id, 0).unwrap();
    }
    server.reconnect(&connect(Version::V5));
    for packet_id in [11, 12, 1] {
        server.publish(ExactlyOnce, packet_id, 0).unwrap();
    }
    server.take(Packet::PubRel(ack(2))).unwrap();
    server.publish(ExactlyOnce, 13, 0).unwrap();
    assert_eq!(reason_of(server.publish(ExactlyOnce, 3, 0)), ReasonCode::ReceiveMaximumExceeded);
    server.take(Packet::PubRel(ack(1))).unwrap();
    server.publish(ExactlyOnce, 3, 0).unwrap();
}

/// [MQTT-4.3.3-11]; older versions have no way to say that the identifier is unknown.
#[test]
fn an_unknown_release_is_answered() {
    for (version, expected) in
        [(Version::V31, "PUBCOMP 9"), (Version::V311, "PUBCOMP 9"), (Version::V5, "PUBCOMP 9 0x92")]
    {
        let mut server = Server::new(version);
        server.take(Packet::PubRel(ack(9))).unwrap();
        assert_eq!(server.sent(), [expected]);
    }
}

/// What was on its way to storage when the connection broke is acknowledged when the client sends it again.
#[test]
fn acknowledgements_end_with_their_connection() {
    let mut server = Server::new(Version::V5);
    server.publish(AtLeastOnce, 1, 5).unwrap();
    server.reconnect(&connect(Version::V5));
    server.store_until(9);
    assert!(server.sent().is_empty());
    assert_eq!(server.publish(AtLeastOnce, 1, 9).unwrap(), Outcome::Routed);
    assert_eq!(server.sent(), ["PUBACK 1"]);
}

/// [MQTT-3.1.0-2], [MQTT-4.12.0-6], [MQTT-3.3.4-6], [MQTT-3.3.2-9]
#[test]
fn packets_out_of_place_are_violations() {
    let mut properties = gaugeline_protocol::packet::PublishProperties::default();
    properties.raw = &[0x0B, 1];
    let identified = gaugeline_protocol::packet::Publish { properties, ..publish(AtMostOnce, 0) };
    for packet in [
        Packet::Connect(Box::new(connect(Version::V5))),
        Packet::ConnAck(Box::new(gaugeline_protocol::packet::ConnAck::new(ReasonCode::Success, false))),
        Packet::SubAck(gaugeline_protocol::packet::SubAck::new(id(1), vec![ReasonCode::Success])),
        Packet::UnsubAck(gaugeline_protocol::packet::UnsubAck::new(id(1), vec![ReasonCode::Success])),
        Packet::PingResp,
        Packet::Publish(identified),
    ] {
        let mut server = Server::new(Version::V5);
        assert_eq!(reason_of(server.take(packet)), ReasonCode::ProtocolError);
    }
    assert_eq!(Ack::new(id(1), ReasonCode::Success), ack(1));
}

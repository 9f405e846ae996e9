//! Messages from the server: acknowledgement in order, QoS 2 without duplicates, aliases, the receive maximum.

use std::num::NonZeroU16;

use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    client::ConnectionError,
    packet::{AckType, ConnAckProperties, Outgoing},
};

use crate::rig::{Rig, Seen};

const OK: ReasonCode = ReasonCode::Success;

#[test]
fn qos_0_needs_no_acknowledgement() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        let seen = rig.server_publish(QoS::AtMostOnce, 7, false).unwrap();
        assert_eq!(seen, Seen::Message { topic: "t".into(), payload: vec![7], dup: false, receipt: None });
        assert_eq!((rig.sent().len(), rig.client.owed()), (0, 0));
    }
}

#[test]
fn acknowledgements_leave_in_the_order_of_arrival() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        let receipts = [
            rig.receive(QoS::AtLeastOnce, 7),
            rig.receive(QoS::ExactlyOnce, 3),
            rig.receive(QoS::AtLeastOnce, 5),
            rig.receive(QoS::AtLeastOnce, 6),
        ];
        assert_eq!(rig.sent().len(), 0, "nothing before the application says so");
        assert!(rig.client.acknowledge(receipts[2]));
        assert!(rig.client.acknowledge(receipts[1]));
        assert_eq!(rig.sent().len(), 0, "[MQTT-4.6.0-2]");
        assert!(rig.client.acknowledge(receipts[0]));
        assert_eq!(rig.sent(), ["PUBACK 7", "PUBREC 3", "PUBACK 5"], "[MQTT-4.6.0-2], [MQTT-4.6.0-3]");
        assert_eq!(rig.client.owed(), 1);
        assert!(!rig.client.acknowledge(receipts[0]), "twice is once");
        assert!(rig.client.acknowledge(receipts[3]));
        assert_eq!(rig.sent(), ["PUBACK 6"]);
    }
}

#[test]
fn exactly_once_is_delivered_once() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        let receipt = rig.receive(QoS::ExactlyOnce, 3);
        let again = rig.server_publish(QoS::ExactlyOnce, 3, true);
        assert_eq!(again, Ok(Seen::Nothing), "[MQTT-4.3.3-10]: not delivered again");
        rig.client.acknowledge(receipt);
        assert_eq!(rig.sent(), ["PUBREC 3"]);
        assert_eq!(rig.server_publish(QoS::ExactlyOnce, 3, true), Ok(Seen::Nothing));
        assert_eq!(rig.sent(), ["PUBREC 3"], "[MQTT-4.3.3-8]: answered again");
        assert_eq!(rig.server_ack(AckType::PubRel, 3, OK), Seen::Nothing);
        assert_eq!(rig.sent(), ["PUBCOMP 3"], "[MQTT-4.3.3-11]");
        rig.receive(QoS::ExactlyOnce, 3);
    }
}

#[test]
fn an_unknown_pubrel_is_answered() {
    for (version, sent) in [(Version::V311, "PUBCOMP 9"), (Version::V5, "PUBCOMP 9 92")] {
        let mut rig = Rig::online(version);
        rig.server_ack(AckType::PubRel, 9, OK);
        assert_eq!(rig.sent(), [sent], "[MQTT 5.0, section 3.7.2.1]");
    }
}

#[test]
fn a_receipt_dies_with_its_connection() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        let old = rig.receive(QoS::AtLeastOnce, 1);
        rig.reconnect(false, ConnAckProperties::default());
        rig.sent();
        let new = rig.receive(QoS::AtLeastOnce, 1);
        assert!(!rig.client.acknowledge(old), "another message has the identifier now");
        assert_eq!((rig.sent().len(), rig.client.owed()), (0, 1));
        assert!(rig.client.acknowledge(new));
        assert_eq!(rig.sent(), ["PUBACK 1"]);
    }
}

#[test]
fn a_resumed_session_knows_what_it_has_taken() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        let taken = rig.receive(QoS::ExactlyOnce, 1);
        rig.receive(QoS::ExactlyOnce, 2);
        rig.client.acknowledge(taken);
        rig.reconnect(true, ConnAckProperties::default());
        assert_eq!(rig.server_publish(QoS::ExactlyOnce, 1, true), Ok(Seen::Nothing), "[MQTT-4.3.3-10]");
        assert_eq!(rig.sent(), ["PUBREC 1"]);
        rig.receive(QoS::ExactlyOnce, 2);
        assert_eq!(rig.client.owed(), 1, "not acknowledged, so it comes again");
        rig.server_ack(AckType::PubRel, 1, OK);
        assert_eq!(rig.sent(), ["PUBCOMP 1"]);
    }
}

#[test]
fn a_new_session_has_taken_nothing() {
    for version in [Version::V311, Version::V5] {
        let mut rig = Rig::online(version);
        let receipt = rig.receive(QoS::ExactlyOnce, 1);
        rig.client.acknowledge(receipt);
        rig.reconnect(false, ConnAckProperties::default());
        rig.receive(QoS::ExactlyOnce, 1);
    }
}

#[test]
fn the_server_must_respect_the_receive_maximum() {
    let mut rig = Rig::online(Version::V5);
    let mut receipts = (1..=10).map(|id| rig.receive(QoS::ExactlyOnce, id)).collect::<Vec<_>>();
    rig.client.acknowledge(receipts.remove(0));
    rig.server_publish(QoS::AtMostOnce, 1, false).unwrap();
    rig.server_ack(AckType::PubRel, 1, OK);
    rig.receive(QoS::AtLeastOnce, 11);
    rig.sent();
    let error = rig.server_publish(QoS::AtLeastOnce, 12, false).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::ReceiveMaximumExceeded, "[MQTT-3.3.4-9]");
    assert_eq!(rig.sent(), ["DISCONNECT 93"]);
    let mut rig = Rig::online(Version::V311);
    for id in 1..=100 {
        rig.receive(QoS::AtLeastOnce, id);
    }
}

fn aliased(rig: &mut Rig, alias: u16, topic: &str) -> Result<Seen, ConnectionError> {
    let outgoing = Outgoing { topic, topic_alias: NonZeroU16::new(alias), ..Outgoing::default() };
    rig.server(|version, out| assert!(outgoing.encode(version, out).is_ok()))
}

fn topic(seen: Result<Seen, ConnectionError>) -> String {
    match seen {
        Ok(Seen::Message { topic, .. }) => topic,
        other => panic!("{other:?}"),
    }
}

#[test]
fn aliases_stand_for_topics() {
    let mut rig = Rig::online(Version::V5);
    assert_eq!(topic(aliased(&mut rig, 4, "a")), "a");
    assert_eq!(topic(aliased(&mut rig, 1, "b")), "b");
    assert_eq!(topic(aliased(&mut rig, 4, "")), "a");
    assert_eq!(topic(aliased(&mut rig, 4, "c")), "c", "[MQTT 5.0, section 3.3.2.3.4]: a new meaning");
    assert_eq!(topic(aliased(&mut rig, 4, "")), "c");
    assert_eq!(topic(aliased(&mut rig, 1, "")), "b");
    let error = aliased(&mut rig, 2, "").unwrap_err();
    assert_eq!(error.reason(), ReasonCode::ProtocolError, "never given a topic");
    rig.reconnect(true, ConnAckProperties::default());
    let error = aliased(&mut rig, 1, "").unwrap_err();
    assert_eq!(error.reason(), ReasonCode::ProtocolError, "[MQTT-3.3.2-7]: forgotten with the connection");
    rig.reconnect(true, ConnAckProperties::default());
    let error = aliased(&mut rig, 5, "a").unwrap_err();
    assert_eq!(error.reason(), ReasonCode::TopicAliasInvalid, "[MQTT-3.1.2-26]");
    rig.client.connect_packet_mut().properties.topic_alias_maximum = 0;
    rig.reconnect(true, ConnAckProperties::default());
    let error = aliased(&mut rig, 1, "a").unwrap_err();
    assert_eq!(error.reason(), ReasonCode::TopicAliasInvalid, "[MQTT-3.1.2-27]");
}

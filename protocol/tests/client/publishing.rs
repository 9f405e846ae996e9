//! Messages to the server: the window, acknowledgements, and what a reconnect sends again.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    client::{GivenUpReason, Publication, RequestError},
    packet::{AckType, ConnAckProperties, MessageProperties},
};

use crate::rig::{Rig, Seen, packet_id, publication};

const OK: ReasonCode = ReasonCode::Success;

fn window(messages: u16) -> ConnAckProperties {
    ConnAckProperties { receive_maximum: NonZeroU16::new(messages), ..ConnAckProperties::default() }
}

#[test]
fn each_qos_runs_its_course() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        assert_eq!(rig.publish(QoS::AtMostOnce), None, "[MQTT-2.2.1-2]");
        assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(1)), "[MQTT-2.2.1-3]");
        assert_eq!(rig.publish(QoS::ExactlyOnce), Some(packet_id(2)));
        assert_eq!(rig.sent(), ["PUBLISH", "PUBLISH 1", "PUBLISH 2"], "[MQTT-3.3.1-2]: no DUP");
        assert_eq!(rig.client.unacknowledged(), 2);
        assert_eq!(rig.server_ack(AckType::PubRec, 2, OK), Seen::Nothing);
        assert_eq!(rig.sent(), ["PUBREL 2"], "[MQTT-4.3.3-4]");
        assert_eq!(rig.server_ack(AckType::PubComp, 2, OK), Seen::Published(packet_id(2), OK));
        assert_eq!(rig.server_ack(AckType::PubAck, 1, OK), Seen::Published(packet_id(1), OK));
        assert_eq!(rig.client.unacknowledged(), 0);
        assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(3)));
    }
}

#[test]
fn a_refusal_ends_the_exchange() {
    let mut rig = Rig::online(Version::V5);
    rig.publish(QoS::AtLeastOnce);
    rig.publish(QoS::ExactlyOnce);
    let denied = ReasonCode::NotAuthorized;
    assert_eq!(rig.server_ack(AckType::PubAck, 1, denied), Seen::Published(packet_id(1), denied));
    assert_eq!(rig.server_ack(AckType::PubRec, 2, denied), Seen::Published(packet_id(2), denied));
    rig.sent();
    assert_eq!((rig.client.unacknowledged(), rig.sent().len()), (0, 0), "[MQTT-4.3.3-4]: no PUBREL");
}

#[test]
fn acknowledgements_that_fit_to_nothing() {
    let mut rig = Rig::online(Version::V5);
    assert_eq!(rig.server_ack(AckType::PubAck, 9, OK), Seen::Nothing);
    assert_eq!(rig.server_ack(AckType::PubComp, 9, OK), Seen::Nothing);
    assert_eq!(rig.server_ack(AckType::PubRec, 9, OK), Seen::Nothing);
    assert_eq!(rig.sent(), ["PUBREL 9 92"], "[MQTT 5.0, section 3.6.2.1]");
    rig.publish(QoS::ExactlyOnce);
    assert_eq!(rig.server_ack(AckType::PubAck, 1, OK), Seen::Nothing, "not the acknowledgement of QoS 2");
    assert_eq!(rig.client.unacknowledged(), 1);
}

#[test]
fn the_window_is_the_servers_receive_maximum() {
    let mut rig = Rig::new(Version::V5);
    rig.reconnect(false, window(2));
    rig.publish(QoS::AtLeastOnce);
    rig.publish(QoS::ExactlyOnce);
    assert_eq!(rig.client.window(), 0);
    assert_eq!(
        rig.client.publish(&publication(QoS::AtLeastOnce)),
        Err(RequestError::WindowClosed),
        "[MQTT-3.3.4-7]"
    );
    assert_eq!(rig.publish(QoS::AtMostOnce), None, "[MQTT-3.3.4-8]: QoS 0 is not held back");
    rig.server_ack(AckType::PubRec, 2, OK);
    assert_eq!(rig.client.window(), 0, "[MQTT 5.0, section 4.9]: PUBREC gives nothing back");
    rig.server_ack(AckType::PubComp, 2, OK);
    assert_eq!(rig.client.window(), 1);
    assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(3)));
}

#[test]
fn an_identifier_is_free_only_after_its_exchange() {
    let mut rig = Rig::online(Version::V311);
    for id in 1..=u16::MAX {
        assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(id)));
    }
    assert_eq!(rig.client.publish(&publication(QoS::AtLeastOnce)), Err(RequestError::WindowClosed));
    rig.server_ack(AckType::PubAck, 1, OK);
    assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(1)), "[MQTT-2.2.1-4]");
    rig.server_ack(AckType::PubAck, 3, OK);
    assert_eq!(rig.client.window(), 0, "2 is still in use");
}

#[test]
fn a_resumed_session_sends_again_what_is_unacknowledged() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce] {
            rig.publish(qos);
        }
        rig.server_ack(AckType::PubRec, 2, OK);
        rig.server_ack(AckType::PubAck, 4, OK);
        rig.sent();
        rig.reconnect(true, ConnAckProperties::default());
        assert_eq!(
            rig.sent(),
            ["PUBLISH 1 DUP", "PUBREL 2", "PUBLISH 3 DUP"],
            "[MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]"
        );
        assert_eq!(rig.server_ack(AckType::PubComp, 2, OK), Seen::Published(packet_id(2), OK));
        assert_eq!(rig.server_ack(AckType::PubAck, 1, OK), Seen::Published(packet_id(1), OK));
        rig.server_ack(AckType::PubRec, 3, OK);
        assert_eq!(rig.sent(), ["PUBREL 3"]);
        rig.server_ack(AckType::PubComp, 3, OK);
        assert_eq!((rig.client.unacknowledged(), rig.client.poll_given_up()), (0, None));
    }
}

#[test]
fn sending_again_respects_the_new_window() {
    let mut rig = Rig::online(Version::V5);
    for _ in 0..5 {
        rig.publish(QoS::AtLeastOnce);
    }
    rig.sent();
    rig.reconnect(true, window(2));
    assert_eq!(rig.sent(), ["PUBLISH 1 DUP", "PUBLISH 2 DUP"], "[MQTT-3.3.4-7]");
    assert_eq!(rig.client.publish(&publication(QoS::AtLeastOnce)), Err(RequestError::WindowClosed));
    rig.server_ack(AckType::PubAck, 2, OK);
    assert_eq!(rig.sent(), ["PUBLISH 3 DUP"]);
    rig.server_ack(AckType::PubAck, 1, OK);
    rig.server_ack(AckType::PubAck, 3, OK);
    assert_eq!(rig.sent(), ["PUBLISH 4 DUP", "PUBLISH 5 DUP"]);
    assert_eq!(rig.client.window(), 0);
    rig.server_ack(AckType::PubAck, 4, OK);
    assert_eq!(rig.publish(QoS::AtLeastOnce), Some(packet_id(6)));
}

#[test]
fn sending_again_comes_in_portions() {
    let mut rig = Rig::online(Version::V311);
    let message = Publication { payload: Bytes::from(vec![0; 40_000]), ..publication(QoS::AtLeastOnce) };
    for _ in 0..5 {
        rig.client.publish(&message).unwrap();
    }
    rig.sent();
    rig.client.connect(rig.now).unwrap();
    rig.reconnect(true, ConnAckProperties::default());
    let mut portion = bytes::BytesMut::new();
    assert!(rig.client.poll_transmit(&mut portion));
    assert!((65_536..120_000).contains(&portion.len()), "bounded: {}", portion.len());
    let more = rig.sent();
    assert_eq!(more, ["PUBLISH 3 DUP", "PUBLISH 4 DUP", "PUBLISH 5 DUP"]);
}

#[test]
fn a_lost_session_gives_everything_up_and_says_so() {
    for version in [Version::V311, Version::V5] {
        let mut rig = Rig::online(version);
        rig.publish(QoS::AtLeastOnce);
        rig.publish(QoS::ExactlyOnce);
        rig.server_ack(AckType::PubRec, 2, OK);
        rig.sent();
        rig.reconnect(false, ConnAckProperties::default());
        assert_eq!(rig.sent().len(), 0, "[MQTT-3.2.2-5]");
        let first = rig.client.poll_given_up().unwrap();
        assert_eq!((first.packet_id, first.reason), (packet_id(1), GivenUpReason::SessionLost));
        assert_eq!(first.publication, Some(publication(QoS::AtLeastOnce)));
        assert_eq!(rig.client.poll_given_up().unwrap().publication, None, "the server had taken it over");
        assert_eq!((rig.client.poll_given_up(), rig.client.unacknowledged()), (None, 0));
        assert!(rig.publish(QoS::AtLeastOnce).is_some());
    }
}

#[test]
fn what_the_server_does_not_take_is_not_sent() {
    let mut rig = Rig::new(Version::V5);
    let demands = ConnAckProperties {
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        packet_bytes_max: NonZeroU32::new(12),
        ..ConnAckProperties::default()
    };
    rig.reconnect(false, demands);
    let retained = Publication { retain: true, ..publication(QoS::AtMostOnce) };
    let large = Publication { payload: Bytes::from_static(b"12345678"), ..publication(QoS::AtMostOnce) };
    for (publication, error) in [
        (publication(QoS::ExactlyOnce), RequestError::QoSNotSupported),
        (retained, RequestError::RetainNotSupported),
        (large, RequestError::TooLarge { bytes: 14, max: 12 }),
    ] {
        assert_eq!(rig.client.publish(&publication), Err(error), "[MQTT-3.2.2-11], -14, -15");
    }
    assert_eq!((rig.sent().len(), rig.client.unacknowledged()), (0, 0));
}

#[test]
fn a_message_that_a_new_limit_forbids_is_given_up() {
    let mut rig = Rig::online(Version::V5);
    rig.publish(QoS::ExactlyOnce);
    rig.publish(QoS::AtLeastOnce);
    rig.sent();
    let demands = ConnAckProperties { maximum_qos: Some(QoS::AtLeastOnce), ..ConnAckProperties::default() };
    rig.reconnect(true, demands);
    assert_eq!(rig.sent(), ["PUBLISH 2 DUP"], "[MQTT-3.2.2-11]");
    let given_up = rig.client.poll_given_up().unwrap();
    assert_eq!((given_up.packet_id, given_up.reason), (packet_id(1), GivenUpReason::NotSendable));
    assert_eq!(rig.client.unacknowledged(), 1);
}

#[test]
fn properties_travel_with_the_message() {
    let properties = MessageProperties {
        payload_is_utf8: true,
        content_type: Some("x".into()),
        user_properties: vec![("k".into(), "v".into())],
        ..MessageProperties::default()
    };
    let expected = [1, 1, 3, 0, 1, b'x', 0x26, 0, 1, b'k', 0, 1, b'v'];
    assert_eq!(properties.encode().unwrap(), &expected[..]);
}

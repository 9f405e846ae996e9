//! CONNECT, CONNACK and the end of a connection.

use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    client::{ConnectionError, RequestError},
    codec::DecodeError,
    packet::{ConnAck, ConnAckProperties, Disconnect, PacketType, PingResp},
};

use crate::rig::{Rig, Seen, publication};

#[test]
fn a_connection_begins_with_connect_and_nothing_is_sent_before_connack() {
    for version in Version::ALL {
        let mut rig = Rig::new(version);
        assert!(!rig.client.poll_transmit(&mut bytes::BytesMut::new()));
        rig.client.connect(rig.now).unwrap();
        assert_eq!(rig.client.publish(&publication(QoS::AtMostOnce)), Err(RequestError::Offline));
        assert_eq!(rig.sent(), ["CONNECT"], "[MQTT-3.1.0-1]");
        let connack = ConnAck::new(ReasonCode::Success, false);
        let seen = rig.server(|version, out| connack.encode(version, out).unwrap());
        assert_eq!(seen, Ok(Seen::Connected { session_present: false }));
        assert!(rig.client.is_online());
    }
}

#[test]
fn a_refusal_is_told() {
    for version in Version::ALL {
        let mut rig = Rig::new(version);
        rig.client.connect(rig.now).unwrap();
        rig.sent();
        let connack = ConnAck::new(ReasonCode::BadUserNameOrPassword, false);
        let seen = rig.server(|version, out| connack.encode(version, out).unwrap());
        assert_eq!(seen, Ok(Seen::Refused(ReasonCode::BadUserNameOrPassword)), "[MQTT-3.2.2-7]");
        assert_eq!((rig.timeout(), rig.sent().len()), (None, 0));
    }
}

#[test]
fn a_session_that_nobody_asked_for_is_an_error() {
    let mut rig = Rig::new(Version::V5);
    rig.client.connect_packet_mut().clean_start = true;
    rig.client.connect(rig.now).unwrap();
    rig.sent();
    let connack = ConnAck::new(ReasonCode::Success, true);
    let error = rig.server(|version, out| connack.encode(version, out).unwrap()).unwrap_err();
    assert_eq!(error.reason(), ReasonCode::ProtocolError, "[MQTT-3.2.2-2]");
}

#[test]
fn connack_comes_first_and_once() {
    let mut rig = Rig::new(Version::V5);
    rig.client.connect(rig.now).unwrap();
    rig.sent();
    let error = rig.server(|version, out| PingResp.encode(version, out).unwrap()).unwrap_err();
    assert_eq!(error, ConnectionError::Unexpected(PacketType::PingResp), "[MQTT-3.2.0-1]");
    assert_eq!(rig.sent().len(), 0, "no DISCONNECT before CONNACK");
    let mut rig = Rig::online(Version::V5);
    let connack = ConnAck::new(ReasonCode::Success, false);
    let error = rig.server(|version, out| connack.encode(version, out).unwrap()).unwrap_err();
    assert_eq!(error, ConnectionError::Unexpected(PacketType::ConnAck), "[MQTT-3.2.0-2]");
    assert_eq!(rig.sent(), ["DISCONNECT 82"], "[MQTT-4.13.1-1]");
    assert!(!rig.client.is_online());
}

#[test]
fn a_silent_server_is_given_up() {
    let mut rig = Rig::new(Version::V311);
    rig.client.connect(rig.now).unwrap();
    assert_eq!(rig.timeout(), Some(20));
    rig.after(19);
    assert_eq!(rig.client.handle_timeout(rig.now), Ok(()));
    rig.after(1);
    assert_eq!(rig.client.handle_timeout(rig.now), Err(ConnectionError::NoConnAck));
    assert_eq!(rig.timeout(), None);
}

#[test]
fn an_assigned_identifier_is_kept_for_the_next_connection() {
    let mut rig = Rig::new(Version::V5);
    rig.client.connect_packet_mut().client_id.clear();
    let properties =
        ConnAckProperties { assigned_client_id: Some("given".into()), ..ConnAckProperties::default() };
    rig.reconnect(false, properties);
    assert_eq!(rig.client.connect_packet().client_id, "given", "[MQTT-3.2.2-16]");
}

#[test]
fn the_server_ends_the_connection() {
    let mut rig = Rig::online(Version::V5);
    let disconnect = Disconnect::new(ReasonCode::SessionTakenOver);
    let seen = rig.server(|version, out| disconnect.encode(version, out).unwrap());
    assert_eq!(seen, Ok(Seen::Disconnected(ReasonCode::SessionTakenOver)));
    assert!(!rig.client.is_online());
    let mut rig = Rig::online(Version::V311);
    let error = rig.server(|version, out| disconnect.encode(version, out).unwrap()).unwrap_err();
    assert_eq!(
        error,
        ConnectionError::Unexpected(PacketType::Disconnect),
        "only clients send it before MQTT 5"
    );
}

#[test]
fn the_client_ends_the_connection() {
    for version in Version::ALL {
        let mut rig = Rig::online(version);
        rig.publish(QoS::AtMostOnce);
        rig.client.disconnect(ReasonCode::Success, None).unwrap();
        assert_eq!(
            rig.sent(),
            ["PUBLISH", "DISCONNECT"],
            "[MQTT-3.14.4-1]: what was published before goes first"
        );
        assert_eq!(rig.client.publish(&publication(QoS::AtMostOnce)), Err(RequestError::Offline));
        assert_eq!(rig.server(|version, out| PingResp.encode(version, out).unwrap()), Ok(Seen::Nothing));
    }
}

#[test]
fn malformed_bytes_end_the_connection() {
    for (version, sent) in [(Version::V311, vec![]), (Version::V5, vec!["DISCONNECT 81"])] {
        let mut rig = Rig::online(version);
        let error = rig.client.handle_malformed(DecodeError::NotUtf8);
        assert_eq!(error.reason(), ReasonCode::MalformedPacket);
        assert_eq!(rig.sent(), sent, "[MQTT-4.13.1-1]");
        assert!(!rig.client.is_online());
    }
}

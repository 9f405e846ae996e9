//! CONNACK [MQTT 5.0, section 3.2].

use gaugeline_protocol::{
    QoS, ReasonCode,
    ReasonCode::{MalformedPacket, ProtocolError},
    Version,
    packet::{ConnAck, Packet},
};

use crate::table::{V3, V5, V31, V311, check, packet, read};

#[test]
fn before_mqtt_5() {
    check(&[
        ("success", V3, "20 02 00 00", None),
        ("[MQTT-3.2.2-2]", V311, "20 02 01 00", None),
        ("each return code", V3, "20 02 00 05", None),
        ("reserved return code", V3, "20 02 00 06", Some(ProtocolError)),
        ("B8 [MQTT-3.2.2-1]", V311, "20 02 FE 00", Some(MalformedPacket)),
        ("B8 MQTT 3.1: the byte is not used", V31, "20 02 FE 00", None),
        ("C [MQTT-3.2.2-4]", V311, "20 02 01 05", Some(ProtocolError)),
        ("B2 nothing follows", V3, "20 03 00 00 00", Some(MalformedPacket)),
        ("return code missing", V3, "20 01 00", Some(MalformedPacket)),
        ("empty", V3, "20 00", Some(MalformedPacket)),
    ]);
}

#[test]
fn mqtt_5() {
    check(&[
        ("success", V5, "20 03 00 00 00", None),
        ("[MQTT-3.2.2-2]", V5, "20 03 01 00 00", None),
        ("A12 property length missing", V5, "20 02 00 00", Some(MalformedPacket)),
        ("B8 [MQTT-3.2.2-1]", V5, "20 03 02 00 00", Some(MalformedPacket)),
        ("C [MQTT-3.2.2-6]", V5, "20 03 01 87 00", Some(ProtocolError)),
        ("[MQTT-3.2.2-8] unknown code", V5, "20 03 00 01 00", Some(ProtocolError)),
        ("B2 nothing follows", V5, "20 04 00 00 00 00", Some(MalformedPacket)),
        ("B5 [3.2.2.3.3] twice", V5, "20 | 00 00 06 210001 210001", Some(ProtocolError)),
        ("B6 property past its section", V5, "20 | 00 00 01 210001", Some(MalformedPacket)),
        ("C [3.2.2.3.3] receive maximum 0", V5, "20 | 00 00 03 210000", Some(ProtocolError)),
        ("C [3.2.2.3.4] maximum QoS 2", V5, "20 | 00 00 02 2402", Some(ProtocolError)),
        ("C [3.2.2.3.5] retain available 5", V5, "20 | 00 00 02 2505", Some(ProtocolError)),
        ("C [3.2.2.3.6] maximum packet size 0", V5, "20 | 00 00 05 2700000000", Some(ProtocolError)),
        ("C [3.2.2.3.11] wildcards 2", V5, "20 | 00 00 02 2802", Some(ProtocolError)),
        ("C [3.2.2.3.12] subscription identifiers 2", V5, "20 | 00 00 02 2902", Some(ProtocolError)),
        ("C [3.2.2.3.13] shared subscriptions 2", V5, "20 | 00 00 02 2A02", Some(ProtocolError)),
        ("C data without method", V5, "20 | 00 00 04 160001FF", Some(ProtocolError)),
        ("C [MQTT-1.5.4-2]", V5, "20 | 00 00 04 1F000100", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", V5, "20 | 00 00 02 1701", Some(MalformedPacket)),
    ]);
}

#[test]
fn every_reason_code_has_its_place() {
    let accepted =
        (0..=u8::MAX).filter(|code| read(Version::V5, &[0x20, 3, 0, *code, 0]).is_ok()).collect::<Vec<_>>();
    let expected = [
        0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
        0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    ];
    assert_eq!(accepted, expected, "[MQTT-3.2.2-8]");
}

#[test]
fn content() {
    let bytes = packet("20 | 00 00 0A 21 0005 24 01 25 00 13 003C");
    let Ok(Packet::ConnAck(found)) = read(Version::V5, &bytes) else { panic!("CONNACK") };
    assert_eq!(found.properties.receive_maximum.unwrap().get(), 5);
    assert_eq!(found.properties.maximum_qos, Some(QoS::AtLeastOnce));
    assert_eq!(found.properties.retain_available, Some(false));
    assert_eq!(found.properties.server_keep_alive_seconds, Some(60));
    for (code, reason) in [
        (0, ReasonCode::Success),
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ] {
        let found = [0x20, 2, 0, code];
        let expected = Packet::ConnAck(Box::new(ConnAck::new(reason, false)));
        assert_eq!(read(Version::V311, &found), Ok(expected), "[MQTT 3.1.1, table 3.1]");
    }
}

//! CONNECT [MQTT 5.0, section 3.1].

use bytes::Bytes;
use gaugeline_protocol::{
    QoS,
    ReasonCode::{
        MalformedPacket, PacketTooLarge, ProtocolError, TopicNameInvalid, UnsupportedProtocolVersion,
    },
    Version,
    codec::{DecodeError, Limits, frame},
    packet::{Connect, Packet},
};

use crate::table::{ALL, V5, V31, V311, check, packet, read};

fn connect(text: &str) -> Connect {
    let bytes = packet(text);
    match read(Version::V5, &bytes) {
        Ok(Packet::Connect(connect)) => *connect,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn versions() {
    check(&[
        ("A9 MQTT 3.1", ALL, "10 | 0006 'MQIsdp' 03 02 000A 0001 'c'", None),
        ("MQTT 3.1.1", ALL, "10 | 0004 'MQTT' 04 02 000A 0001 'c'", None),
        ("MQTT 5.0", ALL, "10 | 0004 'MQTT' 05 02 000A 00 0001 'c'", None),
        ("[MQTT-3.1.2-1]", ALL, "10 | 0004 'mqtt' 04 02 000A 0001 'c'", Some(UnsupportedProtocolVersion)),
        ("[MQTT-3.1.2-1]", ALL, "10 | 0000 04 02 000A 0001 'c'", Some(UnsupportedProtocolVersion)),
        ("[MQTT-3.1.2-2]", ALL, "10 | 0004 'MQTT' 03 02 000A 0001 'c'", Some(UnsupportedProtocolVersion)),
        ("[MQTT-3.1.2-2]", ALL, "10 | 0004 'MQTT' 06 02 000A 0001 'c'", Some(UnsupportedProtocolVersion)),
        ("[MQTT-3.1.2-2]", ALL, "10 | 0006 'MQIsdp' 04 02 000A 0001 'c'", Some(UnsupportedProtocolVersion)),
    ]);
    for (text, version) in [
        ("10 | 0006 'MQIsdp' 03 02 000A 0001 'c'", Version::V31),
        ("10 | 0004 'MQTT' 04 02 000A 0001 'c'", Version::V311),
        ("10 | 0004 'MQTT' 05 02 000A 00 0001 'c'", Version::V5),
    ] {
        assert_eq!(connect(text).version, version);
        assert_eq!(Connect::peek_version(&frame(&packet(text), 100).unwrap().unwrap()), Ok(version));
    }
}

#[test]
fn the_level_decides_how_a_refusal_is_written() {
    for (level, version) in
        [("06", Version::V5), ("FF", Version::V5), ("02", Version::V311), ("84", Version::V311)]
    {
        let bytes = packet(&format!("10 | 0004 'MQTT' {level} 02 000A 0001 'c'"));
        let error = read(Version::V5, &bytes).unwrap_err();
        assert!(matches!(error, DecodeError::UnsupportedVersion { .. }));
        assert_eq!(error.refusal_version(), Some(version), "[MQTT-3.1.2-2] level {level}");
    }
}

#[test]
fn flags() {
    check(&[
        ("B3 [MQTT-3.1.2-3]", V311, "10 | 0004 'MQTT' 04 03 000A 0001 'c'", Some(MalformedPacket)),
        ("B3 [MQTT-3.1.2-3]", V5, "10 | 0004 'MQTT' 05 03 000A 00 0001 'c'", Some(MalformedPacket)),
        ("B3 MQTT 3.1: the bit is not used", V31, "10 | 0006 'MQIsdp' 03 03 000A 0001 'c'", None),
        (
            "[MQTT-3.1.2-11] will QoS without will",
            V311,
            "10 | 0004 'MQTT' 04 0A 000A 0001 'c'",
            Some(MalformedPacket),
        ),
        (
            "[MQTT-3.1.2-13] will retain without will",
            V5,
            "10 | 0004 'MQTT' 05 22 000A 00 0001 'c'",
            Some(MalformedPacket),
        ),
        ("MQTT 3.1: not used without will", V31, "10 | 0006 'MQIsdp' 03 2A 000A 0001 'c'", None),
        (
            "[MQTT-3.1.2-12] will QoS 3",
            V311,
            "10 | 0004 'MQTT' 04 1E 000A 0001 'c' 0001 't' 0000",
            Some(MalformedPacket),
        ),
        (
            "[MQTT-3.1.2-12] will QoS 3",
            V5,
            "10 | 0004 'MQTT' 05 1E 000A 00 0001 'c' 00 0001 't' 0000",
            Some(MalformedPacket),
        ),
        ("B4 [MQTT-3.1.2-22]", V311, "10 | 0004 'MQTT' 04 42 000A 0001 'c' 0001 'p'", Some(MalformedPacket)),
        ("B4 MQTT 3.1: alike", V31, "10 | 0006 'MQIsdp' 03 42 000A 0001 'c' 0001 'p'", Some(MalformedPacket)),
        ("B4 MQTT 5 allows a password alone", V5, "10 | 0004 'MQTT' 05 42 000A 00 0001 'c' 0001 'p'", None),
    ]);
}

#[test]
fn payload() {
    check(&[
        ("B2 nothing follows", V311, "10 | 0004 'MQTT' 04 02 000A 0001 'c' 'junk'", Some(MalformedPacket)),
        ("B2 nothing follows", V5, "10 | 0004 'MQTT' 05 02 000A 00 0001 'c' 'junk'", Some(MalformedPacket)),
        ("B2 nothing follows", V31, "10 | 0006 'MQIsdp' 03 02 000A 0001 'c' 'junk'", Some(MalformedPacket)),
        (
            "[MQTT-3.1.2-17] flag without user name",
            V311,
            "10 | 0004 'MQTT' 04 82 000A 0001 'c'",
            Some(MalformedPacket),
        ),
        ("MQTT 3.1 accepts a flag without user name", V31, "10 | 0006 'MQIsdp' 03 C2 000A 0001 'c'", None),
        (
            "[MQTT-3.1.3-3] client identifier missing",
            V311,
            "10 | 0004 'MQTT' 04 02 000A",
            Some(MalformedPacket),
        ),
        (
            "C [MQTT-1.5.4-2] in the client identifier",
            V311,
            "10 | 0004 'MQTT' 04 02 000A 0001 00",
            Some(MalformedPacket),
        ),
        (
            "C [MQTT-1.5.4-2] in the user name",
            V311,
            "10 | 0004 'MQTT' 04 82 000A 0001 'c' 0001 00",
            Some(MalformedPacket),
        ),
        ("[MQTT-1.5.4-1]", V311, "10 | 0004 'MQTT' 04 02 000A 0003 EDA080", Some(MalformedPacket)),
        (
            "C [MQTT-3.1.3-11] empty will topic",
            V311,
            "10 | 0004 'MQTT' 04 06 000A 0001 'c' 0000 0000",
            Some(TopicNameInvalid),
        ),
        (
            "C will topic with wildcard",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 00 0003 'a/#' 0000",
            Some(TopicNameInvalid),
        ),
        (
            "C [MQTT-1.5.4-2] in the will topic",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 00 0001 00 0000",
            Some(MalformedPacket),
        ),
    ]);
}

#[test]
fn user_name_and_password() {
    let empty = connect("10 | 0004 'MQTT' 04 82 000A 0001 'c' 0000");
    assert_eq!(empty.user_name.as_deref(), Some(""), "B4: empty is not absent");
    assert_eq!(connect("10 | 0004 'MQTT' 04 02 000A 0001 'c'").user_name, None);
    assert_eq!(connect("10 | 0006 'MQIsdp' 03 82 000A 0001 'c'").user_name, None, "MQTT 3.1");
    for text in [
        "10 | 0006 'MQIsdp' 03 C2 000A 0001 'c' 0001 'u' 0002 FFFE",
        "10 | 0004 'MQTT' 04 C2 000A 0001 'c' 0001 'u' 0002 FFFE",
        "10 | 0004 'MQTT' 05 C2 000A 00 0001 'c' 0001 'u' 0002 FFFE",
    ] {
        let found = connect(text);
        assert_eq!(found.password.as_deref(), Some(&[0xFF, 0xFE][..]), "A10: {text}");
        assert!(!format!("{found:?}").contains("FE"), "no password in logs");
    }
}

#[test]
fn properties() {
    for (statement, section, refused) in [
        (
            "every property",
            "[1100000001 210001 2700000001 220001 1901 1700 150001'm' 160001FF 260001'k'0001'v']",
            None,
        ),
        ("B5 [3.1.2.11.2] twice", "0A 1100000001 1100000002", Some(ProtocolError)),
        ("B5 [3.1.2.11.9] twice", "08 150001'a' 150001'b'", Some(ProtocolError)),
        ("user properties may repeat", "0E 260001'a'0001'b' 260001'a'0001'b'", None),
        ("B6 property past its section", "02 1100000001", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1] length of the section", "8000", Some(MalformedPacket)),
        ("[2.2.2.2] unknown", "02 0400", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", "03 230001", Some(MalformedPacket)),
        ("C [3.1.2.11.3] receive maximum 0", "03 210000", Some(ProtocolError)),
        ("C [3.1.2.11.4] maximum packet size 0", "05 2700000000", Some(ProtocolError)),
        ("C [3.1.2.11.6] request response information 2", "02 1902", Some(ProtocolError)),
        ("C [3.1.2.11.7] request problem information 2", "02 1702", Some(ProtocolError)),
        ("C [3.1.2.11.10] data without method", "04 160001FF", Some(ProtocolError)),
        ("C [MQTT-1.5.4-2] in a user property", "07 26000100000176", Some(MalformedPacket)),
        ("[3.1.2.11.5] topic alias maximum 0", "03 220000", None),
    ] {
        let text = format!("10 | 0004 'MQTT' 05 02 000A {section} 0001 'c'");
        let found = read(Version::V5, &packet(&text)).err().map(|error| error.reason());
        assert_eq!(found, refused, "{statement}: {section}");
    }
}

#[test]
fn will() {
    let found = connect(
        "10 | 0004 'MQTT' 05 36 000A 00 0001 'c' \
         [18 0000000A 0101 02 00000014 030001'x' 080001'r' 090001FF 26 0000 0000] 0001 't' 0002 FFFE",
    );
    let will = found.will.unwrap();
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("t", &[0xFF, 0xFE][..]));
    assert_eq!((will.qos, will.retain), (QoS::ExactlyOnce, true));
    assert_eq!((will.delay_seconds, will.message_expiry_seconds), (10, Some(20)));
    assert_eq!(
        will.properties,
        Bytes::from(crate::table::bytes("01 01 03 0001 'x' 08 0001 'r' 09 0001 FF 26 0000 0000")),
        "what PUBLISH takes over"
    );
    check(&[
        (
            "B5 [3.1.3.2.2] twice",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 0A 1800000001 1800000001 0001 't' 0000",
            Some(ProtocolError),
        ),
        (
            "C payload format 2",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 02 0102 0001 't' 0000",
            Some(ProtocolError),
        ),
        (
            "C response topic with wildcard",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 04 080001'#' 0001 't' 0000",
            Some(ProtocolError),
        ),
        (
            "[2.2.2.2] no topic alias",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 03 230001 0001 't' 0000",
            Some(MalformedPacket),
        ),
        (
            "[2.2.2.2] no subscription identifier",
            V5,
            "10 | 0004 'MQTT' 05 06 000A 00 0001 'c' 02 0B01 0001 't' 0000",
            Some(MalformedPacket),
        ),
    ]);
}

#[test]
fn limits() {
    let properties = "26 0000 0000".repeat(300);
    let text = format!("10 | 0004 'MQTT' 05 02 000A [{properties}] 0001 'c'");
    let error = read(Version::V5, &packet(&text)).unwrap_err();
    assert_eq!(error, DecodeError::TooManyUserProperties(256));
    let bytes = packet("10 | 0004 'MQTT' 04 02 000A 0001 'c'");
    assert_eq!(frame(&bytes, 10).unwrap_err().reason(), PacketTooLarge, "before authentication: small");
    let lenient = Limits { user_properties_max: 300, ..Limits::default() };
    assert!(Connect::decode(&frame(&packet(&text), 10_000).unwrap().unwrap(), &lenient).is_ok());
}

//! The fixed header [MQTT 5.0, section 2.1].

use gaugeline_protocol::{
    ReasonCode::{MalformedPacket, PacketTooLarge},
    codec::{DecodeError, frame},
};

use crate::table::{ALL, V5, V31, V311, V311_V5, check};

#[test]
fn reserved_flags() {
    check(&[
        ("B1 [MQTT-2.1.3-1] CONNECT", ALL, "11 | 0004 'MQTT' 04 02 0000 0001 'c'", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] CONNACK", ALL, "21 02 00 00", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] PUBACK", ALL, "42 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] PUBREC", ALL, "52 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-3.6.1-1] PUBREL", ALL, "60 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-3.6.1-1] PUBREL", ALL, "62 02 0001", None),
        ("B1 [MQTT-2.1.3-1] PUBCOMP", ALL, "71 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-3.8.1-1] SUBSCRIBE", ALL, "80 06 0001 0001 61 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.8.1-1] SUBSCRIBE", ALL, "83 06 0001 0001 61 00", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] SUBACK", ALL, "91 03 0001 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.10.1-1] UNSUBSCRIBE", ALL, "A0 05 0001 0001 61", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] UNSUBACK", ALL, "B4 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] PINGREQ", ALL, "C1 00", Some(MalformedPacket)),
        ("B1 [MQTT-2.1.3-1] PINGRESP", ALL, "D8 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.14.1-1] DISCONNECT", ALL, "E1 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.15.1-1] AUTH", ALL, "F1 00", Some(MalformedPacket)),
        ("MQTT 3.1 marks repetitions of these too: DUP", V31, "6A 02 0001", None),
        ("MQTT 3.1 marks repetitions of these too: DUP", V31, "8A 06 0001 0001 61 00", None),
        ("MQTT 3.1 marks repetitions of these too: DUP", V31, "AA 05 0001 0001 61", None),
        ("B1 [MQTT-3.6.1-1] PUBREL", V311_V5, "6A 02 0001", Some(MalformedPacket)),
        ("B1 [MQTT-3.8.1-1] SUBSCRIBE", V311, "8A 06 0001 0001 61 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.8.1-1] SUBSCRIBE", V5, "8A 07 0001 00 0001 61 00", Some(MalformedPacket)),
        ("B1 [MQTT-3.10.1-1] UNSUBSCRIBE", V311, "AA 05 0001 0001 61", Some(MalformedPacket)),
        ("B1 [MQTT-3.10.1-1] UNSUBSCRIBE", V5, "AA 06 0001 00 0001 61", Some(MalformedPacket)),
        ("reserved type [MQTT 5.0, table 2-1]", ALL, "00 00", Some(MalformedPacket)),
    ]);
}

#[test]
fn packets_without_content() {
    check(&[
        ("PINGREQ", ALL, "C0 00", None),
        ("PINGRESP", ALL, "D0 00", None),
        ("B2 PINGREQ has no content", ALL, "C0 02 01 02", Some(MalformedPacket)),
        ("B2 PINGRESP has no content", ALL, "D0 01 00", Some(MalformedPacket)),
    ]);
}

#[test]
fn remaining_length() {
    check(&[
        ("B9 [MQTT-1.5.5-1]", V5, "C0 80 00", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1]", V5, "30 84 00 0001 61 00", Some(MalformedPacket)),
        ("B9 no rule before MQTT 5", V31, "C0 80 00", None),
        ("B9 no rule before MQTT 5", V311, "30 84 80 00 0001 6161", None),
        (
            "B9 [MQTT-1.5.5-1], in CONNECT",
            V5,
            "10 8E 00 0004 'MQTT' 05 02 0000 00 0001 'c'",
            Some(MalformedPacket),
        ),
    ]);
    for (bytes, expected) in [
        (&[0xC0, 0x80, 0x80, 0x80, 0x80][..], DecodeError::VarintTooLong),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], DecodeError::VarintTooLong),
    ] {
        assert_eq!(frame(bytes, usize::MAX), Err(expected), "[MQTT 5.0, section 1.5.5]");
    }
}

#[test]
fn size() {
    let packet = [&[0x30, 100, 0, 1, b't'][..], &[0; 97]].concat();
    assert_eq!(packet.len(), 102);
    let too_large = frame(&packet, 101).unwrap_err();
    assert_eq!(too_large, DecodeError::TooLarge { bytes: 102, max: 101 }, "B10: the header counts");
    assert_eq!(too_large.reason(), PacketTooLarge, "[MQTT-3.1.2-24]");
    assert!(frame(&packet, 102).unwrap().is_some());
    assert!(frame(&packet[..2], 101).is_err(), "B11: before the content is there");
    assert_eq!(
        frame(&[0x00, 0xC0, 0x84, 0x3D], usize::MAX),
        Err(DecodeError::ReservedType(0)),
        "B11: before the content is there"
    );
    assert!(frame(&[0x81], usize::MAX).is_err(), "B11: before the length is there");
}

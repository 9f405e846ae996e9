//! PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK [MQTT 5.0, sections 3.4 to 3.7, 3.9 and 3.11].

use gaugeline_protocol::{
    ReasonCode::{MalformedPacket, ProtocolError},
    Version,
    packet::Packet,
};

use crate::table::{ALL, V3, V5, V31, V311, check, packet, read};

#[test]
fn of_messages() {
    check(&[
        ("PUBACK", ALL, "40 02 0001", None),
        ("PUBREC", ALL, "50 02 0001", None),
        ("PUBREL", ALL, "62 02 0001", None),
        ("PUBCOMP", ALL, "70 02 FFFF", None),
        ("C [MQTT-2.2.1-3] zero", ALL, "40 02 0000", Some(ProtocolError)),
        ("C [MQTT-2.2.1-3] zero", ALL, "50 02 0000", Some(ProtocolError)),
        ("C [MQTT-2.2.1-3] zero", ALL, "62 02 0000", Some(ProtocolError)),
        ("C [MQTT-2.2.1-3] zero", ALL, "70 02 0000", Some(ProtocolError)),
        ("identifier missing", ALL, "40 01 00", Some(MalformedPacket)),
        ("empty", ALL, "62 00", Some(MalformedPacket)),
        ("B2 nothing follows", V3, "40 05 0001 090909", Some(MalformedPacket)),
        ("B2 nothing follows", V3, "50 03 0001 00", Some(MalformedPacket)),
        ("B2 nothing follows", V3, "62 04 0001 00 00", Some(MalformedPacket)),
        ("B2 nothing follows", V3, "70 03 0001 00", Some(MalformedPacket)),
        ("[3.4.2.1] reason alone", V5, "40 03 0001 10", None),
        ("[3.5.2.1] reason alone", V5, "50 03 0001 87", None),
        ("[3.6.2.1] reason alone", V5, "62 03 0001 92", None),
        ("[3.7.2.1] reason alone", V5, "70 03 0001 92", None),
        ("no properties", V5, "40 04 0001 00 00", None),
        ("properties", V5, "40 | 0001 80 0B 1F0001'r' 260001'k'0001'v'", None),
        ("B2 nothing follows", V5, "40 06 0001 00 00 0909", Some(MalformedPacket)),
        ("B5 two reason strings", V5, "50 | 0001 80 08 1F0001'r' 1F0001'r'", Some(ProtocolError)),
        ("B6 property past its section", V5, "62 | 0001 00 02 1F0001'r'", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1]", V5, "70 | 0001 00 8000", Some(MalformedPacket)),
        ("C [MQTT-1.5.4-2]", V5, "40 | 0001 80 04 1F000100", Some(MalformedPacket)),
        ("C zero, with reason", V5, "40 03 0000 00", Some(ProtocolError)),
        ("[2.2.2.2] of another packet", V5, "40 | 0001 80 02 0B01", Some(MalformedPacket)),
    ]);
}

#[test]
fn every_reason_code_has_its_place() {
    let accepted = |first_byte: u8| {
        (0..=u8::MAX)
            .filter(|code| read(Version::V5, &[first_byte, 3, 0, 1, *code]).is_ok())
            .collect::<Vec<_>>()
    };
    let received = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    assert_eq!(accepted(0x40), received, "[MQTT-3.4.2-1]");
    assert_eq!(accepted(0x50), received, "[MQTT-3.5.2-1]");
    assert_eq!(accepted(0x62), [0, 0x92], "[MQTT-3.6.2-1]");
    assert_eq!(accepted(0x70), [0, 0x92], "[MQTT-3.7.2-1]");
    let in_list = |first_byte: u8| {
        (0..=u8::MAX)
            .filter(|code| read(Version::V5, &[first_byte, 4, 0, 1, 0, *code]).is_ok())
            .collect::<Vec<_>>()
    };
    let granted = [0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
    assert_eq!(in_list(0x90), granted, "[MQTT-3.9.3-2]");
    assert_eq!(in_list(0xB0), [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91], "[MQTT-3.11.3-2]");
}

#[test]
fn of_filters() {
    check(&[
        ("SUBACK", V31, "90 05 0001 00 01 02", None),
        ("SUBACK [MQTT-3.9.3-2]", V311, "90 06 0001 00 01 02 80", None),
        ("SUBACK", V5, "90 05 0001 00 00 87", None),
        ("SUBACK, properties", V5, "90 | 0001 0B 1F0001'r' 260001'k'0001'v' 02 A2", None),
        ("[MQTT-3.9.3-2] reserved codes", V311, "90 03 0001 81", Some(ProtocolError)),
        ("MQTT 3.1: granted QoS alone", V31, "90 03 0001 80", Some(ProtocolError)),
        ("no codes", V3, "90 02 0001", Some(ProtocolError)),
        ("no codes", V5, "90 03 0001 00", Some(ProtocolError)),
        ("A12 property length missing", V5, "90 02 0001", Some(MalformedPacket)),
        ("C zero", V3, "90 03 0000 00", Some(ProtocolError)),
        ("C zero", V5, "90 04 0000 00 00", Some(ProtocolError)),
        ("B5 two reason strings", V5, "90 | 0001 06 1F0000 1F0000 00", Some(ProtocolError)),
        ("UNSUBACK", V3, "B0 02 0001", None),
        ("UNSUBACK", V5, "B0 05 0001 00 00 11", None),
        ("UNSUBACK, properties", V5, "B0 | 0001 05 26 0000 0000 00", None),
        ("B2 nothing follows", V3, "B0 03 0001 00", Some(MalformedPacket)),
        ("no codes", V5, "B0 03 0001 00", Some(ProtocolError)),
        ("A12 property length missing", V5, "B0 02 0001", Some(MalformedPacket)),
        ("C zero", V3, "B0 02 0000", Some(ProtocolError)),
        ("C zero", V5, "B0 04 0000 00 00", Some(ProtocolError)),
    ]);
}

#[test]
fn content() {
    let bytes = packet("40 | 0102 87 0B 1F0001'r' 260001'k'0001'v'");
    let Ok(Packet::PubAck(found)) = read(Version::V5, &bytes) else { panic!("PUBACK") };
    let information = found.information.unwrap();
    assert_eq!((found.packet_id.as_u16(), found.reason.byte()), (0x102, 0x87));
    assert_eq!(information.reason_string.as_deref(), Some("r"));
    assert_eq!(information.user_properties, [("k".to_owned(), "v".to_owned())]);
}

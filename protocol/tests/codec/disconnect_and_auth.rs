//! DISCONNECT and AUTH [MQTT 5.0, sections 3.14 and 3.15].

use gaugeline_protocol::{
    ReasonCode,
    ReasonCode::{MalformedPacket, ProtocolError},
    Version,
    packet::{Disconnect, Packet},
};

use crate::table::{V3, V5, check, packet, read};

#[test]
fn disconnect() {
    check(&[
        ("A4 normal", V3, "E0 00", None),
        ("A4 [3.14.2.1] normal", V5, "E0 00", None),
        ("A5 [3.14.2.1] reason alone", V5, "E0 01 8E", None),
        ("[3.14.2.1] no properties", V5, "E0 02 04 00", None),
        ("properties", V5, "E0 | 04 0E 1100000001 1F0001'r' 260000 0000", None),
        ("server reference", V5, "E0 | 9D 04 1C0001's'", None),
        ("B2 nothing follows", V3, "E0 01 00", Some(MalformedPacket)),
        ("B2 nothing follows", V5, "E0 03 00 00 00", Some(MalformedPacket)),
        ("unknown reason", V5, "E0 01 01", Some(ProtocolError)),
        ("B5 twice", V5, "E0 | 00 0A 1100000001 1100000001", Some(ProtocolError)),
        ("B6 property past its section", V5, "E0 | 00 01 1100000001", Some(MalformedPacket)),
        ("C [MQTT-1.5.4-2]", V5, "E0 | 00 04 1F000100", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", V5, "E0 | 00 03 210001", Some(MalformedPacket)),
    ]);
    for (text, reason) in [("E0 00", ReasonCode::Success), ("E0 01 8E", ReasonCode::SessionTakenOver)] {
        let expected = Packet::Disconnect(Disconnect::new(reason));
        assert_eq!(read(Version::V5, &packet(text)), Ok(expected), "A4, A5");
    }
}

#[test]
fn every_reason_code_has_its_place() {
    let accepted = (0..=u8::MAX).filter(|code| read(Version::V5, &[0xE0, 1, *code]).is_ok());
    let expected = [
        0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
        0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    assert_eq!(accepted.collect::<Vec<_>>(), expected, "[MQTT-3.14.2-1], 0x8C by section 2.4");
    let accepted = (0..=u8::MAX)
        .filter(|code| read(Version::V5, &packet(&format!("F0 | {code:02X} 04 150001'm'"))).is_ok());
    assert_eq!(accepted.collect::<Vec<_>>(), [0, 0x18, 0x19], "[MQTT-3.15.2-1]");
}

#[test]
fn auth() {
    check(&[
        ("A8 [3.15.2.1] success", V5, "F0 00", None),
        ("A8 continue", V5, "F0 0A 18 08 15 0005 'SCRAM'", None),
        ("A8 all properties", V5, "F0 | 19 11 150001'm' 160001FF 1F0001'r' 260000 0000", None),
        ("A8 does not exist before MQTT 5", V3, "F0 00", Some(MalformedPacket)),
        ("C [3.15.2.2.2] no method", V5, "F0 | 18 04 160001FF", Some(ProtocolError)),
        ("C [3.15.2.2.2] no method", V5, "F0 02 18 00", Some(ProtocolError)),
        ("B5 two methods", V5, "F0 | 18 08 150001'a' 150001'b'", Some(ProtocolError)),
        ("property length missing", V5, "F0 01 18", Some(MalformedPacket)),
        ("B2 nothing follows", V5, "F0 | 18 04 150001'm' 00", Some(MalformedPacket)),
    ]);
}

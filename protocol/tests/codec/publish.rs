//! PUBLISH [MQTT 5.0, section 3.3].

use std::borrow::Cow;

use gaugeline_protocol::{
    QoS,
    ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid, TopicNameInvalid},
    Version,
    packet::{Packet, Publish},
};

use crate::table::{ALL, V3, V5, bytes, check, packet, read};

fn publish<R>(version: Version, text: &str, look: impl FnOnce(Publish<'_>) -> R) -> R {
    match read(version, &packet(text)) {
        Ok(Packet::Publish(publish)) => look(publish),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn flags() {
    check(&[
        ("[MQTT-3.3.1-4] QoS 3", ALL, "36 | 0001 't' 0001", Some(MalformedPacket)),
        ("C [MQTT-3.3.1-2] DUP at QoS 0", ALL, "38 | 0001 't'", Some(ProtocolError)),
        ("all flags", V3, "3D | 0001 't' 0001", None),
        ("all flags", V5, "3D | 0001 't' 0001 00", None),
    ]);
}

#[test]
fn topic() {
    check(&[
        ("C [MQTT-3.3.2-2]", V3, "30 | 0003 'a/+'", Some(TopicNameInvalid)),
        ("C [MQTT-3.3.2-2]", V3, "30 | 0001 '#'", Some(TopicNameInvalid)),
        ("C [MQTT-3.3.2-2]", V5, "30 | 0001 '#' 00", Some(TopicNameInvalid)),
        ("C [MQTT-4.7.3-1]", V3, "30 | 0000", Some(ProtocolError)),
        ("C [3.3.2.1] empty without alias", V5, "30 | 0000 00", Some(ProtocolError)),
        ("[3.3.2.1] empty with alias", V5, "30 | 0000 03 230001", None),
        ("C [MQTT-1.5.4-2]", V3, "30 | 0001 00", Some(MalformedPacket)),
        ("C [MQTT-1.5.4-2]", V5, "30 | 0001 00 00", Some(MalformedPacket)),
        ("[MQTT-1.5.4-1]", ALL, "30 | 0001 FF", Some(MalformedPacket)),
        ("topic past the end", ALL, "30 | 0005 'abc'", Some(MalformedPacket)),
        ("no topic", ALL, "30 | 00", Some(MalformedPacket)),
        ("empty", ALL, "30 00", Some(MalformedPacket)),
        ("$ is a topic like others", V3, "30 | 0001 '$'", None),
        ("empty levels", V3, "30 | 0001 '/'", None),
    ]);
}

#[test]
fn packet_identifier() {
    check(&[
        ("[MQTT-2.2.1-3] zero", V3, "32 | 0001 't' 0000", Some(ProtocolError)),
        ("[MQTT-2.2.1-3] zero", V5, "34 | 0001 't' 0000 00", Some(ProtocolError)),
        ("[MQTT-2.2.1-2] missing", ALL, "32 | 0001 't' 00", Some(MalformedPacket)),
    ]);
    publish(Version::V311, "30 | 0001 't' 0001", |found| {
        assert_eq!((found.packet_id, found.payload), (None, &[0, 1][..]), "[MQTT-2.2.1-2]");
    });
}

#[test]
fn properties() {
    check(&[
        ("A12 property length missing", V5, "30 03 0001 61", Some(MalformedPacket)),
        (
            "every property",
            V5,
            "30 | 0001 't' [0101 0200000001 030001'x' 080001'r' 090001FF 0B01 230001 260001'k'0001'v' 26 0000 0000]",
            None,
        ),
        ("B5 two topic aliases", V5, "30 | 0001 't' 06 230001 230002", Some(ProtocolError)),
        ("B5 two content types", V5, "30 | 0001 't' 08 030001'x' 030001'y'", Some(ProtocolError)),
        ("B6 property past its section", V5, "30 08 0001 61 01 230003 78", Some(MalformedPacket)),
        ("section past the end", V5, "30 | 0001 't' 05 0101", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1] length of the section", V5, "30 | 0001 't' 8000", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1] subscription identifier", V5, "30 | 0001 't' 03 0B8100", Some(MalformedPacket)),
        ("C [MQTT-3.3.2-8] topic alias 0", V5, "30 | 0001 't' 03 230000", Some(TopicAliasInvalid)),
        ("C payload format 2", V5, "30 | 0001 't' 02 0102", Some(ProtocolError)),
        ("C [MQTT-3.3.2-14] response topic", V5, "30 | 0001 't' 06 080003'a/+'", Some(ProtocolError)),
        ("C [3.3.2.3.8] subscription identifier 0", V5, "30 | 0001 't' 02 0B00", Some(ProtocolError)),
        ("C [MQTT-1.5.4-2] in the content type", V5, "30 | 0001 't' 04 03000100", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", V5, "30 | 0001 't' 05 1100000001", Some(MalformedPacket)),
        ("[2.2.2.2] unknown", V5, "30 | 0001 't' 01 7F", Some(MalformedPacket)),
    ]);
}

#[test]
fn many_subscription_identifiers_stay_out_of_the_payload() {
    publish(Version::V5, "30 | 0001 't' 06 0B01 0B02 0B03 'PAYLOAD'", |found| {
        assert_eq!(found.properties.subscription_ids().collect::<Vec<_>>(), [1, 2, 3], "A3");
        assert_eq!(found.payload, b"PAYLOAD", "A3");
    });
    publish(Version::V5, "30 | 0001 't' 06 0B01 0B02 0101 'PAYLOAD'", |found| {
        assert_eq!(found.properties.subscription_ids().collect::<Vec<_>>(), [1, 2], "A3");
        assert!(found.properties.payload_is_utf8(), "A3");
        assert_eq!(found.payload, b"PAYLOAD", "A3");
    });
}

#[test]
fn content() {
    let text = "3B | 0004 't/\u{e9}' 0102 [0101 0200000005 030001'x' 080001'r' 090001FF 230007 0BFF01 \
                260001'k'0001'v' 26 0000 0000] 'data'";
    publish(Version::V5, text, |found| {
        assert_eq!((found.dup, found.qos, found.retain), (true, QoS::AtLeastOnce, true));
        assert_eq!((found.topic, found.payload), ("t/\u{e9}", &b"data"[..]));
        assert_eq!(found.packet_id.unwrap().as_u16(), 0x102);
        let properties = found.properties;
        assert_eq!(properties.topic_alias.unwrap().get(), 7);
        assert_eq!(properties.message_expiry_seconds, Some(5));
        assert_eq!(properties.content_type(), Some("x"));
        assert_eq!(properties.response_topic(), Some("r"));
        assert_eq!(properties.correlation_data(), Some(&[0xFF][..]));
        assert_eq!(properties.subscription_ids().collect::<Vec<_>>(), [255]);
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("k", "v"), ("", "")]);
        assert_eq!(
            properties.forwardable(),
            bytes("0101 030001'x' 080001'r' 090001FF 260001'k'0001'v' 26 0000 0000"),
            "[MQTT-3.3.2-17]"
        );
    });
    publish(Version::V5, "30 | 0001 't' 02 0101", |found| {
        assert!(matches!(found.properties.forwardable(), Cow::Borrowed([1, 1])));
    });
    publish(Version::V311, "31 | 0001 't' FF", |found| {
        assert_eq!((found.retain, found.payload), (true, &[0xFF][..]));
    });
}

//! SUBSCRIBE and UNSUBSCRIBE [MQTT 5.0, sections 3.8 and 3.10].

use gaugeline_protocol::{
    QoS,
    ReasonCode::{MalformedPacket, ProtocolError, QuotaExceeded, TopicFilterInvalid},
    Version,
    codec::{Limits, frame},
    packet::{Packet, RetainHandling, decode},
};

use crate::table::{ALL, V3, V5, check, packet, read};

#[test]
fn subscribe() {
    check(&[
        ("one", V3, "82 | 0001 0001 'a' 00", None),
        ("one", V5, "82 | 0001 00 0001 'a' 00", None),
        ("each QoS", V3, "82 | 0001 0001 'a' 00 0001 'b' 01 0001 'c' 02", None),
        ("identifier and user property", V5, "82 | 0001 07 0B7F 26 0000 0000 0001 'a' 2D", None),
        ("A12 property length missing", V5, "82 02 0001", Some(MalformedPacket)),
        ("C [MQTT-3.8.3-3] no filter", V3, "82 02 0001", Some(ProtocolError)),
        ("C [MQTT-3.8.3-2] no filter", V5, "82 03 0001 00", Some(ProtocolError)),
        ("C zero", V3, "82 | 0000 0001 'a' 00", Some(ProtocolError)),
        ("C zero", V5, "82 | 0000 00 0001 'a' 00", Some(ProtocolError)),
        ("options missing", V3, "82 | 0001 0001 'a'", Some(MalformedPacket)),
        ("options missing", V5, "82 | 0001 00 0001 'a'", Some(MalformedPacket)),
        ("[MQTT-3.8.3-4] QoS 3", V3, "82 | 0001 0001 'a' 03", Some(ProtocolError)),
        ("[3.8.3.1] QoS 3", V5, "82 | 0001 00 0001 'a' 03", Some(ProtocolError)),
        ("B7 [MQTT-3.8.3-4] reserved bits", V3, "82 | 0001 0001 'a' FD", Some(MalformedPacket)),
        ("B7 [MQTT-3.8.3-4] reserved bits", V3, "82 | 0001 0001 'a' 04", Some(MalformedPacket)),
        ("B7 [MQTT-3.8.3-5] reserved bits", V5, "82 | 0001 00 0001 'a' C1", Some(MalformedPacket)),
        ("B7 [MQTT-3.8.3-5] reserved bits", V5, "82 | 0001 00 0001 'a' 40", Some(MalformedPacket)),
        ("[3.8.3.1] retain handling 3", V5, "82 | 0001 00 0001 'a' 30", Some(ProtocolError)),
        (
            "C [MQTT-3.8.3-4] no local on a share",
            V5,
            "82 | 0001 00 000A '$share/g/a' 04",
            Some(ProtocolError),
        ),
        ("a share", V5, "82 | 0001 00 000A '$share/g/a' 01", None),
        ("B5 two identifiers", V5, "82 | 0001 04 0B01 0B02 0001 'a' 00", Some(ProtocolError)),
        ("C [3.8.2.1.2] identifier 0", V5, "82 | 0001 02 0B00 0001 'a' 00", Some(ProtocolError)),
        ("B6 property past its section", V5, "82 | 0001 01 0B01 0001 'a' 00", Some(MalformedPacket)),
        ("B9 [MQTT-1.5.5-1]", V5, "82 | 0001 03 0B8100 0001 'a' 00", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", V5, "82 | 0001 03 1F0000 0001 'a' 00", Some(MalformedPacket)),
    ]);
}

#[test]
fn filters() {
    for (filter, refused) in [
        ("0001 '#'", None),
        ("0003 '+/+'", None),
        ("0005 '$SYS/'", None),
        ("0000", Some(TopicFilterInvalid)),
        ("0002 'a+'", Some(TopicFilterInvalid)),
        ("0002 '+a'", Some(TopicFilterInvalid)),
        ("0006 'a/+b/c'", Some(TopicFilterInvalid)),
        ("0002 'a#'", Some(TopicFilterInvalid)),
        ("0005 'a/#/b'", Some(TopicFilterInvalid)),
        ("0009 '$share/g/'", Some(TopicFilterInvalid)),
        ("0009 '$share//a'", Some(TopicFilterInvalid)),
        ("000B '$share/g+/a'", Some(TopicFilterInvalid)),
        ("0001 00", Some(MalformedPacket)),
        ("0003 EDA080", Some(MalformedPacket)),
        ("0009 'a'", Some(MalformedPacket)),
    ] {
        for version in Version::ALL {
            let properties = if version.is_v5() { "00" } else { "" };
            for (text, name) in [
                (format!("82 | 0001 {properties} {filter} 00"), "C [MQTT-4.7] SUBSCRIBE"),
                (format!("A2 | 0001 {properties} {filter}"), "C [MQTT-4.7] UNSUBSCRIBE"),
            ] {
                let found = read(version, &packet(&text)).err().map(|error| error.reason());
                assert_eq!(found, refused, "{name} (MQTT {version}): {text}");
            }
        }
    }
}

#[test]
fn unsubscribe() {
    check(&[
        ("one", V3, "A2 | 0001 0001 'a'", None),
        ("A11 two", V5, "A2 | 0001 05 26 0000 0000 0001 'a' 0001 'b'", None),
        ("C [MQTT-3.10.3-2] no filter", V3, "A2 02 0001", Some(ProtocolError)),
        ("C [MQTT-3.10.3-2] no filter", V5, "A2 03 0001 00", Some(ProtocolError)),
        ("A12 property length missing", V5, "A2 02 0001", Some(MalformedPacket)),
        ("C zero", V3, "A2 | 0000 0001 'a'", Some(ProtocolError)),
        ("C zero", V5, "A2 | 0000 00 0001 'a'", Some(ProtocolError)),
        ("empty", ALL, "A2 00", Some(MalformedPacket)),
        ("identifier cut", ALL, "A2 01 00", Some(MalformedPacket)),
        ("[2.2.2.2] of another packet", V5, "A2 | 0001 02 0B01 0001 'a'", Some(MalformedPacket)),
    ]);
}

#[test]
fn content() {
    let bytes = packet("82 | 0102 [0BFFFFFF7F 26 0000 0000] 0001 'a' 2D 0001 'b' 12");
    let Ok(Packet::Subscribe(found)) = read(Version::V5, &bytes) else { panic!("SUBSCRIBE") };
    assert_eq!((found.packet_id.as_u16(), found.id), (0x102, Some(268_435_455)));
    let [a, b] = &found.filters[..] else { panic!("two filters") };
    assert_eq!((a.filter.as_str(), a.qos), ("a", QoS::AtLeastOnce));
    assert!(a.no_local && a.retain_as_published);
    assert_eq!(a.retain_handling, RetainHandling::Never);
    assert!(!b.no_local && !b.retain_as_published);
    assert_eq!((b.qos, b.retain_handling), (QoS::ExactlyOnce, RetainHandling::OnNewSubscribe));
}

#[test]
fn limits() {
    let limits = Limits { filters_per_packet_max: 2, ..Limits::default() };
    for (text, refused) in [
        ("82 | 0001 0001 'a' 00 0001 'a' 00", None),
        ("82 | 0001 0001 'a' 00 0001 'a' 00 0001 'a' 00", Some(QuotaExceeded)),
        ("A2 | 0001 0001 'a' 0001 'a' 0001 'a'", Some(QuotaExceeded)),
    ] {
        let bytes = packet(text);
        let found = decode(Version::V311, &frame(&bytes, 100).unwrap().unwrap(), &limits);
        assert_eq!(found.err().map(|error| error.reason()), refused, "{text}");
    }
}

//! What is written, and that nothing is written when something is wrong.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version,
    codec::EncodeError,
    packet::{
        Ack, AckType, Auth, ConnAck, Connect, ConnectProperties, Disconnect, Information, Outgoing,
        PacketType, PingReq, PingResp, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe, Will,
    },
};

use crate::table::packet;

const ID: PacketId = PacketId::FIRST;

type Write<'a> = &'a dyn Fn(&mut BytesMut) -> Result<(), EncodeError>;

/// Behind bytes that are already queued, as on a connection.
fn written(write: Write<'_>) -> Result<Vec<u8>, EncodeError> {
    let queued = [0x40, 2, 3, 4, 0x40, 2, 3, 5, 0x40, 2, 3, 6];
    let mut out = BytesMut::from(&queued[..]);
    let result = write(&mut out);
    assert_eq!(out[..queued.len()], queued, "A14: what is queued stays");
    result.inspect_err(|_| assert_eq!(out.len(), queued.len(), "A15: nothing is left of a failed write"))?;
    Ok(out[queued.len()..].to_vec())
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        client_id: "c".into(),
        clean_start: true,
        keep_alive_seconds: 10,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn will(payload: usize) -> Will {
    Will {
        topic: TopicName::new("t").unwrap(),
        payload: vec![0; payload].into(),
        qos: QoS::AtLeastOnce,
        retain: true,
        delay_seconds: 5,
        message_expiry_seconds: None,
        properties: Bytes::new(),
    }
}

fn message(topic: &str) -> Outgoing<'_> {
    Outgoing { topic, payload: b"x", ..Outgoing::default() }
}

#[test]
fn produced_bytes() {
    let disconnect = Disconnect::new(ReasonCode::SessionTakenOver);
    let connack = ConnAck::new(ReasonCode::Success, true);
    let refusal = ConnAck::new(ReasonCode::BadUserNameOrPassword, true);
    let suback = SubAck::new(ID, vec![ReasonCode::GrantedQoS2, ReasonCode::NotAuthorized]);
    let unsuback = UnsubAck::new(ID, vec![ReasonCode::NoSubscriptionExisted]);
    let puback = Ack::new(ID, ReasonCode::NotAuthorized);
    let (v31, v311, v5) = (Version::V31, Version::V311, Version::V5);
    let rows: [(&str, Write<'_>, &str); 23] = [
        ("A6 DISCONNECT", &|out| disconnect.encode(v5, out), "E0 01 8E"),
        ("A6 DISCONNECT", &|out| disconnect.encode(v311, out), "E0 00"),
        ("A6 DISCONNECT", &|out| Disconnect::new(ReasonCode::Success).encode(v5, out), "E0 00"),
        ("A7 CONNACK", &|out| connack.encode(v5, out), "20 03 01 00 00"),
        ("A7 CONNACK", &|out| connack.encode(v311, out), "20 02 01 00"),
        ("MQTT 3.1 knows no session present", &|out| connack.encode(v31, out), "20 02 00 00"),
        ("[MQTT-3.2.2-6]", &|out| refusal.encode(v5, out), "20 03 00 86 00"),
        ("[MQTT-3.2.2-4]", &|out| refusal.encode(v311, out), "20 02 00 04"),
        ("SUBACK", &|out| suback.encode(v5, out), "90 05 0001 00 02 87"),
        ("SUBACK [MQTT-3.9.3-2]", &|out| suback.encode(v311, out), "90 04 0001 02 80"),
        ("SUBACK of MQTT 3.1", &|out| suback.encode(v31, out), "90 04 0001 02 00"),
        ("UNSUBACK", &|out| unsuback.encode(v5, out), "B0 04 0001 00 11"),
        ("UNSUBACK", &|out| unsuback.encode(v311, out), "B0 02 0001"),
        ("PUBACK", &|out| puback.encode(AckType::PubAck, v5, out), "40 03 0001 87"),
        ("PUBACK", &|out| puback.encode(AckType::PubAck, v311, out), "40 02 0001"),
        (
            "[MQTT-3.6.1-1]",
            &|out| Ack::new(ID, ReasonCode::Success).encode(AckType::PubRel, v5, out),
            "62 02 0001",
        ),
        ("PINGREQ", &|out| PingReq.encode(v311, out), "C0 00"),
        ("PINGRESP", &|out| PingResp.encode(v311, out), "D0 00"),
        ("A14 CONNECT", &|out| connect(v31).encode(out), "10 | 0006 'MQIsdp' 03 02 000A 0001 'c'"),
        ("A14 CONNECT", &|out| connect(v311).encode(out), "10 | 0004 'MQTT' 04 02 000A 0001 'c'"),
        ("A14 CONNECT", &|out| connect(v5).encode(out), "10 | 0004 'MQTT' 05 02 000A 00 0001 'c'"),
        (
            "A14 CONNECT",
            &|out| Connect { will: Some(will(1)), user_name: Some("u".into()), ..connect(v5) }.encode(out),
            "10 | 0004 'MQTT' 05 AE 000A 00 0001 'c' 05 1800000005 0001 't' 0001 00 0001 'u'",
        ),
        ("PUBLISH", &|out| message("t").encode(v5, out).map(|_| ()), "30 | 0001 't' 00 'x'"),
    ];
    for (name, write, expected) in rows {
        assert_eq!(written(write).unwrap(), packet(expected), "{name}: {expected}");
    }
}

#[test]
fn the_packet_identifier_is_where_encode_says() {
    for (version, expected) in [
        (Version::V311, "3B | 0001 't' 0102 'x'"),
        (Version::V5, "3B | 0001 't' 0102 [230007 0200000005 0B01 0BFF01 030001'y' 260001'k'0001'v'] 'x'"),
    ] {
        let message = Outgoing {
            dup: true,
            qos: QoS::AtLeastOnce,
            retain: true,
            packet_id: PacketId::new(0x102),
            topic_alias: NonZeroU16::new(7),
            message_expiry_seconds: Some(5),
            subscription_ids: &[1, 255],
            forwardable: &[3, 0, 1, b'y'],
            user_property: Some(("k", "v")),
            ..message("t")
        };
        let mut out = BytesMut::from(&[0; 3][..]);
        let at = message.encode(version, &mut out).unwrap();
        assert_eq!(out[3..], packet(expected));
        assert_eq!(out[3 + at..][..2], [1, 2]);
        assert_eq!(message.len(version), out.len() - 3);
    }
}

fn refused(name: &str, error: EncodeError, write: Write<'_>) {
    assert_eq!(written(write), Err(error), "{name}");
}

#[test]
fn fields_that_do_not_fit() {
    let long = "x".repeat(65_536);
    let with_text = |text: &str| Ack {
        packet_id: ID,
        reason: ReasonCode::NotAuthorized,
        information: Some(Box::new(Information { reason_string: Some(text.into()), ..Default::default() })),
    };
    let too_long = EncodeError::FieldTooLong(65_536);
    let with_will = Connect { will: Some(will(65_536)), ..connect(Version::V311) };
    let with_client_id = Connect { client_id: long.clone(), ..connect(Version::V5) };
    refused("A13", too_long, &|out| message(&long).encode(Version::V311, out).map(|_| ()));
    refused("A13", too_long, &|out| with_will.encode(out));
    refused("A13", too_long, &|out| with_client_id.encode(out));
    refused("A13", too_long, &|out| with_text(&long).encode(AckType::PubAck, Version::V5, out));
    refused("[MQTT-1.5.4-2]", EncodeError::Null, &|out| {
        with_text("\0").encode(AckType::PubRec, Version::V5, out)
    });
    let password_alone = Connect { password: Some(Bytes::new()), ..connect(Version::V311) };
    refused("[MQTT-3.1.2-22]", EncodeError::PasswordWithoutUserName, &|out| password_alone.encode(out));
}

#[test]
fn messages_that_contradict_themselves() {
    let write = |message: &Outgoing<'_>, out: &mut BytesMut| message.encode(Version::V5, out).map(|_| ());
    for (name, error, message) in [
        ("A15 [MQTT-2.2.1-3]", EncodeError::PacketId, Outgoing { qos: QoS::AtLeastOnce, ..message("t") }),
        ("[MQTT-2.2.1-2]", EncodeError::PacketId, Outgoing { packet_id: Some(ID), ..message("t") }),
        (
            "A15",
            EncodeError::SubscriptionId(268_435_456),
            Outgoing { subscription_ids: &[268_435_456], ..message("t") },
        ),
        ("[MQTT-3.3.1-2]", EncodeError::DuplicateAtMostOnce, Outgoing { dup: true, ..message("t") }),
        ("[MQTT-4.7.3-1]", EncodeError::EmptyTopic, message("")),
    ] {
        refused(name, error, &|out| write(&message, out));
    }
}

#[test]
fn lists_that_do_not_fit() {
    let v5 = Version::V5;
    let filter = |text| SubscribeFilter::new(TopicFilter::new(text).unwrap(), QoS::AtMostOnce);
    let subscribe = |id, filters| Subscribe { packet_id: ID, id, filters, user_properties: vec![] };
    let no_local = SubscribeFilter { no_local: true, ..filter("$share/g/a") };
    let unsubscribe = Unsubscribe { packet_id: ID, filters: vec![], user_properties: vec![] };
    for (name, error, subscribe) in [
        ("[MQTT-3.8.3-2]", EncodeError::Empty, subscribe(None, vec![])),
        ("A15", EncodeError::SubscriptionId(268_435_456), subscribe(Some(268_435_456), vec![filter("a")])),
        ("[3.8.2.1.2]", EncodeError::SubscriptionId(0), subscribe(Some(0), vec![filter("a")])),
        ("[MQTT-3.8.3-4]", EncodeError::NoLocalOnShare, subscribe(None, vec![no_local])),
    ] {
        refused(name, error, &|out| subscribe.encode(v5, out));
    }
    refused("[MQTT-3.10.3-2]", EncodeError::Empty, &|out| unsubscribe.encode(Version::V311, out));
    refused("SUBACK", EncodeError::Empty, &|out| SubAck::new(ID, vec![]).encode(v5, out));
    refused("UNSUBACK", EncodeError::Empty, &|out| UnsubAck::new(ID, vec![]).encode(v5, out));
}

#[test]
fn reasons_that_do_not_fit() {
    let auth =
        |reason| Auth { reason, method: None, data: None, reason_string: None, user_properties: vec![] };
    let writes: [Write<'_>; 4] = [
        &|out| Disconnect::new(ReasonCode::GrantedQoS1).encode(Version::V5, out),
        &|out| SubAck::new(ID, vec![ReasonCode::ServerBusy]).encode(Version::V5, out),
        &|out| auth(ReasonCode::ServerBusy).encode(Version::V5, out),
        &|out| ConnAck::new(ReasonCode::GrantedQoS1, false).encode(Version::V5, out),
    ];
    for write in writes {
        assert!(matches!(written(write), Err(EncodeError::Reason { .. })));
    }
    refused("AUTH", EncodeError::Version(PacketType::Auth), &|out| {
        auth(ReasonCode::Success).encode(Version::V311, out)
    });
    refused("[3.15.2.2.2]", EncodeError::NoAuthenticationMethod, &|out| {
        auth(ReasonCode::ReAuthenticate).encode(Version::V5, out)
    });
}

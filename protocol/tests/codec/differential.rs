//! What this codec accepts and mqttbytes can decode means the same to both.

use bytes::Bytes;
use gaugeline_protocol::{
    PacketId, Version,
    codec::{Limits, frame},
    packet::{Ack, Connect, ConnectProperties, Packet, PacketType, Publish, Subscribe, decode},
};
use mqttbytes::{FixedHeader, v4, v5};
use proptest::prelude::*;

use crate::sample::mutated;

fn compare(version: Version) {
    let config = ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in mutated(version))| {
        let Ok(Some(found)) = frame(&bytes, 100_000) else { return Ok(()) };
        let Ok(packet) = decode(version, &found, &Limits::default()) else { return Ok(()) };
        let bytes = Bytes::copy_from_slice(&bytes[..found.len]);
        let header = mqttbytes::check(bytes.iter(), 100_000).unwrap();
        if version.is_v5() { agrees_v5(&packet, header, bytes) } else { agrees_v4(&packet, header, bytes) }
    });
}

#[test]
fn mqtt_3_1() {
    compare(Version::V31);
}

#[test]
fn mqtt_3_1_1() {
    compare(Version::V311);
}

#[test]
fn mqtt_5() {
    compare(Version::V5);
}

fn id(packet_id: Option<PacketId>) -> u16 {
    packet_id.map_or(0, PacketId::as_u16)
}

fn agrees_v4(packet: &Packet<'_>, header: FixedHeader, bytes: Bytes) {
    match packet {
        Packet::Connect(ours) => connect_v4(ours, header, bytes),
        Packet::ConnAck(ours) => {
            let theirs = v4::ConnAck::read(header, bytes).unwrap();
            assert_eq!(ours.reason.connack_v3(), theirs.code as u8);
        }
        Packet::Publish(ours) => {
            let theirs = v4::Publish::read(header, bytes).unwrap();
            assert_eq!((ours.dup, ours.retain), (theirs.dup, theirs.retain));
            assert_eq!((ours.qos.bits(), id(ours.packet_id)), (theirs.qos as u8, theirs.pkid));
            assert_eq!((ours.topic, ours.payload), (theirs.topic.as_str(), &theirs.payload[..]));
        }
        Packet::PubAck(ours) => {
            assert_eq!(ours.packet_id.as_u16(), v4::PubAck::read(header, bytes).unwrap().pkid);
        }
        Packet::PubRec(ours) => {
            assert_eq!(ours.packet_id.as_u16(), v4::PubRec::read(header, bytes).unwrap().pkid);
        }
        Packet::PubRel(ours) => {
            assert_eq!(ours.packet_id.as_u16(), v4::PubRel::read(header, bytes).unwrap().pkid);
        }
        Packet::PubComp(ours) => {
            assert_eq!(ours.packet_id.as_u16(), v4::PubComp::read(header, bytes).unwrap().pkid);
        }
        Packet::Subscribe(ours) => {
            let theirs = v4::Subscribe::read(header, bytes).unwrap();
            let filters = ours.filters.iter().map(|each| (each.filter.as_str(), each.qos.bits()));
            assert!(filters.eq(theirs.filters.iter().map(|each| (each.path.as_str(), each.qos as u8))));
            assert_eq!(ours.packet_id.as_u16(), theirs.pkid);
        }
        Packet::SubAck(ours) => {
            let theirs = v4::SubAck::read(header, bytes).unwrap();
            let codes = theirs.return_codes.iter().map(|code| match code {
                v4::SubscribeReasonCode::Success(qos) => *qos as u8,
                v4::SubscribeReasonCode::Failure => 0x80,
            });
            assert!(ours.reasons.iter().map(|reason| reason.byte()).eq(codes));
        }
        Packet::Unsubscribe(ours) => {
            let theirs = v4::Unsubscribe::read(header, bytes).unwrap();
            assert!(ours.filters.iter().map(|filter| filter.as_str()).eq(theirs.topics.iter()));
        }
        Packet::UnsubAck(ours) => {
            assert_eq!(ours.packet_id.as_u16(), v4::UnsubAck::read(header, bytes).unwrap().pkid);
        }
        Packet::PingReq | Packet::PingResp | Packet::Disconnect(_) | Packet::Auth(_) => {}
    }
}

/// mqttbytes does not know MQTT 3.1, and takes text alone for a password.
fn connect_v4(ours: &Connect, header: FixedHeader, bytes: Bytes) {
    let Ok(theirs) = v4::Connect::read(header, bytes) else {
        assert!(ours.version == Version::V31 || !password_is_text(ours));
        return;
    };
    if ours.version != Version::V311 {
        return;
    }
    assert_eq!(ours.client_id, theirs.client_id);
    assert_eq!((ours.clean_start, ours.keep_alive_seconds), (theirs.clean_session, theirs.keep_alive));
    let will =
        ours.will.as_ref().map(|will| (will.topic.as_str(), &will.payload[..], will.qos.bits(), will.retain));
    let last_will = theirs.last_will.as_ref();
    let last_will =
        last_will.map(|will| (will.topic.as_str(), &will.message[..], will.qos as u8, will.retain));
    assert_eq!(will, last_will);
    let (user_name, password) =
        theirs.login.map(|login| (login.username, login.password)).unwrap_or_default();
    assert_eq!(ours.user_name.as_deref().unwrap_or_default(), user_name);
    assert_eq!(ours.password.as_deref().unwrap_or_default(), password.as_bytes());
}

fn password_is_text(connect: &Connect) -> bool {
    connect.password.as_deref().is_none_or(|password| std::str::from_utf8(password).is_ok())
}

fn agrees_v5(packet: &Packet<'_>, header: FixedHeader, bytes: Bytes) {
    macro_rules! ack {
        ($ours:ident, $packet:ident) => {{
            let theirs = v5::$packet::read(header, bytes).unwrap();
            let properties = theirs.properties.map(|found| (found.reason_string, found.user_properties));
            same_ack($ours, theirs.pkid, theirs.reason as u8, properties);
        }};
    }
    match packet {
        Packet::Connect(ours) => connect_v5(ours, header, bytes),
        Packet::Publish(ours) => publish_v5(ours, header, bytes),
        Packet::ConnAck(ours) => {
            let theirs = v5::ConnAck::read(header, bytes).unwrap();
            let properties = theirs.properties.unwrap_or_else(v5::ConnAckProperties::new);
            assert_eq!(
                (ours.session_present, ours.reason.byte()),
                (theirs.session_present, theirs.code as u8)
            );
            assert_eq!(ours.properties.reason_string, properties.reason_string);
            assert_eq!(ours.properties.topic_alias_maximum, properties.topic_alias_max);
            assert_eq!(ours.properties.user_properties, properties.user_properties);
        }
        Packet::PubAck(ours) => ack!(ours, PubAck),
        Packet::PubRec(ours) => ack!(ours, PubRec),
        Packet::PubRel(ours) => ack!(ours, PubRel),
        Packet::PubComp(ours) => ack!(ours, PubComp),
        Packet::Subscribe(ours) => subscribe_v5(ours, header, bytes),
        Packet::SubAck(ours) => {
            let theirs = v5::SubAck::read(header, bytes).unwrap();
            let codes = theirs.return_codes.iter().map(|code| *code as u8);
            assert!(ours.reasons.iter().map(|reason| reason.byte()).eq(codes));
        }
        Packet::UnsubAck(ours) => {
            let theirs = v5::UnsubAck::read(header, bytes).unwrap();
            let codes = theirs.reasons.iter().map(|code| *code as u8);
            assert!(ours.reasons.iter().map(|reason| reason.byte()).eq(codes));
        }
        Packet::Disconnect(ours) => match v5::Disconnect::read(header, bytes) {
            Ok(theirs) => {
                assert_eq!(ours.reason.byte(), theirs.reason_code as u8);
                let properties = theirs.properties.map(|found| (found.reason_string, found.user_properties));
                assert_eq!(
                    (ours.reason_string.clone(), ours.user_properties.clone()),
                    properties.unwrap_or_default()
                );
            }
            Err(_) => assert_eq!(PacketType::Disconnect, packet.packet_type(), "row A5"),
        },
        // Its decoder of UNSUBSCRIBE prints to the standard error: row A11.
        Packet::Unsubscribe(_) | Packet::PingReq | Packet::PingResp | Packet::Auth(_) => {}
    }
}

type Explanation = (Option<String>, Vec<(String, String)>);

fn same_ack(ours: &Ack, pkid: u16, reason: u8, properties: Option<Explanation>) {
    assert_eq!((ours.packet_id.as_u16(), ours.reason.byte()), (pkid, reason));
    let information =
        ours.information.as_deref().map(|found| (found.reason_string.clone(), found.user_properties.clone()));
    assert_eq!(information, properties);
}

fn connect_v5(ours: &Connect, header: FixedHeader, bytes: Bytes) {
    let Ok(theirs) = v5::Connect::read(header, bytes) else {
        assert!(ours.version != Version::V5 || !password_is_text(ours));
        return;
    };
    if ours.version != Version::V5 {
        return;
    }
    assert_eq!(ours.client_id, theirs.client_id);
    if let Some(properties) = theirs.properties {
        let expiry = properties.session_expiry_interval.unwrap_or_default();
        assert_eq!(ours.properties.session_expiry_seconds, expiry);
        assert_eq!(ours.properties.topic_alias_maximum, properties.topic_alias_max.unwrap_or_default());
        assert_eq!(ours.properties.user_properties, properties.user_properties);
    } else {
        assert_eq!(ours.properties, ConnectProperties::default());
    }
    let will = ours.will.as_ref().map(|will| (will.topic.as_str(), &will.payload[..]));
    assert_eq!(will, theirs.last_will.as_ref().map(|will| (will.topic.as_str(), &will.message[..])));
}

/// With more than two subscription identifiers mqttbytes gives properties out as payload: row A3.
fn publish_v5(ours: &Publish<'_>, header: FixedHeader, bytes: Bytes) {
    if ours.properties.subscription_ids().count() >= 2 {
        return;
    }
    let theirs = v5::Publish::read(header, bytes).unwrap();
    assert_eq!((ours.dup, ours.retain), (theirs.dup, theirs.retain));
    assert_eq!((ours.qos.bits(), id(ours.packet_id)), (theirs.qos as u8, theirs.pkid));
    assert_eq!((ours.topic, ours.payload), (theirs.topic.as_str(), &theirs.payload[..]));
    let Some(properties) = theirs.properties else {
        assert!(ours.properties.raw.is_empty());
        return;
    };
    let found = ours.properties;
    assert_eq!(found.topic_alias.map(std::num::NonZeroU16::get), properties.topic_alias);
    assert_eq!(found.message_expiry_seconds, properties.message_expiry_interval);
    assert_eq!(found.content_type(), properties.content_type.as_deref());
    assert_eq!(found.response_topic(), properties.response_topic.as_deref());
    assert_eq!(found.correlation_data(), properties.correlation_data.as_deref());
    assert_eq!(found.payload_is_utf8(), properties.payload_format_indicator == Some(1));
    let pairs = properties.user_properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    assert!(found.user_properties().eq(pairs));
}

fn subscribe_v5(ours: &Subscribe, header: FixedHeader, bytes: Bytes) {
    let theirs = v5::Subscribe::read(header, bytes).unwrap();
    let filters = ours.filters.iter().map(|each| {
        (
            each.filter.as_str(),
            each.qos.bits(),
            each.no_local,
            each.retain_as_published,
            each.retain_handling as u8,
        )
    });
    assert!(filters.eq(theirs.filters.iter().map(|each| {
        let handling = match each.retain_forward_rule {
            v5::RetainForwardRule::OnEverySubscribe => 0,
            v5::RetainForwardRule::OnNewSubscribe => 1,
            v5::RetainForwardRule::Never => 2,
        };
        (each.path.as_str(), each.qos as u8, each.nolocal, each.preserve_retain, handling)
    })));
    let (id, pairs) = theirs.properties.map(|found| (found.id, found.user_properties)).unwrap_or_default();
    assert_eq!((ours.id.map(|id| id as usize), &ours.user_properties), (id, &pairs));
}

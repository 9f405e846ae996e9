//! A stream of arbitrary bytes, in every version: no panic, no endless loop, and what is accepted and can be written
//! again means the same afterwards.

#![no_main]

use bytes::BytesMut;
use gaugeline_protocol::{
    Version,
    codec::{Limits, frame},
    packet::{AckType, Outgoing, Packet, decode},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for version in Version::ALL {
        let mut rest = bytes;
        while let Ok(Some(found)) = frame(rest, 1 << 20) {
            assert!(found.len >= 2 && found.len <= rest.len());
            if let Ok(packet) = decode(version, &found, &Limits::default()) {
                round_trip(version, &packet);
            }
            rest = &rest[found.len..];
        }
    }
});

fn round_trip(version: Version, packet: &Packet<'_>) {
    let mut out = BytesMut::new();
    let written = match packet {
        Packet::Connect(connect) => connect.encode(&mut out),
        Packet::ConnAck(connack) => connack.encode(version, &mut out),
        Packet::Publish(publish) => {
            let ids = publish.properties.subscription_ids().collect::<Vec<_>>();
            let outgoing = Outgoing {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                topic: publish.topic,
                packet_id: publish.packet_id,
                payload: publish.payload,
                topic_alias: publish.properties.topic_alias,
                message_expiry_seconds: publish.properties.message_expiry_seconds,
                subscription_ids: &ids,
                forwardable: &publish.properties.forwardable(),
                user_property: None,
            };
            let written = outgoing.encode(version, &mut out).map(|_| ());
            assert_eq!(out.len(), outgoing.len(version));
            written
        }
        Packet::PubAck(ack) => ack.encode(AckType::PubAck, version, &mut out),
        Packet::PubRec(ack) => ack.encode(AckType::PubRec, version, &mut out),
        Packet::PubRel(ack) => ack.encode(AckType::PubRel, version, &mut out),
        Packet::PubComp(ack) => ack.encode(AckType::PubComp, version, &mut out),
        Packet::Subscribe(subscribe) => subscribe.encode(version, &mut out),
        Packet::SubAck(ack) => ack.encode(version, &mut out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, &mut out),
        Packet::UnsubAck(ack) => ack.encode(version, &mut out),
        Packet::PingReq | Packet::PingResp => return,
        Packet::Disconnect(disconnect) => disconnect.encode(version, &mut out),
        Packet::Auth(auth) => auth.encode(version, &mut out),
    };
    written.expect("what was decoded can be written");
    let found = frame(&out, usize::MAX).expect("valid").expect("whole");
    let again = decode(version, &found, &Limits::default()).expect("what was written is valid");
    match (packet, &again) {
        // The properties may have changed their order.
        (Packet::Publish(ours), Packet::Publish(theirs)) => {
            assert_eq!((ours.topic, ours.payload), (theirs.topic, theirs.payload));
            assert_eq!(ours.properties.forwardable(), theirs.properties.forwardable());
        }
        _ => assert_eq!(packet, &again),
    }
}

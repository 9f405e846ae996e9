//! QoS 0, 1 and 2 in both directions: acknowledgements, downgrades, packet identifiers, order.

use std::collections::BTreeSet;

use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    packet::{Ack, AckType, Outgoing, Packet},
};

use crate::support::{Client, Server, at, message};

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

scenarios! {
    every {
        the_lower_qos_is_delivered,
        acknowledgements_keep_the_order_of_their_messages,
        messages_keep_their_order,
        packet_ids_in_use_differ,
        a_repetition_is_not_told_to_subscribers,
        a_message_that_was_not_released_is_not_routed_twice,
        a_packet_id_is_free_after_the_exchange,
        unknown_acknowledgements_change_nothing,
        a_client_gets_its_own_messages,
        payloads_of_every_size_arrive,
        late_pubrec_is_answered_each_time,
    }
    v5 {
        the_publisher_learns_that_nobody_subscribes,
        a_refused_message_is_settled,
        an_unknown_release_is_told,
    }
}

/// [MQTT-3.3.4-1], [MQTT-3.8.4-8], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]
async fn the_lower_qos_is_delivered(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    let mut publisher = Client::join(&server, version, "p").await;
    for granted in ALL {
        subscriber.subscribe("t", granted).await;
        for published in ALL {
            publisher.publish(published, message("t", "x")).await;
            let publish = subscriber.take("x").await;
            assert_eq!((publish.qos, publish.dup, publish.retain), (granted.min(published), false, false));
        }
    }
}

/// [MQTT-4.6.0-2], [MQTT-4.6.0-3]: PUBACKs among each other, and PUBRECs.
async fn acknowledgements_keep_the_order_of_their_messages(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &crate::support::kept(version, "s")).await;
    subscriber.subscribe("a/#", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let packets = (1..=60).map(|id: u16| {
        let topic = ["a/b", "a", "b"][usize::from(id) % 3];
        let qos = if id.is_multiple_of(4) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        at(qos, id, message(topic, "x"))
    });
    publisher.send(packets.collect::<Vec<_>>()).await;
    let (mut pubacks, mut pubrecs) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        match publisher.receive().await {
            Packet::PubAck(ack) => pubacks.push(ack.packet_id.as_u16()),
            Packet::PubRec(ack) => pubrecs.push(ack.packet_id.as_u16()),
            other => panic!("{other:?}"),
        }
    }
    let (twos, ones): (Vec<_>, Vec<_>) = (1..=60).partition(|id| id % 4 == 0);
    assert_eq!((pubacks, pubrecs), (ones, twos));
}

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]
async fn messages_keep_their_order(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("#", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in ALL {
        let texts = (1..200).map(|number: u16| number.to_string()).collect::<Vec<_>>();
        let packets = texts.iter().zip(1..).map(|(text, id)| {
            let topic = if id % 2 == 0 { "even" } else { "odd" };
            let message = message(topic, text);
            if qos == QoS::AtMostOnce { message } else { at(qos, id, message) }
        });
        publisher.send(packets.collect::<Vec<_>>()).await;
        let mut numbers = Vec::new();
        while numbers.len() < texts.len() {
            // PUBRELs come in between.
            if let Packet::Publish(publish) = subscriber.receive().await {
                assert_eq!(publish.qos, qos);
                numbers.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                match publish.packet_id {
                    Some(id) if qos == QoS::AtLeastOnce => subscriber.acknowledge(AckType::PubAck, id).await,
                    Some(id) => subscriber.acknowledge(AckType::PubRec, id).await,
                    None => {}
                }
            }
        }
        assert_eq!(numbers, texts);
        release_all(&mut publisher, qos, texts.len()).await;
    }
}

async fn release_all(publisher: &mut Client, qos: QoS, count: usize) {
    for id in (1..).take(if qos == QoS::AtMostOnce { 0 } else { count }) {
        let id = PacketId::new(id).unwrap();
        let step = if qos == QoS::ExactlyOnce { AckType::PubRec } else { AckType::PubAck };
        publisher.expect_ack(step, id).await;
    }
}

/// [MQTT-2.2.1-4]
async fn packet_ids_in_use_differ(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut in_use = BTreeSet::new();
    for number in 0..50 {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        publisher.publish(qos, message("t", "x")).await;
        let publish = subscriber.expect_publish().await;
        assert!(in_use.insert(publish.packet_id.unwrap()));
        // Some are settled, out of order.
        if number % 5 == 0 {
            subscriber.settle(&publish).await;
            subscriber.ping().await;
            in_use.remove(&publish.packet_id.unwrap());
        }
    }
}

/// [MQTT-3.3.1-3]
async fn a_repetition_is_not_told_to_subscribers(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(qos, Outgoing { dup: true, ..message("t", "x") }).await;
        assert!(!subscriber.take("x").await.dup);
    }
}

/// [MQTT-4.3.3-10]
async fn a_message_that_was_not_released_is_not_routed_twice(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let publish = at(QoS::ExactlyOnce, 9, message("t", "x"));
    let id = publish.packet_id.unwrap();
    publisher.send(publish).await;
    publisher.expect_ack(AckType::PubRec, id).await;
    publisher.send(Outgoing { dup: true, ..publish }).await;
    publisher.expect_ack(AckType::PubRec, id).await;
    subscriber.take("x").await;
    subscriber.expect_silence().await;
}

/// [MQTT-4.3.2-5], [MQTT-4.3.3-11]
async fn a_packet_id_is_free_after_the_exchange(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for payload in ["1", "2"] {
        let publish = at(QoS::AtLeastOnce, 5, message("t", payload));
        let id = publish.packet_id.unwrap();
        publisher.send(publish).await;
        publisher.expect_ack(AckType::PubAck, id).await;
        publisher.send(Outgoing { qos: QoS::ExactlyOnce, ..publish }).await;
        publisher.expect_ack(AckType::PubRec, id).await;
        publisher.acknowledge(AckType::PubRel, id).await;
        publisher.expect_ack(AckType::PubComp, id).await;
        subscriber.take(payload).await;
        subscriber.take(payload).await;
    }
}

async fn unknown_acknowledgements_change_nothing(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let id = PacketId::new(77).unwrap();
    subscriber.acknowledge(AckType::PubAck, id).await;
    subscriber.acknowledge(AckType::PubComp, id).await;
    subscriber.ping().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::ExactlyOnce, message("t", "x")).await;
    let publish = subscriber.expect_payload("x").await;
    // The wrong step for a QoS 2 message.
    subscriber.acknowledge(AckType::PubAck, publish.packet_id.unwrap()).await;
    subscriber.settle(&publish).await;
    subscriber.ping().await;
}

async fn a_client_gets_its_own_messages(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    client.send(message("t", "x")).await;
    client.take("x").await;
}

/// From nothing to the largest packet that is accepted.
async fn payloads_of_every_size_arrive(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for size in [0, 1, 120, 127, 128, 4095, 4096, 4097, 16_383, 65_535, 65_536, 100_000, 1_999_000] {
        let payload = "x".repeat(size);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            publisher.publish(qos, message("t", &payload)).await;
            assert_eq!(subscriber.take(&payload).await.qos, qos);
        }
    }
}

/// [MQTT-4.3.3-3]: a client that lost its memory of PUBREL asks again.
async fn late_pubrec_is_answered_each_time(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::ExactlyOnce, message("t", "x")).await;
    let id = subscriber.expect_payload("x").await.packet_id.unwrap();
    for _ in 0..2 {
        subscriber.acknowledge(AckType::PubRec, id).await;
        subscriber.expect_ack(AckType::PubRel, id).await;
    }
    subscriber.acknowledge(AckType::PubComp, id).await;
    // Unknown by now. MQTT 3 has no way to say so.
    subscriber.acknowledge(AckType::PubRec, id).await;
    let reason = subscriber.expect_answer(AckType::PubRel, id).await;
    assert_eq!(reason.is_error(), version.is_v5());
}

/// [MQTT 5.0, section 3.4.2.1]
async fn the_publisher_learns_that_nobody_subscribes(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish(qos, message("t", "x")).await, ReasonCode::NoMatchingSubscribers);
    }
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish(qos, message("t", "x")).await, ReasonCode::Success);
    }
}

/// [MQTT-4.3.3-4], [MQTT-4.4.0-2]: an acknowledgement with a failure ends the exchange too.
async fn a_refused_message_is_settled(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &crate::support::kept(version, "s")).await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (qos, step) in [(QoS::AtLeastOnce, AckType::PubAck), (QoS::ExactlyOnce, AckType::PubRec)] {
        publisher.publish(qos, message("t", "x")).await;
        let id = subscriber.expect_payload("x").await.packet_id.unwrap();
        subscriber.send((step, Ack::new(id, ReasonCode::QuotaExceeded))).await;
        subscriber.expect_silence().await;
    }
    subscriber.break_off().await;
    server.until_online(1).await;
    Client::connect(&server, &crate::support::kept(version, "s")).await.expect_silence().await;
}

/// [MQTT 5.0, section 3.7.2.1]
async fn an_unknown_release_is_told(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    let id = PacketId::new(3).unwrap();
    client.acknowledge(AckType::PubRel, id).await;
    assert_eq!(client.expect_answer(AckType::PubComp, id).await, ReasonCode::PacketIdentifierNotFound);
}

//! Receive Maximum and Maximum Packet Size, in both directions.

use gaugeline_broker::metrics::{CloseReason, DropReason};
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{AckType, Connect, ConnectProperties},
};

use crate::support::{Client, Server, Setup, at, clean, kept, message};

scenarios! {
    every {
        packets_over_the_maximum_size_end_the_connection,
        packets_of_the_maximum_size_are_accepted,
        the_window_towards_a_client_is_never_exceeded,
    }
    v3 { clients_that_know_no_receive_maximum_are_slowed_down_instead }
    v5 {
        more_than_the_receive_maximum_ends_the_connection,
        acknowledged_messages_make_room,
        the_clients_receive_maximum_is_kept,
        pubrec_does_not_make_room_but_pubcomp_does,
        messages_over_the_clients_maximum_size_are_dropped,
        a_message_that_grows_on_its_way_is_dropped,
        a_smaller_maximum_size_after_a_reconnect_is_kept,
    }
}

/// [MQTT-3.1.2-24] the other way round: the server announces its maximum in CONNACK.
async fn packets_over_the_maximum_size_end_the_connection(version: Version) {
    let server = Setup::new().limits(|limits| limits.packet_bytes = 1000).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.send(message("t", &"x".repeat(1000))).await;
    publisher.expect_disconnect(ReasonCode::PacketTooLarge).await;
    // The size is known, and refused, before the content is there.
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.send([0x30, 0xFF, 0xFF, 0xFF, 0x7F]).await;
    publisher.expect_disconnect(ReasonCode::PacketTooLarge).await;
    assert_eq!(server.closed(CloseReason::PacketTooLarge), 2);
}

async fn packets_of_the_maximum_size_are_accepted(version: Version) {
    let server = Setup::new().limits(|limits| limits.packet_bytes = 1000).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut payload = "x".repeat(1000);
    while message("t", &payload).len(version) > 1000 {
        payload.pop();
    }
    assert_eq!(message("t", &payload).len(version), 1000);
    publisher.send(message("t", &payload)).await;
    publisher.ping().await;
}

/// [MQTT-3.3.4-9]: for clients that state none, the limit is the broker's own.
async fn the_window_towards_a_client_is_never_exceeded(version: Version) {
    let server = Setup::new().limits(|limits| limits.inflight_messages = 4).start().await;
    let window = if version.is_v5() { 65_535 } else { 4 };
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for _ in 0..3 {
        let packets = (1..=10).map(|id| at(QoS::AtLeastOnce, id, message("t", "x")));
        publisher.send(packets.collect::<Vec<_>>()).await;
        publisher.collect().await;
    }
    let mut left = 30;
    while left > 0 {
        let found = subscriber.collect().await;
        assert_eq!(found.len(), left.min(window));
        for publish in &found {
            subscriber.settle(publish).await;
        }
        left -= found.len();
    }
}

/// The broker takes QoS 2 messages as they come, since an MQTT 3 client has promised nothing.
async fn clients_that_know_no_receive_maximum_are_slowed_down_instead(version: Version) {
    let server = Setup::new().limits(|limits| limits.receive_maximum = 2).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    let packets = (1..=10).map(|id| at(QoS::ExactlyOnce, id, message("t", "x")));
    publisher.send(packets.collect::<Vec<_>>()).await;
    for id in 1..=10 {
        publisher.expect_ack(AckType::PubRec, gaugeline_protocol::PacketId::new(id).unwrap()).await;
    }
}

/// [MQTT-3.3.4-7], [MQTT-3.3.4-8]
async fn more_than_the_receive_maximum_ends_the_connection(version: Version) {
    let server = Setup::new().limits(|limits| limits.receive_maximum = 2).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtMostOnce, message("t", "x")).await;
    for id in 1..=3 {
        publisher.send(at(QoS::ExactlyOnce, id, message("t", "x"))).await;
        if id < 3 {
            let id = gaugeline_protocol::PacketId::new(id).unwrap();
            publisher.expect_ack(AckType::PubRec, id).await;
        }
    }
    publisher.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await;
    assert_eq!(server.closed(CloseReason::QuotaExceeded), 1);
}

/// [MQTT-4.9.0-2]
async fn acknowledged_messages_make_room(version: Version) {
    let server = Setup::new().limits(|limits| limits.receive_maximum = 2).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for _ in 0..5 {
        publisher.publish(QoS::ExactlyOnce, message("t", "x")).await;
        publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    }
    publisher.ping().await;
}

fn limited(version: Version, receive_maximum: Option<u16>, packet_bytes_max: Option<u32>) -> Connect {
    let properties = ConnectProperties {
        receive_maximum: receive_maximum.and_then(|maximum| maximum.try_into().ok()),
        packet_bytes_max: packet_bytes_max.and_then(|bytes| bytes.try_into().ok()),
        ..ConnectProperties::default()
    };
    Connect { properties, ..clean(version, "limited") }
}

/// [MQTT-3.3.4-9], [MQTT-4.9.0-3]: other packets are not held back.
async fn the_clients_receive_maximum_is_kept(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &limited(version, Some(2), None)).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for payload in ["1", "2", "3", "4", "5"] {
        publisher.publish(QoS::AtLeastOnce, message("t", payload)).await;
    }
    let one = subscriber.expect_payload("1").await;
    let two = subscriber.expect_payload("2").await;
    subscriber.expect_silence().await;
    subscriber.settle(&two).await;
    let three = subscriber.expect_payload("3").await;
    subscriber.expect_silence().await;
    subscriber.settle(&one).await;
    subscriber.settle(&three).await;
    subscriber.take("4").await;
    subscriber.take("5").await;
    subscriber.expect_silence().await;
}

/// [MQTT-4.9.0-2]
async fn pubrec_does_not_make_room_but_pubcomp_does(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &limited(version, Some(1), None)).await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::ExactlyOnce, message("t", "1")).await;
    publisher.publish(QoS::ExactlyOnce, message("t", "2")).await;
    let id = subscriber.expect_payload("1").await.packet_id.unwrap();
    subscriber.acknowledge(AckType::PubRec, id).await;
    subscriber.expect_ack(AckType::PubRel, id).await;
    subscriber.expect_silence().await;
    subscriber.acknowledge(AckType::PubComp, id).await;
    subscriber.take("2").await;
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]
async fn messages_over_the_clients_maximum_size_are_dropped(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &limited(version, Some(1), Some(100))).await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let long = "x".repeat(100);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(qos, message("t", &long)).await;
        publisher.publish(qos, message("t", "short")).await;
        subscriber.take("short").await;
    }
    let fits = "x".repeat(100 - message("t", "").len(version));
    publisher.publish(QoS::AtMostOnce, message("t", &fits)).await;
    subscriber.take(&fits).await;
    subscriber.expect_silence().await;
    assert_eq!(server.dropped(DropReason::TooLarge), 3);
}

/// [MQTT-3.1.2-24]: in MQTT 5 the same message is one byte longer, even if the client takes as much as the broker.
async fn a_message_that_grows_on_its_way_is_dropped(version: Version) {
    let server = Setup::new().limits(|limits| limits.packet_bytes = 1000).start().await;
    let mut subscriber = Client::connect(&server, &limited(version, None, Some(1000))).await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, Version::V311, "p").await;
    let long = "x".repeat(1000 - message("t", "").len(Version::V311) - 1);
    assert_eq!(message("t", &long).len(Version::V311), 1000);
    publisher.publish(QoS::AtMostOnce, message("t", &long)).await;
    subscriber.expect_silence().await;
    assert_eq!(server.dropped(DropReason::TooLarge), 1);
}

/// [MQTT-3.1.2-25]: a message that may not be sent again counts as sent.
async fn a_smaller_maximum_size_after_a_reconnect_is_kept(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &kept(version, "s")).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let long = "x".repeat(100);
    for payload in ["1", &long, "2"] {
        publisher.publish(QoS::AtLeastOnce, message("t", payload)).await;
        subscriber.expect_payload(payload).await;
    }
    subscriber.break_off().await;
    server.until_online(1).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "3")).await;
    let mut smaller = kept(version, "s");
    smaller.properties.packet_bytes_max = Some(100.try_into().unwrap());
    let mut subscriber = Client::connect(&server, &smaller).await;
    for payload in ["1", "2", "3"] {
        subscriber.take(payload).await;
    }
    subscriber.expect_silence().await;
    assert_eq!(server.dropped(DropReason::TooLarge), 1);
    subscriber.break_off().await;
    server.until_online(1).await;
    Client::connect(&server, &kept(version, "s")).await.expect_silence().await;
}

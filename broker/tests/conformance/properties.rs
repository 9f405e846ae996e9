//! Properties of messages on their way through the broker.

use gaugeline_protocol::{
    QoS, Version,
    packet::{Connect, ConnectProperties, Outgoing, Packet},
};

use crate::support::{Client, Server, clean, filter, kept, message};

scenarios! {
    v5 {
        properties_go_on_unaltered,
        properties_survive_the_queue,
        properties_survive_retaining,
        older_versions_get_the_message_without_properties,
        messages_of_older_versions_have_no_properties,
        many_user_properties_keep_their_order,
        nothing_but_codes_for_clients_that_want_no_problem_information,
    }
}

/// Payload format, content type, response topic, correlation data, and user properties with a repeated key.
const PROPERTIES: &[u8] =
    b"\x26\0\x01k\0\x011\x01\x01\x03\0\x04json\x26\0\x01k\0\x012\x08\0\x03a/b\x09\0\x02\0\xFF\x26\0\0\0\0";

fn rich(payload: &str) -> Outgoing<'_> {
    Outgoing { forwardable: PROPERTIES, ..message("t", payload) }
}

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20]
async fn properties_go_on_unaltered(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        publisher.publish(qos, rich("x")).await;
        let found = subscriber.take("x").await.properties;
        assert_eq!(found.raw, PROPERTIES);
        assert!(found.payload_is_utf8());
        assert_eq!(found.content_type(), Some("json"));
        assert_eq!(found.response_topic(), Some("a/b"));
        assert_eq!(found.correlation_data(), Some(&[0, 0xFF][..]));
        assert_eq!(found.user_properties().collect::<Vec<_>>(), [("k", "1"), ("k", "2"), ("", "")]);
    }
    // What is for one receiver only is added, and the rest stays as it is.
    subscriber.subscribe_to(vec![filter("t", QoS::AtLeastOnce)], Some(300)).await;
    let message_expiry_seconds = Some(1000);
    publisher.publish(QoS::AtMostOnce, Outgoing { message_expiry_seconds, ..rich("y") }).await;
    let found = subscriber.take("y").await.properties;
    assert_eq!(found.forwardable(), PROPERTIES);
    assert_eq!(found.message_expiry_seconds, message_expiry_seconds);
    assert_eq!(found.subscription_ids().collect::<Vec<_>>(), [300]);
}

async fn properties_survive_the_queue(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::connect(&server, &kept(version, "s")).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    subscriber.leave().await;
    server.until_empty().await;
    Client::join(&server, version, "p").await.publish(QoS::AtLeastOnce, rich("x")).await;
    let mut subscriber = Client::connect(&server, &kept(version, "s")).await;
    assert_eq!(subscriber.expect_payload("x").await.properties.raw, PROPERTIES);
    subscriber.break_off().await;
    server.until_empty().await;
    let mut subscriber = Client::connect(&server, &kept(version, "s")).await;
    assert_eq!(subscriber.take("x").await.properties.raw, PROPERTIES);
}

async fn properties_survive_retaining(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..rich("x") }).await;
    client.subscribe("t", QoS::AtMostOnce).await;
    assert_eq!(client.take("x").await.properties.raw, PROPERTIES);
}

async fn older_versions_get_the_message_without_properties(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..rich("x") }).await;
    for older in [Version::V31, Version::V311] {
        let mut subscriber = Client::join(&server, older, "s").await;
        subscriber.subscribe("t", QoS::ExactlyOnce).await;
        subscriber.take("x").await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publisher.publish(qos, rich("x")).await;
            assert_eq!(subscriber.take("x").await.topic, "t");
        }
    }
}

async fn messages_of_older_versions_have_no_properties(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, Version::V311, "p").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        publisher.publish(qos, message("t", "x")).await;
        assert_eq!(subscriber.take("x").await.properties.raw, b"");
    }
}

/// [MQTT-3.3.2-18]
async fn many_user_properties_keep_their_order(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    let section = (1..=100).flat_map(|number| [0x26, 0, 1, b'k', 0, 1, number]).collect::<Vec<_>>();
    client.send(Outgoing { forwardable: &section, ..message("t", "x") }).await;
    assert_eq!(client.take("x").await.properties.raw, section);
}

/// [MQTT-3.1.2-29]
async fn nothing_but_codes_for_clients_that_want_no_problem_information(version: Version) {
    let server = Server::start().await;
    let properties = ConnectProperties { request_problem_information: false, ..ConnectProperties::default() };
    let mut client = Client::connect(&server, &Connect { properties, ..clean(version, "a") }).await;
    let id = client.packet_id();
    client.send(Outgoing { qos: QoS::AtLeastOnce, packet_id: Some(id), ..message("t", "x") }).await;
    match client.receive().await {
        Packet::PubAck(ack) => assert_eq!(ack.information, None),
        other => panic!("{other:?}"),
    }
    client.unsubscribe(&["t"]).await;
}

//! Topic aliases from clients [MQTT 5.0, section 3.3.2.3.4]. The broker sends none.

use gaugeline_protocol::{QoS, ReasonCode, Version, packet::Outgoing};

use crate::support::{Client, Server, Setup, at, kept, message, nonzero};

scenarios! {
    v5 {
        an_alias_stands_for_its_topic,
        an_alias_can_be_given_another_topic,
        every_alias_up_to_the_maximum_is_accepted,
        an_alias_over_the_maximum_ends_the_connection,
        an_alias_of_zero_ends_the_connection,
        an_unknown_alias_ends_the_connection,
        aliases_end_with_their_connection,
        an_alias_without_topic_obeys_the_acl,
    }
}

fn aliased<'a>(alias: u16, topic: &'a str, payload: &'a str) -> Outgoing<'a> {
    Outgoing { topic_alias: Some(nonzero(alias)), ..message(topic, payload) }
}

async fn pair(server: &Server, version: Version) -> (Client, Client) {
    let mut subscriber = Client::join(server, version, "s").await;
    subscriber.subscribe("#", QoS::ExactlyOnce).await;
    (subscriber, Client::join(server, version, "p").await)
}

async fn an_alias_stands_for_its_topic(version: Version) {
    let server = Server::start().await;
    let (mut subscriber, mut publisher) = pair(&server, version).await;
    for (topic, payload) in [("a", "1"), ("", "2"), ("", "3")] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            publisher.publish(qos, aliased(1, topic, payload)).await;
            let publish = subscriber.take(payload).await;
            assert_eq!((publish.topic, publish.properties.topic_alias), ("a", None));
        }
    }
    // In one read, with other aliases and topics in between.
    let packets = [("b", 2), ("", 1), ("", 2), ("c", 1), ("", 1), ("", 2)];
    publisher.send(packets.map(|(topic, alias)| aliased(alias, topic, "x")).to_vec()).await;
    for topic in ["b", "a", "b", "c", "c", "b"] {
        assert_eq!(subscriber.take("x").await.topic, topic);
    }
}

async fn an_alias_can_be_given_another_topic(version: Version) {
    let server = Server::start().await;
    let (mut subscriber, mut publisher) = pair(&server, version).await;
    for topic in ["a", "b", "a"] {
        publisher.send(vec![aliased(1, topic, "x"), aliased(1, "", "y")]).await;
        assert_eq!(subscriber.take("x").await.topic, topic);
        assert_eq!(subscriber.take("y").await.topic, topic);
    }
}

/// [MQTT-3.3.2-10]
async fn every_alias_up_to_the_maximum_is_accepted(version: Version) {
    let server = Setup::new().limits(|limits| limits.topic_alias_maximum = 5).start().await;
    let (mut subscriber, mut publisher) = pair(&server, version).await;
    let topics = (1..=5).map(|alias| format!("t/{alias}")).collect::<Vec<_>>();
    for (topic, alias) in topics.iter().zip(1..=5).rev() {
        publisher.send(aliased(alias, topic, "x")).await;
        subscriber.take("x").await;
    }
    for (topic, alias) in topics.iter().zip(1..) {
        publisher.send(aliased(alias, "", "y")).await;
        assert_eq!(subscriber.take("y").await.topic, topic);
    }
}

/// [MQTT-3.3.2-9]
async fn an_alias_over_the_maximum_ends_the_connection(version: Version) {
    for maximum in [0, 5] {
        let server = Setup::new().limits(|limits| limits.topic_alias_maximum = maximum).start().await;
        let mut publisher = Client::join(&server, version, "p").await;
        publisher.send(aliased(maximum + 1, "t", "x")).await;
        publisher.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
    }
}

/// [MQTT-3.3.2-8]
async fn an_alias_of_zero_ends_the_connection(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.send([0x30, 7, 0, 1, b't', 3, 0x23, 0, 0]).await;
    publisher.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

/// [MQTT 5.0, section 3.3.2.3.4]
async fn an_unknown_alias_ends_the_connection(version: Version) {
    let server = Server::start().await;
    for known in [None, Some(1)] {
        let mut publisher = Client::join(&server, version, "p").await;
        if let Some(alias) = known {
            publisher.send(aliased(alias, "t", "x")).await;
        }
        publisher.send(aliased(2, "", "x")).await;
        publisher.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

/// [MQTT-3.3.2-7]
async fn aliases_end_with_their_connection(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::connect(&server, &kept(version, "p")).await;
    publisher.send(aliased(1, "t", "x")).await;
    publisher.ping().await;
    publisher.break_off().await;
    server.until_empty().await;
    let mut publisher = Client::connect(&server, &kept(version, "p")).await;
    publisher.send(aliased(1, "", "x")).await;
    publisher.expect_disconnect(ReasonCode::ProtocolError).await;
}

async fn an_alias_without_topic_obeys_the_acl(version: Version) {
    let server = Setup::new().acl("topic readwrite a\ntopic read #\n").start().await;
    let (mut subscriber, mut publisher) = pair(&server, version).await;
    for (topic, expected) in
        [("b", ReasonCode::NotAuthorized), ("", ReasonCode::NotAuthorized), ("a", ReasonCode::Success)]
    {
        let packet = Outgoing { topic, ..at(QoS::AtLeastOnce, 1, aliased(1, "b", "x")) };
        assert_eq!(publisher.publish(QoS::AtLeastOnce, packet).await, expected);
    }
    assert_eq!(subscriber.take("x").await.topic, "a");
    subscriber.expect_silence().await;
}

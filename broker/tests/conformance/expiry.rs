//! Message Expiry Interval [MQTT 5.0, section 3.3.2.3.3]. These tests take the second that they test.

use gaugeline_broker::metrics::DropReason;
use gaugeline_protocol::{
    QoS, Version,
    packet::{Connect, Outgoing},
};

use crate::support::{Client, Server, Setup, kept, message, until};

scenarios! {
    every { an_expired_message_is_not_delivered }
    v5 { the_time_waited_is_taken_off, an_expired_retained_message_is_not_delivered, an_expired_retained_message_gives_its_place_back }
}

fn expiring<'a>(seconds: u32, payload: &'a str) -> Outgoing<'a> {
    Outgoing { message_expiry_seconds: Some(seconds), ..message("t", payload) }
}

/// A session that ends after a second shows that more than a second has passed.
async fn a_second(server: &Server) {
    let mut other = kept(Version::V5, "clock");
    other.properties.session_expiry_seconds = 1;
    let before = server.metrics().subscriptions.get();
    let mut client = Client::connect(server, &other).await;
    client.subscribe("clock", QoS::AtMostOnce).await;
    client.leave().await;
    until("a second to pass", || server.metrics().subscriptions.get() == before).await;
}

/// [MQTT-3.3.2-5]
async fn an_expired_message_is_not_delivered(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    let mut publisher = Client::join(&server, Version::V5, "p").await;
    publisher.publish(QoS::AtLeastOnce, expiring(1, "old")).await;
    publisher.publish(QoS::AtLeastOnce, expiring(1000, "fresh")).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "for ever")).await;
    a_second(&server).await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.take("fresh").await;
    client.take("for ever").await;
    client.expect_silence().await;
    assert_eq!(server.dropped(DropReason::Expired), 1);
}

/// [MQTT-3.3.2-6]
async fn the_time_waited_is_taken_off(version: Version) {
    let server = Server::start().await;
    let mut online = Client::join(&server, version, "online").await;
    online.subscribe("t", QoS::AtLeastOnce).await;
    let absent = Connect { client_id: "absent".to_owned(), ..kept(version, "") };
    let mut client = Client::connect(&server, &absent).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..expiring(1000, "x") }).await;
    assert_eq!(online.take("x").await.properties.message_expiry_seconds, Some(1000));
    a_second(&server).await;
    let mut client = Client::connect(&server, &absent).await;
    let waited = client.take("x").await.properties.message_expiry_seconds.unwrap();
    online.subscribe("t", QoS::AtLeastOnce).await;
    let retained = online.take("x").await.properties.message_expiry_seconds.unwrap();
    for left in [waited, retained] {
        assert!((900..1000).contains(&left), "{left}");
    }
}

/// [MQTT-3.3.2-5], [MQTT-3.3.1-5]
async fn an_expired_retained_message_is_not_delivered(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..expiring(1, "x") }).await;
    a_second(&server).await;
    publisher.subscribe("t", QoS::AtMostOnce).await;
    publisher.expect_silence().await;
}

/// The limit of retained messages is one: the second finds room once the first has expired.
async fn an_expired_retained_message_gives_its_place_back(version: Version) {
    let server = Setup::new().limits(|limits| limits.retained_messages = 1).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..expiring(2, "x") }).await;
    until("the message to be counted", || server.metrics().retained_messages.get() == 1).await;
    until("the message to expire", || server.metrics().retained_messages.get() == 0).await;
    let other = Outgoing { retain: true, ..message("other", "y") };
    publisher.publish(QoS::AtLeastOnce, other).await;
    publisher.subscribe("other", QoS::AtMostOnce).await;
    publisher.take("y").await;
}

//! A second connection of the same client.

use gaugeline_broker::metrics::CloseReason;
use gaugeline_protocol::{QoS, ReasonCode, Version};

use crate::support::{Client, Server, clean, kept, message};

scenarios! {
    every {
        the_older_connection_ends,
        the_session_moves_to_the_newer_connection,
        a_clean_session_does_not_move,
        a_chain_of_takeovers_leaves_the_last,
        a_storm_of_takeovers_loses_nothing,
    }
}

/// [MQTT-3.1.4-3]
async fn the_older_connection_ends(version: Version) {
    let server = Server::start().await;
    let mut older = Client::join(&server, version, "a").await;
    let mut newer = Client::join(&server, version, "a").await;
    older.expect_disconnect(ReasonCode::SessionTakenOver).await;
    newer.ping().await;
    assert_eq!(server.closed(CloseReason::TakenOver), 1);
}

/// [MQTT-3.1.2-5], [MQTT-4.4.0-1]: with subscriptions, and what was not acknowledged or not sent.
async fn the_session_moves_to_the_newer_connection(version: Version) {
    let server = Server::start().await;
    let mut older = Client::connect(&server, &kept(version, "a")).await;
    older.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "1")).await;
    older.expect_payload("1").await;
    let (mut newer, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert_eq!(answer.session_present, version != Version::V31);
    older.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert!(newer.take("1").await.dup);
    publisher.publish(QoS::AtLeastOnce, message("t", "2")).await;
    assert!(!newer.take("2").await.dup);
}

async fn a_clean_session_does_not_move(version: Version) {
    let server = Server::start().await;
    let mut older = Client::join(&server, version, "a").await;
    older.subscribe("t", QoS::AtLeastOnce).await;
    let (mut newer, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert!(!answer.session_present);
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    newer.expect_silence().await;
}

/// The middle one may have to give up before it is in; the last one gets the session.
async fn a_chain_of_takeovers_leaves_the_last(version: Version) {
    let server = Server::start().await;
    let mut first = Client::connect(&server, &kept(version, "a")).await;
    first.subscribe("t", QoS::AtLeastOnce).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = Client::open(&server, version).await;
        other.send(kept(version, "a")).await;
        others.push(other);
    }
    let mut last = others.pop().unwrap();
    let answer = last.expect_connack().await;
    assert_eq!(answer.reason, ReasonCode::Success);
    assert_eq!(answer.session_present, version != Version::V31);
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    for mut other in others {
        // Let in for a moment, or refused at once; MQTT 3 knows one code for it.
        let answer = other.expect_connack().await.reason;
        assert!(matches!(answer, ReasonCode::Success | ReasonCode::ServerUnavailable), "{answer}");
        while other.next().await.is_some() {}
    }
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    last.take("x").await;
}

/// Many connections of one client at the same time, and messages meanwhile: whoever is left gets all of them.
async fn a_storm_of_takeovers_loses_nothing(version: Version) {
    let server = Server::start().await;
    let mut first = Client::connect(&server, &kept(version, "a")).await;
    first.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut storm = vec![first];
    for number in 0..30 {
        let mut client = Client::open(&server, version).await;
        client.send(if number == 0 { clean(version, "b") } else { kept(version, "a") }).await;
        storm.push(client);
        publisher.publish(QoS::AtLeastOnce, message("t", &number.to_string())).await;
    }
    drop(storm);
    server.until_online(1).await;
    let mut last = Client::connect(&server, &kept(version, "a")).await;
    for number in 0..30 {
        last.take(&number.to_string()).await;
    }
}

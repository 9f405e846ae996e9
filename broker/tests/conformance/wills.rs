//! Wills: when they are published, when not, and as what.

use gaugeline_broker::metrics::DropReason;
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{Connect, ConnectProperties, Disconnect, Outgoing, Will},
};

use crate::support::{Client, Log, Server, Setup, clean, kept, message, until, will};

scenarios! {
    every {
        a_lost_connection_publishes_the_will,
        a_violation_publishes_the_will,
        a_keep_alive_timeout_publishes_the_will,
        disconnect_removes_the_will,
        a_takeover_publishes_the_will,
        a_will_has_its_qos_and_retain_flag,
        an_empty_retained_will_removes_the_retained_message,
        a_will_that_may_not_be_written_is_logged,
        the_log_names_the_last_address_of_a_client,
        a_client_without_a_will_leaves_none,
        a_will_counts_for_one_connection,
    }
    v5 {
        disconnect_can_ask_for_the_will,
        a_delayed_will_waits,
        a_client_that_comes_back_cancels_its_delayed_will,
        a_delayed_will_is_published_when_the_session_ends,
        a_new_session_of_the_client_publishes_the_delayed_will,
        a_will_has_its_properties,
    }
}

fn dying(connect: Connect) -> Connect {
    Connect { will: Some(will("will", "gone")), ..connect }
}

async fn watcher(server: &Server, version: Version) -> Client {
    let mut watcher = Client::join(server, version, "watcher").await;
    watcher.subscribe("will", QoS::ExactlyOnce).await;
    watcher
}

/// [MQTT-3.1.2-8]
async fn a_lost_connection_publishes_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &dying(clean(version, "a"))).await.break_off().await;
    let publish = watcher.take("gone").await;
    assert_eq!((publish.topic, publish.qos, publish.retain), ("will", QoS::AtLeastOnce, false));
}

/// [MQTT-3.1.2-8], [MQTT-4.13.1-1]
async fn a_violation_publishes_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    let mut client = Client::connect(&server, &dying(clean(version, "a"))).await;
    client.send([0x36]).await;
    client.expect_disconnect(ReasonCode::MalformedPacket).await;
    watcher.take("gone").await;
}

/// [MQTT-3.1.2-22], [MQTT-3.1.2-8]: this one takes the time that it tests.
async fn a_keep_alive_timeout_publishes_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    let connect = Connect { keep_alive_seconds: 1, ..dying(clean(version, "a")) };
    let mut client = Client::connect(&server, &connect).await;
    client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    watcher.take("gone").await;
}

/// [MQTT-3.14.4-3], [MQTT-3.1.2-10]
async fn disconnect_removes_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &dying(clean(version, "a"))).await.leave().await;
    Client::connect(&server, &dying(kept(version, "b"))).await.leave().await;
    server.until_online(1).await;
    watcher.expect_silence().await;
}

/// [MQTT-3.1.2-8]: the older connection ends without DISCONNECT from the client.
async fn a_takeover_publishes_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    for connect in [clean(version, "a"), kept(version, "b")] {
        let mut older = Client::connect(&server, &dying(connect.clone())).await;
        let _newer = Client::connect(&server, &connect).await;
        older.expect_disconnect(ReasonCode::SessionTakenOver).await;
        watcher.take("gone").await;
        watcher.expect_silence().await;
    }
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15]
async fn a_will_has_its_qos_and_retain_flag(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for retain in [false, true] {
            let will = Will { qos, retain, ..will("will", "gone") };
            let connect = Connect { will: Some(will), ..clean(version, "a") };
            Client::connect(&server, &connect).await.break_off().await;
            assert_eq!(watcher.take("gone").await.qos, qos);
            server.until_online(1).await;
            let mut late = Client::join(&server, version, "late").await;
            late.subscribe("will", QoS::ExactlyOnce).await;
            if retain {
                assert_eq!(late.take("gone").await.qos, qos);
                late.unsubscribe(&["will"]).await;
                late.publish(QoS::AtMostOnce, Outgoing { retain: true, ..message("will", "") }).await;
                watcher.take("").await;
            } else {
                late.expect_silence().await;
            }
            late.leave().await;
            server.until_online(1).await;
        }
    }
}

async fn an_empty_retained_will_removes_the_retained_message(version: Version) {
    let server = Server::start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message("will", "here") }).await;
    let will = Will { retain: true, ..will("will", "") };
    let connect = Connect { will: Some(will), ..clean(version, "a") };
    Client::connect(&server, &connect).await.break_off().await;
    server.until_online(1).await;
    publisher.subscribe("will", QoS::AtMostOnce).await;
    publisher.expect_silence().await;
}

async fn a_will_that_may_not_be_written_is_logged(version: Version) {
    let log = Log::capture();
    let server = Setup::new().acl("topic read #\n").start().await;
    let mut watcher = watcher(&server, version).await;
    let client = Client::connect(&server, &dying(clean(version, "a"))).await;
    let address = client.address;
    client.break_off().await;
    server.until_online(1).await;
    watcher.expect_silence().await;
    assert_eq!(server.dropped(DropReason::AclWill), 1);
    let line = log.only_warning("a", "-", address);
    assert!(line.contains("will") && line.contains("may not write will"), "{line}");
}

async fn the_log_names_the_last_address_of_a_client(version: Version) {
    let log = Log::capture();
    let server = Setup::new().acl("topic read #\n").start().await;
    Client::connect(&server, &kept(version, "a")).await.leave().await;
    server.until_empty().await;
    let client = Client::connect(&server, &dying(kept(version, "a"))).await;
    let address = client.address;
    client.break_off().await;
    server.until_empty().await;
    log.only_warning("a", "-", address);
}

async fn a_client_without_a_will_leaves_none(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::join(&server, version, "a").await.break_off().await;
    server.until_online(1).await;
    watcher.expect_silence().await;
}

/// The will belongs to the connection, not to the session.
async fn a_will_counts_for_one_connection(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &dying(kept(version, "a"))).await.leave().await;
    server.until_online(1).await;
    Client::connect(&server, &kept(version, "a")).await.break_off().await;
    server.until_online(1).await;
    watcher.expect_silence().await;
}

/// [MQTT-3.1.2-10]: only reason 0x00 removes the will.
async fn disconnect_can_ask_for_the_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError] {
        let client = Client::connect(&server, &dying(clean(version, "a"))).await;
        client.leave_with(Disconnect::new(reason)).await;
        watcher.take("gone").await;
    }
}

/// A client with a will that waits for `delay_seconds`, and a session that is kept for `expiry_seconds`.
fn delayed(delay_seconds: u32, expiry_seconds: u32) -> Connect {
    let will = Will { delay_seconds, ..will("will", "gone") };
    let properties =
        ConnectProperties { session_expiry_seconds: expiry_seconds, ..ConnectProperties::default() };
    Connect { will: Some(will), properties, ..kept(Version::V5, "a") }
}

/// [MQTT-3.1.3-9]: this one takes the second that it tests.
async fn a_delayed_will_waits(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &delayed(1, 1000)).await.break_off().await;
    server.until_online(1).await;
    watcher.expect_silence().await;
    watcher.take("gone").await;
    // Once only, although the session goes on.
    let (_client, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert!(answer.session_present);
    watcher.expect_silence().await;
}

/// [MQTT-3.1.3-9]: the other client's will shows that the delay has passed.
async fn a_client_that_comes_back_cancels_its_delayed_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &delayed(1, 1000)).await.break_off().await;
    server.until_online(1).await;
    Client::connect(&server, &kept(version, "a")).await.break_off().await;
    let other = Connect {
        client_id: "b".to_owned(),
        will: Some(Will { delay_seconds: 1, ..will("will", "other") }),
        ..delayed(1, 1000)
    };
    Client::connect(&server, &other).await.break_off().await;
    watcher.take("other").await;
    watcher.expect_silence().await;
}

/// [MQTT-3.1.2-8]: at once if there is no session to wait for, or when it expires.
async fn a_delayed_will_is_published_when_the_session_ends(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    for expiry_seconds in [0, 1] {
        Client::connect(&server, &delayed(1_000_000, expiry_seconds)).await.break_off().await;
        watcher.take("gone").await;
    }
    let client = Client::connect(&server, &delayed(1_000_000, 1_000_000)).await;
    let end =
        Disconnect { session_expiry_seconds: Some(0), ..Disconnect::new(ReasonCode::DisconnectWithWill) };
    client.leave_with(end).await;
    watcher.take("gone").await;
    until("the sessions to end", || server.metrics().connections_open.get() == 1).await;
    watcher.expect_silence().await;
}

/// [MQTT-3.1.2-8]: clean start ends the session, and with it the delay.
async fn a_new_session_of_the_client_publishes_the_delayed_will(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    Client::connect(&server, &delayed(1_000_000, 1_000_000)).await.break_off().await;
    server.until_online(1).await;
    let _client = Client::join(&server, version, "a").await;
    watcher.take("gone").await;
}

/// [MQTT-3.1.3-10]
async fn a_will_has_its_properties(version: Version) {
    let server = Server::start().await;
    let mut watcher = watcher(&server, version).await;
    let properties = [&[0x01, 1][..], &[0x03, 0, 1, b'c'], &[0x26, 0, 1, b'k', 0, 1, b'v']].concat();
    let will =
        Will { properties: properties.into(), message_expiry_seconds: Some(1000), ..will("will", "gone") };
    Client::connect(&server, &Connect { will: Some(will), ..clean(version, "a") }).await.break_off().await;
    let found = watcher.take("gone").await.properties;
    assert!(found.payload_is_utf8());
    assert_eq!(found.content_type(), Some("c"));
    assert_eq!(found.user_properties().collect::<Vec<_>>(), [("k", "v")]);
    assert_eq!(found.message_expiry_seconds, Some(1000));
}

//! What outlives a connection, for how long, and what is sent again.

use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{AckType, Connect, ConnectProperties, Disconnect, Packet, Publish},
};

use crate::support::{Client, Server, Setup, at, by, clean, kept, message, until};

scenarios! {
    every {
        a_kept_session_has_its_subscriptions,
        a_clean_start_discards_the_session,
        a_clean_session_ends_with_its_connection,
        messages_wait_for_an_absent_client,
        unacknowledged_messages_come_again_first_and_in_order,
        a_message_that_was_received_is_only_released_again,
        a_message_is_routed_once_across_a_reconnect,
        another_user_does_not_get_the_session,
        a_session_without_a_user_does_not_keep_others_out,
        a_session_goes_on_in_another_version,
        a_session_survives_many_reconnects_without_loss,
    }
    v5 {
        an_expiry_of_zero_ends_the_session_with_the_connection,
        a_session_ends_when_its_expiry_has_passed,
        disconnect_can_end_the_session,
        disconnect_can_prolong_the_session,
        disconnect_cannot_give_life_to_a_session_that_has_none,
        packet_ids_of_a_window_are_not_kept,
    }
}

/// [MQTT-3.1.2-5], [MQTT-3.2.2-2], [MQTT-3.2.2-3]. CONNACK of MQTT 3.1 does not tell.
async fn a_kept_session_has_its_subscriptions(version: Version) {
    let server = Server::start().await;
    let (mut client, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert!(!answer.session_present);
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    server.until_empty().await;
    let (mut client, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert_eq!(answer.session_present, version != Version::V31);
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    client.take("x").await;
}

/// [MQTT-3.1.2-4]; [MQTT-3.1.2-6] of MQTT 3.1.1
async fn a_clean_start_discards_the_session(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t", "waits")).await;
    let (mut client, answer) = Client::try_connect(&server, &clean(version, "a")).await;
    assert!(!answer.session_present);
    publisher.publish(QoS::AtLeastOnce, message("t", "for nobody")).await;
    client.expect_silence().await;
}

/// [MQTT-3.1.2-23]; [MQTT-3.1.2-6] of MQTT 3.1.1
async fn a_clean_session_ends_with_its_connection(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.break_off().await;
    server.until_empty().await;
    assert_eq!(server.metrics().subscriptions.get(), 0);
    let (_client, answer) = Client::try_connect(&server, &kept(version, "a")).await;
    assert!(!answer.session_present);
}

/// [MQTT-4.1.0-1], [MQTT-4.6.0-6]
async fn messages_wait_for_an_absent_client(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t/#", QoS::ExactlyOnce).await;
    client.leave().await;
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtLeastOnce, message("t/1", "1")).await;
    publisher.publish(QoS::AtMostOnce, message("t", "not kept")).await;
    publisher.publish(QoS::ExactlyOnce, message("t/2", "2")).await;
    publisher.publish(QoS::AtLeastOnce, message("t/1", "3")).await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    for (topic, payload, qos) in
        [("t/1", "1", QoS::AtLeastOnce), ("t/2", "2", QoS::ExactlyOnce), ("t/1", "3", QoS::AtLeastOnce)]
    {
        let publish = client.expect_payload(payload).await;
        assert_eq!((publish.topic, publish.qos, publish.dup), (topic, qos, false));
        if qos == QoS::ExactlyOnce {
            // Nothing waits for the end of the exchange.
            client.acknowledge(AckType::PubRec, publish.packet_id.unwrap()).await;
        } else {
            client.settle(&publish).await;
        }
    }
}

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]: with the same packet identifiers, before what came meanwhile.
async fn unacknowledged_messages_come_again_first_and_in_order(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut sent = Vec::new();
    for (payload, qos) in [
        ("1", QoS::AtLeastOnce),
        ("2", QoS::ExactlyOnce),
        ("3", QoS::AtLeastOnce),
        ("4", QoS::ExactlyOnce),
        ("5", QoS::AtLeastOnce),
    ] {
        publisher.publish(qos, message("t", payload)).await;
        sent.push(client.expect_payload(payload).await);
    }
    // One in the middle is settled.
    client.settle(&sent.remove(2)).await;
    client.ping().await;
    client.break_off().await;
    server.until_online(1).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "6")).await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    for before in sent {
        assert_eq!(client.expect_publish().await, Publish { dup: true, ..before });
    }
    assert!(!client.take("6").await.dup);
}

/// [MQTT-4.4.0-1], [MQTT-4.3.3-7]: after PUBREC the message itself is not sent again.
async fn a_message_that_was_received_is_only_released_again(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let mut packet_ids = Vec::new();
    for payload in ["1", "2"] {
        publisher.publish(QoS::ExactlyOnce, message("t", payload)).await;
        let packet_id = client.expect_payload(payload).await.packet_id.unwrap();
        client.acknowledge(AckType::PubRec, packet_id).await;
        client.expect_ack(AckType::PubRel, packet_id).await;
        packet_ids.push(packet_id);
    }
    for _ in 0..2 {
        client.break_off().await;
        server.until_online(1).await;
        client = Client::connect(&server, &kept(version, "a")).await;
        for packet_id in &packet_ids {
            client.expect_ack(AckType::PubRel, *packet_id).await;
        }
    }
    for packet_id in &packet_ids {
        client.acknowledge(AckType::PubComp, *packet_id).await;
    }
    client.ping().await;
    client.break_off().await;
    server.until_online(1).await;
    Client::connect(&server, &kept(version, "a")).await.expect_silence().await;
}

/// [MQTT-4.3.3-10]: a PUBLISH with the identifier of a message that was not released is that message again.
async fn a_message_is_routed_once_across_a_reconnect(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::ExactlyOnce).await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    let publish = at(QoS::ExactlyOnce, 7, message("t", "once"));
    let packet_id = publish.packet_id.unwrap();
    client.send(publish).await;
    client.expect_ack(AckType::PubRec, packet_id).await;
    subscriber.take("once").await;
    for _ in 0..2 {
        client.break_off().await;
        server.until_online(1).await;
        client = Client::connect(&server, &kept(version, "a")).await;
        client.send(gaugeline_protocol::packet::Outgoing { dup: true, ..publish }).await;
        client.expect_ack(AckType::PubRec, packet_id).await;
    }
    client.acknowledge(AckType::PubRel, packet_id).await;
    client.expect_ack(AckType::PubComp, packet_id).await;
    subscriber.expect_silence().await;
    // Released: the same identifier is another message now.
    client.send(publish).await;
    client.expect_ack(AckType::PubRec, packet_id).await;
    subscriber.take("once").await;
}

/// [MQTT-5.4.2-1 is silent]: a session belongs to the user who opened it, or its messages could be stolen, or destroyed.
async fn another_user_does_not_get_the_session(version: Version) {
    let server = Setup::new().users(&[("owner", "1"), ("thief", "2")]).start().await;
    let mut owner = Client::connect(&server, &by(kept(version, "a"), "owner", "1")).await;
    owner.subscribe("t", QoS::AtLeastOnce).await;
    for kept_or_clean in [kept, clean] {
        let connect = by(kept_or_clean(version, "a"), "thief", "2");
        let (_, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid);
        owner.ping().await;
    }
    owner.leave().await;
    server.until_empty().await;
    let mut publisher = Client::connect(&server, &by(clean(version, "p"), "owner", "1")).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "secret")).await;
    for kept_or_clean in [kept, clean] {
        let connect = by(kept_or_clean(version, "a"), "thief", "2");
        let (_, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid);
    }
    assert_eq!(server.refused(RefusalReason::ClientId), 4);
    let mut owner = Client::connect(&server, &by(kept(version, "a"), "owner", "1")).await;
    owner.take("secret").await;
}

/// Nobody proved the name of an anonymous client: its session is not given away, but ends for who comes with a name.
async fn a_session_without_a_user_does_not_keep_others_out(version: Version) {
    let server = Setup::new().users(&[("user", "1")]).anonymous_too().start().await;
    let mut anonymous = Client::connect(&server, &kept(version, "a")).await;
    anonymous.subscribe("t", QoS::AtLeastOnce).await;
    anonymous.leave().await;
    server.until_empty().await;
    let mut publisher = Client::connect(&server, &clean(version, "p")).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "not for the user")).await;
    let (mut user, answer) = Client::try_connect(&server, &by(kept(version, "a"), "user", "1")).await;
    assert_eq!((answer.reason, answer.session_present), (ReasonCode::Success, false));
    user.expect_silence().await;
}

async fn a_session_goes_on_in_another_version(version: Version) {
    let server = Server::start().await;
    for next in Version::ALL {
        let name = format!("a{next}");
        let mut client = Client::connect(&server, &kept(version, &name)).await;
        client.subscribe("t", QoS::ExactlyOnce).await;
        let mut publisher = Client::join(&server, Version::V5, "p").await;
        publisher.publish(QoS::ExactlyOnce, message("t", "1")).await;
        publisher.publish(QoS::AtLeastOnce, message("t", "2")).await;
        let sent = [client.expect_payload("1").await, client.expect_payload("2").await];
        client.break_off().await;
        server.until_online(1).await;
        publisher.publish(QoS::AtLeastOnce, message("t", "3")).await;
        let mut client = Client::connect(&server, &kept(next, &name)).await;
        for before in sent {
            let again = client.expect_publish().await;
            assert_eq!((again.packet_id, again.payload, again.dup), (before.packet_id, before.payload, true));
        }
        client.take("3").await;
        client.settle(&sent[1]).await;
        client.settle(&sent[0]).await;
        client.unsubscribe(&["t"]).await;
        client.leave().await;
        publisher.leave().await;
        server.until_empty().await;
    }
}

/// Every message comes, in order, although the connection breaks after each few of them.
async fn a_session_survives_many_reconnects_without_loss(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let (mut next, mut published) = (0, 0);
    while next < 60 {
        for _ in 0..5 {
            publisher.publish(QoS::AtLeastOnce, message("t", &published.to_string())).await;
            published += 1;
        }
        for _ in 0..3 {
            client.take(&next.to_string()).await;
            next += 1;
        }
        client.break_off().await;
        server.until_online(1).await;
        client = Client::connect(&server, &kept(version, "a")).await;
    }
}

fn expiring(seconds: u32) -> Connect {
    let properties = ConnectProperties { session_expiry_seconds: seconds, ..ConnectProperties::default() };
    Connect { properties, ..kept(Version::V5, "a") }
}

async fn is_present(server: &Server) -> bool {
    server.until_empty().await;
    let (client, answer) = Client::try_connect(server, &kept(Version::V5, "a")).await;
    client.leave_with(Disconnect { session_expiry_seconds: Some(0), ..normal() }).await;
    answer.session_present
}

fn normal() -> Disconnect {
    Disconnect::new(ReasonCode::Success)
}

/// [MQTT 5.0, section 3.1.2.11.2]
async fn an_expiry_of_zero_ends_the_session_with_the_connection(_: Version) {
    let server = Server::start().await;
    Client::connect(&server, &expiring(0)).await.break_off().await;
    assert!(!is_present(&server).await);
}

/// [MQTT-3.1.2-23]: this one takes the second that it tests.
async fn a_session_ends_when_its_expiry_has_passed(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &expiring(1)).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    server.until_empty().await;
    let mut publisher = Client::join(&server, version, "p").await;
    assert_eq!(publisher.publish(QoS::AtLeastOnce, message("t", "1")).await, ReasonCode::Success);
    until("the end of the session", || server.metrics().subscriptions.get() == 0).await;
    let reason = publisher.publish(QoS::AtLeastOnce, message("t", "2")).await;
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
    publisher.leave().await;
    assert!(!is_present(&server).await);
}

/// [MQTT 5.0, section 3.14.2.2.2]
async fn disconnect_can_end_the_session(_: Version) {
    let server = Server::start().await;
    let client = Client::connect(&server, &expiring(1000)).await;
    client.leave_with(Disconnect { session_expiry_seconds: Some(0), ..normal() }).await;
    assert!(!is_present(&server).await);
}

/// [MQTT 5.0, section 3.14.2.2.2]
async fn disconnect_can_prolong_the_session(version: Version) {
    let server = Server::start().await;
    let mut client = Client::connect(&server, &expiring(1)).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave_with(Disconnect { session_expiry_seconds: Some(1000), ..normal() }).await;
    server.until_empty().await;
    // Another session that ends after one second shows that the time has passed.
    let mut other = Client::connect(&server, &Connect { client_id: "b".into(), ..expiring(1) }).await;
    other.subscribe("u", QoS::AtLeastOnce).await;
    other.leave().await;
    until("the end of the other session", || server.metrics().subscriptions.get() == 1).await;
    assert_eq!(version, Version::V5);
    assert!(is_present(&server).await);
}

/// [MQTT 5.0, section 3.14.2.2.2]
async fn disconnect_cannot_give_life_to_a_session_that_has_none(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.send(Disconnect { session_expiry_seconds: Some(1), ..normal() }).await;
    client.expect_disconnect(ReasonCode::ProtocolError).await;
    assert!(!is_present(&server).await);
}

/// [MQTT-4.9.0-1]: the window is counted anew on each connection, and is never exceeded by what is sent again.
async fn packet_ids_of_a_window_are_not_kept(version: Version) {
    let server = Server::start().await;
    let narrow = |receive_maximum: u16| {
        let properties = ConnectProperties {
            receive_maximum: Some(receive_maximum.try_into().unwrap()),
            session_expiry_seconds: 1000,
            ..ConnectProperties::default()
        };
        Connect { properties, ..kept(version, "a") }
    };
    let mut client = Client::connect(&server, &narrow(3)).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for payload in ["1", "2", "3", "4"] {
        publisher.publish(QoS::AtLeastOnce, message("t", payload)).await;
    }
    for payload in ["1", "2", "3"] {
        client.expect_payload(payload).await;
    }
    client.expect_silence().await;
    client.break_off().await;
    server.until_online(1).await;
    let mut client = Client::connect(&server, &narrow(1)).await;
    for payload in ["1", "2", "3", "4"] {
        let publish = client.expect_payload(payload).await;
        assert_eq!(publish.dup, payload != "4");
        client.expect_silence().await;
        client.settle(&publish).await;
    }
    client.send([0xC0, 0]).await;
    client.expect(Packet::PingResp).await;
}

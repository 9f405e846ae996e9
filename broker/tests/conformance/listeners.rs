//! What a listener allows its clients: networks, connections, versions, QoS, topic aliases, and a part of the topics.

use gaugeline_broker::{config::ListenerConfig, metrics::RefusalReason};
use gaugeline_protocol::{
    QoS, ReasonCode, TopicName, Version,
    packet::{AckType, Connect, Outgoing},
};

use crate::support::{Client, Log, Server, Setup, clean, filter, kept, message, nonzero, until, will};

scenarios! {
    every {
        a_network_may_be_kept_out,
        connections_of_one_listener_are_limited,
        a_version_that_is_not_spoken_is_refused,
        messages_above_the_maximum_qos_end_the_connection,
        clients_see_the_topics_behind_the_mount_point,
        a_will_goes_behind_the_mount_point,
        what_waited_is_mounted_too,
        retained_messages_are_mounted_too,
    }
    v5 {
        the_maximum_qos_is_told,
        topic_aliases_are_limited_by_the_listener,
        rights_are_decided_on_the_whole_topic,
        a_topic_too_long_for_the_mount_point_is_turned_down,
        an_optional_listener_may_be_missing,
        every_address_means_that_of_ipv4_too,
    }
}

async fn server(change: impl FnOnce(&mut ListenerConfig)) -> Server {
    Setup::new().listener(change).start().await
}

/// A broker with a listener as usual, and one that is mounted below `site/`.
async fn mounted() -> Server {
    Setup::new().another_listener(|listener| listener.mount_point = Some("site/".into())).start().await
}

async fn inside(server: &Server, connect: &Connect) -> Client {
    let mut client = Client::open_at(server.address_of(1), connect.version).await;
    client.send(connect.clone()).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client
}

async fn a_network_may_be_kept_out(version: Version) {
    let here = || vec!["127.0.0.0/8".parse().unwrap()];
    for (allow, deny, admitted) in [
        (here(), vec![], true),
        (vec!["192.0.2.0/24".parse().unwrap()], vec![], false),
        (here(), here(), false),
    ] {
        let log = Log::capture();
        let server = server(|listener| (listener.allow, listener.deny) = (allow, deny)).await;
        if admitted {
            Client::join(&server, version, "a").await.ping().await;
            continue;
        }
        for _ in 0..30 {
            Client::open(&server, version).await.expect_no_service().await;
        }
        until("the refusals", || server.refused(RefusalReason::Network) == 30).await;
        let lines = log.warnings();
        assert!(lines.len() == 1 && lines[0].message.contains("allow, deny"), "{lines:?}");
    }
}

async fn connections_of_one_listener_are_limited(version: Version) {
    let setup = Setup::new().listener(|listener| listener.connections_max = Some(2));
    let server = setup.another_listener(|listener| listener.connections_max = None).start().await;
    let first = Client::join(&server, version, "a").await;
    let mut second = Client::join(&server, version, "b").await;
    Client::open(&server, version).await.expect_no_service().await;
    until("the refusal", || server.refused(RefusalReason::TooManyOnListener) == 1).await;
    inside(&server, &clean(version, "c")).await.ping().await;
    first.leave().await;
    server.until_online(1).await;
    Client::join(&server, version, "d").await.ping().await;
    second.ping().await;
}

/// [MQTT-3.1.2-2]; [MQTT-3.1.2-2] of MQTT 3.1.1
async fn a_version_that_is_not_spoken_is_refused(version: Version) {
    let others = [Version::V31, Version::V311, Version::V5].into_iter().filter(|other| *other != version);
    let others = others.collect::<Vec<_>>();
    let server = server(|listener| listener.versions = others.clone()).await;
    let (mut client, answer) = Client::try_connect(&server, &clean(version, "a")).await;
    assert_eq!(answer.reason, ReasonCode::UnsupportedProtocolVersion);
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::ProtocolVersion), 1);
    for other in others {
        Client::join(&server, other, "a").await.leave().await;
    }
}

/// [MQTT-3.2.2-11], [MQTT-3.2.2-12]
async fn messages_above_the_maximum_qos_end_the_connection(version: Version) {
    for (most, above) in [(QoS::AtMostOnce, QoS::AtLeastOnce), (QoS::AtLeastOnce, QoS::ExactlyOnce)] {
        let server = server(|listener| listener.maximum_qos = most).await;
        let mut client = Client::join(&server, version, "a").await;
        assert!(!client.publish(most, message("t", "x")).await.is_error());
        // [MQTT-3.2.2-10]: accepted, at what there is.
        let granted = client.subscribe_to(vec![filter("t", QoS::ExactlyOnce)], None).await;
        assert_eq!(granted.iter().map(|reason| reason.byte()).collect::<Vec<_>>(), [most.bits()]);
        let packet_id = Some(client.packet_id());
        client.send(Outgoing { qos: above, packet_id, ..message("t", "y") }).await;
        client.expect_disconnect(ReasonCode::QoSNotSupported).await;

        let mut connect = clean(version, "b");
        connect.will = Some(gaugeline_protocol::packet::Will { qos: above, ..will("w", "x") });
        let (mut client, answer) = Client::try_connect(&server, &connect).await;
        assert!(answer.reason.is_error());
        client.expect_end().await;
        assert_eq!(server.refused(RefusalReason::Will), 1);
    }
}

/// [MQTT-3.2.2-9]
async fn the_maximum_qos_is_told(version: Version) {
    for (most, told) in [
        (QoS::AtMostOnce, Some(QoS::AtMostOnce)),
        (QoS::AtLeastOnce, Some(QoS::AtLeastOnce)),
        (QoS::ExactlyOnce, None),
    ] {
        let server = server(|listener| listener.maximum_qos = most).await;
        let (_, answer) = Client::try_connect(&server, &clean(version, "a")).await;
        assert_eq!(answer.properties.maximum_qos, told);
    }
}

async fn topic_aliases_are_limited_by_the_listener(version: Version) {
    let server = server(|listener| listener.topic_alias_maximum = Some(2)).await;
    let (mut client, answer) = Client::try_connect(&server, &clean(version, "a")).await;
    assert_eq!(answer.properties.topic_alias_maximum, Some(2));
    let aliased = |alias| Outgoing { topic_alias: Some(nonzero(alias)), ..message("t", "x") };
    client.send(aliased(2)).await;
    client.ping().await;
    client.send(aliased(3)).await;
    client.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

async fn clients_see_the_topics_behind_the_mount_point(version: Version) {
    let server = mounted().await;
    let mut outside = Client::join(&server, version, "outside").await;
    let mut sender = inside(&server, &clean(version, "sender")).await;
    let mut inside = inside(&server, &clean(version, "inside")).await;
    let mut publisher = Client::join(&server, version, "publisher").await;
    outside.subscribe("#", QoS::ExactlyOnce).await;
    inside.subscribe("a/+", QoS::ExactlyOnce).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        sender.publish(qos, message("a/b", "from inside")).await;
        assert_eq!(inside.take("from inside").await.topic, "a/b");
        assert_eq!(outside.take("from inside").await.topic, "site/a/b");
        publisher.publish(qos, message("site/a/c", "from outside")).await;
        assert_eq!(outside.take("from outside").await.topic, "site/a/c");
        assert_eq!(inside.take("from outside").await.topic, "a/c");
        publisher.publish(qos, message("a/b", "not for it")).await;
        outside.take("not for it").await;
    }
    inside.unsubscribe(&["a/+"]).await;
    publisher.publish(QoS::AtLeastOnce, message("site/a/c", "too late")).await;
    inside.expect_silence().await;
}

async fn a_will_goes_behind_the_mount_point(version: Version) {
    let server = mounted().await;
    let mut outside = Client::join(&server, version, "outside").await;
    outside.subscribe("#", QoS::AtMostOnce).await;
    let mut connect = clean(version, "inside");
    connect.will = Some(will("will", "gone"));
    inside(&server, &connect).await.break_off().await;
    assert_eq!(outside.take("gone").await.topic, "site/will");
}

async fn what_waited_is_mounted_too(version: Version) {
    let server = mounted().await;
    let mut outside = Client::join(&server, version, "outside").await;
    let mut first = inside(&server, &kept(version, "inside")).await;
    first.subscribe("a", QoS::AtLeastOnce).await;
    outside.publish(QoS::AtLeastOnce, message("site/a", "unacknowledged")).await;
    assert_eq!(first.expect_payload("unacknowledged").await.topic, "a");
    drop(first);
    server.until_online(1).await;
    outside.publish(QoS::AtLeastOnce, message("site/a", "queued")).await;
    let mut again = inside(&server, &kept(version, "inside")).await;
    for payload in ["unacknowledged", "queued"] {
        assert_eq!(again.take(payload).await.topic, "a");
    }
    again.expect_silence().await;
}

async fn retained_messages_are_mounted_too(version: Version) {
    let server = mounted().await;
    let mut outside = Client::join(&server, version, "outside").await;
    let mut inside = inside(&server, &clean(version, "inside")).await;
    let retained = |topic, payload| Outgoing { retain: true, ..message(topic, payload) };
    inside.publish(QoS::AtLeastOnce, retained("a", "one")).await;
    outside.publish(QoS::AtLeastOnce, retained("site/b", "two")).await;
    outside.publish(QoS::AtLeastOnce, retained("b", "not for it")).await;
    inside.subscribe("+", QoS::AtMostOnce).await;
    let mut found = inside.collect().await.iter().map(|publish| publish.topic.to_owned()).collect::<Vec<_>>();
    found.sort();
    assert_eq!(found, ["a", "b"]);
}

/// As in mosquitto: the ACL file speaks of the topics that the broker has.
async fn rights_are_decided_on_the_whole_topic(version: Version) {
    let server = Setup::new()
        .acl("topic write site/a\ntopic read site/b\n")
        .listener(|listener| listener.mount_point = Some("site/".into()))
        .start()
        .await;
    let mut client = Client::join(&server, version, "a").await;
    assert!(!client.publish(QoS::AtLeastOnce, message("a", "x")).await.is_error());
    assert_eq!(client.publish(QoS::AtLeastOnce, message("b", "x")).await, ReasonCode::NotAuthorized);
    let reasons = client.subscribe_to(vec![filter("b", QoS::AtMostOnce)], None).await;
    assert_eq!(reasons, [ReasonCode::Success]);
}

async fn a_topic_too_long_for_the_mount_point_is_turned_down(version: Version) {
    let server = mounted().await;
    let mut client = inside(&server, &clean(version, "inside")).await;
    let long = "x".repeat(65_531);
    assert_eq!(client.publish(QoS::AtLeastOnce, message(&long, "x")).await, ReasonCode::TopicNameInvalid);
    let packet_id = client.packet_id();
    client.send(Outgoing { qos: QoS::ExactlyOnce, packet_id: Some(packet_id), ..message(&long, "x") }).await;
    assert_eq!(client.expect_answer(AckType::PubRec, packet_id).await, ReasonCode::TopicNameInvalid);
    let reasons = client.subscribe_to(vec![filter(&long, QoS::AtMostOnce)], None).await;
    assert_eq!(reasons, [ReasonCode::TopicFilterInvalid]);

    let mut connect = clean(version, "b");
    connect.will =
        Some(gaugeline_protocol::packet::Will { topic: TopicName::new(&long).unwrap(), ..will("w", "x") });
    let mut client = Client::open_at(server.address_of(1), version).await;
    client.send(connect).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::TopicNameInvalid);
}

/// Loopback addresses are all there, those of documentation are not [RFC 5737].
async fn an_optional_listener_may_be_missing(version: Version) {
    let nowhere = "192.0.2.1:0".parse().unwrap();
    let server = Setup::new()
        .another_listener(|listener| (listener.bind, listener.optional) = (nowhere, true))
        .another_listener(|listener| listener.bind = "127.0.0.2:0".parse().unwrap())
        .start()
        .await;
    inside(&server, &clean(version, "a")).await.ping().await;
}

async fn every_address_means_that_of_ipv4_too(version: Version) {
    for (bind, only, reached) in
        [("[::]:0", false, true), ("[::]:0", true, false), ("0.0.0.0:0", false, true)]
    {
        let server =
            server(|listener| (listener.bind, listener.ipv6_only) = (bind.parse().unwrap(), only)).await;
        // Where there is no IPv6, everything is that of IPv4.
        if server.address().is_ipv4() && only {
            continue;
        }
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], server.address().port()));
        let found = tokio::net::TcpStream::connect(address).await.is_ok();
        assert_eq!(found, reached, "{bind} {only}");
        if found {
            let mut client = Client::open_at(address, version).await;
            client.send(clean(version, "a")).await;
            assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
        }
    }
}

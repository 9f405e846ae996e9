//! Retained messages: kept, replaced, removed, and when subscribers get them.

use std::collections::{BTreeMap, BTreeSet};

use gaugeline_broker::metrics::DropReason;
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{Outgoing, RetainHandling, SubscribeFilter},
};

use crate::support::{Client, Server, Setup, clean, filter, kept, message, nonzero};

scenarios! {
    every {
        a_new_subscriber_gets_the_retained_message,
        a_retained_message_is_replaced,
        an_empty_message_removes_the_retained_one,
        messages_without_the_flag_are_not_retained,
        a_retained_message_comes_at_the_lower_qos,
        every_subscribe_brings_it_again,
        wildcards_find_retained_messages,
        retained_messages_come_before_later_ones,
        more_retained_messages_than_a_page_arrive,
        retained_messages_keep_to_the_window,
        a_kept_session_gets_the_rest_of_the_retained_messages_later,
        the_limit_of_retained_messages_holds,
        the_limit_of_retained_bytes_holds,
    }
    v5 {
        retain_handling,
        retain_as_published,
        a_subscription_id_comes_with_the_retained_message,
        a_client_without_local_messages_does_not_get_its_own_retained_one,
    }
}

fn retained<'a>(topic: &'a str, payload: &'a str) -> Outgoing<'a> {
    Outgoing { retain: true, ..message(topic, payload) }
}

async fn publisher(server: &Server, version: Version) -> Client {
    Client::join(server, version, "publisher").await
}

async fn subscriber(server: &Server, version: Version) -> Client {
    Client::join(server, version, "subscriber").await
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-9]; the flag is set for those who come later only [MQTT-3.3.1-12].
async fn a_new_subscriber_gets_the_retained_message(version: Version) {
    let server = Server::start().await;
    let mut early = Client::join(&server, version, "early").await;
    early.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = publisher(&server, version).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(qos, retained("t", "x")).await;
        assert!(!early.take("x").await.retain);
        let mut late = subscriber(&server, version).await;
        late.subscribe("t", QoS::ExactlyOnce).await;
        let publish = late.take("x").await;
        assert_eq!((publish.retain, publish.qos, publish.topic), (true, qos, "t"));
        late.expect_silence().await;
    }
}

/// [MQTT-3.3.1-5]
async fn a_retained_message_is_replaced(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    for payload in ["1", "2", "3"] {
        publisher.publish(QoS::AtLeastOnce, retained("t", payload)).await;
    }
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    subscriber.take("3").await;
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.1-6], [MQTT-3.3.1-7]: it is delivered to those who are there like any message.
async fn an_empty_message_removes_the_retained_one(version: Version) {
    let server = Server::start().await;
    let mut early = Client::join(&server, version, "early").await;
    early.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = publisher(&server, version).await;
    publisher.publish(QoS::AtLeastOnce, retained("t", "x")).await;
    publisher.publish(QoS::AtLeastOnce, retained("t", "")).await;
    early.take("x").await;
    assert!(!early.take("").await.retain);
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.1-8]
async fn messages_without_the_flag_are_not_retained(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    publisher.publish(QoS::AtLeastOnce, retained("t", "kept")).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "not kept")).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "")).await;
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    subscriber.take("kept").await;
    subscriber.expect_silence().await;
}

/// [MQTT-3.8.4-8]
async fn a_retained_message_comes_at_the_lower_qos(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for published in all {
        publisher.publish(published, retained("t", "x")).await;
        for granted in all {
            let mut subscriber = subscriber(&server, version).await;
            subscriber.subscribe("t", granted).await;
            assert_eq!(subscriber.take("x").await.qos, published.min(granted));
        }
    }
}

/// [MQTT-3.8.4-3]; [MQTT-3.3.1-9]
async fn every_subscribe_brings_it_again(version: Version) {
    let server = Server::start().await;
    publisher(&server, version).await.publish(QoS::AtLeastOnce, retained("t", "x")).await;
    let mut subscriber = subscriber(&server, version).await;
    for _ in 0..3 {
        subscriber.subscribe("t", QoS::AtMostOnce).await;
        subscriber.take("x").await;
    }
    subscriber.expect_silence().await;
}

/// [MQTT-4.7.1-1], [MQTT-4.7.2-1]
async fn wildcards_find_retained_messages(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    for topic in ["a", "a/b", "a/b/c", "a/c", "b", "/a", "$x/a"] {
        publisher.publish(QoS::AtLeastOnce, retained(topic, topic)).await;
    }
    for (filter, expected) in [
        ("#", &["/a", "a", "a/b", "a/b/c", "a/c", "b"][..]),
        ("a/#", &["a", "a/b", "a/b/c", "a/c"]),
        ("+", &["a", "b"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("a/+", &["a/b", "a/c"]),
        ("/+", &["/a"]),
        ("$x/#", &["$x/a"]),
        ("+/a", &["/a"]),
    ] {
        let mut subscriber = subscriber(&server, version).await;
        subscriber.subscribe(filter, QoS::AtMostOnce).await;
        let mut found = Vec::new();
        for _ in expected {
            found.push(subscriber.expect_publish().await.topic);
        }
        subscriber.expect_silence().await;
        found.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
}

async fn retained_messages_come_before_later_ones(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    publisher.publish(QoS::AtLeastOnce, retained("t", "old")).await;
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    publisher.publish(QoS::AtLeastOnce, message("t", "new")).await;
    assert!(subscriber.take("old").await.retain);
    assert!(!subscriber.take("new").await.retain);
}

async fn more_retained_messages_than_a_page_arrive(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    let mut expected = BTreeMap::new();
    for number in 0..1000 {
        let (topic, payload) = (format!("t/{number}"), format!("{number}"));
        publisher.send(retained(&topic, &payload)).await;
        expected.insert(topic, payload);
    }
    publisher.ping().await;
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("t/+", QoS::AtMostOnce).await;
    let mut found = BTreeMap::new();
    for _ in 0..1000 {
        let publish = subscriber.expect_publish().await;
        found.insert(publish.topic.to_owned(), String::from_utf8(publish.payload.to_vec()).unwrap());
    }
    assert_eq!(found, expected);
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.4-9]: and what is published meanwhile comes behind them.
async fn retained_messages_keep_to_the_window(version: Version) {
    let server = Setup::new().limits(|limits| limits.inflight_messages = 2).start().await;
    let mut publisher = publisher(&server, version).await;
    for number in 0..600 {
        publisher.publish(QoS::AtLeastOnce, retained(&format!("t/{number}"), "x")).await;
    }
    let mut connect = clean(version, "subscriber");
    connect.properties.receive_maximum = version.is_v5().then(|| nonzero(2));
    let mut subscriber = Client::connect(&server, &connect).await;
    subscriber.subscribe("t/+", QoS::AtLeastOnce).await;
    publisher.publish(QoS::AtLeastOnce, message("t/later", "later")).await;
    let mut found = 0;
    while found < 600 {
        let window = subscriber.collect().await;
        assert!((1..=2).contains(&window.len()));
        for publish in window {
            assert!(publish.retain && publish.payload == b"x");
            subscriber.settle(&publish).await;
            found += 1;
        }
    }
    subscriber.take("later").await;
}

/// The client does not subscribe again when its session is there, so nobody else would bring them.
async fn a_kept_session_gets_the_rest_of_the_retained_messages_later(version: Version) {
    let server = Setup::new().limits(|limits| limits.inflight_messages = 3).start().await;
    let mut publisher = publisher(&server, version).await;
    for number in 0..600 {
        publisher.publish(QoS::AtLeastOnce, retained(&format!("t/{number}"), "x")).await;
    }
    let mut connect = kept(version, "subscriber");
    connect.properties.receive_maximum = version.is_v5().then(|| nonzero(3));
    let mut subscriber = Client::connect(&server, &connect).await;
    subscriber.subscribe("t/+", QoS::AtLeastOnce).await;
    let mut found = BTreeSet::new();
    for _ in 0..4 {
        for _ in 0..50 {
            let publish = subscriber.take("x").await;
            assert!(publish.retain);
            found.insert(publish.topic);
        }
        subscriber.break_off().await;
        server.until_online(1).await;
        subscriber = Client::connect(&server, &connect).await;
    }
    while found.len() < 600 {
        found.insert(subscriber.take("x").await.topic);
    }
    subscriber.expect_silence().await;
}

/// The message itself is delivered, but MQTT 5 can be told that it is not kept, and is asked to try again.
async fn the_limit_of_retained_messages_holds(version: Version) {
    let server = Setup::new().limits(|limits| limits.retained_messages = 2).start().await;
    let mut early = Client::join(&server, version, "early").await;
    early.subscribe("#", QoS::AtMostOnce).await;
    let mut publisher = publisher(&server, version).await;
    publisher.publish(QoS::AtLeastOnce, retained("1", "1")).await;
    publisher.publish(QoS::AtLeastOnce, retained("2", "2")).await;
    publisher.publish(QoS::AtMostOnce, retained("3", "3")).await;
    assert_eq!(server.dropped(DropReason::RetainedFull), 1);
    for payload in ["1", "2", "3"] {
        early.take(payload).await;
    }
    let reason = publisher.publish(QoS::AtLeastOnce, retained("4", "4")).await;
    if version.is_v5() {
        assert_eq!(reason, ReasonCode::QuotaExceeded);
    } else {
        early.take("4").await;
    }
    early.expect_silence().await;
    // What is there can be replaced, and makes room when it goes.
    publisher.publish(QoS::AtLeastOnce, retained("1", "1'")).await;
    publisher.publish(QoS::AtLeastOnce, retained("2", "")).await;
    publisher.publish(QoS::AtLeastOnce, retained("5", "5")).await;
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("#", QoS::AtMostOnce).await;
    let mut found = [subscriber.expect_publish().await, subscriber.expect_publish().await];
    found.sort_unstable_by_key(|publish| publish.topic);
    assert_eq!(found.map(|publish| publish.payload), [&b"1'"[..], b"5"]);
    subscriber.expect_silence().await;
}

async fn the_limit_of_retained_bytes_holds(version: Version) {
    let server = Setup::new().limits(|limits| limits.retained_bytes = 2000).start().await;
    let mut publisher = publisher(&server, version).await;
    let large = "x".repeat(1500);
    publisher.publish(QoS::AtMostOnce, retained("1", &large)).await;
    publisher.publish(QoS::AtMostOnce, retained("2", &large)).await;
    assert_eq!(server.dropped(DropReason::RetainedFull), 1);
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe("#", QoS::AtMostOnce).await;
    assert_eq!(subscriber.expect_publish().await.topic, "1");
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
async fn retain_handling(version: Version) {
    let server = Server::start().await;
    publisher(&server, version).await.publish(QoS::AtLeastOnce, retained("t", "x")).await;
    for (retain_handling, first, second) in [
        (RetainHandling::OnSubscribe, true, true),
        (RetainHandling::OnNewSubscribe, true, false),
        (RetainHandling::Never, false, false),
    ] {
        let mut subscriber = subscriber(&server, version).await;
        for expected in [first, second] {
            let wanted = SubscribeFilter { retain_handling, ..filter("t", QoS::AtMostOnce) };
            subscriber.subscribe_to(vec![wanted], None).await;
            if expected {
                subscriber.take("x").await;
            }
            subscriber.expect_silence().await;
        }
    }
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-13]; retained messages of a new subscription always have the flag.
async fn retain_as_published(version: Version) {
    let server = Server::start().await;
    let mut publisher = publisher(&server, version).await;
    publisher.publish(QoS::AtLeastOnce, retained("t", "old")).await;
    for retain_as_published in [false, true] {
        let mut subscriber = subscriber(&server, version).await;
        let wanted = SubscribeFilter { retain_as_published, ..filter("t", QoS::AtLeastOnce) };
        subscriber.subscribe_to(vec![wanted], None).await;
        assert!(subscriber.take("old").await.retain);
        publisher.publish(QoS::AtMostOnce, retained("t", "old")).await;
        assert_eq!(subscriber.take("old").await.retain, retain_as_published);
        publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
        assert!(!subscriber.take("x").await.retain);
    }
}

/// [MQTT-3.3.4-3]
async fn a_subscription_id_comes_with_the_retained_message(version: Version) {
    let server = Server::start().await;
    publisher(&server, version).await.publish(QoS::AtLeastOnce, retained("t", "x")).await;
    let mut subscriber = subscriber(&server, version).await;
    subscriber.subscribe_to(vec![filter("+", QoS::AtMostOnce)], Some(268_435_455)).await;
    let publish = subscriber.take("x").await;
    assert_eq!(publish.properties.subscription_ids().collect::<Vec<_>>(), [268_435_455]);
}

/// [MQTT-3.8.3-3]
async fn a_client_without_local_messages_does_not_get_its_own_retained_one(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.publish(QoS::AtLeastOnce, retained("own", "x")).await;
    publisher(&server, version).await.publish(QoS::AtLeastOnce, retained("other", "y")).await;
    let wanted = SubscribeFilter { no_local: true, ..filter("#", QoS::AtMostOnce) };
    client.subscribe_to(vec![wanted], None).await;
    client.take("y").await;
    client.expect_silence().await;
}

//! The section `[delivery]`: QoS 0 messages that wait, QoS that is raised, queues that drop their oldest message.

use std::sync::Arc;

use gaugeline_broker::{config::Sessions, metrics::DropReason, router::Overflow, storage::Record};
use gaugeline_protocol::{QoS, ReasonCode, Version};

use crate::support::{Client, HeldStore, Server, Setup, kept, message};

const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

scenarios! {
    every {
        qos_0_messages_may_wait_for_an_absent_client,
        qos_0_messages_wait_only_for_those_named,
        the_qos_of_the_subscription_may_count,
        a_full_queue_may_drop_its_oldest_message,
        a_full_queue_may_drop_the_newest_message,
        storage_is_told_what_was_dropped,
        qos_0_messages_that_wait_are_bounded_too,
    }
}

async fn absent(server: &Server, version: Version, name: &str) {
    let mut client = Client::connect(server, &kept(version, name)).await;
    client.subscribe("t", QoS::ExactlyOnce).await;
    client.leave().await;
    server.until_empty().await;
}

async fn qos_0_messages_may_wait_for_an_absent_client(version: Version) {
    let server =
        Setup::new().delivery(|delivery| delivery.queue_qos0_messages = Sessions::All(true)).start().await;
    absent(&server, version, "a").await;
    let mut passing = Client::join(&server, version, "passing").await;
    passing.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for (qos, payload) in ALL.into_iter().zip(["0", "1", "2"]) {
        publisher.publish(qos, message("t", payload)).await;
        passing.take(payload).await;
    }
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    for (qos, payload) in ALL.into_iter().zip(["0", "1", "2"]) {
        assert_eq!(client.take(payload).await.qos, qos);
    }
    client.expect_silence().await;
    // While it is connected too.
    publisher.publish(QoS::AtMostOnce, message("t", "x")).await;
    client.take("x").await;
}

async fn qos_0_messages_wait_only_for_those_named(version: Version) {
    let server = Setup::new()
        .delivery(|delivery| delivery.queue_qos0_messages = Sessions::Of(vec!["named".to_owned()]))
        .start()
        .await;
    absent(&server, version, "named").await;
    absent(&server, version, "other").await;
    let mut publisher = Client::join(&server, version, "p").await;
    publisher.publish(QoS::AtMostOnce, message("t", "x")).await;
    Client::connect(&server, &kept(version, "other")).await.expect_silence().await;
    Client::connect(&server, &kept(version, "named")).await.take("x").await;
}

async fn the_qos_of_the_subscription_may_count(version: Version) {
    let server =
        Setup::new().delivery(|delivery| delivery.upgrade_outgoing_qos = Sessions::All(true)).start().await;
    let mut publisher = Client::join(&server, version, "p").await;
    for granted in ALL {
        for connect in [kept(version, "kept"), crate::support::clean(version, "passing")] {
            let mut client = Client::connect(&server, &connect).await;
            client.subscribe("t", granted).await;
            for published in ALL {
                publisher.publish(published, message("t", "x")).await;
                assert_eq!(client.take("x").await.qos, granted);
            }
            client.unsubscribe(&["t"]).await;
            client.leave().await;
            server.until_online(1).await;
        }
    }
    // Raised, they wait for an absent client too.
    let mut client = Client::connect(&server, &kept(version, "kept")).await;
    client.subscribe("t", QoS::AtLeastOnce).await;
    client.leave().await;
    server.until_online(1).await;
    publisher.publish(QoS::AtMostOnce, message("t", "waits")).await;
    client = Client::connect(&server, &kept(version, "kept")).await;
    client.take("waits").await;
}

async fn a_full_queue_may_drop_its_oldest_message(version: Version) {
    let server = Setup::new()
        .limits(|limits| limits.queue_messages = 4)
        .delivery(|delivery| delivery.queue_overflow = Overflow::DropOldest)
        .start()
        .await;
    absent(&server, version, "a").await;
    let mut publisher = Client::join(&server, version, "p").await;
    for number in 0..10 {
        let reason = publisher.publish(QoS::AtLeastOnce, message("t", &number.to_string())).await;
        assert_eq!(reason, ReasonCode::Success);
    }
    assert_eq!(server.dropped(DropReason::QueueFull), 6);
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    for payload in ["6", "7", "8", "9"] {
        client.take(payload).await;
    }
    client.expect_silence().await;
}

/// As mosquitto: the message is acknowledged, and lost for the session whose queue is full, and only for that one.
async fn a_full_queue_may_drop_the_newest_message(version: Version) {
    let store = Arc::new(HeldStore::default());
    store.set_open(true);
    let server = Setup::new()
        .store(Arc::clone(&store) as _)
        .limits(|limits| limits.queue_messages = 4)
        .delivery(|delivery| delivery.queue_overflow = Overflow::DropNewest)
        .start()
        .await;
    absent(&server, version, "a").await;
    let mut present = Client::join(&server, version, "b").await;
    present.subscribe("t", QoS::AtLeastOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    for number in 0..10 {
        let reason = publisher.publish(QoS::AtLeastOnce, message("t", &number.to_string())).await;
        assert_eq!(reason, ReasonCode::Success);
        present.take(&number.to_string()).await;
    }
    assert_eq!(server.dropped(DropReason::QueueFull), 6);
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    for payload in ["0", "1", "2", "3"] {
        client.take(payload).await;
    }
    client.expect_silence().await;
}

async fn storage_is_told_what_was_dropped(version: Version) {
    let store = Arc::new(HeldStore::default());
    store.set_open(true);
    let server = Setup::new()
        .store(Arc::clone(&store) as _)
        .limits(|limits| limits.queue_messages = 2)
        .delivery(|delivery| delivery.queue_overflow = Overflow::DropOldest)
        .start()
        .await;
    absent(&server, version, "a").await;
    let mut publisher = Client::join(&server, version, "p").await;
    for _ in 0..5 {
        publisher.publish(QoS::AtLeastOnce, message("t", "x")).await;
    }
    let dropped = |record: &Record| matches!(record, Record::Settled { messages, .. } if messages.len() == 1);
    assert_eq!(store.count(dropped), 3);
}

async fn qos_0_messages_that_wait_are_bounded_too(version: Version) {
    let server = Setup::new()
        .limits(|limits| limits.queue_bytes = 5000)
        .delivery(|delivery| delivery.queue_qos0_messages = Sessions::All(true))
        .start()
        .await;
    absent(&server, version, "a").await;
    let mut publisher = Client::join(&server, version, "p").await;
    let payload = "x".repeat(2000);
    for _ in 0..5 {
        publisher.publish(QoS::AtMostOnce, message("t", &payload)).await;
    }
    assert_eq!(server.metrics().messages_dropped.total(), 3);
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.take(&payload).await;
    client.take(&payload).await;
    client.expect_silence().await;
}

//! The topics under `$SYS/broker`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gaugeline_broker::storage::Record;
use gaugeline_protocol::{QoS, Version, packet::Outgoing};

use crate::support::{Client, HeldStore, Server, Setup, clean, filter, in_time, kept, message};

scenarios! {
    every {
        they_are_retained_and_go_on,
        rights_hold_for_them,
        wildcards_do_not_cover_them,
        there_are_none_by_default,
    }
    v5 {
        they_are_kept_nowhere,
        what_clients_leave_there_is_found_too,
    }
}

fn setup() -> Setup {
    Setup::new().clients(|clients| clients.sys_interval = Some(Duration::from_millis(20)))
}

type Values = HashMap<String, String>;

/// Reads until the values hold; each is published again only when it changes.
async fn until(client: &mut Client, values: &mut Values, hold: impl Fn(&Values) -> bool + Send + Sync) {
    in_time("the topics", async {
        while !hold(values) {
            let publish = client.expect_publish().await;
            let name = publish.topic.strip_prefix("$SYS/broker/").unwrap();
            values.insert(name.to_owned(), String::from_utf8(publish.payload.to_vec()).unwrap());
        }
    })
    .await;
}

/// The values of these topics, as soon as each has been seen.
async fn values(client: &mut Client, names: &[&str]) -> Values {
    let mut found = Values::new();
    until(client, &mut found, |found| names.iter().all(|name| found.contains_key(*name))).await;
    found
}

async fn they_are_retained_and_go_on(version: Version) {
    let server = setup().start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("$SYS/#", QoS::ExactlyOnce).await;
    let names = [
        "version",
        "uptime",
        "clients/total",
        "clients/disconnected",
        "clients/connected",
        "publish/messages/received",
        "retained messages/count",
        "subscriptions/count",
        "bytes/received",
        "load/publish/received/1min",
        "load/sockets/15min",
    ];
    let mut found = values(&mut client, &names).await;
    assert!(found["version"].starts_with("gaugeline version "), "{found:?}");
    assert!(found["uptime"].ends_with(" seconds"), "{found:?}");
    // Its own are not counted as retained messages.
    assert_eq!(found["retained messages/count"], "0");
    until(&mut client, &mut found, |found| found["clients/connected"] == "1").await;
    let mut other = Client::connect(&server, &kept(version, "b")).await;
    until(&mut client, &mut found, |found| found["clients/connected"] == "2").await;
    other.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message("t", "x") }).await;
    until(&mut client, &mut found, |found| found["publish/messages/received"] == "1").await;
    until(&mut client, &mut found, |found| found["retained messages/count"] == "1").await;
    other.break_off().await;
    until(&mut client, &mut found, |found| found["clients/disconnected"] == "1").await;
}

async fn rights_hold_for_them(version: Version) {
    let rules = "topic readwrite #\nuser ops\ntopic read $SYS/broker/uptime\n";
    let server = setup().users(&[("ops", "x"), ("guest", "x")]).acl(rules).start().await;
    let guest = crate::support::by(clean(version, "g"), "guest", "x");
    let mut guest = Client::connect(&server, &guest).await;
    // Granted or refused, nothing comes of it.
    guest.subscribe_to(vec![filter("$SYS/#", QoS::AtMostOnce)], None).await;
    let mut ops = Client::connect(&server, &crate::support::by(clean(version, "o"), "ops", "x")).await;
    ops.subscribe("$SYS/#", QoS::AtMostOnce).await;
    for _ in 0..2 {
        assert_eq!(ops.expect_publish().await.topic, "$SYS/broker/uptime");
    }
    guest.expect_silence().await;
}

/// [MQTT-4.7.2-1]
async fn wildcards_do_not_cover_them(version: Version) {
    let server = setup().start().await;
    let mut watcher = Client::join(&server, version, "w").await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("#", QoS::AtMostOnce).await;
    client.subscribe("+/broker/uptime", QoS::AtMostOnce).await;
    watcher.subscribe("$SYS/broker/load/#", QoS::AtMostOnce).await;
    // They were published at least twice.
    values(&mut watcher, &["load/bytes/received/1min"]).await;
    client.expect_silence().await;
}

async fn there_are_none_by_default(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("$SYS/#", QoS::AtMostOnce).await;
    client.expect_silence().await;
}

/// Not on the disk, and not in the queues of those who are away.
async fn they_are_kept_nowhere(version: Version) {
    let store = Arc::new(HeldStore::default());
    store.set_open(true);
    let server = setup().store(Arc::clone(&store) as _).start().await;
    let mut client = Client::connect(&server, &kept(version, "a")).await;
    client.subscribe("$SYS/#", QoS::ExactlyOnce).await;
    let publish = client.expect_publish().await;
    assert_eq!(publish.qos, QoS::AtMostOnce);
    client.break_off().await;
    let mut watcher = Client::join(&server, version, "w").await;
    watcher.subscribe("$SYS/broker/messages/stored", QoS::AtMostOnce).await;
    assert_eq!(watcher.expect_publish().await.payload, b"0");
    let kept = |record: &Record| matches!(record, Record::Messages { .. } | Record::Retained(_));
    assert_eq!(store.count(kept), 0);
}

/// Bridges of mosquitto tell their state there.
async fn what_clients_leave_there_is_found_too(version: Version) {
    let server = setup().start().await;
    let mut bridge = Client::join(&server, version, "b").await;
    let topic = "$SYS/broker/connection/b/state";
    bridge.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message(topic, "1") }).await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("$SYS/#", QoS::AtMostOnce).await;
    let found = values(&mut client, &["connection/b/state", "version"]).await;
    assert_eq!(found["connection/b/state"], "1");
}

//! What the log says about packets at debug and trace.

use gaugeline_protocol::{QoS, Version};

use crate::support::{Client, Log, Setup, by, clean, message, will};

scenarios! {
    every { packets_are_logged_without_what_they_say }
}

async fn packets_are_logged_without_what_they_say(version: Version) {
    let log = Log::capture();
    let server =
        Setup::new().users(&[("user", "right")]).acl("user user\ntopic readwrite a/#\n").start().await;
    let mut connect = by(clean(version, "c"), "user", "right");
    connect.will = Some(will("a/will", "secret"));
    connect.keep_alive_seconds = 77;
    let mut client = Client::connect(&server, &connect).await;
    client.subscribe("a/\u{1}", QoS::AtLeastOnce).await;
    client.publish(QoS::AtLeastOnce, message("a/\u{1}", "secret")).await;
    client.take("secret").await;
    client.unsubscribe(&["a/\u{1}", "b"]).await;
    client.ping().await;
    client.leave().await;
    server.until_empty().await;

    let lines = log.lines();
    let text = lines.iter().map(|line| line.message.as_str()).collect::<Vec<_>>();
    let clean = if version.is_v5() { "clean start" } else { "clean session" };
    for expected in [
        "open: TCP",
        &format!("received CONNECT (MQTT {version}, {clean}, keep alive 77 s, will (QoS 1, 6 bytes) a/will)"),
        "sent CONNACK (no session present, success)",
        "received SUBSCRIBE (QoS 1) a/\\u{1}: granted QoS 1",
        "sent SUBACK",
        "received PUBLISH (QoS 1, packet id 102, 6 bytes) a/\\u{1}",
        "sent PUBACK (packet id 102, success)",
        "sent PUBLISH (QoS 1, packet id 1, 6 bytes) a/\\u{1}",
        "received PUBACK (packet id 1, success)",
        "received UNSUBSCRIBE a/\\u{1}: success",
        "received UNSUBSCRIBE b: 0x11 There was no such subscription to remove",
        "received PINGREQ",
        "sent PINGRESP",
    ] {
        let found = lines.iter().filter(|line| line.message == expected).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{expected}\n{text:#?}");
        if !expected.starts_with("open") {
            assert_eq!([found[0].field("client"), found[0].field("user")], ["c", "user"]);
        }
    }
    assert!(!text.iter().any(|line| line.contains("secret") || line.contains("right")), "{text:#?}");
}

//! Passwords and rights: who is refused what, how it is told, and that the log says it once.

use bytes::Bytes;
use gaugeline_broker::metrics::{DropReason, RefusalReason};
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{ConnAck, Connect, Outgoing, Packet},
};

use crate::support::{Client, Log, Server, Setup, by, clean, filter, kept, message};

scenarios! {
    every {
        wrong_credentials_are_refused,
        right_credentials_are_accepted,
        a_denied_publish_is_not_delivered,
        a_denied_publish_is_logged_once,
        a_denied_message_is_not_retained,
        a_refused_subscription_gets_nothing,
        forbidden_topics_are_left_out_of_wildcards,
        forbidden_retained_messages_are_left_out,
        system_topics_cannot_be_published,
        patterns_know_user_and_client,
        a_session_cannot_be_read_with_fewer_rights,
    }
    v5 { a_password_needs_no_user_name_if_anonymous_clients_may_connect }
}

fn refused(version: Version) -> ConnAck {
    // 5 in MQTT 3, 0x87 in MQTT 5.
    assert!(version <= Version::V5);
    ConnAck::new(ReasonCode::NotAuthorized, false)
}

/// [MQTT-3.1.4-2]: the answer is the same for every fault, and only the log knows which.
async fn wrong_credentials_are_refused(version: Version) {
    let with = |user: Option<&str>, password: Option<&'static str>| Connect {
        user_name: user.map(str::to_owned),
        password: password.map(|password| Bytes::from_static(password.as_bytes())),
        ..clean(version, "a")
    };
    for (connect, user, reason) in [
        (with(Some("known"), Some("wrong")), "known", "wrong password"),
        (with(Some("known"), None), "known", "no password"),
        (with(Some("known"), Some("")), "known", "no password"),
        (with(Some("unknown"), Some("right")), "unknown", "unknown user"),
        (with(None, None), "-", "no user name"),
    ] {
        let log = Log::capture();
        let server = Setup::new().users(&[("known", "right")]).start().await;
        let (mut client, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer, refused(version));
        client.expect_end().await;
        assert_eq!(server.refused(RefusalReason::NotAuthorized), 1);
        let line = log.only_warning("a", user, client.address);
        assert!(line.contains(reason), "{line}");
        assert!(!line.contains("right"), "a password in the log: {line}");
    }
}

async fn right_credentials_are_accepted(version: Version) {
    let server = Setup::new().users(&[("known", "right"), ("other", "other")]).start().await;
    for _ in 0..2 {
        Client::connect(&server, &by(clean(version, "a"), "known", "right")).await;
        Client::connect(&server, &by(clean(version, "b"), "other", "other")).await;
    }
}

const ACL: &str = "topic readwrite open/#\ntopic read closed/#\ntopic write secret/#\n";

/// [MQTT-3.3.5-2]: MQTT 5 is told; older clients get a normal acknowledgement.
async fn a_denied_publish_is_not_delivered(version: Version) {
    let server = Setup::new().acl(ACL).start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("#", QoS::ExactlyOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let expected = if version.is_v5() { ReasonCode::NotAuthorized } else { ReasonCode::Success };
    publisher.publish(QoS::AtMostOnce, message("closed/t", "x")).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(publisher.publish(qos, message("closed/t", "x")).await, expected);
        publisher.publish(qos, message("open/t", "y")).await;
        subscriber.take("y").await;
    }
    subscriber.expect_silence().await;
    assert_eq!(server.metrics().publishes_denied.get(), 3);
    assert_eq!(server.dropped(DropReason::AclWrite), 3);
}

async fn a_denied_publish_is_logged_once(version: Version) {
    let log = Log::capture();
    let server = Setup::new().users(&[("u", "p")]).acl("user u\ntopic read #\n").start().await;
    let mut publisher = Client::connect(&server, &by(clean(version, "a"), "u", "p")).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
        publisher.publish(qos, message("closed/t", "payload")).await;
    }
    let line = log.only_warning("a", "u", publisher.address);
    assert!(line.contains("publish") && line.contains("closed/t"), "{line}");
}

async fn a_denied_message_is_not_retained(version: Version) {
    let server = Setup::new().acl("topic read #\ntopic write open\n").start().await;
    let mut client = Client::join(&server, version, "a").await;
    for topic in ["open", "closed"] {
        client.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message(topic, "x") }).await;
    }
    client.subscribe("#", QoS::AtMostOnce).await;
    assert_eq!(client.take("x").await.topic, "open");
    client.expect_silence().await;
}

/// [MQTT-3.9.3-2]; MQTT 3.1 cannot be told.
async fn a_refused_subscription_gets_nothing(version: Version) {
    let log = Log::capture();
    let server = Setup::new().acl(ACL).start().await;
    let mut client = Client::join(&server, version, "a").await;
    let wanted = ["secret/t", "open/t"].map(|text| filter(text, QoS::AtMostOnce));
    let expected = match version {
        Version::V31 => ReasonCode::Success,
        Version::V311 => ReasonCode::UnspecifiedError,
        Version::V5 => ReasonCode::NotAuthorized,
    };
    assert_eq!(client.subscribe_to(wanted.to_vec(), None).await, [expected, ReasonCode::Success]);
    let line = log.only_warning("a", "-", client.address);
    assert!(line.contains("subscribe") && line.contains("secret/t"), "{line}");
    client.publish(QoS::AtLeastOnce, message("secret/t", "x")).await;
    client.expect_silence().await;
    assert_eq!(server.metrics().subscribes_denied.get(), 1);
    assert_eq!(server.metrics().subscriptions.get(), 1);
}

async fn forbidden_topics_are_left_out_of_wildcards(version: Version) {
    let server = Setup::new().acl(ACL).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("#", QoS::AtMostOnce).await;
    client.subscribe("$share/g/#", QoS::AtMostOnce).await;
    client.publish(QoS::AtLeastOnce, message("secret/t", "x")).await;
    client.expect_silence().await;
    client.send(message("open/t", "y")).await;
    client.take("y").await;
    client.take("y").await;
    assert_eq!(server.dropped(DropReason::AclRead), 1);
}

async fn forbidden_retained_messages_are_left_out(version: Version) {
    let server = Setup::new().acl(ACL).start().await;
    let mut client = Client::join(&server, version, "a").await;
    for topic in ["secret/t", "open/t"] {
        client.publish(QoS::AtLeastOnce, Outgoing { retain: true, ..message(topic, "x") }).await;
    }
    client.subscribe("#", QoS::AtMostOnce).await;
    assert_eq!(client.take("x").await.topic, "open/t");
    client.expect_silence().await;
    assert_eq!(server.dropped(DropReason::AclRead), 1);
}

/// Even without an ACL file: `$SYS` belongs to the broker [MQTT-4.7.2-1], and `$share` is no topic.
async fn system_topics_cannot_be_published(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("$SYS/#", QoS::AtMostOnce).await;
    for topic in ["$SYS/broker/version", "$SYS/x", "$share/g/t"] {
        let reason = client.publish(QoS::AtLeastOnce, message(topic, "x")).await;
        assert_eq!(reason.is_error(), version.is_v5(), "{topic}");
    }
    client.expect_silence().await;
}

async fn patterns_know_user_and_client(version: Version) {
    let acl = "pattern readwrite %u/%c/#\n";
    let server = Setup::new().users(&[("u", "p"), ("v", "p")]).acl(acl).start().await;
    let mut client = Client::connect(&server, &by(clean(version, "a"), "u", "p")).await;
    client.subscribe("#", QoS::AtMostOnce).await;
    let mut other = Client::connect(&server, &by(clean(version, "a2"), "v", "p")).await;
    for topic in ["u/a/t", "v/a2/t", "u/a2/t", "v/a/t"] {
        other.publish(QoS::AtLeastOnce, message(topic, "other")).await;
        client.send(message(topic, "own")).await;
    }
    assert_eq!(client.take("own").await.topic, "u/a/t");
    client.expect_silence().await;
}

/// Nobody gets at a session by its client identifier with another user's rights.
async fn a_session_cannot_be_read_with_fewer_rights(version: Version) {
    let acl = "user strong\ntopic readwrite #\nuser weak\ntopic read open\n";
    let server = Setup::new().users(&[("strong", "p"), ("weak", "p")]).acl(acl).start().await;
    let mut strong = Client::connect(&server, &by(kept(version, "a"), "strong", "p")).await;
    strong.subscribe("#", QoS::AtLeastOnce).await;
    strong.leave().await;
    server.until_empty().await;
    let mut publisher = Client::connect(&server, &by(clean(version, "p"), "strong", "p")).await;
    publisher.publish(QoS::AtLeastOnce, message("closed", "x")).await;
    let (_, answer) = Client::try_connect(&server, &by(kept(version, "a"), "weak", "p")).await;
    assert_eq!(answer.reason, ReasonCode::ClientIdentifierNotValid);
}

async fn a_password_needs_no_user_name_if_anonymous_clients_may_connect(version: Version) {
    let server = Server::start().await;
    let connect = Connect { password: Some(Bytes::from_static(b"x")), ..clean(version, "a") };
    let mut client = Client::connect(&server, &connect).await;
    client.send([0xC0, 0]).await;
    client.expect(Packet::PingResp).await;
}

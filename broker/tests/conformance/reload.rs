//! Changes of the configuration while clients are connected: what holds at once, who is disconnected, and that a mistake
//! changes nothing.

use std::net::SocketAddr;

use gaugeline_broker::metrics::{DropReason, Reload};
use gaugeline_protocol::{QoS, ReasonCode, Version};
use tokio::net::TcpStream;

use crate::support::{
    Client, Configured, Directory, Pki, by, clean, dial_to, filter, kept, listener, message, nonzero, until,
};

scenarios! {
    every {
        a_user_who_is_gone_is_disconnected,
        a_user_with_another_password_is_disconnected,
        anonymous_clients_are_disconnected_when_they_are_forbidden,
        a_lost_right_stops_what_waits_already,
        a_lost_right_stops_what_waits_for_the_absent,
        a_lost_right_stops_what_would_come_again,
    }
    v5 {
        a_mistake_changes_nothing,
        a_change_of_a_file_holds_by_itself,
        a_missing_file_that_comes_later_is_found,
        limits_hold_at_once,
        the_interval_of_the_status_topics_holds_at_once,
        what_a_client_was_told_holds_on,
        what_needs_a_start_is_named,
        listeners_come_and_go,
        a_listener_in_the_way_waits_for_the_next_start,
        a_listener_in_the_way_follows_its_files_and_takes_no_other_terms,
        a_listener_that_is_gone_leaves_nobody_whose_certificate_nobody_judges,
        an_interface_waits_for_the_next_start,
        who_comes_from_a_network_that_is_kept_out_must_go,
        a_listener_with_other_rules_ends_its_connections,
        rules_stay_with_their_clients_when_listeners_move,
    }
}

const WITH_USERS: &str = "password_file = \"passwd\"\nacl_file = \"acl\"";

async fn start(lines: &str, listeners: &str) -> Configured {
    let directory = Directory::new();
    directory.configure(lines, listeners);
    directory.start().await
}

async fn with_users() -> Configured {
    start(WITH_USERS, &listener("")).await
}

async fn a_user_who_is_gone_is_disconnected(version: Version) {
    let broker = with_users().await;
    let mut known = broker.connect(&by(clean(version, "a"), "known", "right")).await;
    let mut other = broker.connect(&by(clean(version, "b"), "other", "right")).await;
    // Written anew by copying, for another hash of the same password would be another password.
    let passwd = std::fs::read_to_string(broker.directory.path("passwd")).unwrap();
    let without = passwd.lines().filter(|line| !line.starts_with("known:")).collect::<Vec<_>>().join("\n");
    broker.directory.write("passwd", &without);
    let report = broker.reload().await.unwrap();
    assert_eq!((report.users, report.disconnected), (1, 1));
    known.expect_disconnect(ReasonCode::NotAuthorized).await;
    other.ping().await;
}

async fn a_user_with_another_password_is_disconnected(version: Version) {
    let broker = with_users().await;
    let mut known = broker.connect(&by(clean(version, "a"), "known", "right")).await;
    broker.directory.users(&[("known", "other"), ("other", "right")]);
    broker.reload().await.unwrap();
    known.expect_disconnect(ReasonCode::NotAuthorized).await;
    broker.connect(&by(clean(version, "a"), "known", "other")).await;
}

async fn anonymous_clients_are_disconnected_when_they_are_forbidden(version: Version) {
    let broker = start(&format!("{WITH_USERS}\nallow_anonymous = true"), &listener("")).await;
    let mut nobody = broker.connect(&clean(version, "a")).await;
    let mut known = broker.connect(&by(clean(version, "b"), "known", "right")).await;
    broker.directory.configure(WITH_USERS, &listener(""));
    broker.reload().await.unwrap();
    nobody.expect_disconnect(ReasonCode::NotAuthorized).await;
    known.ping().await;
}

/// The client has a window of one message, so that the rest waits, as deliveries above QoS 0.
async fn a_lost_right_stops_what_waits_already(version: Version) {
    let lines = format!("{WITH_USERS}\n[limits]\ninflight_messages = 1");
    let broker = start(&lines, &listener("")).await;
    let mut connect = by(kept(version, "s"), "known", "right");
    connect.properties.receive_maximum = version.is_v5().then(|| nonzero(1));
    let mut subscriber = broker.connect(&connect).await;
    subscriber.subscribe("#", QoS::AtLeastOnce).await;
    let mut publisher = broker.connect(&by(clean(version, "p"), "other", "right")).await;
    for (topic, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")] {
        publisher.publish(QoS::AtLeastOnce, message(topic, payload)).await;
    }
    let first = subscriber.expect_payload("1").await;
    broker.directory.write("acl", "pattern readwrite a\npattern write b\npattern read c\n");
    let report = broker.reload().await.unwrap();
    assert_eq!(report.disconnected, 0);
    subscriber.settle(&first).await;
    subscriber.take("3").await;
    subscriber.take("4").await;
    subscriber.expect_silence().await;
    assert_eq!(broker.metrics().messages_dropped.of(DropReason::AclRead), 2);
    publisher.publish(QoS::AtLeastOnce, message("b", "6")).await;
    publisher.publish(QoS::AtLeastOnce, message("a", "7")).await;
    subscriber.take("7").await;
}

async fn a_lost_right_stops_what_waits_for_the_absent(version: Version) {
    let broker = with_users().await;
    let mut subscriber = broker.connect(&by(kept(version, "s"), "known", "right")).await;
    subscriber.subscribe("#", QoS::AtLeastOnce).await;
    subscriber.leave().await;
    let mut publisher = broker.connect(&by(clean(version, "p"), "other", "right")).await;
    for (topic, payload) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publisher.publish(QoS::AtLeastOnce, message(topic, payload)).await;
    }
    broker.directory.write("acl", "pattern readwrite a\n");
    broker.reload().await.unwrap();
    let mut subscriber = broker.connect(&by(kept(version, "s"), "known", "right")).await;
    subscriber.take("1").await;
    subscriber.take("3").await;
    subscriber.expect_silence().await;
    assert_eq!(broker.metrics().messages_dropped.of(DropReason::AclRead), 1);
}

async fn a_lost_right_stops_what_would_come_again(version: Version) {
    let broker = with_users().await;
    let mut subscriber = broker.connect(&by(kept(version, "s"), "known", "right")).await;
    subscriber.subscribe("#", QoS::AtLeastOnce).await;
    let mut publisher = broker.connect(&by(clean(version, "p"), "other", "right")).await;
    for (topic, payload) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publisher.publish(QoS::AtLeastOnce, message(topic, payload)).await;
        subscriber.expect_payload(payload).await;
    }
    // No longer subscribed: only what is on its way is left of the session.
    subscriber.unsubscribe(&["#"]).await;
    subscriber.break_off().await;
    broker.until_online(1).await;
    broker.directory.write("acl", "pattern readwrite a\n");
    broker.reload().await.unwrap();
    let mut subscriber = broker.connect(&by(kept(version, "s"), "known", "right")).await;
    subscriber.take("1").await;
    subscriber.take("3").await;
    subscriber.expect_silence().await;
    assert_eq!(broker.metrics().messages_dropped.of(DropReason::AclRead), 1);
}

async fn a_mistake_changes_nothing(version: Version) {
    let broker = with_users().await;
    let mut known = broker.connect(&by(clean(version, "a"), "known", "right")).await;
    for (file, text, expected) in [
        (
            "broker.toml",
            "[[listener]]\nbind = \"127.0.0.1:0\"\nbnd = 1\n",
            "broker.toml:3: found the unknown key",
        ),
        ("acl", "topic read a\ntpic read b\n", "acl:2: "),
        ("passwd", "known:hunter2\n", "passwd:1: "),
    ] {
        let before = std::fs::read_to_string(broker.directory.path(file)).unwrap();
        broker.directory.write(file, text);
        // Whatever else has changed is not taken either.
        let users = std::fs::read_to_string(broker.directory.path("passwd")).unwrap();
        if file != "passwd" {
            broker.directory.write("passwd", "");
        }
        let refused = broker.metrics().operation.reloads.of(Reload::Refused);
        let error = broker.reload().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(broker.metrics().operation.reloads.of(Reload::Refused) > refused);
        let last = broker.broker().reloader().journal().last().unwrap();
        assert_eq!(last.result, Err(error));
        known.ping().await;
        broker.directory.write("passwd", &users);
        broker.directory.write(file, &before);
    }
    broker.reload().await.unwrap();
    assert_eq!(broker.metrics().operation.reloads.of(Reload::Done), 1);
    known.ping().await;
}

async fn a_change_of_a_file_holds_by_itself(version: Version) {
    let broker = with_users().await;
    let mut known = broker.connect(&by(clean(version, "a"), "known", "right")).await;
    let other = broker.directory.path("other");
    std::fs::write(&other, "").unwrap();
    std::fs::rename(other, broker.directory.path("passwd")).unwrap();
    known.expect_disconnect(ReasonCode::NotAuthorized).await;
    assert_eq!(broker.metrics().operation.reloads.of(Reload::Done), 1);
    broker.directory.write("acl", "nonsense\n");
    until("a refusal", || broker.metrics().operation.reloads.of(Reload::Refused) == 1).await;
    broker.directory.write("acl", "\n");
    until("a success", || broker.metrics().operation.reloads.of(Reload::Done) == 2).await;
}

async fn a_missing_file_that_comes_later_is_found(version: Version) {
    let broker = with_users().await;
    let mut known = broker.connect(&by(clean(version, "a"), "known", "right")).await;
    broker.directory.configure("password_file = \"passwd\"\nacl_file = \"later\"", &listener(""));
    until("a refusal", || broker.metrics().operation.reloads.of(Reload::Refused) == 1).await;
    known.subscribe("a", QoS::AtMostOnce).await;
    broker.directory.write("later", "topic read nothing\n");
    until("a success", || broker.metrics().operation.reloads.of(Reload::Done) == 1).await;
    assert_eq!(broker.metrics().operation.reloads.of(Reload::Refused), 1, "told once");
    let reason = known.publish(QoS::AtLeastOnce, message("a", "x")).await;
    assert_eq!(reason, ReasonCode::NotAuthorized);
}

async fn limits_hold_at_once(version: Version) {
    let broker = start("allow_anonymous = true", &listener("")).await;
    let mut client = broker.connect(&clean(version, "a")).await;
    client.subscribe("a", QoS::AtMostOnce).await;
    let limits = "[limits]\nsubscriptions_per_session = 1\nretained_messages = 0\nsessions = 1";
    broker.directory.configure(&format!("allow_anonymous = true\n{limits}"), &listener(""));
    broker.reload().await.unwrap();
    let reasons = client.subscribe_to(vec![filter("b", QoS::AtMostOnce)], None).await;
    assert_eq!(reasons, [ReasonCode::QuotaExceeded]);
    let retained = gaugeline_protocol::packet::Outgoing { retain: true, ..message("c", "x") };
    assert_eq!(client.publish(QoS::AtLeastOnce, retained).await, ReasonCode::QuotaExceeded);
}

async fn the_interval_of_the_status_topics_holds_at_once(version: Version) {
    let lines = |seconds: u32| format!("allow_anonymous = true\n[clients]\nsys_interval_seconds = {seconds}");
    let broker = start(&lines(65_535), &listener("")).await;
    let mut client = broker.connect(&clean(version, "a")).await;
    client.subscribe("$SYS/broker/uptime", QoS::AtMostOnce).await;
    client.expect_publish().await;
    broker.directory.configure(&lines(1), &listener(""));
    assert!(broker.reload().await.unwrap().at_next_start.is_empty());
    client.expect_publish().await;
    client.expect_publish().await;
}

/// [MQTT-3.2.2-15]: whoever keeps to the maximum packet size of CONNACK is not cut off for it.
async fn what_a_client_was_told_holds_on(version: Version) {
    let broker = start("allow_anonymous = true", &listener("")).await;
    let mut client = broker.connect(&clean(version, "a")).await;
    broker.directory.configure("allow_anonymous = true\n[limits]\npacket_bytes = 200", &listener(""));
    broker.reload().await.unwrap();
    let payload = "x".repeat(1000);
    client.publish(QoS::AtLeastOnce, message("a", &payload)).await;
    let mut late = broker.connect(&clean(version, "b")).await;
    late.send(message("a", &payload)).await;
    late.expect_disconnect(ReasonCode::PacketTooLarge).await;
    client.ping().await;
}

async fn what_needs_a_start_is_named(version: Version) {
    let broker = start("allow_anonymous = true", &listener("")).await;
    let mut client = broker.connect(&clean(version, "a")).await;
    broker.directory.write(
        "broker.toml",
        &format!("allow_anonymous = true\npersistence = \"durable\"\npersistence_directory = \"x\"\nadmin = \"off\"\n{}", listener("")),
    );
    assert_eq!(broker.reload().await.unwrap().at_next_start, ["persistence", "persistence_directory"]);
    client.ping().await;
}

async fn listeners_come_and_go(version: Version) {
    let second = "[[listener]]\nbind = \"127.0.0.2:0\"\n";
    let broker = start("allow_anonymous = true", &listener("")).await;
    broker.directory.configure("allow_anonymous = true", &format!("{}{second}", listener("")));
    broker.reload().await.unwrap();
    let mut first = broker.connect_through(0, &clean(version, "a")).await;
    let mut through_new = broker.connect_through(1, &clean(version, "b")).await;
    let address = broker.addresses()[1];
    broker.directory.configure("allow_anonymous = true", &listener(""));
    assert_eq!(broker.reload().await.unwrap().disconnected, 0);
    until("the listener to go", || std::net::TcpStream::connect(address).is_err()).await;
    through_new.ping().await;
    first.ping().await;
    assert_eq!(broker.addresses().len(), 1);
}

async fn a_listener_in_the_way_waits_for_the_next_start(version: Version) {
    let free = free_port();
    let on = |ip: &str| format!("[[listener]]\nbind = \"{ip}:{free}\"\nplain_text_on_network = true\n");
    let broker = start("allow_anonymous = true", &on("127.0.0.1")).await;
    broker.directory.configure("allow_anonymous = true", &on("0.0.0.0"));
    let report = broker.reload().await.unwrap();
    let expected = format!("the listener on 0.0.0.0:{free}: one on 127.0.0.1:{free} is in its way");
    assert_eq!(report.at_next_start, [expected]);
    broker.connect(&clean(version, "a")).await.ping().await;
    // And once more: what runs is still there.
    broker.reload().await.unwrap();
    broker.connect(&clean(version, "b")).await.ping().await;
    // A port of somebody else is a mistake.
    let taken = std::net::TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap();
    let held = std::net::TcpListener::bind(taken).unwrap();
    let both = format!("{}[[listener]]\nbind = \"{taken}\"\n", on("127.0.0.1"));
    broker.directory.configure("allow_anonymous = true", &both);
    let error = broker.reload().await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {taken}")), "{error}");
    drop(held);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn with_certificate(pki: &Pki, address: SocketAddr, version: Version) -> Client {
    let config = pki.trusting(&rustls::version::TLS13, Some(&pki.client));
    let mut client = dial_to(address, &config, version).await.unwrap();
    client.send(clean(version, "certified")).await;
    assert!(!client.expect_connack().await.reason.is_error());
    client
}

async fn a_listener_in_the_way_follows_its_files_and_takes_no_other_terms(version: Version) {
    let (pki, free) = (Pki::new(), free_port());
    let on =
        |ip: &str, lines: &str| format!("[[listener]]\nbind = \"{ip}:{free}\"\n{}{lines}\n", pki.lines());
    let broker = start("allow_anonymous = true", &on("127.0.0.1", "")).await;
    let mut client = with_certificate(&pki, broker.addresses()[0], version).await;
    broker.directory.configure("allow_anonymous = true", &on("0.0.0.0", "connections = 5"));
    let error = broker.reload().await.unwrap_err().to_string();
    let expected =
        format!("the one on 127.0.0.1:{free} is in its way until the next start and has other terms");
    assert!(error.contains(&expected), "{error}");
    client.ping().await;
    broker.directory.configure("allow_anonymous = true", &on("0.0.0.0", ""));
    assert_eq!(broker.reload().await.unwrap().at_next_start.len(), 1);
    client.ping().await;
    pki.replace_authority();
    assert_eq!(broker.reload().await.unwrap().disconnected, 1);
    client.expect_disconnect(ReasonCode::NotAuthorized).await;
}

async fn a_listener_that_is_gone_leaves_nobody_whose_certificate_nobody_judges(version: Version) {
    let pki = Pki::new();
    let second = format!("[[listener]]\nbind = \"127.0.0.2:0\"\n{}", pki.lines());
    let broker = start("allow_anonymous = true", &format!("{}{second}", listener(""))).await;
    let mut certified = with_certificate(&pki, broker.addresses()[1], version).await;
    let mut plain = broker.connect(&clean(version, "a")).await;
    broker.directory.configure("allow_anonymous = true", &listener(""));
    assert_eq!(broker.reload().await.unwrap().disconnected, 1);
    certified.expect_disconnect(ReasonCode::AdministrativeAction).await;
    plain.ping().await;
}

async fn an_interface_waits_for_the_next_start(version: Version) {
    let broker = start("allow_anonymous = true", &listener("")).await;
    let mut client = broker.connect(&clean(version, "a")).await;
    broker.directory.configure("allow_anonymous = true", &listener("interface = \"lo\""));
    for _ in 0..2 {
        let report = broker.reload().await.unwrap();
        assert_eq!(report.at_next_start, ["interface and ipv6_only of the listener on 127.0.0.1:0"]);
        assert_eq!(report.disconnected, 0);
    }
    client.ping().await;
    broker.directory.configure("allow_anonymous = true", &listener(""));
    assert!(broker.reload().await.unwrap().at_next_start.is_empty());
}

async fn who_comes_from_a_network_that_is_kept_out_must_go(version: Version) {
    let two = |lines: &str| format!("{}[[listener]]\nbind = \"127.0.0.2:0\"\n{lines}\n", listener(""));
    for (lines, stays) in [
        ("deny = [\"127.0.0.0/8\"]", false),
        ("allow = [\"192.0.2.0/24\"]", false),
        ("allow = [\"127.0.0.0/8\"]\ndeny = [\"192.0.2.0/24\"]", true),
    ] {
        let broker = start("allow_anonymous = true", &two("")).await;
        let mut first = broker.connect_through(0, &clean(version, "a")).await;
        let mut second = broker.connect_through(1, &clean(version, "b")).await;
        broker.directory.configure("allow_anonymous = true", &two(lines));
        assert_eq!(broker.reload().await.unwrap().disconnected, usize::from(!stays), "{lines}");
        if stays {
            second.ping().await;
        } else {
            second.expect_disconnect(ReasonCode::AdministrativeAction).await;
        }
        first.ping().await;
    }
}

async fn a_listener_with_other_rules_ends_its_connections(version: Version) {
    let two = |lines: &str| {
        format!("[[listener]]\nbind = \"127.0.0.1:0\"\n[[listener]]\nbind = \"127.0.0.2:0\"\n{lines}\n")
    };
    let broker = start("allow_anonymous = true", &two("")).await;
    let mut first = broker.connect_through(0, &clean(version, "a")).await;
    let mut second = broker.connect_through(1, &clean(version, "b")).await;
    broker.directory.configure("allow_anonymous = true", &two("acl_file = \"acl\""));
    assert_eq!(broker.reload().await.unwrap().disconnected, 1);
    second.expect_disconnect(ReasonCode::AdministrativeAction).await;
    first.ping().await;
    broker.connect_through(1, &clean(version, "b")).await;
    assert_eq!(broker.reload().await.unwrap().disconnected, 0);
}

/// Rules have places in the configuration. Connections must not come under those of a neighbour when places change.
async fn rules_stay_with_their_clients_when_listeners_move(version: Version) {
    let closed = "[[listener]]\nbind = \"127.0.0.2:0\"\nacl_file = \"closed\"\n";
    let open = "[[listener]]\nbind = \"127.0.0.3:0\"\nacl_file = \"acl\"\n";
    let directory = Directory::new();
    directory.write("closed", "topic write nothing\n");
    directory.configure("allow_anonymous = true", &format!("{}{closed}{open}", listener("")));
    let broker = directory.start().await;
    let mut strict = broker.connect_through(1, &clean(version, "strict")).await;
    let mut free = broker.connect_through(2, &clean(version, "free")).await;
    let denied = ReasonCode::NotAuthorized;
    broker.directory.configure("allow_anonymous = true", &format!("{}{open}{closed}", listener("")));
    broker.reload().await.unwrap();
    assert_eq!(strict.publish(QoS::AtLeastOnce, message("a", "x")).await, denied);
    assert_ne!(free.publish(QoS::AtLeastOnce, message("a", "x")).await, denied);
    // Without its listener, a client has no rules any more.
    broker.directory.configure("allow_anonymous = true", &format!("{}{open}", listener("")));
    assert_eq!(broker.reload().await.unwrap().disconnected, 1);
    strict.expect_disconnect(ReasonCode::NotAuthorized).await;
    free.ping().await;
    broker.until_online(1).await;
    assert!(TcpStream::connect(broker.addresses()[1]).await.is_ok());
}

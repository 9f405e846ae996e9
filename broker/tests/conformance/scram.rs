//! Enhanced authentication with SCRAM-SHA-256 [MQTT 5.0, section 4.12].

use std::num::NonZeroU32;

use gaugeline_broker::{
    auth::scram::ScramCredential,
    metrics::{CloseReason, RefusalReason},
};
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{Auth, ConnAck, Connect, Disconnect},
};

use crate::support::{
    Client, Configured, Directory, Server, Setup, by, clean, listener, message, nonzero,
    scram::{METHOD, Scram, auth, step, with_method},
};

scenarios! {
    v5 {
        the_right_password_comes_in,
        the_first_message_may_come_after_connect,
        an_unknown_user_is_answered_as_a_wrong_password,
        messages_that_do_not_belong_to_the_exchange,
        the_same_final_message_works_once,
        who_leaves_the_order_is_refused,
        what_is_too_large_is_refused,
        a_method_needs_its_file_and_is_the_only_one,
        the_name_in_connect_must_be_the_same,
        a_half_exchange_has_no_more_time_than_connect,
        guesses_wait,
        authenticating_again,
        authenticating_again_may_fail,
        a_changed_file_ends_the_connections_of_its_users,
    }
    every { names_of_scram_users_cannot_be_taken_without_a_password }
}

fn entry(user: &str, password: &str) -> String {
    let iterations = NonZeroU32::new(4096).unwrap();
    format!("{user}:{}\n", ScramCredential::create(password.as_bytes(), iterations).unwrap())
}

fn setup() -> Setup {
    Setup::new().scram_file(&format!("{}{}", entry("known", "right"), entry("other", "too")))
}

async fn server() -> Server {
    setup().start().await
}

async fn open(server: &Server, scram: &Scram) -> Client {
    Client::open_and_send(server, &with_method(METHOD, Some(&scram.first()))).await
}

async fn log_in(server: &Server, user: &str, password: &str) -> (Client, ConnAck) {
    let mut scram = Scram::new(user, password);
    let mut client = open(server, &scram).await;
    let answer = client.finish_scram(&mut scram).await;
    (client, answer)
}

async fn the_right_password_comes_in(_: Version) {
    let server = server().await;
    let (mut client, answer) = log_in(&server, "known", "right").await;
    assert_eq!(answer.reason, ReasonCode::Success);
    client.subscribe("a", QoS::AtLeastOnce).await;
    client.publish(QoS::AtLeastOnce, message("a", "x")).await;
    client.take("x").await;
}

async fn the_first_message_may_come_after_connect(_: Version) {
    let server = server().await;
    for data in [None, Some("")] {
        let mut scram = Scram::new("known", "right");
        let mut client = Client::open_and_send(&server, &with_method(METHOD, data)).await;
        assert_eq!(client.expect_step().await, "");
        client.send(step(&scram.first())).await;
        assert_eq!(client.finish_scram(&mut scram).await.reason, ReasonCode::Success);
    }
}

async fn an_unknown_user_is_answered_as_a_wrong_password(_: Version) {
    let server = server().await;
    let mut salts = Vec::new();
    for user in ["known", "unknown", "known", "unknown"] {
        let mut scram = Scram::new(user, "wrong");
        let mut client = open(&server, &scram).await;
        let first = client.expect_step().await;
        client.send(step(&scram.last(&first))).await;
        assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::NotAuthorized, false), "{user}");
        client.expect_end().await;
        salts.push(first.split_once(",s=").unwrap().1.to_owned());
    }
    assert_eq!(salts[..2], salts[2..], "the same salt at each try");
    assert_eq!(salts[0].len(), salts[1].len());
    assert_eq!(server.refused(RefusalReason::NotAuthorized), 4);
}

async fn messages_that_do_not_belong_to_the_exchange(_: Version) {
    let server = server().await;
    for first in ["p=tls-exporter,,n=known,r=x", "n,a=other,n=known,r=x", "n,,m=1,n=known,r=x", "hello"] {
        let connect = with_method(METHOD, Some(first));
        let (mut client, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.reason, ReasonCode::NotAuthorized, "{first}");
        client.expect_end().await;
    }
    let edits: [fn(String) -> String; 4] = [
        |last| last.replace(",r=f", ",r=g"),
        |last| last.replace("c=biws", "c=eSws"),
        |last| last.replace(",p=", ",q="),
        |_| String::new(),
    ];
    for edit in edits {
        let mut scram = Scram::new("known", "right");
        let mut client = open(&server, &scram).await;
        let answer = client.expect_step().await;
        client.send(step(&edit(scram.last(&answer)))).await;
        assert_eq!(client.expect_connack().await.reason, ReasonCode::NotAuthorized);
    }
    assert_eq!(server.refused(RefusalReason::NotAuthorized), 8);
}

async fn the_same_final_message_works_once(_: Version) {
    let server = server().await;
    let mut scram = Scram::new("known", "right");
    let mut client = open(&server, &scram).await;
    let answer = client.expect_step().await;
    let last = scram.last(&answer);
    client.send(step(&last)).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    let mut thief = open(&server, &scram).await;
    assert_ne!(thief.expect_step().await, answer);
    thief.send(step(&last)).await;
    assert_eq!(thief.expect_connack().await.reason, ReasonCode::NotAuthorized);
    client.ping().await;
}

async fn who_leaves_the_order_is_refused(_: Version) {
    let server = server().await;
    let scram = Scram::new("known", "right");
    let other_method = Auth { method: Some("SCRAM-SHA-1".to_owned()), ..step("x") };
    for wrong in [auth(ReasonCode::ReAuthenticate, "x"), auth(ReasonCode::Success, "x"), other_method] {
        let mut client = open(&server, &scram).await;
        client.expect_step().await;
        client.send(wrong).await;
        assert_eq!(client.expect_connack().await.reason, ReasonCode::ProtocolError);
        client.expect_end().await;
    }
    let mut client = open(&server, &scram).await;
    client.expect_step().await;
    client.send(message("a", "too early")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::ProtocolError);
    let mut client = open(&server, &scram).await;
    client.expect_step().await;
    client.send(Disconnect::new(ReasonCode::Success)).await;
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::ConnectionLost), 1);
    server.until_empty().await;
}

async fn what_is_too_large_is_refused(_: Version) {
    let server = server().await;
    let long = format!("n,,n={},r=x", "u".repeat(2048));
    let (_, answer) = Client::try_connect(&server, &with_method(METHOD, Some(&long))).await;
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    let mut client = open(&server, &Scram::new("known", "right")).await;
    client.expect_step().await;
    client.send(step(&"x".repeat(5000))).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::PacketTooLarge);
}

/// [MQTT-4.12.0-1]
async fn a_method_needs_its_file_and_is_the_only_one(_: Version) {
    let first = Scram::new("known", "right").first();
    let without = Setup::new().users(&[("known", "right")]).start().await;
    let with = server().await;
    for (server, method) in [(&without, METHOD), (&with, "SCRAM-SHA-1"), (&with, "SCRAM-SHA-256-PLUS")] {
        let connect = with_method(method, Some(&first));
        let (mut client, answer) = Client::try_connect(server, &by(connect, "known", "right")).await;
        assert_eq!(answer, ConnAck::new(ReasonCode::BadAuthenticationMethod, false), "{method}");
        client.expect_end().await;
    }
    assert_eq!(with.refused(RefusalReason::AuthenticationMethod), 2);
}

async fn the_name_in_connect_must_be_the_same(_: Version) {
    let server = server().await;
    for (name, expected) in [("known", true), ("", true), ("other", false)] {
        let mut scram = Scram::new("known", "right");
        let connect = with_method(METHOD, Some(&scram.first()));
        let connect = Connect { user_name: Some(name.to_owned()), ..connect };
        let mut client = Client::open_and_send(&server, &connect).await;
        if expected {
            assert_eq!(client.finish_scram(&mut scram).await.reason, ReasonCode::Success, "{name}");
        } else {
            assert_eq!(client.expect_connack().await.reason, ReasonCode::NotAuthorized);
        }
    }
}

async fn a_half_exchange_has_no_more_time_than_connect(_: Version) {
    let server = setup().limits(|limits| limits.connect_timeout_seconds = 1).start().await;
    let mut client = open(&server, &Scram::new("known", "right")).await;
    client.expect_step().await;
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::ConnectTimeout), 1);
}

async fn guesses_wait(_: Version) {
    let setup = setup().limits(|limits| {
        limits.unlimited_networks.clear();
        limits.login_failures_free = 2;
        limits.login_wait_first_seconds = 3600;
        limits.login_wait_max_seconds = 3600;
    });
    let server = setup.start().await;
    for user in ["known", "unknown", "nobody"] {
        assert_eq!(log_in(&server, user, "guess").await.1.reason, ReasonCode::NotAuthorized, "{user}");
    }
    for user in ["known", "unknown"] {
        let connect = with_method(METHOD, Some(&Scram::new(user, "right").first()));
        let (_, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.reason, ReasonCode::ConnectionRateExceeded, "{user}");
    }
    assert_eq!(server.refused(RefusalReason::LoginBackoff), 2);
}

/// [MQTT 5.0, section 4.12.1]
async fn authenticating_again(_: Version) {
    let server = server().await;
    let (mut client, _) = log_in(&server, "known", "right").await;
    for data in [true, false] {
        let mut scram = Scram::new("known", "right");
        if data {
            client.send(auth(ReasonCode::ReAuthenticate, &scram.first())).await;
        } else {
            client.send(auth(ReasonCode::ReAuthenticate, "")).await;
            assert_eq!(client.expect_step().await, "");
            client.send(step(&scram.first())).await;
        }
        let answer = client.expect_step().await;
        client.ping().await;
        client.send(step(&scram.last(&answer))).await;
        let last = client.expect_auth(ReasonCode::Success).await;
        assert!(scram.trusts(Some(&last.into())));
    }
    client.ping().await;
}

async fn authenticating_again_may_fail(_: Version) {
    let server = server().await;
    for (user, password) in [("known", "wrong"), ("other", "too"), ("unknown", "x")] {
        let (mut client, _) = log_in(&server, "known", "right").await;
        let mut scram = Scram::new(user, password);
        client.send(auth(ReasonCode::ReAuthenticate, &scram.first())).await;
        if user == "known" {
            let answer = client.expect_step().await;
            client.send(step(&scram.last(&answer))).await;
        }
        client.expect_disconnect(ReasonCode::NotAuthorized).await;
    }
    for wrong in [step("x"), Auth { method: Some("x".to_owned()), ..auth(ReasonCode::ReAuthenticate, "x") }] {
        let (mut client, _) = log_in(&server, "known", "right").await;
        client.send(wrong).await;
        client.expect_disconnect(ReasonCode::ProtocolError).await;
    }
    server.until_empty().await;
    assert_eq!(server.closed(CloseReason::NotAuthorized), 3);
}

async fn a_changed_file_ends_the_connections_of_its_users(_: Version) {
    let directory = Directory::new();
    let (known, other) = (entry("known", "right"), entry("other", "too"));
    directory.write("scram", &format!("{known}{other}"));
    directory.configure("password_file = \"passwd\"\nscram_file = \"scram\"", &listener(""));
    let broker = directory.start().await;
    let mut known_client = enter(&broker, "k", "known", "right").await;
    let mut other_client = enter(&broker, "o", "other", "too").await;
    // The same name, through the password file: that one does not change.
    let mut by_password = broker.connect(&by(clean(Version::V5, "p"), "known", "right")).await;
    broker.directory.write("scram", &format!("# gone\n{other}"));
    let report = broker.reload().await.unwrap();
    assert_eq!((report.users, report.disconnected), (2, 1), "one name in two files is one user");
    known_client.expect_disconnect(ReasonCode::NotAuthorized).await;
    other_client.ping().await;
    broker.directory.write("scram", &entry("other", "new"));
    assert_eq!(broker.reload().await.unwrap().disconnected, 1);
    other_client.expect_disconnect(ReasonCode::NotAuthorized).await;
    broker.directory.write("scram", "other:secret\n");
    let error = broker.reload().await.unwrap_err().to_string();
    assert!(error.contains("scram:1: found no `SCRAM-SHA-256$`"), "{error}");
    enter(&broker, "o", "other", "new").await.ping().await;
    by_password.ping().await;
}

async fn enter(broker: &Configured, client_id: &str, user: &str, password: &str) -> Client {
    let mut scram = Scram::new(user, password);
    let mut connect =
        Connect { client_id: client_id.to_owned(), ..with_method(METHOD, Some(&scram.first())) };
    connect.properties.receive_maximum = Some(nonzero(10));
    let mut client = Client::open_at(broker.addresses()[0], Version::V5).await;
    client.send(connect).await;
    assert_eq!(client.finish_scram(&mut scram).await.reason, ReasonCode::Success);
    client
}

async fn names_of_scram_users_cannot_be_taken_without_a_password(version: Version) {
    let server = setup().anonymous().start().await;
    let (_, answer) = Client::try_connect(&server, &by(clean(version, "a"), "known", "x")).await;
    assert_eq!(answer.reason, ReasonCode::NotAuthorized);
    Client::join(&server, version, "b").await.ping().await;
}

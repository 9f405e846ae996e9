//! Who guesses passwords waits, who takes more than a share is slowed down, and nobody else notices.

use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{QoS, ReasonCode, Version, packet::ConnAck};

use crate::support::{Client, Server, Setup, by, clean, kept, message};

scenarios! {
    every {
        guesses_wait,
        a_user_has_so_many_connections,
        who_sends_too_fast_is_slowed_down_and_loses_nothing,
        a_user_shares_one_rate_among_connections,
        guesses_do_not_hold_up_who_is_in,
    }
    v5 { connections_that_come_too_fast_are_closed }
}

async fn log_in(server: &Server, version: Version, user: &str, password: &str) -> ReasonCode {
    let connect = by(clean(version, user), user, password);
    let (_, ConnAck { reason, .. }) = Client::try_connect(server, &connect).await;
    reason
}

async fn guesses_wait(version: Version) {
    let setup = Setup::new().users(&[("known", "right"), ("other", "right")]).limits(|limits| {
        limits.unlimited_networks.clear();
        limits.login_failures_free = 2;
        limits.login_wait_first_seconds = 3600;
        limits.login_wait_max_seconds = 3600;
    });
    let server = setup.start().await;
    assert_eq!(log_in(&server, version, "known", "right").await, ReasonCode::Success);
    for (user, password) in [("known", "guess"), ("unknown", "guess"), ("nobody", "guess")] {
        assert_eq!(log_in(&server, version, user, password).await, ReasonCode::NotAuthorized);
    }
    let waits =
        if version.is_v5() { ReasonCode::ConnectionRateExceeded } else { ReasonCode::ServerUnavailable };
    for (user, password) in [("known", "guess"), ("unknown", "guess"), ("other", "right")] {
        assert_eq!(log_in(&server, version, user, password).await, waits, "{user}");
    }
    assert_eq!(server.refused(RefusalReason::LoginBackoff), 3);
    assert_eq!(log_in(&server, version, "known", "right").await, ReasonCode::Success, "it was in before");
}

async fn a_user_has_so_many_connections(version: Version) {
    let setup = Setup::new().users(&[("a", "x"), ("b", "x")]).limits(|limits| {
        limits.unlimited_networks.clear();
        limits.connections_per_user = 2;
    });
    let server = setup.start().await;
    let connect = |client_id: &str, user: &str| by(kept(version, client_id), user, "x");
    let _first = Client::connect(&server, &connect("1", "a")).await;
    let second = Client::connect(&server, &connect("2", "a")).await;
    let (_, answer) = Client::try_connect(&server, &connect("3", "a")).await;
    let full = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
    assert_eq!(answer.reason, full);
    assert_eq!(server.refused(RefusalReason::TooManyOfUser), 1);
    let _other = Client::connect(&server, &connect("4", "b")).await;
    // Who comes again takes the place of its own connection.
    let _again = Client::connect(&server, &connect("1", "a")).await;
    second.leave().await;
    server.until_online(2).await;
    let _third = Client::connect(&server, &connect("3", "a")).await;
}

async fn who_sends_too_fast_is_slowed_down_and_loses_nothing(version: Version) {
    let setup = Setup::new().limits(|limits| {
        limits.unlimited_networks.clear();
        limits.messages_per_second_per_address = 200;
    });
    let server = setup.start().await;
    let mut subscriber = Client::join(&server, version, "subscriber").await;
    subscriber.subscribe("#", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "publisher").await;
    let payloads = (0..300).map(|n| n.to_string()).collect::<Vec<_>>();
    for part in payloads.chunks(100) {
        publisher.send(part.iter().map(|payload| message("t", payload)).collect::<Vec<_>>()).await;
    }
    for payload in &payloads {
        subscriber.expect_payload(payload).await;
    }
    publisher.ping().await;
    assert!(server.metrics().reads_slowed.get() > 0);
}

async fn a_user_shares_one_rate_among_connections(version: Version) {
    let setup = Setup::new().users(&[("fast", "x"), ("other", "x")]).limits(|limits| {
        limits.unlimited_networks.clear();
        limits.messages_per_second_per_user = 200;
    });
    let server = setup.start().await;
    let mut subscriber = Client::connect(&server, &by(clean(version, "subscriber"), "other", "x")).await;
    subscriber.subscribe("#", QoS::AtMostOnce).await;
    // Each of the two alone would have been below the rate.
    let payloads = (0..150).map(|n| n.to_string()).collect::<Vec<_>>();
    for client_id in ["first", "second"] {
        assert_eq!(server.metrics().reads_slowed.get(), 0, "{client_id}");
        let mut publisher = Client::connect(&server, &by(clean(version, client_id), "fast", "x")).await;
        publisher.send(payloads.iter().map(|payload| message("t", payload)).collect::<Vec<_>>()).await;
        for payload in &payloads {
            subscriber.expect_payload(payload).await;
        }
    }
    assert!(server.metrics().reads_slowed.get() > 0);
}

/// Many wrong passwords, whose hashes take seconds: messages of others are all delivered before the last one is checked.
async fn guesses_do_not_hold_up_who_is_in(version: Version) {
    const GUESSES: u64 = 30;
    let setup = Setup::new().users(&[("known", "right")]).costly_user("costly", "right").limits(|limits| {
        limits.login_wait_max_seconds = 0;
        limits.password_checks = 1;
    });
    let server = setup.start().await;
    let mut known = Client::connect(&server, &by(clean(version, "known"), "known", "right")).await;
    let mut reader = Client::connect(&server, &by(clean(version, "reader"), "known", "right")).await;
    reader.subscribe("#", QoS::AtMostOnce).await;
    let mut guesses = Vec::new();
    for number in 0..GUESSES {
        let guess = by(clean(version, &format!("guess {number}")), "costly", &number.to_string());
        guesses.push(Client::open_and_send(&server, &guess).await);
    }
    for number in 0..100 {
        let payload = number.to_string();
        known.publish(QoS::AtLeastOnce, message("t", &payload)).await;
        reader.expect_payload(&payload).await;
    }
    assert!(server.metrics().connections_refused.total() < GUESSES);
    assert_eq!(guesses[0].expect_connack().await.reason, ReasonCode::NotAuthorized);
}

async fn connections_that_come_too_fast_are_closed(version: Version) {
    let setup = Setup::new().limits(|limits| {
        limits.unlimited_networks.clear();
        limits.connections_per_second_per_address = 1;
    });
    let server = setup.start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::open(&server, version).await);
    }
    server.until_accepted(20).await;
    // One in each second of the test.
    assert!(server.refused(RefusalReason::TooFast) > 10);
}

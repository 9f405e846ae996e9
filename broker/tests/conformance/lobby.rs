//! Strangers who knock and do not come in keep nobody out.

use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{ReasonCode, Version, packet::ConnAck};

use crate::support::{Client, Log, Setup, by, clean, until};

scenarios! {
    every {
        half_open_connections_keep_nobody_out,
        strangers_take_no_places_of_clients,
        large_connect_packets_share_a_budget,
    }
    v5 { who_is_let_in_is_not_displaced, the_address_with_most_strangers_gives_up_a_place }
}

async fn half_open_connections_keep_nobody_out(version: Version) {
    let log = Log::capture();
    let server = Setup::new().limits(|limits| limits.pending_connections = 3).start().await;
    let mut silent = Vec::new();
    for accepted in 1..=3 {
        silent.push(Client::open(&server, version).await);
        server.until_accepted(accepted).await;
    }
    // It has said something, but not all.
    silent[0].send(&b"\x10"[..]).await;
    until("the strangers", || server.metrics().connections_pending.get() == 3).await;
    let mut client = Client::join(&server, version, "a").await;
    silent[0].expect_no_service().await;
    until("the refusal", || server.refused(RefusalReason::Displaced) == 1).await;
    let line = log.only_warning("-", "-", silent[0].address);
    assert!(line.contains("the limit of pending_connections is reached"), "{line}");
    assert_eq!(server.metrics().connections_pending.get(), 2, "the younger ones are still there");
    client.ping().await;
}

async fn strangers_take_no_places_of_clients(version: Version) {
    let setup = Setup::new().listener(|listener| listener.connections_max = Some(2));
    let setup = setup.limits(|limits| (limits.connections, limits.connections_per_address) = (2, 2));
    let server = setup.start().await;
    let mut strangers = Vec::new();
    for accepted in 1..=4 {
        strangers.push(Client::open(&server, version).await);
        server.until_accepted(accepted).await;
    }
    let mut clients = Vec::new();
    for name in ["a", "b"] {
        clients.push(Client::join(&server, version, name).await);
    }
    // It was there in time, but the places are taken now.
    strangers[0].send(clean(version, "c")).await;
    let ConnAck { reason, .. } = strangers[0].expect_connack().await;
    let full = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
    assert_eq!(reason, full);
    strangers[0].expect_end().await;
    assert_eq!(server.refused(RefusalReason::TooManyOnListener), 1);
    clients.remove(0).leave().await;
    until("the place", || server.metrics().connections_open.get() == 4).await;
    strangers[1].send(clean(version, "d")).await;
    assert_eq!(strangers[1].expect_connack().await.reason, ReasonCode::Success);
}

async fn large_connect_packets_share_a_budget(version: Version) {
    let setup = Setup::new().users(&[("user", "secret")]);
    let server = setup.limits(|limits| limits.connect_bytes_total = 1024).start().await;
    let large = by(clean(version, "large"), "user", &"x".repeat(60_000));
    let mut client = Client::open(&server, version).await;
    client.send(large).await;
    client.expect_no_service().await;
    until("the refusal", || server.refused(RefusalReason::ConnectBytesTotal) == 1).await;
    let small = by(clean(version, "small"), "user", "secret");
    Client::connect(&server, &small).await.ping().await;
}

async fn who_is_let_in_is_not_displaced(version: Version) {
    let server = Setup::new().limits(|limits| limits.pending_connections = 1).start().await;
    let mut client = Client::join(&server, version, "a").await;
    let mut strangers = Vec::new();
    for accepted in 2..=5 {
        strangers.push(Client::open(&server, version).await);
        server.until_accepted(accepted).await;
    }
    until("the refusals", || server.refused(RefusalReason::Displaced) == 3).await;
    client.ping().await;
}

/// Half-open connections of another address, younger than that of a slow client: it is one of them that has to go.
async fn the_address_with_most_strangers_gives_up_a_place(version: Version) {
    let server = Setup::new().limits(|limits| limits.pending_connections = 4).start().await;
    let mut slow = Client::open(&server, version).await;
    server.until_accepted(1).await;
    let mut strangers = Vec::new();
    for accepted in 2..=4 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        let stream = socket.connect(server.address()).await.unwrap();
        let address = stream.local_addr().unwrap();
        strangers.push(Client::over(stream, version, address));
        server.until_accepted(accepted).await;
    }
    let mut newcomer = Client::join(&server, version, "newcomer").await;
    strangers[0].expect_no_service().await;
    slow.send(clean(version, "slow")).await;
    assert_eq!(slow.expect_connack().await.reason, ReasonCode::Success);
    newcomer.ping().await;
    assert_eq!(server.refused(RefusalReason::Displaced), 1);
}

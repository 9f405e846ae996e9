//! How connections end: by the client, by the server, and by a server that stops.

use std::time::Duration;

use gaugeline_broker::metrics::{CloseReason, RefusalReason};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    packet::{AckType, Disconnect},
};

use crate::support::{Client, DEADLINE, Pki, Server, Setup, at, clean, in_time, kept, message};

scenarios! {
    every {
        what_came_before_disconnect_is_answered,
        nothing_after_disconnect_is_handled,
        a_server_that_stops_tells_its_clients,
        the_reason_arrives_although_more_was_sent,
    }
    v5 { a_server_that_stops_waits_for_no_connect, the_reason_arrives_through_tls_too }
}

/// Clients may send everything at once, without waiting for CONNACK.
async fn what_came_before_disconnect_is_answered(version: Version) {
    let server = Server::start().await;
    let mut client = Client::open(&server, version).await;
    let publish = at(QoS::AtLeastOnce, 1, message("t", "x"));
    client.send((clean(version, "a"), (publish, Disconnect::new(ReasonCode::Success)))).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client.expect_ack(AckType::PubAck, PacketId::FIRST).await;
    client.expect_end().await;
    assert_eq!(server.closed(CloseReason::ClientDisconnect), 1);
}

/// [MQTT-3.14.4-1], [MQTT-3.14.4-2]
async fn nothing_after_disconnect_is_handled(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtMostOnce).await;
    let mut client = Client::join(&server, version, "a").await;
    let end = Disconnect::new(ReasonCode::Success);
    client.send(((message("t", "before"), end), message("t", "after"))).await;
    client.expect_end().await;
    subscriber.take("before").await;
    subscriber.expect_silence().await;
}

/// [MQTT 5.0, section 4.13.2]: 0x8B.
async fn a_server_that_stops_tells_its_clients(version: Version) {
    let server = Server::start().await;
    let mut clients = Vec::new();
    for name in ["a", "b"] {
        clients.push(Client::join(&server, version, name).await);
    }
    clients.push(Client::connect(&server, &kept(version, "c")).await);
    let (broker, _files) = server.into_broker();
    let stop = broker.shutdown(DEADLINE);
    let farewells = async {
        for client in &mut clients {
            client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        }
        clients.clear();
    };
    let (left, ()) = in_time("the broker to stop", async { tokio::join!(stop, farewells) }).await;
    assert_eq!(left, 0);
}

/// Somebody who has connected but not said anything holds up no shutdown.
async fn a_server_that_stops_waits_for_no_connect(version: Version) {
    let server = Setup::new().limits(|limits| limits.connect_timeout_seconds = 3600).start().await;
    let mut silent = Client::open(&server, version).await;
    let mut slow = Client::open(&server, version).await;
    slow.send([0x10]).await;
    server.until_accepted(2).await;
    let refused = server.metrics_handle();
    let (broker, _files) = server.into_broker();
    let stop = broker.shutdown(Duration::from_secs(3600));
    let ends = async {
        silent.expect_end().await;
        while slow.next().await.is_some() {}
    };
    let (left, ()) = in_time("the broker to stop", async { tokio::join!(stop, ends) }).await;
    assert_eq!(left, 0);
    assert_eq!(refused.connections_refused.of(RefusalReason::Shutdown), 2);
}

/// A connection that is closed with unread bytes is reset, and a reset takes what is on its way with it: so the broker
/// reads on until the client has heard it.
async fn the_reason_arrives_although_more_was_sent(version: Version) {
    let server = Setup::new().limits(|limits| limits.packet_bytes = 100_000).start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    let mut publisher = Client::join(&server, version, "p").await;
    let payload = "x".repeat(90_000);
    for _ in 0..10 {
        publisher.publish(QoS::AtMostOnce, message("t", &payload)).await;
    }
    // Let the messages leave for the client, which does not read them yet.
    server.until_sent(10).await;
    client.send(message("t", &"x".repeat(500_000))).await;
    for _ in 0..10 {
        client.take(&payload).await;
    }
    client.expect_disconnect(ReasonCode::PacketTooLarge).await;
}

async fn the_reason_arrives_through_tls_too(version: Version) {
    let pki = Pki::new();
    let setup = Setup::new().tls(pki.server(false));
    let server = setup.limits(|limits| limits.packet_bytes = 1000).start().await;
    for tls in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = pki.trusting(tls, None);
        let mut client = crate::support::dial_and_connect(&server, &config, &clean(version, "a")).await;
        client.send(message("t", &"x".repeat(500_000))).await;
        client.expect_disconnect(ReasonCode::PacketTooLarge).await;
    }
}

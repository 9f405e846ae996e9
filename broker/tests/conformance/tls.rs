//! MQTT over TLS: both versions of it, trust in both directions, and what the log says when there is none.

use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{QoS, ReasonCode, Version};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use crate::support::{Client, Log, Pki, Server, Setup, clean, dial, dial_and_connect, message, until};

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

scenarios! {
    every {
        messages_of_every_size_go_through,
        a_violation_is_told_through_tls,
        a_will_is_published_when_the_stream_ends,
    }
    v5 {
        a_client_that_does_not_trust_the_server_is_logged_with_a_hint,
        a_client_certificate_can_be_required,
        a_client_that_speaks_no_tls_is_logged_with_a_hint,
        a_handshake_must_come_in_time,
        handshakes_wait_for_their_turn_and_not_for_each_other,
    }
}

async fn server(pki: &Pki, require_certificate: bool) -> Server {
    Setup::new().tls(pki.server(require_certificate)).start().await
}

async fn messages_of_every_size_go_through(version: Version) {
    let pki = Pki::new();
    let server = server(&pki, false).await;
    for tls in BOTH {
        let config = pki.trusting(tls, None);
        let mut client = dial_and_connect(&server, &config, &clean(version, "a")).await;
        client.subscribe("t", QoS::AtLeastOnce).await;
        for size in [0, 1, 16_384, 100_000, 1_000_000] {
            let payload = "x".repeat(size);
            client.send(message("t", &payload)).await;
            client.take(&payload).await;
        }
        client.leave().await;
    }
}

/// [MQTT-4.13.1-1]
async fn a_violation_is_told_through_tls(version: Version) {
    let pki = Pki::new();
    let server = server(&pki, false).await;
    for tls in BOTH {
        let mut client = dial_and_connect(&server, &pki.trusting(tls, None), &clean(version, "a")).await;
        client.send([0x36]).await;
        client.expect_disconnect(ReasonCode::MalformedPacket).await;
    }
}

/// [MQTT-3.1.2-8]: with close_notify or without.
async fn a_will_is_published_when_the_stream_ends(version: Version) {
    let pki = Pki::new();
    let server = server(&pki, false).await;
    let mut connect = clean(version, "a");
    connect.will = Some(crate::support::will("will", "gone"));
    let mut watcher = dial_and_connect(&server, &pki.trusting(&TLS13, None), &clean(version, "w")).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    for tls in BOTH {
        let config = pki.trusting(tls, None);
        dial_and_connect(&server, &config, &connect).await.break_off().await;
        watcher.take("gone").await;
        drop(dial_and_connect(&server, &config, &connect).await);
        watcher.take("gone").await;
    }
}

async fn a_client_that_does_not_trust_the_server_is_logged_with_a_hint(version: Version) {
    let pki = Pki::new();
    for tls in BOTH {
        let log = Log::capture();
        let server = server(&pki, false).await;
        let refused = dial(&server, &pki.doubting(tls), version).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("UnknownIssuer")));
        until("the refusal", || server.refused(RefusalReason::TlsHandshake) == 1).await;
        assert_eq!(server.metrics().tls_handshake_failures.get(), 1);
        let warnings = log.warnings();
        let [line] = warnings.as_slice() else { panic!("{warnings:#?}") };
        assert!(line.message.contains("TLS handshake"), "{line:?}");
        assert!(line.message.contains("give it the CA file"), "no hint: {line:?}");
    }
}

/// In TLS 1.3 the client learns of it only after its own handshake is done.
async fn a_client_certificate_can_be_required(version: Version) {
    let pki = Pki::new();
    for tls in BOTH {
        let log = Log::capture();
        let server = server(&pki, true).await;
        let config = pki.trusting(tls, Some(&pki.client));
        dial_and_connect(&server, &config, &clean(version, "a")).await.ping().await;
        assert!(log.warnings().is_empty());
        for (identity, hint) in [(None, "shows no certificate"), (Some(&pki.impostor), "TLS handshake")] {
            let before = server.refused(RefusalReason::TlsHandshake);
            if let Ok(mut client) = dial(&server, &pki.trusting(tls, identity), version).await {
                client.expect_no_service().await;
            }
            until("the refusal", || server.refused(RefusalReason::TlsHandshake) == before + 1).await;
            let line = log.warnings().pop().unwrap();
            assert!(line.message.contains(hint), "{line:?}");
        }
        assert_eq!(log.warnings().len(), 2);
    }
}

async fn a_client_that_speaks_no_tls_is_logged_with_a_hint(version: Version) {
    let pki = Pki::new();
    let log = Log::capture();
    let server = server(&pki, false).await;
    let mut client = Client::open(&server, version).await;
    client.send(clean(version, "a")).await;
    client.expect_no_service().await;
    let address = client.address;
    until("the refusal", || server.refused(RefusalReason::TlsHandshake) == 1).await;
    let line = log.only_warning("-", "-", address);
    assert!(line.contains("does not speak TLS"), "{line}");
}

async fn a_handshake_must_come_in_time(version: Version) {
    let pki = Pki::new();
    let setup = Setup::new().tls(pki.server(false));
    let server = setup.limits(|limits| limits.connect_timeout_seconds = 1).start().await;
    let mut client = Client::open(&server, version).await;
    client.expect_end().await;
    until("the refusal", || server.refused(RefusalReason::ConnectTimeout) == 1).await;
}

/// More than there are turns, with somebody among them who begins and does not go on: all come in at once.
async fn handshakes_wait_for_their_turn_and_not_for_each_other(version: Version) {
    const CLIENTS: usize = 100;
    let pki = Pki::new();
    let setup = Setup::new().tls(pki.server(false)).limits(|limits| limits.tls_handshakes = 1);
    let server = setup.start().await;
    let mut silent = Client::open(&server, version).await;
    // The head of a record that is not there yet.
    silent.send(&b"\x16\x03\x01\x01\x00"[..]).await;
    server.until_accepted(1).await;
    let config = pki.trusting(&TLS13, None);
    let mut all = tokio::task::JoinSet::new();
    let server = std::sync::Arc::new(server);
    for number in 0..CLIENTS {
        let (server, config) = (std::sync::Arc::clone(&server), config.clone());
        all.spawn(async move {
            let mut client = dial(&server, &config, version).await.unwrap();
            client.send(clean(version, &number.to_string())).await;
            assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
            client
        });
    }
    let inside = crate::support::in_time("all clients", all.join_all()).await;
    assert_eq!(inside.len(), CLIENTS);
    assert_eq!(server.metrics().connections_pending.get(), 1);
}

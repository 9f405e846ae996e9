//! Keep-alive over real time, as little of it as possible. The session's own tests have the rest.

use gaugeline_broker::metrics::CloseReason;
use gaugeline_protocol::{ReasonCode, Version, packet::Connect};

use crate::support::{Client, Server, clean};

scenarios! {
    every { a_silent_client_is_cut_off_and_a_pinging_one_is_not }
}

/// [MQTT-3.1.2-22], [MQTT-3.12.4-1]
async fn a_silent_client_is_cut_off_and_a_pinging_one_is_not(version: Version) {
    let server = Server::start().await;
    let brief = |name: &str| Connect { keep_alive_seconds: 1, ..clean(version, name) };
    let mut silent = Client::connect(&server, &brief("silent")).await;
    let mut pinging = Client::connect(&server, &brief("pinging")).await;
    let mut without = Client::join(&server, version, "without").await;
    let pings = async {
        loop {
            pinging.ping().await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        () = silent.expect_disconnect(ReasonCode::KeepAliveTimeout) => {}
        () = pings => {}
    }
    assert_eq!(server.closed(CloseReason::KeepAliveTimeout), 1);
    pinging.ping().await;
    without.ping().await;
}

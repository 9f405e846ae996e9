//! MQTT over WebSocket: the handshake and what is refused in it, frames however they are cut, and how it ends.

use bytes::{Bytes, BytesMut};
use gaugeline_broker::{
    config::{Application, Protocol, TlsConfig, WebSocketConfig},
    metrics::{CloseReason, RefusalReason},
};
use gaugeline_protocol::{QoS, ReasonCode, Version, packet::PingReq};
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{
    Client, Log, Pki, Server, Setup, clean, message, until,
    websocket::{BINARY, CLOSE, CONTINUATION, PING, PONG, SUBPROTOCOL, Socket, TEXT, request},
    will,
};

scenarios! {
    every {
        messages_of_every_size_go_through_frames_of_every_size,
        packets_may_span_frames_and_fragments,
        pings_are_answered_and_mean_nothing_to_mqtt,
        a_will_is_published_when_the_socket_closes,
    }
    v5 {
        the_subprotocol_is_told,
        what_is_no_websocket_gets_a_helpful_answer,
        only_pages_of_the_origins_may_connect,
        the_request_is_bounded,
        the_request_must_come_in_time,
        a_client_without_websocket_is_logged_with_a_hint,
        a_browser_on_a_plain_listener_is_logged_with_a_hint,
        what_breaks_the_framing_ends_the_connection,
        a_violation_of_mqtt_is_told_before_the_close,
        it_goes_through_tls_under_its_own_name,
    }
}

fn setup(change: impl FnOnce(&mut WebSocketConfig)) -> Setup {
    let mut config = WebSocketConfig::default();
    change(&mut config);
    Setup::new().listener(|listener| listener.protocol = Protocol::WebSocket(config))
}

async fn server() -> Server {
    setup(|_| {}).start().await
}

async fn join(server: &Server, version: Version, frame_bytes: usize) -> Client {
    let mut client = Socket::open(server).await.into_client(version, frame_bytes);
    client.send(clean(version, "a")).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client
}

fn encoded(version: Version, packet: impl crate::support::Encode) -> Bytes {
    let mut bytes = BytesMut::new();
    packet.put(version, &mut bytes);
    bytes.freeze()
}

async fn messages_of_every_size_go_through_frames_of_every_size(version: Version) {
    let server = server().await;
    for frame_bytes in [1, 100, 70_000] {
        let mut client = join(&server, version, frame_bytes).await;
        client.subscribe("t", QoS::AtLeastOnce).await;
        for size in [0, 1, 125, 126, 4096, 65_535, 65_536, 300_000] {
            let payload = "x".repeat(size / if frame_bytes == 1 { 100 } else { 1 });
            client.send(message("t", &payload)).await;
            client.take(&payload).await;
        }
        client.leave().await;
    }
}

/// [MQTT-6.0.0-2]
async fn packets_may_span_frames_and_fragments(version: Version) {
    let server = server().await;
    let mut socket = Socket::open(&server).await;
    let connect = encoded(version, clean(version, "a"));
    let (begin, end) = connect.split_at(3);
    socket.send(BINARY, false, begin).await;
    socket.send(PING, true, b"").await;
    socket.send(CONTINUATION, false, b"").await;
    // The end of one packet and two more, in one frame.
    let pings = encoded(version, (PingReq, PingReq));
    socket.send(CONTINUATION, true, &[end, &pings].concat()).await;
    assert_eq!(socket.next().await.unwrap().0, PONG);
    let mut expected = 2;
    let (mut answers, mut connack) = (0, false);
    while expected > 0 {
        let (opcode, payload) = socket.next().await.unwrap();
        assert_eq!(opcode, BINARY);
        connack |= payload.starts_with(&[0x20]);
        let found = payload.windows(2).filter(|pair| *pair == [0xd0, 0]).count();
        answers += found;
        expected -= found;
    }
    assert!(connack && answers == 2);
}

async fn pings_are_answered_and_mean_nothing_to_mqtt(version: Version) {
    let server = server().await;
    let mut socket = Socket::open(&server).await;
    socket.send(PING, true, b"before CONNECT").await;
    assert_eq!(socket.next().await, Some((PONG, Bytes::from_static(b"before CONNECT"))));
    socket.send(BINARY, true, &encoded(version, clean(version, "a"))).await;
    assert_eq!(socket.next().await.unwrap().0, BINARY);
    for payload in [&b""[..], b"1", &[9; 125]] {
        socket.send(PONG, true, b"nobody asked").await;
        socket.send(PING, true, payload).await;
        assert_eq!(socket.next().await, Some((PONG, Bytes::copy_from_slice(payload))));
    }
    assert_eq!(server.metrics().connections_open.get(), 1);
}

async fn a_will_is_published_when_the_socket_closes(version: Version) {
    let server = server().await;
    let mut watcher = join(&server, version, 100).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let mut connect = clean(version, "b");
    connect.will = Some(will("will", "gone"));
    for code in [&[][..], &[0x03, 0xe8, b'!']] {
        let mut socket = Socket::open(&server).await;
        socket.send(BINARY, true, &encoded(version, connect.clone())).await;
        assert_eq!(socket.next().await.unwrap().0, BINARY);
        socket.send(CLOSE, true, code).await;
        let (opcode, payload) = socket.next().await.unwrap();
        assert_eq!((opcode, payload.as_ref()), (CLOSE, code.get(..2).unwrap_or_default()));
        assert_eq!(socket.next().await, None);
        watcher.take("gone").await;
    }
}

/// [MQTT-6.0.0-3], [MQTT-6.0.0-4]
async fn the_subprotocol_is_told(_: Version) {
    let server = server().await;
    for (offered, chosen) in [
        ("Sec-WebSocket-Protocol: mqtt\r\n", "mqtt"),
        ("Sec-WebSocket-Protocol: mqttv3.1\r\n", "mqttv3.1"),
        ("sec-websocket-protocol: mqttv3.1,chat , mqtt\r\n", "mqtt"),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqttv3.1\r\n", "mqttv3.1"),
    ] {
        let answer = Socket::dial(&server).await.shake_hands(&request(offered)).await.unwrap();
        let answer = answer.to_lowercase();
        assert!(answer.contains(&format!("\r\nsec-websocket-protocol: {chosen}\r\n")), "{answer}");
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
    }
}

async fn what_is_no_websocket_gets_a_helpful_answer(_: Version) {
    let good = request(SUBPROTOCOL);
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "426 Upgrade Required"),
        (good.replace("GET", "POST"), "405 Method Not Allowed"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), "505 HTTP Version Not Supported"),
        (good.replace("Version: 13", "Version: 8"), "426 Upgrade Required"),
        (good.replace("dGhl", "!!"), "400 Bad Request"),
        (good.replace("Host: localhost", "no header"), "400 Bad Request"),
        (format!("{good}x"), "400 Bad Request"),
        (request(""), "400 Bad Request"),
        (request("Sec-WebSocket-Protocol: MQTT, mqtt5\r\n"), "400 Bad Request"),
    ];
    for (sent, status) in &cases {
        let server = server().await;
        let log = Log::capture();
        let mut socket = Socket::dial(&server).await;
        let answer = socket.shake_hands(sent).await.unwrap_err();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{sent}{answer}");
        let address = socket.address;
        until("the refusal", || server.refused(RefusalReason::WebSocketHandshake) == 1).await;
        let line = log.only_warning("-", "-", address);
        assert!(line.contains("WebSocket handshake") && line.contains(status), "{line}");
    }
}

async fn only_pages_of_the_origins_may_connect(_: Version) {
    let allowed = ["https://example.org".to_owned(), "http://localhost:8000".to_owned()];
    let server = setup(|config| config.origins = allowed.to_vec()).start().await;
    for (origin, accepted) in [
        ("", true),
        ("Origin: https://example.org\r\n", true),
        ("origin: HTTP://LocalHost:8000\r\n", true),
        ("Origin: https://example.org.evil.example\r\n", false),
        ("Origin: https://example.org:444\r\n", false),
        ("Origin: null\r\n", false),
        ("Origin: https://example.org\r\nOrigin: https://evil.example\r\n", false),
    ] {
        let sent = request(&format!("{SUBPROTOCOL}{origin}"));
        match Socket::dial(&server).await.shake_hands(&sent).await {
            Ok(_) => assert!(accepted, "{origin}"),
            Err(answer) => assert!(!accepted && answer.starts_with("HTTP/1.1 403 "), "{origin}{answer}"),
        }
    }
    until("the refusals", || server.refused(RefusalReason::Origin) == 4).await;
}

async fn the_request_is_bounded(_: Version) {
    let server = setup(|config| config.header_bytes_max = 1000).start().await;
    for (cookie, accepted) in [(700, true), (1000, false), (100_000, false)] {
        let sent = request(&format!("{SUBPROTOCOL}Cookie: {}\r\n", "x".repeat(cookie)));
        match Socket::dial(&server).await.shake_hands(&sent).await {
            Ok(_) => assert!(accepted, "{cookie}"),
            Err(answer) => assert!(!accepted && answer.starts_with("HTTP/1.1 431 "), "{cookie} {answer}"),
        }
    }
}

async fn the_request_must_come_in_time(_: Version) {
    let server = setup(|_| {}).limits(|limits| limits.connect_timeout_seconds = 1).start().await;
    let mut silent = Socket::dial(&server).await;
    silent.send_bytes(b"GET / HTTP/1.1\r\nHost: ").await;
    assert_eq!(silent.next().await, None);
    let mut opened = Socket::open(&server).await;
    // Nothing but CONNECT counts.
    opened.send(PING, true, b"").await;
    assert_eq!(opened.next().await.unwrap().0, PONG);
    assert_eq!(opened.next().await, None);
    until("the refusals", || server.refused(RefusalReason::ConnectTimeout) == 2).await;
}

async fn a_client_without_websocket_is_logged_with_a_hint(version: Version) {
    let log = Log::capture();
    let server = server().await;
    let mut client = Client::open_and_send(&server, &clean(version, "a")).await;
    client.expect_no_service().await;
    until("the refusal", || server.refused(RefusalReason::WebSocketHandshake) == 1).await;
    let line = log.only_warning("-", "-", client.address);
    assert!(line.contains("does not speak WebSocket"), "{line}");
}

async fn a_browser_on_a_plain_listener_is_logged_with_a_hint(_: Version) {
    let log = Log::capture();
    let server = Server::start().await;
    let mut socket = Socket::dial(&server).await;
    socket.send_bytes(request(SUBPROTOCOL).as_bytes()).await;
    until("the refusal", || server.refused(RefusalReason::MalformedConnect) == 1).await;
    let line = log.only_warning("-", "-", socket.address);
    assert!(line.contains("protocol = \"websocket\""), "{line}");
}

/// [MQTT-6.0.0-1]
async fn what_breaks_the_framing_ends_the_connection(version: Version) {
    let server = server().await;
    let connect = encoded(version, clean(version, "a"));
    let masked = |opcode, is_final| crate::support::websocket::frame(opcode, is_final, &connect);
    for (bytes, code) in [
        (masked(TEXT, true), CloseCode::Unsupported),
        (vec![0x82, 0x02, 0xc0, 0], CloseCode::Protocol),
        (masked(CONTINUATION, true), CloseCode::Protocol),
        ([&[0x82, 0xff, 0xff][..], &[0; 11]].concat(), CloseCode::Protocol),
        (masked(PING, false), CloseCode::Protocol),
    ] {
        for connected in [false, true] {
            let mut socket = Socket::open(&server).await;
            if connected {
                socket.send(BINARY, true, &connect).await;
                assert_eq!(socket.next().await.unwrap().0, BINARY);
            }
            socket.send_bytes(&bytes).await;
            socket.expect_close(code).await;
        }
    }
    until("the ends", || server.closed(CloseReason::ConnectionLost) == 5).await;
}

/// [MQTT-4.13.1-1]
async fn a_violation_of_mqtt_is_told_before_the_close(version: Version) {
    let server = server().await;
    let mut socket = Socket::open(&server).await;
    socket.send(BINARY, true, &encoded(version, clean(version, "a"))).await;
    assert_eq!(socket.next().await.unwrap().0, BINARY);
    socket.send(BINARY, true, &[0x36]).await;
    let (opcode, payload) = socket.next().await.unwrap();
    assert_eq!((opcode, payload.as_ref()), (BINARY, &[0xe0, 1, 0x81][..]));
    socket.expect_close(CloseCode::Normal).await;
}

/// Browsers offer `http/1.1` to a wss URL, and MQTT clients `mqtt` to a listener without WebSocket; each must be heard
/// [RFC 7301, section 3.2].
async fn it_goes_through_tls_under_its_own_name(version: Version) {
    let pki = Pki::new();
    let tls = TlsConfig { application: Application::WebSocket, ..pki.server(false) };
    let server = setup(|_| {}).tls(tls).start().await;
    for (offered, heard) in
        [(&[][..], true), (&[&b"http/1.1"[..]], true), (&[b"h2", b"http/1.1"], true), (&[b"mqtt"], false)]
    {
        let mut config = (*pki.trusting(&TLS13, None)).clone();
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let address = stream.local_addr().unwrap();
        let connector = TlsConnector::from(std::sync::Arc::new(config));
        let Ok(stream) = connector.connect("localhost".try_into().unwrap(), stream).await else {
            assert!(!heard, "{offered:?}");
            continue;
        };
        assert!(heard, "{offered:?}");
        let mut socket = Socket::over(stream, address);
        socket.shake_hands(&request(SUBPROTOCOL)).await.unwrap();
        let mut client = socket.into_client(version, 1000);
        client.send(clean(version, "a")).await;
        assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
        client.subscribe("t", QoS::AtMostOnce).await;
        let payload = "x".repeat(200_000);
        client.send(message("t", &payload)).await;
        client.take(&payload).await;
        client.leave().await;
    }
}

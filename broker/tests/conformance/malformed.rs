//! Input that breaks the rules, in the middle of input that does not.

use gaugeline_broker::metrics::CloseReason;
use gaugeline_protocol::{PacketId, QoS, ReasonCode, Version, packet::AckType};

use crate::support::{Client, Log, Server, at, message};

scenarios! {
    every {
        what_came_before_a_violation_counts,
        a_violation_is_logged_once,
        packets_may_come_in_pieces,
        many_packets_may_come_at_once,
        an_end_within_a_packet_is_a_loss,
    }
    v3 { violations_end_the_connection }
    v5 { violations_end_the_connection_with_their_reason }
}

/// Wrong in every version, with the reason that MQTT 5 gives.
const WRONG: &[(&str, &[u8], ReasonCode)] = &[
    ("[MQTT-3.3.1-4] QoS 3", &[0x36], ReasonCode::MalformedPacket),
    ("[MQTT-3.3.1-2] DUP at QoS 0", &[0x38], ReasonCode::ProtocolError),
    ("[MQTT-2.1.3-1] flags of SUBSCRIBE", &[0x80], ReasonCode::MalformedPacket),
    ("[MQTT-2.1.3-1] flags of PINGREQ", &[0xC1], ReasonCode::MalformedPacket),
    ("the reserved packet type 0", &[0x00], ReasonCode::MalformedPacket),
    ("a length of five bytes", &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], ReasonCode::MalformedPacket),
    ("a PINGREQ with content", &[0xC0, 1, 0], ReasonCode::MalformedPacket),
    ("[MQTT-1.5.4-1] a topic that is not UTF-8", &[0x30, 4, 0, 1, 0xFF, 0], ReasonCode::MalformedPacket),
    ("[MQTT-1.5.4-2] U+0000 in a topic", &[0x30, 4, 0, 1, 0, 0], ReasonCode::MalformedPacket),
    ("[MQTT-3.3.2-2] a wildcard in a topic", &[0x30, 4, 0, 1, b'+', 0], ReasonCode::TopicNameInvalid),
    ("[MQTT-4.7.3-1] an empty topic", &[0x30, 3, 0, 0, 0], ReasonCode::ProtocolError),
    ("a topic over the end", &[0x30, 3, 0, 9, b't'], ReasonCode::MalformedPacket),
    ("[MQTT-2.2.1-3] packet id 0", &[0x32, 6, 0, 1, b't', 0, 0, 0], ReasonCode::ProtocolError),
];

const WRONG_IN_V5: &[(&str, &[u8], ReasonCode)] = &[
    (
        "[MQTT-3.3.4-6] a subscription id from a client",
        &[0x30, 6, 0, 1, b't', 2, 0x0B, 1],
        ReasonCode::ProtocolError,
    ),
    ("an unknown property", &[0x30, 6, 0, 1, b't', 2, 0x7F, 1], ReasonCode::MalformedPacket),
    ("a property of CONNECT", &[0x30, 6, 0, 1, b't', 2, 0x17, 1], ReasonCode::MalformedPacket),
    ("a property twice", &[0x30, 8, 0, 1, b't', 4, 1, 0, 1, 0], ReasonCode::ProtocolError),
    ("[MQTT-3.8.3-5] reserved options", &[0x82, 7, 0, 1, 0, 0, 1, b't', 0x40], ReasonCode::MalformedPacket),
    ("QoS 3 in options", &[0x82, 7, 0, 1, 0, 0, 1, b't', 3], ReasonCode::ProtocolError),
    ("[MQTT-3.8.3-2] no filters", &[0x82, 3, 0, 1, 0], ReasonCode::ProtocolError),
    (
        "[MQTT-4.7.1-1] a misplaced #",
        &[0x82, 8, 0, 1, 0, 0, 2, b'#', b'a', 0],
        ReasonCode::TopicFilterInvalid,
    ),
    ("subscription id 0", &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b't', 0], ReasonCode::ProtocolError),
    ("a DISCONNECT for a reason of CONNACK", &[0xE0, 1, 0x85], ReasonCode::ProtocolError),
    ("[MQTT-1.5.5-1] a length with a byte too many", &[0xC0, 0x80, 0], ReasonCode::MalformedPacket),
];

const WRONG_IN_V3: &[(&str, &[u8])] = &[
    ("AUTH", &[0xF0, 0]),
    ("[MQTT-3.8.3-3] no filters", &[0x82, 2, 0, 1]),
    ("[MQTT-3.8.3-4] reserved options", &[0x82, 6, 0, 1, 0, 1, b't', 4]),
    ("[MQTT-4.7.1-2] a misplaced #", &[0x82, 7, 0, 1, 0, 2, b'#', b'a', 0]),
    ("a DISCONNECT with content", &[0xE0, 1, 0]),
];

/// [MQTT-4.13.1-1]
async fn violations_end_the_connection_with_their_reason(version: Version) {
    let server = Server::start().await;
    for (what, bytes, reason) in WRONG.iter().chain(WRONG_IN_V5) {
        println!("{what}");
        let mut client = Client::join(&server, version, "a").await;
        client.send(*bytes).await;
        client.expect_disconnect(*reason).await;
    }
}

/// [MQTT-4.8.0-1] of MQTT 3.1.1
async fn violations_end_the_connection(version: Version) {
    let server = Server::start().await;
    let wrong = WRONG.iter().map(|(what, bytes, _)| (*what, *bytes));
    for (what, bytes) in wrong.chain(WRONG_IN_V3.iter().copied()) {
        println!("{what}");
        let mut client = Client::join(&server, version, "a").await;
        client.send(bytes).await;
        client.expect_end().await;
    }
}

/// Earlier packets of the same write are routed and acknowledged; later ones are not.
async fn what_came_before_a_violation_counts(version: Version) {
    let server = Server::start().await;
    let mut subscriber = Client::join(&server, version, "s").await;
    subscriber.subscribe("t", QoS::AtLeastOnce).await;
    let mut client = Client::join(&server, version, "a").await;
    let id = |id| PacketId::new(id).unwrap();
    let before = vec![
        at(QoS::AtLeastOnce, 1, message("t", "1")),
        at(QoS::AtLeastOnce, 2, message("t", "2")),
        at(QoS::ExactlyOnce, 3, message("t", "3")),
        message("t", "4"),
    ];
    client.send(((before, [0x36, 0]), message("t", "never"))).await;
    client.expect_ack(AckType::PubAck, id(1)).await;
    client.expect_ack(AckType::PubAck, id(2)).await;
    client.expect_ack(AckType::PubRec, id(3)).await;
    client.expect_disconnect(ReasonCode::MalformedPacket).await;
    for payload in ["1", "2", "3", "4"] {
        subscriber.take(payload).await;
    }
    subscriber.expect_silence().await;
    assert_eq!(server.closed(CloseReason::ProtocolError), 1);
}

async fn a_violation_is_logged_once(version: Version) {
    let log = Log::capture();
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.send([0x36, 0, 0x36, 0]).await;
    client.expect_disconnect(ReasonCode::MalformedPacket).await;
    let line = log.only_warning("a", "-", client.address);
    assert!(line.contains("QoS 3") && line.contains("0x81"), "{line}");
}

async fn packets_may_come_in_pieces(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    for size in [3, 200, 70_000, 300_000] {
        let payload = "x".repeat(size);
        let mut bytes = bytes::BytesMut::new();
        message("t", &payload).encode(version, &mut bytes).unwrap();
        for piece in bytes.chunks(bytes.len() / 7 + 1) {
            client.send(piece).await;
            // The broker reads what is there before the next piece comes.
            tokio::task::yield_now().await;
        }
        client.take(&payload).await;
    }
}

async fn many_packets_may_come_at_once(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.subscribe("t", QoS::AtMostOnce).await;
    let texts = (0..5000).map(|number| format!("{number:060}")).collect::<Vec<_>>();
    client.send(texts.iter().map(|text| message("t", text)).collect::<Vec<_>>()).await;
    for text in &texts {
        client.take(text).await;
    }
}

async fn an_end_within_a_packet_is_a_loss(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.send([0x30, 100, 0, 1, b't']).await;
    client.break_off().await;
    server.until_empty().await;
    assert_eq!(server.closed(CloseReason::ConnectionLost), 1);
}

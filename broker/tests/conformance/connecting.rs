//! CONNECT, CONNACK and who gets how far.

use bytes::Bytes;
use gaugeline_broker::metrics::RefusalReason;
use gaugeline_protocol::{
    QoS, ReasonCode, Version,
    packet::{
        Auth, ConnAck, ConnAckProperties, Connect, ConnectProperties, Packet, PingReq, SubAck, Subscribe,
        Will,
    },
};

use crate::support::{
    Client, Encode, Log, Server, Setup, clean, filter, in_time, kept, message, until, will,
};

scenarios! {
    every {
        a_second_connect_ends_the_connection,
        the_first_packet_must_be_connect,
        what_follows_connect_at_once_is_handled,
        connect_may_come_byte_by_byte,
        what_only_a_server_sends_ends_the_connection,
        connect_must_come_in_time,
        an_oversized_connect_ends_the_connection,
        a_malformed_connect_is_refused,
        the_limit_of_connections_holds,
        the_limit_of_connections_from_one_address_holds,
        at_the_limit_of_sessions_known_clients_still_come_in,
        nothing_after_a_refused_connect_is_handled,
    }
    v31 { an_empty_client_id_is_refused, the_lowest_connect_flag_is_ignored }
    v311 {
        an_empty_client_id_needs_a_clean_session,
        connack_has_no_properties,
    }
    since_311 { the_reserved_connect_flag_must_be_zero, an_empty_client_id_is_replaced }
    v5 {
        unsupported_levels_are_answered_in_their_own_way,
        connack_tells_the_limits,
        an_assigned_client_id_names_the_session,
        enhanced_authentication_is_refused,
        auth_without_a_method_ends_the_connection,
        the_server_may_choose_the_keep_alive,
        a_shorter_session_expiry_is_told,
    }
}

/// [MQTT-3.1.0-2]
async fn a_second_connect_ends_the_connection(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client.send(clean(version, "a")).await;
    client.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// [MQTT-3.1.0-1]
async fn the_first_packet_must_be_connect(version: Version) {
    let log = Log::capture();
    let server = Server::start().await;
    for bytes in [
        &[0xC0, 0][..],
        &[0x30, 4, 0, 1, b't', b'x'],
        &[0xE0, 0],
        &[0x00],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1],
    ] {
        let mut client = Client::open(&server, version).await;
        client.send(bytes).await;
        client.expect_end().await;
    }
    assert_eq!(server.refused(RefusalReason::MalformedConnect), 6);
    for cause in ["(the client speaks HTTP;", "(the client speaks TLS on a port without it)"] {
        assert!(log.warnings().iter().any(|line| line.message.contains(cause)), "{cause}");
    }
}

/// [MQTT 5.0, section 3.1.4; MQTT 3.1.1, section 3.1.4]: clients need not wait for CONNACK.
async fn what_follows_connect_at_once_is_handled(version: Version) {
    let server = Server::start().await;
    let mut client = Client::open(&server, version).await;
    let packet_id = client.packet_id();
    let filters = vec![filter("t", QoS::AtMostOnce)];
    let subscribe = Subscribe { packet_id, id: None, filters, user_properties: vec![] };
    client.send(((clean(version, "a"), subscribe), message("t", "early"))).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client.expect(Packet::SubAck(SubAck::new(packet_id, vec![ReasonCode::Success]))).await;
    client.take("early").await;
}

async fn connect_may_come_byte_by_byte(version: Version) {
    let server = Server::start().await;
    let mut client = Client::open(&server, version).await;
    let mut bytes = bytes::BytesMut::new();
    (clean(version, "a"), PingReq).put(version, &mut bytes);
    for byte in bytes {
        client.send([byte]).await;
    }
    assert_eq!(client.expect_connack().await.reason, ReasonCode::Success);
    client.expect(Packet::PingResp).await;
}

async fn what_only_a_server_sends_ends_the_connection(version: Version) {
    let server = Server::start().await;
    let connack = if version.is_v5() { &[0x20, 3, 0, 0, 0][..] } else { &[0x20, 2, 0, 0] };
    for bytes in [connack, &[0xD0, 0]] {
        let mut client = Client::join(&server, version, "a").await;
        client.send(bytes).await;
        client.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

async fn connect_must_come_in_time(version: Version) {
    let server = Setup::new().limits(|limits| limits.connect_timeout_seconds = 1).start().await;
    let mut silent = Client::open(&server, version).await;
    let mut slow = Client::open(&server, version).await;
    slow.send([0x10]).await;
    silent.expect_end().await;
    in_time("the second end", async { while slow.next().await.is_some() {} }).await;
    until("both to be counted", || server.refused(RefusalReason::ConnectTimeout) == 2).await;
}

async fn an_oversized_connect_ends_the_connection(version: Version) {
    let server = Setup::new().limits(|limits| limits.connect_packet_bytes = 128).start().await;
    Client::connect(&server, &clean(version, "fits")).await;
    let mut client = Client::open(&server, version).await;
    let long = Will { payload: Bytes::from(vec![0; 200]), ..will("t", "") };
    client.send(Connect { will: Some(long), ..clean(version, "a") }).await;
    if version.is_v5() {
        assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::PacketTooLarge, false));
    }
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::MalformedConnect), 1);
}

/// [MQTT-3.1.4-1], [MQTT-3.1.4-2]: MQTT 3 has no code for it, so those clients are only cut off.
async fn a_malformed_connect_is_refused(version: Version) {
    let server = Server::start().await;
    let mut bytes = bytes::BytesMut::new();
    clean(version, "ab").put(version, &mut bytes);
    *bytes.last_mut().unwrap() = 0xFF;
    let mut client = Client::open(&server, version).await;
    client.send(&bytes[..]).await;
    if version.is_v5() {
        assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::MalformedPacket, false));
    }
    client.expect_end().await;
}

async fn the_limit_of_connections_holds(version: Version) {
    let server = Setup::new().limits(|limits| limits.connections = 1).start().await;
    let first = Client::join(&server, version, "a").await;
    Client::open(&server, version).await.expect_end().await;
    assert_eq!(server.refused(RefusalReason::TooManyConnections), 1);
    first.leave().await;
    server.until_empty().await;
    Client::join(&server, version, "b").await;
}

async fn the_limit_of_connections_from_one_address_holds(version: Version) {
    let server = Setup::new().limits(|limits| limits.connections_per_address = 1).start().await;
    let _first = Client::join(&server, version, "a").await;
    Client::open(&server, version).await.expect_end().await;
    assert_eq!(server.refused(RefusalReason::TooManyFromAddress), 1);
}

async fn at_the_limit_of_sessions_known_clients_still_come_in(version: Version) {
    let server = Setup::new().limits(|limits| limits.sessions = 2).start().await;
    let _online = Client::join(&server, version, "online").await;
    Client::connect(&server, &kept(version, "offline")).await.leave().await;
    server.until_online(1).await;
    let (mut stranger, answer) = Client::try_connect(&server, &clean(version, "stranger")).await;
    let expected = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
    assert_eq!(answer, ConnAck::new(expected, false));
    stranger.expect_end().await;
    // A parked session and an occupied one are no new sessions.
    Client::connect(&server, &kept(version, "offline")).await;
    Client::connect(&server, &clean(version, "online")).await;
}

/// [MQTT-3.1.4-6]
async fn nothing_after_a_refused_connect_is_handled(version: Version) {
    let server = Setup::new().users(&[("u", "right")]).start().await;
    let mut client = Client::open(&server, version).await;
    client.send((clean(version, "a"), PingReq)).await;
    assert_eq!(client.expect_connack().await.reason, ReasonCode::NotAuthorized);
    client.expect_end().await;
}

/// [MQTT 3.1, section 3.1]
async fn an_empty_client_id_is_refused(version: Version) {
    let server = Server::start().await;
    let (mut client, answer) = Client::try_connect(&server, &clean(version, "")).await;
    assert_eq!(answer, ConnAck::new(ReasonCode::ClientIdentifierNotValid, false));
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::ClientId), 1);
}

/// MQTT 3.1 does not say what the flag means.
async fn the_lowest_connect_flag_is_ignored(version: Version) {
    let server = Server::start().await;
    let mut client = Client::open(&server, version).await;
    client.send(&b"\x10\x0F\0\x06MQIsdp\x03\x03\0\0\0\x01a"[..]).await;
    assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::Success, false));
}

/// [MQTT-3.1.3-7] and [MQTT-3.1.3-8] of MQTT 3.1.1
async fn an_empty_client_id_needs_a_clean_session(version: Version) {
    let server = Server::start().await;
    let (mut client, answer) = Client::try_connect(&server, &kept(version, "")).await;
    assert_eq!(answer, ConnAck::new(ReasonCode::ClientIdentifierNotValid, false));
    client.expect_end().await;
}

async fn connack_has_no_properties(version: Version) {
    let server = Server::start().await;
    let mut client = Client::open(&server, version).await;
    client.send(clean(version, "a")).await;
    assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::Success, false));
}

/// [MQTT-3.1.2-3]
async fn the_reserved_connect_flag_must_be_zero(version: Version) {
    let server = Server::start().await;
    let mut bytes = bytes::BytesMut::new();
    clean(version, "a").put(version, &mut bytes);
    bytes[9] |= 1;
    let mut client = Client::open(&server, version).await;
    client.send(&bytes[..]).await;
    if version.is_v5() {
        assert_eq!(client.expect_connack().await, ConnAck::new(ReasonCode::MalformedPacket, false));
    }
    client.expect_end().await;
}

/// [MQTT-3.1.3-6]: two clients without a name are two clients.
async fn an_empty_client_id_is_replaced(version: Version) {
    let server = Server::start().await;
    let mut one = Client::join(&server, version, "").await;
    let mut other = Client::join(&server, version, "").await;
    one.ping().await;
    other.ping().await;
}

/// [MQTT-3.1.2-2]: what a client of a later version understands, and what one of an older version does.
async fn unsupported_levels_are_answered_in_their_own_way(_: Version) {
    let server = Server::start().await;
    for (bytes, answer) in [
        (&b"\x10\x0E\0\x04MQTT\x06\x02\0\0\0\0\x01a"[..], Some((Version::V5, 0x84))),
        (b"\x10\x0D\0\x04MQTT\x02\x02\0\0\0\x01a", Some((Version::V311, 1))),
        (b"\x10\x0D\0\x04MQTX\x04\x02\0\0\0\x01a", None),
    ] {
        let mut client = Client::open(&server, Version::V311).await;
        client.send(bytes).await;
        if let Some((version, code)) = answer {
            let length = if version.is_v5() { 3 } else { 2 };
            let expected = [&[0x20, length, 0, code][..], if version.is_v5() { &[0] } else { &[] }].concat();
            assert_eq!(client.receive_bytes(expected.len()).await, expected);
        }
        client.expect_end().await;
    }
    assert_eq!(server.refused(RefusalReason::ProtocolVersion), 2);
    assert_eq!(server.refused(RefusalReason::MalformedConnect), 1);
}

/// [MQTT 5.0, section 3.2.2.3]
async fn connack_tells_the_limits(version: Version) {
    let setup = Setup::new().limits(|limits| {
        limits.receive_maximum = 7;
        limits.packet_bytes = 1000;
        limits.topic_alias_maximum = 3;
    });
    let server = setup.start().await;
    let (_client, answer) = Client::try_connect(&server, &clean(version, "a")).await;
    let expected = ConnAckProperties {
        receive_maximum: Some(7.try_into().unwrap()),
        packet_bytes_max: Some(1000.try_into().unwrap()),
        topic_alias_maximum: Some(3),
        ..ConnAckProperties::default()
    };
    assert_eq!(answer, ConnAck { session_present: false, reason: ReasonCode::Success, properties: expected });
}

/// [MQTT-3.1.3-7]: the name can be used to come back to the session.
async fn an_assigned_client_id_names_the_session(version: Version) {
    let server = Server::start().await;
    let (client, answer) = Client::try_connect(&server, &kept(version, "")).await;
    let name = answer.properties.assigned_client_id.unwrap();
    client.leave().await;
    server.until_empty().await;
    let (_client, answer) = Client::try_connect(&server, &kept(version, &name)).await;
    assert!(answer.session_present);
    assert_eq!(answer.properties.assigned_client_id, None);
}

/// [MQTT-4.12.0-1]
async fn enhanced_authentication_is_refused(version: Version) {
    let server = Server::start().await;
    let properties = ConnectProperties {
        authentication_method: Some("SCRAM-SHA-1".to_owned()),
        ..ConnectProperties::default()
    };
    let connect = Connect { properties, ..clean(version, "a") };
    let (mut client, answer) = Client::try_connect(&server, &connect).await;
    assert_eq!(answer, ConnAck::new(ReasonCode::BadAuthenticationMethod, false));
    client.expect_end().await;
    assert_eq!(server.refused(RefusalReason::AuthenticationMethod), 1);
}

/// [MQTT-4.12.0-6]
async fn auth_without_a_method_ends_the_connection(version: Version) {
    let server = Server::start().await;
    let mut client = Client::join(&server, version, "a").await;
    client
        .send(Auth {
            reason: ReasonCode::ReAuthenticate,
            method: Some("x".to_owned()),
            data: None,
            reason_string: None,
            user_properties: vec![],
        })
        .await;
    client.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// [MQTT-3.2.2-21], [MQTT-3.2.2-22]
async fn the_server_may_choose_the_keep_alive(version: Version) {
    let server = Setup::new().limits(|limits| limits.keep_alive_max_seconds = 60).start().await;
    for (asked, expected) in [(0, Some(60)), (61, Some(60)), (60, None), (1, None)] {
        let connect = Connect { keep_alive_seconds: asked, ..clean(version, "a") };
        let (_client, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.properties.server_keep_alive_seconds, expected, "{asked}");
    }
}

/// [MQTT 5.0, section 3.2.2.3.2]
async fn a_shorter_session_expiry_is_told(version: Version) {
    let server = Setup::new().limits(|limits| limits.session_expiry_max_seconds = 100).start().await;
    for (asked, expected) in [(u32::MAX, Some(100)), (101, Some(100)), (100, None), (0, None)] {
        let properties = ConnectProperties { session_expiry_seconds: asked, ..ConnectProperties::default() };
        let connect = Connect { properties, ..clean(version, "a") };
        let (_client, answer) = Client::try_connect(&server, &connect).await;
        assert_eq!(answer.properties.session_expiry_seconds, expected, "{asked}");
    }
}

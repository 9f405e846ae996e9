//! Keep-alive and the end of a connection, over virtual time.

use gaugeline_protocol::{
    ReasonCode, Version,
    packet::{Connect, Disconnect, Packet},
};

use crate::support::{Outcome, Server, at, connect, reason_of};

/// [MQTT-3.1.2-22]
#[test]
fn one_and_a_half_keep_alive_times_without_a_packet_end_the_connection() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        assert_eq!(server.session.poll_timeout(), Some(at(15_000)));
        server.session.handle_timeout(at(14_999)).unwrap();
        server.session.received(at(14_999));
        assert_eq!(server.session.poll_timeout(), Some(at(29_999)));
        server.session.handle_timeout(at(29_998)).unwrap();
        assert_eq!(reason_of(server.session.handle_timeout(at(29_999))), ReasonCode::KeepAliveTimeout);
        assert_eq!(reason_of(server.session.handle_timeout(at(1_000_000))), ReasonCode::KeepAliveTimeout);
    }
}

/// [MQTT 5.0, section 3.1.2.10]
#[test]
fn a_keep_alive_of_zero_is_none() {
    for version in Version::ALL {
        let mut server = Server::with(&Connect { keep_alive_seconds: 0, ..connect(version) });
        assert_eq!(server.session.poll_timeout(), None);
        server.session.handle_timeout(at(u64::from(u32::MAX))).unwrap();
    }
}

#[test]
fn the_longest_keep_alive_is_possible() {
    let server = Server::with(&Connect { keep_alive_seconds: u16::MAX, ..connect(Version::V311) });
    assert_eq!(server.session.poll_timeout(), Some(at(98_302_500)));
}

#[test]
fn the_keep_alive_starts_anew_with_each_connection() {
    let mut server = Server::new(Version::V311);
    let next = Connect { keep_alive_seconds: 2, ..connect(Version::V5) };
    server.session.resume(crate::support::terms(&next), at(100_000));
    assert_eq!(server.session.poll_timeout(), Some(at(103_000)));
}

/// [MQTT-3.12.4-1]
#[test]
fn a_ping_is_answered() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        assert_eq!(server.take(Packet::PingReq).unwrap(), Outcome::Handled);
        assert_eq!(server.sent(), ["PINGRESP"]);
    }
}

/// [MQTT-3.1.2-10]
#[test]
fn only_a_normal_disconnect_removes_the_will() {
    for (reason, publish_will) in [
        (ReasonCode::Success, false),
        (ReasonCode::DisconnectWithWill, true),
        (ReasonCode::UnspecifiedError, true),
    ] {
        let mut server = Server::new(Version::V5);
        let outcome = server.take(Packet::Disconnect(Disconnect::new(reason))).unwrap();
        assert_eq!(outcome, Outcome::Disconnected { publish_will });
    }
}

/// [MQTT 5.0, section 3.14.2.2.2]
#[test]
fn disconnect_may_change_the_session_expiry_but_not_begin_one() {
    let with = |seconds| {
        let session_expiry_seconds = Some(seconds);
        Packet::Disconnect(Disconnect { session_expiry_seconds, ..Disconnect::new(ReasonCode::Success) })
    };
    for (before, seconds, expected) in [
        (100, 0, Some(0)),
        (100, 7, Some(7)),
        (100, u32::MAX, Some(u32::MAX)),
        (u32::MAX, 1, Some(1)),
        (0, 0, Some(0)),
        (0, 1, None),
    ] {
        let mut connect = connect(Version::V5);
        connect.properties.session_expiry_seconds = before;
        let mut server = Server::with(&connect);
        let result = server.take(with(seconds));
        match expected {
            Some(expected) => {
                result.unwrap();
                assert_eq!(server.session.negotiated().session_expiry_seconds, expected);
                assert_eq!(server.session.negotiated().is_persistent(), expected > 0);
            }
            None => assert_eq!(reason_of(result), ReasonCode::ProtocolError),
        }
    }
}

/// [MQTT-3.14.0-1 of MQTT 5.0]; older servers cannot send DISCONNECT.
#[test]
fn only_mqtt_5_is_told_why() {
    for (version, expected) in
        [(Version::V31, &[][..]), (Version::V311, &[]), (Version::V5, &["DISCONNECT 0x8E"])]
    {
        let mut server = Server::new(version);
        server.session.disconnect(ReasonCode::SessionTakenOver, &mut server.out);
        assert_eq!(server.sent(), expected);
    }
}

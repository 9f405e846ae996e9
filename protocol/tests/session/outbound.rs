//! Messages to the client: packet identifiers, the window, and what is sent again.

use bytes::BytesMut;
use gaugeline_protocol::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
    packet::{Ack, Connect, ConnectProperties, Packet},
    session::{Session, Undelivered},
};

use crate::support::{Note, Outcome, Server, ack, at, connect, id, note};

fn narrow(version: Version, window: u16) -> Connect {
    let base = connect(version);
    let properties =
        ConnectProperties { receive_maximum: Some(window.try_into().unwrap()), ..base.properties };
    Connect { properties, ..base }
}

fn settled(text: &str) -> Outcome {
    Outcome::Settled(Some(text.to_owned()))
}

fn received(text: &str) -> Outcome {
    Outcome::Received(Some(text.to_owned()))
}

/// [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1]
#[test]
fn each_qos_has_its_exchange() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        server.deliver(note(AtMostOnce, "a")).unwrap();
        server.deliver(note(AtLeastOnce, "b")).unwrap();
        server.deliver(note(ExactlyOnce, "c")).unwrap();
        assert_eq!(server.sent(), ["PUBLISH a", "PUBLISH 1 b", "PUBLISH 2 c"]);
        assert_eq!(server.session.inflight(), 2);
        assert_eq!(server.take(Packet::PubAck(ack(1))).unwrap(), settled("b"));
        assert_eq!(server.take(Packet::PubRec(ack(2))).unwrap(), received("c"));
        assert_eq!(server.sent(), ["PUBREL 2"]);
        assert_eq!(server.take(Packet::PubComp(ack(2))).unwrap(), Outcome::Completed);
        assert_eq!(server.session.inflight(), 0);
    }
}

/// [MQTT-3.3.4-9], [MQTT-4.9.0-2]
#[test]
fn the_window_opens_with_puback_pubcomp_and_failures() {
    let mut server = Server::with(&narrow(Version::V5, 2));
    server.deliver(note(AtLeastOnce, "a")).unwrap();
    server.deliver(note(ExactlyOnce, "b")).unwrap();
    let blocked = || note(AtLeastOnce, "c");
    assert_eq!(server.deliver(blocked()), Err(Undelivered::WindowClosed(blocked())));
    server.deliver(note(AtMostOnce, "q0")).unwrap();
    server.take(Packet::PubRec(ack(2))).unwrap();
    assert_eq!(server.deliver(blocked()), Err(Undelivered::WindowClosed(blocked())));
    server.take(Packet::PubComp(ack(2))).unwrap();
    server.deliver(note(ExactlyOnce, "c")).unwrap();
    let refusal = Ack::new(id(3), ReasonCode::QuotaExceeded);
    assert_eq!(server.take(Packet::PubRec(refusal)).unwrap(), settled("c"));
    server.deliver(note(AtLeastOnce, "d")).unwrap();
    server.take(Packet::PubAck(ack(1))).unwrap();
    server.deliver(note(AtLeastOnce, "e")).unwrap();
    assert_eq!(
        server.sent(),
        ["PUBLISH 1 a", "PUBLISH 2 b", "PUBLISH q0", "PUBREL 2", "PUBLISH 3 c", "PUBLISH 4 d", "PUBLISH 5 e"]
    );
}

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1], [MQTT-3.3.1-1]
#[test]
fn what_is_unacknowledged_is_sent_again_in_its_order() {
    for version in Version::ALL {
        let mut server = Server::new(version);
        for (qos, text) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (ExactlyOnce, "c"), (AtLeastOnce, "d")] {
            server.deliver(note(qos, text)).unwrap();
        }
        server.take(Packet::PubAck(ack(1))).unwrap();
        server.take(Packet::PubRec(ack(3))).unwrap();
        for _ in 0..2 {
            server.reconnect(&connect(version));
            assert!(server.session.may_resend());
            assert!(!server.session.window_is_open(), "something new must not overtake");
            assert!(server.resend());
            assert_eq!(server.sent(), ["PUBLISH 2 b again", "PUBREL 3", "PUBLISH 4 d again"]);
        }
        server.deliver(note(AtLeastOnce, "e")).unwrap();
        assert_eq!(server.sent(), ["PUBLISH 5 e"]);
        assert_eq!(server.take(Packet::PubRec(ack(2))).unwrap(), received("b"));
        assert_eq!(server.take(Packet::PubComp(ack(3))).unwrap(), Outcome::Completed);
    }
}

/// [MQTT-4.9.0-1]: a smaller window on the next connection holds for what is sent again too.
#[test]
fn sending_again_keeps_to_the_window_and_to_the_room() {
    let mut server = Server::with(&narrow(Version::V5, 4));
    for text in ["a", "b", "c", "d"] {
        server.deliver(note(AtLeastOnce, text)).unwrap();
    }
    server.reconnect(&narrow(Version::V5, 2));
    assert!(!server.resend());
    assert_eq!(server.sent(), ["PUBLISH 1 a again", "PUBLISH 2 b again"]);
    assert!(!server.resend());
    assert!(!server.session.may_resend());
    server.take(Packet::PubAck(ack(2))).unwrap();
    assert!(!server.resend());
    server.take(Packet::PubAck(ack(1))).unwrap();
    assert!(server.resend());
    assert_eq!(server.sent(), ["PUBLISH 3 c again", "PUBLISH 4 d again"]);
    assert!(!server.session.window_is_open());
    // Little room in the output: one at a time.
    server.reconnect(&narrow(Version::V5, 4));
    let resent = server.session.resend(at(0), 1, &mut server.out);
    assert!(!resent.complete);
    assert_eq!(server.sent(), ["PUBLISH 3 c again"]);
}

/// [MQTT-3.1.2-25]
#[test]
fn what_has_become_too_large_counts_as_sent() {
    let long = "x".repeat(100);
    let mut server = Server::new(Version::V5);
    for text in ["a", &long, "b"] {
        server.deliver(note(ExactlyOnce, text)).unwrap();
    }
    let mut small = connect(Version::V5);
    small.properties.packet_bytes_max = Some(50.try_into().unwrap());
    server.reconnect(&small);
    let resent = server.session.resend(at(0), usize::MAX, &mut server.out);
    assert!(resent.complete);
    assert_eq!(resent.dropped, [note(ExactlyOnce, &long)]);
    assert_eq!(server.sent(), ["PUBLISH 1 a again", "PUBLISH 3 b again"]);
    assert_eq!(server.session.inflight(), 2);
    assert_eq!(
        server.deliver(note(AtLeastOnce, &long)),
        Err(Undelivered::TooLarge(note(AtLeastOnce, &long)))
    );
    assert_eq!(server.deliver(note(AtMostOnce, &long)), Err(Undelivered::TooLarge(note(AtMostOnce, &long))));
    server.reconnect(&connect(Version::V5));
    assert!(server.resend());
    assert_eq!(server.sent(), ["PUBLISH 1 a again", "PUBLISH 3 b again"]);
}

#[test]
fn what_may_no_longer_be_read_is_withdrawn_unless_it_was_sent() {
    let mut server = Server::new(Version::V5);
    for text in ["a", "b", "c", "d"] {
        server.deliver(note(AtLeastOnce, text)).unwrap();
    }
    assert_eq!(server.session.withdraw(|_| false), [], "all are sent");
    server.reconnect(&connect(Version::V5));
    // One fits.
    assert!(!server.session.resend(at(0), 1, &mut server.out).complete);
    let unreadable = [note(AtLeastOnce, "a"), note(AtLeastOnce, "c")];
    assert_eq!(server.session.withdraw(|message| !unreadable.contains(message)), unreadable[1..]);
    assert_eq!(server.session.inflight(), 3);
    assert!(server.resend());
    server.reconnect(&connect(Version::V5));
    assert_eq!(server.session.withdraw(|message| !unreadable.contains(message)), unreadable[..1]);
    assert!(server.resend());
    let sent = server.sent();
    assert_eq!(sent[sent.len() - 2..], ["PUBLISH 2 b again", "PUBLISH 4 d again"]);
    assert_eq!(server.session.inflight(), 2);
}

/// [MQTT-3.3.2-5]
#[test]
fn an_expired_message_is_not_sent_for_the_first_time() {
    let mut server = Server::new(Version::V5);
    let expiring = |text| Note { expires_at: Some(at(1000)), ..note(AtLeastOnce, text) };
    let late = server.session.deliver(at(1000), expiring("a"), &mut server.out);
    assert_eq!(late, Err(Undelivered::Expired(expiring("a"))));
    server.session.deliver(at(999), expiring("b"), &mut server.out).unwrap();
    assert_eq!(server.sent(), ["PUBLISH 1 b"]);
    // Its delivery has begun: it comes again all the same.
    server.reconnect(&connect(Version::V5));
    assert!(server.session.resend(at(2000), usize::MAX, &mut server.out).complete);
    assert_eq!(server.sent(), ["PUBLISH 1 b again"]);
}

/// [MQTT-2.2.1-4]: identifiers go round, and leave out zero.
#[test]
fn packet_ids_go_round() {
    let mut server = Server::new(Version::V5);
    for round in 0..70_000_u32 {
        let expected = u16::try_from(round % 65_535 + 1).unwrap();
        server.deliver(note(AtLeastOnce, "x")).unwrap();
        server.out.clear();
        assert_eq!(server.take(Packet::PubAck(ack(expected))).unwrap(), settled("x"));
    }
}

/// [MQTT-2.2.1-4]: with 65535 in flight there is no identifier left.
#[test]
fn no_packet_id_is_handed_out_twice() {
    let mut server = Server::new(Version::V5);
    for _ in 0..65_535 {
        server.deliver(note(AtLeastOnce, "x")).unwrap();
    }
    assert!(!server.session.window_is_open());
    // The others are settled, but the oldest holds their places.
    for packet_id in 2..=65_535 {
        server.take(Packet::PubAck(ack(packet_id))).unwrap();
    }
    assert_eq!(server.session.inflight(), 1);
    assert!(!server.session.window_is_open());
    server.take(Packet::PubAck(ack(1))).unwrap();
    server.out.clear();
    server.deliver(note(AtLeastOnce, "y")).unwrap();
    assert_eq!(server.sent(), ["PUBLISH 1 y"]);
}

/// Acknowledgements of the wrong kind, or for nothing, change nothing.
#[test]
fn acknowledgements_out_of_place_change_nothing() {
    let mut server = Server::new(Version::V5);
    server.deliver(note(AtLeastOnce, "a")).unwrap();
    server.deliver(note(ExactlyOnce, "b")).unwrap();
    server.sent();
    for (packet, nothing) in [
        (Packet::PubAck(ack(2)), Outcome::Settled(None)),
        (Packet::PubComp(ack(2)), Outcome::Handled),
        (Packet::PubComp(ack(1)), Outcome::Handled),
        (Packet::PubAck(ack(3)), Outcome::Settled(None)),
        (Packet::PubAck(ack(65_535)), Outcome::Settled(None)),
    ] {
        assert_eq!(server.take(packet).unwrap(), nothing);
    }
    assert!(server.sent().is_empty());
    // PUBREC is answered always: PUBREL is what lets the client forget the identifier.
    for (packet_id, expected) in [(1, "PUBREL 1 0x92"), (3, "PUBREL 3 0x92"), (2, "PUBREL 2")] {
        server.take(Packet::PubRec(ack(packet_id))).unwrap();
        assert_eq!(server.sent(), [expected]);
    }
    server.take(Packet::PubRec(ack(2))).unwrap();
    assert_eq!(server.sent(), ["PUBREL 2"]);
    assert_eq!(server.session.inflight(), 2);
}

/// Frames of which no copy is kept cannot come again; what they left open does not block the next connection.
#[test]
fn frames_are_not_sent_again() {
    let mut server = Server::new(Version::V311);
    let frame = b"\x32\x06\0\x01t\0\x00x";
    assert!(server.session.deliver_frame(frame, 5, AtLeastOnce, &mut server.out));
    assert!(server.session.deliver_frame(frame, 5, AtLeastOnce, &mut server.out));
    assert_eq!(server.sent(), ["PUBLISH 1 x", "PUBLISH 2 x"]);
    server.deliver(note(ExactlyOnce, "kept")).unwrap();
    assert_eq!(server.take(Packet::PubAck(ack(2))).unwrap(), Outcome::Settled(None));
    server.reconnect(&connect(Version::V311));
    assert_eq!(server.session.inflight(), 1);
    assert!(server.resend());
    assert_eq!(server.sent(), ["PUBLISH 3 kept again"]);
    let wide = [AtLeastOnce; 10];
    let sent =
        wide.iter().filter(|qos| server.session.deliver_frame(frame, 5, **qos, &mut server.out)).count();
    assert_eq!(sent, 4, "the window of clients that state none");
}

/// What an earlier process left goes on as if the connection alone had been lost: same order, same identifiers, also
/// where they go round and where some in between were settled.
#[test]
fn a_restored_session_goes_on() {
    let terms = crate::support::terms(&connect(Version::V5));
    let inflight =
        [(id(65_534), Some(note(AtLeastOnce, "a"))), (id(1), None), (id(2), Some(note(ExactlyOnce, "b")))];
    let session = Session::restore(terms, at(0), inflight, [id(7)]);
    let mut server = Server { session, out: BytesMut::new(), durable: 0 };
    assert_eq!(server.session.inflight(), 3);
    server.reconnect(&connect(Version::V5));
    assert!(server.resend());
    assert_eq!(server.sent(), ["PUBLISH 65534 a again", "PUBREL 1", "PUBLISH 2 b again"]);
    server.deliver(note(AtLeastOnce, "c")).unwrap();
    assert_eq!(server.sent(), ["PUBLISH 3 c"]);
    assert_eq!(server.take(Packet::PubComp(ack(1))).unwrap(), Outcome::Completed);
    assert_eq!(server.take(Packet::PubAck(ack(65_535))).unwrap(), Outcome::Settled(None));
    assert_eq!(server.take(Packet::PubAck(ack(65_534))).unwrap(), settled("a"));
    assert_eq!(server.publish(ExactlyOnce, 7, 0).unwrap(), Outcome::Repeated);
    assert_eq!(server.publish(ExactlyOnce, 8, 0).unwrap(), Outcome::Routed);
}

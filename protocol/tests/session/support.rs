//! A session, the bytes that it sends, and a clock that stands still until it is moved.

use std::{
    num::NonZeroU16,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use gaugeline_protocol::{
    ClientId, PacketId, QoS, ReasonCode, Version, codec,
    packet::{Ack, Connect, ConnectProperties, Outgoing, Packet, Publish, PublishProperties, decode},
    session::{
        Answer, Event, Message, Negotiated, ServerSettings, Session, Undelivered, Violation, negotiate,
    },
};

/// When every test begins. Only differences count.
#[expect(clippy::disallowed_methods, reason = "an instant cannot be made from nothing")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// So many milliseconds after the start.
pub(crate) fn at(milliseconds: u64) -> Instant {
    *START + Duration::from_millis(milliseconds)
}

pub(crate) const SETTINGS: ServerSettings = ServerSettings {
    receive_maximum: NonZeroU16::new(4).unwrap(),
    inflight_messages_max: NonZeroU16::new(5).unwrap(),
    packet_bytes_max: std::num::NonZeroU32::new(10_000).unwrap(),
    topic_alias_maximum: 3,
    keep_alive_max_seconds: 0,
    refuses_long_keep_alive: false,
    session_expiry_max_seconds: u32::MAX,
    maximum_qos: QoS::ExactlyOnce,
    retain_available: true,
};

/// The handle of a message that the broker keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) qos: QoS,
    pub(crate) expires_at: Option<Instant>,
}

impl Message for Note {
    fn outgoing(&self, _: Instant) -> Outgoing<'_> {
        Outgoing { qos: self.qos, topic: "t", payload: self.text.as_bytes(), ..Outgoing::default() }
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

pub(crate) fn note(qos: QoS, text: &str) -> Note {
    Note { text: text.to_owned(), qos, expires_at: None }
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(crate) fn connect(version: Version) -> Connect {
    Connect {
        version,
        client_id: "a".to_owned(),
        clean_start: false,
        keep_alive_seconds: 10,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties {
            session_expiry_seconds: if version.is_v5() { 100 } else { 0 },
            ..ConnectProperties::default()
        },
    }
}

pub(crate) fn terms(connect: &Connect) -> Negotiated {
    negotiate(connect, &SETTINGS, || ClientId::new("assigned").unwrap()).unwrap()
}

/// What a packet led to, without the borrowed parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Handled,
    Routed,
    Repeated,
    Settled(Option<String>),
    Received(Option<String>),
    Completed,
    Released,
    Disconnected { publish_will: bool },
}

/// A session with its output.
pub(crate) struct Server {
    pub(crate) session: Session<Note>,
    pub(crate) out: BytesMut,
    /// How far storage is.
    pub(crate) durable: u64,
}

impl Server {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(&connect(version))
    }

    pub(crate) fn with(connect: &Connect) -> Self {
        Self { session: Session::new(terms(connect), at(0)), out: BytesMut::new(), durable: 0 }
    }

    /// The connection is lost, with all that was on its way, and the client is back.
    pub(crate) fn reconnect(&mut self, connect: &Connect) {
        self.out.clear();
        self.session.resume(terms(connect), at(0));
    }

    /// Hands a packet to the session, and answers at once what needs no routing.
    pub(crate) fn take(&mut self, packet: Packet<'_>) -> Result<Outcome, Violation> {
        let text = |note: Option<Note>| note.map(|note| note.text);
        let (outcome, answer) = match self.session.handle_packet(packet, &mut self.out)? {
            Event::Handled => (Outcome::Handled, None),
            Event::Publish { .. } => (Outcome::Routed, None),
            Event::Repeated { packet_id, not_before } => {
                (Outcome::Repeated, Some((Answer::PubRec(packet_id, ReasonCode::Success), not_before)))
            }
            Event::Settled(note) => (Outcome::Settled(text(note)), None),
            Event::Received { packet_id, message } => {
                (Outcome::Received(text(message)), Some((Answer::PubRel(packet_id), 0)))
            }
            Event::Completed(_) => (Outcome::Completed, None),
            Event::Released(packet_id) => (Outcome::Released, Some((Answer::PubComp(packet_id), 0))),
            Event::Disconnected { publish_will } => (Outcome::Disconnected { publish_will }, None),
            Event::Subscribe(_) | Event::Unsubscribe(_) => panic!("no subscriptions here"),
        };
        if let Some((answer, not_before)) = answer {
            self.session.answer(answer, not_before, self.durable, &mut self.out);
        }
        Ok(outcome)
    }

    /// A PUBLISH that the broker routes, if it is not a repetition, and acknowledges when storage is at `not_before`.
    pub(crate) fn publish(
        &mut self,
        qos: QoS,
        packet_id: u16,
        not_before: u64,
    ) -> Result<Outcome, Violation> {
        let outcome = self.take(Packet::Publish(publish(qos, packet_id)))?;
        if outcome == Outcome::Routed && qos != QoS::AtMostOnce {
            self.acknowledge(qos, packet_id, ReasonCode::Success, not_before);
        }
        Ok(outcome)
    }

    pub(crate) fn acknowledge(&mut self, qos: QoS, packet_id: u16, reason: ReasonCode, not_before: u64) {
        self.session.acknowledge(id(packet_id), qos, reason, not_before, self.durable, &mut self.out);
    }

    pub(crate) fn store_until(&mut self, durable: u64) {
        self.durable = durable;
        self.session.release(durable, &mut self.out);
    }

    pub(crate) fn deliver(&mut self, note: Note) -> Result<(), Undelivered<Note>> {
        self.session.deliver(at(0), note, &mut self.out).map(|_| ())
    }

    pub(crate) fn resend(&mut self) -> bool {
        self.session.resend(at(0), usize::MAX, &mut self.out).complete
    }

    /// What was sent since the last call, in a short notation.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let version = self.session.version();
        let bytes = self.out.split();
        let mut rest = &bytes[..];
        let mut sent = Vec::new();
        while let Some(frame) = codec::frame(rest, usize::MAX).unwrap() {
            sent.push(describe(&decode(version, &frame, &codec::Limits::default()).unwrap()));
            rest = &rest[frame.len..];
        }
        assert!(rest.is_empty());
        sent
    }
}

fn describe(packet: &Packet<'_>) -> String {
    let ack = |name: &str, ack: &Ack| match ack.reason {
        ReasonCode::Success => format!("{name} {}", ack.packet_id),
        reason => format!("{name} {} 0x{:02X}", ack.packet_id, reason.byte()),
    };
    match packet {
        Packet::Publish(publish) => {
            let text = std::str::from_utf8(publish.payload).unwrap();
            let again = if publish.dup { " again" } else { "" };
            match publish.packet_id {
                Some(id) => format!("PUBLISH {id} {text}{again}"),
                None => format!("PUBLISH {text}"),
            }
        }
        Packet::PubAck(found) => ack("PUBACK", found),
        Packet::PubRec(found) => ack("PUBREC", found),
        Packet::PubRel(found) => ack("PUBREL", found),
        Packet::PubComp(found) => ack("PUBCOMP", found),
        Packet::PingResp => "PINGRESP".to_owned(),
        Packet::Disconnect(found) => format!("DISCONNECT 0x{:02X}", found.reason.byte()),
        other => panic!("unexpected {other:?}"),
    }
}

pub(crate) fn publish(qos: QoS, packet_id: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "t",
        packet_id: (qos != QoS::AtMostOnce).then(|| id(packet_id)),
        properties: PublishProperties::default(),
        payload: b"x",
    }
}

pub(crate) fn ack(packet_id: u16) -> Ack {
    Ack::new(id(packet_id), ReasonCode::Success)
}

pub(crate) fn reason_of<T: std::fmt::Debug>(result: Result<T, Violation>) -> ReasonCode {
    result.unwrap_err().reason()
}

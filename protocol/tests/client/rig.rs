//! A client, its virtual time, and hands to play the server with.

use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicName, Version,
    client::{Client, ConnectionError, Event, Publication, Receipt},
    codec::{Limits, frame},
    packet::{
        Ack, AckType, ConnAck, ConnAckProperties, Connect, ConnectProperties, Outgoing, Packet, decode,
    },
};

/// What an event says, without what it borrows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Connected { session_present: bool },
    Refused(ReasonCode),
    Message { topic: String, payload: Vec<u8>, dup: bool, receipt: Option<Receipt> },
    Published(PacketId, ReasonCode),
    Subscribed(PacketId, Vec<ReasonCode>),
    Unsubscribed(PacketId),
    Disconnected(ReasonCode),
}

pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) now: Instant,
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn origin() -> Instant {
    Instant::now()
}

impl Rig {
    /// Not connected; remembers its session for an hour.
    pub(crate) fn new(version: Version) -> Self {
        let properties = if version == Version::V5 {
            ConnectProperties {
                session_expiry_seconds: 3600,
                receive_maximum: NonZeroU16::new(10),
                topic_alias_maximum: 4,
                ..ConnectProperties::default()
            }
        } else {
            ConnectProperties::default()
        };
        let connect = Connect {
            version,
            client_id: "c".into(),
            clean_start: false,
            keep_alive_seconds: 60,
            will: None,
            user_name: None,
            password: None,
            properties,
        };
        let start = origin();
        Self { client: Client::new(connect), now: start, start }
    }

    /// Connected to a server without demands.
    pub(crate) fn online(version: Version) -> Self {
        let mut rig = Self::new(version);
        rig.reconnect(false, ConnAckProperties::default());
        rig
    }

    /// A new connection; its CONNECT is checked and taken.
    pub(crate) fn reconnect(&mut self, session_present: bool, properties: ConnAckProperties) {
        self.client.connect(self.now).unwrap();
        assert_eq!(self.sent(), ["CONNECT"]);
        let connack = ConnAck { properties, ..ConnAck::new(ReasonCode::Success, session_present) };
        self.server(|version, out| connack.encode(version, out).unwrap()).unwrap();
    }

    pub(crate) fn after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Seconds since the beginning until the next timeout.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.client.poll_timeout().map(|at| at.duration_since(self.start).as_secs())
    }

    /// The server sends a packet.
    pub(crate) fn server(
        &mut self,
        encode: impl FnOnce(Version, &mut BytesMut),
    ) -> Result<Seen, ConnectionError> {
        let version = self.client.version();
        let mut bytes = BytesMut::new();
        encode(version, &mut bytes);
        let found = frame(&bytes, usize::MAX).unwrap().unwrap();
        let packet = decode(version, &found, &Limits::default()).unwrap();
        self.client.handle_packet(self.now, packet).map(seen)
    }

    pub(crate) fn server_ack(&mut self, kind: AckType, id: u16, reason: ReasonCode) -> Seen {
        let ack = Ack::new(packet_id(id), reason);
        self.server(|version, out| ack.encode(kind, version, out).unwrap()).unwrap()
    }

    /// The server sends a message; the payload is the identifier.
    pub(crate) fn server_publish(&mut self, qos: QoS, id: u16, dup: bool) -> Result<Seen, ConnectionError> {
        let payload = [id as u8];
        let outgoing = Outgoing {
            dup,
            qos,
            topic: "t",
            packet_id: (qos > QoS::AtMostOnce).then(|| packet_id(id)),
            payload: &payload,
            ..Outgoing::default()
        };
        self.server(|version, out| assert!(outgoing.encode(version, out).is_ok()))
    }

    /// A delivered message's receipt.
    pub(crate) fn receive(&mut self, qos: QoS, id: u16) -> Receipt {
        match self.server_publish(qos, id, false) {
            Ok(Seen::Message { receipt: Some(receipt), .. }) => receipt,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn publish(&mut self, qos: QoS) -> Option<PacketId> {
        self.client.publish(&publication(qos)).unwrap()
    }

    /// What the client has sent since the last call, one word for each packet.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let mut bytes = BytesMut::new();
        while self.client.poll_transmit(&mut bytes) {}
        let mut rest = &bytes[..];
        let mut words = Vec::new();
        while !rest.is_empty() {
            let found = frame(rest, usize::MAX).unwrap().unwrap();
            let packet = decode(self.client.version(), &found, &Limits::default()).unwrap();
            words.push(word(&packet));
            rest = &rest[found.len..];
        }
        words
    }
}

pub(crate) fn publication(qos: QoS) -> Publication {
    Publication::new(TopicName::new("t").unwrap(), qos, Bytes::from_static(b"x"))
}

pub(crate) fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn seen(event: Option<Event<'_>>) -> Seen {
    match event {
        None => Seen::Nothing,
        Some(Event::Connected { session_present, .. }) => Seen::Connected { session_present },
        Some(Event::Refused { reason, .. }) => Seen::Refused(reason),
        Some(Event::Message { publish, receipt }) => Seen::Message {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            dup: publish.dup,
            receipt,
        },
        Some(Event::Published { packet_id, reason }) => Seen::Published(packet_id, reason),
        Some(Event::Subscribed(ack)) => Seen::Subscribed(ack.packet_id, ack.reasons),
        Some(Event::Unsubscribed(ack)) => Seen::Unsubscribed(ack.packet_id),
        Some(Event::Disconnected(disconnect)) => Seen::Disconnected(disconnect.reason),
    }
}

/// `PUBLISH 3 DUP`, `PUBACK 7`, `PUBREL 2 92`
fn word(packet: &Packet<'_>) -> String {
    let name = packet.packet_type().name();
    match packet {
        Packet::Publish(publish) => {
            let id = publish.packet_id.map(|id| format!(" {id}")).unwrap_or_default();
            format!("{name}{id}{}", if publish.dup { " DUP" } else { "" })
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            match ack.reason {
                ReasonCode::Success => format!("{name} {}", ack.packet_id),
                reason => format!("{name} {} {:X}", ack.packet_id, reason.byte()),
            }
        }
        Packet::Subscribe(subscribe) => format!("{name} {}", subscribe.packet_id),
        Packet::Unsubscribe(unsubscribe) => format!("{name} {}", unsubscribe.packet_id),
        Packet::Disconnect(disconnect) => match disconnect.reason {
            ReasonCode::Success => name.to_owned(),
            reason => format!("{name} {:X}", reason.byte()),
        },
        _ => name.to_owned(),
    }
}

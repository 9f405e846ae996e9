//! A client that does nothing by itself: a test sees every packet, and acknowledges or not as it likes.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version,
    codec::{self, EncodeError, Limits},
    packet::{
        self, Ack, AckType, Connect, ConnectProperties, Disconnect, Outgoing, Packet, PingReq, Subscribe,
        SubscribeFilter, Unsubscribe, Will,
    },
};

use crate::{home::Home, wait};

/// A packet of the broker, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// CONNACK.
    Connected {
        /// Whether the session is an old one.
        session_present: bool,
        /// Success, or why not.
        reason: ReasonCode,
    },
    /// PUBLISH.
    Message(Message),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(AckType, PacketId, ReasonCode),
    /// SUBACK.
    Subscribed(Vec<ReasonCode>),
    /// UNSUBACK.
    Unsubscribed,
    /// PINGRESP.
    Pong,
    /// DISCONNECT.
    Disconnected(ReasonCode),
}

/// A PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its payload, as text.
    pub payload: String,
    /// Its QoS.
    pub qos: QoS,
    /// Whether it was sent before.
    pub dup: bool,
    /// Its identifier, above QoS 0.
    pub packet_id: Option<PacketId>,
    /// What is left of its life.
    pub expiry_seconds: Option<u32>,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The version of MQTT.
    pub version: Version,
    /// The client identifier.
    pub client_id: &'static str,
    /// One of the first users.
    pub user: &'static str,
    /// Forget an older session.
    pub clean_start: bool,
    /// MQTT 5; older versions have sessions for ever or for one connection.
    pub session_expiry_seconds: u32,
    /// What is published if the connection is lost.
    pub will: Option<Will>,
}

impl Entry {
    /// A session of MQTT 5 that lasts an hour, as the user `viewer`.
    pub fn viewer(client_id: &'static str) -> Self {
        Self {
            version: Version::V5,
            client_id,
            user: "viewer",
            clean_start: false,
            session_expiry_seconds: 3600,
            will: None,
        }
    }

    /// The same as the user `sensor`, who publishes.
    pub fn sensor(client_id: &'static str) -> Self {
        Self { user: "sensor", ..Self::viewer(client_id) }
    }

    /// With this version.
    #[must_use]
    pub fn with(self, version: Version) -> Self {
        Self { version, ..self }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    version: Version,
    input: BytesMut,
    last_id: PacketId,
    /// Messages that came before the answer to SUBSCRIBE.
    early: VecDeque<Message>,
}

impl Peer {
    /// Connects without TLS, and is accepted. Returns whether the session is an old one, too.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn enter(home: &Home, entry: &Entry) -> (Self, bool) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, home.plain_port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let last_id = PacketId::new(100).unwrap();
        let mut peer =
            Self { stream, version: entry.version, input: BytesMut::new(), last_id, early: VecDeque::new() };
        let session_expiry_seconds = if entry.version.is_v5() { entry.session_expiry_seconds } else { 0 };
        let connect = Connect {
            version: entry.version,
            client_id: entry.client_id.to_owned(),
            clean_start: entry.clean_start,
            keep_alive_seconds: 0,
            will: entry.will.clone(),
            user_name: Some(entry.user.to_owned()),
            password: Some(Bytes::from(home.secret(entry.user))),
            properties: ConnectProperties { session_expiry_seconds, ..ConnectProperties::default() },
        };
        peer.send(|_, out| connect.encode(out));
        match peer.receive() {
            Some(Got::Connected { session_present, reason: ReasonCode::Success }) => (peer, session_present),
            other => panic!("{} was not let in: {other:?}", entry.client_id),
        }
    }

    /// The same, where it does not matter whether the session is an old one.
    pub fn join(home: &Home, entry: &Entry) -> Self {
        Self::enter(home, entry).0
    }

    /// The same, where the session must be an old one.
    ///
    /// # Panics
    /// If it is not.
    pub fn resume(home: &Home, entry: &Entry) -> Self {
        let (peer, session_present) = Self::enter(home, entry);
        assert!(session_present, "the broker does not know the session of {}", entry.client_id);
        peer
    }

    fn send(&mut self, encode: impl FnOnce(Version, &mut BytesMut) -> Result<(), EncodeError>) {
        let mut bytes = BytesMut::new();
        encode(self.version, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next packet; `None` if the connection has ended.
    ///
    /// # Panics
    /// If nothing comes in time.
    pub fn receive(&mut self) -> Option<Got> {
        match self.early.pop_front() {
            Some(message) => Some(Got::Message(message)),
            None => self.next_packet(),
        }
    }

    fn next_packet(&mut self) -> Option<Got> {
        loop {
            if let Some(got) = self.buffered() {
                return Some(got);
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.input.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("waited in vain for a packet: {error}"),
            }
        }
    }

    /// A packet that is already here.
    pub fn arrived(&mut self) -> Option<Got> {
        if let Some(got) = self.buffered() {
            return Some(got);
        }
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut bytes = [0; 16 * 1024];
        if let Ok(read) = self.stream.read(&mut bytes) {
            self.input.extend_from_slice(&bytes[..read]);
        }
        self.stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        self.buffered()
    }

    fn buffered(&mut self) -> Option<Got> {
        let frame = codec::frame(&self.input, usize::MAX).unwrap()?;
        let got = match packet::decode(self.version, &frame, &Limits::default()).unwrap() {
            Packet::ConnAck(ack) => {
                Got::Connected { session_present: ack.session_present, reason: ack.reason }
            }
            Packet::Publish(publish) => Got::Message(Message {
                topic: publish.topic.to_owned(),
                payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
                qos: publish.qos,
                dup: publish.dup,
                packet_id: publish.packet_id,
                expiry_seconds: publish.properties.message_expiry_seconds,
            }),
            Packet::PubAck(ack) => Got::Ack(AckType::PubAck, ack.packet_id, ack.reason),
            Packet::PubRec(ack) => Got::Ack(AckType::PubRec, ack.packet_id, ack.reason),
            Packet::PubRel(ack) => Got::Ack(AckType::PubRel, ack.packet_id, ack.reason),
            Packet::PubComp(ack) => Got::Ack(AckType::PubComp, ack.packet_id, ack.reason),
            Packet::SubAck(ack) => Got::Subscribed(ack.reasons),
            Packet::UnsubAck(_) => Got::Unsubscribed,
            Packet::PingResp => Got::Pong,
            Packet::Disconnect(disconnect) => Got::Disconnected(disconnect.reason),
            other => panic!("the broker sent {other:?}"),
        };
        let length = frame.len;
        self.input.advance(length);
        Some(got)
    }

    /// The next packet, a PUBLISH.
    ///
    /// # Panics
    /// If it is something else.
    pub fn message(&mut self) -> Message {
        match self.receive() {
            Some(Got::Message(message)) => message,
            other => panic!("expected PUBLISH: {other:?}"),
        }
    }

    /// The next packet, this acknowledgement; returns its reason.
    ///
    /// # Panics
    /// If it is something else.
    pub fn expect(&mut self, step: AckType, packet_id: PacketId) -> ReasonCode {
        match self.receive() {
            Some(Got::Ack(found, id, reason)) if (found, id) == (step, packet_id) => reason,
            other => panic!("expected {step:?} of {packet_id:?}: {other:?}"),
        }
    }

    /// Sends an acknowledgement.
    pub fn acknowledge(&mut self, step: AckType, packet_id: PacketId) {
        self.send(|version, out| Ack::new(packet_id, ReasonCode::Success).encode(step, version, out));
    }

    /// The next messages, so many, each acknowledged to the end.
    ///
    /// # Panics
    /// If something else comes.
    pub fn take(&mut self, count: usize) -> Vec<Message> {
        let (mut messages, mut unreleased) = (Vec::new(), 0);
        while messages.len() < count || unreleased > 0 {
            match self.receive() {
                Some(Got::Message(message)) => {
                    match (message.qos, message.packet_id) {
                        (QoS::AtLeastOnce, Some(id)) => self.acknowledge(AckType::PubAck, id),
                        (QoS::ExactlyOnce, Some(id)) => {
                            self.acknowledge(AckType::PubRec, id);
                            unreleased += 1;
                        }
                        _ => {}
                    }
                    messages.push(message);
                }
                Some(Got::Ack(AckType::PubRel, id, _)) => {
                    self.acknowledge(AckType::PubComp, id);
                    unreleased -= 1;
                }
                other => panic!("{} of {count} messages, then {other:?}", messages.len()),
            }
        }
        messages
    }

    /// The same, the payloads alone.
    pub fn take_payloads(&mut self, count: usize) -> Vec<String> {
        self.take(count).into_iter().map(|message| message.payload).collect()
    }

    /// Subscribes, and is granted the QoS.
    ///
    /// # Panics
    /// If it is not.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        let packet_id = self.packet_id();
        let filters = vec![SubscribeFilter::new(TopicFilter::new(filter).unwrap(), qos)];
        let subscribe = Subscribe { packet_id, id: None, filters, user_properties: Vec::new() };
        self.send(|version, out| subscribe.encode(version, out));
        loop {
            match self.next_packet() {
                Some(Got::Subscribed(reasons)) => {
                    assert!(reasons.iter().all(|reason| !reason.is_error()), "{filter}: {reasons:?}");
                    return;
                }
                // Messages may come before SUBACK [MQTT 5.0, section 3.8.4].
                Some(Got::Message(message)) => self.early.push_back(message),
                other => panic!("expected SUBACK: {other:?}"),
            }
        }
    }

    /// Ends a subscription.
    ///
    /// # Panics
    /// If the broker answers with something else than UNSUBACK.
    pub fn unsubscribe(&mut self, filter: &str) {
        let (packet_id, filters) = (self.packet_id(), vec![TopicFilter::new(filter).unwrap()]);
        let unsubscribe = Unsubscribe { packet_id, filters, user_properties: Vec::new() };
        self.send(|version, out| unsubscribe.encode(version, out));
        let answer = self.receive();
        assert!(matches!(answer, Some(Got::Unsubscribed)), "expected UNSUBACK: {answer:?}");
    }

    /// A packet identifier that was not used yet.
    pub fn packet_id(&mut self) -> PacketId {
        self.last_id = self.last_id.successor();
        self.last_id
    }

    /// Sends a PUBLISH and waits for nothing; returns its identifier.
    pub fn send_message(&mut self, topic: &str, qos: QoS, payload: &str) -> PacketId {
        let packet_id = self.packet_id();
        self.send_publish(Outgoing {
            qos,
            topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(packet_id),
            payload: payload.as_bytes(),
            ..Outgoing::default()
        });
        packet_id
    }

    /// Sends a PUBLISH as it is.
    pub fn send_publish(&mut self, publish: Outgoing<'_>) {
        self.send(|version, out| publish.encode(version, out).map(drop));
    }

    /// Publishes to the end of the exchange. Returns the reason of PUBACK or PUBREC; `None` if the connection ends.
    ///
    /// # Panics
    /// If something else comes.
    pub fn try_publish(&mut self, publish: Outgoing<'_>) -> Option<ReasonCode> {
        let packet_id = self.packet_id();
        self.send_publish(Outgoing { packet_id: Some(packet_id), ..publish });
        match self.receive()? {
            Got::Ack(AckType::PubAck, id, reason) if id == packet_id => Some(reason),
            Got::Ack(AckType::PubRec, id, reason) if id == packet_id => {
                if !reason.is_error() {
                    self.acknowledge(AckType::PubRel, packet_id);
                    self.expect(AckType::PubComp, packet_id);
                }
                Some(reason)
            }
            other => panic!("expected an acknowledgement of {packet_id:?}: {other:?}"),
        }
    }

    /// Publishes to the end of the exchange.
    ///
    /// # Panics
    /// If the message is refused.
    pub fn publish(&mut self, topic: &str, qos: QoS, payload: &str) {
        let message = Outgoing { qos, topic, payload: payload.as_bytes(), ..Outgoing::default() };
        let reason = self.try_publish(message);
        assert!(reason.is_some_and(|reason| !reason.is_error()), "{topic} {payload}: {reason:?}");
    }

    /// Publishes a retained message to the end of the exchange; an empty one removes it.
    ///
    /// # Panics
    /// If the message is refused.
    pub fn retain(&mut self, topic: &str, payload: &str) {
        let (qos, payload) = (QoS::AtLeastOnce, payload.as_bytes());
        let reason = self.try_publish(Outgoing { qos, retain: true, topic, payload, ..Outgoing::default() });
        assert!(reason.is_some_and(|reason| !reason.is_error()), "{topic}: {reason:?}");
    }

    /// Looks that no message is on its way to this client: the broker sends what waits right after the answer to the
    /// first PINGREQ, so it would come before the answer to the second. The end of an exchange may come again.
    ///
    /// # Panics
    /// If one is.
    pub fn expect_no_message(&mut self) {
        for _ in 0..2 {
            self.send(|version, out| PingReq.encode(version, out));
            loop {
                match self.receive() {
                    Some(Got::Pong) => break,
                    Some(Got::Ack(AckType::PubRel, id, _)) => self.acknowledge(AckType::PubComp, id),
                    other => panic!("no message was expected: {other:?}"),
                }
            }
        }
    }

    /// Leaves with DISCONNECT; returns once the broker has closed the connection.
    ///
    /// # Panics
    /// If it does not.
    pub fn leave(mut self) {
        self.send(|version, out| Disconnect::new(ReasonCode::Success).encode(version, out));
        while self.receive().is_some() {}
    }
}

/// A will of this delay, as `sensor` may leave it.
pub fn will(topic: &str, payload: &'static str, delay_seconds: u32) -> Will {
    Will {
        topic: TopicName::new(topic).unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        qos: QoS::AtLeastOnce,
        retain: false,
        delay_seconds,
        message_expiry_seconds: None,
        properties: Bytes::new(),
    }
}

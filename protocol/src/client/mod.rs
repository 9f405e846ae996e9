//! The client's side of an MQTT session, without IO: what the bridge, the command line and the tests speak with.
//!
//! The contract, after which the shell around it is written:
//! * [`Client::connect`] begins a connection; its bytes, like all others, are fetched with [`Client::poll_transmit`];
//! * [`Client::handle_packet`] and [`Client::handle_timeout`] say what happened, [`Client::poll_timeout`] when to come
//!   back;
//! * [`Client::publish`], [`Client::subscribe`], [`Client::unsubscribe`], [`Client::acknowledge`] and
//!   [`Client::disconnect`] say what the application wants;
//! * [`Client::poll_given_up`] hands back what can never be sent.
//!
//! A session outlives its connections: call [`Client::connect`] again and, if the server still knows the session,
//! everything unacknowledged is sent again. Received messages are borrowed from the read buffer and acknowledged when
//! the application says so, in the order of their arrival. The client never reads a clock, opens nothing and keeps no
//! subscriptions: after [`Event::Connected`] without a session the application subscribes again.

mod event;
mod inbound;
mod keep_alive;
mod outbound;
mod publication;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::{
    PacketId, ReasonCode, TopicFilter, Version,
    codec::{DecodeError, EncodeError},
    packet::{
        Ack, AckType, ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe, SubscribeFilter,
        UnsubAck, Unsubscribe,
    },
};

pub use event::{ConnectionError, Event, GivenUp, GivenUpReason, RequestError};
pub use inbound::Receipt;
pub use publication::Publication;

use inbound::Inbound;
use keep_alive::{Due, KeepAlive};
use outbound::{Outbound, Stage};

/// How long a server may take to answer CONNECT. mosquitto and the cloud brokers hash passwords in well under one.
pub const CONNACK_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not connected, or at the end of a connection: what arrives is ignored.
    Offline,
    /// CONNECT is on its way; CONNACK must come before the time.
    Connecting {
        deadline: Instant,
    },
    Online,
}

/// One client and its session.
#[derive(Debug)]
pub struct Client {
    connect: Connect,
    state: State,
    keep_alive: KeepAlive,
    inbound: Inbound,
    outbound: Outbound,
    out: BytesMut,
}

impl Client {
    /// A client that will introduce itself with `connect`. Nothing is sent yet.
    pub fn new(connect: Connect) -> Self {
        Self {
            state: State::Offline,
            keep_alive: KeepAlive::default(),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            out: BytesMut::new(),
            connect,
        }
    }

    /// Begins a connection, the first or a later one, on a stream that was just opened.
    ///
    /// # Errors
    /// The CONNECT cannot be written; then there is no connection.
    pub fn connect(&mut self, now: Instant) -> Result<(), EncodeError> {
        self.state = State::Offline;
        self.out.clear();
        self.inbound.begin(&self.connect);
        self.outbound.begin();
        self.connect.encode(&mut self.out)?;
        self.keep_alive = KeepAlive::default();
        self.state = State::Connecting { deadline: now + CONNACK_WAIT };
        Ok(())
    }

    /// Takes a packet of the server.
    ///
    /// # Errors
    /// The server broke the protocol. The connection is over; in MQTT 5 a DISCONNECT waits to be sent.
    pub fn handle_packet<'a>(
        &'a mut self,
        now: Instant,
        packet: Packet<'a>,
    ) -> Result<Option<Event<'a>>, ConnectionError> {
        self.keep_alive.received();
        match self.state {
            State::Offline => return Ok(None),
            State::Connecting { .. } => return self.connacked(now, packet).map(Some),
            State::Online => {}
        }
        match packet {
            Packet::Publish(publish) => self.published(publish),
            Packet::PubAck(ack) => Ok(self.outbound.finished(Stage::AwaitsPubAck, &ack)),
            Packet::PubRec(ack) => Ok(self.received(&ack)),
            Packet::PubRel(ack) => {
                self.released(ack.packet_id);
                Ok(None)
            }
            Packet::PubComp(ack) => Ok(self.outbound.finished(Stage::AwaitsPubComp, &ack)),
            Packet::SubAck(ack) => self.subscribed(ack).map(Some),
            Packet::UnsubAck(ack) => self.unsubscribed(ack).map(Some),
            Packet::PingResp => Ok(None),
            Packet::Disconnect(disconnect) if self.connect.version.is_v5() => {
                self.state = State::Offline;
                Ok(Some(Event::Disconnected(Box::new(disconnect))))
            }
            _ => Err(self.fail(ConnectionError::unexpected(packet.packet_type()))),
        }
    }

    /// The server's bytes are no packet: ends the connection, in MQTT 5 with a DISCONNECT that says why.
    pub fn handle_malformed(&mut self, error: DecodeError) -> ConnectionError {
        self.fail(ConnectionError::Malformed(error))
    }

    /// Does what is due at `now`.
    ///
    /// # Errors
    /// The server is silent for too long; the connection is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectionError> {
        match self.state {
            State::Offline => Ok(()),
            State::Connecting { deadline } if deadline <= now => Err(self.fail(ConnectionError::NoConnAck)),
            State::Connecting { .. } => Ok(()),
            State::Online => match self.keep_alive.tick(now) {
                Due::Nothing => Ok(()),
                Due::Ping => {
                    self.out.extend_from_slice(&PINGREQ);
                    Ok(())
                }
                Due::Dead => Err(self.fail(ConnectionError::NoPingResponse)),
            },
        }
    }

    /// When [`Self::handle_timeout`] is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Offline => None,
            State::Connecting { deadline } => Some(deadline),
            State::Online => self.keep_alive.deadline(),
        }
    }

    /// Moves bytes for the server to the end of `out`; false if there are none. After a reconnect there may be more
    /// than one call's worth: call it until it is false.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) -> bool {
        if self.state == State::Online {
            self.outbound.resend(self.connect.version, &mut self.out);
        }
        if self.out.is_empty() {
            return false;
        }
        self.keep_alive.sent();
        if out.is_empty() {
            std::mem::swap(out, &mut self.out);
        } else {
            out.extend_from_slice(&self.out);
            self.out.clear();
        }
        true
    }

    /// A message that was not acknowledged and will not be sent again, because the session or its right to be sent
    /// was lost; to be called after [`Event::Connected`]. Publish it anew or count it as lost.
    pub fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.outbound.poll_given_up()
    }

    /// Publishes a message. Above QoS 0 it is kept and sent again until [`Event::Published`] names its identifier.
    ///
    /// # Errors
    /// It was not taken, for the reason that the error says. [`RequestError::WindowClosed`] passes with the next
    /// [`Event::Published`].
    pub fn publish(&mut self, publication: &Publication) -> Result<Option<PacketId>, RequestError> {
        self.check_online()?;
        self.outbound.publish(self.connect.version, publication, &mut self.out)
    }

    /// Subscribes; [`Event::Subscribed`] brings the outcome. `id` is given back with each message (MQTT 5).
    ///
    /// # Errors
    /// It was not sent. A request that is unanswered when the connection ends is forgotten.
    pub fn subscribe(
        &mut self,
        filters: Vec<SubscribeFilter>,
        id: Option<u32>,
    ) -> Result<PacketId, RequestError> {
        self.check_online()?;
        let packet_id = self.outbound.next_id()?;
        let stage = Stage::AwaitsSubAck { filters: filters.len() };
        let subscribe = Subscribe { packet_id, id, filters, user_properties: Vec::new() };
        self.outbound.check_size(&mut self.out, |out| subscribe.encode(self.connect.version, out))?;
        self.outbound.open(stage, None);
        Ok(packet_id)
    }

    /// Ends subscriptions; [`Event::Unsubscribed`] brings the outcome.
    ///
    /// # Errors
    /// As [`Self::subscribe`].
    pub fn unsubscribe(&mut self, filters: Vec<TopicFilter>) -> Result<PacketId, RequestError> {
        self.check_online()?;
        let packet_id = self.outbound.next_id()?;
        let stage = Stage::AwaitsUnsubAck { filters: filters.len() };
        let unsubscribe = Unsubscribe { packet_id, filters, user_properties: Vec::new() };
        self.outbound.check_size(&mut self.out, |out| unsubscribe.encode(self.connect.version, out))?;
        self.outbound.open(stage, None);
        Ok(packet_id)
    }

    /// The application is done with a received message. PUBACK or PUBREC leaves once every message that arrived
    /// before is acknowledged too [MQTT-4.6.0-2], [MQTT-4.6.0-3].
    ///
    /// False if the message belongs to an earlier connection: the server will send it again.
    #[inline]
    pub fn acknowledge(&mut self, receipt: Receipt) -> bool {
        self.inbound.acknowledge(receipt, &mut self.out)
    }

    /// Ends the connection in order. `session_expiry_seconds` replaces what CONNECT said (MQTT 5).
    ///
    /// # Errors
    /// The reason is none that DISCONNECT may carry.
    pub fn disconnect(
        &mut self,
        reason: ReasonCode,
        session_expiry_seconds: Option<u32>,
    ) -> Result<(), EncodeError> {
        if self.state != State::Online {
            self.state = State::Offline;
            return Ok(());
        }
        let disconnect = Disconnect { session_expiry_seconds, ..Disconnect::new(reason) };
        disconnect.encode(self.connect.version, &mut self.out)?;
        self.state = State::Offline;
        Ok(())
    }

    /// The CONNECT of the next connection, to be changed between connections. Its version and client identifier
    /// belong to the session.
    pub fn connect_packet_mut(&mut self) -> &mut Connect {
        &mut self.connect
    }

    /// The CONNECT of this connection; an identifier that the server assigned is in it.
    pub fn connect_packet(&self) -> &Connect {
        &self.connect
    }

    /// The protocol version, to decode with.
    pub fn version(&self) -> Version {
        self.connect.version
    }

    /// The largest packet to accept: what CONNECT said, or the largest possible.
    pub fn packet_bytes_max(&self) -> usize {
        self.connect.properties.packet_bytes_max.map_or(usize::MAX, |bytes| bytes.get() as usize)
    }

    /// Whether the server has accepted the present connection.
    pub fn is_online(&self) -> bool {
        self.state == State::Online
    }

    /// How many messages above QoS 0 could be published now.
    pub fn window(&self) -> usize {
        if self.is_online() { self.outbound.window() } else { 0 }
    }

    /// Published messages above QoS 0 that the server has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outbound.unacknowledged()
    }

    /// Received messages above QoS 0 whose acknowledgement has not left.
    pub fn owed(&self) -> usize {
        self.inbound.owed()
    }

    fn check_online(&self) -> Result<(), RequestError> {
        if self.is_online() { Ok(()) } else { Err(RequestError::Offline) }
    }

    /// The answer to CONNECT.
    fn connacked<'a>(&mut self, now: Instant, packet: Packet<'_>) -> Result<Event<'a>, ConnectionError> {
        let Packet::ConnAck(connack) = packet else {
            return Err(self.fail(ConnectionError::unexpected(packet.packet_type())));
        };
        let ConnAck { session_present, reason, properties } = *connack;
        if reason != ReasonCode::Success {
            self.state = State::Offline;
            return Ok(Event::Refused { reason, properties: Box::new(properties) });
        }
        if session_present && self.connect.clean_start {
            return Err(self.fail(ConnectionError::Protocol {
                reason: ReasonCode::ProtocolError,
                detail: "a session is present although CONNECT asked for a new one [MQTT-3.2.2-2]",
            }));
        }
        self.state = State::Online;
        let seconds = properties.server_keep_alive_seconds.unwrap_or(self.connect.keep_alive_seconds);
        self.keep_alive = KeepAlive::new(now, seconds);
        if let Some(id) = &properties.assigned_client_id {
            self.connect.client_id.clone_from(id);
        }
        // MQTT 3.1 has no such flag; without a clean start its sessions go on [MQTT 3.1, section 4.2].
        let resumes = session_present || self.connect.version == Version::V31 && !self.connect.clean_start;
        self.outbound.resume(resumes, &properties);
        self.inbound.resume(resumes);
        Ok(Event::Connected { session_present, properties: Box::new(properties) })
    }

    #[inline]
    fn published<'a>(&'a mut self, publish: Publish<'a>) -> Result<Option<Event<'a>>, ConnectionError> {
        match self.inbound.publish(&publish, &mut self.out) {
            Ok(None) => Ok(None),
            Ok(Some(receipt)) => {
                let topic = match publish.properties.topic_alias {
                    Some(alias) if publish.topic.is_empty() => self.inbound.topic(alias),
                    _ => publish.topic,
                };
                Ok(Some(Event::Message { publish: Publish { topic, ..publish }, receipt }))
            }
            Err(error) => {
                fail(&mut self.state, self.connect.version, &error, &mut self.out);
                Err(error)
            }
        }
    }

    fn received<'a>(&mut self, ack: &Ack) -> Option<Event<'a>> {
        if ack.reason.is_error() {
            return self.outbound.finished(Stage::AwaitsPubRec, ack);
        }
        let reason = if self.outbound.received(ack.packet_id) {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        put_ack(AckType::PubRel, self.connect.version, ack.packet_id, reason, &mut self.out);
        None
    }

    fn released(&mut self, packet_id: PacketId) {
        let reason = self.inbound.released(packet_id);
        put_ack(AckType::PubComp, self.connect.version, packet_id, reason, &mut self.out);
    }

    fn subscribed<'a>(&mut self, ack: SubAck) -> Result<Event<'a>, ConnectionError> {
        let stage = Stage::AwaitsSubAck { filters: ack.reasons.len() };
        if self.outbound.settle(ack.packet_id, stage).is_none() {
            return Err(self.fail(ConnectionError::Protocol {
                reason: ReasonCode::ProtocolError,
                detail: "a SUBACK that fits to no SUBSCRIBE [MQTT-3.8.4-2], [MQTT-3.8.4-6]",
            }));
        }
        Ok(Event::Subscribed(ack))
    }

    fn unsubscribed<'a>(&mut self, ack: UnsubAck) -> Result<Event<'a>, ConnectionError> {
        let filters = match self.outbound.stage(ack.packet_id) {
            Some(Stage::AwaitsUnsubAck { filters }) if self.connect.version.is_v5() => {
                (filters == ack.reasons.len()).then_some(filters)
            }
            Some(Stage::AwaitsUnsubAck { filters }) => Some(filters),
            _ => None,
        };
        let Some(filters) = filters else {
            return Err(self.fail(ConnectionError::Protocol {
                reason: ReasonCode::ProtocolError,
                detail: "an UNSUBACK that fits to no UNSUBSCRIBE [MQTT-3.10.4-4], [MQTT-3.10.4-6]",
            }));
        };
        self.outbound.settle(ack.packet_id, Stage::AwaitsUnsubAck { filters });
        Ok(Event::Unsubscribed(ack))
    }

    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        fail(&mut self.state, self.connect.version, &error, &mut self.out);
        error
    }
}

/// The same in every version [MQTT 5.0, section 3.12].
const PINGREQ: [u8; 2] = [0xC0, 0];

/// Ends the connection, in MQTT 5 with a DISCONNECT once CONNACK has come [MQTT 5.0, section 4.13.1].
fn fail(state: &mut State, version: Version, error: &ConnectionError, out: &mut BytesMut) {
    if *state == State::Online && version.is_v5() {
        // A DISCONNECT without properties has nothing that could be too long to encode.
        Disconnect::new(error.reason()).encode(version, out).ok();
    }
    *state = State::Offline;
}

/// Appends a PUBREL or PUBCOMP.
fn put_ack(kind: AckType, version: Version, packet_id: PacketId, reason: ReasonCode, out: &mut BytesMut) {
    // Both reasons that are used here exist in both packets, and there are no properties.
    Ack::new(packet_id, reason).encode(kind, version, out).ok();
}

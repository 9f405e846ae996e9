//! The server's side of an MQTT session, without IO.
//!
//! The contract, after which the shell around it is written:
//! * [`Session::handle_packet`] and [`Session::handle_timeout`] say what happened;
//! * [`Session::acknowledge`], [`Session::deliver`] and [`Session::deliver_frame`] say what the broker decided;
//! * [`Session::release`] and [`Session::resend`] do what waited; [`Session::poll_timeout`] tells when to come back.
//!
//! Packets to send are appended to the caller's buffer, so that one write can carry all of a wake's packets. Each
//! packet of the client yields at most one [`Event`], which borrows from the read buffer: a PUBLISH is never copied
//! here. The session decides nothing about rights, routing or storage, and never reads a clock.
//!
//! A session outlives its connections: [`Session::resume`] starts the next one on what the last one left.

mod answer;
mod connecting;
mod event;
mod inbound;
mod outbound;
mod subscriptions;

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use crate::{
    PacketId, QoS, ReasonCode, Version,
    packet::{Disconnect, Packet},
};

pub use answer::Answer;
pub use connecting::{Negotiated, Refusal, ServerSettings, negotiate, session_expires_after};
pub use event::{Event, Violation};
pub use outbound::{Message, Resent, Undelivered};
pub use subscriptions::{Subscription, Subscriptions};

use inbound::Inbound;
use outbound::Outbound;

/// One client's session. `M` is the broker's handle to a stored message: what is needed to send it again.
#[derive(Debug)]
pub struct Session<M> {
    negotiated: Negotiated,
    inbound: Inbound,
    outbound: Outbound<M>,
    subscriptions: Subscriptions,
    last_received: Instant,
}

impl<M: Message> Session<M> {
    /// A new session for a client whose CONNECT has been accepted.
    pub fn new(negotiated: Negotiated, now: Instant) -> Self {
        Self {
            inbound: Inbound::new(&negotiated),
            outbound: Outbound::new(&negotiated),
            subscriptions: Subscriptions::default(),
            last_received: now,
            negotiated,
        }
    }

    /// A session that an earlier process left; [`Self::resume`] makes it usable. `inflight` is what was on its way to the
    /// client, in the order of sending (`None`: only PUBREL remains), `received` what came from it at QoS 2 and was not
    /// released.
    pub fn restore(
        negotiated: Negotiated,
        now: Instant,
        inflight: impl IntoIterator<Item = (PacketId, Option<M>)>,
        received: impl IntoIterator<Item = PacketId>,
    ) -> Self {
        let mut session = Self::new(negotiated, now);
        session.inbound.restore(received);
        session.outbound.restore(inflight, now);
        session
    }

    /// Goes on with this session on a new connection: unacknowledged messages wait for [`Self::resend`]; what
    /// belonged to the old connection (aliases, windows, acknowledgements on their way) is forgotten.
    pub fn resume(&mut self, negotiated: Negotiated, now: Instant) {
        self.inbound.resume(&negotiated);
        self.outbound.resume(&negotiated);
        self.last_received = now;
        self.negotiated = negotiated;
    }

    /// What CONNECT and the server's settings agreed on.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// The protocol version of the present connection.
    pub fn version(&self) -> Version {
        self.negotiated.version
    }

    /// The subscriptions of this session.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// The subscriptions of this session, to change them as the broker decided.
    pub fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        &mut self.subscriptions
    }

    /// Takes one packet of the client. Answers that need no decision are appended to `out`.
    ///
    /// # Errors
    /// A [`Violation`] when the client broke the protocol: the connection must end, with that reason.
    pub fn handle_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        out: &mut BytesMut,
    ) -> Result<Event<'a, M>, Violation> {
        match packet {
            Packet::Publish(publish) => self.inbound.publish(self.negotiated.version, publish),
            Packet::PubAck(ack) => Ok(Event::Settled(self.outbound.acknowledged(ack.packet_id))),
            Packet::PubRec(ack) => Ok(self.outbound.received(self.negotiated.version, &ack, out)),
            Packet::PubRel(ack) => {
                let known = self.inbound.released(self.negotiated.version, ack.packet_id, out);
                Ok(if known { Event::Released(ack.packet_id) } else { Event::Handled })
            }
            Packet::PubComp(ack) => {
                let known = self.outbound.completed(ack.packet_id);
                Ok(if known { Event::Completed(ack.packet_id) } else { Event::Handled })
            }
            Packet::Subscribe(subscribe) => Ok(Event::Subscribe(subscribe)),
            Packet::Unsubscribe(unsubscribe) => Ok(Event::Unsubscribe(unsubscribe)),
            Packet::PingReq => {
                out.put_slice(&PINGRESP);
                Ok(Event::Handled)
            }
            Packet::Disconnect(disconnect) => self.disconnected(&disconnect),
            Packet::Connect(_) => {
                Err(Violation::protocol("a second CONNECT on the connection [MQTT-3.1.0-2]"))
            }
            Packet::Auth(_) => {
                Err(Violation::protocol("AUTH without an authentication method in CONNECT [MQTT-4.12.0-6]"))
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Violation::protocol("a packet that only a server sends"))
            }
        }
    }

    fn disconnected<'a>(&mut self, disconnect: &Disconnect) -> Result<Event<'a, M>, Violation> {
        if let Some(seconds) = disconnect.session_expiry_seconds {
            if self.negotiated.session_expiry_seconds == 0 && seconds != 0 {
                return Err(Violation::protocol(
                    "DISCONNECT sets a session expiry, but CONNECT had none [MQTT-3.14.2.2.2]",
                ));
            }
            self.negotiated.session_expiry_seconds = seconds.min(self.negotiated.session_expiry_max_seconds);
        }
        Ok(Event::Disconnected { publish_will: disconnect.reason != ReasonCode::Success })
    }

    /// Something arrived at `now`: the keep-alive starts anew. Once per read is enough.
    pub fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// When [`Self::handle_timeout`] must be called next, if nothing arrives until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let keep_alive = self.negotiated.keep_alive_seconds;
        (keep_alive > 0).then(|| self.last_received + Duration::from_millis(u64::from(keep_alive) * 1500))
    }

    /// Whether the client kept its promise of keep-alive [MQTT-3.1.2-22].
    ///
    /// # Errors
    /// The violation with which to end the connection once one and a half keep-alive times have passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Violation> {
        match self.poll_timeout() {
            Some(deadline) if deadline <= now => Err(Violation::Protocol {
                reason: ReasonCode::KeepAliveTimeout,
                detail: "nothing arrived for one and a half keep-alive times [MQTT-3.1.2-22]",
            }),
            _ => Ok(()),
        }
    }

    /// The broker is done with a PUBLISH of QoS 1 or 2: its PUBACK or PUBREC leaves when every earlier one has left
    /// [MQTT-4.6.0-2] and storage has reached `not_before` (see [`Self::release`]); `durable` is where storage is now.
    pub fn acknowledge(
        &mut self,
        packet_id: PacketId,
        qos: QoS,
        reason: ReasonCode,
        not_before: u64,
        durable: u64,
        out: &mut BytesMut,
    ) {
        let answer = match qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Answer::PubAck(packet_id, reason),
            QoS::ExactlyOnce => Answer::PubRec(packet_id, reason),
        };
        self.answer(answer, not_before, durable, out);
    }

    /// A message of QoS 2 was not taken, and the version has no way to say so: the client will send it again. False if
    /// there is no such exchange.
    pub fn forget_received(&mut self, packet_id: PacketId) -> bool {
        self.inbound.forget(packet_id)
    }

    /// Sends an answer when every earlier one has left and storage, which is at `durable` now, has reached `not_before`.
    pub fn answer(&mut self, answer: Answer, not_before: u64, durable: u64, out: &mut BytesMut) {
        self.inbound.answer(answer, not_before, self.negotiated.version, durable, out);
    }

    /// Sends the answers that waited for storage to reach `durable`.
    pub fn release(&mut self, durable: u64, out: &mut BytesMut) {
        self.inbound.release(self.negotiated.version, durable, out);
    }

    /// Where storage must be for the next waiting acknowledgement to leave.
    pub fn awaits_storage(&self) -> Option<u64> {
        self.inbound.next_due()
    }

    /// How many acknowledgements wait for storage. The shell stops reading at the receive maximum, which bounds
    /// clients of MQTT 3 too.
    pub fn acknowledgements_waiting(&self) -> usize {
        self.inbound.waiting()
    }

    /// Sends a message, with a packet id of its own above QoS 0, which is returned, and keeps it until it is settled.
    ///
    /// # Errors
    /// [`Undelivered`] gives the message back while the window is closed, and tells of one that must not be sent.
    pub fn deliver(
        &mut self,
        now: Instant,
        message: M,
        out: &mut BytesMut,
    ) -> Result<Option<PacketId>, Undelivered<M>> {
        self.outbound.deliver(self.negotiated.version, now, message, out)
    }

    /// Sends an encoded PUBLISH of QoS 1 or 2 with a fresh packet id written over the two bytes at `packet_id_at`.
    /// The frame is not kept: for sessions that end with their connection. False: the window is closed.
    pub fn deliver_frame(&mut self, frame: &[u8], packet_id_at: usize, qos: QoS, out: &mut BytesMut) -> bool {
        let Some(packet_id) = self.outbound.open(qos, None) else { return false };
        let start = out.len();
        out.put_slice(frame);
        if let Some(place) = out.get_mut(start + packet_id_at..start + packet_id_at + 2) {
            place.copy_from_slice(&packet_id.as_u16().to_be_bytes());
        }
        true
    }

    /// Sends again what the last connection left unacknowledged, in its order [MQTT-4.4.0-1], [MQTT-4.6.0-1], until
    /// `out` holds `bytes_max` or the window is closed.
    pub fn resend(&mut self, now: Instant, bytes_max: usize, out: &mut BytesMut) -> Resent<M> {
        self.outbound.resend(self.negotiated.version, now, bytes_max, out)
    }

    /// Whether [`Self::resend`] would send something now.
    pub fn may_resend(&self) -> bool {
        self.outbound.may_resend()
    }

    /// Settles the messages that [`Self::resend`] has not sent yet and that `keeps` says no to, and returns them: the client
    /// may no longer have them. One that the client has got already, and only has to be released, stays.
    pub fn withdraw(&mut self, keeps: impl Fn(&M) -> bool) -> Vec<M> {
        self.outbound.withdraw(keeps)
    }

    /// The messages on their way to the client that are kept to be sent again.
    pub fn messages_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.outbound.messages_mut()
    }

    /// How many messages to the client are not settled yet.
    pub fn inflight(&self) -> usize {
        self.outbound.inflight()
    }

    /// Whether a QoS 1 or 2 message could be sent now.
    pub fn window_is_open(&self) -> bool {
        self.outbound.window_is_open()
    }

    /// A DISCONNECT for the reason, where the version has one [MQTT 5.0, section 3.14]; older clients are only cut off.
    pub fn disconnect(&self, reason: ReasonCode, out: &mut BytesMut) {
        if self.negotiated.version.is_v5() {
            let packet = Disconnect::new(reason);
            // A DISCONNECT without properties has nothing that could be too long to encode.
            packet.encode(self.negotiated.version, out).ok();
        }
    }
}

/// PINGRESP, the same in every version [MQTT 5.0, section 3.13].
const PINGRESP: [u8; 2] = [0xD0, 0];

/// Appends an acknowledgement: four bytes on success, a reason code only for MQTT 5 and only on failure.
fn put_ack(version: Version, first_byte: u8, packet_id: PacketId, reason: ReasonCode, out: &mut BytesMut) {
    let [high, low] = packet_id.as_u16().to_be_bytes();
    if version.is_v5() && reason != ReasonCode::Success {
        out.put_slice(&[first_byte, 3, high, low, reason.byte()]);
    } else {
        out.put_slice(&[first_byte, 2, high, low]);
    }
}

/// First bytes of the acknowledgements; PUBREL has the reserved flags 0010 [MQTT-3.6.1-1].
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

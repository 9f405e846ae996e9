//! Messages to the client: packet ids, the send window, and what must be sent again after a reconnect.
//!
//! Packet ids are handed out one after the other, so the slot of an id is found by its distance from the oldest one:
//! no map, and the order of sending is the order of the slots.

use std::{collections::VecDeque, time::Instant};

use bytes::BytesMut;

use super::{Event, Negotiated, PUBREL, put_ack};
use crate::{
    PacketId, QoS, ReasonCode, Version,
    packet::{Ack, Outgoing},
};

/// What a session needs of the broker's handle to a stored message.
pub trait Message {
    /// The PUBLISH to send, without packet id and DUP, as of `now` (the remaining expiry depends on it).
    fn outgoing(&self, now: Instant) -> Outgoing<'_>;
    /// Whether the message's expiry interval has passed: it must not be sent any more [MQTT-3.3.2-5].
    fn has_expired(&self, now: Instant) -> bool;
}

/// Why [`super::Session::deliver`] did not send a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Undelivered<M> {
    /// The window is closed: keep it and come back after the next acknowledgement.
    WindowClosed(M),
    /// Larger than the client's maximum packet size: dropped as if it had been sent [MQTT-3.1.2-25].
    TooLarge(M),
    /// Its expiry interval has passed.
    Expired(M),
}

/// What [`super::Session::resend`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Resent<M> {
    /// Whether nothing is left to send again.
    pub complete: bool,
    /// Larger than the new connection's maximum packet size: dropped as if they had been sent [MQTT-3.1.2-25].
    pub dropped: Vec<M>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Settled, but an older slot is not: the place is kept so that the arithmetic of ids holds.
    Settled,
    AwaitsPubAck,
    AwaitsPubRec,
    AwaitsPubComp,
}

#[derive(Debug)]
struct Slot<M> {
    stage: Stage,
    /// Sent on the present connection, and so counted in the window.
    sent: bool,
    message: Option<M>,
}

#[derive(Debug)]
pub(super) struct Outbound<M> {
    window: usize,
    packet_bytes_max: usize,
    /// The id of the first slot, or the next one to hand out while there is no slot.
    oldest: PacketId,
    slots: VecDeque<Slot<M>>,
    /// Slots sent on this connection and not settled.
    outstanding: usize,
    /// Slots not settled, sent on this connection or not.
    unsettled: usize,
    /// The first slot that [`Self::resend`] has not looked at yet; everything before was sent on this connection.
    resend_from: usize,
}

/// As many slots as there are packet ids [MQTT-2.2.1-4].
const SLOTS_MAX: usize = u16::MAX as usize;

impl<M: Message> Outbound<M> {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        Self {
            window: usize::from(negotiated.window.get()),
            packet_bytes_max: negotiated.outgoing_packet_bytes_max as usize,
            oldest: PacketId::FIRST,
            slots: VecDeque::new(),
            outstanding: 0,
            unsettled: 0,
            resend_from: 0,
        }
    }

    pub(super) fn resume(&mut self, negotiated: &Negotiated) {
        self.window = usize::from(negotiated.window.get());
        self.packet_bytes_max = negotiated.outgoing_packet_bytes_max as usize;
        // A frame of which no copy was kept cannot be sent again: its session did not outlive its connection.
        for slot in &mut self.slots {
            slot.sent = false;
            if slot.message.is_none() && slot.stage != Stage::AwaitsPubComp {
                self.unsettled -= usize::from(slot.stage != Stage::Settled);
                slot.stage = Stage::Settled;
            }
        }
        self.outstanding = 0;
        self.resend_from = 0;
        self.forget_settled();
    }

    pub(super) fn deliver(
        &mut self,
        version: Version,
        now: Instant,
        message: M,
        out: &mut BytesMut,
    ) -> Result<Option<PacketId>, Undelivered<M>> {
        if message.has_expired(now) {
            return Err(Undelivered::Expired(message));
        }
        let mut outgoing = message.outgoing(now);
        if outgoing.len(version) > self.packet_bytes_max {
            return Err(Undelivered::TooLarge(message));
        }
        let qos = outgoing.qos;
        if qos == QoS::AtMostOnce {
            return match outgoing.encode(version, out) {
                Ok(_) => Ok(None),
                Err(_) => Err(Undelivered::TooLarge(message)),
            };
        }
        if !self.window_is_open() {
            return Err(Undelivered::WindowClosed(message));
        }
        outgoing.packet_id = Some(self.next_id());
        if outgoing.encode(version, out).is_err() {
            return Err(Undelivered::TooLarge(message));
        }
        Ok(self.open(qos, Some(message)))
    }

    fn next_id(&self) -> PacketId {
        nth_successor(self.oldest, u16::try_from(self.slots.len()).unwrap_or(u16::MAX))
    }

    /// Hands out the next packet id, if the window allows.
    pub(super) fn open(&mut self, qos: QoS, message: Option<M>) -> Option<PacketId> {
        if !self.window_is_open() {
            return None;
        }
        let packet_id = self.next_id();
        let stage = if qos == QoS::ExactlyOnce { Stage::AwaitsPubRec } else { Stage::AwaitsPubAck };
        self.slots.push_back(Slot { stage, sent: true, message });
        self.outstanding += 1;
        self.unsettled += 1;
        self.resend_from = self.slots.len();
        Some(packet_id)
    }

    pub(super) fn window_is_open(&self) -> bool {
        self.outstanding < self.window && self.slots.len() < SLOTS_MAX && self.resend_from == self.slots.len()
    }

    pub(super) fn may_resend(&self) -> bool {
        self.resend_from < self.slots.len() && self.outstanding < self.window
    }

    pub(super) fn inflight(&self) -> usize {
        self.unsettled
    }

    fn slot(&mut self, packet_id: PacketId) -> Option<&mut Slot<M>> {
        self.slots.get_mut(usize::from(packet_id.steps_since(self.oldest)))
    }

    /// PUBACK: a QoS 1 message is the client's. One for an unknown id, or for a QoS 2 message, changes nothing.
    pub(super) fn acknowledged(&mut self, packet_id: PacketId) -> Option<M> {
        self.settle(packet_id, Stage::AwaitsPubAck)
    }

    /// PUBREC: a QoS 2 message is the client's, unless it refused it [MQTT-4.3.3-4]. A second one, or one for an unknown
    /// id, is answered at once.
    pub(super) fn received<'a>(&mut self, version: Version, ack: &Ack, out: &mut BytesMut) -> Event<'a, M> {
        let packet_id = ack.packet_id;
        if ack.reason.is_error() {
            return Event::Settled(self.settle(packet_id, Stage::AwaitsPubRec));
        }
        let reason = match self.slot(packet_id) {
            Some(slot) if slot.stage == Stage::AwaitsPubRec => {
                slot.stage = Stage::AwaitsPubComp;
                return Event::Received { packet_id, message: slot.message.take() };
            }
            Some(slot) if slot.stage == Stage::AwaitsPubComp => ReasonCode::Success,
            _ => ReasonCode::PacketIdentifierNotFound,
        };
        put_ack(version, PUBREL, packet_id, reason, out);
        Event::Handled
    }

    /// PUBCOMP: a QoS 2 exchange is complete. False if there was none.
    pub(super) fn completed(&mut self, packet_id: PacketId) -> bool {
        let open = self.slot(packet_id).is_some_and(|slot| slot.stage == Stage::AwaitsPubComp);
        self.settle(packet_id, Stage::AwaitsPubComp);
        open
    }

    /// Puts back what an earlier process had on its way, in the order in which it was sent; `None` is a message of which
    /// only PUBREL remains. To be followed by a resumption.
    pub(super) fn restore(
        &mut self,
        inflight: impl IntoIterator<Item = (PacketId, Option<M>)>,
        now: Instant,
    ) {
        for (packet_id, message) in inflight {
            if self.slots.is_empty() {
                self.oldest = packet_id;
            }
            let stage = match &message {
                None => Stage::AwaitsPubComp,
                Some(message) if message.outgoing(now).qos == QoS::ExactlyOnce => Stage::AwaitsPubRec,
                Some(_) => Stage::AwaitsPubAck,
            };
            // Ids in between were settled out of order: their places are kept.
            let place = usize::from(packet_id.steps_since(self.oldest));
            while self.slots.len() < place {
                self.slots.push_back(Slot { stage: Stage::Settled, sent: false, message: None });
            }
            if self.slots.len() == place {
                self.slots.push_back(Slot { stage, sent: false, message });
                self.unsettled += 1;
            }
        }
    }

    fn settle(&mut self, packet_id: PacketId, expected: Stage) -> Option<M> {
        let slot = self.slot(packet_id).filter(|slot| slot.stage == expected)?;
        slot.stage = Stage::Settled;
        let (sent, message) = (slot.sent, slot.message.take());
        self.outstanding -= usize::from(sent);
        self.unsettled -= 1;
        self.forget_settled();
        message
    }

    fn forget_settled(&mut self) {
        while let Some(slot) = self.slots.front()
            && slot.stage == Stage::Settled
        {
            self.slots.pop_front();
            self.oldest = self.oldest.successor();
            self.resend_from = self.resend_from.saturating_sub(1);
        }
    }

    pub(super) fn resend(
        &mut self,
        version: Version,
        now: Instant,
        bytes_max: usize,
        out: &mut BytesMut,
    ) -> Resent<M> {
        let mut dropped = Vec::new();
        while self.may_resend() && out.len() < bytes_max {
            let step = u16::try_from(self.resend_from).unwrap_or(u16::MAX);
            let packet_id = nth_successor(self.oldest, step);
            let Some(slot) = self.slots.get_mut(self.resend_from) else { break };
            self.resend_from += 1;
            match (slot.stage, &slot.message) {
                (Stage::Settled, _) => continue,
                (Stage::AwaitsPubComp, _) => put_ack(version, PUBREL, packet_id, ReasonCode::Success, out),
                (Stage::AwaitsPubAck | Stage::AwaitsPubRec, Some(message)) => {
                    let outgoing =
                        Outgoing { dup: true, packet_id: Some(packet_id), ..message.outgoing(now) };
                    // The new connection may have a smaller maximum packet size, or another version.
                    if outgoing.len(version) > self.packet_bytes_max || outgoing.encode(version, out).is_err()
                    {
                        slot.stage = Stage::Settled;
                        dropped.extend(slot.message.take());
                        self.unsettled -= 1;
                        continue;
                    }
                }
                (Stage::AwaitsPubAck | Stage::AwaitsPubRec, None) => continue,
            }
            slot.sent = true;
            self.outstanding += 1;
        }
        self.forget_settled();
        Resent { complete: self.resend_from >= self.slots.len(), dropped }
    }

    /// Takes out what is still to be sent again and is not to be kept.
    pub(super) fn withdraw(&mut self, keeps: impl Fn(&M) -> bool) -> Vec<M> {
        let mut withdrawn = Vec::new();
        for slot in self.slots.iter_mut().skip(self.resend_from) {
            if matches!(slot.stage, Stage::AwaitsPubAck | Stage::AwaitsPubRec)
                && let Some(message) = slot.message.take_if(|message| !keeps(message))
            {
                slot.stage = Stage::Settled;
                self.unsettled -= 1;
                withdrawn.push(message);
            }
        }
        self.forget_settled();
        withdrawn
    }

    pub(super) fn messages_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.slots.iter_mut().filter_map(|slot| slot.message.as_mut())
    }
}

fn nth_successor(id: PacketId, steps: u16) -> PacketId {
    let sum = u32::from(id.as_u16()) + u32::from(steps);
    let wrapped = if sum > u32::from(u16::MAX) { sum - u32::from(u16::MAX) } else { sum };
    u16::try_from(wrapped).ok().and_then(PacketId::new).unwrap_or(PacketId::FIRST)
}

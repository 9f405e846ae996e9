//! Messages and requests to the server: packet identifiers, the send window, and what must be sent again.
//!
//! Identifiers are handed out one after the other, so the slot of an identifier is found by its distance from the
//! oldest one, and the order of the slots is the order of sending.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{Event, GivenUp, Publication, RequestError, event::GivenUpReason, put_ack};
use crate::{
    PacketId, QoS, ReasonCode, Version,
    codec::EncodeError,
    packet::{Ack, AckType, ConnAckProperties, Outgoing},
};

/// What a slot waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing, but an older slot waits: the place is kept so that the arithmetic of identifiers holds.
    Settled,
    AwaitsPubAck,
    AwaitsPubRec,
    AwaitsPubComp,
    AwaitsSubAck {
        filters: usize,
    },
    AwaitsUnsubAck {
        filters: usize,
    },
}

impl Stage {
    const fn is_message(self) -> bool {
        matches!(self, Self::AwaitsPubAck | Self::AwaitsPubRec | Self::AwaitsPubComp)
    }
}

#[derive(Debug)]
struct Slot {
    stage: Stage,
    /// PUBLISH was sent on this connection, so it counts in the window.
    counted: bool,
    /// There until the server has taken the message over.
    publication: Option<Publication>,
}

/// The server's limits [MQTT 5.0, section 3.2.2.3].
#[derive(Debug)]
struct Limits {
    window: usize,
    packet_bytes_max: usize,
    maximum_qos: QoS,
    retain_available: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 65_535,
            packet_bytes_max: usize::MAX,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
        }
    }
}

#[derive(Debug)]
pub(super) struct Outbound {
    limits: Limits,
    /// The identifier of the first slot, or the next one to hand out while there is no slot.
    oldest: PacketId,
    slots: VecDeque<Slot>,
    /// Slots that are counted.
    outstanding: usize,
    /// Slots with a message that is not acknowledged.
    unacknowledged: usize,
    /// The first slot that [`Self::resend`] has not looked at yet.
    resend_from: usize,
    given_up: VecDeque<GivenUp>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            oldest: PacketId::FIRST,
            slots: VecDeque::new(),
            outstanding: 0,
            unacknowledged: 0,
            resend_from: 0,
            given_up: VecDeque::new(),
        }
    }
}

/// As many slots as there are packet identifiers [MQTT-2.2.1-4].
const SLOTS_MAX: usize = 65_535;
/// How much [`Outbound::resend`] lets pile up before the shell writes.
const RESEND_BYTES_MAX: usize = 65_536;

impl Outbound {
    /// A connection begins. Requests that were not answered are forgotten; messages wait for [`Self::resume`].
    pub(super) fn begin(&mut self) {
        for slot in &mut self.slots {
            slot.counted = false;
            if !slot.stage.is_message() {
                slot.stage = Stage::Settled;
            }
        }
        self.outstanding = 0;
        self.forget_settled();
        self.resend_from = self.slots.len();
    }

    /// The server has accepted the connection.
    pub(super) fn resume(&mut self, session_present: bool, properties: &ConnAckProperties) {
        self.limits = Limits {
            window: properties.receive_maximum.map_or(SLOTS_MAX, |max| max.get().into()),
            packet_bytes_max: properties.packet_bytes_max.map_or(usize::MAX, |max| max.get() as usize),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
        };
        self.resend_from = 0;
        if session_present {
            return;
        }
        let mut packet_id = self.oldest;
        for slot in self.slots.drain(..) {
            if slot.stage.is_message() {
                let reason = GivenUpReason::SessionLost;
                self.given_up.push_back(GivenUp { packet_id, publication: slot.publication, reason });
            }
            packet_id = packet_id.successor();
        }
        self.oldest = packet_id;
        self.unacknowledged = 0;
    }

    /// Sends again what the last connection left, in its order [MQTT-4.4.0-1], [MQTT-4.6.0-1], as far as the window
    /// reaches.
    #[inline]
    pub(super) fn resend(&mut self, version: Version, out: &mut BytesMut) {
        if self.resend_from < self.slots.len() {
            self.resend_some(version, out);
        }
    }

    fn resend_some(&mut self, version: Version, out: &mut BytesMut) {
        while self.resend_from < self.slots.len() && out.len() < RESEND_BYTES_MAX {
            let packet_id = nth_successor(self.oldest, self.resend_from);
            let Some(slot) = self.slots.get_mut(self.resend_from) else { return };
            match (&slot.publication, slot.stage) {
                (_, Stage::AwaitsPubComp) => {
                    put_ack(AckType::PubRel, version, packet_id, ReasonCode::Success, out);
                }
                (Some(publication), stage) if stage.is_message() => {
                    if self.outstanding >= self.limits.window {
                        return;
                    }
                    let outgoing = publication.outgoing(Some(packet_id), true);
                    let is_sent = self.limits.allow(version, &outgoing).is_ok()
                        && outgoing.encode(version, out).is_ok();
                    if is_sent {
                        slot.counted = true;
                        self.outstanding += 1;
                    } else {
                        slot.stage = Stage::Settled;
                        self.unacknowledged -= 1;
                        let publication = slot.publication.take();
                        let reason = GivenUpReason::NotSendable;
                        self.given_up.push_back(GivenUp { packet_id, publication, reason });
                    }
                }
                _ => {}
            }
            self.resend_from += 1;
        }
        self.forget_settled();
    }

    pub(super) fn publish(
        &mut self,
        version: Version,
        publication: &Publication,
        out: &mut BytesMut,
    ) -> Result<Option<PacketId>, RequestError> {
        let stage = match publication.qos {
            QoS::AtMostOnce => {
                let outgoing = publication.outgoing(None, false);
                self.limits.allow(version, &outgoing)?;
                outgoing.encode(version, out)?;
                return Ok(None);
            }
            QoS::AtLeastOnce => Stage::AwaitsPubAck,
            QoS::ExactlyOnce => Stage::AwaitsPubRec,
        };
        if self.window() == 0 {
            return Err(RequestError::WindowClosed);
        }
        let packet_id = self.next_id()?;
        let outgoing = publication.outgoing(Some(packet_id), false);
        self.limits.allow(version, &outgoing)?;
        outgoing.encode(version, out)?;
        self.open(stage, Some(publication.clone()));
        Ok(Some(packet_id))
    }

    /// Lets `encode` append a packet that the server accepts by its size; nothing is appended otherwise.
    pub(super) fn check_size(
        &self,
        out: &mut BytesMut,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
    ) -> Result<(), RequestError> {
        let start = out.len();
        encode(out)?;
        let (bytes, max) = (out.len() - start, self.limits.packet_bytes_max);
        if bytes > max {
            out.truncate(start);
            return Err(RequestError::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// The identifier that the next slot will have.
    pub(super) fn next_id(&self) -> Result<PacketId, RequestError> {
        if self.slots.len() >= SLOTS_MAX {
            return Err(RequestError::WindowClosed);
        }
        Ok(nth_successor(self.oldest, self.slots.len()))
    }

    /// Takes the place of [`Self::next_id`].
    pub(super) fn open(&mut self, stage: Stage, publication: Option<Publication>) {
        let counted = stage.is_message();
        self.outstanding += usize::from(counted);
        self.unacknowledged += usize::from(counted);
        if self.resend_from == self.slots.len() {
            self.resend_from += 1;
        }
        self.slots.push_back(Slot { stage, counted, publication });
    }

    /// How many messages the window has room for. None as long as something must be sent again before.
    pub(super) fn window(&self) -> usize {
        if self.resend_from < self.slots.len() {
            return 0;
        }
        self.limits.window.saturating_sub(self.outstanding).min(SLOTS_MAX - self.slots.len())
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    pub(super) fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.given_up.pop_front()
    }

    pub(super) fn stage(&self, packet_id: PacketId) -> Option<Stage> {
        self.slots.get(usize::from(packet_id.steps_since(self.oldest))).map(|slot| slot.stage)
    }

    /// PUBREC with success: the message is the server's. False if no message waits for it.
    pub(super) fn received(&mut self, packet_id: PacketId) -> bool {
        match self.slots.get_mut(usize::from(packet_id.steps_since(self.oldest))) {
            Some(slot) if matches!(slot.stage, Stage::AwaitsPubRec | Stage::AwaitsPubComp) => {
                slot.stage = Stage::AwaitsPubComp;
                slot.publication = None;
                true
            }
            _ => false,
        }
    }

    /// The exchange that was at `stage` is over; an acknowledgement that fits to nothing changes nothing.
    #[inline]
    pub(super) fn finished<'a>(&mut self, stage: Stage, ack: &Ack) -> Option<Event<'a>> {
        self.settle(ack.packet_id, stage)?;
        // A PUBCOMP can only say that the server had forgotten the identifier, which it did after taking the message.
        let reason = if stage == Stage::AwaitsPubComp { ReasonCode::Success } else { ack.reason };
        Some(Event::Published { packet_id: ack.packet_id, reason })
    }

    /// Frees the slot if it is at the stage.
    #[inline]
    pub(super) fn settle(&mut self, packet_id: PacketId, expected: Stage) -> Option<()> {
        let slot = self.slots.get_mut(usize::from(packet_id.steps_since(self.oldest)))?;
        if slot.stage != expected {
            return None;
        }
        self.outstanding -= usize::from(slot.counted);
        self.unacknowledged -= usize::from(slot.stage.is_message());
        *slot = Slot { stage: Stage::Settled, counted: false, publication: None };
        self.forget_settled();
        Some(())
    }

    fn forget_settled(&mut self) {
        while let Some(Slot { stage: Stage::Settled, .. }) = self.slots.front() {
            self.slots.pop_front();
            self.oldest = self.oldest.successor();
            self.resend_from = self.resend_from.saturating_sub(1);
        }
    }
}

impl Limits {
    fn allow(&self, version: Version, outgoing: &Outgoing<'_>) -> Result<(), RequestError> {
        if outgoing.qos > self.maximum_qos {
            return Err(RequestError::QoSNotSupported);
        }
        if outgoing.retain && !self.retain_available {
            return Err(RequestError::RetainNotSupported);
        }
        if self.packet_bytes_max < usize::MAX {
            let bytes = outgoing.len(version);
            if bytes > self.packet_bytes_max {
                return Err(RequestError::TooLarge { bytes, max: self.packet_bytes_max });
            }
        }
        Ok(())
    }
}

/// The identifier `steps` (0 to 65534) after `id`; the circle of identifiers leaves zero out.
fn nth_successor(id: PacketId, steps: usize) -> PacketId {
    let at = (usize::from(id.as_u16()) - 1 + steps) % SLOTS_MAX;
    u16::try_from(at + 1).ok().and_then(PacketId::new).unwrap_or(PacketId::FIRST)
}

//! Messages from the client: topic aliases, the receive window, QoS 2 without duplicates, acknowledgements in order.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU16,
    sync::Arc,
};

use bytes::BytesMut;

use super::{Event, Negotiated, PUBACK, PUBCOMP, PUBREC, Violation, put_ack};
use crate::{PacketId, QoS, ReasonCode, Version, packet::Publish};

/// An acknowledgement that may have to wait for storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingAck {
    pub(super) packet_id: PacketId,
    pub(super) qos: QoS,
    pub(super) reason: ReasonCode,
    pub(super) not_before: u64,
}

#[derive(Debug)]
pub(super) struct Inbound {
    receive_maximum: u16,
    topic_alias_maximum: u16,
    /// QoS 2 packet ids between PUBLISH and PUBREL: a second PUBLISH with one of them is a duplicate. Survives the
    /// connection.
    received: BTreeSet<PacketId>,
    /// Acknowledgements in the order of their PUBLISH packets.
    pending: VecDeque<PendingAck>,
    /// How many of `pending` are of QoS 1; those of QoS 2 are counted by `received`.
    pending_qos1: usize,
    /// Topics by alias, the first at index 0.
    aliases: Vec<Option<Arc<str>>>,
}

impl Inbound {
    pub(super) fn new(negotiated: &Negotiated) -> Self {
        Self {
            receive_maximum: negotiated.receive_maximum.get(),
            topic_alias_maximum: negotiated.topic_alias_maximum,
            received: BTreeSet::new(),
            pending: VecDeque::new(),
            pending_qos1: 0,
            aliases: Vec::new(),
        }
    }

    pub(super) fn resume(&mut self, negotiated: &Negotiated) {
        let received = std::mem::take(&mut self.received);
        *self = Self { received, ..Self::new(negotiated) };
    }

    pub(super) fn publish<'a, M>(
        &mut self,
        version: Version,
        publish: Publish<'a>,
        out: &mut BytesMut,
    ) -> Result<Event<'a, M>, Violation> {
        if publish.properties.subscription_ids().next().is_some() {
            return Err(Violation::protocol("a subscription identifier from a client [MQTT-3.3.4-6]"));
        }
        let alias = match publish.properties.topic_alias {
            None => None,
            Some(alias) => self.resolve(alias, publish.topic)?,
        };
        let Some(packet_id) = publish.packet_id else { return Ok(Event::Publish { publish, alias }) };
        let duplicate = publish.qos == QoS::ExactlyOnce && self.received.contains(&packet_id);
        if !duplicate
            && version.is_v5()
            && self.pending_qos1 + self.received.len() >= usize::from(self.receive_maximum)
        {
            return Err(Violation::Protocol {
                reason: ReasonCode::ReceiveMaximumExceeded,
                detail: "more unacknowledged messages than the receive maximum [MQTT-3.3.4-7]",
            });
        }
        if duplicate {
            // [MQTT-4.3.3-10]: answered again, but not routed again.
            if !self.pending.iter().any(|ack| ack.packet_id == packet_id) {
                put_ack(version, PUBREC, packet_id, ReasonCode::Success, out);
            }
            return Ok(Event::Handled);
        }
        if publish.qos == QoS::ExactlyOnce {
            self.received.insert(packet_id);
        }
        Ok(Event::Publish { publish, alias })
    }

    /// The topic of an alias, or the alias learned from the topic [MQTT 5.0, section 3.3.2.3.4].
    fn resolve(&mut self, alias: NonZeroU16, topic: &str) -> Result<Option<Arc<str>>, Violation> {
        if alias.get() > self.topic_alias_maximum {
            return Err(Violation::Protocol {
                reason: ReasonCode::TopicAliasInvalid,
                detail: "a topic alias over the topic alias maximum [MQTT-3.3.2-9]",
            });
        }
        let at = usize::from(alias.get()) - 1;
        if topic.is_empty() {
            return match self.aliases.get(at) {
                Some(Some(known)) => Ok(Some(Arc::clone(known))),
                _ => Err(Violation::protocol("a topic alias that was never given a topic [MQTT-3.3.2-12]")),
            };
        }
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        if let Some(place) = self.aliases.get_mut(at) {
            *place = Some(topic.into());
        }
        Ok(None)
    }

    pub(super) fn acknowledge(
        &mut self,
        ack: PendingAck,
        version: Version,
        durable: u64,
        out: &mut BytesMut,
    ) {
        if self.pending.is_empty() && ack.not_before <= durable {
            self.send(ack, version, out);
            return;
        }
        self.pending_qos1 += usize::from(ack.qos == QoS::AtLeastOnce);
        self.pending.push_back(ack);
        self.release(version, durable, out);
    }

    pub(super) fn release(&mut self, version: Version, durable: u64, out: &mut BytesMut) {
        while let Some(&ack) = self.pending.front()
            && ack.not_before <= durable
        {
            self.pending.pop_front();
            self.pending_qos1 -= usize::from(ack.qos == QoS::AtLeastOnce);
            self.send(ack, version, out);
        }
    }

    fn send(&mut self, ack: PendingAck, version: Version, out: &mut BytesMut) {
        match ack.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => put_ack(version, PUBACK, ack.packet_id, ack.reason, out),
            QoS::ExactlyOnce => {
                if version.is_v5() && ack.reason.is_error() {
                    // A PUBREC with a failure ends the exchange [MQTT 5.0, section 4.3.3].
                    self.received.remove(&ack.packet_id);
                }
                put_ack(version, PUBREC, ack.packet_id, ack.reason, out);
            }
        }
    }

    /// PUBREL arrived. An unknown packet id is answered too: PUBCOMP is what lets the client forget it.
    pub(super) fn released(&mut self, version: Version, packet_id: PacketId, out: &mut BytesMut) {
        let reason = if self.received.remove(&packet_id) {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        put_ack(version, PUBCOMP, packet_id, reason, out);
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.pending.front().map(|ack| ack.not_before)
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }
}

//! Messages from the client: topic aliases, the receive window, QoS 2 without duplicates, acknowledgements in order.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU16,
    sync::Arc,
};

use bytes::BytesMut;

use super::{Answer, Event, Negotiated, PUBCOMP, PUBREC, Violation, put_ack};
use crate::{PacketId, QoS, ReasonCode, Version, packet::Publish};

/// An answer, and where storage must be before it leaves.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    not_before: u64,
}

#[derive(Debug)]
pub(super) struct Inbound {
    receive_maximum: u16,
    topic_alias_maximum: u16,
    /// QoS 2 packet ids between PUBLISH and PUBREL: a second PUBLISH with one of them is a duplicate. Survives the
    /// connection.
    received: BTreeSet<PacketId>,
    /// Answers in the order in which they were decided, and so acknowledgements in the order of their PUBLISH packets.
    pending: VecDeque<Pending>,
    /// How many of `pending` are PUBACKs: messages of QoS 2 are counted by `received`.
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
            let waits = |pending: &Pending| matches!(pending.answer, Answer::PubRec(id, _) if id == packet_id);
            if !self.pending.iter().any(waits) {
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

    pub(super) fn answer(
        &mut self,
        answer: Answer,
        not_before: u64,
        version: Version,
        durable: u64,
        out: &mut BytesMut,
    ) {
        if self.pending.is_empty() && not_before <= durable {
            self.send(&answer, version, out);
            return;
        }
        self.pending_qos1 += usize::from(matches!(answer, Answer::PubAck(..)));
        self.pending.push_back(Pending { answer, not_before });
        self.release(version, durable, out);
    }

    pub(super) fn release(&mut self, version: Version, durable: u64, out: &mut BytesMut) {
        while self.pending.front().is_some_and(|next| next.not_before <= durable)
            && let Some(Pending { answer, .. }) = self.pending.pop_front()
        {
            self.pending_qos1 -= usize::from(matches!(answer, Answer::PubAck(..)));
            self.send(&answer, version, out);
        }
    }

    fn send(&mut self, answer: &Answer, version: Version, out: &mut BytesMut) {
        if let Answer::PubRec(packet_id, reason) = answer
            && version.is_v5()
            && reason.is_error()
        {
            // A PUBREC with a failure ends the exchange [MQTT 5.0, section 4.3.3].
            self.received.remove(packet_id);
        }
        answer.put(version, out);
    }

    /// PUBREL arrived. False: the packet id is not known, and answered at once, because PUBCOMP is what lets the client
    /// forget it.
    pub(super) fn released(&mut self, version: Version, packet_id: PacketId, out: &mut BytesMut) -> bool {
        let known = self.received.remove(&packet_id);
        if !known {
            put_ack(version, PUBCOMP, packet_id, ReasonCode::PacketIdentifierNotFound, out);
        }
        known
    }

    pub(super) fn restore(&mut self, received: impl IntoIterator<Item = PacketId>) {
        self.received.extend(received);
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.pending.front().map(|next| next.not_before)
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }
}

//! Messages from the client: topic aliases, the receive window, QoS 2 without duplicates, acknowledgements in order.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU16,
    sync::Arc,
};

use bytes::BytesMut;

use super::{Answer, Event, Negotiated, PUBCOMP, Violation, put_ack};
use crate::{PacketId, QoS, ReasonCode, Version, packet::Publish};

/// An answer, and where storage must be before it leaves.
#[derive(Debug)]
struct Pending {
    answer: Answer,
    not_before: u64,
}

/// A message of QoS 2 between its PUBLISH and its PUBREL.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    /// Where storage must be before PUBREC may say that the message is safe.
    not_before: u64,
    counted: bool,
}

#[derive(Debug)]
pub(super) struct Inbound {
    receive_maximum: u16,
    topic_alias_maximum: u16,
    maximum_qos: QoS,
    retain_available: bool,
    /// QoS 2 packet ids between PUBLISH and PUBREL: a second PUBLISH with one of them is a duplicate. Survives the
    /// connection.
    received: BTreeMap<PacketId, Exchange>,
    /// How many of them were sent on this connection, and so count in its receive window [MQTT 5.0, section 4.9].
    counted: usize,
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
            maximum_qos: negotiated.maximum_qos,
            retain_available: negotiated.retain_available,
            received: BTreeMap::new(),
            counted: 0,
            pending: VecDeque::new(),
            pending_qos1: 0,
            aliases: Vec::new(),
        }
    }

    pub(super) fn resume(&mut self, negotiated: &Negotiated) {
        let mut received = std::mem::take(&mut self.received);
        for exchange in received.values_mut() {
            exchange.counted = false;
        }
        *self = Self { received, ..Self::new(negotiated) };
    }

    pub(super) fn publish<'a, M>(
        &mut self,
        version: Version,
        publish: Publish<'a>,
    ) -> Result<Event<'a, M>, Violation> {
        if publish.properties.subscription_ids().next().is_some() {
            return Err(Violation::protocol("a subscription identifier from a client [MQTT-3.3.4-6]"));
        }
        if publish.qos > self.maximum_qos {
            return Err(Violation::Protocol {
                reason: ReasonCode::QoSNotSupported,
                detail: "a message at a higher QoS than allowed [MQTT-3.2.2-11]",
            });
        }
        if publish.retain && !self.retain_available {
            return Err(Violation::Protocol {
                reason: ReasonCode::RetainNotSupported,
                detail: "a message to be retained, which is not available [MQTT-3.2.2-14]",
            });
        }
        let alias = match publish.properties.topic_alias {
            None => None,
            Some(alias) => self.resolve(alias, publish.topic)?,
        };
        let Some(packet_id) = publish.packet_id else { return Ok(Event::Publish { publish, alias }) };
        let known = if publish.qos == QoS::ExactlyOnce { self.received.get_mut(&packet_id) } else { None };
        let repeated = known.as_ref().map(|exchange| exchange.not_before);
        if known.is_none_or(|exchange| !exchange.counted) {
            if version.is_v5() && self.pending_qos1 + self.counted >= usize::from(self.receive_maximum) {
                return Err(Violation::Protocol {
                    reason: ReasonCode::ReceiveMaximumExceeded,
                    detail: "more unacknowledged messages than the receive maximum [MQTT-3.3.4-7]",
                });
            }
            self.counted += usize::from(publish.qos == QoS::ExactlyOnce);
        }
        if let Some(not_before) = repeated {
            // [MQTT-4.3.3-10]: answered again, but not routed again.
            if let Some(exchange) = self.received.get_mut(&packet_id) {
                exchange.counted = true;
            }
            let waits =
                |pending: &Pending| matches!(pending.answer, Answer::PubRec(id, _) if id == packet_id);
            if self.pending.iter().any(waits) {
                return Ok(Event::Handled);
            }
            return Ok(Event::Repeated { packet_id, not_before });
        }
        if publish.qos == QoS::ExactlyOnce {
            self.received.insert(packet_id, Exchange { not_before: 0, counted: true });
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
        if let Answer::PubRec(packet_id, reason) = answer
            && version.is_v5()
            && reason.is_error()
        {
            // It ends the exchange [MQTT 5.0, section 4.3.3], even if it is lost on its way: then the message comes
            // again, and is decided on again.
            self.forget(packet_id);
        }
        if self.pending.is_empty() && not_before <= durable {
            answer.put(version, out);
            return;
        }
        if let Answer::PubRec(packet_id, _) = &answer
            && let Some(exchange) = self.received.get_mut(packet_id)
        {
            exchange.not_before = not_before;
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
            answer.put(version, out);
        }
    }

    /// PUBREL arrived. False: the packet id is not known, and answered at once, because PUBCOMP is what lets the client
    /// forget it.
    pub(super) fn released(&mut self, version: Version, packet_id: PacketId, out: &mut BytesMut) -> bool {
        let known = self.forget(packet_id);
        if !known {
            put_ack(version, PUBCOMP, packet_id, ReasonCode::PacketIdentifierNotFound, out);
        }
        known
    }

    pub(super) fn forget(&mut self, packet_id: PacketId) -> bool {
        let exchange = self.received.remove(&packet_id);
        self.counted -= usize::from(exchange.is_some_and(|exchange| exchange.counted));
        exchange.is_some()
    }

    pub(super) fn restore(&mut self, received: impl IntoIterator<Item = PacketId>) {
        let exchanges = received.into_iter().map(|id| (id, Exchange { not_before: 0, counted: false }));
        self.received.extend(exchanges);
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.pending.front().map(|next| next.not_before)
    }

    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }
}

//! Messages from the server: topic aliases, the receive window, QoS 2 without duplicates, acknowledgements in order.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU16,
};

use bytes::BytesMut;

use super::ConnectionError;
use crate::{
    PacketId, QoS, ReasonCode, Version,
    packet::{Ack, AckType, Connect, Publish},
};

/// Stands for a received message of QoS 1 or 2 until it is acknowledged. It loses its meaning with the connection,
/// so an acknowledgement that comes too late cannot hit another message with the same packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// Counted over all connections.
    sequence: u64,
    packet_id: PacketId,
}

impl Receipt {
    /// The packet identifier of the PUBLISH, for log lines.
    pub const fn packet_id(self) -> PacketId {
        self.packet_id
    }
}

/// A message whose PUBACK or PUBREC has not left.
#[derive(Debug, Clone, Copy)]
struct Owed {
    packet_id: PacketId,
    exactly_once: bool,
    /// The application is done with it, but not with all that arrived before.
    ready: bool,
}

/// How far the exchange of a QoS 2 message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    /// The application has it. Ends with the connection, after which the server sends it again.
    Delivered,
    /// PUBREC has left: the message is ours. Outlives the connection.
    Taken,
}

#[derive(Debug, Default)]
pub(super) struct Inbound {
    is_v5: bool,
    receive_maximum: usize,
    topic_alias_maximum: usize,
    /// In the order of arrival; the first has the sequence number `first`.
    owed: VecDeque<Owed>,
    first: u64,
    /// QoS 2 messages whose PUBREL has not come: a second PUBLISH is a duplicate.
    exchanges: BTreeMap<PacketId, Exchange>,
    /// Messages of this connection that count against the receive maximum.
    outstanding: usize,
    /// Topics by alias, the first at index 0.
    aliases: Vec<String>,
}

impl Inbound {
    /// A connection begins: nothing of the last one can be acknowledged any more.
    pub(super) fn begin(&mut self, connect: &Connect) {
        self.is_v5 = connect.version == Version::V5;
        self.receive_maximum = connect.properties.receive_maximum.map_or(65_535, |max| max.get().into());
        self.topic_alias_maximum = connect.properties.topic_alias_maximum.into();
        self.first += self.owed.len() as u64;
        self.owed.clear();
        self.exchanges.retain(|_, exchange| *exchange == Exchange::Taken);
        self.outstanding = 0;
        self.aliases.clear();
    }

    /// The server has accepted it, with the old session or with a new one.
    pub(super) fn resume(&mut self, session_present: bool) {
        if !session_present {
            self.exchanges.clear();
        }
    }

    /// `None` for a duplicate, which is answered here; otherwise the receipt that QoS 1 and 2 need.
    #[inline]
    pub(super) fn publish(
        &mut self,
        publish: &Publish<'_>,
        out: &mut BytesMut,
    ) -> Result<Option<Option<Receipt>>, ConnectionError> {
        if let Some(alias) = publish.properties.topic_alias {
            self.learn(alias, publish.topic)?;
        }
        let Some(packet_id) = publish.packet_id else { return Ok(Some(None)) };
        let exactly_once = publish.qos == QoS::ExactlyOnce;
        if exactly_once && self.is_duplicate(packet_id, out) {
            return Ok(None);
        }
        if self.is_v5 && self.outstanding >= self.receive_maximum {
            return Err(ConnectionError::Protocol {
                reason: ReasonCode::ReceiveMaximumExceeded,
                detail: "more unacknowledged messages than the receive maximum [MQTT-3.3.4-9]",
            });
        }
        if exactly_once {
            self.exchanges.insert(packet_id, Exchange::Delivered);
        }
        self.outstanding += 1;
        let sequence = self.first + self.owed.len() as u64;
        self.owed.push_back(Owed { packet_id, exactly_once, ready: false });
        Ok(Some(Some(Receipt { sequence, packet_id })))
    }

    /// [MQTT-4.3.3-10]: answered again if it was answered, but delivered once.
    fn is_duplicate(&self, packet_id: PacketId, out: &mut BytesMut) -> bool {
        let exchange = self.exchanges.get(&packet_id);
        if exchange == Some(&Exchange::Taken) {
            put_ack(AckType::PubRec, packet_id, out);
        }
        exchange.is_some()
    }

    #[inline]
    pub(super) fn acknowledge(&mut self, receipt: Receipt, out: &mut BytesMut) -> bool {
        let place = receipt.sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(owed) = place.and_then(|at| self.owed.get_mut(at)) else { return false };
        owed.ready = true;
        while let Some(&Owed { packet_id, exactly_once, ready: true }) = self.owed.front() {
            self.owed.pop_front();
            self.first += 1;
            if exactly_once {
                self.exchanges.insert(packet_id, Exchange::Taken);
                put_ack(AckType::PubRec, packet_id, out);
            } else {
                self.outstanding = self.outstanding.saturating_sub(1);
                put_ack(AckType::PubAck, packet_id, out);
            }
        }
        true
    }

    /// PUBREL: the identifier is free again. The answer says whether it was known.
    pub(super) fn released(&mut self, packet_id: PacketId) -> ReasonCode {
        if self.exchanges.get(&packet_id) != Some(&Exchange::Taken) {
            return ReasonCode::PacketIdentifierNotFound;
        }
        self.exchanges.remove(&packet_id);
        // One that was taken on an earlier connection was not counted on this one.
        self.outstanding = self.outstanding.saturating_sub(1);
        ReasonCode::Success
    }

    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// The topic of an alias that [`Self::publish`] has accepted.
    pub(super) fn topic(&self, alias: NonZeroU16) -> &str {
        self.aliases.get(usize::from(alias.get()) - 1).map(String::as_str).unwrap_or_default()
    }

    /// [MQTT 5.0, section 3.3.2.3.4]
    fn learn(&mut self, alias: NonZeroU16, topic: &str) -> Result<(), ConnectionError> {
        if usize::from(alias.get()) > self.topic_alias_maximum {
            return Err(ConnectionError::Protocol {
                reason: ReasonCode::TopicAliasInvalid,
                detail: "a topic alias over the topic alias maximum [MQTT-3.1.2-26]",
            });
        }
        let at = usize::from(alias.get()) - 1;
        if topic.is_empty() {
            return match self.aliases.get(at) {
                Some(known) if !known.is_empty() => Ok(()),
                _ => Err(ConnectionError::Protocol {
                    reason: ReasonCode::ProtocolError,
                    detail: "a topic alias that was never given a topic [MQTT 5.0, section 3.3.2.3.4]",
                }),
            };
        }
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, String::new());
        }
        if let Some(known) = self.aliases.get_mut(at) {
            known.clear();
            known.push_str(topic);
        }
        Ok(())
    }
}

#[inline]
fn put_ack(kind: AckType, packet_id: PacketId, out: &mut BytesMut) {
    // A success has the same four bytes in every version and cannot fail.
    Ack::new(packet_id, ReasonCode::Success).encode(kind, Version::V311, out).ok();
}

//! Answers to the client that may have to wait for storage, sent in the order in which they were decided.

use bytes::{BufMut, Bytes, BytesMut};

use super::{PUBACK, PUBCOMP, PUBREC, PUBREL, put_ack};
use crate::{PacketId, ReasonCode, Version};

/// An answer that says that something is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a PUBLISH of QoS 1.
    PubAck(PacketId, ReasonCode),
    /// To a PUBLISH of QoS 2.
    PubRec(PacketId, ReasonCode),
    /// To a PUBREC.
    PubRel(PacketId),
    /// To a PUBREL.
    PubComp(PacketId),
    /// An encoded packet: SUBACK or UNSUBACK.
    Packet(Bytes),
}

impl Answer {
    pub(super) fn put(&self, version: Version, out: &mut BytesMut) {
        match self {
            Self::PubAck(packet_id, reason) => put_ack(version, PUBACK, *packet_id, *reason, out),
            Self::PubRec(packet_id, reason) => put_ack(version, PUBREC, *packet_id, *reason, out),
            Self::PubRel(packet_id) => put_ack(version, PUBREL, *packet_id, ReasonCode::Success, out),
            Self::PubComp(packet_id) => put_ack(version, PUBCOMP, *packet_id, ReasonCode::Success, out),
            Self::Packet(bytes) => out.put_slice(bytes),
        }
    }
}

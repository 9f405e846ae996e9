//! The packets of MQTT 3.1, 3.1.1 and 5.0: one file for each, all versions in it.
//!
//! Each packet is decoded from a [`Frame`] and appended by its `encode`. Values that the standard forbids in a packet
//! by itself cannot come out of `decode`; what depends on earlier packets is the session's concern.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod message_properties;
mod outgoing;
mod packet_type;
mod ping;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
mod will;

pub use ack::{Ack, AckType, Information};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties};
pub use disconnect::Disconnect;
pub use message_properties::MessageProperties;
pub use outgoing::Outgoing;
pub use packet_type::PacketType;
pub use ping::{PingReq, PingResp};
pub use publish::{Publish, PublishProperties};
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;
pub use will::Will;

use crate::{
    Version,
    codec::{DecodeError, Frame, Limits},
};

/// A decoded packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each packet is documented where it is defined")]
pub enum Packet<'a> {
    Connect(Box<Connect>),
    ConnAck(Box<ConnAck>),
    Publish(Publish<'a>),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(UnsubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Box<Auth>),
}

impl Packet<'_> {
    /// The packet's type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// Decodes a packet of a connection whose CONNECT fixed the version. CONNECT itself says its version, so it is
/// accepted with any.
#[inline]
pub fn decode<'a>(version: Version, frame: &Frame<'a>, limits: &Limits) -> Result<Packet<'a>, DecodeError> {
    let kind = frame.packet_type().ok_or(DecodeError::ReservedType(0))?;
    if kind == PacketType::Connect {
        return Connect::decode(frame, limits).map(|connect| Packet::Connect(Box::new(connect)));
    }
    frame.check_header(version)?;
    let ack = |kind| Ack::decode(version, kind, frame, limits);
    Ok(match kind {
        PacketType::Publish => Packet::Publish(Publish::decode(version, frame, limits)?),
        PacketType::PubAck => Packet::PubAck(ack(AckType::PubAck)?),
        PacketType::PubRec => Packet::PubRec(ack(AckType::PubRec)?),
        PacketType::PubRel => Packet::PubRel(ack(AckType::PubRel)?),
        PacketType::PubComp => Packet::PubComp(ack(AckType::PubComp)?),
        PacketType::PingReq => ping::decode(frame, Packet::PingReq)?,
        PacketType::PingResp => ping::decode(frame, Packet::PingResp)?,
        PacketType::Connect | PacketType::ConnAck => {
            Packet::ConnAck(Box::new(ConnAck::decode(version, frame, limits)?))
        }
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(version, frame, limits)?),
        PacketType::SubAck => Packet::SubAck(SubAck::decode(version, frame, limits)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, frame, limits)?),
        PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::decode(version, frame, limits)?),
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(version, frame, limits)?),
        PacketType::Auth => Packet::Auth(Box::new(Auth::decode(version, frame, limits)?)),
    })
}

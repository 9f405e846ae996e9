//! What a server's packets mean to the application, and why requests and connections fail.

use super::{Publication, Receipt};
use crate::{
    PacketId, ReasonCode,
    codec::{DecodeError, EncodeError},
    packet::{ConnAckProperties, Disconnect, PacketType, Publish, SubAck, UnsubAck},
};

/// What the application has to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The server has accepted the connection.
    Connected {
        /// Whether the server remembers the session, its subscriptions included. Never in MQTT 3.1, which does not
        /// tell. If not, [`super::Client::poll_given_up`] has what was unacknowledged.
        session_present: bool,
        /// What the server demands and offers.
        properties: Box<ConnAckProperties>,
    },
    /// The server has refused the connection, which is over.
    Refused {
        /// Why; in MQTT 3 one of the five return codes.
        reason: ReasonCode,
        /// What the server adds to it.
        properties: Box<ConnAckProperties>,
    },
    /// A message.
    Message {
        /// The message, with its topic even if it came as an alias.
        publish: Publish<'a>,
        /// Above QoS 0: what to give to [`super::Client::acknowledge`].
        receipt: Option<Receipt>,
    },
    /// The server has taken over a message, or refused it for good.
    Published {
        /// What [`super::Client::publish`] returned.
        packet_id: PacketId,
        /// Success, or why it was refused (MQTT 5).
        reason: ReasonCode,
    },
    /// The server's answer to a SUBSCRIBE: one reason for each filter.
    Subscribed(SubAck),
    /// The server's answer to an UNSUBSCRIBE.
    Unsubscribed(UnsubAck),
    /// The server ends the connection (MQTT 5).
    Disconnected(Box<Disconnect>),
}

/// A message that will not be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// What [`super::Client::publish`] returned.
    pub packet_id: PacketId,
    /// The message; `None` at QoS 2 after the server took it over, so it is not lost.
    pub publication: Option<Publication>,
    /// Why.
    pub reason: GivenUpReason,
}

/// Why a message will not be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUpReason {
    /// The server has forgotten the session, and with it which messages it has seen.
    SessionLost,
    /// The server's limits are lower than on the connection for which the message was taken.
    NotSendable,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection, or the server has not accepted it yet.
    #[error("there is no connection")]
    Offline,
    /// As many messages are unacknowledged as the server allows [MQTT-3.3.4-7], or there is no free packet identifier.
    #[error("the server has not acknowledged enough messages to take another one")]
    WindowClosed,
    /// [MQTT-3.2.2-15]
    #[error("the packet would have {bytes} bytes, and the server takes {max}")]
    TooLarge {
        /// The size of the packet, header included.
        bytes: usize,
        /// The server's maximum packet size.
        max: usize,
    },
    /// [MQTT-3.2.2-11]
    #[error("the server does not support this QoS")]
    QoSNotSupported,
    /// [MQTT-3.2.2-14]
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// It cannot be written as a packet.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The server's bytes are not a packet.
    #[error("the server sent a malformed packet: {0}")]
    Malformed(#[from] DecodeError),
    /// The server's packet is not allowed now.
    #[error("the server broke the protocol: {detail}")]
    Protocol {
        /// The reason code of the DISCONNECT.
        reason: ReasonCode,
        /// What was wrong, and the statement that says so.
        detail: &'static str,
    },
    /// A packet that a server does not send, or not at this time.
    #[error("the server sent an unexpected {0}")]
    Unexpected(PacketType),
    /// See [`super::CONNACK_WAIT`].
    #[error("the server did not answer the CONNECT")]
    NoConnAck,
    /// [MQTT 5.0, section 3.1.2.10]
    #[error("the server did not answer the PINGREQ")]
    NoPingResponse,
}

impl ConnectionError {
    /// Whether what came is how a server answers that speaks TLS: an alert or a handshake [RFC 8446, section 5.1].
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Malformed(DecodeError::ReservedFlags(0x15 | 0x16)))
    }

    pub(super) const fn unexpected(packet: PacketType) -> Self {
        Self::Unexpected(packet)
    }

    /// The reason code with which the connection ends.
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::Malformed(error) => error.reason(),
            Self::Protocol { reason, .. } => *reason,
            Self::Unexpected(_) => ReasonCode::ProtocolError,
            Self::NoConnAck | Self::NoPingResponse => ReasonCode::UnspecifiedError,
        }
    }
}

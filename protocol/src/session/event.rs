//! What a client's packet means to the broker, and how a client can break the protocol.

use std::sync::Arc;

use crate::{
    PacketId, ReasonCode,
    codec::DecodeError,
    packet::{Publish, Subscribe, Unsubscribe},
};

/// What the broker has to decide about a packet.
#[derive(Debug)]
pub enum Event<'a, M> {
    /// Nothing: the session dealt with it.
    Handled,
    /// A message to route. Above QoS 0 the broker answers with [`super::Session::acknowledge`].
    Publish {
        /// The message; its topic is empty if only an alias was sent.
        publish: Publish<'a>,
        /// The topic that a topic alias stands for, when the packet named none.
        alias: Option<Arc<str>>,
    },
    /// A message of QoS 2 that was routed before came again: the broker answers with [`super::Answer::PubRec`].
    Repeated {
        /// The exchange.
        packet_id: PacketId,
        /// Where storage must be before that.
        not_before: u64,
    },
    /// Subscriptions to decide on; the broker answers with a SUBACK.
    Subscribe(Subscribe),
    /// Subscriptions to end; the broker answers with an UNSUBACK.
    Unsubscribe(Unsubscribe),
    /// The client has taken over a message: nothing is left to send again. `None` if the session did not keep it.
    Settled(Option<M>),
    /// The client has taken over a message of QoS 2: storage is told, and then the broker answers with
    /// [`super::Answer::PubRel`].
    Received {
        /// The exchange.
        packet_id: PacketId,
        /// The message, which need not be kept for this session any more; `None` if the session did not keep it.
        message: Option<M>,
    },
    /// The client has seen that an exchange of QoS 2 is complete: nothing is left of it.
    Completed(PacketId),
    /// The client releases the packet id of a QoS 2 message that it sent: storage is told, and then the broker answers
    /// with [`super::Answer::PubComp`].
    Released(PacketId),
    /// The client ends the connection.
    Disconnected {
        /// Whether its will is to be published all the same [MQTT 5.0, section 3.14.2.1].
        publish_will: bool,
    },
}

/// How a client broke the protocol. The connection ends with [`Self::reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Its bytes are not a packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Its packet is not allowed now.
    #[error("{detail}")]
    Protocol {
        /// The reason code of the DISCONNECT.
        reason: ReasonCode,
        /// What was wrong, and the statement that says so.
        detail: &'static str,
    },
}

impl Violation {
    /// A protocol error, 0x82.
    pub const fn protocol(detail: &'static str) -> Self {
        Self::Protocol { reason: ReasonCode::ProtocolError, detail }
    }

    /// The reason code with which the connection ends.
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason(),
            Self::Protocol { reason, .. } => *reason,
        }
    }
}

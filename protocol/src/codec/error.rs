//! What can be wrong with a packet.

use crate::{ReasonCode, TopicError, packet::PacketType};

/// Why received bytes are not a packet that the standard allows: the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Packet type 0, or AUTH before MQTT 5 [MQTT 3.1.1, section 2.2.1].
    #[error("packet type {0} is reserved")]
    ReservedType(u8),
    /// [MQTT-2.1.3-1]; in MQTT 3.1.1 [MQTT-2.2.2-2].
    #[error("the reserved flags in the first byte 0x{0:02X} are wrong")]
    ReservedFlags(u8),
    /// A variable byte integer of more than four bytes [MQTT 5.0, section 1.5.5].
    #[error("a variable byte integer is longer than four bytes")]
    VarintTooLong,
    /// [MQTT-1.5.5-1]
    #[error("a variable byte integer has more bytes than it needs")]
    VarintNotMinimal,
    /// More bytes, header included, than was agreed.
    #[error("the packet has {bytes} bytes, and at most {max} are accepted")]
    TooLarge {
        /// The size of the packet, header included.
        bytes: usize,
        /// The most that is accepted.
        max: usize,
    },
    /// A field, or a property, is longer than what holds it.
    #[error("a field runs past the end of the packet or of its properties")]
    Truncated,
    /// Bytes after the last field.
    #[error("{0} bytes follow the end of the packet's content")]
    Trailing(usize),
    /// [MQTT-1.5.4-1]
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// [MQTT-1.5.4-2]
    #[error("a string contains the character U+0000")]
    Null,
    /// [MQTT-3.3.1-4]
    #[error("a PUBLISH has QoS 3")]
    PublishQoS,
    /// [MQTT-3.3.1-2]
    #[error("a PUBLISH at QoS 0 is marked as a duplicate")]
    DuplicateAtMostOnce,
    /// [MQTT-2.2.1-3]; in MQTT 3.1.1 [MQTT-2.3.1-1].
    #[error("the packet identifier is zero")]
    PacketIdZero,
    /// [MQTT-3.3.2-1], [MQTT-3.3.2-2], [MQTT-3.1.3-11]
    #[error("the topic name {0}")]
    TopicName(TopicError),
    /// An empty topic name, and no topic alias in its place [MQTT 5.0, section 3.3.2.1].
    #[error("the topic name is empty and there is no topic alias")]
    EmptyTopic,
    /// [MQTT-3.3.2-8]
    #[error("the topic alias is zero")]
    TopicAliasZero,
    /// [MQTT-3.3.2-14]
    #[error("the response topic {0}")]
    ResponseTopic(TopicError),
    /// An identifier that no property has [MQTT 5.0, section 2.2.2.2].
    #[error("0x{0:02X} is not a property")]
    UnknownProperty(u8),
    /// A property that does not belong into this packet [MQTT 5.0, section 2.2.2.2].
    #[error("the property 0x{id:02X} does not belong into {section}")]
    MisplacedProperty {
        /// The property's identifier.
        id: u8,
        /// Where it was found.
        section: &'static str,
    },
    /// A property that must not repeat.
    #[error("the property 0x{0:02X} is there more than once")]
    DuplicateProperty(u8),
    /// A property with a value outside of its range.
    #[error("the property 0x{0:02X} has a value that it may not have")]
    PropertyValue(u8),
    /// More than [`super::Limits::user_properties_max`].
    #[error("more than {0} user properties")]
    TooManyUserProperties(usize),
    /// [MQTT-3.1.2-1]
    #[error("the protocol name is neither MQTT nor MQIsdp")]
    ProtocolName,
    /// [MQTT-3.1.2-2]. [`Self::refusal_version`] says how to answer.
    #[error("the protocol level {level} is not supported")]
    UnsupportedVersion {
        /// The level that CONNECT asked for.
        level: u8,
    },
    /// [MQTT-3.1.2-3]
    #[error("the reserved flag of CONNECT is set")]
    ConnectFlag,
    /// [MQTT-3.1.2-11], [MQTT-3.1.2-12], [MQTT-3.1.2-13]
    #[error("the will flags of CONNECT contradict each other")]
    WillFlags,
    /// [MQTT-3.1.2-22] of MQTT 3.1.1; allowed in MQTT 5.
    #[error("CONNECT has a password but no user name")]
    PasswordWithoutUserName,
    /// Authentication data without a method [MQTT 5.0, sections 3.1.2.11.10 and 3.15.2.2.2].
    #[error("there is no authentication method")]
    NoAuthenticationMethod,
    /// [MQTT-3.2.2-1]
    #[error("the reserved flags of CONNACK are set")]
    ConnAckFlags,
    /// [MQTT-3.2.2-6]
    #[error("a CONNACK that refuses says that a session is present")]
    SessionPresentWithRefusal,
    /// A reason code that this packet does not know.
    #[error("0x{byte:02X} is not a reason code of {packet}")]
    Reason {
        /// The unknown code.
        byte: u8,
        /// The packet's type.
        packet: PacketType,
    },
    /// SUBACK or UNSUBACK without reason codes.
    #[error("an acknowledgement of filters has no reason codes")]
    NoReasons,
    /// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    #[error("there is no topic filter")]
    NoFilters,
    /// More than [`super::Limits::filters_per_packet_max`].
    #[error("more than {0} topic filters in a packet")]
    TooManyFilters(usize),
    /// [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    #[error("a topic filter {0}")]
    TopicFilter(TopicError),
    /// [MQTT-3.8.3-5]; in MQTT 3.1.1 [MQTT-3.8.3-4].
    #[error("reserved bits of the subscription options 0x{0:02X} are set")]
    SubscriptionOptions(u8),
    /// QoS 3 in subscription options [MQTT 5.0, section 3.8.3.1].
    #[error("a subscription asks for QoS 3")]
    SubscriptionQoS,
    /// Retain handling 3 in subscription options [MQTT 5.0, section 3.8.3.1].
    #[error("a subscription asks for retain handling 3")]
    RetainHandling,
    /// [MQTT-3.8.3-4] of MQTT 5.0.
    #[error("a shared subscription has the option No Local")]
    NoLocalOnShare,
    /// Refused by the decoder behind the gate.
    #[error("the packet is malformed: {0}")]
    Malformed(mqttbytes::Error),
}

impl DecodeError {
    /// The reason to give in CONNACK or DISCONNECT.
    pub const fn reason(&self) -> ReasonCode {
        match self {
            Self::ReservedType(_)
            | Self::ReservedFlags(_)
            | Self::VarintTooLong
            | Self::VarintNotMinimal
            | Self::Truncated
            | Self::Trailing(_)
            | Self::NotUtf8
            | Self::Null
            | Self::PublishQoS
            | Self::UnknownProperty(_)
            | Self::MisplacedProperty { .. }
            | Self::ConnectFlag
            | Self::WillFlags
            | Self::PasswordWithoutUserName
            | Self::ConnAckFlags
            | Self::SubscriptionOptions(_)
            | Self::Malformed(_) => ReasonCode::MalformedPacket,
            Self::DuplicateAtMostOnce
            | Self::PacketIdZero
            | Self::EmptyTopic
            | Self::ResponseTopic(_)
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_)
            | Self::NoAuthenticationMethod
            | Self::SessionPresentWithRefusal
            | Self::Reason { .. }
            | Self::NoReasons
            | Self::NoFilters
            | Self::SubscriptionQoS
            | Self::RetainHandling
            | Self::NoLocalOnShare => ReasonCode::ProtocolError,
            Self::ProtocolName | Self::UnsupportedVersion { .. } => ReasonCode::UnsupportedProtocolVersion,
            Self::TopicName(_) => ReasonCode::TopicNameInvalid,
            Self::TopicFilter(_) => ReasonCode::TopicFilterInvalid,
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
            Self::TooManyUserProperties(_) | Self::TooManyFilters(_) => ReasonCode::QuotaExceeded,
        }
    }

    /// For [`Self::UnsupportedVersion`]: in which version the CONNACK that refuses is to be written, code 0x01 of
    /// MQTT 3.1.1 [MQTT-3.1.2-2] or 0x84 of MQTT 5.0. The highest bit of the level marks bridges (mosquitto's
    /// `try_private`) and does not count.
    pub const fn refusal_version(&self) -> Option<crate::Version> {
        match *self {
            Self::UnsupportedVersion { level } if level & 0x7F >= 5 => Some(crate::Version::V5),
            Self::UnsupportedVersion { .. } => Some(crate::Version::V311),
            _ => None,
        }
    }
}

/// Why a packet cannot be written: the caller's fault, or a limit of the format. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field has more than 65535 bytes.
    #[error("a field of {0} bytes does not fit into a packet: 65535 is the maximum")]
    FieldTooLong(usize),
    /// [MQTT-1.5.4-2]
    #[error("a string contains the character U+0000")]
    Null,
    /// Over [`super::VARINT_MAX`] bytes after the header.
    #[error("a packet of {0} bytes is not possible: 268435455 is the maximum")]
    PacketTooLong(usize),
    /// [MQTT-2.2.1-2], [MQTT-2.2.1-3]: exactly QoS 1 and 2 have a packet identifier.
    #[error("the packet identifier does not fit to the QoS")]
    PacketId,
    /// [MQTT-3.3.1-2]
    #[error("a PUBLISH at QoS 0 cannot be a duplicate")]
    DuplicateAtMostOnce,
    /// [MQTT-4.7.3-1]; MQTT 5 allows it with a topic alias.
    #[error("a PUBLISH has no topic")]
    EmptyTopic,
    /// A subscription identifier that is zero or over [`super::VARINT_MAX`].
    #[error("{0} is not a subscription identifier")]
    SubscriptionId(u32),
    /// SUBSCRIBE or UNSUBSCRIBE without filters, SUBACK or UNSUBACK without reasons.
    #[error("the list of topic filters or of their reasons is empty")]
    Empty,
    /// A reason code that the packet does not know.
    #[error("{packet} cannot carry the reason {reason}")]
    Reason {
        /// The code.
        reason: ReasonCode,
        /// The packet's type.
        packet: PacketType,
    },
    /// The packet or the feature does not exist in the version.
    #[error("{0} does not exist in this version of MQTT")]
    Version(PacketType),
    /// [MQTT-3.1.2-22] of MQTT 3.1.1.
    #[error("a password without a user name needs MQTT 5")]
    PasswordWithoutUserName,
    /// Authentication data without a method.
    #[error("authentication data needs an authentication method")]
    NoAuthenticationMethod,
    /// [MQTT-3.8.3-4] of MQTT 5.0.
    #[error("a shared subscription cannot have the option No Local")]
    NoLocalOnShare,
    /// Refused by the writer of mqttbytes.
    #[error("the packet cannot be written: {0}")]
    Refused(mqttbytes::Error),
}

//! Between the words of `mqttbytes` and ours: frames, reason codes, property lists.
//!
//! Each conversion of a reason code is at the same time the list of the codes that its packet may carry.

use bytes::{BufMut, Bytes, BytesMut};
use mqttbytes::{FixedHeader, v4, v5};

use super::{DecodeError, EncodeError, Frame};
use crate::{ReasonCode, packet::PacketType};

/// The arguments of mqttbytes' decoders: a header, and the packet that begins with it. The length is left out of
/// both, as those decoders only skip it.
pub(crate) fn packet(frame: &Frame<'_>) -> (FixedHeader, Bytes) {
    let mut bytes = BytesMut::with_capacity(1 + frame.body.len());
    bytes.put_u8(frame.first_byte);
    bytes.extend_from_slice(frame.body);
    (FixedHeader::new(frame.first_byte, 0, frame.body.len()), bytes.freeze())
}

/// The code behind a byte that mqttbytes' enumerations cast to.
pub(crate) fn reason(byte: u8, packet: PacketType) -> Result<ReasonCode, DecodeError> {
    ReasonCode::from_byte(byte).ok_or(DecodeError::Reason { byte, packet })
}

/// Converts a code for a packet, or says that it may not be there.
pub(crate) fn lower<T>(
    reason: ReasonCode,
    packet: PacketType,
    convert: impl Fn(ReasonCode) -> Option<T>,
) -> Result<T, EncodeError> {
    convert(reason).ok_or(EncodeError::Reason { reason, packet })
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident -> $theirs:ty { $($ours:ident => $their:ident,)* }) => {
        $(#[$doc])*
        pub(crate) const fn $name(reason: ReasonCode) -> Option<$theirs> {
            match reason {
                $(ReasonCode::$ours => Some(<$theirs>::$their),)*
                _ => None,
            }
        }
    };
}

reasons!(
    /// [MQTT 5.0, section 3.2.2.2]
    connack -> v5::ConnectReturnCode {
        Success => Success,
        UnspecifiedError => UnspecifiedError,
        MalformedPacket => MalformedPacket,
        ProtocolError => ProtocolError,
        ImplementationSpecificError => ImplementationSpecificError,
        UnsupportedProtocolVersion => UnsupportedProtocolVersion,
        ClientIdentifierNotValid => ClientIdentifierNotValid,
        BadUserNameOrPassword => BadUserNamePassword,
        NotAuthorized => NotAuthorized,
        ServerUnavailable => ServerUnavailable,
        ServerBusy => ServerBusy,
        Banned => Banned,
        BadAuthenticationMethod => BadAuthenticationMethod,
        TopicNameInvalid => TopicNameInvalid,
        PacketTooLarge => PacketTooLarge,
        QuotaExceeded => QuotaExceeded,
        PayloadFormatInvalid => PayloadFormatInvalid,
        RetainNotSupported => RetainNotSupported,
        QoSNotSupported => QoSNotSupported,
        UseAnotherServer => UseAnotherServer,
        ServerMoved => ServerMoved,
        ConnectionRateExceeded => ConnectionRateExceeded,
    }
);

/// The CONNACK return code of MQTT 3.1 and 3.1.1.
pub(crate) const fn connack_v4(reason: ReasonCode) -> v4::ConnectReturnCode {
    match reason.connack_v3() {
        0 => v4::ConnectReturnCode::Success,
        1 => v4::ConnectReturnCode::RefusedProtocolVersion,
        2 => v4::ConnectReturnCode::BadClientId,
        4 => v4::ConnectReturnCode::BadUserNamePassword,
        5 => v4::ConnectReturnCode::NotAuthorized,
        _ => v4::ConnectReturnCode::ServiceUnavailable,
    }
}

/// The reason code for a return code of MQTT 3.1 and 3.1.1 [MQTT 3.1.1, section 3.2.2.3].
pub(crate) const fn connack_reason(code: v4::ConnectReturnCode) -> ReasonCode {
    match code {
        v4::ConnectReturnCode::Success => ReasonCode::Success,
        v4::ConnectReturnCode::RefusedProtocolVersion => ReasonCode::UnsupportedProtocolVersion,
        v4::ConnectReturnCode::BadClientId => ReasonCode::ClientIdentifierNotValid,
        v4::ConnectReturnCode::ServiceUnavailable => ReasonCode::ServerUnavailable,
        v4::ConnectReturnCode::BadUserNamePassword => ReasonCode::BadUserNameOrPassword,
        v4::ConnectReturnCode::NotAuthorized => ReasonCode::NotAuthorized,
    }
}

reasons!(
    /// [MQTT 5.0, section 3.4.2.1]
    puback -> v5::PubAckReason {
        Success => Success,
        NoMatchingSubscribers => NoMatchingSubscribers,
        UnspecifiedError => UnspecifiedError,
        ImplementationSpecificError => ImplementationSpecificError,
        NotAuthorized => NotAuthorized,
        TopicNameInvalid => TopicNameInvalid,
        PacketIdentifierInUse => PacketIdentifierInUse,
        QuotaExceeded => QuotaExceeded,
        PayloadFormatInvalid => PayloadFormatInvalid,
    }
);

reasons!(
    /// [MQTT 5.0, section 3.5.2.1]
    pubrec -> v5::PubRecReason {
        Success => Success,
        NoMatchingSubscribers => NoMatchingSubscribers,
        UnspecifiedError => UnspecifiedError,
        ImplementationSpecificError => ImplementationSpecificError,
        NotAuthorized => NotAuthorized,
        TopicNameInvalid => TopicNameInvalid,
        PacketIdentifierInUse => PacketIdentifierInUse,
        QuotaExceeded => QuotaExceeded,
        PayloadFormatInvalid => PayloadFormatInvalid,
    }
);

reasons!(
    /// [MQTT 5.0, section 3.6.2.1]
    pubrel -> v5::PubRelReason {
        Success => Success,
        PacketIdentifierNotFound => PacketIdentifierNotFound,
    }
);

reasons!(
    /// [MQTT 5.0, section 3.7.2.1]
    pubcomp -> v5::PubCompReason {
        Success => Success,
        PacketIdentifierNotFound => PacketIdentifierNotFound,
    }
);

reasons!(
    /// [MQTT 5.0, section 3.9.3]
    suback -> v5::SubscribeReasonCode {
        Success => QoS0,
        GrantedQoS1 => QoS1,
        GrantedQoS2 => QoS2,
        UnspecifiedError => Unspecified,
        ImplementationSpecificError => ImplementationSpecific,
        NotAuthorized => NotAuthorized,
        TopicFilterInvalid => TopicFilterInvalid,
        PacketIdentifierInUse => PkidInUse,
        QuotaExceeded => QuotaExceeded,
        SharedSubscriptionsNotSupported => SharedSubscriptionsNotSupported,
        SubscriptionIdentifiersNotSupported => SubscriptionIdNotSupported,
        WildcardSubscriptionsNotSupported => WildcardSubscriptionsNotSupported,
    }
);

reasons!(
    /// [MQTT 5.0, section 3.11.3]
    unsuback -> v5::UnsubAckReason {
        Success => Success,
        NoSubscriptionExisted => NoSubscriptionExisted,
        UnspecifiedError => UnspecifiedError,
        ImplementationSpecificError => ImplementationSpecificError,
        NotAuthorized => NotAuthorized,
        TopicFilterInvalid => TopicFilterInvalid,
        PacketIdentifierInUse => PacketIdentifierInUse,
    }
);

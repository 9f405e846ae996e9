//! Reason codes [MQTT 5.0, section 2.4] and what older versions say instead.

use std::fmt;

/// The outcome of an operation. 0x80 and above are failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each code is documented by `describe`")]
pub enum ReasonCode {
    Success = 0x00,
    GrantedQoS1 = 0x01,
    GrantedQoS2 = 0x02,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    ReAuthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QoSNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedSubscriptionsNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// Every code, in ascending order.
    pub const ALL: &'static [Self] = &[
        Self::Success,
        Self::GrantedQoS1,
        Self::GrantedQoS2,
        Self::DisconnectWithWill,
        Self::NoMatchingSubscribers,
        Self::NoSubscriptionExisted,
        Self::ContinueAuthentication,
        Self::ReAuthenticate,
        Self::UnspecifiedError,
        Self::MalformedPacket,
        Self::ProtocolError,
        Self::ImplementationSpecificError,
        Self::UnsupportedProtocolVersion,
        Self::ClientIdentifierNotValid,
        Self::BadUserNameOrPassword,
        Self::NotAuthorized,
        Self::ServerUnavailable,
        Self::ServerBusy,
        Self::Banned,
        Self::ServerShuttingDown,
        Self::BadAuthenticationMethod,
        Self::KeepAliveTimeout,
        Self::SessionTakenOver,
        Self::TopicFilterInvalid,
        Self::TopicNameInvalid,
        Self::PacketIdentifierInUse,
        Self::PacketIdentifierNotFound,
        Self::ReceiveMaximumExceeded,
        Self::TopicAliasInvalid,
        Self::PacketTooLarge,
        Self::MessageRateTooHigh,
        Self::QuotaExceeded,
        Self::AdministrativeAction,
        Self::PayloadFormatInvalid,
        Self::RetainNotSupported,
        Self::QoSNotSupported,
        Self::UseAnotherServer,
        Self::ServerMoved,
        Self::SharedSubscriptionsNotSupported,
        Self::ConnectionRateExceeded,
        Self::MaximumConnectTime,
        Self::SubscriptionIdentifiersNotSupported,
        Self::WildcardSubscriptionsNotSupported,
    ];

    /// The code for its byte on the wire.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .binary_search_by_key(&byte, |code| code.byte())
            .ok()
            .and_then(|at| Self::ALL.get(at))
            .copied()
    }

    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the code means failure.
    pub const fn is_error(self) -> bool {
        self.byte() >= 0x80
    }

    /// The return code of a CONNACK for MQTT 3.1 and 3.1.1 [MQTT 3.1.1, section 3.2.2.3].
    pub const fn connack_v3(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized | Self::Banned | Self::BadAuthenticationMethod => 5,
            _ => 3,
        }
    }

    /// What the code means, as one sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Success => "Done; for a DISCONNECT: a normal end; for a SUBACK: QoS 0 granted.",
            Self::GrantedQoS1 => "The subscription is accepted, QoS 1 at most.",
            Self::GrantedQoS2 => "The subscription is accepted, QoS 2 at most.",
            Self::DisconnectWithWill => "The client ends and wants its will published.",
            Self::NoMatchingSubscribers => "Accepted, but nobody subscribes to the topic.",
            Self::NoSubscriptionExisted => "There was no such subscription to remove.",
            Self::ContinueAuthentication => "The exchange of AUTH packets goes on.",
            Self::ReAuthenticate => "The client starts a new authentication.",
            Self::UnspecifiedError => "A failure without a better code.",
            Self::MalformedPacket => "The packet cannot be parsed.",
            Self::ProtocolError => "The packet is well formed but not allowed here.",
            Self::ImplementationSpecificError => "Valid, but this server does not take it.",
            Self::UnsupportedProtocolVersion => "The protocol version is not supported.",
            Self::ClientIdentifierNotValid => "The client identifier is valid but not allowed.",
            Self::BadUserNameOrPassword => "The user name or password is wrong.",
            Self::NotAuthorized => "The client has no right to do this.",
            Self::ServerUnavailable => "The server cannot serve now.",
            Self::ServerBusy => "The server is busy; try again later.",
            Self::Banned => "The client is banned.",
            Self::ServerShuttingDown => "The server ends.",
            Self::BadAuthenticationMethod => "The authentication method is not supported.",
            Self::KeepAliveTimeout => "Nothing arrived for one and a half keep-alive times.",
            Self::SessionTakenOver => "Another connection uses the same client identifier.",
            Self::TopicFilterInvalid => "The topic filter is well formed but not accepted.",
            Self::TopicNameInvalid => "The topic name is well formed but not accepted.",
            Self::PacketIdentifierInUse => "The packet identifier is already in use.",
            Self::PacketIdentifierNotFound => "The packet identifier is not known.",
            Self::ReceiveMaximumExceeded => "More unacknowledged messages than the receive maximum.",
            Self::TopicAliasInvalid => "The topic alias is zero or over the maximum.",
            Self::PacketTooLarge => "The packet is larger than the maximum packet size.",
            Self::MessageRateTooHigh => "The client sends too fast.",
            Self::QuotaExceeded => "A limit of the server is reached.",
            Self::AdministrativeAction => "The connection is closed by an administrative action.",
            Self::PayloadFormatInvalid => "The payload does not match its format indicator.",
            Self::RetainNotSupported => "Retained messages are not supported.",
            Self::QoSNotSupported => "The QoS is higher than the maximum.",
            Self::UseAnotherServer => "Use another server for now.",
            Self::ServerMoved => "Use another server from now on.",
            Self::SharedSubscriptionsNotSupported => "Shared subscriptions are not supported.",
            Self::ConnectionRateExceeded => "Connections come too fast.",
            Self::MaximumConnectTime => "The connection lasted as long as it may.",
            Self::SubscriptionIdentifiersNotSupported => "Subscription identifiers are not supported.",
            Self::WildcardSubscriptionsNotSupported => "Wildcard subscriptions are not supported.",
        }
    }
}

impl fmt::Display for ReasonCode {
    /// For log lines: the byte and the meaning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.byte(), self.describe().trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_round_trips_and_no_other_byte_is_a_code() {
        let known = (0..=u8::MAX).filter_map(ReasonCode::from_byte).collect::<Vec<_>>();
        assert_eq!(known, ReasonCode::ALL);
        assert!(ReasonCode::ALL.iter().all(|code| ReasonCode::from_byte(code.byte()) == Some(*code)));
    }
}

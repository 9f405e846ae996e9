//! DISCONNECT [MQTT 5.0, section 3.14].

use bytes::{BufMut, BytesMut};

use super::PacketType;
use crate::{
    ReasonCode, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, Reader,
        property::{self, Property},
        writer::{put_packet, put_properties},
    },
};

/// The last packet of a connection. Before MQTT 5 only clients send it, and it has no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why the connection ends.
    pub reason: ReasonCode,
    /// From a client: how long the session is to outlive the connection, if not as CONNECT said.
    pub session_expiry_seconds: Option<u32>,
    /// Text for diagnosis.
    pub reason_string: Option<String>,
    /// From a server: another server to use.
    pub server_reference: Option<String>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl Disconnect {
    /// An end without properties.
    pub const fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            session_expiry_seconds: None,
            reason_string: None,
            server_reference: None,
            user_properties: Vec::new(),
        }
    }

    /// Decodes the packet: empty, a reason alone, or a reason and properties [MQTT 5.0, section 3.14.2].
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let mut found = Self::new(ReasonCode::Success);
        if !version.is_v5() || reader.is_empty() {
            reader.finish()?;
            return Ok(found);
        }
        let byte = reader.u8()?;
        found.reason = ReasonCode::from_byte(byte)
            .filter(|reason| is_allowed(*reason))
            .ok_or(DecodeError::Reason { byte, packet: PacketType::Disconnect })?;
        if !reader.is_empty() {
            property::walk(&mut reader, &property::DISCONNECT, limits, |property| match property {
                Property::SessionExpirySeconds(seconds) => found.session_expiry_seconds = Some(seconds),
                Property::ReasonString(text) => found.reason_string = Some(text.to_owned()),
                Property::ServerReference(text) => found.server_reference = Some(text.to_owned()),
                Property::User(key, value) => found.user_properties.push((key.to_owned(), value.to_owned())),
                _ => {}
            })?;
        }
        reader.finish()?;
        Ok(found)
    }

    /// Appends the packet in its shortest form; on an error `out` is unchanged. Before MQTT 5 without content.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if !version.is_v5() {
            out.put_slice(&[0xE0, 0]);
            return Ok(());
        }
        if !is_allowed(self.reason) {
            return Err(EncodeError::Reason { reason: self.reason, packet: PacketType::Disconnect });
        }
        let mut section = Vec::with_capacity(3 + self.user_properties.len());
        section.extend(self.session_expiry_seconds.map(Property::SessionExpirySeconds));
        section.extend(self.reason_string.as_deref().map(Property::ReasonString));
        section.extend(self.server_reference.as_deref().map(Property::ServerReference));
        section.extend(self.user_properties.iter().map(|(key, value)| Property::User(key, value)));
        put_packet(out, 0xE0, |body| {
            if self.reason != ReasonCode::Success || !section.is_empty() {
                body.put_u8(self.reason.byte());
            }
            if section.is_empty() { Ok(()) } else { put_properties(body, &section) }
        })
    }
}

/// The codes that DISCONNECT may carry: [MQTT 5.0, table 3-13], and 0x8C, which only section 2.4 gives to it.
const fn is_allowed(reason: ReasonCode) -> bool {
    use ReasonCode as R;
    match reason {
        R::Success
        | R::DisconnectWithWill
        | R::UnspecifiedError
        | R::MalformedPacket
        | R::ProtocolError
        | R::ImplementationSpecificError
        | R::NotAuthorized
        | R::ServerBusy
        | R::ServerShuttingDown
        | R::BadAuthenticationMethod
        | R::KeepAliveTimeout
        | R::SessionTakenOver
        | R::TopicFilterInvalid
        | R::TopicNameInvalid
        | R::ReceiveMaximumExceeded
        | R::TopicAliasInvalid
        | R::PacketTooLarge
        | R::MessageRateTooHigh
        | R::QuotaExceeded
        | R::AdministrativeAction
        | R::PayloadFormatInvalid
        | R::RetainNotSupported
        | R::QoSNotSupported
        | R::UseAnotherServer
        | R::ServerMoved
        | R::SharedSubscriptionsNotSupported
        | R::ConnectionRateExceeded
        | R::MaximumConnectTime
        | R::SubscriptionIdentifiersNotSupported
        | R::WildcardSubscriptionsNotSupported => true,
        R::GrantedQoS1
        | R::GrantedQoS2
        | R::NoMatchingSubscribers
        | R::NoSubscriptionExisted
        | R::ContinueAuthentication
        | R::ReAuthenticate
        | R::UnsupportedProtocolVersion
        | R::ClientIdentifierNotValid
        | R::BadUserNameOrPassword
        | R::ServerUnavailable
        | R::Banned
        | R::PacketIdentifierInUse
        | R::PacketIdentifierNotFound => false,
    }
}

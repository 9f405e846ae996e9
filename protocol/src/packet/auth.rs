//! AUTH [MQTT 5.0, section 3.15]; does not exist before MQTT 5.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::PacketType;
use crate::{
    ReasonCode, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, Reader,
        property::{self, Property},
        writer::{put_packet, put_properties},
    },
};

/// A step of an extended authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, [`ReasonCode::ContinueAuthentication`] or [`ReasonCode::ReAuthenticate`].
    pub reason: ReasonCode,
    /// The method's name. Missing only in the short form of a success.
    pub method: Option<String>,
    /// Belongs to the method.
    pub data: Option<Bytes>,
    /// Text for diagnosis.
    pub reason_string: Option<String>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl Auth {
    /// Decodes the packet. Its content may be left out for a success without properties
    /// [MQTT 5.0, section 3.15.2.1].
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        if !version.is_v5() {
            return Err(DecodeError::ReservedType(PacketType::Auth as u8));
        }
        let mut found = Self {
            reason: ReasonCode::Success,
            method: None,
            data: None,
            reason_string: None,
            user_properties: Vec::new(),
        };
        let mut reader = Reader::new(frame.body);
        if reader.is_empty() {
            return Ok(found);
        }
        let byte = reader.u8()?;
        found.reason = ReasonCode::from_byte(byte)
            .filter(|reason| is_allowed(*reason))
            .ok_or(DecodeError::Reason { byte, packet: PacketType::Auth })?;
        let section = property::walk(&mut reader, &property::AUTH, limits, |property| match property {
            Property::AuthenticationMethod(text) => found.method = Some(text.to_owned()),
            Property::AuthenticationData(data) => found.data = Some(Bytes::copy_from_slice(data)),
            Property::ReasonString(text) => found.reason_string = Some(text.to_owned()),
            Property::User(key, value) => found.user_properties.push((key.to_owned(), value.to_owned())),
            _ => {}
        })?;
        reader.finish()?;
        if found.method.is_none() && !(found.reason == ReasonCode::Success && section.is_empty()) {
            return Err(DecodeError::NoAuthenticationMethod);
        }
        Ok(found)
    }

    /// Appends the packet; on an error `out` is unchanged.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::Version(PacketType::Auth));
        }
        if !is_allowed(self.reason) {
            return Err(EncodeError::Reason { reason: self.reason, packet: PacketType::Auth });
        }
        let mut section = Vec::with_capacity(3 + self.user_properties.len());
        section.extend(self.method.as_deref().map(Property::AuthenticationMethod));
        section.extend(self.data.as_deref().map(Property::AuthenticationData));
        section.extend(self.reason_string.as_deref().map(Property::ReasonString));
        section.extend(self.user_properties.iter().map(|(key, value)| Property::User(key, value)));
        let is_short = self.reason == ReasonCode::Success && section.is_empty();
        if self.method.is_none() && !is_short {
            return Err(EncodeError::NoAuthenticationMethod);
        }
        put_packet(out, 0xF0, |body| {
            if is_short {
                return Ok(());
            }
            body.put_u8(self.reason.byte());
            put_properties(body, &section)
        })
    }
}

/// Authentication data may be a secret and stays out of logs.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("reason", &self.reason)
            .field("method", &self.method)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

/// [MQTT-3.15.2-1]
const fn is_allowed(reason: ReasonCode) -> bool {
    matches!(reason, ReasonCode::Success | ReasonCode::ContinueAuthentication | ReasonCode::ReAuthenticate)
}

//! CONNECT [MQTT 5.0, section 3.1]; the only packet that says its version.

use std::{
    fmt,
    num::{NonZeroU16, NonZeroU32},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::Will;
use crate::{
    QoS, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, Reader,
        property::{self, Property},
        writer::{put_binary, put_packet, put_properties, put_text},
    },
};

/// A client's request for a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// What all further packets of the connection are written in.
    pub version: Version,
    /// Names the session. May be empty: then the server assigns one, or refuses.
    pub client_id: String,
    /// Forget an older session of this name.
    pub clean_start: bool,
    /// After one and a half times this time without a packet the server ends the connection; 0 means never.
    pub keep_alive_seconds: u16,
    /// Published when the connection ends without a DISCONNECT.
    pub will: Option<Will>,
    /// `Some("")` is not the same as none.
    pub user_name: Option<String>,
    /// Any bytes, at most 65535.
    pub password: Option<Bytes>,
    /// MQTT 5.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT [MQTT 5.0, section 3.1.2.11].
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectProperties {
    /// How long the session outlives the connection; `u32::MAX` means for ever. Absent is 0.
    pub session_expiry_seconds: u32,
    /// How many QoS 1 and 2 messages the client takes without acknowledging; absent is 65535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet that the client takes.
    pub packet_bytes_max: Option<NonZeroU32>,
    /// The highest topic alias that the client takes. Absent is 0: none.
    pub topic_alias_maximum: u16,
    /// Whether the client asks for response information.
    pub request_response_information: bool,
    /// Whether the client wants reason strings and user properties on failures. Absent is true.
    pub request_problem_information: bool,
    /// Starts an exchange of AUTH packets.
    pub authentication_method: Option<String>,
    /// Belongs to the method.
    pub authentication_data: Option<Bytes>,
    /// Keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl Default for ConnectProperties {
    /// What absence means for each.
    fn default() -> Self {
        Self {
            session_expiry_seconds: 0,
            receive_maximum: None,
            packet_bytes_max: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            authentication_method: None,
            authentication_data: None,
            user_properties: Vec::new(),
        }
    }
}

/// The bits of the connect flags [MQTT 5.0, section 3.1.2.3].
mod flag {
    pub(super) const RESERVED: u8 = 1;
    pub(super) const CLEAN_START: u8 = 1 << 1;
    pub(super) const WILL: u8 = 1 << 2;
    pub(super) const WILL_QOS: u8 = 0b11 << 3;
    pub(super) const WILL_RETAIN: u8 = 1 << 5;
    pub(super) const PASSWORD: u8 = 1 << 6;
    pub(super) const USER_NAME: u8 = 1 << 7;
}

impl Connect {
    /// The version that a CONNECT asks for; enough to answer a CONNECT whose rest is malformed.
    pub fn peek_version(frame: &Frame<'_>) -> Result<Version, DecodeError> {
        read_version(&mut Reader::new(frame.body))
    }

    /// Decodes a CONNECT of any version.
    ///
    /// In MQTT 3.1 the flags of an absent will and the lowest flag are not looked at, and a user name or password
    /// whose flag is set may be missing at the end of the packet [MQTT 3.1, section 3.1].
    pub fn decode(frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let version = read_version(&mut reader)?;
        frame.check_header(version)?;
        let flags = reader.u8()?;
        let will_flags = read_flags(version, flags)?;
        let keep_alive_seconds = reader.u16()?;
        let properties = if version.is_v5() {
            ConnectProperties::decode(&mut reader, limits)?
        } else {
            ConnectProperties::default()
        };
        let client_id = reader.text()?.to_owned();
        let will = match will_flags {
            Some(flags) => Some(Will::decode(version, flags, &mut reader, limits)?),
            None => None,
        };
        let may_read =
            |flag, reader: &Reader<'_>| flags & flag != 0 && !(version == Version::V31 && reader.is_empty());
        let has_user_name = may_read(flag::USER_NAME, &reader);
        let user_name = if has_user_name { Some(reader.text()?.to_owned()) } else { None };
        let has_password = may_read(flag::PASSWORD, &reader);
        let password = if has_password { Some(Bytes::copy_from_slice(reader.binary()?)) } else { None };
        reader.finish()?;
        Ok(Self {
            version,
            client_id,
            clean_start: flags & flag::CLEAN_START != 0,
            keep_alive_seconds,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Appends the packet; on an error `out` is unchanged.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let version = self.version;
        if self.password.is_some() && self.user_name.is_none() && !version.is_v5() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        put_packet(out, 0x10, |body| {
            put_text(body, version.protocol_name())?;
            body.put_u8(version.level());
            body.put_u8(self.flags());
            body.put_u16(self.keep_alive_seconds);
            if version.is_v5() {
                self.properties.encode(body)?;
            }
            put_text(body, &self.client_id)?;
            if let Some(will) = &self.will {
                will.encode(version, body)?;
            }
            if let Some(user_name) = &self.user_name {
                put_text(body, user_name)?;
            }
            if let Some(password) = &self.password {
                put_binary(body, password)?;
            }
            Ok(())
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = self.will.as_ref().map_or(0, Will::flags);
        for (is_set, flag) in [
            (self.clean_start, flag::CLEAN_START),
            (self.user_name.is_some(), flag::USER_NAME),
            (self.password.is_some(), flag::PASSWORD),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        flags
    }
}

/// The password stays out of logs.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_seconds", &self.keep_alive_seconds)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("has_password", &self.password.is_some())
            .field("properties", &self.properties)
            .finish()
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = reader.binary()?;
    let level = reader.u8()?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT" | b"MQIsdp", level) => Err(DecodeError::UnsupportedVersion { level }),
        _ => Err(DecodeError::ProtocolName),
    }
}

/// Checks the connect flags; returns QoS and retain flag of the will, if there is one.
fn read_flags(version: Version, flags: u8) -> Result<Option<(QoS, bool)>, DecodeError> {
    if flags & flag::RESERVED != 0 && version != Version::V31 {
        return Err(DecodeError::ConnectFlag);
    }
    if flags & (flag::PASSWORD | flag::USER_NAME) == flag::PASSWORD && !version.is_v5() {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    if flags & flag::WILL != 0 {
        let qos = QoS::from_bits((flags & flag::WILL_QOS) >> 3).ok_or(DecodeError::WillFlags)?;
        Ok(Some((qos, flags & flag::WILL_RETAIN != 0)))
    } else if flags & (flag::WILL_QOS | flag::WILL_RETAIN) != 0 && version != Version::V31 {
        Err(DecodeError::WillFlags)
    } else {
        Ok(None)
    }
}

impl ConnectProperties {
    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut found = Self::default();
        property::walk(reader, &property::CONNECT, limits, |property| match property {
            Property::SessionExpirySeconds(seconds) => found.session_expiry_seconds = seconds,
            Property::ReceiveMaximum(maximum) => found.receive_maximum = Some(maximum),
            Property::PacketBytesMax(bytes) => found.packet_bytes_max = Some(bytes),
            Property::TopicAliasMaximum(maximum) => found.topic_alias_maximum = maximum,
            Property::RequestResponseInformation(on) => found.request_response_information = on,
            Property::RequestProblemInformation(on) => found.request_problem_information = on,
            Property::AuthenticationMethod(method) => found.authentication_method = Some(method.to_owned()),
            Property::AuthenticationData(data) => {
                found.authentication_data = Some(Bytes::copy_from_slice(data));
            }
            Property::User(key, value) => found.user_properties.push((key.to_owned(), value.to_owned())),
            _ => {}
        })?;
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::NoAuthenticationMethod);
        }
        Ok(found)
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(EncodeError::NoAuthenticationMethod);
        }
        let mut section = Vec::with_capacity(8 + self.user_properties.len());
        if self.session_expiry_seconds > 0 {
            section.push(Property::SessionExpirySeconds(self.session_expiry_seconds));
        }
        section.extend(self.receive_maximum.map(Property::ReceiveMaximum));
        section.extend(self.packet_bytes_max.map(Property::PacketBytesMax));
        if self.topic_alias_maximum > 0 {
            section.push(Property::TopicAliasMaximum(self.topic_alias_maximum));
        }
        if self.request_response_information {
            section.push(Property::RequestResponseInformation(true));
        }
        if !self.request_problem_information {
            section.push(Property::RequestProblemInformation(false));
        }
        section.extend(self.authentication_method.as_deref().map(Property::AuthenticationMethod));
        section.extend(self.authentication_data.as_deref().map(Property::AuthenticationData));
        section.extend(self.user_properties.iter().map(|(key, value)| Property::User(key, value)));
        put_properties(out, &section)
    }
}

/// Authentication data may be a secret and stays out of logs.
impl fmt::Debug for ConnectProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry_seconds", &self.session_expiry_seconds)
            .field("receive_maximum", &self.receive_maximum)
            .field("packet_bytes_max", &self.packet_bytes_max)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("request_response_information", &self.request_response_information)
            .field("request_problem_information", &self.request_problem_information)
            .field("authentication_method", &self.authentication_method)
            .field("user_properties", &self.user_properties)
            .finish_non_exhaustive()
    }
}

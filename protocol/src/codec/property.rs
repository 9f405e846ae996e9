//! Properties [MQTT 5.0, section 2.2.2]: which there are, where they may be, and what they may say.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, BytesMut};

use super::{
    DecodeError, EncodeError, Limits, Reader, VARINT_MAX,
    writer::{put_binary, put_text, put_varint, varint_len},
};
use crate::{QoS, TopicName};

/// One property with a value in its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Property<'a> {
    PayloadIsUtf8(bool),
    MessageExpirySeconds(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionId(u32),
    SessionExpirySeconds(u32),
    AssignedClientId(&'a str),
    ServerKeepAliveSeconds(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelaySeconds(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQoS(QoS),
    RetainAvailable(bool),
    User(&'a str, &'a str),
    PacketBytesMax(NonZeroU32),
    WildcardSubscriptions(bool),
    SubscriptionIds(bool),
    SharedSubscriptions(bool),
}

impl<'a> Property<'a> {
    pub(crate) const fn id(&self) -> u8 {
        match self {
            Self::PayloadIsUtf8(_) => 0x01,
            Self::MessageExpirySeconds(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionId(_) => 0x0B,
            Self::SessionExpirySeconds(_) => 0x11,
            Self::AssignedClientId(_) => 0x12,
            Self::ServerKeepAliveSeconds(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelaySeconds(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQoS(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::User(..) => 0x26,
            Self::PacketBytesMax(_) => 0x27,
            Self::WildcardSubscriptions(_) => 0x28,
            Self::SubscriptionIds(_) => 0x29,
            Self::SharedSubscriptions(_) => 0x2A,
        }
    }

    /// Reads one property, wherever it may be.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let id = reader.u8()?;
        Ok(match id {
            0x01 => Self::PayloadIsUtf8(read_bool(id, reader)?),
            0x02 => Self::MessageExpirySeconds(reader.u32()?),
            0x03 => Self::ContentType(reader.text()?),
            0x08 => Self::ResponseTopic(read_response_topic(reader)?),
            0x09 => Self::CorrelationData(reader.binary()?),
            0x0B => match reader.varint()? {
                0 => return Err(DecodeError::PropertyValue(id)),
                subscription => Self::SubscriptionId(subscription),
            },
            0x11 => Self::SessionExpirySeconds(reader.u32()?),
            0x12 => Self::AssignedClientId(reader.text()?),
            0x13 => Self::ServerKeepAliveSeconds(reader.u16()?),
            0x15 => Self::AuthenticationMethod(reader.text()?),
            0x16 => Self::AuthenticationData(reader.binary()?),
            0x17 => Self::RequestProblemInformation(read_bool(id, reader)?),
            0x18 => Self::WillDelaySeconds(reader.u32()?),
            0x19 => Self::RequestResponseInformation(read_bool(id, reader)?),
            0x1A => Self::ResponseInformation(reader.text()?),
            0x1C => Self::ServerReference(reader.text()?),
            0x1F => Self::ReasonString(reader.text()?),
            0x21 => {
                Self::ReceiveMaximum(NonZeroU16::new(reader.u16()?).ok_or(DecodeError::PropertyValue(id))?)
            }
            0x22 => Self::TopicAliasMaximum(reader.u16()?),
            0x23 => Self::TopicAlias(NonZeroU16::new(reader.u16()?).ok_or(DecodeError::TopicAliasZero)?),
            0x24 => match read_bool(id, reader)? {
                false => Self::MaximumQoS(QoS::AtMostOnce),
                true => Self::MaximumQoS(QoS::AtLeastOnce),
            },
            0x25 => Self::RetainAvailable(read_bool(id, reader)?),
            0x26 => Self::User(reader.text()?, reader.text()?),
            0x27 => {
                Self::PacketBytesMax(NonZeroU32::new(reader.u32()?).ok_or(DecodeError::PropertyValue(id))?)
            }
            0x28 => Self::WildcardSubscriptions(read_bool(id, reader)?),
            0x29 => Self::SubscriptionIds(read_bool(id, reader)?),
            0x2A => Self::SharedSubscriptions(read_bool(id, reader)?),
            id => return Err(DecodeError::UnknownProperty(id)),
        })
    }

    /// The bytes that [`Self::put`] appends.
    pub(crate) fn len(&self) -> usize {
        1 + match *self {
            Self::PayloadIsUtf8(_)
            | Self::RequestProblemInformation(_)
            | Self::RequestResponseInformation(_)
            | Self::MaximumQoS(_)
            | Self::RetainAvailable(_)
            | Self::WildcardSubscriptions(_)
            | Self::SubscriptionIds(_)
            | Self::SharedSubscriptions(_) => 1,
            Self::ServerKeepAliveSeconds(_)
            | Self::ReceiveMaximum(_)
            | Self::TopicAliasMaximum(_)
            | Self::TopicAlias(_) => 2,
            Self::MessageExpirySeconds(_)
            | Self::SessionExpirySeconds(_)
            | Self::WillDelaySeconds(_)
            | Self::PacketBytesMax(_) => 4,
            Self::SubscriptionId(id) => varint_len(id as usize),
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientId(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => 2 + text.len(),
            Self::CorrelationData(data) | Self::AuthenticationData(data) => 2 + data.len(),
            Self::User(key, value) => 4 + key.len() + value.len(),
        }
    }

    /// Appends the property. After an error a part of it may be there: callers write into a scratch buffer.
    pub(crate) fn put(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_u8(self.id());
        match *self {
            Self::PayloadIsUtf8(on)
            | Self::RequestProblemInformation(on)
            | Self::RequestResponseInformation(on)
            | Self::RetainAvailable(on)
            | Self::WildcardSubscriptions(on)
            | Self::SubscriptionIds(on)
            | Self::SharedSubscriptions(on) => out.put_u8(on.into()),
            Self::MaximumQoS(qos) => out.put_u8(qos.bits()),
            Self::ServerKeepAliveSeconds(number) | Self::TopicAliasMaximum(number) => out.put_u16(number),
            Self::ReceiveMaximum(number) | Self::TopicAlias(number) => out.put_u16(number.get()),
            Self::MessageExpirySeconds(number)
            | Self::SessionExpirySeconds(number)
            | Self::WillDelaySeconds(number) => out.put_u32(number),
            Self::PacketBytesMax(number) => out.put_u32(number.get()),
            Self::SubscriptionId(id) => {
                if id == 0 || id as usize > VARINT_MAX {
                    return Err(EncodeError::SubscriptionId(id));
                }
                put_varint(out, id as usize);
            }
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientId(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => put_text(out, text)?,
            Self::CorrelationData(data) | Self::AuthenticationData(data) => put_binary(out, data)?,
            Self::User(key, value) => {
                put_text(out, key)?;
                put_text(out, value)?;
            }
        }
        Ok(())
    }
}

fn read_bool(id: u8, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::PropertyValue(id)),
    }
}

/// [MQTT-3.3.2-13], [MQTT-3.3.2-14]
fn read_response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let text = reader.text()?;
    TopicName::check(text).map_err(DecodeError::ResponseTopic)?;
    Ok(text)
}

/// The properties that one place may hold [MQTT 5.0, table 2-4].
#[derive(Debug)]
pub(crate) struct Section {
    name: &'static str,
    /// One bit for each identifier; user properties are allowed everywhere.
    allowed: u64,
    /// Of these, which may repeat beside user properties.
    repeatable: u64,
}

const USER: u64 = 1 << 0x26;

const fn section(name: &'static str, ids: &[u8]) -> Section {
    let mut allowed = USER;
    let mut rest = ids;
    while let [id, others @ ..] = rest {
        allowed |= 1 << *id;
        rest = others;
    }
    Section { name, allowed, repeatable: USER }
}

pub(crate) const CONNECT: Section = section("CONNECT", &[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, 0x27]);
pub(crate) const WILL: Section = section("a will", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18]);
pub(crate) const CONNACK: Section = section(
    "CONNACK",
    &[0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x27, 0x28, 0x29, 0x2A],
);
pub(crate) const PUBLISH: Section = Section {
    repeatable: USER | 1 << 0x0B,
    ..section("PUBLISH", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23])
};
/// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
pub(crate) const ACKNOWLEDGEMENT: Section = section("an acknowledgement", &[0x1F]);
pub(crate) const SUBSCRIBE: Section = section("SUBSCRIBE", &[0x0B]);
pub(crate) const UNSUBSCRIBE: Section = section("UNSUBSCRIBE", &[]);
pub(crate) const DISCONNECT: Section = section("DISCONNECT", &[0x11, 0x1C, 0x1F]);
pub(crate) const AUTH: Section = section("AUTH", &[0x15, 0x16, 0x1F]);

/// Reads a section with its length, refuses what does not belong into it, and hands the rest to `each` in order.
/// Returns the section's bytes without the length.
#[inline]
pub(crate) fn walk<'a>(
    reader: &mut Reader<'a>,
    section: &Section,
    limits: &Limits,
    each: impl FnMut(Property<'a>),
) -> Result<&'a [u8], DecodeError> {
    if let Some((0, rest)) = reader.rest().split_first() {
        *reader = Reader::new(rest);
        return Ok(&[]);
    }
    walk_some(reader, section, limits, each)
}

fn walk_some<'a>(
    reader: &mut Reader<'a>,
    section: &Section,
    limits: &Limits,
    mut each: impl FnMut(Property<'a>),
) -> Result<&'a [u8], DecodeError> {
    let len = reader.varint()?;
    let bytes = reader.take(len as usize)?;
    let mut inner = Reader::new(bytes);
    let mut seen = 0;
    let mut user_properties = 0;
    while !inner.is_empty() {
        let property = Property::read(&mut inner)?;
        let id = property.id();
        let bit = 1 << id;
        if section.allowed & bit == 0 {
            return Err(DecodeError::MisplacedProperty { id, section: section.name });
        }
        if seen & bit & !section.repeatable != 0 {
            return Err(DecodeError::DuplicateProperty(id));
        }
        seen |= bit;
        if bit == USER {
            user_properties += 1;
            if user_properties > limits.user_properties_max {
                return Err(DecodeError::TooManyUserProperties(limits.user_properties_max));
            }
        }
        each(property);
    }
    Ok(bytes)
}

/// Copies a checked section, without the properties that `keep` refuses.
pub(crate) fn retain(section: &[u8], keep: impl Fn(&Property<'_>) -> bool) -> BytesMut {
    let mut kept = BytesMut::with_capacity(section.len());
    let mut reader = Reader::new(section);
    loop {
        let before = reader.rest();
        let Ok(property) = Property::read(&mut reader) else { return kept };
        if keep(&property) {
            kept.extend_from_slice(before.get(..before.len() - reader.rest().len()).unwrap_or_default());
        }
    }
}

//! PUBLISH on its way out: the fields that differ for each receiver, and borrowed content.

use std::num::NonZeroU16;

use bytes::{BufMut, BytesMut};

use crate::{
    PacketId, QoS, Version,
    codec::{
        EncodeError, VARINT_MAX,
        property::Property,
        writer::{check_text, put_varint, varint_len},
    },
};

/// A message to write as PUBLISH. What MQTT 5 alone knows is left out for older versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outgoing<'a> {
    /// Whether it was sent before. Not at QoS 0.
    pub dup: bool,
    /// The promise under which it is transferred.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// A valid topic name: the caller holds it as one. Empty only with an alias in MQTT 5.
    pub topic: &'a str,
    /// Exactly at QoS 1 and 2.
    pub packet_id: Option<PacketId>,
    /// The application's data.
    pub payload: &'a [u8],
    /// MQTT 5: stands for the topic.
    pub topic_alias: Option<NonZeroU16>,
    /// MQTT 5: what is left of the message's lifetime.
    pub message_expiry_seconds: Option<u32>,
    /// MQTT 5: the identifiers of the receiver's subscriptions that match.
    pub subscription_ids: &'a [u32],
    /// MQTT 5: properties as bytes, from [`super::PublishProperties::forwardable`].
    pub forwardable: &'a [u8],
    /// MQTT 5: one more user property, after those in `forwardable`.
    pub user_property: Option<(&'a str, &'a str)>,
}

impl Outgoing<'_> {
    /// The bytes that [`Self::encode`] appends, to be compared with the receiver's Maximum Packet Size.
    pub fn len(&self, version: Version) -> usize {
        let body = self.body_len(version, self.properties_len(version));
        1 + varint_len(body) + body
    }

    /// Appends the packet. Returns where the packet identifier is, counted from the packet's first byte, so that one
    /// encoded packet can be copied for many receivers; 0 at QoS 0. On an error `out` is unchanged.
    #[inline]
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<usize, EncodeError> {
        let properties = self.properties_len(version);
        let body = self.body_len(version, properties);
        self.check(version, body)?;
        out.reserve(5 + body);
        let start = out.len();
        let flags = u8::from(self.dup) << 3 | self.qos.bits() << 1 | u8::from(self.retain);
        out.put_u8(0x30 | flags);
        put_varint(out, body);
        out.put_u16(self.topic.len() as u16);
        out.extend_from_slice(self.topic.as_bytes());
        let packet_id_at = match self.packet_id {
            Some(id) => {
                let at = out.len() - start;
                out.put_u16(id.as_u16());
                at
            }
            None => 0,
        };
        if version.is_v5() {
            put_varint(out, properties);
            if properties > 0 {
                self.put_properties(out);
            }
        }
        out.extend_from_slice(self.payload);
        Ok(packet_id_at)
    }

    #[inline]
    fn check(&self, version: Version, body: usize) -> Result<(), EncodeError> {
        if self.topic.len() > usize::from(u16::MAX) {
            return Err(EncodeError::FieldTooLong(self.topic.len()));
        }
        if body > VARINT_MAX {
            return Err(EncodeError::PacketTooLong(body));
        }
        if self.packet_id.is_some() != (self.qos > QoS::AtMostOnce) {
            return Err(EncodeError::PacketId);
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(EncodeError::DuplicateAtMostOnce);
        }
        if self.topic.is_empty() && (self.topic_alias.is_none() || !version.is_v5()) {
            return Err(EncodeError::EmptyTopic);
        }
        if !version.is_v5() || self.subscription_ids.is_empty() && self.user_property.is_none() {
            return Ok(());
        }
        self.check_properties()
    }

    fn check_properties(&self) -> Result<(), EncodeError> {
        if let Some((key, value)) = self.user_property {
            check_text(key)?;
            check_text(value)?;
        }
        match self.subscription_ids.iter().find(|id| **id == 0 || **id as usize > VARINT_MAX) {
            Some(id) => Err(EncodeError::SubscriptionId(*id)),
            None => Ok(()),
        }
    }

    #[inline]
    fn body_len(&self, version: Version, properties: usize) -> usize {
        let packet_id = if self.packet_id.is_some() { 2 } else { 0 };
        let section = if version.is_v5() { varint_len(properties) + properties } else { 0 };
        2 + self.topic.len() + packet_id + section + self.payload.len()
    }

    #[inline]
    fn properties_len(&self, version: Version) -> usize {
        if !version.is_v5() {
            return 0;
        }
        let mut len = self.forwardable.len();
        if self.topic_alias.is_some() {
            len += 3;
        }
        if self.message_expiry_seconds.is_some() {
            len += 5;
        }
        for id in self.subscription_ids {
            len += 1 + varint_len(*id as usize);
        }
        if let Some((key, value)) = self.user_property {
            len += Property::User(key, value).len();
        }
        len
    }

    /// Everything was checked by [`Self::check`].
    fn put_properties(&self, out: &mut BytesMut) {
        if let Some(alias) = self.topic_alias {
            out.put_u8(0x23);
            out.put_u16(alias.get());
        }
        if let Some(seconds) = self.message_expiry_seconds {
            out.put_u8(0x02);
            out.put_u32(seconds);
        }
        for id in self.subscription_ids {
            out.put_u8(0x0B);
            put_varint(out, *id as usize);
        }
        out.extend_from_slice(self.forwardable);
        if let Some((key, value)) = self.user_property {
            out.put_u8(0x26);
            for text in [key, value] {
                out.put_u16(text.len() as u16);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

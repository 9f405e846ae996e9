//! The will: what a server publishes when the client vanishes [MQTT 5.0, section 3.1.3.2].

use bytes::{Bytes, BytesMut};

use crate::{
    QoS, TopicName, Version,
    codec::{
        DecodeError, EncodeError, Limits, Reader, VARINT_MAX,
        property::{self, Property},
        writer::{put_binary, put_text, put_varint},
    },
};

/// A message that CONNECT leaves with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: TopicName,
    /// The application's data; at most 65535 bytes.
    pub payload: Bytes,
    /// With which promise it is published.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// MQTT 5: how long after the end of the connection it is published.
    pub delay_seconds: u32,
    /// MQTT 5: how long it is of use, counted from its publication.
    pub message_expiry_seconds: Option<u32>,
    /// MQTT 5: its other properties as bytes, ready for [`super::Outgoing::forwardable`].
    pub properties: Bytes,
}

impl Will {
    /// Reads the will fields of CONNECT's payload.
    pub(crate) fn decode(
        version: Version,
        (qos, retain): (QoS, bool),
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        let (mut delay_seconds, mut message_expiry_seconds) = (0, None);
        let mut properties = Bytes::new();
        if version.is_v5() {
            let section = property::walk(reader, &property::WILL, limits, |property| match property {
                Property::WillDelaySeconds(seconds) => delay_seconds = seconds,
                Property::MessageExpirySeconds(seconds) => message_expiry_seconds = Some(seconds),
                _ => {}
            })?;
            properties = property::retain(section, |property| {
                !matches!(property, Property::WillDelaySeconds(_) | Property::MessageExpirySeconds(_))
            })
            .freeze();
        }
        let topic = TopicName::new(reader.text()?).map_err(DecodeError::TopicName)?;
        let payload = Bytes::copy_from_slice(reader.binary()?);
        Ok(Self { topic, payload, qos, retain, delay_seconds, message_expiry_seconds, properties })
    }

    /// Its flags in CONNECT.
    pub(crate) const fn flags(&self) -> u8 {
        0b100 | self.qos.bits() << 3 | (self.retain as u8) << 5
    }

    /// Writes the will fields of CONNECT's payload.
    pub(crate) fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if version.is_v5() {
            let mut section = BytesMut::new();
            if self.delay_seconds > 0 {
                Property::WillDelaySeconds(self.delay_seconds).put(&mut section)?;
            }
            if let Some(seconds) = self.message_expiry_seconds {
                Property::MessageExpirySeconds(seconds).put(&mut section)?;
            }
            section.extend_from_slice(&self.properties);
            if section.len() > VARINT_MAX {
                return Err(EncodeError::PacketTooLong(section.len()));
            }
            put_varint(out, section.len());
            out.extend_from_slice(&section);
        }
        put_text(out, self.topic.as_str())?;
        put_binary(out, &self.payload)
    }
}

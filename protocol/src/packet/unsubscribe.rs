//! UNSUBSCRIBE [MQTT 5.0, section 3.10].

use bytes::BytesMut;
use mqttbytes::{v4, v5};

use super::{ack::check_information, subscribe::lift_filter};
use crate::{
    PacketId, TopicFilter, Version,
    codec::{
        DecodeError, EncodeError, Frame, Limits, Reader, gate, lift,
        property::{self, Property},
        writer::put_with,
    },
};

/// A client's request to end subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// By what UNSUBACK refers to it.
    pub packet_id: PacketId,
    /// At least one.
    pub filters: Vec<TopicFilter>,
    /// MQTT 5: keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl Unsubscribe {
    /// Decodes the packet. For MQTT 5 mqttbytes' decoder prints to the standard error, so that is read here.
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::unsubscribe(version, frame, limits)?;
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let mut user_properties = Vec::new();
        let mut filters = Vec::new();
        if version.is_v5() {
            property::walk(&mut reader, &property::UNSUBSCRIBE, limits, |property| {
                if let Property::User(key, value) = property {
                    user_properties.push((key.to_owned(), value.to_owned()));
                }
            })?;
            while !reader.is_empty() {
                filters.push(lift_filter(reader.text()?)?);
            }
        } else {
            let (header, bytes) = lift::packet(frame);
            let theirs = v4::Unsubscribe::read(header, bytes).map_err(DecodeError::Malformed)?;
            for topic in theirs.topics {
                filters.push(lift_filter(&topic)?);
            }
        }
        Ok(Self { packet_id, filters, user_properties })
    }

    /// Appends the packet; on an error `out` is unchanged.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::Empty);
        }
        let pkid = self.packet_id.as_u16();
        let texts = self.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
        if !version.is_v5() {
            return put_with(out, |out| v4::Unsubscribe { pkid, topics: texts }.write(out));
        }
        check_information(None, &self.user_properties)?;
        let properties = Some(v5::UnsubscribeProperties { user_properties: self.user_properties.clone() });
        put_with(out, |out| v5::Unsubscribe { pkid, filters: texts, properties }.write(out))
    }
}

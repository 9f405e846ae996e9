//! UNSUBACK [MQTT 5.0, section 3.11].

use bytes::BytesMut;
use mqttbytes::{v4, v5};

use super::{PacketType, ack::check_information};
use crate::{
    PacketId, ReasonCode, Version,
    codec::{DecodeError, EncodeError, Frame, Limits, Reader, gate, lift, writer::put_with},
};

/// A server's answer to UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// The packet identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// MQTT 5: one for each filter, in their order [MQTT-3.11.3-1]. Empty before.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5: text for diagnosis.
    pub reason_string: Option<String>,
    /// MQTT 5: keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl UnsubAck {
    /// An answer without properties.
    pub const fn new(packet_id: PacketId, reasons: Vec<ReasonCode>) -> Self {
        Self { packet_id, reasons, reason_string: None, user_properties: Vec::new() }
    }

    /// Decodes the packet.
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::unsuback(version, frame, limits)?;
        let packet_id = Reader::new(frame.body).packet_id()?;
        if !version.is_v5() {
            return Ok(Self::new(packet_id, Vec::new()));
        }
        let (header, bytes) = lift::packet(frame);
        let theirs = v5::UnsubAck::read(header, bytes).map_err(DecodeError::Malformed)?;
        let reasons = theirs.reasons.into_iter().map(|code| lift::reason(code as u8, PacketType::UnsubAck));
        let reasons = reasons.collect::<Result<_, _>>()?;
        let (reason_string, user_properties) =
            theirs.properties.map(|found| (found.reason_string, found.user_properties)).unwrap_or_default();
        Ok(Self { packet_id, reasons, reason_string, user_properties })
    }

    /// Appends the packet; on an error `out` is unchanged. Before MQTT 5 the reasons are left out.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        let pkid = self.packet_id.as_u16();
        if !version.is_v5() {
            return put_with(out, |out| v4::UnsubAck { pkid }.write(out));
        }
        if self.reasons.is_empty() {
            return Err(EncodeError::Empty);
        }
        check_information(self.reason_string.as_deref(), &self.user_properties)?;
        let lower = |reason: &ReasonCode| lift::lower(*reason, PacketType::UnsubAck, lift::unsuback);
        let reasons = self.reasons.iter().map(lower).collect::<Result<_, _>>()?;
        let properties = Some(v5::UnsubAckProperties {
            reason_string: self.reason_string.clone(),
            user_properties: self.user_properties.clone(),
        });
        put_with(out, |out| v5::UnsubAck { pkid, reasons, properties }.write(out))
    }
}

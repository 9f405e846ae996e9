//! SUBACK [MQTT 5.0, section 3.9].

use bytes::BytesMut;
use mqttbytes::{v4, v5};

use super::{PacketType, ack::check_information};
use crate::{
    PacketId, ReasonCode, Version,
    codec::{DecodeError, EncodeError, Frame, Limits, Reader, gate, lift, writer::put_with},
};

/// A server's answer to SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// The packet identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in their order [MQTT-3.9.3-1]: the granted QoS or a failure.
    pub reasons: Vec<ReasonCode>,
    /// MQTT 5: text for diagnosis.
    pub reason_string: Option<String>,
    /// MQTT 5: keys and values in order.
    pub user_properties: Vec<(String, String)>,
}

impl SubAck {
    /// An answer without properties.
    pub const fn new(packet_id: PacketId, reasons: Vec<ReasonCode>) -> Self {
        Self { packet_id, reasons, reason_string: None, user_properties: Vec::new() }
    }

    /// Decodes the packet.
    pub(crate) fn decode(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        gate::suback(version, frame, limits)?;
        let packet_id = Reader::new(frame.body).packet_id()?;
        let (header, bytes) = lift::packet(frame);
        if !version.is_v5() {
            let theirs = v4::SubAck::read(header, bytes).map_err(DecodeError::Malformed)?;
            return Ok(Self::new(packet_id, theirs.return_codes.into_iter().map(lift_v4).collect()));
        }
        let theirs = v5::SubAck::read(header, bytes).map_err(DecodeError::Malformed)?;
        let reasons =
            theirs.return_codes.into_iter().map(|code| lift::reason(code as u8, PacketType::SubAck));
        let reasons = reasons.collect::<Result<_, _>>()?;
        let (reason_string, user_properties) =
            theirs.properties.map(|found| (found.reason_string, found.user_properties)).unwrap_or_default();
        Ok(Self { packet_id, reasons, reason_string, user_properties })
    }

    /// Appends the packet; on an error `out` is unchanged. MQTT 3.1.1 knows one failure, 0x80; MQTT 3.1 knows none,
    /// so a failure is written as QoS 0.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.reasons.is_empty() {
            return Err(EncodeError::Empty);
        }
        let pkid = self.packet_id.as_u16();
        if !version.is_v5() {
            let return_codes = self.reasons.iter().map(|reason| lower_v4(version, *reason)).collect();
            return put_with(out, |out| v4::SubAck { pkid, return_codes }.write(out));
        }
        check_information(self.reason_string.as_deref(), &self.user_properties)?;
        let lower = |reason: &ReasonCode| lift::lower(*reason, PacketType::SubAck, lift::suback);
        let return_codes = self.reasons.iter().map(lower).collect::<Result<_, _>>()?;
        let properties = Some(v5::SubAckProperties {
            reason_string: self.reason_string.clone(),
            user_properties: self.user_properties.clone(),
        });
        put_with(out, |out| v5::SubAck { pkid, return_codes, properties }.write(out))
    }
}

const fn lift_v4(code: v4::SubscribeReasonCode) -> ReasonCode {
    match code {
        v4::SubscribeReasonCode::Success(mqttbytes::QoS::AtMostOnce) => ReasonCode::Success,
        v4::SubscribeReasonCode::Success(mqttbytes::QoS::AtLeastOnce) => ReasonCode::GrantedQoS1,
        v4::SubscribeReasonCode::Success(mqttbytes::QoS::ExactlyOnce) => ReasonCode::GrantedQoS2,
        v4::SubscribeReasonCode::Failure => ReasonCode::UnspecifiedError,
    }
}

const fn lower_v4(version: Version, reason: ReasonCode) -> v4::SubscribeReasonCode {
    match reason {
        ReasonCode::GrantedQoS1 => v4::SubscribeReasonCode::Success(mqttbytes::QoS::AtLeastOnce),
        ReasonCode::GrantedQoS2 => v4::SubscribeReasonCode::Success(mqttbytes::QoS::ExactlyOnce),
        reason if reason.is_error() && matches!(version, Version::V311) => v4::SubscribeReasonCode::Failure,
        _ => v4::SubscribeReasonCode::Success(mqttbytes::QoS::AtMostOnce),
    }
}

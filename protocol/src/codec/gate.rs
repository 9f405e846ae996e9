//! The strict gate: what has passed here, `mqttbytes` decodes without losing or misreading anything.
//!
//! Its decoders look at the content alone and forgive most defects, so every rule that the standard states for a
//! packet by itself is enforced here, on borrowed bytes, before they see it.

use super::{
    DecodeError, Frame, Limits, Reader, lift,
    property::{self, Property, walk},
};
use crate::{
    QoS, ReasonCode, Version,
    packet::{AckType, PacketType},
};

/// PUBACK, PUBREC, PUBREL or PUBCOMP of MQTT 5 [MQTT 5.0, sections 3.4 to 3.7].
pub(crate) fn ack(kind: AckType, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    reader.packet_id()?;
    if reader.is_empty() {
        return Ok(());
    }
    check_reason(reader.u8()?, kind.packet_type(), |reason| kind.allows(reason))?;
    if reader.is_empty() {
        return Ok(());
    }
    walk(&mut reader, &property::ACKNOWLEDGEMENT, limits, |_| {})?;
    reader.finish()
}

/// CONNACK [MQTT 5.0, section 3.2]. Of the flags of MQTT 3.1 none is used, so none is looked at.
pub(crate) fn connack(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    let (flags, code) = (reader.u8()?, reader.u8()?);
    if version != Version::V31 {
        if flags & 0xFE != 0 {
            return Err(DecodeError::ConnAckFlags);
        }
        if flags != 0 && code != 0 {
            return Err(DecodeError::SessionPresentWithRefusal);
        }
    }
    if version.is_v5() {
        check_reason(code, PacketType::ConnAck, |reason| lift::connack(reason).is_some())?;
        let (mut method, mut data) = (false, false);
        walk(&mut reader, &property::CONNACK, limits, |property| match property {
            Property::AuthenticationMethod(_) => method = true,
            Property::AuthenticationData(_) => data = true,
            _ => {}
        })?;
        if data && !method {
            return Err(DecodeError::NoAuthenticationMethod);
        }
    } else if code > 5 {
        return Err(DecodeError::Reason { byte: code, packet: PacketType::ConnAck });
    }
    reader.finish()
}

/// SUBSCRIBE [MQTT 5.0, section 3.8].
pub(crate) fn subscribe(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    reader.packet_id()?;
    if version.is_v5() {
        walk(&mut reader, &property::SUBSCRIBE, limits, |_| {})?;
    }
    each_filter(&mut reader, limits, |reader, filter| {
        check_options(version, reader.u8()?, filter.starts_with("$share/"))
    })
}

/// UNSUBSCRIBE [MQTT 5.0, section 3.10].
pub(crate) fn unsubscribe(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    reader.packet_id()?;
    if version.is_v5() {
        walk(&mut reader, &property::UNSUBSCRIBE, limits, |_| {})?;
    }
    each_filter(&mut reader, limits, |_, _| Ok(()))
}

/// SUBACK [MQTT 5.0, section 3.9].
pub(crate) fn suback(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    reader.packet_id()?;
    if version.is_v5() {
        walk(&mut reader, &property::ACKNOWLEDGEMENT, limits, |_| {})?;
    }
    check_reasons(reader.rest(), PacketType::SubAck, |reason| match version {
        Version::V31 => reason <= ReasonCode::GrantedQoS2,
        Version::V311 => reason <= ReasonCode::GrantedQoS2 || reason == ReasonCode::UnspecifiedError,
        Version::V5 => lift::suback(reason).is_some(),
    })
}

/// UNSUBACK [MQTT 5.0, section 3.11].
pub(crate) fn unsuback(version: Version, frame: &Frame<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let mut reader = Reader::new(frame.body);
    reader.packet_id()?;
    if !version.is_v5() {
        return reader.finish();
    }
    walk(&mut reader, &property::ACKNOWLEDGEMENT, limits, |_| {})?;
    check_reasons(reader.rest(), PacketType::UnsubAck, |reason| lift::unsuback(reason).is_some())
}

/// Walks the payload of SUBSCRIBE and UNSUBSCRIBE: at least one filter, and not too many. Whether the texts are
/// filters is found out when they become [`crate::TopicFilter`]s.
fn each_filter<'a>(
    reader: &mut Reader<'a>,
    limits: &Limits,
    after: impl Fn(&mut Reader<'a>, &str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    if reader.is_empty() {
        return Err(DecodeError::NoFilters);
    }
    let mut filters = 0;
    while !reader.is_empty() {
        filters += 1;
        if filters > limits.filters_per_packet_max {
            return Err(DecodeError::TooManyFilters(limits.filters_per_packet_max));
        }
        let filter = reader.text()?;
        after(reader, filter)?;
    }
    Ok(())
}

fn check_options(version: Version, options: u8, is_shared: bool) -> Result<(), DecodeError> {
    let reserved = if version.is_v5() { 0b1100_0000 } else { 0b1111_1100 };
    if options & reserved != 0 {
        return Err(DecodeError::SubscriptionOptions(options));
    }
    if QoS::from_bits(options & 0b11).is_none() {
        return Err(DecodeError::SubscriptionQoS);
    }
    if options & 0b11_0000 == 0b11_0000 {
        return Err(DecodeError::RetainHandling);
    }
    if options & 0b100 != 0 && is_shared {
        return Err(DecodeError::NoLocalOnShare);
    }
    Ok(())
}

fn check_reasons(
    codes: &[u8],
    packet: PacketType,
    allowed: impl Fn(ReasonCode) -> bool,
) -> Result<(), DecodeError> {
    if codes.is_empty() {
        return Err(DecodeError::NoReasons);
    }
    codes.iter().try_for_each(|byte| check_reason(*byte, packet, &allowed))
}

fn check_reason(
    byte: u8,
    packet: PacketType,
    allowed: impl Fn(ReasonCode) -> bool,
) -> Result<(), DecodeError> {
    match ReasonCode::from_byte(byte) {
        Some(reason) if allowed(reason) => Ok(()),
        _ => Err(DecodeError::Reason { byte, packet }),
    }
}

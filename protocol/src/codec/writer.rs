//! Writes the data types of [MQTT 5.0, section 1.5], and nothing at all when something is wrong.

use bytes::{BufMut, BytesMut};

use super::{EncodeError, VARINT_MAX, property::Property};

/// How many bytes a variable byte integer takes.
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A variable byte integer in its shortest form. Over [`VARINT_MAX`] the value would be cut off: callers check.
#[inline]
pub(crate) fn put_varint(out: &mut BytesMut, mut value: usize) {
    debug_assert!(value <= VARINT_MAX);
    while value >= 0x80 {
        out.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// That a string can be written.
pub(crate) fn check_text(text: &str) -> Result<(), EncodeError> {
    check_binary(text.as_bytes())?;
    if text.as_bytes().contains(&0) { Err(EncodeError::Null) } else { Ok(()) }
}

/// That binary data can be written.
pub(crate) fn check_binary(bytes: &[u8]) -> Result<(), EncodeError> {
    if bytes.len() > usize::from(u16::MAX) { Err(EncodeError::FieldTooLong(bytes.len())) } else { Ok(()) }
}

pub(crate) fn put_text(out: &mut BytesMut, text: &str) -> Result<(), EncodeError> {
    check_text(text)?;
    put_binary(out, text.as_bytes())
}

pub(crate) fn put_binary(out: &mut BytesMut, bytes: &[u8]) -> Result<(), EncodeError> {
    let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong(bytes.len()))?;
    out.put_u16(len);
    out.extend_from_slice(bytes);
    Ok(())
}

/// A section of properties with its length.
pub(crate) fn put_properties(out: &mut BytesMut, properties: &[Property<'_>]) -> Result<(), EncodeError> {
    let len = properties.iter().map(Property::len).sum();
    if len > VARINT_MAX {
        return Err(EncodeError::PacketTooLong(len));
    }
    put_varint(out, len);
    properties.iter().try_for_each(|property| property.put(out))
}

/// Appends a packet whose content `write` produces; on an error `out` stays as it was.
pub(crate) fn put_packet(
    out: &mut BytesMut,
    first_byte: u8,
    write: impl FnOnce(&mut BytesMut) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut body = BytesMut::new();
    write(&mut body)?;
    if body.len() > VARINT_MAX {
        return Err(EncodeError::PacketTooLong(body.len()));
    }
    out.reserve(5 + body.len());
    out.put_u8(first_byte);
    put_varint(out, body.len());
    out.extend_from_slice(&body);
    Ok(())
}

/// Lets a writer of mqttbytes append a packet; on an error `out` stays as it was.
pub(crate) fn put_with(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
) -> Result<(), EncodeError> {
    let start = out.len();
    write(out).map(|_| ()).map_err(|error| {
        out.truncate(start);
        match error {
            mqttbytes::Error::PayloadTooLong => EncodeError::PacketTooLong(VARINT_MAX + 1),
            error => EncodeError::Refused(error),
        }
    })
}

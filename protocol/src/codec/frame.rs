//! Splits packets off a stream of bytes by their fixed header [MQTT 5.0, section 2.1].
//!
//! ```text
//! byte 1         type (4 bits), flags (4 bits)
//! byte 2 to 5    how many bytes follow, a variable byte integer
//! ```

use super::{DecodeError, writer::varint_len};
use crate::{Version, packet::PacketType};

/// A whole packet whose content was not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type and flags.
    pub first_byte: u8,
    /// What follows the fixed header.
    pub body: &'a [u8],
    /// The bytes of the whole packet, fixed header included.
    pub len: usize,
}

impl<'a> Frame<'a> {
    /// The packet's type; `None` for the reserved type 0.
    pub const fn packet_type(&self) -> Option<PacketType> {
        PacketType::from_bits(self.first_byte >> 4)
    }

    /// The four flags of the first byte.
    pub(crate) const fn flags(&self) -> u8 {
        self.first_byte & 0x0F
    }

    /// Checks what the fixed header may hold in one version only: MQTT 5 wants the shortest length
    /// [MQTT-1.5.5-1], and only MQTT 3.1 has a DUP flag in PUBREL, SUBSCRIBE and UNSUBSCRIBE.
    #[inline]
    pub(crate) const fn check_header(&self, version: Version) -> Result<(), DecodeError> {
        if version.is_v5() && self.len - self.body.len() != 1 + varint_len(self.body.len()) {
            return Err(DecodeError::VarintNotMinimal);
        }
        let is_publish = self.first_byte >> 4 == PacketType::Publish as u8;
        if !is_publish && self.flags() & 0b1000 != 0 && !matches!(version, Version::V31) {
            return Err(DecodeError::ReservedFlags(self.first_byte));
        }
        Ok(())
    }
}

/// Splits the first whole packet off `buf`; `None` says that bytes are missing.
///
/// `packet_bytes_max` counts the header too. Type, flags, length and size are refused as soon as they are seen,
/// before the rest of the packet is there, so a caller never has to buffer what it will refuse.
#[inline]
pub fn frame(buf: &[u8], packet_bytes_max: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some((&first_byte, rest)) = buf.split_first() else { return Ok(None) };
    check_first_byte(first_byte)?;
    let Some((remaining, rest)) = remaining_length(rest)? else { return Ok(None) };
    let len = buf.len() - rest.len() + remaining;
    if len > packet_bytes_max {
        return Err(DecodeError::TooLarge { bytes: len, max: packet_bytes_max });
    }
    Ok(rest.get(..remaining).map(|body| Frame { first_byte, body, len }))
}

/// How long the packet is that `buf` begins, as far as its fixed header is there: how much room to make for it.
///
/// # Errors
/// As [`frame`], but for the size.
pub fn packet_len(buf: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((&first_byte, rest)) = buf.split_first() else { return Ok(None) };
    check_first_byte(first_byte)?;
    Ok(remaining_length(rest)?.map(|(remaining, rest)| buf.len() - rest.len() + remaining))
}

/// Flags that a type may have, one bit for each of the 16 values [MQTT 5.0, section 2.1.3].
#[inline]
const fn allowed_flags(packet_type: u8) -> u16 {
    match packet_type {
        0 => 0,
        // Everything but QoS 3 and a DUP flag at QoS 0.
        3 => 0b0011_1100_0011_1111,
        // PUBREL, SUBSCRIBE, UNSUBSCRIBE: 0b0010, and 0b1010 with the DUP flag of MQTT 3.1; `check_header` knows
        // the version.
        6 | 8 | 10 => 1 << 0b0010 | 1 << 0b1010,
        _ => 1,
    }
}

#[inline]
const fn check_first_byte(first_byte: u8) -> Result<(), DecodeError> {
    let flags = first_byte & 0x0F;
    if allowed_flags(first_byte >> 4) >> flags & 1 == 1 { Ok(()) } else { Err(wrong_first_byte(first_byte)) }
}

#[cold]
const fn wrong_first_byte(first_byte: u8) -> DecodeError {
    match (first_byte >> 4, first_byte >> 1 & 0b11) {
        (0, _) => DecodeError::ReservedType(0),
        (3, 3) => DecodeError::PublishQoS,
        (3, _) => DecodeError::DuplicateAtMostOnce,
        _ => DecodeError::ReservedFlags(first_byte),
    }
}

/// The remaining length and what follows it. Its shortest form is not enforced here, see [`Frame::check_header`].
#[inline]
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, DecodeError> {
    match bytes.split_first() {
        None => Ok(None),
        Some((&byte, rest)) if byte < 0x80 => Ok(Some((usize::from(byte), rest))),
        Some(_) => long_remaining_length(bytes),
    }
}

fn long_remaining_length(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, DecodeError> {
    let mut value = 0;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21] {
        let Some((&byte, after)) = rest.split_first() else { return Ok(None) };
        value |= usize::from(byte & 0x7F) << shift;
        rest = after;
        if byte < 0x80 {
            return Ok(Some((value, rest)));
        }
    }
    Err(DecodeError::VarintTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_judged_alone() {
        for first_byte in 0..=u8::MAX {
            let (kind, flags) = (first_byte >> 4, first_byte & 0x0F);
            let valid = match kind {
                0 => false,
                3 => flags & 0b0110 != 0b0110 && (flags & 0b1000 == 0 || flags & 0b0110 != 0),
                6 | 8 | 10 => flags & 0b0111 == 0b0010,
                _ => flags == 0,
            };
            assert_eq!(frame(&[first_byte], 10).is_ok(), valid, "{first_byte:02X}");
        }
    }

    #[test]
    fn the_limit_counts_the_header_and_holds_before_the_body_is_there() {
        assert_eq!(frame(&[0x30, 98], 100), Ok(None));
        assert_eq!(frame(&[0x30, 99], 100), Err(DecodeError::TooLarge { bytes: 101, max: 100 }));
        assert_eq!(
            frame(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 1000),
            Err(DecodeError::TooLarge { bytes: 268_435_460, max: 1000 })
        );
        assert_eq!(frame(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], usize::MAX), Err(DecodeError::VarintTooLong));
    }

    #[test]
    fn what_follows_the_packet_stays() {
        let found = frame(&[0xC0, 0, 0xD0, 0], 10).unwrap().unwrap();
        assert_eq!(found, Frame { first_byte: 0xC0, body: &[], len: 2 });
    }
}

//! A cursor over the content of one packet that reads the data types of [MQTT 5.0, section 1.5].

use super::DecodeError;
use crate::PacketId;

/// Reads fields one after the other; never past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// That everything was read.
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// [MQTT-2.2.1-3]
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero)
    }

    /// A variable byte integer in its shortest form [MQTT-1.5.5-1].
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte == 0 && shift > 0 {
                return Err(DecodeError::VarintNotMinimal);
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// Binary data.
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A string that may still hold U+0000.
    #[inline]
    pub(crate) fn unchecked_text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.binary()?).map_err(|_| DecodeError::NotUtf8)
    }

    /// A string [MQTT-1.5.4-1], [MQTT-1.5.4-2].
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.unchecked_text()?;
        if text.as_bytes().contains(&0) { Err(DecodeError::Null) } else { Ok(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        for (bytes, expected) in [
            (&[0x00][..], Ok(0)),
            (&[0x7F], Ok(127)),
            (&[0x80, 0x01], Ok(128)),
            (&[0xFF, 0xFF, 0xFF, 0x7F], Ok(268_435_455)),
            (&[0x80, 0x00], Err(DecodeError::VarintNotMinimal)),
            (&[0xFF, 0x80, 0x00], Err(DecodeError::VarintNotMinimal)),
            (&[0x80, 0x80, 0x80, 0x80], Err(DecodeError::VarintTooLong)),
            (&[0x80], Err(DecodeError::Truncated)),
            (&[], Err(DecodeError::Truncated)),
        ] {
            assert_eq!(Reader::new(bytes).varint(), expected, "[MQTT-1.5.5-1] {bytes:02X?}");
        }
    }

    #[test]
    fn texts() {
        for (bytes, expected) in [
            (&b"\0\x01a"[..], Ok("a")),
            (b"\0\0", Ok("")),
            (b"\0\x02a", Err(DecodeError::Truncated)),
            (b"\0", Err(DecodeError::Truncated)),
            (b"\0\x01\0", Err(DecodeError::Null)),
            (b"\0\x01\xFF", Err(DecodeError::NotUtf8)),
            (b"\0\x03\xED\xA0\x80", Err(DecodeError::NotUtf8)),
            (b"\0\x03\xEF\xBB\xBF", Ok("\u{FEFF}")),
        ] {
            assert_eq!(Reader::new(bytes).text(), expected, "[MQTT-1.5.4] {bytes:02X?}");
        }
    }
}

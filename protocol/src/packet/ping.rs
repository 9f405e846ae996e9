//! PINGREQ and PINGRESP [MQTT 5.0, sections 3.12 and 3.13]: two bytes each.

use bytes::{BufMut, BytesMut};

use super::Packet;
use crate::{
    Version,
    codec::{DecodeError, EncodeError, Frame},
};

/// Asks the server for a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingReq;

impl PingReq {
    /// Appends the packet; it is alike in every version.
    pub fn encode(&self, _version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_slice(&[0xC0, 0]);
        Ok(())
    }
}

/// The sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingResp;

impl PingResp {
    /// Appends the packet; it is alike in every version.
    pub fn encode(&self, _version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        out.put_slice(&[0xD0, 0]);
        Ok(())
    }
}

/// `packet` if the frame has no content.
pub(crate) fn decode<'a>(frame: &Frame<'_>, packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    if frame.body.is_empty() { Ok(packet) } else { Err(DecodeError::Trailing(frame.body.len())) }
}

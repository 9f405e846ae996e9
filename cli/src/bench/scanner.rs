//! Finds the packets in a client's byte stream, as far as a load generator needs them, without copying or allocating
//! per message. It trusts the broker: what it does not need it skips. Not a codec; `protocol` has that.
//!
//! ```text
//! first byte | remaining length 1..4 | PUBLISH: topic length 2, topic, [packet id 2], [v5: properties], payload ...
//! ```
//! A packet that is cut by the end of a read is remembered only as far as its head; the rest of a payload is counted
//! down.

use super::options::Version;

/// Longest head of a PUBLISH (topic and properties) and longest other packet that is understood.
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// How much is added to a cut head before it is looked at again.
const HEAD_STEP_BYTES: usize = 256;

/// What came from the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The answer to CONNECT.
    ConnAck(ConnAck),
    /// The answer to SUBSCRIBE: the first code of failure, if any.
    SubAck { failure: Option<u8> },
    /// A whole message has arrived.
    Publish(Received),
    /// QoS 1: our message is acknowledged; the code is 0 or more than 0x7f for a refusal.
    PubAck { reason: u8 },
    /// QoS 2: our message has arrived, or was refused.
    PubRec { packet_id: u16, reason: u8 },
    /// QoS 2: the broker's message is released.
    PubRel { packet_id: u16 },
    /// QoS 2: our message is done.
    PubComp,
    /// The broker says good-bye (MQTT 5).
    Disconnect { reason: u8 },
    /// Nothing of interest.
    Other,
}

/// The part of CONNACK that steers the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnAck {
    /// The broker knew the session.
    pub(super) session_present: bool,
    /// 0, or why not.
    pub(super) reason: u8,
    /// How many unacknowledged messages the broker takes.
    pub(super) receive_maximum: u16,
    /// The highest quality of service that the broker takes.
    pub(super) maximum_qos: u8,
}

/// A message that has arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) qos: u8,
    /// 0 at QoS 0.
    pub(super) packet_id: u16,
    /// The first 16 bytes of the payload as two big-endian words, if it is so long.
    pub(super) stamp: Option<[u64; 2]>,
}

/// The bytes are not MQTT, or more than this scanner understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotMqtt {
    #[error("sent a packet of unknown type (first byte {0:#04x}): is this an MQTT port?")]
    Type(u8),
    #[error("sent a packet whose length field is malformed")]
    Length,
    #[error("sent a packet that is shorter than its content")]
    Short,
    #[error("sent a packet head of more than {HEAD_BYTES_MAX} bytes")]
    Long,
}

/// Cuts one byte stream into events.
#[derive(Debug)]
pub(super) struct Scanner {
    version: Version,
    /// The beginning of a packet whose head is not whole yet.
    cut: Vec<u8>,
    /// A message whose payload is not whole yet, and how many bytes are missing.
    unfinished: Option<(Event, usize)>,
}

impl Scanner {
    pub(super) fn new(version: Version) -> Self {
        Self { version, cut: Vec::new(), unfinished: None }
    }

    /// Takes the next bytes of the stream and tells `on` about every packet that they complete.
    ///
    /// # Errors
    /// The stream is not MQTT; nothing more can be learnt from it.
    pub(super) fn feed(&mut self, bytes: &[u8], on: &mut impl FnMut(&Event)) -> Result<(), NotMqtt> {
        let mut rest = self.finish_payload(bytes, on);
        if !self.cut.is_empty() {
            rest = self.finish_head(rest, on)?;
        }
        while !rest.is_empty() {
            let Some((event, length)) = read_head(self.version, rest)? else {
                self.cut.extend_from_slice(rest);
                return Ok(());
            };
            rest = self.complete(event, length, rest, on);
        }
        Ok(())
    }

    /// Skips what is missing of a payload; returns what follows it.
    fn finish_payload<'a>(&mut self, bytes: &'a [u8], on: &mut impl FnMut(&Event)) -> &'a [u8] {
        match self.unfinished.take() {
            Some((event, missing)) => self.complete(event, missing, bytes, on),
            None => bytes,
        }
    }

    /// Adds bytes to a cut head until it can be read; returns what follows the bytes that were needed.
    fn finish_head<'a>(&mut self, bytes: &'a [u8], on: &mut impl FnMut(&Event)) -> Result<&'a [u8], NotMqtt> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut_bytes = self.cut.len();
            let (step, _) = rest.split_at_checked(HEAD_STEP_BYTES).unwrap_or((rest, &[]));
            self.cut.extend_from_slice(step);
            if let Some((event, length)) = read_head(self.version, &self.cut)? {
                self.cut.clear();
                // The head was incomplete without `step`, so the packet ends behind `cut_bytes`.
                return Ok(self.complete(event, length.saturating_sub(cut_bytes), rest, on));
            }
            if self.cut.len() > HEAD_BYTES_MAX {
                return Err(NotMqtt::Long);
            }
            rest = rest.get(step.len()..).unwrap_or_default();
        }
        Ok(rest)
    }

    /// `length` more bytes complete `event`: reports it, or remembers it if `bytes` are fewer.
    #[inline]
    fn complete<'a>(
        &mut self,
        event: Event,
        length: usize,
        bytes: &'a [u8],
        on: &mut impl FnMut(&Event),
    ) -> &'a [u8] {
        match bytes.get(length..) {
            Some(rest) => {
                on(&event);
                rest
            }
            None => {
                self.unfinished = Some((event, length - bytes.len()));
                &[]
            }
        }
    }
}

/// Reads the head of the packet at the start of `bytes`; also returns the packet's whole length. `None` = more bytes needed.
///
/// Inlined, so that an event is built in registers: copied through memory it costs more than everything else here.
#[inline(always)]
fn read_head(version: Version, bytes: &[u8]) -> Result<Option<(Event, usize)>, NotMqtt> {
    let Some((&first, after_first)) = bytes.split_first() else { return Ok(None) };
    let Some((remaining, length_bytes)) = variable_integer(after_first)? else { return Ok(None) };
    let body = after_first.get(length_bytes..).unwrap_or_default();
    let whole = 1 + length_bytes + remaining;
    let event = if first >> 4 == 3 {
        match read_publish(version, first, body, remaining)? {
            Some(received) => Event::Publish(received),
            None => return Ok(None),
        }
    } else {
        match body.get(..remaining) {
            Some(body) => read_control(version, first, body)?,
            None => return Ok(None),
        }
    };
    Ok(Some((event, whole)))
}

/// Reads what is needed of a PUBLISH whose body of `remaining` bytes begins with `body`. `None` = more bytes needed.
#[inline(always)]
fn read_publish(
    version: Version,
    first: u8,
    body: &[u8],
    remaining: usize,
) -> Result<Option<Received>, NotMqtt> {
    let qos = (first >> 1) & 3;
    let Some((topic_length, after)) = body.split_first_chunk::<2>() else {
        return short_or_more(body, remaining);
    };
    let Some(mut after) = after.get(usize::from(u16::from_be_bytes(*topic_length))..) else {
        return short_or_more(body, remaining);
    };
    let mut packet_id = 0;
    if qos > 0 {
        let Some((id, rest)) = after.split_first_chunk::<2>() else { return short_or_more(body, remaining) };
        packet_id = u16::from_be_bytes(*id);
        after = rest;
    }
    if version == Version::V5 {
        let Some((length, length_bytes)) = variable_integer(after)? else {
            return short_or_more(body, remaining);
        };
        let Some(rest) = after.get(length_bytes + length..) else { return short_or_more(body, remaining) };
        after = rest;
    }
    let Some(payload_bytes) = remaining.checked_sub(body.len() - after.len()) else {
        return Err(NotMqtt::Short);
    };
    if payload_bytes < 16 {
        return Ok(Some(Received { qos, packet_id, stamp: None }));
    }
    let Some((origin, after)) = after.split_first_chunk::<8>() else { return Ok(None) };
    let Some(time) = after.first_chunk::<8>() else { return Ok(None) };
    let stamp = Some([u64::from_be_bytes(*origin), u64::from_be_bytes(*time)]);
    Ok(Some(Received { qos, packet_id, stamp }))
}

/// The body ended before its content: more bytes may come, unless the packet is whole.
#[cold]
fn short_or_more(body: &[u8], remaining: usize) -> Result<Option<Received>, NotMqtt> {
    if body.len() < remaining { Ok(None) } else { Err(NotMqtt::Short) }
}

/// Reads any packet but PUBLISH.
fn read_control(version: Version, first: u8, body: &[u8]) -> Result<Event, NotMqtt> {
    let packet_id = || match body.first_chunk::<2>() {
        Some(id) => Ok(u16::from_be_bytes(*id)),
        None => Err(NotMqtt::Short),
    };
    let reason = || body.get(2).copied().unwrap_or(0);
    Ok(match first >> 4 {
        2 => Event::ConnAck(read_connack(version, body)?),
        4 => Event::PubAck { reason: reason() },
        5 => Event::PubRec { packet_id: packet_id()?, reason: reason() },
        6 => Event::PubRel { packet_id: packet_id()? },
        7 => Event::PubComp,
        9 => {
            let mut codes = body.get(2..).ok_or(NotMqtt::Short)?;
            if version == Version::V5 {
                let (length, length_bytes) = variable_integer(codes)?.ok_or(NotMqtt::Short)?;
                codes = codes.get(length_bytes + length..).ok_or(NotMqtt::Short)?;
            }
            Event::SubAck { failure: codes.iter().copied().find(|code| *code >= 0x80) }
        }
        14 => Event::Disconnect { reason: body.first().copied().unwrap_or(0) },
        11 | 13 | 15 => Event::Other,
        _ => return Err(NotMqtt::Type(first)),
    })
}

fn read_connack(version: Version, body: &[u8]) -> Result<ConnAck, NotMqtt> {
    let (&[flags, reason], mut properties) = body.split_first_chunk::<2>().ok_or(NotMqtt::Short)?;
    let mut answer =
        ConnAck { session_present: flags & 1 == 1, reason, receive_maximum: u16::MAX, maximum_qos: 2 };
    if version == Version::V311 || properties.is_empty() {
        return Ok(answer);
    }
    let (length, length_bytes) = variable_integer(properties)?.ok_or(NotMqtt::Short)?;
    properties = properties.get(length_bytes..length_bytes + length).ok_or(NotMqtt::Short)?;
    while let Some((&identifier, value)) = properties.split_first() {
        let value_bytes = match identifier {
            0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
            0x13 | 0x21 | 0x22 => 2,
            0x11 | 0x27 => 4,
            0x26 => {
                let name = text_bytes(value)?;
                name + text_bytes(value.get(name..).unwrap_or_default())?
            }
            _ => text_bytes(value)?,
        };
        match (identifier, value) {
            (0x24, &[qos, ..]) => answer.maximum_qos = qos,
            (0x21, &[high, low, ..]) => answer.receive_maximum = u16::from_be_bytes([high, low]),
            _ => {}
        }
        properties = value.get(value_bytes..).ok_or(NotMqtt::Short)?;
    }
    Ok(answer)
}

/// Length of a length-prefixed text, prefix included.
fn text_bytes(bytes: &[u8]) -> Result<usize, NotMqtt> {
    bytes.first_chunk::<2>().map(|length| 2 + usize::from(u16::from_be_bytes(*length))).ok_or(NotMqtt::Short)
}

/// A variable byte integer and how many bytes it takes. `None` = more bytes needed.
#[inline]
fn variable_integer(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotMqtt> {
    let mut value = 0_usize;
    for (position, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok(Some((value, position + 1)));
        }
    }
    if bytes.len() >= 4 { Err(NotMqtt::Length) } else { Ok(None) }
}

#[cfg(test)]
mod tests;

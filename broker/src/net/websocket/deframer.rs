//! Takes MQTT out of the frames that a client sends, in the buffer that they were read into.

use std::io::Cursor;

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// The longest head of a frame: opcode, length, 8 more bytes of length, mask.
const HEAD_BYTES_MAX: usize = 14;
/// The longest payload of a control frame [RFC 6455, section 5.5].
const CONTROL_BYTES_MAX: u64 = 125;

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a WebSocket frame with text: MQTT comes in binary frames [MQTT-6.0.0-1]")]
    Text,
    #[error("a WebSocket frame that is not masked [RFC 6455, section 5.1]")]
    NotMasked,
    #[error("a WebSocket frame of an extension that was not negotiated [RFC 6455, section 5.2]")]
    Reserved,
    #[error("a WebSocket frame of an unknown kind or an impossible length [RFC 6455, section 5.2]")]
    Malformed,
    #[error("a WebSocket message within another, or the rest of none [RFC 6455, section 5.4]")]
    Fragments,
    #[error("a WebSocket control frame that is fragmented or too long [RFC 6455, section 5.5]")]
    Control,
}

impl Fault {
    /// What the client is told.
    pub(super) fn code(self) -> CloseCode {
        match self {
            Self::Text => CloseCode::Unsupported,
            _ => CloseCode::Protocol,
        }
    }
}

/// A control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Ping(Vec<u8>),
    Pong,
    /// With the client's code; [`CloseCode::Status`] if it gave none.
    Close(CloseCode),
}

/// Where in a frame the stream is.
#[derive(Debug)]
pub(super) struct Deframer {
    place: Place,
    /// A message has begun whose last frame has not.
    fragmented: bool,
    /// The client has closed: what follows is nothing.
    closed: bool,
}

#[derive(Debug)]
enum Place {
    Head {
        bytes: [u8; HEAD_BYTES_MAX],
        filled: usize,
    },
    /// `mask` is turned so that it begins with the key of the next byte.
    Data {
        left: u64,
        mask: [u8; 4],
    },
    Control {
        kind: Control,
        left: usize,
        mask: [u8; 4],
        payload: Vec<u8>,
    },
}

impl Place {
    const BEFORE_HEAD: Self = Self::Head { bytes: [0; HEAD_BYTES_MAX], filled: 0 };
}

impl Default for Deframer {
    fn default() -> Self {
        Self { place: Place::BEFORE_HEAD, fragmented: false, closed: false }
    }
}

impl Deframer {
    /// Moves what data frames hold to the front of `bytes`, unmasked, and returns how much it is. Control frames go to
    /// `signals`.
    pub(super) fn deframe(&mut self, bytes: &mut [u8], signals: &mut Vec<Signal>) -> Result<usize, Fault> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && !self.closed {
            let rest = bytes.get(from..).unwrap_or_default();
            match &mut self.place {
                Place::Head { bytes: head, filled } => {
                    let wanted = head_length(head, *filled).saturating_sub(*filled);
                    let taken = rest.get(..wanted).unwrap_or(rest);
                    if let Some(room) = head.get_mut(*filled..*filled + taken.len()) {
                        room.copy_from_slice(taken);
                    }
                    *filled += taken.len();
                    from += taken.len();
                    let (head, filled) = (*head, *filled);
                    if filled >= 2 && filled == head_length(&head, filled) {
                        self.begin(head.get(..filled).unwrap_or_default(), signals)?;
                    }
                }
                Place::Data { left, mask } => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    bytes.copy_within(from..from + length, to);
                    unmask(bytes.get_mut(to..to + length).unwrap_or_default(), mask);
                    (from, to) = (from + length, to + length);
                    *left -= length as u64;
                    if *left == 0 {
                        self.place = Place::BEFORE_HEAD;
                    }
                }
                Place::Control { left, mask, payload, .. } => {
                    let begin = payload.len();
                    payload.extend_from_slice(rest.get(..*left).unwrap_or(rest));
                    let length = payload.len() - begin;
                    unmask(payload.get_mut(begin..).unwrap_or_default(), mask);
                    from += length;
                    *left -= length;
                    if *left == 0 {
                        signals.push(self.end_control()?);
                    }
                }
            }
        }
        Ok(to)
    }

    /// A frame's head is whole.
    fn begin(&mut self, head: &[u8], signals: &mut Vec<Signal>) -> Result<(), Fault> {
        let parsed = FrameHeader::parse(&mut Cursor::new(head)).map_err(|_| Fault::Malformed)?;
        let (header, length) = parsed.ok_or(Fault::Malformed)?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::Reserved);
        }
        let mask = header.mask.ok_or(Fault::NotMasked)?;
        // [RFC 6455, section 5.2]: the highest bit of the length is 0.
        if i64::try_from(length).is_err() {
            return Err(Fault::Malformed);
        }
        match header.opcode {
            OpCode::Data(Data::Text) => return Err(Fault::Text),
            OpCode::Data(kind) => {
                if (kind == Data::Continue) != self.fragmented {
                    return Err(Fault::Fragments);
                }
                self.fragmented = !header.is_final;
                let data = Place::Data { left: length, mask };
                self.place = if length == 0 { Place::BEFORE_HEAD } else { data };
            }
            OpCode::Control(kind) => {
                if !header.is_final || length > CONTROL_BYTES_MAX {
                    return Err(Fault::Control);
                }
                self.place = Place::Control { kind, left: length as usize, mask, payload: Vec::new() };
                if length == 0 {
                    signals.push(self.end_control()?);
                }
            }
        }
        Ok(())
    }

    fn end_control(&mut self) -> Result<Signal, Fault> {
        let place = std::mem::replace(&mut self.place, Place::BEFORE_HEAD);
        let Place::Control { kind, payload, .. } = place else { return Ok(Signal::Pong) };
        match kind {
            Control::Ping => Ok(Signal::Ping(payload)),
            Control::Close => {
                self.closed = true;
                close_code(&payload).map(Signal::Close)
            }
            _ => Ok(Signal::Pong),
        }
    }
}

/// [RFC 6455, section 5.5.1]: nothing, or a code and a text.
fn close_code(payload: &[u8]) -> Result<CloseCode, Fault> {
    match payload {
        [] => Ok(CloseCode::Status),
        [high, low, ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
            if code.is_allowed() { Ok(code) } else { Err(Fault::Control) }
        }
        [_] => Err(Fault::Control),
    }
}

/// How long the head is, as far as its first bytes tell.
fn head_length(head: &[u8; HEAD_BYTES_MAX], filled: usize) -> usize {
    let [_, second, ..] = *head;
    if filled < 2 {
        return 2;
    }
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    mask + match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// Takes the mask off, and turns it to where the next bytes go on.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(bytes.len() % 4);
}

#[cfg(test)]
mod tests;

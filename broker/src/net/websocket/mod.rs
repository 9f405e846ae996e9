//! MQTT in binary frames of a WebSocket [RFC 6455; MQTT 5.0, section 6].
//!
//! Frames are not gathered into messages: what a frame holds is unmasked in the buffer that it was read into, and goes on as
//! part of MQTT's byte stream, because packets need not end where frames do [MQTT-6.0.0-2]. So neither the size of a frame
//! nor the number of fragments costs memory, and an idle connection owns no buffer. What is written becomes one frame,
//! whose head leaves in the same system call.

mod deframer;
mod opening;

use std::{
    io::{self, IoSlice},
    task::{Context, Poll, ready},
};

use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use self::deframer::{Deframer, Signal};
pub(super) use self::opening::{NotOpened, open};
use super::stream::Stream;

/// The longest head of a frame that is not masked: opcode, length, 8 more bytes of length.
const HEAD_BYTES_MAX: usize = 10;

/// An opened WebSocket, the server's side.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: Stream,
    incoming: Deframer,
    /// The part of a frame's head that has not left.
    head: Head,
    /// How much of the frame's payload has not left.
    payload_left: usize,
    /// A control frame that has not left, or its end.
    control: Vec<u8>,
    /// What the client's last ping held, if it was not answered: earlier ones need no answer [RFC 6455, section 5.5.3].
    ping: Option<Vec<u8>>,
    /// TLS may hold the end of a control frame.
    unflushed: bool,
    /// With what the connection ends.
    close: Option<CloseCode>,
}

/// The beginning of a frame, and how much of it has left.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    start: usize,
    end: usize,
}

impl Head {
    fn of_data(length: usize) -> io::Result<Self> {
        let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
        let mut head = Self { end: header.len(length as u64), ..Self::default() };
        header.format(length as u64, &mut head.bytes.as_mut_slice()).map_err(io::Error::other)?;
        Ok(head)
    }

    fn left(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl WebSocket {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            incoming: Deframer::default(),
            head: Head::default(),
            payload_left: 0,
            control: Vec::new(),
            ping: None,
            unflushed: false,
            close: None,
        }
    }

    /// Reads MQTT; 0 once the client has closed.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            // What cannot leave now has the task woken when it can. Without output nobody else drives out what TLS holds.
            if self.send_control(cx)?.is_ready() && self.unflushed {
                self.unflushed = self.stream.poll_flush(cx)?.is_pending();
            }
            if self.close.is_some() {
                return Poll::Ready(Ok(0));
            }
            let read = ready!(self.stream.poll_read(cx, buffer))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            let bytes = buffer.get_mut(..read).unwrap_or_default();
            let mut signals = Vec::new();
            match self.incoming.deframe(bytes, &mut signals) {
                Ok(length) => {
                    signals.into_iter().for_each(|signal| self.heed(signal));
                    if length > 0 {
                        return Poll::Ready(Ok(length));
                    }
                }
                Err(fault) => {
                    self.close = Some(fault.code());
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
        }
    }

    fn heed(&mut self, signal: Signal) {
        match signal {
            Signal::Ping(payload) => self.ping = Some(payload),
            Signal::Pong => {}
            Signal::Close(code) => self.close = self.close.or(Some(code)),
        }
    }

    /// Writes the beginning of `bytes`, as a frame of all of them. The next call must begin with those that were left.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_between_frames() {
            ready!(self.send_control(cx))?;
            self.head = Head::of_data(bytes.len())?;
            self.payload_left = bytes.len();
        }
        loop {
            let payload = bytes.get(..self.payload_left).unwrap_or(bytes);
            let written = if self.head.is_empty() {
                return self.stream.poll_write(cx, payload).map_ok(|written| {
                    self.payload_left -= written;
                    written
                });
            } else {
                let parts = [IoSlice::new(self.head.left()), IoSlice::new(payload)];
                ready!(self.stream.poll_write_vectored(cx, &parts))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.left().len());
            self.head.start += of_head;
            let of_payload = written - of_head;
            self.payload_left -= of_payload;
            if of_payload > 0 {
                return Poll::Ready(Ok(of_payload));
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_control(cx))?;
        self.stream.poll_flush(cx)
    }

    fn is_between_frames(&self) -> bool {
        self.head.is_empty() && self.payload_left == 0
    }

    /// Sends the control frame that waits, if no other frame has begun.
    fn send_control(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_between_frames() {
            if self.control.is_empty() {
                let Some(ping) = self.ping.take() else { break };
                self.control = control_frame(Control::Pong, &ping)?;
            }
            let written = ready!(self.stream.poll_write(cx, &self.control))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.control.drain(..written);
            self.unflushed = true;
        }
        if self.control.is_empty() {
            self.control = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the closing frame, unless a frame is broken off, and ends the stream.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        if self.is_between_frames() {
            std::future::poll_fn(|cx| self.send_control(cx)).await?;
            let code = self.close.unwrap_or(CloseCode::Normal);
            // A client that gives no code gets none [RFC 6455, section 7.1.5]; 1005 must never be sent.
            let payload = match code {
                CloseCode::Status => Vec::new(),
                code => u16::from(code).to_be_bytes().to_vec(),
            };
            self.control = control_frame(Control::Close, &payload)?;
            std::future::poll_fn(|cx| self.send_control(cx)).await?;
        }
        self.stream.shut_down().await
    }

    /// Reads what still comes, whatever it is.
    pub(super) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_read(cx, buffer)
    }
}

fn control_frame(kind: Control, payload: &[u8]) -> io::Result<Vec<u8>> {
    let header = FrameHeader { opcode: OpCode::Control(kind), ..FrameHeader::default() };
    let mut frame = Vec::with_capacity(2 + payload.len());
    header.format(payload.len() as u64, &mut frame).map_err(io::Error::other)?;
    frame.extend_from_slice(payload);
    Ok(frame)
}

//! A WebSocket whose every frame a test decides on, and one that just carries MQTT.

use std::{io, net::SocketAddr};

use bytes::{Buf as _, Bytes, BytesMut};
use gaugeline_protocol::Version;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tungstenite::protocol::frame::{
    Frame, FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

use super::{Client, Server, in_time};

pub(crate) const BINARY: OpCode = OpCode::Data(Data::Binary);
pub(crate) const CONTINUATION: OpCode = OpCode::Data(Data::Continue);
pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const PING: OpCode = OpCode::Control(Control::Ping);
pub(crate) const PONG: OpCode = OpCode::Control(Control::Pong);
pub(crate) const CLOSE: OpCode = OpCode::Control(Control::Close);

/// The request of a client that does everything right, and these header lines.
pub(crate) fn request(extra: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

/// The header line by which a client asks for MQTT.
pub(crate) const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

/// What a client speaks WebSocket over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(crate) struct Socket {
    stream: Box<dyn Stream>,
    received: BytesMut,
    pub(crate) address: SocketAddr,
}

impl Socket {
    /// A connection on which nothing was sent.
    pub(crate) async fn dial(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let address = stream.local_addr().unwrap();
        Self::over(stream, address)
    }

    pub(crate) fn over(stream: impl Stream + 'static, address: SocketAddr) -> Self {
        Self { stream: Box::new(stream), received: BytesMut::new(), address }
    }

    /// An opened WebSocket.
    pub(crate) async fn open(server: &Server) -> Self {
        let mut socket = Self::dial(server).await;
        socket.shake_hands(&request(SUBPROTOCOL)).await.unwrap();
        socket
    }

    /// Sends the request; returns the head of the answer, as an error if it does not open a WebSocket.
    pub(crate) async fn shake_hands(&mut self, request: &str) -> Result<String, String> {
        self.send_bytes(request.as_bytes()).await;
        let answer = in_time("an answer", async {
            loop {
                if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                    let head = self.received.split_to(end + 4);
                    return String::from_utf8(head.to_vec()).unwrap();
                }
                assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "no answer");
            }
        })
        .await;
        if answer.starts_with("HTTP/1.1 101 ") { Ok(answer) } else { Err(answer) }
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        in_time("room to send", self.stream.write_all(bytes)).await.unwrap();
        in_time("room to send", self.stream.flush()).await.unwrap();
    }

    /// Sends a masked frame.
    pub(crate) async fn send(&mut self, opcode: OpCode, is_final: bool, payload: &[u8]) {
        self.send_bytes(&frame(opcode, is_final, payload)).await;
    }

    /// The next frame, which is whole and not masked; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(OpCode, Bytes)> {
        in_time("a frame", next_frame(&mut self.stream, &mut self.received)).await.unwrap()
    }

    /// The broker closes with this code, and then ends the stream.
    pub(crate) async fn expect_close(&mut self, code: CloseCode) {
        let (opcode, payload) = self.next().await.expect("a closing frame");
        assert_eq!(opcode, CLOSE);
        assert_eq!(payload.as_ref(), u16::from(code).to_be_bytes());
        assert_eq!(self.next().await, None);
    }

    /// Whatever the client writes goes in frames of at most so many bytes, and whatever comes in binary frames is read.
    pub(crate) fn into_client(self, version: Version, frame_bytes: usize) -> Client {
        let Self { stream, mut received, address } = self;
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut from_broker, mut to_broker) = tokio::io::split(stream);
        let (mut from_client, mut to_client) = tokio::io::split(far);
        tokio::spawn(async move {
            let mut bytes = vec![0; frame_bytes];
            while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
                to_broker.write_all(&frame(BINARY, true, &bytes[..read])).await.ok();
                to_broker.flush().await.ok();
            }
            to_broker.shutdown().await.ok();
        });
        tokio::spawn(async move {
            while let Ok(Some((BINARY, payload))) = next_frame(&mut from_broker, &mut received).await {
                to_client.write_all(&payload).await.ok();
            }
            to_client.shutdown().await.ok();
        });
        Client::over(near, version, address)
    }
}

/// A masked frame.
pub(crate) fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { is_final, opcode, mask: Some([7, 77, 0, 255]), ..FrameHeader::default() };
    let mut bytes = Vec::new();
    Frame::from_payload(header, Bytes::copy_from_slice(payload)).format(&mut bytes).unwrap();
    bytes
}

async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin + Send),
    received: &mut BytesMut,
) -> io::Result<Option<(OpCode, Bytes)>> {
    loop {
        let mut cursor = io::Cursor::new(&received[..]);
        if let Some((header, length)) = FrameHeader::parse(&mut cursor).unwrap() {
            assert!(header.is_final && header.mask.is_none() && !header.rsv1, "{header:?}");
            let (head, length) = (cursor.position() as usize, length as usize);
            if received.len() >= head + length {
                received.advance(head);
                return Ok(Some((header.opcode, received.split_to(length).freeze())));
            }
        }
        if stream.read_buf(received).await? == 0 {
            assert!(received.is_empty(), "the stream ended within a frame");
            return Ok(None);
        }
    }
}

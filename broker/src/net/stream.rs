//! A client's byte stream: TCP, or TLS over it, or a WebSocket over one of these.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::websocket::WebSocket;

/// How much is read at once of what nobody wants to know any more.
const UNREAD_BYTES: usize = 4096;

/// The kinds of connection. What is not plain is boxed, so that plain ones stay small.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// What carries MQTT, for the log.
    pub(super) fn carrier(&self) -> &'static str {
        match self {
            Self::Plain(_) => "TCP",
            Self::Tls(_) => "TLS",
            Self::WebSocket(_) => "WebSocket",
        }
    }

    /// Reads what is there, up to the length of `buffer`; 0 is the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        let polled = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut read),
            Self::WebSocket(socket) => return socket.poll_read(cx, buffer),
        };
        polled.map_ok(|()| read.filled().len())
    }

    /// Writes as much as the socket takes. For TLS the whole of `bytes` becomes full records at once, for a WebSocket one
    /// frame: what was not taken must come again.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::WebSocket(socket) => socket.poll_write(cx, bytes),
        }
    }

    /// As [`Self::poll_write`], from several places, below a WebSocket.
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, parts),
            Self::WebSocket(socket) => {
                socket.poll_write(cx, parts.iter().find(|part| !part.is_empty()).map_or(&[], |part| part))
            }
        }
    }

    /// Drives out what TLS has encrypted but the socket has not taken yet.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Reads, as a future.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Writes everything, and has it leave.
    pub(super) async fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::future::poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends the stream; the client may still send.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            // Boxed, because the way on leads to this function again.
            Self::WebSocket(socket) => Box::pin(socket.close()).await,
        }
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::WebSocket(socket) => socket.poll_discard(cx, buffer),
            stream => stream.poll_read(cx, buffer),
        }
    }

    /// Writes everything, ends the stream, and waits until the client has ended it too. A socket that is closed while
    /// there is something to read is reset, and that can take what was written last with it.
    pub(super) async fn finish(mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_whole(bytes).await?;
        self.shut_down().await?;
        let mut unread = [0; UNREAD_BYTES];
        while std::future::poll_fn(|cx| self.poll_discard(cx, &mut unread)).await? > 0 {}
        Ok(())
    }
}

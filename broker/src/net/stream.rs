//! A client's byte stream: TCP, or TLS over it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// How much is read at once of what nobody wants to know any more.
const UNREAD_BYTES: usize = 4096;

/// The two kinds of connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads what is there, up to the length of `buffer`; 0 is the end of the stream.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        let polled = match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, &mut read),
        };
        polled.map_ok(|()| read.filled().len())
    }

    /// Writes as much as the socket takes. For TLS the whole of `bytes` becomes full records at once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    /// Drives out what TLS has encrypted but the socket has not taken yet.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Reads, as a future.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Writes everything, ends the stream, and waits until the client has ended it too. A socket that is closed while
    /// there is something to read is reset, and that can take what was written last with it.
    pub(super) async fn finish(mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self {
            Self::Plain(stream) => {
                stream.write_all(bytes).await?;
                stream.shutdown().await?;
            }
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.shutdown().await?;
            }
        }
        let mut unread = [0; UNREAD_BYTES];
        while self.read(&mut unread).await? > 0 {}
        Ok(())
    }
}

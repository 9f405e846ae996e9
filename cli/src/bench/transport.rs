//! One connection's socket, plain or TLS: large reads, one write for all that is to be sent. Knows no MQTT.

use std::{
    io::{self, BufRead, Read, Write},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::{ClientConnection, pki_types::ServerName};
use socket2::{Domain, Protocol, Socket, Type};

use super::{failure::Broken, plan::Plan};
use crate::clock;

/// What a socket holds of what the broker has not taken yet; Linux doubles it.
const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// A write buffer that grew beyond this for one large burst is given back.
const OUTPUT_KEPT_BYTES: usize = 256 * 1024;

/// A socket whose events are reported once per change (edge-triggered).
#[derive(Debug)]
pub(super) struct Transport {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing: the socket is empty.
    Nothing,
    /// All that was there, perhaps but the end of the stream.
    All,
    /// As much as fits: there may be more.
    Part,
}

/// Bytes to be sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Append here.
    pub(super) bytes: Vec<u8>,
    written: usize,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn clear(&mut self) {
        self.written = 0;
        if self.bytes.capacity() > OUTPUT_KEPT_BYTES {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

impl Transport {
    /// Begins to connect, from the local address `source` if given; events come as `token`.
    pub(super) fn connect(
        plan: &Plan,
        source: Option<IpAddr>,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, Broken> {
        let socket = Socket::new(Domain::for_address(plan.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // The kernel would take megabytes on behalf of a broker that does not keep up: a queue that nobody measures.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&plan.address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error.into()),
            _ => {}
        }
        let mut socket = TcpStream::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let tls = match &plan.tls {
            Some((config, name)) => Some(Box::new(tls_client(config, name)?)),
            None => None,
        };
        Ok(Self { socket, tls })
    }

    /// Reads once into `scratch` and hands what was read, decrypted, to `deliver`, with the time of the read.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        deliver: &mut impl FnMut(&[u8], Instant) -> Result<(), Broken>,
    ) -> Result<Reading, Broken> {
        let length = loop {
            match self.socket.read(scratch) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Reading::Nothing),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(Reading::Nothing),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        let now = clock::now();
        let whole = length == scratch.len();
        let bytes = scratch.get(..length).unwrap_or_default();
        match &mut self.tls {
            // The end of the stream comes after everything that was sent before it.
            _ if bytes.is_empty() => return Err(Broken::Closed),
            None => deliver(bytes, now)?,
            Some(tls) => {
                if let Err(broken) = decrypt(tls, bytes, &mut |bytes| deliver(bytes, now)) {
                    // Tell the broker why, as far as it goes.
                    let _best_effort = tls.write_tls(&mut self.socket);
                    return Err(broken);
                }
            }
        }
        Ok(if whole { Reading::Part } else { Reading::All })
    }

    /// Writes as much of `output` as the socket takes; whether that was all.
    pub(super) fn send(&mut self, output: &mut Output) -> Result<bool, Broken> {
        let Some(tls) = &mut self.tls else { return send_plain(&mut self.socket, output) };
        if !output.is_empty() {
            tls.writer().write_all(&output.bytes)?;
            output.clear();
        }
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if is_would_block(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Says good-bye, as far as the socket takes it.
    pub(super) fn close(&mut self, output: &mut Output) {
        let _best_effort = self.send(output);
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _best_effort = tls.write_tls(&mut self.socket);
        }
    }

    /// Whether anything but `output` waits to be written: the TLS handshake.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }
}

fn tls_client(
    config: &std::sync::Arc<rustls::ClientConfig>,
    name: &ServerName<'static>,
) -> Result<ClientConnection, Broken> {
    let mut tls = ClientConnection::new(std::sync::Arc::clone(config), name.clone())?;
    // The caller bounds what it sends; a limit here would cut a burst in two.
    tls.set_buffer_limit(None);
    Ok(tls)
}

fn send_plain(socket: &mut TcpStream, output: &mut Output) -> Result<bool, Broken> {
    while let Some(rest) = output.bytes.get(output.written..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(written) => output.written += written,
            Err(error) if is_would_block(&error) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    output.clear();
    Ok(true)
}

/// Feeds encrypted bytes and hands out what they decrypt to.
fn decrypt(
    tls: &mut ClientConnection,
    mut bytes: &[u8],
    deliver: &mut impl FnMut(&[u8]) -> Result<(), Broken>,
) -> Result<(), Broken> {
    while !bytes.is_empty() {
        if tls.read_tls(&mut bytes)? == 0 {
            break;
        }
        tls.process_new_packets()?;
        loop {
            let mut reader = tls.reader();
            match reader.fill_buf() {
                Ok([]) => return Err(Broken::Closed),
                Ok(plain) => {
                    let length = plain.len();
                    deliver(plain)?;
                    reader.consume(length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// A socket that is not connected yet takes nothing yet.
fn is_would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}

fn is_in_progress(error: &io::Error) -> bool {
    // EINPROGRESS has no stable kind.
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

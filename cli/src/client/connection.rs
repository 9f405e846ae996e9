//! A client's connection: moves bytes between the transport and the client session of the protocol crate.
//!
//! [`Connection::take`] hands out what has arrived, [`Connection::wait`] does IO until there may be more. Wishes go
//! to [`Connection::client`] and leave with the next `wait`.

use bytes::{Buf, Bytes, BytesMut};
use gaugeline_protocol::{
    QoS, ReasonCode,
    client::{Client, ConnectionError, Event, Receipt},
    codec::{self, Limits},
    packet::{self, Connect, SubAck},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::{sleep_until, timeout},
};

use super::{
    Target,
    transport::{self, PATIENCE, Transport},
};
use crate::{clock, failure::Failure};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection that the broker has accepted.
pub(crate) struct Connection {
    reader: ReadHalf<Box<dyn Transport>>,
    writer: WriteHalf<Box<dyn Transport>>,
    client: Client,
    input: BytesMut,
    output: BytesMut,
    /// Whether bytes may be waiting in the TLS layer.
    unflushed: bool,
    limits: Limits,
    session_present: bool,
    is_plain: bool,
}

/// What has arrived, copied out of the buffers: this client is for people, not for throughput.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A message, to be acknowledged above QoS 0.
    Message(Message),
    /// The broker has taken over a message, or refused it.
    Published { reason: ReasonCode },
    /// The answer to a SUBSCRIBE.
    Subscribed(SubAck),
    /// An UNSUBSCRIBE was answered.
    Unsubscribed,
}

/// A received message.
#[derive(Debug)]
pub(crate) struct Message {
    /// The topic, aliases resolved.
    pub(crate) topic: String,
    /// The content.
    pub(crate) payload: Bytes,
    /// How the broker delivered it.
    pub(crate) qos: QoS,
    /// Whether it was stored before the subscription.
    pub(crate) retain: bool,
    /// The content type (MQTT 5).
    pub(crate) content_type: Option<String>,
    /// What to acknowledge, above QoS 0.
    pub(crate) receipt: Option<Receipt>,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        let Connect { client_id, user_name, version, .. } = &target.connect;
        tracing::debug!("connecting to {} port {}", target.host, target.port);
        let (reader, writer) = tokio::io::split(transport::connect(target).await?);
        tracing::debug!(client_id, user = user_name, ?version, "sending CONNECT");
        let mut connection = Self {
            reader,
            writer,
            client: Client::new(target.connect.clone()),
            input: BytesMut::with_capacity(READ_BYTES),
            output: BytesMut::new(),
            unflushed: false,
            limits: Limits::default(),
            session_present: false,
            is_plain: target.tls.is_none(),
        };
        connection.client.connect(clock::now()).map_err(Failure::usage)?;
        while !connection.client.is_online() {
            connection.wait().await?;
            if connection.take()?.is_some() {
                return Err(Failure::failed("the broker sent something else than CONNACK first"));
            }
        }
        Ok(connection)
    }

    /// The next thing that has arrived, if any.
    pub(crate) fn take(&mut self) -> Result<Option<Happened>, Failure> {
        loop {
            let framed = codec::frame(&self.input, self.client.packet_bytes_max());
            let frame = match framed {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.malformed(error)),
            };
            let length = frame.len;
            if let Some(kind) = frame.packet_type() {
                tracing::debug!(bytes = length, "received {kind:?}");
            }
            let packet = match packet::decode(self.client.version(), &frame, &self.limits) {
                Ok(packet) => packet,
                Err(error) => return Err(self.malformed(error)),
            };
            let happened = match self.client.handle_packet(clock::now(), packet) {
                Ok(None) => None,
                Ok(Some(Event::Connected { session_present, .. })) => {
                    self.session_present = session_present;
                    self.input.advance(length);
                    return Ok(None);
                }
                Ok(Some(event)) => own(event)?,
                Err(error) => return Err(lost(&error)),
            };
            self.input.advance(length);
            if happened.is_some() {
                return Ok(happened);
            }
        }
    }

    /// What came is no packet.
    fn malformed(&mut self, error: codec::DecodeError) -> Failure {
        let error = self.client.handle_malformed(error);
        if self.is_plain && error.is_tls() {
            return Failure::failed(
                "the server speaks TLS on this port: add --cafile FILE (`pki/ca.crt` of the broker)",
            );
        }
        lost(&error)
    }

    /// Sends what is to be sent and returns as soon as something was sent or received, or a timer fired. May be
    /// dropped while it waits.
    pub(crate) async fn wait(&mut self) -> Result<(), Failure> {
        self.transmit();
        let deadline = self.client.poll_timeout();
        let timer = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        self.input.reserve(READ_BYTES);
        let must_write = !self.output.is_empty() || self.unflushed;
        tokio::select! {
            written = write(&mut self.writer, &mut self.output, &mut self.unflushed), if must_write => {
                written.map_err(|error| broken_off(&error))
            }
            read = self.reader.read_buf(&mut self.input) => match read {
                Ok(0) => Err(Failure::failed("the broker ended the connection")),
                Ok(_) => Ok(()),
                Err(error) => Err(broken_off(&error)),
            },
            () = timer => self.client.handle_timeout(clock::now()).map_err(|error| lost(&error)),
        }
    }

    /// How many bytes have not left this program.
    pub(crate) fn pending_bytes(&mut self) -> usize {
        self.transmit();
        self.output.len() + usize::from(self.unflushed)
    }

    /// Whether the broker remembered the session.
    pub(crate) fn session_present(&self) -> bool {
        self.session_present
    }

    /// The session, to say what is wanted.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Sends what is to be sent, takes leave of the broker and closes.
    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        tracing::debug!("sending DISCONNECT");
        self.client.disconnect(ReasonCode::Success, None).map_err(Failure::failed)?;
        let closing = async {
            while self.pending_bytes() > 0 {
                write(&mut self.writer, &mut self.output, &mut self.unflushed).await?;
            }
            self.writer.shutdown().await
        };
        match timeout(PATIENCE, closing).await {
            Ok(closed) => closed.map_err(|error| Failure::failed(format!("connection lost: {error}"))),
            Err(_) => Err(Failure::failed("the broker does not read what is sent")),
        }
    }

    /// Fetches what the session wants to send.
    fn transmit(&mut self) {
        while self.client.poll_transmit(&mut self.output) {}
    }
}

/// One step of writing: keeps its place in `output` and `unflushed` if it is dropped.
async fn write(
    writer: &mut WriteHalf<Box<dyn Transport>>,
    output: &mut BytesMut,
    unflushed: &mut bool,
) -> std::io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *unflushed = false;
    } else {
        *unflushed = true;
        writer.write_buf(output).await?;
    }
    Ok(())
}

/// Copies an event. What ends the connection becomes the failure that the user sees.
fn own(event: Event<'_>) -> Result<Option<Happened>, Failure> {
    Ok(match event {
        Event::Message { publish, receipt } => Some(Happened::Message(Message {
            topic: publish.topic.to_owned(),
            payload: Bytes::copy_from_slice(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            content_type: publish.properties.content_type().map(str::to_owned),
            receipt,
        })),
        Event::Published { reason, .. } => Some(Happened::Published { reason }),
        Event::Subscribed(ack) => Some(Happened::Subscribed(ack)),
        Event::Refused { reason, properties } => {
            let said = said(properties.reason_string.as_deref());
            // Brokers do not tell strangers which it is.
            let reason = match reason {
                ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword => format!(
                    "wrong user or password, or not allowed; the broker's log says which (0x{:02X})",
                    reason.byte()
                ),
                reason => reason.to_string(),
            };
            return Err(Failure::refused(format!("the broker refused the login: {reason}{said}")));
        }
        Event::Disconnected(disconnect) => {
            let said = said(disconnect.reason_string.as_deref());
            let text = format!("the broker ended the connection: {}{said}", disconnect.reason);
            return Err(match disconnect.reason {
                ReasonCode::NotAuthorized | ReasonCode::Banned => Failure::refused(text),
                _ => Failure::failed(text),
            });
        }
        Event::Unsubscribed(_) => Some(Happened::Unsubscribed),
        Event::Connected { .. } => None,
    })
}

/// The broker's own words, if it has any.
fn said(words: Option<&str>) -> String {
    words.map(|words| format!(" ({words})")).unwrap_or_default()
}

/// The connection ended below MQTT. TLS has many words for an end without a farewell.
fn broken_off(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Failure::failed("connection lost: the broker ended it without saying goodbye")
        }
        _ => Failure::failed(format!("connection lost: {error}")),
    }
}

/// The connection ended against the rules.
fn lost(error: &ConnectionError) -> Failure {
    Failure::failed(format!("connection lost: {error}"))
}

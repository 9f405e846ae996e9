//! A client of the protocol crate on a blocking TLS connection that may end at any moment.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, Version,
    client::{Client, Event, Receipt},
    codec::{self, Limits},
    packet::{self, Connect, ConnectProperties},
};
use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::{clock, home::Home, mqtt};

/// A broker that does not answer for so long, though its process lives, is one that hangs.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The connection is over.
#[derive(Debug)]
pub struct Lost(pub String);

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What the broker has sent.
#[derive(Debug)]
pub enum Happening {
    /// It has accepted the connection.
    Connected {
        /// Whether it knows the session.
        session_present: bool,
    },
    /// It answers for a message, or refuses it.
    Published {
        /// What `publish` had returned.
        packet_id: PacketId,
        /// Success, or why not.
        reason: ReasonCode,
    },
    /// A message.
    Message {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
        /// Whether it is marked as sent before.
        dup: bool,
        /// Whether it is marked as retained.
        retain: bool,
        /// Its identifier, above QoS 0.
        packet_id: Option<PacketId>,
        /// What to acknowledge it with, above QoS 0.
        receipt: Option<Receipt>,
    },
    /// It answers a SUBSCRIBE.
    Subscribed(Vec<ReasonCode>),
}

/// See the module.
pub struct Link {
    /// The session, which outlives connections.
    pub client: Client,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    stream: Option<StreamOwned<ClientConnection, TcpStream>>,
    input: BytesMut,
    /// What came right behind the answer to CONNECT.
    early: Vec<Happening>,
}

impl Link {
    /// A link to the broker of a data directory, as one of its first users; not connected yet.
    pub fn new(home: &Home, user: &str, connect: Connect) -> Self {
        let password = Bytes::from(home.secret(user));
        let connect = Connect { user_name: Some(user.to_owned()), password: Some(password), ..connect };
        Self {
            client: Client::new(connect),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, home.tls_port)),
            tls: mqtt::tls(home),
            stream: None,
            input: BytesMut::new(),
            early: Vec::new(),
        }
    }

    /// A CONNECT with a session that ends with the connection, or one that lasts an hour.
    pub fn connect_packet(version: Version, client_id: &str, persistent: bool) -> Connect {
        let session_expiry_seconds = if persistent && version.is_v5() { 3600 } else { 0 };
        Connect {
            version,
            client_id: client_id.to_owned(),
            clean_start: !persistent,
            keep_alive_seconds: 60,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties { session_expiry_seconds, ..ConnectProperties::default() },
        }
    }

    /// Forgets the session.
    pub fn begin_anew(&mut self) {
        self.client = Client::new(self.client.connect_packet().clone());
    }

    /// Opens a connection, and returns once the broker has accepted it: whether it knows the session.
    pub fn connect(&mut self) -> Result<bool, Lost> {
        self.stream = None;
        self.input.clear();
        let socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        socket.set_write_timeout(Some(SILENCE_MAX))?;
        let name = ServerName::try_from("localhost").map_err(|error| Lost(error.to_string()))?;
        let tls =
            ClientConnection::new(Arc::clone(&self.tls), name).map_err(|error| Lost(error.to_string()))?;
        self.stream = Some(StreamOwned::new(tls, socket));
        self.client.connect(clock::now()).map_err(|error| Lost(error.to_string()))?;
        self.early.clear();
        loop {
            let mut happenings = self.exchange(SILENCE_MAX)?.into_iter();
            if let Some(Happening::Connected { session_present }) = happenings.next() {
                self.early.extend(happenings);
                return Ok(session_present);
            }
        }
    }

    /// Sends what waits to be sent.
    pub fn flush(&mut self) -> Result<(), Lost> {
        let stream = self.stream.as_mut().ok_or_else(|| Lost("not connected".to_owned()))?;
        let mut out = BytesMut::new();
        while self.client.poll_transmit(&mut out) {
            stream.write_all(&out)?;
            out.clear();
        }
        Ok(stream.flush()?)
    }

    /// Sends what waits to be sent, then reads what has come, or comes within this time.
    pub fn exchange(&mut self, wait: Duration) -> Result<Vec<Happening>, Lost> {
        self.flush()?;
        if !self.early.is_empty() {
            return Ok(std::mem::take(&mut self.early));
        }
        let stream = self.stream.as_mut().ok_or_else(|| Lost("not connected".to_owned()))?;
        stream.sock.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let filled = self.input.len();
        self.input.resize(filled + READ_BYTES, 0);
        let read = stream.read(&mut self.input[filled..]);
        self.input.truncate(filled + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Err(Lost("closed by the broker".to_owned())),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let happenings = self.handle_input()?;
        self.client.handle_timeout(clock::now()).map_err(|error| Lost(error.to_string()))?;
        Ok(happenings)
    }

    /// Ends the connection without a word.
    pub fn drop_connection(&mut self) {
        self.stream = None;
    }

    fn handle_input(&mut self) -> Result<Vec<Happening>, Lost> {
        let mut happenings = Vec::new();
        let version = self.client.version();
        loop {
            let frame = match codec::frame(&self.input, self.client.packet_bytes_max()) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(happenings),
                Err(error) => panic!("the broker sent what is no packet: {error}"),
            };
            let packet = packet::decode(version, &frame, &Limits::default())
                .unwrap_or_else(|error| panic!("the broker sent a malformed packet: {error}"));
            let event = self.client.handle_packet(clock::now(), packet);
            match event.unwrap_or_else(|error| panic!("the broker broke the protocol: {error}")) {
                None | Some(Event::Unsubscribed(_)) => {}
                Some(Event::Connected { session_present, .. }) => {
                    happenings.push(Happening::Connected { session_present });
                }
                Some(Event::Published { packet_id, reason }) => {
                    happenings.push(Happening::Published { packet_id, reason });
                }
                Some(Event::Message { publish, receipt }) => happenings.push(Happening::Message {
                    topic: publish.topic.to_owned(),
                    payload: Bytes::copy_from_slice(publish.payload),
                    dup: publish.dup,
                    retain: publish.retain,
                    packet_id: publish.packet_id,
                    receipt,
                }),
                Some(Event::Subscribed(ack)) => happenings.push(Happening::Subscribed(ack.reasons)),
                Some(Event::Refused { reason, .. }) => return Err(Lost(format!("refused: {reason}"))),
                Some(Event::Disconnected(why)) => {
                    return Err(Lost(format!("disconnected: {}", why.reason)));
                }
            }
            let length = frame.len;
            self.input.advance(length);
        }
    }
}

/// The highest QoS of a subscription that a test asks for, as SUBACK grants it.
pub const fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

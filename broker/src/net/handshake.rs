//! From an accepted socket to a connection with a session: TLS, CONNECT, credentials, the client identifier's place.
//!
//! This is a task of its own, which ends when the connection's task starts: its memory is not kept for the life of the
//! connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use gaugeline_protocol::{
    ReasonCode, Version, codec,
    packet::{ConnAck, ConnAckProperties, Connect},
};
use tokio::{net::TcpStream, sync::watch};
use zeroize::Zeroize as _;

use super::{
    admission::{Admitted, Applicant, admit},
    arrival::Arrival,
    connection::Connection,
    doorman::Entrance,
    enhanced::Conversation,
    lobby::{Displacement, Waiting},
    session_start,
    stream::Stream,
    terms::ListenerTerms,
    tls::{self, LiveTls, PeerCertificate},
    websocket::{self, NotOpened},
};
use crate::{
    auth::scram::METHOD,
    clock,
    config::Protocol,
    hub::Hub,
    log,
    metrics::RefusalReason,
    router::{FRAME_BYTES_MAX, RECEIVE_STAMP, Wire},
    settings::{Followed, Settings},
    storage::{Record, Ticket},
};

/// What is read at once before CONNECT is complete: few are larger.
const READ_BYTES: usize = 1024;
/// How long the CONNACK of a refusal may take.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);
/// The first byte of CONNECT [MQTT-2.1.3-1].
const CONNECT: u8 = 0x10;

/// The first byte of what a TLS client says first [RFC 8446, section 5.1].
const TLS_HANDSHAKE: u8 = 0x16;

/// A connection that was not let in: what the log, the metrics and the client are told.
pub(super) struct Refused {
    pub(super) detail: String,
    pub(super) counted: RefusalReason,
    pub(super) answer: Option<(Version, ReasonCode)>,
}

impl Refused {
    pub(super) fn silently(counted: RefusalReason, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), counted, answer: None }
    }
}

/// What ends a connection that has not been let in.
pub(super) struct Leaving {
    /// Becomes true when the broker stops.
    pub(super) closing: watch::Receiver<bool>,
    pub(super) displacement: Displacement,
}

/// Takes a new socket as far as it gets before it has to leave.
pub(super) async fn welcome(
    hub: Arc<Hub>,
    socket: TcpStream,
    address: SocketAddr,
    listener: Arc<ListenerTerms>,
    entrance: Entrance,
    leaving: Leaving,
) {
    let Leaving { mut closing, displacement } = leaving;
    let refused = tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => {
            Refused::silently(RefusalReason::Shutdown, "the broker stops")
        }
        () = displacement.happens() => {
            let detail = "closed for another that wants to come in: the limit of pending_connections is reached";
            Refused::silently(RefusalReason::Displaced, detail)
        }
        () = let_in(Arc::clone(&hub), socket, address, Arc::clone(&listener), entrance) => return,
    };
    turn_away(&hub, address, &refused);
}

async fn let_in(
    hub: Arc<Hub>,
    socket: TcpStream,
    address: SocketAddr,
    listener: Arc<ListenerTerms>,
    mut entrance: Entrance,
) {
    let settings = Followed::new(&hub.settings);
    let limit = Duration::from_secs(settings.limits.connect_timeout_seconds);
    let deadline = tokio::time::Instant::from_std(clock::now() + limit);
    let mut received = BytesMut::new();
    let Some(waiting) = entrance.waiting() else { return };
    let opened = open(&hub, socket, &listener, waiting);
    let (mut stream, certificate) = match tokio::time::timeout_at(deadline, opened).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(Unopened { refused, farewell })) => {
            turn_away(&hub, address, &refused);
            if let Some((stream, answer)) = farewell {
                tokio::time::timeout(REFUSAL_TIME_MAX, stream.finish(&answer)).await.ok();
            }
            return;
        }
        Err(_) => return turn_away(&hub, address, &too_slow(limit)),
    };
    log::packets::opened(address, stream.carrier());
    let reading = read_connect(&settings, &mut stream, &mut received, waiting);
    let mut connect = match tokio::time::timeout_at(deadline, reading).await {
        Ok(Ok(connect)) => connect,
        Ok(Err(refused)) => {
            turn_away(&hub, address, &refused);
            return answer_refusal(stream, &refused).await;
        }
        Err(_) => return turn_away(&hub, address, &too_slow(limit)),
    };
    log::packets::connect(&connect, address);
    let client = Applicant {
        certificate,
        address,
        conversation: Conversation { stream: &mut stream, received: &mut received, deadline },
        entrance: &mut entrance,
    };
    let admitted = admit(&hub, &settings, &listener, client, &mut connect).await;
    forget_password(&mut connect);
    match admitted {
        Ok(admitted) => enter(hub, stream, received, connect, admitted, entrance, settings),
        Err(refused) => {
            let user = connect.user_name.as_deref();
            refuse(&hub, Some(&connect.client_id), user, address, &refused);
            answer_refusal(stream, &refused).await;
        }
    }
}

/// Overwrites the password: it has been checked, and must not stay in memory.
fn forget_password(connect: &mut Connect) {
    let password = connect.password.take().and_then(|password| password.try_into_mut().ok());
    if let Some(mut password) = password {
        password.as_mut().zeroize();
    }
}

fn too_slow(limit: Duration) -> Refused {
    let detail = format!("no complete CONNECT within {} s", limit.as_secs());
    Refused::silently(RefusalReason::ConnectTimeout, detail)
}

/// Of a stranger who did not get as far as a name.
fn turn_away(hub: &Hub, address: SocketAddr, refused: &Refused) {
    refuse(hub, None, None, address, refused);
}

fn refuse(hub: &Hub, client: Option<&str>, user: Option<&str>, address: SocketAddr, refused: &Refused) {
    hub.metrics.connections_refused.inc(refused.counted);
    let detail = format_args!("{}", refused.detail);
    hub.refusals.not_admitted(refused.counted, client, user, address, detail);
}

async fn answer_refusal(stream: Stream, refused: &Refused) {
    let mut out = BytesMut::new();
    if let Some((version, reason)) = refused.answer {
        let answer = ConnAck { session_present: false, reason, properties: ConnAckProperties::default() };
        // A CONNACK without properties has nothing that could fail to encode.
        answer.encode(version, &mut out).ok();
    }
    // The connection is over whether or not the client hears why.
    tokio::time::timeout(REFUSAL_TIME_MAX, stream.finish(&out)).await.ok();
}

/// A connection that did not get as far as MQTT.
struct Unopened {
    refused: Refused,
    /// What it is told in the protocol below.
    farewell: Option<(Stream, Vec<u8>)>,
}

impl From<Refused> for Unopened {
    fn from(refused: Refused) -> Self {
        Self { refused, farewell: None }
    }
}

/// Goes through TLS and opens the WebSocket, if the listener speaks them.
async fn open(
    hub: &Hub,
    socket: TcpStream,
    listener: &ListenerTerms,
    waiting: &Waiting,
) -> Result<(Stream, Option<Arc<PeerCertificate>>), Unopened> {
    let (stream, certificate) = secure(hub, socket, listener.tls.clone(), waiting).await?;
    let Protocol::WebSocket(config) = &listener.protocol else { return Ok((stream, certificate)) };
    match websocket::open(stream, config).await {
        Ok(socket) => Ok((Stream::WebSocket(Box::new(socket)), certificate)),
        Err(NotOpened::Lost(error)) => {
            let detail = format!("the connection was lost before the WebSocket was open: {error}");
            Err(Refused::silently(RefusalReason::ConnectionLost, detail).into())
        }
        Err(NotOpened::Refused(refusal)) => {
            let counted =
                if refusal.origin { RefusalReason::Origin } else { RefusalReason::WebSocketHandshake };
            let refused = Refused::silently(counted, refusal.detail);
            Err(Unopened { refused, farewell: Some((refusal.stream, refusal.answer)) })
        }
    }
}

async fn secure(
    hub: &Hub,
    socket: TcpStream,
    tls: Option<Arc<LiveTls>>,
    waiting: &Waiting,
) -> Result<(Stream, Option<Arc<PeerCertificate>>), Refused> {
    let Some(tls) = tls else { return Ok((Stream::Plain(socket), None)) };
    let failed = |error: &dyn std::fmt::Display| {
        hub.metrics.tls_handshake_failures.inc();
        let detail = format!("TLS handshake: {error}{}", tls::hint(&error.to_string()));
        Refused::silently(RefusalReason::TlsHandshake, detail)
    };
    // Until the client says something there is nothing to keep, and nothing to do.
    socket.readable().await.map_err(|error| failed(&error))?;
    let handshake = tls.begin();
    let accepted = waiting.by_turns(handshake.acceptor().accept(socket)).await;
    let stream = accepted.map_err(|error| failed(&error))?;
    let certificate =
        handshake.peer_certificate(stream.get_ref().1, clock::unix_time()).map_err(|error| failed(&error))?;
    Ok((Stream::Tls(Box::new(stream)), certificate))
}

async fn read_connect(
    settings: &Settings,
    stream: &mut Stream,
    received: &mut BytesMut,
    waiting: &mut Waiting,
) -> Result<Connect, Refused> {
    let malformed = |error: codec::DecodeError, version: Option<Version>| Refused {
        detail: format!("CONNECT: {error}"),
        counted: if error.refusal_version().is_some() {
            RefusalReason::ProtocolVersion
        } else {
            RefusalReason::MalformedConnect
        },
        answer: error.refusal_version().or(version).map(|version| (version, error.reason())),
    };
    loop {
        if received.first().is_some_and(|first| *first != CONNECT) {
            let hint = match received.first() {
                Some(b'G') if received.starts_with(b"GET ") => {
                    " (the client speaks HTTP; a browser needs a listener with `protocol = \"websocket\"`)"
                }
                Some(&TLS_HANDSHAKE) => " (the client speaks TLS on a port without it)",
                _ => "",
            };
            let detail = format!("the first packet is not CONNECT [MQTT-3.1.0-1]{hint}");
            return Err(Refused::silently(RefusalReason::MalformedConnect, detail));
        }
        let frame = codec::frame(received, settings.limits.connect_packet_bytes)
            .map_err(|error| malformed(error, begins_v5(received).then_some(Version::V5)))?;
        if let Some(frame) = frame {
            let connect = Connect::decode(&frame, &settings.packets)
                .map_err(|error| malformed(error, claims_v5(frame.body).then_some(Version::V5)))?;
            let length = frame.len;
            // The password was in there.
            received.get_mut(..length).unwrap_or_default().zeroize();
            bytes::Buf::advance(received, length);
            return Ok(connect);
        }
        let filled = received.len();
        waiting.holds(filled + READ_BYTES).map_err(|_| {
            let detail =
                "CONNECT: all that have not been decided on have more bytes than connect_bytes_total";
            Refused::silently(RefusalReason::ConnectBytesTotal, detail)
        })?;
        received.resize(filled + READ_BYTES, 0);
        let read = stream.read(received.get_mut(filled..).unwrap_or_default()).await;
        received.truncate(filled + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                return Err(Refused::silently(
                    RefusalReason::ConnectionLost,
                    "the connection was closed before CONNECT",
                ));
            }
            Ok(_) => {}
            Err(error) => {
                let detail = format!("the connection was lost before CONNECT: {error}");
                return Err(Refused::silently(RefusalReason::ConnectionLost, detail));
            }
        }
    }
}

/// As [`claims_v5`], of a CONNECT that is not whole: one that is too large, for instance.
fn begins_v5(received: &[u8]) -> bool {
    // Behind the first byte comes the length, whose last byte alone has no highest bit.
    let length = received.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 2;
    claims_v5(received.get(length..).unwrap_or_default())
}

/// Whether a malformed CONNECT came from a client that understands the reason codes of MQTT 5.
fn claims_v5(body: &[u8]) -> bool {
    body.starts_with(b"\0\x04MQTT\x05")
}

/// Starts the connection's task.
fn enter(
    hub: Arc<Hub>,
    stream: Stream,
    received: BytesMut,
    connect: Connect,
    admitted: Admitted,
    entrance: Entrance,
    settings: Followed,
) {
    let Admitted { identity, negotiated, seat, found, pacing, mount_point, last_word } = admitted;
    let limits_packets = (negotiated.outgoing_packet_bytes_max as usize) < FRAME_BYTES_MAX;
    // Frames are the same for everybody; who sees other topics gets its own.
    let wire = Wire::of(negotiated.version, limits_packets || mount_point.is_some());
    let session_start::Started { mut session, mailbox, walks, present } =
        session_start::start_session(&hub, &identity, &seat, negotiated, found);
    let expiry_asked = connect.properties.session_expiry_seconds;
    let mut out = BytesMut::new();
    let mut connack = session.negotiated().connack(&settings.server, expiry_asked, present);
    if let Some(last_word) = last_word {
        connack.properties.authentication_method = Some(METHOD.to_owned());
        connack.properties.authentication_data = Some(last_word);
    }
    if let Err(error) = connack.encode(session.version(), &mut out) {
        tracing::error!(
            client = &*log::client_name(identity.client_id.as_str()),
            "no CONNACK was sent: {error}"
        );
    }
    mailbox.set_wire(wire);
    let asks = |(name, _): &(String, String)| name == RECEIVE_STAMP;
    let stamps = session.version().is_v5() && connect.properties.user_properties.iter().any(asks);
    for delivery in session.messages_mut() {
        delivery.stamped = stamps;
        let hidden = mount_point.as_ref().map(|mount| mount.hidden_bytes(delivery.message.topic()));
        delivery.hidden_topic_bytes = hidden.unwrap_or(0);
    }
    let will = connect.will.map(Box::new);
    let mut opened_at = Ticket::START;
    if mailbox.is_persistent() {
        let opened = hub.store.append(Record::SessionOpened {
            session: mailbox.id(),
            realm: hub.access.load().realm(identity.realm).name.clone(),
            client_id: identity.client_id.clone(),
            user: identity.user.clone(),
            expiry_seconds: session.negotiated().session_expiry_seconds,
            will: will.clone(),
        });
        // Of the session alone nothing is lost that SUBACK or PUBACK does not wait for.
        opened_at = if will.is_some() { opened } else { opened_at };
    }
    log::connected(&hub.audit, settings.connection_messages, &identity, session.version(), present);
    let arrival = Arrival {
        stream,
        identity,
        session,
        mailbox,
        seat,
        will,
        entrance,
        walks,
        received,
        out,
        opened_at,
        stamps,
        mount_point,
        settings,
        pacing,
    };
    tokio::spawn(Connection::new(hub, arrival).run());
}

//! Enhanced authentication between CONNECT and CONNACK [MQTT 5.0, section 4.12]: SCRAM-SHA-256 in AUTH packets.
//!
//! CONNECT and AUTH carry the messages of the client, AUTH and CONNACK those of the broker. All of it has to be done
//! within the time for CONNECT, in packets of bounded size.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use bytes::{Buf as _, Bytes, BytesMut};
use gaugeline_protocol::{
    ReasonCode, Version,
    codec::{self, DecodeError},
    packet::{self, Auth, Connect, Packet},
};
use tokio::time::Instant;

use super::{admission::not_authenticated, handshake::Refused, stream::Stream};
use crate::{
    auth::{
        Access, Realm, RealmId,
        scram::{ClientFirst, METHOD},
    },
    hub::Hub,
    metrics::RefusalReason,
};

/// The largest AUTH packet before CONNACK, in bytes: the longest message of SCRAM, the method's name, and some room.
pub(super) const AUTH_PACKET_BYTES_MAX: usize = 4096;
/// What is read at once: more than an AUTH packet usually is.
const READ_BYTES: usize = 512;
/// AUTH exists in no other version.
const VERSION: Version = Version::V5;

/// A connection before CONNACK.
pub(super) struct Conversation<'a> {
    pub(super) stream: &'a mut Stream,
    /// What came and was not looked at.
    pub(super) received: &'a mut BytesMut,
    /// When CONNACK must be decided on.
    pub(super) deadline: Instant,
}

/// Whether the client names the method that its realm has users for.
pub(super) fn is_wanted(realm: &Realm, connect: &Connect) -> bool {
    realm.scram.is_some() && connect.properties.authentication_method.as_deref() == Some(METHOD)
}

/// Who the client is, and what CONNACK has to say. Takes the method out of CONNECT: it is dealt with. Puts the user's
/// name in, for the log.
///
/// # Errors
/// Why the client is not let in.
pub(super) async fn authenticate(
    hub: &Hub,
    rules: &Access,
    realm: RealmId,
    connect: &mut Connect,
    address: SocketAddr,
    conversation: &mut Conversation<'_>,
) -> Result<(Option<Arc<str>>, Bytes), Refused> {
    let deadline = conversation.deadline;
    let exchange = exchange(hub, rules, realm, connect, address, conversation);
    match tokio::time::timeout_at(deadline, exchange).await {
        Ok(result) => result,
        Err(_) => {
            let detail = "the authentication was not complete within connect_timeout_seconds";
            Err(Refused::silently(RefusalReason::ConnectTimeout, detail))
        }
    }
}

async fn exchange(
    hub: &Hub,
    rules: &Access,
    realm: RealmId,
    connect: &mut Connect,
    address: SocketAddr,
    conversation: &mut Conversation<'_>,
) -> Result<(Option<Arc<str>>, Bytes), Refused> {
    let refused = |refusal| not_authenticated(VERSION, refusal);
    connect.properties.authentication_method = None;
    let largest = connect.properties.packet_bytes_max;
    let first = match connect.properties.authentication_data.take().filter(|data| !data.is_empty()) {
        Some(first) => first,
        // The broker has nothing to say before the client [RFC 4422, section 5.1].
        None => conversation.ask(Bytes::new(), largest).await?,
    };
    let first = ClientFirst::parse(&first).map_err(|error| refused(error.into()))?;
    let name = first.user().to_owned();
    match connect.user_name.replace(name) {
        Some(other) if !other.is_empty() && other != first.user() => {
            let detail = "CONNECT has another user name than its authentication data".to_owned();
            let answer = Some((VERSION, ReasonCode::NotAuthorized));
            return Err(Refused { detail, counted: RefusalReason::NotAuthorized, answer });
        }
        _ => {}
    }
    let begun = hub.authenticator.begin_scram(rules, realm, first, address.ip());
    let (login, answer) = begun.map_err(refused)?;
    let last = conversation.ask(answer.into(), largest).await?;
    let (authenticated, answer) = hub.authenticator.finish_scram(login, &last).map_err(refused)?;
    Ok((authenticated.user, answer.into()))
}

impl Conversation<'_> {
    /// Sends a message in AUTH, no larger than the client takes, and returns the one in the client's next AUTH.
    async fn ask(&mut self, data: Bytes, largest: Option<NonZeroU32>) -> Result<Bytes, Refused> {
        let mut out = BytesMut::new();
        // The names and lengths in it are the broker's own and cannot fail to encode.
        auth(ReasonCode::ContinueAuthentication, data).encode(VERSION, &mut out).ok();
        if largest.is_some_and(|largest| out.len() > largest.get() as usize) {
            let detail = "the client's maximum packet size has no room for AUTH [MQTT-3.1.2-24]";
            return Err(Refused::silently(RefusalReason::NotAuthorized, detail));
        }
        self.stream.write_whole(&out).await.map_err(|error| lost(&error))?;
        let answer = self.receive().await?;
        if answer.reason != ReasonCode::ContinueAuthentication || answer.method.as_deref() != Some(METHOD) {
            return Err(violated("AUTH has another reason or method than it must have [MQTT-4.12.0-5]"));
        }
        Ok(answer.data.unwrap_or_default())
    }

    /// The next packet, which must be AUTH: a client may send nothing else now, but DISCONNECT [MQTT-4.12.0-3].
    async fn receive(&mut self) -> Result<Auth, Refused> {
        let malformed = |error: DecodeError| Refused {
            detail: format!("AUTH: {error}"),
            counted: RefusalReason::NotAuthorized,
            answer: Some((VERSION, error.reason())),
        };
        loop {
            if let Some(frame) = codec::frame(self.received, AUTH_PACKET_BYTES_MAX).map_err(malformed)? {
                let length = frame.len;
                let decoded =
                    packet::decode(VERSION, &frame, &codec::Limits::default()).map_err(malformed)?;
                let found = match decoded {
                    Packet::Auth(auth) => Ok(*auth),
                    Packet::Disconnect(_) => Err(Refused::silently(
                        RefusalReason::ConnectionLost,
                        "the client gave up the authentication",
                    )),
                    _ => Err(violated("another packet than AUTH before CONNACK [MQTT-3.1.2-30]")),
                };
                self.received.advance(length);
                return found;
            }
            let filled = self.received.len();
            self.received.resize(filled + READ_BYTES, 0);
            let read = self.stream.read(self.received.get_mut(filled..).unwrap_or_default()).await;
            self.received.truncate(filled + *read.as_ref().unwrap_or(&0));
            if read.map_err(|error| lost(&error))? == 0 {
                let detail = "the connection was closed during the authentication";
                return Err(Refused::silently(RefusalReason::ConnectionLost, detail));
            }
        }
    }
}

/// A message of the broker.
pub(super) fn auth(reason: ReasonCode, data: Bytes) -> Auth {
    let data = Some(data).filter(|data| !data.is_empty());
    Auth { reason, method: Some(METHOD.to_owned()), data, reason_string: None, user_properties: Vec::new() }
}

fn lost(error: &std::io::Error) -> Refused {
    let detail = format!("the connection was lost during the authentication: {error}");
    Refused::silently(RefusalReason::ConnectionLost, detail)
}

fn violated(detail: &str) -> Refused {
    let answer = Some((VERSION, ReasonCode::ProtocolError));
    Refused { detail: detail.to_owned(), counted: RefusalReason::NotAuthorized, answer }
}

//! What the handshake hands over to the connection.

use std::sync::Arc;

use bytes::BytesMut;
use gaugeline_protocol::{packet::Will, session::Session};

use super::{listener::Entrance, pacing::Pacing, stream::Stream};
use crate::{
    auth::Identity,
    router::{Delivery, Mailbox, RetainedWalk},
    sessions::Seat,
    settings::Followed,
    storage::Ticket,
};

/// A client that has just been let in.
pub(super) struct Arrival {
    pub(super) stream: Stream,
    pub(super) identity: Identity,
    pub(super) session: Session<Delivery>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) seat: Arc<Seat>,
    pub(super) will: Option<Box<Will>>,
    pub(super) entrance: Entrance,
    /// Retained messages that the session's last connection had still to send.
    pub(super) walks: Vec<RetainedWalk>,
    /// What was received behind CONNECT.
    pub(super) received: BytesMut,
    /// CONNACK.
    pub(super) out: BytesMut,
    /// Where storage must be before it leaves: it promises the will.
    pub(super) opened_at: Ticket,
    pub(super) stamps: bool,
    /// What the client was told of them in CONNACK holds as long as the connection.
    pub(super) settings: Followed,
    pub(super) pacing: Pacing,
}

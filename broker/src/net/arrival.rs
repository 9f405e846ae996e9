//! A client that has just been let in, and the connection that it becomes.

use std::sync::Arc;

use bytes::BytesMut;
use gaugeline_protocol::{packet::Will, session::Session};

use super::{
    connection::Connection, doorman::Entrance, mount_point::MountPoint, pacing::Pacing, rights::Rights,
    stream::Stream,
};
use crate::{
    auth::Identity,
    hub::Hub,
    metrics::Tally,
    router::{Contents, Delivery, Mailbox, MatchCache, RetainedWalk},
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
    pub(super) mount_point: Option<MountPoint>,
    /// What the client was told of them in CONNACK holds as long as the connection.
    pub(super) settings: Followed,
    pub(super) pacing: Pacing,
}

impl Connection {
    pub(super) fn new(hub: Arc<Hub>, arrival: Arrival) -> Self {
        let Arrival {
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
        } = arrival;
        let epoch = hub.access.epoch();
        let rights =
            Rights::of_new_session(&mailbox, session.subscriptions().len(), session.inflight(), epoch);
        Self {
            hub,
            stream,
            identity,
            mailbox,
            seat,
            will,
            entrance,
            cache: MatchCache::default(),
            partial: received,
            out,
            flushing: false,
            backlog: Contents::default(),
            walks,
            resent: session.inflight() == 0,
            session,
            busy: false,
            stall: None,
            storage_stall: None,
            pacing,
            refused_until: None,
            timer: None,
            retained_at: Ticket::START,
            subscribed_at: opened_at,
            gated: None,
            sent: Vec::new(),
            settled: Vec::new(),
            stamps,
            mount_point,
            packet_bytes_max: settings.limits.packet_bytes,
            settings,
            reauthentication: None,
            rights,
            tally: Tally::default(),
            occupied: false,
        }
    }
}

//! The session of a client that comes in: the place of its client identifier, and what it finds there.

use std::sync::Arc;

use gaugeline_protocol::{
    ReasonCode,
    session::{Negotiated, Session},
};

use crate::{
    auth::Identity,
    clock,
    hub::Hub,
    log::packets,
    metrics::RefusalReason,
    router::{Delivery, Mailbox, RetainedWalk},
    sessions::{Claim, Parked, Seat},
};

/// Why a client does not get the place of its client identifier: what it is told, what is counted, and the reason.
pub(super) type NoPlace = (ReasonCode, RefusalReason, String);

/// Takes the place of the client identifier, and with it the session that is there.
pub(super) async fn take_place(
    hub: &Hub,
    identity: &Identity,
    seat: &Arc<Seat>,
) -> Result<Option<Box<Parked>>, NoPlace> {
    let access = hub.access.snapshot();
    match hub.registry.claim(&identity.client_id, seat, &access) {
        Claim::Free => Ok(None),
        Claim::Parked(parked) => Ok(Some(parked)),
        Claim::Foreign => Err((
            ReasonCode::ClientIdentifierNotValid,
            RefusalReason::ClientId,
            "the client identifier is that of another user's session".to_owned(),
        )),
        Claim::Occupied(session) => {
            packets::takes_over(identity);
            session.await.map_err(|_| {
                let detail = "a newer connection of the same client came in between".to_owned();
                (ReasonCode::ServerUnavailable, RefusalReason::ConnectionLost, detail)
            })
        }
    }
}

/// A session on its way to a connection.
pub(super) struct Started {
    pub(super) session: Session<Delivery>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) walks: Vec<RetainedWalk>,
    /// It was there before.
    pub(super) present: bool,
}

/// The session that was there, if the client may and wants to go on with it, or a new one.
pub(super) fn start_session(
    hub: &Hub,
    identity: &Identity,
    seat: &Seat,
    negotiated: Negotiated,
    found: Option<Box<Parked>>,
) -> Started {
    let now = clock::now();
    let owner = seat.owner();
    match found {
        // Another user must not get what was meant for this one.
        Some(old) if !negotiated.clean_start && old.owner().is_same(&owner, &hub.access.load()) => {
            let Parked { mut session, mailbox, walks, .. } = *old;
            session.resume(negotiated, now);
            mailbox.set_certified(owner.is_certified);
            hub.move_in(&mailbox, identity);
            return Started { session, mailbox, walks, present: true };
        }
        Some(old) => drop(hub.end_session(*old, now)),
        None => {}
    }
    let mailbox = hub.mailbox(identity, negotiated.is_persistent());
    mailbox.set_certified(owner.is_certified);
    Started { session: Session::new(negotiated, now), mailbox, walks: Vec::new(), present: false }
}

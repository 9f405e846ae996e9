//! The log lines about clients: each names client, user, address and reason, in the same words and order. The audit log
//! gets the same. `refusals.rs` has those that a client could make without end, `packets.rs` those for who looks for a fault.
//!
//! Client identifiers, user names and topics are what a stranger chose. A line break in one of them must not begin a
//! line of the log: fields are quoted, and messages are kept on one line. All of these are [cut](Excerpt) if they are long.

mod excerpt;
pub(crate) mod packets;
mod refusals;

use std::{borrow::Cow, fmt};

use gaugeline_protocol::ClientId;

use crate::{
    audit::{Audit, Event, Reason},
    auth::Identity,
};

pub(crate) use self::excerpt::{Excerpt, Sentence};
pub(crate) use self::refusals::{Refusals, Refused};

/// A user name for the log: anonymous clients have none.
pub(crate) fn user_name(user: Option<&str>) -> Cow<'_, str> {
    Excerpt(user.unwrap_or("-")).text()
}

/// A client identifier for the log.
pub(crate) fn client_name(client: &str) -> Cow<'_, str> {
    Excerpt(client).text()
}

/// A reason on one line.
fn one_line(text: fmt::Arguments<'_>) -> Sentence<'_> {
    Sentence { text, escaped: true }
}

/// A client is in. `logged`: `connection_messages` is on; the audit log has it in any case.
pub(crate) fn connected(
    audit: &Audit,
    logged: bool,
    identity: &Identity,
    version: gaugeline_protocol::Version,
    resumed: bool,
) {
    audit.record(Event::Login {
        client: Excerpt(identity.client_id.as_str()),
        user: identity.user.as_deref().map(Excerpt),
        address: identity.address,
    });
    if !logged {
        return;
    }
    tracing::info!(
        client = &*client_name(identity.client_id.as_str()),
        user = &*user_name(identity.user.as_deref()),
        address = %identity.address,
        "connected with MQTT {version}, {}",
        if resumed { "session resumed" } else { "new session" }
    );
}

/// A client is gone. `logged` as for [`connected`].
pub(crate) fn disconnected(audit: &Audit, logged: bool, identity: &Identity, reason: fmt::Arguments<'_>) {
    audit.record(Event::Logout {
        client: Excerpt(identity.client_id.as_str()),
        user: identity.user.as_deref().map(Excerpt),
        address: identity.address,
        reason: Reason(reason),
    });
    if !logged {
        return;
    }
    tracing::info!(
        client = &*client_name(identity.client_id.as_str()),
        user = &*user_name(identity.user.as_deref()),
        address = %identity.address,
        "disconnected: {}",
        one_line(reason)
    );
}

/// A connected client's certificate is no longer good.
pub(crate) fn no_longer_trusted(client_id: &ClientId, user: Option<&str>) {
    tracing::warn!(
        client = &*client_name(client_id.as_str()),
        user = &*user_name(user),
        "to be disconnected: its certificate is revoked, or no longer leads to an authority"
    );
}

/// A client does not read as fast as messages come for it.
pub(crate) fn lagging(client_id: &ClientId, user: Option<&str>) {
    tracing::warn!(
        client = &*client_name(client_id.as_str()),
        user = &*user_name(user),
        "does not keep up: publishers no longer wait for it, and QoS 0 messages for it are dropped while its queue is full"
    );
}

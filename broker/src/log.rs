//! The log lines about clients: each names client, user, address and reason, in the same words and order.

use std::fmt;

use gaugeline_protocol::ClientId;

use crate::auth::Identity;

/// A user name for the log: anonymous clients have none.
pub(crate) fn user_name(user: Option<&str>) -> &str {
    user.unwrap_or("-")
}

/// Something that a connected client wanted was refused.
pub(crate) fn refused(identity: &Identity, reason: fmt::Arguments<'_>) {
    tracing::warn!(
        client = %identity.client_id,
        user = user_name(identity.user.as_deref()),
        address = %identity.address,
        "refused: {reason}"
    );
}

/// A client was not let in. `client` and `user` are what it claims to be; unknown if it did not get as far.
pub(crate) fn not_admitted(
    client: Option<&str>,
    user: Option<&str>,
    address: std::net::SocketAddr,
    reason: fmt::Arguments<'_>,
) {
    tracing::warn!(
        client = client.unwrap_or("-"),
        user = user_name(user),
        %address,
        "connection refused: {reason}"
    );
}

/// A client is in.
pub(crate) fn connected(identity: &Identity, version: gaugeline_protocol::Version, resumed: bool) {
    tracing::info!(
        client = %identity.client_id,
        user = user_name(identity.user.as_deref()),
        address = %identity.address,
        "connected with MQTT {version}, {}",
        if resumed { "session resumed" } else { "new session" }
    );
}

/// A client is gone.
pub(crate) fn disconnected(identity: &Identity, reason: fmt::Arguments<'_>) {
    tracing::info!(
        client = %identity.client_id,
        user = user_name(identity.user.as_deref()),
        address = %identity.address,
        "disconnected: {reason}"
    );
}

/// A client does not read as fast as messages come for it.
pub(crate) fn lagging(client_id: &ClientId, user: Option<&str>) {
    tracing::warn!(
        client = %client_id,
        user = user_name(user),
        "does not keep up: publishers no longer wait for it, and QoS 0 messages for it are dropped while its queue is full"
    );
}

//! The log lines about clients: each names client, user, address and reason, in the same words and order. The audit log
//! gets the same. `refusals.rs` has those that a client could make without end.
//!
//! Client identifiers, user names and topics are what a stranger chose. A line break in one of them must not begin a
//! line of the log: fields are quoted, and messages are kept on [one line](OneLine).

mod refusals;

use std::fmt;

use gaugeline_protocol::ClientId;

use crate::{
    audit::{Audit, Event, Reason},
    auth::Identity,
};

pub(crate) use self::refusals::{Refusals, Refused};

/// A user name for the log: anonymous clients have none.
pub(crate) fn user_name(user: Option<&str>) -> &str {
    user.unwrap_or("-")
}

/// A text with its control characters escaped.
struct OneLine<'a>(fmt::Arguments<'a>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaping<'f, 'g>(&'f mut fmt::Formatter<'g>);
        impl fmt::Write for Escaping<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|c| match c.is_control() {
                    true => write!(self.0, "{}", c.escape_debug()),
                    false => self.0.write_char(c),
                })
            }
        }
        fmt::write(&mut Escaping(f), self.0)
    }
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
        client: identity.client_id.as_str(),
        user: identity.user.as_deref(),
        address: identity.address,
    });
    if !logged {
        return;
    }
    tracing::info!(
        client = identity.client_id.as_str(),
        user = user_name(identity.user.as_deref()),
        address = %identity.address,
        "connected with MQTT {version}, {}",
        if resumed { "session resumed" } else { "new session" }
    );
}

/// A client is gone. `logged` as for [`connected`].
pub(crate) fn disconnected(audit: &Audit, logged: bool, identity: &Identity, reason: fmt::Arguments<'_>) {
    audit.record(Event::Logout {
        client: identity.client_id.as_str(),
        user: identity.user.as_deref(),
        address: identity.address,
        reason: Reason(reason),
    });
    if !logged {
        return;
    }
    tracing::info!(
        client = identity.client_id.as_str(),
        user = user_name(identity.user.as_deref()),
        address = %identity.address,
        "disconnected: {}",
        OneLine(reason)
    );
}

/// A connected client's certificate is no longer good.
pub(crate) fn no_longer_trusted(client_id: &ClientId, user: Option<&str>) {
    tracing::warn!(
        client = client_id.as_str(),
        user = user_name(user),
        "to be disconnected: its certificate is revoked, or no longer leads to an authority"
    );
}

/// A client does not read as fast as messages come for it.
pub(crate) fn lagging(client_id: &ClientId, user: Option<&str>) {
    tracing::warn!(
        client = client_id.as_str(),
        user = user_name(user),
        "does not keep up: publishers no longer wait for it, and QoS 0 messages for it are dropped while its queue is full"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_one_line() {
        let topic = "a\nWARN forged\r\u{1b}[2J\u{85} \"\u{fc}\"";
        let text = OneLine(format_args!("it may not write {topic}")).to_string();
        assert_eq!(text, "it may not write a\\nWARN forged\\r\\u{1b}[2J\\u{85} \"\u{fc}\"");
    }
}

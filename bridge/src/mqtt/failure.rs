//! Why there is no connection: what the status says, in words that tell what to change.

use gaugeline_protocol::client::ConnectionError;

use crate::status::Severity;

/// Why there is no connection any more.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: &'static str,
    pub(super) severity: Severity,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn passing(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, severity: Severity::Passing, detail: detail.into() }
    }

    /// One that someone has to do something about.
    pub(super) fn lasting(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, severity: Severity::NeedsAttention, detail: detail.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::passing("lost", format!("was lost: {error}"))
    }
}

/// The broker broke the protocol. One that does so before the login answers in a version that we did not ask for.
pub(super) fn broken(online: bool, error: &ConnectionError) -> Failure {
    match online {
        true => Failure::passing("protocol", format!("ended: {error}")),
        false => Failure::lasting("protocol", format!("failed: {error}: does the broker speak MQTT 5?")),
    }
}

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
        // TLS has many more words for it.
        let detail = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                "was lost: the broker ended it without saying goodbye".to_owned()
            }
            _ => format!("was lost: {error}"),
        };
        Self::passing("lost", detail)
    }
}

/// The broker broke the protocol. One that does so before the login answers in a version that we did not ask for.
pub(super) fn broken(online: bool, error: &ConnectionError) -> Failure {
    match online {
        true => Failure::passing("protocol", format!("ended: {error}")),
        false if error.is_tls() => {
            let detail = "failed: the broker speaks TLS on this port: is it mqtts:// and `ca`?";
            Failure::lasting("protocol", detail)
        }
        false => Failure::lasting("protocol", format!("failed: {error}: does the broker speak MQTT 5?")),
    }
}

#[cfg(test)]
mod tests {
    use gaugeline_protocol::codec::DecodeError;

    use super::*;

    #[test]
    fn causes_have_our_own_words() {
        let eof = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "peer closed, see https://docs.rs/");
        assert_eq!(Failure::from(eof).detail, "was lost: the broker ended it without saying goodbye");
        let alert = ConnectionError::Malformed(DecodeError::ReservedFlags(0x15));
        assert!(broken(false, &alert).detail.contains("speaks TLS"));
        assert!(!broken(true, &alert).detail.contains("speaks TLS"));
    }
}

//! Why a run cannot be made, in words that say what to do.

use std::io;

use super::{scanner::NotMqtt, wire};

/// Why `gaugeline bench` ends without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The options make no sense together, or ask for too much.
    #[error("{0}")]
    Usage(String),
    /// The broker, the network or this machine would not.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The command line is at fault.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// The world is at fault.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}

/// Why one connection ended or never came to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the broker closed the connection")]
    Closed,
    #[error("{}", describe_io(.0))]
    Io(#[from] io::Error),
    #[error("TLS: {error}; {advice}", error = .0, advice = advise_tls(.0))]
    Tls(#[from] rustls::Error),
    #[error("the broker {0}")]
    NotMqtt(#[from] NotMqtt),
    #[error("login refused with code {code:#04x}: {meaning}", code = .0, meaning = wire::explain(*.0))]
    Login(u8),
    #[error("subscription refused with code {code:#04x}: {meaning}", code = .0, meaning = wire::explain(*.0))]
    Subscription(u8),
    #[error("the broker disconnected with code {code:#04x}: {meaning}", code = .0, meaning = wire::explain(*.0))]
    Disconnected(u8),
    #[error("the broker takes QoS {0} at most: use --qos {0}")]
    QosTooHigh(u8),
}

impl Broken {
    /// What ended a connection before the broker's CONNACK often has a reason that the bare error hides.
    pub(super) fn advise_unopened(&self, tls: bool) -> &'static str {
        let is_broken_off = match self {
            Self::Closed | Self::NotMqtt(_) => true,
            Self::Io(error) => is_broken_off(error),
            _ => false,
        };
        match (is_broken_off, tls) {
            (true, true) => "; is this a TLS port of MQTT, and does it ask for a client certificate?",
            (true, false) => "; does the port expect --tls, or another --mqtt version?",
            (false, _) => "",
        }
    }
}

fn is_broken_off(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: nobody listens there; check --host and --port".into()
        }
        _ if is_broken_off(error) => {
            "the broker broke the connection off: look at its log for the reason".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "no free local port: wait a minute for old connections to expire, or use fewer connections".into()
        }
        _ => error.to_string(),
    }
}

fn advise_tls(error: &rustls::Error) -> &'static str {
    use rustls::{AlertDescription, CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "--cafile does not hold the authority that signed the broker's certificate"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "use as --host a name that the broker's certificate holds",
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "renew the broker's certificate, and check both clocks"
        }
        Error::InvalidCertificate(_) => {
            "the broker's certificate is not acceptable; --insecure skips the check"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the broker asks for a client certificate, which bench does not have"
        }
        Error::InvalidMessage(_) => "the port may not speak TLS: try without --tls",
        _ => "look at the broker's log",
    }
}

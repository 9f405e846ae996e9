//! The byte stream to a broker, with or without TLS, and what to tell the user when there is none.

use std::{io, time::Duration};

use rustls::{CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::Target;
use crate::failure::Failure;

/// How long connecting may take, the TLS handshake and the broker's answer to CONNECT each: longer than any network
/// that works needs, short enough for a person to wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// A stream of bytes in both directions.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects, and secures the connection if the target asks for it.
pub(super) async fn connect(target: &Target) -> Result<Box<dyn Transport>, Failure> {
    let (host, port) = (target.host.as_str(), target.port);
    let stream = within(TcpStream::connect((host, port))).await.map_err(|error| {
        Failure::failed(format!("cannot connect to {host} port {port}: {}", explain_tcp(&error)))
    })?;
    stream.set_nodelay(true).map_err(Failure::failed)?;
    let Some(config) = &target.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::usage(format!("`{host}` is not a host name that a certificate can hold")))?;
    let stream = within(TlsConnector::from(config.clone()).connect(name, stream)).await.map_err(|error| {
        Failure::failed(format!("no TLS with {host} port {port}: {}", explain_tls(&error)))
    })?;
    Ok(Box::new(stream))
}

/// Gives up after [`PATIENCE`].
async fn within<T>(action: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {PATIENCE:?}"));
    timeout(PATIENCE, action).await.unwrap_or_else(|_| Err(late()))
}

/// The system's text and what it usually means.
fn explain_tcp(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{error}: nothing listens there. `gaugeline up` starts a broker")
        }
        _ => error.to_string(),
    }
}

/// The text of the TLS library and what it usually means.
fn explain_tls(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let hint = match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => match cause {
            CertificateError::UnknownIssuer => {
                "no authority that you trust issued the broker's certificate: give its pki/ca.crt with --cafile"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the broker's certificate is for another host name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the broker's certificate is out of date"
            }
            _ => "the broker's certificate is not acceptable",
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "the port does not speak TLS; without TLS it is usually 1883"
        }
        Some(rustls::Error::AlertReceived(_)) => "the broker refuses; does it ask for a client certificate?",
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the broker ended the connection: does it speak TLS on this port?"
        }
        _ => return error.to_string(),
    };
    format!("{hint} ({error})")
}

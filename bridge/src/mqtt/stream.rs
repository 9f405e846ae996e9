//! A byte stream to the broker: TCP, or TLS over it; and what to say when there is none.

use std::{io, path::Path, sync::Arc};

use rustls::{CertificateError, ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::failure::Failure;
use crate::{
    config::{BrokerUrl, MqttConfig},
    tls::{self, TlsError},
};

/// TCP or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How to reach the broker.
pub(super) struct Connector {
    url: BrokerUrl,
    ca: Option<std::path::PathBuf>,
    tls: Option<TlsConnector>,
    timeout: std::time::Duration,
}

impl Connector {
    pub(super) fn new(config: &MqttConfig) -> Result<Self, TlsError> {
        let tls = match config.url.tls {
            true => {
                let certificate = config
                    .certificate
                    .as_ref()
                    .map(|(certificate, key)| (certificate.as_path(), key.as_path()));
                let config: ClientConfig = tls::client_config(config.ca.as_deref(), certificate)?;
                Some(TlsConnector::from(Arc::new(config)))
            }
            false => None,
        };
        Ok(Self { url: config.url.clone(), ca: config.ca.clone(), tls, timeout: config.connect_timeout })
    }

    /// Connects within the configured time.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        match tokio::time::timeout(self.timeout, self.connect_untimed()).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = self.timeout.as_secs();
                Err(Failure::passing(
                    "unreachable",
                    format!("{} does not answer within {seconds} s", self.url),
                ))
            }
        }
    }

    async fn connect_untimed(&self) -> Result<Box<dyn Stream>, Failure> {
        let BrokerUrl { host, port, .. } = &self.url;
        let unreachable =
            |error| Failure::passing("unreachable", format!("cannot be established: {}: {error}", self.url));
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        // Acknowledgements are written in one piece already.
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some(connector) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Failure::lasting("tls", format!("{host:?} cannot be the name in a certificate")))?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// A failed handshake in words that say what to change.
    fn explain(&self, error: &io::Error) -> Failure {
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Self { url, ca, .. } = self;
        let trusted = match ca.as_deref().map(Path::display) {
            Some(ca) => format!("`ca` ({ca})"),
            None => "the system's certificates (no `ca` is configured)".to_owned(),
        };
        let detail = match cause {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => format!("{url}: the broker's certificate is not signed by {trusted}"),
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!("{url}: the broker's certificate is not for the name {:?}: {error}", url.host),
            Some(rustls::Error::InvalidCertificate(_)) => format!("{url}: the broker's certificate: {error}"),
            Some(rustls::Error::InvalidMessage(_)) => {
                format!("{url}: what answers does not speak TLS: is it mqtt:// and another port?")
            }
            Some(rustls::Error::AlertReceived(_)) => {
                format!(
                    "{url}: the broker refuses the handshake ({error}): does it want a client certificate?"
                )
            }
            _ => return Failure::passing("unreachable", format!("{url}: TLS handshake: {error}")),
        };
        Failure::lasting("tls", detail)
    }
}

//! How a listener encrypts, as plain data.

use std::path::{Path, PathBuf};

use rustls::SupportedProtocolVersion;

use super::ciphers::Ciphers;

/// How a listener encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM: the server's certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate, not encrypted.
    pub key: PathBuf,
    /// PEM: the authorities that client certificates must lead to. What is no authority there is left out with a note.
    pub ca: Option<PathBuf>,
    /// A directory with such files, under names as `openssl rehash` gives them (`1234abcd.0`); whatever else is in it does
    /// not matter.
    pub ca_directory: Option<PathBuf>,
    /// PEM: lists of revoked client certificates, signed by their issuers. With it, a client certificate whose issuer has
    /// no valid list in it is refused, as by OpenSSL with `X509_V_FLAG_CRL_CHECK`.
    pub crl: Option<PathBuf>,
    /// Whether clients show certificates; if so, there must be a `ca` or a `ca_directory`.
    pub client_certificate: ClientCertificate,
    /// At least one must be set.
    pub versions: TlsVersions,
    /// Which ciphers, in the order of preference.
    pub ciphers: Ciphers,
    /// What to do with a private key that others can read.
    pub readable_key: ReadableKey,
    /// What is spoken inside.
    pub application: Application,
}

impl TlsConfig {
    /// TLS of both versions for MQTT, without client certificates.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            ca: None,
            ca_directory: None,
            crl: None,
            client_certificate: ClientCertificate::default(),
            versions: TlsVersions::default(),
            ciphers: Ciphers::default(),
            readable_key: ReadableKey::default(),
            application: Application::default(),
        }
    }

    /// Every file and directory that is read, for those who watch them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let optional = [&self.ca, &self.ca_directory, &self.crl];
        [&self.certificate, &self.key].into_iter().chain(optional.into_iter().flatten()).map(PathBuf::as_path)
    }
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    /// They are not asked for one.
    #[default]
    NotAsked,
    /// They may show one; then it must be valid.
    Optional,
    /// They must show one.
    Required,
}

/// What to do with a private key that other users of the machine can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadableKey {
    /// Not to use it.
    #[default]
    Refused,
    /// To use it and say so.
    Warned,
}

/// What is spoken inside TLS, for clients that ask for a protocol by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Application {
    /// MQTT.
    #[default]
    Mqtt,
    /// HTTP, for WebSocket.
    WebSocket,
}

impl Application {
    /// The name in TLS [IANA, ALPN protocol IDs]. A client need not offer a protocol, but if it offers some, this must be
    /// among them [RFC 7301, section 3.2].
    pub(super) const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Mqtt => b"mqtt",
            Self::WebSocket => b"http/1.1",
        }
    }
}

/// Which versions of TLS a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersions {
    /// TLS 1.2 [RFC 5246].
    pub v1_2: bool,
    /// TLS 1.3 [RFC 8446].
    pub v1_3: bool,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { v1_2: true, v1_3: true }
    }
}

impl TlsVersions {
    pub(super) fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        let pairs = [(self.v1_3, &rustls::version::TLS13), (self.v1_2, &rustls::version::TLS12)];
        pairs.into_iter().filter_map(|(wanted, version)| wanted.then_some(version)).collect()
    }
}

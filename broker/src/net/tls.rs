//! The TLS side of a listener: from PEM files to a rustls configuration.
//!
//! Session tickets are stateless and on for both versions: a reconnecting client skips the expensive half of the
//! handshake, and the broker keeps nothing for it. Their keys live in the configuration: loading it anew, as a reload
//! does, ends resumption of sessions from before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::file_error::FileError;

/// The name of MQTT in TLS [IANA, ALPN protocol IDs]. A client need not offer a protocol, but if it offers some, this
/// must be among them [RFC 7301, section 3.2].
const ALPN_MQTT: &[u8] = b"mqtt";

/// How a listener encrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM: the server's certificate, then those between it and the root.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate, not encrypted.
    pub key: PathBuf,
    /// PEM: the roots that client certificates must lead to.
    pub ca: Option<PathBuf>,
    /// Whether a client must show a certificate; then `ca` must be there. If false, none is asked for, as by mosquitto.
    pub require_certificate: bool,
    /// At least one must be set.
    pub versions: TlsVersions,
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
    fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        let pairs = [(self.v1_3, &rustls::version::TLS13), (self.v1_2, &rustls::version::TLS12)];
        pairs.into_iter().filter_map(|(wanted, version)| wanted.then_some(version)).collect()
    }
}

/// Reads the files and builds what `tokio_rustls::TlsAcceptor` needs. Errors name the file at fault.
pub fn server_config(tls: &TlsConfig) -> Result<Arc<ServerConfig>, FileError> {
    let provider = Arc::new(ring::default_provider());
    let certified = certified_key(tls, &provider)?;
    let verifier = client_verifier(tls, &provider)?;
    let ticketer = ring::Ticketer::new().map_err(|error| {
        FileError::whole(&tls.key, format_args!("no keys for session tickets ({error})"), "random numbers")
    })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&tls.versions.supported())
        .map_err(|error| FileError::whole(&tls.certificate, error, "TLS 1.2, TLS 1.3 or both"))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_MQTT.to_vec()];
    config.ticketer = ticketer;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One ticket is enough: a client has one connection.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn certified_key(tls: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, FileError> {
    let chain = certificates(&tls.certificate)?;
    let expected = "the private key of the certificate in PEM, not encrypted";
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| match error {
        pem::Error::NoItemsFound => FileError::whole(&tls.key, "no private key", expected),
        error => from_pem(&tls.key, &error, expected),
    })?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        let found = format_args!("a private key that cannot be used ({error})");
        FileError::whole(&tls.key, found, "an ECDSA, Ed25519 or RSA key")
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let found =
                format_args!("a key that does not match the certificate {}", tls.certificate.display());
            Err(FileError::whole(&tls.key, found, "the private key of that certificate"))
        }
        Err(error) => {
            let found = format_args!("a certificate that cannot be read ({error})");
            Err(FileError::whole(&tls.certificate, found, "an X.509 certificate, version 3"))
        }
    }
}

fn client_verifier(
    tls: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let ca = match &tls.ca {
        Some(ca) if tls.require_certificate => ca,
        None if tls.require_certificate => {
            let expected = "roots that client certificates must lead to (`ca`)";
            return Err(FileError::whole(&tls.certificate, "`require_certificate` without `ca`", expected));
        }
        _ => return Ok(WebPkiClientVerifier::no_client_auth()),
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| {
            let found = format_args!("a certificate that cannot be a root ({error})");
            FileError::whole(ca, found, "certificates of certificate authorities")
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|error| FileError::whole(ca, error, "certificates of certificate authorities"))
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let expected = "certificates in PEM, the server's own first";
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| from_pem(path, &error, expected))?;
    if certificates.is_empty() {
        return Err(FileError::whole(path, "no certificate", expected));
    }
    Ok(certificates)
}

fn from_pem(path: &Path, error: &pem::Error, expected: &str) -> FileError {
    match error {
        pem::Error::Io(error) => FileError::unreadable(path, error),
        error => FileError::whole(path, format_args!("damaged PEM ({error})"), expected),
    }
}

#[cfg(test)]
mod tests;

//! TLS as a client, for the broker and for InfluxDB alike: rustls with ring, TLS 1.2 and 1.3.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read or is not PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The file has no certificate.
    #[error("{}: no certificate found, and PEM with BEGIN CERTIFICATE was expected", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate or key cannot be used.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The platform has no list of certificates to trust.
    #[error("the system has no certificates to trust: name those to trust with `ca`")]
    NoPlatformCertificates,
    /// The TLS library cannot be used.
    #[error("TLS: {0}")]
    Library(#[source] rustls::Error),
}

/// Trusts the certificates in `ca`, or else the platform's. `certificate` is our own, with its key.
pub(crate) fn client_config(
    ca: Option<&Path>,
    certificate: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let roots = match ca {
        Some(path) => roots(path)?,
        None => platform_roots()?,
    };
    let builder = builder()?.with_root_certificates(roots);
    let Some((path, key_path)) = certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|source| TlsError::Pem { path: key_path.to_owned(), source })?;
    builder
        .with_client_auth_cert(certificates(path)?, key)
        .map_err(|source| TlsError::Unusable { path: path.to_owned(), source })
}

/// For HTTP clients, which want to have TLS even if their only server has none: every handshake would fail.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, TlsError> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn platform_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoPlatformCertificates) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |source| TlsError::Pem { path: path.to_owned(), source };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(error)?.collect::<Result<_, _>>().map_err(error)?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

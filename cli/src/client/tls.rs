//! Which broker certificates a client accepts, and the certificate that it presents itself.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::failure::Failure;

/// What a TLS client is given on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Use TLS, and trust the authority in this PEM file (`pki/ca.crt`) and no other
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) cafile: Option<std::path::PathBuf>,
    /// Use TLS, and trust the authorities that this machine trusts
    #[arg(long, alias = "tls-use-os-certs", conflicts_with = "cafile", help_heading = "TLS")]
    pub(crate) tls: bool,
    /// Accept a certificate that was issued for another host name; its issuer is still checked
    #[arg(long, help_heading = "TLS")]
    pub(crate) insecure: bool,
    /// The client's own certificate (PEM), for a broker that asks for one
    #[arg(long, value_name = "FILE", requires = "key", help_heading = "TLS")]
    pub(crate) cert: Option<std::path::PathBuf>,
    /// The private key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    pub(crate) key: Option<std::path::PathBuf>,
}

impl Arguments {
    /// Whether any option asks for TLS.
    pub(crate) fn any(&self) -> bool {
        self.tls || self.cafile.is_some() || self.cert.is_some()
    }

    /// The client configuration that the options describe.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, Failure> {
        let roots = match &self.cafile {
            Some(path) => file_roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(Failure::configuration)?;
        let verifier: Arc<dyn ServerCertVerifier> =
            if self.insecure { Arc::new(AnyHostName(verifier)) } else { verifier };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Failure::failed)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = read_certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unusable(key, "a private key", &error))?;
                builder.with_client_auth_cert(chain, key).map_err(Failure::configuration)?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

/// The authorities in a PEM file.
fn file_roots(path: &Path) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, "a CA certificate", &error))?;
    }
    Ok(roots)
}

/// The authorities that the system trusts; those that cannot be used are left out.
fn system_roots() -> Result<RootCertStore, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(Failure::configuration(
            "this machine has no list of trusted authorities: name the broker's with --cafile FILE",
        ));
    }
    Ok(roots)
}

/// All certificates of a PEM file; at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, "a certificate", &error))?;
    if certificates.is_empty() {
        return Err(unusable(path, "a certificate", &"there is none"));
    }
    Ok(certificates)
}

/// A PEM file without what is expected in it.
fn unusable(path: &Path, expected: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::configuration(format!("{}: expected {expected} in PEM: {error}", path.display()))
}

/// Checks everything but the host name.
#[derive(Debug)]
struct AnyHostName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHostName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::{CertificateError, Error};
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The verifier looks at the name last, when all else is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

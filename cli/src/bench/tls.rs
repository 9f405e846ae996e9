//! TLS as the clients of a run speak it: whom to trust, and a full handshake each time.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::{failure::Failure, options::Options};

/// The client's side of TLS, and the name that the broker's certificate must hold; `None` without `--tls`.
pub(super) fn configure(
    options: &Options,
) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, Failure> {
    if !options.tls {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::failed(format!("TLS: {error}")))?;
    let builder = match (&options.cafile, options.insecure) {
        (_, true) => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider))),
        (Some(path), false) => builder.with_root_certificates(authorities(path)?),
        (None, false) => {
            return Err(Failure::usage("--tls needs --cafile FILE, or --insecure to trust anyone"));
        }
    };
    let mut config = builder.with_no_client_auth();
    // Each connection costs the broker a full handshake: that is what is to be measured.
    config.resumption = Resumption::disabled();
    let name = ServerName::try_from(options.host.clone()).map_err(|_| {
        Failure::usage(format!("--host {:?} is no name that a certificate can hold", options.host))
    })?;
    Ok(Some((Arc::new(config), name)))
}

fn authorities(path: &Path) -> Result<RootCertStore, Failure> {
    let failed = |what: &dyn std::fmt::Display| {
        Failure::failed(format!("--cafile {}: {what}; it must be a PEM file of certificates", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() { Err(failed(&"no certificate in it")) } else { Ok(roots) }
}

/// Checks that the broker holds the key of its certificate, whoever signed it.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

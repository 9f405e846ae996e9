//! Chains from client certificates to authorities that are valid at the time.
//!
//! The check of chains takes trust anchors as they are and does not ask whether they have ended.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls::{
    CertificateError, Error, OtherError, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::facts::{Facts, seconds};

/// Verifies chains.
#[derive(Debug)]
pub(super) struct Chains {
    /// With all authorities, be they valid or not.
    all: Arc<dyn ClientCertVerifier>,
    /// With those that were valid when it was last asked. It changes with the hours, not with the handshakes.
    valid: Mutex<Option<(Vec<CertificateDer<'static>>, Arc<dyn ClientCertVerifier>)>>,
    provider: Arc<CryptoProvider>,
}

/// The client's certificate is that of an authority whose own time is over or has not come.
#[derive(Debug, thiserror::Error)]
#[error("the authority of the certificate is not valid now")]
struct AuthorityNotValid;

impl Chains {
    /// `optional`: clients may show no certificate.
    pub(super) fn new(
        roots: RootCertStore,
        optional: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let builder = if optional { builder.allow_unauthenticated() } else { builder };
        Ok(Self { all: builder.build()?, valid: Mutex::new(None), provider })
    }

    /// What does not depend on the time.
    pub(super) fn rules(&self) -> &dyn ClientCertVerifier {
        self.all.as_ref()
    }

    /// Whether a certificate of version 3 leads to one of these authorities at a time when both are valid.
    pub(super) fn verify(
        &self,
        authorities: &[CertificateDer<'static>],
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.all.verify_client_cert(leaf, intermediates, now)?;
        let valid = authorities.iter().filter(|authority| is_valid(authority, now)).cloned();
        let valid = valid.collect::<Vec<_>>();
        if valid.len() == authorities.len() {
            return Ok(());
        }
        let leads_to_valid =
            self.with(valid).map(|chains| chains.verify_client_cert(leaf, intermediates, now));
        match leads_to_valid {
            Some(Ok(_)) => Ok(()),
            _ => Err(CertificateError::Other(OtherError(Arc::new(AuthorityNotValid))).into()),
        }
    }

    /// `None` without any.
    fn with(&self, authorities: Vec<CertificateDer<'static>>) -> Option<Arc<dyn ClientCertVerifier>> {
        let mut valid = self.valid.lock();
        if let Some((of, chains)) = &*valid
            && *of == authorities
        {
            return Some(Arc::clone(chains));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&self.provider));
        let chains = builder.build().ok()?;
        *valid = Some((authorities, Arc::clone(&chains)));
        Some(chains)
    }
}

/// Whether the time of a certificate has come and is not over.
pub(super) fn is_valid(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    Facts::of(certificate).is_some_and(|facts| (facts.not_before..=facts.not_after).contains(&seconds(now)))
}

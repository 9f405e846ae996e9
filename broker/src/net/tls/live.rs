//! What a listener's handshakes use now, and the certificates of clients that came in with it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, Error, ServerConnection,
    pki_types::{CertificateDer, UnixTime},
    server::danger::ClientCertVerifier as _,
};
use tokio_rustls::TlsAcceptor;

use super::prepare::{Material, Prepared, Validity};

/// The TLS of a listener, replaced as a whole.
#[derive(Debug)]
pub struct LiveTls {
    current: ArcSwap<Material>,
}

/// The certificate that a client has shown, and all that it takes to ask again whether it is good.
#[derive(Debug)]
pub struct PeerCertificate {
    listener: Arc<LiveTls>,
    chain: Vec<CertificateDer<'static>>,
    verified_at: UnixTime,
}

impl LiveTls {
    /// To begin with.
    pub fn new(prepared: Prepared) -> Self {
        Self { current: ArcSwap::new(prepared.material) }
    }

    /// Makes this what the next handshakes use. Connections stay; ask [`PeerCertificate::is_trusted`] for each afterwards.
    /// `false` if nothing is different.
    pub fn install(&self, prepared: Prepared) -> bool {
        let before = self.current.swap(Arc::clone(&prepared.material));
        before.digest != prepared.material.digest
    }

    /// For one handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().server))
    }

    /// How long the files that are in use are valid.
    pub fn validities(&self) -> Vec<Validity> {
        self.current.load().validities.clone()
    }

    /// The client's certificate after a handshake, if it has shown one.
    ///
    /// # Errors
    /// The certificate has ended, or was revoked, since the session that the client resumes was made.
    pub fn peer_certificate(
        self: &Arc<Self>,
        connection: &ServerConnection,
        now: UnixTime,
    ) -> Result<Option<Arc<PeerCertificate>>, Error> {
        let Some(chain) = connection.peer_certificates() else { return Ok(None) };
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
        if connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
            && let Some(trust) = &self.current.load().trust
        {
            trust.verify_client_cert(leaf, intermediates, now)?;
        }
        Ok(Some(Arc::new(PeerCertificate {
            listener: Arc::clone(self),
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            verified_at: now,
        })))
    }

    pub(super) fn material(&self) -> Arc<Material> {
        self.current.load_full()
    }
}

impl PeerCertificate {
    /// Whether what the listener uses now still trusts the certificate: it leads to an authority and is not revoked. That
    /// it has ended since it was shown ends no connection.
    pub fn is_trusted(&self) -> bool {
        let current = self.listener.current.load();
        current.trust.as_ref().is_none_or(|trust| trust.still_trusts(&self.chain, self.verified_at))
    }

    /// The certificate itself.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

//! What a listener's handshakes use now, and the certificates of clients that came in with it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, Error, HandshakeKind, ServerConnection,
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

/// One handshake: the certificate is judged by what it was made with.
#[derive(Debug)]
pub struct Handshake {
    listener: Arc<LiveTls>,
    material: Arc<Material>,
}

/// The certificate that a client has shown, and all that it takes to ask again whether it is good.
#[derive(Debug)]
pub struct PeerCertificate {
    listener: Arc<LiveTls>,
    /// The first is the client's own.
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    verified_at: UnixTime,
    /// The authorities that it led to then, by their digest.
    verified_by: [u8; 32],
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

    /// What one handshake uses from its beginning to its end, whatever is installed meanwhile.
    pub fn begin(self: &Arc<Self>) -> Handshake {
        Handshake { listener: Arc::clone(self), material: self.material() }
    }

    /// How long the files that are in use are valid.
    pub fn validities(&self) -> Vec<Validity> {
        self.current.load().validities.clone()
    }

    pub(super) fn material(&self) -> Arc<Material> {
        self.current.load_full()
    }
}

impl Handshake {
    /// Does the handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.material.server))
    }

    /// The client's certificate after a handshake, if it has shown one.
    ///
    /// # Errors
    /// The certificate has ended, or was revoked, since the session that the client resumes was made.
    pub fn peer_certificate(
        &self,
        connection: &ServerConnection,
        now: UnixTime,
    ) -> Result<Option<Arc<PeerCertificate>>, Error> {
        let Some(chain) = connection.peer_certificates() else { return Ok(None) };
        let (leaf, intermediates) = chain.split_first().ok_or(CertificateError::BadEncoding)?;
        let Some(trust) = &self.material.trust else { return Ok(None) };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            trust.verify_client_cert(leaf, intermediates, now)?;
        }
        let owned = |certificate: &CertificateDer<'_>| certificate.clone().into_owned();
        Ok(Some(Arc::new(PeerCertificate {
            listener: Arc::clone(&self.listener),
            leaf: owned(leaf),
            intermediates: intermediates.iter().map(owned).collect(),
            verified_at: now,
            verified_by: trust.authorities_digest(),
        })))
    }
}

impl PeerCertificate {
    /// Whether what the listener uses now still trusts the certificate: it leads to an authority and is not revoked. That
    /// it has ended since it was shown ends no connection.
    pub fn is_trusted(&self) -> bool {
        let current = self.listener.current.load();
        let Some(trust) = &current.trust else { return true };
        if trust.revokes(&self.leaf, &self.intermediates) {
            return false;
        }
        // The same authorities would say the same: that is the case after every change of a revocation list.
        trust.authorities_digest() == self.verified_by
            || trust.verify_chain(&self.leaf, &self.intermediates, self.verified_at).is_ok()
    }

    /// The certificate itself.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }
}

//! Which client certificates are good: their authorities, their revocation, and the certificates of version 1 that
//! OpenSSL accepts and webpki does not.

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use sha2::{Digest as _, Sha256};
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};

use super::{
    chains::{Chains, is_valid},
    facts::{self, Facts, parse, seconds},
    revocation::Revocations,
};

/// Decides on client certificates.
#[derive(Debug)]
pub(crate) struct ClientTrust {
    /// Chain, time and usage of certificates of version 3.
    chains: Chains,
    authorities: Vec<CertificateDer<'static>>,
    authorities_digest: [u8; 32],
    revocations: Option<Revocations>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientTrust {
    pub(super) fn new(
        chains: Chains,
        authorities: Vec<CertificateDer<'static>>,
        revocations: Option<Revocations>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut sum = Sha256::new();
        for authority in &authorities {
            sum.update(authority.len().to_le_bytes());
            sum.update(authority);
        }
        let authorities_digest = sum.finalize().into();
        Self { chains, authorities, authorities_digest, revocations, algorithms }
    }

    /// The lists, if there are any.
    pub(super) fn revocations(&self) -> Option<&Revocations> {
        self.revocations.as_ref()
    }

    /// Its authorities.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Tells other authorities from these.
    pub(super) fn authorities_digest(&self) -> [u8; 32] {
        self.authorities_digest
    }

    /// Whether a certificate is revoked, be the list out of date or not.
    pub(super) fn revokes(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        let Some(revocations) = &self.revocations else { return false };
        revocations.revokes(leaf, intermediates)
    }

    /// Whether the certificate leads to an authority and is valid at this time; nothing about revocation.
    pub(super) fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        match Facts::of(leaf) {
            Some(facts) => self.verify(leaf, &facts, intermediates, now),
            None => Err(CertificateError::BadEncoding.into()),
        }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        facts: &Facts,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if facts.is_version_1 {
            return self.verify_version_1(leaf, facts, now);
        }
        self.chains.verify(&self.authorities, leaf, intermediates, now)
    }

    /// Such a certificate has no extensions: there is nothing that could limit its use. It must be signed by one of our
    /// authorities itself.
    fn verify_version_1(&self, leaf: &CertificateDer<'_>, facts: &Facts, at: UnixTime) -> Result<(), Error> {
        let now = seconds(at);
        if now < facts.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > facts.not_after {
            return Err(CertificateError::Expired.into());
        }
        let weak = parse(leaf).is_none_or(|parsed| {
            let algorithm = &parsed.signature_algorithm.algorithm;
            [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(algorithm)
        });
        if !weak
            && self
                .authorities
                .iter()
                .any(|authority| is_valid(authority, at) && facts::is_issued_by(leaf, authority))
        {
            return Ok(());
        }
        Err(CertificateError::UnknownIssuer.into())
    }
}

impl ClientCertVerifier for ClientTrust {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chains.rules().client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.rules().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify_chain(end_entity, intermediates, now)?;
        if let Some(revocations) = &self.revocations {
            revocations.check(end_entity, intermediates, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(facts) = Facts::of(certificate).filter(|facts| facts.is_version_1) else {
            return self.chains.rules().verify_tls12_signature(message, certificate, signed);
        };
        let (algorithm, key) = public_key(certificate, &facts).ok_or(CertificateError::BadEncoding)?;
        let of_scheme = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let verified = of_scheme.is_some_and(|(_, algorithms)| {
            algorithms
                .iter()
                .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm)
                .any(|candidate| candidate.verify_signature(&key, message, signed.signature()).is_ok())
        });
        if verified {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(facts) = Facts::of(certificate).filter(|facts| facts.is_version_1) else {
            return self.chains.rules().verify_tls13_signature(message, certificate, signed);
        };
        let key = SubjectPublicKeyInfoDer::from(facts.public_key.as_slice());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The algorithm of a public key, as [`rustls::pki_types::AlgorithmIdentifier`] holds it, and the key itself.
fn public_key(certificate: &CertificateDer<'_>, facts: &Facts) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = parse(certificate)?.public_key().subject_public_key.data.to_vec();
    let algorithm = der_content(der_content(&facts.public_key)?)?;
    Some((algorithm.to_vec(), key))
}

/// What is inside the DER value that `bytes` begin with.
fn der_content(bytes: &[u8]) -> Option<&[u8]> {
    let (first, rest) = bytes.get(1..)?.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (
                digits
                    .iter()
                    .try_fold(0_usize, |sum, digit| Some(sum.checked_mul(256)? + usize::from(*digit)))?,
                rest,
            )
        }
    };
    rest.get(..length)
}

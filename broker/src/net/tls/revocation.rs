//! Certificate revocation lists: which certificates their issuers have taken back.
//!
//! The check is that of OpenSSL with `X509_V_FLAG_CRL_CHECK`, which mosquitto sets: of the leaf alone, by the list of its
//! issuer, which must be there and not out of date. Lists of version 1, which `openssl ca -gencrl` makes by default, count
//! too.

use std::{collections::HashSet, path::Path};

use foldhash::fast::RandomState;
use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
};
use x509_parser::{
    prelude::{CertificateRevocationList, FromDer as _},
    x509::ReasonCode,
};

use super::{
    facts::{self, Facts, significant},
    pem_file,
};
use crate::file_error::FileError;

/// All lists of a file.
#[derive(Debug)]
pub(crate) struct Revocations {
    lists: Vec<RevocationList>,
    authorities: Vec<CertificateDer<'static>>,
}

#[derive(Debug)]
struct RevocationList {
    der: CertificateRevocationListDer<'static>,
    /// As it is encoded.
    issuer: Vec<u8>,
    /// Seconds since 1970; a list without it never ends.
    next_update: Option<i64>,
    /// Serial numbers without leading zeros.
    revoked: HashSet<Box<[u8]>, RandomState>,
    /// The public keys of those of our authorities whose signature it has. If there are none, its issuer is one that the
    /// client shows. The name alone is not enough: several authorities may have the same.
    signers: Vec<Vec<u8>>,
}

impl Revocations {
    /// Reads the lists of a file and checks those that `authorities` have signed.
    pub(super) fn load(path: &Path, authorities: &[CertificateDer<'static>]) -> Result<Self, FileError> {
        let mut lists = Vec::new();
        for (index, der) in pem_file::revocation_lists(path)?.into_iter().enumerate() {
            let number = index + 1;
            let mut list = RevocationList::parse(der).ok_or_else(|| {
                let found = format_args!("revocation list {number}, which cannot be parsed");
                FileError::whole(path, found, "certificate revocation lists of X.509, version 1 or 2")
            })?;
            let namesakes = || authorities.iter().filter(|authority| list.names(authority));
            let signers = namesakes().filter(|authority| list.is_signed_by(authority)).filter_map(public_key);
            let signers = signers.collect::<Vec<_>>();
            if signers.is_empty() && namesakes().next().is_some() {
                let found = format_args!(
                    "revocation list {number} with a signature that is not its issuer's (another authority of the \
                     same name?)"
                );
                return Err(FileError::whole(path, found, "lists signed by an authority of `ca`"));
            }
            list.signers = signers;
            lists.push(list);
        }
        Ok(Self { lists, authorities: authorities.to_vec() })
    }

    /// The first time at which a list is out of date.
    pub(super) fn next_update(&self) -> Option<i64> {
        self.lists.iter().filter_map(|list| list.next_update).min()
    }

    /// The lists as they are encoded.
    pub(super) fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        self.lists.iter().map(|list| list.der.as_ref())
    }

    /// Refuses a certificate that is revoked, or whose issuer has no list that is valid now. `intermediates` are those
    /// that the client showed.
    pub(super) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let facts = Facts::of(leaf).ok_or(CertificateError::BadEncoding)?;
        let mut answer = Err(CertificateError::UnknownRevocationStatus);
        for list in self.of_issuer(leaf, &facts, intermediates) {
            if list.revoked.contains(facts.serial.as_slice()) {
                return Err(CertificateError::Revoked.into());
            }
            if list.next_update.is_none_or(|end| facts::seconds(now) < end) {
                answer = Ok(());
            } else if answer.is_err() {
                answer = Err(CertificateError::ExpiredRevocationList);
            }
        }
        answer.map_err(Error::from)
    }

    /// Whether a certificate is revoked, be its list out of date or not. One that cannot be read counts as revoked.
    pub(super) fn revokes(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        let Some(facts) = Facts::of(leaf) else { return true };
        let revoked = |list: &RevocationList| list.revoked.contains(facts.serial.as_slice());
        self.of_issuer(leaf, &facts, intermediates).into_iter().any(revoked)
    }

    /// The lists that were signed with the key that has signed the certificate.
    fn of_issuer(
        &self,
        leaf: &CertificateDer<'_>,
        facts: &Facts,
        intermediates: &[CertificateDer<'_>],
    ) -> Vec<&RevocationList> {
        let known = self.authorities.iter().chain(intermediates);
        let issuers = known.filter(|known| facts::is_issued_by(leaf, known)).collect::<Vec<_>>();
        let is_signed = |list: &RevocationList| {
            issuers.iter().any(|issuer| match public_key(issuer) {
                Some(key) if list.signers.contains(&key) => true,
                // It was compared with all of ours when it was read.
                _ => intermediates.contains(issuer) && list.is_signed_by(issuer),
            })
        };
        self.lists.iter().filter(|list| list.issuer == facts.issuer && is_signed(list)).collect()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    facts::parse(certificate).map(|parsed| parsed.public_key().raw.to_vec())
}

impl RevocationList {
    fn parse(der: CertificateRevocationListDer<'static>) -> Option<Self> {
        let (_, parsed) = CertificateRevocationList::from_der(&der).ok()?;
        // An entry that says that the certificate is off the list again belongs to lists of differences.
        let counts = |code: Option<(bool, ReasonCode)>| {
            code.is_none_or(|(_, reason)| reason != ReasonCode::RemoveFromCRL)
        };
        let revoked = parsed
            .iter_revoked_certificates()
            .filter(|entry| counts(entry.reason_code()))
            .map(|entry| significant(entry.raw_serial()).into())
            .collect();
        let issuer = parsed.issuer().as_raw().to_vec();
        let next_update = parsed.next_update().map(|time| time.timestamp());
        Some(Self { issuer, next_update, revoked, signers: Vec::new(), der })
    }

    /// Whether the certificate has the name of the list's issuer.
    fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        facts::parse(certificate).is_some_and(|parsed| parsed.subject().as_raw() == self.issuer)
    }

    fn is_signed_by(&self, certificate: &CertificateDer<'_>) -> bool {
        let list = CertificateRevocationList::from_der(&self.der);
        match (list, facts::parse(certificate)) {
            (Ok((_, list)), Some(issuer)) => list.verify_signature(issuer.public_key()).is_ok(),
            _ => false,
        }
    }
}

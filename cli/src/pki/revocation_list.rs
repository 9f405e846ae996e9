//! The list of revoked certificates, `pki/crl.pem`: read, extended and signed anew.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevocationReason, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject as _};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::REVOCATION_LIST;
use crate::{failure::Failure, files};

/// A revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Its serial number, without leading zeros.
    pub(crate) serial: Vec<u8>,
    /// When it was revoked.
    pub(crate) at: SystemTime,
    reason: Option<RevocationReason>,
}

/// The list of one authority, apart from its signature.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RevocationList {
    pub(crate) revoked: Vec<Revoked>,
    /// Increases with every signature.
    number: u64,
    /// How long the list on disk was meant to last; `None` for a new one.
    lasts: Option<Duration>,
}

impl RevocationList {
    /// The list of a data directory; an empty one if there is none.
    pub(crate) fn load(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(REVOCATION_LIST);
        if !files::exists(&path) {
            return Ok(Self::default());
        }
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::configuration(format!("{}: no usable revocation list: {error}", path.display()))
        };
        let text = files::read_text(&path)?;
        let der = CertificateRevocationListDer::from_pem_slice(text.as_bytes())
            .map_err(|error| unusable(&error))?;
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|error| unusable(&error))?;
        let revoked = list.iter_revoked_certificates().map(|entry| Revoked {
            serial: significant(entry.raw_serial()).to_vec(),
            at: time(entry.revocation_date.timestamp()),
            reason: entry.reason_code().and_then(|(_, code)| reason(code.0)),
        });
        let begins = list.last_update().timestamp();
        Ok(Self {
            revoked: revoked.collect(),
            number: list.crl_number().and_then(|number| number.try_into().ok()).unwrap_or_default(),
            lasts: list
                .next_update()
                .map(|end| Duration::from_secs(u64::try_from(end.timestamp() - begins).unwrap_or_default())),
        })
    }

    /// When a certificate was revoked, if it was.
    pub(crate) fn revoked_at(&self, serial: &[u8]) -> Option<SystemTime> {
        self.revoked.iter().find(|revoked| revoked.serial == serial).map(|revoked| revoked.at)
    }

    /// Adds a certificate.
    pub(crate) fn revoke(&mut self, serial: &[u8], at: SystemTime) {
        if self.revoked_at(serial).is_none() {
            self.revoked.push(Revoked { serial: serial.to_vec(), at, reason: None });
        }
    }

    /// Until when the next version is good: as long as the last one was meant to last, but not beyond the authority.
    pub(crate) fn end(&self, now: SystemTime, authority_ends: SystemTime) -> SystemTime {
        let wanted = self.lasts.and_then(|length| now.checked_add(length));
        wanted.map_or(authority_ends, |end| end.min(authority_ends))
    }

    /// The next version, signed, in PEM.
    pub(crate) fn sign(
        &self,
        issuer: &Issuer<'_, KeyPair>,
        now: SystemTime,
        end: SystemTime,
    ) -> Result<String, Failure> {
        let revoked_certs = self.revoked.iter().map(|revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial),
            revocation_time: revoked.at.into(),
            reason_code: revoked.reason,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: end.into(),
            crl_number: SerialNumber::from(self.number + 1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(issuer).and_then(|list| list.pem()).map_err(Failure::failed)
    }
}

/// A serial number without the zeros that only say that it is positive.
pub(super) fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// [RFC 5280, section 5.3.1]
fn reason(code: u8) -> Option<RevocationReason> {
    Some(match code {
        1 => RevocationReason::KeyCompromise,
        2 => RevocationReason::CaCompromise,
        3 => RevocationReason::AffiliationChanged,
        4 => RevocationReason::Superseded,
        5 => RevocationReason::CessationOfOperation,
        6 => RevocationReason::CertificateHold,
        8 => RevocationReason::RemoveFromCrl,
        9 => RevocationReason::PrivilegeWithdrawn,
        10 => RevocationReason::AaCompromise,
        _ => return None,
    })
}

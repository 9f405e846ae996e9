//! What a certificate says of itself, as far as the broker wants to know it.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

/// A parsed certificate, apart from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The subject, as it is encoded.
    pub(crate) subject: Vec<u8>,
    /// The issuer, as it is encoded.
    pub(crate) issuer: Vec<u8>,
    /// The serial number, without leading zeros.
    pub(crate) serial: Vec<u8>,
    /// The public key with its algorithm, as it is encoded.
    pub(crate) public_key: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970; the certificate is still valid in this second.
    pub(crate) not_after: i64,
    /// Whether it may be a server's, as far as it says something about that.
    pub(crate) serves: bool,
    /// X.509 version 1: no extensions, as `openssl x509 -req` makes it by default before OpenSSL 3.2.
    pub(crate) is_version_1: bool,
}

impl Facts {
    /// `None` if it is not an X.509 certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = parse(certificate)?;
        let serves = match parsed.extended_key_usage() {
            Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
            _ => true,
        };
        Some(Self {
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            serial: significant(parsed.raw_serial()).to_vec(),
            public_key: parsed.public_key().raw.to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            serves,
            is_version_1: parsed.version().0 == 0,
        })
    }
}

/// The certificate in the words of its parser; `None` if it is none.
pub(super) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
    rest.is_empty().then_some(parsed)
}

/// Whether the one certificate is signed with the key of the other, which has its issuer's name.
pub(super) fn is_issued_by(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Some(certificate), Some(issuer)) = (parse(certificate), parse(issuer)) else { return false };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// A serial number without the zeros that only say that it is positive.
pub(super) fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

/// The time in the unit of certificates.
pub(super) fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// A time of a certificate for people: `2026-11-22 10:00:00 UTC`.
pub(super) fn date(seconds: i64) -> String {
    match ASN1Time::from_timestamp(seconds) {
        Ok(time) => {
            let time = time.to_datetime();
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                time.year(),
                u8::from(time.month()),
                time.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
        }
        Err(_) => format!("second {seconds} since 1970"),
    }
}

//! User names from client certificates, as mosquitto makes them: the common name, or the whole subject in the form that
//! OpenSSL prints with `-nameopt RFC2253`.

use std::{fmt::Write as _, sync::Arc};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::{Any, Oid},
    oid_registry::OID_X509_COMMON_NAME,
    prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate},
};

/// Where a listener's clients have their user names from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentitySource {
    /// CONNECT, together with a password.
    #[default]
    Password,
    /// The common name of the client's certificate. User name and password of CONNECT do not matter.
    CommonName,
    /// The subject of the client's certificate [RFC 2253]. User name and password of CONNECT do not matter.
    Subject,
}

/// Why a certificate gives no user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It cannot be parsed.
    #[error("a client certificate that cannot be read")]
    Unreadable,
    /// The subject has no common name.
    #[error("a client certificate without a common name")]
    NoCommonName,
    /// The subject is empty: an empty user name would be that of all such certificates, and of nobody.
    #[error("a client certificate without a subject")]
    NoSubject,
    /// A NUL would end the name for other programs: `admin\0.example` must not be `admin`.
    #[error("a client certificate with a NUL in its common name")]
    Nul,
    /// Not UTF-8.
    #[error("a client certificate whose common name is empty or not UTF-8")]
    NotText,
}

/// The short names of OpenSSL for the parts of a subject; others are written as numbers.
const SHORT_NAMES: [(&[u64], &str); 37] = [
    (&[2, 5, 4, 3], "CN"),
    (&[2, 5, 4, 4], "SN"),
    (&[2, 5, 4, 5], "serialNumber"),
    (&[2, 5, 4, 6], "C"),
    (&[2, 5, 4, 7], "L"),
    (&[2, 5, 4, 8], "ST"),
    (&[2, 5, 4, 9], "street"),
    (&[2, 5, 4, 10], "O"),
    (&[2, 5, 4, 11], "OU"),
    (&[2, 5, 4, 12], "title"),
    (&[2, 5, 4, 13], "description"),
    (&[2, 5, 4, 15], "businessCategory"),
    (&[2, 5, 4, 16], "postalAddress"),
    (&[2, 5, 4, 17], "postalCode"),
    (&[2, 5, 4, 18], "postOfficeBox"),
    (&[2, 5, 4, 19], "physicalDeliveryOfficeName"),
    (&[2, 5, 4, 20], "telephoneNumber"),
    (&[2, 5, 4, 41], "name"),
    (&[2, 5, 4, 42], "GN"),
    (&[2, 5, 4, 43], "initials"),
    (&[2, 5, 4, 44], "generationQualifier"),
    (&[2, 5, 4, 45], "x500UniqueIdentifier"),
    (&[2, 5, 4, 46], "dnQualifier"),
    (&[2, 5, 4, 49], "distinguishedName"),
    (&[2, 5, 4, 51], "houseIdentifier"),
    (&[2, 5, 4, 65], "pseudonym"),
    (&[2, 5, 4, 72], "role"),
    (&[2, 5, 4, 97], "organizationIdentifier"),
    (&[1, 2, 840, 113549, 1, 9, 1], "emailAddress"),
    (&[1, 2, 840, 113549, 1, 9, 2], "unstructuredName"),
    (&[1, 2, 840, 113549, 1, 9, 8], "unstructuredAddress"),
    (&[0, 9, 2342, 19200300, 100, 1, 1], "UID"),
    (&[0, 9, 2342, 19200300, 100, 1, 3], "mail"),
    (&[0, 9, 2342, 19200300, 100, 1, 25], "DC"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 1], "jurisdictionL"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 2], "jurisdictionST"),
    (&[1, 3, 6, 1, 4, 1, 311, 60, 2, 1, 3], "jurisdictionC"),
];

/// Tags of ASN.1 [X.680].
const UTF8_STRING: u32 = 12;
const UNIVERSAL_STRING: u32 = 28;
const BMP_STRING: u32 = 30;
/// NumericString, PrintableString, TeletexString, IA5String, UTCTime, GeneralizedTime, VisibleString: OpenSSL takes each
/// byte for a character of Latin-1.
const ONE_BYTE_STRINGS: [u32; 7] = [18, 19, 20, 22, 23, 24, 26];

impl IdentitySource {
    /// The user name that the certificate gives; `None` if it is not to come from there.
    pub fn user(self, certificate: &CertificateDer<'_>) -> Option<Result<Arc<str>, NameError>> {
        let name: fn(&CertificateDer<'_>) -> Result<String, NameError> = match self {
            Self::Password => return None,
            Self::CommonName => common_name,
            Self::Subject => subject,
        };
        Some(name(certificate).map(Arc::from))
    }
}

/// The first common name of the subject.
///
/// # Errors
/// [`NameError`] if it is not a text that can be a user name.
fn common_name(certificate: &CertificateDer<'_>) -> Result<String, NameError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NameError::Unreadable)?;
    let first = parsed.subject().iter_by_oid(&OID_X509_COMMON_NAME).next().ok_or(NameError::NoCommonName)?;
    let bytes = first.as_slice();
    if bytes.contains(&0) {
        return Err(NameError::Nul);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NameError::NotText)?;
    if text.is_empty() {
        return Err(NameError::NotText);
    }
    Ok(text.to_owned())
}

/// The subject as `openssl x509 -subject -nameopt RFC2253` prints it: ASCII, the last part first.
///
/// # Errors
/// [`NameError::Unreadable`], or [`NameError::NoSubject`].
fn subject(certificate: &CertificateDer<'_>) -> Result<String, NameError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| NameError::Unreadable)?;
    let mut text = String::new();
    let parts = parsed.subject().iter_rdn().filter(|part| part.iter().next().is_some()).collect::<Vec<_>>();
    if parts.is_empty() {
        return Err(NameError::NoSubject);
    }
    for (index, part) in parts.iter().rev().enumerate() {
        let attributes = part.iter().collect::<Vec<_>>();
        for (position, attribute) in attributes.iter().rev().enumerate() {
            match (index, position) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            write_attribute(&mut text, attribute)?;
        }
    }
    Ok(text)
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Result<(), NameError> {
    let (kind, value) = (attribute.attr_type(), attribute.attr_value());
    let known = short_name(kind);
    match known {
        Some(name) => text.push_str(name),
        None => text.push_str(&kind.to_id_string()),
    }
    text.push('=');
    match known.and_then(|_| characters(value)) {
        Some(bytes) => write_escaped(text, &bytes?),
        None => write_dump(text, value),
    }
    Ok(())
}

fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    let numbers = kind.iter()?.collect::<Vec<_>>();
    SHORT_NAMES.iter().find(|(known, _)| *known == numbers.as_slice()).map(|(_, name)| *name)
}

/// The value in UTF-8; `None` if it is no string.
fn characters(value: &Any<'_>) -> Option<Result<Vec<u8>, NameError>> {
    let wide = |size: usize| {
        let mut text = String::new();
        if !value.data.len().is_multiple_of(size) {
            return Err(NameError::Unreadable);
        }
        for unit in value.data.chunks(size) {
            let number = unit.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            text.push(char::from_u32(number).ok_or(NameError::Unreadable)?);
        }
        Ok(text.into_bytes())
    };
    match value.tag().0 {
        UTF8_STRING => Some(Ok(value.data.to_vec())),
        BMP_STRING => Some(wide(2)),
        UNIVERSAL_STRING => Some(wide(4)),
        tag if ONE_BYTE_STRINGS.contains(&tag) => Some(wide(1)),
        _ => None,
    }
}

/// [RFC 2253, section 2.4], as OpenSSL does it: also control characters and everything beyond ASCII, in hexadecimal.
fn write_escaped(text: &mut String, bytes: &[u8]) {
    let last = bytes.len().saturating_sub(1);
    for (index, byte) in bytes.iter().enumerate() {
        let special = match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => true,
            b' ' => index == 0 || index == last,
            // OpenSSL takes a value of one character for its end.
            b'#' => index == 0 && last > 0,
            _ => false,
        };
        if special {
            text.push('\\');
            text.push(char::from(*byte));
        } else if byte.is_ascii_control() || !byte.is_ascii() {
            // Writing to a string does not fail.
            write!(text, "\\{byte:02X}").ok();
        } else {
            text.push(char::from(*byte));
        }
    }
}

/// `#` and the value as it is encoded [RFC 2253, section 2.4].
fn write_dump(text: &mut String, value: &Any<'_>) {
    let tag = value.tag().0 as u8 | if value.header.is_constructed() { 0x20 } else { 0 };
    let mut encoded = vec![tag];
    match u8::try_from(value.data.len()) {
        Ok(short @ 0..=0x7f) => encoded.push(short),
        _ => {
            let length = value.data.len().to_be_bytes();
            let digits = length.iter().skip_while(|digit| **digit == 0).copied().collect::<Vec<_>>();
            encoded.push(0x80 | digits.len() as u8);
            encoded.extend(digits);
        }
    }
    encoded.extend(value.data);
    text.push('#');
    for byte in encoded {
        write!(text, "{byte:02X}").ok();
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, string::BmpString};

    use super::*;

    fn certificate(parts: &[(DnType, DnValue)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn text(value: &str) -> DnValue {
        DnValue::Utf8String(value.to_owned())
    }

    #[test]
    fn common_names() {
        let named = |value: DnValue| common_name(&certificate(&[(DnType::CommonName, value)]));
        for name in ["sensor", "Zo\u{eb} 1", "a=b,c"] {
            assert_eq!(named(text(name)).as_deref(), Ok(name));
        }
        assert_eq!(named(text("admin\0.example")), Err(NameError::Nul));
        assert_eq!(named(text("")), Err(NameError::NotText));
        assert_eq!(named(DnValue::BmpString(BmpString::try_from("a").unwrap())), Err(NameError::Nul));
        let none = certificate(&[(DnType::OrganizationName, text("o"))]);
        assert_eq!(common_name(&none), Err(NameError::NoCommonName));
        assert_eq!(common_name(&CertificateDer::from(vec![1, 2, 3])), Err(NameError::Unreadable));
    }

    #[test]
    fn an_empty_subject_is_no_name() {
        let empty = certificate(&[]);
        assert_eq!(IdentitySource::Subject.user(&empty), Some(Err(NameError::NoSubject)));
        assert_eq!(IdentitySource::CommonName.user(&empty), Some(Err(NameError::NoCommonName)));
    }

    #[test]
    fn the_listener_says_which_name_counts() {
        let certificate =
            certificate(&[(DnType::CommonName, text("a")), (DnType::OrganizationName, text("b"))]);
        for (source, expected) in [
            (IdentitySource::Password, None),
            (IdentitySource::CommonName, Some(Ok("a".into()))),
            (IdentitySource::Subject, Some(Ok("O=b,CN=a".into()))),
        ] {
            assert_eq!(source.user(&certificate), expected);
        }
    }

    /// Each certificate is given to OpenSSL too, if it is installed.
    #[test]
    fn subjects_are_written_as_openssl_writes_them() {
        let own = DnType::CustomDnType(vec![1, 2, 3, 4]);
        let unit = DnType::OrganizationalUnitName;
        for (parts, expected) in [
            (vec![(DnType::CommonName, text("a")), (DnType::CountryName, text("DE"))], "C=DE,CN=a"),
            (vec![(DnType::CommonName, text("a+b,c;d<e>f\"g\\h=i"))], "CN=a\\+b\\,c\\;d\\<e\\>f\\\"g\\\\h=i"),
            (vec![(DnType::CommonName, text("  x  "))], "CN=\\  x \\ "),
            (vec![(DnType::CommonName, text("#x#"))], "CN=\\#x#"),
            (vec![(DnType::CommonName, text("#"))], "CN=#"),
            (vec![(DnType::CommonName, text(" "))], "CN=\\ "),
            (vec![(DnType::CommonName, text("Zo\u{eb}\n\u{7f}"))], "CN=Zo\\C3\\AB\\0A\\7F"),
            (vec![(unit, DnValue::BmpString(BmpString::try_from("\u{20ac}x").unwrap()))], "OU=\\E2\\82\\ACx"),
            (vec![(own, text("x"))], "1.2.3.4=#0C0178"),
            (vec![(DnType::CommonName, text(""))], "CN="),
        ] {
            let certificate = certificate(&parts);
            assert_eq!(subject(&certificate).as_deref(), Ok(expected));
            if let Some(printed) = by_openssl(&certificate) {
                assert_eq!(printed, expected);
            }
        }
    }

    fn by_openssl(certificate: &CertificateDer<'_>) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("certificate");
        std::fs::write(&path, certificate).unwrap();
        let mut command = std::process::Command::new("openssl");
        command
            .args(["x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253", "-in"])
            .arg(path);
        let output = command.output().ok()?;
        let line = String::from_utf8(output.stdout).unwrap();
        Some(line.strip_prefix("subject=")?.trim_end_matches('\n').to_owned())
    }
}

//! What usually causes a failed handshake, for the log.

/// Words of rustls' errors and of alerts, in lower case and without spaces, and what to do about them.
const HINTS: [(&[&str], &str); 9] = [
    (
        &["unknownca", "badcertificate", "certificateunknown"],
        " (the client does not trust this server's certificate: give it the CA file, and use a name that is in the \
         certificate)",
    ),
    (
        &["signaturealgorithmsextensionrequired", "tls12notoffered"],
        " (the client offers nothing newer than TLS 1.1, or not the version of TLS that this listener asks for)",
    ),
    (&["corruptmessage", "invalidcontenttype"], " (the client does not speak TLS on this port)"),
    (
        &["certificaterequired", "nocertificate"],
        " (require_certificate is on, and the client shows no certificate)",
    ),
    (
        &["unknownrevocationstatus"],
        " (crl has no list of the authority that issued the client's certificate)",
    ),
    (
        &["expiredrevocationlist"],
        " (the revocation list is out of date: renew it with `gaugeline pki renew crl`, or get a new one from the \
         authority)",
    ),
    (
        &["authoritynotvalid"],
        " (the authority that issued the client's certificate has ended, or is not valid yet: renew it)",
    ),
    (&["peercertificate:revoked"], " (the client's certificate is on the revocation list)"),
    (&["peercertificate:unknownissuer"], " (no authority in ca has issued the client's certificate)"),
];

/// The hint for an error, or nothing.
pub(crate) fn hint(error: &str) -> &'static str {
    let error = error.to_ascii_lowercase().replace([' ', '_'], "");
    let found = HINTS.iter().find(|(words, _)| words.iter().any(|word| error.contains(word)));
    found.map_or("", |(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

    use super::*;

    #[test]
    fn errors_have_their_hints() {
        for (error, part) in [
            (Error::AlertReceived(AlertDescription::UnknownCA), "does not trust this server's"),
            (Error::AlertReceived(AlertDescription::BadCertificate), "does not trust this server's"),
            (Error::NoCertificatesPresented, "shows no certificate"),
            (Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "does not speak TLS"),
            (PeerIncompatible::SignatureAlgorithmsExtensionRequired.into(), "nothing newer than TLS 1.1"),
            (PeerIncompatible::Tls12NotOfferedOrEnabled.into(), "nothing newer than TLS 1.1"),
            (CertificateError::Revoked.into(), "is on the revocation list"),
            (CertificateError::UnknownRevocationStatus.into(), "crl has no list"),
            (CertificateError::ExpiredRevocationList.into(), "out of date"),
            (CertificateError::UnknownIssuer.into(), "no authority in ca"),
        ] {
            let text = error.to_string();
            assert!(hint(&text).contains(part), "{text}: {}", hint(&text));
        }
        assert_eq!(hint("connection reset"), "");
    }
}

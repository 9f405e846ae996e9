//! The certificate and the key that a listener shows, and what clients would stumble over in them.

use std::path::Path;

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    sign::CertifiedKey,
};

use super::{
    config::TlsConfig,
    facts::{self, Facts, date, seconds},
    pem_file, renewal,
};
use crate::file_error::FileError;

/// What a listener shows, and what is known of it.
pub(super) struct Shown {
    pub(super) certified: CertifiedKey,
    pub(super) leaf: Facts,
    /// What there is to say about the key's file.
    pub(super) note: Option<FileError>,
}

/// Reads certificate and key; they belong together.
pub(super) fn load(tls: &TlsConfig, provider: &CryptoProvider) -> Result<Shown, FileError> {
    let chain = pem_file::certificates(&tls.certificate)?;
    let leaf = chain.first().and_then(Facts::of).ok_or_else(|| {
        FileError::whole(&tls.certificate, "a certificate that cannot be read", "an X.509 certificate")
    })?;
    let (key, note) = pem_file::private_key(&tls.key, tls.readable_key)?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| {
        let found = format_args!("a private key that cannot be used ({error})");
        FileError::whole(&tls.key, found, "an ECDSA, Ed25519 or RSA key")
    })?;
    let matches = key.public_key().is_none_or(|public| public.as_ref() == leaf.public_key.as_slice());
    if !matches {
        let found = format_args!("a key that does not match the certificate {}", tls.certificate.display());
        return Err(FileError::whole(
            &tls.key,
            found,
            format_args!("the private key of that certificate{}", renewal::of_both(&tls.certificate)),
        ));
    }
    Ok(Shown { certified: CertifiedKey::new(chain, key), leaf, note })
}

/// What is wrong with a certificate though it can be used: clients will refuse it.
pub(super) fn faults(
    path: &Path,
    chain: &[CertificateDer<'static>],
    leaf: &Facts,
    now: UnixTime,
) -> Vec<FileError> {
    let mut faults = Vec::new();
    let mut fault = |found: String, expected: &str| faults.push(FileError::whole(path, found, expected));
    if seconds(now) < leaf.not_before {
        fault(
            format!("a certificate that is valid only from {}", date(leaf.not_before)),
            "one that is valid now (is the clock right?)",
        );
    }
    if seconds(now) > leaf.not_after {
        fault(
            format!("a certificate that ended at {}", date(leaf.not_after)),
            &format!("one that is valid now: {}", renewal::of_server(path)),
        );
    }
    if !leaf.serves {
        fault(
            "a certificate whose extended key usage is not that of a server".to_owned(),
            "one with serverAuth, or without that extension",
        );
    }
    for (index, pair) in chain.windows(2).enumerate() {
        if let [certificate, issuer] = pair
            && !facts::is_issued_by(certificate, issuer)
        {
            fault(
                format!("certificate {}, which is not issued by number {} after it", index + 1, index + 2),
                "the server's certificate first, then the one that issued it, and so on",
            );
        }
    }
    let ended = |facts: &Facts| seconds(now) > facts.not_after;
    if chain.iter().skip(1).filter_map(Facts::of).any(|facts| ended(&facts)) {
        fault("an intermediate certificate that has ended".to_owned(), "certificates that are valid now");
    }
    faults
}

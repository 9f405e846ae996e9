//! Which certificates vouch for those of clients: the ones of `ca` and `ca_directory` that are certificate authorities.
//!
//! Whatever is a trust anchor is trusted to sign: the check of chains does not ask whether it may. So a certificate of a
//! server or a device that lies beside its authority must not get this far.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime},
};

use super::{
    config::TlsConfig,
    facts::{Facts, date, parse, seconds},
    pem_file,
    prepare::Validity,
};
use crate::file_error::FileError;

/// The authorities of a listener, and the path to blame for them.
#[derive(Debug)]
pub(super) struct Authorities<'a> {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) roots: RootCertStore,
    /// What there is to say about those that are not valid now: nobody comes in through them.
    pub(super) ended: Vec<FileError>,
    pub(super) source: &'a Path,
}

/// Reads them. What is no authority is left out with a note; there must be one that is.
pub(super) fn load<'a>(
    tls: &'a TlsConfig,
    now: UnixTime,
    validities: &mut Vec<Validity>,
    notes: &mut Vec<FileError>,
) -> Result<Authorities<'a>, FileError> {
    let Some(source) = tls.ca.as_deref().or(tls.ca_directory.as_deref()) else {
        let expected = "authorities that client certificates must lead to (`ca`)";
        return Err(FileError::whole(&tls.certificate, "`require_certificate` without `ca`", expected));
    };
    let mut all =
        Authorities { certificates: Vec::new(), roots: RootCertStore::empty(), ended: Vec::new(), source };
    if let Some(path) = &tls.ca {
        let mut refused = all.take(path, pem_file::certificates(path)?, now);
        if all.certificates.is_empty() && !refused.is_empty() {
            return Err(refused.swap_remove(0));
        }
        notes.extend(refused);
        let ends = all.certificates.iter().filter_map(Facts::of).map(|facts| facts.not_after);
        if let Some(until) = ends.min() {
            validities.push(Validity { file: path.clone(), what: "authority", until });
        }
    }
    if let Some(directory) = &tls.ca_directory {
        let (files, strange) = pem_file::certificates_in(directory)?;
        notes.extend(strange);
        for (path, found) in files {
            notes.extend(all.take(&path, found, now));
        }
        if all.certificates.is_empty() {
            let expected =
                "at least one in a file with a name such as 1234abcd.0 (`openssl rehash DIRECTORY`)";
            return Err(FileError::whole(directory, "no certificate authority", expected));
        }
    }
    Ok(all)
}

impl Authorities<'_> {
    /// Adds those that are authorities, and tells of the others.
    fn take(&mut self, path: &Path, found: Vec<CertificateDer<'static>>, now: UnixTime) -> Vec<FileError> {
        let mut refused = Vec::new();
        for (index, certificate) in found.into_iter().enumerate() {
            let number = index + 1;
            // The same certificate often has several names in a directory.
            if self.certificates.contains(&certificate) {
                continue;
            }
            if let Err(error) = RootCertStore::empty().add(certificate.clone()) {
                let found =
                    format_args!("certificate {number}, which cannot be a root ({error}) and is not used");
                refused.push(FileError::whole(path, found, "certificates of certificate authorities"));
            } else if !is_authority(&certificate) {
                let found = format_args!("certificate {number}, which is no authority and is not used");
                let expected = "certificates with the basic constraint CA:TRUE that may sign certificates, or \
                                self-signed ones of X.509 version 1";
                refused.push(FileError::whole(path, found, expected));
            } else {
                // It was added to an empty store a moment ago.
                self.roots.add(certificate.clone()).ok();
                self.ended.extend(ended(path, &certificate, now));
                self.certificates.push(certificate);
            }
        }
        refused
    }
}

fn ended(path: &Path, certificate: &CertificateDer<'_>, now: UnixTime) -> Option<FileError> {
    let facts = Facts::of(certificate)?;
    let found = if seconds(now) > facts.not_after {
        format!("an authority that ended at {}", date(facts.not_after))
    } else if seconds(now) < facts.not_before {
        format!("an authority that is valid only from {}", date(facts.not_before))
    } else {
        return None;
    };
    Some(FileError::whole(path, found, "authorities that are valid now: clients of this one are refused"))
}

/// Whether a certificate may sign others [RFC 5280, sections 4.2.1.3 and 4.2.1.9]. Those of version 1 cannot say it: as in
/// OpenSSL they count if they are self-signed.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let Some(parsed) = parse(certificate) else { return false };
    let may_sign = match parsed.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    match parsed.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca && may_sign,
        Ok(None) => {
            parsed.version().0 == 0
                && parsed.subject().as_raw() == parsed.issuer().as_raw()
                && parsed.verify_signature(None).is_ok()
        }
        Err(_) => false,
    }
}

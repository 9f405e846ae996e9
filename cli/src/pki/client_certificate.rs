//! `gaugeline pki issue`: a certificate for a client, with its key.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

use super::{
    authority::Authority,
    index::{self, Index, Issued},
};
use crate::{
    failure::Failure,
    files,
    init::{CA_CERTIFICATE, CLOCK_SKEW, serial_number},
};

/// The most characters of a common name [RFC 5280, appendix A.1].
const NAME_CHARACTERS_MAX: usize = 64;
/// Words that mean something else to `renew`.
const RESERVED: [&str; 3] = ["server", "crl", "ca"];

/// A name that can be a common name, a user name and the name of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientName(String);

impl ClientName {
    /// The name as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let length = text.chars().count();
        if length == 0 || length > NAME_CHARACTERS_MAX {
            return Err(format!("expected 1 to {NAME_CHARACTERS_MAX} characters"));
        }
        if text.starts_with(['.', '-']) || text.contains('/') || text.chars().any(char::is_control) {
            return Err("expected a name without `/` and control characters, and no `.` or `-` at its start"
                .to_owned());
        }
        if RESERVED.contains(&text) {
            return Err(format!("`{text}` has a meaning of its own: choose another name"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A certificate that is new, and where it is.
#[derive(Debug)]
pub(super) struct NewCertificate {
    pub(super) certificate: PathBuf,
    key: PathBuf,
    issued: Issued,
}

impl NewCertificate {
    /// What to tell the user.
    pub(super) fn report(&self, directory: &Path, word: &str) -> String {
        format!(
            "  {word}  {}\n  {word}  {}\n\
             Valid until {}, serial {}. The client `{}` needs both files, and {} to trust the broker.",
            self.certificate.display(),
            self.key.display(),
            self.issued.valid_until,
            self.issued.serial,
            self.issued.name,
            directory.join(CA_CERTIFICATE).display()
        )
    }
}

/// Issues a certificate and writes it and its key into a directory, where they must not exist.
pub(super) fn issue(
    authority: &Authority,
    name: &ClientName,
    days: u32,
    out: &Path,
    now: SystemTime,
) -> Result<NewCertificate, Failure> {
    let (certificate, key) = paths(out, name);
    for path in [&certificate, &key] {
        if files::exists(path) {
            return Err(Failure::failed(format!(
                "{} exists: replace it with `gaugeline pki renew {}`, or name another directory with --out",
                path.display(),
                name.as_str()
            )));
        }
    }
    write(authority, name, days, out, now)
}

/// Where a client's certificate and key are.
pub(super) fn paths(out: &Path, name: &ClientName) -> (PathBuf, PathBuf) {
    // Not `with_extension`: a name may contain dots.
    let path = |extension: &str| out.join(format!("{}.{extension}", name.as_str()));
    (path("crt"), path("key"))
}

/// Issues a certificate and puts it and its key in the place of what is there.
pub(super) fn write(
    authority: &Authority,
    name: &ClientName,
    days: u32,
    out: &Path,
    now: SystemTime,
) -> Result<NewCertificate, Failure> {
    let end = authority.end_of(now, days)?;
    let serial = serial_number()?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(Failure::failed)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "gaugeline");
    parameters.distinguished_name.push(DnType::CommonName, name.as_str());
    parameters.not_before = (now - CLOCK_SKEW).into();
    parameters.not_after = end.into();
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters.serial_number = Some(serial.clone());
    let pem = authority.sign(&parameters, &key)?;
    let issued = Issued {
        name: name.as_str().to_owned(),
        serial: hex::encode(serial.to_bytes()),
        valid_until: index::timestamp(end)?,
        revoked_at: None,
    };
    // The index first: a certificate that exists can be found and revoked, whatever happens now.
    let mut index = Index::load(authority.directory())?;
    index.certificates.push(issued.clone());
    index.save(authority.directory())?;
    let failed = |path: &Path, error: std::io::Error| {
        Failure::failed(format!("cannot write {}: {error}", path.display()))
    };
    files::create_directory(out, 0o755).map_err(|error| failed(out, error))?;
    let (certificate_path, key_path) = paths(out, name);
    files::replace(&key_path, files::PRIVATE, key.serialize_pem().as_bytes())
        .map_err(|error| failed(&key_path, error))?;
    files::replace(&certificate_path, files::PUBLIC, pem.as_bytes())
        .map_err(|error| failed(&certificate_path, error))?;
    Ok(NewCertificate { certificate: certificate_path, key: key_path, issued })
}

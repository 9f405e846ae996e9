//! The authority at work: its certificate and key, and the lock on what it has issued.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    failure::Failure,
    files,
    init::{CA_CERTIFICATE, CA_KEY},
};

/// The file of its certificate, which every data directory has.
pub(super) fn certificate(directory: &Path) -> Result<PathBuf, Failure> {
    let path = directory.join(CA_CERTIFICATE);
    if files::exists(&path) {
        return Ok(path);
    }
    Err(Failure::configuration(format!(
        "{} is missing: make a data directory with `gaugeline init {}`, or name another with -d",
        path.display(),
        directory.display()
    )))
}

/// The authority of a data directory. While there is one, no other process changes what it has issued.
pub(super) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ends: SystemTime,
    _lock: File,
}

impl Authority {
    /// Reads certificate and key, and waits for other processes that are at work here.
    pub(super) fn open(directory: &Path, key: Option<&Path>) -> Result<Self, Failure> {
        let certificate_path = certificate(directory)?;
        let lock = lock(directory)?;
        let key_path = key.map_or_else(|| directory.join(CA_KEY), Path::to_owned);
        if !files::exists(&key_path) {
            return Err(Failure::configuration(format!(
                "{} is missing, and only it can sign: name the place where the authority's key is with --ca-key",
                key_path.display()
            )));
        }
        let pem = files::read_text(&certificate_path)?;
        let unusable = |what: &str, path: &Path, error: &dyn std::fmt::Display| {
            Failure::configuration(format!("{}: no usable {what}: {error}", path.display()))
        };
        let key = KeyPair::from_pem(&files::read_text(&key_path)?)
            .map_err(|error| unusable("private key (PKCS#8 PEM)", &key_path, &error))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| unusable("certificate", &certificate_path, &error))?;
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| unusable("certificate", &certificate_path, &error))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(Failure::configuration(format!(
                "{} is not the key of {}: give the one that belongs to it with --ca-key",
                key_path.display(),
                certificate_path.display()
            )));
        }
        let ends = parsed.validity().not_after.timestamp();
        let ends = UNIX_EPOCH + Duration::from_secs(u64::try_from(ends).unwrap_or_default());
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|error| unusable("certificate", &certificate_path, &error))?;
        Ok(Self { directory: directory.to_owned(), issuer, ends, _lock: lock })
    }

    /// A file of the data directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What signs.
    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// When what is issued now for this long ends: not after the authority itself.
    pub(super) fn end_of(&self, now: SystemTime, days: u32) -> Result<SystemTime, Failure> {
        if now >= self.ends {
            return Err(Failure::configuration(format!(
                "{}: the authority itself has ended: move the directory pki away, run `gaugeline init` again, and give \
                 every client the new ca.crt",
                self.path(CA_CERTIFICATE).display()
            )));
        }
        let wanted = Duration::from_hours(24).checked_mul(days).and_then(|length| now.checked_add(length));
        Ok(wanted.map_or(self.ends, |end| end.min(self.ends)))
    }

    /// When the authority ends.
    pub(super) fn ends(&self) -> SystemTime {
        self.ends
    }

    /// A certificate with these contents for this key, in PEM.
    pub(super) fn sign(&self, parameters: &CertificateParams, key: &KeyPair) -> Result<String, Failure> {
        Ok(parameters.signed_by(key, &self.issuer).map_err(Failure::failed)?.pem())
    }
}

/// Keeps others out as long as it is open.
fn lock(directory: &Path) -> Result<File, Failure> {
    let path = directory.join("pki");
    let opened = File::open(&path).and_then(|file| file.lock().map(|()| file));
    opened.map_err(|error| Failure::failed(format!("cannot lock {}: {error}", path.display())))
}

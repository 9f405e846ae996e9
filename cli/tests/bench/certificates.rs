//! A certificate authority, a server certificate, and an authority that signed nothing.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// The PEM files `ca.crt`, `server.crt`, `server.key` and `other.crt`.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them, for the name localhost.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = authority("trusted");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned()];
        let server =
            CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signed");
        for (name, pem) in [
            ("ca.crt", authority.pem()),
            ("server.crt", server.pem()),
            ("server.key", key.serialize_pem()),
            ("other.crt", self::authority("other").pem()),
        ] {
            fs::write(directory.path().join(name), pem).expect("written");
        }
        Self { directory }
    }

    /// Where the files are.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The listener's part of mosquitto.conf.
    pub(crate) fn mosquitto_lines(&self) -> String {
        let directory = self.path().display();
        format!(
            "cafile {directory}/ca.crt\ncertfile {directory}/server.crt\nkeyfile {directory}/server.key\n"
        )
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("self-signed")
}

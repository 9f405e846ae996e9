//! PEM files with certificates, keys and revocation lists, and who may read them.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use zeroize::Zeroizing;

use super::config::ReadableKey;
use crate::{exposure, file_error::FileError};

/// A file and what is in it.
type CertificatesOfFile = (PathBuf, Vec<CertificateDer<'static>>);

/// Nobody has a file of certificates this large; a device or a log given by mistake ends here.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// All certificates of a file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    objects(path, "certificate", "certificates in PEM, the server's own first")
}

/// All revocation lists of a file; at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    objects(path, "revocation list", "certificate revocation lists in PEM (BEGIN X509 CRL)")
}

fn objects<T: PemObject>(path: &Path, noun: &str, expected: &str) -> Result<Vec<T>, FileError> {
    let bytes = read(path)?;
    let found = T::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| damaged(path, &error, expected))?;
    if found.is_empty() {
        return Err(FileError::whole(path, format_args!("no {noun}"), expected));
    }
    Ok(found)
}

/// The certificates of the files in a directory that have names as `openssl rehash` gives them, with the file of each: what
/// else lies there, such as the server's own certificate, is not meant. What has such a name and cannot be read is told.
pub(super) fn certificates_in(
    directory: &Path,
) -> Result<(Vec<CertificatesOfFile>, Vec<FileError>), FileError> {
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    let entries = fs::read_dir(directory).map_err(|error| FileError::unreadable(directory, &error))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| FileError::unreadable(directory, &error))?;
        if entry.file_name().to_str().is_some_and(is_hashed_name) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        match certificates(&path) {
            Ok(certificates) => found.push((path, certificates)),
            Err(error) => notes.push(error),
        }
    }
    Ok((found, notes))
}

/// Whether OpenSSL would look for authorities in a file of this name: the hash of a subject and a number, `1234abcd.0`.
fn is_hashed_name(name: &str) -> bool {
    let Some((hash, number)) = name.split_once('.') else { return false };
    let is_hash = hash.len() == 8 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The private key of a file, and what there is to say about who can read it.
pub(super) fn private_key(
    path: &Path,
    readable: ReadableKey,
) -> Result<(PrivateKeyDer<'static>, Option<FileError>), FileError> {
    let note = match (exposed(path)?, readable) {
        (Some(error), ReadableKey::Refused) => return Err(error),
        (note, _) => note,
    };
    let expected = "the private key of the certificate in PEM, not encrypted";
    let bytes = Zeroizing::new(read(path)?);
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => FileError::whole(path, "no private key", expected),
        error => damaged(path, &error, expected),
    })?;
    Ok((key, note))
}

fn exposed(path: &Path) -> Result<Option<FileError>, FileError> {
    let expected = ", or 0640 and a group of this process (for a secret in Kubernetes `defaultMode: 0440` and an \
                    `fsGroup`), or `allow_readable_key = true`";
    exposure::exposure(path, "a private key", expected)
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::unreadable(path, &error);
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn damaged(path: &Path, error: &pem::Error, expected: &str) -> FileError {
    FileError::whole(path, format_args!("damaged PEM ({error})"), expected)
}

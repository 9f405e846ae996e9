//! Secrets come from files, never from the configuration itself, and are read anew each time they are needed: a
//! rotated password or token needs no restart. What is read is overwritten once nobody needs it any more.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// The most bytes in a secret's file: no password or token comes near it.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// The file is empty, too large, or not text of one line.
    #[error("{0}: one line of text was expected")]
    Form(PathBuf),
}

/// Reads a file that holds one line; its line break is not part of the secret.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let error = |error| SecretError::Io(path.to_owned(), error);
    // Large enough from the start: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX));
    let read = File::open(path).map_err(error)?.take(SECRET_BYTES_MAX as u64).read_to_string(&mut text);
    match read {
        Err(failed) if failed.kind() != io::ErrorKind::InvalidData => return Err(error(failed)),
        _ => {}
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() || secret.contains(['\n', '\r', '\0']) || text.len() == SECRET_BYTES_MAX {
        return Err(SecretError::Form(path.to_owned()));
    }
    Ok(Zeroizing::new(secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets() {
        let directory = tempfile::tempdir().unwrap();
        for (content, expected) in [
            (&b"s3cret\n"[..], Some("s3cret")),
            (b"s3cret\r\n", Some("s3cret")),
            (b" spaces stay ", Some(" spaces stay ")),
            (b"", None),
            (b"\n", None),
            (b"a\nb\n", None),
            (b"\xff", None),
            (&[b'a'; 65_536], None),
        ] {
            let path = directory.path().join("secret");
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path).ok().as_ref().map(|secret| secret.as_str()), expected, "{content:?}");
        }
        assert!(matches!(read(&directory.path().join("none")), Err(SecretError::Io(..))));
    }
}

//! What whoever operates the broker shows to be let in.

use std::{fmt, path::Path};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{exposure::exposure, file_error::FileError};

/// Fewer characters could be guessed.
const CHARACTERS_MIN: usize = 32;

/// A token, of which only the digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AdminToken([u8; 32]);

impl AdminToken {
    /// Reads the file; white space around the token does not count.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, or what it holds is too short.
    pub(crate) fn load(path: &Path) -> Result<Self, FileError> {
        let expected = ", or 0640 and a group of this process (for a secret of Docker `mode: 0400`, of Kubernetes \
                        `defaultMode: 0440` and an `fsGroup`)";
        if let Some(error) = exposure(path, "a token for the admin server", expected)? {
            return Err(error);
        }
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| FileError::unreadable(path, &error))?;
        let token = text.trim();
        if token.len() < CHARACTERS_MIN {
            let expected =
                "at least 32 random characters, as `gaugeline init` or `openssl rand -hex 32` make them";
            return Err(FileError::whole(path, format_args!("{} characters", token.len()), expected));
        }
        Ok(Self::of(token.as_bytes()))
    }

    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token. Takes as long whatever is shown.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        Self::of(shown).0.ct_eq(&self.0).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_token_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin");
        let text = "0123456789abcdef0123456789abcdef";
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let chmod = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o644, 0o604, 0o602] {
            chmod(mode);
            let error = AdminToken::load(&path).unwrap_err().to_string();
            assert!(
                error.contains("a token for the admin server that everybody can read or change"),
                "{error}"
            );
        }
        chmod(0o600);
        let token = AdminToken::load(&path).unwrap();
        assert!(token.is(text.as_bytes()));
        for other in ["", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcdef\n"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        std::fs::write(&path, "short").unwrap();
        let error = AdminToken::load(&path).unwrap_err().to_string();
        assert!(error.contains("found 5 characters, expected at least 32"), "{error}");
    }
}

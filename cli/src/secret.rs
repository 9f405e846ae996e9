//! A password on its way from a person to a file or to a broker.

use std::{convert::Infallible, fmt, ops::Deref, str::FromStr};

use zeroize::Zeroizing;

/// A text that no log may show and that is overwritten when it is dropped. The copies that others made before, such as the
/// command line of the process, are not ours.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

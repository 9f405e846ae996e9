//! mosquitto.conf: the same broker from mosquitto's own file.
//!
//! Follows mosquitto 2.1. Every key that any mosquitto knows is in [`keys`]: honoured, ignored with a [`Warning`], or, where
//! that would weaken security or lose messages, refused. Nothing is applied before all files are read and checked.

mod build;
mod build_listener;
mod entry;
mod include;
pub mod keys;
mod reader;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use self::reader::Reader;
use super::{Config, ConfigError, Format, LogLevel};

/// What the command line says over the file, as mosquitto's does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `-p`: the port, if the file has neither `listener` nor `port`.
    pub port: Option<u16>,
    /// `-v`: log everything.
    pub verbose: bool,
    /// `-q`: log nothing.
    pub quiet: bool,
}

impl Overrides {
    /// The level of the log. The port is another matter: only mosquitto.conf may leave it open.
    pub(super) fn apply(&self, config: &mut Config) {
        if self.verbose {
            config.log = config.log.max(LogLevel::Debug);
        }
        if self.quiet {
            config.log = LogLevel::Off;
        }
    }
}

/// Something that works otherwise than the file says, for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// What happens instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.text)
    }
}

/// A configuration, and what in its file has no effect or another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// In the order of the lines.
    pub warnings: Vec<Warning>,
    /// In what it is written.
    pub format: Format,
}

impl From<Config> for Loaded {
    /// A broker.toml: nothing in it goes without effect.
    fn from(config: Config) -> Self {
        Self { config, warnings: Vec::new(), format: Format::Toml }
    }
}

/// Checks the content of a mosquitto.conf, reads what it includes, and sees to it that the files that it names can be read.
///
/// # Errors
/// Every line with a key that is not known, or that cannot be honoured and must not be ignored, and the first line that
/// mosquitto would refuse for another reason.
pub fn parse(path: &Path, content: &[u8], overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let mut reader = Reader::default();
    reader.read(path, content)?;
    reader.mistakes()?;
    let mut config = build::build(&mut reader, overrides)?;
    overrides.apply(&mut config);
    Ok(Loaded { config, warnings: reader.warnings, format: Format::Mosquitto })
}

/// What mosquitto does without a file.
pub fn without_file(overrides: &Overrides) -> Result<Loaded, ConfigError> {
    parse(Path::new("mosquitto.conf"), b"", overrides)
}

#[cfg(test)]
mod tests;

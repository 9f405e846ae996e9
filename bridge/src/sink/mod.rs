//! Where lines go. A sink takes whole lines and says what became of them ([`verdict::Verdict`]); it never drops and
//! never retries: that is decided in [`crate::delivery`].

pub(crate) mod convert;
mod file;
mod influx;
pub(crate) mod isolate;
pub(crate) mod verdict;

use std::io;

use bytes::Bytes;

use self::{
    file::FileSink,
    influx::InfluxSink,
    verdict::{Held, Verdict},
};
use crate::{
    config::{SecretError, SinkConfig},
    line_protocol::LineBreaks,
    tls::TlsError,
};

/// Files, or a server.
#[derive(Debug)]
pub(crate) enum Sink {
    Files(FileSink),
    Influx(Box<InfluxSink>),
}

/// Why a sink cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The files cannot be opened.
    #[error("the files of line protocol: {0}")]
    Files(#[source] io::Error),
    /// The certificates cannot be used.
    #[error("TLS to InfluxDB: {0}")]
    Tls(#[from] TlsError),
    /// The password or token cannot be read.
    #[error("InfluxDB: {0}")]
    Secret(#[from] SecretError),
    /// The HTTP client cannot be made.
    #[error("HTTP client: {0}")]
    Client(#[source] reqwest::Error),
    /// The address cannot take a path.
    #[error("the address of InfluxDB: {0}")]
    Address(String),
}

impl Sink {
    /// Opens files, or gets ready to write to a server; does not need the server to be there.
    pub(crate) fn open(config: &SinkConfig) -> Result<Self, SinkError> {
        Ok(match config {
            SinkConfig::Files(config) => Self::Files(FileSink::open(config).map_err(SinkError::Files)?),
            SinkConfig::Influx(config) => Self::Influx(Box::new(InfluxSink::new(config)?)),
        })
    }

    /// Writes whole lines, at least one.
    pub(crate) async fn write(&self, lines: Bytes) -> Verdict {
        match self {
            Self::Files(files) => files.write(lines).await,
            Self::Influx(influx) => influx.write(lines).await,
        }
    }

    /// Whether the server answers at all.
    ///
    /// # Errors
    /// Why it does not, as the end of a sentence.
    pub(crate) async fn reach(&self) -> Result<(), String> {
        match self {
            Self::Files(_) => Ok(()),
            Self::Influx(influx) => influx.reach().await,
        }
    }

    /// Does what can be done about a configuration problem: reads secrets anew, creates the database. True if a write
    /// could now succeed.
    pub(crate) async fn repair(&self, problem: Held) -> bool {
        match self {
            Self::Files(_) => false,
            Self::Influx(influx) => influx.repair(problem).await,
        }
    }

    /// How many writes may be under way at once.
    pub(crate) fn concurrent_writes(&self) -> usize {
        match self {
            Self::Files(_) => 1,
            Self::Influx(influx) => influx.concurrent_writes(),
        }
    }

    /// Whether strings may have line breaks.
    pub(crate) fn line_breaks(&self) -> LineBreaks {
        match self {
            Self::Files(_) => LineBreaks::Fold,
            Self::Influx(_) => LineBreaks::Keep,
        }
    }
}

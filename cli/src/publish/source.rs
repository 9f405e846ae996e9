//! Where the messages of `gaugeline pub` come from.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Stdin},
    time::{Instant, sleep_until},
};

use crate::{clock, failure::Failure, files};

/// What to send; exactly one of the options.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "source", required = true, multiple = false)]
pub(super) struct Arguments {
    /// Send this text
    #[arg(short = 'm', long, value_name = "TEXT")]
    message: Option<String>,
    /// Send the content of this file
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Send each line of stdin as a message
    #[arg(short = 'l', long, alias = "stdin-line")]
    stdin_lines: bool,
    /// Send all of stdin as one message
    #[arg(short = 's', long = "stdin-file", alias = "stdin")]
    stdin: bool,
    /// Send an empty message; with --retain it removes the retained one
    #[arg(short = 'n', long, alias = "null-message")]
    null: bool,
}

/// The payloads, one after the other.
#[derive(Debug)]
pub(super) enum Source {
    /// One payload, several times.
    Repeat { payload: Bytes, left: u64, pause: Duration, due: Option<Instant> },
    /// The lines of stdin.
    Lines(BufReader<Stdin>),
}

impl Arguments {
    /// Opens what the options name. `times` and `pause` apply to a single message.
    pub(super) async fn open(&self, times: u64, pause: Duration) -> Result<Source, Failure> {
        let payload = if let Some(text) = &self.message {
            Bytes::copy_from_slice(text.as_bytes())
        } else if let Some(path) = &self.file {
            files::read_bytes(path)?.into()
        } else if self.stdin {
            let mut payload = Vec::new();
            tokio::io::stdin().read_to_end(&mut payload).await.map_err(unreadable)?;
            payload.into()
        } else if self.stdin_lines {
            return Ok(Source::Lines(BufReader::new(tokio::io::stdin())));
        } else {
            Bytes::new()
        };
        Ok(Source::Repeat { payload, left: times, pause, due: None })
    }
}

impl Source {
    /// The next payload; `None` at the end. May be dropped while it waits: nothing is lost, for `line` keeps what
    /// was read so far.
    pub(super) async fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Repeat { left: 0, .. } => Ok(None),
            Self::Repeat { payload, left, pause, due } => {
                if let Some(due) = *due {
                    sleep_until(due).await;
                }
                *due = (!pause.is_zero()).then(|| Instant::from_std(clock::now()) + *pause);
                *left -= 1;
                Ok(Some(payload.clone()))
            }
            Self::Lines(input) => {
                let count = input.read_until(b'\n', line).await.map_err(unreadable)?;
                if count == 0 && line.is_empty() {
                    return Ok(None);
                }
                while matches!(line.last(), Some(b'\n' | b'\r')) {
                    line.pop();
                }
                Ok(Some(std::mem::take(line).into()))
            }
        }
    }
}

/// Stdin cannot be read.
fn unreadable(error: io::Error) -> Failure {
    Failure::failed(format!("stdin: {error}"))
}

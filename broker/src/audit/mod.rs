//! Who came in, who was refused, who was sent away, and what operators did: JSON lines in a file of its own.
//!
//! [`Audit::record`] never waits: a thread writes, and what finds no room in its queue is counted. The file is rotated by
//! size; the oldest ones go. No secret is ever an argument.

mod rotated;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use self::rotated::Rotated;
use crate::{
    clock,
    log::{Excerpt, Sentence},
    metrics::Metrics,
};

/// Lines that wait to be written: a fleet that comes back at once.
const WAITING_MAX: usize = 10_000;

/// Where the audit log is and how large it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The file that is written; older ones have `.1`, `.2` and so on behind it.
    pub file: PathBuf,
    /// Bytes of a file before the next one begins.
    pub file_bytes: u64,
    /// How many older ones are kept.
    pub files: u32,
}

/// Something that happened. What strangers chose is cut as in the log.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A client was let in.
    Login { client: Excerpt<'a>, user: Option<Excerpt<'a>>, address: SocketAddr },
    /// A client was not let in. What it claims to be may not be known.
    LoginRefused {
        client: Option<Excerpt<'a>>,
        user: Option<Excerpt<'a>>,
        address: SocketAddr,
        reason: Reason<'a>,
    },
    /// Something that a client wanted was refused.
    Refused { client: Excerpt<'a>, user: Option<Excerpt<'a>>, address: SocketAddr, reason: Reason<'a> },
    /// So many were refused like somebody who was told of before, in so many seconds. What they have not in common is left out.
    MoreRefused {
        what: &'a str,
        client: Option<&'a str>,
        user: Option<&'a str>,
        address: Option<SocketAddr>,
        count: u64,
        seconds: u64,
        last: &'a str,
    },
    /// A connection has ended.
    Logout { client: Excerpt<'a>, user: Option<Excerpt<'a>>, address: SocketAddr, reason: Reason<'a> },
    /// An operator has ended a connection.
    Kick { client: Excerpt<'a> },
    /// An operator has ended a session for good, with so many messages that waited.
    Forget { client: Excerpt<'a>, messages: usize },
    /// The configuration was read again.
    Reload { trigger: &'a str, result: &'a str, error: Option<&'a str>, disconnected: usize },
    /// Somebody used the admin API.
    Admin { method: &'a str, path: Excerpt<'a>, status: u16 },
}

/// A text that is only put together if it is written.
#[derive(Debug)]
pub(crate) struct Reason<'a>(pub(crate) fmt::Arguments<'a>);

impl Serialize for Reason<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Sentence { text: self.0, escaped: false })
    }
}

impl Serialize for Excerpt<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Nanoseconds since 1970.
    time: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The handle to write with; without a file, nothing is written.
pub(crate) struct Audit {
    writer: Option<Writer>,
    dropped: Counter,
}

struct Writer {
    lines: SyncSender<Vec<u8>>,
}

impl Audit {
    /// Opens the file, if one is configured, and starts to write.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn start(config: Option<&AuditConfig>, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let dropped = metrics.operation.audit_dropped.clone();
        let Some(config) = config else { return Ok(Self { writer: None, dropped }) };
        let file = Rotated::open(config)?;
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let failed = dropped.clone();
        thread::Builder::new().name("audit".into()).spawn(move || write_all(file, &waiting, &failed))?;
        Ok(Self { writer: Some(Writer { lines }), dropped })
    }

    /// Writes down what has happened, soon.
    pub(crate) fn record(&self, event: Event<'_>) {
        let Some(writer) = &self.writer else { return };
        let line = Line { time: clock::wall_nanoseconds(), event: &event };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if writer.lines.try_send(text).is_err() {
            self.dropped.inc();
        }
    }
}

/// Until the last handle is gone.
fn write_all(mut file: Rotated, lines: &Receiver<Vec<u8>>, dropped: &Counter) {
    let mut is_broken = false;
    while let Ok(first) = lines.recv() {
        // Together what has gathered meanwhile, with one call.
        let mut text = first;
        let mut count = 1;
        for line in lines.try_iter().take(WAITING_MAX) {
            text.extend_from_slice(&line);
            count += 1;
        }
        match file.append(&text) {
            Ok(()) => is_broken = false,
            Err(error) => {
                dropped.inc_by(count);
                if !std::mem::replace(&mut is_broken, true) {
                    tracing::error!("the audit log cannot be written: {}: {error}", file.path().display());
                }
            }
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("on", &self.writer.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_nothing_in_them_breaks_them() {
        let directory = tempfile::tempdir().unwrap();
        let config =
            AuditConfig { file: directory.path().join("audit.jsonl"), file_bytes: 1 << 20, files: 1 };
        let audit = Audit::start(Some(&config), &Metrics::new()).unwrap();
        let address = "192.0.2.1:7".parse().unwrap();
        audit.record(Event::Login { client: Excerpt("a\n\"b"), user: Some(Excerpt("alice")), address });
        audit.record(Event::Kick { client: Excerpt("c") });
        let text = || std::fs::read_to_string(&config.file).unwrap_or_default();
        while text().lines().count() < 2 {
            thread::yield_now();
        }
        let lines = text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<serde_json::Value>>();
        assert_eq!(lines[0]["event"], "login");
        assert_eq!(lines[0]["client"], "a\n\"b");
        assert_eq!(lines[0]["address"], "192.0.2.1:7");
        assert_eq!(lines[1]["event"], "kick");
        assert!(lines[1]["time"].as_u64() >= lines[0]["time"].as_u64());
    }

    #[test]
    fn a_writer_that_is_gone_costs_counted_lines_and_nothing_else() {
        let metrics = Metrics::new();
        let (lines, waiting) = sync_channel(1);
        let audit =
            Audit { writer: Some(Writer { lines }), dropped: metrics.operation.audit_dropped.clone() };
        for _ in 0..3 {
            audit.record(Event::Kick { client: Excerpt("c") });
        }
        drop(waiting);
        audit.record(Event::Kick { client: Excerpt("c") });
        assert_eq!(metrics.operation.audit_dropped.get(), 3);
    }
}

//! Messages that cannot be written, kept with topic, payload and reason so that nothing is lost without a trace.
//!
//! One JSON object a line, in `dead-letter.jsonl` and, once that is full, `dead-letter-DAY-NUMBER.jsonl`:
//!
//! ```json
//! {"time":"2026-11-21T21:26:59.5Z","reason":"invalid_json","detail":"...","topic":"a/b","payload":"{"}
//! ```
//!
//! A payload that is not UTF-8 is there as `payload_base64`. The files together are bounded; the oldest are deleted
//! and their messages counted. A message is acknowledged only when its dead letter is on the disk.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use parking_lot::Mutex;
use serde::Serialize;
use tracing::warn;

use crate::{
    batch::Origin,
    config::DeadLetterConfig,
    mapping::Rejection,
    metrics::Metrics,
    rotating_file::{RotatingFile, Settings},
};

/// The limit is shared by this many files, so that what is deleted at once is a small part.
const FILES: u64 = 8;
/// At most one log line in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The file, and what is said about it.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    /// Held while appending, by a blocking thread.
    file: Arc<Mutex<RotatingFile>>,
    path: PathBuf,
    metrics: Metrics,
    log: Mutex<Log>,
}

/// When something was last said, and how much has not been said since.
#[derive(Debug, Default)]
struct Log {
    last: Option<Instant>,
    unsaid: u64,
}

#[derive(Serialize)]
struct Letter<'a> {
    time: String,
    reason: &'static str,
    detail: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl DeadLetters {
    /// Opens the file, after a crash too.
    pub(crate) fn open(
        config: &DeadLetterConfig,
        metrics: Metrics,
        now_nanoseconds: i64,
    ) -> io::Result<Self> {
        let settings = Settings {
            directory: config.directory.clone(),
            prefix: "dead-letter",
            extension: "jsonl",
            header: Vec::new(),
            file_bytes: config.bytes / FILES,
            total_bytes: Some(config.bytes),
        };
        let file = RotatingFile::open(settings, now_nanoseconds)?;
        Ok(Self { path: file.path(), file: Arc::new(Mutex::new(file)), metrics, log: Mutex::default() })
    }

    /// Appends letters made by [`letter`]. When this returns, they are on the disk.
    pub(crate) async fn append(&self, letters: Arc<[u8]>, now_nanoseconds: i64) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        let appended =
            tokio::task::spawn_blocking(move || file.lock().append(&letters, now_nanoseconds)).await;
        let deleted = appended.map_err(io::Error::other)??;
        self.metrics.dead_letters_deleted.inc_by(deleted.lines);
        if deleted.files > 0 {
            let (lines, path) = (deleted.lines, self.path.display());
            warn!("the dead letters are at their limit: the oldest {lines} were deleted ({path})");
        }
        Ok(())
    }

    /// Counts a letter that was appended, and says so now and then.
    pub(crate) fn count(&self, origin: Origin<'_>, rejection: &Rejection, now: Instant) {
        self.metrics.count_dead_letter(rejection.reason);
        let mut log = self.log.lock();
        log.unsaid += 1;
        if log.last.is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL) {
            return;
        }
        let count = std::mem::take(&mut log.unsaid);
        log.last = Some(now);
        drop(log);
        warn!(
            reason = rejection.reason.as_str(),
            topic = origin.topic,
            count,
            "messages became dead letters, the last one because: {} ({})",
            rejection.detail,
            self.path.display()
        );
    }
}

/// Appends a message's line to `out`.
pub(crate) fn letter(out: &mut Vec<u8>, origin: Origin<'_>, rejection: &Rejection, now_nanoseconds: i64) {
    let time = jiff::Timestamp::from_nanosecond(i128::from(now_nanoseconds)).unwrap_or_default();
    let payload = std::str::from_utf8(origin.payload).ok();
    let letter = Letter {
        time: time.to_string(),
        reason: rejection.reason.as_str(),
        detail: &rejection.detail,
        topic: origin.topic,
        payload,
        payload_base64: payload.is_none().then(|| BASE64.encode(origin.payload)),
    };
    // Strings and a Vec: neither serialising nor writing can fail.
    if serde_json::to_writer(&mut *out, &letter).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Reason;

    #[tokio::test]
    async fn letters_are_lines_of_json() {
        let directory = tempfile::tempdir().unwrap();
        let config = DeadLetterConfig { directory: directory.path().join("dead"), bytes: 1 << 20 };
        let metrics = Metrics::default();
        let letters = DeadLetters::open(&config, metrics.clone(), 0).unwrap();
        let mut out = Vec::new();
        let rejection = Rejection::new(Reason::InvalidJson, "a \"quote\" and\na line break");
        for payload in [&b"{\"a\n"[..], b"\xff\x00"] {
            let origin = Origin { topic: "a/\"b\"", payload };
            letter(&mut out, origin, &rejection, 1_700_000_000_500_000_000);
            letters.count(origin, &rejection, crate::clock::now());
        }
        letters.append(out.into(), 0).await.unwrap();
        let text = std::fs::read_to_string(directory.path().join("dead/dead-letter.jsonl")).unwrap();
        let found: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = |key: &str, payload: &str| {
            serde_json::json!({
                "time": "2023-11-14T22:13:20.5Z", "reason": "invalid_json", "detail": "a \"quote\" and\na line break",
                "topic": "a/\"b\"", key: payload,
            })
        };
        assert_eq!(found, [expected("payload", "{\"a\n"), expected("payload_base64", "/wA=")]);
        assert_eq!(metrics.dead_letters(Reason::InvalidJson), 2);
    }
}

//! The durable [`Store`]: a log of records in segments, written by one thread, a group of records and a sync at a time.
//!
//! - `format` draws the files, `encoding` and `fields` the records in them.
//! - `state` is what the records add up to; `placement` and `occupancy` know in which segment each part of it is. The oldest segments go as soon as
//!   nothing in them is needed, or what is needed has been written anew (`writer`).
//! - `recovery` reads everything at the start, `restore` hands it to the broker.
//! - `queue` is where appending and writing meet.
//! - `disk` is the only one that touches files; tests put a failing one in its place.
//!
//! It does not decide what must be kept, nor what expires while the broker runs: the records say so.
//!
//! **Invariants.** A ticket is told only after the group of its record was synced (written, with
//! [`Durability::Interval`]). After a failed sync nothing is ever told again. A segment is removed only when all that
//! was needed of it is synced elsewhere, oldest first, so that no record outlives one that undoes it.
//!
//! **Why not an embedded engine.** `cargo bench --bench storage_engines`, on two cores that others used too, a virtual
//! disk that synced 5700 times a second with 256 KiB each and 340 times with 2 MiB, groups of 2000 messages with one
//! receiver, settled ten groups later (CPU includes making the messages):
//!
//! | engine | payload | messages/s | CPU s per million | recovery of 1 million queued | bytes a message |
//! |---|---|---|---|---|---|
//! | segment log | 64 B | 1 150 000 | 0.80 | 1.3 s | 118 |
//! | fjall 3.1 | 64 B | 380 000 | 3.06 | 2.1 s | 164 |
//! | redb 4.5 | 64 B | 453 000 | 2.10 | 0.5 s | 135 |
//! | segment log | 1 KiB | 372 000 | 1.72 | 2.6 s | 1079 |
//! | fjall 3.1 | 1 KiB | 100 000 | 5.38 | 3.1 s | 1123 |
//! | redb 4.5 | 1 KiB | 94 000 | 6.12 | 4.2 s | 2156 |
//!
//! One run each. An earlier run on a busier disk (240 and 116 syncs/s), which settled message by message: 314 000,
//! 94 000 and 121 000 messages/s of 64 B, 120 000, 82 000 and 63 000 of 1 KiB, where the disk is the limit; the CPU
//! times were within a tenth or so of these.

mod anchor;
mod directory_lock;
mod disk;
mod encoding;
mod failure;
mod fields;
mod format;
mod occupancy;
mod placement;
mod queue;
mod recovery;
mod restore;
mod state;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::Arc,
    task::Waker,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

pub use failure::OpenError;

use super::{Record, Recovered, Store, Ticket};
use crate::metrics::StorageMetrics;
use anchor::Anchor;
use directory_lock::{DirectoryLock, LockError};
use disk::{Directory, Disk};
use format::{GroupBuffer, SegmentHeader, file_name};
use queue::Queue;
use recovery::{Replayed, SegmentFile};
use state::State;
use writer::{Head, Writer, create_segment};

/// When a record counts as safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: it survives a power cut.
    Always,
    /// When it is with the operating system, which is told to write at least this often. It survives the end of the
    /// process, however violent; a power cut or a crash of the operating system takes the last interval.
    Interval(Duration),
}

/// Where and how a log is kept.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The directory of its files; created if need be. Nothing else should be in it.
    pub directory: PathBuf,
    /// When a record counts as safe.
    pub durability: Durability,
    /// The size at which a segment is full, in bytes. See [`OpenOptions::SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// Start though something is lost that was safe: keep what can be read, and move the damaged files aside.
    pub accept_damage: bool,
}

impl OpenOptions {
    /// A segment of 64 MiB is filled in a few seconds at full load, and read in a quarter of one; the log is at
    /// least about two of them large once it is in use.
    pub const SEGMENT_BYTES: u64 = 64 << 20;

    /// The usual options.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::Always,
            segment_bytes: Self::SEGMENT_BYTES,
            accept_damage: false,
        }
    }
}

/// Keeps records in a directory.
#[derive(Debug)]
pub struct SegmentLog {
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<State>>>,
}

impl SegmentLog {
    /// Opens the log in a directory, or begins one, and gives back what it holds. `now` and `wall_nanoseconds` (since
    /// 1970) are the same moment. May take seconds; blocks.
    ///
    /// # Errors
    /// [`OpenError`] says what to do. A torn end is none: it is moved aside and logged.
    pub fn open(
        options: &OpenOptions,
        now: Instant,
        wall_nanoseconds: u64,
        metrics: &StorageMetrics,
    ) -> Result<(Self, Recovered), OpenError> {
        let failed = |action| move |source| OpenError::Io { path: options.directory.clone(), action, source };
        let directory =
            Directory::open(&options.directory).map_err(failed("create or open the directory"))?;
        let lock = DirectoryLock::take(&options.directory).map_err(|error| match error {
            LockError::Io(source) => failed("lock the directory")(source),
            LockError::Held(owner) => OpenError::InUse { path: options.directory.clone(), owner },
        })?;
        let anchor = Anchor { now, wall_nanoseconds };
        Self::start(options, Box::new(directory), Some(lock), anchor, metrics)
    }

    fn start(
        options: &OpenOptions,
        mut disk: Box<dyn Disk>,
        lock: Option<DirectoryLock>,
        anchor: Anchor,
        metrics: &StorageMetrics,
    ) -> Result<(Self, Recovered), OpenError> {
        let started = crate::clock::now();
        let mut replayed = recovery::replay(&mut *disk, anchor, options.accept_damage)?;
        let expired = replayed.state.finish_replay(anchor.now);
        let recovered = replayed.state.recovered();
        metrics.quarantined_bytes.inc_by(replayed.quarantined_bytes);
        metrics.expired_messages.inc_by(expired as u64);
        let queue = Arc::new(Queue::default());
        let failed = |path: PathBuf| move |source| OpenError::Io { path, action: "write", source };
        let directory = options.directory.clone();
        let writer =
            take_over(options, disk, lock, anchor, replayed, &queue, metrics).map_err(failed(directory))?;
        tracing::info!(
            sessions = recovered.sessions.len(),
            messages = writer.state.messages.len(),
            expired,
            seconds = crate::clock::now().duration_since(started).as_secs_f64(),
            "storage: opened"
        );
        let thread = thread::Builder::new().name("storage".to_owned()).spawn(|| writer.run());
        let thread = thread.map_err(failed(options.directory.clone()))?;
        Ok((Self { queue, writer: Mutex::new(Some(thread)) }, recovered))
    }
}

/// Makes the log that was read one that is written to.
fn take_over(
    options: &OpenOptions,
    mut disk: Box<dyn Disk>,
    lock: Option<DirectoryLock>,
    anchor: Anchor,
    replayed: Replayed,
    queue: &Arc<Queue>,
    metrics: &StorageMetrics,
) -> io::Result<Writer> {
    let Replayed { mut state, segments, next_group, damaged, .. } = replayed;
    let head = match segments.last() {
        Some(last) if damaged.is_empty() => {
            let file = disk.open(&file_name(last.sequence))?;
            Head { file, sequence: last.sequence, offset: last.bytes }
        }
        last => {
            let sequence = last.map_or(1, |last| last.sequence + 1);
            let header = SegmentHeader { sequence, first_group: next_group, marks: state.marks };
            let file = create_segment(&mut *disk, &header)?;
            state.begin_segment(sequence, header.marks);
            Head { file, sequence, offset: format::SEGMENT_HEADER_BYTES as u64 }
        }
    };
    let mut sizes: BTreeMap<_, _> =
        segments.iter().map(|SegmentFile { sequence, bytes }| (*sequence, *bytes)).collect();
    sizes.insert(head.sequence, head.offset);
    let mut writer = Writer {
        queue: Arc::clone(queue),
        disk,
        state,
        head,
        segments: sizes,
        next_group,
        durability: options.durability,
        segment_bytes: options.segment_bytes,
        anchor,
        metrics: metrics.clone(),
        buffer: GroupBuffer::default(),
        unsynced_since: None,
        synced_group: next_group,
        removal_retry: None,
        _lock: lock,
    };
    if !damaged.is_empty() {
        writer.rewrite(&damaged)?;
    }
    Ok(writer)
}

impl Store for SegmentLog {
    fn append(&self, record: Record) -> Ticket {
        self.queue.append(record)
    }

    fn durable(&self) -> Ticket {
        Ticket::new(self.queue.durable())
    }

    fn wait(&self, ticket: Ticket, waker: &Waker) -> bool {
        self.queue.wait(ticket.position(), waker)
    }

    fn pending_bytes(&self) -> usize {
        self.queue.pending_bytes()
    }

    fn keeps(&self) -> bool {
        true
    }

    fn failure(&self) -> Option<String> {
        self.queue.failure()
    }

    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            // It panics only by a fault of this program, which has been reported by then.
            if let Ok(state) = writer.join() {
                // The process ends now, and giving back millions of messages one by one would hold it up for seconds.
                std::mem::forget(state);
            }
        }
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        self.close();
    }
}

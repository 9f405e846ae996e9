//! The one thread that writes. It takes what was appended while it was busy, writes it as one group, syncs, and tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    anchor::Anchor,
    directory_lock::DirectoryLock,
    disk::{Disk, DiskFile},
    encoding::Encoder,
    format::{GroupBuffer, SEGMENT_HEADER_BYTES, SegmentHeader, file_name},
    occupancy::Item,
    queue::{Queue, Work},
    state::State,
};
use crate::{
    metrics::StorageMetrics,
    storage::{Durability, Record},
};

/// A group ends at this part of a segment, usually 4 MiB, though more is queued: its publishers get their
/// acknowledgements while the rest is written. About what a disk writes in ten milliseconds.
const GROUP_PART: u64 = 16;
/// The log may be this many times as large as what is needed of it, and [`SLACK_SEGMENTS`] more, before the oldest
/// segments are written anew. In the long run each byte is then written twice at most.
pub(super) const SPACE_FACTOR: u64 = 2;
/// See [`SPACE_FACTOR`].
pub(super) const SLACK_SEGMENTS: u64 = 2;
/// What a group writes anew at least, as a part of a segment, usually 256 KiB: a millisecond's work, so that nobody
/// waits long for it.
const CLEANED_PART: u64 = 256;
/// What a group writes anew, for each byte of its own: enough to gain on whoever fills the log.
const CLEANED_FACTOR: usize = 2;
/// How long to wait until a full disk is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });
/// How long to wait until a segment that could not be removed is tried again.
const REMOVAL_RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 10_000 });

/// The end of the writer: what is queued stays unwritten.
#[derive(Debug)]
pub(super) struct Stopped;

/// Everything that only the writer touches.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) disk: Box<dyn Disk>,
    pub(super) state: State,
    pub(super) head: Head,
    /// The size of every segment.
    pub(super) segments: BTreeMap<u64, u64>,
    pub(super) next_group: u64,
    pub(super) durability: Durability,
    pub(super) segment_bytes: u64,
    pub(super) anchor: Anchor,
    pub(super) metrics: StorageMetrics,
    pub(super) buffer: GroupBuffer,
    /// Since when there is something written and not synced.
    pub(super) unsynced_since: Option<Instant>,
    /// Every group below this number is synced.
    pub(super) synced_group: u64,
    /// When the oldest segment is tried again that could not be removed.
    pub(super) removal_retry: Option<Instant>,
    /// Held until the last write.
    pub(super) _lock: Option<DirectoryLock>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) sequence: u64,
    /// Where the next group goes.
    pub(super) offset: u64,
}

impl Writer {
    /// Writes until the queue is closed or the disk fails. What it leaves behind is for [`super::SegmentLog::close`].
    pub(super) fn run(mut self) -> State {
        let ended = self.serve();
        if ended.is_err() {
            tracing::error!(
                failure = self.queue.failure(),
                "storage: stopped; nothing is acknowledged any more that must be kept"
            );
        }
        self.queue.abandon();
        self.state
    }

    fn serve(&mut self) -> Result<(), Stopped> {
        let mut records = Vec::new();
        loop {
            match self.queue.take(&mut records, self.deadline()) {
                Work::Write(last) => self.write(&mut records, last)?,
                Work::Deadline => self.tidy()?,
                Work::Close => return self.sync(),
            }
        }
    }

    /// When there is something to do though nothing is appended.
    fn deadline(&self) -> Option<Instant> {
        if self.state.occupancy.oldest_empty().is_some() {
            return Some(self.removal_retry.unwrap_or(self.anchor.now));
        }
        if self.must_clean() {
            return Some(self.anchor.now);
        }
        match self.durability {
            Durability::Always => None,
            Durability::Interval(interval) => self.unsynced_since.map(|since| since + interval),
        }
    }

    /// Writes all records, `last` being the ticket of the last one, in as many groups as they need.
    fn write(&mut self, records: &mut Vec<Record>, last: u64) -> Result<(), Stopped> {
        self.metrics.records.inc_by(records.len() as u64);
        let mut done = last - records.len() as u64;
        let mut records = records.drain(..);
        while done < last {
            self.begin_group()?;
            while self.buffer.len() < self.part_of_segment(GROUP_PART)
                && let Some(record) = records.next()
            {
                let mut encoder = Encoder { out: self.buffer.records(), anchor: self.anchor };
                encoder.record(&record, &self.state);
                self.state.apply(record);
                done += 1;
            }
            self.end_group(Some(done))?;
        }
        Ok(())
    }

    /// A part of a segment's size, in bytes.
    fn part_of_segment(&self, part: u64) -> usize {
        usize::try_from(self.segment_bytes / part).unwrap_or(usize::MAX).max(1)
    }

    /// Does what is due when nothing is appended.
    fn tidy(&mut self) -> Result<(), Stopped> {
        if self.must_clean() && self.state.occupancy.oldest_empty().is_none() {
            self.begin_group()?;
            return self.end_group(None);
        }
        self.sync()
    }
}

/// Groups.
impl Writer {
    fn begin_group(&mut self) -> Result<(), Stopped> {
        if self.head.offset >= self.segment_bytes {
            self.begin_segment()?;
        }
        self.buffer.start();
        Ok(())
    }

    /// Writes what is in the buffer, and something anew if it is time to. `done`: the last ticket in it.
    fn end_group(&mut self, done: Option<u64>) -> Result<(), Stopped> {
        self.clean();
        if self.buffer.len() > 0 {
            self.write_group()?;
        }
        if let Some(done) = done {
            self.queue.advance(done);
            self.metrics.groups.inc();
        }
        let now = crate::clock::now();
        let interval_over = match (self.durability, self.unsynced_since) {
            (Durability::Interval(interval), Some(since)) => since + interval <= now,
            _ => false,
        };
        if interval_over {
            self.sync()?;
        }
        if self.unsynced_since.is_none() {
            self.remove_what_is_empty();
        }
        self.metrics.live_bytes.set(gauge(self.state.occupancy.live_bytes()));
        self.metrics.disk_bytes.set(gauge(self.disk_bytes()));
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Writes the buffer behind the last group, and syncs it if every group is to be. A full disk is tried again until
    /// there is room: what was written of the group is cut off, then all of it is written again, so that no sync that
    /// failed is ever counted on. Any other failure is final.
    ///
    /// Meanwhile the queue grows by what publishers may send without an acknowledgement, and by what receivers settle;
    /// nothing is removed from the disk, because what was settled is not safe yet.
    fn write_group(&mut self) -> Result<(), Stopped> {
        let number = self.next_group;
        let mut full = false;
        while let Err(error) = self.try_group(number) {
            self.fail(&error, is_full(&error))?;
            full = true;
            self.head.file.truncate(self.head.offset).ok();
        }
        if full {
            self.recovered();
        }
        Ok(())
    }

    fn try_group(&mut self, number: u64) -> io::Result<()> {
        let bytes = self.buffer.finish(self.head.sequence, number, self.synced_group);
        let length = bytes.len() as u64;
        self.head.file.write_at(self.head.offset, bytes)?;
        if self.durability == Durability::Always {
            self.timed_sync()?;
            self.synced_group = number + 1;
        } else if self.unsynced_since.is_none() {
            self.unsynced_since = Some(crate::clock::now());
        }
        self.next_group = number + 1;
        self.head.offset += length;
        self.segments.insert(self.head.sequence, self.head.offset);
        self.metrics.bytes_written.inc_by(length);
        Ok(())
    }

    /// Syncs what is written and not synced.
    fn sync(&mut self) -> Result<(), Stopped> {
        if self.unsynced_since.is_some() {
            if let Err(error) = self.timed_sync() {
                return self.fail(&error, false);
            }
            self.unsynced_since = None;
            self.synced_group = self.next_group;
        }
        self.remove_what_is_empty();
        Ok(())
    }

    fn timed_sync(&mut self) -> io::Result<()> {
        let started = crate::clock::now();
        self.head.file.sync()?;
        self.metrics.sync_seconds.observe(crate::clock::now().duration_since(started).as_secs_f64());
        Ok(())
    }

    /// Makes a failure known. If it may pass, waits a while; otherwise, or if the end is wanted, it is the end.
    fn fail(&mut self, error: &io::Error, recoverable: bool) -> Result<(), Stopped> {
        let path = self.disk.path().join(file_name(self.head.sequence));
        let text = format!("{}: {error}", path.display());
        if !recoverable {
            self.queue.set_failure(Some(format!("{text}; restart the broker once the disk is in order")));
            return Err(Stopped);
        }
        if self.queue.failure().is_none() {
            tracing::error!(failure = text, "storage: the disk is full; trying again until there is room");
        }
        self.queue.set_failure(Some(format!("{text}; goes on by itself when there is room")));
        if self.queue.pause(FULL_DISK_RETRY) { Ok(()) } else { Err(Stopped) }
    }

    fn recovered(&self) {
        tracing::info!("storage: there is room on the disk again");
        self.queue.set_failure(None);
    }
}

/// Segments.
impl Writer {
    /// Goes on in a new segment. The old one is synced first: only a last segment may ever be torn.
    pub(super) fn begin_segment(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        let header = SegmentHeader {
            sequence: self.head.sequence + 1,
            first_group: self.next_group,
            marks: self.state.marks,
        };
        let mut full = false;
        loop {
            match create_segment(&mut *self.disk, &header) {
                Ok(file) => {
                    self.head = Head { file, sequence: header.sequence, offset: SEGMENT_HEADER_BYTES as u64 };
                    break;
                }
                Err(error) => self.fail(&error, is_full(&error))?,
            }
            full = true;
        }
        if full {
            self.recovered();
        }
        self.segments.insert(self.head.sequence, self.head.offset);
        self.state.begin_segment(header.sequence, header.marks);
        Ok(())
    }

    /// Whether the log is larger than it should be.
    fn must_clean(&self) -> bool {
        let wanted = SPACE_FACTOR * self.state.occupancy.live_bytes() + SLACK_SEGMENTS * self.segment_bytes;
        self.state.occupancy.oldest().is_some() && self.disk_bytes() > wanted
    }

    /// Writes something of the oldest segment anew, into the group that is being put together.
    fn clean(&mut self) {
        let least = self.part_of_segment(CLEANED_PART);
        let until = self.buffer.len() + least.max(CLEANED_FACTOR * self.buffer.len());
        while self.buffer.len() < until && self.must_clean() && self.clean_one() {}
    }

    /// Writes one thing of the oldest segment anew. False if nothing in it is needed any more.
    pub(super) fn clean_one(&mut self) -> bool {
        let Some(item) = self.state.next_in_oldest() else { return false };
        let mut encoder = Encoder { out: self.buffer.records(), anchor: self.anchor };
        match item {
            Item::Message(stamp) => {
                if let Some(kept) = self.state.messages.get(&stamp) {
                    encoder.kept_message(kept);
                }
            }
            Item::Session(id) => {
                if let Some(session) = self.state.sessions.get(&id)
                    && let Some(owner) = &session.owner
                {
                    encoder.kept_session(id, owner, session);
                }
            }
        }
        self.state.relocate(item);
        true
    }

    /// Writes everything that is needed into the segment that is written to, and moves the damaged segments aside, all
    /// other old ones away. If the process ends meanwhile, the loss must be accepted again, and nothing more is lost.
    pub(super) fn rewrite(&mut self, damaged: &BTreeSet<u64>) -> io::Result<()> {
        while let Some(oldest) = self.state.occupancy.oldest() {
            self.buffer.start();
            while self.buffer.len() < self.part_of_segment(GROUP_PART) && self.clean_one() {}
            if self.buffer.len() > 0 {
                self.try_group(self.next_group)?;
            }
            if self.state.occupancy.oldest_empty().is_none() {
                continue;
            }
            self.head.file.sync()?;
            let name = file_name(oldest);
            if damaged.contains(&oldest) && self.segments.contains_key(&oldest) {
                let aside = format!("{name}.damaged-{}", self.anchor.wall_nanoseconds / 1_000_000_000);
                self.disk.rename(&name, &aside)?;
                self.disk.sync_directory()?;
                tracing::warn!(segment = name, moved_to = aside, "storage: damaged segment moved aside");
            }
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Removes the oldest segment, if nothing in it is needed. If that fails, it is tried again after a while, and
    /// younger ones stay: with one of them gone, the next start would find a hole in the log.
    fn remove_what_is_empty(&mut self) {
        if self.removal_retry.is_some_and(|retry| crate::clock::now() < retry) {
            return;
        }
        let Some(oldest) = self.state.occupancy.oldest_empty() else { return };
        if let Err(error) = self.remove_oldest() {
            tracing::warn!(segment = file_name(oldest), %error, "storage: cannot remove a segment; trying again");
            self.removal_retry = Some(crate::clock::now() + REMOVAL_RETRY);
        } else {
            self.removal_retry = None;
        }
    }

    /// Removes the oldest segment, if nothing in it is needed. Everything that was written anew must be synced. One at
    /// a time: a power cut may undo a removal, but must not undo an earlier one and keep a later one.
    fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.state.occupancy.oldest_empty() else { return Ok(()) };
        match self.disk.remove(&file_name(oldest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => self.disk.sync_directory()?,
        }
        self.segments.remove(&oldest);
        self.state.occupancy.remove_oldest();
        Ok(())
    }
}

/// Creates a segment that will outlive a power cut.
pub(super) fn create_segment(disk: &mut dyn Disk, header: &SegmentHeader) -> io::Result<Box<dyn DiskFile>> {
    let mut file = disk.create(&file_name(header.sequence))?;
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.sync_directory()?;
    Ok(file)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

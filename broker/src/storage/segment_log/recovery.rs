//! Reads a log from its first segment to its last and gives back what it adds up to.
//!
//! The end of the last segment may be torn: what is behind the last whole group is copied to a file next to it and cut
//! off; nobody was told that it is safe. Anything else that cannot be read is damage, and refused, unless the loss was
//! accepted; `format` says how the two are told apart.

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use super::{
    anchor::Anchor,
    disk::Disk,
    encoding::Decoder,
    failure::OpenError,
    format::{Group, HeaderError, SEGMENT_HEADER_BYTES, SegmentHeader, file_name, sequence_of},
    state::State,
};

/// How often a long recovery says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A log that has been read.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) state: State,
    /// The segments in which whole groups were found, the oldest first.
    pub(super) segments: Vec<SegmentFile>,
    /// The number of the group after the last one.
    pub(super) next_group: u64,
    /// How much was cut off, in bytes.
    pub(super) quarantined_bytes: u64,
    /// The segments with damage that was accepted; the log must be written anew.
    pub(super) damaged: BTreeSet<u64>,
}

/// A segment on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
}

/// Reads the log in a directory.
pub(super) fn replay(
    disk: &mut dyn Disk,
    anchor: Anchor,
    accept_damage: bool,
) -> Result<Replayed, OpenError> {
    let names = disk.list().map_err(|source| OpenError::Io {
        path: disk.path().to_owned(),
        action: "list the directory",
        source,
    })?;
    let mut sequences: Vec<_> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();
    let mut replay = Replay {
        disk,
        anchor,
        accept_damage,
        last: sequences.last().copied(),
        previous_end: None,
        places: Vec::new(),
        synced: 0,
        reported_at: crate::clock::now(),
        found: Replayed {
            state: State::replaying(),
            segments: Vec::new(),
            next_group: FIRST_GROUP,
            quarantined_bytes: 0,
            damaged: BTreeSet::new(),
        },
    };
    for sequence in sequences {
        replay.segment(sequence)?;
    }
    Ok(replay.found)
}

/// The number of the first group of a new log.
pub(super) const FIRST_GROUP: u64 = 1;

struct Replay<'a> {
    disk: &'a mut dyn Disk,
    anchor: Anchor,
    accept_damage: bool,
    last: Option<u64>,
    /// The segment before, and where its last group ended.
    previous_end: Option<(u64, u64)>,
    /// The numbers of the groups in this segment, and where they begin and end.
    places: Vec<(u64, usize, usize)>,
    /// Every group below this number was synced.
    synced: u64,
    reported_at: Instant,
    found: Replayed,
}

impl Replay<'_> {
    fn segment(&mut self, sequence: u64) -> Result<(), OpenError> {
        let name = file_name(sequence);
        let file = self.disk.read(&name).map_err(|source| self.io(sequence, "read", source))?;
        let Some(header) = self.header(sequence, &file)? else { return Ok(()) };
        self.check_link(sequence, &header)?;
        self.found.state.begin_segment(sequence, header.marks);
        self.places.clear();
        let end = self.groups(sequence, &file)?;
        if self.last == Some(sequence) {
            self.write_again(sequence, &file)?;
        }
        self.previous_end = Some((sequence, end));
        self.found.segments.push(SegmentFile { sequence, bytes: end });
        Ok(())
    }

    /// The header; `None` if the segment was only about to begin.
    fn header(&mut self, sequence: u64, file: &[u8]) -> Result<Option<SegmentHeader>, OpenError> {
        let path = || self.disk.path().join(file_name(sequence));
        match SegmentHeader::decode(file) {
            Ok(header) if header.sequence == sequence => return Ok(Some(header)),
            Ok(_) => self.damage(sequence, 0, "it is another segment under this name")?,
            Err(HeaderError::Version(found)) => return Err(OpenError::Version { path: path(), found }),
            Err(HeaderError::Unreadable) => {
                if !SegmentHeader::may_be_torn(file) {
                    return Err(OpenError::Foreign { path: path() });
                }
                let has_groups = Group::search(file, 0, sequence, 0).is_some();
                if self.last == Some(sequence) && !has_groups {
                    self.discard(sequence, file)?;
                    return Ok(None);
                }
                self.damage(sequence, 0, "its header is unreadable")?;
            }
        }
        let marks = self.found.state.marks;
        Ok(Some(SegmentHeader { sequence, first_group: self.found.next_group, marks }))
    }

    /// Whether nothing is missing between the segment before and this one.
    fn check_link(&mut self, sequence: u64, header: &SegmentHeader) -> Result<(), OpenError> {
        let expected = std::mem::replace(&mut self.found.next_group, header.first_group);
        let Some((previous, end)) = self.previous_end else { return Ok(()) };
        if self.found.damaged.contains(&previous) {
            return Ok(());
        }
        if previous + 1 != sequence {
            return self.damage(previous + 1, 0, "the file is missing");
        }
        if header.first_group != expected {
            return self.damage(previous, end, "groups are missing at its end");
        }
        Ok(())
    }

    /// Applies the groups of a segment; returns where the last one ended.
    fn groups(&mut self, sequence: u64, file: &[u8]) -> Result<u64, OpenError> {
        let mut offset = SEGMENT_HEADER_BYTES.min(file.len());
        loop {
            match Group::at(file, offset, sequence) {
                Some(group) if group.number == self.found.next_group => {
                    self.group(sequence, offset, &group)?;
                    offset = group.end;
                }
                _ if offset == file.len() => return Ok(offset as u64),
                _ => match self.gap(sequence, file, offset)? {
                    Some(further) => offset = further,
                    None => return Ok(offset as u64),
                },
            }
        }
    }

    fn group(&mut self, sequence: u64, offset: usize, group: &Group<'_>) -> Result<(), OpenError> {
        let mut decoder = Decoder { records: group.records, anchor: self.anchor };
        loop {
            match decoder.next(&self.found.state) {
                Ok(Some(change)) => self.found.state.apply_change(change),
                Ok(None) => break,
                Err(_) => {
                    self.damage(sequence, offset as u64, "a record makes no sense")?;
                    break;
                }
            }
        }
        self.found.next_group = group.number + 1;
        self.synced = self.synced.max(group.synced);
        self.places.push((group.number, offset, group.end));
        self.report(sequence);
        Ok(())
    }

    /// There is something at `offset` that is not the next group. Returns where to go on, if anywhere.
    fn gap(&mut self, sequence: u64, file: &[u8], offset: usize) -> Result<Option<usize>, OpenError> {
        let bad = self.found.next_group;
        let mut further = Group::search(file, offset, sequence, bad);
        let first_further = further;
        while let Some((at, group)) = further {
            if group.synced > bad {
                break;
            }
            further = Group::search(file, at, sequence, bad);
        }
        if further.is_none() && self.last == Some(sequence) {
            self.cut(sequence, file, offset)?;
            return Ok(None);
        }
        self.damage(sequence, offset as u64, "a group is unreadable")?;
        Ok(first_further.map(|(at, group)| {
            self.found.next_group = group.number;
            at
        }))
    }

    /// Writes the groups again that were perhaps never synced, and syncs them. They may be in the system's cache alone
    /// and marked as clean there: a sync that failed leaves them so, and another sync would not write them.
    fn write_again(&mut self, sequence: u64, file: &[u8]) -> Result<(), OpenError> {
        let io = |this: &Self, source| this.io(sequence, "write", source);
        let mut open = self.disk.open(&file_name(sequence)).map_err(|error| io(self, error))?;
        let header = (0, 0, SEGMENT_HEADER_BYTES);
        let unsynced = self.places.iter().filter(|(number, ..)| *number >= self.synced);
        for (_, start, end) in unsynced.chain([&header]) {
            let bytes = file.get(*start..*end).unwrap_or_default();
            open.write_at(*start as u64, bytes).map_err(|error| io(self, error))?;
        }
        open.sync().and_then(|()| self.disk.sync_directory()).map_err(|error| io(self, error))
    }

    /// Cuts off what is behind the last whole group.
    fn cut(&mut self, sequence: u64, file: &[u8], offset: usize) -> Result<(), OpenError> {
        let torn = file.get(offset..).unwrap_or_default();
        self.quarantine(sequence, offset, torn);
        let mut open = self.disk.open(&file_name(sequence)).map_err(|e| self.io(sequence, "open", e))?;
        let cut = open.truncate(offset as u64).and_then(|()| open.sync());
        cut.map_err(|source| self.io(sequence, "cut off the torn end of", source))
    }

    /// Removes a segment in which nothing was committed.
    fn discard(&mut self, sequence: u64, file: &[u8]) -> Result<(), OpenError> {
        self.quarantine(sequence, 0, file);
        let name = file_name(sequence);
        let removed = self.disk.remove(&name).and_then(|()| self.disk.sync_directory());
        removed.map_err(|source| self.io(sequence, "remove", source))
    }

    /// Keeps torn bytes for those who want to look at them. They were promised to nobody: if there is no room for them,
    /// the broker starts all the same.
    fn quarantine(&mut self, sequence: u64, offset: usize, torn: &[u8]) {
        self.found.quarantined_bytes += torn.len() as u64;
        let (segment, bytes) = (file_name(sequence), torn.len());
        if torn.iter().all(|byte| *byte == 0) {
            tracing::warn!(segment, offset, bytes, "storage: the end was never written, and is cut off");
            return;
        }
        let name = format!("{segment}.torn-{offset}-{}", self.anchor.wall_nanoseconds / 1_000_000_000);
        let kept = self.disk.create(&name).and_then(|mut file| file.write_at(0, torn));
        match kept {
            Ok(()) => tracing::warn!(segment, offset, bytes, moved_to = name, "storage: torn end cut off"),
            Err(error) => {
                tracing::warn!(segment, offset, bytes, %error, "storage: torn end cut off, and not kept");
            }
        }
    }

    fn damage(&mut self, sequence: u64, offset: u64, detail: &'static str) -> Result<(), OpenError> {
        let path = self.disk.path().join(file_name(sequence));
        if !self.accept_damage {
            return Err(OpenError::Damaged { path, offset, detail });
        }
        tracing::error!(file = %path.display(), offset, detail, "storage: damage, and the loss is accepted");
        self.found.damaged.insert(sequence);
        Ok(())
    }

    fn io(&self, sequence: u64, action: &'static str, source: io::Error) -> OpenError {
        OpenError::Io { path: self.disk.path().join(file_name(sequence)), action, source }
    }

    fn report(&mut self, sequence: u64) {
        let now = crate::clock::now();
        if now.duration_since(self.reported_at) >= PROGRESS_INTERVAL {
            self.reported_at = now;
            let (messages, sessions) = (self.found.state.messages.len(), self.found.state.sessions.len());
            let left = self.last.unwrap_or(sequence) - sequence;
            tracing::info!(messages, sessions, segments_left = left, "storage: reading");
        }
    }
}

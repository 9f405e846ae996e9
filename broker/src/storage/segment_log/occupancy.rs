//! How much of each segment is still needed, and what it is.

use std::collections::VecDeque;

use crate::router::{MailboxId, Stamp};

/// The segments that exist, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    segments: VecDeque<Segment>,
    live_bytes: u64,
}

/// What is live in one segment.
#[derive(Debug)]
struct Segment {
    sequence: u64,
    live_bytes: u64,
    /// Everything that was ever placed here and has not been looked at by the cleaner; most may be dead, or elsewhere.
    placed: Vec<Item>,
}

/// Something that is kept as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// A message with its receivers.
    Message(Stamp),
    /// A session with its subscriptions and open exchanges.
    Session(MailboxId),
}

impl Occupancy {
    /// A segment begins, behind all others. Segments that were lost count as empty ones: see [`Self::segment`].
    pub(super) fn begin(&mut self, sequence: u64) {
        let after = self.segments.back().map_or(sequence, |last| last.sequence + 1);
        for lost in after..sequence {
            self.segments.push_back(Segment { sequence: lost, live_bytes: 0, placed: Vec::new() });
        }
        self.segments.push_back(Segment { sequence, live_bytes: 0, placed: Vec::new() });
    }

    /// The segment that is written to.
    pub(super) fn head(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.sequence)
    }

    /// Bytes that are needed, in all segments, as they would be if they were written anew.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The oldest segment; `None` while there is only the one that is written to.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.segments.front().filter(|_| self.segments.len() > 1).map(|oldest| oldest.sequence)
    }

    /// The oldest segment, if nothing in it is needed.
    pub(super) fn oldest_empty(&self) -> Option<u64> {
        let oldest = self.segments.front().filter(|_| self.segments.len() > 1)?;
        (oldest.live_bytes == 0 || oldest.placed.is_empty()).then_some(oldest.sequence)
    }

    /// The oldest segment is gone.
    pub(super) fn remove_oldest(&mut self) {
        if let Some(oldest) = self.segments.pop_front() {
            self.live_bytes -= oldest.live_bytes;
        }
    }

    /// The next item that was placed in the oldest segment. It may be dead, or placed elsewhere by now.
    pub(super) fn pop_oldest(&mut self) -> Option<Item> {
        self.segments.front_mut()?.placed.pop()
    }

    /// An item of this size is now in the segment that is written to.
    pub(super) fn place(&mut self, item: Item, bytes: u64) {
        if let Some(head) = self.segments.back_mut() {
            head.placed.push(item);
            head.live_bytes += bytes;
            self.live_bytes += bytes;
        }
    }

    /// Something in the segment has grown.
    pub(super) fn grow(&mut self, sequence: u64, bytes: u64) {
        if let Some(segment) = self.segment(sequence) {
            segment.live_bytes += bytes;
            self.live_bytes += bytes;
        }
    }

    /// Something in the segment is needed no more.
    pub(super) fn shrink(&mut self, sequence: u64, bytes: u64) {
        if let Some(segment) = self.segment(sequence) {
            let bytes = bytes.min(segment.live_bytes);
            segment.live_bytes -= bytes;
            self.live_bytes -= bytes;
        }
    }

    /// Sequences have no gaps: a segment is found by its distance from the oldest.
    fn segment(&mut self, sequence: u64) -> Option<&mut Segment> {
        let oldest = self.segments.front()?.sequence;
        let at = usize::try_from(sequence.checked_sub(oldest)?).ok()?;
        self.segments.get_mut(at)
    }
}

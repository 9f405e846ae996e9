//! How much waits in all mailboxes together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that wait in all mailboxes together, and how many may.
#[derive(Debug)]
pub struct QueueTotal {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl QueueTotal {
    /// Nothing waits yet.
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(bytes_max),
        }
    }

    /// So many bytes may wait from now on. What waits already stays, even if it is more.
    pub fn set_bytes_max(&self, bytes_max: usize) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// How many messages wait.
    pub fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more may wait.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes() + bytes <= self.bytes_max.load(Ordering::Relaxed)
    }

    /// Replaces what a mailbox held by what it holds.
    pub(super) fn update(&self, before: (usize, usize), after: (usize, usize)) {
        for (total, before, after) in [(&self.messages, before.0, after.0), (&self.bytes, before.1, after.1)]
        {
            if after > before {
                total.fetch_add(after - before, Ordering::Relaxed);
            } else if before > after {
                total.fetch_sub(before - after, Ordering::Relaxed);
            }
        }
    }
}

//! The seam between acknowledging and keeping: what must be safe before a PUBACK leaves goes through a [`Store`].
//!
//! [`Store::append`] never blocks; it returns a [`Ticket`], and an acknowledgement that depends on the record waits
//! until [`Store::durable`] has reached it. [`MemoryStore`] keeps nothing: its records are durable at once, in the
//! sense that they live exactly as long as the process.

mod record;
mod recovered;
mod segment_log;

use std::{fmt, task::Waker};

pub use record::{KeptSubscription, Receiver, Record};
pub use recovered::{LastConnection, Recovered, RecoveredInflight, RecoveredSession};
pub use segment_log::{Durability, OpenError, OpenOptions, SegmentLog};

/// A place in the order of records. Records with a lower or equal ticket are durable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(u64);

impl Ticket {
    /// Before the first record: always durable.
    pub const START: Self = Self(0);

    /// The ticket of the n-th record.
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// Its position, as the session's `not_before`.
    pub const fn position(self) -> u64 {
        self.0
    }
}

/// Where records are kept.
pub trait Store: fmt::Debug + Send + Sync {
    /// Takes a record; it is safe once [`Self::durable`] has reached the ticket. Never blocks and never fails: a store
    /// that cannot write any more simply never gets there.
    fn append(&self, record: Record) -> Ticket;

    /// How far everything is safe.
    fn durable(&self) -> Ticket;

    /// Wakes the task once the ticket is durable. False if it is already.
    fn wait(&self, ticket: Ticket, waker: &Waker) -> bool;

    /// How many bytes of records were taken and are not safe yet: they are in memory. Whoever brings more should wait.
    fn pending_bytes(&self) -> usize;

    /// Whether anything is kept at all. If not, callers need not put records together.
    fn keeps(&self) -> bool;

    /// Why nothing becomes safe at present, with what to do about it; `None` while all is well.
    fn failure(&self) -> Option<String>;

    /// Writes what is still to be written, at the end of the process. Blocks.
    fn close(&self);
}

/// Keeps nothing beyond the process.
#[derive(Debug, Default)]
pub struct MemoryStore;

impl Store for MemoryStore {
    fn append(&self, _: Record) -> Ticket {
        Ticket::START
    }

    fn durable(&self) -> Ticket {
        Ticket::START
    }

    fn wait(&self, _: Ticket, _: &Waker) -> bool {
        false
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn keeps(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<String> {
        None
    }

    fn close(&self) {}
}

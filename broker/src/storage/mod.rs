//! The seam between acknowledging and keeping: what must be safe before a PUBACK leaves goes through a [`Store`].
//!
//! [`Store::append`] never blocks; it returns a [`Ticket`], and an acknowledgement that depends on the record waits
//! until [`Store::durable`] has reached it. [`MemoryStore`] keeps nothing: its records are durable at once, in the
//! sense that they live exactly as long as the process.

use std::{fmt, sync::Arc, task::Waker};

use crate::router::Message;

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

/// Something that must outlive the process.
#[derive(Debug)]
pub enum Record<'a> {
    /// Messages for sessions that outlive their connections.
    Messages(&'a [Arc<Message>]),
    /// A message that is retained.
    Retained(&'a Arc<Message>),
    /// The topic whose retained message ended.
    RetainedRemoved(&'a str),
}

/// Where records are kept.
pub trait Store: fmt::Debug + Send + Sync {
    /// Takes a record; it is safe once [`Self::durable`] has reached the ticket.
    fn append(&self, record: &Record<'_>) -> Ticket;

    /// How far everything is safe.
    fn durable(&self) -> Ticket;

    /// Wakes the task once the ticket is durable. False if it is already.
    fn wait(&self, ticket: Ticket, waker: &Waker) -> bool;
}

/// Keeps nothing beyond the process.
#[derive(Debug, Default)]
pub struct MemoryStore;

impl Store for MemoryStore {
    fn append(&self, _: &Record<'_>) -> Ticket {
        Ticket::START
    }

    fn durable(&self) -> Ticket {
        Ticket::START
    }

    fn wait(&self, _: Ticket, _: &Waker) -> bool {
        false
    }
}

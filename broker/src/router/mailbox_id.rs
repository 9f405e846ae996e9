//! Names of mailboxes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names a mailbox, and so the session whose messages it holds, for ever: storage refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(u64);

impl MailboxId {
    /// A name that was given out before.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The name as a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Gives out names of mailboxes.
#[derive(Debug)]
pub struct MailboxIds(AtomicU64);

impl MailboxIds {
    /// Continues behind everything that was given out before.
    pub const fn after(last: u64) -> Self {
        Self(AtomicU64::new(last + 1))
    }

    /// The next name.
    pub fn next(&self) -> MailboxId {
        MailboxId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

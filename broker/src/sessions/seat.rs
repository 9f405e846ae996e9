//! A connection's place in the registry, by which others can end it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Waker,
};

use gaugeline_protocol::ReasonCode;
use parking_lot::Mutex;

use crate::auth::RealmId;

/// One for each connection. The connection looks at its verdict whenever it is woken.
#[derive(Debug, Default)]
pub struct Seat {
    /// Under whose rules it came in.
    realm: RealmId,
    /// Whose connection it is; `None` for an anonymous client.
    user: Option<Arc<str>>,
    /// The reason to end with, or 0.
    verdict: AtomicU8,
    /// The connection's task. Its waker never changes, so it is set once.
    task: Mutex<Option<Waker>>,
}

impl Seat {
    /// A seat for a connection of this user.
    pub fn of(realm: RealmId, user: Option<Arc<str>>) -> Self {
        Self { realm, user, ..Self::default() }
    }

    /// Under whose rules it came in.
    pub fn realm(&self) -> RealmId {
        self.realm
    }

    /// Whose connection it is.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The connection's task introduces itself.
    pub fn occupy(&self, waker: &Waker) {
        *self.task.lock() = Some(waker.clone());
    }

    /// Ends the connection with this reason; the first verdict stands.
    pub fn vacate(&self, reason: ReasonCode) {
        // Relaxed suffices: the lock of `task` orders the verdict before the wake-up.
        self.verdict.compare_exchange(0, reason.byte(), Ordering::Relaxed, Ordering::Relaxed).ok();
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The reason with which the connection has to end, if it has to.
    pub fn verdict(&self) -> Option<ReasonCode> {
        match self.verdict.load(Ordering::Relaxed) {
            0 => None,
            byte => ReasonCode::from_byte(byte),
        }
    }
}

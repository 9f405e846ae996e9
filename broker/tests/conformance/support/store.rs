//! A store that is as slow as a test wants it to be.

use std::task::Waker;

use gaugeline_broker::storage::{Record, Store, Ticket};
use parking_lot::Mutex;

/// Remembers what it was given; nothing is safe until the test says so.
#[derive(Debug, Default)]
pub(crate) struct HeldStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    durable: u64,
    open: bool,
    waiting: Vec<Waker>,
}

impl HeldStore {
    /// Everything so far is safe.
    pub(crate) fn catch_up(&self) {
        let mut state = self.state.lock();
        state.durable = state.records.len() as u64;
        state.wake();
    }

    /// The next record is safe.
    pub(crate) fn step(&self) {
        let mut state = self.state.lock();
        state.durable = (state.durable + 1).min(state.records.len() as u64);
        state.wake();
    }

    /// From now on everything is safe at once, or not.
    pub(crate) fn set_open(&self, open: bool) {
        self.state.lock().open = open;
        self.catch_up();
    }

    /// How many records of a kind there are.
    pub(crate) fn count(&self, kind: impl Fn(&Record) -> bool) -> usize {
        self.state.lock().records.iter().filter(|record| kind(record)).count()
    }
}

impl State {
    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl Store for HeldStore {
    fn append(&self, record: Record) -> Ticket {
        let mut state = self.state.lock();
        state.records.push(record);
        if state.open {
            state.durable = state.records.len() as u64;
        }
        Ticket::new(state.records.len() as u64)
    }

    fn durable(&self) -> Ticket {
        Ticket::new(self.state.lock().durable)
    }

    fn wait(&self, ticket: Ticket, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        let waits = state.durable < ticket.position();
        if waits {
            state.waiting.push(waker.clone());
        }
        waits
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn keeps(&self) -> bool {
        true
    }

    fn failure(&self) -> Option<String> {
        None
    }

    fn close(&self) {}
}

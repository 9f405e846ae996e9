//! Between those who append and the one who writes: the records that wait, how far everything is safe, and who is to be
//! woken. One short mutex; nothing is woken and nothing is written while it is held.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::Waker,
    time::{Duration, Instant},
};

use foldhash::HashMap;
use parking_lot::{Condvar, Mutex};

use crate::storage::{Record, Ticket};

/// How long records lie in memory that nobody waits for. Acknowledgements by receivers come like that: what a crash
/// takes of them is delivered again, which QoS 1 allows; whoever must know better waits for the ticket.
const IDLE_WAIT: Duration = Duration::from_millis(20);
/// As many records are written without waiting for [`IDLE_WAIT`]: a group of this size is worth a sync of its own.
const RECORDS_MAX: usize = 4096;

/// The queue of records, and the way back.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// The highest ticket that is safe. Written under the lock, read without it.
    durable: AtomicU64,
    /// The bytes of what was appended and is not safe. Written under the lock, read without it.
    pending_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    records: Vec<Record>,
    bytes: usize,
    /// Of what the writer has taken and not made safe.
    taken_bytes: usize,
    /// When the first of them was appended.
    first_at: Option<Instant>,
    /// How many were ever appended: the ticket of the last one.
    appended: u64,
    /// The ticket of the last one that the writer has taken.
    taken: u64,
    /// The highest ticket that somebody waits for.
    awaited: u64,
    waiters: Waiters,
    closing: bool,
    /// The writer is gone: nothing that is appended will ever be safe.
    abandoned: bool,
    /// Why nothing becomes safe at present.
    failure: Option<String>,
}

/// Those who wait, each once: a task that asks again and again while it waits is woken once a group. Keyed by the
/// waker's address, which no other task has as long as the waker is held.
#[derive(Debug, Default)]
struct Waiters {
    by_task: HashMap<usize, (u64, Waker)>,
    /// Wakers that share their address with one of another kind: rare, and woken too often rather than too seldom.
    others: Vec<(u64, Waker)>,
}

/// What the writer is to do.
#[derive(Debug)]
pub(super) enum Work {
    /// Write what was taken; this is the ticket of the last record.
    Write(u64),
    /// Nothing came until the deadline.
    Deadline,
    /// Nothing is left, and nothing will come.
    Close,
}

impl Queue {
    pub(super) fn append(&self, record: Record) -> Ticket {
        let mut inner = self.inner.lock();
        inner.appended += 1;
        let ticket = Ticket::new(inner.appended);
        if inner.abandoned {
            return ticket;
        }
        inner.bytes += record.size();
        self.pending_bytes.store(inner.bytes + inner.taken_bytes, Ordering::Relaxed);
        inner.records.push(record);
        let notify = match inner.records.len() {
            1 => {
                inner.first_at = Some(crate::clock::now());
                true
            }
            count => count == RECORDS_MAX,
        };
        drop(inner);
        if notify {
            self.work.notify_one();
        }
        ticket
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn wait(&self, ticket: u64, waker: &Waker) -> bool {
        if self.durable() >= ticket {
            return false;
        }
        let mut inner = self.inner.lock();
        if self.durable() >= ticket {
            return false;
        }
        inner.waiters.insert(ticket, waker);
        let news = ticket > inner.awaited.max(inner.taken);
        inner.awaited = inner.awaited.max(ticket);
        drop(inner);
        if news {
            self.work.notify_one();
        }
        true
    }

    /// Takes everything that waits, once it is time to. `records` must be empty; its memory goes to those who append.
    pub(super) fn take(&self, records: &mut Vec<Record>, deadline: Option<Instant>) -> Work {
        let mut inner = self.inner.lock();
        loop {
            let due = inner.due(deadline);
            let now = crate::clock::now();
            if !inner.records.is_empty() && due.is_some_and(|due| due <= now) {
                std::mem::swap(&mut inner.records, records);
                inner.first_at = None;
                inner.taken = inner.appended;
                inner.taken_bytes += std::mem::take(&mut inner.bytes);
                return Work::Write(inner.taken);
            }
            if inner.closing {
                return Work::Close;
            }
            if due.is_some_and(|due| due <= now) {
                return Work::Deadline;
            }
            match due {
                Some(due) => {
                    self.work.wait_until(&mut inner, due);
                }
                None => self.work.wait(&mut inner),
            }
        }
    }

    /// Everything up to the ticket is safe.
    pub(super) fn advance(&self, durable: u64) {
        let mut inner = self.inner.lock();
        self.durable.store(durable, Ordering::Release);
        if durable >= inner.taken {
            inner.taken_bytes = 0;
            self.pending_bytes.store(inner.bytes, Ordering::Relaxed);
        }
        let woken = inner.waiters.take(durable);
        drop(inner);
        for waker in woken {
            waker.wake();
        }
    }

    /// Nothing becomes safe at present, or, with `None`, it does again.
    pub(super) fn set_failure(&self, failure: Option<String>) {
        self.inner.lock().failure = failure;
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.inner.lock().failure.clone()
    }

    /// Waits, unless the end is wanted: then false.
    pub(super) fn pause(&self, length: Duration) -> bool {
        let until = crate::clock::now() + length;
        let mut inner = self.inner.lock();
        while !inner.closing {
            if self.work.wait_until(&mut inner, until).timed_out() {
                return true;
            }
        }
        false
    }

    pub(super) fn close(&self) {
        self.inner.lock().closing = true;
        self.work.notify_one();
    }

    /// The writer ends.
    pub(super) fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.abandoned = true;
        let records = std::mem::take(&mut inner.records);
        drop(inner);
        drop(records);
    }
}

impl Inner {
    /// When the writer must look at what there is.
    fn due(&self, deadline: Option<Instant>) -> Option<Instant> {
        let Some(first_at) = self.first_at else { return deadline };
        if self.awaited > self.taken || self.closing || self.records.len() >= RECORDS_MAX {
            return Some(first_at);
        }
        let idle = first_at + IDLE_WAIT;
        Some(deadline.map_or(idle, |deadline| deadline.min(idle)))
    }
}

impl Waiters {
    fn insert(&mut self, ticket: u64, waker: &Waker) {
        let (known_ticket, known) =
            self.by_task.entry(waker.data() as usize).or_insert_with(|| (ticket, waker.clone()));
        if known.will_wake(waker) {
            *known_ticket = ticket;
        } else {
            self.others.push((ticket, waker.clone()));
        }
    }

    /// Those who wait for this ticket or an earlier one.
    fn take(&mut self, durable: u64) -> Vec<Waker> {
        let due = self.by_task.extract_if(|_, (ticket, _)| *ticket <= durable);
        let mut woken: Vec<_> = due.map(|(_, (_, waker))| waker).collect();
        let due = self.others.extract_if(.., |(ticket, _)| *ticket <= durable);
        woken.extend(due.map(|(_, waker)| waker));
        woken
    }
}

//! What the threads of a run tell each other while it runs: counters, added to once per read or write, and the signal
//! to start and stop. Relaxed ordering throughout: each is a sum of its own, and the final figures come from the
//! threads' [`super::tally::Tally`], handed over when they end.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use mio::Waker;

use super::plan::Plan;

/// Counters and signals of one run.
#[derive(Debug)]
pub(super) struct Shared {
    /// All times on the wire count from here.
    epoch: Instant,
    start: OnceLock<Instant>,
    stop_publishing: AtomicBool,
    stop: AtomicBool,
    /// Clients that are connected and subscribed; in a storm, all that ever were.
    pub(super) opened: AtomicU64,
    /// Clients that the broker or the network has thrown out.
    pub(super) disconnected: AtomicU64,
    /// Threads whose clients are all open.
    pub(super) threads_open: AtomicU64,
    /// Threads that will publish no more.
    pub(super) threads_published: AtomicU64,
    pub(super) published: AtomicU64,
    /// Acknowledged, refused, or lost with their connection.
    pub(super) settled: AtomicU64,
    /// Deliveries, without repeated ones.
    pub(super) delivered: AtomicU64,
    /// Deliveries that a later one has overtaken: probably lost.
    missing: AtomicI64,
    /// Deliveries that the closed loop does not wait for any more.
    forgiven: AtomicU64,
    /// A publisher waits for room in the closed loop.
    blocked: AtomicBool,
    wakers: Vec<Waker>,
}

impl Shared {
    pub(super) fn new(epoch: Instant, wakers: Vec<Waker>) -> Self {
        Self {
            epoch,
            start: OnceLock::new(),
            stop_publishing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            threads_open: AtomicU64::new(0),
            threads_published: AtomicU64::new(0),
            published: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            missing: AtomicI64::new(0),
            forgiven: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            wakers,
        }
    }

    /// Nanoseconds from the epoch to `now`.
    #[inline]
    pub(super) fn nanoseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Lets the publishers begin.
    pub(super) fn begin(&self, now: Instant) {
        let _already = self.start.set(now);
        self.wake_all();
    }

    /// When the publishers began, in nanoseconds from the epoch.
    pub(super) fn start(&self) -> Option<u64> {
        self.start.get().map(|start| self.nanoseconds(*start))
    }

    /// Ends publishing early, because the run is spoilt.
    pub(super) fn stop_publishing(&self) {
        self.stop_publishing.store(true, Relaxed);
    }

    pub(super) fn publishing_is_stopped(&self) -> bool {
        self.stop_publishing.load(Relaxed)
    }

    /// Ends the run.
    pub(super) fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.wake_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Deliveries that a subscriber has counted in one read; `missing` is how the gaps have changed.
    pub(super) fn add_deliveries(&self, delivered: u64, missing: i64) {
        if delivered > 0 {
            self.delivered.fetch_add(delivered, Relaxed);
        }
        if missing != 0 {
            self.missing.fetch_add(missing, Relaxed);
        }
        if self.wakers.len() > 1 && self.blocked.swap(false, Relaxed) {
            self.wake_all();
        }
    }

    /// Deliveries that are still to come, as far as anybody knows.
    pub(super) fn awaited(&self, plan: &Plan) -> u64 {
        let missing = u64::try_from(self.missing.load(Relaxed)).unwrap_or(0);
        let done = self.delivered.load(Relaxed) + missing + self.forgiven.load(Relaxed);
        (self.published.load(Relaxed) * plan.copies()).saturating_sub(done)
    }

    /// How many messages may be published now.
    pub(super) fn allowance(&self, plan: &Plan) -> u64 {
        match plan.outstanding {
            Some(limit) => limit.saturating_sub(self.awaited(plan).div_ceil(plan.copies().max(1))),
            None => u64::MAX,
        }
    }

    /// For how long the broker is busy with what it has, at its pace so far, if that is more than half of what the
    /// windows let it have; nothing at a fixed rate.
    pub(super) fn backlog(&self, plan: &Plan, now: Instant) -> Option<Duration> {
        let settled = self.settled.load(Relaxed);
        let (waiting, limit, done) = match plan.outstanding {
            Some(limit) => (self.awaited(plan), limit * plan.copies(), self.delivered.load(Relaxed)),
            None if plan.qos > 0 && plan.rate.is_none() => {
                let limit = u64::from(plan.publishers) * u64::from(plan.window);
                (self.published.load(Relaxed).saturating_sub(settled), limit, settled)
            }
            None => return None,
        };
        let elapsed = now.saturating_duration_since(*self.start.get()?);
        let nanoseconds = elapsed.as_nanos() * u128::from(waiting) / u128::from(done.max(1));
        (waiting > limit / 2).then(|| Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }

    /// A publisher has no allowance: wake its thread when deliveries are counted by another one.
    pub(super) fn wait_for_deliveries(&self) {
        self.blocked.store(true, Relaxed);
    }

    /// Gives up on what is awaited, so that publishers that wait for it go on.
    pub(super) fn forgive(&self, plan: &Plan) {
        self.forgiven.fetch_add(self.awaited(plan), Relaxed);
        self.wake_all();
    }

    fn wake_all(&self) {
        for waker in &self.wakers {
            // A thread that cannot be woken looks by itself soon: no wait is longer than WAIT_MAX.
            let _looks_by_itself = waker.wake();
        }
    }
}

/// Longest sleep of a thread.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(20);

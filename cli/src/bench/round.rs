//! One round of a run: its threads, and the supervisor that starts, watches and ends them.
//!
//! A plain run is one round. With `--offline` the subscribers visit, the publishers publish, and the subscribers come
//! back: three rounds.

use std::{
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use super::{
    client::Role,
    failure::Failure,
    load::{Casting, Worker},
    plan::{Plan, Side},
    process::Usage,
    progress::Progress,
    publisher::Publisher,
    reactor::Reactor,
    session::Opening,
    shared::Shared,
    subscriber::Subscriber,
    tally::Tally,
    visits::{Purpose, Visitors},
};
use crate::{bench::options::Shape, clock};

/// How often the supervisor looks.
const TICK: Duration = Duration::from_millis(10);
/// The broker must open one more connection, or deliver one more message, within this time.
const STALLED_OPENING: Duration = Duration::from_secs(10);
const STALLED_DRAINING: Duration = Duration::from_secs(2);
/// Most time that messages may take to arrive after the last was published.
const DRAINING_MAX: Duration = Duration::from_secs(120);
/// The closed loop waits so long for a delivery before it takes what is missing for lost.
const STALLED_LOOP: Duration = Duration::from_millis(250);

/// What a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Publishers, subscribers or idle clients, as the shape says.
    Load,
    /// Only the publishers of the shape.
    Publish,
    /// Only the subscribers, whose sessions hold `published` messages.
    Collect { published: u64 },
    /// `count` visits at most.
    Visit(Purpose, u64),
}

/// What a round has brought.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// From the start to the last acknowledgement or delivery.
    pub(super) seconds: f64,
    /// Before the first connection.
    pub(super) broker_empty: Option<Usage>,
    /// At the start, when all are connected.
    pub(super) broker_before: Option<Usage>,
    pub(super) broker_after: Option<Usage>,
    pub(super) own_before: Option<Usage>,
    pub(super) own_after: Option<Usage>,
}

/// Runs one round.
///
/// # Errors
/// The clients cannot all be opened, or the broker's process cannot be looked at.
pub(super) fn run(plan: &Plan, kind: Kind) -> Result<Outcome, Failure> {
    let mut reactors = Vec::new();
    let mut wakers = Vec::new();
    for _ in 0..plan.threads {
        let (reactor, waker) =
            Reactor::new(plan.rate.is_some()).map_err(|error| Failure::failed(format!("epoll: {error}")))?;
        reactors.push(reactor);
        wakers.push(waker);
    }
    let shared = Shared::new(plan.epoch, wakers);
    if let Kind::Collect { published } = kind {
        shared.published.store(published, Relaxed);
    }
    let mut outcome = Outcome {
        tally: Tally::new(),
        seconds: 0.0,
        broker_empty: plan.pid.map(Usage::of).transpose()?,
        broker_before: None,
        broker_after: None,
        own_before: None,
        own_after: None,
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .zip(reactors)
            .map(|(thread, reactor)| {
                let shared = &shared;
                scope.spawn(move || match kind {
                    Kind::Visit(purpose, count) => {
                        Visitors::new(plan, shared, reactor, purpose, thread, count).run()
                    }
                    _ => Worker::new(plan, shared, reactor, cast(plan, kind, thread)).run(),
                })
            })
            .collect();
        let supervised = Supervisor::new(plan, &shared, kind).supervise(&mut outcome);
        shared.stop();
        let mut worked = Ok(());
        for thread in threads {
            match thread.join() {
                Ok(Ok(tally)) => outcome.tally.add(tally),
                Ok(Err(failure)) => worked = Err(failure),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        // A thread knows better than the supervisor why nothing moved.
        worked.and(supervised)
    })?;
    let start = shared.start().unwrap_or(0);
    outcome.seconds = Duration::from_nanos(outcome.tally.last_activity.saturating_sub(start)).as_secs_f64();
    Ok(outcome)
}

/// The clients of one thread: every `threads`th, subscribers first.
fn cast(plan: &Plan, kind: Kind, thread: u16) -> Vec<Casting> {
    let mine =
        |count: u32| (0..count).filter(move |number| number % u32::from(plan.threads) == u32::from(thread));
    if plan.shape == Shape::Idle {
        return mine(plan.connections).map(idle).collect();
    }
    let collect = matches!(kind, Kind::Collect { .. });
    let mut castings = Vec::new();
    if kind != Kind::Publish {
        castings.extend(mine(plan.subscribers).map(|number| subscriber(plan, number, collect)));
    }
    if !collect {
        castings.extend(mine(plan.publishers).map(|number| publisher(plan, number)));
    }
    castings
}

fn idle(number: u32) -> Casting {
    Casting {
        name: format!("client {number}"),
        ordinal: number.into(),
        opening: Opening {
            side: Side::Publisher,
            number: number.into(),
            clean: true,
            keep: false,
            resume: false,
            filter: None,
        },
        role: Role::Idle,
    }
}

fn subscriber(plan: &Plan, number: u32, collect: bool) -> Casting {
    Casting {
        name: format!("subscriber {number}"),
        ordinal: number.into(),
        opening: Opening {
            side: Side::Subscriber,
            number: number.into(),
            clean: !collect,
            keep: plan.persistent,
            resume: collect,
            filter: (!collect).then(|| plan.filter(number)),
        },
        role: Role::Subscriber(Subscriber::new(plan, number)),
    }
}

fn publisher(plan: &Plan, number: u32) -> Casting {
    Casting {
        name: format!("publisher {number}"),
        ordinal: u64::from(plan.subscribers) + u64::from(number),
        opening: Opening {
            side: Side::Publisher,
            number: number.into(),
            clean: true,
            keep: false,
            resume: false,
            filter: None,
        },
        role: Role::Publisher(Publisher::new(plan, number)),
    }
}

/// Watches the counters of a round.
struct Supervisor<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    kind: Kind,
    progress: Progress,
}

impl<'a> Supervisor<'a> {
    fn new(plan: &'a Plan, shared: &'a Shared, kind: Kind) -> Self {
        let clients = match (kind, plan.shape) {
            (Kind::Visit(_, count), _) => count,
            (Kind::Collect { .. }, _) => plan.subscribers.into(),
            (Kind::Publish, _) => plan.publishers.into(),
            (Kind::Load, Shape::Idle) => plan.connections.into(),
            (Kind::Load, _) => u64::from(plan.publishers) + u64::from(plan.subscribers),
        };
        Self { plan, shared, kind, progress: Progress::new(plan, kind, clients, clock::now()) }
    }

    fn supervise(mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        // What waits in sessions comes as soon as they are resumed.
        let from_the_beginning = matches!(self.kind, Kind::Collect { .. } | Kind::Visit(..));
        if from_the_beginning {
            self.begin(outcome)?;
        }
        self.await_opening()?;
        if !from_the_beginning {
            self.begin(outcome)?;
        }
        self.await_publishing()?;
        self.await_deliveries();
        if !self.shared.is_stopped() {
            outcome.broker_after = self.plan.pid.map(Usage::of).transpose()?;
            outcome.own_after = Usage::own();
        }
        Ok(())
    }

    fn begin(&self, outcome: &mut Outcome) -> Result<(), Failure> {
        outcome.broker_before = self.plan.pid.map(Usage::of).transpose()?;
        outcome.own_before = Usage::own();
        self.shared.begin(clock::now());
        Ok(())
    }

    /// One tick later.
    fn tick(&mut self) -> Instant {
        thread::sleep(TICK);
        let now = clock::now();
        self.progress.show(self.shared, now);
        now
    }

    fn await_opening(&mut self) -> Result<(), Failure> {
        let mut watch = Watch::new(clock::now());
        while self.shared.threads_open.load(Relaxed) < self.plan.threads.into() && !self.shared.is_stopped() {
            let now = self.tick();
            let opened = self.shared.opened.load(Relaxed);
            if watch.still(opened + self.shared.delivered.load(Relaxed), now) > STALLED_OPENING {
                return Err(Failure::failed(format!(
                    "{} did not answer for {} seconds after {opened} clients were connected: is it an MQTT{} port, \
                     and not at a limit of connections?",
                    self.plan.address,
                    STALLED_OPENING.as_secs(),
                    if self.plan.tls.is_some() { " over TLS" } else { " (without TLS)" },
                )));
            }
        }
        Ok(())
    }

    /// Until the threads publish no more, or visit no more.
    fn await_publishing(&mut self) -> Result<(), Failure> {
        let (mut delivered, mut opened) = (Watch::new(clock::now()), Watch::new(clock::now()));
        while self.shared.threads_published.load(Relaxed) < self.plan.threads.into()
            && !self.shared.is_stopped()
        {
            let now = self.tick();
            let is_waiting = self.plan.outstanding.is_some() && self.shared.awaited(self.plan) > 0;
            if delivered.still(self.shared.delivered.load(Relaxed), now) > STALLED_LOOP && is_waiting {
                self.shared.forgive(self.plan);
            }
            let still = opened.still(self.shared.opened.load(Relaxed), now);
            if matches!(self.kind, Kind::Visit(..)) && still > STALLED_OPENING {
                return Err(Failure::failed(format!(
                    "{} did not answer CONNECT for {} seconds: is it an MQTT port, and not at a limit of connections?",
                    self.plan.address,
                    STALLED_OPENING.as_secs()
                )));
            }
        }
        Ok(())
    }

    /// Until everything that was published is acknowledged and delivered, or nothing moves any more.
    fn await_deliveries(&mut self) {
        let since = clock::now();
        let mut watch = Watch::new(since);
        let (shared, copies) = (self.shared, if self.kind == Kind::Publish { 0 } else { self.plan.copies() });
        loop {
            let published = shared.published.load(Relaxed);
            let (settled, delivered) = (shared.settled.load(Relaxed), shared.delivered.load(Relaxed));
            let is_settled =
                self.plan.qos == 0 || settled >= published || matches!(self.kind, Kind::Collect { .. });
            if (is_settled && delivered >= published * copies) || shared.is_stopped() {
                return;
            }
            let now = self.tick();
            if watch.still(settled + delivered, now) > STALLED_DRAINING || now > since + DRAINING_MAX {
                return;
            }
        }
    }
}

/// How long a number has not changed.
struct Watch {
    value: u64,
    since: Instant,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { value: 0, since: now }
    }

    fn still(&mut self, value: u64, now: Instant) -> Duration {
        if value != self.value {
            *self = Self { value, since: now };
        }
        now.saturating_duration_since(self.since)
    }
}

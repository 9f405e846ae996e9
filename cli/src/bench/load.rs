//! One thread of a load: opens its clients, publishes and receives until it is told to stop.
//!
//! Each turn reads what has arrived, lets publishers send what the windows allow, and writes once per connection.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use mio::Token;

use super::{
    client::{Client, Role},
    failure::{Broken, Failure},
    plan::Plan,
    reactor::{Reactor, Ready},
    schedule::{Rate, Schedule},
    session::Opening,
    shared::{Shared, WAIT_MAX},
    tally::Tally,
};
use crate::clock;

/// Connections that are being opened at the same time, by all threads: a listener's backlog is often 100.
pub(super) const OPENING_MAX: usize = 50;
/// One read of a connection.
const SCRATCH_BYTES: usize = 128 * 1024;
/// Less than half of the keep-alive time.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Fewer messages and acknowledgements in a read are hardly worth its cost.
const DRIBBLE_MESSAGES: u64 = 4;
/// The part of the broker's backlog that may be slept away, and the longest nap: short against the time that the rest
/// keeps the broker busy.
const NAP_SHARE: u32 = 8;
const NAP_MAX: Duration = Duration::from_millis(1);

/// A client to be opened.
#[derive(Debug)]
pub(super) struct Casting {
    /// For messages: "publisher 3".
    pub(super) name: String,
    /// Its number among all connections of the run.
    pub(super) ordinal: u64,
    pub(super) opening: Opening,
    pub(super) role: Role,
}

/// One thread's clients.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    reactor: Reactor,
    castings: VecDeque<Casting>,
    clients: Vec<Option<Client>>,
    opening: usize,
    opening_max: usize,
    stage: Stage,
    /// Publishers that may have something to send.
    runnable: VecDeque<usize>,
    /// Publishers with answers to be sent.
    unflushed: Vec<usize>,
    /// Connections that may have more to read.
    again: Vec<Ready>,
    /// The closed loop lets nobody send.
    blocked: bool,
    publishers_left: usize,
    schedule: Option<Schedule>,
    deadline: u64,
    next_ping: Instant,
    scratch: Vec<u8>,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    /// All clients are open; other threads' may not be.
    Waiting,
    Publishing,
    /// Only receives.
    Draining,
}

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a Plan, shared: &'a Shared, reactor: Reactor, castings: Vec<Casting>) -> Self {
        Self {
            plan,
            shared,
            reactor,
            clients: Vec::with_capacity(castings.len()),
            castings: castings.into(),
            opening: 0,
            opening_max: (OPENING_MAX / usize::from(plan.threads)).max(1),
            stage: Stage::Opening,
            runnable: VecDeque::new(),
            unflushed: Vec::new(),
            again: Vec::new(),
            blocked: false,
            publishers_left: 0,
            schedule: None,
            deadline: u64::MAX,
            next_ping: clock::now() + PING_EVERY,
            scratch: vec![0; SCRATCH_BYTES],
            tally: Tally::new(),
        }
    }

    /// Runs until [`Shared::stop`].
    ///
    /// # Errors
    /// A client could not be opened; the other threads are stopped then.
    pub(super) fn run(mut self) -> Result<Tally, Failure> {
        let outcome = self.run_turns();
        if outcome.is_err() {
            self.shared.stop();
        }
        for client in self.clients.iter_mut().flatten() {
            client.session.leave();
        }
        outcome.map(|()| self.tally)
    }

    fn run_turns(&mut self) -> Result<(), Failure> {
        let mut ready = Vec::new();
        while !self.shared.is_stopped() {
            self.step_stage()?;
            let wait = self.wait();
            ready.append(&mut self.again);
            self.reactor
                .wait(wait, &mut ready)
                .map_err(|error| Failure::failed(format!("epoll: {error}")))?;
            let reads = ready.iter().filter(|ready| ready.readable).count();
            let before = self.tally.arrivals();
            for ready in ready.drain(..) {
                self.turn(ready)?;
            }
            self.publish()?;
            self.ping()?;
            self.nap(reads, self.tally.arrivals() - before);
        }
        Ok(())
    }

    /// Moves on when the stage is over.
    fn step_stage(&mut self) -> Result<(), Failure> {
        match self.stage {
            Stage::Opening => {
                self.open_some()?;
                if self.castings.is_empty() && self.opening == 0 {
                    self.stage = Stage::Waiting;
                    self.shared.threads_open.fetch_add(1, Relaxed);
                }
            }
            Stage::Waiting => {
                if let Some(start) = self.shared.start() {
                    self.begin(start);
                }
            }
            Stage::Publishing => {
                let over = self.shared.publishing_is_stopped() || self.now() >= self.deadline;
                if over || self.publishers_left == 0 {
                    self.stop_publishing();
                }
            }
            Stage::Draining => {}
        }
        Ok(())
    }

    /// How long to sleep if nothing happens.
    fn wait(&self) -> Duration {
        if !self.again.is_empty() || (!self.blocked && !self.runnable.is_empty()) {
            return Duration::ZERO;
        }
        let next = match (&self.schedule, self.stage) {
            (Some(schedule), Stage::Publishing) => schedule.next_due().min(self.deadline),
            _ => self.deadline,
        };
        Duration::from_nanos(next.saturating_sub(self.now())).min(WAIT_MAX)
    }

    /// Opens clients, not too many at the same time.
    fn open_some(&mut self) -> Result<(), Failure> {
        while self.opening < self.opening_max {
            let Some(casting) = self.castings.pop_front() else { return Ok(()) };
            let token = Token(self.clients.len());
            let client = Client::open(self.plan, self.shared, casting, self.reactor.registry(), token)
                .map_err(|(name, broken)| self.cannot_open(&name, &broken))?;
            self.clients.push(Some(client));
            self.opening += 1;
        }
        Ok(())
    }

    fn cannot_open(&self, name: &str, broken: &Broken) -> Failure {
        let advice = broken.advise_unopened(self.plan.tls.is_some());
        let opened = self.shared.opened.load(Relaxed);
        Failure::failed(format!(
            "{name} cannot connect to {} (after {opened} other clients): {broken}{advice}",
            self.plan.address
        ))
    }

    /// The run begins.
    fn begin(&mut self, start: u64) {
        self.stage = Stage::Publishing;
        self.deadline =
            start.saturating_add(u64::try_from(self.plan.duration.as_nanos()).unwrap_or(u64::MAX));
        let publishers: Vec<(u32, usize)> = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(place, client)| Some((client.as_ref()?.publisher_index()?, place)))
            .collect();
        self.publishers_left = publishers.len();
        if let Some(per_second) = self.plan.rate {
            let rate = Rate { start, per_second, publishers: self.plan.publishers };
            self.schedule = Some(Schedule::new(rate, publishers));
        } else {
            for (_, place) in publishers {
                self.enqueue(place);
            }
        }
        if self.publishers_left == 0 {
            self.stop_publishing();
        }
    }

    fn stop_publishing(&mut self) {
        self.stage = Stage::Draining;
        self.deadline = u64::MAX;
        self.runnable.clear();
        self.blocked = false;
        for publisher in self.clients.iter_mut().flatten().filter_map(Client::publisher) {
            publisher.stop();
        }
        self.shared.threads_published.fetch_add(1, Relaxed);
    }

    /// Reads from a connection and answers.
    fn turn(&mut self, ready: Ready) -> Result<(), Failure> {
        let Some(client) = self.clients.get_mut(ready.index).and_then(Option::as_mut) else { return Ok(()) };
        let was_open = client.session.is_ready();
        let outcome = client.turn(ready, &mut self.scratch, self.shared, &mut self.tally);
        let is_open = client.session.is_ready();
        let has_answers = !client.session.out().is_empty();
        match outcome {
            Ok(true) => {}
            Ok(false) => self.again.push(ready),
            Err(broken) => return self.give_up(ready.index, broken),
        }
        if is_open && !was_open {
            self.opening -= 1;
            self.tally.opened += 1;
            self.shared.opened.fetch_add(1, Relaxed);
        }
        if self.stage == Stage::Publishing {
            self.enqueue(ready.index);
        }
        if has_answers {
            self.unflushed.push(ready.index);
        }
        Ok(())
    }

    /// A connection has ended.
    fn give_up(&mut self, index: usize, broken: Broken) -> Result<(), Failure> {
        let Some(client) = self.clients.get_mut(index).and_then(Option::take) else { return Ok(()) };
        if self.stage == Stage::Opening && !client.session.is_ready() {
            return Err(self.cannot_open(&client.name, &broken));
        }
        self.tally.disconnected += 1;
        self.shared.disconnected.fetch_add(1, Relaxed);
        self.tally.problem(|| format!("{}: {broken}", client.name));
        if let Role::Publisher(publisher) = &client.role {
            self.shared.settled.fetch_add(publisher.in_flight(), Relaxed);
            if !publisher.is_done() {
                self.publishers_left = self.publishers_left.saturating_sub(1);
            }
        }
        if self.plan.shape.publishes() {
            self.shared.stop_publishing();
        }
        Ok(())
    }

    /// Puts a publisher in the queue, if it has something to send.
    fn enqueue(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { return };
        let socket_is_full = client.session.is_full();
        if let Some(publisher) = client.publisher()
            && !publisher.queued
            && !socket_is_full
            && publisher.wants() > 0
        {
            publisher.queued = true;
            self.runnable.push_back(index);
        }
    }

    /// Lets publishers send, each at most once.
    fn publish(&mut self) -> Result<(), Failure> {
        if self.stage == Stage::Publishing {
            self.make_due();
            let mut allowance = self.shared.allowance(self.plan);
            self.blocked = false;
            for _ in 0..self.runnable.len() {
                let Some(index) = self.runnable.pop_front() else { break };
                let Some(sent) = self.publish_some(index, allowance)? else {
                    self.runnable.push_front(index);
                    self.blocked = true;
                    self.shared.wait_for_deliveries();
                    break;
                };
                allowance -= sent;
            }
        }
        for index in std::mem::take(&mut self.unflushed) {
            let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { continue };
            if let Err(broken) = client.flush() {
                self.give_up(index, broken)?;
            }
        }
        Ok(())
    }

    /// One write of one publisher; `None` if the closed loop has no room for it.
    fn publish_some(&mut self, index: usize, allowance: u64) -> Result<Option<u64>, Failure> {
        let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { return Ok(Some(0)) };
        let Some(count) = client.room(self.plan, allowance) else { return Ok(None) };
        let rate = self.schedule.as_ref().map(Schedule::rate);
        self.tally.published += count;
        self.shared.published.fetch_add(count, Relaxed);
        let done = client.publish(count, rate, self.shared.nanoseconds(clock::now()));
        if done {
            self.publishers_left = self.publishers_left.saturating_sub(1);
        }
        match client.flush() {
            Ok(_) => self.enqueue(index),
            Err(broken) => self.give_up(index, broken)?,
        }
        Ok(Some(count))
    }

    /// Hands out the messages that are due by the rate.
    fn make_due(&mut self) {
        let now = self.now();
        let Some(mut schedule) = self.schedule.take() else { return };
        while let Some(index) = schedule.pop_due(now) {
            if let Some(publisher) =
                self.clients.get_mut(index).and_then(Option::as_mut).and_then(Client::publisher)
            {
                publisher.fall_due();
            }
            self.enqueue(index);
        }
        self.schedule = Some(schedule);
    }

    /// Tells the broker from time to time that the clients live.
    fn ping(&mut self) -> Result<(), Failure> {
        let now = clock::now();
        if now < self.next_ping {
            return Ok(());
        }
        self.next_ping = now + PING_EVERY;
        for index in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(index).and_then(Option::as_mut) else { continue };
            if let Err(broken) = client.ping() {
                self.give_up(index, broken)?;
            }
        }
        Ok(())
    }

    /// Lets more arrive before the next turn, if reads bring little although the broker has enough to do.
    ///
    /// A broker that writes each message by itself would otherwise cost the generator a read for each, which takes the
    /// processor from the broker. The next turn reads more, so naps do not follow each other when they help. Never at a
    /// fixed rate: there the latency counts.
    fn nap(&self, reads: usize, arrivals: u64) {
        let dribbles = arrivals < DRIBBLE_MESSAGES * u64::try_from(reads).unwrap_or(u64::MAX);
        if !dribbles || self.stage != Stage::Publishing {
            return;
        }
        if let Some(backlog) = self.shared.backlog(self.plan, clock::now()) {
            thread::sleep((backlog / NAP_SHARE).min(NAP_MAX));
        }
    }

    fn now(&self) -> u64 {
        self.shared.nanoseconds(clock::now())
    }
}

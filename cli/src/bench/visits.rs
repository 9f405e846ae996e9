//! One thread of short visits: connect, log in, perhaps subscribe, disconnect, until the broker closes; a bounded number
//! at the same time. A storm of them measures connects a second; a few of them prepare and remove sessions.

use std::{collections::VecDeque, sync::atomic::Ordering::Relaxed};

use mio::Token;

use super::{
    failure::{Broken, Failure},
    plan::{Plan, Side},
    reactor::{Reactor, Ready},
    session::{Notice, Opening, Session},
    shared::{Shared, WAIT_MAX},
    tally::Tally,
};
use crate::clock;

/// One read: CONNACK, SUBACK and TLS handshakes are small.
const SCRATCH_BYTES: usize = 32 * 1024;
/// How long the broker may take to close after DISCONNECT, before the client closes.
const LEAVING_NANOSECONDS: u64 = 1_000_000_000;
/// So many connects may fail one after the other before the storm is given up.
const FAILURES_MAX: u32 = 100;

/// What the visitors do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing: the connect is what counts.
    Storm,
    /// Subscribe with a session that stays.
    Subscribe,
    /// Remove what a session left.
    Forget,
}

/// One thread's visitors.
#[derive(Debug)]
pub(super) struct Visitors<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    reactor: Reactor,
    purpose: Purpose,
    /// Numbers of visits to come: this thread's is every `step`th.
    next: u64,
    end: u64,
    step: u64,
    visits: Vec<Option<Visit>>,
    free: Vec<usize>,
    /// Visitors that have said good-bye, oldest first: place, number and when.
    leaving: VecDeque<(usize, u64, u64)>,
    failures: u32,
    deadline: u64,
    scratch: Vec<u8>,
    tally: Tally,
}

#[derive(Debug)]
struct Visit {
    number: u64,
    session: Session,
    left: bool,
}

impl<'a> Visitors<'a> {
    /// `thread` of the plan's threads makes its share of `count` visits.
    pub(super) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        reactor: Reactor,
        purpose: Purpose,
        thread: u16,
        count: u64,
    ) -> Self {
        let threads = usize::from(plan.threads);
        let connections = usize::try_from(plan.connections).unwrap_or(usize::MAX);
        let simultaneous = if purpose == Purpose::Storm { connections } else { super::load::OPENING_MAX };
        let simultaneous = (simultaneous / threads).max(1);
        Self {
            plan,
            shared,
            reactor,
            purpose,
            next: thread.into(),
            end: count,
            step: plan.threads.into(),
            visits: std::iter::repeat_with(|| None).take(simultaneous).collect(),
            free: (0..simultaneous).collect(),
            leaving: VecDeque::new(),
            failures: 0,
            deadline: u64::MAX,
            scratch: vec![0; SCRATCH_BYTES],
            tally: Tally::new(),
        }
    }

    /// Runs until all visits are made, or [`Shared::stop`].
    ///
    /// # Errors
    /// A visit failed that was needed, or many of a storm one after the other.
    pub(super) fn run(mut self) -> Result<Tally, Failure> {
        let outcome = self.run_turns();
        if outcome.is_err() {
            self.shared.stop();
        }
        self.shared.threads_published.fetch_add(1, Relaxed);
        outcome.map(|()| self.tally)
    }

    fn run_turns(&mut self) -> Result<(), Failure> {
        let mut ready = Vec::new();
        self.shared.threads_open.fetch_add(1, Relaxed);
        while !self.shared.is_stopped() {
            let now = self.now();
            if let Some(start) = self.shared.start() {
                if self.purpose == Purpose::Storm {
                    self.deadline = start + u64::try_from(self.plan.duration.as_nanos()).unwrap_or(u64::MAX);
                }
                self.close_overdue(now);
                self.visit_some(now)?;
                if self.is_over(now) {
                    return Ok(());
                }
            }
            self.reactor
                .wait(WAIT_MAX, &mut ready)
                .map_err(|error| Failure::failed(format!("epoll: {error}")))?;
            for ready in ready.drain(..) {
                self.turn(ready)?;
            }
        }
        Ok(())
    }

    /// No more visits begin and none is going on.
    fn is_over(&self, now: u64) -> bool {
        now >= self.deadline || (self.next >= self.end && self.free.len() == self.visits.len())
    }

    fn visit_some(&mut self, now: u64) -> Result<(), Failure> {
        while self.next < self.end && now < self.deadline {
            let Some(place) = self.free.pop() else { return Ok(()) };
            let number = self.next;
            self.next += self.step;
            let opening = self.opening(number);
            match Session::open(self.plan, &opening, number, self.reactor.registry(), Token(place), now) {
                Ok(session) => {
                    if let Some(visit) = self.visits.get_mut(place) {
                        *visit = Some(Visit { number, session, left: false });
                    }
                }
                Err(broken) => {
                    self.free.push(place);
                    self.fail(number, &broken)?;
                }
            }
        }
        Ok(())
    }

    fn opening(&self, number: u64) -> Opening {
        let subscriber = u32::try_from(number).unwrap_or(u32::MAX);
        Opening {
            side: if self.purpose == Purpose::Storm { Side::Publisher } else { Side::Subscriber },
            number,
            clean: true,
            keep: self.purpose == Purpose::Subscribe,
            resume: false,
            filter: (self.purpose == Purpose::Subscribe).then(|| self.plan.filter(subscriber)),
        }
    }

    fn turn(&mut self, ready: Ready) -> Result<(), Failure> {
        let Some(visit) = self.visits.get_mut(ready.index).and_then(Option::as_mut) else { return Ok(()) };
        match visit.turn(ready, &mut self.scratch, self.shared, &mut self.tally) {
            Ok(()) => {}
            Err(_) if visit.left => {
                self.close(ready.index);
                return Ok(());
            }
            Err(broken) => {
                let number = visit.number;
                self.close(ready.index);
                return self.fail(number, &broken);
            }
        }
        if visit.session.is_ready() && !visit.left {
            visit.left = true;
            let (number, now) = (visit.number, self.shared.nanoseconds(clock::now()));
            self.tally.opened += 1;
            self.tally.last_activity = now;
            self.shared.opened.fetch_add(1, Relaxed);
            self.failures = 0;
            visit.session.leave();
            self.leaving.push_back((ready.index, number, now));
        }
        Ok(())
    }

    /// Closes those whose broker does not.
    fn close_overdue(&mut self, now: u64) {
        while let Some(&(place, number, since)) = self.leaving.front() {
            let current =
                self.visits.get(place).and_then(Option::as_ref).is_some_and(|visit| visit.number == number);
            if current && now < since + LEAVING_NANOSECONDS {
                return;
            }
            self.leaving.pop_front();
            if current {
                self.close(place);
            }
        }
    }

    fn close(&mut self, place: usize) {
        if self.visits.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    fn fail(&mut self, number: u64, broken: &Broken) -> Result<(), Failure> {
        let advice = broken.advise_unopened(self.plan.tls.is_some());
        let describe =
            || format!("client {number} cannot connect to {}: {broken}{advice}", self.plan.address);
        self.failures += 1;
        let none_ever = self.shared.opened.load(Relaxed) == 0;
        if self.purpose != Purpose::Storm || none_ever || self.failures >= FAILURES_MAX {
            return Err(Failure::failed(describe()));
        }
        self.tally.unopened += 1;
        self.tally.problem(describe);
        Ok(())
    }

    fn now(&self) -> u64 {
        self.shared.nanoseconds(clock::now())
    }
}

impl Visit {
    fn turn(
        &mut self,
        ready: Ready,
        scratch: &mut [u8],
        shared: &Shared,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let since = self.session.since;
        let mut drained = !ready.readable;
        while !drained {
            drained = self.session.receive(
                ready.closed,
                scratch,
                |now| shared.nanoseconds(now),
                &mut |notice, now, _| {
                    if let Notice::LoggedIn(..) = notice {
                        tally.connecting.saturating_record(now.saturating_sub(since));
                    }
                },
            )?;
        }
        self.session.flush()?;
        Ok(())
    }
}

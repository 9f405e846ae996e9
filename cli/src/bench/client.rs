//! One client of a load: a session and what it does with it.

use std::sync::atomic::Ordering::Relaxed;

use mio::{Registry, Token};

use super::{
    failure::Broken,
    load::Casting,
    plan::Plan,
    publisher::Publisher,
    reactor::Ready,
    scanner::Event,
    schedule::Rate,
    session::{Notice, Session, SessionFound},
    shared::Shared,
    subscriber::Subscriber,
    tally::Tally,
    transport::Output,
    wire,
};
use crate::clock;

/// Codes from here on are refusals.
const REFUSAL: u8 = 0x80;

/// A connection with a role.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) session: Session,
    pub(super) role: Role,
}

/// What a client is for.
#[derive(Debug)]
pub(super) enum Role {
    Publisher(Publisher),
    Subscriber(Subscriber),
    Idle,
}

/// What a read brought for a publisher.
#[derive(Debug, Default)]
struct Settled {
    acknowledged: u64,
    refused: u64,
    first_refusal: u8,
}

impl Client {
    /// Begins to connect.
    pub(super) fn open(
        plan: &Plan,
        shared: &Shared,
        casting: Casting,
        registry: &Registry,
        token: Token,
    ) -> Result<Self, (String, Broken)> {
        let now = shared.nanoseconds(clock::now());
        match Session::open(plan, &casting.opening, casting.ordinal, registry, token, now) {
            Ok(session) => Ok(Self { name: casting.name, session, role: casting.role }),
            Err(broken) => Err((casting.name, broken)),
        }
    }

    /// Reads, counts and answers; whether all was read. A publisher's answers wait for what it publishes in the same turn.
    pub(super) fn turn(
        &mut self,
        ready: Ready,
        scratch: &mut [u8],
        shared: &Shared,
        tally: &mut Tally,
    ) -> Result<bool, Broken> {
        let mut outcome = Ok(true);
        if ready.readable {
            let since = self.session.since;
            let role = &mut self.role;
            let mut settled = Settled::default();
            let mut last = 0;
            outcome = self.session.receive(
                ready.closed,
                scratch,
                |now| shared.nanoseconds(now),
                &mut |notice, now, out| {
                    last = now;
                    match notice {
                        Notice::Traffic(event) => role.react(event, now, out, &mut settled, tally),
                        Notice::LoggedIn(answer, found) => {
                            tally.connecting.saturating_record(now.saturating_sub(since));
                            tally.sessions_lost += u64::from(found == SessionFound::Lost);
                            if let Role::Publisher(publisher) = role {
                                publisher.limit_window(answer.receive_maximum);
                            }
                        }
                        Notice::Ready => {}
                    }
                },
            );
            self.finish_read(&settled, last, shared, tally);
        }
        let outcome = outcome?;
        if self.session.is_full() || !self.session.is_ready() || !matches!(self.role, Role::Publisher(_)) {
            self.session.flush()?;
        }
        Ok(outcome)
    }

    /// Adds to the counters what reads have brought.
    fn finish_read(&mut self, settled: &Settled, now: u64, shared: &Shared, tally: &mut Tally) {
        match &mut self.role {
            Role::Subscriber(subscriber) => {
                let (delivered, missing) = subscriber.finish_read(now, tally);
                shared.add_deliveries(delivered, missing);
            }
            Role::Publisher(_) if settled.acknowledged + settled.refused > 0 => {
                tally.acknowledged += settled.acknowledged;
                tally.refused += settled.refused;
                tally.last_activity = now;
                shared.settled.fetch_add(settled.acknowledged + settled.refused, Relaxed);
                if settled.refused > 0 {
                    let reason = settled.first_refusal;
                    tally.problem(|| {
                        format!(
                            "{}: message refused with code {reason:#04x}: {}",
                            self.name,
                            wire::explain(reason)
                        )
                    });
                }
            }
            Role::Publisher(_) | Role::Idle => {}
        }
    }

    pub(super) fn publisher(&mut self) -> Option<&mut Publisher> {
        match &mut self.role {
            Role::Publisher(publisher) => Some(publisher),
            Role::Subscriber(_) | Role::Idle => None,
        }
    }

    /// Its number among the publishers, if it is one.
    pub(super) fn publisher_index(&self) -> Option<u32> {
        match &self.role {
            Role::Publisher(publisher) => Some(publisher.index()),
            Role::Subscriber(_) | Role::Idle => None,
        }
    }

    /// How many messages it may send when the closed loop has room for `allowance`; `None` = it has to wait for more.
    pub(super) fn room(&mut self, plan: &Plan, allowance: u64) -> Option<u64> {
        let publisher = self.publisher()?;
        let wants = publisher.wants();
        // Not in dribs: a quarter of the loop at a time keeps batches large and the pipeline full.
        let least = plan.outstanding.map_or(1, |limit| (limit / 4).max(1)).min(wants);
        (allowance >= least).then_some(wants.min(allowance))
    }

    /// Appends `count` messages; whether they were its last.
    pub(super) fn publish(&mut self, count: u64, rate: Option<Rate>, now: u64) -> bool {
        let Role::Publisher(publisher) = &mut self.role else { return false };
        publisher.queued = false;
        publisher.fill(count, rate, now, &mut self.session.out().bytes);
        count > 0 && publisher.is_done()
    }

    /// Writes what waits to be written.
    pub(super) fn flush(&mut self) -> Result<bool, Broken> {
        self.session.flush()
    }

    /// Appends a PINGREQ and writes it.
    pub(super) fn ping(&mut self) -> Result<bool, Broken> {
        if !self.session.is_ready() {
            return Ok(true);
        }
        self.session.out().bytes.extend_from_slice(&wire::PING_REQUEST);
        self.session.flush()
    }
}

impl Role {
    /// Counts and acknowledges.
    #[inline]
    fn react(&mut self, event: &Event, now: u64, out: &mut Output, settled: &mut Settled, tally: &mut Tally) {
        match (self, *event) {
            (Self::Subscriber(subscriber), Event::Publish(received)) => {
                match received.qos {
                    0 => {}
                    1 => out.bytes.extend_from_slice(&wire::acknowledgement(0x40, received.packet_id)),
                    _ => out.bytes.extend_from_slice(&wire::acknowledgement(0x50, received.packet_id)),
                }
                subscriber.receive(&received, now, tally);
            }
            (Self::Subscriber(_), Event::PubRel { packet_id }) => {
                out.bytes.extend_from_slice(&wire::acknowledgement(0x70, packet_id));
            }
            (Self::Publisher(publisher), Event::PubAck { reason }) => {
                settled.settle(publisher, reason, now, tally);
            }
            (Self::Publisher(publisher), Event::PubRec { reason: reason @ REFUSAL.., .. }) => {
                settled.settle(publisher, reason, now, tally);
            }
            (Self::Publisher(_), Event::PubRec { packet_id, .. }) => {
                out.bytes.extend_from_slice(&wire::acknowledgement(0x62, packet_id));
            }
            (Self::Publisher(publisher), Event::PubComp) => settled.settle(publisher, 0, now, tally),
            _ => {}
        }
    }
}

impl Settled {
    #[inline]
    fn settle(&mut self, publisher: &mut Publisher, reason: u8, now: u64, tally: &mut Tally) {
        if let Some(due) = publisher.settle() {
            tally.acknowledging.saturating_record(now.saturating_sub(due));
        }
        if reason < REFUSAL {
            self.acknowledged += 1;
        } else {
            self.refused += 1;
            self.first_refusal = reason;
        }
    }
}

//! One subscriber: counts what arrives, finds what is missing, and measures how long it took.

use super::{
    plan::Plan,
    scanner::Received,
    sequence::{Arrival, Sequence},
    stamp::Stamp,
    tally::Tally,
};

/// What a subscriber knows of the publishers that it follows.
#[derive(Debug)]
pub(super) struct Subscriber {
    tag: u16,
    /// The first publisher of `sequences`.
    first: u32,
    sequences: Vec<Sequence>,
    /// Arrivals in this read that were sent at the same time.
    run: Run,
    /// Since the last [`Self::finish_read`].
    delivered: u64,
    missing: i64,
}

/// Messages of one write often arrive in one read: their latency is recorded once for all.
#[derive(Debug, Default)]
struct Run {
    sent: u64,
    messages: u64,
}

impl Subscriber {
    pub(super) fn new(plan: &Plan, number: u32) -> Self {
        let (first, count) = plan.followed(number);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let sequences = if plan.payload_bytes < super::plan::STAMP_BYTES { 0 } else { count };
        Self {
            tag: plan.tag,
            first,
            sequences: vec![Sequence::default(); sequences],
            run: Run::default(),
            delivered: 0,
            missing: 0,
        }
    }

    /// A message has arrived, in the read at `now` nanoseconds.
    #[inline]
    pub(super) fn receive(&mut self, received: &Received, now: u64, tally: &mut Tally) {
        let Some(stamp) = received.stamp else {
            if self.sequences.is_empty() {
                self.delivered += 1;
            } else {
                tally.foreign += 1;
            }
            return;
        };
        let stamp = Stamp::decode(stamp);
        let place = usize::try_from(stamp.publisher.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        let Some(sequence) = self.sequences.get_mut(place).filter(|_| stamp.tag == self.tag) else {
            tally.foreign += 1;
            return;
        };
        match sequence.arrive(stamp.number) {
            Arrival::Due => {}
            arrival => {
                if !self.note(arrival, tally) {
                    return;
                }
            }
        }
        self.delivered += 1;
        if stamp.time == self.run.sent {
            self.run.messages += 1;
        } else {
            self.record(now, tally);
            self.run = Run { sent: stamp.time, messages: 1 };
        }
    }

    /// Ends one read at `now` nanoseconds: returns deliveries, and how the number of missing ones has changed.
    pub(super) fn finish_read(&mut self, now: u64, tally: &mut Tally) -> (u64, i64) {
        self.record(now, tally);
        self.run = Run::default();
        if self.delivered > 0 {
            tally.delivered += self.delivered;
            tally.last_activity = now;
        }
        (std::mem::take(&mut self.delivered), std::mem::take(&mut self.missing))
    }

    fn record(&self, now: u64, tally: &mut Tally) {
        if self.run.messages > 0 {
            tally.latency.saturating_record_n(now.saturating_sub(self.run.sent), self.run.messages);
        }
    }

    /// Counts an arrival out of order; whether it is a delivery.
    #[cold]
    fn note(&mut self, arrival: Arrival, tally: &mut Tally) -> bool {
        match arrival {
            Arrival::Due => {}
            Arrival::Ahead(gap) => self.missing += i64::try_from(gap).unwrap_or(i64::MAX),
            Arrival::Late => {
                self.missing -= 1;
                tally.late += 1;
            }
            Arrival::Repeated => {
                tally.repeated += 1;
                return false;
            }
        }
        true
    }
}

//! Messages in, acknowledgements out: mapping, batching, and batches on their way to the sink.
//!
//! Owned by the task that reads from the broker, which maps each message as it reads it: no channel carries single
//! messages. Batches are delivered by tasks of their own, a few at once. Every message has a number, in order of
//! arrival, and [`Pipeline::safe_up_to`] is the number up to which all of them are in the sink or the dead letters:
//! acknowledging is one comparison, in order [MQTT-4.6.0-2], whatever the order in which batches are done.
//!
//! Memory is bounded: without [`Pipeline::has_room`] the owner stops reading.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use tokio::task::{JoinError, JoinSet};
use tracing::error;

use crate::{
    batch::{Batch, Message, Policy},
    config::{BatchConfig, LimitsConfig},
    delivery::Delivery,
    mapping::{Mapper, Rule},
};

/// The number of a message: 1 for the first that this process received.
pub(crate) type Arrival = u64;

/// A delivery ended without having delivered: its messages have to come from the broker again.
#[derive(Debug, thiserror::Error)]
#[error("a delivery was lost: {0}")]
pub(crate) struct DeliveryLost(#[from] JoinError);

/// See the module.
#[derive(Debug)]
pub(crate) struct Pipeline {
    mapper: Mapper,
    policy: Policy,
    limits: LimitsConfig,
    delivery: Arc<Delivery>,
    /// The batch that takes messages.
    open: Batch,
    /// Closed batches that no task has taken yet.
    waiting: VecDeque<(u64, Arc<Batch>)>,
    /// Deliveries under way; each ends with the number of its batch.
    deliveries: JoinSet<u64>,
    /// Closed batches in order, from the first that is not safe.
    closed: VecDeque<Closed>,
    /// The number of the first of `closed`.
    first_closed: u64,
    arrivals: Arrival,
    safe: Arrival,
    closed_messages: usize,
    closed_bytes: usize,
}

/// What is remembered about a closed batch.
#[derive(Debug)]
struct Closed {
    last_arrival: Arrival,
    messages: usize,
    bytes: usize,
    first_received: Option<i64>,
    is_safe: bool,
}

impl Pipeline {
    pub(crate) fn new(
        rules: Vec<Rule>,
        batch: &BatchConfig,
        limits: LimitsConfig,
        delivery: Arc<Delivery>,
    ) -> Self {
        Self {
            mapper: Mapper::new(rules, delivery.sink.line_breaks()),
            policy: Policy::new(batch),
            limits,
            delivery,
            open: Batch::default(),
            waiting: VecDeque::new(),
            deliveries: JoinSet::new(),
            closed: VecDeque::new(),
            first_closed: 0,
            arrivals: 0,
            safe: 0,
            closed_messages: 0,
            closed_bytes: 0,
        }
    }

    /// Takes a message; answers with its number.
    pub(crate) fn accept(&mut self, message: &Message<'_>, now: Instant) -> Arrival {
        self.open.add(&mut self.mapper, message, now);
        self.arrivals += 1;
        if self.policy.is_full(&self.open) {
            self.close();
        }
        self.arrivals
    }

    /// Whether there is room for another message.
    pub(crate) fn has_room(&self) -> bool {
        let (messages, bytes) = self.in_flight();
        messages < self.limits.messages_in_flight.get() && bytes < self.limits.bytes_in_flight.get()
    }

    /// The number up to which every message is safe. Never decreases.
    pub(crate) fn safe_up_to(&self) -> Arrival {
        self.safe
    }

    /// The number of the last message that was taken.
    #[cfg(test)]
    pub(crate) fn last_arrival(&self) -> Arrival {
        self.arrivals
    }

    /// Whether every message is safe.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.closed.is_empty()
    }

    /// Waits for the next thing to do - a batch that is due, a delivery that is done - and does it. Waits for ever if
    /// there is nothing. Dropping the future loses nothing.
    pub(crate) async fn progress(&mut self) -> Result<(), DeliveryLost> {
        // While all deliveries are busy a batch may as well grow.
        let due = match self.deliveries.len() < self.delivery.sink.concurrent_writes() {
            true => self.policy.due_at(&self.open),
            false => None,
        };
        let is_due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(delivered) = self.deliveries.join_next(), if !self.deliveries.is_empty() => {
                let number = delivered.inspect_err(|error| error!("a delivery was lost: {error}"))?;
                self.delivered(number);
            }
            () = is_due => self.close(),
        }
        Ok(())
    }

    /// Closes the open batch, however small.
    pub(crate) fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let next = Batch::like(&self.open);
        let batch = std::mem::replace(&mut self.open, next);
        let metrics = &self.delivery.metrics;
        metrics.messages_received.inc_by(batch.messages() as u64);
        metrics.bytes_received.inc_by(batch.source_bytes() as u64);
        metrics.messages_skipped.inc_by(batch.skipped() as u64);
        metrics.count_repairs(self.mapper.take_repairs());
        let (messages, bytes) = (batch.messages(), batch.bytes());
        let number = self.first_closed + self.closed.len() as u64;
        let (last_arrival, first_received) = (self.arrivals, batch.first_received());
        self.closed.push_back(Closed { last_arrival, messages, bytes, first_received, is_safe: false });
        self.closed_messages += messages;
        self.closed_bytes += bytes;
        self.waiting.push_back((number, Arc::new(batch)));
        self.start_deliveries();
        self.report();
    }

    /// Forgets every message that is not safe. Their numbers are not used again.
    pub(crate) fn abandon(&mut self) {
        self.deliveries.abort_all();
        self.deliveries = JoinSet::new();
        self.waiting.clear();
        self.first_closed += self.closed.len() as u64;
        self.closed.clear();
        self.open = Batch::default();
        (self.closed_messages, self.closed_bytes) = (0, 0);
        self.report();
    }

    /// Delivers everything that was taken, unless time is up before.
    pub(crate) async fn drain(&mut self, deadline: Instant) -> Result<(), DeliveryLost> {
        self.close();
        while !self.is_idle() {
            match tokio::time::timeout_at(deadline.into(), self.progress()).await {
                Ok(result) => result?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn start_deliveries(&mut self) {
        while self.deliveries.len() < self.delivery.sink.concurrent_writes() {
            let Some((number, batch)) = self.waiting.pop_front() else { return };
            let delivery = Arc::clone(&self.delivery);
            self.deliveries.spawn(async move {
                delivery.deliver(&batch).await;
                number
            });
        }
    }

    fn delivered(&mut self, number: u64) {
        let at = usize::try_from(number - self.first_closed).ok();
        if let Some(closed) = at.and_then(|at| self.closed.get_mut(at)) {
            closed.is_safe = true;
        }
        while let Some(closed) = self.closed.pop_front_if(|closed| closed.is_safe) {
            self.first_closed += 1;
            self.safe = closed.last_arrival;
            self.closed_messages -= closed.messages;
            self.closed_bytes -= closed.bytes;
        }
        self.start_deliveries();
        self.report();
    }

    /// Brings the gauges up to date: after each read, not after each message.
    pub(crate) fn report(&self) {
        let metrics = &self.delivery.metrics;
        let (messages, bytes) = self.in_flight();
        metrics.messages_in_flight.set(i64::try_from(messages).unwrap_or(i64::MAX));
        metrics.bytes_in_flight.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let oldest =
            self.closed.front().map_or_else(|| self.open.first_received(), |closed| closed.first_received);
        metrics.oldest_in_flight_nanoseconds.set(oldest.unwrap_or(0));
    }

    /// Messages and bytes that are not safe.
    fn in_flight(&self) -> (usize, usize) {
        (self.closed_messages + self.open.messages(), self.closed_bytes + self.open.bytes())
    }
}

#[cfg(test)]
mod tests;

//! A client that sends faster than it may is not read from for a while: it is slowed down, and loses nothing.

use std::time::Instant;

use super::connection::Connection;
use crate::{auth::guard::Meter, log};

/// A connection's part in the shares of its user and of its address.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// `None`: nothing limits it.
    meter: Option<Box<Meter>>,
    /// Nothing is read before.
    until: Option<Instant>,
    is_told: bool,
}

impl Pacing {
    pub(super) fn new(meter: Option<Box<Meter>>) -> Self {
        Self { meter, ..Self::default() }
    }

    /// Until when nothing is read; may have passed.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}

impl Connection {
    /// Charges what has come in since the last poll.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        let Some(meter) = &self.pacing.meter else { return };
        let (messages, bytes) = (self.tally.messages_received(), self.tally.bytes_received);
        let pause = meter.charge(messages, bytes, now);
        if pause.is_zero() {
            return;
        }
        self.pacing.until = Some(now + pause);
        self.hub.metrics.reads_slowed.inc();
        if !self.pacing.is_told {
            self.pacing.is_told = true;
            log::refused(
                &self.identity,
                format_args!("to read as fast as it sends: a limit of its user or its address is reached"),
            );
        }
    }

    /// Whether nothing may be read yet.
    pub(super) fn is_slowed(&mut self, now: Instant) -> bool {
        let Some(until) = self.pacing.until else { return false };
        if now < until {
            return true;
        }
        self.pacing.until = None;
        // While the broker did not listen, the client was not silent.
        self.session.received(now);
        false
    }
}

//! A client that sends faster than it may is not read from for a while: it is slowed down, and loses nothing.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use gaugeline_protocol::{ClientId, ReasonCode};

use super::connection::Connection;
use crate::{auth::guard::Meter, clock, hub::Hub, log::Refused, metrics::RefusalReason};

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
    /// Measures a new connection with the others of its user and of its address.
    ///
    /// # Errors
    /// It comes too fast, or there are too many of its user: what to answer, to count and to log.
    pub(super) fn begin(
        hub: &Hub,
        user: Option<&Arc<str>>,
        client_id: &ClientId,
        address: SocketAddr,
    ) -> Result<Self, (ReasonCode, RefusalReason, String)> {
        let (address, now) = (address.ip(), clock::now());
        if let Some(user) = user {
            hub.arrivals.of_user(user, address, now).map_err(|error| {
                (ReasonCode::ConnectionRateExceeded, RefusalReason::TooFast, error.to_string())
            })?;
        }
        let replaces = hub.registry.is_online(client_id);
        let meter = hub
            .meters
            .enter(user, address, replaces, now)
            .map_err(|error| (ReasonCode::QuotaExceeded, RefusalReason::TooManyOfUser, error.to_string()))?;
        Ok(Self { meter, ..Self::default() })
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
            self.hub.refusals.refused(
                Refused::Pace,
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

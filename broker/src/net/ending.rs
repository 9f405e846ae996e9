//! How a connection ends: what the client is told, what happens to its will, and where its session goes.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use gaugeline_protocol::{
    ReasonCode,
    session::{Violation, session_expires_after},
};

use super::connection::{Connection, Ending};
use crate::{
    clock,
    log::{self, Refused},
    metrics::{CloseReason, DropReason},
    router::Wire,
    sessions::{Parked, PendingWill},
    storage::Record,
};

/// How long the last bytes may take: a client that does not read them loses only the reason.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);

impl Connection {
    /// Runs until the connection ends, and clears up after it.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps a second place for the connection in each task"
    )]
    pub(super) fn run(mut self) -> impl Future<Output = ()> + Send {
        async move {
            let ending = (&mut self).await;
            self.end(ending).await;
        }
    }

    /// Boxed, because it is needed once, at the end.
    fn end(mut self, ending: Ending) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let now = clock::now();
        self.report(&ending);
        let farewell = self.farewell(&ending);
        let wants_will = match ending {
            Ending::Disconnected { publish_will } => publish_will,
            _ => true,
        };
        self.return_session(wants_will, now);
        self.hub.refusals.client_left(&self.identity);
        let Self { stream, entrance, .. } = self;
        Box::pin(async move {
            // Whatever goes wrong now, the connection is over.
            tokio::time::timeout(FAREWELL_TIME_MAX, stream.finish(&farewell)).await.ok();
            drop(entrance);
        })
    }

    fn report(&self, ending: &Ending) {
        let metrics = &self.hub.metrics.connections_closed;
        metrics.inc(close_reason(ending));
        let gone = |reason: std::fmt::Arguments<'_>| {
            log::disconnected(&self.hub.audit, self.settings.connection_messages, &self.identity, reason);
        };
        match ending {
            Ending::Disconnected { .. } => gone(format_args!("by the client")),
            Ending::Lost(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                gone(format_args!("the connection was closed without DISCONNECT"));
            }
            Ending::Lost(error) => gone(format_args!("connection lost: {error}")),
            Ending::Violated(violation) => {
                log::packets::violated(&self.identity, violation);
                self.hub.refusals.refused(
                    Refused::Connection,
                    &self.identity,
                    format_args!("the connection: {violation} ({})", violation.reason()),
                );
            }
            Ending::Vacated(reason) => gone(format_args!("{reason}")),
        }
    }

    /// What is sent before the connection closes: what was on its way, and for MQTT 5 the reason.
    fn farewell(&mut self, ending: &Ending) -> BytesMut {
        let mut out = std::mem::take(&mut self.out);
        match ending {
            Ending::Disconnected { .. } => {}
            Ending::Lost(_) => out.clear(),
            Ending::Violated(violation) => self.session.disconnect(violation.reason(), &mut out),
            Ending::Vacated(reason) => self.session.disconnect(*reason, &mut out),
        }
        out
    }

    /// Parks the session, hands it to the client's next connection, or ends it.
    fn return_session(&mut self, wants_will: bool, now: Instant) {
        self.tell_settled();
        let lost = self.mailbox.set_wire(Wire::Offline);
        self.return_backlog();
        let hub = Arc::clone(&self.hub);
        hub.metrics.count_drops(
            DropReason::SessionEnded,
            Some(self.identity.client_id.as_str()),
            None,
            lost as u64,
        );
        let negotiated = self.session.negotiated();
        let (client_id, expiry) = (negotiated.client_id.clone(), negotiated.session_expiry_seconds);
        let persistent = negotiated.is_persistent();
        let mut will = self.will.take().filter(|_| wants_will).map(|will| {
            let delay = will.delay_seconds.min(expiry);
            let due = now + Duration::from_secs(u64::from(delay));
            PendingWill { will, identity: self.identity.clone(), due }
        });
        if let Some(pending) = will.take_if(|pending| !persistent || pending.due <= now) {
            hub.publish_will(&self.mailbox, &pending, now);
        }
        let will_due = will.as_ref().map(|pending| pending.due);
        let expires_at = session_expires_after(expiry).and_then(|after| now.checked_add(after));
        let walks = std::mem::take(&mut self.walks);
        let parked = Parked {
            session: self.take_session(),
            mailbox: Arc::clone(&self.mailbox),
            walks,
            expires_at,
            will,
            away_since: Some(hub.anchor.to_wall_nanoseconds(now)),
        };
        if persistent {
            hub.store.append(Record::SessionParked {
                session: parked.mailbox.id(),
                expires_at: parked.expires_at.map(|at| hub.anchor.to_wall_nanoseconds(at)),
                will: parked
                    .will
                    .as_ref()
                    .map(|pending| (pending.will.clone(), hub.anchor.to_wall_nanoseconds(pending.due))),
            });
        }
        let unclaimed = if persistent {
            hub.registry.leave(&client_id, &self.seat, Some(Box::new(parked)))
        } else {
            hub.end_session(parked, now);
            hub.registry.leave(&client_id, &self.seat, None)
        };
        if let Some(parked) = unclaimed {
            hub.end_session(*parked, now);
        }
        for at in [will_due, expires_at].into_iter().flatten() {
            hub.expiry.schedule(at, client_id.clone());
        }
    }
}

fn close_reason(ending: &Ending) -> CloseReason {
    let reason = match ending {
        Ending::Disconnected { .. } => return CloseReason::ClientDisconnect,
        Ending::Lost(_) => return CloseReason::ConnectionLost,
        Ending::Violated(Violation::Decode(error)) => error.reason(),
        Ending::Violated(Violation::Protocol { reason, .. }) | Ending::Vacated(reason) => *reason,
    };
    match reason {
        ReasonCode::KeepAliveTimeout => CloseReason::KeepAliveTimeout,
        ReasonCode::PacketTooLarge => CloseReason::PacketTooLarge,
        ReasonCode::ReceiveMaximumExceeded | ReasonCode::QuotaExceeded => CloseReason::QuotaExceeded,
        ReasonCode::SessionTakenOver => CloseReason::TakenOver,
        ReasonCode::NotAuthorized | ReasonCode::AdministrativeAction => CloseReason::NotAuthorized,
        ReasonCode::ServerShuttingDown => CloseReason::Shutdown,
        ReasonCode::UnspecifiedError | ReasonCode::ServerUnavailable => CloseReason::Internal,
        _ => CloseReason::ProtocolError,
    }
}

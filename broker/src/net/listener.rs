//! Sockets that accept connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream};

use super::{
    bind,
    doorman::Doorman,
    handshake::{self, Leaving},
    terms::ListenerTerms,
};
use crate::{clock, config::ListenerConfig, hub::Hub, metrics::RefusalReason};

/// How long to wait when the system has no more file descriptors: accepting fails at once until one is free.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
pub(crate) struct Listener {
    socket: TcpListener,
    terms: Arc<ArcSwap<ListenerTerms>>,
    address: SocketAddr,
}

impl Listener {
    /// `None` for an optional one at an address that the machine does not have.
    pub(crate) fn bind(config: &ListenerConfig, terms: ListenerTerms) -> io::Result<Option<Self>> {
        let Some(socket) = bind::listen(config)? else { return Ok(None) };
        let address = socket.local_addr()?;
        Ok(Some(Self { socket, terms: Arc::new(ArcSwap::from_pointee(terms)), address }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// On which terms it takes clients: what is put there holds for the next one.
    pub(crate) fn terms(&self) -> Arc<ArcSwap<ListenerTerms>> {
        Arc::clone(&self.terms)
    }

    /// Accepts until the task is aborted.
    pub(crate) async fn accept(self, hub: Arc<Hub>, doorman: Arc<Doorman>) {
        loop {
            match self.socket.accept().await {
                Ok((socket, address)) => {
                    // Clients of IPv4 look like those of IPv6 where one socket takes both.
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    self.receive(&hub, &doorman, socket, address);
                }
                Err(error) => {
                    tracing::error!("cannot accept a connection on {}: {error}", self.address);
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn receive(&self, hub: &Arc<Hub>, doorman: &Arc<Doorman>, socket: TcpStream, address: SocketAddr) {
        hub.metrics.connections_accepted.inc();
        let terms = self.terms.load_full();
        if let Err(too_fast) = hub.arrivals.from_address(address.ip(), clock::now()) {
            return turn_away(hub, address, RefusalReason::TooFast, &too_fast.to_string());
        }
        let spared = hub.spares(address.ip());
        let knocked = terms.check(address.ip()).and_then(|()| doorman.knock(address.ip(), spared));
        let (entrance, displacement) = match knocked {
            Ok(waits) => waits,
            Err(reason) => return turn_away(hub, address, reason, refusal_text(reason)),
        };
        // Small packets must not wait for the acknowledgement of earlier ones. The system refuses only on a socket
        // that is gone already, which the handshake finds out.
        socket.set_nodelay(true).ok();
        let leaving = Leaving { closing: doorman.closing(), displacement };
        let hub = Arc::clone(hub);
        tokio::spawn(handshake::welcome(hub, socket, address, terms, entrance, leaving));
    }
}

/// What a reason of those who keep the door is called in the log.
pub(super) fn refusal_text(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::TooManyFromAddress => "the limit of connections_per_address is reached",
        RefusalReason::TooManyOnListener => "the limit of `connections` of the listener is reached",
        RefusalReason::TooManyPending => {
            "the limit of pending_connections is reached: too many others wait to be let in"
        }
        RefusalReason::TooManyPendingFromAddress => {
            "the limit of pending_connections_per_address is reached: too many others wait to be let in"
        }
        RefusalReason::Network => "the listener takes nobody from this address (allow, deny)",
        _ => "the limit of connections is reached",
    }
}

/// Refuses a connection before anything else is done for it.
fn turn_away(hub: &Hub, address: SocketAddr, reason: RefusalReason, detail: &str) {
    hub.metrics.connections_refused.inc(reason);
    hub.refusals.not_admitted(reason, None, None, address, format_args!("{detail}"));
}

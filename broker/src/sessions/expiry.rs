//! When parked sessions end and delayed wills are due. An entry that is overtaken by a reconnect is simply found stale
//! when its time comes.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use gaugeline_protocol::ClientId;
use parking_lot::Mutex;

/// Clients to look at, by the time to do so.
#[derive(Debug, Default)]
pub struct Expiry {
    times: Mutex<BinaryHeap<Reverse<(Instant, ClientId)>>>,
}

impl Expiry {
    /// Look at the client's parked session at this time.
    pub fn schedule(&self, at: Instant, client_id: ClientId) {
        self.times.lock().push(Reverse((at, client_id)));
    }

    /// The next client whose time has come.
    pub fn pop_due(&self, now: Instant) -> Option<ClientId> {
        let mut times = self.times.lock();
        match times.peek() {
            Some(Reverse((at, _))) if *at <= now => times.pop().map(|Reverse((_, client_id))| client_id),
            _ => None,
        }
    }
}

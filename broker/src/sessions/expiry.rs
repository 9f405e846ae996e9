//! When parked sessions end and delayed wills are due. An entry that is overtaken by a reconnect is found stale when its
//! time comes, or when stale ones are the most: clients that come and go for days would fill the memory with them.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use gaugeline_protocol::ClientId;
use parking_lot::Mutex;

/// Stale entries up to this number are not worth the search.
const STALE_MIN: usize = 1024;

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

    /// Forgets stale entries if most are. `parked` is how many sessions are parked, each with at most two times that
    /// matter; `matters` says whether a client's parked session waits for a time.
    pub fn tidy(&self, parked: usize, matters: impl Fn(&ClientId, Instant) -> bool) {
        let mut times = self.times.lock();
        if times.len() > STALE_MIN + 4 * parked {
            times.retain(|Reverse((at, client_id))| matters(client_id, *at));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_matters_survives_and_the_rest_is_bounded() {
        let expiry = Expiry::default();
        let start = crate::clock::now();
        let client_id = |number: usize| ClientId::new(&number.to_string()).unwrap();
        let at = |number: usize| start + Duration::from_secs(number as u64);
        for number in 0..10 * STALE_MIN {
            expiry.schedule(at(number), client_id(number % 10));
            expiry.tidy(10, |_, time| time == at(number) || time == at(5));
            assert!(expiry.times.lock().len() <= STALE_MIN + 40);
        }
        assert_eq!(expiry.pop_due(at(5)), Some(client_id(5)));
        assert_eq!(expiry.pop_due(at(5)), None);
    }
}

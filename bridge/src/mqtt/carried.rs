//! Messages that were taken on the last connection and not acknowledged on it. The broker delivers them again, marked
//! as repetitions and under their old packet identifiers [MQTT-4.4.0-1]: they are recognised, so that a broken
//! connection does not write points twice.

use std::{collections::HashMap, hash::BuildHasher as _};

use foldhash::fast::RandomState;
use gaugeline_protocol::PacketId;

use crate::{batch::Message, pipeline::Arrival};

/// By packet identifier: at most 65 535.
#[derive(Debug, Default)]
pub(super) struct Carried {
    messages: HashMap<PacketId, (Arrival, u64), RandomState>,
    hasher: RandomState,
}

impl Carried {
    /// What a message is recognised by, with its packet identifier.
    pub(super) fn fingerprint(&self, message: &Message<'_>) -> u64 {
        self.hasher.hash_one((message.topic, message.payload))
    }

    /// The connection ended: these were not acknowledged. Those of connections before may still come again.
    pub(super) fn keep(&mut self, unacknowledged: impl Iterator<Item = (PacketId, Arrival, u64)>) {
        self.messages.extend(unacknowledged.map(|(id, arrival, fingerprint)| (id, (arrival, fingerprint))));
    }

    /// The number under which a repeated message was taken.
    pub(super) fn take(&mut self, packet_id: PacketId, fingerprint: u64) -> Option<Arrival> {
        let (arrival, kept) = self.messages.remove(&packet_id)?;
        (kept == fingerprint).then_some(arrival)
    }

    /// Nothing comes again: the session is a new one.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_recognised_once() {
        let mut carried = Carried::default();
        let id = |id| PacketId::new(id).unwrap();
        let message = |payload| Message { topic: "a", payload, received_nanoseconds: 0 };
        let (one, two) = (carried.fingerprint(&message(b"1")), carried.fingerprint(&message(b"2")));
        carried.keep([(id(1), 10, one), (id(2), 11, two)].into_iter());
        assert_eq!(carried.take(id(1), one), Some(10));
        assert_eq!(carried.take(id(1), one), None);
        assert_eq!(carried.take(id(2), one), None, "another message under an old identifier");
        carried.keep([(id(3), 12, one)].into_iter());
        carried.clear();
        assert_eq!(carried.take(id(3), one), None);
    }
}

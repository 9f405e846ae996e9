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
    /// What a message is recognised by, with its packet identifier. `broker_time` is the broker's time of it, if the
    /// broker tells: a sensor may say the same thing many times, and a broker that was killed may use an identifier
    /// again that stands for an older message here.
    pub(super) fn fingerprint(&self, message: &Message<'_>, broker_time: Option<i64>) -> u64 {
        self.hasher.hash_one((message.topic, message.payload, broker_time))
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
        let hasher = Carried::default();
        let fingerprint = |payload, broker_time| {
            hasher.fingerprint(&Message { topic: "a", payload, received_nanoseconds: 0 }, broker_time)
        };
        let (one, two) = (fingerprint(b"1", None), fingerprint(b"2", None));
        carried.keep([(id(1), 10, one), (id(2), 11, two)].into_iter());
        assert_eq!(carried.take(id(1), one), Some(10));
        assert_eq!(carried.take(id(1), one), None);
        assert_eq!(carried.take(id(2), one), None, "another message under an old identifier");
        carried.keep([(id(3), 12, one)].into_iter());
        carried.clear();
        assert_eq!(carried.take(id(3), one), None);
        carried.keep([(id(4), 13, fingerprint(b"1", Some(1)))].into_iter());
        assert_eq!(carried.take(id(4), fingerprint(b"1", Some(2))), None, "the same, said again later");
    }
}

//! Which numbers were published under a topic, and which of them the broker has accepted.

use std::{collections::BTreeSet, sync::Arc};

use gaugeline_protocol::QoS;
use parking_lot::Mutex;

/// A series of numbers, counted from 1, that one publisher writes under one topic. Clones share the ledger.
#[derive(Debug, Clone)]
pub struct Lane {
    /// What the numbers are told apart by: the topic is `sensors/<name>/value`.
    pub name: String,
    /// How they are published.
    pub qos: QoS,
    /// Whether each becomes the retained message of the topic.
    pub retain: bool,
    /// How many bytes a payload has at least.
    pub payload_bytes: usize,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug, Default)]
struct Ledger {
    last: u64,
    accepted: BTreeSet<u64>,
}

impl Lane {
    /// An empty ledger.
    pub fn new(name: &str, qos: QoS) -> Self {
        Self { name: name.to_owned(), qos, retain: false, payload_bytes: 0, ledger: Arc::default() }
    }

    /// The same, with each number as the retained message of the topic.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The same, with payloads of at least this length.
    #[must_use]
    pub fn padded(self, payload_bytes: usize) -> Self {
        Self { payload_bytes, ..self }
    }

    /// Where the numbers are published.
    pub fn topic(&self) -> String {
        format!("sensors/{}/value", self.name)
    }

    /// The lane's name in a topic.
    pub fn name_in(topic: &str) -> Option<&str> {
        topic.strip_prefix("sensors/")?.strip_suffix("/value")
    }

    /// A number that was not used before.
    pub fn next(&self) -> u64 {
        let mut ledger = self.ledger.lock();
        ledger.last += 1;
        ledger.last
    }

    /// A number as it is published.
    pub fn payload(&self, number: u64) -> Vec<u8> {
        let mut payload = number.to_string().into_bytes();
        payload.resize(payload.len().max(self.payload_bytes), b' ');
        payload
    }

    /// The number in a payload.
    pub fn number_in(payload: &[u8]) -> Option<u64> {
        std::str::from_utf8(payload).ok()?.trim_end().parse().ok()
    }

    /// The broker has answered for these.
    pub fn accept(&self, numbers: impl IntoIterator<Item = u64>) {
        self.ledger.lock().accepted.extend(numbers);
    }

    /// How many were accepted.
    pub fn accepted_count(&self) -> u64 {
        self.ledger.lock().accepted.len() as u64
    }

    /// Those that were accepted.
    pub fn accepted(&self) -> BTreeSet<u64> {
        self.ledger.lock().accepted.clone()
    }

    /// The last number that was published, accepted or not.
    pub fn last(&self) -> u64 {
        self.ledger.lock().last
    }
}

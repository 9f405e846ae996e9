//! Who lost messages on which topics: the drops once more, by client and by the first level of the topic.
//!
//! Clients choose both names, so the number of combinations is bounded; what comes beyond counts as others.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{DropReason, Reason};

/// How many combinations of reason, client and topic are told apart: enough to see who is concerned, and a bound for what
/// Prometheus has to store.
const COMBINATIONS_MAX: usize = 1000;
/// Client and topic of whatever is over [`COMBINATIONS_MAX`].
const OTHERS: &str = "(others)";
/// The client or topic of a drop that has none.
pub(super) const NONE: &str = "-";

/// The labels of one combination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DropLabels {
    reason: String,
    client: String,
    topic: String,
}

/// The drops by client and topic.
#[derive(Debug, Default)]
pub(super) struct Drops {
    family: Family<DropLabels, Counter>,
    known: Mutex<HashMap<DropLabels, Counter, RandomState>>,
}

impl Drops {
    /// Makes them, where Prometheus reads them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let drops = Self::default();
        let help = "messages_dropped once more, by client and by the first level of the topic";
        registry.register("messages_dropped_by_client", help, drops.family.clone());
        drops
    }

    /// Counts messages of this topic that this client lost, or that were not taken from it.
    pub(super) fn count(&self, reason: DropReason, client: &str, topic: &str, count: u64) {
        let first_level = topic.split('/').next().unwrap_or(NONE);
        let labels = |client: &str, topic: &str| DropLabels {
            reason: reason.label().to_owned(),
            client: client.to_owned(),
            topic: topic.to_owned(),
        };
        let mut known = self.known.lock();
        let full = known.len() >= COMBINATIONS_MAX;
        let mut wanted = labels(client, first_level);
        if full && !known.contains_key(&wanted) {
            wanted = labels(OTHERS, OTHERS);
        }
        let family = &self.family;
        known.entry(wanted).or_insert_with_key(|labels| family.get_or_create(labels).clone()).inc_by(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_bounded_and_nothing_goes_uncounted() {
        let drops = Drops::default();
        for client in 0..2 * COMBINATIONS_MAX {
            drops.count(DropReason::QueueFull, &client.to_string(), "sensors/a/b", 2);
        }
        drops.count(DropReason::QueueFull, "0", "sensors/c", 1);
        let known = drops.known.lock();
        assert!(known.len() <= COMBINATIONS_MAX + DropReason::ALL.len());
        assert_eq!(known.values().map(Counter::get).sum::<u64>(), 4 * COMBINATIONS_MAX as u64 + 1);
        let first = |labels: &DropLabels| labels.client == "0" && labels.topic == "sensors";
        assert_eq!(known.iter().find(|(labels, _)| first(labels)).unwrap().1.get(), 3);
    }
}

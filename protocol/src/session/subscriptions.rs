//! What a client subscribed to.

use std::collections::HashMap;

use crate::{QoS, TopicFilter};

/// The options of a subscription [MQTT 5.0, section 3.8.3.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// The highest QoS at which messages are delivered.
    pub qos: QoS,
    /// Whether the client's own messages are left out.
    pub no_local: bool,
    /// Whether a forwarded message keeps its retain flag.
    pub retain_as_published: bool,
    /// The subscription identifier that goes along with each message.
    pub id: Option<u32>,
}

/// A session's subscriptions, one a filter [MQTT-3.8.4-3].
#[derive(Debug, Default)]
pub struct Subscriptions(HashMap<TopicFilter, Subscription>);

impl Subscriptions {
    /// Adds or replaces; the subscription that was there before is returned.
    pub fn insert(&mut self, filter: TopicFilter, subscription: Subscription) -> Option<Subscription> {
        self.0.insert(filter, subscription)
    }

    /// Removes the subscription with exactly this filter [MQTT-3.10.4-1].
    pub fn remove(&mut self, filter: &TopicFilter) -> Option<Subscription> {
        self.0.remove(filter)
    }

    /// Whether there is a subscription with exactly this filter.
    pub fn contains(&self, filter: &TopicFilter) -> bool {
        self.0.contains_key(filter)
    }

    /// The subscription with exactly this filter.
    pub fn find(&self, filter: &TopicFilter) -> Option<&Subscription> {
        self.0.get(filter)
    }

    /// All subscriptions, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicFilter, &Subscription)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

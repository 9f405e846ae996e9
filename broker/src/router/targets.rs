//! Who gets the messages of one topic: the result of a match, with rights applied and overlaps merged, ready to be
//! used for every further message until a subscription or the rights change.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use gaugeline_protocol::QoS;

use super::{
    Mailbox, MailboxId,
    subscribers::{Group, Subscriber, Subscribers},
};

/// One receiver of a topic's messages.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) mailbox: Arc<Mailbox>,
    /// The highest QoS of the subscriptions that matched.
    pub(super) qos: QoS,
    /// Whether one of them keeps the retain flag.
    pub(super) retain_as_published: bool,
    /// Whether all of them leave out the client's own messages.
    pub(super) no_local: bool,
    /// Their identifiers.
    pub(super) ids: Option<Arc<[u32]>>,
}

impl Target {
    pub(super) fn of(subscriber: &Subscriber) -> Self {
        let subscription = subscriber.subscription;
        Self {
            mailbox: Arc::clone(&subscriber.mailbox),
            qos: subscription.qos,
            retain_as_published: subscription.retain_as_published,
            no_local: subscription.no_local,
            ids: subscription.id.map(|id| Arc::from([id])),
        }
    }

    /// A session with several matching subscriptions gets one copy, at the highest QoS [MQTT-3.3.4-2], with all
    /// identifiers [MQTT-3.3.4-3].
    fn merge(&mut self, subscriber: &Subscriber) {
        let subscription = subscriber.subscription;
        self.qos = self.qos.max(subscription.qos);
        self.retain_as_published |= subscription.retain_as_published;
        self.no_local &= subscription.no_local;
        if let Some(id) = subscription.id {
            self.ids = Some(self.ids.iter().flat_map(|ids| ids.iter().copied()).chain([id]).collect());
        }
    }
}

/// All receivers of a topic's messages.
#[derive(Debug, Default)]
pub struct Targets {
    pub(super) direct: Vec<Target>,
    pub(super) groups: Vec<Group>,
    /// Those who subscribed and may not read the topic.
    pub(super) denied: Vec<Target>,
}

impl Targets {
    /// Whether nobody gets the topic's messages.
    pub fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.groups.is_empty()
    }
}

/// Gathers targets from the filters that match.
pub(super) struct Gather<F> {
    may_read: F,
    places: HashMap<MailboxId, Option<usize>, RandomState>,
    targets: Targets,
}

impl<F: Fn(&Mailbox) -> bool> Gather<F> {
    pub(super) fn new(may_read: F) -> Self {
        Self { may_read, places: HashMap::default(), targets: Targets::default() }
    }

    pub(super) fn add(&mut self, subscribers: &Subscribers) {
        for (id, subscriber) in &subscribers.direct {
            match self.places.get(id) {
                Some(Some(place)) => {
                    if let Some(target) = self.targets.direct.get_mut(*place) {
                        target.merge(subscriber);
                    }
                }
                Some(None) => {}
                None if (self.may_read)(&subscriber.mailbox) => {
                    self.places.insert(*id, Some(self.targets.direct.len()));
                    self.targets.direct.push(Target::of(subscriber));
                }
                None => {
                    self.places.insert(*id, None);
                    self.targets.denied.push(Target::of(subscriber));
                }
            }
        }
        self.targets
            .groups
            .extend(subscribers.groups.values().filter_map(|group| group.filtered(&self.may_read)));
    }

    pub(super) fn finish(self) -> Targets {
        self.targets
    }
}

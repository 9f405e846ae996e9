//! Who subscribed with one filter: direct subscribers, and the groups of shared subscriptions.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use gaugeline_protocol::session::Subscription;

use super::{Mailbox, MailboxId, Wire};

/// One subscription of one session.
#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) subscription: Subscription,
}

/// Everybody with the same filter.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub(super) direct: HashMap<MailboxId, Subscriber, RandomState>,
    /// Replaced as a whole on each change, so that cached matches hold a consistent one.
    pub(super) groups: HashMap<Box<str>, Arc<Group>, RandomState>,
}

impl Subscribers {
    pub(super) fn insert(&mut self, group: Option<&str>, subscriber: Subscriber) {
        let Some(name) = group else {
            self.direct.insert(subscriber.mailbox.id(), subscriber);
            return;
        };
        let group = self.groups.entry(name.into()).or_default();
        let mut members = group.members.clone();
        members.retain(|member| member.mailbox.id() != subscriber.mailbox.id());
        members.push(subscriber);
        *group = Arc::new(group.with(members));
    }

    pub(super) fn remove(&mut self, group: Option<&str>, mailbox: MailboxId) -> bool {
        let Some(name) = group else { return self.direct.remove(&mailbox).is_some() };
        let Some(known) = self.groups.get(name) else { return false };
        let mut members = known.members.clone();
        members.retain(|member| member.mailbox.id() != mailbox);
        let removed = members.len() < known.members.len();
        if members.is_empty() {
            self.groups.remove(name);
        } else if removed {
            let group = Arc::new(known.with(members));
            self.groups.insert(name.into(), group);
        }
        removed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.groups.is_empty()
    }
}

/// The members of a shared subscription: each message goes to one of them [MQTT 5.0, section 4.8.2].
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Subscriber>,
    /// Whose turn it is, shared with every selection of the group: each topic of each publisher has its own, and one
    /// message on each must not hit the same member.
    next: Arc<AtomicUsize>,
}

impl Group {
    /// The same group with other members.
    fn with(&self, members: Vec<Subscriber>) -> Self {
        Self { members, next: Arc::clone(&self.next) }
    }

    /// The same group with only the members that may read.
    pub(super) fn filtered(&self, may_read: impl Fn(&Mailbox) -> bool) -> Option<Self> {
        let members =
            self.members.iter().filter(|member| may_read(&member.mailbox)).cloned().collect::<Vec<_>>();
        (!members.is_empty()).then(|| self.with(members))
    }

    /// Round robin over the members that are connected; if none is, over those whose session is kept.
    pub(super) fn pick(&self) -> Option<&Subscriber> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = |accept: fn(&Mailbox) -> bool| {
            (0..self.members.len())
                .filter_map(|step| self.members.get(start.wrapping_add(step) % self.members.len()))
                .find(|member| accept(&member.mailbox))
        };
        turn(|mailbox| mailbox.wire() != Wire::Offline).or_else(|| turn(Mailbox::is_persistent))
    }
}

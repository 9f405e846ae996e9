//! Who gets which message. Synchronous: no task, no IO; the publisher's own task does the fan-out.
//!
//! Subscriptions live in shards: filters whose first two levels are literal by those levels, all others in one more.
//! A topic's subscribers are therefore in at most two shards. Each shard counts its changes; a connection's
//! [`MatchCache`] keeps what it found until one of the two counts, or the rights, have changed.
//!
//! Subscriptions point at a [`Mailbox`], not at a connection: reconnecting never touches a shard.
//!
//! Lock order: registry, shard, mailbox. A shard's lock is released before anything is pushed.

mod contents;
mod fanout;
mod mailbox;
mod mailbox_id;
mod mailbox_options;
mod match_cache;
mod message;
mod queue_total;
mod retained;
mod subscribers;
mod targets;
mod trie;

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::RandomState;
use gaugeline_protocol::{TopicFilter, session::Subscription};
use parking_lot::RwLock;

pub use contents::{Contents, Dropped, Entry, Frames};
pub use fanout::{Addressee, FRAME_BYTES_MAX, Fanout, Routed, Run, Share};
pub use mailbox::{Mailbox, Pushed};
pub use mailbox_id::{MailboxId, MailboxIds};
pub use mailbox_options::{LiveLimits, MailboxLimits, MailboxOptions, Overflow, Wire};
pub use match_cache::{CachedTopic, MatchCache};
pub use message::{Delivery, DeliveryOptions, Draft, Message, RECEIVE_STAMP, Stamp, Stamper};
pub use queue_total::QueueTotal;
pub use retained::{Page, Retained, RetainedFull, RetainedLimits, RetainedWalk, Sweep};
pub use targets::Targets;

use crate::auth::{Access, AccessKind};
use subscribers::{Subscriber, Subscribers};
use targets::Gather;
use trie::FilterMap;

/// Shards of filters that begin with two literal levels. Enough that two busy cores seldom meet; few enough that a
/// walk over all of them is cheap.
const LITERAL_SHARDS: usize = 64;

/// The subscriptions and the retained messages of the broker.
#[derive(Debug)]
pub struct Router {
    literal: Vec<Shard>,
    wildcard: Shard,
    hasher: RandomState,
    retained: Retained,
    status: Retained,
}

#[derive(Debug, Default)]
struct Shard {
    /// Raised, inside the write lock, by each change.
    generation: AtomicU64,
    subscriptions: RwLock<FilterMap<Subscribers>>,
}

/// The state of the router in which a match was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Generations {
    literal: u64,
    wildcard: u64,
}

impl Router {
    /// A router without subscriptions.
    pub fn new(retained: RetainedLimits) -> Self {
        Self {
            literal: (0..LITERAL_SHARDS).map(|_| Shard::default()).collect(),
            wildcard: Shard::default(),
            hasher: RandomState::default(),
            retained: Retained::new(retained),
            status: Retained::new(RetainedLimits { messages: usize::MAX, bytes: usize::MAX }),
        }
    }

    /// The retained messages.
    pub fn retained(&self) -> &Retained {
        &self.retained
    }

    /// What the broker says of itself, retained apart from the messages of clients.
    pub fn status(&self) -> &Retained {
        &self.status
    }

    /// Starts the walks over all retained messages that match.
    pub fn retained_pages(&self, filter: TopicFilter) -> Vec<Page> {
        let names_status = filter.filter().starts_with("$SYS/");
        let status = names_status.then(|| self.status.pages(filter.clone()).of_status());
        status.into_iter().chain([self.retained.pages(filter)]).collect()
    }

    /// See [`Retained::next_page`].
    pub fn next_page(&self, page: &mut Page, found: &mut Vec<Arc<Message>>) -> bool {
        let retained = if page.is_of_status() { &self.status } else { &self.retained };
        retained.next_page(page, found)
    }

    /// Adds a session's subscription, or replaces the one with the same filter.
    pub fn subscribe(&self, mailbox: &Arc<Mailbox>, filter: &TopicFilter, subscription: Subscription) {
        let subscriber = Subscriber { mailbox: Arc::clone(mailbox), subscription };
        self.shard_of_filter(filter.filter()).change(|map| {
            map.value_or_insert_with(filter.filter(), Subscribers::default)
                .insert(filter.group(), subscriber);
        });
    }

    /// Removes a session's subscription. False if there was none.
    pub fn unsubscribe(&self, mailbox: MailboxId, filter: &TopicFilter) -> bool {
        self.shard_of_filter(filter.filter()).change(|map| {
            let Some(subscribers) = map.value_mut(filter.filter()) else { return false };
            let removed = subscribers.remove(filter.group(), mailbox);
            if subscribers.is_empty() {
                map.remove(filter.filter());
            }
            removed
        })
    }

    /// Everybody who gets the messages of a topic, as far as `access` lets them read it.
    pub fn targets(&self, topic: &str, access: &Access) -> Targets {
        let may_read =
            |mailbox: &Mailbox| access.decide(&mailbox.identity(), AccessKind::Read, topic).allowed;
        let mut gather = Gather::new(may_read);
        for shard in [self.shard_of_topic(topic), &self.wildcard] {
            shard.subscriptions.read().matching(topic, |subscribers| gather.add(subscribers));
        }
        gather.finish()
    }

    /// Read before the match, so that a change during it makes the result stale rather than the change lost.
    fn generations(&self, topic: &str) -> Generations {
        Generations {
            literal: self.shard_of_topic(topic).generation.load(Ordering::Acquire),
            wildcard: self.wildcard.generation.load(Ordering::Acquire),
        }
    }

    fn shard_of_topic(&self, topic: &str) -> &Shard {
        let mut levels = topic.split('/');
        self.literal_shard(levels.next(), levels.next())
    }

    fn shard_of_filter(&self, filter: &str) -> &Shard {
        let mut levels = filter.split('/');
        let (first, second) = (levels.next(), levels.next());
        if [first, second].iter().flatten().any(|level| matches!(*level, "+" | "#")) {
            return &self.wildcard;
        }
        // `a/b/#` also matches the topic `a/b`, which is in the same shard; `a/#` is above.
        self.literal_shard(first, second)
    }

    fn literal_shard(&self, first: Option<&str>, second: Option<&str>) -> &Shard {
        let at = self.hasher.hash_one((first, second)) as usize % LITERAL_SHARDS;
        // `at` is below the number of shards; the fallback is never taken.
        self.literal.get(at).unwrap_or(&self.wildcard)
    }
}

impl Shard {
    fn change<R>(&self, change: impl FnOnce(&mut FilterMap<Subscribers>) -> R) -> R {
        let mut subscriptions = self.subscriptions.write();
        self.generation.fetch_add(1, Ordering::Release);
        change(&mut subscriptions)
    }
}

//! What a connection remembers about the topics that it publishes to: whether it may, and who gets them.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{Generations, Router, Targets};
use crate::auth::{AccessHandle, AccessKind, Decision, Identity};

/// How many topics a connection remembers. A sensor has a handful; a gateway with more than this refills the cache,
/// at the cost of a match per topic.
const TOPICS_MAX: usize = 1024;

/// The answers about one topic.
#[derive(Debug)]
pub struct CachedTopic {
    /// The topic name.
    pub topic: Arc<str>,
    /// Whether the connection's identity may publish to it, and what decided.
    pub write: Decision,
    /// Who gets it.
    pub targets: Targets,
    generations: Generations,
    epoch: u64,
}

/// Remembers [`CachedTopic`]s until a subscription that concerns them, or the rights, change.
#[derive(Debug, Default)]
pub struct MatchCache {
    topics: HashMap<Arc<str>, Arc<CachedTopic>, RandomState>,
    /// The topic of the last message: most of the time, that of the next one.
    last: Option<Arc<CachedTopic>>,
}

impl MatchCache {
    /// The answers for a topic, worked out anew if they no longer hold.
    pub fn look_up(
        &mut self,
        topic: &str,
        identity: &Identity,
        router: &Router,
        access: &AccessHandle,
    ) -> Arc<CachedTopic> {
        let epoch = access.epoch();
        if let Some(last) = &self.last
            && *last.topic == *topic
            && last.epoch == epoch
            && last.generations == router.generations(topic)
        {
            return Arc::clone(last);
        }
        let generations = router.generations(topic);
        if let Some(known) = self.topics.get(topic)
            && known.epoch == epoch
            && known.generations == generations
        {
            self.last = Some(Arc::clone(known));
            return Arc::clone(known);
        }
        let found = Arc::new(CachedTopic::find(topic, identity, router, access));
        if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(topic) {
            self.topics.clear();
        }
        self.topics.insert(Arc::clone(&found.topic), Arc::clone(&found));
        self.last = Some(Arc::clone(&found));
        found
    }

    /// Forgets everything: the memory goes with it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl CachedTopic {
    /// The answers for a message of the broker itself, which may write everything.
    pub fn of_broker(topic: &str, router: &Router, access: &AccessHandle) -> Self {
        let (generations, epoch) = (router.generations(topic), access.epoch());
        let targets = router.targets(topic, &access.load());
        let write = Decision { allowed: true, line: None };
        Self { topic: topic.into(), write, targets, generations, epoch }
    }

    /// Works the answers out. The counts are read first: a change meanwhile makes them stale, not lost.
    pub fn find(topic: &str, identity: &Identity, router: &Router, access: &AccessHandle) -> Self {
        let (generations, epoch) = (router.generations(topic), access.epoch());
        let access = access.load();
        let write = access.decide(identity, AccessKind::Write, topic);
        let targets = if write.allowed { router.targets(topic, &access) } else { Targets::default() };
        Self { topic: topic.into(), write, targets, generations, epoch }
    }
}

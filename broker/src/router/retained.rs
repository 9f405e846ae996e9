//! The last message of each topic that was published with the retain flag [MQTT 5.0, section 3.3.1.3].

use std::{
    collections::BTreeMap,
    hash::BuildHasher,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use foldhash::{HashSet, fast::RandomState};
use gaugeline_protocol::{TopicFilter, session::Subscription};
use parking_lot::RwLock;

use super::{Message, Stamp};

/// Shards by the first level of the topic: a filter with a literal first level reads one.
const SHARDS: usize = 16;
/// The most topics that are looked at under one lock, so that a wide subscription delays no publisher for long.
const PAGE_TOPICS_MAX: usize = 256;

/// How much is retained.
#[derive(Debug, Clone, Copy)]
pub struct RetainedLimits {
    /// The most messages.
    pub messages: usize,
    /// The most bytes, of all messages.
    pub bytes: usize,
}

/// A limit of [`RetainedLimits`] is reached: the message is routed, but not retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit of retained messages or bytes is reached")]
pub struct RetainedFull;

/// All retained messages.
#[derive(Debug)]
pub struct Retained {
    shards: Vec<RwLock<BTreeMap<Box<str>, Arc<Message>>>>,
    hasher: RandomState,
    messages_max: AtomicUsize,
    bytes_max: AtomicUsize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// Where a walk over the retained messages of a filter goes on.
#[derive(Debug)]
pub struct Page {
    filter: TopicFilter,
    /// It walks over what the broker says of itself.
    of_status: bool,
    shard: usize,
    last_shard: usize,
    after: Option<Box<str>>,
}

/// Where a search for expired messages goes on.
#[derive(Debug, Default)]
pub struct Sweep {
    shard: usize,
    after: Option<Box<str>>,
}

/// The retained messages of a new subscription that are still to be sent, page by page.
#[derive(Debug)]
pub struct RetainedWalk {
    /// Where it goes on.
    pub page: Page,
    /// How they are delivered.
    pub subscription: Subscription,
    /// Those that wait for the session already: a walk that a crash has interrupted leaves them out.
    pub waiting: Option<Arc<HashSet<Stamp>>>,
}

impl Page {
    /// The same walk, over what the broker says of itself.
    pub(super) fn of_status(self) -> Self {
        Self { of_status: true, ..self }
    }

    pub(super) fn is_of_status(&self) -> bool {
        self.of_status
    }
}

impl RetainedWalk {
    /// What the walk looks for.
    pub fn filter(&self) -> &TopicFilter {
        &self.page.filter
    }
}

impl Retained {
    pub(super) fn new(limits: RetainedLimits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::default(),
            messages_max: AtomicUsize::new(limits.messages),
            bytes_max: AtomicUsize::new(limits.bytes),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// So much may be retained from now on. What is retained already stays, even if it is more.
    pub fn set_limits(&self, limits: RetainedLimits) {
        self.messages_max.store(limits.messages, Ordering::Relaxed);
        self.bytes_max.store(limits.bytes, Ordering::Relaxed);
    }

    /// How many messages and bytes are retained.
    pub fn size(&self) -> (usize, usize) {
        (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Replaces the retained message of the topic. `note` is called before anybody else can change that topic, so that
    /// what is noted is in the order of the changes; it must not block.
    ///
    /// # Errors
    /// [`RetainedFull`] leaves what was retained before; then `note` is not called.
    pub fn insert<T>(&self, message: Arc<Message>, note: impl FnOnce() -> T) -> Result<T, RetainedFull> {
        let Some(shard) = self.shards.get(self.shard_of(message.topic())) else { return Ok(note()) };
        let mut topics = shard.write();
        let before = topics.get(message.topic()).map(|old| old.size());
        let (messages, bytes) = self.size();
        let bytes_after = bytes.saturating_sub(before.unwrap_or(0)) + message.size();
        let messages_max = self.messages_max.load(Ordering::Relaxed);
        if bytes_after > self.bytes_max.load(Ordering::Relaxed)
            || (before.is_none() && messages >= messages_max)
        {
            return Err(RetainedFull);
        }
        self.bytes.fetch_add(message.size(), Ordering::Relaxed);
        self.bytes.fetch_sub(before.unwrap_or(0), Ordering::Relaxed);
        self.messages.fetch_add(usize::from(before.is_none()), Ordering::Relaxed);
        topics.insert(message.topic().into(), message);
        Ok(note())
    }

    /// An empty retained message ends the topic's retained message [MQTT-3.3.1-6]. `note` is as for [`Self::insert`].
    pub fn remove<T>(&self, topic: &str, note: impl FnOnce() -> T) -> T {
        let Some(shard) = self.shards.get(self.shard_of(topic)) else { return note() };
        let mut topics = shard.write();
        if let Some(old) = topics.remove(topic) {
            self.forget(&old);
        }
        note()
    }

    fn forget(&self, old: &Message) {
        self.bytes.fetch_sub(old.size(), Ordering::Relaxed);
        self.messages.fetch_sub(1, Ordering::Relaxed);
    }

    /// Removes what has expired among the next topics, a page of them, each noted as for [`Self::insert`]. After the last
    /// one it begins anew.
    pub fn sweep(&self, sweep: &mut Sweep, now: Instant, note: impl Fn(&str)) {
        let Some(shard) = self.shards.get(sweep.shard) else { return };
        let mut topics = shard.write();
        let start = sweep.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut expired = Vec::new();
        let (mut looked_at, mut last) = (0, None);
        for (topic, message) in topics.range::<str, _>((start, Bound::Unbounded)).take(PAGE_TOPICS_MAX) {
            looked_at += 1;
            last = Some(topic);
            if message.expires_at().is_some_and(|at| at <= now) {
                expired.push(topic.clone());
            }
        }
        sweep.after = last.filter(|_| looked_at == PAGE_TOPICS_MAX).cloned();
        for topic in expired {
            if let Some(old) = topics.remove(&topic) {
                self.forget(&old);
                note(&topic);
            }
        }
        if sweep.after.is_none() {
            sweep.shard = (sweep.shard + 1) % SHARDS;
        }
    }

    /// Starts a walk over the retained messages that match.
    pub fn pages(&self, filter: TopicFilter) -> Page {
        let first = filter.filter().split('/').next().unwrap_or_default();
        let (shard, last_shard) = if matches!(first, "+" | "#") {
            (0, SHARDS - 1)
        } else {
            let only = self.shard_of(first);
            (only, only)
        };
        Page { filter, of_status: false, shard, last_shard, after: None }
    }

    /// The next messages of a walk, at most [`PAGE_TOPICS_MAX`] topics further, into `found`. False at the end.
    pub fn next_page(&self, page: &mut Page, found: &mut Vec<Arc<Message>>) -> bool {
        let Some(shard) = self.shards.get(page.shard).filter(|_| page.shard <= page.last_shard) else {
            return false;
        };
        let prefix = literal_prefix(page.filter.filter());
        let topics = shard.read();
        let start = match &page.after {
            Some(after) => Bound::Excluded(after.as_ref()),
            None => Bound::Included(prefix),
        };
        let mut looked_at = 0;
        let mut last = None;
        for (topic, message) in topics.range::<str, _>((start, Bound::Unbounded)) {
            if !topic.starts_with(prefix) || looked_at == PAGE_TOPICS_MAX {
                break;
            }
            looked_at += 1;
            last = Some(topic.clone());
            if page.filter.matches(topic) {
                found.push(Arc::clone(message));
            }
        }
        drop(topics);
        if looked_at == PAGE_TOPICS_MAX {
            page.after = last;
        } else {
            page.shard += 1;
            page.after = None;
        }
        page.shard <= page.last_shard
    }

    fn shard_of(&self, topic: &str) -> usize {
        let first = topic.split('/').next().unwrap_or_default();
        self.hasher.hash_one(first) as usize % SHARDS
    }
}

/// What every matching topic begins with: the levels before the first wildcard, without the last separator, because
/// `a/#` matches `a` too.
fn literal_prefix(filter: &str) -> &str {
    match filter.find(['+', '#']) {
        None => filter,
        Some(at) => filter.get(..at.saturating_sub(1)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use gaugeline_protocol::QoS;
    use proptest::prelude::*;

    use super::*;
    use crate::router::Draft;

    fn message(topic: &str, payload: &[u8]) -> Arc<Message> {
        let (properties, qos) = (&[][..], QoS::AtMostOnce);
        let draft = Draft { topic, payload, properties, qos, expires_at: None, publisher: None };
        Arc::new(Message::new(&draft, Stamp::from_nanoseconds(1)))
    }

    fn all(retained: &Retained, filter: &str) -> Vec<String> {
        let mut page = retained.pages(TopicFilter::new(filter).unwrap());
        let mut found = Vec::new();
        while retained.next_page(&mut page, &mut found) {}
        let mut topics = found.iter().map(|message| message.topic().to_owned()).collect::<Vec<_>>();
        topics.sort();
        topics
    }

    const NO_LIMITS: RetainedLimits = RetainedLimits { messages: usize::MAX, bytes: usize::MAX };

    proptest! {
        #[test]
        fn a_walk_finds_exactly_the_matching_topics(
            topics in prop::collection::btree_set("[ab]{1,2}(/[ab]{0,2}){0,3}", 0..60),
            filter in "(\\+|[ab]{1,2})(/(\\+|[ab]{0,2})){0,2}(/#)?",
        ) {
            let retained = Retained::new(NO_LIMITS);
            for topic in &topics {
                retained.insert(message(topic, b"x"), || ()).unwrap();
            }
            let wanted = TopicFilter::new(&filter).unwrap();
            let expected = topics.iter().filter(|topic| wanted.matches(topic)).cloned().collect::<Vec<_>>();
            prop_assert_eq!(all(&retained, &filter), expected);
        }
    }

    #[test]
    fn a_walk_over_more_than_a_page_neither_skips_nor_repeats() {
        let retained = Retained::new(NO_LIMITS);
        for at in 0..3 * PAGE_TOPICS_MAX {
            retained.insert(message(&format!("a/{at}"), b"x"), || ()).unwrap();
        }
        let found = all(&retained, "a/+");
        assert_eq!(found.len(), 3 * PAGE_TOPICS_MAX);
        assert!(found.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn sweeping_finds_what_has_expired_and_nothing_else() {
        let retained = Retained::new(NO_LIMITS);
        let now = crate::clock::now();
        let expiring = |topic: &str, seconds: Option<u64>| {
            let expires_at = seconds.map(|seconds| now + Duration::from_secs(seconds));
            let (payload, properties, qos) = (&b"x"[..], &[][..], QoS::AtMostOnce);
            let draft = Draft { topic, payload, properties, qos, expires_at, publisher: None };
            retained.insert(Arc::new(Message::new(&draft, Stamp::from_nanoseconds(1))), || ()).unwrap();
        };
        for at in 0..3 * PAGE_TOPICS_MAX {
            expiring(&format!("{}/{at}", at % 40), [None, Some(10), Some(1000)][at % 3]);
        }
        let mut sweep = Sweep::default();
        let mut sweep_all = |now| {
            let noted = RefCell::new(Vec::new());
            for _ in 0..SHARDS + 3 {
                retained.sweep(&mut sweep, now, |topic| noted.borrow_mut().push(topic.to_owned()));
            }
            noted.into_inner().len()
        };
        assert_eq!(sweep_all(now), 0);
        assert_eq!(sweep_all(now + Duration::from_secs(10)), PAGE_TOPICS_MAX);
        assert_eq!(retained.size().0, 2 * PAGE_TOPICS_MAX);
        assert_eq!(sweep_all(now + Duration::from_secs(1000)), PAGE_TOPICS_MAX);
        assert_eq!(all(&retained, "#").len(), PAGE_TOPICS_MAX);
    }

    #[test]
    fn limits_hold_and_replacing_needs_no_room() {
        let retained = Retained::new(RetainedLimits { messages: 2, bytes: 10_000 });
        retained.insert(message("a", b"1"), || ()).unwrap();
        retained.insert(message("b", b"1"), || ()).unwrap();
        assert_eq!(retained.insert(message("c", b"1"), || ()), Err(RetainedFull));
        retained.insert(message("a", b"2"), || ()).unwrap();
        assert_eq!(retained.insert(message("a", &[0; 20_000]), || ()), Err(RetainedFull));
        retained.remove("b", || ());
        retained.insert(message("c", b"1"), || ()).unwrap();
        assert_eq!(all(&retained, "#"), ["a", "c"]);
        assert_eq!(retained.size().0, 2);
    }
}

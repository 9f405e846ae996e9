//! Subscriptions by filter: exact topics in a map, filters with wildcards in a trie. Pure data, no locks.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use gaugeline_protocol::topic;

/// Values kept by topic filter, and found by topic name.
#[derive(Debug)]
pub(super) struct FilterMap<V> {
    exact: HashMap<Box<str>, V, RandomState>,
    wildcards: Node<V>,
}

#[derive(Debug)]
struct Node<V> {
    children: HashMap<Box<str>, Self, RandomState>,
    plus: Option<Box<Self>>,
    /// The value of the filter that ends here.
    value: Option<V>,
    /// The value of the filter that ends here with `/#` (or is `#`, at the root).
    hash: Option<V>,
}

impl<V> Default for FilterMap<V> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcards: Node::default() }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self { children: HashMap::default(), plus: None, value: None, hash: None }
    }
}

impl<V> FilterMap<V> {
    /// The value of a filter, to read or change it.
    pub(super) fn value_mut(&mut self, filter: &str) -> Option<&mut V> {
        if is_exact(filter) {
            return self.exact.get_mut(filter);
        }
        let (path, hash) = split_hash(filter);
        let mut node = &mut self.wildcards;
        for level in path {
            node = match level {
                "+" => node.plus.as_deref_mut()?,
                _ => node.children.get_mut(level)?,
            };
        }
        if hash { node.hash.as_mut() } else { node.value.as_mut() }
    }

    /// The value of a filter, made with `default` if there is none.
    pub(super) fn value_or_insert_with(&mut self, filter: &str, default: impl FnOnce() -> V) -> &mut V {
        if is_exact(filter) {
            return self.exact.entry(filter.into()).or_insert_with(default);
        }
        let (path, hash) = split_hash(filter);
        let mut node = &mut self.wildcards;
        for level in path {
            node = match level {
                "+" => node.plus.get_or_insert_with(Box::default),
                _ => node.children.entry(level.into()).or_default(),
            };
        }
        if hash { node.hash.get_or_insert_with(default) } else { node.value.get_or_insert_with(default) }
    }

    /// Removes the value of a filter, and the branches that led only there.
    pub(super) fn remove(&mut self, filter: &str) -> Option<V> {
        if is_exact(filter) {
            return self.exact.remove(filter);
        }
        let (path, hash) = split_hash(filter);
        self.wildcards.remove(&path.collect::<Vec<_>>(), hash)
    }

    /// Calls `found` with the value of every filter that matches the topic, in no order.
    pub(super) fn matching<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a V)) {
        if let Some(value) = self.exact.get(topic) {
            found(value);
        }
        self.wildcards.matching(topic, !topic.starts_with('$'), &mut found);
    }
}

impl<V> Node<V> {
    fn remove(&mut self, path: &[&str], hash: bool) -> Option<V> {
        let Some((level, rest)) = path.split_first() else {
            return if hash { self.hash.take() } else { self.value.take() };
        };
        if *level == "+" {
            let child = self.plus.as_deref_mut()?;
            let removed = child.remove(rest, hash);
            if child.is_empty() {
                self.plus = None;
            }
            return removed;
        }
        let child = self.children.get_mut(*level)?;
        let removed = child.remove(rest, hash);
        if child.is_empty() {
            self.children.remove(*level);
        }
        removed
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.value.is_none() && self.hash.is_none()
    }

    /// `rest` is the part of the topic below this node. Depth is bounded by the levels of a topic
    /// ([`topic::TOPIC_LEVELS_MAX`]).
    fn matching<'a>(&'a self, rest: &str, wildcards: bool, found: &mut impl FnMut(&'a V)) {
        if wildcards && let Some(value) = &self.hash {
            found(value);
        }
        let (level, below) = match rest.split_once('/') {
            Some((level, below)) => (level, Some(below)),
            None => (rest, None),
        };
        let plus = if wildcards { self.plus.as_deref() } else { None };
        for child in self.children.get(level).into_iter().chain(plus) {
            match below {
                Some(below) => child.matching(below, true, found),
                // `a/#` matches `a` too: the filter's parent level [MQTT 5.0, section 4.7.1.2].
                None => child.value.iter().chain(&child.hash).for_each(&mut *found),
            }
        }
    }
}

fn is_exact(filter: &str) -> bool {
    !filter.contains(['+', '#'])
}

fn split_hash(filter: &str) -> (std::str::Split<'_, char>, bool) {
    match filter.strip_suffix("/#") {
        Some(path) => (path.split('/'), true),
        None if filter == "#" => {
            let mut nothing = "".split('/');
            nothing.next();
            (nothing, true)
        }
        None => (filter.split('/'), false),
    }
}

/// The depth that recursion here may reach.
const _: () = assert!(topic::TOPIC_LEVELS_MAX < 1000);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use gaugeline_protocol::TopicFilter;
    use proptest::prelude::*;

    use super::*;

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just(""), Just("$x"), Just("é")]
    }

    fn topic_text() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn filter_text() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop_oneof![3 => level(), 1 => Just("+")], 0..5);
        (levels, any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash || levels.is_empty() {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    proptest! {
        /// The trie finds what the reference `TopicFilter::matches` finds, after any inserts and removals.
        #[test]
        fn finds_what_a_naive_search_finds(
            operations in prop::collection::vec((filter_text(), any::<bool>()), 1..40),
            topics in prop::collection::vec(topic_text(), 1..20),
        ) {
            let (mut map, mut naive) = (FilterMap::default(), BTreeMap::new());
            for (text, insert) in operations {
                let Ok(filter) = TopicFilter::new(&text) else { continue };
                if insert {
                    map.value_or_insert_with(&text, || text.clone());
                    naive.insert(text.clone(), filter);
                } else {
                    prop_assert_eq!(map.remove(&text).is_some(), naive.remove(&text).is_some());
                }
                prop_assert_eq!(map.value_mut(&text).is_some(), naive.contains_key(&text));
            }
            for topic in topics.iter().filter(|topic| !topic.is_empty()) {
                let mut found = Vec::new();
                map.matching(topic, |value: &String| found.push(value.clone()));
                let unique = found.iter().cloned().collect::<BTreeSet<_>>();
                prop_assert_eq!(unique.len(), found.len(), "found twice");
                let expected = naive.iter().filter(|(_, filter)| filter.matches(topic)).map(|(text, _)| text.clone());
                prop_assert_eq!(unique, expected.collect::<BTreeSet<_>>(), "topic {}", topic);
            }
            for text in naive.keys() {
                map.remove(text);
            }
            prop_assert!(map.wildcards.is_empty() && map.exact.is_empty());
        }
    }
}

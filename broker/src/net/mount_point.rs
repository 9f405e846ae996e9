//! What stands before the topics of a listener's clients, as mosquitto's `mount_point`: they see a part of the topics, as
//! if it were all of them. Rights are decided on the whole topics.
//!
//! Not touched: the response topics of MQTT 5, which are content to the broker.

use std::sync::Arc;

use gaugeline_protocol::{TopicFilter, TopicName, packet::Will, topic::TOPIC_BYTES_MAX};

/// The beginning that clients do not see.
#[derive(Debug, Clone)]
pub(crate) struct MountPoint(Arc<str>);

impl MountPoint {
    pub(crate) fn new(text: Arc<str>) -> Self {
        Self(text)
    }

    /// The whole topic. `None` if it is too long.
    pub(super) fn topic(&self, seen: &str) -> Option<String> {
        (self.0.len() + seen.len() <= TOPIC_BYTES_MAX).then(|| [&self.0, seen].concat())
    }

    /// The whole filter; a shared subscription keeps its group. `None` if it is too long.
    pub(super) fn filter(&self, seen: &TopicFilter) -> Option<TopicFilter> {
        let whole = match seen.group() {
            None => format!("{}{}", self.0, seen.filter()),
            Some(group) => format!("$share/{group}/{}{}", self.0, seen.filter()),
        };
        TopicFilter::new(&whole).ok()
    }

    /// Puts it before the will's topic. False if that is too long then.
    pub(super) fn mount(&self, will: &mut Will) -> bool {
        let whole = TopicName::new(&[&self.0, will.topic.as_str()].concat());
        whole.map(|topic| will.topic = topic).is_ok()
    }

    /// How many bytes of a topic its clients do not see. A topic is never empty, so one that is nothing else is seen whole,
    /// as is one from elsewhere, which a session has that has come here from another listener.
    pub(super) fn hidden_bytes(&self, whole: &str) -> u16 {
        match whole.strip_prefix(&*self.0) {
            Some(seen) if !seen.is_empty() => u16::try_from(self.0.len()).unwrap_or(0),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mount = MountPoint::new("site/".into());
        assert_eq!(mount.topic("a/b").as_deref(), Some("site/a/b"));
        for (seen, whole) in [("a/#", "site/a/#"), ("#", "site/#"), ("$share/g/+/b", "$share/g/site/+/b")] {
            assert_eq!(mount.filter(&filter(seen)), Some(filter(whole)));
        }
        for (whole, hidden) in [("site/a", 5), ("site/", 0), ("site", 0), ("other/site/a", 0)] {
            assert_eq!(mount.hidden_bytes(whole), hidden, "{whole}");
        }
    }

    #[test]
    fn what_gets_too_long_is_told() {
        let mount = MountPoint::new("site/".into());
        let longest = "x".repeat(TOPIC_BYTES_MAX - 5);
        assert!(mount.topic(&longest).is_some() && mount.filter(&filter(&longest)).is_some());
        let longer = format!("{longest}x");
        assert!(mount.topic(&longer).is_none() && mount.filter(&filter(&longer)).is_none());
    }
}

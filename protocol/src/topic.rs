//! Topic names and topic filters [MQTT 5.0, section 4.7], each valid by construction.
//!
//! [`TopicFilter::matches`] is the reference for matching: the router's tries are tested against it.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The most bytes that a topic name or filter may have: the limit of an MQTT string.
pub const TOPIC_BYTES_MAX: usize = 65_535;
/// The most levels that a topic name or filter may have, so that walking a trie is bounded. mosquitto's limit
/// is 200 separators (`lib/util_topic.c`).
pub const TOPIC_LEVELS_MAX: usize = 201;

/// Why a text is not a topic name or not a topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("is empty")]
    Empty,
    /// [MQTT-4.7.3-3]
    #[error("is longer than 65535 bytes")]
    TooLong,
    /// See [`TOPIC_LEVELS_MAX`].
    #[error("has more than 201 levels")]
    TooManyLevels,
    /// [MQTT-4.7.3-2]
    #[error("contains the character U+0000")]
    Null,
    /// [MQTT-3.3.2-2]
    #[error("contains a wildcard (`+` or `#`)")]
    Wildcard,
    /// [MQTT-4.7.1-1]
    #[error("has a `#` that is not the whole last level")]
    MisplacedHash,
    /// [MQTT-4.7.1-2]
    #[error("has a `+` that is not a whole level")]
    MisplacedPlus,
    /// [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    #[error("is not of the form $share/GROUP/FILTER")]
    MalformedShare,
}

/// Checks what holds for names and filters alike.
fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    let mut separators = 0;
    for byte in text.bytes() {
        match byte {
            0 => return Err(TopicError::Null),
            b'/' => separators += 1,
            _ => {}
        }
    }
    if separators >= TOPIC_LEVELS_MAX { Err(TopicError::TooManyLevels) } else { Ok(()) }
}

/// A topic that messages are published to: not empty, no wildcards, no U+0000.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Parses an owned name.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Whether [`Self::new`] would accept the text; for the hot path, which keeps the text borrowed.
    pub fn check(text: &str) -> Result<(), TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong);
        }
        let mut levels = 1;
        for byte in text.bytes() {
            match byte {
                0 => return Err(TopicError::Null),
                b'+' | b'#' => return Err(TopicError::Wildcard),
                b'/' => levels += 1,
                _ => {}
            }
        }
        if levels > TOPIC_LEVELS_MAX { Err(TopicError::TooManyLevels) } else { Ok(()) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client subscribes to. `$share/GROUP/FILTER` is taken apart: [`Self::group`] and [`Self::filter`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    /// As the client wrote it, the share prefix included.
    text: Arc<str>,
    /// Where the group's name ends (exclusive); zero without `$share`.
    group_end: u32,
}

/// The prefix of a shared subscription [MQTT 5.0, section 4.8.2].
const SHARE_PREFIX: &str = "$share/";

impl TopicFilter {
    /// Parses a filter of a SUBSCRIBE or UNSUBSCRIBE packet, with or without `$share`.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        check_text(text)?;
        let group_end = match text.strip_prefix(SHARE_PREFIX) {
            None if text == "$share" => return Err(TopicError::MalformedShare),
            None => 0,
            Some(rest) => {
                let (group, filter) = rest.split_once('/').ok_or(TopicError::MalformedShare)?;
                if group.is_empty() || group.contains(['+', '#']) || filter.is_empty() {
                    return Err(TopicError::MalformedShare);
                }
                SHARE_PREFIX.len() + group.len()
            }
        };
        let parsed = Self { text: text.into(), group_end: u32::try_from(group_end).unwrap_or(0) };
        check_levels(parsed.filter())?;
        Ok(parsed)
    }

    /// The filter as the client wrote it, `$share/GROUP/` included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The group of a shared subscription.
    pub fn group(&self) -> Option<&str> {
        self.text.get(SHARE_PREFIX.len()..self.group_end as usize)
    }

    /// The filter that topics are matched with: without `$share/GROUP/`.
    pub fn filter(&self) -> &str {
        match self.group_end {
            0 => &self.text,
            end => self.text.get(end as usize + 1..).unwrap_or_default(),
        }
    }

    /// Whether [`Self::filter`] has a `+` or `#`.
    pub fn has_wildcard(&self) -> bool {
        self.filter().contains(['+', '#'])
    }

    /// Whether messages on this topic are for this subscription.
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.filter(), topic)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MisplacedHash);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::MisplacedPlus);
        }
    }
    Ok(())
}

/// Matches a valid filter (without share prefix) with a valid topic name, level by level. A leading wildcard does
/// not match a topic that begins with `$` [MQTT-4.7.2-1]; `#` also matches its parent level [MQTT 5.0, 4.7.1.2].
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter_levels, mut topic_levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(65_536);
        let deep = "/".repeat(201);
        for (text, expected) in [
            ("a", Ok(())),
            ("/", Ok(())),
            ("é/ü", Ok(())),
            ("$SYS/x", Ok(())),
            ("", Err(TopicError::Empty)),
            ("a/+", Err(TopicError::Wildcard)),
            ("a#", Err(TopicError::Wildcard)),
            ("a\0", Err(TopicError::Null)),
            (&long, Err(TopicError::TooLong)),
            (&deep, Err(TopicError::TooManyLevels)),
        ] {
            assert_eq!(TopicName::new(text).map(|_| ()), expected, "{text:.20}");
        }
    }

    #[test]
    fn filters() {
        for (text, expected) in [
            ("#", Ok((None, "#"))),
            ("+/+/#", Ok((None, "+/+/#"))),
            ("a//b", Ok((None, "a//b"))),
            ("$share/g/a/#", Ok((Some("g"), "a/#"))),
            ("$share/g//", Ok((Some("g"), "/"))),
            ("$shared", Ok((None, "$shared"))),
            ("a/#/b", Err(TopicError::MisplacedHash)),
            ("a#", Err(TopicError::MisplacedHash)),
            ("a+", Err(TopicError::MisplacedPlus)),
            ("+a/b", Err(TopicError::MisplacedPlus)),
            ("$share", Err(TopicError::MalformedShare)),
            ("$share/g", Err(TopicError::MalformedShare)),
            ("$share/g/", Err(TopicError::MalformedShare)),
            ("$share//a", Err(TopicError::MalformedShare)),
            ("$share/g+/a", Err(TopicError::MalformedShare)),
            ("", Err(TopicError::Empty)),
            ("\0", Err(TopicError::Null)),
        ] {
            let parsed = TopicFilter::new(text);
            assert_eq!(
                parsed.as_ref().map(|f| (f.group(), f.filter())),
                expected.as_ref().copied(),
                "{text}"
            );
        }
    }

    #[test]
    fn matching() {
        for (filter, topic, expected) in [
            ("sport/tennis/#", "sport/tennis", true),
            ("sport/tennis/#", "sport/tennis/a/b", true),
            ("sport/#", "sports", false),
            ("+", "a", true),
            ("+", "/a", false),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/a", "$SYS/a", true),
            ("a/#", "a/$b", true),
            ("é/a", "é/a", true),
            ("#", "é/a", true),
            ("a", "A", false),
        ] {
            assert_eq!(TopicFilter::new(filter).unwrap().matches(topic), expected, "{filter} {topic}");
        }
    }
}

//! One line of an ACL file, and how it matches a topic.

use std::num::NonZeroU32;

use gaugeline_protocol::topic;

use super::{AccessKind, overlap::Levels};

/// Topics that begin so are refused to everybody, as by mosquitto, which compares exactly these bytes.
pub(super) const SHARE_PREFIX: &str = "$share";

/// What a pattern's `%u` and `%c` stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// `None` for an anonymous client.
    pub(super) user: Option<&'a str>,
    client_id: &'a str,
}

impl<'a> Names<'a> {
    pub(super) fn new(user: Option<&'a str>, client_id: &'a str) -> Self {
        Self { user: user.filter(|user| !user.is_empty()), client_id }
    }

    /// Whether a name would act as a wildcard if it were replaced into a pattern.
    pub(super) fn unsafe_in_patterns(&self) -> bool {
        let dangerous = |name: &str| name.contains(['+', '#']);
        dangerous(self.client_id) || self.user.is_some_and(dangerous)
    }

    /// What a level of a pattern stands for; `None` if no level of a topic can equal it.
    fn substitute(&self, level: &'a str) -> Option<&'a str> {
        let name = match level {
            "%u" => self.user?,
            "%c" => self.client_id,
            literal => return Some(literal),
        };
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }
}

/// Which line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Topic,
    Pattern,
}

/// What the line grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    Read,
    Write,
    ReadWrite,
    Deny,
    /// Subscribing, which is not reading.
    Subscribe,
}

/// A parsed line.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) filter: Box<str>,
    pub(super) grant: Grant,
    pub(super) line: NonZeroU32,
    /// Every topic that matches begins with so many bytes of the filter: turns most lines down with one comparison.
    literal_bytes: usize,
    /// Whether there is a level to replace; only in patterns.
    substitutes: bool,
    /// A pattern with `%u` anywhere is not for anonymous clients, even where `%u` is not a whole level.
    pub(super) needs_user: bool,
}

impl Entry {
    /// `filter` must be a valid topic filter.
    pub(super) fn new(keyword: Keyword, grant: Grant, filter: &str, line: NonZeroU32) -> Self {
        let is_pattern = keyword == Keyword::Pattern;
        let is_name = |level: &str| is_pattern && matches!(level, "%u" | "%c");
        let literal_bytes = filter
            .split('/')
            .take_while(|level| !matches!(*level, "+" | "#") && !is_name(level))
            .map(|level| level.len() + 1)
            .sum::<usize>()
            // The separator after the literal part does not count: `a/#` matches `a`.
            .saturating_sub(1);
        Self {
            filter: filter.into(),
            grant,
            line,
            literal_bytes,
            substitutes: filter.split('/').any(is_name),
            needs_user: is_pattern && filter.contains("%u"),
        }
    }

    pub(super) fn grants(&self, access: AccessKind) -> bool {
        match self.grant {
            Grant::Read => access == AccessKind::Read,
            Grant::Write => access == AccessKind::Write,
            Grant::ReadWrite => true,
            Grant::Deny | Grant::Subscribe => false,
        }
    }

    pub(super) fn matches(&self, names: &Names<'_>, topic: &str) -> bool {
        let literal = self.filter.as_bytes().get(..self.literal_bytes).unwrap_or_default();
        if !topic.as_bytes().starts_with(literal) {
            return false;
        }
        if !self.substitutes {
            return !(self.needs_user && names.user.is_none()) && topic::matches(&self.filter, topic);
        }
        self.matches_with_names(names, topic)
    }

    /// [`topic::matches`] with names replaced.
    fn matches_with_names(&self, names: &Names<'_>, topic: &str) -> bool {
        // A name never stands for the `$` of a reserved topic: the line itself has to begin with it.
        if topic.starts_with('$') && !self.filter.starts_with('$') || self.needs_user && names.user.is_none()
        {
            return false;
        }
        let (mut filter_levels, mut topic_levels) = (self.filter.split('/'), topic.split('/'));
        loop {
            match (filter_levels.next(), topic_levels.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(wanted), Some(found)) if names.substitute(wanted) == Some(found) => {}
                _ => return false,
            }
        }
    }

    /// The filter with names replaced; `None` if it matches no topic.
    pub(super) fn levels<'a>(&'a self, names: &Names<'a>) -> Option<Levels<'a>> {
        if !self.substitutes {
            return if self.needs_user && names.user.is_none() {
                None
            } else {
                Levels::of_text(&self.filter)
            };
        }
        if self.needs_user && names.user.is_none() {
            return None;
        }
        let first = self.filter.split('/').next()?;
        if names.substitute(first)?.starts_with('$') && !first.starts_with('$') {
            return None;
        }
        let levels = self.filter.split('/').map(|level| names.substitute(level));
        Levels::of_levels(levels.collect::<Option<Vec<_>>>()?)
    }
}

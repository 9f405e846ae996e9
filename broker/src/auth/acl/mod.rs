//! What clients may read and write, in the ACL file format of mosquitto 2.1 and with its evaluation.
//!
//! A check walks the user's own lines (or, for an anonymous client, the lines before the first `user`), then the
//! `pattern` lines. Within each of the two lists a matching `deny` wins wherever it stands; then the first line that
//! matches and grants the access allows. The lists are not merged: an allow of the user's own lines beats a deny of a
//! pattern. Whatever no line allows is denied.
//!
//! [`AclOptions`] has what goes beyond mosquitto; all of it is off by default.
//!
//! A topic that begins with `$` is matched only by lines that begin with `$`. `%u` and `%c` are replaced where they are a
//! whole level of a pattern; if user name or client id contains `+` or `#`, no pattern allows anything.

mod entry;
pub mod lint;
mod overlap;
mod parse;

use std::{num::NonZeroU32, path::Path, sync::Arc};

use foldhash::HashMap;
use gaugeline_protocol::TopicFilter;

use self::entry::{Entry, Names};
use super::password_file::read_regular_file;
use crate::file_error::FileError;

/// What a client wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// Receive a message.
    Read,
    /// Publish a message, the will included.
    Write,
}

/// How a file is read and evaluated beyond mosquitto. The default is mosquitto's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AclOptions {
    /// A SUBSCRIBE is refused if nothing that it could bring may be read; else it is granted and stays silent.
    pub refuse_futile_subscribe: bool,
    /// A deny of a pattern beats an allow of the user's own lines.
    pub deny_wins: bool,
    /// The file may have `group` and `member` lines and the access `subscribe`.
    pub extensions: bool,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the client may.
    pub allowed: bool,
    /// The line of the ACL file that decided; `None` if no line did, and the default or a rule of the broker holds.
    pub line: Option<NonZeroU32>,
}

impl Decision {
    const NO_LINE_ALLOWS: Self = Self { allowed: false, line: None };

    fn by(entry: &Entry, allowed: bool) -> Self {
        Self { allowed, line: Some(entry.line) }
    }
}

/// The rules of one ACL file, ready to be evaluated. An empty file denies everything.
#[derive(Debug, Default)]
pub struct Acl {
    options: AclOptions,
    users: HashMap<Box<str>, Rules>,
    anonymous: Rules,
    patterns: Rules,
}

/// One list, each part in the order of the file. The entries of a group are shared by its members.
#[derive(Debug, Default)]
struct Rules {
    denies: Vec<Arc<Entry>>,
    allows: Vec<Arc<Entry>>,
    /// Which subscriptions are allowed; if there are any, only those.
    subscribes: Vec<Arc<Entry>>,
}

impl Acl {
    /// Reads and parses a file. Symbolic links are followed; what is found must be a regular file.
    pub fn load(path: &Path, options: AclOptions) -> Result<Self, FileError> {
        Self::parse(path, read_regular_file(path)?, options)
    }

    /// Parses the content of a file; `path` is only for messages.
    pub fn parse(path: &Path, content: impl AsRef<[u8]>, options: AclOptions) -> Result<Self, FileError> {
        parse::parse(path, content.as_ref(), options)
    }

    /// Whether a client may read from or write to a topic. `topic` must be a valid topic name; an empty user name counts
    /// as none. Does not allocate.
    pub fn decide(&self, user: Option<&str>, client_id: &str, access: AccessKind, topic: &str) -> Decision {
        let names = Names::new(user, client_id);
        if !builtin_allows(access, topic) {
            return Decision::NO_LINE_ALLOWS;
        }
        let own = self.own_rules(&names);
        let own_deny = own.and_then(|rules| rules.deny(&names, topic));
        let first_deny =
            own_deny.or_else(|| self.options.deny_wins.then(|| self.patterns.deny(&names, topic))?);
        if let Some(deny) = first_deny {
            return Decision::by(deny, false);
        }
        if let Some(allow) = own.and_then(|rules| rules.allow(&names, access, topic)) {
            return Decision::by(allow, true);
        }
        if names.unsafe_in_patterns() {
            return Decision::NO_LINE_ALLOWS;
        }
        if let Some(deny) = self.patterns.deny(&names, topic) {
            return Decision::by(deny, false);
        }
        let allow = self.patterns.allow(&names, access, topic);
        allow.map_or(Decision::NO_LINE_ALLOWS, |allow| Decision::by(allow, true))
    }

    /// Whether a client may subscribe, by the `subscribe` lines and by [`AclOptions::refuse_futile_subscribe`]: then no if
    /// nothing that matches the filter could be read. May say yes although several denies together cover the filter. The
    /// line is one that lets something be read, or one that denies all of it.
    pub fn decide_subscribe(&self, user: Option<&str>, client_id: &str, filter: &TopicFilter) -> Decision {
        let names = Names::new(user, client_id);
        let Some(wanted) = overlap::Levels::of_text(filter.filter()) else {
            return Decision::NO_LINE_ALLOWS;
        };
        let by_line = self.decide_by_subscribe_lines(&names, &wanted);
        if !by_line.allowed || !self.options.refuse_futile_subscribe {
            return by_line;
        }
        self.decide_futile(&names, &wanted)
    }

    /// Allowed if there are no `subscribe` lines for the client, or one covers the filter.
    fn decide_by_subscribe_lines(&self, names: &Names<'_>, wanted: &overlap::Levels<'_>) -> Decision {
        let own = self.own_rules(names).map_or(&[][..], |rules| &rules.subscribes);
        let patterns = &self.patterns.subscribes;
        if own.is_empty() && patterns.is_empty() {
            return Decision { allowed: true, line: None };
        }
        let usable = if names.unsafe_in_patterns() { &[][..] } else { patterns };
        let covers = |entry: &&Arc<Entry>| entry.levels(names).is_some_and(|levels| levels.covers(wanted));
        let covering = own.iter().chain(usable).find(covers);
        covering.map_or(Decision::NO_LINE_ALLOWS, |entry| Decision::by(entry, true))
    }

    /// Denied if nothing that matches the filter could be read.
    fn decide_futile(&self, names: &Names<'_>, wanted: &overlap::Levels<'_>) -> Decision {
        let own = self.own_rules(names);
        let own_denies = own.map_or(&[][..], |rules| &rules.denies);
        let pattern_denies = &self.patterns.denies[..];
        let both: &[&[Arc<Entry>]] = &[own_denies, pattern_denies];
        let over_own = if self.options.deny_wins { both } else { &[own_denies] };
        let by_own = own.map_or(Decision::NO_LINE_ALLOWS, |rules| rules.could_read(names, wanted, over_own));
        if by_own.allowed || names.unsafe_in_patterns() {
            return by_own;
        }
        let by_patterns = self.patterns.could_read(names, wanted, both);
        if by_patterns.allowed || by_own.line.is_none() { by_patterns } else { by_own }
    }

    /// The lines of the user's sections, or those for anonymous clients.
    fn own_rules(&self, names: &Names<'_>) -> Option<&Rules> {
        match names.user {
            Some(user) => self.users.get(user),
            None => Some(&self.anonymous),
        }
    }
}

impl Rules {
    /// The first line that denies the topic.
    fn deny(&self, names: &Names<'_>, topic: &str) -> Option<&Entry> {
        self.denies.iter().find(|entry| entry.matches(names, topic)).map(|entry| &**entry)
    }

    /// The first line that allows the access to the topic.
    fn allow(&self, names: &Names<'_>, access: AccessKind, topic: &str) -> Option<&Entry> {
        let allows = |entry: &&Arc<Entry>| entry.grants(access) && entry.matches(names, topic);
        self.allows.iter().find(allows).map(|entry| &**entry)
    }

    /// Allowed by the first line that grants reading a part of what is wanted that no single deny covers; denied by the
    /// first deny that covers such a part.
    fn could_read(
        &self,
        names: &Names<'_>,
        wanted: &overlap::Levels<'_>,
        denies: &[&[Arc<Entry>]],
    ) -> Decision {
        let mut denied_by = None;
        for allow in self.allows.iter().filter(|entry| entry.grants(AccessKind::Read)) {
            let part = allow.levels(names).and_then(|granted| granted.meet(wanted));
            let Some(part) = part.filter(|part| !part.is_unreadable()) else { continue };
            let covers = |deny: &&Arc<Entry>| deny.levels(names).is_some_and(|levels| levels.covers(&part));
            match denies.iter().flat_map(|list| list.iter()).find(covers) {
                None => return Decision::by(allow, true),
                Some(deny) => denied_by = denied_by.or_else(|| Some(Decision::by(deny, false))),
            }
        }
        denied_by.unwrap_or(Decision::NO_LINE_ALLOWS)
    }
}

/// What no ACL file can change, from mosquitto's broker: `$share...` is not a topic of messages, and clients do not write
/// below `$SYS` except where bridges report their state.
pub fn builtin_allows(access: AccessKind, topic: &str) -> bool {
    if !topic.starts_with('$') {
        return true;
    }
    if topic.starts_with(entry::SHARE_PREFIX) {
        return false;
    }
    access == AccessKind::Read
        || !topic.starts_with("$SYS")
        || gaugeline_protocol::topic::matches("$SYS/broker/connection/+/state", topic)
}

#[cfg(test)]
mod tests;

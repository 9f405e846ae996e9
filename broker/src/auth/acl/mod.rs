//! What clients may read and write, in the ACL file format of mosquitto 2.1 and with its evaluation.
//!
//! A check walks the user's own lines (or, for an anonymous client, the lines before the first `user`), then the
//! `pattern` lines. Within each of the two lists a matching `deny` wins wherever it stands; then the first line that
//! matches and grants the access allows. The lists are not merged: an allow of the user's own lines beats a deny of a
//! pattern. Whatever no line allows is denied.
//!
//! A topic that begins with `$` is matched only by lines that begin with `$`. `%u` and `%c` are replaced where they are a
//! whole level of a pattern; if user name or client id contains `+` or `#`, no pattern allows anything.

mod entry;
mod overlap;
mod parse;

use std::{num::NonZeroU32, path::Path};

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

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether the client may.
    pub allowed: bool,
    /// The line of the ACL file that decided; `None` if no line did, and the default or a rule of the broker holds.
    pub line: Option<NonZeroU32>,
}

/// The rules of one ACL file, ready to be evaluated. An empty file denies everything.
#[derive(Debug, Default)]
pub struct Acl {
    users: HashMap<Box<str>, Rules>,
    anonymous: Rules,
    patterns: Rules,
}

/// One list, denies apart from allows, each in the order of the file.
#[derive(Debug, Default)]
struct Rules {
    denies: Vec<Entry>,
    allows: Vec<Entry>,
}

impl Acl {
    /// Reads and parses a file. Symbolic links are followed; what is found must be a regular file.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, read_regular_file(path)?)
    }

    /// Parses the content of a file; `path` is only for messages.
    pub fn parse(path: &Path, content: impl AsRef<[u8]>) -> Result<Self, FileError> {
        parse::parse(path, content.as_ref())
    }

    /// Whether a client may read from or write to a topic. `topic` must be a valid topic name; an empty user name counts
    /// as none. Does not allocate.
    pub fn decide(&self, user: Option<&str>, client_id: &str, access: AccessKind, topic: &str) -> Decision {
        let names = Names::new(user, client_id);
        if !builtin_allows(access, topic) {
            return Decision { allowed: false, line: None };
        }
        let own = self.own_rules(&names).and_then(|rules| rules.decide(&names, access, topic));
        own.or_else(|| {
            if names.unsafe_in_patterns() { None } else { self.patterns.decide(&names, access, topic) }
        })
        .unwrap_or(Decision { allowed: false, line: None })
    }

    /// `false` only if no topic that matches the filter could be read by the client. May say `true` although several
    /// denies together cover the filter.
    pub fn may_subscribe(&self, user: Option<&str>, client_id: &str, filter: &TopicFilter) -> bool {
        let names = Names::new(user, client_id);
        let Some(wanted) = overlap::Levels::of_text(filter.filter()) else { return false };
        let own = self.own_rules(&names);
        let own_denies = own.map_or(&[][..], |rules| &rules.denies);
        if own.is_some_and(|rules| rules.could_read(&names, &wanted, &[own_denies])) {
            return true;
        }
        !names.unsafe_in_patterns()
            && self.patterns.could_read(&names, &wanted, &[own_denies, &self.patterns.denies])
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
    /// `None` if no line of this list decides.
    fn decide(&self, names: &Names<'_>, access: AccessKind, topic: &str) -> Option<Decision> {
        if let Some(deny) = self.denies.iter().find(|entry| entry.matches(names, topic)) {
            return Some(Decision { allowed: false, line: Some(deny.line) });
        }
        let allow = self.allows.iter().find(|entry| entry.grants(access) && entry.matches(names, topic))?;
        Some(Decision { allowed: true, line: Some(allow.line) })
    }

    /// Whether a line grants reading a part of what is wanted that no single deny covers.
    fn could_read(&self, names: &Names<'_>, wanted: &overlap::Levels<'_>, denies: &[&[Entry]]) -> bool {
        self.allows.iter().filter(|entry| entry.grants(AccessKind::Read)).any(|entry| {
            entry.levels(names).and_then(|granted| granted.meet(wanted)).is_some_and(|meet| {
                !meet.is_unreadable()
                    && !denies
                        .iter()
                        .flat_map(|list| list.iter())
                        .any(|deny| deny.levels(names).is_some_and(|deny| deny.covers(&meet)))
            })
        })
    }
}

/// What no ACL file can change, from mosquitto's broker: `$share...` is not a topic of messages, and clients do not write
/// below `$SYS` except where bridges report their state.
pub(super) fn builtin_allows(access: AccessKind, topic: &str) -> bool {
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

//! An ACL file as it is written: sections and lines in their order, before groups are dissolved into users.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, path::Path, sync::Arc};

use crate::{
    auth::acl::{
        AclOptions,
        entry::{Entry, Keyword},
        parse::{self, Section, Statement},
    },
    file_error::FileError,
};

/// Lines that are evaluated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum List<'a> {
    Anonymous,
    User(&'a str),
    Group(&'a str),
    Patterns,
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("the part before the first user"),
            Self::User(user) => write!(f, "user `{user}`"),
            Self::Group(group) => write!(f, "group `{group}`"),
            Self::Patterns => f.write_str("the patterns"),
        }
    }
}

/// A `member` line.
pub(super) struct Member<'a> {
    line: NonZeroU32,
    pub(super) group: &'a str,
    user: &'a str,
}

/// A file.
#[derive(Default)]
pub(super) struct Document<'a> {
    rules: BTreeMap<List<'a>, Vec<Arc<Entry>>>,
    /// Where each section begins for the first time.
    sections: BTreeMap<List<'a>, NonZeroU32>,
    members: Vec<Member<'a>>,
}

impl<'a> Document<'a> {
    pub(super) fn read(path: &'a Path, content: &'a [u8], options: AclOptions) -> Result<Self, FileError> {
        let mut document = Self::default();
        let mut section = Section::Anonymous;
        for statement in parse::statements(path, content, options) {
            let (line, statement) = statement?;
            match statement {
                Statement::User(name) => {
                    section = Section::User(name);
                    document.sections.entry(List::User(name)).or_insert(line);
                }
                Statement::Group(name) => {
                    section = Section::Group(name);
                    document.sections.entry(List::Group(name)).or_insert(line);
                }
                Statement::Member(user) => {
                    if let Section::Group(group) = section {
                        document.members.push(Member { line, group, user });
                    }
                }
                Statement::Rule(keyword, grant, filter) => {
                    let list = match (keyword, section) {
                        (Keyword::Pattern, _) => List::Patterns,
                        (Keyword::Topic, Section::Anonymous) => List::Anonymous,
                        (Keyword::Topic, Section::User(name)) => List::User(name),
                        (Keyword::Topic, Section::Group(name)) => List::Group(name),
                    };
                    let entry = Entry::new(keyword, grant, filter, line);
                    document.rules.entry(list).or_default().push(Arc::new(entry));
                }
            }
        }
        Ok(document)
    }

    /// Users with the line that names each first: sections and members.
    pub(super) fn users(&self) -> BTreeMap<NonZeroU32, &'a str> {
        let sections = self.sections.iter().filter_map(|(list, line)| match list {
            List::User(user) => Some((*user, *line)),
            _ => None,
        });
        let members = self.members.iter().map(|member| (member.user, member.line));
        let mut first: BTreeMap<&str, NonZeroU32> = BTreeMap::new();
        for (user, line) in sections.chain(members) {
            let known = first.entry(user).or_insert(line);
            *known = line.min(*known);
        }
        first.into_iter().map(|(user, line)| (line, user)).collect()
    }

    /// The sections with the line where each begins.
    pub(super) fn sections(&self) -> impl Iterator<Item = (NonZeroU32, List<'a>)> {
        self.sections.iter().map(|(list, line)| (*line, *list))
    }

    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The lines of a list, in the order of the file.
    pub(super) fn rules(&self, list: List<'a>) -> &[Arc<Entry>] {
        self.rules.get(&list).map_or(&[], |rules| rules)
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = List<'a>> {
        self.rules.keys().copied()
    }

    pub(super) fn all_rules(&self) -> impl Iterator<Item = (List<'a>, &Entry)> {
        self.rules.iter().flat_map(|(list, rules)| rules.iter().map(|entry| (*list, &**entry)))
    }
}

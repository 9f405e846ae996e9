//! The grammar of an ACL file.
//!
//! ```text
//! # a comment, only where '#' is the first byte of the line
//! topic   [read|write|readwrite|deny] FILTER
//! pattern [read|write|readwrite|deny] FILTER     with %u and %c
//! user NAME
//! ```
//!
//! Words are separated by spaces, not by tabs. White space at the end of a line is ignored. A filter or name runs to the end
//! of the line; without an access word a filter has no spaces. One bad line refuses the whole file. Unlike mosquitto,
//! which stops reading at a NUL byte and so may lose a deny, that refuses the file too.
//!
//! With [`AclOptions::extensions`], and only then, there are also
//!
//! ```text
//! group NAME                                     the `topic` lines below are for its members
//! member USER                                    below `group`
//! topic|pattern subscribe FILTER
//! ```

use std::{num::NonZeroU32, path::Path, sync::Arc};

use foldhash::HashMap;
use gaugeline_protocol::topic::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};

use super::{
    Acl, AclOptions, Rules,
    entry::{Entry, Grant, Keyword},
};
use crate::{auth::password_file::WHITE_SPACE, file_error::FileError};

/// Whom the `topic` lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Section<'a> {
    /// Before the first section line.
    Anonymous,
    User(&'a str),
    Group(&'a str),
}

/// What a line says.
pub(super) enum Statement<'a> {
    User(&'a str),
    Group(&'a str),
    Member(&'a str),
    Rule(Keyword, Grant, &'a str),
}

/// The statements of a file with their lines, each alone free of mistakes.
pub(super) fn statements<'a>(
    path: &'a Path,
    content: &'a [u8],
    options: AclOptions,
) -> impl Iterator<Item = Result<(NonZeroU32, Statement<'a>), FileError>> {
    let numbers = (1..).filter_map(NonZeroU32::new);
    numbers.zip(content.split(|byte| *byte == b'\n')).filter_map(move |(number, line)| {
        let statement = parse_line(line, options).transpose()?;
        Some(match statement {
            Ok(statement) => Ok((number, statement)),
            Err((found, expected)) => Err(FileError::at(path, number.get(), found, expected)),
        })
    })
}

pub(super) fn parse(path: &Path, content: &[u8], options: AclOptions) -> Result<Acl, FileError> {
    let mut acl = Acl { options, ..Acl::default() };
    let mut groups: HashMap<&str, (Vec<&str>, Vec<Arc<Entry>>)> = HashMap::default();
    let mut section = Section::Anonymous;
    for statement in statements(path, content, options) {
        let (number, statement) = statement?;
        match statement {
            Statement::User(name) => section = Section::User(name),
            Statement::Group(name) => section = Section::Group(name),
            Statement::Member(user) => match section {
                Section::Group(name) => groups.entry(name).or_default().0.push(user),
                Section::Anonymous | Section::User(_) => {
                    return Err(FileError::at(path, number.get(), "`member`", "it below a `group` line"));
                }
            },
            Statement::Rule(keyword, grant, filter) => {
                let entry = Arc::new(Entry::new(keyword, grant, filter, number));
                match (keyword, section) {
                    (Keyword::Pattern, _) => acl.patterns.push(entry),
                    (Keyword::Topic, Section::Anonymous) => acl.anonymous.push(entry),
                    (Keyword::Topic, Section::User(user)) => acl.rules_of(user).push(entry),
                    (Keyword::Topic, Section::Group(name)) => groups.entry(name).or_default().1.push(entry),
                }
            }
        }
    }
    for (members, entries) in groups.into_values() {
        for user in members {
            entries.iter().for_each(|entry| acl.rules_of(user).push(Arc::clone(entry)));
        }
    }
    acl.users.values_mut().for_each(Rules::sort);
    Ok(acl)
}

impl Acl {
    fn rules_of(&mut self, user: &str) -> &mut Rules {
        self.users.entry(user.into()).or_default()
    }
}

impl Rules {
    fn push(&mut self, entry: Arc<Entry>) {
        match entry.grant {
            Grant::Deny => self.denies.push(entry),
            Grant::Read | Grant::Write | Grant::ReadWrite => self.allows.push(entry),
            Grant::Subscribe => self.subscribes.push(entry),
        }
    }

    /// Puts the lines of groups among the user's own, in the order of the file; each once.
    fn sort(&mut self) {
        for list in [&mut self.denies, &mut self.allows, &mut self.subscribes] {
            list.sort_by_key(|entry| entry.line);
            list.dedup_by_key(|entry| entry.line);
        }
    }
}

/// Found and expected.
type LineError = (String, &'static str);

/// `None` for a comment and a blank line.
fn parse_line(line: &[u8], options: AclOptions) -> Result<Option<Statement<'_>>, LineError> {
    if line.first() == Some(&b'#') {
        return Ok(None);
    }
    let line = str::from_utf8(line).map_err(|_| ("bytes that are not UTF-8".into(), "UTF-8"))?;
    if line.contains('\0') {
        return Err(("a NUL byte".into(), "text"));
    }
    let line = line.trim_end_matches(WHITE_SPACE).trim_start_matches(' ');
    if line.is_empty() {
        return Ok(None);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let name = rest.trim_matches(WHITE_SPACE);
    Ok(Some(match (word, name) {
        ("user", "") => return Err(("`user` without a name".into(), "`user NAME`")),
        ("user", name) => Statement::User(name),
        ("topic", _) => parse_rule(Keyword::Topic, rest, options)?,
        ("pattern", _) => parse_rule(Keyword::Pattern, rest, options)?,
        ("group" | "member", _) if !options.extensions => {
            return Err((format!("`{word}`"), "it only with `acl_extensions = true` in broker.toml"));
        }
        ("group", "") => return Err(("`group` without a name".into(), "`group NAME`")),
        ("group", name) => Statement::Group(name),
        ("member", "") => return Err(("`member` without a name".into(), "`member USER`")),
        ("member", name) => Statement::Member(name),
        _ => {
            let expected = "`user`, `topic` or `pattern` followed by a space, or `#` as the first byte";
            return Err((format!("`{word}`"), expected));
        }
    }))
}

fn parse_rule(keyword: Keyword, rest: &str, options: AclOptions) -> Result<Statement<'_>, LineError> {
    let rest = rest.trim_start_matches(' ');
    let (access, filter) = match rest.split_once(' ') {
        Some((access, filter)) => (access, filter.trim_matches(WHITE_SPACE)),
        None => ("readwrite", rest),
    };
    let grant = match access {
        "read" => Grant::Read,
        "write" => Grant::Write,
        "readwrite" => Grant::ReadWrite,
        "deny" => Grant::Deny,
        "subscribe" if options.extensions => Grant::Subscribe,
        other => return Err((format!("the access `{other}`"), "`read`, `write`, `readwrite` or `deny`")),
    };
    check_filter(filter)?;
    Ok(Statement::Rule(keyword, grant, filter))
}

/// As mosquitto: a valid filter, whatever `$share` in it looks like.
fn check_filter(filter: &str) -> Result<(), LineError> {
    const EXPECTED: &str = "a topic filter, `+` and `#` only as whole levels, `#` only as the last";
    if filter.is_empty() {
        return Err(("no topic".into(), "`topic [read|write|readwrite|deny] FILTER`"));
    }
    if filter.len() > TOPIC_BYTES_MAX {
        return Err(("a topic filter of more than 65535 bytes".into(), "a shorter one"));
    }
    let levels = filter.split('/').count();
    if levels > TOPIC_LEVELS_MAX {
        return Err((format!("a topic filter of {levels} levels"), "201 levels at most"));
    }
    for (position, level) in (1..).zip(filter.split('/')) {
        let misplaced = level.contains(['+', '#']) && level.len() > 1 || level == "#" && position != levels;
        if misplaced {
            return Err((format!("`{filter}`"), EXPECTED));
        }
    }
    Ok(())
}

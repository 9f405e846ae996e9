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

use std::{num::NonZeroU32, path::Path};

use gaugeline_protocol::topic::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};

use super::{
    Acl, Rules,
    entry::{Entry, Grant, Keyword},
};
use crate::{auth::password_file::WHITE_SPACE, file_error::FileError};

pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Acl, FileError> {
    let mut acl = Acl::default();
    // `None` before the first `user` line.
    let mut section: Option<Box<str>> = None;
    let numbers = (1..).filter_map(NonZeroU32::new);
    for (number, line) in numbers.zip(content.split(|byte| *byte == b'\n')) {
        let statement = parse_line(line)
            .map_err(|(found, expected)| FileError::at(path, number.get(), found, expected))?;
        match statement {
            Statement::Nothing => {}
            Statement::User(name) => section = Some(name.into()),
            Statement::Rule(keyword, grant, filter) => {
                let rules = match (keyword, &section) {
                    (Keyword::Pattern, _) => &mut acl.patterns,
                    (Keyword::Topic, None) => &mut acl.anonymous,
                    (Keyword::Topic, Some(user)) => acl.users.entry(user.clone()).or_default(),
                };
                rules.push(grant, Entry::new(keyword, grant, filter, number));
            }
        }
    }
    Ok(acl)
}

impl Rules {
    fn push(&mut self, grant: Grant, entry: Entry) {
        match grant {
            Grant::Deny => self.denies.push(entry),
            Grant::Read | Grant::Write | Grant::ReadWrite => self.allows.push(entry),
        }
    }
}

/// What a line says.
enum Statement<'a> {
    Nothing,
    User(&'a str),
    Rule(Keyword, Grant, &'a str),
}

/// Found and expected.
type LineError = (String, &'static str);

fn parse_line(line: &[u8]) -> Result<Statement<'_>, LineError> {
    if line.first() == Some(&b'#') {
        return Ok(Statement::Nothing);
    }
    let line = str::from_utf8(line).map_err(|_| ("bytes that are not UTF-8".into(), "UTF-8"))?;
    if line.contains('\0') {
        return Err(("a NUL byte".into(), "text"));
    }
    let line = line.trim_end_matches(WHITE_SPACE).trim_start_matches(' ');
    if line.is_empty() {
        return Ok(Statement::Nothing);
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "user" => match rest.trim_matches(WHITE_SPACE) {
            "" => Err(("`user` without a name".into(), "`user NAME`")),
            name => Ok(Statement::User(name)),
        },
        "topic" => parse_rule(Keyword::Topic, rest),
        "pattern" => parse_rule(Keyword::Pattern, rest),
        _ => Err((
            format!("`{word}`"),
            "`user`, `topic` or `pattern` followed by a space, or `#` as the first byte",
        )),
    }
}

fn parse_rule(keyword: Keyword, rest: &str) -> Result<Statement<'_>, LineError> {
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

//! What an ACL file says that its author hardly means: lines that never hold, or that hold for others than it seems.
//!
//! Only what can be told from the file and from who is in the password file. The file must be free of errors.

mod document;

use std::{collections::BTreeSet, fmt, num::NonZeroU32, path::Path};

use self::document::{Document, List};
use super::{
    Acl, AclOptions,
    entry::{Entry, Grant, Names, SHARE_PREFIX},
    overlap::Levels,
};
use crate::{
    auth::{PasswordFile, ScramFile},
    file_error::FileError,
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Most likely a mistake.
    Warning,
    /// Right, but not what everybody expects.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Something odd. Findings sort in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where; `None` if it is about something that the file does not have.
    pub line: Option<NonZeroU32>,
    /// How much it matters.
    pub severity: Severity,
    /// What it is, in one sentence.
    pub message: String,
}

/// What the file is used with, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The users who can log in.
    pub passwords: Option<&'a PasswordFile>,
    /// Those who can do so with SCRAM.
    pub scram: Option<&'a ScramFile>,
    /// Whether clients without a user name may connect.
    pub allow_anonymous: Option<bool>,
    /// Whether certificates name users, too: these need not be in a file.
    pub has_certified_users: bool,
}

/// Looks for everything odd in the content of a file; `path` is only for messages.
///
/// # Errors
/// The first mistake for which the broker would refuse the file.
pub fn lint(
    path: &Path,
    content: &[u8],
    options: AclOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Vec<Finding>, FileError> {
    let lint = Lint {
        acl: Acl::parse(path, content, options)?,
        document: Document::read(path, content, options)?,
        options,
        surroundings,
    };
    let mut findings = Findings::default();
    lint.names(&mut findings);
    lint.users_without_lines(&mut findings);
    lint.users_who_read_nothing(&mut findings);
    lint.anonymous_lines(&mut findings);
    lint.filters(&mut findings);
    lint.covered_lines(&mut findings);
    lint.beaten_denies(&mut findings);
    Ok(findings.0.into_iter().collect())
}

#[derive(Default)]
struct Findings(BTreeSet<Finding>);

impl Findings {
    fn warn(&mut self, line: NonZeroU32, message: impl fmt::Display) {
        self.add(Some(line), Severity::Warning, message);
    }

    fn note(&mut self, line: NonZeroU32, message: impl fmt::Display) {
        self.add(Some(line), Severity::Note, message);
    }

    fn add(&mut self, line: Option<NonZeroU32>, severity: Severity, message: impl fmt::Display) {
        self.0.insert(Finding { line, severity, message: message.to_string() });
    }
}

struct Lint<'a> {
    acl: Acl,
    document: Document<'a>,
    options: AclOptions,
    surroundings: &'a Surroundings<'a>,
}

impl Lint<'_> {
    /// Names of sections that cannot be what was meant.
    fn names(&self, findings: &mut Findings) {
        for (line, user) in self.document.users() {
            if user.contains(" #") {
                findings.warn(line, format_args!("the user is `{user}`: comments need a line of their own"));
            }
            if user.contains(['+', '#']) {
                let message = format_args!("no pattern holds for user `{user}`, because of the + or # in it");
                findings.warn(line, message);
            }
            if user.contains('/') {
                findings.note(line, format_args!("%u never matches user `{user}`, because of the / in it"));
            }
            let Surroundings { passwords, scram, has_certified_users, .. } = *self.surroundings;
            let has_scram = scram.is_some_and(|scram| scram.find(user).is_some());
            if !has_scram
                && !has_certified_users
                && passwords.is_some_and(|passwords| passwords.find(user).is_none())
            {
                findings.warn(line, format_args!("the password file has no user `{user}`"));
            }
        }
        for (line, list) in self.document.sections() {
            if self.document.rules(list).is_empty() {
                findings.note(line, format_args!("{list} has no `topic` lines"));
            }
            if let List::Group(name) = list
                && !self.document.members().iter().any(|member| member.group == name)
            {
                findings.warn(line, format_args!("{list} has no members"));
            }
        }
    }

    /// Users who can log in and then do nothing.
    fn users_without_lines(&self, findings: &mut Findings) {
        let Some(passwords) = self.surroundings.passwords else { return };
        if !self.document.rules(List::Patterns).is_empty() {
            return;
        }
        for user in passwords.users().filter(|user| !self.acl.users.contains_key(*user)) {
            let message = format_args!("user `{user}` of the password file has no line and may do nothing");
            findings.add(None, Severity::Warning, message);
        }
    }

    fn users_who_read_nothing(&self, findings: &mut Findings) {
        let reads = |entry: &Entry| matches!(entry.grant, Grant::Read | Grant::ReadWrite);
        if self.document.rules(List::Patterns).iter().any(|entry| reads(entry)) {
            return;
        }
        let outcome = if self.options.refuse_futile_subscribe { "refused" } else { "granted but silent" };
        for (line, user) in self.document.users() {
            let Some(rules) = self.acl.users.get(user) else { continue };
            if !rules.allows.is_empty() && !rules.allows.iter().any(|entry| reads(entry)) {
                let message =
                    format_args!("user `{user}` may read nothing: every subscription of it is {outcome}");
                findings.note(line, message);
            }
        }
    }

    fn anonymous_lines(&self, findings: &mut Findings) {
        for entry in self.document.rules(List::Anonymous) {
            let only = "before the first `user` line it holds for clients without a user name only";
            match self.surroundings.allow_anonymous {
                Some(false) => {
                    findings.warn(entry.line, format_args!("{only}, and those may not connect"));
                }
                Some(true) => {}
                None => findings.note(entry.line, only),
            }
        }
    }

    /// What a filter alone gives away.
    fn filters(&self, findings: &mut Findings) {
        for (list, entry) in self.document.all_rules() {
            let filter = &*entry.filter;
            let is_pattern = list == List::Patterns;
            let names_a_client = filter.split('/').any(|level| matches!(level, "%u" | "%c"));
            if is_pattern && !names_a_client {
                let message = "a pattern without %u or %c holds for everybody who may connect";
                findings.warn(entry.line, message);
            }
            if !is_pattern && names_a_client {
                let message = "%u and %c are replaced in `pattern` lines only; here they are plain text";
                findings.warn(entry.line, message);
            }
            if is_pattern && filter.split('/').any(is_partly_a_name) {
                let message = "%u and %c are replaced only as whole levels; elsewhere they are plain text";
                findings.warn(entry.line, message);
            }
            if filter.contains('\t') {
                findings.warn(entry.line, "a tab is part of the filter: words are separated by spaces");
            }
            if filter.starts_with(SHARE_PREFIX) {
                let message = "no topic begins with `$share`: write the filter without `$share/GROUP/`";
                findings.warn(entry.line, message);
            }
            let writes = matches!(entry.grant, Grant::Write | Grant::ReadWrite);
            if writes && filter.starts_with("$SYS") && !filter.starts_with("$SYS/broker/connection/") {
                findings.note(entry.line, "clients never write to `$SYS`, whatever a line says");
            }
            let allows_all = matches!(filter, "#" | "+/#") && entry.grant != Grant::Deny;
            let mut others = self.document.rules(list).iter();
            if allows_all && !others.any(|other| other.filter.starts_with('$')) {
                let message = "`#` does not cover topics that begin with `$`, such as `$SYS/#`";
                findings.note(entry.line, message);
            }
        }
    }

    /// Lines that change nothing, because another line of the same list covers them.
    fn covered_lines(&self, findings: &mut Findings) {
        for list in self.document.lists() {
            let rules = self.document.rules(list);
            let pattern_denies: &[_] =
                if self.options.deny_wins { self.document.rules(List::Patterns) } else { &[] };
            for entry in rules {
                let denies = rules.iter().chain(pattern_denies);
                let mut denies =
                    denies.filter(|other| other.grant == Grant::Deny && other.line != entry.line);
                if entry.grant != Grant::Subscribe
                    && let Some(deny) = denies.find(|deny| covers(deny, entry))
                    && (entry.grant != Grant::Deny || comes_second(entry, deny))
                {
                    let line = deny.line;
                    if entry.grant == Grant::Deny {
                        findings.note(entry.line, format_args!("line {line} denies all of this already"));
                    } else {
                        findings.warn(
                            entry.line,
                            format_args!(
                                "allows nothing: line {line} denies all of it, and denies come first"
                            ),
                        );
                    }
                    continue;
                }
                let same = |other: &&std::sync::Arc<Entry>| {
                    other.line != entry.line
                        && includes(other.grant, entry.grant)
                        && covers(other, entry)
                        && (other.grant != entry.grant || comes_second(entry, other))
                };
                if let Some(other) = rules.iter().find(same).filter(|_| entry.grant != Grant::Deny) {
                    let line = other.line;
                    if other.filter == entry.filter && other.grant == entry.grant {
                        findings.warn(entry.line, format_args!("says the same as line {line}"));
                    } else {
                        findings.note(entry.line, format_args!("line {line} allows all of this already"));
                    }
                }
            }
        }
    }

    /// Allows that hold although a pattern denies the same.
    fn beaten_denies(&self, findings: &mut Findings) {
        if self.options.deny_wins {
            return;
        }
        for (list, entry) in self.document.all_rules() {
            if list == List::Patterns || matches!(entry.grant, Grant::Deny | Grant::Subscribe) {
                continue;
            }
            let user = match list {
                List::User(user) => Some(user),
                _ => None,
            };
            let Some(allowed) = Levels::of_text(&entry.filter) else { continue };
            for deny in self.document.rules(List::Patterns).iter().filter(|rule| rule.grant == Grant::Deny) {
                if list == List::Anonymous && deny.needs_user {
                    continue;
                }
                let denied = any_client(deny, user).filter(|denied| denied.meet(&allowed).is_some());
                if denied.is_some() {
                    let line = deny.line;
                    let message = format_args!(
                        "allows what the pattern of line {line} denies: the lines of a user come before patterns"
                    );
                    findings.warn(entry.line, message);
                }
            }
        }
    }
}

/// Whether `%u` or `%c` is in a level with something else.
fn is_partly_a_name(level: &str) -> bool {
    level.len() > 2 && (level.contains("%u") || level.contains("%c"))
}

/// The topics of a pattern for this user, or for any, with any client identifier.
fn any_client<'a>(pattern: &'a Entry, user: Option<&'a str>) -> Option<Levels<'a>> {
    let level = |level: &'a str| match level {
        "%u" => user.unwrap_or("+"),
        "%c" => "+",
        text => text,
    };
    if user.is_some_and(|user| Names::new(Some(user), "-").unsafe_in_patterns()) {
        return None;
    }
    Levels::of_levels(pattern.filter.split('/').map(level).collect())
}

/// Whether every topic of `inner` is one of `outer`, for every client that `inner` holds for.
fn covers(outer: &Entry, inner: &Entry) -> bool {
    let levels = Levels::of_text(&outer.filter).zip(Levels::of_text(&inner.filter));
    levels.is_some_and(|(outer, inner)| outer.covers(&inner)) && (!outer.needs_user || inner.needs_user)
}

/// Of two lines that cover each other, only the second one is superfluous.
fn comes_second(entry: &Entry, other: &Entry) -> bool {
    !covers(entry, other) || entry.line > other.line
}

fn includes(outer: Grant, inner: Grant) -> bool {
    outer == inner || outer == Grant::ReadWrite && matches!(inner, Grant::Read | Grant::Write)
}

#[cfg(test)]
mod tests;

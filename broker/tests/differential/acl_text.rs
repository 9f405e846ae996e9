//! Generated ACL files, most of them right, some of them odd.

use crate::{random::Random, reference::Version};

/// Users whose sections are generated. The names of some are levels of topics, so that `%u` can match; one has a space,
/// and one would be a wildcard.
pub(crate) const USERS: &[&str] = &["a", "b", "c", "u4", "u5", "two words", "a+", "é"];
/// Some begin with `$` or have a `/`: there 2.0 is laxer than 2.1, see config/MOSQUITTO.md.
pub(crate) const USERS_2_1: &[&str] = &["$x", "a/b", "/", "%u", "$x/a"];

const ACCESS: [&str; 6] = ["read ", "write ", "readwrite ", "deny ", "deny ", ""];
const LEVELS: &[&str] = &["a", "b", "", "+", "+", "$x", "%u", "é", "two words"];
const PATTERN_LEVELS: &[&str] = &["a", "b", "", "+", "%u", "%u", "%c", "$x"];
/// 2.0 replaces parts of a level.
const PATTERN_LEVELS_2_1: &[&str] =
    &["a", "b", "", "+", "%u", "%u", "%u", "%c", "%c", "$x", "%ux", "a%u", "%c%u", "%%u", "%U", "%", "%u "];

/// A file. Its last section lets the user `root` do everything.
pub(crate) fn file(random: &mut Random, version: Version) -> Vec<u8> {
    let (more_users, pattern_levels) = match version {
        Version::V2_0 => (&[][..], PATTERN_LEVELS),
        Version::V2_1 => (USERS_2_1, PATTERN_LEVELS_2_1),
    };
    let mut lines = Vec::new();
    for _ in 0..random.below(4) {
        lines.push(rule(random, "topic", LEVELS));
    }
    for user in USERS.iter().chain(more_users) {
        if random.once_in(4) {
            continue;
        }
        lines.push(format!("user {user}"));
        for _ in 0..random.below(6) {
            let pattern = random.once_in(12);
            lines.push(if pattern {
                rule(random, "pattern", pattern_levels)
            } else {
                rule(random, "topic", LEVELS)
            });
        }
    }
    // Again: sections merge.
    if random.once_in(3) {
        lines.push(format!("user {}", random.pick(USERS)));
        lines.push(rule(random, "topic", LEVELS));
    }
    for _ in 0..random.below(4) {
        lines.push(rule(random, "pattern", pattern_levels));
    }
    if random.once_in(3) {
        let at = random.below(lines.len() + 1);
        lines.insert(at, odd_line(random));
    }
    for line in &mut lines {
        if random.once_in(8) {
            *line = respaced(random, line);
        }
    }
    lines.extend(["user root", "topic readwrite #", "topic readwrite $x/#"].map(str::to_owned));
    let end = if random.once_in(3) { "\r\n" } else { "\n" };
    let last = if random.once_in(3) { "" } else { end };
    (lines.join(end) + last).into_bytes()
}

fn rule(random: &mut Random, keyword: &str, levels: &[&str]) -> String {
    let access = random.pick(&ACCESS);
    let mut filter = filter(random, levels);
    if access.is_empty() && filter.contains(' ') {
        // The first word would be the access.
        filter = filter.replace(' ', "");
    }
    format!("{keyword} {access}{filter}")
}

fn filter(random: &mut Random, levels: &[&str]) -> String {
    let mut filter = Vec::new();
    for at in 0..=random.below(3) {
        match (at, random.pick(levels)) {
            // `$` has its meaning at the beginning only.
            (1.., "$x") => filter.push("a"),
            (_, level) => filter.push(level),
        }
    }
    if random.once_in(4) {
        filter.push("#");
    }
    let filter = filter.join("/");
    // A word must stand there, and trailing spaces are not part of it.
    if filter.is_empty() { "a".to_owned() } else { filter }
}

/// The same line with white space where mosquitto may or may not tolerate it.
fn respaced(random: &mut Random, line: &str) -> String {
    match random.below(7) {
        0 => format!("{line}  "),
        1 => format!("{line} \t "),
        2 => format!("  {line}"),
        3 => line.replacen(' ', "   ", 1),
        4 => line.replacen("readwrite ", "readwrite  ", 1),
        5 => line.replacen("readwrite ", "readwrite \t", 1),
        _ => format!("{line}\r"),
    }
}

/// A line that may be a mistake.
fn odd_line(random: &mut Random) -> String {
    match random.below(ODD.len() + 4) {
        0 => format!("topic {}", "/".repeat(199 + random.below(4))),
        1 => format!("topic read {}", "a".repeat([1000, 4096, 65_535][random.below(3)])),
        2 => format!("user {}", "u".repeat([1000, 65_535, 65_536][random.below(3)])),
        3 => format!("# {}", "long ".repeat(20_000)),
        other => ODD[other - 4].to_owned(),
    }
}

/// Lines that may be mistakes.
const ODD: &[&str] = &[
    "",
    " ",
    "\t",
    "\r",
    "#",
    "# a comment",
    "#topic a",
    " # indented",
    "\t# indented",
    "topic",
    "topic ",
    "topic read",
    "topic read ",
    "topic deny",
    "topic read a b",
    "topic a b",
    "topic read a # b",
    "topic a#",
    "topic +a",
    "topic a/+b",
    "topic #/a",
    "topic a/#/b",
    "topic read #a",
    "topic ##",
    "topic /",
    "topic //",
    "topic +/+/#",
    "topic $x/#",
    "topic\ta",
    "topic read\ta",
    "topic read \ta",
    "topic \tread a",
    "Topic a",
    "TOPIC a",
    "topic Read a",
    "topic READ a",
    "topics a",
    "user",
    "user ",
    "user  ",
    "user\ta",
    "User a",
    "user a # b",
    "user  u4",
    "user u4 ",
    "user u4\t",
    "pattern",
    "pattern read",
    "pattern read x",
    "pattern deny",
    "pattern a b",
    "pattern read a/%u/#",
    "pattern %c+",
    "patterns a",
    "topic subscribe a",
    "topic none a",
    "acl a",
    "foo",
    "foo bar",
    "topic \"a b\"",
    "topic read \"a b\"",
    ":",
    "=",
    "topic=a",
    "topic readwrite",
    "topic readwriteX a",
    "topic writeread a",
    "topic  a",
    "topic   read   a",
    "topic read   a  b",
    "\u{feff}topic a",
    "topic é",
    "topic read \u{a0}a",
    "topic %u",
    "topic %c/#",
    "\x0b",
    "\x0ctopic a",
    "topic a\x0b",
];

//! The statements of mosquitto's documentation and what its versions 2.0.11 and 2.1.2 do, as tables.

mod beyond;
mod model;

use AccessKind::{Read, Write};

use super::*;

fn parse(content: impl AsRef<[u8]>) -> Result<Acl, FileError> {
    Acl::parse(Path::new("acl"), content, BEYOND)
}

/// As broker.toml has it.
const BEYOND: AclOptions = AclOptions { refuse_futile_subscribe: true, deny_wins: false, extensions: false };

fn may_subscribe(acl: &Acl, user: &str, client_id: &str, filter: &str) -> bool {
    acl.decide_subscribe(Some(user), client_id, &TopicFilter::new(filter).unwrap()).allowed
}

/// The line that allows or, negative, denies; 0 if none does.
fn decide(acl: &Acl, user: &str, client_id: &str, access: AccessKind, topic: &str) -> i64 {
    // An empty name counts as none.
    let decision = acl.decide(Some(user), client_id, access, topic);
    let line = decision.line.map_or(0, |line| i64::from(line.get()));
    assert!(line != 0 || !decision.allowed, "an allow has a line");
    if decision.allowed { line } else { -line }
}

fn check(content: &str, cases: &[(&str, AccessKind, &str, i64)]) {
    let acl = parse(content).unwrap();
    for (user, access, topic, expected) in cases {
        let found = decide(&acl, user, "client", *access, topic);
        assert_eq!(found, *expected, "{user} {access:?} {topic} in\n{content}");
    }
}

#[test]
fn access_words() {
    check(
        "user a\ntopic read r\ntopic write w\ntopic readwrite rw\ntopic both\ntopic deny no\ntopic no",
        &[
            ("a", Read, "r", 2),
            ("a", Write, "r", 0),
            ("a", Read, "w", 0),
            ("a", Write, "w", 3),
            ("a", Read, "rw", 4),
            ("a", Write, "rw", 4),
            ("a", Read, "both", 5),
            ("a", Write, "both", 5),
            ("a", Read, "no", -6),
            ("a", Write, "no", -6),
            ("a", Read, "other", 0),
            ("b", Read, "r", 0),
            ("", Read, "r", 0),
        ],
    );
}

#[test]
fn lines_before_the_first_user_are_for_anonymous_clients_only() {
    check(
        "topic t\nuser a\ntopic u",
        &[("", Read, "t", 1), ("a", Read, "t", 0), ("", Read, "u", 0), ("a", Read, "u", 3)],
    );
}

#[test]
fn sections_of_a_user_merge() {
    check(
        "user a\ntopic t\nuser b\ntopic u\nuser a\ntopic deny t",
        &[("a", Read, "t", -6), ("b", Read, "u", 4)],
    );
}

#[test]
fn deny_comes_first_wherever_it_stands() {
    check(
        "user a\ntopic read x/#\ntopic deny x/secret/#\ntopic x/secret/y",
        &[
            ("a", Read, "x/1", 2),
            ("a", Read, "x/secret", -3),
            ("a", Read, "x/secret/y", -3),
            ("a", Write, "x/secret/y", -3),
        ],
    );
}

#[test]
fn the_first_matching_allow_is_named() {
    check("user a\ntopic write #\ntopic read +\ntopic t", &[("a", Write, "t", 2), ("a", Read, "t", 3)]);
}

#[test]
fn lists_are_not_merged() {
    check(
        "pattern deny p/#\npattern q/#\nuser a\ntopic p/mine\ntopic deny q/mine",
        &[
            ("a", Read, "p/mine", 4),
            ("a", Read, "p/other", -1),
            ("a", Read, "q/mine", -5),
            ("a", Read, "q/other", 2),
            ("b", Read, "p/mine", -1),
        ],
    );
}

#[test]
fn patterns_hold_for_everybody_wherever_they_stand() {
    check(
        "user a\npattern read all/#\npattern write u/%u/#\npattern write c/%c",
        &[
            ("a", Read, "all/1", 2),
            ("b", Read, "all/1", 2),
            ("", Read, "all/1", 2),
            ("a", Write, "u/a/1", 3),
            ("a", Write, "u/a", 3),
            ("a", Write, "u/b", 0),
            ("", Write, "u/", 0),
            ("", Write, "c/client", 4),
            ("b", Write, "c/client", 4),
            ("b", Write, "c/other", 0),
        ],
    );
}

#[test]
fn names_are_replaced_only_as_whole_levels() {
    check(
        "pattern d/%ux\npattern %c/e\npattern f/x%u/%c-y\nuser a\ntopic g/%u",
        &[
            ("a", Read, "d/ax", 0),
            ("a", Read, "d/%ux", 1),
            ("", Read, "d/%ux", 0),
            ("a", Read, "client/e", 2),
            ("a", Read, "f/xa/client-y", 0),
            ("a", Read, "f/x%u/%c-y", 3),
            ("a", Read, "g/a", 0),
            ("a", Read, "g/%u", 5),
        ],
    );
}

#[test]
fn names_that_would_act_as_wildcards_get_nothing_from_patterns() {
    let acl = parse("pattern read all\npattern read u/%u\npattern deny no\nuser +\ntopic read own\nuser a#")
        .unwrap();
    for (user, client_id, topic, expected) in [
        ("+", "c", "own", 5),
        ("+", "c", "all", 0),
        ("+", "c", "u/x", 0),
        ("+", "c", "no", 0),
        ("a#", "c", "all", 0),
        ("a", "c#", "all", 0),
        ("a", "c/+", "all", 0),
        ("", "+", "all", 0),
        ("a", "c", "all", 1),
    ] {
        assert_eq!(decide(&acl, user, client_id, Read, topic), expected, "{user} {client_id} {topic}");
    }
}

#[test]
fn a_name_with_a_separator_matches_nothing_through_a_pattern() {
    let acl = parse("pattern x/%u\npattern y/%c/#").unwrap();
    assert_eq!(decide(&acl, "a/b", "c", Read, "x/a/b"), 0);
    assert_eq!(decide(&acl, "a", "c/d", Read, "y/c/d"), 0);
    assert!(!may_subscribe(&acl, "a/b", "c/d", "#"));
}

#[test]
fn reserved_topics_need_lines_that_begin_with_a_dollar() {
    check(
        "user a\ntopic #\ntopic +/x\ntopic $foo/#\ntopic read $SYS/#\ntopic $SYS/broker/connection/+/state\npattern %u/#\nuser $u",
        &[
            ("a", Read, "$SYS/broker/uptime", 5),
            ("a", Write, "$SYS/broker/uptime", 0),
            ("a", Write, "$SYSTEM", 0),
            ("a", Write, "$SYS/broker/connection/b/state", 6),
            ("a", Read, "$foo/x", 4),
            ("a", Write, "$foo", 4),
            ("a", Read, "$bar/x", 0),
            ("a", Read, "$bar", 0),
            ("$u", Read, "$u/x", 0),
            ("b", Read, "b/x", 7),
        ],
    );
    check("topic $SYS/#\npattern deny $SYS/a", &[("", Read, "$SYS/a", 1), ("b", Read, "$SYS/a", -2)]);
}

#[test]
fn shared_subscriptions_are_not_topics() {
    let everything = "topic $share/#\ntopic $shared\ntopic #";
    check(everything, &[("", Write, "$share/g/t", 0), ("", Read, "$share/g/t", 0), ("", Read, "$shared", 0)]);
}

#[test]
fn matching_is_that_of_subscriptions() {
    check(
        "user a\ntopic foo/#\ntopic bar/+\ntopic +/+/baz/#\ntopic /x",
        &[
            ("a", Read, "foo", 2),
            ("a", Read, "foo/", 2),
            ("a", Read, "fooo", 0),
            ("a", Read, "bar/", 3),
            ("a", Read, "bar", 0),
            ("a", Read, "bar/a/b", 0),
            ("a", Read, "1/2/baz", 4),
            ("a", Read, "1/2/baz/3/4", 4),
            ("a", Read, "/x", 5),
            ("a", Read, "x", 0),
        ],
    );
    check(
        "topic read with space/+\nuser a b\ntopic t",
        &[("", Read, "with space/1", 1), ("a b", Read, "t", 3)],
    );
}

#[test]
fn an_empty_file_denies_everything() {
    for content in ["", "\n", "# only a comment\n", " \t \r\n"] {
        check(content, &[("a", Read, "t", 0), ("", Write, "t", 0)]);
        assert!(!may_subscribe(&parse(content).unwrap(), "a", "c", "#"));
    }
}

#[test]
fn white_space_is_tolerated_where_mosquitto_tolerates_it() {
    for (line, user, topic) in [
        ("topic read t\r", "", "t"),
        ("  topic   read   t  \t", "", "t"),
        ("topic readwrite \tt", "", "t"),
        ("topic read", "", "read"),
        ("topic read ", "", "read"),
        ("topic deny", "", "deny"),
        ("topic read a b", "", "a b"),
        ("topic read t # c d", "", "t # c d"),
        ("topic read\tt", "", "read\tt"),
        ("user a # c\ntopic t", "a # c", "t"),
        ("user \ta \ntopic t", "a", "t"),
        ("   user   a\ntopic t", "a", "t"),
    ] {
        // A '#' inside a level is refused; everything else loads.
        match parse(line) {
            Err(error) => assert!(line.starts_with("topic read t #"), "{line} {error}"),
            Ok(acl) => assert!(acl.decide(Some(user), "c", Read, topic).allowed, "{line}"),
        }
    }
}

#[test]
fn one_bad_line_refuses_the_file() {
    let (deep, long) = ("/".repeat(201), "a".repeat(65_536));
    for (content, expected) in [
        ("foo", "acl:1: found `foo`, expected `user`, `topic` or `pattern` followed by a space"),
        ("topic t\n #x", "acl:2: found `#x`, expected"),
        ("topic\tt", "acl:1: found `topic\tt`, expected"),
        ("user\ta", "acl:1: found `user\ta`, expected"),
        ("\ttopic t", "acl:1: found `\ttopic`, expected"),
        ("\u{feff}topic t", "acl:1: found `\u{feff}topic`, expected"),
        ("Topic t", "acl:1: found `Topic`, expected"),
        ("user", "acl:1: found `user` without a name, expected `user NAME`"),
        ("user \t ", "acl:1: found `user` without a name"),
        ("topic", "acl:1: found no topic, expected `topic [read|write|readwrite|deny] FILTER`"),
        ("pattern  ", "acl:1: found no topic"),
        ("topic foo bar", "acl:1: found the access `foo`, expected `read`, `write`, `readwrite` or `deny`"),
        ("topic Read t", "acl:1: found the access `Read`"),
        ("topic subscribe t", "acl:1: found the access `subscribe`"),
        ("topic a\ntopic a+", "acl:2: found `a+`, expected a topic filter"),
        ("topic a/#/b", "acl:1: found `a/#/b`"),
        ("topic read t # c", "acl:1: found `t # c`"),
        ("pattern read +%u", "acl:1: found `+%u`"),
        (&format!("topic {deep}"), "acl:1: found a topic filter of 202 levels, expected 201 levels at most"),
        (&format!("topic {long}"), "acl:1: found a topic filter of more than 65535 bytes"),
        ("topic t\ntopic deny\0 x", "acl:2: found a NUL byte, expected text"),
    ] {
        let error = parse(content).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    assert!(
        parse(b"topic \xff").unwrap_err().to_string().starts_with("acl:1: found bytes that are not UTF-8")
    );
    assert!(parse(b"# \xff").is_ok(), "comments may be in any encoding");
}

#[test]
fn a_subscription_is_refused_only_if_nothing_could_arrive() {
    let acl = parse(
        "topic read anonymous/#\npattern read u/%u/+\npattern deny hidden/#\npattern read hidden/x\n\
         user a\ntopic read r/#\ntopic deny r/no/#\ntopic write w/#\ntopic deny u/a/no\ntopic read $SYS/broker/+\n\
         user all\ntopic #",
    )
    .unwrap();
    for (user, filter, expected) in [
        ("a", "r/#", true),
        ("a", "r", true),
        ("a", "#", true),
        ("a", "+/+/+", true),
        ("a", "+", true),
        ("a", "r/no", false),
        ("a", "r/no/#", false),
        ("a", "r/no/+", false),
        ("a", "r/+", true),
        ("a", "w/#", false),
        ("a", "w/1", false),
        ("a", "x/#", false),
        ("a", "u/a/#", true),
        ("a", "u/a/yes", true),
        ("a", "u/a/no", false),
        ("a", "u/b/+", false),
        ("a", "u", false),
        ("a", "hidden/#", false),
        ("a", "hidden/x", false),
        ("a", "anonymous/#", false),
        ("", "anonymous/#", true),
        ("", "u/#", false),
        ("a", "$SYS/#", true),
        ("a", "$SYS/broker", false),
        ("a", "$SYS/broker/+/x", false),
        ("a", "+/broker/uptime", true),
        ("b", "+/broker/uptime", false),
        ("all", "$SYS/#", false),
        ("all", "$share/g/#", true),
        ("a", "$share/g/w/#", false),
        ("a", "$share/g/r/1", true),
        ("all", "$shared/x", false),
    ] {
        let found = may_subscribe(&acl, user, "c", filter);
        assert_eq!(found, expected, "{user} {filter}");
    }
}

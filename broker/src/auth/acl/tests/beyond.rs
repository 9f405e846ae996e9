//! What goes beyond mosquitto, each switched on alone.

use super::*;

const GROUPS: AclOptions = AclOptions { refuse_futile_subscribe: false, deny_wins: false, extensions: true };

fn with(options: AclOptions, content: &str) -> Acl {
    Acl::parse(Path::new("acl"), content, options).unwrap()
}

#[test]
fn as_mosquitto_every_subscription_is_granted() {
    let acl = with(AclOptions::default(), "user a\ntopic write x\ntopic deny y");
    for (user, filter) in [("a", "x"), ("a", "y"), ("b", "#"), ("", "#"), ("a", "$share/g/y")] {
        assert!(may_subscribe(&acl, user, "c", filter), "{user} {filter}");
        assert!(!acl.decide(Some(user), "c", Read, "x").allowed);
    }
}

#[test]
fn a_refused_subscription_names_the_line() {
    let acl = with(BEYOND, "user a\ntopic read x/#\ntopic deny x/no/#\npattern read p\npattern deny p");
    for (filter, allowed, line) in
        [("x/#", true, 2), ("x/no/1", false, 3), ("p", false, 5), ("other", false, 0), ("#", true, 2)]
    {
        let decision = acl.decide_subscribe(Some("a"), "c", &TopicFilter::new(filter).unwrap());
        assert_eq!((decision.allowed, decision.line.map_or(0, NonZeroU32::get)), (allowed, line), "{filter}");
    }
}

#[test]
fn deny_wins_everywhere_if_it_is_to() {
    let content =
        "pattern deny secret/#\npattern deny of/%u\nuser a\ntopic secret/a\ntopic of/+\nuser +\ntopic #";
    let (lax, strict) = (with(BEYOND, content), with(AclOptions { deny_wins: true, ..BEYOND }, content));
    for (user, topic, as_mosquitto, expected) in [
        ("a", "secret/a", 4, -1),
        ("a", "of/a", 5, -2),
        ("a", "of/b", 5, 5),
        // No pattern allows anything to such a name, but a deny still denies.
        ("+", "secret/x", 7, -1),
        ("+", "of/+", 7, -2),
        ("+", "of/x", 7, 7),
        ("b", "secret/x", -1, -1),
    ] {
        assert_eq!(decide(&lax, user, "c", Read, topic), as_mosquitto, "{user} {topic}");
        assert_eq!(decide(&strict, user, "c", Read, topic), expected, "{user} {topic}");
    }
    assert!(may_subscribe(&lax, "a", "c", "secret/#") && !may_subscribe(&strict, "a", "c", "secret/#"));
}

#[test]
fn groups_lend_their_lines_to_their_members() {
    let acl = with(
        GROUPS,
        "topic read anonymous\ngroup sensors\nmember a\nmember b c\ntopic write s/#\ntopic deny s/no\n\
         user a\ntopic read own\nuser d\ntopic read d\ngroup sensors\nmember d\ntopic read more\n\
         pattern read p",
    );
    for (user, access, topic, expected) in [
        ("a", Write, "s/1", 5),
        ("b c", Write, "s/1", 5),
        ("d", Write, "s/1", 5),
        ("d", Read, "more", 13),
        ("d", Read, "d", 10),
        ("a", Write, "s/no", -6),
        ("a", Read, "own", 8),
        ("a", Read, "p", 14),
        ("b c", Read, "own", 0),
        ("sensors", Write, "s/1", 0),
        ("", Write, "s/1", 0),
        ("", Read, "anonymous", 1),
        ("a", Read, "anonymous", 0),
    ] {
        assert_eq!(decide(&acl, user, "c", access, topic), expected, "{user} {access:?} {topic}");
    }
}

/// A group is one list with the user's own lines: its deny wins over them.
#[test]
fn denies_of_groups_come_first_too() {
    let acl = with(
        GROUPS,
        "user a\ntopic x/#\ngroup g\nmember a\ntopic deny x/no\ngroup h\nmember a\nmember a\ntopic y",
    );
    assert_eq!(decide(&acl, "a", "c", Read, "x/no"), -5);
    assert_eq!(decide(&acl, "a", "c", Read, "x/1"), 2);
    assert_eq!(decide(&acl, "a", "c", Read, "y"), 9);
}

#[test]
fn subscribe_lines_bound_subscriptions_and_nothing_else() {
    let acl = with(
        GROUPS,
        "user a\ntopic read #\ntopic subscribe x/+\nuser b\ntopic read #\nuser d\ntopic subscribe #",
    );
    for (user, filter, expected) in [
        ("a", "x/1", true),
        ("a", "x/+", true),
        ("a", "$share/g/x/1", true),
        ("a", "x/#", false),
        ("a", "#", false),
        ("a", "y", false),
        // Without such a line all is as before.
        ("b", "#", true),
        // It gives no right to read.
        ("d", "y", true),
    ] {
        assert_eq!(may_subscribe(&acl, user, "c", filter), expected, "{user} {filter}");
    }
    assert!(acl.decide(Some("a"), "c", Read, "y").allowed && !acl.decide(Some("d"), "c", Read, "y").allowed);
    let both = with(AclOptions { refuse_futile_subscribe: true, ..GROUPS }, "user d\ntopic subscribe #");
    assert!(!may_subscribe(&both, "d", "c", "y"));

    let patterns = with(GROUPS, "pattern subscribe of/%u/#\nuser a\ntopic subscribe x");
    for (user, filter, expected) in [
        ("a", "of/a/1", true),
        ("a", "x", true),
        ("a", "of/b", false),
        ("b", "x", false),
        ("", "x", false),
        ("+", "of/+", false),
    ] {
        assert_eq!(may_subscribe(&patterns, user, "c", filter), expected, "{user} {filter}");
    }
}

#[test]
fn extensions_are_refused_unless_they_are_switched_on() {
    for (content, expected) in [
        ("group g", "acl:1: found `group`, expected it only with `acl_extensions = true`"),
        ("member a", "acl:1: found `member`, expected it only with"),
        ("topic subscribe x", "acl:1: found the access `subscribe`"),
    ] {
        let error = parse(content).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for (content, expected) in [
        ("group", "acl:1: found `group` without a name"),
        ("group g\nmember ", "acl:2: found `member` without a name"),
        ("member a", "acl:1: found `member`, expected it below a `group` line"),
        ("group g\nuser a\nmember b", "acl:3: found `member`, expected it below"),
    ] {
        let error = Acl::parse(Path::new("acl"), content, GROUPS).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(parse("topic read group\nuser group").is_ok());
}

use super::*;
use crate::auth::hash::{Hashing, PasswordHash, SaltLength};

const BEYOND: AclOptions = AclOptions { refuse_futile_subscribe: true, deny_wins: false, extensions: true };

/// What is found, as `LINE: severity: message`, without notes that nearly every file brings.
fn lint_text(content: &str, options: AclOptions, surroundings: &Surroundings<'_>) -> Vec<String> {
    let findings = lint(Path::new("acl"), content.as_bytes(), options, surroundings).unwrap();
    let line = |finding: &Finding| finding.line.map_or(0, NonZeroU32::get);
    findings
        .iter()
        .map(|finding| format!("{}: {}: {}", line(finding), finding.severity, finding.message))
        .collect()
}

fn check(content: &str, expected: &[&str]) {
    check_with(content, BEYOND, expected);
}

fn check_with(content: &str, options: AclOptions, expected: &[&str]) {
    let surroundings = Surroundings { allow_anonymous: Some(true), ..Surroundings::default() };
    assert_eq!(lint_text(content, options, &surroundings), expected, "{content}");
}

#[test]
fn a_good_file_has_no_findings() {
    check("", &[]);
    check(
        "topic read public\nuser a\ntopic read a/#\ntopic deny a/b\ntopic write c\nuser b\ntopic $SYS/#\n\
         pattern devices/%u/%c/#",
        &["7: note: clients never write to `$SYS`, whatever a line says"],
    );
}

#[test]
fn lines_that_never_hold() {
    let deny = "allows nothing: line 3 denies all of it, and denies come first";
    check("user a\ntopic read x/y\ntopic deny x/#", &[&format!("2: warning: {deny}")]);
    check("user a\ntopic read x/#\ntopic deny x/y", &[]);
    check("user a\ntopic deny x/+\ntopic deny x/y", &["3: note: line 2 denies all of this already"]);
    check("user a\ntopic read x\ntopic read x", &["3: warning: says the same as line 2"]);
    check(
        "user a\ntopic read x\nuser b\ntopic read x\nuser a\ntopic read x",
        &["6: warning: says the same as line 2"],
    );
    check(
        "user a\ntopic x\ntopic read x\ntopic write +",
        &[
            "3: note: line 2 allows all of this already",
            // `+` allows more topics than `x`.
        ],
    );
    check(
        "pattern %u/x\npattern read +/+",
        &["2: warning: a pattern without %u or %c holds for everybody who may connect"],
    );
    check(
        "pattern read +/x\npattern read %u/x",
        &[
            "1: warning: a pattern without %u or %c holds for everybody who may connect",
            "2: note: line 1 allows all of this already",
        ],
    );
    // The first is not for anonymous clients.
    check("pattern deny %u/x\npattern read %c/x", &[]);
}

#[test]
fn filters_that_are_not_what_they_look_like() {
    check(
        "user a\ntopic read %u/x",
        &["2: warning: %u and %c are replaced in `pattern` lines only; here they are plain text"],
    );
    check(
        "pattern read x%u/%c",
        &["1: warning: %u and %c are replaced only as whole levels; elsewhere they are plain text"],
    );
    check(
        "user a\ntopic read\tx",
        &["2: warning: a tab is part of the filter: words are separated by spaces"],
    );
    check(
        "user a\ntopic read $share/g/x",
        &["2: warning: no topic begins with `$share`: write the filter without `$share/GROUP/`"],
    );
    check(
        "user a\ntopic #\nuser b\ntopic #\ntopic read $SYS/#",
        &["2: note: `#` does not cover topics that begin with `$`, such as `$SYS/#`"],
    );
}

#[test]
fn who_is_meant() {
    check(
        "user a # the first\ntopic x",
        &[
            "1: warning: no pattern holds for user `a # the first`, because of the + or # in it",
            "1: warning: the user is `a # the first`: comments need a line of their own",
        ],
    );
    check("user a/b\ntopic x", &["1: note: %u never matches user `a/b`, because of the / in it"]);
    check(
        "user a\nuser b\ntopic write x",
        &[
            "1: note: user `a` has no `topic` lines",
            "2: note: user `b` may read nothing: every subscription of it is refused",
        ],
    );
    check_with(
        "user b\ntopic write x",
        AclOptions::default(),
        &["1: note: user `b` may read nothing: every subscription of it is granted but silent"],
    );
    check(
        "group g\ntopic x\ngroup h\nmember a\n",
        &["1: warning: group `g` has no members", "3: note: group `h` has no `topic` lines"],
    );
}

#[test]
fn anonymous_lines() {
    let only = "before the first `user` line it holds for clients without a user name only";
    for (allow_anonymous, expected) in [
        (Some(true), vec![]),
        (Some(false), vec![format!("1: warning: {only}, and those may not connect")]),
        (None, vec![format!("1: note: {only}")]),
    ] {
        let surroundings = Surroundings { allow_anonymous, ..Surroundings::default() };
        assert_eq!(lint_text("topic x", BEYOND, &surroundings), expected);
    }
}

#[test]
fn users_of_one_file_alone() {
    let hash = PasswordHash::create(b"x", Hashing::Sha512(SaltLength::Twelve)).unwrap();
    let passwords = format!("a:{hash}\nb:{hash}\nc:{hash}\n");
    let passwords = PasswordFile::parse(Path::new("passwd"), passwords).unwrap();
    let surroundings =
        Surroundings { passwords: Some(&passwords), allow_anonymous: Some(false), ..Surroundings::default() };
    let found = lint_text(
        "user a\ntopic x\nuser d\ntopic x\ngroup g\nmember b\nmember e\ntopic x",
        BEYOND,
        &surroundings,
    );
    assert_eq!(
        found,
        [
            "0: warning: user `c` of the password file has no line and may do nothing",
            "3: warning: the password file has no user `d`",
            "7: warning: the password file has no user `e`",
        ]
    );
    let found = lint_text("pattern %u/x", BEYOND, &surroundings);
    assert!(found.is_empty(), "patterns are for everybody: {found:?}");
}

#[test]
fn an_allow_of_a_user_beats_the_deny_of_a_pattern() {
    let beaten = |line, deny| {
        format!(
            "{line}: warning: allows what the pattern of line {deny} denies: the lines of a user come before patterns"
        )
    };
    check("pattern deny %u/x\nuser a\ntopic a/#\nuser b\ntopic a/#", &[&beaten(3, 1)]);
    check("pattern deny z/%c\nuser a\ntopic z/+", &[&beaten(3, 1)]);
    check("topic read x\npattern deny %u", &[]);
    check("pattern deny %u/x\ngroup g\nmember a\ntopic +/x", &[&beaten(4, 1)]);
    let strict = AclOptions { deny_wins: true, ..BEYOND };
    check_with("pattern deny %u/x\nuser a\ntopic a/#", strict, &[]);
    check_with(
        "pattern deny +/x\nuser a\ntopic a/x",
        strict,
        &[
            "1: warning: a pattern without %u or %c holds for everybody who may connect",
            "3: warning: allows nothing: line 1 denies all of it, and denies come first",
        ],
    );
}

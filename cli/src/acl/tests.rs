use std::fs;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// Whether the answer is yes; or the exit status and the message.
fn acl(arguments: &[&str]) -> Result<bool, (u8, String)> {
    let line = Line::try_parse_from(["acl"].iter().chain(arguments)).unwrap();
    run(&line.arguments).map_err(|failure| (failure.exit_status(), failure.to_string()))
}

const CONFIG: &str = "\
acl_file = \"acl\"
[[listener]]
bind = \"127.0.0.1:1\"
[[listener]]
bind = \"127.0.0.1:2\"
acl_file = \"strict\"
";

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("acl", "topic read public\nuser a\ntopic write x/#\npattern read of/%u/%c\n");
    write("strict", "# nothing\n");
    write("odd", "user a\ntopic read x\ntopic read x\n");
    write("bad", "user a\ntopic raed x y\n");
    write("broker.toml", CONFIG);
    write("open.toml", "[[listener]]\nbind = \"127.0.0.1:1\"\n");
    directory
}

#[test]
fn answers() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (file, config, open) = (path("acl"), path("broker.toml"), path("open.toml"));
    for (arguments, expected) in [
        (&["--acl", &file, "-u", "a", "write", "x/1"][..], true),
        (&["--acl", &file, "-u", "a", "read", "x/1"], false),
        (&["--acl", &file, "read", "public"], true),
        (&["--acl", &file, "--user", "", "read", "public"], true),
        (&["--acl", &file, "-u", "a", "-i", "c", "read", "of/a/c"], true),
        (&["--acl", &file, "-u", "a", "read", "of/a/c"], false),
        (&["--acl", &file, "-u", "a", "-i", "c", "subscribe", "of/#"], true),
        (&["--acl", &file, "-u", "a", "-i", "c", "subscribe", "x/#"], false),
        (&["--config", &config, "-u", "a", "write", "x/1"], true),
        (&["-c", &config, "--listener", "127.0.0.1:1", "-u", "a", "write", "x/1"], true),
        (&["-c", &config, "--listener", "127.0.0.1:2", "-u", "a", "write", "x/1"], false),
        (&["-c", &open, "write", "x"], true),
        (&["-c", &open, "write", "$SYS/x"], false),
        (&["-c", &open, "subscribe", "#"], true),
    ] {
        assert_eq!(acl(&[&["check"], arguments].concat()), Ok(expected), "{arguments:?}");
    }
    assert_eq!(acl(&["lint", "--acl", &path("strict")]), Ok(true));
    assert_eq!(acl(&["lint", "--acl", &path("odd")]), Ok(false));
    assert_eq!(acl(&["lint", "-c", &open]), Ok(true));
}

#[test]
fn a_user_of_certificates_needs_no_password() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let tls = "certificate = \"pem\"\nkey = \"pem\"\nca = \"pem\"\nrequire_certificate = true\n";
    let head = "password_file = \"passwd\"\nacl_file = \"acl\"\n[[listener]]\nbind = \"127.0.0.1:1\"\n";
    let second = format!("[[listener]]\nbind = \"127.0.0.1:2\"\n{tls}identity = \"common-name\"\n");
    for (name, text) in [
        ("pem", String::new()),
        ("passwd", "# nobody\n".to_owned()),
        ("acl", "user a\ntopic readwrite x/#\n".to_owned()),
        ("passwords.toml", format!("{head}{tls}")),
        ("both.toml", format!("{head}{tls}{second}")),
        ("other.toml", format!("{head}{tls}{second}acl_file = \"acl\"\npassword_file = \"passwd\"\n")),
    ] {
        fs::write(path(name), text).unwrap();
    }
    for (arguments, expected) in [
        (&["-c", &path("passwords.toml")][..], false),
        (&["-c", &path("both.toml")], true),
        (&["-c", &path("other.toml")], false),
        (&["-c", &path("other.toml"), "--listener", "127.0.0.1:2"], true),
    ] {
        assert_eq!(acl(&[&["lint"], arguments].concat()), Ok(expected), "{arguments:?}");
    }
}

#[test]
fn mistakes() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (arguments, status, part) in [
        (&["check", "--acl", &path("bad"), "read", "x"][..], 3, "bad:2: found the access `raed`"),
        (&["lint", "--acl", &path("bad")], 3, "bad:2"),
        (&["check", "--acl", &path("none"), "read", "x"], 3, "none"),
        (&["check", "--acl", &path("acl"), "read", "x/#"], 2, "`x/#` is not a topic"),
        (&["check", "--acl", &path("acl"), "subscribe", "x#"], 2, "`x#` is not a topic filter"),
        (&["check", "-c", &path("broker.toml"), "--listener", "127.0.0.1:3", "read", "x"], 2, "no listener"),
    ] {
        let (found, message) = acl(arguments).unwrap_err();
        assert_eq!(found, status, "{arguments:?} {message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_a_file_says_is_safe_for_a_terminal() {
    assert_eq!(printable("topic a\u{1b}[2J\tb"), "topic a\\u{1b}[2J\\tb");
}

use super::*;
use crate::auth::hash::{Hashing, SaltLength};

fn hash(password: &str) -> String {
    let cheap = std::num::NonZeroU32::new(1).unwrap();
    PasswordHash::create(password.as_bytes(), Hashing::Pbkdf2(cheap, SaltLength::Twelve)).unwrap().to_string()
}

fn parse(content: impl AsRef<[u8]>) -> Result<PasswordFile, FileError> {
    PasswordFile::parse(Path::new("passwd"), content)
}

#[test]
fn records_are_read_as_mosquitto_reads_them() {
    let hash = hash("pw");
    for (content, users) in [
        (String::new(), &[][..]),
        (format!("alice:{hash}"), &["alice"]),
        (format!("alice:{hash}\n"), &["alice"]),
        (format!("alice:{hash}\r\nbob:{hash}\r\n"), &["alice", "bob"]),
        (format!(" \talice \x0b: \x0c{hash} \t\n"), &["alice"]),
        (format!(":alice:{hash}\n"), &["alice"]),
        (format!("::alice::{hash}:and:more\n"), &["alice"]),
        (format!("# a comment: x\n\n   \nno separator\nalice:{hash}\n"), &["alice"]),
        (format!("#alice:{hash}\n"), &[]),
        (format!(" #x:{hash}\n"), &["#x"]),
        (format!("\u{feff}alice:{hash}\n"), &["\u{feff}alice"]),
        (format!("a b ü:{hash}\n"), &["a b ü"]),
        (format!("alice:{hash}$extra\n"), &["alice"]),
    ] {
        let file = parse(&content).unwrap();
        assert_eq!(file.users().collect::<Vec<_>>(), users, "{content}");
        assert_eq!((file.len(), file.is_empty()), (users.len(), users.is_empty()));
        for user in users {
            assert!(file.verify(user, b"pw") && !file.verify(user, b"Pw"), "{content}");
        }
    }
}

#[test]
fn one_bad_record_refuses_the_file() {
    let hash = hash("secret");
    let long = "a".repeat(65_536);
    for (content, expected) in [
        (format!("a:{hash}\nb:\n"), "passwd:2: found no password for user `b`, expected a hash such as"),
        ("b: \t\r\n".into(), "passwd:1: found no password for user `b`"),
        (":\n".into(), "passwd:1: found an empty user name, expected `USER:HASH`"),
        (format!(" :{hash}\n"), "passwd:1: found an empty user name"),
        (format!("a:{hash}\nb:{hash}\n\na:{hash}\n"), "passwd:4: found a second record of user `a`"),
        (
            "a:hunter2\n".into(),
            "passwd:1: found a password that is not hashed for user `a`, expected a hash such as `$7$ITERATIONS$SALT$HASH`: \
             `gaugeline passwd -U FILE`",
        ),
        ("a:$6$x$y\n".into(), "passwd:1: found a salt that is not base64 of 12 or 64 bytes for user `a`"),
        ("a:$argon2id$v=19$m=47104,t=1,p=1$x$y".into(), "passwd:1: found a damaged argon2id hash"),
        (format!("{long}:{hash}"), "passwd:1: found a user name of more than 65535 bytes"),
        (format!("a:{hash}\n\0b:{hash}\n"), "passwd:2: found a NUL byte"),
    ] {
        let error = parse(&content).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = parse(b"\xff:x\n").unwrap_err().to_string();
    assert!(error.starts_with("passwd:1: found a user name that is not UTF-8"), "{error}");
    assert!(parse(b"# caf\xe9\ncaf\xe9\n").unwrap().is_empty(), "comments may be in any encoding");
}

#[test]
fn names_are_exact() {
    let file = parse(format!("alice:{}\n", hash("pw"))).unwrap();
    for user in ["Alice", "alice ", "alic", "", "bob"] {
        assert!(!file.verify(user, b"pw") && file.find(user).is_none(), "{user}");
    }
}

#[test]
fn nobody_is_in_an_empty_file() {
    assert!(!PasswordFile::default().verify("alice", b"pw"));
}

#[test]
fn an_unknown_user_is_measured_against_a_known_one_and_always_the_same() {
    let content = (0..20).map(|n| format!("user{n}:{}\n", hash("pw"))).collect::<String>();
    let file = parse(content).unwrap();
    let decoy = |user: &str| file.decoy(user).map(ToString::to_string).unwrap();
    let decoys = (0..200).map(|n| decoy(&format!("stranger{n}"))).collect::<std::collections::BTreeSet<_>>();
    assert!(decoys.len() > 10, "strangers spread over the known users");
    assert_eq!(decoy("eve"), decoy("eve"));
    assert!(!file.verify("eve", b"pw"), "the decoy's password is not enough");
}

#[test]
fn links_are_followed_and_directories_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("passwd"), directory.path().join("link"));
    std::fs::write(&file, format!("alice:{}", hash("pw"))).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(PasswordFile::load(&link).unwrap().len(), 1);
    let error = PasswordFile::load(directory.path()).unwrap_err().to_string();
    assert!(error.ends_with("found something that is not a file, expected a regular file"), "{error}");
    let error = PasswordFile::load(&directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none: cannot be read: No such file"), "{error}");
}

use std::num::NonZeroU32;

use super::*;
use crate::auth::hash::SaltLength;

/// Cheap, for tests only.
const CHEAP: Hashing = Hashing::Pbkdf2(NonZeroU32::new(1).unwrap(), SaltLength::Twelve);

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.0.path().join("passwd");
        fs::write(&path, content).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn line(user: &str, password: &str) -> String {
    new_line(user, password.as_bytes(), CHEAP).unwrap()
}

fn verify(path: &Path, user: &str, password: &str) -> bool {
    PasswordFile::load(path).unwrap().verify(user, password.as_bytes())
}

#[test]
fn a_new_file_is_for_its_owner_only() {
    let directory = Directory::new();
    let path = directory.0.path().join("passwd");
    let mut editor = PasswordEditor::create(&path).unwrap();
    assert_eq!(editor.set("alice", b"secret", CHEAP).unwrap(), SetOutcome::Added);
    assert!(!path.exists());
    editor.save().unwrap();
    assert_eq!((mode(&path), directory.names()), (0o600, vec!["passwd".to_owned()]));
    assert!(verify(&path, "alice", "secret"));
    assert!(matches!(PasswordEditor::create(&path), Err(EditError::Exists(_))));
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced_by_a_new_one() {
    let directory = Directory::new();
    let mut editor = PasswordEditor::create(&directory.0.path().join("passwd")).unwrap();
    editor.set("alice", b"secret", CHEAP).unwrap();
    let path = directory.file(b"# other\n");
    assert!(matches!(editor.save(), Err(EditError::Write { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"# other\n");
    assert_eq!(directory.names(), ["passwd"]);
}

#[test]
fn other_lines_stay_byte_for_byte() {
    let (alice, bob, carol) = (line("alice", "a"), line("bob", "b"), line("carol", "c"));
    let before = format!("# team: one\r\n\n  {alice}  \r\nnot a record\n:{bob}:ignored\r\n#\u{e9}\n{carol}");
    let directory = Directory::new();
    let path = directory.file(before.as_bytes());
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();

    let mut editor = PasswordEditor::open(&path).unwrap();
    assert_eq!(editor.set("bob", b"new", CHEAP).unwrap(), SetOutcome::Updated);
    editor.save().unwrap();
    let after = fs::read_to_string(&path).unwrap();
    let (start, end) = before.split_once(&format!(":{bob}:ignored")).unwrap();
    assert!(after.starts_with(start) && after.ends_with(end), "{after}");
    assert!(verify(&path, "bob", "new") && verify(&path, "alice", "a") && verify(&path, "carol", "c"));
    assert_eq!(mode(&path), 0o640);

    let mut editor = PasswordEditor::open(&path).unwrap();
    editor.delete("bob").unwrap();
    let without_bob = format!("{start}{}", end.strip_prefix("\r\n").unwrap());
    assert_eq!(editor.content(), without_bob.as_bytes());
}

#[test]
fn a_missing_newline_is_added_before_a_new_line() {
    let directory = Directory::new();
    let path = directory.file(line("alice", "a").as_bytes());
    let mut editor = PasswordEditor::open(&path).unwrap();
    assert_eq!(editor.set("bob", b"b", CHEAP).unwrap(), SetOutcome::Added);
    editor.save().unwrap();
    assert!(verify(&path, "alice", "a") && verify(&path, "bob", "b"));
    assert!(fs::read(&path).unwrap().ends_with(b"\n"));
}

#[test]
fn upgrade_hashes_plain_text_and_nothing_else() {
    let alice = line("alice", "a");
    let directory = Directory::new();
    let path = directory.file(format!("# plain: old\n{alice}\nbob: b c \ncarol:$ecret\n").as_bytes());
    let mut editor = PasswordEditor::open(&path).unwrap();
    assert_eq!(editor.upgrade(CHEAP).unwrap(), 2);
    editor.save().unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with(&format!("# plain: old\n{alice}\nbob:$7$1$")));
    for (user, password) in [("alice", "a"), ("bob", "b c"), ("carol", "$ecret")] {
        assert!(verify(&path, user, password), "{user}");
    }
    let once = fs::read(&path).unwrap();
    let mut editor = PasswordEditor::open(&path).unwrap();
    assert_eq!(editor.upgrade(CHEAP).unwrap(), 0);
    assert_eq!(editor.content(), once);
}

#[test]
fn upgrade_takes_passwords_as_bytes_and_keeps_the_order() {
    let directory = Directory::new();
    let plain = (0..50).map(|n| format!("user{n}:secret{n}\r\n")).collect::<String>();
    let path = directory.file(&[plain.as_bytes(), b"latin:\t caf\xe9 \x0b\n"].concat());
    let mut editor = PasswordEditor::open(&path).unwrap();
    assert_eq!(editor.upgrade(CHEAP).unwrap(), 51);
    assert!(!format!("{editor:?}").contains("user0"));
    editor.save().unwrap();
    let file = PasswordFile::load(&path).unwrap();
    assert!(file.verify("latin", b"caf\xe9"));
    let users = file.users().map(str::to_owned).collect::<Vec<_>>();
    for (n, user) in users.iter().take(50).enumerate() {
        assert_eq!(*user, format!("user{n}"));
        assert!(file.verify(user, format!("secret{n}").as_bytes()), "{user}");
    }
}

#[test]
fn upgrade_refuses_what_is_neither_hash_nor_password() {
    let directory = Directory::new();
    for (content, expected) in [
        ("a:b\nc:\n", "passwd:2: found no user name or no password"),
        ("a:b\n:\n", "passwd:2: found no user name or no password"),
        ("a:b\0c\n", "passwd:1: found a NUL byte in a password"),
        ("a:$6$damaged\n", "passwd:1: found an incomplete hash"),
        ("a:$argon2id$v=19$m=1$x\n", "passwd:1: found a damaged argon2id hash"),
        ("a:$7$0$x$y\n", "passwd:1: found an iteration count"),
    ] {
        let path = directory.file(content.as_bytes());
        let mut editor = PasswordEditor::open(&path).unwrap();
        let error = editor.upgrade(CHEAP).unwrap_err().to_string();
        assert!(error.contains(expected), "{content} {error}");
        assert_eq!(editor.content(), content.as_bytes(), "all or nothing");
    }
}

#[test]
fn what_the_broker_would_not_load_is_not_written() {
    let directory = Directory::new();
    let path = directory.file(b"bob:plain\n");
    let mut editor = PasswordEditor::open(&path).unwrap();
    editor.set("alice", b"a", CHEAP).unwrap();
    let error = editor.save().unwrap_err().to_string();
    assert!(error.contains("passwd:1: found a password that is not hashed for user `bob`"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"bob:plain\n");
    assert_eq!(directory.names(), ["passwd"]);
}

#[test]
fn deleting_removes_every_line_of_the_user_and_refuses_strangers() {
    let directory = Directory::new();
    let (first, second) = (line("alice", "1"), line("alice", "2"));
    let path = directory.file(format!("{first}\n# kept\n{second}").as_bytes());
    let mut editor = PasswordEditor::open(&path).unwrap();
    let error = editor.delete("Alice").unwrap_err().to_string();
    assert!(error.ends_with("passwd: has no user `Alice`"), "{error}");
    editor.delete("alice").unwrap();
    assert_eq!(editor.content(), b"# kept\n");
}

#[test]
fn names_and_passwords_that_cannot_log_in_are_refused() {
    let directory = Directory::new();
    let mut editor = PasswordEditor::create(&directory.0.path().join("passwd")).unwrap();
    let long = "a".repeat(65_536);
    for name in ["", "a:b", "a\nb", "a\u{7f}", "#a", " a", "a ", &long] {
        assert!(matches!(editor.set(name, b"x", CHEAP), Err(EditError::UserName(_))), "{name:.10}");
    }
    assert!(matches!(editor.set("a", b"", CHEAP), Err(EditError::EmptyPassword)));
    assert!(matches!(editor.set("a", b"x\0y", CHEAP), Err(EditError::NulInPassword)));
    assert!(editor.set("a b ü", b"x", CHEAP).is_ok());
}

#[test]
fn a_symbolic_link_stays_one() {
    let directory = Directory::new();
    let path = directory.file(b"");
    let link = directory.0.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut editor = PasswordEditor::open(&link).unwrap();
    editor.set("alice", b"a", CHEAP).unwrap();
    editor.save().unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(verify(&path, "alice", "a"));
}

#[test]
fn a_missing_file_is_named() {
    let directory = Directory::new();
    let error = PasswordEditor::open(&directory.0.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none: cannot be read: No such file"), "{error}");
}

#[test]
fn editors_at_the_same_time_lose_nothing() {
    let directory = Directory::new();
    let path = directory.file(format!("{}\n{}\n", line("alice", "a"), line("bob", "b")).as_bytes());
    let mut first = PasswordEditor::open(&path).unwrap();
    assert!(File::open(directory.0.path()).unwrap().try_lock().is_err(), "others wait");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut second = PasswordEditor::open(&path).unwrap();
            second.delete("alice").unwrap();
            second.save().unwrap();
        });
        first.set("bob", b"new", CHEAP).unwrap();
        first.save().unwrap();
    });
    let users = PasswordFile::load(&path).unwrap();
    assert!(users.find("alice").is_none() && verify(&path, "bob", "new"));
}

//! Whom a password file lets in.
//!
//! mosquitto 2.0 drops the bad records of a file that 2.1 and gaugeline refuse, and of two records of a user it takes the last
//! good one; so each line is read by itself, and put together as 2.0 does. With 2.1 files are compared as they are, but for
//! lines with a NUL byte: it leaves them out, and we refuse the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gaugeline_broker::auth::{PasswordFile, hash::PasswordHash};

use crate::{
    client::Client,
    mosquitto::Mosquitto,
    password_text::{Line, PASSWORDS, file, line},
    random::{self, Random},
    reference::Version,
};

/// Some seconds of a slow machine.
const FILES: usize = 150;
/// "Not authorized" of MQTT 5.
const NOT_AUTHORIZED: u8 = 0x87;

#[test]
fn generated_password_files_let_the_same_users_in_as_with_mosquitto_2_0() {
    let (mut random, seed) = Random::new();
    let Some(mut mosquitto) = Mosquitto::start(Version::V2_0, b"", None) else { return };
    let files = random::files(FILES);
    println!("seed {seed}, {files} files");
    let mut loaded = 0;
    for number in 0..files {
        let lines = (0..random.below(9)).map(|_| line(&mut random, Version::V2_0)).collect::<Vec<_>>();
        let content = file(&mut random, &lines);
        let about = format!("seed {seed}, file {number}:\n{}", String::from_utf8_lossy(&content));
        let (log, _) = mosquitto.read_passwords(&content);
        let whole = PasswordFile::parse(Path::new("passwd"), &content);
        let expected = as_2_0(&lines);
        assert_eq!(whole.is_ok(), expected.is_clean, "{whole:?}\n{about}");
        if let Ok(whole) = &whole {
            loaded += 1;
            assert_eq!(whole.len(), expected.names.len(), "{about}");
        }
        compare_logins(mosquitto.port, |user| expected.users.get(user), &format!("{log}\n{about}"));
    }
    println!("{loaded} of them are without a mistake");
    assert!(files < 100 || loaded > 10, "the generator has lost its balance");
}

#[test]
fn generated_password_files_let_the_same_users_in_as_with_mosquitto_2_1() {
    let (mut random, seed) = Random::new();
    let Some(mut mosquitto) = Mosquitto::start(Version::V2_1, b"", None) else { return };
    let files = random::files(FILES);
    println!("seed {seed}, {files} files");
    let (mut loaded, mut refused) = (0, 0);
    for number in 0..files {
        // Few lines, as one mistake is enough.
        let lines = (0..random.below(5)).map(|_| line(&mut random, Version::V2_1)).collect::<Vec<_>>();
        let content = file(&mut random, &lines);
        let about = format!("seed {seed}, file {number}:\n{}", String::from_utf8_lossy(&content));
        let (log, runs) = mosquitto.read_passwords(&content);
        let read = |content: &[u8]| PasswordFile::parse(Path::new("passwd"), content);
        let has_no_nul = |line: &&[u8]| !line.contains(&0);
        let rest = content.split(|byte| *byte == b'\n').filter(has_no_nul).collect::<Vec<_>>().join(&b'\n');
        let ours = read(&rest);
        assert_eq!(ours.is_ok(), runs, "here and there: {ours:?}\n{log}\n{about}");
        if let (Ok(whole), Ok(ours)) = (read(&content), &ours) {
            assert!(whole.users().eq(ours.users()), "{about}");
        }
        if runs {
            loaded += 1;
        } else {
            refused += 1;
            mosquitto.restart_with("passwd", b"");
        }
        if let Ok(ours) = ours {
            let hash = |user: &str| ours.find(user).map(|(_, hash)| hash);
            compare_logins(mosquitto.port, hash, &format!("{log}\n{about}"));
        }
    }
    println!("{loaded} of them were loaded by both, {refused} refused by both");
    assert!(files < 100 || loaded > 10 && refused > 10, "the generator has lost its balance");
}

/// Whether each user gets in with each password if and only if the hash fits.
fn compare_logins<'h>(port: u16, hash: impl Fn(&str) -> Option<&'h PasswordHash>, about: &str) {
    for user in ["alice", "bob", "#x", "\u{feff}alice", "two words", " alice", "Alice"] {
        for password in PASSWORDS {
            let theirs = Client::connect(port, "c", Some((user, password))).map(drop);
            let ours = hash(user).is_some_and(|hash| hash.verify(password.as_bytes()));
            let ours = if ours { Ok(()) } else { Err(NOT_AUTHORIZED) };
            assert_eq!(ours, theirs, "`{user}` with `{password}`, here and there\n{about}");
        }
    }
}

/// What 2.0 makes of the lines, if each means to it what it means to us.
struct Expected {
    users: BTreeMap<String, PasswordHash>,
    /// Neither a bad record nor a user twice: 2.1 and gaugeline load the file.
    is_clean: bool,
    /// Everybody who is in the file for us.
    names: BTreeSet<String>,
}

fn as_2_0(lines: &[Line]) -> Expected {
    let mut expected = Expected { users: BTreeMap::new(), is_clean: true, names: BTreeSet::new() };
    let mut ended = false;
    for line in lines {
        match PasswordFile::parse(Path::new("passwd"), &line.content) {
            Err(_) => expected.is_clean = false,
            Ok(file) => {
                for user in file.users() {
                    expected.is_clean &= expected.names.insert(user.to_owned());
                    if !ended && !line.only_since_2_1 {
                        expected.users.insert(user.to_owned(), file.find(user).unwrap().1.clone());
                    }
                }
            }
        }
        // To 2.0 the file ends at a NUL byte; to us it is a mistake.
        ended |= line.content.contains(&0);
    }
    expected
}

//! Whom a password file lets in.
//!
//! mosquitto 2.0 drops the bad records of a file that 2.1 and gaugeline refuse, and of two records of a user it takes the last
//! good one; so each line is read by itself here, and put together as 2.0 does.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use gaugeline_broker::auth::{
    PasswordFile,
    hash::{Hashing, PasswordHash, SaltLength},
};

use crate::{
    client::Client,
    mosquitto::Mosquitto,
    random::{self, Random},
};

/// Some seconds of a slow machine.
const FILES: usize = 150;
/// Passwords in the files; one record of a user is told from another by them.
const PASSWORDS: [&str; 3] = ["pw", "two words", "é:#"];
/// "Not authorized" of MQTT 5.
const NOT_AUTHORIZED: u8 = 0x87;

/// A line, and what 2.0 cannot read of it.
struct Line {
    content: Vec<u8>,
    /// 2.0 knows salts of 12 bytes only.
    only_since_2_1: bool,
}

#[test]
fn generated_password_files_let_the_same_users_in() {
    let (mut random, seed) = Random::new();
    let Some(mut mosquitto) = Mosquitto::start(b"", None) else { return };
    let files = random::files(FILES);
    println!("seed {seed}, {files} files");
    let mut loaded = 0;
    for number in 0..files {
        let lines = (0..random.below(9)).map(|_| line(&mut random)).collect::<Vec<_>>();
        let separator = if random.once_in(4) { &b"\r\n"[..] } else { b"\n" };
        let mut content = lines.iter().map(|line| &line.content[..]).collect::<Vec<_>>().join(separator);
        if !random.once_in(3) {
            content.extend_from_slice(separator);
        }
        let about = format!("seed {seed}, file {number}:\n{}", String::from_utf8_lossy(&content));
        let log = mosquitto.read_passwords(&content);
        let whole = PasswordFile::parse(Path::new("passwd"), &content);
        let expected = as_2_0(&lines);
        assert_eq!(whole.is_ok(), expected.is_clean, "{whole:?}\n{about}");
        if let Ok(whole) = &whole {
            loaded += 1;
            assert_eq!(whole.len(), expected.names.len(), "{about}");
        }
        for user in ["alice", "bob", "#x", "\u{feff}alice", "two words", " alice", "Alice"] {
            for password in PASSWORDS {
                let theirs = Client::connect(mosquitto.port, "c", Some((user, password))).map(drop);
                let hash = expected.users.get(user);
                let ours = hash.is_some_and(|hash| hash.verify(password.as_bytes()));
                let ours = if ours { Ok(()) } else { Err(NOT_AUTHORIZED) };
                assert_eq!(ours, theirs, "`{user}` with `{password}`, here and there\n{log}\n{about}");
            }
        }
    }
    println!("{loaded} of them are without a mistake");
    assert!(files < 100 || loaded > 10, "the generator has lost its balance");
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

fn line(random: &mut Random) -> Line {
    let user = random.pick(&["alice", "alice", "bob", "Alice", "two words", "\u{feff}alice", "#x"]);
    let password = random.pick(&PASSWORDS);
    let salt = if random.once_in(8) { SaltLength::SixtyFour } else { SaltLength::Twelve };
    let hashing = if random.once_in(2) {
        Hashing::Sha512(salt)
    } else {
        Hashing::Pbkdf2(random.pick(&[1, 2, 101]).try_into().unwrap(), salt)
    };
    let hash = PasswordHash::create(password.as_bytes(), hashing).unwrap().to_string();
    let content = match random.below(30) {
        0 => format!("# {user}:{hash}"),
        1 => format!(" {user}:{hash}"),
        2 => format!("{user} :{hash}"),
        3 => format!("{user}: {hash}"),
        4 => format!("\t{user}\t:\t{hash}\t "),
        5 => format!(":{user}:{hash}"),
        6 => format!("::{user}::{hash}"),
        7 => format!("{user}:{hash}:and:more"),
        8 => format!("{user}:{hash}$more$"),
        9 => format!("{user}:"),
        10 => format!(":{hash}"),
        11 => format!("{user}:{password}"),
        12 => format!("{user}:{}", hash.trim_end_matches('=')),
        13 => format!("{user}:{}", hash.replacen("$7$", "$7$0", 1).replacen("$6$", "$5$", 1)),
        14 => format!("{user}:{}", hash.replacen("$7$1", "$7$-1", 1).replacen("$6$", "$8$", 1)),
        15 => format!("{user}:{}", hash.replacen("$7$", "$7$ ", 1)),
        16 => format!("{user}:{}", hash.replacen('$', "", 1)),
        17 => format!("{user}:{}", &hash[..hash.len() / 2]),
        18 => format!(
            "{user}:$7$101x${}",
            hash.rsplitn(3, '$').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("$")
        ),
        19 => String::new(),
        20 => " \t".to_owned(),
        21 => "no separator".to_owned(),
        22 => ":".to_owned(),
        23 => format!("{user}\0:{hash}"),
        24 => format!("# {}", "long ".repeat(5_000)),
        25 => format!("{}:{hash}", "u".repeat(random.pick(&[1000, 65_535]))),
        _ => format!("{user}:{hash}"),
    };
    Line { content: content.into_bytes(), only_since_2_1: salt == SaltLength::SixtyFour }
}

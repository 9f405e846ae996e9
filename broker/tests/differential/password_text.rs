//! Generated password files, most lines of them right, some of them odd.

use gaugeline_broker::auth::hash::{Hashing, PasswordHash, SaltLength};

use crate::{random::Random, reference::Version};

/// Passwords in the files; one record of a user is told from another by them.
pub(crate) const PASSWORDS: [&str; 3] = ["pw", "two words", "é:#"];

/// A line, and what 2.0 cannot read of it.
pub(crate) struct Line {
    pub(crate) content: Vec<u8>,
    /// 2.0 knows salts of 12 bytes only.
    pub(crate) only_since_2_1: bool,
}

/// The lines as a file.
pub(crate) fn file(random: &mut Random, lines: &[Line]) -> Vec<u8> {
    let separator = if random.once_in(4) { &b"\r\n"[..] } else { b"\n" };
    let mut content = lines.iter().map(|line| &line.content[..]).collect::<Vec<_>>().join(separator);
    if !random.once_in(3) {
        content.extend_from_slice(separator);
    }
    content
}

/// A line, most of them right. What 2.0 is laxer with is not for it: see config/MOSQUITTO.md.
pub(crate) fn line(random: &mut Random, version: Version) -> Line {
    let user = random.pick(&["alice", "alice", "bob", "Alice", "two words", "\u{feff}alice", "#x"]);
    let password = random.pick(&PASSWORDS);
    let salt = if random.once_in(8) { SaltLength::SixtyFour } else { SaltLength::Twelve };
    let hashing = if random.once_in(2) {
        Hashing::Sha512(salt)
    } else {
        Hashing::Pbkdf2(random.pick(&[1, 2, 101]).try_into().unwrap(), salt)
    };
    let hash = PasswordHash::create(password.as_bytes(), hashing).unwrap().to_string();
    let content = match random.below(40) {
        16 | 26..=28 if version == Version::V2_0 => format!("{user}:{hash}"),
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
        // With something behind it: to 2.1 a file may end with `:`, if nothing follows at all.
        22 => ": ".to_owned(),
        23 => format!("{user}\0:{hash}"),
        24 => format!("# {}", "long ".repeat(5_000)),
        25 => format!("{}:{hash}", "u".repeat(random.pick(&[1000, 65_535]))),
        26 => format!("{user}:{}", with_iterations(random, &hash)),
        27 => format!("{user}:{}", damaged(random, &hash)),
        28 => format!("{user}:{}", damaged(random, &hash)),
        _ => format!("{user}:{hash}"),
    };
    Line { content: content.into_bytes(), only_since_2_1: salt == SaltLength::SixtyFour }
}

/// The hash with another number of iterations, which may not be one.
fn with_iterations(random: &mut Random, hash: &str) -> String {
    let number = random.pick(&[
        "0",
        "00",
        "-1",
        "+101",
        "0101",
        "101 ",
        " 101",
        "\t101",
        "101.5",
        "1e2",
        "0x65",
        "x",
        "2147483648",
        "4294967296",
        "18446744073709551717",
    ]);
    let mut fields = hash.split('$').collect::<Vec<_>>();
    if fields.len() == 5 {
        fields[2] = number;
    }
    fields.join("$")
}

/// The hash with a change that base64 may or may not tolerate.
fn damaged(random: &mut Random, hash: &str) -> String {
    let at = random.below(hash.len() + 1);
    let put = random.pick(&["=", "==", "_", " ", "\t", "A", "AAAA", "$", "$$", "\u{b}", "é", "\r"]);
    match random.below(6) {
        // Unused bits of the last character.
        0 => hash.replacen("A==", "B==", 1).replacen("Q==", "Z==", 1),
        1 => hash.replacen("==", "=", 1),
        2 => hash.replacen("==", "", 1),
        3 => format!("{}{put}{}", &hash[..at], &hash[at..]),
        4 => format!("{}{}", &hash[..at], hash[at..].chars().skip(1).collect::<String>()),
        _ => format!("{hash}{put}"),
    }
}

//! Password and ACL files mean the same to gaugeline and to the real mosquitto.

use std::{collections::BTreeSet, fs, process::Command};

use gaugeline_tests::{
    gaugeline::gaugeline,
    home::Home,
    mosquitto::Mosquitto,
    mqtt::{Raw, connect_packet, publish_packet, subscribe_packet},
    process::run,
    reference::references,
};

const PASSWORD: &str = "correct horse";
/// Reason codes of MQTT 5.
const NOT_AUTHORIZED: u8 = 0x87;

/// The reason code of CONNACK.
fn log_in(port: u16, client_id: &str, user: &str, password: &str) -> (Raw, u8) {
    let mut raw = Raw::connect(port);
    raw.write(&connect_packet(5, client_id, Some(user), Some(password)));
    let (first, body) = raw.read_packet().unwrap();
    assert_eq!(first, 0x20);
    (raw, body[1])
}

#[test]
fn a_password_file_of_mosquitto_passwd() {
    for reference in references() {
        let program = reference.program("mosquitto_passwd");
        let home = Home::new();
        let passwd = home.argument("passwd");
        fs::remove_file(&passwd).unwrap();
        let hash = |options: &[&str], user: &str| {
            let mut command = Command::new(&program);
            run("mosquitto_passwd", command.args(options).args(["-b", &passwd, user, PASSWORD])).successful();
        };
        hash(&["-c"], "default");
        hash(&["-H", "sha512"], "sha512");
        hash(&["-H", "sha512-pbkdf2", "-I", "1000"], "pbkdf2");
        let _broker = home.broker();
        for user in ["default", "sha512", "pbkdf2"] {
            assert_eq!(log_in(home.plain_port, user, user, PASSWORD).1, 0, "{user} {reference:?}");
            assert_eq!(log_in(home.plain_port, user, user, "wrong").1, NOT_AUTHORIZED, "{user}");
        }
    }
}

#[test]
fn our_password_file_at_mosquitto() {
    let home = Home::new();
    gaugeline(&["passwd", "-b", &home.argument("passwd"), "newcomer", PASSWORD]).successful();
    let secret = home.secret("sensor");
    for reference in references() {
        let mosquitto = Mosquitto::start(reference, &home.path("passwd"), None);
        for (user, password) in [("newcomer", PASSWORD), ("sensor", secret.as_str())] {
            assert_eq!(log_in(mosquitto.port, user, user, password).1, 0, "{user}\n{}", mosquitto.log());
            assert_eq!(log_in(mosquitto.port, user, user, "wrong").1, NOT_AUTHORIZED, "{user}");
        }
    }
}

#[test]
fn the_acl_of_init_at_mosquitto() {
    let home = Home::new();
    let _broker = home.broker();
    let users = ["sensor", "viewer", "bridge"].map(|user| (user.to_owned(), home.secret(user)));
    let topics = ["sensors", "sensors/a", "sensors/a/b", "actuators/a", "$SYS/x", "$other/x"];
    for reference in references() {
        let mosquitto = Mosquitto::start(reference, &home.path("passwd"), Some(&home.path("acl")));
        compare_writes(&home, &mosquitto, &users, &topics);
    }
}

/// Generated rules: in each file, many users with rules of their own, and patterns for all of them.
#[test]
fn generated_acls_decide_as_mosquitto_does() {
    const FILES: u64 = 4;
    const USERS: usize = 60;
    for seed in 0..FILES {
        let home = Home::new();
        let mut random = SplitMix(seed);
        let (users, acl) = generate(&mut random, USERS);
        home.write("acl", &acl);
        let users = users.into_iter().map(|user| (user, PASSWORD.to_owned())).collect::<Vec<_>>();
        give_all_the_same_password(&home, &users);
        let _broker = home.broker();
        let topics = topics();
        let topics = topics.iter().map(String::as_str).collect::<Vec<_>>();
        for reference in references() {
            let mosquitto = Mosquitto::start(reference, &home.path("passwd"), Some(&home.path("acl")));
            compare_writes(&home, &mosquitto, &users, &topics);
            compare_reads(&home, &mosquitto, &users, &topics);
        }
    }
}

/// Every user publishes to every topic at both.
fn compare_writes(home: &Home, mosquitto: &Mosquitto, users: &[(String, String)], topics: &[&str]) {
    for (user, password) in users {
        let writable = [home.plain_port, mosquitto.port].map(|port| {
            let (mut raw, code) = log_in(port, &format!("c{user}"), user, password);
            assert_eq!(code, 0, "{user}");
            let allowed = |topic: &&&str| {
                raw.write(&publish_packet(5, 1, 1, topic, b""));
                let (first, body) = raw.read_packet().unwrap();
                assert_eq!((first, &body[..2]), (0x40, &[0, 1][..]), "{user} {topic}");
                body.get(2) != Some(&NOT_AUTHORIZED)
            };
            topics.iter().filter(allowed).copied().collect::<BTreeSet<_>>()
        });
        assert_eq!(
            writable[0],
            writable[1],
            "{user} may write, here and at mosquitto, by\n{}",
            home.read("acl")
        );
    }
}

/// Every topic has a retained message at both; every user subscribes to everything.
fn compare_reads(home: &Home, mosquitto: &Mosquitto, users: &[(String, String)], topics: &[&str]) {
    for port in [home.plain_port, mosquitto.port] {
        let (mut raw, code) = log_in(port, "root", "root", PASSWORD);
        assert_eq!(code, 0);
        for topic in topics {
            let mut packet = publish_packet(5, 1, 1, topic, b"x");
            packet[0] |= 0x01;
            raw.write(&packet);
            let (_, body) = raw.read_packet().unwrap();
            assert_ne!(body.get(2), Some(&NOT_AUTHORIZED), "{topic}");
        }
    }
    for (user, password) in users {
        let readable = [home.plain_port, mosquitto.port].map(|port| {
            let (mut raw, code) = log_in(port, &format!("c{user}"), user, password);
            assert_eq!(code, 0, "{user}");
            ["#", "$x/#"].into_iter().flat_map(|filter| retained(&mut raw, filter)).collect::<BTreeSet<_>>()
        });
        assert_eq!(
            readable[0],
            readable[1],
            "{user} may read, here and at mosquitto, by\n{}",
            home.read("acl")
        );
    }
}

/// The topics of the retained messages that a subscription brings.
fn retained(raw: &mut Raw, filter: &str) -> Vec<String> {
    raw.write(&subscribe_packet(5, 1, filter, 0));
    let (mut found, mut answered) = (Vec::new(), false);
    loop {
        let (first, body) = raw.read_packet().unwrap();
        match first {
            0x90 => {
                answered = true;
                // What is retained comes before the answer to a ping that is sent after the acknowledgement.
                raw.write(&[0xc0, 0]);
            }
            0xd0 => break,
            0x31 => {
                let length = usize::from(body[1]);
                found.push(String::from_utf8(body[2..2 + length].to_vec()).unwrap());
            }
            other => panic!("packet {other:02x}"),
        }
    }
    assert!(answered);
    found
}

/// One hash for all: hashing is slow on purpose.
fn give_all_the_same_password(home: &Home, users: &[(String, String)]) {
    home.write("passwd", "");
    gaugeline(&["passwd", "-I", "1", "-b", &home.argument("passwd"), "root", PASSWORD]).successful();
    let line = home.read("passwd");
    let hash = line.trim_end().split_once(':').unwrap().1.to_owned();
    let lines = users.iter().map(|(user, _)| format!("{user}:{hash}\n")).collect::<String>();
    home.append("passwd", &lines);
}

/// Sebastiano Vigna's SplitMix64: the same rules in every run.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Users, and rules for them. `root` may do everything, so that it can fill the topics.
fn generate(random: &mut SplitMix, count: usize) -> (Vec<String>, String) {
    let access = ["read ", "write ", "readwrite ", "deny ", ""];
    let mut acl = "user root\ntopic readwrite #\ntopic readwrite $x/#\n".to_owned();
    // The first two are also levels of topics, so that %u can match.
    let users =
        (0..count).map(|n| ["a", "b"].get(n).map_or_else(|| format!("user{n}"), |name| (*name).to_owned()));
    let users = users.collect::<Vec<_>>();
    for user in &users {
        // Some have no section.
        if random.below(8) > 0 {
            acl += &format!("user {user}\n");
            for _ in 0..random.below(6) {
                acl += &format!(
                    "topic {}{}\n",
                    random.pick(&access),
                    filter(random, &["a", "b", "c", "+", "$x"])
                );
            }
        }
    }
    for _ in 0..random.below(5) {
        let filter = filter(random, &["a", "b", "+", "%u", "%c", "$x"]);
        acl += &format!("pattern {}{filter}\n", random.pick(&access));
    }
    (users, acl)
}

fn filter(random: &mut SplitMix, levels: &[&str]) -> String {
    let mut filter = Vec::new();
    for level in 0..=random.below(3) {
        match (level, random.pick(levels)) {
            // `$` has its meaning at the beginning only.
            (1.., "$x") => filter.push("a"),
            (_, name) => filter.push(name),
        }
    }
    if random.below(3) == 0 {
        filter.push("#");
    }
    filter.join("/")
}

/// All topics of up to three levels over a small alphabet, some of them with `$`.
fn topics() -> Vec<String> {
    let names = ["a", "b", "c", "user5", "ca", "cuser5"];
    let mut all = names.map(str::to_owned).to_vec();
    for first in ["a", "b", "user5", "cuser5", "$x"] {
        all.extend(names.iter().map(|second| format!("{first}/{second}")));
    }
    for second in ["a", "b", "user5"] {
        all.extend(["a", "b", "ca"].iter().map(|third| format!("a/{second}/{third}")));
    }
    all
}

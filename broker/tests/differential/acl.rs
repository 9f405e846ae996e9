//! Every client does with mosquitto what our rules say that it may.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use gaugeline_broker::auth::{
    AccessKind, Acl, AclOptions,
    hash::{Hashing, PasswordHash, SaltLength},
};

use crate::{
    acl_text::{self, USERS, USERS_2_1},
    client::Client,
    mosquitto::Mosquitto,
    random::{self, Random},
    reference::Version,
};

const PASSWORD: &str = "pw";
/// Together they bring everything that can be published here.
const EVERYTHING: [&str; 2] = ["#", "$x/#"];
/// Some seconds of a slow machine.
const FILES: usize = 300;

/// A client that stays connected while the rules change.
struct Person {
    user: Option<&'static str>,
    client_id: &'static str,
    client: Client,
}

/// Who is connected: every user, some of them as clients whose identifiers are levels of topics or would be wildcards.
const PEOPLE: &[(Option<&str>, &str)] = &[
    (Some("a"), "ca"),
    (Some("a"), "b"),
    (Some("b"), "cb"),
    (Some("c"), "a"),
    (Some("u4"), "+"),
    (Some("u5"), "c5"),
    (Some("two words"), "two words"),
    (Some("a+"), "c7"),
    (Some("é"), "c8"),
    (Some("stranger"), "c9"),
    (None, "anonymous"),
    (None, "x#"),
];
/// And with 2.1 these, whose names 2.0 puts into patterns in ways of its own.
const PEOPLE_2_1: &[(Option<&str>, &str)] = &[
    (Some("$x"), "c10"),
    (Some("a"), "$x"),
    (Some("a/b"), "c11"),
    (Some("b"), "a/b"),
    (Some("/"), "c12"),
    (Some("%u"), "%c"),
    (Some("$x/a"), "$x/b"),
    (None, "$x/"),
];
/// Lets root do everything.
const ROOT_ONLY: &[u8] = b"user root\ntopic #\n";

#[test]
fn generated_acl_files_mean_what_they_mean_to_mosquitto_2_0() {
    generated_acl_files_mean_the_same(Version::V2_0);
}

#[test]
fn generated_acl_files_mean_what_they_mean_to_mosquitto_2_1() {
    generated_acl_files_mean_the_same(Version::V2_1);
}

fn generated_acl_files_mean_the_same(version: Version) {
    let (mut random, seed) = Random::new();
    let Some(mut mosquitto) = Mosquitto::start(version, passwords().as_bytes(), Some(ROOT_ONLY)) else {
        return;
    };
    let (mut root, mut people) = connect(mosquitto.port, version);
    let topics = topics(version);
    let topics = topics.iter().map(String::as_str).collect::<Vec<_>>();
    let (mut refused, files) = (0, random::files(FILES));
    println!("seed {seed}, {files} files");
    for number in 0..files {
        let content = acl_text::file(&mut random, version);
        let text = String::from_utf8_lossy(&content);
        let about = || format!("seed {seed}, file {number}:\n{text}");
        let (log, runs) = mosquitto.read_acl(&content);
        let ours = Acl::parse(Path::new("acl"), &content, AclOptions::default());
        // 2.1 ends then; 2.0 goes on without any rules. Nothing of that is to be copied.
        let theirs_refused = if version == Version::V2_1 { !runs } else { log.contains("Error") };
        assert_eq!(ours.is_err(), theirs_refused, "{ours:?}\nmosquitto: {log}\n{}", about());
        if !runs {
            mosquitto.restart_with("acl", ROOT_ONLY);
            (root, people) = connect(mosquitto.port, version);
        }
        let Ok(ours) = ours else {
            refused += 1;
            continue;
        };
        compare_writes(&ours, &mut root, &mut people, &topics, &about);
        compare_reads(&ours, &mut root, &mut people, &topics, &about);
    }
    println!("{refused} of them were refused by both");
    assert!(files < 100 || refused > 0 && refused < files / 2, "the generator has lost its balance");
}

/// Root, and everybody else.
fn connect(port: u16, version: Version) -> (Client, Vec<Person>) {
    let root = Client::connect(port, "root", Some(("root", PASSWORD))).ok().unwrap();
    let more = if version == Version::V2_1 { PEOPLE_2_1 } else { &[] };
    let people = PEOPLE.iter().chain(more).map(|(user, client_id)| {
        let credentials = user.map(|user| (user, PASSWORD));
        let client = Client::connect(port, client_id, credentials).ok().unwrap();
        Person { user: *user, client_id, client }
    });
    (root, people.collect())
}

fn compare_writes(
    ours: &Acl,
    root: &mut Client,
    people: &mut [Person],
    topics: &[&str],
    about: &impl Fn() -> String,
) {
    root.subscribe(&EVERYTHING);
    for (number, person) in (0..).zip(people.iter_mut()) {
        person.client.publish(topics, number);
    }
    let theirs = root.delivered();
    root.unsubscribe(&EVERYTHING);
    for (number, Person { user, client_id, .. }) in (0..).zip(people) {
        let ours = allowed(ours, *user, client_id, AccessKind::Write, topics);
        let theirs = theirs.iter().filter(|(payload, _)| *payload == number);
        let theirs = theirs.map(|(_, topic)| topic.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(ours, theirs, "{user:?} as {client_id} may write, here and there, {}", about());
    }
}

fn compare_reads(
    ours: &Acl,
    root: &mut Client,
    people: &mut [Person],
    topics: &[&str],
    about: &impl Fn() -> String,
) {
    people.iter_mut().for_each(|person| person.client.subscribe(&EVERYTHING));
    root.publish(topics, 0);
    for Person { user, client_id, client } in people {
        let ours = allowed(ours, *user, client_id, AccessKind::Read, topics);
        let theirs = client.delivered();
        let theirs = theirs.iter().map(|(_, topic)| topic.as_str()).collect::<BTreeSet<_>>();
        assert_eq!(ours, theirs, "{user:?} as {client_id} may read, here and there, {}", about());
        client.unsubscribe(&EVERYTHING);
    }
}

fn allowed<'t>(
    acl: &Acl,
    user: Option<&str>,
    client_id: &str,
    access: AccessKind,
    topics: &[&'t str],
) -> BTreeSet<&'t str> {
    let may = |topic: &&str| acl.decide(user, client_id, access, topic).allowed;
    topics.iter().copied().filter(may).collect()
}

/// Every topic of up to three levels over the levels that matter, thinned out below.
fn topics(version: Version) -> Vec<String> {
    let mut levels = vec!["a", "b", "ca", "é", "two words", "%u", ""];
    if version == Version::V2_1 {
        levels.extend(["%ux", "%c%u", "%%u", "%u ", "$x"]);
    }
    let mut topics =
        levels.iter().filter(|level| !level.is_empty()).map(|level| (*level).to_owned()).collect::<Vec<_>>();
    for first in ["a", "b", "", "$x", "two words", "a+", "x"].into_iter().filter(|level| !level.contains('+'))
    {
        topics.extend(levels.iter().map(|second| format!("{first}/{second}")));
    }
    for first in ["a", "$x", ""] {
        for second in ["a", "b", "é"] {
            topics.extend(["a", "b", "ca", ""].map(|third| format!("{first}/{second}/{third}")));
        }
    }
    topics.extend(["$x", "a/b/a/b"].map(str::to_owned));
    topics
}

/// One hash for all.
fn passwords() -> String {
    let hash = PasswordHash::create(PASSWORD.as_bytes(), Hashing::Sha512(SaltLength::Twelve)).unwrap();
    let mut file = String::new();
    for user in USERS.iter().chain(USERS_2_1).chain(&["root", "stranger"]) {
        writeln!(file, "{user}:{hash}").unwrap();
    }
    file
}

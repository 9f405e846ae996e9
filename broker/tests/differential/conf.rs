//! A generated mosquitto.conf is taken or refused as by mosquitto 2.1, which can be asked without being started.

use std::{
    fs,
    process::{Command, Stdio},
};

use gaugeline_broker::config::mosquitto::{Overrides, keys, parse};

use crate::{
    random::{self, Random},
    reference::{self, Version},
};

/// Some seconds of a slow machine.
const FILES: usize = 400;

/// What may stand above the lines in question.
const HEADS: [&str; 5] = [
    "",
    "listener 1\n",
    "port 1\n",
    "per_listener_settings true\n",
    "per_listener_settings true\nlistener 1\n",
];

/// Values for any key. `@` stands for a directory with an empty file `file`.
#[rustfmt::skip]
const VALUES: &[&str] = &[
    "", " ", "\t", "true", "false", "1", "0", "yes", "True", "2", "3", "-1", "x", "5", "5x", "5 x", "0x10", "010", "08", "50",
    "240", "65535", "65536", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967301", "99999999999999999999",
    "\t5", "5\t", "true\t", " true", "a b", "@/file", "@", "a/#", "a/", "/", "$SYS", "$share/a", "1s", "5d", "0d", "5dx", "5D",
    "d", "-5d", "5 d", "1000000y", "99999999999d", "tlsv1.2", "tlsv1.1", "tlsv1.0", "TLSv1.3", "tlsv1.3", "mqtt", "websockets",
    "http_api", "stderr", "file @/log", "file", "all", "none", "ipv4", "4", "3,4,5", "4, 5", "7", "pem", "engine", "é",
    "\u{b}5", "1 127.0.0.1", "1 127.0.0.1 x", "0 @/sock", "1 # x", "* ", "#", "+",
];

/// What an error of ours says where mosquitto takes the file. All of it is in config/MOSQUITTO.md, or is found by mosquitto
/// too, but only when it starts.
const ON_PURPOSE: &[&str] = &[
    "cannot be opened",
    "which is not a file",
    "expected different addresses",
    "expected an address",
    "gaugeline has no Unix sockets",
    "http_api`",
    "expected it below the line `listener PORT`",
    "certfile and keyfile",
    "` without a listener, expected",
    "expected 3, 4 or 5, for MQTT",
    "`check_retain_source true`",
    "OpenSSL's engines",
];

#[test]
fn generated_mosquitto_confs_are_taken_or_refused_as_by_mosquitto_2_1() {
    let (mut random, seed) = Random::new();
    let Some(program) = reference::program(Version::V2_1) else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    // Its limit holds at once for mosquitto, which then has not the memory to go on.
    let is_tried = |key: &&keys::Key| key.treatment() != "refused" && key.name != "memory_limit";
    let names = keys::all().filter(is_tried).map(|key| key.name).collect::<Vec<_>>();
    let (mut taken, files) = (0, random::files(FILES));
    println!("seed {seed}, {files} files");
    for number in 0..files {
        let mut text = random.pick(&HEADS).to_owned();
        for _ in 0..=random.below(2) {
            text += &format!("{} {}\n", random.pick(&names), random.pick(VALUES));
        }
        let text = text.replace('@', &directory.path().display().to_string());
        let path = directory.path().join("m.conf");
        fs::write(&path, &text).unwrap();
        let ours = parse(&path, text.as_bytes(), &Overrides::default());
        let mut command = Command::new(&program);
        command.arg("-c").arg(&path).arg("--test-config").stdin(Stdio::null());
        let theirs = command.output().unwrap();
        let (they_take, said) = (theirs.status.code() == Some(0), String::from_utf8_lossy(&theirs.stderr));
        taken += usize::from(ours.is_ok());
        let is_on_purpose = ours.as_ref().is_err_and(|error| {
            let error = error.to_string();
            they_take && ON_PURPOSE.iter().any(|part| error.contains(part))
        });
        assert!(
            ours.is_ok() == they_take || is_on_purpose,
            "seed {seed}, file {number}: {text}\n{:?}\nmosquitto: {said}",
            ours.map(drop)
        );
    }
    println!("{taken} of them were taken by both");
    assert!(files < 100 || taken > files / 10, "the generator has lost its balance");
}

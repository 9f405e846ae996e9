//! What a listener of a mosquitto.conf changes for its clients is the same at gaugeline and at the real mosquitto.

use std::process::Command;

use gaugeline_tests::{
    conf::Conf,
    gaugeline::gaugeline,
    home::Home,
    mqtt::{Raw, publish_packet, subscribe_packet},
    process::run,
    requirement,
};

use crate::mosquitto_conf::{collect, compare, log_in};

/// A subscriber of everything at this port.
fn watch(port: u16, client_id: &str, user: Option<(&str, &str)>, seen: &mut Vec<String>) -> Option<Raw> {
    let (mut raw, code) = log_in(port, 4, client_id, user);
    if code != Some(0) {
        seen.push(format!("{client_id}: CONNACK {code:?}"));
        return None;
    }
    raw.write(&subscribe_packet(4, 1, "#", 2));
    collect(&mut raw, client_id, seen);
    Some(raw)
}

/// Publishes one message; notes the type of the answer, and the reason if the broker takes leave.
fn publish(port: u16, level: u8, message: (&str, u8, bool), seen: &mut Vec<String>) {
    let (topic, qos, retain) = message;
    let (mut raw, code) = log_in(port, level, "publisher", None);
    if code != Some(0) {
        return seen.push(format!("publisher: CONNACK {code:?}"));
    }
    let mut packet = publish_packet(level, qos, 7, topic, b"x");
    packet[0] |= u8::from(retain);
    raw.write(&packet);
    let answer = match raw.read_packet() {
        Some((0x50, _)) => {
            raw.write(&[0x62, 2, 0, 7]);
            raw.read_packet().map(|(first, _)| (first, None))
        }
        Some((0xe0, body)) => Some((0xe0, body.first().copied())),
        other => other.map(|(first, _)| (first, None)),
    };
    seen.push(format!("publisher {level}: {topic} QoS {qos}: {answer:?}"));
}

/// What clients of both listeners see of each other's messages, at once and of what is retained.
fn exchange(conf: &Conf, level: u8, user: Option<(&str, &str)>) -> Vec<String> {
    let mut seen = Vec::new();
    let watchers = [("first", 0), ("second", 1)];
    let mut watching = watchers.map(|(name, port)| (name, watch(conf.ports[port], name, user, &mut seen)));
    for port in conf.ports {
        for topic in ["a/x", "b/x", "x", "$a/x"] {
            publish(port, level, (topic, 1, false), &mut seen);
        }
        if port == conf.ports[1] {
            publish(port, level, ("mount/x", 1, true), &mut seen);
        }
        publish(port, level, ("a/y", 2, false), &mut seen);
        publish(port, level, ("a/z", 1, true), &mut seen);
    }
    for (name, raw) in &mut watching {
        if let Some(raw) = raw {
            collect(raw, name, &mut seen);
        }
    }
    let late = seen.len();
    for (name, port) in [("late first", 0), ("late second", 1)] {
        watch(conf.ports[port], name, user, &mut seen);
    }
    // mosquitto 2.0 leaves the mount point on what it delivers; 2.1 and gaugeline take it off. See config/MOSQUITTO.md.
    for line in &mut seen {
        if line.contains("first: ") {
            *line = line.replacen(": mount/", ": ", 1);
        }
    }
    // Retained messages of several topics have no order.
    seen[late..].sort();
    seen
}

#[test]
fn the_same_messages_pass_between_listeners() {
    for (text, level) in [
        ("listener PORT1\nmount_point mount/\nlistener PORT2", 4),
        ("listener PORT1\nmount_point mount/\nlistener PORT2", 5),
        ("listener PORT1\nmax_qos 1\nlistener PORT2", 4),
        ("listener PORT1\nlistener PORT2\nmax_qos 1", 5),
        ("listener PORT1\nlistener PORT2\nretain_available false", 4),
        ("listener PORT1\nlistener PORT2\nretain_available false", 5),
    ] {
        compare(&format!("allow_anonymous true\n{text}\n"), |conf| exchange(conf, level, None));
    }
}

#[test]
fn the_same_rights_hold_at_each_listener() {
    const ALICE: Option<(&str, &str)> = Some(("alice", "correct horse"));
    let listener = |port: &str, rules: &str| format!("listener {port}\nallow_anonymous true\n{rules}");
    for (first, second, user) in [
        ("acl_file @/acl1\n", "acl_file @/acl2\n", None),
        ("acl_file @/acl1\n", "", None),
        ("password_file @/passwd\nacl_file @/acl1\n", "acl_file @/acl2\n", ALICE),
        ("password_file @/passwd\nacl_file @/acl1\n", "password_file @/passwd\n", ALICE),
    ] {
        let text = ["per_listener_settings true\n", &listener("PORT1", first), &listener("PORT2", second)];
        compare(&text.concat(), |conf| exchange(conf, 4, user));
    }
}

/// The user is the name in the certificate, whatever CONNECT says.
#[test]
fn a_certificate_names_the_user_in_both() {
    let home = Home::new();
    for name in ["greenhouse", "stranger"] {
        gaugeline(&["pki", "-d", &home.argument(""), "issue", name]).successful();
    }
    let Some(program) = requirement::program("mosquitto_pub") else { return };
    let pki = home.argument("pki");
    let text = format!(
        "allow_anonymous true\nacl_file @/acl3\nlistener PORT2\nlistener PORT1\ncafile {pki}/ca.crt\n\
         certfile {pki}/server.crt\nkeyfile {pki}/server.key\nrequire_certificate true\n\
         use_identity_as_username true\n"
    );
    compare(&text, |conf| {
        let mut seen = Vec::new();
        let mut watcher = watch(conf.ports[1], "watcher", None, &mut seen).unwrap();
        for (certificate, topic, user) in [
            (Some("greenhouse"), "sensors/a", None),
            (Some("greenhouse"), "elsewhere", None),
            (Some("greenhouse"), "sensors/b", Some("stranger")),
            (Some("stranger"), "sensors/c", None),
            (Some("stranger"), "sensors/d", Some("greenhouse")),
            (None, "sensors/e", Some("greenhouse")),
        ] {
            let mut command = Command::new(&program);
            command.args(["-h", "localhost", "-p", &conf.ports[0].to_string(), "--cafile"]);
            command.arg(home.path("pki/ca.crt")).args(["-q", "1", "-t", topic, "-m", "x"]);
            if let Some(name) = certificate {
                let file = |extension| home.path(&format!("pki/clients/{name}.{extension}"));
                command.arg("--cert").arg(file("crt")).arg("--key").arg(file("key"));
            }
            if let Some(user) = user {
                command.args(["-u", user, "-P", "any"]);
            }
            let is_in = run("mosquitto_pub", &mut command).code == Some(0);
            seen.push(format!("{certificate:?} {topic} {user:?}: {is_in}"));
            collect(&mut watcher, "watcher", &mut seen);
        }
        seen
    });
}

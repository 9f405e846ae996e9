//! A mosquitto.conf means the same to gaugeline and to the real mosquitto: who reads it takes or refuses it, lets the same
//! clients in, and delivers the same. Played against mosquitto 2.0 and 2.1; where they differ, or it is meant to be otherwise
//! here, the tables say so with the reason, and config/MOSQUITTO.md.

use std::thread;

use gaugeline_tests::{
    conf::{Conf, Reader},
    gaugeline::gaugeline,
    mqtt::{Raw, connect_packet, publish_packet, subscribe_packet},
    reference::{Reference, Version, references},
};

const PASSWORD: &str = "correct horse";
/// `alice`, with that password.
const ALICE: &str = "alice:$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==\n";

/// What is expected of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Both take it.
    Taken,
    /// Both refuse it.
    Refused,
    /// Only mosquitto 2.0 refuses it: 2.1 and gaugeline take it.
    Newer,
    /// Only mosquitto 2.0 takes it: 2.1 and gaugeline refuse it.
    Stricter,
    /// Both take it, and gaugeline refuses it, for this reason.
    Safer(&'static str),
}

use Expected::{Newer, Refused, Safer, Stricter, Taken};

const FILES: &[(&str, Expected)] = &[
    ("", Taken),
    ("# comment\r\n\r\nlistener PORT1\r\n", Taken),
    ("listener PORT1", Taken),
    ("   listener   PORT1   127.0.0.1   # comment", Taken),
    ("listener PORT1 localhost", Taken),
    ("listener PORT1 0.0.0.0", Taken),
    ("port PORT1", Taken),
    ("port 1\nport PORT1", Taken),
    ("port PORT1\nbind_address 127.0.0.1", Taken),
    ("listener PORT1\nsocket_domain ipv4", Taken),
    ("listener PORT1\nsocket_domain ipv5", Refused),
    ("listener", Refused),
    ("listener x", Refused),
    ("listener 0", Refused),
    ("listener 65536", Refused),
    ("port 0", Refused),
    ("foo 1", Refused),
    ("Listener PORT1", Refused),
    ("listener\tPORT1", Refused),
    (" # comment", Refused),
    ("\u{feff}listener PORT1", Refused),
    ("listener PORT1\nlistener PORT1", Refused),
    ("allow_anonymous true # comment", Taken),
    ("allow_anonymous 1\nallow_anonymous false", Taken),
    ("allow_anonymous yes", Refused),
    ("allow_anonymous True", Refused),
    ("allow_anonymous", Refused),
    ("allow_anonymous true\t", Refused),
    ("max_inflight_messages 0x10", Taken),
    ("max_inflight_messages -1", Taken),
    ("max_inflight_messages 65536", Refused),
    ("max_inflight_messages x", Stricter),
    ("max_inflight_messages 5x", Stricter),
    ("max_queued_messages -5\nmax_queued_bytes 5\nmax_inflight_bytes 5", Taken),
    ("max_packet_size 20", Taken),
    ("max_packet_size 19", Refused),
    ("message_size_limit 0\nmemory_limit 1000000", Taken),
    ("message_size_limit 268435456", Refused),
    ("memory_limit -1", Refused),
    ("max_keepalive 60", Taken),
    ("max_keepalive 5", Newer),
    ("max_keepalive 65536", Refused),
    ("listener PORT1\nmax_connections -1\nmax_qos 1\nmaximum_qos 0", Taken),
    ("max_qos 3", Refused),
    ("listener PORT1\nmax_topic_alias 0\nmount_point a/", Taken),
    ("listener PORT1\nmount_point a/#", Refused),
    ("listener PORT1\nmax_topic_alias_broker 5", Newer),
    ("listener PORT1\naccept_protocol_versions 3, 4", Newer),
    ("listener PORT1\nlistener_allow_anonymous true", Newer),
    ("global_max_connections 5\nglobal_max_clients 5", Newer),
    ("retain_expiry_interval 5", Newer),
    ("sys_interval 0", Taken),
    ("sys_interval 65536", Refused),
    ("sys_interval -1", Refused),
    ("persistence false\nautosave_interval 5\nautosave_on_changes true", Taken),
    ("persistence true\npersistence_location @\npersistence_file a.db", Taken),
    ("persistence_location @\npersistence_location @", Refused),
    ("persistent_client_expiration 2m", Taken),
    ("persistent_client_expiration 2", Refused),
    ("persistent_client_expiration 0d", Refused),
    ("queue_qos0_messages true\nupgrade_outgoing_qos true\nretain_available false", Taken),
    ("set_tcp_nodelay true\nallow_duplicate_messages true\nallow_zero_length_clientid false", Taken),
    ("check_retain_source false", Taken),
    (
        "check_retain_source true",
        Safer("not offered here; to ignore it would show what its publisher may no longer write"),
    ),
    ("clientid_prefixes a\nauto_id_prefix b", Taken),
    ("auto_id_prefix 012345678901234567890123456789012345678901234567890", Stricter),
    ("auto_id_prefix a\nauto_id_prefix a", Refused),
    ("log_type all\nlog_type none\nlog_timestamp false\nconnection_messages false", Taken),
    ("log_type x", Refused),
    ("log_dest stdout\nlog_dest none\nlog_dest topic", Taken),
    ("log_dest x", Refused),
    ("log_dest file", Refused),
    ("log_dest file @/log\nlog_facility 5\nlog_timestamp_format %s", Taken),
    ("log_dest file @/log\nlog_dest file @/log", Refused),
    ("log_facility 8", Refused),
    ("pid_file @/pid", Taken),
    ("pid_file @/pid\npid_file @/pid", Refused),
    ("user root\nuser root", Newer),
    ("listener PORT1\nprotocol mqtt", Taken),
    ("listener PORT1\nprotocol mqttx", Refused),
    ("dhparamfile x", Taken),
    ("include_dir @/d", Taken),
    ("include_dir @/none", Refused),
    ("include_dir", Refused),
    ("include_dir @/nested", Stricter),
    ("include_dir @/bad", Refused),
    // The main file is in that directory.
    ("include_dir @", Refused),
    ("password_file @/passwd\nacl_file @/acl", Taken),
    ("password_file @/pass word", Taken),
    ("password_file @/none", Refused),
    ("password_file @/passwd # comment", Refused),
    ("password_file", Refused),
    ("password_file @/passwd\npassword_file @/passwd", Newer),
    ("acl_file @/acl\nacl_file @/acl", Newer),
    ("acl_file @/bad acl", Refused),
    ("password_file @/bad passwd", Stricter),
    ("per_listener_settings true", Taken),
    ("per_listener_settings true\nlistener PORT1\npassword_file @/passwd\nacl_file @/acl", Taken),
    ("per_listener_settings true\nper_listener_settings false\nlistener PORT1\nallow_anonymous true", Taken),
    ("allow_anonymous true\nper_listener_settings true", Refused),
    ("per_listener_settings true\nport PORT1\nallow_anonymous true", Taken),
    // 2.0 opens a listener of its own for it.
    ("per_listener_settings true\nallow_anonymous true\nlistener PORT1", Stricter),
    // 2.0 listens without encryption then.
    ("listener PORT1\ncertfile @/crt", Stricter),
    ("listener PORT1\nkeyfile @/key", Stricter),
    ("listener PORT1\ncafile @/crt", Stricter),
    (
        "listener PORT1\nrequire_certificate true",
        Safer("mosquitto would listen without encryption and ask for nothing"),
    ),
    ("listener PORT1\ncertfile @/none\nkeyfile @/key", Refused),
    ("listener PORT1\nciphers x\ntls_version tlsv1.2", Taken),
    (
        "connection a\naddress 127.0.0.1\ntopic # out",
        Safer("there are no bridges here, and its messages would be lost"),
    ),
    ("address 127.0.0.1", Refused),
    ("remote_password x", Refused),
    ("plugin /none.so", Refused),
    ("plugin_opt_a b", Refused),
    ("auth_opt_a b", Refused),
    ("listener PORT1\npsk_hint a\npsk_file @/psk", Safer("there is no TLS with pre-shared keys here")),
    ("bridge_cafile x", Refused),
];

pub(super) fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("passwd", ALICE),
        ("pass word", ALICE),
        ("bad passwd", "alice:plain\n"),
        ("acl", "topic readwrite #\nuser alice\ntopic readwrite #\n"),
        ("acl1", "topic write a/#\ntopic read b/#\nuser alice\ntopic readwrite a/#\n"),
        ("acl2", "topic readwrite #\n"),
        ("acl3", "topic read #\nuser greenhouse\ntopic write sensors/#\n"),
        ("bad acl", "topic foo bar\n"),
        ("psk", "a:0123456789abcdef\n"),
        ("crt", "x"),
        ("key", "x"),
        ("d/b.conf", "max_inflight_messages 5\n"),
        ("d/c.conf.d", "nonsense"),
        ("nested/a.conf", "include_dir @/d\n"),
        ("bad/a.conf", "nonsense\n"),
    ]
}

#[test]
fn files_are_taken_or_refused_as_by_mosquitto() {
    let workers = 4;
    let wrong = thread::scope(|scope| {
        let check = |worker| {
            move || {
                let own = FILES.iter().enumerate().filter(move |(index, _)| index % workers == worker);
                own.flat_map(|(_, (text, expected))| judge(text, *expected)).collect::<Vec<_>>()
            }
        };
        let handles = (0..workers).map(|worker| scope.spawn(check(worker))).collect::<Vec<_>>();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A queue of mosquitto's counts what may be in flight apart only while its client is connected; here always.
#[test]
fn a_queue_holds_no_less_than_mosquittos() {
    let text = "listener PORT1\nallow_anonymous true\nmax_queued_messages 1\nmax_inflight_messages 1\n";
    let kept = |reader| {
        let conf = Conf::write(reader, text, &files());
        let _process = conf.start();
        play(conf.ports[0]).into_iter().filter(|seen| seen.starts_with("absent: a/")).count()
    };
    let ours = kept(Reader::Gaugeline);
    for reference in references() {
        assert_eq!((ours, kept(Reader::Mosquitto(reference))), (2, 1), "{reference:?}");
    }
}

/// What is not as expected.
fn judge(text: &str, expected: Expected) -> Vec<String> {
    let says_where = ["listener", "port ", "per_listener"].iter().any(|word| text.contains(word));
    let complete =
        if says_where || text.is_empty() { text.to_owned() } else { format!("{text}\nlistener PORT1") };
    let ours = Conf::write(Reader::Gaugeline, &complete, &files()).is_taken();
    let judge = |reference: &'static Reference| {
        let theirs = Conf::write(Reader::Mosquitto(reference), &complete, &files()).is_taken();
        let (we_take, they_take) = match (expected, reference.version) {
            (Taken, _) | (Newer, Version::V2_1) => (true, true),
            (Refused, _) | (Stricter, Version::V2_1) => (false, false),
            (Newer, Version::V2_0) => (true, false),
            (Stricter, Version::V2_0) | (Safer(_), _) => (false, true),
        };
        let as_expected = (ours.is_ok(), theirs.is_ok()) == (we_take, they_take);
        (!as_expected)
            .then(|| format!("{text:?}: {expected:?}\ngaugeline: {ours:?}\n{reference:?}: {theirs:?}"))
    };
    references().iter().filter_map(judge).collect()
}

/// Runs what `play` does at gaugeline and at each mosquitto, and compares what it saw.
pub(super) fn compare<T: PartialEq + std::fmt::Debug>(text: &str, play: impl Fn(&Conf) -> T) {
    let see = |reader| {
        let conf = Conf::write(reader, text, &files());
        let _process = conf.start();
        play(&conf)
    };
    let ours = see(Reader::Gaugeline);
    for reference in references() {
        assert_eq!(ours, see(Reader::Mosquitto(reference)), "gaugeline and {reference:?} with\n{text}");
    }
}

/// The return code of CONNACK; `None` if there is none.
pub(super) fn log_in(port: u16, level: u8, client_id: &str, user: Option<(&str, &str)>) -> (Raw, Option<u8>) {
    let mut raw = Raw::connect(port);
    let (name, password) = user.unzip();
    raw.write(&connect_packet(level, client_id, name, password));
    let code = raw.read_packet().map(|(_, body)| body[1]);
    (raw, code)
}

#[test]
fn the_same_clients_may_connect() {
    const USERS: [Option<(&str, &str)>; 5] = [
        None,
        Some(("alice", PASSWORD)),
        Some(("alice", "wrong")),
        Some(("nobody", PASSWORD)),
        Some(("", PASSWORD)),
    ];
    for text in [
        "",
        "password_file @/passwd",
        "acl_file @/acl",
        "listener PORT1",
        "listener PORT1\nallow_anonymous false",
        "listener PORT1\nallow_anonymous true",
        "listener PORT1\npassword_file @/passwd",
        "listener PORT1\npassword_file @/passwd\nallow_anonymous true",
        "port PORT1",
        "bind_address 127.0.0.1\nport PORT1\npassword_file @/passwd",
        "listener PORT1\nlistener PORT2\npassword_file @/passwd\nallow_anonymous true",
        "per_listener_settings true\nlistener PORT1\nlistener PORT2\nallow_anonymous true",
        "per_listener_settings true\nlistener PORT1\npassword_file @/passwd\nlistener PORT2\nallow_anonymous true",
        "per_listener_settings true\nlistener PORT1\nallow_anonymous true\npassword_file @/passwd\nlistener PORT2",
    ] {
        compare(text, |conf| {
            let ports = if text.contains("PORT2") { 2 } else { 1 };
            let logins = conf.ports.iter().take(ports).flat_map(|port| USERS.map(|user| (port, user)));
            // An identifier for each: the connection of before may not have ended yet, and nobody may take its session.
            let logins = logins.enumerate();
            logins.map(|(n, (port, user))| log_in(*port, 4, &format!("c{n}"), user).1).collect::<Vec<_>>()
        });
    }
}

#[test]
fn the_same_client_identifiers_are_taken() {
    for text in [
        "listener PORT1\nallow_anonymous true",
        "listener PORT1\nallow_anonymous true\nallow_zero_length_clientid false",
        "listener PORT1\nallow_anonymous true\nclientid_prefixes ab",
        "per_listener_settings true\nlistener PORT1\nallow_anonymous true\nallow_zero_length_clientid false\n\
         listener PORT2\nallow_anonymous true",
    ] {
        compare(text, |conf| {
            let ports = if text.contains("PORT2") { 2 } else { 1 };
            let ids =
                conf.ports.iter().take(ports).flat_map(|port| ["", "a", "ab", "abc"].map(|id| (*port, id)));
            let ids = ids.flat_map(|(port, id)| [4, 5].map(|level| (port, id, level)));
            // Only in: mosquitto has no reason code of MQTT 5 for it.
            ids.map(|(port, id, level)| log_in(port, level, id, None).1 == Some(0)).collect::<Vec<_>>()
        });
    }
}

/// What a subscriber gets, online, after an absence, and of what is retained.
#[test]
fn the_same_messages_are_delivered() {
    for options in [
        "",
        "queue_qos0_messages true",
        "upgrade_outgoing_qos true",
        "max_queued_messages 0\nmax_inflight_messages 0",
        "message_size_limit 3",
        "allow_duplicate_messages false",
        "acl_file @/acl",
    ] {
        compare(&format!("listener PORT1\nallow_anonymous true\n{options}"), |conf| play(conf.ports[0]));
    }
}

fn play(port: u16) -> Vec<String> {
    let mut seen = Vec::new();
    let absent = || {
        let mut raw = Raw::connect(port);
        // As `connect_packet`, with a session that is kept.
        let mut packet = connect_packet(4, "absent", None, None);
        packet[9] = 0;
        raw.write(&packet);
        assert_eq!(raw.read_packet().unwrap().1[1], 0);
        raw
    };
    let mut subscriber = absent();
    subscriber.write(&subscribe_packet(4, 1, "a/#", 2));
    collect(&mut subscriber, "suback", &mut seen);
    subscriber.write(&[0xe0, 0]);
    assert!(subscriber.read_packet().is_none());
    let (mut publisher, _) = log_in(port, 4, "publisher", None);
    for (number, payload) in ["one", "two", "three", "four", "five", "six"].into_iter().enumerate() {
        let qos = u8::try_from(number % 2).unwrap();
        let mut packet = publish_packet(4, qos, 7, &format!("a/{number}"), payload.as_bytes());
        packet[0] |= u8::from(number == 3);
        publisher.write(&packet);
        if qos > 0 {
            assert_eq!(publisher.read_packet().unwrap().0, 0x40, "{payload}");
        }
    }
    collect(&mut publisher, "published", &mut seen);
    collect(&mut absent(), "absent", &mut seen);
    let (mut late, _) = log_in(port, 4, "late", None);
    late.write(&subscribe_packet(4, 1, "#", 1));
    late.write(&subscribe_packet(4, 2, "a/+", 0));
    collect(&mut late, "late", &mut seen);
    seen
}

/// Notes the messages that come before the answer to a ping, and acknowledges them.
pub(super) fn collect(raw: &mut Raw, what: &str, seen: &mut Vec<String>) {
    // Twice: what is on its way after an acknowledgement comes before the second answer.
    for _ in 0..8 {
        raw.write(&[0xc0, 0]);
        loop {
            let (first, body) = raw.read_packet().unwrap();
            match first >> 4 {
                13 => break,
                3 => {
                    let length = usize::from(body[1]);
                    let (topic, rest) = body[2..].split_at(length);
                    let qos = first >> 1 & 3;
                    let payload = if qos > 0 { &rest[2..] } else { rest };
                    match qos {
                        1 => raw.write(&[0x40, 2, rest[0], rest[1]]),
                        2 => raw.write(&[0x50, 2, rest[0], rest[1]]),
                        _ => {}
                    }
                    let (topic, payload) = (String::from_utf8_lossy(topic), String::from_utf8_lossy(payload));
                    seen.push(format!("{what}: {topic} {payload} QoS {qos} retain {}", first & 1));
                }
                6 => raw.write(&[0x70, 2, body[0], body[1]]),
                other => seen.push(format!("{what}: packet {other} {body:?}")),
            }
        }
    }
}

/// What `import` prints does what the file did.
#[test]
fn the_imported_file_does_the_same() {
    let text = "per_listener_settings true\npersistence true\npersistence_location @\nlistener PORT1 127.0.0.1\n\
                password_file @/passwd\nlistener PORT2 127.0.0.1\nallow_anonymous true\nmax_qos 1\nautosave_interval 5\n";
    let conf = Conf::write(Reader::Gaugeline, text, &files());
    let path = conf.path("m.conf").display().to_string();
    let imported = gaugeline(&["import", &path]).successful().stdout;
    assert!(imported.contains("# What has no equivalent:\n#   "), "{imported}");
    assert!(imported.contains("m.conf:9: `autosave_interval` is ignored"), "{imported}");
    std::fs::write(conf.path("broker.toml"), imported).unwrap();
    let checked = gaugeline(&["check", "-c", &conf.path("broker.toml").display().to_string()]).successful();
    assert!(checked.stdout.contains("anonymous clients refused), 127.0.0.1:"), "{}", checked.stdout);
    let checked = gaugeline(&["check", "-c", &path]).successful().stdout;
    assert!(checked.contains("every other line is honoured"), "{checked}");
}

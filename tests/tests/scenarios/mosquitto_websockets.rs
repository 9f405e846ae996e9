//! A listener of mosquitto.conf with `protocol websockets` opens the same connections at gaugeline and at mosquitto 2.1.
//! Debian's 2.0 is built without them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use gaugeline_tests::{
    conf::{Conf, Reader},
    mqtt::connect_packet,
    process::Process,
    reference::{Version, references},
};

use crate::mosquitto_conf::files;

/// What a client sends to open a WebSocket; `Name: value` here replaces the line of this name, `Name:` alone removes it.
const REQUEST: [&str; 6] = [
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: mqtt",
];

/// The first lines of requests, the lines in which they differ from [`REQUEST`], and whether gaugeline opens a connection
/// and mosquitto does.
const OPENINGS: &[(&str, &[&str], bool, bool)] = &[
    ("GET /mqtt HTTP/1.1", &[], true, true),
    ("GET / HTTP/1.1", &[], true, true),
    ("GET /a?b=c HTTP/1.1", &[], true, true),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Protocol: mqttv3.1"], true, true),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Protocol: foo"], false, false),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Protocol: MQTT"], false, false),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Protocol:"], false, false),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Key:"], false, false),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Version: 8"], false, false),
    ("GET /mqtt HTTP/1.1", &["Upgrade: WebSocket"], true, true),
    ("GET /mqtt HTTP/1.1", &["Upgrade:"], false, false),
    ("GET /mqtt HTTP/1.1", &["Connection: keep-alive, Upgrade"], true, true),
    ("GET /mqtt HTTP/1.1", &["Connection:"], false, false),
    ("GET /mqtt HTTP/1.1", &["Host:"], true, true),
    ("POST /mqtt HTTP/1.1", &[], false, false),
    ("GET /mqtt HTTP/1.1", &["Origin: http://good.example"], true, true),
    ("GET /mqtt HTTP/1.1", &["Origin: http://evil.example"], false, false),
    ("GET /mqtt HTTP/1.1", &["Origin: http://good.example:81"], false, false),
    ("GET /mqtt HTTP/1.1", &["Origin: null"], false, false),
    // Each in config/MOSQUITTO.md.
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Protocol: foo, mqtt"], true, false),
    ("GET /mqtt HTTP/1.1", &["Origin: HTTP://GOOD.example"], true, false),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Key: abc"], false, true),
    ("GET /mqtt HTTP/1.1", &["Sec-WebSocket-Version:"], false, true),
    ("GET /mqtt HTTP/1.0", &[], false, true),
];

const CONF: &str = "listener PORT1 127.0.0.1\nprotocol websockets\nwebsockets_origin http://good.example\nallow_anonymous true\n";

/// A connection that asks to become a WebSocket, and the first line of the answer; nothing if there is none.
fn open(port: u16, first: &str, changes: &[&str]) -> (TcpStream, String) {
    let name = |line: &str| line.split_once(':').unwrap().0.to_owned();
    let kept = REQUEST.iter().filter(|line| !changes.iter().any(|change| name(change) == name(line)));
    let lines = kept.chain(changes).filter(|line| !line.ends_with(':'));
    let text = lines.fold(format!("{first}\r\n"), |text, line| text + line + "\r\n") + "\r\n";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
        answer.push(byte[0]);
    }
    let answer = String::from_utf8_lossy(&answer);
    (stream, answer.lines().next().unwrap_or_default().to_owned())
}

fn start(reader: Reader) -> (Conf, Process) {
    let conf = Conf::write(reader, CONF, &files());
    let process = conf.start();
    (conf, process)
}

/// Gaugeline, and mosquitto 2.1 if it is there.
fn readers() -> impl Iterator<Item = Reader> {
    let newer = references().iter().filter(|reference| reference.version == Version::V2_1);
    [Reader::Gaugeline].into_iter().chain(newer.map(Reader::Mosquitto))
}

#[test]
fn the_same_websockets_are_opened() {
    for reader in readers() {
        let (conf, _process) = start(reader);
        for (first, changes, ours, theirs) in OPENINGS {
            let expected = if matches!(reader, Reader::Gaugeline) { ours } else { theirs };
            let (_, answer) = open(conf.ports[0], first, changes);
            assert_eq!(answer.contains(" 101 "), *expected, "{first} {changes:?}: {answer} {reader:?}");
        }
    }
}

/// A frame of a client; the mask changes nothing.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let header = if masked { vec![first, length | 0x80, 0, 0, 0, 0] } else { vec![first, length] };
    [&header, payload].concat()
}

#[test]
fn the_same_frames_are_read() {
    const BINARY: u8 = 0x82;
    let connect = connect_packet(4, "c", None, None);
    let (head, tail) = connect.split_at(5);
    let ping = [0xc0, 0];
    let cases = [
        ("one frame", frame(BINARY, true, &connect)),
        ("two packets in a frame", frame(BINARY, true, &[&connect, &ping[..]].concat())),
        ("a packet in two frames", [frame(BINARY, true, head), frame(BINARY, true, tail)].concat()),
        ("a fragmented message", [frame(0x02, true, head), frame(0x80, true, tail)].concat()),
        (
            "a ping within a fragmented message",
            [frame(0x02, true, head), frame(0x89, true, b"x"), frame(0x80, true, tail)].concat(),
        ),
        ("an empty frame first", [frame(BINARY, true, b""), frame(BINARY, true, &connect)].concat()),
        ("close", frame(0x88, true, &[3, 232])),
        ("text", frame(0x81, true, &connect)),
        ("unmasked", frame(BINARY, false, &connect)),
        ("reserved bits", frame(0xc2, true, &connect)),
        ("an unknown kind", frame(0x83, true, &connect)),
    ];
    let mut seen = Vec::new();
    for reader in readers() {
        let (conf, _process) = start(reader);
        let see = |(name, bytes): &(&'static str, Vec<u8>)| {
            let (mut stream, answer) = open(conf.ports[0], "GET /mqtt HTTP/1.1", &[]);
            assert!(answer.contains(" 101 "), "{answer}");
            stream.write_all(bytes).unwrap();
            (*name, is_connected(&mut stream))
        };
        seen.push(cases.iter().map(see).collect::<Vec<_>>());
    }
    if let [ours, theirs] = seen.as_mut_slice() {
        // Each in config/MOSQUITTO.md.
        for (name, connects) in theirs.iter_mut() {
            match *name {
                "unmasked" => assert!(std::mem::replace(connects, false), "mosquitto takes it still"),
                "an empty frame first" => assert!(!std::mem::replace(connects, true), "it does not still"),
                _ => {}
            }
        }
        assert_eq!(ours, theirs, "here and at mosquitto");
    }
}

/// Whether CONNACK comes, in whatever frames, and neither a frame that closes nor the end.
fn is_connected(stream: &mut TcpStream) -> bool {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|read| read > 0) {
        answer.push(byte[0]);
        if answer.ends_with(&[0x20, 2, 0, 0]) {
            return true;
        }
        if answer.last() == Some(&0x88) {
            return false;
        }
    }
    false
}

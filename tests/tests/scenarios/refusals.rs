//! What a client may not do is refused as the standard says, and each refusal is one line of the log that names the
//! client, the user, the address and the reason.

use std::process::Command;

use gaugeline_tests::{
    home::Home,
    mqtt::{Raw, connect_packet, publish_packet, subscribe_packet},
    process::{Process, run},
    requirement,
};

/// MQTT 3.1, 3.1.1 and 5.0, as CONNECT names them.
const LEVELS: [u8; 3] = [3, 4, 5];
/// The CONNACK for bad credentials: session present, return or reason code, and in MQTT 5 the length of properties.
const NOT_AUTHORIZED_V3: u8 = 5;
const NOT_AUTHORIZED: u8 = 0x87;

/// The only warning about this client, with everything that it has to name.
fn expect_one_line(broker: &Process, client: &str, parts: &[&str]) {
    let name = format!("client=\"{client}\" ");
    let line = broker.wait_for_log(&["WARN", &name]);
    for part in parts {
        assert!(line.contains(part), "`{part}` is not in: {line}");
    }
    let lines = broker.log_lines(&["WARN", &name]);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

/// Connects as `sensor` with its password.
fn log_in(home: &Home, level: u8, client: &str, user: &str) -> Raw {
    let mut raw = Raw::connect(home.plain_port);
    raw.write(&connect_packet(level, client, Some(user), Some(&home.secret(user))));
    let (first, body) = raw.read_packet().unwrap();
    assert_eq!((first, body[1]), (0x20, 0), "accepted");
    raw
}

/// [MQTT-3.2.2-5] of 3.1.1 and [MQTT-3.2.2-7] of 5.0: after a refusal the server closes the connection.
#[test]
fn bad_credentials() {
    let home = Home::new();
    let broker = home.broker();
    let cases = [
        ("wrong", Some("sensor"), Some("not the password"), "wrong password"),
        ("unknown", Some("nobody"), Some("not the password"), "unknown user"),
        ("no-password", Some("sensor"), None, "no password"),
        ("anonymous", None, None, "no user name"),
    ];
    for level in LEVELS {
        for (name, user, password, reason) in cases {
            let client = format!("{name}-{level}");
            let mut raw = Raw::connect(home.plain_port);
            raw.write(&connect_packet(level, &client, user, password));
            let (first, body) = raw.read_packet().unwrap();
            let code = if level == 5 { NOT_AUTHORIZED } else { NOT_AUTHORIZED_V3 };
            assert_eq!((first, body[0], body[1]), (0x20, 0, code), "{client}");
            assert_eq!(raw.read_packet(), None, "{client}: the connection is closed");
            let user = format!("user=\"{}\"", user.unwrap_or("-"));
            expect_one_line(&broker, &client, &[&user, &format!("address={}", raw.address()), reason]);
        }
    }
    assert_eq!(home.metric("gaugeline_connections_refused_total", "not_authorized"), 12.0);
}

#[test]
fn an_unknown_authority() {
    let (home, stranger) = (Home::new(), Home::new());
    let broker = home.broker();
    let Some(program) = requirement::program("mosquitto_pub") else { return };
    for version in ["tlsv1.2", "tlsv1.3"] {
        let mut command = Command::new(&program);
        command.args(["-h", "localhost", "-p", &home.tls_port.to_string(), "--cafile"]);
        command.arg(stranger.path("pki/ca.crt")).args(["--tls-version", version]);
        command.args(["-u", "sensor", "-P", &home.secret("sensor"), "-t", "sensors/a/b", "-m", "1"]);
        let ended = run("mosquitto_pub", &mut command);
        assert_ne!(ended.code, Some(0), "{ended:?}");
    }
    // Neither TLS nor MQTT has said who it is by then.
    let lines = gaugeline_tests::wait::until("two refusals", || {
        Some(broker.log_lines(&["WARN", "TLS handshake"])).filter(|lines| lines.len() >= 2)
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        for part in ["client=\"-\" ", "user=\"-\"", "address=127.0.0.1:", "does not trust"] {
            assert!(line.contains(part), "`{part}` is not in: {line}");
        }
    }
}

/// The client of MQTT 5 is told [MQTT 5.0, section 3.4.2.1]; older ones get the acknowledgement that keeps them going.
/// The connection stays, and nothing is delivered.
#[test]
fn a_forbidden_publish() {
    let home = Home::new();
    let broker = home.broker();
    let mut bridge = log_in(&home, 5, "watcher", "bridge");
    bridge.write(&subscribe_packet(5, 1, "#", 0));
    assert_eq!(bridge.read_packet().unwrap(), (0x90, vec![0, 1, 0, 0]));
    for level in LEVELS {
        let client = format!("forbidden-{level}");
        let mut raw = log_in(&home, level, &client, "sensor");
        raw.write(&publish_packet(level, 1, 7, "actuators/door", b"open"));
        let expected = if level == 5 { vec![0, 7, NOT_AUTHORIZED] } else { vec![0, 7] };
        let (first, body) = raw.read_packet().unwrap();
        assert_eq!(first, 0x40);
        assert!(body == expected || body == [expected.clone(), vec![0]].concat(), "{body:02x?}");
        expect_one_line(
            &broker,
            &client,
            &["user=\"sensor\"", &format!("address={}", raw.address()), "publish", "actuators/door"],
        );
        raw.write(&publish_packet(level, 0, 0, "sensors/a/b", &[b'0' + level]));
        let (first, body) = bridge.read_packet().unwrap();
        assert_eq!((first, *body.last().unwrap()), (0x30, b'0' + level), "only the allowed message arrives");
    }
}

/// [MQTT 5.0, section 3.9.3] and [MQTT 3.1.1, section 3.9.3]; MQTT 3.1 has no code for it, only QoS 0.
#[test]
fn a_subscribe_that_can_match_nothing_readable() {
    let home = Home::new();
    let broker = home.broker();
    for (level, code) in [(3, 0), (4, 0x80), (5, NOT_AUTHORIZED)] {
        let client = format!("hopeless-{level}");
        let mut raw = log_in(&home, level, &client, "viewer");
        raw.write(&subscribe_packet(level, 9, "actuators/+", 1));
        let (first, body) = raw.read_packet().unwrap();
        assert_eq!(
            (first, &body[..2], *body.last().unwrap()),
            (0x90, &[0, 9][..], code),
            "MQTT level {level}"
        );
        expect_one_line(
            &broker,
            &client,
            &["user=\"viewer\"", &format!("address={}", raw.address()), "subscribe", "actuators/+"],
        );
        // A filter that matches something readable among other things is granted.
        raw.write(&subscribe_packet(level, 10, "+/a/b", 1));
        let (_, body) = raw.read_packet().unwrap();
        assert_eq!(body.last(), Some(&1), "MQTT level {level}");
    }
}

/// What a client calls itself or a topic must not look like another line of the log.
#[test]
fn a_client_cannot_forge_a_log_line() {
    let home = Home::new();
    let broker = home.broker();
    let forged = "x\n2026-01-01T00:00:00Z  INFO forged";
    let mut raw = Raw::connect(home.plain_port);
    raw.write(&connect_packet(4, forged, Some("no\nbody"), Some("x")));
    while raw.read_packet().is_some() {}
    let mut raw = log_in(&home, 4, forged, "sensor");
    raw.write(&publish_packet(4, 1, 1, "a/b\n2026-01-01T00:00:00Z  INFO forged", b"1"));
    raw.read_packet();
    raw.write(&subscribe_packet(4, 2, "a/b\n2026-01-01T00:00:00Z  INFO forged", 1));
    raw.read_packet();
    drop(raw);
    let ended = broker.terminate().successful();
    let forged = ended.stderr.lines().filter(|line| line.starts_with("2026-01-01")).collect::<Vec<_>>();
    assert_eq!(forged, Vec::<&str>::new(), "{}", ended.stderr);
    let refusals = ended.stderr.lines().filter(|line| line.contains("WARN") && line.contains("2026-01-01"));
    assert_eq!(refusals.count(), 3, "{}", ended.stderr);
}

/// `gaugeline pub` and `gaugeline sub` say what happened, with the exit status for it.
#[test]
fn the_own_clients_say_so() {
    let home = Home::new();
    let _broker = home.broker();
    let mut wrong = home.client("pub", "sensor");
    wrong.args(["-t", "sensors/a/b", "-m", "1"]);
    run("pub", &mut wrong).successful();

    home.write("secrets/sensor", "not the password\n");
    let ended = run("pub", &mut wrong).with_code(4);
    assert!(ended.stderr.contains("0x87"), "{}", ended.stderr);

    let mut forbidden = home.client("pub", "viewer");
    let ended = run("pub", forbidden.args(["-q", "1", "-t", "sensors/a/b", "-m", "1"])).with_code(4);
    assert!(ended.stderr.contains("0x87"), "{}", ended.stderr);

    let mut hopeless = home.client("sub", "viewer");
    let ended = run("sub", hopeless.args(["-t", "actuators/+"])).with_code(4);
    assert!(ended.stderr.contains("0x87"), "{}", ended.stderr);

    let stranger = Home::new();
    let mut untrusted = gaugeline_tests::gaugeline::command();
    untrusted.args(["pub", "-h", "localhost", "-p", &home.tls_port.to_string(), "--cafile"]);
    untrusted.arg(stranger.path("pki/ca.crt")).args(["-t", "sensors/a/b", "-m", "1"]);
    let ended = run("pub", &mut untrusted).with_code(1);
    assert!(ended.stderr.contains("--cafile"), "{}", ended.stderr);
}

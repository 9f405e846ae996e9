//! The procedures of mosquitto's tutorials, command for command, with gaugeline in mosquitto's place.

use gaugeline_tests::{
    process::{Process, run},
    python,
    tutorial::{Access, Tutorial},
    wait,
};

const THREE_USERS: &str = "writer:write-secret\nreader:read-secret\nboth:both-secret\n";
const THREE_RIGHTS: &str =
    "user writer\ntopic write #\n\nuser reader\ntopic read #\n\nuser both\ntopic readwrite #\n";

const WRITER: (&str, &str) = ("writer", "write-secret");
const READER: (&str, &str) = ("reader", "read-secret");
const BOTH: (&str, &str) = ("both", "both-secret");
const FOURTH: (&str, &str) = ("fourth", "fourth-secret");

const WITH_TLS: &str = "per_listener_settings true

listener PORT0
cafile @/ca.crt
certfile @/server.crt
keyfile @/server.key
allow_anonymous false
password_file @/mosquitto.passwd
acl_file @/mosquitto.acl
user root
";

fn over_tls(login: (&'static str, &'static str)) -> Access<'static> {
    Access { tls: true, login: Some(login), certificate: None }
}

/// A subscriber to everything, of whose subscription the broker knows.
fn subscriber(tutorial: &Tutorial, port: u16, name: &str, access: &Access<'_>) -> Option<Process> {
    let before = tutorial.subscriptions();
    let mut command = tutorial.client("mosquitto_sub", port, access)?;
    let process = Process::start(name, command.args(["-i", name, "-t", "#"]));
    wait::until("the subscription", || (tutorial.subscriptions() > before).then_some(()));
    Some(process)
}

/// Whether `mosquitto_pub` says that the message is accepted.
fn publishes(tutorial: &Tutorial, port: u16, access: &Access<'_>, topic: &str, payload: &str) -> bool {
    let mut command = tutorial.client("mosquitto_pub", port, access).unwrap();
    let ended = run("mosquitto_pub", command.args(["-V", "5", "-t", topic, "-m", payload]));
    // It ends well even where the broker refuses the message.
    ended.code == Some(0) && !ended.stderr.to_lowercase().contains("not authorized")
}

fn expect(subscriber: &Process, payload: &str) {
    wait::until(payload, || subscriber.stdout().lines().any(|line| line == payload).then_some(()));
}

fn hashes(tutorial: &Tutorial, prefix: &str) -> usize {
    let text = tutorial.read("mosquitto.passwd");
    text.lines().filter(|line| line.split_once(':').is_some_and(|(_, hash)| hash.starts_with(prefix))).count()
}

#[test]
fn a_listener_with_tls_three_users_and_a_fourth_without_a_restart() {
    let Some(tutorial) = Tutorial::new() else { return };
    tutorial.make_authority();
    tutorial.make_certificate("server", "localhost");
    tutorial.write("mosquitto.acl", THREE_RIGHTS);
    tutorial.write("mosquitto.conf", WITH_TLS);
    tutorial.write("mosquitto.passwd", THREE_USERS);
    // What is still plain text is found before anybody tries to log in.
    let refused = tutorial.gaugeline(&["check", "-c", "mosquitto.conf"]).with_code(3);
    assert!(refused.stderr.contains("mosquitto.passwd:1: "), "{}", refused.stderr);
    tutorial.gaugeline(&["passwd", "-U", "mosquitto.passwd"]).successful();
    assert_eq!(hashes(&tutorial, "$7$"), 3);
    tutorial.gaugeline(&["check", "-c", "mosquitto.conf"]).successful();

    let broker = tutorial.broker();
    let port = tutorial.ports[0];
    let Some(reader) = subscriber(&tutorial, port, "reader", &over_tls(READER)) else { return };
    let both = subscriber(&tutorial, port, "both", &over_tls(BOTH)).unwrap();
    // Granted, as mosquitto grants it; but nothing comes.
    let writer = subscriber(&tutorial, port, "writer", &over_tls(WRITER)).unwrap();
    for (login, accepted) in
        [(WRITER, true), (BOTH, true), (READER, false), (("writer", "wrong"), false), (FOURTH, false)]
    {
        let payload = format!("from {} with {}", login.0, login.1);
        assert_eq!(publishes(&tutorial, port, &over_tls(login), "a/b", &payload), accepted, "{login:?}");
        if accepted {
            expect(&reader, &payload);
            expect(&both, &payload);
        }
    }
    assert!(!publishes(&tutorial, port, &Access { tls: true, ..Access::default() }, "a", "anonymous"));
    assert!(!publishes(&tutorial, port, &Access { tls: false, ..over_tls(BOTH) }, "a", "without TLS"));

    tutorial.gaugeline(&["passwd", "-b", "mosquitto.passwd", FOURTH.0, FOURTH.1]).successful();
    tutorial.append("mosquitto.acl", "\nuser fourth\ntopic readwrite +\n");
    broker.wait_for_log(&["reloaded (file change)", "users=4"]);
    wait::until("the fourth user's right", || {
        let accepted = publishes(&tutorial, port, &over_tls(FOURTH), "one", "first of the fourth");
        accepted.then_some(())
    });
    expect(&reader, "first of the fourth");
    assert!(!publishes(&tutorial, port, &over_tls(FOURTH), "two/levels", "too deep"));
    let fourth = subscriber(&tutorial, port, "fourth", &over_tls(FOURTH)).unwrap();
    assert!(publishes(&tutorial, port, &over_tls(WRITER), "two/levels", "not for the fourth"));
    assert!(publishes(&tutorial, port, &over_tls(WRITER), "one", "the last"));
    for client in [&reader, &both, &fourth] {
        expect(client, "the last");
    }
    assert!(!fourth.stdout().contains("not for the fourth"));
    for refused in ["from reader", "too deep", "anonymous", "without TLS"] {
        assert!(!both.stdout().contains(refused), "{refused}");
    }
    assert!(!writer.stdout().contains("from both"));
    for client in ["reader", "both", "writer"] {
        let id = format!("client=\"{client}\"");
        assert_eq!(broker.log_lines(&["disconnected", &id]), Vec::<String>::new());
    }
}

/// The hash of mosquitto before 2.0, in a file that has all kinds of lines.
#[test]
fn plain_text_becomes_what_an_old_mosquitto_reads() {
    let Some(tutorial) = Tutorial::new() else { return };
    tutorial.write("mosquitto.passwd", &format!("# users\n\n{THREE_USERS}"));
    tutorial.gaugeline(&["passwd", "-U", "--compat", "1.6", "mosquitto.passwd"]).successful();
    assert_eq!(hashes(&tutorial, "$6$"), 3);
    tutorial.gaugeline(&["passwd", "-b", "mosquitto.passwd", FOURTH.0, FOURTH.1]).successful();
    // Whoever does it once more locks nobody out.
    tutorial.gaugeline(&["passwd", "-U", "mosquitto.passwd"]).successful();
    assert_eq!((hashes(&tutorial, "$6$"), hashes(&tutorial, "$7$")), (3, 1));
    assert!(tutorial.read("mosquitto.passwd").starts_with("# users\n\nwriter:$6$"));
    tutorial
        .write("mosquitto.conf", "listener PORT0 127.0.0.1\npassword_file @/mosquitto.passwd\nuser root\n");
    let _broker = tutorial.broker();
    for login in [WRITER, READER, BOTH, FOURTH] {
        let Some(mut command) =
            tutorial.client("mosquitto_pub", tutorial.ports[0], &Access { tls: false, ..over_tls(login) })
        else {
            return;
        };
        run("mosquitto_pub", command.args(["-t", "a", "-m", "1"])).successful();
    }
}

const AT_HOME_AND_OUTSIDE: &str = "per_listener_settings true
persistence true
persistence_location @/
user root

listener PORT0 127.0.0.1
password_file @/mosquitto.passwd

listener PORT1
cafile @/ca.crt
certfile @/server.crt
keyfile @/server.key
require_certificate true
password_file @/mosquitto.passwd
";

/// With a name in the certificate's extensions, as Python and browsers want it.
fn make_named_certificate(tutorial: &Tutorial, file: &str) {
    tutorial.write("names", "subjectAltName=DNS:localhost\n");
    tutorial.openssl(&format!(
        "req -newkey rsa:2048 -nodes -keyout {file}.key -out {file}.csr -subj /CN=localhost"
    ));
    tutorial.openssl(&format!(
        "x509 -req -in {file}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {file}.crt -days 90 -extfile names"
    ));
}

#[test]
fn a_password_at_home_and_a_certificate_too_from_outside() {
    let Some(tutorial) = Tutorial::new() else { return };
    tutorial.make_authority();
    make_named_certificate(&tutorial, "server");
    tutorial.make_certificate("client", "phone");
    tutorial.write("mosquitto.passwd", THREE_USERS);
    tutorial.gaugeline(&["passwd", "-U", "mosquitto.passwd"]).successful();
    tutorial.write("mosquitto.conf", AT_HOME_AND_OUTSIDE);
    let broker = tutorial.broker();
    let [home, outside, _] = tutorial.ports;
    let at_home = Access { login: Some(BOTH), ..Access::default() };
    let from_outside = Access { tls: true, certificate: Some("client"), login: Some(BOTH) };
    let Some(subscriber) = subscriber(&tutorial, outside, "phone", &from_outside) else { return };
    for (port, access, accepted) in [
        (home, at_home, true),
        (home, Access { login: None, ..at_home }, false),
        (home, Access { login: Some(("both", "wrong")), ..at_home }, false),
        (outside, from_outside, true),
        (outside, Access { certificate: None, ..from_outside }, false),
        (outside, Access { login: None, ..from_outside }, false),
        (outside, Access { login: Some(("both", "wrong")), ..from_outside }, false),
        (outside, at_home, false),
    ] {
        let payload = format!("{port} {access:?}");
        assert_eq!(publishes(&tutorial, port, &access, "a", &payload), accepted, "{payload}");
        if accepted {
            expect(&subscriber, &payload);
        }
    }
    for version in ["3.1.1", "5.0"] {
        let Some(mut paho) = python::script("publish_paho.py", "paho") else { return };
        paho.current_dir(tutorial.directory()).args(["--version", version, "--port", &outside.to_string()]);
        tutorial.write("secret", BOTH.1);
        paho.args(["--ca", "ca.crt", "--cert", "client.crt", "--key", "client.key", "--user", BOTH.0]);
        run("paho", paho.args(["--password-file", "secret", "a", version])).successful();
        expect(&subscriber, version);
    }
    // A renewal: the new key and the new certificate, and at no time one without the other for long.
    make_named_certificate(&tutorial, "renewed");
    tutorial.rename("renewed.key", "server.key");
    tutorial.rename("renewed.crt", "server.crt");
    wait::until("the new certificate", || tutorial.shows(outside, "server.crt").then_some(()));
    assert!(publishes(&tutorial, home, &at_home, "a", "after the renewal"));
    expect(&subscriber, "after the renewal");
    assert_eq!(broker.log_lines(&["disconnected", "client=\"phone\""]), Vec::<String>::new());
}

//! `gaugeline bench` against the real mosquitto: what it counts, and how it explains a refusal.

mod certificates;
mod mosquitto;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use serde_json::Value;

use crate::{certificates::Certificates, mosquitto::Mosquitto};

/// Runs `gaugeline bench` with these arguments, separated by blanks.
fn bench(port: u16, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gaugeline"))
        .args(["bench", "--quiet", "--port", &port.to_string()])
        .args(arguments.split_whitespace())
        .output()
        .expect("gaugeline starts")
}

/// The JSON result of a run that ends with `status`.
fn report(port: u16, arguments: &str, status: i32) -> Value {
    let output = bench(port, &format!("--json {arguments}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

/// What a run says that cannot be made.
fn refusal(port: u16, arguments: &str, status: i32) -> String {
    let output = bench(port, arguments);
    assert_eq!(output.status.code(), Some(status), "{arguments}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn every_message_is_counted_in_every_shape() {
    let broker = Mosquitto::start("allow_anonymous true\nmax_queued_messages 0\n");
    for (arguments, published, copies, connected) in [
        ("--qos 0 --publishers 20 --count 5000", 5000, 1, 21),
        ("--qos 1 --publishers 20 --subscribers 3 --count 5000", 5000, 3, 23),
        ("--qos 2 --publishers 20 --count 2000 --mqtt 5", 2000, 1, 21),
        ("--shape fan-out --qos 1 --subscribers 50 --count 100 --mqtt 5", 100, 50, 51),
        ("--shape fan-out --qos 0 --publishers 2 --subscribers 50 --count 100", 100, 50, 52),
        ("--shape pairs --qos 2 --publishers 10 --count 3003", 3003, 1, 20),
        ("--shape pairs --qos 1 --publishers 10 --count 3000 --threads 2", 3000, 1, 20),
        ("--qos 1 --publishers 5 --count 500 --payload 70000", 500, 1, 6),
        ("--qos 1 --publishers 5 --count 500 --payload 15", 500, 1, 6),
        ("--qos 1 --publishers 5 --count 500 --persistent", 500, 1, 6),
        ("--qos 1 --publishers 5 --count 500 --rate 5000", 500, 1, 6),
        ("--qos 1 --publishers 5 --count 500 --flood", 500, 1, 6),
        ("--qos 1 --publishers 5 --count 500 --outstanding 1 --window 1", 500, 1, 6),
        ("--shape publish-only --qos 1 --publishers 5 --count 500", 500, 0, 5),
    ] {
        let report = report(broker.port, arguments, 0);
        assert_eq!(report["published"], published, "{arguments}: {report}");
        assert_eq!(report["delivered"], published * copies, "{arguments}: {report}");
        assert_eq!(report["connected"], connected, "{arguments}: {report}");
        for nothing in ["lost", "repeated", "late", "foreign", "refused", "unacknowledged", "disconnected"] {
            assert_eq!(report[nothing], 0, "{arguments}: {nothing} in {report}");
        }
        let measured = copies > 0 && !arguments.contains("--payload 15");
        assert_eq!(report["latency_microseconds"]["p50"].is_number(), measured, "{arguments}: {report}");
    }
}

#[test]
fn messages_wait_for_subscribers_that_are_away() {
    let broker = Mosquitto::start("allow_anonymous true\nmax_queued_messages 0\n");
    for arguments in [
        "--offline --qos 1 --publishers 5 --subscribers 2 --count 1000",
        "--offline --qos 2 --publishers 5 --count 1000 --mqtt 5",
        "--offline --qos 1 --shape pairs --publishers 5 --count 1000 --threads 2",
    ] {
        let report = report(broker.port, arguments, 0);
        assert_eq!(report["acknowledged"], 1000, "{arguments}: {report}");
        assert_eq!(
            (&report["lost"], &report["sessions_lost"]),
            (&0.into(), &0.into()),
            "{arguments}: {report}"
        );
    }
}

#[test]
fn a_broker_that_drops_messages_is_found_out() {
    let broker =
        Mosquitto::start("allow_anonymous true\nmax_queued_messages 100\nmax_inflight_messages 20\n");
    let report = report(broker.port, "--offline --qos 1 --publishers 1 --count 1000", 3);
    let lost = report["lost"].as_u64().expect("a number");
    assert!((800..1000).contains(&lost), "{report}");
    assert_eq!(report["acknowledged"], 1000);
}

#[test]
fn the_cost_of_the_broker_is_read() {
    let broker = Mosquitto::start("allow_anonymous true\nmax_queued_messages 0\n");
    let pid = broker.pid();
    let report = report(broker.port, &format!("--qos 1 --count 200000 --pid {pid}"), 0);
    for process in ["broker", "generator"] {
        let cost = &report[process];
        assert!(cost["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
        assert!(cost["cpu_seconds_per_million"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
        assert!(cost["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{report}");
    }
    assert!(refusal(broker.port, "--pid 4294967295", 1).contains("no such process"));
}

#[test]
fn connects_and_idle_connections_are_measured() {
    let broker = Mosquitto::start("allow_anonymous true\n");
    for arguments in
        ["--shape connect --count 500", "--shape connect --count 500 --threads 2 --connections 7 --mqtt 5"]
    {
        let report = report(broker.port, arguments, 0);
        assert_eq!(report["connected"], 500, "{arguments}: {report}");
        assert!(
            report["connects_per_second"].as_f64().is_some_and(|rate| rate > 0.0),
            "{arguments}: {report}"
        );
    }
    let pid = broker.pid();
    let report = report(broker.port, &format!("--shape idle --connections 300 --seconds 0.1 --pid {pid}"), 0);
    assert_eq!(report["connected"], 300, "{report}");
    assert!(report["broker"]["memory_bytes_per_connection"].is_number(), "{report}");
}

#[test]
fn tls_and_passwords_are_spoken_and_their_refusals_explained() {
    let certificates = Certificates::new();
    let broker = Mosquitto::start_with_user(
        "sensor",
        "secret",
        &(certificates.mosquitto_lines() + "max_queued_messages 0\n"),
    );
    let directory = certificates.path().display();
    let login = format!("--user sensor --password-file {directory}/password");
    std::fs::write(certificates.path().join("password"), "secret\n").expect("written");
    let ca = format!("--host localhost --tls --cafile {directory}/ca.crt");
    for arguments in [
        format!("{ca} {login} --qos 1 --publishers 5 --count 2000"),
        format!("{ca} {login} --qos 1 --publishers 5 --count 2000 --payload 40000 --threads 2"),
        format!("{ca} {login} --publishers 5 --count 2000 --mqtt 5"),
        "--tls --insecure --user sensor --password secret --publishers 5 --count 2000".to_owned(),
    ] {
        let report = report(broker.port, &arguments, 0);
        assert_eq!((&report["delivered"], &report["tls"]), (&2000.into(), &true.into()), "{arguments}");
    }
    let storm = report(broker.port, &format!("{ca} {login} --shape connect --count 50"), 0);
    assert_eq!(storm["connected"], 50, "{storm}");

    for (arguments, advice) in [
        (format!("{ca} --user sensor --password wrong"), "--user and --password-file"),
        (format!("{ca} --mqtt 5"), "--user and --password-file"),
        (format!("{ca} --shape connect"), "--user and --password-file"),
        (format!("--tls --cafile {directory}/ca.crt {login}"), "use as --host a name"),
        (
            format!("--host localhost --tls --cafile {directory}/other.crt {login}"),
            "--cafile does not hold the authority",
        ),
        (login, "does the port expect --tls"),
    ] {
        let text = refusal(broker.port, &arguments, 1);
        assert!(text.contains(advice), "{arguments}: {text}");
    }
}

#[test]
fn what_an_acl_forbids_is_explained() {
    let broker = Mosquitto::start_with_acl("topic readwrite allowed/#\n");
    let allowed =
        report(broker.port, "--topic-prefix allowed --publishers 2 --count 100 --mqtt 5 --qos 1", 0);
    assert_eq!(allowed["delivered"], 100, "{allowed}");
    // mosquitto grants each subscription and then delivers nothing.
    let silence = report(broker.port, "--topic-prefix forbidden --publishers 2 --count 100", 3);
    assert_eq!((&silence["published"], &silence["delivered"]), (&100.into(), &0.into()), "{silence}");
    // Publishing is refused message by message in MQTT 5.
    let publish = "--shape publish-only --topic-prefix forbidden --mqtt 5 --qos 1 --publishers 2 --count 100";
    let refused = report(broker.port, publish, 0);
    assert_eq!((&refused["refused"], &refused["acknowledged"]), (&100.into(), &0.into()), "{refused}");
    assert!(refused["first_problem"].as_str().is_some_and(|text| text.contains("0x87")), "{refused}");
}

#[test]
fn a_refused_subscription_is_explained() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        // CONNACK, and SUBACK with "not authorized", each behind what it answers.
        for answer in [b"\x20\x03\x00\x00\x00".as_slice(), b"\x90\x04\x00\x01\x00\x87"] {
            assert!(client.read(&mut [0; 1000]).unwrap() > 0);
            client.write_all(answer).unwrap();
        }
        client.read_to_end(&mut Vec::new())
    });
    let text = refusal(port, "--mqtt 5 --shape pairs --subscribers 1", 1);
    assert!(
        text.contains("subscription refused with code 0x87") && text.contains("--topic-prefix"),
        "{text}"
    );
    let _end_of_stream_or_reset = broker.join().unwrap();
}

#[test]
fn where_nobody_listens_the_run_says_so() {
    let broker = Mosquitto::start("allow_anonymous true\n");
    let port = broker.port;
    drop(broker);
    for shape in ["fan-in", "connect", "idle"] {
        let text = refusal(port, &format!("--shape {shape}"), 1);
        assert!(text.contains("nobody listens"), "{text}");
    }
    assert!(refusal(port, "--host 192.0.2.1", 2).contains("--allow-remote"));
}

#[test]
fn the_table_is_for_people() {
    let broker = Mosquitto::start("allow_anonymous true\n");
    let output = bench(broker.port, "--publishers 2 --count 100 --qos 1");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for word in ["fan-in against 127.0.0.1", "published", "100 (", "lost", "latency", "p99.9", "microseconds"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
}

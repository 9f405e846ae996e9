//! The write APIs of InfluxDB 2 and 3, against stand-ins: see `stub` for what that proves.

use std::fs;

use gaugeline_tests::{
    home::Home,
    line_protocol,
    stub::{Reply, Stub},
    wait,
};

const TOKEN: &str = "secret-token";

/// Starts `gaugeline up` with these options and a token file.
fn up(home: &Home, stub: &Stub, options: &[&str]) -> gaugeline_tests::process::Process {
    let token_file = home.path("").with_file_name("token");
    fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let url = stub.url();
    let mut all = vec!["--influx", url.as_str(), "--token-file", token_file.to_str().unwrap()];
    all.extend(options);
    home.up(&all)
}

/// Waits until the stub has taken a line with each of these parts, and checks all lines.
fn wait_for_lines(stub: &Stub, parts: &[&str]) {
    wait::until(&format!("lines with {parts:?}"), || {
        let lines = stub.lines_taken();
        parts.iter().all(|part| lines.iter().any(|line| line.contains(part))).then_some(())
    });
    line_protocol::points_of(&(stub.lines_taken().join("\n") + "\n"));
}

#[test]
fn influxdb_2() {
    let (home, stub) = (Home::empty(), Stub::start());
    let up = up(&home, &stub, &["--org", "my home", "--bucket", "telemetry"]);
    home.publish("sensors/kitchen/temperature", "21.5");
    wait_for_lines(&stub, &["sensors,device=kitchen temperature=21.5 "]);
    for request in stub.writes() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v2/write"));
        assert_eq!(request.headers["authorization"], format!("Token {TOKEN}"));
        assert!(["my+home", "my%20home"].contains(&request.query["org"].as_str()), "{request:?}");
        assert_eq!(request.query["bucket"], "telemetry");
        assert_eq!(request.query["precision"], "ns");
    }
    // A server that is busy, one that is down behind its proxy, one that takes part of a batch.
    stub.reply(Reply::new(503, r#"{"code":"unavailable","message":"busy"}"#));
    stub.reply(Reply::new(502, "Bad Gateway"));
    home.publish("sensors/kitchen/temperature", "22.5");
    wait_for_lines(&stub, &["temperature=22.5 "]);
    up.terminate().successful();
}

#[test]
fn influxdb_2_refuses_one_line() {
    let (home, stub) = (Home::empty(), Stub::start());
    let _up = up(&home, &stub, &["--org", "home", "--bucket", "telemetry"]);
    // 2.x writes the rest of a batch with a type conflict, and names the first field that conflicts.
    let text = "failure writing points to database: partial write: field type conflict: input field \\\"v\\\" on \
                measurement \\\"sensors\\\" is type string, already exists as type float dropped=1";
    let reply = Reply::new(422, format!(r#"{{"code":"unprocessable entity","message":"{text}"}}"#));
    stub.reply(reply.clone());
    stub.reply(reply);
    home.publish("sensors/kitchen/v", "text");
    wait_for_dead_letter(&home, "sensors/kitchen/v");
    home.publish("sensors/kitchen/v", "1.5");
    wait_for_lines(&stub, &["sensors,device=kitchen v=1.5 "]);
}

#[test]
fn influxdb_3() {
    let (home, stub) = (Home::empty(), Stub::start());
    let up = up(&home, &stub, &["--db", "telemetry", "--v3"]);
    home.publish("sensors/kitchen/temperature", "21.5");
    wait_for_lines(&stub, &["sensors,device=kitchen temperature=21.5 "]);
    for request in stub.writes() {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v3/write_lp"));
        assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(request.query["db"], "telemetry");
        assert!(["ns", "nanosecond"].contains(&request.query["precision"].as_str()), "{request:?}");
    }
    stub.reply(Reply::new(500, ""));
    home.publish("sensors/kitchen/temperature", "22.5");
    wait_for_lines(&stub, &["temperature=22.5 "]);
    up.terminate().successful();
}

#[test]
fn influxdb_3_names_the_line_that_it_refuses() {
    let (home, stub) = (Home::empty(), Stub::start());
    let _up = up(&home, &stub, &["--db", "telemetry", "--v3"]);
    let text = "invalid column type for column 'v', expected iox::column_type::field::float, got \
                iox::column_type::field::string";
    stub.reply(Reply::new(
        400,
        format!(
            r#"{{"error":"partial write of line protocol occurred","data":[{{"error_message":"{text}","line_number":1,"original_line":"sensors,device=kitch"}}]}}"#
        ),
    ));
    home.publish("sensors/kitchen/v", "text");
    wait_for_dead_letter(&home, "sensors/kitchen/v");
    home.publish("sensors/kitchen/v", "1.5");
    wait_for_lines(&stub, &["sensors,device=kitchen v=1.5 "]);
}

/// A token that is refused is not the messages' fault: they wait until the file has the right one.
#[test]
fn a_refused_token_loses_nothing() {
    let (home, stub) = (Home::empty(), Stub::start());
    for _ in 0..3 {
        stub.reply(Reply::new(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#));
    }
    let _up = up(&home, &stub, &["--org", "home", "--bucket", "telemetry"]);
    home.publish("sensors/kitchen/v", "1.5");
    wait_for_lines(&stub, &["sensors,device=kitchen v=1.5 "]);
    assert!(!home.path("dead-letter/dead-letter.jsonl").exists() || dead_letters(&home).is_empty());
}

fn dead_letters(home: &Home) -> String {
    fs::read_to_string(home.path("dead-letter/dead-letter.jsonl")).unwrap_or_default()
}

fn wait_for_dead_letter(home: &Home, topic: &str) {
    let quoted = format!("\"topic\":\"{topic}\"");
    wait::until("the dead letter", || dead_letters(home).contains(&quoted).then_some(()));
}

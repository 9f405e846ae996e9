use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use super::*;
use crate::metrics::Metrics;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn serves_metrics_and_health() {
    let metrics = Metrics::new();
    metrics.bytes_sent.inc_by(7);
    let server = AdminServer::start(ANY, vec![metrics.clone(), metrics], Readiness::default()).unwrap();
    let (status, answer) = get(server.address(), "/metrics");
    assert_eq!(status, 200);
    assert!(answer.contains("gaugeline_bytes_sent_total 7\n"), "{answer}");
    assert!(answer.contains(OPEN_METRICS), "{answer}");
    assert_eq!(answer.matches("# EOF").count(), 1, "{answer}");
    assert_eq!(get(server.address(), "/healthz").0, 200);
    assert_eq!(get(server.address(), "/other").0, 404);
}

#[test]
fn readiness_names_what_is_missing() {
    let readiness = Readiness::default();
    let server = AdminServer::start(ANY, vec![], readiness.clone()).unwrap();
    assert_eq!(get(server.address(), "/readyz").0, 503);
    let (broker, bridge) = (readiness.component("broker"), readiness.component("bridge"));
    broker.ready();
    bridge.not_ready("InfluxDB \"telemetry\" does not answer");
    let (status, answer) = get(server.address(), "/readyz");
    assert_eq!(status, 503);
    let expected = r#"{"ready":false,"components":{"bridge":{"ready":false,"reason":"InfluxDB \"telemetry\" does not answer"},"broker":{"ready":true}}}"#;
    assert!(answer.contains(expected), "{answer}");
    bridge.ready();
    let (status, answer) = get(server.address(), "/readyz");
    assert_eq!(status, 200);
    assert!(answer.contains(r#"{"ready":true,"#), "{answer}");
}

#[test]
fn a_taken_address_is_named() {
    let taken = TcpListener::bind(ANY).unwrap();
    let address = taken.local_addr().unwrap();
    let error = AdminServer::start(address, vec![], Readiness::default()).unwrap_err();
    assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
}

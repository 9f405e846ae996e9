use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
};

use super::*;
use crate::metrics::Metrics;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    get_by(address, "localhost", path)
}

fn get_by(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
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

/// On loopback a strange name is one that was made to lead here; on a network it may be that of a container.
#[test]
fn a_name_that_leads_here_does_not_suffice_on_loopback() {
    let network = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    for (bind, strange) in [(ANY, 403), (network, 200)] {
        let readiness = Readiness::default();
        readiness.component("broker").ready();
        let server = AdminServer::start(bind, vec![], readiness).unwrap();
        for (host, path, expected) in [
            ("localhost:9883", "/metrics", 200),
            ("127.0.0.1", "/readyz", 200),
            ("[::1]:9883", "/metrics", 200),
            ("broker:9883", "/metrics", strange),
            ("evil.example", "/readyz", strange),
            ("evil.example", "/healthz", 200),
        ] {
            assert_eq!(get_by(server.address(), host, path).0, expected, "{bind} {host} {path}");
        }
    }
}

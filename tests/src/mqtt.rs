//! MQTT from outside: rumqttc for whole conversations, and bytes on a socket where the exact answer matters.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport, v5};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{home::Home, wait};

/// A broker that says nothing for this long has not understood.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// As much as the broker takes by default.
const PACKET_BYTES_MAX: usize = 2_000_000;
/// Requests that may wait in rumqttc.
const REQUESTS_MAX: usize = 1000;

/// rumqttc with MQTT 3.1.1 over TLS as one of the first users, with a clean session.
pub fn client_v3(home: &Home, user: &str, client_id: &str) -> (Client, Connection) {
    let mut options = MqttOptions::new(client_id, "localhost", home.tls_port);
    options.set_credentials(user, home.secret(user)).set_transport(Transport::tls_with_config(trust(home)));
    options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    Client::new(options, REQUESTS_MAX)
}

/// The same with MQTT 5.
pub fn client_v5(home: &Home, user: &str, client_id: &str) -> (v5::Client, v5::Connection) {
    let mut options = v5::MqttOptions::new(client_id, "localhost", home.tls_port);
    options.set_credentials(user, home.secret(user)).set_transport(Transport::tls_with_config(trust(home)));
    v5::Client::new(options, REQUESTS_MAX)
}

/// TLS that trusts the data directory's certificate authority and no other.
///
/// # Panics
/// If the directory has none.
pub fn tls(home: &Home) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(home.path("pki/ca.crt")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn trust(home: &Home) -> TlsConfiguration {
    TlsConfiguration::Rustls(tls(home))
}

/// Publishes these messages at QoS 1 on one connection with MQTT 3.1.1 and returns once all are acknowledged.
///
/// # Panics
/// If one of them is not.
pub fn publish_all(
    home: &Home,
    user: &str,
    client_id: &str,
    messages: impl Iterator<Item = (String, Vec<u8>)>,
) {
    let (client, mut connection) = client_v3(home, user, client_id);
    let messages = messages.collect::<Vec<_>>();
    let expected = messages.len();
    let publisher = std::thread::spawn(move || {
        for (topic, payload) in messages {
            client.publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < expected {
        match connection.recv_timeout(wait::PATIENCE) {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => acknowledged += 1,
            Ok(Ok(_)) => {}
            other => panic!("{acknowledged} of {expected} messages acknowledged, then {other:?}"),
        }
    }
    publisher.join().unwrap().disconnect().unwrap();
    while let Ok(Ok(event)) = connection.recv_timeout(wait::PATIENCE) {
        if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
            break;
        }
    }
}

/// A connection on which a test writes and reads bytes.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// Connects without TLS.
    ///
    /// # Panics
    /// If nothing listens there.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        Self(stream)
    }

    /// Where the broker sees it come from.
    ///
    /// # Panics
    /// If the system cannot tell.
    pub fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Writes.
    ///
    /// # Panics
    /// If the connection is lost.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Reads one packet: its first byte and its body. `None` at the end of the connection.
    ///
    /// # Panics
    /// If it is not whole or does not come.
    pub fn read_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut first = [0; 2];
        if self.0.read(&mut first[..1]).unwrap() == 0 {
            return None;
        }
        self.0.read_exact(&mut first[1..]).unwrap();
        assert!(first[1] < 0x80, "the tests expect short packets only, found {first:02x?}");
        let mut body = vec![0; usize::from(first[1])];
        self.0.read_exact(&mut body).unwrap();
        Some((first[0], body))
    }
}

/// CONNECT with a user name and a password, where given; `level` is 3, 4 or 5.
pub fn connect_packet(level: u8, client_id: &str, user: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let name = if level == 3 { "MQIsdp" } else { "MQTT" };
    let mut flags = 0x02;
    flags |= if user.is_some() { 0x80 } else { 0 };
    flags |= if password.is_some() { 0x40 } else { 0 };
    let mut body = text(name);
    body.extend([level, flags, 0, 60]);
    if level == 5 {
        body.push(0);
    }
    body.extend(text(client_id));
    body.extend(user.into_iter().chain(password).flat_map(text));
    packet(0x10, &body)
}

/// PUBLISH without properties.
pub fn publish_packet(level: u8, qos: u8, packet_id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    if level == 5 {
        body.push(0);
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

/// SUBSCRIBE to one filter.
pub fn subscribe_packet(level: u8, packet_id: u16, filter: &str, qos: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    if level == 5 {
        body.push(0);
    }
    body.extend(text(filter));
    body.push(qos);
    packet(0x82, &body)
}

fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    assert!(body.len() < 0x80, "the tests make short packets only");
    let mut packet = vec![first_byte, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

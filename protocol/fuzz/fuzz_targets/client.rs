//! The client session under arbitrary operations: it does not panic, sends whole valid packets alone, and never counts
//! below zero.

#![no_main]

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use gaugeline_protocol::{
    QoS, ReasonCode, TopicFilter, TopicName, Version,
    client::{Client, Event, Publication, Receipt},
    codec::{Limits, frame},
    packet::{ConnAck, Connect, ConnectProperties, SubscribeFilter, decode},
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Operation {
    Connect,
    Accept { session_present: bool },
    Server(Vec<u8>),
    Publish(u8),
    Subscribe,
    Unsubscribe,
    Acknowledge(u8),
    Wait(u16),
    Transmit,
    Disconnect,
}

fuzz_target!(|input: (u8, Vec<Operation>)| {
    let version = Version::ALL[usize::from(input.0) % 3];
    let mut client = Client::new(Connect {
        version,
        client_id: "c".into(),
        clean_start: false,
        keep_alive_seconds: 10,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    });
    let mut now = Instant::now();
    let mut receipts = Vec::new();
    for operation in input.1 {
        apply(&mut client, &mut now, &mut receipts, operation);
        assert!(client.window() <= 65_535);
    }
});

fn apply(client: &mut Client, now: &mut Instant, receipts: &mut Vec<Receipt>, operation: Operation) {
    let filter = || TopicFilter::new("a/+").expect("valid");
    match operation {
        Operation::Connect => client.connect(*now).expect("a CONNECT that can be written"),
        Operation::Accept { session_present } => {
            let mut bytes = BytesMut::new();
            let connack = ConnAck::new(ReasonCode::Success, session_present);
            connack.encode(client.version(), &mut bytes).expect("valid");
            server(client, *now, receipts, &bytes);
        }
        Operation::Server(bytes) => server(client, *now, receipts, &bytes),
        Operation::Publish(qos) => {
            let qos = QoS::from_bits(qos % 3).unwrap_or_default();
            let topic = TopicName::new("t").expect("valid");
            let _ = client.publish(&Publication::new(topic, qos, Bytes::from_static(b"x")));
        }
        Operation::Subscribe => {
            let _ = client.subscribe(vec![SubscribeFilter::new(filter(), QoS::AtLeastOnce)], None);
        }
        Operation::Unsubscribe => {
            let _ = client.unsubscribe(vec![filter()]);
        }
        Operation::Acknowledge(at) => {
            if !receipts.is_empty() {
                client.acknowledge(receipts.remove(usize::from(at) % receipts.len()));
            }
        }
        Operation::Wait(seconds) => {
            *now += Duration::from_secs(seconds.into());
            let _ = client.handle_timeout(*now);
        }
        Operation::Transmit => transmit(client),
        Operation::Disconnect => client.disconnect(ReasonCode::Success, None).expect("valid"),
    }
}

fn server(client: &mut Client, now: Instant, receipts: &mut Vec<Receipt>, mut bytes: &[u8]) {
    while let Ok(Some(found)) = frame(bytes, 1 << 20) {
        bytes = &bytes[found.len..];
        let Ok(packet) = decode(client.version(), &found, &Limits::default()) else { return };
        match client.handle_packet(now, packet) {
            Ok(Some(Event::Message { publish, receipt })) => {
                assert!(!publish.topic.is_empty());
                receipts.extend(receipt);
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn transmit(client: &mut Client) {
    let mut out = BytesMut::new();
    while client.poll_transmit(&mut out) {}
    let mut rest = &out[..];
    while !rest.is_empty() {
        let found = frame(rest, usize::MAX).expect("valid").expect("whole");
        decode(client.version(), &found, &Limits::default()).expect("valid");
        rest = &rest[found.len..];
    }
}

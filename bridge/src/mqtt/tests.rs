//! The source before a broker that does what a test says, byte for byte; the sink are files.

use std::net::SocketAddr;

use gaugeline_protocol::{
    PacketId, QoS,
    codec::{Frame, frame},
    packet::{ConnAck, ConnAckProperties, Outgoing, RetainHandling, SubAck, Subscribe, UnsubAck},
};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{Bridge, Config};

/// The broker's end of a connection.
struct Broker {
    stream: TcpStream,
    input: BytesMut,
}

impl Broker {
    /// Takes the bridge's connection.
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self { stream, input: BytesMut::new() }
    }

    /// Takes its CONNECT and answers it.
    async fn log_in(&mut self, session_present: bool) -> Connect {
        let connect = self.next(|frame| Connect::decode(frame, &Limits::default()).unwrap()).await;
        let connack = ConnAck {
            session_present,
            reason: ReasonCode::Success,
            properties: ConnAckProperties::default(),
        };
        self.send(|out| connack.encode(Version::V5, out).unwrap()).await;
        connect
    }

    /// Takes its SUBSCRIBE and answers it.
    async fn subscribe(&mut self, reasons: &[ReasonCode]) -> Subscribe {
        let subscribe = self
            .next(|frame| match packet::decode(Version::V5, frame, &Limits::default()).unwrap() {
                Packet::Subscribe(subscribe) => subscribe,
                other => panic!("{other:?}"),
            })
            .await;
        let ack = SubAck {
            packet_id: subscribe.packet_id,
            reasons: reasons.to_vec(),
            reason_string: None,
            user_properties: Vec::new(),
        };
        self.send(|out| ack.encode(Version::V5, out).unwrap()).await;
        subscribe
    }

    async fn publish(&mut self, id: u16, dup: bool, payload: &str, received: Option<&str>) {
        let outgoing = Outgoing {
            dup,
            qos: QoS::AtLeastOnce,
            topic: "sensors/d1/t",
            packet_id: PacketId::new(id),
            payload: payload.as_bytes(),
            user_property: received.map(|received| (RECEIVED_PROPERTY, received)),
            ..Outgoing::default()
        };
        self.send(|out| {
            outgoing.encode(Version::V5, out).unwrap();
        })
        .await;
    }

    /// The identifier of the next PUBACK.
    async fn acknowledged(&mut self) -> u16 {
        self.next(|frame| match packet::decode(Version::V5, frame, &Limits::default()).unwrap() {
            Packet::PubAck(ack) => ack.packet_id.as_u16(),
            other => panic!("{other:?}"),
        })
        .await
    }

    async fn next<T>(&mut self, read: impl FnOnce(&Frame<'_>) -> T) -> T {
        loop {
            if let Some(frame) = frame(&self.input, usize::MAX).unwrap() {
                let (value, len) = (read(&frame), frame.len);
                self.input.advance(len);
                return value;
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0, "the bridge closed");
        }
    }

    async fn send(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        encode(&mut out);
        self.stream.write_all(&out).await.unwrap();
    }
}

/// A bridge and the broker that it is told to use.
struct Rig {
    listener: TcpListener,
    bridge: Bridge,
    directory: tempfile::TempDir,
}

impl Rig {
    async fn start(more: &str) -> Self {
        Self::start_with("", more).await
    }

    /// With more keys in `[mqtt]`, and more tables.
    async fn start_with(mqtt: &str, more: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), mqtt, more).await
    }

    /// With what an earlier bridge has left behind.
    async fn start_in(directory: tempfile::TempDir, mqtt: &str, more: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let text = format!(
            "[mqtt]\nurl = \"mqtt://{address}\"\ntopics = [\"sensors/#\", \"plant/#\"]\n{mqtt}\n{more}\n\
             [[rule]]\ntopic = \"sensors/{{device}}/{{field}}\"\n"
        );
        let config = Config::parse(&directory.path().join("bridge.toml"), &text).unwrap();
        Self { listener, bridge: Bridge::start(config).await.unwrap(), directory }
    }

    async fn problem(&self, expected: &str) {
        self.problems(|problems| problems.iter().any(|problem| problem.contains(expected))).await;
    }

    async fn problems(&self, expected: impl Fn(&[String]) -> bool + Send + Sync) {
        self.until(|bridge| expected(&bridge.readiness().problems), "as expected").await;
    }

    /// Until the bridge has taken so many messages.
    async fn taken(&self, messages: i64) {
        let taken = |bridge: &Bridge| bridge.metrics().messages_in_flight.get() >= messages;
        self.until(taken, &format!("with {messages} messages taken")).await;
    }

    /// Looks again and again until the bridge is so, for a minute at most.
    async fn until(&self, is_so: impl Fn(&Bridge) -> bool + Send + Sync, so: &str) {
        for _ in 0..POLLS {
            if is_so(&self.bridge) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the bridge is not {so}: {:?}", self.bridge.readiness());
    }

    fn lines(&self) -> Vec<String> {
        let text = crate::support::read_all(&self.directory.path().join("telemetry"), "lp");
        text.lines().filter(|line| line.starts_with("sensors,")).map(str::to_owned).collect()
    }
}

/// A minute.
const POLLS: u32 = 12_000;
const GRANTED: &[ReasonCode] = &[ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS1];

#[tokio::test]
async fn what_the_bridge_asks_for() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    let connect = broker.log_in(false).await;
    assert_eq!(connect.version, Version::V5);
    assert_eq!((connect.client_id.as_str(), connect.clean_start), ("gaugeline-bridge", false));
    assert_eq!(connect.properties.session_expiry_seconds, 604_800);
    assert_eq!(connect.properties.receive_maximum, NonZeroU16::new(65_535));
    let subscribe = broker.subscribe(GRANTED).await;
    let filters: Vec<&str> = subscribe.filters.iter().map(|filter| filter.filter.as_str()).collect();
    assert_eq!(filters, ["sensors/#", "plant/#"]);
    for filter in &subscribe.filters {
        assert_eq!((filter.qos, filter.retain_handling), (QoS::AtLeastOnce, RetainHandling::OnNewSubscribe));
    }
}

/// The message is in the file before its acknowledgement is on the wire; acknowledgements keep the order of arrival.
#[tokio::test]
async fn acknowledged_when_written() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    for id in [3, 1, 2] {
        broker.publish(id, false, "21.5", None).await;
    }
    assert_eq!(
        [broker.acknowledged().await, broker.acknowledged().await, broker.acknowledged().await],
        [3, 1, 2]
    );
    assert_eq!(rig.lines().len(), 3);
    // One that is no point is acknowledged once it is a dead letter.
    broker.publish(4, false, "nan", None).await;
    assert_eq!(broker.acknowledged().await, 4);
    let dead = crate::support::read_all(&rig.directory.path().join("dead-letter"), "jsonl");
    assert!(dead.contains("\"reason\":\"not_finite\""), "{dead}");
}

/// Whoever clears a retained message says nothing about a sensor.
#[tokio::test]
async fn messages_without_a_payload_are_skipped() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.publish(1, false, "", None).await;
    assert_eq!(broker.acknowledged().await, 1);
    assert_eq!(rig.bridge.metrics().messages_skipped.get(), 1);
    assert_eq!(crate::support::read_all(&rig.directory.path().join("dead-letter"), "jsonl"), "");
    assert!(rig.lines().is_empty());
}

/// A session that outlived a change of `topics`.
#[tokio::test]
async fn topics_that_were_removed_are_unsubscribed() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("dead-letter");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("subscriptions.json"), r#"["sensors/#", "old/#", "older"]"#).unwrap();
    let rig = Rig::start_in(directory, "", "").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(true).await;
    broker.subscribe(GRANTED).await;
    let unsubscribe = broker
        .next(|frame| match packet::decode(Version::V5, frame, &Limits::default()).unwrap() {
            Packet::Unsubscribe(unsubscribe) => unsubscribe,
            other => panic!("{other:?}"),
        })
        .await;
    let filters: Vec<&str> = unsubscribe.filters.iter().map(|filter| filter.as_str()).collect();
    assert_eq!(filters, ["old/#", "older"]);
    let file = rig.directory.path().join("dead-letter/subscriptions.json");
    let remembered = || std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        remembered(),
        "[\"old/#\",\"older\",\"sensors/#\",\"plant/#\"]\n",
        "until the broker has answered"
    );
    let ack = UnsubAck {
        packet_id: unsubscribe.packet_id,
        reasons: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
        reason_string: None,
        user_properties: Vec::new(),
    };
    broker.send(|out| ack.encode(Version::V5, out).unwrap()).await;
    broker.publish(1, false, "1", None).await;
    assert_eq!(broker.acknowledged().await, 1);
    assert_eq!(remembered(), "[\"sensors/#\",\"plant/#\"]\n");
}

/// Somebody waits for the bridge to be ready, and that is when messages can flow.
#[tokio::test]
async fn it_is_not_ready_before_the_sink_was_reached() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sink = format!("[sink]\nkind = \"influx1\"\nurl = \"http://{port}\"\ndatabase = \"d\"\n");
    let rig = Rig::start(&sink).await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    rig.problems(
        |problems| matches!(problems, [one] if one.starts_with("the sink has not been reached yet")),
    )
    .await;
    let influxdb = TcpListener::bind(port).await.unwrap();
    let answer = async {
        let (mut stream, _) = influxdb.accept().await.unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await.unwrap();
        assert!(request[..length].starts_with(b"GET /ping "));
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        stream
    };
    let (_stream, ()) = tokio::join!(answer, rig.problems(<[String]>::is_empty));
    assert!(rig.bridge.readiness().is_ready());
}

#[tokio::test]
async fn the_brokers_time_is_the_points_time() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.publish(1, false, "1", Some("1700000000000000001")).await;
    broker.acknowledged().await;
    assert_eq!(rig.lines(), ["sensors,device=d1 t=1.0 1700000000000000001"]);
}

/// What was written on a connection that broke before the acknowledgement is not written again.
#[tokio::test]
async fn repetitions_are_not_written_twice() {
    // Batches that wait, so that the connection breaks while the messages are in memory.
    let rig = Rig::start("[batch]\nmilliseconds = 1000\nquiet_milliseconds = 1000\n").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.publish(1, false, "1", None).await;
    broker.publish(2, false, "2", None).await;
    rig.taken(2).await;
    drop(broker);
    rig.problem("the connection to the broker").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(true).await;
    broker.subscribe(GRANTED).await;
    broker.publish(1, true, "1", None).await;
    broker.publish(2, true, "2", None).await;
    broker.publish(3, false, "3", None).await;
    for id in [1, 2, 3] {
        assert_eq!(broker.acknowledged().await, id);
    }
    assert_eq!(rig.lines().len(), 3, "{:?}", rig.lines());
}

/// Or the bridge would give up each connection, and wait longer and longer while the sink is long back.
#[tokio::test]
async fn a_bridge_without_room_connects_again() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // While it reads nothing it finds out that a connection has ended when it writes.
    let rig = Rig::start_with(
        "keep_alive_seconds = 5",
        &format!(
            "[limits]\nmessages_in_flight = 1\n[sink]\nkind = \"influx1\"\nurl = \"http://{nobody}\"\ndatabase = \"d\"\n"
        ),
    )
    .await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.publish(1, false, "1", None).await;
    rig.taken(1).await;
    drop(broker);
    rig.problem("the connection to the broker").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(true).await;
    broker.subscribe(GRANTED).await;
}

/// A broker that was killed before it knew what it had sent gives an old identifier to a later message.
#[tokio::test]
async fn the_same_value_said_later_is_another_message() {
    let rig = Rig::start("[batch]\nmilliseconds = 1000\nquiet_milliseconds = 1000\n").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.publish(7, false, "1", Some("1700000000000000001")).await;
    rig.taken(1).await;
    drop(broker);
    rig.problem("the connection to the broker").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(true).await;
    broker.subscribe(GRANTED).await;
    broker.publish(7, true, "1", Some("1700000000000000002")).await;
    assert_eq!(broker.acknowledged().await, 7);
    let lines = ["1700000000000000001", "1700000000000000002"];
    assert_eq!(rig.lines(), lines.map(|time| format!("sensors,device=d1 t=1.0 {time}")));
}

#[tokio::test]
async fn a_refused_subscription_is_reported() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(&[ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized]).await;
    rig.problem("the subscription to `plant/#` (0x87").await;
    // The other one works.
    broker.publish(1, false, "1", None).await;
    assert_eq!(broker.acknowledged().await, 1);
}

#[tokio::test]
async fn a_broker_without_mqtt_5() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    // What a broker of 3.1.1 answers: "unacceptable protocol version".
    broker.send(|out| out.extend_from_slice(&[0x20, 2, 0, 1])).await;
    rig.problem("MQTT 5").await;
}

#[tokio::test]
async fn bytes_that_are_not_mqtt() {
    let rig = Rig::start("").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    broker.send(|out| out.extend_from_slice(&[0x31, 0xff, 0xff, 0xff, 0xff])).await;
    rig.problem("malformed").await;
}

/// At the limit nothing more is read, and the messages beyond it are not lost.
#[tokio::test]
async fn reading_stops_without_room() {
    let rig = Rig::start("[limits]\nmessages_in_flight = 2\n").await;
    let mut broker = Broker::accept(&rig.listener).await;
    let connect = broker.log_in(false).await;
    assert_eq!(connect.properties.receive_maximum, NonZeroU16::new(2));
    broker.subscribe(GRANTED).await;
    for id in 1..=2 {
        broker.publish(id, false, "1", None).await;
    }
    for id in 1..=2 {
        assert_eq!(broker.acknowledged().await, id);
    }
}

/// Without room nothing is read, so answers to pings are not seen either: the connection stays all the same.
#[tokio::test(start_paused = true)]
async fn the_connection_outlives_a_full_pipeline() {
    // Nothing listens on port 1.
    let rig = Rig::start_with(
        "keep_alive_seconds = 10",
        "[limits]\nmessages_in_flight = 2\n[sink]\nkind = \"influx1\"\nurl = \"http://127.0.0.1:1\"\ndatabase = \"d\"\n",
    )
    .await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    let message = Outgoing { topic: "sensors/d1/t", payload: b"1", ..Outgoing::default() };
    broker
        .send(|out| {
            for _ in 0..10 {
                message.encode(Version::V5, out).unwrap();
            }
        })
        .await;
    rig.taken(2).await;
    for _ in 0..20 {
        let is_ping = |frame: &Frame<'_>| frame.packet_type() == Some(packet::PacketType::PingReq);
        assert!(broker.next(is_ping).await);
        broker.send(|out| packet::PingResp.encode(Version::V5, out).unwrap()).await;
    }
    assert_eq!(rig.bridge.metrics().messages_in_flight.get(), 2);
}

#[tokio::test]
async fn stopping_drains_acknowledges_and_keeps_the_session() {
    let rig = Rig::start("[batch]\nmilliseconds = 60000\nquiet_milliseconds = 60000\n").await;
    let mut broker = Broker::accept(&rig.listener).await;
    broker.log_in(false).await;
    broker.subscribe(GRANTED).await;
    for id in 1..=3 {
        broker.publish(id, false, "1", None).await;
    }
    rig.taken(3).await;
    let stop = async { rig.bridge.shutdown(Duration::from_secs(30)).await };
    let serve = async {
        let mut acknowledged = Vec::new();
        loop {
            let packet = broker
                .next(|frame| match packet::decode(Version::V5, frame, &Limits::default()).unwrap() {
                    Packet::PubAck(ack) => Ok(ack.packet_id.as_u16()),
                    Packet::Disconnect(disconnect) => Err(disconnect),
                    other => panic!("{other:?}"),
                })
                .await;
            match packet {
                Ok(id) => acknowledged.push(id),
                Err(disconnect) => return (acknowledged, disconnect),
            }
        }
    };
    let (is_safe, (acknowledged, disconnect)) = tokio::join!(stop, serve);
    assert!(is_safe);
    assert_eq!((disconnect.reason, disconnect.session_expiry_seconds), (ReasonCode::Success, None));
    assert_eq!(acknowledged, [1, 2, 3]);
    let written = crate::support::read_all(&rig.directory.path().join("telemetry"), "lp");
    assert_eq!(written.lines().filter(|line| line.starts_with("sensors,")).count(), 3);
}

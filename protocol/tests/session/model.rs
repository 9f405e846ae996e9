//! The session against naive clients, under random operations and reconnects: no message is lost, at QoS 2 none comes
//! twice, order and windows hold, and no acknowledgement precedes storage.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gaugeline_protocol::{
    PacketId,
    QoS::{self, AtLeastOnce, ExactlyOnce},
    ReasonCode, Version, codec,
    packet::{Ack, Connect, ConnectProperties, Packet, Publish, decode},
    session::Undelivered,
};
use proptest::prelude::*;

use crate::support::{Note, Outcome, SETTINGS, Server, ack, connect, note, publish};

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(AtLeastOnce), Just(ExactlyOnce)]
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V31), Just(Version::V311), Just(Version::V5)]
}

/// The packets that the server sent since the last call, those that carry messages with their text.
fn received(server: &mut Server) -> Vec<(Packet<'static>, Option<u32>)> {
    let version = server.session.version();
    let bytes: &'static [u8] = Box::leak(server.out.split().to_vec().into_boxed_slice());
    let (mut rest, mut packets) = (bytes, Vec::new());
    while let Some(frame) = codec::frame(rest, usize::MAX).unwrap() {
        let packet = decode(version, &frame, &codec::Limits::default()).unwrap();
        let number = match &packet {
            Packet::Publish(publish) => Some(std::str::from_utf8(publish.payload).unwrap().parse().unwrap()),
            _ => None,
        };
        packets.push((packet, number));
        rest = &rest[frame.len..];
    }
    packets
}

/// What may happen to messages on their way to a client.
#[derive(Debug, Clone)]
enum Towards {
    /// The broker has a message for the client.
    Message(QoS),
    /// One of the client's answers arrives.
    Answer(prop::sample::Index),
    /// The connection breaks; the client comes back with this version and window.
    Reconnect(Version, u16),
}

fn towards() -> impl Strategy<Value = Towards> {
    prop_oneof![
        4 => qos().prop_map(Towards::Message),
        6 => any::<prop::sample::Index>().prop_map(Towards::Answer),
        1 => (version(), 1..6_u16).prop_map(|(version, window)| Towards::Reconnect(version, window)),
    ]
}

fn with_window(version: Version, window: u16) -> Connect {
    let receive_maximum = version.is_v5().then(|| window.try_into().unwrap());
    let base = connect(version);
    Connect { properties: ConnectProperties { receive_maximum, ..base.properties }, ..base }
}

/// A broker with its queue, and a client that keeps what QoS 2 asks it to keep.
struct Subscriber {
    server: Server,
    window: usize,
    queue: VecDeque<Note>,
    resent: bool,
    /// Identifiers of QoS 2 messages between PUBLISH and PUBREL.
    unreleased: BTreeSet<PacketId>,
    /// What the client wants to answer on this connection.
    answers: Vec<Packet<'static>>,
    /// Messages that came on this connection and were not settled on it.
    open: BTreeSet<PacketId>,
    /// Every message that the application got, in order.
    got: Vec<(u32, QoS)>,
}

impl Subscriber {
    fn new() -> Self {
        Self {
            server: Server::with(&with_window(Version::V5, 3)),
            window: 3,
            queue: VecDeque::new(),
            resent: true,
            unreleased: BTreeSet::new(),
            answers: Vec::new(),
            open: BTreeSet::new(),
            got: Vec::new(),
        }
    }

    /// What the broker does whenever it may: send again, then send what waits; and what the client does with it.
    fn pump(&mut self) {
        self.resent = self.resent || self.server.resend();
        while self.resent
            && let Some(next) = self.queue.pop_front()
        {
            match self.server.deliver(next) {
                Ok(()) => {}
                Err(Undelivered::WindowClosed(back)) => {
                    self.queue.push_front(back);
                    break;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        for (packet, number) in received(&mut self.server) {
            self.client_takes(packet, number);
        }
    }

    fn client_takes(&mut self, packet: Packet<'static>, number: Option<u32>) {
        match packet {
            Packet::Publish(publish) => {
                let (id, number) = (publish.packet_id.unwrap(), number.unwrap());
                assert!(self.open.insert(id), "an identifier in use");
                assert!(self.open.len() <= self.window, "more than the receive maximum");
                if publish.qos == AtLeastOnce {
                    self.got.push((number, AtLeastOnce));
                    self.answers.push(Packet::PubAck(ack(id.as_u16())));
                } else {
                    if self.unreleased.insert(id) {
                        self.got.push((number, ExactlyOnce));
                    } else {
                        assert!(publish.dup, "a new message under an identifier that was not released");
                    }
                    self.answers.push(Packet::PubRec(ack(id.as_u16())));
                }
            }
            Packet::PubRel(found) => {
                assert!(!found.reason.is_error());
                self.unreleased.remove(&found.packet_id);
                self.answers.push(Packet::PubComp(found));
            }
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, at: usize) {
        let answer = self.answers.remove(at);
        if let Packet::PubAck(Ack { packet_id, .. }) | Packet::PubComp(Ack { packet_id, .. }) = &answer {
            self.open.remove(packet_id);
        }
        self.server.take(answer).unwrap();
    }

    fn reconnect(&mut self, version: Version, window: u16) {
        self.answers.clear();
        self.open.clear();
        let connect = with_window(version, window);
        self.window = usize::from(crate::support::terms(&connect).window.get());
        self.server.reconnect(&connect);
        self.resent = false;
    }

    fn run(mut self, operations: Vec<Towards>) {
        let mut published = 0;
        for operation in operations {
            match operation {
                Towards::Message(qos) => {
                    self.queue.push_back(note(qos, &published.to_string()));
                    published += 1;
                }
                Towards::Answer(at) if !self.answers.is_empty() => self.answer(at.index(self.answers.len())),
                Towards::Answer(_) => {}
                Towards::Reconnect(version, window) => self.reconnect(version, window),
            }
            self.pump();
        }
        self.reconnect(Version::V5, 2);
        self.pump();
        while !self.answers.is_empty() {
            self.answer(0);
            self.pump();
        }
        assert_eq!(self.server.session.inflight(), 0);
        self.check(published);
    }

    fn check(&self, published: u32) {
        let mut seen = BTreeSet::new();
        let mut first = Vec::new();
        for (number, qos) in &self.got {
            if seen.insert(*number) {
                first.push(*number);
            } else {
                assert_eq!(*qos, AtLeastOnce, "{number} came twice at QoS 2");
            }
        }
        assert_eq!(first, (0..published).collect::<Vec<_>>(), "lost, or out of order");
    }
}

/// What may happen to messages on their way from a client.
#[derive(Debug, Clone)]
enum From {
    Message(QoS),
    /// The client releases one of the messages that the broker has received.
    Release(prop::sample::Index),
    /// Storage gets on by so much.
    Store(u64),
    Reconnect(Version),
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        5 => qos().prop_map(From::Message),
        4 => any::<prop::sample::Index>().prop_map(From::Release),
        3 => (1..4_u64).prop_map(From::Store),
        1 => version().prop_map(From::Reconnect),
    ]
}

/// A client that keeps what it must, and a broker that stores each message before it may be acknowledged.
struct Publisher {
    server: Server,
    next_id: PacketId,
    /// Messages without PUBACK or PUBREC: by number, which is their order.
    unacknowledged: BTreeMap<u32, (PacketId, QoS)>,
    /// Identifiers between PUBREC and PUBCOMP.
    unreleased: BTreeSet<PacketId>,
    /// Which of them were released on this connection.
    releasing: BTreeSet<PacketId>,
    /// What was sent on this connection and not acknowledged, in order: of QoS 1, and of QoS 2.
    waiting: [VecDeque<PacketId>; 2],
    /// QoS 2 exchanges of this connection that are not complete, which count in the receive window.
    exchanges: BTreeSet<PacketId>,
    /// The message that an identifier stands for at present.
    numbers: BTreeMap<PacketId, u32>,
    /// The messages that the broker routed, in order.
    routed: Vec<u32>,
    /// Where storage has each of them.
    tickets: BTreeMap<u32, u64>,
    last_ticket: u64,
    qos_of: BTreeMap<u32, QoS>,
}

impl Publisher {
    fn new() -> Self {
        Self {
            server: Server::new(Version::V5),
            next_id: PacketId::FIRST,
            unacknowledged: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            releasing: BTreeSet::new(),
            waiting: Default::default(),
            exchanges: BTreeSet::new(),
            numbers: BTreeMap::new(),
            routed: Vec::new(),
            tickets: BTreeMap::new(),
            last_ticket: 0,
            qos_of: BTreeMap::new(),
        }
    }

    fn may_send(&self) -> bool {
        let counted = self.waiting[0].len() + self.exchanges.len();
        counted < usize::from(SETTINGS.receive_maximum.get())
    }

    fn message(&mut self, qos: QoS) {
        if !self.may_send() {
            return;
        }
        let number = u32::try_from(self.qos_of.len()).unwrap();
        // Few identifiers, so that they are used again soon.
        while self.numbers.contains_key(&self.next_id) {
            self.next_id = PacketId::new(self.next_id.as_u16() % 12 + 1).unwrap();
        }
        self.qos_of.insert(number, qos);
        self.numbers.insert(self.next_id, number);
        self.unacknowledged.insert(number, (self.next_id, qos));
        self.send(self.next_id, qos, false);
    }

    fn send(&mut self, id: PacketId, qos: QoS, dup: bool) {
        self.waiting[usize::from(qos == ExactlyOnce)].push_back(id);
        if qos == ExactlyOnce {
            self.exchanges.insert(id);
        }
        let packet = Publish { dup, ..publish(qos, id.as_u16()) };
        if self.server.take(Packet::Publish(packet)).unwrap() == Outcome::Routed {
            let number = self.numbers[&id];
            self.routed.push(number);
            // Some need not be stored, and still have to wait for their turn.
            let stored = !number.is_multiple_of(3);
            self.last_ticket += u64::from(stored);
            let ticket = if stored { self.last_ticket } else { 0 };
            self.tickets.insert(number, ticket);
            self.server.acknowledge(qos, id.as_u16(), ReasonCode::Success, ticket);
        }
        self.hear();
    }

    /// What the client does with what the server has sent.
    fn hear(&mut self) {
        for (packet, _) in received(&mut self.server) {
            match packet {
                Packet::PubAck(found) => {
                    self.acknowledged(found.packet_id, AtLeastOnce);
                    self.numbers.remove(&found.packet_id);
                }
                Packet::PubRec(found) => {
                    self.acknowledged(found.packet_id, ExactlyOnce);
                    self.unreleased.insert(found.packet_id);
                }
                Packet::PubComp(found) => {
                    assert!(self.unreleased.remove(&found.packet_id));
                    self.numbers.remove(&found.packet_id);
                    self.exchanges.remove(&found.packet_id);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn acknowledged(&mut self, id: PacketId, qos: QoS) {
        let number = self.numbers[&id];
        assert_eq!(self.unacknowledged.remove(&number), Some((id, qos)), "acknowledged twice");
        assert!(self.tickets[&number] <= self.server.durable, "acknowledged before it was safe");
        let next = self.waiting[usize::from(qos == ExactlyOnce)].pop_front();
        assert_eq!(next, Some(id), "acknowledged out of order");
    }

    fn release(&mut self, at: prop::sample::Index) {
        let waiting = self.unreleased.difference(&self.releasing).copied().collect::<Vec<_>>();
        if let Some(id) = (!waiting.is_empty()).then(|| waiting[at.index(waiting.len())]) {
            self.releasing.insert(id);
            self.server.take(Packet::PubRel(ack(id.as_u16()))).unwrap();
            self.hear();
            self.releasing.retain(|id| self.unreleased.contains(id));
        }
    }

    fn store(&mut self, steps: u64) {
        let durable = (self.server.durable + steps).min(self.last_ticket);
        self.server.store_until(durable);
        self.hear();
    }

    /// [MQTT-4.4.0-1]: the client sends again what was not acknowledged, in its order.
    fn reconnect(&mut self, version: Version) {
        self.server.reconnect(&connect(version));
        self.waiting = Default::default();
        self.exchanges.clear();
        self.releasing.clear();
        for id in self.unreleased.clone() {
            self.server.take(Packet::PubRel(ack(id.as_u16()))).unwrap();
        }
        for (id, qos) in self.unacknowledged.clone().into_values() {
            self.send(id, qos, true);
        }
        self.hear();
    }

    fn run(mut self, operations: Vec<From>) {
        for operation in operations {
            match operation {
                From::Message(qos) => self.message(qos),
                From::Release(at) => self.release(at),
                From::Store(steps) => self.store(steps),
                From::Reconnect(version) => self.reconnect(version),
            }
        }
        self.store(u64::MAX / 2);
        self.reconnect(Version::V5);
        self.store(u64::MAX / 2);
        for id in self.unreleased.clone() {
            self.server.take(Packet::PubRel(ack(id.as_u16()))).unwrap();
        }
        self.hear();
        assert!(self.unacknowledged.is_empty() && self.unreleased.is_empty());
        self.check();
    }

    fn check(&self) {
        let mut seen = BTreeSet::new();
        let mut first = Vec::new();
        for number in &self.routed {
            if seen.insert(*number) {
                first.push(*number);
            } else {
                assert_eq!(self.qos_of[number], AtLeastOnce, "{number} was routed twice at QoS 2");
            }
        }
        assert_eq!(first, self.qos_of.keys().copied().collect::<Vec<_>>(), "lost, or out of order");
    }
}

proptest! {
    #[test]
    fn messages_reach_a_subscriber(operations in prop::collection::vec(towards(), 0..120)) {
        Subscriber::new().run(operations);
    }

    #[test]
    fn messages_of_a_publisher_are_routed(operations in prop::collection::vec(from(), 0..120)) {
        Publisher::new().run(operations);
    }
}

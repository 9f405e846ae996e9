use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::BytesMut;
use gaugeline_protocol::ClientId;
use proptest::prelude::*;

use super::{super::MailboxLimits, *};
use crate::router::Draft;

const LIMITS: MailboxLimits = MailboxLimits { stall_bytes: 1500, bytes: 3000, messages: 6 };
/// More than one of two mailboxes may hold, less than both.
const TOTAL_BYTES: usize = 4000;

/// What publishers and the owner may do.
#[derive(Debug, Clone)]
enum Operation {
    /// Frames of this many bytes each, as many as there are numbers.
    Frames(QoS, Vec<usize>),
    Messages(QoS, Vec<usize>),
    /// The owner takes everything, and then sends so many entries.
    Drain(usize),
    SetWire(Wire),
    MarkLagging,
    /// Another mailbox takes up a part of the total, or gives it back.
    Elsewhere(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let qos = prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce)];
    let sizes = prop::collection::vec(1..900_usize, 1..4);
    let wire = prop_oneof![Just(Wire::Offline), Just(Wire::V3), Just(Wire::V5), Just(Wire::Deliveries)];
    prop_oneof![
        3 => (qos.clone(), sizes.clone()).prop_map(|(qos, sizes)| Operation::Frames(qos, sizes)),
        3 => (qos, sizes).prop_map(|(qos, sizes)| Operation::Messages(qos, sizes)),
        3 => (0..8_usize).prop_map(Operation::Drain),
        1 => wire.prop_map(Operation::SetWire),
        1 => Just(Operation::MarkLagging),
        1 => (0..4000_usize).prop_map(Operation::Elsewhere),
    ]
}

fn identity() -> Identity {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Identity {
        realm: crate::auth::RealmId::FIRST,
        user: None,
        client_id: ClientId::new("a").unwrap(),
        address,
    }
}

/// A mailbox, its owner, and a naive list of what should be in it.
struct World {
    mailbox: Mailbox,
    total: Arc<QueueTotal>,
    elsewhere: usize,
    held: Contents,
    /// Number, size and kind of each message in the mailbox, and of each that the owner holds.
    inside: VecDeque<Item>,
    outside: VecDeque<Item>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    number: u64,
    size: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Frame,
    Kept,
    Passing,
}

impl World {
    fn new(persistent: bool, overflow: Overflow) -> Self {
        let total = Arc::new(QueueTotal::new(TOTAL_BYTES));
        let options = MailboxOptions { persistent, overflow, ..MailboxOptions::default() };
        let id = MailboxId::from_number(1);
        let limits = Arc::new(LiveLimits::new(LIMITS));
        let mailbox = Mailbox::new(id, identity(), options, limits, Arc::clone(&total));
        let (inside, outside) = (VecDeque::new(), VecDeque::new());
        Self { mailbox, total, elsewhere: 0, held: Contents::default(), inside, outside, next: 0 }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn push_frames(&mut self, qos: QoS, sizes: &[usize]) {
        let mut frames = Frames { qos, ..Frames::default() };
        let mut items = Vec::new();
        for &size in sizes {
            let number = self.number();
            let size = size + 8;
            frames.bytes.extend_from_slice(&number.to_be_bytes());
            frames.bytes.resize(frames.bytes.len() + size - 8, 0);
            frames.each.push((u32::try_from(size).unwrap(), 0));
            items.push(Item { number, size, kind: Kind::Frame });
        }
        let wire = self.mailbox.wire();
        assert!(
            self.mailbox.push_frames(other(wire), &frames, &mut Vec::new()).is_none(),
            "for another owner"
        );
        if !matches!(wire, Wire::V3 | Wire::V5) {
            return;
        }
        let pushed = self.mailbox.push_frames(wire, &frames, &mut Vec::new()).unwrap();
        assert!(pushed.dropped == 0 || pushed.dropped as usize == sizes.len());
        if pushed.dropped == 0 {
            self.inside.extend(items);
        }
    }

    fn push_messages(&mut self, qos: QoS, sizes: &[usize]) {
        let mut items = Vec::new();
        let messages = sizes.iter().map(|size| {
            let number = self.number();
            let payload = vec![0; *size];
            let draft = Draft {
                topic: "t",
                payload: &payload,
                properties: &[],
                qos,
                expires_at: None,
                publisher: None,
            };
            let message = Arc::new(Message::new(&draft, Stamp::from_nanoseconds(number)));
            let kind = if self.mailbox.keeps(qos) { Kind::Kept } else { Kind::Passing };
            items.push(Item { number, size: message.size(), kind });
            message
        });
        let messages = messages.collect::<Vec<_>>();
        let options = DeliveryOptions { qos, retain: false, subscription_ids: None };
        let mut evicted = Vec::new();
        let pushed = self.mailbox.push_messages(&messages, &options, &mut Vec::new(), &mut evicted);
        if self.mailbox.wire() == Wire::Offline && !self.mailbox.keeps(qos) {
            assert_eq!((pushed, evicted.len()), (Pushed::default(), 0));
            return;
        }
        // The last ones are dropped, the oldest evicted: perhaps even those that have only just come.
        items.truncate(sizes.len() - pushed.dropped as usize);
        self.inside.extend(items);
        for (_, stamp) in evicted {
            assert_eq!(self.mailbox.options().overflow, Overflow::DropOldest);
            assert_eq!(self.inside.pop_front().unwrap().number, stamp.nanoseconds());
        }
    }

    fn drain(&mut self, sends: usize) {
        if self.held.is_empty() {
            self.mailbox.drain(&mut self.held, 0, 0);
            self.outside = std::mem::take(&mut self.inside);
        }
        for _ in 0..sends {
            let Some(entry) = self.held.entries.pop_front() else { break };
            match entry {
                Entry::Run { bytes, messages } => self.sent_frames(bytes as usize, messages as usize),
                Entry::Frame { bytes, .. } => self.sent_frames(bytes as usize, 1),
                Entry::Delivery(delivery) => {
                    let expected = self.outside.pop_front().unwrap();
                    assert_eq!(expected.number, delivery.message.stamp().nanoseconds());
                    self.held.sent(1, delivery.message.size());
                }
            }
        }
        self.mailbox.wait(Waker::noop(), self.held.messages, self.held.bytes);
    }

    fn sent_frames(&mut self, bytes: usize, messages: usize) {
        let mut frames = self.held.frames.split_to(bytes);
        for _ in 0..messages {
            let expected = self.outside.pop_front().unwrap();
            let frame = frames.split_to(expected.size);
            assert_eq!(frame[..8], expected.number.to_be_bytes());
        }
        assert!(frames.is_empty());
        self.held.sent(messages, bytes);
    }

    /// As a connection does when it ends, and the next one when it begins.
    fn set_wire(&mut self, wire: Wire) {
        let keeps = |item: &Item| item.kind == Kind::Kept;
        let lost = self.mailbox.set_wire(Wire::Offline);
        assert_eq!(lost, self.inside.iter().filter(|item| !keeps(item)).count());
        let held = std::mem::take(&mut self.held);
        let kept = held.entries.into_iter().filter_map(|entry| match entry {
            Entry::Delivery(delivery) if self.mailbox.keeps(delivery.qos) => Some(delivery),
            _ => None,
        });
        self.mailbox.put_back(kept.collect::<Vec<_>>().into_iter());
        self.outside.append(&mut self.inside);
        self.inside = self.outside.drain(..).filter(keeps).collect();
        self.mailbox.set_wire(wire);
    }

    fn elsewhere(&mut self, bytes: usize) {
        self.total.update((0, self.elsewhere), (0, bytes));
        self.elsewhere = bytes;
    }

    fn check(&self) {
        let sum = |items: &VecDeque<Item>| items.iter().map(|item| item.size).sum::<usize>();
        let (messages, bytes) =
            (self.inside.len() + self.outside.len(), sum(&self.inside) + sum(&self.outside));
        assert_eq!(self.mailbox.waiting(), (messages, bytes));
        assert!(bytes <= LIMITS.bytes, "{bytes}");
        assert_eq!((self.total.messages(), self.total.bytes()), (messages, bytes + self.elsewhere));
    }
}

fn other(wire: Wire) -> Wire {
    if wire == Wire::V5 { Wire::V3 } else { Wire::V5 }
}

proptest! {
    /// Order, bounds and counts are those of a naive list, whoever pushes what and whenever the owner changes.
    #[test]
    fn holds_what_a_naive_list_holds(
        persistent in any::<bool>(),
        drops_oldest in any::<bool>(),
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        let overflow = if drops_oldest { Overflow::DropOldest } else { Overflow::RejectNewest };
        let mut world = World::new(persistent, overflow);
        for operation in operations {
            match operation {
                Operation::Frames(qos, sizes) => world.push_frames(qos, &sizes),
                Operation::Messages(qos, sizes) => world.push_messages(qos, &sizes),
                Operation::Drain(sends) => world.drain(sends),
                Operation::SetWire(wire) => world.set_wire(wire),
                Operation::MarkLagging => { world.mailbox.mark_lagging(); }
                Operation::Elsewhere(bytes) => world.elsewhere(bytes),
            }
            world.check();
        }
        let left = world.inside.len();
        prop_assert_eq!(world.mailbox.close(), left);
        drop(world.mailbox);
        prop_assert_eq!((world.total.messages(), world.total.bytes()), (0, world.elsewhere));
    }
}

/// The owner is woken by the first push after it has found nothing, and only by that.
#[test]
fn the_owner_is_woken_once() {
    let mut world = World::new(false, Overflow::RejectNewest);
    world.set_wire(Wire::V3);
    let frames = Frames { bytes: BytesMut::from(&b"x"[..]), each: vec![(1, 0)], qos: QoS::AtMostOnce };
    let mut wakers = Vec::new();
    assert!(world.mailbox.wait(Waker::noop(), 0, 0));
    for _ in 0..3 {
        world.mailbox.push_frames(Wire::V3, &frames, &mut wakers).unwrap();
    }
    assert_eq!(wakers.len(), 1);
    assert!(!world.mailbox.wait(Waker::noop(), 0, 0), "there is something to drain");
}

/// Publishers wait while there is too much, until it is half gone, the owner has changed, or it is given up on.
#[test]
fn publishers_wait_for_an_owner_that_is_behind() {
    let full = |wire| {
        let mut world = World::new(true, Overflow::RejectNewest);
        world.set_wire(wire);
        world.push_messages(QoS::AtLeastOnce, &[800, 800]);
        world
    };
    assert!(full(Wire::V5).mailbox.wait_for_room(Waker::noop()));
    assert!(!full(Wire::Offline).mailbox.wait_for_room(Waker::noop()), "nobody will drain it");
    let world = full(Wire::V5);
    assert!(world.mailbox.mark_lagging());
    assert!(!world.mailbox.mark_lagging(), "said before");
    assert!(!world.mailbox.wait_for_room(Waker::noop()));
    let mut world = full(Wire::V5);
    world.drain(1);
    assert!(!world.mailbox.wait_for_room(Waker::noop()));
    let world = full(Wire::V5);
    world.mailbox.close();
    assert!(!world.mailbox.wait_for_room(Waker::noop()));
}

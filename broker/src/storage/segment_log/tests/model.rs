//! The log against a naive model: random records, groups, faults, crashes and restarts.
//!
//! After each restart the log must hold what some prefix of the records adds up to, and the prefix must reach to the
//! last ticket that was told to be safe, at least.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    faulty_disk::{Crash, FaultyDisk},
    naive::{Naive, view},
    *,
};

/// How many sessions there are at a time.
const SLOTS: usize = 3;
/// How many topics have retained messages.
const TOPICS: u8 = 3;

#[derive(Debug, Clone)]
enum Action {
    Open(usize),
    Park(usize),
    End(usize),
    /// The last is whether retained messages are still to be handed over.
    Subscribe(usize, u8, bool),
    Unsubscribe(usize, u8),
    /// A new message, to these slots, of so many bytes, perhaps from a publisher at QoS 2.
    Publish {
        slots: Vec<usize>,
        bytes: usize,
        publisher: Option<(usize, u16)>,
    },
    /// A retained message goes to a session.
    Deliver(usize, u8),
    /// The n-th message that waits for the session is sent, received, settled.
    Send(usize, usize),
    Receive(usize, usize),
    Settle(usize, usize),
    /// The n-th open exchange, the n-th packet id.
    Complete(usize, usize),
    Release(usize, usize),
    Retain(u8, usize),
    Unretain(u8),
    Wait,
    FailWrite(u32),
    FailSync(u32),
    FillDisk(usize),
    Crash(Option<u64>),
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    use Action::*;
    let slot = || 0..SLOTS;
    let nth = || 0..4_usize;
    prop_oneof![
        3 => slot().prop_map(Open),
        1 => slot().prop_map(Park),
        1 => slot().prop_map(End),
        1 => (slot(), 0..3_u8, any::<bool>())
            .prop_map(|(slot, filter, walking)| Subscribe(slot, filter, walking)),
        1 => (slot(), 0..3_u8).prop_map(|(slot, filter)| Unsubscribe(slot, filter)),
        12 => (
            proptest::collection::vec(slot(), 0..3),
            0..60_usize,
            proptest::option::of((slot(), 1..4_u16)),
        )
            .prop_map(|(slots, bytes, publisher)| Publish { slots, bytes, publisher }),
        1 => (slot(), 0..TOPICS).prop_map(|(slot, topic)| Deliver(slot, topic)),
        6 => (slot(), nth()).prop_map(|(slot, nth)| Send(slot, nth)),
        2 => (slot(), nth()).prop_map(|(slot, nth)| Receive(slot, nth)),
        8 => (slot(), nth()).prop_map(|(slot, nth)| Settle(slot, nth)),
        2 => (slot(), nth()).prop_map(|(slot, nth)| Complete(slot, nth)),
        2 => (slot(), nth()).prop_map(|(slot, nth)| Release(slot, nth)),
        2 => (0..TOPICS, 0..60_usize).prop_map(|(topic, bytes)| Retain(topic, bytes)),
        1 => (0..TOPICS).prop_map(Unretain),
        10 => Just(Wait),
        1 => (0..8_u32).prop_map(FailWrite),
        1 => (0..8_u32).prop_map(FailSync),
        1 => (0..300_usize).prop_map(FillDisk),
        2 => proptest::option::of(any::<u64>()).prop_map(Crash),
        1 => Just(Restart),
    ]
}

struct Harness {
    disk: FaultyDisk,
    options: OpenOptions,
    log: SegmentLog,
    /// Everything that happened, as far as it outlived the crashes so far.
    records: Vec<Record>,
    /// How many of them were there when the log was opened.
    opened_with: usize,
    naive: Naive,
    slots: [u64; SLOTS],
    /// A session that has ended; late records may still name it.
    ended: Option<u64>,
    next_session: u64,
    next_stamp: u64,
    next_packet_id: u16,
    bodies: BTreeMap<u64, Arc<Message>>,
}

impl Harness {
    fn new(durability: Durability) -> Self {
        let disk = FaultyDisk::default();
        let options = OpenOptions { durability, segment_bytes: 700, ..OpenOptions::new("/disk") };
        let (log, _) = Self::open(&disk, &options);
        Self {
            disk,
            options,
            log,
            records: Vec::new(),
            opened_with: 0,
            naive: Naive::default(),
            slots: [1, 2, 3],
            ended: None,
            next_session: 4,
            next_stamp: 1,
            next_packet_id: 1,
            bodies: BTreeMap::new(),
        }
    }

    fn open(disk: &FaultyDisk, options: &OpenOptions) -> (SegmentLog, Recovered) {
        let anchor = Anchor { now: crate::clock::now(), wall_nanoseconds: WALL };
        SegmentLog::start(options, Box::new(disk.clone()), None, anchor, &metrics()).unwrap()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Wait => self.wait(),
            Action::FailWrite(after) => self.disk.faults(|faults| faults.writes_left = Some(*after)),
            Action::FailSync(after) => self.disk.faults(|faults| faults.syncs_left = Some(*after)),
            Action::FillDisk(room) => {
                let used: usize = self.disk.sizes().values().sum();
                self.disk.faults(|faults| faults.capacity = Some(used + room));
            }
            Action::Crash(seed) => self.crash(seed.map_or(Crash::Process, Crash::Power)),
            Action::Restart => {
                self.disk.faults(|faults| faults.capacity = None);
                self.log.close();
                self.crash(Crash::Process);
            }
            other => {
                if let Some(record) = self.record(other) {
                    self.naive.apply(&record);
                    self.records.push(record.clone());
                    self.log.append(record);
                }
            }
        }
    }

    fn record(&mut self, action: &Action) -> Option<Record> {
        let slots = self.slots;
        let id = |slot: usize| session(slots[slot]);
        // Nothing names a session before it is opened.
        let known = |slot: usize| self.naive.sessions.contains_key(&slots[slot]).then_some(());
        match action {
            Action::Park(slot)
            | Action::End(slot)
            | Action::Subscribe(slot, ..)
            | Action::Unsubscribe(slot, _)
            | Action::Deliver(slot, _) => known(*slot)?,
            _ => {}
        }
        Some(match action {
            Action::Publish { slots, bytes, publisher } => {
                let slots: BTreeSet<_> = slots.iter().filter(|slot| known(**slot).is_some()).collect();
                let late = self.ended.filter(|_| bytes % 3 == 0);
                let receivers = slots.into_iter().map(|slot| id(*slot).number()).chain(late);
                let receivers = receivers.map(receiver).collect();
                let publisher = publisher.filter(|(slot, _)| known(*slot).is_some());
                let received = publisher.map(|(slot, packet)| (id(slot), vec![packet_id(packet)]));
                Record::Messages { messages: vec![self.message("topic", *bytes)], receivers, received }
            }
            Action::Deliver(slot, topic) => {
                let body = self.bodies.get(self.naive.retained.get(&self::topic(*topic))?)?;
                queued(Arc::clone(body), [slots[*slot]])
            }
            Action::Send(slot, nth) => {
                let message = self.waiting(*slot, *nth)?;
                self.next_packet_id += 1;
                let first = (packet_id(self.next_packet_id), message);
                let second = self.waiting(*slot, nth + 1).map(|message| {
                    self.next_packet_id += 1;
                    (packet_id(self.next_packet_id), message)
                });
                Record::Sent {
                    session: id(*slot),
                    messages: [Some(first), second].into_iter().flatten().collect(),
                }
            }
            Action::Receive(slot, nth) => {
                let message = self.waiting(*slot, *nth)?;
                let waiting = &self.naive.sessions.get(&slots[*slot])?.waiting;
                let mut sent = waiting.iter().filter(|(stamp, _)| *stamp == message.nanoseconds());
                let (_, packet) = sent.find_map(|(_, sent)| *sent)?;
                Record::Received { session: id(*slot), message, packet_id: packet_id(packet) }
            }
            Action::Settle(slot, nth) => {
                let second = self.waiting(*slot, nth + 1).filter(|message| message.nanoseconds() % 2 == 0);
                let messages = [Some(self.waiting(*slot, *nth)?), second].into_iter().flatten().collect();
                Record::Settled { session: id(*slot), messages }
            }
            Action::Complete(slot, nth) => {
                let (_, packet) = *self.naive.sessions.get(&slots[*slot])?.releasing.get(*nth)?;
                Record::Completed { session: id(*slot), packet_id: packet_id(packet) }
            }
            Action::Release(slot, nth) => {
                let packet = *self.naive.sessions.get(&slots[*slot])?.received.iter().nth(*nth)?;
                Record::Released { session: id(*slot), packet_id: packet_id(packet) }
            }
            Action::Retain(topic, bytes) => Record::Retained(self.message(&self::topic(*topic), *bytes)),
            Action::Unretain(topic) => Record::RetainedRemoved(self::topic(*topic).into()),
            other => return self.session_record(other),
        })
    }

    fn session_record(&mut self, action: &Action) -> Option<Record> {
        let slots = self.slots;
        let id = |slot: usize| session(slots[slot]);
        Some(match action {
            Action::Open(slot) => opened(slots[*slot]),
            Action::Park(slot) => {
                Record::SessionParked { session: id(*slot), expires_at: Some(WALL * 2), will: None }
            }
            Action::End(slot) => {
                self.ended = Some(slots[*slot]);
                self.slots[*slot] = self.next_session;
                self.next_session += 1;
                Record::SessionEnded { session: id(*slot) }
            }
            Action::Subscribe(slot, filter, walking) => {
                let subscription = Subscription {
                    qos: QoS::AtLeastOnce,
                    no_local: false,
                    retain_as_published: false,
                    id: None,
                };
                let subscription = KeptSubscription { subscription, walking: *walking };
                Record::Subscribed { session: id(*slot), filter: self::filter(*filter), subscription }
            }
            Action::Unsubscribe(slot, filter) => {
                Record::Unsubscribed { session: id(*slot), filter: self::filter(*filter) }
            }
            _ => return None,
        })
    }

    fn message(&mut self, topic: &str, bytes: usize) -> Arc<Message> {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let message = message_on(topic, &vec![b'x'; bytes], stamp, None);
        self.bodies.insert(stamp, Arc::clone(&message));
        message
    }

    fn waiting(&self, slot: usize, nth: usize) -> Option<Stamp> {
        let found = self.naive.sessions.get(&self.slots[slot])?;
        found.waiting.get(nth).map(|(stamp, _)| Stamp::from_nanoseconds(*stamp))
    }

    /// Waits until everything is safe, or the disk has failed for good. A full disk gets room after a while.
    fn wait(&self) {
        let last = Ticket::new((self.records.len() - self.opened_with) as u64);
        while self.log.wait(last, Waker::noop()) {
            match self.log.failure() {
                Some(failure) if failure.contains("goes on by itself") => {
                    self.disk.faults(|faults| faults.capacity = None);
                }
                Some(_) => return,
                None => thread::yield_now(),
            }
        }
    }

    fn crash(&mut self, crash: Crash) {
        let promised = usize::try_from(self.log.durable().position()).unwrap();
        let survives = match (self.options.durability, crash) {
            // Only the last interval is lost; how much that is, the model does not know.
            (Durability::Interval(_), Crash::Power(_)) => 0,
            _ => self.opened_with + promised,
        };
        self.disk = self.disk.crash(crash);
        let (log, recovered) = Self::open(&self.disk, &self.options);
        self.log = log;
        let found = view(&recovered);
        let kept =
            (survives..=self.records.len()).find(|kept| Naive::after(&self.records[..*kept]).view() == found);
        let Some(kept) = kept else {
            let least = Naive::after(&self.records[..survives]).view();
            let most = Naive::after(&self.records).view();
            panic!(
                "no prefix of {survives} records or more gives {found:#?}\nleast: {least:#?}\nmost: {most:#?}"
            );
        };
        self.records.truncate(kept);
        self.opened_with = kept;
        self.naive = Naive::after(&self.records);
        for slot in &mut self.slots {
            if !self.naive.sessions.contains_key(slot) {
                *slot = self.next_session;
                self.next_session += 1;
            }
        }
        for message in recovered.retained.iter().chain(
            recovered.sessions.iter().flat_map(|found| &found.queued).map(|delivery| &delivery.message),
        ) {
            let body = &self.bodies[&message.stamp().nanoseconds()];
            assert_eq!(
                (message.topic(), message.payload(), message.properties()),
                (body.topic(), body.payload(), body.properties())
            );
        }
    }
}

fn topic(number: u8) -> String {
    format!("retained/{number}")
}

fn filter(number: u8) -> TopicFilter {
    TopicFilter::new(&format!("filter/{number}/#")).unwrap()
}

fn run(durability: Durability, actions: &[Action]) {
    let mut harness = Harness::new(durability);
    for action in actions {
        harness.act(action);
    }
    harness.act(&Action::Wait);
    harness.act(&Action::Crash(Some(actions.len() as u64)));
    harness.act(&Action::Restart);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn durable_log_gives_back_what_it_promised(actions in proptest::collection::vec(action(), 1..300)) {
        run(Durability::Always, &actions);
    }

    #[test]
    fn interval_log_gives_back_a_prefix(actions in proptest::collection::vec(action(), 1..200)) {
        run(Durability::Interval(Duration::from_millis(1)), &actions);
    }
}

//! A sensor that goes on whatever happens to the broker, and notes what the broker has answered for.
//!
//! At QoS 0 and 1 each connection has a session of its own, and a number is published once: an unacknowledged one is
//! given up, so that it can be there at most once too. QoS 0 is not acknowledged; its numbers count as accepted once a
//! later message of QoS 1 of the same connection was. At QoS 2 the session outlives the connections, and every exchange
//! is completed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use gaugeline_protocol::{
    PacketId, QoS, ReasonCode, TopicName, Version,
    client::{Publication, RequestError},
};

use super::{
    ledger::Lane,
    link::{Happening, Link, Lost},
    random::Random,
};
use crate::{home::Home, wait};

/// Between attempts to connect, and between bursts on average.
const PACE: Duration = Duration::from_millis(20);

/// A running publisher.
#[derive(Debug)]
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What one publishes.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its version of MQTT.
    pub version: Version,
    /// Its numbers.
    pub lane: Lane,
    /// At QoS 0, the numbers of QoS 1 that say how far the broker has come.
    pub fence: Option<Lane>,
    /// Messages in a burst, at most.
    pub burst: u64,
    /// Unacknowledged messages above QoS 0, at most.
    pub window: usize,
}

impl Publisher {
    /// Starts one, as the user `sensor`.
    pub fn start(home: &Home, script: &Script, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let persistent = script.lane.qos == QoS::ExactlyOnce;
        let client_id = format!("publisher-{}", script.lane.name);
        let connect = Link::connect_packet(script.version, &client_id, persistent);
        let worker = Worker {
            link: Link::new(home, "sensor", connect),
            script: script.clone(),
            stop: Arc::clone(&stop),
            random: Random::new(seed),
            persistent,
            waiting: HashMap::new(),
            unfenced: Vec::new(),
            has_session: false,
        };
        let thread = thread::Builder::new().name(client_id).spawn(move || worker.run()).unwrap();
        Self { stop, thread }
    }

    /// Asks it to end once everything is acknowledged that can be.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come, or if the publisher found something wrong.
    pub fn join(self) {
        self.stop();
        let name = self.thread.thread().name().unwrap_or_default().to_owned();
        wait::until(&format!("{name} to end"), || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap_or_else(|_| panic!("{name} found a fault, see above"));
    }

    /// Whether it has ended early, because it found something wrong.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished() && !self.stop.load(Ordering::Relaxed)
    }
}

/// What an acknowledgement will say.
enum Waiting {
    Number(u64),
    /// The number of a fence, and the numbers that were published before it at QoS 0.
    Fence(u64, Vec<u64>),
}

struct Worker {
    link: Link,
    script: Script,
    stop: Arc<AtomicBool>,
    random: Random,
    persistent: bool,
    waiting: HashMap<PacketId, Waiting>,
    unfenced: Vec<u64>,
    /// The broker has acknowledged something of this session, so it must not forget it.
    has_session: bool,
}

impl Worker {
    fn run(mut self) {
        while !self.is_done() {
            if self.connect().is_err() {
                self.link.drop_connection();
                wait::pass(PACE);
                continue;
            }
            self.serve().ok();
        }
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed) && self.waiting.is_empty() && self.unfenced.is_empty()
    }

    fn connect(&mut self) -> Result<(), Lost> {
        if !self.persistent {
            self.link.begin_anew();
            self.waiting.clear();
            self.unfenced.clear();
        }
        let session_present = self.link.connect()?;
        if self.persistent && !session_present {
            assert!(!self.has_session, "the broker has forgotten a session in which it had acknowledged");
            while let Some(given_up) = self.link.client.poll_given_up() {
                assert!(given_up.publication.is_some(), "forgotten after PUBREC: {given_up:?}");
                self.waiting.remove(&given_up.packet_id);
            }
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<(), Lost> {
        while !self.is_done() {
            if !self.stop.load(Ordering::Relaxed) {
                let burst = self.random.below(self.script.burst + 1);
                self.publish(burst);
            }
            if self.script.lane.qos == QoS::AtMostOnce {
                self.publish_fence();
            }
            let happenings = self.link.exchange(self.random.milliseconds(40))?;
            for happening in happenings {
                self.handle(happening);
            }
        }
        Ok(())
    }

    fn publish(&mut self, burst: u64) {
        for _ in 0..burst {
            if self.waiting.len() >= self.script.window {
                return;
            }
            let lane = self.script.lane.clone();
            let number = lane.next();
            match self.send(&lane, number) {
                Some(packet_id) => {
                    self.waiting.insert(packet_id, Waiting::Number(number));
                }
                None if lane.qos == QoS::AtMostOnce => self.unfenced.push(number),
                None => return,
            }
        }
    }

    fn publish_fence(&mut self) {
        let Some(fence) = self.script.fence.clone() else { return };
        if self.unfenced.is_empty() || self.waiting.len() >= self.script.window {
            return;
        }
        let number = fence.next();
        if let Some(packet_id) = self.send(&fence, number) {
            self.waiting.insert(packet_id, Waiting::Fence(number, std::mem::take(&mut self.unfenced)));
        }
    }

    fn send(&mut self, lane: &Lane, number: u64) -> Option<PacketId> {
        let topic = TopicName::new(&lane.topic()).unwrap();
        let mut publication = Publication::new(topic, lane.qos, lane.payload(number).into());
        publication.retain = lane.retain;
        match self.link.client.publish(&publication) {
            Ok(packet_id) => packet_id,
            Err(RequestError::WindowClosed | RequestError::Offline) => None,
            Err(error) => panic!("cannot publish: {error}"),
        }
    }

    fn handle(&mut self, happening: Happening) {
        let Happening::Published { packet_id, reason } = happening else { return };
        let Some(waiting) = self.waiting.remove(&packet_id) else { return };
        if reason.is_error() {
            return;
        }
        assert!(
            matches!(reason, ReasonCode::Success | ReasonCode::NoMatchingSubscribers),
            "an acknowledgement says {reason}"
        );
        self.has_session = true;
        match waiting {
            Waiting::Number(number) => self.script.lane.accept([number]),
            Waiting::Fence(number, before) => {
                self.script.lane.accept(before);
                if let Some(fence) = &self.script.fence {
                    fence.accept([number]);
                }
            }
        }
    }
}

//! A client with a session that outlives its connections, and in memory, so that it survives the broker's crashes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use gaugeline_protocol::{
    QoS, TopicFilter, Version,
    packet::{RetainHandling, SubscribeFilter},
};
use parking_lot::Mutex;

use super::{
    ledger::Lane,
    link::{Happening, Link, Lost, granted},
    random::Random,
};
use crate::{home::Home, wait};

/// Between attempts to connect, and how long to wait for packets.
const PACE: Duration = Duration::from_millis(20);

/// A running subscriber.
#[derive(Debug)]
pub struct Subscriber {
    stop: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
    /// The topic's name and the number, in the order of arrival.
    arrived: Arc<Mutex<Vec<(String, u64)>>>,
    thread: JoinHandle<()>,
}

impl Subscriber {
    /// Starts one, as the user `viewer`, and waits until it has subscribed to `sensors/#`. Above 0,
    /// `breaks_off_once_in` makes it lose its connection without a word now and then.
    pub fn start(home: &Home, version: Version, qos: QoS, breaks_off_once_in: u64, seed: u64) -> Self {
        let client_id = format!("subscriber-{}-{}", qos.bits(), version.level());
        let connect = Link::connect_packet(version, &client_id, true);
        let (stop, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let worker = Worker {
            link: Link::new(home, "viewer", connect),
            qos,
            breaks_off_once_in,
            random: Random::new(seed),
            stop: Arc::clone(&stop),
            ready: Arc::clone(&ready),
            arrived: Arc::clone(&arrived),
        };
        let thread = thread::Builder::new().name(client_id).spawn(move || worker.run()).unwrap();
        wait::until("the subscription", || ready.load(Ordering::Relaxed).then_some(()));
        Self { stop, ready, arrived, thread }
    }

    /// The numbers of a lane that have arrived so far.
    pub fn arrived(&self, lane: &Lane) -> Vec<u64> {
        let arrived = self.arrived.lock();
        arrived.iter().filter(|(name, _)| *name == lane.name).map(|(_, number)| *number).collect()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it does not come, or if the subscriber found something wrong.
    pub fn join(self) {
        assert!(self.ready.load(Ordering::Relaxed));
        self.stop.store(true, Ordering::Relaxed);
        let name = self.thread.thread().name().unwrap_or_default().to_owned();
        wait::until(&format!("{name} to end"), || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap_or_else(|_| panic!("{name} found a fault, see above"));
    }
}

struct Worker {
    link: Link,
    qos: QoS,
    breaks_off_once_in: u64,
    random: Random,
    stop: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
    arrived: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Worker {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.serve().is_err() {
                self.link.drop_connection();
                wait::pass(PACE);
            }
        }
    }

    fn serve(&mut self) -> Result<(), Lost> {
        let session_present = self.link.connect()?;
        let subscribed = self.ready.load(Ordering::Relaxed);
        assert!(session_present || !subscribed, "the broker has forgotten a session with a subscription");
        if !subscribed {
            let filter = SubscribeFilter {
                filter: TopicFilter::new("sensors/#").unwrap(),
                qos: self.qos,
                no_local: false,
                retain_as_published: true,
                retain_handling: RetainHandling::OnNewSubscribe,
            };
            self.link.client.subscribe(vec![filter], None).map_err(|error| Lost(error.to_string()))?;
        }
        while !self.stop.load(Ordering::Relaxed) {
            for happening in self.link.exchange(PACE)? {
                self.handle(happening);
            }
            if self.breaks_off_once_in > 0 && self.random.once_in(self.breaks_off_once_in) {
                return Err(Lost("on purpose".to_owned()));
            }
        }
        Ok(())
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Subscribed(reasons) => {
                assert_eq!(reasons, [granted(self.qos)]);
                self.ready.store(true, Ordering::Relaxed);
            }
            Happening::Message { topic, payload, receipt, .. } => {
                let name = Lane::name_in(&topic).unwrap_or_else(|| panic!("a message on {topic}"));
                let number = Lane::number_in(&payload).unwrap_or_else(|| panic!("{topic}: {payload:?}"));
                self.arrived.lock().push((name.to_owned(), number));
                if let Some(receipt) = receipt {
                    self.link.client.acknowledge(receipt);
                }
            }
            Happening::Connected { .. } | Happening::Published { .. } => {}
        }
    }
}

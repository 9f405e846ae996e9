//! The topics under `$SYS/broker`, by which mosquitto's users watch a broker.
//!
//! They are retained apart from those of clients, so that they count nowhere as such, and outlive no process. They are
//! published at QoS 0, so that no queue fills with them, and only when they change.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use gaugeline_protocol::{
    QoS,
    packet::{Publish, PublishProperties},
};

use crate::{
    clock,
    hub::Hub,
    metrics::{DropReason, Metrics},
    router::{CachedTopic, Draft, Fanout, Message, Run},
};

/// How often the settings are looked at: a reload may change the interval.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The averages under `load`, in minutes.
const MINUTES: [u16; 3] = [1, 5, 15];
/// How often something has happened.
type Count = fn(&Metrics) -> u64;
/// What there is an average of, beside its name.
const LOADS: [(&str, Count); 7] = [
    ("publish/received", |metrics| metrics.messages_received.total()),
    ("publish/sent", |metrics| metrics.messages_sent.total()),
    ("publish/dropped", dropped),
    ("bytes/received", |metrics| metrics.bytes_received.get()),
    ("bytes/sent", |metrics| metrics.bytes_sent.get()),
    ("sockets", |metrics| metrics.connections_accepted.get()),
    ("connections", connected),
];

/// Messages that did not reach somebody, without those that nobody had a right to.
fn dropped(metrics: &Metrics) -> u64 {
    let denied = [DropReason::AclRead, DropReason::AclWrite, DropReason::AclWill];
    let denied = denied.map(|reason| metrics.messages_dropped.of(reason)).iter().sum();
    metrics.messages_dropped.total().saturating_sub(denied)
}

/// Connections that got a session.
fn connected(metrics: &Metrics) -> u64 {
    metrics.connections_accepted.get().saturating_sub(metrics.connections_refused.total())
}

/// What was published, and what the next averages begin with.
#[derive(Debug)]
pub(crate) struct StatusTopics {
    started: Instant,
    published: HashMap<String, String, RandomState>,
    clients_maximum: usize,
    last: Option<(Instant, [u64; LOADS.len()])>,
    averages: [[f64; MINUTES.len()]; LOADS.len()],
}

/// Publishes the topics for ever, as often as the settings say.
pub(crate) async fn publish(hub: Arc<Hub>) {
    let mut topics = StatusTopics::new(clock::now());
    let mut published_at: Option<Instant> = None;
    loop {
        let (interval, now) = (hub.settings.load().clients.sys_interval, clock::now());
        let Some(interval) = interval else {
            topics.withdraw(&hub);
            published_at = None;
            tokio::time::sleep(LOOK_INTERVAL).await;
            continue;
        };
        let passed = published_at.map(|then| now.saturating_duration_since(then));
        if passed.is_none_or(|passed| passed >= interval) {
            topics.publish(&hub, now);
            published_at = Some(now);
        }
        let waited = passed.filter(|passed| *passed < interval).unwrap_or_default();
        tokio::time::sleep((interval - waited).min(LOOK_INTERVAL)).await;
    }
}

impl StatusTopics {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            published: HashMap::default(),
            clients_maximum: 0,
            last: None,
            averages: Default::default(),
        }
    }

    /// Publishes what has changed.
    pub(crate) fn publish(&mut self, hub: &Hub, now: Instant) {
        let mut values = Vec::new();
        self.gather(hub, now, &mut values);
        let mut fanout = Fanout::default();
        for (name, value) in values {
            if self.published.get(&name) != Some(&value) {
                hub.publish_own(&format!("$SYS/broker/{name}"), &value, now, &mut fanout);
                self.published.insert(name, value);
            }
        }
        fanout.wake();
    }

    /// Takes back what was published.
    fn withdraw(&mut self, hub: &Hub) {
        for (name, _) in self.published.drain() {
            hub.router.status().remove(&format!("$SYS/broker/{name}"), || ());
        }
        self.last = None;
    }

    fn gather(&mut self, hub: &Hub, now: Instant, values: &mut Vec<(String, String)>) {
        let metrics = &hub.metrics;
        let (online, offline) = hub.registry.counts();
        self.clients_maximum = self.clients_maximum.max(online + offline);
        let (retained, _) = hub.router.retained().size();
        let (waiting, waiting_bytes) = (hub.queued.messages(), hub.queued.bytes());
        let uptime = now.saturating_duration_since(self.started).as_secs();
        values.push(("version".to_owned(), format!("gaugeline version {}", env!("CARGO_PKG_VERSION"))));
        values.push(("uptime".to_owned(), format!("{uptime} seconds")));
        let numbers: [(&str, u64); 20] = [
            ("clients/total", (online + offline) as u64),
            ("clients/connected", online as u64),
            ("clients/active", online as u64),
            ("clients/disconnected", offline as u64),
            ("clients/inactive", offline as u64),
            ("clients/maximum", self.clients_maximum as u64),
            ("clients/expired", metrics.sessions_expired.get()),
            ("messages/stored", waiting as u64),
            ("store/messages/count", waiting as u64),
            ("store/messages/bytes", waiting_bytes as u64),
            ("subscriptions/count", metrics.subscriptions.get().unsigned_abs()),
            ("retained messages/count", retained as u64),
            ("publish/messages/received", metrics.messages_received.total()),
            ("publish/messages/sent", metrics.messages_sent.total()),
            ("publish/messages/dropped", dropped(metrics)),
            ("bytes/received", metrics.bytes_received.get()),
            ("bytes/sent", metrics.bytes_sent.get()),
            // Packets of other kinds are not counted: these are the same as above.
            ("messages/received", metrics.messages_received.total()),
            ("messages/sent", metrics.messages_sent.total()),
            ("connections/socket/count", metrics.connections_open.get().unsigned_abs()),
        ];
        values.extend(numbers.map(|(name, number)| (name.to_owned(), number.to_string())));
        self.average(metrics, now, values);
    }

    /// The averages for a minute, that forget what is long past. From the second time on.
    fn average(&mut self, metrics: &Metrics, now: Instant, values: &mut Vec<(String, String)>) {
        let counts = LOADS.map(|(_, count)| count(metrics));
        let Some((then, before)) = self.last.replace((now, counts)) else { return };
        let seconds = now.saturating_duration_since(then).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        for (((name, _), averages), (count, before)) in
            LOADS.iter().zip(&mut self.averages).zip(counts.iter().zip(before))
        {
            let per_minute = count.saturating_sub(before) as f64 * 60.0 / seconds;
            for (minutes, average) in MINUTES.iter().zip(averages) {
                let remembered = (-seconds / (60.0 * f64::from(*minutes))).exp();
                *average = per_minute + remembered * (*average - per_minute);
                values.push((format!("load/{name}/{minutes}min"), format!("{average:.2}")));
            }
        }
    }
}

impl Hub {
    /// Publishes a message of the broker itself, for those who may read it.
    fn publish_own(&self, topic: &str, payload: &str, now: Instant, fanout: &mut Fanout) {
        let draft = Draft {
            topic,
            payload: payload.as_bytes(),
            properties: &[],
            qos: QoS::AtMostOnce,
            expires_at: None,
            publisher: None,
        };
        // There is no limit that it could exceed.
        self.router.status().insert(Arc::new(Message::new(&draft, self.stamp())), || ()).ok();
        let found = CachedTopic::of_broker(topic, &self.router, &self.access);
        if found.targets.is_empty() {
            return;
        }
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            // As a new subscriber gets it, and so also as published.
            retain: true,
            topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        let mut run = Run {
            topic: Arc::new(found),
            publishes: vec![publish],
            publisher: None,
            received_at: now,
            refused: Vec::new(),
        };
        self.route(&mut run, None, fanout);
    }
}

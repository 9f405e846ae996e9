//! Twenty simulated sensors, each with a TLS connection and the password of the user `sensor`.
//!
//! Half of them publish each value under a topic of its own, the other half one JSON object, so that both rules of
//! bridge.toml are seen at work.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use gaugeline_protocol::{
    QoS, TopicName, Version,
    client::Publication,
    packet::{Connect, ConnectProperties},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};

use super::reading::{Reading, Room};
use crate::{
    client::{Connection, Happened, Target, TlsArguments},
    clock,
    failure::Failure,
    files,
    init::{CA_CERTIFICATE, SENSOR, secret_file},
};

/// How many sensors there are.
const SENSORS: u32 = 20;
/// How often each publishes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a sensor waits before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// How long the sensors may wait for their last acknowledgements.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// The sensors at work.
#[derive(Debug)]
pub(super) struct Demo {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    tally: Arc<Tally>,
}

/// What all sensors have done.
#[derive(Debug, Default)]
struct Tally {
    online: AtomicUsize,
    acknowledged: AtomicU64,
}

impl Demo {
    /// Switches the sensors on.
    pub(super) fn start(directory: &Path, broker: SocketAddr) -> Result<Self, Failure> {
        let password = files::read_secret(&directory.join(secret_file(SENSOR)))?;
        let tls = TlsArguments { cafile: Some(directory.join(CA_CERTIFICATE)), ..TlsArguments::default() };
        let tls = tls.client_config()?;
        let (stop, stopped) = watch::channel(false);
        let tally = Arc::new(Tally::default());
        let mut tasks = JoinSet::new();
        for number in 1..=SENSORS {
            let target = Target {
                host: super::banner::host(broker.ip()),
                port: broker.port(),
                tls: Some(Arc::clone(&tls)),
                connect: connect(number, &password),
            };
            let sensor = Sensor::new(number, target, Arc::clone(&tally))?;
            tasks.spawn(sensor.run(stopped.clone()));
        }
        Ok(Self { tasks, stop, tally })
    }

    /// Whether every sensor is connected.
    pub(super) fn is_online(&self) -> bool {
        self.tally.online.load(Ordering::Relaxed) == SENSORS as usize
    }

    /// How many messages the broker has acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.tally.acknowledged.load(Ordering::Relaxed)
    }

    /// Switches the sensors off, once what they have sent is acknowledged.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_TIME_MAX, ended).await.is_err() {
            tracing::warn!("some simulated sensors got no answer for {STOP_TIME_MAX:?}");
        }
    }
}

/// How a sensor logs in.
fn connect(number: u32, password: &str) -> Connect {
    Connect {
        version: if number.is_multiple_of(4) { Version::V311 } else { Version::V5 },
        client_id: format!("demo-{number:02}"),
        clean_start: true,
        keep_alive_seconds: 30,
        will: None,
        user_name: Some(SENSOR.to_owned()),
        password: Some(Bytes::copy_from_slice(password.as_bytes())),
        properties: ConnectProperties::default(),
    }
}

/// One simulated sensor.
struct Sensor {
    target: Target,
    room: Room,
    topics: Topics,
    /// The sensors do not all publish in the same instant.
    offset: Duration,
    tally: Arc<Tally>,
}

/// Where a sensor publishes to.
enum Topics {
    /// One topic for all values, as a JSON object.
    Object(TopicName),
    /// One for each value.
    Scalars { temperature: TopicName, humidity: TopicName, battery: TopicName },
}

impl Sensor {
    fn new(number: u32, target: Target, tally: Arc<Tally>) -> Result<Self, Failure> {
        let topic = |suffix: &str| {
            TopicName::new(&format!("sensors/demo-{number:02}{suffix}")).map_err(Failure::failed)
        };
        let topics = if number.is_multiple_of(2) {
            Topics::Object(topic("")?)
        } else {
            Topics::Scalars {
                temperature: topic("/temperature")?,
                humidity: topic("/humidity")?,
                battery: topic("/battery")?,
            }
        };
        let offset = INTERVAL * number / SENSORS;
        Ok(Self { target, room: Room::new(number), topics, offset, tally })
    }

    /// Publishes until it is told to stop, over as many connections as that takes.
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let start = clock::now();
        let mut complaint = String::new();
        loop {
            match self.connection(start.into(), &mut stopped).await {
                Ok(()) => return,
                // The same again and again is told once.
                Err(failure) if failure.to_string() != complaint => {
                    complaint = failure.to_string();
                    tracing::warn!(sensor = %self.target.connect.client_id, "simulated sensor: {failure}");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(RECONNECT_PAUSE) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// Publishes over one connection.
    async fn connection(
        &mut self,
        start: Instant,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), Failure> {
        let mut connection = Connection::open(&self.target).await?;
        let tally = Arc::clone(&self.tally);
        let _online = Online::new(&tally);
        let mut interval = interval_at(Instant::from_std(clock::now()) + self.offset, INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            while let Some(happened) = connection.take()? {
                if let Happened::Published { reason, .. } = happened {
                    if reason.is_error() {
                        return Err(Failure::refused(format!("refused: {reason}")));
                    }
                    self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
            if stopping && connection.client().unacknowledged() == 0 {
                return connection.close().await;
            }
            tokio::select! {
                now = interval.tick(), if !stopping && connection.client().window() > 2 => {
                    let reading = self.room.measure(now - start);
                    for publication in self.topics.publications(reading) {
                        connection.client().publish(&publication).map_err(Failure::failed)?;
                    }
                }
                _ = stopped.wait_for(|stopped| *stopped), if !stopping => stopping = true,
                waited = connection.wait() => waited?,
            }
        }
    }
}

impl Topics {
    /// A reading as messages.
    fn publications(&self, reading: Reading) -> Vec<Publication> {
        let Reading { temperature, humidity, battery } = reading;
        let publication = |topic: &TopicName, payload: String| {
            Publication::new(topic.clone(), QoS::AtLeastOnce, payload.into())
        };
        match self {
            Self::Object(topic) => {
                let object = serde_json::json!({
                    "temperature": temperature,
                    "humidity": humidity,
                    "battery": battery,
                });
                vec![publication(topic, object.to_string())]
            }
            Self::Scalars { temperature: one, humidity: two, battery: three } => vec![
                publication(one, temperature.to_string()),
                publication(two, humidity.to_string()),
                publication(three, battery.to_string()),
            ],
        }
    }
}

/// Counts a sensor as connected for as long as it lives.
struct Online<'a>(&'a Tally);

impl<'a> Online<'a> {
    fn new(tally: &'a Tally) -> Self {
        tally.online.fetch_add(1, Ordering::Relaxed);
        Self(tally)
    }
}

impl Drop for Online<'_> {
    fn drop(&mut self) {
        self.0.online.fetch_sub(1, Ordering::Relaxed);
    }
}

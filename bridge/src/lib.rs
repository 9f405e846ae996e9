//! The bridge: writes MQTT messages to InfluxDB, or to files, as line protocol.
//!
//! A message goes from the socket ([`mqtt`]) through a mapping rule ([`mapping`]) into a batch ([`batch`]) as a line
//! ([`line_protocol`]); the batch goes to the sink ([`sink`], driven by [`delivery`]); then, and only then, its messages
//! are acknowledged ([`pipeline`]). Nothing is kept on disk meanwhile: the broker's session is the queue. A message that
//! cannot become a point is kept as a dead letter ([`dead_letter`]) and acknowledged too, so that the stream never
//! stops for it. What does not work is told by [`Bridge::readiness`] and one log line for each change.

mod batch;
mod clock;
pub mod config;
mod dead_letter;
mod delivery;
mod line_protocol;
pub mod mapping;
mod metrics;
mod mqtt;
mod own_metrics;
mod pipeline;
mod retry;
mod rotating_file;
mod sink;
mod status;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod tls;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};
use tracing::info;

use crate::{
    config::SinkConfig,
    dead_letter::DeadLetters,
    delivery::Delivery,
    mqtt::{Remembered, Source},
    own_metrics::OwnMetrics,
    pipeline::Pipeline,
    sink::Sink,
    status::{Part, Status},
};
pub use crate::{
    config::{Config, ConfigError},
    metrics::{Metrics, Reload},
    sink::SinkError,
    status::Readiness,
    tls::TlsError,
};

/// A running bridge. Dropping it stops it without draining; see [`Self::shutdown`].
#[derive(Debug)]
pub struct Bridge {
    stop: watch::Sender<Option<Instant>>,
    /// Ends with whether everything that was received is safe.
    task: JoinHandle<bool>,
    status: Arc<Status>,
    metrics: Metrics,
    /// Waits for the sink; holds the files of the bridge until it has ended.
    probe: JoinHandle<()>,
}

/// Why a bridge cannot start. A broker or a server that is not there is no reason: the bridge waits for them.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The dead letters cannot be kept.
    #[error("{}: the dead letters cannot be kept: {source}", directory.display())]
    DeadLetters {
        /// Their directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The sink cannot be used.
    #[error("the sink: {0}")]
    Sink(#[from] SinkError),
    /// The certificates for the broker cannot be used.
    #[error("TLS to the broker: {0}")]
    Tls(#[from] TlsError),
}

/// What is ready to run.
struct Opened {
    source: Source,
    delivery: Arc<Delivery>,
    own_metrics: Option<OwnMetrics>,
    status: Arc<Status>,
    metrics: Metrics,
}

impl Bridge {
    /// Opens files, then connects, subscribes and writes in the background, on the current tokio runtime, until
    /// [`Self::shutdown`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Metrics::default()).await
    }

    /// As [`Self::start`], counting on where a bridge before it has ended.
    pub async fn start_with(config: Config, metrics: Metrics) -> Result<Self, StartError> {
        let opening = tokio::task::spawn_blocking(move || Self::open(config, metrics)).await;
        // A panic while opening files: nothing runs yet.
        let Opened { source, delivery, own_metrics, status, metrics } = match opening {
            Ok(opened) => opened?,
            Err(panicked) => return Err(StartError::Sink(SinkError::Files(io::Error::other(panicked)))),
        };
        let (stop, stopped) = watch::channel(None);
        let mut ended: watch::Receiver<Option<Instant>> = stopped.clone();
        let probe = tokio::spawn(async move {
            tokio::select! {
                () = delivery.await_sink() => {}
                _ = ended.wait_for(Option::is_some) => {}
            }
        });
        if let Some(own_metrics) = own_metrics {
            // Ends by itself, with the bridge.
            tokio::spawn(own_metrics.run(stopped.clone()));
        }
        Ok(Self { stop, task: tokio::spawn(source.run(stopped)), status, metrics, probe })
    }

    /// Reads what a start would read - certificates, keys, secrets - and opens nothing for writing, so that a bridge with
    /// the same files may be running. Blocks on the file system.
    pub fn check(config: &Config) -> Result<(), StartError> {
        mqtt::check(&config.mqtt)?;
        if let SinkConfig::Influx(_) = &config.sink {
            Sink::open(&config.sink)?;
        }
        Ok(())
    }

    /// Whether messages flow, and if not, why.
    pub fn readiness(&self) -> Readiness {
        let mut readiness = self.status.readiness(clock::now());
        if self.task.is_finished() {
            readiness.problems.push("the bridge has stopped".to_owned());
        }
        readiness
    }

    /// The counters, to be registered with [`Metrics::register`].
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops reading, writes what was received, acknowledges it, and disconnects; the session stays at the broker.
    /// Answers with whether everything that was received is safe. What is not is not acknowledged either: it comes
    /// again.
    pub async fn shutdown(self, time: Duration) -> bool {
        self.stop.send_replace(Some(clock::now() + time));
        let is_safe = self.task.await.unwrap_or(false);
        // It has been told to end too, and whoever starts next needs the files.
        self.probe.await.ok();
        info!("the bridge has stopped: {} lines written", self.metrics.lines_written());
        is_safe
    }

    /// Everything that blocks.
    fn open(config: Config, metrics: Metrics) -> Result<Opened, StartError> {
        metrics.connected.set(0);
        let status = Arc::new(Status::starting(clock::now()));
        let dead_letters =
            DeadLetters::open(&config.dead_letter, metrics.clone(), clock::unix_nanoseconds()).map_err(
                |source| StartError::DeadLetters { directory: config.dead_letter.directory.clone(), source },
            )?;
        let delivery = Arc::new(Delivery {
            sink: Sink::open(&config.sink)?,
            dead_letters,
            status: Arc::clone(&status),
            metrics: metrics.clone(),
        });
        let own_metrics = config
            .own_metrics
            .map(|config| OwnMetrics::new(config, metrics.clone(), Arc::clone(&status)))
            .transpose()?;
        if matches!(config.sink, SinkConfig::Influx(_)) {
            status.awaiting(Part::Sink, clock::now());
        }
        let pipeline = Pipeline::new(config.rules, &config.batch, config.limits, Arc::clone(&delivery));
        pipeline.report();
        // Beside what else the bridge has to write itself.
        let remembered = Remembered::load(&config.dead_letter.directory);
        let source = Source::new(
            config.mqtt,
            &config.limits,
            pipeline,
            remembered,
            Arc::clone(&status),
            metrics.clone(),
        )?;
        Ok(Opened { source, delivery, own_metrics, status, metrics })
    }
}

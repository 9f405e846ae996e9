//! Writes the numbers of broker and bridge to a database of their own, for dashboards. The names are in
//! `bridge/METRICS.md`.
//!
//! A task of its own, with its own connections: however long a write takes, telemetry does not wait for it. Points that
//! cannot be written wait in a bounded backlog; they are never dead letters.

mod backlog;
mod exposition;
mod points;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use reqwest::{Client, Response, Url};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tracing::{info, warn};

use self::{backlog::Backlog, points::Points};
use crate::{
    clock,
    config::{OwnMetricsConfig, SinkConfig},
    metrics::Metrics,
    sink::{Sink, SinkError, verdict::Verdict},
    status::Status,
    tls,
};

/// How long the broker may take to answer: it is asked again soon.
const SCRAPE_TIME_MAX: Duration = Duration::from_secs(3);
/// A broker with its thousand drops by client says 200 KiB.
const SCRAPE_BYTES_MAX: usize = 4 << 20;
/// Measurement and prefix of the broker's metrics, and of the bridge's.
const BROKER: (&str, &str) = ("gaugeline_broker", "gaugeline_");
const BRIDGE: (&str, &str) = ("gaugeline_bridge", "gaugeline_bridge_");

/// Takes a sample each interval and writes it.
pub(crate) struct OwnMetrics {
    interval: Duration,
    broker: Option<(Client, Url)>,
    sink: Sink,
    registry: Registry,
    metrics: Metrics,
    status: Arc<Status>,
    points: Points,
    backlog: Backlog,
    /// Whether the last write failed: said once.
    is_failing: bool,
}

impl OwnMetrics {
    /// Gets ready; needs neither the broker nor the server.
    pub(crate) fn new(
        config: OwnMetricsConfig,
        metrics: Metrics,
        status: Arc<Status>,
    ) -> Result<Self, SinkError> {
        let client = Client::builder()
            .timeout(SCRAPE_TIME_MAX)
            .no_proxy()
            .tls_backend_preconfigured(tls::trusting_nobody()?)
            .build()
            .map_err(SinkError::Client)?;
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        Ok(Self {
            interval: config.interval,
            broker: config.broker_admin.map(|url| (client, url)),
            sink: Sink::open(&SinkConfig::Influx(config.influx))?,
            registry,
            metrics,
            status,
            points: Points::new(config.instance),
            backlog: Backlog::default(),
            is_failing: false,
        })
    }

    /// Runs until the bridge is to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<Option<std::time::Instant>>) {
        let mut ticks = interval_at(Instant::from_std(clock::now()), self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sampling = async {
            loop {
                ticks.tick().await;
                self.sample().await;
                self.write().await;
            }
        };
        tokio::select! {
            // At the end no sample is begun.
            biased;
            // An error is the bridge gone.
            _ = stop.wait_for(Option::is_some) => {}
            () = sampling => {}
        }
        self.metrics.own_samples_lost.inc_by(self.backlog.len() as u64);
    }

    /// Adds the numbers as they are now.
    async fn sample(&mut self) {
        let mut out = Vec::new();
        let scraped = match &self.broker {
            Some((client, url)) => Some(scrape(client, url).await),
            None => None,
        };
        let now = clock::unix_nanoseconds();
        match scraped {
            Some(Some(text)) => {
                let mut families = exposition::parse(&text);
                // `gaugeline up` serves both; the bridge's own are below.
                families.retain(|family| !family.name.starts_with(BRIDGE.1));
                self.points.append(&mut out, BROKER, &families, &[("up", 1.0)], now);
            }
            Some(None) => self.points.append(&mut out, BROKER, &[], &[("up", 0.0)], now),
            None => {}
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_ok() {
            let ready = if self.status.readiness(clock::now()).is_ready() { 1.0 } else { 0.0 };
            let extra = [("ready", ready), ("lag_seconds", self.metrics.lag_seconds(now))];
            self.points.append(&mut out, BRIDGE, &exposition::parse(&text), &extra, now);
        }
        self.metrics.own_samples_lost.inc_by(self.backlog.push(out.into()));
    }

    /// Writes what waits, until there is no more or the server does not take it.
    async fn write(&mut self) {
        let mut repaired = false;
        while let Some((body, count)) = self.backlog.oldest() {
            match self.sink.write(body).await {
                Verdict::Written => {
                    self.backlog.forget(count);
                    if std::mem::take(&mut self.is_failing) {
                        info!("gaugeline's own numbers are written again");
                    }
                }
                Verdict::Transient(transient) => return self.failed(&transient.detail),
                Verdict::Held { kind, detail } => {
                    // A new token, or the database that was missing: once more, at once.
                    if repaired || !self.sink.repair(kind).await {
                        return self.failed(&detail);
                    }
                    repaired = true;
                }
                Verdict::TooLarge { detail } => self.refused(count, &detail),
                Verdict::Refused(refusal) => self.refused(count, &refusal.detail),
            }
        }
    }

    fn failed(&mut self, detail: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!("gaugeline's own numbers wait, for the database {detail}; telemetry is not concerned");
        }
    }

    /// These samples will never be taken; there are others soon.
    fn refused(&mut self, count: usize, detail: &str) {
        self.backlog.forget(count);
        self.metrics.own_samples_lost.inc_by(count as u64);
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(
                "gaugeline's own numbers are refused by the database: {detail}; telemetry is not concerned"
            );
        }
    }
}

/// The text of `/metrics`; `None` if the broker does not answer as one.
async fn scrape(client: &Client, url: &Url) -> Option<String> {
    let response = client.get(url.clone()).send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    read_bounded(response).await
}

async fn read_bounded(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > SCRAPE_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).ok()
}

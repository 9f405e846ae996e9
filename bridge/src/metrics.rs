//! The bridge's counters, for Prometheus. Every message that does not become a point is counted with its reason.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{line_protocol::Repairs, mapping::Reason};

/// Why something was counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    reason: &'static str,
}

/// Why a write did not succeed.
const FAILED_WRITES: &[&str] = &[
    "unavailable",
    "breaks_off",
    "credentials",
    "permission",
    "missing",
    "configuration",
    "too_large",
    "refused",
];
/// What became of a change of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The bridge runs with it.
    Done,
    /// The bridge runs as before.
    Refused,
}

impl Reload {
    /// The value of the label `result`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    result: &'static str,
}

/// What was changed about lines.
const REPAIRS: &[&str] = &["renamed", "duplicate_tag", "duplicate_field", "not_finite", "converted"];

/// Counters and gauges, shared by cloning.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) messages_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) lines_written: Counter,
    pub(crate) bytes_written: Counter,
    pub(crate) batches_written: Counter,
    pub(crate) write_seconds: Histogram,
    pub(crate) dead_letters_deleted: Counter,
    pub(crate) connections: Counter,
    pub(crate) connected: Gauge,
    pub(crate) messages_in_flight: Gauge,
    pub(crate) bytes_in_flight: Gauge,
    /// Nanoseconds since 1970; 0 while everything is written.
    pub(crate) oldest_in_flight_nanoseconds: Gauge,
    pub(crate) written_lag_seconds: Histogram,
    pub(crate) batch_lines: Histogram,
    pub(crate) messages_skipped: Counter,
    pub(crate) own_samples_lost: Counter,
    dead_letters: Family<ReasonLabel, Counter>,
    failed_writes: Family<ReasonLabel, Counter>,
    repairs: Family<ReasonLabel, Counter>,
    reloads: Family<ResultLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            messages_received: Counter::default(),
            bytes_received: Counter::default(),
            lines_written: Counter::default(),
            bytes_written: Counter::default(),
            batches_written: Counter::default(),
            // 1 ms to 16 s.
            write_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            dead_letters_deleted: Counter::default(),
            connections: Counter::default(),
            connected: Gauge::default(),
            messages_in_flight: Gauge::default(),
            bytes_in_flight: Gauge::default(),
            oldest_in_flight_nanoseconds: Gauge::default(),
            // 2 ms to 9 hours: from a quiet day to a night without InfluxDB.
            written_lag_seconds: Histogram::new(exponential_buckets(0.002, 2.0, 25)),
            // 1 to 131 072: a batch has at most 100 000.
            batch_lines: Histogram::new(exponential_buckets(1.0, 2.0, 18)),
            messages_skipped: Counter::default(),
            own_samples_lost: Counter::default(),
            dead_letters: Family::default(),
            failed_writes: Family::default(),
            repairs: Family::default(),
            reloads: Family::default(),
        };
        // A counter that is missing until the first mishap cannot be alerted on.
        for reason in Reason::ALL {
            metrics.dead_letters.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc_by(0);
        }
        for (family, reasons) in [(&metrics.failed_writes, FAILED_WRITES), (&metrics.repairs, REPAIRS)] {
            for reason in reasons {
                family.get_or_create(&ReasonLabel { reason }).inc_by(0);
            }
        }
        for result in [Reload::Done, Reload::Refused] {
            metrics.reloads.get_or_create(&ResultLabel { result: result.as_str() }).inc_by(0);
        }
        metrics
    }
}

impl Metrics {
    /// Adds everything to a registry, below the prefix `gaugeline_bridge`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("gaugeline_bridge");
        for (name, help, counter) in [
            ("messages_received", "Messages from the broker", &self.messages_received),
            ("bytes_received", "Bytes of topics and payloads from the broker", &self.bytes_received),
            ("lines_written", "Lines that the sink has", &self.lines_written),
            ("bytes_written", "Bytes of line protocol that the sink has", &self.bytes_written),
            ("batches_written", "Batches that are done with", &self.batches_written),
            (
                "dead_letters_deleted",
                "Dead letters deleted to stay within the limit",
                &self.dead_letters_deleted,
            ),
            ("connections", "Logins at the broker that succeeded", &self.connections),
            (
                "messages_skipped",
                "Messages without a payload, which only clear a retained message",
                &self.messages_skipped,
            ),
            (
                "own_samples_lost",
                "Samples of gaugeline's own numbers that could not be written",
                &self.own_samples_lost,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            ("connected", "1 while connected to the broker", &self.connected),
            ("messages_in_flight", "Messages received and not yet written", &self.messages_in_flight),
            ("bytes_in_flight", "Bytes of messages and lines not yet written", &self.bytes_in_flight),
            (
                "oldest_in_flight_nanoseconds",
                "When the oldest message that is not yet written was received, since 1970; 0 if there is none",
                &self.oldest_in_flight_nanoseconds,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, histogram) in [
            ("write_seconds", "Time of a write to the sink", &self.write_seconds),
            (
                "written_lag_seconds",
                "Age of the oldest message of a batch when it was written, by the broker's clock",
                &self.written_lag_seconds,
            ),
            ("batch_lines", "Lines of a batch", &self.batch_lines),
        ] {
            registry.register(name, help, histogram.clone());
        }
        registry.register(
            "dead_letters",
            "Messages that became no point, by reason",
            self.dead_letters.clone(),
        );
        registry.register(
            "failed_writes",
            "Writes that did not succeed, by reason",
            self.failed_writes.clone(),
        );
        registry.register(
            "repairs",
            "What had to be changed to make valid lines: names, duplicates and numbers that are not finite",
            self.repairs.clone(),
        );
        registry.register(
            "reloads",
            "Changes of the bridge's configuration, by result",
            self.reloads.clone(),
        );
    }

    /// Whoever follows the bridge's files counts here what became of a change.
    pub fn count_reload(&self, result: Reload) {
        self.reloads.get_or_create(&ResultLabel { result: result.as_str() }).inc();
    }

    /// Dead letters so far, by reason: for tests and summaries.
    pub fn dead_letters(&self, reason: Reason) -> u64 {
        self.dead_letters.get_or_create(&ReasonLabel { reason: reason.as_str() }).get()
    }

    /// Messages from the broker so far.
    pub fn messages_received(&self) -> u64 {
        self.messages_received.get()
    }

    /// Messages that were received and are not yet written.
    pub fn messages_in_flight(&self) -> i64 {
        self.messages_in_flight.get()
    }

    /// Lines that the sink has.
    pub fn lines_written(&self) -> u64 {
        self.lines_written.get()
    }

    /// How old the oldest message is that is not yet written; 0 if there is none.
    pub(crate) fn lag_seconds(&self, now_nanoseconds: i64) -> f64 {
        match self.oldest_in_flight_nanoseconds.get() {
            0 => 0.0,
            oldest => Duration::from_nanos(now_nanoseconds.saturating_sub(oldest).max(0).unsigned_abs())
                .as_secs_f64(),
        }
    }

    pub(crate) fn count_dead_letter(&self, reason: Reason) {
        self.dead_letters.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
    }

    pub(crate) fn count_failed_write(&self, reason: &'static str) {
        self.failed_writes.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn count_converted(&self, count: u64) {
        self.repairs.get_or_create(&ReasonLabel { reason: "converted" }).inc_by(count);
    }

    pub(crate) fn count_repairs(&self, repairs: Repairs) {
        for (reason, count) in [
            ("renamed", repairs.renamed),
            ("duplicate_tag", repairs.duplicate_tags),
            ("duplicate_field", repairs.duplicate_fields),
            ("not_finite", repairs.not_finite),
        ] {
            if count > 0 {
                self.repairs.get_or_create(&ReasonLabel { reason }).inc_by(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exposed() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        metrics.count_dead_letter(Reason::InvalidJson);
        metrics.count_repairs(Repairs { renamed: 2, ..Repairs::default() });
        metrics.lines_written.inc_by(7);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "gaugeline_bridge_dead_letters_total{reason=\"invalid_json\"} 1",
            "gaugeline_bridge_dead_letters_total{reason=\"poison\"} 0",
            "gaugeline_bridge_repairs_total{reason=\"renamed\"} 2",
            "gaugeline_bridge_repairs_total{reason=\"converted\"} 0",
            "gaugeline_bridge_failed_writes_total{reason=\"unavailable\"} 0",
            "gaugeline_bridge_lines_written_total 7",
            "gaugeline_bridge_connected 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

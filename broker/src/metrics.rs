//! The numbers of the broker, as Prometheus reads them.
//!
//! Every metric is one atomic, or one per value of a label, resolved when the broker starts: counting takes no lock and
//! no lookup. Connections count in plain integers and add them here once per read batch. Every value of a label is exported
//! from the start, at zero.

mod certificates;
mod drops;
mod reason;

use std::{
    fmt::{self, Write as _},
    marker::PhantomData,
    sync::{Arc, atomic::AtomicU64},
};

use gaugeline_protocol::QoS;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

pub use certificates::CertificateExpiry;
use drops::Drops;
pub use reason::{CloseReason, DropReason, QosLabel, Reason, RefusalReason, Reload};

/// One counter for each value of a label.
#[derive(Debug)]
pub struct CounterBy<R> {
    counters: Box<[Counter]>,
    reason: PhantomData<R>,
}

impl<R: Reason> CounterBy<R> {
    /// Adds `count` to the counter of `reason`.
    pub fn inc_by(&self, reason: R, count: u64) {
        if let Some(counter) = self.counters.get(reason.index()) {
            counter.inc_by(count);
        }
    }

    /// Adds one.
    pub fn inc(&self, reason: R) {
        self.inc_by(reason, 1);
    }

    /// The count of one reason.
    pub fn of(&self, reason: R) -> u64 {
        self.counters.get(reason.index()).map_or(0, Counter::get)
    }

    /// The sum over all reasons.
    pub fn total(&self) -> u64 {
        self.counters.iter().map(Counter::get).sum()
    }
}

/// A label set of one label whose name depends on the metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Label((&'static str, LabelText));

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LabelText(&'static str);

impl EncodeLabelValue for LabelText {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.0)
    }
}

impl EncodeLabelSet for Label {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>) -> fmt::Result {
        [(self.0.0, self.0.1.0)].encode(encoder)
    }
}

/// Every metric of the broker. Names have the prefix `gaugeline_`.
#[derive(Debug)]
pub struct Metrics {
    /// Connections that are open, those before CONNECT included.
    pub connections_open: Gauge,
    /// Those of them that have not been let in yet.
    pub connections_pending: Gauge,
    /// Connections that were accepted by a listener.
    pub connections_accepted: Counter,
    /// Sessions' connections that ended.
    pub connections_closed: CounterBy<CloseReason>,
    /// Connections that ended before they had a session.
    pub connections_refused: CounterBy<RefusalReason>,
    /// TLS handshakes that failed.
    pub tls_handshake_failures: Counter,
    /// How long the files of TLS are still valid.
    pub certificate_expiry: CertificateExpiry,
    /// PUBLISH packets from clients.
    pub messages_received: CounterBy<QosLabel>,
    /// PUBLISH packets to clients.
    pub messages_sent: CounterBy<QosLabel>,
    /// Bytes of MQTT from clients, without TLS.
    pub bytes_received: Counter,
    /// Bytes of MQTT to clients, without TLS.
    pub bytes_sent: Counter,
    /// How often a client was not read from for a while, because it was over a rate.
    pub reads_slowed: Counter,
    /// Messages that the ACL did not let in.
    pub publishes_denied: Counter,
    /// Subscriptions that the ACL refused.
    pub subscribes_denied: Counter,
    /// What operators do.
    pub operation: OperationMetrics,
    /// Messages that did not reach someone, by reason.
    pub messages_dropped: CounterBy<DropReason>,
    drops: Drops,
    /// Messages that nobody subscribed to. Not a loss.
    pub messages_without_subscriber: Counter,
    /// Sessions with a connection.
    pub sessions_online: Gauge,
    /// Sessions without a connection.
    pub sessions_offline: Gauge,
    /// Sessions that ended because their expiry interval had passed.
    pub sessions_expired: Counter,
    /// Subscriptions of all sessions.
    pub subscriptions: Gauge,
    /// Retained messages.
    pub retained_messages: Gauge,
    /// Bytes of retained messages, topic and payload.
    pub retained_bytes: Gauge,
    /// Messages that wait in queues of sessions.
    pub queued_messages: Gauge,
    /// Bytes of the messages that wait.
    pub queued_bytes: Gauge,
    /// How full the fullest queue of a session without a connection is.
    pub absent_queue_fullest_percent: Gauge,
    /// How long the oldest message for a session without a connection has been waiting.
    pub absent_queue_oldest_seconds: Gauge,
    /// How long a password hash took.
    pub password_hash_seconds: Histogram,
    /// The store.
    pub storage: StorageMetrics,
    registry: Registry,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Arc<Self> {
        let mut builder = Builder { registry: Registry::with_prefix("gaugeline") };
        let b = &mut builder;
        let connections_open = b.gauge("connections_open", "Open network connections");
        let connections_pending = b.gauge("connections_pending", "Open connections not let in yet");
        let connections_accepted = b.counter("connections_accepted", "Accepted network connections");
        let connections_closed = b.counters("connections_closed", "Ended connections of sessions", "reason");
        let connections_refused =
            b.counters("connections_refused", "Connections without a session", "reason");
        let tls_handshake_failures = b.counter("tls_handshake_failures", "Failed TLS handshakes");
        let certificate_expiry = CertificateExpiry::register(&mut b.registry);
        let messages_received = b.counters("messages_received", "PUBLISH packets from clients", "qos");
        let messages_sent = b.counters("messages_sent", "PUBLISH packets to clients", "qos");
        let bytes_received = b.counter("bytes_received", "MQTT bytes from clients, without TLS");
        let bytes_sent = b.counter("bytes_sent", "MQTT bytes to clients, without TLS");
        let reads_slowed = b.counter("reads_slowed", "Pauses in reading from clients over a rate");
        let publishes_denied = b.counter("publishes_denied", "Messages that the ACL did not let in");
        let subscribes_denied = b.counter("subscribes_denied", "Subscriptions that the ACL refused");
        let operation = OperationMetrics::register(b);
        let messages_dropped =
            b.counters("messages_dropped", "Messages that did not reach someone or were not taken", "reason");
        let drops = Drops::register(&mut b.registry);
        let messages_without_subscriber =
            b.counter("messages_without_subscriber", "Messages nobody subscribed to");
        let sessions_online = b.gauge("sessions_online", "Sessions with a connection");
        let sessions_offline = b.gauge("sessions_offline", "Sessions without a connection");
        let sessions_expired = b.counter("sessions_expired", "Sessions whose expiry interval has passed");
        let subscriptions = b.gauge("subscriptions", "Subscriptions of all sessions");
        let retained_messages = b.gauge("retained_messages", "Retained messages");
        let retained_bytes = b.gauge("retained_bytes", "Bytes of retained messages, topic and payload");
        let queued_messages = b.gauge("queued_messages", "Messages that wait in queues of sessions");
        let queued_bytes = b.gauge("queued_bytes", "Bytes of messages that wait in queues of sessions");
        let (absent_queue_fullest_percent, absent_queue_oldest_seconds) = b.absent_queues();
        let password_hash_seconds = b.password_hash_seconds();
        let storage = StorageMetrics::register(b);
        Arc::new(Self {
            connections_open,
            connections_pending,
            connections_accepted,
            connections_closed,
            connections_refused,
            tls_handshake_failures,
            certificate_expiry,
            messages_received,
            messages_sent,
            bytes_received,
            bytes_sent,
            reads_slowed,
            publishes_denied,
            subscribes_denied,
            operation,
            messages_dropped,
            drops,
            messages_without_subscriber,
            sessions_online,
            sessions_offline,
            sessions_expired,
            subscriptions,
            retained_messages,
            retained_bytes,
            queued_messages,
            queued_bytes,
            absent_queue_fullest_percent,
            absent_queue_oldest_seconds,
            password_hash_seconds,
            storage,
            registry: builder.registry,
        })
    }
}

/// What operators do, and what becomes of it.
#[derive(Debug)]
pub struct OperationMetrics {
    /// Reloads of the configuration and all that it names.
    pub reloads: CounterBy<Reload>,
    /// Lines of the audit log that found no room or could not be written.
    pub audit_dropped: Counter,
}

impl OperationMetrics {
    fn register(b: &mut Builder) -> Self {
        Self {
            reloads: b.counters("reloads", "Reloads of configuration, users and certificates", "result"),
            audit_dropped: b.counter("audit_dropped", "Audit log lines that were not written"),
        }
    }
}

/// What the durable store counts. Clones count together.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    /// Groups of records that became safe together.
    pub groups: Counter,
    /// Records that became safe.
    pub records: Counter,
    /// Bytes written to the log, what was written anew included.
    pub bytes_written: Counter,
    /// How long the disk took to sync.
    pub sync_seconds: Histogram,
    /// Bytes of the log that are still needed, about.
    pub live_bytes: Gauge,
    /// Bytes of the log.
    pub disk_bytes: Gauge,
    /// Bytes that were cut off the end of the log because they were not whole.
    pub quarantined_bytes: Counter,
    /// Messages that had expired when the log was opened.
    pub expired_messages: Counter,
}

impl StorageMetrics {
    fn register(b: &mut Builder) -> Self {
        Self {
            groups: b.counter("storage_groups", "Groups of records that became safe together"),
            records: b.counter("storage_records", "Records that became safe"),
            bytes_written: b.counter("storage_bytes_written", "Bytes written to the log"),
            // From a tenth of a millisecond (a disk with a safe cache) to three seconds (a disk in distress).
            sync_seconds: b.histogram(
                "storage_sync_seconds",
                "Time that the disk took to sync",
                0.0001,
                2.0,
                16,
            ),
            live_bytes: b.gauge("storage_live_bytes", "Bytes of the log that are still needed"),
            disk_bytes: b.gauge("storage_disk_bytes", "Bytes of the log"),
            quarantined_bytes: b
                .counter("storage_quarantined_bytes", "Bytes cut off the torn end of the log"),
            expired_messages: b.counter("storage_expired_messages", "Messages that had expired at the start"),
        }
    }
}

/// What a connection has counted since it last told [`Metrics::add`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    received: [u64; 3],
    sent: [u64; 3],
}

impl Tally {
    /// A PUBLISH came in.
    pub(crate) fn received(&mut self, qos: QoS) {
        if let Some(count) = self.received.get_mut(usize::from(qos.bits())) {
            *count += 1;
        }
    }

    /// How many PUBLISH packets have come in.
    pub(crate) fn messages_received(&self) -> u64 {
        self.received.iter().sum()
    }

    /// PUBLISH packets go out.
    pub(crate) fn sent(&mut self, qos: QoS, messages: u64) {
        if let Some(count) = self.sent.get_mut(usize::from(qos.bits())) {
            *count += messages;
        }
    }
}

impl Metrics {
    /// Adds what a connection has counted, and starts its tally anew.
    pub(crate) fn add(&self, tally: &mut Tally) {
        let Tally { bytes_received, bytes_sent, received, sent } = std::mem::take(tally);
        for (counter, count) in [(&self.bytes_received, bytes_received), (&self.bytes_sent, bytes_sent)] {
            if count > 0 {
                counter.inc_by(count);
            }
        }
        for (&qos, (received, sent)) in QosLabel::ALL.iter().zip(received.into_iter().zip(sent)) {
            if received > 0 {
                self.messages_received.inc_by(qos, received);
            }
            if sent > 0 {
                self.messages_sent.inc_by(qos, sent);
            }
        }
    }
}

impl Metrics {
    /// Counts messages that did not reach `client`, or were not taken from it; `None` if nobody in particular lost them, or
    /// their topics are not known.
    pub fn count_drops(&self, reason: DropReason, client: Option<&str>, topic: Option<&str>, count: u64) {
        if count > 0 {
            self.messages_dropped.inc_by(reason, count);
            self.drops.count(reason, client.unwrap_or(drops::NONE), topic.unwrap_or(drops::NONE), count);
        }
    }
}

/// Something with metrics to export.
pub trait MetricsSource: Send + Sync + 'static {
    /// Where they are registered.
    fn registry(&self) -> &Registry;
}

impl MetricsSource for Metrics {
    fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// Registers as it creates.
struct Builder {
    registry: Registry,
}

impl Builder {
    /// From half a millisecond (a thousand iterations) to eight seconds (more than anyone wants).
    fn password_hash_seconds(&mut self) -> Histogram {
        self.histogram("password_hash_seconds", "Time to compute a password hash", 0.0005, 2.0, 15)
    }

    /// The state of the queues of sessions without a connection: fullness and age.
    fn absent_queues(&mut self) -> (Gauge, Gauge) {
        let fullest = "Fullness of the fullest queue of a session without a connection";
        let oldest = "Age of the oldest message that waits for a session without a connection";
        (
            self.gauge("absent_queue_fullest_percent", fullest),
            self.gauge("absent_queue_oldest_seconds", oldest),
        )
    }

    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::<u64, AtomicU64>::default();
        self.registry.register(name, help, counter.clone());
        counter
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help, gauge.clone());
        gauge
    }

    fn histogram(&mut self, name: &str, help: &str, first: f64, factor: f64, count: u16) -> Histogram {
        let histogram = Histogram::new(exponential_buckets(first, factor, count));
        self.registry.register(name, help, histogram.clone());
        histogram
    }

    fn counters<R: Reason>(&mut self, name: &str, help: &str, label: &'static str) -> CounterBy<R> {
        let family = Family::<Label, Counter>::default();
        self.registry.register(name, help, family.clone());
        let counters = R::ALL
            .iter()
            .map(|reason| family.get_or_create(&Label((label, LabelText(reason.label())))).clone())
            .collect();
        CounterBy { counters, reason: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, metrics.registry()).unwrap();
        text
    }

    #[test]
    fn every_reason_is_exported_from_the_start() {
        let text = text(&Metrics::new());
        for reason in DropReason::ALL {
            let line = format!("gaugeline_messages_dropped_total{{reason=\"{}\"}} 0\n", reason.label());
            assert!(text.contains(&line), "{line}{text}");
        }
        for line in ["gaugeline_messages_sent_total{qos=\"2\"} 0\n", "gaugeline_connections_open 0\n"] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn counts_arrive_under_their_reason() {
        let metrics = Metrics::new();
        metrics.connections_closed.inc(CloseReason::TakenOver);
        metrics.messages_received.inc_by(QoS::AtLeastOnce.into(), 41);
        metrics.messages_received.inc(QoS::AtLeastOnce.into());
        let text = text(&metrics);
        assert!(text.contains("gaugeline_connections_closed_total{reason=\"taken_over\"} 1\n"), "{text}");
        assert!(text.contains("gaugeline_messages_received_total{qos=\"1\"} 42\n"), "{text}");
        assert_eq!(metrics.messages_received.of(QosLabel::AtLeastOnce), 42);
        assert_eq!(metrics.connections_closed.total(), 1);
    }

    #[test]
    fn an_index_is_a_position_in_all() {
        fn check<R: Reason + fmt::Debug>() {
            for (position, reason) in R::ALL.iter().enumerate() {
                assert_eq!(reason.index(), position, "{reason:?}");
            }
        }
        check::<CloseReason>();
        check::<RefusalReason>();
        check::<DropReason>();
        check::<QosLabel>();
    }
}

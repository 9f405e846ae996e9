//! The result of a run: as a table for people, as JSON for scripts. The names in the JSON are a promise.

use std::fmt::{self, Write};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{options::Shape, plan::Plan, process::Usage, round::Outcome};

/// Everything that a run has found. Absent values were not measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    shape: &'static str,
    address: String,
    mqtt: &'static str,
    tls: bool,
    publishers: u32,
    subscribers: u32,
    qos: u8,
    payload_bytes: u32,
    window: u16,
    outstanding_max: Option<u64>,
    rate_per_second: Option<u32>,
    /// From the start to the last acknowledgement or delivery.
    seconds: f64,
    published: u64,
    acknowledged: u64,
    refused: u64,
    unacknowledged: u64,
    delivered: u64,
    lost: u64,
    repeated: u64,
    late: u64,
    foreign: u64,
    sessions_lost: u64,
    connected: u64,
    unconnected: u64,
    disconnected: u64,
    published_per_second: f64,
    delivered_per_second: f64,
    connects_per_second: Option<f64>,
    latency_microseconds: Option<Percentiles>,
    /// Until the publisher has PUBACK or PUBCOMP; only with a rate.
    acknowledge_microseconds: Option<Percentiles>,
    connect_microseconds: Option<Percentiles>,
    broker: Option<Cost>,
    generator: Option<Cost>,
    first_problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    #[serde(rename = "p99.9")]
    p999: f64,
    max: f64,
}

/// What a process has spent on the run.
#[derive(Debug, Serialize)]
struct Cost {
    cpu_seconds: f64,
    /// For each million of messages delivered (acknowledged if nobody subscribes), or of connects.
    cpu_seconds_per_million: Option<f64>,
    memory_bytes: u64,
    memory_peak_bytes: u64,
    /// Memory that each idle connection has added.
    memory_bytes_per_connection: Option<f64>,
}

/// How a run ends, for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Disconnected,
    Lost,
    /// Published, and nothing at all arrived.
    Silence,
}

impl Report {
    /// Puts the figures of the round, or of the round that matters, into words.
    pub(super) fn new(plan: &Plan, outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        let seconds = if plan.shape == Shape::Idle { plan.duration.as_secs_f64() } else { outcome.seconds };
        let per_second = |count| ratio(count, seconds);
        let expected = tally.published * plan.copies();
        let work = match plan.shape {
            Shape::Connect => tally.opened,
            Shape::Idle => 0,
            _ if plan.offline => tally.acknowledged,
            Shape::PublishOnly if plan.qos > 0 => tally.acknowledged,
            Shape::PublishOnly => tally.published,
            _ => tally.delivered,
        };
        let idle = plan.shape == Shape::Idle;
        let grown = outcome.broker_empty.zip(outcome.broker_after).filter(|_| idle).map(|(empty, after)| {
            ratio(after.memory_bytes.saturating_sub(empty.memory_bytes), f64::from(plan.connections))
        });
        let broker_since = if idle { outcome.broker_empty } else { outcome.broker_before };
        Self {
            shape: plan.shape.as_str(),
            address: plan.address.to_string(),
            mqtt: plan.version.as_str(),
            tls: plan.tls.is_some(),
            publishers: if plan.shape.publishes() { plan.publishers } else { 0 },
            subscribers: plan.subscribers,
            qos: plan.qos,
            payload_bytes: plan.payload_bytes,
            window: plan.window,
            outstanding_max: plan.outstanding,
            rate_per_second: plan.rate,
            seconds,
            published: tally.published,
            acknowledged: tally.acknowledged,
            refused: tally.refused,
            unacknowledged: if plan.qos > 0 {
                tally.published.saturating_sub(tally.acknowledged + tally.refused)
            } else {
                0
            },
            delivered: tally.delivered,
            lost: expected.saturating_sub(tally.delivered),
            repeated: tally.repeated,
            late: tally.late,
            foreign: tally.foreign,
            sessions_lost: tally.sessions_lost,
            connected: tally.opened,
            unconnected: tally.unopened,
            disconnected: tally.disconnected,
            published_per_second: per_second(tally.published),
            delivered_per_second: per_second(tally.delivered),
            connects_per_second: (plan.shape == Shape::Connect).then(|| per_second(tally.opened)),
            // Behind an absence, latency says how long the absence was.
            latency_microseconds: Percentiles::of(&tally.latency).filter(|_| !plan.offline),
            acknowledge_microseconds: Percentiles::of(&tally.acknowledging),
            connect_microseconds: Percentiles::of(&tally.connecting),
            broker: Cost::of(broker_since, outcome.broker_after, work, grown),
            generator: Cost::of(outcome.own_before, outcome.own_after, work, None),
            first_problem: tally.first_problem.clone(),
        }
    }

    /// Losses count at QoS 1 and 2: at QoS 0 they are allowed. A message that the broker refused is not lost.
    pub(super) fn verdict(&self) -> Verdict {
        if self.published > self.refused && self.subscribers > 0 && self.delivered == 0 {
            Verdict::Silence
        } else if self.qos > 0 && self.lost > self.refused.saturating_mul(u64::from(self.subscribers.max(1)))
        {
            Verdict::Lost
        } else if self.disconnected > 0 || self.unconnected > 0 {
            Verdict::Disconnected
        } else {
            Verdict::Fine
        }
    }

    fn describe(&self, out: &mut String) -> fmt::Result {
        let secured = if self.tls { " over TLS" } else { "" };
        write!(out, "{} against {}, MQTT {}{secured}", self.shape, self.address, self.mqtt)?;
        if self.publishers > 0 {
            write!(
                out,
                ": {} publishers, {} subscribers, QoS {}, {} bytes",
                self.publishers, self.subscribers, self.qos, self.payload_bytes
            )?;
        }
        if self.publishers > 0 && self.qos > 0 {
            write!(out, ", window {}", self.window)?;
        }
        match (self.rate_per_second, self.outstanding_max) {
            (Some(rate), _) => write!(out, ", {rate} messages a second")?,
            (None, Some(limit)) if self.publishers > 0 => {
                write!(out, ", at most {limit} messages under way")?
            }
            (None, _) => {}
        }
        writeln!(out)
    }

    fn tabulate(&self, out: &mut String) -> fmt::Result {
        self.describe(out)?;
        let mut row = |name: &str, value: String| writeln!(out, "  {name:<28}{value}");
        row("time", format!("{:.3} s", self.seconds))?;
        if self.publishers > 0 {
            row("published", format!("{} ({:.0}/s)", self.published, self.published_per_second))?;
            if self.qos > 0 {
                row("acknowledged", self.acknowledged.to_string())?;
            }
        }
        if self.subscribers > 0 {
            row("delivered", format!("{} ({:.0}/s)", self.delivered, self.delivered_per_second))?;
            row("lost", self.lost.to_string())?;
        }
        for (name, count) in [
            ("refused", self.refused),
            ("never acknowledged", self.unacknowledged),
            ("delivered again", self.repeated),
            ("delivered late", self.late),
            ("of other runs", self.foreign),
            ("sessions lost by the broker", self.sessions_lost),
            ("connects that failed", self.unconnected),
            ("disconnected by the broker", self.disconnected),
        ] {
            if count > 0 {
                row(name, count.to_string())?;
            }
        }
        row("connected", self.connected.to_string())?;
        if let Some(rate) = self.connects_per_second {
            row("connects a second", format!("{rate:.0}"))?;
        }
        for (name, times) in [
            ("latency", &self.latency_microseconds),
            ("acknowledged after", &self.acknowledge_microseconds),
            ("connect", &self.connect_microseconds),
        ] {
            if let Some(times) = times {
                row(name, times.to_string())?;
            }
        }
        for (name, cost) in [("broker", &self.broker), ("generator", &self.generator)] {
            if let Some(cost) = cost {
                row(name, cost.to_string())?;
            }
        }
        if let Some(problem) = &self.first_problem {
            row("first problem", problem.clone())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.tabulate(&mut text)?;
        f.write_str(&text)
    }
}

impl Percentiles {
    fn of(times: &Histogram<u64>) -> Option<Self> {
        let microseconds = |quantile| ratio(times.value_at_quantile(quantile), 1000.0);
        (!times.is_empty()).then(|| Self {
            p50: microseconds(0.5),
            p90: microseconds(0.9),
            p99: microseconds(0.99),
            p999: microseconds(0.999),
            max: ratio(times.max(), 1000.0),
        })
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  max {max:.0} microseconds")
    }
}

impl Cost {
    fn of(
        since: Option<Usage>,
        until: Option<Usage>,
        work: u64,
        per_connection: Option<f64>,
    ) -> Option<Self> {
        let (since, until) = since.zip(until)?;
        let cpu_seconds = until.cpu_seconds - since.cpu_seconds;
        Some(Self {
            cpu_seconds,
            cpu_seconds_per_million: (work > 0).then(|| cpu_seconds * 1e6 / ratio(work, 1.0)),
            memory_bytes: until.memory_bytes,
            memory_peak_bytes: until.memory_peak_bytes,
            memory_bytes_per_connection: per_connection,
        })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} CPU s", self.cpu_seconds)?;
        if let Some(cost) = self.cpu_seconds_per_million {
            write!(f, ", {cost:.3} CPU s per million")?;
        }
        let mebibytes = |bytes| ratio(bytes, 1024.0 * 1024.0);
        write!(
            f,
            ", memory {:.1} MiB, peak {:.1} MiB",
            mebibytes(self.memory_bytes),
            mebibytes(self.memory_peak_bytes)
        )?;
        match self.memory_bytes_per_connection {
            Some(bytes) => write!(f, ", {bytes:.0} bytes per connection"),
            None => Ok(()),
        }
    }
}

/// 0 if there is nothing to divide by.
#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are enough")]
fn ratio(count: u64, by: f64) -> f64 {
    if by > 0.0 { count as f64 / by } else { 0.0 }
}

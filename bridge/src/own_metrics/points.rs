//! Families of metrics to points, by the rules of `bridge/METRICS.md`.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::exposition::{Family, Kind, Sample};
use crate::line_protocol::{Encoder, FieldValue, Line, LineBreaks, LineError};

/// Clients choose the values of this label: each would be a series for ever.
const UNBOUNDED_LABEL: &str = "client";
/// Who wrote the point.
const INSTANCE_TAG: &str = "instance";
/// The field of a metric with labels.
const VALUE_FIELD: &str = "value";
/// Which quantiles of a histogram are told, and under which suffix.
const QUANTILES: [(f64, &str); 2] = [(0.5, "_p50"), (0.99, "_p99")];

/// Makes lines of families; remembers histograms, whose quantiles are those of one interval.
#[derive(Debug)]
pub(super) struct Points {
    instance: String,
    encoder: Encoder,
    /// By the full name: upper bounds and cumulative counts of the last time.
    histograms: HashMap<String, Vec<(f64, f64)>, RandomState>,
}

impl Points {
    pub(super) fn new(instance: String) -> Self {
        Self { instance, encoder: Encoder::new(LineBreaks::Fold), histograms: HashMap::default() }
    }

    /// Appends the lines of one part of the program. `measurement` is also the prefix that the families' names lose;
    /// `extra` are fields that no family has.
    pub(super) fn append(
        &mut self,
        out: &mut Vec<u8>,
        (measurement, prefix): (&str, &str),
        families: &[Family],
        extra: &[(&str, f64)],
        now_nanoseconds: i64,
    ) {
        let mut fields: Vec<(String, f64)> =
            extra.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        for family in families {
            let Some(name) = family.name.strip_prefix(prefix) else { continue };
            // In Prometheus' older text the family has the suffix.
            let name = name.strip_suffix("_total").unwrap_or(name);
            if family.kind == Kind::Histogram {
                self.histogram(&mut fields, &family.name, name, &family.samples);
                continue;
            }
            let bounded = family.samples.iter().filter(|sample| is_bounded(sample));
            let (plain, labelled): (Vec<_>, Vec<_>) = bounded.partition(|sample| sample.labels.is_empty());
            fields.extend(plain.first().map(|sample| (name.to_owned(), sample.value)));
            if family.kind == Kind::Counter && !labelled.is_empty() {
                fields.push((name.to_owned(), labelled.iter().map(|sample| sample.value).sum()));
            }
            for sample in labelled {
                let own = format!("{measurement}_{name}");
                let value = [(VALUE_FIELD.to_owned(), sample.value)];
                self.line(out, &own, &sample.labels, &value, now_nanoseconds);
            }
        }
        self.line(out, measurement, &[], &fields, now_nanoseconds);
    }

    /// A line; none if no value can be written.
    fn line(
        &mut self,
        out: &mut Vec<u8>,
        measurement: &str,
        labels: &[(String, String)],
        fields: &[(String, f64)],
        now_nanoseconds: i64,
    ) {
        let instance = &self.instance;
        let write = |line: Result<Line<'_>, LineError>| {
            let mut line = line?;
            line.tag(INSTANCE_TAG, instance)?;
            for (name, value) in labels {
                line.tag(name, value)?;
            }
            for (name, value) in fields {
                line.field(name, FieldValue::Float(*value))?;
            }
            line.finish(now_nanoseconds)
        };
        // Nothing to write, or names longer than any of ours.
        if let Err(error) = write(self.encoder.line(out, measurement)) {
            tracing::debug!(measurement, "no point: {error}");
        }
    }

    /// The fields of a histogram without labels; those with labels have too many.
    fn histogram(&mut self, fields: &mut Vec<(String, f64)>, full: &str, name: &str, samples: &[Sample]) {
        let mut buckets = Vec::new();
        for sample in samples {
            match (sample.suffix.as_str(), sample.labels.as_slice()) {
                ("_sum" | "_count", []) => fields.push((format!("{name}{}", sample.suffix), sample.value)),
                ("_bucket", [(label, bound)]) if label == "le" => {
                    buckets.extend(bound.parse().ok().map(|bound: f64| (bound, sample.value)));
                }
                _ => {}
            }
        }
        if buckets.is_empty() {
            return;
        }
        let before = self.histograms.insert(full.to_owned(), buckets.clone());
        // After a restart of the program that counts, everything is new.
        let before = before.filter(|before| {
            before.len() == buckets.len() && before.iter().zip(&buckets).all(|(old, new)| old.1 <= new.1)
        });
        let observed: Vec<_> = match before {
            None => buckets,
            Some(before) => {
                buckets.iter().zip(&before).map(|((bound, new), (_, old))| (*bound, new - old)).collect()
            }
        };
        for (part, suffix) in QUANTILES {
            fields.extend(quantile(&observed, part).map(|value| (format!("{name}{suffix}"), value)));
        }
    }
}

fn is_bounded(sample: &Sample) -> bool {
    !sample.labels.iter().any(|(name, _)| name == UNBOUNDED_LABEL)
}

/// The quantile of observations of which the cumulative counts at upper bounds are known, as if those within a bucket
/// were spread evenly. `None` without observations. Beyond the last finite bound nothing is known: that bound.
fn quantile(buckets: &[(f64, f64)], part: f64) -> Option<f64> {
    let total = buckets.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let wanted = total * part;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            if bound.is_infinite() {
                return Some(lower);
            }
            let within = count - below;
            let share = if within > 0.0 { (wanted - below) / within } else { 1.0 };
            return Some(lower + (bound - lower) * share);
        }
        (lower, below) = (*bound, *count);
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::{super::exposition::parse, *};

    fn lines(points: &mut Points, text: &str, extra: &[(&str, f64)]) -> Vec<String> {
        let mut out = Vec::new();
        points.append(&mut out, ("gaugeline_broker", "gaugeline_"), &parse(text), extra, 7);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn names_and_labels() {
        let mut points = Points::new("a b".to_owned());
        let text = "# TYPE gaugeline_connections_open gauge\ngaugeline_connections_open 3\n\
                    # TYPE gaugeline_bytes_sent counter\ngaugeline_bytes_sent_total 5\n\
                    # TYPE gaugeline_messages_received counter\n\
                    gaugeline_messages_received_total{qos=\"0\"} 1\ngaugeline_messages_received_total{qos=\"1\"} 2\n\
                    # TYPE gaugeline_messages_dropped_by_client counter\n\
                    gaugeline_messages_dropped_by_client_total{reason=\"x\",client=\"c\",topic=\"t\"} 9\n\
                    # TYPE gaugeline_certificate_seconds gauge\n\
                    gaugeline_certificate_seconds{listener=\"8883\"} 60\n\
                    # TYPE process_cpu counter\nprocess_cpu_total 5\n";
        assert_eq!(
            lines(&mut points, text, &[("up", 1.0)]),
            [
                "gaugeline_broker_messages_received,instance=a\\ b,qos=0 value=1.0 7",
                "gaugeline_broker_messages_received,instance=a\\ b,qos=1 value=2.0 7",
                "gaugeline_broker_certificate_seconds,instance=a\\ b,listener=8883 value=60.0 7",
                "gaugeline_broker,instance=a\\ b up=1.0,connections_open=3.0,bytes_sent=5.0,messages_received=3.0 7",
            ]
        );
    }

    #[test]
    fn quantiles_are_those_of_the_interval() {
        let mut points = Points::new("i".to_owned());
        let text = |counts: [u32; 3]| {
            let [first, second, all] = counts;
            format!(
                "# TYPE gaugeline_s histogram\ngaugeline_s_sum 1.5\ngaugeline_s_count {all}\n\
                 gaugeline_s_bucket{{le=\"1\"}} {first}\ngaugeline_s_bucket{{le=\"2\"}} {second}\n\
                 gaugeline_s_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let mut fields = |counts| lines(&mut points, &text(counts), &[]).remove(0);
        let at = "gaugeline_broker,instance=i";
        assert_eq!(fields([0, 0, 0]), format!("{at} s_sum=1.5,s_count=0.0 7"));
        assert_eq!(fields([100, 100, 100]), format!("{at} s_sum=1.5,s_count=100.0,s_p50=0.5,s_p99=0.99 7"));
        // Nothing since.
        assert_eq!(fields([100, 100, 100]), format!("{at} s_sum=1.5,s_count=100.0 7"));
        // All within the second bucket, then all beyond the last.
        assert_eq!(fields([100, 200, 200]), format!("{at} s_sum=1.5,s_count=200.0,s_p50=1.5,s_p99=1.99 7"));
        assert_eq!(fields([100, 200, 300]), format!("{at} s_sum=1.5,s_count=300.0,s_p50=2.0,s_p99=2.0 7"));
        // The broker was started anew.
        assert_eq!(fields([10, 10, 10]), format!("{at} s_sum=1.5,s_count=10.0,s_p50=0.5,s_p99=0.99 7"));
    }

    #[test]
    fn nothing_makes_no_line() {
        assert_eq!(lines(&mut Points::new("i".to_owned()), "", &[]), [""; 0]);
    }
}

//! The pipeline with a test double for the broker, before a real InfluxDB 1.x, before stubs of 2.x and 3, and before
//! files. What the stubs answer is what those servers were seen to answer, or what their sources say.

mod files;
mod influxd;
mod stub;
mod stubbed;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use super::*;
use crate::{
    config::{DeadLetterConfig, InfluxApi, InfluxConfig, SinkConfig},
    dead_letter::DeadLetters,
    mapping::{Reason, RuleConfig},
    metrics::Metrics,
    sink::Sink,
    status::Status,
    support,
};

/// A pipeline and what it leaves behind.
struct Rig {
    pipeline: Pipeline,
    delivery: Arc<Delivery>,
    directory: tempfile::TempDir,
    received: i64,
}

impl Rig {
    fn new(sink: &SinkConfig) -> Self {
        Self::with_batches_of(sink, 5000)
    }

    fn with_batches_of(sink: &SinkConfig, lines: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Metrics::default();
        let dead_letters = DeadLetterConfig { directory: directory.path().join("dead"), bytes: 1 << 20 };
        let delivery = Arc::new(Delivery {
            sink: Sink::open(sink).unwrap(),
            dead_letters: DeadLetters::open(&dead_letters, metrics.clone(), 0).unwrap(),
            status: Arc::new(Status::default()),
            metrics,
        });
        let rules = [
            RuleConfig { topic: "sensors/{device}/{field}".into(), ..RuleConfig::default() },
            RuleConfig { topic: "sensors/{device}".into(), ..RuleConfig::default() },
        ];
        let batch = BatchConfig { lines: NonZeroUsize::new(lines).unwrap(), ..BatchConfig::default() };
        let rules = rules.iter().map(|rule| Rule::new(rule).unwrap()).collect();
        let pipeline = Pipeline::new(rules, &batch, LimitsConfig::default(), Arc::clone(&delivery));
        Self { pipeline, delivery, directory, received: clock::unix_nanoseconds() }
    }

    fn accept(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Arrival {
        self.received += 1;
        let received_nanoseconds = self.received;
        let message = Message { topic, payload: payload.as_ref(), received_nanoseconds };
        self.pipeline.accept(&message, clock::now())
    }

    /// Until everything that was accepted is safe.
    async fn finish(&mut self) {
        let all = async {
            while !self.pipeline.is_idle() {
                self.pipeline.progress().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(600), all).await.expect("everything is safe some time");
        assert_eq!(self.pipeline.safe_up_to(), self.pipeline.last_arrival());
    }

    /// Until the sink has a problem.
    async fn until_failing(&mut self) -> String {
        loop {
            let problems = self.delivery.status.readiness(clock::now()).problems;
            if let Some(problem) = problems.first() {
                return problem.clone();
            }
            // A delivery under way does not end here: this is a pause.
            let pause = Duration::from_millis(5);
            drop(tokio::time::timeout(pause, self.pipeline.progress()).await);
        }
    }

    fn dead(&self) -> Vec<(String, String)> {
        let text = support::read_all(&self.directory.path().join("dead"), "jsonl");
        let field = |letter: &serde_json::Value, name: &str| letter[name].as_str().unwrap().to_owned();
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|letter| (field(&letter, "topic"), field(&letter, "reason")))
            .collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn v1(url: &str) -> InfluxConfig {
    let api = InfluxApi::V1 {
        database: "telemetry".into(),
        retention_policy: None,
        login: None,
        create_database: true,
    };
    InfluxConfig::new(url, api).unwrap()
}

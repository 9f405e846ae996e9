//! One batch from memory to where it is safe: its lines in the sink, its rejected messages in the dead letters.
//!
//! [`Delivery::deliver`] returns only when every message of the batch is in one of the two, however long that takes;
//! dropping its future leaves messages unacknowledged, so that the broker delivers them again. Transient failures are
//! tried again for ever. Configuration problems hold the batch and say so. Lines that the server refuses are isolated,
//! and a line that breaks the server again and again is found by halving (the poison breaker) - but no line is given
//! up for an answer that does not speak of lines unless the server takes another one at that moment (the canary).

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    batch::{Batch, Origin},
    clock,
    dead_letter::{self, DeadLetters},
    mapping::{Reason, Rejection},
    metrics::Metrics,
    retry::Backoff,
    sink::{
        Sink, convert,
        isolate::{self, Resolution},
        verdict::{Held, Refusal, Transient, Verdict},
    },
    status::{Part, Severity, Status},
};

/// Between attempts after failures that pass.
const TRANSIENT_BASE: Duration = Duration::from_millis(100);
const TRANSIENT_MAX: Duration = Duration::from_secs(10);
/// Between looks at a server that has not answered yet: whoever waits for the bridge waits for this.
const SINK_PROBE_MAX: Duration = Duration::from_secs(1);
/// Between attempts after failures that wait for someone.
const HELD_BASE: Duration = Duration::from_secs(1);
const HELD_MAX: Duration = Duration::from_secs(30);
/// After so many suspicious failures in a row of the same lines, one of them may be the cause.
const SUSPICIOUS_FAILURES_MAX: u32 = 5;
/// What halves of suspicious lines begin with: two more failures each.
const SUSPICIOUS_FAILURES_OF_HALVES: u32 = 3;
/// The measurement of the canary.
const CANARY: &str = "gaugeline_canary";

/// Sink and dead letters, with what is known about their state.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) sink: Sink,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) status: Arc<Status>,
    pub(crate) metrics: Metrics,
}

/// Lines that are sent together.
#[derive(Debug)]
struct Group {
    lines: Vec<usize>,
    suspicious_failures: u32,
}

/// What to do next about a group.
enum Next {
    /// It is dealt with.
    Done,
    /// Send it again after a while.
    Again,
    /// Send these instead.
    Groups(Vec<Group>),
}

impl Delivery {
    /// See the module.
    pub(crate) async fn deliver(&self, batch: &Batch) {
        self.bury(&batch.rejected().collect::<Vec<_>>()).await;
        if batch.lines() > 0 {
            self.write(batch).await;
            self.metrics.batch_lines.observe(batch.lines() as f64);
        }
        if let Some(received) = batch.first_received() {
            let age = clock::unix_nanoseconds().saturating_sub(received).max(0);
            self.metrics.written_lag_seconds.observe(Duration::from_nanos(age.unsigned_abs()).as_secs_f64());
        }
        self.metrics.batches_written.inc();
    }

    /// Tries to reach the sink until it answers or a batch has told more about it.
    pub(crate) async fn await_sink(&self) {
        let mut backoff = Backoff::unpredictable(TRANSIENT_BASE, SINK_PROBE_MAX);
        while self.status.is_awaited(Part::Sink) {
            match self.sink.reach().await {
                Ok(()) => return self.status.reached(Part::Sink),
                Err(reason) => self.status.not_reached(Part::Sink, &reason),
            }
            tokio::time::sleep(backoff.next(None)).await;
        }
    }

    /// A write within a write, as deep as lines can be converted: a future that holds itself has to be boxed.
    fn write_within(&self, batch: Batch) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { self.write(&batch).await })
    }

    async fn write(&self, batch: &Batch) {
        let mut work = vec![Group { lines: (0..batch.lines()).collect(), suspicious_failures: 0 }];
        while let Some(mut group) = work.pop() {
            let body = body_of(batch, &group.lines);
            let mut backoff = Backoff::unpredictable(TRANSIENT_BASE, TRANSIENT_MAX);
            let mut held_backoff = Backoff::unpredictable(HELD_BASE, HELD_MAX);
            loop {
                let started = clock::now();
                let verdict = self.sink.write(body.clone()).await;
                let took = clock::now() - started;
                self.metrics.write_seconds.observe(took.as_secs_f64());
                tracing::debug!(
                    lines = group.lines.len(),
                    bytes = body.len(),
                    milliseconds = took.as_millis(),
                    "a batch was sent: {}",
                    verdict.name()
                );
                match self.act(batch, &mut group, verdict, &mut backoff, &mut held_backoff).await {
                    Next::Again => {}
                    Next::Done => break,
                    Next::Groups(groups) => {
                        work.extend(groups);
                        break;
                    }
                }
            }
        }
    }

    /// Acts on a verdict; waits before [`Next::Again`].
    async fn act(
        &self,
        batch: &Batch,
        group: &mut Group,
        verdict: Verdict,
        backoff: &mut Backoff,
        held_backoff: &mut Backoff,
    ) -> Next {
        match verdict {
            Verdict::Written => {
                self.status.working(Part::Sink, clock::now());
                self.metrics.lines_written.inc_by(group.lines.len() as u64);
                let bytes: usize = group.lines.iter().map(|line| batch.line(*line).len()).sum();
                self.metrics.bytes_written.inc_by(bytes as u64);
                Next::Done
            }
            Verdict::Transient(transient) => self.wait(batch, group, transient, backoff).await,
            Verdict::Held { kind, detail } => {
                self.hold(kind, &detail, held_backoff).await;
                Next::Again
            }
            Verdict::TooLarge { detail } => {
                self.metrics.count_failed_write("too_large");
                match group.lines.as_slice() {
                    [line] => {
                        let rejection = Rejection::new(Reason::TooLarge, detail);
                        self.bury_lines(batch, &[(*line, rejection)]).await;
                        Next::Done
                    }
                    lines => groups(isolate::halve(lines).again, 0),
                }
            }
            Verdict::Refused(refusal) => self.isolate(batch, group, &refusal, held_backoff).await,
        }
    }

    /// A failure that passes, unless a line is the cause.
    async fn wait(
        &self,
        batch: &Batch,
        group: &mut Group,
        transient: Transient,
        backoff: &mut Backoff,
    ) -> Next {
        let kind = if transient.suspicious { "breaks_off" } else { "unavailable" };
        self.metrics.count_failed_write(kind);
        self.status.failing(Part::Sink, kind, Severity::Passing, &transient.detail, clock::now());
        tokio::time::sleep(backoff.next(transient.retry_after)).await;
        group.suspicious_failures = if transient.suspicious { group.suspicious_failures + 1 } else { 0 };
        if group.suspicious_failures < SUSPICIOUS_FAILURES_MAX || !self.takes_canary().await {
            return Next::Again;
        }
        match group.lines.as_slice() {
            [line] => {
                let rejection = Rejection::new(Reason::Poison, transient.detail);
                self.bury_lines(batch, &[(*line, rejection)]).await;
                Next::Done
            }
            lines => groups(isolate::halve(lines).again, SUSPICIOUS_FAILURES_OF_HALVES),
        }
    }

    /// Someone has to change something: do what can be done, say so, wait.
    async fn hold(&self, kind: Held, detail: &str, backoff: &mut Backoff) {
        let name = match kind {
            Held::Credentials => "credentials",
            Held::Permission => "permission",
            Held::Missing => "missing",
            Held::Configuration => "configuration",
        };
        self.metrics.count_failed_write(name);
        if self.sink.repair(kind).await && backoff.attempts() == 0 {
            // Once without waiting: a secret was rotated, or the database is there now.
            backoff.next(None);
            return;
        }
        let detail = format!("refuses all writes: {detail}");
        self.status.failing(Part::Sink, name, Severity::NeedsAttention, &detail, clock::now());
        tokio::time::sleep(backoff.next(None)).await;
    }

    /// Some lines are at fault.
    async fn isolate(&self, batch: &Batch, group: &Group, refusal: &Refusal, backoff: &mut Backoff) -> Next {
        self.metrics.count_failed_write("refused");
        if group.lines.len() == 1 && !refusal.understood && !self.takes_canary().await {
            self.hold(Held::Configuration, &refusal.detail, backoff).await;
            return Next::Again;
        }
        self.status.working(Part::Sink, clock::now());
        let Resolution { mut dead, again } = isolate::resolve(batch, &group.lines, refusal);
        if refusal.rest_written && again.is_empty() {
            self.metrics.lines_written.inc_by((group.lines.len() - dead.len()) as u64);
        }
        let converted = convert::take_convertible(batch, &mut dead);
        self.bury_lines(batch, &dead).await;
        if !converted.is_empty() {
            self.metrics.count_converted(converted.len() as u64);
            self.write_within(batch.converted(&converted)).await;
        }
        groups(again, 0)
    }

    /// Whether the server takes a line that nothing can be wrong with.
    async fn takes_canary(&self) -> bool {
        let line = format!("{CANARY} value=1i {}\n", clock::unix_nanoseconds());
        self.sink.reach().await.is_ok() && self.sink.write(line.into()).await == Verdict::Written
    }

    async fn bury_lines(&self, batch: &Batch, dead: &[(usize, Rejection)]) {
        let letters: Vec<_> =
            dead.iter().filter_map(|(line, why)| Some((batch.origin(*line)?, why))).collect();
        self.bury(&letters).await;
    }

    /// Messages to the dead letters, however long that takes.
    async fn bury(&self, letters: &[(Origin<'_>, &Rejection)]) {
        if letters.is_empty() {
            return;
        }
        let mut out = Vec::new();
        for (origin, rejection) in letters {
            dead_letter::letter(&mut out, *origin, rejection, clock::unix_nanoseconds());
        }
        let out: Arc<[u8]> = out.into();
        let mut backoff = Backoff::unpredictable(TRANSIENT_BASE, TRANSIENT_MAX);
        while let Err(error) = self.dead_letters.append(Arc::clone(&out), clock::unix_nanoseconds()).await {
            let detail = format!("cannot be written: {error}");
            self.status.failing(Part::DeadLetter, "io", Severity::NeedsAttention, &detail, clock::now());
            tokio::time::sleep(backoff.next(None)).await;
        }
        self.status.working(Part::DeadLetter, clock::now());
        for (origin, rejection) in letters {
            self.dead_letters.count(*origin, rejection, clock::now());
        }
    }
}

fn groups(lines: Vec<Vec<usize>>, suspicious_failures: u32) -> Next {
    let group = |lines| Group { lines, suspicious_failures };
    Next::Groups(lines.into_iter().filter(|lines| !lines.is_empty()).map(group).collect())
}

fn body_of(batch: &Batch, lines: &[usize]) -> Bytes {
    if lines.len() == batch.lines() {
        return Bytes::copy_from_slice(batch.body());
    }
    lines.iter().flat_map(|line| batch.line(*line)).copied().collect()
}

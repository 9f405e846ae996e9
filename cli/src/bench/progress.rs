//! One line a second on standard error while a run goes on.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{plan::Plan, round::Kind, shared::Shared, visits::Purpose};

const EVERY: Duration = Duration::from_secs(1);

/// What was shown last.
#[derive(Debug)]
pub(super) struct Progress {
    quiet: bool,
    stage: &'static str,
    clients: u64,
    began: Instant,
    shown: Instant,
    published: u64,
    delivered: u64,
    opened: u64,
}

impl Progress {
    pub(super) fn new(plan: &Plan, kind: Kind, clients: u64, now: Instant) -> Self {
        let stage = match kind {
            Kind::Load => "",
            Kind::Publish => "publishing to who is away: ",
            Kind::Collect { .. } => "collecting: ",
            Kind::Visit(Purpose::Storm, _) => "connecting: ",
            Kind::Visit(Purpose::Subscribe, _) => "subscribing: ",
            Kind::Visit(Purpose::Forget, _) => "removing sessions: ",
        };
        Self {
            quiet: plan.quiet,
            stage,
            clients,
            began: now,
            shown: now,
            published: 0,
            delivered: 0,
            opened: 0,
        }
    }

    /// Writes a line if the last one is a second old.
    pub(super) fn show(&mut self, shared: &Shared, now: Instant) {
        let passed = now.saturating_duration_since(self.shown);
        if self.quiet || passed < EVERY {
            return;
        }
        let seconds = passed.as_secs_f64();
        let opened = shared.opened.load(Relaxed);
        let published = shared.published.load(Relaxed);
        let delivered = shared.delivered.load(Relaxed);
        let mut line = format!(
            "gaugeline bench: {:>3.0} s  {}connected {opened}",
            now.saturating_duration_since(self.began).as_secs_f64(),
            self.stage,
        );
        if self.clients != u64::MAX {
            line += &format!(" of {}", self.clients);
        }
        if opened > self.opened {
            line += &format!(" ({} a second)", per_second(opened - self.opened, seconds));
        }
        if published > 0 {
            let sent = per_second(published.saturating_sub(self.published), seconds);
            let received = per_second(delivered.saturating_sub(self.delivered), seconds);
            line += &format!("  published {sent}/s  received {received}/s");
        }
        let disconnected = shared.disconnected.load(Relaxed);
        if disconnected > 0 {
            line += &format!("  disconnected {disconnected}");
        }
        eprintln!("{line}");
        (self.shown, self.published, self.delivered, self.opened) = (now, published, delivered, opened);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, seconds: f64) -> String {
    format!("{:.0}", count as f64 / seconds)
}

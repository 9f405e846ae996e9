//! What works and what does not: the answer to "is the bridge ready, and if not, why". Each part of the bridge reports
//! here; a change is one log line, however often something is tried again meanwhile.

use std::{fmt, time::Instant};

use parking_lot::Mutex;
use tracing::{error, info, warn};

/// A part that can fail on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Broker,
    Subscription,
    Sink,
    DeadLetter,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "the connection to the broker",
            Self::Subscription => "the subscription",
            Self::Sink => "the sink",
            Self::DeadLetter => "the dead letter file",
        })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// It passes by itself.
    Passing,
    /// Someone has to change something.
    NeedsAttention,
}

/// Whether the bridge does its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// What does not work, one sentence each. Empty: ready.
    pub problems: Vec<String>,
}

impl Readiness {
    /// Whether messages flow from the broker to the sink.
    pub fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What is said of a part that was not tried yet.
const NOT_REACHED: &str = "has not been reached yet";

#[derive(Debug)]
struct Problem {
    part: Part,
    /// Problems of one kind are one state.
    kind: &'static str,
    detail: String,
    since: Instant,
}

/// The state of all parts. The lock is held for a look or a change only.
#[derive(Debug, Default)]
pub(crate) struct Status {
    problems: Mutex<Vec<Problem>>,
}

impl Status {
    /// Before anything was tried the bridge is not ready, and nothing is wrong.
    pub(crate) fn starting(now: Instant) -> Self {
        let starting = Problem {
            part: Part::Broker,
            kind: "starting",
            detail: "is not established yet".to_owned(),
            since: now,
        };
        Self { problems: Mutex::new(vec![starting]) }
    }

    /// The part does not work. `kind` is stable while the cause is the same.
    pub(crate) fn failing(
        &self,
        part: Part,
        kind: &'static str,
        severity: Severity,
        detail: &str,
        now: Instant,
    ) {
        {
            let mut problems = self.problems.lock();
            match problems.iter_mut().find(|problem| problem.part == part) {
                Some(known) if known.kind == kind => {
                    if known.detail != detail {
                        detail.clone_into(&mut known.detail);
                    }
                    return;
                }
                Some(known) => {
                    if known.kind == "starting" {
                        known.since = now;
                    }
                    known.kind = kind;
                    detail.clone_into(&mut known.detail);
                }
                None => problems.push(Problem { part, kind, detail: detail.to_owned(), since: now }),
            }
        }
        match severity {
            Severity::Passing => warn!(reason = kind, "{part} {detail}; trying again until it works"),
            Severity::NeedsAttention => {
                error!(reason = kind, "{part} {detail}; nothing is dropped, trying again until it works");
            }
        }
    }

    /// The part was not tried yet, and something is to be heard of it before the bridge is ready.
    pub(crate) fn awaiting(&self, part: Part, now: Instant) {
        let detail = NOT_REACHED.to_owned();
        self.problems.lock().push(Problem { part, kind: "starting", detail, since: now });
    }

    /// The part was tried, and there was no answer: told once, unless more is known of it by now.
    pub(crate) fn not_reached(&self, part: Part, reason: &str) {
        let detail = format!("{NOT_REACHED}: {reason}");
        let is_news = {
            let mut problems = self.problems.lock();
            let awaited =
                problems.iter_mut().find(|problem| problem.part == part && problem.kind == "starting");
            awaited
                .is_some_and(|problem| std::mem::replace(&mut problem.detail, detail.clone()) == NOT_REACHED)
        };
        if is_news {
            warn!("{part} {detail}; messages wait in the broker, trying again until it works");
        }
    }

    /// Whether nothing is known of the part yet.
    pub(crate) fn is_awaited(&self, part: Part) -> bool {
        self.problems.lock().iter().any(|problem| problem.part == part && problem.kind == "starting")
    }

    /// The part answered for the first time, unless more is known of it by now.
    pub(crate) fn reached(&self, part: Part) {
        let awaited = |problem: &mut Problem| problem.part == part && problem.kind == "starting";
        let solved = self.problems.lock().extract_if(.., awaited).next();
        if solved.is_some_and(|problem| problem.detail != NOT_REACHED) {
            info!("{part} is reached");
        }
    }

    /// The part works.
    pub(crate) fn working(&self, part: Part, now: Instant) {
        let solved = {
            let mut problems = self.problems.lock();
            let at = problems.iter().position(|problem| problem.part == part);
            at.map(|at| problems.swap_remove(at))
        };
        if let Some(problem) = solved
            && problem.kind != "starting"
        {
            let seconds = now.saturating_duration_since(problem.since).as_secs_f64();
            info!("{part} works again after {seconds:.1} s");
        }
    }

    /// What does not work.
    pub(crate) fn readiness(&self, now: Instant) -> Readiness {
        let describe = |problem: &Problem| {
            let seconds = now.saturating_duration_since(problem.since).as_secs();
            format!("{} {} (for {seconds} s)", problem.part, problem.detail)
        };
        Readiness { problems: self.problems.lock().iter().map(describe).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn why_a_part_was_not_reached_is_known_until_it_is() {
        let start = crate::clock::now();
        let status = Status::starting(start);
        status.working(Part::Broker, start);
        status.awaiting(Part::Sink, start);
        assert_eq!(status.readiness(start).problems, ["the sink has not been reached yet (for 0 s)"]);
        for reason in ["refused", "refused again"] {
            status.not_reached(Part::Sink, reason);
            let expected = format!("the sink has not been reached yet: {reason} (for 0 s)");
            assert_eq!(status.readiness(start).problems, [expected]);
        }
        assert!(status.is_awaited(Part::Sink));
        status.reached(Part::Sink);
        assert!(status.readiness(start).is_ready());
        // What is known from a write is not overwritten.
        status.failing(Part::Sink, "credentials", Severity::NeedsAttention, "refuses the token", start);
        status.not_reached(Part::Sink, "refused");
        assert_eq!(status.readiness(start).problems, ["the sink refuses the token (for 0 s)"]);
    }

    #[test]
    fn problems_come_and_go() {
        let start = crate::clock::now();
        let status = Status::starting(start);
        assert!(!status.readiness(start).is_ready());
        status.working(Part::Broker, start);
        assert!(status.readiness(start).is_ready());
        status.failing(Part::Sink, "unreachable", Severity::Passing, "cannot be reached", start);
        let later = start + Duration::from_secs(5);
        status.failing(Part::Sink, "credentials", Severity::NeedsAttention, "refuses the token", later);
        let expected = ["the sink refuses the token (for 5 s)".to_owned()];
        assert_eq!(status.readiness(later).problems, expected);
        status.working(Part::Sink, later);
        assert!(status.readiness(later).is_ready());
    }
}

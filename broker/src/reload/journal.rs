//! What was loaded when, and what became of the last reload.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Trigger;
use crate::config::Config;

/// What a reload has brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In all password files together.
    pub users: usize,
    /// Clients that were disconnected because their user, right, certificate or listener has changed.
    pub disconnected: usize,
    /// Keys that were changed and hold from the next start on.
    pub at_next_start: Vec<String>,
}

/// The last attempt to reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastReload {
    /// Nanoseconds since 1970.
    pub at_nanoseconds: u64,
    /// Who asked for it.
    pub trigger: Trigger,
    /// What it has brought, or why everything stayed as it was.
    pub result: Result<Report, String>,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    started: Arc<Config>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<Config>,
    loaded_at_nanoseconds: u64,
    last: Option<LastReload>,
    at_next_start: Vec<String>,
}

impl Journal {
    /// Everything was loaded now, at the start.
    pub(super) fn new(at_nanoseconds: u64, config: Config) -> Self {
        let started = Arc::new(config);
        let state = State {
            config: Arc::clone(&started),
            loaded_at_nanoseconds: at_nanoseconds,
            last: None,
            at_next_start: Vec::new(),
        };
        Self { started, state: Mutex::new(state) }
    }

    /// What the broker was started with.
    pub fn started(&self) -> &Config {
        &self.started
    }

    /// What was loaded last; part of it may hold from the next start on.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.state.lock().config)
    }

    /// When what holds now was loaded, in nanoseconds since 1970.
    pub fn loaded_at_nanoseconds(&self) -> u64 {
        self.state.lock().loaded_at_nanoseconds
    }

    /// The last attempt; `None` since the start.
    pub fn last(&self) -> Option<LastReload> {
        self.state.lock().last.clone()
    }

    /// Keys that were changed since the start and hold from the next one on.
    pub fn at_next_start(&self) -> Vec<String> {
        self.state.lock().at_next_start.clone()
    }

    pub(super) fn error(&self) -> Option<String> {
        self.state.lock().last.as_ref().and_then(|last| last.result.as_ref().err().cloned())
    }

    pub(super) fn done(&self, at_nanoseconds: u64, trigger: Trigger, report: Report, config: Config) {
        let at_next_start = report.at_next_start.clone();
        let last = Some(LastReload { at_nanoseconds, trigger, result: Ok(report) });
        *self.state.lock() =
            State { config: Arc::new(config), loaded_at_nanoseconds: at_nanoseconds, last, at_next_start };
    }

    pub(super) fn refused(&self, at_nanoseconds: u64, trigger: Trigger, error: String) {
        self.state.lock().last = Some(LastReload { at_nanoseconds, trigger, result: Err(error) });
    }
}

//! Whether the program does its job, part by part.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;

/// The state of all parts. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// Locked for a moment by a part that changes and by a request that looks.
    components: Arc<Mutex<BTreeMap<&'static str, State>>>,
}

/// One part's handle on its own state.
#[derive(Debug, Clone)]
pub struct Component {
    name: &'static str,
    readiness: Readiness,
}

/// What `/readyz` says about a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct State {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What `/readyz` says.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    components: BTreeMap<&'static str, State>,
}

impl Readiness {
    /// Adds a part that is not ready yet. The same name again is the same part.
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { name, readiness: self.clone() };
        component.not_ready("starting");
        component
    }

    /// Whether there is a part and every part is ready.
    pub fn is_ready(&self) -> bool {
        self.report().ready
    }

    pub(super) fn report(&self) -> Report {
        let components = self.components.lock().clone();
        let ready = !components.is_empty() && components.values().all(|state| state.ready);
        Report { ready, components }
    }
}

impl Component {
    /// The part does its job.
    pub fn ready(&self) {
        self.set(State { ready: true, reason: None });
    }

    /// The part does its job, but something is not as the operator wants it, and what.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(State { ready: true, reason: Some(reason.into()) });
    }

    /// The part does not do its job, and why.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(State { ready: false, reason: Some(reason.into()) });
    }

    fn set(&self, state: State) {
        self.readiness.components.lock().insert(self.name, state);
    }
}

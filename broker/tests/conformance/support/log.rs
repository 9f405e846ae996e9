//! What the broker logs, to be asked by tests.

use std::{
    fmt,
    sync::{Arc, Once},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

/// Collects what is logged on this thread, as long as it lives: a test's runtime and its broker have one thread.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    _guard: DefaultGuard,
}

/// One log line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) message: String,
    fields: Vec<(&'static str, String)>,
}

impl Log {
    pub(crate) fn capture() -> Self {
        listen_everywhere();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let guard = tracing::subscriber::set_default(Collector { lines: Some(Arc::clone(&lines)) });
        Self { lines, _guard: guard }
    }

    /// Everything so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.lines.lock().clone()
    }

    /// The warnings so far: refusals and faults.
    pub(crate) fn warnings(&self) -> Vec<Line> {
        self.lines.lock().iter().filter(|line| line.level <= Level::WARN).cloned().collect()
    }

    /// The one warning so far, which must name this client, user and address.
    pub(crate) fn only_warning(&self, client: &str, user: &str, address: impl fmt::Display) -> String {
        let warnings = self.warnings();
        let [line] = warnings.as_slice() else { panic!("not one warning: {warnings:#?}") };
        let named = ["client", "user", "address"].map(|name| line.field(name));
        assert_eq!(named, [client, user, &address.to_string()], "{line:?}");
        line.message.clone()
    }
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| *known == name).map_or("(missing)", |(_, value)| value)
    }
}

/// With one subscriber alone, `tracing` asks only the thread that comes first to a line whether anybody wants it, and
/// remembers the answer for all threads: another test, which captures nothing, would silence this one. So there is
/// always a second one, which wants everything and keeps nothing.
fn listen_everywhere() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Collector { lines: None }).unwrap());
}

struct Collector {
    /// `None`: not kept.
    lines: Option<Arc<Mutex<Vec<Line>>>>,
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("gaugeline")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(lines) = &self.lines else { return };
        let mut line = Line { level: *event.metadata().level(), message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        lines.lock().push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }
}

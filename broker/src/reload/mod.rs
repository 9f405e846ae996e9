//! Takes changes of the configuration and of all files that it names into a running broker.
//!
//! There is one [`Reloader`], a task. Whatever triggers it, it does the same: reads everything, checks everything, and only
//! then swaps everything. Any error leaves everything as it was, and is told in the log, in the metrics, by `/readyz` and
//! in the status, until a reload succeeds. Files are followed by looking at what the system says of them: that notices
//! writing in place, renaming, and switched symbolic links. Nothing here knows the format of the configuration.

mod candidate;
mod changes;
mod journal;
mod next_start;
pub(crate) mod realms;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use self::candidate::{Candidate, Reading};
pub use self::changes::{Changes, LOOK_INTERVAL};
pub use self::journal::{Journal, LastReload, Report};
use crate::{
    admin::{AdminToken, Component},
    audit::Event,
    clock,
    config::{Config, ConfigError, Loaded, LogLevel, mosquitto::Warning},
    hub::Hub,
    metrics::Reload,
    net::{BindError, ListenError, Listeners},
    watch::FileWatch,
};

/// How long to wait for somebody who is writing a file, and how often.
const READING_INTERVAL: Duration = Duration::from_millis(10);
const READINGS_MAX: u32 = 150;
/// Requests that wait for their turn; the next one is told that the reloader is busy.
const WAITING_MAX: usize = 16;

/// What a reload was asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A file has changed.
    FileChange,
    /// SIGHUP.
    Signal,
    /// The admin API, and so `gaugeline reload`.
    Admin,
}

impl Trigger {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FileChange => "file change",
            Self::Signal => "SIGHUP",
            Self::Admin => "admin",
        }
    }
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// A file is wrong.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// An address of a new listener cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The reloader is busy, or the broker ends.
    #[error("the broker does not take a reload now: {0}")]
    Unavailable(String),
}

impl From<ListenError> for ReloadError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::File(error) => Self::File(error),
            ListenError::Bind(error) => Self::Bind(error),
        }
    }
}

/// Reads the configuration again.
pub type Reread = Box<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>;
/// Is told which lines are worth logging.
pub type SetLogLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

type Answer = oneshot::Sender<Result<Report, ReloadError>>;

/// Asks the reloader of a running broker. Clones ask the same.
#[derive(Debug, Clone)]
pub struct ReloadHandle {
    requests: mpsc::Sender<(Trigger, Answer)>,
    journal: Arc<Journal>,
}

impl ReloadHandle {
    /// Reloads now, and says what became of it.
    ///
    /// # Errors
    /// [`ReloadError`]: everything is as before.
    pub async fn reload(&self, trigger: Trigger) -> Result<Report, ReloadError> {
        let (answer, answered) = oneshot::channel();
        let busy = |_| ReloadError::Unavailable("too many wait for one, or it ends".into());
        self.requests.try_send((trigger, answer)).map_err(busy)?;
        answered.await.unwrap_or_else(|_| Err(ReloadError::Unavailable("it ends".into())))
    }

    /// What has been loaded when.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// What the reloader works on.
pub(crate) struct Subject {
    pub(crate) hub: Arc<Hub>,
    pub(crate) listeners: Arc<Listeners>,
    /// What the broker was started with.
    pub(crate) started: Config,
    pub(crate) reread: Option<Reread>,
    /// What the user was told about the configuration already.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) set_log_level: Option<SetLogLevel>,
    pub(crate) component: Component,
    /// What operators have to show.
    pub(crate) token: Arc<ArcSwapOption<AdminToken>>,
    /// Looked at before the files were read for the start.
    pub(crate) watch: FileWatch,
}

/// The task; see the module.
pub(crate) struct Reloader {
    subject: Arc<Subject>,
    requests: mpsc::Receiver<(Trigger, Answer)>,
    journal: Arc<Journal>,
    changes: Changes,
    /// What the files said when they were last read.
    digest: Option<[u8; 32]>,
    /// Of the configuration that holds.
    warnings: Vec<Warning>,
}

impl Reloader {
    /// The task to spawn, and the handle to ask it with.
    pub(crate) fn new(mut subject: Subject) -> (Self, ReloadHandle) {
        let (sender, requests) = mpsc::channel(WAITING_MAX);
        let watch = std::mem::take(&mut subject.watch);
        let warnings = std::mem::take(&mut subject.warnings);
        let journal = Arc::new(Journal::new(clock::wall_nanoseconds(), subject.started.clone()));
        subject.component.ready();
        let handle = ReloadHandle { requests: sender, journal: Arc::clone(&journal) };
        let changes = Changes::of(watch);
        let subject = Arc::new(subject);
        (Self { subject, requests, journal, changes, digest: None, warnings }, handle)
    }

    /// Works until the task is aborted.
    pub(crate) async fn run(mut self) {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((trigger, answer)) = self.requests.recv() => {
                    let result = self.reload(trigger).await;
                    // Whoever asked may have gone.
                    answer.send(result).ok();
                }
                _ = interval.tick() => {
                    if self.changes.look().await {
                        // Told to everybody who wants to know already.
                        self.reload(Trigger::FileChange).await.ok();
                    }
                }
            }
        }
    }

    /// Reads the files once nobody seems to be writing them.
    async fn read(&self) -> Result<Candidate, ReloadError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (subject, patient) = (Arc::clone(&self.subject), tries < READINGS_MAX);
            let read = tokio::task::spawn_blocking(move || Candidate::read(&subject, patient)).await;
            match read {
                Ok(Reading::Read(candidate)) => return Ok(*candidate),
                Ok(Reading::Refused(error)) => return Err(error),
                Ok(Reading::Unsettled) => tokio::time::sleep(READING_INTERVAL).await,
                Err(error) => return Err(ReloadError::Unavailable(error.to_string())),
            }
        }
    }

    async fn reload(&mut self, trigger: Trigger) -> Result<Report, ReloadError> {
        let candidate = match self.read().await {
            Ok(candidate) => candidate,
            Err(error) => return Err(self.refuse(trigger, error)),
        };
        let unchanged = self.digest.replace(candidate.digest) == Some(candidate.digest);
        let failed_before = self.changes.have_failed();
        self.changes.taken(false);
        if trigger == Trigger::FileChange && unchanged && !failed_before {
            // Touched, or taken already because somebody asked.
            return Ok(Report::default());
        }
        let config = candidate.config.clone();
        let warnings = candidate.warnings.clone();
        let report = self.install(candidate);
        self.subject.hub.metrics.operation.reloads.inc(Reload::Done);
        self.subject.component.ready();
        self.journal.done(clock::wall_nanoseconds(), trigger, report.clone(), config);
        tracing::info!(
            users = report.users,
            disconnected = report.disconnected,
            "reloaded ({}): configuration, users, rights and certificates",
            trigger.as_str()
        );
        self.warn(warnings);
        self.subject.hub.audit.record(Event::Reload {
            trigger: trigger.as_str(),
            result: "done",
            error: None,
            disconnected: report.disconnected,
        });
        for change in &report.at_next_start {
            tracing::warn!("changed, but takes effect at the next start: {change}");
        }
        Ok(report)
    }

    /// Says what works otherwise than the configuration says, unless it was said before. Lines move: they do not count.
    fn warn(&mut self, warnings: Vec<Warning>) {
        let known = std::mem::replace(&mut self.warnings, warnings);
        let is_known =
            |new: &Warning| known.iter().any(|old| (&old.path, &old.text) == (&new.path, &new.text));
        for warning in self.warnings.iter().filter(|warning| !is_known(warning)) {
            tracing::warn!("{warning}");
        }
    }

    /// Tells everybody that nothing has changed, and why; once for each reason, unless asked.
    fn refuse(&mut self, trigger: Trigger, error: ReloadError) -> ReloadError {
        let text = error.to_string();
        let known = self.changes.have_failed() && self.journal.error().as_deref() == Some(&text);
        self.changes.taken(true);
        if known && trigger == Trigger::FileChange {
            return error;
        }
        self.subject.hub.metrics.operation.reloads.inc(Reload::Refused);
        tracing::error!("reload refused ({}), everything is as before: {text}", trigger.as_str());
        self.subject.component.degraded(format!("the last reload was refused: {text}"));
        self.subject.hub.audit.record(Event::Reload {
            trigger: trigger.as_str(),
            result: "refused",
            error: Some(&text),
            disconnected: 0,
        });
        self.journal.refused(clock::wall_nanoseconds(), trigger, text);
        error
    }

    /// Nothing in here can fail.
    fn install(&mut self, candidate: Candidate) -> Report {
        let Candidate { config, access, settings, listeners, token, at_next_start, watch, .. } = candidate;
        let subject = &self.subject;
        subject.hub.set_settings(settings);
        subject.token.store(token.map(Arc::new));
        let users = access.users();
        let before = subject.hub.access.swap(access);
        subject.listeners.set_limits(&config.limits);
        subject.listeners.install(listeners, &subject.hub);
        if let Some(set) = &subject.set_log_level {
            set(config.log);
        }
        // Last: whoever comes in meanwhile is judged by the new rules, whoever was in is judged here.
        let disconnected = subject.hub.judge_connections(&before);
        self.changes.follow(watch);
        Report { users, disconnected, at_next_start }
    }
}

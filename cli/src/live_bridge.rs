//! A bridge that follows its configuration: `bridge.toml` and the certificates that it names. When they change, or on
//! SIGHUP, all is read and checked; a mistake changes nothing and is told. Else the bridge writes and acknowledges what
//! it has received, ends, and another one starts with the new configuration in its place.
//!
//! Nothing is lost in between: the broker's session keeps what is not acknowledged. Passwords and tokens are no concern
//! of this module, for the bridge reads them whenever it needs them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gaugeline_bridge::{Bridge, Config, ConfigError, Metrics, Readiness, Reload, StartError};
use gaugeline_broker::{
    reload::{Changes, LOOK_INTERVAL, Trigger},
    watch::FileWatch,
};
use gaugeline_protocol::ClientId;
use parking_lot::Mutex;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{bridge, failure::Failure};

/// How often to read files that change while they are read, and how long to wait before the next time.
const READINGS_MAX: u32 = 100;
const READING_INTERVAL: Duration = Duration::from_millis(10);
/// How often to try to start with a configuration that looked right, and how long to wait before the next time: a write
/// of the bridge before that was given up may hold a file for a moment.
const STARTS_MAX: u32 = 20;
const START_INTERVAL: Duration = Duration::from_millis(100);

/// Reads the configuration as it is now.
pub(crate) type Reread = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// See the module. It lives until [`Self::end`].
#[derive(Debug)]
pub(crate) struct LiveBridge {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    follower: JoinHandle<()>,
}

/// What operators see of it.
#[derive(Debug)]
struct Shared {
    /// Of all its bridges together: counters go on.
    metrics: Metrics,
    /// Locked for a look or a change only.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// None while one ends and the next has not started.
    bridge: Option<Bridge>,
    client_id: ClientId,
    /// Why the last change does not hold.
    refused: Option<String>,
}

/// The configuration and what it was made from.
struct Reading {
    config: Config,
    watch: FileWatch,
    /// Of the files, to tell a change from a touch.
    contents: Vec<Option<Vec<u8>>>,
}

/// The task that looks at the files.
struct Follower {
    shared: Arc<Shared>,
    path: PathBuf,
    reread: Reread,
    hangups: Signal,
    stopped: watch::Receiver<bool>,
    /// What the bridge runs with.
    config: Config,
    /// Of the files when they were last right.
    contents: Vec<Option<Vec<u8>>>,
    changes: Changes,
    /// Why the files, though right, could not be started with.
    unstartable: Option<String>,
}

impl LiveBridge {
    /// Starts a bridge with the file at `path`, as `reread` understands it. Must be called within the runtime.
    pub(crate) async fn start(path: &Path, reread: Reread) -> Result<Self, Failure> {
        let hangups = signal(SignalKind::hangup()).map_err(Failure::failed)?;
        let Reading { config, watch, contents } = read(path, &reread).await?;
        tracing::info!(broker = %config.mqtt.url, "starting the bridge");
        let metrics = Metrics::default();
        let bridge =
            Bridge::start_with(config.clone(), metrics.clone()).await.map_err(bridge::start_failure)?;
        let state = State { bridge: Some(bridge), client_id: config.mqtt.client_id.clone(), refused: None };
        let shared = Arc::new(Shared { metrics, state: Mutex::new(state) });
        let (stop, stopped) = watch::channel(false);
        let follower = Follower {
            shared: Arc::clone(&shared),
            path: path.to_owned(),
            reread,
            hangups,
            stopped,
            config,
            contents,
            changes: Changes::of(watch),
            unstartable: None,
        };
        Ok(Self { shared, stop, follower: tokio::spawn(follower.run()) })
    }

    /// The counters, which go on over all changes.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// As of the bridge; also not ready while it is being exchanged.
    pub(crate) fn readiness(&self) -> Readiness {
        match &self.shared.state.lock().bridge {
            Some(bridge) => bridge.readiness(),
            None => {
                Readiness { problems: vec!["the bridge starts anew with a changed configuration".to_owned()] }
            }
        }
    }

    /// Why the last change does not hold, if it does not.
    pub(crate) fn refused(&self) -> Option<String> {
        self.shared.state.lock().refused.clone()
    }

    /// Follows no more. Hands over the running bridge, unless it was just being exchanged, and the name of its session.
    pub(crate) async fn end(self) -> (Option<Bridge>, ClientId) {
        self.stop.send_replace(true);
        // A panic there leaves the bridge as it is.
        self.follower.await.ok();
        let mut state = self.shared.state.lock();
        (state.bridge.take(), state.client_id.clone())
    }
}

impl Follower {
    /// Works until it is told to end.
    async fn run(mut self) {
        let mut interval = interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopped = self.stopped.clone();
        loop {
            let trigger = tokio::select! {
                () = until_told(&mut stopped) => return,
                Some(()) = self.hangups.recv() => Trigger::Signal,
                _ = interval.tick() => match self.changes.look().await {
                    true => Trigger::FileChange,
                    false => continue,
                },
            };
            self.reload(trigger).await;
        }
    }

    async fn reload(&mut self, trigger: Trigger) {
        let Reading { config, watch, contents } = match read(&self.path, &self.reread).await {
            Ok(reading) => reading,
            Err(failure) => {
                self.changes.taken(true);
                return self.refuse(trigger, failure.to_string());
            }
        };
        self.changes.taken(false);
        self.changes.follow(watch);
        let is_changed = std::mem::replace(&mut self.contents, contents) != self.contents;
        if is_changed || (trigger == Trigger::Signal && self.unstartable.is_some()) {
            return self.exchange(trigger, config).await;
        }
        let refused = std::mem::replace(&mut self.shared.state.lock().refused, self.unstartable.clone());
        if trigger == Trigger::Signal || refused.is_some() {
            tracing::info!("reloaded ({}): the bridge's files are as they were", trigger.as_str());
        }
    }

    /// Ends the bridge and starts the next one; with the old configuration if the new one cannot be started with.
    async fn exchange(&mut self, trigger: Trigger, config: Config) {
        tracing::info!("the bridge's configuration has changed ({}): starting anew", trigger.as_str());
        let running = self.shared.state.lock().bridge.take();
        if let Some(running) = running {
            bridge::drain(running).await;
        }
        self.unstartable = None;
        let mut candidate = &config;
        while !*self.stopped.borrow() {
            let error = match self.start(candidate).await {
                Ok(bridge) => {
                    self.shared.state.lock().bridge = Some(bridge);
                    break;
                }
                Err(error) => format!("the bridge cannot be started: {error}"),
            };
            if std::ptr::eq(candidate, &raw const config) {
                self.unstartable = Some(error.clone());
                self.refuse(trigger, error);
                candidate = &self.config;
            } else {
                tracing::error!("{error}; trying again");
            }
        }
        if self.unstartable.is_some() || *self.stopped.borrow() {
            return;
        }
        self.shared.metrics.count_reload(Reload::Done);
        tell(trigger, &self.config, &config);
        let mut state = self.shared.state.lock();
        state.refused = None;
        state.client_id = config.mqtt.client_id.clone();
        drop(state);
        self.config = config;
    }

    async fn start(&self, config: &Config) -> Result<Bridge, StartError> {
        let mut starts = 1;
        loop {
            match Bridge::start_with(config.clone(), self.shared.metrics.clone()).await {
                Err(_) if starts < STARTS_MAX => sleep(START_INTERVAL).await,
                done => return done,
            }
            starts += 1;
        }
    }

    /// Tells everybody that nothing has changed, and why; once for each reason, unless asked.
    fn refuse(&self, trigger: Trigger, reason: String) {
        let known = self.shared.state.lock().refused.replace(reason.clone());
        if trigger == Trigger::FileChange && known.as_ref() == Some(&reason) {
            return;
        }
        self.shared.metrics.count_reload(Reload::Refused);
        tracing::error!("reload refused ({}), the bridge runs as before: {reason}", trigger.as_str());
    }
}

/// Returns when the follower is to end: it is told, or nobody is left who could tell.
async fn until_told(stopped: &mut watch::Receiver<bool>) {
    stopped.wait_for(|stopped| *stopped).await.ok();
}

/// Says what holds, and what it means for messages that the broker still has.
fn tell(trigger: Trigger, before: &Config, now: &Config) {
    let (rules, topics) = (now.rules.len(), now.mqtt.topics.len());
    tracing::info!(rules, topics, broker = %now.mqtt.url, "reloaded ({}): the bridge's configuration", trigger.as_str());
    let (id_before, id) = (before.mqtt.client_id.as_str(), now.mqtt.client_id.as_str());
    if before.mqtt.url != now.mqtt.url {
        tracing::warn!(
            "the broker is another one: what {} still keeps for {id_before:?} stays there and is not written, unless \
             a bridge comes for it before the session expires",
            before.mqtt.url
        );
    } else if id_before != id {
        tracing::warn!(
            "the client id is {id:?} now: the broker goes on keeping messages for {id_before:?}, until that session \
             expires; they are not written, unless a bridge with that client id comes for them"
        );
    }
}

/// Reads and checks everything, once nobody seems to be writing it.
async fn read(path: &Path, reread: &Reread) -> Result<Reading, Failure> {
    let mut readings = 1;
    loop {
        let (path, reread) = (path.to_owned(), Arc::clone(reread));
        let read = tokio::task::spawn_blocking(move || read_once(&path, &reread)).await;
        let (result, is_settled) = read.map_err(Failure::failed)?;
        if is_settled || readings == READINGS_MAX {
            return result;
        }
        readings += 1;
        sleep(READING_INTERVAL).await;
    }
}

/// The configuration, or what is wrong with it; and whether no file changed meanwhile.
fn read_once(path: &Path, reread: &Reread) -> (Result<Reading, Failure>, bool) {
    let mut own = FileWatch::new([path.to_owned()]);
    let config = match reread() {
        Ok(config) => config,
        Err(error) => return (Err(Failure::configuration(error)), !own.look()),
    };
    let files = Vec::from_iter([path.to_owned()].into_iter().chain(config.files_read_at_start()));
    let mut watch = FileWatch::new(files.clone());
    let contents = files.iter().map(|file| std::fs::read(file).ok()).collect();
    let checked = Bridge::check(&config).map_err(bridge::start_failure);
    let is_settled = !own.look() && !watch.look();
    (checked.map(|()| Reading { config, watch, contents }), is_settled)
}

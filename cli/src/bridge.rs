//! `gaugeline bridge`: the bridge by itself, and what `up` needs to show it to operators.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use gaugeline_bridge::{Bridge, Config, Metrics, StartError};
use gaugeline_broker::{
    admin::{AdminServer, Component, Readiness},
    metrics::MetricsSource,
};
use prometheus_client::registry::Registry;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{check, failure::Failure, live_bridge::LiveBridge, logging, signals::Shutdown};

/// How long the bridge may take to write what it has received when the program ends. What is not written by then
/// is not acknowledged: the broker keeps it.
pub(crate) const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(20);
/// The same while the sink does not take anything: it is unlikely to start now, and nothing is lost by leaving.
const SHUTDOWN_TIME_MAX_UNREADY: Duration = Duration::from_secs(3);
/// How long the end may take before the user is told why.
const SHUTDOWN_SILENCE: Duration = Duration::from_secs(1);
/// How often `/readyz` learns about the bridge.
const READINESS_INTERVAL: Duration = Duration::from_millis(250);

const EXAMPLES: &str = "\
Examples:
  gaugeline bridge -c /srv/gaugeline/bridge.toml --admin 127.0.0.1:9884

Needs a broker, gaugeline's or another one. Follows changes of its files, and reads them on SIGHUP; a mistake changes \
nothing. Ctrl-C or SIGTERM ends it in order: what was received is written and \
acknowledged. A second one ends it at once; then the broker sends again what was not acknowledged.";

/// Run the bridge alone
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The bridge's configuration, as `gaugeline init` creates it
    #[arg(short = 'c', long, value_name = "FILE")]
    config: PathBuf,
    /// Serve /metrics, /healthz and /readyz over HTTP here
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, logging: &logging::Arguments) -> Result<(), Failure> {
    // A mistake is told before anything else is.
    Config::load(&arguments.config).map_err(|error| check::unreadable_bridge(&arguments.config, error))?;
    drop(logging.install("info")?);
    crate::runtime()?.block_on(serve(&arguments.config, arguments.admin))
}

/// Bridges until the user wants it to end.
async fn serve(path: &Path, admin: Option<SocketAddr>) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let readiness = Readiness::default();
    let metrics = Arc::new(BridgeMetrics::default());
    let monitor = Monitor::new(&readiness);
    let _admin = admin
        .map(|address| AdminServer::start(address, vec![Arc::clone(&metrics) as _], readiness))
        .transpose()
        .map_err(Failure::failed)?;
    let file = path.to_owned();
    let bridge = LiveBridge::start(path, Arc::new(move || Config::load(&file))).await?;
    metrics.fill(bridge.metrics());
    tokio::select! {
        () = monitor.watch(&bridge) => {}
        () = shutdown.requested() => {}
    }
    tracing::info!("ending: writing what was received");
    if let (Some(bridge), _) = bridge.end().await {
        stop(bridge).await;
    }
    Ok(())
}

/// Ends the bridge, and says what takes long and whether everything could be written.
pub(crate) async fn stop(bridge: Bridge) {
    let time_max = shutdown_time_max(&bridge);
    let explanation = async {
        sleep(SHUTDOWN_SILENCE).await;
        eprintln!("Writing what was received; this may take up to {} s.", time_max.as_secs());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = explanation => {}
        () = drain(bridge) => {}
    }
}

/// Ends the bridge, and logs whether everything could be written.
pub(crate) async fn drain(bridge: Bridge) {
    let time_max = shutdown_time_max(&bridge);
    if !bridge.shutdown(time_max).await {
        tracing::warn!(
            "not everything that was received could be written; the rest is not acknowledged, and the broker \
             will send it again"
        );
    }
}

fn shutdown_time_max(bridge: &Bridge) -> Duration {
    if bridge.readiness().is_ready() { SHUTDOWN_TIME_MAX } else { SHUTDOWN_TIME_MAX_UNREADY }
}

/// Tells faults of files from those of the machine.
pub(crate) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Tls(_) => Failure::configuration(error),
        _ => Failure::failed(error),
    }
}

/// Tells the operators' readiness about the bridge.
#[derive(Debug)]
pub(crate) struct Monitor(Component);

impl Monitor {
    /// The bridge is not ready yet.
    pub(crate) fn new(readiness: &Readiness) -> Self {
        Self(readiness.component("bridge"))
    }

    /// Keeps the readiness up to date for ever.
    pub(crate) async fn watch(&self, bridge: &LiveBridge) {
        let mut interval = interval(READINESS_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.look(bridge);
        }
    }

    /// Brings the readiness up to date once.
    pub(crate) fn look(&self, bridge: &LiveBridge) {
        let mut problems = bridge.readiness().problems;
        let is_ready = problems.is_empty();
        problems.extend(bridge.refused().map(|reason| format!("the last reload was refused: {reason}")));
        match (is_ready, problems.is_empty()) {
            (true, true) => self.0.ready(),
            (true, false) => self.0.degraded(problems.join("; ")),
            (false, _) => self.0.not_ready(problems.join("; ")),
        }
    }
}

/// The bridge's metrics, for an admin server that starts before the bridge.
#[derive(Debug, Default)]
pub(crate) struct BridgeMetrics {
    registry: OnceLock<Registry>,
    none: Registry,
}

impl BridgeMetrics {
    /// From now on the bridge's numbers are served.
    pub(crate) fn fill(&self, metrics: &Metrics) {
        self.registry.get_or_init(|| {
            let mut registry = Registry::default();
            metrics.register(&mut registry);
            registry
        });
    }
}

impl MetricsSource for BridgeMetrics {
    fn registry(&self) -> &Registry {
        self.registry.get().unwrap_or(&self.none)
    }
}

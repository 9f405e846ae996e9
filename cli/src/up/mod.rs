//! `gaugeline up`: everything with one command. Creates what is missing, then runs the broker and the bridge in one
//! process; they talk over the same TLS socket as the sensors.

mod banner;
mod demo;
mod destination;
mod ending;
mod ports;
mod reading;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use gaugeline_bridge::{
    Config as BridgeConfig, ConfigError as BridgeConfigError,
    config::{InfluxApi, SinkConfig},
};
use gaugeline_broker::{
    BindError, Bound, Broker, StartError, Surroundings,
    admin::AdminError,
    config::{Config as BrokerConfig, ListenerConfig, Loaded},
};
use reqwest::Url;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::{
    bridge::{BridgeMetrics, Monitor},
    broker::{self, StorageArguments},
    failure::Failure,
    files_open,
    init::{self, BRIDGE_CONFIG, BROKER_CONFIG, HostName},
    live_bridge::LiveBridge,
    logging,
    output::say,
    process,
    signals::{self, Shutdown},
};
use banner::{Banner, Data};
use demo::Demo;

/// How long the program waits for the bridge before it says what is missing.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How often the demonstration says what it has done.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  gaugeline up --demo
  gaugeline up --influx http://127.0.0.1:8086 --db telemetry
  gaugeline up /srv/gaugeline --influx http://influx:8086 --org home --bucket telemetry --token-file token

The directory is completed as by `gaugeline init`. Ctrl-C or SIGTERM ends everything in order, a second one at once.";

/// Run everything: broker and bridge, created as needed
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Directory of configuration, certificates, users and data; created as needed
    #[arg(value_name = "DIR", default_value = "gaugeline-data")]
    directory: PathBuf,
    /// Start 20 simulated sensors
    #[arg(long)]
    demo: bool,
    /// As for `init`: a further name of this machine for the broker's certificate (repeatable, or with commas)
    #[arg(long = "name", value_name = "NAME", value_parser = HostName::new, value_delimiter = ',')]
    names: Vec<HostName>,
    #[command(flatten)]
    destination: destination::Arguments,
    #[command(flatten)]
    ports: ports::Arguments,
    #[command(flatten)]
    storage: StorageArguments,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, logging: &logging::Arguments) -> Result<(), Failure> {
    let destination = arguments.destination.destination()?;
    let directory = absolute(&arguments.directory).map_err(Failure::failed)?;
    let report = init::complete(&directory, &arguments.names)?;
    if report.created().next().is_some() || !report.warnings().is_empty() {
        say(report);
    }
    let mut broker_config =
        BrokerConfig::load(&directory.join(BROKER_CONFIG)).map_err(Failure::configuration)?;
    arguments.ports.apply(&mut broker_config)?;
    arguments.storage.apply(&mut broker_config);
    // A mistake is told before anything else is.
    BridgeConfig::load(&directory.join(BRIDGE_CONFIG)).map_err(Failure::configuration)?;
    let overrides = Overrides { sink: destination.sink()?, ..Overrides::default() };
    // Held until the end.
    let _pid_file = process::settle(&broker_config.process)?;
    let set_log_level = logging.install(broker_config.log.as_str())?;
    process::tell_user(&broker_config.process);
    files_open::raise_limit();
    let (path, ports) = (directory.join(BROKER_CONFIG), arguments.ports);
    let surroundings = Surroundings {
        reread: Some(Box::new(move || ports.reread(&path).map(Loaded::from))),
        set_log_level: Some(set_log_level),
        ..Surroundings::default()
    };
    crate::runtime()?.block_on(serve(&directory, &broker_config, surroundings, overrides, arguments))
}

/// What holds in bridge.toml whatever it says, and whenever it changes.
#[derive(Debug, Clone, Default)]
struct Overrides {
    /// From the command line.
    sink: Option<SinkConfig>,
    /// Where the broker of this process listens, if the command line decides that.
    broker_port: Option<u16>,
    /// Where it serves its metrics.
    broker_admin: Option<Url>,
}

impl Overrides {
    fn reread(&self, path: &Path) -> Result<BridgeConfig, BridgeConfigError> {
        let mut config = BridgeConfig::load(path)?;
        if let Some(port) = self.broker_port {
            config.mqtt.url.port = port;
        }
        if let Some(sink) = &self.sink {
            config.sink = sink.clone();
            // They belong to the server that the file names.
            config.own_metrics = None;
        }
        if let Some(own_metrics) = &mut config.own_metrics {
            // The broker's are those of this process, wherever it serves them.
            own_metrics.broker_admin = self.broker_admin.clone();
        }
        Ok(config)
    }
}

/// Serves until the user wants it to end.
async fn serve(
    directory: &Path,
    broker_config: &BrokerConfig,
    mut surroundings: Surroundings,
    mut overrides: Overrides,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let monitor = Monitor::new(&surroundings.readiness);
    let metrics = Arc::new(BridgeMetrics::default());
    surroundings.sources.push(Arc::clone(&metrics) as _);
    let broker = Broker::start_in(broker_config, surroundings)
        .await
        .map_err(|error| start_failure(error, broker_config))?;
    signals::reload_on_hangup(broker.reloader().clone())?;
    if arguments.ports.tls_port_given()
        && let Some(bound) = tls_listener(&broker)
    {
        overrides.broker_port = Some(bound.address.port());
    }
    overrides.broker_admin = broker.admin_address().and_then(own_metrics_url);
    let path = directory.join(BRIDGE_CONFIG);
    let data = describe(&overrides.reread(&path).map_err(Failure::configuration)?.sink);
    let file = path.clone();
    let bridge = LiveBridge::start(&path, Arc::new(move || overrides.reread(&file))).await?;
    metrics.fill(bridge.metrics());
    let demo = match tls_listener(&broker) {
        Some(bound) if arguments.demo => Some(Demo::start(directory, bound.address)?),
        None if arguments.demo => {
            return Err(Failure::configuration(format!(
                "--demo needs a listener with TLS in {BROKER_CONFIG}"
            )));
        }
        _ => None,
    };
    tokio::select! {
        () = async {
            let problems = until_ready(&bridge, demo.as_ref()).await;
            let program = program();
            let (bound, admin) = (broker.bound(), broker.admin_address());
            say(Banner { program: &program, directory, bound: &bound, admin, data, problems: &problems });
            watch(&monitor, &bridge, demo.as_ref()).await;
        } => {}
        () = shutdown.requested() => {}
    }
    ending::end(demo, bridge, broker).await;
    Ok(())
}

/// As for the broker alone, with the options that help here.
fn start_failure(error: StartError, config: &BrokerConfig) -> Failure {
    let option = match &error {
        StartError::Bind(BindError { address, .. }) => {
            let is_tls = |listener: &ListenerConfig| listener.bind == *address && listener.tls.is_some();
            if config.listeners.iter().any(is_tls) { "--port" } else { "--plain-port" }
        }
        StartError::Admin(AdminError::Bind { .. }) => "--admin-port",
        _ => return broker::start_failure(error),
    };
    Failure::failed(format!("{error}\nFor this run you can choose another port with `{option} PORT`."))
}

/// Waits until data can flow; returns what is missing if that takes long. Then the bridge goes on trying.
async fn until_ready(bridge: &LiveBridge, demo: Option<&Demo>) -> Vec<String> {
    let ready = async {
        while !bridge.readiness().is_ready() || demo.is_some_and(|demo| !demo.is_online()) {
            sleep(READY_INTERVAL).await;
        }
    };
    match timeout(READY_PATIENCE, ready).await {
        Ok(()) => Vec::new(),
        Err(_) => bridge.readiness().problems,
    }
}

/// Keeps the readiness up to date and shows what the demonstration does, for ever.
async fn watch(monitor: &Monitor, bridge: &LiveBridge, demo: Option<&Demo>) {
    let progress = async {
        let Some(demo) = demo else { return std::future::pending().await };
        let mut interval = interval(PROGRESS_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval.tick().await;
        loop {
            interval.tick().await;
            let lines = bridge.metrics().lines_written();
            let messages = demo.acknowledged();
            say(format_args!("{messages} messages acknowledged by the broker, {lines} lines written"));
        }
    };
    tokio::select! {
        () = monitor.watch(bridge) => {}
        () = progress => {}
    }
}

/// Where a broker of this machine serves its metrics.
fn own_metrics_url(admin: SocketAddr) -> Option<Url> {
    let address = match admin.ip().is_unspecified() {
        true if admin.is_ipv6() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), admin.port()),
        true => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), admin.port()),
        false => admin,
    };
    Url::parse(&format!("http://{address}/metrics")).ok()
}

/// The listener that the sensors of this machine use.
fn tls_listener(broker: &Broker) -> Option<Bound> {
    broker.bound().into_iter().find(|bound| bound.tls && !bound.websocket)
}

/// Where the data goes, for people.
fn describe(sink: &SinkConfig) -> Data {
    match sink {
        SinkConfig::Files(files) => Data::Files(files.directory.clone()),
        SinkConfig::Influx(influx) => {
            let url = influx.url.as_str().trim_end_matches('/').to_owned();
            match &influx.api {
                InfluxApi::V1 { database, .. } => {
                    let host = influx.url.host_str().unwrap_or_default().to_owned();
                    let port = influx.url.port_or_known_default().unwrap_or_default();
                    Data::Influx1 { url, host, port, database: database.clone() }
                }
                InfluxApi::V2 { org, bucket, .. } => {
                    Data::Server(format!("InfluxDB 2 at {url}, organization {org}, bucket {bucket}"))
                }
                InfluxApi::V3 { database, .. } => {
                    Data::Server(format!("InfluxDB 3 at {url}, database {database}"))
                }
            }
        }
    }
}

/// How this program can be called from anywhere.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_else(|| "gaugeline".to_owned());
    if !called.contains('/') {
        return called;
    }
    absolute(&called).map_or(called, |path| path.display().to_string())
}

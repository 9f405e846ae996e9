//! `gaugeline broker`: the broker by itself.

use std::{path::PathBuf, time::Duration};

use gaugeline_broker::{Broker, StartError, admin::Readiness, config::Config};

use crate::{failure::Failure, files_open, logging, signals::Shutdown};

/// How long clients get to take their leave when the program ends.
pub(crate) const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  gaugeline init /srv/gaugeline
  gaugeline broker -c /srv/gaugeline/broker.toml

Ctrl-C or SIGTERM ends it in order: clients are told, what is acknowledged is kept. A second one ends it at once.";

/// Run the broker alone
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The broker's configuration, as `gaugeline init` creates it
    #[arg(short = 'c', long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, logging: &logging::Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config).map_err(Failure::configuration)?;
    logging.install(config.log.as_str())?;
    files_open::raise_limit();
    crate::runtime()?.block_on(serve(&config))
}

/// Serves until the user wants it to end.
async fn serve(config: &Config) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let broker = Broker::start(config, &Readiness::default(), Vec::new()).await.map_err(start_failure)?;
    for bound in broker.bound() {
        let kind = if bound.tls { "TLS" } else { "plain TCP" };
        tracing::info!(address = %bound.address, "MQTT over {kind}");
    }
    if let Some(address) = broker.admin_address() {
        tracing::info!(%address, "metrics and health over HTTP");
    }
    shutdown.requested().await;
    tracing::info!("ending: taking leave of the clients");
    stop(broker).await;
    Ok(())
}

/// Ends the broker and says who would not go.
pub(crate) async fn stop(broker: Broker) {
    let left = broker.shutdown(SHUTDOWN_TIME_MAX).await;
    if left > 0 {
        tracing::warn!("{left} clients did not leave within {SHUTDOWN_TIME_MAX:?}");
    }
}

/// Tells faults of files from those of the machine.
pub(crate) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::File(error) => Failure::configuration(error),
        error => Failure::failed(error),
    }
}

//! `gaugeline broker`: the broker by itself.

use std::{path::PathBuf, time::Duration};

use gaugeline_broker::{Broker, StartError, Surroundings, config::Config};

use crate::{
    failure::Failure,
    files_open, logging,
    signals::{self, Shutdown},
};

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

    #[command(flatten)]
    storage: StorageArguments,
}

/// What can be decided about storage for one start.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct StorageArguments {
    /// Start though the disk has lost acknowledged data: move the damaged files aside and keep what can be read
    #[arg(long)]
    accept_storage_loss: bool,
}

impl StorageArguments {
    pub(crate) fn apply(&self, config: &mut Config) {
        config.persistence.accept_damage = self.accept_storage_loss;
    }
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, logging: &logging::Arguments) -> Result<(), Failure> {
    let path = arguments.config.clone();
    let mut config = Config::load(&path).map_err(Failure::configuration)?;
    arguments.storage.apply(&mut config);
    let set_log_level = logging.install(config.log.as_str())?;
    files_open::raise_limit();
    let surroundings = Surroundings {
        reread: Some(Box::new(move || Config::load(&path))),
        set_log_level: Some(set_log_level),
        ..Surroundings::default()
    };
    crate::runtime()?.block_on(serve(&config, surroundings))
}

/// Serves until the user wants it to end.
async fn serve(config: &Config, surroundings: Surroundings) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let broker = Broker::start_in(config, surroundings).await.map_err(start_failure)?;
    signals::reload_on_hangup(broker.reloader().clone())?;
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

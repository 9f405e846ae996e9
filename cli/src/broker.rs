//! `gaugeline broker`: the broker by itself.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use gaugeline_broker::{
    Broker, StartError, Surroundings,
    config::{self, Config, ConfigError, Format, Loaded, Overrides, mosquitto},
};

use crate::{
    check,
    failure::Failure,
    files_open, log_output, logging,
    output::say,
    process,
    signals::{self, Shutdown},
};

/// How long clients get to take their leave when the program ends.
pub(crate) const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  gaugeline init /srv/gaugeline
  gaugeline broker -c /srv/gaugeline/broker.toml
  gaugeline broker -c /etc/mosquitto/mosquitto.conf

Ctrl-C or SIGTERM ends it in order: clients are told, what is acknowledged is kept. A second one ends it at once.";

/// Run the broker alone
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// broker.toml, as `gaugeline init` creates it, or a mosquitto.conf
    #[arg(
        short = 'c',
        long,
        visible_alias = "config-file",
        value_name = "FILE",
        required_unless_present = "port"
    )]
    config: Option<PathBuf>,
    /// As mosquitto: listen for programs on this machine at this port, if there is no mosquitto.conf or it has no listener
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Log every packet but what messages contain, as `--log debug`; acknowledgements and pings only with `--log trace`
    #[arg(short = 'v', long)]
    verbose: bool,
    /// Log nothing
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Go on in the background
    #[arg(short = 'd', long)]
    daemon: bool,
    /// Check the configuration and all files that it names, and start nothing
    #[arg(long)]
    test_config: bool,
    /// Serve metrics and health here, whatever the configuration says
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Let those who show the token in this file use `gaugeline status`, `reload`, `clients` and `kick`
    #[arg(long, value_name = "FILE", requires = "admin")]
    admin_token_file: Option<PathBuf>,

    #[command(flatten)]
    storage: StorageArguments,
}

/// What can be decided about storage for one start.
#[derive(Debug, Clone, Default, clap::Args)]
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

impl Arguments {
    fn load(&self) -> Result<Loaded, Failure> {
        let loaded = self.read().map_err(|error| match &self.config {
            Some(path) => check::unreadable_broker(path, error),
            None => Failure::configuration(error),
        })?;
        if self.port.is_some() && loaded.format == Format::Toml {
            return Err(Failure::usage(
                "-p goes with a mosquitto.conf; in broker.toml the port stands in `bind`",
            ));
        }
        Ok(loaded)
    }

    /// What the file says, and what stands above it.
    fn read(&self) -> Result<Loaded, ConfigError> {
        let overrides = Overrides { port: self.port, verbose: self.verbose, quiet: self.quiet };
        let mut loaded = match &self.config {
            Some(path) => config::load(path, &overrides)?,
            None => mosquitto::without_file(&overrides)?,
        };
        loaded.config.admin = self.admin.or(loaded.config.admin);
        if self.admin_token_file.is_some() {
            loaded.config.admin_token_file.clone_from(&self.admin_token_file);
        }
        self.storage.apply(&mut loaded.config);
        Ok(loaded)
    }
}

/// Runs the subcommand.
pub(crate) fn run(arguments: &Arguments, logging: &logging::Arguments) -> Result<(), Failure> {
    let loaded = arguments.load()?;
    if arguments.test_config {
        say(format_args!("OK: {}", check::try_broker(&loaded)?));
        return Ok(());
    }
    if arguments.daemon {
        process::daemonise()?;
    }
    // Held until the end.
    let _pid_file = process::settle(&loaded.config.process)?;
    log_output::choose(&loaded.config.logging)?;
    let set_log_level = logging.install(loaded.config.log.as_str())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    process::tell_user(&loaded.config.process);
    files_open::raise_limit();
    let again = arguments.clone();
    let surroundings = Surroundings {
        reread: Some(Box::new(move || again.read())),
        warnings: loaded.warnings,
        set_log_level: Some(set_log_level),
        ..Surroundings::default()
    };
    crate::runtime()?.block_on(serve(&loaded.config, surroundings))
}

/// Serves until the user wants it to end.
async fn serve(config: &Config, surroundings: Surroundings) -> Result<(), Failure> {
    let mut shutdown = Shutdown::listen()?;
    let broker = Broker::start_in(config, surroundings).await.map_err(start_failure)?;
    signals::reload_on_hangup(broker.reloader().clone())?;
    signals::outlive_those_of_mosquitto()?;
    for bound in broker.bound() {
        tracing::info!(address = %bound.address, "{}", bound.kind());
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

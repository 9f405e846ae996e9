//! Log output: to stderr, so that stdout stays for results, unless the broker's configuration says otherwise.

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{failure::Failure, log_output};

/// The options for log output, the same for every subcommand.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// What to log to stderr: off, error, warn, info, debug, trace, or `info,gaugeline_bridge=debug`
    #[arg(
        long,
        global = true,
        env = "GAUGELINE_LOG",
        hide_env_values = true,
        value_name = "LEVEL",
        help_heading = "Logging"
    )]
    log: Option<String>,
    /// text, for people, or json, one object a line
    #[arg(
        long,
        global = true,
        env = "GAUGELINE_LOG_FORMAT",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Logging"
    )]
    log_format: Format,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line, for log collectors
    Json,
}

impl Arguments {
    /// Installs the process-wide log output. `default` applies when the user asked for nothing.
    pub(crate) fn install(&self, default: &str) -> Result<(), Failure> {
        let directives = self.log.as_deref().filter(|text| !text.is_empty()).unwrap_or(default);
        let filter = EnvFilter::try_new(directives)
            .map_err(|error| Failure::usage(format!("--log {directives}: {error}")))?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::NONE)
            .with_timer(log_output::Timestamp)
            .with_writer(log_output::Output);
        let installed = match self.log_format {
            Format::Text => builder.with_target(false).with_ansi(log_output::is_coloured()).try_init(),
            Format::Json => builder.json().flatten_event(true).try_init(),
        };
        installed.map_err(Failure::failed)
    }
}

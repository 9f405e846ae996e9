//! Log output: to stderr, so that stdout stays for results, unless the broker's configuration says otherwise.

use clap::ValueEnum;
use gaugeline_broker::{config::LogLevel, reload::SetLogLevel};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, reload::Handle};

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

fn replace<S>(handle: &Handle<EnvFilter, S>, level: LogLevel) {
    if let Ok(filter) = EnvFilter::try_new(level.as_str()) {
        // It fails only if the subscriber is gone, and with it the log.
        handle.reload(filter).ok();
    }
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
    /// Installs the process-wide log output. `default` applies when the user asked for nothing; then what is returned
    /// changes it later.
    pub(crate) fn install(&self, default: &str) -> Result<SetLogLevel, Failure> {
        let directives = self.log.as_deref().filter(|text| !text.is_empty()).unwrap_or(default);
        let filter = EnvFilter::try_new(directives)
            .map_err(|error| Failure::usage(format!("--log {directives}: {error}")))?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_span_events(FmtSpan::NONE)
            .with_timer(log_output::Timestamp)
            .with_writer(log_output::Output);
        let (installed, set): (_, SetLogLevel) = match self.log_format {
            Format::Text => {
                let builder = builder.with_target(false).with_ansi(log_output::is_coloured());
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                (builder.try_init(), Box::new(move |level| replace(&handle, level)))
            }
            Format::Json => {
                let builder = builder.json().flatten_event(true).with_filter_reloading();
                let handle = builder.reload_handle();
                (builder.try_init(), Box::new(move |level| replace(&handle, level)))
            }
        };
        installed.map_err(Failure::failed)?;
        // What the user asked for stands above the file.
        Ok(if self.log.as_deref().is_some_and(|text| !text.is_empty()) { Box::new(|_| {}) } else { set })
    }
}

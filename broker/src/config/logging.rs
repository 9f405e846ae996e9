//! Where log lines go and what stands before them. The broker only writes lines; the program that runs it reads this.

use std::path::PathBuf;

/// The section `[logging]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingConfig {
    /// Where every line goes; empty: nowhere. Default: standard error.
    pub destinations: Vec<LogDestination>,
    /// What stands before a line in files and on standard output and error. Syslog has its own.
    pub timestamp: LogTimestamp,
    /// Whether there is a line for each client that comes and goes. Default: there is. Refusals are always logged.
    pub connection_messages: bool,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self {
            destinations: vec![LogDestination::Stderr],
            timestamp: LogTimestamp::default(),
            connection_messages: true,
        }
    }
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of a file, which is created if it is missing, and again when it has been moved away.
    File(PathBuf),
    /// The system's log, at `/dev/log`.
    Syslog(SyslogFacility),
}

/// What the system's log takes gaugeline for [RFC 5424, section 6.2.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyslogFacility {
    /// A daemon, as by default.
    #[default]
    Daemon,
    /// `local0` to `local7`.
    Local(u8),
}

/// What stands before a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTimestamp {
    /// UTC with microseconds [RFC 3339].
    #[default]
    Rfc3339,
    /// Nothing.
    None,
    /// Local time in the format of `strftime`.
    Format(String),
}

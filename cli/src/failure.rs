//! How the program ends when it does not end well: one line for a person and an exit status for a script.

use std::fmt;

/// The exit statuses, for `--help`.
pub(crate) const EXIT_STATUS_HELP: &str = "\
Exit status:
  0    done
  1    failed (network, files, a lost connection)
  2    wrong usage
  3    a configuration, password, ACL or certificate file is wrong or missing
  4    the broker refused: login, publish or subscription
  27   the time given with --timeout is over (as mosquitto_sub)
  130  interrupted a second time";

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
}

/// Who has to act, hence which exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The environment: network, disk, another process.
    Failed,
    /// The command line.
    Usage,
    /// A file that configures gaugeline.
    Configuration,
    /// The broker said no.
    Refused,
    /// The user's own time limit.
    TimedOut,
}

impl Failure {
    /// Something outside failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Failed, message: message.to_string() }
    }

    /// The command line makes no sense in a way that clap cannot see.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Usage, message: message.to_string() }
    }

    /// A file is wrong or missing.
    pub(crate) fn configuration(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Configuration, message: message.to_string() }
    }

    /// The broker refused.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Refused, message: message.to_string() }
    }

    /// A time limit is over.
    pub(crate) fn timed_out(message: impl fmt::Display) -> Self {
        Self { kind: Kind::TimedOut, message: message.to_string() }
    }

    /// The exit status of the process; see [`EXIT_STATUS_HELP`].
    pub(crate) fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Configuration => 3,
            Kind::Refused => 4,
            Kind::TimedOut => 27,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

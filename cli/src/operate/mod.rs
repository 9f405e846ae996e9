//! `gaugeline status`, `reload`, `clients`, `kick` and `forget`: what an operator asks a running broker and has it do, through its
//! admin server.

mod clients;
mod forget;
mod request;
mod status;
mod target;

use std::time::Duration;

use serde::Deserialize;

use self::{request::Answer, target::Target};
use crate::{
    failure::Failure,
    output::{counted, say},
};

pub(crate) use clients::Arguments as ClientsArguments;
pub(crate) use forget::Arguments as ForgetArguments;
pub(crate) use request::ask;
pub(crate) use status::Arguments as StatusArguments;

/// From the connection to the whole answer, for what the broker knows at once.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// The same for a reload, which reads and checks every file.
const RELOAD_TIME_MAX: Duration = Duration::from_secs(60);

const RELOAD_EXAMPLES: &str = "\
Examples:
  gaugeline reload
  gaugeline reload -c /srv/gaugeline/broker.toml

The broker also reads its files by itself when they change, and when it gets SIGHUP. If anything is wrong, everything
stays as it was, and the exit status is 3.";

const KICK_EXAMPLES: &str = "\
Examples:
  gaugeline kick sensor-7

The client may come back at once: remove its user to keep it away.";

/// Have a running broker read its configuration, users, rights and certificates again
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = RELOAD_EXAMPLES)]
pub(crate) struct ReloadArguments {
    #[command(flatten)]
    target: target::Arguments,
}

/// Disconnect a client of a running broker
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = KICK_EXAMPLES)]
pub(crate) struct KickArguments {
    /// The client identifier
    #[arg(value_name = "CLIENT")]
    client: String,
    #[command(flatten)]
    target: target::Arguments,
}

/// What became of a reload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
enum Reloaded {
    Done { users: usize, disconnected: usize, at_next_start: Vec<String> },
    Refused { error: String },
}

/// Runs `gaugeline status`.
pub(crate) fn status(arguments: &StatusArguments) -> Result<(), Failure> {
    status::run(arguments)
}

/// Runs `gaugeline clients`.
pub(crate) fn clients(arguments: &ClientsArguments) -> Result<(), Failure> {
    clients::run(arguments)
}

/// Runs `gaugeline forget`.
pub(crate) fn forget(arguments: &ForgetArguments) -> Result<(), Failure> {
    forget::run(arguments)
}

/// Runs `gaugeline reload`.
pub(crate) fn reload(arguments: &ReloadArguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.target)?;
    match target.call("POST", "/reload", RELOAD_TIME_MAX)?.json()? {
        Reloaded::Done { users, disconnected, at_next_start } => {
            let (users, clients) = (counted(users, "user"), counted(disconnected, "client"));
            say(format_args!("reloaded: {users}, {clients} disconnected"));
            for change in at_next_start {
                say(format_args!("takes effect at the next start: {change}"));
            }
            Ok(())
        }
        Reloaded::Refused { error } => {
            Err(Failure::configuration(format!("reload refused, everything is as before: {error}")))
        }
    }
}

/// Runs `gaugeline kick`.
pub(crate) fn kick(arguments: &KickArguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.target)?;
    let path = format!("/clients/{}/disconnect", request::escaped(&arguments.client));
    let answer = target.call("POST", &path, ANSWER_TIME_MAX)?;
    if answer.status == 204 {
        say(format_args!("{} is disconnected", arguments.client));
        return Ok(());
    }
    Err(answer.failure())
}

#[cfg(test)]
mod tests;

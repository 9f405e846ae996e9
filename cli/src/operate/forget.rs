//! `gaugeline forget`: the end of a session whose client does not come back.

use serde::Deserialize;

use super::{ANSWER_TIME_MAX, Target, request, status, target};
use crate::{failure::Failure, output::say};

const EXAMPLES: &str = "\
Examples:
  gaugeline clients --away
  gaugeline forget old-dashboard

Its subscriptions and the messages that wait for it are gone for good. A client that is connected keeps its session: end \
the connection first, with `gaugeline kick`. When the client comes back it begins anew.";

/// End the session of a client that is away, with the messages that wait for it
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The client identifier
    #[arg(value_name = "CLIENT")]
    pub(super) client: String,
    #[command(flatten)]
    pub(super) target: target::Arguments,
}

#[derive(Debug, Deserialize)]
struct Dropped {
    messages: usize,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = Target::find(&arguments.target)?;
    let path = format!("/sessions/{}", request::escaped(&arguments.client));
    let Dropped { messages } = target.call("DELETE", &path, ANSWER_TIME_MAX)?.json()?;
    let client = status::printable(&arguments.client);
    say(format_args!("the session of {client} has ended, with {messages} messages that waited for it"));
    Ok(())
}

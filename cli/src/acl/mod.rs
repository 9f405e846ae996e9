//! `gaugeline acl`: explains an ACL file, and finds what in it is hardly meant so.

mod check;
mod lint;
mod source;

use crate::failure::Failure;

/// Explain and check an ACL file
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Arguments),
    Lint(lint::Arguments),
}

/// Runs the subcommand. `false`: the answer is no, which is told already; the exit status is 1.
pub(crate) fn run(arguments: &Arguments) -> Result<bool, Failure> {
    match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Lint(arguments) => lint::run(arguments),
    }
}

/// A text from a file, safe for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests;

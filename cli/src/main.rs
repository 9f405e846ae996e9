//! The program `gaugeline`: parses the command line and hands over to one module per subcommand.

#![allow(dead_code)]
mod check;
mod client;
mod clock;
mod failure;
mod files;
mod init;
mod logging;
mod passwd;
mod publish;
mod random;
mod signals;
mod subscribe;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{EXIT_STATUS_HELP, Failure};

/// A secure MQTT broker with a bridge to InfluxDB
#[derive(Debug, Parser)]
#[command(name = "gaugeline", version, after_help = EXIT_STATUS_HELP)]
struct CommandLine {
    #[command(flatten)]
    logging: logging::Arguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Passwd(passwd::Arguments),
    Pub(publish::Arguments),
    Sub(subscribe::Arguments),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    match run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("Error: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Sets up what the whole process shares, then runs the subcommand.
fn run(command_line: CommandLine) -> Result<(), Failure> {
    command_line.logging.install("info")?;
    match command_line.command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Passwd(arguments) => passwd::run(&arguments),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}

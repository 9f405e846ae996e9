//! The program `gaugeline`: parses the command line and hands over to one module per subcommand.

#![allow(dead_code)]
mod bench;
mod broker;
mod check;
mod client;
mod clock;
mod failure;
mod files;
mod files_open;
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
    Bench(Box<bench::Options>),
    Init(init::Arguments),
    Broker(broker::Arguments),
    Check(check::Arguments),
    Passwd(passwd::Arguments),
    Pub(publish::Arguments),
    Sub(subscribe::Arguments),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    if let Command::Bench(options) = &command_line.command {
        return bench::run(options);
    }
    match run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("Error: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Sets up what the whole process shares, then runs the subcommand.
fn run(CommandLine { logging, command }: CommandLine) -> Result<(), Failure> {
    // Only fails if there is a provider already, and nothing before this line installs one.
    drop(rustls::crypto::ring::default_provider().install_default());
    match command {
        Command::Broker(arguments) => return broker::run(&arguments, &logging),
        _ => logging.install("warn")?,
    }
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Pub(arguments) => client_runtime()?.block_on(publish::run(&arguments)),
        Command::Sub(arguments) => client_runtime()?.block_on(subscribe::run(&arguments)),
        _ => Ok(()),
    }
}

/// A runtime for one connection.
fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)
}

/// A runtime for the commands that serve: as many threads as the machine has cores.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::failed)
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

//! The program `gaugeline`.

mod bench;
mod clock;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A secure MQTT broker with a bridge to InfluxDB
#[derive(Debug, Parser)]
#[command(name = "gaugeline", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(Box<bench::Options>),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Bench(options) => bench::run(&options),
    }
}
